/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this host knows of a connection beyond its numbers: the source's name, the service's name,
 * who listens, or, where it goes to another host, that one's name. A child process of its own looks it up, for names may take long and come from
 * whoever owns the address: nobody waits for it, and when it takes longer than LOOKUP_PATIENCE_MS it is
 * ended, and the next question has a new one.
 *
 * The name is from the reverse zone, which the owner of the address writes as he likes; it is
 * `confirmed` when it leads back to the address. Who listens is looked up in /proc, as far as the
 * caller may see, when the destination is an address of this network namespace.
 */
#ifndef CLI_LOOKUP_H
#define CLI_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOOKUP_PATIENCE_MS 3000

struct lookup_question {
	uint32_t seq;
	uint8_t family; /* 4 or 6 */
	uint8_t proto;  /* 6, 17; 0: no ports */
	uint16_t port;  /* of the destination */
	uint8_t source[16], dest[16];
	bool names;
};

enum lookup_kind { LOOKUP_LISTENER = 1, LOOKUP_NAME, LOOKUP_TARGET };
#define LOOKUP_ANSWERS 3u /* to a question that wants names */

struct lookup_answer {
	uint32_t seq;
	uint8_t kind;          /* LISTENER first, then, if names were wanted, NAME and TARGET */
	bool found;            /* a listener, a name */
	bool confirmed, local; /* of the name; is the destination this host's? */
	char name[256], service[40], user[64], executable[256], unit[128];
};

struct lookup {
	int fd; /* -1: no child */
	pid_t pid;
	uint32_t seq;
	unsigned waiting; /* answers to come */
	int64_t deadline;
};

void lookup_init(struct lookup *l);
void lookup_deinit(struct lookup *l);
/* The last question's answers are those that count; one before it is given up. False: no child. */
bool lookup_ask(struct lookup *l, struct lookup_question *q, int64_t now);
/* True: *a is the next answer to the last question. */
bool lookup_read(struct lookup *l, struct lookup_answer *a);
/* Give up what takes too long: true, once. */
bool lookup_late(struct lookup *l, int64_t now);

/* A line of /proc/net/tcp, tcp6, udp, udp6: does this socket take what goes there? How well: 0 not
 * at all, 1 to 3; and its user and inode. */
int lookup_socket(const char *line, const struct lookup_question *q, bool v6, unsigned *uid,
		  unsigned long *inode);
/* "ssh.service" and the like at the end of a line of /proc/PID/cgroup; "" if there is none. */
void lookup_unit(const char *line, char *unit, size_t size);

#endif
