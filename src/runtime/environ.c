/* environ.c - from the request block to the environ dictionary (PEP 3333, "environ Variables"). */
#include "runtime.h"

#include <string.h>

static const struct {
    int code;
    const char *key;
} meta_keys[] = {
    {WIRE_M_CALLABLE, "mod_wsgi.callable_object"},
    {WIRE_M_PROCESS_GROUP, "mod_wsgi.process_group"},
    {WIRE_M_APPLICATION_GROUP, "mod_wsgi.application_group"},
    {WIRE_M_HANDLER, "mod_wsgi.request_handler"},
    {WIRE_M_LISTENER_HOST, "mod_wsgi.listener_host"},
    {WIRE_M_LISTENER_PORT, "mod_wsgi.listener_port"},
    {WIRE_M_SERVER_PID, "mod_wsgi.server_pid"},
    {WIRE_M_REQUEST_ID, "mod_wsgi.request_id"},
    {WIRE_M_CONNECTION_ID, "mod_wsgi.connection_id"},
    {WIRE_M_SCRIPT_NAME, "mod_wsgi.script_name"},
    {WIRE_M_PATH_INFO, "mod_wsgi.path_info"},
    {WIRE_M_HANDLER_SCRIPT, "mod_wsgi.handler_script"},
    {WIRE_M_APACHE_VERSION, "apache.version"},
};

static int put_new(PyObject *dict, const char *key, PyObject *value)
{
    int rc = value ? PyDict_SetItemString(dict, key, value) : -1;

    Py_XDECREF(value);
    return rc;
}

int rt_environ_init(rt_state *st)
{
    PyObject *t = PyDict_New();

    st->environ_template = t;
    if (!t)
        return -1;
    for (int code = 1; code < WIRE_NAME_COUNT; code++)
        if (!(st->names[code] = PyUnicode_InternFromString(wire_name_string(code))))
            return -1;
    for (size_t i = 0; i < sizeof(meta_keys) / sizeof(meta_keys[0]); i++)
        if (!(st->meta_names[meta_keys[i].code] = PyUnicode_InternFromString(meta_keys[i].key)))
            return -1;
    if (put_new(t, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) < 0 ||
        put_new(t, "wsgi.input_terminated", PyBool_FromLong(1)) < 0 ||
        put_new(t, "wsgi.file_wrapper", Py_NewRef((PyObject *)st->file_wrapper_type)) < 0 ||
        put_new(t, "mod_wsgi.version", Py_BuildValue("(iii)", 6, 1, 1)) < 0 ||
        put_new(t, "mod_wsgi.handler_script", PyUnicode_FromString("")) < 0)
        return -1;
    return 0;
}

/* (2, 4, 57) from "2.4.57"; made once per interpreter, as it never changes. Borrowed. */
static PyObject *apache_version(rt_state *st, const wire_pair *pair)
{
    int major = 0, minor = 0, patch = 0;
    char text[32];

    RT_BEGIN_ALONE(st->environ_template);
    if (!st->apache_version && pair->value_len < sizeof(text)) {
        memcpy(text, pair->value, pair->value_len);
        text[pair->value_len] = '\0';
        sscanf(text, "%d.%d.%d", &major, &minor, &patch);
        st->apache_version = Py_BuildValue("(iii)", major, minor, patch);
    }
    RT_END_ALONE();
    return st->apache_version;
}

/* Native strings are bytes seen as ISO-8859-1, except paths, which follow the file system's encoding. */
static PyObject *new_value(const wire_pair *pair)
{
    if (pair->code == WIRE_DOCUMENT_ROOT || pair->code == WIRE_SCRIPT_FILENAME)
        return PyUnicode_DecodeFSDefaultAndSize(pair->value, (Py_ssize_t)pair->value_len);
    return PyUnicode_DecodeLatin1(pair->value, (Py_ssize_t)pair->value_len, NULL);
}

/* What is usually the same in one request as in the one before. */
static int is_steady(int code)
{
    switch (code) {
    case WIRE_REQUEST_METHOD:
    case WIRE_SCRIPT_NAME:
    case WIRE_QUERY_STRING:
    case WIRE_SERVER_PROTOCOL:
    case WIRE_SERVER_NAME:
    case WIRE_SERVER_PORT:
    case WIRE_SERVER_ADDR:
    case WIRE_SERVER_SOFTWARE:
    case WIRE_SERVER_ADMIN:
    case WIRE_REMOTE_ADDR:
    case WIRE_DOCUMENT_ROOT:
    case WIRE_CONTEXT_PREFIX:
    case WIRE_CONTEXT_DOCUMENT_ROOT:
    case WIRE_REQUEST_SCHEME:
    case WIRE_SCRIPT_FILENAME:
    case WIRE_HTTP_HOST:
    case WIRE_HTTP_ACCEPT:
    case WIRE_HTTP_ACCEPT_ENCODING:
    case WIRE_HTTP_ACCEPT_LANGUAGE:
    case WIRE_HTTP_CONNECTION:
        return 1;
    default:
        return code >= WIRE_META && code != WIRE_M_REQUEST_ID && code != WIRE_M_PATH_INFO;
    }
}

static int is_same(PyObject *text, const wire_pair *pair)
{
    return PyUnicode_IS_COMPACT_ASCII(text) && (size_t)PyUnicode_GET_LENGTH(text) == pair->value_len &&
           memcmp(PyUnicode_1BYTE_DATA(text), pair->value, pair->value_len) == 0;
}

/* New reference; of a steady value to the string made for an earlier request. */
static PyObject *value_of(rt_state *st, const wire_pair *pair)
{
    PyObject **last = &st->last_values[pair->code], *value;

#ifdef Py_GIL_DISABLED
    last = NULL; /* threads would fight for it */
#endif
    if (!last || !is_steady(pair->code))
        return new_value(pair);
    if (*last && is_same(*last, pair))
        return Py_NewRef(*last);
    value = new_value(pair);
    if (value)
        Py_XSETREF(*last, Py_NewRef(value));
    return value;
}

/* Borrowed for known names, new for spelled-out ones; *owned says which. */
static PyObject *key_of(const rt_state *st, const wire_pair *pair, PyObject **owned)
{
    if (pair->code == WIRE_NAMED)
        return *owned = PyUnicode_DecodeUTF8(pair->name, (Py_ssize_t)pair->name_len, "surrogateescape");
    return pair->code < WIRE_NAME_COUNT ? st->names[pair->code] : st->meta_names[pair->code];
}

static int put_pair(PyObject *environ, rt_state *st, const wire_pair *pair)
{
    PyObject *owned = NULL, *key = key_of(st, pair, &owned), *value;
    int rc = 0;

    if (!key)
        return pair->code == WIRE_NAMED ? -1 : 0; /* meta that is not an environ key */
    value = pair->code == WIRE_M_APACHE_VERSION ? Py_XNewRef(apache_version(st, pair)) : value_of(st, pair);
    rc = value ? PyDict_SetItem(environ, key, value) : -1;
    Py_XDECREF(value);
    Py_XDECREF(owned);
    return rc;
}

static int put_flag(PyObject *environ, PyObject *key, int flag)
{
    return PyDict_SetItem(environ, key, flag ? Py_True : Py_False);
}

static int put_seconds(PyObject *environ, PyObject *key, int64_t us)
{
    PyObject *value = PyFloat_FromDouble((double)us / 1e6);
    int rc = value ? PyDict_SetItem(environ, key, value) : -1;

    Py_XDECREF(value);
    return rc;
}

static int put_wsgi_keys(PyObject *environ, rt_request *rq)
{
    const rt_state *st = rq->st;
    uint32_t flags = rq->head.flags;
    PyObject *number = PyLong_FromLong(rt_thread_number()), *hints = rt_adapter_early_hints(rq->adapter);
    int rc = -1;

    atomic_store_explicit(&rq->application_start_us, rt_now_us(), memory_order_relaxed);
    if (number && hints && PyDict_SetItem(environ, st->str_thread_id, number) == 0 &&
        PyDict_SetItem(environ, st->str_early_hints, hints) == 0 &&
        PyDict_SetItem(environ, st->str_url_scheme, flags & WIRE_RQ_HTTPS ? st->str_https : st->str_http) == 0 &&
        put_flag(environ, st->str_multithread, flags & WIRE_RQ_MULTITHREAD) == 0 &&
        put_flag(environ, st->str_multiprocess, flags & WIRE_RQ_MULTIPROCESS) == 0 &&
        put_flag(environ, st->str_run_once, flags & WIRE_RQ_RUN_ONCE) == 0 &&
        PyDict_SetItem(environ, st->str_input, rq->input) == 0 &&
        PyDict_SetItem(environ, st->str_errors, rq->errors) == 0 &&
        put_seconds(environ, st->str_request_start, rq->head.request_start_us) == 0 &&
        put_seconds(environ, st->str_queue_start, rq->head.queue_start_us) == 0 &&
        put_seconds(environ, st->str_daemon_start, rq->daemon_start_us) == 0 &&
        put_seconds(environ, st->str_application_start, rq->application_start_us) == 0)
        rc = 0;
    Py_XDECREF(number);
    Py_XDECREF(hints);
    return rc;
}

static int put_block(PyObject *environ, rt_request *rq)
{
    wire_block_head head;
    wire_reader rd;
    wire_pair pair;
    int more = wire_block_open(&rd, &head, rq->block, rq->block_len);

    while (more >= 0 && (more = wire_block_next(&rd, &pair)) > 0)
        if (put_pair(environ, rq->st, &pair) < 0)
            return -1;
    if (more < 0)
        PyErr_SetString(PyExc_RuntimeError, "malformed request block");
    return more;
}

static int put_apache_request(PyObject *environ, rt_request *rq)
{
    if (!(rq->head.flags & WIRE_RQ_APACHE_REQUEST) || !rq->ops->apache_request)
        return 0;
    return put_new(environ, "apache.request_rec", PyCapsule_New(rq->ops->apache_request(rq->ctx), NULL, NULL));
}

/* Room for a usual request, so that the dictionary need not grow several times. */
static PyObject *new_environ(void)
{
#if PY_VERSION_HEX < 0x030e0000
    return _PyDict_NewPresized(80);
#else
    return PyDict_New();
#endif
}

/* One by one: a copy of the whole would have the template's size. */
static int put_template(PyObject *environ, const rt_state *st)
{
    PyObject *key, *value; /* borrowed; nobody changes the template */
    Py_ssize_t at = 0;

    while (PyDict_Next(st->environ_template, &at, &key, &value))
        if (PyDict_SetItem(environ, key, value) < 0)
            return -1;
    return 0;
}

PyObject *rt_environ_build(const rt_held *held, rt_request *rq)
{
    PyObject *environ;

    rt_assert_held(held);
    environ = new_environ();
    if (environ && (put_template(environ, rq->st) < 0 || put_block(environ, rq) < 0 || put_wsgi_keys(environ, rq) < 0 || put_apache_request(environ, rq) < 0))
        Py_CLEAR(environ);
    return environ;
}

PyObject *rt_environ_build_call(const rt_held *held, rt_request *rq)
{
    PyObject *environ, *version = PyDict_GetItemString(rq->st->environ_template, "mod_wsgi.version"); /* borrowed */

    rt_assert_held(held);
    environ = PyDict_New();
    if (environ && (put_block(environ, rq) < 0 || PyDict_SetItem(environ, rq->st->str_errors, rq->errors) < 0 ||
                    put_new(environ, "mod_wsgi.version", Py_XNewRef(version)) < 0 ||
                    put_new(environ, "mod_ssl.is_https", PyObject_GetAttrString(rq->adapter, "ssl_is_https")) < 0 ||
                    put_new(environ, "mod_ssl.var_lookup", PyObject_GetAttrString(rq->adapter, "ssl_var_lookup")) < 0 ||
                    put_apache_request(environ, rq) < 0))
        Py_CLEAR(environ);
    return environ;
}
