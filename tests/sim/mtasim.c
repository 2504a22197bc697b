/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtasim - the small Internet in a box: an authoritative DNS server and scripted receiving sites on loopback
 * addresses, in one process and one thread. README.md beside this file is its manual.
 *
 * Start-up is the list in run(), shut-down the same list read upwards. "ready" is printed when everything
 * listens.
 */
#include "mtasim_return.h"
#include "mtasim_session.h"
#include "mtasim_stats.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

struct options {
	const char *script, *dns, *ledger, *returned, *returns, *unsubscribe, *stats, *mbox, *ca;
	unsigned long port, seed;
	bool has_seed, is_quiet, checks_only;
};

struct app {
	struct options options;
	struct sim sim;
	struct session_host sessions;
	struct sim_sites *sites;
	struct dns *dns;
	struct event *stats_timer, *on_term, *on_int;
};

static const char usage[] =
	"usage: mtasim [options] SCRIPT\n"
	"  --dns ADDRESS:PORT  DNS server, UDP and TCP (default 127.0.0.1:5300; \"none\": no DNS)\n"
	"  --port PORT         SMTP port of every site (default 2525)\n"
	"  --ledger FILE       append a line for each recipient of each message that arrived\n"
	"  --stats FILE        JSON, rewritten twice a second\n"
	"  --mbox DIR          save each message as DIR/CONNECTION.MESSAGE.eml\n"
	"  --ca DIR            write the certificate of the sites' CA to DIR/ca.pem\n"
	"  --returns ADDRESS:PORT      SMTP server that gets what the script sends back\n"
	"  --unsubscribe ADDRESS:PORT  HTTP server that gets one-click unsubscriptions\n"
	"  --returned FILE     append a line for each of these\n"
	"  --seed N            instead of the script's seed\n"
	"  --check             read the script and stop\n"
	"  --quiet             no totals at the end\n";

static bool
parse_number(const char *text, unsigned long max, unsigned long *out_number)
{
	char *end;

	errno = 0;
	*out_number = strtoul(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *out_number <= max;
}

static bool
parse_options(int argc, char **argv, struct options *out)
{
	static const struct option known[] = {{"dns", required_argument, NULL, 'd'},
		{"port", required_argument, NULL, 'p'}, {"ledger", required_argument, NULL, 'l'},
		{"stats", required_argument, NULL, 's'}, {"mbox", required_argument, NULL, 'm'},
		{"returns", required_argument, NULL, 'b'}, {"unsubscribe", required_argument, NULL, 'u'},
		{"returned", required_argument, NULL, 'w'}, {"ca", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 'r'}, {"check", no_argument, NULL, 't'},
		{"quiet", no_argument, NULL, 'q'}, {NULL, 0, NULL, 0}};
	bool is_good = true;
	int option;

	*out = (struct options){.dns = "127.0.0.1:5300", .port = 2525};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'd':
			out->dns = optarg;
			break;
		case 'p':
			is_good = is_good && parse_number(optarg, 65535, &out->port) && out->port > 0;
			break;
		case 'l':
			out->ledger = optarg;
			break;
		case 's':
			out->stats = optarg;
			break;
		case 'm':
			out->mbox = optarg;
			break;
		case 'c':
			out->ca = optarg;
			break;
		case 'b':
			out->returns = optarg;
			break;
		case 'u':
			out->unsubscribe = optarg;
			break;
		case 'w':
			out->returned = optarg;
			break;
		case 'r':
			out->has_seed = true;
			is_good = is_good && parse_number(optarg, UINT32_MAX, &out->seed);
			break;
		case 't':
			out->checks_only = true;
			break;
		case 'q':
			out->is_quiet = true;
			break;
		default:
			is_good = false;
		}
	}
	if (!is_good || optind != argc - 1)
		return false;
	out->script = argv[optind];
	return true;
}

static bool
parse_address(const char *text, struct sockaddr_in *out_address)
{
	const char *colon = strrchr(text, ':');
	char host[SIM_ADDRESS_MAX];
	unsigned long port;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host) || !parse_number(colon + 1, 65535, &port))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	*out_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return inet_pton(AF_INET, host, &out_address->sin_addr) == 1;
}

static void
on_stats(evutil_socket_t fd, short what, void *arg)
{
	struct app *app = arg;
	char *text = stats_text(&app->sim, app->sites, app->dns);

	if (text != NULL)
		(void)stats_write(app->options.stats, text); /* words are on stderr; the next one may work */
	free(text);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct app *app = arg;

	event_base_loopbreak(app->sim.base);
}

/* Every connection is a descriptor; the usual soft limit is 1024. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool
start_dns(struct app *app)
{
	struct sockaddr_in address;

	if (strcmp(app->options.dns, "none") == 0)
		return true;
	if (!parse_address(app->options.dns, &address)) {
		fprintf(stderr, "mtasim: --dns %s: expected ADDRESS:PORT\n", app->options.dns);
		return false;
	}
	if ((app->dns = dns_create(app->sim.base, app->sim.script, &address)) == NULL) {
		fprintf(stderr, "mtasim: --dns %s: %s\n", app->options.dns, strerror(errno));
		return false;
	}
	return true;
}

/* False: words are on stderr. */
static bool
server_of(const char *option, const char *text, struct sockaddr_in *out_server)
{
	if (text == NULL || parse_address(text, out_server))
		return true;
	fprintf(stderr, "mtasim: --%s %s: expected ADDRESS:PORT\n", option, text);
	return false;
}

static bool
start_returns(struct app *app)
{
	struct returns_conf conf = {.sim = &app->sim};

	return server_of("returns", app->options.returns, &conf.mail) &&
	       server_of("unsubscribe", app->options.unsubscribe, &conf.web) &&
	       returns_are_possible(app->sim.script, &conf) &&
	       (app->sim.returns = returns_create(&conf)) != NULL;
}

static bool
start(struct app *app)
{
	const struct ledger_files files = {.arrivals = app->options.ledger,
		.returns = app->options.returned,
		.mbox_dir = app->options.mbox,
		.keeps_header = app->options.returns != NULL || app->options.unsubscribe != NULL};
	const struct timeval half_second = {0, 500000};
	struct sim *sim = &app->sim;

	LIST_INIT(&app->sessions.sessions);
	app->sessions.sim = sim;
	sim->start_us = clock_mono(clock_real());
	sim->port = (uint16_t)app->options.port;
	sim->seed = app->options.has_seed ? app->options.seed : sim->script->seed;
	if ((sim->base = event_base_new()) == NULL || (sim->ledger = ledger_create(&files)) == NULL ||
		!start_returns(app) || (sim->ca = ca_create(app->options.ca)) == NULL || !start_dns(app) ||
		(app->sites = sim_sites_create(sim, session_begin, &app->sessions)) == NULL)
		return false;
	app->on_term = evsignal_new(sim->base, SIGTERM, on_signal, app);
	app->on_int = evsignal_new(sim->base, SIGINT, on_signal, app);
	app->stats_timer = event_new(sim->base, -1, EV_PERSIST, on_stats, app);
	if (app->on_term == NULL || app->on_int == NULL || app->stats_timer == NULL)
		return false;
	evsignal_add(app->on_term, NULL);
	evsignal_add(app->on_int, NULL);
	if (app->options.stats != NULL)
		evtimer_add(app->stats_timer, &half_second);
	return true;
}

/* Copes with a start that failed half-way. */
static void
stop(struct app *app)
{
	session_end_all(&app->sessions);
	if (app->stats_timer != NULL)
		event_free(app->stats_timer);
	if (app->on_int != NULL)
		event_free(app->on_int);
	if (app->on_term != NULL)
		event_free(app->on_term);
	sim_sites_destroy(&app->sites);
	dns_destroy(&app->dns);
	ca_destroy(&app->sim.ca);
	returns_destroy(&app->sim.returns);
	ledger_destroy(&app->sim.ledger);
	if (app->sim.base != NULL)
		event_base_free(app->sim.base);
}

static int
run(struct app *app)
{
	char *text;

	if (!start(app))
		return 1;
	fprintf(stderr, "mtasim: %zu listeners on port %lu, DNS %s\n", sim_sites_listener_count(app->sites),
		app->options.port, app->options.dns);
	printf("ready\n");
	fflush(stdout);
	if (event_base_dispatch(app->sim.base) < 0)
		return 1;
	session_end_all(&app->sessions);
	text = stats_text(&app->sim, app->sites, app->dns);
	if (text == NULL)
		return 1;
	if (!app->options.is_quiet)
		printf("%s\n", text);
	if (app->options.stats != NULL)
		(void)stats_write(app->options.stats, text); /* words are on stderr */
	free(text);
	return 0;
}

int
main(int argc, char **argv)
{
	struct app app = {.dns = NULL};
	struct sim_script *script;
	int code;

	if (!parse_options(argc, argv, &app.options)) {
		fputs(usage, stderr);
		return 2;
	}
	if ((script = script_load(app.options.script)) == NULL)
		return 1;
	if (app.options.checks_only) {
		script_destroy(&script);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	app.sim.script = script;
	code = run(&app);
	stop(&app);
	script_destroy(&script);
	return code;
}
