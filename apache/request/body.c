#include "request/body.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

APLOG_USE_MODULE(wsgi);

void wsgi_body_reader_init(wsgi_body_reader *in, request_rec *r)
{
    in->r = r;
    in->bb = NULL;
    in->ended = 0;
    in->failed = APR_SUCCESS;
}

static apr_int64_t io_of(request_rec *r, apr_status_t rv)
{
    if (APR_STATUS_IS_TIMEUP(rv))
        return WIRE_IO_TIMEOUT;
    if (rv == APR_ENOSPC)
        return WIRE_IO_TOO_LARGE;
    if (APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_ECONNABORTED(rv) ||
        r->connection->aborted)
        return WIRE_IO_GONE;
    return WIRE_IO_MALFORMED;
}

/* Reads one brigade of the filters. Returns the number of bytes, 0 at the end or when nothing is
 * there yet, or a negative enum wire_io. */
static apr_int64_t read_once(wsgi_body_reader *in, char *buf, size_t len, apr_read_type_e block)
{
    apr_size_t got = len;
    apr_status_t rv =
        ap_get_brigade(in->r->input_filters, in->bb, AP_MODE_READBYTES, block, (apr_off_t)len);

    if (rv == APR_SUCCESS) {
        in->ended = !APR_BRIGADE_EMPTY(in->bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(in->bb));
        rv = apr_brigade_flatten(in->bb, buf, &got);
    }
    apr_brigade_cleanup(in->bb);
    if (rv == APR_SUCCESS)
        return (apr_int64_t)got;
    if (block == APR_NONBLOCK_READ && APR_STATUS_IS_EAGAIN(rv))
        return 0;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, rv, in->r,
                  "WSGI0313: the request body could not be read");
    in->failed = rv;
    in->r->connection->keepalive = AP_CONN_CLOSE;
    return io_of(in->r, rv);
}

apr_int64_t wsgi_body_read(wsgi_body_reader *in, char *buf, size_t len)
{
    apr_int64_t total = 0, got = 0;

    if (in->failed != APR_SUCCESS)
        return io_of(in->r, in->failed);
    if (!in->bb)
        in->bb = apr_brigade_create(in->r->pool, in->r->connection->bucket_alloc);
    while (!in->ended && total == 0) {
        if ((total = read_once(in, buf, len, APR_BLOCK_READ)) < 0)
            return total;
    }
    /* httpd's filters hand out 8 KB at a time. */
    while (!in->ended && (size_t)total < len &&
           (got = read_once(in, buf + total, len - (size_t)total, APR_NONBLOCK_READ)) > 0)
        total += got;
    return total;
}

int wsgi_body_status(const wsgi_body_reader *in, int otherwise)
{
    return in->failed == APR_SUCCESS ? otherwise
                                     : ap_map_http_request_error(in->failed, HTTP_BAD_REQUEST);
}

int wsgi_body_error(apr_int64_t io)
{
    switch (io) {
    case WIRE_IO_TIMEOUT:
        return WIRE_BODY_TIMEOUT;
    case WIRE_IO_TOO_LARGE:
        return WIRE_BODY_TOO_LARGE;
    case WIRE_IO_MALFORMED:
        return WIRE_BODY_MALFORMED;
    default:
        return WIRE_BODY_ABORTED;
    }
}

/* ---- before a worker is taken ---- */

/* Filters that pass on as many bytes as they get. Any other one may change the length. */
static int keeps_length(const char *filter)
{
    static const char *const known[] = {"modsecurity_in", "buffer", "kept_body", NULL};

    for (const char *const *name = known; *name; name++)
        if (!strcasecmp(filter, *name))
            return 1;
    return 0;
}

/* Looks at the filters between the client and the application, before they have read anything. */
static void ask_filters(wsgi_body *body, request_rec *r)
{
    const char *encoding = apr_table_get(r->headers_in, "Content-Encoding");

    for (ap_filter_t *f = r->input_filters; f && f->frec->ftype < AP_FTYPE_PROTOCOL; f = f->next) {
        int inflates = !strcasecmp(f->frec->name, "deflate");

        if (inflates && encoding)
            body->is_decoded |= !strcasecmp(encoding, "gzip") || !strcasecmp(encoding, "x-gzip");
        if (inflates ? encoding != NULL : !keeps_length(f->frec->name))
            body->len = -1;
    }
}

void wsgi_body_of(wsgi_body *body, request_rec *r)
{
    memset(body, 0, sizeof(*body));
    if (r->read_chunked)
        body->len = -1;
    else if (r->remaining > 0)
        body->len = r->remaining;
    body->more = body->len != 0;
    if (body->more && r->input_filters && r->input_filters->frec->ftype < AP_FTYPE_PROTOCOL)
        ask_filters(body, r);
}

/* Reads what fits into memory. Returns OK, or an HTTP status. There may be more when *used == room.
 */
static int collect_in_memory(wsgi_body_reader *in, char *buf, apr_size_t room, apr_size_t *used)
{
    while (*used < room) {
        apr_int64_t got = wsgi_body_read(in, buf + *used, room - *used);

        if (got < 0)
            return wsgi_body_status(in, HTTP_BAD_REQUEST);
        if (got == 0)
            break;
        *used += (apr_size_t)got;
    }
    return OK;
}

/* Writes used bytes of buf to the spool, then the rest of the body up to limit, with buf as the
 * buffer. Returns OK, or an HTTP status. */
static int collect_in_file(wsgi_body *body, wsgi_body_reader *in, char *buf, apr_size_t room,
                           apr_size_t used, apr_off_t limit)
{
    apr_int64_t got = (apr_int64_t)used;

    do {
        if (wsgi_spool_write(&body->spool, in->r, buf, (apr_size_t)got) < 0)
            return HTTP_INSUFFICIENT_STORAGE;
        if (body->spool.size >= limit)
            return OK;
        got = wsgi_body_read(in, buf, room);
    } while (got > 0);
    return got < 0 ? wsgi_body_status(in, HTTP_BAD_REQUEST) : OK;
}

int wsgi_body_collect(wsgi_body *body, wsgi_body_reader *in, const wsgi_group *g)
{
    apr_size_t room = (apr_size_t)g->request_buffer_size, used = 0;
    apr_off_t limit = g->request_spool_size > g->request_buffer_size ? g->request_spool_size
                                                                     : g->request_buffer_size;
    char *buf;
    int rc;

    if (!body->more || body->len > limit || in->r->expecting_100 ||
        wsgi_dir_of(in->r)->request_buffering == 0)
        return OK;
    /* One more than declared: then the end of a body that fits shows, and one that a filter made
     * longer, too. */
    if (body->len >= 0 && (apr_size_t)body->len < room)
        room = (apr_size_t)body->len + 1;
    buf = apr_palloc(in->r->pool, room);
    if ((rc = collect_in_memory(in, buf, room, &used)) != OK)
        return rc;
    if (used < room || in->ended) {
        body->kind = WIRE_BODY_INLINE;
        body->bytes = buf;
        body->size = used;
    } else {
        if ((rc = collect_in_file(body, in, buf, room, used, limit)) != OK)
            return rc;
        body->kind = WIRE_BODY_FILE;
        body->size = (apr_size_t)body->spool.size;
    }
    body->more = !in->ended;
    if (in->ended)
        body->len = (apr_int64_t)body->size;
    return OK;
}
