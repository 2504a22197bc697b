/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_RULE_H
#define MTAD_CONF_CONF_RULE_H
/*
 * conf_rule - rule and bounce blocks: when they hold, and what a rule does then
 *
 * Owner    the configuration, filled by its checks. Memory: its arena. Thread: any, constant.
 */
#include "base/bounce_class.h"
#include "conf/conf_types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Basic codes from min to max: 421..421, 450..459, 500..599. */
struct conf_code_range {
	uint16_t min, max;
};
/* A part that is -1 may be any. */
struct conf_esc_mask {
	int16_t class_digit, subject, detail;
};
/* All of it must hold; a count of 0: whatever it is. */
struct conf_rule_when {
	const uint32_t *provider_index; /* providers.count of them, ascending; none: every site */
	const struct conf_code_range *codes;
	size_t code_count;
	const struct conf_esc_mask *escs;
	size_t esc_count;
	uint32_t phases; /* bit n: enum smtp_client_phase n */
};

/* What a pause stops. */
enum conf_scope {
	CONF_SCOPE_LANE,   /* from this source to this site */
	CONF_SCOPE_SITE,   /* from all sources to this site */
	CONF_SCOPE_SOURCE, /* from this source to all sites */
	CONF_SCOPE_STREAM, /* this user, job and class */
	CONF_SCOPE_SENDER, /* mail with this domain in its envelope sender */
	CONF_SCOPE_COUNT,
};
enum conf_treat { CONF_TREAT_UNSET = -1, CONF_TREAT_TEMPORARY, CONF_TREAT_PERMANENT };

/*
 * Two kinds: what becomes of the recipient (treat, retry, next source) holds for each reply the rule matches;
 * what slows others (profile, slow, pause) and the alert only once `hits` of them came within `hits_us`.
 */
struct conf_rule_actions {
	uint32_t hits;       /* 1: at once, and hits_us is 0 */
	int64_t hits_us;     /* 1 s to 7 d */
	int32_t profile;     /* index in conf.profiles; -1: none */
	int32_t slow_ppm;    /* millionths of the lane's present speed, 1 to 99 %; 0: not slowed */
	int64_t duration_us; /* how long profile and slow last; 1 s to 7 d */
	int64_t pause_us[CONF_SCOPE_COUNT]; /* 0: not paused; else 1 s to 7 d */
	enum conf_treat treat;
	int64_t retry_us;   /* 0: by the schedule; else 1 s to 24 h */
	bool retry_by_hint; /* as the reply itself asks for (shape/hint.h) */
	bool next_source;   /* this recipient tries another source of its pool */
	bool has_alert;
};

/* In the order of the files, which is that in which they are looked at. */
struct conf_rule {
	const char *name, *at;
	struct conf_rule_when when;
	struct conf_rule_actions actions;
#define CONF_RULE CONF_FIELD
#include "conf.def"
#undef CONF_RULE
};
/* The same; the first that holds is the one. */
struct conf_bounce {
	const char *name, *at;
	struct conf_rule_when when;
	enum bounce_class means; /* what `class` names */
#define CONF_BOUNCE CONF_FIELD
#include "conf.def"
#undef CONF_BOUNCE
};

/* Bits of enum smtp_client_phase for "greeting", "rcpt" ...; 0: no such word. */
uint32_t conf_phase_bits(const char *word);
#define CONF_PHASE_WORDS "greeting, ehlo, starttls, auth, mail, rcpt, data, idle"
#endif
