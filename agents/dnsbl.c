/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `type dnsbl`: lists of addresses that are published by DNS (RFC 5782). All zones are asked at once; what they
 * weigh that list the source is its score, and the question is answered as soon as the rest cannot change it.
 */
#include "agents/dnsbl.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 200

/* A question on its way. */
struct dnsbl_work {
	struct agent_question *q;
	struct dnsbl_score score;
	char listed_by[WHY_MAX], failed_by[WHY_MAX];
	size_t listed_len;
	struct dnsbl_vote vote[DNSBL_ZONES_MAX];
};

/* ---- questions ---- */

static void work_free(struct dnsbl *d, struct dnsbl_work *w)
{
	for (unsigned i = 0; i < d->nzones; i++)
		list_del(&w->vote[i].link);
	free(w);
}

/* " (127.0.0.2)" */
static void code_text(uint32_t code, char out[INET_ADDRSTRLEN + 3])
{
	struct in_addr a = {htonl(code)};
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &a, text, sizeof(text));
	snprintf(out, INET_ADDRSTRLEN + 3, " (%s)", text);
}

/* `l` NULL: it could not even be put. */
static void count(struct dnsbl_work *w, uint8_t zone, const struct dnsbl_lookup *l)
{
	static const struct dnsbl_said full = {
		.result = DNSBL_FAILED, .why = "too many lookups wait", .seconds = 0};
	const struct dnsbl *d = agent_data(w->q->agent);
	const struct dnsbl_said *said = l ? &l->said : &full;
	const struct dnsbl_zone *z = &d->zone[zone];
	char code[INET_ADDRSTRLEN + 3] = "";

	if (said->code)
		code_text(said->code, code);
	w->score.waiting -= z->weight;
	if (said->result == DNSBL_LISTED) {
		w->score.listed += z->weight;
		str_append(w->listed_by, WHY_MAX, &w->listed_len, "%s %s%s",
			   w->listed_len ? "," : "listed by", z->name, code);
	} else if (said->result == DNSBL_FAILED) {
		w->score.failed += z->weight;
		snprintf(w->failed_by, WHY_MAX, "%s: %s%s", z->name, said->why, code);
	}
}

/* The log has where failures begin and end, and not each of them. */
static void tell(struct dnsbl *d, bool failing, const char *why)
{
	if (failing && !d->failing)
		agent_log(d->agent, "no answer: %s", why);
	else if (!failing && d->failing)
		agent_log(d->agent, "there are answers again");
	d->failing = failing;
}

static void answer(struct dnsbl *d, struct dnsbl_work *w, enum pend_client_answer answer,
		   const char *why)
{
	struct agent_question *q = w->q;

	q->work = NULL;
	tell(d, answer == PEND_CLIENT_ANSWER_ERROR, why);
	agent_answer(q, answer, NULL, why);
	work_free(d, w);
}

/* Frees the work when it is clear. */
static void settle(struct dnsbl *d, struct dnsbl_work *w)
{
	switch (dnsbl_outcome(&w->score, d->threshold)) {
	case DNSBL_OPEN:
		break;
	case DNSBL_IS_LISTED:
		d->stats.listed++;
		answer(d, w, d->listed, w->listed_by);
		break;
	case DNSBL_IS_NOT:
		d->stats.not_listed++;
		answer(d, w, d->unlisted, w->listed_len ? w->listed_by : "not listed");
		break;
	case DNSBL_UNKNOWN:
		d->stats.failed++;
		answer(d, w, PEND_CLIENT_ANSWER_ERROR, w->failed_by);
		break;
	}
}

void dnsbl_voted(struct dnsbl_vote *v, const struct dnsbl_lookup *l)
{
	count(v->work, v->zone, l);
	settle(l->dnsbl, v->work);
}

static struct dnsbl_work *work_new(const struct dnsbl *d, struct agent_question *q)
{
	struct dnsbl_work *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->q = q;
	q->work = w;
	for (unsigned i = 0; i < d->nzones; i++) {
		list_init(&w->vote[i].link);
		w->vote[i].work = w;
		w->vote[i].zone = (uint8_t)i;
		w->score.waiting += d->zone[i].weight;
	}
	return w;
}

static void question(struct agent_question *q)
{
	struct dnsbl *d = agent_data(q->agent);
	struct dnsbl_key key = {0};
	struct dnsbl_work *w;

	d->stats.questions++;
	if (!dnsbl_address(q->source, &key)) {
		agent_answer(q, PEND_CLIENT_ANSWER_ERROR, NULL, "no source address");
		return;
	}
	w = work_new(d, q);
	if (!w) {
		agent_answer(q, PEND_CLIENT_ANSWER_ERROR, NULL, "out of memory");
		return;
	}
	for (unsigned i = 0; i < d->nzones; i++) {
		const struct dnsbl_lookup *l;

		key.zone = (uint8_t)i;
		l = dnsbl_lookup(d, &key, &w->vote[i]);
		if (!l || l->done)
			count(w, (uint8_t)i, l);
	}
	settle(d, w);
	/* Nothing is sent for what was clear. */
	dnsbl_dns_pump(d);
}

static void withdrawn(struct agent_question *q)
{
	if (q->work)
		work_free(agent_data(q->agent), q->work);
}

/* ---- the policy's word ---- */

static bool read_zones(struct dnsbl *d, const json_t *config)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(config, "zones"), i, v)
	{
		const char *name = json_string_value(json_object_get(v, "name"));
		json_int_t weight = json_integer_value(json_object_get(v, "weight"));

		if (!name || weight < 1 || weight > UINT16_MAX || d->nzones == DNSBL_ZONES_MAX)
			return false;
		d->zone[d->nzones].name = strdup(name);
		if (!d->zone[d->nzones].name)
			return false;
		d->zone[d->nzones++].weight = (unsigned)weight;
	}
	return d->nzones > 0;
}

static bool read_codes(struct dnsbl *d, const json_t *config)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(config, "codes"), i, v)
	{
		if (!json_is_string(v) || d->ncodes == DNSBL_CODES_MAX ||
		    !dnsbl_range_parse(json_string_value(v), &d->codes[d->ncodes++]))
			return false;
	}
	return d->ncodes > 0;
}

static bool read_servers(struct dnsbl *d, const json_t *config)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(config, "servers"), i, v)
	{
		const char *addr = json_string_value(json_object_get(v, "address"));
		json_int_t port = json_integer_value(json_object_get(v, "port"));
		struct ares_addr_port_node *s = &d->server[d->nservers];

		if (!addr || port < 1 || port > UINT16_MAX || d->nservers == DNSBL_SERVERS_MAX)
			return false;
		s->udp_port = s->tcp_port = (int)port;
		s->family = strchr(addr, ':') ? AF_INET6 : AF_INET;
		if (inet_pton(s->family, addr, &s->addr) != 1)
			return false;
		d->nservers++;
	}
	return true;
}

static enum pend_client_answer read_answer(const json_t *config, const char *key)
{
	const char *s = json_string_value(json_object_get(config, key));

	return str_eq(s, "permit")     ? PEND_CLIENT_ANSWER_PERMIT
	       : str_eq(s, "continue") ? PEND_CLIENT_ANSWER_CONTINUE
				       : PEND_CLIENT_ANSWER_BLOCK;
}

static bool read_config(struct dnsbl *d, const json_t *config)
{
	json_int_t threshold = json_integer_value(json_object_get(config, "threshold"));

	d->listed = read_answer(config, "listed");
	d->unlisted = read_answer(config, "unlisted");
	d->threshold = (unsigned)threshold;
	return threshold >= 1 && threshold <= UINT16_MAX && read_zones(d, config) &&
	       read_codes(d, config) && read_servers(d, config);
}

/* ---- the kind ---- */

static void on_usr1(void *ctx, int signo)
{
	const struct dnsbl *d = ctx;
	const struct dnsbl_stats *s = &d->stats;

	(void)signo;
	agent_log(
		d->agent,
		"questions %llu, listed %llu, not listed %llu, failed %llu; lookups %llu, from cache "
		"%llu, shared %llu, refused %llu; open %u, waiting %u, cached %u, evicted %llu",
		(unsigned long long)s->questions, (unsigned long long)s->listed,
		(unsigned long long)s->not_listed, (unsigned long long)s->failed,
		(unsigned long long)s->lookups, (unsigned long long)s->cached,
		(unsigned long long)s->joined, (unsigned long long)s->limited, d->nopen,
		d->nwaiting, d->nknown, (unsigned long long)s->evicted);
}

static void on_hup(void *ctx, int signo)
{
	(void)signo;
	dnsbl_cache_forget(ctx);
}

static int start(struct agent *a, const json_t *config, struct err *e)
{
	struct dnsbl *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->agent = a;
	agent_set_data(a, d);
	if (!read_config(d, config))
		return err_set(e, -EINVAL, "the definition is not one of a dnsbl");
	r = dnsbl_cache_init(d);
	if (r < 0)
		return err_sys(e, r, "cannot remember answers");
	r = loop_signal(agent_loop(a), SIGUSR1, on_usr1, d);
	if (!r)
		r = loop_signal(agent_loop(a), SIGHUP, on_hup, d);
	if (r < 0)
		return err_sys(e, r, "cannot wait for signals");
	return dnsbl_dns_init(d, e);
}

static void stop(struct agent *a)
{
	struct dnsbl *d = agent_data(a);

	if (!d)
		return;
	dnsbl_dns_deinit(d);
	dnsbl_cache_deinit(d);
	for (unsigned i = 0; i < d->nzones; i++)
		free(d->zone[i].name);
	free(d);
}

const struct agent_kind agent_dnsbl = {
	.type = "dnsbl",
	.start = start,
	.question = question,
	.withdrawn = withdrawn,
	.stop = stop,
};
