#include "rp_route_int.h"

#include "apr_fnmatch.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_request.h"

APLOG_USE_MODULE(revproxy);

#define HANDLER_NAME "proxy-server"

/* ---- whose request ---- */

/* Whose request this is counts for what mod_dir makes of it, too. */
static void leave_to_neighbour(request_rec *r)
{
    rp_memory_t *mem = rp_route_remember(r);

    mem->made = RP_MADE_BY_NEIGHBOUR;
    mem->filename = r->filename;
    rp_route_hand_up(r, mem);
}

static bool is_beside_mod_proxy(void)
{
    return rp_conf_has_module("mod_proxy.c");
}

static bool has_proxy_name(const request_rec *r)
{
    return r->proxyreq == PROXYREQ_REVERSE && r->filename &&
           !strncmp(r->filename, RP_PROXY_PREFIX, RP_PROXY_PREFIX_LEN);
}

/* The URL of a target text, without a "unix:PATH|" at its very start. */
static const char *skip_socket(const char *text)
{
    const char *bar;

    if (ap_cstr_casecmpn(text, "unix:", 5) || !(bar = strchr(text, '|'))) {
        return text;
    }
    return bar + 1;
}

static bool is_our_scheme(const char *text)
{
    const char *url = skip_socket(text);

    return rp_route_is_http_like(url) || rp_route_is_group(url);
}

/* A target that no route of ours made, in a server that has the real mod_proxy too: ours only if
 * our configuration names its backend, or if nobody else could serve it. */
static bool is_left_to_us(request_rec *r, const char *text)
{
    if (!is_our_scheme(text)) {
        return false;
    }
    return rp_route_is_known(r, text) ||
           (rp_route_is_http_like(skip_socket(text)) && !rp_conf_has_module("mod_proxy_http.c"));
}

static bool is_ours(request_rec *r, const rp_memory_t *mem)
{
    if (mem && rp_route_is_current(r, mem) && (mem->made == RP_MADE_BY_ROUTE || mem->is_canonical)) {
        return true;
    }
    if (!is_beside_mod_proxy()) {
        return true;
    }
    return !(mem && mem->made == RP_MADE_BY_NEIGHBOUR) && is_left_to_us(r, r->filename + RP_PROXY_PREFIX_LEN);
}

/* ---- translate ---- */

static void adopt_route(request_rec *r, const rp_route_t *route, const rp_match_t *m)
{
    rp_memory_t *mem = rp_route_remember(r);

    r->filename = apr_pstrcat(r->pool, RP_PROXY_PREFIX, m->target, NULL);
    r->handler = HANDLER_NAME;
    r->proxyreq = PROXYREQ_REVERSE;
    if (m->is_raw) {
        apr_table_setn(r->notes, "proxy-nocanon", "1");
    }
    if (route->flags & RP_ROUTE_NOQUERY) {
        apr_table_setn(r->notes, "proxy-noquery", "1");
    }
    if (route->flags & RP_ROUTE_ENCODED) {
        apr_table_setn(r->notes, "proxy-noencode", "1");
    }
    if (m->uri) {
        /* Locations and access control shall see what the servlet container will. */
        r->uri = r->parsed_uri.path = apr_pstrdup(r->pool, m->uri);
    }
    mem->made = RP_MADE_BY_ROUTE;
    mem->filename = r->filename;
    mem->target.route = route;
    mem->target.route_name = route->path;
}

/* HTTP_CONTINUE: go on with the next route. */
static int try_route(request_rec *r, const rp_route_t *route, bool is_encoded)
{
    rp_match_t m;

    if (!(route->flags & RP_ROUTE_ENCODED) == is_encoded) {
        return HTTP_CONTINUE;
    }
    switch (rp_route_match(r, route, &m)) {
    case RP_MATCH_NO:
        return HTTP_CONTINUE;
    case RP_MATCH_EXCLUDED:
        return DECLINED;
    case RP_MATCH_FAILED:
        return HTTP_INTERNAL_SERVER_ERROR;
    default:
        adopt_route(r, route, &m);
        return is_encoded ? DONE : OK;
    }
}

static bool may_be_proxied(const request_rec *r)
{
    return r->uri && r->uri[0] == '/' && strcmp(r->unparsed_uri, "*") != 0 &&
           !apr_table_get(r->subprocess_env, "no-proxy");
}

static int watch_try(request_rec *r, const rp_route_t *route, bool is_encoded, const rp_route_watch_t *watch)
{
    int rc = try_route(r, route, is_encoded);

    if (watch && !(route->flags & RP_ROUTE_ENCODED) != is_encoded) {
        watch->tried(watch->ctx, route, rc);
    }
    return rc;
}

int rp_route_search(request_rec *r, bool is_encoded, const rp_route_watch_t *watch)
{
    const apr_array_header_t *routes = rp_conf_get_server(r->server)->routes;
    const rp_route_t *own = rp_conf_get_dir(r)->route;
    int i, rc = HTTP_CONTINUE;

    if ((!own && !routes->nelts) || !may_be_proxied(r)) {
        return DECLINED;
    }
    if (own) {
        rc = watch_try(r, own, is_encoded, watch);
    }
    for (i = 0; rc == HTTP_CONTINUE && i < routes->nelts; i++) {
        rc = watch_try(r, APR_ARRAY_IDX(routes, i, const rp_route_t *), is_encoded, watch);
    }
    return rc == HTTP_CONTINUE ? DECLINED : rc;
}

int rp_route_pre_translate(request_rec *r)
{
    if (!r->proxyreq) {
        return rp_route_search(r, true, NULL);
    }
    return is_beside_mod_proxy() ? DECLINED : DONE;
}

int rp_route_translate(request_rec *r)
{
    int rc;

    if (r->proxyreq) {
        if (rp_route_is_current(r, rp_route_recall(r)) || !is_beside_mod_proxy()) {
            return OK;
        }
        /* mod_rewrite's [P] would have ended this phase: mod_proxy's mapping=encoded it is. */
        leave_to_neighbour(r);
        return DECLINED;
    }
    rc = rp_route_search(r, false, NULL);
    if (rc == DECLINED && is_beside_mod_proxy()) {
        rp_route_remember(r)->was_seen = true;
    }
    return rc;
}

/* ---- <Proxy> sections ---- */

static void export_captures(request_rec *r, const rp_section_t *sec, const char *name, const ap_regmatch_t *groups,
                            int n)
{
    int i;

    for (i = 0; i < n && i < AP_MAX_REG_MATCH; i++) {
        const char *key = APR_ARRAY_IDX(sec->captures, i, const char *);

        if (key && groups[i].rm_so >= 0 && groups[i].rm_eo >= groups[i].rm_so) {
            apr_table_setn(r->subprocess_env, key,
                           apr_pstrmemdup(r->pool, name + groups[i].rm_so,
                                          (apr_size_t)(groups[i].rm_eo - groups[i].rm_so)));
        }
    }
}

static bool match_section(request_rec *r, const rp_section_t *sec, const char *name)
{
    int n = sec->captures ? sec->captures->nelts : 0;
    ap_regmatch_t *groups = n ? apr_palloc(r->pool, (apr_size_t)n * sizeof(*groups)) : NULL;

    if (!rp_conf_is_in_section(sec, name, n, groups)) {
        return false;
    }
    if (sec->regex) {
        export_captures(r, sec, name, groups, n);
    }
    return true;
}

static void walk_sections(request_rec *r, rp_target_t *target)
{
    const apr_array_header_t *sections = rp_conf_get_server(r->server)->sections;
    const char *name = skip_socket(r->filename + RP_PROXY_PREFIX_LEN);
    int i;

    for (i = 0; i < sections->nelts; i++) {
        const rp_section_t *sec = APR_ARRAY_IDX(sections, i, const rp_section_t *);

        if (match_section(r, sec, name)) {
            r->per_dir_config = ap_merge_per_dir_configs(r->pool, r->per_dir_config, sec->dir_conf);
            target->sections = apr_pstrcat(r->pool, target->sections, *target->sections ? "," : "",
                                           apr_itoa(r->pool, i), NULL);
        }
    }
}

int rp_route_map_to_storage(request_rec *r)
{
    rp_memory_t *mem = rp_route_recall(r);

    if (!has_proxy_name(r)) {
        return DECLINED;
    }
    if (mem && mem->was_seen && !rp_route_is_current(r, mem)) {
        /* Claimed after our own look at it, and [P] comes before that: by mod_proxy's directives. */
        leave_to_neighbour(r);
    }
    if (!is_ours(r, mem)) {
        return DECLINED;
    }
    walk_sections(r, &rp_route_remember(r)->target);
    return OK;
}

/* ---- fixups ---- */

static rp_path_mode_t get_path_mode(const request_rec *r)
{
    if (apr_table_get(r->notes, "proxy-nocanon")) {
        return RP_PATH_WHOLE;
    }
    return apr_table_get(r->notes, "proxy-noencode") ? RP_PATH_ENCODED : RP_PATH_DECODED;
}

/* The memory for r->filename, cleared of a route that it no longer comes from. */
static rp_memory_t *refresh(request_rec *r)
{
    rp_memory_t *mem = rp_route_remember(r);

    if (!rp_route_is_current(r, mem)) {
        mem->target.route = NULL;
        mem->target.route_name = "[P]";
        mem->made = RP_MADE_UNKNOWN;
        mem->is_canonical = false;
    }
    return mem;
}

int rp_route_fixups(request_rec *r)
{
    rp_memory_t *mem;
    const char *text;
    int rc;

    if (!has_proxy_name(r) || !is_ours(r, rp_route_recall(r))) {
        return DECLINED;
    }
    mem = refresh(r);
    text = r->filename + RP_PROXY_PREFIX_LEN;
    if (mem->is_canonical) {
        return OK;
    }
    if (!is_our_scheme(text)) {
        return strchr(text, ':') > text ? OK : rp_route_fail(r, &mem->target, RP_E_TARGET_URL, NULL);
    }
    rc = rp_route_canonicalise(r, mem, text, get_path_mode(r));
    if (rc != OK) {
        return rc;
    }
    r->filename = apr_pstrcat(r->pool, RP_PROXY_PREFIX, mem->target.url, NULL);
    mem->filename = r->filename;
    rp_route_hand_up(r, mem);
    if (is_beside_mod_proxy()) {
        /* Its fixups come after ours and must leave the name as it is. */
        apr_table_setn(r->notes, "proxy-nocanon", "1");
    }
    return OK;
}

const rp_target_t *rp_route_find_target(request_rec *r)
{
    const rp_memory_t *mem = ap_get_module_config(r->request_config, &revproxy_module);

    return mem && mem->target.url ? &mem->target : NULL;
}

/* ---- handler ---- */

/* SetHandler "proxy:URL": the file's name comes behind the URL, as mod_proxy has it. */
static const char *get_handler_target(request_rec *r)
{
    return apr_pstrcat(r->pool, r->handler + RP_PROXY_PREFIX_LEN, r->filename, NULL);
}

static int take_handler(request_rec *r, rp_memory_t *mem)
{
    const char *text = get_handler_target(r);
    int rc;

    mem->target.route = NULL;
    mem->target.route_name = "SetHandler";
    mem->is_canonical = false;
    if (!is_our_scheme(text)) {
        return rp_route_fail(r, &mem->target, RP_E_NO_HANDLER, text);
    }
    rc = rp_route_canonicalise(r, mem, text, RP_PATH_DECODED);
    if (rc == OK) {
        rc = rp_route_resolve(r, &mem->target);
    }
    if (rc != OK) {
        return rc;
    }
    r->proxyreq = PROXYREQ_REVERSE;
    r->filename = apr_pstrcat(r->pool, RP_PROXY_PREFIX, mem->target.url, NULL);
    mem->filename = r->filename;
    apr_table_setn(r->notes, "proxy-sethandler", "1");
    return OK;
}

/* A name given after fixups is final already: checked, not encoded, and r->args are in it. */
static int take_name(request_rec *r, rp_memory_t *mem)
{
    const char *text = r->filename + RP_PROXY_PREFIX_LEN;
    int rc = OK;

    if (!mem->is_canonical && !is_our_scheme(text)) {
        return strchr(text, ':') ? rp_route_fail(r, &mem->target, RP_E_NO_HANDLER, text)
                                 : rp_route_fail(r, &mem->target, RP_E_TARGET_URL, text);
    }
    if (!mem->is_canonical) {
        rc = rp_route_canonicalise(r, mem, text, RP_PATH_WHOLE);
        mem->filename = r->filename;
    }
    return rc == OK ? rp_route_resolve(r, &mem->target) : rc;
}

static bool is_proxy_handler(request_rec *r)
{
    if (r->proxyreq || !r->filename || !r->handler ||
        strncmp(r->handler, RP_PROXY_PREFIX, RP_PROXY_PREFIX_LEN) != 0) {
        return false;
    }
    return !is_beside_mod_proxy() || is_left_to_us(r, get_handler_target(r));
}

int rp_route_get_target(request_rec *r, rp_target_t **target)
{
    rp_memory_t *mem;
    int rc;

    if (is_proxy_handler(r)) {
        mem = rp_route_remember(r);
        rc = take_handler(r, mem);
    }
    else if (has_proxy_name(r) && is_ours(r, rp_route_recall(r))) {
        mem = refresh(r);
        rc = take_name(r, mem);
    }
    else {
        return DECLINED;
    }
    *target = &mem->target;
    return rc;
}
