/* dump_url.c - a request that never came, mapped as httpd would map it.
 *
 * In a configuration test no module has had its post_config, and nobody must be asked for passwords
 * or run, so only these steps are taken: choice of the virtual host, translation, the walks through
 * sections and .htaccess files, and of what follows them the hooks of the few modules that decide
 * about handlers. What is only found by subrequests (DirectoryIndex, MultiViews) is therefore not
 * seen. */
#include "check/dump_url.h"

#include "request/target.h"

#include <apr_strings.h>
#include <apr_uri.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_vhost.h>

APLOG_USE_MODULE(wsgi);

static conn_rec *make_connection(apr_pool_t *p, server_rec *s, apr_port_t port)
{
    conn_rec *c = apr_pcalloc(p, sizeof(*c));

    c->pool = p;
    c->base_server = s;
    c->bucket_alloc = apr_bucket_alloc_create(p);
    c->notes = apr_table_make(p, 2);
    c->conn_config = ap_create_conn_config(p);
    c->log_id = "-";
    c->client_ip = apr_pstrdup(p, "127.0.0.1");
    c->local_ip = c->client_ip;
    if (apr_sockaddr_info_get(&c->local_addr, c->local_ip, APR_INET, port, 0, p) != APR_SUCCESS)
        return NULL;
    c->client_addr = c->local_addr;
    return c;
}

static request_rec *make_request(apr_pool_t *p, conn_rec *c, const apr_uri_t *uri)
{
    request_rec *r = apr_pcalloc(p, sizeof(*r));

    r->pool = p;
    r->connection = c;
    r->server = c->base_server;
    r->headers_in = apr_table_make(p, 4);
    r->trailers_in = apr_table_make(p, 1);
    r->headers_out = apr_table_make(p, 4);
    r->err_headers_out = apr_table_make(p, 4);
    r->trailers_out = apr_table_make(p, 1);
    r->subprocess_env = apr_table_make(p, 8);
    r->notes = apr_table_make(p, 4);
    r->request_config = ap_create_request_config(p);
    r->per_dir_config = r->server->lookup_defaults;
    r->allowed_methods = ap_make_method_list(p, 2);
    r->method = "GET";
    r->method_number = M_GET;
    r->protocol = (char *)"HTTP/1.1";
    r->proto_num = HTTP_VERSION(1, 1);
    r->status = HTTP_OK;
    r->used_path_info = AP_REQ_DEFAULT_PATH_INFO;
    r->useragent_addr = c->client_addr;
    r->useragent_ip = c->client_ip;
    r->the_request = apr_pstrcat(p, "GET ", uri->path, " HTTP/1.1", NULL);
    r->unparsed_uri = uri->path;
    r->uri = apr_pstrdup(p, uri->path);
    r->args = uri->query;
    r->parsed_uri = *uri;
    ap_run_create_request(r); /* the walks keep notes in what core makes here */
    apr_table_setn(r->headers_in, "Host",
                   uri->port_str ? apr_pstrcat(p, uri->hostname, ":", uri->port_str, NULL)
                                 : uri->hostname);
    return r;
}

/* ---- the handler ---- */

static int has_types; /* mod_mime is ready to be asked; single-threaded, as all of a configuration
                         test */

/* By suffix: AddHandler, AddType. */
static int check_type(request_rec *r)
{
    const apr_array_header_t *hooks = ap_hook_get_type_checker();

    for (int i = 0; has_types && hooks && i < hooks->nelts; i++) {
        const ap_LINK_type_checker_t *hook = &APR_ARRAY_IDX(hooks, i, ap_LINK_type_checker_t);

        if (!strcmp(hook->szName, "mod_mime.c"))
            return hook->pFunc(r);
    }
    return DECLINED;
}

/* Those that decide about handlers in their fixups and need no post_config for that: aliases of
 * ours, SetHandler and ForceType, rules. */
static int decides_handlers(const char *module)
{
    return !strcmp(module, "mod_wsgi.c") || !strcmp(module, "core.c") ||
           !strcmp(module, "mod_rewrite.c");
}

static int fix_up(request_rec *r)
{
    const apr_array_header_t *hooks = ap_hook_get_fixups();

    for (int i = 0; hooks && i < hooks->nelts; i++) {
        const ap_LINK_fixups_t *hook = &APR_ARRAY_IDX(hooks, i, ap_LINK_fixups_t);
        int rc = decides_handlers(hook->szName) ? hook->pFunc(r) : DECLINED;

        if (rc != OK && rc != DECLINED)
            return rc;
    }
    return OK;
}

/* Without a handler httpd takes the content type for one. */
static void use_type(request_rec *r)
{
    if (!r->handler && r->content_type)
        r->handler = apr_pstrmemdup(r->pool, r->content_type, strcspn(r->content_type, "; \t"));
}

/* OK, or the status that the request ends with. */
static int find_handler(request_rec *r)
{
    int rc = check_type(r);

    if (rc == OK || rc == DECLINED)
        rc = fix_up(r);
    if (rc == OK)
        use_type(r);
    return rc;
}

/* mod_mime reads its table of types in its post_config, which does nothing else. */
void wsgi_dump_prepare(apr_pool_t *p, server_rec *main_server)
{
    const apr_array_header_t *hooks = ap_hook_get_post_config();

    for (int i = 0; hooks && i < hooks->nelts; i++) {
        const ap_LINK_post_config_t *hook = &APR_ARRAY_IDX(hooks, i, ap_LINK_post_config_t);

        if (!strcmp(hook->szName, "mod_mime.c"))
            has_types = hook->pFunc(p, p, p, main_server) == OK;
    }
}

/* ---- mapping ---- */

/* The status that mapping ends with, HTTP_OK when it leads somewhere. */
static int map(request_rec *r)
{
    int rc;

    if (ap_unescape_url(r->uri) != OK)
        return HTTP_BAD_REQUEST;
    ap_getparents(r->uri);
    if ((rc = ap_location_walk(r)) != OK)
        return rc;
    if ((rc = ap_run_translate_name(r)) != OK && rc != DECLINED)
        return rc;
    r->per_dir_config = r->server->lookup_defaults;
    if ((rc = ap_run_map_to_storage(r)) != OK && rc != DECLINED)
        return rc;
    if ((rc = ap_location_walk(r)) != OK || (rc = find_handler(r)) != OK)
        return rc;
    return HTTP_OK;
}

/* Where rules in a section or .htaccess file lead the request with an internal redirect; NULL:
 * nowhere else. */
static const char *redirection_of(const request_rec *r)
{
    static const char prefix[] = "redirect:";

    return r->handler && !strcmp(r->handler, "redirect-handler") && r->filename &&
                   !strncmp(r->filename, prefix, sizeof(prefix) - 1)
               ? r->filename + sizeof(prefix) - 1
               : NULL;
}

static request_rec *redirected(request_rec *r, const char *path)
{
    apr_uri_t uri = r->parsed_uri;
    request_rec *next;

    uri.path = (char *)path;
    uri.query = r->args;
    next = make_request(r->pool, r->connection, &uri);
    next->server = r->server;
    next->hostname = r->hostname;
    next->prev = r; /* for %{ENV:REDIRECT_STATUS} and [END] */
    apr_table_setn(next->subprocess_env, "REDIRECT_STATUS", "200");
    return next;
}

/* The request that is answered in the end; *status as map(). */
static request_rec *follow(request_rec *r, int *status)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    int left = core->redirect_limit > 0 ? core->redirect_limit : AP_DEFAULT_MAX_INTERNAL_REDIRECTS;
    const char *path;

    while ((*status = map(r)) == HTTP_OK && (path = redirection_of(r))) {
        if (left-- == 0) {
            *status = HTTP_INTERNAL_SERVER_ERROR;
            break;
        }
        r = redirected(r, path);
    }
    return r;
}

static const char *alias_where(const request_rec *r)
{
    const wsgi_alias *alias = ap_get_module_config(r->request_config, &wsgi_module);

    return alias ? alias->where : NULL;
}

static void dump_target(wsgi_json *j, request_rec *r)
{
    wsgi_target *t = NULL;
    int rc = wsgi_target_resolve(&t, r);

    wsgi_json_flag(j, "is_wsgi", rc != DECLINED);
    if (rc != DECLINED && t == NULL)
        wsgi_json_number(j, "refused", rc);
    if (!t)
        return;
    /* What sets variables does not run here; the group is the request's business then. */
    rc = strncmp(t->process_group, "%{ENV:", 6) ? wsgi_target_admit(t, r) : OK;
    if (rc != OK)
        wsgi_json_number(j, "refused", rc);
    wsgi_json_string(j, "script", t->script);
    wsgi_json_string(j, "process_group", t->process_group);
    wsgi_json_string(j, "application_group", t->application_group);
    wsgi_json_string(j, "callable", t->callable);
    wsgi_json_string(j, "group_where", t->group ? t->group->where : NULL);
}

static void dump_mapping(wsgi_json *j, request_rec *r)
{
    int rc;

    r = follow(r, &rc);
    wsgi_json_number(j, "status", rc);
    wsgi_json_string(j, "handler", r->handler);
    wsgi_json_string(j, "file", r->filename);
    wsgi_json_flag(j, "is_directory", r->finfo.filetype == APR_DIR);
    wsgi_json_string(j, "path_info", r->path_info);
    wsgi_json_string(j, "alias_where", alias_where(r));
    if (rc == HTTP_OK)
        dump_target(j, r);
}

void wsgi_dump_location(wsgi_json *j, apr_pool_t *p, server_rec *s, const char *location)
{
    conn_rec *c = make_connection(p, s, s->port ? s->port : 80);
    apr_uri_t uri;

    wsgi_json_open(j, "mapped", '{');
    memset(&uri, 0, sizeof(uri));
    uri.scheme = (char *)"http";
    uri.hostname = (char *)(s->server_hostname ? s->server_hostname : "localhost");
    uri.path = (char *)ap_os_escape_path(p, location, 1);
    if (c)
        dump_mapping(j, make_request(p, c, &uri));
    wsgi_json_close(j, '}');
}

void wsgi_dump_paths(wsgi_json *j, apr_pool_t *p, server_rec *main_server, const char *paths)
{
    char *rest, *line = apr_strtok(apr_pstrdup(p, paths), "\n", &rest), *path;

    wsgi_json_open(j, "paths", '[');
    for (; line; line = apr_strtok(NULL, "\n", &rest)) {
        long number = strtol(line, &path, 10);
        server_rec *s = main_server;

        for (long i = 0; s && i < number; i++)
            s = s->next;
        wsgi_json_open(j, NULL, '{');
        wsgi_json_number(j, "server", number);
        wsgi_json_string(j, "location", ++path);
        if (s)
            wsgi_dump_location(j, p, s, path);
        wsgi_json_close(j, '}');
    }
    wsgi_json_close(j, ']');
}

void wsgi_dump_url(wsgi_json *j, apr_pool_t *p, server_rec *main_server, const char *url)
{
    apr_uri_t uri;
    conn_rec *c;
    request_rec *r;

    wsgi_json_open(j, "url", '{');
    wsgi_json_string(j, "asked", url);
    if (apr_uri_parse(p, url, &uri) == APR_SUCCESS && uri.hostname && *uri.hostname && uri.scheme) {
        uri.path = uri.path && *uri.path ? uri.path : apr_pstrdup(p, "/");
        c = make_connection(p, main_server,
                            uri.port ? uri.port : apr_uri_port_of_scheme(uri.scheme));
        if (c) {
            ap_update_vhost_given_ip(c);
            r = make_request(p, c, &uri);
            ap_update_vhost_from_headers(r);
            wsgi_json_string(j, "server", wsgi_server_name(p, r->server));
            wsgi_json_string(j, "server_where", wsgi_server_where(p, r->server));
            dump_mapping(j, r);
        }
    }
    wsgi_json_close(j, '}');
}
