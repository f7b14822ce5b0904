#include "config/names.h"

#include "config/config.h"

#include <apr_strings.h>

int wsgi_is_own_handler(const char *name)
{
    return !strcmp(name, WSGI_HANDLER_NAME) || !strcmp(name, "application/x-httpd-wsgi");
}

const char *wsgi_collapse(apr_pool_t *p, const char *path, size_t len)
{
    char *out = apr_palloc(p, len + 1), *at = out;

    for (size_t i = 0; i < len; i++)
        if (!(path[i] == '/' && at > out && at[-1] == '/'))
            *at++ = path[i];
    *at = '\0';
    return out;
}

const char *wsgi_resource_path(apr_pool_t *p, const char *path, size_t len)
{
    while (len > 0 && path[len - 1] == '/')
        len--;
    return wsgi_collapse(p, path, len);
}

const char *wsgi_expand(apr_pool_t *p, const char *value, const server_rec *s, const char *host,
                        const char *script_name)
{
    if (!value)
        value = "%{RESOURCE}";
    if (value[0] != '%')
        return value;
    if (!strcmp(value, "%{GLOBAL}"))
        return "";
    if (!strcmp(value, "%{SERVER}"))
        return wsgi_server_name(p, s);
    if (!strcmp(value, "%{HOST}"))
        return wsgi_host_name(p, s, host);
    if (!strcmp(value, "%{RESOURCE}")) {
        char *path = apr_pstrdup(p, script_name);

        if (!wsgi_main_config()->case_sensitive)
            ap_str_tolower(path);
        return apr_pstrcat(p, wsgi_server_name(p, s), "|", path, NULL);
    }
    return value;
}
