#include "block.h"

#include <string.h>

static const char *const names[] = {
    "",
#define X(n) #n,
    WIRE_NAMES(X)
#undef X
};

const char *wire_name_string(int code)
{
    return code > 0 && code < WIRE_NAME_COUNT ? names[code] : NULL;
}

/* Codes by a hash of their names, with the next free place for those that meet. Filled when the library is loaded, then read-only. */
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

static char *reserve(wire_writer *w, size_t more)
{
    if (w->failed)
        return NULL;
    if (more > WIRE_BLOCK_MAX - w->used) {
        w->failed = 1;
        return NULL;
    }
    if (w->used + more > w->room) {
        size_t room = w->room * 2 > w->used + more ? w->room * 2 : w->used + more;
        char *grown = w->grow(w->ctx, w->bytes, w->room, room);

        if (!grown) {
            w->failed = 1;
            return NULL;
        }
        w->bytes = grown;
        w->room = room;
    }
    w->used += more;
    return w->bytes + w->used - more;
}

void wire_block_begin(wire_writer *w, void *(*grow)(void *, void *, size_t, size_t), void *ctx)
{
    char *at;

    memset(w, 0, sizeof(*w));
    w->grow = grow;
    w->ctx = ctx;
    w->room = 2048; /* a browser's request */
    w->bytes = grow(ctx, NULL, 0, w->room);
    w->failed = w->bytes == NULL;
    at = reserve(w, sizeof(wire_block_head));
    if (at)
        memset(at, 0, sizeof(wire_block_head));
}

static void add(wire_writer *w, int code, const char *name, size_t name_len, const char *value, size_t value_len)
{
    wire_pair_head ph = {(uint8_t)code, 0, (uint16_t)name_len, (uint32_t)value_len};
    char *at;

    if (name_len > UINT16_MAX || value_len > WIRE_BLOCK_MAX) {
        w->failed = 1;
        return;
    }
    at = reserve(w, sizeof(ph) + name_len + value_len);
    if (!at)
        return;
    memcpy(at, &ph, sizeof(ph));
    if (name_len)
        memcpy(at + sizeof(ph), name, name_len);
    if (value_len)
        memcpy(at + sizeof(ph) + name_len, value, value_len);
    w->npairs++;
}

void wire_block_add(wire_writer *w, int code, const char *value, size_t value_len)
{
    add(w, code, NULL, 0, value, value_len);
}

void wire_block_add_named(wire_writer *w, const char *name, size_t name_len, const char *value, size_t value_len)
{
    if (name_len > 0)
        add(w, WIRE_NAMED, name, name_len, value, value_len);
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
