/* proxies.c - a header counts when its name is declared, its sender is a trusted proxy and its
 * value is valid. Every other header of a declared category is hidden, so that an application that
 * looks at several of them cannot be deceived. Addresses are parsed, never looked up. */
#include "request/proxies.h"

#include "config/names.h"
#include "config/words.h"

#include <apr_lib.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <http_log.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

enum category { CLIENT, HOST, SERVER, PORT, SCRIPT, SCHEME };
enum form {
    ADDRESS_LIST,
    ADDRESS,
    HOST_PORT,
    HOST_ONLY,
    PORT_NUMBER,
    URL_PATH,
    SCHEME_NAME,
    SWITCH
};

typedef struct known_header {
    const char *name;
    enum category category;
    enum form form;
} known_header;

static const known_header known[] = {
    {"X-Forwarded-For", CLIENT, ADDRESS_LIST},
    {"X-Client-IP", CLIENT, ADDRESS},
    {"X-Real-IP", CLIENT, ADDRESS},
    {"X-Forwarded-Host", HOST, HOST_PORT},
    {"X-Host", HOST, HOST_PORT},
    {"X-Forwarded-Server", SERVER, HOST_ONLY},
    {"X-Forwarded-Port", PORT, PORT_NUMBER},
    {"X-Script-Name", SCRIPT, URL_PATH},
    {"X-Forwarded-Script-Name", SCRIPT, URL_PATH},
    {"X-Forwarded-Proto", SCHEME, SCHEME_NAME},
    {"X-Forwarded-Scheme", SCHEME, SCHEME_NAME},
    {"X-Scheme", SCHEME, SCHEME_NAME},
    {"X-Forwarded-HTTPS", SCHEME, SWITCH},
    {"X-Forwarded-SSL", SCHEME, SWITCH},
    {"X-HTTPS", SCHEME, SWITCH},
};

#define KNOWN_COUNT ((int)(sizeof(known) / sizeof(known[0])))

static int find_known(const char *name)
{
    for (int i = 0; i < KNOWN_COUNT; i++)
        if (strcasecmp(known[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- configuration ---- */

static const char *valid_names(apr_pool_t *p)
{
    const char *all = known[0].name;

    for (int i = 1; i < KNOWN_COUNT; i++)
        all = apr_pstrcat(p, all, ", ", known[i].name, NULL);
    return all;
}

const char *wsgi_proxies_add_header(cmd_parms *cmd, apr_array_header_t **list, const char *name)
{
    const char *names[KNOWN_COUNT + 1], *near;
    int index = find_known(name);

    if (!*list)
        *list = apr_array_make(cmd->pool, 4, sizeof(int));
    if (index >= 0) {
        APR_ARRAY_PUSH(*list, int) = index;
        return NULL;
    }
    for (int i = 0; i < KNOWN_COUNT; i++)
        names[i] = known[i].name;
    names[KNOWN_COUNT] = NULL;
    near = wsgi_nearest(cmd->pool, name, names);
    for (const char *c = name; *c; c++)
        if (!apr_isalnum(*c) && *c != '-')
            return apr_psprintf(cmd->pool,
                                "%s %s: not a header name: only letters, digits and - are "
                                "possible%s%s; valid are %s",
                                cmd->cmd->name, name, near ? "; did you mean " : "",
                                near ? near : "", valid_names(cmd->pool));
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server,
                 "WSGI0219: %s: %s %s has no effect: a header of this name says nothing known%s%s; "
                 "valid are %s",
                 wsgi_where(cmd), cmd->cmd->name, name, near ? "; did you mean " : "",
                 near ? near : "", valid_names(cmd->pool));
    return NULL;
}

/* An IPv4 network written as an IPv6 one (::ffff:10.0.0.0/104) is the IPv4 network. */
static void unmap(char **address, char **mask, apr_pool_t *p)
{
    struct in_addr ignored;

    if (strncasecmp(*address, "::ffff:", 7) != 0 || inet_pton(AF_INET, *address + 7, &ignored) != 1)
        return;
    *address += 7;
    if (*mask && atoi(*mask) >= 96)
        *mask = apr_itoa(p, atoi(*mask) - 96);
}

const char *wsgi_proxies_add_network(cmd_parms *cmd, apr_array_header_t **list, const char *network)
{
    char *address = apr_pstrdup(cmd->pool, network), *mask = strchr(address, '/');
    apr_ipsubnet_t *subnet;

    if (mask)
        *mask++ = '\0';
    unmap(&address, &mask, cmd->pool);
    if (apr_ipsubnet_create(&subnet, address, mask, cmd->pool) != APR_SUCCESS)
        return apr_psprintf(
            cmd->pool,
            "%s %s: expected an address or a network, for example 10.0.0.1, 10.0.0.0/8, "
            "192.168.0.0/255.255.0.0 or 2001:db8::/32; host names are not looked up",
            cmd->cmd->name, network);
    if (!*list)
        *list = apr_array_make(cmd->pool, 4, sizeof(apr_ipsubnet_t *));
    APR_ARRAY_PUSH(*list, apr_ipsubnet_t *) = subnet;
    return NULL;
}

/* ---- values ---- */

/* Returns the numeric address in "1.2.3.4", "1.2.3.4:80", "2001:db8::1", "[2001:db8::1]" or
 * "[2001:db8::1]:443", or NULL when it is none. */
static const char *address_of(apr_pool_t *p, const char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    char *copy = apr_pstrdup(p, text), *end;

    if (*copy == '[') {
        end = strchr(++copy, ']');
        if (!end || (end[1] && end[1] != ':'))
            return NULL;
        *end = '\0';
        return inet_pton(AF_INET6, copy, bytes) == 1 ? copy : NULL;
    }
    end = strchr(copy, ':');
    if (end && !strchr(end + 1, ':'))
        *end = '\0';
    return inet_pton(strchr(copy, ':') ? AF_INET6 : AF_INET, copy, bytes) == 1 ? copy : NULL;
}

/* address is numeric, so nothing is looked up. */
static int is_in(apr_pool_t *p, const char *address, const apr_array_header_t *networks)
{
    apr_sockaddr_t *sa;

    if (!address || apr_sockaddr_info_get(&sa, address, APR_UNSPEC, 0, 0, p) != APR_SUCCESS)
        return 0;
    for (int i = 0; i < networks->nelts; i++)
        if (apr_ipsubnet_test(APR_ARRAY_IDX(networks, i, apr_ipsubnet_t *), sa))
            return 1;
    return 0;
}

static char *trim(char *text)
{
    while (apr_isspace(*text))
        text++;
    for (char *end = text + strlen(text); end > text && apr_isspace(end[-1]);)
        *--end = '\0';
    return text;
}

/* Chained proxies append their own value: the first is what the client's proxy saw. */
static const char *first_of(apr_pool_t *p, const char *value)
{
    const char *comma = strchr(value, ',');

    return trim(apr_pstrmemdup(p, value, comma ? (apr_size_t)(comma - value) : strlen(value)));
}

static int is_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);

    return apr_isdigit(*text) && !*end && port >= 1 && port <= 65535;
}

/* RFC 3986 section 3.2.2, without percent-encoding and the punctuation that no host has. */
static int is_host(apr_pool_t *p, const char *text, int may_have_port)
{
    const char *end = text;
    unsigned char bytes[sizeof(struct in6_addr)];

    if (*text == '[') {
        end = strchr(text, ']');
        if (!end || inet_pton(AF_INET6, apr_pstrmemdup(p, text + 1, (apr_size_t)(end - text - 1)),
                              bytes) != 1)
            return 0;
        end++;
    } else {
        while (apr_isalnum(*end) || *end == '.' || *end == '-' || *end == '_')
            end++;
    }
    if (end == text)
        return 0;
    return !*end || (may_have_port && *end == ':' && is_port(end + 1));
}

/* Returns the path as SCRIPT_NAME has it, or NULL when it is none. */
static const char *mount_of(apr_pool_t *p, const char *text)
{
    if (*text != '/')
        return NULL;
    for (const char *c = text; *c; c++)
        if (apr_iscntrl(*c) || *c == '?' || *c == '#' || *c == '"' || *c == '<' || *c == '>' ||
            *c == '\\')
            return NULL;
    return wsgi_resource_path(p, text, strlen(text));
}

/* ---- X-Forwarded-For ---- */

static apr_array_header_t *elements_of(apr_pool_t *p, const char *value)
{
    apr_array_header_t *all = apr_array_make(p, 4, sizeof(const char *));
    char *last, *text = apr_pstrdup(p, value);

    for (char *part = apr_strtok(text, ",", &last); part; part = apr_strtok(NULL, ",", &last)) {
        part = trim(part);
        if (*part)
            APR_ARRAY_PUSH(all, const char *) = part;
    }
    return all;
}

/* From right to left as far as trusted proxies have written: the client is the first one that is
 * not a trusted proxy. An element that is no address was not written by one, so the last proxy
 * before it is taken. Returns 0, or -1 when there is no valid address. */
static int read_list(wsgi_forwarded *out, request_rec *r, const apr_array_header_t *networks,
                     const char *value)
{
    apr_array_header_t *all = elements_of(r->pool, value), *rest;
    const char *address;
    int at = all->nelts - 1;

    if (all->nelts == 0)
        return 0;
    if (!networks) { /* everybody is trusted, so what they say of each other is, too */
        address = address_of(r->pool, APR_ARRAY_IDX(all, 0, const char *));
        if (address)
            out->remote_addr = address;
        return address ? 0 : -1;
    }
    while (at > 0 &&
           is_in(r->pool, address_of(r->pool, APR_ARRAY_IDX(all, at, const char *)), networks))
        at--;
    if (!address_of(r->pool, APR_ARRAY_IDX(all, at, const char *)) && at < all->nelts - 1)
        at++;
    address = address_of(r->pool, APR_ARRAY_IDX(all, at, const char *));
    if (!address)
        return -1;
    out->remote_addr = address;
    rest = apr_array_make(r->pool, all->nelts, sizeof(const char *));
    for (; at < all->nelts; at++)
        APR_ARRAY_PUSH(rest, const char *) = APR_ARRAY_IDX(all, at, const char *);
    out->forwarded_for = APR_ARRAY_IDX(rest, 0, const char *);
    for (int i = 1; i < rest->nelts; i++)
        out->forwarded_for = apr_pstrcat(r->pool, out->forwarded_for, ", ",
                                         APR_ARRAY_IDX(rest, i, const char *), NULL);
    return 0;
}

/* ---- a request ---- */

static int read_scheme(wsgi_forwarded *out, const char *value, const char *on, const char *also_on,
                       const char *off, const char *also_off)
{
    if (!strcasecmp(value, on) || !strcasecmp(value, also_on) || !strcmp(value, "1"))
        out->https = 1;
    else if (!strcasecmp(value, off) || !strcasecmp(value, also_off) || !strcmp(value, "0"))
        out->https = 0;
    else
        return -1;
    return 0;
}

/* Puts the header's value into *out. Returns 0, or -1 when it is not valid. */
static int read_header(wsgi_forwarded *out, request_rec *r, const apr_array_header_t *networks,
                       enum form form, const char *value)
{
    const char *first = first_of(r->pool, value), *found = NULL;

    switch (form) {
    case ADDRESS_LIST:
        return read_list(out, r, networks, value);
    case ADDRESS:
        found = address_of(r->pool, first);
        out->remote_addr = found ? found : out->remote_addr;
        break;
    case HOST_PORT:
        found = is_host(r->pool, first, 1) ? out->host = first : NULL;
        break;
    case HOST_ONLY:
        found = is_host(r->pool, first, 0) ? out->server_name = first : NULL;
        break;
    case PORT_NUMBER:
        found = is_port(first) ? out->server_port = first : NULL;
        break;
    case URL_PATH:
        found = mount_of(r->pool, value);
        out->script_name = found ? found : out->script_name;
        break;
    case SCHEME_NAME:
        return read_scheme(out, first, "https", "https", "http", "http");
    case SWITCH:
        return read_scheme(out, first, "on", "true", "off", "false");
    }
    return found ? 0 : -1;
}

static int is_peer_trusted(const request_rec *r, const apr_array_header_t *networks)
{
    for (int i = 0; networks && i < networks->nelts; i++)
        if (apr_ipsubnet_test(APR_ARRAY_IDX(networks, i, apr_ipsubnet_t *), r->useragent_addr))
            return 1;
    return networks == NULL;
}

void wsgi_proxies_read(wsgi_forwarded *out, request_rec *r, const apr_array_header_t *headers,
                       const apr_array_header_t *networks)
{
    int winner[SCHEME + 1] = {-1, -1, -1, -1, -1, -1}, declared[SCHEME + 1] = {0};
    int trusted;

    memset(out, 0, sizeof(*out));
    out->https = -1;
    if (!headers)
        return;
    trusted = is_peer_trusted(r, networks);
    for (int i = 0; i < headers->nelts; i++) {
        int index = APR_ARRAY_IDX(headers, i, int);
        const char *value = trusted ? apr_table_get(r->headers_in, known[index].name) : NULL;

        declared[known[index].category] = 1;
        if (!value)
            continue;
        if (read_header(out, r, networks, known[index].form, value) == 0)
            winner[known[index].category] = index;
        else
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                          "WSGI0220: the trusted header %s is ignored: its value is not valid: %s",
                          known[index].name, value);
    }
    for (int i = 0; i < KNOWN_COUNT; i++)
        if (declared[known[i].category] && winner[known[i].category] != i)
            out->hidden |= 1u << i;
    if (winner[CLIENT] < 0 || known[winner[CLIENT]].form != ADDRESS_LIST)
        out->forwarded_for = NULL;
}

int wsgi_proxies_hide(const wsgi_forwarded *f, const char *header)
{
    int index = f->hidden ? find_known(header) : -1;

    return index >= 0 && (f->hidden & (1u << index)) != 0;
}
