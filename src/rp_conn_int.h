/* rp_conn_int: what rp_conn.c and rp_conn_tls.c share. Nobody else includes it.
 *
 * Owns:      the TLS half of a connection, rp_tls_t: socket, conn_rec, bucket allocator.
 * Does not:  resolve, connect.
 * Threads:   one at a time; during the handshake that is the helper thread.
 * Memory:    an rp_tls_t has its own pool, so that it can outlive its connection
 *            when that goes away in the middle of the handshake.
 * Blocks?    Never.
 */
#ifndef RP_CONN_INT_H
#define RP_CONN_INT_H

#include "rp_conn.h"

typedef struct rp_tls_t rp_tls_t;

/* Everything here takes fd from the caller: it is closed by rp_tls_destroy, also when begin fails. */
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
