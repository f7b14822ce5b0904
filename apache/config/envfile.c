#include "config/envfile.h"

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>

#define MOST (1 << 20) /* bytes of a file */

/* Returns the number of bytes at text that are a variable's name. */
static apr_size_t name_length(const char *text)
{
    apr_size_t len = 0;

    if (apr_isdigit(*text))
        return 0;
    while (apr_isalnum(text[len]) || text[len] == '_')
        len++;
    return len;
}

const char *wsgi_env_add(apr_pool_t *p, apr_array_header_t *env, const char *assignment)
{
    apr_size_t len = name_length(assignment);

    if (len == 0 || assignment[len] != '=')
        return apr_psprintf(
            p, "env=%s is not NAME=value; for example env=DJANGO_SETTINGS_MODULE=shop.settings",
            assignment);
    APR_ARRAY_PUSH(env, const char *) = assignment;
    return NULL;
}

/* ---- files ---- */

typedef struct reader {
    const char *at; /* NUL-terminated */
    int line;
    char *out; /* room for the rest of the file */
} reader;

static char take(reader *rd)
{
    rd->line += *rd->at == '\n';
    return *rd->at++;
}

/* Reads literally up to the next '. Returns 0, or -1 when there is none. */
static int read_single(reader *rd)
{
    rd->at++;
    while (*rd->at && *rd->at != '\'')
        *rd->out++ = take(rd);
    return *rd->at ? (rd->at++, 0) : -1;
}

/* Reads up to the next "; a backslash takes the meaning from " \ $ and `, and joins lines. Returns
 * 0, or -1 when there is none. */
static int read_double(reader *rd)
{
    rd->at++;
    while (*rd->at && *rd->at != '"') {
        if (*rd->at == '\\' && rd->at[1] && strchr("\"\\$`\n", rd->at[1])) {
            rd->at++;
            if (*rd->at == '\n') {
                take(rd);
                continue;
            }
        }
        *rd->out++ = take(rd);
    }
    return *rd->at ? (rd->at++, 0) : -1;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Reads to the end of the line, without the blanks there. Quotes count where a value begins, and
 * behind a quoted part. Returns 0, or -1: an open quote. */
static int read_value(reader *rd)
{
    char *keep = rd->out; /* blanks from here on are only kept when something follows */
    int is_fresh = 1;

    while (*rd->at && *rd->at != '\n') {
        if (is_fresh && is_blank(*rd->at)) {
            rd->at++;
        } else if (is_fresh && (*rd->at == '\'' || *rd->at == '"')) {
            if ((*rd->at == '"' ? read_double(rd) : read_single(rd)) < 0)
                return -1;
            keep = rd->out;
        } else {
            int is_escaped = *rd->at == '\\' && rd->at[1];

            is_fresh = 0;
            rd->at += is_escaped;
            if (is_escaped && *rd->at == '\n') {
                take(rd); /* the line goes on */
                continue;
            }
            *rd->out++ = take(rd);
            if (is_escaped || !is_blank(rd->out[-1]))
                keep = rd->out;
        }
    }
    rd->out = keep;
    *rd->out++ = '\0';
    return 0;
}

static const char *read_line(apr_pool_t *p, reader *rd, apr_array_header_t *env, const char *path)
{
    int line = rd->line;
    const char *start = rd->out;
    apr_size_t len;

    if (!strncmp(rd->at, "export", 6) && (rd->at[6] == ' ' || rd->at[6] == '\t')) {
        rd->at += 6;
        rd->at += strspn(rd->at, " \t");
    }
    len = name_length(rd->at);
    /* The line may hold a secret, so no more than its number is shown. */
    if (len == 0 || rd->at[len] != '=')
        return apr_psprintf(p, "env-file=%s: line %d is not NAME=value, without space around the =",
                            path, line);
    memcpy(rd->out, rd->at, len + 1);
    rd->out += len + 1;
    rd->at += len + 1;
    if (read_value(rd) < 0)
        return apr_psprintf(p,
                            "env-file=%s: the quote that begins the value in line %d does not end",
                            path, line);
    APR_ARRAY_PUSH(env, const char *) = start;
    return NULL;
}

static const char *read_file(apr_pool_t *p, const char *path, char **text)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len = 0;
    char reason[200];
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, p);

    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_TYPE | APR_FINFO_SIZE, file);
        if (rv == APR_SUCCESS && (info.filetype != APR_REG || info.size > MOST)) {
            apr_file_close(file);
            return apr_psprintf(p, "env-file=%s is not a file of at most 1M", path);
        }
        *text = apr_pcalloc(p, (apr_size_t)info.size + 1);
        if (rv == APR_SUCCESS)
            rv = apr_file_read_full(file, *text, (apr_size_t)info.size, &len);
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS && rv != APR_EOF)
        return apr_psprintf(p, "env-file=%s cannot be read: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    return strlen(*text) == len
               ? NULL
               : apr_psprintf(p, "env-file=%s is not text: it has a NUL character", path);
}

const char *wsgi_env_add_file(apr_pool_t *p, apr_array_header_t *env, const char *path)
{
    reader rd = {.line = 1};
    char *text = NULL;
    const char *error = read_file(p, path, &text);

    if (error)
        return error;
    rd.at = text;
    rd.out = apr_palloc(p, strlen(text) + 1); /* nothing grows: a value and its NUL are as long as
                                                 the line at most */
    while (!error && *rd.at) {
        rd.at += strspn(rd.at, " \t\r");
        if (*rd.at == '#' || *rd.at == ';')
            while (*rd.at && *rd.at != '\n')
                rd.at++;
        else if (*rd.at && *rd.at != '\n')
            error = read_line(p, &rd, env, path);
        if (*rd.at == '\n')
            take(&rd);
    }
    return error;
}
