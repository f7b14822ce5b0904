/* check_files.c - are the Pythons and scripts that the configuration names there, and can the users
 * that need them reach them? */
#include "check/check_files.h"

#include "check/check_access.h"
#include "check/reach.h"
#include "config/group.h"
#include "config/package.h"
#include "config/pythons.h"
#include "config/uses.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <http_log.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

APLOG_USE_MODULE(wsgi);

/* ---- Pythons ---- */

/* Returns what is wrong with a home that is not there or is none, or NULL. */
static const char *find_fault(apr_pool_t *p, const char *root, const char *home)
{
    const char *directory = apr_pstrcat(p, root, home, NULL),
               *python = apr_pstrcat(p, root, wsgi_python_in(p, root, home), NULL);
    char link[4096];
    struct stat st;
    ssize_t len;

    if (stat(directory, &st) < 0 && errno != ENOENT && errno != ENOTDIR)
        return NULL;
    if (stat(directory, &st) < 0)
        return apr_psprintf(p, "does not exist; create it, for example with \"python3 -m venv %s\"",
                            directory);
    if (!S_ISDIR(st.st_mode))
        return "is not a directory; name the directory that has bin/python";
    /* In a chroot an absolute link leads somewhere else. */
    if ((*root ? lstat(python, &st) : stat(python, &st)) == 0 ||
        (errno != ENOENT && errno != ENOTDIR))
        return NULL;
    len = readlink(python, link, sizeof(link) - 1);
    if (len > 0)
        return apr_psprintf(p,
                            "has a bin/python that leads to %s, which does not exist any more; "
                            "make the environment again, "
                            "for example with \"python3 -m venv --clear %s\"",
                            apr_pstrmemdup(p, link, (apr_size_t)len), directory);
    return "has no bin/python, so it is neither a virtual environment nor an installation of "
           "Python";
}

/* Returns the prefix as which a home's Python runs when that is another one, or NULL. Without
 * pyvenv.cfg Python takes its place for that of the program that a link leads to. */
static const char *other_prefix(apr_pool_t *p, const char *home)
{
    char *program = realpath(wsgi_python_in(p, "", home), NULL), *real = realpath(home, NULL);
    const char *prefix = NULL;
    char *slash = NULL;

    for (int cut = 0; program && cut < 2 && (slash = strrchr(program, '/')); cut++)
        *slash = '\0';
    if (slash && real && strcmp(program, real) &&
        access(apr_pstrcat(p, home, "/pyvenv.cfg", NULL), F_OK) < 0 && errno == ENOENT)
        prefix = apr_pstrdup(p, *program ? program : "/");
    free(program);
    free(real);
    return prefix;
}

/* origin: "python-home= of daemon group 'shop'" */
static void check_home(apr_pool_t *p, const server_rec *s, const char *root, const char *home,
                       const char *origin, const char *where)
{
    const char *fault = find_fault(p, root, home), *version, *prefix;

    if (fault) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0280: %s: %s: %s %s; requests get an error until then", where, origin,
                     home, fault);
        return;
    }
    prefix = *root ? NULL : other_prefix(p, home);
    if (prefix)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0240: %s: %s: %s has no pyvenv.cfg, so it is no virtual environment: its "
                     "bin/python runs as the Python of %s and finds that one's packages; make it "
                     "again, for example with \"python3 -m venv --clear %s\"",
                     where, origin, home, prefix, home);
    version = wsgi_python_version(p, root, home);
    if (version && !wsgi_python_may_have_runtime(p, root, home, version))
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0281: %s: %s: Python %s in %s has no runtime; build one with \"%s\"; "
                     "requests get an error until then",
                     where, origin, version, home,
                     wsgi_install_command(p, wsgi_python_in(p, root, home)));
}

static const char *main_home_of(const server_rec *s)
{
    return wsgi_server_of(s)->python_home;
}

/* The Python of whatever names none: that of the module's package, or what the build noted down. */
static void check_default_python(apr_pool_t *p, const server_rec *s)
{
    const char *python = wsgi_default_python(p), *version;
    char *home = apr_pstrdup(p, python), *slash;

    for (int cut = 0; cut < 2 && (slash = strrchr(home, '/')); cut++)
        *slash = '\0';
    version = wsgi_python_version(p, "", home);
    if (access(python, F_OK) < 0)
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "WSGI0294: the default Python, %s, does not exist; install it, or name another one "
            "with WSGIPythonHome or python-home=; requests get an error until then",
            python);
    else if (version && !wsgi_python_may_have_runtime(p, "", home, version))
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "WSGI0295: the default Python, %s (%s), has no runtime; build one with \"%s\", or "
            "name another Python with WSGIPythonHome or python-home=; requests get an error until "
            "then",
            python, version, wsgi_install_command(p, python));
}

/* Returns 1 when some application uses the default Python: one in a group without python-home=, or
 * one in no group. */
static int needs_default_python(const server_rec *s, const apr_array_header_t *uses,
                                const apr_array_header_t *groups)
{
    if (main_home_of(s))
        return 0;
    for (int i = 0; i < groups->nelts; i++)
        if (!APR_ARRAY_IDX(groups, i, const wsgi_group *)->python_home)
            return 1;
    return uses->nelts > 0 && groups->nelts == 0;
}

/* Directories that are searched for modules. origin: "python-path= of daemon group 'shop'" */
static void check_path(apr_pool_t *p, const server_rec *s, const char *root, const char *path,
                       const char *origin, const char *where)
{
    char *rest, *one = path ? apr_strtok(apr_pstrdup(p, path), ":", &rest) : NULL;
    struct stat st;

    for (; one; one = apr_strtok(NULL, ":", &rest))
        if (*one == '/' && stat(apr_pstrcat(p, root, one, NULL), &st) < 0 &&
            (errno == ENOENT || errno == ENOTDIR))
            ap_log_error(
                APLOG_MARK, APLOG_WARNING, 0, s,
                "WSGI0296: %s: %s: %s does not exist; create it or correct the path; modules "
                "are not found there until then",
                where, origin, one);
}

static void check_paths(apr_pool_t *p, const server_rec *main_server,
                        const apr_array_header_t *groups)
{
    const wsgi_interpreter_options *base = &wsgi_server_of(main_server)->base;

    check_path(p, main_server, "", base->python_path, "WSGIPythonPath", base->python_path_where);
    for (int i = 0; i < groups->nelts; i++) {
        const wsgi_group *g = APR_ARRAY_IDX(groups, i, const wsgi_group *);

        check_path(p, wsgi_uses_log(g->server), g->chroot ? g->chroot : "", g->python_path,
                   apr_psprintf(p, "python-path= of daemon group '%s'", g->name), g->where);
    }
}

static void check_pythons(apr_pool_t *p, server_rec *s, const apr_array_header_t *groups)
{
    if (main_home_of(s))
        check_home(p, s, "", main_home_of(s), "WSGIPythonHome",
                   wsgi_server_of(s)->python_home_where);
    for (int i = 0; i < groups->nelts; i++) {
        const wsgi_group *g = APR_ARRAY_IDX(groups, i, const wsgi_group *);
        const char *origin = apr_psprintf(p, "python-home= of daemon group '%s'", g->name),
                   *root = g->chroot ? g->chroot : "";
        struct stat st;

        if (g->python_home)
            check_home(p, wsgi_uses_log(g->server), root, g->python_home, origin, g->where);
        if (g->home && stat(apr_pstrcat(p, root, g->home, NULL), &st) < 0 &&
            (errno == ENOENT || errno == ENOTDIR))
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(g->server),
                         "WSGI0290: %s: home=%s of daemon group '%s' does not exist; create the "
                         "directory; requests get 503 "
                         "until then",
                         g->where, g->home, g->name);
    }
}

/* ---- files that users must reach ---- */

typedef struct need {
    wsgi_reach reach;    /* first: arrays hold pointers to it */
    const wsgi_use *use; /* NULL: the Python of the group, or see is_path */
    int is_path;         /* a directory of python-path= or WSGIPythonPath */
} need;

/* Returns the group that certainly answers, "" for embedded mode; NULL when a section for a
 * directory or the request may decide. */
static const char *group_of(const wsgi_use *use, const apr_array_header_t *groups)
{
    const wsgi_dir_config *dir = ap_get_module_config(use->server->lookup_defaults, &wsgi_module);
    const char *name = use->process_group;

    if (!name && dir->process_group)
        name = wsgi_global_name(dir->process_group);
    if (!name && groups->nelts == 0)
        name = "";
    return name && *name != '%' ? name : NULL;
}

/* A directory's files are only known with a request; it must be possible to enter it. What is not
 * there is another matter. */
static void add_need(apr_pool_t *p, apr_array_header_t *all, const char *path, int mode,
                     const wsgi_use *use)
{
    need *n = apr_pcalloc(p, sizeof(*n));
    struct stat st;

    if (stat(path, &st) < 0)
        return;
    n->reach.path = S_ISDIR(st.st_mode) ? apr_pstrcat(p, path, "/", NULL) : path;
    n->reach.mode = S_ISDIR(st.st_mode) ? F_OK : mode;
    n->use = use;
    APR_ARRAY_PUSH(all, wsgi_reach *) = &n->reach;
}

/* Directories that are searched for modules must be listed, too. */
static void add_paths(apr_pool_t *p, apr_array_header_t *all, const char *path)
{
    char *rest, *one = path ? apr_strtok(apr_pstrdup(p, path), ":", &rest) : NULL;
    struct stat st;

    for (; one; one = apr_strtok(NULL, ":", &rest))
        if (*one == '/' && stat(one, &st) == 0) {
            need *n = apr_pcalloc(p, sizeof(*n));

            n->reach.path = S_ISDIR(st.st_mode) ? apr_pstrcat(p, one, "/", NULL) : one;
            n->reach.mode = R_OK;
            n->is_path = 1;
            APR_ARRAY_PUSH(all, wsgi_reach *) = &n->reach;
        }
}

static const char *name_of(apr_pool_t *p, const wsgi_credentials *who)
{
    return who->pw ? apr_pstrdup(p, who->pw->pw_name) : apr_psprintf(p, "uid %d", (int)who->uid);
}

/* "may not enter the directory /srv (mode 0700); run …" */
static const char *explain(apr_pool_t *p, const wsgi_reach *reach)
{
    if (reach->result == WSGI_BLOCKED_DIR &&
        !(reach->blocked_mode & S_IXGRP)) /* perhaps a home: do not open it lightly */
        return apr_psprintf(p,
                            "may not enter the directory %s (mode %04o), which is its owner's "
                            "alone; move it to a place such as "
                            "/srv, or run \"chmod o+x %s\"",
                            reach->blocked, reach->blocked_mode, reach->blocked);
    return reach->result == WSGI_BLOCKED_DIR
               ? apr_psprintf(p,
                              "may not enter the directory %s (mode %04o); run \"chmod o+x %s\", "
                              "or make the user a member of "
                              "its group",
                              reach->blocked, reach->blocked_mode, reach->blocked)
               : apr_psprintf(p,
                              "may not %s it (mode %04o); run \"chmod o+r%s %s\", or make the user "
                              "a member of its group",
                              reach->mode == X_OK ? "run" : "read", reach->blocked_mode,
                              reach->mode == X_OK ? "x" : "", reach->blocked);
}

static int is_blocked(const wsgi_reach *reach)
{
    return reach->result == WSGI_BLOCKED_DIR || reach->result == WSGI_BLOCKED_FILE;
}

static void warn_of_path(const server_rec *s, const char *where, const char *origin,
                         const wsgi_reach *reach, const char *fault)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "WSGI0241: %s: %s: %s: %s; modules are not found there until then", where, origin,
                 reach->path, fault);
}

/* Apache's children look at each script's file, and read it in embedded mode. */
static void check_as_apache(apr_pool_t *p, const server_rec *main_server,
                            const apr_array_header_t *uses, const apr_array_header_t *groups)
{
    apr_array_header_t *all = apr_array_make(p, 8, sizeof(wsgi_reach *));
    wsgi_credentials who;
    const char *user;

    if (ap_find_linked_module("mpm_itk.c") || ap_find_linked_module("mod_ruid2.c"))
        return; /* a child becomes somebody else for each virtual host */
    for (int i = 0; i < uses->nelts; i++) {
        const wsgi_use *use = &APR_ARRAY_IDX(uses, i, wsgi_use);
        const char *group = use->script ? group_of(use, groups) : NULL;

        if (use->script && (use->serves_requests || (group && !*group)))
            add_need(p, all, use->script, group && !*group ? R_OK : F_OK, use);
    }
    if (!wsgi_server_of(main_server)->restrict_embedded)
        add_paths(p, all, wsgi_server_of(main_server)->base.python_path);
    wsgi_credentials_of(&who, NULL);
    user = name_of(p, &who);
    wsgi_reach_ask(p, &who, all);
    for (int i = 0; i < all->nelts; i++) {
        const need *n = (const need *)APR_ARRAY_IDX(all, i, wsgi_reach *);

        if (is_blocked(&n->reach) && n->is_path)
            warn_of_path(main_server, wsgi_server_of(main_server)->base.python_path_where,
                         "WSGIPythonPath", &n->reach,
                         apr_psprintf(p, "Apache's user %s %s", user, explain(p, &n->reach)));
        else if (is_blocked(&n->reach))
            ap_log_error(
                APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(n->use->server),
                "WSGI0284: %s: %s: %s: Apache's user %s %s; requests get an error until then",
                n->use->where, n->use->directive, n->reach.path, user, explain(p, &n->reach));
    }
}

static void check_as_group(apr_pool_t *p, const wsgi_group *g, const char *home,
                           const apr_array_header_t *uses, const apr_array_header_t *groups)
{
    apr_array_header_t *all = apr_array_make(p, 8, sizeof(wsgi_reach *));
    wsgi_credentials who;
    const char *user;

    if (g->chroot)
        return; /* what is around it does not count */
    if (home)
        add_need(p, all, wsgi_python_in(p, "", home), X_OK, NULL);
    for (int i = 0; i < uses->nelts; i++) {
        const wsgi_use *use = &APR_ARRAY_IDX(uses, i, wsgi_use);
        const char *group = use->script ? group_of(use, groups) : NULL;

        if (group && !strcmp(group, g->name))
            add_need(p, all, use->script, R_OK, use);
    }
    add_paths(p, all, g->python_path);
    wsgi_credentials_of(&who, g);
    user = name_of(p, &who);
    wsgi_reach_ask(p, &who, all);
    for (int i = 0; i < all->nelts; i++) {
        const need *n = (const need *)APR_ARRAY_IDX(all, i, wsgi_reach *);

        if (is_blocked(&n->reach) && n->is_path)
            warn_of_path(wsgi_uses_log(g->server), g->where, "python-path=", &n->reach,
                         apr_psprintf(p, "the user %s of daemon group '%s' %s", user, g->name,
                                      explain(p, &n->reach)));
        else if (is_blocked(&n->reach) && n->use)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(n->use->server),
                         "WSGI0283: %s: %s: %s: the user %s of daemon group '%s' %s; requests get "
                         "an error until then",
                         n->use->where, n->use->directive, n->reach.path, user, g->name,
                         explain(p, &n->reach));
        else if (is_blocked(&n->reach))
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(g->server),
                         "WSGI0292: %s: %s: the user %s of daemon group '%s' %s; requests get 503 "
                         "until then",
                         g->where, n->reach.path, user, g->name, explain(p, &n->reach));
    }
}

static void check_existence(const apr_array_header_t *uses)
{
    for (int i = 0; i < uses->nelts; i++) {
        const wsgi_use *use = &APR_ARRAY_IDX(uses, i, wsgi_use);
        int is_alias = !strncmp(use->directive, "WSGIScriptAlias", 15);
        struct stat st;

        /* ENOTDIR: what follows the script in the path is path info. */
        if (use->script && stat(use->script, &st) < 0 && errno == ENOENT)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(use->server),
                         "WSGI0282: %s: %s: %s does not exist%s", use->where, use->directive,
                         use->script, is_alias ? "; requests get 404 until it does" : "");
    }
}

void wsgi_check_files(apr_pool_t *p, server_rec *main_server, const apr_array_header_t *uses,
                      const apr_array_header_t *groups)
{
    check_pythons(p, main_server, groups);
    if (needs_default_python(main_server, uses, groups))
        check_default_python(p, main_server);
    check_paths(p, main_server, groups);
    check_existence(uses);
    wsgi_check_access(p, uses);
    check_as_apache(p, main_server, uses, groups);
    for (int i = 0; i < groups->nelts; i++) {
        const wsgi_group *g = APR_ARRAY_IDX(groups, i, const wsgi_group *);

        check_as_group(p, g, g->python_home ? g->python_home : main_home_of(main_server), uses,
                       groups);
    }
}
