/* The end of this child process, which long waits want to hear of. */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ap_mpm.h"
#include "http_core.h"

#include "rp_park_int.h"

static int stop_fd = -1;
static _Atomic apr_time_t stop_since; /* 0: not stopping */
static atomic_bool stop_is_hard;

static apr_status_t close_stop_fd(void *data)
{
    (void)data;
    close(stop_fd);
    stop_fd = -1;
    return APR_SUCCESS;
}

void rp_park_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)s;
    /* httpd -X: nobody else is there to go on. Prefork does not say so. */
    atomic_store(&stop_is_hard, ap_exists_config_define("DEBUG") || ap_exists_config_define("ONE_PROCESS"));
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd >= 0) {
        apr_pool_cleanup_register(pchild, NULL, close_stop_fd, apr_pool_cleanup_null);
    }
    rp_park_event_child_init(pchild);
}

static void note_stop(void)
{
    apr_time_t never = 0;

    (void)atomic_compare_exchange_strong(&stop_since, &never, apr_time_now());
}

void rp_park_child_stopping(apr_pool_t *pchild, int graceful)
{
    (void)pchild;
    note_stop();
    if (!graceful) {
        atomic_store(&stop_is_hard, true);
    }
    if (stop_fd >= 0) {
        (void)eventfd_write(stop_fd, 1);
    }
    rp_park_event_stop(!graceful);
}

rp_stop_t rp_park_get_stop(apr_time_t *since)
{
    int state = AP_MPMQ_RUNNING;

    /* Prefork tells its children nothing but this. */
    if (!atomic_load(&stop_since) && ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
        state == AP_MPMQ_STOPPING) {
        note_stop();
    }
    *since = atomic_load(&stop_since);
    if (!*since) {
        return RP_STOP_NOT;
    }
    return atomic_load(&stop_is_hard) ? RP_STOP_NOW : RP_STOP_GRACEFUL;
}

int rp_park_get_stop_fd(void)
{
    return stop_fd;
}

bool rp_park_has_stopped(void)
{
    return atomic_load(&stop_since) != 0;
}
