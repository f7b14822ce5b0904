/* json.h - JSON, written piece by piece into memory.
 *
 * A writer belongs to one thread and lives as long as its pool. Any process. */
#ifndef WSGI_JSON_H
#define WSGI_JSON_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct wsgi_json wsgi_json;

wsgi_json *wsgi_json_make(apr_pool_t *p);

/* name NULL: an element of an array. value NULL is null. Bytes that are no UTF-8 are written as if
 * they were Latin-1. */
void wsgi_json_open(wsgi_json *j, const char *name, char bracket); /* '{' or '[' */
void wsgi_json_close(wsgi_json *j, char bracket);                  /* '}' or ']' */
void wsgi_json_string(wsgi_json *j, const char *name, const char *value);
void wsgi_json_number(wsgi_json *j, const char *name, apr_int64_t value);
void wsgi_json_seconds(wsgi_json *j, const char *name, apr_int64_t us); /* with six decimals; below
                                                                           0: not known, null */
void wsgi_json_flag(wsgi_json *j, const char *name, int value);         /* below 0: not set, null */

/* Returns the length of the UTF-8 sequence that the text begins with, or 0 when it begins with
 * none. */
int wsgi_utf8_len(const char *text);

/* Returns the text so far; lives as long as the pool. */
const char *wsgi_json_text(wsgi_json *j);

#endif
