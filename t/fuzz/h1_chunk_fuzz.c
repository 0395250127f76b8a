/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: the chunked decoder. The input is a chunked body and what follows
 * it. Any split, and payload moved past the decoder, must give the same outcome.
 * Build: clang -fsanitize=fuzzer,address,undefined -Isrc t/fuzz/h1_chunk_fuzz.c
 */

#include <string.h>

#include "must.h"

#include "../../src/rp_h1_head.c"

#include "../../src/rp_h1_chunk.c"

enum { SCRATCH_SIZE = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/** All that a caller can see of one run. */
typedef struct {
    rp_h1_chunk_result_t result;
    rp_h1_error_t error;
    uint64_t payload;
    uint64_t hash; /* of payload and trailers */
    size_t consumed;
    unsigned trailers;
} outcome_t;

static void add_to_hash(uint64_t *hash, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        *hash = (*hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    }
}

static void count_trailer(void *ctx, rp_span_t name, rp_span_t value)
{
    outcome_t *o = ctx;

    MUST(rp_h1_is_token(name) && rp_h1_is_value(value));
    MUST(strlen(name.p) == name.n && strlen(value.p) == value.n);
    MUST(name.n + value.n + 2 <= SCRATCH_SIZE);
    MUST(value.n == 0 || (!is_blank(value.p[0]) && !is_blank(value.p[value.n - 1])));
    o->trailers++;
    add_to_hash(&o->hash, name.p, name.n + 1);
    add_to_hash(&o->hash, value.p, value.n + 1);
}

/* Decodes one buffer that ends where its allocation ends. */
static void feed(rp_h1_chunk_t *c, outcome_t *o, const uint8_t *bytes, size_t n)
{
    char *buf = malloc(n);
    size_t pos = 0;
    rp_span_t data;

    MUST(buf != NULL);
    memcpy(buf, bytes, n);
    while ((o->result = rp_h1_chunk_next(c, buf, n, &pos, &data)) == RP_H1_CHUNK_DATA) {
        MUST(data.n > 0 && data.p >= buf && data.p + data.n == buf + pos && pos <= n);
        o->payload += data.n;
        add_to_hash(&o->hash, data.p, data.n);
    }
    MUST(o->result != RP_H1_CHUNK_MORE || pos == n);
    o->consumed += pos;
    free(buf);
}

/* Takes payload away from under the decoder, as splice does. */
static size_t skip(rp_h1_chunk_t *c, outcome_t *o, const uint8_t *bytes, size_t left)
{
    uint64_t pending = rp_h1_chunk_pending(c);
    size_t n = pending < left ? (size_t)pending : left;

    rp_h1_chunk_skip(c, n);
    o->payload += n;
    o->consumed += n;
    add_to_hash(&o->hash, (const char *)bytes, n);
    return n;
}

static outcome_t decode(const uint8_t *bytes, size_t size, size_t step, bool skipping,
                        const rp_h1_limits_t *lim)
{
    rp_h1_chunk_t c;
    outcome_t o = {.result = RP_H1_CHUNK_MORE};
    char scratch[SCRATCH_SIZE];

    rp_h1_chunk_init(&c, lim);
    rp_h1_chunk_on_trailer(&c, count_trailer, &o, scratch, sizeof(scratch));
    for (size_t at = 0; at < size && o.result == RP_H1_CHUNK_MORE;) {
        size_t n;
        if (skipping) {
            at += skip(&c, &o, bytes + at, size - at);
        }
        n = size - at < step ? size - at : step;
        if (n > 0) {
            feed(&c, &o, bytes + at, n);
        }
        at += n;
    }
    o.error = c.error;
    MUST((o.error != RP_H1_E_NONE) == (o.result == RP_H1_CHUNK_BAD));
    MUST(o.payload == c.payload);
    return o;
}

static void must_be_same(const outcome_t *a, const outcome_t *b)
{
    MUST(a->result == b->result && a->error == b->error && a->consumed == b->consumed);
    MUST(a->payload == b->payload && a->hash == b->hash && a->trailers == b->trailers);
}

static void run(const uint8_t *bytes, size_t size, const rp_h1_limits_t *lim)
{
    outcome_t whole = decode(bytes, size, size, false, lim);
    outcome_t bytewise = decode(bytes, size, 1, false, lim);
    outcome_t pieces = decode(bytes, size, 5, false, lim);
    outcome_t spliced = decode(bytes, size, 1, true, lim);

    must_be_same(&whole, &bytewise);
    must_be_same(&whole, &pieces);
    must_be_same(&whole, &spliced);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const rp_h1_limits_t limits[] = {
        {0, 0, 0, RP_H1_BADHEADER_ERROR},
        {20, 50, 2, RP_H1_BADHEADER_ERROR},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        run(bytes, size, &limits[i]);
    }
    return 0;
}
