/* forks.h - what a process that an embedded application forks must not have of its Apache child. */
#ifndef WSGI_FORKS_H
#define WSGI_FORKS_H

/* Called once in an Apache child, before it loads Python: processes forked from then on begin with
 * signals as a program expects them, and without the listening sockets that are open now. */
void wsgi_forks_remember(void);

#endif
