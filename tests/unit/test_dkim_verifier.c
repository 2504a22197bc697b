/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim_verifier: mails signed by our own signer and by libopendkim, what breaks a signature and what must
 * not, keys that are missing, wrong, revoked or not to be had, and bounds. Every mail is judged by rounds.
 */
#include "intake/dkim_verifier.h"

#include "auth_fixture.h"
#include "intake/dkim.h"
#include "smtp_base64.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <opendkim/dkim.h>

enum { MAIL_MAX = 65536, RECORDS_MAX = 4096, ZONE_MAX = 16384 };

static struct rig {
	char dir[64];
	char rsa[128], ed25519[128];
	char rsa_record[DKIM_RECORD_MAX], ed25519_record[DKIM_RECORD_MAX];
	struct dkim_verifier *verifier;
	int64_t now_s;
	char zone[ZONE_MAX];
} rig;

static const char plain[] = "From: Reports <reports@example.com>\r\nTo: x@our.test\r\nSubject: complaint\r\n"
			    "Date: Mon, 30 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\r\n"
			    "Body with  blanks \r\n\r\nand more\r\n\r\n\r\n";

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strnlen(text, MAIL_MAX)};
}

static int
set_up(void **state)
{
	struct dkim_key_conf conf = {"example.com", "r", rig.rsa};
	char why[400];

	snprintf(rig.dir, sizeof(rig.dir), "/tmp/test_dkim_verifier.XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	snprintf(rig.rsa, sizeof(rig.rsa), "%s/rsa", rig.dir);
	snprintf(rig.ed25519, sizeof(rig.ed25519), "%s/ed25519", rig.dir);
	assert_int_equal(dkim_keygen(&conf, "rsa2048", rig.rsa_record, why, sizeof(why)), 0);
	conf.key_path = rig.ed25519;
	assert_int_equal(dkim_keygen(&conf, "ed25519", rig.ed25519_record, why, sizeof(why)), 0);
	rig.verifier = dkim_verifier_create();
	assert_non_null(rig.verifier);
	rig.now_s = time(NULL);
	return 0;
}

static int
tear_down(void **state)
{
	dkim_verifier_destroy(&rig.verifier);
	unlink(rig.rsa);
	unlink(rig.ed25519);
	return rmdir(rig.dir);
}

/* The usual zone: both keys, for example.com and example.org. */
static void
set_zone(const char *more)
{
	snprintf(rig.zone, sizeof(rig.zone),
		"r._domainkey.example.com TXT %s\ne._domainkey.example.com TXT %s\n"
		"r._domainkey.example.org TXT %s\ne._domainkey.example.org TXT %s\n%s",
		rig.rsa_record, rig.ed25519_record, rig.rsa_record, rig.ed25519_record, more);
}

/* Signs `mail` in place: the signature stands above it. */
static void
sign_as(char mail[MAIL_MAX], const char *domain, const char *selector, const char *key_path)
{
	const struct dkim_key_conf conf = {domain, selector, key_path};
	char signature[DKIM_SIGNED_MAX], why[400];
	struct smtp_slice piece = slice(mail);
	struct dkim_message m = {&piece, 1, slice(domain), rig.now_s};
	struct dkim_keys *keys;
	int len;

	if (dkim_keys_load(&conf, 1, why, sizeof(why), &keys) < 0)
		fail_msg("%s", why);
	len = dkim_keys_sign(keys, &m, signature, sizeof(signature));
	assert_true(len > 0);
	memmove(mail + len, mail, piece.len + 1);
	memcpy(mail, signature, (size_t)len);
	dkim_keys_destroy(&keys);
}

static void
sign(char mail[MAIL_MAX], const char *domain, bool has_rsa, bool has_ed25519)
{
	if (has_rsa)
		sign_as(mail, domain, "r", rig.rsa);
	if (has_ed25519)
		sign_as(mail, domain, "e", rig.ed25519);
}

static int rounds;

static enum auth_outcome
check_at(struct smtp_slice mail, int64_t now_s, struct dkim_answer *out)
{
	/* A copy without a byte behind it, so that a sanitizer sees reads past its end. */
	char *copy = malloc(mail.len + 1);
	struct auth_facts facts = {0};

	assert_non_null(copy);
	memcpy(copy + 1, mail.ptr, mail.len);
	memset(out, 0xff, sizeof(*out));
	rounds = 0;
	while (!dkim_verifier_check(
		rig.verifier, (struct smtp_slice){copy + 1, mail.len}, now_s, &facts, out)) {
		assert_true(rounds++ < 1);
		assert_true(facts.count <= DKIM_VERIFIER_SIGNATURES_MAX);
		assert_true(fixture_answer_all(rig.zone, &facts));
	}
	auth_facts_fini(&facts);
	free(copy);
	return out->outcome;
}

static enum auth_outcome
check(const char *mail, struct dkim_answer *out)
{
	return check_at(slice(mail), rig.now_s, out);
}

static void
expect(const char *what, enum auth_outcome is, enum auth_outcome want)
{
	if (is != want)
		fail_msg("%s: %s, not %s", what, auth_outcome_text(is), auth_outcome_text(want));
}

/* `from` becomes `to`, of the same length or not. */
static void
replace(char mail[MAIL_MAX], const char *from, const char *to)
{
	char *at = strstr(mail, from), rest[MAIL_MAX];

	assert_non_null(at);
	snprintf(rest, sizeof(rest), "%s", at + slice(from).len);
	snprintf(at, MAIL_MAX - (size_t)(at - mail), "%s%s", to, rest);
}

/* --- what passes ----------------------------------------------------------------------------------- */

static void
test_pass(void **state)
{
	static const struct {
		bool has_rsa, has_ed25519;
	} keys[] = {{true, false}, {false, true}, {true, true}};

	set_zone("");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char mail[MAIL_MAX];
		struct dkim_answer answer;

		snprintf(mail, sizeof(mail), "%s", plain);
		sign(mail, "example.com", keys[i].has_rsa, keys[i].has_ed25519);
		expect("signed", check(mail, &answer), AUTH_PASS);
		assert_int_equal(answer.domain_count, 1);
		assert_string_equal(answer.domains[0], "example.com");
		assert_int_equal(rounds, 1);
	}
}

static void
test_two_domains(void **state)
{
	char mail[MAIL_MAX];
	struct dkim_answer answer;

	set_zone("");
	snprintf(mail, sizeof(mail), "%s", plain);
	sign(mail, "example.com", true, false);
	sign(mail, "example.org", false, true);
	expect("both", check(mail, &answer), AUTH_PASS);
	assert_int_equal(answer.domain_count, 2);
	assert_string_equal(answer.domains[0], "example.org");
	assert_string_equal(answer.domains[1], "example.com");
	replace(mail, "d=example.org", "d=example.net"); /* no key there */
	expect("one of two", check(mail, &answer), AUTH_PASS);
	assert_int_equal(answer.domain_count, 1);
	assert_string_equal(answer.domains[0], "example.com");
}

/* Another project's signer, simple and relaxed. */
static void
test_opendkim(void **state)
{
	static const dkim_canon_t canons[] = {DKIM_CANON_SIMPLE, DKIM_CANON_RELAXED};
	DKIM_LIB *library = dkim_init(NULL, NULL);
	char key[4096] = "";
	FILE *f = fopen(rig.rsa, "r");

	assert_non_null(f);
	assert_true(fread(key, 1, sizeof(key) - 1, f) > 0);
	fclose(f);
	set_zone("");
	for (int i = 0; i < 4; i++) {
		DKIM_STAT status;
		DKIM *d = dkim_sign(library, (u_char *)"t", NULL, (u_char *)key, (u_char *)"r",
			(u_char *)"example.com", canons[i / 2], canons[i % 2], DKIM_SIGN_RSASHA256, -1,
			&status);
		char mail[MAIL_MAX];
		u_char field[4096];
		struct dkim_answer answer;

		assert_non_null(d);
		assert_int_equal(dkim_chunk(d, (u_char *)plain, sizeof(plain) - 1), DKIM_STAT_OK);
		assert_int_equal(dkim_chunk(d, NULL, 0), DKIM_STAT_OK);
		assert_int_equal(dkim_eom(d, NULL), DKIM_STAT_OK);
		assert_int_equal(dkim_getsighdr(d, field, sizeof(field), 16), DKIM_STAT_OK);
		dkim_free(d);
		snprintf(mail, sizeof(mail), "DKIM-Signature: %s\r\n%s", (char *)field, plain);
		expect("opendkim", check(mail, &answer), AUTH_PASS);
		replace(mail, "complaint", "complainT");
		expect("opendkim, changed", check(mail, &answer), AUTH_FAIL);
	}
	dkim_close(library);
}

/* --- what does not --------------------------------------------------------------------------------- */

static const struct {
	const char *name, *from, *to;
	enum auth_outcome want;
} changes[] = {
	{"nothing", "and more", "and more", AUTH_PASS},
	{"a blank at a line's end", "blanks \r", "blanks\t\r", AUTH_PASS},
	{"a field nobody signed", "\r\n\r\nBody", "\r\nX-Seen: yes\r\n\r\nBody", AUTH_PASS},
	{"a word of the body", "and more", "and less", AUTH_FAIL},
	{"text after the body", "and more\r\n", "and more\r\nmore\r\n", AUTH_FAIL},
	{"the subject", "complaint", "complaints", AUTH_FAIL},
	{"another From below", "\r\n\r\nBody", "\r\nFrom: evil@example.com\r\n\r\nBody", AUTH_FAIL},
	{"no From", "From: Reports <reports@example.com>\r\n", "", AUTH_PERMERROR},
	{"an empty From", "From: Reports <reports@example.com>\r\n", "From: \r\n", AUTH_PERMERROR},
	{"no DKIM-Signature", "DKIM-Signature:", "X-Signature:", AUTH_NONE},
	{"a version of the future", "v=1;", "v=2;", AUTH_NEUTRAL},
	{"an algorithm nobody knows", "a=rsa-sha256", "a=rsa-sha999", AUTH_NEUTRAL},
	{"SHA-1", "a=rsa-sha256", "a=rsa-sha1", AUTH_PERMERROR},
	{"no d=", "d=example.com;", "", AUTH_NEUTRAL},
	{"d= of nothing", "d=example.com;", "d=;", AUTH_NEUTRAL},
	{"s= of nothing", "s=r;", "s=;", AUTH_NEUTRAL},
	{"d= that is no name", "d=example.com;", "d=exa mple@com;", AUTH_NEUTRAL},
	{"d= that cannot be asked for", "d=example.com;", "d=example..com;", AUTH_PERMERROR},
	{"another name in h=", "h=", "h=x-", AUTH_FAIL},
	{"a body hash of another", "bh=", "bh=AAAA", AUTH_FAIL},
	{"a signature of nothing", "b=", "bx=", AUTH_NEUTRAL},
	{"part of the body", "s=r;", "s=r; l=4;", AUTH_NEUTRAL},
	{"expired", "s=r;", "s=r; x=1000000000;", AUTH_FAIL},
	{"i= elsewhere", "s=r;", "s=r; i=@example.org;", AUTH_NEUTRAL},
};

static void
test_changes(void **state)
{
	set_zone("");
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char mail[MAIL_MAX];
		struct dkim_answer answer;

		snprintf(mail, sizeof(mail), "%s", plain);
		sign(mail, "example.com", true, false);
		replace(mail, changes[i].from, changes[i].to);
		expect(changes[i].name, check(mail, &answer), changes[i].want);
		assert_int_equal(answer.domain_count, changes[i].want == AUTH_PASS);
	}
}

#define NINES                                                                                                \
	"99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999" \
	"99"

/* What stands in DNS at the selector; %s is the right key. */
static const struct {
	const char *name, *lines;
	enum auth_outcome want;
} key_records[] = {
	{"no more than the key", "s._domainkey.example.com TXT p=%s\n", AUTH_PASS},
	{"nothing", "", AUTH_PERMERROR},
	{"only addresses", "s._domainkey.example.com A 1.2.3.4\n", AUTH_PERMERROR},
	{"a fault", "s._domainkey.example.com FAULT TXT\n", AUTH_TEMPERROR},
	{"words", "s._domainkey.example.com TXT this is not a key\n", AUTH_PERMERROR},
	{"an empty text", "s._domainkey.example.com TXT \n", AUTH_PERMERROR},
	{"noise", "s._domainkey.example.com TXT v=DKIM1; k=rsa; p=QUJDREVGR0g=\n", AUTH_PERMERROR},
	{"no base64", "s._domainkey.example.com TXT v=DKIM1; k=rsa; p=***\n", AUTH_PERMERROR},
	{"no p=", "s._domainkey.example.com TXT v=DKIM1; k=rsa\n", AUTH_PERMERROR},
	{"revoked", "s._domainkey.example.com TXT v=DKIM1; k=rsa; p=\n", AUTH_PERMERROR},
	{"not for mail", "s._domainkey.example.com TXT v=DKIM1; s=web; k=rsa; p=%s\n", AUTH_PERMERROR},
	{"for mail among others", "s._domainkey.example.com TXT v=DKIM1; s=web:email; p=%s\n", AUTH_PASS},
	{"another hash", "s._domainkey.example.com TXT v=DKIM1; h=sha1; k=rsa; p=%s\n", AUTH_PERMERROR},
	{"another kind", "s._domainkey.example.com TXT v=DKIM1; k=dsa; p=%s\n", AUTH_PERMERROR},
	{"another version", "s._domainkey.example.com TXT v=DKIM2; k=rsa; p=%s\n", AUTH_PERMERROR},
	{"under test", "s._domainkey.example.com TXT v=DKIM1; t=y; k=rsa; p=%s\n", AUTH_NEUTRAL},
	{"8 bits", "s._domainkey.example.com TXT v=DKIM1; n=\xc3\xa4; k=rsa; p=%s\n", AUTH_PERMERROR},
	{"two, the key second",
		"s._domainkey.example.com TXT verification=x\ns._domainkey.example.com TXT v=DKIM1; p=%s\n",
		AUTH_PASS},
	{"longer than libopendkim takes",
		"s._domainkey.example.com TXT v=DKIM1; p=%s; n=" NINES NINES NINES NINES NINES NINES NINES
		"\n",
		AUTH_PERMERROR},
};

static void
test_key_records(void **state)
{
	const char *key = strstr(rig.rsa_record, "p=") + 2;

	for (size_t i = 0; i < sizeof(key_records) / sizeof(key_records[0]); i++) {
		const char *lines = key_records[i].lines, *at = strstr(lines, "%s");
		size_t before = at != NULL ? (size_t)(at - lines) : slice(lines).len;
		char mail[MAIL_MAX], zone[RECORDS_MAX];
		struct dkim_answer answer;

		snprintf(zone, sizeof(zone), "%.*s%s%s", (int)before, lines, at != NULL ? key : "",
			at != NULL ? at + 2 : "");
		set_zone(zone);
		snprintf(mail, sizeof(mail), "%s", plain);
		sign_as(mail, "example.com", "s", rig.rsa);
		expect(key_records[i].name, check(mail, &answer), key_records[i].want);
	}
}

/* Signed by libopendkim, which signs what others should not accept: with a key too short, or a part of the
 * body. */
static void
sign_by_opendkim(char mail[MAIL_MAX], const char *key, ssize_t body_bytes)
{
	DKIM_LIB *library = dkim_init(NULL, NULL);
	unsigned flags = body_bytes >= 0 ? DKIM_LIBFLAGS_SIGNLEN : 0, bits = 512;
	struct smtp_slice text = slice(mail);
	DKIM_STAT status;
	u_char field[4096];
	DKIM *d;
	int len;

	dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags));
	dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof(bits));
	d = dkim_sign(library, (u_char *)"t", NULL, (u_char *)key, (u_char *)"s", (u_char *)"example.com",
		DKIM_CANON_SIMPLE, DKIM_CANON_SIMPLE, DKIM_SIGN_RSASHA256, body_bytes, &status);
	assert_non_null(d);
	assert_int_equal(dkim_chunk(d, (u_char *)text.ptr, text.len), DKIM_STAT_OK);
	assert_int_equal(dkim_chunk(d, NULL, 0), DKIM_STAT_OK);
	assert_int_equal(dkim_eom(d, NULL), DKIM_STAT_OK);
	assert_int_equal(dkim_getsighdr(d, field, sizeof(field), 16), DKIM_STAT_OK);
	dkim_free(d);
	dkim_close(library);
	len = snprintf((char *)NULL, 0, "DKIM-Signature: %s\r\n", (char *)field);
	memmove(mail + len, mail, text.len + 1);
	memcpy(mail, "DKIM-Signature: ", 16);
	memcpy(mail + 16, field, (size_t)len - 18);
	memcpy(mail + len - 2, "\r\n", 2);
}

static void
test_part_of_body(void **state)
{
	char key[4096] = "", mail[MAIL_MAX], zone[RECORDS_MAX];
	FILE *f = fopen(rig.rsa, "r");
	struct dkim_answer answer;

	assert_non_null(f);
	assert_true(fread(key, 1, sizeof(key) - 1, f) > 0);
	fclose(f);
	snprintf(zone, sizeof(zone), "s._domainkey.example.com TXT %s\n", rig.rsa_record);
	set_zone(zone);
	snprintf(mail, sizeof(mail), "%s", plain);
	sign_by_opendkim(mail, key, 10);
	assert_non_null(strstr(mail, "l=10"));
	expect("a part", check(mail, &answer), AUTH_NEUTRAL);
	snprintf(mail, sizeof(mail), "%s", plain);
	sign_by_opendkim(mail, key, -1);
	expect("all", check(mail, &answer), AUTH_PASS);
}

static void
test_short_key(void **state)
{
	static const struct {
		unsigned bits;
		enum auth_outcome want;
	} keys[] = {{1024, AUTH_PASS}, {768, AUTH_PERMERROR}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		EVP_PKEY *key = EVP_RSA_gen(keys[i].bits);
		BIO *bio = BIO_new(BIO_s_mem());
		char pem[4096] = "", text[1024], mail[MAIL_MAX], zone[RECORDS_MAX];
		unsigned char *der = NULL;
		struct dkim_answer answer;
		int len = i2d_PUBKEY(key, &der);

		assert_true(len > 0 && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
		assert_true(BIO_read(bio, pem, sizeof(pem) - 1) > 0);
		len = smtp_base64_encode((struct smtp_slice){(char *)der, (size_t)len}, text, sizeof(text));
		assert_true(len > 0);
		snprintf(zone, sizeof(zone), "s._domainkey.example.com TXT p=%.*s\n", len, text);
		set_zone(zone);
		snprintf(mail, sizeof(mail), "%s", plain);
		sign_by_opendkim(mail, pem, -1);
		expect("its bits", check(mail, &answer), keys[i].want);
		OPENSSL_free(der);
		BIO_free(bio);
		EVP_PKEY_free(key);
	}
}

/* Signatures that nothing can be done with: no key is asked for. */
static void
test_unreadable(void **state)
{
	static const char *const signatures[] = {
		"DKIM-Signature:",
		"DKIM-Signature: nonsense",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r; h=subject; bh=eHh4; b=eHh4",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r; h=:; bh=eHh4; b=eHh4",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r; h=from; bh=; b=eHh4",
		"DKIM-Signature: v=1; a=rsa-sha256; c=x/y; d=example.com; s=r; h=from; bh=eHh4; b=eHh4",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r; t=x; h=from; bh=eHh4; b=eHh4",
	};

	set_zone("");
	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
		char mail[MAIL_MAX];
		struct dkim_answer answer;

		snprintf(mail, sizeof(mail), "%s\r\n%s", signatures[i], plain);
		expect(signatures[i], check(mail, &answer), AUTH_NEUTRAL);
		assert_int_equal(rounds, 0);
	}
}

/* By our clock, whatever the machine's says. */
static void
test_expired(void **state)
{
	char mail[MAIL_MAX], x[64];
	struct dkim_answer answer;

	set_zone("");
	snprintf(mail, sizeof(mail), "%s", plain);
	sign(mail, "example.com", true, false);
	snprintf(x, sizeof(x), "s=r; x=%lld;", (long long)rig.now_s + 7200);
	replace(mail, "s=r;", x); /* not signed with it: fails either way, but by which question? */
	expect("in time", check_at(slice(mail), rig.now_s, &answer), AUTH_FAIL);
	assert_int_equal(rounds, 1);
	expect("late", check_at(slice(mail), rig.now_s + 7200, &answer), AUTH_FAIL);
	assert_int_equal(rounds, 0); /* its key is not even asked for */
}

/* --- bounds ---------------------------------------------------------------------------------------- */

static void
test_many_signatures(void **state)
{
	static const char bad[] = "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=n%d; h=from; "
				  "bh=eHh4; b=eHh4\r\n";
	char mail[MAIL_MAX], all[MAIL_MAX];
	struct dkim_answer answer;
	size_t len = 0;

	set_zone("");
	snprintf(mail, sizeof(mail), "%s", plain);
	sign(mail, "example.com", true, false);
	for (int i = 0; i < 3; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, bad, i);
	snprintf(all + len, sizeof(all) - len, "%s", mail);
	expect("the fourth", check(all, &answer), AUTH_PASS);
	for (int i = 0; i < 300; i++)
		len = i == 0 ? (size_t)snprintf(all, sizeof(all), bad, i)
			     : len + (size_t)snprintf(all + len, sizeof(all) - len, bad, i);
	snprintf(all + len, sizeof(all) - len, "%s", mail);
	expect("the last of many", check(all, &answer), AUTH_PERMERROR);
}

/* A signature that names thousands of fields is not worked on. */
static void
test_long_signature(void **state)
{
	char mail[MAIL_MAX];
	struct dkim_answer answer;
	size_t len;

	set_zone("");
	len = (size_t)snprintf(mail, sizeof(mail),
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=r; bh=eHh4; b=eHh4;\r\n h=from");
	for (int i = 0; i < 3000; i++)
		len += (size_t)snprintf(mail + len, sizeof(mail) - len, i % 40 == 39 ? ":a\r\n " : ":a");
	snprintf(mail + len, sizeof(mail) - len, "\r\n%s", plain);
	expect("long", check(mail, &answer), AUTH_NEUTRAL);
	assert_int_equal(rounds, 0);
}

/* Cut at every position, and with each byte of the header wrong: an answer, and never a pass from a changed
 * signed field. */
static void
test_mauled(void **state)
{
	char mail[MAIL_MAX];
	struct dkim_answer answer;
	size_t len, head;

	set_zone("");
	snprintf(mail, sizeof(mail), "%s", plain);
	sign(mail, "example.com", true, true);
	len = slice(mail).len;
	head = (size_t)(strstr(mail, "\r\n\r\n") - mail);
	for (size_t i = 0; i < len; i++) {
		enum auth_outcome is = check_at((struct smtp_slice){mail, i}, rig.now_s, &answer);

		/* Only empty lines at the end may go. */
		assert_true(is != AUTH_PASS || i >= len - 6);
	}
	for (size_t i = 0; i < head; i++) {
		static const char bytes[] = {'\0', '\r', '\n', ';', '=', ':', ' ', '\xff'};
		char was = mail[i];

		mail[i] = bytes[i % sizeof(bytes)];
		check_at((struct smtp_slice){mail, len}, rig.now_s, &answer);
		assert_true((unsigned)answer.outcome <= AUTH_PERMERROR);
		mail[i] = was;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass),
		cmocka_unit_test(test_two_domains),
		cmocka_unit_test(test_opendkim),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_key_records),
		cmocka_unit_test(test_part_of_body),
		cmocka_unit_test(test_short_key),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_many_signatures),
		cmocka_unit_test(test_long_signature),
		cmocka_unit_test(test_mauled),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
