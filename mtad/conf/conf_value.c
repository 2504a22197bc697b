/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers carry their unit, so that a reader never has to guess seconds or minutes, and "retry = 5" is an
 * error instead of five seconds. A value that does not fit says what would.
 *
 * Invariants: no parser looks at the locale; nothing overflows (every product is checked); a negative number
 * is an error everywhere; zero is what the row's range says.
 */
#include "conf/conf_value.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#define TEXT_MAX    65536 /* no word of a file is longer: CONF_LINE_BYTES_MAX */
#define WHY(w, ...) snprintf((w)->text, sizeof((w)->text), __VA_ARGS__)

#define RATE_WINDOW_MIN_US INT64_C(1000000)
#define RATE_WINDOW_MAX_US (INT64_C(31) * 86400 * 1000000)

struct unit {
	const char *word;
	int64_t factor;
};
static const struct unit byte_units[] = {
	{"B", 1}, {"KB", 1024}, {"MB", 1048576}, {"GB", 1073741824}, {"TB", INT64_C(1099511627776)}};
static const struct unit duration_units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60 * INT64_C(1000000)},
	{"h", 3600 * INT64_C(1000000)}, {"d", 86400 * INT64_C(1000000)}};

/* Digits at *p into *out; moves *p behind them. */
static bool
digits(const char **p, int64_t *out)
{
	int64_t n = 0;
	const char *q = *p;

	if (*q < '0' || *q > '9')
		return false;
	for (; *q >= '0' && *q <= '9'; q++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *q - '0', &n))
			return false;
	*p = q;
	*out = n;
	return true;
}

static const struct unit *
unit_at(const struct unit *units, size_t count, const char *p)
{
	size_t len = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	for (size_t i = 0; i < count; i++)
		if (strnlen(units[i].word, 4) == len && strncasecmp(units[i].word, p, len) == 0)
			return &units[i];
	return NULL;
}

/* What is wrong with a number that digits() refused. */
static void
why_no_number(const char *text, const char *example, struct conf_why *w)
{
	if (text[0] == '-')
		WHY(w, "\"%.60s\" is negative; write %s", text, example);
	else if (text[0] >= '0' && text[0] <= '9')
		WHY(w, "\"%.60s\" is too large", text);
	else
		WHY(w, "\"%.60s\" is no number; write %s", text, example);
}

bool
conf_value_count(const char *text, int64_t *out, struct conf_why *w)
{
	const char *p = text;
	int64_t n;

	if (!digits(&p, &n)) {
		why_no_number(text, "a whole number such as 10", w);
		return false;
	}
	if (*p != '\0') {
		WHY(w, "\"%.60s\": a whole number stands here, without unit or fraction", text);
		return false;
	}
	*out = n;
	return true;
}

/* One or several "number unit"; a lone 0 needs no unit. */
static bool
with_units(const char *text, const struct unit *units, size_t unit_count, const char *example, int64_t *out,
	struct conf_why *w)
{
	const char *p = text;
	int64_t n, sum = 0;

	do {
		const struct unit *u;

		if (!digits(&p, &n)) {
			why_no_number(text, example, w);
			return false;
		}
		if (n == 0 && p == text + 1 && *p == '\0')
			break;
		u = unit_at(units, unit_count, p);
		if (u == NULL) {
			WHY(w,
				*p == '\0' ? "\"%.60s\" has no unit; write %s"
					   : "\"%.60s\" is not understood; write %s",
				text, example);
			return false;
		}
		p += strnlen(u->word, 4);
		if (__builtin_mul_overflow(n, u->factor, &n) || __builtin_add_overflow(sum, n, &sum)) {
			WHY(w, "\"%.60s\" is too large", text);
			return false;
		}
	} while (*p != '\0');
	*out = sum;
	return true;
}

bool
conf_value_bytes(const char *text, int64_t *out, struct conf_why *w)
{
	return with_units(text, byte_units, 5, "a size such as 50MB (B, KB, MB, GB, TB)", out, w);
}

bool
conf_value_duration(const char *text, int64_t *out, struct conf_why *w)
{
	return with_units(text, duration_units, 5, "a time such as 5m (ms, s, m, h, d)", out, w);
}

bool
conf_value_percent(const char *text, int64_t *out, struct conf_why *w)
{
	const char *p = text;
	int64_t n, unit = 10000;

	if (!digits(&p, &n) || __builtin_mul_overflow(n, unit, &n)) {
		why_no_number(text, "a percentage such as 5% or 0.1%", w);
		return false;
	}
	if (*p == '.' && p[1] >= '0' && p[1] <= '9')
		for (p++; *p >= '0' && *p <= '9' && unit > 1; p++) {
			unit /= 10;
			n += (*p - '0') * unit;
		}
	if (*p != '%' || p[1] != '\0') {
		WHY(w, "\"%.60s\" is no percentage; write 5%% or 0.1%%", text);
		return false;
	}
	*out = n;
	return true;
}

bool
conf_value_day(const char *text, int32_t *out, struct conf_why *w)
{
	struct tm tm = {0};
	char again[32];
	const char *end = strptime(text, "%Y-%m-%d", &tm);
	time_t at = timegm(&tm);

	/* strptime() takes blanks, short numbers and the 31st of February: what it read must look the same
	 * again. */
	if (end == NULL || strftime(again, sizeof(again), "%Y-%m-%d", &tm) == 0 ||
		strncmp(text, again, 11) != 0 || at < 86400) {
		WHY(w, "\"%.60s\" is no day; write 2026-11-01", text);
		return false;
	}
	*out = (int32_t)(at / 86400);
	return true;
}

typedef bool number_parser(const char *, int64_t *, struct conf_why *);

/* What stands before the "/" of a rate, and what is said when it cannot. */
static const struct rate_kind {
	number_parser *parse;
	int64_t most;
	const char *most_text, *example, *zero;
} rate_kinds[] = {
	[CONF_TYPE_RATE] = {conf_value_count, INT64_C(1000000000), "1000000000",
		"100/s or 300/10m (s, m, h, d)", "would accept nothing; leave the line out for no limit"},
	[CONF_TYPE_RATES] = {conf_value_count, INT64_C(1000000000), "1000000000",
		"100/s or 300/10m (s, m, h, d)",
		"would never send; to stop use `mtactl pause`, for no limit write {}"},
	[CONF_TYPE_BYTE_RATES] = {conf_value_bytes, INT64_C(1000000000000000), "909TB",
		"10MB/s or 500GB/d (B, KB, MB, GB, TB; s, m, h, d)",
		"would never send; to stop use `mtactl pause`, for no limit write {}"},
};

/* "s" is one second, "10m" are ten minutes. */
static bool
rate_window(const char *text, int64_t *out_us)
{
	const struct unit *u = unit_at(duration_units, 5, text);
	struct conf_why none;

	if (u == NULL || text[strnlen(u->word, 4)] != '\0')
		return conf_value_duration(text, out_us, &none);
	*out_us = u->factor;
	return true;
}

bool
conf_value_rate(enum conf_type type, const char *text, struct conf_rate *out, struct conf_why *w)
{
	const struct rate_kind *k = &rate_kinds[type];
	size_t len = strcspn(text, "/");
	const char *window = text[len] == '/' ? text + len + 1 : "";
	bool is_zero = strncmp(text, "0", 2) == 0, has_window = window[0] != '\0';
	int64_t count = 0, per_us = 0;
	char number[64];

	snprintf(number, sizeof(number), "%.*s", (int)(len < 64 ? len : 63), text);
	if (has_window && !k->parse(number, &count, w))
		return false;
	if (is_zero || (has_window && count == 0))
		WHY(w, "\"%.60s\" %s", text, k->zero);
	else if (has_window && window[strspn(window, "0123456789")] == '\0')
		WHY(w, "\"%.60s\": the window has no unit; write %s", text, k->example);
	else if (!has_window || !rate_window(window, &per_us))
		WHY(w, "\"%.60s\" is no rate; write %s", text, k->example);
	else if (count > k->most)
		WHY(w, "\"%.60s\" is too large; at most %s", text, k->most_text);
	else if (per_us < RATE_WINDOW_MIN_US || per_us > RATE_WINDOW_MAX_US)
		WHY(w, "\"%.60s\": a window is from 1s to 31d", text);
	else {
		*out = (struct conf_rate){count, per_us};
		return true;
	}
	return false;
}

static void
map_v4(struct in6_addr *out, const struct in_addr *v4)
{
	memset(out, 0, sizeof(*out));
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	memcpy(out->s6_addr + 12, v4, 4);
}

static bool
host_bits_zero(const struct conf_network *n)
{
	for (int bit = n->prefix; bit < 128; bit++)
		if ((n->address.s6_addr[bit / 8] >> (7 - bit % 8)) & 1)
			return false;
	return true;
}

bool
conf_value_network(const char *text, struct conf_network *out, struct conf_why *w)
{
	const char *slash = memchr(text, '/', strnlen(text, 64));
	size_t len = slash != NULL ? (size_t)(slash - text) : strnlen(text, 64);
	char address[64];
	struct conf_network n = {.prefix = 128};
	struct in_addr v4;
	int64_t prefix;
	int widest;

	if (len >= sizeof(address)) {
		WHY(w, "\"%.60s\" is no address or network; write 10.0.0.0/8 or 2001:db8::/32", text);
		return false;
	}
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &v4) == 1) {
		map_v4(&n.address, &v4);
		widest = 32;
	} else if (inet_pton(AF_INET6, address, &n.address) == 1) {
		widest = 128;
	} else {
		WHY(w, "\"%.60s\" is no address or network; write 10.0.0.0/8 or 2001:db8::/32", text);
		return false;
	}
	if (slash != NULL) {
		const char *p = slash + 1;

		if (!digits(&p, &prefix) || *p != '\0' || prefix > widest) {
			WHY(w, "\"%.60s\": the part behind / is a number from 0 to %d", text, widest);
			return false;
		}
		n.prefix = (int)prefix + 128 - widest;
	}
	if (!host_bits_zero(&n)) {
		WHY(w,
			"\"%.60s\" is an address inside its network; write the network's first address, or "
			"/%d",
			text, widest);
		return false;
	}
	*out = n;
	return true;
}

static int
unix_endpoint(const char *text, struct conf_endpoint *out, struct conf_why *w)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->address;
	size_t len = strnlen(text, sizeof(un->sun_path));

	if (len >= sizeof(un->sun_path)) {
		WHY(w, "\"%.60s...\" is too long for a socket; at most %zu bytes", text,
			sizeof(un->sun_path) - 1);
		return 0;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, text, len + 1);
	out->family = AF_UNIX;
	out->address_len = sizeof(*un);
	return 1;
}

static void
ip_endpoint(struct conf_endpoint *out, int family, const void *address, uint16_t port)
{
	out->family = family;
	if (family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;

		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&v4->sin_addr, address, sizeof(v4->sin_addr));
		out->address_len = sizeof(*v4);
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;

		*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&v6->sin6_addr, address, sizeof(v6->sin6_addr));
		out->address_len = sizeof(*v6);
	}
}

int
conf_value_endpoint(const char *text, struct conf_endpoint out[2], struct conf_why *w)
{
	static const char form[] = "write 127.0.0.1:587, [::1]:587, *:587 or a path";
	const char *colon = strrchr(text, ':'), *p;
	char host[64];
	size_t len = colon != NULL ? (size_t)(colon - text) : 0;
	int64_t port;
	struct in6_addr address;

	memset(out, 0, 2 * sizeof(out[0]));
	out[0].text = out[1].text = text;
	if (text[0] == '/')
		return unix_endpoint(text, &out[0], w);
	p = colon != NULL ? colon + 1 : text;
	if (colon == NULL || len == 0 || len >= sizeof(host) || !digits(&p, &port) || *p != '\0') {
		WHY(w, "\"%.60s\" is no address with a port; %s", text, form);
		return 0;
	}
	if (port < 1 || port > 65535) {
		WHY(w, "\"%.60s\": a port is a number from 1 to 65535", text);
		return 0;
	}
	memcpy(host, text, len);
	host[len] = '\0';
	if (len == 1 && host[0] == '*') {
		ip_endpoint(&out[0], AF_INET, &(struct in_addr){INADDR_ANY}, (uint16_t)port);
		ip_endpoint(&out[1], AF_INET6, &in6addr_any, (uint16_t)port);
		return 2;
	}
	if (inet_pton(AF_INET, host, &address) == 1) {
		ip_endpoint(&out[0], AF_INET, &address, (uint16_t)port);
		return 1;
	}
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &address) == 1) {
			ip_endpoint(&out[0], AF_INET6, &address, (uint16_t)port);
			return 1;
		}
	}
	WHY(w, "\"%.60s\" is no address with a port; %s", text, form);
	return 0;
}

/* --- rows --- */

static number_parser *
parser_of(enum conf_type type)
{
	return type == CONF_TYPE_COUNT     ? conf_value_count
	       : type == CONF_TYPE_BYTES   ? conf_value_bytes
	       : type == CONF_TYPE_PERCENT ? conf_value_percent
					   : conf_value_duration;
}

static bool
ranged_number(const struct conf_row *row, const char *text, int64_t *out, struct conf_why *w)
{
	number_parser *parse = parser_of(row->type);
	int64_t n, min = 0, max = INT64_MAX;
	struct conf_why none;

	if (!parse(text, &n, w))
		return false;
	if (row->min[0] != '\0' && !parse(row->min, &min, &none))
		assert(!"range in conf.def");
	if (row->max[0] != '\0' && !parse(row->max, &max, &none))
		assert(!"range in conf.def");
	if (n < min || n > max) {
		WHY(w, "\"%.60s\" is out of range: from %s to %s", text, row->min, row->max);
		return false;
	}
	*out = n;
	return true;
}

static bool
store_bool(const char *text, bool *out, struct conf_why *w)
{
	if (strncmp(text, "yes", 4) != 0 && strncmp(text, "no", 3) != 0) {
		WHY(w, "\"%.60s\": write yes or no", text);
		return false;
	}
	*out = text[0] == 'y';
	return true;
}

/* Word n of "a|b|c" as a slice; NULL behind the last. */
static const char *
choice_word(const char *words, int n, size_t *out_len)
{
	for (; n > 0; n--) {
		words = strchr(words, '|');
		if (words == NULL)
			return NULL;
		words++;
	}
	*out_len = strcspn(words, "|");
	return words;
}

static bool
store_choice(const struct conf_row *row, const char *text, int *out, struct conf_why *w)
{
	size_t len, text_len = strnlen(text, 64);
	const char *word;

	for (int n = 0; (word = choice_word(row->min, n, &len)) != NULL; n++) {
		if (len == text_len && memcmp(word, text, len) == 0) {
			*out = n;
			return true;
		}
	}
	WHY(w, "\"%.60s\": write one of %s", text, row->min);
	for (char *p = strrchr(w->text, ':'); p != NULL && *p != '\0'; p++)
		if (*p == '|')
			*p = '/';
	return false;
}

static bool
store_path(const struct conf_value_env *env, const struct conf_row *row, const char *text, const char **out,
	struct conf_why *w)
{
	bool may_be_none = strncmp(row->field, "accounting_", 11) == 0,
	     is_none = strncmp(text, "none", 5) == 0;

	if (text[0] == '\0') {
		WHY(w, "an empty path; leave the line out, or write none where that is offered");
		return false;
	}
	if (strnlen(text, 4096) + strnlen(env->folder, 4096) >= 4095) {
		WHY(w, "the path is longer than 4095 bytes");
		return false;
	}
	if (is_none && !may_be_none) {
		WHY(w, "none is not offered here; write a path (a file of that name: ./none)");
		return false;
	}
	if (text[0] == '/' || is_none)
		*out = conf_arena_text(env->arena, text, strnlen(text, 4096));
	else
		*out = conf_arena_printf(env->arena, "%s/%s", env->folder, text);
	return true;
}

/* NULL: not understood. */
static const int64_t *
store_numbers(const struct conf_value_env *env, const struct conf_row *row, const char *const *items,
	size_t count, struct conf_why *w)
{
	struct conf_row one = *row;
	int64_t *numbers = conf_arena_alloc(env->arena, count * sizeof(*numbers));

	if (count == 0 || count > 100) {
		WHY(w, "give from 1 to 100 %s",
			row->type == CONF_TYPE_COUNTS ? "numbers: { 200, 500, 1000 }" : "times: { 5m, 1h }");
		return NULL;
	}
	one.type = row->type == CONF_TYPE_COUNTS ? CONF_TYPE_COUNT : CONF_TYPE_DURATION;
	for (size_t i = 0; i < count; i++)
		if (!ranged_number(&one, items[i], &numbers[i], w))
			return NULL;
	return numbers;
}

static bool
store_durations(const struct conf_value_env *env, const struct conf_row *row, const char *const *items,
	size_t count, struct conf_durations *out, struct conf_why *w)
{
	const int64_t *us = store_numbers(env, row, items, count, w);

	if (us != NULL)
		*out = (struct conf_durations){us, count};
	return us != NULL;
}

static bool
store_counts(const struct conf_value_env *env, const struct conf_row *row, const char *const *items,
	size_t count, struct conf_counts *out, struct conf_why *w)
{
	const int64_t *numbers = store_numbers(env, row, items, count, w);

	if (numbers != NULL)
		*out = (struct conf_counts){numbers, count};
	return numbers != NULL;
}

static bool
store_rates(const struct conf_value_env *env, const struct conf_row *row, const char *const *items,
	size_t count, struct conf_rates *out, struct conf_why *w)
{
	struct conf_rate *rates = conf_arena_alloc(env->arena, count * sizeof(*rates)), r;

	if (count == 1 && row->min != NULL && row->min[0] != '\0' && strncmp(items[0], row->min, 16) == 0)
		count = 0;
	if (count > CONF_RATES_MAX) {
		WHY(w, "%zu rates; at most %d are possible", count, CONF_RATES_MAX);
		return false;
	}
	for (size_t i = 0, at; i < count; i++) {
		if (!conf_value_rate(row->type, items[i], &r, w))
			return false;
		for (at = i; at > 0 && rates[at - 1].per_us > r.per_us; at--)
			rates[at] = rates[at - 1];
		rates[at] = r;
		if (at > 0 && rates[at - 1].per_us == r.per_us) {
			WHY(w, "\"%.60s\" is a second rate for one window; keep the smaller", items[i]);
			return false;
		}
	}
	*out = (struct conf_rates){rates, count};
	return true;
}

static void
store_list(const struct conf_value_env *env, const char *const *items, size_t count, struct conf_list *out)
{
	const char **copy = conf_arena_alloc(env->arena, count * sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = conf_arena_text(env->arena, items[i], strnlen(items[i], TEXT_MAX));
	*out = (struct conf_list){copy, count};
}

static bool
store_scalar(const struct conf_value_env *env, const struct conf_row *row, const char *text, void *field,
	struct conf_why *w)
{
	switch (row->type) {
	case CONF_TYPE_BOOL:
		return store_bool(text, field, w);
	case CONF_TYPE_COUNT:
	case CONF_TYPE_BYTES:
	case CONF_TYPE_DURATION:
	case CONF_TYPE_PERCENT:
		return ranged_number(row, text, field, w);
	case CONF_TYPE_RATE:
		return conf_value_rate(row->type, text, field, w);
	case CONF_TYPE_CHOICE:
		return store_choice(row, text, field, w);
	case CONF_TYPE_PATH:
		return store_path(env, row, text, field, w);
	default:
		assert(row->type == CONF_TYPE_TEXT);
		*(const char **)field = conf_arena_text(env->arena, text, strnlen(text, TEXT_MAX));
		return true;
	}
}

bool
conf_value_store(const struct conf_value_env *env, const struct conf_row *row, const char *const *items,
	size_t count, void *field, struct conf_why *w)
{
	if (row->type == CONF_TYPE_LIST) {
		for (size_t i = 0; i < count; i++) {
			if (items[i][0] == '\0') {
				WHY(w, "the list has an empty word");
				return false;
			}
		}
		store_list(env, items, count, field);
		return true;
	}
	if (row->type == CONF_TYPE_DURATIONS)
		return store_durations(env, row, items, count, field, w);
	if (row->type == CONF_TYPE_RATES || row->type == CONF_TYPE_BYTE_RATES)
		return store_rates(env, row, items, count, field, w);
	if (row->type == CONF_TYPE_COUNTS)
		return store_counts(env, row, items, count, field, w);
	if (count != 1) {
		WHY(w, "takes one value, not a list");
		return false;
	}
	return store_scalar(env, row, items[0], field, w);
}

/* "a, b" of a default into its words, in place. */
static size_t
split_default(char *text, const char **items, size_t items_max)
{
	size_t count = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		bool is_last = text[len] == '\0';

		assert(count < items_max);
		items[count++] = text;
		text[len] = '\0';
		text += len + (is_last ? 0 : 1);
		text += strspn(text, " ");
	}
	return count;
}

void
conf_value_store_default(const struct conf_value_env *env, const struct conf_row *row, void *field)
{
	const char *items[32];
	char text[256];
	size_t count = 1;
	struct conf_why w;

	snprintf(text, sizeof(text), "%s", row->fallback);
	items[0] = text;
	if (conf_type_is_list(row->type) && (row->type != CONF_TYPE_COUNTS || text[0] != '\0')) {
		count = split_default(text, items, 32);
	} else if (text[0] == '\0') {
		/* Not set: the zeroed struct says it for numbers and rates. */
		if (row->type == CONF_TYPE_TEXT || row->type == CONF_TYPE_PATH)
			*(const char **)field = "";
		else if (row->type == CONF_TYPE_CHOICE)
			*(int *)field = -1;
		return;
	}
	if (!conf_value_store(env, row, items, count, field, &w))
		assert(!"default in conf.def");
}

/* --- and back --- */

static const char *
print_percent(struct conf_arena *a, int64_t ppm)
{
	int width = 4;
	int64_t rest = ppm % 10000;

	if (rest == 0)
		return conf_arena_printf(a, "%" PRId64 "%%", ppm / 10000);
	for (; rest % 10 == 0; rest /= 10)
		width--;
	return conf_arena_printf(a, "%" PRId64 ".%0*" PRId64 "%%", ppm / 10000, width, rest);
}

/* The largest unit that leaves no remainder. */
static const char *
print_units(struct conf_arena *a, int64_t n, const struct unit *units, size_t count)
{
	if (n == 0)
		return units[1].factor == 1000000 ? "0s" : "0";
	for (size_t i = count; i > 0; i--)
		if (n % units[i - 1].factor == 0)
			return conf_arena_printf(
				a, "%" PRId64 "%s", n / units[i - 1].factor, units[i - 1].word);
	return conf_arena_printf(a, "%" PRId64 "us", n);
}

static const char *
print_number(struct conf_arena *a, int64_t n)
{
	return conf_arena_printf(a, "%" PRId64, n);
}

/* "5m, 1h" or "200, 500" */
static const char *
print_numbers(struct conf_arena *a, const int64_t *numbers, size_t count, bool are_times)
{
	const char *text = "";

	for (size_t i = 0; i < count; i++)
		text = conf_arena_printf(a, "%s%s%s", text, i > 0 ? ", " : "",
			are_times ? print_units(a, numbers[i], duration_units, 5)
				  : print_number(a, numbers[i]));
	return text;
}

/* "100/s, 300/10m" */
static const char *
print_rates(struct conf_arena *a, const struct conf_rate *rates, size_t count, bool is_bytes)
{
	const char *text = "";

	for (size_t i = 0; i < count; i++) {
		const char *window = print_units(a, rates[i].per_us, duration_units, 5);
		const char *number = is_bytes ? print_units(a, rates[i].count, byte_units, 5)
					      : print_number(a, rates[i].count);
		bool is_one = window[0] == '1' && (window[1] < '0' || window[1] > '9');

		text = conf_arena_printf(
			a, "%s%s%s/%s", text, i > 0 ? ", " : "", number, window + (is_one ? 1 : 0));
	}
	return text;
}

static const char *
print_list(struct conf_arena *a, const struct conf_list *l)
{
	const char *text = "";

	/* A list of thousands is not printed whole; its end is what tells two of them apart least. */
	for (size_t i = 0; i < l->count && i < 20; i++)
		text = conf_arena_printf(a, "%s%s%s", text, i > 0 ? ", " : "", l->items[i]);
	if (l->count > 20)
		text = conf_arena_printf(a, "%s, ... (%zu)", text, l->count);
	return text;
}

const char *
conf_value_print(struct conf_arena *a, const struct conf_row *row, const void *field)
{
	const struct conf_rate *rate = field;
	const struct conf_rates *rates = field;
	const struct conf_durations *d = field;
	const struct conf_counts *c = field;
	const char *text = "";
	size_t len = 0;

	switch (row->type) {
	case CONF_TYPE_BOOL:
		return *(const bool *)field ? "yes" : "no";
	case CONF_TYPE_COUNT:
		return print_number(a, *(const int64_t *)field);
	case CONF_TYPE_BYTES:
		return print_units(a, *(const int64_t *)field, byte_units, 5);
	case CONF_TYPE_DURATION:
		return print_units(a, *(const int64_t *)field, duration_units, 5);
	case CONF_TYPE_RATE:
		return print_rates(a, rate, rate->count > 0 ? 1 : 0, false);
	case CONF_TYPE_RATES:
	case CONF_TYPE_BYTE_RATES:
		if (rates->count == 0)
			return row->min != NULL ? row->min : "";
		return print_rates(a, rates->items, rates->count, row->type == CONF_TYPE_BYTE_RATES);
	case CONF_TYPE_LIST:
		return print_list(a, field);
	case CONF_TYPE_DURATIONS:
		return print_numbers(a, d->us, d->count, true);
	case CONF_TYPE_COUNTS:
		return print_numbers(a, c->items, c->count, false);
	case CONF_TYPE_PERCENT:
		return row->fallback[0] == '\0' && *(const int64_t *)field == 0
			       ? ""
			       : print_percent(a, *(const int64_t *)field);
	case CONF_TYPE_CHOICE:
		if (*(const int *)field < 0)
			return "";
		text = choice_word(row->min, *(const int *)field, &len);
		return conf_arena_text(a, text, len);
	default:
		return *(const char *const *)field;
	}
}
