/* block.h - the request block: one request as flat bytes, written once by the Apache side, read
 * once by the runtime.
 *
 * Layout: a wire_block_head, then npairs pairs back to back. A pair is a wire_pair_head, then
 * name_len bytes of name (only when code is WIRE_NAMED), then value_len bytes of value. Nothing is
 * NUL-terminated or aligned; numbers are in host order because both sides run on one machine. A
 * later pair of the same name overrides an earlier one.
 *
 * Plain C, no dependency. A builder belongs to one thread; a finished block is read-only and may be
 * read by any. */
#ifndef WIRE_BLOCK_H
#define WIRE_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* "HWB7"; changes with every incompatible change of block or frames */
#define WIRE_BLOCK_MAGIC 0x37425748u
#define WIRE_NAME_MAX    UINT16_MAX  /* bytes of a name that is spelled out */
#define WIRE_BLOCK_MAX   (16u << 20) /* bytes; a request that needs more is refused with 431 */

/* Well-known names travel as one byte. WIRE_NAMED: the name is spelled out. Codes from WIRE_META on
 * describe the request to the runtime and are not environ keys of their own. */
/* clang-format off */
#define WIRE_NAMES(X) \
    X(REQUEST_METHOD) X(SCRIPT_NAME) X(PATH_INFO) X(QUERY_STRING) X(REQUEST_URI) \
    X(SERVER_PROTOCOL) X(SERVER_NAME) X(SERVER_PORT) X(SERVER_ADDR) X(SERVER_SOFTWARE) \
    X(SERVER_ADMIN) X(REMOTE_ADDR) X(REMOTE_PORT) X(REMOTE_USER) X(REDIRECT_REMOTE_USER) \
    X(AUTH_TYPE) X(DOCUMENT_ROOT) X(CONTEXT_PREFIX) X(CONTEXT_DOCUMENT_ROOT) X(REQUEST_SCHEME) \
    X(SCRIPT_FILENAME) X(REDIRECT_URL) X(REDIRECT_QUERY_STRING) X(CONTENT_TYPE) \
    X(CONTENT_LENGTH) X(HTTP_HOST) X(HTTP_USER_AGENT) X(HTTP_ACCEPT) X(HTTP_ACCEPT_ENCODING) \
    X(HTTP_ACCEPT_LANGUAGE) X(HTTP_CONNECTION) X(HTTP_COOKIE) X(HTTP_REFERER) \
    X(HTTP_CACHE_CONTROL) X(HTTP_IF_NONE_MATCH) X(HTTP_IF_MODIFIED_SINCE) X(HTTP_ORIGIN) \
    X(HTTP_AUTHORIZATION) X(HTTP_X_FORWARDED_FOR) X(HTTP_X_FORWARDED_PROTO) \
    X(HTTP_X_REQUESTED_WITH) X(HTTP_TRANSFER_ENCODING) X(HTTP_EXPECT) \
    X(HTTP_UPGRADE_INSECURE_REQUESTS)
/* clang-format on */

enum wire_name {
    WIRE_NAMED = 0,
#define X(n) WIRE_##n,
    WIRE_NAMES(X)
#undef X
        WIRE_NAME_COUNT,

    WIRE_META = 200,
    WIRE_M_SCRIPT = WIRE_META, /* absolute path of the file to load, or "module:callable" */
    WIRE_M_CALLABLE,           /* top-level name in the file; "callable" of a module */
    WIRE_M_PROCESS_GROUP,      /* "" when embedded */
    WIRE_M_APPLICATION_GROUP,  /* "" for the main interpreter */
    WIRE_M_HANDLER,            /* Apache handler name that led here */
    WIRE_M_LISTENER_HOST,
    WIRE_M_LISTENER_PORT,
    WIRE_M_SERVER_PID,
    WIRE_M_REQUEST_ID,
    WIRE_M_CONNECTION_ID,
    WIRE_M_SCRIPT_NAME, /* mod_wsgi.script_name: before trusted-proxy rewriting */
    WIRE_M_PATH_INFO,   /* mod_wsgi.path_info */
    WIRE_M_HANDLER_SCRIPT,
    WIRE_M_APACHE_VERSION, /* "2.4.57" */
    WIRE_M_HOOK, /* with WIRE_RQ_HOOK: "access", "password", "digest", "groups" or "dispatch", see
                    httpd_wsgi/interpreter/hooks.py */
    WIRE_M_HOOK_USER,     /* whom it is about */
    WIRE_M_HOOK_ARGUMENT, /* password, realm, or names of groups, one a line */
    WIRE_M_END
};

enum wire_block_flag {
    WIRE_RQ_HTTPS = 1u << 0, /* wsgi.url_scheme is https */
    WIRE_RQ_MULTITHREAD = 1u << 1,
    WIRE_RQ_MULTIPROCESS = 1u << 2,
    WIRE_RQ_RUN_ONCE = 1u << 3,
    WIRE_RQ_RELOADING = 1u << 4,      /* WSGIScriptReloading On: compare script_mtime_us */
    WIRE_RQ_HEAD = 1u << 5,           /* the client asked with HEAD, whatever REQUEST_METHOD says */
    WIRE_RQ_HTTP10 = 1u << 6,         /* no chunked and no interim answer possible */
    WIRE_RQ_TLS = 1u << 7,            /* the connection to Apache is TLS, whatever environ says */
    WIRE_RQ_APACHE_REQUEST = 1u << 8, /* WSGIPassApacheRequest On, embedded only */
    WIRE_RQ_HOOK = 1u << 9, /* no request of an application: a question about one, answered by a
                               verdict */
    WIRE_RQ_IGNORE_ACTIVITY = 1u << 10 /* WSGIIgnoreActivity On: does not count for
                                          inactivity-timeout */
};

/* What of the request body is there already when the request starts; body_more says whether the
 * rest must be asked for. */
enum wire_body_kind {
    WIRE_BODY_NONE,
    WIRE_BODY_INLINE, /* one WIRE_BODY frame follows the request frame */
    WIRE_BODY_FILE /* one WIRE_BODY_AT frame follows the request frame, with a descriptor of a file
                    */
};

typedef struct wire_block_head {
    uint32_t magic;
    uint32_t size; /* bytes of the whole block, this head included */
    uint32_t npairs;
    uint32_t flags;           /* enum wire_block_flag */
    int64_t request_start_us; /* since the epoch */
    int64_t queue_start_us;   /* since the epoch, for reports; 0 when embedded */
    int64_t queued_us;       /* the same time as wire_monotonic_us(), for durations; 0 when embedded
                              */
    int64_t script_mtime_us; /* 0: unknown */
    int64_t body_len;        /* declared length, -1 unknown */
    uint32_t body_kind;      /* enum wire_body_kind */
    uint32_t body_more; /* 1: (more) body data is asked for with WIRE_WANT, and Apache reads from
                           the client only then */
    uint16_t connects;  /* daemon mode: connections made for this request, this one included */
    uint16_t retries;   /* how many of them were answered with RETRY */
    uint32_t log_level; /* least important level that is logged for this request, as in APLOG_* */
} wire_block_head;

typedef struct wire_pair {
    int code;
    const char *name; /* only for WIRE_NAMED; not NUL-terminated */
    size_t name_len;
    const char *value;
    size_t value_len;
} wire_pair;

/* ---- reading ---- */

typedef struct wire_reader {
    const char *at;
    const char *end;
    uint32_t left;
} wire_reader;

/* Checks magic, size and pair count; copies the head. 0, or -1 when these bytes are not a block of
 * this version. */
int wire_block_open(wire_reader *rd, wire_block_head *head, const char *bytes, size_t len);

typedef struct wire_pair_head {
    uint8_t code;
    uint8_t reserved;
    uint16_t name_len;
    uint32_t value_len;
} wire_pair_head;

/* 1: *pair points into the block. 0: no more. -1: malformed; the block must be refused. Inline:
 * each request has dozens of pairs. */
static inline int wire_block_next(wire_reader *rd, wire_pair *pair)
{
    wire_pair_head ph;
    size_t room = (size_t)(rd->end - rd->at);

    if (rd->left == 0)
        return room == 0 ? 0 : -1;
    if (room < sizeof(ph))
        return -1;
    memcpy(&ph, rd->at, sizeof(ph));
    room -= sizeof(ph);
    if (ph.name_len > room || ph.value_len > room - ph.name_len)
        return -1;
    if ((ph.code == WIRE_NAMED) != (ph.name_len > 0))
        return -1;
    if (ph.code != WIRE_NAMED &&
        !(ph.code < WIRE_NAME_COUNT || (ph.code >= WIRE_META && ph.code < WIRE_M_END)))
        return -1;
    rd->at += sizeof(ph);
    pair->code = ph.code;
    pair->name = rd->at;
    pair->name_len = ph.name_len;
    pair->value = rd->at + ph.name_len;
    pair->value_len = ph.value_len;
    rd->at += ph.name_len + ph.value_len;
    rd->left--;
    return 1;
}

/* "REQUEST_METHOD" for WIRE_REQUEST_METHOD; NULL outside 1..WIRE_NAME_COUNT-1. */
const char *wire_name_string(int code);

/* The code of a well-known environ key, or WIRE_NAMED. */
int wire_name_code(const char *name, size_t len);

/* ---- writing ---- */

typedef struct wire_writer {
    char *bytes;
    size_t used;
    size_t room;
    uint32_t npairs;
    int failed; /* sticky: no memory, or over WIRE_BLOCK_MAX */
    void *(*grow)(void *ctx, void *old, size_t old_size, size_t new_size); /* NULL: no memory */
    void *ctx;
} wire_writer;

void wire_block_begin(wire_writer *w, void *(*grow)(void *, void *, size_t, size_t), void *ctx);

/* Place for more bytes where there is too little room; NULL when the writer failed. */
char *wire_block_grow(wire_writer *w, size_t more);

/* Inline, as reading is. */
static inline void wire_block_put(wire_writer *w, int code, const char *name, size_t name_len,
                                  const char *value, size_t value_len)
{
    wire_pair_head ph = {(uint8_t)code, 0, (uint16_t)name_len, (uint32_t)value_len};
    size_t size = sizeof(ph) + name_len + value_len;
    char *at;

    if (name_len > UINT16_MAX || value_len > WIRE_BLOCK_MAX) {
        w->failed = 1;
        return;
    }
    if (size <= w->room - w->used) {
        at = w->bytes + w->used;
        w->used += size;
    } else if (!(at = wire_block_grow(w, size))) {
        return;
    }
    memcpy(at, &ph, sizeof(ph));
    if (name_len)
        memcpy(at + sizeof(ph), name, name_len);
    if (value_len)
        memcpy(at + sizeof(ph) + name_len, value, value_len);
    w->npairs++;
}

static inline void wire_block_add(wire_writer *w, int code, const char *value, size_t value_len)
{
    wire_block_put(w, code, NULL, 0, value, value_len);
}

static inline void wire_block_add_named(wire_writer *w, const char *name, size_t name_len,
                                        const char *value, size_t value_len)
{
    if (name_len > 0)
        wire_block_put(w, WIRE_NAMED, name, name_len, value, value_len);
}

/* Fills in magic, size and npairs of *head and stores it. 0, or -1 when the writer failed. */
int wire_block_finish(wire_writer *w, wire_block_head *head);

#endif
