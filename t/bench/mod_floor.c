/*
 * mod_floor: the handler with nothing behind it.  It answers the 12 bytes that
 * the bench's backend would send, so that the cost of a request in httpd
 * itself is known and can be taken off the cost of a proxied one.
 *
 *     SetHandler bench-floor
 */
#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

static const char body[] = "hello world\n";

static int answer(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "bench-floor") != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, sizeof(body) - 1);
    ap_rputs(body, r);
    return OK;
}

/* A proxied request does not look for a file either. */
static int keep_off_disk(request_rec *r)
{
    return r->proxyreq ? DECLINED : OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_map_to_storage(keep_off_disk, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(answer, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(floor) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
