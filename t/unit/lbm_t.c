/* Unit tests of the balancing methods: prints TAP. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apr_general.h"
#include "apr_strings.h"
#include "../../src/rp_lbm_byrequests.c"
#define choose choose_bybusyness
#include "../../src/rp_lbm_bybusyness.c"
#undef choose
#define choose choose_bytraffic
#include "../../src/rp_lbm_bytraffic.c"
#undef choose
#define choose choose_leasttime
#include "../../src/rp_lbm_leasttime.c"
#undef choose
#define choose choose_hash
#include "../../src/rp_lbm_hash.c"
#undef choose

/* httpd's, which is not here. The same numbers in every run. */
static unsigned long seed = 1;

void ap_random_insecure_bytes(void *buf, apr_size_t size)
{
    unsigned char *p = buf;

    while (size--) {
        seed = seed * 6364136223846793005ul + 1442695040888963407ul;
        *p++ = (unsigned char)(seed >> 56);
    }
}

static int tests, failures;

static void ok(bool pass, const char *name)
{
    tests++;
    failures += !pass;
    printf("%sok %d - %s\n", pass ? "" : "not ", tests, name);
}

/* --- members ---------------------------------------------------------------------------------- */

#define MEMBERS 100

typedef struct fake_t {
    apr_int64_t figure[REVPROXY_FIGURE_LATENCY + 1];
} fake_t;

static fake_t fakes[MEMBERS];
static revproxy_candidate_t candidates[MEMBERS];
static request_rec request;

static apr_int64_t get(const revproxy_candidate_t *c, revproxy_figure_t which)
{
    return ((const fake_t *)c->member)->figure[which];
}

static apr_int64_t add_state(const revproxy_candidate_t *c, apr_int64_t delta)
{
    return fakes[(const fake_t *)c->member - fakes].figure[REVPROXY_FIGURE_STATE] += delta;
}

static const revproxy_lb_calls_t calls = {get, add_state};

static void set_up(int n, const int *weights)
{
    int i;

    memset(fakes, 0, sizeof(fakes));
    for (i = 0; i < n; i++) {
        candidates[i] = (revproxy_candidate_t){.name = "http://member",
                                               .id = 7919u * (unsigned)(i + 1),
                                               .weight = weights ? weights[i] : 100,
                                               .member = &fakes[i]};
    }
}

static int pick_key(const revproxy_lbmethod_t *method, int n, const char *key)
{
    revproxy_choice_t choice = {&request, "balancer://b", key, candidates, n, &calls};
    int i;

    for (i = 0; i < n; i++) {
        candidates[i].busy = method->flags & REVPROXY_LB_BUSY ? (unsigned)fakes[i].figure[REVPROXY_FIGURE_BUSY] : 0;
    }
    return method->choose(&choice);
}

static int pick(const revproxy_lbmethod_t *method, int n)
{
    return pick_key(method, n, "/");
}

/* --- methods ---------------------------------------------------------------------------------- */

static void test_byrequests(void)
{
    static const int weights[] = {100, 250, 100};
    char order[10] = "";
    int i, count[3] = {0, 0, 0};

    set_up(3, weights);
    for (i = 0; i < 9; i++) {
        order[i] = (char)('1' + pick(&rp_lbm_byrequests, 3));
    }
    ok(!strcmp(order, "212321232"), "byrequests: weights 1, 2.5, 1");
    for (i = 0; i < 900; i++) {
        count[pick(&rp_lbm_byrequests, 3)]++;
    }
    ok(count[0] == 200 && count[1] == 500 && count[2] == 200, "... exact");
    ok(fakes[0].figure[0] + fakes[1].figure[0] + fakes[2].figure[0] == 0, "... and what is earned is paid");
}

static void test_bybusyness(void)
{
    set_up(3, NULL);
    fakes[0].figure[REVPROXY_FIGURE_BUSY] = 2;
    fakes[1].figure[REVPROXY_FIGURE_BUSY] = 1;
    fakes[2].figure[REVPROXY_FIGURE_BUSY] = 2;
    ok(pick(&rp_lbm_bybusyness, 3) == 1 && pick(&rp_lbm_bybusyness, 3) == 1, "bybusyness: the least busy");
    fakes[1].figure[REVPROXY_FIGURE_BUSY] = 3;
    ok(pick(&rp_lbm_bybusyness, 3) != 1, "... as it changes");
}

static void test_bytraffic(void)
{
    static const int weights[] = {100, 200};

    set_up(2, weights);
    fakes[0].figure[REVPROXY_FIGURE_RECEIVED] = 100000;
    fakes[1].figure[REVPROXY_FIGURE_SENT] = 150000;
    ok(pick(&rp_lbm_bytraffic, 2) == 1, "bytraffic: the fewest bytes for its weight");
    fakes[1].figure[REVPROXY_FIGURE_RECEIVED] = 60000;
    ok(pick(&rp_lbm_bytraffic, 2) == 0, "... both ways");
}

/* --- leasttime: ten members, one of which takes ten times as long ----------------------------- */

#define REQUESTS 20000
#define FAST     10000
#define IN_FLIGHT 4096

static int compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

/* p99 of the times that clients see when one request comes each millisecond. */
static int simulate(const revproxy_lbmethod_t *method, int slow)
{
    static struct { apr_int64_t ends; int member, time; } flight[IN_FLIGHT];
    static int times[REQUESTS];
    apr_int64_t now = 0;
    int i, k, n = 0;

    set_up(10, NULL);
    for (i = 0; i < REQUESTS; i++, now += 1000) {
        for (k = 0; k < n;) {
            if (flight[k].ends > now) {
                k++;
                continue;
            }
            apr_int64_t *f = fakes[flight[k].member].figure;
            f[REVPROXY_FIGURE_BUSY]--;
            f[REVPROXY_FIGURE_LATENCY] = f[REVPROXY_FIGURE_LATENCY]
                ? f[REVPROXY_FIGURE_LATENCY] + (flight[k].time - f[REVPROXY_FIGURE_LATENCY]) / 8 : flight[k].time;
            flight[k] = flight[--n];
        }
        int member = pick(method, 10);
        /* A member serves eight at a time; more wait. */
        apr_int64_t before = fakes[member].figure[REVPROXY_FIGURE_BUSY]++;
        int time = (member == slow ? 10 * FAST : FAST) * (int)(before / 8 + 1);
        times[i] = time;
        flight[n].ends = now + time;
        flight[n].member = member;
        flight[n++].time = time;
    }
    qsort(times, REQUESTS, sizeof(times[0]), compare);
    return times[REQUESTS / 100 * 99];
}

/* Nobody has answered yet; then all but one have. */
static void test_leasttime_unknown(void)
{
    int i, known, most;

    for (known = 0; known <= 9; known += 9) {
        set_up(10, NULL);
        for (i = 0; i < known; i++) {
            fakes[i].figure[REVPROXY_FIGURE_LATENCY] = FAST;
        }
        for (i = 0; i < 200; i++) {
            fakes[pick(&rp_lbm_leasttime, 10)].figure[REVPROXY_FIGURE_BUSY]++;
        }
        most = (int)fakes[9].figure[REVPROXY_FIGURE_BUSY];
        ok(most > 10 && most <= 25, "... a member that has not answered yet gets its share, no more");
    }
}

static void test_leasttime(void)
{
    int all_fast = simulate(&rp_lbm_leasttime, -1), one_slow = simulate(&rp_lbm_leasttime, 3);
    int contrast = simulate(&rp_lbm_byrequests, 3);

    printf("# p99 in microseconds: all fast %d, one slow %d, one slow with byrequests %d\n", all_fast, one_slow, contrast);
    ok(one_slow <= all_fast * 3 / 2, "leasttime: one slow member of ten does not show in p99");
    ok(contrast >= 5 * all_fast, "... as it does with byrequests");
    set_up(1, NULL);
    ok(pick(&rp_lbm_leasttime, 1) == 0, "... one member");
    test_leasttime_unknown();
}

/* --- hash ------------------------------------------------------------------------------------- */

#define KEYS 20000

static int owner[KEYS];

static void assign(int n)
{
    char key[16];
    int i;

    for (i = 0; i < KEYS; i++) {
        apr_snprintf(key, sizeof(key), "/%d", i);
        owner[i] = pick_key(&rp_lbm_hash, n, key);
    }
}

static void test_hash_ring(void)
{
    int before[KEYS], i, moved = 0, wrongly = 0;

    set_up(MEMBERS, NULL);
    assign(MEMBERS);
    memcpy(before, owner, sizeof(before));
    /* The last one leaves. */
    assign(MEMBERS - 1);
    for (i = 0; i < KEYS; i++) {
        moved += owner[i] != before[i];
        wrongly += owner[i] != before[i] && before[i] != MEMBERS - 1;
    }
    printf("# %d of %d keys moved\n", moved, KEYS);
    ok(moved > 0 && moved <= KEYS / 50, "hash: 1 of 100 members leaves, at most 2 % of the keys move");
    ok(wrongly == 0, "... none that was not its own");
}

static void test_hash_weights(void)
{
    static const int weights[] = {100, 300, 250, 350};
    int i, count[4] = {0, 0, 0, 0};
    bool all = true;

    set_up(4, weights);
    assign(4);
    for (i = 0; i < KEYS; i++) {
        count[owner[i]]++;
    }
    for (i = 0; i < 4; i++) {
        all = all && abs(count[i] - KEYS / 1000 * weights[i]) < KEYS / 50;
    }
    ok(all, "... shares by weight");
    ok(pick_key(&rp_lbm_hash, 4, "") >= 0, "... an empty key");
}

static void test_hash_bound(void)
{
    int i, most = 0;

    set_up(10, NULL);
    for (i = 0; i < 1000; i++) {
        fakes[pick_key(&rp_lbm_hash, 10, "/hot")].figure[REVPROXY_FIGURE_BUSY]++;
    }
    for (i = 0; i < 10; i++) {
        int busy = (int)fakes[i].figure[REVPROXY_FIGURE_BUSY];

        most = busy > most ? busy : most;
    }
    ok(most <= 126, "... one key that all ask for does not bury its member");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&request.pool, NULL);
    test_byrequests();
    test_bybusyness();
    test_bytraffic();
    test_leasttime();
    test_hash_ring();
    test_hash_weights();
    test_hash_bound();
    printf("1..%d\n", tests);
    apr_pool_destroy(request.pool);
    apr_terminate();
    return failures != 0;
}
