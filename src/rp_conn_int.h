/* rp_conn_int: what rp_conn.c, rp_conn_open.c and rp_conn_tls.c share. Nobody else includes it.
 *
 * Owns:      the make of a connection, and its TLS half, rp_tls_t: socket, conn_rec, bucket allocator.
 * Does not:  resolve, connect.
 * Threads:   one at a time; during the handshake that is the helper thread.
 * Memory:    an rp_tls_t has its own pool, so that it can outlive its connection
 *            when that goes away in the middle of the handshake.
 * Blocks?    Never.
 */
#ifndef RP_CONN_INT_H
#define RP_CONN_INT_H

#include "rp_addr.h"
#include "rp_conn.h"

typedef struct rp_tls_t rp_tls_t;

#define RP_CONN_MAGIC 0x52504356u /* "RPCV" */

typedef enum {
    RP_CONN_NEW,
    RP_CONN_RESOLVING,
    RP_CONN_CONNECTING,
    RP_CONN_PAUSED,     /* the unix socket's queue is full */
    RP_CONN_HANDSHAKE,
    RP_CONN_OPEN,
    RP_CONN_FAILED
} rp_conn_state_t;

struct rp_conn_t {
    unsigned magic;
    rp_conn_state_t state;
    const rp_backend_t *backend;
    void *owner;

    /* what it was opened with, for rp_conn_matches */
    server_rec *server;
    char *tls_name, *tls_identity; /* its own; NULL for plain */
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
    apr_port_t local_port;
    bool is_port_known;
    bool is_slow;
};

/* For the callers' return: AGAIN with what to wait for, ERROR with what happened. */
rp_io_t rp_conn_set_again(rp_conn_t *c, int fd, short events);
rp_io_t rp_conn_set_error(rp_conn_t *c, rp_err_t err, apr_status_t rv);
/* With all of its TLS. */
void rp_conn_close_socket(rp_conn_t *c);

/* --- rp_conn_tls.c --- */

/* begin takes fd from the caller: it is closed by rp_tls_destroy, also when begin fails. */
rp_err_t rp_tls_begin(rp_tls_t **tls, int fd, const apr_sockaddr_t *peer, const rp_conn_want_t *want);
/* AGAIN: wait for rp_tls_fd to be readable. ERROR: *rv. */
rp_io_t rp_tls_handshake(rp_tls_t *tls, apr_status_t *rv);
int rp_tls_fd(const rp_tls_t *tls);

rp_io_t rp_tls_read(rp_tls_t *tls, char *buf, apr_size_t cap, apr_size_t *got, apr_status_t *rv);
rp_io_t rp_tls_write(rp_tls_t *tls, const struct iovec *iov, int niov, apr_size_t *sent, apr_status_t *rv);
rp_io_t rp_tls_flush(rp_tls_t *tls, apr_status_t *rv);
bool rp_tls_has_output(const rp_tls_t *tls);
bool rp_tls_has_buffered(const rp_tls_t *tls);
bool rp_tls_is_idle_alive(rp_tls_t *tls);
/* Close and free, or leave that to the handshake under way. *tls becomes NULL; NULL is fine. */
void rp_tls_destroy(rp_tls_t **tls);

void rp_tls_child_init(apr_pool_t *pchild);

#endif
