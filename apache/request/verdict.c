#include "request/verdict.h"

#include <apr_strings.h>

int wsgi_answer_take(wsgi_answer *answer, request_rec *r, int verdict, const char *text, apr_size_t len)
{
    if (answer->verdict != WIRE_NO_VERDICT)
        return -1;
    answer->verdict = (enum wire_verdict)verdict;
    answer->text = apr_pstrmemdup(r->pool, text, len);
    return 0;
}
