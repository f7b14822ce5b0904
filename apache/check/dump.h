/* dump.h - `httpd -t -D DUMP_WSGI`: the configuration as this module understands it, as JSON on
 * standard output.
 *
 * Read by `httpd-wsgi check` and `explain`, and by people. HTTPD_WSGI_DUMP_URL=URL in the
 * environment adds what would serve that URL. HTTPD_WSGI_DUMP_PATHS holds lines "SERVER PATH"
 * (servers counted from 0) to be mapped likewise. Values of env= are only shown with -D
 * DUMP_WSGI_ENV. Configuration test only, one thread: nothing is started. */
#ifndef WSGI_DUMP_H
#define WSGI_DUMP_H

#include <apr_pools.h>

void wsgi_dump_register_hooks(apr_pool_t *p);

#endif
