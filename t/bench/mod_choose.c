/*
 * mod_choose: how long choosing a member takes.  Linked together with the objects of
 * mod_revproxy into one file, so that it measures what requests run: rp_lb over the
 * shared memory of a real server.
 *
 *     SetHandler bench-choose      answers "NAME METHOD MEMBERS NANOSECONDS" for each balancer
 */
#include <time.h>

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

#include "rp_lb.h"

#define TURNS 200000
#define TURNS_OF_A_POOL 100

static double get_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* As an exchange does it: begin, choose, note what came of it, leave. */
static int choose_once(request_rec *r, const rp_group_t *group)
{
    rp_lb_t lb;
    rp_lb_result_t result;

    rp_lb_init(&lb, r, group, r->filename, r->uri);
    result = rp_lb_pick(&lb);
    rp_lb_note_connected(&lb);
    rp_lb_note_response(&lb, HTTP_OK);
    rp_lb_leave(&lb, 100, 100);
    return result == RP_LB_PICKED;
}

static double measure(request_rec *r, const rp_group_t *group)
{
    apr_pool_t *own = r->pool;
    request_rec asked = *r;
    double began = get_ns();
    int i, chosen = 0;

    apr_pool_create(&asked.pool, own);
    for (i = 0; i < TURNS; i++) {
        if (i % TURNS_OF_A_POOL == 0) {
            apr_pool_clear(asked.pool);
            asked.subprocess_env = apr_table_make(asked.pool, 16);
            asked.notes = apr_table_make(asked.pool, 4);
        }
        chosen += choose_once(&asked, group);
    }
    apr_pool_destroy(asked.pool);
    return chosen == TURNS ? (get_ns() - began) / TURNS : -1;
}

static int answer(request_rec *r)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    int i;

    if (!r->handler || strcmp(r->handler, "bench-choose") != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, rp_group_t *);

        ap_rprintf(r, "%s %d %.0f\n", group->name, rp_lb_count_members(group), measure(r, group));
    }
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(answer, NULL, NULL, APR_HOOK_MIDDLE);
}

__attribute__((visibility("default"))) AP_DECLARE_MODULE(choose) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
