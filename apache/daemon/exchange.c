/* exchange.c - waits for the worker and for the client, each at its own speed.
 *
 * The response is read from the worker as fast as it comes. What the client does not take meanwhile
 * goes into a temporary file (respond.c), so that slow clients hold no worker. */
#include "daemon/exchange.h"

#include "groups/board.h"
#include "request/client_socket.h"
#include "request/log.h"
#include "wire/clock.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <http_log.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

APLOG_USE_MODULE(wsgi);

#define FILE_PATIENCE_MS 50 /* for close() of the application's file */

void wsgi_exchange_set_client_timeout(const wsgi_exchange *x, apr_interval_time_t timeout)
{
    if (x->client.fd >= 0 && x->client.timeout != x->r->server->timeout)
        apr_socket_timeout_set(ap_get_conn_socket(x->r->connection), timeout);
}

/* ---- failures ---- */

int wsgi_exchange_unavailable(wsgi_exchange *x, const char *why)
{
    apr_table_setn(x->r->err_headers_out, "Retry-After",
                   apr_itoa(x->r->pool, wsgi_board_retry_after(x->t->group)));
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "WSGI0309: daemon group %s (%s) cannot serve %s: %s", x->t->group->name,
                  x->t->group->where, x->r->uri, why);
    return HTTP_SERVICE_UNAVAILABLE;
}

int wsgi_exchange_worker_gone(wsgi_exchange *x)
{
    wire_block_head head;

    WIRE_ASSERT(wsgi_exchange_is_consistent(x) && x->request.block_len >= sizeof(head));
    memcpy(&head, x->request.block, sizeof(head));
    if (x->client.has_left && !x->worker.heard) { /* the worker saw that before it began */
        x->r->connection->aborted = 1;
        return OK;
    }
    if (!x->worker.heard && wsgi_board_died_before_application(x->t->group, head.queue_start_us))
        return WSGI_RETRY;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "WSGI0310: a worker of daemon group %s ended, process %s while serving %s %s%s",
                  x->t->group->name, wsgi_board_death(x->t->group, head.queue_start_us, x->r->pool),
                  x->r->method, x->r->uri,
                  x->out.head_done ? "; the response is incomplete and the connection is closed"
                                   : "");
    return x->out.head_done ? wsgi_respond_abort(&x->out) : HTTP_BAD_GATEWAY;
}

static int timed_out(wsgi_exchange *x, apr_interval_time_t limit)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "WSGI0311: daemon group %s sent nothing for %s %s within %d s (socket-timeout= "
                  "of %s, else Timeout)",
                  x->t->group->name, x->r->method, x->r->uri, (int)apr_time_sec(limit),
                  x->t->group->where);
    return x->out.head_done ? wsgi_respond_abort(&x->out) : HTTP_GATEWAY_TIME_OUT;
}

/* ---- receiving ---- */

/* Looks whether a request may go on waiting for a thread of a worker. Returns WSGI_NOT_YET when it
 * may, else the handler's result. */
static int wait_in_queue(wsgi_exchange *x)
{
    const wsgi_group *g = x->t->group;
    apr_time_t waited = wire_monotonic_us() - x->request.queued;
    const char *why;

    if (x->worker.heard || !wsgi_channel_is_unread(&x->worker.channel))
        return WSGI_NOT_YET;
    if (wsgi_has_hung_up(x->client.fd)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_INFO, 0, x->r,
            "WSGI0320: the client has left before a thread of daemon group %s was free for its "
            "request, which is dropped",
            g->name);
        x->r->connection->aborted = 1;
        return OK;
    }
    wsgi_connection_announce(g);
    if ((why = wsgi_board_refusal(g))) /* while a draining worker may still have others */
        return wsgi_exchange_unavailable(x, why);
    if (g->queue_timeout == 0 || waited < g->queue_timeout)
        return WSGI_NOT_YET;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "WSGI0321: %s %s has waited %.1f s for a thread of daemon group %s, longer than "
                  "queue-timeout=%s (%s); it is not run",
                  x->r->method, x->r->uri, (double)waited / 1e6, g->name,
                  wsgi_group_seconds(g->queue_timeout, x->r->pool), g->where);
    apr_table_setn(x->r->err_headers_out, "Retry-After", "1");
    return HTTP_GATEWAY_TIME_OUT;
}

/* Lets the worker know that the client has left, when it needs no more of Apache: it finds the end
 * of what Apache sends, and an application that only yields empty items is stopped. What it sends
 * goes to the client as before, since a client may also have closed one direction only. A hook
 * gives its verdict in any case. */
static void pass_on_leaving(wsgi_exchange *x)
{
    if (x->verdict || x->client.has_left || (x->request.body.more && !x->request.all_body_sent) ||
        !wsgi_client_has_left(x->r))
        return;
    x->client.has_left = 1;
    shutdown(x->worker.channel.fd, SHUT_WR);
}

/* Returns how long to wait before the queue's time limit and the group's state must be looked at
 * again: at most a second. */
static int slice_ms(const wsgi_exchange *x, apr_interval_time_t left)
{
    apr_interval_time_t queue = x->t->group->queue_timeout;

    if (!x->worker.heard && queue > 0 && x->request.queued + queue > wire_monotonic_us() &&
        x->request.queued + queue - wire_monotonic_us() < left)
        left = x->request.queued + queue - wire_monotonic_us();
    return left > APR_USEC_PER_SEC ? 1000 : (int)(left / 1000) + 1;
}

/* Waits until the worker has sent something, in slices of at most a second, so that a group that
 * fails meanwhile is noticed. waited: how long the caller has waited already. Returns WSGI_NOT_YET
 * when there is something to read, else the handler's result. */
static int wait_readable(wsgi_exchange *x, apr_interval_time_t waited)
{
    apr_interval_time_t limit = wsgi_group_socket_timeout(x->t->group, x->r->server);
    apr_time_t end = wire_monotonic_us() + limit - waited;

    for (;;) {
        struct pollfd p = {.fd = x->worker.channel.fd, .events = POLLIN};
        apr_interval_time_t left = end - wire_monotonic_us();
        int n, rc = wait_in_queue(x);

        if (rc != WSGI_NOT_YET)
            return rc;
        if (left <= 0)
            return timed_out(x, limit);
        pass_on_leaving(x);
        n = poll(&p, 1, slice_ms(x, left));
        if (n > 0)
            return WSGI_NOT_YET;
        if (n < 0 && errno != EINTR)
            return wsgi_exchange_worker_gone(x);
    }
}

/* ---- two speeds: the worker's and the client's ---- */

/* What was collected of the response points into in[], so it is settled before in[] is used
 * again. */
static int make_room(wsgi_exchange *x)
{
    wsgi_exchange_worker *w = &x->worker;
    int got = wsgi_respond_settle(&x->out, x->client.spool_most, x->client.fd);

    if (got < 0)
        return OK;
    if (got > 0)
        x->client.lags_since = 0;
    memmove(w->in, w->in + w->at, w->have - w->at);
    w->have -= w->at;
    w->at = 0;
    return WSGI_NOT_YET;
}

/* Only the end should follow a file, and httpd sends both with one system call when they come
 * together. */
static void wait_behind_file(wsgi_exchange *x)
{
    struct pollfd p = {.fd = x->worker.channel.fd, .events = POLLIN};

    x->worker.got_file = 0;
    poll(&p, 1, FILE_PATIENCE_MS);
}

/* Waits until the worker has sent something. Meanwhile the client gets what there is for it,
 * whenever it is ready. Returns WSGI_NOT_YET, or the handler's result. */
static int wait_for_both(wsgi_exchange *x)
{
    struct pollfd p[2] = {{.fd = x->worker.channel.fd, .events = POLLIN},
                          {.fd = x->client.fd, .events = POLLOUT}};
    /* The pause of the worker after which a client that cannot be asked gets a part. */
    apr_interval_time_t wait = x->t->group->response_flush_delay;
    int n;

    if (x->client.fd >= 0) {
        x->client.lags_since = x->client.lags_since ? x->client.lags_since : wire_monotonic_us();
        wait = x->client.lags_since + x->client.timeout - wire_monotonic_us();
    }
    do
        n = poll(p, x->client.fd < 0 ? 1 : 2,
                 wait > 0 ? (int)(wait / 1000 < INT_MAX ? wait / 1000 : INT_MAX) : 0);
    while (n < 0 && errno == EINTR);
    if (n > 0 && p[1].revents)
        x->client.lags_since = 0;
    if (n > 0 && p[0].revents)
        return WSGI_NOT_YET;
    if (n == 0 && x->client.fd >= 0) {
        wsgi_respond_timed_out(&x->out);
        return OK;
    }
    return wsgi_respond_part(&x->out) < 0 ? OK : WSGI_NOT_YET;
}

/* Returns 1 when this thread may block in recvmsg() for up to a second instead of calling poll()
 * first, else 0: most responses arrive within that, and it saves two system calls. When data is
 * announced (due > 0), the wait is short in any case. */
static int can_wait_a_second(const wsgi_exchange *x, size_t due)
{
    const wsgi_group *g = x->t->group;

    if (wsgi_group_socket_timeout(g, x->r->server) <= APR_USEC_PER_SEC)
        return 0;
    return due > 0 ||
           (!wsgi_respond_pending(&x->out) &&
            (x->worker.heard || g->queue_timeout == 0 || g->queue_timeout > APR_USEC_PER_SEC));
}

/* Receives as wsgi_channel_receive() does. Data that is due wakes this thread once, when all of it
 * is there. */
static ssize_t receive_patiently(wsgi_exchange *x, size_t due)
{
    size_t room = x->worker.room - x->worker.have;

    if (due > 0)
        return wsgi_channel_receive(&x->worker.channel, x->worker.in + x->worker.have,
                                    due < room ? due : room, MSG_WAITALL);
    return wsgi_channel_receive(&x->worker.channel, x->worker.in + x->worker.have, room, 0);
}

int wsgi_exchange_receive(wsgi_exchange *x, size_t due)
{
    apr_interval_time_t waited = 0;

    WIRE_ASSERT(wsgi_exchange_is_consistent(x) && x->worker.channel.fd >= 0);
    for (;;) {
        int rc, is_patient;
        ssize_t n;

        if (x->worker.have == x->worker.room && (rc = make_room(x)) != WSGI_NOT_YET)
            return rc;
        if (x->worker.got_file)
            wait_behind_file(x);
        is_patient = waited == 0 && can_wait_a_second(x, due);
        n = is_patient ? receive_patiently(x, due)
                       : wsgi_channel_receive(&x->worker.channel, x->worker.in + x->worker.have,
                                              x->worker.room - x->worker.have, MSG_DONTWAIT);
        if (n > 0) {
            x->worker.have += (size_t)n;
            x->worker.heard = 1;
            return WSGI_NOT_YET;
        }
        if (n == WSGI_CHANNEL_RESET && !x->worker.heard)
            return WSGI_RETRY; /* no application code was reached */
        if (n == 0 || n == WSGI_CHANNEL_RESET)
            return wsgi_exchange_worker_gone(x);
        waited += is_patient ? x->worker.connection.patience : 0;
        rc = wsgi_respond_pending(&x->out) ? wait_for_both(x) : wait_readable(x, waited);
        if (rc != WSGI_NOT_YET)
            return rc;
    }
}

int wsgi_exchange_need(wsgi_exchange *x, size_t len)
{
    int rc;

    WIRE_ASSERT(wsgi_exchange_is_consistent(x));
    if (x->worker.at + len > x->worker.room && (rc = make_room(x)) != WSGI_NOT_YET)
        return rc;
    if (len > x->worker.room) {
        size_t room = len > 2 * x->worker.room ? len : 2 * x->worker.room; /* so that growing often
                                                                costs no more than growing once */
        char *larger = apr_palloc(x->r->pool, room);

        memcpy(larger, x->worker.in, x->worker.have);
        x->worker.in = larger;
        x->worker.room = room;
    }
    while (x->worker.have - x->worker.at < len)
        if ((rc = wsgi_exchange_receive(x, 0)) != WSGI_NOT_YET)
            return rc;
    return WSGI_NOT_YET;
}
