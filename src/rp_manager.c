#include "rp_manager_int.h"

#include <string.h>

#include "rp_status.h"
#include "rp_conf_member.h"

#define HANDLER       "balancer-manager"
#define OTHER_HANDLER "revproxy-balancer-manager" /* beside a real mod_proxy */

#define GROUP_PREFIX "balancer://"

void rp_manager_fail(rp_manager_t *m, int status, const char *text)
{
    APR_ARRAY_PUSH(m->errors, const char *) = text;
    m->status = m->status ? m->status : status;
}

/* ---- what the pages show ---- */

static void view_checks(const rp_backend_t *b, rp_manager_view_t *v)
{
    v->check_method = rp_conf_get_check_name((rp_check_method_t)rp_shm_get(b, RP_SHM_CHECK_METHOD));
    v->check_interval = rp_shm_get(b, RP_SHM_CHECK_INTERVAL);
    v->check_passes = (int)rp_shm_get(b, RP_SHM_CHECK_PASSES);
    v->check_fails = (int)rp_shm_get(b, RP_SHM_CHECK_FAILS);
    v->passed = (int)rp_shm_get(b, RP_SHM_CHECKS_PASSED);
    v->failed = (int)rp_shm_get(b, RP_SHM_CHECKS_FAILED);
    rp_shm_get_text(b, RP_SHM_CHECK_URI, v->check_uri);
    rp_shm_get_text(b, RP_SHM_CHECK_EXPR, v->check_expr);
}

void rp_manager_view(const rp_manager_t *m, const rp_backend_t *member, rp_manager_view_t *view)
{
    view->url = rp_conf_get_url(m->r->pool, member);
    view->flags = (unsigned)rp_shm_get(member, RP_SHM_STATUS);
    view->status = rp_status_describe(m->r->pool, view->flags);
    view->weight = (int)rp_shm_get(member, RP_SHM_WEIGHT);
    view->lbset = (int)rp_shm_get(member, RP_SHM_LBSET);
    view->retries = (int)rp_shm_get(member, RP_SHM_RETRIES);
    rp_shm_get_text(member, RP_SHM_ROUTE, view->route);
    rp_shm_get_text(member, RP_SHM_REDIRECT, view->redirect);
    view->busy = rp_shm_count_busy(member);
    view->elected = rp_shm_get(member, RP_SHM_ELECTED);
    view->state = rp_shm_get(member, RP_SHM_STATE);
    view->sent = rp_shm_get(member, RP_SHM_SENT);
    view->received = rp_shm_get(member, RP_SHM_RECEIVED);
    view->latency = rp_shm_get(member, RP_SHM_LATENCY);
    view->error_time = rp_shm_get(member, RP_SHM_ERROR_TIME);
    view_checks(member, view);
}

const char *rp_manager_get_name(const rp_group_t *group)
{
    return group->name + sizeof(GROUP_PREFIX) - 1;
}

const char *rp_manager_get_sticky(const rp_manager_t *m, const rp_lb_settings_t *set)
{
    return strcmp(set->sticky, set->sticky_path) ? apr_pstrcat(m->r->pool, set->sticky, "|", set->sticky_path, NULL)
                                                 : apr_pstrdup(m->r->pool, set->sticky);
}

int rp_manager_get_attempts(const rp_group_t *group, const rp_lb_settings_t *set)
{
    int others = rp_conf_count_members(group) - 1;

    return set->max_attempts >= 0 ? set->max_attempts : others > 0 ? others : 0;
}

const char *rp_manager_find_path(const rp_manager_t *m, const rp_group_t *group)
{
    int i;

    for (i = m->conf->routes->nelts; i-- > 0;) {
        const rp_route_t *route = APR_ARRAY_IDX(m->conf->routes, i, const rp_route_t *);

        if (route->group && !strcmp(route->group->name, group->name)) {
            return route->path;
        }
    }
    return "/";
}

/* How many bytes begin behind the first one of a character; -1: it is none (RFC 3629 3). */
static int count_more(const unsigned char *s)
{
    if (*s < 0x80) {
        return 0;
    }
    if (*s >= 0xc2 && *s <= 0xdf) {
        return 1;
    }
    if (*s >= 0xe0 && *s <= 0xef) {
        bool is_long = *s == 0xe0 && s[1] < 0xa0, is_surrogate = *s == 0xed && s[1] > 0x9f;

        return is_long || is_surrogate ? -1 : 2;
    }
    if (*s >= 0xf0 && *s <= 0xf4) {
        bool is_long = *s == 0xf0 && s[1] < 0x90, is_beyond = *s == 0xf4 && s[1] > 0x8f;

        return is_long || is_beyond ? -1 : 3;
    }
    return -1;
}

static bool is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    int more;

    while (*s) {
        for (more = count_more(s++); more > 0; more--) {
            if ((*s++ & 0xc0) != 0x80) {
                return false;
            }
        }
        if (more < 0) {
            return false;
        }
    }
    return true;
}

const char *rp_manager_to_utf8(apr_pool_t *p, const char *text)
{
    char *out, *o;

    if (is_utf8(text)) {
        return text;
    }
    o = out = apr_palloc(p, strlen(text) * 2 + 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x80) {
            *o++ = (char)c;
        }
        else {
            *o++ = (char)(0xc0 | c >> 6);
            *o++ = (char)(0x80 | (c & 0x3f));
        }
    }
    *o = '\0';
    return out;
}

const char *rp_manager_escape(const rp_manager_t *m, const char *text)
{
    return ap_escape_html(m->r->pool, rp_manager_to_utf8(m->r->pool, text));
}

const char *rp_manager_get_page(const rp_manager_t *m)
{
    const char *path = m->r->uri;

    /* "//name" would be another host (MergeSlashes Off). */
    while (path[0] == '/' && path[1] == '/') {
        path++;
    }
    return rp_manager_escape(m, ap_escape_uri(m->r->pool, path));
}

/* ---- the request ---- */

static rp_manager_format_t get_format(const rp_manager_t *m)
{
    const char *format = apr_table_get(m->form, "format");

    if (format && !ap_cstr_casecmp(format, "json")) {
        return RP_MANAGER_JSON;
    }
    return apr_table_get(m->form, "xml") || (format && !ap_cstr_casecmp(format, "xml")) ? RP_MANAGER_XML
                                                                                       : RP_MANAGER_HTML;
}

static rp_group_t *find_group(const rp_manager_t *m, const char *name)
{
    rp_group_t *group;
    int i;

    for (i = 0; i < m->conf->groups->nelts; i++) {
        group = APR_ARRAY_IDX(m->conf->groups, i, rp_group_t *);
        if (!ap_cstr_casecmp(rp_manager_get_name(group), name)) {
            return group;
        }
    }
    return NULL;
}

/* The balancer and the member that the form names. */
static void select_subject(rp_manager_t *m)
{
    const char *group = apr_table_get(m->form, "b"), *member = apr_table_get(m->form, "w");

    if (group) {
        m->group = find_group(m, group);
        if (!m->group) {
            rp_manager_fail(m, HTTP_NOT_FOUND, "There is no such balancer in this server.");
        }
    }
    if (m->group && member && *member) {
        m->member = rp_conf_find_member(m->r->pool, m->group, member);
        if (!m->member) {
            rp_manager_fail(m, HTTP_NOT_FOUND, "The balancer has no such member.");
        }
    }
}

/* Nothing of this is for caches, frames or other sites; the page runs no scripts. */
static void set_fields(request_rec *r)
{
    apr_table_t *out = r->headers_out;

    apr_table_setn(out, "Cache-Control", "no-store");
    apr_table_setn(out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(out, "X-Frame-Options", "DENY");
    apr_table_setn(out, "Referrer-Policy", "same-origin");
    apr_table_setn(out, "Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
                   "frame-ancestors 'none'");
}

/* The page shows what was wrong, as mod_proxy shows its page, with 200: except for a member that could not be
 * added, which is 400 there, too, and for what mod_proxy does not know: another change is being made, and the same
 * post may succeed in a moment (503). Other formats say it with the status as well. */
static void answer(rp_manager_t *m)
{
    request_rec *r = m->r;

    if (m->status && (m->format == RP_MANAGER_JSON || m->status == HTTP_BAD_REQUEST ||
                      m->status == HTTP_SERVICE_UNAVAILABLE)) {
        r->status = m->status;
    }
    set_fields(r);
    switch (m->format) {
    case RP_MANAGER_XML:
        rp_manager_write_xml(m);
        return;
    case RP_MANAGER_JSON:
        rp_manager_write_json(m);
        return;
    default:
        rp_manager_write_html(m);
    }
}

static bool is_ours(const request_rec *r)
{
    if (!r->handler) {
        return false;
    }
    return !strcmp(r->handler, OTHER_HANDLER) || (!strcmp(r->handler, HANDLER) && !rp_conf_has_module("mod_proxy.c"));
}

static void sync_members(const rp_manager_t *m)
{
    int i;

    for (i = 0; i < m->conf->groups->nelts; i++) {
        (void)rp_lb_count_members(APR_ARRAY_IDX(m->conf->groups, i, const rp_group_t *));
    }
}

void rp_manager_set_type(request_rec *r, const char *type)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 132)
    ap_set_content_type_ex(r, type, 1);
#else
    ap_set_content_type(r, type);
#endif
}

int rp_manager_handler(request_rec *r)
{
    rp_manager_t m = {.r = r, .conf = rp_conf_get_server(r->server)};
    int rc;

    if (!is_ours(r)) {
        return DECLINED;
    }
    r->allowed |= (AP_METHOD_BIT << M_GET) | (AP_METHOD_BIT << M_POST);
    if (r->method_number != M_GET && r->method_number != M_POST) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    m.notes = apr_array_make(r->pool, 4, sizeof(const char *));
    m.errors = apr_array_make(r->pool, 4, sizeof(const char *));
    m.form = apr_table_make(r->pool, 10);
    rc = rp_manager_read_form(&m);
    if (rc != OK) {
        return rc;
    }
    m.format = get_format(&m);
    sync_members(&m);
    select_subject(&m);
    if (r->method_number == M_POST && m.group && rp_manager_may_change(&m)) {
        rp_manager_change(&m);
    }
    answer(&m);
    return OK;
}
