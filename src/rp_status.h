/* rp_status: what an operator can see of the module at run time.
 *
 * Owns:      the module's part of mod_status' page, under ProxyStatus On.
 * Does not:  count anything itself: the units that own the figures do.
 * Threads:   the request's.
 * Memory:    none.
 * Blocks?    As writing a response does.
 *
 * The figures are those of the child that answers. In the short form (?auto) they are
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

#endif
