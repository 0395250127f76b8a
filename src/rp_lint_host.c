#include "rp_lint_int.h"

#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ap_listen.h"

/* ---- names that do not resolve ---- */

/* getaddrinfo only blocks, and a thread that hangs in it would outlive this module's code when httpd reads its
 * configuration again. So the look-ups are made by processes that are ended when the time is over. */

#define LOOKUP_TIME APR_TIME_C(2000000)
#define LOOKERS     8

typedef struct lookup_t {
    const char *host;
    const rp_backend_t *backend; /* the first that has it */
} lookup_t;

/* What a process writes for each name. */
typedef struct answer_t {
    int index, error; /* of getaddrinfo; 0: it resolves */
} answer_t;

typedef struct looker_t {
    pid_t pid;
    int fd;
} looker_t;

static bool ends_in_word(const char *host, const char *word)
{
    size_t n = strlen(host), m = strlen(word);

    return n >= m && !ap_cstr_casecmp(host + n - m, word) && (n == m || host[n - m - 1] == '.');
}

/* Names of documentation (RFC 2606) stand for others. */
static bool is_example(const char *host)
{
    return ends_in_word(host, "example") || ends_in_word(host, "example.com") || ends_in_word(host, "example.net") ||
           ends_in_word(host, "example.org");
}

static void add_name(rp_lint_t *lint, apr_array_header_t *lookups, const rp_backend_t *b)
{
    lookup_t *lookup;

    if (b->uds_path || b->has_variable_host || strchr(b->host, ':') || b->host[strspn(b->host, "0123456789.")] == '\0' ||
        is_example(b->host) || apr_hash_get(lint->seen, b->host, APR_HASH_KEY_STRING)) {
        return;
    }
    apr_hash_set(lint->seen, b->host, APR_HASH_KEY_STRING, b);
    lookup = apr_array_push(lookups);
    lookup->host = b->host;
    lookup->backend = b;
}

static void add_names(rp_lint_t *lint, apr_array_header_t *lookups, const apr_array_header_t *backends)
{
    int i;

    for (i = 0; i < backends->nelts; i++) {
        add_name(lint, lookups, APR_ARRAY_IDX(backends, i, const rp_backend_t *));
    }
}

static apr_array_header_t *collect_names(rp_lint_t *lint)
{
    apr_array_header_t *lookups = apr_array_make(lint->p, 8, sizeof(lookup_t));
    const server_rec *s;
    int i;

    for (s = lint->main; s; s = s->next) {
        const rp_server_conf_t *conf = rp_conf_get_server(s);

        add_names(lint, lookups, conf->backends);
        for (i = 0; i < conf->groups->nelts; i++) {
            add_names(lint, lookups, APR_ARRAY_IDX(conf->groups, i, const rp_group_t *)->members);
        }
    }
    return lookups;
}

/* In a process of its own: every step-th name from the first on. */
static void look_up(const apr_array_header_t *lookups, int first, int step, int fd)
{
    int i;

    for (i = first; i < lookups->nelts; i += step) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
        answer_t answer = {i, getaddrinfo(APR_ARRAY_IDX(lookups, i, lookup_t).host, NULL, &hints, &found)};

        if (write(fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer)) {
            return;
        }
    }
}

static bool start_looker(looker_t *looker, const apr_array_header_t *lookups, int first)
{
    int fds[2];

    if (pipe(fds) != 0) {
        return false;
    }
    looker->fd = fds[0];
    looker->pid = fork();
    if (looker->pid == 0) {
        close(fds[0]);
        look_up(lookups, first, LOOKERS, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    if (looker->pid < 0) {
        close(fds[0]);
    }
    return looker->pid > 0;
}

static void end_looker(looker_t *looker)
{
    close(looker->fd);
    kill(looker->pid, SIGKILL);
    while (waitpid(looker->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

static void report_name(const rp_lint_t *lint, const lookup_t *lookup, int error)
{
    const rp_backend_t *b = lookup->backend;

    /* No answer of the name server says nothing of the name. */
    if (error == EAI_NONAME || error == EAI_NODATA || error == EAI_FAIL) {
        rp_lint_say(lint, b->file, b->line,
                    "%s: the name %s does not resolve (%s), so requests get 502 (RP0101): correct it, or add it to "
                    "/etc/hosts or the name server",
                    b->name, lookup->host, gai_strerror(error));
    }
}

/* True: there is more to come. */
static bool read_answer(const rp_lint_t *lint, const looker_t *looker, const apr_array_header_t *lookups)
{
    answer_t answer;

    /* An answer is far smaller than what a pipe takes whole. */
    if (read(looker->fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer)) {
        return false;
    }
    if (answer.error) {
        report_name(lint, &APR_ARRAY_IDX(lookups, answer.index, lookup_t), answer.error);
    }
    return true;
}

static void collect_answers(const rp_lint_t *lint, looker_t *lookers, int n, const apr_array_header_t *lookups)
{
    apr_time_t end = apr_time_now() + LOOKUP_TIME, now;
    int i, left = n;

    while (left > 0 && (now = apr_time_now()) < end) {
        struct pollfd fds[LOOKERS];

        for (i = 0; i < n; i++) {
            fds[i] = (struct pollfd){lookers[i].fd, POLLIN, 0};
        }
        if (poll(fds, (nfds_t)n, (int)apr_time_as_msec(end - now) + 1) <= 0) {
            continue;
        }
        for (i = 0; i < n; i++) {
            if (fds[i].revents && !read_answer(lint, &lookers[i], lookups)) {
                end_looker(&lookers[i]);
                lookers[i].fd = -1;
                left--;
            }
        }
    }
    for (i = 0; i < n; i++) {
        if (lookers[i].fd >= 0) {
            end_looker(&lookers[i]);
        }
    }
}

/* At a start nobody shall wait for a name server, and a name may come up later than httpd. */
static void check_resolve(rp_lint_t *lint)
{
    looker_t lookers[LOOKERS];
    apr_array_header_t *lookups;
    int n = 0;

    if (!lint->is_configtest) {
        return;
    }
    lookups = collect_names(lint);
    while (n < LOOKERS && n < lookups->nelts && start_looker(&lookers[n], lookups, n)) {
        n++;
    }
    collect_answers(lint, lookers, n, lookups);
}

/* ---- loops ---- */

static bool is_own_name(const server_rec *s, const char *host)
{
    const apr_array_header_t *names = s->names;
    int i;

    if (s->server_hostname && !ap_cstr_casecmp(s->server_hostname, host)) {
        return true;
    }
    for (i = 0; names && i < names->nelts; i++) {
        if (APR_ARRAY_IDX(names, i, const char *) && !ap_cstr_casecmp(APR_ARRAY_IDX(names, i, const char *), host)) {
            return true;
        }
    }
    return false;
}

static bool is_loopback(const char *host)
{
    return !ap_cstr_casecmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1") ||
           !strcmp(host, "0.0.0.0");
}

/* A listener without address is at all of them. */
bool rp_lint_is_own_address(const rp_lint_t *lint, const char *host, apr_port_t port)
{
    const ap_listen_rec *l;
    char *address;

    for (l = ap_listeners; l; l = l->next) {
        if (!l->bind_addr || l->bind_addr->port != port || apr_sockaddr_ip_get(&address, l->bind_addr) != APR_SUCCESS) {
            continue;
        }
        if (!strcmp(address, host) || is_own_name(lint->s, host) ||
            (is_loopback(host) && (is_loopback(address) || !strcmp(address, "0.0.0.0") || !strcmp(address, "::")))) {
            return true;
        }
    }
    return false;
}

static void note_taken(void *ctx, const rp_route_t *route, int rc)
{
    if (rc == OK || rc == DONE) {
        *(const rp_route_t **)ctx = route;
    }
}

/* The route that a request for this path at this backend would take here. */
static const rp_route_t *follow(const rp_lint_t *lint, const rp_backend_t *b, const char *host, const char *path)
{
    const rp_route_t *taken = NULL;
    rp_route_watch_t watch = {note_taken, &taken};
    request_rec *r = rp_lint_make_request(lint->p, lint->main, host, b->port, *path == '/' ? path : "/");

    if (r && rp_lint_prepare_request(r) == OK && rp_route_search(r, true, &watch) == DECLINED && rp_lint_settle_request(r) == OK) {
        rp_route_search(r, false, &watch);
    }
    return taken;
}

static bool comes_back(const rp_lint_t *lint, const rp_backend_t *b, const char *path)
{
    const char *host = rp_lint_keeps_host(lint) && lint->s->server_hostname ? lint->s->server_hostname : b->host;

    return !b->uds_path && !b->has_variable_host && !b->has_variable_path && rp_lint_is_own_address(lint, b->host, b->port) &&
           follow(lint, b, host, path) == lint->route;
}

static void report_loop(const rp_lint_t *lint, const rp_backend_t *b)
{
    rp_lint_say_route(lint,
                      "a loop%s%s: this httpd itself listens at %s:%u, and the request takes this route again, until all "
                      "connections are in use: write the backend's own port",
                      b->group ? " by way of the member " : "", b->group ? b->name : "", b->host, b->port);
}

static void check_loop(rp_lint_t *lint)
{
    const rp_route_t *route = lint->route;
    const rp_group_t *group = rp_lint_get_group(lint, route);
    int i;

    if (route->backend && comes_back(lint, route->backend, route->backend->path)) {
        report_loop(lint, route->backend);
    }
    for (i = 0; group && i < group->members->nelts; i++) {
        const rp_backend_t *member = APR_ARRAY_IDX(group->members, i, const rp_backend_t *);

        if (comes_back(lint, member, apr_pstrcat(lint->p, member->path, rp_lint_find_path(route->target), NULL))) {
            report_loop(lint, member);
        }
    }
}

const rp_lint_check_t rp_lint_host_checks[] = {
    {"loop", APLOG_WARNING, RP_LINT_ROUTE, check_loop},
    {"resolve", APLOG_WARNING, RP_LINT_WHOLE, check_resolve},
    {.name = NULL},
};
