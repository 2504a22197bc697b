/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CONTROL_H
#define MTAD_CONTROL_CONTROL_H
/*
 * control - the daemon's end of the unix socket that mtactl talks to
 *
 * Requests and answers are frames of a versioned codec (control/ctl_proto.h). Who may: root, the daemon's own
 * account and control-users, by the peer credentials of the socket. A slow, huge or garbled client is cut off
 * and stalls nobody.
 *
 * Owner    main. Thread: the main thread; work on the schedule or the spool is done there by calls
 * (queue/letters.h).
 */
#include "app.h"

/* Binds the socket (before root is dropped). NULL and words on failure. */
struct control *control_create(struct app *app, char *why, size_t why_max);
/* Begins to answer. */
bool control_start(struct control *c);
void control_destroy(struct control **cp);
#endif
