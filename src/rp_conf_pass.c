#include "rp_conf_int.h"

#include "apr_fnmatch.h"

typedef struct pair_t {
    const char *key, *value;
} pair_t;

/* A ProxyPass line, taken apart. */
typedef struct line_t {
    const char *path, *target;
    bool is_regex;
    unsigned flags; /* RP_ROUTE_* */
    apr_array_header_t *pairs;
} line_t;

#define BOTH "ProxyPass|ProxyPassMatch"

static const char *refuse_word(cmd_parms *cmd, const line_t *line, const char *word)
{
    static const char *const keywords[] = {"nocanon", "interpolate", "noquery", NULL};
    const char *nearest = rp_conf_nearest(word, keywords);

    if (cmd->path && line->target[0] == '/') {
        return BOTH " can not have a path when defined in a location: write the target alone, the "
                    "path is the location's";
    }
    return apr_psprintf(
        cmd->pool,
        "Invalid " BOTH " parameter. Parameter must be in the form 'key=value': '%s' was "
        "read%s%s%s",
        word, nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static const char *read_pair(cmd_parms *cmd, line_t *line, char *word)
{
    char *value = strchr(word, '=');
    pair_t *pair;

    if (!value) {
        return refuse_word(cmd, line, word);
    }
    *value++ = '\0';
    if (ap_cstr_casecmp(word, "mapping")) {
        pair = apr_array_push(line->pairs);
        pair->key = word;
        pair->value = value;
        return NULL;
    }
    if (!ap_cstr_casecmp(value, "servlet")) {
        line->flags |= RP_ROUTE_ENCODED | RP_ROUTE_SERVLET;
    }
    else if (!ap_cstr_casecmp(value, "encoded")) {
        line->flags |= RP_ROUTE_ENCODED;
    }
    else {
        return apr_psprintf(
            cmd->pool, "unknown mapping '%s': write mapping=encoded or mapping=servlet", value);
    }
    return NULL;
}

static bool read_keyword(line_t *line, const char *word)
{
    if (!ap_cstr_casecmp(word, "nocanon")) {
        line->flags |= RP_ROUTE_NOCANON;
    }
    else if (!ap_cstr_casecmp(word, "interpolate")) {
        line->flags |= RP_ROUTE_INTERPOLATE;
    }
    else if (!ap_cstr_casecmp(word, "noquery")) {
        line->flags |= RP_ROUTE_NOQUERY;
    }
    else {
        return false;
    }
    return true;
}

static const char *read_word(cmd_parms *cmd, line_t *line, char *word)
{
    if (!line->path && !strcmp(word, "~")) {
        if (line->is_regex) {
            return "ProxyPassMatch invalid syntax ('~' usage): it takes a regular expression "
                   "without it";
        }
        line->is_regex = true;
    }
    else if (!line->path) {
        line->path = word;
    }
    else if (!line->target) {
        line->target = word;
    }
    else if (!read_keyword(line, word)) {
        return read_pair(cmd, line, word);
    }
    return NULL;
}

static const char *read_line(cmd_parms *cmd, line_t *line, const char *args)
{
    const char *err = NULL;

    line->path = cmd->path;
    line->pairs = apr_array_make(cmd->temp_pool, 4, sizeof(pair_t));
    while (!err && *args) {
        err = read_word(cmd, line, ap_getword_conf(cmd->pool, &args));
    }
    if (!err && !line->target) {
        err = BOTH " needs a path when not defined in a location: write PATH URL, or put it into a "
                   "<Location>";
    }
    return err;
}

/* What ProxySet said by name about this backend so far, then the line's own words. */
static const char *set_options(cmd_parms *cmd, rp_backend_t *b, const line_t *line)
{
    const rp_backend_t *named = rp_conf_find_named(rp_conf_of(cmd), b);
    const char *err = NULL;
    int i;

    if (named) {
        b->opt = named->opt;
    }
    for (i = 0; !err && i < line->pairs->nelts; i++) {
        const pair_t *pair = &APR_ARRAY_IDX(line->pairs, i, pair_t);

        err = rp_conf_set_param(cmd, &b->opt, pair->key, pair->value);
    }
    return err;
}

/* Where variables stand in its name, the group is looked up at run time. */
static bool has_variable_group(const line_t *line)
{
    const char *name = strstr(line->target, "://");
    size_t n = name ? strcspn(name + 3, "/?#") : 0;
    bool expands = line->is_regex || line->flags & RP_ROUTE_INTERPOLATE;

    return expands && n && memchr(name + 3, '$', n);
}

static const char *set_group(cmd_parms *cmd, rp_route_t *route, const line_t *line)
{
    const char *err;
    int i;

    if (has_variable_group(line) && line->pairs->nelts == 0) {
        return NULL;
    }
    err = rp_conf_need_group(cmd, line->target, &route->group);
    for (i = 0; !err && i < line->pairs->nelts; i++) {
        const pair_t *pair = &APR_ARRAY_IDX(line->pairs, i, pair_t);

        err = rp_conf_set_group_param(cmd, &route->group->opt, pair->key, pair->value);
    }
    return err;
}

static const char *set_target(cmd_parms *cmd, rp_route_t *route, const line_t *line)
{
    unsigned flags = (line->is_regex ? RP_TARGET_HAS_BACKREFS : 0) |
                     (line->flags & RP_ROUTE_INTERPOLATE ? RP_TARGET_HAS_ENV : 0);
    const char *err;

    if (!strcmp(line->target, "!")) {
        route->is_excluded = true;
        return NULL;
    }
    if (rp_conf_is_group_url(line->target)) {
        route->target = line->target;
        return set_group(cmd, route, line);
    }
    route->target = rp_conf_strip_socket(cmd->pool, line->target);
    if (!route->target) {
        return "uses an invalid \"unix:\" URL: write unix:/path/to.sock|http://localhost/";
    }
    err = rp_conf_add_backend(cmd, line->target, flags, &route->backend);
    return err ? err : set_options(cmd, route->backend, line);
}

static const char *add_route(cmd_parms *cmd, rp_dir_conf_t *dir, const line_t *line)
{
    rp_route_t *route = apr_pcalloc(cmd->pool, sizeof(*route));
    const char *err;

    route->path = line->path;
    route->raw_target = line->target;
    route->flags = line->flags;
    route->in_location = cmd->path != NULL;
    route->file = cmd->directive->filename;
    route->line = cmd->directive->line_num;
    if (line->is_regex) {
        route->regex = ap_pregcomp(cmd->pool, line->path, AP_REG_EXTENDED);
        if (!route->regex) {
            return apr_psprintf(cmd->pool, "Regular expression could not be compiled: %s",
                                line->path);
        }
    }
    err = set_target(cmd, route, line);
    if (err) {
        return err;
    }
    if (route->in_location) {
        dir->route = route;
    }
    else {
        APR_ARRAY_PUSH(rp_conf_of(cmd)->routes, rp_route_t *) = route;
    }
    return NULL;
}

static const char *add_pass(cmd_parms *cmd, rp_dir_conf_t *dir, const char *args, bool is_regex)
{
    line_t line = {.is_regex = is_regex};
    const char *err = rp_conf_enter(cmd, RP_PLACE_ROUTE);

    if (err) {
        return err;
    }
    err = read_line(cmd, &line, args);
    if (err) {
        return err;
    }
    /* As mod_proxy: <Location "/a*"> with a plain ProxyPass matches by regular expression. */
    line.is_regex = line.is_regex || (cmd->path && apr_fnmatch_test(cmd->path));
    err = add_route(cmd, dir, &line);
    return err ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", err, NULL) : NULL;
}

const char *rp_conf_cmd_pass(cmd_parms *cmd, void *dir, const char *args)
{
    return add_pass(cmd, dir, args, false);
}

const char *rp_conf_cmd_pass_match(cmd_parms *cmd, void *dir, const char *args)
{
    return add_pass(cmd, dir, args, true);
}

const char *rp_conf_cmd_set(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err = rp_conf_enter(cmd, RP_PLACE_ANY);
    bool is_inside = rp_conf_find_proxy_section(cmd) != NULL;
    const char *url;

    (void)dir;
    if (!err) {
        err = ap_check_cmd_context(cmd, NOT_IN_HTACCESS);
    }
    if (err) {
        return err;
    }
    url = is_inside ? cmd->path : ap_getword_conf(cmd->pool, &args);
    err = rp_conf_is_group_url(url) ? rp_conf_set_group(cmd, url, args, is_inside)
                                    : rp_conf_set_named(cmd, url, args, is_inside);
    return err ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", err, NULL) : NULL;
}
