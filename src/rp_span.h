/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * rp_span: a run of bytes that somebody else owns; not NUL-terminated, may hold any byte.
 *
 * Owns: nothing. Does not: copy, free, compare.
 * Threads: any. Memory: the lender's. Blocks: never.
 */
#ifndef RP_SPAN_H
#define RP_SPAN_H

#include <stddef.h>

typedef struct rp_span_t {
    const char *p; /* NULL: absent (which differs from present but empty) */
    size_t n;      /* bytes */
} rp_span_t;

#endif
