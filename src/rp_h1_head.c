/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

#include "rp_h1.h"

#include <string.h>

static const char STATUS_PATTERN[] = "HTTP/d.d ddd";
#define STATUS_LEN (sizeof(STATUS_PATTERN) - 1)

static const char *const TEXTS[] = {
    [RP_H1_E_NONE] = "no error",
    [RP_H1_E_NOT_HTTP] = "not an HTTP/1 response",
    [RP_H1_E_VERSION] = "unsupported HTTP version",
    [RP_H1_E_STATUS] = "invalid status code",
    [RP_H1_E_BLANK_LINES] = "empty lines instead of a status line",
    [RP_H1_E_LINE_MAX] = "line too long",
    [RP_H1_E_HEAD_MAX] = "response head too long",
    [RP_H1_E_FIELDS_MAX] = "too many header fields",
    [RP_H1_E_NO_COLON] = "header line without a colon",
    [RP_H1_E_NAME] = "invalid character in a header name",
    [RP_H1_E_NAME_SPACE] = "whitespace between header name and colon",
    [RP_H1_E_VALUE] = "control character in a header value",
    [RP_H1_E_FOLD] = "folded line with no header before it",
    [RP_H1_E_TRUNCATED] = "response ends inside the head",
    [RP_H1_E_LENGTH] = "invalid Content-Length",
    [RP_H1_E_LENGTH_OVERFLOW] = "Content-Length too large",
    [RP_H1_E_LENGTH_CONFLICT] = "conflicting Content-Length headers",
    [RP_H1_E_CODING] = "Transfer-Encoding other than chunked",
    [RP_H1_E_CODING_10] = "Transfer-Encoding in an HTTP/1.0 response",
    [RP_H1_E_CHUNK_SIZE] = "invalid chunk size",
    [RP_H1_E_CHUNK_OVERFLOW] = "chunk size too large",
    [RP_H1_E_CHUNK_EXT] = "control character in a chunk extension",
    [RP_H1_E_CHUNK_EXT_MAX] = "too many bytes of chunk extensions",
    [RP_H1_E_CHUNK_LINE_END] = "chunk line that does not end in CRLF",
    [RP_H1_E_CHUNK_DATA_END] = "chunk data longer or shorter than its size",
    [RP_H1_E_TRAILER] = "malformed trailer",
    [RP_H1_E_TRAILER_MAX] = "trailers too long or too many",
};

const char *rp_h1_error_text(rp_h1_error_t error)
{
    if ((unsigned)error >= RP_H1_E_COUNT) {
        return "unknown error";
    }
    return TEXTS[error];
}

/* ---- bytes and words ---- */

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static bool is_wsp(char ch)
{
    return ch == ' ' || ch == '\t';
}

static char to_lower(char ch)
{
    if (ch >= 'A' && ch <= 'Z') {
        return (char)(ch | 0x20);
    }
    return ch;
}

static bool exceeds(size_t limit, size_t n)
{
    return limit != 0 && n > limit;
}

/* tchar of RFC 9110 5.6.2, by code. */
static const bool tchars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1,
    ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1,
    ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1,
    ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1,
    ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1,
    ['y'] = 1, ['z'] = 1,
};

bool rp_h1_is_token(rp_span_t span)
{
    size_t i = 0;

    while (i < span.n && tchars[(unsigned char)span.p[i]]) {
        i++;
    }
    return span.n != 0 && i == span.n;
}

bool rp_h1_is_value(rp_span_t span)
{
    for (size_t i = 0; i < span.n; i++) {
        unsigned char ch = (unsigned char)span.p[i];
        if ((ch < 0x20 && ch != '\t') || ch == 0x7f) {
            return false;
        }
    }
    return true;
}

static rp_span_t trim(rp_span_t span)
{
    while (span.n > 0 && is_wsp(span.p[0])) {
        span.p++;
        span.n--;
    }
    while (span.n > 0 && is_wsp(span.p[span.n - 1])) {
        span.n--;
    }
    return span;
}

bool rp_h1_is_same(const char *a, const char *b, size_t n)
{
    size_t i = 0;

    while (i < n && (a[i] == b[i] || to_lower(a[i]) == to_lower(b[i]))) {
        i++;
    }
    return i == n;
}

bool rp_h1_list_next(rp_span_t *list, rp_span_t *element)
{
    while (list->n > 0) {
        const char *comma = memchr(list->p, ',', list->n);
        size_t n = comma != NULL ? (size_t)(comma - list->p) : list->n;
        size_t step = comma != NULL ? n + 1 : n;

        *element = trim((rp_span_t){list->p, n});
        list->p += step;
        list->n -= step;
        if (element->n > 0) {
            return true;
        }
    }
    return false;
}

bool rp_h1_value_has_token(rp_span_t value, const char *token)
{
    rp_span_t element;

    while (rp_h1_list_next(&value, &element)) {
        if (rp_h1_span_is(element, token)) {
            return true;
        }
    }
    return false;
}

unsigned rp_h1_field_find(const rp_h1_head_t *h, const char *name, unsigned start)
{
    size_t n = strlen(name);
    unsigned i = start;

    while (i < h->nfields && !(h->fields[i].name.n == n && rp_h1_is_same(h->fields[i].name.p, name, n))) {
        i++;
    }
    return i < h->nfields ? i : h->nfields;
}

bool rp_h1_head_has_token(const rp_h1_head_t *h, const char *name, const char *token)
{
    for (unsigned i = rp_h1_field_find(h, name, 0); i < h->nfields;
         i = rp_h1_field_find(h, name, i + 1)) {
        if (rp_h1_value_has_token(h->fields[i].value, token)) {
            return true;
        }
    }
    return false;
}

/* ---- the status line ---- */

static bool matches_pattern(char ch, char pattern)
{
    return pattern == 'd' ? is_digit(ch) : ch == pattern;
}

/* An extra status line among the fields, as some CGI wrappers send it. */
static bool looks_like_status_line(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && i < STATUS_LEN && matches_pattern(p[i], STATUS_PATTERN[i])) {
        i++;
    }
    return i == STATUS_LEN;
}

static rp_h1_error_t error_at_status_byte(size_t i)
{
    if (i < 6) {
        return RP_H1_E_NOT_HTTP;
    }
    return i < 9 ? RP_H1_E_VERSION : RP_H1_E_STATUS;
}

/*
 * Checks the first n bytes of a status line (RFC 9112 4), which need not be all of
 * it. Returns the number of good bytes of the fixed part, or less than
 * min(n, STATUS_LEN + 1) where it goes wrong.
 */
static size_t count_good_status_bytes(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && i < STATUS_LEN && matches_pattern(p[i], STATUS_PATTERN[i])) {
        if ((i == 5 && p[i] != '1') || (i == 9 && p[i] == '0')) {
            break;
        }
        i++;
    }
    if (i == STATUS_LEN && n > STATUS_LEN && p[i] == ' ') {
        i++;
    }
    return i;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* whole: the line has ended; else the first n bytes of it are there. */
static rp_h1_error_t check_status_line(const char *p, size_t n, bool whole, size_t *good)
{
    if (!whole && n > 0 && p[n - 1] == '\r') {
        n--; /* half a line end */
        whole = true;
    }
    *good = count_good_status_bytes(p, n);
    if (*good < smaller(n, STATUS_LEN + 1) || (whole && n < STATUS_LEN)) {
        return *good == 5 && n > 5 && is_digit(p[5]) ? RP_H1_E_VERSION
                                                     : error_at_status_byte(*good);
    }
    return RP_H1_E_NONE;
}

/* ---- finding the end of the head ---- */

static rp_h1_result_t refuse_scan(rp_h1_scan_t *s, rp_h1_error_t error, size_t at)
{
    s->error = error;
    s->error_at = at;
    return RP_H1_BAD;
}

static rp_h1_result_t scan_first_line(rp_h1_scan_t *s, const char *line, size_t n)
{
    size_t good;
    rp_h1_error_t error;

    if (n == 0) {
        if (s->blank) {
            return refuse_scan(s, RP_H1_E_BLANK_LINES, s->line_start);
        }
        s->blank = true;
        return RP_H1_MORE;
    }
    error = check_status_line(line, n, true, &good);
    if (error != RP_H1_E_NONE) {
        return refuse_scan(s, error, s->line_start + good);
    }
    s->status_seen = true;
    return RP_H1_MORE;
}

static bool starts_body(const char *line, size_t n, const rp_h1_limits_t *lim)
{
    return lim->bad_header == RP_H1_BADHEADER_STARTBODY && memchr(line, ':', n) == NULL &&
           !looks_like_status_line(line, n);
}

static rp_h1_result_t scan_field_line(rp_h1_scan_t *s, const char *line, size_t n,
                                      const rp_h1_limits_t *lim, size_t *head_len)
{
    if (n == 0) {
        *head_len = s->seen;
        return RP_H1_OK;
    }
    if (is_wsp(line[0])) {
        return s->fields > 0 ? RP_H1_MORE : refuse_scan(s, RP_H1_E_FOLD, s->line_start);
    }
    if (starts_body(line, n, lim)) {
        *head_len = s->line_start;
        return RP_H1_OK;
    }
    s->fields++;
    if (exceeds(lim->fields_max, s->fields)) {
        return refuse_scan(s, RP_H1_E_FIELDS_MAX, s->line_start);
    }
    return RP_H1_MORE;
}

/* Length of the field that line belongs to, so that folds cannot get around line_max. */
static size_t length_with_folds(const rp_h1_scan_t *s, const char *line, size_t n)
{
    return n > 0 && s->status_seen && is_wsp(line[0]) ? s->joined + n : n;
}

/* The line from line_start to seen has just been completed. */
static rp_h1_result_t scan_line(rp_h1_scan_t *s, const char *buf, const rp_h1_limits_t *lim,
                                size_t *head_len)
{
    const char *line = buf + s->line_start;
    size_t n = s->seen - s->line_start - 1;

    if (n > 0 && line[n - 1] == '\r') {
        n--;
    }
    s->joined = length_with_folds(s, line, n);
    if (exceeds(lim->line_max, s->joined)) {
        return refuse_scan(s, RP_H1_E_LINE_MAX, s->line_start);
    }
    if (exceeds(lim->head_max, s->seen)) {
        return refuse_scan(s, RP_H1_E_HEAD_MAX, s->line_start);
    }
    return s->status_seen ? scan_field_line(s, line, n, lim, head_len)
                          : scan_first_line(s, line, n);
}

/* What can be said about a line whose end has not arrived. */
static rp_h1_result_t scan_partial_line(rp_h1_scan_t *s, const char *buf, size_t len,
                                        const rp_h1_limits_t *lim)
{
    const char *line = buf + s->line_start;
    size_t n = len - s->line_start;
    size_t good;

    if (!s->status_seen && !(n == 1 && line[0] == '\r')) {
        rp_h1_error_t error = check_status_line(line, n, false, &good);
        if (error != RP_H1_E_NONE) {
            return refuse_scan(s, error, s->line_start + good);
        }
    }
    if (n > 0 && line[n - 1] == '\r') {
        n--;
    }
    if (exceeds(lim->line_max, length_with_folds(s, line, n))) {
        return refuse_scan(s, RP_H1_E_LINE_MAX, s->line_start);
    }
    if (exceeds(lim->head_max, len)) {
        return refuse_scan(s, RP_H1_E_HEAD_MAX, s->line_start);
    }
    return RP_H1_MORE;
}

rp_h1_result_t rp_h1_head_scan(rp_h1_scan_t *s, const char *buf, size_t len,
                               const rp_h1_limits_t *lim, size_t *head_len)
{
    if (s->error != RP_H1_E_NONE) {
        return RP_H1_BAD;
    }
    while (s->seen < len) {
        const char *lf = memchr(buf + s->seen, '\n', len - s->seen);
        rp_h1_result_t result;

        if (lf == NULL) {
            s->seen = len;
            break;
        }
        s->seen = (size_t)(lf - buf) + 1;
        result = scan_line(s, buf, lim, head_len);
        if (result != RP_H1_MORE) {
            return result;
        }
        s->line_start = s->seen;
    }
    return s->line_start < len ? scan_partial_line(s, buf, len, lim) : RP_H1_MORE;
}

rp_h1_result_t rp_h1_head_scan_eof(rp_h1_scan_t *s, const char *buf, size_t len,
                                   const rp_h1_limits_t *lim, size_t *head_len)
{
    const char *line = buf + s->line_start;
    size_t n = len - s->line_start;

    if (s->error != RP_H1_E_NONE) {
        return RP_H1_BAD;
    }
    if (s->status_seen && n > 0 && line[0] != '\r' && !is_wsp(line[0]) &&
        starts_body(line, n, lim)) {
        *head_len = s->line_start;
        return RP_H1_OK;
    }
    return refuse_scan(s, RP_H1_E_TRUNCATED, len);
}

/* ---- parsing in place ---- */

/** Where the parser is in the head. */
typedef struct {
    char *buf;
    size_t len;
    size_t at;    /* start of the next line */
    size_t start; /* of the current line */
    size_t end;   /* of the current line, without its line end */
} rp_h1_lines_t;

static bool take_line(rp_h1_lines_t *l)
{
    char *lf;

    if (l->at >= l->len || (lf = memchr(l->buf + l->at, '\n', l->len - l->at)) == NULL) {
        return false;
    }
    l->start = l->at;
    l->end = (size_t)(lf - l->buf);
    l->at = l->end + 1;
    if (l->end > l->start && l->buf[l->end - 1] == '\r') {
        l->end--;
    }
    return true;
}

static bool fold_follows(const rp_h1_lines_t *l)
{
    return l->at < l->len && is_wsp(l->buf[l->at]);
}

static rp_h1_result_t refuse_head(rp_h1_head_t *h, rp_h1_error_t error, size_t at)
{
    h->error = error;
    h->error_at = at;
    return RP_H1_BAD;
}

/* Control bytes are not worth a 502, but must not get into a status line (RFC 9112 4). */
static void set_reason(rp_h1_head_t *h, const char *line, size_t n)
{
    size_t skip = smaller(n, STATUS_LEN + 1);

    h->reason = (rp_span_t){line + skip, n - skip};
    h->reason_unfit = !rp_h1_is_value(h->reason);
    if (h->reason_unfit) {
        h->reason = (rp_span_t){"", 0};
    }
}

static rp_h1_result_t parse_status_line(rp_h1_head_t *h, rp_h1_lines_t *l)
{
    size_t good;
    rp_h1_error_t error;
    char *line;

    for (int lines = 0; lines == 0 || l->end == l->start; lines++) {
        if (lines == 2) {
            return refuse_head(h, RP_H1_E_BLANK_LINES, l->start);
        }
        if (!take_line(l)) {
            return refuse_head(h, RP_H1_E_TRUNCATED, l->len);
        }
    }
    line = l->buf + l->start;
    error = check_status_line(line, l->end - l->start, true, &good);
    if (error != RP_H1_E_NONE) {
        return refuse_head(h, error, l->start + good);
    }
    h->minor = line[7] - '0';
    h->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    line[l->end - l->start] = '\0';
    set_reason(h, line, l->end - l->start);
    return RP_H1_OK;
}

static void drop_folds(rp_h1_lines_t *l)
{
    while (fold_follows(l) && take_line(l)) {
    }
}

/*
 * Moves the folds of the current line up to it. The line breaks go, the whitespace
 * stays: RFC 9112 5.2 asks for at least one space, and a fold starts with one.
 */
static void join_folds(rp_h1_lines_t *l)
{
    size_t start = l->start;
    size_t end = l->end;

    while (fold_follows(l) && take_line(l)) {
        memmove(l->buf + end, l->buf + l->start, l->end - l->start);
        end += l->end - l->start;
    }
    l->start = start;
    l->end = end;
}

static rp_h1_error_t judge_name(rp_span_t name)
{
    rp_span_t trimmed = name;

    if (rp_h1_is_token(name)) {
        return RP_H1_E_NONE;
    }
    while (trimmed.n > 0 && is_wsp(trimmed.p[trimmed.n - 1])) {
        trimmed.n--;
    }
    return rp_h1_is_token(trimmed) ? RP_H1_E_NAME_SPACE : RP_H1_E_NAME;
}

static rp_h1_result_t parse_field(rp_h1_head_t *h, rp_h1_lines_t *l, char *colon)
{
    char *line = l->buf + l->start;
    rp_span_t name = {line, (size_t)(colon - line)};
    rp_span_t value;
    rp_h1_error_t error = judge_name(name);

    if (error != RP_H1_E_NONE) {
        return refuse_head(h, error, l->start);
    }
    if (h->nfields == h->cap) {
        return refuse_head(h, RP_H1_E_FIELDS_MAX, l->start);
    }
    join_folds(l);
    value = trim((rp_span_t){colon + 1, l->end - l->start - name.n - 1});
    if (!rp_h1_is_value(value)) {
        return refuse_head(h, RP_H1_E_VALUE, l->start);
    }
    *colon = '\0';
    l->buf[(size_t)(value.p - l->buf) + value.n] = '\0';
    h->fields[h->nfields++] = (rp_h1_field_t){name, value};
    return RP_H1_OK;
}

/* OK: the line was dropped; MORE: it starts the body; BAD. */
static rp_h1_result_t parse_line_without_colon(rp_h1_head_t *h, rp_h1_lines_t *l,
                                               const rp_h1_limits_t *lim)
{
    bool status_line = looks_like_status_line(l->buf + l->start, l->end - l->start);

    if (!status_line && lim->bad_header == RP_H1_BADHEADER_ERROR) {
        return refuse_head(h, RP_H1_E_NO_COLON, l->start);
    }
    if (!status_line && lim->bad_header == RP_H1_BADHEADER_STARTBODY) {
        return RP_H1_MORE;
    }
    drop_folds(l);
    return RP_H1_OK;
}

static rp_h1_result_t parse_fields(rp_h1_head_t *h, rp_h1_lines_t *l, const rp_h1_limits_t *lim)
{
    if (fold_follows(l)) {
        return refuse_head(h, RP_H1_E_FOLD, l->at);
    }
    while (take_line(l)) {
        char *line = l->buf + l->start;
        size_t n = l->end - l->start;
        char *colon;
        rp_h1_result_t result;

        if (n == 0) {
            h->body_at = l->at;
            return RP_H1_OK;
        }
        colon = memchr(line, ':', n);
        h->body_at = l->start;
        result = colon != NULL ? parse_field(h, l, colon) : parse_line_without_colon(h, l, lim);
        if (result != RP_H1_OK) {
            return result == RP_H1_MORE ? RP_H1_OK : RP_H1_BAD;
        }
    }
    if (lim->bad_header == RP_H1_BADHEADER_STARTBODY && l->at == l->len) {
        h->body_at = l->at;
        return RP_H1_OK;
    }
    return refuse_head(h, RP_H1_E_TRUNCATED, l->len);
}

rp_h1_result_t rp_h1_head_parse(rp_h1_head_t *h, char *buf, size_t head_len,
                                const rp_h1_limits_t *lim)
{
    rp_h1_lines_t lines = {buf, head_len, 0, 0, 0};

    h->nfields = 0;
    h->body_at = 0;
    h->error = RP_H1_E_NONE;
    h->error_at = 0;
    if (parse_status_line(h, &lines) != RP_H1_OK) {
        return RP_H1_BAD;
    }
    return parse_fields(h, &lines, lim);
}
