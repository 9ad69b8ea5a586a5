/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the policy files share: arena memory, growing text, diagnostics, guesses. */
#include "core/policy_ast.h"
#include "base/str.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK 16384

static struct pol_block *block_new(size_t size)
{
	struct pol_block *b = malloc(sizeof(*b) + size);

	if (b)
		*b = (struct pol_block){NULL, 0, size};
	return b;
}

void *pol_alloc(struct pol_arena *a, size_t size)
{
	struct pol_block *b = a->head;
	void *mem;

	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!b || b->size - b->used < size) {
		b = block_new(size > ARENA_BLOCK ? size : ARENA_BLOCK);
		if (!b)
			return NULL;
		b->next = a->head;
		a->head = b;
	}
	mem = (char *)b->mem + b->used;
	b->used += size;
	return memset(mem, 0, size);
}

char *pol_strndup(struct pol_arena *a, const char *s, size_t len)
{
	char *copy = pol_alloc(a, len + 1);

	if (copy)
		memcpy(copy, s, len);
	return copy;
}

void pol_arena_deinit(struct pol_arena *a)
{
	struct pol_block *b, *next;

	for (b = a->head; b; b = next) {
		next = b->next;
		free(b);
	}
	a->head = NULL;
}

static bool text_room(struct pol_text *t, size_t more)
{
	size_t cap = t->cap ? t->cap : 256;
	char *s;

	if (t->oom)
		return false;
	while (cap < t->len + more + 1)
		cap *= 2;
	if (cap == t->cap)
		return true;
	s = realloc(t->s, cap);
	if (!s) {
		t->oom = true;
		return false;
	}
	t->s = s;
	t->cap = cap;
	return true;
}

void pol_text_addv(struct pol_text *t, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !text_room(t, (size_t)n))
		return;
	vsnprintf(t->s + t->len, t->cap - t->len, fmt, ap);
	t->len += (size_t)n;
}

void pol_text_add(struct pol_text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pol_text_addv(t, fmt, ap);
	va_end(ap);
}

void pol_text_quote(struct pol_text *t, const char *s)
{
	pol_text_add(t, "\"");
	for (; *s; s++)
		pol_text_add(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
	pol_text_add(t, "\"");
}

const char *pol_show(const char *s, char buf[POL_SHOW_MAX])
{
	size_t i;

	for (i = 0; s[i] && i < 60; i++)
		buf[i] = s[i] >= ' ' && s[i] <= '~' ? s[i] : '?';
	if (s[i]) {
		memcpy(buf + i, "...", 3);
		i += 3;
	}
	buf[i] = '\0';
	return buf;
}

/* ------------------------------------------------------------------ diagnostics ---- */

#define DIAG_LINE_MAX 160 /* of the source line, so that a file without newlines stays readable */

/* The line that holds `at`, tabs as one space each; false when its text is not at hand. */
static bool source_line(const struct pol_file *f, const struct pol_loc *at, char buf[DIAG_LINE_MAX],
			size_t *col)
{
	const char *s = f->text, *end = f->text + f->len;
	uint32_t line;
	size_t n, skip = 0;

	if (!s || !at->line)
		return false;
	for (line = 1; line < at->line && s < end; line++) {
		s = memchr(s, '\n', (size_t)(end - s));
		s = s ? s + 1 : end;
	}
	if (at->col > DIAG_LINE_MAX - 40)
		skip = at->col - (DIAG_LINE_MAX - 40);
	for (n = 0; s + n + skip < end && s[n + skip] != '\n' && n < DIAG_LINE_MAX - 1; n++)
		buf[n] = s[n + skip] >= ' ' && s[n + skip] <= '~' ? s[n + skip] : ' ';
	while (n && buf[n - 1] == ' ')
		n--;
	buf[n] = '\0';
	*col = at->col - 1 - skip;
	return true;
}

static void diag_source(struct pol_parser *ps, const struct pol_loc *at)
{
	char line[DIAG_LINE_MAX];
	size_t col, len = at->len ? at->len : 1;

	if (!source_line(&ps->p->files[at->file], at, line, &col))
		return;
	if (len > DIAG_LINE_MAX - col)
		len = DIAG_LINE_MAX - col;
	pol_text_add(&ps->diag, "  %s\n  %*s^", line, (int)col, "");
	while (--len)
		pol_text_add(&ps->diag, "~");
	pol_text_add(&ps->diag, "\n");
}

static void diag_add(struct pol_parser *ps, const struct pol_loc *at, const char *kind,
		     const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));
static void diag_add(struct pol_parser *ps, const struct pol_loc *at, const char *kind,
		     const char *fmt, va_list ap)
{
	pol_text_add(&ps->diag, "%s:", ps->p->files[at->file].name);
	if (at->line && ps->p->files[at->file].one_line)
		pol_text_add(&ps->diag, "%u:", at->col);
	else if (at->line)
		pol_text_add(&ps->diag, "%u:%u:", at->line, at->col);
	pol_text_add(&ps->diag, " %s: ", kind);
	pol_text_addv(&ps->diag, fmt, ap);
	pol_text_add(&ps->diag, "\n");
	diag_source(ps, at);
}

bool pol_error(struct pol_parser *ps, const struct pol_loc *at, const char *fmt, ...)
{
	va_list ap;

	if (pol_stopped(ps))
		return false;
	va_start(ap, fmt);
	diag_add(ps, at, "error", fmt, ap);
	va_end(ap);
	if (++ps->errors == POLICY_MAX_ERRORS)
		pol_text_add(&ps->diag, "%s: error: too many errors, the rest is not shown\n",
			     ps->p->files[0].name);
	return false;
}

void pol_warn(struct pol_parser *ps, const struct pol_loc *at, const char *fmt, ...)
{
	va_list ap;

	if (pol_stopped(ps) || ps->warnings >= POLICY_MAX_ERRORS)
		return;
	va_start(ap, fmt);
	diag_add(ps, at, "warning", fmt, ap);
	va_end(ap);
	ps->warnings++;
}

bool pol_oom(struct pol_parser *ps)
{
	ps->oom = true;
	return false;
}

bool pol_stopped(const struct pol_parser *ps)
{
	return ps->oom || ps->errors >= POLICY_MAX_ERRORS;
}

void policy_diag_deinit(struct policy_diag *d)
{
	free(d->text);
	*d = (struct policy_diag){0};
}

/* ---------------------------------------------------------------------- guesses ---- */

struct pol_guess pol_guess_for(const char *word)
{
	size_t len = strlen(word);

	/* Half of a short word may be wrong by accident: then there is nothing to suggest. */
	return (struct pol_guess){word, NULL, len < 5 ? 1 : len < 8 ? 2 : 3};
}

void pol_guess_try(struct pol_guess *g, const char *candidate)
{
	unsigned d = str_distance(g->word, candidate, g->distance);
	size_t len = strlen(g->word), other = strlen(candidate);

	if (d >= (len > other ? len : other)) /* they have nothing in common */
		return;
	if (d && d < g->distance + (g->best == NULL)) {
		g->best = candidate;
		g->distance = d;
	}
}

bool pol_unknown(struct pol_parser *ps, const struct pol_loc *at, const char *what,
		 const char *word, const char *best)
{
	char show[POL_SHOW_MAX];

	pol_show(word, show);
	if (best)
		return pol_error(ps, at, "unknown %s \"%s\", did you mean \"%s\"?", what, show,
				 best);
	return pol_error(ps, at, "unknown %s \"%s\"", what, show);
}

/* ------------------------------------------------------------------------ files ---- */

uint32_t pol_file_add(struct policy *p, const char *name, char *text, size_t len)
{
	char *copy = pol_strndup(&p->arena, name, strlen(name));
	struct pol_file *files;

	if (copy && p->nfiles == p->capfiles) {
		files = realloc(p->files, (p->capfiles + 16) * sizeof(*files));
		if (!files) {
			copy = NULL;
		} else {
			p->files = files;
			p->capfiles += 16;
		}
	}
	if (!copy) {
		free(text);
		return UINT32_MAX;
	}
	p->files[p->nfiles] = (struct pol_file){copy, text, len, false};
	return p->nfiles++;
}

char *pol_path(struct pol_arena *a, const char *from, const char *path)
{
	const char *slash = from && path[0] != '/' ? strrchr(from, '/') : NULL;
	size_t dir = slash ? (size_t)(slash - from) + 1 : 0, len = strlen(path);
	char *s = pol_alloc(a, dir + len + 1);

	if (s) {
		if (dir)
			memcpy(s, from, dir);
		memcpy(s + dir, path, len);
	}
	return s;
}
