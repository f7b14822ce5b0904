/* process.h - processes that shared memory names. Plain C. */
#ifndef WIRE_PROCESS_H
#define WIRE_PROCESS_H

#include <errno.h>
#include <signal.h>
#include <sys/types.h>

/* Is there no such process any more? One of another user is there, too. */
static inline int wire_is_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

#endif
