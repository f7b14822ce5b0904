/* spawn.c - starts a group's supervisor: fork, drop privileges, exec.
 *
 * Between fork and exec only system calls are made, since Apache may have other threads. What needs
 * memory or the name services is prepared before. */
#include "groups/spawn.h"

#include "config/package.h"
#include "wire/assert.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <http_log.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <unixd.h>

APLOG_USE_MODULE(wsgi);

typedef struct plan {
    const char *python;
    char **argv, **env;
    const char *chroot; /* or NULL */
    const char *home;   /* working directory */
    int home_is_given;  /* else it is where the user is at home */
    int priority;       /* 0: as it is */
    int umask;          /* or -1 */
    int drop;           /* started as root: take on the identity below */
    wsgi_credentials who;
    const char *group, *where;
} plan;

void wsgi_credentials_of(wsgi_credentials *out, const wsgi_group *g)
{
    int room = (int)(sizeof(out->gids) / sizeof(out->gids[0])) - 1;

    WIRE_ASSERT(wsgi_is_parent()); /* getpwuid() has one static result */
    out->uid = g && g->user.name ? g->user.id : ap_unixd_config.user_id;
    out->gids[0] = g && g->group.name ? g->group.id : ap_unixd_config.group_id;
    out->ngids = 1;
    out->pw = getpwuid(out->uid);
    if (g && g->supplementary_groups) {
        for (int i = 0; i < g->supplementary_groups->nelts && out->ngids <= room; i++)
            out->gids[out->ngids++] = APR_ARRAY_IDX(g->supplementary_groups, i, wsgi_identity).id;
    } else if (out->pw) {
        int count = room;

        if (getgrouplist(out->pw->pw_name, out->pw->pw_gid, out->gids + 1, &count) < 0)
            count = room;
        out->ngids += count;
    }
}

static void set_env(apr_array_header_t *env, apr_pool_t *p, const char *name, const char *value)
{
    size_t len = strlen(name);

    if (!value)
        return;
    for (int i = 0; i < env->nelts; i++) {
        char **at = &APR_ARRAY_IDX(env, i, char *);

        if (!strncmp(*at, name, len) && (*at)[len] == '=') {
            *at = apr_pstrcat(p, name, "=", value, NULL);
            return;
        }
    }
    APR_ARRAY_PUSH(env, char *) = apr_pstrcat(p, name, "=", value, NULL);
}

static char **plan_env(const wsgi_group *g, apr_pool_t *p, const struct passwd *pw)
{
    apr_array_header_t *env = apr_array_make(p, 64, sizeof(char *));

    for (char **at = environ; *at; at++)
        APR_ARRAY_PUSH(env, char *) = *at;
    if (pw) {
        set_env(env, p, "HOME", pw->pw_dir);
        set_env(env, p, "USER", pw->pw_name);
        set_env(env, p, "LOGNAME", pw->pw_name);
    }
    set_env(env, p, "LANG", g->lang);
    set_env(env, p, "LC_ALL", g->locale);
    set_env(env, p, "PYTHON_EGG_CACHE", g->python_eggs);
    for (int i = 0; i < g->env->nelts; i++) {
        const char *assignment = APR_ARRAY_IDX(g->env, i, const char *),
                   *equals = strchr(assignment, '=');

        set_env(env, p, apr_pstrmemdup(p, assignment, (apr_size_t)(equals - assignment)),
                equals + 1);
    }
    APR_ARRAY_PUSH(env, char *) = NULL;
    return (char **)env->elts;
}

static char **plan_command(const wsgi_group *g, apr_pool_t *p, const char *python, unsigned number)
{
    /* Inside a chroot the package is where its Python has installed it. */
    static const char code[] =
        "import sys; del sys.path[0]; from httpd_wsgi import _boot; sys.exit(_boot.main())";
    char **argv = apr_pcalloc(p, 6 * sizeof(char *));
    int n = 0;

    argv[n++] = (char *)python;
    if (g->chroot) {
        argv[n++] = (char *)"-c";
        argv[n++] = (char *)code;
    } else {
        argv[n++] = apr_pstrcat(p, wsgi_package_dir(), "/_boot.py", NULL);
    }
    argv[n++] = (char *)"supervisor";
    argv[n] = apr_itoa(p, (int)number);
    return argv;
}

/* ---- in the new process ---- */

/* One record in the error log's format. */
__attribute__((format(printf, 4, 5))) static void say(const plan *pl, const char *level,
                                                      const char *code, const char *format, ...)
{
    char stamp[40], text[2048];
    time_t now = time(NULL);
    struct tm tm;
    va_list args;
    int len;

    localtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%a %b %d %H:%M:%S.000000 %Y", &tm);
    len = snprintf(text, sizeof(text), "[%s] [wsgi:%s] [pid %d] %s: group %s (%s): ", stamp, level,
                   (int)getpid(), code, pl->group, pl->where);
    if (len > (int)sizeof(text) / 2)
        len = sizeof(text) / 2; /* of a name that is longer the beginning must do */
    va_start(args, format);
    len += vsnprintf(text + len, sizeof(text) - (size_t)len - 2, format, args);
    va_end(args);
    if (len > (int)sizeof(text) - 2)
        len = sizeof(text) - 2;
    text[len++] = '\n';
    if (write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(127);
}

/* The first directory of path that this user may not enter, in place; NULL: there is none, but one
 * may not exist. */
static const char *blocking_directory(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (access(path, X_OK) != 0 && errno == EACCES)
            return path;
        *slash = '/';
    }
    return NULL;
}

/* Returns what of path, in place, is there and is not a directory although something is looked for
 * in it, or NULL. */
static const char *not_a_directory(char *path)
{
    struct stat st;

    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
            return path;
        *slash = '/';
    }
    return NULL;
}

static void explain_exec_failure(const plan *pl, int error)
{
    static const char code[] = "WSGI0604";
    const char *blocked;
    char path[4096], resolved[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s", pl->python);
    if (not_a_directory(path)) {
        say(pl, "error", code,
            "%s is not a directory; python-home= must name the directory that has bin/python; "
            "requests get 503",
            path);
        return;
    }
    blocked = blocking_directory(path);
    if (!blocked && realpath(pl->python, resolved) == NULL && errno == EACCES) {
        ssize_t n = readlink(pl->python, path, sizeof(path) - 1); /* a virtual environment's python
                                                                     is a link */

        if (n > 0) {
            path[n] = '\0';
            blocked = path[0] == '/' ? blocking_directory(path) : NULL;
        }
    }
    if (blocked) {
        int mode = stat(blocked, &st) == 0 ? (int)(st.st_mode & 07777) : -1;

        say(pl, "error", code,
            "uid %d cannot run %s: it may not enter the directory %s (mode %04o); run \"chmod o+x "
            "%s\" or use a Python "
            "that is installed elsewhere (python-home=); requests get 503",
            (int)geteuid(), pl->python, blocked, mode < 0 ? 0 : (unsigned)mode, blocked);
    } else if (error == ENOENT) {
        say(pl, "error", code,
            "%s does not exist; create the environment (python3 -m venv) or change python-home=; "
            "requests "
            "get 503",
            pl->python);
    } else {
        say(pl, "error", code, "uid %d cannot run %s: %s; requests get 503", (int)geteuid(),
            pl->python, strerror(error));
    }
}

static void enter_home(const plan *pl)
{
    if (chdir(pl->home) == 0)
        return;
    if (pl->home_is_given) {
        say(pl, "error", "WSGI0611", "home=%s cannot be entered: %s; requests get 503", pl->home,
            strerror(errno));
        _exit(126);
    }
    say(pl, "warn", "WSGI0612",
        "the home directory %s of uid %d cannot be entered: %s; the workers run in /, choose "
        "another "
        "directory with home=",
        pl->home, (int)pl->who.uid, strerror(errno));
    if (chdir("/") < 0)
        _exit(126);
}

static void become(const plan *pl)
{
    if (pl->priority && setpriority(PRIO_PROCESS, 0, pl->priority) < 0)
        say(pl, "warn", "WSGI0613", "cpu-priority=%d cannot be set: %s%s; it stays as it is",
            pl->priority, strerror(errno),
            pl->priority < 0 ? " (below Apache's own it needs root)" : "");
    if (pl->chroot && (chroot(pl->chroot) < 0 || chdir("/") < 0)) {
        say(pl, "error", "WSGI0614", "chroot=%s cannot be entered: %s%s; requests get 503",
            pl->chroot, strerror(errno), pl->drop ? "" : " (Apache must be started by root)");
        _exit(126);
    }
    if (pl->drop && (setgroups((size_t)pl->who.ngids, pl->who.gids) < 0 ||
                     setgid(pl->who.gids[0]) < 0 || setuid(pl->who.uid) < 0)) {
        say(pl, "error", "WSGI0610", "uid %d and gid %d cannot be taken on: %s", (int)pl->who.uid,
            (int)pl->who.gids[0], strerror(errno));
        _exit(126);
    }
    if (pl->umask >= 0)
        umask((mode_t)pl->umask);
    enter_home(pl);
}

/* Moves the descriptors to their fixed places without overwriting one that is still to be moved. */
static void place(const int from[WIRE_FD_END])
{
    int moved[WIRE_FD_END];

    for (int fd = WIRE_FD_LISTEN; fd < WIRE_FD_END; fd++)
        moved[fd] = fcntl(from[fd], F_DUPFD, 64);
    for (int fd = WIRE_FD_LISTEN; fd < WIRE_FD_END; fd++)
        if (dup2(moved[fd], fd) < 0)
            close(fd); /* there is none */
}

/* The parent has no clock of its own that would be fine enough: httpd asks it for maintenance every
 * ten seconds only. Apache's end is the end of the wait. */
static void wait_to_start(int seconds)
{
    struct pollfd lifeline = {.fd = WIRE_FD_GENERATION_LIFELINE, .events = POLLIN};

    if (seconds > 0 && poll(&lifeline, 1, seconds * 1000) > 0)
        _exit(0);
}

/* No descriptor of Apache may stay open, also one that a module forgot to mark close-on-exec. */
static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0) == 0)
        return;
#endif
    for (int fd = first; fd < 4096; fd++)
        close(fd);
}

static void child(const plan *pl, const wsgi_spawn *spawn)
{
    int log = spawn->log_fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;

    setsid();
    if (log != STDERR_FILENO)
        dup2(log, STDERR_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    dup2(null, STDIN_FILENO);
    place(spawn->fds);
    close_from(WIRE_FD_END);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    wait_to_start(spawn->delay_s); /* as root: until exec this memory is a copy of the parent's,
                                    with the keys for TLS */
    become(pl);
    execve(pl->python, pl->argv, pl->env);
    explain_exec_failure(pl, errno);
    _exit(126);
}

apr_status_t wsgi_parent_spawn(const wsgi_group *g, const wsgi_spawn *spawn, apr_pool_t *p,
                               pid_t *pid)
{
    plan *pl = apr_pcalloc(p, sizeof(*pl));
    const struct passwd *pw;

    WIRE_ASSERT(wsgi_is_parent());
    wsgi_credentials_of(&pl->who, g);
    pw = pl->who.pw;
    pl->drop = geteuid() == 0;
    if (pl->drop && pl->who.uid == 0)
        return EPERM;
    pl->python = wsgi_python_of_home(p, g->chroot ? g->chroot : "", g->python_home);
    pl->argv = plan_command(g, p, pl->python, spawn->number);
    pl->env = plan_env(g, p, pw);
    pl->chroot = g->chroot;
    pl->priority = g->cpu_priority;
    pl->home_is_given = g->home != NULL;
    /* As mod_wsgi has it: a user of the group's own starts at home. */
    pl->home = g->home                                                    ? g->home
               : pl->drop && pw && pl->who.uid != ap_unixd_config.user_id ? pw->pw_dir
                                                                          : "/";
    pl->umask = g->umask ? (int)strtol(g->umask, NULL, 8) : -1;
    pl->group = g->name;
    pl->where = g->where;
    *pid = fork();
    if (*pid == 0)
        child(pl, spawn);
    return *pid < 0 ? errno : APR_SUCCESS;
}
