#include "rp_conf_int.h"
#include "rp_conf_member.h"

#include <stdlib.h>

#include "apr_fnmatch.h"
#include "apr_optional_hooks.h"
#include "util_mutex.h"

APLOG_USE_MODULE(revproxy);

/* Members are named once here: create, merge and the drift test go by these lists. */

/* clang-format off */
#define SERVER_SCALARS(X)                \
    X(via, RP_VIA_OFF)                   \
    X(timeout, 0)                        \
    X(io_buffer, 8192)                   \
    X(receive_buffer, 0)                 \
    X(bad_header, RP_BAD_HEADER_ERROR)   \
    X(max_forwards, -1)                  \
    X(status_mode, 0)                    \
    X(source_address, NULL)              \
    X(head_max, 131072)                  \
    X(fields_max, 500)                   \
    X(tunnel_max, 0)                     \
    X(check_body_max, 1048576)           \
    X(tunnel_drain, 300 * APR_USEC_PER_SEC) \
    X(balancer_growth, 5)                \
    X(heartbeat_file, NULL)

#define SERVER_SWITCHES(X) \
    X(pass_inherit)        \
    X(balancer_inherit)

#define DIR_SCALARS(X) \
    X(park_after, 0)   \
    X(tunnel_idle, 0)  \
    X(tunnel_life, 0)

#define DIR_SWITCHES(X) \
    X(preserve_host)    \
    X(add_headers)      \
    X(error_override)   \
    X(interpolate_env)  \
    X(forward_continue) \
    X(ws_fallback)      \
    X(park)             \
    X(client_abort)     \
    X(splice)           \
    X(tls_resume)       \
    X(refuse_dots)

#define DIR_MAPPINGS(X) \
    X(reverse)          \
    X(cookie_paths)     \
    X(cookie_domains)
/* clang-format on */

#define CREATE_SCALAR(member, value) conf->member = value;
#define CREATE_SWITCH(member) conf->member = RP_UNSET;
#define MERGE_SCALAR(member, value)                                                                \
    conf->member = add->member##_set ? add->member : base->member;                                 \
    conf->member##_set = add->member##_set || base->member##_set;
#define MERGE_SWITCH(member) conf->member = add->member != RP_UNSET ? add->member : base->member;

/* Set by post_config, read by any thread after it. */
static apr_array_header_t *all_backends;
static apr_array_header_t *all_groups;

void *rp_conf_create_server(apr_pool_t *p, server_rec *s)
{
    rp_server_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->server = s;
    conf->routes = apr_array_make(p, 4, sizeof(rp_route_t *));
    conf->sections = apr_array_make(p, 4, sizeof(rp_section_t *));
    conf->backends = apr_array_make(p, 4, sizeof(rp_backend_t *));
    conf->groups = apr_array_make(p, 4, sizeof(rp_group_t *));
    conf->blocked = apr_array_make(p, 1, sizeof(const char *));
    conf->check_exprs = apr_array_make(p, 1, sizeof(rp_check_expr_t *));
    conf->check_templates = apr_array_make(p, 1, sizeof(rp_check_template_t *));
    conf->lint_words = apr_array_make(p, 1, sizeof(rp_lint_word_t));
    SERVER_SCALARS(CREATE_SCALAR)
    SERVER_SWITCHES(CREATE_SWITCH)
    return conf;
}

void *rp_conf_merge_server(apr_pool_t *p, void *basev, void *addv)
{
    const rp_server_conf_t *base = basev, *add = addv;
    rp_server_conf_t *conf = apr_pmemdup(p, add, sizeof(*add));

    SERVER_SCALARS(MERGE_SCALAR)
    SERVER_SWITCHES(MERGE_SWITCH)
    conf->sections = apr_array_append(p, base->sections, add->sections);
    conf->blocked = apr_array_append(p, base->blocked, add->blocked);
    conf->lint_words = apr_array_append(p, base->lint_words, add->lint_words);
    if (conf->pass_inherit != RP_OFF) {
        conf->routes = apr_array_append(p, base->routes, add->routes);
    }
    if (conf->pass_inherit != RP_OFF || conf->balancer_inherit != RP_OFF) {
        conf->backends = apr_array_append(p, base->backends, add->backends);
        conf->groups = rp_conf_merge_groups(p, base->groups, add->groups);
    }
    return conf;
}

void *rp_conf_create_dir(apr_pool_t *p, char *path)
{
    rp_dir_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->path = path ? apr_pstrdup(p, path) : "";
    DIR_SCALARS(CREATE_SCALAR)
    DIR_SWITCHES(CREATE_SWITCH)
#define CREATE(member) conf->member = apr_array_make(p, 1, sizeof(rp_mapping_t));
    DIR_MAPPINGS(CREATE)
#undef CREATE
    conf->error_codes = apr_array_make(p, 1, sizeof(int));
    return conf;
}

static int compare_codes(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Union of two sorted lists, sorted, without doubles. */
static apr_array_header_t *merge_codes(apr_pool_t *p, const apr_array_header_t *base,
                                       const apr_array_header_t *add)
{
    apr_array_header_t *all = apr_array_append(p, base, add);
    int i, n = 0;

    if (all->nelts == 0) {
        return all;
    }
    qsort(all->elts, (size_t)all->nelts, sizeof(int), compare_codes);
    for (i = 1; i < all->nelts; i++) {
        if (APR_ARRAY_IDX(all, i, int) != APR_ARRAY_IDX(all, n, int)) {
            APR_ARRAY_IDX(all, ++n, int) = APR_ARRAY_IDX(all, i, int);
        }
    }
    all->nelts = n + 1;
    return all;
}

void *rp_conf_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    const rp_dir_conf_t *base = basev, *add = addv;
    rp_dir_conf_t *conf = apr_pmemdup(p, add, sizeof(*add));

    DIR_SCALARS(MERGE_SCALAR)
    DIR_SWITCHES(MERGE_SWITCH)
#define MERGE(member) conf->member = apr_array_append(p, base->member, add->member);
    DIR_MAPPINGS(MERGE)
#undef MERGE
    conf->route = add->route ? add->route : base->route;
    conf->forwarded = add->forwarded ? add->forwarded : base->forwarded;
    conf->error_codes = merge_codes(p, base->error_codes, add->error_codes);
    return conf;
}

rp_server_conf_t *rp_conf_of(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, &revproxy_module);
}

static const char *place_advice(rp_place_t place)
{
    return place == RP_PLACE_SERVER ? "it belongs in the main server or a <VirtualHost>"
                                    : "it belongs in the main server, a <VirtualHost>, a "
                                      "<Location> or a <LocationMatch>";
}

static const char *check_place(cmd_parms *cmd, rp_place_t place)
{
    const char *err;
    const char *end = cmd->cmd->name[0] == '<' ? ">" : "";

    if (place == RP_PLACE_ANY) {
        return NULL;
    }
    if (place == RP_PLACE_SERVER && !(cmd->override & RSRC_CONF)) {
        err = cmd->directive && cmd->directive->parent
                  ? apr_pstrcat(cmd->temp_pool, "not allowed in ",
                                cmd->directive->parent->directive, "> context", NULL)
                  : "not allowed here";
        return apr_pstrcat(cmd->pool, cmd->cmd->name, end, " ", err, ": ", place_advice(place),
                           NULL);
    }
    err = ap_check_cmd_context(cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_HTACCESS);
    return err ? apr_pstrcat(cmd->pool, err, ": ", place_advice(place), NULL) : NULL;
}

/* A plain name beside a real mod_proxy. httpd takes a directive that everybody declined for done,
 * so one whose own module is missing has to be refused here. */
static const char *leave_to_mod_proxy(cmd_parms *cmd)
{
    static const struct {
        const char *prefix, *owner;
    } others[] = {
        {"ProxyWebsocket", "mod_proxy_wstunnel.c"},
        {"ProxyHC", "mod_proxy_hcheck.c"},
        {"Heartbeat", "mod_lbmethod_heartbeat.c"},
    };
    const char *name = cmd->cmd->name;
    size_t i;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (!ap_cstr_casecmpn(name, others[i].prefix, strlen(others[i].prefix)) &&
            !ap_find_linked_module(others[i].owner)) {
            return apr_psprintf(
                cmd->pool,
                "Invalid command '%s': mod_proxy is loaded, so plain names are its own, and "
                "this one needs %s; the directive of mod_revproxy is Rev%s",
                name, others[i].owner, name);
        }
    }
    return DECLINE_CMD;
}

const char *rp_conf_enter(cmd_parms *cmd, rp_place_t place)
{
    const char *name = cmd->cmd->name + (cmd->cmd->name[0] == '<');

    if (ap_cstr_casecmpn(name, "Rev", 3) && rp_conf_has_module("mod_proxy.c")) {
        return leave_to_mod_proxy(cmd);
    }
    return check_place(cmd, place);
}

const rp_server_conf_t *rp_conf_get_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &revproxy_module);
}

const rp_dir_conf_t *rp_conf_get_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &revproxy_module);
}

int rp_conf_count_backends(void)
{
    return all_backends ? all_backends->nelts : 0;
}

rp_backend_t *rp_conf_get_backend(int id)
{
    return APR_ARRAY_IDX(all_backends, id, rp_backend_t *);
}

const apr_array_header_t *rp_conf_get_groups(void)
{
    return all_groups;
}

rp_group_t *rp_conf_find_group(const rp_server_conf_t *conf, const char *url)
{
    int i;
    size_t n;

    for (i = 0; i < conf->groups->nelts; i++) {
        rp_group_t *group = APR_ARRAY_IDX(conf->groups, i, rp_group_t *);

        n = strlen(group->name);
        if (!ap_cstr_casecmpn(url, group->name, n) && (url[n] == '\0' || url[n] == '/')) {
            return group;
        }
    }
    return NULL;
}

apr_interval_time_t rp_conf_get_timeout(const rp_backend_t *b, const server_rec *s)
{
    const rp_server_conf_t *conf = rp_conf_get_server(s);

    if (b->opt.set & RP_OPT_TIMEOUT) {
        return b->opt.timeout;
    }
    return conf->timeout_set ? conf->timeout : s->timeout;
}

apr_interval_time_t rp_conf_get_connect_timeout(const rp_backend_t *b, const server_rec *s)
{
    return b->opt.set & RP_OPT_CONNECT_TIMEOUT ? b->opt.connect_timeout : rp_conf_get_timeout(b, s);
}

/* Shorter than this a timeout would take pauses of a healthy backend for its end. */
#define CHECK_TIMEOUT_MIN apr_time_from_sec(5)

apr_interval_time_t rp_conf_get_check_timeout(const rp_backend_t *member, apr_interval_time_t interval)
{
    apr_interval_time_t longest = rp_conf_get_timeout(member, member->server);
    apr_interval_time_t usual = interval > CHECK_TIMEOUT_MIN ? interval : CHECK_TIMEOUT_MIN;

    if (member->opt.set & RP_OPT_CHECK_TIMEOUT) {
        return member->opt.check.timeout;
    }
    return usual < longest ? usual : longest;
}

/* mod_ssl finishes the SSLProxy* settings of a section in this hook. */
#define RP_HOOK_DECLARE(type) type
APR_DECLARE_EXTERNAL_HOOK(rp, RP_HOOK, int, section_post_config,
                          (apr_pool_t * p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s,
                           ap_conf_vector_t *section))
APR_IMPLEMENT_OPTIONAL_HOOK_RUN_ALL(rp, RP_HOOK, int, section_post_config,
                                    (apr_pool_t * p, apr_pool_t *plog, apr_pool_t *ptemp,
                                     server_rec *s, ap_conf_vector_t *section),
                                    (p, plog, ptemp, s, section), OK, DECLINED)

int rp_conf_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    static const char *const mutexes[] = {"proxy", "proxy-balancer-shm"};
    size_t i;

    (void)ptemp;
    all_backends = NULL;
    all_groups = NULL;
    if (rp_conf_has_module("mod_proxy.c")) {
        rp_conf_retire_stand_ins();
        return OK;
    }
    /* So that a "Mutex file:... proxy" in the configuration stays valid. */
    for (i = 0; i < sizeof(mutexes) / sizeof(mutexes[0]); i++) {
        apr_status_t rv = ap_mutex_register(pconf, mutexes[i], NULL, APR_LOCK_DEFAULT, 0);

        if (rv != APR_SUCCESS) {
            ap_log_perror(APLOG_MARK, APLOG_CRIT, rv, plog, "failed to register %s mutex",
                          mutexes[i]);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

bool rp_conf_is_in_section(const rp_section_t *section, const char *url, int n, ap_regmatch_t *groups)
{
    if (section->regex) {
        return !ap_regexec(section->regex, url, (apr_size_t)n, groups, 0);
    }
    return section->is_glob ? apr_fnmatch(section->pattern, url, 0) == APR_SUCCESS
                            : !strncmp(url, section->pattern, strlen(section->pattern));
}

static ap_conf_vector_t *find_section(const rp_server_conf_t *conf, const char *name)
{
    int i;

    for (i = 0; i < conf->sections->nelts; i++) {
        const rp_section_t *section = APR_ARRAY_IDX(conf->sections, i, rp_section_t *);

        if (!section->regex && !section->is_glob &&
            rp_conf_is_same_name(section->pattern, name)) {
            return section->dir_conf;
        }
    }
    return NULL;
}

static void number_backends(const apr_array_header_t *backends, ap_conf_vector_t *section,
                            const rp_server_conf_t *conf)
{
    int i;

    for (i = 0; i < backends->nelts; i++) {
        rp_backend_t *b = APR_ARRAY_IDX(backends, i, rp_backend_t *);

        if (b->id < 0) {
            b->id = all_backends->nelts;
            b->section = section ? section : find_section(conf, b->name);
            APR_ARRAY_PUSH(all_backends, rp_backend_t *) = b;
        }
    }
}

/* Places are the same for all children, as they are made before there are any. */
static void number_places(const rp_roster_t *roster, ap_conf_vector_t *section)
{
    int i;

    for (i = roster->configured; i < roster->size; i++) {
        rp_backend_t *b = roster->members[i];

        if (b->id < 0) {
            b->id = all_backends->nelts;
            b->section = section;
            APR_ARRAY_PUSH(all_backends, rp_backend_t *) = b;
        }
    }
}

static void number_groups(const rp_server_conf_t *conf)
{
    int i;

    for (i = 0; i < conf->groups->nelts; i++) {
        rp_group_t *group = APR_ARRAY_IDX(conf->groups, i, rp_group_t *);

        number_backends(group->members, find_section(conf, group->name), conf);
        if (group->id < 0) {
            group->id = all_groups->nelts;
            rp_conf_make_roster(all_groups->pool, group, all_groups);
            APR_ARRAY_PUSH(all_groups, rp_group_t *) = group;
            number_places(group->roster, find_section(conf, group->name));
        }
    }
}

int rp_conf_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                        server_rec *main_server)
{
    server_rec *s;
    int i, rc;

    all_backends = apr_array_make(pconf, 8, sizeof(rp_backend_t *));
    all_groups = apr_array_make(pconf, 4, sizeof(rp_group_t *));
    for (s = main_server; s; s = s->next) {
        const rp_server_conf_t *conf = rp_conf_get_server(s);

        number_backends(conf->backends, NULL, conf);
        number_groups(conf);
        rp_conf_adopt_log_levels(s);
        for (i = 0; i < conf->sections->nelts; i++) {
            rp_section_t *section = APR_ARRAY_IDX(conf->sections, i, rp_section_t *);

            rc = rp_run_section_post_config(pconf, plog, ptemp, s, section->dir_conf);
            if (rc != OK && rc != DECLINED) {
                return HTTP_INTERNAL_SERVER_ERROR;
            }
        }
    }
    return OK;
}
