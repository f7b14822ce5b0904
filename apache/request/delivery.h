/* delivery.h - responses that did not arrive: each has one record in the error log that says why,
 * and %X of an access log says X.
 *
 * Apache children only, in the thread of the request, or in the one that writes the rest of its
 * response. */
#ifndef WSGI_DELIVERY_H
#define WSGI_DELIVERY_H

#include "config/group.h"

#include <httpd.h>

/* The response cannot be completed, for a reason that is logged already. */
void wsgi_delivery_cut_off(request_rec *r);

/* Writing to the client has failed with rv, or httpd has marked the connection as aborted: logs
 * why, once for a request. g: the group that limits how long the client may take nothing; NULL when
 * that is Timeout. */
void wsgi_delivery_lost(request_rec *r, apr_status_t rv, const wsgi_group *g);

void wsgi_delivery_register_hooks(apr_pool_t *p);

#endif
