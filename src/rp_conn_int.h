/* rp_conn_int: what the files of rp_conn share. Nobody else includes it.
 *
 * Owns:      the make of a connection, and its TLS half, rp_tls_t: socket, conn_rec, bucket allocator;
 *            the TLS sessions of backends that may be resumed.
 * Does not:  resolve, connect.
 * Threads:   one at a time; during the handshake that is the helper thread.
 * Memory:    an rp_tls_t has its own pool, so that it can outlive its connection
 *            when that goes away in the middle of the handshake.
 * Blocks?    Never.
 */
#ifndef RP_CONN_INT_H
#define RP_CONN_INT_H

#include <openssl/ssl.h>

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
    char detail[320];
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
/* After ERROR: which check or step failed, in words. NULL: none of TLS. */
const char *rp_tls_get_cause(const rp_tls_t *tls);
/* After OK: the handshake was a short one. */
bool rp_tls_is_resumed(const rp_tls_t *tls);
/* The alert with which the backend ended the connection, in words; or NULL. */
const char *rp_tls_get_alert(const rp_tls_t *tls);
/* After EOF: it came without TLS's own end. */
bool rp_tls_is_cut(const rp_tls_t *tls);

rp_io_t rp_tls_read(rp_tls_t *tls, char *buf, apr_size_t cap, apr_size_t *got, apr_status_t *rv);
rp_io_t rp_tls_write(rp_tls_t *tls, const struct iovec *iov, int niov, apr_size_t *sent, apr_status_t *rv);
rp_io_t rp_tls_flush(rp_tls_t *tls, apr_status_t *rv);
bool rp_tls_has_output(const rp_tls_t *tls);
bool rp_tls_has_buffered(const rp_tls_t *tls);
bool rp_tls_is_idle_alive(rp_tls_t *tls);
/* Close and free, or leave that to the handshake under way. *tls becomes NULL; NULL is fine. */
void rp_tls_destroy(rp_tls_t **tls);

void rp_tls_child_init(apr_pool_t *pchild);

/* --- rp_conn_ssl.c: what OpenSSL says about a connection, through mod_ssl's hooks ------------ */

typedef struct rp_ssl_t rp_ssl_t;

/* Before mod_ssl makes its SSL for c, from c's pool. Sessions are offered and kept only within one
 * TLS identity and name of one server, as pooled connections are (rp_conn_matches), for one backend. */
rp_ssl_t *rp_ssl_make(const conn_rec *c, const rp_conn_want_t *want);
/* The handshake and mod_ssl's checks are over: sessions are kept from now on, if is_good. */
void rp_ssl_end_handshake(rp_ssl_t *w, bool is_good);
/* Why they failed, in words, from p. name: the one that was checked. */
const char *rp_ssl_explain(apr_pool_t *p, const rp_ssl_t *w, const char *name);
bool rp_ssl_is_resumed(const rp_ssl_t *w);
const char *rp_ssl_get_alert(const rp_ssl_t *w); /* NULL: none */
bool rp_ssl_is_open(const rp_ssl_t *w);          /* the backend has sent no close_notify, as far as we are told */

/* --- rp_conn_session.c: TLS sessions of this child's backends; any thread -------------------- */

/* Replaces an older one of the key. verified: when the handshake was in which the certificate was. */
void rp_session_keep(const char *key, SSL_SESSION *ssl_session, apr_time_t verified);
/* One to offer, for the caller to free, or NULL. */
SSL_SESSION *rp_session_find(const char *key, apr_time_t *verified);
void rp_session_forget(const char *key);
void rp_session_child_init(apr_pool_t *pchild);

#endif
