/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading a policy; see reload.h. */
#include "daemon/reload.h"
#include "core/policy.h"
#include "daemon/background.h"
#include "daemon/log.h"
#include "daemon/textdiff.h"
#include "io/policyfile.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One run. The thread owns it between pthread_create and its write to the eventfd. */
struct job {
	enum reload_kind kind;
	uint32_t seq;
	char *text; /* NULL: the file */
	size_t len;
	const char *config;
	int status;
	struct policy_diag diag;
	struct settings settings;
	void *image;
	size_t size;
	char *print; /* canonical text */
	char *old;   /* DRY: that of the policy in force; NULL: not known */
	char *diff;  /* DRY: NULL: too much */
	struct candidate *candidate;
	char restart[MSG_TEXT];
};

struct reload {
	struct reload_env env;
	int event_fd;
	pthread_t thread;
	bool running;  /* the thread is */
	bool waiting;  /* for MSG_DONE */
	uint32_t sent; /* seq of our MSG_POLICY */
	struct job *job;
};

void candidate_put(struct candidate *c)
{
	if (!c || --c->users)
		return;
	classify_detach(c->classifier);
	free(c->image);
	free(c);
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	policy_diag_deinit(&j->diag);
	candidate_put(j->candidate);
	free(j->text);
	free(j->image);
	free(j->print);
	free(j->old);
	free(j->diff);
	free(j);
}

/* The loader of a policy that came as text: there is that one file and no other. */
static int text_read(void *ctx, const char *from, const char *path, char **data, size_t *len)
{
	const struct job *j = ctx;

	(void)path;
	if (from)
		return -EPERM;
	*data = malloc(j->len + 1);
	if (!*data)
		return -ENOMEM;
	memcpy(*data, j->text, j->len);
	(*data)[j->len] = '\0';
	*len = j->len;
	return 0;
}

static int job_parse(struct job *j, struct policy **p)
{
	const struct policy_loader loader = {.read = text_read, .ctx = j};

	if (j->text)
		return policy_parse(p, "policy", &loader, &j->diag);
	return policyfile_load(j->config, p, &j->diag);
}

/* Something to classify with, and the difference. Takes the image. */
static int job_dry(struct job *j)
{
	struct candidate *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->users = 1;
	j->candidate = c;
	c->image = j->image;
	c->size = j->size;
	j->image = NULL;
	r = classify_attach(&c->classifier, c->image, j->size);
	if (r == 0 && j->old)
		r = textdiff(j->old, j->print, &j->diff);
	return r == -E2BIG ? 0 : r;
}

static void *job_run(void *arg)
{
	struct reload *r = arg;
	struct job *j = r->job;
	struct policy *p = NULL;
	struct background b;
	uint64_t one = 1;

	background_begin(&b);
	j->status = job_parse(j, &p);
	if (j->status == 0)
		j->status = policy_compile(p, &j->image, &j->size);
	if (j->status == 0)
		j->status = policy_print(p, &j->print);
	if (j->status == 0)
		j->settings = *policy_settings(p);
	if (j->status == 0 && j->kind == RELOAD_DRY)
		j->status = job_dry(j);
	policy_free(p);
	background_end(&b);
	/* cannot fail: the counter is 0 */
	if (write(r->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
	return NULL;
}

static void status_text(const struct job *j, const char *config, char *text, size_t size)
{
	if (j->status == -EINVAL)
		snprintf(text, size, "%u error%s in the policy%s", j->diag.errors,
			 j->diag.errors == 1 ? "" : "s",
			 j->kind == RELOAD_LOAD ? ": the old one stays in force" : "");
	else if (j->status == -EACCES)
		snprintf(text, size, "%s: permission denied: pendd's user must be able to read it",
			 config);
	else
		snprintf(text, size, "%s: %s", config, strerror(-j->status));
}

static void job_end(struct reload *r, int status, uint32_t generation, const char *text)
{
	struct job *j = r->job;
	struct reload_result res = {
		.status = status,
		.generation = generation,
		.errors = j->diag.errors,
		.warnings = j->diag.warnings,
		.diagnostics = j->diag.text ? j->diag.text : "",
		.restart = j->restart,
		.diff = j->diff,
		.candidate = j->candidate,
	};

	res.changed = j->candidate &&
		      (j->size != r->env.view->size ||
		       memcmp(j->candidate->image, r->env.view->image, j->size) != 0);
	snprintf(res.text, sizeof(res.text), "%s", text);
	r->job = NULL;
	r->waiting = false;
	r->env.done(r->env.ctx, j->kind, j->seq, &res);
	job_free(j);
}

#define DIFFERS(field) (memcmp(&a->field, &b->field, sizeof(a->field)) != 0)

/* Settings that are looked at once, when the daemon starts. */
static void settings_restart(const struct settings *a, const struct settings *b, char *out,
			     size_t size)
{
	const struct {
		const char *name;
		bool differs;
	} all[] = {
		{"control", strcmp(a->control, b->control) != 0},
		{"control-group", strcmp(a->control_group, b->control_group) != 0},
		{"observe-group", strcmp(a->observe_group, b->observe_group) != 0},
		{"user", strcmp(a->user, b->user) != 0},
		{"queues", DIFFERS(queue_first) || DIFFERS(queue_count)},
		{"mark-mask", DIFFERS(mark_mask)},
		{"hookup", DIFFERS(hookup) || DIFFERS(hooks) || DIFFERS(priority) ||
				   strcmp(a->iptables, b->iptables) != 0},
		{"table", strcmp(a->table, b->table) != 0},
		{"loopback", DIFFERS(loopback)},
		{"multicast", DIFFERS(multicast)},
		{"fail", DIFFERS(fail_open)},
		{"raw", DIFFERS(raw_reinject)},
		{"limits", DIFFERS(max_contexts) || DIFFERS(max_per_source) ||
				   DIFFERS(max_per_service) || DIFFERS(max_packets) ||
				   DIFFERS(max_bytes) || DIFFERS(hold_max) ||
				   DIFFERS(high_watermark_percent) || DIFFERS(kernel_queue) ||
				   DIFFERS(receive_buffer) || DIFFERS(max_clients)},
	};
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].differs && len < size)
			len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "",
						all[i].name);
}

static void job_send(struct reload *r)
{
	struct job *j = r->job;
	struct msg m = {.version = MSG_VERSION, .type = MSG_POLICY, .worker = MSG_MAIN};
	int fd = policyfile_image_text_fd(j->image, j->size, j->print), ret;

	if (fd < 0) {
		job_end(r, fd, 0, "cannot make a memory file for the policy");
		return;
	}
	/* numbers below those of the control server's requests, which have a generation in them */
	m.seq = r->sent = r->sent % 1000 + 1;
	m.u.policy.size = j->size;
	ret = r->env.send(r->env.ctx, &m, fd);
	if (ret != 0) {
		close(fd);
		job_end(r, ret < 0 ? ret : -EAGAIN, 0,
			"the verdict process does not take a policy");
		return;
	}
	r->waiting = true;
}

static void job_finished(void *ctx, uint32_t events)
{
	struct reload *r = ctx;
	struct job *j = r->job;
	char text[MSG_TEXT] = "";
	uint64_t n;

	(void)events;
	if (read(r->event_fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return;
	pthread_join(r->thread, NULL);
	r->running = false;
	if (j->status == 0)
		settings_restart(&r->env.view->settings, &j->settings, j->restart,
				 sizeof(j->restart));
	if (j->status == 0 && j->kind == RELOAD_LOAD) {
		job_send(r);
		return;
	}
	if (j->status != 0)
		status_text(j, r->env.config, text, sizeof(text));
	job_end(r, j->status, 0, text);
}

static void image_free(void *image, size_t size)
{
	(void)size;
	free(image);
}

bool reload_answer(struct reload *r, const struct msg *m)
{
	char text[MSG_TEXT + 1] = {0};
	struct job *j = r->job;

	if (!r->waiting || m->type != MSG_DONE || m->seq != r->sent)
		return false;
	memcpy(text, m->u.done.text, sizeof(m->u.done.text));
	if (m->u.done.status != PEND_OK) {
		job_end(r, -EIO, 0, *text ? text : "the verdict process refused the policy");
		return true;
	}
	/* the settings shown stay those of the start: they are what a restart would change */
	if (view_set(r->env.view, j->image, j->size, image_free, m->u.done.generation) == 0) {
		view_set_text(r->env.view, j->print);
		j->image = j->print = NULL;
	}
	job_end(r, 0, m->u.done.generation, "");
	return true;
}

/* The thread takes no signal: those of the process are read by the loop. */
static int job_spawn(struct reload *r)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&r->thread, NULL, job_run, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	r->running = ret == 0;
	return -ret;
}

int reload_start(struct reload *r, enum reload_kind kind, const char *text, size_t len,
		 uint32_t seq)
{
	struct job *j;
	int ret;

	if (r->job)
		return -EBUSY;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	*j = (struct job){.kind = kind, .seq = seq, .config = r->env.config, .len = len};
	if (text) {
		j->text = malloc(len + 1);
		if (!j->text) {
			job_free(j);
			return -ENOMEM;
		}
		memcpy(j->text, text, len);
		j->text[len] = '\0';
	}
	if (kind == RELOAD_DRY && r->env.view->text) {
		j->old = strdup(r->env.view->text);
		if (!j->old) {
			job_free(j);
			return -ENOMEM;
		}
	}
	r->job = j;
	ret = job_spawn(r);
	if (ret < 0) {
		r->job = NULL;
		job_free(j);
	}
	return ret;
}

int reload_new(struct reload **out, const struct reload_env *env)
{
	struct reload *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return -ENOMEM;
	r->env = *env;
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = r->event_fd < 0 ? -errno : loop_add(env->loop, r->event_fd, EPOLLIN, job_finished, r);
	if (ret < 0) {
		if (r->event_fd >= 0)
			close(r->event_fd);
		free(r);
		return ret;
	}
	*out = r;
	return 0;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	if (r->running)
		pthread_join(r->thread, NULL);
	loop_del(r->env.loop, r->event_fd);
	close(r->event_fd);
	job_free(r->job);
	free(r);
}

static void image_unmap(void *image, size_t size)
{
	policyfile_image_unmap(image, size);
}

int reload_adopt(struct view *v, int fd, uint64_t size, uint32_t generation)
{
	union {
		const void *mapped;
		void *owned;
	} image;
	int ret = policyfile_image_map(fd, size, &image.mapped);
	char *text = NULL;

	if (ret < 0)
		return ret;
	ret = view_set(v, image.owned, size, image_unmap, generation);
	if (ret < 0)
		policyfile_image_unmap(image.mapped, size);
	else if (policyfile_text(fd, size, &text) == 0)
		view_set_text(v, text);
	return ret;
}

int reload_first(struct view *v, const char *config, char *text, size_t size)
{
	struct job j = {.config = config};
	struct policy *p = NULL;

	j.status = job_parse(&j, &p);
	if (j.status == 0) {
		v->settings = *policy_settings(p);
		j.status = policy_compile(p, &j.image, &j.size);
	}
	if (j.status == 0)
		j.status = policy_print(p, &j.print);
	if (j.status == 0)
		j.status = view_set(v, j.image, j.size, image_free, 0);
	if (j.status == 0) {
		v->settings_text = view_settings_block(j.print);
		view_set_text(v, j.print);
	} else {
		free(j.image);
		free(j.print);
		status_text(&j, config, text, size);
	}
	policy_free(p);
	policy_diag_deinit(&j.diag);
	return j.status;
}
