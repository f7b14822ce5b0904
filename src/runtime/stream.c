/* stream.c - text streams whose lines become log records: wsgi.errors, sys.stdout and sys.stderr.
 *
 * A stream that is bound to a request (wsgi.errors) is cut off when the request ends. Any other
 * (sys.stderr) writes to the request that its thread serves, else to the process's own log. All
 * streams that write to one request share its partial line. */
#include "core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX    (48u << 10) /* bytes logged at a time */
#define PARTIAL_MAX 8000        /* an unfinished line that is longer is logged as it is */

typedef struct stream {
    PyObject_HEAD rt_request *rq; /* of wsgi.errors */
    int bound;
    PyObject *name;
    rt_partial_line partial_line; /* outside requests */
} stream;

static __thread rt_request *current;

void rt_set_current(rt_request *rq)
{
    current = rq;
}

rt_request *rt_current(void)
{
    return current;
}

/* Writes one line in the error log's format. Returns the number of bytes. */
static size_t format_line(char *to, size_t room, const char *prefix, size_t prefix_len,
                          const char *line, size_t len)
{
    size_t used = prefix_len;

    memcpy(to, prefix, prefix_len);
    for (size_t i = 0; i < len && used + 8 < room; i++) {
        unsigned char c = (unsigned char)line[i];

        if (c == '\t')
            used += (size_t)snprintf(to + used, 8, "\\t");
        else if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(to + used, 8, "\\x%02x", c);
        else
            to[used++] = (char)c;
    }
    to[used++] = '\n';
    return used;
}

/* stderr is the error log of the group's virtual host, and the lines have that log's own format. A
 * single write() keeps them together. */
void rt_log_stderr(int level, const char *about, const char *text, size_t len)
{
    static const char *const names[] = {"emerg", "alert",  "crit", "error",
                                        "warn",  "notice", "info", "debug"};
    const char *end = text + len;
    char prefix[512], stamp[32], *out;
    size_t used = 0, lines = 1, prefix_len, room;
    struct timeval tv;
    struct tm tm;
    ssize_t ignored;

    gettimeofday(&tv, NULL);
    localtime_r(&tv.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%a %b %d %H:%M:%S", &tm);
    prefix_len =
        (size_t)snprintf(prefix, sizeof(prefix), "[%s.%06ld %d] [wsgi:%s] [pid %d:tid %ld] %.300s",
                         stamp, (long)tv.tv_usec, tm.tm_year + 1900, names[level & 7],
                         (int)getpid(), (long)syscall(SYS_gettid), about);
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    room = len * 4 + lines * (prefix_len + 16);
    out = malloc(room);
    if (!out)
        return;
    for (;;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)),
                   *line_end = newline ? newline : end;

        used += format_line(out + used, room - used, prefix, prefix_len, text,
                            (size_t)(line_end - text));
        if (!newline)
            break;
        text = newline + 1;
    }
    ignored = write(STDERR_FILENO, out, used); /* nowhere to report a failure */
    (void)ignored;
    free(out);
}

/* Where in the application's source a record comes from; file NULL: not known. */
typedef struct source {
    const char *file;
    int line;
} source;

static const source nowhere;

static void log_to_request(rt_request *rq, int level, const source *at, const char *text,
                           size_t len)
{
    RT_BEGIN_IO(rq)
    if (at->file && rq->ops->log_at)
        rq->ops->log_at(rq->ctx, level, at->file, at->line, text, len);
    else
        rq->ops->log(rq->ctx, level, text, len);
    RT_END_IO(rq)
}

static void log_to_process(int level, const source *at, const char *text, size_t len)
{
    Py_BEGIN_ALLOW_THREADS if (rt_the_process.embed_log_at && at->file)
        rt_the_process.embed_log_at(level, at->file, at->line, text, len);
    else if (rt_the_process.embed_log) rt_the_process.embed_log(level, text, len);
    else if (level <= rt_the_process.log_level) rt_log_stderr(level, "", text, len);
    Py_END_ALLOW_THREADS
}

static void log_record(rt_request *rq, int level, const source *at, const char *text, size_t len)
{
    if (rq && !rt_is_copy)
        log_to_request(rq, level, at, text, len);
    else
        log_to_process(level, at, text, len);
}

/* Logs in parts of at most TEXT_MAX bytes, which end at a line's end where there is one. */
static void log_split(rt_request *rq, int level, const source *at, const char *text, size_t len)
{
    while (len > TEXT_MAX) {
        const char *newline = memrchr(text, '\n', TEXT_MAX);
        size_t part = newline && newline > text ? (size_t)(newline - text) : TEXT_MAX;

        log_record(rq, level, at, text, part);
        part += newline && newline > text;
        text += part;
        len -= part;
    }
    log_record(rq, level, at, text, len);
}

void rt_log(int level, const char *text, size_t len)
{
    rt_assert_attached();
    log_split(current, level, &nowhere, text, len);
}

void rt_log_at(int level, const char *file, int line, const char *text, size_t len)
{
    source at = {file, line};

    rt_assert_attached();
    log_split(current, level, &at, text, len);
}

void rt_logf_detached(int level, const char *format, ...)
{
    char text[1024];
    va_list args;
    int len;

    rt_assert_detached();
    if (level > rt_the_process.log_level)
        return;
    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0)
        rt_log_stderr(level, "", text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

int rt_log_level(void)
{
    return current ? (int)current->head.log_level : rt_the_process.log_level;
}

void rt_logf(int level, const char *format, ...)
{
    char text[2048];
    va_list args;
    int len;

    rt_assert_attached();
    if (level > rt_log_level())
        return;
    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0)
        rt_log(level, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

void rt_log_exception(rt_state *st, int level, const char *code, const char *what)
{
    PyObject *type, *value, *traceback, *lines;

    rt_assert_attached();
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    lines = value ? PyObject_CallOneArg(st->format_exception, value) : NULL;
    if (lines) {
        PyObject *head = PyUnicode_FromFormat("%s: %s: %s\n", code, what,
                                              ((PyTypeObject *)type)->tp_name),
                 *newline = PyUnicode_FromString("\n"),
                 *text = newline ? PyUnicode_Join(newline, lines) : NULL, *bytes = NULL;

        if (head && text)
            PyUnicode_AppendAndDel(&head, text);
        if (head)
            bytes = PyUnicode_AsEncodedString(head, "utf-8", "backslashreplace");
        if (bytes)
            rt_log(level, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
        Py_XDECREF(bytes);
        Py_XDECREF(head);
        Py_XDECREF(newline);
    } else {
        rt_logf(level, "%s: %s: %s", code, what,
                type ? ((PyTypeObject *)type)->tp_name : "unknown error");
    }
    if (!lines)
        PyErr_Print();
    PyErr_Clear();
    Py_XDECREF(lines);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* ---- the Python type ---- */

static PyObject *stream_make(PyTypeObject *type, rt_request *rq, int bound, PyObject *name)
{
    stream *self = PyObject_New(stream, type);

    if (!self)
        return NULL;
    self->rq = rq;
    self->bound = bound;
    self->name = Py_NewRef(name);
    self->partial_line = (rt_partial_line){NULL, 0, 0};
    return (PyObject *)self;
}

PyObject *rt_errors_new(rt_state *st, rt_request *rq)
{
    rt_assert_attached();
    return stream_make(st->stream_type, rq, 1, st->str_errors_name);
}

void rt_errors_cut(PyObject *errors)
{
    rt_assert_attached();
    rt_cut(errors, &((stream *)errors)->rq);
}

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *name;

    if (!PyArg_ParseTuple(args, "U", &name))
        return NULL;
    (void)kwargs;
    return stream_make(type, NULL, 0, name);
}

static void stream_dealloc(stream *self)
{
    PyTypeObject *type = Py_TYPE(self);

    if (self->partial_line.len)
        log_split(NULL, WIRE_ERR, &nowhere, self->partial_line.text, self->partial_line.len);
    PyMem_Free(self->partial_line.text);
    Py_DECREF(self->name);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Returns the partial line that this stream writes to now, and the request or NULL; NULL with
 * RuntimeError set when its request is over. */
static rt_partial_line *target(stream *self, rt_request **rq)
{
    *rq = self->bound ? self->rq : current;
    if (self->bound && !*rq) {
        PyErr_SetString(PyExc_RuntimeError, "wsgi.errors: the request is over");
        return NULL;
    }
    return *rq && !rt_is_copy ? &(*rq)->partial_line : &self->partial_line;
}

/* Returns 0, or -1 with MemoryError set. */
static int append(rt_partial_line *line, const char *text, size_t more)
{
    if (line->len + more > line->room) {
        size_t want = (line->len + more) * 2;
        char *grown = PyMem_Realloc(line->text, want);

        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        line->text = grown;
        line->room = want;
    }
    memcpy(line->text + line->len, text, more);
    line->len += more;
    return 0;
}

/* Logs the unfinished line. It is taken out of the buffer first, since logging releases the GIL and
 * others may write on. */
static void emit(rt_request *rq, rt_partial_line *line)
{
    rt_partial_line taken = *line;

    *line = (rt_partial_line){NULL, 0, 0};
    log_split(rq, WIRE_ERR, &nowhere, taken.text ? taken.text : "", taken.len);
    PyMem_Free(taken.text);
}

/* Logs complete lines together; text after the last newline waits until its line is complete.
 * Returns 0, or -1 with an exception set. */
static int write_text(stream *self, const char *text, size_t len)
{
    const char *newline = memrchr(text, '\n', len);
    size_t whole = newline ? (size_t)(newline - text) : 0;
    rt_request *rq;
    rt_partial_line *line = target(self, &rq);

    if (!line)
        return -1;
    if (newline && line->len) {
        if (append(line, text, whole) < 0)
            return -1;
        emit(rq, line);
    } else if (newline) {
        log_split(rq, WIRE_ERR, &nowhere, text, whole);
    }
    if (newline) {
        text += whole + 1;
        len -= whole + 1;
    }
    if (len > 0 && append(line, text, len) < 0)
        return -1;
    if (line->len > PARTIAL_MAX)
        emit(rq, line);
    return 0;
}

void rt_stream_flush_request(rt_request *rq)
{
    rt_assert_attached();
    if (rq->partial_line.len)
        emit(rq, &rq->partial_line);
    PyMem_Free(rq->partial_line.text);
    rq->partial_line.text = NULL;
}

/* Returns 1, or 0 with TypeError set. */
static int check_text(PyObject *text)
{
    if (PyUnicode_Check(text))
        return 1;
    PyErr_Format(PyExc_TypeError, "write() argument must be str, not %.200s",
                 Py_TYPE(text)->tp_name);
    return 0;
}

static PyObject *write_one(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *text = args[0], *bytes;
    int rc;

    (void)nargs;
    if (!check_text(text))
        return NULL;
    bytes = PyUnicode_AsEncodedString(text, "utf-8", "replace");
    if (!bytes)
        return NULL;
    rc = write_text((stream *)obj, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return rc < 0 ? NULL : PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

/* Writes nothing unless all are str. */
static PyObject *write_lines(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *lines = PySequence_List(args[0]), *done = Py_NewRef(Py_None);

    (void)nargs;
    for (Py_ssize_t i = 0; lines && done && i < PyList_GET_SIZE(lines); i++)
        if (!check_text(PyList_GET_ITEM(lines, i)))
            Py_CLEAR(done);
    for (Py_ssize_t i = 0; lines && done && i < PyList_GET_SIZE(lines); i++) {
        PyObject *line = PyList_GET_ITEM(lines, i);

        Py_SETREF(done, write_one(self, &line, 1));
    }
    if (!lines || !done) {
        Py_XDECREF(lines);
        Py_XDECREF(done);
        return NULL;
    }
    Py_DECREF(lines);
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyObject *write_bytes(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    Py_buffer view;
    int rc;

    (void)nargs;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL; /* TypeError, as for str */
    rc = write_text((stream *)obj, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return rc < 0 ? NULL : PyLong_FromSsize_t(view.len);
}

static PyObject *flush_line(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    rt_request *rq;
    rt_partial_line *line = target((stream *)self, &rq);

    (void)args;
    (void)nargs;
    if (!line)
        return NULL;
    if (line->len)
        emit(rq, line);
    Py_RETURN_NONE;
}

/* Calls a method while no other thread writes to the same partial line. All streams of a request
 * share one, so the lock is that of the request's own stream. */
static PyObject *guarded(PyObject *self, rt_method method, PyObject *const *args, Py_ssize_t nargs)
{
    stream *s = (stream *)self;
    PyObject *result;

    if (s->bound || !current || !current->errors)
        return rt_alone(self, &s->rq, method, args, nargs);
    RT_BEGIN_ALONE(current->errors);
    result = method(self, args, nargs);
    RT_END_ALONE();
    return result;
}

static PyObject *stream_write(PyObject *self, PyObject *text)
{
    return guarded(self, write_one, &text, 1);
}

static PyObject *stream_writelines(PyObject *self, PyObject *lines)
{
    return guarded(self, write_lines, &lines, 1);
}

/* For the buffer (log_buffer.c). */
static PyObject *stream_write_bytes(PyObject *self, PyObject *data)
{
    return guarded(self, write_bytes, &data, 1);
}

static PyObject *stream_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    return guarded(self, flush_line, NULL, 0);
}

/* Returns 1 when what a program writes to descriptor 2 gets into the log. */
static int is_stderr_log(void)
{
    struct stat st;

    return !rt_the_process.embedded && fstat(STDERR_FILENO, &st) == 0 &&
           !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)); /* /dev/null */
}

static PyObject *stream_fileno(PyObject *self, PyObject *unused)
{
    PyObject *io, *error;

    (void)self;
    (void)unused;
    if (is_stderr_log())
        return PyLong_FromLong(STDERR_FILENO);
    io = PyImport_ImportModule("io");
    error = io ? PyObject_GetAttrString(io, "UnsupportedOperation") : NULL;
    if (error)
        PyErr_SetString(error, "this stream is a log and has no file descriptor");
    Py_XDECREF(io);
    Py_XDECREF(error);
    return NULL;
}

static PyObject *get_name(stream *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->name);
}

static PyObject *get_text(PyObject *self, void *text)
{
    (void)self;
    return PyUnicode_FromString(text);
}

static PyObject *get_true(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyObject *get_buffer(PyObject *self, void *unused)
{
    (void)unused;
    return rt_log_buffer_new(self);
}

/* The stream itself stays usable, since others may have it, too. */
static PyObject *stream_detach(PyObject *self, PyObject *unused)
{
    (void)unused;
    return rt_log_buffer_new(self);
}

/* As TextIOWrapper has it. There is nothing to configure, as lines always leave at once. */
static PyObject *stream_reconfigure(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    (void)args;
    (void)kwargs;
    Py_RETURN_NONE;
}

static PyMethodDef stream_methods[] = {
    {"write", stream_write, METH_O, NULL},
    {"writelines", stream_writelines, METH_O, NULL},
    {"flush", stream_flush, METH_NOARGS, NULL},
    {"close", stream_flush, METH_NOARGS, NULL},
    {"fileno", stream_fileno, METH_NOARGS, NULL},
    {"_write_bytes", stream_write_bytes, METH_O, NULL},
    {"detach", stream_detach, METH_NOARGS, NULL},
    {"reconfigure", (PyCFunction)(void (*)(void))stream_reconfigure, METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"isatty", rt_return_false, METH_NOARGS, NULL},
    {"readable", rt_return_false, METH_NOARGS, NULL},
    {"seekable", rt_return_false, METH_NOARGS, NULL},
    {"writable", rt_return_true, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stream_getset[] = {
    {"name", (getter)get_name, NULL, NULL, NULL},
    {"closed", rt_get_closed, NULL, NULL, NULL},
    {"encoding", get_text, NULL, NULL, (char *)"utf-8"},
    {"errors", get_text, NULL, NULL, (char *)"replace"},
    {"buffer", get_buffer, NULL, NULL, NULL},
    {"line_buffering", get_true, NULL, NULL, NULL},
    {"write_through", get_true, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject *rt_stream_type_new(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_new, stream_new},
        {Py_tp_dealloc, stream_dealloc},
        {Py_tp_methods, stream_methods},
        {Py_tp_getset, stream_getset},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "mod_wsgi.Log",
        .basicsize = sizeof(stream),
        .flags = Py_TPFLAGS_DEFAULT,
        .slots = slots,
    };

    rt_assert_attached();
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}
