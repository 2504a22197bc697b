/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bounce_class.h"

#include <assert.h>
#include <string.h>

static const struct {
	const char *name, *pmta;
	enum bounce_group group;
} classes[BOUNCE_CLASS_COUNT] = {
#define BOUNCE_CLASS(symbol, name, group, pmta) {name, pmta, BOUNCE_GROUP_##group},
#include "base/bounce_class.def"
#undef BOUNCE_CLASS
};

static const char *const groups[BOUNCE_GROUP_COUNT] = {
	[BOUNCE_GROUP_NONE] = "",
	[BOUNCE_GROUP_SUPPRESS] = "suppress",
	[BOUNCE_GROUP_QUOTA] = "quota",
	[BOUNCE_GROUP_BLOCK] = "block",
	[BOUNCE_GROUP_MESSAGE] = "message",
	[BOUNCE_GROUP_THROTTLE] = "throttle",
	[BOUNCE_GROUP_TRANSIENT] = "transient",
	[BOUNCE_GROUP_PROTOCOL] = "protocol",
	[BOUNCE_GROUP_OTHER] = "other",
};

const char *
bounce_class_name(enum bounce_class c)
{
	assert(c < BOUNCE_CLASS_COUNT);
	return classes[c].name;
}

enum bounce_class
bounce_class_find(const char *name, size_t len)
{
	for (int c = BOUNCE_CLASS_NONE + 1; c < BOUNCE_CLASS_COUNT; c++)
		if (strnlen(classes[c].name, len + 1) == len && memcmp(classes[c].name, name, len) == 0)
			return (enum bounce_class)c;
	return BOUNCE_CLASS_NONE;
}

enum bounce_group
bounce_class_group(enum bounce_class c)
{
	assert(c < BOUNCE_CLASS_COUNT);
	return classes[c].group;
}

const char *
bounce_group_name(enum bounce_group g)
{
	assert(g < BOUNCE_GROUP_COUNT);
	return groups[g];
}

const char *
bounce_class_pmta(enum bounce_class c)
{
	assert(c < BOUNCE_CLASS_COUNT);
	return classes[c].pmta;
}
