#include "rp_route_int.h"

#include "apr_strings.h"

bool rp_route_is_current(const request_rec *r, const rp_memory_t *mem)
{
    return mem && mem->filename && r->filename &&
           (mem->filename == r->filename || !strcmp(mem->filename, r->filename));
}

rp_memory_t *rp_route_recall(request_rec *r)
{
    rp_memory_t *mem = ap_get_module_config(r->request_config, &revproxy_module);

    if (mem && mem->lookup && !rp_route_is_current(r, mem) && rp_route_is_current(r, mem->lookup)) {
        mem = mem->lookup;
        ap_set_module_config(r->request_config, &revproxy_module, mem);
    }
    return mem;
}

static apr_status_t forget_lookup(void *data)
{
    rp_memory_t *mem = data;

    if (mem->parent->lookup == mem) {
        mem->parent->lookup = NULL;
    }
    return APR_SUCCESS;
}

void rp_route_hand_up(request_rec *r, rp_memory_t *mem)
{
    if (!r->main || mem->parent) {
        return;
    }
    mem->parent = rp_route_remember(r->main);
    mem->parent->lookup = mem;
    apr_pool_cleanup_register(r->pool, mem, forget_lookup, apr_pool_cleanup_null);
}

rp_memory_t *rp_route_remember(request_rec *r)
{
    rp_memory_t *mem = rp_route_recall(r);

    if (!mem) {
        mem = apr_pcalloc(r->pool, sizeof(*mem));
        mem->target.route_name = "[P]";
        mem->target.sections = "";
        ap_set_module_config(r->request_config, &revproxy_module, mem);
    }
    return mem;
}

int rp_route_fail(request_rec *r, const rp_target_t *target, rp_err_t err, const char *detail)
{
    rp_err_where_t where = {.route = target->route_name, .phase = "choosing the target"};

    if (target->route && target->route->backend) {
        where.backend = target->route->backend->name;
    }
    rp_err_log(r, err, 0, &where, detail);
    return rp_err_to_status(r, err, target->host);
}

static const char *look_up(void *ctx, rp_span_t name)
{
    request_rec *r = ctx;

    return apr_table_get(r->subprocess_env, apr_pstrmemdup(r->pool, name.p, name.n));
}

const char *rp_route_expand(request_rec *r, const char *text)
{
    ptrdiff_t n;
    char *out;

    if (!strstr(text, "${")) {
        return text;
    }
    n = rp_uri_expand_env(NULL, 0, text, look_up, r);
    if (n < 0) {
        return text;
    }
    out = apr_palloc(r->pool, (apr_size_t)n + 1);
    rp_uri_expand_env(out, (apr_size_t)n + 1, text, look_up, r);
    return out;
}
