/* rp_manager_int: what the files of rp_manager share; nobody else includes it.
 *
 * Owns:      declarations only.
 * Does not:  hold state.
 * Threads:   the request's.
 * Memory:    r->pool.
 * Blocks?    Only rp_manager_read_form, see rp_manager.h.
 */
#ifndef RP_MANAGER_INT_H
#define RP_MANAGER_INT_H

#include "apr_strings.h"
#include "http_core.h"
#include "http_protocol.h"

#include "rp_health.h"
#include "rp_lb.h"
#include "rp_manager.h"
#include "rp_shm.h"

typedef enum { RP_MANAGER_HTML, RP_MANAGER_XML, RP_MANAGER_JSON } rp_manager_format_t;

/* One request to the manager. */
typedef struct rp_manager_t {
    request_rec *r;
    const rp_server_conf_t *conf;
    rp_manager_format_t format;
    apr_table_t *form;             /* what was sent */
    rp_group_t *group;             /* that it names; NULL: none */
    rp_backend_t *member;
    apr_array_header_t *notes;     /* const char *: what was changed, for people */
    apr_array_header_t *errors;    /* const char *: what is wrong with what was sent */
    int status;                    /* of a request that failed; 0: of none */
} rp_manager_t;

/* A member as the pages show it. */
typedef struct rp_manager_view_t {
    const char *url;     /* as it may be given as w=, unix: included */
    const char *status;  /* mod_proxy's words */
    unsigned flags;      /* RP_STATUS_* */
    int weight, lbset, retries;
    char route[RP_SHM_TEXT], redirect[RP_SHM_TEXT];
    unsigned busy;
    apr_int64_t elected, state, sent, received, latency;
    apr_time_t error_time;
    const char *check_method; /* how its health is checked */
    apr_interval_time_t check_interval;
    int check_passes, check_fails, passed, failed;
    char check_uri[RP_SHM_TEXT], check_expr[RP_SHM_TEXT];
} rp_manager_view_t;

/* ---- rp_manager.c ---- */

void rp_manager_view(const rp_manager_t *m, const rp_backend_t *member, rp_manager_view_t *view);
/* balancer://name without balancer:// */
const char *rp_manager_get_name(const rp_group_t *group);
/* "COOKIE|PARAMETER", or one of them if they are the same. */
const char *rp_manager_get_sticky(const rp_manager_t *m, const rp_lb_settings_t *set);
/* Attempts after the first one. */
int rp_manager_get_attempts(const rp_group_t *group, const rp_lb_settings_t *set);
/* Public path of the last route to the group; "/" where there is none. */
const char *rp_manager_find_path(const rp_manager_t *m, const rp_group_t *group);
/* The text, or, if that is no UTF-8, the text as ISO 8859-1 gives it a meaning: so that every page is valid. */
const char *rp_manager_to_utf8(apr_pool_t *p, const char *text);
/* For HTML and XML, attributes included. */
const char *rp_manager_escape(const rp_manager_t *m, const char *text);
/* Path of the page, for links and forms, as an attribute's value. No URL: a browser may know us by another scheme, host or
 * port, those of a front end, and form-action 'self' forbids it to post to ours. */
const char *rp_manager_get_page(const rp_manager_t *m);
/* Something that the client sent is wrong; status: for clients that look at it. */
void rp_manager_fail(rp_manager_t *m, int status, const char *text);

/* ---- rp_manager_form.c ---- */

/* Read query and body into m->form. OK, or the status of a form that cannot be read. */
int rp_manager_read_form(rp_manager_t *m);

/* ---- rp_manager_guard.c ---- */

/* May this request change the group? Else it says why not. */
bool rp_manager_may_change(rp_manager_t *m);

/* ---- rp_manager_change.c ---- */

/* Carry out what the form says. */
void rp_manager_change(rp_manager_t *m);

/* ---- the pages ---- */

void rp_manager_write_html(const rp_manager_t *m);
void rp_manager_write_forms(const rp_manager_t *m);
void rp_manager_write_xml(const rp_manager_t *m);
void rp_manager_write_json(const rp_manager_t *m);

/* Say of which type the page is; a text of ours, so it is trusted. */
void rp_manager_set_type(request_rec *r, const char *type);

#endif
