#include "rp_manager_int.h"
#include "rp_conf_member.h"

#include <string.h>

#include "apr_lib.h"

/* The tables have mod_proxy's headings, cells and order, and no link is added to its: scripts read members from the
 * second table of each balancer, names and nonces from the links. */

/* For a query, as mod_proxy writes it: what scripts look for as "w=http://host:port/" stays readable. */
static const char *escape_value(const rp_manager_t *m, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(m->r->pool, strlen(text) * 3 + 1), *o = out;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (apr_isalnum(c) || (c && strchr("-_.~:/@,", c))) {
            *o++ = (char)c;
        }
        else {
            *o++ = '%';
            *o++ = hex[c >> 4];
            *o++ = hex[c & 15];
        }
    }
    *o = '\0';
    return out;
}

/* url: NULL: to the balancer. */
static void write_link(const rp_manager_t *m, const rp_group_t *group, const char *url)
{
    const char *name = rp_manager_escape(m, url ? url : group->name);
    char nonce[RP_SHM_TEXT];

    if (url && !strncmp(url, "unix:", 5)) {
        name = apr_pstrcat(m->r->pool, "<i>", name, "</i>", NULL);
    }
    rp_shm_get_group_text(group, RP_SHM_NONCE, nonce);
    ap_rprintf(m->r, "<a href=\"%s?b=%s", rp_manager_get_page(m), escape_value(m, rp_manager_get_name(group)));
    if (url) {
        ap_rprintf(m->r, "&amp;w=%s", escape_value(m, url));
    }
    ap_rprintf(m->r, "&amp;nonce=%s\">%s</a>", escape_value(m, nonce), name);
}

/* ---- balancers ---- */

static const char *describe_sticky(const rp_manager_t *m, const rp_lb_settings_t *set)
{
    if (!*set->sticky && !*set->sticky_path) {
        return " (None) ";
    }
    return rp_manager_escape(m, rp_manager_get_sticky(m, set));
}

static void write_settings(const rp_manager_t *m, const rp_group_t *group)
{
    rp_lb_settings_t set;

    rp_lb_get_settings(group, &set);
    ap_rputs("\n\n<table><tr><th>MaxMembers</th><th>StickySession</th><th>DisableFailover</th><th>Timeout</th>"
             "<th>FailoverAttempts</th><th>Method</th><th>Path</th><th>Active</th></tr>\n<tr>",
             m->r);
    ap_rprintf(m->r, "<td>%d [%d Used]</td>\n", group->roster->size, rp_conf_count_members(group));
    ap_rprintf(m->r, "<td>%s</td>", describe_sticky(m, &set));
    ap_rprintf(m->r, "<td>%s</td>\n<td>%" APR_TIME_T_FMT "</td><td>%d</td>\n", set.no_failover ? "On" : "Off",
               apr_time_sec(set.timeout), rp_manager_get_attempts(group, &set));
    ap_rprintf(m->r, "<td>%s</td>\n<td>%s</td>\n<td>Yes</td>\n</tr>\n</table>\n<br />",
               rp_manager_escape(m, set.method_name), rp_manager_escape(m, rp_manager_find_path(m, group)));
}

static void write_checks(const rp_manager_t *m, const rp_manager_view_t *v)
{
    ap_rprintf(m->r, "<td>%s</td><td>%" APR_TIME_T_FMT "ms</td><td>%d (%d)</td><td>%d (%d)</td>", v->check_method,
               apr_time_as_msec(v->check_interval), v->check_passes, v->passed, v->check_fails, v->failed);
    ap_rprintf(m->r, "<td>%s</td><td>%s</td>", rp_manager_escape(m, v->check_uri), rp_manager_escape(m, v->check_expr));
}

static void write_member(const rp_manager_t *m, const rp_group_t *group, const rp_backend_t *b)
{
    rp_manager_view_t v;
    char sent[8], received[8];

    rp_manager_view(m, b, &v);
    ap_rputs("<tr>\n<td>", m->r);
    write_link(m, group, v.url);
    ap_rprintf(m->r, "</td><td>%s</td><td>%s</td>", rp_manager_escape(m, v.route), rp_manager_escape(m, v.redirect));
    ap_rprintf(m->r, "<td>%d.%02d</td><td>%d</td><td>%s</td>", v.weight / 100, v.weight % 100, v.lbset, v.status);
    ap_rprintf(m->r, "<td>%" APR_INT64_T_FMT "</td><td>%u</td><td>%" APR_INT64_T_FMT "</td>", v.elected, v.busy, v.state);
    ap_rprintf(m->r, "<td>%s</td><td>%s</td>", apr_strfsize(v.sent, sent), apr_strfsize(v.received, received));
    if (rp_health_is_on()) {
        write_checks(m, &v);
    }
    ap_rputs("</tr>\n", m->r);
}

static void write_group(const rp_manager_t *m, const rp_group_t *group)
{
    int i;

    ap_rputs("<hr />\n<h3>LoadBalancer Status for ", m->r);
    write_link(m, group, NULL);
    ap_rprintf(m->r, " [p%x_%s]</h3>\n", (unsigned)group->id, rp_manager_escape(m, rp_manager_get_name(group)));
    write_settings(m, group);
    ap_rputs("\n\n<table><tr><th>Worker URL</th><th>Route</th><th>RouteRedir</th><th>Factor</th><th>Set</th>"
             "<th>Status</th><th>Elected</th><th>Busy</th><th>Load</th><th>To</th><th>From</th>",
             m->r);
    if (rp_health_is_on()) {
        ap_rputs("<th>HC Method</th><th>HC Interval</th><th>Passes</th><th>Fails</th><th>HC uri</th><th>HC Expr</th>",
                 m->r);
    }
    ap_rputs("</tr>\n", m->r);
    for (i = 0; i < rp_conf_count_members(group); i++) {
        write_member(m, group, rp_conf_get_member(group, i));
    }
    ap_rputs("</table>\n", m->r);
}

static void write_expressions(const rp_manager_t *m)
{
    const apr_array_header_t *exprs = m->conf->check_exprs;
    int i;

    if (exprs->nelts == 0) {
        return;
    }
    ap_rputs("\n\n<table><tr><th colspan='2'>Health check cond. expressions:</th></tr>\n"
             "<tr><th>Expr name</th><th>Expression</th></tr>\n",
             m->r);
    for (i = 0; i < exprs->nelts; i++) {
        const rp_check_expr_t *e = APR_ARRAY_IDX(exprs, i, const rp_check_expr_t *);

        ap_rprintf(m->r, "<tr><td>%s</td><td>%s</td></tr>\n", rp_manager_escape(m, e->name),
                   rp_manager_escape(m, e->text));
    }
    ap_rputs("</table><hr/>\n", m->r);
}

/* ---- the page ---- */

static void write_top(const rp_manager_t *m)
{
    request_rec *r = m->r;

    rp_manager_set_type(r, "text/html; charset=UTF-8");
    ap_rputs("<!DOCTYPE html>\n<html><head><title>Balancer Manager</title>\n", r);
    ap_rprintf(r, "<link rel=\"alternate\" type=\"application/json\" href=\"%s?format=json\">\n", rp_manager_get_page(m));
    ap_rputs("<style type='text/css'>\n"
             "body { font-family: sans-serif; }\n"
             "table { border-collapse: collapse; background-color: white; }\n"
             "th, td { border: 1px dotted gray; padding: 2px 6px; text-align: center; }\n"
             "th { background-color: lightgray; }\n"
             "p.error { border: 2px solid #b00; background-color: #fee; padding: 6px; }\n"
             "p.done { border: 2px solid #080; background-color: #efe; padding: 6px; }\n"
             "</style>\n</head>\n",
             r);
    ap_rprintf(r, "<body><h1>Load Balancer Manager for %s</h1>\n\n", rp_manager_escape(m, ap_get_server_name(r)));
    ap_rprintf(r, "<dl><dt>Server Version: %s</dt>\n<dt>Server Built: %s</dt>\n", ap_get_server_description(),
               ap_get_server_built());
    /* mod_proxy's words would not be true: here they survive a restart in any case. */
    ap_rprintf(r, "<dt>Balancer changes will be %s.</dt>",
               m->conf->balancer_persist ? "persisted on restart" : "kept over a restart, but NOT over a stop and start");
    ap_rprintf(r, "<dt>Balancers are %sinherited from main server.</dt>",
               m->conf->balancer_inherit == RP_OFF ? "NOT " : "");
    ap_rprintf(r, "<dt>ProxyPass settings are %sinherited from main server.</dt></dl>\n",
               m->conf->pass_inherit == RP_OFF ? "NOT " : "");
}

static void write_messages(const rp_manager_t *m, const char *kind, const apr_array_header_t *texts)
{
    int i;

    for (i = 0; i < texts->nelts; i++) {
        ap_rprintf(m->r, "<p class='%s'>%s</p>\n", kind, rp_manager_escape(m, APR_ARRAY_IDX(texts, i, const char *)));
    }
}

void rp_manager_write_html(const rp_manager_t *m)
{
    int i;

    write_top(m);
    write_messages(m, "error", m->errors);
    write_messages(m, "done", m->notes);
    for (i = 0; i < m->conf->groups->nelts; i++) {
        write_group(m, APR_ARRAY_IDX(m->conf->groups, i, const rp_group_t *));
    }
    ap_rputs("<hr />\n", m->r);
    write_expressions(m);
    rp_manager_write_forms(m);
    ap_rputs(ap_psignature("", m->r), m->r);
    ap_rputs("</body></html>\n", m->r);
}
