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

#include <stdbool.h>

#include "httpd.h"

/* What an exchange came to; kept up while it runs. Times are zero where it did not get so far. */
typedef struct rp_account_t {
    const char *backend;   /* name of the last one tried */
    int attempts;
    apr_time_t began;
    apr_time_t connected;  /* the last attempt had its connection */
    apr_time_t answered;   /* its final response head was there */
    apr_time_t ended;
    const char *tls;       /* "new", "resumed", "kept": how its TLS connection came about; NULL: plain */
    bool is_tunnel;
    apr_off_t up, down;    /* bytes that a tunnel has carried */
    int code;              /* nnnn of the RPnnnn that ended it; 0: none */
} rp_account_t;

/* pre_config hook: offers %{...}^rp to mod_log_config: backend, attempts, code, tls; connect,
 * answer, total in microseconds from the start; up, down: bytes that a tunnel has carried. "-" where there is nothing to say. */
int rp_exchange_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);

/* Handler hook: proxied requests. */
int rp_exchange_handler(request_rec *r);

#endif
