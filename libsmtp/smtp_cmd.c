/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line parser. It is strict about bytes and lenient about blanks: control characters are refused
 * before anything else looks at the line, so no later reader can be made to stop early (NUL) or to see two
 * lines (CR), while "MAIL FROM: <a@b>", tabs and trailing blanks, which real programs send, are understood.
 */
#include "smtp_cmd.h"

#include "smtp_addr.h"

#include <assert.h>
#include <string.h>

static const struct smtp_cmd_rule rules[SMTP_VERB_COUNT] = {
#define SMTP_CMD(cmd, arg, turn, junk)                                                                       \
	[SMTP_VERB_##cmd] = {{#cmd, sizeof(#cmd) - 1}, SMTP_ARGUMENT_##arg, turn, junk},
#include "smtp_cmds.def"
#undef SMTP_CMD
};

/* First words by which a peer shows that it means another service, or that a browser was tricked into talking
 * to us. */
static const struct smtp_slice foreign_words[] = {
	SMTP_LIT("GET"),
	SMTP_LIT("POST"),
	SMTP_LIT("PUT"),
	SMTP_LIT("HEAD"),
	SMTP_LIT("OPTIONS"),
	SMTP_LIT("DELETE"),
	SMTP_LIT("CONNECT"),
	SMTP_LIT("PATCH"),
	SMTP_LIT("PRI"),
	SMTP_LIT("PROXY"),
	SMTP_LIT("HTTP/"),
	SMTP_LIT("SSH-"),
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
skip(struct smtp_slice *in, size_t n)
{
	assert(n <= in->len);
	in->ptr += n;
	in->len -= n;
}

static void
skip_blanks(struct smtp_slice *in)
{
	while (in->len > 0 && is_blank(in->ptr[0]))
		skip(in, 1);
}

struct smtp_slice
smtp_cmd_word(struct smtp_slice *in)
{
	struct smtp_slice word = {in->ptr, 0};

	while (word.len < in->len && !is_blank(in->ptr[word.len]))
		word.len++;
	skip(in, word.len);
	skip_blanks(in);
	return word;
}

static enum smtp_verb
find_verb(struct smtp_slice word)
{
	for (int verb = SMTP_VERB_FOREIGN + 1; verb < SMTP_VERB_COUNT; verb++)
		if (smtp_slice_is_nocase(word, rules[verb].name))
			return (enum smtp_verb)verb;
	for (size_t i = 0; i < sizeof(foreign_words) / sizeof(foreign_words[0]); i++) {
		struct smtp_slice foreign = foreign_words[i];
		char last = foreign.ptr[foreign.len - 1];

		/* "SSH-" and "HTTP/" stand for all words that begin so. */
		if ((last == '-' || last == '/') && word.len > foreign.len)
			word.len = foreign.len;
		if (smtp_slice_is_nocase(word, foreign))
			return SMTP_VERB_FOREIGN;
	}
	return SMTP_VERB_UNKNOWN;
}

/* Printable ASCII, blanks, and UTF-8 where a command may carry an address. */
static int
check_bytes(struct smtp_slice line)
{
	bool has_high = false;
	int err = SMTP_OK;

	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.ptr[i];

		if ((c < ' ' && c != '\t') || c == 127)
			err = SMTP_ESYNTAX;
		has_high |= c > 127;
	}
	if (err == SMTP_OK && has_high) {
		/* Tabs are no text to smtp_utf8_is_text(), so the words between them are asked one by one. */
		while (line.len > 0 && err == SMTP_OK)
			err = smtp_utf8_is_text(smtp_cmd_word(&line)) ? SMTP_OK : SMTP_EUTF8;
	}
	return err;
}

int
smtp_cmd_parse(struct smtp_slice line, struct smtp_cmd *out_cmd)
{
	struct smtp_slice word;
	int err;

	while (line.len > 0 && is_blank(line.ptr[line.len - 1]))
		line.len--;
	if ((err = check_bytes(line)) < 0)
		return err;
	word = smtp_cmd_word(&line);
	if (word.len == 0)
		return SMTP_ESYNTAX;
	*out_cmd = (struct smtp_cmd){.verb = find_verb(word), .arg = line};
	return SMTP_OK;
}

enum smtp_verb
smtp_cmd_verb(struct smtp_slice line)
{
	return find_verb(smtp_cmd_word(&line));
}

const struct smtp_cmd_rule *
smtp_cmd_rule(enum smtp_verb verb)
{
	assert(verb > SMTP_VERB_FOREIGN && verb < SMTP_VERB_COUNT);
	return &rules[verb];
}

int
smtp_cmd_path(struct smtp_slice *arg, struct smtp_slice keyword, struct smtp_slice *out_path)
{
	struct smtp_slice in = *arg, path;
	size_t len = 0;
	bool is_quoted = false;

	if (in.len < keyword.len || !smtp_slice_is_nocase((struct smtp_slice){in.ptr, keyword.len}, keyword))
		return SMTP_ESYNTAX;
	skip(&in, keyword.len);
	skip_blanks(&in);
	if (in.len == 0 || in.ptr[0] != '<')
		return SMTP_ESYNTAX;
	skip(&in, 1);
	/* A quoted local part may hold brackets; they do not end the path. */
	while (len < in.len && (is_quoted || in.ptr[len] != '>')) {
		if (is_quoted && in.ptr[len] == '\\')
			len++;
		else if (in.ptr[len] == '"')
			is_quoted = !is_quoted;
		len++;
	}
	if (len >= in.len)
		return SMTP_ESYNTAX;
	path = (struct smtp_slice){in.ptr, len};
	skip(&in, len + 1);
	if (in.len > 0 && !is_blank(in.ptr[0]))
		return SMTP_ESYNTAX;
	skip_blanks(&in);
	*out_path = path;
	*arg = in;
	return SMTP_OK;
}
