#include "rp_conn_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apr_strings.h"
#include "apr_time.h"
#include "rp_addr.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

#define MAGIC 0x52504356u /* "RPCV" */

/* How long to leave a unix socket alone whose queue is full: connect(2) says EAGAIN there, and
 * no poll tells when there is room. */
#define FULL_PAUSE apr_time_from_msec(10)

typedef enum {
    STATE_NEW,
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_PAUSED,     /* the unix socket's queue is full */
    STATE_HANDSHAKE,
    STATE_OPEN,
    STATE_FAILED
} open_state_t;

struct rp_conn_t {
    unsigned magic;
    open_state_t state;
    apr_pool_t *pool;
    const rp_backend_t *backend;
    void *owner;

    /* what it was opened with, for rp_conn_matches */
    server_rec *server;
    const char *tls_name, *tls_identity; /* "" for none */
    const apr_sockaddr_t *source;
    apr_size_t receive_buffer;

    rp_addr_query_t *query;
    rp_addr_list_t *addrs;  /* holds peer */
    unsigned generation;    /* rp_addr's, when the address was last known to be current */
    int next_addr;          /* the one to try after this */
    bool is_list_fresh;     /* the resolver was asked for this connect */
    const apr_sockaddr_t *peer;

    int fd;
    rp_tls_t *tls;          /* NULL: plain. Owns fd then. */
    short events;
    int wait_fd;
    apr_time_t deadline, give_up_at; /* give_up_at: for pauses */

    rp_err_t error;
    apr_status_t status;
    char detail[128];
    unsigned uses;
};

/* --- small parts -------------------------------------------------------------------------- */

static rp_io_t set_again(rp_conn_t *c, int fd, short events)
{
    c->wait_fd = fd;
    c->events = events;
    return RP_IO_AGAIN;
}

static rp_io_t set_error(rp_conn_t *c, rp_err_t err, apr_status_t rv)
{
    c->error = err;
    c->status = rv;
    return RP_IO_ERROR;
}

static rp_io_t fail_open(rp_conn_t *c, rp_err_t err, apr_status_t rv)
{
    c->state = STATE_FAILED;
    return set_error(c, err, rv);
}

static bool is_lack_of_resources(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void close_socket(rp_conn_t *c)
{
    if (c->tls) {
        rp_tls_destroy(&c->tls);
    }
    else if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}

static void note_address(rp_conn_t *c)
{
    if (c->peer->family == APR_UNIX) {
        apr_snprintf(c->detail, sizeof(c->detail), "socket %s", c->peer->sa.unx.sun_path);
    }
    else {
        apr_snprintf(c->detail, sizeof(c->detail), "address %pI", (void *)c->peer);
    }
}

rp_conn_t *rp_conn_make(const rp_backend_t *backend)
{
    apr_pool_t *pool;
    rp_conn_t *c;

    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_pool_tag(pool, "rp_conn");
    c = apr_pcalloc(pool, sizeof(*c));
    c->magic = MAGIC;
    c->pool = pool;
    c->backend = backend;
    c->fd = -1;
    c->wait_fd = -1;
    c->tls_name = c->tls_identity = "";
    return c;
}

void rp_conn_destroy(rp_conn_t **conn)
{
    rp_conn_t *c = *conn;

    *conn = NULL;
    if (!c) {
        return;
    }
    AP_DEBUG_ASSERT(c->magic == MAGIC);
    c->magic = 0;
    rp_addr_cancel(&c->query);
    close_socket(c);
    rp_addr_release(&c->addrs);
    apr_pool_destroy(c->pool);
}

void rp_conn_child_init(apr_pool_t *pchild)
{
    rp_tls_child_init(pchild);
}

/* --- opening ------------------------------------------------------------------------------ */

static void keep_want(rp_conn_t *c, const rp_conn_want_t *want)
{
    c->server = want->server;
    c->source = want->source;
    c->receive_buffer = want->receive_buffer;
    if (c->backend->is_tls) {
        c->tls_name = apr_pstrdup(c->pool, want->tls_name ? want->tls_name : "");
        c->tls_identity = apr_pstrdup(c->pool, want->tls_identity ? want->tls_identity : "");
    }
}

static void set_int_option(int fd, int level, int name, int value)
{
    /* What cannot be set is not worth a failed request. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_options(const rp_conn_t *c)
{
    const rp_options_t *opt = &c->backend->opt;

    if (c->receive_buffer) {
        /* Before connect: the window scale is agreed on in the handshake. */
        set_int_option(c->fd, SOL_SOCKET, SO_RCVBUF, (int)c->receive_buffer);
    }
    if (c->peer->family == APR_UNIX) {
        return;
    }
    set_int_option(c->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (opt->keepalive) {
        set_int_option(c->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    }
}

static void bind_source(const rp_conn_t *c)
{
    const apr_sockaddr_t *source = c->source;

    if (!source || c->peer->family == APR_UNIX) {
        return;
    }
    if (bind(c->fd, (const struct sockaddr *)&source->sa, source->salen) != 0) {
        /* As mod_proxy: the system chooses an address then. */
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, c->server,
                     "backend %s: cannot bind to ProxySourceAddress %pI, connecting to %pI without it",
                     c->backend->name, (void *)source, (void *)c->peer);
    }
}

/* One address: OK connected, AGAIN, or ERROR. */
static rp_io_t start_connect(rp_conn_t *c, const rp_conn_want_t *want)
{
    const apr_sockaddr_t *peer = c->peer;

    note_address(c);
    c->fd = socket(peer->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return set_error(c, is_lack_of_resources(errno) ? RP_E_RESOURCE : RP_E_CONNECT, errno);
    }
    set_options(c);
    bind_source(c);
    c->deadline = apr_time_now() + want->connect_timeout;
    if (connect(c->fd, (const struct sockaddr *)&peer->sa, peer->salen) == 0) {
        return RP_IO_OK;
    }
    if (errno == EINPROGRESS || errno == EINTR) {
        c->state = STATE_CONNECTING;
        return set_again(c, c->fd, POLLOUT);
    }
    if (errno == EAGAIN && peer->family == APR_UNIX) {
        if (c->state != STATE_PAUSED) {
            c->give_up_at = c->deadline;
        }
        if (apr_time_now() >= c->give_up_at) {
            return set_error(c, RP_E_CONNECT_TIMEOUT, APR_TIMEUP);
        }
        close_socket(c);
        c->state = STATE_PAUSED;
        c->deadline = apr_time_now() + FULL_PAUSE;
        return set_again(c, -1, 0);
    }
    /* Ephemeral ports used up and the like concern the address, not this process. */
    return set_error(c, RP_E_CONNECT, errno);
}

/* Has the connect under way ended? */
static rp_io_t check_connect(rp_conn_t *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT, .revents = 0};
    socklen_t len = sizeof(int);
    int err = 0;

    if (poll(&p, 1, 0) <= 0) {
        if (apr_time_now() < c->deadline) {
            return set_again(c, c->fd, POLLOUT);
        }
        return set_error(c, RP_E_CONNECT_TIMEOUT, APR_TIMEUP);
    }
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
        err = errno;
    }
    if (err) {
        /* The kernel's own patience ended before ours. */
        return set_error(c, err == ETIMEDOUT ? RP_E_CONNECT_TIMEOUT : RP_E_CONNECT, err);
    }
    return RP_IO_OK;
}

static rp_io_t step_resolve(rp_conn_t *c, const rp_conn_want_t *want)
{
    bool fresh = c->is_list_fresh;
    rp_addr_list_t *list;
    apr_status_t rv;

    if (c->state == STATE_NEW) {
        keep_want(c, want);
    }
    if (!c->query) {
        c->generation = rp_addr_get_generation();
        c->deadline = apr_time_now() + want->timeout;
    }
    switch (rp_addr_get(c->backend, fresh, &c->query, &list, &rv)) {
    case RP_ADDR_OK:
        break;
    case RP_ADDR_AGAIN:
        c->is_list_fresh = true;
        c->state = STATE_RESOLVING;
        if (apr_time_now() < c->deadline) {
            return set_again(c, rp_addr_query_fd(c->query), POLLIN);
        }
        rv = APR_TIMEUP;
        /* fall through */
    default:
        apr_snprintf(c->detail, sizeof(c->detail), "name %s",
                     c->backend->uds_path ? c->backend->uds_path : c->backend->host);
        return fail_open(c, is_lack_of_resources(rv) ? RP_E_RESOURCE : RP_E_DNS, rv);
    }
    if (fresh && c->addrs && rp_addr_is_same(list, c->addrs)) {
        rp_addr_release(&list);
        c->state = STATE_FAILED; /* error is that of the last address */
        return RP_IO_ERROR;
    }
    rp_addr_release(&c->addrs);
    c->addrs = list;
    c->next_addr = 0;
    return RP_IO_OK;
}

/* All known addresses have failed. Where they came from the cache, ask again, once. */
static rp_io_t step_resolve_again(rp_conn_t *c, const rp_conn_want_t *want)
{
    if (c->is_list_fresh || c->error == RP_E_RESOURCE) {
        c->state = STATE_FAILED;
        return RP_IO_ERROR;
    }
    c->is_list_fresh = true;
    return step_resolve(c, want);
}

static rp_io_t step_next_address(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io = RP_IO_ERROR;

    while (io == RP_IO_ERROR) {
        close_socket(c);
        if (c->next_addr == rp_addr_count(c->addrs)) {
            io = step_resolve_again(c, want);
            if (io != RP_IO_OK) {
                return io;
            }
        }
        c->peer = rp_addr_at(c->addrs, c->next_addr++);
        io = start_connect(c, want);
        if (io == RP_IO_AGAIN && c->state == STATE_CONNECTING) {
            io = check_connect(c); /* on this host it is through already */
        }
    }
    return io;
}

static rp_io_t step_connect(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    if (c->state == STATE_PAUSED) {
        if (apr_time_now() < c->deadline) {
            return set_again(c, -1, 0);
        }
        io = start_connect(c, want);
    }
    else {
        io = check_connect(c);
    }
    return io == RP_IO_ERROR ? step_next_address(c, want) : io;
}

static rp_io_t step_begin_tls(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_err_t err = rp_tls_begin(&c->tls, c->fd, c->peer, want);

    if (err != RP_E_NONE) {
        c->fd = -1;
        return fail_open(c, err, APR_SUCCESS);
    }
    c->state = STATE_HANDSHAKE;
    c->deadline = apr_time_now() + want->timeout;
    return RP_IO_OK;
}

static rp_io_t step_handshake(rp_conn_t *c)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io = rp_tls_handshake(c->tls, &rv);

    if (io == RP_IO_AGAIN && apr_time_now() < c->deadline) {
        return set_again(c, rp_tls_fd(c->tls), POLLIN);
    }
    if (io != RP_IO_OK) {
        return fail_open(c, RP_E_TLS_HANDSHAKE, io == RP_IO_AGAIN ? APR_TIMEUP : rv);
    }
    return RP_IO_OK;
}

static rp_io_t set_open(rp_conn_t *c)
{
    c->state = STATE_OPEN;
    c->error = RP_E_NONE;
    c->status = APR_SUCCESS;
    c->deadline = 0;
    return RP_IO_OK;
}

/* Up to a connected socket. */
static rp_io_t reach_backend(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    if (c->state == STATE_NEW || c->state == STATE_RESOLVING) {
        io = step_resolve(c, want);
        return io == RP_IO_OK ? step_next_address(c, want) : io;
    }
    return step_connect(c, want);
}

rp_io_t rp_conn_open(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    AP_DEBUG_ASSERT(c->magic == MAGIC);
    if (c->state == STATE_OPEN) {
        return RP_IO_OK;
    }
    if (c->state == STATE_FAILED) {
        return RP_IO_ERROR;
    }
    if (c->state != STATE_HANDSHAKE) {
        io = reach_backend(c, want);
        if (io != RP_IO_OK) {
            return io;
        }
        if (!c->backend->is_tls) {
            return set_open(c);
        }
        io = step_begin_tls(c, want);
        if (io != RP_IO_OK) {
            return io;
        }
    }
    io = step_handshake(c);
    return io == RP_IO_OK ? set_open(c) : io;
}

void rp_conn_set_failed(rp_conn_t *c, rp_err_t err, apr_status_t rv)
{
    (void)fail_open(c, err, rv);
}

apr_time_t rp_conn_get_deadline(const rp_conn_t *c)
{
    return c->deadline;
}

int rp_conn_get_interest(const rp_conn_t *c, short *events)
{
    *events = c->events;
    return c->wait_fd;
}

int rp_conn_get_fd(const rp_conn_t *c)
{
    return c->fd;
}

/* --- reading and writing ------------------------------------------------------------------ */

static rp_io_t read_plain(rp_conn_t *c, char *buf, apr_size_t cap, apr_size_t *got)
{
    ssize_t n;

    do {
        n = recv(c->fd, buf, cap, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        *got = (apr_size_t)n;
        return RP_IO_OK;
    }
    if (n == 0) {
        return RP_IO_EOF;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return set_again(c, c->fd, POLLIN);
    }
    return set_error(c, RP_E_HEAD_READ, errno);
}

/* After a TLS call: records or alerts that OpenSSL wants out go along with any wait. */
static rp_io_t conclude_tls(rp_conn_t *c, rp_io_t io, short events, rp_err_t err, apr_status_t rv)
{
    if (io == RP_IO_AGAIN) {
        return set_again(c, c->fd, rp_tls_has_output(c->tls) ? events | POLLOUT : events);
    }
    return io == RP_IO_ERROR ? set_error(c, err, rv) : io;
}

rp_io_t rp_conn_read(rp_conn_t *c, char *buf, apr_size_t cap, apr_size_t *got)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io;

    AP_DEBUG_ASSERT(c->state == STATE_OPEN);
    *got = 0;
    if (!c->tls) {
        return read_plain(c, buf, cap, got);
    }
    io = rp_tls_read(c->tls, buf, cap, got, &rv);
    return conclude_tls(c, io, POLLIN, RP_E_HEAD_READ, rv);
}

bool rp_conn_has_buffered(const rp_conn_t *c)
{
    return c->tls && rp_tls_has_buffered(c->tls);
}

static rp_io_t write_plain(rp_conn_t *c, const struct iovec *iov, int niov, apr_size_t *sent)
{
    struct msghdr msg;
    ssize_t n;

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = (struct iovec *)iov; /* sendmsg only reads it */
    msg.msg_iovlen = (size_t)niov;
    do {
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *sent = (apr_size_t)n;
        return RP_IO_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return set_again(c, c->fd, POLLOUT);
    }
    return set_error(c, RP_E_SEND, errno);
}

rp_io_t rp_conn_write(rp_conn_t *c, const struct iovec *iov, int niov, apr_size_t *sent)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io;

    AP_DEBUG_ASSERT(c->state == STATE_OPEN);
    *sent = 0;
    if (!c->tls) {
        return write_plain(c, iov, niov, sent);
    }
    io = rp_tls_write(c->tls, iov, niov, sent, &rv);
    return conclude_tls(c, io, POLLOUT, RP_E_SEND, rv);
}

rp_io_t rp_conn_flush(rp_conn_t *c)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io;

    if (!c->tls) {
        return RP_IO_OK;
    }
    io = rp_tls_flush(c->tls, &rv);
    return conclude_tls(c, io, POLLOUT, RP_E_SEND, rv);
}

bool rp_conn_shut_write(rp_conn_t *c)
{
    if (c->tls) {
        return false;
    }
    return c->fd >= 0 && shutdown(c->fd, SHUT_WR) == 0;
}

/* --- pooled connections ------------------------------------------------------------------- */

bool rp_conn_is_idle_alive(rp_conn_t *c)
{
    char byte;

    if (c->state != STATE_OPEN) {
        return false;
    }
    if (c->tls) {
        return rp_tls_is_idle_alive(c->tls);
    }
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0
        && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void rp_conn_find_dead(rp_conn_t *const *conns, int n, bool *dead)
{
    struct pollfd p[RP_CONN_SWEEP_MAX];
    int i;

    for (i = 0; i < n; i++) {
        p[i].fd = conns[i]->fd;
        /* A TLS backend may send session tickets at any time; only the filters can tell. */
        p[i].events = conns[i]->tls ? POLLRDHUP : POLLIN | POLLRDHUP;
        p[i].revents = 0;
    }
    if (poll(p, (nfds_t)n, 0) < 0) {
        n = 0;
    }
    for (i = 0; i < n; i++) {
        dead[i] = p[i].revents != 0;
    }
}

bool rp_conn_matches(const rp_conn_t *c, const rp_conn_want_t *want)
{
    if (c->source != want->source || c->receive_buffer != want->receive_buffer) {
        return false;
    }
    if (!c->tls) {
        return true;
    }
    return c->server == want->server
        && strcmp(c->tls_name, want->tls_name ? want->tls_name : "") == 0
        && strcmp(c->tls_identity, want->tls_identity ? want->tls_identity : "") == 0;
}

void rp_conn_set_backend(rp_conn_t *c, const rp_backend_t *backend)
{
    c->backend = backend;
}

bool rp_conn_is_address_current(rp_conn_t *c)
{
    unsigned generation = rp_addr_get_generation();
    rp_addr_list_t *known;
    bool is_current;

    if (generation == c->generation && c->backend->opt.address_ttl <= 0) {
        return true;
    }
    known = rp_addr_find_known(c->backend);
    if (!known) {
        return true;
    }
    is_current = rp_addr_has(known, c->peer);
    rp_addr_release(&known);
    c->generation = generation;
    return is_current;
}

rp_err_t rp_conn_get_error(const rp_conn_t *c)
{
    return c->error;
}

apr_status_t rp_conn_get_status(const rp_conn_t *c)
{
    return c->status;
}

const char *rp_conn_get_detail(const rp_conn_t *c)
{
    return c->detail[0] ? c->detail : NULL;
}

apr_port_t rp_conn_get_local_port(const rp_conn_t *c)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (c->fd < 0 || getsockname(c->fd, (struct sockaddr *)&sa, &len) != 0) {
        return 0;
    }
    if (sa.ss_family == AF_INET) {
        return ntohs(((struct sockaddr_in *)&sa)->sin_port);
    }
    return sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&sa)->sin6_port) : 0;
}

const apr_sockaddr_t *rp_conn_get_peer(const rp_conn_t *c)
{
    return c->state == STATE_OPEN || c->state == STATE_HANDSHAKE ? c->peer : NULL;
}

unsigned rp_conn_get_uses(const rp_conn_t *c)
{
    return c->uses;
}

void rp_conn_count_use(rp_conn_t *c)
{
    c->uses++;
}

bool rp_conn_is_plain(const rp_conn_t *c)
{
    return c->tls == NULL;
}

const rp_backend_t *rp_conn_get_backend(const rp_conn_t *c)
{
    return c->backend;
}

void rp_conn_set_owner(rp_conn_t *c, void *owner)
{
    c->owner = owner;
}

void *rp_conn_get_owner(const rp_conn_t *c)
{
    return c->owner;
}
