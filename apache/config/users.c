#include "config/users.h"

#include "config/config.h"
#include "config/words.h"

#include <apr_strings.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#define MOST_NAMES 1000 /* looked at for a suggestion */

static const char *near_user(apr_pool_t *p, const char *name)
{
    const char **names = apr_pcalloc(p, (MOST_NAMES + 1) * sizeof(*names));
    FILE *file = fopen("/etc/passwd", "re");
    struct passwd *pw;

    for (int n = 0; file && n < MOST_NAMES && (pw = fgetpwent(file)); n++)
        names[n] = apr_pstrdup(p, pw->pw_name);
    if (file)
        fclose(file);
    return wsgi_nearest(p, name, names);
}

static const char *near_group(apr_pool_t *p, const char *name)
{
    const char **names = apr_pcalloc(p, (MOST_NAMES + 1) * sizeof(*names));
    FILE *file = fopen("/etc/group", "re");
    struct group *gr;

    for (int n = 0; file && n < MOST_NAMES && (gr = fgetgrent(file)); n++)
        names[n] = apr_pstrdup(p, gr->gr_name);
    if (file)
        fclose(file);
    return wsgi_nearest(p, name, names);
}

/* Reads "#123". Returns 0 and *id, or -1. */
static int read_id(const char *value, apr_uint32_t *id)
{
    apr_size_t len = strspn(value + 1, "0123456789");
    apr_int64_t number = apr_atoi64(value + 1);

    if (len == 0 || len > 10 || value[1 + len] || number >= 4294967295)
        return -1;
    *id = (apr_uint32_t)number;
    return 0;
}

static const char *not_found(apr_pool_t *p, const char *option, const char *value, const char *what,
                             int error, const char *near)
{
    if (*value == '#')
        return apr_psprintf(p, "%s=%s: expected # and a number, for example %s=#1000", option,
                            value, option);
    if (error)
        return apr_psprintf(p, "%s=%s: the %s cannot be looked up: %s", option, value, what,
                            strerror(error));
    return apr_psprintf(
        p, "%s=%s: there is no such %s on this system%s%s; create it or name another one", option,
        value, what, near ? ", did you mean " : "", near ? near : "");
}

/* getpwnam(3): a name that does not exist may also be reported as one of these. */
static int error_of_lookup(void)
{
    return errno == ENOENT || errno == ESRCH || errno == EBADF || errno == EPERM ? 0 : errno;
}

const char *wsgi_users_find_user(apr_pool_t *p, const char *option, const char *value,
                                 wsgi_identity *out)
{
    struct passwd *pw;
    int error;

    out->name = value;
    if (*value == '#')
        return read_id(value, &out->id) < 0 ? not_found(p, option, value, "user", 0, NULL) : NULL;
    errno = 0;
    pw = getpwnam(value);
    error = error_of_lookup();
    if (!pw)
        return not_found(p, option, value, "user", error, near_user(p, value));
    out->id = pw->pw_uid;
    return NULL;
}

const char *wsgi_users_find_group(apr_pool_t *p, const char *option, const char *value,
                                  wsgi_identity *out)
{
    struct group *gr;
    int error;

    out->name = value;
    if (*value == '#')
        return read_id(value, &out->id) < 0 ? not_found(p, option, value, "group", 0, NULL) : NULL;
    errno = 0;
    gr = getgrnam(value);
    error = error_of_lookup();
    if (!gr)
        return not_found(p, option, value, "group", error, near_group(p, value));
    out->id = gr->gr_gid;
    return NULL;
}
