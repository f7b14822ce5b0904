#include "config/package.h"

#include <apr_strings.h>
#include <dlfcn.h>
#include <httpd.h>
#include <stdlib.h>
#include <unistd.h>

/* Given by the build: where a distribution puts the package, and the interpreter that the module
 * was built with. */
#ifndef WSGI_PACKAGE_DIR
#define WSGI_PACKAGE_DIR "/usr/lib/python3/dist-packages/httpd_wsgi"
#endif
#ifndef WSGI_DEFAULT_PYTHON
#define WSGI_DEFAULT_PYTHON "/usr/bin/python3"
#endif

/* Beside that package, what pip needs for other Pythons. Both names are in _boot.py, too. */
#define PACKAGED_SOURCE "/usr/share/httpd-wsgi/httpd-wsgi.tar.gz"

/* Makes the path of a file that of its directory, if the package is there. */
static int is_in_package(char path[APR_PATH_MAX])
{
    char boot[APR_PATH_MAX], *slash = strrchr(path, '/');

    if (!slash)
        return 0;
    *slash = '\0';
    apr_snprintf(boot, sizeof(boot), "%s/_boot.py", path);
    return access(boot, F_OK) == 0;
}

/* The package surrounds the module when pip installed both, and may be what a link in Apache's own
 * directory leads to; a distribution puts the module elsewhere. */
const char *wsgi_package_dir(void)
{
    static char directory[APR_PATH_MAX];
    Dl_info info;
    char *real;

    if (directory[0])
        return directory;
    if (dladdr((void *)wsgi_package_dir, &info) && info.dli_fname) {
        apr_cpystrn(directory, info.dli_fname, sizeof(directory));
        if (is_in_package(directory))
            return directory;
        real = realpath(info.dli_fname, NULL);
        apr_cpystrn(directory, real ? real : "", sizeof(directory));
        free(real);
        if (is_in_package(directory))
            return directory;
    }
    apr_cpystrn(directory, WSGI_PACKAGE_DIR, sizeof(directory));
    return directory;
}

/* PREFIX/lib/python3.12/site-packages/httpd_wsgi belongs to PREFIX/bin/python3.12. What the build
 * knows is the second choice: a wheel may have been built in a temporary environment or on another
 * machine. */
const char *wsgi_default_python(apr_pool_t *p)
{
    char *prefix = apr_pstrdup(p, wsgi_package_dir()), *slash;
    const char *name = "", *python;

    for (int cut = 0; cut < 4 && (slash = strrchr(prefix, '/')); cut++) {
        *slash = '\0';
        if (cut == 2) /* the package and site-packages are off */
            name = slash + 1;
    }
    python = apr_pstrcat(p, prefix, "/bin/", name, NULL);
    if (!strncmp(name, "python", 6) && access(python, X_OK) == 0)
        return python;
    return access(WSGI_DEFAULT_PYTHON, X_OK) == 0 ? WSGI_DEFAULT_PYTHON : "/usr/bin/python3";
}

const char *wsgi_install_command(apr_pool_t *p, const char *python)
{
    if (!strcmp(wsgi_package_dir(), WSGI_PACKAGE_DIR))
        return apr_pstrcat(p, python, " -m pip install " PACKAGED_SOURCE, NULL);
    return apr_pstrcat(p, python, " -m pip install SOURCE (a clone of httpd-wsgi or its sdist)",
                       NULL);
}
