#include "request/verdict.h"

#include <apr_strings.h>

int wsgi_verdict_take(wsgi_verdict *verdict, request_rec *r, int kind, const char *text,
                      apr_size_t len)
{
    if (verdict->kind != WIRE_NO_VERDICT)
        return -1;
    verdict->kind = (enum wire_verdict)kind;
    verdict->text = apr_pstrmemdup(r->pool, text, len);
    return 0;
}
