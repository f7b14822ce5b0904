/* status_assets.h - what the status page brings along: style and script.
 *
 * Constants. */
#ifndef WSGI_STATUS_ASSETS_H
#define WSGI_STATUS_ASSETS_H

extern const char wsgi_status_style[], wsgi_status_script[];

#endif
