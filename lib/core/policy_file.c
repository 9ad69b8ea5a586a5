/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of a policy: the first one, what it includes, and the policy as a whole. */
#include "core/policy_ast.h"
#include "core/policy_overlay.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------- include ---- */

/* Parse one more file in the middle of this one; the place in this one is kept. */
static bool include_text(struct pol_parser *ps, uint32_t file, enum pol_block_kind block,
			 struct pol_layer *layer)
{
	struct pol_lexer lx = ps->lx;
	struct pol_token tok = ps->tok;
	unsigned depth = ps->depth;

	ps->stack[ps->nstack++] = file;
	pol_lex_init(&ps->lx, file, ps->p->files[file].text, ps->p->files[file].len);
	ps->depth = 0;
	ps->tok.type = TOK_SEMI;
	pol_advance(ps);
	pol_parse_block(ps, block, layer);
	ps->nstack--;
	ps->lx = lx;
	ps->tok = tok;
	ps->depth = depth;
	return !pol_stopped(ps);
}

static bool include_checks(struct pol_parser *ps, const struct pol_loc *at, const char *name)
{
	unsigned i;

	for (i = 0; i < ps->nstack; i++)
		if (!strcmp(ps->p->files[ps->stack[i]].name, name))
			return pol_error(ps, at, "\"%s\" includes itself", name);
	if (ps->nstack == POLICY_DEPTH_MAX)
		return pol_error(ps, at, "files include each other more than %d deep",
				 POLICY_DEPTH_MAX);
	if (ps->p->nfiles >= POLICY_FILES_MAX)
		return pol_error(ps, at, "more than %d files", POLICY_FILES_MAX);
	return true;
}

static bool include_file(struct pol_parser *ps, const struct pol_loc *at, const char *path,
			 enum pol_block_kind block, struct pol_layer *layer)
{
	const char *from = ps->p->files[at->file].name;
	char *name = pol_path(&ps->tmp, from, path), *text = NULL, show[POL_SHOW_MAX];
	size_t len = 0;
	uint32_t file;
	int err;

	if (!name)
		return pol_oom(ps);
	if (!include_checks(ps, at, name))
		return false;
	err = ps->loader->read(ps->loader->ctx, from, path, &text, &len);
	if (err)
		return pol_error(ps, at, "cannot read \"%s\": %s", pol_show(name, show),
				 strerror(-err));
	if (len > POLICY_FILE_MAX) {
		free(text);
		return pol_error(ps, at, "\"%s\" is larger than 16 MiB", pol_show(name, show));
	}
	file = pol_file_add(ps->p, name, text, len);
	return file == UINT32_MAX ? pol_oom(ps) : include_text(ps, file, block, layer);
}

static bool include_glob(struct pol_parser *ps, const struct pol_loc *at, const char *pattern,
			 enum pol_block_kind block, struct pol_layer *layer)
{
	const char *from = ps->p->files[at->file].name;
	char **paths = NULL, show[POL_SHOW_MAX];
	size_t n = 0, i;
	int err;

	if (!ps->loader->glob)
		return pol_error(ps, at, "patterns cannot be included here");
	err = ps->loader->glob(ps->loader->ctx, from, pattern, &paths, &n);
	if (err)
		return pol_error(ps, at, "cannot list \"%s\": %s", pol_show(pattern, show),
				 strerror(-err));
	for (i = 0; i < n; i++) {
		if (!pol_stopped(ps))
			include_file(ps, at, paths[i], block, layer);
		free(paths[i]);
	}
	free(paths);
	return true;
}

bool pol_parse_include(struct pol_parser *ps, enum pol_block_kind block, struct pol_layer *layer)
{
	struct pol_loc loc;
	const char *path;

	pol_advance(ps);
	path = pol_string(ps, "the path of a file as a string", &loc);
	if (!path || !pol_end(ps, "the path"))
		return false;
	/* An error in there was reported; this statement itself is over, so: true. */
	if (strpbrk(path, "*?["))
		include_glob(ps, &loc, path, block, layer);
	else
		include_file(ps, &loc, path, block, layer);
	return true;
}

/* ------------------------------------------------------------------- the policy ---- */

static int parse_first(struct pol_parser *ps, const char *path)
{
	char *text = NULL, show[POL_SHOW_MAX];
	size_t len = 0;
	uint32_t file;
	int err = ps->loader->read(ps->loader->ctx, NULL, path, &text, &len);

	if (err) {
		pol_text_add(&ps->diag, "%s: error: cannot read: %s\n", pol_show(path, show),
			     strerror(-err));
		ps->errors++;
		return err;
	}
	file = pol_file_add(ps->p, path, text, len);
	if (file == UINT32_MAX)
		return -ENOMEM;
	if (len > POLICY_FILE_MAX) {
		pol_error(ps, &(struct pol_loc){0}, "file is larger than 16 MiB");
		return -EINVAL;
	}
	include_text(ps, file, POL_BLOCK_TOP, NULL);
	return 0;
}

/* Names of files stand in messages as they are; a terminal must not obey them. */
static void clean(struct pol_text *t)
{
	size_t i;

	for (i = 0; i < t->len; i++)
		if (((unsigned char)t->s[i] < ' ' && t->s[i] != '\n') || t->s[i] == 0x7f)
			t->s[i] = '?';
}

static void parse_finish(struct pol_parser *ps, struct policy_diag *diag)
{
	uint32_t i;

	for (i = 0; i < ps->p->nfiles; i++) {
		free(ps->p->files[i].text);
		ps->p->files[i].text = NULL;
	}
	pol_arena_deinit(&ps->tmp);
	clean(&ps->diag);
	if (diag) {
		*diag = (struct policy_diag){ps->diag.s, ps->diag.len, ps->errors, ps->warnings};
		return;
	}
	free(ps->diag.s);
}

int policy_parse_with(struct policy **out, const char *path, const struct policy_loader *loader,
		      const struct policy_overlay *overlay, struct policy_diag *diag)
{
	struct pol_parser ps = {
		.loader = loader, .overlay = overlay, .p = calloc(1, sizeof(*ps.p))};
	int err;

	if (diag)
		*diag = (struct policy_diag){0};
	if (!ps.p)
		return -ENOMEM;
	settings_init(&ps.p->settings);
	err = parse_first(&ps, path);
	if (!err && !ps.errors)
		pol_overlay_rules(&ps);
	if (!err && !pol_stopped(&ps))
		pol_check(&ps);
	if (!err && !ps.errors)
		pol_overlay_finish(&ps);
	parse_finish(&ps, diag);
	if (ps.oom || ps.diag.oom)
		err = -ENOMEM;
	if (!err && ps.errors)
		err = -EINVAL;
	if (err)
		policy_free(ps.p);
	else
		*out = ps.p;
	return err;
}

int policy_parse(struct policy **out, const char *path, const struct policy_loader *loader,
		 struct policy_diag *diag)
{
	return policy_parse_with(out, path, loader, NULL, diag);
}

void policy_free(struct policy *p)
{
	struct pol_set *s;
	uint32_t i;

	if (!p)
		return;
	for (s = p->sets; s; s = s->next)
		pol_ranges_deinit(&s->ranges);
	for (s = p->countries; s; s = s->next)
		pol_ranges_deinit(&s->ranges);
	for (i = 0; i < p->nfiles; i++)
		free(p->files[i].text);
	free(p->files);
	pol_arena_deinit(&p->arena);
	free(p);
}

const struct settings *policy_settings(const struct policy *p)
{
	return &p->settings;
}
