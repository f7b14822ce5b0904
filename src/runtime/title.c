/* title.c - the process title that ps shows.
 *
 * The kernel shows the memory between arg_start and arg_end. A worker is started with a long
 * padding argument, so that this memory is large enough; writing there needs no privilege. */
#include "core.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/* Reads fields 48 and 49 of /proc/self/stat (proc(5)). Returns 0, or -1. */
static int argument_area(char **start, char **end)
{
    unsigned long from = 0, to = 0;
    char text[4096], *at;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    if (f)
        fclose(f);
    text[len] = '\0';
    at = strrchr(text, ')'); /* the program's name before it may contain anything */
    for (int field = 2; at && field < 48; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, " %lu %lu", &from, &to) != 2 || from == 0 || to <= from)
        return -1;
    *start = (char *)from;
    *end = (char *)to;
    return 0;
}

void rt_set_process_title(const char *title, size_t len)
{
    char *start, *end;

    if (argument_area(&start, &end) == 0) {
        size_t room = (size_t)(end - start);

        if (len >= room)
            len = room - 1;
        memset(start, 0, room);
        memcpy(start, title, len);
    }
    prctl(PR_SET_NAME, title, 0, 0, 0);
}
