/* json.c - JSON, written piece by piece. */
#include "dump.h"

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

/* Length of the UTF-8 sequence at `at`; 0: it is none. */
static int sequence_len(const unsigned char *at)
{
    int len = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : *at >= 0xe0 && *at < 0xf0 ? 3 : *at >= 0xf0 && *at < 0xf5 ? 4 : 0;

    for (int i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

static void put_quoted(wsgi_json *j, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    put(j, "\"");
    while (*at) {
        int len = sequence_len(at);

        if (*at == '"' || *at == '\\')
            put(j, *at == '"' ? "\\\"" : "\\\\");
        else if (len == 0 || *at < 0x20)
            put(j, apr_psprintf(j->pool, "\\u%04x", *at));
        else
            for (int i = 0; i < len; i++)
                APR_ARRAY_PUSH(j->out, char) = (char)at[i];
        at += len ? len : 1;
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
    put(j, us < 0 ? "null" : apr_psprintf(j->pool, "%" APR_INT64_T_FMT ".%06d", us / APR_USEC_PER_SEC, (int)(us % APR_USEC_PER_SEC)));
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
