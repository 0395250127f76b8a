#include "rp_conn_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apr_buckets.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_ssl.h"
#include "rp_offload.h"
#include "util_filter.h"

/* Plain bytes given to the TLS layer at once: one record. */
#define WRITE_MAX 16384
/* One backend that accepts and then keeps silent is not to hold all helper threads. */
#define HANDSHAKES_AT_A_TIME 32
/* What records add to the plain bytes, at most (RFC 8446 5.2: 256 a record, plus its head). */
#define RECORD_EXTRA 1024
/* Different sets of SSLProxy* settings that are kept for the child's life; the number of <Proxy>
 * sections bounds it in practice. More live with their connection. */
#define PROFILES_MAX 256
/* Records that one read goes through without finding a byte for us: more than fit into the buffers
 * between the socket and OpenSSL, unless the backend is out to keep us busy. */
#define EMPTY_RECORDS_MAX 4096

struct rp_tls_t {
    apr_pool_t *pool;
    apr_socket_t *socket;
    conn_rec *conn;
    apr_bucket_brigade *in, *out;
    rp_offload_job_t *job;       /* the handshake, NULL after it */
    apr_status_t handshake;      /* its result: written by the job, read once that is done */
    const char *cause;           /* of its failure, likewise */
    rp_ssl_t *ssl;
    apr_size_t write_max;
    bool is_starved;             /* in this read the TLS layer found the socket empty */
    bool is_drained;             /* the last read found nothing, and the socket empty */
    bool is_jobs;                /* the job's pool cleanup destroys this */
};

/* --- which settings ----------------------------------------------------------------------- */

typedef struct profile_t {
    struct profile_t *next;
    const server_rec *server;
    const char *identity;
    ap_conf_vector_t *settings;
} profile_t;

/* Protects the list and its pool. mod_ssl keeps a pointer into the settings as long as the
 * connection lives, so they cannot be a request's. */
static pthread_mutex_t profile_lock = PTHREAD_MUTEX_INITIALIZER;
static profile_t *profiles;
static int profile_count;
static apr_pool_t *profile_pool;

static ap_conf_vector_t *merge_sections(apr_pool_t *p, const server_rec *s, const char *identity)
{
    const apr_array_header_t *sections = rp_conf_get_server(s)->sections;
    ap_conf_vector_t *settings = s->lookup_defaults;
    const char *at = identity;
    char *end;

    while (*at) {
        long i = strtol(at, &end, 10);

        if (end == at || i < 0 || i >= sections->nelts) {
            break;
        }
        settings = ap_merge_per_dir_configs(p, settings,
                                            APR_ARRAY_IDX(sections, i, rp_section_t *)->dir_conf);
        at = *end == ',' ? end + 1 : end;
    }
    return settings;
}

static profile_t *find_profile_locked(const server_rec *s, const char *identity)
{
    profile_t *p;

    for (p = profiles; p; p = p->next) {
        if (p->server == s && strcmp(p->identity, identity) == 0) {
            return p;
        }
    }
    return NULL;
}

static profile_t *add_profile_locked(const server_rec *s, const char *identity)
{
    profile_t *p;

    if (!profile_pool || profile_count >= PROFILES_MAX) {
        return NULL;
    }
    p = apr_pcalloc(profile_pool, sizeof(*p));
    p->server = s;
    p->identity = apr_pstrdup(profile_pool, identity);
    p->settings = merge_sections(profile_pool, s, identity);
    p->next = profiles;
    profiles = p;
    profile_count++;
    return p;
}

static ap_conf_vector_t *get_settings(apr_pool_t *conn_pool, const server_rec *s, const char *identity)
{
    profile_t *p;

    if (!identity || !*identity) {
        return s->lookup_defaults;
    }
    pthread_mutex_lock(&profile_lock);
    p = find_profile_locked(s, identity);
    if (!p) {
        p = add_profile_locked(s, identity);
    }
    pthread_mutex_unlock(&profile_lock);
    return p ? p->settings : merge_sections(conn_pool, s, identity);
}

static apr_status_t forget_profiles(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&profile_lock);
    profiles = NULL;
    profile_count = 0;
    profile_pool = NULL;
    pthread_mutex_unlock(&profile_lock);
    return APR_SUCCESS;
}

void rp_tls_child_init(apr_pool_t *pchild)
{
    apr_allocator_t *allocator;

    /* An allocator of its own: others use pchild's at the same time. */
    if (apr_allocator_create(&allocator) != APR_SUCCESS
        || apr_pool_create_ex(&profile_pool, pchild, NULL, allocator) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_allocator_owner_set(allocator, profile_pool);
    apr_pool_tag(profile_pool, "rp_conn_tls");
    apr_pool_pre_cleanup_register(pchild, NULL, forget_profiles);
    rp_session_child_init(pchild);
}

/* --- making ------------------------------------------------------------------------------- */

static apr_status_t adopt_socket(rp_tls_t *tls, int fd, const apr_sockaddr_t *peer)
{
    struct sockaddr_storage local;
    socklen_t len = sizeof(local);
    apr_os_sock_info_t info;

    memset(&info, 0, sizeof(info));
    memset(&local, 0, sizeof(local));
    info.os_sock = &fd;
    info.family = peer->family;
    info.type = SOCK_STREAM;
    info.remote = (struct sockaddr *)&peer->sa; /* only read */
    if (peer->family != APR_UNIX && getsockname(fd, (struct sockaddr *)&local, &len) == 0) {
        info.local = (struct sockaddr *)&local;
    }
    return apr_os_sock_make(&tls->socket, &info, tls->pool);
}

static apr_size_t get_write_max(const server_rec *s)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);
    apr_size_t most = core->flush_max_threshold;

    /* The core's output filter waits, and with our timeout of 0 gives the connection up, when
     * more than this is pending. */
    if (most >= WRITE_MAX + RECORD_EXTRA) {
        return WRITE_MAX;
    }
    return most > 2 * RECORD_EXTRA ? most - RECORD_EXTRA : RECORD_EXTRA;
}

/* Between the core's input filter and mod_ssl. */
static apr_status_t watch_input(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                apr_read_type_e block, apr_off_t most)
{
    rp_tls_t *tls = f->ctx;
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, most);

    if (rv != APR_SUCCESS || APR_BRIGADE_EMPTY(bb)) {
        tls->is_starved = true;
    }
    return rv;
}

/* Added by its record, so it needs no name that others could use. */
static ap_filter_rec_t watch_filter = {
    .name = "rp_conn_tls",
    .filter_func = {.in_func = watch_input},
    .ftype = (ap_filter_type)(AP_FTYPE_NETWORK - 1),
};

static rp_err_t make_conn_rec(rp_tls_t *tls, const rp_conn_want_t *want)
{
    apr_bucket_alloc_t *alloc = apr_bucket_alloc_create(tls->pool);
    conn_rec *c = ap_run_create_connection(tls->pool, want->server, tls->socket, 0, NULL, alloc);
    int rc;

    if (!c) {
        tls->socket = NULL; /* closed by the hook; the peer is gone */
        return RP_E_CONNECT;
    }
    tls->conn = c;
    tls->in = apr_brigade_create(tls->pool, alloc);
    tls->out = apr_brigade_create(tls->pool, alloc);
    tls->ssl = rp_ssl_make(c, want);
    if (want->tls_name) {
        apr_table_set(c->notes, "proxy-request-hostname", want->tls_name);
    }
    if (ap_ssl_bind_outgoing(c, get_settings(tls->pool, want->server, want->tls_identity), 1) != OK) {
        return RP_E_TLS_OFF;
    }
    rc = ap_run_pre_connection(c, tls->socket);
    if (rc != OK && rc != DONE) {
        return RP_E_TLS_HANDSHAKE;
    }
    ap_add_input_filter_handle(&watch_filter, tls, NULL, c);
    /* mod_ssl writes c->cs->sense when OpenSSL wants to read in the midst of a write; only the
     * MPM's connections have one. */
    c->cs = apr_pcalloc(tls->pool, sizeof(*c->cs));
    return RP_E_NONE;
}

/* --- the handshake ------------------------------------------------------------------------ */

/* On a helper thread: mod_ssl takes anything but a finished SSL_connect for a failure, so the
 * socket has to block here. */
static void shake_hands(void *ctx, apr_pool_t *job_pool)
{
    rp_tls_t *tls = ctx;
    conn_rec *c = tls->conn;
    const char *note;
    apr_status_t rv;

    (void)job_pool;
    APR_BRIGADE_INSERT_TAIL(tls->out, apr_bucket_flush_create(c->bucket_alloc));
    rv = ap_pass_brigade(c->output_filters, tls->out);
    apr_brigade_cleanup(tls->out);
    note = apr_table_get(c->notes, "SSL_connect_rv");
    if (rv == APR_SUCCESS && (c->aborted || !note || strcmp(note, "ok") != 0)) {
        rv = APR_ECONNABORTED;
    }
    tls->handshake = rv;
    rp_ssl_end_handshake(tls->ssl, rv == APR_SUCCESS);
    if (rv != APR_SUCCESS) {
        c->aborted = 1;
        tls->cause = rp_ssl_explain(tls->pool, tls->ssl, apr_table_get(c->notes, "proxy-request-hostname"));
    }
    apr_socket_timeout_set(tls->socket, 0);
}

static void free_tls(rp_tls_t *tls)
{
    conn_rec *c = tls->conn;

    if (c && !c->aborted) {
        /* close_notify, as far as the socket takes it without waiting. */
        (void)ap_shutdown_conn(c, 0);
        c->aborted = 1;
    }
    apr_pool_destroy(tls->pool); /* closes the socket */
}

static apr_status_t free_with_job(void *ctx)
{
    rp_tls_t *tls = ctx;

    if (tls->is_jobs) {
        tls->conn->aborted = 1; /* no close_notify in the midst of a handshake */
        free_tls(tls);
    }
    return APR_SUCCESS;
}

static apr_status_t start_handshake(rp_tls_t *tls, int fd, const rp_conn_want_t *want)
{
    apr_status_t rv = rp_offload_make(&tls->job);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_socket_timeout_set(tls->socket, want->timeout);
    rp_offload_set_socket(tls->job, fd);
    apr_pool_cleanup_register(rp_offload_pool(tls->job), tls, free_with_job, apr_pool_cleanup_null);
    rp_offload_set_limit(tls->job, want->backend, HANDSHAKES_AT_A_TIME);
    rv = rp_offload_run(tls->job, shake_hands, tls);
    if (rv != APR_SUCCESS) {
        rp_offload_drop(&tls->job);
    }
    return rv;
}

rp_err_t rp_tls_begin(rp_tls_t **tls, int fd, const apr_sockaddr_t *peer, const rp_conn_want_t *want)
{
    apr_pool_t *pool;
    rp_tls_t *t;
    rp_err_t err;

    *tls = NULL;
    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_pool_tag(pool, "rp_conn_tls");
    t = apr_pcalloc(pool, sizeof(*t));
    t->pool = pool;
    t->write_max = get_write_max(want->server);
    if (adopt_socket(t, fd, peer) != APR_SUCCESS) {
        close(fd);
        apr_pool_destroy(pool);
        return RP_E_RESOURCE;
    }
    err = make_conn_rec(t, want);
    if (err == RP_E_NONE && start_handshake(t, fd, want) != APR_SUCCESS) {
        err = RP_E_RESOURCE;
    }
    if (err != RP_E_NONE) {
        if (t->conn) {
            t->conn->aborted = 1; /* nothing was said yet, so there is nothing to close */
        }
        free_tls(t);
        return err;
    }
    *tls = t;
    return RP_E_NONE;
}

rp_io_t rp_tls_handshake(rp_tls_t *tls, apr_status_t *rv)
{
    if (!rp_offload_is_done(tls->job)) {
        return RP_IO_AGAIN;
    }
    *rv = tls->handshake;
    rp_offload_drop(&tls->job);
    return *rv == APR_SUCCESS ? RP_IO_OK : RP_IO_ERROR;
}

int rp_tls_fd(const rp_tls_t *tls)
{
    return rp_offload_fd(tls->job);
}

const char *rp_tls_get_cause(const rp_tls_t *tls)
{
    return tls->cause;
}

bool rp_tls_is_resumed(const rp_tls_t *tls)
{
    return rp_ssl_is_resumed(tls->ssl);
}

const char *rp_tls_get_alert(const rp_tls_t *tls)
{
    return rp_ssl_get_alert(tls->ssl);
}

bool rp_tls_is_cut(const rp_tls_t *tls)
{
    return rp_ssl_is_open(tls->ssl);
}

void rp_tls_destroy(rp_tls_t **tls)
{
    rp_tls_t *t = *tls;

    *tls = NULL;
    if (!t) {
        return;
    }
    if (t->job) {
        rp_offload_job_t *job = t->job;

        t->is_jobs = true;
        rp_offload_drop(&job); /* now, or when the handshake returns */
        return;
    }
    free_tls(t);
}

/* --- reading and writing ------------------------------------------------------------------ */

/* Give the core's output filter another try at what it keeps, as the event MPM does. */
static apr_status_t push_output(conn_rec *c)
{
    ap_filter_t *f = c->output_filters;

    while (f->next) {
        f = f->next;
    }
    return f->frec->filter_func.out_func(f, NULL);
}

rp_io_t rp_tls_flush(rp_tls_t *tls, apr_status_t *rv)
{
    conn_rec *c = tls->conn;

    if (!c->data_in_output_filters) {
        return RP_IO_OK;
    }
    *rv = push_output(c);
    if (*rv != APR_SUCCESS || c->aborted) {
        *rv = *rv == APR_SUCCESS ? APR_ECONNABORTED : *rv;
        return RP_IO_ERROR;
    }
    return c->data_in_output_filters ? RP_IO_AGAIN : RP_IO_OK;
}

bool rp_tls_has_output(const rp_tls_t *tls)
{
    return tls->conn->data_in_output_filters != 0;
}

static apr_size_t fill_brigade(rp_tls_t *tls, const struct iovec *iov, int niov)
{
    apr_bucket_alloc_t *alloc = tls->conn->bucket_alloc;
    apr_size_t left = tls->write_max;
    int i;

    for (i = 0; i < niov && left > 0; i++) {
        apr_size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;

        if (n) {
            APR_BRIGADE_INSERT_TAIL(tls->out, apr_bucket_transient_create(iov[i].iov_base, n, alloc));
            left -= n;
        }
    }
    /* mod_ssl keeps small pieces back until it sees something that is no data. A FLUSH would make
     * the core's filter wait for the socket; an EOS has no effect on a connection. */
    APR_BRIGADE_INSERT_TAIL(tls->out, apr_bucket_eos_create(alloc));
    return tls->write_max - left;
}

rp_io_t rp_tls_write(rp_tls_t *tls, const struct iovec *iov, int niov, apr_size_t *sent, apr_status_t *rv)
{
    rp_io_t io = rp_tls_flush(tls, rv);
    apr_size_t n;

    if (io != RP_IO_OK) {
        return io;
    }
    n = fill_brigade(tls, iov, niov);
    *rv = ap_pass_brigade(tls->conn->output_filters, tls->out);
    apr_brigade_cleanup(tls->out);
    if (*rv != APR_SUCCESS || tls->conn->aborted) {
        /* EAGAIN too: mod_ssl has thrown the bytes away then (a renegotiation came in between). */
        *rv = *rv == APR_SUCCESS ? APR_ECONNABORTED : *rv;
        tls->conn->aborted = 1;
        return RP_IO_ERROR;
    }
    *sent = n;
    /* The filter keeps less than 4 KB for company. */
    return rp_tls_flush(tls, rv) == RP_IO_ERROR ? RP_IO_ERROR : RP_IO_OK;
}

/* Move bytes from the head of the brigade to buf; sets *is_end at EOS, *is_bad at an error bucket. */
static apr_status_t take_bytes(rp_tls_t *tls, char *buf, apr_size_t cap, apr_size_t *got, bool *is_end)
{
    while (*got < cap && !APR_BRIGADE_EMPTY(tls->in)) {
        apr_bucket *b = APR_BRIGADE_FIRST(tls->in);
        const char *data;
        apr_status_t rv;
        apr_size_t n;

        if (AP_BUCKET_IS_ERROR(b)) {
            return APR_ECONNABORTED;
        }
        if (APR_BUCKET_IS_EOS(b)) {
            *is_end = true;
            return APR_SUCCESS;
        }
        if (!APR_BUCKET_IS_METADATA(b)) {
            rv = apr_bucket_read(b, &data, &n, APR_NONBLOCK_READ);
            if (rv != APR_SUCCESS) {
                return APR_STATUS_IS_EAGAIN(rv) ? APR_SUCCESS : rv;
            }
            if (n > cap - *got) {
                n = cap - *got;
                apr_bucket_split(b, n);
            }
            memcpy(buf + *got, data, n);
            *got += n;
        }
        apr_bucket_delete(b);
    }
    return APR_SUCCESS;
}

/* What is left (never, with mod_ssl alone) may point into the filter's buffer. */
static void keep_rest(rp_tls_t *tls)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(tls->in); b != APR_BRIGADE_SENTINEL(tls->in); b = APR_BUCKET_NEXT(b)) {
        (void)apr_bucket_setaside(b, tls->pool);
    }
}

/* Ask for bytes until there are some or the socket is empty. mod_ssl says EAGAIN also after a
 * record that was for OpenSSL (a session ticket, say), though the next one, already taken from
 * the socket, may be ours: no poll would tell. */
static apr_status_t fetch_input(rp_tls_t *tls, ap_input_mode_t mode, apr_size_t most)
{
    apr_status_t rv;
    int i;

    tls->is_starved = false;
    for (i = 0; i < EMPTY_RECORDS_MAX; i++) {
        rv = ap_get_brigade(tls->conn->input_filters, tls->in, mode, APR_NONBLOCK_READ, (apr_off_t)most);
        if (APR_STATUS_IS_EAGAIN(rv) || APR_STATUS_IS_TIMEUP(rv)) {
            rv = APR_SUCCESS;
        }
        if (rv != APR_SUCCESS || tls->is_starved || !APR_BRIGADE_EMPTY(tls->in)) {
            return rv;
        }
    }
    return APR_EGENERAL;
}

rp_io_t rp_tls_read(rp_tls_t *tls, char *buf, apr_size_t cap, apr_size_t *got, apr_status_t *rv)
{
    bool is_end = false;

    /* OpenSSL may owe the backend an answer before there is more to read. */
    if (rp_tls_flush(tls, rv) == RP_IO_ERROR) {
        return RP_IO_ERROR;
    }
    if (APR_BRIGADE_EMPTY(tls->in)) {
        *rv = fetch_input(tls, AP_MODE_READBYTES, cap);
    }
    if (*rv == APR_SUCCESS) {
        *rv = take_bytes(tls, buf, cap, got, &is_end);
        keep_rest(tls);
    }
    if (*got > 0) {
        tls->is_drained = false;
        return RP_IO_OK;
    }
    if (is_end || APR_STATUS_IS_EOF(*rv)) {
        return RP_IO_EOF;
    }
    if (*rv != APR_SUCCESS) {
        return RP_IO_ERROR;
    }
    tls->is_drained = true;
    return RP_IO_AGAIN;
}

bool rp_tls_has_buffered(const rp_tls_t *tls)
{
    return !tls->is_drained;
}

bool rp_tls_is_idle_alive(rp_tls_t *tls)
{
    apr_status_t rv;
    bool is_silent;

    if (tls->conn->aborted || rp_tls_has_output(tls) || !APR_BRIGADE_EMPTY(tls->in)) {
        return false;
    }
    /* Session tickets are read and taken care of here; they are no answer. */
    rv = fetch_input(tls, AP_MODE_SPECULATIVE, 1);
    is_silent = rv == APR_SUCCESS && APR_BRIGADE_EMPTY(tls->in);
    apr_brigade_cleanup(tls->in);
    return is_silent && !tls->conn->aborted;
}
