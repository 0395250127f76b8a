#include "httpd.h"

#include "rp_exchange_int.h"

static void aim_at(rp_exchange_t *x, const rp_backend_t *member)
{
    rp_route_aim(x->r, x->target, member, x->group_path);
    x->target->backend = rp_conf_get_backend(member->id);
    x->down.limits.line_max = member->opt.field_size;
}

static void begin(rp_exchange_t *x)
{
    x->group_path = x->target->path;
    rp_lb_init(&x->lb, x->r, x->target->group, x->target->url, x->target->route_name);
}

rp_step_t rp_exchange_pick_member(rp_exchange_t *x)
{
    if (!x->group_path) {
        begin(x);
    }
    x->wait_until = 0;
    x->ready = (rp_ready_t){0, 0, false, false};
    switch (rp_lb_pick(&x->lb)) {
    case RP_LB_PICKED:
        break;
    case RP_LB_WAIT:
        x->wait = (rp_wait_t){.backend_fd = -1, .client_fd = -1, .deadline = rp_lb_get_next_look(&x->lb)};
        return RP_STEP_WAIT;
    case RP_LB_EMPTY:
        return rp_exchange_fail_with(x, RP_E_GROUP_EMPTY);
    case RP_LB_ROUTE_DOWN:
        return rp_exchange_fail_with(x, RP_E_ROUTE_DOWN);
    default:
        return rp_exchange_fail_with(x, RP_E_GROUP_DOWN);
    }
    x->up.sent = 0;
    x->got_before = x->down.got;
    aim_at(x, x->lb.member);
    return RP_STEP_LEASE;
}

void rp_exchange_leave_member(rp_exchange_t *x)
{
    rp_lb_leave(&x->lb, x->up.sent, (apr_int64_t)(x->down.got - x->got_before));
}
