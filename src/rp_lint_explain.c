#include "rp_lint_int.h"
void rp_lint_explain(apr_file_t *out, apr_pool_t *p, server_rec *main, const char *url)
{ (void)out; (void)p; (void)main; (void)url; }
