/* credits.h - how many threads of each worker wait for a request, in memory that the workers and
 * Apache's children share.
 *
 * A wire_credits follows the group's counters at WIRE_CREDITS_AT. Each worker has an entry as long
 * as it lives: its pid in the upper half of a word, the number of its threads that wait and that
 * nobody has spoken for in the lower half. A thread that begins to wait adds one. Apache takes one
 * before it sends a request over a connection that it has kept, so a request goes only where a
 * thread is free for it; the thread takes its own back before it accepts a new connection or ends.
 * So a worker knows how many requests are still to come, and can end without losing one. A worker
 * that is to end takes WIRE_CREDITS_CLOSED off, and nothing can be taken by others any more.
 *
 * An Apache child that dies after it took one leaves the number too low by one: that worker is then
 * reached by new connections instead, until a thread of it finds out (src/runtime/serve.c). Plain
 * C; every function is atomic and may be called by any thread of any process. */
#ifndef WIRE_CREDITS_H
#define WIRE_CREDITS_H

#include "counters.h"

/* Workers of a group at one time; others get a connection for each request. */
#define WIRE_CREDITS        128
#define WIRE_CREDITS_CLOSED (1 << 24)

typedef struct wire_credit {
    _Alignas(64) _Atomic uint64_t word; /* alone in its cache line; 0: free */
} wire_credit;

typedef struct wire_credits {
    _Alignas(64) _Atomic uint32_t used; /* entries from here on were never used */
    wire_credit by_worker[WIRE_CREDITS];
} wire_credits;

#define WIRE_CREDITS_AT  (WIRE_COUNTERS_AT + WIRE_STRIPES * sizeof(wire_counters))
#define WIRE_SHARED_SIZE (WIRE_CREDITS_AT + sizeof(wire_credits))

static inline uint64_t wire_credit_word(uint32_t pid, int32_t count)
{
    return (uint64_t)pid << 32 | (uint32_t)count;
}

static inline uint32_t wire_credit_pid(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Not above 0: nothing can be taken. */
static inline int32_t wire_credit_count(uint64_t word)
{
    return (int32_t)(uint32_t)word;
}

/* Takes one of the worker's. 1: done. 0: there is none, or the entry belongs to another worker. */
static inline int wire_credit_claim(wire_credit *credit, uint32_t pid)
{
    uint64_t word = atomic_load(&credit->word);

    while (wire_credit_pid(word) == pid && wire_credit_count(word) > 0)
        if (atomic_compare_exchange_weak(&credit->word, &word,
                                         wire_credit_word(pid, wire_credit_count(word) - 1)))
            return 1;
    return 0;
}

/* Gives back one that was not used. */
static inline void wire_credit_give(wire_credit *credit, uint32_t pid)
{
    uint64_t word = atomic_load(&credit->word);

    while (wire_credit_pid(word) == pid)
        if (atomic_compare_exchange_weak(&credit->word, &word,
                                         wire_credit_word(pid, wire_credit_count(word) + 1)))
            return;
}

#endif
