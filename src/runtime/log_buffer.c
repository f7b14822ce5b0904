/* log_buffer.c - the bytes below a text stream of stream.c: its attribute buffer, which detach()
 * returns, too. io.TextIOWrapper and codecs.getwriter() can be put around it. */
#include "core.h"

typedef struct log_buffer {
    PyObject_HEAD PyObject *stream; /* owned */
} log_buffer;

PyObject *rt_log_buffer_new(PyObject *stream)
{
    PyObject *module = PyType_GetModule(Py_TYPE(stream));
    log_buffer *self =
        module ? PyObject_New(log_buffer, ((rt_state *)PyModule_GetState(module))->log_buffer_type)
               : NULL;

    rt_assert_attached();
    if (self) {
        self->stream = Py_NewRef(stream);
        ((rt_state *)PyModule_GetState(module))->has_log_buffers = 1;
    }
    return (PyObject *)self;
}

static void buffer_dealloc(log_buffer *self)
{
    PyTypeObject *type = Py_TYPE(self);

    Py_DECREF(self->stream);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *buffer_write(log_buffer *self, PyObject *data)
{
    return PyObject_CallMethod(self->stream, "_write_bytes", "O", data);
}

static PyObject *buffer_flush(log_buffer *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(self->stream, "flush", NULL);
}

static PyObject *buffer_fileno(log_buffer *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(self->stream, "fileno", NULL);
}

static PyObject *buffer_name(log_buffer *self, void *unused)
{
    (void)unused;
    return PyObject_GetAttrString(self->stream, "name");
}

PyObject *rt_return_false(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}

PyObject *rt_return_true(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyObject *get_mode(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return PyUnicode_FromString("wb");
}

PyObject *rt_get_closed(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}

static PyMethodDef buffer_methods[] = {
    {"write", (PyCFunction)buffer_write, METH_O, NULL},
    {"flush", (PyCFunction)buffer_flush, METH_NOARGS, NULL},
    {"close", (PyCFunction)buffer_flush, METH_NOARGS, NULL},
    {"fileno", (PyCFunction)buffer_fileno, METH_NOARGS, NULL},
    {"isatty", rt_return_false, METH_NOARGS, NULL},
    {"readable", rt_return_false, METH_NOARGS, NULL},
    {"seekable", rt_return_false, METH_NOARGS, NULL},
    {"writable", rt_return_true, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef buffer_getset[] = {
    {"name", (getter)buffer_name, NULL, NULL, NULL},
    {"mode", get_mode, NULL, NULL, NULL},
    {"closed", rt_get_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject *rt_log_buffer_type_new(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, buffer_dealloc},
        {Py_tp_methods, buffer_methods},
        {Py_tp_getset, buffer_getset},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "mod_wsgi.LogBuffer",
        .basicsize = sizeof(log_buffer),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    rt_assert_attached();
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

void rt_stream_flush_std(void)
{
    static const char *const names[] = {"stdout", "stderr"};

    rt_assert_attached();
    for (int i = 0; i < 2; i++) {
        PyObject *stream = PySys_GetObject(names[i]), *done; /* borrowed */

        if (!stream || stream == Py_None)
            continue;
        Py_INCREF(stream); /* another thread may replace it meanwhile */
        done = PyObject_CallMethod(stream, "flush", NULL);
        if (!done)
            PyErr_Clear();
        Py_XDECREF(done);
        Py_DECREF(stream);
    }
}
