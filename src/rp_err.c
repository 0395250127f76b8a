#include "rp_err.h"

#include <stdbool.h>
#include <string.h>

#include "apr_strings.h"
#include "http_core.h"
#include "http_protocol.h"
#include "mod_core.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

static const rp_err_info_t table[] = {
#define RP_ERR(id, code, level, status, flags, page, text, outcome, action) \
    {#id, code, level, status, flags, page, text, outcome, action},
#include "rp_err.def"
#undef RP_ERR
};

const rp_err_info_t *rp_err_get(rp_err_t err)
{
    return &table[(unsigned)err < RP_E_COUNT ? err : RP_E_NONE];
}

static const char *word(apr_pool_t *p, const char *name, const char *value)
{
    return value ? apr_pstrcat(p, " ", name, " ", value, NULL) : "";
}

static void log_at(request_rec *r, int level, rp_err_t err, apr_status_t rv, const rp_err_where_t *where,
                   const char *detail)
{
    const rp_err_info_t *e = rp_err_get(err);
    const char *attempt = where->attempt > 0 ? apr_itoa(r->pool, where->attempt) : NULL;

    ap_log_rerror(APLOG_MARK, level, rv, r, "RP%04d %s:%s%s%s%s%s%s", e->code, e->text,
                  word(r->pool, "route", where->route), word(r->pool, "backend", where->backend),
                  word(r->pool, "attempt", attempt), word(r->pool, "phase", where->phase),
                  detail ? ": " : "", detail ? detail : "");
}

void rp_err_log(request_rec *r, rp_err_t err, apr_status_t rv, const rp_err_where_t *where, const char *detail)
{
    if (APLOG_R_IS_LEVEL(r, rp_err_get(err)->level)) {
        log_at(r, rp_err_get(err)->level, err, rv, where, detail);
    }
}

void rp_err_log_retried(request_rec *r, rp_err_t err, apr_status_t rv, const rp_err_where_t *where,
                        const char *detail)
{
    if (APLOG_R_IS_LEVEL(r, APLOG_INFO)) {
        log_at(r, APLOG_INFO, err, rv, where, apr_pstrcat(r->pool, detail ? detail : "", detail ? ", " : "",
                                                          "trying again", NULL));
    }
}

void rp_err_log_server(const server_rec *s, rp_err_t err, apr_status_t rv, const rp_err_where_t *where,
                       const char *detail)
{
    const rp_err_info_t *e = rp_err_get(err);

    ap_log_error(APLOG_MARK, e->level, rv, s, "RP%04d %s: backend %s%s%s%s%s", e->code, e->text, where->backend,
                 where->phase ? " phase " : "", where->phase ? where->phase : "", detail ? ": " : "",
                 detail ? detail : "");
}

static bool names_host(const char *page)
{
    return page[strlen(page) - 1] == ':';
}

/* httpd's page for 501 speaks of the method, whatever the reason. An ErrorDocument goes before ours. */
static void write_own_page(request_rec *r, const rp_err_info_t *e)
{
    const char *title = ap_get_status_line(e->status);

    if (ap_response_code_string(r, ap_index_of_response(e->status))) {
        return;
    }
    ap_custom_response(r, e->status,
                       apr_pstrcat(r->pool, DOCTYPE_HTML_2_0 "<html><head>\n<title>", title, "</title>\n</head><body>\n<h1>",
                                   title + 4, "</h1>\n<p>", e->page, ".</p>\n", ap_psignature("<hr>\n", r),
                                   "</body></html>\n", NULL));
}

int rp_err_to_status(request_rec *r, rp_err_t err, const char *host)
{
    const rp_err_info_t *e = rp_err_get(err);

    if (e->page && e->status == HTTP_NOT_IMPLEMENTED) {
        write_own_page(r, e);
    }
    else if (e->page) {
        const char *name = names_host(e->page) && host ? apr_pstrcat(r->pool, " ", host, NULL) : "";

        apr_table_setn(r->notes, "error-notes",
                       apr_pstrcat(r->pool, "The proxy server could not handle the request<p>Reason: <strong>",
                                   e->page, ap_escape_html(r->pool, name), "</strong></p>", NULL));
        apr_table_setn(r->notes, "verbose-error-to", "*");
        r->status_line = apr_psprintf(r->pool, "%3.3u Proxy Error", e->status);
    }
    return e->status;
}
