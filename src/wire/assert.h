/* assert.h - assertions: conditions that hold unless this code itself is wrong, which thread runs a
 * function for instance.
 *
 * Builds with a sanitizer (`make asan`, `make tsan`) and with -DWIRE_ASSERTS=1 evaluate them: one
 * that does not hold prints its place and aborts the process. Other builds compile them and never
 * evaluate them, so they cost nothing and may be expensive; they must not have side effects. What
 * comes from outside, from a client, an application or another process, is checked in every build
 * instead.
 *
 * Plain C; any thread of any process. */
#ifndef WIRE_ASSERT_H
#define WIRE_ASSERT_H

#include <stdio.h>
#include <stdlib.h>

#ifndef WIRE_ASSERTS
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WIRE_ASSERTS 1
#else
#define WIRE_ASSERTS 0
#endif
#endif

static inline _Noreturn void wire_assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: httpd-wsgi: assertion failed: %s\n", file, line, condition);
    abort();
}

#if WIRE_ASSERTS
#define WIRE_ASSERT(condition)                                                                     \
    ((condition) ? (void)0 : wire_assert_failed(__FILE__, __LINE__, #condition))
#else
#define WIRE_ASSERT(condition) ((void)(0 && (condition)))
#endif

#endif
