/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's command. A table says what each command asks the daemon and how the answer is shown; changes
 * to mail are counted first and confirmed.
 */
#include "control/mtactl.h"

#include "conf/conf.h"
#include "control/ctl_proto.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 120 };

static void
usage(FILE *out)
{
	fputs("usage: mtactl [-c FILE | --socket PATH] [--json] COMMAND\n"
	      "look     status | queue [--by site] [--limit N] | sites | list [FILTER] [--limit N] | show ID "
	      "[--body]\n"
	      "         pauses | audit\n"
	      "change   retry FILTER | hold FILTER | release FILTER | bounce FILTER | delete FILTER\n"
	      "         FILTER: ID, ID/N, --domain D, --site S, --sender A, --user U, --job J, --held, "
	      "--waiting or --all\n"
	      "         --dry-run counts only; --yes does not ask; --reason TEXT (bounce, delete)\n"
	      "         pause|resume domain|site|source|job|user NAME, pause|resume all [--for 2h] [--reason "
	      "TEXT]\n"
	      "daemon   reload | stop | rotate\n"
	      "keys     dkim keygen DOMAIN [--selector S] [--algorithm A] [--out FILE] | dkim check [DOMAIN] "
	      "| passwd\n"
	      "See mtactl(8).\n",
		out);
}

/* --- asking --- */

static int
connect_daemon(const struct mtactl *m)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 &&
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", m->socket) <
			(int)sizeof(address.sun_path) &&
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED)
		fprintf(stderr,
			"mtactl: nobody answers at %s: is mtad running, and with this control-socket?\n",
			m->socket);
	else if (errno == EACCES || errno == EPERM)
		fprintf(stderr,
			"mtactl: %s: permission denied: be root, the daemon's account, or one of "
			"control-users\n",
			m->socket);
	else
		fprintf(stderr, "mtactl: %s: %s\n", m->socket, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
send_request(int fd, const json_t *request)
{
	size_t len, sent = 0;
	char *frame = ctl_write_frame(request, &len);
	ssize_t n;

	while (frame != NULL && sent < len) {
		n = send(fd, frame + sent, len - sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	free(frame);
	return frame != NULL && sent == len;
}

/* One frame into the answer. False: it was the last. */
static bool
take_frame(json_t *answer, const json_t *frame, int *out_exit)
{
	json_t *row = json_object_get(frame, "row"), *end = json_object_get(frame, "end");

	if (end != NULL) {
		*out_exit = (int)json_integer_value(end);
		return false;
	}
	if (row != NULL)
		(void)json_array_append(json_object_get(answer, "rows"), row);
	else
		(void)json_object_update(answer, (json_t *)(uintptr_t)frame);
	return true;
}

static bool
read_answer(int fd, json_t *answer, int *out_exit)
{
	static char buf[4 * (CTL_HEAD_BYTES + CTL_FRAME_MAX)];
	size_t len = 0, used;
	json_t *frame;
	bool more = true;
	ssize_t n;
	int got = 0;

	while (more) {
		n = read(fd, buf + len, sizeof(buf) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		len += (size_t)n;
		for (used = 0; more && (got = ctl_read_frame(buf + used, len - used, &frame)) > 0;
			used += (size_t)got) {
			more = take_frame(answer, frame, out_exit);
			json_decref(frame);
		}
		if (got < 0) {
			fprintf(stderr, "mtactl: %s\n", ctl_err_text(got));
			return false;
		}
		memmove(buf, buf + used, len - used);
		len -= used;
	}
	return true;
}

json_t *
mtactl_ask(const struct mtactl *m, json_t *take_request, int *out_exit)
{
	json_t *answer = json_pack("{s:[]}", "rows");
	int fd = connect_daemon(m);
	bool ok = false;

	/* A daemon that refuses us may close before it has read all: its reasons are there to be read all the
	 * same. */
	if (fd >= 0) {
		(void)send_request(fd, take_request);
		ok = read_answer(fd, answer, out_exit);
	}

	json_decref(take_request);
	if (fd >= 0) {
		close(fd);
		if (!ok)
			fputs("mtactl: the daemon closed the connection before its answer was whole\n",
				stderr);
	}
	if (!ok) {
		json_decref(answer);
		*out_exit = 2;
		return NULL;
	}
	return answer;
}

/* --- arguments --- */

struct options {
	const char *by, *reason, *duration;
	int64_t limit;
	bool body;
	json_t *filter; /* fields of the request */
	int count;      /* of filters given */
	char **words;
	int word_count;
};

static void
add_filter(struct options *o, const char *name, const char *value)
{
	(void)json_object_set_new(o->filter, name, json_string(value));
	o->count++;
}

static const struct option long_options[] = {{"json", no_argument, NULL, 'j'},
	{"yes", no_argument, NULL, 'y'}, {"dry-run", no_argument, NULL, 'd'},
	{"socket", required_argument, NULL, 'S'}, {"by", required_argument, NULL, 'b'},
	{"limit", required_argument, NULL, 'l'}, {"body", no_argument, NULL, 'B'},
	{"all", no_argument, NULL, 'A'}, {"held", no_argument, NULL, 'H'},
	{"waiting", no_argument, NULL, 'W'}, {"domain", required_argument, NULL, 'D'},
	{"site", required_argument, NULL, 'T'}, {"sender", required_argument, NULL, 'F'},
	{"user", required_argument, NULL, 'U'}, {"job", required_argument, NULL, 'J'},
	{"reason", required_argument, NULL, 'R'}, {"for", required_argument, NULL, 'O'},
	{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

static bool
take_option(struct mtactl *m, struct options *o, int option)
{
	switch (option) {
	case 'c':
		m->conf_file = optarg;
		return true;
	case 'S':
		m->socket = optarg;
		return true;
	case 'j':
		m->json = true;
		return true;
	case 'y':
		m->yes = true;
		return true;
	case 'd':
		m->dry_run = true;
		return true;
	case 'b':
		o->by = optarg;
		return strcmp(optarg, "domain") == 0 || strcmp(optarg, "site") == 0;
	case 'l':
		o->limit = strtoll(optarg, NULL, 10);
		return strspn(optarg, "0123456789") == strnlen(optarg, 10) && optarg[0] != '\0';
	case 'B':
		o->body = true;
		return true;
	case 'A':
		(void)json_object_set_new(o->filter, "all", json_true());
		o->count++;
		return true;
	case 'R':
		o->reason = optarg;
		return true;
	case 'O':
		o->duration = optarg;
		return true;
	default:
		return false;
	}
}

static bool
take_filter(struct options *o, int option)
{
	static const struct {
		int option;
		const char *name;
	} filters[] = {{'D', "domain"}, {'T', "site"}, {'F', "sender"}, {'U', "user"}, {'J', "job"}};
	size_t i;

	for (i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (filters[i].option == option) {
			add_filter(o, filters[i].name, optarg);
			return true;
		}
	if (option != 'H' && option != 'W')
		return false;
	(void)json_object_set_new(o->filter, option == 'H' ? "held" : "waiting", json_true());
	o->count++;
	return true;
}

/* "1a" or "1a/3". */
static bool
take_id(struct options *o, const char *word)
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

/* "90s", "30m", "2h", "1d" as microseconds; 0: not a duration. */
static int64_t
duration_us(const char *word)
{
	char *end;
	long long v = strtoll(word, &end, 10);
	int64_t unit = *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 0;

	return v > 0 && v < 100000 && unit > 0 && end[1] == '\0' ? v * unit * 1000000 : 0;
}

/* --- commands --- */

static json_t *
request(const char *command, const struct options *o)
{
	json_t *r = json_pack("{s:s}", "command", command);

	(void)json_object_update(r, o->filter);
	if (o->limit >= 0)
		(void)json_object_set_new(r, "limit", json_integer(o->limit));
	if (o->reason != NULL)
		(void)json_object_set_new(r, "reason", json_string(o->reason));
	if (o->body)
		(void)json_object_set_new(r, "body", json_true());
	return r;
}

static int
print_json(const json_t *answer, int code)
{
	(void)json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	return code;
}

static bool
print_error(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error != NULL)
		fprintf(stderr, "mtactl: %s\n", error);
	return error != NULL;
}

static void
show(const struct mtactl *m, const struct options *o, const char *command, const json_t *answer)
{
	const json_t *summary = json_object_get(answer, "summary");
	const char *words = json_string_value(json_object_get(summary, "text"));

	if (strcmp(command, "status") == 0)
		mtactl_show_status(m, answer);
	else if (strcmp(command, "queue") == 0)
		mtactl_show_queue(m, answer, o->by, o->limit < 0 ? 40 : o->limit);
	else if (strcmp(command, "sites") == 0)
		mtactl_show_sites(m, answer);
	else if (strcmp(command, "list") == 0)
		mtactl_show_list(m, answer);
	else if (strcmp(command, "show") == 0)
		mtactl_show_message(m, answer);
	else if (strcmp(command, "pauses") == 0)
		mtactl_show_pauses(m, answer);
	else if (strcmp(command, "audit") == 0)
		mtactl_show_audit(m, answer);
	else if (strcmp(command, "dkim-check") == 0)
		mtactl_show_dkim(m, answer);
	else if (words != NULL)
		fputs(words[0] != '\0' ? words : "reloaded; nothing was different\n", stdout);
	else
		puts("done");
}

static int
look(const struct mtactl *m, const struct options *o, const char *command, json_t *take_request)
{
	int code = 2;
	json_t *answer = mtactl_ask(m, take_request, &code);

	if (answer == NULL)
		return code;
	if (m->json)
		code = print_json(answer, code);
	else if (!print_error(answer) || json_object_get(answer, "summary") != NULL)
		show(m, o, command, answer);
	json_decref(answer);
	return code;
}

static int64_t
count_matching(const struct mtactl *m, const struct options *o)
{
	int code = 2;
	json_t *answer = mtactl_ask(m, request("count", o), &code);
	int64_t count = -1;

	if (answer != NULL && !print_error(answer))
		count = json_integer_value(json_object_get(json_object_get(answer, "summary"), "count"));
	json_decref(answer);
	return count;
}

static bool
confirm(const char *command, int64_t count)
{
	char word[16] = "";

	fprintf(stderr, "%s %lld recipient%s? [y/N] ", command, (long long)count, count == 1 ? "" : "s");
	return fgets(word, sizeof(word), stdin) != NULL && (word[0] == 'y' || word[0] == 'Y');
}

/* retry, hold, release, bounce, delete: counted, confirmed, done. */
static int
change(const struct mtactl *m, const struct options *o, const char *command)
{
	int64_t count;
	int code = 2;
	json_t *answer;

	if (o->count == 0) {
		fprintf(stderr, "mtactl: %s what? Give an ID, a filter, or --all\n", command);
		return 2;
	}
	if ((count = count_matching(m, o)) < 0)
		return 2;
	if (count == 0 && !m->json) {
		fputs("mtactl: no recipient in the queue matches\n", stderr);
		return 1;
	}
	if (m->dry_run) {
		if (m->json)
			printf("{\"count\": %lld}\n", (long long)count);
		else
			printf("%lld recipient%s match%s\n", (long long)count, count == 1 ? "" : "s",
				count == 1 ? "es" : "");
		return 0;
	}
	if (!m->yes && count > 1) {
		if (!isatty(0)) {
			fprintf(stderr, "mtactl: %lld recipients match: add --yes to %s them\n",
				(long long)count, command);
			return 2;
		}
		if (!confirm(command, count))
			return 1;
	}
	if ((answer = mtactl_ask(m, request(command, o), &code)) == NULL)
		return code;
	if (m->json)
		code = print_json(answer, code);
	else if (!print_error(answer)) {
		const json_t *s = json_object_get(answer, "summary");
		int64_t busy = json_integer_value(json_object_get(s, "busy"));

		count = json_integer_value(json_object_get(s, "count"));
		printf("%s: %lld recipient%s\n", command, (long long)count, count == 1 ? "" : "s");
		if (busy > 0)
			printf("%lld more are being delivered just now and follow if that fails\n",
				(long long)busy);
	}
	json_decref(answer);
	return code;
}

static int
pause_or_resume(const struct mtactl *m, const struct options *o, const char *command)
{
	json_t *r = request(command, o);
	int64_t for_us = o->duration != NULL ? duration_us(o->duration) : 0;
	bool all = o->word_count == 1 && strcmp(o->words[0], "all") == 0;

	if ((o->duration != NULL && for_us == 0) || (!all && o->word_count != 2)) {
		fprintf(stderr,
			o->duration != NULL && for_us == 0
				? "mtactl: --for takes a time such as 30m, 2h or 1d\n"
				: "mtactl: %s domain|site|source|job|user NAME, or %s all\n",
			command, command);
		json_decref(r);
		return 2;
	}
	(void)json_object_set_new(r, "kind", json_string(o->words[0]));
	(void)json_object_set_new(r, "name", json_string(all ? "" : o->words[1]));
	if (for_us > 0)
		(void)json_object_set_new(r, "for_us", json_integer(for_us));
	return look(m, o, command, r);
}

static bool
is_in(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static int
run(struct mtactl *m, struct options *o, const char *command)
{
	static const char *const looks[] = {"status", "queue", "sites", "list", "show", "pauses", "audit",
		"reload", "stop", "rotate", NULL};
	static const char *const changes[] = {"retry", "hold", "release", "bounce", "delete", NULL};
	static const char *const pauses[] = {"pause", "resume", NULL};
	int i;

	if (is_in(command, pauses))
		return pause_or_resume(m, o, command);
	if (strcmp(command, "dkim") == 0 && o->word_count >= 1 && strcmp(o->words[0], "check") == 0) {
		json_t *r = request("dkim-check", o);

		if (o->word_count == 2)
			(void)json_object_set_new(r, "domain", json_string(o->words[1]));
		return look(m, o, "dkim-check", r);
	}
	if (o->word_count > 1) {
		fprintf(stderr, "mtactl: %s takes one id at a time\n", command);
		return 2;
	}
	for (i = 0; i < o->word_count; i++)
		if (!take_id(o, o->words[i])) {
			fprintf(stderr,
				"mtactl: \"%s\" is no message id (hexadecimal, as in the 250 reply)\n",
				o->words[i]);
			return 2;
		}
	if (is_in(command, changes))
		return change(m, o, command);
	if (is_in(command, looks))
		return look(m, o, command, request(command, o));
	fprintf(stderr, "mtactl: unknown command \"%s\"\n", command);
	usage(stderr);
	return 2;
}

/* The socket named in the configuration. */
static bool
find_socket(struct mtactl *m)
{
	const struct conf *c;

	if (m->socket != NULL)
		return true;
	if ((c = conf_load(m->conf_file, stderr)) == NULL) {
		fputs("mtactl: name another configuration with -c FILE, or the socket with --socket PATH\n",
			stderr);
		return false;
	}
	m->socket = strdup(c->control_socket);
	conf_unref(c);
	return m->socket != NULL;
}

static void
look_at_terminal(struct mtactl *m)
{
	struct winsize size;

	m->width = WIDTH_DEFAULT;
	m->colour = isatty(1) && getenv("NO_COLOR") == NULL;
	if (ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 40)
		m->width = size.ws_col;
	else if (!isatty(1))
		m->width = 1000;
}

static int
run_line(struct mtactl *m, struct options *o, int argc, char **argv)
{
	const char *command;
	int option;

	/* keygen has options of its own, and needs no daemon. */
	for (option = 1; option + 1 < argc; option++)
		if (strcmp(argv[option], "dkim") == 0 && strcmp(argv[option + 1], "keygen") == 0) {
			m->json = option > 1 && strcmp(argv[option - 1], "--json") == 0;
			return mtactl_dkim_keygen(m, argc - option - 1, argv + option + 1);
		}
	while ((option = getopt_long(argc, argv, "c:hn:", long_options, NULL)) != -1) {
		if (option == 'h') {
			usage(stdout);
			return 0;
		}
		if (option == 'V') {
			puts("mtactl " MTAD_VERSION);
			return 0;
		}
		if (!take_option(m, o, option) && !take_filter(o, option)) {
			usage(stderr);
			return 2;
		}
	}
	if (optind >= argc) {
		usage(stderr);
		return 2;
	}
	command = argv[optind];
	o->words = argv + optind + 1;
	o->word_count = argc - optind - 1;
	if (strcmp(command, "passwd") == 0)
		return mtactl_passwd();
	if (strcmp(command, "help") == 0 || strcmp(command, "version") == 0) {
		if (command[0] == 'h')
			usage(stdout);
		else
			puts("mtactl " MTAD_VERSION);
		return 0;
	}
	return find_socket(m) ? run(m, o, command) : 2;
}

int
main(int argc, char **argv)
{
	struct mtactl m = {.conf_file = "/etc/mtad/mtad.conf"};
	struct options o = {.by = "domain", .limit = -1, .filter = json_object()};
	int code;

	look_at_terminal(&m);
	code = run_line(&m, &o, argc, argv);
	json_decref(o.filter);
	return code;
}
