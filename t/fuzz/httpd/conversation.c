/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Fuzz target: whole conversations of a hostile backend with the exchange, in a real httpd.
 *
 * The input: one byte that chooses what the client sends (its low four bits) and where (the high
 * ones), then what the backend does, step by step, each time the exchange waits. Bytes are sent as
 * they are; 0xFE begins a command: 'p' pause (what follows comes in a read of its own), 'c' close,
 * 'h' half-close, 't' time passes until a limit is reached, 'x' the client closes, 'y' it
 * half-closes, 'b' it sends the next piece of its request, 'z' N sends the bytes before it N times
 * more. At the end everything is closed.
 *
 * Judged: what the client gets is well-formed HTTP/1 with at most one answer to each request
 * (second parser: http_parser); a connection is used again only where all that the backend had sent
 * was complete, and no more; whatever came before, the next client of the same pool gets its own
 * answer; nothing stays leased.
 */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <http_parser.h>

#include "fuzz.h"

#include "apr_portable.h"
#include "apr_strings.h"
#include "http_connection.h"
#include "http_core.h"
#include "scoreboard.h"

#include "rp_pool.h"

#undef poll
#undef ppoll
int poll(struct pollfd *fds, nfds_t n, int ms);

#define COMMAND   0xFE
#define FLOOD_MAX (256 * 1024)
#define LINKS     16
#define SEEN_MAX  (4 * 1024 * 1024)

/* ---- a growing buffer ---- */

typedef struct {
    char *p;
    size_t n, size;
} bytes_t;

static void append(bytes_t *b, const void *p, size_t n)
{
    MUST(b->n + n <= SEEN_MAX);
    if (b->n + n > b->size) {
        b->size = (b->n + n) * 2;
        b->p = realloc(b->p, b->size);
        MUST(b->p);
    }
    if (n) {
        memcpy(b->p + b->n, p, n);
    }
    b->n += n;
}

/* Everything that can be read at once. false: the other end is gone. */
static bool read_all(int fd, bytes_t *to)
{
    char buf[16384];
    ssize_t n;

    while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        append(to, buf, (size_t)n);
    }
    return n != 0;
}

/* ---- the backend ---- */

/* A connection that the exchange made. */
typedef struct {
    int fd;
    bytes_t asked;    /* requests */
    bytes_t told;     /* what the backend sent */
    unsigned requests;
    size_t head_at;   /* where in `asked` the last head begins that was looked for */
    bool was_head;    /* last request */
} link_t;

static int listener = -1;
static link_t links[LINKS];
static int link_count;

static const char *socket_path(void)
{
    return getenv("RP_FUZZ_SOCKET");
}

static void listen_once(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    if (listener < 0) {
        MUST(strlen(socket_path()) < sizeof(sa.sun_path));
        strcpy(sa.sun_path, socket_path());
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        MUST(bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(listener, 64) == 0);
    }
}

static int count_messages(http_parser *p)
{
    (*(unsigned *)p->data)++;
    return 0;
}

static int skip_body(http_parser *p)
{
    return p->status_code == 204 || p->status_code == 304;
}

/* In a reason we do not take it for a line end, as the second parser does. */
static bool has_bare_cr(const bytes_t *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->p[i] == '\r' && (i + 1 == b->n || b->p[i + 1] != '\n')) {
            return true;
        }
    }
    return false;
}

/* A request has come on a connection that served others: was all that the backend had sent before
 * a whole number of messages? */
static void must_be_clean(const link_t *l)
{
    static const http_parser_settings settings = {.on_headers_complete = skip_body, .on_message_complete = count_messages};
    unsigned messages = 0;
    http_parser p;
    size_t n;

    http_parser_init(&p, HTTP_RESPONSE);
    p.data = &messages;
    n = http_parser_execute(&p, &settings, l->told.p, l->told.n);
    /* What the second parser refuses altogether is another target's matter (h1_second). */
    if (HTTP_PARSER_ERRNO(&p) == HPE_OK && !has_bare_cr(&l->told)) {
        MUST(n == l->told.n && messages >= l->requests);
        MUST(http_body_is_final(&p) || http_should_keep_alive(&p));
    }
}

static bool begins_with(const bytes_t *b, size_t at, const char *text)
{
    return b->n - at >= strlen(text) && !memcmp(b->p + at, text, strlen(text));
}

/* Count requests by the mark that each of them carries. */
static void look_for_requests(link_t *l)
{
    size_t at;

    for (at = l->head_at; at + 4 <= l->asked.n; at++) {
        if ((at == 0 || l->asked.p[at - 1] == '\n') && (begins_with(&l->asked, at, "GET ") || begins_with(&l->asked, at, "HEAD ") ||
                                                         begins_with(&l->asked, at, "POST "))) {
            if (l->requests > 0 && !l->was_head) {
                must_be_clean(l);
            }
            l->requests++;
            l->was_head |= begins_with(&l->asked, at, "HEAD ");
        }
    }
    l->head_at = at;
}

static link_t *accept_links(void)
{
    int fd;

    while (link_count < LINKS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int size = FLOOD_MAX * 2;

        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        links[link_count++] = (link_t){.fd = fd};
    }
    for (int i = 0; i < link_count; i++) {
        if (links[i].fd >= 0) {
            (void)read_all(links[i].fd, &links[i].asked);
            look_for_requests(&links[i]);
        }
    }
    return link_count ? &links[link_count - 1] : NULL;
}

static void hang_up(link_t *l)
{
    if (l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
    }
}

static void tell(link_t *l, const void *p, size_t n)
{
    ssize_t sent = l && l->fd >= 0 ? send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    if (sent > 0) {
        append(&l->told, p, (size_t)sent);
    }
}

static void forget_links(void)
{
    accept_links();
    for (int i = 0; i < link_count; i++) {
        hang_up(&links[i]);
        free(links[i].asked.p);
        free(links[i].told.p);
    }
    link_count = 0;
}

/* ---- the client ---- */

typedef struct {
    const char *const *pieces; /* NULL ends: sent one by one */
    unsigned requests;
    unsigned heads;            /* bit n: request n is HEAD */
} plan_t;

/* %s is the place. Each last request asks for the end of the connection. */
static const plan_t plans[] = {
    {(const char *const[]){"GET /%s/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /%s/2 HTTP/1.1\r\nHost: h\r\n\r\n"
                           "GET /%s/3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL}, 3, 0},
    {(const char *const[]){"HEAD /%s/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /%s/2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL}, 2, 1},
    {(const char *const[]){"POST /%s/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234", "56789",
                           "GET /%s/2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL}, 2, 0},
    {(const char *const[]){"POST /%s/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n", "5\r\n01234\r\n", "0\r\n\r\n",
                           "GET /%s/2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL}, 2, 0},
    {(const char *const[]){"POST /%s/1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\nConnection: close\r\n\r\n",
                           "0123456789", NULL}, 1, 0},
    {(const char *const[]){"GET /%s/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", "\x81\x85\1\2\3\4hello", "\x88\x80\1\2\3\4", NULL}, 1, 0},
    {(const char *const[]){"GET /%s/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /%s/2 HTTP/1.0\r\n\r\n", NULL}, 2, 0},
    {(const char *const[]){"GET /%s/1 HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nIf-None-Match: \"a\"\r\nRange: bytes=0-1\r\n"
                           "Cookie: a=b.m1\r\nConnection: close\r\n\r\n", NULL}, 1, 0},
};

/* Places in the configuration of RevProxy::Fuzz: plain; mapped back; answers replaced; to a ws:
 * target; to a group; one use of a connection only; lines without colon ignored, or a body. */
static const char *const places[] = {"plain", "mapped", "replaced", "ws", "group", "once", "ignore", "start"};

static int client = -1;
static bytes_t got;
static const plan_t *plan;
static const char *place;
static int next_piece;

static void put(const char *text, size_t n)
{
    if (client >= 0) {
        (void)send(client, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static bool send_piece(void)
{
    const char *text = plan->pieces[next_piece];
    char buf[2048];
    int n;

    if (!text) {
        return false;
    }
    n = snprintf(buf, sizeof(buf), text, place, place, place);
    put(buf, (size_t)n);
    next_piece++;
    return true;
}

/* httpd will wait for the next request, or what is left of this one, and not by fuzz_wait. */
void fuzz_after_request(void)
{
    while (client >= 0 && send_piece()) {
    }
}

/* ---- the script ---- */

static const uint8_t *script;
static size_t left;
static bool is_over;   /* all is closed */
static bool is_probe;  /* the backend behaves, and marks its answers */
static unsigned steps, probes;
static const uint8_t *said;
static size_t said_n;

static void answer_probe(link_t *l)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nprobe %10u", probes);

    tell(l, text, (size_t)n);
}

static void flood(link_t *l, unsigned times)
{
    size_t sent = 0;

    while (times-- && sent < FLOOD_MAX) {
        tell(l, said, said_n);
        sent += said_n;
    }
}

/* Run the command at script[1]. Returns its length. */
static size_t run_command(link_t *l, bool *is_timeout)
{
    switch (script[1]) {
    case 'c':
        if (l) {
            hang_up(l);
        }
        break;
    case 'h':
        if (l && l->fd >= 0) {
            shutdown(l->fd, SHUT_WR);
        }
        break;
    case 't':
        *is_timeout = true;
        break;
    case 'x':
        shutdown(client, SHUT_RDWR);
        break;
    case 'y':
        shutdown(client, SHUT_WR);
        break;
    case 'b':
        (void)send_piece();
        break;
    case 'z':
        if (left > 2) {
            flood(l, script[2]);
            return 3;
        }
        break;
    default:
        break;
    }
    return 2;
}

/* What is to happen next. true: time passes. */
static bool take_step(link_t *l)
{
    bool is_timeout = false;
    const uint8_t *end;
    size_t n;

    if (left > 1 && script[0] == COMMAND) {
        n = run_command(l, &is_timeout);
    }
    else {
        end = left > 1 ? memchr(script + 1, COMMAND, left - 1) : NULL;
        n = end ? (size_t)(end - script) : left;
        said = script;
        said_n = n;
        tell(l, script, n);
    }
    script += n;
    left -= n;
    return is_timeout;
}

/* The script is at its end: what would a peer do that only closes? */
static bool close_all(link_t *l)
{
    if (send_piece()) {
        return false;
    }
    if (!is_over && l) {
        hang_up(l);
        is_over = true;
        return false;
    }
    shutdown(client, SHUT_RDWR);
    return true;
}

int fuzz_wait(struct pollfd *fds, unsigned n, apr_interval_time_t us)
{
    bool is_timeout = false;

    for (;;) {
        link_t *l = accept_links();
        int r;

        if (client >= 0) {
            (void)read_all(client, &got);
        }
        r = poll(fds, n, 0);
        if (r != 0) {
            return r;
        }
        MUST(++steps < 100000); /* it goes round in circles */
        if (is_timeout) {
            fuzz_pass_time(us < 0 ? APR_USEC_PER_SEC : us);
            return 0;
        }
        if (is_probe && l && l->asked.n) {
            l->asked.n = 0;
            l->head_at = 0;
            answer_probe(l);
        }
        else if (!is_probe && left) {
            is_timeout = take_step(l);
        }
        else {
            is_timeout = close_all(l);
        }
    }
}

/* ---- one client connection through httpd ---- */

static void make_client_socket(apr_socket_t **sock, apr_pool_t *p)
{
    static struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = 80}, there = {.sin_family = AF_INET, .sin_port = 1024};
    apr_os_sock_info_t info = {.local = (struct sockaddr *)&here, .remote = (struct sockaddr *)&there,
                               .family = AF_INET, .type = SOCK_STREAM, .protocol = 0};
    int pair[2], size = 1024 * 1024;

    here.sin_addr.s_addr = there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    client = pair[1];
    info.os_sock = &pair[0];
    MUST(apr_os_sock_make(sock, &info, p) == APR_SUCCESS);
    apr_socket_timeout_set(*sock, apr_time_from_sec(2));
}

static void serve(void)
{
    apr_bucket_alloc_t *ba;
    apr_socket_t *sock;
    ap_sb_handle_t *sbh;
    apr_pool_t *p;
    conn_rec *c;

    apr_pool_create(&p, fuzz_pool);
    ba = apr_bucket_alloc_create(p);
    make_client_socket(&sock, p);
    next_piece = 0;
    got.n = 0;
    MUST(send_piece());
    ap_create_sb_handle(&sbh, p, 0, 0);
    c = ap_run_create_connection(p, fuzz_server, sock, 1, sbh, ba);
    MUST(c);
    ap_process_connection(c, sock);
    (void)ap_start_lingering_close(c);
    (void)read_all(client, &got);
    apr_pool_destroy(p);
    (void)read_all(client, &got);
    close(client);
    client = -1;
}

/* ---- judgement ---- */

typedef struct {
    unsigned finals;
    bool is_tunnel;
    bool is_bad;
} verdict_t;

static int on_text(http_parser *p, const char *at, size_t n)
{
    verdict_t *v = p->data;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)at[i];

        v->is_bad |= (c < 0x20 && c != '\t') || c == 0x7f;
    }
    return 0;
}

static int on_client_head(http_parser *p)
{
    verdict_t *v = p->data;
    bool was_head = plan->heads >> v->finals & 1;

    if (p->status_code == 101) {
        v->is_tunnel = true;
        return 2;
    }
    if (p->status_code < 200) {
        return 0;
    }
    v->finals++;
    return was_head || p->status_code == 204 || p->status_code == 304;
}

static void judge(void)
{
    static const http_parser_settings settings = {.on_headers_complete = on_client_head, .on_status = on_text, .on_header_value = on_text,
                                                  .on_header_field = on_text};
    verdict_t v = {0, false, false};
    http_parser p;
    enum http_errno err;

    http_parser_init(&p, HTTP_RESPONSE);
    p.data = &v;
    http_parser_set_max_header_size(1 << 30);
    (void)http_parser_execute(&p, &settings, got.p, got.n);
    err = HTTP_PARSER_ERRNO(&p);
    if (v.is_tunnel) {
        return;
    }
    if (err != HPE_OK || v.is_bad || v.finals > plan->requests) {
        fprintf(stderr, "to the client (%s, %u answers):\n%.*s\n", http_errno_name(err), v.finals, (int)got.n, got.p);
        abort();
    }
}

static void probe(void)
{
    static const char *const pieces[] = {"GET /plain/probe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL};
    static const plan_t good = {pieces, 1, 0};
    char mark[32];

    is_probe = true;
    plan = &good;
    probes++;
    snprintf(mark, sizeof(mark), "\r\n\r\nprobe %10u", probes);
    steps = 0;
    is_over = false;
    serve();
    if (got.n < strlen(mark) || memcmp(got.p, "HTTP/1.1 200 ", 13) != 0 || memcmp(got.p + got.n - strlen(mark), mark, strlen(mark)) != 0) {
        fprintf(stderr, "the next client got:\n%.*s\n", (int)got.n, got.p);
        abort();
    }
}

int fuzz_conversation(const uint8_t *bytes, size_t size)
{
    rp_pool_count_t count;

    if (size < 2) {
        return 0;
    }
    listen_once();
    plan = &plans[(bytes[0] & 15) % (sizeof(plans) / sizeof(plans[0]))];
    place = places[(bytes[0] >> 4) % (sizeof(places) / sizeof(places[0]))];
    script = bytes + 1;
    left = size - 1;
    is_probe = is_over = false;
    said_n = 0;
    steps = 0;
    serve();
    judge();
    rp_pool_count(&count);
    MUST(count.leased == 0 && count.waiting == 0);
    probe();
    forget_links();
    return 0;
}
