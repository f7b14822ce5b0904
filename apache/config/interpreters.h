/* interpreters.h - the directives for single interpreters, at the top level and in the section
 * <WSGIInterpreterOptions>.
 *
 * Setters for the table in directives.c; parent, one thread, while the configuration is read. Each
 * returns NULL, or what is wrong. */
#ifndef WSGI_INTERPRETERS_H
#define WSGI_INTERPRETERS_H

#include <httpd.h>
#include <http_config.h>

/* cmd->info is the offset of a flag in wsgi_interpreter_options. */
const char *wsgi_interpreters_set_flag(cmd_parms *cmd, void *unused, int on);

const char *wsgi_interpreters_set_free_threading(cmd_parms *cmd, void *unused, int on);
const char *wsgi_interpreters_set_path(cmd_parms *cmd, void *unused, const char *value);
const char *wsgi_interpreters_set_switch_interval(cmd_parms *cmd, void *unused, const char *value);

/* Reads the section and what is inside it. */
const char *wsgi_interpreters_read_section(cmd_parms *cmd, void *unused, const char *args);

#endif
