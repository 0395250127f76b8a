#include "rp_lint_int.h"

#include "http_log.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

static void report_group(const server_rec *main, const char *file, int line, const char *text)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main, "lint: %s:%d: %s", file, line, text);
}

/* Members do not matter where the manager may add some. */
static void check_size(apr_pool_t *p, const server_rec *main, const rp_group_t *group)
{
    if (group->members->nelts == 0 && group->opt.growth == 0) {
        report_group(main, group->file, group->line,
                     apr_psprintf(p, "%s has no members, so every request for it gets 503: add BalancerMember lines",
                                  group->name));
    }
}

static void check_members(apr_pool_t *p, const server_rec *main, const rp_group_t *group)
{
    bool has_route = false;
    int i;

    for (i = 0; i < group->members->nelts; i++) {
        const rp_backend_t *b = APR_ARRAY_IDX(group->members, i, const rp_backend_t *);
        apr_size_t n = strlen(b->path);

        has_route = has_route || *b->opt.route;
        if (n > 0 && b->path[n - 1] == '/') {
            report_group(main, b->file, b->line,
                         apr_psprintf(p, "member %s ends in /, and paths are appended to it, so /x becomes //x there: "
                                         "write it without",
                                      b->name));
        }
    }
    if (group->opt.sticky && i > 0 && !has_route) {
        report_group(main, group->file, group->line,
                     apr_psprintf(p, "%s has stickysession=%s, but no member has a route=, so no session sticks: give "
                                     "each member one, or write stickycookie=NAME",
                                  group->name, group->opt.sticky));
    }
}

static bool has_own_members(const rp_group_t *group)
{
    return group->members->nelts > 0 && APR_ARRAY_IDX(group->members, 0, rp_backend_t *)->server == group->server;
}

void rp_lint_check_groups(apr_pool_t *p, const server_rec *main, const server_rec *s)
{
    const apr_array_header_t *groups = rp_conf_get_server(s)->groups;
    int i;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        /* A virtual host has the main server's, too, and its own one of a name may have the main
         * server's members. */
        if (group->server == s) {
            check_size(p, main, group);
        }
        if (group->server == s && has_own_members(group)) {
            check_members(p, main, group);
        }
    }
}

void rp_lint_print_groups(apr_file_t *out, apr_pool_t *p, const server_rec *s)
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
