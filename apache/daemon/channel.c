#include "daemon/channel.h"

#include "wire/assert.h"
#include "wire/message.h"

#include <errno.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void store_fds(wsgi_channel *ch, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        int fd;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (ch->nfds < WSGI_CHANNEL_FDS)
            ch->fds[ch->nfds++] = fd;
        else
            close(fd);
    }
}

ssize_t wsgi_channel_receive(wsgi_channel *ch, char *buf, size_t room, int flags)
{
    wire_fd_space space;
    struct iovec iov = {buf, room};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &space,
                         .msg_controllen = CMSG_LEN(sizeof(int))}; /* the padding of CMSG_SPACE()
                                                                      has room for a second one */
    ssize_t n;

    do
        n = recvmsg(ch->fd, &msg, MSG_CMSG_CLOEXEC | flags);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -1
               : errno == ECONNRESET                   ? WSGI_CHANNEL_RESET
                                                       : 0;
    store_fds(ch, &msg);
    return n;
}

int wsgi_channel_send(const wsgi_channel *ch, struct iovec *iov, int n, int pass_fd)
{
    wire_fd_space space = {{0}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};

    if (pass_fd >= 0)
        wire_pass_fd(&msg, &space, pass_fd);
    while (msg.msg_iovlen > 0) {
        ssize_t done = sendmsg(ch->fd, &msg, MSG_NOSIGNAL);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        wire_message_sent(&msg, (size_t)done);
    }
    return 0;
}

int wsgi_channel_is_unread(const wsgi_channel *ch)
{
    int bytes = 0;

    return ioctl(ch->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

int wsgi_channel_take_fd(wsgi_channel *ch)
{
    int fd = ch->nfds > 0 ? ch->fds[0] : -1;

    WIRE_ASSERT(ch->nfds >= 0 && ch->nfds <= WSGI_CHANNEL_FDS);
    if (fd >= 0)
        memmove(ch->fds, ch->fds + 1, (size_t)--ch->nfds * sizeof(int));
    return fd;
}

void wsgi_channel_close(wsgi_channel *ch)
{
    if (ch->fd >= 0)
        close(ch->fd);
    while (ch->nfds > 0)
        close(ch->fds[--ch->nfds]);
}
