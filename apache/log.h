/* log.h - what applications print and their tracebacks, as records of Apache's error log. */
#ifndef WSGI_LOG_H
#define WSGI_LOG_H

#include <httpd.h>

/* One record per line of text; the records of one call stay together, whatever other threads and Apache processes log meanwhile. Long
 * lines become several records. Apache children only, any thread. level: as in APLOG_*. */
void wsgi_log_request(request_rec *r, int level, const char *text, size_t len);

/* The same for what belongs to no request. */
void wsgi_log_server(int level, const char *text, size_t len);

void wsgi_log_register_hooks(apr_pool_t *p);

#endif
