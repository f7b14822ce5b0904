/* words.h - the words of a directive.
 *
 * Pure: any process, any thread. Results live in the pool that is given. */
#ifndef WSGI_WORDS_H
#define WSGI_WORDS_H

#include <apr_pools.h>

/* Reads seconds, with a decimal point where needed. Returns 0 and *seconds, or -1 when it is no
 * such number. */
int wsgi_read_seconds(const char *value, double *seconds);

/* Returns the next argument and moves *args behind it; "" at the end. The value of name="a value"
 * may be quoted. */
const char *wsgi_next_word(apr_pool_t *p, const char **args);

/* Returns the name in the NULL-terminated list that is most like word, or NULL when none is. */
const char *wsgi_nearest(apr_pool_t *p, const char *word, const char *const *names);

#endif
