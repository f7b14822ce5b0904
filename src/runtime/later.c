/* later.c - a complete response that is not large is sent after its request has left Python.
 *
 * So the GIL is taken once per request, and no thread waits for it while the response is written.
 * The objects are dropped before that: head and small bodies are copied. A larger body is held
 * until this thread's next request or its end, since dropping it would need the GIL once more. */
#include "request.h"

#include <string.h>

static __thread struct {
    PyObject *body; /* owned, exactly bytes; NULL: there is none */
    rt_interp *in;  /* the interpreter that it belongs to */
} held;

/* Copies the text and returns its new place. The caller has checked that there is room. */
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

/* Copies the body, or holds a reference to it. Returns 1, or 0 when neither is possible. */
static int take_body(rt_later *later, PyObject *body)
{
    later->len = body ? (size_t)PyBytes_GET_SIZE(body) : 0;
    later->is_held = later->len > RT_LATER_ROOM - later->used;
    if (!later->is_held) {
        later->data = later->len ? copy(later, PyBytes_AS_STRING(body), later->len) : "";
        return 1;
    }
    /* A subclass of bytes may have a destructor, which must not run late. The end of one of
     * Apache's threads is not known here. */
    if (later->len > WIRE_LATER_MAX || held.body || !PyBytes_CheckExact(body) ||
        rt_the_process.embedded)
        return 0;
    later->data = PyBytes_AS_STRING(body);
    held.body = Py_NewRef(body);
    held.in = later->in;
    return 1;
}

int rt_later_take(rt_request *rq, PyObject *body)
{
    rt_later *later = rq->later;
    wire_response head;

    rt_assert_own(rq);
    WIRE_ASSERT(rq->status && rq->headers && !rq->committed);
    if (later->is_taken || rq->client_gone || rq->usage.measured ||
        PyTuple_GET_SIZE(rq->headers) > RT_LATER_HEADERS)
        return 0;
    rt_head_fill(&head, later->headers, rq);
    if (size_of(&head) > RT_LATER_ROOM)
        return 0;
    later->used = 0;
    copy_head(later, &head);
    later->is_taken = take_body(later, body);
    return later->is_taken;
}

enum wire_outcome rt_later_send(rt_request *rq)
{
    rt_later *later = rq->later;
    int rc = rq->ops->send_head(rq->ctx, &later->head),
        flags = WIRE_SEND_LAST | (later->is_held ? WIRE_SEND_STAYS : 0);

    rt_assert_detached();
    if (rc == WIRE_IO_OK)
        rc = rq->ops->send_data(rq->ctx, later->data, later->len, flags);
    return rc == WIRE_IO_OK ? WIRE_DONE : WIRE_CLIENT_GONE;
}

void rt_later_drop(rt_interp *in)
{
    rt_assert_attached();
    if (held.body && held.in == in)
        Py_CLEAR(held.body);
}

void rt_later_done(void)
{
    rt_assert_detached();

    if (!held.body)
        return;
    rt_enter(held.in);
    rt_later_drop(held.in);
    rt_leave();
}
