/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ending flows. See reauth_end.h, and reauth.h for how each kind is ended. */
#include "daemon/reauth_end.h"
#include "io/sockdestroy.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROTO_TCP = 6 };

struct reauth_end {
	struct mark_layout marks;
	struct ct *ct;
	int diag; /* negative: not in this kernel */
};

int reauth_end_open(struct reauth_end **out, const struct mark_layout *marks)
{
	struct reauth_end *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->marks = *marks;
	r = ct_open(&e->ct);
	if (r) {
		free(e);
		return r;
	}
	e->diag = sockdestroy_open();
	*out = e;
	return 0;
}

void reauth_end_close(struct reauth_end *e)
{
	if (!e)
		return;
	if (e->diag >= 0)
		close(e->diag);
	ct_close(e->ct);
	free(e);
}

/*
 * Conntrack keeps the flow, so that the hookup knows it for one that was ended, whoever speaks next. Without marks
 * by netlink it is forgotten: the peer's next packet is in the middle of nothing, or opens a flow.
 */
static int block(struct reauth_end *e, const struct ct_flow *f)
{
	int r = ct_set_mark(e->ct, &f->orig, mark_blocked(&e->marks), e->marks.mask);

	return r && r != -ENOENT ? ct_delete(e->ct, &f->orig) : r;
}

int reauth_end_flow(struct reauth_end *e, const struct ct_flow *f)
{
	/* The mark first: nothing more of it passes, whatever happens to the socket. */
	int r = block(e, f);

	if (f->orig.proto == PROTO_TCP && e->diag >= 0 && !sockdestroy_tcp(e->diag, &f->seen))
		return 0;
	return r == -ENOENT ? 0 : r;
}
