#include "rp_lint_int.h"

/* ---- the index ---- */

static const char *get_key(apr_pool_t *p, const char *name)
{
    char *key = apr_pstrdup(p, name);

    ap_str_tolower(key);
    return key;
}

/* A balancer:// URL ends like a word. */
static void note_balancers(rp_lint_t *lint, const char *args)
{
    const char *found;

    for (; (found = ap_strcasestr(args, "balancer://")) != NULL; args = found + 11) {
        size_t n = 11 + strcspn(found + 11, "/?# \t\"'>|)");
        char *name = apr_pstrmemdup(lint->p, found, n);

        ap_str_tolower(name);
        apr_hash_set(lint->balancers, strpbrk(name, "$%") ? "*" : name, APR_HASH_KEY_STRING, "");
    }
}

/* Where a balancer is only defined or its answers are mapped, it is not used. */
static bool leads_somewhere(const ap_directive_t *d)
{
    static const char *const others[] = {"<Proxy", "<RevProxy", "ProxySet", "RevProxySet", "BalancerMember",
                                         "RevBalancerMember", "ProxyPassReverse", "RevProxyPassReverse"};
    size_t i;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (rp_lint_is_named(d, others[i])) {
            return false;
        }
    }
    return true;
}

static void index_directives(rp_lint_t *lint, const ap_directive_t *d)
{
    for (; d; d = d->next) {
        const char *key = get_key(lint->p, d->directive);
        apr_array_header_t *list = apr_hash_get(lint->directives, key, APR_HASH_KEY_STRING);

        if (!list) {
            list = apr_array_make(lint->p, 4, sizeof(const ap_directive_t *));
            apr_hash_set(lint->directives, key, APR_HASH_KEY_STRING, list);
        }
        APR_ARRAY_PUSH(list, const ap_directive_t *) = d;
        if (leads_somewhere(d)) {
            note_balancers(lint, d->args);
        }
        index_directives(lint, d->first_child);
    }
}

static const char *get_host_key(apr_pool_t *p, const char *file, unsigned line)
{
    return apr_psprintf(p, "%u:%s", line, file);
}

void rp_lint_index_tree(rp_lint_t *lint)
{
    server_rec *s;

    lint->directives = apr_hash_make(lint->p);
    lint->balancers = apr_hash_make(lint->p);
    lint->hosts = apr_hash_make(lint->p);
    for (s = lint->main->next; s; s = s->next) {
        if (s->defn_name) {
            apr_hash_set(lint->hosts, get_host_key(lint->p, s->defn_name, s->defn_line_number), APR_HASH_KEY_STRING, s);
        }
    }
    index_directives(lint, ap_conftree);
}

/* ---- asking it ---- */

const apr_array_header_t *rp_lint_get_directives(const rp_lint_t *lint, const char *name)
{
    static const apr_array_header_t none = {NULL, sizeof(const ap_directive_t *), 0, 0, NULL};
    const apr_array_header_t *list = apr_hash_get(lint->directives, get_key(lint->p, name), APR_HASH_KEY_STRING);

    return list ? list : &none;
}

server_rec *rp_lint_get_host(const rp_lint_t *lint, const ap_directive_t *d)
{
    server_rec *s;

    while (d && ap_cstr_casecmp(d->directive, "<VirtualHost")) {
        d = d->parent;
    }
    s = d ? apr_hash_get(lint->hosts, get_host_key(lint->p, d->filename, (unsigned)d->line_num), APR_HASH_KEY_STRING) : NULL;
    return s ? s : lint->main;
}

const ap_directive_t *rp_lint_find_directive(const rp_lint_t *lint, const char *name, const char *value,
                                             const server_rec *s)
{
    const apr_array_header_t *list = rp_lint_get_directives(lint, name);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const ap_directive_t *d = APR_ARRAY_IDX(list, i, const ap_directive_t *);
        const server_rec *host = s ? rp_lint_get_host(lint, d) : NULL;

        if ((!s || host == s || host == lint->main) &&
            (!value || !ap_cstr_casecmp(rp_lint_get_word(lint->p, d, 0), value))) {
            return d;
        }
    }
    return NULL;
}

const char *rp_lint_get_word(apr_pool_t *p, const ap_directive_t *d, int n)
{
    const char *args = d->args;
    const char *word = ap_getword_conf(p, &args);

    while (n-- > 0) {
        word = ap_getword_conf(p, &args);
    }
    return word;
}

bool rp_lint_is_named(const ap_directive_t *d, const char *name)
{
    return !ap_cstr_casecmp(d->directive, name);
}

bool rp_lint_is_on(const rp_lint_t *lint, const char *name, const server_rec *s)
{
    const apr_array_header_t *list = rp_lint_get_directives(lint, name);
    bool is_on = false, is_own = false;
    int i;

    for (i = 0; i < list->nelts; i++) {
        const ap_directive_t *d = APR_ARRAY_IDX(list, i, const ap_directive_t *);
        const server_rec *host = rp_lint_get_host(lint, d);

        if (rp_lint_is_in_server(d) && (host == s || (host == lint->main && !is_own))) {
            is_on = !ap_cstr_casecmp(rp_lint_get_word(lint->p, d, 0), "on");
            is_own = host == s;
        }
    }
    return is_on;
}

/* ---- mod_proxy is there, too ---- */

static bool is_plain_pass(const ap_directive_t *d)
{
    return rp_lint_is_named(d, "ProxyPass") || rp_lint_is_named(d, "ProxyPassMatch");
}

/* Has the line a target that mod_proxy_http would have to serve? */
static bool has_http_target(const ap_directive_t *d)
{
    return ap_strcasestr(d->args, "http://") || ap_strcasestr(d->args, "https://");
}

static void check_no_http(rp_lint_t *lint)
{
    if (is_plain_pass(lint->d) && has_http_target(lint->d) && rp_conf_has_module("mod_proxy.c") &&
        !rp_conf_has_module("mod_proxy_http.c")) {
        rp_lint_say_directive(lint, "mod_proxy is loaded, so this line is its own, and without mod_proxy_http every request "
                                    "gets 500: unload mod_proxy (a2dismod proxy), or write Rev%s",
                              lint->d->directive);
    }
}

static bool has_own_route(const rp_lint_t *lint)
{
    static const char *const names[] = {"RevProxyPass", "RevProxyPassMatch", "RevProxySet", "<RevProxy",
                                        "RevBalancerMember"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (rp_lint_get_directives(lint, names[i])->nelts > 0) {
            return true;
        }
    }
    return false;
}

static void check_beside(rp_lint_t *lint)
{
    const ap_directive_t *d = rp_lint_find_directive(lint, "ProxyPass", NULL, NULL);

    if (d && rp_conf_has_module("mod_proxy.c") && rp_conf_has_module("mod_proxy_http.c") && !has_own_route(lint)) {
        rp_lint_say(lint, d->filename, d->line_num,
                    "%s %s: mod_proxy is loaded, so this line and all like it are its own, and mod_revproxy has nothing to "
                    "do: unload mod_proxy and mod_proxy_http, or write Rev%s",
                    d->directive, d->args, d->directive);
    }
}

/* ---- access ---- */

/* Does one of these lines keep anybody out? */
static bool has_guard(const ap_directive_t *d)
{
    for (; d; d = d->next) {
        if (rp_lint_is_named(d, "Require") && ap_cstr_casecmpn(d->args, "all granted", 11)) {
            return true;
        }
        if (rp_lint_is_named(d, "Deny") || rp_lint_is_named(d, "SSLRequire") ||
            (rp_lint_is_named(d, "SSLVerifyClient") && !ap_cstr_casecmp(d->args, "require"))) {
            return true;
        }
        if (has_guard(d->first_child)) {
            return true;
        }
    }
    return false;
}

static bool has_require(const ap_directive_t *d)
{
    for (; d; d = d->next) {
        if (rp_lint_is_named(d, "Require") || has_require(d->first_child)) {
            return true;
        }
    }
    return false;
}

/* Does <Location> outer hold for all that inner holds for? */
static bool covers(apr_pool_t *p, const ap_directive_t *outer, const ap_directive_t *inner)
{
    const char *wide = rp_lint_get_word(p, outer, 0), *narrow = rp_lint_get_word(p, inner, 0);
    size_t n = strcspn(wide, ">");

    if (!rp_lint_is_named(outer, "<Location") || !rp_lint_is_named(inner, "<Location") || wide[0] != '/' ||
        strncmp(wide, narrow, n) != 0) {
        return false;
    }
    return wide[n - 1] == '/' || strchr("/>", narrow[n]);
}

/* Settings of one place may be spread over several sections, and a section that requires nothing itself has what the
 * sections around it require. */
static bool is_guarded(const rp_lint_t *lint, const ap_directive_t *section)
{
    const apr_array_header_t *all = rp_lint_get_directives(lint, section->directive);
    bool is_open = has_require(section->first_child);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const ap_directive_t *other = APR_ARRAY_IDX(all, i, const ap_directive_t *);
        const server_rec *host = rp_lint_get_host(lint, other);
        bool is_same = !strcmp(other->args, section->args);

        if ((host == lint->s || host == lint->main) && (is_same || (!is_open && covers(lint->p, other, section))) &&
            has_guard(other->first_child)) {
            return true;
        }
    }
    return false;
}

/* <VirtualHost 127.0.0.1:8081 [::1]:8081> */
static bool is_local_host(apr_pool_t *p, const ap_directive_t *section)
{
    const char *word;
    int n;

    for (n = 0; *(word = rp_lint_get_word(p, section, n)) && *word != '>'; n++) {
        if (strncmp(word, "127.", 4) != 0 && strncmp(word, "[::1]", 5) != 0 && ap_cstr_casecmpn(word, "localhost", 9)) {
            return false;
        }
    }
    return n > 0;
}

/* Is there a section around the directive that lets in only some? */
static bool is_private(const rp_lint_t *lint, const ap_directive_t *d)
{
    const ap_directive_t *section;

    for (section = d->parent; section; section = section->parent) {
        if (rp_lint_is_named(section, "<VirtualHost") ? is_local_host(lint->p, section) : is_guarded(lint, section)) {
            return true;
        }
    }
    return false;
}

static void check_manager(rp_lint_t *lint)
{
    const char *handler;

    if (!rp_lint_is_named(lint->d, "SetHandler")) {
        return;
    }
    handler = rp_lint_get_word(lint->p, lint->d, 0);
    if (ap_cstr_casecmp(handler, "balancer-manager") && ap_cstr_casecmp(handler, "revproxy-balancer-manager")) {
        return;
    }
    if (!is_private(lint, lint->d)) {
        rp_lint_say_directive(lint, "everybody may look at the balancers and change them: add Require local, or Require ip "
                                    "10.0.0.0/8, to its <Location>");
    }
}

/* ---- what is carried over from mod_proxy ---- */

static void check_env(rp_lint_t *lint)
{
    static const char *const names[] = {"proxy-nokeepalive", "proxy-initial-not-pooled", "force-proxy-request-1.0"};
    size_t i;

    if (!rp_lint_is_named(lint->d, "SetEnv")) {
        return;
    }
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!ap_cstr_casecmp(rp_lint_get_word(lint->p, lint->d, 0), names[i])) {
            rp_lint_say_directive(lint, "costs a new connection for each request%s; a kept connection that the backend has "
                                        "closed is noticed and the request sent again where that is safe: leave it out",
                                  i == 1 ? " that is a client's first" : "");
        }
    }
}

static void check_error_override(rp_lint_t *lint)
{
    if (rp_lint_is_named(lint->d, "ProxyErrorOverride") && !ap_cstr_casecmp(lint->d->args, "on")) {
        rp_lint_say_directive(lint, "the backend's own answers of 400 and above, an API's JSON and login pages with 401 "
                                    "among them, are replaced: name the statuses, as in ProxyErrorOverride On 502 503 504");
    }
}

const rp_lint_check_t rp_lint_tree_checks[] = {
    {"no-http", APLOG_WARNING, RP_LINT_DIRECTIVE, check_no_http},
    {"beside", APLOG_WARNING, RP_LINT_WHOLE, check_beside},
    {"manager", APLOG_WARNING, RP_LINT_DIRECTIVE, check_manager},
    {"env", APLOG_NOTICE, RP_LINT_DIRECTIVE, check_env},
    {"error-override", APLOG_INFO, RP_LINT_DIRECTIVE, check_error_override},
    {.name = NULL},
};
