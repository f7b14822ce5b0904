/* request.c - one request from its block to the last byte of its response, in the order of PEP
 * 3333. */
#include "observe.h"
#include "request.h"

#include "wire/activity.h"

#include <string.h>

/* ---- the result ---- */

/* Returns 0, -1 with an exception set, or 1 when the client has gone; the next ones likewise. */
static int send_item(rt_request *rq, PyObject *item, int flags)
{
    if (!PyBytes_Check(item)) {
        PyErr_Format(PyExc_TypeError, "the application's result must yield bytes, not %.200s",
                     Py_TYPE(item)->tp_name);
        return -1;
    }
    if (PyBytes_GET_SIZE(item) == 0)
        return flags & WIRE_SEND_FLUSH ? rt_look(rq) : 0;
    return rt_send(rq, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item), flags);
}

/* PEP 3333 ("Handling the Content-Length Header"): iterating stops when enough data has been sent.
 * An iterable may have no end, and a client that needs no more must not hold the thread. The items
 * of a list or tuple all exist already, so nothing is gained by that, nor by flushing between
 * them. */
static int send_iterable(rt_request *rq, PyObject *result)
{
    int flags = PyList_CheckExact(result) || PyTuple_CheckExact(result) ? 0 : WIRE_SEND_FLUSH;
    PyObject *it = PyObject_GetIter(result), *item;
    int rc = 0;

    if (!it)
        return -1;
    while (rc == 0 && !(flags && rt_is_enough(rq)) && (item = PyIter_Next(it))) {
        rc = send_item(rq, item, flags);
        Py_DECREF(item);
    }
    Py_DECREF(it);
    return PyErr_Occurred() ? -1 : rc;
}

/* Returns a new reference to the item of a list or tuple that has one; else NULL. It is the whole
 * body, so its length is known (PEP 3333, "Handling the Content-Length Header"). */
static PyObject *only_item(PyObject *result)
{
    PyObject *item = NULL;

    RT_BEGIN_ALONE(result);
    if (PyList_CheckExact(result) && PyList_GET_SIZE(result) == 1)
        item = Py_NewRef(PyList_GET_ITEM(result, 0));
    else if (PyTuple_CheckExact(result) && PyTuple_GET_SIZE(result) == 1)
        item = Py_NewRef(PyTuple_GET_ITEM(result, 0));
    RT_END_ALONE();
    return item;
}

static int is_bodyless(const rt_request *rq)
{
    return rq->status_code == 204 || rq->status_code == 304;
}

static int send_result(rt_request *rq, PyObject *result)
{
    PyObject *only = only_item(result);
    int rc;

    if (PyObject_TypeCheck(result, rq->st->file_wrapper_type) && rq->sent == 0) {
        rc = rt_file_wrapper_send(rq, result);
        if (rc != 0)
            return rc == 1 ? 0 : rc == 2 ? 1 : -1;
    }
    if (only && PyBytes_Check(only) && PyBytes_GET_SIZE(only) > 0 && rq->status && !rq->committed) {
        if (rq->content_length < 0 && !is_bodyless(rq))
            rq->content_length = (int64_t)PyBytes_GET_SIZE(only);
        if (rq->content_length <= (int64_t)PyBytes_GET_SIZE(only))
            rc = rt_send_all(rq, result, only);
        else
            rc = send_item(rq, only, 0);
    } else {
        rc = send_iterable(rq, result);
    }
    Py_XDECREF(only);
    return rc;
}

static int is_short(const rt_request *rq)
{
    return rq->content_length > rq->sent && !is_bodyless(rq) && !(rq->head.flags & WIRE_RQ_HEAD);
}

/* Ends a response that raised nothing. Returns as send_item(). */
static int finish(rt_request *rq, PyObject *result)
{
    if (!rq->committed) {
        if (!rq->status) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the application returned without calling start_response");
            return -1;
        }
        if (rq->content_length < 0 && !is_bodyless(rq) && !(rq->head.flags & WIRE_RQ_HEAD))
            rq->content_length = 0;
        return is_short(rq) ? rt_send(rq, "", 0, 0) : rt_send_all(rq, result, NULL);
    }
    return 0;
}

/* PEP 3333: close() is called whatever happened. The pending exception is saved meanwhile. */
static void close_result(rt_request *rq, PyObject *result)
{
    PyObject *type, *value, *traceback, *method, *done;

    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return; /* they have no close(), and looking for it would cost as much as the rest of this
                   function */
    PyErr_Fetch(&type, &value, &traceback);
    method = PyObject_GetAttr(result, rq->st->str_close);
    if (method) {
        done = PyObject_CallNoArgs(method);
        if (!done)
            rt_event_exception(rq);
        if (!done)
            rt_log_exception(rq->st, WIRE_ERR, "WSGI0405",
                             "close() of the application's result raised");
        Py_XDECREF(done);
        Py_DECREF(method);
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    } else {
        rt_event_exception(rq);
        rt_log_exception(rq->st, WIRE_ERR, "WSGI0406",
                         "close of the application's result could not be looked up");
    }
    PyErr_Restore(type, value, traceback);
}

/* ---- the outcome ---- */

static enum wire_outcome outcome_of_exception(rt_request *rq)
{
    rt_slice script = RT_META(rq, WIRE_M_SCRIPT);
    char what[512];

    if (rq->client_gone && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        rt_logf(
            WIRE_DEBUG,
            "WSGI0407: the client closed the connection; the application's exception is ignored");
        return WIRE_CLIENT_GONE;
    }
    if (rq->input_failed && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        rt_logf(
            WIRE_INFO,
            "WSGI0416: the request body could not be read and the application did not handle that");
        return rq->head_sent ? WIRE_ABORTED : WIRE_ERROR_500;
    }
    if (PyErr_ExceptionMatches(rq->st->request_timeout)) {
        PyErr_Clear();
        rt_logf(WIRE_INFO,
                "WSGI0408: the request was interrupted because it ran longer than request-timeout");
        return rq->head_sent ? WIRE_ABORTED : WIRE_ERROR_504;
    }
    snprintf(what, sizeof(what), "the application in %.*s raised an exception%s", (int)script.len,
             script.at,
             rq->head_sent ? " after the response had begun; the response is cut off" : "");
    rt_event_exception(rq);
    rt_log_exception(rq->st, WIRE_ERR, "WSGI0401", what);
    if (rq->client_gone)
        return WIRE_CLIENT_GONE;
    return rq->head_sent ? WIRE_ABORTED : WIRE_ERROR_500;
}

static enum wire_outcome outcome_of(rt_request *rq, int rc, PyObject *app)
{
    if (rc < 0 && !rq->committed && PyErr_ExceptionMatches(PyExc_TypeError) &&
        rt_is_no_application(rq, app)) {
        rt_event_exception(rq);
        PyErr_Clear();
        return WIRE_ERROR_500;
    }
    if (rc < 0)
        return outcome_of_exception(rq);
    if (rc > 0) {
        rt_logf(WIRE_DEBUG,
                "WSGI0409: the client closed the connection before the response was complete");
        return WIRE_CLIENT_GONE;
    }
    if (is_short(rq)) {
        rt_logf(WIRE_ERR,
                "WSGI0412: the application sent %lld of the %lld bytes its Content-Length "
                "promised; the "
                "connection is closed so that the client notices",
                (long long)rq->sent, (long long)rq->content_length);
        return WIRE_ABORTED;
    }
    return WIRE_DONE;
}

static enum wire_outcome call_application(rt_request *rq, PyObject *app)
{
    PyObject *environ = rt_environ_build(rq), *called = NULL, *start = NULL, *result = NULL;
    enum wire_outcome outcome;
    int rc = -1;

    if (environ && rt_watch_begin(rq, environ) == 0)
        called =
            rt_event_started(rq, environ, app); /* app itself unless a subscriber replaces it */
    if (called)
        start = rt_adapter_start_response(rq->adapter);
    if (start) {
        PyObject *args[2] = {environ, start};

        result = PyObject_Vectorcall(called, args, 2, NULL);
    }
    Py_XDECREF(start);
    if (result) {
        rc = send_result(rq, result);
        if (rc == 0)
            rc = finish(rq, result);
    }
    rt_end_if_copy(rq->st);
    if (result)
        close_result(rq, result);
    outcome = outcome_of(rq, rc, app);
    rt_event_finished(rq, outcome);
    rt_watch_end(rq);
    Py_XDECREF(result);
    Py_XDECREF(called);
    Py_XDECREF(environ);
    return outcome;
}

/* ---- one request ---- */

static int open_objects(rt_request *rq)
{
    rq->adapter = rt_adapter_new(rq->st, rq);
    rq->input = rt_input_new(rq->st, rq);
    rq->errors = rt_errors_new(rq->st, rq);
    return rq->adapter && rq->input && rq->errors ? 0 : -1;
}

/* Cuts the objects off, and waits for helper threads of the application that are still inside an
 * operation. */
static void close_objects(rt_request *rq)
{
    if (rq->st->has_log_buffers)
        rt_stream_flush_std();
    rt_set_current(rq->outer);
    if (rq->adapter)
        rt_adapter_cut(rq->adapter);
    if (rq->input)
        rt_input_cut(rq->input);
    if (rq->errors)
        rt_errors_cut(rq->errors);
    while (rq->inside > 0) {
        Py_BEGIN_ALLOW_THREADS sched_yield();
        Py_END_ALLOW_THREADS
    }
    WIRE_ASSERT(rt_is_consistent(rq));
    rt_stream_flush_request(rq);
    Py_CLEAR(rq->adapter);
    Py_CLEAR(rq->input);
    Py_CLEAR(rq->errors);
    Py_CLEAR(rq->status);
    Py_CLEAR(rq->headers);
}

/* Reads the head and the meta pairs. Returns 0, or -1 when the block is malformed. */
static int read_block(rt_request *rq)
{
    wire_reader rd;
    wire_pair pair;
    int more;

    if (wire_block_open(&rd, &rq->head, rq->block, rq->block_len) < 0)
        return -1;
    while ((more = wire_block_next(&rd, &pair)) > 0)
        if (pair.code >= WIRE_META)
            RT_META(rq, pair.code) = (rt_slice){pair.value, pair.value_len};
        else if (pair.code == WIRE_REQUEST_METHOD)
            rq->method = (rt_slice){pair.value, pair.value_len};
        else if (pair.code == WIRE_REQUEST_URI)
            rq->uri = (rt_slice){pair.value, pair.value_len};
    return more;
}

/* Logs a failure before there is an interpreter, directly to the transport. Returns the outcome. */
static enum wire_outcome refuse(rt_request *rq, const char *text)
{
    rq->ops->log(rq->ctx, WIRE_CRIT, text, strlen(text));
    return WIRE_ERROR_500;
}

static enum wire_outcome run_application(rt_request *rq)
{
    enum wire_outcome outcome;
    PyObject *app = rt_find_application(rq, &outcome);

    if (app)
        outcome = call_application(rq, app);
    Py_XDECREF(app);
    return outcome;
}

enum wire_outcome rt_request_run(const char *block, size_t len, const wire_ops *ops, void *ctx,
                                 _Atomic uint32_t *phase)
{
    rt_later later;
    rt_request rq = {.block = block,
                     .block_len = len,
                     .ops = ops,
                     .ctx = ctx,
                     .content_length = -1,
                     .outer = rt_current(),
                     .later = &later};
    enum wire_outcome outcome = WIRE_ERROR_500;
    rt_interp *in;

    rt_assert_detached();
    later.is_taken = 0; /* the rest of this large structure is set before it is used */
    if (!rt_the_process.embedded)
        rq.daemon_start_us = rt_now_us();
    if (read_block(&rq) < 0)
        return refuse(&rq, "WSGI0413: malformed request block; are Apache module and Python "
                           "package of one version?");
    rt_activity_begin(&rq);
    in = rt_interp_get(RT_META(&rq, WIRE_M_APPLICATION_GROUP).at,
                       RT_META(&rq, WIRE_M_APPLICATION_GROUP).len);
    if (!in) {
        rt_activity_end(&rq, outcome);
        return refuse(&rq, "WSGI0414: the application group has no interpreter; the reason is in "
                           "the server's error log");
    }
    rt_stat_module(&rq);
    pthread_mutex_init(&rq.io, NULL);
    if (!(rq.head.flags & WIRE_RQ_HOOK))
        rt_metrics_begin(&rq);
    if (rq.head.body_kind == WIRE_BODY_INLINE && ops->body_at_hand)
        rq.hand_len = ops->body_at_hand(ctx, &rq.hand);
    rt_enter(in);
    if (phase)
        atomic_store_explicit(phase, WIRE_PHASE_APP, memory_order_relaxed);
    rt_later_drop(in);
    later.in = in;
    rq.st = in->st;
    rt_set_current(&rq);
    rt_activity_app(&rq, in);
    if (open_objects(&rq) == 0)
        outcome = rq.head.flags & WIRE_RQ_HOOK ? rt_hook_run(&rq) : run_application(&rq);
    rt_end_if_copy(rq.st); /* a script may have forked while it was loaded */
    rt_activity_shut();
    PyErr_Clear();
    close_objects(&rq);
    rt_leave();
    WIRE_ASSERT(rq.inside == 0);
    WIRE_ASSERT(!rq.adapter && !rq.input && !rq.errors && !rq.data && !rq.partial_line.text);
    if (later.is_taken && outcome == WIRE_DONE)
        outcome = rt_later_send(&rq);
    rt_activity_end(&rq, outcome);
    rt_metrics_end(&rq, outcome);
    pthread_mutex_destroy(&rq.io);
    return outcome;
}
