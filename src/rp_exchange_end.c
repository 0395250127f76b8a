#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "rp_exchange_int.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* RFC 9110 9.2.2: may be sent again when it is unknown whether it was processed. */
static bool is_idempotent(const request_rec *r)
{
    switch (r->method_number) {
    case M_GET: /* and HEAD */
    case M_OPTIONS:
    case M_TRACE:
    case M_PUT:
    case M_DELETE:
        return true;
    default:
        return false;
    }
}

/* A pooled connection that the backend closed while we took it up: no byte came back. */
static bool is_stale(const rp_exchange_t *x, rp_err_t err)
{
    return x->is_reused && x->conn && x->down.got == 0 &&
           (err == RP_E_HEAD_EOF || err == RP_E_HEAD_READ || err == RP_E_SEND);
}

/* RFC 9110 9.2.1: does no harm wherever it is processed. */
static bool is_safe(const request_rec *r)
{
    return r->method_number == M_GET || r->method_number == M_OPTIONS || r->method_number == M_TRACE;
}

/* May another member of the group get the request? */
static bool is_for_another(const rp_exchange_t *x, rp_err_t err)
{
    unsigned flags = rp_err_get(err)->flags;

    return flags & RP_ERR_UNSENT || (flags & RP_ERR_REPLAY && (x->up.sent == 0 || is_safe(x->r)));
}

/* The one retry decision: the step to go on with, or the end. */
static rp_step_t decide(rp_exchange_t *x, rp_err_t err)
{
    bool can_restart = !x->client.head_sent && rp_up_can_restart(&x->up);

    if (can_restart && is_stale(x, err) && (x->up.sent == 0 || is_idempotent(x->r))) {
        x->wants_fresh = true;
        return RP_STEP_LEASE;
    }
    return rp_lb_note_failure(&x->lb, err) && can_restart && is_for_another(x, err) ? RP_STEP_PICK : RP_STEP_END;
}

static void fill_where(const rp_exchange_t *x, rp_err_where_t *where)
{
    where->route = x->target->route_name;
    where->backend = x->target->backend ? x->target->backend->name : NULL;
    where->phase = rp_exchange_get_phase(x);
    where->attempt = x->account.attempts;
}

/* Nothing was sent to the client: httpd's error handling takes over. */
static int prepare_error(rp_exchange_t *x, const rp_fault_t *fault)
{
    request_rec *r = x->r;
    int status;

    r->status = HTTP_OK;
    r->status_line = NULL;
    status = rp_err_to_status(r, fault->err, x->target->host);
    if (fault->status) {
        status = fault->status;
    }
    return status ? status : HTTP_BAD_REQUEST;
}

/* What a client without chunked coding or Content-Length would take for the end
 * of the body must not look like one (RFC 9112 8): reset instead of closing. */
static void reset_client(rp_exchange_t *x)
{
    request_rec *r = x->r;
    apr_socket_t *sock = ap_get_conn_socket(r->connection);

    if (x->client.fd >= 0 && sock && r->proto_num < HTTP_VERSION(1, 1) &&
        !apr_table_get(r->headers_out, "Content-Length")) {
        struct linger at_once = {1, 0};

        (void)setsockopt(x->client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        r->connection->aborted = 1;
    }
}

static int cut_response(rp_exchange_t *x)
{
    rp_client_cut(&x->client, x->down.bb);
    reset_client(x);
    return OK;
}

rp_step_t rp_exchange_end(rp_exchange_t *x, int result)
{
    x->result = result;
    return RP_STEP_END;
}

void rp_exchange_note_fault(rp_exchange_t *x, const rp_fault_t *fault)
{
    rp_err_where_t where;

    fill_where(x, &where);
    rp_err_log(x->r, fault->err, fault->rv, &where, fault->detail);
    x->account.code = rp_err_get(fault->err)->code;
}

rp_step_t rp_exchange_try_again(rp_exchange_t *x, const rp_fault_t *fault)
{
    rp_step_t next = decide(x, fault->err);
    rp_err_where_t where;

    if (next == RP_STEP_END) {
        return next;
    }
    fill_where(x, &where);
    rp_err_log_retried(x->r, next == RP_STEP_LEASE ? RP_E_STALE : fault->err, fault->rv, &where, fault->detail);
    rp_pool_stop_waiting(&x->waiter);
    rp_pool_retire(&x->conn);
    if (next == RP_STEP_PICK) {
        rp_exchange_leave_member(x);
    }
    rp_down_reset(&x->down);
    x->wait_until = 0; /* each attempt has its own time */
    x->account.attempts++;
    return next;
}

rp_step_t rp_exchange_fail(rp_exchange_t *x, const rp_fault_t *fault)
{
    rp_step_t next = rp_exchange_try_again(x, fault);

    if (next != RP_STEP_END) {
        return next;
    }
    rp_exchange_note_fault(x, fault);
    rp_pool_retire(&x->conn);
    if (fault->err == RP_E_HEAD_TIMEOUT) {
        apr_table_setn(x->r->notes, "proxy_timedout", "1");
    }
    if (x->client.head_sent) {
        return rp_exchange_end(x, cut_response(x));
    }
    return rp_exchange_end(x, prepare_error(x, fault));
}

rp_step_t rp_exchange_fail_with(rp_exchange_t *x, rp_err_t err)
{
    rp_fault_t fault = {err, 0, NULL, 0};

    return rp_exchange_fail(x, &fault);
}

rp_step_t rp_exchange_lose_client(rp_exchange_t *x)
{
    x->r->connection->aborted = 1;
    return rp_exchange_fail_with(x, RP_E_CLIENT_GONE);
}

/* Reuse needs proof that both directions are complete (CVE-2010-2791, CVE-2012-3502): the default is to close. */
static bool is_reusable(const rp_exchange_t *x)
{
    return x->down.is_ended && !x->down.is_surplus && x->down.framing.persistent && x->up.is_done &&
           !x->up_is_stopped && !x->is_closing;
}

void rp_exchange_release_conn(rp_exchange_t *x)
{
    if (is_reusable(x)) {
        rp_pool_give_back(&x->conn);
    }
    else {
        rp_pool_retire(&x->conn);
    }
    /* Before the client sees the end of its response: its next request finds the member free. */
    rp_exchange_leave_member(x);
}

void rp_exchange_finish(rp_exchange_t *x)
{
    if (x->is_finished) {
        return;
    }
    x->is_finished = true;
    x->account.ended = apr_time_now();
    if (!x->up.is_read && !x->r->main) {
        /* httpd would read the rest of the request body here, in this thread, before the end of the
         * response goes out. Its lingering close takes that rest without one. */
        x->r->connection->keepalive = AP_CONN_CLOSE;
    }
    rp_exchange_leave_tunnel(x);
    rp_park_forget(x->parking.park);
    rp_client_leave(&x->client);
    rp_pool_stop_waiting(&x->waiter);
    rp_pool_retire(&x->conn);
    rp_exchange_leave_member(x);
    rp_down_free(&x->down);
    if (x->target->is_dynamic) {
        rp_pool_drop_dynamic(&x->target->backend);
    }
}
