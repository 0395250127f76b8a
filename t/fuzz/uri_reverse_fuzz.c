/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: a Location from a backend. Input: real NUL public path NUL sub NUL value.
 * Build: clang -fsanitize=fuzzer,address,undefined -Isrc t/fuzz/uri_reverse_fuzz.c
 */

#include "uri_fuzz.h"

/* The result is the public text and an end of the value, and no control came in. */
static void check_mapped(const char *out, ptrdiff_t n, rp_span_t value, const char *pub)
{
    size_t head = strlen(pub);
    size_t tail = (size_t)n - head;

    MUST(strlen(out) == (size_t)n && (size_t)n >= head && tail <= value.n);
    MUST(memcmp(out, pub, head) == 0);
    MUST(tail == 0 || memcmp(out + head, value.p + value.n - tail, tail) == 0);
    MUST(!rp_uri_has_control(out, (size_t)n));
}

static void check_refused(ptrdiff_t n, rp_span_t value, const char *pub)
{
    MUST(n == RP_URI_NOMATCH || (n == RP_URI_E_UNSAFE && has_control(value, pub)));
}

static void check_reverse(rp_span_t value, const rp_uri_map_t *map)
{
    ptrdiff_t n = rp_uri_reverse(NULL, 0, value, map);
    char *out = fuzz_buffer(n);

    if (n >= 0) {
        MUST(rp_uri_reverse(out, (size_t)n + 1, value, map) == n);
        check_mapped(out, n, value, map->pub);
    }
    else {
        check_refused(n, value, map->pub);
    }
    free(out);
}

static void check_member(rp_span_t value, const rp_uri_map_t *map, const char *sub)
{
    ptrdiff_t n = rp_uri_reverse_member(NULL, 0, value, map, sub);
    char *out = fuzz_buffer(n);

    if (n >= 0) {
        size_t head = strlen(map->pub);

        MUST(rp_uri_reverse_member(out, (size_t)n + 1, value, map, sub) == n);
        check_mapped(out, n, value, map->pub);
        MUST((head && map->pub[head - 1] == '/') || out[head] == '\0' ||
             strchr("/?#", out[head]) != NULL);
    }
    else {
        check_refused(n, value, map->pub);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *real = fuzz_text(&bytes, &size);
    char *pub = fuzz_text(&bytes, &size);
    char *sub = fuzz_text(&bytes, &size);
    rp_span_t value = fuzz_rest(bytes, size);
    rp_uri_map_t map = {real, pub};

    check_reverse(value, &map);
    check_member(value, &map, sub);
    free(real);
    free(pub);
    free(sub);
    free((char *)value.p);
    return 0;
}
