/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares 1.18 hides the TTL of MX records, the AD bit and the answer code, so answers are read here.
 *
 * Invariants: no byte is read past `bytes`; a compression pointer leads strictly backwards, so every name
 * ends; every loop is bounded by the length of the packet times DNS_CHAIN_MAX; text pieces written are
 * NUL-terminated and of printable ASCII. Names come out in lower case. A name with bytes that no mail host
 * has (blanks, controls, 8-bit, a dot or backslash inside a label) is structurally read but never equals or
 * becomes anything.
 */
#include "route/dns_packet.h"

#include <assert.h>
#include <string.h>

#define HEADER_BYTES 12
#define CLASS_IN     1
#define LABEL_MAX    63
#define NAME_MAX_LEN 253

struct view {
	const uint8_t *bytes;
	size_t len;
};

struct rr {
	char owner[DOMAIN_MAX];
	bool has_plain_owner;
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data, data_len; /* inside the packet */
};

struct counts {
	uint16_t question, answer, authority, additional;
};

static uint16_t
get16(const struct view *v, size_t pos)
{
	assert(pos + 2 <= v->len);
	return (uint16_t)(v->bytes[pos] << 8 | v->bytes[pos + 1]);
}

static uint32_t
get32(const struct view *v, size_t pos)
{
	return (uint32_t)get16(v, pos) << 16 | get16(v, pos + 2);
}

static size_t
put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
	return 2;
}

static size_t
put_name(uint8_t *p, const char *name)
{
	size_t len = strnlen(name, NAME_MAX_LEN + 1), at = 0, label = 0;

	if (len == 0 || len > NAME_MAX_LEN)
		return 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && name[i] != '.') {
			p[at + 1 + label++] = (uint8_t)name[i];
			if (label > LABEL_MAX)
				return 0;
			continue;
		}
		if (label == 0)
			return 0;
		p[at] = (uint8_t)label;
		at += label + 1;
		label = 0;
	}
	p[at++] = 0;
	return at;
}

size_t
dns_packet_write_query(
	uint8_t buf[DNS_QUERY_MAX], const char *name, uint16_t type, uint16_t id, bool has_edns)
{
	size_t at = 0, name_bytes;

	at += put16(buf + at, id);
	at += put16(buf + at, 0x0120); /* RD, AD */
	at += put16(buf + at, 1);
	at += put16(buf + at, 0);
	at += put16(buf + at, 0);
	at += put16(buf + at, has_edns ? 1 : 0);
	if ((name_bytes = put_name(buf + at, name)) == 0)
		return 0;
	at += name_bytes;
	at += put16(buf + at, type);
	at += put16(buf + at, CLASS_IN);
	if (has_edns) {
		buf[at++] = 0; /* the root */
		at += put16(buf + at, DNS_TYPE_OPT);
		at += put16(buf + at, DNS_UDP_BYTES);
		at += put16(buf + at, 0); /* extended code, version 0 */
		at += put16(buf + at, 0);
		at += put16(buf + at, 0);
	}
	assert(at <= DNS_QUERY_MAX);
	return at;
}

/* Appends one label to out[*at]; clears *is_plain when it holds a byte that no host name has. False: name too
 * long. */
static bool
add_label(const struct view *v, size_t pos, size_t label, char out[DOMAIN_MAX], size_t *at, bool *is_plain)
{
	if (*at + label + (*at > 0) > NAME_MAX_LEN)
		return false;
	if (*at > 0)
		out[(*at)++] = '.';
	for (size_t i = 0; i < label; i++) {
		uint8_t c = v->bytes[pos + i];

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		if (c <= ' ' || c >= 127 || c == '.' || c == '\\')
			*is_plain = false;
		out[(*at)++] = (char)c;
	}
	return true;
}

/* Reads the name at *pos, moves *pos behind it. False: malformed. */
static bool
read_name(const struct view *v, size_t *pos, char out[DOMAIN_MAX], bool *is_plain)
{
	size_t at = 0, p = *pos, floor = *pos;
	bool has_jumped = false;

	*is_plain = true;
	for (;;) {
		uint8_t label;

		if (p >= v->len)
			return false;
		label = v->bytes[p];
		if (label == 0)
			break;
		if (label > LABEL_MAX) {
			size_t target;

			if ((label & 0xc0) != 0xc0 || p + 2 > v->len)
				return false;
			target = get16(v, p) & 0x3fff;
			/* Strictly before everything read so far: so it cannot loop. */
			if (target >= floor || target < HEADER_BYTES)
				return false;
			if (!has_jumped)
				*pos = p + 2;
			has_jumped = true;
			p = floor = target;
			continue;
		}
		if (p + 1 + label > v->len || !add_label(v, p + 1, label, out, &at, is_plain))
			return false;
		p += label + 1u;
	}
	if (!has_jumped)
		*pos = p + 1;
	out[at] = '\0';
	return true;
}

static bool
read_rr(const struct view *v, size_t *pos, struct rr *out)
{
	if (!read_name(v, pos, out->owner, &out->has_plain_owner) || v->len - *pos < 10)
		return false;
	out->type = get16(v, *pos);
	out->class = get16(v, *pos + 2);
	out->ttl_s = get32(v, *pos + 4);
	/* RFC 2181 8: with the highest bit set it is zero. An OPT keeps its flags here, read before this
	 * matters. */
	if (out->ttl_s > INT32_MAX && out->type != DNS_TYPE_OPT)
		out->ttl_s = 0;
	out->data_len = get16(v, *pos + 8);
	out->data = *pos + 10;
	if (out->data_len > v->len - out->data)
		return false;
	*pos = out->data + out->data_len;
	return true;
}

static bool
same_name(const char *a, const char *b)
{
	size_t len = strnlen(a, DOMAIN_MAX);

	return len == strnlen(b, DOMAIN_MAX) && memcmp(a, b, len) == 0;
}

static bool
is_owned(const struct rr *rr, uint16_t type, const char *name)
{
	return rr->type == type && rr->class == CLASS_IN && rr->has_plain_owner && same_name(rr->owner, name);
}

static void
lower_ttl(struct dns_packet *out, uint32_t ttl_s)
{
	if (ttl_s < out->ttl_s)
		out->ttl_s = ttl_s;
}

/* The CNAME of out->alias replaces it. 1: followed. 0: there is none. <0: no sense in it. */
static int
follow_alias(const struct view *v, size_t pos, uint16_t count, struct dns_packet *out)
{
	for (uint16_t i = 0; i < count; i++) {
		struct rr rr;
		size_t data;
		bool is_plain;

		if (!read_rr(v, &pos, &rr))
			return DNS_PACKET_EMALFORMED;
		if (!is_owned(&rr, DNS_TYPE_CNAME, out->alias))
			continue;
		data = rr.data;
		if (!read_name(v, &data, out->alias, &is_plain) || data != rr.data + rr.data_len || !is_plain)
			return DNS_PACKET_EMALFORMED;
		lower_ttl(out, rr.ttl_s);
		return 1;
	}
	return 0;
}

static int
follow_chain(const struct view *v, size_t pos, uint16_t count, struct dns_packet *out)
{
	int err;

	while ((err = follow_alias(v, pos, count, out)) > 0)
		if (++out->chain_count > DNS_CHAIN_MAX)
			return DNS_PACKET_ECHAIN;
	return err;
}

/* All strings of a TXT joined. Bytes that would break a line of text are shown as '?'. -1: fragments do not
 * fit. */
static int
read_txt(const struct view *v, const struct rr *rr, char *out, size_t out_max)
{
	size_t p = rr->data, end = rr->data + rr->data_len, at = 0;

	if (rr->data_len == 0)
		return -1;
	while (p < end) {
		size_t len = v->bytes[p++];

		if (len > end - p || at + len >= out_max)
			return -1;
		for (size_t i = 0; i < len; i++) {
			uint8_t c = v->bytes[p + i];

			out[at++] = c < ' ' || c >= 127 ? '?' : (char)c;
		}
		p += len;
	}
	out[at] = '\0';
	return (int)at;
}

static int
read_mx(const struct view *v, const struct rr *rr, struct dns_record *record, char *name)
{
	size_t p = rr->data + 2;
	bool is_plain;

	if (rr->data_len < 3 || !read_name(v, &p, name, &is_plain) || p != rr->data + rr->data_len ||
		!is_plain)
		return -1;
	record->preference = get16(v, rr->data);
	return (int)strnlen(name, DOMAIN_MAX);
}

static int
read_ptr(const struct view *v, const struct rr *rr, char *name)
{
	size_t p = rr->data;
	bool is_plain;

	if (!read_name(v, &p, name, &is_plain) || p != rr->data + rr->data_len || !is_plain)
		return -1;
	return (int)strnlen(name, DOMAIN_MAX);
}

/* False: the data makes no sense for its type. */
static bool
read_record(const struct view *v, const struct rr *rr, struct dns_packet *out, struct dns_record *record)
{
	char *text = out->text + out->text_bytes;
	int len;

	switch (rr->type) {
	case DNS_TYPE_A:
		if (rr->data_len != sizeof(record->v4))
			return false;
		memcpy(&record->v4, v->bytes + rr->data, sizeof(record->v4));
		return true;
	case DNS_TYPE_AAAA:
		if (rr->data_len != sizeof(record->v6))
			return false;
		memcpy(&record->v6, v->bytes + rr->data, sizeof(record->v6));
		return true;
	case DNS_TYPE_MX:
		len = read_mx(v, rr, record, text);
		break;
	case DNS_TYPE_PTR:
		len = read_ptr(v, rr, text);
		break;
	case DNS_TYPE_TXT:
		len = read_txt(v, rr, text, sizeof(out->text) - out->text_bytes);
		break;
	default:
		return false;
	}
	if (len < 0)
		return false;
	record->text = out->text_bytes;
	record->text_bytes = (uint16_t)len;
	out->text_bytes += (uint32_t)len + 1;
	return true;
}

static bool
collect(const struct view *v, size_t *pos, uint16_t count, uint16_t type, struct dns_packet *out)
{
	for (uint16_t i = 0; i < count; i++) {
		struct dns_record record = {0};
		struct rr rr;

		if (!read_rr(v, pos, &rr))
			return false;
		if (!is_owned(&rr, type, out->alias))
			continue;
		if (out->record_count == DNS_RECORDS_MAX || sizeof(out->text) - out->text_bytes < DOMAIN_MAX)
			out->ignored_count++;
		else if (!read_record(v, &rr, out, &record))
			out->skipped_count++;
		else {
			out->records[out->record_count++] = record;
			lower_ttl(out, rr.ttl_s);
		}
	}
	return true;
}

/* RFC 2308 5: how long "no" holds. */
static void
note_soa(const struct view *v, const struct rr *rr, struct dns_packet *out)
{
	char name[DOMAIN_MAX];
	bool is_plain;
	size_t p = rr->data;

	if (!read_name(v, &p, name, &is_plain) || !read_name(v, &p, name, &is_plain) ||
		rr->data + rr->data_len < p || rr->data + rr->data_len - p != 20)
		return;
	out->has_soa = true;
	if (out->record_count == 0) {
		lower_ttl(out, rr->ttl_s);
		lower_ttl(out, get32(v, p + 16));
	}
}

static bool
read_rest(const struct view *v, size_t pos, const struct counts *n, struct dns_packet *out)
{
	uint32_t count = (uint32_t)n->authority + n->additional;

	for (uint32_t i = 0; i < count; i++) {
		struct rr rr;

		if (!read_rr(v, &pos, &rr))
			return false;
		if (i < n->authority && rr.type == DNS_TYPE_SOA && rr.class == CLASS_IN)
			note_soa(v, &rr, out);
		/* RFC 6891 6.1.3: without these bits BADVERS would look like an answer without records. */
		if (i >= n->authority && rr.type == DNS_TYPE_OPT)
			out->rcode |= (uint16_t)(rr.ttl_s >> 24 << 4);
	}
	return true;
}

static int
read_head(const struct view *v, size_t *pos, const char *name, uint16_t type, struct counts *n)
{
	char asked[DOMAIN_MAX];
	bool is_plain;

	*n = (struct counts){get16(v, 4), get16(v, 6), get16(v, 8), get16(v, 10)};
	*pos = HEADER_BYTES;
	if ((get16(v, 2) & 0xf800) != 0x8000 || n->question != 1) /* QR, opcode QUERY */
		return DNS_PACKET_EMISMATCH;
	if (!read_name(v, pos, asked, &is_plain) || v->len - *pos < 4)
		return DNS_PACKET_EMALFORMED;
	if (!is_plain || !same_name(asked, name) || get16(v, *pos) != type || get16(v, *pos + 2) != CLASS_IN)
		return DNS_PACKET_EMISMATCH;
	*pos += 4;
	return 0;
}

int
dns_packet_parse(const uint8_t *in, size_t in_bytes, const char *name, uint16_t type, struct dns_packet *out)
{
	const struct view v = {in, in_bytes};
	size_t name_len = strnlen(name, DOMAIN_MAX);
	struct counts n;
	uint16_t flags;
	size_t pos;
	int err;

	assert(name_len < DOMAIN_MAX);
	memset(out, 0, offsetof(struct dns_packet, records));
	out->ttl_s = UINT32_MAX;
	if (in_bytes < HEADER_BYTES)
		return DNS_PACKET_EMALFORMED;
	flags = get16(&v, 2);
	out->rcode = flags & 0x000f;
	out->is_authentic = (flags & 0x0020) != 0;
	if ((err = read_head(&v, &pos, name, type, &n)) < 0)
		return err;
	if (flags & 0x0200)
		return DNS_PACKET_ETRUNCATED;
	memcpy(out->alias, name, name_len + 1);
	if ((err = follow_chain(&v, pos, n.answer, out)) < 0)
		return err;
	if (!collect(&v, &pos, n.answer, type, out) || !read_rest(&v, pos, &n, out))
		return DNS_PACKET_EMALFORMED;
	if (out->record_count == 0 && !out->has_soa)
		out->ttl_s = 0;
	return 0;
}

const char *
dns_rcode_text(uint16_t rcode)
{
	static const char *const names[] = {
		"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

	return rcode < sizeof(names) / sizeof(names[0]) ? names[rcode] : "an unknown error code";
}

const char *
dns_type_text(uint16_t type)
{
	switch (type) {
	case DNS_TYPE_A:
		return "A";
	case DNS_TYPE_AAAA:
		return "AAAA";
	case DNS_TYPE_MX:
		return "MX";
	case DNS_TYPE_PTR:
		return "PTR";
	case DNS_TYPE_TXT:
		return "TXT";
	case DNS_TYPE_CNAME:
		return "CNAME";
	default:
		return "record";
	}
}
