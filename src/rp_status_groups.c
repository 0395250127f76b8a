#include "apr_strings.h"
#include "http_protocol.h"
#include "mod_status.h"

#include "rp_lb.h"
#include "rp_shm.h"
#include "rp_status.h"
#include "rp_conf_member.h"

/* mod_proxy's words for flags, in its order; what reads them by machine looks for these. */
const char *rp_status_describe(apr_pool_t *p, unsigned status)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {RP_STATUS_IGNORE_ERRORS, "Ign "}, {RP_STATUS_DRAIN, "Drn "},   {RP_STATUS_DISABLED, "Dis "},
        {RP_STATUS_STOPPED, "Stop "},      {RP_STATUS_ERROR, "Err "},   {RP_STATUS_STANDBY, "Stby "},
        {RP_STATUS_SPARE, "Spar "},        {RP_STATUS_CHECK_FAILED, "HcFl "},
    };
    const unsigned off = RP_STATUS_DISABLED | RP_STATUS_STOPPED | RP_STATUS_ERROR | RP_STATUS_CHECK_FAILED;
    const char *text = "Init ";
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        text = apr_pstrcat(p, text, status & words[i].bit ? words[i].word : "", NULL);
    }
    return status & off ? text : apr_pstrcat(p, text, "Ok ", NULL);
}

static void print_short(request_rec *r, const rp_backend_t *b, int group, int member)
{
    const char *head = apr_psprintf(r->pool, "ProxyBalancer[%d]Worker[%d]", group, member);

    ap_rprintf(r, "%sName: %s\n", head, b->name);
    ap_rprintf(r, "%sStatus: %s\n", head, rp_status_describe(r->pool, (unsigned)rp_shm_get(b, RP_SHM_STATUS)));
    ap_rprintf(r, "%sElected: %" APR_INT64_T_FMT "\n", head, rp_shm_get(b, RP_SHM_ELECTED));
    ap_rprintf(r, "%sBusy: %u\n", head, rp_shm_count_busy(b));
    ap_rprintf(r, "%sSent: %" APR_INT64_T_FMT "K\n", head, rp_shm_get(b, RP_SHM_SENT) >> 10);
    ap_rprintf(r, "%sRcvd: %" APR_INT64_T_FMT "K\n", head, rp_shm_get(b, RP_SHM_RECEIVED) >> 10);
}

static const char *get_text(request_rec *r, const rp_backend_t *b, rp_shm_text_t which)
{
    char text[RP_SHM_TEXT];

    rp_shm_get_text(b, which, text);
    return ap_escape_html(r->pool, text);
}

static void print_row(request_rec *r, const rp_backend_t *b)
{
    int weight = (int)rp_shm_get(b, RP_SHM_WEIGHT);
    char sent[8], received[8];

    ap_rprintf(r, "<tr>\n<td>%s</td><td>%s</td><td>%s</td>", b->scheme, ap_escape_html(r->pool, b->host),
               rp_status_describe(r->pool, (unsigned)rp_shm_get(b, RP_SHM_STATUS)));
    ap_rprintf(r, "<td>%s</td><td>%s</td>", get_text(r, b, RP_SHM_ROUTE), get_text(r, b, RP_SHM_REDIRECT));
    ap_rprintf(r, "<td>%d.%02d</td><td>%d</td><td>%" APR_INT64_T_FMT "</td><td>%u</td>", weight / 100, weight % 100,
               (int)rp_shm_get(b, RP_SHM_LBSET), rp_shm_get(b, RP_SHM_ELECTED), rp_shm_count_busy(b));
    ap_rprintf(r, "<td>%s</td><td>%s</td>\n</tr>\n", apr_strfsize(rp_shm_get(b, RP_SHM_SENT), sent),
               apr_strfsize(rp_shm_get(b, RP_SHM_RECEIVED), received));
}

static void print_title(request_rec *r, const rp_group_t *group)
{
    rp_lb_settings_t set;
    bool has_two;

    rp_lb_get_settings(group, &set);
    has_two = *set.sticky && strcmp(set.sticky, set.sticky_path) != 0;

    ap_rprintf(r, "<hr />\n<h1>Proxy LoadBalancer Status for %s</h1>\n\n", ap_escape_html(r->pool, group->name));
    ap_rprintf(r,
               "<table border=\"0\"><tr><th>SSes</th><th>Timeout</th><th>Method</th></tr>\n"
               "<tr><td>%s%s%s</td><td>%" APR_TIME_T_FMT "</td><td>%s</td></tr></table>\n",
               *set.sticky ? ap_escape_html(r->pool, set.sticky) : " - ", has_two ? " | " : "",
               has_two ? ap_escape_html(r->pool, set.sticky_path) : "", apr_time_sec(set.timeout),
               ap_escape_html(r->pool, set.method_name));
    ap_rputs("<table border=\"0\"><tr><th>Sch</th><th>Host</th><th>Stat</th><th>Route</th><th>Redir</th><th>F</th>"
             "<th>Set</th><th>Acc</th><th>Busy</th><th>Wr</th><th>Rd</th></tr>\n",
             r);
}

static void print_legend(request_rec *r)
{
    static const char *const words[][2] = {
        {"SSes", "Sticky session name"}, {"Timeout", "Balancer Timeout"},
        {"Sch", "Connection scheme"},    {"Host", "Backend Hostname"},
        {"Stat", "Worker status"},       {"Route", "Session Route"},
        {"Redir", "Session Route Redirection"}, {"F", "Load Balancer Factor"},
        {"Acc", "Number of uses"},       {"Busy", "Requests in flight"},
        {"Wr", "Number of bytes transferred"}, {"Rd", "Number of bytes read"},
    };
    size_t i;

    ap_rputs("<hr /><table>\n", r);
    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        ap_rprintf(r, "<tr><th>%s</th><td>%s</td></tr>\n", words[i][0], words[i][1]);
    }
    ap_rputs("</table>", r);
}

static void print_group(request_rec *r, int index, bool is_short)
{
    const rp_group_t *group = APR_ARRAY_IDX(rp_conf_get_server(r->server)->groups, index, const rp_group_t *);
    int i, count = rp_lb_count_members(group);

    if (is_short) {
        ap_rprintf(r, "ProxyBalancer[%d]Name: %s\n", index, group->name);
    }
    else {
        print_title(r, group);
    }
    for (i = 0; i < count; i++) {
        const rp_backend_t *b = rp_conf_get_member(group, i);

        if (is_short) {
            print_short(r, b, index, i);
        }
        else {
            print_row(r, b);
        }
    }
    if (!is_short) {
        ap_rputs("</table>\n", r);
    }
}

void rp_status_print_groups(request_rec *r, int flags)
{
    bool is_short = flags & AP_STATUS_SHORT;
    int i, n = rp_conf_get_server(r->server)->groups->nelts;

    for (i = 0; i < n; i++) {
        print_group(r, i, is_short);
    }
    if (n > 0 && !is_short) {
        print_legend(r);
    }
}
