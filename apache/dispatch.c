#include "dispatch.h"

#include "hook_call.h"

#include <apr_strings.h>

/* Takes a line off a verdict's text. Returns the name after "=", or NULL when the line has none. */
static const char *next_name(char **text)
{
    char *line = *text, *end = strchr(line, '\n');

    *text = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    return *line == '=' ? line + 1 : NULL;
}

int wsgi_dispatch(wsgi_target *t, request_rec *r)
{
    wsgi_hook_call call = {.hook = wsgi_dir_of(r)->dispatch_script,
                           .kind = "dispatch",
                           .target = t};
    const char *process_group, *application_group, *callable;
    wsgi_verdict verdict;
    char *text;
    int rc;

    if (!call.hook)
        return OK;
    if ((rc = wsgi_hook_call_run(&verdict, r, &call)) != OK)
        return rc;
    if (verdict.kind != WIRE_VERDICT_TEXT)
        return HTTP_INTERNAL_SERVER_ERROR;
    text = apr_pstrdup(r->pool, verdict.text);
    process_group = next_name(&text);
    application_group = next_name(&text);
    callable = next_name(&text);
    wsgi_target_choose(t, r, process_group, application_group, callable);
    return OK;
}
