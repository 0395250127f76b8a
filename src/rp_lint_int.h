/* rp_lint_int: what the files of rp_lint share; nobody else includes it.
 *
 * Owns:      declarations only.
 * Does not:  hold state.
 * Threads:   while httpd reads its configuration: one.
 * Memory:    the caller's pool, for messages.
 * Blocks?    Never.
 */
#ifndef RP_LINT_INT_H
#define RP_LINT_INT_H

#include "rp_lint.h"

#include "apr_file_io.h"
#include "apr_strings.h"

#include "rp_conf.h"

/* ---- rp_lint_groups.c ---- */

/* Warn of what is suspicious about the groups defined in server s; main's log is used. */
void rp_lint_check_groups(apr_pool_t *p, const server_rec *main, const server_rec *s);
/* The groups of a server with their members, for -D DUMP_REVPROXY. */
void rp_lint_print_groups(apr_file_t *out, apr_pool_t *p, const server_rec *s);

#endif
