/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libopendkim as the judge of our signatures. Our own verifier would share our own misreadings; this one
 * is what many receivers run. It is asked once for each key at start and reload, never for mail that goes
 * out: it parses keys for every message and its asserts kill the process on bad arguments, so it sees nothing
 * but the probe we wrote. `opendkim/dkim.h` is included here and in dkim_verifier.c alone.
 */
#include "intake/dkim_key.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <opendkim/dkim.h>

/* Stands in for DNS: the record we would publish. */
static DKIM_CBSTAT
on_key_lookup(DKIM *handle, DKIM_SIGINFO *signature, u_char *buf, size_t buf_max)
{
	const char *record = dkim_get_user_context(handle);
	size_t len = strnlen(record, DKIM_RECORD_MAX);

	if (len >= buf_max)
		return DKIM_CBSTAT_ERROR;
	memcpy(buf, record, len + 1);
	return DKIM_CBSTAT_CONTINUE;
}

/* NULL: the signature is right; else what is wrong. */
static const char *
verify(DKIM *handle, struct smtp_slice message, const char *record)
{
	DKIM_SIGINFO *signature;
	DKIM_STAT status;

	dkim_set_user_context(handle, (void *)record);
	status = dkim_chunk(handle, (u_char *)message.ptr, message.len);
	if (status == DKIM_STAT_OK)
		status = dkim_chunk(handle, NULL, 0);
	if (status == DKIM_STAT_OK)
		status = dkim_eom(handle, NULL);
	signature = dkim_getsignature(handle);
	if (status != DKIM_STAT_OK) {
		DKIM_SIGERROR error =
			signature != NULL ? dkim_sig_geterror(signature) : DKIM_SIGERROR_UNKNOWN;
		const char *words = dkim_sig_geterrorstr(error);

		return words != NULL ? words : dkim_getresultstr(status);
	}
	return signature != NULL && DKIM_SIG_CHECK(signature) ? NULL : "no signature found";
}

bool
dkim_key_judge(struct smtp_slice message, const char *record, char *why, size_t why_max)
{
	DKIM_LIB *library = dkim_init(NULL, NULL);
	const char *fault = "no memory";
	DKIM *handle = NULL;
	DKIM_STAT status;

	if (library != NULL) {
		dkim_set_key_lookup(library, on_key_lookup);
		handle = dkim_verify(library, (const unsigned char *)"probe", NULL, &status);
	}
	if (handle != NULL) {
		fault = verify(handle, message, record);
		dkim_free(handle);
	}
	if (library != NULL)
		dkim_close(library);
	if (fault != NULL)
		snprintf(why, why_max, "%s", fault);
	return fault == NULL;
}
