/* status_formats.h - the forms in which the status is answered: each function writes its whole
 * response body.
 *
 * Apache children, in the thread of r. See status_json.c, status_metrics.c, status_html.c. */
#ifndef WSGI_STATUS_FORMATS_H
#define WSGI_STATUS_FORMATS_H

#include "status/status_embedded.h"

#include <httpd.h>

typedef struct wsgi_status {
    const apr_array_header_t *groups;     /* of wsgi_status_group */
    const wsgi_status_embedded *embedded; /* or NULL */
} wsgi_status;

void wsgi_status_json(request_rec *r, const wsgi_status *status);
void wsgi_status_metrics(request_rec *r, const wsgi_status *status, int is_openmetrics);
void wsgi_status_html(request_rec *r, const wsgi_status *status);

#endif
