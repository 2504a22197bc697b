/* SPDX-License-Identifier: Apache-2.0 */
/* The words of RFC 8601, in one place for records, logs and --json. */
#include "intake/auth_outcome.h"

#include <assert.h>

const char *
auth_outcome_text(enum auth_outcome outcome)
{
	static const char *const texts[] = {
		"none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"};

	assert((unsigned)outcome < sizeof(texts) / sizeof(texts[0]));
	return texts[outcome];
}
