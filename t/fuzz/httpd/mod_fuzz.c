/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * A module that fuzzes its neighbour mod_revproxy, which lies in the same file, in the one process
 * of "httpd -X" under prefork: real filters, real protocol code, real configuration. RP_FUZZ_TARGET
 * chooses the target; RP_FUZZ_ARGS are libFuzzer's arguments or, where it is not linked
 * (RP_FUZZ_REPLAY), directories to replay. t/lib/RevProxy/Fuzz.pm starts it.
 */

#include <dirent.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#include "apr_strings.h"
#include "http_config.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_main.h"
#include "mpm_common.h"

#undef poll
#undef ppoll
#undef apr_time_now

apr_pool_t *fuzz_pool;
server_rec *fuzz_server;

/* ---- clock and waiting, for the module ---- */

int rp_fuzz_poll(struct pollfd *fds, nfds_t n, int ms);
int rp_fuzz_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask);
apr_time_t rp_fuzz_now(void);
int poll(struct pollfd *fds, nfds_t n, int ms);
apr_time_t apr_time_now(void);

static apr_time_t now;

void fuzz_pass_time(apr_interval_time_t us)
{
    now += us;
}

apr_time_t rp_fuzz_now(void)
{
    if (!now) {
        now = apr_time_now();
    }
    return ++now;
}

static int wait_for(struct pollfd *fds, nfds_t n, apr_interval_time_t us)
{
    return us == 0 ? poll(fds, n, 0) : fuzz_wait(fds, (unsigned)n, us);
}

int rp_fuzz_poll(struct pollfd *fds, nfds_t n, int ms)
{
    return wait_for(fds, n, ms < 0 ? -1 : apr_time_from_msec(ms));
}

int rp_fuzz_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask)
{
    (void)mask;
    return wait_for(fds, n, apr_time_from_sec(ts->tv_sec) + ts->tv_nsec / 1000);
}

/* ---- running ---- */

static int (*target)(const uint8_t *bytes, size_t size);

#ifndef RP_FUZZ_REPLAY
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*run)(const uint8_t *bytes, size_t size));

static int run_all(int argc, char **argv)
{
    return LLVMFuzzerRunDriver(&argc, &argv, target);
}
#else
static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    uint8_t *bytes;

    MUST(file && fstat(fileno(file), &info) == 0);
    bytes = malloc((size_t)info.st_size + 1);
    MUST(bytes && fread(bytes, 1, (size_t)info.st_size, file) == (size_t)info.st_size);
    fclose(file);
    printf("# %s\n", path);
    fflush(stdout);
    target(bytes, (size_t)info.st_size);
    free(bytes);
}

static int run_all(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *entry;
        int files = 0;

        MUST(dir);
        while ((entry = readdir(dir)) != NULL) {
            if (entry->d_name[0] != '.') {
                replay_file(apr_pstrcat(fuzz_pool, argv[i], "/", entry->d_name, NULL));
                files++;
            }
        }
        closedir(dir);
        printf("replayed %d\n", files);
    }
    fflush(stdout);
    return 0;
}
#endif

/* libFuzzer ends with exit(), which would unload this file under its feet. */
static void leave(void)
{
    _exit(0);
}

static void run(apr_pool_t *pchild, server_rec *s)
{
    const char *name = getenv("RP_FUZZ_TARGET");
    const char *args = getenv("RP_FUZZ_ARGS");
    char **argv;

    MUST(name && args);
    atexit(leave);
    fuzz_pool = pchild;
    fuzz_server = s;
    target = !strcmp(name, "conversation") ? fuzz_conversation : !strcmp(name, "config") ? fuzz_config : NULL;
    MUST(target);
    if (apr_tokenize_to_argv(apr_pstrcat(pchild, "fuzz ", args, NULL), &argv, pchild) == APR_SUCCESS) {
        int argc = 0;

        while (argv[argc]) {
            argc++;
        }
        _exit(run_all(argc, argv));
    }
    _exit(1);
}

/* This process keeps its user: it writes to the corpus. */
static int keep_privileges(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf, (void)plog, (void)ptemp;
    ap_sys_privileges_handlers(1);
    return OK;
}

static int after_request(request_rec *r)
{
    (void)r;
    fuzz_after_request();
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_pre_config(keep_privileges, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(after_request, NULL, NULL, APR_HOOK_LAST);
    ap_hook_child_init(run, NULL, NULL, APR_HOOK_REALLY_LAST);
}

module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) fuzz_module = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
