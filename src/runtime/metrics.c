/* metrics.c - the numbers behind mod_wsgi.request_metrics() and process_metrics(), and behind
 * telemetry.
 *
 * The interpreters of a process share its metrics. Each reader has sums and an interval of its own,
 * which begin when it starts. Everything in `metrics` is under its lock, which is held for
 * additions and copies only and never while attached to an interpreter. */
#include "observe.h"

#include <errno.h>
#include <sys/resource.h>

#define BUCKETS 65

enum phase {
    SERVER,
    QUEUE,
    DAEMON,
    APPLICATION,
    REQUEST,
    GIL_WAIT,
    INPUT_READ,
    OUTPUT_WRITE,
    PHASES
};

typedef struct timing {
    int64_t sum_us, min_us, max_us;
    int64_t buckets[BUCKETS];
} timing;

/* A request thread, by its number. Threads beyond the configured number (HTTP/2 has threads of its
 * own) count in the sums only. */
typedef struct slot {
    int64_t started_us; /* of the request it is running; 0: none */
    struct {
        int64_t ever;                                   /* requests it has completed */
        int64_t completed, busy_us, cpu_us, longest_us; /* in the interval */
    } by_reader[RT_READERS];
} slot;

typedef struct interval {
    int64_t start_us;
    int64_t cpu_user_us, cpu_system_us;  /* of the process, at its start */
    int64_t count, statuses[6], busy_us; /* statuses[0]: not an HTTP status */
    int64_t input_len, input_reads, output_len, output_writes, gil_waits;
    timing timings[PHASES];
} interval;

typedef struct sums {
    int is_read; /* its reader has started */
    interval now;
    int64_t busy_us, count; /* of the intervals that are over */
} sums;

static struct {
    pthread_mutex_t lock;
    sums sums[RT_READERS];
    int64_t running;
    slot *slots; /* allocated once */
    int nslots;
} metrics = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int recording; /* has any reader started? */

/* ---- adding up ---- */

/* Returns the bucket of a time. There are four for each power of two of milliseconds; the first one
 * has all shorter times, the last one all longer ones. */
static int bucket_of(int64_t us)
{
    int64_t base = 1000;

    for (int octave = 0; octave < 16; octave++, base *= 2)
        if (us < base * 2)
            return us < base ? 0 : octave * 4 + (int)((us - base) * 4 / base);
    return BUCKETS - 1;
}

static void add_time(interval *in, enum phase phase, int64_t us)
{
    timing *t = &in->timings[phase];

    if (us < 0) /* the clock was set back */
        us = 0;
    if (in->count == 1 || us < t->min_us)
        t->min_us = us;
    if (us > t->max_us)
        t->max_us = us;
    t->sum_us += us;
    t->buckets[bucket_of(us)]++;
}

static void add_times(interval *in, const rt_request *rq)
{
    int64_t received = rq->head.request_start_us, queued = rq->head.queue_start_us;

    add_time(in, SERVER, (queued ? queued : rq->application_start_us) - received);
    if (!rt_the_process.embedded) {
        add_time(in, QUEUE, rq->daemon_start_us - queued);
        add_time(in, DAEMON, rq->application_start_us - rq->daemon_start_us);
    }
    add_time(in, APPLICATION, rq->usage.finish_us - rq->application_start_us);
    add_time(in, REQUEST, rq->usage.finish_us - received);
    add_time(in, GIL_WAIT, rq->usage.gil_wait_ns / 1000);
    add_time(in, INPUT_READ, rq->usage.input_ns / 1000);
    add_time(in, OUTPUT_WRITE, rq->usage.output_ns / 1000);
}

static void add_request(interval *in, const rt_request *rq, int status)
{
    const rt_usage *u = &rq->usage;

    in->count++;
    in->statuses[status >= 100 && status < 600 ? status / 100 : 0]++;
    in->input_len += u->input_len;
    in->input_reads += u->input_reads;
    in->output_len += u->output_len;
    in->output_writes += u->output_writes;
    in->gil_waits += u->gil_waits;
    add_times(in, rq);
}

static int64_t since(int64_t start_us, int64_t now_us)
{
    return now_us > start_us ? now_us - start_us : 0;
}

/* Returns the time of a request that falls into the interval. */
static int64_t busy_within(const interval *in, int64_t started_us, int64_t now_us)
{
    return since(started_us > in->start_us ? started_us : in->start_us, now_us);
}

static slot *slot_of_thread_locked(void)
{
    int number = rt_thread_number();

    return number <= metrics.nslots ? &metrics.slots[number - 1] : NULL;
}

void rt_metrics_begin(rt_request *rq)
{
    slot *s;

    rt_assert_detached();
    /* A request within another's response (mod_include) counts with that one. */
    if (!atomic_load_explicit(&recording, memory_order_acquire) || rq->outer)
        return;
    rq->usage.recorded = 1;
    rq->recorded_us = rt_now_us();
    pthread_mutex_lock(&metrics.lock);
    rq->active_at_start = ++metrics.running;
    s = slot_of_thread_locked();
    if (s)
        s->started_us = rq->recorded_us;
    pthread_mutex_unlock(&metrics.lock);
    rt_slow_begin(rq);
}

static void count_locked(const rt_request *rq, enum wire_outcome outcome, int64_t now_us,
                         enum rt_reader reader, slot *s)
{
    interval *in = &metrics.sums[reader].now;
    int64_t busy = busy_within(in, rq->recorded_us, now_us);

    in->busy_us += busy;
    if (outcome != WIRE_STALE)
        add_request(in, rq, rt_status_of(rq, outcome));
    if (!s)
        return;
    s->by_reader[reader].busy_us += busy;
    s->by_reader[reader].cpu_us +=
        rq->usage.measured ? rq->usage.cpu_user_us + rq->usage.cpu_system_us : 0;
    s->by_reader[reader].completed += outcome != WIRE_STALE;
    s->by_reader[reader].ever += outcome != WIRE_STALE;
    if (since(rq->recorded_us, now_us) > s->by_reader[reader].longest_us)
        s->by_reader[reader].longest_us = since(rq->recorded_us, now_us);
}

void rt_metrics_end(rt_request *rq, enum wire_outcome outcome)
{
    int64_t now;
    slot *s;

    rt_assert_detached();
    if (!rq->usage.recorded)
        return;
    now = rt_now_us();
    if (!rq->usage.finish_us) /* the application was never called */
        rq->application_start_us = rq->usage.finish_us = now;
    pthread_mutex_lock(&metrics.lock);
    rq->active_at_end = metrics.running--;
    s = slot_of_thread_locked();
    for (int reader = 0; reader < RT_READERS; reader++)
        if (metrics.sums[reader].is_read)
            count_locked(rq, outcome, now, reader, s);
    if (s)
        s->started_us = 0;
    pthread_mutex_unlock(&metrics.lock);
    rt_slow_end(rq, outcome, now);
}

/* ---- reading ---- */

static void begin_interval_locked(enum rt_reader reader, int64_t now_us, const struct rusage *used)
{
    sums *sum = &metrics.sums[reader];
    interval *in = &sum->now;

    sum->busy_us += in->busy_us;
    sum->count += in->count;
    for (int i = 0; i < metrics.nslots; i++) {
        slot *s = &metrics.slots[i];

        if (s->started_us) /* a part of its running request falls into the interval that ends */
            sum->busy_us += busy_within(in, s->started_us, now_us);
        s->by_reader[reader].completed = s->by_reader[reader].busy_us =
            s->by_reader[reader].cpu_us = s->by_reader[reader].longest_us = 0;
    }
    memset(in, 0, sizeof(*in));
    in->start_us = now_us;
    in->cpu_user_us = (int64_t)used->ru_utime.tv_sec * 1000000 + used->ru_utime.tv_usec;
    in->cpu_system_us = (int64_t)used->ru_stime.tv_sec * 1000000 + used->ru_stime.tv_usec;
}

static int allocate_slots_locked(void)
{
    int threads = rt_the_process.threads > 0 ? rt_the_process.threads : 1;

    if (!metrics.slots) {
        metrics.slots = calloc((size_t)threads, sizeof(slot));
        metrics.nslots = metrics.slots ? threads : 0;
    }
    return metrics.slots ? 0 : ENOMEM;
}

int rt_metrics_start(enum rt_reader reader)
{
    struct rusage used;
    int rc;

    rt_assert_detached();
    getrusage(RUSAGE_SELF, &used);
    pthread_mutex_lock(&metrics.lock);
    rc = allocate_slots_locked();
    if (rc == 0 && !metrics.sums[reader].is_read) {
        metrics.sums[reader].now.start_us =
            rt_now_us(); /* requests that run already count from here on */
        begin_interval_locked(reader, metrics.sums[reader].now.start_us, &used);
        metrics.sums[reader].is_read = 1;
        atomic_store_explicit(&recording, 1, memory_order_release);
    }
    pthread_mutex_unlock(&metrics.lock);
    return rc;
}

typedef struct reading {
    enum rt_reader reader;
    sums sums;
    int64_t running;
    slot *slots;
    int nslots;
    int64_t now_us;
    struct rusage used;
} reading;

/* Takes a copy that contains the running requests' time so far; with then_begin a new interval
 * begins. Returns 0, or -1 without memory. */
static int take_reading(reading *r, int then_begin)
{
    /* The request that asks may have begun before the recording. */
    const rt_request *asks = rt_current();
    int is_not_counted = asks && !asks->usage.recorded;

    getrusage(RUSAGE_SELF, &r->used);
    r->now_us = rt_now_us();
    r->nslots = metrics.nslots; /* which no longer changes */
    r->slots = malloc((size_t)r->nslots * sizeof(slot));
    if (!r->slots)
        return -1;
    pthread_mutex_lock(&metrics.lock);
    r->sums = metrics.sums[r->reader];
    r->running = metrics.running + is_not_counted;
    memcpy(r->slots, metrics.slots, (size_t)r->nslots * sizeof(slot));
    if (then_begin && r->sums.is_read)
        begin_interval_locked(r->reader, r->now_us, &r->used);
    pthread_mutex_unlock(&metrics.lock);
    for (int i = 0; i < r->nslots; i++)
        if (r->slots[i].started_us) {
            int64_t busy = busy_within(&r->sums.now, r->slots[i].started_us, r->now_us);

            r->slots[i].by_reader[r->reader].busy_us += busy;
            r->sums.now.busy_us += busy;
        }
    return 0;
}

/* Returns [(ever, completed, busy_us, cpu_us, elapsed_us, longest_us), …], or NULL with an
 * exception set. */
static PyObject *slots_list(const reading *r)
{
    PyObject *list = PyList_New(r->nslots);

    for (int i = 0; list && i < r->nslots; i++) {
        const slot *s = &r->slots[i];
        int n = r->reader;
        PyObject *item =
            Py_BuildValue("(LLLLLL)", (long long)s->by_reader[n].ever,
                          (long long)s->by_reader[n].completed, (long long)s->by_reader[n].busy_us,
                          (long long)s->by_reader[n].cpu_us,
                          (long long)(s->started_us ? since(s->started_us, r->now_us) : -1),
                          (long long)s->by_reader[n].longest_us);

        if (!item)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static PyObject *numbers_list(const int64_t *numbers, int count)
{
    PyObject *list = PyList_New(count);

    for (int i = 0; list && i < count; i++) {
        PyObject *item = PyLong_FromLongLong(numbers[i]);

        if (!item)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

/* Returns [(sum_us, min_us, max_us, buckets), …] in the order of enum phase, or NULL with an
 * exception set. */
static PyObject *timings_list(const interval *in)
{
    PyObject *list = PyList_New(PHASES);

    for (int i = 0; list && i < PHASES; i++) {
        const timing *t = &in->timings[i];
        PyObject *item = Py_BuildValue("(LLLN)", (long long)t->sum_us, (long long)t->min_us,
                                       (long long)t->max_us, numbers_list(t->buckets, BUCKETS));

        if (!item)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static PyObject *interval_dict(const reading *r)
{
    const interval *in = &r->sums.now;
    int64_t user = (int64_t)r->used.ru_utime.tv_sec * 1000000 + r->used.ru_utime.tv_usec;
    int64_t system = (int64_t)r->used.ru_stime.tv_sec * 1000000 + r->used.ru_stime.tv_usec;

    return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:N,s:N,s:N}", "start_us",
                         (long long)in->start_us, "stop_us", (long long)r->now_us, "cpu_user_us",
                         (long long)(user - in->cpu_user_us), "cpu_system_us",
                         (long long)(system - in->cpu_system_us), "count", (long long)in->count,
                         "busy_us", (long long)in->busy_us, "input_len", (long long)in->input_len,
                         "input_reads", (long long)in->input_reads, "output_len",
                         (long long)in->output_len, "output_writes", (long long)in->output_writes,
                         "gil_waits", (long long)in->gil_waits, "statuses",
                         numbers_list(in->statuses, 6), "timings", timings_list(in), "slots",
                         slots_list(r));
}

static PyObject *totals_dict(const reading *r)
{
    return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L,s:N}", "start_us",
                         (long long)rt_the_process.start_us, "now_us", (long long)r->now_us,
                         "busy_us", (long long)(r->sums.busy_us + r->sums.now.busy_us), "count",
                         (long long)(r->sums.count + r->sums.now.count), "running",
                         (long long)r->running, "slots", slots_list(r));
}

PyObject *rt_metrics_read(enum rt_reader reader, int interval_too)
{
    reading r = {.reader = reader};
    PyObject *result = NULL;
    int rc;

    rt_assert_attached();
    if (!atomic_load_explicit(&recording, memory_order_acquire))
        Py_RETURN_NONE;
    Py_BEGIN_ALLOW_THREADS rc = take_reading(&r, interval_too);
    Py_END_ALLOW_THREADS if (rc < 0) return PyErr_NoMemory();
    if (!r.sums.is_read)
        result = Py_NewRef(Py_None);
    else
        result = interval_too ? interval_dict(&r) : totals_dict(&r);
    free(r.slots);
    return result;
}
