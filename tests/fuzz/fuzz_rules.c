/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any rules on any reply: what stands before the first NUL is blocks of a configuration, what stands behind
 * it the reply. Oracles: rules that hold are for the provider, in order and each once; those for a provider
 * are among those for any; success matches nothing; waits are within their bounds; words end within theirs.
 */
#include "conf/conf_load.h"
#include "shape/hint.h"
#include "shape/rules.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static const char head[] = "hostname = mta1.example.com\n"
			   "provider a { mx = *.a.example }\nprovider b { mx = *.b.example }\n"
			   "profile slow { rate = 1/m }\n";

static bool
is_among(uint32_t rule, const struct rules_match *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->rules[i] == rule)
			return true;
	return m->count == RULES_MATCH_MAX;
}

static void
check_match(const struct conf *c, const struct rules *r, const struct smtp_reply *reply)
{
	struct rules_match any, m;
	char words[RULES_WORDS_MAX], text[RULES_TEXT_MAX];

	REQUIRE(rules_text(reply, text) <= sizeof(text));
	rules_match(r, &(struct rules_reply){RULES_PROVIDER_ANY, RULES_PHASES_ANY, reply}, &any);
	for (int provider = -1; provider < (int)c->provider_count; provider++) {
		rules_match(r, &(struct rules_reply){provider, RULES_PHASES_ANY, reply}, &m);
		REQUIRE(m.count <= RULES_MATCH_MAX);
		REQUIRE(m.count == 0 || reply->code >= 400);
		REQUIRE(m.retry_us == 0 || m.retry_us >= 1000000);
		for (uint32_t i = 0; i < m.count; i++) {
			REQUIRE(i == 0 || m.rules[i - 1] < m.rules[i]);
			REQUIRE(rules_is_for(c, m.rules[i], provider));
			REQUIRE(is_among(m.rules[i], &any));
			REQUIRE(i + 1 == m.count || !c->rules[m.rules[i]].last);
			rules_say(c, m.rules[i], words, sizeof(words));
			REQUIRE(memchr(words, '\0', sizeof(words)) != NULL && words[0] != '\0');
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size < 4096 ? size : 4096);
	FILE *out = fopen("/dev/null", "we");
	struct smtp_reply_parser p;
	struct smtp_reply reply;
	const struct conf *c;
	struct rules *r;
	size_t len;
	char *bytes;
	int64_t hint;

	REQUIRE(out != NULL);
	if (nul == NULL || size > 8192) {
		fclose(out);
		return 0;
	}
	len = (size_t)(nul - data);
	bytes = malloc(sizeof(head) + len);
	REQUIRE(bytes != NULL);
	memcpy(bytes, head, sizeof(head) - 1);
	memcpy(bytes + sizeof(head) - 1, data, len);
	c = conf_load_bytes("/nonexistent/fuzz.conf", bytes, sizeof(head) - 1 + len, out);
	free(bytes);
	fclose(out);
	hint = hint_wait((struct smtp_slice){(const char *)nul + 1, size - len - 1});
	REQUIRE(hint == 0 || (hint >= HINT_MIN_US && hint <= HINT_MAX_US));
	if (c == NULL)
		return 0;
	r = rules_create(c);
	REQUIRE(r != NULL);
	if (rules_read((const char *)nul + 1, size - len - 1, &p, &reply))
		check_match(c, r, &reply);
	rules_unref(r);
	conf_unref(c);
	return 0;
}
