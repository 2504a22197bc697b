/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quiet-hours: "[DAYS] HH:MM-HH:MM ZONE" into windows, and the zones they name, each read once.
 *
 * Invariant: a block that sets quiet-hours has `hours`, also when there is an error in them.
 */
#include "conf/conf_check.h"

#include "base/zone.h"

#include <string.h>

enum { WINDOWS_MAX = 32, ZONE_NAME_MAX = 64 };
#define FORM      "write 22:00-07:00 Europe/Berlin or Sat,Sun 00:00-24:00 UTC"
#define SOME_TIME (INT64_C(1767571200) * 1000000) /* a Monday in 2026: a week is as good as another */

struct known_zone {
	struct known_zone *next;
	const char *name;
	struct queue_hours_zone zone;
};
struct hours {
	struct conf_loader *l;
	struct known_zone *zones;
	struct queue_hours_change changes[ZONE_CHANGES_MAX];
};

/* --- words --- */

/* Mon..Sun at *p: 0..6, -1: none. */
static int
day(const char **p)
{
	static const char *const names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

	for (int i = 0; i < 7; i++) {
		if (strncasecmp(*p, names[i], 3) == 0) {
			*p += 3;
			return i;
		}
	}
	return -1;
}

/* "Sat,Sun ", "Mon-Fri " (also over the end of the week), or nothing for every day. */
static bool
days(const char **p, uint8_t *out)
{
	uint8_t mask = 0;

	if (**p >= '0' && **p <= '9') {
		*out = QUEUE_HOURS_EVERY_DAY;
		return true;
	}
	do {
		int first = day(p), last = first;

		if (**p == '-') {
			++*p;
			last = day(p);
		}
		if (first < 0 || last < 0)
			return false;
		for (int d = first; d != last; d = (d + 1) % 7)
			mask |= (uint8_t)(1 << d);
		mask |= (uint8_t)(1 << last);
	} while (*(*p)++ == ',');
	*out = mask;
	return (*p)[-1] == ' ';
}

static bool
two_digits(const char **p, int max, int *out)
{
	const char *q = *p;

	if (q[0] < '0' || q[0] > '9' || q[1] < '0' || q[1] > '9')
		return false;
	*out = (q[0] - '0') * 10 + q[1] - '0';
	*p = q + 2;
	return *out <= max;
}

/* HH:MM in minutes; 24:00 where it may be. */
static bool
time_of_day(const char **p, int minutes_max, uint16_t *out)
{
	int hour, minute;

	if (!two_digits(p, 24, &hour) || *(*p)++ != ':' || !two_digits(p, 59, &minute))
		return false;
	*out = (uint16_t)(hour * 60 + minute);
	return *out <= minutes_max;
}

/* Without its zone, which *out_zone then is; NULL: reported. */
static bool
parse_window(struct conf_report *r, struct conf_place at, const char *text, struct queue_hours_window *out,
	const char **out_zone)
{
	const char *p = text;

	if (!days(&p, &out->days) || !time_of_day(&p, QUEUE_HOURS_DAY_MIN - 1, &out->from_min) ||
		*p++ != '-' || !time_of_day(&p, QUEUE_HOURS_DAY_MIN, &out->to_min) ||
		(*p != ' ' && *p != '\0') || (*p == ' ' && strchr(p + 1, ' ') != NULL)) {
		conf_error(r, at, "\"%.60s\" is no time of the week; " FORM, text);
		return false;
	}
	if (p[0] == '\0' || p[1] == '\0') {
		conf_error(r, at, "\"%.60s\" has no time zone; " FORM, text);
		return false;
	}
	if (out->from_min == out->to_min % QUEUE_HOURS_DAY_MIN && out->to_min != QUEUE_HOURS_DAY_MIN) {
		conf_error(r, at, "\"%.60s\" is empty; all day is 00:00-24:00", text);
		return false;
	}
	if (out->to_min == 0)
		out->to_min = QUEUE_HOURS_DAY_MIN;
	*out_zone = p + 1;
	return true;
}

/* --- zones --- */

/* The word nearest to it in the system's list of zones; "" for none near. */
static const char *
nearest_zone(struct conf_loader *l, const char *name)
{
	FILE *list = fopen("/usr/share/zoneinfo/tzdata.zi", "re");
	const char *best = "";
	char line[256], word[ZONE_NAME_MAX];
	int distance = 3;

	/* "Z Europe/Berlin 0:53:28 ..." a zone, "L Europe/Berlin Arctic/Longyearbyen" another name of one. */
	while (list != NULL && fgets(line, sizeof(line), list) != NULL) {
		if (sscanf(line, "Z %63s", word) != 1 && sscanf(line, "L %*s %63s", word) != 1)
			continue;
		if (conf_word_distance(name, word) < distance) {
			distance = conf_word_distance(name, word);
			best = conf_arena_text(&l->scratch, word, strnlen(word, sizeof(word)));
		}
	}
	if (list != NULL)
		fclose(list);
	return best;
}

static const struct queue_hours_zone *
zone_of(struct hours *h, struct conf_place at, const char *name)
{
	struct conf_arena *a = &h->l->owner->arena;
	struct queue_hours_change *changes;
	struct known_zone *z;
	const char *near;
	int count;

	for (z = h->zones; z != NULL; z = z->next)
		if (strncmp(z->name, name, ZONE_NAME_MAX) == 0)
			return &z->zone;
	count = zone_read(name, h->changes);
	if (count == ZONE_EDAMAGED) {
		conf_error(&h->l->report, at, "/usr/share/zoneinfo/%.60s is no file of a time zone", name);
		return NULL;
	}
	if (count < 0) {
		near = nearest_zone(h->l, name);
		conf_error(&h->l->report, at,
			near[0] != '\0' ? "there is no time zone \"%.60s\"; did you mean \"%s\"?"
					: "there is no time zone \"%.60s\"; tzdata has them in "
					  "/usr/share/zoneinfo%s",
			name, near);
		return NULL;
	}
	z = conf_arena_alloc(a, sizeof(*z));
	changes = conf_arena_alloc(a, (size_t)count * sizeof(*changes));
	memcpy(changes, h->changes, (size_t)count * sizeof(*changes));
	*z = (struct known_zone){h->zones, name, {changes, (uint32_t)count}};
	h->zones = z;
	return &z->zone;
}

/* --- blocks --- */

static void
check_block(struct hours *h, int kind, size_t n, struct conf_delivery *d)
{
	const int row = conf_kind_row_find(&conf_kinds[CONF_KIND_DOMAIN], "quiet-hours");
	struct conf_place at = conf_place_of(h->l, kind, n, "quiet-hours");
	struct queue_hours *hours;
	struct queue_hours_window *windows;
	int64_t until_us;

	if ((d->is_set >> row & 1) == 0)
		return;
	d->hours = hours = conf_arena_alloc(&h->l->owner->arena, sizeof(*hours));
	if (d->quiet_hours.count > WINDOWS_MAX) {
		conf_error(&h->l->report, at, "quiet-hours has more than %d windows", WINDOWS_MAX);
		return;
	}
	hours->windows = windows =
		conf_arena_alloc(&h->l->owner->arena, d->quiet_hours.count * sizeof(*windows));
	for (size_t i = 0; i < d->quiet_hours.count; i++) {
		struct queue_hours_window *w = &windows[hours->count];
		const char *zone;

		if (parse_window(&h->l->report, at, d->quiet_hours.items[i], w, &zone) &&
			(w->zone = zone_of(h, at, zone)) != NULL)
			hours->count++;
	}
	if (queue_hours_quiet(hours, SOME_TIME, &until_us) &&
		until_us - SOME_TIME == QUEUE_HOURS_AHEAD_DAYS * INT64_C(86400) * 1000000)
		conf_error(&h->l->report, at, "with these quiet-hours there is no time left to send");
}

void
conf_check_hours(struct conf_loader *l)
{
	static const struct queue_hours none;
	struct conf *c = l->conf;
	struct hours h = {.l = l};

	c->delivery.hours = &none;
	for (size_t n = 0; n < c->domain_count; n++) {
		struct conf_domain *d = &c->domains[n];

		check_block(&h, CONF_KIND_DOMAIN, n, &d->delivery);
		/* Everything starts from this one. */
		if (d->delivery.hours == NULL && strncmp(d->name, "*", 2) == 0)
			d->delivery.hours = &none;
	}
	for (size_t n = 0; n < c->provider_count; n++)
		check_block(&h, CONF_KIND_PROVIDER, n, &c->providers[n].delivery);
}
