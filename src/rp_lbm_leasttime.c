#include "rp_lbm.h"

/* What a member costs: its usual time to answer, for each request that is in front of us, for
 * its weight. A member nobody has asked yet costs nothing, so that it is asked. */
static apr_int64_t get_cost(const revproxy_choice_t *choice, int i)
{
    const revproxy_candidate_t *c = &choice->candidates[i];
    apr_int64_t busy = choice->calls->get(c, REVPROXY_FIGURE_BUSY);

    return choice->calls->get(c, REVPROXY_FIGURE_LATENCY) * (busy + 1) * 100 / c->weight;
}

/* The cheaper of two at random ("power of two choices"): looking for the very cheapest makes all
 * children run to the same member as soon as it looks idle. */
static int choose(const revproxy_choice_t *choice)
{
    apr_uint32_t random[2];
    int a, b;

    if (choice->count == 1) {
        return 0;
    }
    ap_random_insecure_bytes(random, sizeof(random));
    a = (int)(random[0] % (apr_uint32_t)choice->count);
    b = (int)(random[1] % (apr_uint32_t)(choice->count - 1));
    b += b >= a;
    return get_cost(choice, b) < get_cost(choice, a) ? b : a;
}

const revproxy_lbmethod_t rp_lbm_leasttime = {0, choose};
