#include "frames.h"

#define ANY UINT32_MAX /* passed on piece by piece */

static const wire_frame_kind kinds[UINT8_MAX + 1] = {
    /* Apache to worker */
    [WIRE_REQUEST] = {"REQUEST", WIRE_FROM_APACHE, 1, WIRE_BLOCK_MAX, 0},
    [WIRE_BODY] = {"BODY", WIRE_FROM_APACHE, 0, ANY, 0},
    [WIRE_BODY_AT] = {"BODY_AT", WIRE_FROM_APACHE, sizeof(wire_file), sizeof(wire_file), 0},
    [WIRE_BODY_ERROR] = {"BODY_ERROR", WIRE_FROM_APACHE, 0, WIRE_LOG_MAX, 0},
    [WIRE_TLS_VALUE] = {"TLS_VALUE", WIRE_FROM_APACHE, 0, WIRE_LOG_MAX, 0},

    /* worker to Apache */
    [WIRE_WANT] = {"WANT", WIRE_FROM_WORKER, sizeof(uint32_t), sizeof(uint32_t), 0},
    [WIRE_HINTS] = {"HINTS", WIRE_FROM_WORKER, sizeof(wire_head_fixed), WIRE_HEAD_MAX, 0},
    [WIRE_TLS_LOOKUP] = {"TLS_LOOKUP", WIRE_FROM_WORKER, 0, WIRE_TLS_LOOKUP_MAX, 0},
    [WIRE_HEAD] = {"HEAD", WIRE_FROM_WORKER, sizeof(wire_head_fixed), WIRE_HEAD_MAX, 0},
    [WIRE_DATA] = {"DATA", WIRE_FROM_WORKER, 0, ANY, 0},
    [WIRE_FILE] = {"FILE", WIRE_FROM_WORKER, sizeof(wire_file), sizeof(wire_file), 0},
    [WIRE_LOG] = {"LOG", WIRE_FROM_WORKER, 0, WIRE_LOG_MAX, 0},
    [WIRE_LOG_AT] = {"LOG_AT", WIRE_FROM_WORKER, sizeof(wire_log_at), WIRE_LOG_MAX, 0},
    [WIRE_VERDICT] = {"VERDICT", WIRE_FROM_WORKER, 0, WIRE_VERDICT_MAX, 0},
    [WIRE_END] = {"END", WIRE_FROM_WORKER, sizeof(wire_times), sizeof(wire_times), 0},
    [WIRE_RETRY] = {"RETRY", WIRE_FROM_WORKER, 0, 0, 0},
    [WIRE_FAILURE] = {"FAILURE", WIRE_FROM_WORKER, sizeof(wire_times), sizeof(wire_times), 1},
};

const wire_frame_kind *wire_frame_kind_of(uint8_t type)
{
    return kinds[type].name ? &kinds[type] : NULL;
}

int wire_frame_fits(const wire_frame *frame, enum wire_direction from)
{
    const wire_frame_kind *kind = wire_frame_kind_of(frame->type);

    if (!kind || kind->from != from)
        return 0;
    return (frame->len >= kind->least && frame->len <= kind->most) ||
           (frame->len == 0 && kind->may_be_empty);
}
