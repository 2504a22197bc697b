/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail, its envelope and DNS from the same bytes, evaluated by rounds. In: lines "client", "helo" and "mail
 * from", a zone up to an empty line (auth_fixture.h), and the mail. Oracles: it ends within as many rounds as
 * there are questions, each round asks for something new, outcomes and domains are what they may be, and the
 * same bytes lead to the same end. libopendkim's leaks are looked for by the sanitizer.
 */
#include "../unit/auth_fixture.h"
#include "intake/dkim_verifier.h"
#include "intake/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))
#define INPUT_MAX 20000

struct input {
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct spf_question spf;
	const char *zone; /* terminated */
	struct smtp_slice mail;
};

static struct smtp_slice
take_line(char **at)
{
	size_t len = strcspn(*at, "\n");
	struct smtp_slice line = {*at, len};

	*at += len + ((*at)[len] == '\n');
	return line;
}

static void
take_client(struct input *in, struct smtp_slice line)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (line.len < sizeof(text))
		memcpy(text, line.ptr, line.len);
	in->v4.sin_family = AF_INET;
	in->v6.sin6_family = AF_INET6;
	inet_pton(AF_INET, text, &in->v4.sin_addr);
	in->spf.client = inet_pton(AF_INET6, text, &in->v6.sin6_addr) == 1 ? (struct sockaddr *)&in->v6
									   : (struct sockaddr *)&in->v4;
}

static void
take_input(struct input *in, char *text, size_t len)
{
	char *at = text, *end;

	memset(in, 0, sizeof(*in));
	take_client(in, take_line(&at));
	in->spf.helo = take_line(&at);
	in->spf.mail_from = take_line(&at);
	in->zone = at;
	if ((end = strstr(at, "\n\n")) != NULL) {
		end[1] = '\0';
		at = end + 2;
	} else {
		at += strnlen(at, len);
	}
	in->mail = (struct smtp_slice){at, (size_t)(text + len - at)};
}

static void
evaluate(struct dkim_verifier *v, const struct input *in, struct dkim_answer *dkim, struct spf_answer *spf)
{
	struct auth_facts facts = {0};
	bool has_dkim = false, has_spf = false;

	for (int rounds = 0;; rounds++) {
		REQUIRE(rounds <= AUTH_FACTS_MAX);
		if (!has_dkim)
			has_dkim = dkim_verifier_check(v, in->mail, 1800000000, &facts, dkim);
		if (!has_spf)
			has_spf = spf_check(&in->spf, &facts, spf);
		if (has_dkim && has_spf)
			break;
		REQUIRE(fixture_answer_all(in->zone, &facts));
	}
	REQUIRE(facts.count <= AUTH_FACTS_MAX);
	auth_facts_fini(&facts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dkim_verifier *verifier;
	struct dkim_answer dkim = {0}, dkim_again = {0};
	struct spf_answer spf = {0}, spf_again = {0};
	struct input in;
	char *text;

	if (size > INPUT_MAX)
		return 0;
	if (verifier == NULL)
		verifier = dkim_verifier_create();
	text = malloc(size + 1);
	REQUIRE(verifier != NULL && text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	take_input(&in, text, size);
	evaluate(verifier, &in, &dkim, &spf);
	REQUIRE((unsigned)dkim.outcome <= AUTH_PERMERROR && (unsigned)spf.outcome <= AUTH_PERMERROR);
	REQUIRE(dkim.outcome != AUTH_SOFTFAIL);
	REQUIRE(dkim.domain_count <= DKIM_VERIFIER_SIGNATURES_MAX);
	REQUIRE((dkim.outcome == AUTH_PASS) == (dkim.domain_count > 0));
	for (uint32_t i = 0; i < dkim.domain_count; i++)
		REQUIRE(strnlen(dkim.domains[i], DOMAIN_MAX) > 0);
	REQUIRE(spf.outcome == AUTH_NONE || spf.domain[0] != '\0');
	evaluate(verifier, &in, &dkim_again, &spf_again);
	REQUIRE(dkim.outcome == dkim_again.outcome && dkim.domain_count == dkim_again.domain_count);
	REQUIRE(spf.outcome == spf_again.outcome && strcmp(spf.domain, spf_again.domain) == 0);
	free(text);
	return 0;
}
