/* mod_revproxy: the header for other modules.
 *
 * Nothing to include here is private: what is declared in this file keeps its
 * meaning over releases of the module.
 */
#ifndef MOD_REVPROXY_H
#define MOD_REVPROXY_H

#define REVPROXY_VERSION "0.1.0"

/* Request notes that a module or a log format may read ("%{...}n"):
 * the backend's status code, and the local port of the connection to it. */
#define REVPROXY_NOTE_STATUS "proxy-status"
#define REVPROXY_NOTE_SOURCE_PORT "proxy-source-port"

#endif
