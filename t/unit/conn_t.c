/* Unit tests of rp_conn: prints TAP. */

#include "transport.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/un.h>

static const rp_backend_t *backend_at(rp_backend_t *b, const char *host, apr_port_t port)
{
    memset(b, 0, sizeof(*b));
    rp_conf_init_options(&b->opt);
    b->name = b->host = host;
    b->port = port;
    b->scheme = "http";
    b->path = "";
    b->server = &fake_server;
    return b;
}

/* A port that nobody listens on: was ours a moment ago. */
static apr_port_t get_closed_port(void)
{
    apr_port_t port = 0;

    close(listen_on("127.0.0.1", 1, &port));
    return port;
}

static int get_option(const rp_conn_t *c, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    getsockopt(rp_conn_get_fd(c), level, name, &value, &len);
    return value;
}

static rp_io_t read_waiting(rp_conn_t *c, char *buf, apr_size_t cap, apr_size_t *got)
{
    rp_io_t io;

    while ((io = rp_conn_read(c, buf, cap, got)) == RP_IO_AGAIN) {
        struct pollfd p = {.fd = -1, .events = 0, .revents = 0};

        p.fd = rp_conn_get_interest(c, &p.events);
        if (poll(&p, 1, 5000) != 1) {
            break;
        }
    }
    return io;
}

static void test_plain(void)
{
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.1", 5, &port), s;
    rp_conn_t *c = rp_conn_make(backend_at(&b, "127.0.0.1", port));
    rp_conn_want_t want = make_want(&b);
    struct iovec iov[2] = {{.iov_base = "GET ", .iov_len = 4}, {.iov_base = "/", .iov_len = 1}};
    char buf[64];
    apr_size_t n = 0;
    short events = 0;

    ok(rp_conn_get_fd(c) == -1 && !rp_conn_get_peer(c) && rp_conn_get_uses(c) == 0, "a new connection is nowhere yet");
    ok(open_fully(c, &want) == RP_IO_OK && rp_conn_is_plain(c), "open");
    ok(rp_conn_open(c, &want) == RP_IO_OK, "opening an open one is no work");
    s = accept_one(l);
    ok(rp_conn_get_peer(c)->port == port && rp_conn_get_local_port(c) != 0, "peer and local port");
    ok(get_option(c, IPPROTO_TCP, TCP_NODELAY) == 1, "TCP_NODELAY");
    ok(get_option(c, SOL_SOCKET, SO_KEEPALIVE) == 0, "no SO_KEEPALIVE unless asked for");
    ok(fcntl(rp_conn_get_fd(c), F_GETFD) & FD_CLOEXEC, "closed on exec");

    ok(rp_conn_write(c, iov, 2, &n) == RP_IO_OK && n == 5, "write");
    ok(recv(s, buf, sizeof(buf), 0) == 5 && memcmp(buf, "GET /", 5) == 0, "... arrives");
    ok(rp_conn_flush(c) == RP_IO_OK && !rp_conn_has_buffered(c), "plain: nothing is kept back in either direction");
    ok(rp_conn_read(c, buf, sizeof(buf), &n) == RP_IO_AGAIN && n == 0, "nothing to read yet");
    ok(rp_conn_get_interest(c, &events) == rp_conn_get_fd(c) && events == POLLIN, "... so wait for input");
    ok(rp_conn_is_idle_alive(c), "alive while nothing comes");
    ok(send(s, "HTTP/1.1", 8, 0) == 8 && read_waiting(c, buf, 4, &n) == RP_IO_OK && n == 4 && !memcmp(buf, "HTTP", 4),
       "read no more than asked for");
    ok(!rp_conn_is_idle_alive(c), "unread bytes: not usable again");
    ok(read_waiting(c, buf, sizeof(buf), &n) == RP_IO_OK && n == 4 && rp_conn_is_idle_alive(c), "read the rest");

    ok(rp_conn_shut_write(c) && recv(s, buf, sizeof(buf), 0) == 0, "half-close");
    close(s);
    ok(read_waiting(c, buf, sizeof(buf), &n) == RP_IO_EOF, "end of stream");
    ok(!rp_conn_is_idle_alive(c), "closed by the backend: not usable again");
    rp_conn_destroy(&c);
    ok(c == NULL, "destroyed");
    rp_conn_destroy(&c);
    close(l);
}

static void test_reset(void)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.1", 5, &port), s;
    rp_conn_t *c = rp_conn_make(backend_at(&b, "127.0.0.1", port));
    rp_conn_want_t want = make_want(&b);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    apr_size_t n;
    char buf[8];

    open_fully(c, &want);
    s = accept_one(l);
    setsockopt(s, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(s);
    ok(read_waiting(c, buf, sizeof(buf), &n) == RP_IO_ERROR && rp_conn_get_status(c) == ECONNRESET
       && rp_conn_get_error(c) == RP_E_HEAD_READ, "reset while reading");
    ok(rp_conn_write(c, &iov, 1, &n) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_SEND
       && APR_STATUS_IS_EPIPE(rp_conn_get_status(c)), "reset while writing, without a signal");
    rp_conn_destroy(&c);
    close(l);
}

static void test_slow_reader(void)
{
    static char block[65536];
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.1", 5, &port), s, rounds = 0;
    rp_conn_t *c = rp_conn_make(backend_at(&b, "127.0.0.1", port));
    rp_conn_want_t want = make_want(&b);
    struct iovec iov = {.iov_base = block, .iov_len = sizeof(block)};
    apr_size_t n, sent = 0, received = 0;
    short events = 0;
    rp_io_t io;
    ssize_t got;

    open_fully(c, &want);
    s = accept_one(l);
    while ((io = rp_conn_write(c, &iov, 1, &n)) == RP_IO_OK && rounds++ < 1000) {
        sent += n;
    }
    rp_conn_get_interest(c, &events);
    ok(io == RP_IO_AGAIN && n == 0 && events == POLLOUT, "a backend that does not read: wait for it");
    rp_conn_destroy(&c);
    while ((got = recv(s, block, sizeof(block), 0)) > 0) {
        received += (apr_size_t)got;
    }
    ok(sent == received, "what was taken arrives");
    close(s);
    close(l);
}

static void test_refused(void)
{
    rp_backend_t b;
    apr_port_t port = get_closed_port();
    rp_conn_t *c = rp_conn_make(backend_at(&b, "127.0.0.1", port));
    rp_conn_want_t want = make_want(&b);
    char expected[64];

    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_CONNECT
       && rp_conn_get_status(c) == ECONNREFUSED, "refused");
    snprintf(expected, sizeof(expected), "address 127.0.0.1:%d", port);
    ok(strcmp(rp_conn_get_detail(c), expected) == 0, "the detail names the address");
    ok(rp_conn_open(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_CONNECT, "it stays failed");
    ok(!rp_conn_is_idle_alive(c), "and is not alive");
    rp_conn_destroy(&c);
}

static void test_addresses(void)
{
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.3", 5, &port), before;
    rp_conn_t *c = rp_conn_make(backend_at(&b, "name.test", port));
    rp_conn_want_t want = make_want(&b);

    name_addresses = "127.0.0.1 127.0.0.2 127.0.0.3";
    ok(open_fully(c, &want) == RP_IO_OK, "each address is tried in turn");
    ok(strstr(rp_conn_get_detail(c), "127.0.0.3") != NULL, "the last one answered");
    ok(rp_conn_is_address_current(c), "its address is current");
    before = atomic_load(&questions);

    /* The name moves; another connection finds out, because all it knows fails. */
    close(l);
    l = listen_on("127.0.0.4", 5, &port);
    name_addresses = "127.0.0.2 127.0.0.4";
    pthread_mutex_lock(&cache_lock);
    find_entry_locked("name.test", port)->asked_at = 0;
    pthread_mutex_unlock(&cache_lock);
    {
        rp_conn_t *other = rp_conn_make(&b);
        ok(open_fully(other, &want) == RP_IO_OK, "all known addresses failed: the name was asked for again");
        ok(atomic_load(&questions) == before + 1, "... once");
        rp_conn_destroy(&other);
    }
    ok(!rp_conn_is_address_current(c), "a connection to an address that is gone is not current");
    rp_conn_destroy(&c);
    close(l);

    c = rp_conn_make(&b);
    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_CONNECT, "nobody there: the connect's error, not the name's");
    rp_conn_destroy(&c);

    name_addresses = NULL;
    c = rp_conn_make(backend_at(&b, "name.test", get_closed_port()));
    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_DNS
       && strcmp(rp_conn_get_detail(c), "name name.test") == 0, "a name without address");
    rp_conn_destroy(&c);

    atomic_store(&answer_delay_ms, 500);
    want.timeout = apr_time_from_msec(50);
    c = rp_conn_make(backend_at(&b, "name.test", 1));
    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_DNS && rp_conn_get_status(c) == APR_TIMEUP,
       "a resolver that takes too long");
    rp_conn_destroy(&c);
    want.timeout = apr_time_from_sec(5);
    c = rp_conn_make(backend_at(&b, "name.test", 2));
    ok(rp_conn_open(c, &want) == RP_IO_AGAIN, "under way");
    rp_conn_destroy(&c);
    ok(!c, "an opening can be given up while the name is asked for");
    atomic_store(&answer_delay_ms, 0);
}

/* Fill the queue of a listening socket that nobody accepts from. */
static int fill_queue(const struct sockaddr *sa, socklen_t len, int *fds, int max)
{
    int n = 0;

    while (n < max) {
        struct pollfd p = {.fd = -1, .events = POLLOUT, .revents = 0};

        fds[n] = p.fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(p.fd, sa, len) == 0) {
            n++;
            continue;
        }
        if (errno != EINPROGRESS || poll(&p, 1, 100) == 0) {
            return n + 1;
        }
        n++;
    }
    return n;
}

static void test_connect_timeout(void)
{
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.1", 0, &port), fds[32], n, i;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    rp_conn_t *c = rp_conn_make(backend_at(&b, "127.0.0.1", port));
    rp_conn_want_t want = make_want(&b);
    apr_time_t began;

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    n = fill_queue((struct sockaddr *)&sa, sizeof(sa), fds, 32);
    want.connect_timeout = apr_time_from_msec(150);
    began = apr_time_now();
    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_CONNECT_TIMEOUT
       && rp_conn_get_status(c) == APR_TIMEUP, "nobody takes the connection: timeout");
    began = apr_time_now() - began;
    ok(began >= apr_time_from_msec(140) && began < apr_time_from_sec(3), "... after connect_timeout");
    rp_conn_destroy(&c);

    c = rp_conn_make(&b);
    ok(rp_conn_open(c, &want) == RP_IO_AGAIN && rp_conn_open(c, &want) == RP_IO_AGAIN,
       "a call with nothing ready changes nothing");
    rp_conn_destroy(&c);
    for (i = 0; i < n; i++) {
        close(fds[i]);
    }
    close(l);
}

static int listen_on_path(const char *path, int backlog)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    apr_cpystrn(sa.sun_path, path, sizeof(sa.sun_path));
    unlink(path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, backlog) != 0) {
        printf("Bail out! cannot listen on %s: %s\n", path, strerror(errno));
        exit(2);
    }
    return fd;
}

static void test_unix(void)
{
    char dir[] = "/tmp/rp_conn_t.XXXXXX", path[64];
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    rp_backend_t b;
    rp_conn_want_t want;
    rp_conn_t *c;
    int l, n, fds[32], i;
    short events = 1;
    apr_time_t began;

    if (!mkdtemp(dir)) {
        printf("Bail out! no temporary directory\n");
        exit(2);
    }
    snprintf(path, sizeof(path), "%s/s", dir);
    apr_cpystrn(sa.sun_path, path, sizeof(sa.sun_path));
    l = listen_on_path(path, 0);
    backend_at(&b, "localhost", 80);
    b.uds_path = path;
    want = make_want(&b);

    c = rp_conn_make(&b);
    ok(open_fully(c, &want) == RP_IO_OK && strstr(rp_conn_get_detail(c), path), "unix socket");
    ok(rp_conn_get_local_port(c) == 0 && rp_conn_is_idle_alive(c), "has no port, is alive");
    rp_conn_destroy(&c);
    close(accept_one(l));

    n = fill_queue((struct sockaddr *)&sa, sizeof(sa), fds, 32);
    c = rp_conn_make(&b);
    ok(rp_conn_open(c, &want) == RP_IO_AGAIN && rp_conn_get_interest(c, &events) == -1 && events == 0,
       "its queue is full: only time helps");
    ok(rp_conn_get_deadline(c) > 0 && rp_conn_get_deadline(c) < apr_time_now() + apr_time_from_sec(1), "... a short time");
    close(accept_one(l));
    ok(open_fully(c, &want) == RP_IO_OK, "connected when there is room");
    rp_conn_destroy(&c);

    want.connect_timeout = apr_time_from_msec(120);
    close(accept_one(l));
    for (i = 0; i < n; i++) {
        close(fds[i]);
    }
    close(l);
    l = listen_on_path(path, 0);
    n = fill_queue((struct sockaddr *)&sa, sizeof(sa), fds, 32);
    c = rp_conn_make(&b);
    began = apr_time_now();
    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_CONNECT_TIMEOUT, "full for too long");
    ok(apr_time_now() - began >= apr_time_from_msec(100), "... after connect_timeout");
    rp_conn_destroy(&c);
    for (i = 0; i < n; i++) {
        close(fds[i]);
    }
    close(l);
    unlink(path);

    c = rp_conn_make(&b);
    ok(open_fully(c, &want) == RP_IO_ERROR && rp_conn_get_status(c) == ENOENT, "no such socket");
    rp_conn_destroy(&c);
    rmdir(dir);
}

static void test_options(void)
{
    apr_pool_t *p;
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.1", 5, &port), s, before;
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    rp_conn_want_t want;
    rp_conn_t *c;

    apr_pool_create(&p, NULL);
    backend_at(&b, "127.0.0.1", port);
    b.opt.keepalive = true;
    want = make_want(&b);
    want.receive_buffer = 32768;
    apr_sockaddr_info_get(&want.source, "127.0.0.7", APR_UNSPEC, 0, 0, p);
    before = atomic_load(&logged);
    c = rp_conn_make(&b);
    ok(open_fully(c, &want) == RP_IO_OK, "with options");
    ok(get_option(c, SOL_SOCKET, SO_KEEPALIVE) == 1, "SO_KEEPALIVE");
    ok(get_option(c, SOL_SOCKET, SO_RCVBUF) == 65536, "SO_RCVBUF (Linux doubles it)");
    s = accept4(l, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
    ok(ntohl(from.sin_addr.s_addr) == 0x7f000007 && atomic_load(&logged) == before, "ProxySourceAddress");
    ok(rp_conn_matches(c, &want), "matches what it was opened with");
    want.receive_buffer = 0;
    ok(!rp_conn_matches(c, &want), "but not another receive buffer");
    want.receive_buffer = 32768;
    want.source = NULL;
    ok(!rp_conn_matches(c, &want), "nor another source");
    close(s);
    rp_conn_destroy(&c);

    apr_sockaddr_info_get(&want.source, "192.0.2.1", APR_UNSPEC, 0, 0, p); /* not ours: bind fails, nothing is sent */
    c = rp_conn_make(&b);
    ok(open_fully(c, &want) == RP_IO_OK, "a source that cannot be bound to is no reason to fail");
    ok(atomic_load(&logged) == before + 1 && atomic_load(&last_logged) == RP_E_SOURCE, "... but is logged, once");
    rp_conn_destroy(&c);
    apr_pool_destroy(p);
    close(l);
}

static void test_no_descriptors(void)
{
    struct rlimit before, none;
    rp_backend_t b;
    apr_port_t port = get_closed_port();
    rp_conn_t *c = rp_conn_make(backend_at(&b, "127.0.0.1", port)), *d = rp_conn_make(backend_at(&b, "other.test", port));
    rp_conn_want_t want = make_want(&b);
    rp_io_t plain, name;

    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    b.host = "127.0.0.1";
    plain = open_fully(c, &want);
    b.host = "other.test";
    name = open_fully(d, &want);
    setrlimit(RLIMIT_NOFILE, &before);
    ok(plain == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_RESOURCE && rp_conn_get_status(c) == EMFILE,
       "no descriptor for the socket");
    ok(name == RP_IO_ERROR && rp_conn_get_error(d) == RP_E_RESOURCE, "no descriptor for the question");
    rp_conn_destroy(&c);
    rp_conn_destroy(&d);
}

static void test_find_dead(void)
{
    rp_backend_t b;
    apr_port_t port = 0;
    int l = listen_on("127.0.0.1", 5, &port), s[4], i;
    rp_conn_t *c[4];
    rp_conn_want_t want;
    bool dead[4];
    struct pollfd p = {.fd = -1, .events = POLLIN, .revents = 0};

    backend_at(&b, "127.0.0.1", port);
    want = make_want(&b);
    for (i = 0; i < 4; i++) {
        c[i] = rp_conn_make(&b);
        open_fully(c[i], &want);
        s[i] = accept_one(l);
    }
    close(s[1]);
    (void)!write(s[2], "x", 1);
    p.fd = rp_conn_get_fd(c[2]);
    poll(&p, 1, 1000);
    rp_conn_find_dead(c, 4, dead);
    ok(!dead[0] && dead[1] && dead[2] && !dead[3], "closed ones and those with bytes are found");
    for (i = 0; i < 4; i++) {
        rp_conn_destroy(&c[i]);
        close(s[i]);
    }
    close(l);
}

/* --- TLS, with a stand-in for mod_ssl ----------------------------------------------------- */

typedef struct {
    rp_backend_t b;
    rp_conn_want_t want;
    int listener;
} tls_case_t;

static void prepare_tls(tls_case_t *t)
{
    apr_port_t port = 0;

    t->listener = listen_on("127.0.0.1", 5, &port);
    backend_at(&t->b, "127.0.0.1", port);
    t->b.is_tls = true;
    t->want = make_want(&t->b);
    t->want.tls_name = "app.example";
    is_tls_on = true;
}

static void test_tls(void)
{
    tls_case_t t;
    rp_conn_t *c;
    struct iovec iov = {.iov_base = "ping", .iov_len = 4};
    apr_size_t n;
    char buf[16];
    int s;

    prepare_tls(&t);
    c = rp_conn_make(&t.b);
    ok(rp_conn_open(c, &t.want) == RP_IO_AGAIN, "the handshake is waited for");
    s = accept_one(t.listener);
    (void)!write(s, "y", 1);
    ok(open_fully(c, &t.want) == RP_IO_OK && !rp_conn_is_plain(c), "a good one");
    ok(bound_settings == fake_server.lookup_defaults, "the server's settings where no section matches");
    ok(strcmp(bound_name, "app.example") == 0, "the name to check is noted");
    ok(rp_conn_matches(c, &t.want), "matches the same name");
    t.want.tls_name = "other.example";
    ok(!rp_conn_matches(c, &t.want), "not another name");
    t.want.tls_name = "app.example";
    t.want.tls_identity = "0";
    ok(!rp_conn_matches(c, &t.want), "nor other settings");
    ok(rp_conn_is_idle_alive(c), "alive");
    ok(rp_conn_write(c, &iov, 1, &n) == RP_IO_OK && n == 4 && rp_conn_flush(c) == RP_IO_OK
       && recv(s, buf, sizeof(buf), 0) == 4, "write");
    (void)!write(s, "pong!", 5);
    ok(read_waiting(c, buf, 2, &n) == RP_IO_OK && n == 2 && rp_conn_has_buffered(c), "read; there may be more");
    ok(!rp_conn_is_idle_alive(c), "unread bytes: not alive");
    ok(read_waiting(c, buf, sizeof(buf), &n) == RP_IO_OK && n == 3, "the rest");
    ok(rp_conn_read(c, buf, sizeof(buf), &n) == RP_IO_AGAIN && !rp_conn_has_buffered(c), "then nothing");
    (void)!write(s, "##answer", 8);
    ok(read_waiting(c, buf, sizeof(buf), &n) == RP_IO_OK && n == 6, "bytes behind records that are not for us");
    ok(rp_conn_read(c, buf, sizeof(buf), &n) == RP_IO_AGAIN, "then nothing");
    (void)!write(s, "##", 2);
    ok(rp_conn_is_idle_alive(c), "records that are not for us do no harm to an idle one");
    (void)!write(s, "#?", 2);
    ok(!rp_conn_is_idle_alive(c), "bytes behind them do");
    read_waiting(c, buf, sizeof(buf), &n);
    ok(!rp_conn_shut_write(c), "no half-close with TLS");
    close(s);
    ok(read_waiting(c, buf, sizeof(buf), &n) == RP_IO_EOF, "the end");
    rp_conn_destroy(&c);
    close(t.listener);
}

static void test_tls_failures(void)
{
    tls_case_t t;
    rp_conn_t *c;
    int s;

    prepare_tls(&t);
    c = rp_conn_make(&t.b);
    rp_conn_open(c, &t.want);
    s = accept_one(t.listener);
    (void)!write(s, "n", 1);
    ok(open_fully(c, &t.want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_TLS_HANDSHAKE, "a bad handshake");
    rp_conn_destroy(&c);
    close(s);

    t.want.timeout = apr_time_from_msec(100);
    c = rp_conn_make(&t.b);
    ok(open_fully(c, &t.want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_TLS_HANDSHAKE
       && rp_conn_get_status(c) == APR_TIMEUP, "a handshake that takes too long");
    rp_conn_destroy(&c);
    close(accept_one(t.listener));

    t.want.timeout = apr_time_from_sec(60);
    c = rp_conn_make(&t.b);
    rp_conn_open(c, &t.want);
    s = accept_one(t.listener);
    rp_conn_destroy(&c);
    {
        char byte;
        struct pollfd p = {.fd = s, .events = POLLIN, .revents = 0};
        ok(poll(&p, 1, 2000) == 1 && recv(s, &byte, 1, 0) == 0, "given up in the midst: the connection is closed at once");
    }
    close(s);

    is_tls_on = false;
    c = rp_conn_make(&t.b);
    ok(open_fully(c, &t.want) == RP_IO_ERROR && rp_conn_get_error(c) == RP_E_TLS_OFF, "SSLProxyEngine is off");
    rp_conn_destroy(&c);
    close(t.listener);
}

static void test_tls_settings(void)
{
    static int one, two;
    rp_section_t a = {.dir_conf = (ap_conf_vector_t *)&one}, b = {.dir_conf = (ap_conf_vector_t *)&two};
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    fake_conf.sections = apr_array_make(p, 2, sizeof(rp_section_t *));
    APR_ARRAY_PUSH(fake_conf.sections, rp_section_t *) = &a;
    APR_ARRAY_PUSH(fake_conf.sections, rp_section_t *) = &b;
    ok(get_settings(p, &fake_server, "0") == a.dir_conf, "one section");
    ok(get_settings(p, &fake_server, "0,1") == b.dir_conf, "the last of two on top");
    ok(get_settings(p, &fake_server, "0,1") == b.dir_conf && profile_count == 2, "remembered");
    ok(get_settings(p, &fake_server, "7") == fake_server.lookup_defaults, "no such section");
    fake_conf.sections = NULL;
    apr_pool_destroy(p);
}

/* A child that ends while a handshake is under way: nothing hangs, nothing is used after it. */
static void test_tls_child_end(void)
{
    tls_case_t t;
    rp_conn_t *c;
    apr_time_t began;

    prepare_tls(&t);
    c = rp_conn_make(&t.b);
    rp_conn_open(c, &t.want);
    began = apr_time_now();
    end_child();
    ok(apr_time_now() - began < apr_time_from_sec(2), "a handshake under way does not hold up the child's end");
    ok(open_fully(c, &t.want) == RP_IO_ERROR, "it has failed");
    rp_conn_destroy(&c);
    close(t.listener);
}

int main(void)
{
    apr_initialize();
    begin_child();
    test_plain();
    test_reset();
    test_slow_reader();
    test_refused();
    test_addresses();
    test_connect_timeout();
    test_unix();
    test_options();
    test_no_descriptors();
    test_find_dead();
    test_tls();
    test_tls_failures();
    test_tls_settings();
    test_tls_child_end();
    return finish_tests();
}
