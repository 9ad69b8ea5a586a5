/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages from the verdict side: the first byte chooses a request in progress, then whole messages
 * follow; their numbers are made to fit a message that was sent, so that they are not all strays.
 */
#include "control_fuzz.h"
#include "daemon/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const requests[] = {
	"{\"id\":1,\"op\":\"status\"}",
	"{\"id\":1,\"op\":\"pending\"}",
	"{\"id\":1,\"op\":\"rules\"}",
	"{\"id\":1,\"op\":\"hookup\",\"action\":\"verify\"}",
	"{\"id\":1,\"op\":\"complete\",\"ids\":[\"a0.1\",\"b1.2\"],\"verdict\":\"permit\"}",
	"{\"id\":1,\"op\":\"complete\",\"match\":{},\"all\":true,\"verdict\":\"block\"}",
	"{\"id\":1,\"op\":\"events\",\"follow\":true}",
	"{\"id\":1,\"op\":\"metrics\"}",
	"{\"id\":1,\"op\":\"reload\",\"dry_run\":true}",
};

static void deliver(struct fuzz_control *f, const struct msg *in)
{
	struct msg m = *in;
	unsigned worker = m.worker, posted = f->fake.nposted;
	unsigned kept = posted < FAKE_POSTED ? posted : FAKE_POSTED;

	if (m.type == MSG_EVENT) {
		control_event(f->fake.control, events_add(f->fake.events, &m.u.event));
		return;
	}
	if (kept) {
		m.seq = f->fake.posted[m.seq % kept].seq;
		worker = m.worker % 4 == 3 ? MSG_MAIN : m.worker % 4;
	}
	control_answer(f->fake.control, worker, &m, -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_control f;
	const char *line;
	struct msg m;

	if (!size)
		return 0;
	log_set_level(0);
	fuzz_open(&f);
	line = requests[data[0] % (sizeof(requests) / sizeof(requests[0]))];
	control_line(f.client, line, strlen(line));
	fuzz_reloaded(&f);
	for (size_t at = 1; at + sizeof(m) <= size && at < 64 * sizeof(m); at += sizeof(m)) {
		memcpy(&m, data + at, sizeof(m));
		deliver(&f, &m);
	}
	fuzz_shut(&f);
	return 0;
}
