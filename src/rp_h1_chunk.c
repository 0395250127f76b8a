/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

#include "rp_h1.h"

#include <string.h>

enum { MAX_SIZE_DIGITS = 16 };

/* Names say what the next byte belongs to. */
enum {
    AT_SIZE_START,
    AT_SIZE,
    AT_SIZE_SPACE, /* BWS, good only before an extension */
    AT_EXT,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER_START,
    AT_TRAILER_NAME,
    AT_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_LAST_LF,
    AT_END,
    AT_ERROR
};

void rp_h1_chunk_init(rp_h1_chunk_t *c, const rp_h1_limits_t *lim)
{
    *c = (rp_h1_chunk_t){.state = AT_SIZE_START, .lim = *lim};
}

void rp_h1_chunk_on_trailer(rp_h1_chunk_t *c, rp_h1_trailer_fn *fn, void *ctx, char *scratch,
                            size_t size)
{
    c->on_trailer = fn;
    c->ctx = ctx;
    c->scratch = scratch;
    c->scratch_size = size;
}

static void refuse(rp_h1_chunk_t *c, rp_h1_error_t error)
{
    c->state = AT_ERROR;
    c->error = error;
}

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t';
}

static bool is_over(size_t limit, uint64_t n)
{
    return limit != 0 && n > limit;
}

/* ---- chunk-size line: 1*HEXDIG [ BWS ";" anything ] CRLF ---- */

static int hex_value(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    ch = (char)(ch | 0x20);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static void add_size_digit(rp_h1_chunk_t *c, int digit)
{
    c->digits++;
    if (c->digits > MAX_SIZE_DIGITS || c->size > ((uint64_t)INT64_MAX - (unsigned)digit) / 16) {
        refuse(c, RP_H1_E_CHUNK_OVERFLOW);
        return;
    }
    c->size = c->size * 16 + (unsigned)digit;
    c->state = AT_SIZE;
}

static void end_size(rp_h1_chunk_t *c, char ch)
{
    if (c->digits == 0) {
        refuse(c, RP_H1_E_CHUNK_SIZE);
    }
    else if (ch == ';') {
        c->state = AT_EXT;
    }
    else if (ch == '\r' && c->state == AT_SIZE) {
        c->state = AT_SIZE_LF;
    }
    else if (is_blank(ch)) {
        c->state = AT_SIZE_SPACE;
    }
    else {
        refuse(c, ch == '\n' ? RP_H1_E_CHUNK_LINE_END : RP_H1_E_CHUNK_SIZE);
    }
}

static void step_size(rp_h1_chunk_t *c, char ch)
{
    int digit = c->state == AT_SIZE_SPACE ? -1 : hex_value(ch);

    if (digit >= 0) {
        add_size_digit(c, digit);
    }
    else {
        end_size(c, ch);
    }
}

static void step_ext(rp_h1_chunk_t *c, char ch)
{
    if (ch == '\r') {
        c->state = AT_SIZE_LF;
    }
    else if (ch == '\n') {
        refuse(c, RP_H1_E_CHUNK_LINE_END);
    }
    else if (!rp_h1_is_value((rp_span_t){&ch, 1})) {
        refuse(c, RP_H1_E_CHUNK_EXT);
    }
}

/*
 * Without a bound in proportion to the payload, one-byte chunks with long extensions
 * make a backend's response cost thousands of times what it delivers.
 */
static void count_size_line_byte(rp_h1_chunk_t *c)
{
    if (c->state == AT_SIZE_LF || c->state == AT_ERROR) {
        return;
    }
    c->line++;
    if (is_over(c->lim.line_max, c->line)) {
        refuse(c, RP_H1_E_LINE_MAX);
        return;
    }
    if (c->state != AT_EXT) {
        return;
    }
    c->ext_bytes++;
    if (c->lim.head_max != 0 && c->ext_bytes > c->payload &&
        c->ext_bytes - c->payload > c->lim.head_max) {
        refuse(c, RP_H1_E_CHUNK_EXT_MAX);
    }
}

static void end_size_line(rp_h1_chunk_t *c, char ch)
{
    if (ch != '\n') {
        refuse(c, RP_H1_E_CHUNK_LINE_END);
        return;
    }
    c->state = c->size > 0 ? AT_DATA : AT_TRAILER_START;
    c->line = 0;
    c->digits = 0;
}

/* ---- payload ---- */

static void take_payload(rp_h1_chunk_t *c, uint64_t n)
{
    c->size -= n;
    c->payload += n;
    if (c->size == 0) {
        c->state = AT_DATA_CR;
    }
}

static rp_span_t give_payload(rp_h1_chunk_t *c, const char *p, size_t n)
{
    if (n > c->size) {
        n = (size_t)c->size;
    }
    take_payload(c, n);
    return (rp_span_t){p, n};
}

uint64_t rp_h1_chunk_pending(const rp_h1_chunk_t *c)
{
    return c->state == AT_DATA ? c->size : 0;
}

void rp_h1_chunk_skip(rp_h1_chunk_t *c, uint64_t n)
{
    if (n > rp_h1_chunk_pending(c)) {
        refuse(c, RP_H1_E_CHUNK_DATA_END);
    }
    else if (n > 0) {
        take_payload(c, n);
    }
}

static void step_data_end(rp_h1_chunk_t *c, char ch)
{
    if (ch != (c->state == AT_DATA_CR ? '\r' : '\n')) {
        refuse(c, RP_H1_E_CHUNK_DATA_END);
        return;
    }
    c->state = c->state == AT_DATA_CR ? AT_DATA_LF : AT_SIZE_START;
}

/* ---- trailer section: *( token ":" value CRLF ) CRLF ---- */

static void keep_trailer_byte(rp_h1_chunk_t *c, char ch)
{
    if (c->on_trailer == NULL) {
        return;
    }
    if (c->used == c->scratch_size) {
        refuse(c, RP_H1_E_TRAILER_MAX);
        return;
    }
    c->scratch[c->used++] = ch;
}

static void deliver_trailer(rp_h1_chunk_t *c)
{
    size_t value_at = c->name_len + 1;

    if (c->on_trailer == NULL) {
        return;
    }
    while (c->used > value_at && is_blank(c->scratch[c->used - 1])) {
        c->used--;
    }
    keep_trailer_byte(c, '\0');
    if (c->state != AT_ERROR) {
        c->on_trailer(c->ctx, (rp_span_t){c->scratch, c->name_len},
                      (rp_span_t){c->scratch + value_at, c->used - 1 - value_at});
    }
}

static void step_trailer_name(rp_h1_chunk_t *c, char ch)
{
    if (c->state == AT_TRAILER_START) {
        c->used = 0;
        c->line = 0;
        c->trailers++;
        if (is_over(c->lim.fields_max, c->trailers)) {
            refuse(c, RP_H1_E_TRAILER_MAX);
            return;
        }
    }
    else if (ch == ':') {
        c->name_len = c->used;
        c->state = AT_TRAILER_VALUE;
        keep_trailer_byte(c, '\0');
        return;
    }
    if (!rp_h1_is_token((rp_span_t){&ch, 1})) {
        refuse(c, ch == '\n' ? RP_H1_E_CHUNK_LINE_END : RP_H1_E_TRAILER);
        return;
    }
    c->state = AT_TRAILER_NAME;
    keep_trailer_byte(c, ch);
}

static void step_trailer_value(rp_h1_chunk_t *c, char ch)
{
    bool leading = c->used == c->name_len + 1;

    if (ch == '\r') {
        c->state = AT_TRAILER_LF;
    }
    else if (!rp_h1_is_value((rp_span_t){&ch, 1})) {
        refuse(c, ch == '\n' ? RP_H1_E_CHUNK_LINE_END : RP_H1_E_TRAILER);
    }
    else if (!leading || !is_blank(ch)) {
        keep_trailer_byte(c, ch);
    }
}

static void step_trailer_lf(rp_h1_chunk_t *c, char ch)
{
    if (ch != '\n') {
        refuse(c, RP_H1_E_CHUNK_LINE_END);
    }
    else if (c->state == AT_LAST_LF) {
        c->state = AT_END;
    }
    else {
        c->state = AT_TRAILER_START;
        deliver_trailer(c);
    }
}

static bool is_trailer_over(const rp_h1_chunk_t *c)
{
    return is_over(c->lim.head_max, c->trailer_bytes) || is_over(c->lim.line_max, c->line);
}

static void step_trailer(rp_h1_chunk_t *c, char ch)
{
    if (c->state == AT_TRAILER_START && ch == '\r') {
        c->state = AT_LAST_LF;
    }
    else if (c->state == AT_TRAILER_START || c->state == AT_TRAILER_NAME) {
        step_trailer_name(c, ch);
    }
    else if (c->state == AT_TRAILER_VALUE) {
        step_trailer_value(c, ch);
    }
    else {
        step_trailer_lf(c, ch);
    }
    c->trailer_bytes++;
    if (c->state == AT_TRAILER_NAME || c->state == AT_TRAILER_VALUE) {
        c->line++;
    }
    if (c->state != AT_ERROR && is_trailer_over(c)) {
        refuse(c, RP_H1_E_TRAILER_MAX);
    }
}

/* ---- everything ---- */

static void step(rp_h1_chunk_t *c, char ch)
{
    if (c->state == AT_SIZE_LF) {
        end_size_line(c, ch);
    }
    else if (c->state == AT_EXT) {
        step_ext(c, ch);
        count_size_line_byte(c);
    }
    else if (c->state < AT_EXT) {
        step_size(c, ch);
        count_size_line_byte(c);
    }
    else if (c->state < AT_TRAILER_START) {
        step_data_end(c, ch);
    }
    else {
        step_trailer(c, ch);
    }
}

rp_h1_chunk_result_t rp_h1_chunk_next(rp_h1_chunk_t *c, const char *buf, size_t len, size_t *pos,
                                      rp_span_t *data)
{
    while (*pos < len && c->state < AT_END) {
        if (c->state == AT_DATA) {
            *data = give_payload(c, buf + *pos, len - *pos);
            *pos += data->n;
            return RP_H1_CHUNK_DATA;
        }
        step(c, buf[(*pos)++]);
    }
    if (c->state == AT_END) {
        return RP_H1_CHUNK_END;
    }
    return c->state == AT_ERROR ? RP_H1_CHUNK_BAD : RP_H1_CHUNK_MORE;
}
