/* rp_lb: which member of a group serves a request.
 *
 * Owns:      the walk over members (lbset, spares, standbys, draining), sessions that stick to a
 *            member, who is in error and when it is tried again, requests in flight, what the
 *            environment says about it.
 * Does not:  compare members (rp_lbm_*), connect, decide whether a request may be sent again
 *            (rp_exchange).
 * Threads:   the request's; what is shared lies in rp_shm.
 * Memory:    r->pool.
 * Blocks?    Never: WAIT says when to look again.
 *
 * A member in error is tried again after `retry`, if the operator gave it. If not, one request
 * tries it after a second, then after two, four ... up to a minute; it is back when a
 * connection to it has succeeded, and until then all others keep off.
 */
#ifndef RP_LB_H
#define RP_LB_H

#include "rp_conf.h"
#include "rp_err.h"
#include "rp_shm.h"

#include "mod_revproxy.h"

/* What holds for a group now: as configured, or as it was changed since. */
typedef struct rp_lb_settings_t {
    apr_interval_time_t timeout;
    int max_attempts; /* -1: one for each other member */
    bool no_failover, force_recovery;
    const revproxy_lbmethod_t *method; /* never NULL */
    char method_name[RP_SHM_TEXT];
    char sticky[RP_SHM_TEXT], sticky_path[RP_SHM_TEXT]; /* "": none */
} rp_lb_settings_t;

/* A request's dealings with its group. */
typedef struct rp_lb_t {
    request_rec *r;
    const rp_group_t *group;
    rp_lb_settings_t *set;      /* for the whole of the request */
    int count;                  /* members of the group, as far as this request knows */
    const char *url;            /* balancer://name/path?args: where session ids may be */
    const char *route_name;     /* for logs: the public path */
    const rp_backend_t *member; /* chosen; NULL: none now */
    const char *session;        /* route that the request's session id names; NULL: none, "" possible */
    const char *session_name;   /* of the cookie or parameter it came in */
    const rp_backend_t *own_session; /* member that our own cookie names, or NULL */
    unsigned char *tried;       /* for each member: bits of rp_lb_int.h */
    bool has_passed;            /* RP_LB_PASSED is among them */
    int failovers;              /* members tried in vain */
    apr_time_t picked_at;
    apr_time_t wait_until;      /* group's timeout; 0: not waiting */
    bool is_probe;              /* member is in error, this request tries it */
} rp_lb_t;

typedef enum {
    RP_LB_PICKED,
    RP_LB_WAIT,      /* no member is usable now: call again at rp_lb_get_next_look */
    RP_LB_EMPTY,     /* the group has no members */
    RP_LB_DOWN,      /* no member is usable */
    RP_LB_ROUTE_DOWN /* the session's member is not usable, and nofailover is on */
} rp_lb_result_t;

/* post_config hook, after rp_shm's. */
int rp_lb_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);

void rp_lb_child_init(apr_pool_t *pchild, server_rec *s);

/* How many members the group has, those included that any child has added: they are known here, with their pools,
 * from then on. */
int rp_lb_count_members(const rp_group_t *group);
void rp_lb_get_settings(const rp_group_t *group, rp_lb_settings_t *set);

/* url: canonical, with its query; borrowed like route_name. */
void rp_lb_init(rp_lb_t *lb, request_rec *r, const rp_group_t *group, const char *url, const char *route_name);
/* Choose a member: counts it as in flight and sets the environment. Owes one rp_lb_leave. */
rp_lb_result_t rp_lb_pick(rp_lb_t *lb);
apr_time_t rp_lb_get_next_look(const rp_lb_t *lb);

/* A connection to the member is there. */
void rp_lb_note_connected(rp_lb_t *lb);
/* Is a response with this status to be left, and another member asked (failoverstatus=)? */
bool rp_lb_is_refused(rp_lb_t *lb, int status);
/* Its final response head was adopted into r. */
void rp_lb_note_response(rp_lb_t *lb, int status);
/* The attempt failed. May the request go to another member, as far as the group is concerned, and is there one? */
bool rp_lb_note_failure(rp_lb_t *lb, rp_err_t err);
/* The attempt is over. sent, received: bytes. Safe without a member. */
void rp_lb_leave(rp_lb_t *lb, apr_int64_t sent, apr_int64_t received);

#endif
