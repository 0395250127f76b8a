#include "rp_lint_int.h"

/* ---- the index ---- */

/* scheme://host:port of a URL in lower case; "" where there is none. */
static const char *get_authority(apr_pool_t *p, const char *url)
{
    char *text = apr_pstrmemdup(p, url, (size_t)(rp_lint_find_path(url) - url));

    ap_str_tolower(text);
    return strstr(text, "://") ? text : "";
}

static void add_to_list(apr_pool_t *p, apr_hash_t *lists, const char *key, const void *entry)
{
    apr_array_header_t *list = apr_hash_get(lists, key, APR_HASH_KEY_STRING);

    if (!list) {
        list = apr_array_make(p, 2, sizeof(void *));
        apr_hash_set(lists, key, APR_HASH_KEY_STRING, list);
    }
    APR_ARRAY_PUSH(list, const void *) = entry;
}

static const apr_array_header_t *get_list(apr_hash_t *lists, const char *key)
{
    static const apr_array_header_t none = {NULL, sizeof(void *), 0, 0, NULL};
    const apr_array_header_t *list = apr_hash_get(lists, key, APR_HASH_KEY_STRING);

    return list ? list : &none;
}

/* A URL in lower case without the slash at its end. */
static char *get_key(apr_pool_t *p, const char *url)
{
    char *key = apr_pstrdup(p, url);

    ap_str_tolower(key);
    if (rp_lint_ends_in(key, '/')) {
        key[strlen(key) - 1] = '\0';
    }
    return key;
}

/* A line and its place among those that are tried. */
typedef struct cover_t {
    const rp_mapping_t *m;
    unsigned order;
} cover_t;

static void index_mappings(rp_lint_t *lint, const rp_dir_conf_t *dir)
{
    int i;

    for (i = 0; dir && i < dir->reverse->nelts; i++) {
        const rp_mapping_t *m = &APR_ARRAY_IDX(dir->reverse, i, rp_mapping_t);
        /* A bare path matches whatever the host is. */
        const char *key = m->real[0] == '/' ? "" : get_key(lint->p, m->real);
        cover_t cover = {m, apr_hash_count(lint->reversed)};

        if (!apr_hash_get(lint->reversed, key, APR_HASH_KEY_STRING)) {
            apr_hash_set(lint->reversed, key, APR_HASH_KEY_STRING, apr_pmemdup(lint->p, &cover, sizeof(cover)));
        }
    }
}

static void index_route(rp_lint_t *lint, const rp_route_t *route)
{
    int i;

    if (route->is_excluded) {
        return;
    }
    add_to_list(lint->p, lint->targets, get_authority(lint->p, route->target), route);
    apr_hash_set(lint->targets, apr_pstrcat(lint->p, "=", get_key(lint->p, route->target), NULL), APR_HASH_KEY_STRING,
                 route);
    for (i = 0; route->group && i < route->group->members->nelts; i++) {
        add_to_list(lint->p, lint->targets,
                    get_authority(lint->p, APR_ARRAY_IDX(route->group->members, i, rp_backend_t *)->name), route);
    }
}

static const rp_dir_conf_t *get_section(const rp_lint_t *lint, int i)
{
    const core_server_config *core = ap_get_core_module_config(lint->s->module_config);

    return ap_get_module_config(APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *), &revproxy_module);
}

static int count_sections(const server_rec *s)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);

    return core->sec_url->nelts;
}

void rp_lint_index_reverse(rp_lint_t *lint)
{
    int i;

    lint->reversed = apr_hash_make(lint->p);
    lint->targets = apr_hash_make(lint->p);
    index_mappings(lint, ap_get_module_config(lint->s->lookup_defaults, &revproxy_module));
    for (i = 0; i < count_sections(lint->s); i++) {
        const rp_dir_conf_t *dir = get_section(lint, i);

        index_mappings(lint, dir);
        if (dir && dir->route) {
            index_route(lint, dir->route);
        }
    }
    for (i = 0; i < lint->conf->routes->nelts; i++) {
        index_route(lint, APR_ARRAY_IDX(lint->conf->routes, i, rp_route_t *));
    }
}

/* ---- routes without ---- */

/* The first line that maps what begins with url: its URL is a piece of this one's text. Looked up piece by piece, so
 * that thousands of lines to one backend are no matter. */
static const rp_mapping_t *find_url_cover(const rp_lint_t *lint, const char *url)
{
    const char *key = get_key(lint->p, url);
    size_t n = strlen(get_authority(lint->p, url));
    const cover_t *best = NULL, *found;

    for (; n > 0 && n <= strlen(key); n++) {
        found = apr_hash_get(lint->reversed, key, (apr_ssize_t)n);
        if (found && (!best || found->order < best->order)) {
            best = found;
        }
    }
    return best ? best->m : NULL;
}

static bool has_cover(const rp_lint_t *lint, const char *url)
{
    return find_url_cover(lint, url) || apr_hash_get(lint->reversed, "", APR_HASH_KEY_STRING);
}

static bool has_member_cover(const rp_lint_t *lint, const rp_group_t *group)
{
    int i;

    for (i = 0; group && i < group->members->nelts; i++) {
        if (has_cover(lint, APR_ARRAY_IDX(group->members, i, rp_backend_t *)->name)) {
            return true;
        }
    }
    return false;
}

static bool needs_cover(const rp_route_t *route)
{
    /* A WebSocket backend does not redirect, and of $1 in the host nothing is known. */
    return !route->is_excluded && !(route->backend && (route->backend->scheme[0] == 'w' ||
                                                       route->backend->has_variable_host));
}

static bool is_covered(const rp_lint_t *lint, const rp_route_t *route)
{
    return has_cover(lint, route->target) || has_member_cover(lint, route->group);
}

static bool is_same_but_slash(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);

    n -= n > 0 && a[n - 1] == '/';
    m -= m > 0 && b[m - 1] == '/';
    return n == m && !memcmp(a, b, n);
}

/* With ProxyPreserveHost the backend knows the public host, and with one path for both its redirects are right. */
static bool redirects_right(const rp_lint_t *lint, const rp_route_t *route)
{
    return rp_lint_keeps_host(lint) && !route->regex && is_same_but_slash(route->path, rp_lint_find_path(route->target));
}

static void check_reverse(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;

    if (needs_cover(route) && !is_covered(lint, route) && !redirects_right(lint, route)) {
        rp_lint_say_route(lint,
                          "no ProxyPassReverse for this target: redirects of the backend reach clients as they "
                          "are; to map them write ProxyPassReverse %s %s",
                          route->regex || route->path[0] == '^' ? "PATH" : route->path, route->raw_target);
    }
}

/* ---- lines without routes ---- */

static bool begins_with(const char *text, const char *start)
{
    size_t n = strlen(start);

    n -= n > 0 && start[n - 1] == '/';
    return !ap_cstr_casecmpn(text, start, n);
}

static bool is_in_rewrite(const rp_lint_t *lint, const rp_mapping_t *m)
{
    const apr_array_header_t *rules = rp_lint_get_directives(lint, "RewriteRule");
    const char *authority = get_authority(lint->p, m->real);
    int i;

    for (i = 0; i < rules->nelts; i++) {
        const char *args = APR_ARRAY_IDX(rules, i, const ap_directive_t *)->args;

        /* Where the target has a variable, it may be this one. */
        if (ap_strcasestr(args, authority) || strstr(args, "://$") || strstr(args, "://%")) {
            return true;
        }
    }
    return false;
}

/* Is there a target that begins as the line does, or the line as the target? */
static bool has_target(const rp_lint_t *lint, const rp_mapping_t *m)
{
    const apr_array_header_t *list = get_list(lint->targets, get_authority(lint->p, m->real));
    int i;

    if (apr_hash_get(lint->targets, apr_pstrcat(lint->p, "=", get_key(lint->p, m->real), NULL), APR_HASH_KEY_STRING)) {
        return true;
    }
    for (i = 0; i < list->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(list, i, const rp_route_t *);

        if (route->group || begins_with(route->target, m->real) || begins_with(m->real, route->target)) {
            return true;
        }
    }
    return false;
}

/* Does the public URL that the line makes lead to where the redirect pointed? */
static bool leads_back(const rp_lint_t *lint, const rp_mapping_t *m)
{
    const apr_array_header_t *list = get_list(lint->targets, get_authority(lint->p, m->real));
    int i;

    for (i = 0; i < list->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(list, i, const rp_route_t *);

        if (begins_with(m->pub, route->path) && begins_with(m->real, route->target) &&
            is_same_but_slash(m->pub + strlen(route->path), m->real + strlen(route->target))) {
            return true;
        }
    }
    return is_in_rewrite(lint, m);
}

/* ProxyPass / http://h/app/ and ProxyPassReverse / http://h/: a redirect to /app/x becomes /app/x here, which
 * leads to /app/app/x there. */
static void check_reverse_path(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;
    const rp_mapping_t *m;
    const char *pub;

    if (!needs_cover(route) || route->regex || route->flags & RP_ROUTE_INTERPOLATE || !route->path[0]) {
        return;
    }
    m = find_url_cover(lint, route->target);
    if (!m || m->interpolate || strlen(m->real) > strlen(route->target)) {
        return;
    }
    pub = apr_pstrcat(lint->p, m->pub, route->target + strlen(m->real), NULL);
    if (!is_same_but_slash(pub, route->path) && rp_lint_ends_in(m->pub, '/') == rp_lint_ends_in(m->real, '/') &&
        !leads_back(lint, m)) {
        rp_lint_say(lint, m->file, m->line,
                    "ProxyPassReverse %s %s: a redirect to %s becomes %s, and this target is public as %s (%s:%d): "
                    "write ProxyPassReverse %s %s",
                    m->pub, m->real, route->target, pub, route->path, route->file, route->line, route->path,
                    route->raw_target);
    }
}

static const rp_route_t *find_lonely_route(const rp_lint_t *lint, const char *path)
{
    const rp_route_t *route = apr_hash_get(lint->prefixes[0], path, APR_HASH_KEY_STRING);
    const char *other = rp_lint_ends_in(path, '/') ? apr_pstrmemdup(lint->p, path, strlen(path) - 1)
                                                   : apr_pstrcat(lint->p, path, "/", NULL);

    if (!route) {
        route = apr_hash_get(lint->prefixes[0], other, APR_HASH_KEY_STRING);
    }
    return route && !route->in_location && needs_cover(route) && !is_covered(lint, route) ? route : NULL;
}

static void for_each_mapping(rp_lint_t *lint, void (*check)(rp_lint_t *lint, const rp_dir_conf_t *, const rp_mapping_t *))
{
    const rp_dir_conf_t *own = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);
    const rp_dir_conf_t *outer = ap_get_module_config(lint->main->lookup_defaults, &revproxy_module);
    bool is_main = lint->s == lint->main;
    int i, k;

    /* A virtual host has the main server's lines and sections before its own. */
    for (i = is_main ? 0 : outer->reverse->nelts; i < own->reverse->nelts; i++) {
        check(lint, own, &APR_ARRAY_IDX(own->reverse, i, rp_mapping_t));
    }
    for (i = is_main ? 0 : count_sections(lint->main); i < count_sections(lint->s); i++) {
        const rp_dir_conf_t *dir = get_section(lint, i);

        for (k = 0; dir && k < dir->reverse->nelts; k++) {
            check(lint, dir, &APR_ARRAY_IDX(dir->reverse, k, rp_mapping_t));
        }
    }
}

static bool is_regular(const rp_mapping_t *m)
{
    return m->pub[0] == '^' || strstr(m->pub, "(.*)") || strstr(m->real, "$1");
}

static bool is_useless(const rp_lint_t *lint, const rp_mapping_t *m)
{
    return m->real[0] != '/' && !m->interpolate && !is_regular(m) && !has_target(lint, m) && !is_in_rewrite(lint, m);
}

static const rp_route_t *find_route_meant(const rp_lint_t *lint, const rp_dir_conf_t *dir, const rp_mapping_t *m)
{
    const rp_route_t *own = dir->route;

    if (own) {
        return needs_cover(own) && !is_covered(lint, own) ? own : NULL;
    }
    return find_lonely_route(lint, m->pub);
}

static void look_for_target(rp_lint_t *lint, const rp_dir_conf_t *dir, const rp_mapping_t *m)
{
    const rp_route_t *route = is_useless(lint, m) ? find_route_meant(lint, dir, m) : NULL;

    if (route) {
        rp_lint_say(lint, m->file, m->line,
                    "ProxyPassReverse %s %s: no target begins so, and %s (%s:%d) is not mapped back, so its redirects "
                    "reach clients as they are: write ProxyPassReverse %s %s",
                    m->pub, m->real, route->raw_target, route->file, route->line, route->path, route->raw_target);
    }
}

static void check_reverse_target(rp_lint_t *lint)
{
    for_each_mapping(lint, look_for_target);
}

static void look_for_use(rp_lint_t *lint, const rp_dir_conf_t *dir, const rp_mapping_t *m)
{
    if (is_useless(lint, m) && !find_route_meant(lint, dir, m)) {
        rp_lint_say(lint, m->file, m->line,
                    "ProxyPassReverse %s %s: no target begins so; right only if a backend calls itself that in its "
                    "redirects, else remove the line",
                    m->pub, m->real);
    }
}

static void check_reverse_unused(rp_lint_t *lint)
{
    for_each_mapping(lint, look_for_use);
}

static void look_for_regex(rp_lint_t *lint, const rp_dir_conf_t *dir, const rp_mapping_t *m)
{
    (void)dir;
    if (!m->interpolate && is_regular(m)) {
        rp_lint_say(lint, m->file, m->line,
                    "ProxyPassReverse %s %s: never used, it takes no regular expressions and no $1: write the two "
                    "beginnings, as in ProxyPassReverse /app/ http://127.0.0.1:3000/",
                    m->pub, m->real);
    }
}

static void check_reverse_regex(rp_lint_t *lint)
{
    for_each_mapping(lint, look_for_regex);
}

static void look_at_slash(rp_lint_t *lint, const rp_dir_conf_t *dir, const rp_mapping_t *m)
{
    bool real_slash = rp_lint_ends_in(m->real, '/');

    (void)dir;
    if (m->interpolate || is_regular(m) || real_slash == rp_lint_ends_in(m->pub, '/')) {
        return;
    }
    rp_lint_say(lint, m->file, m->line,
                "ProxyPassReverse %s %s: one ends in / and the other does not, so a redirect to %s%sx becomes %s%sx: "
                "end both in / or neither",
                m->pub, m->real, m->real, real_slash ? "" : "/", m->pub, real_slash ? "" : "/");
}

static void check_reverse_slash(rp_lint_t *lint)
{
    for_each_mapping(lint, look_at_slash);
}

/* ---- cookies ---- */

static bool is_target_path(const rp_lint_t *lint, const char *path)
{
    int i;

    for (i = 0; i < lint->conf->routes->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(lint->conf->routes, i, rp_route_t *);

        if (!route->is_excluded && is_same_but_slash(rp_lint_find_path(route->target), path)) {
            return true;
        }
    }
    return false;
}

static void check_cookie_path(rp_lint_t *lint)
{
    const rp_dir_conf_t *dir = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);
    int i;

    for (i = 0; i < dir->cookie_paths->nelts; i++) {
        const rp_mapping_t *m = &APR_ARRAY_IDX(dir->cookie_paths, i, rp_mapping_t);

        if (!is_same_but_slash(m->real, m->pub) && strlen(m->pub) > 1 && is_target_path(lint, m->pub) &&
            !is_target_path(lint, m->real)) {
            rp_lint_say(lint, m->file, m->line,
                        "ProxyPassReverseCookiePath %s %s: the backend's path comes first, so no cookie is changed: "
                        "write ProxyPassReverseCookiePath %s %s",
                        m->real, m->pub, m->pub, m->real);
        }
    }
}

static bool is_no_domain(const char *text)
{
    return strpbrk(text, "/:") != NULL;
}

static void check_cookie_domain(rp_lint_t *lint)
{
    const rp_dir_conf_t *dir = ap_get_module_config(lint->s->lookup_defaults, &revproxy_module);
    int i;

    for (i = 0; i < dir->cookie_domains->nelts; i++) {
        const rp_mapping_t *m = &APR_ARRAY_IDX(dir->cookie_domains, i, rp_mapping_t);

        if (is_no_domain(m->real) || is_no_domain(m->pub)) {
            rp_lint_say(lint, m->file, m->line,
                        "ProxyPassReverseCookieDomain %s %s: a cookie's domain has neither scheme nor port: write the "
                        "names alone, as in internal.example.com www.example.com",
                        m->real, m->pub);
        }
    }
}

const rp_lint_check_t rp_lint_reverse_checks[] = {
    {"reverse", APLOG_NOTICE, RP_LINT_ROUTE, check_reverse},
    {"reverse-path", APLOG_WARNING, RP_LINT_ROUTE, check_reverse_path},
    {"reverse-target", APLOG_WARNING, RP_LINT_SERVER, check_reverse_target},
    {"reverse-unused", APLOG_NOTICE, RP_LINT_SERVER, check_reverse_unused},
    {"reverse-regex", APLOG_WARNING, RP_LINT_SERVER, check_reverse_regex},
    {"reverse-slash", APLOG_WARNING, RP_LINT_SERVER, check_reverse_slash},
    {"cookie-path", APLOG_WARNING, RP_LINT_SERVER, check_cookie_path},
    {"cookie-domain", APLOG_WARNING, RP_LINT_SERVER, check_cookie_domain},
    {.name = NULL},
};
