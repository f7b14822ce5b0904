/* auth.h - authentication and authorization by scripts: WSGIAccessScript, WSGIAuthUserScript
 * (provider "wsgi" of Basic and Digest authentication) and WSGIAuthGroupScript (Require
 * wsgi-group). Apache children only, any thread. */
#ifndef WSGI_AUTH_H
#define WSGI_AUTH_H

#include <httpd.h>

void wsgi_auth_register_hooks(apr_pool_t *p);

#endif
