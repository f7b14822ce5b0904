/* contract.h - what the Apache side and the Python runtime promise each other.
 *
 * The runtime reaches the world only through wire_ops. There are two implementations: Apache's
 * filters (apache/embedded/embed.c) and the worker's socket (src/runtime/socket.c). In embedded
 * mode Apache loads the runtime extension with dlopen() and finds everything through the one symbol
 * WIRE_RUNTIME_SYMBOL.
 *
 * Plain C, no dependency on httpd or Python. */
#ifndef WIRE_CONTRACT_H
#define WIRE_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

#include "block.h"

#define WIRE_CONTRACT_VERSION 8
#define WIRE_RUNTIME_SYMBOL   "httpd_wsgi_runtime"

/* Levels of log(): the numbers of APLOG_*, which are syslog's. */
enum wire_level {
    WIRE_CRIT = 2,
    WIRE_ERR = 3,
    WIRE_WARNING = 4,
    WIRE_NOTICE = 5,
    WIRE_INFO = 6,
    WIRE_DEBUG = 7
};

/* Results of the operations; reading returns a byte count instead of WIRE_IO_OK. */
enum wire_io {
    WIRE_IO_OK = 0,
    WIRE_IO_GONE = -1, /* the client (or Apache) has gone */
    WIRE_IO_TIMEOUT = -2,
    WIRE_IO_TOO_LARGE = -3, /* LimitRequestBody */
    WIRE_IO_MALFORMED = -4, /* broken chunked encoding */
    WIRE_IO_FAILED = -5     /* anything else; the reason is already logged */
};

typedef struct wire_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
} wire_header;

/* Borrowed for the duration of send_head(). Already validated by the runtime: names are tokens,
 * values hold no CR, LF or NUL. */
typedef struct wire_response {
    int status;
    const char *reason; /* may be "" */
    size_t reason_len;
    int64_t content_length; /* -1: the application gave none and it is not known */
    const wire_header *headers;
    size_t nheaders;
} wire_response;

enum wire_send_flag {
    WIRE_SEND_FLUSH = 1, /* the client must get everything sent so far before this returns or soon
                            after */
    WIRE_SEND_LAST = 2, /* this completes the response: it may be delivered together with its end */
    WIRE_SEND_STAYS = 4 /* with LAST: data stays valid until the request's outcome has been dealt
                           with */
};

/* Bytes of data that workers send together with the end of a response at most: what a socket's
 * buffer takes at once. */
#define WIRE_LATER_MAX (128u << 10)

/* What the script of a hook decided (WIRE_RQ_HOOK). */
enum wire_verdict {
    WIRE_NO_VERDICT, /* the worker has sent none */
    WIRE_VERDICT_YES,
    WIRE_VERDICT_NO,
    WIRE_VERDICT_UNKNOWN, /* it has no opinion, or does not know the user */
    WIRE_VERDICT_TEXT,    /* yes, and the text says what */
    WIRE_VERDICT_FAILED   /* it is broken, which is logged */
};

/* Called by the runtime in the thread that runs the request, never with the GIL held, never two at
 * a time. */
typedef struct wire_ops {
    /* > 0 bytes read, 0 end of body, or a negative enum wire_io. Blocks until at least one byte is
     * there. */
    int64_t (*read_body)(void *ctx, char *buf, size_t len);
    /* What came with a request of WIRE_BODY_INLINE, all of it or nothing: bytes, and where they are
     * until the request is over. read_body() goes on behind them. NULL: there is no such thing. */
    size_t (*body_at_hand)(void *ctx, const char **data);
    int (*send_head)(void *ctx, const wire_response *response);
    int (*send_data)(void *ctx, const char *data, size_t len, int flags);
    /* Goes out with what follows. fd stays the caller's and may be closed right after. */
    int (*send_file)(void *ctx, int fd, int64_t offset, int64_t len);
    /* An interim response (103): status and headers as in send_head(), any number of times before
     * it. */
    int (*send_hints)(void *ctx, const wire_response *response);
    /* A variable of mod_ssl, like SSL_CLIENT_S_DN. Bytes of the value, of which at most len are
     * stored in buf; -1: not known. */
    int64_t (*lookup_tls)(void *ctx, const char *name, size_t name_len, char *buf, size_t len);
    /* Embedded mode with WIRE_RQ_APACHE_REQUEST: the request_rec. NULL: there is none. */
    void *(*apache_request)(void *ctx);
    /* WIRE_IO_GONE when the client seems to have left, else WIRE_IO_OK. For an application that
     * goes on without sending anything. */
    int (*look)(void *ctx);
    /* Instead of a response, once, for WIRE_RQ_HOOK. At most WIRE_VERDICT_MAX bytes of text. */
    int (*answer)(void *ctx, enum wire_verdict verdict, const char *text, size_t len);
    /* One record per line; lines of one call stay together. No newline at the end. Never fails. */
    void (*log)(void *ctx, int level, const char *text, size_t len);
    /* The same with the place in the application's source that logs, for %F of ErrorLogFormat. */
    void (*log_at)(void *ctx, int level, const char *file, int line, const char *text, size_t len);
} wire_ops;

enum wire_outcome {
    WIRE_DONE,      /* complete response sent */
    WIRE_ERROR_500, /* nothing sent, reason logged: Apache answers 500 */
    WIRE_ERROR_404, /* as above, 404: the callable does not exist (embedded mode's answer) */
    WIRE_ERROR_504, /* as above, 504: RequestTimeout before the head */
    WIRE_ABORTED, /* the response is incomplete: the connection must be closed without a proper end
                   */
    WIRE_CLIENT_GONE,
    WIRE_STALE /* daemon only: the script on disk is newer than the one loaded; nothing was run */
};

/* ---- embedded mode ---- */

/* All strings are copied. NULL: not configured. */
typedef struct wire_embed_config {
    const char *package_dir; /* directory of the Python package httpd_wsgi */
    const char *python_exe;  /* <home>/bin/python: decides prefix, venv and sys.path, as if it had
                                been started */
    const char *settings;    /* records as in wire/group.h */
    size_t settings_len;
    const char *hash_seed;       /* "random" or a number; NULL: Python's own choice */
    const char *const *warnings; /* filters as for python -W */
    int nwarnings;
    int optimize, dont_write_bytecode, free_threading;
    int threads; /* MPM threads per child */
    int processes;
    void (*log)(int level, const char *text, size_t len); /* as wire_ops.log(), to the server's
                                                             error log; any thread */
    void (*log_at)(int level, const char *file, int line, const char *text,
                   size_t len); /* as wire_ops.log_at(), there */
    /* Apache's scoreboard as wire/scores.h describes it; any thread. Bytes written, 0: there is
     * none. buf NULL: bytes that are enough. NULL: applications may not see it. */
    size_t (*scoreboard)(char *buf, size_t room);
} wire_embed_config;

typedef struct wire_runtime {
    int contract_version;       /* WIRE_CONTRACT_VERSION */
    uint32_t block_magic;       /* WIRE_BLOCK_MAGIC */
    const char *python_version; /* "3.11.2" */

    /* Once per process, before run(). 0, or -1 with a sentence in err. Starts the interpreter;
     * returns without the GIL. */
    int (*start)(const wire_embed_config *config, char *err, size_t err_len);

    /* Loads a script before any request, in the calling thread. callable "": it is no application,
     * and a "module:callable" is called. 0, or -1 with the reason logged. */
    int (*preload)(const char *application_group, const char *script, const char *callable);

    /* Runs one request; any thread. block must stay valid until it returns. *phase becomes
     * WIRE_PHASE_APP (activity.h) when the request has its interpreter, for others to see; NULL:
     * nobody looks. */
    enum wire_outcome (*run)(const char *block, size_t len, const wire_ops *ops, void *ctx,
                             _Atomic uint32_t *phase);

    /* Once, when the process ends: shutdown callbacks, atexit, non-daemon threads. The interpreter
     * itself is left standing, because other Apache threads may still be inside it. */
    void (*stop)(void);
} wire_runtime;

#endif
