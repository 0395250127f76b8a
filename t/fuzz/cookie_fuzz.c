/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: a Set-Cookie from a backend. Input: path NUL public path NUL domain NUL public
 * domain NUL value.
 * Build: clang -fsanitize=fuzzer,address,undefined -Isrc t/fuzz/cookie_fuzz.c
 */

#include "uri_fuzz.h"

static size_t count_semicolons(const char *p, size_t n)
{
    size_t count = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        count += p[i] == ';';
    }
    return count;
}

/* The cookie itself stays; a rewritten attribute takes no other with it and adds only its own. */
static void check_rewritten(const char *out, ptrdiff_t n, rp_span_t value,
                            const rp_cookie_maps_t *maps)
{
    const char *semi = memchr(value.p, ';', value.n);
    const char *path = maps->paths[0].pub;
    const char *domain = maps->domains[0].pub;
    size_t more = count_semicolons(path, strlen(path)) + count_semicolons(domain, strlen(domain));
    size_t before = count_semicolons(value.p, value.n);
    size_t after = count_semicolons(out, (size_t)n);

    MUST(semi != NULL && strlen(out) == (size_t)n && !rp_uri_has_control(out, (size_t)n));
    MUST(memcmp(out, value.p, (size_t)(semi - value.p) + 1) == 0);
    MUST(after >= before && after <= before + more);
    MUST((size_t)n <= value.n + strlen(path) + strlen(domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text[4];
    rp_uri_map_t path, domain;
    rp_cookie_maps_t maps = {&path, 1, &domain, 1};
    rp_span_t value;
    ptrdiff_t n;
    char *out;
    size_t i;

    for (i = 0; i < 4; i++) {
        text[i] = fuzz_text(&bytes, &size);
    }
    path = (rp_uri_map_t){text[0], text[1]};
    domain = (rp_uri_map_t){text[2], text[3]};
    value = fuzz_rest(bytes, size);
    n = rp_cookie_rewrite(NULL, 0, value, &maps);
    out = fuzz_buffer(n);
    if (n >= 0) {
        MUST(rp_cookie_rewrite(out, (size_t)n + 1, value, &maps) == n);
        check_rewritten(out, n, value, &maps);
    }
    else {
        MUST(n == RP_URI_NOMATCH || n == RP_URI_E_UNSAFE);
    }
    free(out);
    free((char *)value.p);
    for (i = 0; i < 4; i++) {
        free(text[i]);
    }
    return 0;
}
