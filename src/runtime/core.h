/* core.h - what every file of the runtime needs: interpreters and the way into them, the request,
 * the log, forks, the process.
 *
 * The runtime has five layers, and each file uses only its own layer and those below it:
 *
 *                module embed                      what Python and Apache call
 *     worker.h   serve queue socket credit         a worker's threads and connections
 *     request.h  request environ response ...      one request, as PEP 3333 has it
 *     observe.h  events metrics slow activity ...  what is told and counted about requests
 *     core.h     interp stream fork usage ...      interpreters, log, forks
 *
 * Lifetime: one process has one runtime and any number of interpreters; each interpreter imports
 * this extension again and has its own rt_state, as long as it lives. A rt_request lives on the
 * stack of the thread that runs it; the Python objects that an application may keep point to it and
 * are cut off when it ends.
 *
 * Threads: headers say of each function whether it runs with the GIL or without. With the GIL means
 * attached to an interpreter: only then may objects be touched. Without the GIL means detached:
 * such functions may wait, and wire_ops are only ever called so. Functions check it themselves in
 * builds that evaluate assertions, see rt_assert_attached(). */
#ifndef RT_CORE_H
#define RT_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "wire/assert.h"
#include "wire/block.h"
#include "wire/contract.h"

#include "usage.h"

typedef struct rt_slice {
    const char *at;
    size_t len;
} rt_slice;

/* A set of codes of wire/block.h. */
typedef struct rt_codes {
    uint64_t bits[(WIRE_M_END + 63) / 64];
} rt_codes;

/* ---- interpreters ---- */

/* Per interpreter; the state of its _runtime module. All references owned. With the GIL. */
typedef struct rt_state {
    PyTypeObject *adapter_type;
    PyTypeObject *input_type;
    PyTypeObject *stream_type;
    PyTypeObject *log_buffer_type;
    atomic_int has_log_buffers; /* a stream's buffer was asked for, and something may be collected
                                 * above it
                                 */
    PyTypeObject *file_wrapper_type;
    PyObject *file_types[4];           /* of io, see file_wrapper.c */
    PyObject *request_timeout;         /* exception class */
    PyObject *names[WIRE_NAME_COUNT];  /* interned environ keys */
    PyObject *meta_names[WIRE_M_END];  /* interned, NULL where a meta pair is not an environ key */
    PyObject *apache_version;          /* tuple; NULL before the first request */
    PyObject *last_values[WIRE_M_END]; /* of environ.c: values of earlier requests, by code */
    PyObject *environ_template;        /* the keys of every environ, and those of the site */
    PyObject *scripts;                 /* {script: module or tuple}, see script.c */
    PyObject *load, *load_target;      /* functions of httpd_wsgi.interpreter */
    PyObject *format_exception;
    PyObject *describe_callables;
    PyObject *objection;
    PyObject *stale;           /* exception class */
    PyObject *event_callbacks; /* list, the application's to change */
    PyObject *active_requests; /* {request id: request_data()} */
    PyObject *publish;         /* httpd_wsgi.events.publish */
    PyObject *str_input, *str_errors, *str_errors_name, *str_early_hints;
    PyObject *str_url_scheme, *str_multithread, *str_multiprocess, *str_run_once;
    PyObject *str_mtime, *str_reload_required;
    PyObject *str_http, *str_https, *str_close, *str_fileno, *str_tell, *str_thread_id;
    PyObject *str_request_start, *str_queue_start, *str_daemon_start, *str_application_start;
    rt_codes in_template;      /* codes whose last_values are in environ_template, too */
    uint32_t template_flags;   /* flags of the request block that the template tells */
    uint64_t template_version; /* counts the template's changes */
} rt_state;

/* Never freed, and not changed once rt_interp_get() has returned it. */
typedef struct rt_interp {
    char *name;
    PyInterpreterState *pis;
    rt_state *st;
    struct rt_interp *next;
} rt_interp;

/* ---- the request ---- */

/* The request's place among those that slow.c watches. Under the lock there. */
typedef struct rt_running {
    struct rt_request *next, *previous;
    int is_listed, thread;
} rt_running;

/* Text of a log record that has no end yet. */
typedef struct rt_partial_line {
    char *text; /* by PyMem_Malloc(); NULL: there is none */
    size_t len, room;
} rt_partial_line;

typedef struct rt_request {
    wire_block_head head;
    rt_slice meta[WIRE_M_END - WIRE_META];
    rt_slice method, uri;
    const char *block;
    size_t block_len;
    const char *hand; /* the transport's: the beginning of the body, which needs no wait */
    size_t hand_len;  /* 0: there is none, or it has been read; under the GIL */
    rt_state *st;
    const wire_ops *ops;
    void *ctx;
    struct rt_request *outer; /* the request whose response contains this one (mod_include); NULL:
                                 none */

    /* Objects handed to the application; each points back here until the request ends. Owned. */
    PyObject *adapter, *input, *errors;

    /* The response. Under the GIL. */
    PyObject *status;  /* str as given, NULL before start_response() */
    PyObject *headers; /* tuple of (str, str) tuples, validated */
    int committed;     /* status and headers can no longer change */
    int head_sent;
    int client_gone;
    int input_failed; /* the request body could not be read, which the application was told */
    int status_code;
    int64_t content_length; /* -1: none given */
    int64_t sent;           /* body bytes accepted so far, including those beyond content_length */
    int excess_logged;
    struct rt_later *later; /* the whole response, when it leaves after the request has left Python;
                               see request.h */

    /* events.c, metrics.c */
    int64_t daemon_start_us;              /* 0 when embedded */
    _Atomic int64_t application_start_us; /* slow.c looks at it */
    int64_t recorded_us;                  /* when metrics.c began to count it */
    int64_t active_at_start,
        active_at_end; /* requests then, this one included; as metrics.c counts */
    rt_running running;
    PyObject *id;   /* Owned, as data; NULL before the application is called. */
    PyObject *data; /* dict of request_data() */
    rt_usage usage;

    rt_partial_line partial_line; /* of wsgi.errors, sys.stdout and sys.stderr */

    /* An application's helper threads may write while the request's own thread finishes: the
     * request ends only when none of them is inside a method of its objects or an operation. io
     * serialises the operations themselves. */
    atomic_int inside;
    pthread_mutex_t io;
} rt_request;

#define RT_META(rq, code) ((rq)->meta[(code) - WIRE_META])

/* ---- assertions ---- */

/* Of interp.c, and defined in builds that evaluate assertions only. Each returns 0 only when that
 * is certain: before CPython 3.12 the current thread state is one variable for all threads, so
 * another thread's can hide that this one is detached. */
int rt_is_attached(void);
int rt_is_detached(void);

#define rt_assert_attached() WIRE_ASSERT(rt_is_attached())
#define rt_assert_detached() WIRE_ASSERT(rt_is_detached())

/* This thread runs the request, and is between its entry of the interpreter and the end of its
 * objects. */
#define rt_assert_own(rq) WIRE_ASSERT(rt_is_attached() && rt_current() == (rq))

/* ---- methods of the objects that point to a request; with the GIL ---- */

/* Between these no other thread is in a method of the object, as the GIL has it between two
 * operations. Nothing may return in there. */
#ifdef Py_GIL_DISABLED
#define RT_BEGIN_ALONE(object) Py_BEGIN_CRITICAL_SECTION(object)
#define RT_END_ALONE()         Py_END_CRITICAL_SECTION()
#else
#define RT_BEGIN_ALONE(object) {
#define RT_END_ALONE()         }
#endif

typedef PyObject *(*rt_method)(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

/* Returns what the method does, which runs alone; while it runs, the request that *slot points to
 * cannot end. slot belongs to self and is changed by rt_cut() only. With a GIL nothing can end
 * between two operations, and operations count themselves. */
static inline PyObject *rt_alone(PyObject *self, rt_request **slot, rt_method method,
                                 PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *result;
    rt_request *rq;

    RT_BEGIN_ALONE(self);
    rq = *slot;
#ifndef Py_GIL_DISABLED
    rq = NULL;
#endif
    if (rq)
        atomic_fetch_add(&rq->inside, 1);
    result = method(self, args, nargs);
    if (rq)
        atomic_fetch_sub(&rq->inside, 1);
    RT_END_ALONE();
    return result;
}

/* The request is over for this object. */
static inline void rt_cut(PyObject *self, rt_request **slot)
{
    (void)self;
    RT_BEGIN_ALONE(self);
    *slot = NULL;
    RT_END_ALONE();
}

/* Around operations of rq->ops, which run without the GIL and one at a time. The request cannot end
 * in between. Nothing may return in there. */
#define RT_BEGIN_IO(rq)                                                                            \
    {                                                                                              \
        PyThreadState *rt_io_tstate = rt_begin_io(rq);
#define RT_END_IO(rq)                                                                              \
    rt_end_io(rq, rt_io_tstate);                                                                   \
    }

static inline PyThreadState *rt_begin_io(rt_request *rq)
{
    PyThreadState *tstate;

    rt_assert_attached();
    atomic_fetch_add(&rq->inside, 1);
    tstate = PyEval_SaveThread();
    pthread_mutex_lock(&rq->io);
    return tstate;
}

static inline void rt_end_io(rt_request *rq, PyThreadState *tstate)
{
    rt_assert_detached();
    pthread_mutex_unlock(&rq->io);
    PyEval_RestoreThread(tstate);
    WIRE_ASSERT(rq->inside > 0);
    atomic_fetch_sub(&rq->inside, 1);
}

/* ---- process.c: what is known about this process ---- */

/* Set while the process starts, before any request, except rolling. */
typedef struct rt_process {
    int embedded;
    int threads, processes;
    uint32_t pid;         /* getpid() asks the kernel each time */
    int send_buffer_size; /* of a worker's connections; 0: the system's */
    int64_t start_us;
    int log_level;        /* of the server, as in APLOG_* */
    int main_is_first;    /* the first application group seen gets the main interpreter */
    int free_threading;   /* a Python that can do so runs without its lock */
    int maximum_requests; /* 0: any number */
    double queue_timeout; /* seconds; 0: any time */
    char where[256];      /* "shop.conf:14" */
    _Atomic int rolling;  /* the loaded code answers requests that find their script changed: with
                             reload=rolling, and when no supervisor is left to have it loaded */
    int control_fd;       /* socket to the supervisor; -1: there is none */
    PyObject *settings;   /* dict of the main interpreter, as given to configure(); owned */
    void (*embed_log)(int level, const char *text, size_t len);
    size_t (*embed_scoreboard)(char *buf, size_t room); /* NULL: not permitted */
    void (*embed_log_at)(int level, const char *file, int line, const char *text, size_t len);
} rt_process;

extern rt_process rt_the_process;

/* ---- interp.c: which interpreters exist, and how a thread gets into one ---- */

/* With the GIL. */

/* Registers the interpreter that is running now as the main one. Returns 0, or -1 with an exception
 * set. */
int rt_interp_init_main(PyObject *module, PyObject *settings);

/* Imports the package and this extension in the running interpreter. Returns its state, or NULL
 * with an exception set; *module is a new reference. */
rt_state *rt_import_runtime(PyObject **module);

/* Returns the state of a _runtime module, borrowed. */
rt_state *rt_module_state(PyObject *module);

/* Detaches this thread from the interpreter that rt_enter() has attached it to. */
void rt_leave(void);

/* Without the GIL. */

/* Returns the interpreter of an application group, which is created when it does not exist yet;
 * NULL when that failed, which is logged. */
rt_interp *rt_interp_get(const char *group, size_t len);

/* Attaches this thread to an interpreter; may wait. */
void rt_enter(rt_interp *in);

/* Forgets this thread's thread states in sub-interpreters; when a request thread ends. */
void rt_thread_done(void);

/* Runs interpreter.shutdown() in every sub-interpreter, and in the main one when asked. Returns how
 * many sub-interpreters exist. */
int rt_interp_shutdown_all(int main_too);

/* Calls httpd_wsgi.events.FUNCTION(word, number) in every interpreter, one after the other. */
void rt_interp_tell_all(const char *function, const char *word, int number);

/* With or without the GIL. */

/* Returns this thread's number among those that ever ran a request, from 1. */
int rt_thread_number(void);

/* ---- fork.c: processes that the application forks; with the GIL ---- */

extern int rt_is_copy; /* this process is one */

/* Sets rt_is_copy in processes that are forked from now on; once. Returns 0, or an errno. */
int rt_fork_watch(void);

/* Ends the process, with the exception that brought it here, if any. */
_Noreturn void rt_end_copy(rt_state *st);

/* Called wherever the application has been left, or sends something. */
static inline void rt_end_if_copy(rt_state *st)
{
    if (rt_is_copy)
        rt_end_copy(st);
}

/* ---- stream.c: wsgi.errors, sys.stdout and sys.stderr, and the runtime's own log ---- */

/* With the GIL. */

/* Returns the type, or NULL with an exception set. */
PyTypeObject *rt_stream_type_new(PyObject *module);

/* Of log_buffer.c. Return the type, and the buffer of a stream; NULL with an exception set. */
PyTypeObject *rt_log_buffer_type_new(PyObject *module);
PyObject *rt_log_buffer_new(PyObject *stream);

/* Of log_buffer.c. Methods and an attribute that streams and their buffers share: they return a
 * constant. */
PyObject *rt_return_false(PyObject *self, PyObject *unused);
PyObject *rt_return_true(PyObject *self, PyObject *unused);
PyObject *rt_get_closed(PyObject *self, void *unused);

/* Of log_buffer.c. Flushes sys.stdout and sys.stderr, where an application may have put a stream
 * that collects. */
void rt_stream_flush_std(void);

/* Returns wsgi.errors, or NULL with an exception set. */
PyObject *rt_errors_new(rt_state *st, rt_request *rq);
void rt_errors_cut(PyObject *errors);

/* Logs what has no newline yet; when the request's objects have been cut off. */
void rt_stream_flush_request(rt_request *rq);

/* Logs one record to the request that this thread serves, else to the process's log. */
void rt_log(int level, const char *text, size_t len);

/* Logs likewise, with the place in the application's source that logs. */
void rt_log_at(int level, const char *file, int line, const char *text, size_t len);

/* Logs for the process, in a worker and without the GIL. */
void rt_logf_detached(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Logs likewise, unless level is less important than what is logged. */
void rt_logf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Logs the pending exception with its traceback, one record per line, headed by code and what, and
 * clears it. */
void rt_log_exception(rt_state *st, int level, const char *code, const char *what);

/* With or without the GIL. */

/* Logs to the process's stderr, which is a worker's own way to the log. about: whom or what the
 * lines are about, in brackets and with a space behind them, or "". */
void rt_log_stderr(int level, const char *about, const char *text, size_t len);

/* Returns the least important level that is logged where rt_log() would log now. */
int rt_log_level(void);

/* Returns the request that this thread serves; NULL: none. */
rt_request *rt_current(void);
void rt_set_current(rt_request *rq);

/* ---- title.c; with or without the GIL ---- */

/* Sets the name that ps shows. */
void rt_set_process_title(const char *title, size_t len);

#endif
