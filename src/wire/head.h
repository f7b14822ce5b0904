/* head.h - the head of a response: what it may contain (RFC 9110), and its form in HEAD and HINTS
 * frames.
 *
 * Plain C, no dependency, no allocation, no state: any thread. */
#ifndef WIRE_HEAD_H
#define WIRE_HEAD_H

#include "contract.h"
#include "frames.h"

#include <string.h>
#include <strings.h>

/* RFC 9110 section 5.6.2. */
int wire_is_token(const char *s, size_t len);

/* A control character other than tab: not possible in a field value or reason (RFC 9110
 * section 5.5). */
int wire_has_control(const char *s, size_t len);

/* The code of "404" or "404 Not Found"; -1 when this is no status. */
int wire_parse_status(const char *s, size_t len);

/* A Content-Length: decimal digits alone; -1 when it is none, or too large for int64_t. */
int64_t wire_parse_length(const char *s, size_t len);

/* Are these len bytes the word, in any case? Inline, so that the length of a spelled-out word is
 * known. */
static inline int wire_is_named(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

/* ---- payload of HEAD and HINTS ---- */

/* Bytes of the payload; 0 when the head is too large for one. */
size_t wire_head_size(const wire_response *head);

/* Writes wire_head_size() bytes. */
void wire_head_write(char *to, const wire_response *head);

/* Everything but head->headers; pointers go into bytes. 0, or -1 when the payload is malformed. */
int wire_head_open(wire_response *head, const char *bytes, size_t len);

/* Fills head->nheaders elements of headers and points head->headers to them. 0, or -1 when the
 * payload is malformed. */
int wire_head_read(wire_response *head, wire_header *headers, const char *bytes, size_t len);

/* Is this an interim response as a client may get it (RFC 8297), in every part? */
int wire_head_is_hints(const wire_response *head);

#endif
