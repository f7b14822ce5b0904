#include "handler.h"

#include "daemon/client.h"
#include "dispatch.h"
#include "embedded/embed.h"
#include "request/outcome.h"
#include "request/target.h"
#include "request/child.h"

#include <http_log.h>
#include <http_protocol.h>

APLOG_USE_MODULE(wsgi);

/* Is the length of the request's body clear (RFC 9112 section 6), and may it have that length?
 * Returns OK, or the HTTP status with the reason logged. */
static int admit_body(request_rec *r)
{
    const char *encoding = apr_table_get(r->headers_in, "Transfer-Encoding");

    if (encoding && strcasecmp(encoding, "chunked") != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0301: Transfer-Encoding %s is not supported", encoding);
        return HTTP_NOT_IMPLEMENTED;
    }
    if (encoding && wsgi_dir_of(r)->chunked_request == 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0302: WSGIChunkedRequest Off refuses a body of unknown length");
        return HTTP_LENGTH_REQUIRED;
    }
    return ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
}

int wsgi_handler(request_rec *r)
{
    wsgi_target *target;
    int rc;

    WSGI_ASSERT_CHILD();
    if ((rc = wsgi_target_resolve(&target, r)) != OK || (rc = admit_body(r)) != OK)
        return rc;
    if ((rc = wsgi_dispatch(target, r)) != OK || (rc = wsgi_target_admit(target, r)) != OK)
        return rc;
    return target->group ? wsgi_client_run(r, target) : wsgi_embed_run(r, target);
}
