/* serve.c - a worker's request threads, and their keep-alive connections to Apache's children.
 *
 * All threads wait on one epoll instance: for new connections (with EPOLLEXCLUSIVE each wakes one
 * thread of one worker), for requests over keep-alive connections, and for the order to stop. What
 * threads do about new connections is in queue.c.
 * Keep-alive connections are edge-triggered, so no system call is needed to arm one again after a
 * request. `states` says who owns one:
 *
 *     IDLE     owned by the epoll instance; the thread that gets its event sets BUSY
 *     BUSY     owned by a thread that serves a request; a thread that gets another event sets
 * MISSED MISSED   as BUSY, and the owner must read again when its request is done
 *
 * Apache sees the number of threads that wait as credits (wire/credits.h). When a thread cannot
 * take its credit back, Apache has claimed it: a request will come over a keep-alive connection,
 * for this thread or for another one that is free first. */
#include "request.h"
#include "worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STATES 16384 /* connections with descriptors from here on are not kept alive */
/* Milliseconds after which a claim is taken for lost, as its Apache child must have died. Apache
 * gives a claim back that it could not use within half of it (apache/daemon/client.c). */
#define CLAIM_PATIENCE   500
#define REWATCH_MS       100 /* between two attempts to watch the listening socket again */
#define DECLINED_AT_MOST 3   /* times a worker that has not moved leaves a connection to others */

enum state { STATE_NONE, STATE_IDLE, STATE_BUSY, STATE_MISSED };
/* What is not the descriptor of a request. */
enum { NONE = -1, STOPPED = -2, FAILED = -3, FREE = -4 };

static _Atomic unsigned char states[STATES]; /* enum state, by descriptor; NONE: not a keep-alive
                                                connection (yet) */

static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;
static rt_connection **connections; /* of the request threads, by index; under threads_lock, as the
                                       next two */
static int nconnections, nthreads;
static int narrived; /* request threads that were ever started; under threads_lock */
static pthread_cond_t all_arrived = PTHREAD_COND_INITIALIZER;
static int epoll = -1;
static atomic_int active, served;
static atomic_int is_unwatched; /* the listening socket could not be added to epoll again */

int rt_active(void)
{
    return atomic_load(&active);
}

static int watch(int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* ---- keep-alive connections ---- */

static void drop(int fd)
{
    if (fd < STATES)
        atomic_store(&states[fd], STATE_NONE);
    close(fd);
}

/* Makes this thread the owner. Returns 1, or 0 when another thread is, which will read again, or
 * when the connection was closed. */
static int own(int fd)
{
    for (;;) {
        unsigned char was = STATE_IDLE;

        if (atomic_compare_exchange_strong(&states[fd], &was, STATE_BUSY))
            return 1;
        if (was == STATE_NONE || was == STATE_MISSED ||
            (was == STATE_BUSY && atomic_compare_exchange_strong(&states[fd], &was, STATE_MISSED)))
            return 0;
    }
}

/* Reads from a keep-alive connection for which an event has come, in a thread that waits. Returns 1
 * when the beginning of a request is in c and the wait is over, else 0. */
static int pick_up(rt_connection *c, int fd)
{
    char byte;

    while (own(fd)) {
        rt_connection_begin(c, fd);
        switch (rt_connection_receive(c, 0)) {
        case 0:
            rt_credit_leave();
            return 1;
        case -1: /* the Apache child has gone */
            rt_connection_end(c);
            drop(fd);
            return 0;
        default:
            rt_connection_end(c);
            atomic_store(&states[fd], STATE_IDLE);
        }
        /* Another thread's event may have become MISSED meanwhile. */
        if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
            return 0;
    }
    return 0;
}

/* Leaves a connection to the epoll instance after Apache was told that it is keep-alive. Returns 1
 * when there was an event for it meanwhile, else 0. */
static int put_back(int fd)
{
    unsigned char was = STATE_BUSY;

    if (atomic_load(&states[fd]) == STATE_NONE) {
        atomic_store(&states[fd], STATE_IDLE); /* what has come already is reported at once */
        if (watch(fd, EPOLLIN | EPOLLET) < 0)
            drop(fd); /* Apache finds it closed and asks another worker */
        return 0;
    }
    if (atomic_compare_exchange_strong(&states[fd], &was, STATE_IDLE))
        return 0;
    atomic_store(&states[fd], STATE_IDLE);
    return 1;
}

/* In a process that the application forks: closes its copies of the connections. While they are
 * open Apache cannot see that this worker has ended. */
static void leave_all(void)
{
    for (int i = 0; i < nconnections; i++)
        if (connections[i]) {
            atomic_store(&connections[i]->broken, 1);
            if (connections[i]->fd >= 0)
                close(connections[i]->fd);
            connections[i]->fd = -1;
        }
    for (int fd = 0; fd < STATES; fd++)
        if (atomic_exchange(&states[fd], STATE_NONE) == STATE_IDLE)
            close(fd);
    close(epoll);
    epoll = -1;
}

/* ---- new connections ---- */

static void pause_us(long us)
{
    struct timespec pause = {us / 1000000, us % 1000000 * 1000};

    nanosleep(&pause, NULL);
}

/* Watches the listening socket. When that fails, threads try again before they wait. */
static void watch_queue(int listen_fd)
{
    if (watch(listen_fd, EPOLLIN | EPOLLEXCLUSIVE) == 0 || errno == EEXIST)
        atomic_store(&is_unwatched, 0);
    else if (!atomic_exchange(&is_unwatched, 1))
        rt_logf_detached(WIRE_ERR,
                         "WSGI0341: this worker cannot watch its listening socket and tries again "
                         "until it can: %s (%s)",
                         strerror(errno), rt_the_process.where);
}

/* Makes this worker the last of those that wait for new connections. The kernel wakes the first one
 * that it can, and all should have their turn. */
static void go_to_the_end(int listen_fd)
{
    if (rt_the_process.processes > 1 && epoll_ctl(epoll, EPOLL_CTL_DEL, listen_fd, NULL) == 0)
        watch_queue(listen_fd);
}

/* Waits for the request that Apache has claimed this thread for, after an event for listen_fd or
 * stop_fd. Returns its descriptor; FREE when it will not come, or not for this thread, and then the
 * wait is over, too; or NONE when there is no new connection any more. */
static int wait_for_claimed(rt_connection *c, int listen_fd, int stop_fd, int is_new)
{
    int64_t end = rt_clock_ns() + CLAIM_PATIENCE * INT64_C(1000000);

    for (int round = 0; rt_clock_ns() < end; round++) {
        struct epoll_event ev;

        if (rt_credit_take_back())
            return FREE;
        /* listen_fd and stop_fd are level-triggered, so both may be reported each time, and first.
         */
        for (int i = 0; i < 3 && epoll_wait(epoll, &ev, 1, 0) > 0; i++)
            if (ev.data.fd != listen_fd && ev.data.fd != stop_fd && pick_up(c, ev.data.fd))
                return ev.data.fd;
        if (is_new && rt_queue_is_empty(listen_fd))
            return NONE;
        pause_us(round < 20 ? 50 : 1000);
    }
    rt_credit_leave();
    return FREE;
}

/* Accepts a new connection after an event for it. When this thread is claimed, other workers are
 * told. Returns the descriptor of a request, after which the wait is over; NONE when this thread
 * must wait on; or FAILED. */
static int take_new(rt_connection *c, int listen_fd, int stop_fd)
{
    int fd;

    if (!rt_credit_take_back()) {
        rt_queue_pass_on(listen_fd);
        fd = wait_for_claimed(c, listen_fd, stop_fd, 1);
        if (fd != FREE)
            return fd;
    }
    fd = rt_queue_accept(listen_fd);
    if (fd >= 0) {
        go_to_the_end(listen_fd);
        rt_credit_begin();
        rt_connection_begin(c, fd);
        return fd;
    }
    if (fd == RT_QUEUE_FAILED)
        return FAILED;
    rt_credit_wait();
    if (fd == RT_QUEUE_SHORT) { /* the connection stays in the queue and is reported again at once
                                 */
        rt_queue_pass_on(listen_fd);
        pause_us(10000);
    }
    return NONE;
}

/* Leaves a new connection to others when this worker has not moved for a while. Returns 1 when that
 * was done, else 0. */
static int decline(int listen_fd)
{
    if (!rt_credit_is_better_elsewhere())
        return 0;
    go_to_the_end(listen_fd);
    rt_queue_pass_on(listen_fd);
    pause_us(1000);
    return 1;
}

/* ---- waiting ---- */

/* Waits for an event. Returns its descriptor, NONE, or FAILED with errno set. */
static int next_event(int listen_fd)
{
    struct epoll_event ev;
    int n;

    if (atomic_load_explicit(&is_unwatched, memory_order_relaxed))
        watch_queue(listen_fd);
    n = epoll_wait(epoll, &ev, 1,
                   atomic_load_explicit(&is_unwatched, memory_order_relaxed) ? REWATCH_MS : -1);
    if (n < 0 && errno != EINTR)
        return FAILED;
    return n > 0 ? ev.data.fd : NONE;
}

/* The wait of a thread whose credit is shown, until it is over. Returns as wait_for_request(). */
static int wait_until_over(rt_connection *c, int listen_fd, int stop_fd)
{
    int stops = 0, declined = 0, fd = NONE;

    while (fd == NONE) {
        int event;

        if (rt_credit_are_news()) { /* looked at whenever the credit was shown before */
            fd = take_new(c, listen_fd, stop_fd);
            continue;
        }
        event = next_event(listen_fd);
        if (event == FAILED) {
            rt_credit_leave();
            return FAILED;
        }
        if (event == stop_fd) {
            /* epoll reports ready descriptors in turns. A new connection that was there before is
             * taken first, so this thread ends on the second report in a row. */
            if (++stops > 1 && (fd = wait_for_claimed(c, listen_fd, stop_fd, 0)) == FREE)
                fd = STOPPED;
            continue;
        }
        stops = 0;
        if (event == listen_fd) {
            if (declined < DECLINED_AT_MOST && decline(listen_fd))
                declined++;
            else
                fd = take_new(c, listen_fd, stop_fd);
        } else if (event != NONE && pick_up(c, event)) {
            fd = event;
        }
    }
    return fd;
}

/* Waits until c has something to read. missed: a keep-alive connection to read first, or -1.
 * Returns the descriptor, STOPPED, or FAILED with errno set. */
static int wait_for_request(rt_connection *c, int listen_fd, int stop_fd, int missed)
{
    int fd;

    /* When no other thread waits, there may be a queue of new connections. They have waited longer
     * than any request that would come through this thread's credit. */
    if (missed < 0 && rt_queue_is_likely() && !rt_credit_is_any_left() && rt_credit_is_open()) {
        fd = rt_queue_accept(listen_fd);
        if (fd >= 0) {
            rt_connection_begin(c, fd);
            return fd;
        }
        if (fd == RT_QUEUE_FAILED)
            return FAILED;
    }
    rt_credit_wait();
    if (missed >= 0 && pick_up(c, missed))
        fd = missed;
    else
        fd = wait_until_over(c, listen_fd, stop_fd);
    /* The kernel may have told this worker of a connection, and no other one. */
    if (!rt_credit_is_any_waiting()) {
        int error = errno;

        rt_queue_pass_on(listen_fd);
        errno = error;
    }
    return fd;
}

/* ---- a request thread ---- */

/* Counts a request, and tells the supervisor when it is time for another worker. Returns 1 when
 * this thread must end because each request has a process of its own, else 0. */
static int is_enough(void)
{
    static const char line[] = "retire maximum_requests\n";
    int limit = rt_the_process.maximum_requests;

    if (limit == 0 || atomic_fetch_add(&served, 1) + 1 != limit)
        return 0;
    send(rt_the_process.control_fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return limit == 1 && rt_the_process.threads == 1;
}

/* Serves the request in c. Returns a keep-alive connection to read again, or -1. */
static int serve(rt_connection *c, int fd)
{
    int is_last = rt_the_process.maximum_requests == 1 && rt_the_process.threads == 1,
        is_keep_alive;

    atomic_fetch_add(&active, 1);
    WIRE_ASSERT(fd >= STATES || states[fd] != STATE_IDLE);
    is_keep_alive = rt_connection_serve(c, fd < STATES && !is_last);
    rt_connection_end(c);
    atomic_fetch_sub(&active, 1);
    if (is_keep_alive)
        return put_back(fd) ? fd : -1;
    drop(fd);
    return -1;
}

/* Returns 0, or an errno; then the next thread tries it again. */
static int open_epoll(int listen_fd, int stop_fd)
{
    static int is_prepared;
    int rc = 0;

    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || watch(listen_fd, EPOLLIN | EPOLLEXCLUSIVE) < 0 ||
        watch(stop_fd, EPOLLIN) < 0) {
        rc = errno;
        if (epoll >= 0)
            close(epoll);
        epoll = -1;
    }
    if (!is_prepared)
        pthread_atfork(NULL, NULL, leave_all);
    is_prepared = 1;
    return rc;
}

/* Enters the connection of a thread in the list; NULL takes it off. Returns 0, or an errno. */
static int enlist(int index, rt_connection *c, int listen_fd, int stop_fd)
{
    int rc = 0;

    pthread_mutex_lock(&threads_lock);
    if (!connections) { /* once, as another thread may fork at any time, see leave_all() */
        connections = calloc((size_t)rt_the_process.threads, sizeof(*connections));
        nconnections = connections ? rt_the_process.threads : 0;
    }
    if (index >= nconnections && c)
        rc = ENOMEM;
    if (rc == 0 && epoll < 0)
        rc = open_epoll(listen_fd, stop_fd);
    if (index < nconnections)
        connections[index] = rc == 0 ? c : NULL;
    nthreads += c ? 1 : -1;
    if (nthreads == 0)
        rt_credit_end();
    pthread_mutex_unlock(&threads_lock);
    return rc;
}

/* Waits until all threads have started. A request whose code does not release the GIL would keep
 * the other threads from starting, while Apache and the supervisor count on all of them. */
static void wait_for_others(void)
{
    pthread_mutex_lock(&threads_lock);
    if (++narrived == rt_the_process.threads)
        pthread_cond_broadcast(&all_arrived);
    while (narrived < rt_the_process.threads)
        pthread_cond_wait(&all_arrived, &threads_lock);
    pthread_mutex_unlock(&threads_lock);
}

int rt_expire(uint32_t index, uint32_t serial, int status, const char *text, size_t len)
{
    rt_connection *c;
    int done;

    rt_assert_detached();
    pthread_mutex_lock(&threads_lock);
    c = index < (uint32_t)nconnections ? connections[index] : NULL;
    done = c && rt_connection_expire(c, index, serial, status, text, len);
    pthread_mutex_unlock(&threads_lock);
    return done;
}

int rt_serve(int listen_fd, int stop_fd, int index)
{
    rt_connection *c = rt_connection_new();
    int rc = c ? enlist(index, c, listen_fd, stop_fd) : ENOMEM, fd, missed = -1, is_over = 0;

    rt_assert_detached();
    wait_for_others(); /* even when this thread cannot serve, since the others wait for it */
    while (rc == 0 && !is_over) {
        fd = wait_for_request(c, listen_fd, stop_fd, missed);
        if (fd == FAILED)
            rc = errno;
        if (fd < 0)
            break;
        missed = serve(c, fd);
        is_over = !c->is_handed_back && is_enough();
    }
    if (c) {
        enlist(index, NULL, listen_fd, stop_fd);
        rt_connection_free(c);
    }
    rt_later_done();
    rt_thread_done();
    return rc;
}
