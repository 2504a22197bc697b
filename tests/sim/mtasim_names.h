/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTASIM_NAMES_H
#define MTASIM_NAMES_H
/*
 * mtasim_names - exact names (domains, hosts, records) to what stands behind them
 *
 * Owner    the script. Names are borrowed from it. Thread: read-only once filled.
 * Memory   one allocation, sized at create for the number of names that will come.
 */
#include "smtp_types.h"

enum sim_name_kind { SIM_NAME_DOMAIN, SIM_NAME_HOST, SIM_NAME_RECORD };

struct sim_name {
	const char *name;
	size_t len;
	enum sim_name_kind kind;
	uint32_t site; /* position in the script */
	uint32_t item; /* position in the site, or of the record in the script */
};

struct sim_names;

/* NULL: no memory. */
struct sim_names *sim_names_create(size_t max);
void sim_names_destroy(struct sim_names **np);
/* False: such a name of this kind is there already. */
bool sim_names_add(struct sim_names *n, const struct sim_name *name);
/* NULL: none. Case-blind. */
const struct sim_name *sim_names_find(
	const struct sim_names *n, enum sim_name_kind kind, struct smtp_slice name);
#endif
