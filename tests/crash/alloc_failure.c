/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out at every allocation of libqueue and of LMDB below it, one after the other: first only this
 * one fails, then this one and all that follow. Each time nothing that was acknowledged may be missing
 * afterwards, nothing may have happened that was not, no block may be left over, and the work must go on as
 * soon as there is memory.
 *
 * libsmtp allocates nothing (tests/lint/symbols-libsmtp.txt), so nothing can fail there; reading the
 * configuration ends the program when there is no memory (conf_arena).
 *
 *   alloc_failure            all
 *   alloc_failure WORD       only ordeals whose name has the word
 */
#include "alloc_failure.h"
#include "starve.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	const char *name;
	uint64_t n;
	bool for_good;
} now;

void
must_at(bool is_good, const char *file, int line, const char *what)
{
	if (is_good)
		return;
	starve_end();
	fprintf(stderr, "%s:%d: %s: %s allocation %llu%s\n", file, line, what, now.name,
		(unsigned long long)now.n, now.for_good ? " and all later ones" : "");
	exit(1);
}

/* Returns how many allocations the ordeal makes when none fails. */
static uint64_t
endure(const struct ordeal *o, bool for_good)
{
	uint64_t failed = 1;

	now.name = o->name;
	now.for_good = for_good;
	for (now.n = 1; failed > 0; now.n++) {
		int64_t live = starve_live();

		starve_begin(now.n, for_good);
		o->run();
		failed = starve_end();
		o->check();
		must(starve_live() == live);
	}
	return now.n - 2;
}

static void
endure_all(const struct ordeal *list, size_t count, const char *only)
{
	for (size_t i = 0; i < count; i++) {
		const struct ordeal *o = &list[i];
		uint64_t once, for_good;

		if (only != NULL && strstr(o->name, only) == NULL)
			continue;
		/* What the C library keeps for itself is there after the first time. */
		o->run();
		o->check();
		once = endure(o, false);
		for_good = endure(o, true);
		printf("%s: each of %llu allocations failed, and each of %llu with all after it\n", o->name,
			(unsigned long long)once, (unsigned long long)for_good);
	}
}

int
main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	endure_all(store_ordeals, store_ordeal_count, only);
	endure_all(sched_ordeals, sched_ordeal_count, only);
	return 0;
}
