#include "rp_lint_int.h"

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

static void print_locations(apr_file_t *out, apr_pool_t *p, const server_rec *s)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);
    int i;

    for (i = core->sec_url->nelts - 1; i >= 0; i--) {
        const rp_dir_conf_t *dir = ap_get_module_config(
            APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *), &revproxy_module);

        if (dir && dir->route) {
            print_route(out, p, dir->route);
        }
    }
}

static void print_groups(apr_file_t *out, apr_pool_t *p, const server_rec *s)
{
    const apr_array_header_t *groups = rp_conf_get_server(s)->groups;
    int i, k;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        apr_file_printf(out, "  %s lbmethod=%s (%s:%d)\n", group->name, group->opt.method, group->file, group->line);
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
    const rp_server_conf_t *conf = rp_conf_get_server(s);
    int i;

    if (s->is_virtual) {
        apr_file_printf(out, "virtual host %s (%s:%u)\n",
                        s->server_hostname ? s->server_hostname : "without name", s->defn_name,
                        s->defn_line_number);
    }
    else {
        apr_file_printf(out, "main server %s\n",
                        s->server_hostname ? s->server_hostname : "without name");
    }
    print_locations(out, p, s);
    for (i = 0; i < conf->routes->nelts; i++) {
        print_route(out, p, APR_ARRAY_IDX(conf->routes, i, rp_route_t *));
    }
    print_groups(out, p, s);
}

void rp_lint_test_config(apr_pool_t *p, server_rec *s)
{
    apr_file_t *out;

    if (!ap_exists_config_define("DUMP_REVPROXY") || apr_file_open_stdout(&out, p) != APR_SUCCESS) {
        return;
    }
    apr_file_printf(out, "mod_revproxy routes, in the order in which they are tried:\n");
    for (; s; s = s->next) {
        print_server(out, p, s);
    }
}
