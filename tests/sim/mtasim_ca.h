/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_CA_H
#define MTASIM_CA_H
/*
 * mtasim_ca - a certification authority of our own, and a TLS context for each site, good or bad as scripted
 *
 * Owner    main. Thread: the base's.
 * Memory   one key for all sites: making 250 of them would cost more than the test that needs them.
 * Fails    with words on stderr.
 */
#include "mtasim_script.h"

#include <openssl/ssl.h>

struct ca;

/* Writes DIR/ca.pem unless dir is NULL. */
struct ca *ca_create(const char *dir);
void ca_destroy(struct ca **cp);
/* The caller's, SSL_CTX_free(). The site must have a certificate: not none, not broken. */
SSL_CTX *ca_context(struct ca *c, const struct sim_site *site);
#endif
