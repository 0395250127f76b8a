#include "rp_lbm.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "apr_siphash.h"

/* No member gets more than this times its share of what is in flight, rounded up: an idle one may be had. */
#define MOST_LOAD 1.25

/* Nobody needs to keep it from guessing. */
static apr_uint64_t hash_key(const char *key)
{
    static const unsigned char secret[APR_SIPHASH_KSIZE] = {0};

    return apr_siphash24(key, strlen(key), secret);
}

/* A uniform number in (0, 1) made of key and member, by the finalizer of SplitMix64. */
static double mix(apr_uint64_t key, apr_uint64_t id)
{
    apr_uint64_t x = key ^ id;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return ((double)(x >> 11) + 0.5) / 9007199254740992.0; /* 2^53 */
}

static bool are_equal(const revproxy_choice_t *choice)
{
    int i;

    for (i = 1; i < choice->count && choice->candidates[i].weight == choice->candidates[0].weight; i++) {
    }
    return i >= choice->count;
}

/* Rendezvous hashing with weights: each member draws a number for the key, the highest wins. A
 * member that goes takes only its own keys along, one that comes takes only its share. With
 * equal weights the numbers themselves are in the same order. */
static double get_score(apr_uint64_t key, const revproxy_candidate_t *c, bool is_equal)
{
    double drawn = mix(key, c->id);

    return is_equal ? drawn : -(double)c->weight / log(drawn);
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
    double *scores = apr_palloc(choice->r->pool, n * sizeof(*scores));
    double total_busy = 1, total_weight = 0; /* with the request at hand */
    apr_uint64_t key = hash_key(choice->key);
    bool is_equal = are_equal(choice);
    int i, best, first;

    for (i = 0; i < choice->count; i++) {
        const revproxy_candidate_t *c = &choice->candidates[i];

        scores[i] = get_score(key, c, is_equal);
        total_busy += c->busy;
        total_weight += c->weight;
    }
    first = best = find_highest(scores, choice->count);
    while (best >= 0) {
        const revproxy_candidate_t *c = &choice->candidates[best];
        double share = total_busy * c->weight / total_weight;

        if (c->busy + 1.0 <= ceil(MOST_LOAD * share)) {
            return best;
        }
        scores[best] = -1;
        best = find_highest(scores, choice->count);
    }
    return first;
}

const revproxy_lbmethod_t rp_lbm_hash = {REVPROXY_LB_BUSY, choose};
