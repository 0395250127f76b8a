#include "rp_lint_int.h"

#include "ap_mpm.h"

/* ---- what the backend should know ---- */

/* Is this route's backend told nothing of the client's TLS? */
static bool is_plain_route(const rp_lint_t *lint, const rp_route_t *route)
{
    const rp_group_t *group = rp_lint_get_group(lint, route);
    int i;

    if (route->is_excluded || route->backend) {
        return route->backend && !route->backend->is_tls;
    }
    for (i = 0; group && i < group->members->nelts; i++) {
        if (!APR_ARRAY_IDX(group->members, i, const rp_backend_t *)->is_tls) {
            return true;
        }
    }
    return !group; /* its name has variables */
}

static const rp_route_t *find_plain_route(const rp_lint_t *lint)
{
    int i;

    for (i = 0; i < lint->conf->routes->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(lint->conf->routes, i, rp_route_t *);

        if (is_plain_route(lint, route)) {
            return route;
        }
    }
    return NULL;
}

/* RequestHeader set X-Forwarded-Proto "https", or a directive of ours that sends it. */
static bool sends_proto(const rp_lint_t *lint)
{
    const apr_array_header_t *list = rp_lint_get_directives(lint, "RequestHeader");
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (ap_strcasestr(APR_ARRAY_IDX(list, i, const ap_directive_t *)->args, "X-Forwarded-Proto")) {
            return true;
        }
    }
    return rp_lint_get_directives(lint, "RevProxyForwarded")->nelts > 0;
}

static void check_forwarded_proto(rp_lint_t *lint)
{
    const ap_directive_t *tls = rp_lint_find_directive(lint, "SSLEngine", "on", lint->s);
    const rp_route_t *route = find_plain_route(lint);

    if (tls && route && !sends_proto(lint)) {
        rp_lint_say(lint, tls->filename, tls->line_num,
                    "SSLEngine on: clients speak https and the backend of %s (%s:%d) does not see it, so it may build "
                    "http:// links or redirect without end: write RevProxyForwarded proto",
                    route->path, route->file, route->line);
    }
}

/* ---- room for waiting requests ---- */

static int get_factor(const rp_lint_t *lint)
{
    const apr_array_header_t *list = rp_lint_get_directives(lint, "AsyncRequestWorkerFactor");

    return list->nelts ? (int)apr_atoi64(APR_ARRAY_IDX(list, list->nelts - 1, const ap_directive_t *)->args) : 2;
}

static int count_threads(void)
{
    int threads;

    return ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) == APR_SUCCESS ? threads : 0;
}

static int count_children(void)
{
    int children;

    return ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &children) == APR_SUCCESS && children > 0 ? children : 1;
}

static bool is_async(void)
{
    int value;

    return ap_mpm_query(AP_MPMQ_IS_ASYNC, &value) == APR_SUCCESS && value;
}

/* More tunnels are allowed than all children ever accept connections. */
static void check_capacity(rp_lint_t *lint)
{
    const ap_directive_t *d = lint->d;
    int threads = count_threads(), factor = get_factor(lint), children = count_children();
    apr_int64_t wanted, all = (apr_int64_t)threads * children, room = all * (1 + factor);

    if (!rp_lint_is_named(d, "RevProxyTunnelMax") || !is_async() || threads == 0) {
        return;
    }
    wanted = apr_atoi64(d->args);
    if (wanted > room) {
        rp_lint_say_directive(lint,
                              "%d children accept %d connections at most (ThreadsPerChild %d, AsyncRequestWorkerFactor %d), so "
                              "this is never reached: write AsyncRequestWorkerFactor %d",
                              children, (int)room, threads, factor, (int)((wanted + all - 1) / all));
    }
}

static void check_threads(rp_lint_t *lint)
{
    const rp_route_t *route = find_plain_route(lint);

    if (route && !is_async()) {
        rp_lint_say(lint, route->file, route->line, "this MPM keeps a thread or process for each request that waits for a "
                                                    "backend: with the event MPM (a2enmod mpm_event) they wait without");
    }
}

const rp_lint_check_t rp_lint_server_checks[] = {
    {"forwarded-proto", APLOG_INFO, RP_LINT_SERVER, check_forwarded_proto},
    {"capacity", APLOG_INFO, RP_LINT_DIRECTIVE, check_capacity},
    {"threads", APLOG_INFO, RP_LINT_WHOLE, check_threads},
    {.name = NULL},
};
