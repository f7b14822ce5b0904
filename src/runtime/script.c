/* script.c - from a script's path, or "module:callable", to the application object (wire/block.h,
 * WIRE_M_SCRIPT).
 *
 * Loaded code is remembered per interpreter, in its rt_state. Modification times decide whether it
 * is still the code on disk. Apache sends that of a script; that of a module is read here, before
 * Python is entered. */
#include "request.h"

#include <string.h>
#include <sys/stat.h>

static int is_module(rt_slice script)
{
    return script.len > 0 && script.at[0] != '/';
}

void rt_stat_module(rt_request *rq)
{
    const char *path =
        is_module(RT_META(rq, WIRE_M_SCRIPT)) ? rt_module_file(RT_META(rq, WIRE_M_SCRIPT)) : NULL;
    struct stat st;

    rt_assert_detached();
    if (path)
        rq->head.script_mtime_us =
            stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000
                                 : -1;
}

/* ---- scripts ---- */

/* Returns a new reference to an item of a dictionary; NULL without an exception when there is
 * none. */
static PyObject *get(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *value;

    return PyDict_GetItemRef(dict, key, &value) > 0 ? value : NULL;
#else
    return Py_XNewRef(PyDict_GetItemWithError(dict, key));
#endif
}

/* Returns 1 when the module is the one on disk and has no function reload_required() to ask, else
 * 0. */
static int is_current(const rt_request *rq, PyObject *module)
{
    PyObject *dict = PyModule_GetDict(module), *mtime = get(dict, rq->st->str_mtime);
    int current = mtime && PyLong_Check(mtime) &&
                  PyLong_AsLongLong(mtime) == rq->head.script_mtime_us &&
                  PyDict_Contains(dict, rq->st->str_reload_required) == 0;

    Py_XDECREF(mtime);
    PyErr_Clear(); /* of an __mtime__ that is not a number */
    return current;
}

/* Returns SCRIPT_FILENAME for reload_required(), a new reference: the resource, which is not the
 * script under WSGIHandlerScript. */
static PyObject *resource_of(const rt_request *rq)
{
    wire_block_head head;
    wire_reader rd;
    wire_pair pair;
    rt_slice found = {"", 0};

    if (wire_block_open(&rd, &head, rq->block, rq->block_len) == 0)
        while (wire_block_next(&rd, &pair) > 0)
            if (pair.code == WIRE_SCRIPT_FILENAME)
                found = (rt_slice){pair.value, pair.value_len};
    return PyUnicode_DecodeFSDefaultAndSize(found.at, (Py_ssize_t)found.len);
}

/* Called when loading has failed. For Stale, which carries what is loaded, returns a new reference
 * to that when it may answer. Otherwise returns NULL with an exception set: Stale itself, or the
 * one with which this process has failed to load the script. */
static PyObject *stale_served(const rt_request *rq)
{
    PyObject *type, *value, *traceback, *args, *loaded = NULL;

    if (!PyErr_ExceptionMatches(rq->st->stale) || !rt_stale_is_served(rq))
        return NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    args = PyObject_GetAttrString(value, "args");
    if (args && PyTuple_Check(args) && PyTuple_GET_SIZE(args) == 1)
        loaded = Py_NewRef(PyTuple_GET_ITEM(args, 0));
    Py_XDECREF(args);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    if (loaded && PyExceptionInstance_Check(loaded)) {
        PyErr_SetObject(PyExceptionInstance_Class(loaded), loaded);
        Py_CLEAR(loaded);
    }
    return loaded;
}

/* Returns a new reference to the script's module, which is loaded when it is not yet or has changed
 * on disk; NULL with an exception set. */
static PyObject *script_module(rt_request *rq, PyObject *script)
{
    rt_state *st = rq->st;
    int reloading = (rq->head.flags & WIRE_RQ_RELOADING) != 0;
    PyObject *module = get(st->scripts, script), *path, *resource;

    if (module && (!reloading || is_current(rq, module)))
        return module;
    Py_CLEAR(module);
    path = PyUnicode_DecodeFSDefaultAndSize(PyBytes_AS_STRING(script), PyBytes_GET_SIZE(script));
    resource = path ? resource_of(rq) : NULL;
    if (resource)
        module = PyObject_CallFunction(st->load, "OLOO", path, (long long)rq->head.script_mtime_us,
                                       reloading ? Py_True : Py_False, resource);
    Py_XDECREF(path);
    Py_XDECREF(resource);
    if (!module)
        return stale_served(rq);
    if (PyDict_SetItem(st->scripts, script, module) < 0)
        Py_CLEAR(module);
    return module;
}

static void log_no_callable(rt_state *st, rt_slice script, rt_slice callable, PyObject *module)
{
    PyObject *described = PyObject_CallFunction(st->describe_callables, "Os#", module, callable.at,
                                                (Py_ssize_t)callable.len);
    const char *text = described && PyUnicode_Check(described) ? PyUnicode_AsUTF8(described) : NULL;

    PyErr_Clear();
    rt_logf(WIRE_ERR,
            "WSGI0403: %.*s has no callable named '%.*s'; %s; name the right one with "
            "WSGICallableObject or rename it",
            (int)script.len, script.at, (int)callable.len, callable.at,
            text ? text : "it defines none");
    Py_XDECREF(described);
}

/* Logs why this object is no application. Returns 1, or 0 when it may be one. */
static int log_objection(rt_state *st, rt_slice script, rt_slice callable, PyObject *app)
{
    PyObject *why = PyObject_CallOneArg(st->objection, app);
    const char *text = why && PyUnicode_Check(why) ? PyUnicode_AsUTF8(why) : NULL;
    int is_wrong = text && *text;

    PyErr_Clear();
    if (is_wrong)
        rt_logf(WIRE_ERR, "WSGI0421: '%.*s' of %.*s %s", (int)callable.len, callable.at,
                (int)script.len, script.at, text);
    Py_XDECREF(why);
    return is_wrong;
}

int rt_is_no_application(rt_request *rq, PyObject *app)
{
    PyObject *type, *value, *traceback;
    int is_wrong;

    rt_assert_own(rq);
    PyErr_Fetch(&type, &value, &traceback);
    is_wrong = log_objection(rq->st, RT_META(rq, WIRE_M_SCRIPT), RT_META(rq, WIRE_M_CALLABLE), app);
    PyErr_Restore(type, value, traceback);
    return is_wrong;
}

/* ---- modules ---- */

/* Returns (callable, module, mtime_us, path) of a "module:callable", a new reference, or NULL with
 * an exception set. */
static PyObject *load_target(rt_state *st, PyObject *target, int64_t mtime_us, int reloading)
{
    PyObject *spec = PyUnicode_DecodeFSDefaultAndSize(PyBytes_AS_STRING(target),
                                                      PyBytes_GET_SIZE(target)),
             *entry = NULL;

    if (spec)
        entry = PyObject_CallFunction(st->load_target, "OLO", spec, (long long)mtime_us,
                                      reloading ? Py_True : Py_False);
    Py_XDECREF(spec);
    if (entry && PyDict_SetItem(st->scripts, target, entry) < 0)
        Py_CLEAR(entry);
    return entry;
}

static int is_target_current(const rt_request *rq, PyObject *entry)
{
    return PyLong_AsLongLong(PyTuple_GET_ITEM(entry, 2)) == rq->head.script_mtime_us &&
           PyDict_Contains(PyModule_GetDict(PyTuple_GET_ITEM(entry, 1)),
                           rq->st->str_reload_required) == 0;
}

/* Returns a new reference to the callable itself, or NULL with an exception set. */
static PyObject *module_application(rt_request *rq, PyObject *target)
{
    int reloading = (rq->head.flags & WIRE_RQ_RELOADING) != 0;
    PyObject *entry = get(rq->st->scripts, target), *app;

    if (entry && reloading && !is_target_current(rq, entry))
        Py_CLEAR(entry);
    if (!entry)
        entry = load_target(rq->st, target, rq->head.script_mtime_us, reloading);
    if (!entry)
        entry = stale_served(rq);
    app = entry ? Py_NewRef(PyTuple_GET_ITEM(entry, 0)) : NULL;
    Py_XDECREF(entry);
    return app;
}

/* ---- either ---- */

static PyObject *script_application(rt_request *rq, PyObject *script, enum wire_outcome *outcome)
{
    rt_slice callable = RT_META(rq, WIRE_M_CALLABLE);
    PyObject *module = script_module(rq, script), *name, *app = NULL;

    if (!module)
        return NULL;
    name = PyUnicode_DecodeUTF8(callable.at, (Py_ssize_t)callable.len, "replace");
    if (name)
        app = get(PyModule_GetDict(module), name);
    Py_XDECREF(name);
    if (!app) {
        PyErr_Clear();
        log_no_callable(rq->st, RT_META(rq, WIRE_M_SCRIPT), callable, module);
        *outcome = WIRE_ERROR_404;
    }
    Py_DECREF(module);
    return app;
}

PyObject *rt_find_application(rt_request *rq, enum wire_outcome *outcome)
{
    rt_slice script = RT_META(rq, WIRE_M_SCRIPT);
    PyObject *key = PyBytes_FromStringAndSize(script.at, (Py_ssize_t)script.len), *app = NULL;
    char what[512];

    rt_assert_own(rq);
    *outcome = WIRE_ERROR_500;
    if (key)
        app =
            is_module(script) ? module_application(rq, key) : script_application(rq, key, outcome);
    Py_XDECREF(key);
    if (app || *outcome == WIRE_ERROR_404)
        return app;
    if (PyErr_ExceptionMatches(rq->st->stale)) {
        PyErr_Clear();
        *outcome = WIRE_STALE;
        return NULL;
    }
    rt_report_failed(rq);
    snprintf(what, sizeof(what), "%.*s could not be loaded", (int)script.len, script.at);
    rt_log_exception(rq->st, WIRE_ERR, "WSGI0404", what);
    return NULL;
}

/* ---- before any request ---- */

/* Loads a module. When it is no application, its callable is called once. Returns 1, -1 when the
 * callable cannot be an application, which is logged, or 0 with an exception set. */
static int preload_module(rt_state *st, const char *target, int is_application)
{
    PyObject *key = PyBytes_FromString(target), *entry = key ? load_target(st, key, 0, 0) : NULL,
             *done = NULL;
    const char *name = strchr(target, ':');
    int ok = entry != NULL;

    if (entry && is_application) {
        if (log_objection(st, (rt_slice){target, strlen(target)},
                          name ? (rt_slice){name + 1, strlen(name + 1)} : (rt_slice){"", 0},
                          PyTuple_GET_ITEM(entry, 0)))
            ok = -1;
    } else if (entry) {
        done = PyObject_CallNoArgs(PyTuple_GET_ITEM(entry, 0));
        ok = done != NULL;
    }
    Py_XDECREF(key);
    Py_XDECREF(entry);
    Py_XDECREF(done);
    return ok;
}

/* Returns 1 when the module has a callable of this name, else logs what it has instead and returns
 * 0. */
static int check_callable(rt_state *st, PyObject *module, const char *script, const char *callable)
{
    PyObject *app = PyDict_GetItemString(PyModule_GetDict(module), callable); /* borrowed */

    if (app)
        return !log_objection(st, (rt_slice){script, strlen(script)},
                              (rt_slice){callable, strlen(callable)}, app);
    log_no_callable(st, (rt_slice){script, strlen(script)}, (rt_slice){callable, strlen(callable)},
                    module);
    return 0;
}

/* Loads a script. Returns 1, -1 when it has no such callable, which is logged, or 0 with an
 * exception set. */
static int preload_script(rt_state *st, const char *script, const char *callable)
{
    PyObject *path = PyUnicode_DecodeFSDefault(script), *module = NULL;
    int loaded;

    if (path)
        module = PyObject_CallFunction(st->load, "OLO", path, (long long)0, Py_False);
    loaded = !module ? 0 : *callable && !check_callable(st, module, script, callable) ? -1 : 1;
    Py_XDECREF(path);
    Py_XDECREF(module);
    return loaded;
}

int rt_preload(const char *group, const char *script, const char *callable)
{
    rt_interp *in = rt_interp_get(group, strlen(group));
    char what[512];
    int loaded;

    rt_assert_detached();
    if (!in)
        return 0;
    rt_enter(in);
    loaded = is_module((rt_slice){script, strlen(script)})
                 ? preload_module(in->st, script, *callable != '\0')
                 : preload_script(in->st, script, callable);
    if (rt_the_process.threads > 0) /* with threads=0 this is a service, and its script may end a
                                       copy as it likes */
        rt_end_if_copy(in->st);
    if (!loaded && rt_the_process.threads == 0 && PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyErr_Clear(); /* a service has ended as it was told to */
    } else if (!loaded) {
        snprintf(what, sizeof(what), "%s could not be loaded when the process started", script);
        rt_log_exception(in->st, WIRE_ERR, "WSGI0415", what);
    }
    rt_leave();
    return loaded > 0;
}
