/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making a policy; see reload.h. */
#include "daemon/reload.h"
#include "core/policy.h"
#include "daemon/background.h"
#include "daemon/journal.h"
#include "daemon/log.h"
#include "daemon/textdiff.h"
#include "io/policylookup.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RESTART_TEXT 256 /* has the names of all settings that a restart takes */

/* One run. The thread owns it between pthread_create and its write to the eventfd. */
struct job {
	enum reload_kind kind;
	bool files;
	char *text; /* NULL: no text of its own */
	size_t len;
	const char *config;
	const struct policyfile_sources *in_force;
	struct policyfile_sources sources; /* what was read now, or is in force and was added to */
	struct overlay *overlay;
	struct overlay_plan plan;
	char *journal; /* LOAD: goes with the image */
	size_t journal_len;
	int status;
	struct policy_diag diag;
	struct settings settings;
	void *image;
	size_t size;
	struct classifier *classifier; /* LOAD: for the view */
	int fd;                        /* LOAD: for the verdict process; -1: none */
	char *print;                   /* canonical text */
	char *old;                     /* DRY: that of the policy in force; NULL: not known */
	char *diff;                    /* DRY: NULL: too much */
	struct candidate *candidate;
	char restart[RESTART_TEXT];
};

struct reload {
	struct reload_env env;
	int event_fd;
	pthread_t thread;
	bool running;                      /* the thread is */
	bool waiting;                      /* for MSG_DONE */
	uint32_t sent;                     /* seq of our MSG_POLICY */
	struct policyfile_sources sources; /* of the policy in force */
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
	policyfile_sources_deinit(&j->sources);
	overlay_plan_deinit(&j->plan);
	free(j->journal);
	overlay_put(j->overlay);
	candidate_put(j->candidate);
	classify_detach(j->classifier);
	if (j->fd >= 0)
		close(j->fd);
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

static int job_parse_again(struct job *j, struct policy **p)
{
	int r = policyfile_sources_copy(&j->sources, j->in_force);

	return r < 0 ? r : policyfile_load_again(&j->sources, &j->plan.overlay, p, &j->diag);
}

static int job_parse(struct job *j, struct policy **p)
{
	struct policy_loader loader = {.read = text_read, .ctx = j};

	policylookup_init(&loader);
	if (j->text)
		return policy_parse(p, "policy", &loader, &j->diag);
	if (j->files)
		return policyfile_load_with(j->config, &j->sources, &j->plan.overlay, p, &j->diag);
	return job_parse_again(j, p);
}

/* What was looked up besides may be lost; what is in force is not for that. */
static bool job_has_sources(const struct job *j)
{
	return j->files || !j->sources.lost;
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

/* The image, and all that another authority process needs to carry on. The descriptor or -errno. */
static int job_file(struct job *j)
{
	const struct policyfile_sources *from = job_has_sources(j) ? &j->sources : j->in_force;
	struct policyfile_bytes part[POLICYFILE_PARTS] = {{0}};
	char *overlay = NULL;
	int ret = 0;

	part[POLICYFILE_TEXT] = (struct policyfile_bytes){j->print, strlen(j->print)};
	part[POLICYFILE_JOURNAL] = (struct policyfile_bytes){j->journal, j->journal_len};
	if (!from->lost)
		part[POLICYFILE_SOURCES] = (struct policyfile_bytes){from->data, from->len};
	if (j->overlay)
		ret = overlay_settle(j->overlay, &j->plan);
	if (ret == 0 && j->overlay)
		ret = overlay_flatten(j->overlay, &overlay, &part[POLICYFILE_OVERLAY].len);
	part[POLICYFILE_OVERLAY].data = overlay;
	if (ret == 0)
		ret = policyfile_parts_fd(j->image, j->size, part);
	free(overlay);
	return ret;
}

/* All that takes its time, so that nothing is left to the thread that answers. */
static int job_load(struct job *j)
{
	int r = classify_attach(&j->classifier, j->image, j->size);

	if (r == 0)
		j->fd = job_file(j);
	return r;
}

static void *job_run(void *arg)
{
	struct reload *r = arg;
	struct job *j = r->job;
	struct policy *p = NULL;
	struct background b;
	uint64_t one = 1;

	background_begin(&b, BACKGROUND_PATIENCE_MS);
	j->status = job_parse(j, &p);
	if (j->status == 0)
		j->status = policy_compile(p, &j->image, &j->size);
	if (j->status == 0)
		j->status = policy_print(p, &j->print);
	if (j->status == 0)
		j->settings = *policy_settings(p);
	if (j->status == 0)
		j->status = j->kind == RELOAD_DRY    ? job_dry(j)
			    : j->kind == RELOAD_LOAD ? job_load(j)
						     : 0;
	policy_free(p);
	background_end(&b);
	/* cannot fail: the counter is 0 */
	if (write(r->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
	return NULL;
}

/* "object 17:23: error: unknown set" among the lines: what is wrong with which rule of run time. */
static bool object_text(const struct job *j, char *text, size_t size)
{
	const char *p = j->diag.text;
	unsigned number;
	int skip;

	for (; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		const char *error = strstr(p, " error: "), *end = strchrnul(p, '\n');

		skip = 0;
		if (sscanf(p, "object %u:%n", &number, &skip) != 1 || !skip || !error ||
		    error > end)
			continue;
		snprintf(text, size, "object %u: %.*s: remove it with \"pendctl policy delete %u\"",
			 number, (int)(end - error - 8 > 100 ? 100 : end - error - 8), error + 8,
			 number);
		return true;
	}
	return false;
}

static void status_text(const struct job *j, const char *config, char *text, size_t size)
{
	const char *stays = j->kind == RELOAD_LOAD ? ": the old one stays in force" : "";

	if (j->status == -EINVAL && object_text(j, text, size))
		return;
	if (j->status == -EINVAL)
		snprintf(text, size, "%u error%s in the policy%s", j->diag.errors,
			 j->diag.errors == 1 ? "" : "s", stays);
	else if (j->status == -ENODATA)
		snprintf(text, size,
			 "the files of the policy in force are not known: reload it first");
	else if (j->status == -EACCES)
		snprintf(text, size, "%s: permission denied: pendd's user must be able to read it",
			 config);
	else
		snprintf(text, size, "%s: %s%s", config, strerror(-j->status), stays);
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
	r->env.done(r->env.ctx, j->kind, &res);
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
		{"kernel-decisions", DIFFERS(kernel_decisions)},
		{"track-established", DIFFERS(track_established)},
		{"reauthorize", DIFFERS(reauthorize)},
		{"on-limit", DIFFERS(on_limit)},
		{"on-malformed", DIFFERS(on_malformed)},
		{"on-stop", DIFFERS(on_stop)},
		{"state", strcmp(a->state, b->state) != 0},
		{"history", DIFFERS(history) || DIFFERS(history_keep) || DIFFERS(history_max)},
		{"busy-poll", DIFFERS(busy_poll)},
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
	int fd = j->fd, ret;

	j->fd = -1;
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
	view_take(r->env.view, j->classifier, j->image, j->size, image_free, m->u.done.generation);
	view_set_text(r->env.view, j->print);
	j->classifier = NULL;
	j->image = j->print = NULL;
	if (job_has_sources(j)) {
		policyfile_sources_deinit(&r->sources);
		r->sources = j->sources;
		j->sources = (struct policyfile_sources){0};
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

bool reload_busy(const struct reload *r)
{
	return r->job != NULL;
}

static int job_fill(struct job *j, const struct reload *r, const struct reload_input *in)
{
	*j = (struct job){
		.kind = in->kind,
		.files = in->files,
		.config = r->env.config,
		.in_force = &r->sources,
		.len = in->len,
		.fd = -1,
	};
	if (in->text) {
		j->text = malloc(in->len + 1);
		if (!j->text)
			return -ENOMEM;
		memcpy(j->text, in->text, in->len);
		j->text[in->len] = '\0';
	}
	if (in->kind == RELOAD_DRY && r->env.view->text) {
		j->old = strdup(r->env.view->text);
		if (!j->old)
			return -ENOMEM;
	}
	if (in->kind == RELOAD_LOAD && r->env.journal &&
	    r->env.journal(r->env.ctx, &j->journal, &j->journal_len) < 0)
		return -ENOMEM;
	if (!in->overlay)
		return 0;
	j->overlay = in->overlay;
	j->overlay->users++;
	return overlay_plan(j->overlay, &j->plan);
}

int reload_start(struct reload *r, const struct reload_input *in)
{
	struct job *j;
	int ret;

	if (r->job)
		return -EBUSY;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->fd = -1;
	ret = job_fill(j, r, in);
	if (ret == 0) {
		r->job = j;
		ret = job_spawn(r);
	}
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
	policyfile_sources_deinit(&r->sources);
	free(r);
}

static void image_unmap(void *image, size_t size)
{
	policyfile_image_unmap(image, size);
}

static void adopt_sources(struct reload *r, int fd, uint64_t size)
{
	char *data = NULL;
	size_t len = 0;

	if (policyfile_part(fd, size, POLICYFILE_SOURCES, &data, &len) < 0)
		return;
	if (!policyfile_sources_valid(data, len)) {
		free(data);
		return;
	}
	policyfile_sources_deinit(&r->sources);
	r->sources = (struct policyfile_sources){.data = data, .len = len, .cap = len};
}

int reload_adopt_changes(int fd, uint64_t size, struct overlay **overlay, struct journal *journal)
{
	struct overlay *o = NULL;
	char *data = NULL;
	size_t len = 0;
	int ret = 0;

	if (policyfile_part(fd, size, POLICYFILE_OVERLAY, &data, &len) == 0)
		ret = overlay_unflatten(&o, data, len);
	free(data);
	if (o) {
		overlay_put(*overlay);
		*overlay = o;
	}
	data = NULL;
	if (policyfile_part(fd, size, POLICYFILE_JOURNAL, &data, &len) == 0)
		journal_unflatten(journal, data, len);
	free(data);
	return ret;
}

int reload_adopt(struct reload *r, int fd, uint64_t size, uint32_t generation,
		 struct overlay **overlay, struct journal *journal)
{
	struct view *v = r->env.view;
	union {
		const void *mapped;
		void *owned;
	} image;
	int ret = policyfile_image_map(fd, size, &image.mapped);
	char *text = NULL;

	if (ret < 0)
		return ret;
	ret = view_set(v, image.owned, size, image_unmap, generation);
	if (ret < 0) {
		policyfile_image_unmap(image.mapped, size);
		return ret;
	}
	if (policyfile_text(fd, size, &text) == 0)
		view_set_text(v, text);
	adopt_sources(r, fd, size);
	return reload_adopt_changes(fd, size, overlay, journal);
}

int reload_settings(struct reload *r)
{
	struct view *v = r->env.view;
	char *block = v->text ? view_settings_block(v->text) : NULL;
	struct job j = {.text = block, .len = block ? strlen(block) : 0};
	struct policy *p = NULL;

	if (!block)
		return -ENOENT;
	j.status = job_parse(&j, &p);
	if (j.status == 0) {
		v->settings = *policy_settings(p);
		free(v->settings_text);
		v->settings_text = block;
	} else {
		free(block);
	}
	policy_free(p);
	policy_diag_deinit(&j.diag);
	return j.status;
}

int reload_first(struct reload *r, char *text, size_t size)
{
	struct view *v = r->env.view;
	struct job j = {.config = r->env.config, .files = true};
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
		r->sources = j.sources;
		j.sources = (struct policyfile_sources){0};
	} else {
		free(j.image);
		free(j.print);
		status_text(&j, r->env.config, text, size);
	}
	policyfile_sources_deinit(&j.sources);
	policy_free(p);
	policy_diag_deinit(&j.diag);
	return j.status;
}
