/* dump.h - `httpd -t -D DUMP_WSGI`: the configuration as this module understands it, as JSON on standard output.
 *
 * For `httpd-wsgi check` and `explain`, and for eyes. In the environment variable HTTPD_WSGI_DUMP_URL may stand a URL; then the dump
 * says, too, what would serve it, and in HTTPD_WSGI_DUMP_PATHS lines of a server's number, from 0, and a path in it. Values of env= are only shown with -D DUMP_WSGI_ENV. Configuration test only: nothing is started. */
#ifndef WSGI_DUMP_H
#define WSGI_DUMP_H

#include <apr_pools.h>
#include <httpd.h>

void wsgi_dump_register_hooks(apr_pool_t *p);

/* "shop.conf:12" of the <VirtualHost>, NULL for the main server. */
const char *wsgi_dump_server_where(apr_pool_t *p, const server_rec *s);

/* ---- json.c ---- */

typedef struct wsgi_json wsgi_json;

wsgi_json *wsgi_json_make(apr_pool_t *p);

/* name NULL: an element of an array. value NULL is null. Bytes that are no UTF-8 are written as if they were Latin-1. */
void wsgi_json_open(wsgi_json *j, const char *name, char bracket); /* '{' or '[' */
void wsgi_json_close(wsgi_json *j, char bracket);                  /* '}' or ']' */
void wsgi_json_string(wsgi_json *j, const char *name, const char *value);
void wsgi_json_number(wsgi_json *j, const char *name, apr_int64_t value);
void wsgi_json_seconds(wsgi_json *j, const char *name, apr_int64_t us); /* with six decimals; below 0: not known, null */
void wsgi_json_flag(wsgi_json *j, const char *name, int value); /* below 0: not set, null */

/* Length of the UTF-8 sequence that the text begins with; 0: it begins with none. */
int wsgi_utf8_len(const char *text);

/* The text so far; lives as long as the pool. */
const char *wsgi_json_text(wsgi_json *j);

/* ---- dump_url.c ---- */

/* Before the first of those below. */
void wsgi_dump_prepare(apr_pool_t *p, server_rec *main_server);

/* What would serve the URL, as far as mapping decides it: no authentication is asked, no application is run. */
void wsgi_dump_location(wsgi_json *j, apr_pool_t *p, server_rec *s, const char *location); /* in this server */
void wsgi_dump_paths(wsgi_json *j, apr_pool_t *p, server_rec *main_server, const char *paths); /* "0 /a\n1 /b" */
void wsgi_dump_url(wsgi_json *j, apr_pool_t *p, server_rec *main_server, const char *url);

#endif
