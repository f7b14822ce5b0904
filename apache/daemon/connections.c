#include "daemon/connections.h"

#include "groups/board.h"
#include "wire/clock.h"
#include "wire/credits.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A new connection is worth while to a worker that has this many more free threads than any worker
 * with an idle connection. */
#define IMBALANCE 2
/* Over a new connection the first pause is short, as the request may still be in the queue. */
#define FIRST_PATIENCE (APR_USEC_PER_SEC / 10)

typedef struct worker_connections {
    uint32_t pid;
    int n;
    wsgi_connection *idle; /* room for as many as the worker has threads; the one used last is at
                              the end */
} worker_connections;

typedef struct wsgi_connections {
    apr_pool_t *pool; /* under lock, as the next two */
    apr_thread_mutex_t *lock;
    worker_connections by_worker[WIRE_CREDITS];
    _Atomic int idle; /* of all workers */
} wsgi_connections;

static wire_credits *credits_of(const wsgi_group *g)
{
    return (wire_credits *)((char *)g->board + WIRE_CREDITS_AT);
}

/* The memory is written by processes that run applications. */
static int count_of(const wire_credits *all)
{
    uint32_t used = atomic_load(&all->used);

    return used < WIRE_CREDITS ? (int)used : WIRE_CREDITS;
}

/* ---- idle ---- */

static void close_all(wsgi_connections *connections, worker_connections *w)
{
    atomic_fetch_sub(&connections->idle, w->n);
    while (w->n > 0)
        close(w->idle[--w->n].fd);
}

/* The entry with an idle connection whose worker has the most free threads; -1: there is none, or
 * another one has many more. A worker that has not moved for a while is passed over: over a new
 * connection any worker with a free thread takes the request. */
static int find_best(wsgi_connections *connections, wire_credits *all)
{
    int most = 0, best_count = 0, best = -1;

    for (int i = 0, n = count_of(all); i < n; i++) {
        uint64_t word = atomic_load_explicit(&all->by_worker[i].word, memory_order_relaxed);
        int count = wire_credit_count(word);
        worker_connections *w = &connections->by_worker[i];

        if (count > 0 && wire_credit_is_stuck(&all->by_worker[i]))
            count = 0;
        most = count > most ? count : most;
        if (w->n > 0 && w->pid != wire_credit_pid(word))
            close_all(connections, w); /* that worker has gone */
        if (w->n > 0 && count > best_count) {
            best = i;
            best_count = count;
        }
    }
    return most - best_count < IMBALANCE ? best : -1;
}

int wsgi_connection_take(wsgi_group *g, wsgi_connection *connection)
{
    wsgi_connections *connections = g->connections;
    wire_credits *all = credits_of(g);
    int best;

    if (!connections || atomic_load_explicit(&connections->idle, memory_order_relaxed) <= 0)
        return 0;
    apr_thread_mutex_lock(connections->lock);
    do
        best = find_best(connections, all);
    while (best >= 0 &&
           !wire_credit_claim(&all->by_worker[best], connections->by_worker[best].pid));
    if (best >= 0) {
        worker_connections *w = &connections->by_worker[best];

        wire_credit_begin(&all->by_worker[best]);
        *connection = w->idle[--w->n];
        connection->claimed = wire_monotonic_us();
        atomic_fetch_sub(&connections->idle, 1);
    }
    apr_thread_mutex_unlock(connections->lock);
    return best >= 0;
}

int wsgi_connection_is_wanted(const wsgi_group *g)
{
    return g->connections && atomic_load_explicit(&g->connections->idle, memory_order_relaxed) <
                                 g->processes * g->threads;
}

int wsgi_connection_is_any_free(const wsgi_group *g)
{
    return wire_credits_are_any(credits_of(g), NULL);
}

void wsgi_connection_announce(const wsgi_group *g)
{
    shutdown(g->listen_fd, SHUT_WR); /* nothing is ever sent over it, see src/runtime/queue.c */
}

static int find_entry(const wire_credits *all, uint32_t pid)
{
    for (int i = 0, n = count_of(all); i < n; i++)
        if (wire_credit_pid(atomic_load(&all->by_worker[i].word)) == pid)
            return i;
    return -1;
}

static void set_patience(wsgi_connection *connection, apr_interval_time_t patience)
{
    struct timeval tv = {.tv_sec = apr_time_sec(patience), .tv_usec = apr_time_usec(patience)};

    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    connection->patience = patience;
}

void wsgi_connection_keep_alive(wsgi_group *g, wsgi_connection *connection, uint32_t pid)
{
    wsgi_connections *connections = g->connections;
    worker_connections *w;

    if (connection->entry < 0) {
        connection->entry = find_entry(credits_of(g), pid);
        connection->pid = pid;
        set_patience(connection, APR_USEC_PER_SEC);
    }
    if (connection->entry < 0 || !connections) {
        close(connection->fd);
        return;
    }
    apr_thread_mutex_lock(connections->lock);
    w = &connections->by_worker[connection->entry];
    if (w->pid != connection->pid) {
        close_all(connections, w);
        w->pid = connection->pid;
    }
    if (!w->idle)
        w->idle = apr_palloc(connections->pool, (apr_size_t)g->threads * sizeof(*w->idle));
    if (w->n < g->threads) {
        w->idle[w->n++] = *connection;
        atomic_fetch_add(&connections->idle, 1);
    } else {
        close(connection->fd);
    }
    apr_thread_mutex_unlock(connections->lock);
}

void wsgi_connection_lose(wsgi_group *g, wsgi_connection *connection)
{
    wire_credits *all = credits_of(g);

    if (connection->entry >= 0)
        wire_credit_give(&all->by_worker[connection->entry], connection->pid);
    if (wire_credits_are_news(atomic_load(&all->news))) /* who noted it did not see this credit */
        wsgi_connection_announce(g);
    close(connection->fd);
}

/* ---- new ---- */

void wsgi_connection_set_limit(wsgi_connection *connection, apr_interval_time_t limit)
{
    struct timeval tv = {.tv_sec = apr_time_sec(limit), .tv_usec = apr_time_usec(limit)};

    if (connection->send_limit != limit)
        setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    connection->send_limit = limit;
}

apr_status_t wsgi_connection_connect(wsgi_group *g, wsgi_connection *connection)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        receive_buffer = (int)g->receive_buffer_size;
    apr_status_t rv = APR_SUCCESS;

    if (fd < 0)
        return errno;
    *connection = (wsgi_connection){.fd = fd, .entry = -1};
    /* A full backlog makes a blocking connect() wait without limit. */
    wsgi_connection_set_limit(connection, g->queue_size > 0 ? 1000 : APR_USEC_PER_SEC);
    set_patience(connection, FIRST_PATIENCE);
    if (receive_buffer > 0) /* of AF_UNIX sockets only the sender's buffer counts */
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &receive_buffer, sizeof(receive_buffer));
    apr_snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", g->path_fd);
    do
        rv = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? errno : APR_SUCCESS;
    while (rv == EINTR);
    if (rv != APR_SUCCESS)
        close(fd);
    return rv;
}

/* ---- hooks ---- */

static void make_connections(apr_pool_t *p, wsgi_group *g)
{
    wsgi_connections *connections = apr_pcalloc(p, sizeof(*connections));

    if (apr_pool_create(&connections->pool, p) == APR_SUCCESS &&
        apr_thread_mutex_create(&connections->lock, APR_THREAD_MUTEX_DEFAULT, p) == APR_SUCCESS)
        g->connections = connections;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    const apr_array_header_t *groups = wsgi_server_of(s)->groups;

    for (int i = 0; i < groups->nelts; i++)
        make_connections(p, APR_ARRAY_IDX(groups, i, wsgi_group *));
}

void wsgi_connections_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
