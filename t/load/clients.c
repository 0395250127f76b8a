/*
 * clients: carries out a timetable of requests; one thread, one epoll descriptor.
 *
 *     clients PORT GIVEUP_S [KEPT_MAX] < timetable > results
 *
 * KEPT_MAX: so many connections for requests with KEEP; such a request waits for one of them.
 *
 * A line of the timetable is one request to 127.0.0.1:PORT, in the order of their times:
 *     AT_US KEEP UP_BYTES UP_RATE READ_RATE LEAVE_US HOW SIZE MARK PATH
 *   AT_US      when it starts, microseconds after the program's own start. It starts then, whatever
 *              became of those before it, and its latency counts from then.
 *   KEEP       1: on an idle connection if there is one, which stays open afterwards
 *   UP_BYTES   of a request body (0: GET); UP_RATE bytes per second (0: at once)
 *   READ_RATE  bytes per second (0: at once), with a small receive buffer
 *   LEAVE_US   the client leaves so long after the start (0: never); HOW: f by closing, r by RST,
 *              h it only shuts its sending side and goes on reading
 *   SIZE MARK  what a 200's body has to be: MARK and a line feed, repeated to SIZE bytes (-1: anything)
 * A line of the results, in the order of their ends:
 *     INDEX STATUS OUTCOME LATENCY_US BODY_BYTES
 *   OUTCOME    ok, bad (another body than expected, or no HTTP), cut (ended inside the response), closed
 *              (before any byte of it), reset (likewise, by RST), refused (or no descriptor here), left (as told), late
 *              (GIVEUP_S seconds after its start)
 * At SIGTERM those under way leave, each in its HOW, and the program ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define STARTS_MAX 64
#define HEAD_MAX 8192
#define TICK_US 10000
#define RATE_STEP_US 100000
#define RECEIVE_BUFFER 8192

typedef struct {
    int64_t at, leave;
    int keep;
    char how;
    int64_t up_bytes, up_rate, read_rate, size;
    const char *mark, *path;
    size_t mark_len;
} job_t;

typedef struct client_t client_t;
struct client_t {
    int fd;
    int is_kept;            /* opened for a request with KEEP */
    int is_reused;          /* has served before: may have been closed in the meantime */
    uint32_t events;
    job_t *job;             /* NULL: idle */
    int64_t started;
    char *out;              /* head of the request */
    int64_t out_len, out_sent, up_sent;
    size_t head_len;        /* bytes in head; 0: no response yet */
    int in_body, status, has_length, closes, is_wrong;
    int64_t left, got;      /* of the body */
    client_t *next, **link; /* list: active or idle */
    char head[HEAD_MAX];
};

static int epfd, active_count, kept_count, kept_max;
static struct sockaddr_in address = {.sin_family = AF_INET};
static int64_t epoch, give_up;
static job_t *jobs;
static size_t job_count;
static client_t *active, *idle;
static volatile sig_atomic_t is_told_to_end;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 - epoch;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- timetable ---- */

static int64_t next_number(char **line)
{
    char *word = strsep(line, " ");

    return word ? strtoll(word, NULL, 10) : 0;
}

static void parse_job(char *line, job_t *j)
{
    char *how;

    j->at = next_number(&line);
    j->keep = (int)next_number(&line);
    j->up_bytes = next_number(&line);
    j->up_rate = next_number(&line);
    j->read_rate = next_number(&line);
    j->leave = next_number(&line);
    how = strsep(&line, " ");
    j->how = how ? *how : 'f';
    j->size = next_number(&line);
    j->mark = strsep(&line, " ");
    j->path = strsep(&line, "\n");
    if (!j->mark || !j->path) {
        fprintf(stderr, "clients: bad line %zu\n", job_count + 1);
        exit(2);
    }
    j->mark_len = strlen(j->mark) + 1;
}

static void read_timetable(void)
{
    size_t size = 0, room = 0;
    char *line = NULL;

    while (getline(&line, &size, stdin) > 0) {
        if (job_count == room) {
            room = room ? 2 * room : 1024;
            jobs = realloc(jobs, room * sizeof(*jobs));
            if (!jobs) {
                fail("realloc");
            }
        }
        parse_job(line, &jobs[job_count++]);
        line = NULL;
        size = 0;
    }
}

/* ---- lists ---- */

static void link_client(client_t *c, client_t **list)
{
    c->next = *list;
    if (c->next) {
        c->next->link = &c->next;
    }
    *list = c;
    c->link = list;
}

static void unlink_client(client_t *c)
{
    *c->link = c->next;
    if (c->next) {
        c->next->link = c->link;
    }
}

/* ---- one request ---- */

static void report(const client_t *c, const char *outcome)
{
    printf("%zu %d %s %lld %lld\n", (size_t)(c->job - jobs), c->status, outcome,
           (long long)(now_us() - c->job->at), (long long)c->got);
}

static void close_client(client_t *c, int with_reset)
{
    struct linger at_once = {1, 0};

    if (with_reset) {
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    unlink_client(c);
    active_count -= c->job != NULL;
    kept_count -= c->is_kept;
    free(c->out);
    free(c);
}

static void end_client(client_t *c, const char *outcome, int with_reset)
{
    report(c, outcome);
    close_client(c, with_reset);
}

static void set_events(client_t *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (events != c->events && epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev)) {
        fail("epoll_ctl");
    }
    c->events = events;
}

/* How many bytes a rate allows by now, in steps. */
static int64_t get_allowance(const client_t *c, int64_t rate, int64_t done)
{
    int64_t steps = (now_us() - c->started) / RATE_STEP_US;

    return rate ? rate * steps / (1000000 / RATE_STEP_US) - done : 1 << 20;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void start_request(client_t *c, job_t *job)
{
    char length[64] = "";

    c->job = job;
    c->started = now_us();
    c->head_len = 0;
    c->in_body = c->status = c->is_wrong = 0;
    c->got = c->up_sent = 0;
    c->out_sent = 0;
    if (job->up_bytes) {
        (void)snprintf(length, sizeof(length), "Content-Length: %lld\r\n", (long long)job->up_bytes);
    }
    free(c->out);
    if (asprintf(&c->out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n", job->up_bytes ? "POST" : "GET",
                 job->path, ntohs(address.sin_port), length, job->keep ? "" : "Connection: close\r\n") < 0) {
        fail("asprintf");
    }
    c->out_len = (int64_t)strlen(c->out);
    link_client(c, &active);
    active_count++;
    set_events(c, EPOLLIN | EPOLLOUT);
}

static int open_socket(const job_t *job)
{
    const int on = 1, small = RECEIVE_BUFFER;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (job->read_rate) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void start_job(job_t *job, int may_reuse)
{
    client_t *c = may_reuse && job->keep && !job->read_rate ? idle : NULL;
    struct epoll_event ev = {.events = EPOLLIN};

    if (c) {
        unlink_client(c);
        c->is_reused = 1;
        start_request(c, job);
        return;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        fail("calloc");
    }
    c->fd = open_socket(job);
    if (c->fd < 0) {
        c->job = job;
        report(c, "refused");
        free(c);
        return;
    }
    c->is_kept = job->keep;
    kept_count += c->is_kept;
    ev.data.ptr = c;
    c->events = ev.events;
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev)) {
        fail("epoll_ctl");
    }
    start_request(c, job);
}

static int is_all_sent(const client_t *c)
{
    return c->out_sent == c->out_len && c->up_sent == c->job->up_bytes;
}

/* The connection ended, in order or not. */
static void lose(client_t *c, int error)
{
    job_t *job = c->job;
    int again = c->is_reused && c->head_len == 0;

    if (again) {
        close_client(c, 0);
        start_job(job, 0);
    }
    else if (c->in_body && !c->has_length && !error) {
        end_client(c, c->is_wrong ? "bad" : "ok", 0);
    }
    else if (c->head_len) {
        end_client(c, "cut", 0);
    }
    else {
        end_client(c, error == ECONNREFUSED ? "refused" : error ? "reset" : "closed", 0);
    }
}

static void write_some(client_t *c)
{
    static char block[65536];

    while (!is_all_sent(c)) {
        int in_head = c->out_sent < c->out_len;
        int64_t len = c->out_len - c->out_sent;
        ssize_t n;

        if (!in_head) {
            len = least(get_allowance(c, c->job->up_rate, c->up_sent), c->job->up_bytes - c->up_sent);
            len = least(len, (int64_t)sizeof(block));
        }
        if (len <= 0) {
            break;
        }
        n = send(c->fd, in_head ? c->out + c->out_sent : block, (size_t)len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n < 0) {
            /* What was answered before may still be read. */
            c->up_sent = c->job->up_bytes;
            c->out_sent = c->out_len;
            break;
        }
        *(in_head ? &c->out_sent : &c->up_sent) += n;
    }
    set_events(c, c->events & ~(uint32_t)EPOLLOUT);
}

static void take_head(client_t *c, const char *end)
{
    const char *length = strcasestr(c->head, "\r\nContent-Length:");

    c->in_body = 1;
    c->status = strncmp(c->head, "HTTP/1.1 ", 9) == 0 ? (int)strtol(c->head + 9, NULL, 10) : 0;
    c->is_wrong = c->status == 0;
    c->has_length = length && length < end;
    c->left = c->has_length ? strtoll(length + 17, NULL, 10) : INT64_MAX;
    c->closes = !c->has_length || strcasestr(c->head, "\r\nConnection: close") != NULL;
    if (c->status == 200 && c->job->size >= 0 && c->left != c->job->size) {
        c->is_wrong = 1;
    }
}

static void check_body(client_t *c, const char *bytes, int64_t len)
{
    const job_t *job = c->job;
    int64_t i;

    if (c->status == 200 && job->size >= 0) {
        for (i = 0; i < len; i++) {
            size_t at = (size_t)((c->got + i) % (int64_t)job->mark_len);

            c->is_wrong |= bytes[i] != (at + 1 == job->mark_len ? '\n' : job->mark[at]);
        }
    }
    c->is_wrong |= len > c->left;
    c->got += len;
    c->left -= len;
}

static void finish(client_t *c)
{
    report(c, c->is_wrong ? "bad" : "ok");
    if (c->closes || !c->job->keep || c->is_wrong || c->job->read_rate || !is_all_sent(c)) {
        close_client(c, 0);
        return;
    }
    unlink_client(c);
    active_count--;
    c->job = NULL;
    set_events(c, EPOLLIN);
    link_client(c, &idle);
}

static void take_bytes(client_t *c, const char *bytes, int64_t len)
{
    char *end;
    size_t room = HEAD_MAX - 1 - c->head_len, used, before = c->head_len;

    if (c->in_body) {
        check_body(c, bytes, len);
        return;
    }
    used = (size_t)len < room ? (size_t)len : room;
    memcpy(c->head + c->head_len, bytes, used);
    c->head_len += used;
    c->head[c->head_len] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (end) {
        size_t of_head = (size_t)(end + 4 - c->head) - before;

        take_head(c, end);
        check_body(c, bytes + of_head, len - (int64_t)of_head);
    }
    else if (c->head_len == HEAD_MAX - 1) {
        c->in_body = c->is_wrong = 1;
        c->left = 0;
    }
}

static void read_some(client_t *c)
{
    static char block[65536];
    int64_t most = get_allowance(c, c->job->read_rate, c->got);
    ssize_t n;

    if (most <= 0) {
        set_events(c, c->events & ~(uint32_t)EPOLLIN);
        return;
    }
    n = recv(c->fd, block, (size_t)least(most, (int64_t)sizeof(block)), 0);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        lose(c, n < 0 ? errno : 0);
        return;
    }
    take_bytes(c, block, n);
    if (c->in_body && c->left <= 0) {
        finish(c);
    }
}

static void serve(client_t *c, uint32_t events)
{
    if (!c->job) {
        close_client(c, 0); /* the server does not keep it any longer */
        return;
    }
    if (events & EPOLLOUT) {
        write_some(c);
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        read_some(c);
    }
}

/* ---- time ---- */

static void look_at(client_t *c, int64_t now)
{
    const job_t *j = c->job;

    if (j->leave && now - c->started >= j->leave) {
        if (j->how != 'h') {
            end_client(c, "left", j->how == 'r');
            return;
        }
        shutdown(c->fd, SHUT_WR);
        c->job->leave = 0;
    }
    if (now - j->at >= give_up) {
        end_client(c, "late", 1);
        return;
    }
    if (j->up_rate && !is_all_sent(c) && get_allowance(c, j->up_rate, c->up_sent) > 0) {
        set_events(c, c->events | EPOLLOUT);
    }
    if (j->read_rate && get_allowance(c, j->read_rate, c->got) > 0) {
        set_events(c, c->events | EPOLLIN);
    }
}

static void tick(void)
{
    static int64_t last;
    int64_t now = now_us();
    client_t *c, *next;

    if (now - last < TICK_US) {
        return;
    }
    last = now;
    for (c = active; c; c = next) {
        next = c->next;
        look_at(c, now);
    }
}

/* Until something is ready, or the next request is due; epoll_wait counts in milliseconds only. */
static void wait_for_work(size_t at)
{
    struct pollfd ready = {epfd, POLLIN, 0};
    struct timespec time = {0, 0};
    int64_t left = TICK_US;

    if (at < job_count && jobs[at].at - now_us() < left) {
        left = jobs[at].at - now_us();
    }
    time.tv_nsec = left > 0 ? left * 1000 : 0;
    (void)ppoll(&ready, 1, &time, NULL);
}

static void note_signal(int sig)
{
    (void)sig;
    is_told_to_end = 1;
}

static void leave_all(void)
{
    while (active) {
        end_client(active, "left", active->job->how == 'r');
    }
}

/* Those that are due, but not so many that nobody looks at what is ready. */
static size_t start_due(size_t at)
{
    int i;

    for (i = 0; i < STARTS_MAX && at < job_count && jobs[at].at <= now_us(); i++) {
        if (jobs[at].keep && kept_max && !idle && kept_count >= kept_max) {
            break;
        }
        start_job(&jobs[at++], 1);
    }
    return at;
}

static void run(void)
{
    struct epoll_event events[EVENTS_MAX];
    size_t at = 0;
    int i, n;

    while (!is_told_to_end && (at < job_count || active_count > 0)) {
        wait_for_work(at);
        n = epoll_wait(epfd, events, EVENTS_MAX, 0);
        for (i = 0; i < n; i++) {
            serve(events[i].data.ptr, events[i].events);
        }
        at = start_due(at);
        tick();
    }
    leave_all();
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: clients PORT GIVEUP_S [KEPT_MAX] < timetable\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    give_up = strtoll(argv[2], NULL, 10) * 1000000;
    kept_max = argc == 4 ? (int)strtol(argv[3], NULL, 10) : 0;
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0) {
        fail("epoll_create1");
    }
    (void)signal(SIGTERM, note_signal);
    read_timetable();
    epoch = now_us();
    run();
    return 0;
}
