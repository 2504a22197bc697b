/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_MTACTL_H
#define MTAD_CONTROL_MTACTL_H
/*
 * mtactl - what the parts of the command share: asking the daemon, showing its answers
 *
 * Owner    the process; it ends with the answer.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mtactl {
	const char *socket; /* path of the control socket */
	const char *conf_file;
	bool json, yes, dry_run, colour;
	int width; /* of the terminal */
};

/* The whole answer: {"rows": [...], "summary": {...}, "error": "..."}; the exit code of the daemon in
 * *out_exit. NULL: the daemon cannot be asked; that was said on stderr. */
json_t *mtactl_ask(const struct mtactl *m, json_t *take_request, int *out_exit);

/* --- showing (mtactl_show.c) --- */
void mtactl_show_status(const struct mtactl *m, const json_t *answer);
void mtactl_show_queue(const struct mtactl *m, const json_t *answer, const char *by, int64_t limit);
void mtactl_show_sites(const struct mtactl *m, const json_t *answer);
void mtactl_show_list(const struct mtactl *m, const json_t *answer);
void mtactl_show_message(const struct mtactl *m, const json_t *answer);
void mtactl_show_pauses(const struct mtactl *m, const json_t *answer);
void mtactl_show_audit(const struct mtactl *m, const json_t *answer);
void mtactl_show_dkim(const struct mtactl *m, const json_t *answer);

/* --- local work (mtactl_local.c): exit codes --- */
int mtactl_dkim_keygen(const struct mtactl *m, int argc, char **argv);
int mtactl_passwd(void);
#endif
