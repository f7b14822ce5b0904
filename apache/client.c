/* client.c - Apache's end of the socket to a worker (wire/frames.h).
 *
 * A small body is read from the client before a worker is bothered; a larger one is passed on when the worker asks. Until the first
 * answer nothing has reached the application for certain, so RETRY is answered by asking another worker. */
#include "client.h"

#include "body.h"
#include "respond.h"
#include "vars.h"
#include "wire/frames.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

#define ROOM     (64u << 10)
#define MAX_FDS  4

/* What an exchange with a worker came to; other values are what the handler returns. */
#define NOT_YET (-100) /* go on reading frames */
#define RETRY   (-101)

typedef struct exchange {
    request_rec *r;
    const wsgi_target *t;
    wsgi_respond out;
    wsgi_body_reader body;
    const char *block;
    size_t block_len;
    const char *inline_body; /* NULL: none, or to be asked for */
    size_t inline_len;
    apr_time_t deadline;     /* for retries */

    int fd;
    char *in;                /* received and not yet used: in[at..have) */
    size_t at, have, room;
    int fds[MAX_FDS], nfds;
} exchange;

/* ---- failures ---- */

static int unavailable(exchange *x, const char *why)
{
    int retry_after = 0;

    wsgi_group_board_state(x->t->group, &retry_after);
    apr_table_setn(x->r->err_headers_out, "Retry-After", apr_itoa(x->r->pool, retry_after > 0 ? retry_after : 1));
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "WSGI0309: daemon group %s (%s) cannot serve %s: %s",
                  x->t->group->name, x->t->group->where, x->r->uri, why);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* The connection ended before the response did. */
static int worker_gone(exchange *x)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "WSGI0310: the worker of daemon group %s ended while serving %s %s%s; the supervisor's log line says why",
                  x->t->group->name, x->r->method, x->r->uri,
                  x->out.head_done ? ", the response is incomplete and the connection is closed" : "");
    return x->out.head_done ? wsgi_respond_abort(&x->out) : HTTP_BAD_GATEWAY;
}

static int timed_out(exchange *x, apr_interval_time_t limit)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "WSGI0311: daemon group %s sent nothing for %s %s within %d s (socket-timeout= of %s, else Timeout)",
                  x->t->group->name, x->r->method, x->r->uri, (int)apr_time_sec(limit), x->t->group->where);
    return x->out.head_done ? wsgi_respond_abort(&x->out) : HTTP_GATEWAY_TIME_OUT;
}

static int bad_frame(exchange *x, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, x->r,
                  "WSGI0312: daemon group %s sent a malformed %s; are Apache module and Python package of one version?",
                  x->t->group->name, what);
    return x->out.head_done ? wsgi_respond_abort(&x->out) : HTTP_BAD_GATEWAY;
}

/* ---- receiving ---- */

static void take_fds(exchange *x, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        int fd;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (x->nfds < MAX_FDS)
            x->fds[x->nfds++] = fd;
        else
            close(fd);
    }
}

/* What is already there. Bytes, 0 at end-of-file, -1 when nothing is there now. */
static ssize_t receive_now(exchange *x)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {x->in + x->have, x->room - x->have};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.space)};
    ssize_t n;

    do
        n = recvmsg(x->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : 0;
    take_fds(x, &msg);
    x->have += (size_t)n;
    return n;
}

/* Waits in slices of at most a second, so that a group that fails meanwhile is noticed. NOT_YET: readable. */
static int wait_readable(exchange *x)
{
    apr_interval_time_t limit = wsgi_group_socket_timeout(x->t->group, x->r->server);
    apr_time_t end = apr_time_now() + limit;

    for (;;) {
        struct pollfd p = {.fd = x->fd, .events = POLLIN};
        apr_interval_time_t left = end - apr_time_now();
        int n, retry_after;

        if (left <= 0)
            return timed_out(x, limit);
        n = poll(&p, 1, left > APR_USEC_PER_SEC ? 1000 : (int)(left / 1000) + 1);
        if (n > 0)
            return NOT_YET;
        if (n < 0 && errno != EINTR)
            return worker_gone(x);
        if (!x->out.head_done && wsgi_group_board_state(x->t->group, &retry_after) == WIRE_BOARD_FAILED)
            return unavailable(x, "its workers cannot be started");
    }
}

/* Makes room, hands collected data on, and receives at least one byte. NOT_YET, or the handler's result. */
static int receive(exchange *x)
{
    if (wsgi_respond_send(&x->out) < 0)
        return OK;
    if (x->at == x->have)
        x->at = x->have = 0;
    for (;;) {
        ssize_t n = receive_now(x);
        int rc;

        if (n > 0)
            return NOT_YET;
        if (n == 0)
            return worker_gone(x);
        if (wsgi_respond_flush(&x->out) < 0)
            return OK;
        if ((rc = wait_readable(x)) != NOT_YET)
            return rc;
    }
}

/* Makes len bytes available in one piece at in + at. */
static int need(exchange *x, size_t len)
{
    if (x->have - x->at >= len)
        return NOT_YET;
    if (wsgi_respond_send(&x->out) < 0) /* collected data points into in[] */
        return OK;
    if (x->at + len > x->room) {
        char *to = len > x->room ? apr_palloc(x->r->pool, len) : x->in;

        memmove(to, x->in + x->at, x->have - x->at);
        x->room = len > x->room ? len : x->room;
        x->in = to;
        x->have -= x->at;
        x->at = 0;
    }
    while (x->have - x->at < len) {
        int rc = receive(x);

        if (rc != NOT_YET)
            return rc;
    }
    return NOT_YET;
}

/* ---- sending ---- */

static int send_all(exchange *x, struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};

    while (msg.msg_iovlen > 0) {
        ssize_t done = sendmsg(x->fd, &msg, MSG_NOSIGNAL);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        while (msg.msg_iovlen > 0 && (size_t)done >= msg.msg_iov->iov_len) {
            done -= (ssize_t)msg.msg_iov->iov_len;
            msg.msg_iov++;
            msg.msg_iovlen--;
        }
        if (msg.msg_iovlen > 0) {
            msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + done;
            msg.msg_iov->iov_len -= (size_t)done;
        }
    }
    return 0;
}

static int send_request(exchange *x)
{
    wire_frame request = {.len = (uint32_t)x->block_len, .type = WIRE_REQUEST};
    wire_frame body = {.len = (uint32_t)x->inline_len, .type = WIRE_BODY};
    struct iovec iov[4] = {{&request, sizeof(request)}, {(void *)x->block, x->block_len}, {&body, sizeof(body)},
                           {(void *)x->inline_body, x->inline_len}};

    return send_all(x, iov, x->inline_body ? 4 : 2);
}

/* ---- frames ---- */

static int on_want(exchange *x, const wire_frame *f)
{
    char buf[WIRE_WANT_MAX];
    wire_frame answer = {.type = WIRE_BODY};
    struct iovec iov[2] = {{&answer, sizeof(answer)}, {buf, 0}};
    apr_int64_t got;
    uint32_t most;

    if (f->len != sizeof(most))
        return bad_frame(x, "WANT");
    memcpy(&most, x->in + x->at, sizeof(most));
    got = wsgi_body_read(&x->body, buf, most < sizeof(buf) ? most : sizeof(buf));
    if (got < 0) {
        answer.type = WIRE_BODY_ERROR;
        answer.arg = (uint16_t)wsgi_body_error(got);
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, x->body.failed, x->r, "WSGI0313: the request body could not be read");
    } else {
        answer.len = (uint32_t)got;
        iov[1].iov_len = (size_t)got;
    }
    return send_all(x, iov, 2) < 0 ? worker_gone(x) : NOT_YET;
}

/* Reads len bytes at *at; 0, or -1 past the end. */
static int take(const char **at, const char *end, void *to, size_t len)
{
    if ((size_t)(end - *at) < len)
        return -1;
    memcpy(to, *at, len);
    *at += len;
    return 0;
}

static int on_head(exchange *x, const wire_frame *f)
{
    const char *at = x->in + x->at, *end = at + f->len;
    wire_head_fixed fixed;
    wire_response head;
    wire_header *headers;

    if (x->out.head_done || take(&at, end, &fixed, sizeof(fixed)) < 0 || (size_t)(end - at) < fixed.reason_len ||
        fixed.nheaders > f->len / 8)
        return bad_frame(x, "HEAD");
    head = (wire_response){.status = fixed.status, .reason = at, .reason_len = fixed.reason_len,
                           .content_length = fixed.content_length, .nheaders = fixed.nheaders};
    at += fixed.reason_len;
    headers = apr_palloc(x->r->pool, (fixed.nheaders + 1) * sizeof(*headers));
    for (uint32_t i = 0; i < fixed.nheaders; i++) {
        uint32_t lens[2];

        if (take(&at, end, lens, sizeof(lens)) < 0 || (size_t)(end - at) < (size_t)lens[0] + lens[1])
            return bad_frame(x, "HEAD");
        headers[i] = (wire_header){at, lens[0], at + lens[0], lens[1]};
        at += (size_t)lens[0] + lens[1];
    }
    head.headers = headers;
    wsgi_respond_head(&x->out, &head);
    return NOT_YET;
}

/* In constant memory, whatever the frame's length. */
static int on_data(exchange *x, const wire_frame *f)
{
    size_t left = f->len;

    while (left > 0) {
        size_t part;

        if (x->at == x->have) {
            int rc = receive(x);

            if (rc != NOT_YET)
                return rc;
        }
        part = x->have - x->at < left ? x->have - x->at : left;
        wsgi_respond_data(&x->out, x->in + x->at, part);
        x->at += part;
        left -= part;
    }
    return NOT_YET;
}

static int on_file(exchange *x, const wire_frame *f)
{
    wire_file file;
    int fd;

    if (f->len != sizeof(file) || x->nfds == 0)
        return bad_frame(x, "FILE");
    memcpy(&file, x->in + x->at, sizeof(file));
    fd = x->fds[0];
    x->nfds--;
    memmove(x->fds, x->fds + 1, (size_t)x->nfds * sizeof(int));
    wsgi_respond_file(&x->out, fd, file.offset, file.length);
    return NOT_YET;
}

static int on_log(exchange *x, const wire_frame *f)
{
    ap_log_rerror(APLOG_MARK, f->arg & APLOG_LEVELMASK, 0, x->r, "%.*s", (int)f->len, x->in + x->at);
    return NOT_YET;
}

static int on_failure(exchange *x, const wire_frame *f)
{
    if (x->out.head_done)
        return wsgi_respond_abort(&x->out);
    return f->arg >= 400 && f->arg < 600 ? f->arg : HTTP_INTERNAL_SERVER_ERROR;
}

static int on_frame(exchange *x)
{
    wire_frame f;
    int rc = need(x, sizeof(f));

    if (rc != NOT_YET)
        return rc;
    memcpy(&f, x->in + x->at, sizeof(f));
    x->at += sizeof(f);
    if (f.type == WIRE_DATA)
        return on_data(x, &f);
    if (f.len > WIRE_HEAD_MAX)
        return bad_frame(x, "frame");
    if ((rc = need(x, f.len)) != NOT_YET)
        return rc;
    switch (f.type) {
    case WIRE_WANT:
        rc = on_want(x, &f);
        break;
    case WIRE_HEAD:
        rc = on_head(x, &f);
        break;
    case WIRE_FILE:
        rc = on_file(x, &f);
        break;
    case WIRE_LOG:
        rc = on_log(x, &f);
        break;
    case WIRE_END:
        return x->out.head_done ? wsgi_respond_end(&x->out) : bad_frame(x, "END");
    case WIRE_RETRY:
        return RETRY;
    case WIRE_FAILURE:
        return on_failure(x, &f);
    default:
        return bad_frame(x, "frame");
    }
    x->at += f.len;
    return rc;
}

/* ---- one try ---- */

static int try_worker(exchange *x)
{
    struct timeval limit;
    apr_interval_time_t timeout = wsgi_group_socket_timeout(x->t->group, x->r->server);
    apr_status_t rv;
    int retry_after, rc = NOT_YET;

    if (wsgi_group_board_state(x->t->group, &retry_after) == WIRE_BOARD_FAILED)
        return unavailable(x, "its workers cannot be started");
    rv = wsgi_child_connect(x->t->group, &x->fd);
    if (rv != APR_SUCCESS)
        return unavailable(x, apr_psprintf(x->r->pool, "no worker accepts within connect-timeout=%d (%s)",
                                           x->t->group->connect_timeout, strerror(rv)));
    limit.tv_sec = apr_time_sec(timeout);
    limit.tv_usec = apr_time_usec(timeout);
    setsockopt(x->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    x->at = x->have = 0;
    if (send_request(x) < 0)
        rc = RETRY; /* it left between our connect() and its accept(): nothing of the request was used */
    while (rc == NOT_YET)
        rc = on_frame(x);
    close(x->fd);
    while (x->nfds > 0)
        close(x->fds[--x->nfds]);
    return rc;
}

/* A body that fits is read before a worker is taken, so that a slow client holds none. OK, or an HTTP status. */
static int read_inline_body(exchange *x, wsgi_body *body)
{
    char *bytes;
    size_t used = 0;

    if (body->kind == WIRE_BODY_NONE || body->len < 0 || body->len > WIRE_INLINE_MAX || x->r->expecting_100)
        return OK;
    bytes = apr_palloc(x->r->pool, (apr_size_t)body->len + 1);
    for (;;) {
        /* An input filter may deliver more than was declared: then the rest is asked for by nobody, as with any handler. */
        apr_int64_t got = wsgi_body_read(&x->body, bytes + used, (size_t)body->len + 1 - used);

        if (got < 0)
            return ap_map_http_request_error(x->body.failed, HTTP_BAD_REQUEST);
        used += (size_t)got;
        if (got == 0 || used > (size_t)body->len)
            break;
    }
    body->kind = WIRE_BODY_INLINE;
    x->inline_body = bytes;
    x->inline_len = used;
    return OK;
}

int wsgi_client_run(request_rec *r, const wsgi_target *t)
{
    exchange x = {.r = r, .t = t, .room = ROOM};
    wsgi_body body = wsgi_body_of(r);
    apr_interval_time_t pause = 2000;
    int rc;

    wsgi_respond_init(&x.out, r);
    wsgi_body_reader_init(&x.body, r);
    if ((rc = read_inline_body(&x, &body)) != OK || (rc = wsgi_vars_build(&x.block, &x.block_len, r, t, &body)) != OK)
        return rc;
    x.in = apr_palloc(r->pool, ROOM);
    x.deadline = apr_time_now() + wsgi_group_socket_timeout(t->group, r->server);
    while ((rc = try_worker(&x)) == RETRY) {
        if (apr_time_now() > x.deadline)
            return unavailable(&x, "no worker with the current code got ready in time");
        apr_sleep(pause);
        pause = pause < 100000 ? pause * 2 : pause;
    }
    return rc;
}
