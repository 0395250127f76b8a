/* Parking below the event MPM of httpd 2.4.63 and later. Nothing
 * else in the module knows about MPMs. */
#include <signal.h>
#include <sys/queue.h>
#include <time.h>

#include "ap_mpm.h"
#include "apr_atomic.h"
#include "apr_portable.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "mpm_common.h"

#include "rp_park_line.h"
#include "rp_park_room.h"

extern module AP_MODULE_DECLARE_DATA revproxy_module;
APLOG_USE_MODULE(revproxy);

/* httpd before 2.4.63 cannot wait for us. */
#if defined(AP_MPMQ_CAN_WAITIO)
#define HAS_WAITIO 1
#else
#define HAS_WAITIO 0
#endif

static int can_park;
static int threads_per_child;
static apr_uint32_t parked; /* requests, not resting connections */

unsigned rp_park_count(void)
{
    return apr_atomic_read32(&parked);
}

int rp_park_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    can_park = 0;
#if HAS_WAITIO
    {
        int answer = 0;

        if (ap_mpm_query(AP_MPMQ_CAN_WAITIO, &answer) == APR_SUCCESS) {
            can_park = answer;
        }
        (void)ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads_per_child);
        rp_room_configure(threads_per_child);
    }
#endif
    return OK;
}

/* The MPM closes a connection that waits for I/O longer than Timeout: wake well before that. */
static apr_interval_time_t get_patience(const server_rec *s, const conn_rec *c)
{
    return (s->timeout < c->base_server->timeout ? s->timeout : c->base_server->timeout) / 2;
}

bool rp_park_is_scarce(unsigned n)
{
    return n >= (unsigned)threads_per_child / (rp_line_is_there() ? 4 : 2);
}

static rp_park_t *get_park(conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &revproxy_module);
}

/* As the MPM takes it: a server without one of its own has that of the first one of its address. */
static apr_interval_time_t get_keep_alive(const request_rec *r)
{
    const server_rec *s = r->server->keep_alive_timeout_set ? r->server : r->connection->base_server;

    return s->keep_alive_timeout;
}

rp_park_t *rp_park_find(const request_rec *r)
{
    rp_park_t *park;

    if (!can_park || r->main || r->prev || r->connection->master) {
        return NULL;
    }
    park = get_park(r->connection);
    if (!park || park->state != RUNNING) {
        return NULL;
    }
    park->is_ours = true;
    rp_line_begin_turn(park);
    park->longest = get_patience(r->server, r->connection);
    park->keep_alive = get_keep_alive(r);
    return park;
}

void rp_park_decline(const request_rec *r)
{
    rp_park_t *park = can_park && !r->main && !r->connection->master ? get_park(r->connection) : NULL;

    if (park && park->state == RUNNING) {
        rp_line_work_without_turn(park);
    }
}

/* ---- the end of the child ---- */

/* Those that want to be woken. Not by one descriptor in all of their sets: the kernel allows 500
 * ways from one through nested sets, and refuses a set that would make more. */
TAILQ_HEAD(park_list, rp_park_t);
static struct park_list hearers = TAILQ_HEAD_INITIALIZER(hearers);
static apr_thread_mutex_t *hearers_lock; /* protects hearers, and hears_stop and link of each; NULL: no threads */

static apr_status_t tell_hearers(void *unused);

void rp_park_event_child_init(apr_pool_t *pchild)
{
    if (can_park) {
        /* Before memory goes, and after the ferry: it registers the same, and the last one registered is the first to run. */
        apr_pool_pre_cleanup_register(pchild, NULL, tell_hearers);
        rp_ferry_child_init(pchild);
        rp_line_child_init(pchild, threads_per_child);
        rp_room_child_init(pchild);
        (void)apr_thread_mutex_create(&hearers_lock, APR_THREAD_MUTEX_DEFAULT, pchild);
    }
}

static void wake_all(void)
{
    const rp_park_t *park;

    apr_thread_mutex_lock(hearers_lock);
    TAILQ_FOREACH(park, &hearers, link) {
        rp_park_wake(park);
    }
    apr_thread_mutex_unlock(hearers_lock);
}

/* A child that stops at once: its threads take up nothing any more, but the MPM's listener ends only when it has handed out all that it has
 * found ready, and blocks for each of our connections until a thread is idle. The main thread has it go on, one connection at a time,
 * looks every half a second whether it has ended, and goes without it after ten. A SIGTERM cuts that half second short; to the main thread of a
 * child it means nothing else, and the listener and the parent send it for the same. */
#define HURRY_EVERY apr_time_from_msec(50)

static timer_t hurry;
static bool hurries;

static void hurry_end(void)
{
    struct sigevent to_main = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM};
    struct itimerspec spec = {{0, HURRY_EVERY * 1000}, {0, HURRY_EVERY * 1000}};

    hurries = timer_create(CLOCK_MONOTONIC, &to_main, &hurry) == 0;
    if (hurries) {
        (void)timer_settime(hurry, 0, &spec, NULL);
    }
}

void rp_park_event_stop(bool at_once)
{
    if (!hearers_lock) {
        return;
    }
    if (at_once) {
        hurry_end();
    }
    else {
        wake_all();
    }
}

/* Its timer is set. */
static void hear_stop(rp_park_t *park)
{
    if (!park->wait.until_stop || !hearers_lock) {
        return;
    }
    apr_thread_mutex_lock(hearers_lock);
    TAILQ_INSERT_TAIL(&hearers, park, link);
    park->hears_stop = true;
    if (rp_park_has_stopped()) {
        rp_park_wake(park);
    }
    apr_thread_mutex_unlock(hearers_lock);
}

static void ignore_stop(rp_park_t *park)
{
    if (!park->wait.until_stop || !hearers_lock) {
        return;
    }
    apr_thread_mutex_lock(hearers_lock);
    if (park->hears_stop) {
        TAILQ_REMOVE(&hearers, park, link);
        park->hears_stop = false;
        if (rp_park_has_stopped()) {
            /* It may have been set to anything. */
            park->timer_at = 0;
        }
    }
    apr_thread_mutex_unlock(hearers_lock);
}

/* ---- parking ---- */

bool rp_park_put_aside(rp_parking_t *how, const rp_wait_t *wait, rp_ready_t *ready)
{
    rp_park_t *park = how->park;

    if (park->state != RUNNING || !rp_park_has_set(park)) {
        return false;
    }
    park->wait = *wait;
    park->is_served = how->serve && !how->is_unserved;
    if (park->is_served) {
        rp_park_unwatch_client(park);
    }
    else if (!rp_park_watch_backend(park) || !rp_park_watch_client(park)) {
        rp_park_unwatch_backend(park);
        return false;
    }
    park->ready = ready;
    park->how = how;
    park->since = apr_time_now();
    park->state = ASKED;
    return true;
}

/* And not any more. */
static void leave_ferry(rp_park_t *park)
{
    if (park->is_served) {
        rp_ferry_leave(&park->passenger);
        if (park->passenger.is_refused && park->how) {
            park->how->is_unserved = true;
        }
        /* It may have been set to wake it. */
        park->timer_at = 0;
    }
}

#if HAS_WAITIO
/* Its request is served from now on. */
static void board_ferry(rp_park_t *park)
{
    park->passenger = (rp_passenger_t){
        .wait = &park->wait,
        .serve = park->how->serve,
        .ctx = park->how->ctx,
        .client_fd = park->client_fd,
        .timer_fd = park->timer_fd,
        .slot = -1,
    };
    if (!rp_ferry_board(&park->passenger)) {
        rp_park_wake(park);
    }
}

static void hand_to_mpm(rp_park_t *park, park_state_t state, int fd)
{
    rp_park_set_timer(park);
    hear_stop(park);
    rp_park_set_client(park, fd);
    park->state = state;
    if (state == PARKED) {
        apr_atomic_inc32(&parked);
    }
    park->c->cs->state = CONN_STATE_ASYNC_WAITIO;
    park->c->cs->sense = CONN_SENSE_WANT_READ;
    /* Last: this thread does not own it then. */
    if (state == PARKED && park->is_served) {
        board_ferry(park);
    }
}
#endif

/* The client's descriptor is back in its place, whatever comes next. */
static void take_back(rp_park_t *park)
{
    if (park->state == PARKED) {
        leave_ferry(park);
    }
    if (park->state == RESTING) {
        rp_line_leave(park);
        rp_room_leave(park);
    }
    if (park->state == PARKED || park->state == RESTING) {
        rp_park_set_client(park, park->client_fd);
    }
    if (park->state == PARKED) {
        apr_atomic_dec32(&parked);
    }
    ignore_stop(park);
}

void rp_park_forget(rp_park_t *park)
{
    if (park) {
        park->how = NULL;
        rp_park_unwatch_backend(park);
    }
}

static apr_status_t restore_before_cleanup(void *data)
{
    rp_park_t *park = data;
    bool is_closed = rp_park_note_closed(park);

    take_back(park);
    if (is_closed) {
        /* An MPM that cannot poll it does so without pre_close_connection. It has not closed the client's. */
        (void)apr_socket_close(ap_get_conn_socket(park->c));
    }
    rp_line_end_turn(park);
    park->state = OUTSIDE;
    park->how = NULL;
    rp_room_remove(park);
    return APR_SUCCESS;
}

static rp_park_t *make_park(conn_rec *c)
{
    rp_park_t *park = apr_pcalloc(c->pool, sizeof(*park));
    apr_os_sock_t fd = -1;

    if (apr_os_sock_get(&fd, ap_get_conn_socket(c)) != APR_SUCCESS) {
        return NULL;
    }
    park->c = c;
    park->client_fd = park->shown_fd = fd;
    park->client_events = -1;
    park->wait_fd = park->timer_fd = park->backend_fd = -1;
    park->longest = get_patience(c->base_server, c);
    park->keep_alive = c->base_server->keep_alive_timeout;
    park->state = OUTSIDE;
    rp_room_add(park);
    apr_pool_pre_cleanup_register(c->pool, park, restore_before_cleanup);
    apr_pool_cleanup_register(c->pool, park, rp_park_close_set, apr_pool_cleanup_null);
    ap_set_module_config(c->conn_config, &revproxy_module, park);
    return park;
}

/* Can more clients ask at once than threads are idle? Those whose requests are parked, tunnels above all, do not ask. */
static bool are_many(void)
{
    return (long)rp_room_count() - (long)rp_park_count() > threads_per_child / 2;
}

/* ---- the end of a request ---- */

/* Where clients are many, so many requests at a time: others wait for the thread. */
#define TURN_REQUESTS 4

static bool is_turn_over(const rp_park_t *park)
{
    return park->turn >= TURN_REQUESTS && (rp_line_is_there() || are_many());
}

/* Send what the last filter keeps; false: not all could be sent. */
static bool send_kept(conn_rec *c)
{
    ap_filter_t *f;

    for (f = c->output_filters; f->next; f = f->next) {
    }
    return f->frec->filter_func.out_func(f, NULL) == APR_SUCCESS && !c->data_in_output_filters;
}

/* Its request is answered, logged and gone: others run before httpd looks for the next. */
static apr_status_t let_client_ask(void *data)
{
    const rp_park_t *park = data;

    if (park->state == RUNNING) {
        (void)rp_park_yield();
    }
    return APR_SUCCESS;
}

/* Where requests are parked and nobody is in line, more of them run than before this client asks again. */
static bool asks_again_at_once(const rp_park_t *park)
{
    return park->state == RUNNING && park->is_chatty && (!park->was_parked || rp_line_is_there()) &&
           park->c->keepalive == AP_CONN_KEEPALIVE && !park->c->aborted && !is_turn_over(park);
}

void rp_park_end_request(rp_park_t *park, request_rec *r)
{
    if (park && asks_again_at_once(park)) {
        (void)send_kept(park->c);
        apr_pool_cleanup_register(r->pool, park, let_client_ask, apr_pool_cleanup_null);
    }
}

#if HAS_WAITIO
/* ---- between two requests ---- */

/* When more connections become ready at once than threads are idle, the MPM closes those
 * that wait for their next request: a burst, of new clients too, would cost clients their connections, and a request
 * that is on its way. So idle clients of ours wait like parked requests; and so do all while many requests
 * are parked, since threads are not what is scarce then. They make room for new ones (rp_park_room.h). */

/* Each in a moment of its own: many whose rest ends at once would be such a burst themselves.
 * Multiplying by 2^32 / golden ratio spreads neighbours evenly. */
static apr_time_t get_rest_end(const rp_park_t *park)
{
    apr_uint32_t turn = (apr_uint32_t)park->client_fd * 2654435769u;

    return park->idle_since + park->keep_alive + (apr_interval_time_t)(turn / 4294967296.0 * apr_time_from_sec(1));
}

static bool is_crowded(void)
{
    return rp_park_count() > (unsigned)threads_per_child / 2;
}

static bool may_rest(const rp_park_t *park)
{
    return park->is_ours || is_crowded();
}

static bool is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS || state == AP_MPMQ_STOPPING;
}

/* Everything was sent, and the client may send another request. */
static bool is_answered(conn_rec *c)
{
    return c->cs->state == CONN_STATE_WRITE_COMPLETION && c->keepalive == AP_CONN_KEEPALIVE && !c->aborted && send_kept(c);
}

/* The child's stop is heard of: it is not to wait for idle clients. Nothing has been asked of the input filters, so
 * that none of them has a clock that runs. */
static bool rest(rp_park_t *park, bool in_line)
{
    apr_time_t end = get_rest_end(park);

    if (end <= apr_time_now() || !is_answered(park->c) || park->c->data_in_input_filters || is_stopping() || !rp_park_has_set(park)) {
        return false;
    }
    park->wait = (rp_wait_t){.backend_fd = -1, .client_fd = park->client_fd, .client_events = POLLIN, .client_is_raw = true,
                             .until_stop = true, .deadline = end};
    if (!in_line && !rp_park_watch_client(park)) {
        return false;
    }
    hand_to_mpm(park, RESTING, in_line ? park->timer_fd : park->wait_fd);
    if (in_line) {
        rp_line_join(park);
    }
    else {
        rp_room_rest(park);
    }
    return true;
}

/* ---- the hook ---- */

/* The hooks below us are done with this connection for now. */
static int leave_thread(rp_park_t *park, int result)
{
    rp_line_end_turn(park);
    if (park->state == ASKED) {
        hand_to_mpm(park, PARKED, park->wait_fd);
        return OK;
    }
    park->idle_since = apr_time_now();
    if (result == OK && may_rest(park) && rest(park, park->is_chatty && rp_line_is_there())) {
        return OK;
    }
    park->state = OUTSIDE;
    return result;
}

/* A client that sends one request right after another (a gateway, a script) is waited for in the
 * thread for so long, while threads are plenty: the way through the MPM costs two changes of
 * threads for each request. */
#define NEXT_REQUEST_MILLISECONDS 10

static bool comes_soon(rp_park_t *park)
{
    struct pollfd client = {park->client_fd, POLLIN, 0};
    bool has_come;

    if (!rp_park_lend_thread(park)) {
        return false;
    }
    has_come = poll(&client, 1, NEXT_REQUEST_MILLISECONDS) > 0;
    rp_park_return_thread(park);
    return has_come;
}

static bool has_next_request(rp_park_t *park)
{
    bool is_awaited = rp_line_is_there(), has_next;

    if (is_turn_over(park) || !park->is_ours || !is_answered(park->c) || is_stopping()) {
        return false;
    }
    if (park->c->data_in_input_filters) {
        return true;
    }
    has_next = park->is_chatty && !is_awaited && comes_soon(park);
    /* In line it has more time. */
    park->is_chatty = has_next || (park->is_chatty && is_awaited);
    return has_next;
}

/* Requests of this client, one after the other, from the one that has ended in this thread with *result (turn is 1), or
 * from the one that is there now (0). */
static int handle_requests(rp_park_t *park, unsigned turn, int result)
{
    park->turn = turn;
    while (!park->turn || (park->state == RUNNING && result == OK && has_next_request(park))) {
        park->state = RUNNING;
        park->is_ours = park->was_parked = false;
        park->c->cs->state = CONN_STATE_PROCESSING;
        park->turn++;
        result = ap_run_process_connection(park->c);
    }
    return leave_thread(park, result);
}

static int handle_first(rp_park_t *park)
{
    if (!park->has_turn) {
        rp_line_work_without_turn(park);
    }
    park->is_chatty = park->has_turn || apr_time_now() - park->idle_since < apr_time_from_msec(NEXT_REQUEST_MILLISECONDS);
    return handle_requests(park, 0, OK);
}

/* A parked request goes on. */
static int go_on(rp_park_t *park)
{
    take_back(park);
    park->state = RUNNING;
    park->c->cs->state = CONN_STATE_HANDLER;
    if (!park->how) {
        /* Its request is gone: nothing is left to answer. */
        park->state = OUTSIDE;
        park->c->cs->state = CONN_STATE_LINGER;
        return OK;
    }
    rp_line_begin_turn(park);
    rp_park_collect(park);
    park->how->is_slow = apr_time_now() - park->since > park->how->park_after;
    park->was_parked = true;
    (void)park->how->resume(park->how->ctx);
    return handle_requests(park, 1, OK);
}

/* An idle client has sent something, or its time is over, or it has to make room. */
static int wake_up(rp_park_t *park)
{
    struct pollfd client = {park->client_fd, POLLIN, 0};
    bool has_asked, is_leaving;

    if (rp_line_waits_on(park, get_rest_end(park))) {
        park->c->cs->state = CONN_STATE_ASYNC_WAITIO;
        park->c->cs->sense = CONN_SENSE_WANT_READ;
        return OK;
    }
    take_back(park);
    is_leaving = park->is_leaving && rp_room_is_short();
    park->is_leaving = false;
    has_asked = poll(&client, 1, 0) > 0;
    if (!has_asked) {
        /* What has woken it. It stays readable until it is set again, whatever the clock of the wall says. */
        park->timer_at = 0;
    }
    if (has_asked && rp_line_take_turn(park)) {
        return handle_first(park);
    }
    rp_line_end_turn(park);
    park->c->cs->state = CONN_STATE_WRITE_COMPLETION;
    if ((has_asked || !is_leaving) && rest(park, has_asked)) {
        return OK;
    }
    if (has_asked) {
        return handle_first(park);
    }
    park->state = OUTSIDE;
    if (is_leaving || is_stopping() || apr_time_now() >= park->idle_since + park->keep_alive) {
        park->c->cs->state = CONN_STATE_LINGER;
    }
    return OK;
}

static int do_next(rp_park_t *park)
{
    if (park->state == PARKED) {
        return go_on(park);
    }
    return park->state == RESTING ? wake_up(park) : handle_first(park);
}

int rp_park_process_connection(conn_rec *c)
{
    rp_park_t *park;
    int result;

    if (!can_park || c->master || !c->cs) {
        return DECLINED;
    }
    park = get_park(c);
    /* A connection that begins while the child stops waits in its thread: the MPM's listener goes when it counts no
     * connection, and does not count those that it has accepted and no thread has taken up. Nobody would wake
     * such a one. One that began before keeps the listener alive. */
    if (!park && !is_stopping()) {
        park = make_park(c);
    }
    if (!park || park->state == RUNNING) {
        /* We called the other hooks ourselves, below. */
        return DECLINED;
    }
    rp_room_begin_work();
    result = do_next(park);
    rp_room_end_work();
    return result;
}
#else
int rp_park_process_connection(conn_rec *c)
{
    (void)c;
    (void)make_park;
    (void)hear_stop;
    return DECLINED;
}
#endif

/* Nobody is going to wake it. Its exchange is told what ends one at whatever step it waits: its time is over,
 * and so is its client. */
static void end_wait(rp_park_t *park)
{
    conn_state_e closing = park->c->cs->state; /* the MPM counts by it */

    take_back(park);
    rp_line_end_turn(park);
    park->state = OUTSIDE;
    rp_park_unwatch_backend(park);
    if (park->how) {
        *park->ready = (rp_ready_t){.is_client_gone = true, .is_late = true};
        (void)park->how->resume(park->how->ctx);
        park->c->cs->state = closing;
    }
}

/* The MPM gives the connection up while it is parked: it is going to close the
 * descriptor that it finds in the socket. */
int rp_park_pre_close_connection(conn_rec *c)
{
    rp_park_t *park = c->master ? NULL : get_park(c);

    if (park) {
        rp_room_remove(park);
    }
    if (park && (park->state == PARKED || park->state == RESTING)) {
        end_wait(park);
    }
    return OK;
}

/* A child that is told to stop at once resumes no connection. Its threads have ended by now, so that this one has
 * all connections to itself. */
static apr_status_t tell_hearers(void *unused)
{
    rp_park_t *park;

    (void)unused;
    if (hurries) {
        (void)timer_delete(hurry);
        hurries = false;
    }
    while ((park = TAILQ_FIRST(&hearers))) {
        end_wait(park);
    }
    /* It goes with this pool. In httpd -X the connections go after it, when the process exits. */
    hearers_lock = NULL;
    return APR_SUCCESS;
}
