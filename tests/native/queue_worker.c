/* queue_worker.c - what the kernel and the threads of workers do: the steps of src/runtime/serve.c
 * and queue.c, with the functions of src/wire/credits.h themselves. */
#include "queue_model.h"

/* ---- credits.h ---- */

wire_credit *open_credit(int w)
{
    all.used = WORKERS;
    all.news = s.news;
    for (int i = 0; i < WORKERS; i++)
        all.by_worker[i].word = s.workers[i].is_reaped ? 0
                                                       : (uint64_t)(i + 1) << 32 |
                                                             (uint64_t)s.workers[i].waiting << 16 |
                                                             s.workers[i].credits;
    return &all.by_worker[w];
}

void close_credit(int w)
{
    s.workers[w].waiting = (uint8_t)wire_credit_waiting(all.by_worker[w].word);
    s.workers[w].credits = (uint8_t)wire_credit_unclaimed(all.by_worker[w].word);
    s.news = (uint8_t)all.news;
}

/* ---- the kernel ---- */

/* Returns 1 when epoll takes this worker for told. */
static int wake_one(worker *w)
{
    int is_told = 0;

    for (int t = 0; t < THREADS; t++) {
        thread *th = &w->threads[t];

        if (th->pc != BLOCKED)
            continue;
        if (!th->is_woken) {
            th->is_woken = 1;
            return 1;
        }
        is_told |= is_old;
    }
    return is_told;
}

static void make_ready(worker *w, int item)
{
    for (int i = 0; i < w->nready; i++)
        if (w->ready[i] == item)
            return;
    w->ready[w->nready++] = (uint8_t)item;
}

static void remove_ready(worker *w, int at)
{
    memmove(&w->ready[at], &w->ready[at + 1], (size_t)(--w->nready - at));
    w->ready[w->nready] = 0;
}

void tell_of_queue(int is_announced)
{
    for (int i = 0; i < s.norder; i++) {
        worker *w = &s.workers[s.order[i]];

        make_ready(w, LISTEN);
        if (wake_one(w) && !is_announced)
            return;
    }
}

void tell_of_connection(int k)
{
    worker *w = &s.workers[0];

    if (w->is_alive && s.connections[k].owner != NONE) {
        make_ready(w, k);
        wake_one(w);
    }
}

/* epoll_wait() without waiting. Returns the item or -1. */
static int fetch(worker *w)
{
    while (w->nready > 0) {
        int item = w->ready[0];

        remove_ready(w, 0);
        if (item == LISTEN) {
            if (s.nqueue == 0)
                continue;
            make_ready(w, LISTEN); /* level-triggered */
        }
        if (w->nready > 0)
            wake_one(w);
        return item;
    }
    return -1;
}

void forget_watch(int w)
{
    int left = 0;

    for (int i = 0; i < s.norder; i++)
        if (s.order[i] != w)
            s.order[left++] = s.order[i];
    for (int i = left; i < s.norder; i++)
        s.order[i] = 0;
    s.norder = (uint8_t)left;
}

static int accept_oldest(void)
{
    int r = s.queue[0];

    memmove(s.queue, s.queue + 1, (size_t)(--s.nqueue));
    s.queue[s.nqueue] = 0;
    return r;
}

/* ---- a request thread ---- */

static void begin_request(thread *th, int r, int connection)
{
    th->request = (uint8_t)r;
    th->connection = (uint8_t)connection;
    if (s.requests[r].phase != DEAD && s.requests[r].phase != GIVEN_UP) {
        s.requests[r].phase = RUNNING;
        if (++s.requests[r].runs > 1)
            fail("a request runs twice");
    }
}

static void own(thread *th)
{
    uint8_t *owner = &s.connections[th->connection].owner;

    if (*owner == IS_IDLE) {
        *owner = IS_BUSY;
        th->pc = RECEIVE;
    } else {
        *owner = *owner == IS_BUSY ? IS_MISSED : *owner;
        th->pc = th->then;
    }
}

static void receive(thread *th)
{
    int k = th->connection;

    if (s.connections[k].data != NOBODY) {
        begin_request(th, s.connections[k].data, k);
        s.connections[k].data = NOBODY;
        th->pc = LEAVE;
    } else if (s.connections[k].is_over) {
        s.connections[k].owner = NONE;
        th->pc = th->then;
    } else {
        th->pc = IDLE;
    }
}

static void take_connection(thread *th, int k, int then)
{
    th->connection = (uint8_t)k;
    th->then = (uint8_t)then;
    th->pc = OWN;
}

static void on_event(thread *th, int item)
{
    if (item == LISTEN)
        th->pc = TAKE;
    else
        take_connection(th, item, LOOP);
}

static void fetch_claimed(worker *w, thread *th)
{
    int item = th->fetches++ < 3 ? fetch(w) : -1;

    if (item < 0)
        th->pc = CLAIM_SEEN;
    else if (item != LISTEN)
        take_connection(th, item, CLAIM_FETCH);
    if (th->pc == CLAIM_SEEN)
        th->fetches = 0;
}

static void pass_on(thread *th, int then)
{
    th->pc = PASS_READABLE;
    th->then = (uint8_t)then;
}

static void serve(thread *th)
{
    int k = th->connection, r = th->request;

    if (s.requests[r].phase == RUNNING)
        s.requests[r].phase = DONE;
    th->request = NOBODY;
    th->pc = BEGIN;
    if (k != NOBODY) {
        s.connections[k].is_kept = !s.connections[k].is_over;
        th->pc = PUT_BACK;
    }
}

static void put_back(thread *th)
{
    int k = th->connection, is_missed = s.connections[k].owner == IS_MISSED;

    s.connections[k].owner = IS_IDLE;
    if (!is_missed)
        th->connection = NOBODY;
    th->pc = BEGIN;
}

static void end_news(int w, thread *th, int next)
{
    open_credit(w);
    wire_credits_end_news(&all, th->seen);
    close_credit(w);
    th->seen = 0;
    th->pc = (uint8_t)next;
}

static void accept_new(worker *w, thread *th, int next, int otherwise)
{
    w->may_queue = s.nqueue > 0;
    if (s.nqueue > 0) {
        begin_request(th, accept_oldest(), NOBODY);
        th->seen = 0;
        th->pc = (uint8_t)next;
    } else {
        th->pc = (uint8_t)otherwise;
    }
}

static void epoll(worker *w, thread *th)
{
    int item = fetch(w);

    th->is_woken = 0;
    if (item < 0)
        th->pc = BLOCKED;
    else
        on_event(th, item);
}

static void credit_step(int n, thread *th)
{
    wire_credit *credit = open_credit(n);

    switch (th->pc) {
    case WAIT:
        wire_credit_wait(credit);
        th->pc = LOOP;
        if (th->connection != NOBODY)
            take_connection(th, th->connection, LOOP);
        break;
    case TAKE:
        if (wire_credit_take_back(credit))
            th->pc = ACCEPT_SEEN;
        else
            pass_on(th, CLAIM);
        break;
    case CLAIM:
        th->pc = wire_credit_take_back(credit) ? ACCEPT_SEEN : CLAIM_FETCH;
        break;
    case LOST:
        wire_credit_leave(credit);
        th->pc = ACCEPT_SEEN;
        break;
    case LEAVE:
        if (mutant == 3)
            credit->word -= WIRE_CREDIT_THREAD;
        else
            wire_credit_leave(credit);
        th->pc = LEFT;
        break;
    case PASS_NOTE:
        wire_credits_note_news(&all);
        th->pc = PASS_LOOK;
        break;
    case PASS_LOOK:
        th->pc = wire_credits_are_any(&all, credit) ? PASS_ANNOUNCE : th->then;
        break;
    default:
        abort();
    }
    close_credit(n);
}

static void claim_step(int n, thread *th)
{
    switch (th->pc) {
    case CLAIM_SEEN:
        th->seen = s.news;
        th->pc = CLAIM_EMPTY;
        break;
    case CLAIM_EMPTY:
        th->pc = s.nqueue == 0 ? CLAIM_END : s.lost || is_hasty ? LOST : CLAIM;
        th->seen = s.nqueue == 0 ? th->seen : 0;
        break;
    case CLAIM_END:
        end_news(n, th, LOOP);
        break;
    default:
        abort();
    }
}

static void connection_step(thread *th)
{
    switch (th->pc) {
    case OWN:
        own(th);
        break;
    case RECEIVE:
        receive(th);
        break;
    case IDLE:
        s.connections[th->connection].owner = IS_IDLE;
        th->pc = PEEK;
        break;
    case PEEK:
        th->pc =
            s.connections[th->connection].data != NOBODY || s.connections[th->connection].is_over
                ? OWN
                : th->then;
        break;
    case PUT_BACK:
        put_back(th);
        break;
    default:
        abort();
    }
}

static void queue_step(int n, worker *w, thread *th)
{
    switch (th->pc) {
    case BEGIN:
        th->pc = th->connection == NOBODY && (w->may_queue || s.news & 1) ? FIRST_LEFT : WAIT;
        break;
    case FIRST_LEFT:
        th->pc = w->credits > 0 ? WAIT : FIRST_SEEN;
        break;
    case FIRST_SEEN:
        th->seen = s.news;
        th->pc = FIRST_ACCEPT;
        break;
    case FIRST_ACCEPT:
        accept_new(w, th, SERVE, FIRST_END);
        break;
    case FIRST_END:
        end_news(n, th, WAIT);
        break;
    case ACCEPT_SEEN:
        th->seen = s.news;
        th->pc = ACCEPT;
        break;
    case ACCEPT:
        accept_new(w, th, DEL, ACCEPT_END);
        break;
    case ACCEPT_END:
        end_news(n, th, WAIT);
        th->connection = NOBODY;
        break;
    case DEL:
        forget_watch(n);
        for (int i = w->nready - 1; i >= 0; i--)
            if (w->ready[i] == LISTEN)
                remove_ready(w, i);
        th->pc = ADD;
        break;
    case ADD:
        if (!memchr(s.order, n, s.norder)) /* EEXIST when another thread was faster */
            s.order[s.norder++] = (uint8_t)n;
        if (s.nqueue > 0) {
            make_ready(w, LISTEN);
            wake_one(w);
        }
        th->pc = LEFT;
        break;
    default:
        abort();
    }
}

static void plain_step(worker *w, thread *th)
{
    switch (th->pc) {
    case LOOP:
        th->connection = NOBODY;
        th->pc = s.news & 1 && mutant != 2 ? TAKE : EPOLL;
        break;
    case EPOLL:
    case BLOCKED:
        epoll(w, th);
        break;
    case CLAIM_FETCH:
        th->connection = NOBODY;
        fetch_claimed(w, th);
        break;
    case LEFT:
        if (w->waiting > 0 || mutant == 1)
            th->pc = SERVE;
        else
            pass_on(th, SERVE);
        break;
    case PASS_READABLE:
        th->pc = s.nqueue > 0 ? PASS_NOTE : th->then;
        break;
    case PASS_ANNOUNCE:
        tell_of_queue(1);
        th->pc = th->then;
        break;
    case SERVE:
        serve(th);
        break;
    default:
        abort();
    }
}

enum kind { PLAIN, OF_QUEUE, OF_CREDIT, OF_CLAIM, OF_CONNECTION };

static const uint8_t kinds[] =
    {[BEGIN] = OF_QUEUE,         [FIRST_LEFT] = OF_QUEUE, [FIRST_SEEN] = OF_QUEUE,
     [FIRST_ACCEPT] = OF_QUEUE,  [FIRST_END] = OF_QUEUE,  [ACCEPT_SEEN] = OF_QUEUE,
     [ACCEPT] = OF_QUEUE,        [ACCEPT_END] = OF_QUEUE, [DEL] = OF_QUEUE,
     [ADD] = OF_QUEUE,           [WAIT] = OF_CREDIT,      [TAKE] = OF_CREDIT,
     [CLAIM] = OF_CREDIT,        [LOST] = OF_CREDIT,      [LEAVE] = OF_CREDIT,
     [PASS_NOTE] = OF_CREDIT,    [PASS_LOOK] = OF_CREDIT, [CLAIM_SEEN] = OF_CLAIM,
     [CLAIM_EMPTY] = OF_CLAIM,   [CLAIM_END] = OF_CLAIM,  [OWN] = OF_CONNECTION,
     [RECEIVE] = OF_CONNECTION,  [IDLE] = OF_CONNECTION,  [PEEK] = OF_CONNECTION,
     [PUT_BACK] = OF_CONNECTION, [GONE] = PLAIN};

void thread_step(int n, int t)
{
    worker *w = &s.workers[n];
    thread *th = &w->threads[t];

    switch (kinds[th->pc]) {
    case OF_QUEUE:
        queue_step(n, w, th);
        break;
    case OF_CREDIT:
        credit_step(n, th);
        break;
    case OF_CLAIM:
        claim_step(n, th);
        break;
    case OF_CONNECTION:
        connection_step(th);
        break;
    default:
        plain_step(w, th);
    }
    if (th->pc == SERVE || th->pc == BLOCKED)
        th->then = 0;
}

int can_step(const thread *th)
{
    return th->pc != GONE && th->pc != SERVE && (th->pc != BLOCKED || th->is_woken);
}
