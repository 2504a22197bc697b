/* SPDX-License-Identifier: Apache-2.0 */
/* conf: rule and profile blocks, what they come to and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "smtp_client.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE (INT64_C(60) * 1000000)
#define BIT(p) (UINT32_C(1) << SMTP_PHASE_##p)

static const char file[] = HOST "provider b { mx = b.example }\n"
				"provider a { mx = a.example }\n"
				"provider c { mx = c.example }\n"
				"profile slow { connections = 1  rate = { 60/h, 2/m } }\n"
				"rule full {\n"
				"	providers = { c, b }\n"
				"	phase = { rcpt, data }\n"
				"	code = { 421, 45x, 5XX }\n"
				"	enhanced = { 4.7.28, 4.*.*, *.7.1 }\n"
				"	text = { '\\[TS\\d\\d\\]', \"a \\\"b\\\"\" }\n"
				"	count = \"3 in 10m\"\n"
				"	profile = slow  slow = 5.5%  duration = 90m\n"
				"	pause = { \"lane 2h\", \"sender 1d\" }\n"
				"	next-source = yes\n"
				"	treat = temporary  retry = 15m\n"
				"	note = \"see there\"  alert = yes  last = yes\n"
				"}\n"
				"rule least { retry = hint }\n"
				"bounce gone { class = inactive-mailbox  providers = b  phase = rcpt  "
				"code = 550  enhanced = *.2.1  text = { 'left us', moved } }\n"
				"bounce all { class = other  code = 5xx }\n";

static void
test_values(void **state)
{
	const struct conf *c = must_load(*state, file);
	const struct conf_rule *r = &c->rules[0];
	const struct conf_rule_actions *a = &r->actions;

	assert_int_equal(c->rule_count, 2);
	assert_string_equal(r->name, "full");
	assert_int_equal(r->providers.count, 2);
	assert_int_equal(r->when.provider_index[0], 0);
	assert_int_equal(r->when.provider_index[1], 2);
	assert_int_equal(r->when.phases, BIT(RCPT) | BIT(DATA) | BIT(BODY) | BIT(DOT));
	assert_int_equal(r->when.code_count, 3);
	assert_int_equal(r->when.codes[0].min, 421);
	assert_int_equal(r->when.codes[0].max, 421);
	assert_int_equal(r->when.codes[1].min, 450);
	assert_int_equal(r->when.codes[1].max, 459);
	assert_int_equal(r->when.codes[2].min, 500);
	assert_int_equal(r->when.codes[2].max, 599);
	assert_int_equal(r->when.esc_count, 3);
	assert_int_equal(r->when.escs[0].detail, 28);
	assert_int_equal(r->when.escs[1].class_digit, 4);
	assert_int_equal(r->when.escs[1].subject, -1);
	assert_int_equal(r->when.escs[2].class_digit, -1);
	assert_int_equal(r->when.escs[2].subject, 7);
	assert_string_equal(r->text.items[0], "\\[TS\\d\\d\\]");
	assert_string_equal(r->text.items[1], "a \"b\"");
	assert_int_equal(a->hits, 3);
	assert_int_equal(a->hits_us, 10 * MINUTE);
	assert_int_equal(a->profile, 0);
	assert_int_equal(a->slow_ppm, 55000);
	assert_int_equal(a->duration_us, 90 * MINUTE);
	assert_int_equal(a->pause_us[CONF_SCOPE_LANE], 120 * MINUTE);
	assert_int_equal(a->pause_us[CONF_SCOPE_SENDER], 24 * 60 * MINUTE);
	assert_int_equal(a->pause_us[CONF_SCOPE_SITE], 0);
	assert_int_equal(a->treat, CONF_TREAT_TEMPORARY);
	assert_int_equal(a->retry_us, 15 * MINUTE);
	assert_false(a->retry_by_hint);
	assert_true(a->next_source && a->has_alert && r->last);
	assert_int_equal(c->profiles[0].connections, 1);
	assert_int_equal(c->profiles[0].rate.count, 2);
	assert_int_equal(c->profiles[0].rate.items[0].count, 2);
	assert_int_equal(c->profiles[0].rate.items[1].per_us, 60 * MINUTE);
	assert_int_equal(c->profiles[0].connect_rate.count, 0);

	a = &c->rules[1].actions;
	assert_string_equal(c->rules[1].name, "least");
	assert_int_equal(a->hits, 1);
	assert_int_equal(a->hits_us, 0);
	assert_int_equal(a->profile, -1);
	assert_int_equal(a->slow_ppm, 0);
	assert_int_equal(a->treat, CONF_TREAT_UNSET);
	assert_int_equal(a->retry_us, 0);
	assert_true(a->retry_by_hint);
	assert_int_equal(c->rules[1].when.phases, 0);
	assert_int_equal(c->bounce_count, 2);
	assert_string_equal(c->bounces[0].name, "gone");
	assert_int_equal(c->bounces[0].means, BOUNCE_CLASS_INACTIVE_MAILBOX);
	assert_int_equal(c->bounces[0].text.count, 2);
	assert_int_equal(c->bounces[0].when.provider_index[0], 0);
	assert_int_equal(c->bounces[0].when.phases, BIT(RCPT));
	assert_int_equal(c->bounces[0].when.codes[0].max, 550);
	assert_int_equal(c->bounces[0].when.escs[0].detail, 1);
	assert_int_equal(c->bounces[1].means, BOUNCE_CLASS_OTHER);
	conf_unref(c);
}

static const struct {
	const char *name, *text, *said;
} refused[] = {
	{"provider", "rule r {\n providers = { gogle } note = x }",
		"mtad.conf:4: there is no provider \"gogle\"; did you mean \"google\"?\n"},
	{"provider, none near", "rule r { providers = { elsewhere } note = x }",
		"mtad.conf:3: there is no provider \"elsewhere\"\n"},
	{"provider twice", "rule r { providers = { google, google } note = x }",
		"mtad.conf:3: provider \"google\" is in this rule twice\n"},
	{"profile", "profile slow { rate = 1/m }\nrule r { profile = slwo }",
		"mtad.conf:4: there is no profile \"slwo\"; did you mean \"slow\"?\n"},
	{"profile of nothing", "profile p { }",
		"mtad.conf:3: profile \"p\" has no limit: it would change nothing\n"},
	{"name twice", "rule r { note = x }\nrule r { note = y }",
		"mtad.conf:4: rule \"r\" is there already, at mtad.conf:3\n"},
	{"phase", "rule r { phase = { rcpt, connect } note = x }",
		"mtad.conf:3: \"connect\": no reply comes there; there are greeting, ehlo, starttls, "
		"auth, mail, rcpt, data, idle\n"},
	{"code of success", "rule r { code = 250 note = x }",
		"mtad.conf:3: \"250\" is no reply code; write 421, 45x, 4xx or 5xx\n"},
	{"code with a hole", "rule r { code = 4x1 note = x }", "\"4x1\" is no reply code"},
	{"code too long", "rule r { code = 4211 note = x }", "\"4211\" is no reply code"},
	{"code, any", "rule r { code = xxx note = x }", "\"xxx\" is no reply code"},
	{"enhanced code", "rule r { enhanced = 4.7 note = x }",
		"mtad.conf:3: \"4.7\" is no enhanced code; write 4.7.28, 4.7.* or *.7.1\n"},
	{"enhanced code of success", "rule r { enhanced = 2.0.0 note = x }", "\"2.0.0\" is no enhanced code"},
	{"enhanced code too long", "rule r { enhanced = 4.7.1000 note = x }",
		"\"4.7.1000\" is no enhanced code"},
	{"G20 expression", "rule r {\n text = {\n good,\n 'TS(0[0-9' } note = x }",
		"mtad.conf:5: \"TS(0[0-9\" is no regular expression: missing terminating ] for "
		"character class, at byte 8\n"},
	{"bounce without class", "bounce b { text = x }",
		"mtad.conf:3: bounce \"b\" has no class: give it one of bad-mailbox, bad-domain, "},
	{"bounce of no class", "bounce b {\n class = bad-mailbx\n text = x }",
		"mtad.conf:4: \"bad-mailbx\" is no class; there are bad-mailbox, bad-domain, "},
	{"bounce for everything", "bounce b { class = other  providers = google }",
		"mtad.conf:3: bounce \"b\" holds for everything: give it text, code, enhanced or "
		"phase\n"},
	{"bounce expression", "bounce b { class = other\n text = { good,\n 'TS(0[0-9' } }",
		"mtad.conf:4: \"TS(0[0-9\" is no regular expression: missing terminating ]"},
	{"bounce provider twice", "bounce b { class = other  code = 5xx  providers = { google, google } }",
		"mtad.conf:3: provider \"google\" is in this bounce twice\n"},
	{"bounce twice", "bounce b { class = other  code = 5xx }\nbounce b { class = other  code = 4xx }",
		"mtad.conf:4: bounce \"b\" is there already, at mtad.conf:3\n"},
	{"count", "rule r { count = \"3 per 10m\" pause = \"lane 1h\" }",
		"mtad.conf:3: \"3 per 10m\" is no count; write \"3 in 10m\" (from 2 to 100000 in 1s "
		"to 7d), or leave the line out\n"},
	{"count without unit", "rule r { count = \"3 in 10\" pause = \"lane 1h\" }",
		"\"3 in 10\" is no count"},
	{"count of one", "rule r { count = \"1 in 10m\" pause = \"lane 1h\" }", "\"1 in 10m\" is no count"},
	{"count in no time", "rule r { count = \"3 in 0s\" pause = \"lane 1h\" }", "\"3 in 0s\" is no count"},
	{"count too large", "rule r { count = \"100001 in 1h\" pause = \"lane 1h\" }",
		"\"100001 in 1h\" is no count"},
	{"slow", "rule r { slow = 100% }", "mtad.conf:3: slow: \"100%\" is out of range: from 1% to 99%\n"},
	{"slow to nothing", "rule r { slow = 0% }", "\"0%\" is out of range"},
	{"slow without sign", "rule r { slow = 50 }", "\"50\" is no percentage"},
	{"pause", "rule r { pause = 2h }",
		"mtad.conf:3: \"2h\" is no pause; write \"lane 2h\" (lane, site, source, stream or "
		"sender, each once; from 1s to 7d)\n"},
	{"pause of nothing known", "rule r { pause = \"domain 2h\" }", "\"domain 2h\" is no pause"},
	{"pause, the word alone", "rule r { pause = lane }", "\"lane\" is no pause"},
	{"pause, part of a word", "rule r { pause = \"s 1h\" }", "\"s 1h\" is no pause"},
	{"pause twice", "rule r { pause = { \"lane 2h\", \"lane 3h\" } }", "\"lane 3h\" is no pause"},
	{"pause too long", "rule r { pause = \"lane 8d\" }", "\"lane 8d\" is no pause"},
	{"retry", "rule r { retry = soon }",
		"mtad.conf:3: \"soon\": write a time from 1s to 1d such as 15m, or hint\n"},
	{"retry too late", "rule r { retry = 25h }", "\"25h\": write a time"},
	{"treat", "rule r { treat = later }",
		"mtad.conf:3: treat: \"later\": write one of temporary/permanent\n"},
	{"an attempt after the end", "rule r { treat = permanent retry = 5m }",
		"mtad.conf:3: treat = permanent ends the recipient: there is no attempt for retry "
		"and next-source\n"},
	{"duration of a pause", "rule r { pause = \"lane 1h\"\n duration = 2h }",
		"mtad.conf:4: duration is that of profile and slow; a pause has its own: pause = "
		"\"lane 2h\"\n"},
	{"no action", "rule r { code = 4xx }",
		"mtad.conf:3: rule \"r\" does nothing: give it profile, slow, pause, next-source, "
		"treat, retry, note, alert or last\n"},
	{"typo", "rule r { txt = x note = x }", "did you mean \"text\"?"},
	{"limit of a lane in a rule", "rule r { connections = 1 note = x }",
		"\"connections\" does not belong in rule; it belongs in user, stream, source, "
		"pool, domain, provider and profile\n"},
};

static void
test_refused(void **state)
{
	char text[600], *said;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		int len = snprintf(
			text, sizeof(text), HOST "provider google { mx = g.example }\n%s", refused[i].text);
		const struct conf *c = load_bytes(*state, text, (size_t)len, &said);

		if (c != NULL)
			fail_msg("%s: accepted", refused[i].name);
		if (strstr(said, refused[i].said) == NULL)
			fail_msg("%s: said\n%s, not\n%s", refused[i].name, said, refused[i].said);
		free(said);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {WITH_FOLDER(test_values), WITH_FOLDER(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
