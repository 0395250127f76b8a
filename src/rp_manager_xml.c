#include "rp_manager_int.h"
#include "rp_conf_member.h"

/* Element by element as mod_proxy writes it. Errors are not in it: it has no place for them. */

static void write_text(const rp_manager_t *m, const char *name, const char *value)
{
    ap_rprintf(m->r, "          <httpd:%s>%s</httpd:%s>\n", name, rp_manager_escape(m, value), name);
}

static void write_number(const rp_manager_t *m, const char *name, apr_int64_t value)
{
    ap_rprintf(m->r, "          <httpd:%s>%" APR_INT64_T_FMT "</httpd:%s>\n", name, value, name);
}

static void write_weight(const rp_manager_t *m, int weight)
{
    ap_rprintf(m->r, "          <httpd:loadfactor>%d.%02d</httpd:loadfactor>\n", weight / 100, weight % 100);
}

static void write_pool(const rp_manager_t *m, const rp_options_t *opt)
{
    write_number(m, "min", opt->min);
    write_number(m, "smax", opt->smax);
    write_number(m, "max", opt->max);
    write_number(m, "ttl", apr_time_sec(opt->ttl));
    if (opt->set & RP_OPT_TIMEOUT) {
        write_number(m, "timeout", apr_time_sec(opt->timeout));
    }
    if (opt->set & RP_OPT_ACQUIRE) {
        write_number(m, "acquire", apr_time_as_msec(opt->acquire));
    }
    if (opt->set & RP_OPT_RECEIVE_BUFFER) {
        write_number(m, "recv_buffer_size", (apr_int64_t)opt->receive_buffer);
    }
    if (opt->set & RP_OPT_IO_BUFFER) {
        write_number(m, "io_buffer_size", (apr_int64_t)opt->io_buffer);
    }
    if (opt->set & RP_OPT_KEEPALIVE) {
        write_text(m, "keepalive", opt->keepalive ? "On" : "Off");
    }
}

static void write_state(const rp_manager_t *m, const rp_manager_view_t *v)
{
    char date[APR_RFC822_DATE_LEN];

    write_text(m, "status", v->status);
    if (v->error_time > 0 && apr_rfc822_date(date, v->error_time) == APR_SUCCESS) {
        write_text(m, "error_time", date);
    }
    write_number(m, "retries", v->retries);
    write_number(m, "lbstatus", v->state);
    write_weight(m, v->weight);
    write_number(m, "transferred", v->sent);
    write_number(m, "read", v->received);
    write_number(m, "elected", v->elected);
    write_text(m, "route", v->route);
    write_text(m, "redirect", v->redirect);
    write_number(m, "busy", v->busy);
    write_number(m, "lbset", v->lbset);
}

static void write_member(const rp_manager_t *m, const rp_backend_t *b)
{
    rp_manager_view_t v;

    rp_manager_view(m, b, &v);
    ap_rputs("        <httpd:worker>\n", m->r);
    write_text(m, "name", v.url);
    write_text(m, "scheme", b->scheme);
    write_text(m, "hostname", b->host);
    write_weight(m, v.weight);
    write_number(m, "port", b->port);
    write_pool(m, &b->opt);
    write_state(m, &v);
    if (b->opt.set & RP_OPT_REUSE) {
        write_text(m, "disablereuse", b->opt.reuse ? "Off" : "On");
    }
    if (b->opt.set & RP_OPT_CONNECT_TIMEOUT) {
        write_number(m, "connectiontimeout", apr_time_as_msec(b->opt.connect_timeout));
    }
    if (b->opt.set & RP_OPT_RETRY) {
        write_number(m, "retry", apr_time_sec(b->opt.retry));
    }
    ap_rputs("        </httpd:worker>\n", m->r);
}

static void write_group(const rp_manager_t *m, const rp_group_t *group)
{
    rp_lb_settings_t set;
    char nonce[RP_SHM_TEXT];
    int i;

    rp_lb_get_settings(group, &set);
    rp_shm_get_group_text(group, RP_SHM_NONCE, nonce);
    ap_rputs("    <httpd:balancer>\n", m->r);
    write_text(m, "name", group->name);
    write_text(m, "nonce", nonce);
    if (*set.sticky) {
        write_text(m, "stickysession", set.sticky);
        write_text(m, "nofailover", set.no_failover ? "On" : "Off");
    }
    write_number(m, "timeout", apr_time_sec(set.timeout));
    if (set.max_attempts >= 0 || rp_conf_count_members(group) > 1) {
        write_number(m, "maxattempts", rp_manager_get_attempts(group, &set));
    }
    write_text(m, "lbmethod", set.method_name);
    if (*set.sticky) {
        write_text(m, "scolonpathdelim", group->opt.scolon_ends ? "On" : "Off");
    }
    ap_rputs("      <httpd:workers>\n", m->r);
    for (i = 0; i < rp_conf_count_members(group); i++) {
        write_member(m, rp_conf_get_member(group, i));
    }
    ap_rputs("      </httpd:workers>\n    </httpd:balancer>\n", m->r);
}

void rp_manager_write_xml(const rp_manager_t *m)
{
    int i;

    rp_manager_set_type(m->r, "text/xml");
    ap_rputs("<?xml version='1.0' encoding='UTF-8' ?>\n<httpd:manager xmlns:httpd='http://httpd.apache.org'>\n"
             "  <httpd:balancers>\n",
             m->r);
    for (i = 0; i < m->conf->groups->nelts; i++) {
        write_group(m, APR_ARRAY_IDX(m->conf->groups, i, const rp_group_t *));
    }
    ap_rputs("  </httpd:balancers>\n</httpd:manager>", m->r);
}
