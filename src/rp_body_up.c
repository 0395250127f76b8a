#include "rp_body.h"

#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "util_filter.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* Read before a backend is chosen: most requests are whole by then, and a slow
 * sender holds no connection. mod_proxy's figure, so that framing comes out alike. */
#define PREFETCH_BYTES 16384
/* One read of the client while streaming; also how much may be on the way at a time. */
#define STREAM_BYTES 32768
#define IOV_MAX_USED 16
/* Note of a request whose body an exchange reads. */
#define BODY_TAKEN "revproxy-body-taken"

static rp_pump_t fail(rp_up_t *up, rp_err_t err, apr_status_t rv, int status)
{
    up->fault = (rp_fault_t){err, rv, NULL, status};
    return RP_PUMP_FAIL;
}

/* ---- what the client declared ---- */

static apr_off_t get_configured_limit(request_rec *r)
{
    const core_dir_config *conf = ap_get_core_module_config(r->per_dir_config);

    /* httpd's own default of 1 GiB is not applied to proxied requests, as with mod_proxy,
     * only what the operator wrote. */
    return conf->limit_req_body < 0 ? 0 : conf->limit_req_body;
}

static bool refuse(rp_up_t *up, rp_err_t err, const char *detail)
{
    up->fault = (rp_fault_t){err, 0, detail, 0};
    return false;
}

static bool read_declared_framing(rp_up_t *up)
{
    request_rec *r = up->client->r;
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    if (coding) {
        if (ap_cstr_casecmp(coding, "chunked")) {
            return refuse(up, RP_E_CLIENT_TE, NULL);
        }
        up->client_chunked = true;
        up->is_suspect = length != NULL || r->proto_num < HTTP_VERSION(1, 1);
    }
    else if (length && !ap_parse_strict_length(&up->length, length)) {
        return refuse(up, RP_E_CLIENT_BODY, "Content-Length is not a number");
    }
    if (up->limit && up->length > up->limit) {
        return refuse(up, RP_E_BODY_TOO_LARGE, NULL);
    }
    return true;
}

static bool has_env(const request_rec *r, const char *name)
{
    return apr_table_get(r->subprocess_env, name) != NULL;
}

/* Does a body that was changed on its way in, or that the operator wants so, have
 * to be read whole before its length is known? */
static bool needs_spool(const rp_up_t *up, bool is_http10)
{
    const request_rec *r = up->client->r;
    bool prefers_chunked = (has_env(r, "proxy-sendchunked") || has_env(r, "proxy-sendchunks")) && !is_http10;
    bool is_filtered = r->input_filters != r->proto_input_filters;

    if (up->client_chunked) {
        return is_http10 || (has_env(r, "proxy-sendcl") && !prefers_chunked);
    }
    return up->length > 0 && is_filtered && (!prefers_chunked || has_env(r, "proxy-sendcl"));
}

/* Has an exchange already read the body, so that this is the error page for it? */
static bool is_taken(const request_rec *r)
{
    for (r = r->prev; r; r = r->prev) {
        if (apr_table_get(r->notes, BODY_TAKEN)) {
            return true;
        }
    }
    return false;
}

bool rp_up_init(rp_up_t *up, rp_client_t *client, bool is_http10)
{
    request_rec *r = client->r;

    *up = (rp_up_t){.client = client, .length = -1, .may_wait = true};
    up->limit = get_configured_limit(r);
    up->kept = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    up->out = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    up->fresh = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    /* A subrequest has no body of its own: its parent's is not to be touched. */
    if ((r->main && !r->kept_body) || is_taken(r)) {
        up->is_read = true;
        return true;
    }
    if (!read_declared_framing(up)) {
        return false;
    }
    if (!up->client_chunked && up->length < 0) {
        up->is_read = true;
    }
    else {
        apr_table_setn(r->notes, BODY_TAKEN, "1");
    }
    up->wants_spool = needs_spool(up, is_http10);
    return true;
}

/* ---- reading the client ---- */

static rp_pump_t fail_reading(rp_up_t *up, apr_status_t rv)
{
    if (APR_STATUS_IS_TIMEUP(rv)) {
        return fail(up, RP_E_CLIENT_BODY_TIMEOUT, rv, 0);
    }
    if (APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_ECONNABORTED(rv) ||
        APR_STATUS_IS_INCOMPLETE(rv) || up->client->r->connection->aborted) {
        return fail(up, RP_E_CLIENT_GONE, rv, ap_map_http_request_error(rv, HTTP_BAD_REQUEST));
    }
    return fail(up, RP_E_CLIENT_BODY, rv, ap_map_http_request_error(rv, HTTP_BAD_REQUEST));
}

/* mod_ssl hands out its own buffer, which its next read (of a chunk's size, of whether
 * the client is still there) writes over. */
static apr_status_t set_aside_from(apr_bucket *e, const apr_bucket_brigade *bb, apr_pool_t *pool)
{
    apr_status_t rv = APR_SUCCESS;

    for (; rv == APR_SUCCESS && e != APR_BRIGADE_SENTINEL(bb); e = APR_BUCKET_NEXT(e)) {
        rv = apr_bucket_setaside(e, pool);
        if (APR_STATUS_IS_ENOTIMPL(rv)) {
            rv = APR_SUCCESS; /* nothing that could change */
        }
    }
    return rv;
}

/* Read once into bb. DONE: the body is complete; WAIT_BACKEND stands for "got some". */
static rp_pump_t read_client(rp_up_t *up, apr_bucket_brigade *bb, apr_off_t max)
{
    apr_bucket *last = APR_BRIGADE_LAST(bb);
    apr_off_t before = 0, after = 0;
    apr_status_t rv;
    rp_client_result_t got;

    (void)apr_brigade_length(bb, 0, &before);
    got = rp_client_read(up->client, bb, max, &rv);
    if (got == RP_CLIENT_FAIL) {
        return fail_reading(up, rv);
    }
    if (got == RP_CLIENT_AGAIN) {
        return RP_PUMP_WAIT_CLIENT;
    }
    rv = apr_brigade_length(bb, 1, &after);
    if (rv == APR_SUCCESS) {
        rv = set_aside_from(APR_BUCKET_NEXT(last), bb, up->client->r->pool);
    }
    if (rv != APR_SUCCESS) {
        return fail_reading(up, rv);
    }
    up->got += after - before;
    if (up->limit && up->got > up->limit) {
        return fail(up, RP_E_BODY_TOO_LARGE, 0, 0);
    }
    up->is_read = got == RP_CLIENT_END;
    return up->is_read ? RP_PUMP_DONE : RP_PUMP_WAIT_BACKEND;
}

/* ---- spooling ---- */

static apr_status_t open_spool(rp_up_t *up)
{
    apr_pool_t *p = up->client->r->pool;
    const char *dir;
    char *name;
    apr_status_t rv = apr_temp_dir_get(&dir, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    name = apr_pstrcat(p, dir, "/revproxy.XXXXXX", NULL);
    return apr_file_mktemp(&up->spool, name, 0, p); /* flags 0: APR's own, incl. APR_FOPEN_DELONCLOSE */
}

/* Move what is in memory to the temporary file. */
static apr_status_t move_to_spool(rp_up_t *up)
{
    apr_status_t rv = up->spool ? APR_SUCCESS : open_spool(up);

    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(up->kept)) {
        apr_bucket *e = APR_BRIGADE_FIRST(up->kept);
        const char *data;
        apr_size_t n;

        rv = apr_bucket_read(e, &data, &n, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            rv = apr_file_write_full(up->spool, data, n, NULL);
            up->spooled += (apr_off_t)n;
            apr_bucket_delete(e);
        }
    }
    return rv;
}

/* ---- prefetching ---- */

static void choose_framing(rp_up_t *up)
{
    if (up->is_read) {
        bool declared = up->client_chunked || up->length >= 0;

        up->framing = declared || up->got > 0 ? RP_FRAMING_LENGTH : RP_FRAMING_NONE;
        up->length = up->got;
    }
    else if (up->client_chunked) {
        up->framing = RP_FRAMING_CHUNKED;
    }
    else {
        request_rec *r = up->client->r;
        bool is_filtered = r->input_filters != r->proto_input_filters;

        up->framing = is_filtered ? RP_FRAMING_CHUNKED : RP_FRAMING_LENGTH;
    }
}

static rp_pump_t end_prefetch(rp_up_t *up)
{
    if (up->spool) {
        apr_status_t rv = move_to_spool(up);

        if (rv != APR_SUCCESS) {
            return fail(up, RP_E_SPOOL, rv, 0);
        }
        (void)apr_brigade_insert_file(up->kept, up->spool, 0, up->spooled, up->client->r->pool);
    }
    choose_framing(up);
    return RP_PUMP_DONE;
}

rp_pump_t rp_up_prefetch(rp_up_t *up)
{
    while (!up->is_read && (up->wants_spool || up->got < PREFETCH_BYTES)) {
        rp_pump_t got = read_client(up, up->kept, PREFETCH_BYTES);

        if (got == RP_PUMP_FAIL) {
            return got;
        }
        if (got == RP_PUMP_WAIT_CLIENT) {
            if (up->may_wait || up->wants_spool) {
                return got;
            }
            break;
        }
        if (up->wants_spool && up->got - up->spooled > PREFETCH_BYTES) {
            apr_status_t rv = move_to_spool(up);

            if (rv != APR_SUCCESS) {
                return fail(up, RP_E_SPOOL, rv, 0);
            }
        }
    }
    return end_prefetch(up);
}

/* ---- framing for the backend ---- */

static void queue_end(rp_up_t *up)
{
    request_rec *r = up->client->r;

    if (up->framing == RP_FRAMING_CHUNKED) {
        APR_BRIGADE_INSERT_TAIL(up->out, apr_bucket_immortal_create("0" CRLF CRLF, 5, up->out->bucket_alloc));
    }
    if (has_env(r, "proxy-sendextracrlf")) {
        APR_BRIGADE_INSERT_TAIL(up->out, apr_bucket_immortal_create(CRLF, 2, up->out->bucket_alloc));
    }
    up->is_queued = true;
}

/* Append bb, framed; bb is empty afterwards. */
static void queue_body(rp_up_t *up, apr_bucket_brigade *bb)
{
    apr_bucket_alloc_t *alloc = up->out->bucket_alloc;
    apr_off_t n = 0;
    char size[24];
    int len;

    (void)apr_brigade_length(bb, 1, &n);
    if (n == 0) {
        return;
    }
    if (up->framing != RP_FRAMING_CHUNKED) {
        APR_BRIGADE_CONCAT(up->out, bb);
        return;
    }
    len = apr_snprintf(size, sizeof(size), "%" APR_UINT64_T_HEX_FMT CRLF, (apr_uint64_t)n);
    APR_BRIGADE_INSERT_TAIL(up->out, apr_bucket_heap_create(size, (apr_size_t)len, NULL, alloc));
    APR_BRIGADE_CONCAT(up->out, bb);
    APR_BRIGADE_INSERT_TAIL(up->out, apr_bucket_immortal_create(CRLF, 2, alloc));
}

static void queue_kept(rp_up_t *up)
{
    apr_bucket *e, *copy;

    for (e = APR_BRIGADE_FIRST(up->kept); e != APR_BRIGADE_SENTINEL(up->kept); e = APR_BUCKET_NEXT(e)) {
        if (apr_bucket_copy(e, &copy) == APR_SUCCESS) {
            APR_BRIGADE_INSERT_TAIL(up->fresh, copy);
        }
    }
    queue_body(up, up->fresh);
    if (up->is_read) {
        queue_end(up);
    }
}

void rp_up_start(rp_up_t *up, const char *head, apr_size_t len, bool hold_body)
{
    apr_brigade_cleanup(up->out);
    up->sent = 0;
    up->is_done = up->is_queued = up->is_streamed = false;
    up->is_held = hold_body;
    APR_BRIGADE_INSERT_TAIL(up->out, apr_bucket_immortal_create(head, len, up->out->bucket_alloc));
    if (!hold_body) {
        queue_kept(up);
    }
}

void rp_up_release(rp_up_t *up)
{
    if (up->is_held) {
        up->is_held = false;
        queue_kept(up);
    }
}

bool rp_up_can_restart(const rp_up_t *up)
{
    return !up->is_streamed;
}

/* ---- pumping ---- */

static int fill_iov(apr_bucket_brigade *bb, struct iovec *iov)
{
    apr_bucket *e;
    int n = 0;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb) && n < IOV_MAX_USED; e = APR_BUCKET_NEXT(e)) {
        const char *data;
        apr_size_t len;

        /* Memory, or our own temporary file: reading does not wait for a peer. */
        if (apr_bucket_read(e, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return n ? n : -1;
        }
        if (len) {
            iov[n].iov_base = (void *)data;
            iov[n++].iov_len = len;
        }
    }
    return n;
}

static void drop_sent(apr_bucket_brigade *bb, apr_size_t sent)
{
    while (!APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *e = APR_BRIGADE_FIRST(bb);

        if (e->length > sent) {
            if (sent) {
                apr_bucket_split(e, sent);
                apr_bucket_delete(e);
            }
            return;
        }
        sent -= e->length;
        apr_bucket_delete(e);
    }
}

static rp_pump_t note_fault(rp_fault_t *fault, rp_err_t err, apr_status_t rv)
{
    *fault = (rp_fault_t){err, rv, NULL, 0};
    return RP_PUMP_FAIL;
}

rp_pump_t rp_body_send(apr_bucket_brigade *bb, rp_conn_t *conn, apr_off_t *sent, rp_fault_t *fault)
{
    struct iovec iov[IOV_MAX_USED];
    apr_size_t taken;
    rp_io_t io;

    while (!APR_BRIGADE_EMPTY(bb)) {
        int n = fill_iov(bb, iov);

        if (n < 0) {
            return note_fault(fault, RP_E_SPOOL, 0);
        }
        if (n == 0) {
            apr_brigade_cleanup(bb);
            break;
        }
        io = rp_conn_write(conn, iov, n, &taken);
        if (io == RP_IO_AGAIN) {
            return RP_PUMP_WAIT_BACKEND;
        }
        if (io != RP_IO_OK) {
            return note_fault(fault, RP_E_SEND, rp_conn_get_status(conn));
        }
        *sent += (apr_off_t)taken;
        drop_sent(bb, taken);
    }
    return RP_PUMP_DONE;
}

static rp_pump_t flush_conn(rp_up_t *up, rp_conn_t *conn)
{
    switch (rp_conn_flush(conn)) {
    case RP_IO_OK:
        return RP_PUMP_DONE;
    case RP_IO_AGAIN:
        return RP_PUMP_WAIT_BACKEND;
    default:
        return fail(up, RP_E_SEND, rp_conn_get_status(conn), 0);
    }
}

/* A body must be as long as the head said: a byte more or less would be taken
 * for part of the next request. */
static bool is_length_broken(const rp_up_t *up)
{
    return up->framing == RP_FRAMING_LENGTH && (up->got > up->length || (up->is_read && up->got != up->length));
}

/* Fill `fresh`. httpd reads 8000 bytes at a time; gathered to a few of these, they cost the backend's
 * side fewer writes. A shorter read has emptied the client's socket. Results as of read_client. */
static rp_pump_t gather(rp_up_t *up)
{
    apr_off_t before = 0, n = 0;
    rp_pump_t got;

    do {
        before = n;
        got = read_client(up, up->fresh, STREAM_BYTES - n);
        (void)apr_brigade_length(up->fresh, 0, &n);
    } while (got == RP_PUMP_WAIT_BACKEND && n - before >= APR_BUCKET_BUFF_SIZE && n <= STREAM_BYTES - APR_BUCKET_BUFF_SIZE);
    return got == RP_PUMP_WAIT_CLIENT && n > 0 ? RP_PUMP_WAIT_BACKEND : got;
}

/* Read more of the body into `out`. */
static rp_pump_t stream_more(rp_up_t *up)
{
    rp_pump_t got = gather(up);

    if (got == RP_PUMP_FAIL) {
        apr_brigade_cleanup(up->fresh);
    }
    else if (got != RP_PUMP_WAIT_CLIENT) {
        if (is_length_broken(up)) {
            apr_brigade_cleanup(up->fresh);
            return fail(up, RP_E_BODY_LENGTH, 0, 0);
        }
        up->is_streamed = true;
        queue_body(up, up->fresh);
        if (up->is_read) {
            queue_end(up);
        }
    }
    return got;
}

rp_pump_t rp_up_pump(rp_up_t *up, rp_conn_t *conn)
{
    for (;;) {
        rp_pump_t went = rp_body_send(up->out, conn, &up->sent, &up->fault), got;

        if (went != RP_PUMP_DONE) {
            return went;
        }
        if (up->is_queued || up->is_held) {
            went = flush_conn(up, conn);
            up->is_done = went == RP_PUMP_DONE && up->is_queued;
            return went;
        }
        got = stream_more(up);
        if (got == RP_PUMP_FAIL) {
            return got;
        }
        if (got == RP_PUMP_WAIT_CLIENT) {
            went = flush_conn(up, conn);
            return went == RP_PUMP_DONE ? RP_PUMP_WAIT_CLIENT : went;
        }
    }
}
