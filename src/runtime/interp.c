/* interp.c - the table of interpreters, and this thread's way into them.
 *
 * The table only grows. table_lock guards it, and no thread waits for the GIL while it holds it.
 * Creating an interpreter holds create_lock, which is taken before the GIL, so that two first
 * requests of a group do not both create its interpreter. */
#include "core.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

typedef struct group_name {
    char *name;
    struct group_name *next;
} group_name;

/* This thread's thread state in one interpreter. It lives as long as the thread, since
 * threading.local data lives in it. */
typedef struct attachment {
    rt_interp *in;
    PyThreadState *tstate;
    struct attachment *next;
} attachment;

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;
static rt_interp main_interp;
static rt_interp *sub_interps;  /* under table_lock */
static atomic_int main_is_used; /* requests run in the main interpreter, or will */
static group_name *main_groups; /* groups that mean the main interpreter; under table_lock */
static __thread attachment *attachments;
static __thread int thread_number;

#if WIRE_ASSERTS

static PyThreadState *current_tstate(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

int rt_is_attached(void)
{
    return current_tstate() != NULL;
}

int rt_is_detached(void)
{
    PyThreadState *tstate = current_tstate();

    if (!tstate)
        return 1;
#if PY_VERSION_HEX >= 0x030c0000
    return 0;
#else
    if (tstate == PyGILState_GetThisThreadState())
        return 0;
    for (attachment *a = attachments; a; a = a->next)
        if (a->tstate == tstate)
            return 0;
    return 1; /* it is another thread's */
#endif
}

#endif

rt_state *rt_module_state(PyObject *module)
{
    return PyModule_GetState(module);
}

int rt_thread_number(void)
{
    static atomic_int last;

    if (!thread_number)
        thread_number = atomic_fetch_add(&last, 1) + 1;
    return thread_number;
}

static void add_main_group(const char *name, size_t len)
{
    group_name *g = calloc(1, sizeof(*g));

    if (!g)
        return;
    g->name = strndup(name, len);
    g->next = main_groups;
    main_groups = g;
}

static int is_main_group(const char *name, size_t len)
{
    if (len == 0)
        return 1;
    for (group_name *g = main_groups; g; g = g->next)
        if (g->name && strlen(g->name) == len && memcmp(g->name, name, len) == 0)
            return 1;
    return 0;
}

/* Imports httpd_wsgi.interpreter.exports in the running interpreter, sets it up and fills st with
 * its functions. Returns 0, or -1 with an exception set. */
static int set_up(rt_state *st, const char *group, PyObject *settings)
{
    PyObject *module = PyImport_ImportModule("httpd_wsgi.interpreter.exports"), *done;
    int ok;

    if (!module)
        return -1;
    st->load = PyObject_GetAttrString(module, "load");
    st->load_target = PyObject_GetAttrString(module, "load_target");
    st->format_exception = PyObject_GetAttrString(module, "format_exception");
    st->describe_callables = PyObject_GetAttrString(module, "describe_callables");
    st->objection = PyObject_GetAttrString(module, "objection");
    st->stale = PyObject_GetAttrString(module, "Stale");
    st->publish = PyObject_GetAttrString(module, "publish");
    ok = st->load && st->load_target && st->format_exception && st->describe_callables &&
         st->objection && st->stale && st->publish;
    done = ok ? PyObject_CallMethod(module, "setup", "sO", group, settings) : NULL;
    Py_DECREF(module);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int rt_interp_init_main(PyObject *module, PyObject *settings)
{
    PyObject *groups =
        PyDict_GetItemString(settings, "main_groups"); /* borrowed, as the next three */
    PyObject *level = PyDict_GetItemString(settings, "log_level");
    PyObject *free_threading = PyDict_GetItemString(settings, "free_threading");
    PyObject *is_used = PyDict_GetItemString(settings, "main_is_used");
    int rc = rt_fork_watch();

    rt_assert_attached();
    if (rc) {
        errno = rc;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    rt_the_process.start_us = rt_now_us();
    main_interp.name = strdup("");
    main_interp.pis = PyInterpreterState_Get();
    main_interp.st = rt_module_state(module);
    if (level)
        rt_the_process.log_level = (int)PyLong_AsLong(level);
    atomic_store(&main_is_used, is_used && PyObject_IsTrue(is_used) == 1);
    rt_the_process.free_threading = free_threading && PyObject_IsTrue(free_threading) == 1;
    for (Py_ssize_t i = 0; groups && PyList_Check(groups) && i < PyList_GET_SIZE(groups); i++) {
        Py_ssize_t len;
        const char *name = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(groups, i), &len);

        if (!name)
            return -1;
        add_main_group(name, (size_t)len);
    }
    Py_XSETREF(rt_the_process.settings, Py_NewRef(settings));
    return set_up(main_interp.st, "", settings);
}

static rt_interp *find(const char *group, size_t len)
{
    rt_interp *found = NULL;

    pthread_mutex_lock(&table_lock);
    if (!is_main_group(group, len) && rt_the_process.main_is_first && !sub_interps) {
        add_main_group(group, len);
        rt_the_process.main_is_first = 0;
    }
    if (is_main_group(group, len)) {
        found = &main_interp;
        atomic_store(&main_is_used, 1);
    } else {
        for (rt_interp *in = sub_interps; in; in = in->next)
            if (strlen(in->name) == len && memcmp(in->name, group, len) == 0)
                found = in;
    }
    pthread_mutex_unlock(&table_lock);
    return found;
}

static void attach_remember(rt_interp *in, PyThreadState *tstate)
{
    attachment *a = malloc(sizeof(*a));

    if (!a)
        Py_FatalError("httpd-wsgi: out of memory");
    a->in = in;
    a->tstate = tstate;
    a->next = attachments;
    attachments = a;
}

/* Imports the package, which lies beside this library. Nothing is added to sys.path for it, so it
 * cannot shadow the application's modules. Returns 0, or -1 with an exception set. */
static int import_package(void)
{
    static const char code[] = "import importlib.util, os, sys\n"
                               "def boot(directory):\n"
                               "    if 'httpd_wsgi' not in sys.modules:\n"
                               "        spec = importlib.util.spec_from_file_location(\n"
                               "            'httpd_wsgi', os.path.join(directory, '__init__.py'), "
                               "submodule_search_locations=[directory])\n"
                               "        module = importlib.util.module_from_spec(spec)\n"
                               "        sys.modules['httpd_wsgi'] = module\n"
                               "        spec.loader.exec_module(module)\n";
    Dl_info info;
    const char *slash;
    PyObject *globals, *result = NULL, *directory = NULL;

    if (!dladdr((void *)import_package, &info) || !(slash = strrchr(info.dli_fname, '/'))) {
        PyErr_SetString(PyExc_ImportError, "the directory of the runtime is not known");
        return -1;
    }
    globals = PyDict_New();
    if (globals && PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) == 0)
        result = PyRun_String(code, Py_file_input, globals, globals);
    if (result) {
        Py_DECREF(result);
        directory = PyUnicode_DecodeFSDefaultAndSize(info.dli_fname, slash - info.dli_fname);
        result = directory ? PyObject_CallOneArg(PyDict_GetItemString(globals, "boot"), directory)
                           : NULL;
    }
    Py_XDECREF(directory);
    Py_XDECREF(globals);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

rt_state *rt_import_runtime(PyObject **module)
{
    rt_assert_attached();
    if (import_package() < 0)
        return NULL;
    *module = PyImport_ImportModule("httpd_wsgi._runtime");
    return *module ? rt_module_state(*module) : NULL;
}

/* Returns the settings as text, from which settings_from() makes them anew in another interpreter;
 * NULL with an exception set. */
static PyObject *settings_text(void)
{
    PyObject *text = PyObject_Repr(rt_the_process.settings), *bytes = NULL;

    if (text)
        bytes = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
    Py_XDECREF(text);
    return bytes;
}

static PyObject *settings_from(const char *text, size_t len)
{
    PyObject *ast = PyImport_ImportModule("ast"), *str, *dict = NULL;

    str = PyUnicode_Decode(text, (Py_ssize_t)len, "utf-8", "surrogatepass");
    if (ast && str)
        dict = PyObject_CallMethod(ast, "literal_eval", "O", str);
    Py_XDECREF(ast);
    Py_XDECREF(str);
    return dict;
}

/* Returns 1 when the configuration gives this group a GIL of its own, else 0. In the main
 * interpreter. */
static int wants_own_gil(const char *group, size_t len)
{
    PyObject *module = PyImport_ImportModule("httpd_wsgi.interpreter.exports"), *answer = NULL;
    int wanted;

    if (module)
        answer = PyObject_CallMethod(module, "wants_own_gil", "s#", group, (Py_ssize_t)len);
    wanted = answer && PyObject_IsTrue(answer) == 1;
    if (!answer)
        PyErr_Print();
    Py_XDECREF(module);
    Py_XDECREF(answer);
    return wanted;
}

#ifdef Py_GIL_DISABLED
/* It refuses sub-interpreters that load extension modules which do not support them. */
#define NO_GIL_BUILD 1
#else
#define NO_GIL_BUILD 0
#endif

/* Returns the first thread state of a new interpreter, which this thread is then attached to; NULL
 * when it failed, and then the thread is still attached to the old one. */
static PyThreadState *new_interpreter(int own_gil)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyThreadState *tstate = NULL;
    PyInterpreterConfig config = {
        .use_main_obmalloc = !own_gil,
        .allow_fork = 1,
        .allow_exec = 1,
        .allow_threads = 1,
        .allow_daemon_threads = 1,
        .check_multi_interp_extensions = own_gil || NO_GIL_BUILD,
        .gil = own_gil ? PyInterpreterConfig_OWN_GIL : PyInterpreterConfig_SHARED_GIL,
    };
    PyStatus status = Py_NewInterpreterFromConfig(&tstate, &config);

    return PyStatus_Exception(status) ? NULL : tstate;
#else
    (void)own_gil;
    return Py_NewInterpreter();
#endif
}

/* Returns the new interpreter of a group, or NULL when it failed, which is logged. With
 * create_lock, without the GIL. */
static rt_interp *create(const char *group, size_t len)
{
    rt_interp *in = calloc(1, sizeof(*in));
    PyThreadState *main_tstate, *tstate = NULL;
    PyObject *bytes, *module = NULL, *settings;
    char *text;

    rt_enter(&main_interp);
    main_tstate = PyThreadState_Get();
    bytes = settings_text();
    text = bytes ? strdup(PyBytes_AS_STRING(bytes)) : NULL;
    Py_XDECREF(bytes);
    if (in && text)
        in->name = strndup(group, len);
    if (in && in->name)
        tstate = new_interpreter(wants_own_gil(group, len));
    if (!tstate) {
        rt_logf(WIRE_CRIT, "WSGI0410: no interpreter could be created for application group %.*s",
                (int)len, group);
        free(in);
        free(text);
        rt_leave();
        return NULL;
    }
    /* This first thread state only keeps the interpreter alive: CPython 3.11 aborts when an
     * interpreter that has lost its last thread state gets another one. Threads that come and go
     * make their own. */
    in->pis = PyInterpreterState_Get();
    in->st = rt_import_runtime(&module);
    settings = settings_from(text, strlen(text));
    free(text);
    if (!in->st || !settings || set_up(in->st, in->name, settings) < 0) {
        rt_logf(WIRE_CRIT, "WSGI0411: the interpreter of application group %s could not be set up",
                in->name);
        PyErr_Print();
        in->st = NULL;
    }
    Py_XDECREF(settings);
    Py_XDECREF(module);
    PyEval_SaveThread(); /* the new interpreter's lock may be another than the main one's */
    PyEval_RestoreThread(main_tstate);
    rt_leave();

    pthread_mutex_lock(&table_lock);
    in->next = sub_interps;
    sub_interps = in;
    pthread_mutex_unlock(&table_lock);
    return in;
}

rt_interp *rt_interp_get(const char *group, size_t len)
{
    rt_interp *in = find(group, len);

    rt_assert_detached();
    if (!in) {
        pthread_mutex_lock(&create_lock);
        in = find(group, len);
        if (!in)
            in = create(group, len);
        pthread_mutex_unlock(&create_lock);
    }
    return in && in->st ? in : NULL;
}

/* Before Python 3.12 PyGILState_Ensure() finds the first state that a thread had, in whichever
 * interpreter. Extension modules that use it only work there, so a thread that may come to the main
 * interpreter gets its state there first. */
static void prefer_main(void)
{
    if (PY_VERSION_HEX < 0x030c0000 && !attachments && atomic_load(&main_is_used)) {
        rt_enter(&main_interp);
        rt_leave();
    }
}

/* Returns 1 when PyGILState_Ensure() gives this thread a state of the main interpreter. Otherwise
 * the first state that the thread had, or since Python 3.12 the last one, is of another
 * interpreter. */
static int gilstate_is_main(void)
{
    PyThreadState *tstate = PyGILState_GetThisThreadState();

    return !tstate || PyThreadState_GetInterpreter(tstate) == main_interp.pis;
}

void rt_enter(rt_interp *in)
{
    PyThreadState *tstate;

    rt_assert_detached();
    for (attachment *a = attachments; a; a = a->next)
        if (a->in == in) {
            PyEval_RestoreThread(a->tstate);
            return;
        }
    if (in == &main_interp && gilstate_is_main()) {
        /* Never released: extensions that use PyGILState find the same thread state at every
         * request of this thread. */
        PyGILState_Ensure();
        tstate = PyThreadState_Get();
    } else {
        if (in != &main_interp)
            prefer_main();
        tstate = PyThreadState_New(in->pis);
        PyEval_RestoreThread(tstate);
    }
    attach_remember(in, tstate);
}

void rt_leave(void)
{
    rt_assert_attached();
    PyEval_SaveThread();
}

void rt_thread_done(void)
{
    rt_assert_detached();
    while (attachments) {
        attachment *a = attachments;

        attachments = a->next;
        if (a->in != &main_interp) {
            PyEval_RestoreThread(a->tstate);
            PyThreadState_Clear(a->tstate);
            PyThreadState_DeleteCurrent();
        }
        free(a);
    }
}

static void shut_down(rt_interp *in)
{
    PyObject *module, *done = NULL;

    rt_enter(in);
    module = PyImport_ImportModule("httpd_wsgi.interpreter.exports");
    if (module)
        done = PyObject_CallMethod(module, "shutdown", NULL);
    if (!done)
        PyErr_Print();
    Py_XDECREF(module);
    Py_XDECREF(done);
    rt_leave();
}

static void tell(rt_interp *in, const char *function, const char *word, int number)
{
    PyObject *module, *done = NULL;

    rt_enter(in);
    module = PyImport_ImportModule("httpd_wsgi.interpreter.events");
    if (module)
        done = PyObject_CallMethod(module, function, "si", word, number);
    if (!done)
        PyErr_Print();
    Py_XDECREF(module);
    Py_XDECREF(done);
    rt_leave();
}

void rt_interp_tell_all(const char *function, const char *word, int number)
{
    rt_interp *first;

    rt_assert_detached();
    pthread_mutex_lock(&table_lock);
    first = sub_interps; /* entries are only ever added, before this one */
    pthread_mutex_unlock(&table_lock);
    tell(&main_interp, function, word, number);
    for (rt_interp *in = first; in; in = in->next)
        if (in->st)
            tell(in, function, word, number);
}

int rt_interp_shutdown_all(int main_too)
{
    int count = 0;

    rt_assert_detached();
    for (rt_interp *in = sub_interps; in; in = in->next, count++)
        if (in->st)
            shut_down(in);
    if (main_too)
        shut_down(&main_interp);
    return count;
}
