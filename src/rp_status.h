/* rp_status: what an operator can see of the module at run time.
 *
 * Owns:      the module's part of mod_status' page, under ProxyStatus On.
 * Does not:  count anything itself: the units that own the figures do.
 * Threads:   the request's.
 * Memory:    none.
 * Blocks?    As writing a response does.
 *
 * The other figures are those of the child that answers. In the short form (?auto) they are
 *   RevProxyChild: pid           RevProxyParked: requests that wait without a thread
 *   RevProxyConnsIdle: pooled    RevProxyConnsLeased: in use by a request
 *   RevProxyWaiting: requests that wait for a connection (max=)
 *   RevProxyDynamicBackends: backends that no configuration names
 */
#ifndef RP_STATUS_H
#define RP_STATUS_H

#include "httpd.h"

/* mod_status' optional hook. flags: AP_STATUS_*. */
int rp_status_hook(request_rec *r, int flags);

/* The members of the groups of the request's server, in mod_proxy's form: theirs are
 * the figures of all children. */
void rp_status_print_groups(request_rec *r, int flags);
/* "Init Ok ": flags of a member, RP_STATUS_*, in mod_proxy's words. */
const char *rp_status_describe(apr_pool_t *p, unsigned status);

#endif
