#include "rp_lint_int.h"

#include "apr_buckets.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_vhost.h"

/* Documentation's own (RFC 5737): of the client nothing is known. */
#define CLIENT "192.0.2.1"

static bool has_name(const server_rec *s, const char *host)
{
    int i;

    if (s->server_hostname && !ap_cstr_casecmp(s->server_hostname, host)) {
        return true;
    }
    for (i = 0; s->names && i < s->names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(s->names, i, const char *);

        if (name && !ap_cstr_casecmp(name, host)) {
            return true;
        }
    }
    return false;
}

/* An address of a <VirtualHost 192.0.2.5:80> that has the name, for which httpd has to be asked at that
 * very address. */
static apr_sockaddr_t *find_address(const server_rec *main, const char *host, apr_port_t port)
{
    const server_rec *s;
    const server_addr_rec *a;

    for (s = main->next; s; s = s->next) {
        for (a = s->addrs; a && has_name(s, host); a = a->next) {
            if ((a->host_port == 0 || a->host_port == port) && a->host_addr) {
                return a->host_addr;
            }
        }
    }
    return NULL;
}

/* Where a client that asks for the host arrives: only what decides about virtual hosts is exact. */
static apr_sockaddr_t *choose_address(apr_pool_t *p, const server_rec *main, const char *host, apr_port_t port)
{
    apr_sockaddr_t *found = find_address(main, host, port), *address;
    bool is_literal = strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0';
    char *ip = NULL;

    if (found) {
        apr_sockaddr_ip_get(&ip, found);
    }
    /* No name is looked up. */
    if (apr_sockaddr_info_get(&address, ip ? ip : is_literal ? host : "127.0.0.1", APR_UNSPEC, port, 0, p) !=
        APR_SUCCESS) {
        return NULL;
    }
    return address;
}

static conn_rec *make_connection(apr_pool_t *p, server_rec *main, const char *host, apr_port_t port)
{
    conn_rec *c = apr_pcalloc(p, sizeof(*c));

    c->pool = p;
    c->base_server = main;
    c->local_addr = choose_address(p, main, host, port);
    if (!c->local_addr ||
        apr_sockaddr_info_get(&c->client_addr, CLIENT, APR_UNSPEC, 50000, 0, p) != APR_SUCCESS) {
        return NULL;
    }
    c->client_ip = CLIENT;
    apr_sockaddr_ip_get(&c->local_ip, c->local_addr);
    c->conn_config = ap_create_conn_config(p);
    c->notes = apr_table_make(p, 2);
    c->bucket_alloc = apr_bucket_alloc_create(p);
    ap_update_vhost_given_ip(c);
    return c;
}

request_rec *rp_lint_make_request(apr_pool_t *p, server_rec *main, const char *host, apr_port_t port, const char *uri)
{
    conn_rec *c = make_connection(p, main, host, port);
    request_rec *r = c ? ap_create_request(c) : NULL;
    const char *open = strchr(host, ':') ? "[" : "";

    if (!r) {
        return NULL;
    }
    r->method = "GET";
    r->method_number = M_GET;
    r->protocol = "HTTP/1.1";
    r->proto_num = HTTP_VERSION(1, 1);
    r->status = HTTP_OK;
    r->request_time = apr_time_now();
    r->the_request = apr_psprintf(p, "GET %s HTTP/1.1", uri);
    apr_table_setn(r->headers_in, "Host",
                   port == 80 || port == 443 ? apr_pstrcat(p, open, host, *open ? "]" : "", NULL)
                                             : apr_psprintf(p, "%s%s%s:%u", open, host, *open ? "]" : "", port));
    ap_parse_uri(r, uri);
    ap_update_vhost_from_headers(r);
    if (r->status != HTTP_OK || !r->parsed_uri.path || r->parsed_uri.path[0] != '/') {
        return NULL;
    }
    r->per_dir_config = r->server->lookup_defaults;
    return r;
}

/* mod_ssl knows a request to be its own by the connection, and there is none. NULL in a server that serves. */
static const request_rec *tls_request;

void rp_lint_set_tls(const request_rec *r)
{
    tls_request = r;
}

const char *rp_lint_http_scheme(const request_rec *r)
{
    return r == tls_request ? "https" : NULL;
}

apr_port_t rp_lint_default_port(const request_rec *r)
{
    return r == tls_request ? 443 : 0;
}

/* httpd's own way of reading a path, step for step. */
static unsigned get_normal_flags(const request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);

    return AP_NORMALIZE_DECODE_UNRESERVED | (core->merge_slashes != AP_CORE_CONFIG_OFF ? AP_NORMALIZE_MERGE_SLASHES : 0);
}

int rp_lint_prepare_request(request_rec *r)
{
    if (!ap_normalize_path(r->parsed_uri.path, get_normal_flags(r))) {
        return HTTP_BAD_REQUEST;
    }
    return ap_location_walk(r);
}

int rp_lint_settle_request(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    int rc = core->allow_encoded_slashes ? ap_unescape_url_keep2f(r->parsed_uri.path, core->decode_encoded_slashes)
                                         : ap_unescape_url(r->parsed_uri.path);

    if (rc != OK) {
        return rc;
    }
    if (core->allow_encoded_slashes && core->decode_encoded_slashes) {
        ap_normalize_path(r->parsed_uri.path, get_normal_flags(r));
    }
    r->per_dir_config = r->server->lookup_defaults;
    return ap_location_walk(r);
}
