#include "config/pythons.h"

#include "config/package.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *wsgi_python_in(apr_pool_t *p, const char *root, const char *home)
{
    const char *python = apr_pstrcat(p, home, "/bin/python", NULL),
               *python3 = apr_pstrcat(p, python, "3", NULL);
    struct stat st;

    if (lstat(apr_pstrcat(p, root, python, NULL), &st) < 0 &&
        lstat(apr_pstrcat(p, root, python3, NULL), &st) == 0)
        return python3;
    return python;
}

/* Returns the length of "3.12" or "3.13t" at text when that is all there is, else 0. */
static size_t version_length(const char *text)
{
    size_t len = strspn(text, "0123456789.");

    len += text[len] == 't';
    return strncmp(text, "3.", 2) || text[len] || len > 6 ? 0 : len;
}

const char *wsgi_python_version(apr_pool_t *p, const char *root, const char *home)
{
    const char *version = NULL, *name;
    char *real = *root ? NULL : realpath(wsgi_python_in(p, root, home), NULL);
    glob_t found;

    name = real ? strrchr(real, '/') + 1 : "";
    if (!strncmp(name, "python", 6) && version_length(name + 6))
        version = apr_pstrdup(p, name + 6);
    free(real);
    if (version)
        return version;
    if (glob(apr_pstrcat(p, root, home, "/lib/python3.*", NULL), 0, NULL, &found) == 0 &&
        found.gl_pathc == 1) {
        name = strrchr(found.gl_pathv[0], '/') + 1;
        if (version_length(name + 6))
            version = apr_pstrdup(p, name + 6);
    }
    globfree(&found);
    return version;
}

static int exists(const char *pattern)
{
    glob_t found;
    int there = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;

    globfree(&found);
    return there;
}

/* Returns 1 when a *.pth file adds directories, which may have anything. Its other lines are
 * Python. */
static int adds_directory(const char *path)
{
    FILE *file = fopen(path, "re");
    int adds = 0;
    char line[PATH_MAX];

    while (file && !adds && fgets(line, sizeof(line), file))
        adds = *line != '#' && strncmp(line, "import ", 7) && strncmp(line, "import\t", 7) &&
               line[strspn(line, " \t\r\n")];
    if (file)
        fclose(file);
    return adds;
}

static int any_adds_directory(const char *pattern)
{
    glob_t found;
    int adds = 0;

    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !adds; i++)
            adds = adds_directory(found.gl_pathv[i]);
    globfree(&found);
    return adds;
}

/* Where pip and distributions put packages. */
static int prefix_may_have_it(apr_pool_t *p, const char *prefix, const char *version,
                              const char *file)
{
    const char *const places[] = {
        apr_pstrcat(p, prefix, "/lib*/python", version, "/*-packages/", NULL),
        apr_pstrcat(p, prefix, "/lib/python3/dist-packages/", NULL),
        apr_pstrcat(p, prefix, "/local/lib*/python", version, "/*-packages/", NULL),
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (exists(apr_pstrcat(p, places[i], "httpd_wsgi/", file, NULL)) ||
            exists(apr_pstrcat(p, places[i], "__editable__*httpd_wsgi*", NULL)) ||
            any_adds_directory(apr_pstrcat(p, places[i], "*.pth", NULL)))
            return 1;
    return 0;
}

/* Returns the prefix whose packages a virtual environment sees as well, or NULL. */
static const char *base_of(apr_pool_t *p, const char *root, const char *home)
{
    FILE *file = fopen(apr_pstrcat(p, root, home, "/pyvenv.cfg", NULL), "re");
    int sees_base = 0;
    const char *base = NULL;
    char line[PATH_MAX + 64];

    while (file && fgets(line, sizeof(line), file)) {
        char *value = strchr(line, '=');

        if (!value)
            continue;
        value[strcspn(value, "\r\n")] = '\0';
        value += 1 + strspn(value + 1, " ");
        if (!strncmp(line, "home ", 5) && strrchr(value, '/'))
            base = apr_pstrmemdup(p, value, (apr_size_t)(strrchr(value, '/') - value)); /* without
                                                                                           /bin */
        else if (!strncmp(line, "include-system-site-packages", 28))
            sees_base = !strcasecmp(value, "true");
    }
    if (file)
        fclose(file);
    return sees_base ? base : NULL;
}

int wsgi_python_may_have_runtime(apr_pool_t *p, const char *root, const char *home,
                                 const char *version)
{
    const char *base = base_of(p, root, home), *file;

    /* "3.13t" is _runtime.cpython-313t-x86_64-linux-gnu.so */
    file = apr_psprintf(p, "_runtime.cpython-3%s-*.so", version + 2);
    return (!*root && exists(apr_pstrcat(p, wsgi_package_dir(), "/", file, NULL))) ||
           prefix_may_have_it(p, apr_pstrcat(p, root, home, NULL), version, file) ||
           (base && prefix_may_have_it(p, apr_pstrcat(p, root, base, NULL), version, file));
}
