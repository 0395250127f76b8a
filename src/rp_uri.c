/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

#include "rp_uri.h"

#include "rp_uri_sink.h"

#include <string.h>

static const char unreserved[] = "-._~";
static const char sub_delims[] = "!$&'()*+,;=";

const char *rp_uri_err_text(ptrdiff_t err)
{
    static const char *const text[] = {
        "no error",
        "does not match",
        "does not start with a scheme such as http://",
        "lacks the // after the scheme",
        "names no host",
        "has invalid characters before the @ of the host",
        "has an invalid host name",
        "has an invalid port (1 to 65535 expected)",
        "has an invalid socket (unix:/path|http://host/ expected)",
        "contains spaces or control characters",
        "is too long",
    };

    return err <= 0 && err > -(ptrdiff_t)(sizeof(text) / sizeof(text[0])) ? text[-err]
                                                                          : "unknown error";
}

static int is_in(const char *set, char c)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static int is_user_char(char c)
{
    return rp_uri_is_alnum(c) || is_in(unreserved, c) || is_in(sub_delims, c) || c == '%' ||
           c == ':';
}

static int is_name_char(char c)
{
    return rp_uri_is_alnum(c) || is_in(unreserved, c) || is_in(sub_delims, c);
}

static int is_ipv6_char(char c)
{
    char l = rp_uri_lower(c);

    return rp_uri_is_digit(c) || (l >= 'a' && l <= 'f') || c == ':' || c == '.';
}

static int is_all(rp_span_t text, int (*test)(char))
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        if (!test(text.p[i])) {
            return 0;
        }
    }
    return 1;
}

static rp_span_t span_of(const char *text)
{
    rp_span_t span = {text, strlen(text)};

    return span;
}

/* Length of a scheme with its ':' at the start of text, else 0. */
static size_t scheme_length(rp_span_t text)
{
    size_t i = 0;

    while (i < text.n && (rp_uri_is_alnum(text.p[i]) || is_in("+-.", text.p[i]))) {
        i++;
    }
    return i > 0 && i < text.n && text.p[i] == ':' ? i + 1 : 0;
}

int rp_uri_is_url(rp_span_t text)
{
    return scheme_length(text) > 0;
}

/* text: what follows the host. */
static int parse_port(rp_uri_t *u, rp_span_t text)
{
    unsigned port = 0;
    size_t i;

    if (text.n == 0) {
        return RP_URI_OK;
    }
    if (text.p[0] != ':' || text.n < 2 || text.n > 6) {
        return RP_URI_E_PORT;
    }
    for (i = 1; i < text.n; i++) {
        if (!rp_uri_is_digit(text.p[i])) {
            return RP_URI_E_PORT;
        }
        port = port * 10 + (unsigned)(text.p[i] - '0');
    }
    if (port == 0 || port > 65535) {
        return RP_URI_E_PORT;
    }
    u->port = port;
    return RP_URI_OK;
}

/* text: starts after the '['. Whether the address is one is for the resolver to say. */
static int parse_ipv6(rp_uri_t *u, rp_span_t text)
{
    const char *end = memchr(text.p, ']', text.n);

    if (!end) {
        return RP_URI_E_HOST;
    }
    u->host.p = text.p;
    u->host.n = (size_t)(end - text.p);
    u->is_ipv6 = 1;
    if (u->host.n < 2 || u->host.n > 45 || !is_all(u->host, is_ipv6_char) ||
        !memchr(u->host.p, ':', u->host.n)) {
        return RP_URI_E_HOST;
    }
    text = rp_uri_skip(text, u->host.n + 1);
    if (text.n && text.p[0] != ':') {
        return RP_URI_E_HOST;
    }
    return parse_port(u, text);
}

static int parse_host(rp_uri_t *u, rp_span_t text)
{
    const char *colon;

    if (text.n && text.p[0] == '[') {
        return parse_ipv6(u, rp_uri_skip(text, 1));
    }
    colon = text.n ? memchr(text.p, ':', text.n) : NULL;
    u->host.p = text.p;
    u->host.n = colon ? (size_t)(colon - text.p) : text.n;
    if (u->host.n == 0 || !is_all(u->host, is_name_char)) {
        return RP_URI_E_HOST;
    }
    return parse_port(u, rp_uri_skip(text, u->host.n));
}

/* text: what stands between "//" and the path, not empty. */
static int parse_authority(rp_uri_t *u, rp_span_t text)
{
    const char *at = memchr(text.p, '@', text.n);

    u->has_authority = 1;
    if (at) {
        u->userinfo.p = text.p;
        u->userinfo.n = (size_t)(at - text.p);
        if (!is_all(u->userinfo, is_user_char)) {
            return RP_URI_E_USER;
        }
        text = rp_uri_skip(text, u->userinfo.n + 1);
    }
    return parse_host(u, text);
}

static int parse_target(rp_uri_t *u, rp_span_t text)
{
    size_t n = scheme_length(text);
    size_t end;

    if (n == 0 || rp_uri_is_digit(text.p[0]) || is_in("+-.", text.p[0])) {
        return RP_URI_E_SCHEME;
    }
    u->scheme.p = text.p;
    u->scheme.n = n - 1;
    text = rp_uri_skip(text, n);
    if (text.n && text.p[0] != '/') {
        return RP_URI_E_SYNTAX;
    }
    u->rest = text;
    if (!rp_uri_starts(text, "//", 2)) {
        return RP_URI_E_NOHOST;
    }
    text = rp_uri_skip(text, 2);
    end = strcspn(text.p, "/?#");
    u->rest = rp_uri_skip(text, end);
    text.n = end;
    return end ? parse_authority(u, text) : RP_URI_E_NOHOST;
}

/* text: starts after "unix:"; a host there would be taken for a part of the path. */
static int parse_socket(rp_uri_t *u, rp_span_t *text)
{
    const char *bar = text->n ? memchr(text->p, '|', text->n) : NULL;
    rp_span_t path;

    if (!bar) {
        return RP_URI_E_UNIX;
    }
    path.p = text->p;
    path.n = (size_t)(bar - text->p);
    *text = rp_uri_skip(*text, path.n + 1);
    if (rp_uri_starts(path, "//", 2)) {
        path = rp_uri_skip(path, 2);
        if (path.n == 0 || path.p[0] != '/') {
            return RP_URI_E_UNIX;
        }
    }
    if (path.n == 0 || rp_uri_has_control(path.p, path.n)) {
        return RP_URI_E_UNIX;
    }
    u->socket = path;
    return RP_URI_OK;
}

static int parse_all(rp_uri_t *u, rp_span_t text)
{
    int rc = RP_URI_OK;

    if (rp_uri_starts_nocase(text, "unix:", 5)) {
        text = rp_uri_skip(text, 5);
        rc = parse_socket(u, &text);
    }
    if (rc == RP_URI_OK) {
        rc = parse_target(u, text);
    }
    if (rc == RP_URI_E_NOHOST && u->socket.p) {
        u->host = span_of("localhost");
        rc = RP_URI_OK;
    }
    return rc;
}

int rp_uri_split(rp_uri_t *u, const char *url)
{
    int rc;

    memset(u, 0, sizeof(*u));
    rc = parse_all(u, span_of(url));
    if (rc != RP_URI_OK && rc != RP_URI_E_NOHOST) {
        memset(u, 0, sizeof(*u));
    }
    return rc;
}

static int equals_nocase(rp_span_t text, const char *word)
{
    size_t n = strlen(word);

    return text.n == n && rp_uri_starts_nocase(text, word, n);
}

unsigned rp_uri_default_port(rp_span_t scheme)
{
    if (equals_nocase(scheme, "http") || equals_nocase(scheme, "ws")) {
        return 80;
    }
    if (equals_nocase(scheme, "https") || equals_nocase(scheme, "wss")) {
        return 443;
    }
    return 0;
}

int rp_uri_has_unsafe(rp_span_t text)
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c <= 0x20 || c == 0x7f) {
            return 1;
        }
    }
    return 0;
}

static void put_lower(rp_uri_sink_t *s, rp_span_t text)
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        rp_uri_sink_char(s, rp_uri_lower(text.p[i]));
    }
}

static void put_port(rp_uri_sink_t *s, unsigned port)
{
    char digits[10];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + port % 10);
        port /= 10;
    } while (port);
    rp_uri_sink_char(s, ':');
    rp_uri_sink_put(s, digits + i, sizeof(digits) - i);
}

ptrdiff_t rp_uri_canonical_target(char *out, size_t cap, const rp_uri_t *u, rp_span_t path,
                                  rp_span_t query)
{
    rp_uri_sink_t s = {out, cap, 0};

    if (u->host.n == 0) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_NOHOST);
    }
    if (rp_uri_has_unsafe(path) || rp_uri_has_unsafe(query)) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_UNSAFE);
    }
    put_lower(&s, u->scheme);
    rp_uri_sink_text(&s, u->is_ipv6 ? "://[" : "://");
    put_lower(&s, u->host);
    rp_uri_sink_text(&s, u->is_ipv6 ? "]" : "");
    if (u->port && u->port != rp_uri_default_port(u->scheme)) {
        put_port(&s, u->port);
    }
    if (path.n == 0 || path.p[0] != '/') {
        rp_uri_sink_char(&s, '/');
    }
    rp_uri_sink_span(&s, path);
    if (query.p) {
        rp_uri_sink_char(&s, '?');
        rp_uri_sink_span(&s, query);
    }
    return rp_uri_sink_end(&s);
}

ptrdiff_t rp_uri_expand_env(char *out, size_t cap, const char *text, rp_uri_env_fn *lookup,
                            void *ctx)
{
    rp_uri_sink_t s = {out, cap, 0};
    const char *start;
    const char *end;

    while ((start = strstr(text, "${")) != NULL && (end = strchr(start + 2, '}')) != NULL) {
        rp_span_t name = {start + 2, (size_t)(end - start) - 2};
        const char *value = lookup(ctx, name);

        rp_uri_sink_put(&s, text, (size_t)(start - text));
        rp_uri_sink_text(&s, value ? value : "");
        text = end + 1;
    }
    rp_uri_sink_text(&s, text);
    return rp_uri_sink_end(&s);
}
