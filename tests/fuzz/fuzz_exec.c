/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What programs of `type exec; mode stay` say, in pieces of any size, with questions open: each question is answered at
 * most once, and all of them are over in the end. And the splitting of commands. The input: a byte of how many
 * questions, a byte of the pieces' size, then what is said.
 */
#include "agents/exec.h"
#include "../unit/agent_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUESTIONS_MAX 8

static void split(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), **argv = NULL;
	int n = text ? exec_split(text, &argv) : -1;

	if (n > 0 && (!argv[0] || argv[n]))
		abort();
	if (n > 0)
		exec_split_free(argv);
	free(text);
}

static void ask(struct fake_agent *a, struct exec *x, struct exec_child *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char id[8];
		struct exec_work *w;

		snprintf(id, sizeof(id), "a0.%u", i);
		w = exec_work_new(x, fake_question(a, id, 1000));
		exec_work_take(w, c);
	}
}

static void say(struct exec_child *c, const uint8_t *data, size_t size, size_t piece)
{
	while (size && !c->lost) { /* nothing is read of one that is */
		size_t n = size < piece ? size : piece, room = sizeof(c->line) - c->len;

		n = n < room ? n : room;
		if (!n)
			abort(); /* a full line was not given up */
		memcpy(c->line + c->len, data, n);
		c->len += n;
		data += n;
		size -= n;
		exec_stay_lines(c);
	}
}

static void check(const struct fake_agent *a)
{
	for (unsigned i = 0; i < a->nanswers; i++)
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(a->answers[i].id, a->answers[j].id))
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "/bin/x", *argv[] = {name, NULL};
	static struct fake_agent a;
	struct exec x = {.agent = &a.agent, .argv = argv, .max = 1};
	struct exec_child *c;
	unsigned n;

	if (size < 2)
		return 0;
	n = data[0] % (QUESTIONS_MAX + 1);
	split(data + 2, size - 2);
	fake_init(&a);
	list_init(&x.children);
	list_init(&x.waiting);
	c = exec_child_new(&x, NULL);
	if (!c)
		return 0;
	ask(&a, &x, c, n);
	say(c, data + 2, size - 2, 1 + data[1]);
	check(&a);
	while (exec_work_first(c))
		exec_work_end(exec_work_first(c), PEND_CLIENT_ANSWER_ERROR, NULL, "over");
	check(&a);
	if (a.nanswers != n)
		abort();
	exec_child_free(c);
	fake_deinit(&a);
	return 0;
}
