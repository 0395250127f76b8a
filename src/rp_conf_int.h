/* rp_conf_int: what the files of rp_conf share; nobody else includes it.
 *
 * Owns:      declarations only.
 * Does not:  hold state.
 * Threads:   while httpd reads its configuration: one.
 * Memory:    cmd->pool (pconf) for what stays, cmd->temp_pool for messages.
 * Blocks?    Never.
 *
 * Functions that return const char * as a directive's setter does: NULL is
 * success, DECLINE_CMD "not ours", anything else the text for the operator.
 */
#ifndef RP_CONF_INT_H
#define RP_CONF_INT_H

#include "rp_conf.h"

#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;

/* Where a directive may stand. */
typedef enum {
    RP_PLACE_SERVER, /* server, <VirtualHost> */
    RP_PLACE_ROUTE,  /* these and <Location>, <LocationMatch> */
    RP_PLACE_ANY     /* these and any section */
} rp_place_t;

/* ---- rp_conf.c ---- */

/* What every setter does first: leave plain names to a real mod_proxy, refuse wrong places. */
const char *rp_conf_enter(cmd_parms *cmd, rp_place_t place);
/* The configuration of the server that a directive stands in; never NULL. */
rp_server_conf_t *rp_conf_of(cmd_parms *cmd);

/* ---- rp_conf_value.c: words ---- */

/* Whole decimal number, no junk. NULL, or what is wrong with text ("is no whole number"). */
const char *rp_conf_parse_number(const char *text, apr_int64_t *value);
/* Number with unit ms, s, mi(n) or h; a bare one counts in `unit` (microseconds). Result in
 * microseconds. */
const char *rp_conf_parse_time(const char *text, apr_interval_time_t unit,
                               apr_interval_time_t *value);
/* On or Off in any case; false if neither. */
bool rp_conf_parse_flag(const char *text, bool *value);
/* The word of `words` (NULL ends) nearest to text, or NULL when none is near enough to be meant. */
const char *rp_conf_nearest(const char *text, const char *const *words);
/* Do two URLs name the same backend? "http://h" and "http://h/" do. */
bool rp_conf_is_same_name(const char *a, const char *b);

/* ---- rp_conf_param.c: key=value ---- */

/* Set one parameter; the message has no directive name in front. */
const char *rp_conf_set_param(cmd_parms *cmd, rp_options_t *opt, const char *key,
                              const char *value);
/* True for a key that exists but does nothing for http backends. */
bool rp_conf_is_inert_param(const char *key);

/* ---- rp_conf_check.c: health checks ---- */

void rp_conf_init_check(rp_check_options_t *check);
/* As rp_conf_set_param, of the parameter with this bit; 0: hctemplate. */
const char *rp_conf_set_check_param(cmd_parms *cmd, rp_options_t *opt, unsigned bit,
                                    const char *value);

const char *rp_conf_cmd_check_expr(cmd_parms *cmd, void *dir, const char *args);
const char *rp_conf_cmd_check_template(cmd_parms *cmd, void *dir, const char *args);
const char *rp_conf_cmd_check_threads(cmd_parms *cmd, void *dir, const char *arg);

/* ---- rp_conf_target.c: URLs to backends ---- */

/* True for balancer://... in any case. */
bool rp_conf_is_group_url(const char *url);
/* The part behind "unix:PATH|", completed to a URL; url itself without one; NULL if "unix:" is
 * malformed. */
const char *rp_conf_strip_socket(apr_pool_t *p, const char *url);

#define RP_TARGET_HAS_BACKREFS 0x1u /* $1 in it is a variable */
#define RP_TARGET_HAS_ENV      0x2u /* ${X} in it is a variable */

/* Make a backend from a target and add it to the server's; options at defaults. */
const char *rp_conf_add_backend(cmd_parms *cmd, const char *url, unsigned flags,
                                rp_backend_t **backend);
/* Backend whose options were set by name (ProxySet, <Proxy URL>) and cover this one, or NULL. */
const rp_backend_t *rp_conf_find_named(const rp_server_conf_t *conf, const rp_backend_t *backend);
/* Apply "key=value ..." to all backends of a name; is_new_ok: make one if there is none. */
const char *rp_conf_set_named(cmd_parms *cmd, const char *url, const char *args, bool is_new_ok);

/* A backend from a target's text, options at defaults; it stands in no server and no file. */
const char *rp_conf_read_backend(apr_pool_t *p, const char *url, unsigned flags,
                                 rp_backend_t **backend);
/* Make a backend that is not in the server's list: a member of a group. */
const char *rp_conf_make_backend(cmd_parms *cmd, const char *url, unsigned flags,
                                 rp_backend_t **backend);
/* Same name and socket? */
bool rp_conf_is_same_backend(const rp_backend_t *a, const rp_backend_t *b);

/* ---- rp_conf_group_param.c: key=value of groups ---- */

void rp_conf_init_group_options(rp_group_options_t *opt);
/* As rp_conf_set_param. */
const char *rp_conf_set_group_param(cmd_parms *cmd, rp_group_options_t *opt, const char *key,
                                    const char *value);
/* opt's own words first, then base's. */
void rp_conf_merge_group_options(apr_pool_t *p, rp_group_options_t *opt,
                                 const rp_group_options_t *base);

/* ---- rp_conf_group.c ---- */

/* The group that a balancer:// url names in this server, made if it is not there. */
const char *rp_conf_need_group(cmd_parms *cmd, const char *url, rp_group_t **found);
/* Apply "key=value ..." to it; is_new_ok: make it if it is not there. */
const char *rp_conf_set_group(cmd_parms *cmd, const char *url, const char *args, bool is_new_ok);
/* Make the group's roster, with places for growth=; or take that of a group before it in `groups` which
 * has the same members. */
void rp_conf_make_roster(apr_pool_t *p, rp_group_t *group, const apr_array_header_t *groups);
/* The groups of a virtual host that inherits. */
apr_array_header_t *rp_conf_merge_groups(apr_pool_t *p, const apr_array_header_t *base,
                                         const apr_array_header_t *add);

const char *rp_conf_cmd_member(cmd_parms *cmd, void *dir, const char *args);
const char *rp_conf_cmd_growth(cmd_parms *cmd, void *dir, const char *arg);
const char *rp_conf_cmd_heartbeats(cmd_parms *cmd, void *dir, const char *arg);
const char *rp_conf_cmd_persist(cmd_parms *cmd, void *dir, int flag);
const char *rp_conf_cmd_balancer_inherit(cmd_parms *cmd, void *dir, int flag);

/* ---- rp_conf_pass.c, rp_conf_forwarded.c, rp_conf_section.c: setters with several arguments ---- */

const char *rp_conf_cmd_pass(cmd_parms *cmd, void *dir, const char *args);
const char *rp_conf_cmd_pass_match(cmd_parms *cmd, void *dir, const char *args);
const char *rp_conf_cmd_set(cmd_parms *cmd, void *dir, const char *args);
const char *rp_conf_cmd_forwarded(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *rp_conf_cmd_section(cmd_parms *cmd, void *dir, const char *args);

/* The section of <Proxy>, <ProxyMatch> (either spelling) that a directive stands directly in, or
 * NULL. */
const ap_directive_t *rp_conf_find_proxy_section(const cmd_parms *cmd);

/* ---- rp_conf_standin.c ---- */

/* Give the names of the stand-ins up, since the real module is there. */
void rp_conf_retire_stand_ins(void);
/* Let "LogLevel proxy:..." count for us where revproxy has no level of its own. */
void rp_conf_adopt_log_levels(server_rec *s);

#endif
