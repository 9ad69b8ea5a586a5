/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The intrusive list. */
#include "unit.h"

#include "base/list.h"

struct item {
	int v;
	struct list link;
};

/* The digits of the items from first to last, checking the links backwards as well. */
static int digits(struct list *head)
{
	struct list *p, *tmp;
	int n = 0;

	list_foreach(p, tmp, head) {
		ck_assert_ptr_eq(p->next->prev, p);
		ck_assert_ptr_eq(p->prev->next, p);
		n = n * 10 + container_of(p, struct item, link)->v;
	}
	return n;
}

static void items_init(struct item *it, int n)
{
	for (int i = 0; i < n; i++) {
		it[i].v = i + 1;
		list_init(&it[i].link);
	}
}

START_TEST(add_del_pop)
{
	struct list head = LIST_INIT(head);
	struct item it[4];

	items_init(it, 4);
	ck_assert(list_empty(&head));
	ck_assert_ptr_null(list_pop(&head));
	ck_assert(!list_linked(&it[0].link));
	list_del(&it[0].link);
	list_add_tail(&head, &it[0].link);
	list_add_tail(&head, &it[1].link);
	list_add_head(&head, &it[2].link);
	ck_assert(list_linked(&it[0].link));
	ck_assert_int_eq(digits(&head), 312);
	list_del(&it[0].link);
	list_del(&it[0].link);
	ck_assert_int_eq(digits(&head), 32);
	ck_assert_ptr_eq(list_pop(&head), &it[2].link);
	ck_assert(!list_linked(&it[2].link));
	ck_assert_ptr_eq(list_pop(&head), &it[1].link);
	ck_assert(list_empty(&head));
}
END_TEST

START_TEST(foreach_body_may_unlink)
{
	struct list head = LIST_INIT(head);
	struct list *p, *tmp;
	struct item it[5];

	items_init(it, 5);
	for (int i = 0; i < 5; i++)
		list_add_tail(&head, &it[i].link);
	list_foreach(p, tmp, &head)
		if (container_of(p, struct item, link)->v % 2)
			list_del(p);
	ck_assert_int_eq(digits(&head), 24);
}
END_TEST

START_TEST(splice_keeps_order_and_empties)
{
	struct list a = LIST_INIT(a), b = LIST_INIT(b);
	struct item it[5];

	items_init(it, 5);
	list_splice_tail(&a, &b);
	ck_assert(list_empty(&a));
	list_add_tail(&b, &it[0].link);
	list_splice_tail(&a, &b);
	ck_assert_int_eq(digits(&a), 1);
	for (int i = 1; i < 5; i++)
		list_add_tail(&b, &it[i].link);
	list_splice_tail(&a, &b);
	ck_assert_int_eq(digits(&a), 12345);
	ck_assert(list_empty(&b));
	list_splice_tail(&a, &b);
	ck_assert_int_eq(digits(&a), 12345);
}
END_TEST

Suite *suite(void)
{
	Suite *s = suite_create("list");
	TCase *t = tcase_create("list");

	tcase_add_test(t, add_del_pop);
	tcase_add_test(t, foreach_body_may_unlink);
	tcase_add_test(t, splice_keeps_order_and_empties);
	suite_add_tcase(s, t);
	return s;
}
