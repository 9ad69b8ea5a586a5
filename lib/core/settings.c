/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings' defaults. conf/pend.conf repeats them, and a test compares the two. */
#include "core/settings.h"
#include <pend.h>
#include <string.h>

#ifndef PEND_RUNSTATEDIR
#define PEND_RUNSTATEDIR "/run"
#endif

void settings_init(struct settings *s)
{
	memset(s, 0, sizeof(*s)); /* padding too: it is sent as bytes */
	strcpy(s->control, PEND_RUNSTATEDIR "/pend/control.sock");
	strcpy(s->control_group, "pend");
	strcpy(s->observe_group, "pend-observe");
	strcpy(s->user, "pend");
	s->queue_first = 100;
	s->queue_count = 1;
	s->mark_mask = PEND_MARK_MASK;
	s->hookup = PEND_HOOK_AUTO;
	strcpy(s->table, "pend");
	s->hooks = PEND_HOOK_INPUT | PEND_HOOK_FORWARD;
	s->priority = 20;
	s->raw_reinject = true;
	s->kernel_decisions = true;
	s->track_established = true;
	s->reauthorize = SETTINGS_REAUTHORIZE_NOW;
	s->max_contexts = 65536;
	s->max_per_source = 1024;
	s->max_packets = 64;
	s->max_bytes = 64ull << 20;
	s->hold_max = 4096;
	s->high_watermark_percent = 80;
	s->kernel_queue = 65535;
	s->receive_buffer = 16u << 20;
	s->busy_poll = 200;
	s->max_clients = 64;
	s->on_limit = PEND_ACTION_BLOCK;
	s->on_malformed = PEND_ACTION_BLOCK;
	s->on_stop = PEND_VERDICT_BLOCK;
	strcpy(s->state, SETTINGS_STATE_AUTO);
	s->history = SETTINGS_HISTORY_ASKED;
	s->history_keep = 90ull * 24 * 3600 * 1000000000;
	s->history_max = 1000000;
	s->timeout_ns = 30ull * 1000000000;
}
