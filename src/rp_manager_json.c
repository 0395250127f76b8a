#include "rp_manager_int.h"
#include "rp_conf_member.h"

#include <string.h>

/* RFC 8259 7: quotes, backslashes and control characters are escaped; characters that HTML gives a meaning, too. */
static const char *escape(apr_pool_t *p, const char *text)
{
    const unsigned char *s = (const unsigned char *)rp_manager_to_utf8(p, text);
    char *out = apr_palloc(p, strlen((const char *)s) * 6 + 1), *o = out;

    for (; *s; s++) {
        if (*s < ' ' || *s == 0x7f || strchr("\"\\<>&'", *s)) {
            o += apr_snprintf(o, 7, "\\u%04x", *s);
        }
        else {
            *o++ = (char)*s;
        }
    }
    *o = '\0';
    return out;
}

static void write_text(const rp_manager_t *m, const char *name, const char *value, const char *end)
{
    ap_rprintf(m->r, "\"%s\":\"%s\"%s", name, escape(m->r->pool, value), end);
}

static void write_number(const rp_manager_t *m, const char *name, apr_int64_t value, const char *end)
{
    ap_rprintf(m->r, "\"%s\":%" APR_INT64_T_FMT "%s", name, value, end);
}

static void write_flag(const rp_manager_t *m, const char *name, bool value, const char *end)
{
    ap_rprintf(m->r, "\"%s\":%s%s", name, value ? "true" : "false", end);
}

static void write_list(const rp_manager_t *m, const char *name, const apr_array_header_t *texts)
{
    int i;

    ap_rprintf(m->r, "\"%s\":[", name);
    for (i = 0; i < texts->nelts; i++) {
        ap_rprintf(m->r, "%s\"%s\"", i ? "," : "", escape(m->r->pool, APR_ARRAY_IDX(texts, i, const char *)));
    }
    ap_rputs("],", m->r);
}

static void write_flags(const rp_manager_t *m, unsigned flags)
{
    ap_rputs("\"flags\":{", m->r);
    write_flag(m, "ignore_errors", flags & RP_STATUS_IGNORE_ERRORS, ",");
    write_flag(m, "draining", flags & RP_STATUS_DRAIN, ",");
    write_flag(m, "disabled", flags & RP_STATUS_DISABLED, ",");
    write_flag(m, "stopped", flags & RP_STATUS_STOPPED, ",");
    write_flag(m, "error", flags & RP_STATUS_ERROR, ",");
    write_flag(m, "standby", flags & RP_STATUS_STANDBY, ",");
    write_flag(m, "spare", flags & RP_STATUS_SPARE, ",");
    write_flag(m, "check_failed", flags & RP_STATUS_CHECK_FAILED, "},");
}

static void write_check(const rp_manager_t *m, const rp_manager_view_t *v)
{
    ap_rputs("\"check\":{", m->r);
    write_text(m, "method", v->check_method, ",");
    write_number(m, "interval_ms", apr_time_as_msec(v->check_interval), ",");
    write_number(m, "passes", v->check_passes, ",");
    write_number(m, "fails", v->check_fails, ",");
    write_number(m, "passed", v->passed, ",");
    write_number(m, "failed", v->failed, ",");
    write_text(m, "uri", v->check_uri, ",");
    write_text(m, "expr", v->check_expr, "},");
}

static void write_member(const rp_manager_t *m, const rp_backend_t *b, bool is_added)
{
    rp_manager_view_t v;

    rp_manager_view(m, b, &v);
    ap_rputs("{", m->r);
    write_text(m, "url", v.url, ",");
    write_text(m, "status", v.status, ",");
    write_flags(m, v.flags);
    ap_rprintf(m->r, "\"loadfactor\":%d.%02d,", v.weight / 100, v.weight % 100);
    write_number(m, "lbset", v.lbset, ",");
    write_text(m, "route", v.route, ",");
    write_text(m, "redirect", v.redirect, ",");
    write_check(m, &v);
    write_flag(m, "added", is_added, ",");
    write_number(m, "elected", v.elected, ",");
    write_number(m, "busy", v.busy, ",");
    write_number(m, "state", v.state, ",");
    write_number(m, "sent", v.sent, ",");
    write_number(m, "received", v.received, ",");
    write_number(m, "latency_us", v.latency, ",");
    write_number(m, "retries", v.retries, ",");
    write_number(m, "error_time", apr_time_sec(v.error_time), "}");
}

static void write_group(const rp_manager_t *m, const rp_group_t *group)
{
    rp_lb_settings_t set;
    char nonce[RP_SHM_TEXT];
    int i;

    rp_lb_get_settings(group, &set);
    rp_shm_get_group_text(group, RP_SHM_NONCE, nonce);
    ap_rputs("{", m->r);
    write_text(m, "name", group->name, ",");
    write_text(m, "nonce", nonce, ",");
    write_text(m, "path", rp_manager_find_path(m, group), ",");
    write_text(m, "lbmethod", set.method_name, ",");
    write_text(m, "stickysession", set.sticky, ",");
    write_text(m, "stickyparameter", set.sticky_path, ",");
    write_flag(m, "nofailover", set.no_failover, ",");
    write_flag(m, "forcerecovery", set.force_recovery, ",");
    write_number(m, "timeout", apr_time_sec(set.timeout), ",");
    write_number(m, "maxattempts", rp_manager_get_attempts(group, &set), ",");
    write_number(m, "maxmembers", group->roster->size, ",");
    ap_rputs("\"members\":[", m->r);
    for (i = 0; i < rp_conf_count_members(group); i++) {
        ap_rputs(i ? ",\n" : "\n", m->r);
        write_member(m, rp_conf_get_member(group, i), i >= group->roster->configured);
    }
    ap_rputs("]}", m->r);
}

void rp_manager_write_json(const rp_manager_t *m)
{
    int i;

    rp_manager_set_type(m->r, "application/json");
    ap_rputs("{", m->r);
    write_text(m, "server", ap_get_server_name(m->r), ",");
    write_text(m, "version", ap_get_server_description(), ",");
    write_flag(m, "persist", m->conf->balancer_persist, ",");
    write_list(m, "changes", m->notes);
    write_list(m, "errors", m->errors);
    ap_rputs("\"balancers\":[", m->r);
    for (i = 0; i < m->conf->groups->nelts; i++) {
        ap_rputs(i ? ",\n" : "\n", m->r);
        write_group(m, APR_ARRAY_IDX(m->conf->groups, i, const rp_group_t *));
    }
    ap_rputs("]}\n", m->r);
}
