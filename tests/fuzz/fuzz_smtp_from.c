/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the value of From. The domain must be a valid one, lie behind an "@" in the value, and not be
 * "[...". */
#include "smtp_addr.h"
#include "smtp_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice value = {(const char *)data, size};
	struct smtp_slice domain = smtp_header_domain(value);
	bool has_at = false;

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
