/* The request block: any bytes may be opened and read to the end; what was written is read back
 * unchanged. */
#include "wire/block.h"

#include <stdlib.h>
#include <string.h>

static void *grow(void *ctx, void *old, size_t old_size, size_t new_size)
{
    (void)ctx;
    (void)old_size;
    return realloc(old, new_size);
}

static void check(int ok)
{
    if (!ok)
        abort();
}

static volatile unsigned seen; /* so that the reading is not optimised away */

static void read_any(const char *bytes, size_t len)
{
    wire_block_head head;
    wire_reader rd;
    wire_pair pair;
    unsigned sum = 0;

    if (wire_block_open(&rd, &head, bytes, len) < 0)
        return;
    while (wire_block_next(&rd, &pair) > 0) {
        for (size_t i = 0; i < pair.name_len; i++)
            sum += (unsigned char)pair.name[i];
        for (size_t i = 0; i < pair.value_len; i++)
            sum += (unsigned char)pair.value[i];
        if (pair.code != WIRE_NAMED && pair.code < WIRE_NAME_COUNT)
            check(wire_name_code(wire_name_string(pair.code),
                                 strlen(wire_name_string(pair.code))) == pair.code);
    }
    seen = sum;
}

/* Cuts the input into pairs: a byte of code, a byte of length, the value. */
static void round_trip(const char *bytes, size_t len)
{
    const char *at = bytes, *end = bytes + len;
    wire_block_head head = {.body_len = -1};
    wire_writer w;
    wire_reader rd;
    wire_pair pair;

    wire_block_begin(&w, grow, NULL);
    while (end - at >= 2) {
        size_t size = (unsigned char)at[1];
        int code = (unsigned char)at[0] % WIRE_NAME_COUNT;

        if (size > (size_t)(end - at) - 2)
            size = (size_t)(end - at) - 2;
        if (code == WIRE_NAMED)
            wire_block_add_named(&w, at + 1, 1 + size / 2, at + 2, size);
        else
            wire_block_add(&w, code, at + 2, size);
        at += 2 + size;
    }
    check(wire_block_finish(&w, &head) == 0);
    check(wire_block_open(&rd, &head, w.bytes, w.used) == 0);
    for (at = bytes; end - at >= 2;) {
        size_t size = (unsigned char)at[1];

        if (size > (size_t)(end - at) - 2)
            size = (size_t)(end - at) - 2;
        check(wire_block_next(&rd, &pair) == 1);
        check(pair.code == (unsigned char)at[0] % WIRE_NAME_COUNT);
        check(pair.value_len == size && memcmp(pair.value, at + 2, size) == 0);
        at += 2 + size;
    }
    check(wire_block_next(&rd, &pair) == 0);
    free(w.bytes);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *bytes = malloc(size + 1);
    wire_block_head head = {.magic = WIRE_BLOCK_MAGIC};

    memcpy(bytes, data, size);
    read_any(bytes, size);
    if (size >= sizeof(head)) { /* past the checks that chance does not pass */
        memcpy(&head.npairs, bytes + offsetof(wire_block_head, npairs), sizeof(head.npairs));
        head.npairs %= 1000;
        head.size = (uint32_t)size;
        memcpy(bytes, &head, sizeof(head));
        read_any(bytes, size);
    }
    round_trip((const char *)data, size);
    free(bytes);
    return 0;
}
