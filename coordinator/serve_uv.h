/* The coordinator's shell: carries events from libuv, SQLite, files and jobs into the core, and its
 * effects back, in the order that "persist before speaking" demands. Decides nothing. */
#ifndef COORDINATOR_SERVE_UV_H
#define COORDINATOR_SERVE_UV_H

#include "coordinator/home.h"

struct serve_options {
	const char *home;
	const char *listen; /* "ADDR:PORT"; port 0: one that the system chooses, kept to the end */
	const char *web;    /* folder of the status page; NULL: HOME/web */
	size_t connections; /* at once, at most; 0: as many as the system and the protocol allow */
	bool quiet;	    /* only warnings */
};

/* Serves until SIGINT or SIGTERM. Returns 0 after an orderly end. Errors before serving starts: those
 * of home_open, home_lock and node_uv_listen. While serving, a full disk or a failing store does not
 * end it: it says so, drops its sessions and tries again every few seconds from what is on disk. */
int serve_run(const struct serve_options *options, struct errmsg *msg) TK_CHECKED;

#endif
