/* scoreboard.c - Apache's scoreboard: Apache is asked for it in embedded mode, a worker reads it
 * from shared memory (wire/scores.h). */
#include "observe.h"

#include "wire/scores.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const wire_scores *shared; /* a worker's; set before the first request, then never changed */
static size_t shared_size;

int rt_scoreboard_open(int fd)
{
    struct stat st;
    void *memory;

    rt_assert_attached();
    if (fstat(fd, &st) < 0)
        return errno;
    if ((size_t)st.st_size <= sizeof(wire_scores))
        return EINVAL;
    memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return errno;
    shared = memory;
    shared_size = (size_t)st.st_size;
    return 0;
}

PyObject *rt_scoreboard_read(void)
{
    size_t (*ask)(char *, size_t) = rt_the_process.embed_scoreboard;
    size_t room = ask ? ask(NULL, 0) : shared ? shared_size : 0, len = 0;
    PyObject *bytes = NULL;
    char *buf;

    rt_assert_attached();
    if (room == 0)
        Py_RETURN_NONE;
    buf = PyMem_RawMalloc(room);
    if (!buf)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS len = ask ? ask(buf, room) : wire_scores_copy(buf, shared, shared_size);
    Py_END_ALLOW_THREADS bytes =
        len ? PyBytes_FromStringAndSize(buf, (Py_ssize_t)len) : Py_NewRef(Py_None);
    PyMem_RawFree(buf);
    return bytes;
}
