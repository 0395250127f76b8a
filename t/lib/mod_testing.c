/* What tests need inside of httpd (RevProxy::Testing builds and loads it):
 *   TestingHide mod_x.c    a module that is linked into httpd has another name from here on
 *   TestingDieAt TEXT      a child is killed where it logs this, the first one that does
 *   lbmethod=last          a balancing method of somebody else's: the last candidate
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mod_revproxy.h"

#include "ap_provider.h"
#include "apr_strings.h"
#include "http_config.h"
#include "http_core.h"

static const char *die_at;
static int *has_died; /* shared: one child only */

static const char *hide(cmd_parms *cmd, void *dummy, const char *name)
{
    module *m = ap_find_linked_module(name);

    (void)dummy;
    if (!m) {
        return apr_pstrcat(cmd->pool, "there is no ", name, NULL);
    }
    m->name = "mod_hidden.c";
    return NULL;
}

static const char *set_die_at(cmd_parms *cmd, void *dummy, const char *text)
{
    (void)cmd;
    (void)dummy;
    die_at = text;
    return NULL;
}

static void note_line(const ap_errorlog_info *info, const char *line)
{
    (void)info;
    if (die_at && strstr(line, die_at) && !__atomic_exchange_n(has_died, 1, __ATOMIC_SEQ_CST)) {
        kill(getpid(), SIGKILL);
    }
}

static int choose_last(const revproxy_choice_t *choice)
{
    return choice->count - 1;
}

static const revproxy_lbmethod_t last = {0, choose_last};

static void register_hooks(apr_pool_t *p)
{
    has_died = mmap(NULL, sizeof(*has_died), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ap_hook_error_log(note_line, NULL, NULL, APR_HOOK_MIDDLE);
    ap_register_provider(p, REVPROXY_LBMETHOD_GROUP, "last", REVPROXY_LBMETHOD_VERSION, &last);
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("TestingHide", hide, NULL, RSRC_CONF | EXEC_ON_READ, "record name of a module"),
    AP_INIT_TAKE1("TestingDieAt", set_die_at, NULL, RSRC_CONF, "part of a line of the error log"),
    {NULL},
};

AP_DECLARE_MODULE(testing) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks,
};
