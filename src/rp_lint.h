/* rp_lint: suspicious but legal configuration, named with file and line.
 *
 * Owns:      the checks, their words, levels and names; the dump of the route table.
 * Does not:  refuse anything (rp_conf's setters do) but unknown names in RevProxyLint, or change the configuration.
 * Threads:   while httpd starts: one.
 * Memory:    the pools given.
 * Blocks?    At configtest for two seconds at most, while names are looked up; else for local files only.
 *
 * Level warn: most likely a mistake. Level notice: often not meant; said at configtest, a few lines of each check,
 * and in the error log with LogLevel revproxy:info. Level info: legal, may be meant, worth knowing.
 * A sound configuration gives no warn line.
 */
#ifndef RP_LINT_H
#define RP_LINT_H

#include "rp_conf.h"

/* check_config hook: the report of "apachectl configtest", to the terminal. OK, or an error's status where
 * RevProxyLint names no check. */
int rp_lint_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* post_config hook: the same report to the error log when httpd starts or reloads. Always OK. */
int rp_lint_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* test_config hook: with "-t -D DUMP_REVPROXY" prints every server's routes to standard output, with
 * "-D DUMP_REVPROXY_URL=/path" or "...=https://host/path" the way that this request takes. */
void rp_lint_test_config(apr_pool_t *p, server_rec *main);

/* http_scheme, default_port hooks: of the made-up request whose way is printed. */
const char *rp_lint_http_scheme(const request_rec *r);
apr_port_t rp_lint_default_port(const request_rec *r);

#endif
