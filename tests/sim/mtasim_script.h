/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_SCRIPT_H
#define MTASIM_SCRIPT_H
/*
 * mtasim_script - what the simulated Internet looks like: the scenario file as structs
 *
 * README.md beside this file is the manual of the format.
 *
 * Owner    main; everything else borrows it, const, for the life of the process.
 * Memory   proportional to the file, plus one host per address.
 * Thread   read-only after load.
 * Fails    with words on stderr, file:line first; script_load() then returns NULL.
 */
#include "mtasim_text.h"
#include "smtp_types.h"

#include <netinet/in.h>

enum sim_phase {
	SIM_CONNECT,
	SIM_EHLO,
	SIM_HELO,
	SIM_STARTTLS,
	SIM_MAIL,
	SIM_RCPT,
	SIM_DATA,
	SIM_BODY,
	SIM_DOT,
	SIM_QUIT,
	SIM_PHASE_COUNT,
};
enum sim_act {
	SIM_ACT_REPLY,
	SIM_ACT_ACCEPT,
	SIM_ACT_DROP,
	SIM_ACT_RESET,
	SIM_ACT_STALL,
	SIM_ACT_GARBAGE,
	SIM_ACT_HUGE
};
enum sim_tls {
	SIM_TLS_GOOD,
	SIM_TLS_NONE,
	SIM_TLS_EXPIRED,
	SIM_TLS_WRONG_NAME,
	SIM_TLS_SELF_SIGNED,
	SIM_TLS_BROKEN
};
enum sim_records { SIM_RECORDS_MX, SIM_RECORDS_IMPLICIT, SIM_RECORDS_NULL_MX, SIM_RECORDS_CNAME };
enum sim_fault {
	SIM_FAULT_NONE,
	SIM_FAULT_NXDOMAIN,
	SIM_FAULT_NODATA,
	SIM_FAULT_SERVFAIL,
	SIM_FAULT_REFUSED,
	SIM_FAULT_TIMEOUT,
	SIM_FAULT_TRUNCATE, /* UDP answers carry TC and nothing else; TCP answers are whole */
	SIM_FAULT_GARBAGE,
	SIM_FAULT_REFUSE, /* hosts only: nobody listens */
	SIM_FAULT_HANG,   /* hosts only: the backlog is full, SYNs are not answered */
};

enum sim_send {
	SIM_SEND_DSN,
	SIM_SEND_QMAIL,
	SIM_SEND_EXIM,
	SIM_SEND_EXCHANGE,
	SIM_SEND_COMPLAINT,
	SIM_SEND_UNSUBSCRIBE_MAIL,
	SIM_SEND_UNSUBSCRIBE_CLICK,
	SIM_SEND_AUTO_REPLY,
	SIM_SEND_UNREADABLE,
};

/* The first rule of a site that fits an event says what happens. */
struct sim_rule {
	enum sim_phase phase;
	enum sim_act act;
	char *match;               /* glob on the address, name or client; NULL: any */
	double share;              /* percent */
	bool each;                 /* drawn anew each time, not once and for all for this address */
	uint32_t count;            /* applies at most so often; 0: no limit */
	uint32_t skip;             /* not to the first so many */
	int64_t from_us, until_us; /* since the start; until 0: for ever */
	char *reply;               /* without the final CRLF; lines parted by \n */
	bool close;                /* after the reply */
	int64_t delay_us;          /* before it */
	int64_t drip_us;           /* from here on a byte each so often */
	uint64_t bytes;            /* body: when so much came; huge: so long */
};

/* The first of a site that fits an accepted recipient says what comes back because of it. */
struct sim_return {
	enum sim_send send;
	char *match;      /* glob on the recipient; NULL: any */
	double share;     /* percent of the recipients, drawn once for each address */
	int64_t after_us; /* since it was accepted */
	char *to;         /* NULL: the envelope sender, or where the header says */
	char *status;     /* "5.1.1" */
	char *text;       /* what the last server said, code first */
	bool redact;      /* complaint: the recipient is taken out */
};

struct sim_host {
	char *name; /* lower case */
	struct in_addr address;
	enum sim_fault fault;
	uint32_t number; /* from 1 */
};

struct sim_dns {
	enum sim_records records;
	enum sim_fault fault;
	bool fault_mx, fault_address; /* on which questions */
	double share;                 /* percent of the names */
	int64_t heal_us;              /* fault ends so long after the start; 0: never */
	int64_t delay_us;
	uint32_t ttl_s, negative_ttl_s;
	uint32_t cname_length;
};

struct sim_site {
	char *name;
	char **domains; /* names and globs */
	size_t domain_count;
	char *generator_text;
	struct sim_pattern generator;
	uint32_t generated; /* domains of the generator; 0: none */
	bool is_spread; /* a domain has one of the hosts, not all of them, and each host counts for itself */
	struct sim_host *hosts;
	uint32_t host_count;
	struct sim_dns dns;

	char *hostname;
	enum sim_tls tls;
	bool tls_12_only, tls_required;
	bool has_pipelining, has_8bitmime, has_smtputf8, has_size, has_enhanced, has_chunking, has_dsn,
		has_limits, has_deliverby, has_mt_priority;
	bool check_domain;
	uint64_t size_max;
	uint32_t rcpt_max;
	int64_t latency_us; /* of every reply, as distance does it: replies in one segment wait together */
	int64_t tarpit_us;  /* of every reply, one after the other */
	uint32_t connections_max;
	char *connections_reply;
	uint32_t messages_max; /* in one connection */
	char *messages_reply;  /* NULL: closes without a word */
	uint32_t rate_count;
	int64_t rate_us;
	char *rate_reply;
	int64_t block_us;      /* after a MAIL above the rate; 0: never */
	int64_t block_push_us; /* longer by this with each attempt that comes meanwhile */
	char *block_reply;
	int64_t greylist_us;
	char *greylist_reply;
	struct sim_rule *rules;
	size_t rule_count;
	struct sim_return *returns;
	size_t return_count;
};

/* A name with fixed records, before any site. */
struct sim_record {
	char *name;
	char *txt, *a, *aaaa, *cname;
	char **mx; /* "10 host" */
	size_t mx_count;
	enum sim_fault fault;
};

struct sim_script {
	struct sim_site *sites; /* the last one is "default" */
	size_t site_count;
	struct sim_record *records;
	size_t record_count;
	uint64_t seed;
	struct sim_names *names; /* index of exact names */
};

struct sim_script *script_load(const char *path);
void script_destroy(struct sim_script **sp);

/* Who receives mail for this domain; NULL: nobody. *out_index chooses the host of a spread site. */
const struct sim_site *script_site_of(
	const struct sim_script *s, struct smtp_slice domain, uint32_t *out_index);
const struct sim_host *script_host_of(
	const struct sim_script *s, struct smtp_slice name, const struct sim_site **out_site);
const struct sim_record *script_record_of(const struct sim_script *s, struct smtp_slice name);
#endif
