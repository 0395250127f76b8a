/* rp_conn: one connection to a backend.
 *
 * Owns:      its socket, its TLS state (a conn_rec below mod_ssl).
 * Does not:  pool (rp_pool), wait (rp_park), speak HTTP.
 * Threads:   one at a time: whoever holds the lease.
 * Memory:    its own, without a pool: of a plain connection some 300 bytes, not a pool's 8 KiB.
 * Blocks?    Never: every call answers AGAIN with the descriptor and events to wait for. What can
 *            only block (name look-up, the TLS handshake) runs on a helper thread.
 *
 * The only unit that touches sockets to backends and their TLS.
 */
#ifndef RP_CONN_H
#define RP_CONN_H

#include <sys/uio.h>

#include "apr_network_io.h"
#include "rp_conf.h"
#include "rp_err.h"
#include "rp_splice.h"

typedef struct rp_conn_t rp_conn_t;

typedef enum {
    RP_IO_OK,
    RP_IO_AGAIN, /* rp_conn_get_interest says what to wait for */
    RP_IO_EOF,   /* orderly end of the backend's stream */
    RP_IO_ERROR  /* rp_conn_get_error, rp_conn_get_status */
} rp_io_t;

/* What a connection is to be opened with. Pointers are borrowed for the call that gets them,
 * except backend (outlives the lease) and server. Pass the same values to each call of one opening. */
typedef struct rp_conn_want_t {
    const rp_backend_t *backend;
    server_rec *server;              /* the request's: base server of the backend's conn_rec */
    const char *tls_name;            /* SNI and name to check; NULL for plain */
    /* Which SSLProxy* settings apply: the <Proxy> sections that match the target, as indexes into
     * rp_conf_get_server(server)->sections in their order, "0,3"; NULL or "" for none. Connections
     * are reused only within one identity of one server. */
    const char *tls_identity;
    bool resumes;                    /* offer a TLS session of an earlier connection, and keep new ones */
    apr_sockaddr_t *source;          /* ProxySourceAddress or NULL; as long-lived as server */
    apr_size_t receive_buffer;       /* SO_RCVBUF in bytes, 0 = the system's */
    apr_interval_time_t connect_timeout; /* per address, microseconds */
    apr_interval_time_t timeout;     /* for the TLS handshake, and for the look-up of the name */
} rp_conn_want_t;

/* Fill want from what the configuration says of a backend, in the server of a request: all but TLS. */
void rp_conn_init_want(rp_conn_want_t *want, const rp_backend_t *backend, server_rec *server);

/* While httpd loads the module: mod_ssl's hooks, which have to be there before it makes its contexts. */
void rp_conn_register_hooks(void);
/* The first certificate of a PEM text that has expired or is not valid yet, in words; NULL: none.
 * *has_valid: there is one that is valid, too. */
const char *rp_conn_find_dead_cert(apr_pool_t *p, const char *pem, bool *has_valid);
/* Called by rp_pool_child_init. */
void rp_conn_child_init(apr_pool_t *pchild);

/* Make an unopened connection. Never NULL (httpd ends the child where no memory is left). */
rp_conn_t *rp_conn_make(const rp_backend_t *backend);

/* Resolve, connect (each address in turn), TLS handshake; call again after each AGAIN.
 * Enforces connect_timeout per address (not for unix sockets that are full: there it limits the
 * whole wait) and timeout for the look-up and the handshake:
 * rp_conn_get_deadline tells until when to wait at most; a call after that moves
 * to the next address or answers ERROR (RP_E_DNS, RP_E_CONNECT, RP_E_CONNECT_TIMEOUT,
 * RP_E_TLS_HANDSHAKE, RP_E_TLS_OFF, RP_E_RESOURCE). A call before, with nothing ready, does no harm.
 * After ERROR the connection is only good for rp_pool_retire. OK on an open one. */
rp_io_t rp_conn_open(rp_conn_t *c, const rp_conn_want_t *want);
/* Only while rp_conn_open answers AGAIN; then never 0. */
apr_time_t rp_conn_get_deadline(const rp_conn_t *c);
/* Let an unopened connection fail: rp_conn_open will answer ERROR with this. */
void rp_conn_set_failed(rp_conn_t *c, rp_err_t err, apr_status_t rv);

/* Whatever the last AGAIN waits for: descriptor and POLLIN/POLLOUT. -1: only for the deadline
 * (a full unix socket has nothing to poll for). Changes from AGAIN to AGAIN while opening. */
int rp_conn_get_interest(const rp_conn_t *c, short *events);
/* The socket itself, -1 when there is none (for waiting on more, and for splice on plain connections). */
int rp_conn_get_fd(const rp_conn_t *c);

/* Read up to cap (> 0) bytes into buf. OK: *got > 0. With TLS, a short answer does not mean that
 * the socket is empty: wait only after AGAIN. EOF on a TLS connection may be a cut: see
 * rp_conn_is_cut. */
rp_io_t rp_conn_read(rp_conn_t *c, char *buf, apr_size_t cap, apr_size_t *got);
/* Might a read give bytes at once without the socket becoming readable (TLS layer may hold some)?
 * True for TLS until a read has answered AGAIN; never for plain. */
bool rp_conn_has_buffered(const rp_conn_t *c);

/* The same into an empty pipe, for plain connections. */
rp_io_t rp_conn_splice(rp_conn_t *c, rp_pipe_t *pipe, apr_size_t max, apr_size_t *got);

/* Write what a pipe holds (not nothing), for plain connections. OK: *sent > 0 bytes were taken. */
rp_io_t rp_conn_splice_out(rp_conn_t *c, rp_pipe_t *pipe, apr_size_t *sent);

/* Write from iov; OK: *sent > 0 bytes were taken (maybe not all). With TLS, taken
 * bytes may still be on their way: rp_conn_flush until OK before waiting for an answer. */
rp_io_t rp_conn_write(rp_conn_t *c, const struct iovec *iov, int niov, apr_size_t *sent);
rp_io_t rp_conn_flush(rp_conn_t *c);

/* No more bytes will be written (tunnels): shutdown(SHUT_WR). False: a TLS connection, where
 * mod_ssl knows no half-close; the caller has to end the whole when the rest has been sent. */
bool rp_conn_shut_write(rp_conn_t *c);

/* Is an idle pooled connection usable: peer has not closed, no unread byte is there (not
 * even a stray empty line: anything unexpected disqualifies)? One system call. */
bool rp_conn_is_idle_alive(rp_conn_t *c);
/* Cheap sweep of idle connections, at most RP_CONN_SWEEP_MAX: dead[i] says whether peer i has
 * closed (or, plain, sent something unasked). One system call for all. */
#define RP_CONN_SWEEP_MAX 32
void rp_conn_find_dead(rp_conn_t *const *conns, int n, bool *dead);

/* May c, idle or new, serve this want: same TLS name, identity and server, same source
 * address and receive buffer? (Host, port and socket path are the pool's matter.) */
bool rp_conn_matches(const rp_conn_t *c, const rp_conn_want_t *want);
/* The backend that c serves from now on (an equal one, in a shared pool); NULL while idle. */
void rp_conn_set_backend(rp_conn_t *c, const rp_backend_t *backend);
/* Is c's address still one of its backend's (address_ttl)? Set its backend before. */
bool rp_conn_is_address_current(rp_conn_t *c);

/* The failure of the last ERROR. Of reads it is RP_E_HEAD_READ, of writes RP_E_SEND:
 * who knows the phase says it more exactly. */
rp_err_t rp_conn_get_error(const rp_conn_t *c);
apr_status_t rp_conn_get_status(const rp_conn_t *c);
const char *rp_conn_get_detail(const rp_conn_t *c); /* NULL or words, e.g. the address tried */

/* Counters and facts for logs and the pool. */
apr_port_t rp_conn_get_local_port(rp_conn_t *c);             /* 0: none (unix socket, not open) */
const apr_sockaddr_t *rp_conn_get_peer(const rp_conn_t *c);  /* NULL before connected */
bool rp_conn_is_slow(const rp_conn_t *c);                    /* its last answer was not worth a thread's wait */
void rp_conn_note_slow(rp_conn_t *c, bool is_slow);
unsigned rp_conn_get_uses(const rp_conn_t *c);               /* exchanges begun on it, incl. this one */
void rp_conn_count_use(rp_conn_t *c);
bool rp_conn_is_plain(const rp_conn_t *c);
const char *rp_conn_get_alert(const rp_conn_t *c);           /* the backend's fatal TLS alert, in words, or NULL */
bool rp_conn_is_cut(const rp_conn_t *c);                     /* after EOF: it came without the end that TLS has of its own */
bool rp_conn_is_resumed(const rp_conn_t *c);                 /* opened by a short TLS handshake */
const rp_backend_t *rp_conn_get_backend(const rp_conn_t *c); /* NULL while idle */

/* One pointer for whoever manages connections (rp_pool). */
void rp_conn_set_owner(rp_conn_t *c, void *owner);
void *rp_conn_get_owner(const rp_conn_t *c);

/* Close and free; *c becomes NULL. Safe on NULL, and during an opening: what a helper thread
 * still works on is left to it. */
void rp_conn_destroy(rp_conn_t **c);

#endif
