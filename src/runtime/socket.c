/* socket.c - the transport of a worker's requests: an AF_UNIX stream that carries the frames of
 * wire/frames.h. */
#include "observe.h"
#include "request.h"
#include "worker.h"

#include "wire/clock.h"
#include "wire/head.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request that was longer in the queue is run only if its client is still there. */
#define LONG_WAIT_US 50000

typedef rt_connection connection;

static int put_frame(connection *c, int type, uint16_t arg, const char *payload, size_t len)
{
    return rt_connection_put(c,
                             (wire_frame){.len = (uint32_t)len, .type = (uint8_t)type, .arg = arg},
                             payload);
}

/* ---- wire_ops ---- */

/* Asks Apache for body bytes and sets body_left. Returns WIRE_IO_OK, or the reason why there are
 * none. */
static int want(connection *c, size_t len)
{
    uint32_t most = len < WIRE_WANT_MAX ? (uint32_t)len : WIRE_WANT_MAX;
    wire_frame frame;

    if (put_frame(c, WIRE_WANT, 0, (const char *)&most, sizeof(most)) < 0 ||
        rt_connection_flush(c) < 0 || rt_connection_next_frame(c, &frame) < 0)
        return WIRE_IO_GONE;
    if (frame.type == WIRE_BODY) {
        c->body_left = frame.len;
        c->body_more = frame.len > 0;
        return WIRE_IO_OK;
    }
    c->body_more = 0;
    if (frame.type != WIRE_BODY_ERROR || rt_connection_need(c, frame.len) < 0)
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
    if (c->body_left == 0) {
        close(c->body_fd);
        c->body_fd = -1;
    }
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

    if (c->body_fd >= 0 || len == 0 || len > RT_IN_ROOM || !(c->hand = malloc(len)))
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
    return put_head(ctx, WIRE_HINTS, hints) < 0 ? WIRE_IO_GONE : rt_connection_flush(ctx);
}

static int64_t sock_lookup_tls(void *ctx, const char *name, size_t name_len, char *buf, size_t len)
{
    connection *c = ctx;
    size_t unread = c->body_fd >= 0 ? 0 : c->body_left; /* body bytes that come before the reply;
                                                           they stay in in[] */
    wire_frame frame;

    if (c->broken || name_len > WIRE_TLS_LOOKUP_MAX ||
        put_frame(c, WIRE_TLS_LOOKUP, 0, name, name_len) < 0 || rt_connection_flush(c) < 0 ||
        rt_connection_need(c, unread + sizeof(frame)) < 0)
        return -1;
    memcpy(&frame, c->in + c->at + unread, sizeof(frame));
    if (frame.type != WIRE_TLS_VALUE || !wire_frame_fits(&frame, WIRE_FROM_APACHE) ||
        rt_connection_need(c, unread + sizeof(frame) + frame.len) < 0)
        return -1;
    memcpy(buf, c->in + c->at + unread + sizeof(frame), frame.len < len ? frame.len : len);
    c->have -= sizeof(frame) + frame.len;
    return frame.arg ? (int64_t)frame.len : -1;
}

static int sock_send_data(void *ctx, const char *data, size_t len, int flags)
{
    connection *c = ctx;

    if (flags & WIRE_SEND_STAYS)
        return rt_connection_put_tail(c, data, len);
    while (len > 0) {
        size_t part = len < (1u << 30) ? len : (1u << 30);

        if (put_frame(c, WIRE_DATA, 0, data, part) < 0)
            return WIRE_IO_GONE;
        data += part;
        len -= part;
    }
    return flags & WIRE_SEND_FLUSH ? rt_connection_flush(c) : WIRE_IO_OK;
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

static int sock_look(void *ctx)
{
    connection *c = ctx;
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    return c->broken || (poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR))
               ? WIRE_IO_GONE
               : WIRE_IO_OK;
}

static int sock_answer(void *ctx, enum wire_verdict verdict, const char *text, size_t len)
{
    return put_frame(ctx, WIRE_VERDICT, (uint16_t)verdict, text, len); /* leaves with END */
}

/* Writes the client's address and the id of the request to about, as a line of the error log has
 * them. Returns the request's level of logging. */
static int describe_request(const connection *c, char *about, size_t room)
{
    rt_slice address = {"", 0}, port = {"", 0}, id = {"", 0};
    wire_block_head head;
    wire_reader rd;
    wire_pair pair;

    *about = '\0';
    if (!c->block || wire_block_open(&rd, &head, c->block, c->block_len) < 0)
        return rt_the_process.log_level;
    while (wire_block_next(&rd, &pair) > 0)
        if (pair.code == WIRE_REMOTE_ADDR)
            address = (rt_slice){pair.value, pair.value_len};
        else if (pair.code == WIRE_REMOTE_PORT)
            port = (rt_slice){pair.value, pair.value_len};
        else if (pair.code == WIRE_M_REQUEST_ID)
            id = (rt_slice){pair.value, pair.value_len};
    snprintf(about, room, "[client %.*s:%.*s] [request %.*s] ", (int)address.len, address.at,
             (int)port.len, port.at, (int)id.len, id.at);
    return (int)head.log_level;
}

/* Logs without Apache, which has given the request up. Apache has logged what it had received until
 * then (wsgi_replies_last_words()). */
static void log_alone(const connection *c, int level, const char *text, size_t len)
{
    char about[256];

    if (level <= describe_request(c, about, sizeof(about)))
        rt_log_stderr(level, about, text, len);
}

/* Sends a frame for the log at once, as a long request's output is wanted while it runs. Returns 0,
 * or -1 when Apache will not have read all of it. */
static int send_log(connection *c, int type, int level, const char *payload, size_t len)
{
    return !c->broken && put_frame(c, type, (uint16_t)level, payload, len) == WIRE_IO_OK &&
                   rt_connection_flush(c) == WIRE_IO_OK
               ? 0
               : -1;
}

static void sock_log(void *ctx, int level, const char *text, size_t len)
{
    if (send_log(ctx, WIRE_LOG, level, text, len < WIRE_LOG_MAX ? len : WIRE_LOG_MAX) < 0)
        log_alone(ctx, level, text, len);
}

static void sock_log_at(void *ctx, int level, const char *file, int line, const char *text,
                        size_t len)
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
    if (send_log(ctx, WIRE_LOG_AT, level, payload, room) < 0)
        log_alone(ctx, level, text, len);
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
    .look = sock_look,
    .answer = sock_answer,
    .log = sock_log,
    .log_at = sock_log_at,
};

/* ---- a request ---- */

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
    case WIRE_CLIENT_GONE:
        frame.arg = WIRE_CLIENT_LEFT;
        break;
    default:
        break;
    }
    if (can_keep_alive && c->may_keep_alive && outcome != WIRE_STALE && rt_credit_is_open() &&
        is_all_read(c))
        frame.flags = WIRE_KEEP_ALIVE;
    rt_connection_put(c, frame, (const char *)&times);
    return rt_connection_flush(c) == WIRE_IO_OK && frame.flags == WIRE_KEEP_ALIVE;
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
    if (rt_connection_next_frame(c, &frame) < 0)
        return -1;
    c->body_left = frame.len;
    /* All of it is read now. When a worker dies, Apache takes unread data in the socket as a sign
     * that no application code has run. */
    if (head->body_kind == WIRE_BODY_INLINE)
        return frame.type == WIRE_BODY && rt_connection_need(c, frame.len) == 0 ? 0 : -1;
    if (frame.type != WIRE_BODY_AT || rt_connection_need(c, sizeof(file)) < 0 || c->body_fd < 0)
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
    int64_t waited_us = head->queued_us ? wire_monotonic_us() - head->queued_us : 0;
    double limit = rt_the_process.queue_timeout;
    char text[512];

    if (waited_us < LONG_WAIT_US)
        return 1;
    if (poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP))
        return 0;
    if (limit <= 0 || (double)waited_us < limit * 1e6)
        return 1;
    snprintf(text, sizeof(text),
             "WSGI0460: the request waited %.1f s for a thread of a worker, longer than "
             "queue-timeout=%g (%s); it "
             "is not run",
             (double)waited_us / 1e6, limit, rt_the_process.where);
    sock_log(c, WIRE_ERR, text, strlen(text));
    put_frame(c, WIRE_FAILURE, 504, NULL, 0);
    rt_connection_flush(c);
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
    rt_assert_owner(c);
    WIRE_ASSERT(c->fd >= 0 && c->is_handed_back);
    if (rt_connection_next_frame(c, &frame) < 0 || frame.type != WIRE_REQUEST ||
        rt_connection_need(c, frame.len) < 0)
        return 0;
    c->may_keep_alive = frame.flags == WIRE_KEEP_ALIVE;
    block = malloc(frame.len); /* its own memory: body data goes through in[] while the block is in
                                  use */
    if (!block)
        return 0;
    memcpy(block, c->in + c->at, frame.len);
    c->at += frame.len;
    c->block = block;
    c->block_len = frame.len;
    if (wire_block_open(&rd, &head, block, frame.len) == 0 &&
        (open_body(c, &head) < 0 || !is_wanted(c, &head))) {
        c->block = NULL;
        free(block);
        return 0;
    }
    outcome = rt_request_run(block, frame.len, &sock_ops, c, NULL);
    c->is_handed_back = outcome == WIRE_STALE;
    is_keep_alive = send_outcome(c, outcome, can_keep_alive);
    c->block = NULL;
    free(block);
    return is_keep_alive;
}
