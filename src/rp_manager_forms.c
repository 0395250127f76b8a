#include "rp_manager_int.h"
#include "rp_conf_member.h"

#include <string.h>

#include "ap_provider.h"
#include "mod_revproxy.h"

/* The forms of mod_proxy's page, field by field, with b_frc and texts that say what a field takes. */

static void begin_form(const rp_manager_t *m, const char *what, const char *name)
{
    ap_rprintf(m->r, "<h3>Edit %s settings for %s</h3>\n", what, rp_manager_escape(m, name));
    ap_rprintf(m->r, "<form method='POST' enctype='application/x-www-form-urlencoded' action=\"%s\">\n<table>",
               rp_manager_get_page(m));
}

static void write_hidden(const rp_manager_t *m, const char *name, const char *value)
{
    ap_rprintf(m->r, "<input type=hidden name='%s' id='%s' value=\"%s\">\n", name, name, rp_manager_escape(m, value));
}

static void end_form(const rp_manager_t *m)
{
    char nonce[RP_SHM_TEXT];

    rp_shm_get_group_text(m->group, RP_SHM_NONCE, nonce);
    ap_rputs("<tr><td colspan='2'><input type=submit value='Submit'></td></tr>\n</table>\n", m->r);
    if (m->member) {
        write_hidden(m, "w", rp_conf_get_url(m->r->pool, m->member));
    }
    write_hidden(m, "b", rp_manager_get_name(m->group));
    write_hidden(m, "nonce", nonce);
    ap_rputs("</form>\n<hr />\n", m->r);
}

static void write_field(const rp_manager_t *m, const char *label, const char *name, const char *value, const char *hint)
{
    ap_rprintf(m->r, "<tr><td>%s:</td><td><input name='%s' id='%s' type=text value=\"%s\">%s%s</td></tr>\n", label, name,
               name, rp_manager_escape(m, value), *hint ? "&nbsp;&nbsp;" : "", hint);
}

static void write_radio(const rp_manager_t *m, const char *name, bool is_on)
{
    ap_rprintf(m->r,
               "<td><label for='%s1'>On</label> <input name='%s' id='%s1' value='1' type=radio%s> <br/> "
               "<label for='%s0'>Off</label> <input name='%s' id='%s0' value='0' type=radio%s></td>\n",
               name, name, name, is_on ? " checked" : "", name, name, name, is_on ? "" : " checked");
}

static void write_switch(const rp_manager_t *m, const char *label, const char *name, bool is_on)
{
    ap_rprintf(m->r, "<tr><td>%s:</td>", label);
    write_radio(m, name, is_on);
    ap_rputs("</tr>\n", m->r);
}

static void write_flags(const rp_manager_t *m, unsigned flags)
{
    static const struct {
        const char *name;
        unsigned bit;
    } radios[] = {
        {"w_status_I", RP_STATUS_IGNORE_ERRORS}, {"w_status_N", RP_STATUS_DRAIN},
        {"w_status_D", RP_STATUS_DISABLED},      {"w_status_H", RP_STATUS_STANDBY},
        {"w_status_R", RP_STATUS_SPARE},         {"w_status_C", RP_STATUS_CHECK_FAILED},
        {"w_status_S", RP_STATUS_STOPPED},
    };
    size_t i;

    ap_rputs("<tr><td>Status:</td><td><table><tr><th>Ignore Errors</th><th>Draining Mode</th><th>Disabled</th>"
             "<th>Hot Standby</th><th>Hot Spare</th><th>HC Fail</th><th>Stopped</th></tr>\n<tr>",
             m->r);
    for (i = 0; i < sizeof(radios) / sizeof(radios[0]); i++) {
        write_radio(m, radios[i].name, flags & radios[i].bit);
    }
    ap_rputs("</tr></table></td></tr>\n", m->r);
}

static void write_option(const rp_manager_t *m, const char *name, const char *now)
{
    const char *text = rp_manager_escape(m, name);

    ap_rprintf(m->r, "<option value='%s'%s>%s</option>\n", text, strcmp(name, now) ? "" : " selected", text);
}

static void write_check_fields(const rp_manager_t *m, const rp_manager_view_t *v)
{
    const apr_array_header_t *exprs = rp_conf_get_server(m->member->server)->check_exprs;
    apr_pool_t *p = m->r->pool;
    int i;

    ap_rputs("<tr><td colspan='2'>\n<table align='center'><tr><th>Health Check param</th><th>Value</th></tr>\n"
             "<tr><td>Method</td><td><select name='w_hm'>\n",
             m->r);
    for (i = 0; i < RP_CHECK_METHODS; i++) {
        write_option(m, rp_conf_get_check_name((rp_check_method_t)i), v->check_method);
    }
    ap_rputs("</select>\n</td></tr>\n<tr><td>Expr</td><td><select name='w_he'>\n", m->r);
    write_option(m, "", v->check_expr);
    for (i = 0; i < exprs->nelts; i++) {
        write_option(m, APR_ARRAY_IDX(exprs, i, const rp_check_expr_t *)->name, v->check_expr);
    }
    ap_rputs("</select>\n</td></tr>\n", m->r);
    write_field(m, "Interval (ms)", "w_hi", apr_off_t_toa(p, apr_time_as_msec(v->check_interval)), "100 or more");
    write_field(m, "Passes trigger", "w_hp", apr_itoa(p, v->check_passes), "");
    write_field(m, "Fails trigger", "w_hf", apr_itoa(p, v->check_fails), "");
    write_field(m, "HC uri", "w_hu", v->check_uri, "");
    ap_rputs("</table>\n</td></tr>\n", m->r);
}

static void write_member_form(const rp_manager_t *m)
{
    apr_pool_t *p = m->r->pool;
    rp_manager_view_t v;

    rp_manager_view(m, m->member, &v);
    begin_form(m, "worker", v.url);
    write_field(m, "Load factor", "w_lf", apr_psprintf(p, "%d.%02d", v.weight / 100, v.weight % 100), "1 to 100");
    write_field(m, "LB Set", "w_ls", apr_itoa(p, v.lbset), "0 to 99");
    write_field(m, "Route", "w_wr", v.route, "");
    write_field(m, "Route Redirect", "w_rr", v.redirect, "");
    write_flags(m, v.flags);
    if (rp_health_is_on()) {
        write_check_fields(m, &v);
    }
    end_form(m);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_methods(const rp_manager_t *m, const char *now)
{
    const apr_array_header_t *all =
        ap_list_provider_names(m->r->pool, REVPROXY_LBMETHOD_GROUP, REVPROXY_LBMETHOD_VERSION);
    const char **names = apr_palloc(m->r->pool, ((apr_size_t)all->nelts + 1) * sizeof(*names));
    int i;

    for (i = 0; i < all->nelts; i++) {
        names[i] = APR_ARRAY_IDX(all, i, ap_list_provider_names_t).provider_name;
    }
    qsort(names, (size_t)all->nelts, sizeof(*names), compare);
    ap_rputs("<tr><td>LBmethod:</td><td>\n<select name='b_lbm' id='b_lbm'>", m->r);
    for (i = 0; i < all->nelts; i++) {
        write_option(m, names[i], now);
    }
    ap_rputs("</select>\n</td></tr>\n", m->r);
}

static void write_group_form(const rp_manager_t *m)
{
    apr_pool_t *p = m->r->pool;
    rp_lb_settings_t set;

    rp_lb_get_settings(m->group, &set);
    begin_form(m, "balancer", m->group->name);
    write_methods(m, set.method_name);
    write_field(m, "Timeout", "b_tmo", apr_off_t_toa(p, apr_time_sec(set.timeout)), "seconds, 0 to 7200");
    write_field(m, "Failover Attempts", "b_max", apr_itoa(p, rp_manager_get_attempts(m->group, &set)), "0 to 99");
    write_switch(m, "Disable Failover", "b_sforce", set.no_failover);
    write_switch(m, "Force Recovery", "b_frc", set.force_recovery);
    write_field(m, "Sticky Session", "b_ss", rp_manager_get_sticky(m, &set), "(Use '-' to delete)");
    if (rp_conf_count_members(m->group) < m->group->roster->size) {
        ap_rputs("<tr><td>Add New Worker:</td><td><input name='b_nwrkr' id='b_nwrkr' size=32 type=text>"
                 "&nbsp;&nbsp;&nbsp;&nbsp;Are you sure? <input name='b_wyes' id='b_wyes' type=checkbox value='1'>"
                 "</td></tr>",
                 m->r);
    }
    end_form(m);
}

void rp_manager_write_forms(const rp_manager_t *m)
{
    if (m->member) {
        write_member_form(m);
    }
    else if (m->group) {
        write_group_form(m);
    }
}
