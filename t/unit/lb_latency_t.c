/* Unit tests of the time that a member takes to answer: prints TAP. */

#include <stdio.h>

#include "../../src/rp_lb_latency.c"

/* rp_shm's, and the clock. */
static apr_int64_t figure[RP_SHM_NUMBERS];
static apr_time_t now;

apr_int64_t rp_shm_get(const rp_backend_t *member, rp_shm_number_t which)
{
    (void)member;
    return figure[which];
}

void rp_shm_set(const rp_backend_t *member, rp_shm_number_t which, apr_int64_t value)
{
    (void)member;
    figure[which] = value;
}

apr_time_t apr_time_now(void)
{
    return now;
}

static int tests, failures;

static void ok(bool pass, const char *name)
{
    tests++;
    failures += !pass;
    printf("%sok %d - %s (%d us)\n", pass ? "" : "not ", tests, name, (int)rp_lb_get_latency(NULL));
}

/* A request takes so long, and comes so long after the one before. */
static void answer(apr_interval_time_t after, apr_interval_time_t took)
{
    rp_lb_t lb = {.picked_at = now += after};

    now += took;
    rp_lb_note_latency(&lb);
}

static bool is_about(apr_int64_t latency, double tolerance)
{
    double ratio = (double)rp_lb_get_latency(NULL) / (double)latency;

    return ratio > 1 - tolerance && ratio < 1 + tolerance;
}

int main(void)
{
    int i;

    now = apr_time_from_sec(1000000);
    ok(rp_lb_get_latency(NULL) == 0, "not known at first");
    answer(0, 1000);
    ok(is_about(1000, 0.001), "the first response");
    answer(0, 9000);
    ok(is_about(2000, 0.001), "an eighth of the next one counts");
    for (i = 0; i < 40; i++) {
        answer(1000, 9000);
    }
    ok(is_about(9000, 0.01), "it follows");
    /* Long enough to count more than an eighth: 1 - 2^(-30/20). */
    answer(0, apr_time_from_sec(30));
    now += apr_time_from_sec(20);
    ok(is_about(9698000, 0.01), "what is not heard of halves in twenty seconds");
    now += apr_time_from_sec(300);
    answer(0, 9000);
    ok(is_about(9000, 0.1), "after a long pause the new one counts most");
    now += apr_time_from_sec(1000000);
    ok(rp_lb_get_latency(NULL) == 1, "it never becomes unknown");
    answer(0, 0);
    ok(rp_lb_get_latency(NULL) == 1, "no time at all");
    now -= apr_time_from_sec(100);
    answer(0, 5000);
    ok(rp_lb_get_latency(NULL) >= 1 && rp_lb_get_latency(NULL) <= 5000, "a clock that was put back");
    printf("1..%d\n", tests);
    return failures != 0;
}
