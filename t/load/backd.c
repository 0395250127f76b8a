/*
 * backd: a backend for thousands of connections; one thread, one epoll descriptor.
 *
 *     backd PORT [MS]     listens on 127.0.0.1:PORT
 *
 * The query of a request says what becomes of it:
 *     ms=N      answer so many milliseconds after the whole request has come (MS, else 0)
 *     mark=W    the body repeats this word and a line feed ("hello")
 *     size=N    body bytes (one line of the mark)
 *     end=E     answer; reset (RST instead of an answer), eof (FIN instead), cut (half of the answer,
 *               then RST), junk (not HTTP), hang (nothing, until the peer leaves), headhang (head only)
 * Requests have a Content-Length or no body, and come one at a time on a connection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 4096
#define HEAP_MAX 65536
#define EVENTS_MAX 256
#define MARK_MAX 64

typedef enum { END_ANSWER, END_RESET, END_EOF, END_CUT, END_JUNK, END_HANG, END_HEADHANG } end_t;
static const char *const end_names[] = {"answer", "reset", "eof", "cut", "junk", "hang", "headhang"};

typedef enum { READ_HEAD, READ_BODY, WAITING, WRITING, HANGING, DEAD } state_t;

typedef struct {
    int fd;
    state_t state;
    int is_queued;      /* in the heap: freed when it comes out */
    size_t len;         /* of head */
    int64_t body_left;  /* of the request */
    int64_t due_us;
    end_t end;
    size_t size, sent;  /* of the response's body */
    size_t out_len, out_sent;
    size_t mark_len;
    char mark[MARK_MAX];
    char out[256];
    char head[HEAD_MAX];
} conn_t;

static int epfd;
static long default_ms;
static conn_t *heap[HEAP_MAX];
static int heap_len;

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

/* ---- what is due when: a binary heap ---- */

static void swap(int a, int b)
{
    conn_t *c = heap[a];

    heap[a] = heap[b];
    heap[b] = c;
}

static void push(conn_t *c)
{
    int i = heap_len++;

    if (heap_len > HEAP_MAX) {
        fail("too many waiting requests");
    }
    heap[i] = c;
    c->is_queued = 1;
    for (; i > 0 && heap[i]->due_us < heap[(i - 1) / 2]->due_us; i = (i - 1) / 2) {
        swap(i, (i - 1) / 2);
    }
}

static conn_t *pop(void)
{
    conn_t *c = heap[0];
    int i = 0;

    heap[0] = heap[--heap_len];
    for (;;) {
        int least = i, l = 2 * i + 1;

        if (l < heap_len && heap[l]->due_us < heap[least]->due_us) {
            least = l;
        }
        if (l + 1 < heap_len && heap[l + 1]->due_us < heap[least]->due_us) {
            least = l + 1;
        }
        if (least == i) {
            break;
        }
        swap(i, least);
        i = least;
    }
    c->is_queued = 0;
    return c;
}

/* ---- connections ---- */

static void end_conn(conn_t *c, int with_reset)
{
    struct linger at_once = {1, 0};

    if (with_reset) {
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    close(c->fd);
    c->state = DEAD;
    if (!c->is_queued) {
        free(c);
    }
}

static void want(conn_t *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev)) {
        fail("epoll_ctl");
    }
}

/* Value of a parameter in the request's first line, or NULL. */
static const char *find_param(const char *head, const char *name, size_t *len)
{
    const char *line_end = strchr(head, '\r');
    const char *at = strstr(head, name);

    if (!at || at > line_end || (at[-1] != '?' && at[-1] != '&')) {
        return NULL;
    }
    at += strlen(name);
    *len = strcspn(at, "& \r");
    return at;
}

static long get_number(const char *head, const char *name, long otherwise)
{
    size_t len;
    const char *text = find_param(head, name, &len);

    return text ? strtol(text, NULL, 10) : otherwise;
}

static end_t get_end(const char *head)
{
    size_t len, i;
    const char *text = find_param(head, "end=", &len);

    for (i = 0; text && i < sizeof(end_names) / sizeof(end_names[0]); i++) {
        if (strlen(end_names[i]) == len && memcmp(text, end_names[i], len) == 0) {
            return (end_t)i;
        }
    }
    return END_ANSWER;
}

static void set_mark(conn_t *c)
{
    size_t len = 5;
    const char *text = find_param(c->head, "mark=", &len);

    if (!text || len >= MARK_MAX) {
        text = "hello";
        len = 5;
    }
    memcpy(c->mark, text, len);
    c->mark[len] = '\n';
    c->mark_len = len + 1;
}

static void schedule(conn_t *c)
{
    c->state = WAITING;
    if (c->end == END_HANG) {
        c->state = HANGING;
        return;
    }
    c->due_us = now_us() + c->due_us;
    push(c);
}

/* The head is complete: what does it ask for? */
static void take_request(conn_t *c, char *end)
{
    const char *length;
    size_t rest = c->len - (size_t)(end + 4 - c->head);

    *end = '\0';
    length = strcasestr(c->head, "\r\nContent-Length:");
    c->body_left = (length ? strtoll(length + 17, NULL, 10) : 0) - (int64_t)rest;
    c->due_us = get_number(c->head, "ms=", default_ms) * 1000;
    c->end = get_end(c->head);
    set_mark(c);
    c->size = (size_t)get_number(c->head, "size=", (long)c->mark_len);
    c->len = 0;
    if (c->body_left > 0) {
        c->state = READ_BODY;
    }
    else {
        schedule(c);
    }
}

static void read_head(conn_t *c)
{
    ssize_t n = recv(c->fd, c->head + c->len, HEAD_MAX - 1 - c->len, 0);
    char *end;

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        end_conn(c, 0);
        return;
    }
    c->len += (size_t)n;
    c->head[c->len] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (end) {
        take_request(c, end);
    }
    else if (c->len == HEAD_MAX - 1) {
        end_conn(c, 1);
    }
}

static void read_body(conn_t *c)
{
    static char sink[65536];
    ssize_t n = recv(c->fd, sink, sizeof(sink), 0);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        end_conn(c, 0);
        return;
    }
    c->body_left -= n;
    if (c->body_left <= 0) {
        schedule(c);
    }
}

static void finish_writing(conn_t *c)
{
    if (c->end == END_CUT) {
        end_conn(c, 1);
        return;
    }
    c->state = c->end == END_HEADHANG ? HANGING : READ_HEAD;
    want(c, EPOLLIN);
}

/* As much of the answer as the peer takes now. */
static void write_some(conn_t *c)
{
    static char block[65536];
    size_t stop = c->end == END_CUT ? c->size / 2 : c->end == END_HEADHANG ? 0 : c->size;

    while (c->out_sent < c->out_len || c->sent < stop) {
        const char *from = c->out + c->out_sent;
        size_t len = c->out_len - c->out_sent, i;
        ssize_t n;

        if (len == 0) {
            len = stop - c->sent < sizeof(block) ? stop - c->sent : sizeof(block);
            for (i = 0; i < len; i++) {
                block[i] = c->mark[(c->sent + i) % c->mark_len];
            }
            from = block;
        }
        n = send(c->fd, from, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            want(c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0) {
            end_conn(c, 0);
            return;
        }
        if (from == block) {
            c->sent += (size_t)n;
        }
        else {
            c->out_sent += (size_t)n;
        }
    }
    finish_writing(c);
}

static void answer(conn_t *c)
{
    if (c->end == END_RESET || c->end == END_EOF) {
        end_conn(c, c->end == END_RESET);
        return;
    }
    c->out_len = (size_t)snprintf(c->out, sizeof(c->out),
                                  c->end == END_JUNK ? "what is this %zu?\r\n\r\n"
                                                     : "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                                       "Content-Length: %zu\r\n\r\n",
                                  c->size);
    c->out_sent = c->sent = 0;
    c->state = WRITING;
    write_some(c);
}

static void answer_due(void)
{
    int64_t now = now_us();

    while (heap_len > 0 && heap[0]->due_us <= now) {
        conn_t *c = pop();

        if (c->state == DEAD) {
            free(c);
        }
        else {
            answer(c);
        }
    }
}

static void serve_conn(conn_t *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        end_conn(c, 0);
        return;
    }
    switch (c->state) {
    case READ_HEAD:
        read_head(c);
        break;
    case READ_BODY:
        read_body(c);
        break;
    case WRITING:
        write_some(c);
        break;
    default:
        /* Nothing is expected: the peer left. */
        end_conn(c, 0);
        break;
    }
}

static void accept_all(int listener)
{
    const int on = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event ev = {.events = EPOLLIN};
        conn_t *c = calloc(1, sizeof(*c));

        if (!c) {
            fail("calloc");
        }
        c->fd = fd;
        ev.data.ptr = c;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev)) {
            fail("epoll_ctl");
        }
    }
}

static int listen_on(uint16_t port)
{
    const int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4096)) {
        fail("listen");
    }
    return fd;
}

static int get_wait_ms(void)
{
    int64_t left = heap_len > 0 ? heap[0]->due_us - now_us() : 1000000;

    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_MAX], ev = {.events = EPOLLIN};
    long port = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    int listener, i, n;

    default_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (port < 1 || port > 65535 || default_ms < 0 || argc > 3) {
        fprintf(stderr, "usage: backd PORT [MS]\n");
        return 2;
    }
    listener = listen_on((uint16_t)port);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev)) {
        fail("epoll");
    }
    for (;;) {
        n = epoll_wait(epfd, events, EVENTS_MAX, get_wait_ms());
        for (i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                serve_conn(events[i].data.ptr, events[i].events);
            }
            else {
                accept_all(listener);
            }
        }
        answer_due();
    }
}
