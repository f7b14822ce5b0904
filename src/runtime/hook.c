/* hook.c - a question about a request that this runtime does not serve: environ is built, hooks.call() asks the script's function and
 * makes a verdict of its result, and that is the answer. */
#include "core.h"

static PyObject *bytes_of(rt_slice slice)
{
    return PyBytes_FromStringAndSize(slice.at, (Py_ssize_t)slice.len);
}

/* (verdict, text); new reference, NULL with an exception set. */
static PyObject *ask(const rt_held *held, rt_request *rq)
{
    rt_slice kind = RT_META(rq, WIRE_M_CALL), script = RT_META(rq, WIRE_M_SCRIPT);
    PyObject *environ = NULL, *module = NULL, *path = NULL, *user = NULL, *argument = NULL, *answer = NULL; /* all owned */

    if ((environ = rt_environ_build_call(held, rq)) && (module = PyImport_ImportModule("httpd_wsgi.hooks")) &&
        (path = PyUnicode_DecodeFSDefaultAndSize(script.at, (Py_ssize_t)script.len)) &&
        (user = bytes_of(RT_META(rq, WIRE_M_CALL_USER))) && (argument = bytes_of(RT_META(rq, WIRE_M_CALL_ARGUMENT))))
        answer = PyObject_CallMethod(module, "call", "s#OOOOO", kind.at, (Py_ssize_t)kind.len, path,
                                     rq->head.flags & WIRE_RQ_RELOADING ? Py_True : Py_False, environ, user, argument);
    Py_XDECREF(environ);
    Py_XDECREF(module);
    Py_XDECREF(path);
    Py_XDECREF(user);
    Py_XDECREF(argument);
    return answer;
}

static enum wire_outcome send_answer(rt_request *rq, PyObject *answer)
{
    const char *text;
    Py_ssize_t len;
    int verdict, rc;

    if (!PyArg_ParseTuple(answer, "iy#", &verdict, &text, &len))
        return WIRE_ERROR_500;
    rq->inside++;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&rq->io);
    rc = rq->ops->answer(rq->ctx, (enum wire_verdict)verdict, text, (size_t)len);
    pthread_mutex_unlock(&rq->io);
    Py_END_ALLOW_THREADS
    rq->inside--;
    return rc == WIRE_IO_OK ? WIRE_DONE : WIRE_CLIENT_GONE;
}

enum wire_outcome rt_call_run(const rt_held *held, rt_request *rq)
{
    PyObject *answer = ask(held, rq);
    enum wire_outcome outcome = WIRE_ERROR_500;

    if (answer)
        outcome = send_answer(rq, answer);
    Py_XDECREF(answer);
    if (PyErr_Occurred())
        rt_log_exception(rq->st, WIRE_ERR, "WSGI0420", "a script could not be asked");
    return outcome;
}
