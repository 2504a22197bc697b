/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_H
#define MTAD_CONF_CONF_H
/*
 * conf - the configuration: read whole, checked whole, then constant
 *
 * Owner    main; every thread borrows a counted reference for as long as it uses it (conf_ref / conf_unref).
 * Memory   one arena a configuration, freed with the last reference. No field is ever NULL: unset text is "".
 * Thread   immutable after conf_load; the count is atomic.
 * Fails    conf_load says everything it found, each as file:line: words, then what to write instead.
 */
#include "conf/conf_consumer.h"
#include "conf/conf_guard.h"
#include "conf/conf_report_form.h"
#include "conf/conf_rule.h"
#include "queue_hours.h"

#include <stdio.h>

#define CONF_WEIGHT_MAX 1000

/* Where a block stands, for messages: "mtad.conf:12". */
struct conf_listen {
	const char *name, *at;
	struct conf_endpoints endpoints; /* parsed address */
	struct conf_networks nets;       /* parsed networks */
	struct conf_networks proxy_nets; /* parsed proxies */
#define CONF_LISTEN CONF_FIELD
#include "conf.def"
#undef CONF_LISTEN
};
struct conf_user {
	const char *name, *at;
	const char *password_hash; /* read from password_file */
	struct conf_limits limits;
	struct conf_feedback feedback;
#define CONF_USER CONF_FIELD
#include "conf.def"
#undef CONF_USER
};
/* Settings of every stream (user, job, class) that it fits; each of them counts for itself. */
struct conf_stream {
	const char *name, *at;
	unsigned class_set; /* bit n: enum conf_class n; all of them when none is named */
	struct conf_limits limits;
	struct conf_feedback feedback;
#define CONF_STREAM CONF_FIELD
#include "conf.def"
#undef CONF_STREAM
};
struct conf_source {
	const char *name, *at;
	const struct conf_warmup *warmup_plan; /* that `warmup` names, the built-in ones too; NULL: none */
	int32_t warmup_start_day;              /* since 1970; 0: not set */
	bool has_v4, has_v6;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct conf_limits limits;
#define CONF_SOURCE CONF_FIELD
#include "conf.def"
#undef CONF_SOURCE
};
/* A domain that mail is from. */
struct conf_sender {
	const char *name, *at;                 /* lower case A-label; it covers its subdomains */
	const char *warmup_name;               /* the name with an @ before it: what its warm-up is called */
	const struct conf_warmup *warmup_plan; /* as of a source */
	int32_t warmup_start_day;
#define CONF_SENDER CONF_FIELD
#include "conf.def"
#undef CONF_SENDER
};
struct conf_warmup {
	const char *name, *at;
#define CONF_WARMUP CONF_FIELD
#include "conf.def"
#undef CONF_WARMUP
};
struct conf_pool {
	const char *name, *at;
	const uint32_t *source_index;  /* sources.count of them */
	const uint32_t *source_weight; /* as many; 1..CONF_WEIGHT_MAX */
	struct conf_limits limits;
	struct conf_feedback feedback;
#define CONF_POOL CONF_FIELD
#include "conf.def"
#undef CONF_POOL
};
struct conf_dkim {
	const char *name, *at; /* name: the domain */
#define CONF_DKIM CONF_FIELD
#include "conf.def"
#undef CONF_DKIM
};
/* Settings of one delivery block; `is_set` has bit n for the n-th row of CONF_DELIVERY that the file sets. */
struct conf_delivery {
	uint64_t is_set;
	const struct queue_hours *hours; /* parsed quiet_hours; NULL in a block that does not set them */
#define CONF_DELIVERY CONF_FIELD
#include "conf.def"
#undef CONF_DELIVERY
};
struct conf_domain {
	const char *name, *at; /* lower case A-label, "*.suffix" or "*" */
	struct conf_delivery delivery;
};
struct conf_provider {
	const char *name, *at;
	struct conf_delivery delivery;
#define CONF_PROVIDER CONF_FIELD
#include "conf.def"
#undef CONF_PROVIDER
};
struct conf_profile {
	const char *name, *at;
#define CONF_PROFILE CONF_FIELD
#include "conf.def"
#undef CONF_PROFILE
};
/* One host of a route, in order; equal `preference` means equal. */
struct conf_route_host {
	const char *name; /* host name or address text */
	uint16_t port;    /* 0: the domain's */
	uint16_t preference;
};
struct conf_route {
	const char *name, *at;
	const struct conf_route_host *host_list;
	size_t host_count;
	const char *password; /* read from password_file */
#define CONF_ROUTE CONF_FIELD
#include "conf.def"
#undef CONF_ROUTE
};

struct conf {
	const char *file; /* as given, absolute */
	struct conf_listen *listens;
	size_t listen_count;
	struct conf_user *users;
	size_t user_count;
	struct conf_stream *streams; /* in the order of the file */
	size_t stream_count;
	struct conf_source
		*sources; /* never empty: without a source block, one named "default" with no address */
	size_t source_count;
	struct conf_pool *pools;
	size_t pool_count;
	struct conf_sender *senders;
	size_t sender_count;
	struct conf_warmup *warmups;
	size_t warmup_count;
	struct conf_dkim *dkims;
	size_t dkim_count;
	struct conf_domain *domains;
	size_t domain_count;
	struct conf_provider *providers;
	size_t provider_count;
	struct conf_profile *profiles;
	size_t profile_count;
	struct conf_rule *rules;
	size_t rule_count;
	struct conf_bounce *bounces;
	size_t bounce_count;
	struct conf_report_form *report_forms;
	size_t report_form_count;
	struct conf_route *routes;
	size_t route_count;
	struct conf_guard *guards;
	size_t guard_count;
	struct conf_consumers consumers;
	struct conf_guard guard; /* guard "*" over the defaults */
	struct conf_suppression *suppressions;
	size_t suppression_count;
	struct conf_suppression suppression; /* suppression "*" over the defaults */
	struct conf_delivery delivery;       /* domain "*" over the defaults: everything set */
	const char *token_secrets[2]; /* read from token_secret_file and token_secret_previous; "": none */
#define CONF_GLOBAL CONF_FIELD
#include "conf.def"
#undef CONF_GLOBAL
};

/* Errors and warnings go to `out` line by line ("mtad.conf:7: unknown setting \"retries\" in domain; did you
 * mean \"retry\"?"). NULL when there was an error; then nothing was changed anywhere. */
const struct conf *conf_load(const char *file, FILE *out);
/* The same, but the files it names (keys, passwords) are not looked at: for who only wants to know what it
 * says, and may not read them. */
const struct conf *conf_load_alone(const char *file, FILE *out);
/* A PATH of the top level ("control-socket"), to be freed, whatever else is wrong in the file: a daemon that
 * runs is to be asked just then, and its keys need not be readable. NULL: not known; said to `out`. */
char *conf_path(const char *file, const char *setting, FILE *out);
const struct conf *conf_ref(const struct conf *c);
void conf_unref(const struct conf *c);
/* What differs, one line each ("domain \"*\": retry 5m 15m -> 10m (now)", "spool-dir: ... (needs a
 * restart)"); returns how many need a restart. Those keep their old value only in what the daemon does, not
 * in `to`. */
int conf_diff(const struct conf *from, const struct conf *to, FILE *out);

/* A setting as it is in force, and where that is written. */
struct conf_explained {
	const char *name, *value; /* value: "" is not set */
	const char *block;        /* "domain *", "provider google"; "" for the top level; "default" */
	const char *at;           /* "mtad.conf:12"; "" for a default */
};
typedef void conf_on_explained(void *arg, const struct conf_explained *e);
/* What mail for the domain `what` goes by in `file`, setting by setting; `of` (may be NULL: not known) is its
 * best MX host, which makes its provider known. Where `what` is the word of a block ("user"), `of` is its
 * name and its settings are told. Without `what`, what stands outside of blocks. False: nothing can be said,
 * and why is said to `out`. */
bool conf_explain(
	const char *file, const char *what, const char *of, FILE *out, conf_on_explained *each, void *arg);

const struct conf_user *conf_user_find(const struct conf *c, const char *name, size_t len);
/* The guard of a user: its own over that of all; never NULL. */
const struct conf_guard *conf_guard_find(const struct conf *c, const char *user, size_t len);
/* The same of what suppresses its recipients. */
const struct conf_suppression *conf_suppression_find(const struct conf *c, const char *user, size_t len);
/* The first block that fits; NULL: none. Linear in the blocks: ask once for a stream, not for a message. */
const struct conf_stream *conf_stream_find(const struct conf *c, const char *user, size_t user_len,
	const char *job, size_t job_len, enum conf_class class);
int conf_pool_find(const struct conf *c, const char *name, size_t len); /* index, -1: none */
/* By the pools' `senders`: an address before its @domain. -1: none; constant time. */
int conf_pool_of_sender(const struct conf *c, const char *address, size_t len);
int conf_source_find(const struct conf *c, const char *name, size_t len);
/* The block of the domain, or else of the longest one it is a subdomain of; lower case A-label. NULL: none.
 */
const struct conf_sender *conf_sender_find(const struct conf *c, const char *domain, size_t len);
/* domain: lower case A-label. Exact before the longest *.suffix before "*"; constant time per label. NULL:
 * none. */
const struct conf_domain *conf_domain_find(const struct conf *c, const char *domain, size_t len);
const struct conf_route *conf_route_find(const struct conf *c, const char *domain, size_t len);
const struct conf_provider *conf_provider_of_domain(const struct conf *c, const char *domain, size_t len);
const struct conf_provider *conf_provider_of_mx(const struct conf *c, const char *mx, size_t len);
/* domain (may be NULL) over provider (may be NULL) over the default. */
void conf_delivery_merge(const struct conf *c, const struct conf_domain *d, const struct conf_provider *p,
	struct conf_delivery *out);
/* The block sets limits or quiet hours of its own: what falls under it shares none with others. */
bool conf_delivery_is_limited(const struct conf_delivery *d);
bool conf_network_has(const struct conf_networks *nets, const struct sockaddr *address);

/* Every setting with its type, default, range and words: for the manual page, completion and `mtad -t
 * --help-settings`. */
void conf_print_manual(FILE *out); /* the SETTINGS part of mtad.conf(5), mdoc */
#endif
