/* forks.c - Apache's threads run with their signals blocked, and its handlers are meant for
 * Apache's processes: a forked process would not end when it is told to, and would hold Apache's
 * port when Apache has stopped.
 *
 * Written once, before the application can fork; in_copy() runs in the copy, which has one
 * thread. */
#include "embedded/forks.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIGNALS 65 /* those of Linux are 1 to 64 */
#define SOCKETS 256

static void (*handlers[SIGNALS])(int); /* Apache's; NULL (SIG_DFL): it has none for this signal */
static int sockets[SOCKETS];
static int nsockets;

static int is_listening(int fd)
{
    int listens = 0;
    socklen_t len = sizeof(listens);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

static void remember_sockets(void)
{
    DIR *open_files = opendir("/proc/self/fd");
    struct dirent *entry;

    while (open_files && (entry = readdir(open_files))) {
        int fd = atoi(entry->d_name);

        if (fd > STDERR_FILENO && nsockets < SOCKETS && is_listening(fd))
            sockets[nsockets++] = fd;
    }
    if (open_files)
        closedir(open_files);
}

/* Python itself ignores these, and gives them back to programs that it executes. */
static int is_pythons(int number)
{
    return number == SIGPIPE || number == SIGXFSZ;
}

static void remember_handlers(void)
{
    struct sigaction action;

    for (int number = 1; number < SIGNALS; number++)
        if (!is_pythons(number) && sigaction(number, NULL, &action) == 0)
            handlers[number] = action.sa_handler;
}

/* What the application has changed since then stays. */
static void in_copy(void)
{
    struct sigaction action, usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number < SIGNALS; number++)
        if (handlers[number] != SIG_DFL && sigaction(number, NULL, &action) == 0 &&
            action.sa_handler == handlers[number])
            sigaction(number, &usual, NULL);
    for (int i = 0; i < nsockets; i++)
        if (is_listening(sockets[i]))
            close(sockets[i]);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void wsgi_forks_remember(void)
{
    remember_handlers();
    remember_sockets();
    pthread_atfork(NULL, NULL, in_copy);
}
