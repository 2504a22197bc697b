/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a scenario of mtasim: a script, or words and NULL; no crash, no leak. What loads answers
 * questions: a site has no more hosts than there are addresses for. The sources are included because mtasim
 * is a program and not a library.
 */
#include "../sim/mtasim_grammar.c"
#include "../sim/mtasim_names.c"
#include "../sim/mtasim_script.c"

#include "memory_file.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fuzzer keeps the real one for itself. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	stderr = fopen("/dev/null", "w");
	return 0;
}

/* Files of this machine are none of its business, and a million domains take a second to make. */
static bool
is_too_much(const uint8_t *data, size_t size)
{
	int digits = 0;

	for (size_t i = 0; i < size; i++) {
		digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
		if (digits > 4)
			return true;
	}
	return memmem(data, size, "include", 7) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[MEMORY_FILE_PATH];
	struct sim_script *s;
	int fd;

	if (is_too_much(data, size))
		return 0;
	fd = memory_file(data, size, path);
	s = script_load(path);
	if (s != NULL) {
		uint32_t index;
		const struct sim_site *site = script_site_of(s, SMTP_LIT("d0001.test"), &index);

		(void)script_record_of(s, SMTP_LIT("a.test"));
		if (site != NULL && site->host_count > HOSTS_MAX)
			abort();
	}
	script_destroy(&s);
	close(fd);
	return 0;
}
