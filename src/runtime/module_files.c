/* module_files.c - the files of modules that serve as targets, "module:callable". */
#include "request.h"

#include <string.h>

/* The file of a module that some interpreter has tried to load, and its time at the first attempt.
 * Any thread; the list only grows, at its head, and entries never change. */
typedef struct module_file {
    char *target, *path;
    int64_t mtime_us;
    struct module_file *next;
} module_file;

static _Atomic(module_file *) module_files;

const char *rt_module_file(rt_slice target)
{
    for (module_file *f = atomic_load(&module_files); f; f = f->next)
        if (strlen(f->target) == target.len && !memcmp(f->target, target.at, target.len))
            return f->path;
    return NULL;
}

void rt_module_note_file(rt_slice target, const char *path, int64_t mtime_us)
{
    module_file *f = rt_module_file(target) ? NULL : malloc(sizeof(*f));

    if (!f)
        return;
    f->target = strndup(target.at, target.len);
    f->path = strdup(path);
    f->mtime_us = mtime_us;
    f->next = atomic_load(&module_files);
    if (f->target && f->path)
        while (!atomic_compare_exchange_weak(&module_files, &f->next, f))
            ;
}

PyObject *rt_module_files(void)
{
    PyObject *list = PyList_New(0);

    for (module_file *f = atomic_load(&module_files); f && list; f = f->next) {
        PyObject *item = Py_BuildValue("(yyL)", f->target, f->path, (long long)f->mtime_us);

        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}
