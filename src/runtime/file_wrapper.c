/* file_wrapper.c - wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling"). */
#include "request.h"

#include <linux/magic.h>
#include <structmember.h>
#include <sys/stat.h>
#include <sys/vfs.h>

typedef struct file_wrapper {
    PyObject_HEAD PyObject *filelike; /* NULL after close() */
    Py_ssize_t blksize;
} file_wrapper;

static PyObject *wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"filelike", "blksize", NULL};
    PyObject *filelike;
    Py_ssize_t blksize = 8192;
    file_wrapper *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &filelike, &blksize))
        return NULL;
    if (blksize < 0) {
        PyErr_SetString(PyExc_ValueError, "blksize must not be negative");
        return NULL;
    }
    self = (file_wrapper *)type->tp_alloc(type, 0);
    if (self) {
        self->filelike = Py_NewRef(filelike);
        self->blksize = blksize;
    }
    return (PyObject *)self;
}

static int wrapper_traverse(file_wrapper *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->filelike);
    return 0;
}

static int wrapper_clear(file_wrapper *self)
{
    Py_CLEAR(self->filelike);
    return 0;
}

static void wrapper_dealloc(file_wrapper *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_filelike(file_wrapper *self, void *unused)
{
    (void)unused;
    if (!self->filelike) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on a closed file wrapper");
        return NULL;
    }
    return Py_NewRef(self->filelike);
}

/* Returns the next block. filelike and blksize are looked up as attributes, so that a subclass may
 * override them. */
static PyObject *wrapper_next(PyObject *self)
{
    PyObject *filelike = PyObject_GetAttrString(self, "filelike");
    PyObject *size = filelike ? PyObject_GetAttrString(self, "blksize") : NULL, *data = NULL;

    if (size)
        data = PyObject_CallMethod(filelike, "read", "O", size);
    Py_XDECREF(filelike);
    Py_XDECREF(size);
    if (data && !PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "file-like object's read() must return bytes, not %.200s",
                     Py_TYPE(data)->tp_name);
        Py_CLEAR(data);
    }
    if (data && PyBytes_GET_SIZE(data) == 0)
        Py_CLEAR(data);
    return data;
}

static PyObject *wrapper_close(file_wrapper *self, PyObject *unused)
{
    PyObject *filelike = self->filelike, *done;

    (void)unused;
    self->filelike = NULL;
    if (filelike && PyObject_HasAttrString(filelike, "close")) {
        done = PyObject_CallMethod(filelike, "close", NULL);
        if (!done)
            PyErr_Clear();
        Py_XDECREF(done);
    }
    Py_XDECREF(filelike);
    Py_RETURN_NONE;
}

static PyMethodDef wrapper_methods[] = {
    {"close", (PyCFunction)wrapper_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef wrapper_getset[] = {
    {"filelike", (getter)get_filelike, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef wrapper_members[] = {
    {"blksize", T_PYSSIZET, offsetof(file_wrapper, blksize), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject *rt_file_wrapper_type_new(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_new, wrapper_new},           {Py_tp_dealloc, wrapper_dealloc},
        {Py_tp_traverse, wrapper_traverse}, {Py_tp_clear, wrapper_clear},
        {Py_tp_iter, PyObject_SelfIter},    {Py_tp_iternext, wrapper_next},
        {Py_tp_methods, wrapper_methods},   {Py_tp_getset, wrapper_getset},
        {Py_tp_members, wrapper_members},   {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "mod_wsgi.FileWrapper",
        .basicsize = sizeof(file_wrapper),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
        .slots = slots,
    };

    rt_assert_attached();
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* Returns the number that a method of the file returns; -1 when it does not return one. */
static int64_t number_from(PyObject *filelike, PyObject *method)
{
    PyObject *result = PyObject_CallMethodNoArgs(filelike, method);
    int64_t number = result && PyLong_Check(result) ? PyLong_AsLongLong(result) : -1;

    Py_XDECREF(result);
    PyErr_Clear();
    return number;
}

enum { RAW_FILE, BUFFERED_READER, BUFFERED_RANDOM, TEXT_FILE };

/* Looks up the types of files that read what their descriptor has. Returns 0, or -1 with an
 * exception set. */
int rt_file_wrapper_init(rt_state *st)
{
    static const char *const names[] = {"FileIO", "BufferedReader", "BufferedRandom",
                                        "TextIOWrapper"};
    PyObject *io = PyImport_ImportModule("io");

    rt_assert_attached();
    for (int i = 0; io && i < 4; i++)
        st->file_types[i] = PyObject_GetAttrString(io, names[i]);
    Py_XDECREF(io);
    return st->file_types[TEXT_FILE] ? 0 : -1;
}

static int is_a(const rt_request *rq, PyObject *object, int kind)
{
    return PyObject_TypeCheck(object, (PyTypeObject *)rq->st->file_types[kind]);
}

/* Returns a new reference to an attribute; NULL without an exception when there is none. */
static PyObject *attribute(PyObject *object, const char *name)
{
    PyObject *value = object ? PyObject_GetAttrString(object, name) : NULL;

    PyErr_Clear();
    return value;
}

/* The module tempfile wraps the methods of its files in functions. */
static int is_of_tempfile(PyObject *function)
{
    PyObject *name = PyFunction_Check(function)
                         ? PyDict_GetItemString(PyFunction_GET_GLOBALS(function), "__name__")
                         : NULL; /* borrowed */

    return name && PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "tempfile") == 0;
}

/* Returns the object whose method the file-like object's read() is, a new reference; NULL when that
 * is not written in C. */
static PyObject *reader_of(PyObject *filelike)
{
    PyObject *read = attribute(filelike, "read"), *self = NULL;

    if (read && is_of_tempfile(read))
        Py_SETREF(read, attribute(read, "__wrapped__"));
    if (read && PyCFunction_Check(read))
        self = PyCFunction_GET_SELF(read);
    Py_XINCREF(self);
    Py_XDECREF(read);
    return self;
}

/* Returns 1 when the bytes of a buffered file are those of its descriptor, else 0. */
static int is_plain_buffer(const rt_request *rq, PyObject *file)
{
    PyObject *raw = is_a(rq, file, BUFFERED_READER) || is_a(rq, file, BUFFERED_RANDOM)
                        ? attribute(file, "raw")
                        : NULL;
    int is_plain = raw && (PyObject *)Py_TYPE(raw) == rq->st->file_types[RAW_FILE];

    Py_XDECREF(raw);
    return is_plain;
}

/* Returns the file that a file-like object reads, a new reference; NULL when read() may give
 * something else than the descriptor that fileno() returns, as that of gzip.GzipFile does. A file
 * opened as text sends its bytes. */
static PyObject *plain_file(const rt_request *rq, PyObject *filelike)
{
    PyObject *file = reader_of(filelike), *buffer;
    int is_plain = 0;

    if (file && is_a(rq, file, TEXT_FILE)) {
        buffer = attribute(file, "buffer");
        is_plain = buffer && is_plain_buffer(rq, buffer);
        Py_XDECREF(buffer);
    } else if (file) {
        is_plain = is_a(rq, file, RAW_FILE) || is_plain_buffer(rq, file);
    }
    if (!is_plain)
        Py_CLEAR(file);
    return file;
}

/* Returns 1 when the file has the size that it says. Those of procfs say 0, those of sysfs a
 * page. */
static int is_size_true(int fd, const struct stat *st)
{
    struct statfs fs;

    if (st->st_size == 0)
        return 0;
    if (st->st_blocks > 0 || fstatfs(fd, &fs) != 0)
        return 1;
    switch (fs.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
        return 0;
    default:
        return 1;
    }
}

int rt_file_wrapper_send(rt_request *rq, PyObject *wrapper)
{
    PyObject *filelike, *file;
    int64_t fd, offset = -1, length;
    struct stat st;
    int rc;

    rt_assert_own(rq);
    if (Py_TYPE(wrapper)->tp_iternext != wrapper_next ||
        Py_TYPE(wrapper)->tp_iter != PyObject_SelfIter)
        return 0; /* a subclass has items of its own */
    filelike = PyObject_GetAttrString(wrapper, "filelike");
    if (!filelike)
        return -1;
    fd = number_from(filelike, rq->st->str_fileno);
    file = fd >= 0 ? plain_file(rq, filelike) : NULL;
    Py_DECREF(filelike);
    if (file && number_from(file, rq->st->str_fileno) == fd && fstat((int)fd, &st) == 0 &&
        S_ISREG(st.st_mode) && is_size_true((int)fd, &st))
        offset = number_from(file, rq->st->str_tell);
    if (offset < 0) {
        Py_XDECREF(file);
        return 0;
    }
    length = st.st_size > offset ? st.st_size - offset : 0;
    if (rt_commit(rq) < 0) {
        Py_DECREF(file);
        return -1;
    }
    if (rq->content_length < 0)
        rq->content_length = length;
    else if (rq->content_length < length)
        length = rq->content_length;
    rc = rt_send_file(rq, (int)fd, offset, length);
    Py_DECREF(file);
    return rc == 0 ? 1 : rc == 1 ? 2 : -1;
}
