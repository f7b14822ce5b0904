/* Two threads begin and end to wait at the same time, again and again, with the credits of
 * src/runtime/credit.c: none may be lost, and none may be left. Argument: the number of rounds. */
#include "runtime/worker.h"

#include "wire/credits.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_int at_barrier, turn;
static long rounds, lost;
static wire_credits *all;

int rt_is_detached(void)
{
    return 1;
}

/* Both threads are here. */
static void meet(void)
{
    int now = atomic_load(&turn);

    if (atomic_fetch_add(&at_barrier, 1) == 1) {
        atomic_store(&at_barrier, 0);
        atomic_fetch_add(&turn, 1);
    }
    for (int spins = 0; atomic_load(&turn) == now; spins++)
        if (spins > 100)
            sched_yield();
}

/* In one of the threads, while the other one waits in meet(). */
static void look(int is_looking, int waiting, int credits)
{
    meet();
    if (is_looking) {
        uint64_t word = atomic_load(&all->by_worker[0].word);

        lost += wire_credit_waiting(word) != waiting || wire_credit_unclaimed(word) != credits;
    }
    meet();
}

static void *run(void *is_first)
{
    for (long i = 0; i < rounds; i++) {
        rt_credit_wait();
        look(is_first != NULL, 2, 2);
        if (is_first) {
            rt_credit_leave();
        } else if (!rt_credit_take_back()) {
            rt_credit_leave();
        }
        look(is_first != NULL, 0, 0);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int fd = memfd_create("credits", 0);
    pthread_t other;
    char *memory;

    rounds = argc > 1 ? atol(argv[1]) : 1000;
    if (fd < 0 || ftruncate(fd, (off_t)WIRE_SHARED_SIZE) < 0 || rt_credit_open(fd) < 0)
        return 2;
    memory = mmap(NULL, WIRE_SHARED_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return 2;
    all = (wire_credits *)(memory + WIRE_CREDITS_AT);
    pthread_create(&other, NULL, run, NULL);
    run(&rounds);
    pthread_join(other, NULL);
    printf("%ld of %ld\n", lost, rounds);
    return lost != 0;
}
