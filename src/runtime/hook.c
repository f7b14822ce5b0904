/* hook.c - access, user, group and dispatch scripts, which are asked about a request that this
 * runtime need not serve. environ is built, hooks.call() in Python calls the script's function and
 * makes a verdict of its result, and the verdict goes to Apache. */
#include "request.h"

static PyObject *bytes_of(rt_slice slice)
{
    return PyBytes_FromStringAndSize(slice.at, (Py_ssize_t)slice.len);
}

/* Returns a new reference to (verdict, text), or NULL with an exception set. */
static PyObject *call_hook(rt_request *rq)
{
    rt_slice kind = RT_META(rq, WIRE_M_HOOK), script = RT_META(rq, WIRE_M_SCRIPT);
    PyObject *environ = NULL, *module = NULL, *path = NULL, *user = NULL, *argument = NULL,
             *result = NULL; /* all owned */

    if ((environ = rt_environ_build_hook(rq)) &&
        (module = PyImport_ImportModule("httpd_wsgi.interpreter.hooks")) &&
        (path = PyUnicode_DecodeFSDefaultAndSize(script.at, (Py_ssize_t)script.len)) &&
        (user = bytes_of(RT_META(rq, WIRE_M_HOOK_USER))) &&
        (argument = bytes_of(RT_META(rq, WIRE_M_HOOK_ARGUMENT))))
        result = PyObject_CallMethod(module, "call", "s#OOOOO", kind.at, (Py_ssize_t)kind.len, path,
                                     rq->head.flags & WIRE_RQ_RELOADING ? Py_True : Py_False,
                                     environ, user, argument);
    Py_XDECREF(environ);
    Py_XDECREF(module);
    Py_XDECREF(path);
    Py_XDECREF(user);
    Py_XDECREF(argument);
    return result;
}

static enum wire_outcome send_verdict(rt_request *rq, PyObject *result)
{
    const char *text;
    Py_ssize_t len;
    int verdict, rc;

    if (!PyArg_ParseTuple(result, "iy#", &verdict, &text, &len))
        return WIRE_ERROR_500;
    RT_BEGIN_IO(rq)
    rc = rq->ops->answer(rq->ctx, (enum wire_verdict)verdict, text, (size_t)len);
    RT_END_IO(rq)
    return rc == WIRE_IO_OK ? WIRE_DONE : WIRE_CLIENT_GONE;
}

enum wire_outcome rt_hook_run(rt_request *rq)
{
    PyObject *result = call_hook(rq);
    enum wire_outcome outcome = WIRE_ERROR_500;

    rt_assert_own(rq);
    if (result)
        outcome = send_verdict(rq, result);
    Py_XDECREF(result);
    if (PyErr_Occurred())
        rt_log_exception(rq->st, WIRE_ERR, "WSGI0420", "a script could not be asked");
    return outcome;
}
