/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives pend_hook_* from a shell script, and is a small queue handler of its own.
 *
 *   hooktool [OPTION...] [-]
 *
 * Reads commands from standard input, one a line, and answers each with one line "STATUS text"; the
 * hookup lives as long as the program. Options are those of struct pend_hook_config:
 *   kind=auto|nft|iptables|none name= queue= count= mask= epoch= hooks=input,forward priority=
 *   loopback multicast open lazy decisions iptables=nft|legacy
 * Commands:
 *   install verify repair remove epoch N describe features warning fd rejects repeats
 *   print nft|iptables FILE
 *   decide permit|drop|reset|unreachable INTERFACE SOURCE DEST tcp|udp PORT MILLISECONDS [TIMES]
 *                                   with TIMES, for so many sources from SOURCE on
 *   undecide decided                "PERMITS BLOCKS"
 *   adopt [OPTION]                  start again in place, with the netlink socket handed over
 *   listen QUEUE accept|drop|repeat|hold MARK   a child answers the queue's packets so; `hold` keeps
 *                                   them until `release`, which accepts all
 *   packets                         how many it has seen
 *   release                         then wait until all are answered; says how many the kernel refused
 *   hush                            end it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include <pend.h>

static struct pend_hook *hook;
static pid_t listener;
static atomic_uint *seen, *bound, *released, *refused;
static char **arguments;
static char *kept[32]; /* copies of them that the configuration points into */
static int kepts;

/* ---- the queue handler ---- */

struct answer {
	struct mnl_socket *nl;
	uint16_t queue;
	uint32_t verdict, mark;
	bool hold;
	unsigned held;
	uint32_t ids[1024];
};

static volatile sig_atomic_t release_now;

static struct nlmsghdr *put_header(char *buf, uint16_t type, uint16_t queue)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	*nfg = (struct nfgenmsg){.version = NFNETLINK_V0, .res_id = htons(queue)};
	return nlh;
}

static void send_verdict(struct answer *a, uint32_t id)
{
	char buf[512];
	struct nlmsghdr *out = put_header(buf, NFQNL_MSG_VERDICT, a->queue);

	nfq_nlmsg_verdict_put(out, (int)id, (int)a->verdict);
	if (a->mark)
		nfq_nlmsg_verdict_put_mark(out, a->mark);
	if (mnl_socket_sendto(a->nl, out, out->nlmsg_len) < 0)
		perror("verdict");
}

static int on_packet(const struct nlmsghdr *nlh, void *data)
{
	struct nlattr *attr[NFQA_MAX + 1] = {0};
	struct nfqnl_msg_packet_hdr *ph;
	struct answer *a = data;

	if (nfq_nlmsg_parse(nlh, attr) < 0 || !attr[NFQA_PACKET_HDR])
		return MNL_CB_OK;
	ph = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	atomic_fetch_add(seen, 1);
	if (a->hold && a->held < sizeof(a->ids) / sizeof(*a->ids))
		a->ids[a->held++] = ntohl(ph->packet_id);
	else
		send_verdict(a, ntohl(ph->packet_id));
	return MNL_CB_OK;
}

static void on_signal(int sig)
{
	(void)sig;
	release_now = 1;
}

/* A verdict that the kernel refuses comes back as an error message: the packet was not there any more. */
static void release_held(struct answer *a)
{
	for (unsigned i = 0; i < a->held; i++)
		send_verdict(a, a->ids[i]);
	a->held = 0;
	a->hold = false;
	release_now = 0;
	atomic_store(released, 1);
}

static void listen_loop(struct answer a)
{
	static char buf[0x10000];
	struct nlmsghdr *nlh;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	a.nl = mnl_socket_open(NETLINK_NETFILTER);
	if (!a.nl || mnl_socket_bind(a.nl, 0, MNL_SOCKET_AUTOPID) < 0)
		_exit(2);
	nlh = put_header(buf, NFQNL_MSG_CONFIG, a.queue);
	nfq_nlmsg_cfg_put_cmd(nlh, AF_INET, NFQNL_CFG_CMD_BIND);
	if (mnl_socket_sendto(a.nl, nlh, nlh->nlmsg_len) < 0)
		_exit(2);
	nlh = put_header(buf, NFQNL_MSG_CONFIG, a.queue);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, 256);
	if (mnl_socket_sendto(a.nl, nlh, nlh->nlmsg_len) < 0)
		_exit(2);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
	atomic_store(bound, 1);
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(a.nl, buf, sizeof(buf));

		if (n > 0 &&
		    mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(a.nl), on_packet, &a) < 0)
			atomic_fetch_add(refused, 1);
		if (release_now)
			release_held(&a);
	}
}

static void hush(void)
{
	if (listener > 0) {
		kill(listener, SIGKILL);
		waitpid(listener, NULL, 0);
	}
	listener = 0;
}

static void start_listener(const char *args)
{
	char verdict[16] = "";
	unsigned queue = 0, mark = 0;

	if (sscanf(args, "%u %15s %x", &queue, verdict, &mark) < 2) {
		puts("USAGE listen QUEUE accept|drop|repeat|hold MARK");
		return;
	}
	hush();
	atomic_store(seen, 0);
	atomic_store(released, 0);
	atomic_store(refused, 0);
	atomic_store(bound, 0);
	fflush(stdout);
	listener = fork();
	if (listener == 0)
		listen_loop((struct answer){
			.queue = (uint16_t)queue,
			.mark = mark,
			.hold = !strcmp(verdict, "hold"),
			.verdict = !strcmp(verdict, "accept") || !strcmp(verdict, "hold")
					   ? NF_ACCEPT
				   : !strcmp(verdict, "drop") ? NF_DROP
							      : NF_REPEAT,
		});
	for (int i = 0; i < 2000 && !atomic_load(bound); i++)
		usleep(1000);
	puts(atomic_load(bound) ? "PEND_OK" : "FAILED");
}

static void release(void)
{
	kill(listener, SIGUSR1);
	for (int i = 0; i < 2000 && !atomic_load(released); i++)
		usleep(1000);
	usleep(20000); /* for errors to come back */
	printf("%u\n", atomic_load(refused));
}

/* ---- the hookup ---- */

/* As after a restart with the socket kept by somebody: the table lives on with the descriptor. */
static void adopt(char *option)
{
	static char fd[16];
	char *argv[32];
	int n = 0, copy = dup(pend_hook_fd(hook)); /* without close-on-exec */

	hush();
	for (; arguments[n] && n < 30; n++)
		argv[n] = arguments[n];
	snprintf(fd, sizeof(fd), "fd=%d", copy);
	argv[n++] = fd;
	if (*option)
		argv[n++] = option;
	argv[n] = NULL;
	execv("/proc/self/exe", argv);
	puts("FAILED");
}

static void answer(enum pend_status s)
{
	printf("%s %s\n", pend_status_name(s), s == PEND_OK ? "" : pend_hook_error(hook));
}

static void print_to(const char *args)
{
	char as[16] = "", file[256] = "";
	char *text;
	bool good;
	FILE *f;

	if (sscanf(args, "%15s %255s", as, file) != 2) {
		puts("USAGE print nft|iptables FILE");
		return;
	}
	text = pend_hook_print(hook, !strcmp(as, "nft") ? PEND_HOOK_NFT : PEND_HOOK_IPTABLES);
	f = fopen(file, "w");
	good = text && f && fputs(text, f) >= 0;
	if (f && fclose(f))
		good = false;
	puts(good ? "PEND_OK" : "FAILED");
	free(text);
}

struct wanted {
	char how[16], in[IF_NAMESIZE], source[64], dest[64], protocol[8];
	unsigned port, ms, times;
};

static bool decision_of(const struct wanted *w, struct pend_hook_decision *d)
{
	bool v6 = strchr(w->source, ':');

	*d = (struct pend_hook_decision){
		.family = v6 ? 6 : 4,
		.protocol = !strcmp(w->protocol, "udp") ? IPPROTO_UDP : IPPROTO_TCP,
		.verdict = !strcmp(w->how, "permit") ? PEND_VERDICT_PERMIT : PEND_VERDICT_BLOCK,
		.block = !strcmp(w->how, "reset")         ? PEND_BLOCK_RESET
			 : !strcmp(w->how, "unreachable") ? PEND_BLOCK_UNREACHABLE
							  : PEND_BLOCK_DROP,
		.dest_port = (uint16_t)w->port,
		.in_interface = if_nametoindex(w->in),
		.timeout_ms = w->ms,
	};
	return inet_pton(v6 ? AF_INET6 : AF_INET, w->source, d->source) == 1 &&
	       inet_pton(v6 ? AF_INET6 : AF_INET, w->dest, d->dest) == 1;
}

static void next_source(struct pend_hook_decision *d)
{
	for (int i = d->family == 6 ? 15 : 3; i >= 0 && !++d->source[i]; i--)
		;
}

static enum pend_status decide_times(struct pend_hook_decision d, unsigned times)
{
	struct pend_hook_decision batch[PEND_HOOK_DECISIONS_MAX];
	enum pend_status s = PEND_OK;

	while (times && s == PEND_OK) {
		unsigned n = 0;

		for (; n < PEND_HOOK_DECISIONS_MAX && n < times; n++, next_source(&d))
			batch[n] = d;
		s = pend_hook_decide(hook, batch, n);
		times -= n;
	}
	return s;
}

static void decide(const char *args)
{
	struct pend_hook_decision d;
	struct wanted w = {.times = 1};

	if (sscanf(args, "%15s %15s %63s %63s %7s %u %u %u", w.how, w.in, w.source, w.dest,
		   w.protocol, &w.port, &w.ms, &w.times) < 7 ||
	    !decision_of(&w, &d))
		puts("USAGE decide VERDICT INTERFACE SOURCE DEST PROTOCOL PORT MILLISECONDS [TIMES]");
	else
		answer(decide_times(d, w.times));
}

static void decided(void)
{
	struct pend_hook_decided n;
	enum pend_status s = pend_hook_decided(hook, &n);

	if (s == PEND_OK)
		printf("%llu %llu\n", (unsigned long long)n.permits, (unsigned long long)n.blocks);
	else
		answer(s);
}

static void command(char *line)
{
	char *args = line + strcspn(line, " ");

	if (*args)
		*args++ = 0;
	if (!strcmp(line, "install"))
		answer(pend_hook_install(hook));
	else if (!strcmp(line, "verify"))
		answer(pend_hook_verify(hook));
	else if (!strcmp(line, "repair"))
		answer(pend_hook_repair(hook));
	else if (!strcmp(line, "remove"))
		answer(pend_hook_remove(hook));
	else if (!strcmp(line, "epoch"))
		answer(pend_hook_set_epoch(hook, (uint8_t)atoi(args)));
	else if (!strcmp(line, "describe"))
		puts(pend_hook_describe(hook));
	else if (!strcmp(line, "features"))
		puts(pend_hook_features(hook));
	else if (!strcmp(line, "warning"))
		puts(pend_hook_warning(hook));
	else if (!strcmp(line, "fd"))
		printf("%d\n", pend_hook_fd(hook));
	else if (!strcmp(line, "rejects"))
		puts(pend_hook_can_reject(hook) ? "yes" : "no");
	else if (!strcmp(line, "repeats"))
		puts(pend_hook_wants_repeat(hook) ? "yes" : "no");
	else if (!strcmp(line, "decide"))
		decide(args);
	else if (!strcmp(line, "undecide"))
		answer(pend_hook_undecide(hook));
	else if (!strcmp(line, "decided"))
		decided();
	else if (!strcmp(line, "print"))
		print_to(args);
	else if (!strcmp(line, "listen"))
		start_listener(args);
	else if (!strcmp(line, "packets"))
		printf("%u\n", atomic_load(seen));
	else if (!strcmp(line, "release"))
		release();
	else if (!strcmp(line, "adopt"))
		adopt(args);
	else if (!strcmp(line, "hush")) {
		hush();
		puts("PEND_OK");
	} else
		printf("UNKNOWN %s\n", line);
}

static enum pend_hook_kind kind_of(const char *s)
{
	if (!strcmp(s, "nft"))
		return PEND_HOOK_NFT;
	if (!strcmp(s, "iptables"))
		return PEND_HOOK_IPTABLES;
	return !strcmp(s, "none") ? PEND_HOOK_NONE : PEND_HOOK_AUTO;
}

static bool option(struct pend_hook_config *c, const char *text)
{
	char *arg = kepts < 32 ? strdup(text) : NULL, *v;

	if (!arg)
		return false;
	kept[kepts++] = arg;
	v = strchr(arg, '=');
	if (v)
		*v++ = 0;
	else
		v = arg;
	if (!strcmp(arg, "kind"))
		c->kind = kind_of(v);
	else if (!strcmp(arg, "name"))
		c->name = v;
	else if (!strcmp(arg, "queue"))
		c->queue_first = (uint16_t)atoi(v);
	else if (!strcmp(arg, "count"))
		c->queue_count = (uint16_t)atoi(v);
	else if (!strcmp(arg, "mask"))
		c->mark_mask = (uint32_t)strtoul(v, NULL, 0);
	else if (!strcmp(arg, "epoch"))
		c->epoch = (uint8_t)atoi(v);
	else if (!strcmp(arg, "hooks"))
		c->hooks = (strstr(v, "input") ? PEND_HOOK_INPUT : 0u) |
			   (strstr(v, "forward") ? PEND_HOOK_FORWARD : 0u);
	else if (!strcmp(arg, "priority"))
		c->priority = atoi(v);
	else if (!strcmp(arg, "loopback"))
		c->loopback = true;
	else if (!strcmp(arg, "multicast"))
		c->multicast = true;
	else if (!strcmp(arg, "lazy"))
		c->lazy = true;
	else if (!strcmp(arg, "decisions"))
		c->decisions = true;
	else if (!strcmp(arg, "open"))
		c->fail_open = true;
	else if (!strcmp(arg, "iptables"))
		c->iptables = v;
	else if (!strcmp(arg, "fd"))
		c->nft_fd = atoi(v);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	struct pend_hook_config c;
	enum pend_status s;
	char line[512];

	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return 2;
	bound = seen + 1;
	released = seen + 2;
	refused = seen + 3;
	arguments = argv;
	setvbuf(stdin, NULL, _IONBF, 0); /* adopt() must find the lines behind it */
	setvbuf(stdout, NULL, _IOLBF, 0);
	pend_hook_config_init(&c);
	for (int i = 1; i < argc; i++)
		if (!option(&c, argv[i])) {
			fprintf(stderr, "hooktool: unknown option %s\n", argv[i]);
			return 2;
		}
	s = pend_hook_open(&hook, &c);
	if (s != PEND_OK) {
		printf("%s open\n", pend_status_name(s));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		command(line);
	}
	hush();
	pend_hook_close(hook);
	while (kepts)
		free(kept[--kepts]);
	return 0;
}
