/* notes.c - byte strings from any interpreter to the one thread that sends telemetry.
 *
 * A thread that puts a note may hold a GIL, so there is no lock: notes are pushed onto a list, and
 * the reader takes the whole list. */
#include "observe.h"

#include <string.h>

#define NOTES_MAX 4096

typedef struct note {
    struct note *next;
    int kind;
    size_t len;
    char bytes[];
} note;

static _Atomic(note *) newest;
static atomic_int count;

int rt_note_put(int kind, const char *bytes, size_t len)
{
    note *n = atomic_fetch_add(&count, 1) < NOTES_MAX ? malloc(sizeof(*n) + len) : NULL;

    rt_assert_attached();
    if (!n) {
        atomic_fetch_sub(&count, 1);
        return -1;
    }
    n->kind = kind;
    n->len = len;
    memcpy(n->bytes, bytes, len);
    n->next = atomic_load(&newest);
    while (!atomic_compare_exchange_weak(&newest, &n->next, n))
        ;
    return 0;
}

/* Returns all notes, the oldest first. */
static note *take_all(void)
{
    note *taken = atomic_exchange(&newest, NULL), *oldest = NULL;

    while (taken) {
        note *next = taken->next;

        taken->next = oldest;
        oldest = taken;
        taken = next;
        atomic_fetch_sub(&count, 1);
    }
    return oldest;
}

PyObject *rt_note_take(void)
{
    PyObject *list = PyList_New(0);
    note *n = take_all();

    rt_assert_attached();
    while (n) {
        note *next = n->next;
        PyObject *item =
            list ? Py_BuildValue("(iy#)", n->kind, n->bytes, (Py_ssize_t)n->len) : NULL;

        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        free(n);
        n = next;
    }
    return list;
}
