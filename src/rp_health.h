/* rp_health: active checks of balancer members.
 *
 * Owns:      when a check is due, the checks under way, their verdict, and the bit "check failed" of a
 *            member's status.
 * Does not:  choose members (rp_lb keeps off those that failed), read the configuration (rp_conf_check.c),
 *            store anything that has to outlive a child (rp_shm).
 * Threads:   one thread of one child, given by mod_watchdog, runs all checks of all members. When that child
 *            ends, another one's takes over, and goes by what shared memory says of the last checks.
 * Memory:    each check under way has a pool of its own.
 * Blocks?    Only in rp_park_poll, and there for all checks at once: none waits for another.
 *
 * A check is a connection of its own, never one of the pool, closed afterwards. It passes or fails; so many
 * failures in a row (hcfails) take a member out, so many passes (hcpasses) end that, and any other error that
 * the member is in. A check is over after rp_conf_get_check_timeout at the latest: then it has failed.
 */
#ifndef RP_HEALTH_H
#define RP_HEALTH_H

#include "rp_conf.h"

/* Hooks. post_config: after rp_shm's. child_init: after
 * rp_pool_child_init, and before mod_watchdog's, which starts the thread. */
int rp_health_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);
void rp_health_child_init(apr_pool_t *pchild, server_rec *s);

/* Is somebody there to check members? Not without mod_watchdog, nor where the configuration has no health
 * checks: then it is of no use to give members a method at run time. */
bool rp_health_is_on(void);

#endif
