/* Unit tests of rp_pool: prints TAP. */

#include "transport.h"

static int listener;
static apr_port_t port;

/* A child with these backends, all at the test's server. */
static void begin_with(int n, void (*set)(int i, rp_backend_t *b))
{
    int i;

    configured_backend_count = 0;
    for (i = 0; i < n; i++) {
        rp_backend_t *b = add_backend("127.0.0.1", port);
        if (set) {
            set(i, b);
        }
    }
    begin_child();
}

static rp_conn_want_t want_of(int i)
{
    return make_want(rp_conf_get_backend(i));
}

/* Lease and open; NULL where it has to wait. *s: the server's side of a new connection. */
static rp_conn_t *lease_open(const rp_conn_want_t *want, bool fresh, rp_lease_t *how, int *s)
{
    rp_pool_waiter_t *w = NULL;
    rp_conn_t *c;

    *how = rp_pool_lease(want, fresh, &w, &c);
    if (*how == RP_LEASE_WAIT) {
        rp_pool_stop_waiting(&w);
        return NULL;
    }
    if (*how == RP_LEASE_NEW) {
        open_fully(c, want);
        *s = accept_one(listener);
    }
    return c;
}

static bool counts(int idle, int leased, int waiting)
{
    rp_pool_count_t n;

    rp_pool_count(&n);
    if (n.idle == idle && n.leased == leased && n.waiting == waiting) {
        return true;
    }
    printf("# idle %d leased %d waiting %d\n", n.idle, n.leased, n.waiting);
    return false;
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN, .revents = 0};

    return poll(&p, 1, 0) == 1;
}

static void test_reuse(void)
{
    rp_conn_want_t want;
    rp_lease_t how;
    rp_conn_t *a, *b, *was_a, *was_b;
    int s = -1, s2 = -1;

    begin_with(1, NULL);
    want = want_of(0);
    a = lease_open(&want, false, &how, &s);
    ok(how == RP_LEASE_NEW && counts(0, 1, 0), "the first is new");
    b = lease_open(&want, false, &how, &s2);
    ok(how == RP_LEASE_NEW && counts(0, 2, 0), "so is a second one at the same time");
    was_a = a, was_b = b;
    rp_pool_give_back(&a);
    rp_pool_give_back(&b);
    ok(!a && !b && counts(2, 0, 0), "given back");
    a = lease_open(&want, false, &how, &s);
    ok(how == RP_LEASE_REUSED && a == was_b, "the one last given back is the first to go out");
    ok(rp_conn_get_backend(a) == want.backend, "and knows its backend");
    b = lease_open(&want, true, &how, &s);
    ok(how == RP_LEASE_NEW && b != was_a, "fresh: never an idle one");
    rp_pool_retire(&b);
    rp_pool_retire(&a);
    ok(!a && !b && counts(1, 0, 0), "retired");
    rp_pool_retire(&a);
    rp_pool_give_back(&a);
    ok(true, "nothing can be retired and given back");
    end_child();
    close(s);
    close(s2);
}

static void test_dead(void)
{
    rp_conn_want_t want;
    rp_lease_t how;
    rp_conn_t *c;
    int s = -1, s2 = -1;

    begin_with(1, NULL);
    want = want_of(0);
    c = lease_open(&want, false, &how, &s);
    rp_pool_give_back(&c);
    close(s);
    c = lease_open(&want, false, &how, &s);
    ok(how == RP_LEASE_NEW && counts(0, 1, 0), "closed by the backend: not handed out");
    rp_pool_give_back(&c);
    (void)!write(s, "HTTP/1.1 408 Request Timeout\r\n", 30);
    poll(NULL, 0, 20);
    c = lease_open(&want, false, &how, &s2);
    ok(how == RP_LEASE_NEW, "one with unasked bytes neither (response splitting across requests)");
    rp_pool_retire(&c);
    close(s);
    close(s2);

    /* The sweep: nobody asks for the connection that the backend closed. */
    c = lease_open(&want, false, &how, &s);
    rp_pool_give_back(&c);
    close(s);
    poll(NULL, 0, 20);
    sweep(apr_time_now());
    ok(counts(0, 0, 0), "a connection closed by the backend does not stay");
    end_child();
}

static void set_limits_3(int i, rp_backend_t *b)
{
    (void)i;
    b->opt.set |= RP_OPT_MAX;
    b->opt.max = 3;
}

static void test_max(void)
{
    rp_conn_want_t want;
    rp_pool_waiter_t *w[3] = {NULL, NULL, NULL}, *late = NULL;
    rp_conn_t *c[3], *got[3], *none, *was;
    int s[3], i;
    rp_lease_t how;

    begin_with(1, set_limits_3);
    want = want_of(0);
    for (i = 0; i < 3; i++) {
        c[i] = lease_open(&want, false, &how, &s[i]);
    }
    for (i = 0; i < 3; i++) {
        ok(rp_pool_lease(&want, false, &w[i], &got[i]) == RP_LEASE_WAIT && w[i] && !got[i], "max reached: wait");
    }
    ok(counts(0, 3, 3), "three out, three waiting");
    ok(rp_pool_lease(&want, false, &w[0], &none) == RP_LEASE_WAIT && !is_readable(rp_pool_waiter_fd(w[0])), "asking again changes nothing");

    was = c[1];
    rp_pool_give_back(&c[1]);
    ok(is_readable(rp_pool_waiter_fd(w[0])) && !is_readable(rp_pool_waiter_fd(w[1])), "one given back wakes the first");
    ok(rp_pool_lease(&want, false, &late, &none) == RP_LEASE_WAIT, "a newcomer does not overtake");
    ok(rp_pool_lease(&want, false, &w[1], &none) == RP_LEASE_WAIT, "nor does the second");
    ok(rp_pool_lease(&want, false, &w[0], &got[0]) == RP_LEASE_REUSED && got[0] == was && !w[0], "it gets that very connection");

    rp_pool_retire(&c[0]);
    ok(is_readable(rp_pool_waiter_fd(w[1])), "a retired one makes room for the second");
    rp_pool_stop_waiting(&w[1]);
    ok(!w[1] && is_readable(rp_pool_waiter_fd(w[2])), "who has gone: the place goes to the third");
    ok(rp_pool_lease(&want, true, &w[2], &got[2]) == RP_LEASE_NEW && counts(0, 3, 1), "which opens a new one");

    rp_pool_give_back(&c[2]);
    ok(is_readable(rp_pool_waiter_fd(late)), "then the newcomer");
    rp_pool_stop_waiting(&late);
    ok(counts(1, 2, 0), "it gives up what it was granted: idle again");
    rp_pool_retire(&got[0]);
    rp_pool_retire(&got[2]);
    ok(counts(1, 0, 0), "all back");
    for (i = 0; i < 3; i++) {
        close(s[i]);
    }
    end_child();
}

/* Idle connections count too: a fresh one makes the oldest idle one go. */
static void test_max_with_idle(void)
{
    rp_conn_want_t want;
    rp_conn_t *c[3];
    int s[3], i, s2;
    rp_lease_t how;
    char byte;

    begin_with(1, set_limits_3);
    want = want_of(0);
    for (i = 0; i < 3; i++) {
        c[i] = lease_open(&want, false, &how, &s[i]);
    }
    for (i = 0; i < 3; i++) {
        rp_pool_give_back(&c[i]);
    }
    c[0] = lease_open(&want, true, &how, &s2);
    ok(how == RP_LEASE_NEW && counts(2, 1, 0), "the sum stays within max");
    ok(recv(s[0], &byte, 1, MSG_DONTWAIT) == 0 && recv(s[1], &byte, 1, MSG_DONTWAIT) < 0, "the oldest idle one was closed");
    rp_pool_retire(&c[0]);
    for (i = 0; i < 3; i++) {
        close(s[i]);
    }
    close(s2);
    end_child();
}

static void set_kept(int i, rp_backend_t *b)
{
    if (i == 0) { /* smax without ttl */
        b->opt.set |= RP_OPT_SMAX;
        b->opt.smax = 1;
    }
    else if (i == 1) { /* smax with ttl */
        b->opt.set |= RP_OPT_SMAX | RP_OPT_TTL;
        b->opt.smax = 1;
        b->opt.ttl = apr_time_from_msec(100);
    }
    else if (i == 2) {
        b->opt.set |= RP_OPT_REUSE;
        b->opt.reuse = false;
    }
}

static void test_keeping(void)
{
    rp_conn_want_t want;
    rp_conn_t *a, *b;
    int s[6], i;
    rp_lease_t how;

    begin_with(3, set_kept);
    want = want_of(0);
    a = lease_open(&want, false, &how, &s[0]);
    b = lease_open(&want, false, &how, &s[1]);
    rp_pool_give_back(&a);
    rp_pool_give_back(&b);
    ok(counts(1, 0, 0), "smax without ttl: what is above goes at once");

    want = want_of(1);
    a = lease_open(&want, false, &how, &s[2]);
    b = lease_open(&want, false, &how, &s[3]);
    rp_pool_give_back(&a);
    rp_pool_give_back(&b);
    ok(counts(3, 0, 0), "smax with ttl: what is above stays for its time");
    poll(NULL, 0, 120);
    a = lease_open(&want, false, &how, &s[4]);
    ok(how == RP_LEASE_NEW && counts(1, 1, 0), "idle for longer than ttl: not used");
    rp_pool_retire(&a);

    want = want_of(2);
    a = lease_open(&want, false, &how, &s[5]);
    rp_pool_give_back(&a);
    ok(!a && counts(1, 0, 0), "disablereuse: never kept");
    for (i = 0; i < 6; i++) {
        close(s[i]);
    }
    end_child();
}

static void set_variants(int i, rp_backend_t *b)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2"};

    b->host = hosts[i];
    b->scheme = i == 1 ? "ws" : "http";
    b->opt.timeout = i == 2 ? apr_time_from_sec(5) : 0;
    b->is_tls = i == 3;
    b->uds_path = i == 4 ? "/run/a" : NULL;
    b->opt.loadfactor = i == 1 ? 200 : 100; /* concerns no connection */
}

static void test_sharing(void)
{
    int i;

    begin_with(6, set_variants);
    ok(configured[0] == configured[1], "same address and options: one pool");
    for (i = 2; i < 6; i++) {
        static const char *const what[] = {"timeout", "TLS", "unix socket", "host"};
        ok(configured[i] != configured[0], "another %s: another pool", what[i - 2]);
    }
    end_child();
}

static void test_matching(void)
{
    rp_conn_want_t want;
    rp_conn_t *a, *b;
    rp_lease_t how;
    int s, s2, s3;

    begin_with(1, NULL);
    want = want_of(0);
    a = lease_open(&want, false, &how, &s);
    rp_pool_give_back(&a);
    want.receive_buffer = 65536;
    a = lease_open(&want, false, &how, &s2);
    ok(how == RP_LEASE_NEW && counts(1, 1, 0), "what does not match stays for others");
    rp_pool_give_back(&a);
    want.receive_buffer = 0;
    b = lease_open(&want, false, &how, &s3);
    ok(how == RP_LEASE_REUSED && counts(1, 1, 0), "... who find it behind the one that does not match them");
    rp_pool_retire(&b);
    close(s);
    close(s2);
    end_child();
}

static void test_moved(void)
{
    rp_conn_want_t want;
    rp_conn_t *a;
    rp_lease_t how;
    int s, i;

    configured_backend_count = 0;
    add_backend("name.test", port)->opt.address_ttl = apr_time_from_sec(30);
    rp_conf_get_backend(0)->opt.set |= RP_OPT_ADDRESS_TTL;
    begin_child();
    want = want_of(0);
    name_addresses = "127.0.0.1";
    a = lease_open(&want, false, &how, &s);
    rp_pool_give_back(&a);
    a = lease_open(&want, false, &how, &s);
    ok(how == RP_LEASE_REUSED, "a connection to a name is reused");
    rp_pool_give_back(&a);

    pthread_mutex_lock(&cache_lock);
    find_entry_locked("name.test", port)->asked_at = 0;
    pthread_mutex_unlock(&cache_lock);
    name_addresses = "127.0.0.9";
    a = lease_open(&want, false, &how, &s);
    ok(how == RP_LEASE_REUSED, "past address_ttl it is still used while the name is asked for");
    rp_pool_give_back(&a);
    for (i = 0; i < 100 && atomic_load(&generation) == 0; i++) {
        poll(NULL, 0, 20);
    }
    name_addresses = "127.0.0.1";
    {
        rp_pool_waiter_t *w = NULL;
        how = rp_pool_lease(&want, false, &w, &a);
    }
    ok(how == RP_LEASE_NEW && counts(0, 1, 0), "the name has moved: closed");
    rp_pool_retire(&a);
    close(s);
    end_child();
}

static void test_no_threads(void)
{
    rp_conn_want_t want;
    rp_conn_t *a, *b;
    rp_lease_t how;
    int s, s2;

    is_threaded_mpm = AP_MPMQ_NOT_SUPPORTED;
    begin_with(1, set_limits_3);
    want = want_of(0);
    a = lease_open(&want, false, &how, &s);
    b = lease_open(&want, false, &how, &s2);
    rp_pool_give_back(&a);
    rp_pool_give_back(&b);
    ok(counts(1, 0, 0), "a process without threads keeps one");
    close(s);
    close(s2);
    end_child();
    is_threaded_mpm = AP_MPMQ_STATIC;
}

static void test_child_end(void)
{
    rp_conn_want_t want;
    rp_conn_t *c[3];
    rp_pool_waiter_t *w = NULL;
    rp_conn_t *none;
    rp_lease_t how;
    rp_pool_t *p;
    int s[3], i;

    begin_with(1, set_limits_3);
    want = want_of(0);
    for (i = 0; i < 3; i++) {
        c[i] = lease_open(&want, false, &how, &s[i]);
    }
    rp_pool_lease(&want, false, &w, &none);
    p = ((slot_t *)rp_conn_get_owner(c[0]))->pool;
    end_child();
    ok(p->is_closed && p->in_use == 3 && p->waiting == 1, "connections still out at the child's end");
    rp_pool_give_back(&c[0]);
    ok(w->is_granted, "a waiter is served even then");
    rp_pool_stop_waiting(&w);
    rp_pool_give_back(&c[1]);
    ok(p->idle_count == 0 && p->in_use == 1, "nothing is kept any more");
    rp_pool_retire(&c[2]); /* the last one frees the pool, as leak checkers will confirm */
    for (i = 0; i < 3; i++) {
        close(s[i]);
    }
}

/* --- backends made at run time ------------------------------------------------------------ */

static void test_dynamic(void)
{
    rp_options_t opt;
    rp_backend_t *a, *b, *c;
    rp_conn_want_t want;
    rp_pool_count_t n;
    rp_conn_t *conn;
    rp_lease_t how;
    int s, s2;

    begin_with(1, NULL);
    a = rp_pool_hold_dynamic(&fake_server, "http", "127.0.0.1", port, NULL, NULL);
    b = rp_pool_hold_dynamic(&fake_server, "http", "127.0.0.1", port, NULL, NULL);
    ok(a == b && a->is_dynamic && a->id == -1, "the same backend for the same target");
    ok(a->opt.reuse && a->opt.retry == apr_time_from_sec(60) && strcmp(a->path, "") == 0, "with default options");
    rp_conf_init_options(&opt);
    opt.timeout = apr_time_from_sec(7);
    c = rp_pool_hold_dynamic(&fake_server, "http", "127.0.0.1", port, NULL, &opt);
    ok(c != a && c->opt.timeout == apr_time_from_sec(7), "another one for other options");
    rp_pool_drop_dynamic(&c);
    c = rp_pool_hold_dynamic(&fake_server, "https", "::1", 443, NULL, NULL);
    ok(c->is_tls && strcmp(c->name, "https://[::1]") == 0, "its name, default port: %s", c->name);
    rp_pool_drop_dynamic(&c);
    c = rp_pool_hold_dynamic(&fake_server, "ws", "h", 8080, "/run/x", NULL);
    ok(strcmp(c->name, "ws://h:8080") == 0 && strcmp(c->uds_path, "/run/x") == 0, "its name, other port");
    rp_pool_drop_dynamic(&c);
    ok(!c, "dropped");
    rp_pool_drop_dynamic(&c);

    want = make_want(a);
    conn = lease_open(&want, false, &how, &s);
    rp_pool_give_back(&conn);
    rp_pool_drop_dynamic(&a);
    rp_pool_drop_dynamic(&b);
    a = rp_pool_hold_dynamic(&fake_server, "http", "127.0.0.1", port, NULL, NULL);
    want = make_want(a);
    conn = lease_open(&want, false, &how, &s2);
    ok(how == RP_LEASE_REUSED, "its connections are pooled from request to request");
    rp_pool_give_back(&conn);
    want = want_of(0);
    conn = lease_open(&want, false, &how, &s2);
    ok(how == RP_LEASE_REUSED && rp_conn_get_backend(conn) == want.backend, "and with a configured backend of the same kind");
    rp_pool_give_back(&conn);
    rp_pool_drop_dynamic(&a);
    rp_pool_count(&n);
    ok(n.dynamic == 4, "all are known");
    close(s);
    end_child();
    rp_pool_count(&n);
    ok(n.dynamic == 0 && n.idle == 0, "none after the child's end");
}

static void test_dynamic_bound(void)
{
    static rp_backend_t *held[DYNAMIC_MAX];
    rp_backend_t *b;
    rp_pool_count_t n;
    rp_conn_want_t want;
    rp_conn_t *conn;
    rp_lease_t how;
    char host[32], byte;
    int i, s;
    rp_options_t opt;

    begin_with(0, NULL);
    rp_conf_init_options(&opt);
    opt.ttl = 1000000000;
    b = rp_pool_hold_dynamic(&fake_server, "http", "127.0.0.1", port, NULL, &opt);
    want = make_want(b);
    conn = lease_open(&want, false, &how, &s);
    rp_pool_give_back(&conn);
    rp_pool_drop_dynamic(&b);
    for (i = 0; i < DYNAMIC_MAX; i++) {
        snprintf(host, sizeof(host), "h%d.example", i);
        held[i] = rp_pool_hold_dynamic(&fake_server, "http", host, 80, NULL, NULL);
    }
    rp_pool_count(&n);
    ok(n.dynamic == DYNAMIC_MAX && n.idle == 0, "bounded; the unused one went, with its connections");
    ok(recv(s, &byte, 1, 0) == 0, "which are closed");
    ok(rp_pool_hold_dynamic(&fake_server, "http", "one.more", 80, NULL, NULL) == NULL, "all in use: none more");
    b = rp_pool_hold_dynamic(&fake_server, "http", "h5.example", 80, NULL, NULL);
    ok(b == held[5], "but those that are known");
    rp_pool_drop_dynamic(&b);
    held[3]->line = 42; /* to know it again */
    rp_pool_drop_dynamic(&held[7]);
    rp_pool_drop_dynamic(&held[3]);
    b = rp_pool_hold_dynamic(&fake_server, "http", "one.more", 80, NULL, NULL);
    ok(b != NULL, "two were dropped: room for one");
    rp_pool_drop_dynamic(&b);
    b = rp_pool_hold_dynamic(&fake_server, "http", "h3.example", 80, NULL, NULL);
    rp_pool_count(&n);
    ok(b && b->line == 42 && n.dynamic == DYNAMIC_MAX, "the one dropped first made it");
    rp_pool_drop_dynamic(&b);
    for (i = 0; i < DYNAMIC_MAX; i++) {
        rp_pool_drop_dynamic(&held[i]);
    }
    close(s);
    end_child();
}

/* --- many threads ------------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 300 };

static atomic_int out, most_out, served, broken;

static void use_connection(const rp_conn_want_t *want, unsigned *seed)
{
    rp_pool_waiter_t *w = NULL;
    rp_conn_t *c;
    rp_lease_t how;
    int n;

    while ((how = rp_pool_lease(want, rand_r(seed) % 8 == 0, &w, &c)) == RP_LEASE_WAIT) {
        struct pollfd p = {.fd = rp_pool_waiter_fd(w), .events = POLLIN, .revents = 0};

        if (rand_r(seed) % 16 == 0) {
            rp_pool_stop_waiting(&w);
            return;
        }
        if (poll(&p, 1, 10000) != 1) {
            atomic_fetch_add(&broken, 1);
            rp_pool_stop_waiting(&w);
            return;
        }
    }
    n = atomic_fetch_add(&out, 1) + 1;
    if (n > atomic_load(&most_out)) {
        atomic_store(&most_out, n);
    }
    if (how == RP_LEASE_NEW && open_fully(c, want) != RP_IO_OK) {
        atomic_fetch_add(&broken, 1);
    }
    atomic_fetch_add(&served, 1);
    atomic_fetch_sub(&out, 1);
    if (rand_r(seed) % 4 == 0) {
        rp_pool_retire(&c);
    }
    else {
        rp_pool_give_back(&c);
    }
}

static void *work(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    rp_conn_want_t want = want_of(0);
    rp_backend_t *b;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        use_connection(&want, &seed);
        b = rp_pool_hold_dynamic(&fake_server, "http", rand_r(&seed) % 2 ? "127.0.0.1" : "127.0.0.5", port, NULL, NULL);
        if (rand_r(&seed) % 4 == 0) {
            rp_conn_want_t dynamic = make_want(b);
            rp_pool_waiter_t *w = NULL;
            rp_conn_t *c;
            rp_pool_lease(&dynamic, false, &w, &c);
            rp_pool_retire(&c);
        }
        rp_pool_drop_dynamic(&b);
    }
    return NULL;
}

static atomic_bool stop_accepting;

/* Accepts, and closes an older one for each new one, so that some idle connections die. */
static void *accept_all(void *unused)
{
    int fds[16], i = 0, n;

    (void)unused;
    for (n = 0; n < 16; n++) {
        fds[n] = -1;
    }
    while (!atomic_load(&stop_accepting)) {
        struct pollfd p = {.fd = listener, .events = POLLIN, .revents = 0};

        if (poll(&p, 1, 20) != 1) {
            continue;
        }
        if (fds[i] >= 0) {
            close(fds[i]);
        }
        fds[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        i = (i + 1) % 16;
    }
    for (n = 0; n < 16; n++) {
        if (fds[n] >= 0) {
            close(fds[n]);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS], acceptor;
    rp_pool_count_t n;
    uintptr_t i;

    begin_with(1, set_limits_3);
    pthread_create(&acceptor, NULL, accept_all, NULL);
    for (i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(i + 1)); /* NOLINT(performance-no-int-to-ptr) */
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ok(atomic_load(&broken) == 0, "nobody waited in vain, nothing failed to open");
    ok(atomic_load(&most_out) <= 3 && atomic_load(&most_out) > 1, "never more than max at once (%d)", atomic_load(&most_out));
    ok(atomic_load(&served) > THREADS * ROUNDS / 2, "most were served (%d)", atomic_load(&served));
    rp_pool_count(&n);
    ok(n.leased == 0 && n.waiting == 0 && n.idle <= 3, "nothing is left out");
    end_child();
    atomic_store(&stop_accepting, true);
    pthread_join(acceptor, NULL);
}

int main(void)
{
    apr_initialize();
    listener = listen_on("0.0.0.0", 64, &port);
    test_reuse();
    test_dead();
    test_max();
    test_max_with_idle();
    test_keeping();
    test_sharing();
    test_matching();
    test_moved();
    test_no_threads();
    test_dynamic();
    test_dynamic_bound();
    test_threads();
    test_child_end();
    return finish_tests();
}
