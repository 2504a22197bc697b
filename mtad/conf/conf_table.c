/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that walks over settings (parser, defaults, manual, comparison) walks over these arrays, so a
 * new row in conf.def needs no other change here.
 *
 * Invariant: row n of conf_delivery_rows is bit n of conf_delivery.is_set, hence at most 64 of them.
 */
#include "conf/conf_table.h"

#include <assert.h>
#include <string.h>

#define CONF_LIVE  true
#define CONF_START false
#define MEMBER(part, member, field, type, fallback, min, max, when, doc)                                     \
	{#field, CONF_TYPE_##type, fallback, min, max, CONF_##when, doc, offsetof(struct part, member.field)},
#define ROW(part, field, type, fallback, min, max, when, doc)                                                \
	{#field, CONF_TYPE_##type, fallback, min, max, CONF_##when, doc, offsetof(struct part, field)},
#define LIMIT(part, field, type, fallback, min, max, when, doc)                                              \
	{#field, CONF_TYPE_##type, fallback, min, max, CONF_##when, doc, offsetof(struct part, limits.field)},
#define FEEDBACK(part, field, type, fallback, min, max, when, doc)                                           \
	{#field, CONF_TYPE_##type, fallback, min, max, CONF_##when, doc,                                     \
		offsetof(struct part, feedback.field)},

static const struct conf_row global_rows[] = {
#define CONF_GLOBAL(...) ROW(conf, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_GLOBAL
};
static const struct conf_row listen_rows[] = {
#define CONF_LISTEN(...) ROW(conf_listen, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_LISTEN
};
static const struct conf_row user_rows[] = {
#define CONF_USER(...)     ROW(conf_user, __VA_ARGS__)
#define CONF_LIMITS(...)   LIMIT(conf_user, __VA_ARGS__)
#define CONF_FEEDBACK(...) FEEDBACK(conf_user, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_FEEDBACK
#undef CONF_LIMITS
#undef CONF_USER
};
static const struct conf_row stream_rows[] = {
#define CONF_STREAM(...)   ROW(conf_stream, __VA_ARGS__)
#define CONF_LIMITS(...)   LIMIT(conf_stream, __VA_ARGS__)
#define CONF_FEEDBACK(...) FEEDBACK(conf_stream, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_FEEDBACK
#undef CONF_LIMITS
#undef CONF_STREAM
};
static const struct conf_row guard_rows[] = {
#define CONF_GUARD(...) ROW(conf_guard, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_GUARD
};
static const struct conf_row suppression_rows[] = {
#define CONF_SUPPRESSION(...) ROW(conf_suppression, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_SUPPRESSION
};
static const struct conf_row source_rows[] = {
#define CONF_SOURCE(...)         ROW(conf_source, __VA_ARGS__)
#define CONF_LIMITS(...)         LIMIT(conf_source, __VA_ARGS__)
#define CONF_CONNECT_LIMITS(...) LIMIT(conf_source, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_CONNECT_LIMITS
#undef CONF_LIMITS
#undef CONF_SOURCE
};
static const struct conf_row pool_rows[] = {
#define CONF_POOL(...)           ROW(conf_pool, __VA_ARGS__)
#define CONF_LIMITS(...)         LIMIT(conf_pool, __VA_ARGS__)
#define CONF_CONNECT_LIMITS(...) LIMIT(conf_pool, __VA_ARGS__)
#define CONF_FEEDBACK(...)       FEEDBACK(conf_pool, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_FEEDBACK
#undef CONF_CONNECT_LIMITS
#undef CONF_LIMITS
#undef CONF_POOL
};
static const struct conf_row sender_rows[] = {
#define CONF_SENDER(...) ROW(conf_sender, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_SENDER
};
static const struct conf_row warmup_rows[] = {
#define CONF_WARMUP(...) ROW(conf_warmup, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_WARMUP
};
static const struct conf_row dkim_rows[] = {
#define CONF_DKIM(...) ROW(conf_dkim, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_DKIM
};
const struct conf_row conf_delivery_rows[] = {
#define CONF_DELIVERY(...) ROW(conf_delivery, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_DELIVERY
};
static const struct conf_row provider_rows[] = {
#define CONF_PROVIDER(...) ROW(conf_provider, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_PROVIDER
};
static const struct conf_row profile_rows[] = {
#define CONF_PROFILE(...) ROW(conf_profile, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_PROFILE
};
static const struct conf_row rule_rows[] = {
#define CONF_RULE(...) ROW(conf_rule, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_RULE
};
static const struct conf_row bounce_rows[] = {
#define CONF_BOUNCE(...) ROW(conf_bounce, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_BOUNCE
};

static const struct conf_row report_form_rows[] = {
#define CONF_REPORT_FORM(...) ROW(conf_report_form, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_REPORT_FORM
};
static const struct conf_row route_rows[] = {
#define CONF_ROUTE(...) ROW(conf_route, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_ROUTE
};
static const struct conf_row accounting_rows[] = {
#define CONF_ACCOUNTING(...) ROW(conf_accounting, __VA_ARGS__)
#define CONF_COLUMNS(...)    MEMBER(conf_accounting, columns, __VA_ARGS__)
#define CONF_RECORDS(...)    MEMBER(conf_accounting, which, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_RECORDS
#undef CONF_COLUMNS
#undef CONF_ACCOUNTING
};
static const struct conf_row webhook_rows[] = {
#define CONF_WEBHOOK(...) ROW(conf_webhook, __VA_ARGS__)
#define CONF_OUTLET(...)  MEMBER(conf_webhook, outlet, __VA_ARGS__)
#define CONF_RECORDS(...) MEMBER(conf_webhook, outlet.which, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_RECORDS
#undef CONF_OUTLET
#undef CONF_WEBHOOK
};
static const struct conf_row pipe_rows[] = {
#define CONF_PIPE(...) ROW(conf_pipe, __VA_ARGS__)
/* A batch has its own line of names; only a file must keep the one it began with. */
#define CONF_COLUMNS(field, type, fallback, min, max, when, doc)                                             \
	MEMBER(conf_pipe, columns, field, type, fallback, min, max, LIVE, doc)
#define CONF_OUTLET(...)  MEMBER(conf_pipe, outlet, __VA_ARGS__)
#define CONF_RECORDS(...) MEMBER(conf_pipe, outlet.which, __VA_ARGS__)
#include "conf/conf.def"
#undef CONF_RECORDS
#undef CONF_OUTLET
#undef CONF_COLUMNS
#undef CONF_PIPE
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
const size_t conf_delivery_row_count = COUNT(conf_delivery_rows);
_Static_assert(COUNT(conf_delivery_rows) <= 64, "conf_delivery.is_set has 64 bits");
#define FITS(rows) _Static_assert((rows) <= CONF_ROWS_MAX, "a reader keeps a place for each row of a kind")
FITS(COUNT(global_rows));
FITS(COUNT(listen_rows));
FITS(COUNT(user_rows));
FITS(COUNT(stream_rows));
FITS(COUNT(guard_rows));
FITS(COUNT(suppression_rows));
FITS(COUNT(source_rows));
FITS(COUNT(pool_rows));
FITS(COUNT(sender_rows));
FITS(COUNT(warmup_rows));
FITS(COUNT(dkim_rows));
FITS(COUNT(conf_delivery_rows));
FITS(COUNT(provider_rows) + COUNT(conf_delivery_rows));
FITS(COUNT(profile_rows));
FITS(COUNT(rule_rows));
FITS(COUNT(bounce_rows));
FITS(COUNT(report_form_rows));
FITS(COUNT(route_rows));
FITS(COUNT(accounting_rows));
FITS(COUNT(webhook_rows));
FITS(COUNT(pipe_rows));

#define ROWS(array)               .rows = array, .row_count = COUNT(array)
#define KIND(w, t, d)             KIND_AS(, w, #w, t, d)
#define KIND_OF(w, in_file, t, d) KIND_AS(, w, in_file, t, d)
#define KIND_IN(member, w, t, d)  KIND_AS(member, w, #w, t, d)
#define KIND_AS(member, w, in_file, t, d)                                                                    \
	.word = in_file, .title = t, .doc = d, .bytes = sizeof(struct conf_##w),                             \
	.items = offsetof(struct conf, member w##s), .count = offsetof(struct conf, member w##_count),       \
	.name = offsetof(struct conf_##w, name), .at = offsetof(struct conf_##w, at)

const struct conf_block_kind conf_kinds[CONF_KIND_COUNT] = {
	[CONF_KIND_TOP] =
		{.word = "", .title = "", .doc = "", .rows = global_rows, .row_count = COUNT(global_rows)},
	[CONF_KIND_LISTEN] = {ROWS(listen_rows),
		KIND(listen, "NAME",
			"Where applications hand their mail in, or recipients "
			"unsubscribe. Without any block for submission there "
			"is one, named submission, at 127.0.0.1:587 and "
			"[::1]:587.")},
	[CONF_KIND_USER] = {ROWS(user_rows),
		KIND(user, "NAME", "An account that may log in to submit mail.")},
	[CONF_KIND_STREAM] = {ROWS(stream_rows),
		KIND(stream, "NAME",
			"Mail of one user, one job and one class is a stream: it waits in a line of its own, "
			"gets its share of each site, and can be paused. Streams need no block; one sets the "
			"share and the limits of every stream it fits, and each of those counts for itself. "
			"Of "
			"several blocks that fit, the first in the file is taken.")},
	[CONF_KIND_GUARD] = {ROWS(guard_rows),
		KIND(guard, "USER",
			"From when on bounces and complaints call for a "
			"warning, for less speed, for a stop: of one "
			"user and of each of its streams or, as guard *, of "
			"everybody else and of each source. What "
			"the guard of a user leaves out is as in guard *. The "
			"defaults are what large services "
			"publish. Fewer than five stop nobody. Mail without user and job "
			"is one stream for each class: with a user or X-Job for each "
			"application a bad mailing does not stop the others.")},
	[CONF_KIND_SUPPRESSION] = {ROWS(suppression_rows),
		KIND(suppression, "USER",
			"Addresses that get no more mail: what is done with mail for them, and which bounces "
			"add them, in the mail of one user or, as suppression *, of everybody else. What the "
			"block of a user leaves out is as in suppression *. Without any block the defaults "
			"hold. Who unsubscribes is added for good: let mail that has to go on all the same, "
			"such as receipts, go by a user of its own. `mtactl suppress` shows and changes the "
			"list.")},
	[CONF_KIND_SOURCE] = {ROWS(source_rows),
		KIND(source, "NAME",
			"An address to send from, and the name to send under. Without any there is one, "
			"named default, where the "
			"system chooses the address.")},
	[CONF_KIND_POOL] = {ROWS(pool_rows), KIND(pool, "NAME",
						     "Sources that take the same mail in turn, by their "
						     "weights. Mail that no pool is named "
						     "for leaves by the first source block.")},
	[CONF_KIND_SENDER] = {ROWS(sender_rows),
		KIND(sender, "DOMAIN",
			"A domain that mail is from, by its From address, and its subdomains but for those "
			"that have a block of their own.")},
	[CONF_KIND_WARMUP] = {ROWS(warmup_rows),
		KIND(warmup, "NAME",
			"A curve of your own for new addresses and domains, or other limits for a built-in "
			"one: gentle "
			"(six weeks to "
			"100,000 a day), steady (two weeks to 250,000), brisk (two weeks to a million).")},
	[CONF_KIND_DKIM] = {ROWS(dkim_rows),
		KIND(dkim, "DOMAIN",
			"A key that signs mail whose From address is in DOMAIN; *.example.com stands for all "
			"subdomains. A further "
			"block for the same domain with another selector adds a second signature.")},
	[CONF_KIND_DOMAIN] = {KIND(domain, "DOMAIN",
				      "How mail for one receiving domain is sent; *.example.com stands for "
				      "its subdomains, * for all domains. "
				      "The most specific block wins, setting by setting: domain, then "
				      "provider, then domain *."),
		.has_delivery = true, .delivery_offset = offsetof(struct conf_domain, delivery)},
	[CONF_KIND_PROVIDER] = {ROWS(provider_rows),
		KIND(provider, "NAME",
			"Many domains that one company receives for, known by the names of its mail servers. "
			"Takes the settings of "
			"domain as well."),
		.has_delivery = true, .delivery_offset = offsetof(struct conf_provider, delivery)},
	[CONF_KIND_PROFILE] = {ROWS(profile_rows),
		KIND(profile, "NAME",
			"Limits that a rule may lay over those of a lane (from one source to one site) for a "
			"time. They only tighten: a limit that is looser than the lane's own changes "
			"nothing.")},
	[CONF_KIND_RULE] = {ROWS(rule_rows),
		KIND(rule, "NAME",
			"What to do when a site answers so. Rules are looked at in the order of the file, "
			"included files behind the file that names them; each that holds does all it says, "
			"unless one before it was the last. So a rule of your own stands before those that "
			"came with mtad, and with last = yes replaces them for the replies it holds for.")},
	[CONF_KIND_BOUNCE] = {ROWS(bounce_rows),
		KIND(bounce, "NAME",
			"What a reply of a site means: the class of a recipient that fails or waits. Of the "
			"blocks that hold, the first in the order of the file is taken, included files "
			"behind "
			"the file that names them; where none holds, the codes decide. So one of your own "
			"stands before those that came with mtad.")},
	[CONF_KIND_REPORT_FORM] = {ROWS(report_form_rows),
		KIND_OF(report_form, "report", "NAME",
			"How to read mail that tells what became of a message without being a report by "
			"RFC 3464. Blocks are tried in the order of the file, included files behind the file "
			"that names them. The first whose header and begin are found, and which names a "
			"recipient if it tells of recipients, is taken.")},
	[CONF_KIND_ROUTE] = {ROWS(route_rows), KIND(route, "NAME",
						       "A fixed way for some domains, or for all, instead of "
						       "the MX records: a smarthost, an internal server.")},
	[CONF_KIND_ACCOUNTING] = {ROWS(accounting_rows),
		KIND_IN(consumers., accounting, "NAME",
			"A further accounting file, with columns and a choice of events of its own. It "
			"rotates as accounting-file does.")},
	[CONF_KIND_WEBHOOK] = {ROWS(webhook_rows),
		KIND_IN(consumers., webhook, "NAME",
			"Events posted to an application, in batches, in order, each at least once; see "
			"EVENTS FOR APPLICATIONS in mtad(8). A new one begins with the next event.")},
	[CONF_KIND_PIPE] = {ROWS(pipe_rows),
		KIND_IN(consumers., pipe, "NAME",
			"Events handed to a program, with the same promises as to a webhook.")},
};

bool
conf_type_is_list(enum conf_type type)
{
	return type == CONF_TYPE_LIST || type == CONF_TYPE_COUNTS || type == CONF_TYPE_DURATIONS ||
	       type == CONF_TYPE_RATES || type == CONF_TYPE_BYTE_RATES;
}

const struct conf_row *
conf_kind_row(const struct conf_block_kind *k, size_t n)
{
	if (n < k->row_count)
		return &k->rows[n];
	n -= k->row_count;
	return k->has_delivery && n < conf_delivery_row_count ? &conf_delivery_rows[n] : NULL;
}

void *
conf_kind_field(const struct conf_block_kind *k, size_t n, void *block)
{
	const struct conf_row *row = conf_kind_row(k, n);
	char *base = block;

	assert(row != NULL);
	if (n >= k->row_count)
		base += k->delivery_offset;
	return base + row->offset;
}

const char *
conf_row_name(const struct conf_row *row, char buf[CONF_ROW_NAME_MAX])
{
	size_t i = 0;

	for (; row->field[i] != '\0' && i < CONF_ROW_NAME_MAX - 1; i++)
		buf[i] = row->field[i] == '_' ? '-' : row->field[i];
	buf[i] = '\0';
	return buf;
}

int
conf_kind_row_find(const struct conf_block_kind *k, const char *name)
{
	char buf[CONF_ROW_NAME_MAX];

	for (size_t n = 0; conf_kind_row(k, n) != NULL; n++)
		if (strncmp(conf_row_name(conf_kind_row(k, n), buf), name, CONF_ROW_NAME_MAX) == 0)
			return (int)n;
	return -1;
}
