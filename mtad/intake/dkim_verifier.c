/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libopendkim as the verifier of strangers' mail, kept on a short leash: it asserts on bad arguments, so it
 * sees only header blocks that libsmtp has read, field by field; its work for a signature grows with the
 * number of fields times that of the names in h=, so it sees four signatures of at most SIGNATURE_BYTES_MAX
 * each; and it would look keys up itself and wait for them, so no signature is left to it whose key record is
 * not at hand.
 *
 * Invariants: dkim_eom() runs once for a handle, with all keys known: each signature is worked on once, since
 * a second time would leak what the first left behind.
 */
#include "intake/dkim_verifier.h"

#include "smtp_header.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include <opendkim/dkim.h>

#define SIGNATURE_BYTES_MAX 4096
#define KEY_BITS_MIN        1024

struct dkim_verifier {
	DKIM_LIB *library;
	struct smtp_field fields[SMTP_HEADER_FIELDS_MAX];
};

/* One check; the handle's user context. */
struct check {
	DKIM *handle;
	struct auth_facts *facts;
	int64_t now_s;
	uint32_t signature_count; /* seen in the header */
	bool is_open;
	struct dkim_answer answer;
};

/* --- keys --- */

static const struct auth_fact *
find_key(struct auth_facts *facts, DKIM_SIGINFO *signature)
{
	char name[2 * SIGNATURE_BYTES_MAX];
	int len = snprintf(name, sizeof(name), "%s._domainkey.%s",
		(const char *)dkim_sig_getselector(signature), (const char *)dkim_sig_getdomain(signature));

	assert(len > 0 && (size_t)len < sizeof(name));
	return auth_facts_get(facts, (struct smtp_slice){name, (size_t)len}, DNS_TYPE_TXT);
}

/* RFC 6376 3.6.2.2 leaves open what several records mean; one that says what it is comes first. */
static struct smtp_slice
choose_record(const struct auth_fact *fact)
{
	static const struct smtp_slice version = SMTP_LIT("v=DKIM1");

	for (uint16_t i = 0; i < fact->count; i++) {
		struct smtp_slice text = auth_fact_text(fact, i);

		if (text.len >= version.len && memcmp(text.ptr, version.ptr, version.len) == 0)
			return text;
	}
	return auth_fact_text(fact, 0);
}

static DKIM_CBSTAT
on_key_lookup(DKIM *handle, DKIM_SIGINFO *signature, u_char *buf, size_t buf_max)
{
	struct check *c = dkim_get_user_context(handle);
	const struct auth_fact *fact = find_key(c->facts, signature);
	struct smtp_slice record;

	if (fact->kind != AUTH_FACT_RECORDS)
		return DKIM_CBSTAT_NOTFOUND;
	record = choose_record(fact);
	if (record.len >= buf_max)
		return DKIM_CBSTAT_NOTFOUND;
	memcpy(buf, record.ptr, record.len);
	buf[record.len] = '\0';
	return DKIM_CBSTAT_CONTINUE;
}

/* --- outcomes --- */

/* What one signature came to; the mail's outcome is the best of all. */
static void
note(struct check *c, enum auth_outcome outcome)
{
	static const int rank[] = {[AUTH_NONE] = 0,
		[AUTH_NEUTRAL] = 1,
		[AUTH_PERMERROR] = 2,
		[AUTH_FAIL] = 3,
		[AUTH_SOFTFAIL] = 3,
		[AUTH_TEMPERROR] = 4,
		[AUTH_PASS] = 5};

	if (rank[outcome] > rank[c->answer.outcome])
		c->answer.outcome = outcome;
}

static void
note_pass(struct check *c, const char *domain)
{
	struct dkim_answer *a = &c->answer;
	char *out = a->domains[a->domain_count];

	assert(a->domain_count < DKIM_VERIFIER_SIGNATURES_MAX);
	if (domain_normalise(domain, strnlen(domain, SIGNATURE_BYTES_MAX), out, DOMAIN_MAX) < 0) {
		note(c, AUTH_NEUTRAL);
		return;
	}
	note(c, AUTH_PASS);
	for (uint32_t i = 0; i < a->domain_count; i++)
		if (strcmp(a->domains[i], out) == 0)
			return;
	a->domain_count++;
}

/* RFC 8601 2.7.1: neutral is what cannot be read, permerror what can never be verified. */
static enum auth_outcome
outcome_of(DKIM_SIGERROR error)
{
	switch (error) {
	case DKIM_SIGERROR_BADSIG:
	case DKIM_SIGERROR_EXPIRED:
	case DKIM_SIGERROR_FUTURE:
	case DKIM_SIGERROR_SUBDOMAIN:
		return AUTH_FAIL;
	case DKIM_SIGERROR_NOKEY:
	case DKIM_SIGERROR_DNSSYNTAX:
	case DKIM_SIGERROR_KEYFAIL:
	case DKIM_SIGERROR_MULTIREPLY:
	case DKIM_SIGERROR_KEYVERSION:
	case DKIM_SIGERROR_KEYUNKNOWNHASH:
	case DKIM_SIGERROR_KEYHASHMISMATCH:
	case DKIM_SIGERROR_NOTEMAILKEY:
	case DKIM_SIGERROR_KEYTYPEMISSING:
	case DKIM_SIGERROR_KEYTYPEUNKNOWN:
	case DKIM_SIGERROR_KEYREVOKED:
	case DKIM_SIGERROR_KEYDECODE:
	case DKIM_SIGERROR_KEYTOOSMALL:
		return AUTH_PERMERROR;
	default:
		return AUTH_NEUTRAL;
	}
}

static bool
has_expired(DKIM_SIGINFO *signature, int64_t now_s)
{
	const u_char *text = dkim_sig_gettagvalue(signature, false, (u_char *)"x");

	return text != NULL && now_s >= 0 && strtoull((const char *)text, NULL, 10) <= (uint64_t)now_s;
}

/* --- the rounds --- */

/* A signature that ends here is not shown to libopendkim any more. */
static void
settle(struct check *c, DKIM_SIGINFO *signature, enum auth_outcome outcome)
{
	note(c, outcome);
	dkim_sig_ignore(signature);
}

/* Can it be judged once its key is there? True: its key record is at hand. */
static bool
prepare(struct check *c, DKIM_SIGINFO *signature)
{
	DKIM_SIGERROR error = dkim_sig_geterror(signature);
	dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;
	const struct auth_fact *key;

	if (error != DKIM_SIGERROR_UNKNOWN) {
		settle(c, signature, outcome_of(error));
		return false;
	}
	if (has_expired(signature, c->now_s)) {
		settle(c, signature, AUTH_FAIL);
		return false;
	}
	if (dkim_sig_gettagvalue(signature, false, (u_char *)"l") != NULL) {
		settle(c, signature, AUTH_NEUTRAL);
		return false;
	}
	/* RFC 8301 3.1: not to be verified. */
	if (dkim_sig_getsignalg(signature, &algorithm) != DKIM_STAT_OK || algorithm == DKIM_SIGN_RSASHA1) {
		settle(c, signature, AUTH_PERMERROR);
		return false;
	}
	key = find_key(c->facts, signature);
	if (auth_fact_is_open(key))
		c->is_open = true;
	else if (key->kind != AUTH_FACT_RECORDS)
		settle(c, signature, key->kind == AUTH_FACT_FAULT ? AUTH_TEMPERROR : AUTH_PERMERROR);
	return key->kind == AUTH_FACT_RECORDS;
}

static void
judge(struct check *c, DKIM_SIGINFO *signature)
{
	DKIM_SIGERROR error = dkim_sig_geterror(signature);

	if (error != DKIM_SIGERROR_OK)
		note(c, error == DKIM_SIGERROR_UNKNOWN ? AUTH_FAIL : outcome_of(error));
	else if (!DKIM_SIG_CHECK(signature))
		note(c, AUTH_FAIL);
	else if (dkim_sig_getflags(signature) & DKIM_SIGFLAG_TESTKEY)
		note(c, AUTH_NEUTRAL); /* RFC 6376 3.6.1: as if it were not signed */
	else
		note_pass(c, (const char *)dkim_sig_getdomain(signature));
}

/* The header is in. */
static void
check_signatures(struct check *c, struct smtp_slice body)
{
	DKIM_SIGINFO **list, *ready[DKIM_VERIFIER_SIGNATURES_MAX];
	int count, ready_count = 0;

	if (dkim_getsiglist(c->handle, &list, &count) != DKIM_STAT_OK) {
		note(c, AUTH_TEMPERROR);
		return;
	}
	assert(count <= DKIM_VERIFIER_SIGNATURES_MAX);
	for (int i = 0; i < count; i++)
		if (prepare(c, list[i]))
			ready[ready_count++] = list[i];
	if (c->is_open || ready_count == 0)
		return;
	if (body.len > 0 && dkim_body(c->handle, (u_char *)body.ptr, body.len) != DKIM_STAT_OK) {
		note(c, AUTH_TEMPERROR);
		return;
	}
	(void)dkim_eom(c->handle, NULL); /* of the first signature; each has its own */
	for (int i = 0; i < ready_count; i++)
		judge(c, ready[i]);
}

static bool
is_signature(const struct smtp_field *f)
{
	return smtp_slice_is_nocase(f->name, SMTP_LIT(DKIM_SIGNHEADER));
}

static void
check_header(struct check *c, const struct smtp_header *h, struct smtp_slice body)
{
	DKIM_STAT status;

	for (uint32_t i = 0; i < h->count; i++) {
		struct smtp_slice whole = h->fields[i].whole;

		if (is_signature(&h->fields[i]) && (c->signature_count++ >= DKIM_VERIFIER_SIGNATURES_MAX ||
							   whole.len > SIGNATURE_BYTES_MAX))
			continue;
		/* What it cannot read it leaves out, and then says so of the signature that covers it. */
		(void)dkim_header(c->handle, (u_char *)whole.ptr, whole.len - 2);
	}
	status = dkim_eoh(c->handle);
	if (status == DKIM_STAT_OK)
		check_signatures(c, body);
	else if (status == DKIM_STAT_NOSIG)
		note(c, AUTH_NEUTRAL); /* signatures, but none that can be read */
	else
		note(c, status == DKIM_STAT_SYNTAX ? AUTH_PERMERROR : AUTH_TEMPERROR);
}

static bool
has_signature(const struct smtp_header *h)
{
	return smtp_header_find(h, SMTP_LIT(DKIM_SIGNHEADER), 0) >= 0;
}

bool
dkim_verifier_check(struct dkim_verifier *v, struct smtp_slice mail, int64_t now_s, struct auth_facts *facts,
	struct dkim_answer *out)
{
	struct smtp_header h = {.fields = v->fields, .fields_max = SMTP_HEADER_FIELDS_MAX};
	struct check c = {.facts = facts, .now_s = now_s};
	DKIM_STAT status;
	size_t at;

	if (smtp_header_scan(&h, mail, &at) < 0) {
		note(&c, AUTH_PERMERROR);
	} else if (has_signature(&h)) {
		struct smtp_slice body = {mail.ptr + h.header_bytes, mail.len - h.header_bytes};

		c.handle = dkim_verify(v->library, (const unsigned char *)"mail", NULL, &status);
		if (c.handle == NULL) {
			note(&c, AUTH_TEMPERROR);
		} else {
			dkim_set_user_context(c.handle, &c);
			check_header(&c, &h, body);
			dkim_free(c.handle);
		}
	}
	if (!c.is_open)
		*out = c.answer;
	return !c.is_open;
}

struct dkim_verifier *
dkim_verifier_create(void)
{
	struct dkim_verifier *v = calloc(1, sizeof(*v));
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC, bits = KEY_BITS_MIN;

	if (v == NULL)
		return NULL;
	v->library = dkim_init(NULL, NULL);
	if (v->library == NULL ||
		dkim_options(v->library, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags)) !=
			DKIM_STAT_OK ||
		dkim_options(v->library, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof(bits)) !=
			DKIM_STAT_OK)
		dkim_verifier_destroy(&v);
	else
		dkim_set_key_lookup(v->library, on_key_lookup);
	return v;
}

void
dkim_verifier_destroy(struct dkim_verifier **vp)
{
	struct dkim_verifier *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	if (v->library != NULL)
		dkim_close(v->library);
	free(v);
}
