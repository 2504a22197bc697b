/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is set by hand for a time. The words, the ranges and the errors are those of the configuration: a
 * setting is looked up among the rows of the block that limits the same thing, and its value goes through
 * the same parser. A note keeps the words and not what they mean, so that it is read by the rules of the
 * program that reads it.
 *
 * Invariants: a set never has two overrides of the same setting of the same thing; next_us is the least
 * until_us.
 */
#include "shape/override.h"

#include "conf/conf_report.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY(w, ...) snprintf((w)->text, sizeof((w)->text), __VA_ARGS__)
enum { ITEMS_MAX = CONF_RATES_MAX + 1 };
#define LEVELS (QUEUE_LEVEL_ALL + 1)

/* Where the configuration says the same: the block, and what stands around the word there. */
static const struct {
	const char *word;
	enum conf_kind kind;
	const char *before, *behind;
} levels[LEVELS] = {
	[QUEUE_LEVEL_LANE] = {"lane", CONF_KIND_DOMAIN, "", ""},
	[QUEUE_LEVEL_SITE] = {"site", CONF_KIND_DOMAIN, "site-", ""},
	[QUEUE_LEVEL_SOURCE] = {"source", CONF_KIND_SOURCE, "", ""},
	[QUEUE_LEVEL_POOL] = {"pool", CONF_KIND_POOL, "", ""},
	[QUEUE_LEVEL_STREAM] = {"stream", CONF_KIND_STREAM, "", ""},
	[QUEUE_LEVEL_USER] = {"user", CONF_KIND_USER, "", ""},
	[QUEUE_LEVEL_ALL] = {"all", CONF_KIND_TOP, "", "-total"},
};
#define ALL_LEVELS ((1U << LEVELS) - 1)
#define B(level)   (1U << (level))

/* A connection carries mail of many users and streams: a limit of new ones is none of theirs. How many
 * recipients go in one transaction is decided before the lane is. */
static const struct {
	const char *word;
	unsigned levels;
} settings[OVERRIDE_SETTINGS] = {
	[OVERRIDE_CONNECTIONS] = {"connections", ALL_LEVELS},
	[OVERRIDE_CONNECT_RATE] = {"connect-rate",
		ALL_LEVELS & ~(B(QUEUE_LEVEL_STREAM) | B(QUEUE_LEVEL_USER))},
	[OVERRIDE_RATE] = {"rate", ALL_LEVELS},
	[OVERRIDE_RECIPIENT_RATE] = {"recipient-rate", ALL_LEVELS},
	[OVERRIDE_BYTE_RATE] = {"byte-rate", ALL_LEVELS},
	[OVERRIDE_MESSAGES_PER_CONNECTION] = {"messages-per-connection",
		B(QUEUE_LEVEL_LANE) | B(QUEUE_LEVEL_SITE)},
	[OVERRIDE_RECIPIENTS_PER_TRANSACTION] = {"recipients-per-transaction", B(QUEUE_LEVEL_SITE)},
};

/* --- words --- */

const char *
override_level_word(enum queue_level level)
{
	assert(level <= QUEUE_LEVEL_ALL);
	return levels[level].word;
}

const char *
override_setting_word(enum override_setting s)
{
	assert(s < OVERRIDE_SETTINGS);
	return settings[s].word;
}

enum override_setting
override_setting_of(enum queue_unit unit, bool is_rate)
{
	return is_rate ? (enum override_setting)(OVERRIDE_CONNECT_RATE + (int)unit) : OVERRIDE_CONNECTIONS;
}

enum queue_level
override_level(const char *word, struct conf_why *w)
{
	struct conf_nearest nearest = {.distance = 9};

	for (int i = 0; i < (int)LEVELS; i++) {
		if (strcmp(levels[i].word, word) == 0)
			return (enum queue_level)i;
		conf_nearest_consider(&nearest, word, levels[i].word);
	}
	if (nearest.distance < 9)
		WHY(w, "there is no level \"%.60s\"; did you mean \"%s\"?", word, nearest.word);
	else
		WHY(w, "there is no level \"%.60s\": lane, site, source, pool, stream, user or all", word);
	return QUEUE_LEVEL_COUNT;
}

/* "connections, rate, byte-rate" of a level. */
static void
settings_of(enum queue_level level, char *buf, size_t max)
{
	size_t len = 0;

	for (int i = 0; i < OVERRIDE_SETTINGS; i++)
		if ((settings[i].levels & B(level)) != 0 && len < max)
			len += (size_t)snprintf(
				buf + len, max - len, "%s%s", len > 0 ? ", " : "", settings[i].word);
}

enum override_setting
override_setting(enum queue_level level, const char *word, struct conf_why *w)
{
	struct conf_nearest nearest = {.distance = 9};
	char known[200];

	assert(level <= QUEUE_LEVEL_ALL);
	for (int i = 0; i < OVERRIDE_SETTINGS; i++) {
		if ((settings[i].levels & B(level)) == 0)
			continue;
		if (strcmp(settings[i].word, word) == 0)
			return (enum override_setting)i;
		conf_nearest_consider(&nearest, word, settings[i].word);
	}
	settings_of(level, known, sizeof(known));
	if (nearest.distance < 9)
		WHY(w, "unknown setting \"%.60s\" at level %s; did you mean \"%s\"?", word,
			levels[level].word, nearest.word);
	else
		WHY(w, "unknown setting \"%.60s\" at level %s; there are %s", word, levels[level].word,
			known);
	return OVERRIDE_SETTINGS;
}

/* The row of the configuration that says the same. */
static const struct conf_row *
row_of(enum queue_level level, enum override_setting setting)
{
	const struct conf_block_kind *k = &conf_kinds[levels[level].kind];
	char name[CONF_ROW_NAME_MAX];
	int n;

	snprintf(name, sizeof(name), "%s%s%s", levels[level].before, settings[setting].word,
		levels[level].behind);
	if ((n = conf_kind_row_find(k, name)) < 0) /* of a site without its word: what goes for its lanes */
		n = conf_kind_row_find(k, settings[setting].word);
	assert(n >= 0);
	return conf_kind_row(k, (size_t)n);
}

static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return true;
	return false;
}

bool
override_take_name(struct override *o, const char *source, const char *name, struct conf_why *w)
{
	const char *word = override_level_word(o->level);
	/* Whatever the setting: the longest word of one. */
	size_t room = OVERRIDE_NOTE_MAX - sizeof(OVERRIDE_NOTES "stream/recipients-per-transaction/");
	size_t name_len = strnlen(name, OVERRIDE_NOTE_MAX), source_len = strnlen(source, QUEUE_NAME_MAX);

	if (o->level == QUEUE_LEVEL_ALL && name_len > 0)
		WHY(w, "all has no name; \"%.60s\" is no setting=value", name);
	else if (o->level == QUEUE_LEVEL_LANE && (source_len == 0 || name_len == 0))
		WHY(w, "a lane has two names, source and site: lane ip-a google; * is every source");
	else if (o->level != QUEUE_LEVEL_ALL && name_len == 0)
		WHY(w, "which %s? A name is needed", word);
	else if (name_len + source_len + 1 > room || source_len >= QUEUE_NAME_MAX)
		WHY(w, "%s: names of more than %zu bytes cannot be kept", word, room - 1);
	else if (has_control(name) || has_control(source) || strchr(source, ' ') != NULL)
		WHY(w, "%s: no name has blanks or control characters", word);
	else {
		memmove(o->name, name, name_len + 1); /* either may be its own already */
		memmove(o->source, source, source_len + 1);
		return true;
	}
	return false;
}

/* "a,b" and "{ a, b }" into words, in place; too many: ITEMS_MAX of them, which is an error further on. */
static size_t
split(char *text, const char *items[ITEMS_MAX])
{
	size_t count = 0, len;
	char *end = text + strnlen(text, OVERRIDE_VALUE_MAX);

	if (text[0] == '{' && end[-1] == '}') {
		end[-1] = '\0';
		text++;
	}
	for (text += strspn(text, " ,"); *text != '\0' && count < ITEMS_MAX; text += strspn(text, " ,")) {
		len = strcspn(text, " ,");
		items[count++] = text;
		text += len;
		if (*text != '\0')
			*text++ = '\0';
	}
	return count;
}

static bool
take_rates(struct override *o, const struct conf_row *row, char *text, struct conf_why *w)
{
	struct conf_arena arena = {0};
	const struct conf_value_env env = {&arena, ""};
	struct conf_rates rates = {0};
	const char *items[ITEMS_MAX];
	size_t count = split(text, items);
	bool ok = conf_value_store(&env, row, items, count, &rates, w);

	assert(!ok || rates.count <= CONF_RATES_MAX);
	o->rate_count = ok ? (uint32_t)rates.count : 0;
	for (size_t i = 0; i < o->rate_count; i++)
		o->rates[i] = (struct queue_rate){rates.items[i].count, rates.items[i].per_us};
	conf_arena_fini(&arena);
	return ok;
}

static bool
take_count(struct override *o, const struct conf_row *row, const char *text, bool is_none, struct conf_why *w)
{
	const struct conf_value_env env = {NULL, ""}; /* a number needs no memory */
	const char *item = is_none ? "0" : text;
	int64_t count = 0;

	assert(row->type == CONF_TYPE_COUNT);
	if (is_none && strcmp(row->min, "0") != 0) {
		WHY(w, "\"%.60s\": there is always a limit here; from %s to %s", text, row->min, row->max);
		return false;
	}
	if (!conf_value_store(&env, row, &item, 1, &count, w))
		return false;
	o->count = (uint32_t)count;
	return true;
}

bool
override_take_value(struct override *o, const char *setting, const char *value, struct conf_why *w)
{
	enum override_setting s = override_setting(o->level, setting, w);
	bool is_none = strcmp(value, "none") == 0, ok;
	char text[OVERRIDE_VALUE_MAX];
	const struct conf_row *row;
	struct conf_why own;

	if (s == OVERRIDE_SETTINGS)
		return false;
	if (value[0] == '\0' || strnlen(value, sizeof(text)) == sizeof(text) || has_control(value)) {
		WHY(w, "%s: write a value, or none for no limit", setting);
		return false;
	}
	o->setting = s;
	row = row_of(o->level, s);
	snprintf(text, sizeof(text), "%s", is_none ? "{}" : value);
	ok = conf_type_is_list(row->type) ? take_rates(o, row, text, &own)
					  : take_count(o, row, value, is_none, &own);
	if (ok)
		snprintf(o->value, sizeof(o->value), "%s", value);
	else
		WHY(w, "%s: %.300s", setting, own.text);
	return ok;
}

/* --- notes: "set/LEVEL/SETTING/NAME", of a lane "SOURCE SITE" -> times, value, who, reason --- */

size_t
override_write_key(const struct override *o, char *key)
{
	int n = snprintf(key, OVERRIDE_NOTE_MAX + 1, OVERRIDE_NOTES "%s/%s/%s%s%s", levels[o->level].word,
		settings[o->setting].word, o->source, o->level == QUEUE_LEVEL_LANE ? " " : "", o->name);

	assert(n > 0 && n <= OVERRIDE_NOTE_MAX);
	return (size_t)n;
}

size_t
override_write_record(const struct override *o, char *record)
{
	const char *const texts[] = {o->value, o->who, o->reason};
	size_t len = 16;

	memcpy(record, &o->made_us, 8);
	memcpy(record + 8, &o->until_us, 8);
	for (size_t i = 0; i < 3; i++) {
		size_t bytes = strnlen(texts[i], OVERRIDE_RECORD_MAX) + 1;

		memcpy(record + len, texts[i], bytes);
		len += bytes;
	}
	assert(len <= OVERRIDE_RECORD_MAX);
	return len;
}

/* The bytes of *in up to `end`, which is eaten as well. False: it is not there, or they do not fit. */
static bool
take_text(struct queue_blob *in, char end, char *out, size_t max)
{
	const char *at = in->len > 0 ? memchr(in->ptr, end, in->len) : NULL;
	size_t len = at != NULL ? (size_t)(at - (const char *)in->ptr) : max;

	if (len >= max)
		return false;
	memcpy(out, in->ptr, len);
	out[len] = '\0';
	*in = (struct queue_blob){at + 1, in->len - len - 1};
	return true;
}

static bool
read_key(struct queue_blob key, struct override *o, char *setting, size_t setting_max)
{
	char word[20], source[QUEUE_NAME_MAX] = "", name[OVERRIDE_NOTE_MAX];
	struct conf_why why;

	if (key.len < sizeof(OVERRIDE_NOTES) - 1)
		return false;
	key.ptr = (const char *)key.ptr + sizeof(OVERRIDE_NOTES) - 1;
	key.len -= sizeof(OVERRIDE_NOTES) - 1;
	if (!take_text(&key, '/', word, sizeof(word)) || !take_text(&key, '/', setting, setting_max) ||
		(o->level = override_level(word, &why)) == QUEUE_LEVEL_COUNT)
		return false;
	if (o->level == QUEUE_LEVEL_LANE && !take_text(&key, ' ', source, sizeof(source)))
		return false;
	if (key.len >= sizeof(name))
		return false;
	memcpy(name, key.ptr, key.len);
	name[key.len] = '\0';
	return override_take_name(o, source, name, &why);
}

bool
override_read(struct queue_blob key, struct queue_blob record, int64_t now_us, struct override *out)
{
	char setting[CONF_ROW_NAME_MAX], value[OVERRIDE_VALUE_MAX];
	struct override o = {.level = QUEUE_LEVEL_COUNT};
	struct conf_why why;

	if (record.len < 16 || !read_key(key, &o, setting, sizeof(setting)))
		return false;
	memcpy(&o.made_us, record.ptr, 8);
	memcpy(&o.until_us, (const char *)record.ptr + 8, 8);
	record = (struct queue_blob){(const char *)record.ptr + 16, record.len - 16};
	if (o.made_us < 0 || o.until_us < o.made_us || !take_text(&record, '\0', value, sizeof(value)) ||
		!take_text(&record, '\0', o.who, sizeof(o.who)) ||
		!take_text(&record, '\0', o.reason, sizeof(o.reason)) ||
		!override_take_value(&o, setting, value, &why))
		return false;
	if (o.made_us > now_us) {
		if (o.until_us != INT64_MAX)
			o.until_us -= o.made_us - now_us;
		o.made_us = now_us;
	}
	*out = o;
	return true;
}

/* --- sets --- */

static struct overrides *
set_alloc(size_t count)
{
	struct overrides *set = calloc(1, sizeof(*set) + count * sizeof(set->items[0]));

	if (set != NULL)
		set->next_us = INT64_MAX;
	return set;
}

static void
set_add(struct overrides *set, const struct override *o)
{
	set->items[set->count++] = *o;
	if (o->until_us < set->next_us)
		set->next_us = o->until_us;
}

struct overrides *
overrides_create(void)
{
	return set_alloc(0);
}

static struct queue_blob
text(const char *s)
{
	return (struct queue_blob){s, strnlen(s, OVERRIDE_NOTE_MAX)};
}

static bool
is_text(const char *s, struct queue_blob b)
{
	return strnlen(s, OVERRIDE_NOTE_MAX) == b.len && (b.len == 0 || memcmp(s, b.ptr, b.len) == 0);
}

bool
override_is_of(
	const struct override *o, enum queue_level level, struct queue_blob source, struct queue_blob name)
{
	return o->level == level && is_text(o->name, name) &&
	       (level != QUEUE_LEVEL_LANE || is_text(o->source, source));
}

bool
override_is_over(const struct override *o, int64_t now_us)
{
	return o->until_us <= now_us;
}

static bool
is_among(const struct override *o, const struct override *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i].setting == o->setting &&
			override_is_of(o, items[i].level, text(items[i].source), text(items[i].name)))
			return true;
	return false;
}

bool
overrides_fit(const struct overrides *old, const struct override *items, size_t count)
{
	size_t all = count;

	for (size_t i = 0; i < old->count; i++)
		all += !is_among(&old->items[i], items, count);
	return all <= OVERRIDES_MAX;
}

struct overrides *
overrides_with(const struct overrides *old, const struct override *items, size_t count)
{
	struct overrides *set = set_alloc(old->count + count);

	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < old->count; i++)
		if (!is_among(&old->items[i], items, count))
			set_add(set, &old->items[i]);
	for (size_t i = 0; i < count; i++)
		set_add(set, &items[i]);
	return set;
}

struct overrides *
overrides_without(
	const struct overrides *old, bool (*drop)(const void *arg, const struct override *o), const void *arg)
{
	struct overrides *set = set_alloc(old->count);

	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < old->count; i++)
		if (!drop(arg, &old->items[i]))
			set_add(set, &old->items[i]);
	return set;
}

void
overrides_shift(struct overrides *set, int64_t step_us)
{
	for (size_t i = 0; i < set->count; i++) {
		struct override *o = &set->items[i];

		o->made_us += step_us;
		if (o->until_us != INT64_MAX)
			o->until_us += step_us;
	}
	if (set->next_us != INT64_MAX)
		set->next_us += step_us;
}

static const struct override *
find(const struct overrides *set, enum queue_level level, struct queue_blob source, struct queue_blob name,
	int setting)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct override *o = &set->items[i];

		if ((setting < 0 || (int)o->setting == setting) && override_is_of(o, level, source, name))
			return o;
	}
	return NULL;
}

/* setting: -1 is any. */
static const struct override *
find_nearest(const struct overrides *set, enum queue_level level, struct queue_blob source,
	struct queue_blob name, int setting)
{
	static const struct queue_blob every = {"*", 1};
	const struct override *o;

	if (set == NULL || set->count == 0)
		return NULL;
	if ((o = find(set, level, source, name, setting)) != NULL || level != QUEUE_LEVEL_LANE)
		return o;
	return find(set, level, every, name, setting);
}

const struct override *
overrides_find(const struct overrides *set, enum queue_level level, struct queue_blob source,
	struct queue_blob name, enum override_setting setting)
{
	assert(setting < OVERRIDE_SETTINGS);
	return find_nearest(set, level, source, name, (int)setting);
}

bool
overrides_touch(
	const struct overrides *set, enum queue_level level, struct queue_blob source, struct queue_blob name)
{
	return find_nearest(set, level, source, name, -1) != NULL;
}

void
overrides_lay(const struct overrides *set, enum queue_level level, struct queue_blob source,
	struct queue_blob name, struct queue_limits *inout)
{
	const struct override *o = overrides_find(set, level, source, name, OVERRIDE_CONNECTIONS);

	if (o != NULL)
		inout->connections = o->count;
	for (int unit = 0; unit < QUEUE_UNIT_COUNT; unit++) {
		o = overrides_find(
			set, level, source, name, override_setting_of((enum queue_unit)unit, true));
		if (o == NULL)
			continue;
		inout->units[unit].rates = o->rates;
		inout->units[unit].count = o->rate_count;
	}
}
