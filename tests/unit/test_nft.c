/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of nf_tables, by a kernel that is the other end of a socket pair: what it will say is written before. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "io/nft.h"

static struct nft n;
static int kernel; /* its end */
static unsigned seen;

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	kernel = pair[1];
	ck_assert_int_eq(nft_open(&n, pair[0]), 0);
	seen = 0;
}

static void teardown(void)
{
	nft_close(&n);
	close(kernel);
}

struct message {
	struct nlmsghdr h;
	struct nlmsgerr e;
};

static struct message message(uint16_t type, uint16_t flags, uint32_t seq, int err)
{
	struct message m = {.h = {.nlmsg_len = sizeof(m),
				  .nlmsg_type = type,
				  .nlmsg_flags = flags,
				  .nlmsg_seq = seq},
			    .e = {.error = err}};

	return m;
}

static void says(const struct message *m, size_t count)
{
	ck_assert_int_eq(send(kernel, m, count * sizeof(*m), 0), (ssize_t)(count * sizeof(*m)));
}

static void say(uint16_t type, uint16_t flags, uint32_t seq, int err)
{
	struct message m = message(type, flags, seq, err);

	says(&m, 1);
}

enum { DATA = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN };

static int see(const struct nlmsghdr *nlh, void *data)
{
	(void)nlh;
	if (data) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	seen++;
	return MNL_CB_OK;
}

static int dump(void *data)
{
	return nft_get(&n, NFT_MSG_GETCHAIN, 0, NLM_F_DUMP, NULL, see, data);
}

static bool quiet(void)
{
	char c;

	return recv(nft_fd(&n), &c, sizeof(c), MSG_DONTWAIT) < 0;
}

START_TEST(a_dump)
{
	struct message m[] = {message(DATA, NLM_F_MULTI, n.seq, 0),
			      message(DATA, NLM_F_MULTI, n.seq, 0)};

	says(m, 2);
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI, n.seq, 0);
	ck_assert_int_eq(dump(NULL), 0);
	ck_assert_uint_eq(seen, 3);
}
END_TEST

/* The kernel is not through with it before its end: a retry that came sooner would be refused, and everything
 * after it get the answers of before. */
START_TEST(an_interrupted_dump_is_read_to_its_end)
{
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(DATA, NLM_F_MULTI | NLM_F_DUMP_INTR, n.seq, 0);
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI, n.seq, 0);
	ck_assert_int_eq(dump(NULL), -EINTR);
	ck_assert_uint_eq(seen, 1);
	ck_assert(quiet());
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI, n.seq, 0);
	ck_assert_int_eq(dump(NULL), 0);
	ck_assert_uint_eq(seen, 2);
}
END_TEST

START_TEST(interrupted_by_its_last_message)
{
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, n.seq, 0);
	ck_assert_int_eq(dump(NULL), -EINTR);
}
END_TEST

START_TEST(so_is_one_that_we_cannot_take)
{
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI, n.seq, 0);
	ck_assert_int_eq(dump(&seen), -ENOMEM);
	ck_assert(quiet());
}
END_TEST

START_TEST(errors_of_the_kernel)
{
	say(NLMSG_ERROR, 0, n.seq, -EBUSY);
	ck_assert_int_eq(dump(NULL), -EBUSY);
	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI, n.seq, -ENOENT);
	ck_assert_int_eq(dump(NULL), -ENOENT);
	close(kernel);
	kernel = -1;
	ck_assert_int_lt(dump(NULL), 0);
}
END_TEST

START_TEST(what_is_left_over_is_nobodys)
{
	struct message m[] = {message(DATA, NLM_F_MULTI | NLM_F_DUMP_INTR, n.seq - 1, 0),
			      message(NLMSG_ERROR, 0, n.seq - 2, -EBUSY),
			      message(NLMSG_DONE, NLM_F_MULTI, n.seq - 1, 0),
			      message(DATA, NLM_F_MULTI, n.seq, 0),
			      message(NLMSG_DONE, NLM_F_MULTI, n.seq, 0)};

	says(m, 5);
	ck_assert_int_eq(dump(NULL), 0);
	ck_assert_uint_eq(seen, 1);
}
END_TEST

START_TEST(one_object)
{
	say(DATA, 0, n.seq, 0);
	say(NLMSG_ERROR, 0, n.seq, 0);
	ck_assert_int_eq(nft_get(&n, NFT_MSG_GETGEN, 0, 0, NULL, see, NULL), 0);
	ck_assert_uint_eq(seen, 1);
}
END_TEST

/* An adopted socket whose last owner died in the middle of something. */
START_TEST(an_adopted_socket_is_empty)
{
	struct nft other;

	say(DATA, NLM_F_MULTI, n.seq, 0);
	say(NLMSG_DONE, NLM_F_MULTI, n.seq, 0);
	ck_assert_int_eq(nft_open(&other, dup(nft_fd(&n))), 0);
	nft_close(&other);
	ck_assert(quiet());
}
END_TEST

/* ---- transactions ---- */

static void begin(struct nft_tx *t, unsigned messages)
{
	nft_tx_begin(t, &n);
	for (unsigned i = 0; i < messages; i++) {
		ck_assert_ptr_nonnull(nft_tx_message(t, NFT_MSG_NEWCHAIN, 0, 0));
		nft_tx_done(t);
	}
}

START_TEST(a_commit_has_its_own_answers)
{
	struct nft_tx t;

	begin(&t, 2);
	say(NLMSG_ERROR, 0, t.first - 2, -EBUSY); /* of a request before it */
	say(NLMSG_ERROR, 0, t.first + 3, -EBUSY);
	say(NLMSG_ERROR, 0, t.first, 0);
	say(NLMSG_ERROR, 0, t.first + 1, 0);
	ck_assert_int_eq(nft_tx_commit(&t, false), 0);
}
END_TEST

START_TEST(a_message_is_refused)
{
	struct nft_tx t;

	begin(&t, 2);
	say(NLMSG_ERROR, 0, t.first, 0);
	say(NLMSG_ERROR, 0, t.first + 1, -EEXIST);
	ck_assert_int_eq(nft_tx_commit(&t, false), -EEXIST);
	ck_assert(t.err[0] == 0 && t.err[1] == -EEXIST);
}
END_TEST

/* Its begin (no right to it) or its end (the rules of before have changed meanwhile) stands for the batch. */
START_TEST(a_batch_is_refused)
{
	struct nft_tx t;

	begin(&t, 1);
	say(NLMSG_ERROR, 0, _i ? t.first + 1 : t.first - 1, -EPERM);
	ck_assert_int_eq(nft_tx_commit(&t, false), -EPERM);
}
END_TEST

START_TEST(no_answer_is_none)
{
	struct nft_tx t;

	begin(&t, 2);
	say(NLMSG_ERROR, 0, t.first, 0);
	ck_assert_int_eq(nft_tx_commit(&t, false), -EPROTO);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("nft");
	TCase *t = tcase_create("answers");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_dump);
	tcase_add_test(t, an_interrupted_dump_is_read_to_its_end);
	tcase_add_test(t, interrupted_by_its_last_message);
	tcase_add_test(t, so_is_one_that_we_cannot_take);
	tcase_add_test(t, errors_of_the_kernel);
	tcase_add_test(t, what_is_left_over_is_nobodys);
	tcase_add_test(t, one_object);
	tcase_add_test(t, an_adopted_socket_is_empty);
	tcase_add_test(t, a_commit_has_its_own_answers);
	tcase_add_test(t, a_message_is_refused);
	tcase_add_loop_test(t, a_batch_is_refused, 0, 2);
	tcase_add_test(t, no_answer_is_none);
	suite_add_tcase(s, t);
	return s;
}
