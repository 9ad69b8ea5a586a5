/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Subscriptions; see event_match.h. */
#include "daemon/event_match.h"
#include "core/flow.h"
#include "daemon/control_json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int type_parse(const char *name)
{
	if (!name)
		return -1;
	if (!strcmp(name, "note"))
		return (int)EVENTS_NOTE;
	if (!strcmp(name, "ended"))
		return (int)EVENTS_ENDED;
	return cj_event_parse(name);
}

static int types_parse(const json_t *types, uint32_t *mask, struct err *e)
{
	uint32_t m = 0;

	for (size_t i = 0; i < json_array_size(types); i++) {
		const char *name = json_string_value(json_array_get(types, i));
		int t = type_parse(name);

		if (t < 0 && name)
			return err_set(e, -EINVAL, "there is no type of event \"%.40s\"", name);
		if (t < 0)
			return err_set(e, -EINVAL, "types is an array of names of events");
		m |= 1u << t;
	}
	if (types && !m)
		return err_set(e, -EINVAL, "types is an array of names of events");
	*mask = types ? m : EVENTS_ALL;
	return 0;
}

int event_match_parse(struct event_match *out, const json_t *types, json_t *match,
		      const struct view *v, struct err *e)
{
	struct event_match m = {.m.rule = UINT32_MAX};
	const char *unknown = match ? cj_match_unknown(match) : NULL, *name;
	int r = types_parse(types, &m.types, e);

	if (r < 0)
		return r;
	if (match && !json_is_object(match))
		return err_set(e, -EINVAL, "match is an object");
	if (unknown)
		return err_set(e, -EINVAL, "match does not know \"%.40s\"", unknown);
	if (match && cj_match(match, v, &m.m, &m.any, e) < 0)
		return -EINVAL;
	/* By name: its index may be another one's in the next policy. */
	name = json_string_value(json_object_get(match, "authority"));
	m.authority = name ? strdup(name) : NULL;
	if (name && !m.authority)
		return err_set(e, -ENOMEM, "out of memory");
	*out = m;
	return 0;
}

void event_match_deinit(struct event_match *m)
{
	free(m->authority);
	m->authority = NULL;
}

struct tuple {
	uint8_t family, protocol;
	const uint8_t *source;
	uint16_t dest_port;
	uint32_t rule;
};

static struct tuple tuple_of(const struct event *e)
{
	const struct pend_info *i = &e->event.info;
	const struct reauth_flow *f = &e->flow;

	/* of ICMP there are type and code in that place */
	if ((unsigned)e->event.type == EVENTS_ENDED)
		return (struct tuple){f->family, f->protocol, f->source,
				      f->protocol == 1 || f->protocol == 58 ? 0 : f->dest_port,
				      f->rule};
	return (struct tuple){i->family, i->protocol, i->source, i->dest_port, i->rule};
}

static bool tuple_in(const struct msg_match *m, const struct tuple *t)
{
	return (!m->family ||
		(m->family == t->family && flow_addr_in(t->source, m->source, m->prefix_len))) &&
	       (!m->protocol || m->protocol == t->protocol) &&
	       (!m->dest_port || m->dest_port == t->dest_port) &&
	       (m->rule == UINT32_MAX || m->rule == t->rule);
}

static bool authority_is(const char *want, const struct event *e, const struct view *v)
{
	const char *name;

	if ((unsigned)e->event.type == EVENTS_ENDED)
		return false;
	name = e->event.info.tag ? view_authority(v, e->event.info.tag) : NULL;
	return name && !strcmp(name, want);
}

bool event_match(const struct event_match *m, const struct event *e, const struct view *v)
{
	struct tuple t;

	if (!event_in(e, m->types))
		return false;
	if (!m->any)
		return true;
	if ((unsigned)e->event.type == EVENTS_NOTE)
		return false;
	t = tuple_of(e);
	return tuple_in(&m->m, &t) && (!m->authority || authority_is(m->authority, e, v));
}
