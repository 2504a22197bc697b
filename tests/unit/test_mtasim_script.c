/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtasim's script, names, checksum and DNS answers. The test instrument is tested too: a simulator that is
 * wrong makes every test above it worthless. Its sources are included, because mtasim is a program and not a
 * library.
 */
#include "../sim/mtasim_grammar.c"
#include "../sim/mtasim_names.c"
#include "../sim/mtasim_output.c"
#include "../sim/mtasim_script.c"
#include "../sim/mtasim_zone.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <unistd.h>

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strnlen(text, 4096)};
}

/* The script of this text; what it complains about goes to `said`. */
static struct sim_script *
load_text(const char *text, char *said, size_t said_max)
{
	char path[] = "/tmp/test_mtasim_XXXXXX", log[] = "/tmp/test_mtasim_XXXXXX";
	int fd = mkstemp(path), log_fd = mkstemp(log), saved = dup(2);
	struct sim_script *s;
	ssize_t n;

	assert_true(fd >= 0 && log_fd >= 0 && saved >= 0);
	assert_int_equal(write(fd, text, strnlen(text, 65536)), (ssize_t)strnlen(text, 65536));
	close(fd);
	fflush(stderr);
	dup2(log_fd, 2);
	s = script_load(path);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	n = pread(log_fd, said, said_max - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(log_fd);
	unlink(path);
	unlink(log);
	return s;
}

static void
test_refused(void **state)
{
	static const struct {
		const char *name, *text, *said;
	} cases[] = {
		{"unit missing", "site a {\n latency = 5\n}\n", ":2: latency"},
		{"no such phase", "site a {\n\n rule { on = foo }\n}\n", ":3: on"},
		{"no phase", "site a {\n rule { reply = \"250 x\" }\n}\n", ":2: rule without"},
		{"reply without code", "site a {\n rule { on = rcpt reply = \"nope\" }\n}\n", ":2: reply"},
		{"reply missing", "site a {\n rule { on = rcpt do = reply }\n}\n", "no reply"},
		{"body cannot reply", "site a {\n rule { on = body reply = \"250 x\" }\n}\n", "in the body"},
		{"unknown word", "site a {\n foo = 3\n}\n", ":2: no such option 'foo'"},
		{"domain twice", "site a { domains = { \"x.test\" } }\nsite b { domains = { \"X.test\" } }\n",
			"\"x.test\" stands twice"},
		{"site twice", "site a { }\nsite a { }\n", "a"},
		{"host that is not there", "site a {\n host { number = 3 }\n}\n", ":2: host 3"},
		{"too many hosts", "site a { addresses = 251 }\n", "addresses"},
		{"rate without unit", "site a {\n rate = 20\n}\n", ":2: rate"},
		{"block without rate", "site a {\n block = 30s\n}\n", "block without rate"},
		{"block without unit", "site a { rate = 1/s\n block = 30 }\n", ":2: block"},
		{"pattern without number", "site a {\n domain-pattern = \"x.test\"\n}\n",
			":2: domain-pattern"},
		{"return of nothing", "site a {\n return { match = \"x*\" }\n}\n", ":2: return without"},
		{"unknown return", "site a {\n return { send = fax }\n}\n", ":2: send"},
		{"unsubscription to somebody",
			"site a {\n return { send = unsubscribe-click to = \"x@y.test\" }\n}\n",
			"unsubscribe-click goes where"},
		{"status of success", "site a {\n return { send = dsn status = \"2.0.0\" }\n}\n",
			":2: status"},
		{"status with more", "site a {\n return { send = dsn status = \"5.1.1x\" }\n}\n",
			":2: status"},
		{"text without code", "site a {\n return { send = dsn text = \"gone\" }\n}\n", ":2: text"},
		{"unclosed", "site a {\n", "the-file-ends-inside-a-block"},
	};
	char said[1000];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sim_script *s = load_text(cases[i].text, said, sizeof(said));

		if (s != NULL || strstr(said, cases[i].said) == NULL)
			fail_msg("%s: loaded %d, said \"%s\"", cases[i].name, s != NULL, said);
	}
}

static const char world[] =
	"site big { domains = { \"Big.test\", \"*.big.test\" } addresses = 3 mx-name = "
	"\"mx%d.big-host.test\"\n"
	" rule { on = rcpt match = \"full*\" reply = \"452-4.2.2 a\\n452 4.2.2 b\" share = 12.5 }\n"
	" rule { on = dot do = drop bytes = 2KB delay = 1500ms count = 3 }\n"
	" return { send = dsn match = \"gone*\" share = 12.5 after = 1500ms } return { send = complaint to = "
	"\"fbl@x.test\" status = \"4.22.333\" text = \"450 x\" redact = yes }\n"
	" host { number = 2 fault = refuse } host { number = 3 fault = servfail } }\n"
	"site many { domain-pattern = \"d%04d.test\" domains-count = 100 addresses = 10 rate = 20/s "
	"block = 30s block-push = 500ms block-reply = \"421 4.7.0 x\" }\n"
	"site chain { domains = { \"chain.test\" } dns { records = cname cname-length = 3 } }\n"
	"site loop { domains = { \"loop.test\" } dns { records = cname cname-length = 0 } }\n"
	"site null { domains = { \"null.test\" } dns { records = null-mx } }\n"
	"site addr { domains = { \"addr.test\" } dns { records = implicit } }\n"
	"site nx { domains = { \"nx.test\" } dns { fault = nxdomain heal = 10s } }\n"
	"site mute { domains = { \"mute.test\" } dns { fault = timeout } }\n"
	"site cut { domains = { \"cut.test\" } dns { fault = truncate } }\n"
	"site wide { domains = { \"wide.test\" } addresses = 100 }\n"
	"record \"sel._domainkey.a.test\" { txt = \"v=DKIM1; p=x\" }\n"
	"record \"www.a.test\" { cname = \"mx1.big-host.test\" }\n";

static int
load_world(void **state)
{
	char said[1000];

	*state = load_text(world, said, sizeof(said));
	return *state != NULL ? 0 : -1;
}

static int
unload_world(void **state)
{
	struct sim_script *s = *state;

	script_destroy(&s);
	return 0;
}

static void
test_values(void **state)
{
	const struct sim_script *s = *state;
	const struct sim_site *site = &s->sites[0];

	assert_string_equal(s->sites[s->site_count - 1].name, "default");
	assert_int_equal(site->rule_count, 2);
	assert_string_equal(site->rules[0].reply, "452-4.2.2 a\n452 4.2.2 b");
	assert_true(site->rules[0].share > 12.4 && site->rules[0].share < 12.6);
	assert_int_equal(site->rules[1].act, SIM_ACT_DROP);
	assert_int_equal(site->rules[1].bytes, 2048);
	assert_int_equal(site->rules[1].delay_us, 1500000);
	assert_int_equal(site->rules[1].count, 3);
	assert_int_equal(site->return_count, 2);
	assert_int_equal(site->returns[0].send, SIM_SEND_DSN);
	assert_string_equal(site->returns[0].match, "gone*");
	assert_true(site->returns[0].share > 12.4 && site->returns[0].share < 12.6);
	assert_int_equal(site->returns[0].after_us, 1500000);
	assert_null(site->returns[0].to);
	assert_string_equal(site->returns[0].status, "5.1.1");
	assert_int_equal(site->returns[1].send, SIM_SEND_COMPLAINT);
	assert_string_equal(site->returns[1].to, "fbl@x.test");
	assert_string_equal(site->returns[1].status, "4.22.333");
	assert_string_equal(site->returns[1].text, "450 x");
	assert_true(site->returns[1].redact && !site->returns[0].redact);
	assert_int_equal(site->hosts[1].fault, SIM_FAULT_REFUSE);
	assert_int_equal(ntohl(site->hosts[2].address.s_addr), 0x7F030103);
	assert_false(site->is_spread);
	assert_true(s->sites[1].is_spread);
	assert_int_equal(s->sites[1].rate_count, 20);
	assert_int_equal(s->sites[1].rate_us, 1000000);
	assert_int_equal(s->sites[1].block_us, 30000000);
	assert_int_equal(s->sites[1].block_push_us, 500000);
	assert_string_equal(s->sites[1].block_reply, "421 4.7.0 x");
	assert_int_equal(site->block_us, 0);
}

static void
test_domains(void **state)
{
	static const struct {
		const char *domain, *site;
		int index; /* -1: not looked at */
	} cases[] = {
		{"big.test", "big", -1},
		{"BIG.TEST", "big", -1},
		{"x.y.big.test", "big", -1},
		{"d0000.test", "many", 0},
		{"d0099.test", "many", 99},
		{"D0042.test", "many", 42},
		{"d0100.test", "default", -1},
		{"d099.test", "default", -1},
		{"d00099.test", "default", -1},
		{"d.test", "default", -1},
		{"else.test", "default", -1},
		{"example.com", NULL, -1},
		{"", NULL, -1},
	};
	uint32_t index;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sim_site *site = script_site_of(*state, slice(cases[i].domain), &index);

		if (cases[i].site == NULL)
			assert_null(site);
		else
			assert_string_equal(site->name, cases[i].site);
		if (cases[i].index >= 0)
			assert_int_equal(index, cases[i].index);
	}
}

/* --- DNS --- */

static size_t
write_query(uint8_t *out, const char *name, uint16_t type, uint16_t udp_bytes)
{
	struct writer w = {out, 0, 600, false, 0, 0};

	put16(&w, 0x1234);
	put16(&w, FLAG_RD);
	put16(&w, 1);
	put32(&w, 0);
	put16(&w, udp_bytes > 0 ? 1 : 0);
	put_name(&w, name);
	put16(&w, type);
	put16(&w, 1);
	if (udp_bytes > 0) {
		put_bytes(&w, "", 1);
		put16(&w, ZONE_OPT);
		put16(&w, udp_bytes);
		put32(&w, 0);
		put16(&w, 0);
	}
	assert_false(w.is_full);
	return w.len;
}

static void
test_answers(void **state)
{
	static const struct {
		const char *name;
		uint16_t type, udp_bytes;
		bool is_tcp;
		int64_t at_us;
		int answers; /* -1: silence */
		enum zone_rcode rcode;
		bool is_cut;
	} cases[] = {
		{"big.test", ZONE_MX, 1232, false, 0, 3, ZONE_NOERROR, false},
		{"big.test", ZONE_A, 1232, false, 0, 0, ZONE_NOERROR, false},
		{"mx1.big-host.test", ZONE_A, 0, false, 0, 1, ZONE_NOERROR, false},
		{"mx1.big-host.test", ZONE_AAAA, 0, false, 0, 0, ZONE_NOERROR, false},
		{"mx3.big-host.test", ZONE_A, 0, false, 0, 0, ZONE_SERVFAIL, false},
		{"d0001.test", ZONE_MX, 1232, false, 0, 1, ZONE_NOERROR, false},
		{"chain.test", ZONE_MX, 1232, false, 0, 4, ZONE_NOERROR, false},
		{"chain.test", ZONE_CNAME, 1232, false, 0, 0, ZONE_NOERROR, false},
		{"loop.test", ZONE_MX, 1232, false, 0, CHAIN_MAX, ZONE_NOERROR, false},
		{"null.test", ZONE_MX, 1232, false, 0, 1, ZONE_NOERROR, false},
		{"addr.test", ZONE_MX, 1232, false, 0, 0, ZONE_NOERROR, false},
		{"addr.test", ZONE_A, 1232, false, 0, 1, ZONE_NOERROR, false},
		{"nx.test", ZONE_MX, 1232, false, 0, 0, ZONE_NXDOMAIN, false},
		{"nx.test", ZONE_MX, 1232, false, 10000000, 1, ZONE_NOERROR, false},
		{"mute.test", ZONE_MX, 1232, false, 0, -1, ZONE_NOERROR, false},
		{"cut.test", ZONE_MX, 1232, false, 0, 0, ZONE_NOERROR, true},
		{"cut.test", ZONE_MX, 1232, true, 0, 1, ZONE_NOERROR, false},
		{"wide.test", ZONE_MX, 1232, false, 0, 0, ZONE_NOERROR, true},
		{"wide.test", ZONE_MX, 1232, true, 0, 100, ZONE_NOERROR, false},
		{"sel._domainkey.a.test", ZONE_TXT, 0, false, 0, 1, ZONE_NOERROR, false},
		{"www.a.test", ZONE_A, 0, false, 0, 2, ZONE_NOERROR, false},
		{"example.com", ZONE_MX, 0, false, 0, 0, ZONE_NXDOMAIN, false},
	};
	static uint8_t answer[ZONE_ANSWER_MAX];
	uint8_t bytes[600];
	struct zone_fact fact;
	size_t i, len;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zone_query q = {
			.bytes = bytes, .is_tcp = cases[i].is_tcp, .since_start_us = cases[i].at_us};

		q.len = write_query(bytes, cases[i].name, cases[i].type, cases[i].udp_bytes);
		len = zone_answer(*state, &q, answer, &fact);
		if (cases[i].answers < 0) {
			assert_int_equal(len, 0);
			continue;
		}
		if (len < HEADER_BYTES || get16(answer + 6) != cases[i].answers ||
			fact.rcode != cases[i].rcode || fact.is_truncated != cases[i].is_cut)
			fail_msg("%s type %u: %zu bytes, %u answers, rcode %d, cut %d", cases[i].name,
				cases[i].type, len, get16(answer + 6), fact.rcode, fact.is_truncated);
		assert_int_equal(get16(answer), 0x1234);
		assert_true(cases[i].is_tcp || len <= (cases[i].udp_bytes > 0 ? UDP_MAX : UDP_PLAIN_MAX));
	}
}

/* Cut anywhere or with any byte changed, a query gets some answer or none, and nothing is read beside it. */
static void
test_broken_queries(void **state)
{
	static uint8_t answer[ZONE_ANSWER_MAX];
	uint8_t bytes[600], *copy;
	struct zone_fact fact;
	size_t whole = write_query(bytes, "chain.test", ZONE_MX, 1232), len;
	unsigned value;

	for (len = 0; len <= whole; len++) {
		copy = malloc(len > 0 ? len : 1);
		assert_non_null(copy);
		memcpy(copy, bytes, len);
		struct zone_query q = {.bytes = copy, .len = len};

		if (len < HEADER_BYTES)
			assert_int_equal(zone_answer(*state, &q, answer, &fact), 0);
		else
			(void)zone_answer(*state, &q, answer, &fact);
		free(copy);
	}
	for (len = 2; len < whole; len++) {
		for (value = 0; value < 256; value++) {
			struct zone_query q = {.bytes = bytes, .len = whole};
			uint8_t saved = bytes[len];

			bytes[len] = (uint8_t)value;
			assert_true(zone_answer(*state, &q, answer, &fact) <= UDP_MAX);
			bytes[len] = saved;
		}
	}
}

static void
test_checksum(void **state)
{
	struct sim_crc fast, slow;
	char bytes[700];
	size_t start, len;

	sim_crc_init(&fast);
	slow = fast;
	slow.has_clmul = false;
	assert_int_equal(sim_crc_add(&slow, 0, "123456789", 9), 0xCBF43926);
	for (len = 0; len < sizeof(bytes); len++)
		bytes[len] = (char)(len * 131 + len / 7);
	for (start = 0; start < 20; start++) {
		for (len = 0; len + start < sizeof(bytes); len++) {
			uint32_t whole = sim_crc_add(&slow, 0, bytes + start, len);

			assert_int_equal(sim_crc_add(&fast, 0, bytes + start, len), whole);
			assert_int_equal(sim_crc_add(&fast, sim_crc_add(&fast, 0, bytes + start, len / 3),
						 bytes + start + len / 3, len - len / 3),
				whole);
		}
	}
}

static void
test_output_waits(void **state)
{
	struct sim_output o = {.latency_us = 100};
	int i;

	assert_true(sim_output_put(&o, slice("first"), 1000));
	assert_true(sim_output_put(&o, slice("second"), 1050));
	assert_int_equal(sim_output_ready(&o, 1099).len, 0);
	assert_int_equal(sim_output_due(&o), 1100);
	assert_int_equal(sim_output_ready(&o, 1100).len, 5);
	sim_output_sent(&o, 3, 1100);
	assert_int_equal(sim_output_ready(&o, 1149).len, 2);
	assert_int_equal(sim_output_ready(&o, 1150).len, 8);
	sim_output_sent(&o, 8, 1150);
	assert_true(sim_output_is_empty(&o));
	/* More portions than marks: late, never early, and all of them. */
	for (i = 0; i < 2 * SIM_OUTPUT_MARKS; i++)
		assert_true(sim_output_put(&o, slice("x"), 2000 + i));
	assert_int_equal(sim_output_ready(&o, 2100).len, 1);
	assert_int_equal(sim_output_ready(&o, 9000).len, 2 * SIM_OUTPUT_MARKS);
	sim_output_fini(&o);
}

static void
test_output_drips(void **state)
{
	struct sim_output o = {.drip_us = 1000};

	assert_true(sim_output_put(&o, slice("ab"), 5000));
	assert_int_equal(sim_output_ready(&o, 5000).len, 1);
	sim_output_sent(&o, 1, 5000);
	assert_int_equal(sim_output_ready(&o, 5999).len, 0);
	assert_int_equal(sim_output_due(&o), 6000);
	assert_int_equal(sim_output_ready(&o, 6000).len, 1);
	sim_output_fini(&o);
}

/* Every scenario that ships is a good one. */
static void
test_shipped(void **state)
{
	static const char *const files[] = {"accept.sim", "providers.sim"};
	char path[4096];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct sim_script *s;

		snprintf(path, sizeof(path), "%s/sim/%s", TEST_DIR, files[i]);
		s = script_load(path);
		assert_non_null(s);
		script_destroy(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test_setup_teardown(test_values, load_world, unload_world),
		cmocka_unit_test_setup_teardown(test_domains, load_world, unload_world),
		cmocka_unit_test_setup_teardown(test_answers, load_world, unload_world),
		cmocka_unit_test_setup_teardown(test_broken_queries, load_world, unload_world),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_output_waits),
		cmocka_unit_test(test_output_drips),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
