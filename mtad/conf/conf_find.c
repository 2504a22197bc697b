/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups in constant time: open addressing over names that the configuration keeps anyway. A pattern
 * "*.suffix" is stored as ".suffix" and "*" as "", so the key for each step of a look-up is the end of the
 * name that is asked for and nothing is copied.
 *
 * Invariant: a table is at most half full, so a probe ends. The hash needs no secret: the keys are the
 * operator's, and a stranger's name is only looked up, never added.
 */
#include "conf/conf_load.h"

#include "base/domain.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

static uint64_t
hash(const char *key, size_t len)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

void
conf_index_init(struct conf_index *i, struct conf_arena *a, size_t count)
{
	size_t size = 4;

	while (size < count * 2)
		size *= 2;
	i->slots = conf_arena_alloc(a, size * sizeof(*i->slots));
	i->mask = size - 1;
}

static struct conf_index_slot *
slot_of(const struct conf_index *i, const char *key, size_t len)
{
	for (size_t n = hash(key, len) & i->mask;; n = (n + 1) & i->mask) {
		struct conf_index_slot *s = &i->slots[n];

		if (s->key == NULL || (s->len == len && memcmp(s->key, key, len) == 0))
			return s;
	}
}

int64_t
conf_index_add(struct conf_index *i, const char *key, size_t len, uint32_t value)
{
	struct conf_index_slot *s = slot_of(i, key, len);

	if (s->key != NULL)
		return s->value;
	*s = (struct conf_index_slot){key, (uint32_t)len, value};
	return -1;
}

int64_t
conf_index_find(const struct conf_index *i, const char *key, size_t len)
{
	const struct conf_index_slot *s;

	if (i->slots == NULL)
		return -1;
	s = slot_of(i, key, len);
	return s->key != NULL ? (int64_t)s->value : -1;
}

/* Exact, then every suffix that starts with a dot, longest first, then "*". */
static int64_t
find_pattern(const struct conf_index *i, const char *name, size_t len)
{
	int64_t found;

	/* Not what anybody would ask; but ".suffix" and "" are keys of patterns here. */
	if (len == 0 || name[0] == '.')
		return len == 0 ? -1 : conf_index_find(i, "", 0);
	found = conf_index_find(i, name, len);
	/* The first byte is no place for the dot of a suffix: "*.example.com" needs something before it. */
	for (size_t n = 1; found < 0 && n < len; n++)
		if (name[n] == '.')
			found = conf_index_find(i, name + n, len - n);
	return found >= 0 ? found : conf_index_find(i, "", 0);
}

static const struct conf_owner *
owner_of(const struct conf *c)
{
	return (const struct conf_owner *)c;
}

const struct conf_user *
conf_user_find(const struct conf *c, const char *name, size_t len)
{
	int64_t n = conf_index_find(&owner_of(c)->users, name, len);

	return n >= 0 ? &c->users[n] : NULL;
}

/* "*" stands for any bytes, "?" for one. Only the last "*" is gone back to, so this ends after at most
 * pattern times text steps. */
static bool
matches(const char *pattern, const char *text, size_t len)
{
	const char *star = NULL;
	size_t n = 0, from = 0;

	while (n < len) {
		if (*pattern == '*') {
			star = ++pattern;
			from = n;
		} else if (*pattern != '\0' && (*pattern == '?' || *pattern == text[n])) {
			pattern++;
			n++;
		} else if (star != NULL) {
			pattern = star;
			n = ++from;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

static bool
matches_any(const struct conf_list *patterns, const char *text, size_t len)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (matches(patterns->items[i], text, len))
			return true;
	return patterns->count == 0;
}

const struct conf_stream *
conf_stream_find(const struct conf *c, const char *user, size_t user_len, const char *job, size_t job_len,
	enum conf_class class)
{
	assert(class < CONF_CLASS_COUNT);
	for (size_t n = 0; n < c->stream_count; n++) {
		const struct conf_stream *s = &c->streams[n];

		if ((s->class_set >> class & 1) != 0 && matches_any(&s->users, user, user_len) &&
			matches_any(&s->jobs, job, job_len))
			return s;
	}
	return NULL;
}

bool
conf_records_fit(const struct conf_records *which, const struct conf_record_of *of)
{
	assert(of->record < CONF_RECORD_COUNT);
	return (which->record_set >> of->record & 1) != 0 &&
	       (of->bounce_class == 0 || which->class_set == 0 ||
		       (which->class_set >> of->bounce_class & 1) != 0) &&
	       matches_any(&which->users, of->user, of->user_len) &&
	       matches_any(&which->jobs, of->job, of->job_len) &&
	       matches_any(&which->pools, of->pool, of->pool_len);
}

const struct conf_guard *
conf_guard_find(const struct conf *c, const char *user, size_t len)
{
	int64_t n = conf_index_find(&owner_of(c)->guards, user, len);

	return n >= 0 ? &c->guards[n] : &c->guard;
}

const struct conf_suppression *
conf_suppression_find(const struct conf *c, const char *user, size_t len)
{
	int64_t n = conf_index_find(&owner_of(c)->suppressions, user, len);

	return n >= 0 ? &c->suppressions[n] : &c->suppression;
}

int
conf_pool_find(const struct conf *c, const char *name, size_t len)
{
	return (int)conf_index_find(&owner_of(c)->pools, name, len);
}

/* Local parts are compared as auth.c does for a user's senders: in the wild their case means nothing. */
int
conf_sender_key(const char *address, size_t len, char out[CONF_SENDER_KEY_MAX])
{
	const char *sign = memrchr(address, '@', len);
	size_t local = sign != NULL ? (size_t)(sign - address) : 0;
	int domain;

	if (sign == NULL || local >= CONF_SENDER_KEY_MAX - DOMAIN_MAX)
		return -1;
	domain = domain_normalise(sign + 1, len - local - 1, out + local + 1, DOMAIN_MAX);
	if (domain < 0)
		return -1;
	for (size_t i = 0; i <= local; i++)
		out[i] = (char)(address[i] >= 'A' && address[i] <= 'Z' ? address[i] + ('a' - 'A')
								       : address[i]);
	return (int)local + 1 + domain;
}

int
conf_pool_of_sender(const struct conf *c, const char *address, size_t len)
{
	const struct conf_index *senders = &owner_of(c)->pool_senders;
	char key[CONF_SENDER_KEY_MAX];
	int key_len = c->pool_count > 0 ? conf_sender_key(address, len, key) : -1;
	const char *sign = key_len > 0 ? memrchr(key, '@', (size_t)key_len) : NULL;
	int64_t n;

	if (sign == NULL)
		return -1;
	n = conf_index_find(senders, key, (size_t)key_len);
	return (int)(n >= 0 ? n : conf_index_find(senders, sign, (size_t)(key + key_len - sign)));
}

int
conf_source_find(const struct conf *c, const char *name, size_t len)
{
	return (int)conf_index_find(&owner_of(c)->sources, name, len);
}

const struct conf_sender *
conf_sender_find(const struct conf *c, const char *domain, size_t len)
{
	const char *end = domain + len, *dot;
	int64_t n;

	while ((n = conf_index_find(&owner_of(c)->senders, domain, (size_t)(end - domain))) < 0) {
		if ((dot = memchr(domain, '.', (size_t)(end - domain))) == NULL)
			return NULL;
		domain = dot + 1;
	}
	return &c->senders[n];
}

const struct conf_domain *
conf_domain_find(const struct conf *c, const char *domain, size_t len)
{
	int64_t n = find_pattern(&owner_of(c)->domains, domain, len);

	return n >= 0 ? &c->domains[n] : NULL;
}

const struct conf_route *
conf_route_find(const struct conf *c, const char *domain, size_t len)
{
	int64_t n = find_pattern(&owner_of(c)->routes, domain, len);

	return n >= 0 ? &c->routes[n] : NULL;
}

const struct conf_provider *
conf_provider_of_domain(const struct conf *c, const char *domain, size_t len)
{
	int64_t n = find_pattern(&owner_of(c)->provider_domains, domain, len);

	return n >= 0 ? &c->providers[n] : NULL;
}

const struct conf_provider *
conf_provider_of_mx(const struct conf *c, const char *mx, size_t len)
{
	int64_t n = find_pattern(&owner_of(c)->provider_mx, mx, len);

	return n >= 0 ? &c->providers[n] : NULL;
}

/* Lays the settings `from` has set over `out`. */
static void
overlay(struct conf_delivery *out, const struct conf_delivery *from)
{
	static const struct conf_row *const rows = conf_delivery_rows;
	static const size_t sizes[] = {
		[CONF_TYPE_BOOL] = sizeof(bool),
		[CONF_TYPE_COUNT] = sizeof(int64_t),
		[CONF_TYPE_BYTES] = sizeof(int64_t),
		[CONF_TYPE_DURATION] = sizeof(int64_t),
		[CONF_TYPE_RATE] = sizeof(struct conf_rate),
		[CONF_TYPE_RATES] = sizeof(struct conf_rates),
		[CONF_TYPE_BYTE_RATES] = sizeof(struct conf_rates),
		[CONF_TYPE_TEXT] = sizeof(const char *),
		[CONF_TYPE_PATH] = sizeof(const char *),
		[CONF_TYPE_LIST] = sizeof(struct conf_list),
		[CONF_TYPE_DURATIONS] = sizeof(struct conf_durations),
		[CONF_TYPE_CHOICE] = sizeof(int),
		[CONF_TYPE_COUNTS] = sizeof(struct conf_counts),
		[CONF_TYPE_PERCENT] = sizeof(int64_t),
	};

	for (uint64_t left = from->is_set; left != 0; left &= left - 1) {
		const struct conf_row *row = &rows[__builtin_ctzll(left)];

		memcpy((char *)out + row->offset, (const char *)from + row->offset, sizes[row->type]);
	}
	if (from->hours != NULL)
		out->hours = from->hours;
}

void
conf_delivery_merge(const struct conf *c, const struct conf_domain *d, const struct conf_provider *p,
	struct conf_delivery *out)
{
	*out = c->delivery;
	if (p != NULL)
		overlay(out, &p->delivery);
	/* Domain "*" is what c->delivery was made of. Laid over a provider it would win against the more
	 * specific. */
	if (d != NULL && strncmp(d->name, "*", 2) != 0)
		overlay(out, &d->delivery);
	assert(out->is_set == c->delivery.is_set);
}

bool
conf_delivery_is_limited(const struct conf_delivery *d)
{
#define CONF_DELIVERY(field, ...) ROW_##field,
	enum row {
#include "conf.def"
	};
#undef CONF_DELIVERY
	static const enum row rows[] = {ROW_connections, ROW_connect_rate, ROW_rate, ROW_recipient_rate,
		ROW_byte_rate, ROW_site_connections, ROW_site_connect_rate, ROW_site_rate,
		ROW_site_recipient_rate, ROW_site_byte_rate, ROW_quiet_hours};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((d->is_set >> rows[i] & 1) != 0)
			return true;
	return false;
}

static bool
network_has(const struct conf_network *n, const struct in6_addr *address)
{
	int bytes = n->prefix / 8, bits = n->prefix % 8;

	if (memcmp(&n->address, address, (size_t)bytes) != 0)
		return false;
	return bits == 0 || ((n->address.s6_addr[bytes] ^ address->s6_addr[bytes]) >> (8 - bits)) == 0;
}

bool
conf_network_has(const struct conf_networks *nets, const struct sockaddr *sa)
{
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (sa->sa_family == AF_INET6)
		memcpy(&address, &((const struct sockaddr_in6 *)sa)->sin6_addr, sizeof(address));
	else if (sa->sa_family == AF_INET)
		memcpy(&address.s6_addr[12], &((const struct sockaddr_in *)sa)->sin_addr, 4);
	else if (sa->sa_family == AF_UNIX)
		memcpy(&address.s6_addr[12], &(struct in_addr){htonl(INADDR_LOOPBACK)}, 4);
	else
		return false;
	for (size_t i = 0; i < nets->count; i++)
		if (network_has(&nets->items[i], &address))
			return true;
	return false;
}
