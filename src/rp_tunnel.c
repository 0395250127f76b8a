#include "rp_tunnel_int.h"
#include "rp_shm.h"

#include "apr_strings.h"
#include "http_protocol.h"
#include "mpm_common.h"

/* One read: most messages fit into the first; streams get the second, which httpd's
 * FlushMaxThreshold (64 KiB) never makes a write block for. */
#define READ_FIRST 8000
#define READ_MORE 32000
/* Reads of one side before the other has its turn. */
#define TURNS 8
/* Below this, copying costs less than the system calls of a pipe. */
#define SPLICE_MIN ((apr_size_t)32768)

static rp_flow_t fail(rp_tunnel_t *t, rp_err_t err, apr_status_t rv)
{
    t->fault = (rp_fault_t){err, rv, NULL, 0};
    return RP_FLOW_FAIL;
}

static apr_bucket_alloc_t *get_alloc(const rp_tunnel_t *t)
{
    return t->client->r->connection->bucket_alloc;
}

/* ---- up ---- */

/* After a read of n bytes that was to be of size: the size of the next. */
static apr_size_t get_next_size(apr_size_t n, apr_size_t size)
{
    return n < size ? READ_FIRST : READ_MORE;
}

/* Is it time for a pipe? Full reads come one after the other, and of what follows so much needs no look. */
static bool can_splice(const rp_tunnel_t *t, rp_pipe_t **pipe, apr_size_t size, apr_size_t run)
{
    if (!*pipe && t->may_splice && size == READ_MORE && run >= SPLICE_MIN) {
        *pipe = rp_splice_take();
    }
    return *pipe != NULL;
}

/* ON: the pipe is empty, or there is none. */
static rp_flow_t drain_up(rp_tunnel_t *t)
{
    while (t->up_pipe && rp_splice_held(t->up_pipe)) {
        apr_size_t sent;
        rp_io_t io = rp_conn_splice_out(t->conn, t->up_pipe, &sent);

        if (io != RP_IO_OK) {
            return io == RP_IO_AGAIN ? RP_FLOW_WAIT_BACKEND
                                     : fail(t, RP_E_TUNNEL_BACKEND, rp_conn_get_status(t->conn));
        }
        t->up_bytes += (apr_off_t)sent;
    }
    return RP_FLOW_ON;
}

/* ON: everything was taken. */
static rp_flow_t send_up(rp_tunnel_t *t)
{
    if (t->up_pipe) {
        return drain_up(t);
    }
    switch (rp_body_send(t->up_bb, t->conn, &t->up_bytes, &t->fault)) {
    case RP_PUMP_DONE:
        return RP_FLOW_ON;
    case RP_PUMP_WAIT_BACKEND:
        return RP_FLOW_WAIT_BACKEND;
    default:
        return fail(t, RP_E_TUNNEL_BACKEND, t->fault.rv);
    }
}

/* ON: nothing is left in the TLS layer. */
static rp_flow_t flush_up(rp_tunnel_t *t)
{
    switch (rp_conn_flush(t->conn)) {
    case RP_IO_OK:
        return RP_FLOW_ON;
    case RP_IO_AGAIN:
        return RP_FLOW_WAIT_BACKEND;
    default:
        return fail(t, RP_E_TUNNEL_BACKEND, rp_conn_get_status(t->conn));
    }
}

static rp_flow_t end_up(rp_tunnel_t *t)
{
    rp_flow_t flow = flush_up(t);

    if (flow != RP_FLOW_ON) {
        return flow;
    }
    return !t->ends_both && rp_conn_shut_write(t->conn) ? RP_FLOW_ENDED : RP_FLOW_OVER;
}

static rp_flow_t pause_up(rp_tunnel_t *t)
{
    rp_flow_t flow = flush_up(t);

    return flow == RP_FLOW_ON ? RP_FLOW_WAIT_CLIENT : flow;
}

/* A read of the client's bytes had this result. */
static rp_flow_t conclude_read(rp_tunnel_t *t, rp_client_result_t result, apr_status_t rv)
{
    switch (result) {
    case RP_CLIENT_OK:
        return RP_FLOW_ON;
    case RP_CLIENT_AGAIN:
        return pause_up(t);
    case RP_CLIENT_FAIL:
        if (!APR_STATUS_IS_EOF(rv)) {
            return fail(t, RP_E_TUNNEL_CLIENT, rv);
        }
        break;
    case RP_CLIENT_END:
        break;
    }
    t->client_ended = true;
    return RP_FLOW_ON;
}

static rp_flow_t read_client(rp_tunnel_t *t)
{
    apr_status_t rv;
    rp_client_result_t result = rp_client_read(t->client, t->up_bb, (apr_off_t)t->up_size, &rv);

    t->up_size = result != RP_CLIENT_OK || t->client->is_drained ? READ_FIRST : READ_MORE;
    return conclude_read(t, result, rv);
}

/* Nobody has to know where the client's frames end. */
static rp_flow_t splice_up(rp_tunnel_t *t)
{
    apr_status_t rv;
    rp_client_result_t result = rp_client_fill(t->client, t->up_pipe, &rv);

    if (result != RP_CLIENT_OK) {
        /* An idle tunnel holds none. */
        rp_splice_drop(&t->up_pipe);
        t->up_size = READ_FIRST;
    }
    return conclude_read(t, result, rv);
}

static rp_flow_t pump_up(rp_tunnel_t *t)
{
    int turn;

    for (turn = 0; turn < TURNS; turn++) {
        rp_flow_t flow = send_up(t);

        if (flow != RP_FLOW_ON) {
            return flow;
        }
        if (t->client_ended) {
            return end_up(t);
        }
        if (t->client->is_drained) {
            t->client->is_drained = false;
            return pause_up(t);
        }
        flow = can_splice(t, &t->up_pipe, t->up_size, RP_PIPE_BYTES) ? splice_up(t) : read_client(t);
        if (flow != RP_FLOW_ON) {
            return flow;
        }
    }
    return RP_FLOW_ON;
}

/* ---- down ---- */

/* Give what is in down_bb to the client; what a direct one does not take stays there. false: it is gone. */
static bool write_down(rp_tunnel_t *t, bool is_all)
{
    if (t->client->is_direct) {
        return rp_client_send(t->client, t->down_bb);
    }
    return (is_all ? rp_client_write_out : rp_client_write)(t->client, t->down_bb);
}

/* Does the client have to read before it can get more? */
static bool is_behind(rp_tunnel_t *t)
{
    if (t->client->is_direct && !APR_BRIGADE_EMPTY(t->down_bb) && !write_down(t, true)) {
        return false;
    }
    return rp_client_has_pending(t->client) || !APR_BRIGADE_EMPTY(t->down_bb);
}

/* Let the client have what there is; then: ... */
static rp_flow_t flush_down(rp_tunnel_t *t, rp_flow_t then)
{
    bool is_there = t->client->is_direct ? write_down(t, true) : rp_client_flush(t->client, t->down_bb);

    if (!is_there) {
        return fail(t, RP_E_TUNNEL_CLIENT, 0);
    }
    return is_behind(t) ? RP_FLOW_WAIT_CLIENT : then;
}

static rp_flow_t end_down(rp_tunnel_t *t)
{
    rp_flow_t flow = flush_down(t, RP_FLOW_ON);

    if (flow != RP_FLOW_ON) {
        return flow;
    }
    return !t->ends_both && rp_client_shut_write(t->client) ? RP_FLOW_ENDED : RP_FLOW_OVER;
}

/* Give the n bytes in buf, an allocation of the size read, to the client; buf goes with them. */
static rp_flow_t pass_down(rp_tunnel_t *t, char *buf, apr_size_t n)
{
    apr_bucket *e = apr_bucket_heap_create(buf, t->down_size, apr_bucket_free, get_alloc(t));
    bool is_drained = n < t->down_size && rp_conn_is_plain(t->conn);

    rp_frames_follow(&t->frames, buf, n);
    e->length = n;
    APR_BRIGADE_INSERT_TAIL(t->down_bb, e);
    t->down_size = get_next_size(n, t->down_size);
    /* A plain socket that gave less than it was asked for has no more. */
    if (!write_down(t, is_drained)) {
        return fail(t, RP_E_TUNNEL_CLIENT, 0);
    }
    t->down_bytes += (apr_off_t)n;
    return is_drained ? flush_down(t, RP_FLOW_WAIT_BACKEND) : RP_FLOW_ON;
}

static rp_flow_t read_backend(rp_tunnel_t *t)
{
    char *buf = apr_bucket_alloc(t->down_size, get_alloc(t));
    apr_size_t n;
    rp_io_t io = rp_conn_read(t->conn, buf, t->down_size, &n);
    short events = 0;

    if (io == RP_IO_OK) {
        return pass_down(t, buf, n);
    }
    apr_bucket_free(buf);
    if (io == RP_IO_AGAIN) {
        (void)rp_conn_get_interest(t->conn, &events);
        t->wants_out = (events & POLLOUT) != 0;
        return flush_down(t, RP_FLOW_WAIT_BACKEND);
    }
    if (io != RP_IO_EOF) {
        return fail(t, RP_E_TUNNEL_BACKEND, rp_conn_get_status(t->conn));
    }
    t->backend_ended = true;
    return RP_FLOW_ON;
}

/* Bytes to come that hold no border of frames. */
static apr_size_t get_run(const rp_tunnel_t *t)
{
    return t->frames.is_known && t->frames.left < RP_PIPE_BYTES ? (apr_size_t)t->frames.left : RP_PIPE_BYTES;
}

static rp_flow_t leave_pipe(rp_tunnel_t *t, rp_flow_t then)
{
    rp_splice_drop(&t->down_pipe);
    t->down_size = READ_FIRST;
    return then;
}

static rp_flow_t fill_down(rp_tunnel_t *t)
{
    apr_size_t n;

    switch (rp_conn_splice(t->conn, t->down_pipe, get_run(t), &n)) {
    case RP_IO_OK:
        rp_frames_skip(&t->frames, n);
        t->down_bytes += (apr_off_t)n;
        return RP_FLOW_ON;
    case RP_IO_AGAIN:
        return leave_pipe(t, RP_FLOW_WAIT_BACKEND);
    case RP_IO_EOF:
        t->backend_ended = true;
        return leave_pipe(t, RP_FLOW_ON);
    default:
        return fail(t, RP_E_TUNNEL_BACKEND, rp_conn_get_status(t->conn));
    }
}

static rp_flow_t splice_down(rp_tunnel_t *t)
{
    if (!rp_client_splice(t->client, t->down_pipe)) {
        return fail(t, RP_E_TUNNEL_CLIENT, 0);
    }
    if (rp_splice_held(t->down_pipe)) {
        return RP_FLOW_WAIT_CLIENT;
    }
    return get_run(t) < SPLICE_MIN ? leave_pipe(t, RP_FLOW_ON) : fill_down(t);
}

static rp_flow_t pump_down(rp_tunnel_t *t)
{
    int turn;

    t->wants_out = false;
    for (turn = 0; turn < TURNS; turn++) {
        rp_flow_t flow;

        if (is_behind(t)) {
            return RP_FLOW_WAIT_CLIENT;
        }
        if (t->backend_ended) {
            return end_down(t);
        }
        flow = can_splice(t, &t->down_pipe, t->down_size, get_run(t)) ? splice_down(t) : read_backend(t);
        if (flow != RP_FLOW_ON) {
            return flow;
        }
    }
    return RP_FLOW_ON;
}

/* ---- both ---- */

static bool is_either(const rp_tunnel_t *t, rp_flow_t flow)
{
    return t->up == flow || t->down == flow;
}

/* Has something come of what this direction waits for: the bits of its sender, of its receiver? */
static bool is_due(rp_flow_t flow, const rp_ready_t *ready, short client, short backend)
{
    if (!ready || flow == RP_FLOW_ON) {
        return true;
    }
    return (flow == RP_FLOW_WAIT_CLIENT && (ready->client & client)) ||
           (flow == RP_FLOW_WAIT_BACKEND && (ready->backend & backend));
}

rp_flow_t rp_tunnel_pump(rp_tunnel_t *t, const rp_ready_t *ready)
{
    apr_off_t before = t->up_bytes + t->down_bytes;

    if (t->fault.err != RP_E_NONE) {
        return RP_FLOW_FAIL;
    }
    if (t->up != RP_FLOW_ENDED && is_due(t->up, ready, POLLIN, POLLOUT)) {
        t->up = pump_up(t);
    }
    if (t->down != RP_FLOW_ENDED && is_due(t->down, ready, POLLOUT, POLLIN)) {
        t->down = pump_down(t);
    }
    if (t->up_bytes + t->down_bytes != before) {
        t->moved = apr_time_now();
    }
    if (is_either(t, RP_FLOW_FAIL)) {
        return RP_FLOW_FAIL;
    }
    if (is_either(t, RP_FLOW_OVER)) {
        return RP_FLOW_OVER;
    }
    if (is_either(t, RP_FLOW_ON)) {
        return RP_FLOW_ON;
    }
    return t->up == RP_FLOW_ENDED ? t->down : t->up;
}

void rp_tunnel_want(const rp_tunnel_t *t, rp_wait_t *wait)
{
    short backend = 0, client = 0;

    if (t->down == RP_FLOW_WAIT_BACKEND) {
        backend |= POLLIN;
    }
    if (t->up == RP_FLOW_WAIT_BACKEND || t->wants_out) {
        backend |= POLLOUT;
    }
    if (t->up == RP_FLOW_WAIT_CLIENT) {
        client |= POLLIN;
    }
    if (t->down == RP_FLOW_WAIT_CLIENT) {
        client |= POLLOUT;
    }
    *wait = (rp_wait_t){.backend_fd = rp_conn_get_fd(t->conn), .backend_events = backend};
    rp_client_want(t->client, wait, client);
    /* It hangs up once both sides have said their last word: that is no news then. */
    wait->client_is_over = !client && t->down == RP_FLOW_ENDED;
}

bool rp_tunnel_is_bare(const rp_tunnel_t *t)
{
    return t->client->is_direct && !t->client->r->connection->data_in_output_filters && rp_conn_is_plain(t->conn);
}

/* ---- memory ---- */

/* In bytes; 0 would mean all. */
#define KEEP_NOTHING 1
/* A buffer of each size that is read into. Where nothing is kept, each message costs two system calls. */
#define KEEP_BUFFERS (8192 + 40960)

/* A connection's allocator keeps what is freed, up to so much, for the next request. A tunnel has none, and
 * its idle time is long: of its handshake it keeps nothing. */
static void set_kept_memory(const rp_tunnel_t *t, apr_size_t most)
{
    const conn_rec *c = t->client->r->connection;

    if (!c->master) {
        apr_allocator_max_free_set(apr_pool_allocator_get(c->pool), most);
    }
}

/* ---- the beginning ---- */

static int add_line(void *ctx, const char *name, const char *value)
{
    return apr_brigade_putstrs(ctx, NULL, NULL, name, ": ", value, CRLF, NULL) == APR_SUCCESS;
}

/* What came with the backend's head is the start of its stream. */
static void take_rest(rp_tunnel_t *t, rp_down_t *down)
{
    const char *data;
    apr_size_t n;

    rp_down_take_rest(down, t->down_bb);
    if (!APR_BRIGADE_EMPTY(t->down_bb) &&
        apr_bucket_read(APR_BRIGADE_FIRST(t->down_bb), &data, &n, APR_BLOCK_READ) == APR_SUCCESS) {
        rp_frames_follow(&t->frames, data, n);
        t->down_bytes = (apr_off_t)n;
    }
}

/* Before that. The brigade of the other direction lends itself; its one buffer may be the one that
 * the backend's head came in, so that the connection need not have had two. */
static void put_head(rp_tunnel_t *t)
{
    request_rec *r = t->client->r;
    apr_bucket_brigade *bb = t->up_bb;

    apr_table_unset(r->headers_out, "Content-Length");
    apr_table_setn(r->headers_out, "Upgrade", t->protocol);
    apr_table_setn(r->headers_out, "Connection", "Upgrade");
    (void)apr_brigade_putstrs(bb, NULL, NULL, AP_SERVER_PROTOCOL " ", r->status_line, CRLF, NULL);
    (void)apr_table_do(add_line, bb, r->headers_out, NULL);
    (void)apr_brigade_puts(bb, NULL, NULL, CRLF);
    APR_BRIGADE_PREPEND(t->down_bb, bb);
}

rp_tunnel_t *rp_tunnel_start(rp_client_t *client, rp_conn_t *conn, rp_down_t *down, const char *protocol)
{
    request_rec *r = client->r;
    rp_tunnel_t *t = apr_pcalloc(r->pool, sizeof(*t));

    t->client = client;
    t->conn = conn;
    t->protocol = protocol;
    t->up_bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    t->down_bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    t->up_size = t->down_size = READ_FIRST;
    t->started = t->moved = apr_time_now();
    t->ends_both = apr_table_get(r->subprocess_env, "proxy-nohalfclose") != NULL;
    t->frames.is_known = !ap_cstr_casecmp(protocol, "websocket");
    set_kept_memory(t, KEEP_NOTHING);
    take_rest(t, down);
    put_head(t);
    rp_client_go_raw(client);
    t->may_splice = down->may_splice && client->is_direct && rp_conn_is_plain(conn);
    if (!write_down(t, true)) {
        (void)fail(t, RP_E_TUNNEL_CLIENT, 0);
    }
    set_kept_memory(t, KEEP_BUFFERS);
    return t;
}

/* ---- the end ---- */

void rp_tunnel_free(rp_tunnel_t *t)
{
    rp_splice_drop(&t->up_pipe);
    rp_splice_drop(&t->down_pipe);
    /* The MPM uses the allocator again, for another client. */
    set_kept_memory(t, ap_max_mem_free);
}

void rp_tunnel_say_goodbye(rp_tunnel_t *t)
{
    /* FIN and close, unmasked, two bytes: 1001 */
    static const char going_away[] = {(char)0x88, 2, 1001 >> 8, (char)(1001 & 0xff)};

    bool is_in_pipe = t->down_pipe && rp_splice_held(t->down_pipe);

    if (is_in_pipe || !rp_frames_can_insert(&t->frames) || t->down == RP_FLOW_ENDED) {
        return;
    }
    t->frames.is_closed = true;
    APR_BRIGADE_INSERT_TAIL(t->down_bb,
                            apr_bucket_immortal_create(going_away, sizeof(going_away), get_alloc(t)));
    (void)write_down(t, true);
}

/* ---- how many there are ---- */

rp_err_t rp_tunnel_take_place(rp_tunnel_place_t *place, int server_max, int backend, int backend_max)
{
    rp_tunnel_leave_place(place);
    if (!rp_shm_enter_tunnel(RP_SHM_ALL_TUNNELS, server_max)) {
        return RP_E_TUNNEL_MAX;
    }
    if (backend >= 0 && !rp_shm_enter_tunnel(backend, backend_max)) {
        rp_shm_leave_tunnel(RP_SHM_ALL_TUNNELS);
        return RP_E_TUNNEL_MEMBER_MAX;
    }
    place->backend = backend;
    place->is_taken = true;
    return RP_E_NONE;
}

void rp_tunnel_leave_place(rp_tunnel_place_t *place)
{
    if (!place->is_taken) {
        return;
    }
    place->is_taken = false;
    if (place->backend >= 0) {
        rp_shm_leave_tunnel(place->backend);
    }
    rp_shm_leave_tunnel(RP_SHM_ALL_TUNNELS);
}

unsigned rp_tunnel_count(void)
{
    return rp_shm_count_own_tunnels();
}
