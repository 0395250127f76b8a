/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * What the fuzz targets of rp_uri share: the input is texts with NUL between them, then a span
 * that may hold anything. Each is copied to an allocation of its own size, so that a sanitizer
 * sees a read behind it.
 */
#ifndef URI_FUZZ_H
#define URI_FUZZ_H

#include <stdint.h>
#include <string.h>

#include "must.h"

#include "../../src/rp_uri.c"
#include "../../src/rp_uri_map.c"
#include "../../src/rp_uri_reverse.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void *fuzz_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    MUST(p != NULL);
    return p;
}

/* Takes the next text off the input; to be freed. */
static char *fuzz_text(const uint8_t **bytes, size_t *size)
{
    const uint8_t *nul = *size ? memchr(*bytes, 0, *size) : NULL;
    size_t n = nul ? (size_t)(nul - *bytes) : *size;
    char *text = fuzz_alloc(n + 1);

    if (n) {
        memcpy(text, *bytes, n);
    }
    text[n] = '\0';
    *bytes += nul ? n + 1 : n;
    *size -= nul ? n + 1 : n;
    return text;
}

/* Takes the rest of the input; p to be freed. */
static rp_span_t fuzz_rest(const uint8_t *bytes, size_t size)
{
    char *p = fuzz_alloc(size);
    rp_span_t rest = {p, size};

    if (size) {
        memcpy(p, bytes, size);
    }
    return rest;
}

/* A result must have as many bytes as the function said, also where the buffer is too small. */
static char *fuzz_buffer(ptrdiff_t need)
{
    return fuzz_alloc(need < 0 ? 1 : (size_t)need + 1);
}

#endif
