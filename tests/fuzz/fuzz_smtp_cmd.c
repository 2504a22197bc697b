/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines and the paths in them: total, and all parts lie inside the line. */
#include "smtp_cmd.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct smtp_slice part, struct smtp_slice whole)
{
	assert(part.len <= whole.len);
	assert(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
	assert(part.len == 0 || memchr(part.ptr, '\0', part.len) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice line = {(const char *)data, size}, path;
	struct smtp_cmd cmd;

	if (smtp_cmd_parse(line, &cmd) < 0)
		return 0;
	assert(cmd.verb < SMTP_VERB_COUNT);
	check_inside(cmd.arg, line);
	if (smtp_cmd_path(&cmd.arg, SMTP_LIT("FROM:"), &path) < 0 &&
		smtp_cmd_path(&cmd.arg, SMTP_LIT("TO:"), &path) < 0)
		return 0;
	check_inside(path, line);
	check_inside(cmd.arg, line);
	while (cmd.arg.len > 0)
		check_inside(smtp_cmd_word(&cmd.arg), line);
	return 0;
}
