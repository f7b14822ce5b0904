/* scoreboard.c - nothing of the memory file happens when no daemon group has server-metrics=On. */
#include "groups/scoreboard.h"

#include "config/config.h"
#include "wire/assert.h"
#include "wire/clock.h"
#include "wire/scores.h"

#include <ap_mpm.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

#define HEAD_ROOM    128 /* bytes of the fields of the whole server */
#define PROCESS_ROOM 48
#define WORKER_ROOM                                                                                \
    (8 * 22 + sizeof(((worker_score *)0)->client64) + sizeof(((worker_score *)0)->request) +       \
     sizeof(((worker_score *)0)->vhost))

/* ---- formatting ---- */

typedef struct writer {
    char *at, *end;
} writer;

static void put_text(writer *w, const char *text, apr_size_t most)
{
    apr_size_t len = strnlen(text, most);

    if ((apr_size_t)(w->end - w->at) < len + 1)
        len = 0; /* cannot be: the room was counted */
    memcpy(w->at, text, len);
    w->at += len;
    *w->at++ = '\0';
}

static void put_number(writer *w, apr_int64_t number)
{
    char text[24] = "";

    if (number)
        apr_snprintf(text, sizeof(text), "%" APR_INT64_T_FMT, number);
    put_text(w, text, sizeof(text));
}

static char letter_of(int status)
{
    static const char letters[SERVER_NUM_STATUS] = {
        [SERVER_DEAD] = '.',      [SERVER_STARTING] = 'S',   [SERVER_READY] = '_',
        [SERVER_BUSY_READ] = 'R', [SERVER_BUSY_WRITE] = 'W', [SERVER_BUSY_KEEPALIVE] = 'K',
        [SERVER_BUSY_LOG] = 'L',  [SERVER_BUSY_DNS] = 'D',   [SERVER_CLOSING] = 'C',
        [SERVER_GRACEFUL] = 'G',  [SERVER_IDLE_KILL] = 'I',
    };

    return status >= 0 && status < SERVER_NUM_STATUS && letters[status] ? letters[status] : '?';
}

static void put_worker(writer *w, const worker_score *score)
{
    char letter[2] = {letter_of(score->status)};

    put_number(w, score->generation);
    put_text(w, letter, sizeof(letter));
    put_number(w, (apr_int64_t)score->access_count);
    put_number(w, score->bytes_served);
    put_number(w, score->start_time);
    put_number(w, score->stop_time);
    put_number(w, score->last_used);
    put_text(w, score->client64, sizeof(score->client64));
    put_text(w, score->request, sizeof(score->request));
    put_text(w, score->vhost, sizeof(score->vhost));
}

static void put_process(writer *w, int number, int threads)
{
    const process_score *process = ap_get_scoreboard_process(number);
    worker_score score;

    put_number(w, process->pid);
    put_number(w, process->generation);
    put_number(w, process->quiescing != 0);
    for (int i = 0; i < threads; i++) {
        ap_copy_scoreboard_worker(&score, number, i);
        put_worker(w, &score);
    }
}

static apr_size_t room_for(int processes, int threads)
{
    return HEAD_ROOM + (apr_size_t)processes * (PROCESS_ROOM + (apr_size_t)threads * WORKER_ROOM);
}

apr_size_t wsgi_scoreboard_room(void)
{
    int processes = 0, threads = 0;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &processes);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads);
    return room_for(processes, threads > 0 ? threads : 1);
}

apr_size_t wsgi_scoreboard_write(char *buf, apr_size_t room)
{
    writer w = {buf, buf + room};
    const global_score *global;

    if (!ap_exists_scoreboard_image())
        return 0;
    global = ap_get_scoreboard_global();
    if (room < room_for(global->server_limit, global->thread_limit))
        return 0;
    put_number(&w, global->server_limit);
    put_number(&w, global->thread_limit);
    put_number(&w, global->running_generation);
    put_number(&w, global->restart_time);
    put_number(&w, apr_time_now());
    for (int i = 0; i < global->server_limit; i++)
        put_process(&w, i, global->thread_limit);
    return (apr_size_t)(w.at - buf);
}

/* ---- the memory file ---- */

/* Set by the parent once, inherited by its children; retained over restarts, since workers of an
 * earlier generation may serve on, and since httpd does not change its limits at restarts either.
 */
static wire_scores *shared;
static apr_size_t shared_size;
static int shared_fd = -1;

/* The workers' descriptor cannot be turned into one for writing: the file's mode would not let
 * their user. */
static int read_only(int fd)
{
    char path[40];

    apr_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return fchmod(fd, S_IRUSR | S_IWUSR) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
}

static int share(void)
{
    int fd = memfd_create("wsgi-scoreboard", MFD_CLOEXEC);
    void *memory = MAP_FAILED;

    shared_size = sizeof(wire_scores) + wsgi_scoreboard_room();
    if (fd >= 0 && ftruncate(fd, (off_t)shared_size) == 0)
        memory = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED && (shared_fd = read_only(fd)) >= 0)
        shared = memory;
    else if (memory != MAP_FAILED)
        munmap(memory, shared_size);
    if (fd >= 0)
        close(fd);
    return shared_fd;
}

int wsgi_scoreboard_share(server_rec *s)
{
    WIRE_ASSERT(wsgi_is_parent());
    if (shared_fd < 0 && share() < 0)
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, errno, s,
            "WSGI0260: no memory for Apache's scoreboard can be shared with daemon groups; "
            "mod_wsgi.server_metrics() returns None in those with server-metrics=On");
    return shared_fd;
}

void wsgi_scoreboard_refresh(void)
{
    uint32_t ticket = shared ? wire_scores_begin(shared, wire_monotonic_us()) : 0;

    if (ticket)
        wire_scores_end(shared, ticket,
                        wsgi_scoreboard_write(shared->fields, shared_size - sizeof(*shared)));
}

/* Called every ten seconds in the parent. */
static int monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    wsgi_scoreboard_refresh();
    return DECLINED;
}

void wsgi_scoreboard_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
}
