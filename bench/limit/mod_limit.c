/* mod_limit.c - what Apache itself can do: for each application in bench/apps a handler in C that
 * answers with the same bytes.
 *
 * What the application does, the handler does too: it reads the whole body of a POST, and opens a
 * file and asks for its size. It flushes each block of a stream, since PEP 3333 wants a block on
 * its way before the application is asked for the next one. */
#include <httpd.h>

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

enum { KB = 1024, MB = 1024 * 1024 };

typedef struct answer {
    const char *path;
    int (*send)(request_rec *r, const struct answer *a);
    apr_size_t size;
} answer;

static char *filled; /* of the largest body; made before any thread runs, read-only afterwards */

static int send_hello(request_rec *r, const answer *a)
{
    static const char body[] = "Hello World!";

    (void)a;
    ap_set_content_length(r, sizeof(body) - 1);
    ap_rwrite(body, sizeof(body) - 1, r);
    return OK;
}

static int send_headers(request_rec *r, const answer *a)
{
    static const char *const names[] = {
        "X-Bench-0", "X-Bench-1", "X-Bench-2", "X-Bench-3",
        "X-Bench-4", "X-Bench-5", "X-Bench-6", "X-Bench-7",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        apr_table_setn(r->headers_out, names[i], "the value of a header");
    return send_hello(r, a);
}

static int send_length(request_rec *r, const answer *a)
{
    char buffer[64 * KB];
    const char *text;
    long n, total = 0;
    int rc;

    (void)a;
    if ((rc = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK)) != OK)
        return rc;
    if (ap_should_client_block(r)) {
        while ((n = ap_get_client_block(r, buffer, sizeof(buffer))) > 0)
            total += n;
        if (n < 0)
            return HTTP_BAD_REQUEST;
    }
    text = apr_psprintf(r->pool, "%ld", total);
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ap_rputs(text, r);
    return OK;
}

static int pass(request_rec *r, apr_bucket_brigade *bb)
{
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(r->connection->bucket_alloc));
    ap_pass_brigade(r->output_filters, bb);
    return OK;
}

static int send_body(request_rec *r, const answer *a)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);

    ap_set_content_length(r, (apr_off_t)a->size);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(filled, a->size,
                                                           r->connection->bucket_alloc));
    return pass(r, bb);
}

static int send_stream(request_rec *r, const answer *a)
{
    for (int i = 0; i < 1000; i++)
        if (ap_rwrite(filled, (int)a->size, r) < 0 || ap_rflush(r) < 0)
            break;
    return OK;
}

static int send_file(request_rec *r, const answer *a)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_int32_t flags = APR_FOPEN_READ | APR_FOPEN_SENDFILE_ENABLED;
    apr_file_t *file;
    apr_finfo_t info;

    if (apr_file_open(&file, ap_server_root_relative(r->pool, a->path + 1), flags,
                      APR_FPROT_OS_DEFAULT, r->pool) != APR_SUCCESS)
        return HTTP_NOT_FOUND;
    if (apr_file_info_get(&info, APR_FINFO_SIZE, file) != APR_SUCCESS)
        return HTTP_INTERNAL_SERVER_ERROR;
    ap_set_content_length(r, info.size);
    apr_brigade_insert_file(bb, file, 0, info.size, r->pool);
    return pass(r, bb);
}

static const answer answers[] = {
    {"/hello", send_hello, 0},         {"/headers", send_headers, 0},
    {"/post", send_length, 0},         {"/body-100k", send_body, 100 * KB},
    {"/body-1m", send_body, MB},       {"/body-10m", send_body, 10 * MB},
    {"/stream", send_stream, KB},      {"/file-1m", send_file, MB},
    {"/file-50m", send_file, 50 * MB}, {"/flask/", send_hello, 0},
    {"/django/", send_hello, 0},       {NULL, NULL, 0},
};

static int handler(request_rec *r)
{
    const answer *a = answers;

    if (!r->handler || strcmp(r->handler, "limit"))
        return DECLINED;
    while (a->path && strcmp(a->path, r->uri))
        a++;
    if (!a->path)
        return HTTP_NOT_FOUND;
    ap_set_content_type(r, "text/plain");
    return a->send(r, a);
}

static int fill(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    (void)s;
    filled = memset(apr_palloc(p, 10 * MB), 'x', 10 * MB);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(fill, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA limit_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
#ifdef AP_MODULE_FLAG_NONE
    AP_MODULE_FLAG_NONE,
#endif
};
