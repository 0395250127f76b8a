/* rp_route_int: what the files of rp_route share; nobody else includes it.
 *
 * Owns:      declarations only.
 * Does not:  hold state.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    Never.
 */
#ifndef RP_ROUTE_INT_H
#define RP_ROUTE_INT_H

#include "rp_route.h"
#include "rp_uri.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;

/* The prefix by which httpd's modules tell a proxied request's name from a file's. */
#define RP_PROXY_PREFIX "proxy:"
#define RP_PROXY_PREFIX_LEN (sizeof(RP_PROXY_PREFIX) - 1)

/* Who gave the request its proxy: name. */
typedef enum {
    RP_MADE_UNKNOWN,      /* nobody yet, or another module: [P], mod_lua, ... */
    RP_MADE_BY_ROUTE,     /* one of our routes */
    RP_MADE_BY_NEIGHBOUR  /* a directive of the real mod_proxy */
} rp_made_t;

/* What is remembered with a request. */
typedef struct rp_memory_t {
    rp_target_t target;
    rp_made_t made;
    const char *filename;  /* the r->filename that target belongs to; NULL: none */
    bool is_canonical;     /* target is complete but for backend and group */
    bool was_seen;         /* rp_route_translate ran and nothing had claimed the request before it */
    struct rp_memory_t *parent; /* of the request that this one is a subrequest of, once handed up to it */
    struct rp_memory_t *lookup; /* of the latest subrequest that had a target; see rp_route_recall */
} rp_memory_t;

/* ---- rp_route_request.c ---- */

/* NULL: nothing is remembered. mod_dir looks a proxied index up by a subrequest and then makes its
 * name that of the request itself: what the subrequest found goes with it. */
rp_memory_t *rp_route_recall(request_rec *r);
rp_memory_t *rp_route_remember(request_rec *r);    /* never NULL */
/* Does mem (NULL: no) belong to the name that the request has now? */
bool rp_route_is_current(const request_rec *r, const rp_memory_t *mem);
/* A subrequest's target is kept for its parent for as long as the subrequest's pool lives. */
void rp_route_hand_up(request_rec *r, rp_memory_t *mem);
/* Log an error of choosing the target; returns the error's status. */
int rp_route_fail(request_rec *r, const rp_target_t *target, rp_err_t err, const char *detail);
/* ${VAR} in text replaced from r->subprocess_env. */
const char *rp_route_expand(request_rec *r, const char *text);

/* ---- rp_route_match.c ---- */

typedef enum {
    RP_MATCH_NO,
    RP_MATCH_YES,
    RP_MATCH_EXCLUDED, /* "!": the search ends, the request is not proxied */
    RP_MATCH_FAILED    /* the substitution failed: already logged, answer 500 */
} rp_match_result_t;

typedef struct rp_match_t {
    const char *target; /* URL, not yet canonical */
    const char *uri;    /* what r->uri is to become (mapping=servlet), or NULL */
    bool is_raw;        /* nocanon holds: target ends in the client's own bytes, query included */
} rp_match_t;

/* Try one route. m is set with RP_MATCH_YES only. */
rp_match_result_t rp_route_match(request_rec *r, const rp_route_t *route, rp_match_t *m);

/* ---- rp_route_target.c ---- */

/* True for http, https, ws and wss, and for balancer://; text starts with the scheme. */
bool rp_route_is_http_like(const char *text);
bool rp_route_is_group(const char *text);

typedef enum {
    RP_PATH_DECODED, /* to be encoded, r->args follow */
    RP_PATH_ENCODED, /* as it is, r->args follow */
    RP_PATH_WHOLE    /* as it is, the query is in it */
} rp_path_mode_t;

/* Fill in scheme, host, port, path, socket and URL of mem->target from text, a target with an
 * http-like or balancer scheme, and the mappings of the way back. A "unix:PATH|" at the very
 * start of text is honoured if the target has no route. Returns OK or a status, logged. */
int rp_route_canonicalise(request_rec *r, rp_memory_t *mem, const char *text, rp_path_mode_t mode);

/* Set backend or group of a canonical target, hold a dynamic backend. Returns OK or a status, logged. */
int rp_route_resolve(request_rec *r, rp_target_t *target);

/* Would our configuration name the backend or group of this target? For life beside mod_proxy. */
bool rp_route_is_known(request_rec *r, const char *text);

#endif
