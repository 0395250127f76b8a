#include "ap_mpm.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_core.h"

#include "rp_exchange_int.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* mod_proxy relays nine heads before the final one; the tenth is relayed and ends it. */
#define INTERIMS_MAX 10

static bool has_env(const rp_exchange_t *x, const char *name)
{
    return apr_table_get(x->r->subprocess_env, name) != NULL;
}

/* ---- waiting ---- */

/* Fill x->wait; limit: how long at most, unless the wait under way began earlier. */
static void want_wait(rp_exchange_t *x, int fd, short events, apr_interval_time_t limit)
{
    if (!x->wait_until && limit > 0) {
        x->wait_until = apr_time_now() + limit;
    }
    x->wait = (rp_wait_t){.backend_fd = fd, .backend_events = events, .client_fd = -1, .deadline = x->wait_until};
}

/* Did the wait that was under way fail? Else it has ended well, or goes on. */
static bool is_late(rp_exchange_t *x)
{
    bool late = x->ready.is_late;

    x->ready.is_late = false;
    if (late || x->ready.backend || x->ready.client) {
        x->wait_until = 0;
    }
    return late;
}

static void forget_wait(rp_exchange_t *x)
{
    x->wait_until = 0;
    x->ready = (rp_ready_t){0, 0, false, false};
}

/* Wait for the backend. The TLS layer may have to write before it can read. */
static void want_backend(rp_exchange_t *x, short events, apr_interval_time_t limit)
{
    short more = 0;

    if (events && !rp_conn_is_plain(x->conn)) {
        (void)rp_conn_get_interest(x->conn, &more);
    }
    want_wait(x, events ? rp_conn_get_fd(x->conn) : -1, events | (more & POLLOUT), limit);
    x->wait.tries_backend = events != 0;
}

static apr_interval_time_t get_backend_timeout(const rp_exchange_t *x)
{
    return rp_conf_get_timeout(x->target->backend, x->r->server);
}

/* ---- prepare ---- */

/* RFC 9110 7.6.2. *is_ours: we are the last recipient of this TRACE or OPTIONS. */
static rp_err_t check_max_forwards(rp_exchange_t *x, bool *is_ours)
{
    request_rec *r = x->r;
    const char *text = apr_table_get(r->headers_in, "Max-Forwards");
    apr_off_t hops = rp_conf_get_server(r->server)->max_forwards;

    if (text && !ap_parse_strict_length(&hops, text)) {
        return RP_E_MAX_FORWARDS_BAD;
    }
    if (text && hops == 0) {
        *is_ours = r->method_number == M_TRACE || r->method_number == M_OPTIONS;
        return *is_ours ? RP_E_NONE : RP_E_MAX_FORWARDS;
    }
    hops -= text != NULL;
    if (hops >= 0) {
        apr_table_setn(r->headers_in, "Max-Forwards", apr_off_t_toa(r->pool, hops));
    }
    return RP_E_NONE;
}

static int answer_locally(request_rec *r)
{
    r->proxyreq = PROXYREQ_NONE;
    return r->method_number == M_TRACE ? ap_send_http_trace(r) : ap_send_http_options(r);
}

static bool may_trace(rp_exchange_t *x, rp_step_t *next)
{
    request_rec *r = x->r;
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    bool has_body = x->up.client_chunked || x->up.length > 0;

    if (r->method_number != M_TRACE) {
        return true;
    }
    if (core->trace_enable == AP_TRACE_DISABLE) {
        apr_table_setn(r->notes, "error-notes", "TRACE forbidden by server configuration");
        *next = rp_exchange_fail_with(x, RP_E_TRACE_OFF);
        return false;
    }
    if (has_body && core->trace_enable != AP_TRACE_EXTENDED) {
        *next = rp_exchange_fail_with(x, RP_E_TRACE_BODY);
        return false;
    }
    return true;
}

/* What no backend should ever see. */
static rp_err_t check_client(const request_rec *r)
{
    if (r->method_number == M_CONNECT) {
        return RP_E_CLIENT_METHOD;
    }
    /* HTTP/2 has version 2.0 rightly, and comes as a stream. */
    if (!r->connection->master && r->proto_num >= HTTP_VERSION(2, 0)) {
        return RP_E_CLIENT_VERSION;
    }
    /* "http:///path" (RFC 9110 4.2.1): others take another host for meant than we do. */
    if (r->parsed_uri.scheme && r->parsed_uri.hostname && !*r->parsed_uri.hostname) {
        return RP_E_CLIENT_HOST;
    }
    return RP_E_NONE;
}

/* Reasons to use a connection for this request only. */
static bool is_single_use(const rp_exchange_t *x)
{
    return x->is_http10 || has_env(x, "proxy-nokeepalive") || x->r->main || x->up.is_suspect;
}

/* Tell a client to go on that waits for 100 Continue, when the backend is not to be asked. */
static void send_continue(rp_exchange_t *x)
{
    request_rec *r = x->r;

    if (r->expecting_100 && !x->client_expects && !x->up.is_read) {
        r->status = HTTP_CONTINUE;
        rp_client_send_interim(&x->client, false);
        r->status = HTTP_OK;
    }
}

static rp_step_t step_prepare(rp_exchange_t *x)
{
    request_rec *r = x->r;
    rp_step_t next;
    bool is_ours = false;
    rp_err_t err = check_client(r);

    if (err != RP_E_NONE) {
        return rp_exchange_fail_with(x, err);
    }
    rp_exchange_admit_stream(r);
    x->is_http10 = has_env(x, "force-proxy-request-1.0");
    if (!rp_up_init(&x->up, &x->client, x->is_http10)) {
        return rp_exchange_fail(x, &x->up.fault);
    }
    if (!may_trace(x, &next)) {
        return next;
    }
    err = check_max_forwards(x, &is_ours);
    if (err != RP_E_NONE || is_ours) {
        return is_ours ? rp_exchange_end(x, answer_locally(r)) : rp_exchange_fail_with(x, err);
    }
    if (x->up.is_suspect) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    x->wants_fresh = x->r->connection->keepalives == 0 && has_env(x, "proxy-initial-not-pooled");
    x->is_closing = is_single_use(x);
    x->client_expects = r->expecting_100 && !x->up.is_read && !x->is_http10 &&
                        rp_conf_get_dir(r)->forward_continue != RP_OFF;
    x->up.may_wait = !x->client_expects && !has_env(x, "proxy-prefetch-nonblocking");
    send_continue(x);
    return RP_STEP_PREFETCH;
}

/* ---- prefetch ---- */

static rp_step_t step_prefetch(rp_exchange_t *x)
{
    if (is_late(x)) {
        return rp_exchange_fail_with(x, RP_E_CLIENT_BODY_TIMEOUT);
    }
    switch (rp_up_prefetch(&x->up)) {
    case RP_PUMP_DONE:
        forget_wait(x);
        return RP_STEP_PICK;
    case RP_PUMP_FAIL:
        return rp_exchange_fail(x, &x->up.fault);
    default:
        want_wait(x, -1, 0, x->r->server->timeout);
        rp_client_want(&x->client, &x->wait, POLLIN);
        return RP_STEP_WAIT;
    }
}

/* ---- pick ---- */

static void fill_want(rp_exchange_t *x)
{
    const rp_backend_t *b = x->target->backend;
    rp_conn_want_t *w = &x->want;

    rp_conn_init_want(w, b, x->r->server);
    w->tls_identity = x->target->sections;
    w->resumes = rp_conf_get_dir(x->r)->tls_resume != RP_OFF;
    if (b->is_tls) {
        bool keeps_host = rp_conf_get_dir(x->r)->preserve_host == RP_ON && x->r->hostname;

        w->tls_name = keeps_host ? x->r->hostname : x->target->host;
    }
}

static rp_step_t step_pick(rp_exchange_t *x)
{
    const rp_backend_t *b;
    rp_step_t next;
    rp_err_t err;

    if (x->target->group) {
        next = rp_exchange_pick_member(x);
        if (next != RP_STEP_LEASE) {
            return next;
        }
    }
    b = x->target->backend;
    x->account.backend = b->is_dynamic ? apr_pstrdup(x->r->pool, b->name) : b->name;
    if (!x->target->group && b->opt.status_set & (RP_STATUS_DISABLED | RP_STATUS_STOPPED)) {
        return rp_exchange_fail_with(x, RP_E_BACKEND_OFF);
    }
    x->is_closing = is_single_use(x) || !b->opt.reuse;
    err = rp_exchange_choose_upgrade(x);
    if (err != RP_E_NONE) {
        return rp_exchange_fail_with(x, err);
    }
    fill_want(x);
    return RP_STEP_LEASE;
}

/* ---- an attempt begins ---- */

static bool is_asking_to_continue(const rp_exchange_t *x)
{
    bool has_body = x->up.framing == RP_FRAMING_CHUNKED || (x->up.framing == RP_FRAMING_LENGTH && x->up.length > 0);

    return !x->is_http10 && has_body && (x->client_expects || x->target->backend->opt.ping > 0);
}

/* Notes for log formats, by mod_proxy's names. */
static void note_source_port(const rp_exchange_t *x)
{
    apr_port_t port = rp_conn_get_local_port(x->conn);

    if (port) {
        apr_table_setn(x->r->notes, "proxy-source-port", apr_itoa(x->r->pool, port));
    }
}

static const char *get_tls_kind(const rp_exchange_t *x)
{
    if (rp_conn_is_plain(x->conn)) {
        return NULL;
    }
    if (x->is_reused) {
        return "kept";
    }
    return rp_conn_is_resumed(x->conn) ? "resumed" : "new";
}

static rp_step_t start_attempt(rp_exchange_t *x)
{
    bool asks = is_asking_to_continue(x);
    rp_reqhead_want_t want = {
        .target = x->target,
        .framing = x->up.framing,
        .length = x->up.length,
        .is_http10 = x->is_http10,
        .expect = asks,
        .close = x->is_closing,
        .upgrade = x->upgrade,
    };
    const char *head;
    apr_size_t len;
    rp_err_t err = rp_reqhead_build(x->r, &want, &head, &len);

    if (err != RP_E_NONE) {
        rp_fault_t fault = {.err = err, .detail = head};

        return rp_exchange_fail(x, &fault);
    }
    forget_wait(x);
    x->account.connected = apr_time_now();
    x->interims = 0;
    x->up_is_stopped = false;
    x->is_reused = rp_conn_get_uses(x->conn) > 0;
    x->account.tls = get_tls_kind(x);
    x->parking.is_slow = rp_conn_is_slow(x->conn);
    rp_conn_count_use(x->conn);
    rp_lb_note_connected(&x->lb);
    note_source_port(x);
    rp_up_start(&x->up, head, len, asks);
    return RP_STEP_SEND;
}

/* ---- lease ---- */

static rp_step_t step_lease(rp_exchange_t *x)
{
    if (is_late(x)) {
        return rp_exchange_fail_with(x, RP_E_POOL_FULL);
    }
    /* That an old connection is still there does not prove a member in error well. */
    switch (rp_pool_lease(&x->want, x->wants_fresh || x->lb.is_probe, &x->waiter, &x->conn)) {
    case RP_LEASE_REUSED:
        return start_attempt(x);
    case RP_LEASE_NEW:
        forget_wait(x);
        return RP_STEP_OPEN;
    default:
        want_wait(x, rp_pool_waiter_fd(x->waiter), POLLIN, x->target->backend->opt.acquire);
        return RP_STEP_WAIT;
    }
}

/* ---- open ---- */

static rp_step_t fail_opening(rp_exchange_t *x)
{
    rp_fault_t fault = {rp_conn_get_error(x->conn), rp_conn_get_status(x->conn), rp_conn_get_detail(x->conn), 0};

    return rp_exchange_fail(x, &fault);
}

static rp_step_t step_open(rp_exchange_t *x)
{
    short events = 0;
    int fd;

    switch (rp_conn_open(x->conn, &x->want)) {
    case RP_IO_OK:
        return start_attempt(x);
    case RP_IO_AGAIN:
        fd = rp_conn_get_interest(x->conn, &events);
        x->wait = (rp_wait_t){
            .backend_fd = fd, .backend_events = events, .client_fd = -1, .deadline = rp_conn_get_deadline(x->conn)};
        return RP_STEP_WAIT;
    default:
        return fail_opening(x);
    }
}

/* ---- send, and the response head ---- */

static bool is_sending(const rp_exchange_t *x)
{
    return !x->up.is_done && !x->up_is_stopped;
}

/* What a wait in the send step would fail with. */
static rp_err_t get_send_timeout(const rp_exchange_t *x, rp_pump_t up)
{
    if (up == RP_PUMP_WAIT_BACKEND) {
        return RP_E_SEND_TIMEOUT;
    }
    if (up == RP_PUMP_WAIT_CLIENT) {
        return RP_E_CLIENT_BODY_TIMEOUT;
    }
    return x->up.is_held ? RP_E_CONTINUE_TIMEOUT : RP_E_HEAD_TIMEOUT;
}

static apr_interval_time_t get_send_limit(const rp_exchange_t *x, rp_err_t timeout)
{
    const rp_options_t *opt = &x->target->backend->opt;

    if (timeout == RP_E_CLIENT_BODY_TIMEOUT) {
        return x->r->server->timeout;
    }
    return timeout == RP_E_CONTINUE_TIMEOUT && opt->ping > 0 ? opt->ping : get_backend_timeout(x);
}

static rp_step_t wait_for_answer(rp_exchange_t *x, rp_pump_t up)
{
    rp_err_t timeout = get_send_timeout(x, up);
    short events = POLLIN | (up == RP_PUMP_WAIT_BACKEND ? POLLOUT : 0);

    if (is_late(x)) {
        return rp_exchange_fail_with(x, x->late_err);
    }
    if (timeout != x->late_err) {
        x->wait_until = 0; /* another wait, with a limit of its own */
    }
    x->late_err = timeout;
    want_backend(x, events, get_send_limit(x, timeout));
    if (up == RP_PUMP_WAIT_CLIENT) {
        rp_client_want(&x->client, &x->wait, POLLIN);
    }
    return RP_STEP_WAIT;
}

/* May this 1xx go to the client? The environment may say. */
static bool relays_interim(const rp_exchange_t *x, int status)
{
    const char *policy = apr_table_get(x->r->subprocess_env, "proxy-interim-response");

    if (policy && !ap_cstr_casecmp(policy, "RFC")) {
        return true;
    }
    return !policy && (status != HTTP_CONTINUE || x->r->expecting_100);
}

static void relay_interim(rp_exchange_t *x)
{
    request_rec *r = x->r;
    int status = x->down.head.status;

    if (relays_interim(x, status)) {
        /* httpd sends a 100 only to a client that waits for one. */
        if (status == HTTP_CONTINUE) {
            r->expecting_100 = 1;
        }
        rp_reverse_adopt(r, x->target, &x->down.head, &x->down.framing);
        rp_client_send_interim(&x->client, true);
        r->status = HTTP_OK;
        r->status_line = NULL;
        apr_table_clear(r->headers_out);
    }
    if (status == HTTP_CONTINUE) {
        rp_up_release(&x->up);
    }
}

static rp_step_t take_interim(rp_exchange_t *x)
{
    if (x->down.head.status == HTTP_SWITCHING_PROTOCOLS) {
        return rp_exchange_switch(x);
    }
    relay_interim(x);
    if (++x->interims >= INTERIMS_MAX) {
        return rp_exchange_fail_with(x, RP_E_INTERIM);
    }
    /* The next head may lie in the buffer already. */
    x->ready.backend |= POLLIN;
    return RP_STEP_SEND;
}

static void add_trailer(void *ctx, rp_span_t name, rp_span_t value)
{
    rp_exchange_t *x = ctx;

    rp_reverse_add_trailer(x->r, name, value);
}

/* The member says that another had better be asked (failoverstatus=). RP_STEP_END: the client gets this. */
static rp_step_t try_another(rp_exchange_t *x)
{
    int status = x->down.head.status;
    rp_fault_t fault = {RP_E_MEMBER_STATUS, 0, NULL, 0};

    if (!rp_lb_is_refused(&x->lb, status)) {
        return RP_STEP_END;
    }
    fault.detail = apr_psprintf(x->r->pool, "status %d", status);
    return rp_exchange_try_again(x, &fault);
}

static rp_step_t take_head(rp_exchange_t *x)
{
    rp_step_t next;
    int status;

    forget_wait(x);
    rp_conn_note_slow(x->conn, x->parking.is_slow);
    if (x->down.head.status < 200) {
        return take_interim(x);
    }
    next = try_another(x);
    if (next != RP_STEP_END) {
        return next;
    }
    x->account.answered = apr_time_now();
    if (x->up.is_held) {
        /* Answered without having asked for the body: nobody waits for it any more. */
        x->up_is_stopped = true;
    }
    rp_reverse_adopt(x->r, x->target, &x->down.head, &x->down.framing);
    rp_exchange_decline_upgrade(x);
    rp_lb_note_response(&x->lb, x->down.head.status);
    status = rp_reverse_override(x->r);
    if (status != OK) {
        rp_pool_retire(&x->conn);
        return rp_exchange_end(x, status);
    }
    rp_down_start_body(&x->down, add_trailer, x);
    return RP_STEP_RELAY;
}

/* The backend takes no more of the request: it may have answered before it closed. */
static rp_step_t stop_sending(rp_exchange_t *x)
{
    if (x->up.fault.err != RP_E_SEND) {
        return rp_exchange_fail(x, &x->up.fault);
    }
    x->up_is_stopped = true;
    if (rp_down_read_head(&x->down, x->conn) == RP_PUMP_DONE) {
        return take_head(x);
    }
    return rp_exchange_fail(x, &x->up.fault);
}

/* A head that has begun has the timeout as a whole: a backend that sends a byte of it now and then, or TLS
 * records with nothing in them, does not hold the request for ever. */
static rp_pump_t read_head(rp_exchange_t *x)
{
    bool had_begun = rp_down_is_in_head(&x->down);
    rp_pump_t down = rp_down_read_head(&x->down, x->conn);

    if (!had_begun && rp_down_is_in_head(&x->down)) {
        x->wait_until = 0;
    }
    return down;
}

static rp_step_t step_send(rp_exchange_t *x)
{
    rp_pump_t up = RP_PUMP_DONE;

    if (is_sending(x)) {
        up = rp_up_pump(&x->up, x->conn);
        if (up == RP_PUMP_FAIL) {
            return stop_sending(x);
        }
    }
    if ((x->ready.backend & POLLIN) || (x->ready.backend && !is_sending(x))) {
        x->ready.backend &= is_sending(x) ? POLLOUT : 0;
        switch (read_head(x)) {
        case RP_PUMP_DONE:
            return take_head(x);
        case RP_PUMP_FAIL:
            return rp_exchange_fail(x, &x->down.fault);
        default:
            break;
        }
    }
    return wait_for_answer(x, up);
}

/* ---- relay ---- */

/* httpd would first read what is left of the request, or, where the MPM does not wait for
 * writers, the whole of a next request that has begun to come. */
static bool is_flushed_late(const rp_exchange_t *x)
{
    int is_async = 0;

    return !x->up.is_read || ap_mpm_query(AP_MPMQ_IS_ASYNC, &is_async) != APR_SUCCESS || !is_async;
}

static rp_step_t complete(rp_exchange_t *x)
{
    bool is_gone;

    /* The backend is owed the rest of the request, unless the client will not send it. */
    if (is_sending(x) && x->down.framing.persistent && !x->r->expecting_100) {
        is_gone = !rp_down_finish(&x->down) || !rp_client_flush(&x->client, x->down.bb);
        forget_wait(x);
        return is_gone ? rp_exchange_fail_with(x, RP_E_CLIENT_GONE) : RP_STEP_DRAIN;
    }
    /* Before the client has drained its output: a slow one holds no connection. */
    rp_exchange_release_conn(x);
    if (rp_down_finish(&x->down) && is_flushed_late(x)) {
        (void)rp_client_flush(&x->client, x->down.bb);
    }
    return rp_exchange_end(x, OK);
}

static rp_step_t wait_to_relay(rp_exchange_t *x, rp_pump_t up, rp_pump_t down)
{
    bool for_client = down == RP_PUMP_WAIT_CLIENT;
    short backend = for_client ? 0 : POLLIN;
    short client = for_client ? POLLOUT : 0;

    /* What came from the backend counts by what there was for the client in it. */
    x->ready.backend &= POLLOUT;
    if (is_late(x)) {
        return rp_exchange_fail_with(x, x->late_err);
    }
    x->late_err = for_client ? RP_E_CLIENT_SEND_TIMEOUT : RP_E_BODY_TIMEOUT;
    if (x->down.is_ended && !is_sending(x)) {
        /* A slow client holds no connection. */
        rp_exchange_release_conn(x);
    }
    if (up == RP_PUMP_WAIT_BACKEND) {
        backend |= POLLOUT;
    }
    if (up == RP_PUMP_WAIT_CLIENT) {
        client |= POLLIN;
    }
    want_backend(x, backend, for_client ? x->r->server->timeout : get_backend_timeout(x));
    if (client) {
        rp_client_want(&x->client, &x->wait, client);
    }
    return RP_STEP_WAIT;
}

static rp_step_t step_relay(rp_exchange_t *x)
{
    rp_pump_t up = RP_PUMP_DONE, down;
    apr_uint64_t before = rp_down_get_progress(&x->down);

    if (is_sending(x)) {
        up = rp_up_pump(&x->up, x->conn);
        if (up == RP_PUMP_FAIL) {
            if (x->up.fault.err != RP_E_SEND) {
                return rp_exchange_fail(x, &x->up.fault);
            }
            x->up_is_stopped = true;
        }
    }
    down = rp_down_pump(&x->down, x->conn);
    if (down == RP_PUMP_DONE) {
        return complete(x);
    }
    if (down == RP_PUMP_FAIL) {
        return rp_exchange_fail(x, &x->down.fault);
    }
    if (rp_down_get_progress(&x->down) != before) {
        x->wait_until = 0;
    }
    return wait_to_relay(x, up, down);
}

/* ---- drain ---- */

static rp_step_t step_drain(rp_exchange_t *x)
{
    rp_pump_t up = is_late(x) ? RP_PUMP_FAIL : rp_up_pump(&x->up, x->conn);

    if (up == RP_PUMP_DONE || up == RP_PUMP_FAIL) {
        rp_exchange_release_conn(x);
        return rp_exchange_end(x, OK);
    }
    if (up == RP_PUMP_WAIT_CLIENT) {
        want_wait(x, -1, 0, x->r->server->timeout);
        rp_client_want(&x->client, &x->wait, POLLIN);
    }
    else {
        want_backend(x, POLLOUT, get_backend_timeout(x));
    }
    if (rp_client_has_pending(&x->client)) {
        rp_client_want(&x->client, &x->wait, x->wait.client_events | POLLOUT);
    }
    return RP_STEP_WAIT;
}

/* ---- the list ---- */

static const struct {
    const char *phase; /* for log lines: what was going on */
    rp_step_t (*run)(rp_exchange_t *x);
} steps[] = {
    [RP_STEP_PREPARE] = {"looking at the request", step_prepare},
    [RP_STEP_PREFETCH] = {"reading the request body", step_prefetch},
    [RP_STEP_PICK] = {"choosing a backend", step_pick},
    [RP_STEP_LEASE] = {"waiting for a free connection", step_lease},
    [RP_STEP_OPEN] = {"connecting", step_open},
    [RP_STEP_SEND] = {"sending the request", step_send},
    [RP_STEP_RELAY] = {"relaying the response body", step_relay},
    [RP_STEP_DRAIN] = {"sending the rest of the request", step_drain},
    [RP_STEP_TUNNEL] = {"tunnelling", rp_exchange_run_tunnel},
};

const char *rp_exchange_get_phase(const rp_exchange_t *x)
{
    if (x->step == RP_STEP_SEND && x->up.is_held) {
        return "waiting for 100 Continue";
    }
    if (x->step == RP_STEP_SEND && !is_sending(x)) {
        return x->down.got ? "reading the response head" : "waiting for the response";
    }
    return x->step < RP_STEP_END ? steps[x->step].phase : "ending";
}

rp_step_t rp_exchange_run_step(rp_exchange_t *x)
{
    return steps[x->step].run(x);
}
