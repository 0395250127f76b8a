#include "rp_conn_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

rp_io_t rp_conn_set_again(rp_conn_t *c, int fd, short events)
{
    c->wait_fd = fd;
    c->events = events;
    return RP_IO_AGAIN;
}

rp_io_t rp_conn_set_error(rp_conn_t *c, rp_err_t err, apr_status_t rv)
{
    c->error = err;
    c->status = rv;
    return RP_IO_ERROR;
}

void rp_conn_close_socket(rp_conn_t *c)
{
    if (c->tls) {
        rp_tls_destroy(&c->tls);
    }
    else if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}

void rp_conn_init_want(rp_conn_want_t *want, const rp_backend_t *backend, server_rec *server)
{
    const rp_server_conf_t *conf = rp_conf_get_server(server);

    want->backend = backend;
    want->server = server;
    want->tls_name = NULL;
    want->tls_identity = NULL;
    want->resumes = false;
    want->source = conf->source_address;
    want->receive_buffer =
        backend->opt.set & RP_OPT_RECEIVE_BUFFER ? backend->opt.receive_buffer : conf->receive_buffer;
    want->connect_timeout = rp_conf_get_connect_timeout(backend, server);
    want->timeout = rp_conf_get_timeout(backend, server);
}

rp_conn_t *rp_conn_make(const rp_backend_t *backend)
{
    rp_conn_t *c = ap_calloc(1, sizeof(*c));

    c->magic = RP_CONN_MAGIC;
    c->backend = backend;
    c->fd = -1;
    c->wait_fd = -1;
    return c;
}

void rp_conn_destroy(rp_conn_t **conn)
{
    rp_conn_t *c = *conn;

    *conn = NULL;
    if (!c) {
        return;
    }
    AP_DEBUG_ASSERT(c->magic == RP_CONN_MAGIC);
    c->magic = 0;
    rp_addr_cancel(&c->query);
    rp_conn_close_socket(c);
    rp_addr_release(&c->addrs);
    free(c->tls_name);
    free(c->tls_identity);
    free(c);
}

void rp_conn_child_init(apr_pool_t *pchild)
{
    rp_tls_child_init(pchild);
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

/* What a read of n bytes, or -1 with errno, means. */
static rp_io_t conclude_plain(rp_conn_t *c, ssize_t n, apr_size_t *got)
{
    if (n > 0) {
        *got = (apr_size_t)n;
        return RP_IO_OK;
    }
    if (n == 0) {
        return RP_IO_EOF;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return rp_conn_set_again(c, c->fd, POLLIN);
    }
    return rp_conn_set_error(c, RP_E_HEAD_READ, errno);
}

static rp_io_t read_plain(rp_conn_t *c, char *buf, apr_size_t cap, apr_size_t *got)
{
    ssize_t n;

    do {
        n = recv(c->fd, buf, cap, 0);
    } while (n < 0 && errno == EINTR);
    return conclude_plain(c, n, got);
}

rp_io_t rp_conn_splice(rp_conn_t *c, rp_pipe_t *pipe, apr_size_t max, apr_size_t *got)
{
    AP_DEBUG_ASSERT(c->state == RP_CONN_OPEN && !c->tls);
    *got = 0;
    return conclude_plain(c, rp_splice_fill(pipe, c->fd, max), got);
}

/* After a TLS call: records or alerts that OpenSSL wants out go along with any wait. */
static rp_io_t conclude_tls(rp_conn_t *c, rp_io_t io, short events, rp_err_t err, apr_status_t rv)
{
    if (io == RP_IO_AGAIN) {
        return rp_conn_set_again(c, c->fd, rp_tls_has_output(c->tls) ? events | POLLOUT : events);
    }
    return io == RP_IO_ERROR ? rp_conn_set_error(c, err, rv) : io;
}

rp_io_t rp_conn_read(rp_conn_t *c, char *buf, apr_size_t cap, apr_size_t *got)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io;

    AP_DEBUG_ASSERT(c->state == RP_CONN_OPEN);
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

/* What a write of n bytes, or -1 with errno, means. */
static rp_io_t conclude_write(rp_conn_t *c, ssize_t n, apr_size_t *sent)
{
    if (n >= 0) {
        *sent = (apr_size_t)n;
        return RP_IO_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return rp_conn_set_again(c, c->fd, POLLOUT);
    }
    return rp_conn_set_error(c, RP_E_SEND, errno);
}

rp_io_t rp_conn_splice_out(rp_conn_t *c, rp_pipe_t *pipe, apr_size_t *sent)
{
    AP_DEBUG_ASSERT(c->state == RP_CONN_OPEN && !c->tls);
    *sent = 0;
    return conclude_write(c, rp_splice_drain(pipe, c->fd), sent);
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
    return conclude_write(c, n, sent);
}

rp_io_t rp_conn_write(rp_conn_t *c, const struct iovec *iov, int niov, apr_size_t *sent)
{
    apr_status_t rv = APR_SUCCESS;
    rp_io_t io;

    AP_DEBUG_ASSERT(c->state == RP_CONN_OPEN);
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

    if (c->state != RP_CONN_OPEN) {
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

static bool is_same_name(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
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
        && is_same_name(c->tls_name, want->tls_name) && is_same_name(c->tls_identity, want->tls_identity);
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

static apr_port_t find_local_port(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        return 0;
    }
    if (sa.ss_family == AF_INET) {
        return ntohs(((struct sockaddr_in *)&sa)->sin_port);
    }
    return sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&sa)->sin6_port) : 0;
}

const apr_sockaddr_t *rp_conn_get_peer(const rp_conn_t *c)
{
    return c->state == RP_CONN_OPEN || c->state == RP_CONN_HANDSHAKE ? c->peer : NULL;
}

bool rp_conn_is_slow(const rp_conn_t *c)
{
    return c->is_slow;
}

apr_port_t rp_conn_get_local_port(rp_conn_t *c)
{
    if (!c->is_port_known && c->state == RP_CONN_OPEN) {
        c->local_port = find_local_port(c->fd);
        c->is_port_known = true;
    }
    return c->local_port;
}

void rp_conn_note_slow(rp_conn_t *c, bool is_slow)
{
    c->is_slow = is_slow;
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

const char *rp_conn_get_alert(const rp_conn_t *c)
{
    return c->tls ? rp_tls_get_alert(c->tls) : NULL;
}

bool rp_conn_is_cut(const rp_conn_t *c)
{
    return c->tls && rp_tls_is_cut(c->tls);
}

bool rp_conn_is_resumed(const rp_conn_t *c)
{
    return c->tls && rp_tls_is_resumed(c->tls);
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
