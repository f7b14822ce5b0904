/* later.c - a response that is complete and small leaves when its request has left Python. So nobody waits for the interpreter lock while it
 * is written, and this thread does not have to get the lock once more only to drop its objects. They go first, hence the copies. */
#include "runtime.h"

#include <string.h>

/* The text's place in the copy. The caller has checked that there is room. */
static const char *copy(rt_later *later, const char *text, size_t len)
{
    char *to = later->bytes + later->used;

    memcpy(to, text, len);
    later->used += len;
    return to;
}

static size_t size_of(const wire_response *head)
{
    size_t size = head->reason_len;

    for (size_t i = 0; i < head->nheaders; i++)
        size += head->headers[i].name_len + head->headers[i].value_len;
    return size;
}

static void copy_head(rt_later *later, const wire_response *head)
{
    later->head = *head;
    later->head.reason = copy(later, head->reason, head->reason_len);
    for (size_t i = 0; i < head->nheaders; i++) {
        wire_header *h = &later->headers[i];

        h->name = copy(later, h->name, h->name_len);
        h->value = copy(later, h->value, h->value_len);
    }
}

int rt_later_take(rt_request *rq, const char *data, size_t len)
{
    rt_later *later = rq->later;
    wire_response head;

    if (later->is_taken || rq->client_gone || rq->usage.measured || PyTuple_GET_SIZE(rq->headers) > RT_LATER_HEADERS)
        return 0;
    rt_head_fill(&head, later->headers, rq);
    if (len > RT_LATER_ROOM || size_of(&head) > RT_LATER_ROOM - len)
        return 0;
    later->used = 0;
    copy_head(later, &head);
    later->data = copy(later, data, len);
    later->len = len;
    later->is_taken = 1;
    return 1;
}

enum wire_outcome rt_later_send(rt_request *rq)
{
    rt_later *later = rq->later;
    int rc = rq->ops->send_head(rq->ctx, &later->head);

    if (rc == WIRE_IO_OK)
        rc = rq->ops->send_data(rq->ctx, later->data, later->len, WIRE_SEND_LAST);
    return rc == WIRE_IO_OK ? WIRE_DONE : WIRE_CLIENT_GONE;
}
