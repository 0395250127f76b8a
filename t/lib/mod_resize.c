/* mod_resize: an input filter that changes the length of a request body behind the proxy's back. It sits where filters of the
 * protocol do, so that nobody can see beforehand that the body will be another one.
 * X-Resize: short leaves out the last byte of what it reads at a time, long doubles the first. */
#include "httpd.h"
#include "http_config.h"
#include "http_request.h"
#include "util_filter.h"

static apr_status_t resize(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block, apr_off_t n)
{
    const char *how = apr_table_get(f->r->headers_in, "X-Resize");
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, n);
    apr_bucket *e = APR_BRIGADE_FIRST(bb), *more;

    if (rv != APR_SUCCESS || !how || mode != AP_MODE_READBYTES || e == APR_BRIGADE_SENTINEL(bb) ||
        APR_BUCKET_IS_METADATA(e) || e->length < 2) {
        return rv;
    }
    if (how[0] == 's') {
        rv = apr_bucket_split(e, e->length - 1);
        apr_bucket_delete(APR_BUCKET_NEXT(e));
        return rv;
    }
    more = apr_bucket_heap_create("x", 1, NULL, bb->bucket_alloc);
    APR_BUCKET_INSERT_BEFORE(e, more);
    return APR_SUCCESS;
}

/* Before the core's, so that this is nearer to the handler than the filter that takes bodies apart. */
static int add(request_rec *r)
{
    if (!r->main && !r->prev) {
        (void)ap_add_input_filter("RESIZE", NULL, r, r->connection);
    }
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_register_input_filter("RESIZE", resize, NULL, AP_FTYPE_PROTOCOL);
    ap_hook_create_request(add, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(resize) = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
