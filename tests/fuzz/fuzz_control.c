/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of a client to the control server; each request is then answered, as a worker would. A line "?x" is no
 * line of the client but a connection that is pended, or gone; "!x" is an event.
 */
#include "control_fuzz.h"
#include "daemon/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(struct fuzz_control *f, unsigned from)
{
	for (unsigned i = from; i < f->fake.nposted && i < from + 8; i++) {
		struct msg m = f->fake.posted[i % FAKE_POSTED];
		unsigned worker = m.worker;
		uint32_t first;

		m.type = m.type == MSG_STATS         ? MSG_WORKER_STATS
			 : m.type == MSG_MAIN_STATUS ? MSG_MAIN_STATUS
			 : m.type == MSG_HOOK        ? MSG_HOOK_RESULT
			 : m.type == MSG_RULE_HITS   ? MSG_RULE_HITS
			 : m.type == MSG_LIST        ? MSG_CONTEXT
						     : MSG_DONE;
		first = m.u.hits.first;
		memset(&m.u, 0, sizeof(m.u));
		if (m.type == MSG_RULE_HITS) {
			m.u.hits.first = first;
			m.u.hits.count = 2;
		}
		if (askers_answer(f->askers, worker, &m))
			continue;
		control_answer(f->fake.control, worker, &m, -1);
		if (m.type != MSG_CONTEXT)
			continue;
		m.type = MSG_DONE;
		control_answer(f->fake.control, worker, &m, -1);
	}
}

static void happen(struct fuzz_control *f, unsigned char what)
{
	struct pend_event e = {.type = (enum pend_event_type)(what % 12),
			       .info = {.family = what & 1 ? 4 : 6,
					.protocol = what & 2 ? 6 : 17,
					.dest_port = 22,
					.rule = what % 3,
					.tag = MSG_TAG(f->fake.view.generation, what % 3)}};

	control_event(f->fake.control, events_add(f->fake.events, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_control f;
	const char *p = (const char *)data, *end = p + size;

	log_set_level(0);
	fuzz_open(&f);
	while (p < end && !f.out->closed) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		unsigned from = f.fake.nposted;

		if (len == 2 && *p == '?')
			fuzz_question(&f, (unsigned char)p[1]);
		else if (len == 2 && *p == '!')
			happen(&f, (unsigned char)p[1]);
		else if (len > CONTROL_LINE_MAX)
			control_overlong(f.client);
		else
			control_line(f.client, p, len);
		fuzz_reloaded(&f);
		answer(&f, from);
		p += len + 1;
	}
	fuzz_shut(&f);
	return 0;
}
