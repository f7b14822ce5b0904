/* events.c - what subscribers of mod_wsgi.subscribe_events() are told about requests, and
 * request_data().
 *
 * An event is a dictionary that is made here and passed to httpd_wsgi.events.publish(), which calls
 * the subscribers. While the interpreter's list of them is empty, no event is made. */
#include "observe.h"

/* Returns 1 when this interpreter has subscribers, else 0. */
static int is_watched(const rt_state *st)
{
    return PyList_GET_SIZE(st->event_callbacks) > 0;
}

/* Steals the reference to event. Returns a new reference to the event as the subscribers left it,
 * or NULL with an exception set: that of a NULL event, RequestTimeout or MemoryError. Other
 * exceptions of subscribers are logged and go no further. */
static PyObject *publish(rt_state *st, const char *name, PyObject *event)
{
    return event ? PyObject_CallFunction(st->publish, "sN", name, event) : NULL;
}

/* ---- request_data() ---- */

int rt_watch_begin(rt_request *rq, PyObject *environ)
{
    rt_state *st = rq->st;
    PyObject *id =
        PyDict_GetItemWithError(environ, st->meta_names[WIRE_M_REQUEST_ID]); /* borrowed */

    rt_assert_own(rq);
    rq->data = PyDict_New();
    rq->id = id ? Py_NewRef(id) : PyUnicode_FromString("");
    if (!rq->data || !rq->id || PyDict_SetItem(st->active_requests, rq->id, rq->data) < 0)
        return -1;
    if (rq->usage.recorded || is_watched(st))
        rt_usage_start(&rq->usage);
    return 0;
}

/* The application may have changed active_requests. The entry of another request of the same id (an
 * included part of the page) stays. */
void rt_watch_end(rt_request *rq)
{
    rt_assert_own(rq);
    if (rq->data && rq->id && PyDict_GetItemWithError(rq->st->active_requests, rq->id) == rq->data)
        PyDict_DelItem(rq->st->active_requests, rq->id);
    PyErr_Clear();
    Py_CLEAR(rq->data);
    Py_CLEAR(rq->id);
}

PyObject *rt_request_data(rt_state *st)
{
    rt_request *rq = rt_current();

    rt_assert_attached();
    if (!rq || !rq->data || rq->st != st) {
        PyErr_SetString(PyExc_RuntimeError, "request_data(): this thread is not serving a request");
        return NULL;
    }
    return Py_NewRef(rq->data);
}

/* ---- events ---- */

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

static long server_pid(const rt_request *rq)
{
    rt_slice pid = RT_META(rq, WIRE_M_SERVER_PID);
    char text[24] = "";

    memcpy(text, pid.at ? pid.at : "", pid.len < sizeof(text) ? pid.len : 0);
    return strtol(text, NULL, 10);
}

PyObject *rt_event_started(rt_request *rq, PyObject *environ, PyObject *app)
{
    rt_slice callable = RT_META(rq, WIRE_M_CALLABLE);
    PyObject *event, *chosen;

    rt_assert_own(rq);
    if (!is_watched(rq->st))
        return Py_NewRef(app);
    event = publish(rq->st, "request_started",
                    Py_BuildValue("{s:O,s:i,s:i,s:i,s:l,s:d,s:d,s:d,s:d,s:O,s:s#,s:O,s:O}",
                                  "request_id", rq->id, "thread_id", rt_thread_number(),
                                  "daemon_connects", (int)rq->head.connects, "daemon_restarts",
                                  (int)rq->head.retries, "server_pid", server_pid(rq),
                                  "request_start", seconds(rq->head.request_start_us),
                                  "queue_start", seconds(rq->head.queue_start_us), "daemon_start",
                                  seconds(rq->daemon_start_us), "application_start",
                                  seconds(rq->application_start_us), "application_object", app,
                                  "callable_object", callable.at ? callable.at : "",
                                  (Py_ssize_t)callable.len, "request_environ", environ,
                                  "request_data", rq->data));
    chosen = event ? PyDict_GetItemString(event, "application_object") : NULL; /* borrowed */
    Py_XINCREF(chosen);
    Py_XDECREF(event);
    return event && !chosen ? Py_NewRef(app) : chosen;
}

int rt_event_response(rt_request *rq, PyObject *status, PyObject *headers, PyObject *exc_info)
{
    PyObject *event;

    rt_assert_attached();
    if (!is_watched(rq->st))
        return 0;
    event = publish(rq->st, "response_started",
                    Py_BuildValue("{s:O,s:O,s:O,s:O,s:O}", "request_id", rq->id, "response_status",
                                  status, "response_headers", headers, "exception_info", exc_info,
                                  "request_data", rq->data));
    Py_XDECREF(event);
    return event ? 0 : -1;
}

void rt_event_exception(rt_request *rq)
{
    PyObject *type, *value, *traceback, *event;

    rt_assert_own(rq);
    if (!is_watched(rq->st) || !rq->data || PyErr_ExceptionMatches(rq->st->request_timeout))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    event = publish(rq->st, "request_exception",
                    Py_BuildValue("{s:O,s:(OOO),s:O}", "request_id", rq->id, "exception_info", type,
                                  value ? value : Py_None, traceback ? traceback : Py_None,
                                  "request_data", rq->data));
    Py_XDECREF(event);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

int rt_status_of(const rt_request *rq, enum wire_outcome outcome)
{
    if (outcome == WIRE_ERROR_504)
        return 504;
    return rq->status_code ? rq->status_code : outcome == WIRE_ERROR_404 ? 404 : 500;
}

/* Puts the processor time, unless the request was not measured. Returns 0, or -1 with an exception
 * set. */
static int put_cpu_times(PyObject *event, const rt_usage *u)
{
    PyObject *times;
    int rc;

    if (!u->measured)
        return 0;
    times = Py_BuildValue("{s:d,s:d,s:d}", "cpu_user_time", seconds(u->cpu_user_us),
                          "cpu_system_time", seconds(u->cpu_system_us), "cpu_time",
                          seconds(u->cpu_user_us + u->cpu_system_us));
    rc = times ? PyDict_Update(event, times) : -1;
    Py_XDECREF(times);
    return rc;
}

void rt_event_finished(rt_request *rq, enum wire_outcome outcome)
{
    const rt_usage *u = &rq->usage;
    PyObject *event;

    rt_assert_own(rq);
    if (!rq->data || (!u->measured && !is_watched(rq->st)))
        return;
    rt_usage_finish(&rq->usage, rq->application_start_us);
    if (!is_watched(rq->st))
        return;
    event =
        Py_BuildValue("{s:O,s:i,s:l,s:d,s:d,s:d,s:d,s:d,s:i,s:L,s:L,s:d,s:L,s:L,s:d,s:d,s:L,s:O}",
                      "request_id", rq->id, "thread_id", rt_thread_number(), "server_pid",
                      server_pid(rq), "request_start", seconds(rq->head.request_start_us),
                      "queue_start", seconds(rq->head.queue_start_us), "daemon_start",
                      seconds(rq->daemon_start_us), "application_finish", seconds(u->finish_us),
                      "application_time", seconds(u->finish_us - rq->application_start_us),
                      "status", rt_status_of(rq, outcome), "input_reads", (long long)u->input_reads,
                      "input_length", (long long)u->input_len, "input_time",
                      (double)u->input_ns / 1e9, "output_writes", (long long)u->output_writes,
                      "output_length", (long long)u->output_len, "output_time",
                      (double)u->output_ns / 1e9, "gil_wait_time", (double)u->gil_wait_ns / 1e9,
                      "gil_wait_count", (long long)u->gil_waits, "request_data", rq->data);
    if (event && put_cpu_times(event, u) < 0)
        Py_CLEAR(event);
    event = publish(rq->st, "request_finished", event);
    Py_XDECREF(event);
    PyErr_Clear(); /* the response is sent, and no caller is left to raise to */
}
