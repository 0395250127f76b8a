#include "rp_lb_int.h"

#include <pthread.h>

#include "ap_provider.h"

#include "rp_pool.h"
#include "rp_conf_member.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* lock protects memory and who enlists; taken before rp_pool's registry. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static apr_pool_t *memory; /* until the child ends */

void rp_lb_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)s;
    memory = NULL;
    if (apr_pool_create(&memory, pchild) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_pool_tag(memory, "rp_lb_members");
}

/* Another child, or this one, has added a member: make it known here. */
static bool enlist_next(rp_roster_t *roster)
{
    char url[RP_SHM_URL];
    rp_backend_t *b;
    const char *err;

    rp_shm_get_url(roster->owner, roster->count, url);
    err = rp_conf_read_member(memory, roster->owner, apr_pstrdup(memory, url), &b);
    if (err) {
        /* It was read before it was written there. */
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, roster->owner->server, "%s: a member in shared memory is not usable: %s",
                     roster->owner->name, err);
        return false;
    }
    b->id = roster->members[roster->count]->id;
    rp_pool_add(b);
    rp_conf_enlist(roster, b);
    return true;
}

int rp_lb_count_members(const rp_group_t *group)
{
    rp_roster_t *roster = group->roster;
    int count = rp_conf_count_members(group);

    if (roster->size == roster->configured || rp_shm_get_setting(roster->owner, RP_SHM_MEMBERS) <= count) {
        return count;
    }
    pthread_mutex_lock(&lock);
    while (roster->count < roster->size && roster->count < rp_shm_get_setting(roster->owner, RP_SHM_MEMBERS) &&
           enlist_next(roster)) {
    }
    pthread_mutex_unlock(&lock);
    return rp_conf_count_members(group);
}

/* More than this nobody has set: no request shall wait for it. */
#define TIMEOUT_MAX apr_time_from_sec(APR_INT32_MAX)

static apr_interval_time_t get_timeout(const rp_group_t *group)
{
    apr_interval_time_t timeout = rp_shm_get_setting(group, RP_SHM_TIMEOUT);

    return timeout >= 0 && timeout <= TIMEOUT_MAX ? timeout : group->opt.timeout;
}

static const revproxy_lbmethod_t *find_method(const char *name)
{
    return ap_lookup_provider(REVPROXY_LBMETHOD_GROUP, name, REVPROXY_LBMETHOD_VERSION);
}

/* Shared memory need not name one: a child may have died while it wrote there. The configuration's was looked up
 * when it was read. */
static void get_method(const rp_group_t *group, rp_lb_settings_t *set)
{
    rp_shm_get_group_text(group, RP_SHM_METHOD, set->method_name);
    set->method = find_method(set->method_name);
    if (!set->method) {
        apr_cpystrn(set->method_name, group->opt.method, RP_SHM_TEXT);
        set->method = find_method(group->opt.method);
    }
}

void rp_lb_get_settings(const rp_group_t *group, rp_lb_settings_t *set)
{
    set->timeout = get_timeout(group);
    set->max_attempts = (int)rp_shm_get_setting(group, RP_SHM_MAX_ATTEMPTS);
    set->no_failover = rp_shm_get_setting(group, RP_SHM_NO_FAILOVER);
    set->force_recovery = rp_shm_get_setting(group, RP_SHM_FORCE_RECOVERY);
    get_method(group, set);
    rp_shm_get_group_text(group, RP_SHM_STICKY, set->sticky);
    rp_shm_get_group_text(group, RP_SHM_STICKY_PATH, set->sticky_path);
}
