/* request.h - one request as PEP 3333 has it: application, environ, input, response, and scripts
 * that are only asked about it.
 *
 * Lifetime: a rt_request and its rt_later live on the stack of the thread that runs the request.
 * Objects that the application got are cut off from it when it ends, by the functions whose names
 * end in _cut.
 *
 * Threads: a request belongs to the thread that runs it. Helper threads of the application may call
 * methods of its objects, which are in response.c, input.c and stream.c and exclude each other
 * (rt_alone(), RT_BEGIN_IO()). */
#ifndef RT_REQUEST_H
#define RT_REQUEST_H

#include "core.h"

/* Each defines a METH_FASTCALL, METH_O or METH_NOARGS function around one of type rt_method. */
#define RT_FASTCALL(name, type, method)                                                            \
    static PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t nargs)                 \
    {                                                                                              \
        return rt_alone(self, &((type *)self)->rq, method, args, nargs);                           \
    }
#define RT_ONE(name, type, method)                                                                 \
    static PyObject *name(PyObject *self, PyObject *arg)                                           \
    {                                                                                              \
        return rt_alone(self, &((type *)self)->rq, method, &arg, 1);                               \
    }
#define RT_NOARGS(name, type, method)                                                              \
    static PyObject *name(PyObject *self, PyObject *unused)                                        \
    {                                                                                              \
        (void)unused;                                                                              \
        return rt_alone(self, &((type *)self)->rq, method, NULL, 0);                               \
    }

/* For assertions. Returns 1 when the parts of the request agree with each other, which they do
 * while none of its operations runs. */
static inline int rt_is_consistent(const rt_request *rq)
{
    return (!rq->head_sent || rq->committed) && (!rq->committed || (rq->status && rq->headers)) &&
           rq->content_length >= -1 && rq->sent >= 0;
}

/* ---- request.c; without the GIL ---- */

/* Runs one request, as wire_runtime.run() does. Returns what became of it. */
enum wire_outcome rt_request_run(const char *block, size_t len, const wire_ops *ops, void *ctx,
                                 _Atomic uint32_t *phase);

/* ---- hook.c: scripts that are asked about a request (WIRE_RQ_HOOK); with the GIL ---- */

/* Returns WIRE_DONE when the verdict was sent; else the reason is logged. */
enum wire_outcome rt_hook_run(rt_request *rq);

/* ---- script.c ---- */

/* With the GIL. */

/* Returns a new reference to the application; NULL when *outcome says what to answer, and the
 * reason is logged. */
PyObject *rt_find_application(rt_request *rq, enum wire_outcome *outcome);

/* Called when calling the application, or what it returned, has raised TypeError, which stays set.
 * Returns 1 when it can be no WSGI application, which is logged; else 0. */
int rt_is_no_application(rt_request *rq, PyObject *app);

/* Without the GIL. */

/* Notes the file of a "module:callable" that is about to be loaded, and its modification time. Any
 * thread. */
void rt_module_note_file(rt_slice target, const char *path, int64_t mtime_us);

/* Returns the file of a "module:callable", or NULL when it is not known. Any thread. */
const char *rt_module_file(rt_slice target);

/* Returns a list of all noted files as (target, path, mtime_us), or NULL with an exception set. */
PyObject *rt_module_files(void);

/* Puts the modification time of a module's file into rq->head, when the request names a
 * "module:callable". */
void rt_stat_module(rt_request *rq);

/* Loads a script or module in its interpreter before any request. With callable "" it is no
 * application: a "module:callable" is called, and of a script nothing more is wanted. A script
 * without the callable counts as failed. Returns 1, or 0 when it failed, which is logged. */
int rt_preload(const char *group, const char *script, const char *callable);

/* ---- environ.c; with the GIL ---- */

/* Fills in names and template of a new interpreter. Returns 0, or -1 with an exception set. */
int rt_environ_init(rt_state *st);

/* Returns a new reference to environ, or NULL with an exception set. */
PyObject *rt_environ_build(rt_request *rq);

/* Returns likewise the environ of a hook: what the block says, and no way to read or answer the
 * request. */
PyObject *rt_environ_build_hook(rt_request *rq);

/* ---- headers.c: status and headers; with the GIL, except where it says otherwise ---- */

/* Returns the ISO-8859-1 bytes of a str, borrowed from it; NULL with TypeError or
 * UnicodeEncodeError set. what: its name in the message. */
const char *rt_latin1(PyObject *str, const char *what, size_t *len);

/* Returns the status code, or -1 with an exception set. */
int rt_check_status(PyObject *status);

/* Checks a tuple of headers. *content_length changes when one of them is Content-Length. Returns 0,
 * or -1 with an exception set. */
int rt_check_headers(PyObject *headers, int64_t *content_length);

/* Fills out with a checked tuple's headers, without Content-Length; there must be room for all.
 * Their strings are borrowed. Returns their number. With or without the GIL, as the next one: the
 * tuple is the caller's and does not change. */
size_t rt_fill_headers(wire_header *out, PyObject *headers);

/* Fills in the head as the transport takes it. There must be room for all of rq->headers. Reason
 * and strings belong to rq->status and rq->headers. */
void rt_head_fill(wire_response *head, wire_header *headers, const rt_request *rq);

/* ---- response.c: start_response(), write() and the way out; with the GIL ---- */

/* Returns the type, or NULL with an exception set. */
PyTypeObject *rt_adapter_type_new(PyObject *module);

/* Each returns a new reference, or NULL with an exception set: the object, start_response() and
 * wsgi.early_hints of it. */
PyObject *rt_adapter_new(rt_state *st, rt_request *rq);
PyObject *rt_adapter_start_response(PyObject *adapter);
PyObject *rt_adapter_early_hints(PyObject *adapter);
void rt_adapter_cut(PyObject *adapter);

/* Status and headers can no longer change. Returns 0, or -1 with an exception set. */
int rt_commit(rt_request *rq);

/* Commits when needed and sends a part of the body. Returns 0, -1 with an exception set, or 1 when
 * the client has gone. */
int rt_send(rt_request *rq, const char *data, size_t len, int flags);

/* Sends the whole response: this bytes object, or no body when it is NULL. result: what the
 * application returned. Returns as rt_send(). */
int rt_send_all(rt_request *rq, PyObject *result, PyObject *body);

/* Returns 0, or 1 when the client has gone. For an application that goes on without sending. */
int rt_look(rt_request *rq);

/* Returns 1 when nothing more of what the application yields can reach the client, else 0. */
int rt_is_enough(const rt_request *rq);

/* Sends a part of a file. Returns as rt_send(). */
int rt_send_file(rt_request *rq, int fd, int64_t offset, int64_t len);

/* ---- later.c: a whole response that leaves when its request has left Python ---- */

#define RT_LATER_HEADERS 32
#define RT_LATER_ROOM    8192

/* Only the thread that runs the request uses it. */
typedef struct rt_later {
    rt_interp *in;
    int is_taken;
    int is_held; /* data outlasts the request, see rt_later_drop() */
    wire_response head;
    wire_header headers[RT_LATER_HEADERS];
    const char *data;
    size_t len;
    size_t used;
    char bytes[RT_LATER_ROOM]; /* what head, headers and data point to */
} rt_later;

/* With the GIL. */

/* Takes the response that consists of rq's head and body, a bytes object or NULL. Returns 1, or 0
 * when it is too large or the time for sending is measured. */
int rt_later_take(rt_request *rq, PyObject *body);

/* Drops the body that this thread's last response has left, if it belongs to this interpreter,
 * which the thread is attached to. */
void rt_later_drop(rt_interp *in);

/* Without the GIL. */

/* Sends what was taken; when the request has no objects any more. Returns what became of the
 * request. */
enum wire_outcome rt_later_send(rt_request *rq);

/* Drops the body that this thread's last response has left; when a request thread ends. */
void rt_later_done(void);

/* ---- input.c: wsgi.input; with the GIL ---- */

/* Returns the type, or NULL with an exception set. */
PyTypeObject *rt_input_type_new(PyObject *module);

/* Returns wsgi.input, or NULL with an exception set. */
PyObject *rt_input_new(rt_state *st, rt_request *rq);
void rt_input_cut(PyObject *input);

/* ---- file_wrapper.c: wsgi.file_wrapper; with the GIL ---- */

/* Returns the type, or NULL with an exception set. */
PyTypeObject *rt_file_wrapper_type_new(PyObject *module);

/* Returns 0, or -1 with an exception set. */
int rt_file_wrapper_init(rt_state *st);

/* Returns 1 when the file was sent by its descriptor, 0 when that is not possible and the wrapper
 * must be iterated over, -1 with an exception set, 2 when the client has gone. */
int rt_file_wrapper_send(rt_request *rq, PyObject *wrapper);

/* ---- stale.c: scripts that are newer on disk than what is loaded; workers only; with or without
 * the GIL ---- */

/* Reports to the supervisor that the request's script is newer. Returns 1 when the loaded code may
 * answer all the same, else 0. */
int rt_stale_is_served(const rt_request *rq);

/* Reports to the supervisor that this worker could not load the request's script. */
void rt_report_failed(const rt_request *rq);

/* The version of this modification time is known not to load: what is loaded stays in use. */
void rt_reject_version(rt_slice script, int64_t mtime_us);

#endif
