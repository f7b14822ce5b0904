/* response.c - start_response(), write() and everything between them and the transport (PEP 3333,
 * "The start_response() Callable"). */
#include "observe.h"
#include "request.h"

#include <string.h>

typedef struct adapter {
    PyObject_HEAD rt_request *rq; /* NULL once the request is over */
} adapter;

PyObject *rt_adapter_new(rt_state *st, rt_request *rq)
{
    adapter *self = PyObject_New(adapter, st->adapter_type);

    rt_assert_attached();
    if (self)
        self->rq = rq;
    return (PyObject *)self;
}

void rt_adapter_cut(PyObject *obj)
{
    rt_assert_attached();
    rt_cut(obj, &((adapter *)obj)->rq);
}

static void adapter_dealloc(adapter *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- start_response ---- */

static PyMethodDef write_def;

/* Re-raises the application's exception. Returns NULL. */
static PyObject *reraise(PyObject *exc_info)
{
    PyObject *type, *value, *traceback;

    if (!PyArg_ParseTuple(exc_info, "OOO;exc_info must be a tuple (type, value, traceback)", &type,
                          &value, &traceback))
        return NULL;
    PyErr_Restore(Py_NewRef(type), Py_NewRef(value),
                  traceback == Py_None ? NULL : Py_NewRef(traceback));
    return NULL;
}

static PyObject *begin_response(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    rt_request *rq = ((adapter *)obj)->rq;
    PyObject *exc_info = nargs == 3 ? args[2] : Py_None, *headers;
    int64_t content_length = -1;
    int code;

    if (!rq) {
        PyErr_SetString(PyExc_RuntimeError, "start_response: the request is over");
        return NULL;
    }
    if (nargs < 2 || nargs > 3) {
        PyErr_Format(PyExc_TypeError,
                     "start_response() takes 2 or 3 positional arguments (%zd given)", nargs);
        return NULL;
    }
    if (!PyList_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "response headers must be a list, not %.200s",
                     Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    if (exc_info != Py_None && !PyTuple_Check(exc_info)) {
        PyErr_SetString(PyExc_RuntimeError, "exc_info must be None or a tuple");
        return NULL;
    }
    if (rq->committed && exc_info != Py_None)
        return reraise(exc_info);
    if (rq->status && exc_info == Py_None) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "start_response was already called; a second call needs exc_info (PEP 3333)");
        return NULL;
    }
    if (rt_event_response(rq, args[0], args[1], exc_info) < 0)
        return NULL;
    code = rt_check_status(args[0]);
    headers = code < 0 ? NULL : PyList_AsTuple(args[1]); /* a copy, since the application may change
                                                            its list */
    if (!headers)
        return NULL;
    if (rt_check_headers(headers, &content_length) < 0) {
        Py_DECREF(headers);
        return NULL;
    }
    Py_XSETREF(rq->status, Py_NewRef(args[0]));
    Py_XSETREF(rq->headers, headers);
    rq->status_code = code;
    rq->content_length = content_length;
    return PyCFunction_New(&write_def, obj);
}

RT_FASTCALL(start_response, adapter, begin_response)

static PyMethodDef start_response_def = {"start_response",
                                         (PyCFunction)(void (*)(void))start_response, METH_FASTCALL,
                                         NULL};

PyObject *rt_adapter_start_response(PyObject *obj)
{
    rt_assert_attached();
    return PyCFunction_New(&start_response_def, obj);
}

/* ---- early hints ---- */

/* wsgi.early_hints(headers): an interim response 103 (RFC 8297), once or more before the response
 * begins. */
static PyObject *send_hints(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    rt_request *rq = ((adapter *)obj)->rq;
    PyObject *arg = args[0];
    wire_response hints = {.status = 103, .reason = "", .content_length = -1};
    int64_t ignored;
    int rc = WIRE_IO_OK;
    PyObject *headers;
    wire_header *all;

    (void)nargs;
    if (!rq || rq->committed) {
        PyErr_Format(PyExc_RuntimeError, "wsgi.early_hints: the %s",
                     rq ? "response has already begun" : "request is over");
        return NULL;
    }
    if (!PyList_Check(arg) && !PyTuple_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "wsgi.early_hints takes a list of headers, not %.200s",
                     Py_TYPE(arg)->tp_name);
        return NULL;
    }
    headers = PySequence_Tuple(arg);
    if (!headers)
        return NULL;
    all = PyMem_Malloc(((size_t)PyTuple_GET_SIZE(headers) + 1) * sizeof(*all));
    if (!all || rt_check_headers(headers, &ignored) < 0) {
        if (!all)
            PyErr_NoMemory();
        PyMem_Free(all);
        Py_DECREF(headers);
        return NULL;
    }
    hints.nheaders = rt_fill_headers(all, headers);
    hints.headers = all;
    rt_end_if_copy(rq->st);
    if (!(rq->head.flags & WIRE_RQ_HTTP10) && hints.nheaders > 0 && !rq->client_gone) {
        RT_BEGIN_IO(rq)
        if (!rq->head_sent)
            rc = rq->ops->send_hints(rq->ctx, &hints);
        RT_END_IO(rq)
    }
    rq->client_gone |=
        rc == WIRE_IO_GONE; /* sending the response will raise; a hint is no reason to fail */
    PyMem_Free(all);
    Py_DECREF(headers);
    Py_RETURN_NONE;
}

RT_ONE(early_hints, adapter, send_hints)

static PyMethodDef early_hints_def = {"early_hints", early_hints, METH_O, NULL};

PyObject *rt_adapter_early_hints(PyObject *obj)
{
    rt_assert_attached();
    return PyCFunction_New(&early_hints_def, obj);
}

/* ---- sending ---- */

/* Returns 0 when the response has no content: 204, 304 and every response to HEAD (RFC 9110 section
 * 6.4.1); else 1. */
static int has_body(const rt_request *rq)
{
    return !(rq->head.flags & WIRE_RQ_HEAD) && rq->status_code != 204 && rq->status_code != 304;
}

int rt_commit(rt_request *rq)
{
    rt_assert_attached();
    rt_end_if_copy(rq->st);
    if (rq->committed)
        return 0;
    if (!rq->status) {
        PyErr_SetString(PyExc_RuntimeError, "start_response was not called before the first data");
        return -1;
    }
    rq->committed = 1;
    return 0;
}

/* Without the GIL, with rq->io: reads rq->status and rq->headers, which no longer change. Returns
 * an enum wire_io. */
static int send_head_locked(rt_request *rq)
{
    Py_ssize_t n = PyTuple_GET_SIZE(rq->headers);
    wire_header few[32], *all = n <= 32 ? few : malloc((size_t)n * sizeof(*all));
    wire_response response;
    int rc;

    if (!all)
        return WIRE_IO_FAILED;
    rt_head_fill(&response, all, rq);
    rc = rq->ops->send_head(rq->ctx, &response);
    rq->head_sent = 1;
    if (all != few)
        free(all);
    return rc;
}

/* A part of the body: bytes, or with an fd that is not -1 a part of a file. */
typedef struct piece {
    const char *data;
    size_t len;
    int flags; /* enum wire_send_flag, of bytes only */
    int fd;
    int64_t offset;
} piece;

static int send_piece_locked(rt_request *rq, const piece *p)
{
    if (p->fd >= 0)
        return p->len > 0 && has_body(rq)
                   ? rq->ops->send_file(rq->ctx, p->fd, p->offset, (int64_t)p->len)
                   : WIRE_IO_OK;
    return p->len > 0 || p->flags
               ? rq->ops->send_data(rq->ctx, p->data, has_body(rq) ? p->len : 0, p->flags)
               : WIRE_IO_OK;
}

/* Sends the piece, and before it the head if that has not left yet. counted: the length for those
 * who measure. Returns 0, or 1 when the client has gone. */
static int transmit(rt_request *rq, const piece *p, size_t counted)
{
    int64_t clock;
    int rc = WIRE_IO_OK;

    RT_BEGIN_IO(rq)
    clock = rt_usage_clock(&rq->usage);
    if (!rq->head_sent)
        rc = send_head_locked(rq);
    if (rc == WIRE_IO_OK)
        rc = send_piece_locked(rq, p);
    clock = rt_usage_output(&rq->usage, clock, counted);
    RT_END_IO(rq)
    rt_usage_gil(&rq->usage, clock);
    if (rc == WIRE_IO_OK)
        return 0;
    rq->client_gone = 1;
    return 1;
}

int rt_look(rt_request *rq)
{
    int rc;

    rt_assert_attached();
    rt_end_if_copy(rq->st);
    if (rq->client_gone)
        return 1;
    RT_BEGIN_IO(rq)
    rc = rq->ops->look(rq->ctx);
    RT_END_IO(rq)
    rq->client_gone |= rc == WIRE_IO_GONE;
    return rq->client_gone;
}

int rt_is_enough(const rt_request *rq)
{
    return rq->committed &&
           (!has_body(rq) || (rq->content_length >= 0 && rq->sent >= rq->content_length));
}

/* As rt_send(), while no other thread is in a method of the adapter. */
static int send_alone(rt_request *rq, const char *data, size_t len, int flags)
{
    size_t take = len;

    if (rt_commit(rq) < 0)
        return -1;
    WIRE_ASSERT(rq->status && rq->headers);
    if (rq->client_gone)
        return 1;
    if (rq->content_length >= 0 && (int64_t)len > rq->content_length - rq->sent)
        take = rq->sent < rq->content_length ? (size_t)(rq->content_length - rq->sent) : 0;
    if (take < len && !rq->excess_logged && has_body(rq)) {
        rq->excess_logged = 1;
        rt_logf(WIRE_WARNING,
                "WSGI0402: the application sends more than its Content-Length of %lld; the excess "
                "is dropped",
                (long long)rq->content_length);
    }
    rq->sent += (int64_t)len;
    if (rq->later->is_taken) /* a helper thread is too late: nothing can follow a whole response */
        return 0;
    if (rq->head_sent && flags & WIRE_SEND_FLUSH && (take == 0 || !has_body(rq)))
        return rt_look(rq); /* nothing is sent that could fail */
    return transmit(rq, &(piece){.data = data, .len = take, .flags = flags, .fd = -1}, len);
}

int rt_send(rt_request *rq, const char *data, size_t len, int flags)
{
    int rc;

    rt_assert_own(rq);
    RT_BEGIN_ALONE(rq->adapter);
    rc = send_alone(rq, data, len, flags);
    RT_END_ALONE();
    return rc;
}

/* As rt_send_all(), while no other thread is in a method of the adapter. Lists and tuples have no
 * close(), so no application code runs after the last byte, and the response may be sent after
 * leaving Python. Other iterables may go on working in close() while the client already has its
 * answer. */
static int send_all_alone(rt_request *rq, PyObject *result, PyObject *body)
{
    size_t len = body ? (size_t)PyBytes_GET_SIZE(body) : 0;
    int is_plain = PyList_CheckExact(result) || PyTuple_CheckExact(result),
        is_exact = rq->content_length == (int64_t)len;

    if (is_plain && !rq->committed && (is_exact || !has_body(rq)) &&
        rt_later_take(rq, has_body(rq) ? body : NULL)) {
        rq->committed = rq->head_sent = 1;
        rq->sent += (int64_t)len;
        return 0;
    }
    return send_alone(rq, body ? PyBytes_AS_STRING(body) : "", len, WIRE_SEND_LAST);
}

int rt_send_all(rt_request *rq, PyObject *result, PyObject *body)
{
    int rc;

    rt_assert_own(rq);
    RT_BEGIN_ALONE(rq->adapter);
    rc = send_all_alone(rq, result, body);
    RT_END_ALONE();
    return rc;
}

static int send_file_alone(rt_request *rq, int fd, int64_t offset, int64_t len)
{
    if (rt_commit(rq) < 0)
        return -1;
    rq->sent += len;
    return transmit(rq, &(piece){.len = (size_t)len, .fd = fd, .offset = offset}, (size_t)len);
}

int rt_send_file(rt_request *rq, int fd, int64_t offset, int64_t len)
{
    int rc;

    rt_assert_own(rq);
    RT_BEGIN_ALONE(rq->adapter);
    rc = send_file_alone(rq, fd, offset, len);
    RT_END_ALONE();
    return rc;
}

static PyObject *write_data(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    rt_request *rq = ((adapter *)obj)->rq;
    PyObject *data = args[0];
    int rc;

    (void)nargs;
    if (!rq) {
        PyErr_SetString(PyExc_RuntimeError, "write: the request is over");
        return NULL;
    }
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %.200s", Py_TYPE(data)->tp_name);
        return NULL;
    }
    rc = PyBytes_GET_SIZE(data) == 0 ? rt_look(rq)
                                     : send_alone(rq, PyBytes_AS_STRING(data),
                                                  (size_t)PyBytes_GET_SIZE(data), WIRE_SEND_FLUSH);
    if (rc == 1)
        PyErr_SetString(PyExc_ConnectionAbortedError, "the client closed the connection");
    return rc == 0 ? Py_NewRef(Py_None) : NULL;
}

RT_ONE(adapter_write, adapter, write_data)

static PyMethodDef write_def = {"write", adapter_write, METH_O, NULL};

/* ---- mod_ssl, and the type ---- */

static PyObject *is_https(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    rt_request *rq = ((adapter *)obj)->rq;

    (void)args;
    (void)nargs;
    if (!rq) {
        PyErr_SetString(PyExc_RuntimeError, "ssl_is_https: the request is over");
        return NULL;
    }
    return PyLong_FromLong((rq->head.flags & WIRE_RQ_TLS) != 0);
}

static PyObject *look_up(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    rt_request *rq = ((adapter *)obj)->rq;
    PyObject *arg = args[0];
    char value[8192]; /* certificates are the longest */
    const char *name;
    size_t name_len;
    int64_t got = -1;

    (void)nargs;
    if (!rq) {
        PyErr_SetString(PyExc_RuntimeError, "ssl_var_lookup: the request is over");
        return NULL;
    }
    if (PyBytes_Check(arg)) {
        name = PyBytes_AS_STRING(arg);
        name_len = (size_t)PyBytes_GET_SIZE(arg);
    } else if (!(name = rt_latin1(arg, "name of a TLS variable", &name_len))) {
        return NULL;
    }
    if (rq->head.flags & WIRE_RQ_TLS && !rt_is_copy) {
        RT_BEGIN_IO(rq)
        got = rq->ops->lookup_tls(rq->ctx, name, name_len, value, sizeof(value));
        RT_END_IO(rq)
    }
    if (got < 0)
        Py_RETURN_NONE;
    return PyUnicode_DecodeLatin1(value,
                                  (Py_ssize_t)(got < (int64_t)sizeof(value)
                                                   ? got
                                                   : (int64_t)sizeof(value)),
                                  NULL);
}

RT_NOARGS(ssl_is_https, adapter, is_https)
RT_ONE(ssl_var_lookup, adapter, look_up)

static PyMethodDef adapter_methods[] = {
    {"start_response", (PyCFunction)(void (*)(void))start_response, METH_FASTCALL, NULL},
    {"write", adapter_write, METH_O, NULL},
    {"ssl_is_https", ssl_is_https, METH_NOARGS, NULL},
    {"ssl_var_lookup", ssl_var_lookup, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject *rt_adapter_type_new(PyObject *module)
{
    static PyType_Slot slots[] = {{Py_tp_dealloc, adapter_dealloc},
                                  {Py_tp_methods, adapter_methods},
                                  {0, NULL}};
    static PyType_Spec spec = {
        .name = "mod_wsgi.Adapter",
        .basicsize = sizeof(adapter),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    rt_assert_attached();
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}
