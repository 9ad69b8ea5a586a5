/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ending flows. */
#ifndef DAEMON_REAUTH_END_H
#define DAEMON_REAUTH_END_H

#include "core/mark.h"
#include "io/ct.h"

struct reauth_end; /* its sockets */

/* 0, -ENOMEM or -errno. Needs CAP_NET_ADMIN. */
int reauth_end_open(struct reauth_end **out, const struct mark_layout *marks);
void reauth_end_close(struct reauth_end *e); /* NULL is allowed */
/* 0: nothing more of it passes, also where it was over already. -errno: it goes on. */
int reauth_end_flow(struct reauth_end *e, const struct ct_flow *f);

#endif
