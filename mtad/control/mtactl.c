/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's command. Two tables say which commands and options there are; the help comes from them, and
 * what a command does not know it refuses with the nearest word it knows.
 */
#include "control/mtactl.h"

#include "conf/conf.h"
#include "conf/conf_report.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 120, HELP_COLUMN = 34, FILES_MAX = 100000 };

/* --- options --- */

enum {
	OPT_GLOBAL = 1 << 0, /* with every command */
	OPT_FILTER = 1 << 1,
	OPT_ALL = 1 << 2,
	OPT_LIMIT = 1 << 3,
	OPT_BY = 1 << 4,
	OPT_BODY = 1 << 5,
	OPT_WATCH = 1 << 6,
	OPT_ASK = 1 << 7, /* --yes, --dry-run */
	OPT_REASON = 1 << 8,
	OPT_FOR = 1 << 9,
	OPT_NO_WAIT = 1 << 10,
	OPT_RULES = 1 << 11,
	OPT_SITE = 1 << 12,
	OPT_USER = 1 << 13,
	OPT_LEVEL = 1 << 14,
	OPT_SOURCE = 1 << 15,
	OPT_WARMUP = 1 << 16,
	OPT_YES = 1 << 17,
	OPT_SIMULATE = 1 << 18,
	OPT_REPORT = 1 << 19,
	OPT_CLASSIFY = 1 << 20,
	OPT_SUPPRESS = 1 << 21,
	LOOK = OPT_LIMIT | OPT_WATCH,
	CHANGE = OPT_FILTER | OPT_ALL | OPT_ASK,
};

static const struct {
	const char *name;
	int letter, has_value;
	unsigned kind;
} options[] = {
	{"json", 'j', no_argument, OPT_GLOBAL},
	{"socket", 'S', required_argument, OPT_GLOBAL},
	{"help", 'h', no_argument, OPT_GLOBAL},
	{"version", 'V', no_argument, OPT_GLOBAL},
	{"by", 'b', required_argument, OPT_BY},
	{"limit", 'l', required_argument, OPT_LIMIT},
	{"body", 'B', no_argument, OPT_BODY},
	{"watch", 'w', no_argument, OPT_WATCH},
	{"domain", 'D', required_argument, OPT_FILTER | OPT_RULES | OPT_REPORT},
	{"site", 'T', required_argument, OPT_FILTER | OPT_SITE},
	{"sender", 'F', required_argument, OPT_FILTER},
	{"user", 'U', required_argument, OPT_FILTER | OPT_USER},
	{"job", 'J', required_argument, OPT_FILTER | OPT_REPORT},
	{"held", 'H', no_argument, OPT_FILTER},
	{"waiting", 'W', no_argument, OPT_FILTER},
	{"all", 'A', no_argument, OPT_ALL},
	{"yes", 'y', no_argument, OPT_ASK | OPT_YES},
	{"dry-run", 'd', no_argument, OPT_ASK},
	{"reason", 'R', required_argument, OPT_REASON},
	{"for", 'O', required_argument, OPT_FOR},
	{"no-wait", 'N', no_argument, OPT_NO_WAIT},
	{"provider", 'P', required_argument, OPT_RULES | OPT_WARMUP | OPT_CLASSIFY},
	{"mx", 'M', required_argument, OPT_RULES},
	{"phase", 'p', required_argument, OPT_RULES},
	{"file", 'f', required_argument, OPT_RULES},
	{"level", 'E', required_argument, OPT_LEVEL},
	{"source", 's', required_argument, OPT_SOURCE},
	{"history", 'Y', no_argument, OPT_WARMUP},
	{"svg", 'g', required_argument, OPT_WARMUP | OPT_REPORT},
	{"plain", 'L', no_argument, OPT_WARMUP | OPT_REPORT},
	{"from", 'r', required_argument, OPT_REPORT},
	{"to", 'o', required_argument, OPT_REPORT},
	{"csv", 'C', no_argument, OPT_REPORT},
	{"tsv", 'v', required_argument, OPT_CLASSIFY},
	{"top", 't', required_argument, OPT_SIMULATE},
	{"days", 'a', required_argument, OPT_SIMULATE},
	{"scope", 'z', required_argument, OPT_SUPPRESS},
	{"expire", 'x', required_argument, OPT_SUPPRESS},
	{"note", 'n', required_argument, OPT_SUPPRESS},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

/* --- commands --- */

static int
run_passwd(struct mtactl *m, const struct mtactl_options *o)
{
	return mtactl_passwd();
}

static const struct command {
	const char *name, *group;
	const char *arguments, *help;
	unsigned options;
	int words_max;
	bool takes_id;
	bool is_local; /* needs no daemon */
	int (*run)(struct mtactl *m, const struct mtactl_options *o);
} commands[] = {
	{"status", "look", " [--watch]", "how mtad is, what it does", OPT_WATCH, 0, false, false,
		mtactl_look},
	{"queue", "", " [--by domain|site|state]", "what waits for whom, and why", OPT_BY | LOOK, 0, false,
		false, mtactl_look},
	{"sites", "", "", "receiving systems, connections", LOOK, 0, false, false, mtactl_look},
	{"why", "", " ID | DOMAIN | --site S", "what mail waits for, what helps", OPT_SITE | LOOK, 1, true,
		false, mtactl_look},
	{"lanes", "", " [--site S]", "from a source to a site", OPT_SITE | LOOK, 0, false, false,
		mtactl_look},
	{"sources", "", "", "local addresses, pools, limits", OPT_WATCH, 0, false, false, mtactl_look},
	{"streams", "", " [--user U]", "whose mail waits", OPT_USER | LOOK, 0, false, false, mtactl_look},
	{"limits", "", " [--level LEVEL]", "what is used of each limit", OPT_LEVEL | LOOK, 0, false, false,
		mtactl_look},
	{"list", "", " [FILTER]", "recipients", OPT_FILTER | OPT_ALL | OPT_LIMIT, 1, true, false,
		mtactl_look},
	{"show", "", " ID [--body]", "one message", OPT_BODY, 1, true, false, mtactl_look},
	{"pauses", "", "", "what is paused, until when, why", OPT_WATCH, 0, false, false, mtactl_look},
	{"webhooks", "", "", "who is told of events; how that goes", OPT_WATCH, 0, false, false, mtactl_look},
	{"audit", "", "", "do the books balance?", 0, 0, false, false, mtactl_look},
	{"explain", "", " [DOMAIN|BLOCK [MX|NAME]]", "settings in force, and which line says so", 0, 2, false,
		true, mtactl_explain},
	{"rules", "", " test REPLY | rules list", "what replies lead to", OPT_RULES, 2, false, true,
		mtactl_rules},
	{"feedback", "", " read FILE ...", "what mails that came back say", 0, INT_MAX, false, true,
		mtactl_feedback},
	{"classify", "", " REPLY ... | --tsv FILE", "what replies mean: class, rule, verdict", OPT_CLASSIFY,
		64, false, true, mtactl_classify},
	{"retry", "change", " FILTER", "try again now", CHANGE, 1, true, false, mtactl_change},
	{"hold", "", " FILTER", "keep back", CHANGE, 1, true, false, mtactl_change},
	{"release", "", " FILTER", "end a hold", CHANGE, 1, true, false, mtactl_change},
	{"bounce", "", " FILTER [--reason TEXT]", "return to the sender", CHANGE | OPT_REASON, 1, true, false,
		mtactl_change},
	{"delete", "", " FILTER [--reason TEXT]", "remove, tell nobody", CHANGE | OPT_REASON, 1, true, false,
		mtactl_change},
	{"pause", "", " KIND NAME | pause all", "no new attempts there", OPT_FOR | OPT_REASON | OPT_SITE, 2,
		false, false, mtactl_pause_or_resume},
	{"resume", "", " KIND NAME | resume all", "end a pause", OPT_SITE, 2, false, false,
		mtactl_pause_or_resume},
	{"set", "", " [LEVEL NAME SETTING=VALUE ...]", "a limit for a time; without: list them",
		OPT_FOR | OPT_REASON | OPT_WATCH, 12, false, false, mtactl_set},
	{"unset", "", " LEVEL NAME [SETTING ...]", "end that", 0, 12, false, false, mtactl_set},
	{"clear", "", " SITE [--source S]", "forget what rules taught its lanes", OPT_SOURCE, 1, false, false,
		mtactl_clear},
	{"warmup", "", " [ACT SOURCE|@DOMAIN [PROVIDER]]",
		"how new addresses and domains get on; change that",
		OPT_WARMUP | OPT_SOURCE | OPT_YES | OPT_REASON, 3, false, false, mtactl_warmup},
	{"simulate", "", " CONFIG", "when the queue would be empty with it", OPT_SIMULATE, 1, false, false,
		mtactl_simulate},
	{"user", "", " [show|lift|sandbox NAME]", "quotas; in and out of the sandbox", OPT_REASON, 2, false,
		false, mtactl_user},
	{"report", "past", " [--by KEY] [FILE ...]", "what became of mail, added up",
		OPT_REPORT | OPT_BY | OPT_LIMIT | OPT_SITE | OPT_USER | OPT_SOURCE, FILES_MAX, false, true,
		mtactl_report},
	{"history", "", " ADDRESS|ID [FILE ...]", "what became of one recipient", OPT_LIMIT, FILES_MAX, false,
		true, mtactl_history},
	{"suppress", "", " [ACT ...]", "addresses that get no more mail",
		OPT_SUPPRESS | OPT_REASON | OPT_LIMIT, 1001, false, false, mtactl_suppress},
	{"token", "", " ADDRESS | LINK", "whose a return path or unsubscribe link is", 0, 1, false, false,
		mtactl_token},
	{"reload", "daemon", "", "read the configuration again", 0, 0, false, false, mtactl_look},
	{"stop", "", " [--no-wait]", "end, and wait for the end", OPT_NO_WAIT, 0, false, false, mtactl_stop},
	{"rotate", "", "", "begin new accounting files", 0, 0, false, false, mtactl_look},
	{"webhook", "", " test NAME", "send it a made-up event", 0, 2, false, false, mtactl_webhook},
	{"dkim", "keys", " check [DOMAIN]", "keys against DNS", 0, 2, false, false, mtactl_dkim_check},
	{"passwd", "", "", "hash for a password-file", 0, 0, false, true, run_passwd},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
usage(FILE *out)
{
	char left[80];
	size_t i;

	fputs("usage: mtactl [-c FILE | --socket PATH] [--json] COMMAND\n", out);
	for (i = 0; i < COMMANDS; i++) {
		snprintf(left, sizeof(left), "%s%s", commands[i].name, commands[i].arguments);
		fprintf(out, "%-8s%-*s %s\n", commands[i].group, HELP_COLUMN, left, commands[i].help);
	}
	fputs("        dkim keygen DOMAIN                 new key: [--selector S] [--algorithm A] [--out "
	      "FILE]\n"
	      "        warmup plan [PLAN]                 what a warm-up curve means for a volume\n"
	      "FILTER  ID, ID/N, --domain D, --site S, --sender A, --user U, --job J, --held, --waiting, "
	      "--all\n"
	      "        change: --dry-run only counts; --yes does not ask\n"
	      "        what looks: --limit N, 0 for all; --watch\n"
	      "        rules: --provider P, or --domain D, --mx HOST; --phase PHASE; test: --file FILE\n"
	      "LEVEL   lane, site, source, pool, stream, user, all, profile, warmup\n"
	      "KIND    domain, site, source, job, user, stream, sender; the last four: [--site S];\n"
	      "        pause: [--for 2h] [--reason TEXT]\n"
	      "SETTING connections, connect-rate, rate, recipient-rate, byte-rate; of lanes and sites\n"
	      "        messages-per-connection; of sites recipients-per-transaction.\n"
	      "        VALUE: 10/s,500/h or 20 or none\n"
	      "        set: --for 2h | --for ever [--reason TEXT]; of a lane NAME is SOURCE SITE; of all\n"
	      "        there is none\n"
	      "ACT     hold, release, skip, restart, finish: [--reason TEXT] [--yes]; without one, what to "
	      "show:\n"
	      "        [--source S] [--provider P] [--history] [--svg FILE] [--plain]\n"
	      "KEY     job, stream, provider, site, source, user, class, domain, day, hour;\n"
	      "        report: [--from TIME] [--to TIME] [--job J] [--user U] [--domain D] [--site S]\n"
	      "        [--source S] [--limit N] [--csv] [--svg FILE] [--plain];\n"
	      "        TIME: 2026-11-01, \"2026-11-01 14:30\" (UTC), 12h ago; FILE: accounting files\n"
	      "        of suppress: list, show ADDRESS, add, allow or remove ADDRESS ..., import FILE, "
	      "export\n"
	      "        [FILE]: [--scope global|\"user U\"|\"stream U/JOB\"] [--reason REASON] [--expire "
	      "30d]\n"
	      "        [--note TEXT]; ADDRESS may be @DOMAIN\n"
	      "CONFIG  a configuration file: [--top N] [--days N]\n"
	      "PLAN    [--curve NAME | --volumes A,B,C] [--volume N] [--providers P=40%,...] [--start DATE]\n"
	      "        [--svg FILE] [--plain]\n"
	      "See mtactl(8).\n",
		out);
}

static const struct command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* "; did you mean \"x\"?" for a word that is nearly one of those `at` gives for 0, 1 ... until NULL; they are
 * written with `mark` in front. */
static const char *
hint(char *buf, size_t max, const char *word, const char *mark, const char *(*at)(size_t i))
{
	int best = strnlen(word, 20) < 5 ? 2 : 3, distance;
	const char *candidate, *nearest = NULL;
	size_t i;

	for (i = 0; (candidate = at(i)) != NULL; i++)
		if ((distance = conf_word_distance(word, candidate)) < best) {
			best = distance;
			nearest = candidate;
		}
	buf[0] = '\0';
	if (nearest != NULL)
		snprintf(buf, max, "; did you mean \"%s%s\"?", mark, nearest);
	return buf;
}

static const char *
command_name(size_t i)
{
	return i < COMMANDS ? commands[i].name : NULL;
}

static const char *
option_name(size_t i)
{
	return i < OPTIONS ? options[i].name : NULL;
}

static const char *
by_name(size_t i)
{
	static const char *const names[] = {"domain", "site", "state", NULL};

	return names[i];
}

static const char *
kind_name(size_t i)
{
	static const char *const names[] = {
		"domain", "site", "source", "job", "user", "stream", "sender", "all", NULL};

	return names[i];
}

static bool
is_one_of(const char *word, const char *(*at)(size_t i))
{
	size_t i;

	for (i = 0; at(i) != NULL; i++)
		if (strcmp(word, at(i)) == 0)
			return true;
	return false;
}

/* --- the command line --- */

static bool
take_limit(struct mtactl_options *o, const char *name, const char *word)
{
	size_t digits = strspn(word, "0123456789");

	if (digits == 0 || digits > 9 || word[digits] != '\0') {
		fprintf(stderr, "mtactl: --%s takes a number; 0 is all\n", name);
		return false;
	}
	o->limit = strtoll(word, NULL, 10);
	return true;
}

static void
take_filter(struct mtactl_options *o, const char *name, const char *value)
{
	(void)json_object_set_new(o->filter, name, value != NULL ? json_string(value) : json_true());
	o->count++;
}

static bool
take_option(struct mtactl *m, struct mtactl_options *o, size_t i)
{
	switch (options[i].letter) {
	case 'S':
		m->socket = optarg;
		return true;
	case 'j':
		m->json = true;
		return true;
	case 'y':
		return o->yes = true;
	case 'd':
		return o->dry_run = true;
	case 'b':
		o->by = optarg;
		return true;
	case 'l':
	case 't':
		return take_limit(o, options[i].name, optarg);
	case 'a':
		o->days = optarg;
		return true;
	case 'B':
		return o->body = true;
	case 'w':
		return o->watch = true;
	case 'N':
		return o->no_wait = true;
	case 'g':
		o->svg = optarg;
		return true;
	case 'L':
		return o->plain = true;
	case 'R':
		o->reason = optarg;
		return true;
	case 'r':
		o->from = optarg;
		return true;
	case 'o':
		o->to = optarg;
		return true;
	case 'C':
		return o->csv = true;
	case 'O':
		o->duration = optarg;
		return true;
	case 'z':
		o->scope = optarg;
		return true;
	case 'x':
		o->expire = optarg;
		return true;
	case 'n':
		o->note = optarg;
		return true;
	default:
		take_filter(o, options[i].name, options[i].has_value != no_argument ? optarg : NULL);
		return true;
	}
}

/* "1a" or "1a/3". */
static bool
take_id(struct mtactl_options *o, const char *word)
{
	size_t digits = strspn(word, "0123456789abcdefABCDEF");
	const char *n = word + digits + 1;

	if (digits == 0 || digits > 15 || strtoull(word, NULL, 16) == 0)
		return false;
	(void)json_object_set_new(o->filter, "id", json_integer((json_int_t)strtoull(word, NULL, 16)));
	o->count++;
	if (word[digits] == '\0')
		return true;
	digits = strspn(n, "0123456789");
	if (n[-1] != '/' || digits == 0 || digits > 5 || n[digits] != '\0')
		return false;
	(void)json_object_set_new(o->filter, "n", json_integer((json_int_t)strtoull(n, NULL, 10)));
	return true;
}

/* Or like a domain. */
static bool
looks_like_id(const char *word)
{
	return word[strspn(word, "0123456789abcdefABCDEF/")] == '\0';
}

/* What is added up by depends on the command. */
static bool
check_by(const struct command *c, struct mtactl_options *o)
{
	bool is_report = c->run == mtactl_report;
	char words[80];

	if (o->by == NULL)
		o->by = is_report ? "all" : "domain";
	else if (!is_one_of(o->by, is_report ? mtactl_report_by : by_name)) {
		fprintf(stderr, "mtactl: --by takes %s%s\n",
			is_report ? "job, stream, provider, site, source, user, class, domain, day or hour"
				  : "domain, site or state",
			hint(words, sizeof(words), o->by, "", is_report ? mtactl_report_by : by_name));
		return false;
	}
	return true;
}

/* The words behind the command. */
static bool
check_words(const struct command *c, struct mtactl_options *o)
{
	char words[80];

	if (o->word_count > c->words_max) {
		fprintf(stderr,
			c->takes_id ? "mtactl: %s takes one id at a time\n"
				    : "mtactl: %s does not know what to do with \"%s\"\n",
			c->name, o->words[c->words_max]);
		return false;
	}
	if (strcmp(c->name, "why") == 0 && o->word_count + o->count != 1) {
		fputs("mtactl: why what? Give a message's ID or ID/N, a domain, or --site SITE\n", stderr);
		return false;
	}
	if (strcmp(c->name, "why") == 0 && o->word_count == 1 && !looks_like_id(o->words[0])) {
		take_filter(o, "domain", o->words[0]);
		return true;
	}
	if (c->takes_id && o->word_count == 1 && !take_id(o, o->words[0])) {
		fprintf(stderr, "mtactl: \"%s\" is no message id (hexadecimal, as in the 250 reply)\n",
			o->words[0]);
		return false;
	}
	if (strcmp(c->name, "show") == 0 && (o->word_count == 0 || json_object_get(o->filter, "n") != NULL)) {
		fputs("mtactl: show which message? Give its id\n", stderr);
		return false;
	}
	if (c->run == mtactl_history && o->word_count == 0) {
		fputs("mtactl: history of what? Give an address, a message's ID or ID/N, or a Message-ID\n",
			stderr);
		return false;
	}
	if (c->run == mtactl_pause_or_resume && o->word_count > 0 && !is_one_of(o->words[0], kind_name)) {
		fprintf(stderr,
			"mtactl: %s takes domain, site, source, job, user, stream or sender and a name, or "
			"all%s\n",
			c->name, hint(words, sizeof(words), o->words[0], "", kind_name));
		return false;
	}
	if (c->run == mtactl_warmup && o->word_count > 0 && !is_one_of(o->words[0], mtactl_warmup_act)) {
		fprintf(stderr, "mtactl: warmup takes plan, hold, release, skip, restart or finish%s\n",
			hint(words, sizeof(words), o->words[0], "", mtactl_warmup_act));
		return false;
	}
	if (c->run == mtactl_user && o->word_count > 0 && !is_one_of(o->words[0], mtactl_user_act)) {
		fprintf(stderr, "mtactl: user takes list, show, lift or sandbox%s\n",
			hint(words, sizeof(words), o->words[0], "", mtactl_user_act));
		return false;
	}
	if (c->run == mtactl_suppress && o->word_count > 0 && !is_one_of(o->words[0], mtactl_suppress_act)) {
		fprintf(stderr, "mtactl: suppress takes list, show, add, allow, remove, import or export%s\n",
			hint(words, sizeof(words), o->words[0], "", mtactl_suppress_act));
		return false;
	}
	if (strcmp(c->name, "dkim") == 0 && (o->word_count == 0 || strcmp(o->words[0], "check") != 0)) {
		fputs("mtactl: dkim keygen DOMAIN, or dkim check [DOMAIN]\n", stderr);
		return false;
	}
	return true;
}

/* The socket named in the configuration. */
static bool
find_socket(struct mtactl *m)
{
	if (m->socket != NULL)
		return true;
	m->socket = m->found_socket = conf_path(m->conf_file, "control-socket", stderr);
	if (m->socket == NULL)
		fputs("mtactl: name another configuration with -c FILE, or the socket with --socket PATH\n",
			stderr);
	return m->socket != NULL;
}

static int
run(struct mtactl *m, struct mtactl_options *o, unsigned given[OPTIONS], int argc, char **argv)
{
	const struct command *c;
	char words[80];
	size_t i;

	if (optind >= argc) {
		usage(stderr);
		return 2;
	}
	o->command = argv[optind];
	o->words = argv + optind + 1;
	o->word_count = argc - optind - 1;
	if ((c = find_command(o->command)) == NULL) {
		fprintf(stderr, "mtactl: unknown command \"%s\"%s (mtactl --help lists them)\n", o->command,
			hint(words, sizeof(words), o->command, "", command_name));
		return 2;
	}
	for (i = 0; i < OPTIONS; i++)
		if (given[i] != 0 && (options[i].kind & (c->options | OPT_GLOBAL)) == 0) {
			fprintf(stderr, "mtactl: %s takes no --%s\n", c->name, options[i].name);
			return 2;
		}
	if (!check_by(c, o) || !check_words(c, o) || (!c->is_local && !find_socket(m)))
		return 2;
	return c->run(m, o);
}

/* What getopt stumbled over. */
static int
bad_option(int option, char **argv)
{
	const char *word = argv[optind - 1];
	char words[80], name[40];

	if (option == ':') {
		fprintf(stderr, "mtactl: %s needs a value\n", word);
		return 2;
	}
	if (word[0] == '-' && word[1] == '-') {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
		fprintf(stderr, "mtactl: unknown option --%s%s\n", name,
			hint(words, sizeof(words), name, "--", option_name));
	} else
		fprintf(stderr, "mtactl: unknown option -%c\n", optopt);
	return 2;
}

static void
look_at_terminal(struct mtactl *m)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	m->width = WIDTH_DEFAULT;
	m->colour = isatty(1) && getenv("NO_COLOR") == NULL;
	if (columns != NULL && strtol(columns, NULL, 10) >= 40)
		m->width = (int)strtol(columns, NULL, 10);
	else if (ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		m->width = size.ws_col;
	else if (!isatty(1))
		m->width = 1000;
}

static int
say(const char *what)
{
	if (what[0] == 'h')
		usage(stdout);
	else
		puts("mtactl " MTAD_VERSION);
	return 0;
}

static int
run_line(struct mtactl *m, struct mtactl_options *o, int argc, char **argv)
{
	struct option list[OPTIONS + 1] = {{NULL, 0, NULL, 0}};
	unsigned given[OPTIONS] = {0};
	int option, i;

	/* These have options of their own, and need no daemon. */
	for (i = 1; i + 1 < argc; i++) {
		bool is_keygen = strcmp(argv[i], "dkim") == 0 && strcmp(argv[i + 1], "keygen") == 0;

		if (!is_keygen && (strcmp(argv[i], "warmup") != 0 || strcmp(argv[i + 1], "plan") != 0))
			continue;
		for (option = 1; option < i; option++)
			if (strcmp(argv[option], "-c") == 0)
				m->conf_file = argv[++option];
			else if (strcmp(argv[option], "--json") == 0)
				m->json = true;
		return is_keygen ? mtactl_dkim_keygen(m, argc - i - 1, argv + i + 1)
				 : mtactl_warmup_plan(m, argc - i - 1, argv + i + 1);
	}
	for (i = 0; i < OPTIONS; i++)
		list[i] = (struct option){options[i].name, options[i].has_value, NULL, options[i].letter};
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:h", list, NULL)) != -1) {
		if (option == '?' || option == ':')
			return bad_option(option, argv);
		if (option == 'h' || option == 'V')
			return say(option == 'h' ? "help" : "version");
		if (option == 'c') {
			m->conf_file = optarg;
			m->is_conf_given = true;
		}
		for (i = 0; i < OPTIONS; i++)
			if (options[i].letter == option) {
				given[i] = 1;
				if (!take_option(m, o, (size_t)i))
					return 2;
			}
	}
	if (optind < argc && (strcmp(argv[optind], "help") == 0 || strcmp(argv[optind], "version") == 0))
		return say(argv[optind]);
	return run(m, o, given, argc, argv);
}

int
main(int argc, char **argv)
{
	struct mtactl m = {.conf_file = "/etc/mtad/mtad.conf"};
	struct mtactl_options o = {.limit = -1, .filter = json_object()};
	int code;

	look_at_terminal(&m);
	code = run_line(&m, &o, argc, argv);
	json_decref(o.filter);
	free(m.found_socket);
	return code;
}
