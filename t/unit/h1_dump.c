/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Prints what rp_h1 makes of whole responses, for comparison with another parser.
 * Input, repeated: a line with the number of bytes, then the bytes that a backend
 * sent before it closed the connection. Output: one JSON object per response. Byte
 * strings are in hex. Interim responses are passed over.
 */

#include <stdio.h>
#include <stdlib.h>

#include "../../src/rp_h1_head.c"

#include "../../src/rp_h1_framing.c"

#include "../../src/rp_h1_chunk.c"

enum { CAP = 4096 };

static const rp_h1_limits_t LIMITS = {0, 0, CAP, RP_H1_BADHEADER_ERROR};
static rp_h1_field_t fields[CAP];

static void print_hex(const char *p, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        printf("%02x", (unsigned char)p[i]);
    }
    putchar('"');
}

static void print_error(rp_h1_error_t error)
{
    printf("{\"ok\":false,\"error\":\"%s\"}\n", rp_h1_error_text(error));
}

static void print_head(const rp_h1_head_t *h)
{
    printf("{\"ok\":true,\"minor\":%d,\"status\":%d,\"reason_unfit\":%s,\"reason\":", h->minor,
           h->status, h->reason_unfit ? "true" : "false");
    print_hex(h->reason.p, h->reason.n);
    printf(",\"fields\":[");
    for (unsigned i = 0; i < h->nfields; i++) {
        printf("%s", i > 0 ? "," : "");
        print_hex(h->fields[i].name.p, h->fields[i].name.n);
        putchar(',');
        print_hex(h->fields[i].value.p, h->fields[i].value.n);
    }
    printf("]");
}

/* Decodes in place; *n becomes the payload's size. Returns whether the end was reached. */
static bool decode_chunked(char *body, size_t *n, size_t *rest)
{
    rp_h1_chunk_t c;
    rp_h1_chunk_result_t r;
    size_t payload = 0;
    size_t pos = 0;
    rp_span_t data;

    rp_h1_chunk_init(&c, &LIMITS);
    while ((r = rp_h1_chunk_next(&c, body, *n, &pos, &data)) == RP_H1_CHUNK_DATA) {
        memmove(body + payload, data.p, data.n);
        payload += data.n;
    }
    *rest = *n - pos;
    *n = payload;
    return r == RP_H1_CHUNK_END;
}

static void print_body(const rp_h1_framing_t *f, char *body, size_t n)
{
    static const char *const kinds[] = {"none", "length", "chunked", "until-close"};
    bool complete = true;
    size_t rest = 0; /* bytes behind the message */

    if (f->body == RP_H1_BODY_CHUNKED) {
        complete = decode_chunked(body, &n, &rest);
    }
    else if (f->body != RP_H1_BODY_UNTIL_CLOSE) {
        uint64_t length = f->body == RP_H1_BODY_LENGTH ? f->length : 0;
        complete = n >= length;
        rest = complete ? n - (size_t)length : 0;
        n -= rest;
    }
    printf(",\"framing\":\"%s\",\"complete\":%s,\"rest\":%zu,\"body\":", kinds[f->body],
           complete ? "true" : "false", rest);
    print_hex(body, n);
    printf("}\n");
}

/* Returns the length of an interim head that was passed over, else 0. */
static size_t dump_message(char *buf, size_t n)
{
    rp_h1_scan_t s = {0};
    rp_h1_head_t h = {.fields = fields, .cap = CAP};
    rp_h1_framing_t f;
    size_t head_len = 0;

    if (rp_h1_head_scan(&s, buf, n, &LIMITS, &head_len) != RP_H1_OK) {
        rp_h1_head_scan_eof(&s, buf, n, &LIMITS, &head_len);
        print_error(s.error);
        return 0;
    }
    if (rp_h1_head_parse(&h, buf, head_len, &LIMITS) != RP_H1_OK) {
        print_error(h.error);
        return 0;
    }
    if (h.status < 200 && h.status != 101) {
        return h.body_at;
    }
    if (rp_h1_framing(&f, &h, false) != RP_H1_OK) {
        print_error(f.error);
        return 0;
    }
    print_head(&h);
    print_body(&f, buf + h.body_at, n - h.body_at);
    return 0;
}

static void dump_response(char *buf, size_t n)
{
    size_t at = 0;
    size_t step;

    while ((step = dump_message(buf + at, n - at)) > 0) {
        at += step;
    }
}

int main(void)
{
    char line[32];

    while (fgets(line, sizeof(line), stdin) != NULL) {
        size_t n = (size_t)strtoul(line, NULL, 10);
        char *buf = malloc(n + 1);
        if (buf == NULL || fread(buf, 1, n, stdin) != n) {
            fprintf(stderr, "h1_dump: input ends inside a response\n");
            return 1;
        }
        dump_response(buf, n);
        free(buf);
    }
    return 0;
}
