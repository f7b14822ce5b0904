/* message.h - what sendmsg() needs on both sides: a descriptor to travel along, and the rest when
 * not all was taken. Plain C. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Room for one descriptor. */
typedef union wire_fd_space {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
} wire_fd_space;

/* fd travels with the first byte of msg (SCM_RIGHTS); *space, which was zeroed, is in use until
 * that is sent. */
static inline void wire_pass_fd(struct msghdr *msg, wire_fd_space *space, int fd)
{
    struct cmsghdr *c;

    msg->msg_control = space;
    msg->msg_controllen = sizeof(space->bytes);
    c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

/* Takes `done` bytes off the beginning of msg, which were sent, and the descriptor that travelled
 * with them. Its iovecs are changed. */
static inline void wire_message_sent(struct msghdr *msg, size_t done)
{
    msg->msg_control = NULL;
    msg->msg_controllen = 0;
    while (msg->msg_iovlen > 0 && done >= msg->msg_iov->iov_len) {
        done -= msg->msg_iov->iov_len;
        msg->msg_iov++;
        msg->msg_iovlen--;
    }
    if (msg->msg_iovlen > 0) {
        msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + done;
        msg->msg_iov->iov_len -= done;
    }
}

#endif
