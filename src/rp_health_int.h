/* rp_health_int: what the files of rp_health share; nobody else includes it.
 *
 * Owns:      one check: its connection, what was read.
 * Does not:  know when it is due.
 * Threads:   the checking one.
 * Memory:    pool, from rp_check_begin to rp_check_end.
 * Blocks?    Never.
 */
#ifndef RP_HEALTH_INT_H
#define RP_HEALTH_INT_H

#include "rp_conn.h"
#include "rp_h1.h"
#include "rp_health.h"

typedef enum { RP_CHECK_GOES_ON, RP_CHECK_PASSED, RP_CHECK_FAILED } rp_check_result_t;

typedef enum { RP_CHECK_OPENING, RP_CHECK_SENDING, RP_CHECK_READING_HEAD, RP_CHECK_READING_BODY } rp_check_step_t;

/* Bytes that grow. */
typedef struct rp_check_bytes_t {
    char *p;
    apr_size_t n, cap;
} rp_check_bytes_t;

typedef struct rp_check_t {
    const rp_backend_t *member;
    rp_backend_t target;          /* what is connected to: the member, without TLS for method TCP */
    apr_pool_t *pool;             /* NULL: none is under way, and nothing below holds */
    rp_check_method_t method;
    const rp_check_expr_t *expr;  /* NULL: the status decides */
    const char *path;             /* of the request, "*" for OPTIONS */
    rp_conn_t *conn;
    rp_conn_want_t want;
    apr_time_t deadline;
    rp_check_step_t step;
    const char *out;              /* what is left to be sent, then NULL */
    rp_h1_limits_t limits;
    rp_h1_scan_t scan;
    rp_check_bytes_t head_bytes;  /* head points into it */
    rp_h1_head_t head;
    int interims;
    rp_h1_framing_t framing;
    uint64_t body_left;           /* of a body with a length */
    rp_h1_chunk_t chunk;
    rp_check_bytes_t body;        /* only where expr reads it */
    const char *reason;           /* of the failure */
} rp_check_t;

/* ---- rp_health_check.c ---- */

/* Start a check of c->member, which has none under way, by what shared memory says. */
void rp_check_begin(rp_check_t *c);
/* Go as far as possible without waiting. Call it when what rp_check_get_interest says is ready, or late. */
rp_check_result_t rp_check_advance(rp_check_t *c);
/* What to wait for, and until when. */
int rp_check_get_interest(const rp_check_t *c, short *events, apr_time_t *until);
/* Close and forget, also in the midst of it. */
void rp_check_end(rp_check_t *c);
/* "GET /path" for logs. */
const char *rp_check_describe(const rp_check_t *c);

/* ---- rp_health_verdict.c ---- */

/* The response is complete: is it a good one? Sets c->reason where not. */
rp_check_result_t rp_check_judge(rp_check_t *c);
/* Count the result of a check, and change the member's status where that makes enough. */
void rp_check_note(const rp_check_t *c, rp_check_result_t result);

#endif
