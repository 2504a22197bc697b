/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Version 2: version and counts, 32 bits each; spool_id, files_seq; then for each file and each outlet one
 * byte of length, the name, and 64-bit numbers. Version 1 was two marks, of accounting-file and
 * accounting-json. In the machine's byte order, as the spool is.
 *
 * Invariant: the largest record fits. After a reload that took all accounting blocks away (their files stay
 * until the restart) and named as many outlets it has CONF_CONSUMERS_MAX of both.
 */
#include "report/state.h"

#include <assert.h>
#include <string.h>

enum {
	VERSION = 2,
	HEAD_BYTES = 3 * 4 + 2 * 8,
	VERSION_1_BYTES = 8 + 2 * sizeof(struct file_mark),
	FILE_BYTES_MAX = 1 + CONF_CONSUMER_NAME_MAX + sizeof(struct file_mark),
	OUTLET_BYTES_MAX = 1 + CONF_CONSUMER_NAME_MAX + 8,
};
_Static_assert(HEAD_BYTES + STATE_FILES_MAX * FILE_BYTES_MAX + CONF_CONSUMERS_MAX * OUTLET_BYTES_MAX <=
		       STATE_BYTES_MAX,
	"the record of all consumers has room");

static char *
put(char *to, const void *bytes, size_t len)
{
	memcpy(to, bytes, len);
	return to + len;
}

static char *
put_name(char *to, const char *name)
{
	uint8_t len = (uint8_t)strnlen(name, CONF_CONSUMER_NAME_MAX);

	return put(put(to, &len, 1), name, len);
}

size_t
state_encode(const struct state *st, char buf[STATE_BYTES_MAX])
{
	const uint32_t head[3] = {VERSION, (uint32_t)st->file_count, (uint32_t)st->outlet_count};
	char *to = put(buf, head, sizeof(head));

	assert(st->file_count <= STATE_FILES_MAX && st->outlet_count <= CONF_CONSUMERS_MAX);
	to = put(to, &st->spool_id, 8);
	to = put(to, &st->files_seq, 8);
	for (size_t i = 0; i < st->file_count; i++)
		to = put(put_name(to, st->files[i].name), &st->files[i].mark, sizeof(struct file_mark));
	for (size_t i = 0; i < st->outlet_count; i++)
		to = put(put_name(to, st->outlets[i].name), &st->outlets[i].seq, 8);
	return (size_t)(to - buf);
}

static bool
take(struct queue_blob *from, void *to, size_t len)
{
	if (from->len < len)
		return false;
	memcpy(to, from->ptr, len);
	from->ptr = (const char *)from->ptr + len;
	from->len -= len;
	return true;
}

static bool
take_name(struct queue_blob *from, char name[CONF_CONSUMER_NAME_MAX + 1])
{
	uint8_t len;

	if (!take(from, &len, 1) || len > CONF_CONSUMER_NAME_MAX || !take(from, name, len))
		return false;
	name[len] = '\0';
	return true;
}

static bool
decode_1(struct queue_blob bytes, uint64_t reported, struct state *st)
{
	uint32_t head[2];

	st->files_seq = reported;
	st->file_count = 2;
	memcpy(st->files[1].name, "/json", sizeof("/json"));
	return bytes.len == VERSION_1_BYTES && take(&bytes, head, sizeof(head)) &&
	       take(&bytes, &st->files[0].mark, sizeof(struct file_mark)) &&
	       take(&bytes, &st->files[1].mark, sizeof(struct file_mark));
}

static bool
decode_2(struct queue_blob bytes, struct state *st)
{
	uint32_t head[3];

	if (!take(&bytes, head, sizeof(head)) || head[1] > STATE_FILES_MAX || head[2] > CONF_CONSUMERS_MAX ||
		!take(&bytes, &st->spool_id, 8) || !take(&bytes, &st->files_seq, 8))
		return false;
	for (; st->file_count < head[1]; st->file_count++)
		if (!take_name(&bytes, st->files[st->file_count].name) ||
			!take(&bytes, &st->files[st->file_count].mark, sizeof(struct file_mark)))
			return false;
	for (; st->outlet_count < head[2]; st->outlet_count++)
		if (!take_name(&bytes, st->outlets[st->outlet_count].name) ||
			!take(&bytes, &st->outlets[st->outlet_count].seq, 8))
			return false;
	return bytes.len == 0;
}

bool
state_decode(struct queue_blob bytes, uint64_t reported, struct state *out)
{
	struct state st = {.spool_id = 0};
	uint32_t version;

	if (bytes.len < sizeof(version))
		return false;
	memcpy(&version, bytes.ptr, sizeof(version));
	if (version == 1 ? !decode_1(bytes, reported, &st) : version != VERSION || !decode_2(bytes, &st))
		return false;
	*out = st;
	return true;
}

struct state_file *
state_file_find(struct state *st, const char *name)
{
	for (size_t i = 0; i < st->file_count; i++)
		if (strncmp(st->files[i].name, name, sizeof(st->files[i].name)) == 0)
			return &st->files[i];
	return NULL;
}

struct state_outlet *
state_outlet_find(struct state *st, const char *name)
{
	for (size_t i = 0; i < st->outlet_count; i++)
		if (strncmp(st->outlets[i].name, name, sizeof(st->outlets[i].name)) == 0)
			return &st->outlets[i];
	return NULL;
}

uint64_t
state_cut(const struct state *st)
{
	uint64_t cut = st->files_seq;

	for (size_t i = 0; i < st->outlet_count; i++)
		if (st->outlets[i].seq < cut)
			cut = st->outlets[i].seq;
	return cut;
}
