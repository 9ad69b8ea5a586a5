/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Once a second: the hookup, the service manager. Five times a second: the kernel's counters, for
 * peers that come back within a second hide what the kernel dropped. */
#include "daemon/kernel.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/pendd.h"
#include <time.h>

/* Workers may not open the time zone's file, so they are told what time it is. */
uint32_t pendd_clock(struct pendd *d)
{
	time_t now = time(NULL);
	uint32_t clock = 0;
	struct tm tm;

	if (localtime_r(&now, &tm))
		clock = classify_clock((unsigned)(tm.tm_wday + 6) % 7,
				       (unsigned)(tm.tm_hour * 60 + tm.tm_min));
	d->minute = (uint32_t)(now / 60);
	for (unsigned i = 0; i < d->workers; i++)
		atomic_store_explicit(&d->worker[i].clock, WORKER_CLOCK(clock, d->minute),
				      memory_order_relaxed);
	return clock;
}

static uint64_t held_by_workers(const struct pendd *d)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->workers; i++)
		sum += atomic_load_explicit(&d->worker[i].held, memory_order_relaxed);
	return sum;
}

/*
 * A base chain removed anywhere in this namespace, or an interface that went down, empties the
 * queues without a word (L6 to L9). Seen from here: we hold more than the kernel has. The workers learn
 * packet by packet (ENOENT); this tells people at once, and is an estimate.
 */
static void watch_queues(struct pendd *d)
{
	struct kernel_queues k;
	uint64_t held = held_by_workers(d), missing;

	if (kernel_queues_read(&k, d->settings.queue_first, d->settings.queue_count) < 0)
		return;
	missing = held > k.queued ? held - k.queued : 0;
	/* A packet that was verdicted between the two looks is not missing: look twice. */
	if (missing > d->held_before && held) {
		uint64_t again = held_by_workers(d);

		if (again < held)
			missing = again > k.queued ? again - k.queued : 0;
	}
	if (missing > d->held_before) {
		d->kernel_flushed += missing - d->held_before;
		log_warning(
			"kernel",
			"the kernel dropped %llu held packets (a rule set was replaced, or an "
			"interface went down); their connections go on with the next retransmission",
			(unsigned long long)(missing - d->held_before));
	}
	d->held_before = missing;
}

static void watch_hook(struct pendd *d)
{
	enum pend_status s;

	if (!d->hook_installed || d->stopping)
		return;
	s = pend_hook_verify(d->hook);
	if (s == PEND_OK) {
		d->hook_state = 1;
		return;
	}
	d->hook_state = 2;
	log_warning("hookup", "%s; putting it back", pend_hook_error(d->hook));
	s = pend_hook_repair(d->hook);
	if (s != PEND_OK) {
		log_error("hookup", "cannot put the rules back: %s", pend_hook_error(d->hook));
		return;
	}
	pendd_offers_reset(d);
	d->hook_repairs++;
	d->hook_state = 1;
}

/*
 * An `until` has passed: what it let in is asked about again. The next one is looked for each minute, as
 * clocks are set and summer begins, and with every new policy.
 */
static void watch_ends(struct pendd *d, uint32_t clock)
{
	uint32_t in;

	if (d->minute == d->ends_minute && d->generation == d->ends_generation)
		return;
	if (d->next_end && d->minute >= d->next_end && !d->stopping) {
		log_info("policy", "the time of a rule is over");
		pendd_reauth_until(d);
	}
	in = classify_next_end(d->snapshot->classifier, clock, d->minute);
	d->next_end = in == UINT32_MAX ? 0 : d->minute + in;
	d->ends_minute = d->minute;
	d->ends_generation = d->generation;
}

void pendd_status_line(struct pendd *d)
{
	uint64_t pending = 0;

	for (unsigned i = 0; i < d->workers; i++)
		pending += atomic_load_explicit(&d->worker[i].pending, memory_order_relaxed);
	notify_send("STATUS=%llu pending, policy %u, hookup %s", (unsigned long long)pending,
		    d->generation,
		    d->hook_state == 1   ? "in place"
		    : d->hook_state == 2 ? "missing"
					 : "none");
}

void pendd_watch_queues(void *pendd)
{
	struct pendd *d = pendd;

	watch_queues(d);
	loop_timer_arm(d->loop, &d->queues, mono_add(loop_now(d->loop), MONO_NS_PER_S / 5));
}

void pendd_watch(void *pendd)
{
	struct pendd *d = pendd;

	watch_ends(d, pendd_clock(d));
	pendd_decisions_watch(d);
	watch_hook(d);
	pendd_offers_watch(d);
	if (notify_watchdog_ns())
		notify_send("WATCHDOG=1");
	if (d->ready)
		pendd_status_line(d);
	loop_timer_arm(d->loop, &d->second, mono_add(loop_now(d->loop), MONO_NS_PER_S));
}
