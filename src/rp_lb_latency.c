#include "rp_lb_int.h"

#include <math.h>

/* So long without a response halves what is known: a member that was slow once is asked again, though the others
 * are faster. */
#define HALF_LIFE ((double)apr_time_from_sec(20))
/* What is kept at most of the old average when there is something new. */
#define KEPT_MOST 0.875

static double get_kept(const rp_backend_t *member, apr_time_t now)
{
    apr_interval_time_t age = now - rp_shm_get(member, RP_SHM_LATENCY_TIME);

    return exp2(-(double)(age > 0 ? age : 0) / HALF_LIFE);
}

static apr_int64_t to_known(double latency)
{
    return latency < 1 ? 1 : (apr_int64_t)latency;
}

apr_int64_t rp_lb_get_latency(const rp_backend_t *member)
{
    apr_int64_t latency = rp_shm_get(member, RP_SHM_LATENCY);

    return latency ? to_known((double)latency * get_kept(member, apr_time_now())) : 0;
}

/* Two children that write at the same time lose one sample of many. */
void rp_lb_note_latency(const rp_lb_t *lb)
{
    apr_time_t now = apr_time_now();
    double sample = (double)(now - lb->picked_at), old = (double)rp_shm_get(lb->member, RP_SHM_LATENCY);
    double kept = old > 0 ? get_kept(lb->member, now) : 0;

    kept = kept < KEPT_MOST ? kept : KEPT_MOST;
    rp_shm_set(lb->member, RP_SHM_LATENCY, to_known(old * kept + sample * (1 - kept)));
    rp_shm_set(lb->member, RP_SHM_LATENCY_TIME, now);
}
