/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own evaluator, because libspf2 1.2.10 does not bound a check: its count of DNS terms begins anew in
 * every include. Eight records of nine includes each and a last one (nine questions) kept it busy for more
 * than 40 s, when it was stopped; six such records took 1.9 s and 600,000 look-ups.
 *
 * Invariants: `lookups` and `voids` count over the whole check, however deep includes nest, so recursion is
 * at most LOOKUPS_MAX + 1 deep and a check ends after LOOKUPS_MAX records. A step that misses a fact returns
 * PENDING at once, which nothing turns into a result.
 */
#include "intake/spf.h"

#include "intake/spf_record.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LOOKUPS_MAX 10
#define VOIDS_MAX   2
#define NAMES_MAX   10 /* of an mx or a ptr */
#define PENDING     (-1)

enum match { MATCH_NO, MATCH_YES, MATCH_PENDING, MATCH_TEMPERROR, MATCH_PERMERROR };

struct spf {
	struct auth_facts *facts;
	bool is_v6;
	struct in_addr v4;
	struct in6_addr v6;
	uint32_t lookups, voids;
	struct spf_values values; /* `domain` is that of the record at work */
	char reverse[DOMAIN_MAX]; /* where the client's names are */
	char sender[SMTP_ADDRESS_MAX + DOMAIN_MAX + sizeof("postmaster@")];
};

static struct smtp_slice
slice_of(const char *name)
{
	return (struct smtp_slice){name, strnlen(name, DOMAIN_MAX)};
}

static uint16_t
address_type(const struct spf *s)
{
	return s->is_v6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
}

/* --- what DNS says --- */

/* RFC 7208 4.6.4: an answer of nothing is counted. MATCH_YES: there are records. */
static enum match
look_up(struct spf *s, struct smtp_slice name, uint16_t type, const struct auth_fact **out)
{
	const struct auth_fact *fact = auth_facts_get(s->facts, name, type);

	*out = fact;
	if (auth_fact_is_open(fact))
		return MATCH_PENDING;
	if (fact->kind == AUTH_FACT_FAULT)
		return MATCH_TEMPERROR;
	if (fact->kind == AUTH_FACT_RECORDS)
		return MATCH_YES;
	return ++s->voids > VOIDS_MAX ? MATCH_PERMERROR : MATCH_NO;
}

static bool
same_bits(const void *a, const void *b, unsigned bits)
{
	const uint8_t *x = a, *y = b;
	unsigned whole = bits / 8, left = bits % 8;

	return memcmp(x, y, whole) == 0 && (left == 0 || ((x[whole] ^ y[whole]) >> (8 - left)) == 0);
}

static bool
has_client(const struct spf *s, const struct auth_fact *addresses, unsigned v4_bits, unsigned v6_bits)
{
	for (uint16_t i = 0; i < addresses->count; i++) {
		const struct dns_record *r = &addresses->records[i];

		if (s->is_v6 ? same_bits(&r->v6, &s->v6, v6_bits) : same_bits(&r->v4, &s->v4, v4_bits))
			return true;
	}
	return false;
}

/* One of several names, any of which may have the client's address. */
static enum match
name_has_client(struct spf *s, struct smtp_slice name, const struct spf_term *t)
{
	const struct auth_fact *fact = auth_facts_get(s->facts, name, address_type(s));

	if (auth_fact_is_open(fact))
		return MATCH_PENDING;
	if (fact->kind == AUTH_FACT_FAULT)
		return MATCH_TEMPERROR;
	return has_client(s, fact, t->v4_bits, t->v6_bits) ? MATCH_YES : MATCH_NO;
}

static enum match
either(enum match a, enum match b)
{
	static const enum match order[] = {MATCH_YES, MATCH_PENDING, MATCH_TEMPERROR};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return MATCH_NO;
}

/* 0: the domain itself. 1: below it. 2: elsewhere. */
static int
kinship(struct smtp_slice name, struct smtp_slice domain)
{
	struct smtp_slice tail;

	if (name.len < domain.len)
		return 2;
	tail = (struct smtp_slice){name.ptr + (name.len - domain.len), domain.len};
	if (!smtp_slice_is_nocase(tail, domain))
		return 2;
	if (name.len == domain.len)
		return 0;
	return tail.ptr[-1] == '.' ? 1 : 2;
}

/*
 * RFC 7208 5.5: the client's name in the domain, or the best one there is for %{p}: names count that have the
 * client's address. Never MATCH_TEMPERROR: who cannot be named is not named.
 */
static enum match
find_client_name(struct spf *s, struct smtp_slice domain, int kinship_max, struct smtp_slice *out)
{
	static const struct spf_term whole = {.v4_bits = 32, .v6_bits = 128};
	const struct auth_fact *names = auth_facts_get(s->facts, slice_of(s->reverse), DNS_TYPE_PTR);

	if (auth_fact_is_open(names))
		return MATCH_PENDING;
	for (int k = 0; k <= kinship_max; k++) {
		enum match found = MATCH_NO;

		for (uint16_t i = 0; i < names->count && i < NAMES_MAX; i++) {
			struct smtp_slice name = auth_fact_text(names, i);
			enum match m =
				kinship(name, domain) == k ? name_has_client(s, name, &whole) : MATCH_NO;

			if (m == MATCH_YES)
				*out = name;
			if (m == MATCH_YES)
				return m;
			found = either(found, m);
		}
		if (found == MATCH_PENDING)
			return found;
	}
	return MATCH_NO;
}

/* --- mechanisms --- */

/* Where a term points: its domain with macros expanded, else the domain at work. */
static enum match
find_target(struct spf *s, const struct spf_term *t, char out[DOMAIN_MAX])
{
	if (t->domain.len == 0) {
		memcpy(out, s->values.domain.ptr, s->values.domain.len);
		out[s->values.domain.len] = '\0';
		return MATCH_YES;
	}
	if (spf_macro_has(t->domain, 'p')) {
		s->values.client_name = SMTP_LIT("unknown");
		if (find_client_name(s, s->values.domain, 2, &s->values.client_name) == MATCH_PENDING)
			return MATCH_PENDING;
	}
	return spf_macro_expand(t->domain, &s->values, out) < 0 ? MATCH_PERMERROR : MATCH_YES;
}

static enum match
match_mx(struct spf *s, const struct spf_term *t, struct smtp_slice target)
{
	const struct auth_fact *fact;
	enum match found = look_up(s, target, DNS_TYPE_MX, &fact);

	if (found != MATCH_YES)
		return found;
	if (fact->count > NAMES_MAX)
		return MATCH_PERMERROR;
	found = MATCH_NO;
	for (uint16_t i = 0; i < fact->count; i++)
		found = either(found, name_has_client(s, auth_fact_text(fact, i), t));
	return found;
}

static enum match
match_ptr(struct spf *s, struct smtp_slice target)
{
	struct smtp_slice name;

	return find_client_name(s, target, 1, &name);
}

static int check_domain(struct spf *s, const char *domain);

static enum match
match_include(struct spf *s, const char *target)
{
	struct smtp_slice domain = s->values.domain;
	int result = check_domain(s, target);

	s->values.domain = domain;
	switch (result) {
	case PENDING:
		return MATCH_PENDING;
	case AUTH_PASS:
		return MATCH_YES;
	case AUTH_TEMPERROR:
		return MATCH_TEMPERROR;
	case AUTH_NONE:
	case AUTH_PERMERROR:
		return MATCH_PERMERROR;
	default:
		return MATCH_NO;
	}
}

/* a, mx, ptr, exists, include: what RFC 7208 4.6.4 counts. */
static enum match
match_by_dns(struct spf *s, const struct spf_term *t)
{
	const struct auth_fact *fact;
	char target[DOMAIN_MAX];
	enum match found;

	if (++s->lookups > LOOKUPS_MAX)
		return MATCH_PERMERROR;
	if ((found = find_target(s, t, target)) != MATCH_YES)
		return found;
	switch (t->kind) {
	case SPF_MX:
		return match_mx(s, t, slice_of(target));
	case SPF_PTR:
		return match_ptr(s, slice_of(target));
	case SPF_INCLUDE:
		return match_include(s, target);
	case SPF_EXISTS:
		return look_up(s, slice_of(target), DNS_TYPE_A, &fact);
	default:
		found = look_up(s, slice_of(target), address_type(s), &fact);
		if (found != MATCH_YES)
			return found;
		return has_client(s, fact, t->v4_bits, t->v6_bits) ? MATCH_YES : MATCH_NO;
	}
}

static enum match
match_term(struct spf *s, const struct spf_term *t)
{
	switch (t->kind) {
	case SPF_ALL:
		return MATCH_YES;
	case SPF_IP4:
		return !s->is_v6 && same_bits(&t->v4, &s->v4, t->v4_bits) ? MATCH_YES : MATCH_NO;
	case SPF_IP6:
		return s->is_v6 && same_bits(&t->v6, &s->v6, t->v6_bits) ? MATCH_YES : MATCH_NO;
	case SPF_REDIRECT:
	case SPF_EXP:
	case SPF_OTHER:
		return MATCH_NO;
	default:
		return match_by_dns(s, t);
	}
}

/* --- a record --- */

/* Are all terms right, and the modifiers there once (RFC 7208 6)? *out_redirect: its kind is SPF_REDIRECT
 * when there is one. */
static bool
read_through(struct smtp_slice terms, struct spf_term *out_redirect)
{
	uint32_t seen = 0;
	struct spf_term t;
	int err;

	out_redirect->kind = SPF_OTHER;
	while ((err = spf_term_next(&terms, &t)) > 0) {
		if (t.kind != SPF_REDIRECT && t.kind != SPF_EXP)
			continue;
		if (seen & 1u << t.kind)
			return false;
		seen |= 1u << t.kind;
		if (t.kind == SPF_REDIRECT)
			*out_redirect = t;
	}
	return err == 0;
}

static int
result_of(enum match m, char qualifier)
{
	switch (m) {
	case MATCH_PENDING:
		return PENDING;
	case MATCH_TEMPERROR:
		return AUTH_TEMPERROR;
	case MATCH_PERMERROR:
		return AUTH_PERMERROR;
	default:
		break;
	}
	if (qualifier == '-')
		return AUTH_FAIL;
	if (qualifier == '~')
		return AUTH_SOFTFAIL;
	return qualifier == '?' ? AUTH_NEUTRAL : AUTH_PASS;
}

static int
follow_redirect(struct spf *s, const struct spf_term *t)
{
	char target[DOMAIN_MAX];
	enum match m;
	int result;

	if (++s->lookups > LOOKUPS_MAX)
		return AUTH_PERMERROR;
	if ((m = find_target(s, t, target)) != MATCH_YES)
		return result_of(m, '+');
	result = check_domain(s, target);
	return result == AUTH_NONE ? AUTH_PERMERROR : result;
}

static int
check_record(struct spf *s, struct smtp_slice terms)
{
	struct spf_term redirect, t;

	if (!read_through(terms, &redirect))
		return AUTH_PERMERROR;
	while (spf_term_next(&terms, &t) > 0) {
		enum match m = match_term(s, &t);

		if (m != MATCH_NO)
			return result_of(m, t.qualifier);
	}
	return redirect.kind == SPF_REDIRECT ? follow_redirect(s, &redirect) : AUTH_NEUTRAL;
}

/* RFC 7208 4.3: two labels at least, none of them empty or too long. */
static bool
can_have_record(const char *domain)
{
	size_t len = strnlen(domain, DOMAIN_MAX), label = 0, dots = 0;

	for (size_t i = 0; i < len; i++) {
		label = domain[i] == '.' ? 0 : label + 1;
		dots += domain[i] == '.';
		if (label > 63 || (domain[i] == '.' && (i == 0 || domain[i - 1] == '.')))
			return false;
	}
	return dots > 0 && domain[0] != '[';
}

/* check_host() of RFC 7208 4. */
static int
check_domain(struct spf *s, const char *domain)
{
	const struct auth_fact *fact;
	struct smtp_slice record, terms = {NULL, 0};
	uint32_t count = 0;

	if (!can_have_record(domain))
		return AUTH_NONE;
	fact = auth_facts_get(s->facts, slice_of(domain), DNS_TYPE_TXT);
	if (auth_fact_is_open(fact))
		return PENDING;
	if (fact->kind == AUTH_FACT_FAULT)
		return AUTH_TEMPERROR;
	for (uint16_t i = 0; i < fact->count; i++)
		if (spf_record_is(auth_fact_text(fact, i), &record)) {
			terms = record;
			count++;
		}
	if (count != 1)
		return count == 0 ? AUTH_NONE : AUTH_PERMERROR;
	s->values.domain = slice_of(domain);
	return check_record(s, terms);
}

/* --- the question --- */

/* Address, %{i}, and the name its names are under. */
static void
take_client(struct spf *s, const struct sockaddr *client)
{
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)client)->sin6_addr;
	char *at = s->values.address, *back = s->reverse;

	s->is_v6 = client->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(v6);
	s->values.is_v6 = s->is_v6;
	if (!s->is_v6) {
		uint8_t b[4];

		if (client->sa_family == AF_INET)
			s->v4 = ((const struct sockaddr_in *)client)->sin_addr;
		else
			memcpy(&s->v4, &v6->s6_addr[12], sizeof(s->v4));
		memcpy(b, &s->v4, sizeof(b));
		snprintf(at, sizeof(s->values.address), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		snprintf(back, sizeof(s->reverse), "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
		return;
	}
	s->v6 = *v6;
	for (int i = 0; i < 16; i++) {
		uint8_t b = s->v6.s6_addr[i], r = s->v6.s6_addr[15 - i];

		at += snprintf(at, 5, "%x.%x%s", b >> 4, b & 15, i < 15 ? "." : "");
		back += snprintf(back, 5, "%x.%x.", r & 15, r >> 4);
	}
	snprintf(back, sizeof("ip6.arpa"), "ip6.arpa");
}

/* RFC 7208 4.1 and 4.3: who is meant, and "postmaster" where nobody is named. False: no domain. */
static bool
take_sender(struct spf *s, const struct spf_question *q, char domain[DOMAIN_MAX])
{
	struct smtp_slice local = {q->mail_from.ptr, 0}, name = q->helo;
	size_t at = q->mail_from.len;
	int len;

	if (q->mail_from.len > SMTP_ADDRESS_MAX)
		return false;
	while (at > 0 && q->mail_from.ptr[at - 1] != '@')
		at--;
	if (q->mail_from.len > 0) {
		name = (struct smtp_slice){q->mail_from.ptr + at, q->mail_from.len - at};
		local.len = at > 0 ? at - 1 : 0;
	}
	if (local.len == 0)
		local = SMTP_LIT("postmaster");
	if (domain_normalise(name.ptr, name.len, domain, DOMAIN_MAX) < 0)
		return false;
	len = snprintf(s->sender, sizeof(s->sender), "%.*s@%s", (int)local.len, local.ptr, domain);
	assert(len > 0 && (size_t)len < sizeof(s->sender));
	s->values.sender = (struct smtp_slice){s->sender, (size_t)len};
	s->values.sender_domain = slice_of(domain);
	s->values.local = (struct smtp_slice){s->sender, (size_t)len - s->values.sender_domain.len - 1};
	s->values.helo = q->helo;
	return true;
}

bool
spf_check(const struct spf_question *q, struct auth_facts *facts, struct spf_answer *out)
{
	struct spf s = {.facts = facts};
	char domain[DOMAIN_MAX] = "";
	int result = AUTH_NONE;

	take_client(&s, q->client);
	if (take_sender(&s, q, domain))
		result = check_domain(&s, domain);
	if (result == PENDING)
		return false;
	out->outcome = (enum auth_outcome)result;
	memcpy(out->domain, domain, sizeof(out->domain));
	return true;
}
