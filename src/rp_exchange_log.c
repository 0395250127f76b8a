/* %{...}^rp for access logs: what an exchange came to. */
#include "rp_exchange.h"

#include "apr_optional.h"
#include "apr_strings.h"
#include "mod_log_config.h"

#include "rp_route.h"

static const char *format_time(apr_pool_t *p, apr_time_t from, apr_time_t to)
{
    return from && to >= from ? apr_off_t_toa(p, to - from) : NULL;
}

static const char *format_code(apr_pool_t *p, int code)
{
    return code ? apr_psprintf(p, "RP%04d", code) : NULL;
}

static const char *format_account(request_rec *r, const rp_account_t *a, const char *what)
{
    if (!strcmp(what, "backend")) {
        return a->backend;
    }
    if (!strcmp(what, "tls")) {
        return a->tls;
    }
    if (!strcmp(what, "attempts")) {
        return apr_itoa(r->pool, a->attempts);
    }
    if (!strcmp(what, "connect")) {
        return format_time(r->pool, a->began, a->connected);
    }
    if (!strcmp(what, "answer")) {
        return format_time(r->pool, a->began, a->answered);
    }
    if (!strcmp(what, "total")) {
        return format_time(r->pool, a->began, a->ended);
    }
    if (a->is_tunnel && !strcmp(what, "up")) {
        return apr_off_t_toa(r->pool, a->up);
    }
    if (a->is_tunnel && !strcmp(what, "down")) {
        return apr_off_t_toa(r->pool, a->down);
    }
    return !strcmp(what, "code") ? format_code(r->pool, a->code) : NULL;
}

static const char *log_exchange(request_rec *r, char *what)
{
    const rp_target_t *target = rp_route_find_target(r);

    return target && target->account ? format_account(r, target->account, what) : NULL;
}

int rp_exchange_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) *offer = APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);
    static char tag[] = "^rp";

    (void)plog;
    (void)ptemp;
    if (offer) {
        /* The request that the client sent, not what an ErrorDocument made of it. */
        offer(pconf, tag, log_exchange, 1);
    }
    return OK;
}
