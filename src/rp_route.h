/* rp_route: which route a request takes, and to which target that leads.
 *
 * Owns:      matching routes, <Proxy> sections and `proxy:` names, the canonical
 *            form of the target (the one canonicaliser: no way round it), and what is
 *            remembered about it with the request. The module's slot of r->request_config is this
 *            unit's.
 * Does not:  send anything; choose among a group's members.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    Never.
 *
 * A target's scheme, host and socket come from configuration text. Bytes of a request are only
 * ever a path and a query, except where the operator wrote $n or ${} into the host itself.
 */
#ifndef RP_ROUTE_H
#define RP_ROUTE_H

#include "rp_conf.h"
#include "rp_err.h"

/* Where a request goes: filled step by step by the hooks below, complete once
 * rp_route_get_target returned OK. */
typedef struct rp_target_t {
    const rp_route_t *route;   /* the ProxyPass that matched; NULL for [P] and SetHandler */
    const char *route_name;    /* for logs: the route's path, "[P]" or "SetHandler" */
    rp_backend_t *backend;     /* plain route; NULL when group is set */
    rp_group_t *group;
    bool is_dynamic;           /* backend is from rp_pool_hold_dynamic: rp_exchange drops it */
    const char *scheme, *host; /* canonical: lower case, host without brackets */
    apr_port_t port;           /* never 0; for a group 0 */
    bool has_port;             /* the canonical URL carries a port (it is not the scheme's default) */
    const char *path;          /* path and query as they go into the request line, begins with '/' */
    const char *uds_path;      /* absolute path of a unix socket, or NULL */
    const char *url;           /* canonical URL: scheme://host[:port]path; balancer://name/path for a group */
    const char *sections;      /* indexes of the <Proxy> sections that matched, "0,3" ("" none): TLS identity */
    /* rp_mapping_t of the request's place, outer first, with variables expanded as they were at
     * fixups (ProxyPassInterpolateEnv). Never NULL. */
    const apr_array_header_t *reverse, *cookie_paths, *cookie_domains;
    const struct rp_account_t *account; /* what its exchange came to, for log formats; NULL before it began */
} rp_target_t;

/* The target that was found for a request, or NULL: not proxied by us. For the logs. */
const rp_target_t *rp_route_find_target(request_rec *r);

/* Told of each route that a request is compared with. rc: HTTP_CONTINUE, it does not match; DECLINED, it says that
 * the request is not proxied; OK or DONE, it is taken; else the status of an error. */
typedef struct rp_route_watch_t {
    void (*tried)(void *ctx, const rp_route_t *route, int rc);
    void *ctx;
} rp_route_watch_t;

/* The search of the two hooks below for r as it is: routes with mapping=encoded or servlet, or the others. For
 * those who want to see it. watch: NULL, or who is told. Returns DECLINED, OK, DONE or an error's status. */
int rp_route_search(request_rec *r, bool is_encoded, const rp_route_watch_t *watch);

/* A group's target becomes that of one member: its address, its path, then group_path, which is the path of the
 * group's target. backend stays as it is. */
void rp_route_aim(request_rec *r, rp_target_t *target, const rp_backend_t *member, const char *group_path);

/* Hooks (registered in the face file). Each does in its phase what mod_proxy does there. Their places:
 *
 *   pre_translate_name:      APR_HOOK_MIDDLE, before mod_proxy.c
 *   translate_name, fixups:  APR_HOOK_FIRST, after mod_rewrite.c, before mod_proxy.c
 *   map_to_storage, handler: APR_HOOK_FIRST, before mod_proxy.c
 *
 * "Before mod_proxy.c" matters where the real one is loaded too: each hook leaves to it what its
 * directives claimed, and what has a scheme that is not ours. */

/* mapping=encoded and mapping=servlet. DONE on a match (httpd then leaves r->uri encoded);
 * DECLINED; HTTP_INTERNAL_SERVER_ERROR, logged. */
int rp_route_pre_translate(request_rec *r);

/* All other routes. OK on a match; DECLINED; HTTP_INTERNAL_SERVER_ERROR, logged. */
int rp_route_translate(request_rec *r);

/* Merge the <Proxy> sections of a proxied request in place of httpd's walk over directories and
 * files. TRACE and Max-Forwards stay with rp_exchange. OK or DECLINED. */
int rp_route_map_to_storage(request_rec *r);

/* Canonicalise the target. OK; DECLINED; HTTP_BAD_REQUEST, HTTP_FORBIDDEN or HTTP_BAD_GATEWAY, logged. */
int rp_route_fixups(request_rec *r);

/* Is this request ours? From the handler: claims proxyreq with "proxy:" names, and
 * SetHandler "proxy:...".
 * OK: *target is complete and canonical, backend or group resolved; a dynamic backend is held and
 * the caller owes one rp_pool_drop_dynamic. DECLINED: not ours. Else a status, already logged
 * with its RP code; r is then as it was. */
int rp_route_get_target(request_rec *r, rp_target_t **target);

#endif
