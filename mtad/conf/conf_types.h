/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_TYPES_H
#define MTAD_CONF_CONF_TYPES_H
/*
 * conf_types - what a value of the configuration is made of
 *
 * Owner    the configuration; arrays live as long as it does. Thread: immutable.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct conf_list {
	const char *const *items;
	size_t count;
};
struct conf_durations {
	const int64_t *us;
	size_t count;
};
struct conf_counts {
	const int64_t *items;
	size_t count;
};
struct conf_rate {
	int64_t count; /* 0: no limit */
	int64_t per_us;
};
/* All of them hold: at most `count` of messages, connections, recipients or (BYTE_RATES) bytes in each window
 * of 1 s to 31 days. The shortest window first, each window once. Empty: no limit. */
#define CONF_RATES_MAX 8
struct conf_rates {
	const struct conf_rate *items;
	size_t count;
};
/* An address prefix. IPv4 is kept as IPv4; a mapped IPv6 client is compared as IPv4 (A53). */
struct conf_network {
	struct in6_addr address; /* v4 mapped into ::ffff:0:0/96 */
	int prefix;              /* of the 128 bits */
};
struct conf_networks {
	const struct conf_network *items;
	size_t count;
};
/* "*:587" gives two entries; a path gives family AF_UNIX. */
struct conf_endpoint {
	int family;
	struct sockaddr_storage address;
	socklen_t address_len;
	const char *text; /* as written */
};
struct conf_endpoints {
	const struct conf_endpoint *items;
	size_t count;
};

enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_OPTIONAL, CONF_AUTH_REQUIRED };
enum conf_listen_tls {
	CONF_LISTEN_TLS_NONE,
	CONF_LISTEN_TLS_MAY,
	CONF_LISTEN_TLS_REQUIRED,
	CONF_LISTEN_TLS_IMPLICIT
};
enum conf_tls { CONF_TLS_NONE, CONF_TLS_MAY, CONF_TLS_ENCRYPT, CONF_TLS_VERIFY, CONF_TLS_UNSET = -1 };
enum conf_family {
	CONF_FAMILY_ANY,
	CONF_FAMILY_PREFER_V4,
	CONF_FAMILY_PREFER_V6,
	CONF_FAMILY_V4,
	CONF_FAMILY_V6
};
enum conf_log_target { CONF_LOG_STDERR, CONF_LOG_SYSLOG, CONF_LOG_JOURNAL };
enum conf_log_level { CONF_LOG_ERROR, CONF_LOG_WARN, CONF_LOG_INFO, CONF_LOG_DEBUG };
enum conf_bare_lf { CONF_BARE_LF_REFUSE, CONF_BARE_LF_NORMALISE };
enum conf_class { CONF_CLASS_NORMAL, CONF_CLASS_URGENT, CONF_CLASS_BULK, CONF_CLASS_COUNT };
enum conf_over_quota { CONF_OVER_QUOTA_HOLD, CONF_OVER_QUOTA_REFUSE };
enum conf_listen_kind { CONF_LISTEN_SUBMISSION, CONF_LISTEN_UNSUBSCRIBE, CONF_LISTEN_REPORTS };
enum conf_return_path { CONF_RETURN_PATH_KEEP, CONF_RETURN_PATH_VERP, CONF_RETURN_PATH_UNSET = -1 };
enum conf_list_unsubscribe {
	CONF_LIST_UNSUBSCRIBE_NO,
	CONF_LIST_UNSUBSCRIBE_YES,
	CONF_LIST_UNSUBSCRIBE_UNSET = -1
};
enum conf_cfbl { CONF_CFBL_NO, CONF_CFBL_YES, CONF_CFBL_UNSET = -1 };
enum conf_suppressed { CONF_SUPPRESSED_REFUSE, CONF_SUPPRESSED_RECORD };
enum conf_suppression_scope { CONF_SUPPRESSION_USER, CONF_SUPPRESSION_STREAM, CONF_SUPPRESSION_GLOBAL };
enum conf_suppression_storage { CONF_SUPPRESSION_PLAIN, CONF_SUPPRESSION_HASHED };
enum conf_rates_count { CONF_RATES_COUNT_ATTEMPTS, CONF_RATES_COUNT_DELIVERIES };
/* Fields from conf.def. CHOICE is an int: the index in its list (-1: unset, where "" is the default). */
#define CONF_CTYPE_BOOL              bool
#define CONF_CTYPE_COUNT             int64_t
#define CONF_CTYPE_BYTES             int64_t
#define CONF_CTYPE_DURATION          int64_t /* microseconds */
#define CONF_CTYPE_RATE              struct conf_rate
#define CONF_CTYPE_RATES             struct conf_rates
#define CONF_CTYPE_BYTE_RATES        struct conf_rates
#define CONF_CTYPE_TEXT              const char *
#define CONF_CTYPE_PATH              const char * /* absolute, or "none" */
#define CONF_CTYPE_LIST              struct conf_list
#define CONF_CTYPE_DURATIONS         struct conf_durations
#define CONF_CTYPE_CHOICE            int
#define CONF_CTYPE_COUNTS            struct conf_counts
#define CONF_CTYPE_PERCENT           int64_t /* millionths */
#define CONF_FIELD(field, type, ...) CONF_CTYPE_##type field;

/* What is sent at most; 0 connections and empty rates: no limit. */
struct conf_limits {
#define CONF_LIMITS         CONF_FIELD
#define CONF_CONNECT_LIMITS CONF_FIELD /* of sources and pools alone */
#include "conf.def"
#undef CONF_CONNECT_LIMITS
#undef CONF_LIMITS
};

/* How recipients answer; -1: this block does not say. */
struct conf_feedback {
#define CONF_FEEDBACK CONF_FIELD
#include "conf.def"
#undef CONF_FEEDBACK
};
#endif
