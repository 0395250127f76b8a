#include "rp_lint_int.h"

#include "ap_listen.h"
#include "apr_uri.h"
#include "http_protocol.h"
#include "http_request.h"

#include "rp_reqhead.h"
#include "rp_reverse.h"
#include "rp_uri.h"

/* A request is made up and goes the way of a real one: the same search, the same canonicaliser, the same head. */
typedef struct explain_t {
    apr_file_t *out;
    apr_pool_t *p;
    rp_lint_t lint;             /* for what other modules' directives say */
    request_rec *r;
    const rp_route_t *taken;    /* NULL: none yet */
    const rp_route_t *excluded; /* the "!" that ended the search, or NULL */
} explain_t;

static const char *name_place(apr_pool_t *p, const char *file, int line)
{
    return apr_psprintf(p, "(%s:%d)", file, line);
}

/* ---- the URL ---- */

static apr_port_t get_first_port(void)
{
    return ap_listeners && ap_listeners->bind_addr ? ap_listeners->bind_addr->port : 80;
}

/* A path alone is asked of a server by its own name and port. */
static request_rec *ask_by_path(explain_t *e, const server_rec *s, const char *path)
{
    const char *host = s->server_hostname ? s->server_hostname : "localhost";
    apr_port_t port = s->addrs && s->addrs->host_port ? s->addrs->host_port : get_first_port();

    return rp_lint_make_request(e->p, e->lint.main, host, port, path);
}

static request_rec *ask_by_url(explain_t *e, const char *url)
{
    const char *path;
    apr_uri_t uri;

    if (apr_uri_parse(e->p, url, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname) {
        return NULL;
    }
    path = apr_uri_unparse(e->p, &uri, APR_URI_UNP_OMITSITEPART);
    return rp_lint_make_request(e->p, e->lint.main, uri.hostname,
                                uri.port ? uri.port : apr_uri_port_of_scheme(uri.scheme), *path ? path : "/");
}

static void print_server(const explain_t *e)
{
    const server_rec *s = e->r->server;

    if (s->is_virtual) {
        apr_file_printf(e->out, "%s, Host: %s\n  virtual host %s %s\n", e->r->the_request,
                        apr_table_get(e->r->headers_in, "Host"),
                        s->server_hostname ? s->server_hostname : "without name",
                        name_place(e->p, s->defn_name, (int)s->defn_line_number));
    }
    else {
        apr_file_printf(e->out, "%s, Host: %s\n  main server %s\n", e->r->the_request,
                        apr_table_get(e->r->headers_in, "Host"),
                        s->server_hostname ? s->server_hostname : "without name");
    }
}

/* ---- which route ---- */

static const char *tell_why_not(const request_rec *r, const rp_route_t *route)
{
    size_t n = strlen(route->path);

    if (route->regex) {
        return ": the regular expression does not match";
    }
    if (!strncmp(r->uri, route->path, n)) {
        /* All of it is there: what follows is not the end of a word, or the request is no upgrade. */
        return r->uri[n] && r->uri[n] != '/' && !rp_lint_ends_in(route->path, '/')
                   ? ": it ends inside a word of the path"
                   : ": ordinary requests are left to the next one (ProxyWebsocketFallbackToProxyHttp Off)";
    }
    return ": the path does not begin so";
}

static void print_trial(void *ctx, const rp_route_t *route, int rc)
{
    explain_t *e = ctx;
    bool is_match = rc != HTTP_CONTINUE;

    apr_file_printf(e->out, "    %s %s%s%s -> %s%s %s%s\n", is_match ? "yes" : "no ",
                    route->in_location ? "<Location> " : "", route->regex ? "~ " : "", route->path,
                    route->is_excluded ? "not proxied" : route->raw_target, rp_lint_describe_flags(e->p, route->flags),
                    name_place(e->p, route->file, route->line), is_match ? "" : tell_why_not(e->r, route));
    if (rc == OK || rc == DONE) {
        e->taken = route;
    }
    if (rc == DECLINED) {
        e->excluded = route;
    }
}

/* Both phases of translation, as httpd runs them. Returns OK, DONE, DECLINED, or the status of an error. */
static int search(explain_t *e)
{
    rp_route_watch_t watch = {print_trial, e};
    int rc = rp_lint_prepare_request(e->r);

    apr_file_printf(e->out, "  routes, in the order in which they are tried:\n");
    if (rc == OK) {
        rc = rp_route_search(e->r, true, &watch);
    }
    if (rc != DECLINED) {
        return rc;
    }
    rc = rp_lint_settle_request(e->r);
    return rc == OK ? rp_route_search(e->r, false, &watch) : rc;
}

/* ---- the target ---- */

/* What comes between the choice of the route and the handler. Returns OK or the status of an error. */
static int complete(explain_t *e)
{
    int rc;

    /* As httpd: what <Location> says comes after what <Proxy> says. */
    e->r->per_dir_config = e->r->server->lookup_defaults;
    rp_route_map_to_storage(e->r);
    rc = ap_location_walk(e->r);
    return rc == OK ? rp_route_fixups(e->r) : rc;
}

static const char *describe_time(apr_pool_t *p, apr_interval_time_t t)
{
    return t % APR_USEC_PER_SEC ? apr_psprintf(p, "%dms", (int)apr_time_as_msec(t))
                                : apr_psprintf(p, "%ds", (int)apr_time_sec(t));
}

static void print_backend(const explain_t *e, const rp_backend_t *b, const char *what)
{
    const char *options = rp_conf_describe_options(e->p, &b->opt);

    apr_file_printf(e->out, "  %s: %s%s%s %s\n      connect within %s, wait for each piece of data %s%s%s\n", what,
                    b->uds_path ? b->uds_path : "", b->uds_path ? "|" : "", b->name, name_place(e->p, b->file, b->line),
                    describe_time(e->p, rp_conf_get_connect_timeout(b, e->r->server)),
                    describe_time(e->p, rp_conf_get_timeout(b, e->r->server)), *options ? "; " : "", options);
}

static void print_group(const explain_t *e, const rp_group_t *group)
{
    int i;

    apr_file_printf(e->out, "  balancer: %s %s, lbmethod=%s\n", group->name, name_place(e->p, group->file, group->line),
                    group->opt.method);
    for (i = 0; i < group->members->nelts; i++) {
        print_backend(e, APR_ARRAY_IDX(group->members, i, const rp_backend_t *), "  member");
    }
}

static void print_switches(const explain_t *e)
{
    const rp_dir_conf_t *dir = rp_conf_get_dir(e->r);
    const struct {
        const char *name;
        rp_switch_t value, usual;
    } switches[] = {
        {"ProxyPreserveHost", dir->preserve_host, RP_OFF},     {"ProxyAddHeaders", dir->add_headers, RP_ON},
        {"ProxyErrorOverride", dir->error_override, RP_OFF},   {"Proxy100Continue", dir->forward_continue, RP_ON},
        {"RevProxyPark", dir->park, RP_ON},                    {"RevProxyClientAbort", dir->client_abort, RP_ON},
        {"ProxyPassInterpolateEnv", dir->interpolate_env, RP_OFF},
    };
    const char *text = "";
    size_t i;

    for (i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        if (switches[i].value != RP_UNSET && switches[i].value != switches[i].usual) {
            text = apr_pstrcat(e->p, text, *text ? ", " : "", switches[i].name, switches[i].value ? " On" : " Off", NULL);
        }
    }
    if (*text) {
        apr_file_printf(e->out, "  in force here: %s\n", text);
    }
}

/* ---- what is sent ---- */

static void print_head(const explain_t *e, const rp_target_t *t, const rp_backend_t *b)
{
    rp_reqhead_want_t want = {.target = t, .framing = RP_FRAMING_NONE, .close = !b->opt.reuse};
    const char *head, *line;
    apr_size_t n;
    char *state;

    if (rp_reqhead_build(e->r, &want, &head, &n) != RP_E_NONE) {
        apr_file_printf(e->out, "  no head can be made for it\n");
        return;
    }
    apr_file_printf(e->out, "  sent to the backend, for a client at %s that sends nothing but Host:\n", e->r->useragent_ip);
    for (line = apr_strtok(apr_pstrdup(e->p, head), "\r\n", &state); line; line = apr_strtok(NULL, "\r\n", &state)) {
        apr_file_printf(e->out, "    %s\n", line);
    }
    apr_file_printf(e->out, "  fields of a client that are not passed on: Connection and what it names, Keep-Alive, "
                            "Proxy-Connection,\n    TE, Trailer, Transfer-Encoding, Content-Length (made anew), Upgrade (%s), "
                            "HTTP2-Settings, Proxy\n",
                    b->opt.upgrade && !strcmp(b->opt.upgrade, "NONE") ? "never passes"
                                                                      : "asked for where the protocol is allowed");
}

/* ---- the way back ---- */

static void print_cookies(const explain_t *e, const char *directive, const apr_array_header_t *mappings)
{
    int i;

    for (i = 0; i < mappings->nelts; i++) {
        const rp_mapping_t *m = &APR_ARRAY_IDX(mappings, i, rp_mapping_t);

        apr_file_printf(e->out, "    %s %s %s %s\n", directive, m->real, m->pub, name_place(e->p, m->file, m->line));
    }
}

static void print_way_back(const explain_t *e, const rp_target_t *t)
{
    const char *sample = t->url, *mapped = rp_reverse_map(e->r, t, sample);
    int i;

    apr_file_printf(e->out, "  on the way back, the first that fits:%s\n",
                    t->reverse->nelts + t->cookie_paths->nelts + t->cookie_domains->nelts ? "" : " nothing is changed");
    for (i = 0; i < t->reverse->nelts; i++) {
        const rp_mapping_t *m = &APR_ARRAY_IDX(t->reverse, i, rp_mapping_t);

        apr_file_printf(e->out, "    ProxyPassReverse %s %s %s\n", m->pub, m->real, name_place(e->p, m->file, m->line));
    }
    print_cookies(e, "ProxyPassReverseCookiePath", t->cookie_paths);
    print_cookies(e, "ProxyPassReverseCookieDomain", t->cookie_domains);
    apr_file_printf(e->out, "    Location: %s %s%s\n", sample, mapped == sample ? "stays as it is" : "becomes ",
                    mapped == sample ? "" : mapped);
}

/* ---- what may change it ---- */

static void print_note(const explain_t *e, const char *name, const char *text)
{
    const ap_directive_t *d = rp_lint_find_directive(&e->lint, name, NULL, e->r->server);

    if (d) {
        apr_file_printf(e->out, "  note: %s %s %s\n", name, name_place(e->p, d->filename, d->line_num), text);
    }
}

static void print_notes(const explain_t *e)
{
    print_note(e, "RewriteRule", "and what follows are not tried here: a rule with [P] comes before the routes, others change "
                                 "the path");
    print_note(e, "<If", "is not looked at: what stands in it may change the settings");
    print_note(e, "SetEnvIf", "is not looked at: the variable no-proxy keeps a request from the routes");
    print_note(e, "SetHandler", "may serve the request where no route takes it");
    print_note(e, "RequestHeader", "is not carried out here: it changes what the backend gets");
}

/* ---- all of it ---- */

static void print_target(explain_t *e)
{
    rp_target_t target;
    const rp_target_t *found = rp_route_find_target(e->r);
    const rp_backend_t *b;
    const rp_group_t *group;

    if (!found || !e->taken) {
        return;
    }
    b = e->taken->backend;
    target = *found;
    apr_file_printf(e->out, "  target: %s\n", target.url);
    group = !strcmp(target.scheme, "balancer")
                ? rp_conf_find_group(rp_conf_get_server(e->r->server), apr_pstrcat(e->p, "balancer://", target.host, NULL))
                : NULL;
    if (group) {
        print_group(e, group);
        b = group->members->nelts ? APR_ARRAY_IDX(group->members, 0, const rp_backend_t *) : NULL;
        target.group = (rp_group_t *)group;
    }
    else if (b) {
        print_backend(e, b, b->has_variable_host ? "backend, made when it is asked for, with the parameters of" : "backend");
    }
    print_switches(e);
    if (!b) {
        apr_file_printf(e->out, "  answered with %s: there is no such balancer, or it has no members\n", group ? "503" : "500");
        return;
    }
    if (group) {
        rp_route_aim(e->r, &target, b, target.path);
    }
    print_head(e, &target, b);
    print_way_back(e, &target);
}

static void print_end(explain_t *e, int rc)
{
    if (rc == OK || rc == DONE) {
        rc = complete(e);
        if (rc == OK) {
            print_target(e);
            return;
        }
    }
    if (rc == DECLINED) {
        apr_file_printf(e->out, "  not proxied%s: httpd goes on with its files and handlers\n",
                        e->excluded ? ", the last line says so" : ", no route matches");
        return;
    }
    apr_file_printf(e->out, "  answered with %d\n", rc);
}

static void explain_request(explain_t *e, request_rec *r)
{
    e->r = r;
    e->taken = e->excluded = NULL;
    rp_lint_set_tls(rp_lint_find_directive(&e->lint, "SSLEngine", "on", r->server) ? r : NULL);
    print_server(e);
    print_end(e, search(e));
    print_notes(e);
    rp_lint_set_tls(NULL);
}

static bool has_routes(const server_rec *s)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);

    return rp_conf_get_server(s)->routes->nelts > 0 || core->sec_url->nelts > 0;
}

/* Each server once, but those that no request reaches: another one of the same name and address comes first. */
static void explain_path(explain_t *e, const char *path)
{
    apr_hash_t *done = apr_hash_make(e->p);
    const apr_array_header_t *servers = rp_lint_get_servers(e->p, e->lint.main);
    int i;

    for (i = 0; i < servers->nelts; i++) {
        const server_rec *s = APR_ARRAY_IDX(servers, i, const server_rec *);
        request_rec *r = has_routes(s) ? ask_by_path(e, s, path) : NULL;

        if (r && !apr_hash_get(done, &r->server, sizeof(r->server))) {
            apr_hash_set(done, &r->server, sizeof(r->server), r);
            explain_request(e, r);
        }
    }
}

void rp_lint_explain(apr_file_t *out, apr_pool_t *p, server_rec *main, const char *url)
{
    explain_t e = {.out = out, .p = p, .lint = {.p = p, .main = main}};
    request_rec *r = url[0] == '/' ? NULL : ask_by_url(&e, url);

    rp_lint_index_tree(&e.lint);
    if (r) {
        explain_request(&e, r);
    }
    else if (url[0] == '/') {
        explain_path(&e, url);
    }
    else {
        apr_file_printf(out, "DUMP_REVPROXY_URL: '%s' is no path and no URL: write /path?query or https://host/path\n", url);
    }
}
