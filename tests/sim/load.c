/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtasim-load - submits many messages over many SMTP sessions and keeps the exact books of what was
 * acknowledged.
 *
 * The client is written by hand and shares no line with the client under test: a mistake made twice would
 * hide itself. It runs through kill -9 of the server: sessions reconnect, and what was not acknowledged is
 * sent again under a new id, so that every id is sent at most once and the checker can tell "acknowledged",
 * "unknown" (final dot sent, no reply) and "refused" apart.
 *
 * Invariants: a message is in exactly one place: fresh, the retry queue, or one session. Its ledger lines go
 * out in one write(2), after its reply was read. README.md beside this file is the manual.
 *
 * Here are sessions, books and the end result; what is in a message is load_message.c's.
 */
#include "load_message.h"

#include "base/clock.h"
#include "base/tls.h"
#include "base/wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	SEGMENTS_MAX = 8,
	RETRY_US = 200000,
	RECONNECT_US = 20000,
	TICK_US = 5000,
	REPLY_WAIT_US = 300 * 1000000,
	AUTH_MAX = 1024,
};

enum phase {
	PH_DOWN,
	PH_GREETING,
	PH_EHLO,
	PH_STARTTLS,
	PH_TLS,
	PH_AUTH,
	PH_IDLE,
	PH_ENVELOPE,
	PH_DOT,
	PH_RSET,
	PH_QUIT,
};

struct segment {
	const char *ptr;
	size_t len;
};

struct session {
	struct load *load;
	struct wire *wire;
	struct event timer;
	enum phase phase;
	struct segment segments[SEGMENTS_MAX];
	unsigned segment_first, segment_count;
	char command[AUTH_MAX];
	struct message *current, *next;
	size_t dot_left; /* bytes until the final dot is out; 0: it is */
	int64_t dot_us;
	unsigned long sent_here;
	bool has_pipelining, is_tls;
};

struct retry {
	uint64_t number;
	unsigned tries;
	int64_t due_us;
};

struct load {
	struct options o;
	struct event_base *base;
	struct event *tick, *progress, *on_term, *on_int;
	struct sockaddr_in to;
	SSL_CTX *tls;
	struct composer composer;
	struct session *sessions;
	struct retry *retries; /* a ring */
	size_t retry_first, retry_count, retry_max;
	uint64_t fresh; /* next number */
	uint64_t acked, acked_rcpts, unknown, refused, given_up, lost, reconnects, done;
	uint32_t *latency_us;
	int64_t start_us, last_ack_us, progress_us;
	uint64_t progress_acked;
	char *records;
	size_t records_len, records_max;
	int ledger;
	bool is_over;
};

static int64_t
now(void)
{
	return clock_mono(clock_real());
}

/* Columns: time, what, id, recipient, bytes of the message, bytes of its body, CRC-32 of the body, code, id
 * it repeats, job. Recipients refused at RCPT of an acknowledged message stand as "refused". */
static void
write_ledger(struct load *l, const struct message *m, const char *what, int code)
{
	bool is_acked = strcmp(what, "acked") == 0, is_refused = strcmp(what, "refused") == 0;
	char rcpt[LOAD_LINE_MAX / 2];
	ssize_t n;
	unsigned i;

	if (l->ledger < 0)
		return;
	l->records_len = 0;
	for (i = 0; i < l->o.rcpts; i++) {
		const char *word = is_refused || m->is_ok[i] ? what : is_acked ? "refused" : NULL;

		if (word == NULL)
			continue;
		load_write_rcpt(&l->composer, m, i, rcpt, sizeof(rcpt));
		load_add(&l->records, &l->records_len, &l->records_max, "%lld\t%s\t%.100s\t",
			(long long)clock_now(clock_real()), word, m->id);
		load_add(&l->records, &l->records_len, &l->records_max, "%s\t%zu\t%zu\t%08x\t%d\t", rcpt,
			m->head_len + l->composer.body_len, m->body_bytes, m->crc, code);
		load_add(&l->records, &l->records_len, &l->records_max, "%.100s\t%.100s\n",
			m->previous[0] != '\0' ? m->previous : "-", l->o.job != NULL ? l->o.job : "-");
	}
	do {
		n = write(l->ledger, l->records, l->records_len);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)l->records_len)
		load_die("ledger");
}

/* --- what is to be sent --- */

static void
push_retry(struct load *l, const struct message *m, int64_t due_us)
{
	struct retry *grown;
	size_t i;

	if (l->retry_count == l->retry_max) {
		grown = load_alloc(2 * l->retry_max + 64, sizeof(*grown));
		for (i = 0; i < l->retry_count; i++)
			grown[i] = l->retries[(l->retry_first + i) % l->retry_max];
		free(l->retries);
		l->retries = grown;
		l->retry_max = 2 * l->retry_max + 64;
		l->retry_first = 0;
	}
	l->retries[(l->retry_first + l->retry_count) % l->retry_max] =
		(struct retry){m->number, m->tries + 1, due_us};
	l->retry_count++;
}

/* NULL: nothing now. */
static struct message *
take_message(struct load *l)
{
	int64_t now_us = now();
	struct retry r;

	if (l->retry_count > 0 && l->retries[l->retry_first].due_us <= now_us) {
		r = l->retries[l->retry_first];
		l->retry_first = (l->retry_first + 1) % l->retry_max;
		l->retry_count--;
		return message_create(&l->composer, r.number, r.tries);
	}
	if (l->fresh >= l->o.messages)
		return NULL;
	if (l->o.rate > 0 && (now_us - l->start_us) * (int64_t)l->o.rate < (int64_t)l->fresh * 1000000)
		return NULL;
	return message_create(&l->composer, l->fresh++, 0);
}

static void
finish_if_done(struct load *l)
{
	if (l->done >= l->o.messages && !l->is_over) {
		l->is_over = true;
		event_base_loopbreak(l->base);
	}
}

static void
on_acked(struct session *s, struct message *m, int code)
{
	struct load *l = s->load;
	int64_t took_us = now() - s->dot_us;

	write_ledger(l, m, "acked", code);
	l->last_ack_us = now();
	l->latency_us[l->acked++] = (uint32_t)(took_us > 0 ? took_us : 0);
	l->acked_rcpts += m->rcpts_ok;
	l->done++;
	message_destroy(&m);
	finish_if_done(l);
}

/* 4xx comes again later, under a new id; 5xx is final. */
static void
on_refused(struct session *s, struct message *m, int code)
{
	struct load *l = s->load;

	if (l->refused++ < 5 && !l->o.quiet)
		fprintf(stderr, "mtasim-load: %s refused with %d\n", m->id, code);
	write_ledger(l, m, "refused", code);
	if (code < 500)
		push_retry(l, m, now() + RETRY_US);
	else {
		l->given_up++;
		l->done++;
	}
	message_destroy(&m);
	finish_if_done(l);
}

/* --- a session --- */

static void
push(struct session *s, const char *ptr, size_t len)
{
	assert(s->segment_count < SEGMENTS_MAX);
	s->segments[(s->segment_first + s->segment_count++) % SEGMENTS_MAX] = (struct segment){ptr, len};
}

/* One command at a time: the buffer is free when its reply has come. */
static void __attribute__((format(printf, 3, 4)))
command(struct session *s, enum phase phase, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(s->command, sizeof(s->command), format, args);
	va_end(args);
	assert(n > 0 && (size_t)n < sizeof(s->command));
	s->phase = phase;
	push(s, s->command, (size_t)n);
}

static void
push_envelope_line(struct session *s, struct message *m)
{
	const char *at = m->envelope + m->envelope_at;
	const char *end = memchr(at, '\n', m->envelope_len - m->envelope_at);

	assert(end != NULL);
	push(s, at, (size_t)(end - at) + 1);
	m->envelope_at += (size_t)(end - at) + 1;
}

static void
push_envelope(struct session *s, struct message *m)
{
	if (s->has_pipelining)
		push(s, m->envelope, m->envelope_len);
	else
		push_envelope_line(s, m);
}

static void
begin_message(struct session *s)
{
	struct load *l = s->load;

	assert(s->current == NULL && s->next == NULL);
	s->phase = PH_IDLE;
	if (l->o.per_connection > 0 && s->sent_here >= l->o.per_connection) {
		command(s, PH_QUIT, "QUIT\r\n");
		return;
	}
	if ((s->current = take_message(l)) == NULL)
		return;
	s->sent_here++;
	s->phase = PH_ENVELOPE;
	push_envelope(s, s->current);
}

static void
push_body(struct session *s)
{
	struct load *l = s->load;
	struct message *m = s->current;

	push(s, m->head, m->head_len);
	push(s, l->composer.stuffed, l->composer.stuffed_len);
	push(s, ".\r\n", 3);
	s->dot_left = m->head_len + l->composer.stuffed_len + 3;
	s->phase = PH_DOT;
	if (!l->o.overlap || !s->has_pipelining ||
		(l->o.per_connection > 0 && s->sent_here >= l->o.per_connection))
		return;
	if ((s->next = take_message(l)) != NULL) {
		s->sent_here++;
		push_envelope(s, s->next);
	}
}

static void
on_envelope_reply(struct session *s, int code)
{
	struct message *m = s->current;
	unsigned index = m->heard++;

	if (code >= 400 && m->code == 0)
		m->code = code;
	if (index >= 1 && index <= s->load->o.rcpts && code < 300) {
		m->is_ok[index - 1] = true;
		m->rcpts_ok++;
	}
	if (index <= s->load->o.rcpts) {
		if (!s->has_pipelining)
			push_envelope_line(s, m);
		return;
	}
	if (code == 354) {
		push_body(s);
		return;
	}
	s->current = NULL;
	on_refused(s, m, m->code != 0 ? m->code : code);
	command(s, PH_RSET, "RSET\r\n");
}

static void
on_dot_reply(struct session *s, int code)
{
	struct message *m = s->current;

	s->current = s->next;
	s->next = NULL;
	if (code < 300)
		on_acked(s, m, code);
	else
		on_refused(s, m, code);
	if (s->current != NULL)
		s->phase = PH_ENVELOPE;
	else
		begin_message(s);
}

static void
say_auth(struct session *s)
{
	const struct options *o = &s->load->o;
	unsigned char plain[512], coded[AUTH_MAX - 32];
	int len;

	if (o->user == NULL) {
		begin_message(s);
		return;
	}
	len = snprintf((char *)plain, sizeof(plain), "%c%.200s%c%.200s", 0, o->user, 0, o->password);
	(void)EVP_EncodeBlock(coded, plain, len);
	command(s, PH_AUTH, "AUTH PLAIN %s\r\n", (char *)coded);
}

static void
on_ehlo_line(struct session *s, const char *line, size_t len)
{
	if (len >= 14 && strncasecmp(line + 4, "PIPELINING", 10) == 0)
		s->has_pipelining = !s->load->o.no_pipeline;
}

/* A whole reply. False: this session is of no use, close it. */
static bool
on_reply(struct session *s, int code)
{
	switch (s->phase) {
	case PH_GREETING:
		if (code >= 300)
			return false;
		command(s, PH_EHLO, "EHLO load.client.test\r\n");
		return true;
	case PH_EHLO:
		if (code >= 300)
			return false;
		if (s->load->o.starttls && !s->is_tls)
			command(s, PH_STARTTLS, "STARTTLS\r\n");
		else
			say_auth(s);
		return true;
	case PH_STARTTLS:
		if (code >= 300)
			return false;
		s->phase = PH_TLS;
		(void)wire_start_tls_client(s->wire, s->load->tls, "localhost", NULL);
		return true;
	case PH_AUTH:
		if (code >= 300)
			return false;
		begin_message(s);
		return true;
	case PH_ENVELOPE:
		on_envelope_reply(s, code);
		return true;
	case PH_DOT:
		on_dot_reply(s, code);
		return true;
	case PH_RSET:
		begin_message(s);
		return true;
	case PH_DOWN:
	case PH_TLS:
	case PH_IDLE: /* a 421 on its own */
	case PH_QUIT:
		break;
	}
	return false;
}

/* What the session had is sent again by whoever comes next. */
static void
give_back(struct session *s, struct message **mp, bool is_unknown)
{
	struct load *l = s->load;

	if (*mp == NULL)
		return;
	if (is_unknown) {
		l->unknown++;
		write_ledger(l, *mp, "unknown", 0);
	} else
		l->lost++;
	push_retry(l, *mp, now());
	message_destroy(mp);
}

static void
session_down(struct session *s)
{
	const struct timeval soon = {0, RECONNECT_US};

	give_back(s, &s->current, s->phase == PH_DOT && s->dot_left == 0);
	give_back(s, &s->next, false);
	wire_destroy(&s->wire);
	s->phase = PH_DOWN;
	s->segment_count = 0;
	s->load->reconnects++;
	event_add(&s->timer, &soon);
}

static size_t
on_bytes(void *arg, const char *bytes, size_t len)
{
	struct session *s = arg;
	size_t eaten = 0;
	const char *end;

	while ((end = memchr(bytes + eaten, '\n', len - eaten)) != NULL) {
		const char *line = bytes + eaten;
		size_t line_len = (size_t)(end - line) + 1;
		bool is_good = line_len >= 5;

		eaten += line_len;
		if (is_good && s->phase == PH_EHLO)
			on_ehlo_line(s, line, line_len);
		if (is_good && line[3] == '-')
			continue;
		if (is_good)
			is_good = on_reply(s, (int)strtol(line, NULL, 10));
		if (!is_good) {
			session_down(s);
			return len;
		}
		if (s->phase == PH_TLS)
			return len;
	}
	wire_deadline(s->wire, REPLY_WAIT_US);
	wire_send(s->wire);
	return eaten;
}

static int
on_pull(void *arg, struct iovec *iov, int iov_max)
{
	struct session *s = arg;
	unsigned i;

	for (i = 0; i < s->segment_count && i < (unsigned)iov_max; i++) {
		struct segment *segment = &s->segments[(s->segment_first + i) % SEGMENTS_MAX];

		iov[i] = (struct iovec){(char *)(uintptr_t)segment->ptr, segment->len};
	}
	return (int)i;
}

static void
on_sent(void *arg, size_t bytes)
{
	struct session *s = arg;
	struct segment *segment;
	size_t part;

	if (s->phase == PH_DOT && s->dot_left > 0) {
		s->dot_left -= bytes < s->dot_left ? bytes : s->dot_left;
		if (s->dot_left == 0)
			s->dot_us = now();
	}
	while (bytes > 0) {
		assert(s->segment_count > 0);
		segment = &s->segments[s->segment_first];
		part = bytes < segment->len ? bytes : segment->len;
		segment->ptr += part;
		segment->len -= part;
		bytes -= part;
		if (segment->len == 0) {
			s->segment_first = (s->segment_first + 1) % SEGMENTS_MAX;
			s->segment_count--;
		}
	}
}

static void
on_connected(void *arg)
{
	struct session *s = arg;

	s->phase = PH_GREETING;
	wire_deadline(s->wire, REPLY_WAIT_US);
}

static void
on_tls(void *arg)
{
	struct session *s = arg;

	s->is_tls = true;
	command(s, PH_EHLO, "EHLO load.client.test\r\n");
}

static void
on_down(void *arg, enum wire_down why, const char *detail)
{
	session_down(arg);
}

static const struct wire_ops ops = {on_connected, on_tls, on_bytes, on_pull, on_sent, on_down};

static void
on_dial(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval later = {0, 10 * RECONNECT_US};
	struct session *s = arg;

	s->is_tls = s->has_pipelining = false;
	s->sent_here = 0;
	s->segment_first = s->segment_count = 0;
	s->wire = wire_connect(s->load->base, (struct sockaddr *)&s->load->to, NULL, &ops, s);
	if (s->wire == NULL)
		event_add(&s->timer, &later);
}

/* --- the whole --- */

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct load *l = arg;
	unsigned long i;

	if (l->retry_count == 0 && l->fresh >= l->o.messages)
		return;
	for (i = 0; i < l->o.sessions; i++) {
		struct session *s = &l->sessions[i];

		if (s->phase != PH_IDLE)
			continue;
		begin_message(s);
		wire_send(s->wire);
	}
}

static void
on_progress(evutil_socket_t fd, short what, void *arg)
{
	struct load *l = arg;
	int64_t now_us = now();

	if (!l->o.quiet)
		fprintf(stderr, "mtasim-load: %llu of %lu acknowledged, %.0f/s, %llu unknown, %llu refused\n",
			(unsigned long long)l->acked, l->o.messages,
			(double)(l->acked - l->progress_acked) * 1e6 / (double)(now_us - l->progress_us),
			(unsigned long long)l->unknown, (unsigned long long)l->refused);
	l->progress_us = now_us;
	l->progress_acked = l->acked;
	if (now_us - l->last_ack_us > (int64_t)l->o.give_up_s * 1000000) {
		fprintf(stderr, "mtasim-load: nothing acknowledged for %lu s, giving up\n", l->o.give_up_s);
		event_base_loopbreak(l->base);
	}
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct load *l = arg;

	event_base_loopbreak(l->base);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double
latency_ms(const struct load *l, double share)
{
	return l->acked > 0 ? l->latency_us[(size_t)((double)(l->acked - 1) * share)] / 1000.0 : 0.0;
}

static void
print_result(struct load *l)
{
	int64_t end_us = l->acked > 0 ? l->last_ack_us : now();
	double seconds = (double)(end_us - l->start_us) / 1e6;

	qsort(l->latency_us, (size_t)l->acked, sizeof(*l->latency_us), compare);
	printf("{\"acked\":%llu,\"recipients\":%llu,\"unknown\":%llu,\"refused\":%llu,\"given_up\":%llu,"
	       "\"resent\":%llu,"
	       "\"reconnects\":%llu,\"seconds\":%.3f,\"messages_per_second\":%.0f,\"ack_p50_ms\":%.2f,\"ack_"
	       "p99_ms\":%.2f,"
	       "\"ack_max_ms\":%.2f}\n",
		(unsigned long long)l->acked, (unsigned long long)l->acked_rcpts,
		(unsigned long long)l->unknown, (unsigned long long)l->refused,
		(unsigned long long)l->given_up, (unsigned long long)l->lost,
		(unsigned long long)l->reconnects, seconds, seconds > 0 ? (double)l->acked / seconds : 0.0,
		latency_ms(l, 0.5), latency_ms(l, 0.99), latency_ms(l, 1.0));
}

static void
start(struct load *l)
{
	const struct timeval tick = {0, TICK_US}, second = {1, 0}, at_once = {0, 0};
	struct rlimit limit;
	char why[200];
	unsigned long i;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	l->ledger =
		l->o.ledger != NULL ? open(l->o.ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
	if (l->o.ledger != NULL && l->ledger < 0)
		load_die(l->o.ledger);
	if (l->o.starttls && (l->tls = tls_client_create(NULL, why, sizeof(why))) == NULL) {
		fprintf(stderr, "mtasim-load: %s\n", why);
		exit(1);
	}
	l->latency_us = load_alloc(l->o.messages, sizeof(*l->latency_us));
	l->sessions = load_alloc(l->o.sessions, sizeof(*l->sessions));
	if ((l->base = event_base_new()) == NULL)
		load_die("event base");
	l->tick = event_new(l->base, -1, EV_PERSIST, on_tick, l);
	l->progress = event_new(l->base, -1, EV_PERSIST, on_progress, l);
	l->on_term = evsignal_new(l->base, SIGTERM, on_signal, l);
	l->on_int = evsignal_new(l->base, SIGINT, on_signal, l);
	if (l->tick == NULL || l->progress == NULL || l->on_term == NULL || l->on_int == NULL)
		load_die("events");
	evtimer_add(l->tick, &tick);
	evtimer_add(l->progress, &second);
	evsignal_add(l->on_term, NULL);
	evsignal_add(l->on_int, NULL);
	l->start_us = l->last_ack_us = l->progress_us = now();
	for (i = 0; i < l->o.sessions; i++) {
		l->sessions[i].load = l;
		event_assign(&l->sessions[i].timer, l->base, -1, 0, on_dial, &l->sessions[i]);
		event_add(&l->sessions[i].timer, &at_once);
	}
}

static void
stop(struct load *l)
{
	unsigned long i;

	for (i = 0; i < l->o.sessions; i++) {
		struct session *s = &l->sessions[i];

		/* Stopped by a signal: what is still without a reply is unknown, and nobody sends it again.
		 */
		give_back(s, &s->current, s->phase == PH_DOT && s->dot_left == 0);
		give_back(s, &s->next, false);
		event_del(&s->timer);
		wire_destroy(&s->wire);
	}
	print_result(l);
	event_free(l->tick);
	event_free(l->progress);
	event_free(l->on_term);
	event_free(l->on_int);
	event_base_free(l->base);
	SSL_CTX_free(l->tls);
	if (l->ledger >= 0)
		close(l->ledger);
	free(l->sessions);
	composer_fini(&l->composer);
	free(l->retries);
	free(l->latency_us);
	free(l->records);
}

int
main(int argc, char **argv)
{
	struct load l = {.ledger = -1};
	bool is_done;

	if (!load_options_parse(&l.o, argc, argv) || !load_address(l.o.to, &l.to) ||
		!composer_init(&l.composer, &l.o)) {
		load_usage();
		return 2;
	}
	start(&l);
	if (l.o.messages > 0)
		event_base_dispatch(l.base);
	is_done = l.done >= l.o.messages;
	stop(&l);
	return is_done ? 0 : 1;
}
