/* process.c - what the runtime knows about its process. Written while the process starts, by
 * module.c or embed.c. */
#include "core.h"

rt_process rt_the_process = {.log_level = WIRE_INFO};
int rt_is_copy; /* written while the process has one thread */
