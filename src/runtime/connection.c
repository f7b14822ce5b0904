/* connection.c - the two ends of a rt_connection's socket: bytes that were received and not used
 * yet, and frames that were collected and not sent yet. */
#include "observe.h"
#include "worker.h"

#include "wire/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

typedef rt_connection connection;

/* For assertions. Returns 1 when what the buffers contain lies within them, else 0. */
static inline int is_consistent(const connection *c)
{
    return c->at <= c->have && c->have <= c->room && c->tail_at <= c->used &&
           c->used <= RT_OUT_ROOM && (c->tail || c->tail_len == 0);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- a connection ---- */

connection *rt_connection_new(void)
{
    connection *c = calloc(1, sizeof(*c));

    rt_assert_detached();
    if (!c)
        return NULL;
    c->fd = c->body_fd = c->file_fd = -1;
    c->room = RT_IN_ROOM;
    c->in = malloc(c->room);
    if (!c->in) {
        free(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->owner = pthread_self();
    return c;
}

void rt_connection_free(connection *c)
{
    rt_assert_detached();
    rt_assert_owner(c);
    pthread_mutex_destroy(&c->lock);
    free(c->in);
    free(c);
}

void rt_connection_begin(connection *c, int fd)
{
    rt_assert_detached();
    rt_assert_owner(c);
    WIRE_ASSERT(c->fd < 0 && c->body_fd < 0 && c->file_fd < 0 && !c->hand);
    pthread_mutex_lock(&c->lock);
    c->fd = fd;
    c->broken = 0;
    pthread_mutex_unlock(&c->lock);
    c->may_keep_alive = c->body_more = 0;
    c->is_handed_back = 1; /* until the request has been run */
    c->body_left = c->at = c->have = c->used = c->tail_at = c->tail_len = 0;
    c->tail = NULL;
}

void rt_connection_end(connection *c)
{
    rt_assert_detached();
    rt_assert_owner(c);
    pthread_mutex_lock(&c->lock);
    c->fd = -1;
    pthread_mutex_unlock(&c->lock);
    close_fd(&c->body_fd);
    close_fd(&c->file_fd);
    free(c->hand);
    c->hand = NULL;
    if (c->room > RT_IN_ROOM) { /* one huge request must not cost this thread memory for ever */
        char *smaller = realloc(c->in, RT_IN_ROOM);

        if (smaller)
            c->in = smaller;
        c->room = RT_IN_ROOM;
    }
}

/* ---- receiving ---- */

static void take_fd(connection *c, const struct cmsghdr *cmsg)
{
    if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
        return;
    close_fd(&c->body_fd);
    memcpy(&c->body_fd, CMSG_DATA(cmsg), sizeof(int));
}

int rt_connection_receive(connection *c, int is_patient)
{
    wire_fd_space space;
    struct iovec iov = {c->in + c->have, c->room - c->have};
    /* Not CMSG_SPACE(): its padding has room for a second descriptor. */
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &space,
                         .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n;

    rt_assert_detached();
    WIRE_ASSERT(is_consistent(c));
    WIRE_ASSERT(c->have < c->room);
    do
        n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | (is_patient ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0 && !is_patient && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 1;
    if (n > 0 && msg.msg_controllen > 0)
        take_fd(c, CMSG_FIRSTHDR(&msg));
    if (n <= 0) { /* at an end Apache may still want the response, see pass_on_leaving() there */
        c->broken |= n < 0;
        return -1;
    }
    c->have += (size_t)n;
    return 0;
}

int rt_connection_need(connection *c, size_t need_len)
{
    if (c->at > 0 && c->at + need_len > c->room) {
        memmove(c->in, c->in + c->at, c->have - c->at);
        c->have -= c->at;
        c->at = 0;
    }
    if (c->at + need_len > c->room) {
        char *grown = realloc(c->in, need_len);

        if (!grown)
            return -1;
        c->in = grown;
        c->room = need_len;
    }
    while (c->have - c->at < need_len)
        if (rt_connection_receive(c, 1) < 0)
            return -1;
    return 0;
}

int rt_connection_next_frame(connection *c, wire_frame *frame)
{
    if (rt_connection_need(c, sizeof(*frame)) < 0)
        return -1;
    memcpy(frame, c->in + c->at, sizeof(*frame));
    c->at += sizeof(*frame);
    return wire_frame_fits(frame, WIRE_FROM_APACHE) ? 0 : -1;
}

/* ---- sending ---- */

/* Sends all, with the first byte a file's descriptor if there is one. Returns WIRE_IO_OK or
 * WIRE_IO_GONE. */
static int write_all(connection *c, struct iovec *iov, int n)
{
    wire_fd_space space = {{0}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    int rc;

    if (c->file_fd >= 0)
        wire_pass_fd(&msg, &space, c->file_fd);
    pthread_mutex_lock(&c->lock);
    while (msg.msg_iovlen > 0 && !c->broken) {
        ssize_t done = sendmsg(c->fd, &msg, MSG_NOSIGNAL);

        if (done >= 0)
            wire_message_sent(&msg, (size_t)done);
        else if (errno != EINTR)
            c->broken = 1;
    }
    rc = c->broken ? WIRE_IO_GONE : WIRE_IO_OK;
    pthread_mutex_unlock(&c->lock);
    close_fd(&c->file_fd);
    return rc;
}

/* Sends the collected frames and then this. Returns as write_all(). */
static int flush_with(connection *c, const char *payload, size_t len)
{
    struct iovec iov[4] = {{c->out, c->tail_at},
                           {(void *)c->tail, c->tail_len},
                           {c->out + c->tail_at, c->used - c->tail_at},
                           {(void *)payload, len}};
    int first = c->tail ? 0 : 2, last = len ? 4 : 3, rc;

    WIRE_ASSERT(is_consistent(c));
    rc = write_all(c, iov + first, last - first);
    c->used = c->tail_at = c->tail_len = 0;
    c->tail = NULL;
    return rc;
}

int rt_connection_flush(connection *c)
{
    return c->used ? flush_with(c, NULL, 0) : WIRE_IO_OK;
}

static int put_frame_head(connection *c, wire_frame frame)
{
    if (c->used + sizeof(frame) > RT_OUT_ROOM && rt_connection_flush(c) < 0)
        return WIRE_IO_GONE;
    memcpy(c->out + c->used, &frame, sizeof(frame));
    c->used += sizeof(frame);
    return WIRE_IO_OK;
}

int rt_connection_put(connection *c, wire_frame frame, const char *payload)
{
    size_t len = frame.len;

    if (put_frame_head(c, frame) < 0)
        return WIRE_IO_GONE;
    if (len > RT_OUT_ROOM - c->used)
        return flush_with(c, payload, len);
    if (len)
        memcpy(c->out + c->used, payload, len);
    c->used += len;
    return WIRE_IO_OK;
}

int rt_connection_put_tail(connection *c, const char *data, size_t len)
{
    if (put_frame_head(c,
                       (wire_frame){.len = (uint32_t)len, .type = WIRE_DATA, .flags = WIRE_ENDS}) <
        0)
        return WIRE_IO_GONE;
    c->tail = data;
    c->tail_len = len;
    c->tail_at = c->used;
    return WIRE_IO_OK;
}

/* ---- giving up ---- */

static void send_failure_locked(connection *c, int status, const char *text, size_t len)
{
    wire_frame log = {.len = (uint32_t)len, .type = WIRE_LOG, .arg = WIRE_ERR},
               failure = {.type = WIRE_FAILURE, .arg = (uint16_t)status};
    struct iovec iov[3] = {{&log, sizeof(log)}, {(void *)text, len}, {&failure, sizeof(failure)}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

    /* The control thread watches over all threads and must not wait. When this does not fit, Apache
     * does not read. */
    if (sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t)(sizeof(log) + len))
        rt_log_stderr(WIRE_ERR, "", text, len);
    c->broken = 1;
    shutdown(c->fd, SHUT_RDWR); /* wakes the thread if it waits for this socket */
}

/* Does not wait for the lock: a thread that holds it is sending, and not stuck in the
 * application. */
int rt_connection_expire(connection *c, uint32_t index, uint32_t serial, int status,
                         const char *text, size_t len)
{
    int done;

    rt_assert_detached();
    if (pthread_mutex_trylock(&c->lock) != 0)
        return 0;
    done = c->fd >= 0 && !c->broken && rt_activity_is_serving(index, serial);
    if (done)
        send_failure_locked(c, status, text, len < WIRE_LOG_MAX ? len : WIRE_LOG_MAX);
    pthread_mutex_unlock(&c->lock);
    return done;
}
