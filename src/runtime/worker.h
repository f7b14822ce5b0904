/* worker.h - a worker's request threads, its connections, and the credits that tell Apache how many
 * threads are free.
 *
 * Lifetime: a request thread has one rt_connection for life and puts into it the descriptor of the
 * connection that it serves.
 *
 * Threads: nothing here touches an object, and all of it runs without the GIL, except where it says
 * otherwise. A rt_connection belongs to the thread that has made it; only rt_connection_expire() is
 * for other threads. Operations of a request that helper threads of the application call are
 * serialised by the request's io mutex. */
#ifndef RT_WORKER_H
#define RT_WORKER_H

#include "core.h"

#include "wire/frames.h"

/* ---- serve.c: a worker's request threads ---- */

/* Serves requests from listen_fd until stop_fd becomes readable. index: of this thread. Returns 0,
 * or an errno. */
int rt_serve(int listen_fd, int stop_fd, int index);

/* Gives up on a request in the place of its thread: its client is answered with status and text, if
 * that is still possible. Returns 1 when it was, else 0. */
int rt_expire(uint32_t index, uint32_t serial, int status, const char *text, size_t len);

/* Returns how many requests are being served. With or without the GIL. */
int rt_active(void);

/* ---- connection.c: bytes and frames of one request at a time over an AF_UNIX stream ---- */

#define RT_IN_ROOM  (64u << 10)
#define RT_OUT_ROOM (32u << 10)

/* Small things are collected in out and leave with the next large thing, flush or end, in whole
 * frames: lock is held while they are written, so that another thread can put an end to the
 * response in between, see rt_expire(). */
typedef struct rt_connection {
    int fd;             /* changed under lock; -1: none */
    atomic_int broken;  /* sticky: Apache closed the connection, or the request was given up */
    int may_keep_alive; /* Apache can send another request over it */
    int is_handed_back; /* no application code has run: another worker serves the request, or none
                         */
    int body_fd;        /* spooled body, -1: none; read at body_at */
    int64_t body_at;
    int body_more;     /* more can be asked for */
    size_t body_left;  /* bytes of the current BODY frame that were not read yet, or of the file */
    char *hand;        /* what sock_body_at_hand() gave away; NULL: nothing */
    const char *block; /* the request that is being served; NULL: none */
    size_t block_len;
    char *in; /* received, not yet used: in[at..have) */
    size_t at, have, room;
    char out[RT_OUT_ROOM];
    size_t used;
    int file_fd;      /* travels with what leaves next; -1: none */
    const char *tail; /* sent between out[..tail_at) and the rest of out; NULL: none */
    size_t tail_at, tail_len;
    pthread_mutex_t lock;
    pthread_t owner; /* the request thread; for assertions */
} rt_connection;

/* This thread serves the connection. */
#define rt_assert_owner(c) WIRE_ASSERT(pthread_equal((c)->owner, pthread_self()))

/* Returns a connection of this thread, or NULL without memory. */
rt_connection *rt_connection_new(void);
void rt_connection_free(rt_connection *c);

/* The next request comes over fd. */
void rt_connection_begin(rt_connection *c, int fd);

/* fd is no longer this object's. */
void rt_connection_end(rt_connection *c);

/* Receives something. Returns 0, -1 when nothing more will come, or 1 when nothing is there and
 * is_patient is 0. */
int rt_connection_receive(rt_connection *c, int is_patient);

/* Receives until need_len bytes are there from c->at on; moves and grows the buffer as needed.
 * Returns 0, or -1 when they do not come. */
int rt_connection_need(rt_connection *c, size_t need_len);

/* Receives the head of a frame. Returns 0, or -1 when none comes or it is not a frame. */
int rt_connection_next_frame(rt_connection *c, wire_frame *frame);

/* Appends a frame with frame.len bytes of payload. A payload that does not fit is sent at once,
 * together with the collected frames. Returns WIRE_IO_OK or WIRE_IO_GONE, as the next two do. */
int rt_connection_put(rt_connection *c, wire_frame frame, const char *payload);

/* Appends a DATA frame without copying its data, which must stay valid until it is sent. The frames
 * before it, the data and the END leave in one call, so that Apache wakes up once for all of them.
 */
int rt_connection_put_tail(rt_connection *c, const char *data, size_t len);

/* Sends everything that was collected. */
int rt_connection_flush(rt_connection *c);

/* Answers in the place of a thread that is stuck, without waiting; any thread. Returns 1 when that
 * was done, else 0. The stuck thread finds its connection broken. */
int rt_connection_expire(rt_connection *c, uint32_t index, uint32_t serial, int status,
                         const char *text, size_t len);

/* ---- socket.c: the frames of a request (wire/frames.h) ---- */

/* Reads a request, runs it and answers. Returns 1 when Apache was told that the connection is
 * keep-alive, which it never is unless it can be, else 0. */
int rt_connection_serve(rt_connection *c, int can_keep_alive);

/* ---- queue.c: new connections, which wait for a thread of any worker; without the GIL ---- */

enum {
    RT_QUEUE_EMPTY = -1,
    RT_QUEUE_SHORT = -2, /* of descriptors or memory, which was logged */
    RT_QUEUE_FAILED = -3 /* with errno: there is no listening socket any more */
};

/* Accepts the connection that has waited longest. Returns its descriptor, or one of the above. */
int rt_queue_accept(int listen_fd);

/* Returns 1 when no connection waits, else 0. */
int rt_queue_is_empty(int listen_fd);

/* Returns 1 when it is worth while to look into the queue, else 0. */
int rt_queue_is_likely(void);

/* Wakes other workers when there is a queue, for a thread that cannot serve it. */
void rt_queue_pass_on(int listen_fd);

/* ---- credit.c: how many of this worker's threads wait (wire/credits.h) ---- */

/* With or without the GIL. */

/* Takes an entry on the board; before the threads start. Returns 0, or -1 with errno, and then
 * Apache sees no credits. */
int rt_credit_open(int fd);

/* Apache can take no more. */
void rt_credit_close(void);

/* Without the GIL. */

/* Returns 1 when connections may be keep-alive, else 0. */
int rt_credit_is_open(void);

/* Returns 1 when a thread waits that Apache has not claimed, else 0. */
int rt_credit_is_any_left(void);

/* Returns 1 when a thread waits, claimed or not, else 0. */
int rt_credit_is_any_waiting(void);

/* This thread begins to wait. */
void rt_credit_wait(void);

/* This thread has waited and has got a request. */
void rt_credit_leave(void);

/* Ends this thread's wait without a request. Returns 1, or 0 when it must wait on, because a
 * request will come for it. */
int rt_credit_take_back(void);

/* This thread has taken a request that Apache has not claimed a credit for. */
void rt_credit_begin(void);

/* Returns 1 when the group has, or had, other workers, else 0. */
int rt_credit_are_others(void);

/* There is a queue, and no thread of this worker waits. Returns 1 when a thread of another worker
 * does, so that all should be woken, else 0. The next one that begins to wait will see the news. */
int rt_credit_pass_on(void);

/* Returns 1 when this worker has not moved for a while and another one has free threads, else 0. */
int rt_credit_is_better_elsewhere(void);

/* Returns 1 when there may be a queue that this worker was not told about, else 0. */
int rt_credit_are_news(void);

/* Returns what rt_credit_end_news() wants to know. */
uint32_t rt_credit_news(void);

/* The queue was found empty after rt_credit_news() had returned this. */
void rt_credit_end_news(uint32_t seen);

/* The last thread has ended. */
void rt_credit_end(void);

#endif
