#include "rp_route_int.h"

#include <sys/un.h>

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"

#include "rp_pool.h"

#define GROUP_PREFIX "balancer://"
#define GROUP_PREFIX_LEN (sizeof(GROUP_PREFIX) - 1)

bool rp_route_is_http_like(const char *text)
{
    rp_span_t scheme = {text, strcspn(text, ":")};

    return text[scheme.n] == ':' && rp_uri_default_port(scheme) != 0;
}

bool rp_route_is_group(const char *text)
{
    return !ap_cstr_casecmpn(text, GROUP_PREFIX, GROUP_PREFIX_LEN);
}

static rp_span_t span_of(const char *text)
{
    rp_span_t span = {text, text ? strlen(text) : 0};

    return span;
}

static char *copy_lower(apr_pool_t *p, rp_span_t text)
{
    char *copy = apr_pstrmemdup(p, text.p, text.n);

    ap_str_tolower(copy);
    return copy;
}

/* ---- the path ---- */

/* The path as the client sent it, to tell "%2F" from "%252F" (AllowEncodedSlashes NoDecode). */
static rp_span_t find_raw_path(const request_rec *r)
{
    const char *raw = r->unparsed_uri;
    const char *host;

    if (raw && raw[0] != '/' && (host = strstr(raw, "://")) != NULL) {
        raw = strchr(host + 3, '/');
    }
    return span_of(raw);
}

static rp_span_t encode_path(request_rec *r, rp_span_t path)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    unsigned flags = core->allow_encoded_slashes && !core->decode_encoded_slashes ? RP_URI_KEEP_2F : 0;
    apr_size_t cap = 3 * path.n + 1;
    char *out = apr_palloc(r->pool, cap);
    rp_span_t encoded = {out, 0};

    encoded.n = (apr_size_t)rp_uri_encode_path(out, cap, path, flags, find_raw_path(r));
    return encoded;
}

/* Path and query of the canonical target from the text behind the host. */
static void shape_path(request_rec *r, rp_span_t rest, rp_path_mode_t mode, rp_span_t *path, rp_span_t *query)
{
    *path = mode == RP_PATH_DECODED ? encode_path(r, rest) : rest;
    *query = span_of(mode == RP_PATH_WHOLE ? NULL : r->args);
}

static bool is_refused(const request_rec *r, rp_span_t path)
{
    return rp_conf_get_dir(r)->refuse_dots != RP_OFF && rp_uri_hides_dots(path);
}

static int refuse(request_rec *r, const rp_target_t *t, rp_span_t path)
{
    return rp_route_fail(r, t, RP_E_HIDDEN_DOTS,
                         apr_psprintf(r->pool, "'%.*s' (RevProxyRefuseDots Off sends it)", (int)path.n, path.p));
}

/* ---- scheme, host, socket ---- */

/* Behind a socket the host may be missing from the text: "http:/p". */
static int split(const rp_target_t *t, const char *text, rp_uri_t *u)
{
    int rc = rp_uri_split(u, text);

    if (rc == RP_URI_E_NOHOST && t->route && t->route->backend && t->route->backend->uds_path) {
        u->host = span_of("localhost");
        return RP_URI_OK;
    }
    return rc;
}

static bool is_same_text(rp_span_t span, const char *text)
{
    return span.n == strlen(text) && !ap_cstr_casecmpn(span.p, text, span.n);
}

static bool is_host_variable(const rp_route_t *route)
{
    return route->backend && route->backend->has_variable_host;
}

static bool has_written_user(const rp_route_t *route)
{
    const char *host = strstr(route->target, "://");

    return host && memchr(host + 3, '@', strcspn(host + 3, "/?#"));
}

/* Does the target still lead where the route's text says? $n and ${} may stand in the path, and in
 * the host only if the operator wrote them there; even then they must not bring an '@' along. */
static bool keeps_host(const rp_route_t *route, const rp_uri_t *u)
{
    const rp_backend_t *b = route->backend;
    unsigned port = u->port ? u->port : rp_uri_default_port(u->scheme);

    if (!b || !is_same_text(u->scheme, b->scheme)) {
        return false;
    }
    if (b->has_variable_host) {
        return u->userinfo.p == NULL || has_written_user(route);
    }
    return is_same_text(u->host, b->host) && port == b->port;
}

static int set_socket(request_rec *r, rp_target_t *t, const rp_uri_t *u)
{
    struct sockaddr_un un;
    const char *path;

    if (t->route) {
        t->uds_path = t->route->backend->uds_path;
        return OK;
    }
    t->uds_path = NULL;
    if (!u->socket.p) {
        return OK;
    }
    path = ap_runtime_dir_relative(r->pool, apr_pstrmemdup(r->pool, u->socket.p, u->socket.n));
    if (!path || strlen(path) >= sizeof(un.sun_path)) {
        return rp_route_fail(r, t, RP_E_TARGET_URL, "the path of the unix socket is too long or invalid");
    }
    t->uds_path = path;
    return OK;
}

static void note_socket(request_rec *r, const rp_target_t *t)
{
    if (t->uds_path) {
        apr_table_setn(r->notes, "uds_path", t->uds_path);
    }
    else {
        apr_table_unset(r->notes, "uds_path");
    }
}

/* ---- the canonical URL ---- */

static void set_address(apr_pool_t *p, rp_target_t *t, const rp_uri_t *u)
{
    unsigned usual = rp_uri_default_port(u->scheme);
    bool is_backends = t->route && !is_host_variable(t->route); /* keeps_host has seen to it */

    t->scheme = is_backends ? t->route->backend->scheme : copy_lower(p, u->scheme);
    t->host = is_backends ? t->route->backend->host : copy_lower(p, u->host);
    t->port = (apr_port_t)(u->port ? u->port : usual);
    t->has_port = t->port != usual;
}

/* What a canonical URL has besides its parts, at most: "://[" "]" ":65535" "/" "?" and the NUL. */
#define AROUND_PARTS 16

static int set_http_target(request_rec *r, rp_target_t *t, const char *text, rp_path_mode_t mode)
{
    rp_span_t path, query;
    apr_size_t cap;
    ptrdiff_t n;
    rp_uri_t u;
    char *url;
    int rc = split(t, text, &u);

    if (rc != RP_URI_OK) {
        return rp_route_fail(r, t, t->route && !is_host_variable(t->route) ? RP_E_TARGET_HOST : RP_E_TARGET_URL,
                             rp_uri_err_text(rc));
    }
    if (t->route && !keeps_host(t->route, &u)) {
        return rp_route_fail(r, t, RP_E_TARGET_HOST, apr_pstrmemdup(r->pool, u.host.p, u.host.n));
    }
    shape_path(r, u.rest, mode, &path, &query);
    if (is_refused(r, path)) {
        return refuse(r, t, path);
    }
    cap = u.scheme.n + u.host.n + path.n + query.n + AROUND_PARTS;
    url = apr_palloc(r->pool, cap);
    n = rp_uri_canonical_target(url, cap, &u, path, query);
    if (n < 0) {
        return rp_route_fail(r, t, n == RP_URI_E_UNSAFE ? RP_E_BAD_TARGET : RP_E_TARGET_URL, rp_uri_err_text(n));
    }
    set_address(r->pool, t, &u);
    t->url = url;
    t->path = strchr(url + u.scheme.n + 3, '/');
    return set_socket(r, t, &u);
}

/* The member's address comes before the path later (rp_lb); the path is final here. */
static int set_group_target(request_rec *r, rp_target_t *t, const char *text, rp_path_mode_t mode)
{
    const char *name = text + GROUP_PREFIX_LEN;
    apr_size_t n = strcspn(name, "/?#");
    rp_span_t path, query;

    t->scheme = "balancer";
    t->host = copy_lower(r->pool, (rp_span_t){name, n});
    t->port = 0;
    t->has_port = false;
    t->uds_path = NULL;
    shape_path(r, span_of(name + n), mode, &path, &query);
    if (is_refused(r, path)) {
        return refuse(r, t, path);
    }
    if (rp_uri_has_unsafe(path) || rp_uri_has_unsafe(query)) {
        return rp_route_fail(r, t, RP_E_BAD_TARGET, NULL);
    }
    t->path = apr_pstrcat(r->pool, path.n && path.p[0] == '/' ? "" : "/",
                          apr_pstrmemdup(r->pool, path.p, path.n), query.p ? "?" : "", query.p, NULL);
    t->url = apr_pstrcat(r->pool, GROUP_PREFIX, t->host, t->path, NULL);
    return OK;
}

/* ---- the way back ---- */

static const apr_array_header_t *expand_mappings(request_rec *r, const apr_array_header_t *from)
{
    apr_array_header_t *to = apr_array_copy(r->pool, from);
    int i;

    for (i = 0; i < to->nelts; i++) {
        rp_mapping_t *m = &APR_ARRAY_IDX(to, i, rp_mapping_t);

        if (m->interpolate) {
            m->real = rp_route_expand(r, m->real);
            m->pub = rp_route_expand(r, m->pub);
        }
    }
    return to;
}

static void set_mappings(request_rec *r, rp_target_t *t)
{
    const rp_dir_conf_t *dir = rp_conf_get_dir(r);
    bool expands = dir->interpolate_env == RP_ON;

    t->reverse = expands ? expand_mappings(r, dir->reverse) : dir->reverse;
    t->cookie_paths = expands ? expand_mappings(r, dir->cookie_paths) : dir->cookie_paths;
    t->cookie_domains = expands ? expand_mappings(r, dir->cookie_domains) : dir->cookie_domains;
}

int rp_route_canonicalise(request_rec *r, rp_memory_t *mem, const char *text, rp_path_mode_t mode)
{
    rp_target_t *t = &mem->target;
    int rc = rp_route_is_group(text) ? set_group_target(r, t, text, mode) : set_http_target(r, t, text, mode);

    if (rc != OK) {
        return rc;
    }
    note_socket(r, t);
    set_mappings(r, t);
    if (!t->sections) {
        t->sections = "";
    }
    mem->is_canonical = true;
    return OK;
}

/* ---- backend or group ---- */

static rp_group_t *find_group(request_rec *r, const rp_target_t *t)
{
    const char *name = apr_pstrcat(r->pool, GROUP_PREFIX, t->host, NULL);

    /* The client's path must not become part of the name ("balancer://b" and "/x" make "bx"),
     * except where the operator wrote $n or ${} into it. */
    if (t->route && t->route->group && strcmp(t->route->group->name, name) != 0) {
        return NULL;
    }
    /* By name in the request's server: a virtual host may have its own, or have none. */
    return rp_conf_find_group(rp_conf_get_server(r->server), name);
}

static bool is_blocked(const rp_server_conf_t *conf, const char *host)
{
    int i;

    for (i = 0; i < conf->blocked->nelts; i++) {
        const char *word = APR_ARRAY_IDX(conf->blocked, i, const char *);

        if (!strcmp(word, "*") || ap_strcasestr(host, word)) {
            return true;
        }
    }
    return false;
}

/* A route keeps to its own backend and options; others go by the longest name. */
static int resolve_backend(request_rec *r, rp_target_t *t)
{
    const rp_options_t *opt = t->route ? &t->route->backend->opt : NULL;

    t->group = NULL;
    if (t->route && !is_host_variable(t->route)) {
        t->backend = t->route->backend;
        return OK;
    }
    t->backend = t->route ? NULL : rp_conf_find_backend(rp_conf_get_server(r->server), t->url, t->uds_path);
    if (t->backend && !t->backend->has_variable_host) {
        return OK;
    }
    opt = t->backend ? &t->backend->opt : opt;
    t->backend = rp_pool_hold_dynamic(r->server, t->scheme, t->host, t->port, t->uds_path, opt);
    t->is_dynamic = t->backend != NULL;
    return t->backend ? OK : rp_route_fail(r, t, RP_E_POOL_FULL, "too many different targets at a time");
}

int rp_route_resolve(request_rec *r, rp_target_t *t)
{
    t->is_dynamic = false;
    if (!strcmp(t->scheme, "balancer")) {
        t->backend = NULL;
        t->group = find_group(r, t);
        return t->group ? OK : rp_route_fail(r, t, RP_E_NO_GROUP, t->url);
    }
    if (is_blocked(rp_conf_get_server(r->server), t->host)) {
        return rp_route_fail(r, t, RP_E_BLOCKED, t->host);
    }
    return resolve_backend(r, t);
}

void rp_route_aim(request_rec *r, rp_target_t *t, const rp_backend_t *member, const char *group_path)
{
    apr_size_t authority = strlen(member->name) - strlen(member->path);

    t->scheme = member->scheme;
    t->host = member->host;
    t->port = member->port;
    t->has_port = member->port != rp_uri_default_port(span_of(member->scheme));
    t->uds_path = member->uds_path;
    t->path = apr_pstrcat(r->pool, member->path, group_path, NULL);
    t->url = apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, member->name, authority), t->path, NULL);
    note_socket(r, t);
}

bool rp_route_is_known(request_rec *r, const char *text)
{
    const rp_server_conf_t *conf = rp_conf_get_server(r->server);
    const rp_span_t none = {NULL, 0};
    const char *socket = NULL;
    rp_uri_t u;
    char *url;
    ptrdiff_t n;

    if (rp_route_is_group(text)) {
        return rp_conf_find_group(conf, text) != NULL;
    }
    if (rp_uri_split(&u, text) != RP_URI_OK || rp_uri_has_unsafe(u.rest)) {
        return false;
    }
    n = rp_uri_canonical_target(NULL, 0, &u, u.rest, none);
    if (n < 0) {
        return false;
    }
    url = apr_palloc(r->pool, (apr_size_t)n + 1);
    rp_uri_canonical_target(url, (apr_size_t)n + 1, &u, u.rest, none);
    if (u.socket.p) {
        socket = ap_runtime_dir_relative(r->pool, apr_pstrmemdup(r->pool, u.socket.p, u.socket.n));
    }
    return rp_conf_find_backend(conf, url, socket) != NULL;
}
