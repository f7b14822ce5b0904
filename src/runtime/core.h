/* core.h - the WSGI runtime: what its files share.
 *
 * One process has one runtime and any number of interpreters; each interpreter imports this extension again and has its own
 * rt_state. A request lives on the stack of the thread that runs it (rt_request); the Python objects an application may keep
 * point to it and are cut off when it ends. Everything that touches a PyObject needs the GIL; wire_ops are only ever called
 * without it. */
#ifndef RT_RUNTIME_H
#define RT_RUNTIME_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "wire/block.h"
#include "wire/contract.h"
#include "wire/frames.h"

#include "usage.h"

typedef struct rt_slice {
    const char *at;
    size_t len;
} rt_slice;

/* A set of codes of wire/block.h. */
typedef struct rt_codes {
    uint64_t bits[(WIRE_M_END + 63) / 64];
} rt_codes;

/* Per interpreter; the state of its _runtime module. All references owned. */
typedef struct rt_state {
    PyTypeObject *adapter_type;
    PyTypeObject *input_type;
    PyTypeObject *stream_type;
    PyTypeObject *file_wrapper_type;
    PyObject *request_timeout;                /* exception class */
    PyObject *names[WIRE_NAME_COUNT];         /* interned environ keys */
    PyObject *meta_names[WIRE_M_END];         /* interned, NULL where a meta pair is not an environ key */
    PyObject *apache_version;                 /* tuple; NULL before the first request */
    PyObject *last_values[WIRE_M_END];        /* of environ.c: values of earlier requests, by code */
    PyObject *environ_template;               /* what is the same in every environ, and what was in the last one and may be in the next */
    PyObject *scripts;                        /* {script bytes: module, or a tuple for "module:callable"}, see script.c */
    PyObject *load, *load_target;             /* functions of httpd_wsgi.interpreter */
    PyObject *format_exception;
    PyObject *describe_callables;
    PyObject *stale;                          /* exception class */
    PyObject *event_callbacks;                /* list, the application's to change */
    PyObject *active_requests;                /* {request id: request_data()} */
    PyObject *publish;                        /* httpd_wsgi.events.publish */
    PyObject *str_input, *str_errors, *str_errors_name, *str_early_hints, *str_url_scheme, *str_multithread, *str_multiprocess, *str_run_once;
    PyObject *str_mtime, *str_reload_required;
    PyObject *str_http, *str_https, *str_close, *str_fileno, *str_tell, *str_thread_id;
    PyObject *str_request_start, *str_queue_start, *str_daemon_start, *str_application_start;
    rt_codes in_template;                     /* codes whose last_values are in environ_template, too */
    uint32_t template_flags;                  /* those of the request block that it tells */
    uint64_t template_version;                /* counts its changes */
} rt_state;

typedef struct rt_interp {
    char *name;
    PyInterpreterState *pis;
    rt_state *st;
    struct rt_interp *next;
} rt_interp;

/* Proof that this thread is attached to an interpreter. Only rt_enter() makes one. */
typedef struct rt_held {
    PyThreadState *tstate;
} rt_held;

#define rt_assert_held(h) ((void)(h), assert((h)->tstate == PyThreadState_Get()))

#define RT_LATER_HEADERS 32
#define RT_LATER_ROOM    8192
#define RT_LATER_LARGE   (128u << 10) /* what a socket's buffer takes at once */

/* Of later.c; on the stack of the thread that runs the request, which alone uses it. */
typedef struct rt_later {
    rt_interp *in;
    int is_taken;
    int is_held;               /* data stays after the request, see rt_later_drop() */
    wire_response head;
    wire_header headers[RT_LATER_HEADERS];
    const char *data;
    size_t len;
    size_t used;
    char bytes[RT_LATER_ROOM]; /* what head, headers and data point to */
} rt_later;

/* Text of a log record that has no end yet. */
typedef struct rt_partial_line {
    char *text;               /* by PyMem_Malloc(); NULL: there is none */
    size_t len, room;
} rt_partial_line;

typedef struct rt_request {
    wire_block_head head;
    rt_slice meta[WIRE_M_END - WIRE_META];
    rt_slice method, uri;
    const char *block;
    size_t block_len;
    const char *hand;         /* the transport's: the beginning of the body, which needs no wait */
    size_t hand_len;          /* 0: there is none, or it has been read; under the GIL */
    rt_state *st;
    const wire_ops *ops;
    void *ctx;
    struct rt_request *outer; /* embedded: sending that request's response runs this one, as mod_include does; else NULL */

    /* Objects handed to the application; each points back here until the request ends. Owned. */
    PyObject *adapter, *input, *errors;

    /* The response. Under the GIL. */
    PyObject *status;         /* str as given, NULL before start_response() */
    PyObject *headers;        /* tuple of (str, str) tuples, validated */
    int committed;            /* status and headers can no longer change */
    int head_sent;
    int client_gone;
    int input_failed;         /* the request body could not be read, which the application was told */
    int status_code;
    int64_t content_length;   /* -1: none given */
    int64_t sent;             /* body bytes accepted so far, including those beyond content_length */
    int excess_logged;
    rt_later *later;          /* the whole response, when it leaves after this */

    /* events.c, metrics.c */
    int64_t daemon_start_us;      /* 0 when embedded */
    _Atomic int64_t application_start_us; /* slow.c looks at it */
    int64_t recorded_us;          /* when metrics.c began to count it */
    int64_t active_at_start, active_at_end; /* requests then, this one included; as metrics.c counts */
    rt_running running;
    PyObject *id;                 /* Owned, as data; NULL before the application is called. */
    PyObject *data;               /* dict of request_data() */
    rt_usage usage;

    rt_partial_line partial_line; /* of wsgi.errors, sys.stdout and sys.stderr */

    /* An application's helper threads may write while the request's own thread finishes: the request ends only when none of
     * them is inside a method of its objects or an operation. io serialises the operations themselves. */
    atomic_int inside;
    pthread_mutex_t io;
} rt_request;

#define RT_META(rq, code) ((rq)->meta[(code) - WIRE_META])

/* ---- methods of the objects that point to a request ---- */

/* Between these no other thread is in a method of the object, as the GIL has it between two operations. Nothing may return in there. */
#ifdef Py_GIL_DISABLED
#define RT_BEGIN_ALONE(object) Py_BEGIN_CRITICAL_SECTION(object)
#define RT_END_ALONE()         Py_END_CRITICAL_SECTION()
#else
#define RT_BEGIN_ALONE(object) {
#define RT_END_ALONE()         }
#endif

typedef PyObject *(*rt_method)(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

/* Calls a method alone; and while it runs, the request that *slot points to cannot end. slot belongs to self and is changed by rt_cut()
 * only. With a GIL nothing can end between two operations, and those count themselves. */
static inline PyObject *rt_alone(PyObject *self, rt_request **slot, rt_method method, PyObject *const *args, Py_ssize_t nargs)
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

/* Around operations of rq->ops, which run without the GIL and one at a time. The request cannot end in between. Nothing may return in
 * there. */
#define RT_BEGIN_IO(rq)                                                                                                \
    {                                                                                                                  \
        PyThreadState *rt_io_tstate = rt_begin_io(rq);
#define RT_END_IO(rq)                                                                                                  \
        rt_end_io(rq, rt_io_tstate);                                                                                   \
    }

static inline PyThreadState *rt_begin_io(rt_request *rq)
{
    PyThreadState *tstate;

    atomic_fetch_add(&rq->inside, 1);
    tstate = PyEval_SaveThread();
    pthread_mutex_lock(&rq->io);
    return tstate;
}

static inline void rt_end_io(rt_request *rq, PyThreadState *tstate)
{
    pthread_mutex_unlock(&rq->io);
    PyEval_RestoreThread(tstate);
    atomic_fetch_sub(&rq->inside, 1);
}

/* Defines a METH_FASTCALL, METH_O or METH_NOARGS function around one of type rt_method. */
#define RT_FASTCALL(name, type, method)                                                                                \
    static PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t nargs)                                     \
    {                                                                                                                  \
        return rt_alone(self, &((type *)self)->rq, method, args, nargs);                                                \
    }
#define RT_ONE(name, type, method)                                                                                     \
    static PyObject *name(PyObject *self, PyObject *arg)                                                               \
    {                                                                                                                  \
        return rt_alone(self, &((type *)self)->rq, method, &arg, 1);                                                    \
    }
#define RT_NOARGS(name, type, method)                                                                                  \
    static PyObject *name(PyObject *self, PyObject *unused)                                                            \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        return rt_alone(self, &((type *)self)->rq, method, NULL, 0);                                                    \
    }

/* ---- interp.c: which interpreters exist, and how a thread gets into one ---- */

typedef struct rt_process {
    int embedded;
    int threads, processes;
    uint32_t pid;             /* getpid() asks the kernel each time */
    int send_buffer_size;     /* of a worker's connections; 0: the system's */
    int64_t start_us;
    int log_level;            /* of the server, as in APLOG_* */
    int main_is_first;        /* the first application group seen gets the main interpreter */
    int free_threading;       /* a Python that can do so runs without its lock */
    int maximum_requests;     /* 0: any number */
    double queue_timeout;     /* seconds; 0: any time */
    char where[256];          /* "shop.conf:14" */
    _Atomic int rolling;      /* requests that find their script changed are answered by the loaded code: with reload=rolling, and when
                                 the supervisor has gone, which would have the new code loaded for them */
    int control_fd;           /* socket to the supervisor; -1: there is none */
    PyObject *settings;       /* dict of the main interpreter, as given to configure(); owned */
    void (*embed_log)(int level, const char *text, size_t len);
    size_t (*embed_scoreboard)(char *buf, size_t room); /* NULL: not permitted */
    void (*embed_log_at)(int level, const char *file, int line, const char *text, size_t len);
} rt_process;

extern rt_process rt_the_process;

/* Registers the interpreter that is running now as the main one. 0, or -1 with an exception set. */
int rt_interp_init_main(PyObject *module, PyObject *settings);

/* The interpreter of an application group, created when it does not exist yet. NULL: creation failed, the reason is logged.
 * Must be called without the GIL. */
rt_interp *rt_interp_get(const char *group, size_t len);

/* Imports the package and this extension in the running interpreter. NULL with an exception set; *module is a new reference. */
rt_state *rt_import_runtime(PyObject **module);

/* Attaches this thread; may block. */
rt_held rt_enter(rt_interp *in);
void rt_leave(rt_held *held);

/* Forgets this thread's thread states in sub-interpreters; called without the GIL when a request thread ends. */
void rt_thread_done(void);

/* Runs interpreter.shutdown() in every sub-interpreter (and in main when asked); returns how many sub-interpreters exist.
 * Called without the GIL. */
int rt_interp_shutdown_all(int main_too);

/* Calls httpd_wsgi.events.FUNCTION(word, number) in every interpreter, one after the other. Called without the GIL. */
void rt_interp_tell_all(const char *function, const char *word, int number);

/* 1-based number of this thread among those that ever ran a request. */
int rt_thread_number(void);

/* ---- request.c ---- */
/* As wire_runtime.run(). */
enum wire_outcome rt_request_run(const char *block, size_t len, const wire_ops *ops, void *ctx, _Atomic uint32_t *phase);

/* ---- fork.c: processes that the application forks ---- */
extern int rt_is_copy;                    /* this is one */
int rt_fork_watch(void);                  /* once. 0, or an errno */
_Noreturn void rt_end_copy(rt_state *st); /* with the exception that brought it here, if any */

/* Wherever the application has been left, or sends something. With the GIL. */
static inline void rt_end_if_copy(rt_state *st)
{
    if (rt_is_copy)
        rt_end_copy(st);
}

/* ---- hook.c: scripts that are asked about a request (WIRE_RQ_CALL) ---- */
/* WIRE_DONE: the verdict was sent; anything else: the reason is logged. */
enum wire_outcome rt_hook_run(const rt_held *held, rt_request *rq);

/* ---- script.c ---- */
/* New reference to the application. NULL: *outcome says what to answer; the reason is logged. */
PyObject *rt_find_application(rt_request *rq, enum wire_outcome *outcome);

/* For a "module:callable": puts the modification time of its file into rq->head. Without the GIL. */
void rt_stat_module(rt_request *rq);

/* Loads a script or module in its interpreter before any request. callable "": what a script defines does not matter, and a
 * "module:callable" is called; else a script without it counts as failed. 1 loaded, 0 failed and logged. Without the GIL. */
int rt_preload(const char *group, const char *script, const char *callable);

/* ---- environ.c ---- */
/* New reference, or NULL with an exception set. */
PyObject *rt_environ_build(const rt_held *held, rt_request *rq);
/* The same for WIRE_RQ_CALL: what the block says, and no way to read or answer the request. */
PyObject *rt_environ_build_hook(const rt_held *held, rt_request *rq);
int rt_environ_init(rt_state *st); /* fills names and template */

/* ---- events.c ---- */
int rt_watch_begin(rt_request *rq, PyObject *environ); /* 0, or -1 with an exception set */
void rt_watch_end(rt_request *rq);
PyObject *rt_request_data(rt_state *st);            /* new reference, or NULL with RuntimeError set */
/* Each tells the subscribers, if there are any. The application to call, new reference; NULL with an exception set. */
PyObject *rt_event_started(rt_request *rq, PyObject *environ, PyObject *app);
int rt_event_response(rt_request *rq, PyObject *status, PyObject *headers, PyObject *exc_info); /* 0, or -1 with an exception set */
void rt_event_exception(rt_request *rq);            /* the pending exception, which stays pending */
void rt_event_finished(rt_request *rq, enum wire_outcome outcome);
int rt_status_of(const rt_request *rq, enum wire_outcome outcome); /* as metrics and events count it */

/* ---- metrics.c ---- */
void rt_metrics_begin(rt_request *rq);              /* without the GIL, as the next one */
void rt_metrics_end(rt_request *rq, enum wire_outcome outcome);
enum rt_reader { RT_APPLICATION, RT_TELEMETRY, RT_READERS }; /* of metrics; the numbers are in httpd_wsgi/metrics.py, too */
int rt_metrics_start(enum rt_reader reader);        /* without the GIL. 0, or an errno */
/* What httpd_wsgi.metrics makes its dictionaries of; the reader's interval begins anew. None: the reader has not started. */
PyObject *rt_metrics_read(enum rt_reader reader, int interval_too);

/* ---- slow.c: requests that have been running for long; telemetry only ---- */
void rt_slow_begin(rt_request *rq);                 /* of a recorded request, without the GIL, as the next two */
void rt_slow_end(rt_request *rq, enum wire_outcome outcome, int64_t now_us);
void rt_slow_watch(int64_t threshold_us);           /* from now on; 0: no longer */
/* List of dictionaries: all that run beyond the threshold, and those that have ended since the last call. */
PyObject *rt_slow_read(void);

/* ---- notes.c: from any interpreter to the thread that sends telemetry ---- */
int rt_note_put(int kind, const char *bytes, size_t len); /* never waits. 0, or -1: there are too many */
PyObject *rt_note_take(void);                       /* [(kind, bytes), …] in their order */

/* ---- scoreboard.c ---- */
int rt_scoreboard_open(int fd);                     /* a worker's, before the first request. 0, or an errno; fd stays the caller's */
PyObject *rt_scoreboard_read(void);                 /* bytes, or None when there is no scoreboard or it may not be seen */

/* ---- response.c: start_response(), write() and the way out ---- */
PyObject *rt_adapter_new(rt_state *st, rt_request *rq);
PyObject *rt_adapter_start_response(PyObject *adapter); /* new reference to the callable */
PyObject *rt_adapter_early_hints(PyObject *adapter);  /* new reference to wsgi.early_hints */
void rt_adapter_cut(PyObject *adapter);
int rt_commit(rt_request *rq);                      /* 0, or -1 with an exception set */
/* Commits when needed and sends. 0; -1 with an exception set; 1: the client has gone. */
int rt_send(rt_request *rq, const char *data, size_t len, int flags);
/* The response is this bytes object (NULL: has no body) and no more. result: what the application returned. Else as rt_send(). */
int rt_send_all(rt_request *rq, PyObject *result, PyObject *body);
/* As rt_send(), from a file. */
int rt_send_file(rt_request *rq, int fd, int64_t offset, int64_t len);
PyTypeObject *rt_adapter_type_new(PyObject *module);

/* ---- headers.c ---- */
/* The ISO-8859-1 bytes of a str, borrowed from it; NULL with TypeError or UnicodeEncodeError set. */
const char *rt_latin1(PyObject *str, const char *what, size_t *len);
/* The status code, or -1 with an exception set. */
int rt_check_status(PyObject *status);
/* 0, or -1 with an exception set. */
int rt_check_headers(PyObject *headers, int64_t *content_length);
/* The tuple's headers as the transport takes them, without Content-Length. Their strings are borrowed. Bytes: the number. */
size_t rt_fill_headers(wire_header *out, PyObject *headers);
/* The head as the transport takes it. Room for all of rq->headers; reason and strings belong to rq->status and rq->headers. */
void rt_head_fill(wire_response *head, wire_header *headers, const rt_request *rq);

/* ---- later.c ---- */
/* Takes the response that consists of rq's head and body, a bytes object or NULL. 0: it is too large, or somebody wants to know
 * how long sending takes. */
int rt_later_take(rt_request *rq, PyObject *body);
/* Sends what was taken; without the GIL, when the request has no objects any more. */
enum wire_outcome rt_later_send(rt_request *rq);
/* What this thread's last response left: drops it if it belongs to this interpreter, which the thread is attached to. */
void rt_later_drop(rt_interp *in);
/* The same in whichever interpreter; without the GIL, when a request thread ends. */
void rt_later_done(void);

/* ---- input.c ---- */
PyObject *rt_input_new(rt_state *st, rt_request *rq);
void rt_input_cut(PyObject *input);
PyTypeObject *rt_input_type_new(PyObject *module);

/* ---- stream.c: wsgi.errors, sys.stdout, sys.stderr ---- */
PyObject *rt_errors_new(rt_state *st, rt_request *rq);
void rt_errors_cut(PyObject *errors);
void rt_stream_flush_request(rt_request *rq);
PyTypeObject *rt_stream_type_new(PyObject *module);
/* One record to the request this thread serves, else to the process's log. With the GIL. */
void rt_log(int level, const char *text, size_t len);
/* The same with the place in the application's source that logs. */
void rt_log_at(int level, const char *file, int line, const char *text, size_t len);
/* Least important level that is logged where rt_log() would log now. */
int rt_log_level(void);
void rt_logf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The pending exception with its traceback, one record per line, headed by code and what. Clears it. */
void rt_log_exception(rt_state *st, int level, const char *code, const char *what);
void rt_set_current(rt_request *rq);
rt_request *rt_current(void);

/* ---- file_wrapper.c ---- */
PyTypeObject *rt_file_wrapper_type_new(PyObject *module);
/* 1: sent by descriptor; 0: not possible, iterate instead; -1 with an exception set; 2: the client has gone. */
int rt_file_wrapper_send(rt_request *rq, PyObject *wrapper);

/* ---- serve.c: a worker's request threads ---- */
/* Serves requests from listen_fd until stop_fd becomes readable. Without the GIL. 0, or an errno. */
int rt_serve(int listen_fd, int stop_fd, int index);
/* The request thread of this index gives up on its request: its client is answered with status and text, if it still can be. 1: it was. */
int rt_expire(uint32_t index, uint32_t serial, int status, const char *text, size_t len);
int rt_active(void);

/* ---- credit.c: how many of this worker's threads wait (wire/offers.h) ---- */
int rt_credit_open(int fd);                /* of the board; before the threads start. 0, or -1 with errno: nobody is told */
int rt_credit_is_open(void);               /* may connections be kept? */
int rt_credit_is_any_left(void);           /* does a thread wait that Apache has not spoken for? */
void rt_credit_add(void);                  /* this thread begins to wait */
int rt_credit_take_back(void);             /* 1: this thread is free to do something else. 0: a request will come for it */
void rt_credit_waited(void);               /* this thread's wait is over */
void rt_credit_close(void);                /* Apache can take no more */
void rt_credit_end(void);                  /* the last thread has ended */

/* ---- stale.c: scripts that are newer on disk than what is loaded; workers only ---- */
/* Tells the supervisor that the request's script is newer. May the loaded code answer all the same? With or without the GIL. */
int rt_stale_is_served(const rt_request *rq);
/* The version of this time is known not to load: what is loaded stays in use. */
void rt_reject_version(rt_slice script, int64_t mtime_us);

/* ---- activity.c: what this worker's threads are doing, for others to see; in embedded mode with slow requests in the log only ---- */
int rt_activity_open(int fd, int64_t offset, int count); /* 0, or -1 with errno */
void rt_activity_thread(int index);       /* this thread writes that entry from now on */
void rt_activity_begin(const rt_request *rq);
void rt_activity_app(const rt_request *rq, rt_interp *in); /* with the GIL, as is shut(): from here to there it may be interrupted */
void rt_activity_head(void);
void rt_activity_shut(void);
void rt_activity_end(const rt_request *rq, enum wire_outcome outcome);
void rt_activity_times(wire_times *out);  /* of this thread's last request; not in embedded mode */
/* By the control thread alone: where that request is in the application, for the status page. */
void rt_activity_show_source_line(uint32_t index, uint32_t serial, const char *line, size_t len);
/* Where the request of this number is being served; NULL: it is over, or has not reached the application. */
rt_interp *rt_activity_interp(uint32_t index, uint32_t serial, unsigned long *ident);
int rt_activity_is_serving(uint32_t index, uint32_t serial);
/* Its Python stack, one line per line, to be freed; NULL: it is over, or there is none. Without the GIL. */
char *rt_activity_stack(uint32_t index, uint32_t serial);
/* Raises RequestTimeout in it. 1: done. Without the GIL. */
int rt_activity_interrupt(uint32_t index, uint32_t serial);

/* ---- title.c ---- */
void rt_set_process_title(const char *title, size_t len);

rt_state *rt_module_state(PyObject *module);

#endif
