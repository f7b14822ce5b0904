/* queue_apache.c - what Apache's children do for requests (apache/daemon/client.c, connections.c),
 * and deaths of processes. */
#include "queue_model.h"

/* ---- Apache ---- */

static void close_connection(int k)
{
    s.connections[k].is_over = 1;
    tell_of_connection(k);
}

static void lose(int r)
{
    wire_credit *credit = open_credit(0);

    wire_credit_give(credit, 1);
    if (s.workers[0].is_reaped)
        all.by_worker[0].word = 0;
    close_credit(0);
    s.requests[r].phase = ANNOUNCING;
}

/* The steps that an Apache child takes for a request without being asked. */
void request_step(int r)
{
    int k = s.requests[r].connection;

    switch (s.requests[r].phase) {
    case CLAIMED:
        if (!s.workers[0].is_alive) {
            s.requests[r].phase = LOSING;
            break;
        }
        s.requests[r].phase = SENT;
        s.connections[k].data = (uint8_t)r;
        tell_of_connection(k);
        break;
    case LOSING:
        lose(r);
        break;
    case ANNOUNCING:
        if (s.news & 1)
            tell_of_queue(1);
        close_connection(k);
        s.requests[r].connection = NOBODY;
        s.requests[r].phase = START;
        break;
    default:
        abort();
    }
}

int can_request_step(int r)
{
    int phase = s.requests[r].phase;

    return phase == CLAIMED || phase == LOSING || phase == ANNOUNCING;
}

/* Returns 1 when a credit was claimed for the request. */
int claim(int r, int k)
{
    wire_credit *credit;
    int is_claimed;

    if (!s.connections[k].is_kept || s.workers[0].is_reaped)
        return 0;
    credit = open_credit(0);
    is_claimed = wire_credit_claim(credit, 1);
    close_credit(0);
    if (is_claimed) {
        s.connections[k].is_kept = 0;
        s.requests[r].connection = (uint8_t)k;
        s.requests[r].phase = CLAIMED;
    }
    return is_claimed;
}

void connect_new(int r)
{
    s.requests[r].phase = QUEUED;
    s.queue[s.nqueue++] = (uint8_t)r;
    tell_of_queue(0);
}

/* ---- deaths ---- */

void kill_worker(int n)
{
    worker *w = &s.workers[n];

    s.worker_deaths++;
    w->is_alive = 0;
    w->nready = 0;
    memset(w->ready, 0, sizeof(w->ready));
    forget_watch(n);
    for (int t = 0; t < THREADS; t++) {
        thread *th = &w->threads[t];

        if (th->request != NOBODY && s.requests[th->request].phase == RUNNING)
            s.requests[th->request].phase = GIVEN_UP; /* the client gets 502 */
        *th = (thread){.pc = GONE, .request = NOBODY, .connection = NOBODY};
    }
    for (int k = 0; n == 0 && k < nconnections; k++) {
        int r = s.connections[k].data;

        if (r != NOBODY && s.requests[r].phase == SENT)
            s.requests[r].phase = START; /* unread: Apache asks again */
        s.connections[k].data = NOBODY;
        s.connections[k].owner = NONE;
        s.connections[k].is_kept = 0;
        s.connections[k].is_over = 1;
    }
}

void reap_worker(int n)
{
    s.workers[n].is_reaped = 1;
    s.workers[n].waiting = s.workers[n].credits = 0;
    tell_of_queue(1);
}

void kill_child(int r)
{
    s.child_deaths++;
    if (s.requests[r].phase == CLAIMED) {
        s.lost = 1;
        close_connection(s.requests[r].connection);
    }
    s.requests[r].phase = DEAD;
}
