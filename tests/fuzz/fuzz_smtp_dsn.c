/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A notification out of foreign text: replies, host names, addresses, ENVID, ORCPT and the message itself are
 * what the fuzzer says, cut at its zero bytes. Oracles: the size that was asked for is the size that is
 * written; every line is printable ASCII or tabs, ends with CRLF and is not longer than RFC 5322 allows; the
 * report has its three parts and no more delimiters than it should; a line of the machine part is a field of
 * RFC 3464, a fold with words, or the end of a group of fields.
 */
#include "smtp_dsn.h"
#include "smtp_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))
#define DELIMITER "--=_unique"

enum { RCPTS = 2, DELIMITERS = 4 };

static struct smtp_slice
next_text(struct smtp_slice *in)
{
	const char *end = in->len > 0 ? memchr(in->ptr, '\0', in->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - in->ptr) : in->len;
	struct smtp_slice text = {in->ptr, len};

	in->ptr += len + (end != NULL);
	in->len -= len + (end != NULL);
	return text;
}

static void
fill_rcpt(struct smtp_dsn_rcpt *r, uint8_t choice, struct smtp_slice *in)
{
	*r = (struct smtp_dsn_rcpt){
		.action = (enum smtp_dsn_action)(choice % 3),
		.code = choice & 4 ? 550 : 0,
		.status = {.class_digit = choice & 8 ? 5 : 0, .subject = choice & 16 ? 999 : 1, .detail = 1},
		.last_attempt = choice & 32 ? 1793534400 : 0,
		.will_retry_until = choice & 64 ? 1793534401 : 0,
		.address = next_text(in),
		.text = next_text(in),
		.peer = next_text(in),
		.orcpt = next_text(in),
	};
}

static bool
begins(struct smtp_slice line, const char *with)
{
	size_t len = strlen(with);

	return line.len >= len && memcmp(line.ptr, with, len) == 0;
}

static bool
is_blank(struct smtp_slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.ptr[i] != ' ' && line.ptr[i] != '\t')
			return false;
	return true;
}

/* Of the machine part: the names of RFC 3464, a fold, or the end of a group. */
static void
check_machine_line(struct smtp_slice line)
{
	static const char *const fields[] = {"Content-Type: ", "Content-Description: ",
		"Original-Envelope-Id: ", "Reporting-MTA: ", "Arrival-Date: ", "Original-Recipient: ",
		"Final-Recipient: ", "Action: ", "Status: ", "Remote-MTA: ", "Diagnostic-Code: ",
		"Last-Attempt-Date: ", "Will-Retry-Until: ", "Deliver-By-Date: ", "Future-Release-Request: "};
	bool is_known = line.len == 0 || line.ptr[0] == ' ';

	REQUIRE(line.len == 0 || !is_blank(line));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		is_known = is_known || begins(line, fields[i]);
	REQUIRE(is_known);
}

static void
check_line(struct smtp_slice line, int part)
{
	REQUIRE(line.len <= SMTP_TEXT_LINE_MAX);
	for (size_t i = 0; i < line.len; i++)
		REQUIRE((line.ptr[i] >= ' ' && line.ptr[i] < 127) || line.ptr[i] == '\t' || part == 3);
	if (part == 2)
		check_machine_line(line);
}

static void
check_report(struct smtp_slice report)
{
	static struct smtp_field fields[20];
	struct smtp_header h = {.fields = fields, .fields_max = 20};
	size_t at = 0, header_at;
	int delimiters = 0;

	REQUIRE(smtp_header_scan(&h, report, &header_at) == SMTP_OK && h.count == 8);
	for (at = h.header_bytes; at < report.len;) {
		const char *lf = memchr(report.ptr + at, '\n', report.len - at);
		struct smtp_slice line = {report.ptr + at, 0};

		REQUIRE(lf != NULL && lf > line.ptr && lf[-1] == '\r');
		line.len = (size_t)(lf - line.ptr) - 1;
		at += line.len + 2;
		if (begins(line, DELIMITER))
			delimiters++;
		else
			check_line(line, delimiters);
	}
	REQUIRE(delimiters == DELIMITERS);
}

/* The boundary is guarded by chance alone, which the fuzzer does not leave to chance. */
static bool
knows_the_boundary(const uint8_t *data, size_t size)
{
	return memmem(data, size, DELIMITER, sizeof(DELIMITER) - 1) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice in, message;
	struct smtp_dsn_rcpt rcpts[RCPTS];
	struct smtp_dsn d = {.host = SMTP_LIT("mta.test"),
		.from = SMTP_LIT("MAILER-DAEMON@mta.test"),
		.to = SMTP_LIT("sender@b.test"),
		.unique = SMTP_LIT("unique"),
		.arrival = 1793534300,
		.now = 1793534400,
		.rcpts = rcpts,
		.rcpt_count = RCPTS,
		.pieces = &message,
		.piece_count = 1};
	char *buf;
	size_t len;

	if (size < 3 || knows_the_boundary(data, size))
		return 0;
	in = (struct smtp_slice){(const char *)data + 3, size - 3};
	d.ret = data[2] & 1 ? SMTP_RET_FULL : SMTP_RET_HDRS;
	for (int i = 0; i < RCPTS; i++)
		fill_rcpt(&rcpts[i], data[i], &in);
	d.envid = next_text(&in);
	message = in;
	len = smtp_dsn_size(&d);
	buf = malloc(len);
	REQUIRE(buf != NULL);
	REQUIRE(smtp_dsn_write(&d, buf, len) == (int)len);
	check_report((struct smtp_slice){buf, len});
	REQUIRE(smtp_dsn_write(&d, buf, len - 1) == SMTP_ENOSPACE);
	free(buf);
	return 0;
}
