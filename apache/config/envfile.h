/* envfile.h - env= and env-file= of WSGIDaemonProcess: what a group's processes find in their
 * environment.
 *
 * Parent, while the configuration is read, so as root where Apache is started by root. */
#ifndef WSGI_ENVFILE_H
#define WSGI_ENVFILE_H

#include <apr_tables.h>

/* Appends "NAME=value" to env, an array of const char *, later ones override. NULL, or what is
 * wrong. */
const char *wsgi_env_add(apr_pool_t *p, apr_array_header_t *env, const char *assignment);

/* The same for each line of a file: NAME=value, quoted as in systemd's EnvironmentFile=, with or
 * without "export " in front. */
const char *wsgi_env_add_file(apr_pool_t *p, apr_array_header_t *env, const char *path);

#endif
