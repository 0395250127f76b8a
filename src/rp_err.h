/* rp_err: what can go wrong, in one table, and how it is said.
 *
 * Owns:      the list of errors (rp_err.def), the mapping from an error to the
 *            client's status, and the form of our log lines.
 * Does not:  decide on retries (rp_exchange does, from the flags given here).
 * Threads:   constant data; any thread.
 * Memory:    none; log lines use the request's or connection's pool.
 * Blocks?    Never (apart from httpd's own log writing).
 *
 * Codes are stable: RPnnnn is never given a second meaning.
 */
#ifndef RP_ERR_H
#define RP_ERR_H

#include "httpd.h"
#include "http_log.h"

/* Facts about an error that the retry decision and the balancer need. */
#define RP_ERR_UNSENT   0x01u /* the request cannot have been processed: any method may be tried again */
#define RP_ERR_REPLAY   0x02u /* it may have been: another member gets it when its method is safe (RFC 9110 9.2.1) */
#define RP_ERR_BACKEND  0x04u /* the backend is to blame: counts against it */
#define RP_ERR_CLIENT   0x08u /* the client is to blame: never counts against a backend */
#define RP_ERR_TIMEOUT  0x10u /* a deadline passed */

/* For the access log: nobody is there to get it. The number that nginx made known. */
#define RP_STATUS_CLIENT_GONE 499

typedef enum {
#define RP_ERR(id, code, level, status, flags, page, text, outcome, action) RP_E_##id,
#include "rp_err.def"
#undef RP_ERR
    RP_E_COUNT
} rp_err_t;

typedef struct rp_err_info_t {
    const char *id;      /* the name in the source, "CONNECT_REFUSED" */
    int code;            /* nnnn of RPnnnn */
    int level;           /* APLOG_* */
    int status;          /* what the client gets while nothing was sent to it; 0: nothing can be sent,
                            or the request goes on */
    unsigned flags;      /* RP_ERR_* */
    const char *page;    /* reason named on the client's error page ("502 Proxy Error", as mod_proxy
                            words it; behind a colon comes the host; of 501 the whole page), or NULL: the plain page */
    const char *text;    /* what happened, for the log */
    const char *outcome; /* what the module does next */
    const char *action;  /* what the operator can do */
} rp_err_info_t;

/* Row of an error; never NULL. */
const rp_err_info_t *rp_err_get(rp_err_t err);

/* Who and where, for a log line that alone locates the fault. Members may be NULL / 0. */
typedef struct rp_err_where_t {
    const char *route;    /* public path of the route, "/api/" */
    const char *backend;  /* name of the backend, "http://10.0.0.1:8080" */
    const char *phase;    /* "connecting", "reading the response head", ... */
    int attempt;          /* 1 for the first */
} rp_err_where_t;

/* Log one failure of a request at the level of its row:
 *   RP0103 backend refused the connection: route /api/ backend http://10.0.0.1:8080 attempt 2 phase connecting: DETAIL
 * rv: 0 or the system's error (logged by httpd in its usual place); detail: NULL or words
 * for this occurrence; bytes from peers in it are escaped by httpd's log writer. */
void rp_err_log(request_rec *r, rp_err_t err, apr_status_t rv, const rp_err_where_t *where, const char *detail);
/* The same for a failure after which the request is tried again: at level info. */
void rp_err_log_retried(request_rec *r, rp_err_t err, apr_status_t rv, const rp_err_where_t *where,
                        const char *detail);

/* Log what goes wrong where no request is at hand, in the log of server s:
 *   RP0110 cannot bind to the ProxySourceAddress: backend http://10.0.0.1:8080 phase connecting: DETAIL
 * rv and detail as above. */
void rp_err_log_server(const server_rec *s, rp_err_t err, apr_status_t rv, const rp_err_where_t *where,
                       const char *detail);

/* Prepare httpd's error page for err (the notes and the status line that mod_proxy
 * sets) and return the status for the handler. host: the target's, for pages that name it. */
int rp_err_to_status(request_rec *r, rp_err_t err, const char *host);

#endif
