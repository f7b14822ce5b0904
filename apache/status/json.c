/* json.c - JSON, written piece by piece. */
#include "status/json.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_time.h>

struct wsgi_json {
    apr_pool_t *pool;
    apr_array_header_t *out; /* of char */
    int needs_comma;
};

wsgi_json *wsgi_json_make(apr_pool_t *p)
{
    wsgi_json *j = apr_pcalloc(p, sizeof(*j));

    j->pool = p;
    j->out = apr_array_make(p, 8192, 1);
    return j;
}

static void put(wsgi_json *j, const char *text)
{
    for (; *text; text++)
        APR_ARRAY_PUSH(j->out, char) = *text;
}

/* Unicode, table 3-7: after some first bytes the second one has a range of its own, which keeps out
 * what has a shorter form, the halves of UTF-16, and what is beyond U+10FFFF. */
int wsgi_utf8_len(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    int len = *at < 0x80                  ? 1
              : *at >= 0xc2 && *at < 0xe0 ? 2
              : *at >= 0xe0 && *at < 0xf0 ? 3
              : *at >= 0xf0 && *at < 0xf5 ? 4
                                          : 0;

    for (int i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
        (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}

static void put_quoted(wsgi_json *j, const char *text)
{
    put(j, "\"");
    while (*text) {
        int len = wsgi_utf8_len(text);

        if (*text == '"' || *text == '\\')
            put(j, *text == '"' ? "\\\"" : "\\\\");
        else if (len == 0 || (unsigned char)*text < 0x20)
            put(j, apr_psprintf(j->pool, "\\u%04x", (unsigned char)*text));
        else
            for (int i = 0; i < len; i++)
                APR_ARRAY_PUSH(j->out, char) = text[i];
        text += len ? len : 1;
    }
    put(j, "\"");
}

static void begin(wsgi_json *j, const char *name)
{
    if (j->needs_comma)
        put(j, ",\n");
    j->needs_comma = 1;
    if (name) {
        put_quoted(j, name);
        put(j, ": ");
    }
}

static void put_char(wsgi_json *j, char c)
{
    APR_ARRAY_PUSH(j->out, char) = c;
}

void wsgi_json_open(wsgi_json *j, const char *name, char bracket)
{
    begin(j, name);
    put_char(j, bracket);
    j->needs_comma = 0;
}

void wsgi_json_close(wsgi_json *j, char bracket)
{
    put_char(j, bracket);
    j->needs_comma = 1;
}

void wsgi_json_string(wsgi_json *j, const char *name, const char *value)
{
    begin(j, name);
    if (value)
        put_quoted(j, value);
    else
        put(j, "null");
}

void wsgi_json_number(wsgi_json *j, const char *name, apr_int64_t value)
{
    begin(j, name);
    put(j, apr_psprintf(j->pool, "%" APR_INT64_T_FMT, value));
}

void wsgi_json_seconds(wsgi_json *j, const char *name, apr_int64_t us)
{
    begin(j, name);
    put(j, us < 0 ? "null"
                  : apr_psprintf(j->pool, "%" APR_INT64_T_FMT ".%06d", us / APR_USEC_PER_SEC,
                                 (int)(us % APR_USEC_PER_SEC)));
}

void wsgi_json_flag(wsgi_json *j, const char *name, int value)
{
    begin(j, name);
    put(j, value < 0 ? "null" : value ? "true" : "false");
}

const char *wsgi_json_text(wsgi_json *j)
{
    put_char(j, '\n');
    put_char(j, '\0');
    return j->out->elts;
}
