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

/* Returns 1 for a token (RFC 9110 section 5.6.2), else 0. */
int wire_is_token(const char *s, size_t len);

/* Returns 1 when there is a control character other than tab, which a field value or reason cannot
 * have (RFC 9110 section 5.5), else 0. */
int wire_has_control(const char *s, size_t len);

/* Returns the code of "404" or "404 Not Found", or -1 when this is no status. */
int wire_parse_status(const char *s, size_t len);

/* Returns the value of a Content-Length, which consists of decimal digits, or -1 when this is none
 * or too large for int64_t. */
int64_t wire_parse_length(const char *s, size_t len);

/* Returns 1 when these len bytes are the word, in any case, else 0. Inline, so that the compiler
 * knows the length of a literal word. */
static inline int wire_is_named(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

/* ---- payload of HEAD and HINTS ---- */

/* Returns the bytes of the payload, or 0 when the head is too large for one. */
size_t wire_head_size(const wire_response *head);

/* Writes wire_head_size() bytes. */
void wire_head_write(char *to, const wire_response *head);

/* Sets everything but head->headers; pointers go into bytes. Returns 0, or -1 when the payload is
 * malformed. */
int wire_head_open(wire_response *head, const char *bytes, size_t len);

/* Fills head->nheaders elements of headers and points head->headers to them. Returns 0, or -1 when
 * the payload is malformed. */
int wire_head_read(wire_response *head, wire_header *headers, const char *bytes, size_t len);

/* Returns 1 when every part of this interim response may go to a client (RFC 8297), else 0. */
int wire_head_is_hints(const wire_response *head);

#endif
