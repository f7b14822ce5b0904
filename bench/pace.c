/* pace - asks at a constant rate, whatever the answers take, and says how long they took.
 *
 *     pace PORT PATH CONNECTIONS RATE SECONDS
 *
 * Request number n is due n/RATE seconds after the start, and its latency counts from then on: a
 * server that stalls is charged with all requests that were due meanwhile, not only with those that
 * were under way. A request goes over the connection that has been free for longest; without a free
 * one it waits, and that counts, too. The first tenth is left out. Prints: requests, failures, and
 * 50th, 90th, 99th percentile and maximum in microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MOST = 4096, EVENTS = 256, PATIENCE_S = 10 };
#define NS 1000000000ULL

typedef struct conn {
    struct conn *next; /* in the queue of free ones */
    int fd;
    int is_busy;
    uint64_t due;
    size_t got;
    char answer[ANSWER_MOST + 1];
} conn;

static struct sockaddr_in address;
static char request[1024];
static int poller;
static conn *first_free, **last_free = &first_free;
static uint32_t *latencies_us;
static size_t finished, failed, warm;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void give_back(conn *c)
{
    c->is_busy = 0;
    c->next = NULL;
    *last_free = c;
    last_free = &c->next;
}

static conn *take(void)
{
    conn *c = first_free;

    if (c && !(first_free = c->next))
        last_free = &first_free;
    return c;
}

static void dial(conn *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
}

static void ask(conn *c, uint64_t due)
{
    c->is_busy = 1;
    c->due = due;
    c->got = 0;
    if (send(c->fd, request, strlen(request), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        die("send");
}

static void finish(conn *c, int is_good)
{
    uint64_t took_us = (now_ns() - c->due) / 1000;

    if (finished++ >= warm)
        latencies_us[finished - warm - 1] = took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
    failed += !is_good;
    give_back(c);
}

static int is_complete(const conn *c)
{
    const char *end = strstr(c->answer, "\r\n\r\n");
    const char *length = end ? strcasestr(c->answer, "\r\nContent-Length:") : NULL;

    return length && length < end &&
           c->got >= (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

/* An idle connection may be closed by the server at any time; a busy one that is has lost its
 * request. */
static void hear(conn *c)
{
    ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MOST - c->got, 0);

    if (n <= 0) {
        close(c->fd);
        dial(c);
        if (c->is_busy)
            finish(c, 0);
        return;
    }
    if (!c->is_busy)
        return;
    c->got += (size_t)n;
    c->answer[c->got] = '\0';
    if (is_complete(c))
        finish(c, !strncmp(c->answer, "HTTP/1.1 200 ", 13));
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report(void)
{
    size_t n = finished > warm ? finished - warm : 0;

    if (!n) {
        fprintf(stderr, "no answers\n");
        exit(1);
    }
    qsort(latencies_us, n, sizeof(*latencies_us), by_size);
    printf("%zu %zu %u %u %u %u\n", finished, failed, latencies_us[n / 2], latencies_us[n * 9 / 10],
           latencies_us[n * 99 / 100], latencies_us[n - 1]);
}

static void run(int timer, double rate, size_t total)
{
    uint64_t begin = now_ns(),
             last = begin + (uint64_t)((double)total / rate * NS) + PATIENCE_S * NS;
    struct epoll_event events[EVENTS];
    size_t asked = 0;

    while (finished < total && now_ns() < last) {
        struct itimerspec at = {0};
        uint64_t due = begin + (uint64_t)((double)asked / rate * NS);
        conn *c;
        int n;

        if (asked < total && due <= now_ns() && (c = take())) {
            ask(c, due);
            asked++;
            continue;
        }
        if (asked < total && first_free) {
            at.it_value.tv_sec = (time_t)(due / NS);
            at.it_value.tv_nsec = (long)(due % NS);
        } else { /* an answer comes first, or never */
            at.it_value.tv_sec = (time_t)(last / NS) + 1;
        }
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                hear(events[i].data.ptr);
    }
    failed += total - finished;
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    int timer, connections;
    double rate;
    size_t total;
    conn *all;

    if (argc != 6) {
        fprintf(stderr, "pace PORT PATH CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);
    connections = atoi(argv[3]);
    rate = atof(argv[4]);
    total = (size_t)(rate * atof(argv[5])) + 1;
    warm = total / 10;
    all = calloc((size_t)connections, sizeof(*all));
    latencies_us = calloc(total, sizeof(*latencies_us));
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (!all || !latencies_us || poller < 0 || timer < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event) < 0)
        die("pace");
    for (int i = 0; i < connections; i++) {
        dial(&all[i]);
        give_back(&all[i]);
    }
    run(timer, rate, total);
    report();
    return 0;
}
