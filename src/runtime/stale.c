/* stale.c - scripts that are newer on disk than the code that a worker has loaded, and scripts that
 * it could not load. The worker reports them, and the supervisor has another worker load them. When
 * that fails, it reports the version back to all workers as rejected.
 *
 * list_lock guards the list, which any thread of any interpreter may read. No thread waits for
 * anything else while it holds it. */
#include "request.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef struct rejected {
    char *script;
    size_t len;
    int64_t mtime_us;
    struct rejected *next;
} rejected;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static rejected *all_rejected;                   /* one per script; under list_lock */
static _Atomic uint64_t last_stale, last_failed; /* hashes of the last reports */

static rejected *find(rt_slice script)
{
    for (rejected *r = all_rejected; r; r = r->next)
        if (r->len == script.len && !memcmp(r->script, script.at, script.len))
            return r;
    return NULL;
}

void rt_reject_version(rt_slice script, int64_t mtime_us)
{
    rejected *r;

    pthread_mutex_lock(&list_lock);
    r = find(script);
    if (!r && (r = calloc(1, sizeof(*r)))) {
        r->script = malloc(script.len + 1);
        if (r->script) {
            memcpy(r->script, script.at, script.len);
            r->len = script.len;
        }
        r->next = all_rejected;
        all_rejected = r;
    }
    if (r)
        r->mtime_us = mtime_us;
    pthread_mutex_unlock(&list_lock);
}

static int is_rejected(const rt_request *rq)
{
    const rejected *r;
    int yes;

    pthread_mutex_lock(&list_lock);
    r = find(RT_META(rq, WIRE_M_SCRIPT));
    yes = r && r->mtime_us == rq->head.script_mtime_us;
    pthread_mutex_unlock(&list_lock);
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

/* Reports the request's script to the supervisor, unless this report is the same as the last one.
 */
static void report(const rt_request *rq, const char *word, uint64_t salt, _Atomic uint64_t *last)
{
    rt_slice script = RT_META(rq, WIRE_M_SCRIPT), group = RT_META(rq, WIRE_M_APPLICATION_GROUP),
             name = RT_META(rq, WIRE_M_CALLABLE);
    uint64_t h = hash(0xcbf29ce484222325u ^ salt, script.at, script.len);
    const char *file = rt_module_file(script);
    char line[4096];
    int len;

    if (rt_the_process.control_fd < 0 || atomic_exchange(last, h) == h || !is_one_field(script) ||
        !is_one_field(name))
        return;
    if (!file || !is_one_field((rt_slice){file, strlen(file)}))
        file = "";
    /* A client may choose the group's name, through WSGIScriptAliasMatch for instance. It must not
     * be able to add fields or lines. */
    if (!is_one_field(group))
        group.len = 0;
    len = snprintf(line, sizeof(line), "%s %lld\t%.*s\t%.*s\t%.*s\t%s\n", word,
                   (long long)rq->head.script_mtime_us, (int)group.len, group.at, (int)name.len,
                   name.at, (int)script.len, script.at, file);
    if (len >= (int)sizeof(line) ||
        send(rt_the_process.control_fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        atomic_store(last, 0); /* the next request tries again */
}

void rt_report_failed(const rt_request *rq)
{
    /* once a second: the supervisor decides when another attempt is worth while */
    report(rq, "failed", (uint64_t)(rt_now_us() / 1000000), &last_failed);
}

int rt_stale_is_served(const rt_request *rq)
{
    int served = is_rejected(rq);

    if (!served)
        report(rq, "stale", (uint64_t)rq->head.script_mtime_us, &last_stale);
    return served || rt_the_process.rolling;
}
