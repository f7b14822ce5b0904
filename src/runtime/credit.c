/* credit.c - this worker's entry in the group's wire_credits: how many of its threads wait.
 *
 * This worker's threads and Apache's children change the word, always by compare-and-swap.
 * `waiting` counts the threads between rt_credit_add() and rt_credit_waited() and is an upper limit
 * for the credits. So they cannot stay too high when a claim was taken for lost and its request
 * came all the same. */
#include "worker.h"

#include "wire/credits.h"
#include "wire/process.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static wire_credit alone, *mine = &alone; /* alone: not shared, for a worker without an entry */
static uint32_t my_pid;
static atomic_int waiting, is_closed;

static int is_free(uint64_t word)
{
    pid_t owner = (pid_t)wire_credit_pid(word);

    return owner == 0 || wire_is_gone(owner);
}

static wire_credit *take_entry(wire_credits *all)
{
    for (uint32_t i = 0; i < WIRE_CREDITS; i++) {
        uint64_t word = atomic_load(&all->by_worker[i].word);

        if (is_free(word) && atomic_compare_exchange_strong(&all->by_worker[i].word, &word,
                                                            wire_credit_word(my_pid, 0))) {
            uint32_t used = atomic_load(&all->used);

            while (used <= i && !atomic_compare_exchange_weak(&all->used, &used, i + 1))
                continue;
            return &all->by_worker[i];
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
    my_pid = (uint32_t)getpid();
    entry = take_entry((wire_credits *)(memory + WIRE_CREDITS_AT));
    if (!entry) {
        errno = ENOSPC;
        return -1;
    }
    mine = entry;
    return 0;
}

int rt_credit_is_open(void)
{
    rt_assert_detached();
    return mine != &alone && !atomic_load(&is_closed);
}

/* Returns the number of credits that Apache has not claimed. */
static int32_t left_of(uint64_t word)
{
    int32_t count = wire_credit_count(word);

    return count < -(WIRE_CREDITS_CLOSED / 2) ? count + WIRE_CREDITS_CLOSED : count;
}

int rt_credit_is_any_left(void)
{
    rt_assert_detached();
    return left_of(atomic_load(&mine->word)) > 0;
}

void rt_credit_add(void)
{
    int32_t most = atomic_fetch_add(&waiting, 1) + 1;
    uint64_t word = atomic_load(&mine->word);

    rt_assert_detached();
    while (left_of(word) < most &&
           !atomic_compare_exchange_weak(&mine->word, &word,
                                         wire_credit_word(my_pid, wire_credit_count(word) + 1)))
        continue;
}

int rt_credit_take_back(void)
{
    uint64_t word = atomic_load(&mine->word);

    rt_assert_detached();
    while (left_of(word) > 0)
        if (atomic_compare_exchange_weak(&mine->word, &word,
                                         wire_credit_word(my_pid, wire_credit_count(word) - 1)))
            return 1;
    return 0;
}

void rt_credit_waited(void)
{
    rt_assert_detached();
    WIRE_ASSERT(atomic_load(&waiting) > 0);
    atomic_fetch_sub(&waiting, 1);
}

void rt_credit_close(void)
{
    uint64_t word = atomic_load(&mine->word);

    if (atomic_exchange(&is_closed, 1))
        return;
    while (!atomic_compare_exchange_weak(&mine->word, &word,
                                         wire_credit_word(my_pid, wire_credit_count(word) -
                                                                      WIRE_CREDITS_CLOSED)))
        continue;
}

void rt_credit_end(void)
{
    rt_assert_detached();
    atomic_store(&mine->word, 0);
    mine = &alone;
}
