/* rp_manager: the balancer manager, SetHandler balancer-manager.
 *
 * Owns:      its pages (HTML, XML, JSON) and its forms: what may be changed at run time, who may
 *            change it, what the log says of it.
 * Does not:  keep anything: changes go to rp_shm, so that all children see them at once.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    While it reads a form from its client, like any handler of httpd, for httpd's Timeout at most.
 *
 * Reading is for everyone who may reach the Location. A change has to carry the group's nonce, which is on its pages,
 * and has to come from this origin (rp_manager_guard.c); that is no authentication: Require is for that.
 */
#ifndef RP_MANAGER_H
#define RP_MANAGER_H

#include "httpd.h"

int rp_manager_handler(request_rec *r);

#endif
