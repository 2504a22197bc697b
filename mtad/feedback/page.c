/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that is not ours on a page is part of an address, escaped. Invariant: a page fits into PAGE_MAX with
 * the longest texts and an address whose every byte is escaped.
 */
#include "feedback/page.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { LANGUAGES = 4, SHOWN_MAX = 64, ESCAPED_MAX = SHOWN_MAX * 6 + 1 };

static const char names[LANGUAGES][3] = {"en", "de", "fr", "es"};

static const struct {
	unsigned status;
	const char *reason;
	struct {
		const char *title, *text;
	} words[LANGUAGES];
} pages[PAGE_KIND_COUNT] = {
	[PAGE_CONFIRM] = {200, "OK",
		{{"Unsubscribe", "Stop sending mail of this kind to this address?"},
			{"Abmelden", "Sollen keine Mails dieser Art mehr an diese Adresse gehen?"},
			{"Se d\u00e9sabonner",
				"Ne plus envoyer de messages de ce type \u00e0 cette adresse ?"},
			{"Cancelar la suscripci\u00f3n",
				"\u00bfDejar de enviar mensajes de este tipo a esta direcci\u00f3n?"}}},
	[PAGE_DONE] = {200, "OK",
		{{"Unsubscribed",
			 "You will receive no more mail of this kind. What is on its way may still arrive."},
			{"Abgemeldet", "Sie erhalten keine Mails dieser Art mehr. Was schon unterwegs ist, "
				       "kann noch ankommen."},
			{"D\u00e9sabonnement effectu\u00e9",
				"Vous ne recevrez plus de messages de ce type. Ceux d\u00e9j\u00e0 "
				"envoy\u00e9s peuvent encore arriver."},
			{"Suscripci\u00f3n cancelada", "No recibir\u00e1 m\u00e1s mensajes de este tipo. Los "
						       "ya enviados a\u00fan pueden llegar."}}},
	[PAGE_INCOMPLETE] = {400, "Bad Request",
		{{"Nothing was changed", "This request is not complete. Open the link in the mail again."},
			{"Nichts wurde ge\u00e4ndert", "Diese Anfrage ist unvollst\u00e4ndig. \u00d6ffnen "
						       "Sie den Link in der Mail noch einmal."},
			{"Rien n\u2019a chang\u00e9", "Cette demande est incompl\u00e8te. Ouvrez \u00e0 "
						      "nouveau le lien du message."},
			{"No se ha cambiado nada", "Esta solicitud est\u00e1 incompleta. Abra de nuevo el "
						   "enlace del mensaje."}}},
	[PAGE_UNKNOWN] = {404, "Not Found",
		{{"This link is not known",
			 "Part of it may be missing. Open the whole link in the mail again."},
			{"Dieser Link ist unbekannt",
				"Vielleicht fehlt ein Teil. \u00d6ffnen Sie den ganzen Link aus der Mail."},
			{"Ce lien est inconnu",
				"Il est peut-\u00eatre tronqu\u00e9. Ouvrez le lien complet du message."},
			{"Este enlace es desconocido",
				"Puede estar incompleto. Abra el enlace completo del mensaje."}}},
	[PAGE_EXPIRED] = {410, "Gone",
		{{"This link is too old", "Use the link in a newer mail, or reply to the mail."},
			{"Dieser Link ist zu alt", "Verwenden Sie den Link einer neueren Mail, oder "
						   "antworten Sie auf die Mail."},
			{"Ce lien est trop ancien", "Utilisez le lien d\u2019un message plus r\u00e9cent, ou "
						    "r\u00e9pondez au message."},
			{"Este enlace es demasiado antiguo",
				"Use el enlace de un mensaje m\u00e1s reciente o responda al mensaje."}}},
	[PAGE_BUSY] = {429, "Too Many Requests",
		{{"Too many requests", "Please try again in a few minutes."},
			{"Zu viele Anfragen", "Bitte versuchen Sie es in einigen Minuten noch einmal."},
			{"Trop de demandes", "Veuillez r\u00e9essayer dans quelques minutes."},
			{"Demasiadas solicitudes", "Int\u00e9ntelo de nuevo dentro de unos minutos."}}},
	[PAGE_TROUBLE] = {503, "Service Unavailable",
		{{"Nothing was changed", "This is our fault. Please try again in a few minutes."},
			{"Nichts wurde ge\u00e4ndert", "Der Fehler liegt bei uns. Bitte versuchen Sie es in "
						       "einigen Minuten noch einmal."},
			{"Rien n\u2019a chang\u00e9", "L\u2019erreur vient de nous. Veuillez r\u00e9essayer "
						      "dans quelques minutes."},
			{"No se ha cambiado nada",
				"El fallo es nuestro. Int\u00e9ntelo de nuevo dentro de unos minutos."}}},
};

/* Of statuses that are no kind's. */
static const char *
reason_of(enum page_kind kind, unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} others[] = {{405, "Method Not Allowed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
		{431, "Request Header Fields Too Large"}, {501, "Not Implemented"},
		{505, "HTTP Version Not Supported"}};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].status == status)
			return others[i].reason;
	return pages[kind].reason;
}

/* Its first letter and its domain: enough to know one's own. */
static void
write_address(struct smtp_slice address, char buf[ESCAPED_MAX])
{
	const char *at = address.len > 0 ? memrchr(address.ptr, '@', address.len) : NULL;
	size_t first = address.len > 0, domain = at != NULL ? (size_t)(at - address.ptr) : address.len, n = 0,
	       i;
	char shown[SHOWN_MAX];
	int len;

	/* A letter of UTF-8 is not cut in two. */
	while (first < domain && ((unsigned char)address.ptr[first] & 0xc0) == 0x80)
		first++;
	if (first > 4 || address.len - domain > SHOWN_MAX - 8)
		first = 0;
	len = snprintf(shown, sizeof(shown), "%.*s\u2026%.*s", (int)first, address.ptr,
		(int)(address.len - domain < SHOWN_MAX - 8 ? address.len - domain : 0), address.ptr + domain);
	assert(len >= 0 && len < SHOWN_MAX);
	for (i = 0; i < (size_t)len; i++) {
		if (strchr("<>&\"'", shown[i]) != NULL && shown[i] != '\0')
			n += (size_t)snprintf(buf + n, ESCAPED_MAX - n, "&#%d;", shown[i]);
		else
			buf[n++] = shown[i];
	}
	buf[n] = '\0';
}

static int
write_html(const struct page_input *in, char *buf, size_t max)
{
	unsigned language = in->language;
	const char *title = pages[in->kind].words[language].title,
		   *text = pages[in->kind].words[language].text;
	char form[ESCAPED_MAX + 400] = "", address[ESCAPED_MAX];

	if (in->kind == PAGE_CONFIRM) {
		write_address(in->address, address);
		snprintf(form, sizeof(form),
			"<p><b>%s</b></p>\n<form method=\"post\">"
			"<input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">"
			"<button type=\"submit\">%s</button></form>\n",
			address, title);
	}
	return snprintf(buf, max,
		"<!DOCTYPE html>\n<html lang=\"%s\">\n<head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width, "
		"initial-scale=1\">\n<title>%s</title>\n"
		"<style>:root{color-scheme:light dark}body{font:1.1em/1.5 "
		"system-ui,sans-serif;max-width:34em;"
		"margin:15vh auto 0;padding:0 1.2em}h1{line-height:1.2}b{overflow-wrap:anywhere}"
		"button{font:inherit;margin-top:.5em;padding:.6em 1.6em;border:0;border-radius:.4em;"
		"background:#1a5fb4;color:#fff;cursor:pointer}"
		"</style></head>\n<body><main>\n<h1>%s</h1>\n<p>%s</p>\n%s</main></body>\n</html>\n",
		names[language], title, title, text, form);
}

unsigned
page_language(const struct http_request *r)
{
	return http_language(r, names, LANGUAGES);
}

size_t
page_write(const struct page_input *in, char buf[PAGE_MAX])
{
	unsigned status = in->status != 0 ? in->status : pages[in->kind].status;
	char html[PAGE_MAX];
	int body = write_html(in, html, sizeof(html)), len;

	assert(in->language < LANGUAGES && body > 0 && body < PAGE_MAX);
	len = snprintf(buf, PAGE_MAX,
		"HTTP/1.1 %u %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
		"Content-Language: %s\r\nVary: Accept-Language\r\nConnection: close\r\nCache-Control: "
		"no-store\r\n"
		"%s%sReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nX-Robots-Tag: "
		"noindex\r\n"
		"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
		"frame-ancestors 'none'\r\n\r\n%s",
		status, reason_of(in->kind, status), body, names[in->language],
		status == 405 ? "Allow: GET, HEAD, POST\r\n" : "",
		status == 429 || status == 503 ? "Retry-After: 300\r\n" : "", in->is_head ? "" : html);
	assert(len > 0 && len < PAGE_MAX);
	return (size_t)len;
}
