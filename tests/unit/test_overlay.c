/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of run time: what an overlay holds, as bytes too, and the queue that puts changes in force, with a
 * made-up verdict process and clock.
 */
#include "changes_run.h"
#include <pwd.h>

/* ----------------------------------------------------------------------- rules ---- */

START_TEST(rules_come_go_and_change)
{
	struct classify_rule r;

	add_rule("permit from 192.0.2.9");
	settle(1);
	ck_assert_uint_eq(last_object, 1);
	ck_assert_uint_eq(view.generation, 2);
	ck_assert(classify_rule(view.classifier, 0, &r));
	ck_assert_str_eq(r.file, "object 1");
	ck_assert_str_eq(last_entry()->what, "add 1: permit from 192.0.2.9");
	ck_assert_str_eq(last_entry()->why, "ticket");
	ck_assert_str_eq(last_entry()->who.user, "alice");
	ck_assert_uint_eq(last_entry()->generation, 2);
	ck_assert_int_eq(changes_add(c, number(REPLACE, 1, "block from 192.0.2.8")), 0);
	settle(2);
	ck_assert(classify_rule(view.classifier, 0, &r));
	ck_assert_str_eq(r.text, "block from 192.0.2.8");
	ck_assert_int_eq(changes_add(c, number(DELETE, 1, NULL)), 0);
	settle(3);
	ck_assert_uint_eq(classify_rules(view.classifier), 2);
	ck_assert_int_eq(changes_add(c, number(DELETE, 1, NULL)), 0);
	settle(4);
	ck_assert_str_eq(codes, "ok ok ok not-found");
	ck_assert_uint_eq(view.generation, 4);
	ck_assert_str_eq(last_entry()->status, "there is no object 1");
}
END_TEST

START_TEST(all_or_nothing)
{
	struct amend *ch = rule("permit from 192.0.2.9", 0, 0);

	ch->steps = 2;
	ch->step[1].op = STEP_DELETE;
	ch->step[1].number = 77;
	ck_assert_int_eq(changes_add(c, ch), 0);
	ch = rule("permit from 192.0.2.9", 0, 0);
	ch->steps = 2;
	ch->step[1].op = STEP_ADD;
	ch->step[1].text = strdup("permit proto tpc");
	ck_assert_int_eq(changes_add(c, ch), 0);
	settle(2);
	ck_assert_str_eq(codes, "not-found policy");
	ck_assert_ptr_nonnull(strstr(texts, "change 2:14: error: unknown protocol \"tpc\""));
	ck_assert_uint_eq(posted, 0);
	ck_assert_uint_eq(changes_overlay(c)->objects, 0);
}
END_TEST

START_TEST(what_waits_is_put_in_force_together)
{
	add_rule("permit from 192.0.2.1");
	ck_assert(sends(1));
	for (int i = 0; i < 50; i++)
		add_rule("permit from 192.0.2.2");
	answer(PEND_OK);
	settle(51);
	ck_assert_uint_eq(posted, 2);
	ck_assert_uint_eq(changes_overlay(c)->objects, 51);
	ck_assert_uint_eq(view.generation, 3);
	ck_assert_uint_eq(classify_rules(view.classifier), 53);
}
END_TEST

START_TEST(only_the_wrong_ones_fail)
{
	add_rule("permit from 192.0.2.1");
	ck_assert(sends(1));
	for (int i = 0; i < 40; i++)
		add_rule(i == 7 || i == 31 ? "permit from @nobody" : "permit from 192.0.2.2");
	answer(PEND_OK);
	settle(41);
	ck_assert_uint_eq(done, 39);
	ck_assert_uint_eq(failed, 2);
	ck_assert_uint_eq(changes_overlay(c)->objects, 39);
	ck_assert_ptr_nonnull(strstr(texts, "change 1:13: error: unknown set"));
	ck_assert_uint_lt(posted, 20);
}
END_TEST

/* A file that cannot be read is the reload's alone, as one that is wrong. */
START_TEST(a_reload_fails_for_itself)
{
	for (int there = 0; there < 2; there++) {
		unlink(config);
		if (there)
			file("nonsense\n");
		done = failed = 0;
		codes[0] = '\0';
		add_rule("permit from 192.0.2.1");
		ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8", 0, 0)), 0);
		ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
		add_rule("permit from 192.0.2.2");
		settle(4);
		ck_assert_str_eq(codes, "ok ok policy ok");
	}
	ck_assert_uint_eq(changes_overlay(c)->objects, 4);
	ck_assert(in("8.8.8.8"));
}
END_TEST

START_TEST(the_verdict_process_refuses)
{
	add_rule("permit from 192.0.2.1");
	ck_assert(sends(1));
	answer(PEND_E_INVALID);
	settle(1);
	ck_assert_str_eq(codes, "system");
	dead = true;
	add_rule("permit from 192.0.2.1");
	settle(2);
	ck_assert_str_eq(codes, "system system");
	ck_assert_uint_eq(changes_overlay(c)->objects, 0);
	ck_assert_uint_eq(view.generation, 1);
}
END_TEST

START_TEST(bounds)
{
	char *longest = malloc(OVERLAY_RULE_MAX + 2);
	struct amend *ch = rule("permit", 0, 0);

	for (unsigned i = 0; i < CHANGES_WAITING; i++)
		add_rule("permit from 192.0.2.2");
	ck_assert_int_eq(changes_add(c, ch), -EBUSY);
	amend_free(ch);
	ck_assert_uint_eq(changes_stats(c)->busy, 1);
	settle(CHANGES_WAITING);
	ck_assert_uint_eq(changes_overlay(c)->objects, CHANGES_WAITING);
	ck_assert_uint_eq(posted, 1);
	memset(longest, 'p', OVERLAY_RULE_MAX + 1);
	longest[OVERLAY_RULE_MAX + 1] = '\0';
	codes[0] = '\0';
	add_rule(longest);
	add_rule("permit\n");
	settle(CHANGES_WAITING + 2);
	ck_assert_str_eq(codes, "invalid invalid");
	for (unsigned n = 0; n < OVERLAY_OBJECTS_MAX - CHANGES_WAITING + 1; n++) {
		if (n % CHANGES_WAITING == 0)
			settle(CHANGES_WAITING + 2 + n);
		add_rule("permit from 192.0.2.2");
	}
	settle(OVERLAY_OBJECTS_MAX + 3);
	ck_assert_uint_eq(changes_overlay(c)->objects, OVERLAY_OBJECTS_MAX);
	ck_assert_uint_eq(failed, 3);
	free(longest);
}
END_TEST

/* ------------------------------------------------------------------------ sets ---- */

START_TEST(sets_change_without_a_policy)
{
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "203.0.113.7 10.1.0.0/16", 0, 0)), 0);
	ck_assert(sends(1));
	ck_assert_uint_eq(sent.type, MSG_SETS);
	/* what comes meanwhile is one message more */
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "10.2.0.0/16 8.8.8.8", 0, 0)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8", 0, 0)), 0);
	spin(5);
	answer(PEND_OK);
	ck_assert(in("203.0.113.7") && in("10.1.2.3") && in("10.2.0.1"));
	settle(3);
	ck_assert_uint_eq(posted, 2);
	ck_assert(!in("10.2.0.1") && in("10.3.0.1") && in("8.8.8.8"));
	ck_assert_uint_eq(view.generation, 1);
	ck_assert_uint_eq(view.revision, 2);
	ck_assert_str_eq(last_entry()->what, "add a: 8.8.8.8");
	/* and a new policy has it all */
	add_rule("permit from 192.0.2.1");
	settle(4);
	ck_assert(!in("10.2.0.1") && in("10.3.0.1") && in("8.8.8.8"));
	ck_assert_uint_eq(view.revision, 0);
	/* what is deleted of what was added is gone without a trace */
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "8.8.8.8 203.0.113.7", 0, 0)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "10.2.0.0/16", 0, 0)), 0);
	settle(6);
	ck_assert(in("10.2.0.1") && !in("8.8.8.8"));
}
END_TEST

START_TEST(sets_flushed_and_loaded)
{
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_LOAD, "203.0.113.7", 0, 0)), 0);
	ck_assert(sends(1));
	ck_assert_uint_eq(sent.type, MSG_POLICY);
	settle(1);
	ck_assert(in("203.0.113.7") && !in("10.2.0.1") && !in("192.0.2.1"));
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "10.2.0.1", 0, 0)), 0);
	settle(2);
	ck_assert(in("10.2.0.1") && !in("10.2.0.2"));
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_FLUSH, "", 0, 0)), 0);
	settle(3);
	ck_assert(!in("10.2.0.1") && !in("203.0.113.7"));
	/* a reload keeps that */
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	settle(4);
	ck_assert(!in("192.0.2.1"));
}
END_TEST

START_TEST(too_many_edits_are_a_policy)
{
	struct amend *ch = elements(OVERLAY_ADD, "203.0.113.7", 0, 0);

	ck_assert_int_eq(changes_add(c, ch), 0);
	ck_assert(sends(1));
	answer(PEND_E_LIMIT);
	ck_assert(sends(1));
	ck_assert_uint_eq(sent.type, MSG_POLICY);
	settle(1);
	ck_assert(in("203.0.113.7"));
	ch = elements(OVERLAY_ADD, "203.0.113.8", 0, 0);
	snprintf(ch->set, sizeof(ch->set), "nobody");
	ck_assert_int_eq(changes_add(c, ch), 0);
	settle(2);
	ck_assert_str_eq(codes, "ok not-found");
}
END_TEST

/* ------------------------------------------------------------- sessions and ends ---- */

START_TEST(a_connection_takes_its_own_with_it)
{
	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 4, 0)), 0);
	add_rule("permit from 192.0.2.8");
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8 10.7.0.1", 4, 0)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.4.4", 5, 0)), 0);
	settle(4);
	ck_assert(in("8.8.8.8") && in("8.8.4.4"));
	changes_session(c, 4, NULL);
	settle(5);
	ck_assert_uint_eq(changes_overlay(c)->objects, 1);
	/* what the policy has itself stays */
	ck_assert(!in("8.8.8.8") && in("10.7.0.1") && in("8.8.4.4"));
	ck_assert_uint_eq(last_entry()->kind, JOURNAL_SESSION);
	ck_assert_str_eq(last_entry()->what, "object 1, elements of a");
	/* without rules it is an edit */
	posted = 0;
	changes_session(c, 5, NULL);
	settle(6);
	ck_assert(!in("8.8.4.4"));
	ck_assert_uint_eq(view.revision, 1);
	changes_session(c, 5, NULL);
	spin(5);
	spin(5);
	ck_assert_uint_eq(done + failed, 6);
}
END_TEST

START_TEST(a_connection_that_ends_meanwhile)
{
	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 4, 0)), 0);
	ck_assert(sends(1));
	changes_session(c, 4, NULL);
	settle(2);
	ck_assert_uint_eq(changes_overlay(c)->objects, 0);
	/* the end is tried again when it could not be put in force */
	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 6, 0)), 0);
	settle(3);
	changes_session(c, 6, NULL);
	ck_assert(sends(4));
	answer(PEND_E_SYSTEM);
	ck_assert_uint_eq(changes_overlay(c)->objects, 1);
	for (int i = 0; i < 70 && !sent.type; i++)
		spin(100);
	settle(4);
	ck_assert_uint_eq(changes_overlay(c)->objects, 0);
}
END_TEST

/* The clock goes on until what has an end is gone. */
static void expire(unsigned ends)
{
	now_ms += 1000;
	for (int i = 0; i < 300 && done + failed < ends; i++) {
		spin(5);
		if (sent.type)
			answer(PEND_OK);
	}
}

START_TEST(ends_by_the_clock)
{
	uint64_t s = now_ms / 1000;

	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 0, s + 3600)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8 8.8.4.4", 0, s + 1)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8", 0, 0)), 0);
	settle(3);
	spin(5);
	ck_assert(in("8.8.4.4"));
	expire(4);
	ck_assert(!in("8.8.4.4") && in("8.8.8.8"));
	ck_assert_uint_eq(last_entry()->kind, JOURNAL_EXPIRED);
	ck_assert_uint_eq(changes_overlay(c)->objects, 1);
	ck_assert_uint_eq(overlay_next_end(changes_overlay(c)), s + 3600);
}
END_TEST

/* Between the timer and what it asks for, which has to wait for another change. */
START_TEST(the_clock_is_set_back)
{
	uint64_t end = now_ms / 1000 + 1;

	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 0, end)), 0);
	settle(1);
	add_rule("permit from 192.0.2.1");
	ck_assert(sends(2));
	now_ms += 1000;
	for (int i = 0; i < 12; i++)
		spin(100);
	now_ms -= 1000;
	answer(PEND_E_SYSTEM);
	settle(2);
	spin(5);
	ck_assert_uint_eq(changes_overlay(c)->objects, 1);
	expire(3);
	ck_assert_uint_eq(changes_overlay(c)->objects, 0);
}
END_TEST

/* --------------------------------------------------------------------- reloads ---- */

START_TEST(reloads_keep_changes)
{
	add_rule("permit from @b");
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "10.1.0.0/16", 0, 0)), 0);
	settle(2);
	/* the file of now does not matter to a change */
	file("nonsense\n");
	add_rule("permit from 192.0.2.3");
	settle(3);
	ck_assert_uint_eq(failed, 0);
	file("set a { 10.0.0.0/8, 7.7.7.7 }\nset b { 1.1.1.1 }\nlayer default { permit }\n");
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	settle(4);
	ck_assert(in("7.7.7.7") && !in("10.1.0.1") && in("10.2.0.1"));
	ck_assert_uint_eq(classify_rules(view.classifier), 3);
	/* a rule that the file no longer agrees with is named */
	file("set a { 10.0.0.0/8 }\nlayer default { permit }\n");
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	texts[0] = '\0';
	settle(5);
	ck_assert_msg(strstr(texts, "object 1: unknown set \"b\"") &&
			      strstr(texts, "remove it with \"pendctl policy delete 1\""),
		      "%s", texts);
	ck_assert_uint_eq(view.generation, 4);
	/* and so is a set that is gone, with its changes */
	ck_assert_int_eq(changes_add(c, number(DELETE, 1, NULL)), 0);
	file("layer default { permit }\n");
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	texts[0] = '\0';
	settle(7);
	ck_assert_ptr_nonnull(strstr(texts, "there is no set \"a\" any more"));
	ck_assert_uint_eq(changes_overlay(c)->sets, 0);
}
END_TEST

/* Each with a value that is not its default. */
static const struct starred {
	const char *word, *value, *told; /* told: NULL: by the word itself */
} starred[] = {
	{"control", "\"/run/other.sock\"", NULL},
	{"control-group", "other", NULL},
	{"observe-group", "other", NULL},
	{"user", "other", NULL},
	{"queues", "7", NULL},
	{"mark-mask", "0xff", NULL},
	{"hookup", "nft", NULL},
	{"table", "other", NULL},
	{"hooks", "input", "hookup"},
	{"priority", "30", "hookup"},
	{"iptables", "nft", "hookup"},
	{"loopback", "yes", NULL},
	{"multicast", "yes", NULL},
	{"fail", "open", NULL},
	{"raw", "no", NULL},
	{"kernel-decisions", "no", NULL},
	{"track-established", "no", NULL},
	{"reauthorize", "no", NULL},
	{"max-contexts", "17", "limits"},
	{"max-per-source", "17", "limits"},
	{"max-per-service", "17", "limits"},
	{"max-packets", "17", "limits"},
	{"max-bytes", "1M", "limits"},
	{"hold-max", "17", "limits"},
	{"high-watermark-percent", "17", "limits"},
	{"kernel-queue", "17", "limits"},
	{"receive-buffer", "1M", "limits"},
	{"busy-poll", "17", NULL},
	{"max-clients", "17", "limits"},
	{"on-limit", "permit", NULL},
	{"on-malformed", "permit", NULL},
	{"on-stop", "permit", NULL},
	{"state", "\"/var/other.db\"", NULL},
	{"history", "none", NULL},
	{"history-keep", "1d", "history"},
	{"history-max", "17", "history"},
};

#define STARRED (sizeof(starred) / sizeof(starred[0]))

static void reload(const char *text)
{
	unsigned ends = done + failed + 1;

	file(text);
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	settle(ends);
	ck_assert_msg(!failed, "%s%s", text, texts);
}

START_TEST(what_a_restart_takes_is_told)
{
	char text[4096] = "settings {\n", one[128];
	size_t n = strlen(text);

	for (size_t i = 0; i < STARRED; i++) {
		const struct starred *s = &starred[i];

		snprintf(one, sizeof(one), "settings { %s %s; }\n", s->word, s->value);
		reload(one);
		ck_assert_str_eq(restarts, s->told ? s->told : s->word);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s;\n", s->word, s->value);
	}
	snprintf(text + n, sizeof(text) - n, "}\n");
	reload(text);
	for (size_t i = 0; i < STARRED; i++) {
		const char *want = starred[i].told ? starred[i].told : starred[i].word;

		ck_assert_msg(strstr(restarts, want) != NULL, "%s: %s", want, restarts);
	}
	reload("settings { timeout 7s; }\n");
	ck_assert_str_eq(restarts, "");
}
END_TEST

/* The page's stars are these. */
START_TEST(what_a_restart_takes_is_starred)
{
	FILE *f = fopen("man/pend.conf.5", "r");
	char line[1024], word[64];
	unsigned stars = 0;
	size_t i;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		char *star = strstr(line, " *\n");

		if (sscanf(line, ".It Cm %63s", word) != 1)
			continue;
		for (i = 0; i < STARRED && strcmp(starred[i].word, word) != 0; i++) {
		}
		ck_assert_msg(!star || i < STARRED, "%s has a star", word);
		stars += star != NULL;
	}
	fclose(f);
	ck_assert_uint_eq(stars, STARRED);
}
END_TEST

/* The only user that this host has, in place of what the C library reads. */
static struct passwd account;

int fgetpwent_r(FILE *f, struct passwd *pw, char *buf, size_t size, struct passwd **out)
{
	(void)buf;
	(void)size;
	*out = NULL;
	if (ftell(f) || fgetc(f) == EOF)
		return ENOENT;
	*pw = account;
	*out = pw;
	return 0;
}

START_TEST(accounts_stay_what_they_were)
{
	void *image;
	size_t size;

	account = (struct passwd){.pw_name = (char[]){"web"}, .pw_uid = 33};
	file("layer default {\n\tblock proto tcp user web\n\tpermit\n}\n");
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	settle(1);
	size = view.size;
	image = malloc(size);
	ck_assert_ptr_nonnull(image);
	memcpy(image, view.image, size);
	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 0, now_ms / 1000 + 1)), 0);
	settle(2);
	/* the name is another's by then */
	account.pw_uid = 34;
	expire(3);
	ck_assert_uint_eq(changes_overlay(c)->objects, 0);
	ck_assert_uint_eq(view.size, size);
	ck_assert_mem_eq(view.image, image, size);
	free(image);
	/* and so for the accounts that changes name, until the next reload */
	account.pw_name = (char[]){"late"};
	add_rule("block proto tcp user late");
	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 0, now_ms / 1000 + 1)), 0);
	settle(5);
	account.pw_name = (char[]){"nobody-else"};
	expire(6);
	ck_assert_uint_eq(changes_overlay(c)->objects, 1);
	ck_assert_uint_eq(failed, 0);
	ck_assert_int_eq(changes_add(c, amend_new(AMEND_RELOAD)), 0);
	settle(7);
	ck_assert_uint_eq(failed, 1);
}
END_TEST

/* ------------------------------------------------------------- the next process ---- */

START_TEST(another_process_carries_on)
{
	struct msg policy_msg, sets = {.type = MSG_SETS};
	int policy_fd, sets_fd;

	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "9.9.9.9", 8, 0)), 0);
	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 8, 0)), 0);
	add_rule("permit from 192.0.2.8");
	ck_assert(sends(1));
	policy_msg = sent;
	policy_fd = dup(sent_fd);
	settle(3);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8", 0, 0)), 0);
	ck_assert(sends(4));
	sets.u.sets = sent.u.sets;
	sets_fd = dup(sent_fd);
	settle(4);
	/* it dies, and the file is wrong by now */
	changes_free(c);
	view_deinit(&view);
	view_init(&view);
	journal_free(journal);
	ck_assert_int_eq(journal_new(&journal), 0);
	file("nonsense\n");
	open_changes();
	policy_msg.u.policy.generation = 2;
	policy_msg.u.policy.revision = 1;
	ck_assert_int_eq(changes_adopt(c, &policy_msg, policy_fd), 0);
	ck_assert_int_eq(reload_settings(changes_reload(c)), 0);
	ck_assert_int_eq(changes_adopt_sets(c, &sets, sets_fd), 0);
	close(policy_fd);
	close(sets_fd);
	ck_assert_uint_eq(view.revision, 1);
	ck_assert(in("8.8.8.8") && in("9.9.9.9"));
	ck_assert_uint_eq(changes_overlay(c)->objects, 2);
	done = failed = 0;
	changes_go(c);
	/* what belonged to connections goes */
	settle(1);
	ck_assert(in("8.8.8.8") && !in("9.9.9.9"));
	ck_assert_uint_eq(changes_overlay(c)->objects, 1);
	ck_assert_uint_eq(changes_overlay(c)->next, 3);
	ck_assert_uint_eq(last_entry()->kind, JOURNAL_SESSION);
	ck_assert_uint_ge(journal_count(journal), 3);
	add_rule("permit from @a");
	settle(2);
	ck_assert_uint_eq(last_object, 3);
}
END_TEST

/* What came as an edit has its end, whoever puts it in force. */
START_TEST(another_process_knows_what_ends)
{
	struct msg policy_msg, sets = {.type = MSG_SETS};
	int policy_fd, sets_fd;

	add_rule("permit from 192.0.2.8");
	ck_assert(sends(1));
	policy_msg = sent;
	policy_fd = dup(sent_fd);
	settle(1);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "8.8.8.8", 0, now_ms / 1000 + 100)),
			 0);
	ck_assert(sends(2));
	sets.u.sets = sent.u.sets;
	sets_fd = dup(sent_fd);
	settle(2);
	changes_free(c);
	view_deinit(&view);
	view_init(&view);
	journal_free(journal);
	ck_assert_int_eq(journal_new(&journal), 0);
	open_changes();
	policy_msg.u.policy.generation = 2;
	policy_msg.u.policy.revision = 1;
	ck_assert_int_eq(changes_adopt(c, &policy_msg, policy_fd), 0);
	ck_assert_int_eq(changes_adopt_sets(c, &sets, sets_fd), 0);
	ck_assert_uint_eq(overlay_next_end(changes_overlay(c)), 0);
	ck_assert_uint_eq(kept.u.policy.revision, 1);
	kept.u.policy.revision = 7;
	ck_assert_int_eq(changes_adopt_kept(c, &kept, kept_fd), 0);
	ck_assert_uint_eq(overlay_next_end(changes_overlay(c)), 0);
	kept.u.policy.revision = 1;
	ck_assert_int_eq(changes_adopt_kept(c, &kept, kept_fd), 0);
	ck_assert_uint_eq(overlay_next_end(changes_overlay(c)), now_ms / 1000 + 100);
	ck_assert_str_eq(last_entry()->what, "add a: 8.8.8.8");
	ck_assert_uint_eq(journal_count(journal), 3);
	close(policy_fd);
	close(sets_fd);
}
END_TEST

START_TEST(wrong_handovers)
{
	struct msg m = {.type = MSG_POLICY};
	int fd = policyfile_image_fd("nothing", 7);

	m.u.policy.size = 7;
	ck_assert_int_lt(changes_adopt(c, &m, -1), 0);
	ck_assert_int_lt(changes_adopt(c, &m, fd), 0);
	m.type = MSG_SETS;
	m.u.sets.count = 1;
	m.u.sets.generation = 1;
	ck_assert_int_lt(changes_adopt_sets(c, &m, fd), 0);
	ck_assert_int_lt(changes_adopt_sets(c, &m, -1), 0);
	close(fd);
}
END_TEST

START_TEST(bytes_and_back)
{
	uint64_t seed = unit_seed("overlay");
	struct overlay *o;
	char *data, *again;
	size_t len, n;

	ck_assert_int_eq(changes_add(c, rule("permit from 192.0.2.9", 4, 17)), 0);
	add_rule("permit from 192.0.2.8");
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_ADD, "9.9.9.9 ::1", 8, 1795000000)), 0);
	ck_assert_int_eq(changes_add(c, elements(OVERLAY_DELETE, "10.1.0.0/16", 0, 0)), 0);
	settle(4);
	ck_assert_int_eq(overlay_flatten(changes_overlay(c), &data, &len), 0);
	ck_assert_int_eq(overlay_unflatten(&o, data, len), 0);
	ck_assert_int_eq(overlay_flatten(o, &again, &n), 0);
	ck_assert_uint_eq(n, len);
	ck_assert_mem_eq(again, data, n);
	free(again);
	overlay_put(o);
	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(overlay_unflatten(&o, data, i), -EINVAL);
	for (int i = 0; i < 20000; i++) {
		size_t at = unit_rand(&seed) % len;
		char was = data[at];

		data[at] = (char)unit_rand(&seed);
		if (overlay_unflatten(&o, data, len) == 0)
			overlay_put(o);
		data[at] = was;
	}
	free(data);
}
END_TEST

START_TEST(journal_keeps_the_last)
{
	struct journal_entry e = {.kind = JOURNAL_SET, .what = "x\x1b[2J", .status = "ok"};
	struct journal *j, *k;
	char *data;
	size_t len;

	ck_assert_int_eq(journal_new(&j), 0);
	ck_assert_int_eq(journal_new(&k), 0);
	for (unsigned i = 0; i < JOURNAL_KEPT + 7; i++)
		journal_add(j, &e);
	ck_assert_ptr_null(journal_at(j, 7));
	ck_assert_ptr_null(journal_at(j, 0));
	ck_assert_ptr_null(journal_at(j, JOURNAL_KEPT + 8));
	ck_assert_ptr_nonnull(journal_at(j, 8));
	ck_assert_str_eq(journal_at(j, 8)->what, "x\\x1b[2J");
	ck_assert_int_eq(journal_flatten(j, &data, &len), 0);
	journal_unflatten(k, data, len);
	ck_assert_uint_eq(journal_count(k), JOURNAL_KEPT + 7);
	journal_free(k);
	ck_assert_int_eq(journal_new(&k), 0);
	journal_unflatten(k, data + 5 * sizeof(e), len - 5 * sizeof(e) - 1);
	ck_assert_uint_eq(journal_count(k), JOURNAL_KEPT + 6);
	ck_assert_ptr_null(journal_at(k, 12));
	ck_assert_ptr_nonnull(journal_at(k, 13));
	journal_free(k);
	ck_assert_int_eq(journal_new(&k), 0);
	memset(data, 255, sizeof(e));
	journal_unflatten(k, data, len);
	ck_assert_uint_eq(journal_count(k), 0);
	free(data);
	journal_free(j);
	journal_free(k);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("overlay");
	TCase *t = tcase_create("overlay");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, rules_come_go_and_change);
	tcase_add_test(t, all_or_nothing);
	tcase_add_test(t, what_waits_is_put_in_force_together);
	tcase_add_test(t, only_the_wrong_ones_fail);
	tcase_add_test(t, a_reload_fails_for_itself);
	tcase_add_test(t, the_verdict_process_refuses);
	tcase_add_test(t, bounds);
	tcase_add_test(t, sets_change_without_a_policy);
	tcase_add_test(t, sets_flushed_and_loaded);
	tcase_add_test(t, too_many_edits_are_a_policy);
	tcase_add_test(t, a_connection_takes_its_own_with_it);
	tcase_add_test(t, a_connection_that_ends_meanwhile);
	tcase_add_test(t, ends_by_the_clock);
	tcase_add_test(t, the_clock_is_set_back);
	tcase_add_test(t, reloads_keep_changes);
	tcase_add_test(t, what_a_restart_takes_is_told);
	tcase_add_test(t, what_a_restart_takes_is_starred);
	tcase_add_test(t, accounts_stay_what_they_were);
	tcase_add_test(t, another_process_carries_on);
	tcase_add_test(t, another_process_knows_what_ends);
	tcase_add_test(t, wrong_handovers);
	tcase_add_test(t, bytes_and_back);
	tcase_add_test(t, journal_keeps_the_last);
	suite_add_tcase(s, t);
	return s;
}
