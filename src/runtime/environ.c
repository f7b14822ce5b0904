/* environ.c - from the request block to the environ dictionary (PEP 3333, "environ Variables"). */
#include "request.h"

#include <string.h>

#ifdef Py_GIL_DISABLED
/* Neither template nor last_values change: threads would contend for them. */
#define IS_TEMPLATE_FIXED 1
#else
#define IS_TEMPLATE_FIXED 0
#endif

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

static int put_flag(PyObject *environ, PyObject *key, int flag)
{
    return PyDict_SetItem(environ, key, flag ? Py_True : Py_False);
}

/* Puts the keys that flags of the block decide. Returns 0, or -1 with an exception set. */
static int put_flags(PyObject *environ, const rt_state *st, uint32_t flags)
{
    return PyDict_SetItem(environ, st->str_url_scheme,
                          flags & WIRE_RQ_HTTPS ? st->str_https : st->str_http) < 0 ||
                   put_flag(environ, st->str_multithread, flags & WIRE_RQ_MULTITHREAD) < 0 ||
                   put_flag(environ, st->str_multiprocess, flags & WIRE_RQ_MULTIPROCESS) < 0 ||
                   put_flag(environ, st->str_run_once, flags & WIRE_RQ_RUN_ONCE) < 0
               ? -1
               : 0;
}

static int put_seconds(PyObject *environ, PyObject *key, int64_t us)
{
    PyObject *value = PyFloat_FromDouble((double)us / 1e6);
    int rc = value ? PyDict_SetItem(environ, key, value) : -1;

    Py_XDECREF(value);
    return rc;
}

/* Returns an empty dictionary with room for a usual request. Its copies have the same room, so they
 * need not grow. */
static PyObject *new_template(void)
{
#if PY_VERSION_HEX < 0x030e0000
    return _PyDict_NewPresized(80);
#else
    return PyDict_New();
#endif
}

int rt_environ_init(rt_state *st)
{
    PyObject *t = new_template();

    rt_assert_attached();
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
        put_new(t, "mod_wsgi.handler_script", PyUnicode_FromString("")) < 0 ||
        put_seconds(t, st->str_queue_start, 0) < 0 || put_seconds(t, st->str_daemon_start, 0) < 0)
        return -1;
    return put_flags(t, st, st->template_flags);
}

/* Returns (2, 4, 57) for "2.4.57", borrowed, or NULL with an exception set. Made once per
 * interpreter, as it never changes. */
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

/* Returns a new reference to the value as a native string: bytes decoded as ISO-8859-1, or a path
 * in the file system's encoding. */
static PyObject *new_value(const wire_pair *pair)
{
    if (pair->code == WIRE_DOCUMENT_ROOT || pair->code == WIRE_SCRIPT_FILENAME)
        return PyUnicode_DecodeFSDefaultAndSize(pair->value, (Py_ssize_t)pair->value_len);
    return PyUnicode_DecodeLatin1(pair->value, (Py_ssize_t)pair->value_len, NULL);
}

/* Returns 1 when the value belongs to the site rather than to the client or its request, so that
 * the template may have it; else 0. */
static int is_of_site(int code)
{
    static const unsigned char site[WIRE_M_END] = {
        [WIRE_SCRIPT_NAME] = 1,     [WIRE_SERVER_PROTOCOL] = 1,
        [WIRE_SERVER_NAME] = 1,     [WIRE_SERVER_PORT] = 1,
        [WIRE_SERVER_ADDR] = 1,     [WIRE_SERVER_SOFTWARE] = 1,
        [WIRE_SERVER_ADMIN] = 1,    [WIRE_DOCUMENT_ROOT] = 1,
        [WIRE_CONTEXT_PREFIX] = 1,  [WIRE_CONTEXT_DOCUMENT_ROOT] = 1,
        [WIRE_REQUEST_SCHEME] = 1,  [WIRE_SCRIPT_FILENAME] = 1,
        [WIRE_HTTP_HOST] = 1,       [WIRE_M_CALLABLE] = 1,
        [WIRE_M_PROCESS_GROUP] = 1, [WIRE_M_APPLICATION_GROUP] = 1,
        [WIRE_M_HANDLER] = 1,       [WIRE_M_LISTENER_HOST] = 1,
        [WIRE_M_LISTENER_PORT] = 1, [WIRE_M_SCRIPT_NAME] = 1,
    };

    return site[code];
}

/* Returns 1 when the value is usually the same in one request as in the one before, else 0. */
static int is_steady(int code)
{
    switch (code) {
    case WIRE_REQUEST_METHOD:
    case WIRE_QUERY_STRING:
    case WIRE_REMOTE_ADDR:
    case WIRE_HTTP_ACCEPT:
    case WIRE_HTTP_ACCEPT_ENCODING:
    case WIRE_HTTP_ACCEPT_LANGUAGE:
    case WIRE_HTTP_CONNECTION:
        return 1;
    default:
        return is_of_site(code) ||
               (code >= WIRE_META && code != WIRE_M_REQUEST_ID && code != WIRE_M_PATH_INFO);
    }
}

static int is_same(PyObject *text, const wire_pair *pair)
{
    return PyUnicode_IS_COMPACT_ASCII(text) &&
           (size_t)PyUnicode_GET_LENGTH(text) == pair->value_len &&
           memcmp(PyUnicode_1BYTE_DATA(text), pair->value, pair->value_len) == 0;
}

/* Returns a new reference to the value, or NULL with an exception set. Steady values share the
 * string of an earlier request. */
static PyObject *value_of(rt_state *st, const wire_pair *pair)
{
    PyObject **last = &st->last_values[pair->code], *value;

    if (IS_TEMPLATE_FIXED || !is_steady(pair->code))
        return new_value(pair);
    if (*last && is_same(*last, pair))
        return Py_NewRef(*last);
    value = new_value(pair);
    if (value)
        Py_XSETREF(*last, Py_NewRef(value));
    return value;
}

/* Returns the environ key of a well-known name, borrowed; NULL when the pair is only for the
 * runtime. */
static PyObject *key_of(const rt_state *st, int code)
{
    return code < WIRE_NAME_COUNT ? st->names[code] : st->meta_names[code];
}

/* An environ that begins as a copy of the template. A pair that the template has already need not
 * be put again, unless another value has replaced it in the copy. */
typedef struct copying {
    PyObject *environ;
    uint64_t version; /* of the template that was copied, and counted on with this request's own
                         changes of it */
    rt_codes seen;
    int is_changed; /* a spelled-out name may have replaced a value of the template */
} copying;

static int is_in(const rt_codes *codes, int code)
{
    return (codes->bits[code / 64] >> (code % 64)) & 1;
}

static void add_code(rt_codes *codes, int code)
{
    codes->bits[code / 64] |= (uint64_t)1 << (code % 64);
}

/* Returns 1 when the copy has this pair from the template already, else 0. The template's values
 * are in last_values. */
static int is_there(copying *c, const rt_state *st, const wire_pair *pair)
{
    int is_first = !is_in(&c->seen, pair->code);

    add_code(&c->seen, pair->code);
    return is_first && !c->is_changed && is_in(&st->in_template, pair->code) &&
           is_same(st->last_values[pair->code], pair);
}

static void count_change(copying *c, rt_state *st)
{
    c->version += c->version == st->template_version;
    st->template_version++;
}

/* Puts a value of the site into the template, since the next requests are expected to have the
 * same. Returns 0, or -1 with an exception set. */
static int put_into_template(copying *c, rt_state *st, int code, PyObject *key, PyObject *value)
{
    if (IS_TEMPLATE_FIXED || !is_of_site(code) || st->last_values[code] != value)
        return 0;
    add_code(&st->in_template, code);
    count_change(c, st);
    return PyDict_SetItem(st->environ_template, key, value);
}

static int put_flags_into_template(copying *c, rt_state *st, uint32_t flags)
{
    flags &= WIRE_RQ_HTTPS | WIRE_RQ_MULTITHREAD | WIRE_RQ_MULTIPROCESS | WIRE_RQ_RUN_ONCE;
    if (IS_TEMPLATE_FIXED || flags == st->template_flags)
        return 0;
    st->template_flags = flags;
    count_change(c, st);
    return put_flags(st->environ_template, st, flags);
}

static int put_known(copying *c, rt_state *st, const wire_pair *pair)
{
    PyObject *key = key_of(st, pair->code), *value;
    int rc;

    if (!key || is_there(c, st, pair))
        return 0;
    value = pair->code == WIRE_M_APACHE_VERSION ? Py_XNewRef(apache_version(st, pair))
                                                : value_of(st, pair);
    rc = value && put_into_template(c, st, pair->code, key, value) == 0
             ? PyDict_SetItem(c->environ, key, value)
             : -1;
    Py_XDECREF(value);
    return rc;
}

static int put_spelled_out(copying *c, const wire_pair *pair)
{
    Py_ssize_t size = PyDict_GET_SIZE(c->environ);
    PyObject *key = PyUnicode_DecodeUTF8(pair->name, (Py_ssize_t)pair->name_len, "surrogateescape"),
             *value = new_value(pair);
    int rc = key && value ? PyDict_SetItem(c->environ, key, value) : -1;

    if (PyDict_GET_SIZE(c->environ) == size)
        c->is_changed = 1;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return rc;
}

/* Deletes keys that came from the template and are not in this request's block. A key whose value
 * was replaced meanwhile stays. Returns 0, or -1 with an exception set. */
static int drop_unseen(copying *c, const rt_state *st)
{
    for (size_t i = 0; i < sizeof(c->seen.bits) / sizeof(c->seen.bits[0]); i++)
        for (uint64_t left = st->in_template.bits[i] & ~c->seen.bits[i]; left; left &= left - 1) {
            int code = (int)i * 64 + __builtin_ctzll(left);
            PyObject *key = code < WIRE_M_END ? key_of(st, code) : NULL;

            if (key && PyDict_GetItemWithError(c->environ, key) == st->last_values[code] &&
                PyDict_DelItem(c->environ, key) < 0)
                return -1;
        }
    return 0;
}

static int put_wsgi_keys(const copying *c, rt_request *rq)
{
    const rt_state *st = rq->st;
    PyObject *environ = c->environ, *number = PyLong_FromLong(rt_thread_number()),
             *hints = rt_adapter_early_hints(rq->adapter);
    int rc = -1;

    atomic_store_explicit(&rq->application_start_us, rt_now_us(), memory_order_relaxed);
    if (number && hints && PyDict_SetItem(environ, st->str_thread_id, number) == 0 &&
        PyDict_SetItem(environ, st->str_early_hints, hints) == 0 &&
        PyDict_SetItem(environ, st->str_input, rq->input) == 0 &&
        PyDict_SetItem(environ, st->str_errors, rq->errors) == 0 &&
        put_seconds(environ, st->str_request_start, rq->head.request_start_us) == 0 &&
        put_seconds(environ, st->str_application_start, rq->application_start_us) == 0)
        rc = 0;
    if (rc == 0 && (rq->daemon_start_us || c->is_changed)) /* the template has 0, which is right in
                                                              embedded mode */
        rc = put_seconds(environ, st->str_queue_start, rq->head.queue_start_us) < 0 ||
                     put_seconds(environ, st->str_daemon_start, rq->daemon_start_us) < 0
                 ? -1
                 : 0;
    Py_XDECREF(number);
    Py_XDECREF(hints);
    return rc;
}

static int put_block(copying *c, rt_request *rq)
{
    wire_block_head head;
    wire_reader rd;
    wire_pair pair;
    int more = wire_block_open(&rd, &head, rq->block, rq->block_len);

    while (more >= 0 && (more = wire_block_next(&rd, &pair)) > 0)
        if ((pair.code == WIRE_NAMED ? put_spelled_out(c, &pair) : put_known(c, rq->st, &pair)) < 0)
            return -1;
    if (more < 0)
        PyErr_SetString(PyExc_RuntimeError, "malformed request block");
    return more;
}

static int put_apache_request(PyObject *environ, rt_request *rq)
{
    if (!(rq->head.flags & WIRE_RQ_APACHE_REQUEST) || !rq->ops->apache_request)
        return 0;
    return put_new(environ, "apache.request_rec",
                   PyCapsule_New(rq->ops->apache_request(rq->ctx), NULL, NULL));
}

static int copy_template(copying *c, rt_request *rq)
{
    rt_state *st = rq->st;

    *c = (copying){.version = st->template_version};
    if (put_flags_into_template(c, st, rq->head.flags) < 0 ||
        !(c->environ = PyDict_Copy(st->environ_template)) || put_block(c, rq) < 0 ||
        drop_unseen(c, st) < 0)
        return -1;
    return IS_TEMPLATE_FIXED || c->is_changed ? put_flags(c->environ, st, rq->head.flags) : 0;
}

PyObject *rt_environ_build(rt_request *rq)
{
    copying c = {NULL};
    int rc;

    rt_assert_own(rq);
    do { /* once more when another thread has changed the template meanwhile */
        Py_CLEAR(c.environ);
        rc = copy_template(&c, rq);
    } while (rc == 0 && c.version != rq->st->template_version);
    if (rc < 0 || put_wsgi_keys(&c, rq) < 0 || put_apache_request(c.environ, rq) < 0)
        Py_CLEAR(c.environ);
    return c.environ;
}

PyObject *rt_environ_build_hook(rt_request *rq)
{
    PyObject *version =
        PyDict_GetItemString(rq->st->environ_template, "mod_wsgi.version"); /* borrowed */
    copying c = {.environ = PyDict_New(), .is_changed = 1};

    rt_assert_own(rq);
    if (c.environ &&
        (put_block(&c, rq) < 0 || PyDict_SetItem(c.environ, rq->st->str_errors, rq->errors) < 0 ||
         put_new(c.environ, "mod_wsgi.version", Py_XNewRef(version)) < 0 ||
         put_new(c.environ, "mod_ssl.is_https",
                 PyObject_GetAttrString(rq->adapter, "ssl_is_https")) < 0 ||
         put_new(c.environ, "mod_ssl.var_lookup",
                 PyObject_GetAttrString(rq->adapter, "ssl_var_lookup")) < 0 ||
         put_apache_request(c.environ, rq) < 0))
        Py_CLEAR(c.environ);
    return c.environ;
}
