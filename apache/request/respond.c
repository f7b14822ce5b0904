#include "request/respond.h"

#include "config/config.h"
#include "request/authorization.h"
#include "request/delivery.h"
#include "wire/assert.h"
#include "wire/head.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <poll.h>
#include <sys/socket.h>

APLOG_USE_MODULE(wsgi);

/* Bytes of a file that are in memory at a time, where it cannot go by sendfile(). */
#define READ_SIZE (64u << 10)

/* A client that lags behind gets this much of the spool at a time: little enough to fit into its
 * socket's buffer. */
#define PART (32u << 10)

void wsgi_respond_init(wsgi_respond *out, request_rec *r, const wsgi_group *group)
{
    memset(out, 0, sizeof(*out));
    out->r = r;
    out->group = group;
    out->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
}

/* For assertions. Returns 1 when the fields fit together, else 0. */
static int is_consistent(const wsgi_respond *out)
{
    return out->r && out->bb && out->spool_sent <= out->spool.size &&
           out->spool.forgotten <= out->spool_sent && !(out->is_held && !out->ranges);
}

static int is_named(const wire_header *h, const char *name)
{
    return wire_is_named(h->name, h->name_len, name);
}

/* RFC 9110 section 7.6.1: these describe a connection, which is Apache's. `Connection: close` asks
 * it to close. */
static int is_hop_by_hop(request_rec *r, const wire_header *h)
{
    if (is_named(h, "Connection")) {
        if (h->value_len == 5 && !strncasecmp(h->value, "close", 5))
            apr_table_setn(r->headers_out, "Connection", "close");
        return 1;
    }
    return is_named(h, "Transfer-Encoding") || is_named(h, "Upgrade") ||
           is_named(h, "Keep-Alive") || is_named(h, "TE") || is_named(h, "Trailer");
}

void wsgi_respond_timed_out(wsgi_respond *out)
{
    WIRE_ASSERT(is_consistent(out));
    if (!out->gone)
        wsgi_delivery_lost(out->r, APR_TIMEUP, out->group);
    out->gone = 1;
    out->r->connection->aborted = 1;
}

/* Nothing more can be sent, as writing has failed with rv or httpd has marked the connection.
 * Returns -1. */
static int lost(wsgi_respond *out, apr_status_t rv)
{
    if (!out->gone)
        wsgi_delivery_lost(out->r, rv, out->group);
    out->gone = 1;
    return -1;
}

/* RFC 8297. The final response's headers are httpd's and the application's, not these. */
int wsgi_respond_hints(wsgi_respond *out, const wire_response *hints)
{
    request_rec *r = out->r;
    apr_table_t *final = r->headers_out;
    int status = r->status;
    const char *line = r->status_line;
    apr_pool_t *p;

    if (out->head_done || out->gone)
        return out->gone ? -1 : 0;
    apr_pool_create(&p, r->pool);
    r->headers_out = apr_table_make(p, (int)hints->nheaders);
    for (size_t i = 0; i < hints->nheaders; i++) {
        const wire_header *h = &hints->headers[i];

        apr_table_addn(r->headers_out, apr_pstrmemdup(p, h->name, h->name_len),
                       apr_pstrmemdup(p, h->value, h->value_len));
    }
    r->status = hints->status;
    r->status_line = ap_get_status_line(hints->status);
    ap_send_interim_response(r, 1);
    r->headers_out = final;
    r->status = status;
    r->status_line = line;
    apr_pool_destroy(p);
    return r->connection->aborted ? lost(out, APR_SUCCESS) : 0;
}

/* ---- ranges ---- */

/* httpd's range filter can only answer when it gets the whole response at once. Which responses
 * come so must not depend on their size, the mode or a pause of the application: it is files, and
 * only in answer to GET. "Accept-Ranges: none" of the application forbids ranges. Where the filter
 * may not answer it is removed, and the client gets the whole response. */
static void find_range_filter(wsgi_respond *out)
{
    request_rec *r = out->r;
    ap_filter_t *f;

    if (!apr_table_get(r->headers_in, "Range"))
        return;
    for (f = r->output_filters; f && strcasecmp(f->frec->name, "byterange"); f = f->next)
        ;
    out->ranges = f;
}

static int permits_ranges(request_rec *r)
{
    const char *accepts = apr_table_get(r->headers_out, "Accept-Ranges");

    return r->method_number == M_GET && r->status == HTTP_OK &&
           !(accepts && ap_find_token(r->pool, accepts, "none"));
}

static void leave_ranges_alone(wsgi_respond *out)
{
    if (out->ranges)
        ap_remove_output_filter(out->ranges);
    out->ranges = NULL;
    out->is_held = 0;
}

static int asks_for_streaming(const wire_header *h)
{
    static const char events[] = "text/event-stream";

    if (is_named(h, "Content-Type"))
        return h->value_len >= sizeof(events) - 1 &&
               !strncasecmp(h->value, events, sizeof(events) - 1);
    return is_named(h, "X-Accel-Buffering") && h->value_len == 2 && !strncasecmp(h->value, "no", 2);
}

/* Returns httpd's own line where the application says the same, as usual, or gives no reason; NULL
 * stands for that line, too. httpd would answer 500 for a status that it does not know and that has
 * no line. */
static const char *status_line(const request_rec *r, const wire_response *head)
{
    const char *usual = ap_get_status_line(head->status);
    int is_known = atoi(usual) == head->status;

    if (is_known && head->reason_len == 0)
        return NULL;
    if (is_known && strlen(usual) == head->reason_len + 4 &&
        !memcmp(usual + 4, head->reason, head->reason_len))
        return usual;
    return apr_psprintf(r->pool, "%d %.*s", head->status, (int)head->reason_len, head->reason);
}

/* Adds a header where httpd looks for it. Its own error page keeps only what is in err_headers_out.
 */
static void add_header(wsgi_respond *out, const wire_header *h)
{
    request_rec *r = out->r;
    const char *name = apr_pstrmemdup(r->pool, h->name, h->name_len),
               *value = apr_pstrmemdup(r->pool, h->value, h->value_len);
    int is_retry = is_named(h, "Retry-After");

    if (is_retry && r->prev)
        apr_table_unset(r->err_headers_out, name); /* of the response that this page is for */
    if (is_named(h, "Content-Type"))
        ap_set_content_type(r, value);
    else if (is_named(h, "WWW-Authenticate") ||
             (out->replaced && (is_retry || is_named(h, "Proxy-Authenticate"))))
        apr_table_addn(r->err_headers_out, name, value);
    else
        apr_table_addn(r->headers_out, name, value);
}

void wsgi_respond_head(wsgi_respond *out, const wire_response *head)
{
    request_rec *r = out->r;
    const char *line = status_line(r, head);

    WIRE_ASSERT(is_consistent(out) && !out->head_done && !out->ended);
    out->head_done = 1;
    out->replaced = head->status >= 400 && wsgi_dir_of(r)->error_override == 1;
    r->status = head->status;
    if (line)
        r->status_line = line;
    for (size_t i = 0; i < head->nheaders; i++) {
        const wire_header *h = &head->headers[i];

        if (is_hop_by_hop(r, h))
            continue;
        out->streaming |= asks_for_streaming(h);
        add_header(out, h);
    }
    if (head->content_length >= 0)
        ap_set_content_length(r, head->content_length);
    if (head->status == HTTP_UNAUTHORIZED)
        wsgi_authorization_hint(r);
    find_range_filter(out);
}

/* ---- what cannot be completed ---- */

/* Returns 1 when only the end of the connection tells the client where the response ends, as
 * clients of HTTP/1.0 know no chunks; else 0. */
static int ends_with_connection(const request_rec *r)
{
    return r->sent_bodyct && !r->chunked && !r->connection->master &&
           !apr_table_get(r->headers_out, "Content-Length");
}

/* Closes the connection with a reset, which does not look like the proper end of a response. */
static void reset_connection(conn_rec *c)
{
    struct linger at_once = {.l_onoff = 1};
    apr_os_sock_t fd;

    if (apr_os_sock_get(&fd, ap_get_conn_socket(c)) == APR_SUCCESS)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    c->aborted = 1;
}

/* What has been sent of the response is all that the client gets, and the client can see that. */
static void cut_off(request_rec *r)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    wsgi_delivery_cut_off(r);
    if (ends_with_connection(r))
        reset_connection(r->connection);
}

/* ---- what is sent ---- */

/* Returns how many bytes are in the spool that httpd has not got yet. */
static apr_off_t spooled(const wsgi_respond *out)
{
    return out->spool.size - out->spool_sent;
}

int wsgi_respond_pending(const wsgi_respond *out)
{
    return !out->is_held && (!APR_BRIGADE_EMPTY(out->bb) || spooled(out) > 0);
}

/* Puts what was collected behind what is in the spool. Returns 0, or -1 when that is not possible:
 * it is still collected. */
static int spool_collected(wsgi_respond *out)
{
    while (!APR_BRIGADE_EMPTY(out->bb)) {
        apr_bucket *first = APR_BRIGADE_FIRST(out->bb);
        const char *data;
        apr_size_t len;

        if (!APR_BUCKET_IS_TRANSIENT(first) ||
            apr_bucket_read(first, &data, &len, APR_BLOCK_READ) != APR_SUCCESS ||
            wsgi_spool_write(&out->spool, out->r, data, len) < 0)
            return -1;
        apr_bucket_delete(first);
    }
    return 0;
}

/* Puts up to len bytes of the spooled data in front of the brigade. When they cannot be read,
 * nothing that looks complete may follow. */
static void take_spooled(wsgi_respond *out, apr_off_t len)
{
    apr_off_t left = spooled(out);
    apr_bucket *data;

    if (len > left)
        len = left;
    if (len == 0)
        return;
    data = wsgi_spool_bucket(&out->spool, out->r, out->spool_sent, len, out->bb->bucket_alloc);
    if (data) {
        APR_BRIGADE_INSERT_HEAD(out->bb, data);
    } else {
        cut_off(out->r);
        out->r->connection->aborted = 1;
    }
    out->spool_sent += len;
}

/* Returns 1 when reading a file has failed and not writing to the client, else 0. */
static int is_unreadable(apr_status_t rv)
{
    return APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_BADARG(rv) || APR_STATUS_IS_EINVAL(rv) ||
           rv == EIO || rv == EBADF;
}

/* httpd's filters read the application's files, which may have changed meanwhile. */
static void on_unreadable(wsgi_respond *out, apr_status_t rv)
{
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, rv, out->r,
        "WSGI0322: a file that the application sends for %s could not be read to its end; "
        "the response is cut off and the connection is closed; let the application replace files "
        "instead of changing them",
        out->r->uri);
    out->is_cut_off = 1;
    cut_off(out->r);
}

static int pass(wsgi_respond *out)
{
    apr_status_t rv = ap_pass_brigade(out->r->output_filters, out->bb);

    apr_brigade_cleanup(out->bb);
    if (is_unreadable(rv)) {
        on_unreadable(out, rv);
        out->gone = 1;
        return -1;
    }
    return rv != APR_SUCCESS || out->r->connection->aborted ? lost(out, rv) : 0;
}

int wsgi_respond_send(wsgi_respond *out)
{
    if (out->gone || !wsgi_respond_pending(out))
        return out->gone ? -1 : 0;
    out->unflushed = 1;
    take_spooled(out, spooled(out));
    return pass(out);
}

int wsgi_respond_flush(wsgi_respond *out)
{
    if (out->gone || (!out->unflushed && !wsgi_respond_pending(out)))
        return out->gone ? -1 : 0;
    out->unflushed = 0;
    take_spooled(out, spooled(out));
    APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_flush_create(out->bb->bucket_alloc));
    return pass(out);
}

int wsgi_respond_part(wsgi_respond *out)
{
    if (spooled(out) <= PART)
        return wsgi_respond_flush(out);
    if (out->gone || spool_collected(out) < 0) /* what was collected comes behind the spool */
        return out->gone ? -1 : wsgi_respond_flush(out);
    out->unflushed = 0;
    take_spooled(out, PART);
    wsgi_spool_forget(&out->spool, out->spool_sent);
    APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_flush_create(out->bb->bucket_alloc));
    return pass(out);
}

/* Returns 1 when the client can take more now, else 0. */
static int is_client_ready(int client_fd)
{
    struct pollfd p = {.fd = client_fd, .events = POLLOUT};

    return client_fd >= 0 && poll(&p, 1, 0) > 0;
}

int wsgi_respond_settle(wsgi_respond *out, apr_off_t spool_most, int client_fd)
{
    int got = 0;

    WIRE_ASSERT(is_consistent(out));
    if (!wsgi_respond_pending(out))
        return 0;
    if (spool_most > 0 && (spooled(out) > 0 || !is_client_ready(client_fd))) {
        for (; spooled(out) >= spool_most; got = 1) /* the worker waits meanwhile */
            if (wsgi_respond_part(out) < 0)
                return -1;
        if (spool_collected(out) == 0)
            return got;
    }
    return wsgi_respond_send(out) < 0 ? -1 : 1;
}

void wsgi_respond_data(wsgi_respond *out, const char *data, size_t len)
{
    WIRE_ASSERT(is_consistent(out) && (len == 0 || (out->head_done && !out->ended)));
    if (out->ranges && len > 0)
        leave_ranges_alone(out);
    if (!out->gone && !out->replaced && len > 0) /* transient: filters that keep it make their own
                                                    copy */
        APR_BRIGADE_INSERT_TAIL(out->bb,
                                apr_bucket_transient_create(data, len, out->bb->bucket_alloc));
}

/* The application may cut its file off. If the file's pages were mapped then, reading them (as
 * mod_deflate does) would end this Apache child by SIGBUS, and all its connections. */
static void read_without_mapping(apr_bucket *file)
{
    apr_bucket_file_enable_mmap(file, 0);
    apr_bucket_file_set_buf_size(file, READ_SIZE);
}

void wsgi_respond_file(wsgi_respond *out, int fd, apr_off_t offset, apr_off_t len)
{
    apr_int32_t flags = APR_FOPEN_READ;
    apr_file_t *file;

    if (out->ranges && (!permits_ranges(out->r) || wsgi_respond_pending(out)))
        leave_ranges_alone(out);
    out->is_held = out->ranges != NULL;
    if (wsgi_dir_of(out->r)->enable_sendfile == 1)
        flags |= APR_FOPEN_SENDFILE_ENABLED;
    if (wsgi_file_of_fd(&file, fd, flags, out->r->pool) == APR_SUCCESS && !out->gone &&
        !out->replaced)
        read_without_mapping(apr_brigade_insert_file(out->bb, file, offset, len, out->r->pool));
}

int wsgi_respond_end(wsgi_respond *out)
{
    WIRE_ASSERT(is_consistent(out));
    out->is_held = 0;
    if (out->replaced) {
        apr_table_unset(out->r->headers_out, "Content-Length");
        out->r->clength = 0;
        return out->r->status;
    }
    if (!out->gone && !out->ended) {
        out->ended = 1;
        take_spooled(out, spooled(out));
        /* Else httpd would read and drop an upload that nobody read before the client hears that it
         * is unwanted. */
        if (out->body_unread)
            APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_flush_create(out->bb->bucket_alloc));
        APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_eos_create(out->bb->bucket_alloc));
        pass(out);
    }
    return out->is_cut_off ? AP_FILTER_ERROR : OK;
}

/* The error bucket makes the chunking filter leave out the last chunk (and HTTP/2 reset the
 * stream); the connection is closed. */
int wsgi_respond_abort(wsgi_respond *out)
{
    request_rec *r = out->r;

    WIRE_ASSERT(is_consistent(out));
    /* What was sent goes out first: an error bucket behind unsent headers would become an error
     * page. Only then may the connection be marked: httpd does not use chunks on a connection that
     * it will close, and without them the end of the connection would look like the end of the
     * body. */
    leave_ranges_alone(out);
    wsgi_respond_flush(out);
    cut_off(r);
    if (!out->gone && !r->connection->aborted) {
        APR_BRIGADE_INSERT_TAIL(out->bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool,
                                                                out->bb->bucket_alloc));
        APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_eos_create(out->bb->bucket_alloc));
        ap_pass_brigade(r->output_filters, out->bb);
    }
    return AP_FILTER_ERROR;
}

int wsgi_respond_left(wsgi_respond *out)
{
    WIRE_ASSERT(is_consistent(out));
    if (out->gone)
        return OK;
    wsgi_delivery_lost(out->r, APR_SUCCESS, out->group);
    if (out->head_done)
        return wsgi_respond_abort(out);
    out->r->connection->aborted = 1;
    return OK;
}

/* AP_FILTER_ERROR before the head: httpd's filter for request bodies has answered a broken or too
 * large one itself. */
int wsgi_respond_status(const wsgi_respond *out, int rc)
{
    if (rc >= HTTP_CONTINUE)
        return rc;
    return out->head_done || rc == AP_FILTER_ERROR ? out->r->status : 0;
}
