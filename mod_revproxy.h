/* mod_revproxy: the header for other modules.
 *
 * Nothing to include here is private: what is declared in this file keeps its
 * meaning over releases of the module.
 */
#ifndef MOD_REVPROXY_H
#define MOD_REVPROXY_H

#include "httpd.h"

#define REVPROXY_VERSION "0.1.0"

/* Request notes that a module or a log format may read ("%{...}n"):
 * the backend's status code, and the local port of the connection to it. */
#define REVPROXY_NOTE_STATUS "proxy-status"
#define REVPROXY_NOTE_SOURCE_PORT "proxy-source-port"

/* ---- balancing methods ----------------------------------------------------------------------
 *
 * A method is a provider: register a revproxy_lbmethod_t, constant for the life of the
 * process, while your module's register_hooks runs:
 *
 *     ap_register_provider(p, REVPROXY_LBMETHOD_GROUP, "mymethod", REVPROXY_LBMETHOD_VERSION, &mine);
 *
 * and "ProxySet lbmethod=mymethod" uses it.
 * What a method sees lies in memory that all children share; several threads of several children
 * choose at the same time, and every call below is atomic by itself. A method never blocks.
 */
#define REVPROXY_LBMETHOD_GROUP "revproxy-lbmethod"
#define REVPROXY_LBMETHOD_VERSION "1"

/* A member on offer: usable now, not tried before by this request. */
typedef struct revproxy_candidate_t {
    const char *name;  /* its URL */
    apr_uint64_t id;   /* made from its balancer and URL: the same in all children, after restarts too */
    int weight;        /* loadfactor times 100: 100 to 10000 */
    unsigned busy;     /* with REVPROXY_LB_BUSY: requests in flight, of all children */
    const void *member; /* for the calls */
} revproxy_candidate_t;

/* What is known of a member. */
typedef enum {
    REVPROXY_FIGURE_STATE,    /* the method's own number, see add_state */
    REVPROXY_FIGURE_BUSY,     /* requests in flight, of all children */
    REVPROXY_FIGURE_ELECTED,  /* how often it was chosen */
    REVPROXY_FIGURE_SENT,     /* bytes sent to it, heads included */
    REVPROXY_FIGURE_RECEIVED, /* bytes got from it, heads included */
    REVPROXY_FIGURE_LATENCY   /* microseconds until its response head, moving average, half of it after each 20 seconds
                               * without a response; 0: not known */
} revproxy_figure_t;

typedef struct revproxy_lb_calls_t {
    apr_int64_t (*get)(const revproxy_candidate_t *candidate, revproxy_figure_t which);
    /* Add to the member's state; returns the new one. */
    apr_int64_t (*add_state)(const revproxy_candidate_t *candidate, apr_int64_t delta);
} revproxy_lb_calls_t;

typedef struct revproxy_choice_t {
    request_rec *r;
    const char *balancer; /* "balancer://name" */
    const char *key;      /* hashkey= for this request, else its path */
    const revproxy_candidate_t *candidates; /* in the order of the configuration, spares last; until choose returns */
    int count;            /* at least 1 */
    const revproxy_lb_calls_t *calls;
} revproxy_choice_t;

/* The method looks at every usable member: lbset, spares, standbys and draining do not count. */
#define REVPROXY_LB_ALL_MEMBERS 0x1u
/* The method looks at the requests in flight of every candidate: they come with the candidates, which costs less than a call
 * for each. */
#define REVPROXY_LB_BUSY 0x2u

typedef struct revproxy_lbmethod_t {
    unsigned flags; /* REVPROXY_LB_* */
    /* Index of the candidate chosen, -1 for none. */
    int (*choose)(const revproxy_choice_t *choice);
} revproxy_lbmethod_t;

#endif
