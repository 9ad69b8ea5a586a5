/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies of the verdict process: the first one is read here, all later ones come as images. */
#include "core/policy.h"
#include "daemon/log.h"
#include "daemon/missing.h"
#include "daemon/pendd.h"
#include "io/policyfile.h"
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_diag(const struct policy_diag *diag)
{
	if (diag->text)
		fputs(diag->text, stderr);
}

static int check(struct pendd *d, const struct policy *p)
{
	char *text = NULL;
	int r = missing_warn(p);

	if (r < 0 || !d->opts.verbose)
		return r;
	if (policy_print(p, &text))
		return -ENOMEM;
	fputs(text, stdout);
	free(text);
	return 0;
}

/* The text goes with the image, for the authority process to show; and what it was made of, to be changed. */
static int first_snapshot(struct pendd *d, const void *image, size_t size, const char *text,
			  const struct policyfile_sources *s)
{
	const struct policyfile_bytes part[POLICYFILE_PARTS] = {
		[POLICYFILE_TEXT] = {text, strlen(text)},
		[POLICYFILE_SOURCES] = {s->data, s->lost ? 0 : s->len},
	};
	int fd = policyfile_parts_fd(image, size, part);
	int r;

	if (fd < 0)
		return fd;
	r = snapshot_from_fd(&d->snapshot, fd, size, ++d->generation, d->settings.queue_count);
	close(fd);
	if (!r)
		d->snapshot->loaded_ns = loop_clock().ns;
	return r;
}

int pendd_load_policy(struct pendd *d)
{
	struct policy_diag diag = {0};
	struct policy *p = NULL;
	void *image = NULL;
	char *text = NULL;
	size_t size = 0;
	struct policyfile_sources sources = {0};
	int r = policyfile_load_with(d->opts.config, &sources, NULL, &p, &diag);

	print_diag(&diag);
	if (r && !diag.errors)
		fprintf(stderr, "pendd: %s: %s\n", d->opts.config, strerror(-r));
	policy_diag_deinit(&diag);
	if (r) {
		policyfile_sources_deinit(&sources);
		return r;
	}
	d->settings = *policy_settings(p);
	if (d->opts.mode == OPTS_CHECK)
		r = check(d, p);
	else
		r = policy_compile(p, &image, &size);
	if (!r && d->opts.mode != OPTS_CHECK)
		r = policy_print(p, &text);
	policy_free(p);
	if (!r && d->opts.mode != OPTS_CHECK)
		r = first_snapshot(d, image, size, text, &sources);
	policyfile_sources_deinit(&sources);
	free(text);
	free(image);
	malloc_trim(0); /* a large policy's tree is many times its image, and small pieces */
	return r;
}

bool pendd_swap(struct pendd *d, struct snapshot *s)
{
	bool all = true;

	d->snapshot = s;
	for (unsigned i = 0; i < d->workers; i++) {
		struct mail m = {.type = MAIL_SNAPSHOT, .u.snapshot = s};

		if (worker_mail(&d->worker[i], &m) == 0) {
			s->users++;
			continue;
		}
		log_error("policy", "worker %u did not take the new policy", i);
		all = false;
	}
	return all;
}
