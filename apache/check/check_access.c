/* check_access.c - scripts that nobody may ask for, because the only section that speaks of their
 * directory denies it: usually that for /, which distributions bring along. Status pages that
 * everybody may ask for, because no section restricts them. Only what the configuration says
 * plainly is judged, so silence means little. */
#include "check/check_access.h"

#include "config/names.h"
#include "config/uses.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

APLOG_USE_MODULE(wsgi);

typedef struct verdict {
    const ap_directive_t *nearest; /* the <Directory> with Require lines that is closest to the
                                      script */
    size_t len;                    /* of its path */
    int is_unknown;                /* something else may grant it */
} verdict;

static int is_named(const ap_directive_t *d, const char *name)
{
    return !strcasecmp(d->directive, name);
}

/* Returns 1 for a directive about access, old or new, or a section of such directives. */
static int is_about_access(const ap_directive_t *d)
{
    return is_named(d, "Require") || is_named(d, "Satisfy") || is_named(d, "Allow") ||
           !strncasecmp(d->directive, "<Require", 8);
}

static int has_access_inside(const ap_directive_t *d)
{
    for (; d; d = d->next)
        if (is_about_access(d) || (d->first_child && has_access_inside(d->first_child)))
            return 1;
    return 0;
}

/* Returns the path after "<Directory", without quotes and the closing bracket; NULL for patterns.
 */
static const char *directory_of(apr_pool_t *p, const ap_directive_t *d)
{
    const char *args = d->args;
    char *path = ap_getword_conf(p, &args);
    size_t len = strlen(path);

    if (len && path[len - 1] == '>')
        path[--len] = '\0';
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    return *path != '/' || path[strcspn(path, "*?[")] ? NULL : path;
}

static int covers(const char *directory, const char *path)
{
    size_t len = strcmp(directory, "/") ? strlen(directory) : 0;

    return !strncmp(directory, path, len) && (path[len] == '/' || !path[len]);
}

/* Returns 1 when a .htaccess file in the directory may have the last word. */
static int allows_override(const ap_directive_t *d)
{
    for (; d; d = d->next)
        if (is_named(d, "AllowOverride") && strcasecmp(d->args, "None"))
            return 1;
    return 0;
}

static void judge_directory(apr_pool_t *p, const ap_directive_t *d, const char *script, verdict *v)
{
    const char *path = directory_of(p, d);

    if (path && !covers(path, script))
        return;
    if (!path || allows_override(d->first_child)) {
        v->is_unknown |= !path ? has_access_inside(d->first_child) : 1;
        return;
    }
    if (has_access_inside(d->first_child) && (!v->nearest || strlen(path) >= v->len)) {
        v->nearest = d;
        v->len = strlen(path);
    }
}

/* The sections that hold for the server: those outside of virtual hosts, and in its own. */
static void judge(apr_pool_t *p, const ap_directive_t *d, const wsgi_use *use, verdict *v)
{
    const server_rec *s = use->server;

    for (; d; d = d->next) {
        if (is_named(d, "<VirtualHost")) {
            if (s->is_virtual && s->defn_name && !strcmp(s->defn_name, d->filename) &&
                (int)s->defn_line_number == d->line_num)
                judge(p, d->first_child, use, v);
        } else if (is_named(d, "<Directory")) {
            judge_directory(p, d, use->script, v);
        } else if (d->first_child) {
            v->is_unknown |= has_access_inside(d->first_child); /* <Location>, <Files>, <If>,
                                                                   <DirectoryMatch>, … */
        }
    }
}

/* Returns 1 when "Require all denied" is all that the section says. */
static int denies_all(const ap_directive_t *section)
{
    int denies = 0;

    for (const ap_directive_t *d = section->first_child; d; d = d->next) {
        if (is_named(d, "Require") && !strcasecmp(d->args, "all denied"))
            denies = 1;
        else if (is_about_access(d) || (d->first_child && has_access_inside(d->first_child)))
            return 0;
    }
    return denies;
}

void wsgi_check_access(apr_pool_t *p, const apr_array_header_t *uses)
{
    for (int i = 0; i < uses->nelts; i++) {
        const wsgi_use *use = &APR_ARRAY_IDX(uses, i, wsgi_use);
        verdict v = {NULL, 0, 0};

        if (!use->script || strncmp(use->directive, "WSGIScriptAlias", 15))
            continue;
        judge(p, ap_conftree, use, &v);
        if (v.nearest && !v.is_unknown && denies_all(v.nearest))
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(use->server),
                         "WSGI0297: %s: %s: nothing grants access to %s, and %s:%d denies it; "
                         "requests get 403 until there is a "
                         "<Directory %s> with \"Require all granted\"",
                         use->where, use->directive, use->script, v.nearest->filename,
                         v.nearest->line_num, ap_make_dirstr_parent(p, use->script));
    }
}

/* ---- status pages ---- */

/* Do the directives of a section, or of sections in it, keep anybody out? */
static int restricts(const ap_directive_t *d)
{
    for (; d; d = d->next)
        if ((is_named(d, "Require") && strcasecmp(d->args, "all granted")) || is_named(d, "Deny") ||
            (d->first_child && restricts(d->first_child)))
            return 1;
    return 0;
}

/* Returns the URL path of a <Location> that is no pattern, without a slash at its end, or NULL. */
static const char *location_of(apr_pool_t *p, const ap_directive_t *d)
{
    return d && is_named(d, "<Location") ? directory_of(p, d) : NULL;
}

/* Does a <Location> for this path or one above it keep anybody out? */
static int is_restricted(apr_pool_t *p, const ap_directive_t *d, const char *path)
{
    for (; d; d = d->next) {
        const char *location = location_of(p, d);

        if (location ? covers(location, path) && restricts(d->first_child)
                     : d->first_child && is_restricted(p, d->first_child, path))
            return 1;
    }
    return 0;
}

static int shows_status(apr_pool_t *p, const ap_directive_t *d)
{
    const char *args = d->args;

    return is_named(d, "SetHandler") &&
           !strcasecmp(ap_getword_conf(p, &args), WSGI_STATUS_HANDLER_NAME);
}

/* The directives of one section and of those in it; section is NULL at the top. */
static void check_status_in(apr_pool_t *p, const ap_directive_t *section, const ap_directive_t *d)
{
    const char *path = location_of(p, section);

    if (section && !is_named(section, "<VirtualHost") && restricts(d))
        return;
    for (; d; d = d->next) {
        if (shows_status(p, d) && !(path && is_restricted(p, ap_conftree, path)))
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                         "WSGI0253: %s:%d: everybody may see the status with the URLs of requests, "
                         "as no Require says who; add to the section for example "
                         "\"Require ip 192.0.2.0/24\" or \"Require valid-user\"",
                         d->filename, d->line_num);
        if (d->first_child)
            check_status_in(p, d, d->first_child);
    }
}

void wsgi_check_status(apr_pool_t *p)
{
    check_status_in(p, NULL, ap_conftree);
}
