#include "rp_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "ap_mpm.h"
#include "apr_portable.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"
#include "mod_core.h"

static int get_client_fd(const conn_rec *c)
{
    apr_socket_t *sock;
    apr_os_sock_t fd = -1;

    /* A secondary connection (HTTP/2 stream) shares its master's socket, whose
     * readiness says nothing about the stream. */
    if (c->master) {
        return -1;
    }
    sock = ap_get_conn_socket((conn_rec *)c);
    if (!sock || apr_os_sock_get(&fd, sock) != APR_SUCCESS) {
        return -1;
    }
    return fd;
}

/* mod_http2 tells by a pipe when a stream has input; -1: it does not. */
static int get_stream_fd(conn_rec *c)
{
    int fd = -1;

#if AP_MODULE_MAGIC_AT_LEAST(20120211, 129)
    apr_pollfd_t p = {.desc_type = APR_NO_DESC};

    if (c->master && ap_get_pollfd_from_conn(c, &p, NULL) == APR_SUCCESS && p.desc_type == APR_POLL_FILE) {
        (void)apr_os_file_get(&fd, p.desc.f);
    }
#endif
    return fd;
}

/* ---- writes that do not wait ---- */

#define GATE_NAME "REVPROXY_GATE"
static ap_filter_rec_t *gate_filter;

/* Have the core's filter, the last one, send what it holds, as the event MPM does. */
static apr_status_t push_output(conn_rec *c)
{
    ap_filter_t *f;

    for (f = c->output_filters; f->next; f = f->next) {
    }
    return f->frec->filter_func.out_func(f, NULL);
}

/* A socket that is writable takes this much at once. */
#define SURE_BYTES 4096

static bool ends_in_flush(const apr_bucket_brigade *bb)
{
    return !APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_FLUSH(APR_BRIGADE_LAST(bb));
}

/* Will the core's filter get rid of bb without waiting? Then it need not set it aside first, for
 * which it keeps a pool of its own. */
static bool is_sure_to_go(const rp_client_t *cl, const apr_bucket_brigade *bb)
{
    struct pollfd client = {cl->fd, POLLOUT, 0};
    const apr_bucket *e;
    apr_size_t n = 0;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = APR_BUCKET_NEXT(e)) {
        /* (apr_size_t)-1 where it is not known yet */
        if (e->length > SURE_BYTES - n) {
            return false;
        }
        n += e->length;
    }
    return n > 0 && !cl->r->connection->data_in_output_filters && poll(&client, 1, 0) > 0;
}

/* f->ctx: the rp_client_t that is writing, or NULL: then this filter does nothing. */
static apr_status_t pass_gate(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_bucket *e, *next;
    bool wants_flush = false;
    apr_status_t rv;

    if (!f->ctx || (ends_in_flush(bb) && is_sure_to_go(f->ctx, bb))) {
        return ap_pass_brigade(f->next, bb);
    }
    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb); e = next) {
        next = APR_BUCKET_NEXT(e);
        if (APR_BUCKET_IS_FLUSH(e)) {
            apr_bucket_delete(e);
            wants_flush = true;
        }
    }
    rv = ap_pass_brigade(f->next, bb);
    return rv == APR_SUCCESS && wants_flush ? push_output(f->c) : rv;
}

void rp_client_register_filter(void)
{
    /* Just before the core's own: behind mod_ssl, whose records it must not split. */
    gate_filter = ap_register_output_filter(GATE_NAME, pass_gate, NULL, AP_FTYPE_NETWORK - 1);
}

static ap_filter_t *get_gate(conn_rec *c)
{
    ap_filter_t *f;

    for (f = c->output_filters; f; f = f->next) {
        if (f->frec == gate_filter) {
            return f;
        }
    }
    return ap_add_output_filter_handle(gate_filter, NULL, NULL, c);
}

static apr_status_t pass_down(rp_client_t *cl, apr_bucket_brigade *bb)
{
    apr_status_t rv;

    if (cl->gate) {
        cl->gate->ctx = cl;
    }
    rv = ap_pass_brigade(cl->r->output_filters, bb);
    rp_client_leave(cl);
    return rv;
}

void rp_client_send_interim(rp_client_t *cl, bool with_fields)
{
    if (cl->gate) {
        cl->gate->ctx = cl;
    }
    ap_send_interim_response(cl->r, with_fields);
    rp_client_leave(cl);
}

void rp_client_leave(rp_client_t *cl)
{
    if (cl->gate) {
        cl->gate->ctx = NULL;
    }
}

/* ---- */

void rp_client_init(rp_client_t *cl, request_rec *r)
{
    cl->r = r;
    cl->fd = get_client_fd(r->connection);
    cl->stream_fd = -1;
    cl->needs_flush = false;
    cl->head_sent = false;
    cl->is_raw = cl->has_request_end = cl->is_direct = cl->is_drained = false;
    cl->looks = cl->writes = 0;
    cl->in = NULL;
    cl->gate = cl->fd >= 0 ? get_gate(r->connection) : NULL;
}

/* Pieces up to this size are copied together: each takes an 8 KiB block of APR's, and the 16 KiB
 * that are kept of a body would fill megabytes where a client sends a few bytes at a time.
 * (apr_brigade_write packs into the first buffer only.) */
#define SMALL_PIECE 2000

static bool has_room(const apr_bucket_brigade *bb, apr_size_t len)
{
    const apr_bucket *last = APR_BRIGADE_LAST(bb);
    const apr_bucket_heap *h;

    if (APR_BRIGADE_EMPTY(bb) || !APR_BUCKET_IS_HEAP(last)) {
        return false;
    }
    h = last->data;
    return h->refcount.refcount == 1 && (apr_size_t)last->start + last->length + len <= h->alloc_len;
}

static void add_buffer(apr_bucket_brigade *bb)
{
    char *buf = apr_bucket_alloc(APR_BUCKET_BUFF_SIZE, bb->bucket_alloc);
    apr_bucket *e = apr_bucket_heap_create(buf, APR_BUCKET_BUFF_SIZE, apr_bucket_free, bb->bucket_alloc);

    e->length = 0;
    APR_BRIGADE_INSERT_TAIL(bb, e);
}

static void append_piece(apr_bucket_brigade *bb, apr_bucket *e)
{
    bool is_memory = APR_BUCKET_IS_HEAP(e) || APR_BUCKET_IS_TRANSIENT(e);
    apr_bucket *last;
    const char *data;
    apr_size_t len;

    if (!is_memory || e->length > SMALL_PIECE || apr_bucket_read(e, &data, &len, APR_NONBLOCK_READ) != APR_SUCCESS) {
        APR_BRIGADE_INSERT_TAIL(bb, e);
        return;
    }
    if (!has_room(bb, len)) {
        add_buffer(bb);
    }
    last = APR_BRIGADE_LAST(bb);
    memcpy(((apr_bucket_heap *)last->data)->base + last->start + last->length, data, len);
    last->length += len;
    apr_bucket_destroy(e);
}

/* Move data from `in` to bb. Returns true when an EOS ended the body. */
static bool take_body(apr_bucket_brigade *in, apr_bucket_brigade *bb, bool *got)
{
    while (!APR_BRIGADE_EMPTY(in)) {
        apr_bucket *e = APR_BRIGADE_FIRST(in);

        APR_BUCKET_REMOVE(e);
        if (APR_BUCKET_IS_EOS(e)) {
            apr_bucket_destroy(e);
            apr_brigade_cleanup(in);
            return true;
        }
        if (APR_BUCKET_IS_METADATA(e) || e->length == 0) {
            apr_bucket_destroy(e);
            continue;
        }
        append_piece(bb, e);
        *got = true;
    }
    return false;
}

static apr_bucket_brigade *get_in(rp_client_t *cl)
{
    if (!cl->in) {
        cl->in = apr_brigade_create(cl->r->pool, cl->r->connection->bucket_alloc);
    }
    return cl->in;
}

static rp_client_result_t read_direct(rp_client_t *cl, apr_bucket_brigade *bb, apr_size_t max, apr_status_t *rv);

rp_client_result_t rp_client_read(rp_client_t *cl, apr_bucket_brigade *bb, apr_off_t max, apr_status_t *rv)
{
    request_rec *r = cl->r;
    bool got = false;

    if (cl->is_direct) {
        return read_direct(cl, bb, (apr_size_t)max, rv);
    }
    (void)get_in(cl);
    *rv = ap_get_brigade(r->input_filters, cl->in, AP_MODE_READBYTES, APR_NONBLOCK_READ, max);
    if (APR_STATUS_IS_EAGAIN(*rv) || (*rv == APR_SUCCESS && APR_BRIGADE_EMPTY(cl->in))) {
        apr_brigade_cleanup(cl->in);
        cl->looks++;
        return RP_CLIENT_AGAIN;
    }
    if (*rv != APR_SUCCESS) {
        apr_brigade_cleanup(cl->in);
        return RP_CLIENT_FAIL;
    }
    if (take_body(cl->in, bb, &got)) {
        if (!cl->has_request_end) {
            return RP_CLIENT_END;
        }
        cl->has_request_end = false;
    }
    cl->looks = got ? 0 : cl->looks + 1;
    return got ? RP_CLIENT_OK : RP_CLIENT_AGAIN;
}

bool rp_client_is_gone(const rp_client_t *cl)
{
    return cl->r->connection->aborted;
}

bool rp_client_is_taken(rp_client_t *cl)
{
    if (cl->fd < 0 || get_client_fd(cl->r->connection) == cl->fd) {
        return false;
    }
    cl->fd = -1;
    cl->r->connection->aborted = 1;
    return true;
}

bool rp_client_write(rp_client_t *cl, apr_bucket_brigade *bb)
{
    apr_status_t rv = pass_down(cl, bb);

    apr_brigade_cleanup(bb);
    cl->needs_flush = true;
    cl->writes++;
    cl->head_sent = true;
    return rv == APR_SUCCESS && !rp_client_is_gone(cl);
}

bool rp_client_flush(rp_client_t *cl, apr_bucket_brigade *bb)
{
    if (!cl->needs_flush && cl->head_sent) {
        return !rp_client_is_gone(cl);
    }
    return rp_client_write_out(cl, bb);
}

bool rp_client_write_out(rp_client_t *cl, apr_bucket_brigade *bb)
{
    bool ok;

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(cl->r->connection->bucket_alloc));
    ok = rp_client_write(cl, bb);
    cl->needs_flush = false;
    return ok;
}

/* ---- past the filters ---- */

/* mod_logio's, for %O: httpd's core tells it what it has written. NULL: it is not loaded. */
static APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) *count_bytes_out;
/* For %I: its filter counts what comes through it. */
static APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_in) *count_bytes_in;

void rp_client_find_functions(void)
{
    count_bytes_in = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_in);
    count_bytes_out = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);
}

/* Filters that do nothing to a body whose length the head has told. */
static bool lets_pass(const ap_filter_t *f)
{
    return f->frec == ap_content_length_filter_handle || f->frec == ap_http_outerror_filter_handle ||
           f->frec == ap_core_output_filter_handle || f->frec == gate_filter;
}

static bool is_output_bare(const rp_client_t *cl)
{
    const ap_filter_t *f = cl->r->output_filters;

    while (f && lets_pass(f)) {
        f = f->next;
    }
    return !f && cl->fd >= 0;
}

bool rp_client_is_bare(const rp_client_t *cl)
{
    return cl->head_sent && is_output_bare(cl);
}

static void note_sent(rp_client_t *cl, ssize_t n)
{
    /* What httpd's filters would have counted. */
    cl->r->bytes_sent += n;
    if (count_bytes_out) {
        count_bytes_out(cl->r->connection, n);
    }
}

bool rp_client_splice(rp_client_t *cl, rp_pipe_t *pipe)
{
    request_rec *r = cl->r;

    while (rp_splice_held(pipe)) {
        ssize_t n = rp_splice_drain(pipe, cl->fd);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return true;
        }
        if (n <= 0) {
            r->connection->aborted = 1;
            return false;
        }
        note_sent(cl, n);
        cl->writes++;
    }
    return true;
}

/* ---- the socket itself ---- */

static void note_received(rp_client_t *cl, apr_off_t n)
{
    if (count_bytes_in) {
        count_bytes_in(cl->r->connection, n);
    }
}

static bool is_input_bare(const rp_client_t *cl)
{
    const ap_filter_t *f = cl->r->input_filters;

    if (f && count_bytes_in && !strcmp(f->frec->name, "log_input_output")) {
        f = f->next;
    }
    return f && f->frec == ap_core_input_filter_handle && !f->next;
}

/* From httpd's core, what it has read already and its socket: it reads no more. What it has read waits
 * in cl->in. */
static bool take_input(rp_client_t *cl)
{
    apr_bucket_brigade *in = get_in(cl);
    apr_bucket *e, *next;

    if (!is_output_bare(cl) || !is_input_bare(cl) ||
        ap_get_brigade(cl->r->input_filters, in, AP_MODE_EXHAUSTIVE, APR_NONBLOCK_READ, 0) != APR_SUCCESS) {
        return false;
    }
    for (e = APR_BRIGADE_FIRST(in); e != APR_BRIGADE_SENTINEL(in); e = next) {
        next = APR_BUCKET_NEXT(e);
        /* The end is what the core says of its socket's bucket, which is of unknown length. */
        if (APR_BUCKET_IS_METADATA(e) || e->length == (apr_size_t)-1) {
            apr_bucket_delete(e);
        }
        else {
            note_received(cl, (apr_off_t)e->length);
        }
    }
    return true;
}

/* What a read of n bytes, or -1 with errno, means. */
static rp_client_result_t conclude_read(rp_client_t *cl, ssize_t n, apr_status_t *rv)
{
    if (n > 0) {
        note_received(cl, n);
        return RP_CLIENT_OK;
    }
    if (n == 0) {
        return RP_CLIENT_END;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return RP_CLIENT_AGAIN;
    }
    *rv = errno;
    return RP_CLIENT_FAIL;
}

static rp_client_result_t read_socket(rp_client_t *cl, apr_bucket_brigade *bb, apr_size_t max, apr_status_t *rv)
{
    char *buf = apr_bucket_alloc(max, bb->bucket_alloc);
    apr_bucket *e;
    ssize_t n;

    do {
        n = recv(cl->fd, buf, max, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        rp_client_result_t result = conclude_read(cl, n, rv);

        apr_bucket_free(buf);
        return result;
    }
    e = apr_bucket_heap_create(buf, max, apr_bucket_free, bb->bucket_alloc);
    e->length = (apr_size_t)n;
    APR_BRIGADE_INSERT_TAIL(bb, e);
    cl->is_drained = (apr_size_t)n < max;
    return conclude_read(cl, n, rv);
}

static rp_client_result_t read_direct(rp_client_t *cl, apr_bucket_brigade *bb, apr_size_t max, apr_status_t *rv)
{
    bool got = false;

    *rv = APR_SUCCESS;
    cl->is_drained = false;
    (void)take_body(cl->in, bb, &got);
    return got ? RP_CLIENT_OK : read_socket(cl, bb, max, rv);
}

rp_client_result_t rp_client_fill(rp_client_t *cl, rp_pipe_t *pipe, apr_status_t *rv)
{
    cl->is_drained = false;
    *rv = APR_SUCCESS;
    return conclude_read(cl, rp_splice_fill(pipe, cl->fd, RP_PIPE_BYTES), rv);
}

/* false: no more goes now. */
static bool send_bucket(rp_client_t *cl, apr_bucket *e)
{
    const char *data;
    apr_size_t n;
    ssize_t sent;

    if (apr_bucket_read(e, &data, &n, APR_NONBLOCK_READ) != APR_SUCCESS) {
        return false;
    }
    do {
        sent = send(cl->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            cl->r->connection->aborted = 1;
        }
        return false;
    }
    note_sent(cl, sent);
    if ((apr_size_t)sent < n) {
        (void)apr_bucket_split(e, (apr_size_t)sent);
    }
    apr_bucket_delete(e);
    return (apr_size_t)sent == n;
}

bool rp_client_send(rp_client_t *cl, apr_bucket_brigade *bb)
{
    /* What httpd's filters still hold goes first. */
    bool goes_on = !cl->r->connection->data_in_output_filters;

    while (goes_on && !APR_BRIGADE_EMPTY(bb)) {
        goes_on = send_bucket(cl, APR_BRIGADE_FIRST(bb));
    }
    cl->writes++;
    cl->head_sent = true;
    return !rp_client_is_gone(cl);
}

/* ---- */

bool rp_client_has_pending(rp_client_t *cl)
{
    conn_rec *c = cl->r->connection;

    if (cl->fd < 0 || !c->data_in_output_filters || c->aborted) {
        return false;
    }
    if (push_output(c) != APR_SUCCESS) {
        c->aborted = 1;
        return false;
    }
    return c->data_in_output_filters != 0;
}

void rp_client_want(rp_client_t *cl, rp_wait_t *wait, short events)
{
    wait->client_fd = events == POLLIN && cl->stream_fd >= 0 ? cl->stream_fd : cl->fd;
    wait->client_events = events;
    wait->client_unpollable = wait->client_fd < 0;
    wait->client_is_raw = cl->is_raw;
    wait->looks = cl->looks;
}

void rp_client_go_raw(rp_client_t *cl)
{
    request_rec *r = cl->r;
    conn_rec *c = r->connection;

    /* It waits for more to fill a record with; mod_reqtimeout waits for a request's end. */
    ap_remove_output_filter_byhandle(c->output_filters, "SSL/TLS Coalescing Filter");
    ap_remove_input_filter_byhandle(c->input_filters, "reqtimeout");
    r->input_filters = r->proto_input_filters = c->input_filters;
    r->output_filters = r->proto_output_filters = c->output_filters;
    c->keepalive = AP_CONN_CLOSE;
    cl->is_raw = true;
    cl->has_request_end = c->master != NULL;
    cl->stream_fd = get_stream_fd(c);
    cl->is_direct = take_input(cl);
}

void rp_client_drop_head(rp_client_t *cl)
{
    conn_rec *c = cl->r->connection;
    apr_bucket_brigade *bb;

    if (cl->fd < 0) {
        return;
    }
    bb = apr_brigade_create(cl->r->pool, c->bucket_alloc);
    (void)ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, 1);
    apr_brigade_destroy(bb);
}

bool rp_client_shut_write(rp_client_t *cl)
{
    conn_rec *c = cl->r->connection;

    return cl->fd >= 0 && !ap_ssl_conn_is_ssl(c) && shutdown(cl->fd, SHUT_WR) == 0;
}

apr_time_t rp_client_get_deadline(const rp_client_t *cl)
{
    return apr_time_now() + cl->r->server->timeout;
}

void rp_client_forbid_cache(rp_client_t *cl)
{
    request_rec *r = cl->r;

    r->no_cache = 1;
    if (r->main) {
        r->main->no_cache = 1;
    }
}

void rp_client_cut(rp_client_t *cl, apr_bucket_brigade *bb)
{
    request_rec *r = cl->r;
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;

    rp_client_forbid_cache(cl);
    r->connection->keepalive = AP_CONN_CLOSE;
    apr_brigade_cleanup(bb);
    /* httpd's chunk filter leaves out the last chunk when it has seen this bucket,
     * mod_http2 resets the stream. */
    APR_BRIGADE_INSERT_TAIL(bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    (void)rp_client_write(cl, bb);
}
