#include "rp_lbm.h"

/* The fewest bytes so far, both ways, for its weight. */
static int choose(const revproxy_choice_t *choice)
{
    apr_int64_t least = APR_INT64_MAX, traffic;
    int i, best = 0;

    for (i = 0; i < choice->count; i++) {
        const revproxy_candidate_t *c = &choice->candidates[i];

        traffic = choice->calls->get(c, REVPROXY_FIGURE_SENT) / c->weight +
                  choice->calls->get(c, REVPROXY_FIGURE_RECEIVED) / c->weight;
        if (traffic < least) {
            best = i;
            least = traffic;
        }
    }
    return best;
}

const revproxy_lbmethod_t rp_lbm_bytraffic = {0, choose};
