/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that touches a single key. Files are read by us and not by OpenSSL, because it would follow a FIFO,
 * ask a terminal for a pass phrase and not look at the mode; a key others can read is refused rather than
 * warned about, as a leaked key signs anything in the domain's name until someone notices. A key is never
 * written over: mail signed with the old one is still on its way.
 */
#include "intake/dkim_key.h"

#include "smtp_addr.h"
#include "smtp_base64.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 65536, TXT_MAX = 8192, TXT_STRING_MAX = 255 };

/* Words for a failure of OpenSSL, whose queue of errors is emptied: the next reader must not find them. */
static void
explain_openssl(char *why, size_t why_max, const char *path, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(why, why_max, "%s: %s (%s)", path, what, reason != NULL ? reason : "no reason given");
	ERR_clear_error();
}

/* --- names --- */

static bool
is_ascii_name(const char *text)
{
	struct smtp_slice name = {text, strnlen(text, SMTP_DOMAIN_MAX + 1)};

	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] > 127)
			return false;
	return smtp_domain_is_valid(name);
}

bool
dkim_key_names_ok(const struct dkim_key_conf *c, char *why, size_t why_max)
{
	bool is_wildcard = c->domain[0] == '*' && c->domain[1] == '.';

	if (!is_ascii_name(c->domain + (is_wildcard ? 2 : 0))) {
		snprintf(why, why_max, "dkim \"%.80s\": not a domain name (write A-labels for other scripts)",
			c->domain);
		return false;
	}
	if (!is_ascii_name(c->selector)) {
		snprintf(why, why_max, "dkim %s: selector \"%.80s\" is not made of labels", c->domain,
			c->selector);
		return false;
	}
	return true;
}

/* --- reading --- */

static bool
file_is_private(int fd, const char *path, char *why, size_t why_max)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		snprintf(why, why_max, "%s: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, why_max, "%s: not a file", path);
		return false;
	}
	if ((st.st_mode & 077) != 0) {
		snprintf(why, why_max, "%s: mode %04o lets others at the private key; make it 0600", path,
			(unsigned)st.st_mode & 07777);
		return false;
	}
	if (st.st_size > KEY_FILE_MAX) {
		snprintf(why, why_max, "%s: %lld bytes are no key", path, (long long)st.st_size);
		return false;
	}
	return true;
}

/* The bytes read, -1 and why. */
static ssize_t
read_file(const char *path, char *buf, char *why, size_t why_max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = 0, n;

	if (fd < 0) {
		snprintf(why, why_max, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (!file_is_private(fd, path, why, why_max)) {
		close(fd);
		return -1;
	}
	while (len < KEY_FILE_MAX && (n = read(fd, buf + len, (size_t)(KEY_FILE_MAX - len))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(why, why_max, "%s: %s", path, strerror(errno));
			len = -1;
			break;
		}
		len += n;
	}
	close(fd);
	return len;
}

/* A daemon has nobody to ask. */
static int
no_pass_phrase(char *buf, int size, int is_writing, void *arg)
{
	return -1;
}

/* Is it a key receivers take? */
static bool
key_is_usable(const EVP_PKEY *key, const char *path, char *why, size_t why_max)
{
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		return true;
	if (!dkim_key_is_rsa(key)) {
		snprintf(why, why_max, "%s: neither an RSA nor an Ed25519 key", path);
		return false;
	}
	if (bits < DKIM_RSA_BITS_MIN) {
		snprintf(why, why_max, "%s: RSA key of %d bits; receivers ignore less than %d (RFC 8301 3.2)",
			path, bits, DKIM_RSA_BITS_MIN);
		return false;
	}
	if (bits > DKIM_RSA_BITS_MAX) {
		snprintf(why, why_max, "%s: RSA key of %d bits; receivers need not verify more than %d", path,
			bits, DKIM_RSA_BITS_MAX);
		return false;
	}
	return true;
}

EVP_PKEY *
dkim_key_read(const char *path, char *why, size_t why_max)
{
	static const struct smtp_slice encrypted = SMTP_LIT("ENCRYPTED");
	char text[KEY_FILE_MAX];
	ssize_t len = read_file(path, text, why, why_max);
	EVP_PKEY *key = NULL;
	BIO *bio;

	if (len < 0)
		return NULL;
	bio = BIO_new_mem_buf(text, (int)len);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
	if (key == NULL && memmem(text, (size_t)len, encrypted.ptr, encrypted.len) != NULL) {
		snprintf(why, why_max, "%s: the key is protected by a pass phrase; store it without", path);
		ERR_clear_error();
	} else if (key == NULL) {
		explain_openssl(why, why_max, path, "no PEM private key");
	}
	BIO_free(bio);
	OPENSSL_cleanse(text, (size_t)len);
	if (key != NULL && !key_is_usable(key, path, why, why_max)) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

bool
dkim_key_is_rsa(const EVP_PKEY *key)
{
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
}

/* --- signing --- */

static bool
sign_rsa(EVP_PKEY *key, const unsigned char *digest, unsigned char *signature, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		  EVP_PKEY_sign(ctx, signature, len, digest, DKIM_DIGEST_BYTES) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

/* RFC 8463 3: the digest is what Ed25519 signs, as its message. */
static bool
sign_ed25519(EVP_PKEY *key, const unsigned char *digest, unsigned char *signature, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestSign(ctx, signature, len, digest, DKIM_DIGEST_BYTES) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

int
dkim_key_sign(EVP_PKEY *key, const unsigned char digest[DKIM_DIGEST_BYTES],
	unsigned char signature[DKIM_SIGNATURE_MAX])
{
	size_t len = DKIM_SIGNATURE_MAX;

	if (dkim_key_is_rsa(key) ? sign_rsa(key, digest, signature, &len)
				 : sign_ed25519(key, digest, signature, &len))
		return (int)len;
	/* A key that has passed its check at load can fail here only for want of memory. */
	ERR_clear_error();
	return SMTP_ENOMEM;
}

/* --- the record --- */

bool
dkim_key_record(EVP_PKEY *key, char record[DKIM_RECORD_MAX])
{
	unsigned char *der = NULL, raw[DKIM_DIGEST_BYTES];
	size_t raw_len = sizeof(raw);
	struct smtp_slice bytes = {(char *)raw, 0};
	bool is_rsa = dkim_key_is_rsa(key);
	int head, len = -1;

	if (is_rsa) {
		int der_len = i2d_PUBKEY(key, &der);

		bytes = (struct smtp_slice){(char *)der, der_len > 0 ? (size_t)der_len : 0};
	} else if (EVP_PKEY_get_raw_public_key(key, raw, &raw_len) == 1) {
		bytes.len = raw_len;
	}
	head = snprintf(record, DKIM_RECORD_MAX, "v=DKIM1; k=%s; p=", is_rsa ? "rsa" : "ed25519");
	if (bytes.len > 0)
		len = smtp_base64_encode(bytes, record + head, (size_t)(DKIM_RECORD_MAX - 1 - head));
	record[head + (len > 0 ? len : 0)] = '\0';
	OPENSSL_free(der);
	ERR_clear_error();
	return len > 0;
}

int
dkim_public_record(const char *key_path, char record[DKIM_RECORD_MAX], char *why, size_t why_max)
{
	EVP_PKEY *key = dkim_key_read(key_path, why, why_max);
	bool ok;

	if (key == NULL)
		return -1;
	ok = dkim_key_record(key, record);
	EVP_PKEY_free(key);
	if (!ok)
		snprintf(why, why_max, "%s: no public key can be had from it", key_path);
	return ok ? 0 : -1;
}

int
dkim_record_name(const struct dkim_key_conf *key, char *buf, size_t max)
{
	const char *domain = key->domain;
	int len;

	if (domain[0] == '*' && domain[1] == '.')
		domain += 2;
	len = snprintf(buf, max, "%s._domainkey.%s", key->selector, domain);
	return len > 0 && (size_t)len < max ? 0 : SMTP_ENOSPACE;
}

int
dkim_record_zone(const struct dkim_key_conf *key, const char *record, char *buf, size_t max)
{
	size_t left = strnlen(record, DKIM_RECORD_MAX), used;

	if (dkim_record_name(key, buf, max) < 0)
		return SMTP_ENOSPACE;
	used = strnlen(buf, max);
	used += (size_t)snprintf(buf + used, max - used, ". IN TXT (");
	for (; left > 0 && used < max; record += TXT_STRING_MAX) {
		size_t n = left < TXT_STRING_MAX ? left : TXT_STRING_MAX;

		used += (size_t)snprintf(buf + used, max - used, " \"%.*s\"", (int)n, record);
		left -= n;
	}
	if (used < max)
		used += (size_t)snprintf(buf + used, max - used, " )\n");
	return used < max ? 0 : SMTP_ENOSPACE;
}

/* --- comparing with DNS --- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct smtp_slice
trim(struct smtp_slice s)
{
	while (s.len > 0 && is_space(s.ptr[s.len - 1]))
		s.len--;
	while (s.len > 0 && is_space(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	return s;
}

/* Cuts the part up to `separator` from the front of *s. */
static struct smtp_slice
cut(struct smtp_slice *s, char separator)
{
	const char *at = memchr(s->ptr, separator, s->len);
	struct smtp_slice part = {s->ptr, at != NULL ? (size_t)(at - s->ptr) : s->len};
	size_t eaten = part.len + (at != NULL ? 1 : 0);

	s->ptr += eaten;
	s->len -= eaten;
	return trim(part);
}

/* The value of a tag (RFC 6376 3.2). False: not there. */
static bool
find_tag(struct smtp_slice record, struct smtp_slice name, struct smtp_slice *out_value)
{
	while (record.len > 0) {
		struct smtp_slice tag = cut(&record, ';');

		if (!smtp_slice_is(cut(&tag, '='), name))
			continue;
		*out_value = trim(tag);
		return true;
	}
	return false;
}

/* Is one of `words` in a list separated by colons? */
static bool
lists_any(struct smtp_slice list, struct smtp_slice first, struct smtp_slice second)
{
	while (list.len > 0) {
		struct smtp_slice word = cut(&list, ':');

		if (smtp_slice_is(word, first) || smtp_slice_is(word, second))
			return true;
	}
	return false;
}

/* Equal, blanks inside `folded` not counted. */
static bool
is_same_base64(struct smtp_slice folded, struct smtp_slice plain)
{
	size_t at = 0;

	for (size_t i = 0; i < folded.len; i++) {
		if (is_space(folded.ptr[i]))
			continue;
		if (at == plain.len || plain.ptr[at++] != folded.ptr[i])
			return false;
	}
	return at == plain.len;
}

/* Why no receiver would use this record for the key whose record is `ours`; NULL: it would. */
static const char *
find_fault(struct smtp_slice dns, struct smtp_slice ours)
{
	struct smtp_slice value, kind = SMTP_LIT("rsa"), our_kind = {NULL, 0}, our_key = {NULL, 0};
	struct smtp_slice first = dns;

	find_tag(ours, SMTP_LIT("k"), &our_kind);
	find_tag(ours, SMTP_LIT("p"), &our_key);
	if (dns.len > 0 && memchr(dns.ptr, '"', dns.len) != NULL)
		return "the record holds quote signs; they belong to the zone file, not to the value";
	if (find_tag(dns, SMTP_LIT("v"), &value)) {
		first = cut(&first, ';');
		if (!smtp_slice_is(value, SMTP_LIT("DKIM1")) ||
			!smtp_slice_is(cut(&first, '='), SMTP_LIT("v")))
			return "v= must be DKIM1, and the first tag";
	}
	if (!find_tag(dns, SMTP_LIT("p"), &value))
		return "the record has no p=, it is no DKIM key";
	if (value.len == 0)
		return "the key is revoked in DNS (p= is empty)";
	find_tag(dns, SMTP_LIT("k"), &kind);
	if (!smtp_slice_is(kind, our_kind))
		return "the key in DNS is of another kind (k=)";
	if (!is_same_base64(value, our_key))
		return "the key in DNS is another one (p=)";
	if (find_tag(dns, SMTP_LIT("h"), &value) && !lists_any(value, SMTP_LIT("sha256"), SMTP_LIT("sha256")))
		return "h= does not allow sha256";
	if (find_tag(dns, SMTP_LIT("s"), &value) && !lists_any(value, SMTP_LIT("*"), SMTP_LIT("email")))
		return "s= does not allow mail";
	return NULL;
}

int
dkim_record_compare(const char *txt_from_dns, const char *key_path, char *why, size_t why_max)
{
	struct smtp_slice dns = {txt_from_dns, strnlen(txt_from_dns, TXT_MAX)}, flags;
	char record[DKIM_RECORD_MAX];
	const char *fault;

	if (dkim_public_record(key_path, record, why, why_max) < 0)
		return -1;
	fault = find_fault(dns, (struct smtp_slice){record, strnlen(record, sizeof(record))});
	if (fault != NULL) {
		snprintf(why, why_max, "%s", fault);
		return 1;
	}
	why[0] = '\0';
	if (find_tag(dns, SMTP_LIT("t"), &flags) && lists_any(flags, SMTP_LIT("y"), SMTP_LIT("y")))
		snprintf(
			why, why_max, "t=y: receivers treat the domain as testing and may ignore signatures");
	return 0;
}

/* --- making a key --- */

static EVP_PKEY *
generate(const char *algorithm)
{
	if (strcmp(algorithm, "rsa2048") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	if (strcmp(algorithm, "rsa4096") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4096);
	assert(strcmp(algorithm, "ed25519") == 0);
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

/* The whole text, on disk; -1 and errno. */
static int
write_synced(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

static int
write_new_file(const char *path, const char *text, size_t len, char *why, size_t why_max)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int failed, saved_errno;

	if (fd < 0) {
		snprintf(why, why_max, "%s: %s", path,
			errno == EEXIST ? "there is a file already; it is not touched" : strerror(errno));
		return -1;
	}
	failed = write_synced(fd, text, len);
	saved_errno = errno;
	if (close(fd) != 0 && failed == 0) {
		failed = -1;
		saved_errno = errno;
	}
	if (failed == 0)
		return 0;
	unlink(path);
	snprintf(why, why_max, "%s: %s", path, strerror(saved_errno));
	return -1;
}

static int
write_key(EVP_PKEY *key, const char *path, char *why, size_t why_max)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text = NULL;
	long len = 0;
	int err = -1;

	if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(bio, &text);
	if (len > 0)
		err = write_new_file(path, text, (size_t)len, why, why_max);
	else
		explain_openssl(why, why_max, path, "the key cannot be written");
	BIO_free(bio);
	return err;
}

int
dkim_keygen(const struct dkim_key_conf *key, const char *algorithm, char record[DKIM_RECORD_MAX], char *why,
	size_t why_max)
{
	EVP_PKEY *made;
	int err = -1;

	if (strcmp(algorithm, "rsa2048") != 0 && strcmp(algorithm, "rsa4096") != 0 &&
		strcmp(algorithm, "ed25519") != 0) {
		snprintf(why, why_max, "%s: not one of rsa2048, rsa4096, ed25519", algorithm);
		return -1;
	}
	if (!dkim_key_names_ok(key, why, why_max))
		return -1;
	made = generate(algorithm);
	if (made == NULL || !dkim_key_record(made, record))
		explain_openssl(why, why_max, key->key_path, "no key could be made");
	else
		err = write_key(made, key->key_path, why, why_max);
	EVP_PKEY_free(made);
	return err;
}
