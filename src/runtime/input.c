/* input.c - wsgi.input (PEP 3333, "Input and Error Streams").
 *
 * Body data that has come with the request is read in place, without releasing the GIL. The rest is
 * read from the transport in pieces of at most PIECE bytes: straight into the result of a large
 * read, else into a buffer that serves lines and small reads. Memory is allocated for data that has
 * arrived, never for a length that the client merely declares. When several threads read, it is not
 * specified which of them gets a piece, but each piece is whole (rt_alone()). */
#include "request.h"

#include <string.h>

#define PIECE  65536
#define DIRECT 8192 /* smaller reads go through the buffer */

typedef struct input {
    PyObject_HEAD rt_request *rq; /* NULL once the request is over */
    char *buf;                    /* PIECE bytes, allocated by the first read from the transport */
    const char *data;             /* buf or the request's hand; not yet used: data[at..have) */
    size_t at, have;
    int ended;
    int failed;
} input;

PyObject *rt_input_new(rt_state *st, rt_request *rq)
{
    input *self = PyObject_New(input, st->input_type);

    rt_assert_attached();
    if (!self)
        return NULL;
    self->rq = rq;
    self->buf = NULL;
    self->data = NULL;
    self->at = self->have = 0;
    self->ended = rq->head.body_kind == WIRE_BODY_NONE && !rq->head.body_more;
    self->failed = 0;
    return (PyObject *)self;
}

void rt_input_cut(PyObject *obj)
{
    rt_assert_attached();
    rt_cut(obj, &((input *)obj)->rq);
}

static void input_dealloc(input *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyMem_Free(self->buf);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int is_over(input *self)
{
    if (!self->rq)
        PyErr_SetString(PyExc_RuntimeError, "wsgi.input: the request is over");
    return !self->rq;
}

static int check_active(input *self)
{
    if (is_over(self))
        return -1;
    if (self->failed) {
        PyErr_SetString(PyExc_OSError, "request data read error: already in error state");
        return -1;
    }
    return 0;
}

static void raise_read_error(int64_t io)
{
    switch (io) {
    case WIRE_IO_GONE:
        PyErr_SetString(PyExc_ConnectionAbortedError,
                        "request data read error: the client closed the connection");
        break;
    case WIRE_IO_TIMEOUT:
        PyErr_SetString(PyExc_TimeoutError,
                        "request data read error: the client sent nothing for too long");
        break;
    case WIRE_IO_TOO_LARGE:
        PyErr_SetString(PyExc_OSError,
                        "request data read error: the body is larger than LimitRequestBody allows");
        break;
    case WIRE_IO_MALFORMED:
        PyErr_SetString(PyExc_OSError, "request data read error: malformed chunked encoding");
        break;
    default:
        PyErr_SetString(PyExc_OSError, "request data read error");
    }
}

/* Reads straight into dst. Returns the number of bytes, 0 at the end, or -1 with an exception
 * set. */
static Py_ssize_t pull(input *self, char *dst, size_t len)
{
    rt_request *rq = self->rq;
    int64_t got, clock;

    if (self->ended)
        return 0;
    if (is_over(self)) /* the request may have ended while a helper thread waited for the last piece
                        */
        return -1;
    if (rt_is_copy) { /* also since another thread may have held rq->io when this one forked */
        PyErr_SetString(PyExc_OSError, "request data read error: the connection belongs to the "
                                       "process that this one was forked from");
        return -1;
    }
    RT_BEGIN_IO(rq)
    clock = rt_usage_clock(&rq->usage);
    got = rq->ops->read_body(rq->ctx, dst, len);
    clock = rt_usage_input(&rq->usage, clock, got);
    RT_END_IO(rq)
    rt_usage_gil(&rq->usage, clock);
    if (got < 0) {
        self->failed = 1;
        rq->client_gone |= got == WIRE_IO_GONE;
        rq->input_failed = 1;
        raise_read_error(got);
        return -1;
    }
    self->ended = got == 0;
    return (Py_ssize_t)got;
}

static void take_hand(input *self)
{
    rt_request *rq = self->rq;

    self->data = rq->hand;
    self->at = 0;
    self->have = rq->hand_len;
    self->ended = !rq->head.body_more;
    rq->hand_len = 0;
    rt_usage_input(&rq->usage, rt_usage_clock(&rq->usage), (int64_t)self->have);
}

/* Makes sure that buffered data is there unless the body has ended. Returns 0, or -1 with an
 * exception set. */
static int fill(input *self)
{
    Py_ssize_t got;

    if (self->at < self->have || self->ended)
        return 0;
    if (self->rq && self->rq->hand_len > 0) {
        take_hand(self);
        return 0;
    }
    if (!self->buf && !(self->buf = PyMem_Malloc(PIECE))) {
        PyErr_NoMemory();
        return -1;
    }
    got = pull(self, self->buf, PIECE);
    if (got < 0)
        return -1;
    self->data = self->buf;
    self->at = 0;
    self->have = (size_t)got;
    return 0;
}

static int is_at_end(const input *self)
{
    return self->at == self->have && self->ended;
}

/* A growing bytes object; room doubles, so reading is linear and bounded by what arrives. */
typedef struct out {
    PyObject *bytes;
    size_t used;
} out;

static char *out_reserve(out *o, size_t more)
{
    size_t room = o->bytes ? (size_t)PyBytes_GET_SIZE(o->bytes) : 0;

    if (o->used + more > room) {
        size_t want = room * 2 > o->used + more ? room * 2 : o->used + more;

        if (!o->bytes)
            o->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)want);
        else
            _PyBytes_Resize(&o->bytes, (Py_ssize_t)want);
        if (!o->bytes)
            return NULL;
    }
    return PyBytes_AS_STRING(o->bytes) + o->used;
}

static PyObject *out_finish(out *o)
{
    if (!o->bytes)
        return PyBytes_FromStringAndSize(NULL, 0);
    if ((size_t)PyBytes_GET_SIZE(o->bytes) != o->used)
        _PyBytes_Resize(&o->bytes, (Py_ssize_t)o->used);
    return o->bytes;
}

static int out_take(out *o, input *self, size_t len)
{
    char *dst = out_reserve(o, len);

    if (!dst)
        return -1;
    memcpy(dst, self->data + self->at, len);
    self->at += len;
    o->used += len;
    return 0;
}

/* Reads when the buffer is empty and len more bytes are wanted; large reads bypass the buffer.
 * Returns 0, or -1 with an exception set. */
static int out_pull(out *o, input *self, size_t len)
{
    Py_ssize_t got;
    char *dst;

    if (len < DIRECT || (self->rq && self->rq->hand_len > 0))
        return fill(self);
    dst = out_reserve(o, len < PIECE ? len : PIECE);
    got = dst ? pull(self, dst, len < PIECE ? len : PIECE) : -1;
    o->used += got > 0 ? (size_t)got : 0;
    return got < 0 ? -1 : 0;
}

static int parse_size(PyObject *const *args, Py_ssize_t nargs, const char *name, Py_ssize_t *size)
{
    *size = -1;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", name, nargs);
        return -1;
    }
    if (nargs == 1) {
        *size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
        if (*size == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *read_bytes(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    input *self = (input *)obj;
    Py_ssize_t size;
    size_t want;
    out o = {NULL, 0};

    if (check_active(self) < 0 || parse_size(args, nargs, "read", &size) < 0)
        return NULL;
    want = size < 0 ? (size_t)PY_SSIZE_T_MAX : (size_t)size;
    while (o.used < want && !is_at_end(self)) {
        size_t have = self->have - self->at;
        int rc;

        if (have == 0)
            rc = out_pull(&o, self, want - o.used);
        else
            rc = out_take(&o, self, have < want - o.used ? have : want - o.used);
        if (rc < 0) {
            Py_XDECREF(o.bytes);
            return NULL;
        }
    }
    return out_finish(&o);
}

/* Returns one line of at most limit bytes (SIZE_MAX: no limit), a new reference, or NULL with an
 * exception set. */
static PyObject *read_line(input *self, size_t limit)
{
    out o = {NULL, 0};
    int whole = 0;

    while (!whole && o.used < limit) {
        size_t left, take;
        const char *newline;

        if (fill(self) < 0) {
            Py_XDECREF(o.bytes);
            return NULL;
        }
        left = self->have - self->at;
        if (left == 0)
            break;
        take = left < limit - o.used ? left : limit - o.used;
        newline = memchr(self->data + self->at, '\n', take);
        if (newline) {
            take = (size_t)(newline - (self->data + self->at)) + 1;
            whole = 1;
        }
        if (out_take(&o, self, take) < 0)
            return NULL;
    }
    return out_finish(&o);
}

static PyObject *read_one_line(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    input *self = (input *)obj;
    Py_ssize_t size;

    if (check_active(self) < 0 || parse_size(args, nargs, "readline", &size) < 0)
        return NULL;
    return read_line(self, size < 0 ? SIZE_MAX : (size_t)size);
}

static PyObject *read_lines(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    input *self = (input *)obj;
    Py_ssize_t hint, total = 0;
    PyObject *lines;

    if (check_active(self) < 0 || parse_size(args, nargs, "readlines", &hint) < 0)
        return NULL;
    lines = PyList_New(0);
    while (lines && (hint <= 0 || total < hint)) {
        PyObject *line = read_line(self, SIZE_MAX);

        if (line && PyBytes_GET_SIZE(line) == 0) {
            Py_DECREF(line);
            break;
        }
        if (!line || PyList_Append(lines, line) < 0)
            Py_CLEAR(lines);
        else
            total += PyBytes_GET_SIZE(line);
        Py_XDECREF(line);
    }
    return lines;
}

static PyObject *next_line(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    input *self = (input *)obj;
    PyObject *line = check_active(self) < 0 ? NULL : read_line(self, SIZE_MAX);

    (void)args;
    (void)nargs;
    if (line && PyBytes_GET_SIZE(line) == 0)
        Py_CLEAR(line);
    return line;
}

static PyObject *input_next(PyObject *self)
{
    return rt_alone(self, &((input *)self)->rq, next_line, NULL, 0);
}

RT_FASTCALL(input_read, input, read_bytes)
RT_FASTCALL(input_readline, input, read_one_line)
RT_FASTCALL(input_readlines, input, read_lines)

static PyObject *input_iter(input *self)
{
    if (!self->rq)
        return check_active(self), NULL;
    return Py_NewRef((PyObject *)self);
}

static PyObject *input_close(input *self, PyObject *unused)
{
    (void)unused;
    if (!self->rq)
        return check_active(self), NULL;
    Py_RETURN_NONE;
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL, NULL},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL, NULL},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL, NULL},
    {"close", (PyCFunction)input_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject *rt_input_type_new(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, input_dealloc},
        {Py_tp_methods, input_methods},
        {Py_tp_iter, input_iter},
        {Py_tp_iternext, input_next},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "mod_wsgi.Input",
        .basicsize = sizeof(input),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    rt_assert_attached();
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}
