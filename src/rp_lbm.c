#include "rp_lbm.h"

#include "ap_provider.h"

void rp_lbm_register(apr_pool_t *p)
{
    static const struct {
        const char *name;
        const revproxy_lbmethod_t *method;
    } methods[] = {
        {"byrequests", &rp_lbm_byrequests}, {"bytraffic", &rp_lbm_bytraffic}, {"bybusyness", &rp_lbm_bybusyness},
        {"leasttime", &rp_lbm_leasttime},   {"hash", &rp_lbm_hash},
        {"heartbeat", &rp_lbm_heartbeat},
    };
    size_t i;

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        ap_register_provider(p, REVPROXY_LBMETHOD_GROUP, methods[i].name, REVPROXY_LBMETHOD_VERSION,
                             methods[i].method);
    }
}
