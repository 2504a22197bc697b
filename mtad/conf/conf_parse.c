/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfuse reads the structure; around it this file makes up for three of its habits. It looks for a
 * block's title among all earlier titles, which takes minutes for 50,000 of them, and would replace the first
 * of two blocks of one name: so it is fed slices of some hundred lines, each into a fresh cfg_t that is
 * copied out and dropped. It stops at the first error: so the next slice starts behind the error, in the same
 * block where that can be. And its error function has no argument for the caller: so the message waits in the
 * comment of the cfg_t it came with.
 *
 * Includes are a work list, not a recursion: nothing in the language depends on order between files, and no
 * depth of includes can exhaust the stack.
 */
#include "conf/conf_parse.h"

#include "conf/conf_text.h"

#include <confuse.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_BYTES 16384
#define FILES_MAX   1000
#define TEXT_MAX    CONF_LINE_BYTES_MAX

/* A file to read; `from` is the one that includes it. */
struct file {
	struct file *next, *from;
	const char *path;
	struct conf_place included_at;
	dev_t dev;
	ino_t ino;
};
struct parse {
	struct conf_raw *raw;
	struct conf_arena *arena;
	struct conf_report *report;
	struct file *files, **files_tail;
	size_t file_count;
	cfg_opt_t *options; /* of the top level */
	struct file *file;  /* being read */
	const struct conf_text *text;
	struct conf_raw_block *top; /* its settings outside of blocks */
};
/* One run of libconfuse: lines [first, end) behind `head`, which re-opens a block after an error in it. */
struct slice {
	size_t first, end;
	const char *head;
};

/* --- the tables of libconfuse --- */

static cfg_opt_t
option(const char *name, cfg_type_t type, cfg_flag_t flags)
{
	cfg_opt_t o = {.name = name, .type = type, .flags = flags};

	return o;
}

/* Every setting is a list of strings here, in the order of the rows; types are our own business. */
static cfg_opt_t *
make_options(struct conf_arena *a, const struct conf_block_kind *k, size_t extra)
{
	char name[CONF_ROW_NAME_MAX];
	cfg_opt_t *options;
	size_t n = 0;

	while (conf_kind_row(k, n) != NULL)
		n++;
	options = conf_arena_alloc(a, (n + extra + 1) * sizeof(*options));
	for (n = 0; conf_kind_row(k, n) != NULL; n++) {
		conf_row_name(conf_kind_row(k, n), name);
		options[n] = option(conf_arena_text(a, name, strnlen(name, sizeof(name))), CFGT_STR,
			CFGF_LIST | CFGF_NODEFAULT);
	}
	return options;
}

/* Top level: its rows, then the kinds of blocks in their order, then include. */
static cfg_opt_t *
make_all_options(struct conf_arena *a)
{
	cfg_opt_t *top = make_options(a, &conf_kinds[CONF_KIND_TOP], CONF_KIND_COUNT);
	size_t n = conf_kinds[CONF_KIND_TOP].row_count;

	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++) {
		top[n] = option(conf_kinds[kind].word, CFGT_SEC, CFGF_MULTI | CFGF_TITLE);
		top[n++].subopts = make_options(a, &conf_kinds[kind], 0);
	}
	top[n] = option("include", CFGT_STR, CFGF_LIST | CFGF_NODEFAULT);
	return top;
}

/* --- what libconfuse complains about --- */

__attribute__((format(printf, 2, 0))) static void
on_confuse_error(cfg_t *cfg, const char *format, va_list ap)
{
	if (cfg->comment == NULL && vasprintf(&cfg->comment, format, ap) < 0)
		cfg->comment = NULL;
}

/* The part of `cfg` where the error arose: the top level or the block that was last. */
static cfg_t *
find_error(cfg_t *root, int *out_kind)
{
	size_t first = conf_kinds[CONF_KIND_TOP].row_count;

	*out_kind = CONF_KIND_TOP;
	if (root->comment != NULL)
		return root;
	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++) {
		cfg_opt_t *o = &root->opts[first + (size_t)kind - 1];
		cfg_t *last = cfg_opt_size(o) > 0 ? cfg_opt_getnsec(o, cfg_opt_size(o) - 1) : NULL;

		if (last != NULL && last->comment != NULL) {
			*out_kind = kind;
			return last;
		}
	}
	return NULL;
}

/* "listen", "user, source and route": the kinds that have a setting of this name; "" when none has. */
static const char *
kinds_with(struct conf_arena *a, const char *name)
{
	const char *text = "", *last = "";

	for (int kind = CONF_KIND_TOP; kind < CONF_KIND_COUNT; kind++) {
		if (conf_kind_row_find(&conf_kinds[kind], name) < 0)
			continue;
		if (last[0] != '\0')
			text = text[0] == '\0' ? last : conf_arena_printf(a, "%s, %s", text, last);
		last = kind == CONF_KIND_TOP ? "the top level, outside of blocks" : conf_kinds[kind].word;
	}
	return text[0] == '\0' ? last : conf_arena_printf(a, "%s and %s", text, last);
}

static struct conf_nearest
nearest_in(int kind, const char *name)
{
	struct conf_nearest n = {.distance = 9};
	char buf[CONF_ROW_NAME_MAX];

	for (size_t i = 0; conf_kind_row(&conf_kinds[kind], i) != NULL; i++)
		conf_nearest_consider(&n, name, conf_row_name(conf_kind_row(&conf_kinds[kind], i), buf));
	for (int k = CONF_KIND_TOP + 1; kind == CONF_KIND_TOP && k < CONF_KIND_COUNT; k++)
		conf_nearest_consider(&n, name, conf_kinds[k].word);
	if (kind == CONF_KIND_TOP)
		conf_nearest_consider(&n, name, "include");
	return n;
}

/* Words that older files or a guess may have, whose nearest word would be the wrong one. */
static const char *
meant_by(const char *name)
{
	static const struct {
		const char *name, *meant;
	} words[] = {
		{"message-rate", "\"accept-rate\" (what is taken in) or \"rate\" (what is sent)"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strncmp(words[i].name, name, CONF_ROW_NAME_MAX) == 0)
			return words[i].meant;
	return NULL;
}

static void
say_unknown(struct parse *p, struct conf_place at, int kind, const char *name)
{
	const char *where = kind == CONF_KIND_TOP ? "at the top level" : conf_kinds[kind].word;
	const char *in = kind == CONF_KIND_TOP ? "" : "in ", *right = kinds_with(p->arena, name);
	struct conf_nearest here = nearest_in(kind, name), best = {.distance = 9};

	if (meant_by(name) != NULL) {
		conf_error(p->report, at, "unknown setting \"%.60s\" %s%s; did you mean %s?", name, in, where,
			meant_by(name));
		return;
	}
	if (right[0] != '\0') {
		conf_error(p->report, at, "\"%.60s\" does not belong %s%s; it belongs in %s", name, in, where,
			right);
		return;
	}
	for (int k = CONF_KIND_TOP; k < CONF_KIND_COUNT; k++) {
		struct conf_nearest n = nearest_in(k, name);

		if (n.distance < best.distance)
			best = n;
	}
	if (here.distance < 9)
		conf_error(p->report, at, "unknown setting \"%.60s\" %s%s; did you mean \"%s\"?", name, in,
			where, here.word);
	else if (best.distance < 9 && kinds_with(p->arena, best.word)[0] != '\0')
		conf_error(p->report, at,
			"unknown setting \"%.60s\" %s%s; did you mean \"%s\", which belongs in %s?", name, in,
			where, best.word, kinds_with(p->arena, best.word));
	else
		conf_error(p->report, at, "unknown setting \"%.60s\" %s%s; mtad.conf(5) has all settings",
			name, in, where);
}

static bool
is_block_word(const char *name)
{
	if (strncmp(name, "include", 8) == 0)
		return true;
	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++)
		if (strncmp(name, conf_kinds[kind].word, 16) == 0)
			return true;
	return false;
}

/* The text between the first and the last quote of a message of libconfuse, without its tag. */
static const char *
quoted_part(struct conf_arena *a, const char *message)
{
	const char *begin = strchr(message, '\''), *end = strrchr(message, '\'');
	int line, statement;

	if (begin == NULL || end == begin)
		return "";
	return conf_text_untag(conf_arena_text(a, begin + 1, (size_t)(end - begin - 1)), &line, &statement);
}

/* Says it in our words. False: reading on in this block would only give errors that follow from this one. */
static bool
say_error(struct parse *p, struct conf_place at, int kind, const char *message)
{
	const char *word = quoted_part(p->arena, message);

	if (strncmp(message, "no such option", 14) == 0) {
		if (kind != CONF_KIND_TOP && is_block_word(word)) {
			conf_error(p->report, at,
				"\"%s\" cannot stand inside %s; is a } missing above this line?", word,
				conf_kinds[kind].word);
			return false;
		}
		say_unknown(p, at, kind, word);
	} else if (strncmp(message, "missing equal sign", 18) == 0 && strncmp(word, "include", 8) == 0) {
		conf_error(p->report, at, "\"include\" needs brackets: include(\"FILE\")");
	} else if (strncmp(message, "missing equal sign", 18) == 0) {
		conf_error(p->report, at, "\"%s\" needs a \"=\": %s = VALUE", word, word);
	} else if (strncmp(message, "missing title", 13) == 0) {
		conf_error(p->report, at, "\"%s\" needs a name: %s NAME { ... }", word, word);
	} else if (strncmp(message, "missing opening brace", 21) == 0) {
		conf_error(p->report, at,
			"\"{\" is missing: %s NAME { ... }; a name with blanks needs quotes", word);
	} else if (strncmp(message, "unexpected token", 16) == 0) {
		conf_error(p->report, at,
			"\"%.60s\" is not expected here; words of a list need a comma between them", word);
	} else {
		conf_error(p->report, at, "%s", message);
	}
	return true;
}

/* --- copying out --- */

/* The values of one libconfuse option; each "=" in the file makes a setting of its own. */
static void
copy_values(struct parse *p, struct conf_raw_block *b, size_t row, cfg_opt_t *o)
{
	unsigned int size = cfg_opt_size(o);
	int statement = -1, last_statement = -1, line = b->at.line;
	const char **items = conf_arena_alloc(p->arena, size * sizeof(*items));
	struct conf_raw_setting *s = NULL;

	for (unsigned int i = 0; i < size; i++) {
		const char *word = conf_text_untag(cfg_opt_getnstr(o, i), &line, &statement);

		if (s == NULL || statement != last_statement) {
			s = conf_arena_alloc(p->arena, sizeof(*s));
			s->row = row;
			s->at = (struct conf_place){p->file->path, line};
			s->items = items + i;
			*b->tail = s;
			b->tail = &s->next;
			last_statement = statement;
		}
		if (strncmp(word, CONF_EMPTY_LIST, 2) == 0)
			continue;
		items[i] = conf_arena_text(p->arena, word, strnlen(word, TEXT_MAX));
		s->count++;
	}
}

static void
copy_settings(struct parse *p, struct conf_raw_block *b, const struct conf_block_kind *k, cfg_t *cfg)
{
	for (size_t n = 0; conf_kind_row(k, n) != NULL; n++)
		if (cfg_opt_size(&cfg->opts[n]) > 0)
			copy_values(p, b, n, &cfg->opts[n]);
}

static struct conf_raw_block *
add_block(struct parse *p, int kind, const char *title, struct conf_place at)
{
	struct conf_raw_block *b = conf_arena_alloc(p->arena, sizeof(*b));

	*b = (struct conf_raw_block){.title = title, .at = at, .tail = &b->settings};
	*p->raw->tails[kind] = b;
	p->raw->tails[kind] = &b->next;
	p->raw->counts[kind]++;
	return b;
}

static void
add_file(struct parse *p, const char *path, struct file *from, struct conf_place included_at)
{
	struct file *f;

	if (p->file_count++ >= FILES_MAX) {
		if (p->file_count == FILES_MAX + 1)
			conf_error(p->report, included_at, "more than %d files", FILES_MAX);
		return;
	}
	f = conf_arena_alloc(p->arena, sizeof(*f));
	*f = (struct file){.from = from, .path = path, .included_at = included_at};
	*p->files_tail = f;
	p->files_tail = &f->next;
}

static void
copy_includes(struct parse *p, cfg_opt_t *o)
{
	int line = 0, statement;

	for (unsigned int i = 0; i < cfg_opt_size(o); i++) {
		const char *word = conf_text_untag(cfg_opt_getnstr(o, i), &line, &statement);
		const char *slash = strrchr(p->file->path, '/');
		int folder_len = slash != NULL ? (int)(slash + 1 - p->file->path) : 0;
		const char *path = conf_arena_printf(
			p->arena, "%.*s%s", word[0] == '/' ? 0 : folder_len, p->file->path, word);
		struct conf_place at = {p->file->path, line};

		if (strpbrk(word, "*?") != NULL)
			conf_error(p->report, at, "include takes the name of one file, no pattern: \"%.60s\"",
				word);
		else
			add_file(p, path, p->file, at);
	}
}

static void
copy_out(struct parse *p, cfg_t *root, const struct slice *s)
{
	const struct conf_block_kind *top = &conf_kinds[CONF_KIND_TOP];
	int line = 0, statement;

	copy_settings(p, p->top, top, root);
	for (int kind = CONF_KIND_TOP + 1; kind < CONF_KIND_COUNT; kind++) {
		cfg_opt_t *o = &root->opts[top->row_count + (size_t)kind - 1];

		for (unsigned int i = 0; i < cfg_opt_size(o); i++) {
			cfg_t *section = cfg_opt_getnsec(o, i);
			const char *title = conf_text_untag(section->title, &line, &statement);
			struct conf_raw_block *b;

			title = conf_arena_text(p->arena, title, strnlen(title, TEXT_MAX));
			b = add_block(p, kind, title, (struct conf_place){p->file->path, line});
			copy_settings(p, b, &conf_kinds[kind], section);
		}
	}
	copy_includes(p, &root->opts[top->row_count + CONF_KIND_COUNT - 1]);
}

/* --- slices --- */

static size_t
slice_end(const struct conf_text *t, size_t first)
{
	size_t n = first + 1;

	while (n < t->line_count &&
		(t->lines[n].depth != 0 || t->lines[n].offset - t->lines[first].offset < SLICE_BYTES))
		n++;
	return n;
}

/* One time through libconfuse. */
static int
run_confuse(cfg_t *root, const struct conf_text *t, const struct slice *s)
{
	size_t head_len = s->head != NULL ? strnlen(s->head, 2 * TEXT_MAX) : 0;
	size_t len = t->lines[s->end].offset - t->lines[s->first].offset;
	char *text = malloc(head_len + len + 1);
	FILE *f;
	int err;

	if (text == NULL)
		abort(); /* as conf_arena */
	if (head_len > 0)
		memcpy(text, s->head, head_len);
	if (len > 0)
		memcpy(text + head_len, t->text + t->lines[s->first].offset, len);
	text[head_len + len] = '\n'; /* fmemopen refuses nothing at all */
	f = fmemopen(text, head_len + len + 1, "r");
	if (f == NULL)
		abort();
	err = cfg_parse_fp(root, f);
	fclose(f);
	free(text);
	return err;
}

/* '"listen" "12:3:name" { ', as conf_text would write it. */
static const char *
write_head(struct conf_arena *a, int kind, const char *tagged_title)
{
	size_t len = strnlen(tagged_title, TEXT_MAX), n = 0;
	char *title = conf_arena_alloc(a, 2 * len + 1);

	for (size_t i = 0; i < len; i++) {
		if (tagged_title[i] == '"' || tagged_title[i] == '\\' || tagged_title[i] == '$')
			title[n++] = '\\';
		title[n++] = tagged_title[i];
	}
	return conf_arena_printf(a, "\"%s\" \"%s\" { ", conf_kinds[kind].word, title);
}

/* Reports the error and finds the place to go on: the next line that starts a statement, in the same block or
 * outside. */
static void
recover(struct parse *p, cfg_t *root, struct slice *s)
{
	const struct conf_text *t = p->text;
	int kind;
	cfg_t *cfg = find_error(root, &kind);
	size_t line = s->first + (size_t)(cfg != NULL && cfg->line > 0 ? cfg->line : 1);
	struct conf_place at = {p->file->path, (int)line};
	size_t end = slice_end(t, s->first), next;

	if (cfg == NULL) {
		conf_error(p->report, at, "cannot be read from here on");
		s->first = t->line_count;
		return;
	}
	s->end = end;
	if (!say_error(p, at, kind, cfg->comment)) {
		s->first = t->line_count;
		return;
	}
	for (next = line; next < t->line_count; next++)
		if (t->lines[next].depth == 0 || (t->lines[next].depth == 1 && kind != CONF_KIND_TOP))
			break;
	s->head = next < t->line_count && t->lines[next].depth == 1 ? write_head(p->arena, kind, cfg->title)
								    : NULL;
	s->first = next;
}

static void
parse_text(struct parse *p, const struct conf_text *t)
{
	struct slice s = {.first = 0};

	p->text = t;
	p->top = add_block(p, CONF_KIND_TOP, "", (struct conf_place){p->file->path, 0});
	while (s.first < t->line_count) {
		cfg_t *root = cfg_init(p->options, CFGF_NONE);

		if (root == NULL)
			abort(); /* as conf_arena */
		cfg_set_error_function(root, on_confuse_error);
		s.end = slice_end(t, s.first);
		if (run_confuse(root, t, &s) == CFG_SUCCESS) {
			s.first = s.end;
			s.head = NULL;
			copy_out(p, root, &s);
		} else {
			copy_out(p, root, &s);
			recover(p, root, &s);
		}
		cfg_free(root);
	}
}

/* --- files --- */

static void
say_chain(struct parse *p, const struct file *f)
{
	for (; f->from != NULL; f = f->from)
		conf_error(p->report, f->included_at, "  ... \"%s\" is included here", f->path);
}

/* The file's bytes, malloc'd; NULL: reported. */
static char *
read_whole(struct parse *p, struct file *f, size_t *out_len)
{
	struct conf_place at = {f->path, 0};
	struct stat st;
	char *bytes = NULL;
	size_t len = 0;
	ssize_t n = 0;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		conf_error(p->report, at, "cannot be opened: %s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		conf_error(p->report, at,
			S_ISDIR(st.st_mode) ? "is a folder, not a file" : "is not a regular file");
	} else if ((size_t)st.st_size > CONF_FILE_BYTES_MAX) {
		conf_error(p->report, at, "the file is larger than 64 MB");
	} else {
		f->dev = st.st_dev;
		f->ino = st.st_ino;
		bytes = malloc((size_t)st.st_size + 1);
		if (bytes == NULL)
			abort(); /* as conf_arena */
		while (len < (size_t)st.st_size && (n = read(fd, bytes + len, (size_t)st.st_size - len)) > 0)
			len += (size_t)n;
		if (n < 0) {
			conf_error(p->report, at, "cannot be read: %s", strerror(errno));
			free(bytes);
			bytes = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	*out_len = len;
	return bytes;
}

/* A file counts once, however it is written. */
static bool
is_fresh(struct parse *p, const struct file *f)
{
	for (const struct file *up = f->from; up != NULL; up = up->from) {
		if (up->dev != f->dev || up->ino != f->ino)
			continue;
		conf_error(p->report, f->included_at, "\"%s\" includes itself", f->path);
		return false;
	}
	for (const struct file *other = p->files; other != f; other = other->next) {
		if (other->dev != f->dev || other->ino != f->ino)
			continue;
		conf_error(p->report, f->included_at, "\"%s\" is included a second time", f->path);
		return false;
	}
	return true;
}

static void
parse_bytes(struct parse *p, const char *bytes, size_t len)
{
	struct conf_text t;

	if (conf_text_read(&t, bytes, len, p->file->path, p->report) == 0)
		parse_text(p, &t);
	p->text = NULL;
	conf_text_fini(&t);
}

static void
parse_one_file(struct parse *p, struct file *f)
{
	size_t len;
	int errors = p->report->error_count;
	char *bytes = read_whole(p, f, &len);

	p->file = f;
	if (bytes == NULL) {
		say_chain(p, f);
		return;
	}
	if (is_fresh(p, f))
		parse_bytes(p, bytes, len);
	else if (p->report->error_count > errors && f->from != NULL)
		say_chain(p, f->from);
	free(bytes);
}

static void
parse_begin(struct parse *p, struct conf_raw *raw, struct conf_arena *arena, struct conf_report *r)
{
	memset(p, 0, sizeof(*p));
	memset(raw, 0, sizeof(*raw));
	raw->arena = p->arena = arena;
	raw->report = p->report = r;
	for (int kind = 0; kind < CONF_KIND_COUNT; kind++)
		raw->tails[kind] = &raw->blocks[kind];
	p->raw = raw;
	p->files_tail = &p->files;
	p->options = make_all_options(arena);
}

void
conf_parse_file(struct conf_raw *raw, struct conf_arena *arena, const char *file, struct conf_report *r)
{
	struct parse p;

	parse_begin(&p, raw, arena, r);
	add_file(&p, file, NULL, (struct conf_place){NULL, 0});
	for (struct file *f = p.files; f != NULL; f = f->next)
		parse_one_file(&p, f);
}

void
conf_parse_bytes(struct conf_raw *raw, struct conf_arena *arena, const char *name, const char *bytes,
	size_t len, struct conf_report *r)
{
	struct parse p;

	parse_begin(&p, raw, arena, r);
	add_file(&p, name, NULL, (struct conf_place){NULL, 0});
	p.file = p.files;
	parse_bytes(&p, bytes, len);
	for (struct file *f = p.files->next; f != NULL; f = f->next)
		parse_one_file(&p, f);
}

const struct conf_raw_setting *
conf_raw_find(const struct conf_raw_block *b, const struct conf_block_kind *k, const char *name)
{
	const struct conf_raw_setting *s = b->settings;
	int row = conf_kind_row_find(k, name);

	assert(row >= 0);
	while (s != NULL && s->row != (size_t)row)
		s = s->next;
	return s;
}

struct conf_place
conf_raw_place(const struct conf_raw_block *b, const struct conf_block_kind *k, const char *name)
{
	const struct conf_raw_setting *s = conf_raw_find(b, k, name);

	return s != NULL ? s->at : b->at;
}
