/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypt_r with its own scratch for each call; comparison in constant time; the secret is wiped before the
 * answer leaves.
 */
#include "intake/auth.h"

#include "base/domain.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an unknown user's password is compared with, so that names cannot be told by the clock. */
static const char nobody_hash[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$rF5Ahuy7VV8amIDl.epF1MP/OSFuhWsATcrW7FwHmwA";

void
auth_check(struct password *p)
{
	const struct conf_user *user = conf_user_find(p->conf, p->user, strnlen(p->user, sizeof(p->user)));
	const char *hash = user != NULL && user->password_hash[0] != '\0' ? user->password_hash : nobody_hash;
	struct crypt_data *scratch = calloc(1, sizeof(*scratch));
	size_t len = strnlen(hash, CRYPT_OUTPUT_SIZE);
	const char *made = NULL;

	p->is_right = false;
	if (scratch != NULL)
		made = crypt_r(p->secret, hash, scratch);
	if (made != NULL && hash != nobody_hash && strnlen(made, CRYPT_OUTPUT_SIZE) == len)
		p->is_right = CRYPTO_memcmp(made, hash, len) == 0;
	OPENSSL_cleanse(p->secret, sizeof(p->secret));
	if (scratch != NULL)
		OPENSSL_cleanse(scratch, sizeof(*scratch));
	free(scratch);
}

bool
auth_hash(const char *secret, char *buf, size_t buf_max)
{
	struct crypt_data *scratch = calloc(1, sizeof(*scratch));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *made = NULL;
	bool ok;

	if (scratch != NULL && crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) != NULL)
		made = crypt_r(secret, setting, scratch);
	ok = made != NULL && made[0] == '$' && snprintf(buf, buf_max, "%s", made) < (int)buf_max;
	if (scratch != NULL)
		OPENSSL_cleanse(scratch, sizeof(*scratch));
	free(scratch);
	return ok;
}

/* Cuts `address` at its last "@". False: there is none. */
static bool
split(struct smtp_slice address, struct smtp_slice *local, struct smtp_slice *domain)
{
	const char *at = memrchr(address.ptr, '@', address.len);

	if (at == NULL)
		return false;
	*local = (struct smtp_slice){address.ptr, (size_t)(at - address.ptr)};
	*domain = (struct smtp_slice){at + 1, address.len - local->len - 1};
	return true;
}

bool
auth_may_send_as(const struct conf_user *user, struct smtp_slice sender)
{
	struct smtp_slice local, domain, rule_local, rule_domain;
	char name[DOMAIN_MAX];
	size_t i;
	int n;

	if (user->senders.count == 0)
		return true;
	/* The rules are in normal form already. */
	if (!split(sender, &local, &domain) ||
		(n = domain_normalise(domain.ptr, domain.len, name, sizeof(name))) < 0)
		return false;
	domain = (struct smtp_slice){name, (size_t)n};
	for (i = 0; i < user->senders.count; i++) {
		const char *rule = user->senders.items[i];

		if (split((struct smtp_slice){rule, strnlen(rule, SMTP_ADDRESS_MAX)}, &rule_local,
			    &rule_domain) &&
			smtp_slice_is(rule_domain, domain) &&
			(rule_local.len == 0 || smtp_slice_is_nocase(rule_local, local)))
			return true;
	}
	return false;
}
