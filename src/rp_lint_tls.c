#include "rp_lint_int.h"

#include "apr_file_info.h"

#include "rp_conn.h"

/* mod_ssl's settings are its own, so the directives themselves are looked for. */

/* A route of the main server serves every host that may say otherwise. */
static const server_rec *get_scope(const server_rec *s)
{
    return s->is_virtual ? s : NULL;
}

static bool is_said(const rp_lint_t *lint, const char *name, const char *value, const server_rec *s)
{
    return rp_lint_find_directive(lint, name, value, get_scope(s)) != NULL;
}

static const rp_backend_t *get_tls_backend(const rp_lint_t *lint)
{
    return lint->backend->is_tls ? lint->backend : NULL;
}

/* Nobody asks a member of a balancer that nothing leads to. */
static bool is_used(const rp_lint_t *lint)
{
    return lint->route || apr_hash_get(lint->balancers, lint->group->name, APR_HASH_KEY_STRING) ||
           apr_hash_get(lint->balancers, "*", APR_HASH_KEY_STRING);
}

/* ---- is TLS on? ---- */

/* The part of a URL or pattern that every request has: before what the request fills in or may differ in. */
static const char *get_literal(apr_pool_t *p, const char *url)
{
    return apr_pstrmemdup(p, url, strcspn(url, "$%*?["));
}

/* May this <Proxy> section apply to some request for url? A regular expression may look at what only requests have. */
static bool may_apply(apr_pool_t *p, const ap_directive_t *section, const char *url)
{
    bool is_plain = rp_lint_is_named(section, "<Proxy") || rp_lint_is_named(section, "<RevProxy");
    const char *pattern;

    if (!is_plain) {
        return rp_lint_is_named(section, "<ProxyMatch") || rp_lint_is_named(section, "<RevProxyMatch");
    }
    pattern = rp_lint_get_word(p, section, 0);
    pattern = apr_pstrmemdup(p, pattern, strcspn(pattern, ">"));
    pattern += !ap_cstr_casecmpn(pattern, "proxy:", 6) ? 6 : 0;
    pattern = get_literal(p, pattern);
    url = get_literal(p, url);
    return !ap_cstr_casecmpn(pattern, url, strlen(pattern) < strlen(url) ? strlen(pattern) : strlen(url));
}

static bool is_on_in_section(const rp_lint_t *lint, const char *name, const server_rec *s, const char *url)
{
    const apr_array_header_t *list = rp_lint_get_directives(lint, name);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const ap_directive_t *d = APR_ARRAY_IDX(list, i, const ap_directive_t *);
        const server_rec *host = rp_lint_get_host(lint, d);

        if (d->parent && (host == s || host == lint->main) && may_apply(lint->p, d->parent, url) &&
            !ap_cstr_casecmp(rp_lint_get_word(lint->p, d, 0), "on")) {
            return true;
        }
    }
    return false;
}

/* May a request of server s for url speak TLS? By mod_ssl or mod_tls. url: NULL if no section applies. */
static bool has_engine(const rp_lint_t *lint, const server_rec *s, const char *url)
{
    static const char *const names[] = {"SSLProxyEngine", "TLSProxyEngine"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (rp_lint_is_on(lint, names[i], s) || (url && is_on_in_section(lint, names[i], s, url))) {
            return true;
        }
    }
    return false;
}

/* Do requests of server s reach lint->backend? Virtual hosts have the main server's routes and balancers. */
static bool is_reached_from(const rp_lint_t *lint, const server_rec *s)
{
    const server_rec *owner = lint->backend->server;
    const rp_server_conf_t *conf = rp_conf_get_server(s);

    if (s == owner || owner->is_virtual) {
        return s == owner;
    }
    return conf->pass_inherit != RP_OFF || (lint->route ? lint->rank < 0 : conf->balancer_inherit != RP_OFF);
}

static void check_engine(rp_lint_t *lint)
{
    const rp_backend_t *b = get_tls_backend(lint);
    const server_rec *s;
    const char *url;

    if (!b || !is_used(lint)) {
        return;
    }
    /* Sections for a member are those of its balancer. */
    url = lint->route ? lint->route->target : lint->group->name;
    for (s = lint->main; s; s = s->next) {
        if (is_reached_from(lint, s) && has_engine(lint, s, url)) {
            return;
        }
    }
    rp_lint_say_backend(lint, "the target wants TLS and SSLProxyEngine is not on here, so every request "
                              "fails: load mod_ssl and write SSLProxyEngine On");
}

static const char *get_target(const rp_lint_t *lint)
{
    const char *target = "", *url;

    if (rp_lint_is_proxying(lint, lint->d)) {
        target = rp_lint_get_word(lint->p, lint->d, 1);
    }
    else if (rp_lint_is_named(lint->d, "SetHandler")) {
        target = rp_lint_get_word(lint->p, lint->d, 0);
        target = !ap_cstr_casecmpn(target, "proxy:", 6) ? target + 6 : "";
    }
    url = !ap_cstr_casecmpn(target, "unix:", 5) ? strchr(target, '|') : NULL;
    return url ? url + 1 : target;
}

/* A rule or a handler of the main server may serve other hosts, too. Handlers are looked at after <Proxy> sections. */
static void check_rule(rp_lint_t *lint)
{
    const char *url = get_target(lint);
    bool is_handler = rp_lint_is_named(lint->d, "SetHandler");
    const server_rec *s;

    if ((ap_cstr_casecmpn(url, "https://", 8) && ap_cstr_casecmpn(url, "wss://", 6)) ||
        (!is_handler && rp_lint_is_asleep(lint, lint->d))) {
        return;
    }
    for (s = lint->main; s; s = s->next) {
        if ((s == lint->s || !lint->s->is_virtual) && has_engine(lint, s, is_handler ? NULL : url)) {
            return;
        }
    }
    rp_lint_say_directive(lint, "the target wants TLS and SSLProxyEngine is not on here, so every request fails: load mod_ssl "
                                "and write SSLProxyEngine On%s",
                          is_handler ? " in the server itself, <Proxy> sections do not hold for handlers" : "");
}

/* ---- names in certificates ---- */

static bool has_name_check(const rp_lint_t *lint, const rp_backend_t *b)
{
    return is_said(lint, "SSLProxyEngine", "on", b->server) && !is_said(lint, "SSLProxyCheckPeerName", "off", b->server);
}

static bool is_address(const char *host)
{
    return strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0';
}

static void check_address(rp_lint_t *lint)
{
    const rp_backend_t *b = get_tls_backend(lint);

    if (b && !b->uds_path && is_address(b->host) && has_name_check(lint, b) && !rp_lint_keeps_host(lint)) {
        rp_lint_say_backend(lint,
                          "the backend's certificate has to name the address %s, and few do; else each request gets 502: "
                          "write the name that stands in it as the target's host, or SSLProxyCheckPeerName off",
                          b->host);
    }
}

static void check_host(rp_lint_t *lint)
{
    const rp_backend_t *b = get_tls_backend(lint);

    if (b && rp_lint_keeps_host(lint) && has_name_check(lint, b)) {
        rp_lint_say_backend(lint,
                          "with ProxyPreserveHost On the client's Host is the TLS name (SNI), too, and the backend's "
                          "certificate has to carry it, not %s: else ProxyPreserveHost Off or SSLProxyCheckPeerName off",
                          b->host);
    }
}

static void check_unverified(rp_lint_t *lint)
{
    const rp_backend_t *b = get_tls_backend(lint);

    if (b && is_said(lint, "SSLProxyEngine", "on", b->server) && !is_said(lint, "SSLProxyVerify", "require", b->server)) {
        rp_lint_say_backend(lint, "nobody looks who has signed the backend's certificate: write SSLProxyVerify require and "
                                "SSLProxyCACertificateFile (or ...Path)");
    }
}

static void check_ca(rp_lint_t *lint)
{
    if (!rp_lint_is_named(lint->d, "SSLProxyVerify") || ap_cstr_casecmp(rp_lint_get_word(lint->p, lint->d, 0), "require") ||
        is_said(lint, "SSLProxyCACertificateFile", NULL, lint->s) ||
        is_said(lint, "SSLProxyCACertificatePath", NULL, lint->s)) {
        return;
    }
    rp_lint_say_directive(lint, "no authority is trusted here, so every backend is refused: write "
                                "SSLProxyCACertificateFile /path/to/ca.pem, or SSLProxyCACertificatePath /etc/ssl/certs");
}

/* ---- files ---- */

#define MAX_PEM (1024 * 1024)

/* The file's text; NULL with *why. */
static const char *read_text(apr_pool_t *p, const char *path, const char **why)
{
    apr_finfo_t info;
    apr_file_t *file;
    apr_size_t n = MAX_PEM;
    char *text, reason[120];
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_SIZE, p);

    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        *why = "it is no file";
        return NULL;
    }
    rv = rv == APR_SUCCESS ? apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, p) : rv;
    if (rv != APR_SUCCESS) {
        *why = apr_pstrdup(p, apr_strerror(rv, reason, sizeof(reason)));
        return NULL;
    }
    n = info.size < MAX_PEM ? (apr_size_t)info.size : MAX_PEM;
    text = apr_pcalloc(p, n + 1);
    apr_file_read_full(file, text, n, NULL);
    apr_file_close(file);
    return text;
}

static const char *judge_key(const char *text)
{
    if (strstr(text, "ENCRYPTED")) {
        return "its key has a passphrase, which nobody is asked for: openssl pkey -in key.pem -out plain.pem";
    }
    return strstr(text, "PRIVATE KEY-----") ? NULL : "the private key is missing: put it into the same file, behind the certificate";
}

static const char *judge(const char *text, const char *directive)
{
    bool is_crl = ap_strcasestr(directive, "Revocation") != NULL;

    if (!strstr(text, is_crl ? "-----BEGIN X509 CRL-----" : "CERTIFICATE-----")) {
        return is_crl ? "there is no PEM list (-----BEGIN X509 CRL-----) in it: openssl crl -inform DER -in x.crl -out x.pem"
                      : "there is no PEM certificate (-----BEGIN CERTIFICATE-----) in it: openssl x509 -inform DER -in "
                        "x.cer -out x.pem";
    }
    return rp_lint_is_named(&(ap_directive_t){.directive = directive}, "SSLProxyMachineCertificateFile")
               ? judge_key(text)
               : NULL;
}

static void check_file(rp_lint_t *lint)
{
    const char *name = lint->d->directive, *text, *why = NULL;

    if (ap_cstr_casecmpn(name, "SSLProxy", 8) || !rp_lint_ends_in(name, 'e') || !ap_strcasestr(name, "File") ||
        !strcmp(rp_lint_get_word(lint->p, lint->d, 0), "")) {
        return;
    }
    text = read_text(lint->p, ap_server_root_relative(lint->p, rp_lint_get_word(lint->p, lint->d, 0)), &why);
    if (text) {
        why = judge(text, name);
    }
    if (why) {
        rp_lint_say_directive(lint, "httpd will not start, or no backend is reached: %s", why);
    }
}

/* One authority of a bundle that has expired does no harm. */
static void check_dates(rp_lint_t *lint)
{
    const char *text, *dead, *why;
    bool has_valid, is_ours = rp_lint_is_named(lint->d, "SSLProxyMachineCertificateFile") ||
                              rp_lint_is_named(lint->d, "SSLProxyMachineCertificateChainFile");

    if (!is_ours && !rp_lint_is_named(lint->d, "SSLProxyCACertificateFile")) {
        return;
    }
    text = read_text(lint->p, ap_server_root_relative(lint->p, rp_lint_get_word(lint->p, lint->d, 0)), &why);
    dead = text ? rp_conn_find_dead_cert(lint->p, text, &has_valid) : NULL;
    if (dead && (is_ours || !has_valid)) {
        rp_lint_say_directive(lint, "%s, so %s: put a new one there", dead,
                              is_ours ? "backends refuse it" : "no backend is trusted and each request gets 502");
    }
}

/* OpenSSL looks files up by the hash of a name: 5ed36f99.0, 5ed36f99.r0. */
static bool is_hashed_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && (apr_isdigit(name[9]) || name[9] == 'r');
}

static bool has_hashed_names(apr_pool_t *p, const char *path)
{
    apr_finfo_t info;
    apr_dir_t *dir;
    bool found = false;

    if (apr_dir_open(&dir, path, p) != APR_SUCCESS) {
        return false;
    }
    while (!found && apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        found = is_hashed_name(info.name);
    }
    apr_dir_close(dir);
    return found;
}

static void check_dir(rp_lint_t *lint)
{
    const char *path;

    if (!rp_lint_is_named(lint->d, "SSLProxyCACertificatePath") && !rp_lint_is_named(lint->d, "SSLProxyCARevocationPath")) {
        return;
    }
    path = ap_server_root_relative(lint->p, rp_lint_get_word(lint->p, lint->d, 0));
    if (!has_hashed_names(lint->p, path)) {
        rp_lint_say_directive(lint, "no file in it has a name like 5ed36f99.0, by which certificates are found, so none "
                                    "is trusted: run openssl rehash %s, or name one file with SSLProxyCACertificateFile",
                              path);
    }
}

const rp_lint_check_t rp_lint_tls_checks[] = {
    {"tls-engine", APLOG_ERR, RP_LINT_BACKEND, check_engine},
    {"tls-rule", APLOG_ERR, RP_LINT_DIRECTIVE, check_rule},
    {"tls-address", APLOG_INFO, RP_LINT_BACKEND, check_address},
    {"tls-host", APLOG_INFO, RP_LINT_BACKEND, check_host},
    {"tls-unverified", APLOG_INFO, RP_LINT_BACKEND, check_unverified},
    {"tls-ca", APLOG_WARNING, RP_LINT_DIRECTIVE, check_ca},
    {"cert-file", APLOG_WARNING, RP_LINT_DIRECTIVE, check_file},
    {"cert-dates", APLOG_WARNING, RP_LINT_DIRECTIVE, check_dates},
    {"cert-path", APLOG_WARNING, RP_LINT_DIRECTIVE, check_dir},
    {.name = NULL},
};
