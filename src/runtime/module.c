/* module.c - httpd_wsgi._runtime: module state and the functions that the Python package calls. */
#include "observe.h"
#include "request.h"
#include "worker.h"

#include <string.h>

/* ---- functions ---- */

static int setting_int(PyObject *settings, const char *name)
{
    PyObject *value = PyDict_GetItemString(settings, name); /* borrowed */

    return value ? (int)PyLong_AsLong(value) : 0;
}

static void read_limits(PyObject *settings)
{
    PyObject *limit = PyDict_GetItemString(settings, "queue_timeout"),
             *where = PyDict_GetItemString(settings, "where"); /* borrowed */
    const char *text = where && PyUnicode_Check(where) ? PyUnicode_AsUTF8(where) : NULL;

    rt_the_process.maximum_requests = setting_int(settings, "maximum_requests");
    rt_the_process.queue_timeout = limit ? PyFloat_AsDouble(limit) : 0;
    snprintf(rt_the_process.where, sizeof(rt_the_process.where), "%s", text ? text : "");
}

static PyObject *configure(PyObject *module, PyObject *settings)
{
    if (!PyDict_Check(settings)) {
        PyErr_SetString(PyExc_TypeError, "configure() takes a dict");
        return NULL;
    }
    rt_the_process.pid = (uint32_t)getpid();
    rt_the_process.embedded = setting_int(settings, "embedded");
    rt_the_process.threads = setting_int(settings, "threads");
    rt_the_process.send_buffer_size = setting_int(settings, "send_buffer_size");
    rt_the_process.processes = setting_int(settings, "processes");
    rt_the_process.main_is_first = setting_int(settings, "main_is_first");
    rt_the_process.rolling = setting_int(settings, "rolling");
    rt_the_process.control_fd = -1;
    read_limits(settings);
    if (PyErr_Occurred() || rt_interp_init_main(module, settings) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *preload(PyObject *module, PyObject *args)
{
    PyObject *group_bytes = NULL, *script_bytes = NULL;
    const char *callable;
    int loaded;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&s", PyUnicode_FSConverter, &group_bytes, PyUnicode_FSConverter,
                          &script_bytes, &callable))
        return NULL;
    Py_BEGIN_ALLOW_THREADS loaded =
        rt_preload(PyBytes_AS_STRING(group_bytes), PyBytes_AS_STRING(script_bytes), callable);
    Py_END_ALLOW_THREADS Py_DECREF(group_bytes);
    Py_DECREF(script_bytes);
    return PyBool_FromLong(loaded);
}

static PyObject *serve(PyObject *module, PyObject *args)
{
    int listen_fd, stop_fd, control_fd, index, rc;

    (void)module;
    if (!PyArg_ParseTuple(args, "iiii", &listen_fd, &stop_fd, &control_fd, &index))
        return NULL;
    rt_the_process.control_fd = control_fd;
    Py_BEGIN_ALLOW_THREADS rt_activity_thread(index);
    rc = rt_serve(listen_fd, stop_fd, index);
    Py_END_ALLOW_THREADS if (rc)
    {
        errno = rc;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyObject *open_activity(PyObject *module, PyObject *args)
{
    long long offset;
    int fd, count;

    (void)module;
    if (!PyArg_ParseTuple(args, "iLi", &fd, &offset, &count))
        return NULL;
    if (rt_activity_open(fd, offset, count) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *open_credits(PyObject *module, PyObject *args)
{
    int fd;

    (void)module;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    if (rt_credit_open(fd) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *close_credits(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    rt_credit_close();
    Py_RETURN_NONE;
}

static PyObject *show_source_line(PyObject *module, PyObject *args)
{
    unsigned index, serial;
    const char *line;
    Py_ssize_t len;

    (void)module;
    if (!PyArg_ParseTuple(args, "IIy#", &index, &serial, &line, &len))
        return NULL;
    rt_activity_show_source_line(index, serial, line, (size_t)len);
    Py_RETURN_NONE;
}

static PyObject *interrupt(PyObject *module, PyObject *args)
{
    unsigned index, serial;
    int done;

    (void)module;
    if (!PyArg_ParseTuple(args, "II", &index, &serial))
        return NULL;
    Py_BEGIN_ALLOW_THREADS done = rt_activity_interrupt(index, serial);
    Py_END_ALLOW_THREADS return PyBool_FromLong(done);
}

static PyObject *expire(PyObject *module, PyObject *args)
{
    unsigned index, serial;
    const char *text;
    Py_ssize_t len;
    int status, done;

    (void)module;
    if (!PyArg_ParseTuple(args, "IIiy#", &index, &serial, &status, &text, &len))
        return NULL;
    Py_BEGIN_ALLOW_THREADS done = rt_expire(index, serial, status, text, (size_t)len);
    Py_END_ALLOW_THREADS return PyBool_FromLong(done);
}

static PyObject *stack(PyObject *module, PyObject *args)
{
    unsigned index, serial;
    char *lines;
    PyObject *text;

    (void)module;
    if (!PyArg_ParseTuple(args, "II", &index, &serial))
        return NULL;
    Py_BEGIN_ALLOW_THREADS lines = rt_activity_stack(index, serial);
    Py_END_ALLOW_THREADS text =
        lines ? PyUnicode_DecodeUTF8(lines, (Py_ssize_t)strlen(lines), "replace")
              : Py_NewRef(Py_None);
    free(lines);
    return text;
}

static PyObject *reject_version(PyObject *module, PyObject *args)
{
    const char *script;
    Py_ssize_t len;
    long long mtime_us;

    (void)module;
    if (!PyArg_ParseTuple(args, "y#L", &script, &len, &mtime_us))
        return NULL;
    rt_reject_version((rt_slice){script, (size_t)len}, mtime_us);
    Py_RETURN_NONE;
}

static PyObject *note_module_file(PyObject *module, PyObject *args)
{
    const char *target, *path;
    Py_ssize_t target_len;
    long long mtime_us;

    (void)module;
    if (!PyArg_ParseTuple(args, "y#yL", &target, &target_len, &path, &mtime_us))
        return NULL;
    rt_module_note_file((rt_slice){target, (size_t)target_len}, path, mtime_us);
    Py_RETURN_NONE;
}

static PyObject *module_files(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return rt_module_files();
}

static PyObject *serve_loaded(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    rt_the_process.rolling = 1;
    Py_RETURN_NONE;
}

static PyObject *active(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(rt_active());
}

static PyObject *end_interpreters(PyObject *module, PyObject *unused)
{
    int count;

    (void)module;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS count = rt_interp_shutdown_all(0);
    Py_END_ALLOW_THREADS return PyLong_FromLong(count);
}

static PyObject *set_process_title(PyObject *module, PyObject *title)
{
    (void)module;
    if (!PyBytes_Check(title)) {
        PyErr_SetString(PyExc_TypeError, "set_process_title() takes bytes");
        return NULL;
    }
    rt_set_process_title(PyBytes_AS_STRING(title), (size_t)PyBytes_GET_SIZE(title));
    Py_RETURN_NONE;
}

static PyObject *log_text(PyObject *module, PyObject *args)
{
    const char *text;
    Py_ssize_t len;
    int level;

    (void)module;
    if (!PyArg_ParseTuple(args, "is#", &level, &text, &len))
        return NULL;
    rt_log(level, text, (size_t)len);
    Py_RETURN_NONE;
}

static PyObject *log_record(PyObject *module, PyObject *args)
{
    const char *text, *file;
    Py_ssize_t len;
    int level, line;

    (void)module;
    if (!PyArg_ParseTuple(args, "iy#yi", &level, &text, &len, &file, &line))
        return NULL;
    rt_log_at(level, file, line, text, (size_t)len);
    Py_RETURN_NONE;
}

static PyObject *log_level(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(rt_log_level());
}

static PyObject *request_data(PyObject *module, PyObject *unused)
{
    (void)unused;
    return rt_request_data(rt_module_state(module));
}

static PyObject *tell_all(PyObject *module, PyObject *args)
{
    const char *function, *word;
    int number;

    (void)module;
    if (!PyArg_ParseTuple(args, "ssi", &function, &word, &number))
        return NULL;
    Py_BEGIN_ALLOW_THREADS rt_interp_tell_all(function, word, number);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* Returns the number as an enum rt_reader, or -1 with an exception set. */
static int reader_of(PyObject *number)
{
    long reader = PyLong_AsLong(number);

    if (reader >= 0 && reader < RT_READERS)
        return (int)reader;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "not a reader of metrics");
    return -1;
}

static PyObject *start_recording(PyObject *module, PyObject *number)
{
    int reader = reader_of(number), rc;

    (void)module;
    if (reader < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS rc = rt_metrics_start((enum rt_reader)reader);
    Py_END_ALLOW_THREADS return rc ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

static PyObject *metrics_interval(PyObject *module, PyObject *number)
{
    int reader = reader_of(number);

    (void)module;
    return reader < 0 ? NULL : rt_metrics_read((enum rt_reader)reader, 1);
}

static PyObject *metrics_totals(PyObject *module, PyObject *number)
{
    int reader = reader_of(number);

    (void)module;
    return reader < 0 ? NULL : rt_metrics_read((enum rt_reader)reader, 0);
}

static PyObject *watch_slow(PyObject *module, PyObject *threshold)
{
    double seconds = PyFloat_AsDouble(threshold);

    (void)module;
    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    rt_slow_watch((int64_t)(seconds * 1e6));
    Py_RETURN_NONE;
}

static PyObject *slow_requests(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return rt_slow_read();
}

static PyObject *put_note(PyObject *module, PyObject *args)
{
    const char *bytes;
    Py_ssize_t len;
    int kind;

    (void)module;
    if (!PyArg_ParseTuple(args, "iy#", &kind, &bytes, &len))
        return NULL;
    return PyBool_FromLong(rt_note_put(kind, bytes, (size_t)len) == 0);
}

static PyObject *take_notes(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return rt_note_take();
}

static PyObject *open_scoreboard(PyObject *module, PyObject *args)
{
    int fd, rc;

    (void)module;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    rc = rt_scoreboard_open(fd);
    if (rc) {
        errno = rc;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyObject *scoreboard(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return rt_scoreboard_read();
}

static PyObject *is_embedded(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(rt_the_process.embedded);
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_O, NULL},
    {"preload", preload, METH_VARARGS, NULL},
    {"serve", serve, METH_VARARGS, NULL},
    {"reject_version", reject_version, METH_VARARGS, NULL},
    {"note_module_file", note_module_file, METH_VARARGS, NULL},
    {"module_files", module_files, METH_NOARGS, NULL},
    {"serve_loaded", serve_loaded, METH_NOARGS, NULL},
    {"open_activity", open_activity, METH_VARARGS, NULL},
    {"show_source_line", show_source_line, METH_VARARGS, NULL},
    {"interrupt", interrupt, METH_VARARGS, NULL},
    {"expire", expire, METH_VARARGS, NULL},
    {"stack", stack, METH_VARARGS, NULL},
    {"active", active, METH_NOARGS, NULL},
    {"open_credits", open_credits, METH_VARARGS, NULL},
    {"close_credits", close_credits, METH_NOARGS, NULL},
    {"end_interpreters", end_interpreters, METH_NOARGS, NULL},
    {"set_process_title", set_process_title, METH_O, NULL},
    {"log", log_text, METH_VARARGS, NULL},
    {"log_record", log_record, METH_VARARGS, NULL},
    {"log_level", log_level, METH_NOARGS, NULL},
    {"request_data", request_data, METH_NOARGS, NULL},
    {"tell_all", tell_all, METH_VARARGS, NULL},
    {"start_recording", start_recording, METH_O, NULL},
    {"metrics_interval", metrics_interval, METH_O, NULL},
    {"metrics_totals", metrics_totals, METH_O, NULL},
    {"watch_slow", watch_slow, METH_O, NULL},
    {"slow_requests", slow_requests, METH_NOARGS, NULL},
    {"put_note", put_note, METH_VARARGS, NULL},
    {"take_notes", take_notes, METH_NOARGS, NULL},
    {"open_scoreboard", open_scoreboard, METH_VARARGS, NULL},
    {"scoreboard", scoreboard, METH_NOARGS, NULL},
    {"is_embedded", is_embedded, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* ---- state ---- */

static int make_strings(rt_state *st)
{
    const struct {
        PyObject **slot;
        const char *text;
    } strings[] = {
        {&st->str_input, "wsgi.input"},
        {&st->str_errors, "wsgi.errors"},
        {&st->str_errors_name, "<wsgi.errors>"},
        {&st->str_early_hints, "wsgi.early_hints"},
        {&st->str_url_scheme, "wsgi.url_scheme"},
        {&st->str_multithread, "wsgi.multithread"},
        {&st->str_multiprocess, "wsgi.multiprocess"},
        {&st->str_run_once, "wsgi.run_once"},
        {&st->str_mtime, "__mtime__"},
        {&st->str_reload_required, "reload_required"},
        {&st->str_http, "http"},
        {&st->str_https, "https"},
        {&st->str_close, "close"},
        {&st->str_fileno, "fileno"},
        {&st->str_tell, "tell"},
        {&st->str_thread_id, "mod_wsgi.thread_id"},
        {&st->str_request_start, "mod_wsgi.request_start"},
        {&st->str_queue_start, "mod_wsgi.queue_start"},
        {&st->str_daemon_start, "mod_wsgi.daemon_start"},
        {&st->str_application_start, "mod_wsgi.application_start"},
    };

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        if (!(*strings[i].slot = PyUnicode_InternFromString(strings[i].text)))
            return -1;
    return 0;
}

static int exec_module(PyObject *module)
{
    rt_state *st = rt_module_state(module);

    if (!(st->adapter_type = rt_adapter_type_new(module)) ||
        !(st->input_type = rt_input_type_new(module)) ||
        !(st->stream_type = rt_stream_type_new(module)) ||
        !(st->log_buffer_type = rt_log_buffer_type_new(module)) ||
        !(st->file_wrapper_type = rt_file_wrapper_type_new(module)) ||
        rt_file_wrapper_init(st) < 0 ||
        !(st->request_timeout =
              PyErr_NewException("mod_wsgi.RequestTimeout", PyExc_BaseException, NULL)) ||
        !(st->scripts = PyDict_New()) || !(st->event_callbacks = PyList_New(0)) ||
        !(st->active_requests = PyDict_New()) || make_strings(st) < 0 || rt_environ_init(st) < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "WIRE_VERSION", (long)WIRE_BLOCK_MAGIC) < 0 ||
        PyModule_AddObjectRef(module, "Stream", (PyObject *)st->stream_type) < 0 ||
        PyModule_AddObjectRef(module, "LogBuffer", (PyObject *)st->log_buffer_type) < 0 ||
        PyModule_AddObjectRef(module, "FileWrapper", (PyObject *)st->file_wrapper_type) < 0 ||
        PyModule_AddObjectRef(module, "event_callbacks", st->event_callbacks) < 0 ||
        PyModule_AddObjectRef(module, "active_requests", st->active_requests) < 0 ||
        PyModule_AddObjectRef(module, "RequestTimeout", st->request_timeout) < 0)
        return -1;
    return 0;
}

/* The state lives as long as its interpreter; request threads use it without a reference to the
 * module. */
static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, exec_module},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,  .m_name = "httpd_wsgi._runtime", .m_size = sizeof(rt_state),
    .m_methods = functions, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__runtime(void)
{
    return PyModuleDef_Init(&module_def);
}
