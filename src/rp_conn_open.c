#include "rp_conn_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "apr_strings.h"
#include "apr_time.h"

/* How long to leave a unix socket alone whose queue is full: connect(2) says EAGAIN there, and
 * no poll tells when there is room. */
#define FULL_PAUSE apr_time_from_msec(10)

static rp_io_t fail_open(rp_conn_t *c, rp_err_t err, apr_status_t rv)
{
    c->state = RP_CONN_FAILED;
    return rp_conn_set_error(c, err, rv);
}

static bool is_lack_of_resources(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
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

static void replace_text(char **to, const char *text)
{
    free(*to);
    *to = text ? strdup(text) : NULL;
    if (text && !*to) {
        ap_abort_on_oom();
    }
}

static void keep_want(rp_conn_t *c, const rp_conn_want_t *want)
{
    c->server = want->server;
    c->source = want->source;
    c->receive_buffer = want->receive_buffer;
    if (c->backend->is_tls) {
        replace_text(&c->tls_name, want->tls_name);
        replace_text(&c->tls_identity, want->tls_identity);
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
    rp_err_where_t where = {.backend = c->backend->name, .phase = "connecting"};
    char detail[160];
    int err;

    if (!source || c->peer->family == APR_UNIX) {
        return;
    }
    if (bind(c->fd, (const struct sockaddr *)&source->sa, source->salen) != 0) {
        /* As mod_proxy: the system chooses an address then. */
        err = errno;
        apr_snprintf(detail, sizeof(detail), "%pI, connecting to %pI without it", (void *)source, (void *)c->peer);
        rp_err_log_server(c->server, RP_E_SOURCE, err, &where, detail);
    }
}

/* One address: OK connected, AGAIN, or ERROR. */
static rp_io_t start_connect(rp_conn_t *c, const rp_conn_want_t *want)
{
    const apr_sockaddr_t *peer = c->peer;

    note_address(c);
    c->fd = socket(peer->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return rp_conn_set_error(c, is_lack_of_resources(errno) ? RP_E_RESOURCE : RP_E_CONNECT, errno);
    }
    set_options(c);
    bind_source(c);
    c->deadline = apr_time_now() + want->connect_timeout;
    if (connect(c->fd, (const struct sockaddr *)&peer->sa, peer->salen) == 0) {
        return RP_IO_OK;
    }
    if (errno == EINPROGRESS || errno == EINTR) {
        c->state = RP_CONN_CONNECTING;
        return rp_conn_set_again(c, c->fd, POLLOUT);
    }
    if (errno == EAGAIN && peer->family == APR_UNIX) {
        if (c->state != RP_CONN_PAUSED) {
            c->give_up_at = c->deadline;
        }
        if (apr_time_now() >= c->give_up_at) {
            return rp_conn_set_error(c, RP_E_CONNECT_TIMEOUT, APR_TIMEUP);
        }
        rp_conn_close_socket(c);
        c->state = RP_CONN_PAUSED;
        c->deadline = apr_time_now() + FULL_PAUSE;
        return rp_conn_set_again(c, -1, 0);
    }
    /* Ephemeral ports used up and the like concern the address, not this process. */
    return rp_conn_set_error(c, RP_E_CONNECT, errno);
}

/* Has the connect under way ended? */
static rp_io_t check_connect(rp_conn_t *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT, .revents = 0};
    socklen_t len = sizeof(int);
    int err = 0;

    if (poll(&p, 1, 0) <= 0) {
        if (apr_time_now() < c->deadline) {
            return rp_conn_set_again(c, c->fd, POLLOUT);
        }
        return rp_conn_set_error(c, RP_E_CONNECT_TIMEOUT, APR_TIMEUP);
    }
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
        err = errno;
    }
    if (err) {
        /* The kernel's own patience ended before ours. */
        return rp_conn_set_error(c, err == ETIMEDOUT ? RP_E_CONNECT_TIMEOUT : RP_E_CONNECT, err);
    }
    return RP_IO_OK;
}

static rp_io_t step_resolve(rp_conn_t *c, const rp_conn_want_t *want)
{
    bool fresh = c->is_list_fresh;
    rp_addr_list_t *list;
    apr_status_t rv;

    if (c->state == RP_CONN_NEW) {
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
        c->state = RP_CONN_RESOLVING;
        if (apr_time_now() < c->deadline) {
            return rp_conn_set_again(c, rp_addr_query_fd(c->query), POLLIN);
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
        c->state = RP_CONN_FAILED; /* error is that of the last address */
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
        c->state = RP_CONN_FAILED;
        return RP_IO_ERROR;
    }
    c->is_list_fresh = true;
    return step_resolve(c, want);
}

static rp_io_t step_next_address(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io = RP_IO_ERROR;

    while (io == RP_IO_ERROR) {
        rp_conn_close_socket(c);
        if (c->next_addr == rp_addr_count(c->addrs)) {
            io = step_resolve_again(c, want);
            if (io != RP_IO_OK) {
                return io;
            }
        }
        c->peer = rp_addr_at(c->addrs, c->next_addr++);
        io = start_connect(c, want);
        if (io == RP_IO_AGAIN && c->state == RP_CONN_CONNECTING) {
            io = check_connect(c); /* on this host it is through already */
        }
    }
    return io;
}

static rp_io_t step_connect(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    if (c->state == RP_CONN_PAUSED) {
        if (apr_time_now() < c->deadline) {
            return rp_conn_set_again(c, -1, 0);
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
    c->state = RP_CONN_HANDSHAKE;
    c->deadline = apr_time_now() + want->timeout;
    return RP_IO_OK;
}

static void add_detail(rp_conn_t *c, const char *words)
{
    apr_size_t n = strlen(c->detail);

    if (words) {
        apr_snprintf(c->detail + n, sizeof(c->detail) - n, ", %s", words);
    }
}

static rp_io_t step_handshake(rp_conn_t *c)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io = rp_tls_handshake(c->tls, &rv);

    if (io == RP_IO_AGAIN && apr_time_now() < c->deadline) {
        return rp_conn_set_again(c, rp_tls_fd(c->tls), POLLIN);
    }
    /* The socket's own limit is the same. */
    if (io == RP_IO_AGAIN || APR_STATUS_IS_TIMEUP(rv)) {
        add_detail(c, "backend did not finish the handshake in time");
        return fail_open(c, RP_E_TLS_HANDSHAKE, APR_TIMEUP);
    }
    if (io != RP_IO_OK) {
        add_detail(c, rp_tls_get_cause(c->tls));
        return fail_open(c, RP_E_TLS_HANDSHAKE, 0);
    }
    return RP_IO_OK;
}

static rp_io_t set_open(rp_conn_t *c)
{
    c->state = RP_CONN_OPEN;
    c->error = RP_E_NONE;
    c->status = APR_SUCCESS;
    c->deadline = 0;
    return RP_IO_OK;
}

/* Up to a connected socket. */
static rp_io_t reach_backend(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    if (c->state == RP_CONN_NEW || c->state == RP_CONN_RESOLVING) {
        io = step_resolve(c, want);
        return io == RP_IO_OK ? step_next_address(c, want) : io;
    }
    return step_connect(c, want);
}

rp_io_t rp_conn_open(rp_conn_t *c, const rp_conn_want_t *want)
{
    rp_io_t io;

    AP_DEBUG_ASSERT(c->magic == RP_CONN_MAGIC);
    if (c->state == RP_CONN_OPEN) {
        return RP_IO_OK;
    }
    if (c->state == RP_CONN_FAILED) {
        return RP_IO_ERROR;
    }
    if (c->state != RP_CONN_HANDSHAKE) {
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

