#include "frames.h"

int wire_frame_fits(const wire_frame *frame)
{
    switch (frame->type) {
    case WIRE_REQUEST:
        return frame->len > 0 && frame->len <= WIRE_BLOCK_MAX;
    case WIRE_BODY:
    case WIRE_DATA:
        return 1; /* passed on piece by piece */
    case WIRE_BODY_AT:
    case WIRE_FILE:
        return frame->len == sizeof(wire_file);
    case WIRE_WANT:
        return frame->len == sizeof(uint32_t);
    case WIRE_HINTS:
    case WIRE_HEAD:
        return frame->len >= sizeof(wire_head_fixed) && frame->len <= WIRE_HEAD_MAX;
    case WIRE_TLS_LOOKUP:
        return frame->len <= WIRE_TLS_LOOKUP_MAX;
    case WIRE_VERDICT:
        return frame->len <= WIRE_VERDICT_MAX;
    case WIRE_BODY_ERROR:
    case WIRE_TLS_VALUE:
    case WIRE_LOG:
        return frame->len <= WIRE_LOG_MAX;
    case WIRE_LOG_AT:
        return frame->len >= sizeof(wire_log_at) && frame->len <= WIRE_LOG_MAX;
    case WIRE_FAILURE:
        return frame->len == 0 || frame->len == sizeof(wire_times);
    case WIRE_END:
        return frame->len == sizeof(wire_times);
    case WIRE_RETRY:
        return frame->len == 0;
    default:
        return 0;
    }
}
