/* group.c - the life of daemon groups as the Apache parent and its children see it.
 *
 * Parent: a listening socket per group that survives graceful restarts, one lifeline pipe per generation, and a supervisor per group
 * and generation. All of it happens in post_config and in the parent's maintenance callbacks, one thread. Children only connect. */
#include "group.h"
#include "scoreboard.h"
#include "settings.h"
#include "target.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <mpm_common.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <unixd.h>

APLOG_USE_MODULE(wsgi);

#define EXIT_HOPELESS_EXEC    126 /* wsgi_parent_spawn(): Python cannot be executed */
#define EXIT_HOPELESS_RUNTIME 78  /* _boot.py: no runtime for this Python */

/* A group's socket, from its first definition to the end of the process. Lives in the process pool. */
typedef struct kept_socket {
    int listen_fd, path_fd;
    unsigned generation; /* of the configuration that used it last */
} kept_socket;

/* What survives a restart. The module stays mapped (-z nodelete), so callbacks in here stay valid. */
typedef struct kept {
    apr_hash_t *sockets; /* name to kept_socket */
    unsigned generation;
} kept;

/* A running supervisor. In the process pool: an old one is still to be reaped after a restart. */
typedef struct supervisor {
    apr_proc_t proc;
    wsgi_group *group;   /* NULL once its generation is over */
    unsigned generation;
    int failures;
    apr_time_t next_start; /* 0: running */
    wsgi_spawn fds;
} supervisor;

static apr_array_header_t *supervisors; /* of supervisor *, this generation's; parent only */
static int lifeline_write = -1;

static kept *kept_of(server_rec *s)
{
    static const char key[] = "httpd-wsgi:kept";
    apr_pool_t *pool = s->process->pool;
    kept *k = NULL;

    apr_pool_userdata_get((void **)&k, key, pool);
    if (!k) {
        k = apr_pcalloc(pool, sizeof(*k));
        k->sockets = apr_hash_make(pool);
        apr_pool_userdata_setn(k, key, NULL, pool);
    }
    return k;
}

/* ---- sockets ---- */

static const char *socket_path(apr_pool_t *p, const wsgi_group *g)
{
    const char *prefix = wsgi_main_config()->socket_prefix;

    prefix = prefix ? ap_server_root_relative(p, prefix) : ap_runtime_dir_relative(p, "wsgi");
    return apr_psprintf(p, "%s.%" APR_PID_T_FMT ".%d.sock", prefix, getpid(), g->number);
}

/* Bound under a name just long enough to get a descriptor that Apache children can connect through; then the name is removed,
 * so nothing is left on disk whatever kills Apache. */
static apr_status_t open_socket(kept_socket *k, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t mask;
    int rc;

    if (strlen(path) >= sizeof(addr.sun_path))
        return ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    k->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (k->listen_fd < 0)
        return errno;
    unlink(path);
    mask = umask(0177);
    rc = bind(k->listen_fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(mask);
    if (rc < 0)
        return errno;
    k->path_fd = open(path, O_PATH | O_CLOEXEC);
    rc = k->path_fd < 0 ? errno : 0;
    unlink(path);
    return rc;
}

/* What the configuration may change while the socket stays. */
static apr_status_t configure_socket(const kept_socket *k, const wsgi_group *g)
{
    uid_t owner = g->socket_user.name ? g->socket_user.id : ap_unixd_config.user_id;

    if (geteuid() == 0 && fchownat(k->path_fd, "", owner, (gid_t)-1, AT_EMPTY_PATH) < 0)
        return errno;
    return listen(k->listen_fd, g->listen_backlog) < 0 ? errno : APR_SUCCESS;
}

static apr_status_t take_socket(wsgi_group *g, kept *all, apr_pool_t *p, server_rec *s)
{
    kept_socket *k = apr_hash_get(all->sockets, g->name, APR_HASH_KEY_STRING);
    const char *path = socket_path(p, g);
    apr_status_t rv = APR_SUCCESS;

    if (!k) {
        k = apr_pcalloc(s->process->pool, sizeof(*k));
        k->listen_fd = k->path_fd = -1;
        rv = open_socket(k, path);
        if (rv == APR_SUCCESS)
            apr_hash_set(all->sockets, apr_pstrdup(s->process->pool, g->name), APR_HASH_KEY_STRING, k);
    }
    if (rv == APR_SUCCESS)
        rv = configure_socket(k, g);
    if (rv != APR_SUCCESS)
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "WSGI0605: group %s (%s): its socket could not be created as %s; choose another place with "
                     "WSGISocketPrefix", g->name, g->where, path);
    k->generation = all->generation;
    g->listen_fd = k->listen_fd;
    g->path_fd = k->path_fd;
    return rv;
}

static void close_unused_sockets(kept *all, apr_pool_t *p)
{
    for (apr_hash_index_t *hi = apr_hash_first(p, all->sockets); hi; hi = apr_hash_next(hi)) {
        const void *name;
        void *value;
        kept_socket *k;

        apr_hash_this(hi, &name, NULL, &value);
        k = value;
        if (k->generation != all->generation) {
            close(k->listen_fd);
            close(k->path_fd);
            apr_hash_set(all->sockets, name, APR_HASH_KEY_STRING, NULL);
        }
    }
}

/* ---- supervisors ---- */

/* The settings as wire/group.h describes them, in a memory file. */
static int settings_file(const wsgi_group *g, apr_pool_t *p)
{
    apr_size_t len;
    const char *settings = wsgi_settings_build(p, g, &len);
    int fd = memfd_create("wsgi-settings", MFD_CLOEXEC);

    if (fd >= 0 && write(fd, settings, len) != (ssize_t)len) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int log_fd_of(const server_rec *s)
{
    apr_os_file_t fd = STDERR_FILENO;

    if (s->error_log)
        apr_os_file_get(&fd, s->error_log);
    return fd;
}

static void on_other_child(int reason, void *data, int status);

static void start(supervisor *sup)
{
    wsgi_group *g = sup->group;
    server_rec *s = g->server;
    apr_pool_t *scratch;
    apr_status_t rv;

    apr_pool_create(&scratch, s->process->pool);
    rv = wsgi_parent_spawn(g, &sup->fds, scratch, &sup->proc.pid);
    apr_pool_destroy(scratch);
    sup->next_start = 0;
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "WSGI0606: group %s (%s): no supervisor could be started", g->name, g->where);
        g->board->state = WIRE_BOARD_FAILED;
        return;
    }
    apr_proc_other_child_register(&sup->proc, on_other_child, sup, NULL, s->process->pool);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "WSGI0607: group %s: supervisor %" APR_PID_T_FMT " started", g->name,
                 sup->proc.pid);
}

/* A supervisor that ends while its group is wanted is replaced: at once the first time, then after 1, 2, 4 … 30 s. */
static void died(supervisor *sup, int status)
{
    wsgi_group *g = sup->group;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, wait;

    if (!g)
        return; /* of an earlier generation: it was meant to end */
    wait = code == EXIT_HOPELESS_EXEC || code == EXIT_HOPELESS_RUNTIME ? 30
           : sup->failures == 0                                       ? 0
           : sup->failures > 5                                        ? 30
                                                                       : 1 << (sup->failures - 1);
    sup->failures++;
    sup->next_start = apr_time_now() + apr_time_from_sec(wait);
    if (wait > 0) {
        g->board->retry_after_s = (uint32_t)wait;
        g->board->state = WIRE_BOARD_FAILED;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, g->server,
                 "WSGI0608: group %s (%s): its supervisor %s %d; it is started again in %d s", g->name, g->where,
                 code >= 0 ? "exited with status" : "was killed by signal", code >= 0 ? code : WTERMSIG(status), wait);
    if (wait == 0)
        start(sup);
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
        break; /* the lifeline tells it */
    }
}

/* Called about once a second in the parent. */
static int monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    for (int i = 0; supervisors && i < supervisors->nelts; i++) {
        supervisor *sup = APR_ARRAY_IDX(supervisors, i, supervisor *);

        if (sup->next_start && apr_time_now() >= sup->next_start)
            start(sup);
    }
    return DECLINED;
}

/* pconf goes: this generation is over. Closing our end of the lifeline leaves it to the children that still hold theirs. */
static apr_status_t end_generation(void *unused)
{
    (void)unused;
    for (int i = 0; supervisors && i < supervisors->nelts; i++) {
        supervisor *sup = APR_ARRAY_IDX(supervisors, i, supervisor *);

        sup->group = NULL;
        close(sup->fds.settings_fd);
        close(sup->fds.board_fd);
        if (i == 0)
            close(sup->fds.lifeline_fd);
    }
    supervisors = NULL;
    if (lifeline_write >= 0)
        close(lifeline_write);
    lifeline_write = -1;
    return APR_SUCCESS;
}

static apr_status_t unmap_board(void *board)
{
    return munmap(board, WIRE_BOARD_SIZE) < 0 ? errno : APR_SUCCESS;
}

static apr_status_t make_board(wsgi_group *g, apr_pool_t *pconf, unsigned generation, int *fd)
{
    void *memory;

    *fd = memfd_create("wsgi-board", MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, WIRE_BOARD_SIZE) < 0)
        return errno;
    memory = mmap(NULL, WIRE_BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (memory == MAP_FAILED)
        return errno;
    g->board = memory;
    g->board->generation = generation;
    apr_pool_cleanup_register(pconf, memory, unmap_board, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

static int start_groups(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s, apr_array_header_t *groups)
{
    kept *all = kept_of(s);
    int lifeline[2];

    all->generation++;
    if (groups->nelts > 0 && pipe2(lifeline, O_CLOEXEC) < 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s, "WSGI0609: no lifeline pipe for the daemon groups");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    supervisors = apr_array_make(pconf, 4, sizeof(supervisor *));
    apr_pool_cleanup_register(pconf, NULL, end_generation, apr_pool_cleanup_null);
    if (groups->nelts > 0)
        lifeline_write = lifeline[1];
    for (int i = 0; i < groups->nelts; i++) {
        wsgi_group *g = APR_ARRAY_IDX(groups, i, wsgi_group *);
        supervisor *sup = apr_pcalloc(s->process->pool, sizeof(*sup));
        int board;

        if (take_socket(g, all, ptemp, s) != APR_SUCCESS || make_board(g, pconf, all->generation, &board) != APR_SUCCESS)
            return HTTP_INTERNAL_SERVER_ERROR;
        sup->group = g;
        sup->generation = all->generation;
        sup->fds = (wsgi_spawn){g->listen_fd, lifeline[0], settings_file(g, ptemp), board, g->server_metrics ? wsgi_scoreboard_share(pconf, s) : -1,
                                log_fd_of(g->server)};
        APR_ARRAY_PUSH(supervisors, supervisor *) = sup;
        start(sup);
    }
    close_unused_sockets(all, ptemp);
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_array_header_t *groups = wsgi_groups_defined(pconf);

    (void)plog;
    wsgi_config_remember_main(s);
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    wsgi_server_of(s)->groups = groups;
    wsgi_applications_collect(pconf, s);
    return start_groups(pconf, ptemp, s, groups);
}

/* A child needs neither the listening sockets nor the parent's bookkeeping; it keeps its copy of the lifeline. */
static void child_init(apr_pool_t *p, server_rec *s)
{
    apr_array_header_t *groups = wsgi_server_of(s)->groups;

    (void)p;
    for (int i = 0; i < groups->nelts; i++) {
        wsgi_group *g = APR_ARRAY_IDX(groups, i, wsgi_group *);

        close(g->listen_fd);
        g->listen_fd = -1;
    }
    supervisors = NULL;
}

void wsgi_group_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
}

/* ---- children ---- */

int wsgi_group_board_state(const wsgi_group *g, int *retry_after_s)
{
    *retry_after_s = (int)g->board->retry_after_s;
    return (int)g->board->state;
}

apr_interval_time_t wsgi_group_socket_timeout(const wsgi_group *g, const server_rec *s)
{
    return g->socket_timeout > 0 ? g->socket_timeout : s->timeout;
}

apr_interval_time_t wsgi_group_client_timeout(const wsgi_group *g, const server_rec *s)
{
    return g->response_socket_timeout > 0 ? g->response_socket_timeout : wsgi_group_socket_timeout(g, s);
}

apr_status_t wsgi_child_connect(wsgi_group *g, int *out_fd)
{
    apr_time_t deadline = apr_time_now() + g->connect_timeout;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    apr_interval_time_t pause = 1000;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), retry_after, receive_buffer = (int)g->receive_buffer_size;
    /* A full backlog makes a blocking connect() wait without limit. */
    struct timeval limit = {.tv_sec = 1};

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (receive_buffer > 0) /* of AF_UNIX sockets only the sender's buffer counts */
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &receive_buffer, sizeof(receive_buffer));
    apr_snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", g->path_fd);
    while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        apr_status_t rv = errno;

        if (rv == EINTR)
            continue;
        if ((rv != EAGAIN && rv != ECONNREFUSED) || apr_time_now() >= deadline ||
            wsgi_group_board_state(g, &retry_after) == WIRE_BOARD_FAILED) {
            close(fd);
            return rv;
        }
        apr_sleep(pause);
        pause = pause < 100000 ? pause * 2 : pause;
    }
    limit.tv_sec = 0;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    *out_fd = fd;
    return APR_SUCCESS;
}
