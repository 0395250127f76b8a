#include "rp_lb_int.h"

#include "apr_strings.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* A request that tries a member in error has this long at most to itself: what it waits for
 * (connection, queue of a full pool) ends by then, or a child was killed. */
#define PROBE_TIME apr_time_from_sec(60)

static void log_member(const rp_lb_t *lb, rp_err_t err, const rp_backend_t *member, const char *detail)
{
    rp_err_where_t where = {.route = lb->route_name, .backend = member->name};

    rp_err_log(lb->r, err, 0, &where, apr_pstrcat(lb->r->pool, lb->group->name, ", ", detail, NULL));
}

/* Only time ends this error: the operator said so, or a connection proves nothing. */
static bool is_patient(const rp_backend_t *member)
{
    return (member->opt.set & RP_OPT_RETRY) || rp_shm_get(member, RP_SHM_ERROR_KIND) == RP_SHM_FAILED_TO_ANSWER;
}

/* One second after the first failure, then twice as long after each further one. */
static apr_interval_time_t get_pause(const rp_backend_t *member)
{
    apr_int64_t failures = rp_shm_get(member, RP_SHM_RETRIES);
    apr_interval_time_t pause = APR_USEC_PER_SEC;

    while (--failures > 0 && pause < member->opt.retry) {
        pause *= 2;
    }
    return pause < member->opt.retry ? pause : member->opt.retry;
}

static bool is_over(const rp_backend_t *member, unsigned status, apr_time_t now)
{
    apr_time_t failed_at = rp_shm_get(member, RP_SHM_ERROR_TIME);

    return failed_at == 0 || (status & RP_STATUS_IGNORE_ERRORS) ||
           (is_patient(member) && now > failed_at + member->opt.retry);
}

rp_lb_use_t rp_lb_get_use(rp_lb_t *lb, const rp_backend_t *member)
{
    unsigned status = (unsigned)rp_shm_get(member, RP_SHM_STATUS);
    rp_lb_use_t otherwise = status & RP_LB_OFF ? RP_LB_NO : RP_LB_YES;
    apr_time_t now;

    if (!(status & RP_STATUS_ERROR)) {
        return otherwise;
    }
    if (status & RP_STATUS_STOPPED) {
        return RP_LB_NO;
    }
    now = apr_time_now();
    if (is_over(member, status, now)) {
        if (rp_shm_change_status(member, 0, RP_STATUS_ERROR) & RP_STATUS_ERROR) {
            log_member(lb, RP_E_MEMBER_RETRIED, member, "its retry time is over");
        }
        return otherwise;
    }
    if (is_patient(member) || otherwise == RP_LB_NO) {
        return RP_LB_NO;
    }
    return now >= rp_shm_get(member, RP_SHM_ERROR_TIME) + get_pause(member) &&
                   rp_shm_get(member, RP_SHM_PROBE_UNTIL) <= now
               ? RP_LB_PROBE
               : RP_LB_NO;
}

/* Be the one request that tries it. */
static bool claim(const rp_backend_t *member)
{
    apr_time_t now = apr_time_now(), until = rp_shm_get(member, RP_SHM_PROBE_UNTIL);

    return until <= now && rp_shm_swap(member, RP_SHM_PROBE_UNTIL, until, now + PROBE_TIME);
}

bool rp_lb_take_up(rp_lb_t *lb, int i)
{
    const rp_backend_t *member = rp_lb_member(lb, i);
    bool is_in_error = rp_lb_get_use(lb, member) == RP_LB_PROBE;

    lb->is_probe = is_in_error && claim(member);
    if (is_in_error && !lb->is_probe) {
        lb->tried[i] |= RP_LB_PASSED;
        lb->has_passed = true;
    }
    return !is_in_error || lb->is_probe;
}

static bool is_in_error(rp_lb_t *lb, const rp_backend_t *member)
{
    if (!(rp_shm_get(member, RP_SHM_STATUS) & RP_STATUS_ERROR)) {
        return false;
    }
    (void)rp_lb_get_use(lb, member);
    return rp_shm_get(member, RP_SHM_STATUS) & RP_STATUS_ERROR;
}

void rp_lb_force_recovery(rp_lb_t *lb)
{
    int i;

    if (!lb->set->force_recovery) {
        return;
    }
    for (i = 0; i < lb->count; i++) {
        if (!is_in_error(lb, rp_lb_member(lb, i))) {
            return;
        }
    }
    for (i = 0; i < lb->count; i++) {
        (void)rp_shm_change_status(rp_lb_member(lb, i), 0, RP_STATUS_ERROR);
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, lb->r, "%s: all members are in error, so all are tried again",
                  lb->group->name);
}

void rp_lb_mark_error(rp_lb_t *lb, int kind, const char *why)
{
    const rp_backend_t *member = lb->member;
    unsigned was;

    if (rp_shm_get(member, RP_SHM_STATUS) & RP_STATUS_IGNORE_ERRORS) {
        return;
    }
    rp_shm_set(member, RP_SHM_ERROR_TIME, apr_time_now());
    rp_shm_set(member, RP_SHM_ERROR_KIND, kind);
    was = rp_shm_change_status(member, RP_STATUS_ERROR, 0);
    /* Requests that failed at the same time are one failure. */
    if (lb->is_probe || !(was & RP_STATUS_ERROR)) {
        (void)rp_shm_add(member, RP_SHM_RETRIES, 1);
    }
    if (lb->is_probe) {
        rp_shm_set(member, RP_SHM_PROBE_UNTIL, 0);
        lb->is_probe = false;
    }
    if (!(was & RP_STATUS_ERROR)) {
        log_member(lb, RP_E_MEMBER_OUT, member, why);
    }
}

void rp_lb_end_error(rp_lb_t *lb)
{
    const rp_backend_t *member = lb->member;

    if (lb->is_probe) {
        lb->is_probe = false;
        if (rp_shm_change_status(member, 0, RP_STATUS_ERROR) & RP_STATUS_ERROR) {
            log_member(lb, RP_E_MEMBER_BACK, member, "a connection succeeded");
        }
        rp_shm_set(member, RP_SHM_PROBE_UNTIL, 0);
    }
    /* Read first: in good times nobody writes to what all children read. */
    if (rp_shm_get(member, RP_SHM_ERROR_TIME) != 0 && !(rp_shm_get(member, RP_SHM_STATUS) & RP_STATUS_ERROR)) {
        rp_shm_set(member, RP_SHM_ERROR_TIME, 0);
        rp_shm_set(member, RP_SHM_RETRIES, 0);
    }
}
