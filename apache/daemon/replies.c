/* replies.c - what each frame of a worker means. Apache does what they say until END, RETRY or
 * FAILURE. */
#include "daemon/replies.h"

#include "request/block_builder.h"
#include "request/child.h"
#include "request/log.h"
#include "wire/head.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_request.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

/* More than workers send together with the end of a response. */
#define LARGE_ROOM (WIRE_LATER_MAX + (32u << 10))

/* Logs the frame, which is "malformed" or "unexpected", and gives the request up. Returns the
 * handler's result. */
static int refuse(wsgi_exchange *x, const wire_frame *f, const char *what)
{
    const wire_frame_kind *kind = wire_frame_kind_of(f->type);

    ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, x->r,
                  "WSGI0312: daemon group %s sent %s %s; are Apache module and Python package of "
                  "one version?",
                  x->t->group->name, kind ? what : "an unknown", kind ? kind->name : "frame");
    return x->out.head_done ? wsgi_respond_abort(&x->out) : HTTP_BAD_GATEWAY;
}

static int bad_frame(wsgi_exchange *x, const wire_frame *f)
{
    return refuse(x, f, "a malformed");
}

/* ---- frames ---- */

static int on_want(wsgi_exchange *x, const wire_frame *f)
{
    char buf[WIRE_WANT_MAX];
    wire_frame answer = {.type = WIRE_BODY};
    struct iovec iov[2] = {{&answer, sizeof(answer)}, {buf, 0}};
    apr_int64_t got;
    uint32_t most;

    memcpy(&most, x->worker.in + x->worker.at, sizeof(most));
    if (most == 0)
        return bad_frame(x, f);
    if (wsgi_respond_flush(&x->out) < 0) /* the client may wait for it before it sends more */
        return OK;
    if (x->client.has_left) /* the worker knows that nothing comes any more */
        return WSGI_NOT_YET;
    got = wsgi_body_read(&x->request.reader, buf, most < sizeof(buf) ? most : sizeof(buf));
    if (got < 0) {
        answer.type = WIRE_BODY_ERROR;
        answer.arg = (uint16_t)wsgi_body_error(got);
    } else {
        answer.len = (uint32_t)got;
        iov[1].iov_len = (size_t)got;
        x->request.all_body_sent = got == 0;
    }
    return wsgi_channel_send(&x->worker.channel, iov, 2, -1) < 0 ? wsgi_exchange_worker_gone(x)
                                                                 : WSGI_NOT_YET;
}

/* Look-ups and hints have pools of their own: there may be any number of them, and a request may
 * last for days. */
static int on_lookup(wsgi_exchange *x, const wire_frame *f)
{
    const char *value;
    wire_frame answer = {.type = WIRE_TLS_VALUE};
    struct iovec iov[2] = {{&answer, sizeof(answer)}};
    apr_pool_t *p;
    int rc;

    apr_pool_create(&p, x->r->pool);
    value = wsgi_tls_variable(x->r, apr_pstrmemdup(p, x->worker.in + x->worker.at, f->len), p);
    answer.arg = value != NULL;
    answer.len = value ? (uint32_t)strlen(value) : 0;
    iov[1] = (struct iovec){(void *)value, answer.len};
    rc = wsgi_channel_send(&x->worker.channel, iov, 2, -1);
    apr_pool_destroy(p);
    return rc < 0 && !x->client.has_left ? wsgi_exchange_worker_gone(x) : WSGI_NOT_YET;
}

/* Returns 0, or -1 when the payload is malformed. */
static int read_head(wire_response *head, const wsgi_exchange *x, const wire_frame *f,
                     apr_pool_t *p)
{
    const char *payload = x->worker.in + x->worker.at;

    if (wire_head_open(head, payload, f->len) < 0)
        return -1;
    return wire_head_read(head, apr_palloc(p, (head->nheaders + 1) * sizeof(wire_header)), payload,
                          f->len);
}

static int on_hints(wsgi_exchange *x, const wire_frame *f)
{
    wire_response hints;
    apr_pool_t *p;
    int rc = WSGI_NOT_YET;

    apr_pool_create(&p, x->r->pool);
    if (read_head(&hints, x, f, p) < 0 || !wire_head_is_hints(&hints))
        rc = bad_frame(x, f);
    else if (wsgi_respond_hints(&x->out, &hints) < 0)
        rc = OK;
    apr_pool_destroy(p);
    return rc;
}

/* httpd itself checks the names and values of the headers. */
static int on_head(wsgi_exchange *x, const wire_frame *f)
{
    wire_response head;

    if (read_head(&head, x, f, x->r->pool) < 0 || head.status < 200 ||
        wire_has_control(head.reason, head.reason_len))
        return bad_frame(x, f);
    if (!x->r->header_only && head.status != HTTP_NO_CONTENT && head.status != HTTP_NOT_MODIFIED)
        x->worker.left = head.content_length;
    wsgi_respond_head(&x->out, &head);
    wsgi_exchange_set_client_timeout(x, x->client.timeout);
    if (x->out.streaming)
        x->client.spool_most = 0;
    return WSGI_NOT_YET;
}

/* Counts the next len bytes of the response. Returns 0 when they are more than the head promised,
 * which a client would take for the beginning of the next response; else 1. */
static int is_promised(wsgi_exchange *x, apr_int64_t len)
{
    if (x->worker.left >= 0 && len > x->worker.left)
        return 0;
    x->worker.left -= x->worker.left >= 0 ? len : 0;
    return 1;
}

/* Makes a new in[] for the rest of the response, so that it comes in one piece. The data in the old
 * one stays where it is, and both go to httpd together. */
static void make_room_for_the_end(wsgi_exchange *x, size_t due)
{
    if (due <= x->worker.room - x->worker.have || due > LARGE_ROOM || x->worker.has_end_room)
        return;
    x->worker.has_end_room = 1;
    x->worker.in = apr_palloc(x->r->pool, due);
    x->worker.room = due;
    x->worker.at = x->worker.have = 0;
}

/* Takes constant memory, whatever the frame's length. */
static int on_data(wsgi_exchange *x, const wire_frame *f)
{
    size_t left = f->len, end = f->flags == WIRE_ENDS ? sizeof(wire_frame) + sizeof(wire_times) : 0;

    if (!is_promised(x, f->len))
        return bad_frame(x, f);
    while (left > 0) {
        size_t part;

        if (x->worker.at == x->worker.have) {
            int rc;

            if (end > 0)
                make_room_for_the_end(x, left + end);
            x->worker.current.len = (uint32_t)left;
            rc = wsgi_exchange_receive(x, end > 0 ? left + end : 0);
            if (rc != WSGI_NOT_YET)
                return rc;
        }
        part = x->worker.have - x->worker.at < left ? x->worker.have - x->worker.at : left;
        wsgi_respond_data(&x->out, x->worker.in + x->worker.at, part);
        x->worker.at += part;
        left -= part;
    }
    x->worker.current.len = 0;
    return WSGI_NOT_YET;
}

/* Returns 1 for a regular file, else 0: reading from anything else could wait for ever. */
static int is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int on_file(wsgi_exchange *x, const wire_frame *f)
{
    wire_file file;
    int fd;

    memcpy(&file, x->worker.in + x->worker.at, sizeof(file));
    if (file.offset < 0 || file.length < 0 || !is_promised(x, file.length) ||
        (fd = wsgi_channel_take_fd(&x->worker.channel)) < 0)
        return bad_frame(x, f);
    if (!is_file(fd)) {
        close(fd);
        return bad_frame(x, f);
    }
    wsgi_respond_file(&x->out, fd, file.offset, file.length);
    x->worker.got_file = 1;
    return WSGI_NOT_YET;
}

static int on_log(wsgi_exchange *x, const wire_frame *f)
{
    wsgi_log_request(x->r, f->arg, x->worker.in + x->worker.at, f->len);
    return WSGI_NOT_YET;
}

/* Returns 0, or -1 when the payload is malformed. */
static int log_with_place(const wsgi_exchange *x, const wire_frame *f)
{
    const char *file = x->worker.in + x->worker.at + sizeof(wire_log_at), *text;
    char name[WIRE_LOG_FILE_MAX + 1]; /* not in r->pool: a request may last for days */
    wire_log_at at;

    memcpy(&at, x->worker.in + x->worker.at, sizeof(at));
    if (at.file_len > f->len - sizeof(at) || at.file_len > WIRE_LOG_FILE_MAX)
        return -1;
    text = file + at.file_len;
    memcpy(name, file, at.file_len);
    name[at.file_len] = '\0';
    wsgi_log_at(x->r, f->arg, name, (int)at.line, text, f->len - sizeof(at) - at.file_len);
    return 0;
}

static int on_log_at(wsgi_exchange *x, const wire_frame *f)
{
    return log_with_place(x, f) < 0 ? bad_frame(x, f) : WSGI_NOT_YET;
}

/* For END and FAILURE, after which nothing comes: another request may have the connection while
 * this one's client takes the rest. */
static void worker_is_done(wsgi_exchange *x, const wire_frame *f)
{
    x->worker.is_over = 1;
    x->worker.is_timed = f->len == sizeof(x->worker.times);
    if (x->worker.is_timed)
        memcpy(&x->worker.times, x->worker.in + x->worker.at, sizeof(x->worker.times));
    if (f->flags != WIRE_KEEP_ALIVE || x->client.has_left || !x->worker.is_timed ||
        x->worker.at + f->len != x->worker.have)
        return;
    x->worker.channel.fd = -1;
    wsgi_connection_keep_alive(x->t->group, &x->worker.connection, x->worker.times.pid);
}

static int on_failure(wsgi_exchange *x, const wire_frame *f)
{
    worker_is_done(x, f);
    if (x->client.has_left && f->arg == WIRE_CLIENT_LEFT)
        return wsgi_respond_left(&x->out);
    if (x->out.head_done)
        return wsgi_respond_abort(&x->out);
    return wsgi_body_status(&x->request.reader,
                            f->arg >= 400 && f->arg < 600 && f->arg != WIRE_CLIENT_LEFT
                                ? f->arg
                                : HTTP_INTERNAL_SERVER_ERROR);
}

static int on_verdict(wsgi_exchange *x, const wire_frame *f)
{
    return wsgi_verdict_take(x->verdict, x->r, f->arg, x->worker.in + x->worker.at, f->len) < 0
               ? bad_frame(x, f)
               : WSGI_NOT_YET;
}

static int on_end(wsgi_exchange *x, const wire_frame *f)
{
    worker_is_done(x, f);
    if (x->verdict)
        return x->verdict->kind != WIRE_NO_VERDICT ? OK : bad_frame(x, f);
    x->out.body_unread = x->request.body.more && !x->request.reader.ended;
    return x->out.head_done && x->worker.left <= 0 ? wsgi_respond_end(&x->out) : bad_frame(x, f);
}

static int on_retry(wsgi_exchange *x, const wire_frame *f)
{
    (void)f;
    x->request.retries++;
    x->worker.is_over = 1;
    return WSGI_RETRY;
}

/* ---- which frame may come when ---- */

/* The parts of an exchange; a row of the table below names those in which the frame may come. */
enum part {
    HOOK = 1,        /* a hook is asked, and answers by a verdict instead of a response */
    BEFORE_HEAD = 2, /* a request whose response has not begun */
    AFTER_HEAD = 4,  /* a request whose response has begun */
    REQUEST = BEFORE_HEAD | AFTER_HEAD,
    ANY = HOOK | REQUEST
};

enum trait {
    ONLY_FIRST = 1, /* only records for the log may have come before it */
    IS_LOG = 2,     /* the worker can still hand the request back */
    IN_PARTS = 4    /* the payload is passed on as it comes, so it need not fit into memory */
};

/* What Apache does about a frame. The names, directions and lengths are in wire/frames.c. */
typedef struct reply {
    int (*handle)(wsgi_exchange *x, const wire_frame *f); /* NULL: workers do not send this type */
    unsigned char parts;                                  /* enum part */
    unsigned char traits;                                 /* enum trait */
} reply;

static const reply replies[UINT8_MAX + 1] = {
    [WIRE_WANT] = {on_want, REQUEST, 0},
    [WIRE_HINTS] = {on_hints, BEFORE_HEAD, 0},
    [WIRE_TLS_LOOKUP] = {on_lookup, ANY, 0},
    [WIRE_HEAD] = {on_head, BEFORE_HEAD, 0},
    [WIRE_DATA] = {on_data, AFTER_HEAD, IN_PARTS},
    [WIRE_FILE] = {on_file, AFTER_HEAD, 0},
    [WIRE_LOG] = {on_log, ANY, IS_LOG},
    [WIRE_LOG_AT] = {on_log_at, ANY, IS_LOG},
    [WIRE_VERDICT] = {on_verdict, HOOK, 0},
    [WIRE_END] = {on_end, HOOK | AFTER_HEAD, 0},
    [WIRE_RETRY] = {on_retry, HOOK | BEFORE_HEAD, ONLY_FIRST},
    [WIRE_FAILURE] = {on_failure, ANY, 0},
};

static int part_of(const wsgi_exchange *x)
{
    return x->verdict ? HOOK : x->out.head_done ? AFTER_HEAD : BEFORE_HEAD;
}

static int is_expected(const wsgi_exchange *x, const reply *row)
{
    return row->parts & part_of(x) && !(row->traits & ONLY_FIRST && x->worker.has_begun);
}

static int on_frame(wsgi_exchange *x)
{
    const reply *row;
    wire_frame f;
    int rc = wsgi_exchange_need(x, sizeof(f));

    if (rc != WSGI_NOT_YET)
        return rc;
    memcpy(&f, x->worker.in + x->worker.at, sizeof(f));
    x->worker.at += sizeof(f);
    row = &replies[f.type];
    if (!wire_frame_fits(&f, WIRE_FROM_WORKER)) {
        x->worker.is_over = 1;
        return bad_frame(x, &f);
    }
    x->worker.current = f;
    if (!is_expected(x, row))
        return refuse(x, &f, "an unexpected");
    x->worker.has_begun |= !(row->traits & IS_LOG);
    if (row->traits & IN_PARTS)
        return row->handle(x, &f);
    if ((rc = wsgi_exchange_need(x, f.len)) != WSGI_NOT_YET)
        return rc;
    rc = row->handle(x, &f);
    x->worker.at += f.len;
    x->worker.current = (wire_frame){0};
    return rc;
}

int wsgi_replies_obey(wsgi_exchange *x)
{
    int rc;

    WSGI_ASSERT_CHILD();
    WIRE_ASSERT(wsgi_exchange_is_consistent(x) && !x->worker.heard && !x->worker.has_begun);
    do
        rc = on_frame(x);
    while (rc == WSGI_NOT_YET);
    return rc;
}

/* ---- the last words ---- */

/* Makes len bytes available at in + at. Returns 0, or -1 when no more will come. */
static int pull(wsgi_exchange *x, size_t len)
{
    if (x->worker.at + len > x->worker.room) {
        char *in = len > x->worker.room ? apr_palloc(x->r->pool, len) : x->worker.in;

        memmove(in, x->worker.in + x->worker.at, x->worker.have - x->worker.at);
        x->worker.room = len > x->worker.room ? len : x->worker.room;
        x->worker.in = in;
        x->worker.have -= x->worker.at;
        x->worker.at = 0;
    }
    while (x->worker.have - x->worker.at < len) {
        ssize_t n = wsgi_channel_receive(&x->worker.channel, x->worker.in + x->worker.have,
                                         x->worker.room - x->worker.have, MSG_DONTWAIT);

        if (n <= 0)
            return -1;
        x->worker.have += (size_t)n;
    }
    return 0;
}

/* Passes over the next len bytes. Returns as pull(). */
static int skip(wsgi_exchange *x, size_t len)
{
    while (len > 0) {
        size_t part;

        if (pull(x, 1) < 0)
            return -1;
        part = x->worker.have - x->worker.at < len ? x->worker.have - x->worker.at : len;
        x->worker.at += part;
        len -= part;
    }
    return 0;
}

/* The rest of the frame: logged, or passed over. */
static int finish_frame(wsgi_exchange *x, const wire_frame *f)
{
    if (f->type != WIRE_LOG && f->type != WIRE_LOG_AT)
        return skip(x, f->len);
    if (pull(x, f->len) < 0)
        return -1;
    if (f->type == WIRE_LOG)
        on_log(x, f);
    else if (log_with_place(x, f) < 0)
        return -1;
    x->worker.at += f->len;
    return 0;
}

void wsgi_replies_last_words(wsgi_exchange *x)
{
    wire_frame f = x->worker.current;

    if (x->worker.channel.fd < 0 || x->worker.is_over)
        return;
    shutdown(x->worker.channel.fd, SHUT_RD);
    while (finish_frame(x, &f) == 0) {
        if (pull(x, sizeof(f)) < 0)
            return;
        memcpy(&f, x->worker.in + x->worker.at, sizeof(f));
        x->worker.at += sizeof(f);
        if (!wire_frame_fits(&f, WIRE_FROM_WORKER))
            return;
    }
}
