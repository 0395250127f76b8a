/* Unit tests of rp_addr and rp_offload: prints TAP. */

#include "transport.h"

#include <sys/wait.h>

static rp_backend_t *make_backend(const char *host)
{
    static rp_backend_t b;

    memset(&b, 0, sizeof(b));
    rp_conf_init_options(&b.opt);
    b.host = host;
    b.port = 8080;
    b.name = "test";
    return &b;
}

static rp_addr_result_t get_waiting(const rp_backend_t *b, bool fresh, rp_addr_list_t **list, apr_status_t *rv)
{
    rp_addr_query_t *query = NULL;
    rp_addr_result_t result;

    while ((result = rp_addr_get(b, fresh, &query, list, rv)) == RP_ADDR_AGAIN) {
        struct pollfd p = {.fd = rp_addr_query_fd(query), .events = POLLIN, .revents = 0};
        if (poll(&p, 1, 10000) != 1) {
            rp_addr_cancel(&query);
            return RP_ADDR_AGAIN;
        }
    }
    return result;
}

static void make_stale(const char *host)
{
    pthread_mutex_lock(&cache_lock);
    find_entry_locked(host, 8080)->asked_at = 0;
    pthread_mutex_unlock(&cache_lock);
}

static bool is_ip(const rp_addr_list_t *list, int i, const char *ip)
{
    char buf[64];

    return apr_sockaddr_ip_getbuf(buf, sizeof(buf), (apr_sockaddr_t *)rp_addr_at(list, i)) == APR_SUCCESS
        && strcmp(buf, ip) == 0;
}

static void test_fixed(void)
{
    rp_addr_query_t *query = NULL;
    rp_addr_list_t *list, *again;
    apr_status_t rv;
    rp_backend_t *b = make_backend("127.0.0.1");
    char long_path[200];

    ok(rp_addr_get(b, false, &query, &list, &rv) == RP_ADDR_OK && !query, "IPv4 address at once");
    ok(rp_addr_count(list) == 1 && is_ip(list, 0, "127.0.0.1") && rp_addr_at(list, 0)->port == 8080, "address and port");
    rp_addr_get(b, true, &query, &again, &rv);
    ok(again == list, "the same list is handed out, also when asked afresh");
    rp_addr_release(&again);
    rp_addr_release(&list);

    ok(rp_addr_get(make_backend("::1"), false, &query, &list, &rv) == RP_ADDR_OK && is_ip(list, 0, "::1"),
       "IPv6 address at once");
    rp_addr_release(&list);

    b = make_backend("ignored.test");
    b->uds_path = "/run/some.sock";
    ok(rp_addr_get(b, false, &query, &list, &rv) == RP_ADDR_OK && rp_addr_at(list, 0)->family == APR_UNIX,
       "path of a unix socket at once");
    ok(strcmp(rp_addr_at(list, 0)->sa.unx.sun_path, "/run/some.sock") == 0, "the path");
    rp_addr_release(&list);

    memset(long_path, 'x', sizeof(long_path));
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    b->uds_path = long_path;
    ok(rp_addr_get(b, false, &query, &list, &rv) == RP_ADDR_FAIL && rv == APR_ENAMETOOLONG && !list,
       "a path that does not fit is refused, not cut");
}

static void test_name(void)
{
    rp_addr_query_t *q1 = NULL, *q2 = NULL;
    rp_addr_list_t *list, *again;
    apr_status_t rv;
    rp_backend_t *b = make_backend("name.test");
    unsigned generation = rp_addr_get_generation();

    name_addresses = "127.0.0.2 127.0.0.3 ::1";
    atomic_store(&answer_delay_ms, 50);
    ok(rp_addr_get(b, false, &q1, &list, &rv) == RP_ADDR_AGAIN && q1 && !list, "a name has to be asked for");
    ok(rp_addr_get(b, false, &q2, &list, &rv) == RP_ADDR_AGAIN, "a second one waits too");
    ok(rp_addr_query_fd(q1) == rp_addr_query_fd(q2), "... for the same question");
    rp_addr_cancel(&q2);
    ok(!q2, "a cancelled query is gone");
    while (rp_addr_get(b, false, &q1, &list, &rv) == RP_ADDR_AGAIN) {
        struct pollfd p = {.fd = rp_addr_query_fd(q1), .events = POLLIN, .revents = 0};
        poll(&p, 1, 5000);
    }
    ok(list && rp_addr_count(list) == 3 && !q1, "all addresses");
    ok(is_ip(list, 0, "127.0.0.2") && is_ip(list, 1, "127.0.0.3") && is_ip(list, 2, "::1"), "in the resolver's order");
    ok(atomic_load(&questions) == 1, "one question for both");
    rp_addr_release(&list);

    atomic_store(&answer_delay_ms, 0);
    ok(rp_addr_get(b, false, &q1, &list, &rv) == RP_ADDR_OK, "then it is known");
    ok(rp_addr_get(b, true, &q1, &again, &rv) == RP_ADDR_OK, "an answer of this second is fresh enough");
    rp_addr_release(&again);

    make_stale("name.test");
    ok(get_waiting(b, false, &again, &rv) == RP_ADDR_OK && atomic_load(&questions) == 1, "without address_ttl it stays known");
    rp_addr_release(&again);
    ok(get_waiting(b, true, &again, &rv) == RP_ADDR_OK && atomic_load(&questions) == 2, "fresh asks again");
    ok(again != list && rp_addr_is_same(again, list) && rp_addr_get_generation() == generation,
       "the same answer is no change");
    rp_addr_release(&again);

    make_stale("name.test");
    name_addresses = "127.0.0.3 127.0.0.4";
    get_waiting(b, true, &again, &rv);
    ok(!rp_addr_is_same(again, list) && rp_addr_get_generation() != generation, "another answer is");
    ok(rp_addr_has(again, rp_addr_at(list, 1)) && !rp_addr_has(again, rp_addr_at(list, 0)), "which address went");
    rp_addr_release(&again);
    rp_addr_release(&list);
}

static void test_life(void)
{
    rp_addr_list_t *list;
    apr_status_t rv;
    rp_backend_t *b = make_backend("name.test");
    int before, i;

    b->opt.set = RP_OPT_ADDRESS_TTL;
    b->opt.address_ttl = apr_time_from_sec(30);
    before = atomic_load(&questions);
    get_waiting(b, false, &list, &rv);
    rp_addr_release(&list);
    ok(atomic_load(&questions) == before, "within address_ttl nobody asks");
    make_stale("name.test");
    list = rp_addr_find_known(b);
    ok(list != NULL, "find_known hands out what is past its time");
    rp_addr_release(&list);
    for (i = 0; i < 100 && atomic_load(&questions) == before; i++) {
        poll(NULL, 0, 20);
    }
    ok(atomic_load(&questions) == before + 1, "... and asks in the background");
    get_waiting(b, false, &list, &rv); /* joins it if it is still under way */
    rp_addr_release(&list);
    make_stale("name.test");
    get_waiting(b, false, &list, &rv);
    rp_addr_release(&list);
    ok(atomic_load(&questions) == before + 2, "past address_ttl a connect asks");

    make_stale("name.test");
    name_addresses = NULL;
    ok(get_waiting(b, false, &list, &rv) == RP_ADDR_OK, "when the resolver fails, the old answer serves on");
    rp_addr_release(&list);

    name_addresses = "127.0.0.1";
    b = make_backend("name.test");
    b->opt.reuse = false;
    before = atomic_load(&questions);
    get_waiting(b, false, &list, &rv);
    rp_addr_release(&list);
    get_waiting(b, false, &list, &rv);
    rp_addr_release(&list);
    ok(atomic_load(&questions) == before + 2, "disablereuse: asked for each connect");
}

static void test_failure(void)
{
    rp_addr_query_t *query = NULL;
    rp_addr_list_t *list;
    apr_status_t rv;
    rp_backend_t *b = make_backend("name.test");

    end_child();
    begin_child();
    ok(rp_addr_find_known(b) == NULL, "a new child knows nothing");
    name_addresses = NULL;
    ok(get_waiting(b, false, &list, &rv) == RP_ADDR_FAIL && rv == APR_ENOENT && !list, "a name without address");
    name_addresses = "127.0.0.1";
    ok(get_waiting(b, false, &list, &rv) == RP_ADDR_OK, "a failure is not remembered");
    rp_addr_release(&list);

    b->port = 8081;
    atomic_store(&answer_delay_ms, 200);
    rp_addr_get(b, false, &query, &list, &rv);
    rp_addr_cancel(&query);
    atomic_store(&answer_delay_ms, 0);
    ok(get_waiting(b, false, &list, &rv) == RP_ADDR_OK, "the answer to a cancelled question is used by the next one");
    rp_addr_release(&list);
    rp_addr_cancel(&query);
    ok(query == NULL, "cancelling nothing is fine");
}

static void test_bound(void)
{
    rp_addr_query_t *query = NULL;
    rp_addr_list_t *list, *first;
    apr_status_t rv;
    char host[32];
    int i;

    rp_addr_get(make_backend("10.9.9.9"), false, &query, &first, &rv);
    for (i = 0; i < ENTRIES_MAX + 10; i++) {
        snprintf(host, sizeof(host), "10.0.%d.%d", i / 250, i % 250);
        rp_addr_get(make_backend(host), false, &query, &list, &rv);
        rp_addr_release(&list);
    }
    ok(entry_count == ENTRIES_MAX, "the cache is bounded");
    list = rp_addr_find_known(make_backend("10.9.9.9"));
    ok(list == NULL, "the one not used for longest went");
    ok(is_ip(first, 0, "10.9.9.9"), "a list that is held outlives its entry");
    rp_addr_release(&first);
}

/* In a process of its own: the thread that hangs is left behind, with its memory. */
static void test_hang(void)
{
    rp_addr_query_t *query = NULL;
    rp_addr_list_t *list;
    apr_status_t rv;
    apr_time_t began;
    pid_t pid;
    int status = 0;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        begin_child();
        rp_addr_get(make_backend("hang.test"), false, &query, &list, &rv);
        poll(NULL, 0, 100);
        began = apr_time_now();
        end_child();
        _exit(apr_time_now() - began < apr_time_from_sec(2) ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    ok(pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0, "a name server that hangs does not hold up the child's end");
}

static void sleep_a_little(void *ctx, apr_pool_t *p)
{
    (void)p;
    poll(NULL, 0, 20);
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static apr_status_t count_cleanup(void *counter)
{
    atomic_fetch_add((atomic_int *)counter, 1);
    return APR_SUCCESS;
}

static void test_offload(void)
{
    enum { JOBS = 200 };
    static atomic_int ran, freed;
    rp_offload_job_t *jobs[JOBS];
    int i, done = 0;

    for (i = 0; i < JOBS; i++) {
        rp_offload_make(&jobs[i]);
        apr_pool_cleanup_register(rp_offload_pool(jobs[i]), &freed, count_cleanup, apr_pool_cleanup_null);
        rp_offload_run(jobs[i], sleep_a_little, &ran);
    }
    for (i = 0; i < JOBS; i += 2) { /* every other one is dropped at once: queued, running or done */
        rp_offload_drop(&jobs[i]);
    }
    for (i = 1; i < JOBS; i += 2) {
        struct pollfd p = {.fd = rp_offload_fd(jobs[i]), .events = POLLIN, .revents = 0};
        done += poll(&p, 1, 10000) == 1 && rp_offload_is_done(jobs[i]);
        rp_offload_drop(&jobs[i]);
    }
    ok(done == JOBS / 2, "all jobs that were waited for are done");
    ok(thread_count > 0 && thread_count <= THREADS_MAX, "on a bounded number of threads");
    for (i = 0; i < 100 && atomic_load(&freed) < JOBS; i++) {
        poll(NULL, 0, 50);
    }
    ok(atomic_load(&freed) == JOBS, "every job was freed");
    ok(jobs[0] == NULL, "a dropped handle is NULL");
}

int main(void)
{
    apr_initialize();
    test_hang();
    begin_child();
    test_fixed();
    test_name();
    test_life();
    test_failure();
    test_bound();
    test_offload();
    end_child();
    return finish_tests();
}
