/* The steps around a tunnel: ask for an upgrade, judge the answer, carry bytes, end. */
#include "apr_strings.h"

#include "rp_exchange_int.h"

#define WEBSOCKET "websocket"
/* What a client is told that found all places taken: tunnels come and go slowly. */
#define RETRY_AFTER_SECONDS "10"

/* ---- which protocol ---- */

static rp_span_t span_of(const char *text)
{
    return (rp_span_t){text, text ? strlen(text) : 0};
}

/* WebSocket needs no word of the operator's, other protocols do: users expect it so. */
static bool is_allowed(const rp_exchange_t *x, rp_span_t protocol)
{
    const char *upgrade = x->target->backend->opt.upgrade;

    return rp_conf_is_in_upgrade(upgrade ? upgrade : WEBSOCKET, protocol);
}

/* The first of a list that may be passed on, or NULL. */
static const char *find_allowed(const rp_exchange_t *x, rp_span_t list)
{
    rp_span_t protocol;

    while (rp_h1_list_next(&list, &protocol)) {
        if (is_allowed(x, protocol)) {
            return apr_pstrmemdup(x->r->pool, protocol.p, protocol.n);
        }
    }
    return NULL;
}

/* ---- asking ---- */

/* mod_http2 hands an extended CONNECT on as the GET of a handshake (RFC 8441), and says that it is
 * chunked since the stream is open; but what comes there is the tunnel's. No client can send these
 * fields by HTTP/2 itself (RFC 9113 8.2.2). */
void rp_exchange_admit_stream(request_rec *r)
{
    const char *upgrade = apr_table_get(r->headers_in, "Upgrade");

    if (r->connection->master && upgrade && !ap_cstr_casecmp(upgrade, WEBSOCKET)) {
        apr_table_unset(r->headers_in, "Transfer-Encoding");
    }
}

/* A page for an error is no answer to the client's handshake. */
static bool is_error_page(const request_rec *r)
{
    return r->prev && ap_is_HTTP_ERROR(r->prev->status);
}

/* RFC 9110 7.8: by HTTP/1.1 at least, and named by Connection. The request must be complete before
 * its connection becomes something else. */
static bool is_asking(const rp_exchange_t *x)
{
    request_rec *r = x->r;
    const char *connection = apr_table_getm(r->pool, r->headers_in, "Connection");

    return !x->is_http10 && !r->main && r->proto_num >= HTTP_VERSION(1, 1) && x->up.is_read && !is_error_page(r) &&
           connection && rp_h1_value_has_token(span_of(connection), "upgrade");
}

/* RFC 6455 4.1: a GET, and there is no body that two servers might see differently. */
static bool is_handshake(const rp_exchange_t *x)
{
    return !strcmp(x->r->method, "GET") && x->up.got == 0 && !x->up.client_chunked;
}

static const char *choose_protocol(const rp_exchange_t *x)
{
    request_rec *r = x->r;
    const char *wanted = apr_table_getm(r->pool, r->headers_in, "Upgrade");
    const char *protocol = wanted && is_asking(x) ? find_allowed(x, span_of(wanted)) : NULL;

    /* Else an ordinary request: ignoring an Upgrade is always allowed (RFC 9110 7.8). */
    return protocol && (ap_cstr_casecmp(protocol, WEBSOCKET) || is_handshake(x)) ? protocol : NULL;
}

/* ProxyWebsocketFallbackToProxyHttp Off: a ws target takes nothing else. */
static bool needs_upgrade(const rp_exchange_t *x)
{
    return x->target->scheme[0] == 'w' && rp_conf_get_dir(x->r)->ws_fallback == RP_OFF;
}

static rp_err_t take_place(rp_exchange_t *x)
{
    const rp_backend_t *b = x->target->backend;
    /* Backends made at run time are counted together, as their route's. */
    const rp_backend_t *counted = x->target->route && x->target->route->backend ? x->target->route->backend : b;

    return rp_tunnel_take_place(&x->place, rp_conf_get_server(x->r->server)->tunnel_max, counted->id,
                                b->opt.tunnel_max);
}

rp_err_t rp_exchange_choose_upgrade(rp_exchange_t *x)
{
    rp_err_t err;

    x->upgrade = choose_protocol(x);
    if (!x->upgrade) {
        if (!needs_upgrade(x)) {
            return RP_E_NONE;
        }
        apr_table_setn(x->r->err_headers_out, "Upgrade", "WebSocket");
        apr_table_setn(x->r->err_headers_out, "Connection", "Upgrade");
        return RP_E_UPGRADE_REQUIRED;
    }
    err = take_place(x);
    if (err != RP_E_NONE) {
        apr_table_setn(x->r->err_headers_out, "Retry-After", RETRY_AFTER_SECONDS);
        return err;
    }
    apr_table_unset(x->r->err_headers_out, "Retry-After");
    rp_client_drop_head(&x->client);
    return RP_E_NONE;
}

/* ---- the answer ---- */

void rp_exchange_decline_upgrade(rp_exchange_t *x)
{
    const rp_h1_head_t *head = &x->down.head;
    unsigned i = rp_h1_field_find(head, "Upgrade", 0);
    const char *offered = i < head->nfields ? find_allowed(x, head->fields[i].value) : NULL;

    rp_tunnel_leave_place(&x->place);
    /* What the backend would speak: of use to the client where it may be asked for (426). */
    if (offered && !x->r->connection->master) {
        apr_table_setn(x->r->headers_out, "Upgrade", offered);
        apr_table_setn(x->r->headers_out, "Connection", "Upgrade");
    }
}

/* NULL: the backend switches to what it was asked for. Else what is wrong (CVE-2019-17567: without
 * this, what follows is read by nobody but the backend). */
static const char *find_mistake(const rp_exchange_t *x)
{
    const rp_h1_head_t *head = &x->down.head;
    unsigned i = rp_h1_field_find(head, "Upgrade", 0);

    if (!x->upgrade) {
        return "no upgrade was asked for";
    }
    if (!x->up.is_done) {
        return "the request had not been sent";
    }
    if (i == head->nfields || rp_h1_field_find(head, "Upgrade", i + 1) < head->nfields) {
        return "not one Upgrade field";
    }
    if (!rp_h1_span_is(head->fields[i].value, x->upgrade)) {
        return "to another protocol";
    }
    return rp_h1_head_has_token(head, "Connection", "upgrade") ? NULL : "Connection does not name it";
}

rp_step_t rp_exchange_switch(rp_exchange_t *x)
{
    rp_fault_t fault = {RP_E_UPGRADE, 0, find_mistake(x), 0};

    if (fault.detail) {
        return rp_exchange_fail(x, &fault);
    }
    rp_reverse_adopt(x->r, x->target, &x->down.head, &x->down.framing);
    rp_lb_note_response(&x->lb, HTTP_SWITCHING_PROTOCOLS);
    x->account.answered = apr_time_now();
    x->account.is_tunnel = true;
    /* What went before does not count any more, nor that the client had no more to send. */
    x->ready = (rp_ready_t){0, 0, false, false};
    x->tunnel = rp_tunnel_start(&x->client, x->conn, &x->down, x->upgrade);
    return RP_STEP_TUNNEL;
}

/* ---- how long ---- */

static apr_interval_time_t get_idle_limit(const rp_exchange_t *x)
{
    const rp_dir_conf_t *conf = rp_conf_get_dir(x->r);
    apr_interval_time_t client = x->r->server->timeout;
    apr_interval_time_t backend = rp_conf_get_timeout(x->target->backend, x->r->server);

    if (conf->tunnel_idle > 0) {
        return conf->tunnel_idle;
    }
    return client > backend ? client : backend;
}

/* What ends a tunnel next. */
typedef struct {
    apr_time_t at;
    rp_err_t why;
    bool is_stopping; /* of the child */
} limit_t;

static void sooner(limit_t *limit, apr_time_t at, rp_err_t why)
{
    if (at < limit->at) {
        limit->at = at;
        limit->why = why;
    }
}

/* A child that stops gives each of its tunnels a moment of its own, so that the clients do not
 * come back all at once. */
static void apply_stop(const rp_exchange_t *x, limit_t *limit)
{
    apr_interval_time_t drain = rp_conf_get_server(x->r->server)->tunnel_drain;
    /* Multiplying by 2^32 / golden ratio spreads neighbours evenly. */
    apr_uint32_t turn = (apr_uint32_t)x->tunnel->started * 2654435769u;
    apr_time_t since;
    rp_stop_t stop = rp_park_get_stop(&since);

    limit->is_stopping = stop != RP_STOP_NOT;
    if (stop == RP_STOP_NOW) {
        sooner(limit, since, RP_E_TUNNEL_STOP);
    }
    else if (stop == RP_STOP_GRACEFUL && drain > 0) {
        sooner(limit, since + (apr_interval_time_t)((double)drain * turn / 4294967296.0), RP_E_TUNNEL_STOP);
    }
}

static limit_t get_limit(const rp_exchange_t *x)
{
    apr_interval_time_t life = rp_conf_get_dir(x->r)->tunnel_life;
    limit_t limit = {x->tunnel->moved + get_idle_limit(x), RP_E_TUNNEL_IDLE, false};

    if (life > 0) {
        sooner(&limit, x->tunnel->started + life, RP_E_TUNNEL_LIFETIME);
    }
    apply_stop(x, &limit);
    return limit;
}

/* ---- the step ---- */

/* While the tunnel is parked: the client's apr_socket_t is not its own then, so nothing of httpd's may write. */
static rp_served_t serve(void *ctx, const rp_ready_t *ready, rp_wait_t *wait)
{
    const rp_exchange_t *x = ctx;
    rp_tunnel_t *t = x->tunnel;
    rp_flow_t flow = rp_tunnel_pump(t, ready);
    rp_wait_t next;

    if (flow == RP_FLOW_ON) {
        return RP_SERVED_MORE;
    }
    if ((flow != RP_FLOW_WAIT_CLIENT && flow != RP_FLOW_WAIT_BACKEND) ||
        (ready->is_client_gone && t->down != RP_FLOW_ENDED)) {
        return RP_SERVED_OVER;
    }
    rp_tunnel_want(t, &next);
    next.deadline = get_limit(x).at;
    next.until_stop = wait->until_stop;
    *wait = next;
    return RP_SERVED_WAITS;
}

static rp_step_t end_tunnel(rp_exchange_t *x, rp_err_t err, apr_status_t rv)
{
    rp_fault_t fault = {err, rv, NULL, 0};

    rp_exchange_note_fault(x, &fault);
    return rp_exchange_end(x, OK);
}

/* From our side: a WebSocket's client is told. */
static rp_step_t expire(rp_exchange_t *x, rp_err_t why)
{
    rp_tunnel_say_goodbye(x->tunnel);
    return end_tunnel(x, why, 0);
}

static rp_step_t wait_for_bytes(rp_exchange_t *x, const limit_t *limit)
{
    rp_tunnel_want(x->tunnel, &x->wait);
    x->parking.serve = rp_tunnel_is_bare(x->tunnel) ? serve : NULL;
    x->wait.deadline = limit->at;
    x->wait.until_stop = !limit->is_stopping;
    return RP_STEP_WAIT;
}

rp_step_t rp_exchange_run_tunnel(rp_exchange_t *x)
{
    rp_tunnel_t *t = x->tunnel;
    rp_flow_t flow;
    limit_t limit;

    if (rp_client_is_taken(&x->client)) {
        return end_tunnel(x, RP_E_TUNNEL_STOP, 0);
    }
    flow = rp_tunnel_pump(t, NULL);
    if (flow == RP_FLOW_FAIL) {
        return end_tunnel(x, t->fault.err, t->fault.rv);
    }
    if (flow == RP_FLOW_ENDED || flow == RP_FLOW_OVER) {
        return rp_exchange_end(x, OK);
    }
    limit = get_limit(x);
    if (x->ready.is_late || limit.at <= apr_time_now()) {
        return expire(x, limit.why);
    }
    if (flow == RP_FLOW_ON) {
        return RP_STEP_TUNNEL;
    }
    /* A reset that nobody reads, since the backend takes no more. */
    if (x->ready.is_client_gone && t->down != RP_FLOW_ENDED) {
        return end_tunnel(x, RP_E_TUNNEL_CLIENT, 0);
    }
    return wait_for_bytes(x, &limit);
}

void rp_exchange_leave_tunnel(rp_exchange_t *x)
{
    rp_tunnel_leave_place(&x->place);
    if (x->tunnel) {
        rp_tunnel_free(x->tunnel);
        x->account.up = x->tunnel->up_bytes;
        x->account.down = x->tunnel->down_bytes;
        x->r->bytes_sent = x->tunnel->down_bytes;
        x->r->sent_bodyct = 1;
    }
}
