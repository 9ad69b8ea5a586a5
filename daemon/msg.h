/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the verdict process and the authority process say to each other.
 *
 * Fixed-size, pointer-free messages over SOCK_SEQPACKET socket pairs: one pair per worker and one
 * for the verdict process's main thread. A datagram carries 1 to MSG_PER_DATAGRAM whole messages. Both
 * sides belong to one build and start together (msg.version is checked all the same). The verdict process
 * treats every field as hostile: it is the side with the capabilities.
 *
 * Neither side ever blocks on the other. A worker that cannot send keeps a bounded backlog; when that is full a
 * question is answered by the rule's on-limit action and an event is dropped, both counted.
 */
#ifndef DAEMON_MSG_H
#define DAEMON_MSG_H

#include "daemon/remembered.h"
#include <pend.h>
#include <stdint.h>

#define MSG_VERSION      1
#define MSG_PER_DATAGRAM 32
#define MSG_TEXT         200
#define MSG_MAIN         0xffff /* worker number of the main thread's channel */

enum msg_type {
	/* authority process -> worker */
	MSG_COMPLETE =
		1, /* u.complete; answered by MSG_DONE with the same seq, unless `quiet` and all is well */
	MSG_COMPLETE_MATCH, /* u.match; looks at MSG_SCAN slots at most from cursor; MSG_DONE with the next */
	MSG_LIST,           /* u.match (filter, cursor); MSG_CONTEXT each, then MSG_DONE */
	MSG_SUBSCRIBE, /* u.subscribe: which events to send; no answer */
	MSG_STATS,     /* MSG_WORKER_STATS with the same seq */
	MSG_APPLY, /* u.match.cursor: what is remembered decides those that are pended; as COMPLETE_MATCH */
	MSG_FENCE, /* MSG_DONE with the same seq: what came before is done, and was told */

	/* worker -> authority process */
	MSG_DONE = 32, /* u.done */
	MSG_CONTEXT,   /* u.info */
	MSG_EVENT,     /* u.event */
	MSG_QUESTION,  /* u.event: type PENDED; an authority must be asked (info.tag: see below) */
	MSG_WORKER_STATS, /* u.stats */
	MSG_REMEMBERED,   /* u.remembered; before the MSG_DONE of what made it */

	/* authority process -> main thread */
	MSG_READY = 64,  /* it serves the control socket; u.done.status */
	MSG_POLICY,      /* a sealed memfd with an image is attached; u.policy; MSG_DONE */
	MSG_HOOK,        /* u.hook.op; MSG_HOOK_RESULT */
	MSG_MAIN_STATUS, /* MSG_MAIN_STATUS back */
	MSG_RULE_HITS,   /* u.hits.first: MSG_RULE_HITS back with up to MSG_HITS counters, summed */
	MSG_STOP,        /* shut down as on SIGTERM */
	MSG_SETS,        /* u.sets: a memfd of struct classify_edit is attached; MSG_DONE */
	MSG_REAUTHORIZE, /* u.reauth: the live flows of the filter; MSG_REAUTHORIZED */
	MSG_POLICY_DRY,  /* as MSG_POLICY: which live flows it would end; MSG_REAUTHORIZED */
	MSG_DECISIONS, /* u.decisions.cursor; MSG_DECISIONS back, a memfd of struct remembered_entry attached */
	MSG_FORGET,  /* u.decisions: those of the filter; MSG_DONE with the count */
	MSG_RESTORE, /* u.decisions: those of before, a memfd of struct remembered_entry; `cursor` 0: that was all, and sets are as before, too */
	MSG_LAYER_COUNTS, /* u.layers.first: MSG_LAYER_COUNTS back with up to MSG_LAYERS */
	MSG_KEEP,         /* a memory file for the next authority process is attached; no answer */
	MSG_RELOADED,     /* a reload ended on the authority side; u.done.status: for sd_notify */
	MSG_AUTHORITIES, /* it knows the authorities of the policy in force: their programs may change */

	/* main thread -> authority process */
	/* MSG_POLICY too, at start: the image in force, so that rules are shown by name; then MSG_SETS, the edits
	 * of its sets since, and MSG_KEEP, if there are any */
	MSG_RELOAD = 96, /* SIGHUP: parse, compile and send MSG_POLICY */
	MSG_HOOK_RESULT, /* u.hook: status and text; op PRINT: a memfd with the rules is attached */
	MSG_BYE,         /* draining is over; exit */
	MSG_REAUTHORIZED, /* u.reauth: what was done; a memfd of struct reauth_flow is attached */
};

/* pend_options.tag as the daemon uses it: policy generation << 32 | authority << 16 | what daemon/decide.c keeps */
#define MSG_TAG(generation, authority) ((uint64_t)(generation) << 32 | (uint64_t)(authority) << 16)
#define MSG_TAG_AUTHORITY(tag)         ((uint16_t)((tag) >> 16))
#define MSG_TAG_GENERATION(tag)        ((uint32_t)((tag) >> 32))
#define MSG_TAG_LAYERS(tag)            ((uint16_t)(tag))

#define MSG_SCAN     2048 /* table slots a worker looks at for one LIST or COMPLETE_MATCH */
#define MSG_LIST_MAX 24   /* MSG_CONTEXT per LIST; the cursor then says where to go on */
#define MSG_HITS     16
#define MSG_LAYERS   8
#define MSG_FLOWS    1000 /* struct reauth_flow in one MSG_REAUTHORIZED */
#define MSG_REASONS  7    /* enum pend_reason */

enum msg_complete_reason { /* pend_info.reason */
			   REASON_NONE = 0,
			   REASON_OPERATOR, /* a person, by pendctl */
			   REASON_TIMEOUT,
			   REASON_POLICY,    /* the completion pass, or a new policy */
			   REASON_STATIC,    /* a static authority */
			   REASON_AUTHORITY, /* a program */
			   REASON_SHUTDOWN,
			   REASON_BACKLOG, /* it could not be asked: too much is open */
			   REASON_ABSENT,  /* nobody answers for the authority */
			   REASON_ERROR,   /* it could not find out, or fails: its on-error */
};

/*
 * pend_info.reason: one of these, and above it the number of a note of the authority process (daemon/notes.h), which
 * says who and why. The verdict process hands it on as it is. The engine's own codes are above all of that.
 */
#define MSG_NOTE_MAX            0x3fffffu
#define MSG_REASON(code, note)  ((uint32_t)(note) << 8 | (uint32_t)(code))
#define MSG_REASON_CODE(reason) ((reason) < PEND_CODE_DEADLINE ? (reason)&0xff : (reason))
#define MSG_REASON_NOTE(reason) ((reason) < PEND_CODE_DEADLINE ? (reason) >> 8 : 0)

/* For how long and for whom a decision holds, where its rule is not asked. */
#define MSG_REMEMBER_NOT UINT64_MAX /* for the one connection */
#define MSG_SCOPE_RULE   0
#define MSG_SCOPE(scope) ((uint8_t)(1 + (scope))) /* of enum classify_scope */

struct msg_lasting {
	uint64_t ns;   /* 0: as the rule says */
	uint8_t scope; /* MSG_SCOPE(), MSG_SCOPE_RULE */
	uint8_t pad[7];
};

/* What a rule has decided about, or inspected, since its policy came into force. */
struct rule_count {
	uint64_t hits, bytes; /* of IP packets */
	uint64_t last_ns;     /* CLOCK_BOOTTIME; 0: never */
};

/* What a layer has said, whether it was overruled or not, since the policy came into force. */
struct layer_count {
	uint64_t permit, block, pend;
	uint64_t veto; /* blocks that overruled a layer of higher weight */
};

/* A live flow that was ended, or would be; in the direction of its first packet, as this host sees it. */
struct reauth_flow {
	uint8_t family, protocol;
	uint8_t failed; /* it could not be ended, and goes on */
	uint8_t pad;
	uint16_t source_port, dest_port;
	uint8_t source[16], dest[16];
	uint32_t rule; /* of the policy that judged; UINT32_MAX: none */
};

/* Question and answer: the filter goes in, the counters come back. */
struct msg_reauth {
	uint8_t family;     /* 0 any, 4, 6 */
	uint8_t protocol;   /* 0 any */
	uint8_t prefix_len; /* of the source address */
	uint8_t dry;        /* nothing is ended */
	uint8_t pended;     /* end what only a pend rule speaks for, too */
	uint8_t reason;     /* enum pend_reason that the rules see */
	uint16_t dest_port; /* 0 any */
	uint32_t rule;      /* only flows that this rule speaks for; UINT32_MAX any */
	uint8_t source[16];
	int32_t status;                /* enum pend_status */
	uint32_t listed;               /* struct reauth_flow in the memfd: MSG_FLOWS at most */
	uint32_t generation, revision; /* of the policy that judged */
	uint64_t examined, ended, failed, took_ns;
};

/* Look-ups of the sockets that would take packets; see listeners.h. */
struct listeners_counts {
	uint64_t lookups; /* packets and live flows whose rules asked */
	uint64_t cached;  /* ... of those that needed more than the user: known from before */
	uint64_t asked;   /* ... the resolver process was asked */
	uint64_t unknown; /* something that was asked could not be told */
};

/* Decisions in the kernel: daemon/pendd_offers.c. */
enum msg_offers_state {
	MSG_OFFERS_OFF,       /* the setting says no */
	MSG_OFFERS_NO_HOOKUP, /* the rules are the administrator's own */
	MSG_OFFERS_IPTABLES,  /* which has no place for them */
	MSG_OFFERS_NO_INPUT,  /* nothing that comes to this host is queued */
	MSG_OFFERS_ON,
};

struct msg_offers {
	uint8_t state;     /* enum msg_offers_state; all else is of ON */
	uint8_t varies_by; /* classify_else_name() */
	uint16_t pad;
	uint32_t varies_rule;     /* ... of this rule, lately; UINT32_MAX: of none */
	uint32_t elements, pad2;  /* in the kernel now */
	uint64_t permits, blocks; /* connections decided there */
	uint64_t offered;         /* put in */
	uint64_t varies;          /* not: something else decides too */
	uint64_t full;            /* not: no room */
	uint64_t missed;          /* not: too many at once */
	uint64_t failed;          /* transactions that the kernel refused */
	uint64_t flushes;         /* all were taken out */
};

struct msg_match {
	uint32_t cursor;        /* 0 to start; from MSG_DONE to go on */
	uint8_t verdict, block; /* COMPLETE_MATCH: enum pend_verdict, enum pend_block */
	uint8_t family;         /* 0 any, 4, 6 */
	uint8_t protocol;       /* 0 any */
	uint8_t prefix_len;     /* of the source address; 0 with family 0 = any */
	uint8_t pad[3];
	uint8_t source[16];
	uint16_t dest_port; /* 0 any */
	uint16_t authority; /* 0xffff any */
	uint32_t rule;      /* UINT32_MAX any */
	uint32_t reason;    /* COMPLETE_MATCH: MSG_REASON() */
	struct msg_lasting lasting;
};

enum msg_hook_op { HOOK_VERIFY = 1, HOOK_INSTALL, HOOK_REMOVE, HOOK_PRINT };

struct msg_main_status {
	uint32_t generation; /* of the policy, from 1 */
	uint32_t revision;   /* changes of its sets since */
	uint32_t workers;
	uint32_t pad2;
	uint64_t started_ns; /* CLOCK_BOOTTIME */
	uint64_t policy_loaded_ns;
	uint8_t hook_state; /* 0 none configured, 1 in place, 2 missing, 3 removed by request */
	uint8_t fail_open;
	uint8_t draining;
	uint8_t pad;
	uint32_t hook_repairs;
	char hook_kind[32];
	uint64_t kernel_queued;  /* packets in our queues now, from /proc */
	uint64_t kernel_dropped; /* queue_dropped: the kernel's queue was full */
	uint64_t user_dropped;   /* user_dropped: our socket was full */
	uint64_t kernel_flushed; /* estimate: packets that vanished from the queues (L6 to L9) */
	uint64_t reauth_runs, reauth_examined, reauth_ended, reauth_failed; /* of live flows */
	struct {
		uint64_t runs, ended;
	} reauth_by[MSG_REASONS];
	uint64_t limit_refused, limit_forgotten; /* by rates and quotas of this policy */
	uint64_t bad_messages;                   /* from the authority process */
	uint32_t authority_restarts;
	uint32_t resolver_restarts;
	uint32_t resolver; /* it runs */
	uint32_t agents_wanted, agents_running, agents_failing, agents_foreign;
	uint64_t agents_restarts;
	struct listeners_counts listeners; /* of live flows */
	struct msg_offers offers;
	char caps[160]; /* what the kernel offers the hookup, as probed */
};

struct msg {
	uint16_t version, type;
	uint16_t worker;
	uint16_t pad;
	uint32_t seq;
	uint32_t pad2;
	union {
		struct {
			pend_context context;
			uint8_t verdict, block;
			uint8_t quiet; /* 0, 1 */
			uint8_t pad;
			uint32_t reason; /* MSG_REASON() */
			struct msg_lasting lasting;
		} complete;
		struct msg_match match;
		struct {
			uint32_t events; /* bits: 1u << enum pend_event_type */
		} subscribe;
		struct {
			int32_t status;  /* enum pend_status; MSG_POLICY too */
			uint32_t count;  /* LIST, COMPLETE_MATCH: how many */
			uint32_t cursor; /* ... where to go on; 0 = finished */
			uint32_t generation, revision;
			uint32_t remembered; /* COMPLETE, COMPLETE_MATCH: how many of them */
			char text[MSG_TEXT];
		} done;
		struct pend_info info;
		struct pend_event event;
		struct {
			uint64_t size;       /* of the image */
			uint32_t generation; /* main -> authority: of the policy in force */
			uint32_t revision;   /* ... and how often its sets were changed since */
		} policy;
		struct {
			uint32_t generation; /* of the policy whose sets they are */
			uint32_t count;      /* of struct classify_edit */
		} sets;
		struct msg_reauth reauth;
		struct {
			uint32_t cursor; /* 0 to begin, and when that was all */
			uint32_t count;  /* of struct remembered_entry: MSG_FLOWS at most */
			uint8_t family;  /* FORGET: 0 any, 4, 6 */
			uint8_t prefix_len;
			uint8_t scope; /* FORGET: 255 any */
			uint8_t pad;
			uint8_t source[16];
			uint64_t rule; /* FORGET: classify_rule_key(), 0 any */
			uint64_t permits, blocks, kept, evicted, forgotten;
		} decisions;
		struct {
			uint32_t first, count, generation, pad;
			struct layer_count layer[MSG_LAYERS];
		} layers;
		struct {
			pend_context context;
			uint32_t rule, generation; /* by which it is known */
			struct remembered_entry entry;
			struct remembered_key evicted; /* had to go for it; `rule` 0: none */
		} remembered;
		struct {
			uint32_t op; /* enum msg_hook_op */
			int32_t status;
			char text[MSG_TEXT];
		} hook;
		struct msg_main_status main;
		struct {
			uint32_t first, count, generation, pad;
			struct rule_count rule[MSG_HITS];
		} hits;
		struct {
			struct pend_stats stats;
			uint64_t events_dropped, questions_refused, bad_messages, dispatches;
			uint64_t answer_ns_sum,
				answers; /* pend -> completion, of decided contexts */
			uint64_t busy_polls, busy_poll_answers; /* struct busy */
			struct listeners_counts listeners;
		} stats;
	} u;
};

#endif
