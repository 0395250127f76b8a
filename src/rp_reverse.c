#include "rp_reverse.h"

#include "ap_mmn.h"
#include "apr_date.h"
#include "apr_hash.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_protocol.h"

#include "rp_reqhead.h"
#include "mod_revproxy.h"

/* What is done with a field by its name. */
typedef enum {
    FIELD_PASS,
    FIELD_HOP,     /* between the backend and us only */
    FIELD_DATE,
    FIELD_URL,
    FIELD_COOKIE,
    FIELD_TYPE,
    FIELD_LENGTH,
    FIELD_WARNING
} field_kind_t;

#define NAMED(name) {name, sizeof(name) - 1}

static const struct {
    rp_span_t name;
    field_kind_t kind;
} special_fields[] = {
    {NAMED("Connection"), FIELD_HOP},     {NAMED("Proxy-Connection"), FIELD_HOP}, {NAMED("Keep-Alive"), FIELD_HOP},
    {NAMED("TE"), FIELD_HOP},             {NAMED("Trailer"), FIELD_HOP},          {NAMED("Transfer-Encoding"), FIELD_HOP},
    {NAMED("Upgrade"), FIELD_HOP},        {NAMED("Proxy-Authenticate"), FIELD_HOP},
    {NAMED("Date"), FIELD_DATE},          {NAMED("Expires"), FIELD_DATE},         {NAMED("Last-Modified"), FIELD_DATE},
    {NAMED("Location"), FIELD_URL},       {NAMED("Content-Location"), FIELD_URL}, {NAMED("URI"), FIELD_URL},
    {NAMED("Destination"), FIELD_URL},    {NAMED("Set-Cookie"), FIELD_COOKIE},    {NAMED("Content-Type"), FIELD_TYPE},
    {NAMED("Content-Length"), FIELD_LENGTH}, {NAMED("Warning"), FIELD_WARNING},
};

typedef struct adoption_t {
    request_rec *r;
    const rp_target_t *target;
    const rp_h1_head_t *head;
    const rp_h1_framing_t *framing;
    const char *lines;  /* copy of the field lines, which begin with the first name */
    apr_hash_t *named;  /* lower-case names that the backend's Connection names; NULL: none */
    apr_table_t *out;
    bool is_interim;
    bool has_length, has_type, has_warnings;
} adoption_t;

static field_kind_t get_kind(rp_span_t name)
{
    size_t i;

    for (i = 0; i < sizeof(special_fields) / sizeof(special_fields[0]); i++) {
        const rp_span_t *special = &special_fields[i].name;

        if (name.n == special->n && rp_h1_is_same(name.p, special->p, name.n)) {
            return special_fields[i].kind;
        }
    }
    return FIELD_PASS;
}

/* All names and values in one piece; the parser has put a NUL behind each. */
static void copy_lines(adoption_t *a)
{
    const rp_h1_head_t *h = a->head;
    const rp_span_t *last = h->nfields ? &h->fields[h->nfields - 1].value : NULL;

    if (last) {
        a->lines = apr_pmemdup(a->r->pool, h->fields[0].name.p, (apr_size_t)(last->p + last->n + 1 - h->fields[0].name.p));
    }
}

/* text: a name or value of the head. */
static const char *copy(const adoption_t *a, rp_span_t text)
{
    return a->lines + (text.p - a->head->fields[0].name.p);
}

/* For apr_table_do: into the table ctx. */
static int add_entry(void *ctx, const char *name, const char *value)
{
    apr_table_addn(ctx, name, value);
    return 1;
}

/* ---- Connection ---- */

static void name_one(adoption_t *a, rp_span_t word)
{
    char *key;

    if (rp_h1_span_is(word, "close") || rp_h1_span_is(word, "keep-alive")) {
        return;
    }
    if (!a->named) {
        a->named = apr_hash_make(a->r->pool);
    }
    key = apr_pstrmemdup(a->r->pool, word.p, word.n);
    ap_str_tolower(key);
    apr_hash_set(a->named, key, (apr_ssize_t)word.n, "");
}

static void collect_named(adoption_t *a)
{
    rp_span_t list, word;
    unsigned i;

    for (i = rp_h1_field_find(a->head, "Connection", 0); i < a->head->nfields;
         i = rp_h1_field_find(a->head, "Connection", i + 1)) {
        list = a->head->fields[i].value;
        while (rp_h1_list_next(&list, &word)) {
            name_one(a, word);
        }
    }
}

static bool is_named(const adoption_t *a, rp_span_t name)
{
    char *key;

    if (!a->named) {
        return false;
    }
    key = apr_pstrmemdup(a->r->pool, name.p, name.n);
    ap_str_tolower(key);
    return apr_hash_get(a->named, key, (apr_ssize_t)name.n) != NULL;
}

/* ---- values ---- */

/* RFC 850 and asctime dates in the one form that may be sent (RFC 9110 5.6.7); others as they are. */
static const char *format_date(apr_pool_t *p, const char *value)
{
    apr_time_t t = apr_date_parse_http(value);
    char *out = apr_palloc(p, APR_RFC822_DATE_LEN);

    return t && apr_rfc822_date(out, t) == APR_SUCCESS ? out : value;
}

static void set_type(adoption_t *a, const char *value)
{
    if (a->has_type || a->is_interim) {
        return;
    }
    a->has_type = true;
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 132)
    /* Not trusted: a type from outside never becomes the handler of a later internal redirect. */
    ap_set_content_type_ex(a->r, value, 0);
#else
    ap_set_content_type(a->r, value);
#endif
}

/* One line, in plain digits, whatever the backend wrote (RFC 9110 8.6). */
static void add_length(adoption_t *a, const char *name)
{
    if (a->has_length || !a->framing->has_length) {
        return;
    }
    a->has_length = true;
    apr_table_addn(a->out, name, apr_psprintf(a->r->pool, "%" APR_UINT64_T_FMT, a->framing->length));
}

static void add_field(adoption_t *a, const rp_h1_field_t *field)
{
    field_kind_t kind = get_kind(field->name);
    const char *name, *value;

    if (kind == FIELD_HOP || is_named(a, field->name)) {
        return;
    }
    name = copy(a, field->name);
    value = copy(a, field->value);
    switch (kind) {
    case FIELD_LENGTH:
        add_length(a, name);
        return;
    case FIELD_DATE:
        value = format_date(a->r->pool, value);
        break;
    case FIELD_URL:
        value = rp_reverse_map(a->r, a->target, value);
        break;
    case FIELD_COOKIE:
        value = rp_reverse_map_cookie(a->r, a->target, value);
        break;
    case FIELD_TYPE:
        set_type(a, value);
        break;
    case FIELD_WARNING:
        a->has_warnings = true;
        break;
    default:
        break;
    }
    apr_table_addn(a->out, name, value);
}

/* ---- Warning ---- */

static const char *skip_spaces(const char *s)
{
    return s + strspn(s, " \t");
}

/* The end of a quoted string that starts at s, or NULL. */
static const char *skip_quoted(const char *s)
{
    if (*s != '"') {
        return NULL;
    }
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1]) {
            s++;
        }
    }
    return *s ? s + 1 : NULL;
}

/* `code agent "text"` at s: its end, or NULL. */
static const char *skip_warning(const char *s)
{
    size_t agent;

    if (!apr_isdigit(s[0]) || !apr_isdigit(s[1]) || !apr_isdigit(s[2]) || s[3] != ' ') {
        return NULL;
    }
    s = skip_spaces(s + 4);
    agent = strcspn(s, " \t");
    return agent ? skip_quoted(skip_spaces(s + agent)) : NULL;
}

typedef struct warnings_t {
    apr_pool_t *pool;
    apr_table_t *kept;
    apr_time_t date;
} warnings_t;

/* Keep what carries no date, or the response's own (RFC 7234 5.5.6). end: behind the text; returns
 * where the warning ends, its date included. */
static const char *keep_warning(warnings_t *w, const char *start, const char *end)
{
    const char *quote = skip_spaces(end);
    const char *after = skip_quoted(quote);
    apr_time_t own = 0;

    if (after) {
        own = apr_date_parse_http(apr_pstrmemdup(w->pool, quote + 1, (apr_size_t)(after - quote) - 2));
        end = after;
    }
    if (own == 0 || own == w->date) {
        apr_table_addn(w->kept, "Warning", apr_pstrmemdup(w->pool, start, (apr_size_t)(end - start)));
    }
    return end;
}

static int filter_warnings(void *ctx, const char *name, const char *value)
{
    warnings_t *w = ctx;
    const char *end;

    (void)name;
    while (*(value += strspn(value, ", \t"))) {
        end = skip_warning(value);
        if (!end) {
            /* Where a quote is not closed no later comma can be told from text. */
            return 1;
        }
        value = keep_warning(w, value, end);
        value += strcspn(value, ",");
    }
    return 1;
}

static void clean_warnings(adoption_t *a)
{
    const char *date = apr_table_get(a->out, "Date");
    warnings_t w = {a->r->pool, apr_table_make(a->r->pool, 2), date ? apr_date_parse_http(date) : 0};

    apr_table_do(filter_warnings, &w, a->out, "Warning", NULL);
    apr_table_unset(a->out, "Warning");
    apr_table_do(add_entry, a->out, w.kept, NULL);
}

/* ---- status ---- */

static void set_status(request_rec *r, const rp_h1_head_t *head)
{
    const char *code = apr_itoa(r->pool, head->status);
    const char *standard = ap_get_status_line(head->status);
    bool has_standard = !strncmp(standard, code, 3);

    r->status = head->status;
    if (has_standard && (head->reason_unfit || !strcmp(head->reason.p, standard + 4))) {
        r->status_line = standard;
    }
    else {
        r->status_line = apr_pstrcat(r->pool, code, " ", apr_pstrmemdup(r->pool, head->reason.p, head->reason.n), NULL);
    }
    apr_table_setn(r->notes, REVPROXY_NOTE_STATUS, code);
}

/* ---- fields of other modules ---- */

#define EARLIER_KEY "rp_reverse_earlier"

/* Cookies that other modules have set belong to the final response, not to a 1xx. */
static apr_table_t *start_fields(adoption_t *a)
{
    request_rec *r = a->r;
    apr_table_t *out = apr_table_make(r->pool, (int)a->head->nfields + 4);
    void *earlier = NULL;

    apr_pool_userdata_get(&earlier, EARLIER_KEY, r->pool);
    if (a->is_interim) {
        if (!earlier) {
            apr_pool_userdata_setn(r->headers_out, EARLIER_KEY, NULL, r->pool);
        }
        return out;
    }
    apr_table_do(add_entry, out, earlier ? earlier : r->headers_out, "Set-Cookie", NULL);
    return out;
}

static void add_via(adoption_t *a)
{
    rp_via_t via = rp_conf_get_server(a->r->server)->via;

    if (via == RP_VIA_ON || via == RP_VIA_FULL) {
        apr_table_addn(a->out, "Via", rp_reqhead_format_via(a->r, via, a->r->proto_num));
    }
}

void rp_reverse_adopt(request_rec *r, const rp_target_t *target, const rp_h1_head_t *head,
                      const rp_h1_framing_t *framing)
{
    adoption_t a = {.r = r, .target = target, .head = head, .framing = framing,
                    .is_interim = ap_is_HTTP_INFO(head->status)};
    unsigned i;

    a.out = start_fields(&a);
    set_status(r, head);
    copy_lines(&a);
    collect_named(&a);
    for (i = 0; i < head->nfields; i++) {
        add_field(&a, &head->fields[i]);
    }
    if (a.has_warnings) {
        clean_warnings(&a);
    }
    add_via(&a);
    r->headers_out = a.out;
    r->trailers_out = apr_table_make(r->pool, 2);
}

/* ---- error override ---- */

static bool is_overridden(const rp_dir_conf_t *dir, int status)
{
    int i;

    if (dir->error_override != RP_ON) {
        return false;
    }
    for (i = 0; i < dir->error_codes->nelts; i++) {
        if (APR_ARRAY_IDX(dir->error_codes, i, int) == status) {
            return true;
        }
    }
    return dir->error_codes->nelts == 0 && ap_is_HTTP_ERROR(status);
}

int rp_reverse_override(request_rec *r)
{
    const rp_dir_conf_t *dir = rp_conf_get_dir(r);
    int status = r->status;

    if (!is_overridden(dir, status)) {
        if (r->prev && is_overridden(dir, r->prev->status)) {
            /* We are the page for an error, which must not become a success. */
            r->status = r->prev->status;
            r->status_line = NULL;
        }
        return OK;
    }
    if (status == HTTP_UNAUTHORIZED) {
        apr_table_do(add_entry, r->err_headers_out, r->headers_out, "WWW-Authenticate", NULL);
    }
    apr_table_clear(r->headers_out);
    apr_table_setn(r->notes, "proxy-error-override", "1");
    /* Else httpd takes the error for one met while sending an error's page. */
    r->status = HTTP_OK;
    return status;
}

/* ---- trailers ---- */

/* What may change framing, routing, caching, access or how content is read (RFC 9110 6.5.1). */
static bool is_forbidden_trailer(rp_span_t name)
{
    static const char *const forbidden[] = {
        "Host", "Cache-Control", "Expect", "Max-Forwards", "Pragma", "Range", "Authorization",
        "WWW-Authenticate", "Authentication-Info", "Cookie", "Age", "Expires", "Date", "Location",
        "Retry-After", "Vary", "Warning", "Content-Encoding", "Content-Type", "Content-Range", NULL};
    field_kind_t kind = get_kind(name);
    int i;

    if (kind == FIELD_HOP || kind == FIELD_LENGTH || kind == FIELD_COOKIE) {
        return true;
    }
    for (i = 0; forbidden[i]; i++) {
        if (rp_h1_span_is(name, forbidden[i])) {
            return true;
        }
    }
    return false;
}

void rp_reverse_add_trailer(request_rec *r, rp_span_t name, rp_span_t value)
{
    if (is_forbidden_trailer(name)) {
        return;
    }
    apr_table_addn(r->trailers_out, apr_pstrmemdup(r->pool, name.p, name.n),
                   apr_pstrmemdup(r->pool, value.p, value.n));
}
