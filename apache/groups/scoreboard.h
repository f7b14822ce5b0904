/* scoreboard.h - Apache's scoreboard for applications: the fields described in wire/scores.h.
 *
 * The memory file is made by the parent once and stays as long as its process. Parent and children.
 */
#ifndef WSGI_SCOREBOARD_H
#define WSGI_SCOREBOARD_H

#include <httpd.h>

/* Returns the number of bytes that wsgi_scoreboard_write() needs at most. */
apr_size_t wsgi_scoreboard_room(void);

/* Writes the fields as they are now. Returns the number of bytes, 0 when there is no scoreboard or
 * not enough room. Any process, any thread. */
apr_size_t wsgi_scoreboard_write(char *buf, apr_size_t room);

/* Apache parent, post_config. Returns a read-only descriptor of the memory file that workers read,
 * the same at every call as long as the process lives; -1 with the reason logged when there can be
 * none. */
int wsgi_scoreboard_share(server_rec *s);

/* Brings the memory file up to date when it is older than a second. Parent and children, any
 * thread. */
void wsgi_scoreboard_refresh(void);

void wsgi_scoreboard_register_hooks(apr_pool_t *p);

#endif
