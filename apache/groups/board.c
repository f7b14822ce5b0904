#include "groups/board.h"

#include "wire/clock.h"

#include <apr_strings.h>
#include <string.h>
#include <sys/wait.h>

#define DEATH_PATIENCE (200 * 1000) /* microseconds until it is known how a worker died */

const wire_activity_worker *wsgi_activity_slot(const wsgi_activity *a, apr_size_t number)
{
    return (const wire_activity_worker *)(a->memory + number * WIRE_ACTIVITY_SLOT(a->threads));
}

wire_counters *wsgi_board_counters(const wsgi_group *g, unsigned stripe)
{
    return (wire_counters *)((char *)g->board + WIRE_COUNTERS_AT) + stripe % WIRE_STRIPES;
}

const char *wsgi_board_refusal(const wsgi_group *g)
{
    switch (g->board->state) {
    case WIRE_BOARD_FAILED:
        return "its workers cannot be started; an earlier line says why";
    case WIRE_BOARD_STOPPED:
        return "it was stopped with \"httpd-wsgi stop\"; \"httpd-wsgi reload\" starts it again";
    default:
        return NULL;
    }
}

int wsgi_board_retry_after(const wsgi_group *g)
{
    return g->board->retry_after_s > 0 ? (int)g->board->retry_after_s : 1;
}

static const volatile wire_death *find_death(const volatile wire_board *board, apr_int64_t asked_us)
{
    for (int i = 0; i < WIRE_DEATHS; i++)
        if (board->death[i].asked_us == asked_us)
            return &board->death[i];
    return NULL;
}

static const volatile wire_death *wait_for_death(const volatile wire_board *board,
                                                 apr_int64_t asked_us)
{
    const volatile wire_death *d = find_death(board, asked_us);
    apr_time_t end = wire_monotonic_us() + DEATH_PATIENCE;

    for (; !d && wire_monotonic_us() < end; d = find_death(board, asked_us))
        apr_sleep(5000);
    return d;
}

int wsgi_board_died_before_application(const wsgi_group *g, apr_int64_t asked_us)
{
    const volatile wire_death *d = wait_for_death(g->board, asked_us);

    for (int i = 0; d && i < WIRE_DEATHS; i++)
        if (&g->board->death[i] != d && g->board->death[i].asked_us == asked_us)
            return 0;
    return d && !d->reached;
}

const char *wsgi_board_death(const wsgi_group *g, apr_int64_t asked_us, apr_pool_t *p)
{
    const volatile wire_death *d = wait_for_death(g->board, asked_us);
    int status;

    if (!d)
        return "not known,";
    status = d->status;
    if (WIFSIGNALED(status))
        return apr_psprintf(p, "%u was killed by signal %d (%s) after %.1f s", (unsigned)d->pid,
                            WTERMSIG(status), strsignal(WTERMSIG(status)), d->ran_ms / 1e3);
    return apr_psprintf(p, "%u exited with status %d after %.1f s", (unsigned)d->pid,
                        WEXITSTATUS(status), d->ran_ms / 1e3);
}
