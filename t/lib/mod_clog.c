/* mod_clog: has httpd read the requests of each connection in one thread, as a filter does that cannot be asked without waiting. */
#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"

static int set_clogging(conn_rec *c, void *socket)
{
    (void)socket;
    c->clogging_input_filters = 1;
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_pre_connection(set_clogging, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(clog) = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
