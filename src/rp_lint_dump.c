#include "rp_lint_int.h"

#include "http_main.h"

const char *rp_lint_describe_flags(apr_pool_t *p, unsigned flags)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {RP_ROUTE_NOCANON, " nocanon"},
        {RP_ROUTE_INTERPOLATE, " interpolate"},
        {RP_ROUTE_NOQUERY, " noquery"},
    };
    const char *text = "";
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        text = apr_pstrcat(p, text, flags & words[i].bit ? words[i].word : "", NULL);
    }
    if (flags & RP_ROUTE_ENCODED) {
        text = apr_pstrcat(p, text, " mapping=", flags & RP_ROUTE_SERVLET ? "servlet" : "encoded",
                           NULL);
    }
    return text;
}

static void print_route(apr_file_t *out, apr_pool_t *p, const rp_route_t *route)
{
    const char *options = route->backend ? rp_conf_describe_options(p, &route->backend->opt) : "";

    apr_file_printf(out, "  %s%s%s -> %s%s%s%s (%s:%d)\n", route->in_location ? "<Location> " : "",
                    route->regex ? "~ " : "", route->path,
                    route->is_excluded ? "not proxied" : route->raw_target,
                    rp_lint_describe_flags(p, route->flags), *options ? " " : "", options, route->file,
                    route->line);
}

/* Routes with mapping= are tried first, in a phase of their own; the Location's one before those of the server. */
static void print_phase(apr_file_t *out, apr_pool_t *p, const server_rec *s, unsigned encoded)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);
    const apr_array_header_t *routes = rp_conf_get_server(s)->routes;
    int i;

    for (i = core->sec_url->nelts - 1; i >= 0; i--) {
        const rp_dir_conf_t *dir = ap_get_module_config(
            APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *), &revproxy_module);

        if (dir && dir->route && (dir->route->flags & RP_ROUTE_ENCODED) == encoded) {
            print_route(out, p, dir->route);
        }
    }
    for (i = 0; i < routes->nelts; i++) {
        const rp_route_t *route = APR_ARRAY_IDX(routes, i, const rp_route_t *);

        if ((route->flags & RP_ROUTE_ENCODED) == encoded) {
            print_route(out, p, route);
        }
    }
}

static const char *describe_group(apr_pool_t *p, const rp_group_options_t *opt)
{
    const char *text = apr_pstrcat(p, "lbmethod=", opt->method, NULL);

    if (opt->sticky) {
        bool has_path = opt->sticky_path && strcmp(opt->sticky, opt->sticky_path) != 0;

        text = apr_pstrcat(p, text, " stickysession=", opt->sticky, has_path ? "|" : "", has_path ? opt->sticky_path : "",
                           NULL);
    }
    if (opt->sticky_cookie) {
        text = apr_pstrcat(p, text, " stickycookie=", opt->sticky_cookie, NULL);
    }
    if (opt->no_failover) {
        text = apr_pstrcat(p, text, " nofailover=On", NULL);
    }
    if (opt->set & RP_GROUP_TIMEOUT) {
        text = apr_psprintf(p, "%s timeout=%dms", text, (int)apr_time_as_msec(opt->timeout));
    }
    if (opt->set & RP_GROUP_MAX_ATTEMPTS) {
        text = apr_psprintf(p, "%s maxattempts=%d", text, opt->max_attempts);
    }
    if (opt->growth) {
        text = apr_psprintf(p, "%s growth=%d", text, opt->growth);
    }
    return text;
}

static void print_groups(apr_file_t *out, apr_pool_t *p, const server_rec *s)
{
    const apr_array_header_t *groups = rp_conf_get_server(s)->groups;
    int i, k;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        apr_file_printf(out, "  %s %s (%s:%d)\n", group->name, describe_group(p, &group->opt), group->file, group->line);
        for (k = 0; k < group->members->nelts; k++) {
            const rp_backend_t *b = APR_ARRAY_IDX(group->members, k, const rp_backend_t *);
            const char *options = rp_conf_describe_options(p, &b->opt);

            apr_file_printf(out, "    %s%s%s%s%s (%s:%d)\n", b->uds_path ? b->uds_path : "", b->uds_path ? "|" : "",
                            b->name, *options ? " " : "", options, b->file, b->line);
        }
    }
}

static void print_server(apr_file_t *out, apr_pool_t *p, const server_rec *s)
{
    if (s->is_virtual) {
        apr_file_printf(out, "virtual host %s (%s:%u)\n",
                        s->server_hostname ? s->server_hostname : "without name", s->defn_name,
                        s->defn_line_number);
    }
    else {
        apr_file_printf(out, "main server %s\n",
                        s->server_hostname ? s->server_hostname : "without name");
    }
    print_phase(out, p, s, RP_ROUTE_ENCODED);
    print_phase(out, p, s, 0);
    print_groups(out, p, s);
}

/* httpd takes any text behind -D for the name of a define, so what follows a = is part of it. */
static void explain_urls(apr_file_t *out, apr_pool_t *p, server_rec *main)
{
    static const char prefix[] = "DUMP_REVPROXY_URL=";
    int i;

    for (i = 0; i < ap_server_config_defines->nelts; i++) {
        const char *name = APR_ARRAY_IDX(ap_server_config_defines, i, const char *);

        if (!strncmp(name, prefix, sizeof(prefix) - 1)) {
            rp_lint_explain(out, p, main, name + sizeof(prefix) - 1);
        }
    }
}

void rp_lint_test_config(apr_pool_t *p, server_rec *main)
{
    const apr_array_header_t *servers = rp_lint_get_servers(p, main);
    apr_file_t *out;
    int i;

    if (apr_file_open_stdout(&out, p) != APR_SUCCESS) {
        return;
    }
    if (ap_exists_config_define("DUMP_REVPROXY")) {
        apr_file_printf(out, "mod_revproxy routes, in the order in which they are tried:\n");
        for (i = 0; i < servers->nelts; i++) {
            print_server(out, p, APR_ARRAY_IDX(servers, i, const server_rec *));
        }
    }
    explain_urls(out, p, main);
}
