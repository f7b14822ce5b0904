#include "config/options.h"

#include "config/uses.h"
#include "config/words.h"

#include <apr_strings.h>

static const char *unknown_option(cmd_parms *cmd, const char *word, const char *name,
                                  const wsgi_named_value *table)
{
    const char *names[8], *near, *all = "";
    int n = 0;

    for (; table->name; table++) {
        names[n++] = table->name;
        all = apr_pstrcat(cmd->pool, all, *all ? ", " : "", table->name, "=", NULL);
    }
    names[n] = NULL;
    near = wsgi_nearest(cmd->pool, name, names);
    return apr_psprintf(cmd->pool,
                        "%s: option '%s' is not valid%s%s%s; valid are %s, each with a value and "
                        "without space around "
                        "the =",
                        cmd->cmd->name, word, near ? ", did you mean " : "", near ? near : "",
                        near ? "=" : "", all);
}

const char *wsgi_options_read(cmd_parms *cmd, const char *args, const wsgi_named_value *table)
{
    while (*args) {
        const char *word = wsgi_next_word(cmd->pool, &args), *equals = strchr(word, '='), *name;
        const wsgi_named_value *option = table;

        if (!*word)
            continue;
        name = equals ? apr_pstrmemdup(cmd->pool, word, (apr_size_t)(equals - word)) : word;
        while (option->name && strcmp(option->name, name))
            option++;
        if (!option->name || !equals || !equals[1])
            return unknown_option(cmd, word, name, table);
        *option->value = equals + 1;
        wsgi_uses_note_name(cmd, equals + 1);
    }
    return NULL;
}
