/* client.c - Apache's end of the socket to a worker (wire/frames.h).
 *
 * The body is read from the client before a worker is bothered, and the response is read off the worker as fast as it comes: what
 * the client does not take meanwhile goes to a temporary file, so that slow clients hold no worker. Until the first answer
 * nothing has reached the application for certain, so RETRY is answered by asking another worker. When a worker has answered, the
 * connection to it is kept for other requests (lines.h) while the client takes what is left. */
#include "client.h"

#include "account.h"
#include "body.h"
#include "channel.h"
#include "lines.h"
#include "log.h"
#include "respond.h"
#include "scoreboard.h"
#include "vars.h"
#include "wire/frames.h"
#include "wire/head.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

#define ROOM     (64u << 10)
#define CALL_ROOM (4u << 10) /* grows when a frame is larger */
#define PART     (32u << 10) /* what a client that lags behind is given at a time: little enough to fit into its socket's buffer */
#define FILE_PATIENCE_MS 50  /* so long close() of the application's file may take */

/* What an exchange with a worker came to; other values are what the handler returns. */
#define NOT_YET (-100) /* go on reading frames */
#define RETRY   (-101)

typedef struct exchange {
    request_rec *r;
    const wsgi_target *t;
    wsgi_respond out;
    wsgi_body_reader body;
    const char *block;       /* in r->pool */
    size_t block_len;
    uint16_t connects, retries;
    wsgi_body upload;
    wsgi_answer *answer; /* of a call, which has no response and no body; NULL: a request */
    apr_time_t deadline; /* for retries */
    apr_time_t queued;   /* since then it waits for a thread */
    apr_interval_time_t client_timeout; /* for writing; Apache's own is back when this is over */
    apr_time_t lags_since;  /* the client could have taken something and has not; 0: it has */
    int client_fd;       /* -1: a stream of HTTP/2, which has no socket of its own */
    apr_off_t keep_most; /* bytes of the response that may wait for the client */

    wsgi_line line;
    wsgi_channel worker; /* over line */
    char *in;                /* received and not yet used: in[at..have) */
    size_t at, have, room;
    wire_times times;
    int is_timed; /* the worker has said how long it took */
    int heard;    /* the worker has sent something */
    int got_file; /* the last frame was a FILE */
} exchange;

/* ---- the client's socket ---- */

static int socket_of(conn_rec *c)
{
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    apr_os_sock_t fd = -1;

    if (socket)
        apr_os_sock_get(&fd, socket);
    return fd;
}

static void set_client_timeout(const exchange *x, apr_interval_time_t timeout)
{
    if (x->client_fd >= 0 && x->client_timeout != x->r->server->timeout)
        apr_socket_timeout_set(ap_get_conn_socket(x->r->connection), timeout);
}

/* ---- failures ---- */

static int unavailable(exchange *x, const char *why)
{
    apr_table_setn(x->r->err_headers_out, "Retry-After", apr_itoa(x->r->pool, wsgi_group_retry_after(x->t->group)));
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "WSGI0309: daemon group %s (%s) cannot serve %s: %s",
                  x->t->group->name, x->t->group->where, x->r->uri, why);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* The connection ended before the response did. */
static int worker_gone(exchange *x)
{
    wire_block_head head;

    memcpy(&head, x->block, sizeof(head));
    if (!x->heard && wsgi_group_died_before_application(x->t->group, head.queue_start_us))
        return RETRY;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "WSGI0310: a worker of daemon group %s ended, process %s while serving %s %s%s",
                  x->t->group->name, wsgi_group_death(x->t->group, head.queue_start_us, x->r->pool), x->r->method, x->r->uri,
                  x->out.head_done ? "; the response is incomplete and the connection is closed" : "");
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

/* The request waits for a thread of a worker. NOT_YET: let it. */
static int wait_in_queue(exchange *x)
{
    const wsgi_group *g = x->t->group;
    apr_time_t waited = apr_time_now() - x->queued;
    const char *why;

    if (x->heard || !wsgi_channel_is_unread(&x->worker))
        return NOT_YET;
    if (wsgi_has_hung_up(x->client_fd)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "WSGI0320: the client has left before a thread of daemon group %s was free for its "
                      "request, which is dropped", g->name);
        x->r->connection->aborted = 1;
        return OK;
    }
    if ((why = wsgi_group_refusal(g))) /* while a draining worker may still have others */
        return unavailable(x, why);
    if (g->queue_timeout == 0 || waited < g->queue_timeout)
        return NOT_YET;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, "WSGI0321: %s %s has waited %.1f s for a thread of daemon group %s, longer than "
                  "queue-timeout=%s (%s); it is not run", x->r->method, x->r->uri, (double)waited / 1e6, g->name,
                  wsgi_group_seconds(g->queue_timeout, x->r->pool), g->where);
    apr_table_setn(x->r->err_headers_out, "Retry-After", "1");
    return HTTP_GATEWAY_TIME_OUT;
}

/* How long to wait before somebody must be asked again; at most a second. */
static int slice_ms(const exchange *x, apr_interval_time_t left)
{
    apr_interval_time_t queue = x->t->group->queue_timeout;

    if (!x->heard && queue > 0 && x->queued + queue > apr_time_now() && x->queued + queue - apr_time_now() < left)
        left = x->queued + queue - apr_time_now();
    return left > APR_USEC_PER_SEC ? 1000 : (int)(left / 1000) + 1;
}

/* Waits in slices of at most a second, so that a group that fails meanwhile is noticed. NOT_YET: readable. waited: so long it was already. */
static int wait_readable(exchange *x, apr_interval_time_t waited)
{
    apr_interval_time_t limit = wsgi_group_socket_timeout(x->t->group, x->r->server);
    apr_time_t end = apr_time_now() + limit - waited;

    for (;;) {
        struct pollfd p = {.fd = x->worker.fd, .events = POLLIN};
        apr_interval_time_t left = end - apr_time_now();
        int n, rc;

        if (left <= 0)
            return timed_out(x, limit);
        n = poll(&p, 1, slice_ms(x, left));
        if (n > 0)
            return NOT_YET;
        if (n < 0 && errno != EINTR)
            return worker_gone(x);
        if ((rc = wait_in_queue(x)) != NOT_YET)
            return rc;
    }
}

/* ---- two speeds: the worker's and the client's ---- */

/* Can the client take more now? */
static int is_client_ready(const exchange *x)
{
    struct pollfd p = {.fd = x->client_fd, .events = POLLOUT};

    return x->client_fd >= 0 && poll(&p, 1, 0) > 0;
}

/* What was collected points into in[]. Before that is used again, it goes to the client, or into a file when the client lags behind. */
static int make_room(exchange *x)
{
    apr_off_t kept = wsgi_respond_kept(&x->out);

    if (wsgi_respond_pending(&x->out)) {
        int keep = kept < x->keep_most && (kept > 0 || !is_client_ready(x));

        if (!(keep && wsgi_respond_keep(&x->out) == 0)) {
            if (wsgi_respond_send(&x->out) < 0)
                return OK;
            x->lags_since = 0;
        }
    }
    memmove(x->in, x->in + x->at, x->have - x->at);
    x->have -= x->at;
    x->at = 0;
    return NOT_YET;
}

/* Waits until the worker has sent something; meanwhile the client gets what there is for it, whenever it is ready. */
static int wait_for_both(exchange *x)
{
    struct pollfd p[2] = {{.fd = x->worker.fd, .events = POLLIN}, {.fd = x->client_fd, .events = POLLOUT}};
    /* Where the client cannot be asked, the worker may pause for so long before the client gets a part. */
    apr_interval_time_t wait = x->t->group->response_flush_delay;
    int n;

    if (x->got_file) { /* nothing but the end should follow, and filters like byteranges want to see both at once */
        x->got_file = 0;
        if (poll(p, 1, FILE_PATIENCE_MS) > 0)
            return NOT_YET;
    }
    if (x->client_fd >= 0) {
        x->lags_since = x->lags_since ? x->lags_since : apr_time_now();
        wait = x->lags_since + x->client_timeout - apr_time_now();
    }
    do
        n = poll(p, x->client_fd < 0 ? 1 : 2, wait > 0 ? (int)(wait / 1000 < INT_MAX ? wait / 1000 : INT_MAX) : 0);
    while (n < 0 && errno == EINTR);
    if (n > 0 && p[1].revents)
        x->lags_since = 0;
    if (n > 0 && p[0].revents)
        return NOT_YET;
    if (n == 0 && x->client_fd >= 0) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "WSGI0316: the client has taken nothing for %d s "
                      "(response-socket-timeout= of %s, else its socket-timeout=, else Timeout)",
                      (int)apr_time_sec(x->client_timeout), x->t->group->where);
        x->r->connection->aborted = 1;
        return OK;
    }
    return wsgi_respond_part(&x->out, PART) < 0 ? OK : NOT_YET;
}

/* Most answers come within a second; waiting for them in the call that receives them saves two others. */
static int can_wait_a_second(const exchange *x)
{
    const wsgi_group *g = x->t->group;

    return !wsgi_respond_pending(&x->out) && wsgi_group_socket_timeout(g, x->r->server) > APR_USEC_PER_SEC &&
           (x->heard || g->queue_timeout == 0 || g->queue_timeout > APR_USEC_PER_SEC);
}

/* Receives at least one byte. NOT_YET, or the handler's result. */
static int receive(exchange *x)
{
    apr_interval_time_t waited = 0;

    for (;;) {
        int rc, is_patient = waited == 0 && can_wait_a_second(x);
        ssize_t n;

        if (x->have == x->room && (rc = make_room(x)) != NOT_YET)
            return rc;
        n = wsgi_channel_receive(&x->worker, x->in + x->have, x->room - x->have, is_patient);
        if (n > 0) {
            x->have += (size_t)n;
            x->heard = 1;
            return NOT_YET;
        }
        if (n == WSGI_CHANNEL_RESET && !x->heard)
            return RETRY; /* no application code was reached */
        if (n == 0 || n == WSGI_CHANNEL_RESET)
            return worker_gone(x);
        waited += is_patient ? APR_USEC_PER_SEC : 0;
        if (is_patient && (rc = wait_in_queue(x)) != NOT_YET)
            return rc;
        rc = wsgi_respond_pending(&x->out) ? wait_for_both(x) : wait_readable(x, waited);
        if (rc != NOT_YET)
            return rc;
    }
}

/* Makes len bytes available in one piece at in + at. */
static int need(exchange *x, size_t len)
{
    int rc;

    if (x->at + len > x->room && (rc = make_room(x)) != NOT_YET)
        return rc;
    if (len > x->room) {
        char *larger = apr_palloc(x->r->pool, len);

        memcpy(larger, x->in, x->have);
        x->in = larger;
        x->room = len;
    }
    while (x->have - x->at < len)
        if ((rc = receive(x)) != NOT_YET)
            return rc;
    return NOT_YET;
}

/* ---- sending ---- */

/* What only this try knows. */
static void note_try(exchange *x)
{
    wire_block_head head;

    memcpy(&head, x->block, sizeof(head));
    head.connects = ++x->connects;
    head.retries = x->retries;
    memcpy((char *)x->block, &head, sizeof(head));
}

static int send_request(exchange *x)
{
    wire_frame request = {.len = (uint32_t)x->block_len, .type = WIRE_REQUEST, .flags = wsgi_line_is_wanted(x->t->group) ? WIRE_KEEP : 0}, body = {.type = WIRE_BODY};
    wire_file file = {0, (int64_t)x->upload.size};
    struct iovec iov[4] = {{&request, sizeof(request)}, {(void *)x->block, x->block_len}, {&body, sizeof(body)}};

    if (x->upload.kind == WIRE_BODY_NONE)
        return wsgi_channel_send(&x->worker, iov, 2, -1);
    if (x->upload.kind == WIRE_BODY_FILE) {
        body = (wire_frame){.len = sizeof(file), .type = WIRE_BODY_AT};
        iov[3] = (struct iovec){&file, sizeof(file)};
        return wsgi_channel_send(&x->worker, iov, 4, wsgi_spool_fd(&x->upload.spool));
    }
    body.len = (uint32_t)x->upload.size;
    iov[3] = (struct iovec){(void *)x->upload.bytes, x->upload.size};
    return wsgi_channel_send(&x->worker, iov, 4, -1);
}

/* ---- frames ---- */

static int on_want(exchange *x)
{
    char buf[WIRE_WANT_MAX];
    wire_frame answer = {.type = WIRE_BODY};
    struct iovec iov[2] = {{&answer, sizeof(answer)}, {buf, 0}};
    apr_int64_t got;
    uint32_t most;

    memcpy(&most, x->in + x->at, sizeof(most));
    if (wsgi_respond_flush(&x->out) < 0) /* the client may wait for it before it sends more */
        return OK;
    got = wsgi_body_read(&x->body, buf, most < sizeof(buf) ? most : sizeof(buf));
    if (got < 0) {
        answer.type = WIRE_BODY_ERROR;
        answer.arg = (uint16_t)wsgi_body_error(got);
    } else {
        answer.len = (uint32_t)got;
        iov[1].iov_len = (size_t)got;
    }
    return wsgi_channel_send(&x->worker, iov, 2, -1) < 0 ? worker_gone(x) : NOT_YET;
}

static int on_lookup(exchange *x, const wire_frame *f)
{
    const char *value;
    wire_frame answer = {.type = WIRE_ANSWER};
    struct iovec iov[2] = {{&answer, sizeof(answer)}};

    value = wsgi_tls_variable(x->r, apr_pstrmemdup(x->r->pool, x->in + x->at, f->len));
    answer.arg = value != NULL;
    answer.len = value ? (uint32_t)strlen(value) : 0;
    iov[1] = (struct iovec){(void *)value, answer.len};
    return wsgi_channel_send(&x->worker, iov, 2, -1) < 0 ? worker_gone(x) : NOT_YET;
}

/* HEAD and HINTS. */
static int on_head(exchange *x, const wire_frame *f)
{
    const char *payload = x->in + x->at;
    wire_response head;

    if (x->out.head_done || wire_head_open(&head, payload, f->len) < 0 ||
        wire_head_read(&head, apr_palloc(x->r->pool, (head.nheaders + 1) * sizeof(wire_header)), payload, f->len) < 0)
        return bad_frame(x, "HEAD");
    if (f->type == WIRE_HINTS)
        return wsgi_respond_hints(&x->out, &head) < 0 ? OK : NOT_YET;
    wsgi_respond_head(&x->out, &head);
    set_client_timeout(x, x->client_timeout);
    if (x->out.streaming)
        x->keep_most = 0;
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

static int on_file(exchange *x)
{
    wire_file file;
    int fd;

    memcpy(&file, x->in + x->at, sizeof(file));
    if (file.offset < 0 || file.length < 0 || (fd = wsgi_channel_take_fd(&x->worker)) < 0)
        return bad_frame(x, "FILE");
    wsgi_respond_file(&x->out, fd, file.offset, file.length);
    x->got_file = 1;
    return NOT_YET;
}

static int on_log(exchange *x, const wire_frame *f)
{
    wsgi_log_request(x->r, f->arg, x->in + x->at, f->len);
    return NOT_YET;
}

static int on_log_at(exchange *x, const wire_frame *f)
{
    const char *file = x->in + x->at + sizeof(wire_log_at), *text;
    char name[WIRE_LOG_FILE_MAX + 1]; /* not in r->pool: a request may last for days */
    wire_log_at at;

    memcpy(&at, x->in + x->at, sizeof(at));
    if (at.file_len > f->len - sizeof(at) || at.file_len > WIRE_LOG_FILE_MAX)
        return bad_frame(x, "LOG_AT");
    text = file + at.file_len;
    memcpy(name, file, at.file_len);
    name[at.file_len] = '\0';
    wsgi_log_at(x->r, f->arg, name, (int)at.line, text, f->len - sizeof(at) - at.file_len);
    return NOT_YET;
}

/* END and FAILURE: nothing more will come. Another request may have the connection while this one's client takes the rest. */
static void worker_is_done(exchange *x, const wire_frame *f)
{
    x->is_timed = f->len == sizeof(x->times);
    if (x->is_timed)
        memcpy(&x->times, x->in + x->at, sizeof(x->times));
    if (f->flags != WIRE_KEEP || !x->is_timed || x->at + f->len != x->have)
        return;
    x->worker.fd = -1;
    wsgi_line_keep(x->t->group, &x->line, x->times.pid);
}

static int on_failure(exchange *x, const wire_frame *f)
{
    worker_is_done(x, f);
    if (x->out.head_done)
        return wsgi_respond_abort(&x->out);
    return wsgi_body_status(&x->body, f->arg >= 400 && f->arg < 600 ? f->arg : HTTP_INTERNAL_SERVER_ERROR);
}

static int on_verdict(exchange *x, const wire_frame *f)
{
    return wsgi_answer_take(x->answer, x->r, f->arg, x->in + x->at, f->len) < 0 ? bad_frame(x, "VERDICT") : NOT_YET;
}

static int on_end(exchange *x, const wire_frame *f)
{
    worker_is_done(x, f);
    if (x->answer)
        return x->answer->verdict != WIRE_NO_VERDICT ? OK : bad_frame(x, "END");
    x->out.body_unread = x->upload.more && !x->body.ended;
    return x->out.head_done ? wsgi_respond_end(&x->out) : bad_frame(x, "END");
}

/* A call is answered by a verdict and nothing else, a request by anything else. */
static int is_expected(const exchange *x, int type)
{
    if (!x->answer)
        return type != WIRE_VERDICT;
    return type == WIRE_VERDICT || type == WIRE_LOG || type == WIRE_LOG_AT || type == WIRE_LOOKUP || type == WIRE_END ||
           type == WIRE_RETRY || type == WIRE_FAILURE;
}

static int on_frame(exchange *x)
{
    wire_frame f;
    int rc = need(x, sizeof(f));

    if (rc != NOT_YET)
        return rc;
    memcpy(&f, x->in + x->at, sizeof(f));
    x->at += sizeof(f);
    if (!wire_frame_fits(&f) || !is_expected(x, f.type))
        return bad_frame(x, "frame");
    if (f.type == WIRE_DATA)
        return on_data(x, &f);
    if ((rc = need(x, f.len)) != NOT_YET)
        return rc;
    switch (f.type) {
    case WIRE_WANT:
        rc = on_want(x);
        break;
    case WIRE_LOOKUP:
        rc = on_lookup(x, &f);
        break;
    case WIRE_HINTS:
    case WIRE_HEAD:
        rc = on_head(x, &f);
        break;
    case WIRE_FILE:
        rc = on_file(x);
        break;
    case WIRE_LOG:
        rc = on_log(x, &f);
        break;
    case WIRE_LOG_AT:
        rc = on_log_at(x, &f);
        break;
    case WIRE_VERDICT:
        rc = on_verdict(x, &f);
        break;
    case WIRE_END:
        return on_end(x, &f);
    case WIRE_RETRY:
        x->retries++;
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

static const char *why_no_connection(const exchange *x, apr_status_t rv)
{
    const wsgi_group *g = x->t->group;

    if (g->queue_size > 0 && rv == EAGAIN)
        return apr_psprintf(x->r->pool, "queue-size=%d requests wait already", g->queue_size);
    return apr_psprintf(x->r->pool, "no worker accepts within connect-timeout=%d (%s)", (int)apr_time_sec(g->connect_timeout),
                        strerror(rv));
}

/* Over a connection that was kept, when a worker there has a thread for it. NOT_YET: sent. RETRY: not sent. */
static int send_over_kept(exchange *x, apr_interval_time_t timeout)
{
    while (wsgi_line_take(x->t->group, &x->line)) {
        wsgi_line_set_limit(&x->line, timeout);
        x->worker.fd = x->line.fd;
        if (send_request(x) == 0)
            return NOT_YET;
        wsgi_line_lose(x->t->group, &x->line);
    }
    return RETRY;
}

static int send_over_new(exchange *x, apr_interval_time_t timeout)
{
    apr_status_t rv = wsgi_line_connect(x->t->group, &x->line);

    if (rv != APR_SUCCESS)
        return unavailable(x, why_no_connection(x, rv));
    wsgi_line_set_limit(&x->line, timeout);
    x->worker.fd = x->line.fd;
    if (send_request(x) == 0)
        return NOT_YET;
    wsgi_channel_close(&x->worker);
    return RETRY; /* it left between our connect() and its accept(): nothing of the request was used */
}

static int try_worker(exchange *x)
{
    apr_interval_time_t timeout = wsgi_group_socket_timeout(x->t->group, x->r->server);
    const char *why = wsgi_group_refusal(x->t->group);
    int rc = RETRY;

    if (why)
        return unavailable(x, why);
    x->at = x->have = 0;
    x->heard = 0;
    note_try(x);
    if (x->connects == 1) /* those that are asked again need another worker, perhaps one that was started only now */
        rc = send_over_kept(x, timeout);
    if (rc == RETRY)
        rc = send_over_new(x, timeout);
    if (rc != NOT_YET)
        return rc;
    while (rc == NOT_YET)
        rc = on_frame(x);
    wsgi_channel_close(&x->worker);
    return rc;
}

/* Before the next try: little of what it has waited already. */
static apr_interval_time_t pause_of(const exchange *x)
{
    apr_interval_time_t pause = (apr_time_now() - x->queued) / 16;

    return pause < 2000 ? 2000 : pause > 100000 ? 100000 : pause;
}

/* Asks workers until one has the current code. What the handler returns. */
static int ask_workers(exchange *x)
{
    int rc;

    x->in = apr_palloc(x->r->pool, x->room);
    x->queued = apr_time_now();
    x->deadline = x->queued + wsgi_group_socket_timeout(x->t->group, x->r->server);
    while ((rc = try_worker(x)) == RETRY) {
        if (apr_time_now() > x->deadline)
            return unavailable(x, "no worker that could serve it got ready in time");
        apr_sleep(pause_of(x));
    }
    return rc;
}

static void account(const exchange *x, int rc)
{
    wsgi_outcome outcome = {
        .status = rc >= HTTP_CONTINUE ? rc : x->out.head_done ? x->r->status : 0,
        .is_cut_off = rc == AP_FILTER_ERROR,
        .retries = x->retries,
        .times = x->is_timed ? &x->times : NULL,
    };

    wsgi_account_daemon(x->r, x->t->group, &outcome);
}

int wsgi_client_run(request_rec *r, const wsgi_target *t)
{
    exchange x = {.r = r, .t = t, .room = ROOM, .client_fd = socket_of(r->connection)};
    int rc;

    wsgi_respond_init(&x.out, r);
    wsgi_body_reader_init(&x.body, r);
    wsgi_body_of(&x.upload, r);
    if ((rc = wsgi_body_collect(&x.upload, &x.body, t->group)) != OK ||
        (rc = wsgi_vars_build(&x.block, &x.block_len, r, t, &x.upload)) != OK)
        return rc;
    if (t->group->server_metrics)
        wsgi_scoreboard_refresh();
    if (wsgi_dir_of(r)->response_buffering != 0)
        x.keep_most = t->group->response_buffer_size;
    x.client_timeout = wsgi_group_client_timeout(t->group, r->server);
    rc = ask_workers(&x);
    set_client_timeout(&x, r->server->timeout);
    account(&x, rc);
    return rc;
}

int wsgi_client_call(wsgi_answer *answer, request_rec *r, const wsgi_target *t, const char *block, size_t len)
{
    exchange x = {.r = r, .t = t, .room = CALL_ROOM, .client_fd = -1, .answer = answer, .block = block, .block_len = len};

    wsgi_respond_init(&x.out, r);
    return ask_workers(&x);
}
