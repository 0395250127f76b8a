#include "rp_body.h"

#include <string.h>

#include "apr_strings.h"
#include "http_log.h"
#include "util_filter.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* A head's first buffer: with the allocator's own overhead one 8 KiB block. Most
 * heads and small bodies fit, so a small response costs one read. */
#define HEAD_BYTES 8000
/* Bodies are read in these: big enough that a system call is cheap beside the copy,
 * small enough that httpd's FlushMaxThreshold (64 KiB) never makes a write block. */
#define BODY_BYTES 32000
#define BODY_BYTES_MAX 64000
#define TRAILER_LINE_BYTES 4096

static rp_pump_t fail(rp_down_t *down, rp_err_t err, apr_status_t rv, const char *detail)
{
    down->fault = (rp_fault_t){err, rv, detail, 0};
    return RP_PUMP_FAIL;
}

static apr_bucket_alloc_t *get_alloc(const rp_down_t *down)
{
    return down->client->r->connection->bucket_alloc;
}

void rp_down_init(rp_down_t *down, rp_client_t *client, const rp_h1_limits_t *limits, apr_size_t read_bytes)
{
    request_rec *r = client->r;

    *down = (rp_down_t){.client = client, .limits = *limits};
    down->read_bytes = read_bytes ? read_bytes : BODY_BYTES;
    if (down->read_bytes > BODY_BYTES_MAX) {
        down->read_bytes = BODY_BYTES_MAX;
    }
    down->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
}

static void free_buffer(rp_down_t *down)
{
    if (down->buf) {
        apr_bucket_free(down->buf);
        down->buf = NULL;
    }
    down->size = down->pos = down->used = 0;
}

void rp_down_free(rp_down_t *down)
{
    free_buffer(down);
    rp_splice_drop(&down->pipe);
}

void rp_down_reset(rp_down_t *down)
{
    rp_down_free(down);
    memset(&down->scan, 0, sizeof(down->scan));
    down->got = 0;
    down->is_ended = down->is_surplus = false;
}

/* ---- head ---- */

static void grow_buffer(rp_down_t *down)
{
    apr_size_t size = down->size ? down->size * 2 : HEAD_BYTES;
    char *buf = apr_bucket_alloc(size, get_alloc(down));

    if (down->buf) {
        memcpy(buf, down->buf, down->used);
        apr_bucket_free(down->buf);
    }
    down->buf = buf;
    down->size = size;
}

static bool is_limit(rp_h1_error_t error)
{
    return error == RP_H1_E_LINE_MAX || error == RP_H1_E_HEAD_MAX || error == RP_H1_E_FIELDS_MAX;
}

static rp_pump_t fail_head(rp_down_t *down, rp_h1_error_t error, apr_size_t at)
{
    const char *detail = apr_psprintf(down->client->r->pool, "%s at byte %" APR_SIZE_T_FMT, rp_h1_error_text(error),
                                      at);

    return fail(down, is_limit(error) ? RP_E_HEAD_LIMIT : RP_E_HEAD_BAD, 0, detail);
}

/* A head of head_len bytes lies at the start of the unread bytes: parse it, judge its framing. */
static rp_pump_t take_head(rp_down_t *down, apr_size_t head_len)
{
    request_rec *r = down->client->r;

    down->head.cap = down->scan.fields ? down->scan.fields : 1;
    down->head.fields = apr_palloc(r->pool, down->head.cap * sizeof(rp_h1_field_t));
    if (rp_h1_head_parse(&down->head, down->buf + down->pos, head_len, &down->limits) != RP_H1_OK) {
        return fail_head(down, down->head.error, down->head.error_at);
    }
    if (rp_h1_framing(&down->framing, &down->head, !strcmp(r->method, "HEAD")) != RP_H1_OK) {
        return fail(down, RP_E_FRAMING, 0, rp_h1_error_text(down->framing.error));
    }
    down->pos += down->head.body_at;
    memset(&down->scan, 0, sizeof(down->scan));
    return RP_PUMP_DONE;
}

/* With TLS 1.3 a backend refuses our certificate, or that there is none, only after the handshake. */
static const char *explain_end(const rp_down_t *down, const rp_conn_t *conn)
{
    const char *alert = rp_conn_get_alert(conn);

    return alert ? apr_psprintf(down->client->r->pool, "backend sent the TLS alert \"%s\"", alert) : NULL;
}

/* The stream ended inside a head. */
static rp_pump_t end_in_head(rp_down_t *down, const rp_conn_t *conn)
{
    apr_size_t len = down->used - down->pos, head_len;

    if (down->got == 0) {
        return fail(down, RP_E_HEAD_EOF, 0, explain_end(down, conn));
    }
    if (len && rp_h1_head_scan_eof(&down->scan, down->buf + down->pos, len, &down->limits, &head_len) == RP_H1_OK) {
        return take_head(down, head_len);
    }
    return fail(down, RP_E_HEAD_EOF, 0, "the head is incomplete");
}

/* By way of the stack: an exchange that looks before there is anything holds no buffer while it waits. */
static rp_io_t read_first(rp_down_t *down, rp_conn_t *conn, apr_size_t *n)
{
    char first[HEAD_BYTES];
    rp_io_t io = rp_conn_read(conn, first, sizeof(first), n);

    if (io == RP_IO_OK) {
        grow_buffer(down);
        memcpy(down->buf, first, *n);
    }
    return io;
}

static rp_io_t read_head_bytes(rp_down_t *down, rp_conn_t *conn)
{
    apr_size_t n = 0;
    rp_io_t io;

    if (!down->buf) {
        io = read_first(down, conn, &n);
    }
    else {
        if (down->used == down->size) {
            grow_buffer(down);
        }
        io = rp_conn_read(conn, down->buf + down->used, down->size - down->used, &n);
    }
    down->used += n;
    down->got += n;
    return io;
}

rp_pump_t rp_down_read_head(rp_down_t *down, rp_conn_t *conn)
{
    for (;;) {
        apr_size_t head_len;

        if (down->used > down->pos) {
            switch (rp_h1_head_scan(&down->scan, down->buf + down->pos, down->used - down->pos, &down->limits,
                                    &head_len)) {
            case RP_H1_OK:
                return take_head(down, head_len);
            case RP_H1_BAD:
                return fail_head(down, down->scan.error, down->scan.error_at);
            case RP_H1_MORE:
                break;
            }
        }
        switch (read_head_bytes(down, conn)) {
        case RP_IO_OK:
            break;
        case RP_IO_AGAIN:
            return RP_PUMP_WAIT_BACKEND;
        case RP_IO_EOF:
            return end_in_head(down, conn);
        case RP_IO_ERROR:
            return fail(down, RP_E_HEAD_READ, rp_conn_get_status(conn), explain_end(down, conn));
        }
    }
}

bool rp_down_is_in_head(const rp_down_t *down)
{
    return down->used > down->pos;
}

/* ---- body ---- */

void rp_down_start_body(rp_down_t *down, rp_h1_trailer_fn *trailer, void *ctx)
{
    down->left = down->framing.length;
    down->is_ended = down->framing.body == RP_H1_BODY_NONE ||
                     (down->framing.body == RP_H1_BODY_LENGTH && down->left == 0);
    if (down->framing.body == RP_H1_BODY_CHUNKED) {
        rp_h1_chunk_init(&down->chunk, &down->limits);
        rp_h1_chunk_on_trailer(&down->chunk, trailer, ctx, apr_palloc(down->client->r->pool, TRAILER_LINE_BYTES),
                               TRAILER_LINE_BYTES);
    }
}

/* Decode the chunked bytes [pos, used) in place. The payload then lies as one run
 * of *n bytes at *at: runs behind the first are moved up to it. */
static bool decode_chunks(rp_down_t *down, apr_size_t *at, apr_size_t *n)
{
    rp_span_t data;
    size_t pos = down->pos;

    *n = 0;
    for (;;) {
        switch (rp_h1_chunk_next(&down->chunk, down->buf, down->used, &pos, &data)) {
        case RP_H1_CHUNK_DATA:
            if (*n == 0) {
                *at = (apr_size_t)(data.p - down->buf);
            }
            else {
                memmove(down->buf + *at + *n, data.p, data.n);
            }
            *n += data.n;
            break;
        case RP_H1_CHUNK_END:
            down->is_ended = true;
            down->pos = pos;
            return true;
        case RP_H1_CHUNK_MORE:
            down->pos = pos;
            return true;
        case RP_H1_CHUNK_BAD:
            return false;
        }
    }
}

/* Payload among the unread bytes [pos, used): *n bytes at *at. */
static bool find_payload(rp_down_t *down, apr_size_t *at, apr_size_t *n)
{
    apr_size_t unread = down->used - down->pos;

    if (down->framing.body == RP_H1_BODY_CHUNKED) {
        return decode_chunks(down, at, n);
    }
    *at = down->pos;
    *n = unread;
    if (down->framing.body == RP_H1_BODY_LENGTH) {
        *n = unread < down->left ? unread : (apr_size_t)down->left;
        down->left -= *n;
        down->is_ended = down->left == 0;
    }
    down->pos += *n;
    return true;
}

/* Append n bytes at `at` of the read buffer to bb as a bucket; the buffer is given away with it. */
static void give_away(rp_down_t *down, apr_bucket_brigade *bb, apr_size_t at, apr_size_t n)
{
    apr_bucket *e = apr_bucket_heap_create(down->buf, down->used, apr_bucket_free, get_alloc(down));

    down->buf = NULL;
    e->start = (apr_off_t)at;
    e->length = n;
    APR_BRIGADE_INSERT_TAIL(bb, e);
}

void rp_down_take_rest(rp_down_t *down, apr_bucket_brigade *bb)
{
    if (down->pos < down->used) {
        give_away(down, bb, down->pos, down->used - down->pos);
    }
    free_buffer(down);
}

static void append_payload(rp_down_t *down, apr_size_t at, apr_size_t n)
{
    down->is_surplus = down->is_ended && down->pos < down->used;
    if (n) {
        give_away(down, down->bb, at, n);
    }
    if (n || down->is_ended) {
        free_buffer(down);
    }
    else {
        down->pos = down->used = 0;
    }
}

static apr_size_t get_read_size(const rp_down_t *down)
{
    bool ends_before = down->framing.body == RP_H1_BODY_LENGTH && down->left < down->read_bytes;

    return ends_before ? (apr_size_t)down->left : down->read_bytes;
}

static rp_io_t read_body(rp_down_t *down, rp_conn_t *conn)
{
    apr_size_t n = get_read_size(down);
    rp_io_t io;

    if (!down->buf || down->size < n) {
        free_buffer(down);
        down->buf = apr_bucket_alloc(n, get_alloc(down));
        down->size = n;
    }
    io = rp_conn_read(conn, down->buf, n, &n);
    if (io == RP_IO_OK) {
        down->pos = 0;
        down->used = n;
        down->got += n;
    }
    return io;
}

/* The backend has nothing for us now: let the client have what there is. */
static rp_pump_t pause_for_backend(rp_down_t *down)
{
    /* An idle exchange holds no read buffer. */
    free_buffer(down);
    if (!rp_client_flush(down->client, down->bb)) {
        return fail(down, RP_E_CLIENT_GONE, 0, NULL);
    }
    return rp_client_has_pending(down->client) ? RP_PUMP_WAIT_CLIENT : RP_PUMP_WAIT_BACKEND;
}

/* Many backends leave close_notify out, so its want is no error. But the response may have been cut then (RFC 9112 9.8). */
static rp_pump_t end_of_stream(rp_down_t *down, const rp_conn_t *conn)
{
    if (down->framing.body != RP_H1_BODY_UNTIL_CLOSE) {
        return fail(down, RP_E_BODY_EOF, 0, NULL);
    }
    if (rp_conn_is_cut(conn)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, down->client->r, "the response ends without TLS close_notify: not for a cache");
        rp_client_forbid_cache(down->client);
    }
    down->is_ended = true;
    return RP_PUMP_DONE;
}

/* Read once. DONE: go on with what was read (or with the end). */
static rp_pump_t fill(rp_down_t *down, rp_conn_t *conn)
{
    switch (read_body(down, conn)) {
    case RP_IO_OK:
        return RP_PUMP_DONE;
    case RP_IO_AGAIN:
        return pause_for_backend(down);
    case RP_IO_EOF:
        return end_of_stream(down, conn);
    default:
        return fail(down, RP_E_BODY_READ, rp_conn_get_status(conn), NULL);
    }
}

/* Pass what is in bb on. DONE: go on reading. */
static rp_pump_t pass_on(rp_down_t *down)
{
    if (APR_BRIGADE_EMPTY(down->bb)) {
        return RP_PUMP_DONE;
    }
    if (!rp_client_write(down->client, down->bb)) {
        return fail(down, RP_E_CLIENT_GONE, 0, NULL);
    }
    return rp_client_has_pending(down->client) ? RP_PUMP_WAIT_CLIENT : RP_PUMP_DONE;
}

/* Through a buffer and the request's filters. DONE: go on. */
static rp_pump_t relay_once(rp_down_t *down, rp_conn_t *conn)
{
    apr_size_t at = 0, n = 0;

    if (down->pos == down->used) {
        rp_pump_t went = fill(down, conn);

        if (went != RP_PUMP_DONE) {
            return went;
        }
    }
    if (down->is_ended) {
        return RP_PUMP_DONE;
    }
    if (!find_payload(down, &at, &n)) {
        return fail(down, RP_E_BODY_CHUNK, 0, rp_h1_error_text(down->chunk.error));
    }
    append_payload(down, at, n);
    return down->is_ended ? RP_PUMP_DONE : pass_on(down);
}

/* Below this, copying costs less than the system calls. */
#define SPLICE_MIN 32768

/* May what comes next go past the filters? They all have let the body's beginning pass. */
static bool can_splice(rp_down_t *down, const rp_conn_t *conn)
{
    if (down->pipe) {
        return true;
    }
    if (!down->may_splice || down->framing.body != RP_H1_BODY_LENGTH || down->left < SPLICE_MIN ||
        down->pos < down->used || !rp_conn_is_plain(conn) || !rp_client_is_bare(down->client)) {
        return false;
    }
    down->pipe = rp_splice_take();
    return down->pipe != NULL;
}

/* In the kernel. DONE: go on. */
static rp_pump_t splice_once(rp_down_t *down, rp_conn_t *conn)
{
    apr_size_t n;

    if (!rp_client_splice(down->client, down->pipe)) {
        return fail(down, RP_E_CLIENT_GONE, 0, NULL);
    }
    if (rp_splice_held(down->pipe)) {
        return RP_PUMP_WAIT_CLIENT;
    }
    if (down->is_ended) {
        rp_splice_drop(&down->pipe);
        return RP_PUMP_DONE;
    }
    switch (rp_conn_splice(conn, down->pipe, down->left, &n)) {
    case RP_IO_OK:
        down->got += n;
        down->left -= n;
        down->is_ended = down->left == 0;
        return RP_PUMP_DONE;
    case RP_IO_AGAIN:
        /* An exchange that waits for its backend holds none. */
        rp_splice_drop(&down->pipe);
        return RP_PUMP_WAIT_BACKEND;
    case RP_IO_EOF:
        return fail(down, RP_E_BODY_EOF, 0, NULL);
    default:
        return fail(down, RP_E_BODY_READ, rp_conn_get_status(conn), NULL);
    }
}

rp_pump_t rp_down_pump(rp_down_t *down, rp_conn_t *conn)
{
    if (rp_client_has_pending(down->client)) {
        return RP_PUMP_WAIT_CLIENT;
    }
    while (!down->is_ended || down->pipe) {
        rp_pump_t went = can_splice(down, conn) ? splice_once(down, conn) : relay_once(down, conn);

        if (went != RP_PUMP_DONE) {
            return went;
        }
    }
    down->is_surplus = down->is_surplus || down->pos < down->used;
    /* httpd makes a Content-Length of a body that comes with its end in one brigade, and mod_deflate
     * leaves small ones alone: a response without length stays one. */
    if (!down->client->head_sent && down->framing.body != RP_H1_BODY_LENGTH && !APR_BRIGADE_EMPTY(down->bb) &&
        !rp_client_write(down->client, down->bb)) {
        return fail(down, RP_E_CLIENT_GONE, 0, NULL);
    }
    APR_BRIGADE_INSERT_TAIL(down->bb, apr_bucket_eos_create(get_alloc(down)));
    return RP_PUMP_DONE;
}

apr_uint64_t rp_down_get_progress(const rp_down_t *down)
{
    return down->framing.body == RP_H1_BODY_CHUNKED ? down->chunk.payload : down->got;
}

bool rp_down_finish(rp_down_t *down)
{
    rp_down_free(down);
    return rp_client_write(down->client, down->bb);
}
