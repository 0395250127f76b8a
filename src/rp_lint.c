#include "rp_lint_int.h"

#include "http_log.h"
#include "http_main.h"

APLOG_USE_MODULE(revproxy);

static const rp_lint_check_t *const tables[] = {
    rp_lint_route_checks, rp_lint_order_checks, rp_lint_reverse_checks, rp_lint_tls_checks,  rp_lint_group_checks,
    rp_lint_tree_checks,  rp_lint_rewrite_checks, rp_lint_host_checks,  rp_lint_server_checks,
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* Lines of one check of level notice that configtest shows: hundreds of routes may be without a
 * ProxyPassReverse, and that may be meant. */
#define NOTICES 5

/* ---- reports ---- */

static int *get_count(const rp_lint_t *lint, const char *name)
{
    int *count = apr_hash_get(lint->counts, name, APR_HASH_KEY_STRING);

    if (!count) {
        count = apr_pcalloc(lint->p, sizeof(*count));
        apr_hash_set(lint->counts, name, APR_HASH_KEY_STRING, count);
    }
    return count;
}

/* With it all is shown, at configtest and in the error log. */
static bool shows_all(const rp_lint_t *lint)
{
    return APLOG_IS_LEVEL(lint->main, APLOG_INFO);
}

/* httpd shows a notice whatever its LogLevel is. */
static int choose_level(const rp_lint_t *lint)
{
    if (lint->check->level != APLOG_NOTICE || shows_all(lint)) {
        return lint->check->level;
    }
    return lint->is_configtest && ++*get_count(lint, lint->check->name) <= NOTICES ? APLOG_NOTICE : APLOG_INFO;
}

static void report_counts(const rp_lint_t *lint)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(lint->p, lint->counts); hi; hi = apr_hash_next(hi)) {
        const char *name = apr_hash_this_key(hi);
        int more = *(const int *)apr_hash_this_val(hi) - NOTICES;

        if (more > 0) {
            ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, lint->main,
                         "lint: %d more of this kind: LogLevel revproxy:info shows them, RevProxyLint -%s none [%s]", more,
                         name, name);
        }
    }
}

/* To the main server's log: a virtual host's is not open at configtest. */
static void report(const rp_lint_t *lint, const char *file, int line, const char *text)
{
    const char *key = apr_psprintf(lint->p, "%s:%d:%s", file, line, text);
    int level;

    if (apr_hash_get(lint->said, key, APR_HASH_KEY_STRING)) {
        return;
    }
    apr_hash_set(lint->said, key, APR_HASH_KEY_STRING, key);
    *lint->is_refused |= lint->check->level <= APLOG_ERR;
    level = choose_level(lint);
    ap_log_error(APLOG_MARK, level, 0, lint->main, "lint: %s:%d: %s [%s]", file, line, text,
                 lint->check->name);
}

void rp_lint_say(const rp_lint_t *lint, const char *file, int line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(lint, file, line, apr_pvsprintf(lint->p, fmt, args));
    va_end(args);
}

void rp_lint_say_route(const rp_lint_t *lint, const char *fmt, ...)
{
    const rp_route_t *route = lint->route;
    const char *text;
    va_list args;

    va_start(args, fmt);
    text = apr_pvsprintf(lint->p, fmt, args);
    va_end(args);
    rp_lint_say(lint, route->file, route->line, "ProxyPass%s %s %s: %s", route->regex ? "Match" : "", route->path,
                route->raw_target, text);
}

void rp_lint_say_backend(const rp_lint_t *lint, const char *fmt, ...)
{
    const rp_backend_t *b = lint->backend;
    const char *text;
    va_list args;

    va_start(args, fmt);
    text = apr_pvsprintf(lint->p, fmt, args);
    va_end(args);
    if (lint->route) {
        rp_lint_say_route(lint, "%s", text);
    }
    else {
        rp_lint_say(lint, b->file, b->line, "BalancerMember %s: %s", b->name, text);
    }
}

void rp_lint_say_directive(const rp_lint_t *lint, const char *fmt, ...)
{
    const char *text;
    va_list args;

    va_start(args, fmt);
    text = apr_pvsprintf(lint->p, fmt, args);
    va_end(args);
    rp_lint_say(lint, lint->d->filename, lint->d->line_num, "%s %s%s: %s", lint->d->directive, lint->d->args,
                lint->d->directive[0] == '<' && !strchr(lint->d->args, '>') ? ">" : "", text);
}

/* ---- texts ---- */

bool rp_lint_ends_in(const char *text, char c)
{
    size_t n = strlen(text);

    return n > 0 && text[n - 1] == c;
}

const char *rp_lint_find_path(const char *target)
{
    const char *host = strstr(target, "://");

    return host ? host + 3 + strcspn(host + 3, "/?#") : target + strlen(target);
}

/* ---- which checks run ---- */

/* A word without + and - speaks of all checks. */
static bool is_about(const char *word, const char *name)
{
    return (word[0] != '-' && word[0] != '+') || !ap_cstr_casecmp(word + 1, name);
}

static bool switches_off(const char *word)
{
    return word[0] == '-' || !ap_cstr_casecmp(word, "Off");
}

static bool is_silent(const rp_server_conf_t *conf, const char *name)
{
    int i;

    for (i = conf->lint_words->nelts; i-- > 0;) {
        const rp_lint_word_t *word = &APR_ARRAY_IDX(conf->lint_words, i, rp_lint_word_t);

        if (is_about(word->text, name)) {
            return switches_off(word->text);
        }
    }
    return false;
}

static void run_checks(rp_lint_t *lint, rp_lint_scope_t scope)
{
    size_t i;

    for (i = 0; i < TABLES; i++) {
        for (lint->check = tables[i]; lint->check->name; lint->check++) {
            if (lint->check->scope == scope && !is_silent(lint->conf, lint->check->name)) {
                lint->check->run(lint);
            }
        }
    }
}

static bool is_check(const char *name)
{
    const rp_lint_check_t *check;
    size_t i;

    for (i = 0; i < TABLES; i++) {
        for (check = tables[i]; check->name; check++) {
            if (!ap_cstr_casecmp(check->name, name)) {
                return true;
            }
        }
    }
    return false;
}

/* Names in RevProxyLint that no check has. */
static bool has_unknown_word(const server_rec *main)
{
    const server_rec *s;
    bool has_unknown = false;
    int i;

    for (s = main; s; s = s->next) {
        const apr_array_header_t *words = rp_conf_get_server(s)->lint_words;

        for (i = 0; i < words->nelts; i++) {
            const rp_lint_word_t *word = &APR_ARRAY_IDX(words, i, rp_lint_word_t);

            if (strchr("+-", word->text[0]) && !is_check(word->text + 1)) {
                ap_log_error(APLOG_MARK, APLOG_ERR, 0, main,
                             "%s:%d: RevProxyLint %s: there is no check of this name; the name of a check stands in "
                             "brackets at the end of what it reports",
                             word->file, word->line, word->text);
                has_unknown = true;
            }
        }
    }
    return has_unknown;
}

/* ---- the walk ---- */

const apr_array_header_t *rp_lint_get_servers(apr_pool_t *p, server_rec *main)
{
    apr_array_header_t *servers = apr_array_make(p, 8, sizeof(server_rec *));
    server_rec *s;
    int i, n = 0;

    for (s = main->next; s; s = s->next) {
        n++;
    }
    APR_ARRAY_PUSH(servers, server_rec *) = main;
    for (i = 0; i < n; i++) {
        APR_ARRAY_PUSH(servers, server_rec *) = NULL;
    }
    /* httpd's list has the latest one first. */
    for (s = main->next; s; s = s->next) {
        APR_ARRAY_IDX(servers, n--, server_rec *) = s;
    }
    return servers;
}

const rp_group_t *rp_lint_get_group(const rp_lint_t *lint, const rp_route_t *route)
{
    return route->group ? rp_conf_find_group(lint->conf, route->group->name) : NULL;
}

bool rp_lint_keeps_host(const rp_lint_t *lint)
{
    const rp_dir_conf_t *own = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);

    return (lint->dir->preserve_host != RP_UNSET ? lint->dir : own)->preserve_host == RP_ON;
}

static bool is_first_look(rp_lint_t *lint, const rp_route_t *route)
{
    const rp_route_t **key;

    if (apr_hash_get(lint->seen, &route, sizeof(route))) {
        return false;
    }
    key = apr_pmemdup(lint->p, &route, sizeof(route));
    apr_hash_set(lint->seen, key, sizeof(route), route);
    return true;
}

static void look_at_backend(rp_lint_t *lint, const rp_backend_t *backend)
{
    lint->backend = backend;
    if (backend) {
        run_checks(lint, RP_LINT_BACKEND);
    }
}

static void look_at_route(rp_lint_t *lint, const rp_route_t *route, int rank, const rp_dir_conf_t *dir)
{
    lint->route = route;
    lint->rank = rank;
    lint->dir = dir;
    if (is_first_look(lint, route)) {
        run_checks(lint, RP_LINT_ROUTE);
        look_at_backend(lint, route->backend);
    }
    rp_lint_note_route(lint);
}

static void look_at_routes(rp_lint_t *lint)
{
    const rp_dir_conf_t *own = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);
    const core_server_config *core = ap_get_core_module_config(lint->s->module_config);
    int i;

    /* In the order in which they are tried: the last Location comes first. */
    for (i = core->sec_url->nelts; i-- > 0;) {
        const rp_dir_conf_t *dir =
            ap_get_module_config(APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *), &revproxy_module);

        if (dir && dir->route) {
            look_at_route(lint, dir->route, -1, dir);
        }
    }
    for (i = 0; i < lint->conf->routes->nelts; i++) {
        look_at_route(lint, APR_ARRAY_IDX(lint->conf->routes, i, rp_route_t *), i, own);
    }
}

static void look_at_members(rp_lint_t *lint, const rp_group_t *group)
{
    int i;

    lint->route = NULL;
    lint->dir = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);
    for (i = 0; i < group->members->nelts; i++) {
        const rp_backend_t *member = APR_ARRAY_IDX(group->members, i, const rp_backend_t *);

        if (member->server == lint->s) {
            look_at_backend(lint, member);
        }
    }
}

/* A virtual host has the main server's groups, too. */
static void look_at_groups(rp_lint_t *lint)
{
    int i;

    for (i = 0; i < lint->conf->groups->nelts; i++) {
        lint->group = APR_ARRAY_IDX(lint->conf->groups, i, rp_group_t *);
        if (lint->group->server == lint->s) {
            run_checks(lint, RP_LINT_GROUP);
            look_at_members(lint, lint->group);
        }
    }
}

static void look_at_server(rp_lint_t *lint, server_rec *s)
{
    lint->s = s;
    lint->conf = rp_conf_get_server(s);
    lint->prefixes[0] = apr_hash_make(lint->p);
    lint->prefixes[1] = apr_hash_make(lint->p);
    rp_lint_index_reverse(lint);
    look_at_routes(lint);
    look_at_groups(lint);
    run_checks(lint, RP_LINT_SERVER);
}

static void look_at_directives(rp_lint_t *lint, const ap_directive_t *d)
{
    for (; d; d = d->next) {
        lint->d = d;
        lint->s = rp_lint_get_host(lint, d);
        lint->conf = rp_conf_get_server(lint->s);
        run_checks(lint, RP_LINT_DIRECTIVE);
        look_at_directives(lint, d->first_child);
    }
}

/* Returns false where a check of level error found something. */
static bool check_all(apr_pool_t *p, server_rec *main, bool is_configtest)
{
    bool is_refused = false;
    rp_lint_t lint = {.p = p, .main = main, .is_configtest = is_configtest, .is_refused = &is_refused};
    const apr_array_header_t *servers = rp_lint_get_servers(p, main);
    int i;

    lint.seen = apr_hash_make(p);
    lint.said = apr_hash_make(p);
    lint.counts = apr_hash_make(p);
    rp_lint_index_tree(&lint);
    for (i = 0; i < servers->nelts; i++) {
        look_at_server(&lint, APR_ARRAY_IDX(servers, i, server_rec *));
    }
    look_at_directives(&lint, ap_conftree);
    lint.s = main;
    lint.conf = rp_conf_get_server(main);
    run_checks(&lint, RP_LINT_WHOLE);
    report_counts(&lint);
    return !is_refused;
}

int rp_lint_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    if (has_unknown_word(s)) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST && !check_all(ptemp, s, true)) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

int rp_lint_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    /* httpd reads its configuration twice when it starts. */
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        /* One broken route is no reason to leave the others without a server. */
        (void)check_all(ptemp, s, false);
    }
    return OK;
}
