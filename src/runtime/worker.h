/* worker.h - one request at a time over an AF_UNIX stream (wire/frames.h): what socket.c and serve.c share.
 *
 * A request thread has one connection object for life and puts into it the descriptor of the connection it serves. */
#ifndef RT_CONNECTION_H
#define RT_CONNECTION_H

#include "core.h"

#define RT_OUT_ROOM (32u << 10)

/* Small things are collected in out and leave with the next large thing, flush or end, in whole frames: lock is held while they are written,
 * so that another thread can put an end to the response in between, see rt_expire(). */
typedef struct rt_connection {
    int fd;                   /* changed under lock; -1: none */
    atomic_int broken;        /* sticky: Apache closed the connection, or the request was given up */
    int may_keep_alive;        /* Apache can send another request over it */
    int is_handed_back;       /* the request is another worker's, or nobody's any more; no application code has run */
    int body_fd;              /* spooled body, -1: none; read at body_at */
    int64_t body_at;
    int body_more;            /* more can be asked for */
    size_t body_left;         /* bytes of the current BODY frame still in the socket or in in[], or of the file */
    char *hand;               /* what sock_body_at_hand() gave away; NULL: nothing */
    char *in;                 /* received, not yet used: in[at..have) */
    size_t at, have, room;
    char out[RT_OUT_ROOM];
    size_t used;
    int file_fd;              /* travels with what leaves next; -1: none */
    const char *tail;         /* payload that leaves between out[..tail_at) and the rest of out; NULL: none */
    size_t tail_at, tail_len;
    pthread_mutex_t lock;
} rt_connection;

/* NULL: no memory. */
rt_connection *rt_connection_new(void);
void rt_connection_free(rt_connection *c);

/* The next request comes over fd. */
void rt_connection_begin(rt_connection *c, int fd);

/* Receives something. 0; -1: nothing more will come; 1: with is_patient 0, nothing is there. */
int rt_connection_receive(rt_connection *c, int is_patient);

/* Reads a request, runs it and answers. 1: Apache was told that the connection is kept; never when it cannot be. */
int rt_connection_serve(rt_connection *c, int can_keep_alive);

/* fd is no longer this object's. */
void rt_connection_end(rt_connection *c);

/* Answers in the place of a thread that is stuck, without waiting; 1: done. The thread finds its connection broken. */
int rt_connection_expire(rt_connection *c, uint32_t index, uint32_t serial, int status, const char *text, size_t len);

#endif
