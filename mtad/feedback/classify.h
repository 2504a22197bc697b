/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_FEEDBACK_CLASSIFY_H
#define MTAD_FEEDBACK_CLASSIFY_H
/*
 * classify - what a reply of a site means: one class of base/bounce_class.h
 *
 * The bounce blocks of the configuration in their order, the first that holds; where none does, the codes
 * (feedback/status.h). What becomes of the recipient is said in deliver/verdict.c.
 *
 * Owner    counted, one for a configuration; it holds a reference to that.
 * Memory   the compiled expressions, for as long as it lives; classifying takes some KB for the time of the
 * call. Thread   never changes: ask from any thread at the same time. Fails    classifier_create: NULL
 * without memory. Expressions are right, conf has checked them. Asking cannot fail: a block whose expression
 * gives up (see base/pattern.h) does not hold.
 */
#include "base/bounce_class.h"
#include "conf/conf.h"
#include "smtp_types.h"

enum {
	CLASSIFY_TEXT_MAX = 1040,    /* code, blank, text; what is longer is not looked at */
	CLASSIFY_PROVIDER_NONE = -1, /* a site that no provider block names */
	CLASSIFY_PROVIDER_ANY = -2,  /* each block, whoever it is for */
	CLASSIFY_BY_CODE = -1,
};
#define CLASSIFY_PHASE(phase) (UINT32_C(1) << (phase))

struct classifier;
struct classify_input {
	int provider;    /* index in conf.providers, or CLASSIFY_PROVIDER_... */
	uint32_t phases; /* CLASSIFY_PHASE of where it came; 0: not known, blocks with a phase do not hold */
	uint16_t code;   /* 0: no reply */
	struct smtp_esc esc;
	struct smtp_slice text; /* lines end with \n; with the codes in front or without */
};
struct classify_result {
	enum bounce_class bounce_class; /* never BOUNCE_CLASS_NONE */
	int32_t block;                  /* index in conf.bounces, or CLASSIFY_BY_CODE */
};

struct classifier *classifier_create(const struct conf *conf); /* one reference */
struct classifier *classifier_ref(struct classifier *c);
void classifier_unref(struct classifier *c); /* NULL is fine */
const struct conf *classifier_conf(const struct classifier *c);

/* Codes that are not given are taken from where the text quotes them: "host said: 550 no (#5.1.1)". Of a
 * reply that ends in another ("returned an error -> 550 5.1.1 no") that is the one. */
void classify(const struct classifier *c, const struct classify_input *in, struct classify_result *out);
/* What or who it is about, in words: "the recipient", "our address or domain" ... */
const char *classify_fault(enum bounce_class c);
/* A reply or a diagnostic as people have it: "550-5.1.1 words", "Connection timed out". Provider and phases
 * of *out are not touched. */
void classify_read(const char *text, size_t len, struct classify_input *out);
/* What expressions are matched against: code, enhanced code, text, with one blank between words. Returns the
 * length; no NUL behind it. */
size_t classify_text(const struct classify_input *in, char out[CLASSIFY_TEXT_MAX]);
#endif
