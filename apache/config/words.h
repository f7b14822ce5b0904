/* words.h - the words of a directive.
 *
 * Pure: any process, any thread. Results live in the pool that is given. */
#ifndef WSGI_WORDS_H
#define WSGI_WORDS_H

#include <apr_pools.h>

/* Reads seconds, with a decimal point where needed. Returns 0 and *seconds, or -1 when it is no
 * such number. */
int wsgi_read_seconds(const char *value, double *seconds);

/* The next argument; the value of name="a value" may be quoted. "" at the end. */
const char *wsgi_next_word(apr_pool_t *p, const char **args);

/* The nearest of the NULL-terminated names, or NULL when none is near. */
const char *wsgi_nearest(apr_pool_t *p, const char *word, const char *const *names);

#endif
