/* status_kernel.c - what only the kernel knows of workers and their socket. */
#include "status/status_kernel.h"

#include "wire/process.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Reads a small file of /proc, NUL-terminated. Returns its length, or -1. */
static ssize_t read_file(pid_t pid, const char *name, char *buf, size_t room)
{
    char path[48];
    ssize_t n;
    int fd;

    apr_snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return -1;
    n = read(fd, buf, room - 1);
    close(fd);
    if (n >= 0)
        buf[n] = '\0';
    return n;
}

/* proc(5): the command may hold spaces and parentheses, so fields are counted behind it. utime and
 * stime are 14 and 15. */
static apr_int64_t cpu_of(pid_t pid)
{
    char buf[1024], *at;
    apr_int64_t ticks;

    if (read_file(pid, "stat", buf, sizeof(buf)) < 0 || !(at = strrchr(buf, ')')))
        return -1;
    for (int field = 2; field < 14 && at; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return -1;
    ticks = strtoll(at, &at, 10);
    ticks += strtoll(at, &at, 10);
    return ticks * APR_USEC_PER_SEC / sysconf(_SC_CLK_TCK);
}

static apr_int64_t resident_of(pid_t pid)
{
    char buf[128], *at;

    if (read_file(pid, "statm", buf, sizeof(buf)) < 0 || !(at = strchr(buf, ' ')))
        return -1;
    return strtoll(at, NULL, 10) * sysconf(_SC_PAGESIZE);
}

int wsgi_kernel_process(pid_t pid, apr_int64_t *resident_bytes, apr_int64_t *cpu_us)
{
    if (wire_is_gone(pid))
        return -1;
    *resident_bytes = resident_of(pid);
    *cpu_us = cpu_of(pid);
    return 0;
}

/* sock_diag(7): UDIAG_SHOW_RQLEN is the length of a listening socket's queue. */
static int ask_queue(int fd, ino_t inode, char *answer, size_t room, ssize_t *len)
{
    struct {
        struct nlmsghdr head;
        struct unix_diag_req body;
    } query = {
        .head = {.nlmsg_len = sizeof(query),
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = AF_UNIX,
                 .udiag_states = 1u << 10,
                 .udiag_ino = (__u32)inode,
                 .udiag_show = UDIAG_SHOW_RQLEN,
                 .udiag_cookie = {~0u, ~0u}},
    };
    struct timeval patience = {.tv_usec = 100000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (send(fd, &query, sizeof(query), 0) < 0)
        return -1;
    *len = recv(fd, answer, room, 0);
    return *len < 0 ? -1 : 0;
}

static int queue_in(const char *answer, ssize_t len)
{
    const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
    size_t at = NLMSG_LENGTH(sizeof(struct unix_diag_msg));

    if (len < (ssize_t)sizeof(*head) || head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return -1;
    while (at + sizeof(struct nlattr) <= (size_t)len) {
        const struct nlattr *attribute = (const struct nlattr *)(answer + at);
        const struct unix_diag_rqlen *queue = (const struct unix_diag_rqlen *)(attribute + 1);

        if (attribute->nla_type == UNIX_DIAG_RQLEN &&
            at + sizeof(*attribute) + sizeof(*queue) <= (size_t)len)
            return (int)queue->udiag_rqueue;
        at += NLA_ALIGN(attribute->nla_len > sizeof(*attribute) ? attribute->nla_len
                                                                : sizeof(*attribute));
    }
    return -1;
}

int wsgi_kernel_queue(ino_t listen_inode)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), waiting = -1;
    _Alignas(struct nlmsghdr) char answer[8192];
    ssize_t len;

    if (fd < 0)
        return -1;
    if (ask_queue(fd, listen_inode, answer, sizeof(answer), &len) == 0)
        waiting = queue_in(answer, len);
    close(fd);
    return waiting;
}
