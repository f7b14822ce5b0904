/* log.h - what applications print and their tracebacks, as records of Apache's error log.
 *
 * Apache children only, any thread. */
#ifndef WSGI_LOG_H
#define WSGI_LOG_H

#include <httpd.h>

/* One record per line of text; the records of one call stay together, whatever other threads and
 * Apache processes log meanwhile. Long lines become several records. level: as in APLOG_*. */
void wsgi_log_request(request_rec *r, int level, const char *text, size_t len);

/* As wsgi_log_request(), for text that belongs to no request. */
void wsgi_log_server(int level, const char *text, size_t len);

/* Returns 1 the first time that this process asks for this server and subject, then 0: for hints
 * that need no repetition. Subjects are literals or come from the configuration, so their number is
 * limited. */
int wsgi_log_is_first(const server_rec *s, const char *subject);

/* As wsgi_log_request(), with the place in the application's source that logs, for %F of
 * ErrorLogFormat. r: NULL when the text belongs to no request. */
void wsgi_log_at(request_rec *r, int level, const char *file, int line, const char *text,
                 size_t len);
void wsgi_log_server_at(int level, const char *file, int line, const char *text, size_t len);

void wsgi_log_register_hooks(apr_pool_t *p);

#endif
