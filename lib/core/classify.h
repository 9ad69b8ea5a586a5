/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compiled policy. Flat and immutable: made by policy_compile, carried as bytes (a sealed
 * memory file), checked once by classify_attach, then shared by all workers without a lock.
 */
#ifndef CORE_CLASSIFY_H
#define CORE_CLASSIFY_H

#include <pend.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum classify_action { CLASSIFY_PERMIT = 1, CLASSIFY_BLOCK, CLASSIFY_PEND, CLASSIFY_INSPECT };

enum authority_type {
	AUTHORITY_OPERATOR = 1, /* people */
	AUTHORITY_STATIC,
	AUTHORITY_SOCKET, /* whoever serves it */
	/* served by programs of ours */
	AUTHORITY_EXEC,
	AUTHORITY_DNSBL,
	AUTHORITY_HTTP,
	AUTHORITY_UNIT,
	AUTHORITY_TOTP,
	/* groups */
	AUTHORITY_ANY,
	AUTHORITY_ALL,
	AUTHORITY_QUORUM,
	AUTHORITY_CHAIN,
};

/* What counts when no answer comes. */
enum classify_absent { CLASSIFY_ABSENT_BLOCK, CLASSIFY_ABSENT_PERMIT, CLASSIFY_ABSENT_WAIT };
enum classify_error { CLASSIFY_ERROR_BLOCK, CLASSIFY_ERROR_PERMIT, CLASSIFY_ERROR_NEXT };

#define CLASSIFY_MEMBERS_MAX 8

/* For whom a decision that is remembered holds. */
enum classify_scope {
	CLASSIFY_SCOPE_SERVICE, /* source address, and destination address, port and protocol */
	CLASSIFY_SCOPE_SOURCE,  /* source address, for the rule */
	CLASSIFY_SCOPE_FLOW,    /* the exact source address and port too */
};

#define CLASSIFY_REMEMBER_MIN 1000000000ull
#define CLASSIFY_REMEMBER_MAX (365ull * 24 * 3600 * 1000000000)

#define CLASSIFY_NO_RULE UINT32_MAX /* no layer had an opinion: block */

struct classify_result {
	uint8_t action;     /* enum classify_action, never INSPECT */
	uint8_t block;      /* enum pend_block: for BLOCK, and for a pend that ends in one */
	uint8_t release;    /* enum pend_release */
	uint8_t mode;       /* enum pend_mode */
	uint8_t on_timeout; /* enum pend_verdict */
	bool log;           /* the rule says `log` */
	uint16_t authority; /* index, for PEND */
	uint32_t rule; /* index in file order (a layer's default is one), or CLASSIFY_NO_RULE */
	uint64_t timeout_ns;
	uint64_t remember_ns;   /* for PEND: how long the decision holds; 0: for this attempt */
	uint8_t remember_scope; /* enum classify_scope */
	bool remember_end;      /* live flows end with it */
	/* Bits of layers in order of evaluation: for PEND, those that ask, of which this is the first. */
	uint64_t pends;
	/* What is unknown of the packet itself had a part in it: were it known, the rules might
	 * let it in. The listener is another matter: context.listener knows what it told. */
	bool unsure;
};

struct classify_authority {
	const char *name;
	uint8_t type;   /* enum authority_type */
	uint8_t answer; /* STATIC: enum pend_verdict */
	uint64_t timeout_ns;
	uint8_t on_timeout;
	uint8_t on_absent; /* enum classify_absent */
	uint8_t on_error;  /* enum classify_error */
	uint8_t need;      /* QUORUM */
	uint8_t members;   /* of a group, which holds no groups */
	uint16_t member[CLASSIFY_MEMBERS_MAX];
	uint32_t max_pending; /* questions open at once; 0: the default */
	const char *user;     /* who its program runs as, and who may serve it; "": not said */
	const char *group;    /* whose members may serve it; "" */
	uint32_t uid, gid;    /* their numbers; UINT32_MAX: not said */
	const char *config;   /* the keys of its own kind, as the text of a JSON object; "{}" */
};

static inline bool classify_authority_is_ours(uint8_t type)
{
	return type >= AUTHORITY_EXEC && type <= AUTHORITY_TOTP;
}

struct classify_rule {
	const char *file; /* where it stands */
	uint32_t line;
	const char *layer;
	const char *text;    /* canonical, one line */
	const char *counter; /* name, "" without one */
	uint8_t action;
	uint16_t authority; /* for PEND */
};

#define CLASSIFY_RATE_MAX  1000000u
#define CLASSIFY_BURST_MAX 10000u

/* How often a rule may match; core/limiter.h keeps what is left. */
struct classify_limit {
	uint64_t window_ns;    /* of the quota; 0: it never ends */
	uint32_t rate, per_s;  /* `rate` in so many seconds; 0: no rate */
	uint32_t burst, quota; /* quota: per source; 0: none */
};

struct classifier; /* a checked view of an image */

/* Checks every offset and count of the image: safe for any bytes. The image must outlive the classifier.
 * 0, -EINVAL or -ENOMEM. */
int classify_attach(struct classifier **out, const void *image, size_t size);
void classify_detach(struct classifier *c); /* NULL is allowed; does not free the image */

/*
 * The names of interfaces at one moment: rules name interfaces, packets carry indexes.
 * Immutable while a classify uses it, sorted by index; the caller makes a new one when an interface
 * comes, goes or is renamed, and swaps it as it swaps the policy.
 */
struct classify_iface {
	uint32_t index;
	char name[16];
};

struct classify_ifaces {
	uint32_t n;
	struct classify_iface iface[];
};

#define CLASSIFY_DAY 1440u /* minutes */

/* A point of the local week: `weekday` from 0, Monday; `minute` of that day. Never 0. */
static inline uint32_t classify_clock(unsigned weekday, unsigned minute)
{
	return 1 + weekday * CLASSIFY_DAY + minute;
}

/*
 * The local socket that would take the connection. What is not known for want of it is LISTENER_NONE,
 * and no condition on it matches, negated or not; what could not be found out is LISTENER_UNKNOWN: then a
 * rule that permits does not match, and every other does.
 */
enum classify_listener_state { LISTENER_UNKNOWN, LISTENER_NONE, LISTENER_FOUND };

/* What is asked about it, and what is known: the dearer, the further up. */
enum classify_listener_field {
	LISTENER_USER = 1 << 0,
	LISTENER_CGROUP = 1 << 1, /* and with it the unit */
	LISTENER_GROUP = 1 << 2,
	LISTENER_EXECUTABLE = 1 << 3,
};

#define LISTENER_ALL 15u

struct classify_listener {
	uint8_t state;     /* enum classify_listener_state */
	uint8_t known;     /* bits of enum classify_listener_field; FOUND only */
	uint32_t uid, gid; /* owner of the socket; effective group of a process that holds it */
	const char *executable; /* of that process: absolute, "" if it was deleted */
	const char *cgroup;     /* of the socket: "/system.slice/ssh.service" */
};

/* What is true at the moment of a decision and does not stand in the packet. Zeroes: nothing is known. */
struct classify_context {
	/* NULL: no name is known, and `in eth0` is false for every index but 0 (R32). */
	const struct classify_ifaces *ifaces;
	uint32_t clock;          /* classify_clock(); 0: unknown, and equal to every time (R32) */
	uint32_t minute;         /* since 1970, UTC; 0: unknown, and before every end (R32) */
	bool reauthorize;        /* PEND_META_REAUTHORIZE */
	uint8_t reason;          /* enum pend_reason */
	bool interfaces_unknown; /* which ones they are: no condition on them is sure */
	uint64_t
		answered; /* bits of layers: what they ask was permitted, so that their pend is a permit */
	/* Called for a rule that matches but for its limit, or is one of CLASSIFY_INSPECT. False: it
	 * does not match after all. Behind that, and behind every INSPECT, evaluation goes on with the
	 * next rule that the index leaves. NULL: no limit is reached, nothing is inspected. Layers are asked
	 * from the heaviest down, and none behind a block that is sure. */
	bool (*visit)(void *arg, uint32_t rule);
	/* Called at most once in a classify, for a rule that matches but for its conditions on the listener.
	 * `need`: bits of enum classify_listener_field, of this rule and of those that may be asked behind
	 * it; what is returned stays until the next call.
	 * NULL: LISTENER_UNKNOWN. */
	const struct classify_listener *(*listener)(void *arg, const struct pend_values *v,
						    unsigned need);
	/* Called for each layer that has an opinion, which may yet be overruled. NULL: nobody counts. */
	void (*spoke)(void *arg, uint32_t layer, uint8_t action);
	void *arg; /* of all three */
	/* Set when a condition on the listener was met or not for want of knowledge. NULL: nobody asks. */
	bool *unsure;
};

/*
 * Decide. Constant state, no allocation, any number of threads. `malformed` never gets here. `now`
 * may be NULL: nothing is known. A condition on what is unknown of the packet itself (pend_values.mark_unknown,
 * tcp_flags_unknown), or of its interfaces (classify_context.interfaces_unknown), is taken as one on a
 * LISTENER_UNKNOWN, when everything else in its rule matches; but a block that is not sure gives way to what blocks or
 * pends for sure behind it, or in another layer.
 */
void classify_with(const struct classifier *c, const struct classify_context *now,
		   const struct pend_values *v, struct classify_result *r);
/* By the packet alone. */
void classify(const struct classifier *c, const struct pend_values *v, struct classify_result *r);

uint32_t classify_rules(const struct classifier *c);
bool classify_rule(const struct classifier *c, uint32_t rule, struct classify_rule *out);
/* The same for the same canonical text in a layer of the same name, whatever the policy; 0: no such rule. Any
 * number of threads. */
uint64_t classify_rule_key(const struct classifier *c, uint32_t rule);
/* How long a decision of the rule holds, for whom; 0: for the one connection. */
uint64_t classify_rule_remember(const struct classifier *c, uint32_t rule, uint8_t *scope,
				bool *end);
/* 0: there is no such rule. */
uint8_t classify_rule_action(const struct classifier *c, uint32_t rule);
/* In order of evaluation; UINT32_MAX: there is no such rule. */
uint32_t classify_rule_layer(const struct classifier *c, uint32_t rule);
uint32_t classify_limits(const struct classifier *c);
const struct classify_limit *classify_limit(const struct classifier *c, uint32_t limit);
/* Bits of enum classify_listener_field that some rule asks for. */
unsigned classify_needs(const struct classifier *c);
/*
 * In how many minutes the next `until` of a rule passes, or one of each day begins again, after which live flows may be decided
 * otherwise; UINT32_MAX: none does. `clock` and `minute` as in struct classify_context.
 */
uint32_t classify_next_end(const struct classifier *c, uint32_t clock, uint32_t minute);
/* UINT32_MAX: it has none. */
uint32_t classify_limit_of(const struct classifier *c, uint32_t rule);
/*
 * For classify_context.visit, of a connection that its limits were asked about before: it got past those of rules that
 * block, so that these do not match now; every other rule does.
 */
bool classify_got_past(const struct classifier *c, uint32_t rule);
/* Sets, by index; one without a name is what stands in a rule itself. */
uint32_t classify_sets(const struct classifier *c);
const char *classify_set_name(const struct classifier *c, uint32_t set);
uint32_t classify_set_find(const struct classifier *c, const char *name); /* UINT32_MAX: none */
/* In order of evaluation. */
uint32_t classify_layers(const struct classifier *c);
const char *classify_layer_name(const struct classifier *c, uint32_t layer);
uint32_t classify_authorities(const struct classifier *c);
bool classify_authority(const struct classifier *c, uint16_t authority,
			struct classify_authority *out);

#endif
