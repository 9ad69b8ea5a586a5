/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hookup without a kernel: what a configuration may be, what the rules are, and their text. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/exec.h"
#include "io/hook.h"
#include "io/probe.h"
#include <pend.h>

static struct pend_hook_config base(void)
{
	struct pend_hook_config c;

	pend_hook_config_init(&c);
	c.kind = PEND_HOOK_NONE;
	return c;
}

static enum pend_status try(const struct pend_hook_config *c)
{
	struct pend_hook *h = NULL;
	enum pend_status s = pend_hook_open(&h, c);

	ck_assert((s == PEND_OK) == (h != NULL));
	pend_hook_close(h);
	return s;
}

START_TEST(defaults)
{
	struct pend_hook_config c;

	pend_hook_config_init(&c);
	ck_assert_int_eq(c.kind, PEND_HOOK_AUTO);
	ck_assert_str_eq(c.name, "pend");
	ck_assert_uint_eq(c.mark_mask, PEND_MARK_MASK);
	ck_assert_uint_eq(c.hooks, PEND_HOOK_INPUT | PEND_HOOK_FORWARD);
	ck_assert_int_eq(c.priority, 20);
	ck_assert_int_eq(c.nft_fd, -1);
	ck_assert(!c.loopback && !c.multicast && !c.fail_open && !c.decisions);
	c = base();
	ck_assert_int_eq(try(&c), PEND_OK);
}
END_TEST

START_TEST(null_pointers)
{
	struct pend_hook_config c = base();
	struct pend_hook *h;

	ck_assert_int_eq(pend_hook_open(NULL, &c), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_open(&h, NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_install(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_verify(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_repair(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_remove(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_set_epoch(NULL, 1), PEND_E_NULL_POINTER);
	ck_assert_ptr_null(pend_hook_print(NULL, PEND_HOOK_NFT));
	ck_assert_str_eq(pend_hook_error(NULL), "");
	ck_assert_str_eq(pend_hook_warning(NULL), "");
	ck_assert_str_eq(pend_hook_features(NULL), "");
	ck_assert_int_eq(pend_hook_fd(NULL), -1);
	ck_assert(!pend_hook_can_reject(NULL) && !pend_hook_wants_repeat(NULL));
	ck_assert(!pend_hook_can_decide(NULL));
	ck_assert_int_eq(pend_hook_decide(NULL, NULL, 0), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_undecide(NULL), PEND_E_NULL_POINTER);
	ck_assert_int_eq(pend_hook_decided(NULL, NULL), PEND_E_NULL_POINTER);
	pend_hook_close(NULL);
}
END_TEST

static const struct {
	const char *name;
	enum pend_status want;
} names[] = {
	{"pend", PEND_OK},
	{"a", PEND_OK},
	{"a-b_9", PEND_OK},
	{"abcdefghijklmnop", PEND_OK},
	{"abcdefghijklmnopq", PEND_E_INVALID},
	{"", PEND_E_INVALID},
	{NULL, PEND_E_INVALID},
	{"Pend", PEND_E_INVALID},
	{"-pend", PEND_E_INVALID},
	{"9pend", PEND_E_INVALID},
	{"pe nd", PEND_E_INVALID},
	{"pend\n", PEND_E_INVALID},
	{"pend;", PEND_E_INVALID},
	{"p\xc3\xa4nd", PEND_E_INVALID},
};

START_TEST(name)
{
	struct pend_hook_config c = base();

	c.name = names[_i].name;
	ck_assert_int_eq(try(&c), names[_i].want);
}
END_TEST

static void set_queue(struct pend_hook_config *c, unsigned first, unsigned count)
{
	c->queue_first = (uint16_t)first;
	c->queue_count = (uint16_t)count;
}

START_TEST(queues)
{
	static const struct {
		unsigned first, count;
		enum pend_status want;
	} t[] = {
		{0, 1, PEND_OK},     {0, 65535, PEND_OK},        {65535, 1, PEND_OK},
		{65532, 4, PEND_OK}, {65533, 4, PEND_E_INVALID}, {0, 0, PEND_E_INVALID},
		{1, 65535, PEND_OK}, {2, 65535, PEND_E_INVALID},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct pend_hook_config c = base();

		set_queue(&c, t[i].first, t[i].count);
		ck_assert_msg(try(&c) == t[i].want, "%u + %u", t[i].first, t[i].count);
	}
}
END_TEST

/* Every other field, one wrong value at a time. */
START_TEST(fields)
{
	struct pend_hook_config c[12];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++)
		c[i] = base();
	c[n++].mark_mask = 0;
	c[n++].mark_mask = 0x1ff;
	c[n++].mark_mask = 0xff00ff00;
	c[n++].epoch = 0;
	c[n++].epoch = 63;
	c[n++].hooks = 0;
	c[n++].hooks = 4;
	c[n++].priority = -200;
	c[n++].priority = 1001;
	c[n++].iptables = "both";
	c[n++].nft_fd = -2;
	c[n++].kind = (enum pend_hook_kind)4;
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(try(&c[i]) == PEND_E_INVALID, "case %zu", i);
}
END_TEST

START_TEST(none_does_nothing)
{
	struct pend_hook_config c = base();
	struct pend_hook *h;

	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert_str_eq(pend_hook_describe(h), "none");
	ck_assert_int_eq(pend_hook_install(h), PEND_OK);
	ck_assert_int_eq(pend_hook_set_epoch(h, 62), PEND_OK);
	ck_assert_int_eq(pend_hook_set_epoch(h, 63), PEND_E_INVALID);
	ck_assert_int_eq(pend_hook_remove(h), PEND_OK);
	ck_assert_int_eq(pend_hook_fd(h), -1);
	ck_assert(pend_hook_can_reject(h) && !pend_hook_wants_repeat(h));
	pend_hook_close(h);
	c.iptables = "nft"; /* the administrator's own rules are like iptables' */
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_reject(h) && pend_hook_wants_repeat(h));
	pend_hook_close(h);
}
END_TEST

START_TEST(decisions_need_a_place)
{
	struct pend_hook_config c = base();
	struct pend_hook_decision d = {.family = 4};
	struct pend_hook_decided n = {1, 1};
	struct pend_hook *h;

	c.decisions = true; /* but the rules are somebody else's */
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_decide(h));
	ck_assert_int_eq(pend_hook_decide(h, &d, 1), PEND_E_UNSUPPORTED);
	ck_assert_int_eq(pend_hook_undecide(h), PEND_E_UNSUPPORTED);
	ck_assert_int_eq(pend_hook_decided(h, &n), PEND_OK);
	ck_assert(!n.permits && !n.blocks);
	pend_hook_close(h);
	c.kind = PEND_HOOK_IPTABLES;
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_decide(h));
	pend_hook_close(h);
	c.kind = PEND_HOOK_NFT;
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(pend_hook_can_decide(h));
	pend_hook_close(h);
	c.hooks = PEND_HOOK_FORWARD;
	ck_assert_int_eq(pend_hook_open(&h, &c), PEND_OK);
	ck_assert(!pend_hook_can_decide(h));
	pend_hook_close(h);
}
END_TEST

START_TEST(lazy_is_for_nft)
{
	struct pend_hook_config c = base();

	c.lazy = true;
	ck_assert_int_eq(try(&c), PEND_OK);
	c.iptables = "nft";
	ck_assert_int_eq(try(&c), PEND_E_UNSUPPORTED);
	c.iptables = "";
	c.kind = PEND_HOOK_IPTABLES;
	ck_assert_int_eq(try(&c), PEND_E_UNSUPPORTED);
}
END_TEST

/* ---- text ---- */

static char *text_of(const struct pend_hook_config *c, enum pend_hook_kind as)
{
	struct pend_hook *h;
	char *text;

	ck_assert_int_eq(pend_hook_open(&h, c), PEND_OK);
	text = pend_hook_print(h, as);
	ck_assert_ptr_nonnull(text);
	pend_hook_close(h);
	return text;
}

static void has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in:\n%s", part, text);
}

START_TEST(nft_text)
{
	struct pend_hook_config c = base();
	char *t = text_of(&c, PEND_HOOK_NFT);

	has(t, "table inet pend {");
	has(t, "elements = { 0x02800000 }");
	has(t, "type filter hook prerouting priority -310; policy accept;");
	has(t, "type filter hook forward priority 20; policy accept;");
	has(t, "type filter hook forward priority 30; policy accept;");
	has(t, "ct mark & 0x7f800000 @valid accept");
	has(t, "ct mark & 0x01800000 == 0x01000000 counter drop");
	has(t, "ct mark & 0x01800000 == 0x01000000 ct state established,new ct direction original "
	       "meta mark set meta mark & 0x807fffff | 0x08000000\n");
	has(t, "meta mark & 0x7d800000 == 0x08000000 counter queue num 0 comment \"begun anew\"");
	has(t, "type filter hook output priority 20; policy accept;\n"
	       "\t\tmeta l4proto tcp accept\n"
	       "\t\tct mark & 0x01800000 == 0x01000000 ct state established ct direction reply "
	       "counter drop");
	lacks(t, "hook output priority 30");
	has(t, "tcp flags & (fin | syn | rst | ack) != syn ct state new counter drop");
	has(t, "ct mark set ct mark & 0x807fffff | 0x02800000");
	has(t, "ct status dnat meta mark set meta mark & 0x807fffff | 0x02000000\n");
	has(t, "counter queue num 0 comment");
	lacks(t, "bypass");
	free(t);
	c.queue_count = 4;
	c.fail_open = true;
	c.hooks = PEND_HOOK_FORWARD;
	c.name = "guard";
	t = text_of(&c, PEND_HOOK_NFT);
	has(t, "queue num 0-3 bypass");
	has(t, "table inet guard {");
	lacks(t, "hook input");
	free(t);
}
END_TEST

START_TEST(lazy_nft_text)
{
	struct pend_hook_config c = base();
	char *t;

	c.lazy = true;
	c.epoch = 2;
	t = text_of(&c, PEND_HOOK_NFT);
	has(t, "elements = { 0x04800000 }");
	has(t, "type filter hook output priority 20; policy accept;");
	has(t, "type filter hook output priority 30; policy accept;");
	has(t, "meta mark & 0x7f800000 == 0x03000000 counter ct mark set ct mark & 0x807fffff | "
	       "0x01000000 comment \"ended\"");
	has(t, "ct mark & 0x01800000 == 0x00800000 ct state established,new ct direction original "
	       "meta mark set meta mark & 0x807fffff | 0x04000000\n");
	has(t, "ct direction reply meta mark set meta mark & 0x807fffff | 0x06000000\n");
	has(t, "meta mark & 0x7d800000 == 0x04000000 counter queue num 0 bypass comment \"again\"");
	has(t, "counter queue num 0 comment \"queue\""); /* fail closed */
	has(t, "ct mark set ct mark & 0x807fffff | 0x02800000 comment \"permitted before\"");
	has(t, "ct mark set ct mark & 0x807fffff | 0x04800000 comment \"permitted\"");
	free(t);
	t = text_of(&c, PEND_HOOK_IPTABLES); /* as if it were not lazy */
	lacks(t, "0x3000000/");
	free(t);
}
END_TEST

START_TEST(decisions_nft_text)
{
	struct pend_hook_config c = base();
	char *t;

	t = text_of(&c, PEND_HOOK_NFT);
	lacks(t, "decided");
	lacks(t, "permit4");
	free(t);
	c.decisions = true;
	t = text_of(&c, PEND_HOOK_NFT);
	has(t, "\tset permit4 {\n\t\ttype iface_index . ipv4_addr . ipv4_addr . inet_proto . "
	       "inet_service\n\t\tsize 65536\n\t\tflags timeout\n\t}\n");
	has(t,
	    "meta mark & 0x7f800000 == 0x00000000 meta l4proto tcp tcp flags & (fin | syn | rst | ack) "
	    "== syn ct state new jump decided\n");
	has(t, "meta mark & 0x7f800000 == 0x00000000 meta l4proto udp ct state new jump decided\n");
	has(t,
	    "\tchain decided {\n\t\tiif . ip saddr . ip daddr . meta l4proto . th dport @permit4 "
	    "counter meta mark set meta mark & 0x807fffff | 0x02800000 comment \"decided\"\n");
	has(t, "\t\tmeta mark & 0x7f800000 == 0x02800000 accept\n");
	has(t,
	    "meta l4proto tcp iif . ip6 saddr . ip6 daddr . meta l4proto . th dport @reset6 counter "
	    "reject with tcp reset comment \"decided\"\n");
	free(t);
}
END_TEST

START_TEST(iptables_text)
{
	struct pend_hook_config c = base();
	char *t = text_of(&c, PEND_HOOK_IPTABLES);

	has(t, "*raw\n:PEND-CLEAR - [0:0]\n");
	has(t, "*security\n:PEND-IN - [0:0]\n");
	has(t, "-I INPUT 1 -j PEND-IN\n");
	has(t, "-A PEND-IN -p tcp -m connmark --mark 0x1000000/0x1800000 -j DROP\n");
	has(t, "-A PEND-IN -m connmark --mark 0x1000000/0x1800000 -m conntrack --ctstate "
	       "ESTABLISHED,NEW -m conntrack --ctdir ORIGINAL -j MARK --set-xmark "
	       "0x8000000/0x7f800000\n");
	has(t, "-A PEND-IN -m mark --mark 0x8000000/0x7d800000 -j NFQUEUE --queue-num 0\n");
	has(t, "-A PEND-OUT -m connmark --mark 0x1000000/0x1800000 -m conntrack --ctstate "
	       "ESTABLISHED -m conntrack --ctdir REPLY -j DROP\n");
	has(t, "-I OUTPUT 1 -j PEND-OUT\n");
	has(t, "-A PEND-IN -m connmark --mark 0x2800000/0x7f800000 -j RETURN\n");
	has(t, "-A PEND-IN -4 -p icmp -m icmp ! --icmp-type 8 -j RETURN\n");
	has(t, "-A PEND-IN -6 -p ipv6-icmp -m icmp6 ! --icmpv6-type 128 -j RETURN\n");
	has(t, "-A PEND-IN -4 -m addrtype --dst-type BROADCAST -j RETURN\n");
	has(t, "-A PEND-PERMIT -j CONNMARK --set-xmark 0x2800000/0x7f800000\n");
	has(t, "-A PEND-IN -m conntrack --ctstate DNAT -j MARK --set-xmark 0x2000000/0x7f800000\n"
	       "-A PEND-IN -j NFQUEUE --queue-num 0\n");
	lacks(t, "REJECT");
	lacks(t, "-j ACCEPT");
	free(t);
	c.queue_first = 7;
	c.queue_count = 2;
	c.fail_open = true;
	t = text_of(&c, PEND_HOOK_IPTABLES);
	has(t, "-j NFQUEUE --queue-balance 7:8 --queue-bypass\n");
	free(t);
}
END_TEST

START_TEST(longest_name_fits_iptables)
{
	struct pend_hook_config c = base();
	char *t;

	c.name = "abcdefghijklmnop";
	t = text_of(&c, PEND_HOOK_IPTABLES);
	has(t, "\n:ABCDEFGHIJKLMNOP-PERMIT - [0:0]\n"); /* 23; iptables takes 28 */
	free(t);
}
END_TEST

/* ---- helpers ---- */

START_TEST(statuses)
{
	ck_assert_int_eq(hook_status(0), PEND_OK);
	ck_assert_int_eq(hook_status(-EPERM), PEND_E_PERMISSION);
	ck_assert_int_eq(hook_status(-EBUSY), PEND_E_IN_USE);
	ck_assert_int_eq(hook_status(-EEXIST), PEND_E_IN_USE);
	ck_assert_int_eq(hook_status(-ENOENT), PEND_E_NOT_FOUND);
	ck_assert_int_eq(hook_status(-ENOMEM), PEND_E_NO_MEMORY);
	ck_assert_int_eq(hook_status(-EOPNOTSUPP), PEND_E_UNSUPPORTED);
	ck_assert_int_eq(hook_status(-EINVAL), PEND_E_SYSTEM);
}
END_TEST

START_TEST(probe_texts)
{
	const unsigned all = PROBE_NFT_NEEDED | PROBE_NFT_QUEUE;
	char buf[256];

	has(probe_text(PROBE_NFT | PROBE_NFT_QUEUE, buf, sizeof(buf)), "nft, nft queue; missing: ");
	has(probe_text(0, buf, sizeof(buf)), "missing: nft, ");
	ck_assert_str_eq(probe_name(PROBE_NFT_QUEUE), "nft queue");
	ck_assert_ptr_null(probe_name(1u << 31));
	ck_assert_uint_lt(strlen(probe_text(0, buf, 16)), 16);
	ck_assert(probe_nft_ready(all, NULL, 0));
	ck_assert(probe_nft_ready(PROBE_NFT_NEEDED | PROBE_NFT_XT_QUEUE, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "");
	ck_assert(!probe_nft_ready(PROBE_NFT_NEEDED, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "nft queue");
	ck_assert(!probe_nft_ready(all & ~(unsigned)PROBE_NFT_OWNER, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "nft owner");
}
END_TEST

START_TEST(exec_passes_bytes_and_status)
{
	char path[EXEC_PATH_MAX];
	struct exec_out out;

	ck_assert(!exec_find("no-such-program-of-pend", path));
	ck_assert(exec_find("cat", path));
	ck_assert_int_eq(exec_run((const char *[]){path, NULL}, "some\ntext", &out), 0);
	ck_assert_int_eq(out.status, 0);
	ck_assert_str_eq(out.text, "some\ntext");
	ck_assert_str_eq(out.said, "");
	free(out.text);
	ck_assert_int_eq(exec_run((const char *[]){path, "/no; such $(file)", NULL}, NULL, &out),
			 0);
	ck_assert_int_eq(out.status, 1);
	has(out.said, "/no; such $(file)");
	free(out.text);
	ck_assert_int_lt(exec_run((const char *[]){"/no/such/program", NULL}, NULL, &out), 0);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("hook");
	TCase *t = tcase_create("hook");

	tcase_add_test(t, defaults);
	tcase_add_test(t, null_pointers);
	tcase_add_loop_test(t, name, 0, sizeof(names) / sizeof(*names));
	tcase_add_test(t, queues);
	tcase_add_test(t, fields);
	tcase_add_test(t, none_does_nothing);
	tcase_add_test(t, decisions_need_a_place);
	tcase_add_test(t, decisions_nft_text);
	tcase_add_test(t, lazy_is_for_nft);
	tcase_add_test(t, nft_text);
	tcase_add_test(t, lazy_nft_text);
	tcase_add_test(t, iptables_text);
	tcase_add_test(t, longest_name_fits_iptables);
	tcase_add_test(t, statuses);
	tcase_add_test(t, probe_texts);
	tcase_add_test(t, exec_passes_bytes_and_status);
	suite_add_tcase(s, t);
	return s;
}
