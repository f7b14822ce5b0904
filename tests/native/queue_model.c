/* queue_model.c - every order in which threads, Apache's requests, the kernel and deaths can take
 * their steps, with the functions of src/wire/credits.h and the steps of src/runtime/serve.c and
 * queue.c around them.
 *
 * A step is one atomic operation or one system call. All states that can be reached from the
 * beginning are visited, and in each of them
 *
 *   - no request has run twice,
 *   - the credits are what they must be: one for each thread that waits and is not claimed,
 *   - the requests that are under way come to rest: some order of steps leads to a state in which
 *     nothing can happen until an application returns, a client comes or a process dies,
 *   - and in such a state no request waits while a thread waits for one.
 *
 * Arguments, as name=number:
 *
 *     threads0, threads1   of the two workers
 *     requests             that come at any time
 *     connecting           how many of these find no keep-alive connection; others may claim a
 *                          credit of worker 0
 *     connections          keep-alive connections to worker 0
 *     gives                1: claims are given back, too, since they come late or cannot be sent
 *     worker_deaths, child_deaths   how many processes may die, at any step
 *     hasty                1: claims are taken for lost at any time; their requests may have to
 * wait old                  1: a kernel before 5.8, whose epoll leaves a thread that was woken
 * among those that wait until it runs mutant               1: no thread passes on what it leaves
 * behind; 2: a thread that begins to wait does not look at `news`; 3: `leave` leaves the credits
 * alone. The model must find the fault */
#include "queue_model.h"

#include <stdio.h>

int counts[WORKERS], nrequests, nconnecting, nconnections, may_give, max_worker_deaths,
    max_child_deaths, is_hasty, is_old, mutant;
wire_credits all;
state s;
uint32_t at;

/* ---- what must be true ---- */

void fail(const char *what)
{
    printf("%s\n", what);
    for (int w = 0; w < WORKERS; w++) {
        printf("worker %d: alive %d waiting %d credits %d ready %d may_queue %d:", w,
               s.workers[w].is_alive, s.workers[w].waiting, s.workers[w].credits,
               s.workers[w].nready, s.workers[w].may_queue);
        for (int t = 0; t < THREADS; t++)
            printf(" pc %d request %d", s.workers[w].threads[t].pc,
                   s.workers[w].threads[t].request);
        printf("\n");
    }
    for (int r = 0; r < nrequests; r++)
        printf("request %d: phase %d\n", r, s.requests[r].phase);
    printf("queue %d news %d deaths %d %d\n", s.nqueue, s.news, s.worker_deaths, s.child_deaths);
    exit(1);
}

static int is_waiting(int pc)
{
    return (pc >= LOOP && pc <= LOST) || (pc >= OWN && pc <= LEAVE);
}

static void check_credits(void)
{
    for (int n = 0; n < WORKERS; n++) {
        worker *w = &s.workers[n];
        int waiting = 0, claims = 0;

        if (!w->is_alive)
            continue;
        for (int t = 0; t < THREADS; t++) {
            thread *th = &w->threads[t];

            waiting += is_waiting(th->pc) ||
                       (th->pc >= PASS_READABLE && th->pc <= PASS_ANNOUNCE && th->then == CLAIM);
            claims += th->pc == LEAVE;
        }
        for (int r = 0; n == 0 && r < nrequests; r++)
            claims += s.requests[r].phase == CLAIMED || s.requests[r].phase == SENT ||
                      s.requests[r].phase == LOSING;
        if (w->waiting != waiting || w->credits > waiting)
            fail("the word is not what threads do");
        if (!s.child_deaths && !is_hasty && waiting - w->credits != claims)
            fail("a credit is lost, or one too many");
    }
}

/* Returns 1 when a request waits and a thread waits. */
static int is_stranded(void)
{
    int idle = 0, waits = 0;

    for (int n = 0; n < WORKERS; n++)
        for (int t = 0; t < THREADS; t++)
            idle += s.workers[n].threads[t].pc == BLOCKED;
    for (int r = 0; r < nrequests; r++)
        waits += s.requests[r].phase == QUEUED || (s.requests[r].phase == SENT && !is_hasty);
    return idle > 0 && waits > 0;
}

/* ---- all orders ---- */

static void reached(int is_internal)
{
    uint32_t to;

    check_credits();
    to = enter();
    if (is_internal)
        add_edge(to);
    s = states[at];
}

static int expand_internal(void)
{
    int n = 0;

    for (int w = 0; w < WORKERS; w++) {
        for (int t = 0; t < counts[w]; t++)
            if (can_step(&s.workers[w].threads[t])) {
                n++;
                thread_step(w, t);
                reached(1);
            }
        if (!s.workers[w].is_alive && !s.workers[w].is_reaped) {
            n++;
            reap_worker(w);
            reached(1);
        }
    }
    for (int r = 0; r < nrequests; r++)
        if (can_request_step(r)) {
            n++;
            request_step(r);
            reached(1);
        }
    return n;
}

static void expand_request(int r)
{
    int phase = s.requests[r].phase;

    if (phase == START) {
        for (int k = 0; r >= nconnecting && k < nconnections; k++)
            if (claim(r, k))
                reached(0);
        connect_new(r);
        reached(0);
    }
    if (phase == CLAIMED && may_give) { /* it comes too late, or cannot be sent */
        s.requests[r].phase = LOSING;
        reached(0);
    }
    if (s.child_deaths < max_child_deaths && (phase == CLAIMED || phase == QUEUED)) {
        kill_child(r);
        reached(0);
    }
}

static void expand_external(void)
{
    for (int r = 0; r < nrequests; r++)
        expand_request(r);
    for (int w = 0; w < WORKERS; w++) {
        for (int t = 0; t < counts[w]; t++)
            if (s.workers[w].threads[t].pc == SERVE) {
                thread_step(w, t);
                reached(0);
            }
        if (s.worker_deaths < max_worker_deaths && s.workers[w].is_alive) {
            kill_worker(w);
            reached(0);
        }
    }
}

/* In a state of rest. After the death of a child, Apache's next look at its queue helps. */
static void check_rest(void)
{
    if (!is_stranded()) {
        s.announced = 0;
        return;
    }
    if (!s.child_deaths || s.announced >= 2)
        fail("a request waits while a thread is free");
    s.announced++;
    tell_of_queue(1);
    reached(1);
}

static void begin(void)
{
    memset(&s, 0, sizeof(s));
    for (int n = 0; n < WORKERS; n++) {
        s.workers[n].is_alive = counts[n] > 0;
        s.workers[n].is_reaped = counts[n] == 0;
        for (int t = 0; t < THREADS; t++)
            s.workers[n].threads[t] = (thread){.pc = t < counts[n] ? BLOCKED : GONE,
                                               .request = NOBODY,
                                               .connection = NOBODY};
        s.workers[n].waiting = s.workers[n].credits = (uint8_t)counts[n];
        if (counts[n])
            s.order[s.norder++] = (uint8_t)n;
    }
    for (int r = 0; r < nrequests; r++)
        s.requests[r].connection = NOBODY;
    for (int k = 0; k < CONNECTIONS; k++) {
        s.connections[k].data = NOBODY;
        s.connections[k].is_kept = k < nconnections;
        s.connections[k].owner = k < nconnections ? IS_IDLE : NONE;
    }
    enter();
}

static void set(const char *argument)
{
    static const struct {
        const char *name;
        int *value;
    } known[] = {{"threads0", &counts[0]},
                 {"threads1", &counts[1]},
                 {"requests", &nrequests},
                 {"connecting", &nconnecting},
                 {"connections", &nconnections},
                 {"gives", &may_give},
                 {"worker_deaths", &max_worker_deaths},
                 {"child_deaths", &max_child_deaths},
                 {"hasty", &is_hasty},
                 {"old", &is_old},
                 {"mutant", &mutant}};
    const char *equals = strchr(argument, '=');

    for (size_t i = 0; equals && i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].name) == (size_t)(equals - argument) &&
            strncmp(known[i].name, argument, (size_t)(equals - argument)) == 0) {
            *known[i].value = atoi(equals + 1);
            return;
        }
    fprintf(stderr, "unknown: %s\n", argument);
    exit(2);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        set(argv[i]);
    if (counts[0] > THREADS || counts[1] > THREADS || nrequests > REQUESTS ||
        nconnections > CONNECTIONS)
        return 2;
    begin();
    for (at = 0; at < nstates; at++) {
        s = states[at];
        begin_edges();
        if (expand_internal() == 0) {
            note_rest();
            check_rest();
            s = states[at];
        }
        expand_external();
    }
    check_progress();
    printf("%zu states of %zu bytes\n", nstates, sizeof(state));
    return 0;
}
