/* embed.c - embedded mode. The configured Python is run once (`_boot.py probe`) and reports its
 * libpython and its runtime; both are then loaded into this process. The state is per Apache child:
 * written once under load_lock, read-only afterwards. */
#include "embedded/embed.h"

#include "config/package.h"
#include "embedded/embedded_counters.h"
#include "embedded/forks.h"
#include "groups/scoreboard.h"
#include "groups/settings.h"
#include "request/block_builder.h"
#include "request/body.h"
#include "request/child.h"
#include "request/client_socket.h"
#include "request/outcome.h"
#include "request/log.h"
#include "request/respond.h"
#include "wire/clock.h"
#include "wire/contract.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

enum load_state { NOT_LOADED, LOADED, FAILED };

static apr_thread_mutex_t *load_lock;
static apr_pool_t *child_pool;
static atomic_int state; /* read without load_lock: a thread that sees LOADED sees runtime, too */
static const wire_runtime *runtime;

/* ---- loading ---- */

typedef struct facts {
    const char *version, *executable, *libpython, *runtime, *package;
} facts;

/* Runs the probe. Returns everything that it wrote to stdout and stderr, with its wait status in
 * *status, or NULL and *error when it did not run. */
static char *run_probe(apr_pool_t *p, const char *python, int *status, const char **error)
{
    char *argv[] = {(char *)python, apr_pstrcat(p, wsgi_package_dir(), "/_boot.py", NULL),
                    (char *)"probe", NULL};
    posix_spawn_file_actions_t actions;
    char *out = apr_pcalloc(p, 8192);
    size_t used = 0;
    int ends[2], rc;
    ssize_t n;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return *error = strerror(errno), NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    rc = posix_spawn(&pid, python, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    while (rc == 0 && used < 8191 &&
           ((n = read(ends[0], out + used, 8191 - used)) > 0 || (n < 0 && errno == EINTR)))
        used += n > 0 ? (size_t)n : 0;
    close(ends[0]);
    if (rc != 0)
        return *error = strerror(rc), NULL;
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return out;
}

static void parse_facts(facts *f, char *text)
{
    char *last, *line;

    memset(f, 0, sizeof(*f));
    for (line = apr_strtok(text, "\n", &last); line; line = apr_strtok(NULL, "\n", &last)) {
        char *value = strchr(line, '=');

        if (!value)
            continue;
        *value++ = '\0';
        if (!strcmp(line, "version"))
            f->version = value;
        else if (!strcmp(line, "executable"))
            f->executable = value;
        else if (!strcmp(line, "libpython"))
            f->libpython = value;
        else if (!strcmp(line, "runtime"))
            f->runtime = value;
        else if (!strcmp(line, "package"))
            f->package = value;
    }
}

static const char *probe(apr_pool_t *p, const char *python, facts *f)
{
    const char *error = NULL;
    char *text;
    int status = 0;

    text = run_probe(p, python, &status, &error);
    if (!text)
        return apr_psprintf(p,
                            "%s cannot be run: %s; set WSGIPythonHome to the prefix of a Python "
                            "installation or virtual "
                            "environment that the Apache user can read",
                            python, error);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return apr_psprintf(p, "%s does not work: %s", python, *text ? text : "it printed nothing");
    parse_facts(f, text);
    if (!f->version || !f->runtime || !f->libpython || !f->executable)
        return apr_psprintf(p, "%s gave no usable answer about itself", python);
    if (!*f->libpython)
        return apr_psprintf(p,
                            "Python %s (%s) has no shared libpython, which embedded mode needs; "
                            "use WSGIDaemonProcess with "
                            "python-home=, or a Python built with --enable-shared",
                            f->version, f->executable);
    return NULL;
}

static size_t write_scoreboard(char *buf, size_t room)
{
    return buf ? wsgi_scoreboard_write(buf, room) : wsgi_scoreboard_room();
}

static const char *start_runtime(apr_pool_t *p, const char *python, const facts *f)
{
    const wsgi_server_config *c = wsgi_main_config();
    wire_embed_config config = {
        .package_dir = f->package,
        .python_exe = python,
        .hash_seed = c->hash_seed,
        .warnings = (const char *const *)c->warnings->elts,
        .nwarnings = c->warnings->nelts,
        .optimize = c->optimize,
        .free_threading = wsgi_settings_free_threading(""),
        .dont_write_bytecode = c->dont_write_bytecode,
        .log = wsgi_log_server,
        .log_at = wsgi_log_server_at,
        .scoreboard = c->server_metrics ? write_scoreboard : NULL,
    };
    char *err = apr_pcalloc(p, 1024);
    void *library;

    wsgi_forks_remember();
    config.settings = wsgi_settings_build(p, NULL, &config.settings_len);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &config.threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &config.processes);
    if (config.threads == 0)
        config.threads = 1;
    /* Global: extension modules of most distributions take libpython's symbols from the process. */
    if (!dlopen(f->libpython, RTLD_NOW | RTLD_GLOBAL))
        return apr_psprintf(p, "%s could not be loaded: %s", f->libpython, dlerror());
    library = dlopen(f->runtime, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return apr_psprintf(p, "%s could not be loaded: %s", f->runtime, dlerror());
    runtime = dlsym(library, WIRE_RUNTIME_SYMBOL);
    if (!runtime || runtime->contract_version != WIRE_CONTRACT_VERSION ||
        runtime->block_magic != WIRE_BLOCK_MAGIC)
        return apr_psprintf(
            p, "%s is of another version than the Apache module; run \"%s\" and restart Apache",
            f->runtime, wsgi_install_command(p, f->executable));
    return runtime->start(&config, err, 1024) < 0 ? err : NULL;
}

static apr_status_t stop_runtime(void *unused)
{
    (void)unused;
    runtime->stop();
    return APR_SUCCESS;
}

static void load_locked(void)
{
    const char *python, *error;
    apr_pool_t *p;
    facts f;

    apr_pool_create(&p, child_pool);
    python = wsgi_python_of_home(p, "", NULL);
    error = probe(p, python, &f);
    if (!error)
        error = start_runtime(p, python, &f);
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, ap_server_conf,
                     "WSGI0501: Python could not be loaded into this Apache process: %s; requests "
                     "that need it get 500",
                     error);
        state = FAILED;
    } else {
        apr_pool_pre_cleanup_register(child_pool, NULL, stop_runtime);
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, ap_server_conf,
                     "WSGI0502: Python %s loaded from %s", f.version, f.libpython);
        wsgi_embedded_process(f.version);
        state = LOADED;
    }
    apr_pool_destroy(p);
}

static int is_loaded(void)
{
    if (state == NOT_LOADED) {
        apr_thread_mutex_lock(load_lock);
        if (state == NOT_LOADED)
            load_locked();
        apr_thread_mutex_unlock(load_lock);
    }
    return state == LOADED;
}

/* ---- wire_ops ---- */

typedef struct embedded {
    request_rec *r;
    wsgi_respond out;
    wsgi_body_reader body;
    int has_run;
    _Atomic uint32_t *phase; /* for the status; NULL: nobody looks */
    wsgi_verdict *verdict;   /* of a hook call, which has no response and no body */
} embedded;

static int64_t op_read_body(void *ctx, char *buf, size_t len)
{
    embedded *e = ctx;

    if (wsgi_respond_flush(&e->out) < 0) /* the client may wait for it before it sends more */
        return WIRE_IO_GONE;
    return wsgi_body_read(&e->body, buf, len);
}

static int op_send_head(void *ctx, const wire_response *head)
{
    embedded *e = ctx;

    if (e->phase)
        atomic_store_explicit(e->phase, WIRE_PHASE_WRITE, memory_order_relaxed);
    wsgi_respond_head(&e->out, head);
    return WIRE_IO_OK;
}

static int op_send_data(void *ctx, const char *data, size_t len, int flags)
{
    embedded *e = ctx;
    int rc;

    wsgi_respond_data(&e->out, data, len);
    if (flags & WIRE_SEND_LAST && !e->out.replaced) { /* in one brigade: filters like byteranges
                                                         want to see all of it */
        e->out.body_unread = !e->body.ended;
        wsgi_respond_end(&e->out);
        return e->out.gone ? WIRE_IO_GONE : WIRE_IO_OK;
    }
    rc = flags & WIRE_SEND_FLUSH ? wsgi_respond_flush(&e->out) : wsgi_respond_send(&e->out);
    return rc < 0 ? WIRE_IO_GONE : WIRE_IO_OK;
}

static int op_send_file(void *ctx, int fd, int64_t offset, int64_t len)
{
    embedded *e = ctx;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own < 0)
        return WIRE_IO_FAILED;
    wsgi_respond_file(&e->out, own, offset, len); /* goes out with what follows, usually the end */
    return WIRE_IO_OK;
}

static int op_send_hints(void *ctx, const wire_response *hints)
{
    embedded *e = ctx;

    return wsgi_respond_hints(&e->out, hints) < 0 ? WIRE_IO_GONE : WIRE_IO_OK;
}

static int64_t op_lookup_tls(void *ctx, const char *name, size_t name_len, char *buf, size_t len)
{
    embedded *e = ctx;
    const char *value;
    apr_pool_t *p;
    int64_t value_len;

    apr_pool_create(&p, e->r->pool); /* for an application that asks again and again */
    value = wsgi_tls_variable(e->r, apr_pstrmemdup(p, name, name_len), p);
    value_len = value ? (int64_t)strlen(value) : -1;
    if (value)
        memcpy(buf, value, (size_t)value_len < len ? (size_t)value_len : len);
    apr_pool_destroy(p);
    return value_len;
}

static void *op_apache_request(void *ctx)
{
    return ((embedded *)ctx)->r;
}

static int op_look(void *ctx)
{
    embedded *e = ctx;

    return e->out.gone || wsgi_client_has_left(e->r) ? WIRE_IO_GONE : WIRE_IO_OK;
}

static int op_answer(void *ctx, enum wire_verdict verdict, const char *text, size_t len)
{
    embedded *e = ctx;

    return e->verdict && wsgi_verdict_take(e->verdict, e->r, verdict, text, len) == 0
               ? WIRE_IO_OK
               : WIRE_IO_FAILED;
}

static void op_log(void *ctx, int level, const char *text, size_t len)
{
    embedded *e = ctx;

    wsgi_log_request(e->r, level, text, len);
}

static void op_log_at(void *ctx, int level, const char *file, int line, const char *text,
                      size_t len)
{
    embedded *e = ctx;

    wsgi_log_at(e->r, level, file, line, text, len);
}

static const wire_ops ops = {
    .read_body = op_read_body,
    .send_head = op_send_head,
    .send_data = op_send_data,
    .send_file = op_send_file,
    .send_hints = op_send_hints,
    .lookup_tls = op_lookup_tls,
    .apache_request = op_apache_request,
    .look = op_look,
    .answer = op_answer,
    .log = op_log,
    .log_at = op_log_at,
};

static int result_of(embedded *e, enum wire_outcome outcome)
{
    e->out.body_unread = !e->body.ended;
    switch (outcome) {
    case WIRE_DONE:
        return wsgi_respond_end(&e->out);
    case WIRE_CLIENT_GONE:
        return wsgi_respond_left(&e->out);
    case WIRE_ERROR_404:
        return HTTP_NOT_FOUND;
    case WIRE_ERROR_504:
        return HTTP_GATEWAY_TIME_OUT;
    case WIRE_ABORTED:
        return wsgi_respond_abort(&e->out);
    default:
        return wsgi_body_status(&e->body, HTTP_INTERNAL_SERVER_ERROR);
    }
}

static int run(embedded *e, const wsgi_target *t)
{
    enum wire_outcome outcome;
    request_rec *r = e->r;
    wsgi_body body;
    const char *block;
    size_t len;
    int rc;

    if (!is_loaded())
        return HTTP_INTERNAL_SERVER_ERROR; /* logged once, when loading failed */
    wsgi_body_of(&body, r);
    if ((rc = wsgi_block_build(&block, &len, r, t, &body)) != OK)
        return rc;
    wsgi_body_reader_init(&e->body, r);
    e->body.ended = !body.more;
    outcome = runtime->run(block, len, &ops, e, e->phase);
    e->has_run = 1;
    return result_of(e, outcome);
}

int wsgi_embed_run(request_rec *r, const wsgi_target *t)
{
    apr_time_t start = wire_monotonic_us();
    wsgi_embedded_ticket ticket = wsgi_embedded_begin(r, t->application_group, start);
    embedded e = {.r = r, .phase = wsgi_embedded_phase(ticket)};
    apr_interval_time_t us;
    int rc;

    WSGI_ASSERT_CHILD();
    wsgi_respond_init(&e.out, r, NULL);
    rc = run(&e, t);
    us = wire_monotonic_us() - start;
    if (e.has_run)
        wsgi_note_embedded(r, us);
    wsgi_embedded_end(ticket, r, wsgi_respond_status(&e.out, rc), us);
    return rc;
}

int wsgi_embed_call_hook(wsgi_verdict *verdict, request_rec *r, const char *block, size_t len)
{
    embedded e = {.r = r, .verdict = verdict};

    WSGI_ASSERT_CHILD();
    if (!is_loaded() || runtime->run(block, len, &ops, &e, NULL) != WIRE_DONE)
        return HTTP_INTERNAL_SERVER_ERROR;
    return OK;
}

/* Scripts that the configuration wants in Apache's own processes; only then is Python loaded before
 * the first request. */
static void run_imports(server_rec *s)
{
    const apr_array_header_t *imports = wsgi_imports_in_order(child_pool, s);

    if (wsgi_main_config()->restrict_embedded == 1)
        return; /* check/check.c said so at the start */

    for (int i = 0; i < imports->nelts; i++) {
        const wsgi_import *import = APR_ARRAY_IDX(imports, i, const wsgi_import *);

        if (!*import->process_group && is_loaded())
            runtime->preload(import->application_group, import->script,
                             import->callable ? import->callable : "");
    }
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    child_pool = p;
    state = NOT_LOADED;
    apr_thread_mutex_create(&load_lock, APR_THREAD_MUTEX_DEFAULT, p);
    run_imports(s);
}

void wsgi_embed_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
