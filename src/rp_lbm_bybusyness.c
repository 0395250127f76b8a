#include "rp_lbm.h"

/* The least busy; among equals as byrequests does. */
static int choose(const revproxy_choice_t *choice)
{
    apr_int64_t total = 0, most = 0, least = APR_INT64_MAX, state;
    int i, best = 0;

    for (i = 0; i < choice->count; i++) {
        const revproxy_candidate_t *c = &choice->candidates[i];

        state = choice->calls->add_state(c, c->weight);
        total += c->weight;
        if (c->busy < least || (c->busy == least && state > most)) {
            best = i;
            least = c->busy;
            most = state;
        }
    }
    choice->calls->add_state(&choice->candidates[best], -total);
    return best;
}

const revproxy_lbmethod_t rp_lbm_bybusyness = {REVPROXY_LB_BUSY, choose};
