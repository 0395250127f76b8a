/* rp_exchange: one request's life between client and backend.
 *
 * Owns:      the list of steps and their runner, the one retry decision, the one finaliser,
 *            the content handler.
 * Does not:  touch sockets (rp_conn), frame (rp_body), wait (rp_park).
 * Threads:   one at a time; nothing of an exchange lives on a stack or in a
 *            thread across a wait.
 * Memory:    r->pool.
 * Blocks?    Only in rp_park_wait.
 */
#ifndef RP_EXCHANGE_H
#define RP_EXCHANGE_H

#include "httpd.h"

/* Handler hook: proxied requests (compat section 1.2). */
int rp_exchange_handler(request_rec *r);

#endif
