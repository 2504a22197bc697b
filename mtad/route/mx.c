/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MX algorithm. It ends mail only on proof: NXDOMAIN, a Null MX, or every name of every host known to be
 * absent. Whatever could not be found out (SERVFAIL, timeout, nonsense) either does not matter, because other
 * hosts are there, or means to wait.
 *
 * Steps: begin (static route, literal, or MX question) -> choose (which hosts) -> resolve (all their
 * addresses at once) -> judge (which of them may be used). Each step may end the look-up by setting `result`;
 * the entry points hand it over. Invariants: `pending` counts the dns waits that are still out; hosts are
 * sorted best first; names are borrowed from the MX answer, the configuration or `domain`, all of which are
 * held until the end.
 */
#include "route/mx.h"

#include "route/alloc.h"
#include "route/result.h"
#include "route/site.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#define MX_MAGIC 0x4d58u

static const int64_t second_us = 1000000;
static const int64_t hosts_min_us = 60 * second_us, hosts_max_us = 86400 * second_us;
static const int64_t fail_max_us = 900 * second_us;

enum way { WAY_MX, WAY_IMPLICIT, WAY_LITERAL, WAY_ROUTE };

enum fate {
	FATE_USABLE,
	FATE_ABSENT,   /* there is no such name, or it has no address */
	FATE_FAULT,    /* not known now */
	FATE_UNWANTED, /* only addresses that we do not go to */
	FATE_SELF,     /* this machine */
};

struct lookup {
	struct dns_wait wait; /* first: the callback gets it */
	struct mx *mx;
	struct dns_answer *answer;
};

struct mx_host {
	const char *name;
	uint16_t preference, port;
	bool is_address, is_name; /* neither: a name that cannot be a host's */
	struct route_address address;
	struct lookup v4, v6;
	enum fate fate;
};

struct mx {
	uint32_t magic;
	struct mx_context context;
	const struct conf *conf;
	const struct conf_route *route;
	mx_done *done;
	void *arg;
	enum way way;
	struct lookup question;
	struct mx_host *hosts;
	uint32_t host_count, pending;
	uint32_t judged_count;    /* hosts before our own place in the list */
	uint32_t self_preference; /* of the best host that is this machine; above UINT16_MAX: none */
	uint16_t port;
	int provider;
	enum conf_family family;
	bool allows_private;
	int64_t expire_us; /* monotonic; of the first answer that ends */
	struct route_result *result;
	char site[SITE_NAME_MAX];
	char domain[DOMAIN_MAX];
};

/* --- the end --- */

static void
mx_destroy(struct mx *m)
{
	dns_answer_unref(&m->question.answer);
	for (uint32_t i = 0; i < m->host_count; i++) {
		dns_answer_unref(&m->hosts[i].v4.answer);
		dns_answer_unref(&m->hosts[i].v6.answer);
	}
	free(m->hosts);
	conf_unref(m->conf);
	m->magic = 0;
	free(m);
}

void
mx_abandon(struct mx **mp)
{
	struct mx *m = *mp;

	*mp = NULL;
	if (m != NULL)
		mx_destroy(m);
}

static void
hand_over(struct mx *m)
{
	struct route_result *result = m->result;
	mx_done *done = m->done;
	void *arg = m->arg;

	if (result == NULL)
		return;
	mx_destroy(m);
	done(arg, result);
}

/* Wall clock time until when the result holds. */
static int64_t
expire_of(const struct mx *m, enum route_kind kind)
{
	int64_t left_us = m->expire_us - clock_mono(m->context.clock);
	int64_t max_us = kind == ROUTE_HOSTS ? hosts_max_us : fail_max_us;

	if (kind == ROUTE_WAIT)
		left_us = m->conf->dns_retry;
	else if (left_us < hosts_min_us)
		left_us = hosts_min_us;
	else if (left_us > max_us)
		left_us = max_us;
	return clock_now(m->context.clock) + left_us;
}

static void
fill_head(const struct mx *m, enum route_kind kind, struct result_draft *out)
{
	out->kind = kind;
	out->site = m->site[0] != '\0' ? m->site : m->domain;
	out->provider = m->provider;
	out->static_route = m->route != NULL ? (int)(m->route - m->conf->routes) : -1;
	out->expire_us = expire_of(m, kind);
	out->esc = "";
	out->why[0] = '\0';
	out->host_count = out->address_count = 0;
}

/* The look-up ends without hosts. */
static void __attribute__((format(printf, 4, 5)))
end(struct mx *m, enum route_kind kind, const char *esc, const char *format, ...)
{
	struct result_draft draft;
	va_list ap;

	assert(kind != ROUTE_HOSTS && m->result == NULL);
	fill_head(m, kind, &draft);
	draft.esc = esc;
	va_start(ap, format);
	vsnprintf(draft.why, sizeof(draft.why), format, ap);
	va_end(ap);
	m->result = result_create(&draft, m->context.clock, m->family);
}

/* --- judge --- */

static void
set_address(struct route_address *out, const struct in_addr *v4, const struct in6_addr *v6, uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (v4 != NULL)
		out->v4 =
			(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = *v4};
	else
		out->v6 = (struct sockaddr_in6){
			.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *v6};
}

static enum fate
judge_address(const struct mx *m, const struct route_address *a)
{
	if (m->way == WAY_ROUTE)
		return FATE_USABLE; /* the operator wrote it */
	if (m->allows_private)
		return unwanted_own_listens(m->context.own, &a->any) ? FATE_SELF : FATE_USABLE;
	if (route_is_unwanted(&a->any))
		return FATE_UNWANTED;
	return unwanted_own_has(m->context.own, &a->any) ? FATE_SELF : FATE_USABLE;
}

struct survey {
	const struct mx *mx;
	struct result_draft
		*draft; /* gets the usable addresses, as host number host_count; NULL: only look */
	uint32_t usable_count;
	bool has_fault, has_unwanted, has_self;
};

static void
survey_address(struct survey *s, const struct route_address *a)
{
	struct result_draft *d = s->draft;

	switch (judge_address(s->mx, a)) {
	case FATE_SELF:
		s->has_self = true;
		break;
	case FATE_UNWANTED:
		s->has_unwanted = true;
		break;
	default:
		s->usable_count++;
		if (d == NULL || d->address_count == RESULT_ADDRESSES_MAX)
			break;
		d->addresses[d->address_count] = *a;
		d->addresses[d->address_count++].host = (uint16_t)d->host_count;
	}
}

static void
survey_answer(struct survey *s, const struct dns_answer *answer, int family, uint16_t port)
{
	if (answer == NULL)
		return;
	s->has_fault |= answer->kind == DNS_FAULT;
	for (uint16_t i = 0; answer->kind == DNS_RECORDS && i < answer->count; i++) {
		const struct dns_item *item = &answer->items[i];
		struct route_address a;

		set_address(&a, family == AF_INET ? &item->v4 : NULL, &item->v6, port);
		survey_address(s, &a);
	}
}

static enum fate
survey_host(const struct mx *m, const struct mx_host *h, struct result_draft *draft)
{
	struct survey s = {.mx = m, .draft = draft};

	if (h->is_address)
		survey_address(&s, &h->address);
	survey_answer(&s, h->v4.answer, AF_INET, h->port);
	survey_answer(&s, h->v6.answer, AF_INET6, h->port);
	if (s.has_self)
		return FATE_SELF;
	if (s.usable_count > 0)
		return FATE_USABLE;
	if (s.has_fault)
		return FATE_FAULT;
	return s.has_unwanted ? FATE_UNWANTED : FATE_ABSENT;
}

static const char *
fault_of(const struct mx_host *h)
{
	if (h->v4.answer != NULL && h->v4.answer->kind == DNS_FAULT)
		return h->v4.answer->why;
	return h->v6.answer != NULL ? h->v6.answer->why : "";
}

static const struct mx_host *
find_fate(const struct mx *m, enum fate fate)
{
	for (uint32_t i = 0; i < m->judged_count; i++)
		if (m->hosts[i].fate == fate)
			return &m->hosts[i];
	return NULL;
}

static const char *
family_text(const struct mx *m)
{
	if (m->family == CONF_FAMILY_V4)
		return "IPv4 address";
	return m->family == CONF_FAMILY_V6 ? "IPv6 address" : "address";
}

static void
end_without_hosts(struct mx *m)
{
	const struct mx_host *h;

	if ((h = find_fate(m, FATE_FAULT)) != NULL)
		end(m, ROUTE_WAIT, "4.4.3", "address of %s: %s", h->name, fault_of(h));
	else if (m->way == WAY_ROUTE)
		/* A slip in the configuration must not end everybody's mail. */
		end(m, ROUTE_WAIT, "4.4.4", "no host of route %s has an %s", m->route->name, family_text(m));
	else if (m->self_preference <= UINT16_MAX)
		end(m, ROUTE_FAIL, "5.4.6", "the best mail host of %s is this machine", m->domain);
	else if ((h = find_fate(m, FATE_UNWANTED)) != NULL)
		end(m, ROUTE_FAIL, "5.4.6", "mail host %s of %s has no public address", h->name, m->domain);
	else if (m->way == WAY_IMPLICIT)
		end(m, ROUTE_FAIL, "5.1.2", "%s has no MX and no %s", m->domain, family_text(m));
	else
		end(m, ROUTE_FAIL, "5.4.4", "no mail host of %s has an %s", m->domain, family_text(m));
}

static void
hold_until(struct mx *m, const struct dns_answer *answer)
{
	if (answer != NULL && answer->expire_us < m->expire_us)
		m->expire_us = answer->expire_us;
}

/* That a host we can use has no address of the other family need not be asked again before it is used again.
 */
static void
hold_until_host(struct mx *m, const struct mx_host *h)
{
	const struct dns_answer *const answers[] = {h->v4.answer, h->v6.answer};

	for (int i = 0; i < 2; i++) {
		bool is_absent = answers[i] != NULL && answers[i]->kind != DNS_RECORDS &&
				 answers[i]->kind != DNS_FAULT;

		if (h->fate != FATE_USABLE || !is_absent)
			hold_until(m, answers[i]);
	}
}

/* RFC 5321 5.1: from our own place in the list on, hosts would send the mail back to us. */
static void
cut_at_self(struct mx *m)
{
	for (uint32_t i = 0; i < m->host_count; i++) {
		struct mx_host *h = &m->hosts[i];

		h->fate = survey_host(m, h, NULL);
		hold_until_host(m, h);
		if (h->fate == FATE_SELF && h->preference < m->self_preference)
			m->self_preference = h->preference;
	}
	m->judged_count = 0;
	while (m->judged_count < m->host_count && m->hosts[m->judged_count].preference < m->self_preference)
		m->judged_count++;
}

static void
judge(struct mx *m)
{
	struct result_draft draft;

	assert(m->pending == 0);
	cut_at_self(m);
	fill_head(m, ROUTE_HOSTS, &draft);
	for (uint32_t i = 0; i < m->judged_count && draft.address_count < RESULT_ADDRESSES_MAX; i++) {
		const struct mx_host *h = &m->hosts[i];

		if (h->fate != FATE_USABLE)
			continue;
		survey_host(m, h, &draft);
		draft.hosts[draft.host_count++] = (struct route_host){h->name, h->preference};
	}
	if (draft.host_count == 0)
		end_without_hosts(m);
	else
		m->result = result_create(&draft, m->context.clock, m->family);
}

/* --- resolve --- */

static void
on_address(struct dns_wait *w, struct dns_answer *answer)
{
	struct lookup *l = (struct lookup *)w;
	struct mx *m = l->mx;

	assert(m->magic == MX_MAGIC && m->pending > 0);
	l->answer = dns_answer_ref(answer);
	if (--m->pending > 0)
		return;
	judge(m);
	hand_over(m);
}

static void
ask_address(struct mx *m, const char *name, uint16_t type, struct lookup *l)
{
	struct dns_answer *answer;

	l->mx = m;
	l->wait.done = on_address;
	answer = dns_get(m->context.dns, name, type, &l->wait);
	if (answer != NULL)
		l->answer = answer;
	else
		m->pending++;
}

static void
resolve(struct mx *m)
{
	for (uint32_t i = 0; i < m->host_count; i++) {
		struct mx_host *h = &m->hosts[i];

		if (!h->is_name)
			continue;
		if (m->family != CONF_FAMILY_V6)
			ask_address(m, h->name, DNS_TYPE_A, &h->v4);
		if (m->family != CONF_FAMILY_V4)
			ask_address(m, h->name, DNS_TYPE_AAAA, &h->v6);
	}
	if (m->pending == 0)
		judge(m);
}

/* --- choose --- */

/* C20: an address written where a name belongs is no name; asking for it would only make noise. */
static bool
is_host_name(const char *name)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
		return false;
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0' && name[0] != '\0';
}

/* False: by them no mail goes there, and the look-up has ended. */
static bool
take_settings(struct mx *m, const char *best_mx)
{
	const struct conf *c = m->conf;
	const struct conf_provider *provider;
	const struct conf_domain *block = conf_domain_find(c, m->domain, strnlen(m->domain, DOMAIN_MAX));
	struct conf_delivery delivery;

	m->provider = m->way == WAY_ROUTE ? -1 : site_provider(c, m->domain, best_mx);
	provider = m->provider >= 0 ? &c->providers[m->provider] : NULL;
	conf_delivery_merge(c, block, provider, &delivery);
	m->port = (uint16_t)delivery.port;
	m->family = (enum conf_family)delivery.family;
	m->allows_private = delivery.allow_private;
	if (delivery.refuse[0] == '\0')
		return true;
	end(m, ROUTE_FAIL, "5.7.1", "%s", delivery.refuse);
	return false;
}

static void
set_hosts_max(struct mx *m, size_t max)
{
	assert(m->hosts == NULL && max <= RESULT_HOSTS_MAX);
	m->hosts = route_alloc(max * sizeof(m->hosts[0]));
}

static struct mx_host *
add_host(struct mx *m, const char *name, uint16_t preference)
{
	struct mx_host *h = &m->hosts[m->host_count++];

	h->name = name;
	h->preference = preference;
	h->is_name = is_host_name(name);
	return h;
}

static int
by_preference_and_name(const void *a, const void *b)
{
	const struct mx_host *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* A name listed twice counts with its better preference. */
static void
add_exchanger(struct mx *m, const struct dns_item *item)
{
	for (uint32_t i = 0; i < m->host_count; i++) {
		struct mx_host *h = &m->hosts[i];

		if (strcmp(h->name, item->text) != 0)
			continue;
		if (item->preference < h->preference)
			h->preference = item->preference;
		return;
	}
	add_host(m, item->text, item->preference);
}

static void
name_site(struct mx *m)
{
	const char *names[RESULT_HOSTS_MAX];

	if (m->provider >= 0) {
		snprintf(m->site, sizeof(m->site), "%s", m->conf->providers[m->provider].name);
		return;
	}
	for (uint32_t i = 0; i < m->host_count; i++)
		names[i] = m->hosts[i].name;
	site_name_of_set(names, m->host_count, m->site);
}

/* RFC 5321 5.1, by name; by address it is seen in judge(). */
static void
find_self(struct mx *m)
{
	for (uint32_t i = 0; i < m->host_count; i++)
		if (strcasecmp(m->hosts[i].name, m->conf->hostname) == 0 &&
			m->hosts[i].preference < m->self_preference)
			m->self_preference = m->hosts[i].preference;
	while (m->host_count > 0 && m->hosts[m->host_count - 1].preference >= m->self_preference)
		m->host_count--;
}

static void
choose_and_resolve(struct mx *m)
{
	qsort(m->hosts, m->host_count, sizeof(m->hosts[0]), by_preference_and_name);
	if (!take_settings(m, m->hosts[0].name))
		return;
	name_site(m);
	site_set_apart(m->conf, m->domain, m->provider, m->site);
	find_self(m);
	for (uint32_t i = 0; i < m->host_count; i++)
		m->hosts[i].port = m->port;
	resolve(m);
}

static void
choose_exchangers(struct mx *m, const struct dns_answer *answer)
{
	set_hosts_max(m, answer->count);
	for (uint16_t i = 0; i < answer->count; i++)
		if (answer->items[i].text[0] != '\0') /* RFC 7505 3: a dot beside others means nothing */
			add_exchanger(m, &answer->items[i]);
	if (m->host_count == 0)
		end(m, ROUTE_FAIL, "5.1.10", "%s accepts no mail (Null MX)", m->domain);
	else
		choose_and_resolve(m);
}

static void
choose_domain_itself(struct mx *m)
{
	m->way = WAY_IMPLICIT;
	set_hosts_max(m, 1);
	add_host(m, m->domain, 0);
	choose_and_resolve(m);
}

static void
take_mx(struct mx *m)
{
	const struct dns_answer *answer = m->question.answer;

	hold_until(m, answer);
	switch (answer->kind) {
	case DNS_RECORDS:
		choose_exchangers(m, answer);
		break;
	case DNS_NODATA:
		choose_domain_itself(m);
		break;
	case DNS_NXDOMAIN:
		end(m, ROUTE_FAIL, "5.1.2", "%s does not exist: %s", m->domain, answer->why);
		break;
	case DNS_FAULT:
		/* RFC 5321 5.1: never the address instead; the exchangers are just not known. */
		end(m, ROUTE_WAIT, "4.4.3", "MX of %s: %s", m->domain, answer->why);
		break;
	}
}

/* --- begin --- */

static bool
parse_address(const char *text, uint16_t port, struct route_address *out)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		set_address(out, &v4, NULL, port);
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		set_address(out, NULL, &v6, port);
		return true;
	}
	return false;
}

static void
begin_route(struct mx *m)
{
	size_t count = m->route->host_count < RESULT_HOSTS_MAX ? m->route->host_count : RESULT_HOSTS_MAX;

	m->way = WAY_ROUTE;
	snprintf(m->site, sizeof(m->site), "route:%.280s", m->route->name);
	if (!take_settings(m, NULL))
		return;
	site_set_apart(m->conf, m->domain, m->provider, m->site);
	set_hosts_max(m, count);
	for (size_t i = 0; i < count; i++) {
		const struct conf_route_host *from = &m->route->host_list[i];
		struct mx_host *h = add_host(m, from->name, from->preference);

		h->port = from->port != 0 ? from->port : m->port;
		h->is_address = parse_address(from->name, h->port, &h->address);
	}
	qsort(m->hosts, m->host_count, sizeof(m->hosts[0]), by_preference_and_name);
	resolve(m);
}

/* RFC 5321 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static void
begin_literal(struct mx *m)
{
	static const char v6_tag[] = "IPv6:";
	size_t tag = sizeof(v6_tag) - 1, len = strnlen(m->domain, DOMAIN_MAX);
	char text[INET6_ADDRSTRLEN];
	bool is_v6 = strncasecmp(m->domain + 1, v6_tag, tag) == 0;
	size_t at = is_v6 ? 1 + tag : 1;
	struct mx_host *h;

	m->way = WAY_LITERAL;
	if (!take_settings(m, NULL))
		return;
	set_hosts_max(m, 1);
	h = add_host(m, m->domain, 0);
	if (len > at + 1 && m->domain[len - 1] == ']' && len - at - 1 < sizeof(text)) {
		memcpy(text, m->domain + at, len - at - 1);
		text[len - at - 1] = '\0';
		h->is_address = parse_address(text, m->port, &h->address);
	}
	if (!h->is_address || (h->address.any.sa_family == AF_INET6) != is_v6)
		end(m, ROUTE_FAIL, "5.1.2", "%s is no address", m->domain);
	else
		judge(m);
}

static void
on_mx(struct dns_wait *w, struct dns_answer *answer)
{
	struct lookup *l = (struct lookup *)w;
	struct mx *m = l->mx;

	assert(m->magic == MX_MAGIC);
	l->answer = dns_answer_ref(answer);
	take_mx(m);
	hand_over(m);
}

static void
begin_mx(struct mx *m)
{
	struct dns_answer *answer;

	m->way = WAY_MX;
	m->question.mx = m;
	m->question.wait.done = on_mx;
	answer = dns_get(m->context.dns, m->domain, DNS_TYPE_MX, &m->question.wait);
	if (answer == NULL)
		return;
	m->question.answer = answer;
	take_mx(m);
}

struct route_result *
mx_start(const struct mx_context *context, const struct conf *conf, const char *domain, mx_done *done,
	void *arg, struct mx **out_mx)
{
	struct mx *m = route_alloc(sizeof(*m));
	size_t len = strnlen(domain, DOMAIN_MAX);
	struct route_result *result;

	m->magic = MX_MAGIC;
	m->context = *context;
	m->conf = conf_ref(conf);
	m->done = done;
	m->arg = arg;
	m->provider = -1;
	m->self_preference = UINT32_MAX;
	m->expire_us = INT64_MAX;
	memcpy(m->domain, domain, len < DOMAIN_MAX ? len : DOMAIN_MAX - 1);
	m->route = conf_route_find(conf, m->domain, strnlen(m->domain, DOMAIN_MAX));
	if (m->route != NULL)
		begin_route(m);
	else if (domain[0] == '[')
		begin_literal(m);
	else
		begin_mx(m);
	result = m->result;
	*out_mx = NULL;
	if (result != NULL)
		mx_destroy(m);
	else
		*out_mx = m;
	return result;
}
