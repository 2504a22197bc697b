/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_RULES_FIXTURE_H
#define TESTS_UNIT_RULES_FIXTURE_H
/* rules_fixture - a reply as rules get it. Include it after cmocka's headers. */
#include "shape/rules.h"

#include <string.h>

/* "550 5.1.1 no"; it lives as long as the parser. */
static inline struct smtp_reply
read_reply(struct smtp_reply_parser *p, const char *lines)
{
	struct smtp_reply reply = {0};

	if (!rules_read(lines, strnlen(lines, 2000), p, &reply))
		fail_msg("no reply: %s", lines);
	return reply;
}

#endif
