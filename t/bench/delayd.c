/*
 * delayd: the slow backend of the bench.  Answers every request, a fixed time
 * after its head arrived, with the same 12-byte body; one thread, one epoll
 * descriptor, thousands of connections.
 *
 *     delayd PORT DELAY_MS        listens on 127.0.0.1:PORT
 *
 * Requests are expected without a body (the load generator sends GET), and one
 * at a time on a connection.  As the delay is the same for all, the
 * connections that wait for their answer form a plain first-in-first-out list.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define EVENTS_MAX 256
#define BACKLOG 4096

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 12\r\n"
                             "\r\n"
                             "hello world\n";

typedef struct conn_t conn_t;
struct conn_t {
    int fd;
    int is_waiting;     /* linked in the list of due answers */
    int is_gone;        /* peer left while waiting; freed when due */
    size_t len;
    int64_t due_us;
    conn_t *next;
    char head[HEAD_MAX];
};

typedef struct {
    int epfd;
    int listen_fd;
    int64_t delay_us;
    conn_t *first;
    conn_t *last;
} server_t;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void close_conn(conn_t *c)
{
    close(c->fd);
    if (c->is_waiting) {
        c->is_gone = 1;
    }
    else {
        free(c);
    }
}

static void enqueue(server_t *s, conn_t *c)
{
    c->is_waiting = 1;
    c->due_us = now_us() + s->delay_us;
    c->next = NULL;
    if (s->last) {
        s->last->next = c;
    }
    else {
        s->first = c;
    }
    s->last = c;
}

/* Looks for one whole head in the buffer; what follows it is kept. */
static void take_head(server_t *s, conn_t *c)
{
    char *end = memmem(c->head, c->len, "\r\n\r\n", 4);

    if (end) {
        size_t used = (size_t)(end - c->head) + 4;

        c->len -= used;
        memmove(c->head, c->head + used, c->len);
        enqueue(s, c);
    }
    else if (c->len == HEAD_MAX) {
        close_conn(c);
    }
}

static void read_conn(server_t *s, conn_t *c)
{
    ssize_t n = recv(c->fd, c->head + c->len, HEAD_MAX - c->len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        close_conn(c);
        return;
    }
    c->len += (size_t)n;
    if (!c->is_waiting) {
        take_head(s, c);
    }
}

static void answer_conn(server_t *s, conn_t *c)
{
    const ssize_t len = sizeof(answer) - 1;

    c->is_waiting = 0;
    if (c->is_gone) {
        free(c);
    }
    else if (send(c->fd, answer, (size_t)len, MSG_NOSIGNAL) != len) {
        close_conn(c);
    }
    else {
        take_head(s, c);
    }
}

static void answer_due(server_t *s)
{
    int64_t now = now_us();

    while (s->first && s->first->due_us <= now) {
        conn_t *c = s->first;

        s->first = c->next;
        if (!s->first) {
            s->last = NULL;
        }
        answer_conn(s, c);
    }
}

static void accept_all(server_t *s)
{
    const int on = 1;
    int fd;

    while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event ev = { .events = EPOLLIN };
        conn_t *c = calloc(1, sizeof(*c));

        if (!c) {
            fail("calloc");
        }
        c->fd = fd;
        ev.data.ptr = c;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
            fail("epoll_ctl");
        }
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
        fail("accept4");
    }
}

static int wait_ms(const server_t *s)
{
    int64_t left;

    if (!s->first) {
        return -1;
    }
    left = s->first->due_us - now_us();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

static int listen_on(uint16_t port)
{
    const int on = 1;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0
        || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0
        || listen(fd, BACKLOG) != 0) {
        fail("listen");
    }
    return fd;
}

static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end || value < 1 || value > max) {
        fprintf(stderr, "delayd: bad number \"%s\"\n", text);
        exit(2);
    }
    return value;
}

static void serve(server_t *s)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int i, n = epoll_wait(s->epfd, events, EVENTS_MAX, wait_ms(s));

        if (n < 0 && errno != EINTR) {
            fail("epoll_wait");
        }
        for (i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                read_conn(s, events[i].data.ptr);
            }
            else {
                accept_all(s);
            }
        }
        answer_due(s);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event ev = { .events = EPOLLIN };
    server_t s = { 0 };

    if (argc != 3) {
        fprintf(stderr, "usage: delayd PORT DELAY_MS\n");
        return 2;
    }
    s.listen_fd = listen_on((uint16_t)number(argv[1], 65535));
    s.delay_us = number(argv[2], 600000) * 1000;
    s.epfd = epoll_create1(EPOLL_CLOEXEC);
    if (s.epfd < 0 || epoll_ctl(s.epfd, EPOLL_CTL_ADD, s.listen_fd, &ev) != 0) {
        fail("epoll");
    }
    serve(&s);
    return 0;
}
