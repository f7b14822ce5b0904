/* telemetry.h - the directives that say where Python processes report what they do, and when a
 * request is slow.
 *
 * Setters for the table in directives.c; main server only. Parent, while the configuration is read;
 * what they set is read-only afterwards. */
#ifndef WSGI_TELEMETRY_H
#define WSGI_TELEMETRY_H

#include "config/config.h"

#define WSGI_TELEMETRY_INTERVAL apr_time_from_sec(1) /* unless interval= says */

const char *wsgi_telemetry_set_service(cmd_parms *cmd, void *unused, const char *service,
                                       const char *option);
const char *wsgi_telemetry_set_options(cmd_parms *cmd, void *unused, const char *args);
const char *wsgi_telemetry_set_slow(cmd_parms *cmd, void *unused, const char *seconds);

#endif
