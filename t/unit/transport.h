/* What the unit programs of the transport layer share: the units themselves, with a resolver that
 * the test controls, stand-ins for the parts of httpd that they call, TAP, and small servers. */

#ifndef T_TRANSPORT_H
#define T_TRANSPORT_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apr_general.h"
#include "apr_network_io.h"

#define HELPER static __attribute__((unused))

/* --- the resolver ------------------------------------------------------------------------- */

static apr_status_t fake_info_get(apr_sockaddr_t **sa, const char *host, apr_int32_t family, apr_port_t port,
                                  apr_int32_t flags, apr_pool_t *p);

#define apr_sockaddr_info_get fake_info_get
#include "../../src/rp_offload.c"

#include "../../src/rp_addr.c"
#undef apr_sockaddr_info_get

#include "../../src/rp_splice.c"

#include "../../src/rp_conn.c"

#include "../../src/rp_conn_open.c"

#include "../../src/rp_conn_tls.c"

/* What looks into OpenSSL is tested with real peers (t/58, t/59). */
rp_ssl_t *rp_ssl_make(const conn_rec *c, const rp_conn_want_t *want)
{
    (void)c;
    (void)want;
    return NULL;
}
void rp_ssl_end_handshake(rp_ssl_t *w, bool is_good)
{
    (void)w;
    (void)is_good;
}
const char *rp_ssl_explain(apr_pool_t *p, const rp_ssl_t *w, const char *name)
{
    (void)p;
    (void)w;
    (void)name;
    return NULL;
}
bool rp_ssl_is_resumed(const rp_ssl_t *w)
{
    (void)w;
    return false;
}
const char *rp_ssl_get_alert(const rp_ssl_t *w)
{
    (void)w;
    return NULL;
}
bool rp_ssl_is_open(const rp_ssl_t *w)
{
    (void)w;
    return false;
}
void rp_session_child_init(apr_pool_t *pchild)
{
    (void)pchild;
}

#include "../../src/rp_pool.c"

#include "../../src/rp_pool_dynamic.c"

/* "name.test" has the addresses named here, separated by spaces; NULL: it has none. */
static const char *volatile name_addresses;
static atomic_int questions;
static atomic_int answer_delay_ms;

static apr_status_t fake_info_get(apr_sockaddr_t **sa, const char *host, apr_int32_t family, apr_port_t port,
                                  apr_int32_t flags, apr_pool_t *p)
{
    apr_sockaddr_t **tail = sa;
    const char *at = name_addresses;

    if (strcmp(host, "hang.test") == 0) {
        for (;;) {
            poll(NULL, 0, -1);
        }
    }
    if (strcmp(host, "name.test") != 0) {
        return apr_sockaddr_info_get(sa, host, family, port, flags, p);
    }
    atomic_fetch_add(&questions, 1);
    poll(NULL, 0, atomic_load(&answer_delay_ms));
    if (!at) {
        return APR_ENOENT;
    }
    while (*at) {
        size_t n = strcspn(at, " ");
        apr_status_t rv = apr_sockaddr_info_get(tail, apr_pstrndup(p, at, n), APR_UNSPEC, port, 0, p);

        if (rv != APR_SUCCESS) {
            return rv;
        }
        tail = &(*tail)->next;
        at += n + (at[n] == ' ');
    }
    return APR_SUCCESS;
}

/* --- httpd -------------------------------------------------------------------------------- */

module revproxy_module = {.module_index = 1};
module core_module = {.module_index = 0};
const apr_bucket_type_t ap_bucket_type_error = {.name = "ERROR"};

static atomic_int logged;
static _Atomic rp_err_t last_logged;
static int is_threaded_mpm = AP_MPMQ_STATIC;
static int threads_per_child = 4;

void rp_err_log_server(const server_rec *s, rp_err_t err, apr_status_t rv, const rp_err_where_t *where,
                       const char *detail)
{
    (void)s, (void)rv, (void)where, (void)detail;
    atomic_store(&last_logged, err);
    atomic_fetch_add(&logged, 1);
}

void ap_log_assert(const char *text, const char *file, int line)
{
    printf("Bail out! assertion %s at %s:%d\n", text, file, line);
    abort();
}

void ap_abort_on_oom(void)
{
    abort();
}

void *ap_calloc(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p) {
        abort();
    }
    return p;
}

apr_status_t ap_mpm_query(int code, int *result)
{
    *result = code == AP_MPMQ_IS_THREADED ? is_threaded_mpm : threads_per_child;
    return APR_SUCCESS;
}

ap_conf_vector_t *ap_merge_per_dir_configs(apr_pool_t *p, ap_conf_vector_t *base, ap_conf_vector_t *add)
{
    (void)p, (void)base;
    return add;
}

/* A TLS layer that encrypts nothing. Its handshake reads one byte: 'y' is a good one. Like mod_ssl's,
 * its input filter answers EAGAIN after a record that is not for the application; here that is '#'. */
static bool is_tls_on;
static ap_conf_vector_t *volatile bound_settings;
static const char *volatile bound_name;

static apr_status_t fake_tls_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    (void)f, (void)bb;
    return APR_SUCCESS;
}

typedef struct {
    ap_filter_t tls, core;
    char kept[8192];
    apr_size_t used, at;
} fake_filters_t;

static apr_status_t fake_core_in(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                 apr_off_t most)
{
    char buf[64];
    apr_os_sock_t fd;
    ssize_t got;

    (void)block, (void)mode;
    apr_os_sock_get(&fd, f->ctx);
    got = recv(fd, buf, (size_t)most < sizeof(buf) ? (size_t)most : sizeof(buf), 0);
    if (got == 0) {
        return APR_EOF;
    }
    if (got < 0) {
        return errno == EAGAIN ? APR_SUCCESS : errno;
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_heap_create(buf, (apr_size_t)got, NULL, bb->bucket_alloc));
    return APR_SUCCESS;
}

static apr_status_t fake_tls_in(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                apr_off_t most)
{
    fake_filters_t *all = (fake_filters_t *)f;
    apr_size_t n, len = sizeof(all->kept);
    apr_status_t rv;

    if (all->at == all->used) {
        rv = ap_get_brigade(f->next, bb, AP_MODE_READBYTES, block, sizeof(all->kept));
        if (rv != APR_SUCCESS || APR_BRIGADE_EMPTY(bb)) {
            return rv == APR_SUCCESS ? APR_EAGAIN : rv;
        }
        apr_brigade_flatten(bb, all->kept, &len);
        apr_brigade_cleanup(bb);
        all->at = 0;
        all->used = len;
    }
    if (all->kept[all->at] == '#') {
        all->at++;
        return APR_EAGAIN;
    }
    for (n = 0; n < (apr_size_t)most && all->at + n < all->used && all->kept[all->at + n] != '#'; n++) {
        continue;
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(all->kept + all->at, n, bb->bucket_alloc));
    all->at += mode == AP_MODE_SPECULATIVE ? 0 : n;
    return APR_SUCCESS;
}

conn_rec *ap_run_create_connection(apr_pool_t *p, server_rec *s, apr_socket_t *csd, long id, void *sbh,
                                   apr_bucket_alloc_t *alloc)
{
    static ap_filter_rec_t tls_in = {.filter_func = {.in_func = fake_tls_in}},
                           core_in = {.filter_func = {.in_func = fake_core_in}},
                           tls_out = {.filter_func = {.out_func = fake_tls_out}};
    conn_rec *c = apr_pcalloc(p, sizeof(*c));
    fake_filters_t *all = apr_pcalloc(p, sizeof(*all));

    (void)id, (void)sbh;
    c->pool = p;
    c->base_server = s;
    c->bucket_alloc = alloc;
    c->notes = apr_table_make(p, 2);
    all->tls = (ap_filter_t){.frec = &tls_in, .c = c, .next = &all->core};
    all->core = (ap_filter_t){.frec = &core_in, .c = c, .ctx = csd};
    c->input_filters = &all->tls;
    c->output_filters = apr_pcalloc(p, sizeof(*c->output_filters));
    *c->output_filters = (ap_filter_t){.frec = &tls_out, .c = c, .ctx = csd};
    return c;
}

/* Where the real one puts it by its type: above the core's. */
ap_filter_t *ap_add_input_filter_handle(ap_filter_rec_t *rec, void *ctx, request_rec *r, conn_rec *c)
{
    ap_filter_t *f = apr_pcalloc(c->pool, sizeof(*f));

    *f = (ap_filter_t){.frec = rec, .ctx = ctx, .r = r, .c = c, .next = c->input_filters->next};
    c->input_filters->next = f;
    return f;
}

int ap_ssl_bind_outgoing(conn_rec *c, struct ap_conf_vector_t *dir_conf, int require_ssl)
{
    bound_settings = dir_conf;
    bound_name = apr_table_get(c->notes, "proxy-request-hostname");
    return is_tls_on && require_ssl ? OK : DECLINED;
}

int ap_run_pre_connection(conn_rec *c, void *csd)
{
    (void)c, (void)csd;
    return DONE;
}

static apr_status_t fake_handshake(conn_rec *c, apr_socket_t *s)
{
    apr_size_t n = 1;
    char answer = 0;
    apr_status_t rv = apr_socket_recv(s, &answer, &n);

    apr_table_setn(c->notes, "SSL_connect_rv", answer == 'y' ? "ok" : "err");
    return rv;
}

apr_status_t ap_pass_brigade(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_bucket *b;
    apr_status_t rv = APR_SUCCESS;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb) && rv == APR_SUCCESS; b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t n;

        if (APR_BUCKET_IS_FLUSH(b)) {
            return fake_handshake(f->c, f->ctx);
        }
        rv = apr_bucket_read(b, &data, &n, APR_BLOCK_READ);
        if (rv == APR_SUCCESS && n > 0) {
            rv = apr_socket_send(f->ctx, data, &n);
        }
    }
    return rv;
}

apr_status_t ap_get_brigade(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                            apr_off_t most)
{
    return f->frec->filter_func.in_func(f, bb, mode, block, most);
}

apr_status_t ap_shutdown_conn(conn_rec *c, int flush)
{
    (void)c, (void)flush;
    return APR_SUCCESS;
}

/* --- configuration ------------------------------------------------------------------------ */

#define BACKENDS_MAX 8

static rp_backend_t configured_backends[BACKENDS_MAX];
static int configured_backend_count;
static rp_server_conf_t fake_conf;

int rp_conf_count_backends(void)
{
    return configured_backend_count;
}

rp_backend_t *rp_conf_get_backend(int id)
{
    return &configured_backends[id];
}

apr_interval_time_t rp_conf_get_timeout(const rp_backend_t *b, const server_rec *s)
{
    (void)s;
    return b->opt.timeout;
}

apr_interval_time_t rp_conf_get_connect_timeout(const rp_backend_t *b, const server_rec *s)
{
    (void)s;
    return b->opt.connect_timeout;
}

const rp_server_conf_t *rp_conf_get_server(const server_rec *s)
{
    (void)s;
    return &fake_conf;
}

void rp_conf_init_options(rp_options_t *opt)
{
    memset(opt, 0, sizeof(*opt));
    opt->retry = apr_time_from_sec(60);
    opt->address_ttl = -1;
    opt->reuse = true;
    opt->io_buffer = opt->field_size = 8192;
    opt->loadfactor = 100;
    opt->route = opt->redirect = "";
}

static server_rec fake_server;

HELPER rp_backend_t *add_backend(const char *host, apr_port_t port)
{
    rp_backend_t *b = &configured_backends[configured_backend_count];

    memset(b, 0, sizeof(*b));
    rp_conf_init_options(&b->opt);
    b->name = b->host = host;
    b->port = port;
    b->scheme = "http";
    b->path = "";
    b->server = &fake_server;
    b->id = configured_backend_count++;
    return b;
}

HELPER rp_conn_want_t make_want(const rp_backend_t *b)
{
    return (rp_conn_want_t){.backend = b, .server = &fake_server, .connect_timeout = apr_time_from_sec(5),
                            .timeout = apr_time_from_sec(5)};
}

/* --- a child's life ----------------------------------------------------------------------- */

static apr_pool_t *pchild;

HELPER void begin_child(void)
{
    static core_server_config core;
    static void *modules[2];

    core.flush_max_threshold = 65535;
    modules[0] = &core;
    fake_server.module_config = (ap_conf_vector_t *)modules;
    fake_server.lookup_defaults = (ap_conf_vector_t *)modules;
    apr_pool_create(&pchild, NULL);
    rp_pool_child_init(pchild, &fake_server);
}

HELPER void end_child(void)
{
    apr_pool_destroy(pchild);
    pchild = NULL;
}

/* --- TAP ---------------------------------------------------------------------------------- */

static int tests, failures;

__attribute__((format(printf, 2, 3))) HELPER bool ok(bool good, const char *format, ...)
{
    va_list args;

    printf("%sok %d - ", good ? "" : "not ", ++tests);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    failures += !good;
    return good;
}

HELPER int finish_tests(void)
{
    printf("1..%d\n", tests);
    return failures != 0;
}

/* --- sockets ------------------------------------------------------------------------------ */

/* A listening socket on a free port of an address of 127/8. */
HELPER int listen_on(const char *ip, int backlog, apr_port_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    inet_pton(AF_INET, ip, &sa.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, backlog) != 0) {
        printf("Bail out! cannot listen on %s: %s\n", ip, strerror(errno));
        exit(2);
    }
    getsockname(fd, (struct sockaddr *)&sa, &len);
    *port = ntohs(sa.sin_port);
    return fd;
}

HELPER int accept_one(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN, .revents = 0};

    return poll(&p, 1, 5000) == 1 ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : -1;
}

/* Open to the end, waiting as the engine does. */
HELPER rp_io_t open_fully(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    while ((io = rp_conn_open(c, want)) == RP_IO_AGAIN) {
        struct pollfd p = {.fd = -1, .events = 0, .revents = 0};
        apr_time_t left = rp_conn_get_deadline(c) - apr_time_now();

        p.fd = rp_conn_get_interest(c, &p.events);
        poll(&p, 1, left > 0 ? (int)(left / 1000) + 1 : 0);
    }
    return io;
}

#endif
