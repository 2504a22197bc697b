/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf/providers.conf: replies that providers publish or that were seen, and the rules they must lead to; and
 * replies that look like them and must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/site.h"
#include "rules_fixture.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *provider, *reply, *want; /* provider "": a site that is none; want: rules in order */
} cases[] = {
	/* Google */
	{"google",
		"421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating "
		"from\n421-4.7.28 "
		"your IP address 192.0.2.1. To protect our users from spam, mail sent\n421 4.7.28 from your "
		"IP "
		"address has been temporarily rate limited.",
		"google-rate google-rate-again"},
	{"google",
		"421 4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your IP "
		"Netblock 192.0.2.0.",
		"google-rate google-rate-again"},
	{"google",
		"421 4.7.28 Gmail has detected an unusual amount of unsolicited mail originating from your "
		"IP "
		"address.",
		"google-rate google-rate-again"},
	{"google",
		"421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from "
		"your\n421 "
		"4.7.28 DKIM domain example.com.",
		"google-rate-domain"},
	{"google",
		"421 4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your "
		"SPF "
		"domain example.com.",
		"google-rate-domain"},
	{"google",
		"421 4.7.28 Gmail has detected an unusual rate of unsolicited mail containing one of your "
		"URL "
		"domains.",
		"google-rate-url"},
	{"google",
		"421 4.7.28 Gmail has detected this message exceeded its quota for sending messages with the "
		"same "
		"Message-ID:.",
		"google-message-id"},
	{"google",
		"450-4.2.1 The user you are trying to contact is receiving mail at a rate that\n450 4.2.1 "
		"prevents additional messages from being delivered.",
		"google-recipient"},
	{"google", "450 4.2.1 Peak SMTP relay limit exceeded for customer.", ""},
	{"google",
		"421-4.7.0 [192.0.2.1] Our system has detected that this message is\n421 4.7.0 suspicious "
		"due to "
		"the very low reputation of the sending domain.",
		"google-reputation google-detected"},
	{"google", "451 4.7.23 The sending IP address for this message doesn't have a PTR record",
		"google-ptr"},
	{"google", "550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record",
		"google-ptr"},
	{"google", "550 5.7.26 Unauthenticated email from example.com is not accepted",
		"google-authentication"},
	{"google", "421 4.7.30 Your email has been rate limited because DKIM authentication didn't pass",
		"google-authentication"},
	{"google", "421 4.7.32 Your email has been rate limited because the From: header isn't aligned",
		"google-authentication"},
	{"google",
		"451 4.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC "
		"policy, "
		"but temporary DNS failures prevent authentication.",
		"google-dns"},
	{"google", "550 5.7.40 The message did not pass DMARC", "google-authentication"},
	{"google", "504 5.7.40 Unrecognized authentication type.", ""},
	{"google", "550 5.7.29 This message was blocked because it wasn't sent over a TLS connection.",
		"google-tls"},
	{"google",
		"550 5.7.1 [192.0.2.1 12] Our system has detected that this message is not RFC 5322 "
		"compliant",
		"google-detected"},
	{"google", "550 5.1.1 The email account that you tried to reach does not exist.", ""},
	{"google", "452 4.2.2 The recipient's inbox is out of storage space.", ""},
	{"google", "421 4.7.0 Try again later, closing connection.", ""},
	{"", "421 4.7.28 an unusual rate of mail", ""},
	/* Yahoo and who else says the same */
	{"yahoo",
		"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or "
		"user "
		"complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
		"yahoo-ts04"},
	{"yahoo", "421 4.7.0 [TS04] Messages from 192.0.2.1 temporarily deferred", "yahoo-ts04"},
	{"yahoo", "421 [IPTS04] Messages from 192.0.2.1 temporarily deferred", "yahoo-ts04"},
	{"yahoo", "421 4.7.0 [TSS05] Messages from 192.0.2.1 temporarily deferred due to user complaints",
		"yahoo-ts05 reputation"},
	{"yahoo", "421 4.7.0 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints",
		"yahoo-ts01"},
	{"yahoo", "421 4.7.0 [TS02] Messages from 192.0.2.1 temporarily deferred - 4.16.56.1", "yahoo-ts02"},
	{"yahoo", "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred",
		"yahoo-ts03 reputation"},
	{"yahoo", "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1", "yahoo-listed"},
	{"yahoo",
		"553 5.7.1 [TSS07] Connections will not be accepted from 192.0.2.1, because the ip is in "
		"Spamhaus's list",
		"yahoo-listed"},
	{"yahoo", "553 5.7.2 [TSS09] All messages from 192.0.2.1 will be permanently rejected",
		"yahoo-refused"},
	{"yahoo", "554 5.7.9 Message not accepted for policy reasons.", "yahoo-refused"},
	{"yahoo", "421 Max message per connection reached, closing transmission channel",
		"yahoo-per-connection"},
	{"yahoo", "421 4.7.1 : (DYN:T1) https://postmaster.info.aol.com/errors/421dynt1.html",
		"yahoo-aol-dynamic"},
	{"yahoo",
		"451 mta283.mail.scd.yahoo.com Resources temporarily unavailable. Please try again later "
		"[#4.16.5].",
		""},
	{"yahoo", "554 delivery error: dd This user doesn't have a yahoo.com account", ""},
	{"yahoo", "421 4.7.1 : (HVU:B1) http://postmaster.info.aol.com/errors/421hvub1.html", "yahoo-aol"},
	{"yahoo", "421 4.7.1 : (RLY:B2) http://postmaster.info.aol.com/errors/421rlyb2.html",
		"yahoo-aol-relay"},
	{"yahoo-japan", "553 Mail from 192.0.2.1 not allowed - VS98-IP0 deferred", "yahoo-japan-deferred"},
	{"yahoo-japan", "421 [TSS04] Messages from 192.0.2.1 temporarily deferred", "yahoo-japan-deferred"},
	{"yahoo-japan", "421 Timeout waiting for command", "yahoo-japan-timeout"},
	{"", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", "reputation"},
	/* Microsoft */
	{"microsoft",
		"421 RP-001 (SNT0-MC2-F19) Unfortunately, some messages from 192.0.2.1 weren't sent. Please "
		"try "
		"again.",
		"microsoft-rate"},
	{"microsoft",
		"421 RP-002 The mail server IP connecting to Outlook.com server has exceeded the rate "
		"limit allowed on this connection.",
		"microsoft-per-connection"},
	{"microsoft",
		"421 RP-003 The mail server IP connecting to Outlook.com server has exceeded the "
		"connection limit allowed.",
		"microsoft-connections"},
	{"microsoft",
		"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP "
		"reputation.",
		"microsoft-reputation reputation"},
	{"office365",
		"451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited due to IP "
		"reputation.",
		"microsoft-reputation reputation"},
	{"microsoft",
		"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your "
		"Internet "
		"service provider since part of their network is on our block list (S3150).",
		"microsoft-blocked reputation"},
	{"microsoft", "550 SC-004 Mail rejected by Outlook.com for policy reasons.", "microsoft-policy"},
	{"microsoft", "550 5.7.0 DY-001 Mail rejected by Outlook.com for policy reasons.",
		"microsoft-policy"},
	{"microsoft", "451 4.7.500 Server busy. Please try again later from [192.0.2.1].",
		"microsoft-busy microsoft-busy-again reputation"},
	{"office365", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)",
		"office365-busy"},
	{"microsoft", "451 4.7.1 The mail server 192.0.2.1 has exceeded the maximum number of connections.",
		"microsoft-connections"},
	{"microsoft", "421 4.7.1 The mail server has exceeded maximum number of messages per connection.",
		"microsoft-per-connection"},
	{"office365", "451 4.7.1 Access denied, please try again later", "microsoft-denied"},
	{"office365",
		"550 5.7.515 Access denied, sending domain example.com does not meet the required "
		"authentication level.",
		"microsoft-authentication"},
	{"office365", "550 5.4.1 Recipient address rejected: Access denied. [BL0PR02.namprd02.outlook.com]",
		""},
	{"office365", "451 4.4.4 Mail received as unauthenticated, incoming to a recipient domain", ""},
	{"office365", "550 5.7.511 Access denied, banned sender[192.0.2.1].", ""},
	/* Apple */
	{"apple", "421 4.7.1 Messages to user@icloud.com deferred due to excessive volume. Try again later",
		"apple-recipient"},
	{"apple", "451 [BS02] Temporary server error. Please try again later.", "apple-busy"},
	{"apple", "451 4.7.1 Service unavailable - try again later", "apple-busy"},
	{"apple", "421 [HCM1] Your mail from 192.0.2.1 was deferred.", "apple-volume"},
	{"apple",
		"554 5.7.1 Your email was rejected due to having a domain present in the Spamhaus DBL -- see "
		"http://www.spamhaus.org",
		"apple-domain-listed spamhaus"},
	{"apple", "550 5.7.0 Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1",
		"proofpoint-reputation"},
	{"apple", "550 5.1.1 <user@icloud.com>: inactive email address", ""},
	/* Comcast */
	{"comcast",
		"421 4.1.0 192.0.2.1 192.0.2.1 Throttled - try again later. Please see "
		"https://postmaster.comcast.net/smtp-error-codes.php#RL000010",
		"comcast-domain"},
	{"comcast", "421 4.1.0 Throttled. https://postmaster.comcast.net/smtp-error-codes.php#RL000001",
		"comcast-rate"},
	{"comcast",
		"554 imta.comcast.net 192.0.2.1 found on one or more DNSBLs, see "
		"https://postmaster.comcast.net/smtp-error-codes.php#BL000001",
		"comcast-blocked"},
	{"comcast", "421 Reverse DNS failure: Try again later", "comcast-ptr"},
	{"comcast",
		"550 5.2.0 Message rejected. https://postmaster.comcast.net/smtp-error-codes.php#DM000001",
		""},
	/* gateways */
	{"mimecast", "451 Internal resource temporarily unavailable - https://community.mimecast.com/docs",
		"mimecast-busy"},
	{"proofpoint", "554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
		"proofpoint-reputation"},
	{"proofpoint", "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using prs.proofpoint.com",
		"proofpoint-reputation"},
	{"proofpoint",
		"550 5.7.1 Service unavailable; client [192.0.2.1] blocked using Cloudmark Sender "
		"Intelligence "
		"(Visit http://csi.cloudmark.com/reset-request/ if you feel this is in error)",
		"cloudmark"},
	{"proofpoint", "550 5.1.8 Domain of sender address does not exist", ""},
	{"godaddy", "421 Too many messages in this session. IB510", "godaddy-per-connection"},
	{"godaddy", "421 Connection refused, too many sessions from This IP. IB007",
		"godaddy-connections too-many-connections"},
	{"godaddy", "421 Temporarily rejected. IB504", "godaddy-per-hour"},
	{"godaddy",
		"554 This IP has been blocked for the day, for attempting to mail too many invalid "
		"recipients. IB113",
		"godaddy-blocked"},
	{"godaddy", "452 This message contains too many recipients. IB605", ""},
	/* GMX */
	{"gmx", "421 Too many connections", "gmx-connections"},
	{"gmx", "450 Requested mail action not taken: Reject due to policy restrictions.", "gmx-policy"},
	{"gmx", "554 Transaction failed. Reject due to policy restrictions.", "gmx-policy-refused"},
	{"gmx", "550 <user@example.com>: Reject due to policy restrictions (IP based)", "gmx-policy-refused"},
	{"gmx", "550 <user@example.com>: Reject due to policy restrictions (header based)", ""},
	{"gmx", "450 Reject due to policy violations.", "gmx-violations"},
	{"gmx", "421 Rate limit reached. For explanation visit https://postmaster.gmx.net", "gmx-rate"},
	{"gmx",
		"554 gmx.net (mxgmx104) Nemesis ESMTP Service not available No SMTP service IP address is "
		"block "
		"listed.",
		"gmx-listed"},
	{"gmx", "550 Requested action not taken: mailbox unavailable", ""},
	{"", "554 Reject due to policy restrictions.", ""},
	/* T-Online */
	{"t-online",
		"554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact "
		"tosa@rx.t-online.de to clarify.) (NOWL)",
		"t-online-blocked"},
	{"t-online", "554 IP=192.0.2.1 - A problem occurred. (BL)", "t-online-blocked"},
	{"t-online", "550 user unknown", ""},
	/* Orange */
	{"orange",
		"421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. Too many "
		"connections, slow down. OFR004_104 [104]",
		"orange-connections"},
	{"orange", "550 mwinf5c10 ME Service refuse. Veuillez essayer plus tard.", "orange-refused"},
	{"orange",
		"421 mwinf5c77 ME Service refuse. Veuillez essayer plus tard. Service refused, please try "
		"later. OFR_999 [999]",
		"orange-volume"},
	{"laposte",
		"421 4.2.1 Service refuse. Veuillez essayer plus tard. Service refused, please try later. "
		"LPN007_505",
		"orange-refused"},
	{"orange",
		"550 mwinf5c04 ME Adresse IP source bloquee pour incident de spam. Client host blocked for "
		"spamming issues. OFR006_102 Ref http://csi.cloudmark.com/reset-request/?ip=192.0.2.1 [102]",
		"orange-listed"},
	{"orange", "550 5.2.0 Mail rejete. Mail rejected. OFR_506 [506]", ""},
	{"orange", "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]",
		""},
	/* China */
	{"qq", "550 Sender frequency limited. http://service.exmail.qq.com/cgi-bin/help?id=20022",
		"qq-frequency"},
	{"qq", "550 Ip frequency limited", "qq-frequency"},
	{"qq", "550 Connection frequency limited", "qq-frequency"},
	{"qq", "550 Mail content denied. http://service.mail.qq.com", "qq-content"},
	{"qq", "550 Connection denied", "qq-denied"},
	{"qq", "550 Mailbox unavailable or access denied", ""},
	{"netease", "451 DT:SPM ,please try again", "netease-suspected"},
	{"netease", "554 DT:SPM 163 smtp13", "netease-spam"},
	{"netease", "421 HL:REP 163 smtp", "netease-rate"},
	{"netease", "421 HL:MEP", "netease-rate"},
	{"netease", "421 Too many connections", "too-many-connections"},
	{"netease", "550 RP:ORQ", "netease-day"},
	{"netease", "554 HL:ITC", "netease-day"},
	{"netease", "550 RP:TRC", "netease-recipients"},
	{"netease", "550 User not found", ""},
	/* Russia */
	{"mail-ru", "421 Try again later", "mail-ru-throttle"},
	{"mail-ru", "451 Temporarily rejected", "mail-ru-throttle"},
	{"mail-ru", "550 spam message rejected. Please visit http://help.mail.ru/notspam-support",
		"mail-ru-throttle"},
	{"mail-ru", "550 Access from ip address 192.0.2.1 blocked. Visit http://win.mail.ru",
		"mail-ru-blocked"},
	{"mail-ru", "550 Message was not accepted -- invalid mailbox.", ""},
	{"yandex",
		"451 4.5.1 The recipient <a@yandex.ru> has exceeded their message rate limit. Try again "
		"later.",
		"yandex-recipient"},
	{"yandex", "450 4.2.1 The recipient has exceeded message rate limit. Try again later.",
		"yandex-recipient"},
	{"yandex", "554 5.7.1 [1] Message blocked using spamsource.yandex.ru", "yandex-blocked"},
	{"yandex", "550 5.7.1 Policy rejection on the target address", ""},
	/* others */
	{"cox", "421 cox.net cmsmtp too many sessions AUP#CXCNCT", "cox-connections too-many-connections"},
	{"cox", "550 5.1.0 <a@example.com> sender rejected. AUP#CDRBL", "cox-reputation"},
	{"att", "553 5.3.0 flpd594 DNSBL:RBL 521< 192.0.2.1 >_is_blocked.", "att-blocked"},
	{"netvigator", "421 Too many messages for this session", "netvigator-per-connection"},
	{"free", "421 Too many connections from your IP", "too-many-connections"},
	/* any site */
	{"", "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example",
		"greylisted"},
	{"", "451 4.7.1 Greylisting in action, please come back in 00:04:59", "greylisted"},
	{"", "550 5.1.1 graylistings@b.example unknown", ""},
	{"", "421 Too many concurrent SMTP connections from this IP address; please try again later.",
		"too-many-connections"},
	{"", "421 4.7.0 too many open connections from your ip or network", "too-many-connections"},
	{"", "452 4.5.3 Too many recipients", ""},
	{"", "421 4.4.2 Too many errors on this connection", ""},
	{"", "450 All messages from 2001:db8::1 will be permanently deferred", "reputation"},
	{"",
		"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; "
		"https://www.spamhaus.org/query/ip/192.0.2.1",
		"spamhaus"},
	{"",
		"554 *.terra.com cmsmtp 5.7.1 Client host [192.0.2.1] blocked using cm-csi-v11; "
		"http://csi.cloudmark.com/reset-request/?ip=192.0.2.1",
		"cloudmark"},
	{"", "550 5.1.1 User unknown", ""},
	{"", "452 4.2.2 Mailbox full", ""},
	{"", "451 4.3.0 Temporary failure, please try again later", ""},
};

static int
setup(void **state)
{
	*state = (void *)(uintptr_t)conf_load(SOURCE_DIR "/conf/providers.conf", stderr);
	return *state != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	conf_unref(*state);
	return 0;
}

static int
find_provider(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->provider_count; i++)
		if (strcmp(c->providers[i].name, name) == 0)
			return (int)i;
	if (name[0] != '\0')
		fail_msg("no provider %s", name);
	return RULES_PROVIDER_NONE;
}

static void
match(const struct conf *c, const struct rules *r, size_t i, struct rules_match *out)
{
	struct smtp_reply_parser p;
	struct smtp_reply reply = read_reply(&p, cases[i].reply);

	rules_match(
		r, &(struct rules_reply){find_provider(c, cases[i].provider), RULES_PHASES_ANY, &reply}, out);
}

static void
test_replies(void **state)
{
	const struct conf *c = *state;
	struct rules *r = rules_create(c);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules_match m;
		char got[300] = "";
		size_t n = 0;

		match(c, r, i, &m);
		for (uint32_t k = 0; k < m.count; k++)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s", k > 0 ? " " : "",
				c->rules[m.rules[k]].name);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s\n\"%s\", not \"%s\"", cases[i].provider, cases[i].reply, got,
				cases[i].want);
	}
	assert_int_equal(rules_gave_up_next(r, 1), -1);
	rules_unref(r);
}

/* Each rule has a reply above that it must hold for. */
static void
test_all_rules(void **state)
{
	const struct conf *c = *state;
	struct rules *r = rules_create(c);
	bool *is_met = calloc(c->rule_count, sizeof(bool));

	assert_non_null(is_met);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules_match m;

		match(c, r, i, &m);
		for (uint32_t k = 0; k < m.count; k++)
			is_met[m.rules[k]] = true;
	}
	for (size_t n = 0; n < c->rule_count; n++)
		if (!is_met[n])
			fail_msg("no reply leads to rule %s", c->rules[n].name);
	free(is_met);
	rules_unref(r);
}

static bool
pauses(const struct conf_rule_actions *a)
{
	for (int i = 0; i < CONF_SCOPE_COUNT; i++)
		if (a->pause_us[i] > 0)
			return true;
	return a->profile >= 0 || a->slow_ppm > 0;
}

/* What concerns one recipient slows nobody; a refusal that means "slower" does not end the recipient. */
static void
test_recipients(void **state)
{
	static const char *const theirs[] = {"google-recipient", "google-message-id", "google-dns",
		"apple-recipient", "yandex-recipient", "greylisted", "comcast-ptr"};
	static const char *const kept[] = {"qq-frequency", "netease-day", "netease-recipients",
		"orange-refused", "orange-connections", "orange-volume", "t-online-blocked"};
	const struct conf *c = *state;
	size_t found = 0;

	for (size_t n = 0; n < c->rule_count; n++) {
		for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
			if (strcmp(theirs[i], c->rules[n].name) == 0) {
				assert_false(pauses(&c->rules[n].actions));
				found++;
			}
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			if (strcmp(kept[i], c->rules[n].name) == 0) {
				assert_int_equal(c->rules[n].actions.treat, CONF_TREAT_TEMPORARY);
				found++;
			}
		assert_int_not_equal(c->rules[n].actions.treat, CONF_TREAT_PERMANENT);
		assert_false(c->rules[n].actions.next_source);
	}
	assert_int_equal(found, sizeof(theirs) / sizeof(theirs[0]) + sizeof(kept) / sizeof(kept[0]));
}

static void
test_sites(void **state)
{
	static const struct {
		const char *domain, *mx, *provider;
	} sites[] = {
		{"gmail.com", "gmail-smtp-in.l.google.com", "google"},
		{"shop.example", "aspmx3.googlemail.com", "google"},
		{"yahoo.com", "mta5.am0.yahoodns.net", "yahoo"},
		{"yahoo.co.jp", "mx1.mail.yahoo.co.jp", "yahoo-japan"},
		{"hotmail.com", "hotmail-com.olc.protection.outlook.com", "microsoft"},
		{"shop.example", "shop-example.mail.protection.outlook.com", "office365"},
		{"shop.example", "shop-example.a-v1.mx.microsoft", "office365"},
		{"icloud.com", "mx01.mail.icloud.com", "apple"},
		{"comcast.net", "mx1.comcast.net", "comcast"},
		{"comcast.net", "mta5.am0.yahoodns.net", "yahoo"},
		{"web.de", "mx-ha02.web.de", "gmx"},
		{"t-online.de", "mx00.t-online.de", "t-online"},
		{"free.fr", "mx1.free.fr", "free"},
		{"shop.example", "eu-smtp-inbound-1.mimecast.com", "mimecast"},
		{"shop.example", "mx1-eu1.ppe-hosted.com", "proofpoint"},
		{"bk.ru", "mxs.mail.ru", "mail-ru"},
		{"shop.example", "mx.shop.example", ""},
		{"notgoogle.com", "mx.notgoogle.com", ""},
	};
	const struct conf *c = *state;

	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
		assert_int_equal(
			site_provider(c, sites[i].domain, sites[i].mx), find_provider(c, sites[i].provider));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies), cmocka_unit_test(test_all_rules),
		cmocka_unit_test(test_recipients), cmocka_unit_test(test_sites)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
