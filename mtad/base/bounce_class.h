/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_BOUNCE_CLASS_H
#define MTAD_BASE_BOUNCE_CLASS_H
/*
 * bounce_class - the 22 classes of failures and deferrals, their groups, and what PowerMTA calls them
 *
 * The class is what is reported, the group what is done about it. Only the group `suppress` is evidence about
 * an address; everything in `block` is evidence about the sender and suppresses nobody.
 *
 * The numbers stand in events on disk: new classes go to the end of bounce_class.def.
 * Names of PowerMTA: User's Guide, bounce-category-patterns. It has no class for some of ours; those have the
 * nearest.
 */
#include <stddef.h>

enum bounce_class {
#define BOUNCE_CLASS(symbol, name, group, pmta) BOUNCE_CLASS_##symbol,
#include "base/bounce_class.def"
#undef BOUNCE_CLASS
	BOUNCE_CLASS_COUNT,
};

enum bounce_group {
	BOUNCE_GROUP_NONE,
	BOUNCE_GROUP_SUPPRESS,
	BOUNCE_GROUP_QUOTA,
	BOUNCE_GROUP_BLOCK,
	BOUNCE_GROUP_MESSAGE,
	BOUNCE_GROUP_THROTTLE,
	BOUNCE_GROUP_TRANSIENT,
	BOUNCE_GROUP_PROTOCOL,
	BOUNCE_GROUP_OTHER,
	BOUNCE_GROUP_COUNT,
};

/* "bad-mailbox"; "" for BOUNCE_CLASS_NONE. */
const char *bounce_class_name(enum bounce_class c);
/* BOUNCE_CLASS_NONE: no such name. */
enum bounce_class bounce_class_find(const char *name, size_t len);
enum bounce_group bounce_class_group(enum bounce_class c);
/* "suppress", "quota" ... */
const char *bounce_group_name(enum bounce_group g);
/* PowerMTA's bounceCat. */
const char *bounce_class_pmta(enum bounce_class c);
#endif
