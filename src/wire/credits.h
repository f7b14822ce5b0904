/* credits.h - how many threads of each worker wait for a request, in memory that the workers and
 * Apache's children share.
 *
 * A wire_credits follows the group's counters at WIRE_CREDITS_AT. Each worker has an entry as long
 * as it lives. One word of it has all that counts, so every change is one compare-and-swap: the
 * pid, the number of threads that wait, and how many of those nobody has claimed, which are the
 * credits. There are never more credits than threads that wait.
 *
 *     wait       a thread begins to wait                     waiting + 1, credits + 1
 *     claim      Apache will send a request                               credits - 1
 *     give       Apache has not sent it                                   credits + 1
 *     leave      a thread that waits has got a request       waiting - 1
 *     take_back  a thread that waits does something else     waiting - 1, credits - 1
 *
 * Apache claims a credit before it sends a request over a keep-alive connection, so a request goes
 * only where a thread is free for it. A thread takes its credit back before it accepts a new
 * connection or ends. When it cannot, a request is on its way to this worker. So a worker knows how
 * many requests are still to come, and can end without losing one.
 *
 * A claim is lost when its Apache child dies before it has sent the request. Then a thread waits
 * without a credit, until it takes a new connection instead (src/runtime/serve.c). When a claim was
 * taken for lost and its request comes all the same, `leave` sees to it that no credit is left
 * without a thread.
 *
 * `news` is for new connections, which wait in the group's queue and wake one thread of one worker.
 * The last thread that leaves its worker while there is a queue adds one, and only then looks for
 * credits of others, which it would wake. A thread that begins to wait shows its credit first and
 * then looks at `news`. So at least one of the two sees the other.
 *
 * Plain C; every function is atomic and may be called by any thread of any process. */
#ifndef WIRE_CREDITS_H
#define WIRE_CREDITS_H

#include "counters.h"

#include <time.h>

/* Workers of a group at one time; others get a connection for each request. */
#define WIRE_CREDITS 128

/* A worker that has taken a request and for this long finished none is passed over: it may be
 * stopped, or one of its threads keeps the interpreter lock. */
#define WIRE_CREDITS_STUCK_MS 1000

typedef struct wire_credit {
    _Alignas(64) _Atomic uint64_t word; /* alone in its cache line with `since`; 0: free */
    _Atomic uint32_t since; /* wire_credit_now() of the first request that was taken after a thread
                               had begun to wait; 0: there was none */
} wire_credit;

typedef struct wire_credits {
    _Alignas(64) _Atomic uint32_t used; /* entries from here on were never used */
    _Atomic uint32_t news; /* odd: there may be a queue that workers with free threads were not told
                              about; grows with each change */
    wire_credit by_worker[WIRE_CREDITS];
} wire_credits;

#define WIRE_CREDITS_AT  (WIRE_COUNTERS_AT + WIRE_STRIPES * sizeof(wire_counters))
#define WIRE_SHARED_SIZE (WIRE_CREDITS_AT + sizeof(wire_credits))

/* ---- the word: pid, closed, waiting, credits ---- */

#define WIRE_CREDIT_CLOSED  (UINT64_C(1) << 31)
#define WIRE_CREDIT_THREAD  (UINT64_C(1) << 16)
#define WIRE_CREDIT_THREADS 0x7fff /* most threads of a worker */

static inline uint32_t wire_credit_pid(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Returns the number of threads that wait. */
static inline int wire_credit_waiting(uint64_t word)
{
    return (int)(word >> 16 & WIRE_CREDIT_THREADS);
}

/* Returns the number of threads that wait and that nobody has claimed. */
static inline int wire_credit_unclaimed(uint64_t word)
{
    return (int)(word & 0xffff);
}

/* Returns the number of credits that can be claimed. */
static inline int wire_credit_count(uint64_t word)
{
    return word & WIRE_CREDIT_CLOSED ? 0 : wire_credit_unclaimed(word);
}

/* ---- by a worker, for its own entry ---- */

/* A thread begins to wait. */
static inline void wire_credit_wait(wire_credit *credit)
{
    atomic_fetch_add(&credit->word, WIRE_CREDIT_THREAD + 1);
    if (atomic_load_explicit(&credit->since, memory_order_relaxed) != 0)
        atomic_store_explicit(&credit->since, 0, memory_order_relaxed);
}

/* A thread that waits has got a request. */
static inline void wire_credit_leave(wire_credit *credit)
{
    uint64_t word = atomic_load(&credit->word), left;

    do {
        left = word - WIRE_CREDIT_THREAD;
        left -= wire_credit_unclaimed(left) > wire_credit_waiting(left);
    } while (!atomic_compare_exchange_weak(&credit->word, &word, left));
}

/* A thread that waits wants to do something else. Returns 1, or 0 when it must wait on, as all
 * threads that wait are claimed. */
static inline int wire_credit_take_back(wire_credit *credit)
{
    uint64_t word = atomic_load(&credit->word);

    while (wire_credit_unclaimed(word) > 0)
        if (atomic_compare_exchange_weak(&credit->word, &word, word - WIRE_CREDIT_THREAD - 1))
            return 1;
    return 0;
}

/* From now on nothing can be claimed. */
static inline void wire_credit_close(wire_credit *credit)
{
    atomic_fetch_or(&credit->word, WIRE_CREDIT_CLOSED);
}

/* ---- by Apache ---- */

/* Claims a credit of this worker. Returns 1, or 0 when there is none, or when the entry belongs to
 * another worker. */
static inline int wire_credit_claim(wire_credit *credit, uint32_t pid)
{
    uint64_t word = atomic_load(&credit->word);

    while (wire_credit_pid(word) == pid && wire_credit_count(word) > 0)
        if (atomic_compare_exchange_weak(&credit->word, &word, word - 1))
            return 1;
    return 0;
}

/* Gives back one that was not used. When it was taken for lost meanwhile, nothing changes. */
static inline void wire_credit_give(wire_credit *credit, uint32_t pid)
{
    uint64_t word = atomic_load(&credit->word);

    while (wire_credit_pid(word) == pid && wire_credit_unclaimed(word) < wire_credit_waiting(word))
        if (atomic_compare_exchange_weak(&credit->word, &word, word + 1))
            return;
}

/* ---- stuck workers; by both ---- */

/* Returns the time in milliseconds, never 0. It wraps around. */
static inline uint32_t wire_credit_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return ((uint32_t)now.tv_sec * 1000 + (uint32_t)(now.tv_nsec / 1000000)) | 1;
}

/* This worker has taken a request. */
static inline void wire_credit_begin(wire_credit *credit)
{
    if (atomic_load_explicit(&credit->since, memory_order_relaxed) == 0)
        atomic_store_explicit(&credit->since, wire_credit_now(), memory_order_relaxed);
}

/* Returns 1 when this worker has not moved for a while, else 0. */
static inline int wire_credit_is_stuck(const wire_credit *credit)
{
    uint32_t since = atomic_load_explicit(&credit->since, memory_order_relaxed);

    return since != 0 && wire_credit_now() - since > WIRE_CREDITS_STUCK_MS;
}

/* Returns 1 when a worker other than this one, which may be NULL, has a credit and is not stuck,
 * else 0. */
static inline int wire_credits_are_any(const wire_credits *all, const wire_credit *but)
{
    uint32_t used = atomic_load(&all->used); /* applications can write to it */

    for (uint32_t i = 0; i < used && i < WIRE_CREDITS; i++) {
        const wire_credit *credit = &all->by_worker[i];

        if (credit != but && wire_credit_count(atomic_load(&credit->word)) > 0 &&
            !wire_credit_is_stuck(credit))
            return 1;
    }
    return 0;
}

/* ---- news; by workers ---- */

/* Returns 1 when this value of `news` says that there may be a queue, else 0. */
static inline int wire_credits_are_news(uint32_t news)
{
    return news & 1;
}

/* There is a queue. */
static inline void wire_credits_note_news(wire_credits *all)
{
    uint32_t news = atomic_load(&all->news);

    while (!atomic_compare_exchange_weak(&all->news, &news, (news + 2) | 1))
        continue;
}

/* The queue was found empty after `news` was read as `seen`. Changes nothing when there were others
 * since, as no value of `news` comes twice. */
static inline void wire_credits_end_news(wire_credits *all, uint32_t seen)
{
    if (wire_credits_are_news(seen))
        atomic_compare_exchange_strong(&all->news, &seen, seen + 1);
}

#endif
