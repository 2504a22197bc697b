/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arrival ledger is one side of every "nothing lost, nothing twice" proof, so it is as simple as it can
 * be: an append-only file, one write(2) a message, no buffering, no locking.
 *
 * Invariants: the id and the checksum are found in whatever portions the bytes come; peer text never adds a
 * column or a line (control characters become spaces).
 */
#include "mtasim_ledger.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_MAX = 2048 };

struct ledger {
	int fd, returns_fd;
	const char *mbox_dir;
	bool keeps_header;
	struct sim_crc crc;
	char *records;
	size_t records_len, records_max;
};

/* -1 for no path. False: words are on stderr. */
static bool
open_file(const char *path, int *out_fd)
{
	*out_fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
	if (path == NULL || *out_fd >= 0)
		return true;
	fprintf(stderr, "mtasim: %s: %s\n", path, strerror(errno));
	return false;
}

struct ledger *
ledger_create(const struct ledger_files *files)
{
	const char *mbox_dir = files->mbox_dir;
	struct ledger *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	sim_crc_init(&l->crc);
	l->mbox_dir = mbox_dir;
	l->keeps_header = files->keeps_header;
	l->fd = l->returns_fd = -1;
	if (!open_file(files->arrivals, &l->fd) || !open_file(files->returns, &l->returns_fd)) {
		ledger_destroy(&l);
		return NULL;
	}
	if (mbox_dir != NULL && mkdir(mbox_dir, 0755) != 0 && errno != EEXIST) {
		fprintf(stderr, "mtasim: %s: %s\n", mbox_dir, strerror(errno));
		ledger_destroy(&l);
	}
	return l;
}

void
ledger_destroy(struct ledger **lp)
{
	struct ledger *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	if (l->fd >= 0)
		close(l->fd);
	if (l->returns_fd >= 0)
		close(l->returns_fd);
	free(l->records);
	free(l);
}

void
ledger_begin(struct ledger_message *m)
{
	m->id_len = m->line_len = m->copy_len = 0;
	m->has_ledger_id = m->in_body = m->wants_fold = false;
	m->bytes = m->body_bytes = 0;
	m->crc = 0;
}

void
ledger_fini(struct ledger_message *m)
{
	free(m->copy);
	m->copy = NULL;
	m->copy_len = m->copy_max = 0;
}

static void
take_id(struct ledger_message *m, const char *text, size_t len)
{
	while (len > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	while (len > 0 && (unsigned char)text[len - 1] <= ' ')
		len--;
	if (len > sizeof(m->id))
		len = sizeof(m->id);
	memcpy(m->id, text, len);
	m->id_len = len;
}

static bool
has_name(const struct ledger_message *m, const char *name, size_t name_len)
{
	return m->line_len >= name_len && strncasecmp(m->line, name, name_len) == 0;
}

/* A header line is whole (or as much of it as is kept). */
static void
end_line(struct ledger_message *m)
{
	static const char ledger_id[] = "X-Ledger-Id:", message_id[] = "Message-ID:";
	bool is_folded = m->line_len > 0 && (m->line[0] == ' ' || m->line[0] == '\t');

	if (m->line_len == 0 || (m->line_len == 1 && m->line[0] == '\r')) {
		m->in_body = true;
	} else if (has_name(m, ledger_id, sizeof(ledger_id) - 1)) {
		take_id(m, m->line + sizeof(ledger_id) - 1, m->line_len - sizeof(ledger_id) + 1);
		m->has_ledger_id = true;
		m->wants_fold = m->id_len == 0;
	} else if (is_folded && m->wants_fold) {
		take_id(m, m->line, m->line_len);
		m->wants_fold = false;
	} else if (!m->has_ledger_id && has_name(m, message_id, sizeof(message_id) - 1)) {
		take_id(m, m->line + sizeof(message_id) - 1, m->line_len - sizeof(message_id) + 1);
		m->wants_fold = m->id_len == 0;
	}
	m->line_len = 0;
}

/* Eats header lines; what is left belongs to the body. */
static struct smtp_slice
feed_header(struct ledger_message *m, struct smtp_slice in)
{
	while (in.len > 0 && !m->in_body) {
		const char *end = memchr(in.ptr, '\n', in.len);
		size_t len = end != NULL ? (size_t)(end - in.ptr) : in.len;
		size_t room = sizeof(m->line) - m->line_len, part = len < room ? len : room;

		memcpy(m->line + m->line_len, in.ptr, part);
		m->line_len += part;
		if (end != NULL) {
			end_line(m);
			len++;
		}
		in.ptr += len;
		in.len -= len;
	}
	return in;
}

static void
keep_copy(struct ledger_message *m, struct smtp_slice bytes)
{
	size_t need = m->copy_len + bytes.len, max = m->copy_max > 0 ? m->copy_max : 16384;
	char *grown;

	while (max < need)
		max *= 2;
	if (max > m->copy_max) {
		if ((grown = realloc(m->copy, max)) == NULL) {
			fprintf(stderr, "mtasim: out of memory for a message of %zu bytes\n", need);
			exit(1);
		}
		m->copy = grown;
		m->copy_max = max;
	}
	memcpy(m->copy + m->copy_len, bytes.ptr, bytes.len);
	m->copy_len += bytes.len;
}

void
ledger_feed(struct ledger *l, struct ledger_message *m, struct smtp_slice bytes)
{
	m->bytes += bytes.len;
	if ((l->mbox_dir != NULL || (l->keeps_header && !m->in_body)) && bytes.len > 0)
		keep_copy(m, bytes);
	if (!m->in_body)
		bytes = feed_header(m, bytes);
	if (bytes.len == 0)
		return;
	assert(m->in_body);
	m->body_bytes += bytes.len;
	m->crc = sim_crc_add(&l->crc, m->crc, bytes.ptr, bytes.len);
}

static void
write_all(int fd, const char *bytes, size_t len, const char *what)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "mtasim: %s: %s\n", what, strerror(errno));
			exit(1);
		}
		bytes += n;
		len -= (size_t)n;
	}
}

static void
save_message(const struct ledger *l, const struct ledger_message *m, const struct ledger_entry *entry)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%llu.%llu.eml", l->mbox_dir, (unsigned long long)entry->connection,
		(unsigned long long)entry->message);
	if ((fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) < 0) {
		fprintf(stderr, "mtasim: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	write_all(fd, m->copy, m->copy_len, path);
	close(fd);
}

/* Peer text: no tab, no line end, never empty. */
static size_t
put_text(char *out, size_t max, struct smtp_slice text)
{
	size_t len = text.len < max ? text.len : max, i;

	if (len == 0) {
		out[0] = '-';
		return 1;
	}
	for (i = 0; i < len; i++)
		out[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127 ? ' ' : text.ptr[i];
	return len;
}

static void
put_record(struct ledger *l, const struct ledger_message *m, const struct ledger_entry *entry,
	struct smtp_slice rcpt)
{
	char *out = l->records + l->records_len;
	size_t at;

	assert(l->records_max - l->records_len >= RECORD_MAX);
	at = (size_t)snprintf(out, 200, "%lld\t%.100s\t", (long long)clock_now(clock_real()), entry->site);
	at += put_text(out + at, SMTP_ADDRESS_MAX, entry->sender);
	out[at++] = '\t';
	at += put_text(out + at, SMTP_ADDRESS_MAX, rcpt);
	out[at++] = '\t';
	at += put_text(out + at, LEDGER_ID_MAX, (struct smtp_slice){m->id, m->id_len});
	at += (size_t)snprintf(out + at, RECORD_MAX - at,
		"\t%llu\t%llu\t%08x\t%llu\t%llu\t%.20s\t%.60s\t%s\n", (unsigned long long)m->bytes,
		(unsigned long long)m->body_bytes, m->crc, (unsigned long long)entry->connection,
		(unsigned long long)entry->message, entry->tls, entry->client,
		entry->is_ok ? "ok" : "dropped");
	l->records_len += at;
}

void
ledger_write(struct ledger *l, const struct ledger_message *m, const struct ledger_entry *entry)
{
	size_t need = entry->rcpt_count * RECORD_MAX, i;
	const char *rcpt = entry->rcpts;

	if (l->mbox_dir != NULL)
		save_message(l, m, entry);
	if (l->fd < 0)
		return;
	if (need > l->records_max) {
		free(l->records);
		l->records_max = need;
		if ((l->records = malloc(need)) == NULL) {
			fprintf(stderr, "mtasim: out of memory for the ledger\n");
			exit(1);
		}
	}
	l->records_len = 0;
	for (i = 0; i < entry->rcpt_count; i++) {
		struct smtp_slice slice = {rcpt, strnlen(rcpt, SMTP_ADDRESS_MAX + 1)};

		put_record(l, m, entry, slice);
		rcpt += slice.len + 1;
	}
	write_all(l->fd, l->records, l->records_len, "ledger");
}

void
ledger_write_return(struct ledger *l, const struct ledger_return *back)
{
	const struct smtp_slice columns[] = {back->rcpt, back->id, back->goal};
	char out[RECORD_MAX];
	size_t at, i;

	if (l->returns_fd < 0)
		return;
	at = (size_t)snprintf(
		out, 200, "%lld\t%.100s\t%.40s", (long long)clock_now(clock_real()), back->site, back->kind);
	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		out[at++] = '\t';
		at += put_text(out + at, SMTP_ADDRESS_MAX, columns[i]);
	}
	at += (size_t)snprintf(out + at, RECORD_MAX - at, "\t%u\t%.20s\t", back->tries, back->outcome);
	at += put_text(
		out + at, RECORD_MAX - at - 1, (struct smtp_slice){back->answer, strnlen(back->answer, 400)});
	out[at++] = '\n';
	write_all(l->returns_fd, out, at, "returns");
}
