/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload is a transaction: everything is read and tried first, then every thread gets its part as a letter;
 * without memory for all letters none is posted.
 */
#include "daemon.h"

#include "base/tls.h"
#include "intake/reader.h"
#include "intake/signer.h"
#include "io.h"
#include "queue/dispatch.h"
#include "queue/letters.h"
#include "queue/spool.h"
#include "report/report.h"

#include <stdlib.h>

enum reload_target { RELOAD_SPOOL, RELOAD_REPORT, RELOAD_DISPATCH, RELOAD_READER, RELOAD_SIGNER, RELOAD_IO };

/* One thread's part of a reload; frees itself when it has run. */
struct reload {
	struct call call;
	enum reload_target target;
	void *object;
	const struct conf *conf;
	struct signer_keys *keys;
	struct listener_set sockets; /* of an io thread */
	struct log *log;
};

/* What a reload brings, everything tried. */
struct change {
	const struct conf *conf;
	struct signer_keys *keys;
	int64_t *certificate_ends;
	struct listener_set *listeners;
};

static void
part_free(struct reload *r)
{
	signer_keys_unref(r->keys);
	conf_unref(r->conf);
	free(r->sockets.items);
	free(r);
}

static void
run_reload(struct call *c)
{
	struct reload *r = (struct reload *)c;
	const struct intake_change change = {r->conf, r->conf->dkim_count > 0, &r->sockets};
	char why[DAEMON_WHY_MAX] = "out of memory";
	bool ok = true;

	switch (r->target) {
	case RELOAD_SPOOL:
		spool_reconfigure(r->object, r->conf);
		break;
	case RELOAD_REPORT:
		report_reconfigure(r->object, r->conf);
		break;
	case RELOAD_DISPATCH:
		ok = dispatch_reconfigure(r->object, r->conf);
		break;
	case RELOAD_READER:
		ok = reader_reconfigure(r->object, r->conf);
		break;
	case RELOAD_SIGNER:
		signer_reconfigure(r->object, r->conf, r->keys);
		break;
	case RELOAD_IO:
		ok = io_reconfigure(r->object, &change, why, sizeof(why));
		break;
	}
	if (!ok)
		log_event(
			r->log, LOG_EVENT_config_refused, "why=\"a thread keeps the old settings: %s\"", why);
	part_free(r);
}

/* `n` counts the threads of one kind. */
static struct reload *
make_part(struct app *a, const struct change *change, enum reload_target target, size_t n)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->call.letter.kind = LETTER_CALL;
	r->call.run = run_reload;
	r->target = target;
	r->object = target == RELOAD_SPOOL      ? (void *)a->spool
		    : target == RELOAD_REPORT   ? (void *)a->report
		    : target == RELOAD_DISPATCH ? (void *)a->dispatch
		    : target == RELOAD_READER   ? (void *)a->reader
		    : target == RELOAD_SIGNER   ? (void *)a->signers[n]
						: (void *)a->ios[n];
	r->conf = conf_ref(change->conf);
	r->keys = signer_keys_ref(change->keys);
	r->log = a->log;
	if (target == RELOAD_IO && !listener_copy(&change->listeners[n], &r->sockets)) {
		part_free(r);
		return NULL;
	}
	return r;
}

static struct worker *
worker_of(const struct daemon *d, enum reload_target target, size_t n)
{
	switch (target) {
	case RELOAD_SPOOL:
		return spool_worker(d->app.spool);
	case RELOAD_REPORT:
		return report_worker(d->app.report);
	case RELOAD_DISPATCH:
		return dispatch_worker(d->app.dispatch);
	case RELOAD_READER:
		return reader_worker(d->app.reader);
	case RELOAD_SIGNER:
		return d->sign_workers[n];
	case RELOAD_IO:
		break;
	}
	return d->io_workers[n];
}

/* Posts every part, or none when there is no memory for all. */
static bool
spread(struct app *a, const struct change *change)
{
	const struct daemon *d = (struct daemon *)a;
	const size_t counts[] = {[RELOAD_SPOOL] = 1,
		[RELOAD_REPORT] = 1,
		[RELOAD_DISPATCH] = 1,
		[RELOAD_READER] = 1,
		[RELOAD_SIGNER] = a->signer_count,
		[RELOAD_IO] = a->io_count};
	size_t count = 4 + a->signer_count + a->io_count, made = 0, i, n;
	struct reload **parts = calloc(count, sizeof(*parts));
	int target;

	if (parts == NULL)
		return false;
	for (target = RELOAD_SPOOL; target <= RELOAD_IO; target++)
		for (n = 0; n < counts[target]; n++)
			if ((parts[made] = make_part(a, change, (enum reload_target)target, n)) != NULL)
				made++;
	for (i = 0; made < count && i < made; i++)
		part_free(parts[i]);
	for (target = RELOAD_SPOOL, i = 0; made == count && target <= RELOAD_IO; target++)
		for (n = 0; n < counts[target]; n++, i++)
			worker_post(worker_of(d, (enum reload_target)target, n), &parts[i]->call.letter);
	free(parts);
	return made == count;
}

/* Certificates and keys are tried before anything is swapped. */
int64_t *
daemon_check_secrets(const struct conf *conf, char *why, size_t why_max)
{
	int64_t *ends = calloc(conf->listen_count + 1, sizeof(*ends));
	SSL_CTX *ctx;
	size_t i;

	snprintf(why, why_max, "out of memory");
	for (i = 0; ends != NULL && i < conf->listen_count; i++) {
		const struct conf_listen *l = &conf->listens[i];

		ends[i] = INT64_MAX;
		if (l->certificate[0] == '\0' || l->tls == CONF_LISTEN_TLS_NONE)
			continue;
		if ((ctx = tls_server_create(l->certificate, l->key, why, why_max)) == NULL) {
			free(ends);
			return NULL;
		}
		ends[i] = tls_server_ends(ctx);
		SSL_CTX_free(ctx);
	}
	return ends;
}

/* What is taken away from the old configuration goes last, as it may be spoken of until then. */
static void
apply_main(struct app *a, const struct change *change)
{
	struct daemon *d = (struct daemon *)a;
	const struct conf *old = a->conf;

	listener_replace(&d->listeners, a->io_count, change->listeners, a->log);
	a->conf = change->conf;
	free(d->certificate_ends);
	d->certificate_ends = change->certificate_ends;
	log_set_level(a->log, (enum conf_log_level)a->conf->log_level);
	atomic_store(&a->memory.max_bytes, a->conf->memory_max);
	signer_keys_unref(a->keys);
	a->keys = change->keys;
	conf_unref(old);
}

/* Everything that can fail, and nothing that anybody notices. */
static bool
try_change(struct app *a, struct change *c, FILE *out, char *why, size_t why_max)
{
	const struct daemon *d = (struct daemon *)a;

	return (c->conf = conf_load(a->conf_file, out)) != NULL &&
	       (c->certificate_ends = daemon_check_secrets(c->conf, why, why_max)) != NULL &&
	       (c->keys = signer_keys_load(c->conf, why, why_max)) != NULL &&
	       (c->listeners = listener_bind(c->conf, a->io_count, d->listeners, a->log, why, why_max)) !=
		       NULL;
}

static void
drop_change(struct app *a, struct change *c)
{
	const struct daemon *d = (struct daemon *)a;

	listener_close(&c->listeners, a->io_count, d->listeners);
	signer_keys_unref(c->keys);
	free(c->certificate_ends);
	conf_unref(c->conf);
}

bool
app_reload(struct app *a, FILE *out)
{
	struct change change = {NULL};
	char why[DAEMON_WHY_MAX] = "";

	if (!try_change(a, &change, out, why, sizeof(why))) {
		if (why[0] != '\0')
			fprintf(out, "%s\n", why);
		fprintf(out, "nothing was changed\n");
		log_event(a->log, LOG_EVENT_config_refused, "file=%s why=\"%s\"", a->conf_file,
			why[0] != '\0' ? why : "see mtad -t");
		drop_change(a, &change);
		return false;
	}
	conf_diff(a->conf, change.conf, out);
	if (!spread(a, &change)) {
		fprintf(out, "out of memory, nothing was changed\n");
		drop_change(a, &change);
		return false;
	}
	apply_main(a, &change);
	daemon_warn_of_certificates(a->conf, change.certificate_ends, clock_now(a->clock), out, a->log);
	log_event(a->log, LOG_EVENT_config_loaded, "file=%s", a->conf_file);
	return true;
}
