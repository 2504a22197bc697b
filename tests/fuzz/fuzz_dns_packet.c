/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: which type is asked for; then the answer, to "example.com". Whatever the bytes: no read
 * outside, text that is terminated and printable, counts within their bounds, the same outcome twice.
 */
#include "route/dns_packet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool is_right)
{
	if (!is_right)
		abort();
}

static void
check_text(const struct dns_packet *p, const struct dns_record *record)
{
	check(record->text + record->text_bytes < p->text_bytes);
	check(p->text[record->text + record->text_bytes] == '\0');
	for (uint16_t i = 0; i < record->text_bytes; i++)
		check(p->text[record->text + i] >= ' ' && p->text[record->text + i] < 127);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_PTR};
	static struct dns_packet p, again;
	uint16_t type;
	int err;

	if (size == 0)
		return 0;
	type = types[data[0] % 5];
	err = dns_packet_parse(data + 1, size - 1, "example.com", type, &p);
	check(dns_packet_parse(data + 1, size - 1, "example.com", type, &again) == err);
	check(p.rcode == again.rcode);
	if (err < 0)
		return 0;
	check(p.record_count <= DNS_RECORDS_MAX && p.record_count == again.record_count);
	check(p.chain_count <= DNS_CHAIN_MAX && p.text_bytes <= sizeof(p.text));
	check(memchr(p.alias, '\0', sizeof(p.alias)) != NULL);
	for (uint16_t i = 0; i < p.record_count; i++)
		if (type != DNS_TYPE_A && type != DNS_TYPE_AAAA)
			check_text(&p, &p.records[i]);
	return 0;
}
