#include "rp_lint_int.h"

#include "rp_uri.h"

/* mapping=encoded routes are tried first, in a phase of their own. */
static bool is_encoded(const rp_route_t *route)
{
    return (route->flags & RP_ROUTE_ENCODED) != 0;
}

static bool is_ws(const rp_route_t *route)
{
    return route->backend && route->backend->scheme[0] == 'w';
}

/* ProxyWebsocketFallbackToProxyHttp Off: a ws route leaves ordinary requests to the next one. */
static bool leaves_requests(const rp_lint_t *lint, const rp_route_t *route)
{
    const rp_dir_conf_t *dir = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);

    return is_ws(route) && dir->ws_fallback == RP_OFF;
}

static void note_prefix(const rp_lint_t *lint, apr_hash_t *prefixes)
{
    const char *path = lint->route->path;

    if (!apr_hash_get(prefixes, path, APR_HASH_KEY_STRING)) {
        apr_hash_set(prefixes, path, APR_HASH_KEY_STRING, lint->route);
    }
}

/* Locations come before the server's routes whatever the file's order, so they are noted, too. The later
 * of two Locations of one path counts. */
void rp_lint_note_route(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;

    if (route->regex || route->flags & RP_ROUTE_INTERPOLATE || route->path[0] != '/') {
        return;
    }
    note_prefix(lint, lint->prefixes[0]);
    if (is_encoded(route)) {
        note_prefix(lint, lint->prefixes[1]);
    }
}

/* The route noted under the first n bytes of a path, if it takes what the route looked at would. */
static const rp_route_t *find_taker(const rp_lint_t *lint, const char *path, size_t n)
{
    const rp_route_t *route = lint->route;
    const rp_route_t *earlier = apr_hash_get(lint->prefixes[is_encoded(route)], path, (apr_ssize_t)n);

    if (!earlier || leaves_requests(lint, earlier)) {
        return NULL;
    }
    if (route->regex) {
        return !strcmp(earlier->path, "/") ? earlier : NULL;
    }
    return rp_uri_match_prefix(earlier->path, route->path) > 0 ? earlier : NULL;
}

/* Only routes whose path is a piece of this one's, up to a slash or its end, may match: so thousands of
 * lines take no longer than reading them. */
static const rp_route_t *find_shadow(const rp_lint_t *lint)
{
    const char *path = lint->route->regex ? "/" : lint->route->path;
    const rp_route_t *found = NULL;
    size_t n;

    for (n = 1; !found && path[n - 1]; n++) {
        if (path[n - 1] == '/' || path[n] == '/' || !path[n]) {
            found = find_taker(lint, path, n);
        }
    }
    return found;
}

static const server_rec *get_server(const rp_route_t *route)
{
    return route->backend ? route->backend->server : route->group ? route->group->server : NULL;
}

static const char *advise(const rp_lint_t *lint, const rp_route_t *earlier)
{
    if (earlier->in_location) {
        return "a <Location>'s route comes before those of the server: put this one into a <Location> behind that one";
    }
    if (lint->s != lint->main && get_server(earlier) == lint->main) {
        return "it is the main server's: write ProxyPassInherit Off here, or put the longer path into the main server";
    }
    if (!strcmp(earlier->path, lint->route->path) && !lint->route->is_excluded) {
        return "remove one of them; for several backends of one path write a balancer";
    }
    return "put the longer path before it";
}

static void check_shadow(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route, *earlier;

    if (lint->rank < 0 || route->path[0] == '\0' || route->flags & RP_ROUTE_INTERPOLATE) {
        return;
    }
    earlier = find_shadow(lint);
    if (earlier && !(is_ws(earlier) && !is_ws(route) && !route->is_excluded)) {
        rp_lint_say_route(lint, "never used: ProxyPass %s %s (%s:%d) comes first and takes its requests; %s",
                          earlier->path, earlier->raw_target, earlier->file, earlier->line, advise(lint, earlier));
    }
}

static bool is_same_server(const rp_route_t *a, const rp_route_t *b)
{
    return a->backend && b->backend && a->backend->port == b->backend->port &&
           !strcmp(a->backend->host, b->backend->host);
}

/* "ProxyPass / ws://..." for sockets and "ProxyPass / http://..." for the rest: with the fallback the first one
 * takes all. Where both lead to one server nobody minds. */
static void check_ws_takes_all(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route, *earlier;

    if (lint->rank < 0 || is_ws(route) || route->path[0] == '\0' || route->is_excluded) {
        return;
    }
    earlier = find_shadow(lint);
    if (earlier && is_ws(earlier) && !is_same_server(earlier, route)) {
        rp_lint_say_route(lint,
                          "never used: ProxyPass %s %s (%s:%d) takes ordinary requests, too; write "
                          "ProxyWebsocketFallbackToProxyHttp Off, or give WebSockets a path of their own",
                          earlier->path, earlier->raw_target, earlier->file, earlier->line);
    }
}

/* httpd applies Locations in the order of the file and the last one that matches has the say, however short. */
static void check_location_shadow(rp_lint_t *lint)
{
    const rp_route_t *later;

    if (lint->rank >= 0 || lint->route->regex) {
        return;
    }
    later = find_shadow(lint);
    if (later) {
        rp_lint_say_route(lint,
                          "never used: <Location %s> (%s:%d) comes later and matches, too, and the last one counts; "
                          "put the longer path behind it",
                          later->path, later->file, later->line);
    }
}

const rp_lint_check_t rp_lint_order_checks[] = {
    {"shadow", APLOG_WARNING, RP_LINT_ROUTE, check_shadow},
    {"location-shadow", APLOG_WARNING, RP_LINT_ROUTE, check_location_shadow},
    {"ws-takes-all", APLOG_WARNING, RP_LINT_ROUTE, check_ws_takes_all},
    {.name = NULL},
};
