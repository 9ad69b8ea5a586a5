/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A control server whose outside world swallows everything, for the fuzz targets. */
#ifndef TESTS_CONTROL_FAKE_H
#define TESTS_CONTROL_FAKE_H

#include "core/policy.h"
#include "daemon/askers.h"
#include "daemon/control.h"
#include "daemon/ids.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_POSTED 64

struct fake_control {
	struct loop *loop;
	struct view view;
	struct events *events;
	struct askers *askers;
	struct control *control;
	struct control_client *client;
	struct msg posted[FAKE_POSTED]; /* the last ones, for answers that fit */
	unsigned nposted;
	uint32_t reload_seq;
	enum reload_kind reload_kind;
	bool closed;
};

static inline int fake_post(void *ctx, unsigned worker, const struct msg *m)
{
	struct fake_control *f = ctx;

	(void)worker;
	f->posted[f->nposted++ % FAKE_POSTED] = *m;
	return 0;
}

static inline int fake_reload(void *ctx, enum reload_kind kind, const char *text, size_t len,
			      uint32_t seq)
{
	struct fake_control *f = ctx;

	(void)text;
	(void)len;
	f->reload_seq = seq;
	f->reload_kind = kind;
	return 0;
}

static inline void fake_follow(void *ctx, uint32_t mask)
{
	(void)ctx;
	(void)mask;
}

static inline void fake_figures(void *ctx, json_t *status)
{
	(void)ctx;
	(void)status;
}

/* Whatever goes out is one line of JSON without a byte that a terminal would obey. */
static inline void fake_write(void *client, const char *line, size_t len)
{
	json_t *v = json_loadb(line, len, 0, NULL);

	(void)client;
	if (!v || line[len - 1] != '\n')
		abort();
	for (size_t i = 0; i + 1 < len; i++)
		if ((unsigned char)line[i] < 0x20)
			abort();
	json_decref(v);
}

static inline bool fake_backlogged(void *client)
{
	(void)client;
	return false;
}

static inline void fake_close(void *client)
{
	((struct fake_control *)client)->closed = true;
}

static inline int fake_load(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	static const char text[] = "authority ops { type operator; timeout 9s }\n"
				   "authority idp { type socket; on-absent wait }\n"
				   "layer guard { weight 9; permit mark !7 log\n default block }\n"
				   "layer default {\n\tpermit proto icmp icmp-type 8\n"
				   "\tpend proto tcp from !10.0.0.0/8 to port 22 in eth* ask ops\n"
				   "\tpend proto udp hook forward out ppp0\n}\n";

	(void)ctx;
	(void)from;
	(void)path;
	*data = strdup(text);
	*len = sizeof(text) - 1;
	return *data ? 0 : -ENOMEM;
}

/* The policy in force of every run: compiled once, never freed. */
static inline const struct view *fake_policy(void)
{
	static const struct policy_loader loader = {.read = fake_load};
	static struct view view;
	struct policy_diag diag;
	struct policy *p;

	if (view.classifier)
		return &view;
	if (policy_parse(&p, "/etc/pend/pend.conf", &loader, &diag) < 0 ||
	    policy_compile(p, &view.image, &view.size) < 0 || policy_print(p, &view.text) < 0 ||
	    classify_attach(&view.classifier, view.image, view.size) < 0)
		abort();
	policy_diag_deinit(&diag);
	policy_free(p);
	view.settings_text = view_settings_block(view.text);
	view.generation = 1;
	view.if_fd = -1;
	return &view;
}

/* A context of the number's slot was pended for the authority that programs serve, or is gone. */
static inline void fake_question(struct fake_control *f, unsigned number)
{
	struct pend_info i = {
		.context = ids_make(0, number % 16, 1),
		.family = 4,
		.protocol = 6,
		.dest_port = 22,
		.deadline_ns = mono_add(loop_now(f->loop), 9 * MONO_NS_PER_S).ns,
		.tag = MSG_TAG(f->view.generation, view_authority_find(&f->view, "idp"))};

	if (number % 4)
		askers_question(f->askers, &i);
	else
		ask_gone(askers_ask(f->askers), i.context);
}

static inline void fake_open(struct fake_control *f)
{
	struct askers_env ask = {
		.ctx = f, .view = &f->view, .workers = 2, .max_questions = 16, .post = fake_post};
	struct control_env env = {
		.ctx = f,
		.workers = 2,
		.config = "/etc/pend/pend.conf",
		.view = &f->view,
		.post = fake_post,
		.reload = fake_reload,
		.follow = fake_follow,
		.figures = fake_figures,
		.write = fake_write,
		.backlogged = fake_backlogged,
		.close = fake_close,
	};

	memset(f, 0, sizeof(*f));
	f->view = *fake_policy();
	f->view.serial = 1;
	if (loop_new(&f->loop) < 0 || events_new(&f->events) < 0)
		abort();
	env.loop = ask.loop = f->loop;
	env.events = f->events;
	if (askers_new(&f->askers, &ask) < 0)
		abort();
	askers_policy(f->askers);
	env.ask = askers_ask(f->askers);
	if (control_new(&f->control, &env) < 0)
		abort();
	f->client = control_open(f->control, f, ROLE_ADMIN, 0);
	if (!f->client)
		abort();
}

/* What was asked to be loaded was; a dry run compiles the policy in force again. */
static inline void fake_reloaded(struct fake_control *f)
{
	static struct candidate same;
	struct reload_result res = {.diagnostics = "p:1: error\n", .restart = "", .diff = "+a\n"};
	uint32_t seq = f->reload_seq;

	if (!seq)
		return;
	f->reload_seq = 0;
	same.classifier = f->view.classifier;
	same.users = 1u << 30; /* it is never freed */
	if (f->reload_kind == RELOAD_DRY)
		res.candidate = &same;
	control_reloaded(f->control, seq, &res);
}

static inline void fake_shut(struct fake_control *f)
{
	control_closed(f->client);
	control_free(f->control);
	askers_free(f->askers);
	events_free(f->events);
	loop_free(f->loop);
}

#endif
