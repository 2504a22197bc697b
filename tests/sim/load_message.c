/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything about a message follows from its number, the number of tries and the seed, so that load.c keeps
 * no more of a message than those until it is its turn. The body is the same for all but its first line,
 * which comes with the head; it is made once, as it is and as it goes over the wire.
 */
#include "load_message.h"

#include "base/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <time.h>

void
load_die(const char *what)
{
	fprintf(stderr, "mtasim-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

void *
load_alloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size);

	if (p == NULL)
		load_die("memory");
	return p;
}

void
load_add(char **buf, size_t *len, size_t *max, const char *format, ...)
{
	va_list args;
	int n;

	if (*max - *len < LOAD_LINE_MAX) {
		*max = *max * 2 + 2 * LOAD_LINE_MAX;
		if ((*buf = realloc(*buf, *max)) == NULL)
			load_die("memory");
	}
	va_start(args, format);
	n = vsnprintf(*buf + *len, *max - *len, format, args);
	va_end(args);
	assert(n >= 0);
	*len += (size_t)n < *max - *len ? (size_t)n : *max - *len - 1;
}

/* --- messages --- */

static void
make_body(struct composer *c)
{
	static const char *const lines[] = {
		"Dear reader, this line is about as long as the lines of a newsletter are.\r\n",
		".a line that begins with a dot, which has to be doubled on its way\r\n", "\r\n",
		"Prices, offers and news, as you asked for them when you signed up.\r\n", ".\r\n",
		"..and one with two of them; equals=signs, \"quotes\" and tabs\tas well\r\n"};
	size_t want = c->o->size > 2 ? c->o->size : 2, i, len, fill;

	c->body = load_alloc(want + 128, 1);
	c->stuffed = load_alloc(2 * want + 256, 1);
	for (i = 0; c->body_len + 82 < want; i++) {
		const char *line = lines[i % (sizeof(lines) / sizeof(lines[0]))];

		len = strnlen(line, 100);
		memcpy(c->body + c->body_len, line, len);
		c->body_len += len;
	}
	for (fill = want - c->body_len; fill > 2; fill--)
		c->body[c->body_len++] = 'x';
	memcpy(c->body + c->body_len, "\r\n", 2);
	c->body_len += 2;
	for (i = 0; i < c->body_len; i++) {
		if (c->body[i] == '.' && (i == 0 || c->body[i - 1] == '\n'))
			c->stuffed[c->stuffed_len++] = '.';
		c->stuffed[c->stuffed_len++] = c->body[i];
	}
}

static void
domain_of(const struct composer *c, uint64_t number, unsigned rcpt, char *buf, size_t max)
{
	uint64_t draw = sim_hash(c->o->seed + number * 1000003u + rcpt, "rcpt", 4);

	if (c->pattern_count > 0)
		sim_pattern_write(&c->pattern, (uint32_t)(draw % c->pattern_count), buf, max);
	else
		snprintf(buf, max, "%s", c->domains[draw % c->domain_count]);
}

void
load_write_rcpt(const struct composer *c, const struct message *m, unsigned i, char *buf, size_t max)
{
	char domain[256];

	domain_of(c, m->number, i, domain, sizeof(domain));
	snprintf(buf, max, "%s%llu.%u@%s", c->o->rcpt_prefix, (unsigned long long)m->number, i, domain);
}

static void
write_id(const struct composer *c, uint64_t number, unsigned tries, char *buf, size_t max)
{
	if (tries == 0)
		snprintf(buf, max, "%.100s-%llu", c->o->prefix, (unsigned long long)number);
	else
		snprintf(buf, max, "%.100s-%llu-r%u", c->o->prefix, (unsigned long long)number, tries);
}

/* Header, empty line, and the first line of the body, which makes every body another one. */
static void
write_head(const struct composer *c, struct message *m)
{
	const char *at = strrchr(c->o->from, '@'), *domain = at != NULL ? at + 1 : "client.test";
	char rcpt[LOAD_LINE_MAX], date[64] = "", message_id[300] = "", job[300] = "", first[200];
	int64_t wall_us = clock_now(clock_real());
	time_t wall = (time_t)(wall_us / 1000000);
	struct tm tm;
	int len, first_len;

	load_write_rcpt(c, m, 0, rcpt, sizeof(rcpt));
	if (!c->o->no_date)
		strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S +0000\r\n", gmtime_r(&wall, &tm));
	if (!c->o->no_message_id)
		snprintf(message_id, sizeof(message_id), "Message-ID: <%s@%.100s>\r\n", m->id, domain);
	if (c->o->job != NULL)
		snprintf(job, sizeof(job), "X-Job: %.200s\r\n", c->o->job);
	first_len = snprintf(first, sizeof(first), "This is message %s.\r\n", m->id);
	len = snprintf(m->head, sizeof(m->head),
		"From: \"The News\" <%.200s>\r\nTo: <%s>\r\nSubject: %.100s %llu\r\n%s%s%sX-Ledger-Id: %s\r\n"
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
		"List-Unsubscribe: <https://%.100s/u/%llu>\r\nList-Unsubscribe-Post: "
		"List-Unsubscribe=One-Click\r\n\r\n%s",
		c->o->from, rcpt, c->o->subject, (unsigned long long)m->number, date, message_id, job, m->id,
		domain, (unsigned long long)m->number, first);
	assert(len > 0 && (size_t)len < sizeof(m->head));
	m->head_len = (size_t)len;
	m->body_bytes = (size_t)first_len + c->body_len;
	m->crc = sim_crc_add(&c->crc, 0, first, (size_t)first_len);
	m->crc = sim_crc_add(&c->crc, m->crc, c->body, c->body_len);
}

struct message *
message_create(const struct composer *c, uint64_t number, unsigned tries)
{
	struct message *m = load_alloc(1, sizeof(*m));
	char rcpt[LOAD_LINE_MAX - 20];
	unsigned i;

	m->number = number;
	m->tries = tries;
	m->is_ok = load_alloc(c->o->rcpts, sizeof(*m->is_ok));
	write_id(c, number, tries, m->id, sizeof(m->id));
	if (tries > 0)
		write_id(c, number, tries - 1, m->previous, sizeof(m->previous));
	load_add(&m->envelope, &m->envelope_len, &m->envelope_max, "MAIL FROM:<%.300s>\r\n", c->o->from);
	for (i = 0; i < c->o->rcpts; i++) {
		load_write_rcpt(c, m, i, rcpt, sizeof(rcpt));
		load_add(&m->envelope, &m->envelope_len, &m->envelope_max, "RCPT TO:<%s>\r\n", rcpt);
	}
	load_add(&m->envelope, &m->envelope_len, &m->envelope_max, "DATA\r\n");
	write_head(c, m);
	return m;
}

void
message_destroy(struct message **mp)
{
	if (*mp != NULL) {
		free((*mp)->envelope);
		free((*mp)->is_ok);
		free(*mp);
	}
	*mp = NULL;
}

/* --- where to --- */

static void
split_domains(struct composer *c, char *text)
{
	size_t max = 0;
	char *at = text;

	c->domain_count = 0;
	while (*at != '\0') {
		size_t len = strcspn(at, ", \t\r\n");

		if (len > 0) {
			if (c->domain_count == max) {
				max = 2 * max + 64;
				if ((c->domains = realloc(c->domains, max * sizeof(*c->domains))) == NULL)
					load_die("memory");
			}
			c->domains[c->domain_count++] = at;
		}
		at += len;
		if (*at != '\0')
			*at++ = '\0';
	}
}

static void
read_domains_file(struct composer *c, const char *path)
{
	FILE *file = fopen(path, "r");
	size_t max = 16 << 20, len;

	if (file == NULL)
		load_die(path);
	c->domains_text = load_alloc(max, 1);
	len = fread(c->domains_text, 1, max - 1, file);
	c->domains_text[len] = '\0';
	fclose(file);
	split_domains(c, c->domains_text);
}

static bool
set_pattern(struct composer *c, char *text)
{
	char *colon = strrchr(text, ':');
	unsigned long count = 0;

	if (colon == NULL || !load_number(colon + 1, "domain-pattern", &count) || count == 0 ||
		count > UINT32_MAX || !sim_pattern_parse(text, (size_t)(colon - text), &c->pattern)) {
		fprintf(stderr, "mtasim-load: --domain-pattern: expected NAME%%04dNAME:COUNT\n");
		return false;
	}
	c->pattern_count = (uint32_t)count;
	return true;
}

bool
composer_init(struct composer *c, const struct options *o)
{
	c->o = o;
	sim_crc_init(&c->crc);
	make_body(c);
	if (o->domain_pattern != NULL)
		return set_pattern(c, o->domain_pattern);
	if (o->domains_file != NULL)
		read_domains_file(c, o->domains_file);
	else
		split_domains(c, o->domains);
	return c->domain_count > 0;
}

void
composer_fini(struct composer *c)
{
	free(c->domains);
	free(c->domains_text);
	free(c->body);
	free(c->stuffed);
}
