/*
 * sockets: many WebSockets, on either side of a proxy; one thread, one epoll descriptor.
 *
 *     sockets serve PORT
 *         Accepts every handshake, and sends back what comes (frames as they are, masks and all).
 *         A path that ends in "?stream=N" gets N frames of 64 KB instead, and the end; one that
 *         ends in "?sink=N" has to send as many, and gets a text frame with the bytes that came.
 *     sockets hold PORT PATH N SECONDS [GIVE_UP]
 *         Opens N sockets and prints "open OPENED". After SECONDS of silence each sends 100 bytes
 *         and has to get them back: "echo ECHOED". Waits for a line on its input, then closes them.
 *         Opens no more of them when no handshake was answered for GIVE_UP seconds (30).
 *     sockets talk PORT PATH N SECONDS [GIVE_UP]
 *         N sockets send 100 bytes and wait for the echo, again and again. Prints
 *         "trips COUNT p50_us P50 p99_us P99 lost LOST".
 *     sockets stream PORT PATH
 *         One socket; prints "bytes COUNT us TIME" when it has ended: payload of whole frames.
 *     sockets push PORT PATH N
 *         One socket that sends N frames of 64 KB; prints "bytes COUNT us TIME" with the server's count.
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
#define PAYLOAD 65536           /* of a frame of a stream */
#define FRAME_MAX (14 + PAYLOAD)

typedef enum { ECHO, STREAM, SINK } task_t;

typedef struct {
    int fd;
    bool is_open;     /* the handshake is over */
    char head[4096];  /* of the request or the response, until it is complete */
    size_t n;
    size_t echoed;    /* bytes of the message under way */
    long long sent_at;
    task_t task;      /* server */
    long long left;   /* server: frames still to be streamed, or bytes still to come */
    long long came;   /* server: bytes that came into the sink */
} peer_t;

static int poller;
static char buffer[65536];
static char message[MESSAGE];
static char frame[FRAME_MAX];
static size_t frame_len;
static int give_up_s = GIVE_UP_S;
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

/* The frame of streams. Clients have to mask; with a mask of zeros the payload stays as it is. */
static void make_frame(bool is_masked)
{
    static const unsigned char length[8] = {0, 0, 0, 0, 0, PAYLOAD >> 16, (PAYLOAD >> 8) & 0xff, PAYLOAD & 0xff};

    frame_len = (is_masked ? 14 : 10) + PAYLOAD;
    memset(frame, 'x', sizeof(frame));
    frame[0] = (char)0x82;
    frame[1] = (char)(is_masked ? 0xff : 0x7f);
    memcpy(frame + 2, length, sizeof(length));
    if (is_masked) {
        memset(frame + 10, 0, 4);
    }
}

/* ---- server ---- */

static bool swallow(peer_t *peer, size_t n)
{
    char text[64];
    int len;

    peer->came += (long long)n;
    if (peer->came < peer->left) {
        return true;
    }
    len = snprintf(text + 2, sizeof(text) - 2, "%lld", peer->came);
    text[0] = (char)0x81;
    text[1] = (char)len;
    (void)put(peer->fd, text, 2 + (size_t)len);
    return false;
}

/* What the path asks for. `rest` is what came behind the handshake. */
static bool begin_task(peer_t *peer, const char *rest, size_t n)
{
    const char *streamed = strstr(peer->head, "?stream="), *sunk = strstr(peer->head, "?sink=");

    if (streamed) {
        struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = peer};

        peer->task = STREAM;
        peer->left = strtoll(streamed + 8, NULL, 10);
        return epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &ev) == 0;
    }
    if (sunk) {
        peer->task = SINK;
        peer->left = strtoll(sunk + 6, NULL, 10) * (14 + PAYLOAD);
        return n == 0 || swallow(peer, n);
    }
    return put(peer->fd, rest, n);
}

static bool answer(peer_t *peer)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: BACScCJPNqyz+UBoqMH89VmURoA=\r\n\r\n"; /* to ask()'s key */
    char *rest;
    size_t n;
    int got = read_head(peer, &rest, &n);

    if (got <= 0) {
        return got == 0;
    }
    peer->is_open = true;
    return put(peer->fd, head, sizeof(head) - 1) && begin_task(peer, rest, n);
}

static bool serve_peer(peer_t *peer)
{
    ssize_t got;

    if (!peer->is_open) {
        return answer(peer);
    }
    if (peer->task == STREAM) {
        return peer->left-- > 0 && put(peer->fd, frame, frame_len);
    }
    got = recv(peer->fd, buffer, sizeof(buffer), 0);
    if (got <= 0) {
        return false;
    }
    return peer->task == SINK ? swallow(peer, (size_t)got) : put(peer->fd, buffer, (size_t)got);
}

static int serve(const char *port)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sin = address(port);
    struct epoll_event ev[256];
    peer_t *self;

    make_frame(false);
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

/* *open: how many there are in the end; those not asked for any more are NULL. */
static peer_t **open_all(const char *port, const char *path, int n, int *open, int *lost)
{
    peer_t **all = calloc((size_t)n, sizeof(*all));
    bool has_stopped = false;
    int i;

    *open = 0;
    for (i = 0; i < n && !has_stopped; i++) {
        all[i] = ask(port, path);
        /* No more handshakes under way than a listen queue holds. */
        if (i % 100 == 99 || i == n - 1) {
            *open += wait_for('o', i + 1 - *open - *lost, now_us() + give_up_s * 1000000LL, lost);
            has_stopped = *open + *lost <= i;
        }
    }
    printf("open %d\n", *open);
    fflush(stdout);
    return all;
}

static int hold(const char *port, const char *path, int n, int seconds)
{
    int i, open, lost = 0, before;
    peer_t **all = open_all(port, path, n, &open, &lost);

    before = lost;
    (void)wait_for('x', n, now_us() + seconds * 1000000LL, &lost);
    for (i = 0; i < n; i++) {
        if (all[i] && all[i]->is_open) {
            say(all[i]);
        }
    }
    printf("echo %d\n", wait_for('e', open - (lost - before), now_us() + give_up_s * 1000000LL, &lost));
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
    int i, got, open, lost = 0;
    peer_t **all = open_all(port, path, n, &open, &lost);
    long long until = now_us() + seconds * 1000000LL;

    for (i = 0; i < n; i++) {
        if (all[i] && all[i]->is_open) {
            say(all[i]);
        }
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

/* Opens one socket, waiting. What came behind the handshake is moved into buffer: *rest_len bytes. */
static peer_t *open_one(const char *port, const char *path, size_t *rest_len)
{
    peer_t *peer = ask(port, path);
    char *rest = NULL;
    int head;

    while ((head = read_head(peer, &rest, rest_len)) == 0) {
    }
    if (head < 0 || strncmp(peer->head, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "no tunnel: %.*s\n", (int)strcspn(peer->head, "\r"), peer->head);
        exit(1);
    }
    memcpy(buffer, rest, *rest_len);
    return peer;
}

/* Is there a frame's first byte wherever one has to begin? `at`: bytes of the stream before these. */
static bool has_borders(long long at, size_t n)
{
    size_t i = (frame_len - (size_t)(at % (long long)frame_len)) % frame_len;

    for (; i < n; i += frame_len) {
        if (buffer[i] != frame[0]) {
            return false;
        }
    }
    return true;
}

static int stream(const char *port, const char *path)
{
    long long begin = now_us(), bytes = 0;
    size_t rest_len;
    peer_t *peer = open_one(port, path, &rest_len);
    ssize_t got = (ssize_t)rest_len;

    make_frame(false);
    do {
        if (!has_borders(bytes, (size_t)got)) {
            fprintf(stderr, "no frame where one has to begin\n");
            return 1;
        }
        bytes += got;
        got = recv(peer->fd, buffer, sizeof(buffer), 0);
    } while (got > 0);
    printf("bytes %lld us %lld\n", bytes / (long long)frame_len * PAYLOAD, now_us() - begin);
    return 0;
}

static int push(const char *port, const char *path, long long n)
{
    long long begin = now_us(), came = 0;
    size_t have;
    peer_t *peer = open_one(port, path, &have);
    ssize_t got;

    make_frame(true);
    while (n-- > 0 && put(peer->fd, frame, frame_len)) {
    }
    while (have < sizeof(buffer) - 1 && (got = recv(peer->fd, buffer + have, sizeof(buffer) - 1 - have, 0)) > 0) {
        have += (size_t)got;
    }
    buffer[have] = '\0';
    if (have > 2 && buffer[0] == (char)0x81) {
        came = strtoll(buffer + 2, NULL, 10);
    }
    printf("bytes %lld us %lld\n", came / (long long)frame_len * PAYLOAD, now_us() - begin);
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
    if (argc == 7) {
        give_up_s = (int)strtol(argv[6], NULL, 10);
    }
    if ((argc == 6 || argc == 7) && !strcmp(argv[1], "hold")) {
        return hold(argv[2], argv[3], (int)strtol(argv[4], NULL, 10), (int)strtol(argv[5], NULL, 10));
    }
    if ((argc == 6 || argc == 7) && !strcmp(argv[1], "talk")) {
        return talk(argv[2], argv[3], (int)strtol(argv[4], NULL, 10), (int)strtol(argv[5], NULL, 10));
    }
    if (argc == 4 && !strcmp(argv[1], "stream")) {
        return stream(argv[2], argv[3]);
    }
    if (argc == 5 && !strcmp(argv[1], "push")) {
        return push(argv[2], argv[3], strtoll(argv[4], NULL, 10));
    }
    fprintf(stderr, "see the comment at the top of sockets.c\n");
    return 2;
}
