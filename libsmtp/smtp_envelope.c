/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known about a mail meets what a peer offers. The refusals stand here in full, as they end up in
 * bounces: a peer never saw the mail, so nobody else will say why. Lengths are checked before anything is
 * put, which is what makes the longest command of the pipe a true bound.
 */
#include "smtp_envelope.h"

#include <assert.h>
#include <stdio.h>

_Static_assert(SMTP_ADDRESS_MAX + 3 * SMTP_ORCPT_MAX + 64 <= SMTP_COMMAND_MAX, "RCPT fits a command");
_Static_assert(SMTP_ADDRESS_MAX + 3 * SMTP_ENVID_MAX + 128 <= SMTP_COMMAND_MAX, "MAIL fits a command");

static const struct smtp_reply refused_size = {.code = 552,
	.esc = {5, 3, 4},
	.text = SMTP_LIT("5.3.4 message is larger than the receiving server takes")};
static const struct smtp_reply refused_8bit = {.code = 554,
	.esc = {5, 6, 3},
	.text = SMTP_LIT("5.6.3 message is 8-bit and the receiving server does not offer 8BITMIME")};
static const struct smtp_reply refused_utf8 = {.code = 553,
	.esc = {5, 6, 7},
	.text = SMTP_LIT("5.6.7 message needs SMTPUTF8 and the receiving server does not offer it")};
static const struct smtp_reply refused_body = {.code = 554,
	.esc = {5, 6, 0},
	.text = SMTP_LIT("5.6.0 message has a NUL, a bare CR or a bare LF and cannot be sent")};
static const struct smtp_reply refused_by = {.code = 554,
	.esc = {5, 4, 7},
	.text = SMTP_LIT("5.4.7 the receiving server promises no delivery in the time the message has left")};
static const struct smtp_reply refused_sender = {
	.code = 553, .esc = {5, 1, 7}, .text = SMTP_LIT("5.1.7 sender address cannot be sent")};
static const struct smtp_reply refused_rcpt = {
	.code = 553, .esc = {5, 1, 3}, .text = SMTP_LIT("5.1.3 recipient address cannot be sent")};

/*
 * An address between angle brackets must stay between them: a control character would begin another command,
 * a '>' outside quotes another parameter. The parsers at intake refuse such addresses; this is the last look
 * before the wire.
 */
static bool
is_sayable(struct smtp_slice address)
{
	bool quoted = false, escaped = false;

	if (address.len > SMTP_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < address.len; i++) {
		unsigned char byte = (unsigned char)address.ptr[i];

		if (byte < 0x20 || byte == 0x7f)
			return false;
		if (escaped)
			escaped = false;
		else if (byte == '"')
			quoted = !quoted;
		else if (quoted)
			escaped = byte == '\\';
		else if (byte == ' ' || byte == '<' || byte == '>' || byte == '\\')
			return false;
	}
	return !quoted && !escaped;
}

static bool
is_ascii(struct smtp_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] > 127)
			return false;
	return true;
}

const struct smtp_reply *
smtp_envelope_mail_refusal(
	const struct smtp_client_mail *mail, const struct smtp_ehlo *ehlo, const struct smtp_data_look *look)
{
	if (!look->is_clean)
		return &refused_body;
	if (ehlo->size_max != 0 && look->byte_count > ehlo->size_max)
		return &refused_size;
	if (mail->is_utf8 && (ehlo->caps & SMTP_CAP_SMTPUTF8) == 0)
		return &refused_utf8;
	if (mail->is_8bit && (ehlo->caps & SMTP_CAP_8BITMIME) == 0)
		return &refused_8bit;
	/* RFC 2852 4.1.4.1: a server whose least time is more than what is left. */
	if (mail->by == SMTP_BY_RETURN && mail->by_s < (int64_t)ehlo->by_min_s)
		return &refused_by;
	if (!is_sayable(mail->sender))
		return &refused_sender;
	if (!mail->is_utf8 && !is_ascii(mail->sender))
		return &refused_utf8;
	return NULL;
}

const struct smtp_reply *
smtp_envelope_rcpt_refusal(const struct smtp_client_mail *mail, uint32_t index)
{
	struct smtp_slice address;

	assert(index < mail->rcpt_count);
	address = mail->rcpts[index].address;
	if (address.len == 0 || !is_sayable(address))
		return &refused_rcpt;
	if (!mail->is_utf8 && !is_ascii(address))
		return &refused_utf8;
	return NULL;
}

static void
put_number(struct smtp_pipe *p, struct smtp_slice keyword, int64_t number)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", (long long)number);

	assert(len > 0 && (size_t)len < sizeof(text));
	smtp_pipe_put(p, keyword);
	smtp_pipe_put(p, (struct smtp_slice){text, (size_t)len});
}

static void
put_by(struct smtp_pipe *p, const struct smtp_client_mail *mail)
{
	assert(mail->by_s >= -SMTP_BY_MAX_S && mail->by_s <= SMTP_BY_MAX_S);
	assert(mail->by_s > 0 || mail->by == SMTP_BY_NOTIFY);
	put_number(p, SMTP_LIT(" BY="), mail->by_s);
	smtp_pipe_put(p, mail->by == SMTP_BY_RETURN ? SMTP_LIT(";R") : SMTP_LIT(";N"));
	if (mail->by_trace)
		smtp_pipe_put(p, SMTP_LIT("T"));
}

void
smtp_envelope_put_mail(struct smtp_pipe *p, const struct smtp_client_mail *mail, const struct smtp_ehlo *ehlo,
	const struct smtp_data_look *look)
{
	smtp_pipe_put(p, SMTP_LIT("MAIL FROM:<"));
	smtp_pipe_put(p, mail->sender);
	smtp_pipe_put(p, SMTP_LIT(">"));
	if ((ehlo->caps & SMTP_CAP_SIZE) != 0)
		put_number(p, SMTP_LIT(" SIZE="), (int64_t)look->byte_count);
	if (mail->is_8bit)
		smtp_pipe_put(p, SMTP_LIT(" BODY=8BITMIME"));
	if (mail->is_utf8)
		smtp_pipe_put(p, SMTP_LIT(" SMTPUTF8"));
	if (mail->by != SMTP_BY_NONE && (ehlo->caps & SMTP_CAP_DELIVERBY) != 0)
		put_by(p, mail);
	if ((ehlo->caps & SMTP_CAP_MT_PRIORITY) != 0) /* RFC 6758 3.2: 0 too */
		put_number(p, SMTP_LIT(" MT-PRIORITY="), mail->priority);
	if ((ehlo->caps & SMTP_CAP_DSN) == 0)
		return;
	if (mail->ret != SMTP_RET_NONE)
		smtp_pipe_put(p, mail->ret == SMTP_RET_FULL ? SMTP_LIT(" RET=FULL") : SMTP_LIT(" RET=HDRS"));
	if (mail->envid.len > 0 && mail->envid.len <= SMTP_ENVID_MAX) {
		smtp_pipe_put(p, SMTP_LIT(" ENVID="));
		smtp_pipe_put_xtext(p, mail->envid);
	}
}

/* RFC 3461 4.1: NEVER stands alone. */
static void
put_notify(struct smtp_pipe *p, unsigned notify)
{
	static const struct {
		unsigned bit;
		struct smtp_slice word;
	} words[] = {
		{SMTP_NOTIFY_SUCCESS, SMTP_LIT("SUCCESS")},
		{SMTP_NOTIFY_FAILURE, SMTP_LIT("FAILURE")},
		{SMTP_NOTIFY_DELAY, SMTP_LIT("DELAY")},
	};
	struct smtp_slice lead = SMTP_LIT(" NOTIFY=");

	if ((notify & SMTP_NOTIFY_NEVER) != 0) {
		smtp_pipe_put(p, SMTP_LIT(" NOTIFY=NEVER"));
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((notify & words[i].bit) == 0)
			continue;
		smtp_pipe_put(p, lead);
		smtp_pipe_put(p, words[i].word);
		lead = SMTP_LIT(",");
	}
}

/*
 * RFC 2852 4.1.4.2: who cannot be told when we would have wanted to hear is asked to report delays at least.
 * That overrides RFC 3461 6.2.1 (c).
 */
static unsigned
notify_of(const struct smtp_client_mail *mail, const struct smtp_ehlo *ehlo, unsigned notify)
{
	if (mail->by != SMTP_BY_NOTIFY || mail->by_s <= 0 || (ehlo->caps & SMTP_CAP_DELIVERBY) != 0 ||
		(notify & SMTP_NOTIFY_NEVER) != 0)
		return notify;
	return notify == 0 ? SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY : notify | SMTP_NOTIFY_DELAY;
}

void
smtp_envelope_put_rcpt(struct smtp_pipe *p, const struct smtp_client_mail *mail, const struct smtp_ehlo *ehlo,
	uint32_t index)
{
	const struct smtp_client_rcpt *rcpt = &mail->rcpts[index];

	assert(index < mail->rcpt_count);
	smtp_pipe_put(p, SMTP_LIT("RCPT TO:<"));
	smtp_pipe_put(p, rcpt->address);
	smtp_pipe_put(p, SMTP_LIT(">"));
	if ((ehlo->caps & SMTP_CAP_DSN) == 0)
		return;
	put_notify(p, notify_of(mail, ehlo, rcpt->notify));
	if (rcpt->orcpt.len > 0 && rcpt->orcpt.len <= SMTP_ORCPT_MAX) {
		smtp_pipe_put(p, SMTP_LIT(" ORCPT="));
		smtp_pipe_put_xtext(p, rcpt->orcpt);
	}
}
