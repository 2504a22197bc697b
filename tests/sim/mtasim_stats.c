/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For people (a live table) and for checkers (limits as the receivers saw them). Rewritten twice a second, so
 * it costs what it costs: a few hundred lines of JSON.
 */
#include "mtasim_stats.h"

#include "mtasim_return.h"

#include "base/clock.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *
client_json(const struct sim_client *c)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "open", (int)c->open, "peak_open",
		(int)c->peak_open, "peak_connects_second", (int)c->connects.peak_second,
		"peak_connects_minute", (int)c->connects.peak_minute, "peak_messages_second",
		(int)c->messages.peak_second, "peak_messages_minute", (int)c->messages.peak_minute,
		"peak_recipients", (int)c->peak_rcpts, "peak_messages_connection", (int)c->peak_messages);
}

static json_t *
unit_json(const struct sim_unit *u)
{
	const struct sim_counts *n = &u->counts;
	json_t *clients = json_object();
	const struct sim_client *c;

	for (c = u->clients; c != NULL; c = c->next)
		json_object_set_new(clients, c->name, client_json(c));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "connections",
		(json_int_t)n->connections, "open", (json_int_t)n->open, "messages", (json_int_t)n->messages,
		"recipients", (json_int_t)n->recipients, "bytes", (json_int_t)n->bytes, "deferred",
		(json_int_t)n->deferred, "rejected", (json_int_t)n->rejected, "dropped",
		(json_int_t)n->dropped, "tls", (json_int_t)n->tls, "clients", clients);
}

static json_t *
dns_json(const struct dns_counts *n)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "udp",
		(json_int_t)n->udp, "tcp", (json_int_t)n->tcp, "mx", (json_int_t)n->mx, "address",
		(json_int_t)n->address, "other", (json_int_t)n->other, "answered", (json_int_t)n->answered,
		"empty", (json_int_t)n->empty, "truncated", (json_int_t)n->truncated, "silent",
		(json_int_t)n->silent, "nxdomain", (json_int_t)n->rcodes[ZONE_NXDOMAIN], "servfail",
		(json_int_t)n->rcodes[ZONE_SERVFAIL], "refused", (json_int_t)n->rcodes[ZONE_REFUSED]);
}

char *
stats_text(const struct sim *sim, struct sim_sites *sites, const struct dns *dns)
{
	json_t *root = json_object(), *units = json_object();
	struct sim_unit *u;
	char *text;
	size_t i;

	for (i = 0; (u = sim_sites_unit(sites, i)) != NULL; i++)
		json_object_set_new(units, u->name, unit_json(u));
	json_object_set_new(
		root, "seconds", json_real((double)(clock_mono(clock_real()) - sim->start_us) / 1000000.0));
	json_object_set_new(root, "connections", json_integer((json_int_t)sim->connections));
	json_object_set_new(root, "returns_left", json_integer((json_int_t)returns_left(sim->returns)));
	json_object_set_new(root, "sites", units);
	if (dns != NULL)
		json_object_set_new(root, "dns", dns_json(dns_counts(dns)));
	text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(root);
	return text;
}

bool
stats_write(const char *path, const char *text)
{
	char beside[4096];
	FILE *file;
	bool done;

	if ((size_t)snprintf(beside, sizeof(beside), "%s.new", path) >= sizeof(beside))
		return false;
	if ((file = fopen(beside, "w")) == NULL) {
		fprintf(stderr, "mtasim: %s: %s\n", beside, strerror(errno));
		return false;
	}
	done = fprintf(file, "%s\n", text) > 0;
	done = fclose(file) == 0 && done;
	if (done && rename(beside, path) == 0)
		return true;
	fprintf(stderr, "mtasim: %s: %s\n", path, strerror(errno));
	return false;
}
