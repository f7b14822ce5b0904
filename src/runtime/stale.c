/* stale.c - scripts that are newer on disk than what a worker has loaded. The supervisor is told and has them loaded elsewhere; when that
 * fails, it tells which versions are no good.
 *
 * kept_lock guards the list, which any thread of any interpreter may ask; it is never held while waiting for anything. */
#include "core.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef struct kept {
    char *script;
    size_t len;
    int64_t mtime_us;
    struct kept *next;
} kept;

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static kept *all_kept; /* one per script; under kept_lock */
static _Atomic uint64_t last_told;

static kept *find(rt_slice script)
{
    for (kept *k = all_kept; k; k = k->next)
        if (k->len == script.len && !memcmp(k->script, script.at, script.len))
            return k;
    return NULL;
}

void rt_keep(rt_slice script, int64_t mtime_us)
{
    kept *k;

    pthread_mutex_lock(&kept_lock);
    k = find(script);
    if (!k && (k = calloc(1, sizeof(*k)))) {
        k->script = malloc(script.len + 1);
        if (k->script) {
            memcpy(k->script, script.at, script.len);
            k->len = script.len;
        }
        k->next = all_kept;
        all_kept = k;
    }
    if (k)
        k->mtime_us = mtime_us;
    pthread_mutex_unlock(&kept_lock);
}

static int is_kept(const rt_request *rq)
{
    const kept *k;
    int yes;

    pthread_mutex_lock(&kept_lock);
    k = find(RT_META(rq, WIRE_M_SCRIPT));
    yes = k && k->mtime_us == rq->head.script_mtime_us;
    pthread_mutex_unlock(&kept_lock);
    return yes;
}

static uint64_t hash(uint64_t h, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u; /* FNV-1a */
    return h;
}

static int is_one_field(rt_slice text)
{
    return !memchr(text.at, '\n', text.len) && !memchr(text.at, '\t', text.len);
}

/* Requests that come meanwhile find the same; one message is enough. */
static void tell_supervisor(const rt_request *rq)
{
    rt_slice script = RT_META(rq, WIRE_M_SCRIPT), group = RT_META(rq, WIRE_M_APPLICATION_GROUP), name = RT_META(rq, WIRE_M_CALLABLE);
    uint64_t h = hash(0xcbf29ce484222325u ^ (uint64_t)rq->head.script_mtime_us, script.at, script.len);
    char line[4096];
    int len;

    if (rt_the_process.control_fd < 0 || atomic_exchange(&last_told, h) == h || !is_one_field(script) || !is_one_field(name))
        return;
    /* Clients may have a say in its name, by WSGIScriptAliasMatch for instance, but not in what the supervisor reads. */
    if (!is_one_field(group))
        group.len = 0;
    len = snprintf(line, sizeof(line), "stale %lld\t%.*s\t%.*s\t%.*s\n", (long long)rq->head.script_mtime_us, (int)group.len, group.at,
                   (int)name.len, name.at, (int)script.len, script.at);
    if (len >= (int)sizeof(line) || send(rt_the_process.control_fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        atomic_store(&last_told, 0); /* the next request tries again */
}

int rt_stale_is_served(const rt_request *rq)
{
    int served = is_kept(rq);

    if (!served)
        tell_supervisor(rq);
    return served || rt_the_process.rolling;
}
