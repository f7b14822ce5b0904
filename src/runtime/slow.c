/* slow.c - requests that have been running for long, for telemetry: those that still run, and once
 * more each of them when it has ended.
 *
 * `lock` guards the lists; it is held for copies only and never while attached to an interpreter. A
 * request on the list stays alive until its own thread takes it off. */
#include "observe.h"

#include <stddef.h>
#include <string.h>

#define ENDED_MAX 128 /* unread reports of requests that have ended; more are lost */
#define UNKNOWN   (-1)

enum number {
    START_US,
    ELAPSED_US,
    THREAD,
    SERVER_US,
    QUEUE_US,
    DAEMON_US,
    APPLICATION_US,
    GIL_WAIT_NS,
    GIL_WAITS,
    INPUT_LEN,
    INPUT_READS,
    INPUT_NS,
    OUTPUT_LEN,
    OUTPUT_WRITES,
    OUTPUT_NS,
    STATUS,
    CPU_USER_US,
    CPU_SYSTEM_US,
    ACTIVE_AT_START,
    ACTIVE_AT_END,
    NUMBERS
};

static const char *const number_names[NUMBERS] =
    {"start_us",    "elapsed_us",     "thread",        "server_us",       "queue_us",
     "daemon_us",   "application_us", "gil_wait_ns",   "gil_waits",       "input_len",
     "input_reads", "input_ns",       "output_len",    "output_writes",   "output_ns",
     "status",      "cpu_user_us",    "cpu_system_us", "active_at_start", "active_at_end"};

static const struct {
    int code;
    const char *name;
} texts[] = {
    {WIRE_REQUEST_METHOD, "method"},      {WIRE_HTTP_HOST, "host"},
    {WIRE_SCRIPT_NAME, "script_name"},    {WIRE_PATH_INFO, "path_info"},
    {WIRE_SERVER_PROTOCOL, "protocol"},   {WIRE_REMOTE_ADDR, "peer"},
    {WIRE_HTTP_USER_AGENT, "user_agent"}, {WIRE_M_REQUEST_ID, "request_id"},
    {WIRE_M_SERVER_PID, "server_pid"},
};

/* A report about one request; numbers that are not known (yet) are UNKNOWN. */
typedef struct report {
    struct report *next;
    int is_over;
    int64_t numbers[NUMBERS];
    size_t block_len;
    char block[];
} report;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static rt_request *running; /* any order */
static report *ended;       /* the newest first */
static int nended;
static _Atomic int64_t threshold;

void rt_slow_watch(int64_t threshold_us)
{
    atomic_store(&threshold, threshold_us);
}

/* ---- the requests' side ---- */

void rt_slow_begin(rt_request *rq)
{
    rt_assert_detached();
    if (!atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    rq->running.thread = rt_thread_number();
    pthread_mutex_lock(&lock);
    rq->running.is_listed = 1;
    rq->running.next = running;
    if (running)
        running->running.previous = rq;
    running = rq;
    pthread_mutex_unlock(&lock);
}

static void take_off_locked(rt_request *rq)
{
    rt_running *r = &rq->running;

    if (r->previous)
        r->previous->running.next = r->next;
    else
        running = r->next;
    if (r->next)
        r->next->running.previous = r->previous;
    r->is_listed = 0;
}

static int64_t between(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

/* Returns a report with everything that does not change while the request runs, and with the times
 * until now; NULL without memory. */
static report *report_new(const rt_request *rq, int64_t now_us)
{
    report *r = malloc(sizeof(*r) + rq->block_len);
    int64_t called = rq->application_start_us, queued = rq->head.queue_start_us;

    if (!r)
        return NULL;
    r->next = NULL;
    r->is_over = 0;
    for (int i = 0; i < NUMBERS; i++)
        r->numbers[i] = UNKNOWN;
    r->numbers[START_US] = rq->recorded_us;
    r->numbers[ELAPSED_US] = between(rq->recorded_us, now_us);
    r->numbers[THREAD] = rq->running.thread;
    r->numbers[ACTIVE_AT_START] = rq->active_at_start;
    if (queued || called)
        r->numbers[SERVER_US] = between(rq->head.request_start_us, queued ? queued : called);
    if (!rt_the_process.embedded)
        r->numbers[QUEUE_US] = between(queued, rq->daemon_start_us);
    if (!rt_the_process.embedded && called)
        r->numbers[DAEMON_US] = between(rq->daemon_start_us, called);
    if (called)
        r->numbers[APPLICATION_US] = between(called, now_us);
    r->block_len = rq->block_len;
    memcpy(r->block, rq->block, rq->block_len);
    return r;
}

/* With the request's io mutex, or in its own thread when the request is over. */
static void report_io(report *r, const rt_usage *u)
{
    r->numbers[INPUT_LEN] = u->input_len;
    r->numbers[INPUT_READS] = u->input_reads;
    r->numbers[INPUT_NS] = u->input_ns;
    r->numbers[OUTPUT_LEN] = u->output_len;
    r->numbers[OUTPUT_WRITES] = u->output_writes;
    r->numbers[OUTPUT_NS] = u->output_ns;
}

static void report_gil(report *r, const rt_usage *u)
{
    r->numbers[GIL_WAIT_NS] = atomic_load_explicit(&u->gil_wait_ns, memory_order_relaxed);
    r->numbers[GIL_WAITS] = atomic_load_explicit(&u->gil_waits, memory_order_relaxed);
}

static report *report_end(const rt_request *rq, enum wire_outcome outcome, int64_t now_us)
{
    report *r = report_new(rq, now_us);

    if (!r)
        return NULL;
    r->is_over = 1;
    report_io(r, &rq->usage);
    report_gil(r, &rq->usage);
    r->numbers[APPLICATION_US] = between(rq->application_start_us, rq->usage.finish_us);
    r->numbers[STATUS] = rt_status_of(rq, outcome);
    r->numbers[ACTIVE_AT_END] = rq->active_at_end;
    if (rq->usage.measured) {
        r->numbers[CPU_USER_US] = rq->usage.cpu_user_us;
        r->numbers[CPU_SYSTEM_US] = rq->usage.cpu_system_us;
    }
    return r;
}

void rt_slow_end(rt_request *rq, enum wire_outcome outcome, int64_t now_us)
{
    report *r = NULL;

    rt_assert_detached();
    if (!rq->running.is_listed)
        return;
    if (outcome != WIRE_STALE &&
        between(rq->recorded_us, now_us) >= atomic_load_explicit(&threshold, memory_order_relaxed))
        r = report_end(rq, outcome, now_us);
    pthread_mutex_lock(&lock);
    take_off_locked(rq);
    if (r && nended < ENDED_MAX) {
        r->next = ended;
        ended = r;
        nended++;
        r = NULL;
    }
    pthread_mutex_unlock(&lock);
    free(r);
}

/* ---- the reader's side ---- */

/* Returns a report, or NULL without memory. An operation may take as long as the client likes and
 * holds io meanwhile; then the counters of input and output are left out. */
static report *report_running_locked(rt_request *rq, int64_t now_us)
{
    report *r = report_new(rq, now_us);

    if (!r || r->numbers[APPLICATION_US] == UNKNOWN)
        return r;
    report_gil(r, &rq->usage);
    if (pthread_mutex_trylock(&rq->io) == 0) {
        report_io(r, &rq->usage);
        pthread_mutex_unlock(&rq->io);
    }
    return r;
}

static report *take_reports(void)
{
    int64_t now = rt_now_us(), least = atomic_load(&threshold);
    report *all;

    pthread_mutex_lock(&lock);
    all = ended;
    ended = NULL;
    nended = 0;
    for (rt_request *rq = running; rq; rq = rq->running.next)
        if (between(rq->recorded_us, now) >= least) {
            report *r = report_running_locked(rq, now);

            if (r) {
                r->next = all;
                all = r;
            }
        }
    pthread_mutex_unlock(&lock);
    return all;
}

static int put_bytes(PyObject *dict, const char *name, const char *at, size_t len)
{
    PyObject *value = PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
    int rc = value ? PyDict_SetItemString(dict, name, value) : -1;

    Py_XDECREF(value);
    return rc;
}

static int put_texts(PyObject *dict, const report *r)
{
    wire_block_head head;
    wire_reader rd;
    wire_pair pair;
    int more = wire_block_open(&rd, &head, r->block, r->block_len), rc = 0;

    while (rc == 0 && more >= 0 && (more = wire_block_next(&rd, &pair)) > 0)
        for (size_t i = 0; rc == 0 && i < sizeof(texts) / sizeof(texts[0]); i++)
            if (texts[i].code == pair.code)
                rc = put_bytes(dict, texts[i].name, pair.value, pair.value_len);
    return rc < 0 ? rc : put_bytes(dict, "scheme", "https", head.flags & WIRE_RQ_HTTPS ? 5 : 4);
}

static PyObject *report_dict(const report *r)
{
    PyObject *dict = Py_BuildValue("{s:i}", "is_over", r->is_over);

    for (int i = 0; dict && i < NUMBERS; i++) {
        PyObject *value = r->numbers[i] == UNKNOWN ? NULL : PyLong_FromLongLong(r->numbers[i]);

        if (r->numbers[i] != UNKNOWN &&
            (!value || PyDict_SetItemString(dict, number_names[i], value) < 0))
            Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    if (dict && put_texts(dict, r) < 0)
        Py_CLEAR(dict);
    return dict;
}

PyObject *rt_slow_read(void)
{
    PyObject *list = PyList_New(0);
    report *all = NULL;

    rt_assert_attached();
    Py_BEGIN_ALLOW_THREADS all = take_reports();
    Py_END_ALLOW_THREADS while (all)
    {
        report *next = all->next;
        PyObject *dict = list ? report_dict(all) : NULL;

        if (!dict || PyList_Append(list, dict) < 0)
            Py_CLEAR(list);
        Py_XDECREF(dict);
        free(all);
        all = next;
    }
    return list;
}
