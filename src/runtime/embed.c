/* embed.c - the runtime as an Apache child loads it (wire/contract.h): it brings the interpreter up by itself. */
#include "runtime.h"

#include <stdio.h>
#include <string.h>

static PyObject *text_or_none(const char *text)
{
    return text ? PyUnicode_DecodeFSDefault(text) : Py_NewRef(Py_None);
}

static PyObject *settings_of(const wire_embed_config *config)
{
    return Py_BuildValue("{s:s,s:i,s:i,s:O,s:[s],s:O,s:O,s:N,s:N}", "process_group", "", "threads", config->threads,
                         "processes", config->processes, "multiprocess", Py_True, "main_groups", "", "main_is_first",
                         Py_False, "embedded", Py_True, "package_dir", text_or_none(config->package_dir), "python_path",
                         text_or_none(config->python_path));
}

/* As `<home>/bin/python` would start, but without its signal handlers: signals are Apache's. */
static int initialise(const wire_embed_config *config, char *err, size_t err_len)
{
    PyConfig py;
    PyStatus status;
    char *argv[] = {"mod_wsgi"};

    PyConfig_InitPythonConfig(&py);
    py.install_signal_handlers = 0;
    py.parse_argv = 0;
    status = PyConfig_SetBytesString(&py, &py.program_name, config->python_exe);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&py, &py.executable, config->python_exe);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(&py, 1, argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&py);
    PyConfig_Clear(&py);
    if (PyStatus_Exception(status)) {
        snprintf(err, err_len, "Python could not be initialised as %s: %s", config->python_exe,
                 status.err_msg ? status.err_msg : "unknown reason");
        return -1;
    }
    return 0;
}

static int start(const wire_embed_config *config, char *err, size_t err_len)
{
    PyObject *module = NULL, *settings = NULL;
    int rc = -1;

    if (initialise(config, err, err_len) < 0)
        return -1;
    rt_the_process.embedded = 1;
    rt_the_process.threads = config->threads;
    rt_the_process.processes = config->processes;
    rt_the_process.embed_log = config->log;
    if (rt_import_runtime(&module) && (settings = settings_of(config)))
        rc = rt_interp_init_main(module, settings);
    Py_XDECREF(settings);
    if (rc < 0) {
        snprintf(err, err_len, "the Python package httpd_wsgi could not be set up in the interpreter");
        PyErr_Print();
    }
    PyEval_SaveThread();
    return rc;
}

static void stop(void)
{
    rt_interp_shutdown_all(1);
}

__attribute__((visibility("default"))) extern const wire_runtime httpd_wsgi_runtime;

const wire_runtime httpd_wsgi_runtime = {
    .contract_version = WIRE_CONTRACT_VERSION,
    .block_magic = WIRE_BLOCK_MAGIC,
    .python_version = PY_VERSION,
    .start = start,
    .run = rt_request_run,
    .stop = stop,
};
