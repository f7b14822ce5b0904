/* client.c - finds a worker for a request and sends it there (wire/frames.h).
 *
 * The body is read from the client before a worker is asked. Until the worker has begun, no code of
 * the application has run, so after RETRY another worker is asked. When a worker has sent the whole
 * response, other requests may have the connection (connections.h), while the client takes what is
 * left. */
#include "daemon/client.h"

#include "daemon/exchange.h"
#include "daemon/replies.h"
#include "groups/board.h"
#include "groups/scoreboard.h"
#include "request/block_builder.h"
#include "request/child.h"
#include "request/client_socket.h"
#include "request/outcome.h"
#include "wire/clock.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(wsgi);

#define ROOM           (64u << 10)
#define CALL_ROOM      (4u << 10) /* grows when a frame is larger */
#define SHORTEST_PAUSE (2 * 1000) /* microseconds between two tries, as the next */
#define LONGEST_PAUSE  (100 * 1000)
/* A full queue may have free threads ahead of it that have not come to accept yet. */
#define QUEUE_PATIENCE (100 * 1000)
/* Half of what a worker's thread waits for a claimed request (src/runtime/serve.c). */
#define CLAIM_PATIENCE (250 * 1000)

/* ---- sending ---- */

/* Notes in the block how often workers have been asked. */
static void note_try(wsgi_exchange *x)
{
    wire_block_head head;

    memcpy(&head, x->request.block, sizeof(head));
    head.connects = ++x->request.connects;
    head.retries = x->request.retries;
    memcpy((char *)x->request.block, &head, sizeof(head));
}

static int send_request(wsgi_exchange *x)
{
    wire_frame request = {.len = (uint32_t)x->request.block_len, .type = WIRE_REQUEST},
               body = {.type = WIRE_BODY};
    wire_file file = {0, (int64_t)x->request.body.size};
    struct iovec iov[4] = {{&request, sizeof(request)},
                           {(void *)x->request.block, x->request.block_len},
                           {&body, sizeof(body)}};

    request.flags = wsgi_connection_is_wanted(x->t->group) ? WIRE_KEEP_ALIVE : 0;
    if (x->request.body.kind == WIRE_BODY_NONE)
        return wsgi_channel_send(&x->worker.channel, iov, 2, -1);
    if (x->request.body.kind == WIRE_BODY_FILE) {
        body = (wire_frame){.len = sizeof(file), .type = WIRE_BODY_AT};
        iov[3] = (struct iovec){&file, sizeof(file)};
        return wsgi_channel_send(&x->worker.channel, iov, 4, wsgi_spool_fd(&x->request.body.spool));
    }
    body.len = (uint32_t)x->request.body.size;
    iov[3] = (struct iovec){(void *)x->request.body.bytes, x->request.body.size};
    return wsgi_channel_send(&x->worker.channel, iov, 4, -1);
}

/* ---- one try ---- */

static const char *why_no_connection(const wsgi_exchange *x, apr_status_t rv)
{
    const wsgi_group *g = x->t->group;

    if (g->queue_size > 0 && rv == EAGAIN)
        return apr_psprintf(x->r->pool, "as many requests wait as queue-size=%d allows",
                            g->queue_size);
    return apr_psprintf(x->r->pool, "no worker accepts within connect-timeout=%d (%s)",
                        (int)apr_time_sec(g->connect_timeout), strerror(rv));
}

/* Sends the request over an idle connection when a worker there has a thread for it. Returns
 * WSGI_NOT_YET when it is sent, else WSGI_RETRY. */
static int send_over_idle(wsgi_exchange *x, apr_interval_time_t timeout)
{
    while (wsgi_connection_take(x->t->group, &x->worker.connection)) {
        wsgi_connection_set_limit(&x->worker.connection, timeout);
        x->worker.channel.fd = x->worker.connection.fd;
        /* A thread that was not run for so long may be too late: the worker's has not waited. */
        if (wire_monotonic_us() - x->worker.connection.claimed < CLAIM_PATIENCE &&
            send_request(x) == 0)
            return WSGI_NOT_YET;
        wsgi_connection_lose(x->t->group, &x->worker.connection);
    }
    return WSGI_RETRY;
}

/* Is a full queue a reason to refuse the request? With queue-size= it is, unless threads are free
 * that have not come to accept yet. since: when it was last seen that they are. */
static int is_refused(const wsgi_group *g, apr_time_t now, apr_time_t *since, apr_time_t deadline)
{
    if (now >= deadline || wsgi_board_refusal(g))
        return 1;
    if (g->queue_size == 0)
        return 0;
    if (wsgi_connection_is_any_free(g))
        *since = now;
    return now - *since > QUEUE_PATIENCE;
}

/* Makes a connection, or takes an idle one when a worker gets free while the queue is full. Returns
 * APR_SUCCESS or an error. */
static apr_status_t connect_or_take(wsgi_exchange *x)
{
    wsgi_group *g = x->t->group;
    apr_time_t since = wire_monotonic_us(), deadline = since + g->connect_timeout;
    apr_interval_time_t pause = 1000;
    apr_status_t rv;

    while ((rv = wsgi_connection_connect(g, &x->worker.connection)) != APR_SUCCESS) {
        if ((rv != EAGAIN && rv != ECONNREFUSED) ||
            is_refused(g, wire_monotonic_us(), &since, deadline))
            return rv;
        if (x->request.connects == 1 && wsgi_connection_take(g, &x->worker.connection))
            return APR_SUCCESS;
        apr_sleep(pause);
        pause = pause < 100000 && g->queue_size == 0 ? pause * 2 : pause;
    }
    return rv;
}

static int send_over_new(wsgi_exchange *x, apr_interval_time_t timeout)
{
    apr_status_t rv = connect_or_take(x);

    if (rv != APR_SUCCESS)
        return wsgi_exchange_unavailable(x, why_no_connection(x, rv));
    wsgi_connection_set_limit(&x->worker.connection, timeout);
    x->worker.channel.fd = x->worker.connection.fd;
    if (send_request(x) == 0)
        return WSGI_NOT_YET;
    /* The worker left between our connect() and its accept(): nothing of the request was used. */
    wsgi_connection_lose(x->t->group, &x->worker.connection);
    x->worker.channel.fd = -1;
    return WSGI_RETRY;
}

static int try_worker(wsgi_exchange *x)
{
    apr_interval_time_t timeout = wsgi_group_socket_timeout(x->t->group, x->r->server);
    const char *why = wsgi_board_refusal(x->t->group);
    int rc = WSGI_RETRY;

    if (why)
        return wsgi_exchange_unavailable(x, why);
    x->worker.at = x->worker.have = 0;
    x->worker.heard = x->worker.has_begun = x->worker.is_over = 0;
    x->worker.current = (wire_frame){0};
    x->client.has_left = x->request.all_body_sent = 0;
    note_try(x);
    if (x->request.connects == 1) /* those that are asked again need another worker, perhaps one
                             that was started only now */
        rc = send_over_idle(x, timeout);
    if (rc == WSGI_RETRY)
        rc = send_over_new(x, timeout);
    if (rc != WSGI_NOT_YET)
        return rc;
    rc = wsgi_replies_obey(x);
    wsgi_replies_last_words(x);
    wsgi_channel_close(&x->worker.channel);
    return rc;
}

/* Returns the pause before the next try: a small part of the time that it has waited already. */
static apr_interval_time_t pause_of(const wsgi_exchange *x)
{
    apr_interval_time_t pause = (wire_monotonic_us() - x->request.queued) / 16;

    return pause < SHORTEST_PAUSE ? SHORTEST_PAUSE : pause > LONGEST_PAUSE ? LONGEST_PAUSE : pause;
}

/* Waits before the next try. When the board has news, one of the next workers should be able to
 * answer, so they are asked without delay. */
static void wait_for_news(wsgi_exchange *x)
{
    const wsgi_group *g = x->t->group;
    apr_interval_time_t pause = pause_of(x),
                        part = pause / 4 > SHORTEST_PAUSE ? pause / 4 : SHORTEST_PAUSE;
    apr_time_t end = wire_monotonic_us() + pause;

    do {
        if (x->request.news != g->board->news) {
            x->request.news = g->board->news;
            x->request.hopes = 2 * g->processes;
        }
        apr_sleep(x->request.hopes > 0 ? SHORTEST_PAUSE : part);
    } while (x->request.hopes == 0 && wire_monotonic_us() < end);
    x->request.hopes -= x->request.hopes > 0;
}

/* Asks workers until one has the current code. Returns the handler's result. */
static int ask_workers(wsgi_exchange *x)
{
    int rc;

    x->worker.in = apr_palloc(x->r->pool, x->worker.room);
    x->request.news = x->t->group->board->news;
    x->request.queued = wire_monotonic_us();
    x->request.deadline = x->request.queued + wsgi_group_socket_timeout(x->t->group, x->r->server);
    while ((rc = try_worker(x)) == WSGI_RETRY) {
        if (wire_monotonic_us() > x->request.deadline)
            return wsgi_exchange_unavailable(x, "no worker that could serve it got ready in time");
        wait_for_news(x);
    }
    return rc;
}

static void account(const wsgi_exchange *x, int rc)
{
    wsgi_outcome outcome = {
        .status = wsgi_respond_status(&x->out, rc),
        .is_cut_off = rc == AP_FILTER_ERROR && x->out.head_done,
        .retries = x->request.retries,
        .times = x->worker.is_timed ? &x->worker.times : NULL,
    };

    wsgi_count_daemon(x->r, x->t->group, &outcome);
}

int wsgi_client_run(request_rec *r, const wsgi_target *t)
{
    wsgi_exchange x = {.r = r,
                       .t = t,
                       .worker = {.room = ROOM, .left = -1},
                       .client = {.fd = wsgi_client_socket(r->connection)}};
    int rc;

    WSGI_ASSERT_CHILD();
    wsgi_respond_init(&x.out, r, t->group);
    wsgi_body_reader_init(&x.request.reader, r);
    wsgi_body_of(&x.request.body, r);
    if ((rc = wsgi_body_collect(&x.request.body, &x.request.reader, t->group)) != OK ||
        (rc = wsgi_block_build(&x.request.block, &x.request.block_len, r, t, &x.request.body)) !=
            OK)
        return rc;
    if (t->group->server_metrics)
        wsgi_scoreboard_refresh();
    if (wsgi_dir_of(r)->response_buffering != 0)
        x.client.spool_most = t->group->response_buffer_size;
    x.client.timeout = wsgi_group_client_timeout(t->group, r->server);
    rc = ask_workers(&x);
    wsgi_exchange_set_client_timeout(&x, r->server->timeout);
    account(&x, rc);
    return rc;
}

int wsgi_client_call_hook(wsgi_verdict *verdict, request_rec *r, const wsgi_target *t,
                          const char *block, size_t len)
{
    wsgi_exchange x = {.r = r,
                       .t = t,
                       .verdict = verdict,
                       .request = {.block = block, .block_len = len},
                       .worker = {.room = CALL_ROOM},
                       .client = {.fd = -1}};

    WSGI_ASSERT_CHILD();
    wsgi_respond_init(&x.out, r, t->group);
    return ask_workers(&x);
}
