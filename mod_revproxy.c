/* mod_revproxy: the face. Module record, directive table, hooks and why each runs
 * where it does. No logic.
 */
#include "mod_revproxy.h"

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_protocol.h"
#include "http_protocol.h"
#include "http_request.h"
#include "ap_mpm.h"
#include "mod_status.h"
#include "mpm_common.h"

#include "src/rp_client.h"
#include "src/rp_conf.h"
#include "src/rp_conn.h"
#include "src/rp_exchange.h"
#include "src/rp_health.h"
#include "src/rp_lb.h"
#include "src/rp_lbm.h"
#include "src/rp_lint.h"
#include "src/rp_manager.h"
#include "src/rp_park.h"
#include "src/rp_pool.h"
#include "src/rp_reqhead.h"
#include "src/rp_route.h"
#include "src/rp_shm.h"
#include "src/rp_splice.h"
#include "src/rp_status.h"
#include "src/rp_tunnel.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;

/* From the first LoadModule line to the end of a child. */
static void register_life(apr_pool_t *p)
{
    /* mod_ssl merges the servers' SSLProxy* settings first; it names mod_proxy.c as its successor,
     * and a hook of ours carries our own name. */
    static const char *const after_ssl[] = {"mod_ssl.c", NULL};
    static const char *const before_watchdog[] = {"mod_watchdog.c", NULL};

    /* Now, while LoadModule runs: <IfModule mod_proxy.c> below it looks for them. */
    rp_conf_add_stand_ins(p);
    /* Now, because lbmethod= is checked where it stands. */
    rp_lbm_register(p);
    /* While ProxyHCExpr is read. */
    ap_hook_expr_lookup(rp_conf_expr_lookup, NULL, NULL, APR_HOOK_MIDDLE);

    /* Anywhere: after all LoadModule lines, before the first directive is carried out. */
    ap_hook_pre_config(rp_conf_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before LogFormat lines are read. */
    ap_hook_pre_config(rp_exchange_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(rp_conf_post_config, after_ssl, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(rp_park_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* After groups have got their members in order; rp_lb needs the memory's secret. */
    ap_hook_post_config(rp_shm_post_config, NULL, NULL, APR_HOOK_MIDDLE + 1);
    ap_hook_post_config(rp_lb_post_config, NULL, NULL, APR_HOOK_MIDDLE + 2);
    ap_hook_post_config(rp_health_post_config, NULL, NULL, APR_HOOK_MIDDLE + 2);
    ap_hook_optional_fn_retrieve(rp_client_find_functions, NULL, NULL, APR_HOOK_MIDDLE);

    /* mod_watchdog starts the thread that makes the health checks in a hook of its own; it needs these. */
    ap_hook_child_init(rp_shm_child_init, NULL, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_init(rp_lb_child_init, NULL, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_init(rp_pool_child_init, NULL, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_init(rp_splice_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(rp_park_child_init, NULL, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_init(rp_health_child_init, NULL, before_watchdog, APR_HOOK_MIDDLE + 1);
    ap_hook_child_stopping(rp_park_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(rp_shm_child_status, NULL, NULL, APR_HOOK_MIDDLE);
}

/* From a connection to the response. */
static void register_requests(void)
{
    /* [P] decides before ProxyPass, and its target has to be there when we canonicalise. */
    static const char *const after_rewrite[] = {"mod_rewrite.c", NULL};
    /* Beside a real mod_proxy: it claims every proxied request, we only ours. */
    static const char *const before_proxy[] = {"mod_proxy.c", NULL};

    rp_conn_register_hooks();
    rp_client_register_filter();
    /* Around everything that handles a connection, so that a parked request comes back here. */
    ap_hook_process_connection(rp_park_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_close_connection(rp_park_pre_close_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);

    /* Before any module sets a field of the request. */
    ap_hook_post_read_request(rp_reqhead_post_read_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Encoded mappings decide before httpd decodes the path; all others before mod_alias and its
     * like map to files. */
    ap_hook_pre_translate_name(rp_route_pre_translate, NULL, before_proxy, APR_HOOK_MIDDLE);
    ap_hook_translate_name(rp_route_translate, after_rewrite, before_proxy, APR_HOOK_FIRST);
    /* Before the core walks the file system for a name that is none. */
    ap_hook_map_to_storage(rp_route_map_to_storage, NULL, before_proxy, APR_HOOK_FIRST);
    /* After per-directory [P] rules have made their target. */
    ap_hook_fixups(rp_route_fixups, after_rewrite, before_proxy, APR_HOOK_FIRST);
    ap_hook_handler(rp_exchange_handler, NULL, before_proxy, APR_HOOK_FIRST);
}

static void register_operators(void)
{
    /* A handler of a Location, as mod_proxy_balancer's. */
    ap_hook_handler(rp_manager_handler, NULL, NULL, APR_HOOK_FIRST);
    /* A section of mod_status' page, where that module is loaded. */
    APR_OPTIONAL_HOOK(ap, status_hook, rp_status_hook, NULL, NULL, APR_HOOK_MIDDLE);
    /* Reports come last, and only when nobody refused the configuration. */
    ap_hook_check_config(rp_lint_check_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_post_config(rp_lint_post_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_test_config(rp_lint_test_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_ssl's and the core's, which know requests of clients only. */
    ap_hook_http_scheme(rp_lint_http_scheme, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_default_port(rp_lint_default_port, NULL, NULL, APR_HOOK_FIRST);
}

static void register_hooks(apr_pool_t *p)
{
    register_life(p);
    register_requests();
    register_operators();
}

module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) revproxy_module = {
    STANDARD20_MODULE_STUFF,
    rp_conf_create_dir,
    rp_conf_merge_dir,
    rp_conf_create_server,
    rp_conf_merge_server,
    rp_conf_commands,
    register_hooks,
    AP_MODULE_FLAG_NONE,
};
