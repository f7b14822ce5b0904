/* socket.c - the transport of a worker's requests: an AF_UNIX stream that carries the frames of
 * wire/frames.h. */
#include "observe.h"
#include "request.h"
#include "worker.h"

#include "wire/head.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define IN_ROOM  (64u << 10)

#define LONG_WAIT_US 50000 /* a request that was longer in the queue is run only if its client is still there */

typedef rt_connection connection;

/* This thread serves the connection. */
#define assert_owner(c) WIRE_ASSERT(pthread_equal((c)->owner, pthread_self()))

#define assert_consistent(c) WIRE_ASSERT(is_consistent(c))

/* For assertions. Returns 1 when what the buffers contain lies within them, else 0. */
static inline int is_consistent(const connection *c)
{
    return c->at <= c->have && c->have <= c->room && c->tail_at <= c->used && c->used <= RT_OUT_ROOM &&
           (c->tail || c->tail_len == 0);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
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
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n;

    rt_assert_detached();
    assert_consistent(c);
    WIRE_ASSERT(c->have < c->room);
    do
        n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | (is_patient ? 0 : MSG_DONTWAIT));
    while (n < 0 && errno == EINTR);
    if (n < 0 && !is_patient && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 1;
    if (n > 0 && msg.msg_controllen > 0)
        take_fd(c, CMSG_FIRSTHDR(&msg));
    if (n <= 0) {
        c->broken = 1;
        return -1;
    }
    c->have += (size_t)n;
    return 0;
}

/* Makes sure that need_len bytes are there from c->at on; moves and grows the buffer as needed.
 * Returns 0, or -1. */
static int need(connection *c, size_t need_len)
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

static int next_frame(connection *c, wire_frame *frame)
{
    if (need(c, sizeof(*frame)) < 0)
        return -1;
    memcpy(frame, c->in + c->at, sizeof(*frame));
    c->at += sizeof(*frame);
    return wire_frame_fits(frame) ? 0 : -1;
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
    struct iovec iov[4] = {{c->out, c->tail_at}, {(void *)c->tail, c->tail_len}, {c->out + c->tail_at, c->used - c->tail_at},
                           {(void *)payload, len}};
    int first = c->tail ? 0 : 2, last = len ? 4 : 3, rc;

    assert_consistent(c);
    rc = write_all(c, iov + first, last - first);
    c->used = c->tail_at = c->tail_len = 0;
    c->tail = NULL;
    return rc;
}

static int flush_out(connection *c)
{
    return c->used ? flush_with(c, NULL, 0) : WIRE_IO_OK;
}

static int put_frame_head(connection *c, wire_frame frame)
{
    if (c->used + sizeof(frame) > RT_OUT_ROOM && flush_out(c) < 0)
        return WIRE_IO_GONE;
    memcpy(c->out + c->used, &frame, sizeof(frame));
    c->used += sizeof(frame);
    return WIRE_IO_OK;
}

/* Appends a frame. A payload that does not fit is sent at once, together with the collected frames.
 * Returns as write_all(). */
static int put(connection *c, wire_frame frame, const char *payload)
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

static int put_frame(connection *c, int type, uint16_t arg, const char *payload, size_t len)
{
    return put(c, (wire_frame){.len = (uint32_t)len, .type = (uint8_t)type, .arg = arg}, payload);
}

/* ---- wire_ops ---- */

/* Asks Apache for body bytes and sets body_left. Returns WIRE_IO_OK, or the reason why there are
 * none. */
static int want(connection *c, size_t len)
{
    uint32_t most = len < WIRE_WANT_MAX ? (uint32_t)len : WIRE_WANT_MAX;
    wire_frame frame;

    if (put_frame(c, WIRE_WANT, 0, (const char *)&most, sizeof(most)) < 0 || flush_out(c) < 0 || next_frame(c, &frame) < 0)
        return WIRE_IO_GONE;
    if (frame.type == WIRE_BODY) {
        c->body_left = frame.len;
        c->body_more = frame.len > 0;
        return WIRE_IO_OK;
    }
    c->body_more = 0;
    if (frame.type != WIRE_BODY_ERROR || need(c, frame.len) < 0)
        return WIRE_IO_FAILED;
    c->at += frame.len;
    switch (frame.arg) {
    case WIRE_BODY_ABORTED:
        return WIRE_IO_GONE;
    case WIRE_BODY_TIMEOUT:
        return WIRE_IO_TIMEOUT;
    case WIRE_BODY_TOO_LARGE:
        return WIRE_IO_TOO_LARGE;
    case WIRE_BODY_MALFORMED:
        return WIRE_IO_MALFORMED;
    default:
        return WIRE_IO_FAILED;
    }
}

static int64_t read_spooled(connection *c, char *buf, size_t len)
{
    ssize_t n;

    do
        n = pread(c->body_fd, buf, len, c->body_at);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return WIRE_IO_FAILED; /* shorter than Apache said */
    c->body_at += n;
    c->body_left -= (size_t)n;
    if (c->body_left == 0)
        close_fd(&c->body_fd);
    return n;
}

static int64_t sock_read_body(void *ctx, char *buf, size_t len)
{
    connection *c = ctx;
    size_t have;
    int rc;

    if (c->broken)
        return WIRE_IO_GONE;
    if (c->body_left == 0 && c->body_more && (rc = want(c, len)) < 0)
        return rc;
    if (c->body_left == 0)
        return 0;
    if (c->body_fd >= 0)
        return read_spooled(c, buf, len < c->body_left ? len : c->body_left);
    if (c->at == c->have) {
        c->at = c->have = 0;
        if (rt_connection_receive(c, 1) < 0)
            return WIRE_IO_GONE;
    }
    have = c->have - c->at;
    if (have > c->body_left)
        have = c->body_left;
    if (have > len)
        have = len;
    memcpy(buf, c->in + c->at, have);
    c->at += have;
    c->body_left -= have;
    return (int64_t)have;
}

/* Gives the data memory of its own, since in[] may be moved. */
static size_t sock_body_at_hand(void *ctx, const char **data)
{
    connection *c = ctx;
    size_t len = c->body_left;

    if (c->body_fd >= 0 || len == 0 || len > IN_ROOM || !(c->hand = malloc(len)))
        return 0;
    memcpy(c->hand, c->in + c->at, len); /* open_body() has seen to it that it is all there */
    c->at += len;
    c->body_left = 0;
    *data = c->hand;
    return len;
}

static int put_head(connection *c, int type, const wire_response *r)
{
    size_t len = wire_head_size(r);
    char few[2048], *payload = len <= sizeof(few) ? few : malloc(len);
    int rc = WIRE_IO_FAILED;

    if (payload && len > 0) {
        wire_head_write(payload, r);
        rc = put_frame(c, type, 0, payload, len);
    }
    if (payload != few)
        free(payload);
    return rc;
}

static int sock_send_head(void *ctx, const wire_response *response)
{
    rt_activity_head();
    return put_head(ctx, WIRE_HEAD, response);
}

static int sock_send_hints(void *ctx, const wire_response *hints)
{
    return put_head(ctx, WIRE_HINTS, hints) < 0 ? WIRE_IO_GONE : flush_out(ctx);
}

static int64_t sock_lookup_tls(void *ctx, const char *name, size_t name_len, char *buf, size_t len)
{
    connection *c = ctx;
    size_t unread = c->body_fd >= 0 ? 0 : c->body_left; /* body bytes that come before the reply; they stay in in[] */
    wire_frame frame;

    if (c->broken || name_len > WIRE_LOOKUP_MAX || put_frame(c, WIRE_LOOKUP, 0, name, name_len) < 0 || flush_out(c) < 0 ||
        need(c, unread + sizeof(frame)) < 0)
        return -1;
    memcpy(&frame, c->in + c->at + unread, sizeof(frame));
    if (frame.type != WIRE_ANSWER || !wire_frame_fits(&frame) || need(c, unread + sizeof(frame) + frame.len) < 0)
        return -1;
    memcpy(buf, c->in + c->at + unread + sizeof(frame), frame.len < len ? frame.len : len);
    c->have -= sizeof(frame) + frame.len;
    return frame.arg ? (int64_t)frame.len : -1;
}

/* Appends a DATA frame without copying its data. The frames before it, the data and the END leave
 * in one call, so that Apache wakes up once for all of them. */
static int put_tail(connection *c, const char *data, size_t len)
{
    if (put_frame_head(c, (wire_frame){.len = (uint32_t)len, .type = WIRE_DATA, .flags = WIRE_ENDS}) < 0)
        return WIRE_IO_GONE;
    c->tail = data;
    c->tail_len = len;
    c->tail_at = c->used;
    return WIRE_IO_OK;
}

static int sock_send_data(void *ctx, const char *data, size_t len, int flags)
{
    connection *c = ctx;

    if (flags & WIRE_SEND_STAYS)
        return put_tail(c, data, len);
    while (len > 0) {
        size_t part = len < (1u << 30) ? len : (1u << 30);

        if (put_frame(c, WIRE_DATA, 0, data, part) < 0)
            return WIRE_IO_GONE;
        data += part;
        len -= part;
    }
    return flags & WIRE_SEND_FLUSH ? flush_out(c) : WIRE_IO_OK;
}

/* Appends a FILE frame, which leaves with the next frames, usually the END. A response has one file
 * at most. */
static int sock_send_file(void *ctx, int fd, int64_t offset, int64_t length)
{
    connection *c = ctx;
    wire_file file = {offset, length};
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own < 0)
        return WIRE_IO_FAILED;
    if (put_frame(c, WIRE_FILE, 0, (const char *)&file, sizeof(file)) < 0) {
        close(own);
        return WIRE_IO_GONE;
    }
    c->file_fd = own;
    return WIRE_IO_OK;
}

static int sock_answer(void *ctx, enum wire_verdict verdict, const char *text, size_t len)
{
    return put_frame(ctx, WIRE_VERDICT, (uint16_t)verdict, text, len); /* leaves with END */
}

static void sock_log(void *ctx, int level, const char *text, size_t len)
{
    connection *c = ctx;

    put_frame(c, WIRE_LOG, (uint16_t)level, text, len < WIRE_LOG_MAX ? len : WIRE_LOG_MAX);
    flush_out(c); /* a long request's output is wanted while it runs */
}

static void sock_log_at(void *ctx, int level, const char *file, int line, const char *text, size_t len)
{
    size_t file_len = strnlen(file, WIRE_LOG_FILE_MAX), room = sizeof(wire_log_at) + file_len + len;
    wire_log_at at = {(uint32_t)line, (uint32_t)file_len};
    char *payload = room <= WIRE_LOG_MAX ? malloc(room) : NULL;

    if (!payload) {
        sock_log(ctx, level, text, len);
        return;
    }
    memcpy(payload, &at, sizeof(at));
    memcpy(payload + sizeof(at), file, file_len);
    memcpy(payload + sizeof(at) + file_len, text, len);
    put_frame(ctx, WIRE_LOG_AT, (uint16_t)level, payload, room);
    flush_out(ctx);
    free(payload);
}

static const wire_ops sock_ops = {
    .read_body = sock_read_body,
    .body_at_hand = sock_body_at_hand,
    .send_head = sock_send_head,
    .send_data = sock_send_data,
    .send_file = sock_send_file,
    .send_hints = sock_send_hints,
    .lookup_tls = sock_lookup_tls,
    .answer = sock_answer,
    .log = sock_log,
    .log_at = sock_log_at,
};

/* ---- a connection ---- */

/* Returns 1 when nothing of the request is left in the socket, so that another may come over it;
 * else 0. */
static int is_all_read(const connection *c)
{
    return c->body_fd >= 0 || c->have - c->at >= c->body_left;
}

/* Sends the last frame. Returns 1 when Apache was told that the connection is keep-alive, else
 * 0. */
static int send_outcome(connection *c, enum wire_outcome outcome, int can_keep_alive)
{
    wire_times times;
    wire_frame frame = {.len = sizeof(times), .type = WIRE_FAILURE, .arg = 500};

    rt_activity_times(&times);
    switch (outcome) {
    case WIRE_DONE:
        frame = (wire_frame){.len = sizeof(times), .type = WIRE_END};
        break;
    case WIRE_STALE:
        frame = (wire_frame){.type = WIRE_RETRY};
        break;
    case WIRE_ERROR_404:
        frame.arg = 404;
        break;
    case WIRE_ERROR_504:
        frame.arg = 504;
        break;
    default:
        break;
    }
    if (can_keep_alive && c->may_keep_alive && outcome != WIRE_STALE && rt_credit_is_open() && is_all_read(c))
        frame.flags = WIRE_KEEP;
    put(c, frame, (const char *)&times);
    return flush_out(c) == WIRE_IO_OK && frame.flags == WIRE_KEEP;
}

/* Reads the part of the body that comes with the request. Returns 0, or -1 when it is not as the
 * head says. */
static int open_body(connection *c, const wire_block_head *head)
{
    wire_frame frame;
    wire_file file;

    c->body_more = head->body_more != 0;
    if (head->body_kind == WIRE_BODY_NONE)
        return 0;
    if (next_frame(c, &frame) < 0)
        return -1;
    c->body_left = frame.len;
    /* All of it is read now. When a worker dies, Apache takes unread data in the socket as a sign
     * that no application code has run. */
    if (head->body_kind == WIRE_BODY_INLINE)
        return frame.type == WIRE_BODY && need(c, frame.len) == 0 ? 0 : -1;
    if (frame.type != WIRE_BODY_AT || need(c, sizeof(file)) < 0 || c->body_fd < 0)
        return -1;
    memcpy(&file, c->in + c->at, sizeof(file));
    c->at += sizeof(file);
    c->body_at = file.offset;
    c->body_left = (size_t)file.length;
    return 0;
}

/* Returns 0 when a request has waited so long that its client has gone or queue-timeout is over,
 * which is answered here; else 1. */
static int is_wanted(connection *c, const wire_block_head *head)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    int64_t waited_us = head->queue_start_us ? rt_now_us() - head->queue_start_us : 0;
    double limit = rt_the_process.queue_timeout;
    char text[512];

    if (waited_us < LONG_WAIT_US)
        return 1;
    if (poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP))
        return 0;
    if (limit <= 0 || (double)waited_us < limit * 1e6)
        return 1;
    snprintf(text, sizeof(text), "WSGI0460: the request waited %.1f s for a thread of a worker, longer than queue-timeout=%g (%s); it "
             "is not run", (double)waited_us / 1e6, limit, rt_the_process.where);
    sock_log(c, WIRE_ERR, text, strlen(text));
    put_frame(c, WIRE_FAILURE, 504, NULL, 0);
    flush_out(c);
    return 0;
}

int rt_connection_serve(connection *c, int can_keep_alive)
{
    enum wire_outcome outcome;
    wire_block_head head;
    wire_reader rd;
    wire_frame frame;
    char *block;
    int is_keep_alive;

    rt_assert_detached();
    assert_owner(c);
    WIRE_ASSERT(c->fd >= 0 && c->is_handed_back);
    if (next_frame(c, &frame) < 0 || frame.type != WIRE_REQUEST || need(c, frame.len) < 0)
        return 0;
    c->may_keep_alive = frame.flags == WIRE_KEEP;
    block = malloc(frame.len); /* its own memory: body data goes through in[] while the block is in use */
    if (!block)
        return 0;
    memcpy(block, c->in + c->at, frame.len);
    c->at += frame.len;
    if (wire_block_open(&rd, &head, block, frame.len) == 0 && (open_body(c, &head) < 0 || !is_wanted(c, &head))) {
        free(block);
        return 0;
    }
    outcome = rt_request_run(block, frame.len, &sock_ops, c, NULL);
    c->is_handed_back = outcome == WIRE_STALE;
    is_keep_alive = send_outcome(c, outcome, can_keep_alive);
    free(block);
    return is_keep_alive;
}

connection *rt_connection_new(void)
{
    connection *c = calloc(1, sizeof(*c));

    rt_assert_detached();
    if (!c)
        return NULL;
    c->fd = c->body_fd = c->file_fd = -1;
    c->room = IN_ROOM;
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
    assert_owner(c);
    pthread_mutex_destroy(&c->lock);
    free(c->in);
    free(c);
}

void rt_connection_begin(connection *c, int fd)
{
    rt_assert_detached();
    assert_owner(c);
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
    assert_owner(c);
    pthread_mutex_lock(&c->lock);
    c->fd = -1;
    pthread_mutex_unlock(&c->lock);
    close_fd(&c->body_fd);
    close_fd(&c->file_fd);
    free(c->hand);
    c->hand = NULL;
    if (c->room > IN_ROOM) { /* one huge request must not cost this thread memory for ever */
        char *smaller = realloc(c->in, IN_ROOM);

        if (smaller)
            c->in = smaller;
        c->room = IN_ROOM;
    }
}

/* ---- giving up ---- */

static void send_failure_locked(connection *c, int status, const char *text, size_t len)
{
    wire_frame log = {.len = (uint32_t)len, .type = WIRE_LOG, .arg = WIRE_ERR}, failure = {.type = WIRE_FAILURE, .arg = (uint16_t)status};
    struct iovec iov[3] = {{&log, sizeof(log)}, {(void *)text, len}, {&failure, sizeof(failure)}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

    /* The control thread watches over all threads and must not wait. When this does not fit, Apache
     * does not read. */
    sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    c->broken = 1;
    shutdown(c->fd, SHUT_RDWR); /* wakes the thread if it waits for this socket */
}

/* Does not wait for the lock: a thread that holds it is sending, and not stuck in the
 * application. */
int rt_connection_expire(connection *c, uint32_t index, uint32_t serial, int status, const char *text, size_t len)
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
