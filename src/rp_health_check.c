#include "rp_health_int.h"

#include <string.h>

#include "apr_strings.h"
#include "rp_shm.h"

/* Read at once; reads before the others get their turn. */
#define READ_SIZE 16384
#define READS     16
#define INTERIMS_MAX 10

/* ---- bytes ---- */

static void reserve(rp_check_t *c, rp_check_bytes_t *bytes, apr_size_t n)
{
    char *more;

    if (bytes->cap - bytes->n >= n) {
        return;
    }
    bytes->cap = (bytes->n + n) * 2;
    more = apr_palloc(c->pool, bytes->cap + 1); /* for the NUL behind a body */
    if (bytes->n) {
        memcpy(more, bytes->p, bytes->n);
    }
    bytes->p = more;
}

/* ---- words ---- */

const char *rp_check_describe(const rp_check_t *c)
{
    const char *name = rp_conf_get_check_name(c->method);

    return c->method == RP_CHECK_TCP ? name : apr_pstrcat(c->pool, name, " ", c->path, NULL);
}

static rp_check_result_t fail(rp_check_t *c, rp_err_t err, apr_status_t rv, const char *detail)
{
    char text[120];

    c->reason = apr_pstrcat(c->pool, rp_err_get(err)->text, detail ? ": " : "", detail ? detail : "",
                            rv ? ": " : "", rv ? apr_strerror(rv, text, sizeof(text)) : "", NULL);
    return RP_CHECK_FAILED;
}

static rp_check_result_t fail_conn(rp_check_t *c, rp_err_t err)
{
    return fail(c, err, rp_conn_get_status(c->conn), rp_conn_get_detail(c->conn));
}

static rp_check_result_t fail_h1(rp_check_t *c, rp_err_t err, rp_h1_error_t error)
{
    return fail(c, err, 0, rp_h1_error_text(error));
}

static rp_check_result_t fail_late(rp_check_t *c)
{
    static const rp_err_t late[] = {RP_E_CONNECT_TIMEOUT, RP_E_SEND_TIMEOUT, RP_E_HEAD_TIMEOUT, RP_E_BODY_TIMEOUT};
    apr_interval_time_t limit = rp_conf_get_check_timeout(c->member, rp_shm_get(c->member, RP_SHM_CHECK_INTERVAL));

    return fail(c, late[c->step], 0,
                apr_psprintf(c->pool, "not through after %" APR_TIME_T_FMT " ms", apr_time_as_msec(limit)));
}

/* ---- begin and end ---- */

static bool is_http11(rp_check_method_t method)
{
    return method >= RP_CHECK_OPTIONS11;
}

/* As mod_proxy puts them together, but for a path that would not begin with a slash. */
static const char *make_path(const rp_check_t *c)
{
    char uri[RP_SHM_TEXT];
    const char *own = c->member->path, *path;

    if (c->method == RP_CHECK_OPTIONS || c->method == RP_CHECK_OPTIONS11) {
        return "*";
    }
    rp_shm_get_text(c->member, RP_SHM_CHECK_URI, uri);
    path = apr_pstrcat(c->pool, own, *own && *uri ? "/" : "", uri, NULL);
    return *path == '/' ? path : apr_pstrcat(c->pool, "/", path, NULL);
}

static const char *make_request(const rp_check_t *c)
{
    static const char *const words[] = {
        [RP_CHECK_OPTIONS] = "OPTIONS", [RP_CHECK_HEAD] = "HEAD", [RP_CHECK_GET] = "GET",
        [RP_CHECK_OPTIONS11] = "OPTIONS", [RP_CHECK_HEAD11] = "HEAD", [RP_CHECK_GET11] = "GET",
    };
    const rp_backend_t *m = c->member;
    bool is_literal = strchr(m->host, ':') != NULL;

    return apr_psprintf(c->pool, "%s %s HTTP/1.%d\r\nHost: %s%s%s:%u\r\n\r\n", words[c->method], c->path,
                        is_http11(c->method), is_literal ? "[" : "", m->host, is_literal ? "]" : "", m->port);
}

/* The <Proxy> sections that a request to the balancer would be in: they have the TLS settings. */
static const char *find_sections(const rp_check_t *c)
{
    const apr_array_header_t *sections = rp_conf_get_server(c->member->server)->sections;
    const char *url = apr_pstrcat(c->pool, c->member->group->name, c->path, NULL), *list = "";
    int i;

    for (i = 0; i < sections->nelts; i++) {
        if (rp_conf_is_in_section(APR_ARRAY_IDX(sections, i, const rp_section_t *), url, 0, NULL)) {
            list = apr_pstrcat(c->pool, list, *list ? "," : "", apr_itoa(c->pool, i), NULL);
        }
    }
    return list;
}

static void fill_want(rp_check_t *c, apr_interval_time_t timeout)
{
    rp_conn_want_t *w = &c->want;

    rp_conn_init_want(w, &c->target, c->member->server);
    if (c->target.is_tls) {
        w->tls_name = c->target.host;
        w->tls_identity = find_sections(c);
    }
    w->timeout = timeout < w->timeout ? timeout : w->timeout;
    w->connect_timeout = timeout < w->connect_timeout ? timeout : w->connect_timeout;
}

static const rp_check_expr_t *find_expr(const rp_check_t *c)
{
    char name[RP_SHM_TEXT];

    rp_shm_get_text(c->member, RP_SHM_CHECK_EXPR, name);
    return *name && c->method != RP_CHECK_TCP ? rp_conf_find_check_expr(rp_conf_get_server(c->member->server), name)
                                              : NULL;
}

void rp_check_begin(rp_check_t *c)
{
    const rp_backend_t *member = c->member;
    const rp_server_conf_t *conf = rp_conf_get_server(member->server);
    apr_interval_time_t timeout = rp_conf_get_check_timeout(member, rp_shm_get(member, RP_SHM_CHECK_INTERVAL));

    memset(c, 0, sizeof(*c));
    c->member = member;
    if (apr_pool_create_unmanaged(&c->pool) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_pool_tag(c->pool, "rp_health");
    c->method = (rp_check_method_t)rp_shm_get(member, RP_SHM_CHECK_METHOD);
    c->target = *member;
    c->target.is_tls = member->is_tls && c->method != RP_CHECK_TCP;
    c->expr = find_expr(c);
    c->path = make_path(c);
    c->limits = (rp_h1_limits_t){member->opt.field_size, conf->head_max, (unsigned)conf->fields_max,
                                 RP_H1_BADHEADER_ERROR};
    c->deadline = apr_time_now() + timeout;
    fill_want(c, timeout);
    c->conn = rp_conn_make(&c->target);
}

void rp_check_end(rp_check_t *c)
{
    if (c->pool) {
        rp_conn_destroy(&c->conn);
        apr_pool_destroy(c->pool);
        c->pool = NULL;
    }
}

/* ---- the body ---- */

static rp_check_result_t keep_body(rp_check_t *c, rp_span_t data)
{
    apr_size_t most = rp_conf_get_server(c->member->server)->check_body_max;

    if (!c->expr || !c->expr->reads_body) {
        return RP_CHECK_GOES_ON;
    }
    if (data.n > most - c->body.n) {
        c->reason = apr_psprintf(c->pool, "body is longer than RevProxyCheckBodyMax (%" APR_SIZE_T_FMT " bytes)", most);
        return RP_CHECK_FAILED;
    }
    reserve(c, &c->body, data.n);
    memcpy(c->body.p + c->body.n, data.p, data.n);
    c->body.n += data.n;
    return RP_CHECK_GOES_ON;
}

static rp_check_result_t take_chunks(rp_check_t *c, rp_span_t data)
{
    rp_check_result_t result = RP_CHECK_GOES_ON;
    size_t pos = 0;
    rp_span_t piece;

    while (result == RP_CHECK_GOES_ON) {
        switch (rp_h1_chunk_next(&c->chunk, data.p, data.n, &pos, &piece)) {
        case RP_H1_CHUNK_DATA:
            result = keep_body(c, piece);
            break;
        case RP_H1_CHUNK_MORE:
            return RP_CHECK_GOES_ON;
        case RP_H1_CHUNK_END:
            return rp_check_judge(c);
        default:
            return fail_h1(c, RP_E_BODY_CHUNK, c->chunk.error);
        }
    }
    return result;
}

static rp_check_result_t take_length(rp_check_t *c, rp_span_t data)
{
    rp_check_result_t result;

    data.n = data.n < c->body_left ? data.n : (size_t)c->body_left;
    c->body_left -= data.n;
    result = keep_body(c, data);
    return result == RP_CHECK_GOES_ON && c->body_left == 0 ? rp_check_judge(c) : result;
}

static rp_check_result_t take_body(rp_check_t *c, rp_span_t data)
{
    switch (c->framing.body) {
    case RP_H1_BODY_LENGTH:
        return take_length(c, data);
    case RP_H1_BODY_CHUNKED:
        return take_chunks(c, data);
    case RP_H1_BODY_UNTIL_CLOSE:
        return keep_body(c, data);
    default:
        return rp_check_judge(c);
    }
}

/* ---- the head ---- */

/* The head of an answer to OPTIONS or HEAD is all that counts. */
static bool is_head_all(const rp_check_t *c)
{
    return c->method != RP_CHECK_GET && c->method != RP_CHECK_GET11;
}

static rp_check_result_t take_final_head(rp_check_t *c)
{
    rp_span_t rest = {c->head_bytes.p + c->head.body_at, c->head_bytes.n - c->head.body_at};

    if (c->head.status == 101) {
        return fail(c, RP_E_UPGRADE, 0, NULL);
    }
    if (is_head_all(c)) {
        return rp_check_judge(c);
    }
    if (rp_h1_framing(&c->framing, &c->head, false) != RP_H1_OK) {
        return fail_h1(c, RP_E_FRAMING, c->framing.error);
    }
    c->step = RP_CHECK_READING_BODY;
    c->body_left = c->framing.length;
    rp_h1_chunk_init(&c->chunk, &c->limits);
    return take_body(c, rest);
}

static rp_check_result_t parse_head(rp_check_t *c, size_t len)
{
    c->head.cap = c->scan.fields + 1;
    c->head.fields = apr_palloc(c->pool, c->head.cap * sizeof(*c->head.fields));
    if (rp_h1_head_parse(&c->head, c->head_bytes.p, len, &c->limits) != RP_H1_OK) {
        return fail_h1(c, RP_E_HEAD_BAD, c->head.error);
    }
    return RP_CHECK_GOES_ON;
}

static rp_check_result_t take_head(rp_check_t *c)
{
    rp_check_result_t result;
    size_t len;

    for (;;) {
        switch (rp_h1_head_scan(&c->scan, c->head_bytes.p, c->head_bytes.n, &c->limits, &len)) {
        case RP_H1_MORE:
            return RP_CHECK_GOES_ON;
        case RP_H1_BAD:
            return fail_h1(c, RP_E_HEAD_BAD, c->scan.error);
        default:
            break;
        }
        result = parse_head(c, len);
        if (result != RP_CHECK_GOES_ON) {
            return result;
        }
        if (c->head.status >= 200 || c->head.status == 101) {
            return take_final_head(c);
        }
        if (++c->interims > INTERIMS_MAX) {
            return fail(c, RP_E_INTERIM, 0, NULL);
        }
        c->head_bytes.n -= len;
        memmove(c->head_bytes.p, c->head_bytes.p + len, c->head_bytes.n);
        memset(&c->scan, 0, sizeof(c->scan));
    }
}

/* ---- reading ---- */

static rp_check_result_t take_end(rp_check_t *c)
{
    if (c->step == RP_CHECK_READING_HEAD) {
        return fail(c, RP_E_HEAD_EOF, 0, NULL);
    }
    return c->framing.body == RP_H1_BODY_UNTIL_CLOSE ? rp_check_judge(c) : fail(c, RP_E_BODY_EOF, 0, NULL);
}

static rp_io_t read_head(rp_check_t *c, rp_check_result_t *result)
{
    apr_size_t got;
    rp_io_t io;

    reserve(c, &c->head_bytes, READ_SIZE);
    io = rp_conn_read(c->conn, c->head_bytes.p + c->head_bytes.n, READ_SIZE, &got);
    if (io == RP_IO_OK) {
        c->head_bytes.n += got;
        *result = take_head(c);
    }
    return io;
}

static rp_io_t read_body(rp_check_t *c, rp_check_result_t *result)
{
    char buf[READ_SIZE];
    apr_size_t got;
    rp_io_t io = rp_conn_read(c->conn, buf, sizeof(buf), &got);

    if (io == RP_IO_OK) {
        *result = take_body(c, (rp_span_t){buf, got});
    }
    return io;
}

static rp_check_result_t read_some(rp_check_t *c)
{
    rp_check_result_t result = RP_CHECK_GOES_ON;
    int i;

    for (i = 0; i < READS && result == RP_CHECK_GOES_ON; i++) {
        bool is_body = c->step == RP_CHECK_READING_BODY;

        switch (is_body ? read_body(c, &result) : read_head(c, &result)) {
        case RP_IO_OK:
            break;
        case RP_IO_AGAIN:
            return RP_CHECK_GOES_ON;
        case RP_IO_EOF:
            return take_end(c);
        default:
            return fail_conn(c, is_body ? RP_E_BODY_READ : RP_E_HEAD_READ);
        }
    }
    return result;
}

/* ---- the steps ---- */

static rp_check_result_t send_request(rp_check_t *c)
{
    rp_io_t io = RP_IO_OK;

    while (io == RP_IO_OK && c->out) {
        struct iovec rest = {(void *)c->out, strlen(c->out)};
        apr_size_t sent = 0;

        io = rest.iov_len ? rp_conn_write(c->conn, &rest, 1, &sent) : rp_conn_flush(c->conn);
        c->out = rest.iov_len ? c->out + sent : io == RP_IO_OK ? NULL : c->out;
    }
    if (io == RP_IO_ERROR) {
        return fail_conn(c, RP_E_SEND);
    }
    if (io == RP_IO_OK) {
        c->step = RP_CHECK_READING_HEAD;
    }
    return RP_CHECK_GOES_ON;
}

static rp_check_result_t open_connection(rp_check_t *c)
{
    switch (rp_conn_open(c->conn, &c->want)) {
    case RP_IO_AGAIN:
        return RP_CHECK_GOES_ON;
    case RP_IO_OK:
        break;
    default:
        return fail_conn(c, rp_conn_get_error(c->conn));
    }
    if (c->method == RP_CHECK_TCP) {
        return RP_CHECK_PASSED;
    }
    c->out = make_request(c);
    c->step = RP_CHECK_SENDING;
    return RP_CHECK_GOES_ON;
}

rp_check_result_t rp_check_advance(rp_check_t *c)
{
    rp_check_result_t result = RP_CHECK_GOES_ON;

    if (c->step == RP_CHECK_OPENING) {
        result = open_connection(c);
    }
    if (result == RP_CHECK_GOES_ON && c->step == RP_CHECK_SENDING) {
        result = send_request(c);
    }
    if (result == RP_CHECK_GOES_ON && c->step >= RP_CHECK_READING_HEAD) {
        result = read_some(c);
    }
    return result == RP_CHECK_GOES_ON && apr_time_now() >= c->deadline ? fail_late(c) : result;
}

int rp_check_get_interest(const rp_check_t *c, short *events, apr_time_t *until)
{
    *until = c->deadline;
    if (c->step == RP_CHECK_OPENING && rp_conn_get_deadline(c->conn) < *until) {
        *until = rp_conn_get_deadline(c->conn);
    }
    else if (c->step >= RP_CHECK_READING_HEAD && rp_conn_has_buffered(c->conn)) {
        *until = 0; /* its turn was over, not what is to be read */
    }
    return rp_conn_get_interest(c->conn, events);
}
