/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stops no mail today and should not stay as it is. A running daemon looks again each day: what was true
 * at the start is not true for ever, and nobody reads the log of last year.
 */
#include "daemon.h"

#include "base/clock.h"

#include <time.h>

enum { DAY_S = 86400, SOON_S = 14 * DAY_S };

void
daemon_warn_of_certificates(
	const struct conf *conf, const int64_t *ends, int64_t now_us, FILE *out, struct log *log)
{
	int64_t now = now_us / 1000000;
	char when[32];
	struct tm tm;
	size_t i;

	for (i = 0; i < conf->listen_count; i++) {
		const struct conf_listen *l = &conf->listens[i];
		bool is_over = ends[i] <= now;
		time_t end = ends[i];

		if (ends[i] > now + SOON_S)
			continue;
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
		if (out != NULL)
			fprintf(out, "%s: warning: the certificate of listen %s, %s, %s %s: renew it\n",
				l->at, l->name, l->certificate, is_over ? "has expired at" : "will expire at",
				when);
		log_event(log, is_over ? LOG_EVENT_certificate_expired : LOG_EVENT_certificate_ends,
			"listen=%s at=%s file=%s", l->name, when, l->certificate);
	}
}

void
daemon_warn_daily(struct daemon *d)
{
	const struct app *a = &d->app;
	int64_t now_us = clock_now(a->clock), day = now_us / (INT64_C(1000000) * DAY_S);

	if (day == d->warned_day)
		return;
	d->warned_day = day;
	daemon_warn_of_certificates(a->conf, d->certificate_ends, now_us, NULL, a->log);
	if (clock_is_adrift())
		log_event(a->log, LOG_EVENT_clock_adrift, "why=\"the kernel says: not synchronised\"");
}
