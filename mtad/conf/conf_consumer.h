/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONF_CONF_CONSUMER_H
#define MTAD_CONF_CONF_CONSUMER_H
/*
 * conf_consumer - who gets told what happened to recipients: accounting files, webhooks, programs
 *
 * Owner    the configuration. Thread: immutable.
 */
#include "conf/conf_types.h"

/* Each has a place in one record of the spool. */
#define CONF_CONSUMERS_MAX     24
#define CONF_CONSUMER_NAME_MAX 64
/* Names of header fields that are kept with a message. */
#define CONF_KEPT_HEADERS_MAX 32

enum conf_record {
	CONF_RECORD_D,
	CONF_RECORD_B,
	CONF_RECORD_T,
	CONF_RECORD_R,
	CONF_RECORD_RB,
	CONF_RECORD_F,
	CONF_RECORD_U,
	CONF_RECORD_COUNT
};
enum conf_accounting_format { CONF_ACCOUNTING_CSV, CONF_ACCOUNTING_JSON };
enum conf_pipe_format { CONF_PIPE_JSON, CONF_PIPE_CSV };
enum conf_accounting_times { CONF_ACCOUNTING_ISO, CONF_ACCOUNTING_UNIX };

/* Which events a consumer takes. */
struct conf_records {
	unsigned record_set; /* bit n: enum conf_record n */
	uint32_t class_set;  /* bit n: enum bounce_class n; 0: any */
#define CONF_RECORDS CONF_FIELD
#include "conf.def"
#undef CONF_RECORDS
};
struct conf_columns {
#define CONF_COLUMNS CONF_FIELD
#include "conf.def"
#undef CONF_COLUMNS
};
struct conf_accounting {
	const char *name, *at;
	struct conf_records which;
	struct conf_columns columns;
#define CONF_ACCOUNTING CONF_FIELD
#include "conf.def"
#undef CONF_ACCOUNTING
};
/* How events are sent to an application. */
struct conf_outlet {
	struct conf_records which;
#define CONF_OUTLET CONF_FIELD
#include "conf.def"
#undef CONF_OUTLET
};
struct conf_webhook {
	const char *name, *at;
	const char *secret; /* read from secret_file; "": none */
	struct conf_outlet outlet;
#define CONF_WEBHOOK CONF_FIELD
#include "conf.def"
#undef CONF_WEBHOOK
};
struct conf_pipe {
	const char *name, *at;
	struct conf_outlet outlet;
	struct conf_columns columns;
#define CONF_PIPE CONF_FIELD
#include "conf.def"
#undef CONF_PIPE
};
struct conf_consumers {
	struct conf_accounting *accountings;
	size_t accounting_count;
	struct conf_webhook *webhooks;
	size_t webhook_count;
	struct conf_pipe *pipes;
	size_t pipe_count;
	struct conf_records records;   /* of accounting-file and accounting-json */
	unsigned record_set;           /* what any of them takes; bit n: enum conf_record n */
	struct conf_list kept_headers; /* accounting-headers and header_NAME of all `fields`, each once */
};

/* An event, as far as it decides who takes it. bounce_class: enum bounce_class, 0: none. */
struct conf_record_of {
	enum conf_record record;
	int bounce_class;
	const char *user, *job, *pool;
	size_t user_len, job_len, pool_len;
};
bool conf_records_fit(const struct conf_records *which, const struct conf_record_of *of);
/* "d", "b" ... */
const char *conf_record_letters(enum conf_record r);
#endif
