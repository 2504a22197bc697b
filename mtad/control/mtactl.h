/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_MTACTL_H
#define MTAD_CONTROL_MTACTL_H
/*
 * mtactl - what the parts of the command share: asking the daemon, showing its answers, doing what was asked
 *
 * Owner    the process; it ends with the answer.
 */
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mtactl {
	const char *socket; /* path of the control socket */
	char *found_socket; /* when it is from the configuration */
	const char *conf_file;
	bool is_conf_given; /* by -c */
	bool json, colour;
	bool is_quiet; /* what goes wrong with asking is not said */
	int width;     /* of the terminal */
	pid_t daemon;  /* who answered last; 0: cannot be seen from here */
};

/* What the command line says behind the command. */
struct mtactl_options {
	const char *command;
	const char *by, *reason, *duration, *svg, *days, *from, *to;
	const char *scope, *expire, *note; /* suppress */
	int64_t limit;                     /* -1: not given */
	bool body, watch, yes, dry_run, no_wait, plain, csv;
	json_t *filter; /* fields of the request */
	int count;      /* of filters given */
	char **words;   /* what is no option, behind the command */
	int word_count;
};

/* --- asking (mtactl_ask.c) --- */

/* A row of the answer, as it comes; NULL: appended to its "rows". */
typedef void mtactl_on_row(json_t *answer, json_t *row);
/* The whole answer: {"rows": [...], "summary": {...}, "error": "..."}; the exit code of the daemon in
 * *out_exit. NULL: the daemon cannot be asked; that was said on stderr. */
json_t *mtactl_ask(struct mtactl *m, json_t *take_request, mtactl_on_row *on_row, int *out_exit);
/* In two steps, for several questions at once: what is asked, on a connection of its own, and the answer. */
int mtactl_ask_begin(struct mtactl *m, json_t *take_request);
json_t *mtactl_ask_end(struct mtactl *m, int take_asked, int *out_exit);
/* The same, but rows go to `each` and not into the answer. */
typedef void mtactl_each_row(void *arg, json_t *row);
json_t *mtactl_ask_each(
	struct mtactl *m, json_t *take_request, mtactl_each_row *each, void *arg, int *out_exit);

/* --- doing (mtactl_do.c): exit codes --- */

/* Asks and shows. */
int mtactl_look(struct mtactl *m, const struct mtactl_options *o);
/* retry, hold, release, bounce, delete: counted, confirmed, done. */
int mtactl_change(struct mtactl *m, const struct mtactl_options *o);
int mtactl_pause_or_resume(struct mtactl *m, const struct mtactl_options *o);
int mtactl_stop(struct mtactl *m, const struct mtactl_options *o);
/* What lanes have learned is forgotten. */
int mtactl_clear(struct mtactl *m, const struct mtactl_options *o);
/* Limits for a time: listed, set, lifted (mtactl_override.c). */
int mtactl_set(struct mtactl *m, const struct mtactl_options *o);
/* Warm-ups: looks, holds, releases, skips, restarts, finishes (mtactl_warmup_state.c). */
int mtactl_warmup(struct mtactl *m, const struct mtactl_options *o);
const char *mtactl_warmup_act(size_t i); /* "hold" ...; NULL behind the last */
/* Users: looks, lets out of the sandbox, puts back (mtactl_user.c). */
int mtactl_user(struct mtactl *m, const struct mtactl_options *o);
const char *mtactl_user_act(size_t i);
/* The list of suppressed addresses: shown, changed, read from and written to files (mtactl_suppress.c). */
int mtactl_suppress(struct mtactl *m, const struct mtactl_options *o);
const char *mtactl_suppress_act(size_t i);
/* Whose a token is (mtactl_token.c). */
int mtactl_token(struct mtactl *m, const struct mtactl_options *o);
int mtactl_dkim_check(struct mtactl *m, const struct mtactl_options *o);

/* What the commands of other files are made of: a request with filter, limit and reason; the whole answer as
 * JSON; true: it was an error, and printed; true: yes, to a question ending in "?". */
json_t *mtactl_request(const char *command, const struct mtactl_options *o);
int mtactl_print_json(const json_t *answer, const struct mtactl_options *o, int code);
bool mtactl_print_error(const json_t *answer);
/* Asks and shows the answer; an exit code. */
int mtactl_look_with(struct mtactl *m, const struct mtactl_options *o, json_t *take_request);
bool mtactl_confirm(const char *question);

/* --- showing (mtactl_show.c) --- */

void mtactl_show(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
/* Adds up the domains of each site into one row. */
void mtactl_row_by_site(json_t *answer, json_t *row);
/* Largest first, at most o->limit. */
void mtactl_sort_rows(const struct mtactl_options *o, json_t *answer);

/* --- what tables are made of (mtactl_write.c) --- */

/* Members of an object: 0, "" and false where there is none. */
int64_t mtactl_integer(const json_t *o, const char *name);
const char *mtactl_text(const json_t *o, const char *name);
bool mtactl_is_true(const json_t *o, const char *name);
const json_t *mtactl_rows(const json_t *answer);
int64_t mtactl_now(const json_t *answer);
/* "1,234,567" */
const char *mtactl_count(char *buf, size_t max, int64_t v);
/* "90s", "12m", "5h", "3d" */
void mtactl_span(char *buf, size_t max, int64_t us);
/* For columns. Text has no control characters; no number is "-"; age: how long ago; until: how
 * long from now. */
void mtactl_write_text(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
void mtactl_write_number(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
void mtactl_write_age(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
void mtactl_write_until(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
void mtactl_write_size(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
/* Control characters become blanks: what others wrote may not command the terminal. */
void mtactl_clean(char *s);
/* "... and 12 more" below a table. */
void mtactl_show_more(const struct mtactl *m, int64_t all, int64_t shown);

/* --- showing pace (mtactl_why.c, mtactl_pace.c) --- */

void mtactl_show_why(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
void mtactl_show_lanes(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
void mtactl_show_sources(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
void mtactl_show_streams(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
void mtactl_show_limits(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);

/* --- showing overrides (mtactl_override.c) --- */

void mtactl_show_overrides(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
void mtactl_show_set(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
/* "set by root(0) until 14:05 (in 2h): deferred since noon" */
void mtactl_override_words(char *buf, size_t max, const json_t *override, int64_t now_us);
/* "mtactl unset site google rate" */
void mtactl_override_end(char *buf, size_t max, const json_t *override);

/* --- webhooks and pipes (mtactl_webhook.c) --- */

void mtactl_show_webhooks(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer);
int mtactl_webhook(struct mtactl *m, const struct mtactl_options *o);

/* --- tables (mtactl_table.c) --- */

struct mtactl_column {
	const char *title, *field;
	void (*write)(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us);
	bool is_right;
	int least;        /* it may be cut to so many characters; 0: never cut */
	bool is_optional; /* left out where the others would not fit even when cut */
};
/* Widths are measured first; what does not fit the terminal is cut, and marked. A row with a member "is_sum"
 * stands out. */
void mtactl_table(const struct mtactl *m, const struct mtactl_column *columns, size_t count,
	const json_t *rows, int64_t now_us);
#define MTACTL_TABLE(m, columns, rows, now_us)                                                               \
	mtactl_table(m, columns, sizeof(columns) / sizeof(columns[0]), rows, now_us)
/* Bytes of the control character at s, 0: none. */
size_t mtactl_control_len(const char *s);
const char *mtactl_bold(const struct mtactl *m);
const char *mtactl_dim(const struct mtactl *m);
const char *mtactl_red(const struct mtactl *m);
const char *mtactl_green(const struct mtactl *m);
const char *mtactl_plain(const struct mtactl *m);

/* --- charts (mtactl_chart.c) --- */

struct chart_picture;
/* file: "-" is standard output; an exit code. */
int mtactl_chart_save(const char *file, const struct chart_picture *p);
void mtactl_chart_print(const struct mtactl *m, const struct chart_picture *p, int height, bool is_plain);

/* --- accounting files --- */

/* What they say of a time, added up (mtactl_report.c). */
int mtactl_report(struct mtactl *m, const struct mtactl_options *o);
const char *mtactl_report_by(size_t i); /* "job" ...; NULL behind the last */
/* What they say of an address or message (mtactl_history.c). */
int mtactl_history(struct mtactl *m, const struct mtactl_options *o);

/* --- local work (mtactl_local.c): exit codes --- */

int mtactl_dkim_keygen(const struct mtactl *m, int argc, char **argv);
int mtactl_passwd(void);
/* What a warm-up curve means for a volume (mtactl_warmup.c). */
int mtactl_warmup_plan(struct mtactl *m, int argc, char **argv);
/* Which settings are in force, and which line says so. */
int mtactl_explain(struct mtactl *m, const struct mtactl_options *o);
/* rules list, rules test (mtactl_rules.c): 0 when a rule holds, 1 when none does. */
int mtactl_rules(struct mtactl *m, const struct mtactl_options *o);
/* The file whose blocks a command without a daemon goes by (mtactl_shipped.c): the configuration or, where
 * there is none and nobody named one, `name` as it came with mtad, which is said. */
const char *mtactl_rules_file(const struct mtactl *m, const char *name, char buf[PATH_MAX]);
/* feedback read: what mails that came back say (mtactl_feedback.c); 1 when one was not understood. */
int mtactl_feedback(struct mtactl *m, const struct mtactl_options *o);
/* What replies mean (mtactl_classify.c). */
int mtactl_classify(struct mtactl *m, const struct mtactl_options *o);
/* The queue of the daemon under another configuration (mtactl_simulate.c). */
int mtactl_simulate(struct mtactl *m, const struct mtactl_options *o);
#endif
