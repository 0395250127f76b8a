#include "rp_route_int.h"

#include "apr_strings.h"
#include "http_log.h"

APLOG_USE_MODULE(revproxy);

/* The text that a route is compared with and that ends up in the target. */
typedef struct subject_t {
    const char *pattern, *target; /* of the route, variables expanded */
    const char *raw;              /* nocanon: the request target as sent; NULL otherwise */
} subject_t;

static void prepare(request_rec *r, const rp_route_t *route, subject_t *s)
{
    bool expands = (route->flags & RP_ROUTE_INTERPOLATE) && rp_conf_get_dir(r)->interpolate_env == RP_ON;
    bool is_raw = (route->flags & RP_ROUTE_NOCANON) && !(route->flags & RP_ROUTE_SERVLET);

    s->pattern = expands ? rp_route_expand(r, route->path) : route->path;
    s->target = expands && route->target ? rp_route_expand(r, route->target) : route->target;
    s->raw = is_raw ? r->unparsed_uri : NULL;
}

/* The decoded path is what access control saw: where the raw text does not match in the same way,
 * it may name something else. */
static void give_up_raw(request_rec *r, subject_t *s)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "Unescaped URL path matched ProxyPass; ignoring unsafe nocanon");
    s->raw = NULL;
}

static rp_match_result_t match_regex(request_rec *r, const rp_route_t *route, subject_t *s, rp_match_t *m)
{
    ap_regmatch_t groups[AP_MAX_REG_MATCH], raw_groups[AP_MAX_REG_MATCH];
    char *text;

    if (ap_regexec(route->regex, r->uri, AP_MAX_REG_MATCH, groups, 0)) {
        return RP_MATCH_NO;
    }
    if (route->is_excluded) {
        return RP_MATCH_EXCLUDED;
    }
    if (s->raw && (s->raw[0] != '/' || ap_regexec(route->regex, s->raw, AP_MAX_REG_MATCH, raw_groups, 0))) {
        give_up_raw(r, s);
    }
    text = ap_pregsub(r->pool, s->target, s->raw ? s->raw : r->uri, AP_MAX_REG_MATCH,
                      s->raw ? raw_groups : groups);
    if (!text) {
        rp_target_t where = {.route_name = route->path};

        rp_route_fail(r, &where, RP_E_TARGET_SUBST, NULL);
        return RP_MATCH_FAILED;
    }
    /* No $n in the target: the whole path is meant, as mod_proxy has it. */
    m->target = strcmp(text, s->target) ? text : apr_pstrcat(r->pool, text, s->raw ? s->raw : r->uri, NULL);
    return RP_MATCH_YES;
}

/* Bytes of r->uri that the route's prefix covers, 0: none. */
static apr_size_t measure_prefix(request_rec *r, const rp_route_t *route, const char *pattern, rp_match_t *m)
{
    apr_size_t cap;
    ptrdiff_t n;
    char *uri;

    if (!(route->flags & RP_ROUTE_SERVLET)) {
        return rp_uri_match_prefix(pattern, r->uri);
    }
    cap = strlen(r->uri) + 1;
    uri = apr_palloc(r->pool, cap);
    n = rp_uri_match_servlet(uri, cap, pattern, r->uri);
    m->uri = uri;
    return n > 0 ? (apr_size_t)n : 0;
}

static rp_match_result_t match_prefix(request_rec *r, const rp_route_t *route, subject_t *s, rp_match_t *m)
{
    apr_size_t n = measure_prefix(r, route, s->pattern, m);

    if (n == 0) {
        return RP_MATCH_NO;
    }
    if (route->is_excluded) {
        return RP_MATCH_EXCLUDED;
    }
    if (s->raw && rp_uri_match_prefix(s->pattern, s->raw) != n) {
        give_up_raw(r, s);
    }
    m->target = apr_pstrcat(r->pool, s->target, (s->raw ? s->raw : r->uri) + n, NULL);
    return RP_MATCH_YES;
}

/* ProxyWebsocketFallbackToProxyHttp Off: a ws target takes none but upgrades: another route may fit. */
static bool is_passed_over(request_rec *r, const char *target)
{
    return (!ap_cstr_casecmpn(target, "ws:", 3) || !ap_cstr_casecmpn(target, "wss:", 4)) &&
           rp_conf_get_dir(r)->ws_fallback == RP_OFF && !apr_table_get(r->headers_in, "Upgrade");
}

rp_match_result_t rp_route_match(request_rec *r, const rp_route_t *route, rp_match_t *m)
{
    rp_match_result_t result;
    subject_t s;

    m->uri = NULL;
    prepare(r, route, &s);
    result = route->regex ? match_regex(r, route, &s, m) : match_prefix(r, route, &s, m);
    if (result != RP_MATCH_YES) {
        return result;
    }
    if (is_passed_over(r, m->target)) {
        return RP_MATCH_NO;
    }
    m->is_raw = s.raw != NULL;
    return RP_MATCH_YES;
}
