/* channel.h - bytes and file descriptors over the AF_UNIX stream to a worker.
 *
 * Belongs to the thread that connected it. */
#ifndef WSGI_CHANNEL_H
#define WSGI_CHANNEL_H

#include <sys/types.h>
#include <sys/uio.h>

#define WSGI_CHANNEL_FDS 4 /* received and not yet taken; more are closed */

typedef struct wsgi_channel {
    int fd; /* blocking; -1: another request has it now */
    int fds[WSGI_CHANNEL_FDS], nfds;
} wsgi_channel;

#define WSGI_CHANNEL_RESET (-2)

/* Receives what comes within the receive time-out of fd; flags as for recvmsg(). Returns the number
 * of bytes, 0 at end-of-file or after an error, -1 when nothing has come, or WSGI_CHANNEL_RESET:
 * the worker has gone and has not read everything, so it did not begin with the request. */
ssize_t wsgi_channel_receive(wsgi_channel *ch, char *buf, size_t room, int flags);

/* Sends everything in iov, which is used up. pass_fd: a descriptor to travel with the first byte,
 * or -1. Returns 0, or -1 when the worker has gone. */
int wsgi_channel_send(const wsgi_channel *ch, struct iovec *iov, int n, int pass_fd);

/* Returns 1 when there is something that no worker has read yet, else 0. Workers read all of a
 * request before they begin with it. */
int wsgi_channel_is_unread(const wsgi_channel *ch);

/* Returns the first descriptor that was received, which is the caller's now, or -1. */
int wsgi_channel_take_fd(wsgi_channel *ch);

/* Closes the socket and the descriptors that were not taken. */
void wsgi_channel_close(wsgi_channel *ch);

#endif
