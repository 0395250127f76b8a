/* rp_pool: the connections of one child process, by backend.
 *
 * Owns:      idle connections, the count of leased ones, those who wait for one,
 *            and the backends made at run time for targets with variables.
 * Does not:  open connections (it hands out an unopened rp_conn), choose a backend.
 * Threads:   any; one lock per pool, held for list operations only, one for the registry
 *            (taken before a pool's).
 * Memory:    its own, until the child exits; each conn its own pool.
 * Blocks?    Never: a full pool answers WAIT with a descriptor.
 *
 * Routes to the same address with the same TLS, pool and connection options
 * share one pool; others never do. Within a pool, a connection is
 * reused only where rp_conn_matches (TLS name and settings, source address, receive buffer).
 */
#ifndef RP_POOL_H
#define RP_POOL_H

#include "rp_conn.h"

typedef enum {
    RP_LEASE_REUSED, /* an idle connection, checked alive */
    RP_LEASE_NEW,    /* a connection still to be opened with rp_conn_open */
    RP_LEASE_WAIT    /* all in use: wait for rp_pool_waiter_fd to be readable, then call again */
} rp_lease_t;

typedef struct rp_pool_waiter_t rp_pool_waiter_t;

/* child_init hook for the whole transport layer (rp_offload, rp_addr, rp_conn), and make the pools. */
void rp_pool_child_init(apr_pool_t *pchild, server_rec *s);

/* Make the pool of a member that was added at run time (b has its id already), before any other thread
 * knows b; once. */
void rp_pool_add(const rp_backend_t *b);

/* Borrow a connection for want. fresh: never an idle one (replay, proxy-initial-not-pooled).
 * waiter: in/out, NULL at first; the caller keeps it over WAITs and frees it with
 * rp_pool_stop_waiting when it gives up; a lease got frees it. First come, first served: a place
 * that becomes free is the first waiter's, no newcomer overtakes. Keep want the same over WAITs.
 * A lack of descriptors shows as NEW, with the error at rp_conn_open. */
rp_lease_t rp_pool_lease(const rp_conn_want_t *want, bool fresh, rp_pool_waiter_t **waiter, rp_conn_t **conn);
int rp_pool_waiter_fd(const rp_pool_waiter_t *w);
void rp_pool_stop_waiting(rp_pool_waiter_t **w);

/* Give a connection back for reuse. Only after a response read completely and a request
 * sent completely. Kept within smax/ttl/max and where its backend reuses, else closed.
 * *conn becomes NULL; NULL is fine. */
void rp_pool_give_back(rp_conn_t **conn);
/* Close it and free its place. *conn becomes NULL; NULL is fine. */
void rp_pool_retire(rp_conn_t **conn);

/* Backend for a target that no configuration names (RewriteRule [P], variables in the host):
 * found or made, with these options (NULL: defaults; compared and copied by value, their strings
 * live as long as the child), bounded per child: an idle one not used for longest makes room.
 * scheme and host in lower case, host without brackets, port not 0. hold/drop: while an exchange
 * uses it; give connections back before the drop. Returns NULL when the bound is reached and all
 * are in use. */
rp_backend_t *rp_pool_hold_dynamic(server_rec *s, const char *scheme, const char *host, apr_port_t port,
                                   const char *uds_path, const rp_options_t *opt);
/* *b becomes NULL; NULL is fine. */
void rp_pool_drop_dynamic(rp_backend_t **b);

/* For status and tests: sums over this child. */
typedef struct rp_pool_count_t { int idle, leased, waiting, dynamic; } rp_pool_count_t;
void rp_pool_count(rp_pool_count_t *n);

#endif
