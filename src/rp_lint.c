#include "rp_lint_int.h"

#include "apr_hash.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"

#include "rp_uri.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* One run of the rules. */
typedef struct lint_t {
    apr_pool_t *p;
    server_rec *main, *s;         /* the main server, the one looked at */
    const rp_server_conf_t *conf; /* of s */
    apr_hash_t *seen; /* routes already looked at: a virtual host repeats the main server's */
} lint_t;

/* Reports go to the main server's log: a virtual host's is not open at configtest. */
static void report(const lint_t *lint, int level, const rp_route_t *route, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void report(const lint_t *lint, int level, const rp_route_t *route, const char *fmt, ...)
{
    va_list args;
    const char *text;

    va_start(args, fmt);
    text = apr_pvsprintf(lint->p, fmt, args);
    va_end(args);
    ap_log_error(APLOG_MARK, level, 0, lint->main, "lint: %s:%d: ProxyPass%s %s %s: %s",
                 route->file, route->line, route->regex ? "Match" : "", route->path,
                 route->raw_target, text);
}

static bool ends_in_slash(const char *text)
{
    size_t n = strlen(text);

    return n > 0 && text[n - 1] == '/';
}

static bool has_path(const char *target)
{
    const char *host = strstr(target, "://");

    return host && strchr(host + 3, '/');
}

/* ---- rules about one route ---- */

/* Without $1 in it, a regular expression's target gets the whole path appended. */
static bool has_backref(const char *target)
{
    for (; *target; target++) {
        if (target[0] == '$' && apr_isdigit(target[1])) {
            return true;
        }
    }
    return false;
}

static void check_slash(const lint_t *lint, const rp_route_t *route)
{
    bool path_slash = ends_in_slash(route->path), target_slash = ends_in_slash(route->target);
    const char *path = route->path;

    if (route->regex && target_slash && !has_backref(route->target)) {
        report(lint, APLOG_WARNING, route,
               "the target ends in / and the whole path is appended, so /x is sent for //x: "
               "end the target without /, or use $1");
    }
    if (route->regex || route->flags & RP_ROUTE_INTERPOLATE || path_slash == target_slash ||
        path[0] != '/') {
        return;
    }
    if (target_slash) {
        report(lint, APLOG_WARNING, route,
               "the target ends in / and the path does not, so a request for %s/x is sent "
               "for //x there: end both in / or neither",
               path);
    }
    else if (has_path(route->target)) {
        report(lint, APLOG_WARNING, route,
               "the path ends in / and the target does not, so %sx becomes %sx: end both "
               "in / or neither",
               path, route->target);
    }
    else {
        report(lint, APLOG_WARNING, route,
               "the path ends in / and the target does not, so %sx becomes the host of %sx, "
               "which lets clients choose the host: write %s/",
               path, route->target, route->raw_target);
    }
}

/* Offset in a regular expression of its group number `wanted`, or -1. */
static int find_group(const char *regex, int wanted)
{
    int i, n = 0;
    bool is_class = false;

    for (i = 0; regex[i]; i++) {
        if (regex[i] == '\\' && regex[i + 1]) {
            i++;
        }
        else if (regex[i] == '[' || regex[i] == ']') {
            is_class = regex[i] == '[';
        }
        else if (regex[i] == '(' && !is_class && (regex[i + 1] != '?' || regex[i + 2] == '<')) {
            if (++n == wanted) {
                return i;
            }
        }
    }
    return -1;
}

/* A variable in the host is fine only if it begins with the path's slash: "http://h$1" and "(/.*)".
 */
static bool is_path_only(const rp_route_t *route, const char *variable)
{
    int group = find_group(route->path, variable[1] - '0');
    const char *text = group < 0 ? "" : route->path + group;

    return text[0] == '(' && text[1] == '/';
}

static void check_host_variable(const lint_t *lint, const rp_route_t *route)
{
    const char *host, *variable;

    if (!route->regex || !route->backend->has_variable_host) {
        return;
    }
    host = strstr(route->target, "://") + 3;
    variable = strchr(host, '$');
    if (variable && variable > host && variable[-1] == ':') {
        report(lint, APLOG_INFO, route,
               "the client chooses the port: limit it in the regular expression");
    }
    else if (variable && apr_isdigit(variable[1]) && variable > host && !is_path_only(route, variable)) {
        report(lint, APLOG_WARNING, route,
               "what the client sends is appended to the host name, so it can choose the "
               "host: put a / before $%c",
               variable[1]);
    }
    else if (variable == host) {
        report(lint, APLOG_INFO, route,
               "the client chooses the host: limit it in the regular expression");
    }
}

static void check_path(const lint_t *lint, const rp_route_t *route)
{
    if (route->regex) {
        return;
    }
    if (route->in_location && (route->path[0] == '^' || strchr(route->path, '('))) {
        report(lint, APLOG_WARNING, route,
               "the section's path is a regular expression, and ProxyPass compares it "
               "letter by letter: write ProxyPassMatch");
    }
    else if (route->path[0] != '/' && !(route->flags & RP_ROUTE_INTERPOLATE)) {
        report(lint, APLOG_WARNING, route, "never used: paths of requests begin with /");
    }
}

static void check_target(const lint_t *lint, const rp_route_t *route)
{
    const char *query = strchr(route->target, '?');

    if (query && !(route->flags & (RP_ROUTE_NOCANON | RP_ROUTE_ENCODED))) {
        report(lint, APLOG_WARNING, route,
               "the ? of the target is sent as %%3F, the client's query follows it: use "
               "RewriteRule with [P] to add a query");
    }
}

static void check_params(const lint_t *lint, const rp_route_t *route)
{
    static const struct {
        unsigned bit;
        const char *name, *why;
    } idle[] = {
        {RP_OPT_RETRY, "retry", "a route to one backend tries it for each request"},
        {RP_OPT_LOADFACTOR, "loadfactor", "it counts among the members of a balancer"},
        {RP_OPT_LBSET, "lbset", "it counts among the members of a balancer"},
        {RP_OPT_ROUTE, "route", "it counts among the members of a balancer"},
        {RP_OPT_REDIRECT, "redirect", "it counts among the members of a balancer"},
        {RP_OPT_FLUSH_PACKETS, "flushpackets", "data is passed on as it comes"},
        {RP_OPT_FLUSH_WAIT, "flushwait", "data is passed on as it comes"},
    };
    const rp_options_t *opt = &route->backend->opt;
    size_t i;

    for (i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        if (opt->set & idle[i].bit) {
            report(lint, APLOG_INFO, route, "%s= has no effect here: %s", idle[i].name,
                   idle[i].why);
        }
    }
    if ((opt->set & RP_OPT_SMAX) && (opt->set & RP_OPT_MAX) && opt->max > 0 &&
        opt->smax > opt->max) {
        report(lint, APLOG_WARNING, route,
               "smax=%d is more than max=%d: never more than max connections are kept", opt->smax,
               opt->max);
    }
    if (!opt->reuse && opt->set & (RP_OPT_TTL | RP_OPT_SMAX)) {
        report(lint, APLOG_INFO, route, "ttl= and smax= have no effect with disablereuse=On");
    }
}

/* ---- TLS: mod_ssl's settings are its own, so the directives themselves are looked for ---- */

static bool is_switched_on(const ap_directive_t *d)
{
    return (!ap_cstr_casecmp(d->directive, "SSLProxyEngine") ||
            !ap_cstr_casecmp(d->directive, "TLSProxyEngine")) &&
           !ap_cstr_casecmpn(d->args, "on", 2);
}

static bool is_host_of(const ap_directive_t *d, const server_rec *s)
{
    return s->defn_name && !strcmp(d->filename, s->defn_name) &&
           d->line_num == (int)s->defn_line_number;
}

/* Is TLS to backends switched on in these directives or <Proxy> sections, for server s (NULL: any)?
 */
static bool has_tls(const ap_directive_t *d, const server_rec *s)
{
    bool is_host;

    for (; d; d = d->next) {
        is_host = !ap_cstr_casecmp(d->directive, "<VirtualHost");
        if (is_switched_on(d)) {
            return true;
        }
        if (d->first_child && (!is_host || !s || is_host_of(d, s)) && has_tls(d->first_child, s)) {
            return true;
        }
    }
    return false;
}

static void check_tls(const lint_t *lint, const rp_route_t *route)
{
    const server_rec *s = route->backend->server;

    /* A route of the main server serves every host that may switch it on. */
    if (route->backend->is_tls && !has_tls(ap_conftree, s->is_virtual ? s : NULL)) {
        report(lint, APLOG_WARNING, route,
               "the target wants TLS and SSLProxyEngine is not on here, so every request "
               "fails: load mod_ssl and write SSLProxyEngine On");
    }
}

/* ---- ProxyPassReverse ---- */

static bool covers_target(const rp_mapping_t *mapping, const rp_route_t *route)
{
    size_t n = strlen(mapping->real);

    if (mapping->real[0] == '/') {
        return true;
    }
    n -= n > 0 && mapping->real[n - 1] == '/';
    return !ap_cstr_casecmpn(mapping->real, route->target, n);
}

static bool has_reverse(const rp_dir_conf_t *dir, const rp_route_t *route)
{
    int i;

    for (i = 0; dir && i < dir->reverse->nelts; i++) {
        if (covers_target(&APR_ARRAY_IDX(dir->reverse, i, rp_mapping_t), route)) {
            return true;
        }
    }
    return false;
}

/* In the server, in the route's own section, or in any other one. */
static bool is_reversed(const lint_t *lint, const rp_route_t *route)
{
    const core_server_config *core = ap_get_core_module_config(lint->s->module_config);
    int i;

    if (has_reverse(ap_get_module_config(lint->s->lookup_defaults, &revproxy_module), route)) {
        return true;
    }
    for (i = 0; i < core->sec_url->nelts; i++) {
        if (has_reverse(ap_get_module_config(APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *),
                                             &revproxy_module),
                        route)) {
            return true;
        }
    }
    return false;
}

static void check_reverse(const lint_t *lint, const rp_route_t *route)
{
    /* A WebSocket backend does not redirect. */
    if (route->backend->scheme[0] == 'w' || route->backend->has_variable_host ||
        is_reversed(lint, route)) {
        return;
    }
    report(lint, APLOG_INFO, route,
           "no ProxyPassReverse for this target: redirects of the backend reach clients as they "
           "are; to map them write ProxyPassReverse %s %s",
           route->regex ? "PATH" : route->path, route->raw_target);
}

/* ---- rules about several routes ---- */

/* Does the earlier route take every request that the later one could serve? */
static bool is_shadow(const rp_route_t *earlier, const rp_route_t *later)
{
    if (earlier->regex || (earlier->flags | later->flags) & RP_ROUTE_INTERPOLATE ||
        (earlier->backend && earlier->backend->scheme[0] == 'w')) {
        return false;
    }
    /* mapping= routes are matched in an earlier phase. */
    if (later->flags & RP_ROUTE_ENCODED && !(earlier->flags & RP_ROUTE_ENCODED)) {
        return false;
    }
    return later->regex ? !strcmp(earlier->path, "/")
                        : rp_uri_match_prefix(earlier->path, later->path) > 0;
}

static void check_shadow(const lint_t *lint, int index)
{
    const rp_route_t *route = APR_ARRAY_IDX(lint->conf->routes, index, rp_route_t *);
    int i;

    for (i = 0; i < index; i++) {
        const rp_route_t *earlier = APR_ARRAY_IDX(lint->conf->routes, i, rp_route_t *);

        if (is_shadow(earlier, route)) {
            report(lint, APLOG_WARNING, route,
                   "never used: ProxyPass %s %s (%s:%d) comes first and takes its requests; "
                   "put the longer path before it",
                   earlier->path, earlier->raw_target, earlier->file, earlier->line);
            return;
        }
    }
}

static void check_route(const lint_t *lint, const rp_route_t *route)
{
    check_path(lint, route);
    if (route->is_excluded) {
        return;
    }
    check_slash(lint, route);
    if (!route->backend) {
        return;
    }
    check_host_variable(lint, route);
    check_target(lint, route);
    check_params(lint, route);
    check_tls(lint, route);
    check_reverse(lint, route);
}

static bool is_first_look(const lint_t *lint, const rp_route_t *route)
{
    if (apr_hash_get(lint->seen, &route, sizeof(route))) {
        return false;
    }
    apr_hash_set(lint->seen, apr_pmemdup(lint->p, &route, sizeof(route)), sizeof(route), route);
    return true;
}

static void check_locations(const lint_t *lint)
{
    const core_server_config *core = ap_get_core_module_config(lint->s->module_config);
    int i;

    for (i = 0; i < core->sec_url->nelts; i++) {
        const rp_dir_conf_t *dir = ap_get_module_config(
            APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *), &revproxy_module);

        if (dir && dir->route && is_first_look(lint, dir->route)) {
            check_route(lint, dir->route);
        }
    }
}

static void check_sections(const lint_t *lint)
{
    int i;

    for (i = 0; i < lint->conf->sections->nelts; i++) {
        const rp_section_t *section = APR_ARRAY_IDX(lint->conf->sections, i, rp_section_t *);
        const rp_dir_conf_t *dir = ap_get_module_config(section->dir_conf, &revproxy_module);

        if (dir && dir->route && is_first_look(lint, dir->route)) {
            report(lint, APLOG_WARNING, dir->route,
                   "no effect inside <Proxy>: write it in the server or a <Location>");
        }
    }
}

static void check_server(const lint_t *lint)
{
    int i;

    for (i = 0; i < lint->conf->routes->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(lint->conf->routes, i, rp_route_t *);

        if (is_first_look(lint, route)) {
            check_route(lint, route);
            check_shadow(lint, i);
        }
    }
    check_locations(lint);
    check_sections(lint);
}

static void check_all(apr_pool_t *p, server_rec *main_server)
{
    lint_t lint = {.p = p, .main = main_server, .seen = apr_hash_make(p)};

    for (lint.s = main_server; lint.s; lint.s = lint.s->next) {
        lint.conf = rp_conf_get_server(lint.s);
        check_server(&lint);
        rp_lint_check_groups(p, main_server, lint.s);
    }
}

int rp_lint_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        check_all(ptemp, s);
    }
    return OK;
}

int rp_lint_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    /* httpd reads its configuration twice when it starts. */
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        check_all(ptemp, s);
    }
    return OK;
}
