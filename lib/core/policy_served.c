/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys of the kinds of authority that programs of ours serve: read and checked as far as text can be, printed, and
 * written as the JSON object that the program is given. Defaults are filled in there, so that they stand
 * in one place.
 */
#include "core/policy_ast.h"
#include "base/str.h"
#include "core/flow.h"
#include <string.h>

#define PROCESSES_MAX     256u
#define PROCESSES_DEFAULT 4u
#define ZONES_MAX         32
#define CODES_MAX         64
#define SERVERS_MAX       8
#define HEADERS_MAX       16
#define WEIGHT_MAX        1000u
#define THRESHOLD_MAX     (ZONES_MAX * WEIGHT_MAX)
#define ZONE_MAX          189 /* an IPv6 address before it, and it is still a name */
#define UNIT_MAX          255
#define OPEN_DEFAULT_NS   (600ull * 1000000000)
#define MS                1000000ull

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const struct pol_keyword modes[] = {{"stay", 0}, {"once", 1}, {NULL, 0}};
static const struct pol_keyword unlisteds[] = {{"permit", UNLISTED_PERMIT},
					       {"block", UNLISTED_BLOCK},
					       {"continue", UNLISTED_CONTINUE},
					       {NULL, 0}};
static const struct pol_keyword transports[] = {{"tcp", 6}, {"udp", 17}, {NULL, 0}};

static bool all_of(const char *s, const char *chars)
{
	return !s[strspn(s, chars)];
}

/* --------------------------------------------------------------------- strings ---- */

static bool keep(struct pol_parser *ps, const char *s, const char **out)
{
	*out = pol_strndup(&ps->p->arena, s, strlen(s));
	return *out ? true : pol_oom(ps);
}

/* What goes into JSON must be text. */
static const char *text(struct pol_parser *ps, const char *what, struct pol_loc *at)
{
	const char *s = pol_string(ps, what, at);
	char clean[POLICY_STRING_MAX + 1];

	if (!s)
		return NULL;
	str_sanitize(s, clean, sizeof(clean));
	if (!strcmp(s, clean))
		return s;
	pol_error(ps, at, "this is not printable UTF-8");
	return NULL;
}

static bool value_path(struct pol_parser *ps, const char *what, const char **out)
{
	struct pol_loc at;
	const char *s = text(ps, what, &at);

	if (!s)
		return false;
	if (s[0] != '/' || !s[1] || s[1] == ' ')
		return pol_error(ps, &at, "expected %s, from the root", what);
	return keep(ps, s, out);
}

/* ------------------------------------------------------------------------ http ---- */

/* Behind the host: nothing, or a port and a path. */
static bool url_rest(const char *s)
{
	char port[8] = "";
	size_t n;
	uint64_t v;

	if (*s == ':') {
		n = strcspn(++s, "/?");
		if (n >= sizeof(port))
			return false;
		memcpy(port, s, n);
		if (str_u64(port, UINT16_MAX, &v) || !v)
			return false;
		s += n;
	}
	return !*s || *s == '/' || *s == '?';
}

/* The length of the host at `s`: a name, an IPv4 address, or an IPv6 address in brackets. */
static size_t url_host(const char *s)
{
	size_t n;

	if (*s != '[')
		return strspn(s, ALNUM ".-_");
	n = strspn(s + 1, "0123456789abcdefABCDEF:.");
	return n && s[n + 1] == ']' ? n + 2 : 0;
}

/* Which alone needs no TLS. */
static bool url_local(const char *host, size_t n)
{
	return (n == 9 && !memcmp(host, "127.0.0.1", n)) || (n == 5 && !memcmp(host, "[::1]", n));
}

static bool url_good(const char *s)
{
	bool tls = !strncmp(s, "https://", 8);
	const char *host = s + (tls ? 8 : 7);
	size_t n;

	for (const char *c = s; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("\"\\<>#", *c))
			return false;
	if (!tls && strncmp(s, "http://", 7))
		return false;
	n = url_host(host);
	return n && (tls || url_local(host, n)) && url_rest(host + n);
}

static bool value_url(struct pol_parser *ps, struct pol_served *v)
{
	struct pol_loc at;
	const char *s = text(ps, "a URL as a string", &at);

	if (!s)
		return false;
	if (!url_good(s))
		return pol_error(ps, &at,
				 "expected https://HOST[:PORT][/PATH], or http:// and 127.0.0.1 or "
				 "[::1]");
	return keep(ps, s, &v->url);
}

static bool value_header(struct pol_parser *ps, struct pol_served *v)
{
	struct pol_string **list = &v->headers, *copy = pol_alloc(&ps->p->arena, sizeof(*copy));
	struct pol_loc at;
	const char *s = text(ps, "a header as a string", &at);
	size_t n = s ? strspn(s, ALNUM "!#$%&'*+-.^_`|~") : 0;
	unsigned count = 0;

	if (!s)
		return false;
	if (!n || s[n] != ':')
		return pol_error(ps, &at, "expected a header like \"Name: value\"");
	for (; *list; list = &(*list)->next)
		count++;
	if (count == HEADERS_MAX)
		return pol_error(ps, &at, "more than %d headers", HEADERS_MAX);
	*list = copy;
	return copy ? keep(ps, s, &copy->text) : pol_oom(ps);
}

/* ----------------------------------------------------------------------- dnsbl ---- */

static bool zone_good(const char *s)
{
	size_t n = 0, len = strlen(s);

	for (const char *c = s; *c; c++) {
		n = *c == '.' ? 0 : n + 1;
		if (n > 63 || (*c == '.' && (c == s || c[1] == '.' || !c[1])))
			return false;
	}
	return len && len <= ZONE_MAX && all_of(s, ALNUM "-_.");
}

static bool element_zone(struct pol_parser *ps, void *ctx)
{
	struct pol_zone **list = ctx, *z = pol_alloc(&ps->p->arena, sizeof(*z));
	struct pol_loc at;
	const char *s = pol_value(ps, "a zone", &at);
	unsigned count = 0;

	if (!s)
		return false;
	if (!zone_good(s))
		return pol_error(ps, &at, "expected the name of a zone, like \"bl.example.org\"");
	for (; *list; list = &(*list)->next) {
		count++;
		if (!strcmp((*list)->name, s))
			return pol_error(ps, &at, "\"%s\" is given twice", (*list)->name);
	}
	if (count == ZONES_MAX)
		return pol_error(ps, &at, "more than %d zones", ZONES_MAX);
	if (!z)
		return pol_oom(ps);
	z->weight = 1;
	*list = z;
	if (!keep(ps, s, &z->name))
		return false;
	if (!pol_is(ps, "weight"))
		return true;
	pol_advance(ps);
	return pol_number(ps, "a weight", 1, WEIGHT_MAX, &z->weight);
}

/* One more at the end of the list; NULL after an error. */
static struct pol_addr *addr_add(struct pol_parser *ps, struct pol_addr **list, int max,
				 const char *what, const struct pol_loc *at)
{
	struct pol_addr *a = pol_alloc(&ps->p->arena, sizeof(*a));
	int n = 0;

	for (; *list; list = &(*list)->next)
		n++;
	if (n == max)
		pol_error(ps, at, "more than %d %s", max, what);
	else if (!a)
		pol_oom(ps);
	else
		return *list = a;
	return NULL;
}

static bool element_code(struct pol_parser *ps, void *ctx)
{
	struct pol_loc at;
	const char *s = pol_word(ps, "an address", &at);
	struct pol_addr *a;
	struct pol_range r;

	if (!s)
		return false;
	if (pol_range_parse(s, &r) != POL_ADDR_OK || r.family != FLOW_V4 || r.lo[0] != 127 ||
	    r.hi[0] != 127)
		return pol_error(ps, &at,
				 "expected an address of 127.0.0.0/8 or a range of them, like "
				 "127.0.0.2-127.0.0.11");
	a = addr_add(ps, ctx, CODES_MAX, "codes", &at);
	if (a)
		a->range = r;
	return a;
}

static bool value_address(struct pol_parser *ps, struct pol_range *out)
{
	struct pol_loc at;
	const char *s = pol_word(ps, "an address", &at);

	if (!s)
		return false;
	return (pol_range_parse(s, out) == POL_ADDR_OK && !memcmp(out->lo, out->hi, 16)) ||
	       pol_error(ps, &at, "expected an address, not a range or a name");
}

static bool value_port(struct pol_parser *ps, uint16_t *out)
{
	struct pol_loc at;
	const char *s = pol_word(ps, "a port", &at);
	uint64_t v;
	int named;

	if (!s)
		return false;
	named = pol_service_port(s);
	if (named > 0)
		v = (uint64_t)named;
	else if (str_u64(s, UINT16_MAX, &v) || !v)
		return pol_error(ps, &at, "expected a port from 1 to 65535");
	*out = (uint16_t)v;
	return true;
}

static bool element_server(struct pol_parser *ps, void *ctx)
{
	struct pol_loc at = ps->tok.loc;
	struct pol_range r;
	struct pol_addr *a;

	if (!value_address(ps, &r))
		return false;
	a = addr_add(ps, ctx, SERVERS_MAX, "servers", &at);
	if (!a)
		return false;
	a->range = r;
	if (!pol_is(ps, "port"))
		return true;
	pol_advance(ps);
	return value_port(ps, &a->port);
}

/* ------------------------------------------------------------------------ unit ---- */

static bool unit_good(const char *s)
{
	static const char *const kinds[] = {"service", "socket", "target", "mount",
					    "path",    "timer",  "scope",  "slice"};
	const char *dot = strrchr(s, '.');

	if (!dot || dot == s || strlen(s) > UNIT_MAX || !all_of(s, ALNUM ":-_.\\@"))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(dot + 1, kinds[i]))
			return true;
	return false;
}

static bool value_start(struct pol_parser *ps, struct pol_served *v)
{
	struct pol_loc at;
	const char *s = pol_value(ps, "a unit", &at);

	if (!s)
		return false;
	if (!unit_good(s))
		return pol_error(ps, &at, "expected the name of a unit, like \"box.service\"");
	return keep(ps, s, &v->start);
}

/* tcp|udp PORT [address A] */
static bool value_ready(struct pol_parser *ps, struct pol_ready *r)
{
	int proto = pol_keyword(ps, transports, "protocol");

	if (proto < 0 || !value_port(ps, &r->port))
		return false;
	r->proto = (uint8_t)proto;
	pol_range_parse("127.0.0.1", &r->address);
	if (!pol_is(ps, "address"))
		return true;
	pol_advance(ps);
	return value_address(ps, &r->address);
}

/* ------------------------------------------------------------------------- all ---- */

static bool value_keyword(struct pol_parser *ps, const struct pol_keyword *table, const char *what,
			  uint8_t *out)
{
	int v = pol_keyword(ps, table, what);

	*out = (uint8_t)v;
	return v >= 0;
}

bool pol_parse_served(struct pol_parser *ps, struct pol_authority *a, enum pol_authority_key key)
{
	struct pol_served *v = &a->served;

	switch (key) {
	case AUTH_COMMAND:
		return value_path(ps, "the path of a program as a string", &v->command);
	case AUTH_MODE:
		return value_keyword(ps, modes, "mode", &v->mode);
	case AUTH_PROCESSES:
		return pol_number(ps, "a number", 1, PROCESSES_MAX, &v->processes);
	case AUTH_ZONES:
		return pol_list(ps, element_zone, &v->zones, "a zone");
	case AUTH_CODES:
		return pol_list(ps, element_code, &v->codes, "an address");
	case AUTH_THRESHOLD:
		return pol_number(ps, "a number", 1, THRESHOLD_MAX, &v->threshold);
	case AUTH_SERVERS:
		return pol_list(ps, element_server, &v->servers, "an address");
	case AUTH_LISTED:
		return value_keyword(ps, pol_verdicts, "verdict", &v->listed);
	case AUTH_UNLISTED:
		return value_keyword(ps, unlisteds, "answer", &v->unlisted);
	case AUTH_URL:
		return value_url(ps, v);
	case AUTH_CA:
		return value_path(ps, "the path of a file as a string", &v->ca);
	case AUTH_HEADER:
		return value_header(ps, v);
	case AUTH_HEADER_FILE:
		return value_path(ps, "the path of a file as a string", &v->header_file);
	case AUTH_START:
		return value_start(ps, v);
	case AUTH_READY:
		return value_ready(ps, &v->ready);
	case AUTH_IDLE_STOP:
		return pol_duration(ps, "idle-stop", POLICY_TIMEOUT_MAX, &v->idle_stop_ns);
	case AUTH_SECRETS:
		return value_path(ps, "the path of a file as a string", &v->secrets);
	case AUTH_OPEN:
		return pol_duration(ps, "open", POLICY_TIMEOUT_MAX, &v->open_ns);
	case AUTH_TYPE:
	case AUTH_OF:
	case AUTH_ANSWER:
	case AUTH_TIMEOUT:
	case AUTH_ON_TIMEOUT:
	case AUTH_ON_ABSENT:
	case AUTH_ON_ERROR:
	case AUTH_MAX_PENDING:
	case AUTH_USER:
	case AUTH_GROUP:
	case AUTH_COUNT:
		break;
	}
	return false;
}

static void check_zones(struct pol_parser *ps, const struct pol_authority *a)
{
	const struct pol_served *v = &a->served;
	uint32_t sum = 0;

	for (const struct pol_zone *z = v->zones; z; z = z->next)
		sum += z->weight;
	if (sum && v->threshold > sum)
		pol_error(ps, &a->key_loc[AUTH_THRESHOLD],
			  "all zones together weigh %u, and the threshold is %u", sum,
			  v->threshold);
}

void pol_check_served(struct pol_parser *ps, struct pol_authority *a)
{
	bool start = a->seen & POL_BIT(AUTH_START), command = a->seen & POL_BIT(AUTH_COMMAND);

	check_zones(ps, a);
	if (a->type == AUTHORITY_UNIT && start == command && !a->broken)
		pol_error(ps, &a->loc,
			  "authority \"%s\" of type unit needs one of \"start\" and "
			  "\"command\"",
			  a->name);
}

/* -------------------------------------------------------------------- printing ---- */

static void print_zones(const struct pol_zone *list, struct pol_text *t)
{
	pol_text_add(t, "\tzones { ");
	for (const struct pol_zone *z = list; z; z = z->next) {
		pol_text_add(t, "%s\"%s\"", z == list ? "" : ", ", z->name);
		if (z->weight != 1)
			pol_text_add(t, " weight %u", z->weight);
	}
	pol_text_add(t, " };\n");
}

/* A prefix, too, as its ends. */
static void print_addr(const struct pol_addr *a, struct pol_text *t)
{
	char lo[FLOW_ADDR_TEXT], hi[FLOW_ADDR_TEXT];

	flow_addr_print(a->range.lo, a->range.family, lo);
	pol_text_add(t, "%s", lo);
	if (memcmp(a->range.lo, a->range.hi, 16))
		pol_text_add(t, "-%s", flow_addr_print(a->range.hi, a->range.family, hi));
}

static void print_addrs(const char *word, const struct pol_addr *list, struct pol_text *t)
{
	if (!list)
		return;
	pol_text_add(t, "\t%s { ", word);
	for (const struct pol_addr *a = list; a; a = a->next) {
		pol_text_add(t, "%s", a == list ? "" : ", ");
		print_addr(a, t);
		if (a->port)
			pol_text_add(t, " port %u", a->port);
	}
	pol_text_add(t, " };\n");
}

static void print_string(const char *word, const char *s, struct pol_text *t)
{
	if (!s)
		return;
	pol_text_add(t, "\t%s ", word);
	pol_text_quote(t, s);
	pol_text_add(t, ";\n");
}

static void print_ready(const struct pol_ready *r, struct pol_text *t)
{
	char addr[FLOW_ADDR_TEXT];

	pol_text_add(t, "\tready %s %u address %s;\n", pol_keyword_name(transports, r->proto),
		     r->port, flow_addr_print(r->address.lo, r->address.family, addr));
}

static void print_http(const struct pol_served *v, struct pol_text *t)
{
	print_string("url", v->url, t);
	print_string("ca", v->ca, t);
	for (const struct pol_string *s = v->headers; s; s = s->next)
		print_string("header", s->text, t);
	print_string("header-file", v->header_file, t);
}

static void print_dnsbl(const struct pol_authority *a, struct pol_text *t)
{
	const struct pol_served *v = &a->served;

	if (v->zones)
		print_zones(v->zones, t);
	print_addrs("codes", v->codes, t);
	if (v->threshold)
		pol_text_add(t, "\tthreshold %u;\n", v->threshold);
	print_addrs("servers", v->servers, t);
	if (a->seen & POL_BIT(AUTH_LISTED))
		pol_text_add(t, "\tlisted %s;\n", pol_keyword_name(pol_verdicts, v->listed));
	if (v->unlisted)
		pol_text_add(t, "\tunlisted %s;\n", pol_keyword_name(unlisteds, v->unlisted));
}

void pol_print_served(const struct pol_authority *a, struct pol_text *t)
{
	const struct pol_served *v = &a->served;
	char buf[STR_DURATION_MAX];

	print_string("start", v->start, t);
	print_string("command", v->command, t);
	if (a->seen & POL_BIT(AUTH_MODE))
		pol_text_add(t, "\tmode %s;\n", pol_keyword_name(modes, v->mode));
	if (v->processes)
		pol_text_add(t, "\tprocesses %u;\n", v->processes);
	if (v->ready.proto)
		print_ready(&v->ready, t);
	if (v->idle_stop_ns)
		pol_text_add(t, "\tidle-stop %s;\n", str_duration_print(v->idle_stop_ns, buf));
	print_dnsbl(a, t);
	print_http(v, t);
	print_string("secrets", v->secrets, t);
	if (v->open_ns)
		pol_text_add(t, "\topen %s;\n", str_duration_print(v->open_ns, buf));
}

/* ------------------------------------------------------------------------ JSON ---- */

/* All strings are printable text: pol_text_quote escapes what JSON does, the same way. */
static void json_string(const char *key, const char *s, struct pol_text *t)
{
	pol_text_add(t, "\"%s\":", key);
	pol_text_quote(t, s ? s : "");
}

static void json_exec(const struct pol_served *v, struct pol_text *t)
{
	json_string("command", v->command, t);
	pol_text_add(t, ",\"mode\":\"%s\",\"processes\":%u", pol_keyword_name(modes, v->mode),
		     v->processes ? v->processes : PROCESSES_DEFAULT);
}

static void json_dnsbl(const struct pol_served *v, struct pol_text *t)
{
	/* An allow list that does not have somebody says nothing against them. */
	int not = v->unlisted                        ? v->unlisted
		  : v->listed == PEND_VERDICT_PERMIT ? UNLISTED_CONTINUE
						     : UNLISTED_PERMIT;

	pol_text_add(t, "\"zones\":[");
	for (const struct pol_zone *z = v->zones; z; z = z->next)
		pol_text_add(t, "%s{\"name\":\"%s\",\"weight\":%u}", z == v->zones ? "" : ",",
			     z->name, z->weight);
	pol_text_add(t, "],\"codes\":[%s", v->codes ? "" : "\"127.0.0.2-127.0.0.255\"");
	for (const struct pol_addr *c = v->codes; c; c = c->next) {
		pol_text_add(t, c == v->codes ? "\"" : ",\"");
		print_addr(c, t);
		pol_text_add(t, "\"");
	}
	pol_text_add(t, "],\"threshold\":%u,\"servers\":[", v->threshold ? v->threshold : 1);
	for (const struct pol_addr *s = v->servers; s; s = s->next) {
		pol_text_add(t, s == v->servers ? "{\"address\":\"" : ",{\"address\":\"");
		print_addr(s, t);
		pol_text_add(t, "\",\"port\":%u}", s->port ? s->port : 53);
	}
	pol_text_add(t, "],\"listed\":\"%s\",\"unlisted\":\"%s\"",
		     pol_keyword_name(pol_verdicts, v->listed), pol_keyword_name(unlisteds, not ));
}

static void json_http(const struct pol_served *v, struct pol_text *t)
{
	json_string("url", v->url, t);
	pol_text_add(t, ",");
	json_string("ca", v->ca, t);
	pol_text_add(t, ",\"headers\":[");
	for (const struct pol_string *s = v->headers; s; s = s->next) {
		pol_text_add(t, s == v->headers ? "" : ",");
		pol_text_quote(t, s->text);
	}
	pol_text_add(t, "],");
	json_string("header-file", v->header_file, t);
}

static void json_unit(const struct pol_served *v, struct pol_text *t)
{
	char addr[FLOW_ADDR_TEXT];

	json_string(v->start ? "start" : "command", v->start ? v->start : v->command, t);
	if (v->ready.proto)
		pol_text_add(t, ",\"ready\":{\"protocol\":\"%s\",\"port\":%u,\"address\":\"%s\"}",
			     pol_keyword_name(transports, v->ready.proto), v->ready.port,
			     flow_addr_print(v->ready.address.lo, v->ready.address.family, addr));
	if (v->idle_stop_ns)
		pol_text_add(t, ",\"idle_stop_ms\":%llu",
			     (unsigned long long)((v->idle_stop_ns + MS - 1) / MS));
}

static void json_totp(const struct pol_served *v, struct pol_text *t)
{
	uint64_t open = v->open_ns ? v->open_ns : OPEN_DEFAULT_NS;

	json_string("secrets", v->secrets, t);
	pol_text_add(t, ",\"open_ms\":%llu", (unsigned long long)((open + MS - 1) / MS));
}

void pol_served_json(const struct pol_authority *a, struct pol_text *t)
{
	pol_text_add(t, "{");
	if (a->type == AUTHORITY_EXEC)
		json_exec(&a->served, t);
	else if (a->type == AUTHORITY_DNSBL)
		json_dnsbl(&a->served, t);
	else if (a->type == AUTHORITY_HTTP)
		json_http(&a->served, t);
	else if (a->type == AUTHORITY_UNIT)
		json_unit(&a->served, t);
	else if (a->type == AUTHORITY_TOTP)
		json_totp(&a->served, t);
	pol_text_add(t, "}");
}
