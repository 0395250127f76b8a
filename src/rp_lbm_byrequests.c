#include "rp_lbm.h"

/* Each candidate earns its weight, the one with the most pays for all (smooth weighted round
 * robin). The sum over all members stays the same whatever children do at the same time, so
 * none can be left behind. */
static int choose(const revproxy_choice_t *choice)
{
    apr_int64_t total = 0, most = APR_INT64_MIN, state;
    int i, best = 0;

    for (i = 0; i < choice->count; i++) {
        const revproxy_candidate_t *c = &choice->candidates[i];

        state = choice->calls->add_state(c, c->weight);
        total += c->weight;
        if (state > most) {
            best = i;
            most = state;
        }
    }
    choice->calls->add_state(&choice->candidates[best], -total);
    return best;
}

const revproxy_lbmethod_t rp_lbm_byrequests = {0, choose};
