/*
 * sockets: many WebSockets, on either side of a proxy; one thread, one epoll descriptor.
 *
 *     sockets serve PORT
 *         Accepts every handshake, and sends back what comes (frames as they are, masks and all).
 *         A path that ends in "?stream=N" gets N bytes instead, and the end.
 *     sockets hold PORT PATH N SECONDS
 *         Opens N sockets and prints "open OPENED". After SECONDS of silence each sends 100 bytes
 *         and has to get them back: "echo ECHOED". Waits for a line on its input, then closes them.
 *     sockets talk PORT PATH N SECONDS
 *         N sockets send 100 bytes and wait for the echo, again and again. Prints
 *         "trips COUNT p50_us P50 p99_us P99 lost LOST".
 *     sockets stream PORT PATH
 *         One socket; prints "bytes COUNT us TIME" when it has ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 100
#define SAMPLES_MAX 4000000
#define GIVE_UP_S 30

typedef struct {
    int fd;
    bool is_open;     /* the handshake is over */
    char head[4096];  /* of the request or the response, until it is complete */
    size_t n;
    size_t echoed;    /* bytes of the message under way */
    long long sent_at;
    long long left;   /* server: bytes still to be streamed, -1: echo */
} peer_t;

static int poller;
static char buffer[65536];
static char message[MESSAGE];
static uint32_t samples[SAMPLES_MAX];
static size_t sample_count;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static long long now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static peer_t *watch(int fd, uint32_t events)
{
    peer_t *peer = calloc(1, sizeof(*peer));
    struct epoll_event ev = {.events = events, .data.ptr = peer};
    int one = 1;

    if (!peer) {
        fail("memory");
    }
    peer->fd = fd;
    peer->left = -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev)) {
        fail("epoll_ctl");
    }
    return peer;
}

static void forget(peer_t *peer)
{
    close(peer->fd);
    free(peer);
}

/* All bytes, waiting where there is no room: the other side always reads. */
static bool put(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR) {
            return false;
        }
        data += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

/* More of a head. 1: it is complete, and what lies behind it is at *rest; 0: not yet; -1: the end. */
static int read_head(peer_t *peer, char **rest, size_t *rest_len)
{
    ssize_t got = recv(peer->fd, peer->head + peer->n, sizeof(peer->head) - 1 - peer->n, 0);
    char *end;

    if (got <= 0) {
        return -1;
    }
    peer->n += (size_t)got;
    peer->head[peer->n] = '\0';
    end = strstr(peer->head, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    *rest = end + 4;
    *rest_len = (size_t)(peer->head + peer->n - *rest);
    return 1;
}

static struct sockaddr_in address(const char *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10))};

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sin;
}

/* ---- server ---- */

static bool answer(peer_t *peer)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    char *rest, *stream;
    size_t n;
    int got = read_head(peer, &rest, &n);

    if (got <= 0) {
        return got == 0;
    }
    peer->is_open = true;
    stream = strstr(peer->head, "?stream=");
    peer->left = stream ? strtoll(stream + 8, NULL, 10) : -1;
    if (!put(peer->fd, head, sizeof(head) - 1) || !put(peer->fd, rest, n)) {
        return false;
    }
    if (stream) {
        struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = peer};

        (void)epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &ev);
    }
    return true;
}

static bool serve_peer(peer_t *peer)
{
    ssize_t got;

    if (!peer->is_open) {
        return answer(peer);
    }
    if (peer->left >= 0) {
        size_t n = peer->left < (long long)sizeof(buffer) ? (size_t)peer->left : sizeof(buffer);

        peer->left -= (long long)n;
        return put(peer->fd, buffer, n) && peer->left > 0;
    }
    got = recv(peer->fd, buffer, sizeof(buffer), 0);
    return got > 0 && put(peer->fd, buffer, (size_t)got);
}

static int serve(const char *port)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sin = address(port);
    struct epoll_event ev[256];
    peer_t *self;

    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) || listen(listener, 4096)) {
        fail("listen");
    }
    self = watch(listener, EPOLLIN);
    for (;;) {
        int i, n = epoll_wait(poller, ev, 256, -1);

        for (i = 0; i < n; i++) {
            peer_t *peer = ev[i].data.ptr;

            if (peer == self) {
                int fd = accept(listener, NULL, NULL);

                if (fd >= 0) {
                    watch(fd, EPOLLIN);
                }
            }
            else if (!serve_peer(peer)) {
                forget(peer);
            }
        }
    }
}

/* ---- client ---- */

static peer_t *ask(const char *port, const char *path)
{
    struct sockaddr_in sin = address(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int n = snprintf(buffer, sizeof(buffer),
                     "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
                     path);

    if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin))) {
        fail("connect");
    }
    (void)put(fd, buffer, (size_t)n);
    return watch(fd, EPOLLIN);
}

/* A frame whose length is MESSAGE: proxies may look. */
static void make_message(void)
{
    memset(message, 'x', sizeof(message));
    message[0] = (char)0x82;
    message[1] = (char)(0x80 | (MESSAGE - 6));
    memset(message + 2, 0, 4);
}

static void say(peer_t *peer)
{
    peer->echoed = 0;
    peer->sent_at = now_us();
    (void)put(peer->fd, message, sizeof(message));
}

static void keep_sample(long long us)
{
    if (sample_count < SAMPLES_MAX) {
        samples[sample_count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    }
}

/* What one ready socket brought: 'o' it is open now, 'e' an echo is complete, 'x' it has ended, else 0. */
static char look(peer_t *peer)
{
    char *rest;
    size_t n;
    ssize_t got;

    if (!peer->is_open) {
        int head = read_head(peer, &rest, &n);

        if (head == 1 && !strncmp(peer->head, "HTTP/1.1 101", 12)) {
            peer->is_open = true;
            return 'o';
        }
        return head == 0 ? 0 : 'x';
    }
    got = recv(peer->fd, buffer, sizeof(buffer), 0);
    if (got <= 0) {
        return 'x';
    }
    peer->echoed += (size_t)got;
    return peer->echoed >= MESSAGE ? 'e' : 0;
}

/* Look at the sockets until `wanted` of them have brought this, or time is over. How many have. */
static int wait_for(char event, int wanted, long long until, int *lost)
{
    struct epoll_event ev[256];
    int count = 0;

    while (count < wanted && now_us() < until) {
        int i, n = epoll_wait(poller, ev, 256, 100);

        for (i = 0; i < n; i++) {
            char what = look(ev[i].data.ptr);

            if (what == 'x') {
                (void)epoll_ctl(poller, EPOLL_CTL_DEL, ((peer_t *)ev[i].data.ptr)->fd, NULL);
                (*lost)++;
                wanted--;
            }
            count += what == event;
        }
    }
    return count;
}

static peer_t **open_all(const char *port, const char *path, int n, int *lost)
{
    peer_t **all = calloc((size_t)n, sizeof(*all));
    int i, open = 0;

    for (i = 0; i < n; i++) {
        all[i] = ask(port, path);
        /* No more handshakes under way than a listen queue holds. */
        if (i % 100 == 99 || i == n - 1) {
            open += wait_for('o', i + 1 - open - *lost, now_us() + GIVE_UP_S * 1000000LL, lost);
        }
    }
    printf("open %d\n", open);
    fflush(stdout);
    return all;
}

static int hold(const char *port, const char *path, int n, int seconds)
{
    int i, lost = 0, before;
    peer_t **all = open_all(port, path, n, &lost);

    before = lost;
    (void)wait_for('x', n, now_us() + seconds * 1000000LL, &lost);
    for (i = 0; i < n; i++) {
        if (all[i]->is_open) {
            say(all[i]);
        }
    }
    printf("echo %d\n", wait_for('e', n - before, now_us() + GIVE_UP_S * 1000000LL, &lost));
    fflush(stdout);
    (void)getchar();
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static int talk(const char *port, const char *path, int n, int seconds)
{
    struct epoll_event ev[256];
    int i, got, lost = 0;
    peer_t **all = open_all(port, path, n, &lost);
    long long until = now_us() + seconds * 1000000LL;

    for (i = 0; i < n; i++) {
        say(all[i]);
    }
    while (now_us() < until) {
        got = epoll_wait(poller, ev, 256, 100);
        for (i = 0; i < got; i++) {
            peer_t *peer = ev[i].data.ptr;
            char what = look(peer);

            if (what == 'e') {
                keep_sample(now_us() - peer->sent_at);
                say(peer);
            }
            else if (what == 'x') {
                (void)epoll_ctl(poller, EPOLL_CTL_DEL, peer->fd, NULL);
                lost++;
            }
        }
    }
    qsort(samples, sample_count, sizeof(*samples), compare);
    printf("trips %zu p50_us %u p99_us %u lost %d\n", sample_count, sample_count ? samples[sample_count / 2] : 0,
           sample_count ? samples[sample_count * 99 / 100] : 0, lost);
    return 0;
}

static int stream(const char *port, const char *path)
{
    long long begin = now_us(), bytes = 0;
    peer_t *peer = ask(port, path);
    ssize_t got;

    while ((got = recv(peer->fd, buffer, sizeof(buffer), 0)) > 0) {
        bytes += got;
    }
    printf("bytes %lld us %lld\n", bytes, now_us() - begin);
    return 0;
}

int main(int argc, char **argv)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    (void)signal(SIGPIPE, SIG_IGN);
    make_message();
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        return serve(argv[2]);
    }
    if (argc == 6 && !strcmp(argv[1], "hold")) {
        return hold(argv[2], argv[3], (int)strtol(argv[4], NULL, 10), (int)strtol(argv[5], NULL, 10));
    }
    if (argc == 6 && !strcmp(argv[1], "talk")) {
        return talk(argv[2], argv[3], (int)strtol(argv[4], NULL, 10), (int)strtol(argv[5], NULL, 10));
    }
    if (argc == 4 && !strcmp(argv[1], "stream")) {
        return stream(argv[2], argv[3]);
    }
    fprintf(stderr, "see the comment at the top of sockets.c\n");
    return 2;
}
