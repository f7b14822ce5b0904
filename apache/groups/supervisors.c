#include "groups/supervisors.h"

#include "groups/scoreboard.h"
#include "groups/settings.h"
#include "groups/spawn.h"
#include "wire/assert.h"
#include "wire/clock.h"
#include "wire/message.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <mpm_common.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unixd.h>

APLOG_USE_MODULE(wsgi);

#define EXIT_HOPELESS_EXEC    126 /* wsgi_parent_spawn(): Python cannot be executed */
#define EXIT_HOPELESS_RUNTIME 78  /* _boot.py: no runtime for this Python */
#define KILLS_FORGIVEN        1   /* beside its first end, whatever that was */
/* A supervisor that lived this long starts its back-off anew. */
#define STEADY apr_time_from_sec(60)
/* Beyond shutdown-timeout, for the supervisor itself. */
#define MOMENT apr_time_from_sec(1)
/* Microseconds a restart waits until old workers accept no more. */
#define DRAIN_PATIENCE (100 * 1000)

/* In a pool of its own below the process pool, until it is reaped and not to be started again. */
typedef struct supervisor {
    apr_pool_t *pool;
    apr_proc_t proc;   /* pid 0: not running */
    const char *name;  /* of the group */
    wsgi_group *group; /* NULL once its generation is over */
    int control_fd;    /* our end; -1: none */
    int settings_fd;   /* for starting it again; -1 once its generation is over */
    int scores_fd;     /* the process's; -1: none */
    int failures;
    apr_time_t started, next_start; /* next_start 0: nothing to start */
    apr_interval_time_t patience;   /* shutdown-timeout */
    struct supervisor *next;
} supervisor;

static supervisor *all;
static int generation_lifeline[2] = {-1, -1}; /* of this generation */
static int server_lifeline[2] = {-1, -1};

static int log_fd_of(const server_rec *s)
{
    apr_os_file_t fd = STDERR_FILENO;

    if (s->error_log)
        apr_os_file_get(&fd, s->error_log);
    return fd;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The settings as wire/group.h describes them, in a memory file. */
static int settings_file(const wsgi_group *g, apr_pool_t *p)
{
    apr_size_t len;
    const char *settings = wsgi_settings_build(p, g, &len);
    int fd = memfd_create("wsgi-settings", MFD_CLOEXEC);

    if (fd >= 0 && write(fd, settings, len) != (ssize_t)len)
        close_fd(&fd);
    return fd;
}

static void tell(const supervisor *sup, const char *line)
{
    /* It reads, or it is dying: there is nothing to wait for. */
    if (sup->control_fd >= 0)
        send(sup->control_fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* It may serve for long yet, and its log may have been rotated away: it gets the one of the newer
 * generation. */
static void tell_superseded(const supervisor *sup, int log_fd)
{
    static char line[] = "superseded\n";
    wire_fd_space space = {{0}};
    struct iovec iov = {line, sizeof(line) - 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    wire_pass_fd(&msg, &space, log_fd);
    if (sup->control_fd >= 0)
        sendmsg(sup->control_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void forget(supervisor *sup)
{
    for (supervisor **at = &all; *at; at = &(*at)->next)
        if (*at == sup) {
            *at = sup->next;
            break;
        }
    close_fd(&sup->control_fd);
    close_fd(&sup->settings_fd);
    apr_pool_destroy(sup->pool);
}

/* Others of the group that serve meanwhile: a supervisor of an earlier generation, workers of one
 * that died. See wire_board. */
static int is_served(const wsgi_group *g)
{
    struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(g->board_fd, F_GETLK, &asked) == 0 && asked.l_type != F_UNLCK;
}

static void say_failed(const supervisor *sup, int wait)
{
    if (is_served(sup->group))
        return;
    sup->group->board->retry_after_s = (uint32_t)wait;
    sup->group->board->state = WIRE_BOARD_FAILED;
}

static void on_other_child(int reason, void *data, int status);

/* Its process is there at once, and executes Python after delay_s. */
static void start(supervisor *sup, int delay_s)
{
    wsgi_group *g = sup->group;
    int control[2];
    apr_pool_t *scratch;
    apr_status_t rv = APR_SUCCESS;

    sup->next_start = 0;
    close_fd(&sup->control_fd);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0)
        rv = errno;
    if (rv == APR_SUCCESS) {
        wsgi_spawn spawn = {
            .fds =
                {
                    [WIRE_FD_LISTEN] = g->listen_fd,
                    [WIRE_FD_GENERATION_LIFELINE] = generation_lifeline[0],
                    [WIRE_FD_SETTINGS] = sup->settings_fd,
                    [WIRE_FD_BOARD] = g->board_fd,
                    [WIRE_FD_SCORES] = sup->scores_fd,
                    [WIRE_FD_CONTROL] = control[1],
                    [WIRE_FD_SERVER_LIFELINE] = server_lifeline[0],
                    [WIRE_FD_ACTIVITY] = g->activity_fd,
                },
            .log_fd = log_fd_of(g->server),
            .number = ++*g->last_supervisor,
            .delay_s = delay_s,
        };

        apr_pool_create(&scratch, sup->pool);
        rv = wsgi_parent_spawn(g, &spawn, scratch, &sup->proc.pid);
        apr_pool_destroy(scratch);
        close(control[1]);
        sup->control_fd = control[0];
    }
    if (rv != APR_SUCCESS) {
        sup->proc.pid = 0;
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, g->server,
                     "WSGI0606: group %s (%s): no supervisor could be started", g->name, g->where);
        say_failed(sup, 30);
        sup->next_start = wire_monotonic_us() + apr_time_from_sec(30);
        return;
    }
    sup->started = wire_monotonic_us() + apr_time_from_sec(delay_s);
    apr_proc_other_child_register(&sup->proc, on_other_child, sup, NULL, sup->pool);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, g->server,
                 "WSGI0607: group %s: supervisor %" APR_PID_T_FMT " started", g->name,
                 sup->proc.pid);
}

/* Returns the exit status, or -1 when a signal ended the process. httpd passes either an exit
 * status or a signal number and does not say which. 0, 1, 2 and anything above SIGRTMAX can only be
 * an exit status of ours, since SIGHUP and SIGINT do not end a supervisor; every other number is a
 * signal. */
static int exit_status(int status)
{
    if (status > 255) /* a check for lost children, on restarts, passes on what waitpid() said */
        return WEXITSTATUS(status);
    return status <= 2 || status > SIGRTMAX ? status : -1;
}

/* Returns 1 when somebody else ended the supervisor, so that it may well live when it is started
 * again; 0 when its own code is at fault. */
static int was_killed(int code, int signal)
{
    switch (code < 0 ? signal : 0) {
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
        return 0;
    default:
        return code <= 0; /* by SIGTERM it ends in good order */
    }
}

/* Returns the seconds until it is started again: 0 the first time, then 1, 2, 4 … 30. One kill is
 * forgiven, so that an administrator who kills the supervisor twice does not make requests fail.
 * The OOM killer strikes again and again, so further kills do back off. */
static int pause_after(const supervisor *sup, int code, int signal)
{
    int failures = sup->failures - (was_killed(code, signal) ? KILLS_FORGIVEN : 0);

    if (code == EXIT_HOPELESS_EXEC || code == EXIT_HOPELESS_RUNTIME || failures > 5)
        return 30;
    return failures > 0 ? 1 << (failures - 1) : 0;
}

/* A supervisor that ends while its group is wanted is replaced. Its workers go on serving until the
 * next one's are ready. */
static void died(supervisor *sup, int status)
{
    wsgi_group *g = sup->group;
    int code = exit_status(status), wait;
    char when[24];

    WIRE_ASSERT(wsgi_is_parent());
    sup->proc.pid = 0;
    if (!g) {
        forget(sup); /* of an earlier generation: it was meant to end */
        return;
    }
    if (wire_monotonic_us() - sup->started > STEADY)
        sup->failures = 0;
    wait = pause_after(sup, code, status);
    sup->failures++;
    if (wait > 0)
        say_failed(sup, wait);
    apr_snprintf(when, sizeof(when), "in %d s", wait);
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, g->server,
                 "WSGI0608: group %s (%s): its supervisor %s %d; it is started again %s", g->name,
                 g->where, code >= 0 ? "exited with status" : "was killed by signal",
                 code >= 0 ? code : status, wait > 0 ? when : "now");
    start(sup, wait);
}

static void on_other_child(int reason, void *data, int status)
{
    supervisor *sup = data;

    switch (reason) {
    case APR_OC_REASON_DEATH:
    case APR_OC_REASON_LOST:
        apr_proc_other_child_unregister(sup);
        died(sup, status);
        break;
    case APR_OC_REASON_UNREGISTER:
    case APR_OC_REASON_RESTART:
    default:
        break; /* it is told in its own way */
    }
}

void wsgi_supervisors_monitor(void)
{
    WIRE_ASSERT(wsgi_is_parent());
    for (supervisor *sup = all; sup; sup = sup->next)
        if (sup->group && sup->next_start && wire_monotonic_us() >= sup->next_start)
            start(sup, 0);
}

/* ---- generations ---- */

/* Waits for all supervisors when Apache ends. A service manager or `apachectl stop`, which waits
 * for the parent's end, expects none of our processes after it. A supervisor ends workers that do
 * not stop, and the end of the server lifeline ends supervisors. */
static void wait_for_all(void)
{
    apr_time_t end = wire_monotonic_us();

    for (const supervisor *sup = all; sup; sup = sup->next)
        if (sup->proc.pid && wire_monotonic_us() + sup->patience + MOMENT > end)
            end = wire_monotonic_us() + sup->patience + MOMENT;
    while (all && wire_monotonic_us() < end) {
        supervisor *next;

        for (supervisor *sup = all; sup; sup = next) {
            next = sup->next;
            if (!sup->proc.pid || waitpid(sup->proc.pid, NULL, WNOHANG) != 0) {
                apr_proc_other_child_unregister(sup);
                forget(sup);
            }
        }
        if (all)
            apr_sleep(5000);
    }
}

/* After a restart that is not graceful, requests should not be answered by code that was loaded
 * before it. */
static void wait_for_drain(void)
{
    apr_time_t end = wire_monotonic_us() + DRAIN_PATIENCE;

    for (const supervisor *sup = all; sup; sup = sup->next)
        while (sup->group && sup->group->threads > 0 && is_served(sup->group) &&
               wire_monotonic_us() < end)
            apr_sleep(1000);
}

/* pconf goes. After a graceful restart the old supervisors go on until the new ones can serve;
 * otherwise theirs is over now. Closing our end of the lifeline leaves it to the children that
 * still hold theirs. */
static apr_status_t end_generation(void *unused)
{
    int restarts = ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_DESTROY_CONFIG;
    int is_over = !restarts || !ap_unixd_mpm_get_retained_data()->was_graceful;
    supervisor *next;

    (void)unused;
    for (const supervisor *sup = all; sup && is_over; sup = sup->next)
        tell(sup, "stop\n");
    if (restarts && is_over)
        wait_for_drain();
    for (supervisor *sup = all; sup; sup = next) {
        next = sup->next;
        sup->group = NULL;
        close_fd(&sup->settings_fd);
        if (!sup->proc.pid)
            forget(sup);
    }
    close_fd(&generation_lifeline[0]);
    close_fd(&generation_lifeline[1]);
    return APR_SUCCESS;
}

/* The process pool goes. Its subpools are destroyed in the reverse order of their making, so those
 * of supervisors before pconf: this must come before both. */
static apr_status_t end_all(void *unused)
{
    end_generation(unused);
    wait_for_all();
    return APR_SUCCESS;
}

/* Once in the life of Apache. */
static apr_status_t open_server_lifeline(apr_pool_t *process_pool)
{
    if (pipe2(server_lifeline, O_CLOEXEC) < 0)
        return errno;
    apr_pool_pre_cleanup_register(process_pool, NULL, end_all);
    return APR_SUCCESS;
}

apr_status_t wsgi_supervisors_begin(apr_pool_t *pconf)
{
    apr_status_t rv;

    WIRE_ASSERT(wsgi_is_parent());
    rv = server_lifeline[1] < 0 ? open_server_lifeline(ap_server_conf->process->pool) : APR_SUCCESS;

    if (rv != APR_SUCCESS)
        return rv;
    if (pipe2(generation_lifeline, O_CLOEXEC) < 0)
        return errno;
    apr_pool_cleanup_register(pconf, NULL, end_generation, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

static int is_older(const supervisor *sup, const wsgi_group *g)
{
    return !sup->group && !strcmp(sup->name, g->name);
}

void wsgi_supervisors_start(wsgi_group *g, apr_pool_t *ptemp)
{
    apr_pool_t *pool;
    supervisor *sup;

    WIRE_ASSERT(wsgi_is_parent() && g->board && g->activities);
    apr_pool_create(&pool, ap_server_conf->process->pool);
    sup = apr_pcalloc(pool, sizeof(*sup));
    sup->pool = pool;
    sup->name = apr_pstrdup(pool, g->name);
    sup->group = g;
    sup->control_fd = -1;
    sup->scores_fd = g->server_metrics ? wsgi_scoreboard_share(ap_server_conf) : -1;
    g->server_metrics = sup->scores_fd >= 0;
    sup->settings_fd = settings_file(g, ptemp);
    sup->patience = g->shutdown_timeout > 0 ? g->shutdown_timeout : apr_time_from_sec(5);
    for (const supervisor *other = all; other && g->threads == 0; other = other->next)
        if (is_older(other, g))
            tell(other, "stop\n");
    sup->next = all;
    all = sup;
    start(sup, 0);
    for (const supervisor *other = all; other; other = other->next)
        if (is_older(other, g))
            tell_superseded(other, log_fd_of(g->server));
}

void wsgi_supervisors_release_others(void)
{
    WIRE_ASSERT(wsgi_is_parent());
    for (const supervisor *sup = all; sup; sup = sup->next) {
        int wanted = 0;

        for (const supervisor *other = all; other; other = other->next)
            wanted |= other->group && !strcmp(other->name, sup->name);
        if (!wanted)
            tell(sup, "released\n");
    }
}

/* In a process that an application in this child has forked: supervisors must not live on because
 * of the lifelines that it has inherited. */
static void let_go(void)
{
    close_fd(&generation_lifeline[1]);
    close_fd(&server_lifeline[1]);
}

void wsgi_supervisors_child_init(void)
{
    WIRE_ASSERT(wsgi_is_child());
    for (supervisor *sup = all; sup; sup = sup->next) {
        close_fd(&sup->control_fd);
        close_fd(&sup->settings_fd);
    }
    close_fd(&generation_lifeline[0]);
    close_fd(&server_lifeline[0]);
    all = NULL;
    pthread_atfork(NULL, NULL, let_go);
}
