#include "request/spool.h"

#include "wire/assert.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_log.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

#define COPY_MAX   (32u << 10)
#define FORGET_MIN (1 << 20)

static const char *usual_directory; /* set by each Apache child as it starts, read-only afterwards;
                                       NULL: none was found */

/* APR tries a directory by writing a file there, which need not be done for each request. */
static void child_init(apr_pool_t *p, server_rec *s)
{
    (void)s;
    if (apr_temp_dir_get(&usual_directory, p) != APR_SUCCESS)
        usual_directory = NULL;
}

static apr_status_t close_file(void *file)
{
    return apr_file_close(file); /* apr_os_file_put() leaves that to its caller */
}

apr_status_t wsgi_file_of_fd(apr_file_t **file, int fd, apr_int32_t flags, apr_pool_t *p)
{
    apr_status_t rv = apr_os_file_put(file, &fd, flags, p);

    if (rv == APR_SUCCESS)
        apr_pool_cleanup_register(p, *file, close_file, apr_pool_cleanup_null);
    else
        close(fd);
    return rv;
}

static apr_status_t create(wsgi_spool *spool, request_rec *r, const char **directory)
{
    apr_status_t rv;
    char *path;
    int fd;

    if (usual_directory)
        *directory = usual_directory;
    else if ((rv = apr_temp_dir_get(directory, r->pool)) != APR_SUCCESS)
        return rv;
    fd = open(*directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return wsgi_file_of_fd(&spool->file, fd,
                               APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_SENDFILE_ENABLED,
                               r->pool);
    /* Some file systems cannot make a file without a name. */
    path = apr_pstrcat(r->pool, *directory, "/wsgi-XXXXXX", NULL);
    rv = apr_file_mktemp(&spool->file, path,
                         APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL |
                             APR_FOPEN_SENDFILE_ENABLED,
                         r->pool);
    return rv == APR_SUCCESS ? apr_file_remove(path, r->pool) : rv;
}

int wsgi_spool_write(wsgi_spool *spool, request_rec *r, const char *data, apr_size_t len)
{
    const char *directory = usual_directory ? usual_directory : "the directory for temporary files";
    apr_status_t rv = APR_SUCCESS;

    WIRE_ASSERT(spool->forgotten <= spool->size && (spool->file || spool->size == 0));
    if (spool->failed)
        return -1;
    if (!spool->file)
        rv = create(spool, r, &directory);
    if (rv == APR_SUCCESS)
        rv = apr_file_write_full(spool->file, data, len, NULL);
    if (rv != APR_SUCCESS) {
        spool->failed = 1;
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, rv, r,
                      "WSGI0315: a temporary file in %s could not be written; free space there "
                      "or choose another place with TMPDIR in Apache's environment",
                      directory);
        return -1;
    }
    spool->size += (apr_off_t)len;
    return 0;
}

/* Returns 0, or an errno. */
static int read_at(int fd, char *buf, size_t len, off_t offset)
{
    while (len > 0) {
        ssize_t n = pread(fd, buf, len, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        buf += n;
        len -= (size_t)n;
        offset += n;
    }
    return 0;
}

static apr_bucket *log_unreadable(request_rec *r, apr_status_t rv)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                  "WSGI0236: the temporary file with the response's data cannot be read; the "
                  "connection is closed");
    return NULL;
}

/* A file bucket takes over the file it is made of when httpd sets it aside (apr_file_setaside()),
 * and reading one moves the file's position. So it gets a file of its own, opened anew; what is
 * small is copied, as each such file stays open as long as the request. */
apr_bucket *wsgi_spool_bucket(wsgi_spool *spool, request_rec *r, apr_off_t offset, apr_off_t len,
                              apr_bucket_alloc_t *alloc)
{
    int fd = wsgi_spool_fd(spool);
    apr_file_t *view;
    apr_status_t rv;
    char *copy;

    WIRE_ASSERT(offset >= spool->forgotten && len > 0 && offset + len <= spool->size);
    if (len > COPY_MAX) {
        spool->is_viewed = 1;
        rv = apr_file_open(&view, apr_psprintf(r->pool, "/proc/self/fd/%d", fd),
                           APR_FOPEN_READ | APR_FOPEN_SENDFILE_ENABLED, APR_OS_DEFAULT, r->pool);
        return rv == APR_SUCCESS
                   ? apr_bucket_file_create(view, offset, (apr_size_t)len, r->pool, alloc)
                   : log_unreadable(r, rv);
    }
    copy = apr_bucket_alloc((apr_size_t)len, alloc);
    rv = read_at(fd, copy, (size_t)len, offset);
    if (rv == APR_SUCCESS)
        return apr_bucket_heap_create(copy, (apr_size_t)len, apr_bucket_free, alloc);
    apr_bucket_free(copy);
    return log_unreadable(r, rv);
}

void wsgi_spool_forget(wsgi_spool *spool, apr_off_t offset)
{
    if (spool->is_viewed || offset - spool->forgotten < FORGET_MIN)
        return;
    /* Where the file system cannot do that, a response takes as much space as it is long. */
    fallocate(wsgi_spool_fd(spool), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, spool->forgotten,
              offset - spool->forgotten);
    spool->forgotten = offset;
}

int wsgi_spool_fd(const wsgi_spool *spool)
{
    apr_os_file_t fd = -1;

    if (spool->file)
        apr_os_file_get(&fd, spool->file);
    return fd;
}

void wsgi_spool_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
