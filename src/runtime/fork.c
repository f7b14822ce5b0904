/* fork.c - processes that the application forks. Connection and response belong to the original
 * process, so a copy that comes back from the application ends there, as a program does at its end.
 * A copy of an Apache child would otherwise go on serving, unknown to Apache. */
#include "core.h"

#include <unistd.h>

/* The request's connection belongs to the original, so the lines of a copy go to the process's log
 * (stream.c), and nothing takes a lock of the request any more: another thread may have held it
 * when the process was forked. */
static void become_copy(void)
{
    rt_is_copy = 1;
}

int rt_fork_watch(void)
{
    rt_assert_attached();
    return pthread_atfork(NULL, NULL, become_copy);
}

/* Returns the exit status that the pending SystemExit asks for. */
static int status_wanted(void)
{
    PyObject *type, *value, *traceback, *code;
    int status = 0;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    code = value ? PyObject_GetAttrString(value, "code") : NULL;
    if (code && code != Py_None)
        status = PyLong_Check(code) ? (int)PyLong_AsLong(code) : 1;
    Py_XDECREF(code);
    PyErr_Restore(type, value, traceback);
    return status;
}

void rt_end_copy(rt_state *st)
{
    int status = 0;

    rt_assert_attached();
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_SystemExit)) {
        status = status_wanted();
    } else if (PyErr_Occurred()) {
        rt_log_exception(st, WIRE_ERR, "WSGI0418",
                         "a process that the application has forked raised an exception");
        status = 1;
    } else {
        rt_logf(WIRE_WARNING,
                "WSGI0419: process %d, which the application has forked, came back from it and "
                "ends here, as connection and answer "
                "belong to the original; let it end with os._exit()",
                (int)getpid());
    }
    PyErr_Clear();
    rt_stream_flush_std(); /* they may hold the beginning of a line */
    _exit(status);
}
