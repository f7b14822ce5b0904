/* log.c - several lines are logged under a mutex that all Apache children share; a single line
 * needs none, as httpd writes a record with one system call. */
#include "request/log.h"

#include "config/config.h"

#include <apr_global_mutex.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <pthread.h>
#include <util_mutex.h>

APLOG_USE_MODULE(wsgi);

#define RECORD_MAX 8000 /* httpd cuts records at 8 KiB */

static const char mutex_type[] = "wsgi-log";
static apr_global_mutex_t *mutex; /* created by the parent, opened by each child */

/* The hints that this child has logged already. The table and its pool are used under the lock
 * only. */
static struct {
    apr_thread_mutex_t *lock;
    apr_pool_t *pool; /* with an allocator of its own, as the child's pool belongs to other threads,
                         too */
    apr_hash_t *subjects;
} said;

typedef struct source { /* the place in a source that logs, and the level */
    const char *file;
    int line, level;
} source;

/* NUL would end the record; httpd itself escapes the other control characters. */
static void log_line(request_rec *r, const source *at, const char *line, size_t len)
{
    char copy[RECORD_MAX];

    if (memchr(line, '\0', len)) {
        for (size_t i = 0; i < len; i++)
            copy[i] = line[i] ? line[i] : 0x1a; /* SUB stands for what cannot be shown */
        line = copy;
    }
    if (r)
        ap_log_rerror(at->file, at->line, APLOG_MODULE_INDEX, at->level, 0, r, "%.*s", (int)len,
                      line);
    else
        ap_log_error(at->file, at->line, APLOG_MODULE_INDEX, at->level, 0, ap_server_conf, "%.*s",
                     (int)len, line);
}

static void log_lines(request_rec *r, const source *at, const char *text, size_t len)
{
    const char *end = text + len;

    for (;;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)),
                   *line_end = newline ? newline : end;

        do {
            size_t part =
                (size_t)(line_end - text) < RECORD_MAX ? (size_t)(line_end - text) : RECORD_MAX;

            log_line(r, at, text, part);
            text += part;
        } while (text < line_end);
        if (!newline)
            return;
        text = newline + 1;
    }
}

static void log_together(request_rec *r, const source *at, const char *text, size_t len)
{
    int locked = memchr(text, '\n', len) && mutex && apr_global_mutex_lock(mutex) == APR_SUCCESS;

    log_lines(r, at, text, len);
    if (locked)
        apr_global_mutex_unlock(mutex);
}

void wsgi_log_at(request_rec *r, int level, const char *file, int line, const char *text,
                 size_t len)
{
    source at = {file, line, level & APLOG_LEVELMASK};

    if (!r || APLOG_R_IS_LEVEL(r, at.level))
        log_together(r, &at, text, len);
}

void wsgi_log_request(request_rec *r, int level, const char *text, size_t len)
{
    wsgi_log_at(r, level, __FILE__, __LINE__, text, len);
}

void wsgi_log_server(int level, const char *text, size_t len)
{
    wsgi_log_at(NULL, level, __FILE__, __LINE__, text, len);
}

void wsgi_log_server_at(int level, const char *file, int line, const char *text, size_t len)
{
    wsgi_log_at(NULL, level, file, line, text, len);
}

int wsgi_log_is_first(const server_rec *s, const char *subject)
{
    char key[512];
    int first;

    if (!said.lock)
        return 1; /* no child: a configuration test that asks how a request would be mapped */
    apr_snprintf(key, sizeof(key), "%pp %s", (const void *)s, subject);
    apr_thread_mutex_lock(said.lock);
    first = !apr_hash_get(said.subjects, key, APR_HASH_KEY_STRING);
    if (first)
        apr_hash_set(said.subjects, apr_pstrdup(said.pool, key), APR_HASH_KEY_STRING, "");
    apr_thread_mutex_unlock(said.lock);
    return first;
}

/* ---- hooks ---- */

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    return ap_mutex_register(pconf, mutex_type, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    return ap_global_mutex_create(&mutex, NULL, mutex_type, NULL, s, pconf, 0) == APR_SUCCESS
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

static void remember_nothing_said(apr_pool_t *p)
{
    apr_allocator_t *allocator;

    apr_allocator_create(&allocator);
    apr_pool_create_ex(&said.pool, p, NULL, allocator);
    apr_allocator_owner_set(allocator, said.pool);
    apr_thread_mutex_create(&said.lock, APR_THREAD_MUTEX_DEFAULT, said.pool);
    said.subjects = apr_hash_make(said.pool);
}

/* In a process that an application has forked of an Apache child: another thread of the child may
 * have held the mutex, and no thread of the copy would give it back. */
static void forget_mutex(void)
{
    mutex = NULL;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    remember_nothing_said(p);
    pthread_atfork(NULL, NULL, forget_mutex);
    if (mutex &&
        apr_global_mutex_child_init(&mutex, apr_global_mutex_lockfile(mutex), p) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0317: the mutex %s cannot be opened; lines of different requests may mix "
                     "in this log (see the directive Mutex)",
                     mutex_type);
        mutex = NULL;
    }
}

void wsgi_log_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
