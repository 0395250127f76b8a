#include "rp_lint_int.h"

/* mod_rewrite's rules, as far as their text tells: what becomes of them with [P] is ours. */

/* Is this flag in "[P,L]"? */
static bool has_flag(const char *flags, const char *flag)
{
    size_t n = strlen(flag);

    while (*flags) {
        flags += strspn(flags, "[], ");
        if (!ap_cstr_casecmpn(flags, flag, n) && strchr(",] =", flags[n])) {
            return true;
        }
        flags += strcspn(flags, ",]");
    }
    return false;
}

static bool is_rule(const ap_directive_t *d)
{
    return rp_lint_is_named(d, "RewriteRule");
}

static const char *get_flags(const rp_lint_t *lint, const ap_directive_t *rule)
{
    return rp_lint_get_word(lint->p, rule, 2);
}

bool rp_lint_is_proxying(const rp_lint_t *lint, const ap_directive_t *rule)
{
    const char *flags = get_flags(lint, rule);

    return is_rule(rule) && (has_flag(flags, "P") || has_flag(flags, "proxy"));
}

/* Paths begin with a slash there; in sections for directories they do not. */
bool rp_lint_is_in_server(const ap_directive_t *d)
{
    return !d->parent || rp_lint_is_named(d->parent, "<VirtualHost");
}

static const ap_directive_t *get_first_sibling(const ap_directive_t *d)
{
    return d->parent ? d->parent->first_child : ap_conftree;
}

/* Rules of the main server are used in virtual hosts that say so, or in all of them. */
static bool is_inherited(const rp_lint_t *lint)
{
    const apr_array_header_t *list = rp_lint_get_directives(lint, "RewriteOptions");
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (ap_strcasestr(APR_ARRAY_IDX(list, i, const ap_directive_t *)->args, "inherit")) {
            return lint->s == lint->main;
        }
    }
    return false;
}

bool rp_lint_is_asleep(const rp_lint_t *lint, const ap_directive_t *rule)
{
    return rp_lint_is_in_server(rule) && !rp_lint_is_on(lint, "RewriteEngine", lint->s) && !is_inherited(lint);
}

static void check_rewrite_off(rp_lint_t *lint)
{
    if (rp_lint_is_proxying(lint, lint->d) && rp_lint_is_asleep(lint, lint->d)) {
        rp_lint_say_directive(lint, "never used: write RewriteEngine On in this server");
    }
}

/* "http://h$1" with a group that does not begin with the path's slash. */
static void check_rewrite_host(rp_lint_t *lint)
{
    const char *target, *host, *variable;

    if (!rp_lint_is_proxying(lint, lint->d)) {
        return;
    }
    target = rp_lint_get_word(lint->p, lint->d, 1);
    host = strstr(target, "://");
    variable = host ? strchr(host + 3, '$') : NULL;
    if (!variable || variable >= rp_lint_find_path(target) || !apr_isdigit(variable[1]) || strchr(":/", variable[-1])) {
        return;
    }
    if (!rp_lint_is_path_group(rp_lint_get_word(lint->p, lint->d, 0), variable[1], rp_lint_is_in_server(lint->d))) {
        rp_lint_say_directive(lint,
                              "what the client sends is appended to the host name, so it can choose the host: put a / "
                              "before $%c",
                              variable[1]);
    }
}

static bool takes_all(const char *pattern)
{
    static const char *const all[] = {"^", ".*", "(.*)", "^(.*)", "^(.*)$", "^.*$", "^/", "^/(.*)", "^/(.*)$", "/(.*)", "/(.*)$",
                                      "^/?(.*)", "^/?(.*)$", "^(/.*)$", "^/.*$"};
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!strcmp(pattern, all[i])) {
            return true;
        }
    }
    return false;
}

/* Does the rule decide whether later ones are looked at, by [C] or [S=1]? */
static bool is_gate(const char *flags)
{
    return has_flag(flags, "C") || has_flag(flags, "chain") || has_flag(flags, "S") || has_flag(flags, "skip");
}

static bool has_condition(const rp_lint_t *lint, const ap_directive_t *rule)
{
    const ap_directive_t *d;
    bool is_conditional = false;

    for (d = get_first_sibling(rule); d && d != rule; d = d->next) {
        if (is_rule(d) && is_gate(get_flags(lint, d))) {
            return true;
        }
        is_conditional = rp_lint_is_named(d, "RewriteCond") || (is_conditional && !is_rule(d));
    }
    return is_conditional;
}

static const ap_directive_t *find_next_rule(const rp_lint_t *lint, const ap_directive_t *d)
{
    for (d = d->next; d; d = d->next) {
        if (rp_lint_is_proxying(lint, d)) {
            return d;
        }
    }
    return NULL;
}

static void check_rewrite_order(rp_lint_t *lint)
{
    const ap_directive_t *later;

    if (!rp_lint_is_proxying(lint, lint->d) || !takes_all(rp_lint_get_word(lint->p, lint->d, 0)) || has_condition(lint, lint->d)) {
        return;
    }
    later = find_next_rule(lint, lint->d);
    if (later) {
        rp_lint_say(lint, later->filename, later->line_num,
                    "RewriteRule %s: never used: RewriteRule %s (%s:%d) comes first and takes all requests; put this rule "
                    "and its RewriteConds before it",
                    later->args, lint->d->args, lint->d->filename, lint->d->line_num);
    }
}

/* ---- loops ---- */

/* Does the request get as it is, past other rules, to this one? With one path there as here they decide as before. */
static bool comes_unchanged(const rp_lint_t *lint, const ap_directive_t *rule, const char *path)
{
    const ap_directive_t *d;

    for (d = get_first_sibling(rule); d && d != rule; d = d->next) {
        if (is_rule(d) && !(rp_lint_is_proxying(lint, d) && strspn(path, "/$%") > 0 && strcspn(path, "$%") <= 1)) {
            return false;
        }
    }
    return true;
}

/* The server that a request by this rule comes to, if that is in this httpd; NULL: elsewhere, or not known. */
static const server_rec *find_own_target(const rp_lint_t *lint, const char *target, const char **path)
{
    const char *host = strstr(target, "://");
    size_t n = host ? strcspn(host + 3, "/$%") : 0;
    bool is_tls = !ap_cstr_casecmpn(target, "https:", 6) || !ap_cstr_casecmpn(target, "wss:", 4);
    const rp_dir_conf_t *dir = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);
    const char *name;
    apr_uri_t uri;
    request_rec *r;

    if (n == 0 || apr_uri_parse(lint->p, apr_pstrmemdup(lint->p, target, (size_t)(host + 3 - target) + n), &uri) != APR_SUCCESS ||
        !uri.hostname || host[3 + n - 1] == ':') {
        return NULL;
    }
    *path = host + 3 + n;
    uri.port = uri.port_str ? uri.port : is_tls ? 443 : 80;
    if (!rp_lint_is_own_address(lint, uri.hostname, uri.port)) {
        return NULL;
    }
    name = dir->preserve_host == RP_ON && lint->s->server_hostname ? lint->s->server_hostname : uri.hostname;
    r = rp_lint_make_request(lint->p, lint->main, name, uri.port, "/");
    return r ? r->server : NULL;
}

static void check_rewrite_loop(rp_lint_t *lint)
{
    const char *target, *path = "";

    if (!rp_lint_is_proxying(lint, lint->d) || !rp_lint_is_in_server(lint->d) || rp_lint_is_asleep(lint, lint->d) ||
        !takes_all(rp_lint_get_word(lint->p, lint->d, 0)) || has_condition(lint, lint->d)) {
        return;
    }
    target = rp_lint_get_word(lint->p, lint->d, 1);
    if (find_own_target(lint, target, &path) == lint->s && comes_unchanged(lint, lint->d, path)) {
        rp_lint_say_directive(lint, "a loop: this httpd itself listens at %.*s, and the request takes this rule again, until all "
                                    "connections are in use: write the backend's own port",
                              (int)(path - target), target);
    }
}

/* ---- WebSockets by RewriteCond ---- */

/* Of patterns that negate or compare nothing is known. */
static bool matches(apr_pool_t *p, const char *pattern, bool ignores_case, const char *text)
{
    const ap_regex_t *regex;

    if (pattern[0] == '=') {
        return !(ignores_case ? ap_cstr_casecmp(pattern + 1, text) : strcmp(pattern + 1, text));
    }
    regex = strchr("!<>-", pattern[0]) ? NULL : ap_pregcomp(p, pattern, ignores_case ? AP_REG_ICASE : 0);
    return !regex || ap_regexec(regex, text, 0, NULL, 0) == 0;
}

static void check_ws_condition(rp_lint_t *lint)
{
    const char *test, *pattern;
    bool ignores_case;

    if (!rp_lint_is_named(lint->d, "RewriteCond")) {
        return;
    }
    test = rp_lint_get_word(lint->p, lint->d, 0);
    pattern = rp_lint_get_word(lint->p, lint->d, 1);
    ignores_case = has_flag(rp_lint_get_word(lint->p, lint->d, 2), "NC");
    if (!ap_cstr_casecmp(test, "%{HTTP:Connection}") && ap_strcasestr(pattern, "upgrade") &&
        !matches(lint->p, pattern, ignores_case, "keep-alive, Upgrade")) {
        rp_lint_say_directive(lint, "Firefox sends 'Connection: keep-alive, Upgrade', which this does not match: write "
                                    "RewriteCond %%{HTTP:Connection} upgrade [NC]");
    }
    else if (!ap_cstr_casecmp(test, "%{HTTP:Upgrade}") && !ignores_case && strcspn(pattern, "WS") < strlen(pattern) &&
             ap_strcasestr(pattern, "websocket")) {
        rp_lint_say_directive(lint, "browsers send 'Upgrade: websocket' in small letters, which this does not match: write "
                                    "RewriteCond %%{HTTP:Upgrade} websocket [NC]");
    }
}

static void check_ws_redirect(rp_lint_t *lint)
{
    const char *target;

    if (!is_rule(lint->d) || rp_lint_is_proxying(lint, lint->d)) {
        return;
    }
    target = rp_lint_get_word(lint->p, lint->d, 1);
    if (!ap_cstr_casecmpn(target, "ws://", 5) || !ap_cstr_casecmpn(target, "wss://", 6)) {
        rp_lint_say_directive(lint, "without [P] this is a redirect, which browsers do not follow for a WebSocket: write [P,L]");
    }
}

const rp_lint_check_t rp_lint_rewrite_checks[] = {
    {"rewrite-off", APLOG_WARNING, RP_LINT_DIRECTIVE, check_rewrite_off},
    {"rewrite-host", APLOG_WARNING, RP_LINT_DIRECTIVE, check_rewrite_host},
    {"rewrite-order", APLOG_WARNING, RP_LINT_DIRECTIVE, check_rewrite_order},
    {"loop", APLOG_WARNING, RP_LINT_DIRECTIVE, check_rewrite_loop},
    {"ws-condition", APLOG_WARNING, RP_LINT_DIRECTIVE, check_ws_condition},
    {"ws-redirect", APLOG_WARNING, RP_LINT_DIRECTIVE, check_ws_redirect},
    {.name = NULL},
};
