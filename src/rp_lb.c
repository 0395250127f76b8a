#include "rp_lb_int.h"

#include "apr_strings.h"

#include "rp_lbm.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* While nobody is usable, a hundred looks over the group's timeout, but not more often or more
 * rarely than this. */
#define LOOKS    100
#define LOOK_MIN apr_time_from_msec(5)
#define LOOK_MAX apr_time_from_msec(500)

int rp_lb_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    int i;

    (void)plog;
    (void)ptemp;
    rp_lbm_prepare_heartbeats(pconf, rp_conf_get_server(main_server)->heartbeat_file);
    for (i = 0; i < groups->nelts; i++) {
        rp_group_t *group = APR_ARRAY_IDX(groups, i, rp_group_t *);

        if (group->opt.sticky_cookie) {
            group->tokens = rp_lb_make_tokens(pconf, group);
        }
    }
    return OK;
}

void rp_lb_init(rp_lb_t *lb, request_rec *r, const rp_group_t *group, const char *url, const char *route_name)
{
    memset(lb, 0, sizeof(*lb));
    lb->r = r;
    lb->group = group;
    lb->url = url;
    lb->route_name = route_name;
    lb->count = rp_lb_count_members(group);
    lb->set = apr_palloc(r->pool, sizeof(*lb->set));
    rp_lb_get_settings(group, lb->set);
    lb->tried = apr_pcalloc(r->pool, (apr_size_t)group->roster->size + 1);
    rp_lb_read_session(lb);
}

/* ---- pick ---- */

/* Requests that stick count in the balance, too: a member with many sessions gets fewer of the others. */
static void charge(const rp_lb_t *lb, const rp_backend_t *hit)
{
    apr_int64_t weight, total = 0;
    int i;

    for (i = 0; i < lb->count; i++) {
        const rp_backend_t *b = rp_lb_member(lb, i);

        if (!((unsigned)rp_shm_get(b, RP_SHM_STATUS) & (RP_LB_OFF | RP_STATUS_ERROR))) {
            weight = rp_shm_get(b, RP_SHM_WEIGHT);
            (void)rp_shm_add(b, RP_SHM_STATE, weight);
            total += weight;
        }
    }
    (void)rp_shm_add(hit, RP_SHM_STATE, -total);
}

void rp_lb_note_changed(const rp_lb_t *lb)
{
    apr_table_t *env = lb->r->subprocess_env;

    apr_table_setn(env, "BALANCER_ROUTE_CHANGED", "1");
}

static void set_env(const rp_lb_t *lb)
{
    apr_table_t *env = lb->r->subprocess_env;
    char route[RP_SHM_TEXT];

    rp_shm_get_text(lb->member, RP_SHM_ROUTE, route);
    apr_table_setn(env, "BALANCER_NAME", lb->group->name);
    apr_table_setn(env, "BALANCER_WORKER_NAME", lb->member->name);
    apr_table_set(env, "BALANCER_WORKER_ROUTE", route);
    if (lb->session) {
        apr_table_setn(env, "BALANCER_SESSION_STICKY", lb->session_name);
        apr_table_setn(env, "BALANCER_SESSION_ROUTE", lb->session);
        apr_table_setn(lb->r->notes, "session-sticky", lb->session_name);
        apr_table_setn(lb->r->notes, "session-route", lb->session);
    }
}

static rp_lb_result_t take(rp_lb_t *lb, int i)
{
    lb->member = rp_lb_member(lb, i);
    lb->picked_at = apr_time_now();
    lb->wait_until = 0;
    (void)rp_shm_add(lb->member, RP_SHM_ELECTED, 1);
    rp_shm_enter(lb->member);
    set_env(lb);
    return RP_LB_PICKED;
}

static rp_lb_result_t wait_or_give_up(rp_lb_t *lb)
{
    apr_time_t now;

    if (lb->set->timeout <= 0) {
        return RP_LB_DOWN;
    }
    now = apr_time_now();
    if (!lb->wait_until) {
        lb->wait_until = now + lb->set->timeout;
    }
    return now < lb->wait_until ? RP_LB_WAIT : RP_LB_DOWN;
}

apr_time_t rp_lb_get_next_look(const rp_lb_t *lb)
{
    apr_interval_time_t step = lb->set->timeout / LOOKS;
    apr_time_t next;

    step = step < LOOK_MIN ? LOOK_MIN : step > LOOK_MAX ? LOOK_MAX : step;
    next = apr_time_now() + step;
    return next < lb->wait_until ? next : lb->wait_until;
}

static void forget_passed(rp_lb_t *lb)
{
    int i;

    for (i = 0; lb->has_passed && i < lb->count; i++) {
        lb->tried[i] &= (unsigned char)~RP_LB_PASSED;
    }
    lb->has_passed = false;
}

rp_lb_result_t rp_lb_pick(rp_lb_t *lb)
{
    int i;

    lb->count = rp_lb_count_members(lb->group);
    if (lb->count == 0) {
        return RP_LB_EMPTY;
    }
    forget_passed(lb);
    rp_lb_force_recovery(lb);
    i = rp_lb_find_session(lb);
    if (i >= 0) {
        charge(lb, rp_lb_member(lb, i));
        return take(lb, i);
    }
    if (lb->set->no_failover && rp_lb_knows_session(lb)) {
        return RP_LB_ROUTE_DOWN;
    }
    i = rp_lb_walk(lb);
    if (i < 0) {
        return wait_or_give_up(lb);
    }
    if (*lb->set->sticky || lb->group->opt.sticky_cookie) {
        rp_lb_note_changed(lb);
    }
    return take(lb, i);
}

/* ---- what comes of it ---- */

void rp_lb_note_connected(rp_lb_t *lb)
{
    if (lb->member) {
        rp_lb_end_error(lb);
    }
}

static bool is_among(const apr_array_header_t *codes, int status)
{
    int i;

    for (i = 0; codes && i < codes->nelts; i++) {
        if (APR_ARRAY_IDX(codes, i, int) == status) {
            return true;
        }
    }
    return false;
}

static void check_status(rp_lb_t *lb, int status)
{
    if (is_among(lb->group->opt.fail_on, status)) {
        rp_lb_mark_error(lb, RP_SHM_FAILED_TO_ANSWER, apr_psprintf(lb->r->pool, "status %d, failonstatus=", status));
    }
}

void rp_lb_note_response(rp_lb_t *lb, int status)
{
    if (!lb->member) {
        return;
    }
    /* One that fails at once is not fast. */
    if (status < 500) {
        rp_lb_note_latency(lb);
    }
    check_status(lb, status);
    if (lb->group->opt.sticky_cookie && lb->own_session != lb->member) {
        rp_lb_set_cookie(lb);
    }
}

bool rp_lb_is_refused(rp_lb_t *lb, int status)
{
    if (!lb->member || !is_among(lb->group->opt.fail_over_on, status)) {
        return false;
    }
    check_status(lb, status);
    return true;
}

/* A failure to reach it; not that we ourselves lack something. */
static bool is_unreachable(rp_err_t err)
{
    return rp_err_get(err)->flags & RP_ERR_UNSENT && err != RP_E_RESOURCE && err != RP_E_TUNNEL_MEMBER_MAX;
}

static void note_tried(rp_lb_t *lb, rp_err_t err)
{
    unsigned char bit = rp_err_get(err)->flags & RP_ERR_UNSENT ? RP_LB_TRIED : RP_LB_SENT;
    int i;

    for (i = 0; i < lb->count; i++) {
        if (rp_lb_member(lb, i) == lb->member) {
            lb->tried[i] |= bit;
        }
    }
}

/* Would rp_lb_pick find a member? What there is to tell the client must not be given up for nothing. A request that cannot
 * have been processed has nothing to lose: it may wait, end errors, go to the same member again. */
static bool has_another(rp_lb_t *lb, rp_err_t err)
{
    bool is_unsent = rp_err_get(err)->flags & RP_ERR_UNSENT;

    forget_passed(lb);
    if (is_unsent) {
        rp_lb_force_recovery(lb);
    }
    if (rp_lb_may_find_session(lb)) {
        return true;
    }
    if (lb->set->no_failover && rp_lb_knows_session(lb)) {
        return false;
    }
    return rp_lb_may_walk(lb, is_unsent) || (is_unsent && lb->set->timeout > 0);
}

static int get_max_attempts(const rp_lb_t *lb)
{
    return lb->set->max_attempts >= 0 ? lb->set->max_attempts : lb->count - 1;
}

bool rp_lb_note_failure(rp_lb_t *lb, rp_err_t err)
{
    if (!lb->member || rp_err_get(err)->flags & RP_ERR_CLIENT) {
        return false;
    }
    if (err == RP_E_HEAD_TIMEOUT) {
        rp_lb_note_latency(lb);
    }
    if (is_unreachable(err)) {
        rp_lb_mark_error(lb, RP_SHM_FAILED_TO_CONNECT, rp_err_get(err)->text);
    }
    else if (err == RP_E_HEAD_TIMEOUT && lb->group->opt.fail_on_timeout) {
        rp_lb_mark_error(lb, RP_SHM_FAILED_TO_ANSWER, "no answer in time, failontimeout=");
    }
    else if (rp_err_get(err)->flags & RP_ERR_BACKEND) {
        check_status(lb, rp_err_get(err)->status);
    }
    note_tried(lb, err);
    /* With +I the client gets what there was, as from mod_proxy. */
    return !(rp_shm_get(lb->member, RP_SHM_STATUS) & RP_STATUS_IGNORE_ERRORS) &&
           lb->failovers++ < get_max_attempts(lb) && has_another(lb, err);
}

void rp_lb_leave(rp_lb_t *lb, apr_int64_t sent, apr_int64_t received)
{
    const rp_backend_t *member = lb->member;

    if (!member) {
        return;
    }
    lb->member = NULL;
    if (lb->is_probe) {
        lb->is_probe = false;
        rp_shm_set(member, RP_SHM_PROBE_UNTIL, 0);
    }
    (void)rp_shm_add(member, RP_SHM_SENT, sent);
    (void)rp_shm_add(member, RP_SHM_RECEIVED, received);
    rp_shm_leave(member);
}
