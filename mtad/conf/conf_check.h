/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_CHECK_H
#define MTAD_CONF_CONF_CHECK_H
/*
 * conf_check - what the files of the checks share (inside mtad/conf only)
 *
 * Owner    conf_load's run. Memory: results are in the owner's arena. Thread: the run's.
 * Fails    by reporting; a text result is then "".
 */
#include "conf/conf_load.h"

/* Where a setting of block n stands, or the block when it is not given. */
struct conf_place conf_place_of(const struct conf_loader *l, int kind, size_t n, const char *setting);
/* Names are words and each is there once; makes their index. */
void conf_check_names(struct conf_loader *l, int kind, struct conf_index *index);
/* Says that no block of this kind has the name, and which one is near to it. */
void conf_check_missing(struct conf_loader *l, struct conf_place at, int kind, const char *name);
/* example.com or *.example.com (or *) in its normal spelling. */
const char *conf_check_pattern(
	struct conf_loader *l, struct conf_place at, const char *text, bool star_allowed);
void conf_check_patterns(
	struct conf_loader *l, struct conf_place at, struct conf_list *list, bool star_allowed);
/* local@domain with the domain in its normal spelling; or @domain. */
const char *conf_check_address(
	struct conf_loader *l, struct conf_place at, const char *text, bool only_domain_allowed);

/* conf_check_pace.c */
void conf_check_rates(struct conf_loader *l);
void conf_check_streams(struct conf_loader *l);
/* conf_check_listen.c */
void conf_check_listens(struct conf_loader *l);
/* conf_check_feedback.c; after users, streams and pools */
void conf_check_feedback(struct conf_loader *l);
/* conf_check_guard.c */
void conf_check_guards(struct conf_loader *l);
void conf_check_suppressions(struct conf_loader *l);
/* conf_check_hours.c: before deliveries are laid over each other. */
void conf_check_hours(struct conf_loader *l);
/* conf_check_blocks.c */
void conf_check_users(struct conf_loader *l);
void conf_check_sources(struct conf_loader *l);
void conf_check_pools(struct conf_loader *l);
/* conf_check_warmup.c; after the sources */
void conf_check_warmups(struct conf_loader *l);
void conf_check_routes(struct conf_loader *l);
void conf_check_pool_name(struct conf_loader *l, struct conf_place at, const char *pool);
/* conf_check_consumers.c */
void conf_check_consumers(struct conf_loader *l);
/* RFC 5322 3.6.8: printable US-ASCII without the colon. */
bool conf_check_is_header_name(const char *name);
/* conf_check_rules.c */
void conf_check_profiles(struct conf_loader *l);
void conf_check_rules(struct conf_loader *l);
/* conf_check_reports.c */
void conf_check_reports(struct conf_loader *l);
#endif
