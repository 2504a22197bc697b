/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of pace: limits, pools and streams, where they are found and with which values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#include <string.h>

#define S_US INT64_C(1000000)

static const char limits[] = HOST
	"rate-total = { 100/s, 1000000/d }  connect-rate-total = 20/s\n"
	"recipient-rate-total = 200/s  byte-rate-total = 2TB/d  rates-count = deliveries\n"
	"source a { connections = 11  connect-rate = 12/s  rate = 13/s  recipient-rate = 14/s  byte-rate = "
	"15B/s }\n"
	"pool p { sources = a  connections = 21  connect-rate = 22/s  rate = 23/s  recipient-rate = 24/s  "
	"byte-rate = 25B/s }\n"
	"stream s { connections = 41  rate = 43/s  recipient-rate = 44/s  byte-rate = "
	"45B/s }\n"
	"user u { password-file = secrets/shop  connections = 31  rate = 33/s  "
	"recipient-rate = 34/s  byte-rate = 35B/s  accept-rate = 36/s }\n"
	"provider big { mx = *.big.test  connections = 51  connect-rate = 52/s  rate = { 53/s, 5300/h }  "
	"recipient-rate = 54/s  byte-rate = 55B/s\n"
	"site-connections = 61  site-connect-rate = 62/s  site-rate = 63/s  site-recipient-rate = 64/s  "
	"site-byte-rate = 65B/s }\n"
	"domain * { rate = 70/s  site-rate = 71/s }\n"
	"domain free.test { rate = {}  site-connect-rate = 80/h }\n";

static void
is_one(const struct conf_rates *rates, int64_t count, int64_t per_us)
{
	assert_int_equal(rates->count, 1);
	assert_int_equal(rates->items[0].count, count);
	assert_int_equal(rates->items[0].per_us, per_us);
}

static void
are_from(const struct conf_limits *l, int64_t first)
{
	assert_int_equal(l->connections, first);
	is_one(&l->rate, first + 2, S_US);
	is_one(&l->recipient_rate, first + 3, S_US);
	is_one(&l->byte_rate, first + 4, S_US);
}

static void
are_none(const struct conf_limits *l)
{
	assert_int_equal(l->connections, 0);
	assert_int_equal(
		l->connect_rate.count + l->rate.count + l->recipient_rate.count + l->byte_rate.count, 0);
}

static void
test_limits(void **state)
{
	const struct conf *c;
	struct conf_delivery d;

	put_secrets(*state, "");
	c = must_load(*state, limits);
	assert_int_equal(c->rate_total.count, 2);
	assert_int_equal(c->rate_total.items[1].per_us, 86400 * S_US);
	is_one(&c->connect_rate_total, 20, S_US);
	is_one(&c->recipient_rate_total, 200, S_US);
	is_one(&c->byte_rate_total, INT64_C(2) << 40, 86400 * S_US);
	assert_int_equal(c->rates_count, CONF_RATES_COUNT_DELIVERIES);
	are_from(&c->sources[0].limits, 11);
	is_one(&c->sources[0].limits.connect_rate, 12, S_US);
	are_from(&c->pools[0].limits, 21);
	is_one(&c->pools[0].limits.connect_rate, 22, S_US);
	are_from(&c->users[0].limits, 31);
	are_from(&c->streams[0].limits, 41);
	assert_int_equal(c->users[0].accept_rate.count, 36);

	conf_delivery_merge(c, NULL, &c->providers[0], &d);
	assert_int_equal(d.connections, 51);
	is_one(&d.connect_rate, 52, S_US);
	assert_int_equal(d.rate.count, 2);
	assert_int_equal(d.rate.items[0].count, 53);
	assert_int_equal(d.rate.items[1].count, 5300);
	is_one(&d.recipient_rate, 54, S_US);
	is_one(&d.byte_rate, 55, S_US);
	assert_int_equal(d.site_connections, 61);
	is_one(&d.site_connect_rate, 62, S_US);
	is_one(&d.site_rate, 63, S_US);
	is_one(&d.site_recipient_rate, 64, S_US);
	is_one(&d.site_byte_rate, 65, S_US);

	/* What a domain takes off is no limit; what it does not name stays. */
	conf_delivery_merge(c, conf_domain_find(c, "free.test", 9), NULL, &d);
	assert_int_equal(d.rate.count, 0);
	is_one(&d.site_rate, 71, S_US);
	is_one(&d.site_connect_rate, 80, 3600 * S_US);
	conf_unref(c);
}

/* Nothing is limited that nobody limits, but for the connections of a lane and of all. */
static void
test_no_limits(void **state)
{
	const struct conf *c;

	put_secrets(*state, "");
	c = must_load(
		*state, HOST "user u { password-file = secrets/shop } source a { } pool p { sources = a }");
	are_none(&c->sources[0].limits);
	are_none(&c->pools[0].limits);
	are_none(&c->users[0].limits);
	assert_int_equal(c->rate_total.count + c->connect_rate_total.count + c->recipient_rate_total.count +
				 c->byte_rate_total.count,
		0);
	assert_int_equal(c->rates_count, CONF_RATES_COUNT_ATTEMPTS);
	assert_int_equal(c->delivery.connections, 10);
	assert_int_equal(c->delivery.site_connections, 0);
	assert_int_equal(c->delivery.rate.count + c->delivery.site_rate.count, 0);
	conf_unref(c);
}

static void
test_sandbox(void **state)
{
	static const struct {
		const char *name, *text;
		int64_t first, second; /* of user u; 0: no such rate */
		int over_quota;
	} cases[] = {
		{"the default", "user u { password-file = secrets/shop }", 1, 200, CONF_OVER_QUOTA_HOLD},
		{"of all users", "sandbox = { 3/s, 30/d } user u { password-file = secrets/shop }", 3, 30,
			CONF_OVER_QUOTA_HOLD},
		{"no user has one", "sandbox = off user u { password-file = secrets/shop }", 0, 0,
			CONF_OVER_QUOTA_HOLD},
		{"its own", "sandbox = off user u { password-file = secrets/shop sandbox = { 50/d, 2/s } }",
			2, 50, CONF_OVER_QUOTA_HOLD},
		{"this one has none",
			"user u { password-file = secrets/shop sandbox = off over-quota = refuse }", 0, 0,
			CONF_OVER_QUOTA_REFUSE},
		{"an empty list is off", "user u { password-file = secrets/shop sandbox = {} }", 0, 0,
			CONF_OVER_QUOTA_HOLD},
	};
	char text[300];

	put_secrets(*state, "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf_rates *r;
		const struct conf *c;

		snprintf(text, sizeof(text), "%s%s", HOST, cases[i].text);
		c = must_load(*state, text);
		r = &c->users[0].sandbox;
		if (r->count != (cases[i].first > 0 ? 2 : 0) ||
			(r->count == 2 && (r->items[0].count != cases[i].first ||
						  r->items[1].count != cases[i].second)) ||
			c->users[0].over_quota != cases[i].over_quota)
			fail_msg("%s: %zu rates", cases[i].name, r->count);
		conf_unref(c);
	}
}

static const char pools[] =
	HOST "source a { } source b { } source c { }\n"
	     "pool p { sources = { c:3, a, b:1000 } senders = { @shop.test, Me@club.test, @B\xc3\xbc"
	     "cher.test } }\n"
	     "pool q { sources = { b } senders = { @club.test, you@shop.test } }\n"
	     "domain a.test { pool = q }\n";

static void
test_pools(void **state)
{
	static const struct {
		const char *sender;
		int pool;
	} senders[] = {
		{"x@shop.test", 0},
		{"x@SHOP.test.", 0},
		{"you@shop.test", 1},
		{"You@Shop.Test", 1},
		{"me@club.test", 0},
		{"\"a@b\"@club.test", 1},
		{"x@xn--bcher-kva.test", 0},
		{"x@b\xc3\xbc"
		 "cher.test",
			0},
		{"@shop.test", 0},
		{"x@a.shop.test", -1},
		{"x@other.test", -1},
		{"shop.test", -1},
		{"x@", -1},
		{"", -1},
	};
	const struct conf *c = must_load(*state, pools);
	struct conf_delivery d;
	char longest[512];

	assert_int_equal(c->pools[0].source_index[0], 2);
	assert_int_equal(c->pools[0].source_weight[0], 3);
	assert_int_equal(c->pools[0].source_index[1], 0);
	assert_int_equal(c->pools[0].source_weight[1], 1);
	assert_int_equal(c->pools[0].source_weight[2], 1000);
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++)
		if (conf_pool_of_sender(c, senders[i].sender, text_len(senders[i].sender)) != senders[i].pool)
			fail_msg("pool of %s", senders[i].sender);
	memset(longest, 'x', sizeof(longest));
	memcpy(longest + sizeof(longest) - 10, "@shop.test", 10);
	assert_int_equal(conf_pool_of_sender(c, longest, sizeof(longest)), -1);
	assert_int_equal(conf_pool_of_sender(c, longest + 300, sizeof(longest) - 300), -1);
	assert_int_equal(conf_pool_of_sender(c, longest + 438, sizeof(longest) - 438), 0);
	conf_delivery_merge(c, conf_domain_find(c, "a.test", 6), NULL, &d);
	assert_string_equal(d.pool, "q");
	assert_string_equal(c->delivery.pool, "");
	conf_unref(c);
	c = must_load(*state, HOST);
	assert_int_equal(conf_pool_of_sender(c, "x@shop.test", 11), -1);
	conf_unref(c);
}

static const char streams[] =
	HOST "user shop { password-file = secrets/shop  class = urgent  weight = 5 }\n"
	     "user club { password-file = secrets/club }\n"
	     "stream alarm { classes = urgent  weight = 1000 }\n"
	     "stream news { users = { shop, club }  jobs = { news-*, 202?-* }  rate = 5/s }\n"
	     "stream end { users = *op  jobs = *-*x  classes = { bulk, normal } }\n"
	     "stream none { users = { shop, \"?*\" }  jobs = \"**\"  classes = bulk }\n"
	     "stream quiet { users = club }\n";

static void
test_streams(void **state)
{
	static const struct {
		const char *user, *job;
		enum conf_class class;
		const char *stream;
	} cases[] = {
		{"shop", "news-1", CONF_CLASS_URGENT, "alarm"},
		{"", "", CONF_CLASS_URGENT, "alarm"},
		{"shop", "news-1", CONF_CLASS_NORMAL, "news"},
		{"shop", "news-", CONF_CLASS_BULK, "news"},
		{"club", "2026-a", CONF_CLASS_BULK, "news"},
		{"shop", "202-a", CONF_CLASS_NORMAL, NULL},
		{"shop", "news", CONF_CLASS_NORMAL, NULL},
		{"shop", "News-1", CONF_CLASS_NORMAL, NULL},
		{"Shop", "news-1", CONF_CLASS_NORMAL, NULL},
		{"shop", "a-xx-yx", CONF_CLASS_NORMAL, "end"},
		{"op", "-x", CONF_CLASS_NORMAL, "end"},
		{"shopp", "-x", CONF_CLASS_NORMAL, NULL},
		{"", "-x", CONF_CLASS_NORMAL, NULL},
		{"shop", "", CONF_CLASS_BULK, "none"},
		{"else", "a", CONF_CLASS_BULK, "none"},
		{"", "a", CONF_CLASS_BULK, NULL},
		{"club", "", CONF_CLASS_NORMAL, "quiet"},
		{"club", "*", CONF_CLASS_NORMAL, "quiet"},
	};
	const struct conf *c;

	put_secrets(*state, "");
	c = must_load(*state, streams);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf_stream *s = conf_stream_find(c, cases[i].user, text_len(cases[i].user),
			cases[i].job, text_len(cases[i].job), cases[i].class);

		if (strcmp(s != NULL ? s->name : "", cases[i].stream != NULL ? cases[i].stream : "") != 0)
			fail_msg("\"%s\", \"%s\", class %d: %s", cases[i].user, cases[i].job, cases[i].class,
				s != NULL ? s->name : "none");
	}
	/* What is compared ends where its length says, also at a NUL. */
	assert_string_equal(conf_stream_find(c, "clubx", 4, "2026-", 5, CONF_CLASS_BULK)->name, "news");
	assert_null(conf_stream_find(c, "club\0", 5, "2026-", 5, CONF_CLASS_NORMAL));
	assert_int_equal(c->streams[0].weight, 1000);
	is_one(&c->streams[1].limits.rate, 5, S_US);
	assert_int_equal(c->streams[1].weight, 1);
	assert_int_equal(c->users[0].weight, 5);
	assert_int_equal(c->users[0].class, CONF_CLASS_URGENT);
	assert_int_equal(c->users[1].weight, 1);
	assert_int_equal(c->users[1].class, CONF_CLASS_NORMAL);
	assert_int_equal(c->delivery.urgent_share, 10);
	assert_string_equal(c->class_headers.items[0], "X-Mtad-Class");
	conf_unref(c);
}

/* A pattern that makes careless matchers take for ever. */
static void
test_stream_pattern_is_bounded(void **state)
{
	const struct conf *c = must_load(*state, HOST
		"stream s { jobs = \"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\" }");
	char job[128];

	memset(job, 'a', sizeof(job));
	assert_null(conf_stream_find(c, "", 0, job, sizeof(job), CONF_CLASS_NORMAL));
	job[sizeof(job) - 1] = 'b';
	assert_non_null(conf_stream_find(c, "", 0, job, sizeof(job), CONF_CLASS_NORMAL));
	conf_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_limits),
		WITH_FOLDER(test_no_limits),
		WITH_FOLDER(test_sandbox),
		WITH_FOLDER(test_pools),
		WITH_FOLDER(test_streams),
		WITH_FOLDER(test_stream_pattern_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
