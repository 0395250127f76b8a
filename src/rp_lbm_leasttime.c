#include "rp_lbm.h"

#include <stdbool.h>

/* For each request that is in front of us, for its weight. */
static apr_int64_t get_load(const revproxy_choice_t *choice, int i)
{
    const revproxy_candidate_t *c = &choice->candidates[i];

    return (choice->calls->get(c, REVPROXY_FIGURE_BUSY) + 1) * 10000 / c->weight;
}

/* A member costs its usual time to answer for what is in front of us. Where one has not answered yet, the load alone
 * counts: it is asked, but not by all at once, who would wait together if it is slow. */
static bool is_cheaper(const revproxy_choice_t *choice, int a, int b)
{
    apr_int64_t time_a = choice->calls->get(&choice->candidates[a], REVPROXY_FIGURE_LATENCY);
    apr_int64_t time_b = choice->calls->get(&choice->candidates[b], REVPROXY_FIGURE_LATENCY);

    if (time_a == 0 || time_b == 0) {
        time_a = time_b = 1;
    }
    return get_load(choice, a) * time_a < get_load(choice, b) * time_b;
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
    return is_cheaper(choice, b, a) ? b : a;
}

const revproxy_lbmethod_t rp_lbm_leasttime = {0, choose};
