/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

#include "rp_h1.h"

static rp_h1_error_t read_decimal(rp_span_t digits, uint64_t *number)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < digits.n; i++) {
        unsigned digit = (unsigned char)digits.p[i] - (unsigned)'0';

        if (digit > 9) {
            return RP_H1_E_LENGTH;
        }
        if (sum > ((uint64_t)INT64_MAX - digit) / 10) {
            return RP_H1_E_LENGTH_OVERFLOW;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return digits.n > 0 ? RP_H1_E_NONE : RP_H1_E_LENGTH;
}

/* All lines must say the same number; a list within one line is refused (RFC 9112 6.3). */
static rp_h1_error_t read_content_length(rp_h1_framing_t *f, const rp_h1_head_t *h)
{
    for (unsigned i = rp_h1_field_find(h, "Content-Length", 0); i < h->nfields;
         i = rp_h1_field_find(h, "Content-Length", i + 1)) {
        uint64_t number = 0;
        rp_h1_error_t error = read_decimal(h->fields[i].value, &number);

        if (error != RP_H1_E_NONE) {
            return error;
        }
        if (f->has_length && number != f->length) {
            return RP_H1_E_LENGTH_CONFLICT;
        }
        f->repeated_length = f->has_length;
        f->has_length = true;
        f->length = number;
    }
    return RP_H1_E_NONE;
}

/*
 * Only "chunked" alone can be undone here. RFC 9112 6.3 would read anything else
 * until close, but then the client gets a coded body without its label.
 */
static rp_h1_error_t judge_transfer_coding(const rp_h1_head_t *h)
{
    unsigned codings = 0;
    unsigned chunked = 0;

    for (unsigned i = rp_h1_field_find(h, "Transfer-Encoding", 0); i < h->nfields;
         i = rp_h1_field_find(h, "Transfer-Encoding", i + 1)) {
        rp_span_t list = h->fields[i].value;
        rp_span_t coding;

        while (rp_h1_list_next(&list, &coding)) {
            codings++;
            chunked += rp_h1_span_is(coding, "chunked") ? 1 : 0;
        }
    }
    if (codings != 1 || chunked != 1) {
        return RP_H1_E_CODING;
    }
    return h->minor == 0 ? RP_H1_E_CODING_10 : RP_H1_E_NONE;
}

static bool has_field(const rp_h1_head_t *h, const char *name)
{
    return rp_h1_field_find(h, name, 0) < h->nfields;
}

/*
 * Framing fields in a 1xx or 204 are a mistake (RFC 9110 8.6, RFC 9112 6.1), and a
 * backend that makes it may well send the body too: do not trust the connection.
 */
static void drop_framing_fields(rp_h1_framing_t *f, bool coded)
{
    if (coded || f->length > 0) {
        f->persistent = false;
    }
    f->drop_length = f->drop_length || f->has_length;
    f->has_length = false;
    f->length = 0;
}

static rp_h1_body_t choose_body(const rp_h1_framing_t *f, bool coded)
{
    if (coded) {
        return RP_H1_BODY_CHUNKED;
    }
    return f->has_length ? RP_H1_BODY_LENGTH : RP_H1_BODY_UNTIL_CLOSE;
}

rp_h1_result_t rp_h1_framing(rp_h1_framing_t *f, const rp_h1_head_t *h, bool request_was_head)
{
    bool never_framed = h->status < 200 || h->status == 204;
    bool bodyless = never_framed || request_was_head || h->status == 304;
    bool coded = has_field(h, "Transfer-Encoding");

    *f = (rp_h1_framing_t){.body = RP_H1_BODY_NONE};
    f->persistent = h->minor > 0 && !rp_h1_head_has_token(h, "Connection", "close");
    if (coded) {
        f->error = bodyless ? RP_H1_E_NONE : judge_transfer_coding(h);
        f->drop_length = has_field(h, "Content-Length");
        f->persistent = f->persistent && !f->drop_length;
    }
    else {
        f->error = read_content_length(f, h);
    }
    if (f->error != RP_H1_E_NONE) {
        f->persistent = false;
        return RP_H1_BAD;
    }
    if (never_framed) {
        drop_framing_fields(f, coded);
    }
    if (!bodyless) {
        f->body = choose_body(f, coded);
        f->persistent = f->persistent && f->body != RP_H1_BODY_UNTIL_CLOSE;
    }
    return RP_H1_OK;
}
