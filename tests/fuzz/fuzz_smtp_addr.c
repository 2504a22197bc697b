/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken for an address is one again when its parts are put together, and holds nothing dangerous. */
#include "smtp_addr.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice text = {(const char *)data, size};
	struct smtp_addr addr, again;

	(void)smtp_domain_is_valid(text);
	if (smtp_addr_parse(text, &addr) < 0)
		return 0;
	assert(addr.whole.len == addr.local.len + 1 + addr.domain.len);
	assert(addr.local.len > 0 && addr.local.len <= SMTP_LOCAL_MAX);
	assert(addr.domain.len > 0 && addr.domain.len <= SMTP_DOMAIN_MAX);
	assert(addr.whole.len <= SMTP_ADDRESS_MAX);
	assert(addr.is_literal || smtp_domain_is_valid(addr.domain));
	assert(smtp_utf8_is_text(addr.whole));
	assert(smtp_addr_parse(addr.whole, &again) == SMTP_OK);
	assert(smtp_slice_is(addr.whole, again.whole) && smtp_slice_is(addr.local, again.local));
	return 0;
}
