/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as message/delivery-status. Oracles: fields lie inside the body; no more groups than fields; a
 * text is one line without double blanks; addresses and codes are what they can be.
 */
#include "smtp_dsn_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void
check_value(struct smtp_slice value, struct smtp_slice body)
{
	char text[100];
	bool is_cut = false;
	size_t len;
	struct smtp_esc esc = smtp_dsn_read_status(value);
	uint16_t code = smtp_dsn_read_code(value);

	REQUIRE(value.len == 0 || (value.ptr >= body.ptr && value.ptr + value.len <= body.ptr + body.len));
	REQUIRE(esc.class_digit == 0 || esc.class_digit == 2 || esc.class_digit == 4 || esc.class_digit == 5);
	REQUIRE(esc.subject <= 999 && esc.detail <= 999);
	REQUIRE(code == 0 || (code >= 200 && code <= 559));
	REQUIRE(smtp_dsn_read_action(value) <= SMTP_DSN_NO_ACTION);
	len = smtp_dsn_read_address(value, text, sizeof(text), &is_cut);
	REQUIRE(len <= sizeof(text));
	len = smtp_dsn_read_text(value, text, sizeof(text), &is_cut);
	REQUIRE(len <= sizeof(text));
	for (size_t i = 0; i < len; i++)
		REQUIRE(text[i] != '\n' && text[i] != '\r' &&
			(i == 0 || text[i] != ' ' || text[i - 1] != ' '));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice body = {(const char *)data, size};
	struct smtp_dsn_reader r;
	struct smtp_dsn_group g;
	size_t groups = 0;

	smtp_dsn_read_begin(&r, body);
	while (smtp_dsn_read_group(&r, &g)) {
		REQUIRE(++groups <= size);
		check_value(g.original_recipient, body);
		check_value(g.final_recipient, body);
		check_value(g.action, body);
		check_value(g.status, body);
		check_value(g.diagnostic, body);
		check_value(g.remote_mta, body);
		check_value(g.last_attempt, body);
		check_value(g.will_retry_until, body);
	}
	REQUIRE(r.rest.len == 0);
	check_value(r.reporting_mta, body);
	check_value(r.envid, body);
	check_value(body, body);
	(void)smtp_dsn_is_report(body);
	return 0;
}
