/* generation.c - what of daemon groups survives restarts: a listening socket and a board for each
 * name.
 *
 * Made in post_config in the parent, one thread. Children only connect. */
#include "groups/generation.h"

#include "config/group.h"
#include "groups/applications.h"
#include "groups/board.h"
#include "groups/supervisors.h"
#include "wire/credits.h"
#include "wire/process.h"

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

/* Of a group, from its first definition to the first configuration without it. In a pool of its own
 * below the process pool. */
typedef struct retained_group {
    apr_pool_t *pool;
    int listen_fd, path_fd, board_fd;
    volatile wire_board *board;
    apr_array_header_t *activities; /* of wsgi_activity, the latest last */
    ino_t listen_inode;
    unsigned last_supervisor;
    unsigned generation; /* of the configuration that used it last */
} retained_group;

typedef struct retained_groups {
    apr_hash_t *by_name; /* to retained_group */
    unsigned generation;
} retained_groups;

static retained_groups *retained_groups_of(server_rec *s)
{
    static const char key[] = "httpd-wsgi:retained";
    apr_pool_t *pool = s->process->pool;
    retained_groups *all = NULL;

    apr_pool_userdata_get((void **)&all, key, pool);
    if (!all) {
        all = apr_pcalloc(pool, sizeof(*all));
        all->by_name = apr_hash_make(pool);
        apr_pool_userdata_setn(all, key, NULL, pool);
    }
    return all;
}

/* ---- sockets ---- */

static const char *socket_path(apr_pool_t *p, const wsgi_group *g)
{
    const char *prefix = wsgi_main_config()->socket_prefix;

    prefix = prefix ? ap_server_root_relative(p, prefix) : ap_runtime_dir_relative(p, "wsgi");
    return apr_psprintf(p, "%s.%" APR_PID_T_FMT ".%d.sock", prefix, getpid(), g->number);
}

/* Bound under a name just long enough to get a descriptor that Apache children can connect through;
 * then the name is removed, so nothing is left on disk whatever kills Apache. */
static apr_status_t open_socket(retained_group *rg, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st = {0}, found = {0};
    mode_t mask;
    int rc;

    if (strlen(path) >= sizeof(addr.sun_path))
        return ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    rg->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (rg->listen_fd < 0)
        return errno;
    unlink(path);
    mask = umask(0177);
    rc = bind(rg->listen_fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(mask);
    if (rc < 0)
        return errno;
    rg->path_fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    rc = rg->path_fd < 0 || fstat(rg->path_fd, &st) < 0 || fstat(rg->listen_fd, &found) < 0 ? errno
                                                                                            : 0;
    rg->listen_inode = found.st_ino;
    unlink(path);
    /* Apache's children connect through it, and its owner is changed next. In a directory that
     * others may write to, something else could have taken its place. */
    if (rc == 0 && (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()))
        return EEXIST;
    return rc;
}

/* What the configuration may change while the socket stays. */
static apr_status_t configure_socket(const retained_group *rg, const wsgi_group *g)
{
    uid_t owner = g->socket_user.name ? g->socket_user.id : ap_unixd_config.user_id;

    if (geteuid() == 0 && fchownat(rg->path_fd, "", owner, (gid_t)-1, AT_EMPTY_PATH) < 0)
        return errno;
    /* Linux refuses a connection when more wait than listen() was told, so one more than that can.
     */
    return listen(rg->listen_fd, g->queue_size > 0 ? g->queue_size - 1 : g->listen_backlog) < 0
               ? errno
               : APR_SUCCESS;
}

/* Memory that the group's processes may write to, too. Its size is sealed: were an application to
 * cut it off, the next reader would be killed by SIGBUS, and that may be the Apache parent.
 * *fd is set, or -1. */
static apr_status_t share_memory(void **memory, int *fd, const char *name, apr_size_t size,
                                 int protection)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)size) < 0 ||
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return errno;
    *memory = mmap(NULL, size, protection, MAP_SHARED, *fd, 0);
    return *memory == MAP_FAILED ? errno : APR_SUCCESS;
}

static apr_status_t open_board(retained_group *rg)
{
    void *memory;
    apr_status_t rv = share_memory(&memory, &rg->board_fd, "wsgi-board", WIRE_SHARED_SIZE,
                                   PROT_READ | PROT_WRITE);

    if (rv == APR_SUCCESS)
        rg->board = memory;
    return rv;
}

/* ---- what workers are doing ---- */

static apr_size_t activity_size(const wsgi_activity *a)
{
    return a->slots * WIRE_ACTIVITY_SLOT(a->threads);
}

static int has_workers(const wsgi_activity *a)
{
    for (apr_size_t i = 0; i < a->slots; i++) {
        pid_t pid = (pid_t)wsgi_activity_slot(a, i)->pid;

        if (pid > 0 && !wire_is_gone(pid))
            return 1;
    }
    return 0;
}

/* Unmaps the memory of earlier generations whose workers have all ended. */
static void forget_activities(retained_group *rg)
{
    int left = 0;

    for (int i = 0; i < rg->activities->nelts; i++) {
        wsgi_activity *a = &APR_ARRAY_IDX(rg->activities, i, wsgi_activity);

        if (has_workers(a))
            APR_ARRAY_IDX(rg->activities, left++, wsgi_activity) = *a;
        else
            munmap((void *)a->memory, activity_size(a));
    }
    rg->activities->nelts = left;
}

static apr_status_t close_activity(void *group)
{
    close(((wsgi_group *)group)->activity_fd);
    return APR_SUCCESS;
}

/* For all supervisors of this generation, so that another one finds the workers of one that died.
 * It stays mapped as long as such workers are there, because those of an earlier generation are the
 * ones that serve when new code does not load. */
static apr_status_t make_activity(wsgi_group *g, retained_group *rg, apr_pool_t *pconf)
{
    wsgi_activity a = {.slots = WIRE_ACTIVITY_SLOTS(g->processes), .threads = (uint32_t)g->threads};
    void *memory;
    apr_status_t rv =
        share_memory(&memory, &g->activity_fd, "wsgi-activity", activity_size(&a), PROT_READ);

    if (rv != APR_SUCCESS) {
        close(g->activity_fd);
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, g->server,
                     "WSGI0615: group %s (%s): no memory of %" APR_SIZE_T_FMT
                     " bytes can be shared with its workers; use fewer processes= "
                     "or threads=",
                     g->name, g->where, activity_size(&a));
        return rv;
    }
    apr_pool_cleanup_register(pconf, g, close_activity, apr_pool_cleanup_null);
    a.memory = memory;
    forget_activities(rg);
    APR_ARRAY_PUSH(rg->activities, wsgi_activity) = a;
    g->activities = rg->activities;
    return APR_SUCCESS;
}

/* ---- what is retained ---- */

static apr_status_t close_retained(void *group)
{
    retained_group *rg = group;

    close(rg->listen_fd);
    close(rg->path_fd);
    close(rg->board_fd);
    for (int i = 0; i < rg->activities->nelts; i++) {
        wsgi_activity *a = &APR_ARRAY_IDX(rg->activities, i, wsgi_activity);

        munmap((void *)a->memory, activity_size(a));
    }
    if (rg->board)
        munmap((void *)rg->board, WIRE_SHARED_SIZE);
    return APR_SUCCESS;
}

static apr_status_t make_retained(retained_group **made, apr_pool_t *process, const char *path)
{
    apr_pool_t *pool;
    retained_group *rg;
    apr_status_t rv;

    apr_pool_create(&pool, process);
    *made = rg = apr_pcalloc(pool, sizeof(*rg));
    rg->pool = pool;
    rg->listen_fd = rg->path_fd = rg->board_fd = -1;
    rg->activities = apr_array_make(pool, 2, sizeof(wsgi_activity));
    apr_pool_cleanup_register(pool, rg, close_retained, apr_pool_cleanup_null);
    rv = open_socket(rg, path);
    if (rv == APR_SUCCESS)
        rv = open_board(rg);
    if (rv != APR_SUCCESS)
        apr_pool_destroy(pool);
    return rv;
}

static apr_status_t take_retained(wsgi_group *g, retained_groups *all, apr_pool_t *pconf,
                                  apr_pool_t *p, server_rec *s)
{
    retained_group *rg = apr_hash_get(all->by_name, g->name, APR_HASH_KEY_STRING);
    const char *path = socket_path(p, g);
    apr_status_t rv = APR_SUCCESS;

    if (!rg) {
        rv = make_retained(&rg, s->process->pool, path);
        if (rv == APR_SUCCESS)
            apr_hash_set(all->by_name, apr_pstrdup(rg->pool, g->name), APR_HASH_KEY_STRING, rg);
    }
    if (rv == APR_SUCCESS)
        rv = configure_socket(rg, g);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "WSGI0605: group %s (%s): its socket could not be created as %s; choose "
                     "another place with "
                     "WSGISocketPrefix",
                     g->name, g->where, path);
        return rv;
    }
    rg->generation = all->generation;
    g->listen_fd = rg->listen_fd;
    g->path_fd = rg->path_fd;
    g->board_fd = rg->board_fd;
    g->board = rg->board;
    g->last_supervisor = &rg->last_supervisor;
    g->listen_inode = rg->listen_inode;
    return make_activity(g, rg, pconf);
}

/* Old Apache children and supervisors have copies of their own. */
static void close_unused(retained_groups *all, apr_pool_t *p)
{
    for (apr_hash_index_t *hi = apr_hash_first(p, all->by_name); hi; hi = apr_hash_next(hi)) {
        const void *name;
        void *value;
        retained_group *rg;

        apr_hash_this(hi, &name, NULL, &value);
        rg = value;
        if (rg->generation == all->generation)
            continue;
        apr_hash_set(all->by_name, name, APR_HASH_KEY_STRING, NULL);
        apr_pool_destroy(rg->pool);
    }
}

static int start_groups(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s,
                        apr_array_header_t *groups)
{
    retained_groups *all = retained_groups_of(s);
    apr_status_t rv = wsgi_supervisors_begin(pconf);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "WSGI0609: no lifeline pipes for the daemon groups");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    all->generation++;
    for (int i = 0; i < groups->nelts; i++) {
        wsgi_group *g = APR_ARRAY_IDX(groups, i, wsgi_group *);

        if (take_retained(g, all, pconf, ptemp, s) != APR_SUCCESS)
            return HTTP_INTERNAL_SERVER_ERROR;
        wsgi_supervisors_start(g, ptemp);
    }
    wsgi_supervisors_release_others();
    close_unused(all, ptemp);
    return OK;
}

/* Called about every ten seconds in the parent. */
static int monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    wsgi_supervisors_monitor();
    return DECLINED;
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

/* A child does not need the parent's bookkeeping; it keeps its copy of the lifeline, and the
 * listening sockets to announce what waits there (daemon/connections.h). */
static void child_init(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    wsgi_supervisors_child_init();
}

void wsgi_generation_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
}
