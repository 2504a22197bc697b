/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypt_r with its own scratch for each call; comparison in constant time; the secret is wiped before the
 * answer leaves.
 */
#include "intake/auth.h"

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

bool
auth_may_send_as(const struct conf_user *user, struct smtp_slice sender)
{
	const char *at = memrchr(sender.ptr, '@', sender.len);
	struct smtp_slice domain = {at, at != NULL ? sender.len - (size_t)(at - sender.ptr) : 0}, rule;
	size_t i;

	if (user->senders.count == 0)
		return true;
	for (i = 0; i < user->senders.count; i++) {
		rule = (struct smtp_slice){
			user->senders.items[i], strnlen(user->senders.items[i], SMTP_ADDRESS_MAX)};
		if (smtp_slice_is_nocase(rule, rule.len > 0 && rule.ptr[0] == '@' ? domain : sender))
			return true;
	}
	return false;
}
