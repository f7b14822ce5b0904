/* What an application may put into a head: nothing that is accepted can end a line or a name early.
 */
#include "wire/head.h"

#include <stdlib.h>
#include <string.h>

static void check(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *s = malloc(size ? size : 1);
    int status;
    int64_t length;

    if (size)
        memcpy(s, data, size);
    if (wire_is_token(s, size))
        for (size_t i = 0; i < size; i++)
            check(s[i] > ' ' && s[i] < 0x7f && s[i] != ':');
    if (!wire_has_control(s, size))
        check(!memchr(s, '\r', size) && !memchr(s, '\n', size) && !memchr(s, '\0', size));
    status = wire_parse_status(s, size);
    check(status == -1 || (status >= 100 && status <= 999 && !memchr(s, '\n', size)));
    length = wire_parse_length(s, size);
    check(length >= -1);
    if (length >= 0 && size < 19) { /* as strtoll() reads it */
        char text[20] = {0};

        memcpy(text, s, size);
        check(strtoll(text, NULL, 10) == length);
    }
    wire_is_named(s, size, "Content-Length");
    free(s);
    return 0;
}
