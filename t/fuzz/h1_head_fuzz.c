/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: response heads. The input is what a backend sends. Any split of it
 * must give the same verdict, and an accepted head must keep rp_h1.h's promises.
 * Build: clang -fsanitize=fuzzer,address,undefined -Isrc t/fuzz/h1_head_fuzz.c
 */

#include <string.h>

#include "must.h"

#include "../../src/rp_h1_head.c"

#include "../../src/rp_h1_framing.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_span(rp_span_t span, const char *buf, size_t len)
{
    MUST(span.p >= buf && span.p + span.n < buf + len);
    MUST(span.p[span.n] == '\0' && strlen(span.p) == span.n);
    MUST(rp_h1_is_value(span));
}

static void check_lists(rp_span_t value)
{
    rp_span_t list = value;
    rp_span_t element;

    while (rp_h1_list_next(&list, &element)) {
        MUST(element.n > 0 && memchr(element.p, ',', element.n) == NULL);
        MUST(element.p >= value.p && element.p + element.n <= value.p + value.n);
    }
    MUST(list.n == 0);
}

static void check_framing(const rp_h1_head_t *h, bool request_was_head)
{
    rp_h1_framing_t f;

    if (rp_h1_framing(&f, h, request_was_head) == RP_H1_BAD) {
        MUST(f.error != RP_H1_E_NONE && !f.persistent);
        return;
    }
    MUST(f.error == RP_H1_E_NONE);
    MUST(f.body != RP_H1_BODY_LENGTH || f.has_length);
    MUST(f.body != RP_H1_BODY_UNTIL_CLOSE || !f.persistent);
    MUST(!f.drop_length || !f.has_length);
    MUST(f.length <= INT64_MAX && h->minor + !f.persistent > 0);
    MUST(!request_was_head || f.body == RP_H1_BODY_NONE);
}

static void check_head(const rp_h1_head_t *h, const char *buf, size_t len)
{
    MUST(h->minor >= 0 && h->minor <= 9 && h->status >= 100 && h->status <= 999);
    MUST(h->body_at == len && h->nfields <= h->cap);
    if (h->reason_unfit) {
        MUST(h->reason.n == 0);
    }
    else {
        check_span(h->reason, buf, len);
    }
    for (unsigned i = 0; i < h->nfields; i++) {
        check_span(h->fields[i].name, buf, len);
        check_span(h->fields[i].value, buf, len);
        MUST(rp_h1_is_token(h->fields[i].name));
        check_lists(h->fields[i].value);
    }
    check_framing(h, false);
    check_framing(h, true);
}

static void parse(const uint8_t *bytes, size_t len, unsigned cap, const rp_h1_limits_t *lim)
{
    rp_h1_head_t h = {.cap = cap};
    char *buf = malloc(len);

    h.fields = malloc((cap + 1) * sizeof(*h.fields));
    MUST(buf != NULL && h.fields != NULL);
    memcpy(buf, bytes, len);
    if (rp_h1_head_parse(&h, buf, len, lim) == RP_H1_OK) {
        check_head(&h, buf, len);
    }
    else {
        MUST(h.error != RP_H1_E_NONE && h.error != RP_H1_E_FIELDS_MAX && h.error_at <= len);
        MUST(h.error != RP_H1_E_TRUNCATED);
    }
    free(h.fields);
    free(buf);
}

/* Feeds at most step new bytes per call. */
static rp_h1_result_t scan(rp_h1_scan_t *s, const uint8_t *bytes, size_t size, size_t step,
                           const rp_h1_limits_t *lim, size_t *head_len)
{
    rp_h1_result_t result = RP_H1_MORE;

    *s = (rp_h1_scan_t){0};
    for (size_t len = 0; result == RP_H1_MORE && len < size;) {
        len = size - len < step ? size : len + step;
        result = rp_h1_head_scan(s, (const char *)bytes, len, lim, head_len);
    }
    return result;
}

static void run(const uint8_t *bytes, size_t size, const rp_h1_limits_t *lim)
{
    rp_h1_scan_t whole;
    rp_h1_scan_t split;
    size_t whole_len = 0;
    size_t split_len = 0;
    rp_h1_result_t result = scan(&whole, bytes, size, size, lim, &whole_len);

    MUST(scan(&split, bytes, size, 1, lim, &split_len) == result && split_len == whole_len);
    MUST(scan(&split, bytes, size, 7, lim, &split_len) == result && split_len == whole_len);
    MUST((result == RP_H1_BAD) == (whole.error != RP_H1_E_NONE));
    if (result == RP_H1_MORE) {
        result = rp_h1_head_scan_eof(&whole, (const char *)bytes, size, lim, &whole_len);
        MUST(result != RP_H1_MORE);
    }
    if (result == RP_H1_OK) {
        MUST(whole_len > 0 && whole_len <= size);
        parse(bytes, whole_len, whole.fields, lim);
    }
}

/* Heads that no scan has approved must not be dangerous either. */
static void parse_unscanned(const uint8_t *bytes, size_t size, const rp_h1_limits_t *lim)
{
    rp_h1_field_t fields[3];
    rp_h1_head_t h = {.fields = fields, .cap = 3};
    char *buf = malloc(size + 1);

    MUST(buf != NULL);
    memcpy(buf, bytes, size);
    if (rp_h1_head_parse(&h, buf, size, lim) == RP_H1_OK) {
        MUST(h.body_at <= size);
        check_head(&h, buf, h.body_at);
        MUST(memcmp(buf + h.body_at, bytes + h.body_at, size - h.body_at) == 0);
    }
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const rp_h1_limits_t limits[] = {
        {0, 0, 0, RP_H1_BADHEADER_ERROR},       {0, 0, 0, RP_H1_BADHEADER_IGNORE},
        {0, 0, 0, RP_H1_BADHEADER_STARTBODY},   {24, 80, 4, RP_H1_BADHEADER_ERROR},
        {24, 60, 4, RP_H1_BADHEADER_STARTBODY},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        run(bytes, size, &limits[i]);
        parse_unscanned(bytes, size, &limits[i]);
    }
    return 0;
}
