/* config.h - what the configuration says: the directives, per server and per directory.
 *
 * Read-only after the configuration is loaded; lives as long as pconf. */
#ifndef WSGI_CONFIG_H
#define WSGI_CONFIG_H

#include <apr_hash.h>
#include <httpd.h>
#include <http_config.h>

#ifndef WSGI_VERSION /* given by the build */
#define WSGI_VERSION "unknown"
#endif

typedef struct wsgi_group wsgi_group;

#define WSGI_UNSET (-1)

/* One WSGIScriptAlias, WSGIScriptAliasMatch or WSGIHandlerScript. */
typedef struct wsgi_alias {
    const char *location; /* URL prefix, or the handler's name; NULL for the Match form */
    ap_regex_t *regex;
    const char *script; /* the file that the target leads to, see wsgi_script_of(); NULL: known only
                           with the request */
    const char *target; /* file or directory, may hold $1 in the Match form; or "module:callable" */
    const char *process_group; /* NULL: not given here */
    const char *application_group;
    const char *callable;
    int pass_authorization; /* or WSGI_UNSET */
    const char *where;      /* "site.conf:14" */
    int order;              /* see wsgi_config_order() */
} wsgi_alias;

/* One WSGIAccessScript, WSGIAuthUserScript, WSGIAuthGroupScript or WSGIDispatchScript. */
typedef struct wsgi_hook {
    const char *directive;
    const char *script;            /* file, or "module:callable" */
    const char *process_group;     /* "" embedded */
    const char *application_group; /* "" main interpreter */
    const char *where;
    server_rec *server;
    int is_htaccess; /* a .htaccess file names it, not the server's own configuration */
} wsgi_hook;

/* Options of single interpreters: at the top level, and in <WSGIInterpreterOptions>. */
typedef struct wsgi_interpreter_options {
    const char *process_group;     /* "" embedded; NULL: any */
    const char *application_group; /* "" main interpreter; NULL: any */
    const char *python_path, *python_path_where;
    const char *switch_interval; /* seconds, as written */
    int restrict_stdin, restrict_stdout, restrict_signal, own_gil,
        free_threading; /* or WSGI_UNSET */
} wsgi_interpreter_options;

/* One WSGIImportScript, or an alias whose groups are both spelled out. */
typedef struct wsgi_import {
    const char *script, *process_group, *application_group;
    const char *callable; /* of an alias, "" when only a request knows; NULL: loading is all, and a
                             module:callable is called */
    const char *where;
    int order; /* see wsgi_config_order() */
    server_rec *server;
} wsgi_import;

/* Where and how often processes tell what they do. */
typedef struct wsgi_telemetry {
    const char *path; /* of a datagram socket; NULL: nowhere */
    apr_interval_time_t interval;
    int user_agent; /* with the User-Agent of slow requests */
} wsgi_telemetry;

/* All but aliases and imports only matters in the main server. */
typedef struct wsgi_server_config {
    apr_array_header_t *aliases; /* of wsgi_alias; after merging a virtual host's own come first */
    apr_array_header_t *imports; /* of wsgi_import; of this server only */
    apr_array_header_t *groups;  /* of wsgi_group *, in the main server's config only */
    const char *python_home, *python_home_where;
    const char *python_eggs; /* PYTHON_EGG_CACHE in embedded mode */
    const char *socket_prefix;
    const char *hash_seed;                   /* a number or "random" */
    apr_array_header_t *warnings;            /* of const char *: filters as for python -W */
    wsgi_interpreter_options base;           /* top level */
    apr_array_header_t *interpreter_options; /* of wsgi_interpreter_options: the sections, in order
                                              */
    int optimize;                            /* 0, 1, 2 */
    wsgi_telemetry telemetry;
    apr_interval_time_t slow_requests; /* 0: none is too slow; WSGI_UNSET */
    const char *slow_requests_set;     /* "WSGISlowRequests 2.5 (site.conf:14)" */
    pid_t parent_pid;                  /* Apache's, set by post_config */
    int names_application_groups;      /* the configuration says where applications run; set by
                                          groups/applications.c, as the next one */
    int uses_main_interpreter;         /* something is to run in the main interpreter */
    int restrict_embedded, case_sensitive, dont_write_bytecode, destroy_interpreter, server_metrics;
} wsgi_server_config;

typedef struct wsgi_dir_config {
    const char *process_group;
    const char *application_group;
    const char *callable;
    const wsgi_hook *access_script, *auth_user_script, *auth_group_script, *dispatch_script;
    apr_hash_t *handlers; /* name in lower case to wsgi_alias; NULL: no WSGIHandlerScript */
    int pass_authorization;
    int script_reloading;
    int chunked_request;
    int request_buffering;
    int response_buffering;
    int error_override;
    int enable_sendfile;
    int ignore_activity;
    int pass_apache_request;
    apr_array_header_t *restrict_process; /* of const char *; NULL: any group */
    int map_head;                         /* enum wsgi_map_head or WSGI_UNSET */
    apr_array_header_t *trusted_headers;  /* of int, see proxies.c; NULL: none */
    apr_array_header_t *trusted_proxies;  /* of apr_ipsubnet_t *; NULL: everybody */
    /* The same two as the server's own configuration has them. Hooks may decide who is let in, so
       what .htaccess files say of proxies does not count for them. */
    apr_array_header_t *hook_headers, *hook_proxies;
    int shows_status; /* 1: the server's own configuration says SetHandler wsgi-status; 0: another
                         handler was set after that, or a .htaccess file sets one; WSGI_UNSET */
} wsgi_dir_config;

enum wsgi_map_head { WSGI_HEAD_OFF, WSGI_HEAD_ON, WSGI_HEAD_AUTO };

__attribute__((visibility("default"))) extern module AP_MODULE_DECLARE_DATA wsgi_module;

void wsgi_interpreter_options_init(wsgi_interpreter_options *o); /* nothing set */
void *wsgi_server_create(apr_pool_t *p, server_rec *s);
void *wsgi_server_merge(apr_pool_t *p, void *base, void *add);
void *wsgi_dir_create(apr_pool_t *p, char *dir);
void *wsgi_dir_merge(apr_pool_t *p, void *base, void *add);

wsgi_server_config *wsgi_server_of(const server_rec *s);
const wsgi_dir_config *wsgi_dir_of(const request_rec *r);

/* Returns the configuration of the main server, where the server-wide settings are. */
wsgi_server_config *wsgi_main_config(void);
void wsgi_config_remember_main(server_rec *s);

/* Returns the interpreter of an installation or environment. home NULL: that of WSGIPythonHome, or
 * else that of the package. root: the chroot, or "". */
const char *wsgi_python_of_home(apr_pool_t *p, const char *root, const char *home);

/* Returns a number that is larger for each later directive of the configuration. */
int wsgi_config_order(void);

/* Returns pointers to the imports of all servers (const wsgi_import *) in the order of the
 * configuration. */
apr_array_header_t *wsgi_imports_in_order(apr_pool_t *p, const server_rec *main_server);

/* Returns "name.conf:12" of the directive being read. */
const char *wsgi_where(cmd_parms *cmd);

/* Returns 1 when the directive being read is in a .htaccess file, else 0. */
int wsgi_is_htaccess(const cmd_parms *cmd);

/* Returns "shop.conf:12" of the <VirtualHost>, NULL for the main server. */
const char *wsgi_server_where(apr_pool_t *p, const server_rec *s);

/* Returns ServerName[:port unless 80 or 443], from the configuration alone. Without a port there,
 * it is that of the first Listen. */
const char *wsgi_server_name(apr_pool_t *p, const server_rec *s);

/* Returns the ServerAlias that host equals, if one without wildcards does, else the ServerName;
 * with the port as wsgi_server_name(). host may be NULL. */
const char *wsgi_host_name(apr_pool_t *p, const server_rec *s, const char *host);

/* Returns the list of this name that lives as long as the pool, and makes it when there is none. */
apr_array_header_t *wsgi_list_in(apr_pool_t *p, const char *name, int element_size);

/* For assertions. wsgi_is_parent(): this may be Apache's parent, which is known after post_config.
 * wsgi_is_child(): this may be a child of it; with -X both are one process. */
int wsgi_is_parent(void);
int wsgi_is_child(void);

/* Returns "" for "%{GLOBAL}" (embedded mode, or the main interpreter), else value. */
const char *wsgi_global_name(const char *value);

/* Returns the absolute path of a file given relative to ServerRoot; "module:callable" as it is. */
const char *wsgi_script_path(apr_pool_t *p, const char *script);

/* Returns 1 for "module:callable", 0 for the path of a file, which is absolute here. */
int wsgi_is_module(const char *script);

/* Returns 1 when the rest of a URL is appended to the name of the target itself, as the location of
 * the alias ends with "/" and the target does not. */
int wsgi_misses_slash(const char *location, const char *target);

/* Returns the file that target leads to; target may go on behind the file with the beginning of
 * PATH_INFO. Returns target itself when nothing is there, or for a module; NULL for a directory. */
const char *wsgi_script_of(apr_pool_t *p, const char *target);

#endif
