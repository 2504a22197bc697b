/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What needs no daemon: new DKIM keys, password hashes, and what a configuration means.
 */
#include "control/mtactl.h"

#include "conf/conf.h"
#include "intake/auth.h"
#include "intake/dkim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

int
mtactl_dkim_keygen(const struct mtactl *m, int argc, char **argv)
{
	static const struct option options[] = {{"selector", required_argument, NULL, 's'},
		{"algorithm", required_argument, NULL, 'a'}, {"out", required_argument, NULL, 'o'},
		{NULL, 0, NULL, 0}};
	char selector[64], path[512], record[DKIM_RECORD_MAX], zone[4096], why[400];
	const char *algorithm = "rsa2048";
	struct dkim_key_conf key;
	time_t now =
		time(NULL); /* the year in a name a person chose nothing for; no schedule depends on it */
	struct tm tm;
	int option;

	gmtime_r(&now, &tm);
	snprintf(selector, sizeof(selector), "s%d", tm.tm_year + 1900);
	path[0] = '\0';
	optind = 1;
	while ((option = getopt_long(argc, argv, "s:a:o:", options, NULL)) != -1) {
		if (option == 's')
			snprintf(selector, sizeof(selector), "%s", optarg);
		else if (option == 'a')
			algorithm = optarg;
		else if (option == 'o')
			snprintf(path, sizeof(path), "%s", optarg);
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fputs("mtactl: dkim keygen DOMAIN [--selector S] [--algorithm rsa2048|rsa4096|ed25519] "
		      "[--out FILE]\n",
			stderr);
		return 2;
	}
	if (path[0] == '\0')
		snprintf(path, sizeof(path), "%.250s.%s.pem", argv[optind], selector);
	key = (struct dkim_key_conf){argv[optind], selector, path};
	if (dkim_keygen(&key, algorithm, record, why, sizeof(why)) < 0) {
		fprintf(stderr, "mtactl: %s\n", why);
		return 1;
	}
	if (m->json) {
		json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "domain", key.domain, "selector", selector, "key",
			path, "record", record);

		(void)json_dumpf(o, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(o);
		return 0;
	}
	printf("key      %s (mode 0600)\n", path);
	if (dkim_record_zone(&key, record, zone, sizeof(zone)) >= 0)
		printf("publish  %s", zone);
	printf("mtad.conf\n    dkim %s { selector = %s  key = \"%s\" }\nthen     mtactl reload && mtactl "
	       "dkim check %s\n",
		key.domain, selector, path, key.domain);
	return 0;
}

/* One line without echo on a terminal. */
static bool
read_secret(const char *prompt, char *buf, size_t max)
{
	struct termios old, quiet;
	bool is_terminal = isatty(0) && tcgetattr(0, &old) == 0;
	size_t len;
	bool ok;

	if (is_terminal) {
		fputs(prompt, stderr);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(0, TCSAFLUSH, &quiet);
	}
	ok = fgets(buf, (int)max, stdin) != NULL;
	if (is_terminal) {
		(void)tcsetattr(0, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (!ok)
		return false;
	len = strnlen(buf, max);
	if (len == max - 1 && buf[len - 1] != '\n') {
		fprintf(stderr, "mtactl: a password has at most %zu bytes\n", max - 2);
		return false;
	}
	if (len > 0 && buf[len - 1] == '\n')
		buf[len - 1] = '\0';
	return true;
}

int
mtactl_passwd(void)
{
	char first[SMTP_CREDENTIAL_MAX + 2], again[SMTP_CREDENTIAL_MAX + 2], hash[400];

	if (!read_secret("Password: ", first, sizeof(first)) || first[0] == '\0') {
		fputs("mtactl: no password given\n", stderr);
		return 1;
	}
	if (isatty(0) && (!read_secret("Again: ", again, sizeof(again)) || strcmp(first, again) != 0)) {
		fputs("mtactl: the two differ\n", stderr);
		return 1;
	}
	if (!auth_hash(first, hash, sizeof(hash))) {
		fputs("mtactl: crypt(3) cannot make a yescrypt hash here\n", stderr);
		return 1;
	}
	explicit_bzero(first, sizeof(first));
	explicit_bzero(again, sizeof(again));
	puts(hash);
	return 0;
}

static void
on_explained(void *arg, const struct conf_explained *e)
{
	(void)json_array_append_new(arg, json_pack("{s:s,s:s,s:s,s:s}", "setting", e->name, "value", e->value,
						 "block", e->block, "at", e->at));
}

int
mtactl_explain(struct mtactl *m, const struct mtactl_options *o)
{
	const char *what = o->word_count > 0 ? o->words[0] : NULL;
	json_t *rows = json_array(), *answer = json_pack("{s:o}", "rows", rows);
	bool ok = conf_explain(
		m->conf_file, what, o->word_count > 1 ? o->words[1] : NULL, stderr, on_explained, rows);

	if (ok && m->json) {
		(void)json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (ok) {
		mtactl_show(m, o, answer);
	}
	json_decref(answer);
	return ok ? 0 : 1;
}
