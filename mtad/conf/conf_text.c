/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfuse is a good parser behind a careless scanner: outside quotes it drops "*" without a word, replaces
 * ${NAME} from the environment, and crashes or overreads on odd bytes; it knows neither the line of a setting
 * nor that one was given twice. So the scanner is ours: this file splits the bytes into words and marks, and
 * writes them down again in the one form that libconfuse reads exactly. Grammar and structure stay with
 * libconfuse.
 *
 * Invariants: newlines are kept, so line N of the text is line N of the file; outside of quotes the text
 * holds blanks, newlines and { } , += only; inside quotes every " \ $ has a backslash before it.
 */
#include "conf/conf_text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4

enum expect {
	EXPECT_NAME,     /* a setting or a block */
	EXPECT_AFTER,    /* "=", a title or "{" */
	EXPECT_VALUE,    /* a word or "{" of a list */
	EXPECT_IN_LIST,  /* words and commas until "}" */
	EXPECT_ARGUMENT, /* the file of include(file) */
	EXPECT_CLOSING,  /* and its ")" */
};

struct scan {
	const char *p, *end, *line_start;
	const char *file;
	struct conf_report *report;
	struct conf_text *out;
	size_t line_max; /* room in out->lines */
	size_t text_max;
	int line;
	int statement;
	enum expect expect;
	int depth;
	int open_line[DEPTH_MAX]; /* of each open brace */
	char name[32];            /* the last name, for messages */
	bool is_list_empty;       /* no word yet since its brace */
	bool is_broken;
};

static void
add(struct scan *s, const char *bytes, size_t len)
{
	struct conf_text *t = s->out;

	if (s->text_max - t->len < len) {
		s->text_max = (s->text_max + len) * 2;
		t->text = realloc(t->text, s->text_max);
		if (t->text == NULL)
			abort(); /* as conf_arena */
	}
	memcpy(t->text + t->len, bytes, len);
	t->len += len;
}

static void
add_line(struct scan *s)
{
	struct conf_text *t = s->out;

	if (t->line_count + 1 >= s->line_max) {
		s->line_max = s->line_max * 2 + 64;
		t->lines = realloc(t->lines, s->line_max * sizeof(t->lines[0]));
		if (t->lines == NULL)
			abort(); /* as conf_arena */
	}
	t->lines[t->line_count].offset = (uint32_t)t->len;
	t->lines[t->line_count].depth = s->expect == EXPECT_NAME ? (uint8_t)s->depth : CONF_LINE_INSIDE;
	t->line_count++;
}

static struct conf_place
here(const struct scan *s)
{
	return (struct conf_place){s->file, s->line};
}

static void
on_newline(struct scan *s)
{
	s->line++;
	s->line_start = s->p;
	add(s, "\n", 1);
	add_line(s);
}

/* Writes one word, quoted and, unless it is a name, tagged; then what may follow it. */
static void
put_word(struct scan *s, const char *word, size_t len)
{
	char tag[32];
	bool is_name = s->expect == EXPECT_NAME;

	if (s->expect == EXPECT_CLOSING) {
		conf_error(s->report, here(s), "include takes one file: include(\"FILE\")");
		return;
	}
	s->is_list_empty = false;
	add(s, "\"", 1);
	if (is_name)
		snprintf(s->name, sizeof(s->name), "%.*s", (int)(len < 31 ? len : 31), word);
	else
		add(s, tag, (size_t)snprintf(tag, sizeof(tag), "%d:%d:", s->line, s->statement));
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '"' || word[i] == '\\' || word[i] == '$')
			add(s, "\\", 1);
		add(s, word + i, 1);
	}
	add(s, "\" ", 2);
	if (is_name)
		s->expect = EXPECT_AFTER;
	else if (s->expect == EXPECT_VALUE)
		s->expect = EXPECT_NAME;
	else if (s->expect == EXPECT_ARGUMENT)
		s->expect = EXPECT_CLOSING;
}

static bool
ends_word(char c)
{
	return (unsigned char)c <= ' ' || memchr("#\"'{}(),=", c, 9) != NULL;
}

static void
scan_bare(struct scan *s)
{
	const char *word = s->p;
	size_t len;

	while (s->p < s->end && !ends_word(*s->p))
		s->p++;
	len = (size_t)(s->p - word);
	if (word[len - 1] == ';') {
		conf_error(s->report, here(s), "settings do not end with \";\": write \"%.*s\" without it",
			(int)(len - 1 < 60 ? len - 1 : 60), word);
		len--;
	}
	if (len > 0)
		put_word(s, word, len);
}

/* "..." knows \" and \\; '...' knows nothing. Neither goes over the end of its line, so a forgotten quote is
 * found where it is missing and not at the end of the file. */
static void
scan_quoted(struct scan *s, char quote)
{
	char word[CONF_LINE_BYTES_MAX];
	size_t len = 0;

	for (s->p++; s->p < s->end && *s->p != '\n' && *s->p != quote && len < sizeof(word); s->p++) {
		if (quote == '"' && *s->p == '\\') {
			if (s->end - s->p < 2 || (s->p[1] != '"' && s->p[1] != '\\')) {
				conf_error(s->report, here(s),
					"in \"...\" a backslash stands before \" or \\ only; write \\\\ or "
					"use '...'");
				continue;
			}
			s->p++;
		}
		word[len++] = *s->p;
	}
	if (s->p == s->end || *s->p != quote) {
		conf_error(s->report, here(s), "the %c that begins a quoted text on this line is not closed",
			quote);
		s->is_broken = true;
		return;
	}
	s->p++;
	put_word(s, word, len);
}

static void
skip_comment(struct scan *s)
{
	int first = s->line;

	if (s->p[0] == '#' || s->p[1] == '/') {
		while (s->p < s->end && *s->p != '\n')
			s->p++;
		return;
	}
	for (s->p += 2; s->p < s->end; s->p++) {
		if (*s->p == '*' && s->end - s->p > 1 && s->p[1] == '/') {
			s->p += 2;
			return;
		}
		if (*s->p == '\n') {
			s->p++;
			on_newline(s);
			s->p--;
		}
	}
	conf_error(s->report, (struct conf_place){s->file, first},
		"the comment that begins here is not closed by */");
	s->is_broken = true;
}

static void
on_open_brace(struct scan *s)
{
	if (s->depth == DEPTH_MAX) {
		conf_error(s->report, here(s), "too many braces inside each other; the first is on line %d",
			s->open_line[0]);
		s->is_broken = true;
		return;
	}
	s->open_line[s->depth++] = s->line;
	s->is_list_empty = s->expect == EXPECT_VALUE;
	if (s->expect == EXPECT_VALUE)
		s->expect = EXPECT_IN_LIST;
	else if (s->expect == EXPECT_AFTER)
		s->expect = EXPECT_NAME;
	add(s, "{ ", 2);
}

static void
on_close_brace(struct scan *s)
{
	if (s->depth == 0) {
		conf_error(s->report, here(s), "this } closes nothing");
		s->is_broken = true;
		return;
	}
	if (s->expect == EXPECT_VALUE)
		conf_error(s->report, here(s), "\"%s =\" has no value", s->name);
	if (s->expect == EXPECT_IN_LIST && s->is_list_empty)
		put_word(s, CONF_EMPTY_LIST, 1);
	s->depth--;
	s->expect = EXPECT_NAME;
	add(s, "} ", 2);
}

static bool
is_setting_name(const char *name)
{
	for (; *name != '\0'; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			    (*name >= '0' && *name <= '9') || *name == '-' || *name == '_'))
			return false;
	return true;
}

static void
on_equals(struct scan *s)
{
	/* libconfuse takes "a|b" for setting b of block a, wherever it stands. */
	if (s->expect == EXPECT_AFTER && !is_setting_name(s->name)) {
		conf_error(s->report, here(s), "\"%s\" is no name of a setting", s->name);
		s->is_broken = true;
	} else if (s->expect == EXPECT_NAME) {
		conf_error(
			s->report, here(s), "= without a name before it; a value with = in it needs quotes");
		s->is_broken = true;
	}
	if (s->expect == EXPECT_VALUE) {
		conf_error(
			s->report, here(s), "\"%s\" has two =; a value with = in it needs quotes", s->name);
		return;
	}
	s->statement++;
	add(s, "+= ", 3);
	if (s->expect != EXPECT_IN_LIST)
		s->expect = EXPECT_VALUE;
}

/* include(file) becomes a list setting: include += file. */
static void
on_paren(struct scan *s, char c)
{
	bool is_expected = c == '(' ? s->expect == EXPECT_AFTER && strncmp(s->name, "include", 8) == 0
				    : s->expect == EXPECT_CLOSING;

	if (!is_expected) {
		conf_error(s->report, here(s),
			"%c stands in include(\"FILE\") only; a value with it needs quotes", c);
		s->is_broken = true;
		return;
	}
	if (c == '(') {
		s->statement++;
		add(s, "+= ", 3);
	}
	s->expect = c == '(' ? EXPECT_ARGUMENT : EXPECT_NAME;
}

static void
on_comma(struct scan *s)
{
	if (s->expect == EXPECT_IN_LIST) {
		add(s, ", ", 2);
		return;
	}
	conf_error(s->report, here(s), "a list stands in braces: %s = { a, b }", s->name);
	while (s->p < s->end && *s->p != '\n' && *s->p != '}')
		s->p++;
}

static void
scan_token(struct scan *s)
{
	char c = *s->p;

	if (c == '#' || (c == '/' && s->end - s->p > 1 && (s->p[1] == '/' || s->p[1] == '*'))) {
		skip_comment(s);
		return;
	}
	if (c == '"' || c == '\'') {
		scan_quoted(s, c);
		return;
	}
	if (!ends_word(c)) {
		scan_bare(s);
		return;
	}
	s->p++;
	switch (c) {
	case '\n':
		on_newline(s);
		break;
	case '{':
		on_open_brace(s);
		break;
	case '}':
		on_close_brace(s);
		break;
	case '=':
		on_equals(s);
		break;
	case '(':
	case ')':
		on_paren(s, c);
		break;
	case ',':
		on_comma(s);
		break;
	default:
		break; /* blank, tab, CR: check_bytes let no other control byte through */
	}
}

/* Length of the UTF-8 sequence at p (RFC 3629, no surrogates, nothing overlong); 0: none. */
static size_t
utf8_len(const unsigned char *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;

	if (p[0] >= 0x80 && (p[0] < 0xc2 || p[0] > 0xf4))
		return 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* One error is enough here: a file that fails is most likely no configuration at all. */
static int
check_bytes(const struct scan *s)
{
	const char *line_start = s->p;
	struct conf_place at = {s->file, 1};

	for (const char *p = s->p; p < s->end;) {
		size_t n = utf8_len((const unsigned char *)p, (size_t)(s->end - p));

		if (n == 0) {
			conf_error(
				s->report, at, "not UTF-8 text (byte 0x%02x)", (unsigned)(unsigned char)*p);
			return -1;
		}
		if (*p == '\r' && (s->end - p < 2 || p[1] != '\n')) {
			conf_error(s->report, at, "a carriage return in the middle of the line");
			return -1;
		}
		if (((unsigned char)*p < ' ' && *p != '\n' && *p != '\t' && *p != '\r') || *p == 127) {
			conf_error(s->report, at, "control byte 0x%02x in the text",
				(unsigned)(unsigned char)*p);
			return -1;
		}
		p += n;
		if ((size_t)(p - line_start) > CONF_LINE_BYTES_MAX) {
			conf_error(s->report, at, "the line is longer than 64 KB; break it up");
			return -1;
		}
		if (p[-1] == '\n') {
			line_start = p;
			at.line++;
		}
	}
	return 0;
}

int
conf_text_read(struct conf_text *t, const char *bytes, size_t len, const char *file, struct conf_report *r)
{
	struct scan s = {.p = bytes,
		.end = bytes + len,
		.file = file,
		.report = r,
		.out = t,
		.line = 1,
		.expect = EXPECT_NAME};

	memset(t, 0, sizeof(*t));
	if (len > CONF_FILE_BYTES_MAX) {
		conf_error(r, (struct conf_place){file, 0}, "the file is larger than 64 MB");
		return -1;
	}
	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		s.p += 3; /* a byte order mark, as some editors leave it */
	if (check_bytes(&s) < 0)
		return -1;
	s.line_start = s.p;
	add_line(&s);
	while (s.p < s.end && !s.is_broken)
		scan_token(&s);
	add_line(&s);
	t->line_count--;
	if (s.is_broken)
		return -1;
	if (s.depth > 0) {
		conf_error(r, (struct conf_place){file, s.open_line[s.depth - 1]},
			"the { on this line is not closed");
		return -1;
	}
	if (s.expect != EXPECT_NAME) {
		conf_error(r, here(&s), "the file ends in the middle of \"%s\"", s.name);
		return -1;
	}
	return 0;
}

void
conf_text_fini(struct conf_text *t)
{
	free(t->text);
	free(t->lines);
	memset(t, 0, sizeof(*t));
}

const char *
conf_text_untag(const char *word, int *out_line, int *out_statement)
{
	char *end;
	long line, statement;

	line = strtol(word, &end, 10);
	if (end == word || *end != ':')
		return word;
	statement = strtol(end + 1, &end, 10);
	if (*end != ':')
		return word;
	*out_line = (int)line;
	*out_statement = (int)statement;
	return end + 1;
}
