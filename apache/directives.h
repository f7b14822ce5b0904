/* directives.h - the directives as httpd reads them.
 *
 * Constant. Its setters run in the parent while the configuration is read, and in children for
 * .htaccess files. */
#ifndef WSGI_DIRECTIVES_H
#define WSGI_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

extern const command_rec wsgi_commands[];

#endif
