/* Licensed under the Apache License, Version 2.0; see the file LICENSE. */

/*
 * Included before every file of the module when it is built to be fuzzed inside httpd: waiting and
 * the clock become the fuzz target's. So a wait of a minute takes no time, and what happens while an
 * exchange waits is the next step of the input, always the same.
 */
#define poll         rp_fuzz_poll
#define ppoll        rp_fuzz_ppoll
#define apr_time_now rp_fuzz_now
