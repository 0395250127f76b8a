#include "rp_lbm.h"

#include <math.h>
#include <string.h>

#include "apr_siphash.h"

/* No member gets more than this times its share of what is in flight. */
#define MOST_LOAD 1.25

/* A uniform number in (0, 1) made of key and member; nobody needs to keep it from guessing. */
static double mix(const char *key, apr_uint64_t id)
{
    unsigned char secret[APR_SIPHASH_KSIZE] = {0};
    apr_uint64_t hash;

    memcpy(secret, &id, sizeof(id));
    hash = apr_siphash24(key, strlen(key), secret);
    return ((double)(hash >> 11) + 0.5) / 9007199254740992.0; /* 2^53 */
}

/* Rendezvous hashing with weights: each member draws a number for the key, the highest wins. A
 * member that goes takes only its own keys along, one that comes takes only its share. */
static double get_score(const char *key, const revproxy_candidate_t *c)
{
    return -(double)c->weight / log(mix(key, c->id));
}

static int find_highest(const double *scores, int count)
{
    int i, best = -1;

    for (i = 0; i < count; i++) {
        if (scores[i] >= 0 && (best < 0 || scores[i] > scores[best])) {
            best = i;
        }
    }
    return best;
}

static int choose(const revproxy_choice_t *choice)
{
    size_t n = (size_t)choice->count;
    double *scores = apr_palloc(choice->r->pool, 2 * n * sizeof(*scores)), *busy = scores + n;
    double total_busy = 1, total_weight = 0; /* with the request at hand */
    int i, best, first;

    for (i = 0; i < choice->count; i++) {
        const revproxy_candidate_t *c = &choice->candidates[i];

        scores[i] = get_score(choice->key, c);
        busy[i] = (double)choice->calls->get(c, REVPROXY_FIGURE_BUSY);
        total_busy += busy[i];
        total_weight += c->weight;
    }
    first = best = find_highest(scores, choice->count);
    while (best >= 0) {
        double share = total_busy * choice->candidates[best].weight / total_weight;

        if (busy[best] + 1 <= ceil(MOST_LOAD * share)) {
            return best;
        }
        scores[best] = -1;
        best = find_highest(scores, choice->count);
    }
    return first;
}

const revproxy_lbmethod_t rp_lbm_hash = {0, choose};
