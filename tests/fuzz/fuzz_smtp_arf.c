/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a feedback report, and as the header of a forwarded message: what is found lies inside. */
#include "smtp_arf.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void
check_value(struct smtp_slice value, struct smtp_slice body)
{
	REQUIRE(value.len == 0 || (value.ptr >= body.ptr && value.ptr + value.len <= body.ptr + body.len));
	(void)smtp_arf_is_redacted(value);
}

static void
check_lists(const struct smtp_arf *a, struct smtp_slice body)
{
	REQUIRE(a->rcpt_count >= 0 && a->rcpt_count <= SMTP_ARF_RCPTS_MAX);
	REQUIRE(a->domain_count >= 0 && a->domain_count <= SMTP_ARF_DOMAINS_MAX);
	for (int i = 0; i < a->rcpt_count; i++)
		check_value(a->rcpts[i], body);
	for (int i = 0; i < a->domain_count; i++)
		check_value(a->domains[i], body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice body = {(const char *)data, size};
	struct smtp_arf a;

	smtp_arf_read(&a, body);
	check_lists(&a, body);
	check_value(a.type_word, body);
	check_value(a.user_agent, body);
	check_value(a.original_mail_from, body);
	check_value(a.source_ip, body);
	check_value(a.arrival_date, body);
	check_value(a.message_id, body);
	REQUIRE(a.type == SMTP_ARF_OTHER || a.type_word.len > 0);
	if (smtp_arf_read_jmrp(&a, body)) {
		REQUIRE(a.type == SMTP_ARF_ABUSE && a.rcpt_count == 1);
		check_lists(&a, body);
	}
	(void)smtp_arf_is_report(body);
	check_value(body, body);
	return 0;
}
