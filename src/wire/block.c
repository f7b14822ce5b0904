#include "block.h"

#include <string.h>

static const char *const names[] = {"",
#define X(n) #n,
                                    WIRE_NAMES(X)
#undef X
};

const char *wire_name_string(int code)
{
    return code > 0 && code < WIRE_NAME_COUNT ? names[code] : NULL;
}

/* Codes by a hash of their names, with the next free place for those that meet. Filled when the
 * library is loaded, then read-only. */
#define PLACES 256

static uint8_t codes[PLACES];
static uint8_t name_lens[WIRE_NAME_COUNT];

static unsigned place_of(const char *name, size_t len)
{
    unsigned hash = (unsigned)len;

    /* The first letters are HTTP_ or SERVER_ or the like in all of them. */
    hash = hash * 31 + (unsigned char)name[len - 1];
    hash = hash * 31 + (unsigned char)name[len / 2];
    hash = hash * 31 + (unsigned char)name[len * 3 / 4];
    return hash % PLACES;
}

__attribute__((constructor)) static void fill_codes(void)
{
    for (int code = 1; code < WIRE_NAME_COUNT; code++) {
        unsigned place = place_of(names[code], strlen(names[code]));

        while (codes[place])
            place = (place + 1) % PLACES;
        codes[place] = (uint8_t)code;
        name_lens[code] = (uint8_t)strlen(names[code]);
    }
}

int wire_name_code(const char *name, size_t len)
{
    unsigned place = len > 0 ? place_of(name, len) : 0;

    for (; codes[place] && len > 0; place = (place + 1) % PLACES)
        if (name_lens[codes[place]] == len && memcmp(names[codes[place]], name, len) == 0)
            return codes[place];
    return WIRE_NAMED;
}

int wire_block_open(wire_reader *rd, wire_block_head *head, const char *bytes, size_t len)
{
    if (len < sizeof(*head) || len > WIRE_BLOCK_MAX)
        return -1;
    memcpy(head, bytes, sizeof(*head));
    if (head->magic != WIRE_BLOCK_MAGIC || head->size != len || head->body_kind > WIRE_BODY_FILE)
        return -1;
    rd->at = bytes + sizeof(*head);
    rd->end = bytes + len;
    rd->left = head->npairs;
    return 0;
}

char *wire_block_grow(wire_writer *w, size_t more)
{
    size_t room = w->room * 2 < WIRE_BLOCK_MAX ? w->room * 2 : WIRE_BLOCK_MAX;
    char *grown = NULL;

    if (!w->failed && more <= WIRE_BLOCK_MAX - w->used) {
        if (room < w->used + more)
            room = w->used + more;
        grown = w->grow(w->ctx, w->bytes, w->room, room);
    }
    if (!grown) {
        w->failed = 1;
        w->room = w->used; /* so that nothing that follows fits either */
        return NULL;
    }
    w->bytes = grown;
    w->room = room;
    w->used += more;
    return w->bytes + w->used - more;
}

void wire_block_begin(wire_writer *w, void *(*grow)(void *, void *, size_t, size_t), void *ctx)
{
    memset(w, 0, sizeof(*w));
    w->grow = grow;
    w->ctx = ctx;
    w->room = 2048; /* a browser's request */
    w->bytes = grow(ctx, NULL, 0, w->room);
    w->failed = w->bytes == NULL;
    if (w->failed)
        w->room = 0;
    else
        w->used = sizeof(wire_block_head); /* which wire_block_finish() fills */
}

int wire_block_finish(wire_writer *w, wire_block_head *head)
{
    if (w->failed)
        return -1;
    head->magic = WIRE_BLOCK_MAGIC;
    head->size = (uint32_t)w->used;
    head->npairs = w->npairs;
    memcpy(w->bytes, head, sizeof(*head));
    return 0;
}
