/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: our response parser beside a second one, http_parser (which node had before llhttp).
 * Where both take a response they must see the same status, body and end in it; what we take and
 * it refuses must be one of the cases of is_excused(). The input is all that a backend sends; it is read as
 * the answer to GET and to HEAD.
 * Build: clang -fsanitize=fuzzer,address,undefined -Isrc t/fuzz/h1_second_fuzz.c -lhttp_parser
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <http_parser.h>

#include "../../src/rp_h1_head.c"

#include "../../src/rp_h1_framing.c"

#include "../../src/rp_h1_chunk.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* How one parser reads the input. */
typedef struct {
    enum { REFUSED, HEAD_ONLY, WHOLE } got; /* HEAD_ONLY: the final head, not the end of the body */
    bool is_broken;                         /* a fault was seen in the body */
    int status;
    size_t end; /* offset behind the message, with WHOLE */
    size_t body;
    uint64_t hash; /* of the body */
    unsigned interims;
    bool is_excused;   /* ours: the second parser may refuse this */
    bool is_trailer_excused; /* ours: it may refuse the trailers */
    bool is_apart;     /* ours: see is_apart() */
} reading_t;

static void add_to_body(reading_t *r, const char *p, size_t n)
{
    r->body += n;
    for (size_t i = 0; i < n; i++) {
        r->hash = (r->hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    }
}

/* ---- ours ---- */

static const rp_h1_limits_t limits = {0, 0, 0, RP_H1_BADHEADER_ERROR};

typedef struct {
    rp_h1_head_t head;
    rp_h1_framing_t framing;
} message_t;

/* Where we take on purpose what the second parser refuses. */
static bool is_excused(const message_t *m, const char *head, size_t len)
{
    unsigned length = rp_h1_field_find(&m->head, "Content-Length", 0);
    bool has_length = length < m->head.nfields;
    bool has_coding = rp_h1_field_find(&m->head, "Transfer-Encoding", 0) < m->head.nfields;
    unsigned lines = 0;

    for (size_t i = 1; i + 1 < len; i++) {
        lines += head[i - 1] == '\n' && head[i] != ' ' && head[i] != '\t' && head[i] != '\r' && head[i] != '\n';
    }
    return (has_length && has_coding)            /* RFC 9112 6.3: Transfer-Encoding overrides */
           || m->framing.repeated_length         /* RFC 9110 8.6: equal lengths are one */
           || (m->framing.body == RP_H1_BODY_NONE && (has_length || has_coding)) /* they do not matter then */
           || lines > m->head.nfields;           /* mod_proxy: a second status line is dropped */
}

/* ", chunked", "chunked,", "a,,chunked" */
static bool has_empty_element(rp_span_t list)
{
    bool is_empty = true;

    for (size_t i = 0; i < list.n; i++) {
        if (list.p[i] == ',' && is_empty) {
            return true;
        }
        is_empty = list.p[i] == ',' || (is_empty && list.p[i] == ' ');
    }
    return is_empty;
}

static bool has_empty_coding(const rp_h1_head_t *head)
{
    unsigned i = rp_h1_field_find(head, "Transfer-Encoding", 0);

    while (i < head->nfields && !has_empty_element(head->fields[i].value)) {
        i = rp_h1_field_find(head, "Transfer-Encoding", i + 1);
    }
    return i < head->nfields;
}

static bool has_longer_name(const rp_h1_head_t *head)
{
    for (unsigned i = 0; i < head->nfields; i++) {
        if (head->fields[i].name.n > 17 && !strncasecmp(head->fields[i].name.p, "Transfer-Encoding", 17)) {
            return true;
        }
    }
    return false;
}

static bool has_folded_coding(const char *head, size_t n)
{
    bool is_coding = false;

    for (size_t i = 0; i < n;) {
        const char *lf = memchr(head + i, '\n', n - i);

        if (head[i] == ' ' && is_coding) {
            return true;
        }
        is_coding = n - i > 17 && !strncasecmp(head + i, "Transfer-Encoding", 17);
        i = lf ? (size_t)(lf - head) + 1 : n;
    }
    return false;
}

/* Where the second parser is known to see something else: it ends a line at a bare CR in a reason,
 * does not cut a tab off a coding or a length (RFC 9112 5.1 says OWS), takes an empty element
 * of Transfer-Encoding for a coding (RFC 9110 5.6.1.2 has it ignored), does not know a coding again that a line
 * of spaces follows (RFC 9112 5.2: a fold is a space), and takes a field whose longer name begins with
 * Transfer-Encoding for that one (RFC 9110 5.1: a name is a whole token). */
static bool is_apart(const message_t *m, const char *head)
{
    return m->head.reason_unfit || memchr(head, '\t', m->head.body_at) || has_empty_coding(&m->head) ||
           has_folded_coding(head, m->head.body_at) || has_longer_name(&m->head);
}

/* false: no head that we take. */
static bool read_head(message_t *m, char *buf, size_t size, bool was_head)
{
    rp_h1_scan_t scan = {0};
    size_t len = 0;

    if (rp_h1_head_scan(&scan, buf, size, &limits, &len) != RP_H1_OK) {
        return false;
    }
    m->head = (rp_h1_head_t){.cap = scan.fields};
    m->head.fields = malloc((scan.fields + 1) * sizeof(*m->head.fields));
    return rp_h1_head_parse(&m->head, buf, len, &limits) == RP_H1_OK &&
           rp_h1_framing(&m->framing, &m->head, was_head) == RP_H1_OK;
}

/* It takes a length or coding among the trailers for framing; RFC 9110 6.5.1 has us drop them. */
static void look_at_trailer(void *ctx, rp_span_t name, rp_span_t value)
{
    reading_t *r = ctx;

    (void)value;
    r->is_trailer_excused |= !strncasecmp(name.p, "Transfer-Encoding", 17) || !strcasecmp(name.p, "Content-Length");
}

static void read_chunked(reading_t *r, const char *buf, size_t size, size_t at)
{
    rp_h1_chunk_t c;
    rp_h1_chunk_result_t result;
    rp_span_t data;
    char *scratch = malloc(size + 2);

    rp_h1_chunk_init(&c, &limits);
    rp_h1_chunk_on_trailer(&c, look_at_trailer, r, scratch, size + 2);
    while ((result = rp_h1_chunk_next(&c, buf, size, &at, &data)) == RP_H1_CHUNK_DATA) {
        add_to_body(r, data.p, data.n);
    }
    free(scratch);
    r->is_broken = result == RP_H1_CHUNK_BAD;
    if (result == RP_H1_CHUNK_END) {
        r->got = WHOLE;
        r->end = at;
    }
}

static void read_body(reading_t *r, const message_t *m, const char *buf, size_t size, size_t at)
{
    uint64_t n = m->framing.body == RP_H1_BODY_LENGTH ? m->framing.length : 0;

    r->got = HEAD_ONLY;
    if (m->framing.body == RP_H1_BODY_CHUNKED) {
        read_chunked(r, buf, size, at);
        return;
    }
    if (m->framing.body == RP_H1_BODY_UNTIL_CLOSE) {
        n = size - at;
    }
    if (n <= size - at) {
        r->got = WHOLE;
        r->end = at + (size_t)n;
    }
    add_to_body(r, buf + at, n < size - at ? (size_t)n : size - at);
}

static reading_t read_ours(const uint8_t *bytes, size_t size, bool was_head)
{
    reading_t r = {0};
    char *buf = malloc(size + 1);
    size_t at = 0;

    memcpy(buf, bytes, size);
    for (;;) {
        message_t m = {0};
        bool is_good = read_head(&m, buf + at, size - at, was_head);

        r.is_excused |= is_good && is_excused(&m, (const char *)bytes + at, m.head.body_at);
        r.is_apart |= is_good && is_apart(&m, (const char *)bytes + at);
        at += is_good ? m.head.body_at : 0;
        if (is_good && (m.head.status >= 200 || m.head.status == 101)) {
            r.status = m.head.status;
            read_body(&r, &m, buf, size, at);
        }
        free(m.head.fields);
        if (!is_good || r.status) {
            break;
        }
        r.interims++;
    }
    free(buf);
    return r;
}

/* ---- theirs ---- */

typedef struct {
    reading_t *reading;
    bool was_head;
} context_t;

static int on_head(http_parser *p)
{
    context_t *c = p->data;

    if (p->status_code < 200 && p->status_code != 101) {
        c->reading->interims++;
        return 1; /* RFC 9112 6.3: it would read a body of a 1xx with Transfer-Encoding */
    }
    c->reading->got = HEAD_ONLY;
    c->reading->status = (int)p->status_code;
    /* RFC 9112 6.3: it would read a body of 204 and 304. */
    return c->was_head || p->status_code == 204 || p->status_code == 304;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    context_t *c = p->data;

    add_to_body(c->reading, at, n);
    return 0;
}

static int on_end(http_parser *p)
{
    context_t *c = p->data;

    if (c->reading->got == HEAD_ONLY) {
        c->reading->got = WHOLE;
        http_parser_pause(p, 1);
    }
    return 0;
}

static reading_t read_theirs(const uint8_t *bytes, size_t size, bool was_head)
{
    static const http_parser_settings settings = {
        .on_headers_complete = on_head, .on_body = on_body, .on_message_complete = on_end};
    reading_t r = {0};
    context_t c = {&r, was_head};
    http_parser p;

    http_parser_init(&p, HTTP_RESPONSE);
    p.data = &c;
    http_parser_set_max_header_size(1 << 30);
    r.end = http_parser_execute(&p, &settings, (const char *)bytes, size);
    if (HTTP_PARSER_ERRNO(&p) == HPE_OK && r.got == HEAD_ONLY) {
        http_parser_execute(&p, &settings, NULL, 0);
    }
    r.is_broken = r.got != WHOLE && HTTP_PARSER_ERRNO(&p) != HPE_OK;
    return r;
}

/* ---- comparison ---- */

static bool is_same(const reading_t *a, const reading_t *b)
{
    if (b->got == REFUSED && b->is_broken && a->is_excused) {
        return true;
    }
    if (a->status != b->status || a->interims != b->interims) {
        return false;
    }
    if (b->is_broken && a->is_trailer_excused) {
        return a->body == b->body && a->hash == b->hash;
    }
    if (a->got == WHOLE && b->got == WHOLE) {
        return a->end == b->end && a->body == b->body && a->hash == b->hash;
    }
    /* A fault that only one of them sees is no other reading: ours ends the exchange. */
    return a->got == b->got || a->is_broken;
}

static void fail(const char *what, const reading_t *a, const reading_t *b)
{
    fprintf(stderr, "%s\n", what);
    for (int i = 0; i < 2; i++) {
        const reading_t *r = i ? b : a;

        fprintf(stderr, "%s: got %d broken %d status %d end %zu body %zu interims %u\n",
                i ? "theirs" : "ours", (int)r->got, r->is_broken, r->status, r->end, r->body, r->interims);
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (int was_head = 0; was_head < 2; was_head++) {
        reading_t ours = read_ours(bytes, size, was_head);
        reading_t theirs;

        if (ours.got == REFUSED || ours.status == 101 || ours.is_apart) {
            continue;
        }
        theirs = read_theirs(bytes, size, was_head);
        if (!is_same(&ours, &theirs)) {
            fail("different", &ours, &theirs);
        }
    }
    return 0;
}
