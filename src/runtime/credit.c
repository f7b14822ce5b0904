/* credit.c - this worker's entry in the group's wire_credits (wire/credits.h), and a look at those
 * of others.
 *
 * Everything here is atomic and may be called by any request thread. `mine` and `all` are set once
 * before the threads start, and by the last one at its end. */
#include "worker.h"

#include "wire/credits.h"
#include "wire/process.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static wire_credit alone, *mine = &alone; /* alone: not shared, for a worker without an entry */
static wire_credits *all;                 /* NULL: this worker has no entry */
static atomic_int is_closed;

static int is_free(uint64_t word)
{
    pid_t owner = (pid_t)wire_credit_pid(word);

    return owner == 0 || wire_is_gone(owner);
}

static wire_credit *take_entry(wire_credits *shared, uint32_t pid)
{
    for (uint32_t i = 0; i < WIRE_CREDITS; i++) {
        uint64_t word = atomic_load(&shared->by_worker[i].word);

        if (is_free(word) && atomic_compare_exchange_strong(&shared->by_worker[i].word, &word,
                                                            (uint64_t)pid << 32)) {
            uint32_t used = atomic_load(&shared->used);

            atomic_store(&shared->by_worker[i].since, 0);
            while (used <= i && !atomic_compare_exchange_weak(&shared->used, &used, i + 1))
                continue;
            return &shared->by_worker[i];
        }
    }
    return NULL;
}

int rt_credit_open(int fd)
{
    struct stat st;
    char *memory;
    wire_credit *entry;

    if (fstat(fd, &st) < 0)
        return -1;
    if (st.st_size < (off_t)WIRE_SHARED_SIZE) {
        errno = EINVAL;
        return -1;
    }
    memory = mmap(NULL, WIRE_SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -1;
    entry = take_entry((wire_credits *)(memory + WIRE_CREDITS_AT), (uint32_t)getpid());
    if (!entry) {
        munmap(memory, WIRE_SHARED_SIZE);
        errno = ENOSPC;
        return -1;
    }
    mine = entry;
    all = (wire_credits *)(memory + WIRE_CREDITS_AT);
    return 0;
}

int rt_credit_is_open(void)
{
    rt_assert_detached();
    return mine != &alone && !atomic_load(&is_closed);
}

int rt_credit_is_any_left(void)
{
    rt_assert_detached();
    return wire_credit_unclaimed(atomic_load(&mine->word)) > 0;
}

int rt_credit_is_any_waiting(void)
{
    rt_assert_detached();
    return wire_credit_waiting(atomic_load(&mine->word)) > 0;
}

void rt_credit_wait(void)
{
    rt_assert_detached();
    wire_credit_wait(mine);
}

void rt_credit_leave(void)
{
    rt_assert_detached();
    WIRE_ASSERT(wire_credit_waiting(atomic_load(&mine->word)) > 0);
    wire_credit_leave(mine);
}

int rt_credit_take_back(void)
{
    rt_assert_detached();
    return wire_credit_take_back(mine);
}

void rt_credit_begin(void)
{
    rt_assert_detached();
    wire_credit_begin(mine);
}

void rt_credit_close(void)
{
    atomic_store(&is_closed, 1);
    wire_credit_close(mine);
}

void rt_credit_end(void)
{
    rt_assert_detached();
    atomic_store(&mine->word, 0);
    mine = &alone;
}

/* ---- other workers ---- */

int rt_credit_are_others(void)
{
    rt_assert_detached();
    return !all || atomic_load_explicit(&all->used, memory_order_relaxed) > 1;
}

int rt_credit_pass_on(void)
{
    rt_assert_detached();
    if (!all)
        return 1;
    wire_credits_note_news(all);
    return wire_credits_are_any(all, mine);
}

int rt_credit_is_better_elsewhere(void)
{
    rt_assert_detached();
    return all && wire_credit_is_stuck(mine) && wire_credits_are_any(all, mine);
}

uint32_t rt_credit_news(void)
{
    rt_assert_detached();
    return all ? atomic_load(&all->news) : 0;
}

int rt_credit_are_news(void)
{
    return wire_credits_are_news(rt_credit_news());
}

void rt_credit_end_news(uint32_t seen)
{
    rt_assert_detached();
    if (all)
        wire_credits_end_news(all, seen);
}
