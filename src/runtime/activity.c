/* activity.c - this worker's slot of the shared memory of wire/activity.h, and interrupting a
 * request from another thread. In embedded mode an Apache child has such memory for itself
 * (httpd_wsgi/interpreter/slowlog.py), and only when slow requests are logged.
 *
 * A thread writes its own entry without any lock. Its `gate` decides between the end of its request
 * and an interruption, so that the exception never reaches the next request: the thread that moves
 * the gate from OPEN goes on, and the other one gives way. */
#include "observe.h"

#include "wire/activity.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum gate { GATE_SHUT, GATE_OPEN, GATE_BUSY, GATE_INTERRUPTED };

typedef struct serving {
    atomic_int gate;
    _Atomic(rt_interp *) in;
    _Atomic(PyThreadState *) tstate; /* the thread's state in that interpreter, which lives as long
                                        as the thread */
    unsigned long ident;             /* for Python; written by the thread when it gets this entry */
    atomic_int is_taken;             /* embedded mode, see take_entry() */
} serving;

static wire_activity_worker *slot; /* set before the threads start */
static serving *threads;
static uint32_t nthreads;
static pthread_key_t taken_entry;
static __thread wire_activity_thread *mine,
    unseen; /* unseen: written in place of an entry by a thread without one */
static __thread serving *my_serving, unseen_serving;
static __thread uint32_t my_number; /* from 1 */
static __thread int64_t ended_us;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void give_back(void *entry)
{
    atomic_store(&((serving *)entry)->is_taken, 0);
}

int rt_activity_open(int fd, int64_t offset, int count)
{
    size_t page = 4096, skip = (size_t)offset % page, len = skip + WIRE_ACTIVITY_SLOT(count);
    char *memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)((size_t)offset - skip));

    if (memory == MAP_FAILED || pthread_key_create(&taken_entry, give_back) != 0)
        return -1;
    threads = calloc((size_t)count, sizeof(*threads));
    if (!threads)
        return -1;
    nthreads = (uint32_t)count;
    slot = (wire_activity_worker *)(memory + skip);
    return 0;
}

void rt_activity_thread(int index)
{
    int has_slot = slot && (uint32_t)index < nthreads;

    rt_assert_detached();
    mine = has_slot ? &slot->threads[index] : &unseen;
    my_serving = has_slot ? &threads[index] : &unseen_serving;
    my_number = (uint32_t)index + 1;
    my_serving->ident = (unsigned long)pthread_self();
}

/* Takes a free entry. Apache's threads may come and go (those of HTTP/2 do), so each takes one with
 * its first request and gives it back when it ends. */
static void take_entry(void)
{
    mine = &unseen;
    my_serving = &unseen_serving;
    for (uint32_t i = 0; i < nthreads; i++) {
        int was = 0;

        if (atomic_compare_exchange_strong(&threads[i].is_taken, &was, 1)) {
            rt_activity_thread((int)i);
            pthread_setspecific(taken_entry, &threads[i]);
            return;
        }
    }
}

/* Returns 1 when this request is to be seen, else 0. One within another's response (mod_include)
 * belongs to that one. */
static int is_seen(const rt_request *rq)
{
    if (!mine && slot)
        take_entry();
    return mine && !rq->outer;
}

static size_t append(char *to, size_t at, rt_slice text)
{
    size_t len = text.len < WIRE_WHAT_MAX - at ? text.len : WIRE_WHAT_MAX - at;

    memcpy(to + at, text.at, len);
    return at + len;
}

void rt_activity_begin(const rt_request *rq)
{
    int64_t waited;
    size_t len;

    rt_assert_detached();
    if (!is_seen(rq))
        return;
    atomic_store(&my_serving->in, NULL);
    mine->phase = WIRE_PHASE_START;
    mine->start_us = now_us();
    waited = rq->head.queued_us ? mine->start_us - rq->head.queued_us : 0;
    mine->queue_us = waited > 0 ? waited : 0;
    mine->asked_us = rq->head.queue_start_us;
    mine->app_us = mine->head_us = 0;
    if (!(rq->head.flags & WIRE_RQ_IGNORE_ACTIVITY))
        mine->touched_us = mine->start_us;
    len = append(mine->what, 0, rq->method);
    len = append(mine->what, len, (rt_slice){" ", 1});
    mine->what_len = (uint32_t)append(mine->what, len, rq->uri);
    __atomic_add_fetch(&mine->serial, 1, __ATOMIC_RELEASE);
}

void rt_activity_app(const rt_request *rq, rt_interp *in)
{
    rt_assert_own(rq);
    if (!is_seen(rq))
        return;
    mine->app_us = now_us();
    mine->phase = WIRE_PHASE_APP;
    atomic_store_explicit(&my_serving->tstate, PyThreadState_Get(), memory_order_relaxed);
    atomic_store(&my_serving->in, in);
    atomic_store(&my_serving->gate, GATE_OPEN);
}

void rt_activity_head(void)
{
    rt_assert_detached();
    if (mine && mine->phase != WIRE_PHASE_WRITE) {
        mine->head_us = now_us();
        mine->phase = WIRE_PHASE_WRITE;
    }
}

void rt_activity_shut(void)
{
    int was = GATE_OPEN;

    rt_assert_attached();
    if (!my_serving || atomic_load(&my_serving->gate) == GATE_SHUT)
        return;
    while (!atomic_compare_exchange_strong(&my_serving->gate, &was, GATE_SHUT)) {
        if (was == GATE_INTERRUPTED) { /* not raised yet, and it must not hit the next request */
            PyThreadState_SetAsyncExc(my_serving->ident, NULL);
            atomic_store(&my_serving->gate, GATE_SHUT);
            return;
        }
        sched_yield(); /* free-threaded builds only: the other thread is about to finish */
        was = GATE_OPEN;
    }
}

void rt_activity_end(const rt_request *rq, enum wire_outcome outcome)
{
    rt_assert_detached();
    if (!is_seen(rq))
        return;
    ended_us = now_us();
    if (!(rq->head.flags & WIRE_RQ_IGNORE_ACTIVITY))
        mine->touched_us = ended_us;
    if (outcome == WIRE_STALE)
        mine->handed_back++;
    __atomic_add_fetch(&mine->serial, 1, __ATOMIC_RELEASE);
}

void rt_activity_times(wire_times *out)
{
    int64_t head = mine->head_us ? mine->head_us : ended_us,
            app = mine->app_us ? mine->app_us : head;

    rt_assert_detached();
    *out = (wire_times){
        .pid = rt_the_process.pid,
        .thread = my_number,
        .queue_us = mine->queue_us,
        .start_us = app - mine->start_us,
        .app_us = head - app,
        .write_us = ended_us - head,
    };
}

/* ---- from other threads ---- */

void rt_activity_show_source_line(uint32_t index, uint32_t serial, const char *line, size_t len)
{
    wire_activity_thread *t;

    if (!rt_activity_is_serving(index, serial))
        return;
    t = &slot->threads[index];
    __atomic_store_n(&t->source_line_serial, 0, __ATOMIC_RELEASE);
    t->source_line_len = (uint32_t)(len < WIRE_SOURCE_LINE_MAX ? len : WIRE_SOURCE_LINE_MAX);
    memcpy(t->source_line, line + len - t->source_line_len,
           t->source_line_len); /* the end says more than the beginning of a path */
    __atomic_store_n(&t->source_line_serial, serial, __ATOMIC_RELEASE);
}

int rt_activity_is_serving(uint32_t index, uint32_t serial)
{
    return slot && index < nthreads &&
           __atomic_load_n(&slot->threads[index].serial, __ATOMIC_ACQUIRE) == serial;
}

/* Returns where the request is being served, or NULL when it is over or has not reached the
 * application. */
static rt_interp *interp_of(uint32_t index, uint32_t serial, unsigned long *ident)
{
    if (!rt_activity_is_serving(index, serial))
        return NULL;
    *ident = threads[index].ident;
    return atomic_load(&threads[index].in);
}

int rt_activity_interrupt(uint32_t index, uint32_t serial)
{
    unsigned long ident;
    rt_interp *in = interp_of(index, serial, &ident);
    int was = GATE_OPEN, done = 0;

    rt_assert_detached();
    if (!in)
        return 0;
    rt_enter(in);
    if (atomic_compare_exchange_strong(&threads[index].gate, &was, GATE_BUSY)) {
        done = rt_activity_is_serving(index, serial) &&
               PyThreadState_SetAsyncExc(ident, in->st->request_timeout) == 1;
        atomic_store(&threads[index].gate, done ? GATE_INTERRUPTED : GATE_OPEN);
    }
    rt_leave();
    return done;
}

/* Returns 1 when a thread that is attached to an interpreter keeps all others from running there,
 * else 0. A free-threaded build may switch its GIL on and off with each import, so there it is not
 * certain. */
static int has_lock(void)
{
#ifdef Py_GIL_DISABLED
    return !rt_the_process.free_threading;
#else
    return 1;
#endif
}

/* Returns a new reference to the frame in which the request runs, with *ident 0; or None when
 * stack_of() must look for the thread by *ident (0: there is no frame). sys._current_frames() has
 * one frame per thread, of whichever interpreter, while a request thread in a sub-interpreter has
 * another one in the main interpreter. So the frame is taken from the thread's state, which the GIL
 * keeps in place. Without a GIL only sys._current_frames() can stop the thread. */
static PyObject *frame_of(uint32_t index, uint32_t serial, unsigned long *ident)
{
    PyFrameObject *frame = NULL;

    if (has_lock()) {
        if (rt_activity_is_serving(index, serial))
            frame = PyThreadState_GetFrame(atomic_load(&threads[index].tstate));
        *ident = 0;
    }
    return frame ? (PyObject *)frame : Py_NewRef(Py_None);
}

char *rt_activity_stack(uint32_t index, uint32_t serial)
{
    unsigned long ident;
    rt_interp *in = interp_of(index, serial, &ident);
    PyObject *module, *text = NULL;
    char *copy = NULL;

    rt_assert_detached();
    if (!in)
        return NULL;
    rt_enter(in);
    module = PyImport_ImportModule("httpd_wsgi.interpreter.exports");
    if (module) {
        PyObject *frame = frame_of(index, serial, &ident);

        text = PyObject_CallMethod(module, "stack_of", "Nk", frame, ident);
    }
    if (text && PyUnicode_Check(text) && PyUnicode_AsUTF8(text))
        copy = strdup(PyUnicode_AsUTF8(text));
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(module);
    rt_leave();
    return copy;
}
