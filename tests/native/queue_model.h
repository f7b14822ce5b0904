/* queue_model.h - the state of the model of queue and credits, and its steps.
 *
 *     queue_model.c    what must be true, and all orders of steps
 *     queue_apache.c   what Apache's children do, and deaths
 *     queue_worker.c   what the kernel and the threads of workers do
 *     queue_states.c   the states that were reached */
#ifndef QUEUE_MODEL_H
#define QUEUE_MODEL_H

#include "wire/credits.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 2, THREADS = 2, REQUESTS = 4, CONNECTIONS = 2, LISTEN = CONNECTIONS, NOBODY = 15 };

enum pc {
    BEGIN,
    FIRST_LEFT,
    FIRST_SEEN,
    FIRST_ACCEPT,
    FIRST_END,
    WAIT,
    LOOP,
    EPOLL,
    BLOCKED,
    TAKE,
    CLAIM,
    CLAIM_FETCH,
    CLAIM_SEEN,
    CLAIM_EMPTY,
    CLAIM_END,
    LOST,
    ACCEPT_SEEN,
    ACCEPT,
    ACCEPT_END,
    DEL,
    ADD,
    LEFT,
    PASS_READABLE,
    PASS_NOTE,
    PASS_LOOK,
    PASS_ANNOUNCE,
    OWN,
    RECEIVE,
    IDLE,
    PEEK,
    LEAVE,
    SERVE,
    PUT_BACK,
    GONE
};

enum phase { START, CLAIMED, SENT, QUEUED, RUNNING, DONE, LOSING, ANNOUNCING, DEAD, GIVEN_UP };
enum owner { NONE, IS_IDLE, IS_BUSY, IS_MISSED };

typedef struct thread {
    uint8_t pc, then; /* then: where PASS_* and OWN go on */
    uint8_t seen, fetches;
    uint8_t request, connection; /* NOBODY: none; of BEGIN: the connection to read again */
    uint8_t is_woken;
} thread;

typedef struct worker {
    uint8_t waiting, credits, may_queue, is_alive, is_reaped, nready;
    uint8_t ready[CONNECTIONS + 1];
    thread threads[THREADS];
} worker;

typedef struct state {
    worker workers[WORKERS];
    struct {
        uint8_t phase, connection, runs;
    } requests[REQUESTS];
    struct {
        uint8_t is_kept, data, is_over, owner;
    } connections[CONNECTIONS]; /* all to worker 0 */
    uint8_t queue[REQUESTS], nqueue, order[WORKERS], norder, news;
    uint8_t worker_deaths, child_deaths, lost, announced;
} state;

/* The arguments, see queue_model.c. */
extern int counts[WORKERS], nrequests, nconnecting, nconnections, may_give, max_worker_deaths,
    max_child_deaths, is_hasty, is_old, mutant;
extern wire_credits all;
extern state s;     /* the one that a step changes */
extern uint32_t at; /* the state that is expanded */

/* ---- queue_model.c ---- */

/* Ends the program. */
_Noreturn void fail(const char *what);

/* ---- queue_apache.c ---- */

/* Returns 1 when an Apache child takes a step for the request without being asked. */
int can_request_step(int r);
void request_step(int r);

/* Returns 1 when a credit was claimed for the request. */
int claim(int r, int k);
void connect_new(int r);
void kill_worker(int n);
void reap_worker(int n);
void kill_child(int r);

/* ---- queue_worker.c ---- */

/* Fills `all` from the state. Returns a worker's entry. */
wire_credit *open_credit(int w);
void close_credit(int w);

void tell_of_queue(int is_announced);
void tell_of_connection(int k);
void forget_watch(int w);
int can_step(const thread *th);
void thread_step(int n, int t);

/* ---- queue_states.c ---- */

extern state *states;
extern size_t nstates;

/* Returns the number of the current state, which may be new. */
uint32_t enter(void);

/* The state that is expanded leads to this one without a step from outside. */
void add_edge(uint32_t to);

/* Before a state is expanded. */
void begin_edges(void);

/* The state that is expanded is at rest. */
void note_rest(void);

/* From each state a state of rest must be within reach. */
void check_progress(void);

#endif
