/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that operators set for a time. What a request names has to be there: an override of a misspelt site
 * would do nothing, and nobody would notice.
 */
#include "control/ctl_request.h"

#include "conf/conf_report.h"
#include "queue/operate.h"
#include "shape/pace.h"

#include <stdio.h>
#include <string.h>

enum { PORTION = 64, SHOWN = 200 };

/* What a request is about. */
struct subject {
	struct override thing; /* its level and name */
	json_t *settings;      /* an array of words, borrowed */
};

static struct queue_blob
text(const char *s)
{
	return (struct queue_blob){s, strnlen(s, OVERRIDE_NOTE_MAX)};
}

static const char *
item(const json_t *array, size_t i)
{
	const json_t *v = json_array_get(array, i);

	return json_is_string(v) ? json_string_value(v) : "";
}

/* --- whether it is there --- */

/* "; did you mean \"x\"?" */
static void
hint(char *buf, size_t max, const struct conf_nearest *nearest)
{
	buf[0] = '\0';
	if (nearest->distance < 9)
		snprintf(buf, max, "; did you mean \"%s\"?", nearest->word);
}

static bool
no_pool(struct ctl_request *r, const struct conf *c, const char *name)
{
	struct conf_nearest nearest = {.distance = 9};
	char words[80];

	for (size_t i = 0; i < c->pool_count; i++)
		conf_nearest_consider(&nearest, name, c->pools[i].name);
	hint(words, sizeof(words), &nearest);
	return !ctl_error(r, "there is no pool \"%.*s\"%s", SHOWN, name, words);
}

static bool
no_user(struct ctl_request *r, const struct conf *c, const char *name)
{
	struct conf_nearest nearest = {.distance = 9};
	char words[80];

	for (size_t i = 0; i < c->user_count; i++)
		conf_nearest_consider(&nearest, name, c->users[i].name);
	hint(words, sizeof(words), &nearest);
	return !ctl_error(r, "there is no user \"%.*s\"%s", SHOWN, name, words);
}

/* r->domain is the name as a domain, if it is one. */
static bool
no_site(struct ctl_request *r, const struct conf *c, const char *name)
{
	const struct queue_blob domain = {r->domain, strnlen(r->domain, sizeof(r->domain))};
	struct conf_nearest nearest = {.distance = 9};
	struct queue_domain_view v;
	char words[80];

	if (domain.len > 0 && queue_sched_domain_find(dispatch_sched(r->app->dispatch), domain, &v))
		return !ctl_error(r, "the site of %.*s is not known yet: its mail has no route", SHOWN, name);
	for (size_t i = 0; i < c->provider_count; i++)
		conf_nearest_consider(&nearest, name, c->providers[i].name);
	hint(words, sizeof(words), &nearest);
	return !ctl_error(r, "no mail goes to a site or domain %.*s now%s%s", SHOWN, name, words,
		words[0] == '\0' ? "; mtactl sites lists those there are" : "");
}

static bool
is_provider(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->provider_count; i++)
		if (strcmp(c->providers[i].name, name) == 0)
			return true;
	return false;
}

/* The site of a domain, where that is known. */
static bool
site_of_domain(struct ctl_request *r, const struct conf *c, const char *name, char *site, size_t max)
{
	int len = domain_normalise(name, strnlen(name, OVERRIDE_NOTE_MAX), r->domain, sizeof(r->domain));
	const struct conf_provider *provider;
	struct queue_domain_view v;

	if (len < 0)
		return false;
	if (queue_sched_domain_find(
		    dispatch_sched(r->app->dispatch), (struct queue_blob){r->domain, (size_t)len}, &v) &&
		v.site.len > 0 && v.site.len < max) {
		snprintf(site, max, "%.*s", (int)v.site.len, (const char *)v.site.ptr);
		return true;
	}
	if ((provider = conf_provider_of_domain(c, r->domain, (size_t)len)) == NULL)
		return false;
	snprintf(site, max, "%s", provider->name);
	return true;
}

/* A site, or a domain in its place. */
static bool
find_site(struct ctl_request *r, const struct conf *c, struct override *o)
{
	char site[OVERRIDE_NOTE_MAX];
	struct queue_site_view v;
	struct conf_why why;

	if (is_provider(c, o->name) ||
		queue_sched_site_find(dispatch_sched(r->app->dispatch), text(o->name), &v))
		return true;
	if (!site_of_domain(r, c, o->name, site, sizeof(site)))
		return no_site(r, c, o->name);
	return override_take_name(o, o->source, site, &why) || !ctl_error(r, "%s", why.text);
}

static bool
find_stream(struct ctl_request *r, const struct conf *c, const char *name)
{
	struct queue_blob user, job;
	enum queue_class klass;
	char word[OVERRIDE_NOTE_MAX];

	if (!pace_stream_split(text(name), &user, &job, &klass))
		return !ctl_error(r,
			"\"%.*s\" is no stream: USER/JOB/CLASS, the class being urgent, normal or bulk, as "
			"in shop/spring/bulk or //normal",
			SHOWN, name);
	snprintf(word, sizeof(word), "%.*s", (int)user.len, (const char *)user.ptr);
	return user.len == 0 || conf_user_find(c, user.ptr, user.len) != NULL || no_user(r, c, word);
}

/* False: an error was set. */
static bool
find(struct ctl_request *r, struct override *o)
{
	const struct conf *c = dispatch_current_conf(r->app->dispatch);
	const struct queue_blob name = text(o->name), source = text(o->source);

	switch (o->level) {
	case QUEUE_LEVEL_LANE:
		if (strcmp(o->source, "*") != 0 && conf_source_find(c, source.ptr, source.len) < 0)
			return !ctl_unknown_source(r, o->source);
		return find_site(r, c, o);
	case QUEUE_LEVEL_SITE:
		return find_site(r, c, o);
	case QUEUE_LEVEL_SOURCE:
		return conf_source_find(c, name.ptr, name.len) >= 0 || !ctl_unknown_source(r, o->name);
	case QUEUE_LEVEL_POOL:
		return conf_pool_find(c, name.ptr, name.len) >= 0 || strcmp(o->name, "default") == 0 ||
		       no_pool(r, c, o->name);
	case QUEUE_LEVEL_USER:
		return conf_user_find(c, name.ptr, name.len) != NULL || no_user(r, c, o->name);
	case QUEUE_LEVEL_STREAM:
		return find_stream(r, c, o->name);
	default:
		return true;
	}
}

/* Level, names and settings of the request; whether there is such a thing is not asked yet. */
static bool
take_subject(struct ctl_request *r, struct subject *s)
{
	const json_t *names = json_object_get(r->args, "names");
	bool is_lane;
	struct conf_why why;

	memset(s, 0, sizeof(*s));
	s->settings = json_object_get(r->args, "settings");
	s->thing.level = override_level(ctl_arg(r, "level"), &why);
	is_lane = s->thing.level == QUEUE_LEVEL_LANE;
	if (s->thing.level == QUEUE_LEVEL_COUNT ||
		!override_take_name(
			&s->thing, is_lane ? item(names, 0) : "", item(names, is_lane ? 1 : 0), &why))
		return !ctl_error(r, "%s", why.text);
	if (json_array_size(names) > (is_lane ? 2 : 1))
		return !ctl_error(r, "\"%.*s\" is one name too many; a value goes with = to its setting",
			SHOWN, item(names, is_lane ? 2 : 1));
	return true;
}

/* --- what is set --- */

/* When it ends is said of all times alike: 0 stands for never. */
static json_t *
json_of(const struct override *o)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:s}", "level", override_level_word(o->level),
		"source", o->source, "name", o->name, "setting", override_setting_word(o->setting), "value",
		o->value, "since_us", (json_int_t)o->made_us, "until_us",
		(json_int_t)(o->until_us == INT64_MAX ? 0 : o->until_us), "who", o->who, "reason", o->reason);
}

json_t *
ctl_override_of(const struct ctl_request *r, enum queue_level level, struct queue_blob source,
	struct queue_blob name, enum override_setting setting)
{
	const struct override *o =
		overrides_find(dispatch_overrides(r->app->dispatch), level, source, name, setting);

	return o != NULL ? json_of(o) : NULL;
}

/* A setting with its value, "rate=10/s", into items[count]. */
static bool
take_setting(struct ctl_request *r, const struct subject *s, const char *word, struct override *items,
	size_t count)
{
	const char *value = strchr(word, '=');
	struct override *o = &items[count];
	char setting[CONF_ROW_NAME_MAX];
	struct conf_why why;

	*o = s->thing;
	if (value == NULL || (size_t)(value - word) >= sizeof(setting))
		return !ctl_error(r, "\"%.*s\" is no setting with a value, as in rate=10/s", SHOWN, word);
	snprintf(setting, sizeof(setting), "%.*s", (int)(value - word), word);
	if (!override_take_value(o, setting, value + 1, &why))
		return !ctl_error(r, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		if (items[i].setting == o->setting)
			return !ctl_error(r, "%s is given twice", setting);
	return true;
}

/* How long, by whom, and why. */
static bool
take_rest(struct ctl_request *r, struct override *items, size_t count)
{
	bool is_ever = json_is_true(json_object_get(r->args, "ever"));
	int64_t for_us = ctl_arg_int(r, "for_us", 0);
	const char *reason = ctl_arg(r, "reason");

	if (!is_ever && for_us <= 0)
		return !ctl_error(r, "for how long? --for 2h, or --for ever until it is lifted");
	if (for_us > OVERRIDE_MAX_US)
		return !ctl_error(r, "an override lasts ten years at most, or --for ever until it is lifted");
	if (strnlen(reason, OVERRIDE_REASON_MAX) == OVERRIDE_REASON_MAX)
		return !ctl_error(r, "a reason has at most %d bytes", OVERRIDE_REASON_MAX - 1);
	for (size_t i = 0; i < count; i++) {
		items[i].until_us = is_ever ? INT64_MAX : for_us;
		snprintf(items[i].who, sizeof(items[i].who), "%s", r->who);
		snprintf(items[i].reason, sizeof(items[i].reason), "%s", reason);
	}
	return true;
}

bool
ctl_set(struct ctl_request *r)
{
	struct override items[OVERRIDE_SETTINGS];
	struct dispatch *d = r->app->dispatch;
	size_t count = 0, i;
	struct subject s;

	if (!take_subject(r, &s) || !find(r, &s.thing))
		return true;
	for (i = 0; i < json_array_size(s.settings); i++) {
		/* Each of them once: as many as there are, and the next is one too many. */
		if (count == OVERRIDE_SETTINGS)
			return ctl_error(r, "a setting is given twice");
		if (!take_setting(r, &s, item(s.settings, i), items, count++))
			return true;
	}
	if (count == 0)
		return ctl_error(r, "set what? A setting and its value, as in rate=10/s; none lifts a limit");
	if (!take_rest(r, items, count))
		return true;
	if (!overrides_fit(dispatch_overrides(d), items, count))
		return ctl_error(r, "there are %d overrides, and no more than that; mtactl set lists them",
			OVERRIDES_MAX);
	if (!dispatch_override(d, items, count))
		return ctl_error(r, "out of memory: nothing has changed");
	for (i = 0; i < count; i++)
		ctl_row(r, json_of(&items[i]));
	r->done = count;
	return ctl_done(r, "set");
}

/* --- what is lifted --- */

struct lifted {
	const struct subject *subject;
	enum override_setting settings[OVERRIDE_SETTINGS];
	size_t count; /* 0: all */
};

static bool
is_lifted(const void *arg, const struct override *o)
{
	const struct lifted *l = arg;
	const struct override *thing = &l->subject->thing;
	size_t i = 0;

	if (!override_is_of(o, thing->level, text(thing->source), text(thing->name)))
		return false;
	while (i < l->count && l->settings[i] != o->setting)
		i++;
	return l->count == 0 || i < l->count;
}

static size_t
count_lifted(const struct overrides *set, const struct lifted *l)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++)
		count += is_lifted(l, &set->items[i]);
	return count;
}

bool
ctl_unset(struct ctl_request *r)
{
	const struct overrides *set = dispatch_overrides(r->app->dispatch);
	char site[OVERRIDE_NOTE_MAX];
	struct subject s;
	struct lifted l = {.subject = &s};
	struct conf_why why;

	if (!take_subject(r, &s))
		return true;
	for (size_t i = 0; i < json_array_size(s.settings) && l.count < OVERRIDE_SETTINGS; i++) {
		enum override_setting n = override_setting(s.thing.level, item(s.settings, i), &why);

		if (n == OVERRIDE_SETTINGS)
			return ctl_error(r, "%s", why.text);
		l.settings[l.count++] = n;
	}
	/* By the domain it was set by: what it is about need not be there any more. */
	if (count_lifted(set, &l) == 0 &&
		(s.thing.level == QUEUE_LEVEL_SITE || s.thing.level == QUEUE_LEVEL_LANE) &&
		site_of_domain(r, dispatch_current_conf(r->app->dispatch), s.thing.name, site, sizeof(site)))
		(void)override_take_name(&s.thing, s.thing.source, site, &why);
	if ((r->done = count_lifted(set, &l)) == 0)
		return ctl_error(r, "%s%s%.*s: nothing of it is set by hand; mtactl set lists what is",
			ctl_arg(r, "level"), s.thing.name[0] != '\0' ? " " : "", SHOWN, s.thing.name);
	if (!dispatch_lift(r->app->dispatch, is_lifted, &l, r->who)) {
		r->done = 0;
		return ctl_error(r, "out of memory: nothing has changed");
	}
	return ctl_done(r, "unset");
}

bool
ctl_overrides(struct ctl_request *r)
{
	const struct overrides *set = dispatch_overrides(r->app->dispatch);

	for (; r->at < set->count; r->at++) {
		if (json_array_size(r->frames) >= PORTION)
			return false;
		ctl_row(r, json_of(&set->items[r->at]));
	}
	ctl_summary(r, json_pack("{s:I,s:I}", "overrides", ctl_number(set->count), "now_us",
			       (json_int_t)clock_now(r->app->clock)));
	return true;
}
