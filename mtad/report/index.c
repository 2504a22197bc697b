/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FILE.idx: a head, then segments; a segment is its number of entries and as many pairs of hash and offset,
 * sorted. Segments bound the memory it takes to make one, and let a file that grows get further ones without
 * sorting what is there. Head lines of CSV have the hash 0: without the names of its columns no record can be
 * read. Between segments stand the places of a compressed file (unpack.h), without which each record
 * would cost unpacking all that is before it; PLACE instead of a number of entries tells them.
 *
 * It is believed only of the very file it was made of: the same inode, and the same size and time, or at
 * least the same bytes in front of the place it reaches to. It is written beside itself and renamed.
 */
#include "report/index.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC  UINT64_C(0x3278646964617471) /* with its version */
#define SUFFIX ".idx"
#define PLACE  UINT64_MAX

enum {
	SEGMENT_MAX = 1 << 20, /* entries */
	WORTH_BYTES = 1 << 20, /* what is read faster than an index of it is made */
	LAST_BYTES = 256,
	PATH_BYTES = 4096,
	KEYS_A_RECORD = 4, /* and a head line */
};

struct head {
	uint64_t magic;
	uint64_t inode, size, mtime_ns;
	uint64_t covered;
	uint64_t last;  /* hash of the bytes in front of `covered` */
	uint64_t bytes; /* of the index itself */
};

struct entry {
	uint64_t hash, offset;
};

/* As it is on disk; the window follows. */
struct place {
	uint64_t offset, packed_at;
	uint32_t bits, window_len;
};

/* An index that is there, as it is in memory. */
struct view {
	const char *bytes;
	size_t len;
	struct head head;
};

/* One under way. */
struct maker {
	FILE *out;
	struct entry *entries;
	size_t count;
	bool has_failed;
};

/* --- keys --- */

/* FNV-1a, and a last stir, for its high bits are what entries are sorted by. */
static uint64_t
hash_bytes(uint64_t seed, const char *bytes, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ seed;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * UINT64_C(0x100000001b3);
	}
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	return h != 0 ? h : 1;
}

uint64_t
index_key(enum index_key_kind kind, const char *text, size_t len)
{
	if (kind == INDEX_MESSAGE_ID && len >= 2 && text[0] == '<' && text[len - 1] == '>') {
		text++;
		len -= 2;
	}
	return hash_bytes((uint64_t)kind, text, len);
}

/* --- making --- */

static int
by_hash(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static void
write_segment(struct maker *m)
{
	uint64_t count = m->count;

	if (count == 0)
		return;
	qsort(m->entries, m->count, sizeof(*m->entries), by_hash);
	m->has_failed = m->has_failed || fwrite(&count, sizeof(count), 1, m->out) != 1 ||
			fwrite(m->entries, sizeof(*m->entries), m->count, m->out) != m->count;
	m->count = 0;
}

static void
on_place(void *arg, const struct unpack_place *p)
{
	const struct place place = {p->offset, p->packed_at, p->bits, p->window_len};
	const uint64_t mark = PLACE;
	struct maker *m = arg;

	m->has_failed = m->has_failed || fwrite(&mark, sizeof(mark), 1, m->out) != 1 ||
			fwrite(&place, sizeof(place), 1, m->out) != 1 ||
			fwrite(p->window, 1, p->window_len, m->out) != p->window_len;
}

static void
add_key(struct maker *m, const struct record *rec, enum record_field field, enum index_key_kind kind,
	uint64_t offset)
{
	const struct queue_blob *b = &rec->field[field];

	if (b->len > 0)
		m->entries[m->count++] = (struct entry){index_key(kind, b->ptr, b->len), offset};
}

/* The last head line, unless it was known. Of two without a record in between the second holds. */
static void
add_head(struct maker *m, const struct records *r, uint64_t *known)
{
	if (records_head_offset(r) == *known)
		return;
	*known = records_head_offset(r);
	m->entries[m->count++] = (struct entry){0, *known};
}

/* The records from where `r` stands. */
static void
add_records(struct maker *m, struct records *r)
{
	uint64_t head_at = records_head_offset(r), at;
	struct record rec;
	char why[200];

	while (!m->has_failed && records_next(r, &rec, why, sizeof(why)) > 0) {
		if (m->count + KEYS_A_RECORD > SEGMENT_MAX)
			write_segment(m);
		add_head(m, r, &head_at);
		at = records_record_offset(r);
		add_key(m, &rec, RECORD_RCPT, INDEX_RCPT, at);
		add_key(m, &rec, RECORD_MESSAGE, INDEX_MESSAGE, at);
		add_key(m, &rec, RECORD_MESSAGE_ID, INDEX_MESSAGE_ID, at);
	}
	add_head(m, r, &head_at); /* of records that are still to come */
	write_segment(m);
}

/* Hash of the bytes in front of `covered`; 0: they cannot be read, or are packed and need not be. */
static uint64_t
hash_last(const struct records *r, const char *path, uint64_t covered)
{
	size_t len = covered < LAST_BYTES ? (size_t)covered : LAST_BYTES;
	char bytes[LAST_BYTES];
	ssize_t n;
	int fd;

	if (records_is_compressed(r) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	n = pread(fd, bytes, len, (off_t)(covered - len));
	close(fd);
	return n == (ssize_t)len ? hash_bytes(0, bytes, len) : 0;
}

static struct head
head_of(const struct records *r, const char *path, uint64_t covered)
{
	const struct stat *st = records_stat(r);

	return (struct head){.magic = MAGIC,
		.inode = (uint64_t)st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
		.covered = covered,
		.last = hash_last(r, path, covered)};
}

/* A file beside the index that belongs to whom its data belongs. NULL: there can be none. */
static FILE *
create_beside(const struct records *r, const char *name)
{
	const struct stat *st = records_stat(r);
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "we") : NULL;

	if (fd >= 0 && (fchown(fd, st->st_uid, st->st_gid) == 0 || st->st_uid == geteuid()))
		(void)!fchmod(fd, st->st_mode & 0666);
	if (fd >= 0 && out == NULL)
		close(fd);
	return out;
}

/* Behind what `old` has, the rest of the file. False: nothing has changed. */
static bool
make(struct records *r, const char *path, const struct view *old)
{
	struct maker m = {.entries = malloc(SEGMENT_MAX * sizeof(struct entry))};
	char name[PATH_BYTES], beside[PATH_BYTES + 16];
	struct head head = {0};
	bool ok;

	snprintf(name, sizeof(name), "%s" SUFFIX, path);
	snprintf(beside, sizeof(beside), "%s.%d", name, (int)getpid());
	if (m.entries == NULL || (m.out = create_beside(r, beside)) == NULL) {
		free(m.entries);
		return false;
	}
	m.has_failed = fwrite(&head, sizeof(head), 1, m.out) != 1 ||
		       (old->len > sizeof(head) &&
			       fwrite(old->bytes + sizeof(head), old->len - sizeof(head), 1, m.out) != 1);
	records_watch(r, on_place, &m);
	add_records(&m, r);
	records_watch(r, NULL, NULL);
	head = head_of(r, path, records_offset(r));
	head.bytes = (uint64_t)ftello(m.out);
	ok = !m.has_failed && fseek(m.out, 0, SEEK_SET) == 0 && fwrite(&head, sizeof(head), 1, m.out) == 1 &&
	     fflush(m.out) == 0 && fdatasync(fileno(m.out)) == 0;
	ok = fclose(m.out) == 0 && ok && rename(beside, name) == 0;
	if (!ok)
		(void)unlink(beside);
	free(m.entries);
	return ok;
}

/* --- reading --- */

static void
view_close(struct view *v)
{
	if (v->bytes != NULL)
		(void)munmap((void *)(uintptr_t)v->bytes, v->len);
	*v = (struct view){NULL};
}

/* A segment of entries, or a place. */
struct part {
	const char *entries;
	uint64_t count; /* PLACE: it is one */
	struct unpack_place place;
};

/* The part at *at, which is moved behind it. False: it is not whole, whatever the bytes are. */
static bool
next_part(const struct view *v, size_t *at, struct part *out)
{
	struct place place;

	if (v->len - *at < sizeof(out->count))
		return false;
	memcpy(&out->count, v->bytes + *at, sizeof(out->count));
	*at += sizeof(out->count);
	out->entries = v->bytes + *at;
	if (out->count != PLACE) {
		if (out->count > (v->len - *at) / sizeof(struct entry))
			return false;
		*at += out->count * sizeof(struct entry);
		return true;
	}
	if (v->len - *at < sizeof(place))
		return false;
	memcpy(&place, v->bytes + *at, sizeof(place));
	*at += sizeof(place);
	if (place.window_len > v->len - *at)
		return false;
	out->place = (struct unpack_place){place.offset, place.packed_at, place.bits, place.window_len,
		(const unsigned char *)v->bytes + *at};
	*at += place.window_len;
	return true;
}

static bool
is_whole(const struct view *v)
{
	size_t at = sizeof(struct head);
	struct part part;

	if (v->head.bytes != v->len)
		return false;
	while (at < v->len)
		if (!next_part(v, &at, &part))
			return false;
	return true;
}

static bool
is_of(const struct head *h, const struct records *r, const char *path)
{
	struct head now = head_of(r, path, h->covered);

	if (h->magic != MAGIC || h->inode != now.inode)
		return false;
	if (records_is_compressed(r))
		return h->size == now.size && h->mtime_ns == now.mtime_ns;
	return h->covered <= now.size && h->last == now.last && h->last != 0;
}

/* The index of the file `r` is open on. False: there is none that can be believed. */
static bool
view_open(struct view *v, const struct records *r, const char *path)
{
	char name[PATH_BYTES];
	struct stat st;
	void *bytes;
	int fd;

	*v = (struct view){NULL};
	snprintf(name, sizeof(name), "%s" SUFFIX, path);
	if ((fd = open(name, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size >= sizeof(struct head) &&
		(bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED) {
		v->bytes = bytes;
		v->len = (size_t)st.st_size;
		memcpy(&v->head, bytes, sizeof(v->head));
	}
	close(fd);
	if (v->bytes != NULL && is_whole(v) && is_of(&v->head, r, path))
		return true;
	view_close(v);
	return false;
}

static struct entry
entry_at(const char *entries, uint64_t i)
{
	struct entry e;

	memcpy(&e, entries + i * sizeof(e), sizeof(e));
	return e;
}

static bool
add_offset(struct index_found *f, uint64_t offset)
{
	uint64_t *grown;

	if ((f->count & (f->count - 1)) == 0) { /* 0, 1, 2, 4 ... */
		grown = realloc(f->offsets, (f->count > 0 ? 2 * f->count : 1) * sizeof(*grown));
		if (grown == NULL)
			return false;
		f->offsets = grown;
	}
	f->offsets[f->count++] = offset;
	return true;
}

static bool
search(const char *entries, uint64_t count, uint64_t hash, struct index_found *f)
{
	uint64_t low = 0, high = count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (entry_at(entries, middle).hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && entry_at(entries, low).hash == hash; low++)
		if (!add_offset(f, entry_at(entries, low).offset))
			return false;
	return true;
}

static bool
search_all(const struct view *v, const uint64_t *keys, size_t key_count, struct index_found *f)
{
	size_t at = sizeof(struct head);
	struct part part;
	bool ok = true;

	while (ok && at < v->len && next_part(v, &at, &part)) {
		if (part.count == PLACE)
			continue;
		ok = search(part.entries, part.count, 0, f);
		for (size_t k = 0; ok && k < key_count; k++)
			ok = search(part.entries, part.count, keys[k], f);
	}
	return ok;
}

/* The places of the index, for who reads what was found; without memory that takes longer. The view becomes
 * part of *f. */
static void
use_places(struct records *r, struct view *v, struct index_found *f)
{
	size_t at = sizeof(struct head), count = 0;
	struct part part;

	while (at < v->len && next_part(v, &at, &part))
		count += part.count == PLACE;
	if (count == 0 || (f->places = calloc(count, sizeof(*f->places))) == NULL)
		return;
	for (at = sizeof(struct head), count = 0; at < v->len && next_part(v, &at, &part);)
		if (part.count == PLACE)
			f->places[count++] = part.place;
	records_use(r, f->places, count);
	f->map = (void *)(uintptr_t)v->bytes;
	f->map_len = v->len;
	v->bytes = NULL;
}

static int
by_offset(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Head lines up to where the index ends, so that the lines behind it can be read. */
static void
read_heads(struct records *r, const struct view *v)
{
	struct index_found heads = {.count = 0};
	struct record rec;

	if (search_all(v, NULL, 0, &heads) && heads.count > 0) {
		qsort(heads.offsets, heads.count, sizeof(*heads.offsets), by_offset);
		(void)records_at(r, heads.offsets[heads.count - 1], &rec);
	}
	index_found_free(&heads);
}

/* A record that has two of the keys is found once. */
static void
sort_offsets(struct index_found *f)
{
	size_t kept = 0;

	if (f->count > 0)
		qsort(f->offsets, f->count, sizeof(*f->offsets), by_offset);
	for (size_t i = 0; i < f->count; i++)
		if (kept == 0 || f->offsets[i] != f->offsets[kept - 1])
			f->offsets[kept++] = f->offsets[i];
	f->count = kept;
}

/* Whether an index is worth its making: what it does not cover takes longer to read. */
static bool
is_worth(const struct records *r, const struct view *v)
{
	const struct stat *st = records_stat(r);

	if (!S_ISREG(st->st_mode))
		return false;
	if (records_is_compressed(r))
		return v->bytes == NULL && st->st_size > WORTH_BYTES / 16;
	return (uint64_t)st->st_size - v->head.covered > WORTH_BYTES;
}

void
index_find(
	struct records *r, const char *path, const uint64_t *keys, size_t key_count, struct index_found *out)
{
	struct view v;

	*out = (struct index_found){.count = 0};
	(void)view_open(&v, r, path);
	if (is_worth(r, &v)) {
		if (v.bytes != NULL)
			read_heads(r, &v);
		if (records_seek(r, v.head.covered) && make(r, path, &v)) {
			view_close(&v);
			(void)view_open(&v, r, path);
		}
	}
	if (v.bytes != NULL && search_all(&v, keys, key_count, out)) {
		out->covered = v.head.covered;
		sort_offsets(out);
		use_places(r, &v, out);
	} else
		index_found_free(out);
	view_close(&v);
}

void
index_found_free(struct index_found *f)
{
	free(f->offsets);
	free(f->places);
	if (f->map != NULL)
		(void)munmap(f->map, f->map_len);
	*f = (struct index_found){.count = 0};
}

/* --- what is left behind --- */

/* An index of ours whose file is not there any more. */
static bool
is_left(const char *name)
{
	char data[PATH_BYTES];
	size_t len = strnlen(name, sizeof(data) - 1);
	uint64_t magic = 0;
	bool is_ours;
	int fd;

	assert(len > sizeof(SUFFIX) - 1);
	snprintf(data, sizeof(data), "%.*s", (int)(len - (sizeof(SUFFIX) - 1)), name);
	if (access(data, F_OK) == 0 || (fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return false;
	is_ours = read(fd, &magic, sizeof(magic)) == (ssize_t)sizeof(magic) && magic == MAGIC;
	close(fd);
	return is_ours;
}

void
index_tidy(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
	int folder_len = (int)(base - path);
	size_t base_len = strnlen(base, PATH_BYTES), len;
	char name[PATH_BYTES + 300];
	struct dirent *entry;
	DIR *dir;

	snprintf(name, sizeof(name), "%.*s", folder_len, path);
	if ((dir = opendir(folder_len > 0 ? name : ".")) == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		len = strnlen(entry->d_name, sizeof(entry->d_name));
		if (strncmp(entry->d_name, base, base_len) != 0 || len <= base_len + sizeof(SUFFIX) - 1 ||
			strcmp(entry->d_name + len - (sizeof(SUFFIX) - 1), SUFFIX) != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s%s", folder_len, path, entry->d_name);
		if (is_left(name))
			(void)unlink(name);
	}
	closedir(dir);
}
