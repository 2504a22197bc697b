/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-suppress: what the list of suppressed addresses costs: filled by batches as an import does, then
 * looked up one address at a time as RCPT does
 *
 * bench-suppress DIR [ENTRIES [BATCH]]     both storages, in an empty spool DIR each
 *
 * Addresses come in the order of their text within portions of 200,000, as mtactl sends them.
 */
#include "feedback/suppress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LOOKUPS = 500000, TURNS = 5, PORTION = 200000, NOW = 1700000000 };

struct bench {
	struct queue_store *store;
	struct suppress *list;
	uint32_t entries, batch;
};

static double
now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
must(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "bench-suppress: %s\n", what);
	exit(1);
}

static struct queue_blob
address_of(uint32_t i, bool is_dead, char buf[64])
{
	uint32_t r = i * 2654435761u; /* one to one: all over the list */
	int n = snprintf(
		buf, 64, "user%08x@%s%u.example", (unsigned)r, is_dead ? "mail" : "live", (unsigned)(r % 97));

	return (struct queue_blob){buf, (size_t)n};
}

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
write_batch(struct bench *b, const char (*texts)[64], uint32_t count)
{
	struct suppress_batch *batch = suppress_batch_create(count);
	struct suppress_item *item;

	must(batch != NULL, "no memory");
	for (uint32_t i = 0; i < count; i++) {
		item = &batch->items[batch->count++];
		item->op = SUPPRESS_PUT;
		item->reason = SUPPRESS_IMPORT;
		item->added_us = INT64_C(1000000) * NOW;
		must(suppress_key_make(b->list, suppress_is_hashed(b->list),
			     (struct queue_blob){texts[i], strnlen(texts[i], 64)}, (struct queue_blob){"", 0},
			     &item->key),
			"no key");
	}
	must(queue_store_begin(b->store) == 0, "begin");
	must(suppress_write(b->list, batch, INT64_C(1000000) * NOW) == 0 && batch->changed == count, "write");
	must(queue_store_commit(b->store) == 0, "commit");
	free(batch);
}

static double
fill(struct bench *b)
{
	char(*texts)[64] = calloc(PORTION, sizeof(*texts));
	double begin = now_s();
	uint32_t at, n, i;

	must(texts != NULL, "no memory");
	for (at = 0; at < b->entries; at += n) {
		n = b->entries - at < PORTION ? b->entries - at : PORTION;
		for (i = 0; i < n; i++)
			(void)address_of(at + i, true, texts[i]);
		qsort(texts, n, sizeof(*texts), compare);
		for (i = 0; i < n; i += b->batch)
			write_batch(b, (const char(*)[64])texts + i, n - i < b->batch ? n - i : b->batch);
	}
	free(texts);
	return now_s() - begin;
}

/* Microseconds of one. */
static double
look(struct bench *b, bool is_dead)
{
	const struct suppress_whose whose = {{"shop", 4}, {"spring", 6}};
	double begin, best = 1e9, took;
	struct suppress_hit hit;
	struct queue_blob address;
	char buf[64];

	for (int turn = 0; turn < TURNS; turn++) {
		begin = now_s();
		for (uint32_t i = 0; i < LOOKUPS; i++) {
			address = address_of(i * 7919u % b->entries, is_dead, buf);
			must(suppress_find(b->list, &whose, INT64_C(1000000) * NOW, &address, 1, &hit) == 0 &&
					(hit.reason != SUPPRESS_NONE) == is_dead,
				"a wrong answer");
		}
		took = now_s() - begin;
		best = took < best ? took : best;
	}
	return best * 1e6 / LOOKUPS;
}

static void
run(const char *dir, bool is_hashed, uint32_t entries, uint32_t batch)
{
	struct bench b = {.entries = entries, .batch = batch};
	struct queue_store_conf conf = {.map_bytes = INT64_C(1) << 32, .allow_network_fs = true};
	char path[400], why[200];
	double s;

	snprintf(path, sizeof(path), "%s/%s", dir, is_hashed ? "hashed" : "plain");
	(void)mkdir(path, 0700);
	conf.dir = path;
	must(queue_store_open(&conf, &b.store) == 0, "the spool cannot be opened");
	must((b.list = suppress_create(b.store, why, sizeof(why))) != NULL, "no list");
	suppress_set_hashed(b.list, is_hashed);
	s = fill(&b);
	printf("%-6s  %u entries by %u: %.2f s", is_hashed ? "hashed" : "plain", entries, batch, s);
	printf("  look-up %.2f us (on it) %.2f us (not)\n", look(&b, true), look(&b, false));
	suppress_destroy(&b.list);
	queue_store_close(&b.store);
}

int
main(int argc, char **argv)
{
	uint32_t entries = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
	uint32_t batch = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2000;

	if (argc < 2 || entries == 0 || batch == 0) {
		fputs("bench-suppress DIR [ENTRIES [BATCH]]\n", stderr);
		return 2;
	}
	for (int i = 0; i < 2; i++)
		run(argv[1], i == 1, entries, batch);
	return 0;
}
