/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A control server for the fuzz targets: the fake of the tests, with one client and programs that answer. */
#ifndef TESTS_CONTROL_FUZZ_H
#define TESTS_CONTROL_FUZZ_H

#include "daemon/askers.h"
#include "daemon/ids.h"
#include "tests/unit/control_fake.h"

struct fuzz_control {
	struct fake_control fake; /* first: the context of all that it does */
	struct fake_client *out;
	struct askers *askers;
	struct control_client *client;
	uint32_t reload_seq;
	enum reload_kind reload_kind;
};

static inline int fuzz_reload(void *ctx, enum reload_kind kind, const char *text, size_t len,
			      uint32_t seq)
{
	struct fuzz_control *f = ctx;

	(void)text;
	(void)len;
	f->reload_seq = seq;
	f->reload_kind = kind;
	return 0;
}

static inline void fuzz_figures(void *ctx, json_t *status)
{
	(void)ctx;
	(void)status;
}

/* Whatever goes out is one line of JSON without a byte that a terminal would obey. */
static inline void fuzz_write(void *client, const char *line, size_t len)
{
	json_t *v = json_loadb(line, len, 0, NULL);

	(void)client;
	FAKE_CHECK(v && line[len - 1] == '\n');
	for (size_t i = 0; i + 1 < len; i++)
		FAKE_CHECK((unsigned char)line[i] >= 0x20);
	json_decref(v);
}

/* The policy in force of every run: compiled once, never freed. */
static inline const struct view *fuzz_policy(void)
{
	static struct view view;
	struct policy *p;

	if (view.classifier)
		return &view;
	p = fake_parse("authority ops { type operator; timeout 9s }\n"
		       "authority idp { type socket; on-absent wait }\n"
		       "layer guard { weight 9; permit mark !7 log\n default block }\n"
		       "layer default {\n\tpermit proto icmp icmp-type 8\n"
		       "\tpend proto tcp from !10.0.0.0/8 to port 22 in eth* ask ops\n"
		       "\tpend proto udp hook forward out ppp0\n}\n");
	FAKE_CHECK(policy_compile(p, &view.image, &view.size) == 0);
	FAKE_CHECK(policy_print(p, &view.text) == 0);
	FAKE_CHECK(classify_attach(&view.classifier, view.image, view.size) == 0);
	policy_free(p);
	view.settings_text = view_settings_block(view.text);
	view.generation = 1;
	view.if_fd = -1;
	return &view;
}

/* A context of the number's slot was pended for the authority that programs serve, or is gone. */
static inline void fuzz_question(struct fuzz_control *f, unsigned number)
{
	const struct view *view = &f->fake.view;
	struct pend_info i = {.context = ids_make(0, number % 16, 1),
			      .family = 4,
			      .protocol = 6,
			      .dest_port = 22,
			      .deadline_ns = mono_add(loop_now(f->fake.loop), 9 * MONO_NS_PER_S).ns,
			      .tag = MSG_TAG(view->generation, view_authority_find(view, "idp"))};

	if (number % 4)
		askers_question(f->askers, &i);
	else
		ask_gone(askers_ask(f->askers), i.context);
}

static inline void fuzz_open(struct fuzz_control *f)
{
	static struct fake_client out;
	struct askers_env ask = {.ctx = &f->fake,
				 .view = &f->fake.view,
				 .workers = 2,
				 .max_questions = 16,
				 .post = fake_post};
	struct control_env env;

	memset(f, 0, sizeof(*f));
	f->out = &out;
	f->fake.view = *fuzz_policy();
	f->fake.view.serial = 1;
	FAKE_CHECK(loop_new(&f->fake.loop) == 0);
	FAKE_CHECK(events_new(&f->fake.events) == 0);
	ask.loop = f->fake.loop;
	FAKE_CHECK(askers_new(&f->askers, &ask) == 0);
	askers_policy(f->askers);
	env = fake_env(&f->fake, 2);
	env.ctx = f;
	env.reload = fuzz_reload;
	env.figures = fuzz_figures;
	env.write = fuzz_write;
	env.ask = askers_ask(f->askers);
	FAKE_CHECK(control_new(&f->fake.control, &env) == 0);
	f->client = fake_open(&f->fake, f->out, ROLE_ADMIN, 0);
}

/* What was asked to be loaded was; a dry run compiles the policy in force again. */
static inline void fuzz_reloaded(struct fuzz_control *f)
{
	static struct candidate same;
	struct reload_result res = {.diagnostics = "p:1: error\n", .restart = "", .diff = "+a\n"};
	uint32_t seq = f->reload_seq;

	if (!seq)
		return;
	f->reload_seq = 0;
	same.classifier = f->fake.view.classifier;
	same.users = 1u << 30; /* it is never freed */
	if (f->reload_kind == RELOAD_DRY)
		res.candidate = &same;
	control_reloaded(f->fake.control, seq, &res);
}

static inline void fuzz_shut(struct fuzz_control *f)
{
	control_closed(f->client);
	control_free(f->fake.control);
	askers_free(f->askers);
	events_free(f->fake.events);
	loop_free(f->fake.loop); /* the policy stays */
}

#endif
