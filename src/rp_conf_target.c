#include "rp_conf_int.h"

#include <sys/un.h>

#include "rp_uri.h"

#define GROUP_SCHEME "balancer:"

/* Schemes of mod_proxy that we leave to it. */
static const char *const foreign_schemes[] = {"fcgi", "ajp", "scgi", "uwsgi",   "ftp",
                                              "h2",   "h2c", "fd",   "connect", NULL};
static const char *const known_schemes[] = {"http", "https", "ws", "wss", "balancer", "unix", NULL};

#define KNOWN_TARGETS "http://, https://, ws://, wss://, balancer:// and unix:/path|http://host/"

bool rp_conf_is_group_url(const char *url)
{
    return !ap_cstr_casecmpn(url, GROUP_SCHEME, sizeof(GROUP_SCHEME) - 1);
}

const char *rp_conf_strip_socket(apr_pool_t *p, const char *url)
{
    const char *pipe, *colon;

    if (ap_cstr_casecmpn(url, "unix:", 5) || !(pipe = strchr(url + 5, '|'))) {
        return url;
    }
    colon = strchr(pipe + 1, ':');
    if (!colon) {
        return NULL;
    }
    if (colon[1] == '\0') {
        return apr_pstrcat(p, pipe + 1, "//localhost", NULL);
    }
    return !strcmp(colon, "://") ? apr_pstrcat(p, pipe + 1, "localhost", NULL) : pipe + 1;
}

static bool is_variable(const char *text, unsigned flags)
{
    return text[0] == '$' && (((flags & RP_TARGET_HAS_BACKREFS) && apr_isdigit(text[1])) ||
                              ((flags & RP_TARGET_HAS_ENV) && text[1] == '{'));
}

static const char *find_variable(const char *text, const char *end, unsigned flags)
{
    for (; text < end; text++) {
        if (is_variable(text, flags)) {
            return text;
        }
    }
    return NULL;
}

static bool is_in_list(const char *word, const char *const *list)
{
    for (; *list; list++) {
        if (!ap_cstr_casecmp(word, *list)) {
            return true;
        }
    }
    return false;
}

static const char *refuse_scheme(apr_pool_t *p, const char *scheme, const char *url)
{
    const char *nearest;

    if (is_in_list(scheme, foreign_schemes)) {
        return apr_psprintf(
            p,
            "unsupported scheme '%s' in '%s': for it load mod_proxy and mod_proxy_%s beside this "
            "module (its directives are then RevProxyPass etc., plain ones go to mod_proxy)",
            scheme, url, !ap_cstr_casecmp(scheme, "h2") ? "http2" : scheme);
    }
    nearest = rp_conf_nearest(scheme, known_schemes);
    return apr_psprintf(p, "unknown scheme '%s' in '%s': known are " KNOWN_TARGETS "%s%s%s", scheme,
                        url, nearest ? "; did you mean " : "", nearest ? nearest : "",
                        nearest ? "?" : "");
}

static const char *describe(apr_pool_t *p, int err, const char *url)
{
    if (err == RP_URI_E_SCHEME || err == RP_URI_E_NOHOST || err == RP_URI_E_SYNTAX) {
        return apr_psprintf(
            p, "URL must be absolute!: %s (it %s; write for example http://127.0.0.1:8080/)", url,
            rp_uri_err_text(err));
    }
    return apr_psprintf(p, "Unable to parse URL: %s (it %s)", url, rp_uri_err_text(err));
}

static char *lower(apr_pool_t *p, const char *text, size_t n)
{
    char *copy = apr_pstrmemdup(p, text, n);

    ap_str_tolower(copy);
    return copy;
}

/* A path may begin with what stands directly behind a port or "]", and only a path. */
static bool is_behind_authority(const char *url, const char *at)
{
    const char *port = at;

    while (port > url && apr_isdigit(port[-1])) {
        port--;
    }
    return at > url && (at[-1] == ']' || (port < at && port[-1] == ':'));
}

/* The URL with something that fits in the place of each variable: part of a host or port, or the path. */
static const char *fill_variables(apr_pool_t *p, const char *url, unsigned flags)
{
    char *filled = apr_palloc(p, strlen(url) + 1), *out = filled;

    while (*url) {
        const char *brace = is_variable(url, flags) && url[1] == '{' ? strchr(url, '}') : NULL;

        if (brace || (is_variable(url, flags) && url[1] != '{')) {
            *out = is_behind_authority(filled, out) ? '/' : '1';
            url = brace ? brace + 1 : url + 2;
        }
        else {
            *out = *url++;
        }
        out++;
    }
    *out = '\0';
    return filled;
}

/* The first of these bytes that is not part of a variable, or the text's end. */
static const char *find_literal(const char *text, const char *bytes, unsigned flags)
{
    for (; *text && !strchr(bytes, *text); text++) {
        const char *brace = is_variable(text, flags) && text[1] == '{' ? strchr(text, '}') : NULL;

        text = brace ? brace : text;
    }
    return text;
}

/* scheme://[user@]host[:port]rest, all variable parts in host and port left as they are. */
static const char *name_variable_host(apr_pool_t *p, rp_backend_t *b, const char *url, unsigned flags)
{
    const char *host = strstr(url, "://") + 3;
    const char *end = find_literal(host, "/?#", flags), *colon;
    apr_int64_t port = 0;
    rp_uri_t u;
    int err = rp_uri_split(&u, fill_variables(p, url, flags));

    if (err) {
        return describe(p, err, url);
    }
    if (u.userinfo.p) {
        host = find_literal(host, "@", flags) + 1;
    }
    colon = find_literal(*host == '[' ? host + strcspn(host, "]") : host, ":/?#", flags);
    b->has_variable_host = true;
    b->host = lower(p, host, (size_t)(colon - host));
    if (*colon == ':' &&
        !rp_conf_parse_number(apr_pstrmemdup(p, colon + 1, strspn(colon + 1, "0123456789")),
                              &port) &&
        port > 0 && port <= 65535) {
        b->port = (apr_port_t)port;
    }
    b->path = apr_pstrdup(p, end);
    b->name = apr_pstrcat(p, lower(p, url, (size_t)(end - url)), end, NULL);
    return NULL;
}

static const char *name_fixed_host(apr_pool_t *p, rp_backend_t *b, const char *url)
{
    rp_uri_t u;
    int err = rp_uri_split(&u, url);
    const char *port;

    if (err) {
        return describe(p, err, url);
    }
    b->host = lower(p, u.host.p, u.host.n);
    if (u.port != 0 && u.port != b->port) {
        port = apr_psprintf(p, ":%u", u.port);
        b->port = (apr_port_t)u.port;
    }
    else {
        port = "";
    }
    b->path = apr_pstrmemdup(p, u.rest.p, u.rest.n);
    b->name = apr_pstrcat(p, b->scheme, "://", u.is_ipv6 ? "[" : "", b->host, u.is_ipv6 ? "]" : "",
                          port, b->path, NULL);
    return NULL;
}

static const char *set_scheme(apr_pool_t *p, rp_backend_t *b, const char *url)
{
    const char *colon = strchr(url, ':');
    size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    rp_span_t scheme = {url, n};

    if (!colon || url + n != colon || n == 0) {
        return describe(p, RP_URI_E_SCHEME, url);
    }
    b->scheme = lower(p, url, n);
    b->port = (apr_port_t)rp_uri_default_port(scheme);
    b->is_tls = !strcmp(b->scheme, "https") || !strcmp(b->scheme, "wss");
    if (b->port) {
        return NULL;
    }
    /* "host:8080" lacks its scheme, "htp://host" has a wrong one. */
    return colon[1] == '/' ? refuse_scheme(p, b->scheme, url) : describe(p, RP_URI_E_SCHEME, url);
}

/* Read the socket of "unix:PATH|URL" and hand back the URL. */
static const char *set_socket(apr_pool_t *p, rp_backend_t *b, const char **url)
{
    const char *whole = *url, *path = whole + 5, *pipe;
    struct sockaddr_un un;

    if (ap_cstr_casecmpn(whole, "unix:", 5)) {
        return NULL;
    }
    pipe = strchr(path, '|');
    if (!pipe) {
        return apr_psprintf(
            p, "URL must be absolute!: %s (behind the socket's path write |http://localhost/)",
            whole);
    }
    *url = rp_conf_strip_socket(p, whole);
    if (!*url) {
        return apr_psprintf(
            p, "uses an invalid \"unix:\" URL: %s (write unix:/path/to.sock|http://localhost/)",
            whole);
    }
    if (path[0] == '/' && path[1] == '/') {
        path += 2;
        if (*path != '/') {
            return apr_psprintf(
                p,
                "uses an invalid \"unix:\" URL: %s (no host before the socket's path: write "
                "unix:/path/to.sock|http://localhost/)",
                whole);
        }
    }
    b->uds_path = ap_runtime_dir_relative(p, apr_pstrmemdup(p, path, (size_t)(pipe - path)));
    if (pipe == path || !b->uds_path) {
        return apr_psprintf(p, "uses an invalid \"unix:\" URL: %s (its path is empty or invalid)",
                            whole);
    }
    if (strlen(b->uds_path) >= sizeof(un.sun_path)) {
        return apr_psprintf(p, "worker uds path (%s) too long: at most %d bytes", b->uds_path,
                            (int)sizeof(un.sun_path) - 1);
    }
    return NULL;
}

static const char *set_address(apr_pool_t *p, rp_backend_t *b, const char *url, unsigned flags)
{
    const char *err = set_scheme(p, b, url);
    const char *host = strchr(url, ':'), *end;

    if (err) {
        return err;
    }
    if (b->uds_path && host[1] == '/' && (host[2] != '/' || host[3] == '/')) {
        /* "http:/p" and "http:///p" behind a socket: the host does not matter. */
        url = apr_pstrcat(p, b->scheme, "://localhost", host + (host[2] == '/' ? 3 : 1), NULL);
        host = strchr(url, ':');
    }
    if (strncmp(host, "://", 3) != 0) {
        return describe(p, RP_URI_E_SYNTAX, url);
    }
    host += 3;
    end = host + strcspn(host, "/?#");
    err = find_variable(host, end, flags) ? name_variable_host(p, b, url, flags)
                                          : name_fixed_host(p, b, url);
    b->has_variable_path = !err && find_variable(b->path, b->path + strlen(b->path), flags);
    return err;
}

const char *rp_conf_read_backend(apr_pool_t *p, const char *url, unsigned flags,
                                 rp_backend_t **backend)
{
    rp_backend_t *b = apr_pcalloc(p, sizeof(*b));
    const char *err = set_socket(p, b, &url);

    if (!err) {
        err = set_address(p, b, url, flags);
    }
    if (err) {
        return err;
    }
    rp_conf_init_options(&b->opt);
    b->id = -1;
    b->slot = -1;
    *backend = b;
    return NULL;
}

const char *rp_conf_make_backend(cmd_parms *cmd, const char *url, unsigned flags,
                                 rp_backend_t **backend)
{
    const char *err = rp_conf_read_backend(cmd->pool, url, flags, backend);

    if (!err) {
        (*backend)->server = cmd->server;
        (*backend)->file = cmd->directive->filename;
        (*backend)->line = cmd->directive->line_num;
    }
    return err;
}

const char *rp_conf_add_backend(cmd_parms *cmd, const char *url, unsigned flags,
                                rp_backend_t **backend)
{
    const char *err = rp_conf_make_backend(cmd, url, flags, backend);

    if (!err) {
        APR_ARRAY_PUSH(rp_conf_of(cmd)->backends, rp_backend_t *) = *backend;
    }
    return err;
}

static bool is_same_socket(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* The first variable in a pattern, or its end. */
static const char *next_variable(const char *pattern)
{
    const char *end = pattern + strlen(pattern);
    const char *found = find_variable(pattern, end, RP_TARGET_HAS_BACKREFS | RP_TARGET_HAS_ENV);

    return found ? found : end;
}

/* Does url begin with the pattern, where $n and ${X} stand for any text? The first place where
 * each literal piece fits is as good as any later one, so this takes one pass. */
static bool matches_pattern(const char *url, const char *pattern)
{
    const char *stop = next_variable(pattern);
    size_t n = (size_t)(stop - pattern);

    if (strncmp(url, pattern, n) != 0) {
        return false;
    }
    url += n;
    while (*stop) {
        pattern = stop[1] == '{' ? strchr(stop, '}') : stop + 1;
        if (!pattern) {
            return true;
        }
        stop = next_variable(++pattern);
        n = (size_t)(stop - pattern);
        url = memmem(url, strlen(url), pattern, n);
        if (!url) {
            return false;
        }
        url += n;
    }
    return true;
}

static bool covers(const rp_backend_t *b, const char *url, const char *uds_path)
{
    if (!is_same_socket(b->uds_path, uds_path)) {
        return false;
    }
    if (b->has_variable_host || b->has_variable_path) {
        return matches_pattern(url, b->name);
    }
    return !strncmp(url, b->name, strlen(b->name));
}

/* Bytes of scheme://host:port: a shorter name cannot be meant. */
static size_t authority_length(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : strlen(url);
}

static rp_backend_t *find_longest(const rp_server_conf_t *conf, const char *url,
                                  const char *uds_path, bool is_named)
{
    rp_backend_t *best = NULL;
    size_t n, least = authority_length(url);
    int i;

    for (i = 0; i < conf->backends->nelts; i++) {
        rp_backend_t *b = APR_ARRAY_IDX(conf->backends, i, rp_backend_t *);

        n = strlen(b->name);
        if (n >= least && (!is_named || b->is_named) && covers(b, url, uds_path)) {
            best = b;
            least = n + 1;
        }
    }
    return best;
}

rp_backend_t *rp_conf_find_backend(const rp_server_conf_t *conf, const char *url,
                                   const char *uds_path)
{
    return find_longest(conf, url, uds_path, false);
}

const rp_backend_t *rp_conf_find_named(const rp_server_conf_t *conf, const rp_backend_t *backend)
{
    return find_longest(conf, backend->name, backend->uds_path, true);
}

static const char *apply(cmd_parms *cmd, rp_backend_t *b, const char *args, const char *url)
{
    const char *err;
    char *word, *value;

    while (*args) {
        word = ap_getword_conf(cmd->pool, &args);
        value = strchr(word, '=');
        if (!value) {
            return apr_psprintf(cmd->pool,
                                "Invalid parameter '%s'. Parameter must be in the form 'key=value'",
                                word);
        }
        *value++ = '\0';
        err = rp_conf_set_param(cmd, &b->opt, word, value);
        if (err) {
            return apr_psprintf(cmd->pool, "%s; %s", err, url);
        }
    }
    return NULL;
}

bool rp_conf_is_same_backend(const rp_backend_t *a, const rp_backend_t *b)
{
    return rp_conf_is_same_name(a->name, b->name) && is_same_socket(a->uds_path, b->uds_path);
}

static const rp_backend_t *find_same(const rp_server_conf_t *conf, const rp_backend_t *named,
                                     bool is_named)
{
    int i;

    for (i = 0; i < conf->backends->nelts; i++) {
        const rp_backend_t *b = APR_ARRAY_IDX(conf->backends, i, rp_backend_t *);

        if (rp_conf_is_same_backend(b, named) && (!is_named || b->is_named)) {
            return b;
        }
    }
    return NULL;
}

static const char *apply_to_all(cmd_parms *cmd, const rp_backend_t *known, const char *args,
                                const char *url)
{
    const apr_array_header_t *backends = rp_conf_of(cmd)->backends;
    const char *err = NULL;
    int i;

    for (i = 0; !err && i < backends->nelts; i++) {
        rp_backend_t *b = APR_ARRAY_IDX(backends, i, rp_backend_t *);

        if (rp_conf_is_same_backend(b, known)) {
            err = apply(cmd, b, args, url);
        }
    }
    return err;
}

const char *rp_conf_set_named(cmd_parms *cmd, const char *url, const char *args, bool is_new_ok)
{
    rp_server_conf_t *conf = rp_conf_of(cmd);
    rp_backend_t *named;
    const rp_backend_t *known;
    const char *err;

    err = rp_conf_add_backend(cmd, url, RP_TARGET_HAS_BACKREFS, &named);
    if (err) {
        return err;
    }
    /* Kept below a name that is known already: later routes to it start from it. */
    apr_array_pop(conf->backends);
    known = find_same(conf, named, false);
    if (!known && !is_new_ok) {
        /* As mod_proxy, where the name is looked up like a request's target. */
        known = find_longest(conf, named->name, named->uds_path, false);
        if (!known) {
            return apr_psprintf(
                cmd->pool,
                "can not find '%s' Worker: define it first, by a ProxyPass to it or by "
                "<Proxy \"%s\"> ... </Proxy>",
                url, url);
        }
        named->name = known->name;
        named->path = known->path;
    }
    err = known ? apply_to_all(cmd, known, args, url) : NULL;
    if (err || find_same(conf, named, true)) {
        return err;
    }
    named->is_named = true;
    APR_ARRAY_PUSH(conf->backends, rp_backend_t *) = named;
    return apply(cmd, named, args, url);
}
