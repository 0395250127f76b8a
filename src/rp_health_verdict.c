#include "rp_health_int.h"

#include "ap_expr.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "rp_shm.h"
#include "util_script.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* ---- the response as httpd's expressions see it ---- */

/* No connection of httpd's: only what expressions may ask of one. */
static conn_rec *make_conn_rec(const rp_check_t *c)
{
    conn_rec *conn = apr_pcalloc(c->pool, sizeof(*conn));
    apr_sockaddr_t *peer = apr_pmemdup(c->pool, rp_conn_get_peer(c->conn), sizeof(apr_sockaddr_t));

    peer->pool = c->pool;
    conn->pool = c->pool;
    conn->base_server = c->member->server;
    conn->client_addr = conn->local_addr = peer;
    conn->client_ip = conn->local_ip = (char *)c->member->host;
    conn->conn_config = ap_create_conn_config(c->pool);
    conn->notes = apr_table_make(c->pool, 1);
    conn->log_id = "health";
    conn->outgoing = 1;
    conn->keepalive = AP_CONN_CLOSE;
    return conn;
}

static void fill_head(const rp_check_t *c, request_rec *r)
{
    unsigned i;

    for (i = 0; i < c->head.nfields; i++) {
        apr_table_addn(r->headers_out, c->head.fields[i].name.p, c->head.fields[i].value.p);
    }
    r->content_type = apr_table_get(r->headers_out, "Content-Type");
    r->status = c->head.status;
    r->status_line = apr_psprintf(r->pool, "%d %.*s", c->head.status, (int)c->head.reason.n, c->head.reason.p);
}

static void fill_request(const rp_check_t *c, request_rec *r)
{
    const char *name = rp_conf_get_check_name(c->method);
    bool is_11 = c->method >= RP_CHECK_OPTIONS11;

    r->method = is_11 ? apr_pstrmemdup(r->pool, name, strlen(name) - 2) : name;
    r->method_number = ap_method_number_of(r->method);
    r->protocol = is_11 ? "HTTP/1.1" : "HTTP/1.0";
    r->proto_num = HTTP_VERSION(1, is_11);
    r->uri = r->unparsed_uri = (char *)c->path;
    r->the_request = apr_pstrcat(r->pool, r->method, " ", c->path, " ", r->protocol, NULL);
    r->hostname = c->member->host;
    r->header_only = c->method != RP_CHECK_GET && c->method != RP_CHECK_GET11;
}

static void add_body(rp_check_t *c, request_rec *r)
{
    if (c->body.n) {
        c->body.p[c->body.n] = '\0';
        apr_table_setn(r->notes, RP_CHECK_BODY_NOTE, c->body.p);
    }
}

static request_rec *make_request_rec(rp_check_t *c)
{
    request_rec *r = apr_pcalloc(c->pool, sizeof(*r));

    r->pool = c->pool;
    r->server = c->member->server;
    r->connection = make_conn_rec(c);
    r->useragent_addr = r->connection->client_addr;
    r->useragent_ip = r->connection->client_ip;
    r->per_dir_config = r->server->lookup_defaults;
    r->request_config = ap_create_request_config(r->pool);
    r->allowed_methods = ap_make_method_list(r->pool, 1);
    r->headers_in = apr_table_make(r->pool, 1);
    r->headers_out = apr_table_make(r->pool, 16);
    r->err_headers_out = apr_table_make(r->pool, 1);
    r->trailers_in = apr_table_make(r->pool, 1);
    r->trailers_out = apr_table_make(r->pool, 1);
    r->subprocess_env = apr_table_make(r->pool, 1);
    r->notes = apr_table_make(r->pool, 2);
    r->request_time = apr_time_now();
    r->proxyreq = PROXYREQ_RESPONSE;
    r->read_body = REQUEST_NO_BODY;
    r->used_path_info = AP_REQ_DEFAULT_PATH_INFO;
    r->log_id = r->connection->log_id;
    fill_request(c, r);
    fill_head(c, r);
    add_body(c, r);
    return r;
}

/* ---- one check ---- */

static rp_check_result_t judge_by_expr(rp_check_t *c)
{
    const char *err = NULL;
    int rc = ap_expr_exec(make_request_rec(c), c->expr->expr, &err);

    if (rc > 0 && !err) {
        return RP_CHECK_PASSED;
    }
    c->reason = err ? apr_psprintf(c->pool, "status %d, condition %s cannot be evaluated: %s", c->head.status,
                                   c->expr->name, err)
                    : apr_psprintf(c->pool, "status %d, condition %s is false", c->head.status, c->expr->name);
    return RP_CHECK_FAILED;
}

rp_check_result_t rp_check_judge(rp_check_t *c)
{
    if (c->expr) {
        return judge_by_expr(c);
    }
    if (c->head.status >= 200 && c->head.status <= 399) {
        return RP_CHECK_PASSED;
    }
    c->reason = apr_psprintf(c->pool, "status %d", c->head.status);
    return RP_CHECK_FAILED;
}

/* ---- in a row ---- */

static void log_change(const rp_check_t *c, rp_err_t err, const char *detail)
{
    rp_err_where_t where = {.backend = c->member->name};

    rp_err_log_server(c->member->server, err, 0, &where,
                      apr_pstrcat(c->pool, c->member->group->name, ", ", rp_check_describe(c), ", ", detail, NULL));
}

/* One more in a row; true: it takes no more. */
static bool count(const rp_check_t *c, rp_shm_number_t counter, rp_shm_number_t enough)
{
    apr_int64_t n = rp_shm_add(c->member, counter, 1);

    return n >= rp_shm_get(c->member, enough);
}

/* Ends any error of the member, whatever it came from: it is proved well. */
static void bring_back(const rp_check_t *c)
{
    rp_shm_set(c->member, RP_SHM_ERROR_TIME, 0);
    rp_shm_set(c->member, RP_SHM_RETRIES, 0);
    rp_shm_set(c->member, RP_SHM_CHECKS_PASSED, 0);
    (void)rp_shm_change_status(c->member, 0, RP_STATUS_CHECK_FAILED | RP_STATUS_ERROR);
    log_change(c, RP_E_CHECKS_PASSED, "passed");
}

static void take_out(const rp_check_t *c)
{
    rp_shm_set(c->member, RP_SHM_ERROR_TIME, apr_time_now());
    rp_shm_set(c->member, RP_SHM_CHECKS_FAILED, 0);
    (void)rp_shm_change_status(c->member, RP_STATUS_CHECK_FAILED, 0);
    log_change(c, RP_E_CHECKS_FAILED, c->reason);
}

static void note_while_out(const rp_check_t *c, bool has_passed)
{
    rp_shm_set(c->member, RP_SHM_CHECKS_FAILED, 0);
    if (!has_passed) {
        rp_shm_set(c->member, RP_SHM_CHECKS_PASSED, 0);
    }
    else if (count(c, RP_SHM_CHECKS_PASSED, RP_SHM_CHECK_PASSES)) {
        bring_back(c);
    }
}

static void note_while_in(const rp_check_t *c, bool has_passed)
{
    rp_shm_set(c->member, RP_SHM_CHECKS_PASSED, 0);
    if (has_passed) {
        rp_shm_set(c->member, RP_SHM_CHECKS_FAILED, 0);
    }
    else if (count(c, RP_SHM_CHECKS_FAILED, RP_SHM_CHECK_FAILS)) {
        take_out(c);
    }
    else {
        log_change(c, RP_E_CHECK_FAILED, c->reason);
    }
}

void rp_check_note(const rp_check_t *c, rp_check_result_t result)
{
    bool has_passed = result == RP_CHECK_PASSED;

    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, c->member->server, "health check of %s: %s: %s", c->member->name,
                 rp_check_describe(c), has_passed ? "passed" : c->reason);
    rp_shm_set(c->member, RP_SHM_CHECK_TIME, apr_time_now());
    if (rp_shm_get(c->member, RP_SHM_STATUS) & (RP_STATUS_CHECK_FAILED | RP_STATUS_ERROR)) {
        note_while_out(c, has_passed);
    }
    else {
        note_while_in(c, has_passed);
    }
}
