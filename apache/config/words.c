#include "config/words.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <stdlib.h>
#include <sys/param.h>

static int is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* The value of an option may be quoted: option="a b", env=NAME="a b". ap_getword_conf() knows
 * quotes only around the whole word. */
const char *wsgi_next_word(apr_pool_t *p, const char **args)
{
    const char *at = *args, *equals, *value;
    char *name;

    while (apr_isspace(*at))
        at++;
    for (equals = at; *equals && !apr_isspace(*equals) && !(*equals == '=' && is_quote(equals[1]));
         equals++)
        ;
    if (*equals != '=' || is_quote(*at))
        return *args = at, ap_getword_conf(p, args);
    name = apr_pstrmemdup(p, at, (apr_size_t)(equals + 1 - at));
    *args = equals + 1;
    value = ap_getword_conf(p, args);
    return apr_pstrcat(p, name, value, NULL);
}

/* Levenshtein distance, the words are short. */
static int distance(const char *a, const char *b)
{
    int row[64], n = (int)strlen(b);

    if (n > 62 || strlen(a) > 62)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int above_left = row[0];

        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int cost = above_left + (a[i - 1] != b[j - 1]);

            above_left = row[j];
            row[j] = MIN(cost, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const char *wsgi_nearest(apr_pool_t *p, const char *word, const char *const *names)
{
    const char *best = NULL;
    int best_distance =
        MIN(4, (int)strlen(word)); /* a word of which no letter stays is not meant */

    (void)p;
    for (; *names; names++) {
        int d = distance(word, *names);

        if (d < best_distance) {
            best_distance = d;
            best = *names;
        }
    }
    return best;
}

int wsgi_read_seconds(const char *value, double *seconds)
{
    char *end;

    *seconds = strtod(value, &end);
    return *value && !*end && strspn(value, "0123456789.") == strlen(value) ? 0 : -1;
}
