/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload is a transaction: everything is read and tried first, then every thread gets its part as a letter;
 * without memory for all letters none is posted.
 */
#include "daemon.h"

#include "base/tls.h"
#include "intake/signer.h"
#include "io.h"
#include "queue/dispatch.h"
#include "queue/letters.h"
#include "queue/spool.h"
#include "report/report.h"

#include <stdlib.h>

enum reload_target { RELOAD_SPOOL, RELOAD_REPORT, RELOAD_DISPATCH, RELOAD_SIGNER, RELOAD_IO };

/* One thread's part of a reload; frees itself when it has run. */
struct reload {
	struct call call;
	enum reload_target target;
	void *object;
	const struct conf *conf;
	struct signer_keys *keys;
	bool has_keys;
	struct log *log;
};

static void
run_reload(struct call *c)
{
	struct reload *r = (struct reload *)c;
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
	case RELOAD_SIGNER:
		signer_reconfigure(r->object, r->conf, r->keys);
		break;
	case RELOAD_IO:
		ok = io_reconfigure(r->object, r->conf, r->has_keys, why, sizeof(why));
		break;
	}
	if (!ok)
		log_event(
			r->log, LOG_EVENT_config_refused, "why=\"a thread keeps the old settings: %s\"", why);
	signer_keys_unref(r->keys);
	conf_unref(r->conf);
	free(r);
}

static bool
prepare_reload(struct reload **out, struct app *a, const struct conf *conf, struct signer_keys *keys,
	enum reload_target target)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	r->call.letter.kind = LETTER_CALL;
	r->call.run = run_reload;
	r->target = target;
	r->conf = conf_ref(conf);
	r->keys = signer_keys_ref(keys);
	r->has_keys = conf->dkim_count > 0;
	r->log = a->log;
	*out = r;
	return true;
}

/* Posts every part, or none when there is no memory for all. */
static bool
spread(struct app *a, const struct conf *conf, struct signer_keys *keys)
{
	struct daemon *d = (struct daemon *)a;
	size_t count = 3 + a->signer_count + a->io_count, n = 0, i;
	struct reload **parts = calloc(count, sizeof(*parts));
	struct worker **workers = calloc(count, sizeof(*workers));
	bool ok = parts != NULL && workers != NULL;

	for (i = 0; ok && i < count; i++) {
		enum reload_target target = i < 3                     ? (enum reload_target)i
					    : i < 3 + a->signer_count ? RELOAD_SIGNER
								      : RELOAD_IO;

		ok = prepare_reload(&parts[i], a, conf, keys, target);
		n += ok;
	}
	for (i = 0; i < n; i++) {
		if (!ok) {
			signer_keys_unref(parts[i]->keys);
			conf_unref(parts[i]->conf);
			free(parts[i]);
			continue;
		}
		parts[i]->object = i == 0                    ? (void *)a->spool
				   : i == 1                  ? (void *)a->report
				   : i == 2                  ? (void *)a->dispatch
				   : i < 3 + a->signer_count ? (void *)a->signers[i - 3]
							     : (void *)a->ios[i - 3 - a->signer_count];
		workers[i] = i == 0                    ? spool_worker(a->spool)
			     : i == 1                  ? report_worker(a->report)
			     : i == 2                  ? dispatch_worker(a->dispatch)
			     : i < 3 + a->signer_count ? d->sign_workers[i - 3]
						       : d->io_workers[i - 3 - a->signer_count];
		worker_post(workers[i], &parts[i]->call.letter);
	}
	free(parts);
	free(workers);
	return ok;
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

static void
apply_main(struct app *a, const struct conf *conf, struct signer_keys *keys, int64_t *take_ends)
{
	struct daemon *d = (struct daemon *)a;
	const struct conf *old = a->conf;

	a->conf = conf;
	free(d->certificate_ends);
	d->certificate_ends = take_ends;
	log_set_level(a->log, (enum conf_log_level)conf->log_level);
	atomic_store(&a->memory.max_bytes, conf->memory_max);
	signer_keys_unref(a->keys);
	a->keys = keys;
	conf_unref(old);
}

bool
app_reload(struct app *a, FILE *out)
{
	const struct conf *fresh = conf_load(a->conf_file, out);
	struct signer_keys *keys = NULL;
	char why[DAEMON_WHY_MAX] = "";
	int64_t *ends = NULL;

	if (fresh != NULL && (ends = daemon_check_secrets(fresh, why, sizeof(why))) != NULL)
		keys = signer_keys_load(fresh, why, sizeof(why));
	if (fresh == NULL || keys == NULL) {
		if (why[0] != '\0')
			fprintf(out, "%s\n", why);
		fprintf(out, "nothing was changed\n");
		log_event(a->log, LOG_EVENT_config_refused, "file=%s why=\"%s\"", a->conf_file,
			why[0] != '\0' ? why : "see mtad -t");
		free(ends);
		conf_unref(fresh);
		return false;
	}
	conf_diff(a->conf, fresh, out);
	if (!spread(a, fresh, keys)) {
		fprintf(out, "out of memory, nothing was changed\n");
		signer_keys_unref(keys);
		free(ends);
		conf_unref(fresh);
		return false;
	}
	apply_main(a, fresh, keys, ends);
	daemon_warn_of_certificates(fresh, ends, clock_now(a->clock), out, a->log);
	log_event(a->log, LOG_EVENT_config_loaded, "file=%s", a->conf_file);
	return true;
}
