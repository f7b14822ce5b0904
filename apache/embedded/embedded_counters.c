/* embedded_counters.c - a few stores for each request of embedded mode. */
#include "embedded/embedded_counters.h"

#include "config/config.h"
#include "request/child.h"
#include "request/outcome.h"
#include "wire/process.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

#define TRIES    16  /* slots that a request looks at before it does without */
#define PATIENCE 100 /* turns of other threads */

static wsgi_embedded_counters *counters; /* set in the parent, inherited by its children */

wsgi_embedded_counters *wsgi_embedded_memory(void)
{
    return counters;
}

/* ---- slots ---- */

static int take(_Atomic pid_t *owner, pid_t me)
{
    pid_t found = atomic_load_explicit(owner, memory_order_relaxed);

    if (found && (found == me || !wire_is_gone(found)))
        return 0;
    return atomic_compare_exchange_strong_explicit(owner, &found, me, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void give_up(_Atomic pid_t *owner, pid_t me)
{
    if (atomic_load_explicit(owner, memory_order_relaxed) == me)
        atomic_store_explicit(owner, 0, memory_order_release);
}

void wsgi_embedded_process(const char *python)
{
    pid_t me = wsgi_child_pid();

    for (int i = 0; counters && i < WSGI_EMBEDDED_PROCESSES; i++)
        if (take(&counters->processes[i], me)) {
            apr_cpystrn(counters->pythons[i], python, sizeof(counters->pythons[i]));
            return;
        }
}

/* ---- applications ---- */

/* Another thread that is naming it needs a moment; one that died while it did so is not waited for.
 */
static int is_named(wsgi_embedded_application *a, const char *name)
{
    uint32_t state = atomic_load_explicit(&a->state, memory_order_acquire);

    if (state == 0 && atomic_compare_exchange_strong(&a->state, &state, 1)) {
        apr_cpystrn(a->name, name, sizeof(a->name));
        atomic_store_explicit(&a->state, 2, memory_order_release);
        return 1;
    }
    for (int i = 0; state == 1 && i < PATIENCE; i++) {
        sched_yield();
        state = atomic_load_explicit(&a->state, memory_order_acquire);
    }
    return state == 2 && !strncmp(a->name, name, sizeof(a->name) - 1);
}

static int find_application(const char *name)
{
    const int others = WSGI_EMBEDDED_APPLICATIONS - 1;

    for (int i = 0; i < others; i++)
        if (is_named(&counters->applications[i], name))
            return i;
    is_named(&counters->applications[others], "others");
    return others;
}

/* ---- requests ---- */

static void describe(wsgi_embedded_request *q, const request_rec *r, int application,
                     apr_time_t now)
{
    /* It may be odd already, when who had it before has died while writing. */
    uint32_t serial = atomic_load_explicit(&q->serial, memory_order_relaxed) | 1;
    apr_size_t len = strlen(r->method);

    atomic_store_explicit(&q->serial, serial, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* no field changes before the number is odd */
    q->application = (uint32_t)application;
    atomic_store_explicit(&q->phase, WIRE_PHASE_START, memory_order_relaxed);
    q->start = now;
    if (len > WIRE_WHAT_MAX / 2)
        len = WIRE_WHAT_MAX / 2;
    memcpy(q->what, r->method, len);
    q->what[len++] = ' ';
    apr_cpystrn(q->what + len, r->unparsed_uri ? r->unparsed_uri : "", sizeof(q->what) - len);
    atomic_store_explicit(&q->serial, serial + 1, memory_order_release);
}

wsgi_embedded_ticket wsgi_embedded_begin(const request_rec *r, const char *application_group,
                                         apr_time_t now)
{
    wsgi_embedded_ticket ticket = {-1, -1};
    unsigned first = (unsigned)r->connection->id;
    pid_t me = wsgi_child_pid();

    if (!counters)
        return ticket;
    ticket.application = find_application(application_group);
    for (unsigned i = first; i != first + TRIES; i++)
        if (take(&counters->runners[i % WSGI_EMBEDDED_REQUESTS], me)) {
            ticket.request = (int)(i % WSGI_EMBEDDED_REQUESTS);
            describe(&counters->requests[ticket.request], r, ticket.application, now);
            break;
        }
    return ticket;
}

_Atomic uint32_t *wsgi_embedded_phase(wsgi_embedded_ticket ticket)
{
    return ticket.request >= 0 ? &counters->requests[ticket.request].phase : NULL;
}

void wsgi_embedded_end(wsgi_embedded_ticket ticket, const request_rec *r, int status,
                       apr_interval_time_t us)
{
    if (ticket.request >= 0)
        atomic_store_explicit(&counters->runners[ticket.request], 0, memory_order_release);
    if (ticket.application >= 0) {
        wsgi_embedded_application *a = &counters->applications[ticket.application];

        wsgi_count_embedded(&a->stripes[(unsigned)r->connection->id % WIRE_STRIPES], status, us);
    }
}

/* ---- the memory ---- */

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    static const char key[] = "httpd-wsgi:embedded-counters";
    apr_pool_t *pool = s->process->pool;
    void *memory = NULL;

    (void)pconf;
    (void)plog;
    (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    apr_pool_userdata_get(&memory, key, pool);
    if (!memory && wsgi_server_of(s)->restrict_embedded != 1) {
        memory = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, errno, s,
                         "WSGI0265: no memory of %" APR_SIZE_T_FMT
                         " bytes can be shared with Apache's children; "
                         "the status page does not show embedded mode",
                         sizeof(*counters));
            memory = NULL;
        }
        apr_pool_userdata_setn(memory, key, NULL, pool);
    }
    counters = wsgi_server_of(s)->restrict_embedded != 1 ? memory : NULL;
    return OK;
}

/* What a dead process of the same number had is not this one's. Scripts that are loaded at the
 * start come later. */
static void child_init(apr_pool_t *p, server_rec *s)
{
    pid_t me = wsgi_child_pid();

    (void)p;
    (void)s;
    for (int i = 0; counters && i < WSGI_EMBEDDED_PROCESSES; i++)
        give_up(&counters->processes[i], me);
    for (int i = 0; counters && i < WSGI_EMBEDDED_REQUESTS; i++)
        give_up(&counters->runners[i], me);
}

void wsgi_embedded_counters_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
}
