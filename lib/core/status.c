/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names, sentences and NTSTATUS values of the status codes; names of states; defaults. */
#include <pend.h>
#include <string.h>

struct status_text {
	const char *name, *text;
	uint32_t ntstatus;
};

#define S(s, nt, text) [s] = {#s, text, nt}
/* NTSTATUS values: ntstatus.h, fwperrors (0xC022xxxx). */
static const struct status_text texts[] = {
	S(PEND_OK, 0, "success"),
	S(PEND_E_NULL_POINTER, 0xC022001C, "a required argument is NULL"),
	S(PEND_E_NOT_READY, 0xC0220004, "the queue is not bound yet"),
	S(PEND_E_CANNOT_PEND, 0xC0220103, "this classify cannot be pended"),
	S(PEND_E_STALE, 0xC000000D, "the completion handle was used outside of its classify call"),
	S(PEND_E_NOT_FOUND, 0xC0220008, "no such completion context"),
	S(PEND_E_ALREADY, 0xC0220009, "the completion context was completed before"),
	S(PEND_E_ACCESS_DENIED, 0xC0000022, "the completion context belongs to another engine"),
	S(PEND_E_LIMIT, 0xC0000044, "a limit of the table is reached"),
	S(PEND_E_BUSY, 0x80000011, "completion contexts are outstanding"),
	S(PEND_E_INVALID, 0xC000000D, "an argument is out of its range"),
	S(PEND_E_NO_MEMORY, 0xC0000017, "out of memory"),
	S(PEND_E_PERMISSION, 0xC0000061, "the kernel refused: CAP_NET_ADMIN is needed"),
	S(PEND_E_IN_USE, 0xC0000043, "another program has it"),
	S(PEND_E_UNSUPPORTED, 0xC00000BB, "the kernel does not support this"),
	S(PEND_E_SYSTEM, 0xC0000001, "the kernel reported an error"),
	S(PEND_E_LOOP, 0xC0220035, "pended or reinvoked too often"),
};
#undef S

static const struct status_text *find(enum pend_status s)
{
	static const struct status_text unknown = {"PEND_E_?", "unknown status", 0xC0000001};

	return (size_t)s < sizeof(texts) / sizeof(*texts) ? &texts[s] : &unknown;
}

const char *pend_status_name(enum pend_status s)
{
	return find(s)->name;
}

const char *pend_status_text(enum pend_status s)
{
	return find(s)->text;
}

uint32_t pend_status_ntstatus(enum pend_status s)
{
	return find(s)->ntstatus;
}

const char *pend_state_name(enum pend_state s)
{
	static const char *const names[PEND_STATE_COUNT] = {
		[PEND_STATE_FREE] = "FREE",           [PEND_STATE_STORED] = "STORED",
		[PEND_STATE_PENDED] = "PENDED",       [PEND_STATE_COMPLETING] = "COMPLETING",
		[PEND_STATE_PERMITTED] = "PERMITTED", [PEND_STATE_BLOCKED] = "BLOCKED",
		[PEND_STATE_FLUSHED] = "FLUSHED",     [PEND_STATE_TIMED_OUT] = "TIMED_OUT",
		[PEND_STATE_ABANDONED] = "ABANDONED", [PEND_STATE_LOST] = "LOST",
		[PEND_STATE_DRAINED] = "DRAINED",
	};

	return (unsigned)s < PEND_STATE_COUNT ? names[s] : "?";
}

void pend_engine_config_init(struct pend_engine_config *c)
{
	*c = (struct pend_engine_config){
		.mark_mask = PEND_MARK_MASK,
		.epoch = 1,
		.max_contexts = 65536,
		.max_per_source = 1024,
		.max_packets = 64,
		.max_bytes = 64u << 20,
		.hold_max = 4096,
		.high_watermark_percent = 80,
		.kernel_queue = 65535,
		.receive_buffer = 16u << 20,
		.raw_reinject = true,
		.queue_fd = -1,
		.track_established = true,
		.default_action = PEND_ACTION_BLOCK,
		.on_malformed = PEND_ACTION_BLOCK,
		.can_reject = true,
	};
}

void pend_options_init(struct pend_options *o)
{
	*o = (struct pend_options){
		.timeout_ns = 30000000000ull,
		.on_timeout = PEND_VERDICT_BLOCK,
	};
}
