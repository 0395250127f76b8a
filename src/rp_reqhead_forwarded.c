#include "rp_reqhead_int.h"

#include <string.h>

#include "apr_strings.h"
#include "http_config.h"
#include "http_core.h"
#include "http_protocol.h"

#include "rp_h1.h"

/* mod_remoteip marks connections that begin with a header of the PROXY protocol, and looks at no field there. */
static bool has_proxy_protocol(const conn_rec *c)
{
    const module *remoteip = ap_find_linked_module("mod_remoteip.c");

    return remoteip && ap_get_module_config(c->conn_config, remoteip) != NULL;
}

/* Who has written the fields. A balancer that speaks the PROXY protocol passes on what the client has sent. */
static const char *get_sender(const request_rec *r)
{
    return has_proxy_protocol(r->connection) ? r->useragent_ip : r->connection->client_ip;
}

bool rp_forwarded_keeps(const request_rec *r, const rp_forwarded_t *conf)
{
    if (conf->mode != RP_FORWARDED_AUTO) {
        return conf->mode == RP_FORWARDED_APPEND;
    }
    return strcmp(r->useragent_ip, r->connection->client_ip) != 0 && !has_proxy_protocol(r->connection);
}

const char *rp_forwarded_get_proto(request_rec *r, const char *theirs)
{
    if (theirs && (!ap_cstr_casecmp(theirs, "https") || !ap_cstr_casecmp(theirs, "http"))) {
        return theirs;
    }
    return ap_http_scheme(r);
}

/* Where the client has connected to. Not ap_get_server_port: that may be what the Host field says. */
static apr_port_t get_port(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return core->use_canonical_name == USE_CANONICAL_NAME_ON ? ap_get_server_port(r)
                                                             : r->connection->local_addr->port;
}

const char *rp_forwarded_get_port(request_rec *r, const char *theirs)
{
    apr_int64_t port = theirs && strspn(theirs, "0123456789") == strlen(theirs) ? apr_atoi64(theirs) : 0;

    return port >= 1 && port <= 65535 ? theirs : apr_itoa(r->pool, get_port(r));
}

/* ---- RFC 7239 ---- */

/* token or quoted-string (RFC 9110 5.6). */
static const char *quote(apr_pool_t *p, const char *text)
{
    rp_span_t span = {text, strlen(text)};

    return rp_h1_is_token(span) ? text : apr_pstrcat(p, "\"", ap_escape_quotes(p, text), "\"", NULL);
}

/* Section 6: an IPv6 address in brackets, without a zone. */
static const char *format_node(apr_pool_t *p, const char *ip, apr_port_t port)
{
    const char *colon = port ? apr_psprintf(p, ":%u", port) : "";
    bool is_v6 = strchr(ip, ':') != NULL;

    if (is_v6) {
        ip = apr_pstrcat(p, "[", apr_pstrmemdup(p, ip, strcspn(ip, "%")), "]", NULL);
    }
    return quote(p, apr_pstrcat(p, ip, colon, NULL));
}

static const char *get_by(const request_rec *r, const rp_forwarded_t *conf)
{
    const conn_rec *c = r->connection;

    return conf->by ? conf->by : format_node(r->pool, c->local_ip, c->local_addr->port);
}

/* A quote that does not end would swallow what we append. */
static bool is_balanced(const char *text)
{
    bool is_quoted = false;

    for (; *text; text++) {
        if (*text == '"') {
            is_quoted = !is_quoted;
        }
        else if (is_quoted && *text == '\\' && text[1]) {
            text++;
        }
    }
    return !is_quoted;
}

const char *rp_forwarded_format(request_rec *r, const rp_forwarded_t *conf, const char *host, const char *theirs)
{
    bool is_appended = theirs && *theirs && is_balanced(theirs);
    /* Behind elements of a proxy stands that proxy, else the client that it speaks for. */
    const char *ip = is_appended ? get_sender(r) : r->useragent_ip;
    const char *client = conf->client ? conf->client : format_node(r->pool, ip, 0);

    return apr_pstrcat(r->pool, is_appended ? theirs : "", is_appended ? ", " : "", "for=", client,
                       host ? ";host=" : "", host ? quote(r->pool, host) : "", ";proto=", ap_http_scheme(r),
                       conf->has_by ? ";by=" : "", conf->has_by ? get_by(r, conf) : "", NULL);
}
