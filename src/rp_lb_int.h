/* rp_lb_int: what the files of rp_lb share; nobody else includes it.
 *
 * Owns:      declarations only.
 * Does not:  hold state.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    Never.
 */
#ifndef RP_LB_INT_H
#define RP_LB_INT_H

#include "apr_strings.h"

#include "rp_conf_member.h"
#include "rp_lb.h"

/* Bits of rp_lb_t.tried. */
#define RP_LB_TRIED    0x1u /* it cannot have processed the request: again, when nobody else is left */
#define RP_LB_SENT     0x2u /* it may have: not again */
#define RP_LB_PASSED   0x4u /* another request is trying it just now */

#define RP_LB_OFF (RP_STATUS_DISABLED | RP_STATUS_STOPPED | RP_STATUS_CHECK_FAILED)

typedef enum { RP_LB_NO, RP_LB_YES, RP_LB_PROBE } rp_lb_use_t;

static inline const rp_backend_t *rp_lb_member(const rp_lb_t *lb, int i)
{
    return rp_conf_get_member(lb->group, i);
}

/* For the environment: this is not the member that the request's session id names, if it has one. */
void rp_lb_note_changed(const rp_lb_t *lb);

/* ---- rp_lb_error.c ---- */

/* May a request go to this member? Ends its error where its time is over. PROBE: it is in
 * error, and one request may try it. */
rp_lb_use_t rp_lb_get_use(rp_lb_t *lb, const rp_backend_t *member);
/* Use member i, which may be used; if it is in error, be the one request that tries it. Sets lb->is_probe. False:
 * another request is trying it; it is passed over until the next rp_lb_pick. */
bool rp_lb_take_up(rp_lb_t *lb, int i);
/* Every member in error: they are all given another chance (forcerecovery). */
void rp_lb_force_recovery(rp_lb_t *lb);
/* kind: RP_SHM_FAILED_*; why: for the log. */
void rp_lb_mark_error(rp_lb_t *lb, int kind, const char *why);
/* The member that this request tried in spite of its error is well. */
void rp_lb_end_error(rp_lb_t *lb);

/* ---- rp_lb_latency.c ---- */

/* Microseconds until the response head, moving average, less with time where nothing new is known; 0: not known. */
apr_int64_t rp_lb_get_latency(const rp_backend_t *member);
/* This is how long lb->member takes, since it was picked. */
void rp_lb_note_latency(const rp_lb_t *lb);

/* ---- rp_lb_walk.c ---- */

/* Index of the member that the group's method chooses, taken up; -1: none is usable. */
int rp_lb_walk(rp_lb_t *lb);
/* Would it find one? again: members that this request tried, but that cannot have processed it, count, too. */
bool rp_lb_may_walk(rp_lb_t *lb, bool again);

/* ---- rp_lb_sticky.c ---- */

/* Values for stickycookie=, one for each configured member. */
const char *const *rp_lb_make_tokens(apr_pool_t *p, const rp_group_t *group);
/* Read the session id of the request. */
void rp_lb_read_session(rp_lb_t *lb);
/* Index of the usable member of the session, taken up; -1: none. */
int rp_lb_find_session(rp_lb_t *lb);
/* Would it find one? */
bool rp_lb_may_find_session(rp_lb_t *lb);
/* Does any member have the session's route? */
bool rp_lb_knows_session(const rp_lb_t *lb);
/* Give the client our own cookie if it does not have the right one. */
void rp_lb_set_cookie(rp_lb_t *lb);

#endif
