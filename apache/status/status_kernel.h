/* status_kernel.h - what only the kernel knows of workers and their socket.
 *
 * Apache children, any thread. */
#ifndef WSGI_STATUS_KERNEL_H
#define WSGI_STATUS_KERNEL_H

#include <apr.h>
#include <sys/types.h>

/* Returns 0, or -1 when the process has gone. What may not be seen is set to -1. */
int wsgi_kernel_process(pid_t pid, apr_int64_t *resident_bytes, apr_int64_t *cpu_us);

/* Returns the number of connections that wait at a listening AF_UNIX socket, or -1 when the kernel
 * does not tell. */
int wsgi_kernel_queue(ino_t listen_inode);

#endif
