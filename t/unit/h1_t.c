/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/* Unit tests of rp_h1: prints TAP. Build: cc -std=c11 -Isrc t/unit/h1_t.c */

#include "../../src/rp_h1_head.c"

#include "../../src/rp_h1_framing.c"

#include "../../src/rp_h1_chunk.c"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int tests;
static int failures;

__attribute__((format(printf, 2, 3))) static void ok(bool good, const char *format, ...)
{
    va_list args;

    printf("%sok %d - ", good ? "" : "not ", ++tests);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    failures += good ? 0 : 1;
}

static const rp_h1_limits_t LIMITS = {8192, 65536, 200, RP_H1_BADHEADER_ERROR};

#define TEXT(s) s, sizeof(s) - 1

enum { CAP = 32, BUF_SIZE = 4096 };

/** A head parsed from a copy that is exactly as long as the text. */
typedef struct {
    char *buf;
    rp_h1_field_t fields[CAP];
    rp_h1_head_t h;
    size_t head_len;
    rp_h1_error_t error;
    size_t error_at;
} parsed_t;

static rp_h1_result_t scan_bytewise(rp_h1_scan_t *s, const char *text, size_t n,
                                    const rp_h1_limits_t *lim, size_t *head_len)
{
    rp_h1_result_t result = RP_H1_MORE;

    *s = (rp_h1_scan_t){0};
    for (size_t len = 1; len <= n && result == RP_H1_MORE; len++) {
        result = rp_h1_head_scan(s, text, len, lim, head_len);
    }
    return result;
}

/* Scan, then parse. The caller frees p->buf. */
static rp_h1_result_t read_head(parsed_t *p, const char *text, size_t n, const rp_h1_limits_t *lim)
{
    rp_h1_scan_t s;
    rp_h1_result_t result;

    memset(p, 0, sizeof(*p));
    result = scan_bytewise(&s, text, n, lim, &p->head_len);
    p->error = s.error;
    p->error_at = s.error_at;
    if (result != RP_H1_OK) {
        return result;
    }
    p->buf = malloc(p->head_len);
    if (p->buf == NULL) {
        abort();
    }
    memcpy(p->buf, text, p->head_len);
    p->h.fields = p->fields;
    p->h.cap = CAP;
    result = rp_h1_head_parse(&p->h, p->buf, p->head_len, lim);
    p->error = p->h.error;
    p->error_at = p->h.error_at;
    return result;
}

/* ---- status line ---- */

static void test_good_status_lines(void)
{
    static const struct {
        const char *text;
        int minor;
        int status;
        const char *reason;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 1, 200, "OK"},
        {"HTTP/1.0 404 Nope, not here\r\n\r\n", 0, 404, "Nope, not here"},
        {"HTTP/1.1 200\r\n\r\n", 1, 200, ""},
        {"HTTP/1.1 200 \r\n\r\n", 1, 200, ""},
        {"HTTP/1.2 299 Foo\n\n", 2, 299, "Foo"},
        {"HTTP/1.9 100 Go\r\n\n", 9, 100, "Go"},
        {"\r\nHTTP/1.1 799 Odd\r\n\r\n", 1, 799, "Odd"},
        {"\nHTTP/1.1 999 \t\xe9\r\n\r\n", 1, 999, "\t\xe9"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parsed_t p;
        rp_h1_result_t r = read_head(&p, cases[i].text, strlen(cases[i].text), &LIMITS);
        ok(r == RP_H1_OK && p.h.minor == cases[i].minor && p.h.status == cases[i].status &&
               strcmp(p.h.reason.p, cases[i].reason) == 0 && !p.h.reason_unfit &&
               p.head_len == strlen(cases[i].text) && p.h.body_at == p.head_len,
           "status line %zu: %d '%s'", i, cases[i].status, cases[i].reason);
        free(p.buf);
    }
}

static void test_unfit_reasons(void)
{
    static const struct {
        const char *text;
        size_t n;
        const char *what;
    } cases[] = {
        {TEXT("HTTP/1.1 200 O\0K\r\n\r\n"), "NUL"},
        {TEXT("HTTP/1.1 200 O\vK\r\n\r\n"), "VT"},
        {TEXT("HTTP/1.1 200 OK\rSet-Cookie: a=1\r\n\r\n"), "bare CR"},
        {TEXT("HTTP/1.1 200 \033[31m\r\n\r\n"), "ESC"},
        {TEXT("HTTP/1.1 200 OK\x7f\r\n\r\n"), "DEL"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parsed_t p;
        rp_h1_result_t r = read_head(&p, cases[i].text, cases[i].n, &LIMITS);
        ok(r == RP_H1_OK && p.h.reason_unfit && p.h.reason.n == 0 && p.h.reason.p[0] == '\0' &&
               p.h.nfields == 0,
           "reason with %s is given as empty", cases[i].what);
        free(p.buf);
    }
}

/** Heads that must be refused, and where: after how many bytes it must be known. */
typedef struct {
    const char *text;
    size_t n;
    rp_h1_error_t error;
    size_t known_at;
    const char *what;
} bad_start_t;

static void test_bad_starts(void)
{
    static const bad_start_t cases[] = {
        {TEXT("<html>hi</html>"), RP_H1_E_NOT_HTTP, 1, "HTTP/0.9"},
        {TEXT("HTTX/1.1 200 OK\r\n"), RP_H1_E_NOT_HTTP, 4, "HTTX"},
        {TEXT("HTTP 200 OK\r\n"), RP_H1_E_NOT_HTTP, 5, "no version"},
        {TEXT("200 OK\r\n"), RP_H1_E_NOT_HTTP, 1, "bare status"},
        {TEXT("http/1.1 200 OK\r\n"), RP_H1_E_NOT_HTTP, 1, "lower case"},
        {TEXT("HTT\r\n"), RP_H1_E_NOT_HTTP, 4, "line ends in the name"},
        {TEXT(" HTTP/1.1 200 OK\r\n"), RP_H1_E_NOT_HTTP, 1, "leading space"},
        {TEXT("\rHTTP/1.1 200 OK\r\n"), RP_H1_E_NOT_HTTP, 2, "leading CR"},
        {TEXT("\0HTTP/1.1 200 OK\r\n"), RP_H1_E_NOT_HTTP, 1, "leading NUL"},
        {TEXT("HTTP/2.0 200 OK\r\n"), RP_H1_E_VERSION, 6, "major version 2"},
        {TEXT("HTTP/0.9 200 OK\r\n"), RP_H1_E_VERSION, 6, "major version 0"},
        {TEXT("HTTP/1,1 200 OK\r\n"), RP_H1_E_VERSION, 7, "comma in the version"},
        {TEXT("HTTP/1.x 200 OK\r\n"), RP_H1_E_VERSION, 8, "letter as minor"},
        {TEXT("HTTP/1.12 200 OK\r\n"), RP_H1_E_VERSION, 9, "two minor digits"},
        {TEXT("HTTP/1.1\t200 OK\r\n"), RP_H1_E_VERSION, 9, "tab"},
        {TEXT("HTTP/1.1  200 OK\r\n"), RP_H1_E_STATUS, 10, "two spaces"},
        {TEXT("HTTP/1.1 20 OK\r\n"), RP_H1_E_STATUS, 12, "two digits"},
        {TEXT("HTTP/1.1 20\r\n"), RP_H1_E_STATUS, 12, "two digits, no reason"},
        {TEXT("HTTP/1.1 2000 OK\r\n"), RP_H1_E_STATUS, 13, "four digits"},
        {TEXT("HTTP/1.1 4294967496 OK\r\n"), RP_H1_E_STATUS, 13, "ten digits"},
        {TEXT("HTTP/1.1 099 OK\r\n"), RP_H1_E_STATUS, 10, "099"},
        {TEXT("HTTP/1.1 abc OK\r\n"), RP_H1_E_STATUS, 10, "letters"},
        {TEXT("HTTP/1.1 0xC8 OK\r\n"), RP_H1_E_STATUS, 10, "hex"},
        {TEXT("HTTP/1.1 200x OK\r\n"), RP_H1_E_STATUS, 13, "junk behind"},
        {TEXT("HTTP/1.1 200\tOK\r\n"), RP_H1_E_STATUS, 13, "tab behind"},
        {TEXT("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), RP_H1_E_BLANK_LINES, 4, "two empty lines"},
        {TEXT("HTTP/1.1 200 OK\r\n X: y\r\n\r\n"), RP_H1_E_FOLD, 24, "fold first"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bad_start_t *b = &cases[i];
        rp_h1_scan_t s = {0};
        size_t head_len;
        size_t at = 0;
        while (at < b->n &&
               rp_h1_head_scan(&s, b->text, at + 1, &LIMITS, &head_len) == RP_H1_MORE) {
            at++;
        }
        /* Up to two bytes later is fine where a line end has to be seen first. */
        ok(at < b->n && s.error == b->error && at + 1 >= b->known_at && at <= b->known_at + 1,
           "refused at once: %s (error %d after %zu)", b->what, (int)s.error, at + 1);
    }
}

/* ---- fields ---- */

static bool field_is(const parsed_t *p, unsigned i, const char *name, const char *value)
{
    return i < p->h.nfields && strcmp(p->fields[i].name.p, name) == 0 &&
           strlen(name) == p->fields[i].name.n && strcmp(p->fields[i].value.p, value) == 0 &&
           strlen(value) == p->fields[i].value.n;
}

static void test_good_fields(void)
{
    static const struct {
        const char *line;
        const char *name;
        const char *value;
    } cases[] = {
        {"X-A: b\r\n", "X-A", "b"},
        {"X-A:\r\n", "X-A", ""},
        {"X-A: \t \r\n", "X-A", ""},
        {"X-A: \t b c \t \r\n", "X-A", "b c"},
        {"X-A:b:c::d\r\n", "X-A", "b:c::d"},
        {"!#$%&'*+-.^_`|~09azAZ: x\n", "!#$%&'*+-.^_`|~09azAZ", "x"},
        {"X-A: b\r\n c\r\n", "X-A", "b c"},
        {"X-A: b\r\n\tc\r\n", "X-A", "b\tc"},
        {"X-A: b \n  c\n d\n", "X-A", "b   c d"},
        {"X-A:\r\n \r\n \t\r\n b\r\n", "X-A", "b"},
        {"X-A: b\r\n X-Injected: 1\r\n", "X-A", "b X-Injected: 1"},
        {"Location: /\xe9\x85\r\n", "Location", "/\xe9\x85"},
        {"X-A: a\tb\r\n", "X-A", "a\tb"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        parsed_t p;
        rp_h1_result_t r;
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%sX-Last: z\r\n\r\nbody", cases[i].line);
        r = read_head(&p, text, strlen(text), &LIMITS);
        ok(r == RP_H1_OK && p.h.nfields == 2 && field_is(&p, 0, cases[i].name, cases[i].value) &&
               field_is(&p, 1, "X-Last", "z") && p.head_len == strlen(text) - 4,
           "field %zu: %s", i, cases[i].name);
        free(p.buf);
    }
}

static void test_bad_fields(void)
{
    static const struct {
        const char *line;
        size_t n;
        rp_h1_error_t error;
    } cases[] = {
        {TEXT("X-A : b\r\n"), RP_H1_E_NAME_SPACE},
        {TEXT("X-A\t: b\r\n"), RP_H1_E_NAME_SPACE},
        {TEXT(": b\r\n"), RP_H1_E_NAME},
        {TEXT("X A: b\r\n"), RP_H1_E_NAME},
        {TEXT("X-\x01: b\r\n"), RP_H1_E_NAME},
        {TEXT("X-\0: b\r\n"), RP_H1_E_NAME},
        {TEXT("X(A): b\r\n"), RP_H1_E_NAME},
        {TEXT("X\"A: b\r\n"), RP_H1_E_NAME},
        {TEXT("X/A: b\r\n"), RP_H1_E_NAME},
        {TEXT("X\xe9: b\r\n"), RP_H1_E_NAME},
        {TEXT("HTTP/1.1 200 OK: x\r\n"), RP_H1_E_NAME},
        {TEXT("X-A: b\rX-Injected: 1\r\n"), RP_H1_E_VALUE},
        {TEXT("X-A: b\r\r\n"), RP_H1_E_VALUE},
        {TEXT("X-A: b\0c\r\n"), RP_H1_E_VALUE},
        {TEXT("X-A: b\0\r\n"), RP_H1_E_VALUE},
        {TEXT("X-A: \vb\r\n"), RP_H1_E_VALUE},
        {TEXT("X-A: b\x7f\r\n"), RP_H1_E_VALUE},
        {TEXT("X-A: b\r\n c\0d\r\n"), RP_H1_E_VALUE},
        {TEXT("garbage\r\n"), RP_H1_E_NO_COLON},
        {TEXT("\r \r\n"), RP_H1_E_NO_COLON},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static const char start[] = "HTTP/1.1 200 OK\r\n";
        char text[256];
        size_t n = sizeof(start) - 1;
        parsed_t p;
        rp_h1_result_t r;
        memcpy(text, start, n);
        memcpy(text + n, cases[i].line, cases[i].n);
        memcpy(text + n + cases[i].n, "\r\n", 2);
        r = read_head(&p, text, n + cases[i].n + 2, &LIMITS);
        ok(r == RP_H1_BAD && p.error == cases[i].error && p.error_at == n, "bad field %zu: %s", i,
           rp_h1_error_text(cases[i].error));
        free(p.buf);
    }
}

static void test_bad_header_modes(void)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nX-A: b\r\ngarbage\r\n and fold\r\nX-B: c\r\n\r\n";
    static const char eof[] = "HTTP/1.1 200 OK\r\nX-A: b\r\n<html>hi";
    rp_h1_limits_t lim = LIMITS;
    rp_h1_scan_t s = {0};
    size_t head_len = 0;
    parsed_t p;

    ok(read_head(&p, TEXT(text), &lim) == RP_H1_BAD && p.error == RP_H1_E_NO_COLON &&
           p.error_at == 25,
       "ProxyBadHeader IsError refuses a line without colon");
    free(p.buf);
    lim.bad_header = RP_H1_BADHEADER_IGNORE;
    ok(read_head(&p, TEXT(text), &lim) == RP_H1_OK && p.h.nfields == 2 &&
           field_is(&p, 0, "X-A", "b") && field_is(&p, 1, "X-B", "c"),
       "Ignore drops it with its fold");
    free(p.buf);
    lim.bad_header = RP_H1_BADHEADER_STARTBODY;
    ok(read_head(&p, TEXT(text), &lim) == RP_H1_OK && p.h.nfields == 1 && p.head_len == 25 &&
           p.h.body_at == 25,
       "StartBody begins the body there");
    free(p.buf);
    ok(rp_h1_head_scan(&s, TEXT(eof), &lim, &head_len) == RP_H1_MORE &&
           rp_h1_head_scan_eof(&s, TEXT(eof), &lim, &head_len) == RP_H1_OK && head_len == 25,
       "StartBody also at the end of input");
    s = (rp_h1_scan_t){0};
    ok(rp_h1_head_scan(&s, TEXT(eof), &LIMITS, &head_len) == RP_H1_MORE &&
           rp_h1_head_scan_eof(&s, TEXT(eof), &LIMITS, &head_len) == RP_H1_BAD &&
           s.error == RP_H1_E_TRUNCATED,
       "else the end of input is a truncated head");
}

static void test_extra_status_line(void)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nX-A: b\r\nHTTP/1.0 404 Not Found\r\n fold\r\nX-B: c\r\n\r\n";
    rp_h1_limits_t lim = LIMITS;

    for (int mode = RP_H1_BADHEADER_ERROR; mode <= RP_H1_BADHEADER_STARTBODY; mode++) {
        parsed_t p;
        lim.bad_header = (rp_h1_badheader_t)mode;
        ok(read_head(&p, TEXT(text), &lim) == RP_H1_OK && p.h.status == 200 && p.h.nfields == 2 &&
               field_is(&p, 1, "X-B", "c"),
           "a second status line is dropped, mode %d", mode);
        free(p.buf);
    }
}

static void test_parser_alone(void)
{
    static const char cut[] = "HTTP/1.1 200 OK\r\nX-A: b\r\n";
    char buf[64];
    rp_h1_field_t field;
    rp_h1_head_t h = {.fields = &field, .cap = 1};

    memcpy(buf, cut, sizeof(cut));
    ok(rp_h1_head_parse(&h, buf, sizeof(cut) - 1, &LIMITS) == RP_H1_BAD &&
           h.error == RP_H1_E_TRUNCATED,
       "a head without its empty line is truncated");
    memcpy(buf, cut, sizeof(cut));
    h.cap = 0;
    ok(rp_h1_head_parse(&h, buf, sizeof(cut) - 1, &LIMITS) == RP_H1_BAD &&
           h.error == RP_H1_E_FIELDS_MAX,
       "cap holds");
    ok(rp_h1_head_parse(&h, buf, 0, &LIMITS) == RP_H1_BAD && h.error == RP_H1_E_TRUNCATED,
       "an empty head is truncated");
}

/* ---- limits ---- */

static rp_h1_error_t scan_error(const char *text, const rp_h1_limits_t *lim)
{
    rp_h1_scan_t whole = {0};
    rp_h1_scan_t split;
    size_t head_len;
    rp_h1_result_t r = rp_h1_head_scan(&whole, text, strlen(text), lim, &head_len);

    if (scan_bytewise(&split, text, strlen(text), lim, &head_len) != r) {
        return RP_H1_E_COUNT;
    }
    return whole.error;
}

static void test_limits(void)
{
    const rp_h1_limits_t line = {.line_max = 15};
    const rp_h1_limits_t head = {.head_max = 28};
    const rp_h1_limits_t fields = {.fields_max = 2};

    ok(scan_error("HTTP/1.1 200 OK\r\nX-A: 7890123456\r\n\r\n", &line) == RP_H1_E_NONE,
       "a line of line_max bytes passes");
    ok(scan_error("HTTP/1.1 200 OK\r\nX-A: 78901234567\r\n\r\n", &line) == RP_H1_E_LINE_MAX,
       "one more does not");
    ok(scan_error("HTTP/1.1 200 OKK\r\n\r\n", &line) == RP_H1_E_LINE_MAX, "nor does a long reason");
    ok(scan_error("HTTP/1.1 200 OK\r\nX-A: 7890123456", &line) == RP_H1_E_NONE &&
           scan_error("HTTP/1.1 200 OK\r\nX-A: 78901234567", &line) == RP_H1_E_LINE_MAX,
       "a long line is refused before its end");
    ok(scan_error("HTTP/1.1 200 OK\r\nX-A: b\r\n cdefgh\r\n i\r\n\r\n", &line) == RP_H1_E_NONE &&
           scan_error("HTTP/1.1 200 OK\r\nX-A: b\r\n cdefgh\r\n ij\r\n\r\n", &line) ==
               RP_H1_E_LINE_MAX,
       "folds count into their line");
    ok(scan_error("HTTP/1.1 200 OK\r\nX-A: bc\r\n\r\n", &head) == RP_H1_E_NONE,
       "a head of head_max bytes passes");
    ok(scan_error("HTTP/1.1 200 OK\r\nX-A: bcd\r\n\r\n", &head) == RP_H1_E_HEAD_MAX,
       "one more does not");
    ok(scan_error("HTTP/1.1 200 OK\r\na:b\r\n c\r\nd:e\r\n\r\n", &fields) == RP_H1_E_NONE,
       "fields_max fields pass");
    ok(scan_error("HTTP/1.1 200 OK\r\na:b\r\nd:e\r\nf:g\r\n\r\n", &fields) == RP_H1_E_FIELDS_MAX,
       "one more does not");
}

static void test_slow_sender(void)
{
    static char text[200000];
    rp_h1_scan_t s = {0};
    const rp_h1_limits_t none = {0};
    size_t head_len = 0;
    size_t n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nX-A: ");

    memset(text + n, 'v', sizeof(text) - n - 4);
    memcpy(text + sizeof(text) - 4, "\r\n\r\n", 4);
    for (size_t len = 1; len <= sizeof(text); len++) {
        size_t before = s.seen;
        rp_h1_result_t r = rp_h1_head_scan(&s, text, len, &none, &head_len);
        if (s.seen != before + 1 || (r == RP_H1_OK) != (len == sizeof(text))) {
            break;
        }
    }
    ok(head_len == sizeof(text) && s.fields == 1, "each byte of a slow head is looked at once");
}

/* ---- framing ---- */

typedef struct {
    const char *head; /* without "HTTP/1." and the empty line */
    bool is_head;
    rp_h1_error_t error;
    rp_h1_body_t body;
    long long length; /* -1: none */
    bool persistent;
    bool drop;
} framing_case_t;

static const framing_case_t FRAMING_CASES[] = {
    {"1 200\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 1, 0},
    {"1 200\r\ncontent-length:0\r\n", 0, 0, RP_H1_BODY_LENGTH, 0, 1, 0},
    {"1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 1, 0},
    {"1 200\r\nContent-Length: 05\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 1, 0},
    {"1 200\r\nContent-Length: 9223372036854775807\r\n", 0, 0, RP_H1_BODY_LENGTH, INT64_MAX, 1, 0},
    {"1 200\r\n", 0, 0, RP_H1_BODY_UNTIL_CLOSE, -1, 0, 0},
    {"1 200\r\nConnection: keep-alive\r\n", 0, 0, RP_H1_BODY_UNTIL_CLOSE, -1, 0, 0},
    {"1 205\r\nContent-Length: 3\r\n", 0, 0, RP_H1_BODY_LENGTH, 3, 1, 0},
    {"2 200\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 1, 0},
    {"0 200\r\nContent-Length: 5\r\nConnection: keep-alive\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 0, 0},
    {"1 200\r\nContent-Length: 5\r\nConnection: close\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 0, 0},
    {"1 200\r\nContent-Length: 5\r\nConnection: x\r\nconnection: ,y , CLOSE,\r\n", 0, 0,
     RP_H1_BODY_LENGTH, 5, 0, 0},
    {"1 200\r\nContent-Length: 5\r\nConnection: \"a, close\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 0, 0},
    {"1 200\r\nContent-Length: 5\r\nConnection: closed, clos\r\n", 0, 0, RP_H1_BODY_LENGTH, 5, 1,
     0},
    {"1 200\r\nTransfer-Encoding: chunked\r\n", 0, 0, RP_H1_BODY_CHUNKED, -1, 1, 0},
    {"1 200\r\nTransfer-Encoding: ,\tChunKed ,\r\n", 0, 0, RP_H1_BODY_CHUNKED, -1, 1, 0},
    {"1 200\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", 0, 0, RP_H1_BODY_CHUNKED, -1,
     0, 1},
    {"1 200\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n", 0, 0, RP_H1_BODY_CHUNKED, -1,
     0, 1},
    /* no body whatever the fields say */
    {"1 200\r\nContent-Length: 5\r\n", 1, 0, RP_H1_BODY_NONE, 5, 1, 0},
    {"1 200\r\n", 1, 0, RP_H1_BODY_NONE, -1, 1, 0},
    {"1 200\r\nTransfer-Encoding: chunked\r\n", 1, 0, RP_H1_BODY_NONE, -1, 1, 0},
    {"1 304\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_NONE, 5, 1, 0},
    {"1 304\r\n", 0, 0, RP_H1_BODY_NONE, -1, 1, 0},
    {"1 204\r\n", 0, 0, RP_H1_BODY_NONE, -1, 1, 0},
    {"1 204\r\nContent-Length: 0\r\n", 0, 0, RP_H1_BODY_NONE, -1, 1, 1},
    {"1 204\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_NONE, -1, 0, 1},
    {"1 204\r\nTransfer-Encoding: chunked\r\n", 0, 0, RP_H1_BODY_NONE, -1, 0, 0},
    {"1 101\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 0, 0, RP_H1_BODY_NONE, -1, 1, 0},
    {"1 100\r\nContent-Length: 5\r\n", 0, 0, RP_H1_BODY_NONE, -1, 0, 1},
    /* refused */
    {"1 200\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 0, RP_H1_E_LENGTH_CONFLICT, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 0\r\nContent-Length: 5\r\n", 0, RP_H1_E_LENGTH_CONFLICT, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 5, 6\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 5, 5\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: -5\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: +5\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 5a\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 0x5\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 5;\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: \"5\"\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 5 5\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length:\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 304\r\nContent-Length: x\r\n", 0, RP_H1_E_LENGTH, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 9223372036854775808\r\n", 0, RP_H1_E_LENGTH_OVERFLOW, 0, 0, 0, 0},
    {"1 200\r\nContent-Length: 18446744073709551621\r\n", 0, RP_H1_E_LENGTH_OVERFLOW, 0, 0, 0, 0},
    {"1 200\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n", 0, RP_H1_E_CODING, 0, 0, 0,
     0},
    {"1 200\r\nTransfer-Encoding: chunked, identity\r\n", 0, RP_H1_E_CODING, 0, 0, 0, 0},
    {"1 200\r\nTransfer-Encoding: identity, chunked\r\n", 0, RP_H1_E_CODING, 0, 0, 0, 0},
    {"1 200\r\nTransfer-Encoding: gzip, chunked\r\n", 0, RP_H1_E_CODING, 0, 0, 0, 0},
    {"1 200\r\nTransfer-Encoding: chunked chunked\r\n", 0, RP_H1_E_CODING, 0, 0, 0, 0},
    {"1 200\r\nTransfer-Encoding: chunked;a\r\n", 0, RP_H1_E_CODING, 0, 0, 0, 0},
    {"1 200\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 0, RP_H1_E_CODING, 0,
     0, 0, 0},
    {"1 200\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 0, RP_H1_E_CODING, 0, 0,
     0, 0},
    {"1 200\r\nTransfer-Encoding:\r\n", 0, RP_H1_E_CODING, 0, 0, 0, 0},
    {"0 200\r\nTransfer-Encoding: chunked\r\n", 0, RP_H1_E_CODING_10, 0, 0, 0, 0},
};

static bool framing_matches(const framing_case_t *want, const rp_h1_framing_t *f)
{
    long long length = f->has_length ? (long long)f->length : -1;

    if (want->error != RP_H1_E_NONE) {
        return f->error == want->error && !f->persistent;
    }
    return f->error == RP_H1_E_NONE && f->body == want->body && length == want->length &&
           f->persistent == want->persistent && f->drop_length == want->drop;
}

static void test_framing(void)
{
    for (size_t i = 0; i < sizeof(FRAMING_CASES) / sizeof(FRAMING_CASES[0]); i++) {
        const framing_case_t *want = &FRAMING_CASES[i];
        char text[256];
        parsed_t p;
        rp_h1_framing_t f = {0};
        bool parsed;
        rp_h1_result_t r = RP_H1_MORE;
        snprintf(text, sizeof(text), "HTTP/1.%s\r\n", want->head);
        parsed = read_head(&p, text, strlen(text), &LIMITS) == RP_H1_OK;
        if (parsed) {
            r = rp_h1_framing(&f, &p.h, want->is_head);
        }
        ok(parsed && (r == RP_H1_BAD) == (want->error != RP_H1_E_NONE) && framing_matches(want, &f),
           "framing %zu: %.*s%s", i, (int)strcspn(want->head + 7, "\r"), want->head + 7,
           want->is_head ? " (HEAD)" : "");
        free(p.buf);
    }
}

static void test_repeated_length(void)
{
    parsed_t p;
    rp_h1_framing_t f;

    if (read_head(&p, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
                  &LIMITS) == RP_H1_OK) {
        rp_h1_framing(&f, &p.h, false);
        ok(f.repeated_length && f.has_length, "equal Content-Length lines are reported");
    }
    else {
        ok(false, "equal Content-Length lines are reported");
    }
    free(p.buf);
}

/* ---- lists ---- */

static void test_lists(void)
{
    static const char text[] = " ,, a ,\tb;c=\"d,e\" , ,f";
    static const char *const want[] = {"a", "b;c=\"d", "e\"", "f"};
    rp_span_t list = {text, sizeof(text) - 1};
    rp_span_t element;
    size_t i = 0;
    bool good = true;

    while (rp_h1_list_next(&list, &element)) {
        good = good && i < 4 && rp_h1_span_is(element, want[i]);
        i++;
    }
    ok(good && i == 4, "list elements: empty ones skipped, trimmed, every comma separates");
    ok(rp_h1_value_has_token((rp_span_t){TEXT("x, KEEP-alive")}, "keep-alive"),
       "tokens are found without case");
    ok(!rp_h1_value_has_token((rp_span_t){TEXT("keep-alivex, keep, alive")}, "keep-alive") &&
           !rp_h1_value_has_token((rp_span_t){TEXT("")}, "keep-alive"),
       "parts of tokens are not");
}

static void test_characters(void)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    int wrong = 0;

    for (int i = 0; i < 256; i++) {
        char ch = (char)i;
        bool token = i != 0 && strchr(tchars, ch) != NULL;
        bool value = i == '\t' || (i >= 0x20 && i != 0x7f);
        wrong += rp_h1_is_token((rp_span_t){&ch, 1}) != token;
        wrong += rp_h1_is_value((rp_span_t){&ch, 1}) != value;
    }
    ok(wrong == 0, "tchar and field-vchar are those of RFC 9110");
    ok(!rp_h1_is_token((rp_span_t){"", 0}) && rp_h1_is_value((rp_span_t){"", 0}),
       "an empty token is none, an empty value is one");
}

static void test_error_texts(void)
{
    int missing = 0;

    for (int i = 0; i < RP_H1_E_COUNT; i++) {
        missing += TEXTS[i] == NULL;
    }
    ok(missing == 0, "every error has its text");
    ok(rp_h1_error_text((rp_h1_error_t)-1) != NULL && rp_h1_error_text(RP_H1_E_COUNT) != NULL,
       "numbers out of range too");
}

/* ---- chunked ---- */

typedef struct {
    char payload[BUF_SIZE];
    size_t n;
    char trailers[512];
    size_t pos; /* bytes consumed */
    rp_h1_error_t error;
} decoded_t;

static void note_trailer(void *ctx, rp_span_t name, rp_span_t value)
{
    decoded_t *d = ctx;
    size_t n = strlen(d->trailers);

    snprintf(d->trailers + n, sizeof(d->trailers) - n, "%s=%s;", name.p, value.p);
}

/* step: bytes per call. Every piece lies in an allocation of its own size. */
static rp_h1_chunk_result_t decode(decoded_t *d, const char *text, size_t size, size_t step,
                                   const rp_h1_limits_t *lim)
{
    rp_h1_chunk_t c;
    rp_h1_chunk_result_t r = RP_H1_CHUNK_MORE;
    char scratch[32];

    memset(d, 0, sizeof(*d));
    rp_h1_chunk_init(&c, lim);
    rp_h1_chunk_on_trailer(&c, note_trailer, d, scratch, sizeof(scratch));
    for (size_t at = 0; at < size && r == RP_H1_CHUNK_MORE; at += step) {
        size_t n = size - at < step ? size - at : step;
        size_t pos = 0;
        rp_span_t data;
        char *piece = malloc(n);
        if (piece == NULL) {
            abort();
        }
        memcpy(piece, text + at, n);
        while ((r = rp_h1_chunk_next(&c, piece, n, &pos, &data)) == RP_H1_CHUNK_DATA) {
            memcpy(d->payload + d->n, data.p, data.n);
            d->n += data.n;
        }
        d->pos += pos;
        free(piece);
    }
    d->error = c.error;
    return r;
}

static void test_good_chunks(void)
{
    static const struct {
        const char *text;
        const char *payload;
        const char *trailers;
    } cases[] = {
        {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
        {"0\r\n\r\n", "", ""},
        {"1\r\nh\r\n4\r\nello\r\n000\r\n\r\n", "hello", ""},
        {"5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello", ""},
        {"5;a=\"x;y\"\r\nhello\r\n0\r\n\r\n", "hello", ""},
        {"5 \t; a = b\r\nhello\r\n0\r\n\r\n", "hello", ""},
        {"A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij", ""},
        {"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", ""},
        {"4\r\n\r\n0\r\r\n0\r\n\r\n", "\r\n0\r", ""},
        {"5\r\nhello\r\n0\r\nX-A:  b c \t\r\nX-B:\r\n\r\n", "hello", "X-A=b c;X-B=;"},
        {"0\r\nTransfer-Encoding: x\r\n\r\n", "", "Transfer-Encoding=x;"},
        {"0\r\nX-A: 567890123456789012345678901\r\n\r\n", "", "X-A=567890123456789012345678901;"},
    };
    static const size_t steps[] = {1, 2, 3, 1000};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int wrong = 0;
        for (size_t k = 0; k < 4; k++) {
            char text[256];
            decoded_t d;
            rp_h1_chunk_result_t r;
            int n = snprintf(text, sizeof(text), "%sHTTP/1.1", cases[i].text);
            r = decode(&d, text, (size_t)n, steps[k], &LIMITS);
            wrong += r != RP_H1_CHUNK_END || d.pos != strlen(cases[i].text) ||
                     strcmp(d.payload, cases[i].payload) != 0 ||
                     strcmp(d.trailers, cases[i].trailers) != 0;
        }
        ok(wrong == 0, "chunked body %zu, in any pieces, ends where it ends", i);
    }
}

static void test_bad_chunks(void)
{
    static const struct {
        const char *text;
        size_t n;
        rp_h1_error_t error;
        const char *payload;
    } cases[] = {
        {TEXT("xyz\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("-5\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("+5\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("0x5\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT(" 5\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("5 \r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("5 5\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT(";a=b\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("5\0\r\nhello\r\n"), RP_H1_E_CHUNK_SIZE, ""},
        {TEXT("5\r\nhello\r\n5g\r\n"), RP_H1_E_CHUNK_SIZE, "hello"},
        {TEXT("8000000000000000\r\n"), RP_H1_E_CHUNK_OVERFLOW, ""},
        {TEXT("ffffffffffffffff5\r\n"), RP_H1_E_CHUNK_OVERFLOW, ""},
        {TEXT("00000000000000005\r\nhello\r\n"), RP_H1_E_CHUNK_OVERFLOW, ""},
        {TEXT("5\nhello\r\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("5\rhello\r\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("5;a=b\nhello\r\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("5;a=b\rhello\r\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("5;a=\x01\r\nhello\r\n"), RP_H1_E_CHUNK_EXT, ""},
        {TEXT("4\r\nhello\r\n"), RP_H1_E_CHUNK_DATA_END, "hell"},
        {TEXT("6\r\nhello\r\n0\r\n\r\n"), RP_H1_E_CHUNK_DATA_END, "hello\r"},
        {TEXT("5\r\nhello\n0\r\n\r\n"), RP_H1_E_CHUNK_DATA_END, "hello"},
        {TEXT("0\r\nX-A : b\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\nX(A: b\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\nX-A: b\r\n X-Injected: 1\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\nHTTP/1.1 200 OK\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\n: b\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\ngarbage\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\nX-A: b\0c\r\n\r\n"), RP_H1_E_TRAILER, ""},
        {TEXT("0\r\nX-A: b\n\r\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("0\r\nX-A: b\rc\r\n\r\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("0\r\n\n"), RP_H1_E_CHUNK_LINE_END, ""},
        {TEXT("0\r\nX-A: 5678901234567890123456789012\r\n\r\n"), RP_H1_E_TRAILER_MAX, ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        decoded_t whole;
        decoded_t bytewise;
        rp_h1_chunk_result_t r = decode(&whole, cases[i].text, cases[i].n, 1000, &LIMITS);
        rp_h1_chunk_result_t r1 = decode(&bytewise, cases[i].text, cases[i].n, 1, &LIMITS);
        ok(r == RP_H1_CHUNK_BAD && r1 == r && whole.error == cases[i].error &&
               bytewise.error == whole.error && strcmp(whole.payload, cases[i].payload) == 0,
           "bad chunked body %zu: %s", i, rp_h1_error_text(cases[i].error));
    }
}

static void test_incomplete_chunks(void)
{
    static const char text[] = "5;x\r\nhello\r\n0\r\nX-A: b\r\n\r\n";
    int wrong = 0;

    for (size_t n = 1; n < sizeof(text) - 1; n++) {
        decoded_t d;
        wrong += decode(&d, text, n, 1000, &LIMITS) != RP_H1_CHUNK_MORE || d.pos != n;
    }
    ok(wrong == 0, "no proper prefix of a chunked body is taken for the end of it");
}

static rp_h1_error_t chunk_error(const char *text, const rp_h1_limits_t *lim)
{
    decoded_t d;

    decode(&d, text, strlen(text), 1000, lim);
    return d.error;
}

static void test_chunk_limits(void)
{
    const rp_h1_limits_t line = {.line_max = 8};
    const rp_h1_limits_t total = {.head_max = 20};
    const rp_h1_limits_t count = {.fields_max = 1};
    char text[512] = "";

    ok(chunk_error("1;345678\r\nx\r\n0\r\n\r\n", &line) == RP_H1_E_NONE, "size line of line_max");
    ok(chunk_error("1;3456789\r\nx\r\n0\r\n\r\n", &line) == RP_H1_E_LINE_MAX, "longer size line");
    ok(chunk_error("0\r\na: 45678\r\n\r\n", &line) == RP_H1_E_NONE, "trailer of line_max");
    ok(chunk_error("0\r\na: 456789\r\n\r\n", &line) == RP_H1_E_TRAILER_MAX, "longer trailer");
    ok(chunk_error("0\r\na: 4567890123456\r\n\r\n", &total) == RP_H1_E_NONE, "trailer section");
    ok(chunk_error("0\r\na: b\r\nc: 456789012\r\n\r\n", &total) == RP_H1_E_TRAILER_MAX,
       "longer trailer section");
    ok(chunk_error("0\r\na: b\r\n\r\n", &count) == RP_H1_E_NONE &&
           chunk_error("0\r\na: b\r\nc: d\r\n\r\n", &count) == RP_H1_E_TRAILER_MAX,
       "number of trailers");
    for (int i = 0; i < 8; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "1;abcdefg\r\nx\r\n");
    }
    ok(chunk_error(text, &total) == RP_H1_E_CHUNK_EXT_MAX, "extensions without payload");
    text[0] = '\0';
    for (int i = 0; i < 8; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "8;abcdefg\r\n12345678\r\n");
    }
    ok(chunk_error(text, &total) == RP_H1_E_NONE, "payload pays for extensions");
}

static void test_chunk_skip(void)
{
    static const char text[] = "5\r\nhello\r\n0\r\n\r\n";
    rp_h1_chunk_t c;
    size_t pos = 0;
    rp_span_t data;

    rp_h1_chunk_init(&c, &LIMITS);
    ok(rp_h1_chunk_pending(&c) == 0 &&
           rp_h1_chunk_next(&c, text, 3, &pos, &data) == RP_H1_CHUNK_MORE &&
           rp_h1_chunk_pending(&c) == 5,
       "the decoder says how much payload comes");
    rp_h1_chunk_skip(&c, 3);
    rp_h1_chunk_skip(&c, 2);
    pos = 8;
    ok(rp_h1_chunk_pending(&c) == 0 &&
           rp_h1_chunk_next(&c, TEXT(text), &pos, &data) == RP_H1_CHUNK_END &&
           pos == sizeof(text) - 1 && c.payload == 5,
       "payload may be moved past it");
    ok(rp_h1_chunk_next(&c, TEXT(text), &pos, &data) == RP_H1_CHUNK_END, "the end is final");
    rp_h1_chunk_init(&c, &LIMITS);
    rp_h1_chunk_skip(&c, 1);
    ok(c.error == RP_H1_E_CHUNK_DATA_END, "but not more than there is");
}

static void test_chunk_without_receiver(void)
{
    static const char text[] = "0\r\nX-A: a trailer of any length when nobody wants it\r\n\r\n";
    static const char bad[] = "0\r\nX-A: a\vb\r\n\r\n";
    rp_h1_chunk_t c;
    size_t pos = 0;
    rp_span_t data;

    rp_h1_chunk_init(&c, &LIMITS);
    ok(rp_h1_chunk_next(&c, TEXT(text), &pos, &data) == RP_H1_CHUNK_END && pos == sizeof(text) - 1,
       "trailers are dropped without a receiver");
    pos = 0;
    rp_h1_chunk_init(&c, &LIMITS);
    ok(rp_h1_chunk_next(&c, TEXT(bad), &pos, &data) == RP_H1_CHUNK_BAD, "and checked all the same");
}

int main(void)
{
    test_good_status_lines();
    test_unfit_reasons();
    test_bad_starts();
    test_good_fields();
    test_bad_fields();
    test_bad_header_modes();
    test_extra_status_line();
    test_parser_alone();
    test_limits();
    test_slow_sender();
    test_framing();
    test_repeated_length();
    test_lists();
    test_characters();
    test_error_texts();
    test_good_chunks();
    test_bad_chunks();
    test_incomplete_chunks();
    test_chunk_limits();
    test_chunk_skip();
    test_chunk_without_receiver();
    printf("1..%d\n", tests);
    return failures == 0 ? 0 : 1;
}
