/* dump_url.c - a request that never came, mapped as httpd would map it.
 *
 * In a configuration test no module has had its post_config, so only those steps are taken that need none: choice of the virtual host,
 * translation, the walks through sections. Handlers that mod_mime would set by suffix (AddHandler) are therefore not seen. */
#include "dump.h"

#include "target.h"

#include <ap_expr.h>
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
    apr_table_setn(r->headers_in, "Host", uri->port_str ? apr_pstrcat(p, uri->hostname, ":", uri->port_str, NULL) : uri->hostname);
    return r;
}

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
    rc = ap_location_walk(r);
    return rc == OK ? HTTP_OK : rc;
}

/* SetHandler, which httpd keeps as an expression, decides against an alias; None decides nothing. */
static const char *handler_of(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *error = NULL, *set = core->expr_handler ? ap_expr_str_exec(r, core->expr_handler, &error) : core->handler;

    return set && *set && !error && strcasecmp(set, "none") ? set : r->handler;
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
    int rc = map(r);

    wsgi_json_number(j, "status", rc);
    r->handler = handler_of(r);
    wsgi_json_string(j, "handler", r->handler);
    wsgi_json_string(j, "file", r->filename);
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

void wsgi_dump_url(wsgi_json *j, apr_pool_t *p, server_rec *main_server, const char *url)
{
    apr_uri_t uri;
    conn_rec *c;
    request_rec *r;

    wsgi_json_open(j, "url", '{');
    wsgi_json_string(j, "asked", url);
    if (apr_uri_parse(p, url, &uri) == APR_SUCCESS && uri.hostname && *uri.hostname && uri.scheme) {
        uri.path = uri.path && *uri.path ? uri.path : apr_pstrdup(p, "/");
        c = make_connection(p, main_server, uri.port ? uri.port : apr_uri_port_of_scheme(uri.scheme));
        if (c) {
            ap_update_vhost_given_ip(c);
            r = make_request(p, c, &uri);
            ap_update_vhost_from_headers(r);
            wsgi_json_string(j, "server", wsgi_server_name(p, r->server));
            wsgi_json_string(j, "server_where", wsgi_dump_server_where(p, r->server));
            dump_mapping(j, r);
        }
    }
    wsgi_json_close(j, '}');
}
