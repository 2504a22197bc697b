/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bounce blocks on any reply: what stands before the first NUL is blocks of a configuration, what stands
 * behind it the reply. Oracles: there is always a class; a block that holds is for the provider; the text
 * keeps its bound; what needs are not met for is not found; the answer is that of trying every expression.
 */
#include "base/pattern.h"
#include "conf/conf_load.h"
#include "feedback/classify.h"
#include "feedback/needs.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static const char head[] = "hostname = mta1.example.com\n"
			   "provider a { mx = *.a.example }\nprovider b { mx = *.b.example }\n";

static void
check_needs(const struct conf *c, const char *text, size_t len)
{
	struct pattern_block *block = pattern_block_create();
	struct needs_set set;

	REQUIRE(block != NULL);
	needs_of_text(&set, text, len);
	for (size_t n = 0; n < c->bounce_count; n++)
		for (size_t i = 0; i < c->bounces[n].text.count; i++) {
			const char *expression = c->bounces[n].text.items[i];
			struct needs *needs = needs_create(expression, strlen(expression));
			size_t offset;
			char why[200];
			struct pattern *p = pattern_create(expression, &offset, why, sizeof(why));

			REQUIRE(needs != NULL && p != NULL);
			REQUIRE(needs_are_met(needs, &set) ||
				pattern_match(p, block, text, len) != PATTERN_YES);
			pattern_destroy(&p);
			needs_destroy(&needs);
		}
	pattern_block_destroy(&block);
}

static void
check_reply(const struct conf *c, const struct classifier *classifier, const char *reply, size_t len)
{
	struct classify_input in = {.provider = 0};
	char text[CLASSIFY_TEXT_MAX];

	classify_read(reply, len, &in);
	len = classify_text(&in, text);
	REQUIRE(len <= sizeof(text));
	check_needs(c, text, len);
	for (in.provider = CLASSIFY_PROVIDER_ANY; in.provider < (int)c->provider_count; in.provider++) {
		struct classify_result r;
		bool is_for = in.provider == CLASSIFY_PROVIDER_ANY;

		classify(classifier, &in, &r);
		REQUIRE(r.bounce_class > BOUNCE_CLASS_NONE && r.bounce_class < BOUNCE_CLASS_COUNT);
		REQUIRE(r.block >= CLASSIFY_BY_CODE && r.block < (int64_t)c->bounce_count);
		if (r.block < 0)
			continue;
		REQUIRE(r.bounce_class == c->bounces[r.block].means);
		for (size_t i = 0; i < c->bounces[r.block].providers.count; i++)
			is_for = is_for || (int)c->bounces[r.block].when.provider_index[i] == in.provider;
		REQUIRE(is_for || c->bounces[r.block].providers.count == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size < 4096 ? size : 4096);
	struct classifier *classifier;
	const struct conf *c;
	FILE *out;
	char *bytes;
	size_t len;

	if (nul == NULL || size > 8192)
		return 0;
	len = (size_t)(nul - data);
	REQUIRE((out = fopen("/dev/null", "we")) != NULL);
	REQUIRE((bytes = malloc(sizeof(head) + len)) != NULL);
	memcpy(bytes, head, sizeof(head) - 1);
	memcpy(bytes + sizeof(head) - 1, data, len);
	c = conf_load_bytes("/nonexistent/fuzz.conf", bytes, sizeof(head) - 1 + len, out);
	free(bytes);
	fclose(out);
	if (c == NULL)
		return 0;
	REQUIRE((classifier = classifier_create(c)) != NULL);
	check_reply(c, classifier, (const char *)nul + 1, size - len - 1);
	classifier_unref(classifier);
	conf_unref(c);
	return 0;
}
