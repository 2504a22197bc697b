/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intake, the configuration and the route look domains up by their bytes, so all three must write them alike.
 * Nearly every domain is ASCII already and takes the short way here, without an allocation; the rest goes to
 * libidn2.
 *
 * Invariants: the result has 1-253 octets (a literal up to DOMAIN_MAX - 1); labels have 1-63 octets of
 * letters, digits,
 * "-" and "_". The underscore is no host name (RFC 1123 2.1) but exists in mail domains in the wild, and no
 * look-up is hurt by it; a hyphen at the edge of a label is let through for the same reason.
 */
#include "base/domain.h"

#include <idn2.h>
#include <stdbool.h>
#include <string.h>

#define NAME_MAX_OCTETS  253
#define LABEL_MAX_OCTETS 63

/* The byte as it is written in a normal name; 0: not a byte of a name. */
static char
name_byte(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')
		return c;
	return '\0';
}

/* Checks an ASCII name and writes it in lower case into `out` (DOMAIN_MAX bytes). */
static int
normalise_ascii(const char *text, size_t len, char *out)
{
	size_t label = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MAX_OCTETS)
		return -1;
	for (size_t i = 0; i < len; i++) {
		char c = name_byte(text[i]);

		if (c == '\0' || (c == '.' && label == 0))
			return -1;
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX_OCTETS)
			return -1;
		out[i] = c;
	}
	out[len] = '\0';
	return label > 0 ? (int)len : -1;
}

static int
normalise_unicode(const char *text, size_t len, char *out)
{
	char copy[1024];
	uint8_t *ascii = NULL;
	int err, n;

	/* A name whose A-labels fit into 253 octets has fewer than 253 code points, of at most 4 octets each.
	 */
	if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return -1;
	memcpy(copy, text, len);
	copy[len] = '\0';
	err = idn2_lookup_u8((const uint8_t *)copy, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (err != IDN2_OK)
		return -1;
	n = normalise_ascii((const char *)ascii, strnlen((const char *)ascii, DOMAIN_MAX), out);
	idn2_free(ascii);
	return n;
}

/* RFC 5321 4.1.3. What stands between the brackets is for whoever connects to it. */
static int
copy_literal(const char *text, size_t len, char *out)
{
	if (len < 3 || len >= DOMAIN_MAX || text[len - 1] != ']')
		return -1;
	for (size_t i = 1; i + 1 < len; i++)
		if (text[i] <= ' ' || text[i] == 127 || text[i] == '[' || text[i] == ']' || text[i] == '\\')
			return -1;
	memcpy(out, text, len);
	out[len] = '\0';
	return (int)len;
}

static bool
is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] > 127)
			return false;
	return true;
}

int
domain_normalise(const char *text, size_t len, char *out, size_t out_max)
{
	char name[DOMAIN_MAX];
	int n;

	if (len == 0)
		return -1;
	if (text[0] == '[')
		n = copy_literal(text, len, name);
	else if (is_ascii(text, len))
		n = normalise_ascii(text, len, name);
	else
		n = normalise_unicode(text, len, name);
	if (n < 0 || (size_t)n >= out_max)
		return -1;
	memcpy(out, name, (size_t)n + 1);
	return n;
}
