/* scores.h - Apache's scoreboard on its way to mod_wsgi.server_metrics().
 *
 * It is a sequence of fields, each ended by NUL: server_limit, thread_limit, generation,
 * restart_us, now_us; then for each of server_limit processes pid, generation, quiescing (0 or 1),
 * and for each of its thread_limit threads generation, status (a letter as mod_status shows it),
 * access_count, bytes_served, start_us, stop_us, last_used_us, client, request, vhost. Numbers are
 * decimal, times microseconds since the epoch; an empty number is 0.
 *
 * Embedded mode asks for it. Daemon workers find it in a memory file that only Apache's processes
 * may write: its children do before they pass a request to such a group, its parent every few
 * seconds. A reader never blocks a writer: it copies, and does so again when the sequence number
 * has changed meanwhile. */
#ifndef WIRE_SCORES_H
#define WIRE_SCORES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Fields younger than this are not written again. A writer that takes longer is taken for dead. */
#define WIRE_SCORES_AGE_US 1000000

typedef struct wire_scores {
    _Atomic int64_t claimed_us; /* when the last writer began */
    _Atomic uint32_t sequence;  /* odd while it writes; 0: nothing was written yet */
    _Atomic uint32_t len;       /* bytes of fields */
    char fields[];
} wire_scores;

/* Returns the ticket for wire_scores_end() when the caller should write, else 0: it was done just
 * now, or another process is doing it. */
uint32_t wire_scores_begin(wire_scores *s, int64_t now_us);
void wire_scores_end(wire_scores *s, uint32_t ticket, size_t len);

/* Copies the fields to buf and returns their number of bytes, 0 when there is nothing to read.
 * size: bytes of the memory file. Any number of readers at once; may wait for milliseconds. */
size_t wire_scores_copy(char *buf, const wire_scores *s, size_t size);

#endif
