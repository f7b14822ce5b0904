/* queue.c - new connections of Apache's, which wait in the listening socket's queue for a thread of
 * any worker of the group.
 *
 * The kernel tells one worker of each, the first in its order that has a thread for it. That thread
 * may be stopped, killed, or get another request first. So the queue is announced again, to all
 * workers, by the last thread that leaves its worker while there is a queue, by Apache when a
 * connection has waited for a while, and by the supervisor when a worker has died. shutdown()
 * announces it: it wakes all that watch the socket, and as nothing is ever sent over a listening
 * socket, the end of sending changes nothing else. */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static atomic_int may_queue; /* a new connection has come since the queue was last found empty */
static atomic_int is_short;  /* it was logged that there is no descriptor left */
static atomic_int is_lost;   /* it was logged that there is no listening socket */

static int is_readable(int listen_fd)
{
    struct pollfd p = {.fd = listen_fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* Once; errno stays. */
static void log_failure(atomic_int *is_logged, int level, const char *code, const char *text)
{
    int error = errno;

    if (atomic_exchange(is_logged, 1) == 0)
        rt_logf_detached(level, "%s: %s: %s (%s)", code, text, strerror(error),
                         rt_the_process.where);
    errno = error;
}

int rt_queue_accept(int listen_fd)
{
    uint32_t news = rt_credit_news();
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

    atomic_store_explicit(&may_queue, fd >= 0, memory_order_relaxed);
    if (fd >= 0) {
        if (rt_the_process.send_buffer_size > 0)
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &rt_the_process.send_buffer_size, sizeof(int));
        if (atomic_load_explicit(&is_short, memory_order_relaxed))
            atomic_store(&is_short, 0);
        return fd;
    }
    switch (errno) {
    case EAGAIN:
        rt_credit_end_news(news);
        return RT_QUEUE_EMPTY;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        log_failure(&is_short, WIRE_ERR, "WSGI0340",
                    "this worker can accept no more requests until it has closed something");
        return RT_QUEUE_SHORT;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        log_failure(&is_lost, WIRE_ERR, "WSGI0342",
                    "this worker has lost its listening socket and ends");
        return RT_QUEUE_FAILED;
    default: /* that connection has gone, for instance */
        return RT_QUEUE_EMPTY;
    }
}

int rt_queue_is_empty(int listen_fd)
{
    uint32_t news = rt_credit_news();

    if (is_readable(listen_fd))
        return 0;
    rt_credit_end_news(news);
    return 1;
}

int rt_queue_is_likely(void)
{
    return atomic_load_explicit(&may_queue, memory_order_relaxed) || rt_credit_are_news();
}

void rt_queue_pass_on(int listen_fd)
{
    if (rt_credit_are_others() && is_readable(listen_fd) && rt_credit_pass_on())
        shutdown(listen_fd, SHUT_WR);
}
