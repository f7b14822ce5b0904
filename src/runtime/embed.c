/* embed.c - the runtime as an Apache child loads it (wire/contract.h): starts the interpreter, and
 * is called for each request. */
#include "request.h"

#include <stdio.h>
#include <string.h>

/* Returns the dictionary for interpreter.setup(), made of the same records that a daemon gets; NULL
 * with an exception set. */
static PyObject *settings_of(const wire_embed_config *config)
{
    PyObject *module = PyImport_ImportModule("httpd_wsgi.shared.settings"), *settings = NULL;

    if (module)
        settings = PyObject_CallMethod(module, "embedded", "y#ii", config->settings,
                                       (Py_ssize_t)config->settings_len, config->threads,
                                       config->processes);
    Py_XDECREF(module);
    return settings;
}

/* Sets what python's options -O, -B and -W, PYTHONHASHSEED and PYTHON_GIL would set. */
static PyStatus set_options(PyConfig *py, const wire_embed_config *config)
{
    PyStatus status = PyStatus_Ok();

    if (config->optimize > 0)
        py->optimization_level = config->optimize;
    if (config->dont_write_bytecode)
        py->write_bytecode = 0;
#ifdef Py_GIL_DISABLED
    py->enable_gil = !config->free_threading;
#endif
    if (config->hash_seed) {
        py->use_hash_seed = strcmp(config->hash_seed, "random") != 0;
        py->hash_seed = py->use_hash_seed ? strtoul(config->hash_seed, NULL, 10) : 0;
    }
    for (int i = 0; i < config->nwarnings && !PyStatus_Exception(status); i++) {
        wchar_t *filter = Py_DecodeLocale(config->warnings[i], NULL);

        status = filter ? PyWideStringList_Append(&py->warnoptions, filter) : PyStatus_NoMemory();
        PyMem_RawFree(filter);
    }
    return status;
}

/* Starts Python as `<home>/bin/python` would, but without its signal handlers: signals are
 * Apache's. Returns 0, or -1 with the reason in err. */
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
        status = set_options(&py, config);
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
    rt_the_process.embed_log_at = config->log_at;
    rt_the_process.embed_scoreboard = config->scoreboard;
    if (rt_import_runtime(&module) && (settings = settings_of(config)))
        rc = rt_interp_init_main(module, settings);
    Py_XDECREF(settings);
    if (rc < 0) {
        snprintf(err, err_len,
                 "the Python package httpd_wsgi could not be set up in the interpreter");
        PyErr_Print();
    }
    PyEval_SaveThread();
    return rc;
}

static int preload(const char *application_group, const char *script, const char *callable)
{
    return rt_preload(application_group, script, callable) ? 0 : -1;
}

static void stop(void)
{
    rt_interp_tell_all("stopping", "", 0);
    rt_interp_shutdown_all(1);
}

__attribute__((visibility("default"))) extern const wire_runtime httpd_wsgi_runtime;

const wire_runtime httpd_wsgi_runtime = {
    .contract_version = WIRE_CONTRACT_VERSION,
    .block_magic = WIRE_BLOCK_MAGIC,
    .python_version = PY_VERSION,
    .start = start,
    .preload = preload,
    .run = rt_request_run,
    .stop = stop,
};
