/* serve.c - a worker's request threads, and their keep-alive connections to Apache's children.
 *
 * All threads wait on one epoll instance: for new connections (with EPOLLEXCLUSIVE each wakes one
 * thread of one worker), for requests over keep-alive connections, and for the order to stop.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STATES 16384 /* connections with descriptors from here on are not kept alive */
/* Milliseconds after which a claim is taken for lost, as its Apache child must have died. */
#define CLAIM_PATIENCE 100

enum state { STATE_NONE, STATE_IDLE, STATE_BUSY, STATE_MISSED };
enum { STOPPED = -2, FAILED = -3 };

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
static atomic_int may_queue; /* a new connection has come since the queue was last found empty */

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

/* Reads from a keep-alive connection for which an event has come. Returns 1 when the beginning of a
 * request is in c, else 0. */
static int pick_up(rt_connection *c, int fd)
{
    char byte;

    while (own(fd)) {
        rt_connection_begin(c, fd);
        switch (rt_connection_receive(c, 0)) {
        case 0:
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

static int accept_one(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

    atomic_store_explicit(&may_queue, fd >= 0, memory_order_relaxed);
    if (fd >= 0 && rt_the_process.send_buffer_size > 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &rt_the_process.send_buffer_size, sizeof(int));
    return fd;
}

/* Makes this worker the last of those that wait for new connections. The kernel wakes the first one
 * that it can, and all should have their turn. */
static void go_to_the_end(int listen_fd)
{
    if (rt_the_process.processes > 1 && epoll_ctl(epoll, EPOLL_CTL_DEL, listen_fd, NULL) == 0)
        watch(listen_fd, EPOLLIN | EPOLLEXCLUSIVE);
}

/* ---- waiting ---- */

/* Waits for the request that Apache has claimed this thread for. Returns its descriptor, or -1 when
 * it does not come. */
static int wait_for_claimed(rt_connection *c, int listen_fd, int stop_fd)
{
    static const struct timespec pause = {0, 1000000};

    for (int ms = 0; ms < CLAIM_PATIENCE; ms++) {
        struct epoll_event ev;

        /* listen_fd and stop_fd are level-triggered, so both may be reported each time, and first.
         */
        for (int i = 0; i < 3 && epoll_wait(epoll, &ev, 1, 0) > 0; i++)
            if (ev.data.fd != listen_fd && ev.data.fd != stop_fd && pick_up(c, ev.data.fd))
                return ev.data.fd;
        nanosleep(&pause, NULL);
    }
    return -1;
}

/* Accepts a new connection after an event for it. Returns its descriptor, or that of a claimed
 * request, -1 when another thread has taken it, or FAILED with errno set. When the application has
 * used up all descriptors, the connection stays in the queue and is reported again at once. */
static int take_new(rt_connection *c, int listen_fd, int stop_fd)
{
    static const struct timespec without_descriptors = {0, 10000000};
    int is_mine = rt_credit_take_back(), fd = accept_one(listen_fd), claimed;

    if (fd < 0) {
        int error = errno;

        if (is_mine) {
            rt_credit_waited();
            rt_credit_add();
        }
        if (error == EBADF || error == EINVAL || error == ENOTSOCK) {
            errno = error; /* the application has closed it; epoll would report it for ever */
            return FAILED;
        }
        if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
            nanosleep(&without_descriptors, NULL);
        return -1;
    }
    go_to_the_end(listen_fd);
    if (!is_mine && (claimed = wait_for_claimed(c, listen_fd, stop_fd)) >= 0) {
        close(fd); /* unread, so Apache asks another worker */
        return claimed;
    }
    rt_connection_begin(c, fd);
    return fd;
}

/* Waits until c has something to read. missed: a keep-alive connection to read first, or -1.
 * Returns the descriptor, STOPPED, or FAILED with errno set. */
static int wait_for_request(rt_connection *c, int listen_fd, int stop_fd, int missed)
{
    int stops = 0, fd;

    /* When no other thread waits, there may be a queue of new connections. They have waited longer
     * than any request that would come through this thread's credit. */
    if (missed < 0 && atomic_load_explicit(&may_queue, memory_order_relaxed) &&
        !rt_credit_is_any_left() && rt_credit_is_open() && (fd = accept_one(listen_fd)) >= 0) {
        rt_connection_begin(c, fd);
        return fd;
    }
    fd = -1;
    rt_credit_add();
    if (missed >= 0 && pick_up(c, missed))
        fd = missed;
    while (fd == -1) {
        struct epoll_event ev;

        if (epoll_wait(epoll, &ev, 1, -1) < 0) {
            if (errno != EINTR)
                fd = FAILED;
            continue;
        }
        if (ev.data.fd == stop_fd) {
            /* epoll reports ready descriptors in turns. A new connection that was there before must
             * be taken first, since EPOLLEXCLUSIVE has woken no other thread for it; so this thread
             * ends on the second report in a row. */
            if (++stops > 1 &&
                (rt_credit_take_back() || (fd = wait_for_claimed(c, listen_fd, stop_fd)) < 0))
                fd = STOPPED;
            continue;
        }
        stops = 0;
        if (ev.data.fd == listen_fd)
            fd = take_new(c, listen_fd, stop_fd);
        else if (pick_up(c, ev.data.fd))
            fd = ev.data.fd;
    }
    rt_credit_waited();
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
    if (rc == 0 && epoll < 0) {
        epoll = epoll_create1(EPOLL_CLOEXEC);
        if (epoll < 0 || watch(listen_fd, EPOLLIN | EPOLLEXCLUSIVE) < 0 ||
            watch(stop_fd, EPOLLIN) < 0)
            rc = errno;
        pthread_atfork(NULL, NULL, leave_all);
    }
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
