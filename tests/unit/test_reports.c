/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf/reports.conf: mails as they come from servers, filters, carriers and people, and what is read in them.
 * Through the whole reader, so that MIME, encodings and character sets are part of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "feedback/prose.h"
#include "smtp_esc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reports {
	struct report_rules *rules;
	struct feedback_reader *reader;
};

static int
setup(void **state)
{
	struct reports *r = calloc(1, sizeof(*r));
	const struct conf *conf = conf_load(SOURCE_DIR "/conf/reports.conf", stderr);

	assert_non_null(r);
	assert_non_null(conf);
	r->rules = report_rules_create(conf);
	assert_non_null(r->rules);
	r->reader = feedback_reader_create(prose_read, r->rules);
	assert_non_null(r->reader);
	conf_unref(conf);
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	struct reports *r = *state;

	feedback_reader_destroy(&r->reader);
	report_rules_unref(r->rules);
	free(r);
	return 0;
}

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, text_len(text)};
}

/* "bounce a@b 550 5.1.1; delay ..." */
static void
say(const struct finding *f, char *buf, size_t max)
{
	size_t n = (size_t)snprintf(buf, max, "%s", finding_kind_name(f->kind));

	for (uint16_t i = 0; i < f->rcpt_count; i++) {
		const struct finding_rcpt *rcpt = &f->rcpts[i];
		char esc[SMTP_ESC_TEXT_MAX + 1] = "-";
		int len = rcpt->status.class_digit != 0 ? smtp_esc_write(rcpt->status, esc, sizeof(esc) - 1)
							: 1;

		assert_true(len > 0);
		n += (size_t)snprintf(buf + n, max - n, "; %s %u %.*s", rcpt->address, rcpt->code, len, esc);
	}
}

/* words: in the text of the first recipient; NULL: not looked at. */
static void
check(struct reports *r, const char *name, const char *mail, const char *want, const char *words)
{
	const struct finding *f = feedback_read(r->reader, slice(mail));
	char got[1000];

	say(f, got, sizeof(got));
	if (strcmp(got, want) != 0)
		fail_msg("%s: got\n%s\nnot\n%s", name, got, want);
	if (words != NULL && strstr(f->rcpts[0].text, words) == NULL)
		fail_msg("%s: no \"%s\" in %s", name, words, f->rcpts[0].text);
}

#define DAEMON "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nTo: me@example.com\n"
#define BACK   "Message-ID: <1@example.com>\nFrom: me@example.com\nTo: other@example.com\n\nhello\n"

static const struct {
	const char *name, *mail, *want, *words;
} cases[] = {
	{"qmail",
		DAEMON
		"Subject: failure notice\n\n"
		"Hi. This is the qmail-send program at mx.example.\n"
		"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
		"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
		"<a@b.example>:\n192.0.2.1 does not like recipient.\n"
		"Remote host said: 550 5.1.1 <a@b.example>... User Unknown\nGiving up on 192.0.2.1.\n\n"
		"<c@b.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
		"--- Below this line is a copy of the message.\n\n" BACK,
		"bounce; a@b.example 550 5.1.1; c@b.example 0 5.1.1", "does not like recipient"},
	{"Yahoo",
		DAEMON "Subject: Failure Notice\n\n"
		       "Sorry, we were unable to deliver your message to the following address.\n\n"
		       "<a@b.example>:\n554: 5.7.9 not accepted for policy reasons\n\n"
		       "--- Below this line is a copy of the message.\n\n" BACK,
		"bounce; a@b.example 554 5.7.9", NULL},
	{"Exim",
		DAEMON "X-Failed-Recipients: a@b.example,\n  c@b.example\nAuto-Submitted: auto-replied\n"
		       "Subject: Mail delivery failed: returning message to sender\n\n"
		       "This message was created automatically by mail delivery software.\n\n"
		       "A message that you sent could not be delivered to one or more of its\n"
		       "recipients. This is a permanent error. The following address(es) failed:\n\n"
		       "  a@b.example\n    SMTP error from remote mail server after RCPT TO:<a@b.example>:\n"
		       "    host mx.b.example [192.0.2.1]: 552 5.2.2 Mailbox full\n"
		       "  c@b.example\n    Unrouteable address\n\n"
		       "------ This is a copy of the message, including all the headers. ------\n\n" BACK,
		"bounce; a@b.example 552 5.2.2; c@b.example 0 -", "Mailbox full"},
	{"Exim, a warning",
		DAEMON
		"Auto-Submitted: auto-replied\nSubject: Warning: message 1abc-0001 delayed 24 hours\n\n"
		"This message was created automatically by mail delivery software.\n"
		"A message that you sent has not yet been delivered to one or more of its\n"
		"recipients after more than 24 hours on the queue on mx.example.\n\n"
		"The address to which the message has not yet been delivered is:\n\n"
		"  a@b.example\n    Delay reason: Connection refused\n\n"
		"No action is required on your part. Delivery attempts will continue for\n",
		"delay; a@b.example 0 4.0.0", "Connection refused"},
	{"GMX",
		DAEMON
		"Subject: Mail delivery failed: returning message to sender\n\n"
		"This message was created automatically by mail delivery software.\n\n"
		"A message that you sent could not be delivered to one or more of\nits recipients. This is "
		"a permanent error. The following address\nfailed:\n\n"
		"\"a@b.example\":\nSMTP error from remote server after RCPT command:\nhost: mx.b.example\n"
		"5.2.2 <a@b.example>... Mailbox Full\n\n"
		"--- The header of the original message is following. ---\n\n" BACK,
		"bounce; a@b.example 0 5.2.2", NULL},
	{"Mail.ru, address cut",
		DAEMON
		"X-Failed-Recipients: a@b.example\nAuto-Submitted: auto-replied\nSubject: Mail failure.\n"
		"Content-Type: text/plain; charset=utf-8\n\n"
		"Это письмо создано автоматически сервером Mail.Ru, отвечать на него не нужно.\n\n"
		"  a\n    SMTP error from remote mail server after RCPT TO:<a@b.example>:\n"
		"    host mx.b.example [192.0.2.1]: 550 5.1.1 User Unknown\n\n"
		"------ This is a copy of the message, including all the headers. ------\n\n" BACK,
		"bounce; a@b.example 550 5.1.1", NULL},
	{"Gmail",
		"From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n"
		"X-Failed-Recipients: a@b.example\nSubject: Delivery Status Notification (Failure)\n\n"
		"Delivery to the following recipient failed permanently:\n\n     a@b.example\n\n"
		"Technical details of permanent failure: \nGoogle tried to deliver your message, but it was "
		"rejected.\nThe error that the other server returned was:\n550 550 5.1.1 no such user (state "
		"14).\n\n"
		"----- Original message -----\n\n" BACK,
		"bounce; a@b.example 550 5.1.1", NULL},
	{"Gmail, a delay",
		"From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n"
		"Subject: Delivery Status Notification (Delay)\n\n"
		"This is an automatically generated Delivery Status Notification\n\n"
		"Delivery to the following recipient has been delayed:\n\n     a@b.example\n\n"
		"Message will be retried for 2 more day(s)\n\n----- Original message -----\n\n" BACK,
		"delay; a@b.example 0 4.0.0", "will be retried"},
	{"Gmail, as it writes today",
		"Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n"
		"Subject: Delivery Status Notification (Failure)\n\n** Address not found **\n\n"
		"Your message wasn't delivered to a@b.example because the address couldn't be found, or is "
		"unable to receive mail.\n\nLearn more here: "
		"https://support.google.com/mail/?p=NoSuchUser\n\n"
		"The response was:\n\n550 5.1.1 The email account that you tried to reach does not exist.\n",
		"bounce; a@b.example 550 5.1.1", "does not exist"},
	{"Gmail, in German",
		"Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n"
		"Subject: Delivery Status Notification (Failure)\n\n** Adresse nicht gefunden **\n\n"
		"Ihre Nachricht wurde nicht an a@b.example zugestellt, weil die Adresse nicht gefunden wurde "
		"oder keine E-Mails empfangen kann.\n\nDie Antwort lautete:\n\n550 5.2.1 inactive\n",
		"bounce; a@b.example 550 5.2.1", NULL},
	{"Gmail, a delay as it writes today",
		"Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n"
		"Subject: Delivery Status Notification (Delay)\n\n** Delivery incomplete **\n\n"
		"There was a temporary problem delivering your message to a@b.example. Gmail will retry "
		"for 22 more hours. You'll be notified if the delivery fails permanently.\n\n"
		"The response was:\n\n452 4.2.2 over quota\n",
		"delay; a@b.example 452 4.2.2", NULL},
	{"163.com, in two languages",
		"Return-Path: <>\nFrom: Postmaster@163.com\nSubject: =?utf-8?b?57O757uf6YCA5L+h?=\n"
		"Content-Type: text/plain; charset=utf-8\n\n"
		"抱歉，您的邮件被退回来了……\n原邮件信息：\n时  间： 2012-12-31 11:27:34\n主  题： hello\n"
		"收件人： a@b.example\n退信原因：\n您可能写了外星人的邮件地址。\n"
		"英文说明:SMTP error, RCPT TO: 550 5.1.1 User unknown\n",
		"bounce; a@b.example 550 5.1.1", "User unknown"},
	{"MailEnable",
		"Return-Path: <>\nFrom: \"Delivery Subsystem\" <postmaster@mx.example>\n"
		"Subject: Message Delivery Failure\n\n"
		"MailEnable: Message could not be delivered to some recipients.\n"
		"The following recipient(s) could not be reached:\n\n\tRecipient: [SMTP:a@b.example]\n"
		"\tReason: Remote SMTP Server Returned: 550 5.7.1 no\n\nMessage headers follow:\n\n" BACK,
		"bounce; a@b.example 550 5.7.1", "Remote SMTP Server"},
	{"hMailServer",
		DAEMON "Subject: Message undeliverable: hello\n\n"
		       "Your message did not reach some or all of the intended recipients.\n\n"
		       "   Sent: Mon, 1 Jan 2024 10:00:00 +0000\n   Subject: hello\n\n"
		       "The following recipient(s) could not be reached:\n\na@b.example\n"
		       "   Error Type: SMTP\n   Remote server (192.0.2.1) issued an error.\n"
		       "   hMailServer sent: RCPT TO:<a@b.example>\n"
		       "   Remote server replied: 550 5.1.1 unknown user\n\n\n\nhMailServer\n",
		"bounce; a@b.example 550 5.1.1", "unknown user"},
	{"SmarterMail",
		"Return-Path: <>\nFrom: System Administrator <system@mx.example>\nSubject: Delivery "
		"Failure\n\n"
		"Could not deliver message to the following recipient(s):\n\n"
		"Failed Recipient: a@b.example\nReason: Remote host said: 550 5.1.1 No such user here\n\n"
		"   -- The header and top 20 lines of the message follows --\n\n" BACK,
		"bounce; a@b.example 550 5.1.1", "No such user here"},
	{"Google Groups, in any language",
		"From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nAuto-Submitted: auto-replied\n"
		"X-Failed-Recipients: group@googlegroups.example\n"
		"Subject: Delivery Status Notification (Failure)\n\n"
		"Bonjour me@example.com,\n\nIl se peut que le groupe n'existe pas.\n\n"
		"----- Original message -----\n\n" BACK,
		"bounce; group@googlegroups.example 0 -", "existe pas"},
	{"Amazon SES by SNS",
		"From: no-reply@sns.example\nSubject: AWS Notification Message\n\n"
		"{\"notificationType\":\"Bounce\",\"bounce\":{\"bounceType\":\"Permanent\","
		"\"bouncedRecipients\":"
		"[{\"emailAddress\":\"a@b.example\",\"status\":\"5.1.1\",\"action\":\"failed\","
		"\"diagnosticCode\":"
		"\"smtp; 550 5.1.1 user unknown\"}]}}\n",
		"bounce; a@b.example 550 5.1.1", "550 5.1.1 user unknown"},
	{"Amazon WorkMail",
		"From: MAILER-DAEMON@ses.example\nSubject: Delivery Status Notification (Failure)\n\n"
		"An error occurred while trying to deliver the mail to the following "
		"recipients:\na@b.example\n\n"
		"Technical report:\n\nReporting-MTA: dsn; ses.example\n\nAction: failed\n"
		"Final-Recipient: rfc822; a@b.example\nDiagnostic-Code: smtp; 550 5.2.2 Mailbox Full\n"
		"Status: 5.2.2\n",
		"bounce; a@b.example 550 5.2.2", NULL},
	{"OpenSMTPD",
		DAEMON "Subject: Delivery status notification: error\n\n    Hi!\n\n"
		       "    An error has occurred while attempting to deliver a message for\n"
		       "    the following list of recipients:\n\n"
		       "a@b.example: 550 5.2.2 Mailbox Full\nc@b.example: 550 5.1.1 User Unknown\n\n"
		       "    Below is a copy of the original message:\n\n" BACK,
		"bounce; a@b.example 550 5.2.2; c@b.example 550 5.1.1", NULL},
	{"OpenSMTPD, a delay",
		DAEMON "Subject: Delivery status notification: delay\n\n"
		       "    A message is delayed for more than 4 hours for the following\n    list of "
		       "recipients:\n\n"
		       "a@b.example: Network error on destination MXs\n",
		"delay; a@b.example 0 4.0.0", NULL},
	{"Postfix before RFC 3464, forwarded by an alias",
		DAEMON "Subject: Undelivered Mail Returned to Sender\n\n"
		       "This is the Postfix program at host mx.example.\n\n"
		       "I'm sorry to have to inform you that the message returned\n"
		       "below could not be delivered to one or more destinations.\n"
		       "For further assistance, please contact <postmaster@mx.example>\n\n"
		       "<a@b.example>: host\n    mx.b.example[192.0.2.1] said: 550\n    User unknown\n"
		       "<x@y.example> (expanded from <c@b.example>): Name service error, try again\n",
		"bounce; a@b.example 550 -; c@b.example 0 -", "said: 550 User unknown"},
	{"DragonFly",
		DAEMON
		"Subject: Mail delivery failed\n\nThis is the DragonFly Mail Agent v0.13 at mx.example.\n\n"
		"There was an error delivering your mail to <a@b.example>.\n\n"
		"mx.b.example [192.0.2.1] did not like our RCPT TO:\n550 5.1.2 Bad destination\n\n"
		"Message headers follow.\n\n" BACK,
		"bounce; a@b.example 550 5.1.2", NULL},
	{"Sendmail 8, forwarded by a person",
		"From: me@example.com\nSubject: Fwd: Returned mail: see transcript for details\n\nlook\n"
		"> From: Mail Delivery Subsystem <MAILER-DAEMON>\n>\n"
		">    ----- The following addresses had permanent fatal errors -----\n> <a@b.example>\n"
		">     (reason: 550 5.1.1 <a@b.example>... User unknown)\n>\n"
		">    ----- Transcript of session follows -----\n> ... while talking to mx.b.example.:\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"Sendmail 5",
		DAEMON
		"Subject: Returned mail: User unknown\n\n   ----- Transcript of session follows -----\n"
		"While talking to mx.b.example:\n>>> MAIL From:<me@example.com>\n"
		"<<< 501 no access from mail server\n554 <a@b.example>... Remote protocol error\n"
		"550 d.example (smtp)... 550 Host unknown\n"
		"554 <c@d.example>... 550 Host unknown (Authoritative answer from name server)\n\n"
		"   ----- Unsent message follows -----\n" BACK,
		"bounce; a@b.example 501 -; c@d.example 550 -", "no access from mail server"},
	{"Smail, T-Online",
		DAEMON "Subject: mail failed, returning to sender\n\n"
		       "|------------------------- Message log follows: -------------------------|\n"
		       " no valid recipients were found for this message\n"
		       "|------------------------- Failed addresses follow: ---------------------|\n"
		       " <a@b.example> ... unknown user\n"
		       "|------------------------- Message text follows: ------------------------|\n" BACK,
		"bounce; a@b.example 0 -", "unknown user"},
	{"Biglobe",
		DAEMON
		"Subject: Returned mail\n\n   ----- The following addresses had delivery problems -----\n"
		"a@b.example\n\n   ----- Non-delivered information -----\n"
		"The number of messages in recipient's mailbox exceeded the local limit.\n",
		"bounce; a@b.example 0 -", "exceeded the local limit"},
	{"Activehunter",
		DAEMON "Subject: Undeliverable\n\n  ----- The following addresses had permanent fatal errors "
		       "-----\n\n"
		       ">>> a@b.example <a@b.example>\n\n  ----- Transcript of session follows -----\n"
		       "550 sorry, no mailbox here by that name (#5.1.1 - chkusr)\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"X1",
		DAEMON "Subject: Returned Mail: User unknown\n\n"
		       "---The following addresses had delivery errors---\n\na@b.example [User unknown]\n",
		"bounce; a@b.example 0 -", "User unknown"},
	{"Exchange 5.5",
		"From: System Administrator <postmaster@b.example>\nSubject: Undeliverable: x\n\nYour "
		"message\n\n"
		"  To:      me@example.com\n  Subject: x\n\ndid not reach the following recipient(s):\n\n"
		"a@b.example on Thu, 29 Apr 2010 00:00:00 -0000\n    The recipient name is not recognized\n"
		"c=jp;a= ;p=x;o=y;dda:SMTP=c@b.example; on Thu, 29 Apr 2010 00:00:00 -0000\n"
		"    MSEXCH:IMS:B:EXCHANGE 0 (000C05A6) Unknown Recipient\n",
		"bounce; a@b.example 0 -; c@b.example 0 -", "not recognized"},
	{"Exchange 2007, Office 365",
		"From: postmaster@b.example\nSubject: Undeliverable: x\n\n"
		"Delivery has failed to these recipients or groups:\n\na@b.example<mailto:a@b.example>\n"
		"The email address you entered couldn't be found.\n\nDiagnostic information for "
		"administrators:\n\n"
		"Generating server: S.example\n\na@b.example\n"
		"Remote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found'\n\n"
		"Original message headers:\n\n" BACK,
		"bounce; a@b.example 550 5.1.10", NULL},
	{"Exchange 2007, without Microsoft's words",
		"From: postmaster@b.example\nSubject: Undeliverable: x\n\nDiagnostic information for "
		"administrators:\n\n"
		"Generating server: s.b.example\n\na@b.example\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not "
		"found ##\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"Domino",
		"From: Postmaster@b.example\nSubject: DELIVERY FAILURE: User a not listed\n\nYour message\n\n"
		"  Subject: x\n\nwas not delivered to:\n\n  a@b.example\n\nbecause:\n\n"
		"  User a (a@b.example) not listed in Domino Directory\n",
		"bounce; a@b.example 0 -", "not listed in Domino"},
	{"Notes",
		"From: postmaster@b.example\nSubject: Undeliverable message\n\n------- Failure Reasons  "
		"--------\n\n"
		"User  not listed in public Name & Address Book\na@b.example\n\n"
		"------- Returned Message --------\n" BACK,
		"bounce; a@b.example 0 -", "not listed in public"},
	{"GroupWise",
		"From: <>\nSubject: Message status - undeliverable\n\n"
		"The message that you sent was undeliverable to the following:\n\ta@b.example (user "
		"unknown)\n",
		"bounce; a@b.example 0 -", "user unknown"},
	{"PMDF, its boundary lost",
		"From: PMDF e-Mail <MAILER-DAEMON@b.example>\nSubject: Delivery Notification: failed\n"
		"Content-Type: multipart/report; boundary=\"lost\"; report-type=delivery-status\n\n"
		"Your message cannot be delivered to the following recipients:\n\n"
		"  Recipient address: a@b.example\n  Reason: Remote SMTP server has rejected address\n"
		"  Diagnostic code: smtp; 550 5.7.1 550 User Unknown\n",
		"bounce; a@b.example 550 5.7.1", NULL},
	{"CommuniGate",
		DAEMON
		"Subject: Undeliverable mail\n\nFailed to deliver to '<a@b.example>'\n"
		"SMTP module(domain b.example) reports:\n host mx.b.example says:\n 550 5.1.1 unknown\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"IMail",
		"From: postmaster@b.example\nX-Mailer: <SMTP32 v8.22>\nSubject: Undeliverable Mail\n\n"
		"User mailbox exceeds allowed size: a@b.example\n\nOriginal message follows.\n\n" BACK,
		"bounce; a@b.example 0 -", "exceeds allowed size"},
	{"MailMarshal",
		"From: postmaster@b.example\nSubject: Undeliverable Mail: x\n\nYour message:\n   From: "
		"me@example.com\n"
		"   Subject: x\nCould not be delivered because of\n\n550 5.1.1 User unknown\n\n"
		"The following recipients were affected: \n    a@b.example\n\nAdditional Information\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"SurfControl",
		"From: Postmaster@b.example\nSubject: Message could not be sent\n\nYour message could not be "
		"sent.\n"
		"A transcript of the attempts to send the message follows.\nThe number of attempts made: 1\n"
		"Addressed To: a@b.example\n\nThu 29 Apr 2010\nFailed to send to identified host,\n"
		"a@b.example: [192.0.2.1], 550 a@b.example... No such user\n\n--- Message non-deliverable.\n",
		"bounce; a@b.example 550 -", "[192.0.2.1], 550"},
	{"InterScan",
		"From: \"InterScan MSS\" <postmaster@b.example>\nSubject: Mail could not be delivered\n\n"
		"Sent <<< RCPT TO:<a@b.example>\nReceived >>> 550 5.1.1 <a@b.example>... user unknown\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"m-FILTER, in ISO-2022-JP",
		"From: postmaster@b.example\nX-Mailer: m-FILTER\nSubject: failure notice\n"
		"Content-Type: text/plain; charset=ISO-2022-JP\n\n\x1b$B%a!<%k\x1b(B\n\na@b.example\n\n"
		"-------server message\n550 unknown user <a@b.example>\n\n-------original message\n" BACK,
		"bounce; a@b.example 550 -", "unknown user"},
	{"au, in Japanese and English",
		"From: Postmaster@ezweb.ne.jp\nSubject: Mail System Error - Returned Mail\n\n"
		"The following recipients did not receive this message:\n\n   <a@b.example>\n\n"
		"The user(s) account is disabled.\n",
		"bounce; a@b.example 0 -", "disabled"},
	{"KDDI",
		"From: no-reply@x.dion.ne.jp\nSubject: Mail\n\nYour mail sent on: Thu, 29 Apr 2010 00:00:00 "
		"+0900\n"
		"     Could not be delivered to: <a@b.example>\n     As their mailbox is full.\n",
		"bounce; a@b.example 0 -", "mailbox is full"},
	{"a list that takes no mail",
		"From: list-admin@b.example\nX-MLServer: fml [fml 4.0.3 release]\nSubject: You are not "
		"member\n\n"
		"You are not a member of this mailing list <list@b.example>.\n\nguide\n",
		"bounce; list@b.example 0 -", "not a member"},
	{"Zoho",
		"From: mailer-daemon@mail.zoho.example\nX-Mailer: Zoho Mail\nSubject: Undelivered Mail\n\n"
		"This message was created automatically by mail delivery software.\n\n"
		"a@b.example Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 no\n",
		"bounce; a@b.example 550 5.1.1", NULL},
	{"guessed: a line with address and reason",
		"From: postmaster@b.example\nSubject: Returned mail: x\n\nUser's mailbox is full: "
		"<a@b.example>\n"
		"Unable to deliver mail. Ask <postmaster@b.example>.\n",
		"bounce; a@b.example 0 -", "mailbox is full"},
	{"guessed: an address alone",
		"From: Mail Administrator <admin@b.example>\nSubject: Unzustellbar: x\n\n"
		"Folgende Empfaenger haben die Nachricht nicht erhalten\n\n   <a@b.example>\n\nUnbekannt\n",
		"bounce; a@b.example 0 -", "Unbekannt"},
	{"guessed: from what came back",
		DAEMON
		"Subject: Undelivered Mail Returned to Sender\nContent-Type: multipart/mixed; boundary=b\n\n"
		"--b\n\nYour message could not be delivered.\n\n--b\nContent-Type: message/rfc822\n\n" BACK
		"--b--\n",
		"bounce; other@example.com 0 -", NULL},

	{"auto-reply, by its subject",
		"From: a@b.example\nSubject: Automatic reply: x\n\nI am away, ask c@b.example.\n",
		"auto-reply", NULL},
	{"auto-reply, in German",
		"From: a@b.example\nSubject: =?utf-8?q?Abwesenheitsnotiz=3A_x?=\n\nIch bin nicht da.\n",
		"auto-reply", NULL},
	{"auto-reply, in Japanese", "From: a@b.example\nSubject: =?utf-8?b?6Ieq5YuV6L+U5L+h?=\n\nx\n",
		"auto-reply", NULL},
	{"auto-reply, by its header", "From: a@b.example\nAuto-Submitted: auto-replied\nSubject: x\n\nx\n",
		"auto-reply", NULL},
	{"a mail of a person",
		"From: a@b.example\nAuto-Submitted: no\nSubject: Re: x\n\nThanks, c@b.example is right.\n",
		"unknown", NULL},
	{"a newsletter", "From: news@b.example\nPrecedence: bulk\nSubject: News\n\nWrite to c@b.example.\n",
		"unknown", NULL},
	{"challenge, by its header",
		"From: a@b.example\nX-TMDA-Fingerprint: x\nSubject: Please confirm\n\nx\n", "challenge",
		NULL},
	{"challenge, by its words",
		"From: a@b.example\nAuto-Submitted: auto-replied\nSubject: Re: x\n\n"
		"To let your mail in, please verify that you are a real person.\n",
		"challenge", NULL},
	{"an address that changed",
		"From: a@b.example\nAuto-Submitted: auto-replied\nSubject: Re: x\n\n"
		"My email address has changed. Please write to c@b.example.\n",
		"address-changed", NULL},
	{"delivered",
		"From: a@b.example\nSubject: Delivered\n\nFinal-Recipient: rfc822; a@b.example\nAction: "
		"delivered\n"
		"Status: 2.0.0\n",
		"delivered; a@b.example 0 2.0.0", NULL},
};

static void
test_mails(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(*state, cases[i].name, cases[i].mail, cases[i].want, cases[i].words);
}

/* The message that came back in the text is known by its header. */
static void
test_original(void **state)
{
	struct reports *r = *state;
	const char *mail = cases[0].mail;
	const struct finding *f = feedback_read(r->reader, slice(mail));

	assert_string_equal(f->original.message_id, "1@example.com");
	assert_string_equal(f->original.from, "me@example.com");
	/* Which stays when the text has gone. */
	assert_ptr_equal(f->original.header.ptr, f->header);
	assert_true(smtp_slice_is(
		smtp_mime_header(f->original.header, SMTP_LIT("From")), SMTP_LIT(" me@example.com")));
}

/* What a standard report forgot stands in its words; what it says is not touched. */
static void
test_filled(void **state)
{
	static const char head[] =
		"From: MAILER-DAEMON@b.example\nSubject: Undeliverable\n"
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n"
		"Hi. This is the mail program.\n\n<a@b.example>:\n550 5.1.1 unknown\n\n--b\n"
		"Content-Type: message/delivery-status\n\nReporting-MTA: dns; b.example\n\n";
	char mail[1000];

	snprintf(mail, sizeof(mail), "%sFinal-Recipient: rfc822; a@b.example\nAction: failed\n--b--\n", head);
	check(*state, "no status", mail, "bounce; a@b.example 550 5.1.1", NULL);
	snprintf(mail, sizeof(mail), "%sAction: failed\nStatus: 5.2.2\n--b--\n", head);
	check(*state, "no address", mail, "bounce; a@b.example 0 5.2.2", NULL);
	snprintf(mail, sizeof(mail), "%sFinal-Recipient: rfc822; c@b.example\nAction: failed\n--b--\n", head);
	check(*state, "another address", mail, "bounce; c@b.example 0 -", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mails), cmocka_unit_test(test_original), cmocka_unit_test(test_filled)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
