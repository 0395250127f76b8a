/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * rp_uri_sink: writes a result into a caller's buffer and counts what it would have needed.
 *
 * Owns: nothing. Does not: allocate. Private to rp_uri*.c.
 * Threads: any, one sink per call. Memory: the caller's buffer. Blocks: never.
 */
#ifndef RP_URI_SINK_H
#define RP_URI_SINK_H

#include "rp_span.h"

#include <stdint.h>
#include <string.h>

typedef struct rp_uri_sink_t {
    char *out;
    size_t cap;
    size_t need; /* bytes of the whole result so far, written or not */
} rp_uri_sink_t;

static inline void rp_uri_sink_put(rp_uri_sink_t *s, const char *p, size_t n)
{
    size_t room = s->cap > s->need ? s->cap - s->need : 0;

    if (n && room) {
        memcpy(s->out + s->need, p, n < room ? n : room);
    }
    s->need += n;
}

static inline void rp_uri_sink_text(rp_uri_sink_t *s, const char *text)
{
    rp_uri_sink_put(s, text, strlen(text));
}

static inline void rp_uri_sink_span(rp_uri_sink_t *s, rp_span_t span)
{
    rp_uri_sink_put(s, span.p, span.n);
}

static inline void rp_uri_sink_char(rp_uri_sink_t *s, char c)
{
    if (s->need < s->cap) {
        s->out[s->need] = c;
    }
    s->need++;
}

/* Ends the result with NUL, over its last byte if it was cut; returns the length. */
static inline ptrdiff_t rp_uri_sink_end(rp_uri_sink_t *s)
{
    if (s->cap) {
        s->out[s->need < s->cap ? s->need : s->cap - 1] = '\0';
    }
    return (ptrdiff_t)s->need;
}

/* Leaves an empty string behind an error; returns the error. */
static inline ptrdiff_t rp_uri_sink_fail(char *out, size_t cap, ptrdiff_t err)
{
    if (cap) {
        out[0] = '\0';
    }
    return err;
}

/* ASCII only: a locale must not change whom we talk to. */
static inline char rp_uri_lower(char c)
{
    if (c >= 'A' && c <= 'Z') {
        c = (char)(c - 'A' + 'a');
    }
    return c;
}

static inline int rp_uri_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline int rp_uri_is_alnum(char c)
{
    char l = rp_uri_lower(c);

    return (l >= 'a' && l <= 'z') || rp_uri_is_digit(c);
}

static inline int rp_uri_starts(rp_span_t text, const char *prefix, size_t n)
{
    return text.n >= n && (n == 0 || memcmp(text.p, prefix, n) == 0);
}

static inline int rp_uri_starts_nocase(rp_span_t text, const char *prefix, size_t n)
{
    size_t i = 0;

    if (text.n < n) {
        return 0;
    }
    while (i < n && rp_uri_lower(text.p[i]) == rp_uri_lower(prefix[i])) {
        i++;
    }
    return i == n;
}

static inline rp_span_t rp_uri_skip(rp_span_t text, size_t n)
{
    text.p += n;
    text.n -= n;
    return text;
}

/* 1 if a control other than TAB is in it: it would end or corrupt a header line. */
static inline int rp_uri_has_control(const char *p, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return 1;
        }
    }
    return 0;
}

#endif
