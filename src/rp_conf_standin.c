#include "rp_conf_int.h"

/* Module records without content. Modules and <IfModule> find a module by the name of its record,
 * "LogLevel proxy:debug" and <IfModule proxy_module> also by the name of its symbol; mod_so's list
 * of symbols is not touched, since a later "LoadModule proxy_module" would then be skipped. */
static struct {
    module record;
    const char *name;   /* of the record */
    const char *symbol; /* for httpd's list of short names */
} stand_ins[] = {
    {.name = "mod_proxy.c", .symbol = "proxy_module"},
    {.name = "mod_proxy_http.c", .symbol = "proxy_http_module"},
    {.name = "mod_proxy_balancer.c", .symbol = "proxy_balancer_module"},
    {.name = "mod_lbmethod_byrequests.c", .symbol = "lbmethod_byrequests_module"},
    {.name = "mod_lbmethod_bytraffic.c", .symbol = "lbmethod_bytraffic_module"},
    {.name = "mod_lbmethod_bybusyness.c", .symbol = "lbmethod_bybusyness_module"},
    {.name = "mod_lbmethod_heartbeat.c", .symbol = "lbmethod_heartbeat_module"},
    {.name = "mod_proxy_hcheck.c", .symbol = "proxy_hcheck_module"},
    {.name = "mod_proxy_wstunnel.c", .symbol = "proxy_wstunnel_module"},
    {.name = "proxy_module", .symbol = "proxy_module"},
    {.name = "proxy_http_module", .symbol = "proxy_http_module"},
    {.name = "proxy_balancer_module", .symbol = "proxy_balancer_module"},
    {.name = "lbmethod_byrequests_module", .symbol = "lbmethod_byrequests_module"},
    {.name = "lbmethod_bytraffic_module", .symbol = "lbmethod_bytraffic_module"},
    {.name = "lbmethod_bybusyness_module", .symbol = "lbmethod_bybusyness_module"},
    {.name = "lbmethod_heartbeat_module", .symbol = "lbmethod_heartbeat_module"},
    {.name = "proxy_hcheck_module", .symbol = "proxy_hcheck_module"},
    {.name = "proxy_wstunnel_module", .symbol = "proxy_wstunnel_module"},
};

#define STAND_INS (sizeof(stand_ins) / sizeof(stand_ins[0]))

static bool is_stand_in(const module *m)
{
    size_t i;

    for (i = 0; i < STAND_INS; i++) {
        if (m == &stand_ins[i].record) {
            return true;
        }
    }
    return false;
}

bool rp_conf_has_module(const char *name)
{
    const module *m;

    for (m = ap_top_module; m; m = m->next) {
        if (!strcmp(m->name, name) && !is_stand_in(m)) {
            return true;
        }
    }
    return false;
}

static apr_status_t remove_stand_ins(void *data)
{
    size_t i;

    (void)data;
    for (i = STAND_INS; i-- > 0;) {
        ap_remove_module(&stand_ins[i].record);
    }
    return APR_SUCCESS;
}

void rp_conf_add_stand_ins(apr_pool_t *p)
{
    static const module empty = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, NULL,
                                 AP_MODULE_FLAG_NONE};
    size_t i;

    if (rp_conf_has_module("mod_proxy.c")) {
        return;
    }
    for (i = 0; i < STAND_INS; i++) {
        module *m = &stand_ins[i].record;

        /* A whole copy: httpd leaves its links in a record that it removed, and this object
         * may stay mapped over a restart. */
        *m = empty;
        m->name = stand_ins[i].name;
        ap_add_module(m, p, stand_ins[i].symbol);
    }
    apr_pool_cleanup_register(p, NULL, remove_stand_ins, apr_pool_cleanup_null);
}

void rp_conf_retire_stand_ins(void)
{
    size_t i;

    /* Renamed, not removed: removing a module lowers httpd's count of modules, and the ones with
     * the highest numbers would no longer be merged. Unused records are renamed too, to no effect.
     */
    for (i = 0; i < STAND_INS; i++) {
        stand_ins[i].record.name = "mod_revproxy_standin.c";
    }
}

void rp_conf_adopt_log_levels(server_rec *s)
{
    size_t i;
    signed char *levels = s->log.module_levels;

    if (!levels || levels[revproxy_module.module_index] >= 0) {
        return;
    }
    for (i = 0; i < STAND_INS; i++) {
        int index = stand_ins[i].record.module_index;

        if (stand_ins[i].record.name && index > 0 &&
            levels[index] > levels[revproxy_module.module_index]) {
            levels[revproxy_module.module_index] = levels[index];
        }
    }
}
