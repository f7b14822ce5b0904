/* channel.h - bytes and file descriptors over the AF_UNIX stream to a worker.
 *
 * Belongs to the thread that connected it. */
#ifndef WSGI_CHANNEL_H
#define WSGI_CHANNEL_H

#include <sys/types.h>
#include <sys/uio.h>

#define WSGI_CHANNEL_FDS 4 /* received and not yet taken; more are closed */

typedef struct wsgi_channel {
    int fd; /* blocking; -1: it has been taken away */
    int fds[WSGI_CHANNEL_FDS], nfds;
} wsgi_channel;

#define WSGI_CHANNEL_RESET (-2)

/* What comes within the receive time-out of fd; flags as for recvmsg(). Bytes, 0 at end-of-file or
 * after an error, -1 when nothing is there, WSGI_CHANNEL_RESET: the worker has gone without having
 * read all that was sent, so it did not begin with it. */
ssize_t wsgi_channel_receive(wsgi_channel *ch, char *buf, size_t room, int flags);

/* Everything in iov, which is used up; pass_fd: a descriptor to travel with the first byte, or -1.
 * 0, or -1 when the worker has gone. */
int wsgi_channel_send(const wsgi_channel *ch, struct iovec *iov, int n, int pass_fd);

/* Is there something that no worker has read yet? Workers read all of a request before they begin
 * with it. */
int wsgi_channel_is_unread(const wsgi_channel *ch);

/* Has the other side of this socket stopped sending? -1: it is not known, and so it has not. */
int wsgi_has_hung_up(int fd);

/* The first descriptor that was received, now the caller's; -1: there is none. */
int wsgi_channel_take_fd(wsgi_channel *ch);

/* Closes it and what nobody took. */
void wsgi_channel_close(wsgi_channel *ch);

#endif
