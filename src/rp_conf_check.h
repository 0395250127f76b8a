/* rp_conf_check: health checks of members, as configured; a part of rp_conf.h.
 *
 * Owns:      the hc* parameters, ProxyHCExpr, ProxyHCTemplate.
 * Does not:  check anybody (rp_health).
 * Threads:   as rp_conf.h says.
 * Memory:    pconf.
 * Blocks?    Never.
 */
#ifndef RP_CONF_CHECK_H
#define RP_CONF_CHECK_H

#include <stdbool.h>

#include "httpd.h"
#include "ap_expr.h"

struct rp_backend_t;
struct rp_server_conf_t;

/* How a member's health is checked; the order is part of what shared memory holds. */
typedef enum {
    RP_CHECK_NONE,
    RP_CHECK_TCP, /* a connection, nothing said on it */
    RP_CHECK_OPTIONS,
    RP_CHECK_HEAD,
    RP_CHECK_GET,
    RP_CHECK_OPTIONS11, /* these by HTTP/1.1 */
    RP_CHECK_HEAD11,
    RP_CHECK_GET11,
    RP_CHECK_METHODS
} rp_check_method_t;

#define RP_CHECK_INTERVAL_MIN APR_TIME_C(100000) /* mod_watchdog's step */

/* The hc* parameters of a member. Method to expr but the timeout may be changed at run time: then
 * rp_shm has what holds. */
typedef struct rp_check_options_t {
    rp_check_method_t method;
    apr_interval_time_t interval; /* from a check's end to the next one's beginning; default 30 s */
    apr_interval_time_t timeout;  /* of a whole check; 0: see rp_conf_get_check_timeout */
    int passes, fails;            /* in a row that change the state; 0 is as 1 */
    const char *uri;              /* behind the member's path; "" none, less than 64 bytes */
    const char *expr;             /* name of a ProxyHCExpr; "" none */
} rp_check_options_t;

/* A ProxyHCExpr. */
typedef struct rp_check_expr_t {
    const char *name, *text;
    const ap_expr_info_t *expr;
    bool reads_body; /* it asks for the response's body */
} rp_check_expr_t;

/* The note of a request that holds the body for hc('body'). */
#define RP_CHECK_BODY_NOTE "mod_revproxy: body of a health check"

/* A ProxyHCTemplate. */
typedef struct rp_check_template_t {
    const char *name;
    unsigned set; /* RP_OPT_CHECK_* */
    rp_check_options_t check;
} rp_check_template_t;

/* "GET11"; "NONE" for a number that is no method. */
const char *rp_conf_get_check_name(rp_check_method_t method);
/* Method of that name in any case; false: none. */
bool rp_conf_find_check_method(const char *name, rp_check_method_t *method);
/* Expression of that name in any case, or NULL. */
const rp_check_expr_t *rp_conf_find_check_expr(const struct rp_server_conf_t *conf, const char *name);
/* How long a whole check of this member may take: hctimeout=, else five seconds or the interval, whichever
 * is longer, but not longer than a request may wait for the member. interval: the one that holds now. */
apr_interval_time_t rp_conf_get_check_timeout(const struct rp_backend_t *member, apr_interval_time_t interval);
/* Hook: hc('body') and HC_BODY in the expressions of ProxyHCExpr. */
int rp_conf_expr_lookup(ap_expr_lookup_parms *parms);

#endif
