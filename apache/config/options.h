/* options.h - the name=value options that follow the arguments of a directive.
 *
 * Used while the configuration or a .htaccess file is read; results live in cmd->pool. */
#ifndef WSGI_OPTIONS_H
#define WSGI_OPTIONS_H

#include <httpd.h>
#include <http_config.h>

typedef struct wsgi_named_value {
    const char *name; /* NULL ends a table */
    const char **value;
} wsgi_named_value;

/* Stores the values of the options in args where the table says. Returns NULL, or what is wrong. */
const char *wsgi_options_read(cmd_parms *cmd, const char *args, const wsgi_named_value *table);

#endif
