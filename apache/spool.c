#include "spool.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <http_log.h>

APLOG_USE_MODULE(wsgi);

static apr_status_t create(wsgi_spool *spool, request_rec *r, const char **directory)
{
    char *path;
    apr_status_t rv = apr_temp_dir_get(directory, r->pool);

    if (rv != APR_SUCCESS)
        return rv;
    path = apr_pstrcat(r->pool, *directory, "/wsgi-XXXXXX", NULL);
    rv = apr_file_mktemp(&spool->file, path, APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL |
                         APR_FOPEN_SENDFILE_ENABLED, r->pool);
    return rv == APR_SUCCESS ? apr_file_remove(path, r->pool) : rv;
}

int wsgi_spool_write(wsgi_spool *spool, request_rec *r, const char *data, apr_size_t len)
{
    const char *directory = "the directory for temporary files";
    apr_status_t rv = APR_SUCCESS;

    if (spool->failed)
        return -1;
    if (!spool->file)
        rv = create(spool, r, &directory);
    if (rv == APR_SUCCESS)
        rv = apr_file_write_full(spool->file, data, len, NULL);
    if (rv != APR_SUCCESS) {
        spool->failed = 1;
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, rv, r, "WSGI0315: a temporary file in %s could not be written; free space there "
                      "or choose another place with TMPDIR in Apache's environment", directory);
        return -1;
    }
    spool->size += (apr_off_t)len;
    return 0;
}

int wsgi_spool_fd(const wsgi_spool *spool)
{
    apr_os_file_t fd = -1;

    if (spool->file)
        apr_os_file_get(&fd, spool->file);
    return fd;
}
