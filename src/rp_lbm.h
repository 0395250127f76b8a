/* rp_lbm: the balancing methods that come with the module, one file each.
 *
 * Owns:      their arithmetic.
 * Does not:  know more of a member than mod_revproxy.h shows to any method.
 * Threads:   any, several at a time; all state is in the members' shared figures.
 * Memory:    none, or little of r->pool.
 * Blocks?    Never.
 */
#ifndef RP_LBM_H
#define RP_LBM_H

#include "mod_revproxy.h"

extern const revproxy_lbmethod_t rp_lbm_byrequests, rp_lbm_bytraffic, rp_lbm_bybusyness, rp_lbm_leasttime,
    rp_lbm_hash, rp_lbm_heartbeat;

/* Called from register_hooks: make them known by name. */
void rp_lbm_register(apr_pool_t *p);

/* post_config: where lbmethod=heartbeat finds what servers say of themselves: mod_heartmonitor's memory,
 * else this file (HeartbeatStorage; NULL: hb.dat) in httpd's runtime directory. */
void rp_lbm_prepare_heartbeats(apr_pool_t *p, const char *file);

#endif
