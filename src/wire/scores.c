#include "scores.h"

#include <string.h>
#include <time.h>

/* A writer needs less than a millisecond; one that died while writing must not hold readers for
 * ever. */
#define TRIES 200

uint32_t wire_scores_begin(wire_scores *s, int64_t now_us)
{
    int64_t claimed = atomic_load_explicit(&s->claimed_us, memory_order_relaxed);
    uint32_t sequence;

    if (now_us >= claimed && now_us - claimed < WIRE_SCORES_AGE_US) /* otherwise it is old, or the
                                                                       clock was set back */
        return 0;
    if (!atomic_compare_exchange_strong(&s->claimed_us, &claimed, now_us))
        return 0;
    sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);
    sequence += sequence & 1 ? 2 : 1;
    atomic_store_explicit(&s->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* no field changes before the number is odd */
    return sequence;
}

void wire_scores_end(wire_scores *s, uint32_t ticket, size_t len)
{
    atomic_store_explicit(&s->len, (uint32_t)len, memory_order_relaxed);
    atomic_compare_exchange_strong_explicit(&s->sequence, &ticket, ticket + 1, memory_order_release,
                                            memory_order_relaxed);
}

size_t wire_scores_copy(char *buf, const wire_scores *s, size_t size)
{
    wire_scores *shared = (wire_scores *)s; /* C11 loads take no pointer to const */
    const struct timespec pause = {.tv_nsec = 100000};

    for (int i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load_explicit(&shared->sequence, memory_order_acquire);
        uint32_t len = atomic_load_explicit(&shared->len, memory_order_relaxed);

        if (before == 0)
            return 0;
        if (!(before & 1) && len <= size - sizeof(*s)) {
            memcpy(buf, s->fields, len);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&shared->sequence, memory_order_relaxed) == before)
                return len;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}
