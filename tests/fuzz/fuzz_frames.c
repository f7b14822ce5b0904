/* A conversation as either side hears it: frames, and what is in those that have an inside. */
#include "wire/head.h"

#include <stdlib.h>
#include <string.h>

static void look_inside(const wire_frame *frame, const char *payload)
{
    wire_response head;
    wire_block_head block;
    wire_header *headers;
    wire_reader rd;
    wire_pair pair;

    switch (frame->type) {
    case WIRE_HEAD:
    case WIRE_HINTS:
        if (wire_head_open(&head, payload, frame->len) < 0)
            return;
        headers = malloc((head.nheaders + 1) * sizeof(*headers));
        if (wire_head_read(&head, headers, payload, frame->len) == 0) {
            size_t size = wire_head_size(&head);
            char *again = malloc(frame->len);

            if (size != frame->len) /* what was read is written the same */
                abort();
            wire_head_write(again, &head);
            if (memcmp(again, payload, size) != 0)
                abort();
            free(again);
        }
        free(headers);
        return;
    case WIRE_REQUEST:
        if (wire_block_open(&rd, &block, payload, frame->len) == 0)
            while (wire_block_next(&rd, &pair) > 0)
                ;
        return;
    default:
        return;
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;

    while ((size_t)(end - at) >= sizeof(wire_frame)) {
        wire_frame frame;
        char *payload;

        memcpy(&frame, at, sizeof(frame));
        at += sizeof(frame);
        if (!(wire_frame_fits(&frame, WIRE_FROM_APACHE) ||
              wire_frame_fits(&frame, WIRE_FROM_WORKER)) ||
            frame.len > (size_t)(end - at))
            break;
        payload = malloc(frame.len + 1); /* its own memory: reading past its end is noticed */
        memcpy(payload, at, frame.len);
        payload = realloc(payload, frame.len ? frame.len : 1);
        look_inside(&frame, payload);
        free(payload);
        at += frame.len;
    }
    return 0;
}
