#include "rp_lbm.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ap_provider.h"
#include "ap_slotmem.h"
#include "apr_strings.h"
#include "heartbeat.h"

/* A server that was not heard of for so long, in seconds, gets nothing. */
#define SEEN_MAX 10
#define LINE_MAX_LEN 4096

/* What a server has said of itself, or somebody of it. */
typedef struct beat_t {
    long busy, ready, seen;
} beat_t;

/* Set by the parent before there are children. */
static const char *file_path;
static const ap_slotmem_provider_t *provider;
static ap_slotmem_instance_t *monitor;

void rp_lbm_prepare_heartbeats(apr_pool_t *p, const char *file)
{
    apr_size_t size = 0;
    unsigned int n = 0;

    file_path = ap_runtime_dir_relative(p, file ? file : "hb.dat");
    monitor = NULL;
    provider = ap_lookup_provider(AP_SLOTMEM_PROVIDER_GROUP, "shm", AP_SLOTMEM_PROVIDER_VERSION);
    if (provider && (provider->attach(&monitor, "mod_heartmonitor", &size, &n, p) != APR_SUCCESS ||
                     size < sizeof(hm_slot_server_t))) {
        monitor = NULL;
    }
}

/* "http://host:8080/x": its host. */
static const char *get_host(apr_pool_t *p, const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return *host == '[' ? apr_pstrmemdup(p, host + 1, strcspn(host + 1, "]"))
                        : apr_pstrmemdup(p, host, strcspn(host, ":/"));
}

static long get_number(const char *query, const char *key, long otherwise)
{
    size_t n = strlen(key);
    const char *at;

    for (at = query; at; at = strchr(at, '&')) {
        at += *at == '&';
        if (!strncmp(at, key, n) && at[n] == '=') {
            return strtol(at + n + 1, NULL, 10);
        }
    }
    return otherwise;
}

/* Lines "IP busy=1&ready=9&lastseen=0"; others and comments are passed over. */
static bool read_from_file(apr_file_t *file, const char *host, beat_t *beat)
{
    size_t n = strlen(host);
    char line[LINE_MAX_LEN];
    apr_off_t start = 0;

    (void)apr_file_seek(file, APR_SET, &start);
    while (apr_file_gets(line, sizeof(line), file) == APR_SUCCESS) {
        if (!strncmp(line, host, n) && line[n] == ' ') {
            *beat = (beat_t){get_number(line + n + 1, "busy", 0), get_number(line + n + 1, "ready", 0),
                             get_number(line + n + 1, "lastseen", SEEN_MAX)};
            return true;
        }
    }
    return false;
}

typedef struct search_t {
    const char *host;
    beat_t *beat;
    bool is_found;
} search_t;

static apr_status_t look_at_slot(void *mem, void *data, apr_pool_t *p)
{
    const hm_slot_server_t *slot = mem;
    search_t *search = data;

    (void)p;
    if (!strncmp(slot->ip, search->host, sizeof(slot->ip))) {
        *search->beat = (beat_t){slot->busy, slot->ready, (long)apr_time_sec(apr_time_now() - slot->seen)};
        search->is_found = true;
    }
    return APR_SUCCESS;
}

/* Threads of the member that wait for work. */
static long count_ready(const revproxy_choice_t *choice, int i, apr_file_t *file)
{
    apr_pool_t *p = choice->r->pool;
    beat_t beat = {0, 0, SEEN_MAX};
    search_t search = {get_host(p, choice->candidates[i].name), &beat, false};

    if (monitor) {
        (void)provider->doall(monitor, look_at_slot, &search, p);
    }
    else if (file) {
        search.is_found = read_from_file(file, search.host, &beat);
    }
    if (!search.is_found || beat.seen < 0 || beat.seen >= SEEN_MAX || beat.ready < 0 || beat.ready > APR_INT16_MAX) {
        return 0;
    }
    /* All are ready and none is busy: it has just started, and is not to be flooded. */
    return beat.busy == 0 ? beat.ready / 4 : beat.ready;
}

/* At random, by the number of threads that are ready. */
static int choose(const revproxy_choice_t *choice)
{
    long *ready = apr_pcalloc(choice->r->pool, (apr_size_t)choice->count * sizeof(*ready));
    apr_file_t *file = NULL;
    long total = 0, turn;
    int i;

    if (!monitor) {
        (void)apr_file_open(&file, file_path, APR_FOPEN_READ | APR_FOPEN_BUFFERED, APR_OS_DEFAULT, choice->r->pool);
    }
    for (i = 0; i < choice->count; i++) {
        total += ready[i] = count_ready(choice, i, file);
    }
    if (file) {
        (void)apr_file_close(file);
    }
    if (total == 0) {
        return -1;
    }
    turn = (long)ap_random_pick(0, (apr_uint32_t)total - 1);
    for (i = 0; turn >= ready[i]; i++) {
        turn -= ready[i];
    }
    return i;
}

const revproxy_lbmethod_t rp_lbm_heartbeat = {REVPROXY_LB_ALL_MEMBERS, choose};
