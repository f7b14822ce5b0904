#include "body.h"

#include <http_protocol.h>

void wsgi_body_reader_init(wsgi_body_reader *in, request_rec *r)
{
    in->r = r;
    in->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    in->ended = 0;
    in->failed = APR_SUCCESS;
}

static apr_int64_t io_of(request_rec *r, apr_status_t rv)
{
    if (APR_STATUS_IS_TIMEUP(rv))
        return WIRE_IO_TIMEOUT;
    if (rv == APR_ENOSPC)
        return WIRE_IO_TOO_LARGE;
    if (APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_ECONNABORTED(rv) || r->connection->aborted)
        return WIRE_IO_GONE;
    return WIRE_IO_MALFORMED;
}

apr_int64_t wsgi_body_read(wsgi_body_reader *in, char *buf, size_t len)
{
    apr_size_t got = 0;

    while (!in->ended && got == 0) {
        apr_status_t rv = ap_get_brigade(in->r->input_filters, in->bb, AP_MODE_READBYTES, APR_BLOCK_READ, (apr_off_t)len);

        if (rv == APR_SUCCESS) {
            got = len;
            in->ended = !APR_BRIGADE_EMPTY(in->bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(in->bb));
            rv = apr_brigade_flatten(in->bb, buf, &got);
        }
        apr_brigade_cleanup(in->bb);
        if (rv != APR_SUCCESS) {
            in->failed = rv;
            in->r->connection->keepalive = AP_CONN_CLOSE;
            return io_of(in->r, rv);
        }
    }
    return (apr_int64_t)got;
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
