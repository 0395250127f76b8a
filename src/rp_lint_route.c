#include "rp_lint_int.h"

#include "rp_uri.h"

#define SECONDS(n) ((n)*APR_USEC_PER_SEC)

/* ---- where a path ends ---- */

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

static void check_slash(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;
    bool path_slash = rp_lint_ends_in(route->path, '/');
    const char *path = route->path;

    if (route->regex || route->is_excluded || route->flags & RP_ROUTE_INTERPOLATE ||
        path_slash == rp_lint_ends_in(route->target, '/') || path[0] != '/') {
        return;
    }
    if (!path_slash) {
        rp_lint_say_route(lint,
                          "the target ends in / and the path does not, so a request for %s/x is sent "
                          "for //x there: end both in / or neither",
                          path);
    }
    else if (*rp_lint_find_path(route->target)) {
        rp_lint_say_route(lint,
                          "the path ends in / and the target does not, so %sx becomes %sx: end both "
                          "in / or neither",
                          path, route->target);
    }
    else if (route->group) {
        rp_lint_say_route(lint, "the path ends in / and the target does not, so %sx becomes the balancer %sx, which is not "
                                "there: write %s/",
                          path, route->target, route->raw_target);
    }
    else {
        rp_lint_say_route(lint,
                          "the path ends in / and the target does not, so %sx becomes the host of %sx, "
                          "which lets clients choose the host: write %s/",
                          path, route->target, route->raw_target);
    }
}

/* The plain text that a regular expression begins with, behind its ^. */
static const char *get_literal(apr_pool_t *p, const char *regex)
{
    size_t n = strcspn(regex, "\\[(.*+?{|$)");

    if (regex[0] != '^') {
        return "";
    }
    /* A quantifier is about the character before it. */
    n -= n > 1 && strchr("*?{", regex[n]) && regex[n];
    return apr_pstrmemdup(p, regex + 1, n - 1);
}

static void check_match_append(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;
    const char *path, *literal;
    size_t n;

    if (!route->regex || route->is_excluded || has_backref(route->target)) {
        return;
    }
    if (rp_lint_ends_in(route->target, '/')) {
        rp_lint_say_route(lint, "the target ends in / and the whole path is appended, so /x is sent for //x: "
                                "end the target without /, or use $1");
        return;
    }
    path = rp_lint_find_path(route->target);
    literal = get_literal(lint->p, route->path);
    n = strlen(path);
    if (n > 1 && !strncmp(path, literal, n)) {
        rp_lint_say_route(lint,
                          "without $1 in the target the whole path is appended, so %s/x is sent for %s%s/x: write "
                          "%.*s, or use $1",
                          literal, path, literal, (int)(path - route->target), route->target);
    }
}

/* ---- who chooses the host ---- */

/* Behind the character, escape or class that s points at. */
static const char *skip_token(const char *s)
{
    if (*s == '\\' && s[1]) {
        return s + 2;
    }
    if (*s != '[') {
        return s + 1;
    }
    s += s[1] == '^' ? 2 : 1;
    /* A ] that comes first is one of the class. */
    s += *s == ']';
    while (*s && *s != ']') {
        s += *s == '\\' && s[1] ? 2 : 1;
    }
    return s + (*s == ']');
}

/* Behind the group that s points at. */
static const char *skip_group(const char *s)
{
    for (s++; *s && *s != ')';) {
        s = *s == '(' ? skip_group(s) : skip_token(s);
    }
    return s + (*s == ')');
}

static bool is_named_group(const char *s)
{
    return !strncmp(s, "(?P<", 4) || !strncmp(s, "(?'", 3) ||
           (!strncmp(s, "(?<", 3) && s[3] != '=' && s[3] != '!');
}

static const char *find_group(const char *regex, int wanted)
{
    int n = 0;

    for (; *regex; regex = skip_token(regex)) {
        if (*regex == '(' && (regex[1] != '?' || is_named_group(regex)) && ++n == wanted) {
            return regex;
        }
    }
    return NULL;
}

/* What a piece of a regular expression may begin with. */
typedef enum { STARTS_OTHERWISE, STARTS_IN_SLASH_OR_IS_EMPTY, STARTS_IN_SLASH } start_t;

static start_t rate_group(const char *s);

/* One alternative of a group. */
static start_t rate_alternative(const char *s)
{
    while (!strchr(")|$", *s)) {
        const char *slash = s + (*s == '\\');
        start_t start = *s == '(' ? rate_group(s) : *slash == '/' ? STARTS_IN_SLASH : STARTS_OTHERWISE;

        s = *s == '(' ? skip_group(s) : skip_token(s);
        if (start == STARTS_OTHERWISE || (start == STARTS_IN_SLASH && (!*s || !strchr("?*{", *s)))) {
            return start;
        }
        /* It may be missing: what follows is then the beginning. */
        s += *s == '{' ? strcspn(s, "}") + (strchr(s, '}') != NULL) : strspn(s, "?*+");
    }
    return STARTS_IN_SLASH_OR_IS_EMPTY;
}

static start_t rate_group(const char *s)
{
    start_t worst, start;

    if (s[1] == '?' && s[2] != ':' && !is_named_group(s)) {
        return STARTS_OTHERWISE;
    }
    s += s[1] != '?' ? 1 : s[2] == ':' ? 3 : 3 + strcspn(s + 3, ">'") + 1;
    worst = rate_alternative(s);
    while (*s && *s != ')') {
        if (*s == '|') {
            start = rate_alternative(s + 1);
            worst = start < worst ? start : worst;
        }
        s = *s == '(' ? skip_group(s) : skip_token(s);
    }
    return worst;
}

bool rp_lint_is_path_group(const char *regex, char number, bool is_whole)
{
    const char *group = find_group(regex, number - '0');

    return group && ((is_whole && group == regex + 1 && regex[0] == '^') || rate_group(group) != STARTS_OTHERWISE);
}

/* The first variable in the host of a regular expression's target, or NULL. */
static const char *find_host_variable(const rp_route_t *route)
{
    if (!route->regex || !route->backend || !route->backend->has_variable_host) {
        return NULL;
    }
    return strchr(strstr(route->target, "://") + 3, '$');
}

static void check_host_append(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;
    const char *variable = find_host_variable(route);

    if (variable && apr_isdigit(variable[1]) && !strchr(":/", variable[-1]) &&
        !rp_lint_is_path_group(route->path, variable[1], true)) {
        rp_lint_say_route(lint,
                          "what the client sends is appended to the host name, so it can choose the "
                          "host: put a / before $%c",
                          variable[1]);
    }
}

static void check_client_host(rp_lint_t *lint)
{
    const char *variable = find_host_variable(lint->route);

    if (variable && strchr(":/", variable[-1])) {
        rp_lint_say_route(lint, "the client chooses the %s: limit it in the regular expression",
                          variable[-1] == ':' ? "port" : "host");
    }
}

/* ---- what the words are ---- */

static void check_path(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;
    bool looks_regular = route->path[0] == '^' || strstr(route->path, "(.*)") != NULL;

    if (route->regex || route->flags & RP_ROUTE_INTERPOLATE) {
        return;
    }
    if (route->in_location && (looks_regular || strchr(route->path, '('))) {
        rp_lint_say_route(lint, "the section's path is a regular expression, and ProxyPass compares it "
                                "letter by letter: write ProxyPassMatch");
    }
    else if (looks_regular || (route->target && has_backref(route->target))) {
        rp_lint_say_route(lint, "never used: ProxyPass compares its path letter by letter, and this is a regular "
                                "expression: write ProxyPassMatch");
    }
    else if (route->path[0] != '/') {
        rp_lint_say_route(lint, "never used: paths of requests begin with /");
    }
    else if (rp_lint_ends_in(route->path, '*')) {
        rp_lint_say_route(lint, "never used: the * is compared as a letter; a path covers all that begins with it, so "
                                "write it without");
    }
}

static void check_unanchored(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;

    if (route->regex && !route->in_location && route->path[0] == '/') {
        rp_lint_say_route(lint, "matches anywhere in a path, so /other%s/x, too: write ^%s",
                          *get_literal(lint->p, apr_pstrcat(lint->p, "^", route->path, NULL))
                              ? get_literal(lint->p, apr_pstrcat(lint->p, "^", route->path, NULL))
                              : "",
                          route->path);
    }
}

static void check_query(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;

    if (route->backend && strchr(route->target, '?') && !(route->flags & (RP_ROUTE_NOCANON | RP_ROUTE_ENCODED))) {
        rp_lint_say_route(lint, "the ? of the target is sent as %%3F, the client's query follows it: use "
                                "RewriteRule with [P] to add a query");
    }
}

static bool is_scheme_name(const char *host)
{
    return !strcmp(host, "http") || !strcmp(host, "https") || !strcmp(host, "ws") || !strcmp(host, "wss");
}

/* What slips in when a configuration of another server is copied, or a URL is pasted twice. */
static void check_typo(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;

    if (route->is_excluded) {
        return;
    }
    if (rp_lint_ends_in(route->target, ';')) {
        rp_lint_say_route(lint, "the ; becomes part of every path that is sent: remove it");
    }
    else if (rp_lint_ends_in(route->target, '*') && !rp_lint_ends_in(route->path, '*')) {
        rp_lint_say_route(lint, "the * is sent as it is: write the target without it, the rest of the path is appended");
    }
    else if (route->backend && is_scheme_name(route->backend->host)) {
        rp_lint_say_route(lint, "this leads to a host named '%s': a : is missing, or the URL has its scheme twice", route->backend->host);
    }
}

static void check_port(rp_lint_t *lint)
{
    const rp_backend_t *b = lint->backend;

    if (b->uds_path) {
        return;
    }
    if (!b->is_tls && (b->port == 443 || b->port == 8443)) {
        rp_lint_say_backend(lint,
                          "port %u usually speaks TLS, and this sends plain HTTP, which is answered with 400 there: "
                          "write %ss:// (and SSLProxyEngine On)",
                          b->port, b->scheme);
    }
    else if (b->is_tls && b->port == 80) {
        rp_lint_say_backend(lint, "port 80 usually speaks plain HTTP, so the TLS handshake fails: write %.*s://",
                          (int)strlen(b->scheme) - 1, b->scheme);
    }
}

/* ---- parameters ---- */

static void check_no_effect(rp_lint_t *lint)
{
    static const struct {
        unsigned bit;
        const char *name, *why;
    } idle[] = {
        {RP_OPT_LOADFACTOR, "loadfactor", "it counts among the members of a balancer"},
        {RP_OPT_LBSET, "lbset", "it counts among the members of a balancer"},
        {RP_OPT_ROUTE, "route", "it counts among the members of a balancer"},
        {RP_OPT_REDIRECT, "redirect", "it counts among the members of a balancer"},
        {RP_OPT_FLUSH_PACKETS, "flushpackets", "data is passed on as it comes"},
        {RP_OPT_FLUSH_WAIT, "flushwait", "data is passed on as it comes"},
    };
    size_t i;

    for (i = 0; lint->route->backend && i < sizeof(idle) / sizeof(idle[0]); i++) {
        if (lint->route->backend->opt.set & idle[i].bit) {
            rp_lint_say_route(lint, "%s= has no effect here: %s", idle[i].name, idle[i].why);
        }
    }
}

static void check_retry(rp_lint_t *lint)
{
    const rp_backend_t *b = lint->route->backend;

    if (b && b->opt.set & RP_OPT_RETRY) {
        rp_lint_say_route(lint, "retry= has no effect here: with mod_proxy retry=0 was the cure for a minute of 503 after "
                                "each failure, and a route to one backend tries it for each request anyway; leave it out");
    }
}

static void check_member_retry(rp_lint_t *lint)
{
    const rp_options_t *opt = &lint->backend->opt;

    if (!lint->route && opt->set & RP_OPT_RETRY && opt->retry == 0) {
        rp_lint_say_backend(lint, "with retry=0 a member that has just failed gets its share of requests all the time, and each of them "
                                  "an attempt in vain: leave it out, then one request tries it after 1, 2, 4 ... seconds");
    }
}

static void check_reuse(rp_lint_t *lint)
{
    const rp_options_t *opt = &lint->backend->opt;

    if (opt->reuse) {
        return;
    }
    rp_lint_say_backend(lint,
                      "disablereuse=On costs a new connection for each request%s; a kept connection that the backend has "
                      "closed is noticed and the request sent again where that is safe, and addressttl= follows a name "
                      "that moves: leave it out",
                      opt->set & (RP_OPT_TTL | RP_OPT_SMAX) ? ", and ttl= and smax= have no effect with it" : "");
}

static void check_limits(rp_lint_t *lint)
{
    const rp_options_t *opt = &lint->backend->opt;

    if ((opt->set & RP_OPT_SMAX) && (opt->set & RP_OPT_MAX) && opt->max > 0 && opt->smax > opt->max) {
        rp_lint_say_backend(lint,
                          "smax=%d is more than max=%d: never more than max connections are kept; write smax=%d or less",
                          opt->smax, opt->max, opt->max);
    }
}

/* 30000, 60000: hours, written by somebody who thinks in milliseconds. */
static bool looks_like_ms(apr_interval_time_t t)
{
    return t >= SECONDS(5000) && t % SECONDS(1000) == 0;
}

static void check_unit(rp_lint_t *lint)
{
    const rp_options_t *opt = &lint->backend->opt;
    const struct {
        unsigned bit;
        const char *name;
        apr_interval_time_t value;
    } times[] = {
        {RP_OPT_TIMEOUT, "timeout", opt->timeout},
        {RP_OPT_CONNECT_TIMEOUT, "connectiontimeout", opt->connect_timeout},
        {RP_OPT_TTL, "ttl", opt->ttl},
    };
    size_t i;

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (opt->set & times[i].bit && looks_like_ms(times[i].value)) {
            int n = (int)apr_time_sec(times[i].value);

            rp_lint_say_backend(lint, "%s=%d is %d hours, a bare number counts in seconds: write %s=%dms, or %s=%dh if it is meant",
                              times[i].name, n, n / 3600, times[i].name, n, times[i].name, n / 3600);
        }
    }
}

/* Browsers give up after some five minutes, most other clients and balancers in front of us sooner. */
#define PATIENCE SECONDS(300)

static void check_patience(rp_lint_t *lint)
{
    const rp_options_t *opt = &lint->backend->opt;

    if (opt->set & RP_OPT_TIMEOUT && opt->timeout > PATIENCE && !looks_like_ms(opt->timeout)) {
        rp_lint_say_backend(lint,
                          "timeout= is %d seconds, and clients give up after 300 at most: a request that takes longer is "
                          "lost work; for idle WebSockets write RevProxyTunnelIdle",
                          (int)apr_time_sec(opt->timeout));
    }
    if (opt->set & RP_OPT_CONNECT_TIMEOUT && opt->connect_timeout > SECONDS(60)) {
        rp_lint_say_backend(lint,
                          "connectiontimeout= is %d seconds: a host that does not answer for a few seconds is down; write "
                          "connectiontimeout=5",
                          (int)apr_time_sec(opt->connect_timeout));
    }
}

static bool is_proxy_timeout(const ap_directive_t *d)
{
    return rp_lint_is_named(d, "ProxyTimeout") || rp_lint_is_named(d, "RevProxyTimeout");
}

/* Do backends of some server have no other limit than the Timeout that lint->d sets? */
static bool is_only_timeout(const rp_lint_t *lint)
{
    const server_rec *s;
    bool found = false;

    for (s = lint->main; s && !found; s = s->next) {
        const rp_server_conf_t *conf = rp_conf_get_server(s);

        found = (s == lint->s || lint->s == lint->main) && conf->routes->nelts > 0 && !conf->timeout_set &&
                s->timeout == lint->s->timeout;
    }
    return found;
}

static void check_proxy_timeout_unit(rp_lint_t *lint)
{
    int n = (int)apr_time_sec(lint->conf->timeout);

    if (is_proxy_timeout(lint->d) && looks_like_ms(lint->conf->timeout)) {
        rp_lint_say_directive(lint, "this is %d hours, a bare number counts in seconds: write %dms, or %dh if it is meant",
                              n / 3600, n, n / 3600);
    }
}

static bool is_longer_than_patience(const rp_lint_t *lint)
{
    if (is_proxy_timeout(lint->d)) {
        return lint->conf->timeout > PATIENCE && !looks_like_ms(lint->conf->timeout);
    }
    return rp_lint_is_named(lint->d, "Timeout") && lint->s->timeout > PATIENCE && is_only_timeout(lint);
}

static void check_proxy_timeout(rp_lint_t *lint)
{
    if (is_longer_than_patience(lint)) {
        rp_lint_say_directive(lint, "clients give up after 300 seconds at most: a request that takes longer is lost work; "
                                    "write timeout= at the one route that needs it, and RevProxyTunnelIdle for WebSockets");
    }
}

static void check_encoded_slashes(rp_lint_t *lint)
{
    const core_dir_config *core = ap_get_core_module_config(lint->s->lookup_defaults);

    if (!lint->route->is_excluded && lint->route->flags & RP_ROUTE_NOCANON && !core->allow_encoded_slashes) {
        rp_lint_say_route(lint, "nocanon passes %%2F on, but httpd answers 404 to such requests before: write "
                                "AllowEncodedSlashes NoDecode in this server");
    }
}

/* ---- sections that are no place for routes ---- */

static void check_nowhere(rp_lint_t *lint)
{
    int i;

    for (i = 0; i < lint->conf->sections->nelts; i++) {
        const rp_section_t *section = APR_ARRAY_IDX(lint->conf->sections, i, rp_section_t *);
        const rp_dir_conf_t *dir = ap_get_module_config(section->dir_conf, &revproxy_module);

        lint->route = dir ? dir->route : NULL;
        if (lint->route && !apr_hash_get(lint->seen, &lint->route, sizeof(lint->route))) {
            apr_hash_set(lint->seen, apr_pmemdup(lint->p, &lint->route, sizeof(lint->route)), sizeof(lint->route), dir);
            rp_lint_say_route(lint, "no effect inside <Proxy>: write it in the server or a <Location>");
        }
    }
}

const rp_lint_check_t rp_lint_route_checks[] = {
    {"slash", APLOG_WARNING, RP_LINT_ROUTE, check_slash},
    {"match-append", APLOG_WARNING, RP_LINT_ROUTE, check_match_append},
    {"host-append", APLOG_WARNING, RP_LINT_ROUTE, check_host_append},
    {"client-host", APLOG_INFO, RP_LINT_ROUTE, check_client_host},
    {"path", APLOG_WARNING, RP_LINT_ROUTE, check_path},
    {"unanchored", APLOG_INFO, RP_LINT_ROUTE, check_unanchored},
    {"query", APLOG_WARNING, RP_LINT_ROUTE, check_query},
    {"typo", APLOG_WARNING, RP_LINT_ROUTE, check_typo},
    {"port", APLOG_WARNING, RP_LINT_BACKEND, check_port},
    {"no-effect", APLOG_INFO, RP_LINT_ROUTE, check_no_effect},
    {"retry", APLOG_NOTICE, RP_LINT_ROUTE, check_retry},
    {"retry", APLOG_NOTICE, RP_LINT_BACKEND, check_member_retry},
    {"reuse", APLOG_NOTICE, RP_LINT_BACKEND, check_reuse},
    {"limits", APLOG_WARNING, RP_LINT_BACKEND, check_limits},
    {"unit", APLOG_WARNING, RP_LINT_BACKEND, check_unit},
    {"patience", APLOG_NOTICE, RP_LINT_BACKEND, check_patience},
    {"unit", APLOG_WARNING, RP_LINT_DIRECTIVE, check_proxy_timeout_unit},
    {"patience", APLOG_NOTICE, RP_LINT_DIRECTIVE, check_proxy_timeout},
    {"encoded-slashes", APLOG_INFO, RP_LINT_ROUTE, check_encoded_slashes},
    {"nowhere", APLOG_WARNING, RP_LINT_SERVER, check_nowhere},
    {.name = NULL},
};
