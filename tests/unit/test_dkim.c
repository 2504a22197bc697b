/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim: signatures judged by libopendkim, the example of RFC 8463, what breaks a signature and what must not,
 * key files and records that are refused, and which keys sign for whom.
 */
#include "intake/dkim_key.h"
#include "smtp_base64.h"
#include "smtp_canon.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_BYTES = 200, WHY = 400 };

/* A directory with keys in it: rsa, ed25519, and ones to refuse. */
struct rig {
	char dir[64];
	char rsa[PATH_BYTES], ed25519[PATH_BYTES];
	char rsa_record[DKIM_RECORD_MAX], ed25519_record[DKIM_RECORD_MAX];
};

static struct smtp_slice
text_slice(const char *text)
{
	return (struct smtp_slice){text, strnlen(text, 65536)};
}

static void
put_path(const struct rig *rig, const char *name, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s/%s", rig->dir, name);
}

/* With PKCS#1 text for RSA when `traditional`; protected by a pass phrase when there is one. */
static void
save_key(const char *path, EVP_PKEY *key, bool traditional, const char *pass_phrase)
{
	BIO *bio = BIO_new_file(path, "w");
	const EVP_CIPHER *cipher = pass_phrase != NULL ? EVP_aes_128_cbc() : NULL;
	int pass_len = pass_phrase != NULL ? (int)strnlen(pass_phrase, 64) : 0;

	assert_non_null(bio);
	assert_non_null(key);
	if (traditional)
		assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, cipher,
					 (const unsigned char *)pass_phrase, pass_len, NULL, NULL),
			1);
	else
		assert_int_equal(
			PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, pass_phrase, pass_len, NULL, NULL),
			1);
	BIO_free(bio);
	assert_int_equal(chmod(path, 0600), 0);
	EVP_PKEY_free(key);
}

static int
set_up(void **state)
{
	static struct rig rig;
	struct dkim_key_conf conf = {"example.com", "s", rig.rsa};
	char why[WHY];

	snprintf(rig.dir, sizeof(rig.dir), "/tmp/test_dkim.XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	put_path(&rig, "rsa.pem", rig.rsa);
	put_path(&rig, "ed25519.pem", rig.ed25519);
	assert_int_equal(dkim_keygen(&conf, "rsa2048", rig.rsa_record, why, sizeof(why)), 0);
	conf.key_path = rig.ed25519;
	assert_int_equal(dkim_keygen(&conf, "ed25519", rig.ed25519_record, why, sizeof(why)), 0);
	*state = &rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *rig = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", rig->dir);
	return system(command);
}

static struct dkim_keys *
load(const struct dkim_key_conf *confs, size_t n)
{
	struct dkim_keys *keys = NULL;
	char why[WHY];

	if (dkim_keys_load(confs, n, why, sizeof(why), &keys) < 0)
		fail_msg("%s", why);
	return keys;
}

/* --- the example of RFC 8463 appendix A ------------------------------------------------------------ */

static const struct smtp_slice rfc_message =
	SMTP_LIT("From: Joe SixPack <joe@football.example.com>\r\n"
		 "To: Suzie Q <suzie@shopping.example.net>\r\n"
		 "Subject: Is dinner ready?\r\n"
		 "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
		 "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
		 "\r\n"
		 "Hi.\r\n"
		 "\r\n"
		 "We lost the game.  Are you hungry yet?\r\n"
		 "\r\n"
		 "Joe.\r\n");
static const struct smtp_slice rfc_field =
	SMTP_LIT("DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
		 " d=football.example.com; i=@football.example.com;\r\n"
		 " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
		 " subject : date : message-id : from : subject : date;\r\n"
		 " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
		 " b=");

static void
digest_put(void *arg, struct smtp_slice in)
{
	assert_int_equal(EVP_DigestUpdate(arg, in.ptr, in.len), 1);
}

static void
test_rfc8463(void **state)
{
	static const struct smtp_slice body_hash = SMTP_LIT("2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
	static const struct smtp_slice public_key = SMTP_LIT("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	static const struct smtp_slice signature =
		SMTP_LIT("/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
			 "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
	unsigned char digest[32], raw_key[32], raw_signature[64];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
	struct smtp_canon_sink sink = {digest_put, ctx};
	struct smtp_field fields[8];
	struct smtp_header h = {.fields = fields, .fields_max = 8};
	struct smtp_canon_body body;
	char text[SMTP_BASE64_LEN(32)];
	EVP_PKEY *key;
	size_t at;

	assert_int_equal(smtp_header_scan(&h, rfc_message, &at), SMTP_OK);
	EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	smtp_canon_body_init(&body, SMTP_CANON_RELAXED, sink);
	smtp_canon_body_feed(&body,
		(struct smtp_slice){rfc_message.ptr + h.header_bytes, rfc_message.len - h.header_bytes});
	smtp_canon_body_end(&body);
	EVP_DigestFinal_ex(ctx, digest, NULL);
	assert_int_equal(smtp_base64_encode((struct smtp_slice){(char *)digest, 32}, text, sizeof(text)), 44);
	assert_memory_equal(text, body_hash.ptr, 44);
	/* The order of h= happens to be that of the message; its last three entries name no field. */
	EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	for (uint32_t i = 0; i < h.count; i++)
		smtp_canon_field(SMTP_CANON_RELAXED, &fields[i], sink);
	smtp_dkim_canon(SMTP_CANON_RELAXED, rfc_field, sink);
	EVP_DigestFinal_ex(ctx, digest, NULL);
	assert_int_equal(smtp_base64_decode(public_key, (char *)raw_key, 32), 32);
	assert_int_equal(smtp_base64_decode(signature, (char *)raw_signature, 64), 64);
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw_key, 32);
	assert_int_equal(EVP_DigestVerifyInit(verify, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(verify, raw_signature, 64, digest, 32), 1);
	EVP_PKEY_free(key);
	EVP_MD_CTX_free(ctx);
	EVP_MD_CTX_free(verify);
}

/* --- signatures, and the judge --------------------------------------------------------------------- */

static const struct {
	const char *name;
	struct smtp_slice text;
} messages[] = {
	{"plain",
		SMTP_LIT("From: a@example.com\r\nTo: b@x.test\r\nSubject: hello\r\n\r\nHello,\r\n\r\nb\r\n")},
	{"no body", SMTP_LIT("From: a@example.com\r\n\r\n")},
	{"no empty line", SMTP_LIT("From: a@example.com\r\nSubject: x\r\n")},
	{"empty lines only", SMTP_LIT("From: a@example.com\r\n\r\n\r\n\r\n\r\n")},
	{"lone dot, blanks, tabs",
		SMTP_LIT("From: a@example.com\r\n\r\n.\r\n..\r\n a \t b\t\r\n\t\r\n \r\n\r\n")},
	{"folds and case",
		SMTP_LIT("fROM:\r\n\t\"A  B\"\r\n  <a@example.com>  \r\nSUBJECT:a\r\n  b\r\n\tc\r\n"
			 "to:x@x.test\r\n\r\nx\r\n")},
	{"twice the same, and an old signature",
		SMTP_LIT("DKIM-Signature: v=1; a=rsa-sha256; d=x.test; s=x; h=from; bh=eHh4; b=eHh4\r\n"
			 "ARC-Seal: i=1\r\nReceived: from a\r\nTo: 1@x.test\r\nTo: 2@x.test\r\nSubject: 1\r\n"
			 "Subject: 2\r\nFrom: a@example.com\r\n\r\nx\r\n")},
	{"all that is bulk",
		SMTP_LIT("From: News <a@example.com>\r\nReply-To: c@example.com\r\nSubject: =?utf-8?q?x?=\r\n"
			 "Date: Mon, 02 Jan 2023 15:04:05 +0000\r\nMessage-ID: <1@example.com>\r\n"
			 "MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n\tboundary=\"=_x\"\r\n"
			 "List-Unsubscribe: <https://example.com/u>,\r\n <mailto:u@example.com>\r\n"
			 "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: <l.example.com>\r\n"
			 "Feedback-ID: 1:2:3\r\nX-Mailer: "
			 "x\r\n\r\n--=_x\r\n\r\n\xc3\xbcx\r\n--=_x--\r\n")},
};

struct signed_message {
	char text[16384];
	size_t len;
};

static void
sign(const struct dkim_keys *keys, struct smtp_slice text, struct signed_message *out)
{
	struct dkim_message m = {&text, 1, SMTP_LIT("example.com"), 1700000000};
	int len = dkim_keys_sign(keys, &m, out->text, sizeof(out->text));

	assert_true(len > 0);
	assert_true((size_t)len + text.len <= sizeof(out->text));
	memcpy(out->text + len, text.ptr, text.len);
	out->len = (size_t)len + text.len;
}

/* Cut at each line that begins a field or is of the body: the same signature, byte for byte. */
static void
check_pieces(const char *name, const struct dkim_keys *keys, struct smtp_slice text,
	const struct signed_message *whole)
{
	for (size_t cut = 0; cut <= text.len; cut++) {
		struct smtp_slice pieces[] = {{text.ptr, cut}, {NULL, 0}, {text.ptr + cut, text.len - cut}};
		struct dkim_message m = {pieces, 3, SMTP_LIT("EXAMPLE.com"), 1700000000};
		char buf[DKIM_SIGNED_MAX];
		int len;

		if (cut > 0 && text.ptr[cut - 1] != '\n')
			continue;
		if (cut < text.len && (text.ptr[cut] == ' ' || text.ptr[cut] == '\t'))
			continue;
		len = dkim_keys_sign(keys, &m, buf, sizeof(buf));
		if (len < 0 || (size_t)len != whole->len - text.len ||
			memcmp(buf, whole->text, (size_t)len) != 0)
			fail_msg("%s: cut at %zu signs otherwise (%d)", name, cut, len);
	}
}

static void
test_signatures(void **state)
{
	const struct rig *rig = *state;

	for (int is_rsa = 0; is_rsa < 2; is_rsa++) {
		struct dkim_key_conf conf = {"example.com", "s2026", is_rsa ? rig->rsa : rig->ed25519};
		struct dkim_keys *keys = load(&conf, 1);

		for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
			const char *record = is_rsa ? rig->rsa_record : rig->ed25519_record;
			struct signed_message m;
			char why[WHY];

			sign(keys, messages[i].text, &m);
			if (!dkim_key_judge((struct smtp_slice){m.text, m.len}, record, why, sizeof(why)))
				fail_msg("%s: %s\n%.*s", messages[i].name, why, (int)m.len, m.text);
			check_pieces(messages[i].name, keys, messages[i].text, &m);
		}
		dkim_keys_destroy(&keys);
		assert_null(keys);
	}
}

/* What somebody on the way does to a signed message: `from` becomes `to`. */
static const struct {
	const char *name, *from, *to;
	bool is_valid;
} changes[] = {
	{"nothing", "Hello", "Hello", true},
	{"blanks folded anew", "Subject: one two", "Subject:  one\r\n\ttwo ", true},
	{"blanks at a line's end", "Hello,\r\n", "Hello, \t\r\n", true},
	{"empty lines at the end", "end\r\n", "end\r\n\r\n\r\n", true},
	{"trace above", "From:", "Received: x\r\nFrom:", true},
	{"a list's own fields", "From:", "List-Id: <x.test>\r\nFrom:", true},
	{"body", "Hello", "Hallo", false},
	{"line added", "end\r\n", "end\r\n.\r\n", false},
	{"subject", "one two", "one  2", false},
	{"subject's case", "one two", "One two", false},
	{"blank made", "one two", "o ne two", false},
	{"second From above", "Subject: one", "From: evil@x.test\r\nSubject: one", false},
	{"second Subject", "From:", "Subject: win\r\nFrom:", false},
	{"To where there is none", "From:", "To: evil@x.test\r\nFrom:", false},
	{"Reply-To where there is none", "From:", "Reply-To: evil@x.test\r\nFrom:", false},
	{"Content-Type where there is none", "From:", "Content-Type: text/html\r\nFrom:", false},
	{"List-Unsubscribe", "/u>", "/v>", false},
	{"second List-Unsubscribe", "From:", "List-Unsubscribe: <https://x.test/>\r\nFrom:", false},
	{"one-click taken away", "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "", false},
	{"time of signing", "t=1700000000", "t=1700000001", false},
	{"selector's case", "s=s2026", "s=S2026", false},
	{"body hash", "bh=", "bh=A", false},
};

static void
test_changes(void **state)
{
	static const struct smtp_slice text = SMTP_LIT(
		"From: a@example.com\r\nSubject: one two\r\nList-Unsubscribe: <https://example.com/u>\r\n"
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nHello,\r\n\r\nend\r\n");
	const struct rig *rig = *state;
	struct dkim_key_conf conf = {"example.com", "s2026", rig->ed25519};
	struct dkim_keys *keys = load(&conf, 1);
	struct signed_message m, changed;

	sign(keys, text, &m);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct smtp_slice from = text_slice(changes[i].from), to = text_slice(changes[i].to);
		const char *at = memmem(m.text, m.len, from.ptr, from.len);
		size_t before;
		char why[WHY];

		/* h= names fields too: take the last one, in the message. */
		for (const char *next = at; next != NULL && strncmp(changes[i].from, "bh", 2) != 0;) {
			at = next;
			next = memmem(at + 1, m.len - (size_t)(at + 1 - m.text), from.ptr, from.len);
		}
		assert_non_null(at);
		before = (size_t)(at - m.text);
		memcpy(changed.text, m.text, before);
		memcpy(changed.text + before, to.ptr, to.len);
		memcpy(changed.text + before + to.len, at + from.len, m.len - before - from.len);
		changed.len = m.len - from.len + to.len;
		if (dkim_key_judge((struct smtp_slice){changed.text, changed.len}, rig->ed25519_record, why,
			    sizeof(why)) != changes[i].is_valid)
			fail_msg("%s: judged %s", changes[i].name, changes[i].is_valid ? why : "valid");
	}
	dkim_keys_destroy(&keys);
}

/* The record of another key must not do. */
static void
test_other_key(void **state)
{
	const struct rig *rig = *state;
	struct dkim_key_conf conf = {"example.com", "s", rig->ed25519};
	struct dkim_keys *keys = load(&conf, 1);
	struct signed_message m;
	char why[WHY];

	sign(keys, messages[0].text, &m);
	assert_false(dkim_key_judge((struct smtp_slice){m.text, m.len},
		"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", why, sizeof(why)));
	assert_false(dkim_key_judge((struct smtp_slice){m.text, m.len}, rig->rsa_record, why, sizeof(why)));
	assert_false(dkim_key_judge(messages[0].text, rig->ed25519_record, why, sizeof(why)));
	dkim_keys_destroy(&keys);
}

static void
test_sign_failures(void **state)
{
	const struct rig *rig = *state;
	struct dkim_key_conf conf = {"example.com", "s", rig->ed25519};
	struct dkim_keys *keys = load(&conf, 1);
	struct smtp_slice text = messages[0].text;
	struct dkim_message m = {&text, 1, SMTP_LIT("example.com"), 1700000000};
	char buf[DKIM_SIGNED_MAX];
	int len = dkim_keys_sign(keys, &m, buf, sizeof(buf));

	assert_true(len > 0);
	for (int max = 0; max < len; max += max < len - 10 ? 7 : 1)
		assert_int_equal(dkim_keys_sign(keys, &m, buf, (size_t)max), SMTP_ENOSPACE);
	assert_int_equal(dkim_keys_sign(keys, &m, buf, (size_t)len), len);
	m.from_domain = SMTP_LIT("example.org");
	assert_int_equal(dkim_keys_sign(keys, &m, buf, sizeof(buf)), 0);
	m.from_domain = SMTP_LIT("example.com");
	text = SMTP_LIT("To: a@example.com\r\n\r\nx\r\n");
	assert_int_equal(dkim_keys_sign(keys, &m, buf, sizeof(buf)), SMTP_ESYNTAX);
	text = SMTP_LIT("From: a@example.com\r\nno field\r\n\r\nx\r\n");
	assert_int_equal(dkim_keys_sign(keys, &m, buf, sizeof(buf)), SMTP_ESYNTAX);
	text = SMTP_LIT("");
	assert_int_equal(dkim_keys_sign(keys, &m, buf, sizeof(buf)), SMTP_ESYNTAX);
	m.piece_count = 0;
	assert_int_equal(dkim_keys_sign(keys, &m, buf, sizeof(buf)), SMTP_ESYNTAX);
	dkim_keys_destroy(&keys);
}

/* As many fields as a client may send, and intake's above them: the limit is not met a second time here. */
static void
test_most_fields(void **state)
{
	static const char line[] = "X:1\r\n";
	enum { LINE = sizeof(line) - 1, COUNT = SMTP_HEADER_FIELDS_MAX };
	static char block[COUNT * LINE + 2];
	const struct rig *rig = *state;
	struct dkim_key_conf conf = {"example.com", "s", rig->ed25519};
	struct dkim_keys *keys = load(&conf, 1);
	struct smtp_slice pieces[] = {SMTP_LIT("Received: x\r\nDate: x\r\nFrom: a@example.com\r\n"),
		{block, sizeof(block)}, SMTP_LIT("body\r\n")};
	struct dkim_message m = {pieces, 3, SMTP_LIT("example.com"), 1700000000};
	char buf[DKIM_SIGNED_MAX];

	for (size_t i = 0; i < COUNT; i++)
		memcpy(block + i * LINE, line, LINE);
	memcpy(block + COUNT * LINE, "\r\n", 2);
	assert_true(dkim_keys_sign(keys, &m, buf, sizeof(buf)) > 0);
	dkim_keys_destroy(&keys);
}

/* --- threads --------------------------------------------------------------------------------------- */

struct signer {
	const struct dkim_keys *keys;
	const struct signed_message *want;
	bool is_same;
};

static void *
sign_often(void *arg)
{
	struct signer *s = arg;
	struct smtp_slice text = messages[0].text;
	struct dkim_message m = {&text, 1, SMTP_LIT("example.com"), 1700000000};
	char buf[DKIM_SIGNED_MAX];

	s->is_same = true;
	for (int i = 0; i < 10; i++) {
		int len = dkim_keys_sign(s->keys, &m, buf, sizeof(buf));

		s->is_same &= len > 0 && (size_t)len == s->want->len - text.len &&
			      memcmp(buf, s->want->text, (size_t)len) == 0;
	}
	return NULL;
}

static void
test_threads(void **state)
{
	const struct rig *rig = *state;
	struct dkim_key_conf confs[] = {{"example.com", "r", rig->rsa}, {"example.com", "e", rig->ed25519}};
	struct dkim_keys *keys = load(confs, 2);
	struct signer signers[4];
	pthread_t threads[4];
	struct signed_message want;

	sign(keys, messages[0].text, &want);
	for (int i = 0; i < 4; i++) {
		signers[i] = (struct signer){keys, &want, false};
		assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(signers[i].is_same);
	}
	dkim_keys_destroy(&keys);
}

/* --- which keys sign ------------------------------------------------------------------------------- */

/* "domain/selector" of each signature, in order. */
static const struct {
	struct smtp_slice from_domain;
	const char *want;
} lookups[] = {
	{SMTP_LIT("example.com"), "example.com/b example.com/a "},
	{SMTP_LIT("Example.COM"), "example.com/b example.com/a "},
	{SMTP_LIT("x.example.com"), "example.com/wild "},
	{SMTP_LIT("y.x.example.com"), "example.com/wild "},
	{SMTP_LIT("mail.example.com"), "mail.example.com/m "},
	{SMTP_LIT("x.mail.example.com"), "mail.example.com/w1 mail.example.com/w2 "},
	{SMTP_LIT("example.org"), "example.org/s "},
	{SMTP_LIT("x.example.org"), ""},
	{SMTP_LIT("x.net"), "net/n "},
	{SMTP_LIT("net"), ""},
	{SMTP_LIT("com"), ""},
	{SMTP_LIT("notexample.com"), ""},
	{SMTP_LIT("example.com.evil.test"), ""},
	{SMTP_LIT(""), ""},
	{SMTP_LIT("*.example.com"), ""},
	{SMTP_LIT(".example.com"), ""},
	{SMTP_LIT("example.com."), ""},
	{SMTP_LIT("example.com\0"), ""},
};

static void
list_signatures(char *buf, size_t len, char *out, size_t max)
{
	const char *d = buf, *s;
	size_t used = 0;

	/* A tag begins behind a blank, or behind the tab of a fold. */
	for (size_t i = 0; i < len; i++)
		if (buf[i] == '\t')
			buf[i] = ' ';
	out[0] = '\0';
	while ((d = memmem(d, len - (size_t)(d - buf), " d=", 3)) != NULL) {
		s = memmem(d, len - (size_t)(d - buf), " s=", 3);
		assert_non_null(s);
		used += (size_t)snprintf(out + used, max - used, "%.*s/%.*s ", (int)strcspn(d + 3, ";"),
			d + 3, (int)strcspn(s + 3, ";"), s + 3);
		d = s;
	}
}

static void
test_lookups(void **state)
{
	const struct rig *rig = *state;
	struct dkim_key_conf confs[] = {
		{"*.mail.example.com", "w1", rig->ed25519},
		{"example.org", "s", rig->ed25519},
		{"*.example.com", "wild", rig->ed25519},
		{"EXAMPLE.com", "b", rig->ed25519},
		{"*.net", "n", rig->ed25519},
		{"mail.example.com", "m", rig->ed25519},
		{"example.com", "a", rig->rsa},
		{"*.mail.example.com", "w2", rig->ed25519},
	};
	struct dkim_keys *keys = load(confs, sizeof(confs) / sizeof(confs[0]));

	for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
		struct smtp_slice text = messages[0].text;
		struct dkim_message m = {&text, 1, lookups[i].from_domain, 1700000000};
		char buf[DKIM_SIGNED_MAX], list[256];
		int len = dkim_keys_sign(keys, &m, buf, sizeof(buf));

		assert_true(len >= 0);
		list_signatures(buf, (size_t)len, list, sizeof(list));
		assert_string_equal(list, lookups[i].want);
	}
	dkim_keys_destroy(&keys);
	keys = load(NULL, 0);
	dkim_keys_destroy(&keys);
	dkim_keys_destroy(&keys);
}

/* --- key files ------------------------------------------------------------------------------------- */

static void
expect_refused(const struct dkim_key_conf *confs, size_t n, const char *words)
{
	struct dkim_keys *keys = NULL;
	char why[WHY] = "";

	if (dkim_keys_load(confs, n, why, sizeof(why), &keys) == 0)
		fail_msg("accepted, and not: %s", words);
	assert_null(keys);
	if (strstr(why, words) == NULL)
		fail_msg("'%s' does not say '%s'", why, words);
}

static void
test_refused_files(void **state)
{
	const struct rig *rig = *state;
	char path[PATH_BYTES];
	struct dkim_key_conf conf = {"example.com", "s", path};
	FILE *f;

	put_path(rig, "none.pem", path);
	expect_refused(&conf, 1, "No such file");
	snprintf(path, sizeof(path), "%s", rig->dir);
	expect_refused(&conf, 1, "not a file");
	put_path(rig, "fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(&conf, 1, "not a file");
	put_path(rig, "text.pem", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	expect_refused(&conf, 1, "no PEM private key");
	assert_int_equal(truncate(path, 0), 0);
	expect_refused(&conf, 1, "no PEM private key");
	assert_int_equal(truncate(path, 1 << 20), 0);
	expect_refused(&conf, 1, "are no key");
	put_path(rig, "ec.pem", path);
	save_key(path, EVP_EC_gen("P-256"), false, NULL);
	expect_refused(&conf, 1, "neither an RSA nor an Ed25519 key");
	put_path(rig, "short.pem", path);
	save_key(path, EVP_RSA_gen(1016), false, NULL);
	expect_refused(&conf, 1, "RSA key of 1016 bits");
	put_path(rig, "secret.pem", path);
	save_key(path, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false, "secret");
	expect_refused(&conf, 1, "pass phrase");
	put_path(rig, "secret-pkcs1.pem", path);
	save_key(path, EVP_RSA_gen(1024), true, "secret");
	expect_refused(&conf, 1, "pass phrase");
}

static void
test_file_modes(void **state)
{
	static const mode_t refused[] = {0640, 0604, 0620, 0601, 0660, 0644, 0777};
	const struct rig *rig = *state;
	char path[PATH_BYTES];
	struct dkim_key_conf conf = {"example.com", "s", path};
	struct dkim_keys *keys;

	put_path(rig, "pkcs1.pem", path);
	save_key(path, EVP_RSA_gen(1024), true, NULL);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(chmod(path, refused[i]), 0);
		expect_refused(&conf, 1, "make it 0600");
	}
	assert_int_equal(chmod(path, 0400), 0);
	keys = load(&conf, 1);
	dkim_keys_destroy(&keys);
}

static void
test_refused_names(void **state)
{
	const struct rig *rig = *state;
	const char *key = rig->ed25519;
	struct dkim_key_conf names[] = {{"", "s", key}, {"exa mple.com", "s", key}, {"*.", "s", key},
		{"*", "s", key}, {"*example.com", "s", key}, {"a.*.com", "s", key},
		{"b\xc3\xbc.example", "s", key}, {"example.com", "", key}, {"example.com", "a b", key},
		{"example.com", "a;b", key}, {"example.com", "a..b", key}};
	struct dkim_key_conf twice[] = {
		{"example.com", "s", key}, {"x.test", "s", key}, {"Example.com", "s", key}};
	struct dkim_key_conf five[] = {{"example.com", "a", key}, {"example.com", "b", key},
		{"example.com", "c", key}, {"example.com", "d", key}, {"example.com", "e", key}};
	struct dkim_keys *keys;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect_refused(&names[i], 1, "dkim");
	expect_refused(twice, 3, "selector s twice");
	expect_refused(five, 5, "5 keys; 4 at most");
	keys = load(five, 4);
	dkim_keys_destroy(&keys);
}

static void
test_keygen(void **state)
{
	const struct rig *rig = *state;
	char path[PATH_BYTES], record[DKIM_RECORD_MAX], again[DKIM_RECORD_MAX], why[WHY];
	struct dkim_key_conf conf = {"example.com", "s", path};
	struct stat st;

	put_path(rig, "new.pem", path);
	assert_int_equal(dkim_keygen(&conf, "rsa512", record, why, sizeof(why)), -1);
	assert_int_equal(access(path, F_OK), -1);
	conf.selector = "a b";
	assert_int_equal(dkim_keygen(&conf, "ed25519", record, why, sizeof(why)), -1);
	conf.selector = "s";
	umask(0);
	assert_int_equal(dkim_keygen(&conf, "ed25519", record, why, sizeof(why)), 0);
	umask(022);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(dkim_public_record(path, again, why, sizeof(why)), 0);
	assert_string_equal(record, again);
	assert_int_equal(dkim_keygen(&conf, "ed25519", again, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "not touched"));
	assert_int_equal(dkim_public_record(path, again, why, sizeof(why)), 0);
	assert_string_equal(record, again);
	put_path(rig, "none/new.pem", path);
	assert_int_equal(dkim_keygen(&conf, "ed25519", again, why, sizeof(why)), -1);
	assert_int_equal(dkim_public_record(path, again, why, sizeof(why)), -1);
}

/* --- records --------------------------------------------------------------------------------------- */

static void
test_zone(void **state)
{
	const struct rig *rig = *state;
	struct dkim_key_conf conf = {"*.example.com", "s2026", rig->rsa};
	char zone[2048], small[20], joined[DKIM_RECORD_MAX];
	size_t used = 0;

	assert_int_equal(dkim_record_zone(&conf, rig->rsa_record, zone, sizeof(zone)), 0);
	assert_int_equal(strncmp(zone, "s2026._domainkey.example.com. IN TXT ( \"v=DKIM1; k=rsa; p=", 58), 0);
	for (char *p = strchr(zone, '"'); p != NULL; p = strchr(p + 1, '"')) {
		size_t len = strcspn(p + 1, "\"");

		assert_true(len <= 255 && used + len < sizeof(joined));
		memcpy(joined + used, p + 1, len);
		used += len;
		p += len + 1;
	}
	joined[used] = '\0';
	assert_string_equal(joined, rig->rsa_record);
	assert_int_equal(dkim_record_zone(&conf, rig->rsa_record, small, sizeof(small)), SMTP_ENOSPACE);
	assert_int_equal(dkim_record_zone(&conf, rig->rsa_record, zone, 100), SMTP_ENOSPACE);
	assert_int_equal(dkim_record_name(&conf, small, sizeof(small)), SMTP_ENOSPACE);
}

/* %s is the right p=. */
static const struct {
	const char *name, *record;
	int want;
	const char *words;
} compared[] = {
	{"as we write it", "v=DKIM1; k=ed25519; p=%s", 0, ""},
	{"blanks anywhere", " v = DKIM1 ;k=ed25519\t; n=x; p= %s ; ", 0, ""},
	{"no version", "k=ed25519; p=%s", 0, ""},
	{"what we need is allowed", "v=DKIM1; k=ed25519; h=sha1:sha256; s=other:email; t=s; p=%s", 0, ""},
	{"testing", "v=DKIM1; k=ed25519; t=s:y; p=%s", 0, "testing"},
	{"unknown tags", "v=DKIM1; zz=1; k=ed25519; p=%s; x", 0, ""},
	{"empty", "", 1, "no p="},
	{"SPF", "v=spf1 -all", 1, "v="},
	{"version not first", "k=ed25519; v=DKIM1; p=%s", 1, "first"},
	{"other version", "v=DKIM2; k=ed25519; p=%s", 1, "DKIM1"},
	{"revoked", "v=DKIM1; k=ed25519; p=", 1, "revoked"},
	{"no key", "v=DKIM1; k=ed25519", 1, "no p="},
	{"kind left out", "v=DKIM1; p=%s", 1, "kind"},
	{"other kind", "v=DKIM1; k=rsa; p=%s", 1, "kind"},
	{"other key", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", 1, "another"},
	{"key and more", "v=DKIM1; k=ed25519; p=%sA", 1, "another"},
	{"sha1 only", "v=DKIM1; k=ed25519; h=sha1; p=%s", 1, "sha256"},
	{"not for mail", "v=DKIM1; k=ed25519; s=other; p=%s", 1, "mail"},
	{"quote signs", "\"v=DKIM1; k=ed25519; p=%s\"", 1, "quote"},
};

static void
test_compare(void **state)
{
	const struct rig *rig = *state;
	const char *key = strstr(rig->ed25519_record, "p=") + 2;
	char why[WHY];

	for (size_t i = 0; i < sizeof(compared) / sizeof(compared[0]); i++) {
		const char *mark = strstr(compared[i].record, "%s");
		char record[512];
		int got;

		if (mark != NULL)
			snprintf(record, sizeof(record), "%.*s%s%s", (int)(mark - compared[i].record),
				compared[i].record, key, mark + 2);
		else
			snprintf(record, sizeof(record), "%s", compared[i].record);
		got = dkim_record_compare(record, rig->ed25519, why, sizeof(why));
		if (got != compared[i].want || strstr(why, compared[i].words) == NULL)
			fail_msg("%s: %d %s", compared[i].name, got, why);
		if (compared[i].words[0] == '\0')
			assert_string_equal(why, "");
	}
	assert_int_equal(dkim_record_compare(rig->rsa_record, rig->rsa, why, sizeof(why)), 0);
	assert_int_equal(dkim_record_compare(rig->rsa_record, rig->ed25519, why, sizeof(why)), 1);
	assert_int_equal(dkim_record_compare(rig->rsa_record, "/nonexistent", why, sizeof(why)), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8463),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_other_key),
		cmocka_unit_test(test_sign_failures),
		cmocka_unit_test(test_most_fields),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_refused_files),
		cmocka_unit_test(test_file_modes),
		cmocka_unit_test(test_refused_names),
		cmocka_unit_test(test_keygen),
		cmocka_unit_test(test_zone),
		cmocka_unit_test(test_compare),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
