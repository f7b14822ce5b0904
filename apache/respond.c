#include "respond.h"

#include "config.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

void wsgi_respond_init(wsgi_respond *out, request_rec *r)
{
    memset(out, 0, sizeof(*out));
    out->r = r;
    out->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
}

static int is_named(const wire_header *h, const char *name)
{
    return strlen(name) == h->name_len && strncasecmp(h->name, name, h->name_len) == 0;
}

/* RFC 9110 section 7.6.1: these describe a connection, which is Apache's. `Connection: close` asks it to close. */
static int is_hop_by_hop(request_rec *r, const wire_header *h)
{
    if (is_named(h, "Connection")) {
        if (h->value_len == 5 && !strncasecmp(h->value, "close", 5))
            apr_table_setn(r->headers_out, "Connection", "close");
        return 1;
    }
    return is_named(h, "Transfer-Encoding") || is_named(h, "Upgrade") || is_named(h, "Keep-Alive") ||
           is_named(h, "TE") || is_named(h, "Trailer");
}

void wsgi_respond_head(wsgi_respond *out, const wire_response *head)
{
    request_rec *r = out->r;

    out->head_done = 1;
    r->status = head->status;
    if (head->reason_len)
        r->status_line = apr_psprintf(r->pool, "%d %.*s", head->status, (int)head->reason_len, head->reason);
    for (size_t i = 0; i < head->nheaders; i++) {
        const wire_header *h = &head->headers[i];
        const char *name, *value;

        if (is_hop_by_hop(r, h))
            continue;
        name = apr_pstrmemdup(r->pool, h->name, h->name_len);
        value = apr_pstrmemdup(r->pool, h->value, h->value_len);
        if (is_named(h, "Content-Type"))
            ap_set_content_type(r, value);
        else if (is_named(h, "WWW-Authenticate"))
            apr_table_addn(r->err_headers_out, name, value); /* survives an ErrorDocument */
        else
            apr_table_addn(r->headers_out, name, value);
    }
    if (head->content_length >= 0)
        ap_set_content_length(r, head->content_length);
    out->replaced = head->status >= 400 && wsgi_dir_of(r)->error_override == 1;
}

static int pass(wsgi_respond *out)
{
    apr_status_t rv = ap_pass_brigade(out->r->output_filters, out->bb);

    apr_brigade_cleanup(out->bb);
    if (rv != APR_SUCCESS || out->r->connection->aborted) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, out->r, "WSGI0304: the client has closed the connection");
        out->gone = 1;
        return -1;
    }
    return 0;
}

int wsgi_respond_send(wsgi_respond *out)
{
    if (out->gone || APR_BRIGADE_EMPTY(out->bb))
        return out->gone ? -1 : 0;
    out->unflushed = 1;
    return pass(out);
}

int wsgi_respond_flush(wsgi_respond *out)
{
    if (out->gone || (!out->unflushed && APR_BRIGADE_EMPTY(out->bb)))
        return out->gone ? -1 : 0;
    out->unflushed = 0;
    APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_flush_create(out->bb->bucket_alloc));
    return pass(out);
}

void wsgi_respond_data(wsgi_respond *out, const char *data, size_t len)
{
    if (!out->gone && !out->replaced && len > 0) /* transient: filters that keep it make their own copy */
        APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_transient_create(data, len, out->bb->bucket_alloc));
}

static apr_status_t close_file(void *file)
{
    return apr_file_close(file); /* apr_os_file_put() leaves that to its caller */
}

void wsgi_respond_file(wsgi_respond *out, int fd, apr_off_t offset, apr_off_t len)
{
    apr_int32_t flags = APR_FOPEN_READ;
    apr_file_t *file;

    if (wsgi_dir_of(out->r)->enable_sendfile == 1)
        flags |= APR_FOPEN_SENDFILE_ENABLED;
    if (apr_os_file_put(&file, &fd, flags, out->r->pool) != APR_SUCCESS) {
        close(fd);
        return;
    }
    apr_pool_cleanup_register(out->r->pool, file, close_file, apr_pool_cleanup_null);
    if (!out->gone && !out->replaced)
        apr_brigade_insert_file(out->bb, file, offset, len, out->r->pool);
}

int wsgi_respond_end(wsgi_respond *out)
{
    if (out->replaced) {
        apr_table_unset(out->r->headers_out, "Content-Length");
        out->r->clength = 0;
        return out->r->status;
    }
    if (!out->gone && !out->ended) {
        out->ended = 1;
        APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_eos_create(out->bb->bucket_alloc));
        pass(out);
    }
    return OK;
}

/* The error bucket makes the chunking filter leave out the last chunk (and HTTP/2 reset the stream); the connection is closed. */
int wsgi_respond_abort(wsgi_respond *out)
{
    request_rec *r = out->r;

    /* What was sent goes out first: an error bucket behind unsent headers would become an error page. Only then may the connection be
     * marked: httpd does not use chunks on a connection that it will close, and without them the end of the connection would look
     * like the end of the body. */
    wsgi_respond_flush(out);
    r->connection->keepalive = AP_CONN_CLOSE;
    if (!out->gone) {
        APR_BRIGADE_INSERT_TAIL(out->bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, out->bb->bucket_alloc));
        APR_BRIGADE_INSERT_TAIL(out->bb, apr_bucket_eos_create(out->bb->bucket_alloc));
        ap_pass_brigade(r->output_filters, out->bb);
    }
    return AP_FILTER_ERROR;
}
