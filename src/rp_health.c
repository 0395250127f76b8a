#include "rp_health_int.h"

#include <pthread.h>
#include <stdlib.h>

#include "ap_mpm.h"
#include "http_core.h"
#include "mod_watchdog.h"
#include "rp_lb.h"
#include "rp_park.h"
#include "rp_shm.h"
#include "rp_conf_member.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

#define WATCHDOG "_revproxy_health_"
/* mod_watchdog gets its thread back so often, though checks may be under way. */
#define TURN apr_time_from_sec(1)

/* Set by post_config. */
static bool is_on;

/* Between the checking thread and the one that ends this child, which waits until a turn is over; lock protects
 * both flags. mod_watchdog joins its thread only when everything else of the child has gone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_is_over = PTHREAD_COND_INITIALIZER;
static bool is_turning, is_ended;

/* The rest is the checking thread's, during its turns. Checks by their members' slots, made when first due. */
static rp_check_t **checks;
static int check_count;
/* Those under way, in no order; places for all, and fds has one more. */
static rp_check_t **running;
static struct pollfd *fds;
static int running_count;

/* ---- the table ---- */

static void *grow(void *p, int n, apr_size_t size)
{
    void *more = realloc(p, (apr_size_t)n * size);

    if (!more) {
        ap_abort_on_oom();
    }
    return more;
}

static void make_room(int slot)
{
    int n = (slot + 32) / 32 * 32;

    checks = grow(checks, n, sizeof(*checks));
    running = grow(running, n, sizeof(*running));
    fds = grow(fds, n + 1, sizeof(*fds));
    for (; check_count < n; check_count++) {
        checks[check_count] = NULL;
    }
}

static rp_check_t *get_check(const rp_backend_t *member)
{
    rp_check_t **place;

    if (member->slot >= check_count) {
        make_room(member->slot + 1);
    }
    place = &checks[member->slot];
    if (!*place) {
        *place = ap_calloc(1, sizeof(**place));
        (*place)->member = member;
    }
    return *place;
}

static void free_all(void)
{
    int i;

    for (i = 0; i < check_count; i++) {
        if (checks[i]) {
            rp_check_end(checks[i]);
            free(checks[i]);
        }
    }
    free(checks);
    free(running);
    free(fds);
    checks = running = NULL;
    fds = NULL;
    check_count = running_count = 0;
}

/* ---- begin and end ---- */

/* The first check comes one interval after the start, like the next ones after the end of the one before. */
static bool is_due(const rp_backend_t *member, apr_time_t now)
{
    apr_time_t last;

    if (rp_shm_get(member, RP_SHM_CHECK_METHOD) == RP_CHECK_NONE ||
        rp_shm_get(member, RP_SHM_STATUS) & RP_STATUS_STOPPED) {
        return false;
    }
    last = rp_shm_get(member, RP_SHM_CHECK_TIME);
    if (last == 0 || last > now) {
        rp_shm_set(member, RP_SHM_CHECK_TIME, now);
        return false;
    }
    return now - last >= rp_shm_get(member, RP_SHM_CHECK_INTERVAL);
}

static void finish(int i, rp_check_result_t result)
{
    rp_check_t *c = running[i];

    running[i] = running[--running_count];
    rp_check_note(c, result);
    rp_check_end(c);
}

static void begin(rp_check_t *c)
{
    rp_check_result_t result;

    rp_check_begin(c);
    running[running_count++] = c;
    result = rp_check_advance(c);
    if (result != RP_CHECK_GOES_ON) {
        finish(running_count - 1, result);
    }
}

static void begin_due(apr_time_t now)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    int i, k;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        for (k = 0; k < rp_lb_count_members(group); k++) {
            const rp_backend_t *member = rp_conf_get_member(group, k);

            if (is_due(member, now) && !get_check(member)->pool) {
                begin(get_check(member));
            }
        }
    }
}

/* ---- wait and go on ---- */

/* What all wait for, into fds; returns until when to wait. */
static apr_time_t collect(apr_time_t until)
{
    apr_time_t own;
    int i;

    for (i = 0; i < running_count; i++) {
        fds[i].fd = rp_check_get_interest(running[i], &fds[i].events, &own);
        fds[i].revents = 0;
        until = own < until ? own : until;
    }
    return until;
}

static bool is_ready(int i, apr_time_t now)
{
    apr_time_t until;
    short events;

    (void)rp_check_get_interest(running[i], &events, &until);
    return fds[i].revents || until <= now;
}

static void advance_all(apr_time_t now)
{
    int i;

    /* From the end: finish moves the last one into the place that becomes free, and fds has to match. */
    for (i = running_count - 1; i >= 0; i--) {
        if (is_ready(i, now)) {
            rp_check_result_t result = rp_check_advance(running[i]);

            if (result != RP_CHECK_GOES_ON) {
                finish(i, result);
            }
        }
    }
}

/* ---- turns ---- */

static bool begin_turn(void)
{
    bool may;

    pthread_mutex_lock(&lock);
    may = is_turning = !is_ended;
    pthread_mutex_unlock(&lock);
    return may;
}

static void end_turn(void)
{
    pthread_mutex_lock(&lock);
    is_turning = false;
    pthread_cond_signal(&turn_is_over);
    pthread_mutex_unlock(&lock);
}

/* Before the connections' own ends. Turns notice the stop at once, or within mod_watchdog's step. */
static apr_status_t end(void *data)
{
    (void)data;
    pthread_mutex_lock(&lock);
    is_ended = true;
    while (is_turning) {
        pthread_cond_wait(&turn_is_over, &lock);
    }
    pthread_mutex_unlock(&lock);
    free_all();
    return APR_SUCCESS;
}

static bool is_stopping(void)
{
    apr_time_t since;
    bool is_over;

    pthread_mutex_lock(&lock);
    is_over = is_ended;
    pthread_mutex_unlock(&lock);
    return is_over || rp_park_get_stop(&since) != RP_STOP_NOT;
}

/* One turn of the thread: begin what is due, and stay with what is under way. */
static void check(void)
{
    apr_time_t now = apr_time_now(), until = now + TURN;

    begin_due(now);
    while (running_count > 0 && now < until && !is_stopping()) {
        rp_park_poll(fds, running_count, collect(now + AP_WD_TM_SLICE));
        now = apr_time_now();
        advance_all(now);
        begin_due(now);
    }
}

static apr_status_t run(int state, void *data, apr_pool_t *pool)
{
    (void)data;
    (void)pool;
    if (!begin_turn()) {
        return APR_SUCCESS;
    }
    if (state == AP_WATCHDOG_STATE_STOPPING || is_stopping()) {
        free_all();
    }
    else if (state == AP_WATCHDOG_STATE_RUNNING) {
        check();
    }
    end_turn();
    return APR_SUCCESS;
}

/* ---- hooks ---- */

static bool wants_checks(server_rec *main_server)
{
    const apr_array_header_t *groups = rp_conf_get_groups();
    const server_rec *s;
    int i, k;

    for (i = 0; i < groups->nelts; i++) {
        const rp_group_t *group = APR_ARRAY_IDX(groups, i, const rp_group_t *);

        for (k = 0; k < group->members->nelts; k++) {
            if (rp_shm_get(rp_conf_get_member(group, k), RP_SHM_CHECK_METHOD)) {
                return true;
            }
        }
    }
    for (s = main_server; s; s = s->next) {
        const rp_server_conf_t *conf = rp_conf_get_server(s);

        if (conf->check_exprs->nelts || conf->check_templates->nelts) {
            return groups->nelts > 0;
        }
    }
    return false;
}

static apr_status_t engage(apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_instance = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv = get_instance && add ? get_instance(&watchdog, WATCHDOG, 0, 1, pconf) : APR_ENOTIMPL;

    return rv == APR_SUCCESS ? add(watchdog, AP_WD_TM_SLICE, NULL, run) : rv;
}

int rp_health_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    apr_status_t rv;

    (void)plog;
    (void)ptemp;
    is_on = false;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG || !wants_checks(main_server)) {
        return OK;
    }
    rv = engage(pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server, "no thread for health checks from mod_watchdog");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    is_on = true;
    return OK;
}

void rp_health_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)s;
    is_turning = is_ended = false;
    /* Run before those of rp_pool_child_init, which was first. */
    apr_pool_pre_cleanup_register(pchild, NULL, end);
}

bool rp_health_is_on(void)
{
    return is_on;
}
