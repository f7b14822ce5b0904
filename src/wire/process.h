/* process.h - processes that shared memory names. Plain C. */
#ifndef WIRE_PROCESS_H
#define WIRE_PROCESS_H

#include <errno.h>
#include <signal.h>
#include <sys/types.h>

/* Returns 1 when there is no such process, else 0, also when it belongs to another user. */
static inline int wire_is_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

#endif
