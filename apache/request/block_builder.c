/* block_builder.c - a later pair overrides an earlier one, so the order is: what the server's
 * configuration put into the request's environment, the request headers, the CGI variables (RFC
 * 3875 section 4.1), then what describes the request to the runtime. */
#include "request/block_builder.h"

#include "config/names.h"
#include "request/authorization.h"
#include "request/child.h"
#include "request/outcome.h"
#include "request/log.h"
#include "request/proxies.h"
#include "wire/clock.h"

#include <ap_mpm.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

APLOG_USE_MODULE(wsgi);

#define HTTP_LEN (sizeof("HTTP_") - 1)

APR_DECLARE_OPTIONAL_FN(int, ssl_is_https, (conn_rec *));
APR_DECLARE_OPTIONAL_FN(char *, ssl_var_lookup,
                        (apr_pool_t *, server_rec *, conn_rec *, request_rec *, char *));

/* NULL without mod_ssl. Set by the parent whenever it has read its configuration, only read by the
 * threads of its children. */
static APR_OPTIONAL_FN_TYPE(ssl_is_https) * ssl_is_https_of;
static APR_OPTIONAL_FN_TYPE(ssl_var_lookup) * ssl_lookup;

typedef struct builder {
    wire_writer w;
    request_rec *r;
    const wsgi_target *t;    /* the application; NULL: not known */
    const wsgi_group *group; /* the receiver of the block; NULL: embedded mode */
    const wsgi_body *body;   /* that the application may read; NULL: none, as in a hook call */
    int shows_all;           /* also what an application gets in another form */
    wsgi_forwarded forwarded;
    int is_https; /* what the application is told */
    int tls;      /* what this connection is */
} builder;

static void *grow(void *pool, void *old, size_t old_size, size_t new_size)
{
    char *bytes = apr_palloc(pool, new_size);

    if (old)
        memcpy(bytes, old, old_size);
    return bytes;
}

static void put(builder *b, int code, const char *value)
{
    if (value)
        wire_block_add(&b->w, code, value, strlen(value));
}

static void put_number(builder *b, int code, unsigned number)
{
    char text[16], *end = text + sizeof(text), *at = wsgi_digits(end, number);

    wire_block_add(&b->w, code, at, (size_t)(end - at));
}

/* Puts a path as the processes of the group see it. A path outside of their chroot is left out. */
static void put_path(builder *b, int code, const char *path)
{
    put(b, code, b->group && path ? wsgi_group_inside(b->group, path) : path);
}

static void put_named(builder *b, const char *name, size_t len, const char *value)
{
    int code = wire_name_code(name, len);

    if (code != WIRE_NAMED)
        put(b, code, value);
    else
        wire_block_add_named(&b->w, name, len, value, strlen(value));
}

/* ---- the request's environment table ---- */

static int is_hidden(const builder *b, const char *name)
{
    if (b->shows_all)
        return b->forwarded.https == 0 && !strcmp(name, "HTTPS");
    return !strncmp(name, "mod_wsgi.x-", 11) || !strcmp(name, "PATH") || !strcmp(name, "HTTPS");
}

static void put_environment(builder *b)
{
    const apr_array_header_t *table = apr_table_elts(b->r->subprocess_env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)table->elts;

    for (int i = 0; i < table->nelts; i++) {
        if (!strcmp(e[i].key, "HTTPS") && e[i].val)
            b->is_https = !strcasecmp(e[i].val, "on") || !strcmp(e[i].val, "1");
        if (e[i].val && !is_hidden(b, e[i].key))
            put_named(b, e[i].key, strlen(e[i].key), e[i].val);
    }
}

/* ---- headers ---- */

/* For each letter of a header's name the letter in the name of its variable; 0 when it could be
 * mistaken for another one. Filled by the parent, only read by the threads of its children. */
static char variable_letters[256];

static void fill_letters(void)
{
    for (int c = 0; c < 256; c++)
        variable_letters[c] = apr_isalnum(c) ? (char)apr_toupper(c) : c == '-' ? '_' : 0;
}

/* Writes "HTTP_" and the name in upper case. Returns its length, or 0 when the name is too long or
 * has characters that could be mistaken for others in that form. */
static size_t variable_name(char *out, size_t room, const char *header)
{
    size_t len = HTTP_LEN;

    memcpy(out, "HTTP_", HTTP_LEN);
    for (; *header && len + 1 < room; header++)
        if (!(out[len++] = variable_letters[(unsigned char)*header]))
            return 0;
    return *header ? 0 : len;
}

/* Returns 1 when the header has this name, else 0. Its first letter mostly decides that. */
static inline int is_called(const char *header, const char *name)
{
    return apr_tolower(*header) == apr_tolower(*name) && !strcasecmp(header, name);
}

/* A script that is asked before it is known who will see the request's credentials never sees them.
 */
static int passes(const builder *b, const char *header)
{
    if (is_called(header, "Authorization"))
        return b->t && wsgi_authorization_passes(b->r, b->t);
    if (is_called(header, "Content-Encoding"))
        return !(b->body && b->body->is_decoded);
    if (is_called(header, "Proxy-Authorization")) {
        const core_dir_config *core = ap_get_core_module_config(b->r->per_dir_config);

        return b->t && core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON;
    }
    return !is_called(header, "Proxy"); /* HTTP_PROXY is what HTTP clients read their proxy from */
}

/* What the client declares is not the length of what the application reads when a filter decodes
 * it. */
static void put_length(builder *b, const char *declared)
{
    if (!b->body || b->body->len >= 0)
        put(b, WIRE_CONTENT_LENGTH, declared);
}

/* Tells an administrator who looks for a header why the application does not get it. */
static void say_not_passed(request_rec *r, const char *header)
{
    if (APLOG_R_IS_LEVEL(r, APLOG_DEBUG) && wsgi_log_is_first(r->server, "odd header"))
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "WSGI0330: the request header %.100s is not passed to the application: its "
                      "name has characters other than letters, digits and -, so that its variable "
                      "could be mistaken for another header's (said once per process)",
                      header);
}

/* Writes the variable's name to *name, which has room for as many bytes, or points *name to memory
 * of the request when that is too little.
 * Returns its length; 0: it is not passed. */
static inline size_t name_of(const builder *b, char **name, size_t room, const char *header)
{
    size_t len = variable_name(*name, room, header), need;

    if (len > 0 || (need = strlen(header) + 6) <= room || need > WIRE_NAME_MAX)
        return len;
    *name = apr_palloc(b->r->pool, need);
    return variable_name(*name, need, header);
}

static void put_headers(builder *b)
{
    const apr_array_header_t *table = apr_table_elts(b->r->headers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)table->elts;
    char few[512];

    for (int i = 0; i < table->nelts; i++) {
        char *name = few;
        size_t len;

        if (!e[i].key || wsgi_proxies_hide(&b->forwarded, e[i].key))
            continue;
        if (is_called(e[i].key, "Content-Type"))
            put(b, WIRE_CONTENT_TYPE, e[i].val);
        else if (is_called(e[i].key, "Content-Length"))
            put_length(b, e[i].val);
        else if (!passes(b, e[i].key))
            continue;
        else if ((len = name_of(b, &name, sizeof(few), e[i].key)) > 0)
            put_named(b, name, len, e[i].val);
        else
            say_not_passed(b->r, e[i].key);
    }
}

/* ---- CGI ---- */

/* Returns the target of the request line, not decoded, unless CGIVar says otherwise. */
static const char *request_uri(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *rule = core->cgi_var_rules
                           ? apr_hash_get(core->cgi_var_rules, "REQUEST_URI", APR_HASH_KEY_STRING)
                           : NULL;
    const char *at = r->the_request ? strchr(r->the_request, ' ') : NULL, *end;

    if (rule && !strcmp(rule, "current-uri"))
        return r->uri;
    if (!at)
        return r->unparsed_uri;
    while (*at == ' ')
        at++;
    end = strchr(at, ' ');
    return end ? apr_pstrmemdup(r->pool, at, (apr_size_t)(end - at)) : at;
}

/* Returns how much of the URL path comes before the longest tail that it has in common with the
 * path info and that begins with a slash: all of it when there is none. The path info is longer
 * than that tail when an alias or a rewrite rule has added to it. */
static size_t script_name_len(const char *uri, const char *info)
{
    size_t len = strlen(uri), info_len = strlen(info), found = len;

    for (size_t i = 1; i <= len && i <= info_len && uri[len - i] == info[info_len - i]; i++)
        if (uri[len - i] == '/')
            found = len - i;
    return found;
}

static void put_paths(builder *b)
{
    request_rec *r = b->r;
    const char *uri = wsgi_collapse(r->pool, r->uri, strlen(r->uri)), *path_info = "";
    size_t len;

    if (r->path_info)
        path_info = wsgi_collapse(r->pool, r->path_info, strlen(r->path_info));
    if (!strcmp(r->protocol, "INCLUDED"))
        len = strlen(uri); /* as CGI has it: the path of an included part is all script name */
    else
        len = script_name_len(uri, path_info);
    wire_block_add(&b->w, WIRE_SCRIPT_NAME, uri, len);
    put(b, WIRE_PATH_INFO, path_info);
    wire_block_add(&b->w, WIRE_M_SCRIPT_NAME, uri, len);
    put(b, WIRE_M_PATH_INFO, path_info);
}

/* Returns the method that the application sees: GET for HEAD when the configuration says so, or
 * when an output filter needs the body to compute headers from. */
static const char *method_of(const request_rec *r)
{
    int map = wsgi_dir_of(r)->map_head;

    if (r->header_only && !strcmp(r->method, "HEAD") &&
        (map == WSGI_HEAD_ON ||
         ((map == WSGI_HEAD_AUTO || map == WSGI_UNSET) && r->output_filters &&
          r->output_filters->frec->ftype < AP_FTYPE_PROTOCOL)))
        return "GET";
    return r->method;
}

static void put_connection(builder *b)
{
    request_rec *r = b->r;
    conn_rec *c = r->connection;

    put(b, WIRE_SERVER_NAME, ap_get_server_name_for_url(r));
    put_number(b, WIRE_SERVER_PORT, ap_get_server_port(r));
    put(b, WIRE_SERVER_ADDR, c->local_ip);
    put(b, WIRE_SERVER_SOFTWARE, ap_get_server_banner());
    put(b, WIRE_SERVER_ADMIN, r->server->server_admin);
    put(b, WIRE_REMOTE_ADDR, r->useragent_ip);
    put_number(b, WIRE_REMOTE_PORT, c->client_addr->port);
    put(b, WIRE_M_LISTENER_HOST, c->local_addr->hostname ? c->local_addr->hostname : "");
    put_number(b, WIRE_M_LISTENER_PORT, c->local_addr->port);
}

static void put_redirect(builder *b)
{
    const core_dir_config *core = ap_get_core_module_config(b->r->per_dir_config);
    request_rec *prev = b->r->prev;

    if (!prev)
        return;
    if (!b->r->user && prev->user)
        put(b, WIRE_REDIRECT_REMOTE_USER, prev->user);
    put(b, WIRE_REDIRECT_URL,
        core->qualify_redirect_url == AP_CORE_CONFIG_ON
            ? ap_construct_url(b->r->pool, prev->uri, prev)
            : prev->uri);
    put(b, WIRE_REDIRECT_QUERY_STRING, prev->args);
}

static void put_request_line(builder *b, const char *method)
{
    request_rec *r = b->r;

    put(b, WIRE_REQUEST_METHOD, method);
    put(b, WIRE_QUERY_STRING, r->args ? r->args : "");
    put(b, WIRE_REQUEST_URI, request_uri(r));
    put(b, WIRE_SERVER_PROTOCOL, r->protocol);
}

static void put_cgi(builder *b)
{
    request_rec *r = b->r;

    put_request_line(b, method_of(r));
    put_connection(b);
    put(b, WIRE_REMOTE_USER, r->user);
    if (r->user)
        put(b, WIRE_AUTH_TYPE, r->ap_auth_type);
    put_path(b, WIRE_DOCUMENT_ROOT, ap_document_root(r));
    put(b, WIRE_CONTEXT_PREFIX, ap_context_prefix(r));
    put_path(b, WIRE_CONTEXT_DOCUMENT_ROOT, ap_context_document_root(r));
    put(b, WIRE_REQUEST_SCHEME, ap_http_scheme(r));
    put_path(b, WIRE_SCRIPT_FILENAME, r->filename);
    put_redirect(b);
    put_paths(b);
}

/* Replaces what Apache itself knows about the client. */
static void put_forwarded(builder *b)
{
    const wsgi_forwarded *f = &b->forwarded;

    put(b, WIRE_REMOTE_ADDR, f->remote_addr);
    put(b, WIRE_HTTP_HOST, f->host);
    put(b, WIRE_SERVER_NAME, f->server_name);
    put(b, WIRE_SERVER_PORT, f->server_port);
    put(b, WIRE_HTTP_X_FORWARDED_FOR, f->forwarded_for);
    put(b, WIRE_SCRIPT_NAME, f->script_name);
    if (f->script_name)
        put_named(b, "mod_wsgi.mount_point", sizeof("mod_wsgi.mount_point") - 1, f->script_name);
}

/* ---- meta ---- */

/* Puts what the runtime has to load and call. */
static void put_target(builder *b, const wsgi_target *t)
{
    put_path(b, WIRE_M_SCRIPT, t->script);
    put(b, WIRE_M_CALLABLE, t->callable);
    put(b, WIRE_M_PROCESS_GROUP, t->process_group);
    put(b, WIRE_M_APPLICATION_GROUP, t->application_group);
    put(b, WIRE_M_APACHE_VERSION, AP_SERVER_BASEREVISION);
}

/* Puts how logs and processes identify the request. */
static void put_identity(builder *b)
{
    request_rec *r = b->r;

    put(b, WIRE_M_HANDLER, b->t->handler);
    put_path(b, WIRE_M_HANDLER_SCRIPT, b->t->is_handler_script ? b->t->script : NULL);
    put_number(b, WIRE_M_SERVER_PID, (unsigned)wsgi_child_pid());
    if (!r->log_id)
        ap_run_generate_log_id(r->connection, r, &r->log_id);
    put(b, WIRE_M_REQUEST_ID, r->log_id);
    put(b, WIRE_M_CONNECTION_ID, r->connection->log_id);
}

static uint32_t flags_of(const builder *b)
{
    const request_rec *r = b->r;
    int threads = 1, processes = 1;
    uint32_t flags = 0;

    if (b->t->group) {
        threads = b->t->group->threads;
        processes =
            b->t->group->processes_given ? 2 : 1; /* the option's presence counts, as in mod_wsgi */
    } else {
        ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
        ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &processes);
        if (threads == 0)
            threads = 1;
    }
    flags |= b->is_https ? WIRE_RQ_HTTPS : 0;
    flags |= threads != 1 ? WIRE_RQ_MULTITHREAD : 0;
    flags |= processes != 1 ? WIRE_RQ_MULTIPROCESS : 0;
    flags |=
        b->t->group && threads == 1 && b->t->group->maximum_requests == 1 ? WIRE_RQ_RUN_ONCE : 0;
    flags |= b->t->script_reloading ? WIRE_RQ_RELOADING : 0;
    flags |= !b->t->group && wsgi_dir_of(r)->pass_apache_request == 1 ? WIRE_RQ_APACHE_REQUEST : 0;
    flags |= wsgi_dir_of(r)->ignore_activity == 1 ? WIRE_RQ_IGNORE_ACTIVITY : 0;
    flags |= b->tls ? WIRE_RQ_TLS : 0;
    flags |= r->header_only ? WIRE_RQ_HEAD : 0;
    flags |= r->proto_num < HTTP_VERSION(1, 1) ? WIRE_RQ_HTTP10 : 0;
    return flags;
}

static int is_tls(conn_rec *c)
{
    return ssl_is_https_of && ssl_is_https_of(c);
}

const char *wsgi_tls_variable(request_rec *r, const char *name, apr_pool_t *p)
{
    const char *value =
        ssl_lookup ? ssl_lookup(p, r->server, r->connection, r, (char *)name) : NULL;

    return value && *value ? value : NULL;
}

static void find_mod_ssl(void)
{
    ssl_is_https_of = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    ssl_lookup = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
}

void wsgi_block_builder_register_hooks(apr_pool_t *p)
{
    (void)p;
    fill_letters();
    ap_hook_optional_fn_retrieve(find_mod_ssl, NULL, NULL, APR_HOOK_MIDDLE);
}

static void put_application(builder *b)
{
    const wsgi_dir_config *dir = wsgi_dir_of(b->r);

    if (b->shows_all)
        wsgi_proxies_read(&b->forwarded, b->r, dir->hook_headers, dir->hook_proxies);
    else
        wsgi_proxies_read(&b->forwarded, b->r, dir->trusted_headers, dir->trusted_proxies);
    put_environment(b);
    put_headers(b);
    put_cgi(b);
    put_forwarded(b);
}

static int finish(builder *b, wire_block_head *head, const char **block, size_t *len)
{
    if (wire_block_finish(&b->w, head) < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, b->r,
                      "WSGI0303: the request's headers and environment exceed %u bytes",
                      WIRE_BLOCK_MAX);
        return HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    }
    *block = b->w.bytes;
    *len = b->w.used;
    return OK;
}

int wsgi_block_build(const char **block, size_t *len, request_rec *r, const wsgi_target *t,
                     const wsgi_body *body)
{
    builder b = {.r = r, .t = t, .group = t->group, .body = body};
    wire_block_head head;

    memset(&head, 0, sizeof(head));
    wire_block_begin(&b.w, grow, r->pool);
    put_application(&b);
    if (body->kind != WIRE_BODY_NONE && !body->more) /* counted: known for chunked bodies too, and
                                                        right behind filters */
        put(&b, WIRE_CONTENT_LENGTH, apr_psprintf(r->pool, "%" APR_INT64_T_FMT, body->len));
    put_target(&b, t);
    put_identity(&b);
    b.tls = is_tls(r->connection);
    b.is_https = b.forwarded.https >= 0 ? b.forwarded.https : b.is_https || b.tls;
    head.flags = flags_of(&b);
    head.request_start_us = r->request_time;
    if (t->group) {
        head.queue_start_us = apr_time_now();
        head.queued_us = wire_monotonic_us();
    }
    head.script_mtime_us = t->script_mtime;
    head.body_len = body->len;
    head.body_kind = body->kind;
    head.body_more = (uint32_t)body->more;
    head.log_level = (uint32_t)ap_get_request_module_loglevel(r, APLOG_MODULE_INDEX);
    return finish(&b, &head, block, len);
}

/* ---- calls ---- */

/* The request itself, without what the server's configuration adds for applications. A header
 * counts for the client's address only when it is also said who may set it: this may decide who is
 * let in. */
static void put_request(builder *b)
{
    request_rec *r = b->r;
    const wsgi_dir_config *dir = wsgi_dir_of(r);
    const char *signature = ap_psignature("", r), *host;

    if (dir->hook_proxies)
        wsgi_proxies_read(&b->forwarded, r, dir->hook_headers, dir->hook_proxies);
    host = b->forwarded.remote_addr ? NULL : ap_get_useragent_host(r, REMOTE_HOST, NULL);
    put_headers(b);
    put_request_line(b, r->method);
    put_connection(b);
    put_named(b, "SERVER_SIGNATURE", sizeof("SERVER_SIGNATURE") - 1, signature);
    if (host)
        put_named(b, "REMOTE_HOST", sizeof("REMOTE_HOST") - 1, host);
    put_path(b, WIRE_DOCUMENT_ROOT, ap_document_root(r));
    put_paths(b);
    put_forwarded(b);
}

int wsgi_block_build_hook_call(const char **block, size_t *len, request_rec *r,
                               const wsgi_target *t, const wsgi_hook_call *call)
{
    builder b = {.r = r,
                 .t = call->target,
                 .group = t->group,
                 .shows_all = 1,
                 .tls = is_tls(r->connection)};
    wire_block_head head;

    memset(&head, 0, sizeof(head));
    wire_block_begin(&b.w, grow, r->pool);
    if (call->target) {
        put_application(&b);
        put_identity(&b);
        if (b.forwarded.https > 0 || (b.forwarded.https < 0 && b.tls && !b.is_https))
            put_named(&b, "HTTPS", sizeof("HTTPS") - 1, "1");
    } else {
        put_request(&b);
    }
    put_target(&b, t);
    put(&b, WIRE_M_HOOK, call->kind);
    put(&b, WIRE_M_HOOK_USER, call->user);
    put(&b, WIRE_M_HOOK_ARGUMENT, call->argument);
    head.flags =
        WIRE_RQ_HOOK | (b.tls ? WIRE_RQ_TLS : 0) | (t->script_reloading ? WIRE_RQ_RELOADING : 0) |
        (!t->group && wsgi_dir_of(r)->pass_apache_request == 1 ? WIRE_RQ_APACHE_REQUEST : 0);
    head.request_start_us = r->request_time;
    head.log_level = (uint32_t)ap_get_request_module_loglevel(r, APLOG_MODULE_INDEX);
    return finish(&b, &head, block, len);
}
