/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H
/*
 * load_options - the command line of mtasim-load, as one table
 *
 * Header only, like what it shares with mtasim. Texts are borrowed from argv. Fails: false, after
 * words on stderr where the option alone does not explain it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
	char *to, *from, *job, *user, *password, *ledger, *prefix, *rcpt_prefix, *subject;
	char *domains, *domains_file, *domain_pattern;
	unsigned long sessions, messages, size, rcpts, rate, seed, per_connection, give_up_s;
	bool starttls, no_pipeline, overlap, no_date, no_message_id, quiet;
};

#define LOAD_TEXT(name, field, doc)                                                                          \
	{                                                                                                    \
		name, 't', offsetof(struct options, field), doc                                              \
	}
#define LOAD_NUMBER(name, field, doc)                                                                        \
	{                                                                                                    \
		name, 'n', offsetof(struct options, field), doc                                              \
	}
#define LOAD_FLAG(name, field, doc)                                                                          \
	{                                                                                                    \
		name, 'f', offsetof(struct options, field), doc                                              \
	}

static const struct load_option {
	const char *name;
	char kind;
	size_t offset;
	const char *doc;
} load_options[] = {
	LOAD_TEXT("to", to, "ADDRESS:PORT of the server; required"),
	LOAD_NUMBER("sessions", sessions, "connections at once (10)"),
	LOAD_NUMBER("messages", messages, "how many (1000)"),
	LOAD_NUMBER("size", size, "bytes of the body (4096)"),
	LOAD_NUMBER("rcpts", rcpts, "recipients of each message (1)"),
	LOAD_TEXT("domains", domains, "of the recipients: a.test,b.test"),
	LOAD_TEXT("domains-file", domains_file, "the same, from a file"),
	LOAD_TEXT("domain-pattern", domain_pattern, "the same, numbered: d%04d.test:1000"),
	LOAD_TEXT("rcpt-prefix", rcpt_prefix,
		"local parts are this, message number, dot, recipient number (u)"),
	LOAD_TEXT("from", from, "envelope sender and From (news@client.test)"),
	LOAD_TEXT("job", job, "value of an X-Job header field"),
	LOAD_TEXT("user", user, "AUTH PLAIN"),
	LOAD_TEXT("password", password, "its password"),
	LOAD_FLAG("starttls", starttls, "TLS; certificates are not verified"),
	LOAD_FLAG("no-pipeline", no_pipeline, "one command at a time even where PIPELINING is offered"),
	LOAD_FLAG("overlap", overlap, "send the next envelope with the final dot"),
	LOAD_NUMBER("messages-per-connection", per_connection, "then QUIT and connect again (0: never)"),
	LOAD_NUMBER("rate", rate, "messages a second over all sessions (0: as fast as it goes)"),
	LOAD_TEXT("ledger", ledger, "append a line for each recipient: acked, unknown or refused"),
	LOAD_TEXT("id-prefix", prefix, "of X-Ledger-Id (m)"),
	LOAD_NUMBER("seed", seed, "chooses the domains (1)"),
	LOAD_NUMBER("give-up", give_up_s, "seconds without an acknowledgement (60)"),
	LOAD_TEXT("subject", subject, "(News)"),
	LOAD_FLAG("no-date", no_date, "leave Date to the server"),
	LOAD_FLAG("no-message-id", no_message_id, "leave Message-ID to the server"),
	LOAD_FLAG("quiet", quiet, "no progress on stderr"),
};

enum { LOAD_OPTION_COUNT = sizeof(load_options) / sizeof(load_options[0]) };

static inline bool
load_number(const char *text, const char *what, unsigned long *out_value)
{
	char *end;

	errno = 0;
	*out_value = strtoul(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *text != '-' && *out_value <= 1000000000)
		return true;
	fprintf(stderr, "mtasim-load: --%s %s: expected a number\n", what, text);
	return false;
}

static inline bool
load_address(const char *text, struct sockaddr_in *out_address)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	unsigned long port = 0;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host) || !load_number(colon + 1, "to", &port))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	*out_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return port > 0 && port < 65536 && inet_pton(AF_INET, host, &out_address->sin_addr) == 1;
}

static inline void
load_usage(void)
{
	int i;

	fprintf(stderr, "usage: mtasim-load --to ADDRESS:PORT --domains LIST [options]\n");
	for (i = 0; i < LOAD_OPTION_COUNT; i++)
		fprintf(stderr, "  --%-24s %s\n", load_options[i].name, load_options[i].doc);
}

static inline bool
load_options_parse(struct options *o, int argc, char **argv)
{
	static char from[] = "news@client.test", prefix[] = "m", rcpt_prefix[] = "u", subject[] = "News";
	struct option known[LOAD_OPTION_COUNT + 1] = {{NULL, 0, NULL, 0}};
	int i, found;

	*o = (struct options){.from = from,
		.prefix = prefix,
		.rcpt_prefix = rcpt_prefix,
		.subject = subject,
		.sessions = 10,
		.messages = 1000,
		.size = 4096,
		.rcpts = 1,
		.seed = 1,
		.give_up_s = 60};
	for (i = 0; i < LOAD_OPTION_COUNT; i++) {
		known[i].name = load_options[i].name;
		known[i].has_arg = load_options[i].kind == 'f' ? no_argument : required_argument;
	}
	while ((found = getopt_long(argc, argv, "", known, &i)) != -1) {
		char *field;

		if (found != 0)
			return false;
		field = (char *)o + load_options[i].offset;
		if (load_options[i].kind == 't')
			*(char **)(void *)field = optarg;
		else if (load_options[i].kind == 'f')
			*(bool *)(void *)field = true;
		else if (!load_number(optarg, known[i].name, (unsigned long *)(void *)field))
			return false;
	}
	return optind == argc && o->to != NULL && o->sessions > 0 && o->rcpts > 0 &&
	       (o->user == NULL || o->password != NULL) &&
	       (o->domains != NULL || o->domains_file != NULL || o->domain_pattern != NULL);
}
#endif
