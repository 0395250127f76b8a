/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: the way to the backend. Input: target NUL pattern NUL uri NUL raw path.
 * Build: clang -fsanitize=fuzzer,address,undefined -Isrc t/fuzz/uri_map_fuzz.c
 */

#include "uri_fuzz.h"

static const rp_span_t absent = {NULL, 0};

static void check_inside(rp_span_t part, const char *url)
{
    MUST(part.p == NULL || (part.p >= url && part.p + part.n <= url + strlen(url)));
}

/* What was split and put together again must lead to the same place. */
static void check_target(const rp_uri_t *u)
{
    ptrdiff_t n = rp_uri_canonical_target(NULL, 0, u, u->rest, absent);
    char *out = fuzz_buffer(n);
    rp_uri_t again;

    if (n >= 0) {
        MUST(rp_uri_canonical_target(out, (size_t)n + 1, u, u->rest, absent) == n);
        MUST(strlen(out) == (size_t)n && !rp_uri_has_unsafe((rp_span_t){out, (size_t)n}));
        MUST(rp_uri_split(&again, out) == RP_URI_OK && again.has_authority);
        MUST(again.host.n == u->host.n && rp_uri_starts_nocase(again.host, u->host.p, u->host.n));
        MUST(again.is_ipv6 == u->is_ipv6 && !again.userinfo.p && again.rest.p[0] == '/');
        MUST((again.port ? again.port : rp_uri_default_port(again.scheme)) ==
             (u->port ? u->port : rp_uri_default_port(u->scheme)));
    }
    else {
        MUST(n == RP_URI_E_UNSAFE && rp_uri_has_unsafe(u->rest));
    }
    free(out);
}

static void check_split(const char *url)
{
    rp_uri_t u;
    int rc = rp_uri_split(&u, url);

    MUST(rc <= 0 && strcmp(rp_uri_err_text(rc), "unknown error") != 0);
    if (rc != RP_URI_OK) {
        MUST(u.host.n == 0 && u.socket.p == NULL);
        return;
    }
    MUST(u.host.n > 0 && !rp_uri_has_unsafe(u.host) && u.port <= 65535);
    check_inside(u.socket, url);
    check_inside(u.scheme, url);
    check_inside(u.userinfo, url);
    check_inside(u.rest, url);
    if (u.has_authority) {
        check_inside(u.host, url);
    }
    else {
        MUST(u.socket.p != NULL);
    }
    if (!rp_uri_starts_nocase(u.scheme, "unix", 4)) {
        check_target(&u);
    }
}

static void check_normal(const char *path)
{
    MUST(path[0] == '/' && !strchr(path, ';') && !strstr(path, "//"));
    MUST(!strstr(path, "/./") && !strstr(path, "/../"));
}

static void check_match(const char *pattern, const char *uri)
{
    size_t len = strlen(uri);
    size_t n = rp_uri_match_prefix(pattern, uri);
    char *out = fuzz_alloc(len + 1);
    ptrdiff_t got = rp_uri_match_servlet(out, len + 1, pattern, uri);

    MUST(n <= len && (n == 0 || uri[n] == '\0' || uri[n] == '/' || uri[n - 1] == '/'));
    MUST(got >= 0 && (size_t)got <= len);
    if (got > 0) {
        check_normal(out);
        MUST(rp_uri_match_prefix(pattern, out) > 0);
    }
    free(out);
}

static void check_encode(rp_span_t path, unsigned flags, rp_span_t raw)
{
    ptrdiff_t n = rp_uri_encode_path(NULL, 0, path, flags, raw);
    char *out = fuzz_buffer(n);
    rp_span_t rest = {out, (size_t)n};

    MUST(n >= (ptrdiff_t)path.n && (size_t)n <= 3 * path.n);
    MUST(rp_uri_encode_path(out, (size_t)n + 1, path, flags, raw) == n);
    while (rest.n) {
        MUST(is_path_char(rest.p[0]) || rest.p[0] == '%');
        MUST(rest.p[0] != '%' ||
             (rest.n >= 3 && hex_value(rest.p[1]) >= 0 && hex_value(rest.p[2]) >= 0));
        rest = rp_uri_skip(rest, 1);
    }
    free(out);
}

/* What httpd would resolve is never taken as hidden, and a text in front of it changes nothing. */
static void check_dots(rp_span_t path)
{
    char *longer = malloc(path.n + 2);
    int hides = rp_uri_hides_dots(path);

    memcpy(longer, "/", 1);
    memcpy(longer + 1, path.p, path.n);
    MUST(rp_uri_hides_dots((rp_span_t){longer, path.n + 1}) == hides);
    MUST(!hides || memchr(path.p, '.', path.n) || memchr(path.p, '%', path.n));
    free(longer);
}

static const char *lookup(void *ctx, rp_span_t name)
{
    return name.n % 2 ? ctx : NULL;
}

static void check_expand(const char *text, char *value)
{
    ptrdiff_t n = rp_uri_expand_env(NULL, 0, text, lookup, value);
    char *out = fuzz_buffer(n);

    MUST(n >= 0 && rp_uri_expand_env(out, (size_t)n + 1, text, lookup, value) == n);
    MUST(strlen(out) == (size_t)n);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *url = fuzz_text(&bytes, &size);
    char *pattern = fuzz_text(&bytes, &size);
    char *uri = fuzz_text(&bytes, &size);
    rp_span_t raw = fuzz_rest(bytes, size);
    rp_span_t path = {uri, strlen(uri)};

    check_split(url);
    check_match(pattern, uri);
    check_encode(path, 0, absent);
    check_dots(path);
    check_dots(raw);
    check_encode(raw, RP_URI_KEEP_2F, absent);
    check_encode(path, RP_URI_KEEP_2F, raw);
    check_expand(url, pattern);
    free(url);
    free(pattern);
    free(uri);
    free((char *)raw.p);
    return 0;
}
