/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's settings: the `settings { ... }` block of the policy file, or its defaults.
 * Pointer-free, so that it travels to another process as it is.
 */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define SETTINGS_PATH_MAX 108 /* of sockaddr_un */
#define SETTINGS_NAME_MAX 32
#define SETTINGS_FILE_MAX 256

#define SETTINGS_QUEUES_MAX   64     /* one worker each */
#define SETTINGS_PRIORITY_MIN (-199) /* conntrack (-200) has to come first */
#define SETTINGS_PRIORITY_MAX 1000

/* Live flows, when the policy changes. */
enum settings_reauthorize {
	SETTINGS_REAUTHORIZE_NO = 0,
	SETTINGS_REAUTHORIZE_NOW,  /* all at once, by conntrack */
	SETTINGS_REAUTHORIZE_LAZY, /* each by its next packet */
};

/* Which of what was pended is written down. */
enum settings_history {
	SETTINGS_HISTORY_NONE = 0,
	SETTINGS_HISTORY_DECIDED, /* what somebody has decided */
	SETTINGS_HISTORY_ASKED, /* ... and what nobody has, of those whom they were asked of: no static authority */
	SETTINGS_HISTORY_ALL,
};

/* settings.state: in the state directory that the service manager gives; without one in memory. */
#define SETTINGS_STATE_AUTO "auto"

struct settings {
	/* who and where */
	char control[SETTINGS_PATH_MAX];       /* control "/run/pend/control.sock" */
	char control_group[SETTINGS_NAME_MAX]; /* control-group pend: may decide and administer */
	char observe_group[SETTINGS_NAME_MAX]; /* observe-group pend-observe: may read */
	char user[SETTINGS_NAME_MAX];          /* user pend: of the authority process; "" = stay */

	/* the kernel side */
	uint16_t queue_first, queue_count; /* queues 100 | queues 100-103: one worker each */
	uint32_t mark_mask;                /* mark-mask 0x7f800000: 8 consecutive bits */
	uint8_t hookup;                    /* hookup auto|nft|iptables|none: enum pend_hook_kind */
	char table[SETTINGS_NAME_MAX];     /* table pend: nft table, iptables chain prefix */
	unsigned hooks;                    /* hooks { input, forward }: PEND_HOOK_INPUT, ... */
	int priority;                      /* priority 20 */
	char iptables[8];                  /* iptables auto|nft|legacy: "", "nft", "legacy" */
	bool loopback;                     /* loopback yes|no: hold connections on lo too */
	bool multicast;                    /* multicast yes|no */
	bool fail_open;                    /* fail open|closed */
	bool raw_reinject;                 /* raw yes|no */
	uint8_t reauthorize;               /* reauthorize now|lazy|no: enum settings_reauthorize */
	bool track_established;            /* track-established yes|no */
	bool kernel_decisions;             /* kernel-decisions yes|no: remembered ones, by nft */

	/* limits, per worker where not said otherwise */
	uint32_t max_contexts, max_per_source, max_per_service, max_packets;
	uint64_t max_bytes;
	uint32_t hold_max, high_watermark_percent, kernel_queue, receive_buffer;
	uint32_t busy_poll;   /* busy-poll 200: microseconds; 0: off */
	uint32_t max_clients; /* control connections in all */
	uint8_t on_limit;     /* on-limit block|permit: enum pend_action */
	uint8_t on_malformed; /* on-malformed block|permit: enum pend_action */
	uint8_t on_stop;      /* on-stop block|permit: enum pend_verdict for what is pended then */

	/* country-database "/usr/share/GeoIP/GeoLite2-Country.mmdb"; "" without one */
	char country_database[SETTINGS_FILE_MAX];

	/* what lasts: state auto|"/var/lib/pend/state.db"; "" keeps it in memory */
	char state[SETTINGS_FILE_MAX];
	uint8_t history;       /* history asked|all|decided|none: enum settings_history */
	uint64_t history_keep; /* history-keep 90d: ns */
	uint32_t history_max;  /* history-max 1000000 */

	/* defaults for pend rules */
	uint64_t timeout_ns; /* timeout 30s */
};

void settings_init(struct settings *s);

#endif
