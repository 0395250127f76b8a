/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

#include "rp_uri.h"

#include "rp_uri_sink.h"

#include <stdint.h>
#include <string.h>

/* ---- matching ---- */

static size_t skip_slashes(const char *text, size_t i)
{
    while (text[i] == '/') {
        i++;
    }
    return i;
}

size_t rp_uri_match_prefix(const char *pattern, const char *uri)
{
    size_t i = 0;
    size_t n = 0;

    while (pattern[i]) {
        if (pattern[i] != uri[n]) {
            return 0;
        }
        if (pattern[i] == '/') {
            i = skip_slashes(pattern, i);
            n = skip_slashes(uri, n);
        }
        else {
            i++;
            n++;
        }
    }
    if (i == 0 || (pattern[i - 1] != '/' && uri[n] && uri[n] != '/')) {
        return 0;
    }
    return n;
}

static size_t count_segments(const char *pattern)
{
    size_t count = 0;
    size_t i = skip_slashes(pattern, 0);

    while (pattern[i]) {
        count++;
        i += strcspn(pattern + i, "/");
        i = skip_slashes(pattern, i);
    }
    return count;
}

typedef struct servlet_walk_t {
    const char *uri;
    char *out; /* "/a/b": the segments so far, so that ".." can take the last one back */
    size_t n;
    size_t depth; /* segments in out */
    size_t want;  /* segments of the pattern */
    size_t after; /* where the segment after the pattern's last one starts in uri */
    size_t param; /* where the parameters of the pattern's last segment start in uri, 0: none */
} servlet_walk_t;

static int climb(servlet_walk_t *w)
{
    if (w->depth == 0) {
        return 0;
    }
    w->depth--;
    do {
        w->n--;
    } while (w->out[w->n - 1] != '/');
    return 1;
}

/* A segment that is left later is pushed again later, so the last values noted here hold. */
static void push(servlet_walk_t *w, size_t start, size_t name, size_t len)
{
    if (w->depth == w->want) {
        w->after = start;
    }
    w->depth++;
    memcpy(w->out + w->n, w->uri + name, len);
    w->n += len;
    if (w->depth == w->want) {
        w->param = w->uri[name + len] == ';' ? name + len : 0;
    }
    if (w->uri[name + len + strcspn(w->uri + name + len, "/")] == '/') {
        w->out[w->n++] = '/';
    }
}

/*
 * Reads uri into out; 0 if it climbs above the root. start is where the text before a segment
 * that does not count (".", ";x") begins: it belongs to what is forwarded; 0: nothing does. That
 * is so after "..", which the backend would resolve once more.
 */
static int walk_servlet(servlet_walk_t *w)
{
    size_t start = skip_slashes(w->uri, 0);
    size_t i = start;

    w->out[w->n++] = '/';
    while (w->uri[i]) {
        size_t len = strcspn(w->uri + i, "/;");
        size_t next = skip_slashes(w->uri, i + strcspn(w->uri + i, "/"));

        if (len == 2 && memcmp(w->uri + i, "..", 2) == 0) {
            if (!climb(w)) {
                return 0;
            }
            start = 0;
        }
        else if (len > 1 || (len == 1 && w->uri[i] != '.')) {
            push(w, start ? start : i, i, len);
            start = next;
        }
        i = next;
    }
    w->out[w->n] = '\0';
    return 1;
}

ptrdiff_t rp_uri_match_servlet(char *out, size_t cap, const char *pattern, const char *uri)
{
    servlet_walk_t w = {.uri = uri, .out = out, .want = count_segments(pattern)};
    size_t len = strlen(uri);
    int open = pattern[0] && pattern[strlen(pattern) - 1] != '/';
    size_t pos;

    if (cap <= len || len > PTRDIFF_MAX) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_SPACE);
    }
    if (uri[0] != '/' || !walk_servlet(&w) || !rp_uri_match_prefix(pattern, out)) {
        return rp_uri_sink_fail(out, cap, 0);
    }
    pos = len;
    if (w.depth > w.want) {
        pos = open && w.param ? w.param : w.after;
    }
    if (open && uri[pos - 1] == '/') {
        pos--;
    }
    return (ptrdiff_t)pos;
}

/* ---- encoding ---- */

static int is_path_char(char c)
{
    static const char kept[] = "/~$-_.+!*'(),;:@&=";

    return rp_uri_is_alnum(c) || memchr(kept, c, sizeof(kept) - 1) != NULL;
}

static void put_encoded(rp_uri_sink_t *s, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;
    char code[3] = {'%', hex[byte >> 4], hex[byte & 15]};

    rp_uri_sink_put(s, code, sizeof(code));
}

static int hex_value(char c)
{
    char l = rp_uri_lower(c);

    if (rp_uri_is_digit(c)) {
        return c - '0';
    }
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* Takes one byte, decoded, from the front of text, which is not empty. */
static char take_decoded(rp_span_t *text)
{
    char c = text->p[0];

    if (c == '%' && text->n >= 3) {
        int high = hex_value(text->p[1]);
        int low = hex_value(text->p[2]);

        if (high >= 0 && low >= 0) {
            *text = rp_uri_skip(*text, 3);
            return (char)(high * 16 + low);
        }
    }
    *text = rp_uri_skip(*text, 1);
    return c;
}

static int is_2f(rp_span_t text)
{
    return text.n >= 3 && text.p[0] == '%' && text.p[1] == '2' && rp_uri_lower(text.p[2]) == 'f';
}

/* 1 if text decodes to "2F...": after an encoded '%' that makes a literal "%2F". */
static int decodes_to_2f_tail(rp_span_t text)
{
    return text.n && take_decoded(&text) == '2' && text.n &&
           rp_uri_lower(take_decoded(&text)) == 'f';
}

typedef enum { SLASH_NONE, SLASH_GENUINE, SLASH_LITERAL } slash_t;

/* Finds in a raw path the next text that the server has turned into "%2F", or left so. */
static slash_t next_raw_slash(rp_span_t *raw)
{
    while (raw->n && raw->p[0] != '?') {
        if (is_2f(*raw)) {
            *raw = rp_uri_skip(*raw, 3);
            return SLASH_GENUINE;
        }
        if (take_decoded(raw) == '%' && decodes_to_2f_tail(*raw)) {
            return SLASH_LITERAL;
        }
    }
    return SLASH_NONE;
}

typedef enum { KEEP_NONE, KEEP_ALL, KEEP_IN_STEP } keep_t;

static size_t count_2f(rp_span_t path)
{
    size_t count = 0;

    while (path.n) {
        int hit = is_2f(path);

        count += (size_t)hit;
        path = rp_uri_skip(path, hit ? 3 : 1);
    }
    return count;
}

/*
 * Where both kinds occur and their number differs (the server dropped or a rule reordered some),
 * none can be told from another; a literal "%2F" is the reading that opens no path.
 */
static keep_t choose_keep(rp_span_t path, unsigned flags, rp_span_t raw)
{
    size_t total = 0;
    size_t literal = 0;
    slash_t kind;

    if (!(flags & RP_URI_KEEP_2F)) {
        return KEEP_NONE;
    }
    while ((kind = next_raw_slash(&raw)) != SLASH_NONE) {
        total++;
        literal += kind == SLASH_LITERAL;
    }
    if (literal == 0) {
        return KEEP_ALL;
    }
    return literal < total && total == count_2f(path) ? KEEP_IN_STEP : KEEP_NONE;
}

ptrdiff_t rp_uri_encode_path(char *out, size_t cap, rp_span_t path, unsigned flags, rp_span_t raw)
{
    rp_uri_sink_t s = {out, cap, 0};
    keep_t keep = choose_keep(path, flags, raw);

    if (path.n > PTRDIFF_MAX / 3) {
        return rp_uri_sink_fail(out, cap, RP_URI_E_SPACE);
    }
    while (path.n) {
        size_t taken = 1;

        if (is_2f(path) &&
            (keep == KEEP_ALL || (keep == KEEP_IN_STEP && next_raw_slash(&raw) == SLASH_GENUINE))) {
            taken = 3;
            rp_uri_sink_put(&s, path.p, taken);
        }
        else if (is_path_char(path.p[0])) {
            rp_uri_sink_char(&s, path.p[0]);
        }
        else {
            put_encoded(&s, path.p[0]);
        }
        path = rp_uri_skip(path, taken);
    }
    return rp_uri_sink_end(&s);
}

/* ---- hidden dot segments ---- */

/* Length of what some take as the end of a segment, at the start of text; 0: nothing of the kind. */
static size_t separator_length(rp_span_t text)
{
    if (text.n && (text.p[0] == '/' || text.p[0] == '\\')) {
        return 1;
    }
    if (text.n && text.p[0] == '%') {
        char c = take_decoded(&text);

        return c == '/' || c == '\\' ? 3 : 0;
    }
    return 0;
}

static rp_span_t take_segment(rp_span_t *path)
{
    rp_span_t segment = {path->p, 0};

    while (path->n && !separator_length(*path)) {
        *path = rp_uri_skip(*path, 1);
        segment.n++;
    }
    return segment;
}

/* 1 for "." and "..", with or without parameters. */
static int is_dots(rp_span_t segment)
{
    size_t dots = 0;

    while (segment.n && segment.p[0] != ';') {
        if (take_decoded(&segment) != '.') {
            return 0;
        }
        dots++;
    }
    return dots == 1 || dots == 2;
}

/* Is it a '/' or an end, which all take as such? */
static int is_plain_end(rp_span_t rest)
{
    return !rest.n || rest.p[0] == '/';
}

int rp_uri_hides_dots(rp_span_t path)
{
    const char *query = path.n ? memchr(path.p, '?', path.n) : NULL;
    int is_hidden = 0;

    path.n = query ? (size_t)(query - path.p) : path.n;
    while (path.n) {
        rp_span_t segment = take_segment(&path);
        int ends_hidden = !is_plain_end(path);

        if (is_dots(segment) && (is_hidden || ends_hidden || memchr(segment.p, ';', segment.n))) {
            return 1;
        }
        path = rp_uri_skip(path, separator_length(path));
        is_hidden = ends_hidden;
    }
    return 0;
}
