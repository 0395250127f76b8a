#include "rp_shm_int.h"

#include "apr_file_io.h"
#include "apr_strings.h"
#include "http_log.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

#define FILE_NAME "revproxy-secret"
#define LENGTH 16

/* Written by the parent before there are children. */
static unsigned char secret[LENGTH];

static apr_status_t read_secret(apr_pool_t *p, const char *path)
{
    apr_file_t *file;
    apr_size_t got = 0;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, p);

    if (rv == APR_SUCCESS) {
        rv = apr_file_read_full(file, secret, LENGTH, &got);
        (void)apr_file_close(file);
    }
    return rv;
}

static apr_status_t write_secret(apr_pool_t *p, const char *path)
{
    apr_file_t *file;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE,
                                    APR_FPROT_UREAD | APR_FPROT_UWRITE, p);

    if (rv == APR_SUCCESS) {
        rv = apr_file_write_full(file, secret, LENGTH, NULL);
        (void)apr_file_close(file);
    }
    return rv;
}

void rp_shm_load_secret(apr_pool_t *p, server_rec *s)
{
    const char *path = ap_runtime_dir_relative(p, FILE_NAME);
    apr_status_t rv = read_secret(p, path);

    if (rv == APR_SUCCESS) {
        return;
    }
    rv = apr_generate_random_bytes(secret, LENGTH);
    if (rv == APR_SUCCESS) {
        rv = write_secret(p, path);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "the key of stickycookie= cannot be kept in %s: after a restart, clients are given new members; "
                     "write stickysecret=",
                     path);
    }
}

const unsigned char *rp_shm_get_secret(void)
{
    return secret;
}
