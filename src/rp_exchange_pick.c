#include "apr_strings.h"
#include "httpd.h"

#include "rp_exchange_int.h"
#include "rp_uri.h"

static rp_span_t span_of(const char *text)
{
    rp_span_t span = {text, strlen(text)};

    return span;
}

/* The group's URL becomes the member's: its address, its path, then the group's path. */
static void aim_at(rp_exchange_t *x, const rp_backend_t *member)
{
    rp_target_t *t = x->target;
    const char *path = apr_pstrcat(x->r->pool, member->path, x->group_path, NULL);
    apr_size_t authority = strlen(member->name) - strlen(member->path);

    t->backend = rp_conf_get_backend(member->id);
    t->scheme = member->scheme;
    t->host = member->host;
    t->port = member->port;
    t->has_port = member->port != rp_uri_default_port(span_of(member->scheme));
    t->uds_path = member->uds_path;
    t->path = path;
    t->url = apr_pstrcat(x->r->pool, apr_pstrmemdup(x->r->pool, member->name, authority), path, NULL);
    if (t->uds_path) {
        apr_table_setn(x->r->notes, "uds_path", t->uds_path);
    }
    else {
        apr_table_unset(x->r->notes, "uds_path");
    }
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
