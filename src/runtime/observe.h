/* observe.h - what is told and counted about requests: to subscribers of events, to metrics and
 * telemetry, to the supervisor.
 *
 * Lifetime: everything here lives as long as the process. Each request is announced by a begin
 * function and ends with the end function of the same name; both run in the request's thread, and
 * between them other threads may look at it.
 *
 * Threads: state is shared by all threads of the process and guarded where it lies. No lock is held
 * while attached to an interpreter, or it is held for copies only. */
#ifndef RT_OBSERVE_H
#define RT_OBSERVE_H

#include "core.h"

#include "wire/frames.h"

/* ---- events.c: what subscribers are told, and request_data() ---- */

/* With the GIL, in the thread that runs the request, except where it says otherwise. */

/* Makes request_data() of a request whose application is about to be called. Returns 0, or -1 with
 * an exception set. */
int rt_watch_begin(rt_request *rq, PyObject *environ);
void rt_watch_end(rt_request *rq);

/* Returns a new reference to the dictionary of the request that this thread serves, or NULL with
 * RuntimeError set. */
PyObject *rt_request_data(rt_state *st);

/* Tells the subscribers, if there are any, as the next three do. Returns a new reference to the
 * application to call, or NULL with an exception set. */
PyObject *rt_event_started(rt_request *rq, PyObject *environ, PyObject *app);

/* Any thread that the application calls start_response() in. Returns 0, or -1 with an exception
 * set. */
int rt_event_response(rt_request *rq, PyObject *status, PyObject *headers, PyObject *exc_info);

/* Tells of the pending exception, which stays pending. */
void rt_event_exception(rt_request *rq);
void rt_event_finished(rt_request *rq, enum wire_outcome outcome);

/* With or without the GIL. */

/* Returns the HTTP status as metrics and events count it. */
int rt_status_of(const rt_request *rq, enum wire_outcome outcome);

/* ---- metrics.c: the process's metrics ---- */

/* Readers of metrics, which do not disturb each other; the numbers are in
 * httpd_wsgi/interpreter/metrics.py, too. */
enum rt_reader { RT_APPLICATION, RT_TELEMETRY, RT_READERS };

/* With the GIL. */

/* Returns what httpd_wsgi.metrics makes its dictionaries of, None when the reader has not started,
 * or NULL with an exception set. With interval_too the reader's interval is read and begins
 * anew. */
PyObject *rt_metrics_read(enum rt_reader reader, int interval_too);

/* Without the GIL. */

/* Begins to count a request, if any reader has started. */
void rt_metrics_begin(rt_request *rq);
void rt_metrics_end(rt_request *rq, enum wire_outcome outcome);

/* Starts a reader. Returns 0, or an errno. */
int rt_metrics_start(enum rt_reader reader);

/* ---- slow.c: requests that have been running for long; for telemetry ---- */

/* With the GIL. */

/* Returns a list of dictionaries, one for each request that runs beyond the threshold and for each
 * such request that has ended since the last call; NULL with an exception set. */
PyObject *rt_slow_read(void);

/* Without the GIL. */

/* Lists a request that metrics.c counts. */
void rt_slow_begin(rt_request *rq);
void rt_slow_end(rt_request *rq, enum wire_outcome outcome, int64_t now_us);

/* With or without the GIL. */

/* Watches requests from now on; threshold 0: no longer. */
void rt_slow_watch(int64_t threshold_us);

/* ---- notes.c: from any interpreter to the thread that sends telemetry; with the GIL ---- */

/* Never waits. Returns 0, or -1 when too many notes have not been taken yet. */
int rt_note_put(int kind, const char *bytes, size_t len);

/* Returns [(kind, bytes), ...], the oldest first, or NULL with an exception set. */
PyObject *rt_note_take(void);

/* ---- scoreboard.c: Apache's scoreboard; with the GIL ---- */

/* In a worker, before the first request. fd stays the caller's. Returns 0, or an errno. */
int rt_scoreboard_open(int fd);

/* Returns bytes, None when there is no scoreboard or applications may not see it, or NULL with an
 * exception set. */
PyObject *rt_scoreboard_read(void);

/* ---- activity.c: what this process's threads are doing, for the supervisor and Apache to see
 * (wire/activity.h) ----
 *
 * In embedded mode only when slow requests are logged. A request is named by the index of its
 * thread and its serial number. */

/* With the GIL, in the thread that runs the request. */

/* From here on the request may be interrupted, until rt_activity_shut(). */
void rt_activity_app(const rt_request *rq, rt_interp *in);
void rt_activity_shut(void);

/* Without the GIL, in the thread that runs the request. */

/* This thread writes the entry of that index from now on; when it starts. */
void rt_activity_thread(int index);
void rt_activity_begin(const rt_request *rq);

/* The response begins. Any thread that sends for the request. */
void rt_activity_head(void);
void rt_activity_end(const rt_request *rq, enum wire_outcome outcome);

/* Fills in the times of this thread's last request; not in embedded mode. */
void rt_activity_times(wire_times *out);

/* Without the GIL, in any thread. */

/* Returns the request's Python stack, one line per line, to be freed; NULL when it is over or there
 * is none. */
char *rt_activity_stack(uint32_t index, uint32_t serial);

/* Raises RequestTimeout in the request. Returns 1 when that was done. */
int rt_activity_interrupt(uint32_t index, uint32_t serial);

/* With or without the GIL. */

/* Maps the memory; before the threads start. Returns 0, or -1 with errno. */
int rt_activity_open(int fd, int64_t offset, int count);

/* Shows where the request is in the application, for the status page. In the control thread
 * alone. */
void rt_activity_show_source_line(uint32_t index, uint32_t serial, const char *line, size_t len);

/* Returns 1 when the request has not ended, else 0. */
int rt_activity_is_serving(uint32_t index, uint32_t serial);

#endif
