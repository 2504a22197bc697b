/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the value of From. The domain must be a valid one, lie behind an "@" in the value, and not be
 * "[..."; and it must be that of the first address for whoever reads all of them. */
#include "smtp_addr.h"
#include "smtp_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
compare_with_addresses(struct smtp_slice value, struct smtp_slice domain)
{
	struct smtp_slice address, first = {NULL, 0};
	struct smtp_addr addr;
	int got;

	while ((got = smtp_header_address(&value, &address)) > 0) {
		if (smtp_addr_parse(address, &addr) < 0)
			abort();
		first = first.len > 0 ? first : addr.domain;
	}
	if (got == 0 && domain.len > 0 && !smtp_slice_is(domain, first))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice value = {(const char *)data, size};
	struct smtp_slice domain = smtp_header_domain(value);
	bool has_at = false;

	compare_with_addresses(value, domain);
	if (domain.len == 0)
		return 0;
	if (domain.ptr < value.ptr || domain.ptr + domain.len > value.ptr + value.len)
		abort();
	for (const char *p = value.ptr; p < domain.ptr; p++)
		has_at |= *p == '@';
	if (!has_at || !smtp_domain_is_valid(domain))
		abort();
	return 0;
}
