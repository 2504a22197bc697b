/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client engine against scripts. A script is a list of lines that are done in order:
 *
 *	"> text"   the peer sends this line          "< text"   we must have sent this line next
 *	"= text"   this event must have come next    ". text"   the host acts: mail A, quit, lost, tls, flow
 *on, flow off
 *
 * "flow off" keeps what is written from being counted as sent. After the last line nothing may be left over.
 *Each script runs with the peer's lines whole, byte by byte, and cut at every position, and with output
 *drained in several portions: the same transcript is required.
 */
#include "smtp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SCRIPT_MAX = 64, TEXT_MAX = 65536 };

static const struct smtp_client_rcpt rcpt_1[] = {{SMTP_LIT("r1@x.test"), {NULL, 0}, 0}};
static const struct smtp_client_rcpt rcpt_3[] = {
	{SMTP_LIT("r1@x.test"), SMTP_LIT("rfc822;a+b@c"), SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY},
	{SMTP_LIT("r2@x.test"), {NULL, 0}, SMTP_NOTIFY_NEVER},
	{SMTP_LIT("r3@x.test"), {NULL, 0}, 0},
};
static const struct smtp_client_rcpt rcpt_bad[] = {
	{SMTP_LIT("r1@x.test"), {NULL, 0}, 0},
	{SMTP_LIT("r2@x.test>\r\nDATA"), {NULL, 0}, 0},
	{SMTP_LIT("r@x.test> NOTIFY=NEVER"), {NULL, 0}, 0},
	{SMTP_LIT("\"a > b\"@x.test"), {NULL, 0}, 0},
};
#define BODY(text)                                                                                           \
	{                                                                                                    \
		SMTP_LIT("H: 1\r\n"), {NULL, 0}, SMTP_LIT(text)                                              \
	}
static const struct smtp_client_mail mails[] = {
	['A' - 'A'] = {SMTP_LIT("s@y.test"), rcpt_1, 1, BODY("\r\nhi\r\n")},
	['B' - 'A'] = {SMTP_LIT("b@y.test"), rcpt_1, 1, BODY("\r\n.\r\n..x\r\n")},
	['C' - 'A'] = {SMTP_LIT("c@y.test"), rcpt_3, 3, BODY("\r\nhi"), SMTP_LIT("id=1"), SMTP_RET_HDRS},
	['D' - 'A'] = {SMTP_LIT("d@y.test"), rcpt_3, 3, BODY("\r\n8\r\n"), .is_8bit = true},
	['E' - 'A'] = {SMTP_LIT("e@y.test"), rcpt_3, 3, BODY("\r\nu\r\n"), .is_utf8 = true},
	['F' - 'A'] = {SMTP_LIT(""), rcpt_1, 1, BODY("\r\nbare\n.\r\n")},
	['G' - 'A'] = {SMTP_LIT(""), rcpt_bad, 4, BODY("\r\nhi\r\n")},
	['H' - 'A'] = {SMTP_LIT("s@y.test>\r\nRSET"), rcpt_1, 1, BODY("\r\nhi\r\n")},
	['J' - 'A'] = {SMTP_LIT("j@y.test"), rcpt_3, 3, BODY("\r\nhi\r\n"), .by = SMTP_BY_RETURN, .by_s = 98,
		.priority = 9},
	['K' - 'A'] = {SMTP_LIT("k@y.test"), rcpt_3, 3, BODY("\r\nhi\r\n"), .by = SMTP_BY_NOTIFY, .by_s = 98,
		.by_trace = true, .priority = -9},
	['L' - 'A'] = {SMTP_LIT("l@y.test"), rcpt_3, 3, BODY("\r\nhi\r\n"), .by = SMTP_BY_NOTIFY,
		.by_s = -SMTP_BY_MAX_S},
	['I' - 'A'] = {SMTP_LIT("\xc3\xa9@y.test"), rcpt_1, 1, BODY("\r\nhi\r\n")},
};
enum { MAILS = sizeof(mails) / sizeof(mails[0]) };

struct test_case {
	const char *name;
	const char *script[SCRIPT_MAX];
	bool no_pipelining, no_overlap, helo_only, in_clear, is_tls, is_whole;
	enum smtp_client_tls tls;
	const char *user;
};

#define GREET  "> 220 mx.test", "< EHLO me.test"
#define PIPED  GREET, "> 250-mx.test", "> 250 PIPELINING", "= ready"
#define PLAIN  GREET, "> 250 mx.test", "= ready"
#define MAIL_A "< MAIL FROM:<s@y.test>", "< RCPT TO:<r1@x.test>", "< DATA"
#define BODY_A "< H: 1", "< ", "< hi", "< ."
#define MAIL_B "< MAIL FROM:<b@y.test>", "< RCPT TO:<r1@x.test>", "< DATA"
#define BODY_B "< H: 1", "< ", "< ..", "< ...x", "< ."
#define RCPT_3 "< RCPT TO:<r1@x.test>", "< RCPT TO:<r2@x.test>", "< RCPT TO:<r3@x.test>"
#define YES    "> 250 ok"

static const struct test_case cases[] = {
	{"one mail, pipelined",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, "> 250 2.0.0 queued",
			"= result A 0 reply final dot 250 2.0.0 queued", "= done A", "= ready", ". quit",
			"< QUIT", "> 221 bye", "= down clean reply quit 221 bye | closed in quit"}},
	{"one mail, step by step",
		{PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", YES, "< RCPT TO:<r1@x.test>", "> 251 forwarded",
			"< DATA", "> 354 go", BODY_A, YES, "= result A 0 reply final dot 250 ok", "= done A",
			"= ready", ". quit", "< QUIT", ". lost eof", "= down lost quit 0 | eof in quit"}},
	{"pipelining offered, not wanted",
		{PIPED, ". mail A", "< MAIL FROM:<s@y.test>", YES, "< RCPT TO:<r1@x.test>", YES, "< DATA",
			"> 354 go", BODY_A, YES, "= result A 0 reply final dot 250 ok", "= done A",
			"= ready"},
		.no_pipelining = true},
	{"next envelope with the final dot",
		{PIPED, ". mail A", ". mail B", MAIL_A, YES, YES, "> 354 go", BODY_A, MAIL_B, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready", YES, YES, "> 354 go",
			BODY_B, "> 451 4.3.0 later", "= result B 0 reply final dot 451 4.3.0 later",
			"= done B", "= ready"}},
	{"second mail comes while the dot is out",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, ". mail B", MAIL_B, "> 550 no",
			"= result A 0 reply final dot 550 no", "= done A", "= ready", YES, YES, "> 354 go",
			BODY_B, YES, "= result B 0 reply final dot 250 ok", "= done B", "= ready"}},
	{"quit waits for the mails inside",
		{PIPED, ". mail A", ". mail B", ". quit", MAIL_A, YES, YES, "> 354 go", BODY_A, MAIL_B, YES,
			"= result A 0 reply final dot 250 ok", "= done A", YES, YES, "> 354 go", BODY_B, YES,
			"= result B 0 reply final dot 250 ok", "= done B", "< QUIT", "> 250 any",
			"= down clean reply quit 250 any | closed in quit"}},
	{"quit before the session is open", {". quit", GREET, "> 250 mx.test", "< QUIT", "> 221 bye",
						    "= down clean reply quit 221 bye | closed in quit"}},
	/* D17 D18 D19 D20 D21 D28 D45 */
	{"MAIL refused, pipelined",
		{PIPED, ". mail A", MAIL_A, "> 550 5.1.8 no", "= result A 0 reply mail 550 5.1.8 no",
			"> 503 mail first", "> 503 mail first", "= done A", "= ready", ". mail B", MAIL_B}},
	{"MAIL refused, step by step", {PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", "> 451 later",
					       "= result A 0 reply mail 451 later", "= done A", "= ready",
					       ". mail B", "< MAIL FROM:<b@y.test>"}},
	{"MAIL refused, DATA accepted all the same",
		{PIPED, ". mail A", MAIL_A, "> 550 no", "= result A 0 reply mail 550 no", YES, "> 354 go",
			"< .", "> 250 ok?", "= done A", "= ready", ". mail B", MAIL_B}},
	{"recipients mixed",
		{PIPED, ". mail C", "< MAIL FROM:<c@y.test>", RCPT_3, "< DATA", YES, "> 550 5.1.1 r1",
			"= result C 0 reply rcpt 550 5.1.1 r1", "> 250 r2", "> 452 4.5.3 r3",
			"= result C 2 reply rcpt 452 4.5.3 r3", "> 354 go", "< H: 1", "< ", "< hi", "< .",
			YES, "= result C 1 reply final dot 250 ok", "= done C", "= ready"}},
	{"the dot's refusal is for all accepted",
		{PIPED, ". mail C", "< MAIL FROM:<c@y.test>", RCPT_3, "< DATA", YES, YES, "> 251 r2",
			"> 550 r3", "= result C 2 reply rcpt 550 r3", "> 354 go", "< H: 1", "< ", "< hi",
			"< .", "> 552 5.3.4 big", "= result C 0 reply final dot 552 5.3.4 big",
			"= result C 1 reply final dot 552 5.3.4 big", "= done C", "= ready"}},
	{"all refused, DATA refused, RSET with the next mail",
		{PIPED, ". mail A", MAIL_A, YES, "> 551 5.7.1 moved",
			"= result A 0 reply rcpt 551 5.7.1 moved", "> 554 no recipients", "= done A",
			"= ready", ". mail B", "< RSET", MAIL_B, YES, YES, YES, "> 354 go", BODY_B, YES,
			"= result B 0 reply final dot 250 ok", "= done B", "= ready"}},
	{"D19 all refused, 354 comes",
		{PIPED, ". mail A", MAIL_A, YES, "> 550 no", "= result A 0 reply rcpt 550 no", "> 354 go",
			"< .", "> 554 empty", "= done A", "= ready", ". mail B", MAIL_B}},
	{"all refused, step by step: no DATA, RSET later",
		{PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", YES, "< RCPT TO:<r1@x.test>", "> 550 no",
			"= result A 0 reply rcpt 550 no", "= done A", "= ready", ". mail B", "< RSET", YES,
			"< MAIL FROM:<b@y.test>"}},
	{"all refused, then quit: no RSET",
		{PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", YES, "< RCPT TO:<r1@x.test>", "> 550 no",
			"= result A 0 reply rcpt 550 no", "= done A", "= ready", ". quit", "< QUIT"}},
	{"RSET refused", {PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", YES, "< RCPT TO:<r1@x.test>",
				 "> 550 no", "= result A 0 reply rcpt 550 no", "= done A", "= ready",
				 ". mail B", "< RSET", "> 502 what", "= result B 0 untried mail 0 ",
				 "= done B", "= down reply rset 502 what | refused in rset"}},
	{"DATA refused", {PIPED, ". mail C", "< MAIL FROM:<c@y.test>", RCPT_3, "< DATA", YES, YES, "> 550 r2",
				 "= result C 1 reply rcpt 550 r2", YES, "> 451 no",
				 "= result C 0 reply data 451 no", "= result C 2 reply data 451 no",
				 "= done C", "= ready", ". mail B", "< RSET", MAIL_B}},
	/* D7 D8 D13 */
	{"greeting 554",
		{"> 554-go", "> 554 away", "= down reply greeting 554 go/away | refused in greeting"}},
	{"greeting 421", {"> 421 busy", "= down reply greeting 421 busy | peer closes in greeting"}},
	{"EHLO 5xx, HELO", {GREET, "> 502 what", "< HELO me.test", "> 250 hello", "= ready", ". mail A",
				   "< MAIL FROM:<s@y.test>"}},
	{"HELO only", {"> 220 x", "< HELO me.test", "> 250-PIPELINING", "> 250 PIPELINING", "= ready"},
		.helo_only = true},
	{"EHLO and HELO refused", {GREET, "> 502 what", "< HELO me.test", "> 550 no",
					  "= down reply ehlo 550 no | refused in ehlo"}},
	{"EHLO 421", {GREET, "> 421 no", "= down reply ehlo 421 no | peer closes in ehlo"}},
	{"EHLO 450", {GREET, "> 450 no", "= down reply ehlo 450 no | refused in ehlo"}},
	{"EHLO lost", {GREET, "> 250-mx", ". lost gone", "= down lost ehlo 0 | gone in ehlo"}},
	/* D9 - D12, D22, D23, D43, D46 */
	{"D12 HTTP as banner",
		{"> HTTP/1.1 400 Bad Request", "= down lost greeting 0 | not an SMTP reply in greeting"}},
	{"354 as banner", {"> 354 go", "= down lost greeting 0 | unexpected reply 354 in greeting"}},
	{"our command reflected",
		{GREET, "> EHLO me.test", "= down lost ehlo 0 | not an SMTP reply in ehlo"}},
	{"250 to DATA", {PIPED, ". mail A", MAIL_A, YES, YES, YES, "= result A 0 lost data 0 ", "= done A",
				"= down broken lost data 0 | unexpected reply 250 in data"}},
	{"354 to RCPT", {PIPED, ". mail A", MAIL_A, YES, "> 354 go", "= result A 0 lost rcpt 0 ", "= done A",
				"= down broken lost rcpt 0 | unexpected reply 354 in rcpt"}},
	{"354 to RCPT, step by step",
		{PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", YES, "< RCPT TO:<r1@x.test>", "> 354 go",
			"= result A 0 lost rcpt 0 ", "= done A",
			"= down lost rcpt 0 | unexpected reply 354 in rcpt"}},
	{"reply too many, idle", {PIPED, YES, "= down lost idle 0 | reply out of step in idle"}},
	{"D43 reply too many behind the dot's",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready", YES,
			"= down broken lost idle 0 | reply out of step in idle"}},
	{"reply before its command was sent",
		{PIPED, ". flow off", ". mail A", YES, "= result A 0 lost mail 0 ", "= done A",
			"= down broken lost mail 0 | reply out of step in mail"}},
	{"extra replies fall to the next envelope",
		{PIPED, ". mail A", ". mail B", MAIL_A, YES, YES, "> 354 go", BODY_A, MAIL_B, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready", YES, YES, YES,
			"= result B 0 lost data 0 ", "= done B",
			"= down broken lost data 0 | unexpected reply 250 in data"}},
	{"250 in the middle of the body", {PIPED, ". mail A", MAIL_A, YES, YES, ". flow off", "> 354 go", YES,
						  "= result A 0 lost body 0 ", "= done A",
						  "= down broken lost body 0 | reply out of step in body"}},
	{"552 in the middle of the body", {PIPED, ". mail A", MAIL_A, YES, YES, ". flow off", "> 354 go",
						  "> 552 big", "= result A 0 reply body 552 big", "= done A",
						  "= down reply body 552 big | refused in body"}},
	/* D24 - D27, D29, D30, D32 */
	{"421 at MAIL of the first mail",
		{PIPED, ". mail A", MAIL_A, "> 421 4.7.0 no", "= result A 0 reply mail 421 4.7.0 no",
			"= done A", "= down reply mail 421 4.7.0 no | peer closes in mail"}},
	{"421 at RCPT", {PIPED, ". mail C", "< MAIL FROM:<c@y.test>", RCPT_3, "< DATA", YES, "> 550 r1",
				"= result C 0 reply rcpt 550 r1", "> 421 no",
				"= result C 1 reply rcpt 421 no", "= result C 2 reply rcpt 421 no",
				"= done C", "= down reply rcpt 421 no | peer closes in rcpt"}},
	{"421 at the dot, next mail untried",
		{PIPED, ". mail A", ". mail B", MAIL_A, YES, YES, "> 354 go", BODY_A, MAIL_B, "> 421 no",
			"= result A 0 reply final dot 421 no", "= done A", "= result B 0 untried mail 0 ",
			"= done B", "= down reply final dot 421 no | peer closes in final dot"}},
	{"D32 421 at MAIL of a later mail",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready", ". mail B", MAIL_B,
			"> 421 enough", "= result B 0 untried mail 0 ", "= done B",
			"= down reply mail 421 enough | peer closes in mail"}},
	{"421 when idle", {PIPED, "> 421 timeout", "= down reply idle 421 timeout | peer closes in idle"}},
	{"421 to STARTTLS",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 421 no",
			"= down reply starttls 421 no | peer closes in starttls"},
		.tls = SMTP_CLIENT_TLS_MAY},
	{"lost in the first mail",
		{PLAIN, ". mail A", "< MAIL FROM:<s@y.test>", ". lost eof", "= result A 0 lost mail 0 ",
			"= done A", "= down lost mail 0 | eof in mail"}},
	{"lost before a later mail was answered",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready", ". mail B", MAIL_B,
			"> 250-o", ". lost eof", "= result B 0 untried mail 0 ", "= done B",
			"= down lost mail 0 | eof in mail"}},
	{"lost in a later mail",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready", ". mail B", MAIL_B, YES,
			YES, ". lost eof", "= result B 0 lost data 0 ", "= done B",
			"= down lost data 0 | eof in data"}},
	{"input dropped behind MAIL",
		{PIPED, ". mail A", MAIL_A, YES, ". lost timeout", "= result A 0 lost rcpt 0 ", "= done A",
			"= down broken lost rcpt 0 | timeout in rcpt"}},
	{"lost in the body",
		{PIPED, ". mail A", MAIL_A, YES, YES, ". flow off", "> 354 go", ". lost eof",
			"= result A 0 lost body 0 ", "= done A", "= down lost body 0 | eof in body"}},
	{"lost behind the dot", {PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, "> 250-o",
					". lost eof", "= result A 0 uncertain final dot 0 ", "= done A",
					"= down lost final dot 0 | eof in final dot"}},
	{"lost behind dot and next envelope",
		{PIPED, ". mail A", ". mail B", MAIL_A, YES, YES, "> 354 go", BODY_A, MAIL_B, ". lost eof",
			"= result A 0 uncertain final dot 0 ", "= done A", "= result B 0 untried mail 0 ",
			"= done B", "= down broken lost final dot 0 | eof in final dot"}},
	{"garbage behind the dot",
		{PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, "> 999 what",
			"= result A 0 uncertain final dot 0 ", "= done A",
			"= down broken lost final dot 0 | not an SMTP reply in final dot"}},
	{"250 and closed", {PIPED, ". mail A", MAIL_A, YES, YES, "> 354 go", BODY_A, YES,
				   "= result A 0 reply final dot 250 ok", "= done A", "= ready", ". lost eof",
				   "= down lost idle 0 | eof in idle"}},
	{"nothing after down", {PLAIN, ". lost eof", "= down lost idle 0 | eof in idle", YES, "> junk",
				       ". lost again", ". quit"}},
	/* D15 and the other refusals of ours */
	{"SIZE is too small", {GREET, "> 250-mx", "> 250 SIZE 5", "= ready", ". mail A",
				      "= result A 0 refused mail 552 5.3.4 message is larger than the "
				      "receiving server takes",
				      "= done A", "= ready", ". mail B",
				      "= result B 0 refused mail 552 5.3.4 message is larger than the "
				      "receiving server takes",
				      "= done B", "= ready"}},
	{"SIZE is large enough", {GREET, "> 250-mx", "> 250 SIZE 12", "= ready", ". mail A",
					 "< MAIL FROM:<s@y.test> SIZE=12"}},
	{"no 8BITMIME", {PIPED, ". mail D",
				"= result D 0 refused mail 554 5.6.3 message is 8-bit and the receiving "
				"server does not offer 8BITMIME",
				"= result D 1 refused mail 554 5.6.3 message is 8-bit and the receiving "
				"server does not offer 8BITMIME",
				"= result D 2 refused mail 554 5.6.3 message is 8-bit and the receiving "
				"server does not offer 8BITMIME",
				"= done D", "= ready"}},
	{"8BITMIME", {GREET, "> 250-mx", "> 250 8BITMIME", "= ready", ". mail D",
			     "< MAIL FROM:<d@y.test> BODY=8BITMIME"}},
	{"no SMTPUTF8", {PIPED, ". mail E",
				"= result E 0 refused mail 553 5.6.7 message needs SMTPUTF8 and the "
				"receiving server does not offer it",
				"= result E 1 refused mail 553 5.6.7 message needs SMTPUTF8 and the "
				"receiving server does not offer it",
				"= result E 2 refused mail 553 5.6.7 message needs SMTPUTF8 and the "
				"receiving server does not offer it",
				"= done E", "= ready"}},
	{"SMTPUTF8", {GREET, "> 250-mx", "> 250 SMTPUTF8", "= ready", ". mail E",
			     "< MAIL FROM:<e@y.test> SMTPUTF8"}},
	{"DSN parameters", {GREET, "> 250-mx", "> 250-PIPELINING", "> 250 DSN", "= ready", ". mail C",
				   "< MAIL FROM:<c@y.test> RET=HDRS ENVID=id+3D1",
				   "< RCPT TO:<r1@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c",
				   "< RCPT TO:<r2@x.test> NOTIFY=NEVER", "< RCPT TO:<r3@x.test>", "< DATA"}},
	/* RFC 2852 4.1.4: the time that is left, by sites that take it */
	{"BY, not offered", {PIPED, ". mail J", "< MAIL FROM:<j@y.test>", RCPT_3, "< DATA"}},
	{"BY with R", {GREET, "> 250-mx", "> 250-PIPELINING", "> 250 DELIVERBY 98", "= ready", ". mail J",
			      "< MAIL FROM:<j@y.test> BY=98;R", RCPT_3, "< DATA"}},
	{"BY with N and T", {GREET, "> 250-mx", "> 250 DELIVERBY 99", "= ready", ". mail K",
				    "< MAIL FROM:<k@y.test> BY=98;NT"}},
	{"BY with N that is over", {GREET, "> 250-mx", "> 250 DELIVERBY", "= ready", ". mail L",
					   "< MAIL FROM:<l@y.test> BY=-999999999;N"}},
	/* 4.1.4.1 */
	{"BY with R, the site wants more", {GREET, "> 250-mx", "> 250 DELIVERBY 99", "= ready", ". mail J",
						   "= result J 0 refused mail 554 5.4.7 the receiving server "
						   "promises no delivery in the "
						   "time the message has left",
						   "= result J 1 refused mail 554 5.4.7 the receiving server "
						   "promises no delivery in the "
						   "time the message has left",
						   "= result J 2 refused mail 554 5.4.7 the receiving server "
						   "promises no delivery in the "
						   "time the message has left",
						   "= done J", "= ready"}},
	/* 4.1.4.2: a site that does not take the time is asked to report delays */
	{"BY with N, DSN alone", {GREET, "> 250-mx", "> 250-PIPELINING", "> 250 DSN", "= ready", ". mail K",
					 "< MAIL FROM:<k@y.test>",
					 "< RCPT TO:<r1@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c",
					 "< RCPT TO:<r2@x.test> NOTIFY=NEVER",
					 "< RCPT TO:<r3@x.test> NOTIFY=FAILURE,DELAY", "< DATA"}},
	{"BY with N, both", {GREET, "> 250-mx", "> 250-PIPELINING", "> 250-DSN", "> 250 DELIVERBY", "= ready",
				    ". mail K", "< MAIL FROM:<k@y.test> BY=98;NT",
				    "< RCPT TO:<r1@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c",
				    "< RCPT TO:<r2@x.test> NOTIFY=NEVER", "< RCPT TO:<r3@x.test>", "< DATA"}},
	{"BY with N that is over, DSN alone",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 DSN", "= ready", ". mail L",
			"< MAIL FROM:<l@y.test>",
			"< RCPT TO:<r1@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c",
			"< RCPT TO:<r2@x.test> NOTIFY=NEVER", "< RCPT TO:<r3@x.test>", "< DATA"}},
	{"BY with R, DSN alone",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 DSN", "= ready", ". mail J",
			"< MAIL FROM:<j@y.test>",
			"< RCPT TO:<r1@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c",
			"< RCPT TO:<r2@x.test> NOTIFY=NEVER", "< RCPT TO:<r3@x.test>", "< DATA"}},
	/* RFC 6710 4.2, RFC 6758 3.2 */
	{"MT-PRIORITY", {GREET, "> 250-mx", "> 250 MT-PRIORITY MIXER", "= ready", ". mail J",
				"< MAIL FROM:<j@y.test> MT-PRIORITY=9"}},
	{"MT-PRIORITY of what has none", {GREET, "> 250-mx", "> 250 MT-PRIORITY", "= ready", ". mail A",
						 "< MAIL FROM:<s@y.test> MT-PRIORITY=0"}},
	{"BY and MT-PRIORITY", {GREET, "> 250-mx", "> 250-MT-PRIORITY", "> 250 DELIVERBY", "= ready",
				       ". mail K", "< MAIL FROM:<k@y.test> BY=98;NT MT-PRIORITY=-9"}},
	{"dirty body", {PIPED, ". mail F",
			       "= result F 0 refused mail 554 5.6.0 message has a NUL, a bare CR or a bare "
			       "LF and cannot be sent",
			       "= done F", "= ready", ". mail A", MAIL_A}},
	{"refused mail behind another",
		{PIPED, ". mail A", ". mail F", MAIL_A, YES, YES, "> 354 go", BODY_A, YES,
			"= result A 0 reply final dot 250 ok", "= done A", "= ready",
			"= result F 0 refused mail 554 5.6.0 message has a NUL, a bare CR or a bare LF and "
			"cannot be sent",
			"= done F", "= ready"}},
	/* RFC 9422 */
	{"RCPTMAX: the others are left untried",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 LIMITS MAILMAX=9 RCPTMAX=2", "= ready",
			". mail C", "< MAIL FROM:<c@y.test>", "< RCPT TO:<r1@x.test>",
			"< RCPT TO:<r2@x.test>", "< DATA", YES, "> 550 r1", "= result C 0 reply rcpt 550 r1",
			YES, "= result C 2 untried rcpt 0 ", "> 354 go", "< H: 1", "< ", "< hi", "< .", YES,
			"= result C 1 reply final dot 250 ok", "= done C", "= ready"}},
	{"RCPTMAX, step by step, nobody accepted",
		{GREET, "> 250-mx", "> 250 LIMITS RCPTMAX=1", "= ready", ". mail C", "< MAIL FROM:<c@y.test>",
			YES, "< RCPT TO:<r1@x.test>", "> 550 r1", "= result C 0 reply rcpt 550 r1",
			"= result C 1 untried rcpt 0 ", "= result C 2 untried rcpt 0 ", "= done C", "= ready",
			". mail A", "< RSET", YES, "< MAIL FROM:<s@y.test>"}},
	{"RCPTMAX, MAIL refused: that is for all",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 LIMITS RCPTMAX=1", "= ready", ". mail C",
			"< MAIL FROM:<c@y.test>", "< RCPT TO:<r1@x.test>", "< DATA", "> 550 no",
			"= result C 0 reply mail 550 no", "= result C 1 reply mail 550 no",
			"= result C 2 reply mail 550 no", "> 503 no", "> 503 no", "= done C", "= ready"}},
	{"RCPTMAX that is enough",
		{GREET, "> 250-mx", "> 250 LIMITS RCPTMAX=3", "= ready", ". mail C", "< MAIL FROM:<c@y.test>",
			YES, "< RCPT TO:<r1@x.test>", YES, "< RCPT TO:<r2@x.test>", YES,
			"< RCPT TO:<r3@x.test>", YES, "< DATA"}},
	{"MAILMAX: QUIT behind the last",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 LIMITS MAILMAX=2", "= ready", ". mail A",
			". mail B", MAIL_A, YES, YES, "> 354 go", BODY_A, MAIL_B, YES,
			"= result A 0 reply final dot 250 ok", "= done A", YES, YES, "> 354 go", BODY_B, YES,
			"= result B 0 reply final dot 250 ok", "= done B", "< QUIT", "> 221 bye",
			"= down clean reply quit 221 bye | closed in quit"}},
	{"MAILMAX of one",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 LIMITS MAILMAX=1", "= ready", ". mail A",
			MAIL_A, "> 550 no", "= result A 0 reply mail 550 no", "> 503 no", "> 503 no",
			"= done A", "< QUIT", ". lost eof", "= down lost quit 0 | eof in quit"}},
	{"addresses that would be commands",
		{PIPED, ". mail G", "< MAIL FROM:<>", "< RCPT TO:<r1@x.test>", "< RCPT TO:<\"a > b\"@x.test>",
			"< DATA", YES, YES,
			"= result G 1 refused rcpt 553 5.1.3 recipient address cannot be sent",
			"= result G 2 refused rcpt 553 5.1.3 recipient address cannot be sent", "> 550 no",
			"= result G 3 reply rcpt 550 no", "> 354 go", BODY_A, YES,
			"= result G 0 reply final dot 250 ok", "= done G", "= ready"}},
	{"sender that would be a command",
		{PIPED, ". mail H", "= result H 0 refused mail 553 5.1.7 sender address cannot be sent",
			"= done H", "= ready"}},
	{"UTF-8 sender, not declared", {PIPED, ". mail I",
					       "= result I 0 refused mail 553 5.6.7 message needs SMTPUTF8 "
					       "and the receiving server does not offer it",
					       "= done I", "= ready"}},
	/* E1 E4 E5 E10 */
	{"STARTTLS, and only the second EHLO counts",
		{GREET, "> 250-mx", "> 250-PIPELINING", "> 250 STARTTLS", "< STARTTLS", "> 220 go",
			"= starttls", ". tls", "< EHLO me.test", "> 250-mx", "> 250 STARTTLS", "= ready",
			". mail A", "< MAIL FROM:<s@y.test>"},
		.tls = SMTP_CLIENT_TLS_MUST},
	{"bytes behind the go-ahead",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 220 go\r\n250 injected",
			"= down lost tls 0 | bytes behind the reply in tls"},
		.tls = SMTP_CLIENT_TLS_MAY, .is_whole = true},
	{"a reply in clear during the handshake",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 220 go", "= starttls", YES,
			"= down lost tls 0 | reply out of step in tls"},
		.tls = SMTP_CLIENT_TLS_MAY},
	{"a reply begun in clear",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 220 go", "= starttls", "> 250-x",
			". tls", "= down lost tls 0 | bytes behind the reply in tls"},
		.tls = SMTP_CLIENT_TLS_MAY},
	{"lost in the handshake",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 220 go", "= starttls", ". lost alert",
			"= down lost tls 0 | alert in tls"},
		.tls = SMTP_CLIENT_TLS_MAY},
	{"STARTTLS refused, may",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 454 no", "= ready", ". mail A",
			"< MAIL FROM:<s@y.test>"},
		.tls = SMTP_CLIENT_TLS_MAY},
	{"STARTTLS refused, must",
		{GREET, "> 250-mx", "> 250 STARTTLS", "< STARTTLS", "> 502 no",
			"= down refused starttls 451 4.7.4 TLS required but refused | TLS required but "
			"refused in starttls"},
		.tls = SMTP_CLIENT_TLS_MUST},
	{"STARTTLS not offered, may", {PIPED}, .tls = SMTP_CLIENT_TLS_MAY},
	{"STARTTLS not offered, must",
		{GREET, "> 250 mx",
			"= down refused starttls 451 4.7.4 TLS required but not offered | TLS required but "
			"not offered in ehlo"},
		.tls = SMTP_CLIENT_TLS_MUST},
	{"HELO cannot do TLS, must",
		{GREET, "> 500 what", "< HELO me.test", "> 250 mx",
			"= down refused starttls 451 4.7.4 TLS required but not offered | TLS required but "
			"not offered in ehlo"},
		.tls = SMTP_CLIENT_TLS_MUST},
	{"TLS from the first byte", {PIPED}, .tls = SMTP_CLIENT_TLS_MUST, .is_tls = true},
	/* D47 D48 E22 */
	{"D47 AUTH offered, no login", {GREET, "> 250-mx", "> 250 AUTH PLAIN", "= ready"}},
	{"AUTH PLAIN",
		{GREET, "> 250-mx", "> 250 AUTH LOGIN PLAIN", "< AUTH PLAIN AHVzZXIAcHc=", "> 235 in",
			"= ready"},
		.user = "user", .is_tls = true},
	{"AUTH LOGIN",
		{GREET, "> 250-mx", "> 250 AUTH=LOGIN", "< AUTH LOGIN", "> 334 VXNlcm5hbWU6",
			"< dXNlcg==", "> 334 UGFzc3dvcmQ6", "< cHc=", "> 235 in", "= ready"},
		.user = "user", .is_tls = true},
	{"AUTH refused",
		{GREET, "> 250-mx", "> 250 AUTH PLAIN", "< AUTH PLAIN AHVzZXIAcHc=", "> 535 5.7.8 no",
			"= down reply auth 535 5.7.8 no | refused in auth"},
		.user = "user", .is_tls = true},
	{"AUTH PLAIN answered by a challenge",
		{GREET, "> 250-mx", "> 250 AUTH PLAIN", "< AUTH PLAIN AHVzZXIAcHc=", "> 334 ",
			"= down reply auth 334  | refused in auth"},
		.user = "user", .is_tls = true},
	{"AUTH in clear",
		{GREET, "> 250-mx", "> 250 AUTH PLAIN",
			"= down refused auth 451 4.7.0 password not sent: the connection is not encrypted"
			" | password not sent: the connection is not encrypted in ehlo"},
		.user = "user"},
	{"AUTH in clear, allowed",
		{GREET, "> 250-mx", "> 250 AUTH PLAIN", "< AUTH PLAIN AHVzZXIAcHc=", "> 235 in", "= ready"},
		.user = "user", .in_clear = true},
	{"AUTH not offered",
		{GREET, "> 250 mx",
			"= down refused auth 451 4.7.0 AUTH required but not offered | AUTH required but not "
			"offered in ehlo"},
		.user = "user", .is_tls = true},
};

struct run {
	struct smtp_client *c;
	struct smtp_client_mail mails[MAILS];
	const struct test_case *test;
	size_t cut;     /* the peer's lines are cut here; 0: not; SIZE_MAX: every byte alone */
	size_t portion; /* bytes drained at a time */
	bool is_flow_off, is_down;
	char out[TEXT_MAX], events[TEXT_MAX];
	size_t out_len, out_at, events_len, events_at;
};

static void *
get_memory(void *arg, size_t bytes)
{
	void *ptr = malloc(bytes);

	memset(ptr, 0xa5, bytes);
	return ptr;
}

static void
put_memory(void *arg, void *ptr)
{
	free(ptr);
}

static const char *
outcome_name(enum smtp_client_outcome outcome)
{
	static const char *const names[] = {"reply", "lost", "uncertain", "untried", "refused"};

	return names[outcome];
}

static void note(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void
note(struct run *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	r->events_len +=
		(size_t)vsnprintf(r->events + r->events_len, sizeof(r->events) - r->events_len, format, args);
	va_end(args);
	r->events[r->events_len++] = '\n';
}

/* "250 text", lines joined by '/' */
static const char *
reply_text(const struct smtp_reply *reply, char *buf, size_t max)
{
	int len = snprintf(buf, max, "%u %.*s", reply->code, (int)reply->text.len, reply->text.ptr);

	for (int i = 0; i < len; i++)
		if (buf[i] == '\n')
			buf[i] = '/';
	return reply->code == 0 ? "0 " : buf;
}

static void
pull(struct run *r, struct smtp_slice in)
{
	struct smtp_client_fact f;
	enum smtp_client_event event;
	char buf[4096];

	while ((event = smtp_client_next(r->c, &in, &f)) != SMTP_CLIENT_MORE) {
		assert_false(r->is_down);
		if (event == SMTP_CLIENT_READY) {
			note(r, "ready");
		} else if (event == SMTP_CLIENT_STARTTLS) {
			note(r, "starttls");
			assert_int_equal(in.len, 0);
		} else if (event == SMTP_CLIENT_RESULT) {
			note(r, "result %c %u %s %s %s", (int)('A' + (f.mail - r->mails)), f.rcpt_index,
				outcome_name(f.outcome), smtp_client_phase_name(f.phase),
				reply_text(&f.reply, buf, sizeof(buf)));
		} else if (event == SMTP_CLIENT_MAIL_DONE) {
			note(r, "done %c", (int)('A' + (f.mail - r->mails)));
		} else {
			bool has_code = f.reply.code != 0;

			r->is_down = true;
			note(r, "down %s%s%s %s %s | %.*s", f.is_clean ? "clean " : "",
				f.pipeline_broken ? "broken " : "", outcome_name(f.outcome),
				smtp_client_phase_name(f.phase),
				has_code ? reply_text(&f.reply, buf, sizeof(buf)) : "0", (int)f.text.len,
				f.text.ptr);
		}
	}
	assert_int_equal(in.len, 0);
}

/* Takes what is to be written in portions; what was not reported as sent must come again. */
static void
drain(struct run *r)
{
	struct iovec iov[3];
	int count;

	if (r->is_flow_off)
		return;
	while ((count = smtp_client_output(r->c, iov, 3)) > 0) {
		size_t left = r->portion, taken = 0;

		for (int i = 0; i < count && left > 0; i++) {
			size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

			assert_true(part > 0 && r->out_len + part <= sizeof(r->out));
			memcpy(r->out + r->out_len, iov[i].iov_base, part);
			r->out_len += part;
			taken += part;
			left -= part;
		}
		smtp_client_drained(r->c, taken);
	}
}

static void
settle_down(struct run *r)
{
	drain(r);
	pull(r, (struct smtp_slice){NULL, 0});
	drain(r);
}

static void
peer_says(struct run *r, const char *text)
{
	char line[1024];
	size_t len = (size_t)snprintf(line, sizeof(line), "%s\r\n", text);

	for (size_t at = 0, part; at < len; at += part) {
		char *copy;

		part = r->cut == SIZE_MAX                          ? 1
		       : r->cut > 0 && at < r->cut && r->cut < len ? r->cut - at
								   : len - at;
		/* On the heap, so that a read past it is seen. */
		copy = malloc(part);
		memcpy(copy, line + at, part);
		pull(r, (struct smtp_slice){copy, part});
		free(copy);
		/* The host drops what it has buffered when it shakes hands. */
		if (r->is_down)
			return;
	}
	settle_down(r);
}

static void
fail_at(struct run *r, const char *line, struct smtp_slice got)
{
	fail_msg("%s (cut %zu, portion %zu)\n  wanted %s\n  got    %.*s", r->test->name, r->cut, r->portion,
		line, (int)got.len, got.ptr);
}

static void
expect(struct run *r, const char *line, const char *end, const char *text, size_t len, size_t *at)
{
	const char *stop = memmem(text + *at, len - *at, end, strnlen(end, 2));
	size_t want = strnlen(line + 2, 1024);
	struct smtp_slice got = {text + *at, stop == NULL ? len - *at : (size_t)(stop - text) - *at};

	if (stop == NULL || got.len != want || memcmp(got.ptr, line + 2, want) != 0)
		fail_at(r, line, got);
	*at += got.len + strnlen(end, 2);
}

static void
act(struct run *r, const char *what)
{
	if (strncmp(what, "mail ", 5) == 0)
		smtp_client_mail(r->c, &r->mails[what[5] - 'A']);
	else if (strncmp(what, "lost ", 5) == 0)
		smtp_client_lost(r->c, (struct smtp_slice){what + 5, strnlen(what + 5, 64)});
	else if (strncmp(what, "quit", 4) == 0)
		smtp_client_quit(r->c);
	else if (strncmp(what, "tls", 3) == 0)
		smtp_client_tls_started(r->c);
	else
		r->is_flow_off = strncmp(what, "flow off", 8) == 0;
	settle_down(r);
}

static void
run_case(const struct test_case *test, size_t cut, size_t portion)
{
	static const struct smtp_alloc alloc = {get_memory, put_memory, NULL};
	struct smtp_client_conf conf = {
		.ehlo_name = SMTP_LIT("me.test"),
		.tls = test->tls,
		.auth_in_clear = test->in_clear,
		.is_tls = test->is_tls,
		.may_overlap = !test->no_overlap,
		.may_pipeline = !test->no_pipelining,
		.helo_only = test->helo_only,
	};
	struct run *r = calloc(1, sizeof(*r));

	if (test->user != NULL) {
		conf.user = (struct smtp_slice){test->user, strnlen(test->user, 64)};
		conf.password = SMTP_LIT("pw");
	}
	memcpy(r->mails, mails, sizeof(mails));
	r->test = test;
	r->cut = cut;
	r->portion = portion;
	r->c = smtp_client_create(&alloc, &conf);
	settle_down(r);
	for (size_t i = 0; i < SCRIPT_MAX && test->script[i] != NULL; i++) {
		const char *line = test->script[i];

		if (line[0] == '>')
			peer_says(r, line + 2);
		else if (line[0] == '<')
			expect(r, line, "\r\n", r->out, r->out_len, &r->out_at);
		else if (line[0] == '=')
			expect(r, line, "\n", r->events, r->events_len, &r->events_at);
		else
			act(r, line + 2);
	}
	if (r->events_at != r->events_len)
		fail_at(r, "no more events",
			(struct smtp_slice){r->events + r->events_at, r->events_len - r->events_at});
	if (r->out_at != r->out_len && !r->is_flow_off)
		fail_at(r, "no more output", (struct smtp_slice){r->out + r->out_at, r->out_len - r->out_at});
	smtp_client_destroy(&r->c);
	assert_null(r->c);
	free(r);
}

static void
test_scripts(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run_case(&cases[i], 0, SIZE_MAX);
		if (cases[i].is_whole)
			continue;
		run_case(&cases[i], SIZE_MAX, 1);
		for (size_t cut = 1; cut < 32; cut++)
			run_case(&cases[i], cut, cut);
	}
}

/* The most recipients there may be: commands come as room frees up, every other one is refused. */
static void
test_many_recipients(void **state)
{
	static const struct smtp_alloc alloc = {get_memory, put_memory, NULL};
	struct smtp_client_conf conf = {
		.ehlo_name = SMTP_LIT("me.test"), .may_overlap = true, .may_pipeline = true};
	struct smtp_client_rcpt *rcpts = calloc(SMTP_CLIENT_RCPT_MAX, sizeof(*rcpts));
	struct run *r = calloc(1, sizeof(*r));
	const struct test_case test = {"many recipients", {NULL}};
	uint32_t commands = 0, most = 0;

	for (uint32_t i = 0; i < SMTP_CLIENT_RCPT_MAX; i++)
		rcpts[i].address = SMTP_LIT("r@x.test");
	r->test = &test;
	r->portion = SIZE_MAX;
	r->mails[0] = (struct smtp_client_mail){
		SMTP_LIT("s@y.test"), rcpts, SMTP_CLIENT_RCPT_MAX, BODY("\r\nhi\r\n")};
	r->c = smtp_client_create(&alloc, &conf);
	peer_says(r, "220 mx");
	peer_says(r, "250-mx\r\n250 PIPELINING");
	act(r, "mail A");
	r->out_at = r->events_at = r->events_len = 0;
	peer_says(r, "250 sender");
	for (uint32_t heard = 0; heard < SMTP_CLIENT_RCPT_MAX; heard++) {
		for (; r->out_at < r->out_len; r->out_at++)
			commands += r->out[r->out_at] == '\n';
		/* EHLO and MAIL were heard too. */
		most = commands - 2 - heard > most ? commands - 2 - heard : most;
		peer_says(r, heard % 2 == 0 ? "250 ok" : "550 no");
		if (r->out_len > TEXT_MAX / 2)
			r->out_at = r->out_len = 0;
		if (r->events_len > TEXT_MAX / 2)
			r->events_len = 0;
	}
	assert_in_range(most, 64, 128);
	r->events_len = r->events_at = 0;
	peer_says(r, "354 go");
	smtp_client_lost(r->c, SMTP_LIT("eof"));
	for (uint32_t i = 0; i < SMTP_CLIENT_RCPT_MAX; i += 2) {
		struct smtp_client_fact f;
		struct smtp_slice none = {NULL, 0};

		assert_int_equal(smtp_client_next(r->c, &none, &f), SMTP_CLIENT_RESULT);
		assert_int_equal(f.rcpt_index, i);
		assert_int_equal(f.outcome, SMTP_OUTCOME_UNCERTAIN);
		assert_true(smtp_slice_is_nocase(f.text, SMTP_LIT("eof in final dot")));
	}
	settle_down(r);
	expect(r, "= done A", "\n", r->events, r->events_len, &r->events_at);
	expect(r, "= down lost final dot 0 | eof in final dot", "\n", r->events, r->events_len,
		&r->events_at);
	smtp_client_destroy(&r->c);
	free(rcpts);
	free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_many_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
