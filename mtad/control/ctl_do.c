/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator changes. Each change is logged with who asked for it, also when it was broken off.
 */
#include "control/ctl_reason.h"
#include "control/ctl_request.h"
#include "daemon.h"
#include "intake/dkim.h"
#include "queue/operate.h"
#include "queue/spool.h"
#include "queue_store.h"
#include "report/report.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	HOLDS_WAITING_MAX = 8192, /* recipients, for the spool to write them, before more are held */
	HOLDS_WAIT_US = 5000,
};

static void
log_change(const struct ctl_request *r, const char *what)
{
	char *args = json_dumps(r->args, JSON_COMPACT);
	char escaped[600];

	log_event(r->app->log, LOG_EVENT_operator, "who=%s what=%s count=%llu args=\"%s\"", r->who, what,
		(unsigned long long)r->done,
		log_escape(escaped, sizeof(escaped), args != NULL ? args : "",
			args != NULL ? strnlen(args, 400) : 0));
	free(args);
}

bool
ctl_done(struct ctl_request *r, const char *what)
{
	if (r->done > 0 || r->busy > 0)
		log_change(r, what);
	ctl_summary(r, json_pack("{s:s,s:I,s:I}", "what", what, "count", ctl_number(r->done), "busy",
			       ctl_number(r->busy)));
	return true;
}

void
ctl_left(struct ctl_request *r)
{
	char what[64];

	if (!r->is_change || r->done + r->busy == 0)
		return;
	snprintf(what, sizeof(what), "%.40s broken_off=yes", ctl_arg(r, "command"));
	log_change(r, what);
}

/* --- retrying, holding, releasing, removing: what is done to those a filter names --- */

static enum ctl_next
apply_retry(struct ctl_request *r, const struct queue_filter *f)
{
	r->done += dispatch_retry(r->app->dispatch, f);
	return CTL_ON;
}

static enum ctl_next
change_hold(struct ctl_request *r, const struct queue_filter *f, bool hold)
{
	const struct app *a = r->app;

	if (dispatch_holds_posted(a->dispatch) - spool_holds_written(a->spool) >= HOLDS_WAITING_MAX)
		return CTL_WAIT;
	r->done += dispatch_hold(a->dispatch, f, hold);
	return CTL_ON;
}

static enum ctl_next
apply_hold(struct ctl_request *r, const struct queue_filter *f)
{
	return change_hold(r, f, true);
}

static enum ctl_next
apply_release(struct ctl_request *r, const struct queue_filter *f)
{
	return change_hold(r, f, false);
}

static enum ctl_next
apply_remove(struct ctl_request *r, const struct queue_filter *f)
{
	bool bounce = strcmp(ctl_arg(r, "command"), "bounce") == 0;
	const char *reason = ctl_arg(r, "reason");
	uint64_t busy = 0;

	if (reason[0] == '\0')
		reason = bounce ? "returned by the operator" : "deleted by the operator";
	if (dispatch_is_backlogged(r->app->dispatch))
		return CTL_WAIT; /* the spool first */
	r->done += dispatch_remove(r->app->dispatch, f, bounce ? QUEUE_VERDICT_FAILED : QUEUE_VERDICT_DROPPED,
		reason, f->walk->limit, &busy);
	r->busy += busy;
	return CTL_ON;
}

static bool
finish_change(struct ctl_request *r)
{
	return ctl_done(r, ctl_arg(r, "command"));
}

/* In the control side's thread, where nobody waits for us. Who is told that mail is held may rely on it: the
 * next start knows it too. */
static bool
wait_for_holds(struct ctl_request *r)
{
	struct spool_stats st;

	if (r->done == 0 || spool_holds_written(r->app->spool) >= r->holds)
		return finish_change(r);
	spool_stats(r->app->spool, &st);
	if (st.is_failed) {
		log_change(r, ctl_arg(r, "command"));
		return ctl_error(
			r, "done, but the spool cannot be written: a restart before it can undoes it");
	}
	usleep(HOLDS_WAIT_US);
	return ctl_go_on(r, r->slow, wait_for_holds);
}

static bool
finish_hold(struct ctl_request *r)
{
	r->holds = dispatch_holds_posted(r->app->dispatch);
	return ctl_go_on(r, r->slow, wait_for_holds);
}

static const struct {
	const char *command;
	ctl_apply *apply;
	bool (*end)(struct ctl_request *r);
} verbs[] = {{"retry", apply_retry, finish_change}, {"hold", apply_hold, finish_hold},
	{"release", apply_release, finish_hold}, {"bounce", apply_remove, finish_change},
	{"delete", apply_remove, finish_change}};

bool
ctl_change(struct ctl_request *r)
{
	size_t i = 0;

	if (!ctl_filter(r))
		return true;
	if (dispatch_is_recovering(r->app->dispatch))
		return ctl_error(r, "the index is still being read from the spool: try again in a moment");
	while (strcmp(verbs[i].command, ctl_arg(r, "command")) != 0)
		i++; /* this file is asked for these commands alone */
	r->is_change = true;
	return ctl_walk(r, verbs[i].apply, verbs[i].end);
}

static bool
finish_count(struct ctl_request *r)
{
	ctl_summary(r, json_pack("{s:I}", "count", ctl_number(r->done)));
	return true;
}

bool
ctl_count(struct ctl_request *r)
{
	return ctl_filter(r) ? ctl_walk(r, ctl_apply_count, finish_count) : true;
}

/* --- pauses --- */

/* -1: not a kind. */
static int
pause_kind(const struct ctl_request *r)
{
	size_t i;

	for (i = 0; i < QUEUE_PAUSE_KINDS; i++)
		if (strcmp(ctl_pause_kind((enum queue_pause_kind)i), ctl_arg(r, "kind")) == 0)
			return (int)i;
	return -1;
}

/* What the spool remembers of a name. */
enum { PAUSE_NAME_MAX = 180 };

static struct queue_blob
text(const char *s)
{
	return (struct queue_blob){s, strnlen(s, 300)};
}

/* The site behind it, when there is one. */
static bool
pause_site(struct ctl_request *r, int kind, char buf[DISPATCH_PAUSE_NAME_MAX], struct queue_blob *name)
{
	struct queue_blob site = text(ctl_arg(r, "site"));

	if (site.len == 0)
		return true;
	if (kind != QUEUE_PAUSE_JOB && kind != QUEUE_PAUSE_USER && kind != QUEUE_PAUSE_STREAM &&
		kind != QUEUE_PAUSE_SENDER)
		return !ctl_error(r,
			"--site goes with job, user, stream or sender, not with %s; "
			"mtactl pause site %s stops all mail to it",
			ctl_pause_kind((enum queue_pause_kind)kind), ctl_arg(r, "site"));
	*name = dispatch_at_site(buf, DISPATCH_PAUSE_NAME_MAX, *name, site);
	return true;
}

/* The name as the schedule spells it, in *buf if need be; an error was set when it can be none. */
static bool
pause_name(struct ctl_request *r, int kind, char buf[DISPATCH_PAUSE_NAME_MAX], struct queue_blob *out)
{
	const char *name = ctl_arg(r, "name");
	int len;

	*out = text(name);
	if (kind != QUEUE_PAUSE_ALL && out->len == 0)
		return !ctl_error(r, "%s: a name is needed", ctl_pause_kind((enum queue_pause_kind)kind));
	if (out->len > PAUSE_NAME_MAX)
		return !ctl_error(
			r, "%s: no name is as long as this", ctl_pause_kind((enum queue_pause_kind)kind));
	if (kind != QUEUE_PAUSE_DOMAIN || ctl_arg(r, "site")[0] != '\0')
		return pause_site(r, kind, buf, out);
	if ((len = domain_normalise(out->ptr, out->len, r->domain, sizeof(r->domain))) < 0)
		return !ctl_error(r, "\"%s\" is no domain", name);
	*out = (struct queue_blob){r->domain, (size_t)len};
	return true;
}

bool
ctl_pause(struct ctl_request *r)
{
	int kind = pause_kind(r);
	int64_t for_us = ctl_arg_int(r, "for_us", 0);
	char buf[DISPATCH_PAUSE_NAME_MAX];
	struct queue_blob name;
	int64_t until_us;

	if (kind < 0)
		return ctl_error(r, "pause what? domain, site, source, job, user, stream, sender or all");
	if (for_us < 0 || for_us > PAUSE_MAX_US)
		return ctl_error(r, "a pause lasts ten years at most, or until it is lifted");
	until_us = for_us > 0 ? clock_now(r->app->clock) + for_us : INT64_MAX;
	if (!pause_name(r, kind, buf, &name))
		return true;
	if (!dispatch_pause(r->app->dispatch, (enum queue_pause_kind)kind, name, until_us,
		    text(ctl_arg(r, "reason"))))
		return ctl_error(r, "%s \"%s\": %s", ctl_arg(r, "kind"), ctl_arg(r, "name"),
			kind == QUEUE_PAUSE_SOURCE ? "there is no such source in the configuration"
						   : "out of memory");
	r->done = 1;
	return ctl_done(r, "pause");
}

bool
ctl_resume(struct ctl_request *r)
{
	int kind = pause_kind(r);
	char buf[DISPATCH_PAUSE_NAME_MAX];
	const char *site = ctl_arg(r, "site");
	struct queue_blob name;

	if (kind < 0)
		return ctl_error(r, "resume what? domain, site, source, job, user, stream, sender or all");
	if (!pause_name(r, kind, buf, &name))
		return true;
	if (!dispatch_resume(r->app->dispatch, (enum queue_pause_kind)kind, name))
		return ctl_error(r, "%s%s%s was not paused%s%s; mtactl pauses shows what is",
			ctl_arg(r, "kind"), name.len > 0 ? " " : "", ctl_arg(r, "name"),
			site[0] != '\0' ? " at " : "", site);
	r->done = 1;
	return ctl_done(r, "resume");
}

static bool
pause_row(void *arg, const struct queue_pause_view *v)
{
	struct ctl_request *r = arg;
	json_t *name = v->kind == QUEUE_PAUSE_SOURCE
			       ? json_string(dispatch_source_name(r->app->dispatch, v->source))
			       : ctl_blob(v->name);

	ctl_row(r, json_pack("{s:s,s:o,s:o,s:o,s:I}", "kind", ctl_pause_kind(v->kind), "name", name, "site",
			   ctl_blob(v->site), "reason", ctl_blob(v->reason), "until_us",
			   (json_int_t)(v->until_us == INT64_MAX ? 0 : v->until_us)));
	return true;
}

bool
ctl_pauses(struct ctl_request *r)
{
	queue_sched_each_pause(dispatch_sched(r->app->dispatch), pause_row, r);
	ctl_summary(r, json_pack("{s:I}", "now_us", (json_int_t)clock_now(r->app->clock)));
	return true;
}

/* --- what lanes have learned --- */

bool
ctl_clear(struct ctl_request *r)
{
	struct queue_blob site = text(ctl_arg(r, "site")), source = text(ctl_arg(r, "source"));
	struct queue_site_view v;
	uint32_t count = 0;

	if (site.len == 0)
		return ctl_error(r, "clear which site? mtactl sites lists them");
	if (!queue_sched_site_find(dispatch_sched(r->app->dispatch), site, &v))
		return ctl_error(r, "no mail goes to a site %s now; mtactl sites lists those there are",
			ctl_arg(r, "site"));
	if (!dispatch_clear(r->app->dispatch, site, source, &count))
		return ctl_unknown_source(r, ctl_arg(r, "source"));
	r->done = count;
	return ctl_done(r, "clear");
}

/* --- the daemon --- */

bool
ctl_reload(struct ctl_request *r)
{
	char *words = NULL;
	size_t len = 0;
	FILE *out;
	bool ok;

	if (r->app->is_stopping)
		return ctl_error(r, "mtad is stopping: nothing is read again");
	if ((out = open_memstream(&words, &len)) == NULL)
		return ctl_error(r, "out of memory");
	ok = app_reload(r->app, out);
	fclose(out);
	ctl_summary(r, json_pack("{s:b,s:s}", "reloaded", (int)ok, "text", words != NULL ? words : ""));
	r->exit_code = ok ? 0 : 1;
	r->done = 1;
	log_change(r, "reload");
	free(words);
	return true;
}

bool
ctl_stop(struct ctl_request *r)
{
	bool again = r->app->is_stopping;

	r->done = 1;
	log_change(r, "stop");
	app_stop(r->app);
	ctl_summary(r, json_pack("{s:b,s:b,s:I}", "stopping", 1, "cut", (int)again, "within_us",
			       (json_int_t)(again ? 0 : r->app->conf->stop_timeout)));
	return true;
}

bool
ctl_rotate(struct ctl_request *r)
{
	char why[300];

	log_change(r, "rotate");
	if (!report_rotate(r->app->report, why, sizeof(why)))
		return ctl_error(r, "%s", why);
	r->done = 1;
	ctl_summary(r, json_pack("{s:b}", "rotated", 1));
	return true;
}

/* --- dkim check: every key of the domain against DNS, through the daemon's own resolver --- */

struct dkim_look_up {
	struct ctl_request *r;
	const struct conf *conf; /* a reference: key points into it, and a reload may come first */
	struct dkim_key_conf key;
	char name[300];
};

static void
on_txt(void *arg, const char *txt, const char *why)
{
	struct dkim_look_up *l = arg;
	struct ctl_request *r = l->r;
	char words[400] = "";
	int same = 1;

	if (txt != NULL)
		same = dkim_record_compare(txt, l->key.key_path, words, sizeof(words));
	else
		snprintf(words, sizeof(words), "%s", why != NULL ? why : "no record");
	if (same != 0)
		r->exit_code = 1;
	ctl_row(r, json_pack("{s:s,s:s,s:s,s:b,s:s}", "domain", l->key.domain, "selector", l->key.selector,
			   "record", l->name, "good", (int)(same == 0), "why", words));
	conf_unref(l->conf);
	free(l);
	if (--r->busy == 0)
		mailbox_post(r->back, &r->call.letter);
}

static bool
look_up(struct ctl_request *r, const struct conf *conf, const struct conf_dkim *d)
{
	struct dkim_look_up *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return false;
	l->r = r;
	l->key = (struct dkim_key_conf){d->name, d->selector, d->key};
	if (dkim_record_name(&l->key, l->name, sizeof(l->name)) < 0) {
		free(l);
		return false;
	}
	l->conf = conf_ref(conf);
	r->busy++;
	route_txt(dispatch_route(r->app->dispatch), l->name, on_txt, l);
	return true;
}

/* The answer is posted by the last look-up. */
bool
ctl_dkim_check(struct ctl_request *r)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);
	const char *domain = ctl_arg(r, "domain");
	size_t i;

	for (i = 0; i < c->dkim_count; i++)
		if (domain[0] == '\0' || strcasecmp(c->dkims[i].name, domain) == 0)
			(void)look_up(r, c, &c->dkims[i]);
	if (r->busy == 0)
		return ctl_error(r, "no dkim block%s%s in the configuration",
			domain[0] != '\0' ? " for " : "", domain);
	r->is_pending = true;
	return true;
}
