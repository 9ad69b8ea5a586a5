/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Send TCP segments made by hand: a flood of SYNs from many sources that never answer, or one segment with
 * chosen ports, number and flags. Bounded in count and rate, and it refuses to run in the namespace of
 * process 1: what it sends stays in namespaces that a test made.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 10000000
#define RATE_MAX  500000
#define BATCH     64

static const char usage_text[] =
	"usage: synflood -s SOURCE [OPTION]... ADDRESS PORT\n"
	"  -s ADDR   the first source address\n"
	"  -S COUNT  sources, counted up from that (1)\n"
	"  -n COUNT  segments in all (1), at most 10000000\n"
	"  -r RATE   a second (1000), at most 500000\n"
	"  -P PORT   source port (random for each)\n"
	"  -i NUMBER sequence number (random for each)\n"
	"  -f FLAGS  of FSRPAUEC (S)\n"
	"  -l BYTES  of payload, up to 1000 (0)\n"
	"  -R SEED   of the random values (1)\n"
	"Prints {\"sent\":N,\"seconds\":S}, on SIGTERM too. Only inside a network namespace of its own.\n";

struct segment {
	uint8_t bytes[1100]; /* the whole packet as sent */
	size_t len;
};

struct flood {
	int fd, family, source_port, payload;
	unsigned count, rate, sources;
	bool isn_fixed;
	uint32_t isn;
	uint8_t flags;
	uint64_t random;
	struct in_addr source4, target4;
	struct in6_addr source6, target6;
	struct sockaddr_storage to;
	socklen_t to_len;
};

static volatile sig_atomic_t over;

static void on_term(int signal)
{
	(void)signal;
	over = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* Is it one that `ip netns add` made? */
static bool is_named_namespace(ino_t mine)
{
	bool found = false;
	glob_t names;

	if (glob("/run/netns/*", 0, NULL, &names) != 0)
		return false;
	for (size_t i = 0; i < names.gl_pathc; i++) {
		struct stat st;

		found |= stat(names.gl_pathv[i], &st) == 0 && st.st_ino == mine;
	}
	globfree(&names);
	return found;
}

/* Process 1 may be hidden from us; then only a named namespace will do. */
static void require_own_namespace(void)
{
	struct stat mine, first;

	if (stat("/proc/self/ns/net", &mine) < 0)
		die("synflood: cannot tell the network namespace");
	if (stat("/proc/1/ns/net", &first) == 0 ? mine.st_ino != first.st_ino
						: is_named_namespace(mine.st_ino))
		return;
	fputs("synflood: run it inside a network namespace: ip netns exec NAME synflood ...\n",
	      stderr);
	exit(2);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint32_t sum16(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	return len ? sum + (uint32_t)(p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The TCP header with a maximum segment size, as a plain client's SYN has. */
static size_t build_tcp(struct flood *f, uint8_t *out, uint32_t pseudo)
{
	struct tcphdr tcp = {0};
	uint64_t r = next_random(&f->random);
	static const uint8_t mss[4] = {2, 4, 0x05, 0xb4};
	size_t len = sizeof(tcp) + sizeof(mss) + (size_t)f->payload;
	uint8_t *flags = (uint8_t *)&tcp + 13;

	tcp.th_sport = htons((uint16_t)(f->source_port ? f->source_port : 1024 + (int)(r % 64000)));
	tcp.th_dport = f->family == AF_INET ? ((struct sockaddr_in *)&f->to)->sin_port
					    : ((struct sockaddr_in6 *)&f->to)->sin6_port;
	tcp.th_seq = htonl(f->isn_fixed ? f->isn : (uint32_t)(r >> 32));
	tcp.th_off = (sizeof(tcp) + sizeof(mss)) / 4;
	*flags = f->flags;
	tcp.th_win = htons(64240);
	memcpy(out, &tcp, sizeof(tcp));
	memcpy(out + sizeof(tcp), mss, sizeof(mss));
	memset(out + sizeof(tcp) + sizeof(mss), 'x', (size_t)f->payload);
	tcp.th_sum = fold(sum16(pseudo + IPPROTO_TCP + (uint32_t)len, out, len));
	memcpy(out, &tcp, sizeof(tcp));
	return len;
}

static void build_v4(struct flood *f, unsigned n, struct segment *s)
{
	struct ip ip = {.ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_TCP};
	size_t len;

	ip.ip_src.s_addr = htonl(ntohl(f->source4.s_addr) + n % f->sources);
	ip.ip_dst = f->target4;
	len = build_tcp(f, s->bytes + sizeof(ip), sum16(sum16(0, &ip.ip_src, 4), &ip.ip_dst, 4));
	s->len = sizeof(ip) + len;
	ip.ip_len = htons((uint16_t)s->len);
	memcpy(s->bytes, &ip, sizeof(ip)); /* the kernel fills checksum and id */
}

static void build_v6(struct flood *f, unsigned n, struct segment *s)
{
	struct ip6_hdr ip = {0};
	uint32_t low;
	size_t len;

	ip.ip6_src = f->source6;
	memcpy(&low, &ip.ip6_src.s6_addr[12], 4);
	low = htonl(ntohl(low) + n % f->sources);
	memcpy(&ip.ip6_src.s6_addr[12], &low, 4);
	ip.ip6_dst = f->target6;
	len = build_tcp(f, s->bytes + sizeof(ip),
			sum16(sum16(0, &ip.ip6_src, 16), &ip.ip6_dst, 16));
	s->len = sizeof(ip) + len;
	ip.ip6_flow = htonl(6u << 28);
	ip.ip6_plen = htons((uint16_t)len);
	ip.ip6_nxt = IPPROTO_TCP;
	ip.ip6_hlim = 64;
	memcpy(s->bytes, &ip, sizeof(ip));
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned send_batch(struct flood *f, unsigned first, unsigned count)
{
	static struct segment segments[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	struct sockaddr_storage to = f->to;
	unsigned done = 0;

	/* A raw IPv6 socket takes a protocol where a port would be. */
	if (f->family == AF_INET6)
		((struct sockaddr_in6 *)&to)->sin6_port = 0;
	memset(messages, 0, sizeof(messages));
	for (unsigned i = 0; i < count; i++) {
		if (f->family == AF_INET)
			build_v4(f, first + i, &segments[i]);
		else
			build_v6(f, first + i, &segments[i]);
		parts[i] = (struct iovec){segments[i].bytes, segments[i].len};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
						      .msg_namelen = f->to_len,
						      .msg_iov = &parts[i],
						      .msg_iovlen = 1};
	}
	while (done < count) {
		int n = sendmmsg(f->fd, messages + done, count - done, 0);

		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			die("synflood: send");
		if (n < 0)
			usleep(1000);
		else
			done += (unsigned)n;
	}
	return done;
}

static void flood_run(struct flood *f)
{
	double begin = now();
	unsigned sent = 0;

	while (sent < f->count && !over) {
		double due = (now() - begin) * f->rate + 1;
		unsigned want = due < f->count ? (unsigned)due : f->count;

		if (want <= sent) {
			usleep(500);
			continue;
		}
		sent += send_batch(f, sent, want - sent < BATCH ? want - sent : BATCH);
	}
	printf("{\"sent\":%u,\"seconds\":%.3f}\n", sent, now() - begin);
}

static uint8_t parse_flags(const char *text)
{
	static const char names[] = "FSRPAUEC";
	unsigned flags = 0;

	for (; *text; text++) {
		const char *at = strchr(names, *text);

		if (!at)
			exit((fputs(usage_text, stderr), 2));
		flags |= 1u << (at - names);
	}
	return (uint8_t)flags;
}

static void set_target(struct flood *f, const char *source, const char *target, const char *port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&f->to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->to;

	if (inet_pton(AF_INET, target, &f->target4) == 1 &&
	    inet_pton(AF_INET, source, &f->source4) == 1) {
		f->family = v4->sin_family = AF_INET;
		v4->sin_addr = f->target4;
		v4->sin_port = htons((uint16_t)atoi(port));
		f->to_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, target, &f->target6) == 1 &&
		   inet_pton(AF_INET6, source, &f->source6) == 1) {
		f->family = v6->sin6_family = AF_INET6;
		v6->sin6_addr = f->target6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		f->to_len = sizeof(*v6);
	} else {
		fputs("synflood: source and target are addresses of one family\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct flood f = {.count = 1, .rate = 1000, .sources = 1, .flags = TH_SYN, .random = 1};
	const char *source = NULL;
	int o;

	while ((o = getopt(argc, argv, "s:S:n:r:P:i:f:l:R:")) != -1) {
		switch (o) {
		case 's':
			source = optarg;
			break;
		case 'S':
			f.sources = (unsigned)atoi(optarg);
			break;
		case 'n':
			f.count = (unsigned)atoi(optarg);
			break;
		case 'r':
			f.rate = (unsigned)atoi(optarg);
			break;
		case 'P':
			f.source_port = atoi(optarg);
			break;
		case 'i':
			f.isn = (uint32_t)strtoul(optarg, NULL, 0);
			f.isn_fixed = true;
			break;
		case 'f':
			f.flags = parse_flags(optarg);
			break;
		case 'l':
			f.payload = atoi(optarg);
			break;
		case 'R':
			f.random = strtoull(optarg, NULL, 0);
			break;
		default:
			return fputs(usage_text, stderr), 2;
		}
	}
	if (!source || argc - optind != 2 || !f.sources || f.count > COUNT_MAX || !f.rate ||
	    f.rate > RATE_MAX || f.payload < 0 || f.payload > 1000)
		return fputs(usage_text, stderr), 2;
	require_own_namespace();
	set_target(&f, source, argv[optind], argv[optind + 1]);
	f.fd = socket(f.family, SOCK_RAW, IPPROTO_RAW);
	if (f.fd < 0)
		die("synflood: socket");
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
	flood_run(&f);
	return 0;
}
