/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may send as whom, for any bytes as a sender. Oracle: who may has an address in a domain of the
 * rules, whatever its case, and for a rule with a local part is that address.
 */
#include "intake/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static bool
ends_nocase(struct smtp_slice s, struct smtp_slice end)
{
	return s.len >= end.len &&
	       smtp_slice_is_nocase((struct smtp_slice){s.ptr + s.len - end.len, end.len}, end);
}

/* U-labels may spell an ASCII name, in full-width letters: the oracle cannot. */
static bool
is_ascii(struct smtp_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] > 127)
			return false;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const rules[] = {"@example.com", "me@other.test"};
	struct conf_user user = {.senders = {.items = rules, .count = 2}};
	char *exact = malloc(size + 1);
	struct smtp_slice sender = {exact, size};

	REQUIRE(exact != NULL);
	memcpy(exact, data, size);
	if (auth_may_send_as(&user, sender) && is_ascii(sender)) {
		if (exact[size - 1] == '.') /* one dot at the end is the same domain */
			sender.len--;
		REQUIRE(ends_nocase(sender, SMTP_LIT("@example.com")) ||
			smtp_slice_is_nocase(sender, SMTP_LIT("me@other.test")));
	}
	free(exact);
	return 0;
}
