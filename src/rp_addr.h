/* rp_addr: from a backend's host name to addresses.
 *
 * Owns:      the per-child cache of addresses by host and port, its refresh (address_ttl).
 * Does not:  connect.
 * Threads:   any; one lock for the cache, held for look-ups in memory only.
 * Memory:    a list handed out is reference counted and immutable. The cache is bounded: names
 *            that come from requests push out those not used for longest.
 * Blocks?    Never: numeric addresses and unix paths at once, names through rp_offload.
 */
#ifndef RP_ADDR_H
#define RP_ADDR_H

#include "apr_network_io.h"
#include "rp_conf.h"

typedef struct rp_addr_list_t rp_addr_list_t;   /* an immutable list, counted */
typedef struct rp_addr_query_t rp_addr_query_t; /* a look-up under way */

typedef enum { RP_ADDR_OK, RP_ADDR_AGAIN, RP_ADDR_FAIL } rp_addr_result_t;

/* After rp_offload_child_init; called by rp_pool_child_init. */
apr_status_t rp_addr_child_init(apr_pool_t *pchild);

/* Addresses of a backend. fresh: ask the resolver even if the cache has an answer
 * (after all known addresses failed); an answer that is less than a second old is fresh enough.
 * AGAIN: wait for rp_addr_query_fd(*query) to be readable, then call again with the same query
 * (NULL at first). FAIL: *rv says why. The caller owns *list (rp_addr_release) and *query
 * (rp_addr_cancel); the call that ends the query frees it. There is no deadline here.
 * How long an answer holds: address_ttl= where given; else until the child exits, or for one
 * connect with disablereuse=On and for backends made at run time. When
 * the resolver fails, an older answer is used on. */
rp_addr_result_t rp_addr_get(const rp_backend_t *b, bool fresh, rp_addr_query_t **query,
                             rp_addr_list_t **list, apr_status_t *rv);
int rp_addr_query_fd(const rp_addr_query_t *query);
void rp_addr_cancel(rp_addr_query_t **query);

/* What is known now, for judging pooled connections: NULL if nothing is. Never waits; an answer
 * past its address_ttl is handed out, and asked for anew in the background. The caller releases. */
rp_addr_list_t *rp_addr_find_known(const rp_backend_t *b);
/* Changes whenever some answer differs from the one before it: as long as it stays the same, an
 * address that was current still is. */
unsigned rp_addr_get_generation(void);

int rp_addr_count(const rp_addr_list_t *list);
/* Valid as long as the list is held. i: 0..count-1 */
const apr_sockaddr_t *rp_addr_at(const rp_addr_list_t *list, int i);
/* Is this address (ip and port) among them? For dropping pooled connections to removed addresses. */
bool rp_addr_has(const rp_addr_list_t *list, const apr_sockaddr_t *sa);
/* Same addresses, whatever their order? */
bool rp_addr_is_same(const rp_addr_list_t *a, const rp_addr_list_t *b);
/* One more holder of the list. */
rp_addr_list_t *rp_addr_hold(rp_addr_list_t *list);
void rp_addr_release(rp_addr_list_t **list);

#endif
