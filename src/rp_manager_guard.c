#include "rp_manager_int.h"

#include <string.h>

#include "apr_uri.h"
#include "http_vhost.h"

#include "rp_err.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

static bool is_known_port(const apr_uri_t *url, const request_rec *r)
{
    apr_port_t port = url->port ? url->port : apr_uri_port_of_scheme(url->scheme);
    /* Host's, as the browser sees it: a front end may have another than this server's. */
    const char *host = apr_table_get(r->headers_in, "Host"), *colon = host ? strrchr(host, ':') : NULL;
    const char *digits = colon && !strchr(colon, ']') ? colon + 1 : NULL;

    if (digits) {
        return apr_atoi64(digits) == port;
    }
    return port == apr_uri_port_of_scheme(url->scheme) || port == ap_get_server_port(r);
}

static bool is_address(const char *host)
{
    return strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0';
}

/* Is the name one that the operator chose, or one that nobody can make lead here? With UseCanonicalName Off the name
 * of the server is what Host says, and that may be any domain whose owner lets it lead to our address for a moment
 * (DNS rebinding): to the browser its pages are then of our origin. */
static bool is_known_name(request_rec *r, const char *host)
{
    return is_address(host) || !ap_cstr_casecmp(host, "localhost") || ap_matches_request_vhost(r, host, r->server->port);
}

/* Is this URL one of this server? with_port: of its port, too. */
static bool is_own(request_rec *r, const char *text, bool with_port)
{
    apr_uri_t url;

    if (apr_uri_parse(r->pool, text, &url) != APR_SUCCESS || !url.hostname || !url.scheme) {
        return false;
    }
    return !ap_cstr_casecmp(url.hostname, ap_get_server_name(r)) && is_known_name(r, url.hostname) &&
           (!with_port || is_known_port(&url, r));
}

/* Browsers say where a form was sent from. Sec-Fetch-Site cannot be forged by a page, Origin neither; Referer is
 * what scripts have sent to mod_proxy's manager. */
static bool is_same_origin(request_rec *r)
{
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    const char *origin = apr_table_get(r->headers_in, "Origin");
    const char *referer = apr_table_get(r->headers_in, "Referer");

    if (site && strcmp(site, "same-origin") != 0) {
        return false;
    }
    if (origin) {
        return is_own(r, origin, true);
    }
    return referer && is_own(r, referer, false);
}

/* Takes the same time wherever the texts differ. */
static bool is_equal(const char *a, const char *b)
{
    size_t i, n = strlen(a);
    unsigned char differs = 0;

    for (i = 0; n == strlen(b) && i < n; i++) {
        differs |= (unsigned char)(a[i] ^ b[i]);
    }
    return n == strlen(b) && !differs;
}

static bool has_nonce(const rp_manager_t *m)
{
    const char *given = apr_table_get(m->form, "nonce");
    char nonce[RP_SHM_TEXT];

    rp_shm_get_group_text(m->group, RP_SHM_NONCE, nonce);
    return *nonce && given && is_equal(nonce, given);
}

static bool refuse(rp_manager_t *m, const char *why, const char *text)
{
    rp_err_where_t where = {.backend = m->member ? m->member->name : m->group->name};

    rp_err_log(m->r, RP_E_MANAGER_REFUSED, 0, &where, why);
    rp_manager_fail(m, HTTP_FORBIDDEN, text);
    return false;
}

bool rp_manager_may_change(rp_manager_t *m)
{
    if (!is_same_origin(m->r)) {
        return refuse(m, "it does not come from a page of this server (Origin, Referer; names are ServerName and ServerAlias)",
                      "Nothing was changed: the request does not come from a page of this server. A script has to send "
                      "Referer or Origin with this server's name: its address, localhost, ServerName or a ServerAlias.");
    }
    if (m->group->opt.nonce && !*m->group->opt.nonce) {
        return refuse(m, "nonce=None", "Nothing was changed: nonce=None in the configuration forbids it.");
    }
    if (!has_nonce(m)) {
        return refuse(m, "it does not have the nonce",
                      "Nothing was changed: the nonce is missing, or of before a restart. Take it from this page.");
    }
    return true;
}
