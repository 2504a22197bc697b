/* SPDX-License-Identifier: Apache-2.0 */
#include "control/mtactl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *
mtactl_rules_file(const struct mtactl *m, const char *name, char buf[PATH_MAX])
{
	/* Beside the program where it was installed, and where it was built. */
	static const char *const folders[] = {"../share/doc/mtad", "../../conf"};
	char program[PATH_MAX], path[PATH_MAX + 64], *slash;
	ssize_t len;

	if (m->is_conf_given || access(m->conf_file, F_OK) == 0)
		return m->conf_file;
	if ((len = readlink("/proc/self/exe", program, sizeof(program) - 1)) < 0)
		return m->conf_file;
	program[len] = '\0';
	if ((slash = strrchr(program, '/')) == NULL)
		return m->conf_file;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", program, folders[i], name);
		if (realpath(path, buf) != NULL) {
			fprintf(stderr, "mtactl: there is no %s; going by %s\n", m->conf_file, buf);
			return buf;
		}
	}
	return m->conf_file;
}
