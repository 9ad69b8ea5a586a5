/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What CrowdSec's cscli lists: CSV and JSON; see banlist.h. */
#include "cli/banlist.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 32
#define FIELD   256

/* As Go prints durations: "167h59m48.5s", "-3s". False: it is none. */
static bool duration(const char *s, int64_t *out)
{
	bool minus = *s == '-', any = false;
	double sum = 0;

	for (s += minus; *s; any = true) {
		char *end;
		double n = strtod(s, &end);

		if (end == s || !(n >= 0) || n > 1e9 || (*s != '.' && (*s < '0' || *s > '9')))
			return false;
		if (end[0] == 'm' && end[1] == 's')
			end++, n /= 1000;
		else if (*end == 'h')
			n *= 3600;
		else if (*end == 'm')
			n *= 60;
		else if (*end != 's')
			return false;
		sum += n;
		s = end + 1;
	}
	if (!any || sum > 1e11)
		return false;
	*out = minus ? -(int64_t)sum : (int64_t)(sum + 0.999);
	return true;
}

static bool allows(const char *type)
{
	return !strcmp(type, "whitelist") || !strcmp(type, "allow") || !strcmp(type, "bypass");
}

/* One decision. `value` may have its scope before it: "Ip:203.0.113.7". */
static int take(struct banlist *l, const char *value, const char *type, const char *left,
		const char *simulated, unsigned line, int64_t now)
{
	size_t len = strlen(value);
	int64_t s;

	if (strncmp(value, "Ip:", 3) == 0)
		value += 3;
	else if (strncmp(value, "Range:", 6) == 0)
		value += 6;
	if (!strcmp(simulated, "true"))
		return banlist_skip(l, value, len, line, "simulated only");
	if (strcmp(type, "ban") != 0 && !allows(type))
		return banlist_skip(l, value, strlen(value), line,
				    "neither a ban nor an allowance");
	if (!duration(left, &s))
		return banlist_skip(l, value, strlen(value), line, "no time when it ends");
	return banlist_take(l, value, strlen(value), s > 0 ? now + s : now, line, allows(type),
			    now);
}

/* ---- JSON ---- */

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int take_json(struct banlist *l, const json_t *d, int64_t now)
{
	const char *scope = text(d, "scope"), *value = text(d, "value");

	if (!*value)
		return banlist_skip(l, "", 0, 0, "a decision without a value");
	if (*scope && strcasecmp(scope, "ip") != 0 && strcasecmp(scope, "range") != 0)
		return banlist_skip(l, value, strlen(value), 0, "not about an address");
	return take(l, value, text(d, "type"), text(d, "duration"),
		    json_is_true(json_object_get(d, "simulated")) ? "true" : "false", 0, now);
}

/* Alerts with their decisions, or decisions alone. */
static int take_alert(struct banlist *l, const json_t *a, int64_t now)
{
	const json_t *list = json_object_get(a, "decisions"), *d;
	size_t i;
	int r = 0;

	if (!json_is_array(list))
		return json_is_null(list) && list ? 0 : take_json(l, a, now);
	json_array_foreach(list, i, d)
	{
		if (!r)
			r = take_json(l, d, now);
	}
	return r;
}

static int parse_json(struct banlist *l, const char *data, size_t len, int64_t now,
		      const char **error)
{
	json_t *v = json_loadb(data, len, JSON_DECODE_ANY, NULL), *a;
	size_t i;
	int r = 0;

	if (!json_is_array(v) && !json_is_null(v)) {
		*error = "it is no list in JSON";
		r = -EINVAL;
	}
	json_array_foreach(v, i, a)
	{
		if (!r)
			r = take_alert(l, a, now);
	}
	json_decref(v);
	return r;
}

/* ---- CSV ---- */

struct row {
	char field[COLUMNS][FIELD]; /* what is longer is cut */
	unsigned n;
};

/* RFC 4180; returns where the next row begins. */
static const char *read_row(const char *at, const char *end, struct row *row, unsigned *line)
{
	bool quoted = false;
	size_t len = 0;

	row->n = 0;
	row->field[0][0] = '\0';
	for (; at < end; at++) {
		char c = *at;

		*line += c == '\n';
		if (quoted && c == '"' && at + 1 < end && at[1] == '"') {
			at++;
		} else if (c == '"') {
			quoted = !quoted;
			continue;
		} else if (!quoted && c == '\n') {
			at++;
			break;
		} else if (!quoted && c == ',') {
			if (row->n + 1 < COLUMNS)
				row->field[++row->n][0] = '\0';
			len = 0;
			continue;
		}
		if (c != '\r' && c != '\0' && len + 1 < FIELD) {
			row->field[row->n][len++] = c;
			row->field[row->n][len] = '\0';
		}
	}
	row->n++;
	return at;
}

static int column(const struct row *head, const char *name)
{
	for (unsigned i = 0; i < head->n; i++)
		if (strcmp(head->field[i], name) == 0)
			return (int)i;
	return -1;
}

static int parse_csv(struct banlist *l, const char *data, size_t len, int64_t now,
		     const char **error)
{
	const char *at = data, *end = data + len;
	struct row *row = calloc(1, sizeof(*row));
	unsigned line = 1, first;
	int ip, action, expiration, simulated, r = 0;

	if (!row)
		return -ENOMEM;
	at = read_row(at, end, row, &line);
	ip = column(row, "ip");
	action = column(row, "action");
	expiration = column(row, "expiration");
	simulated = column(row, "simulated");
	if (ip < 0 || action < 0 || expiration < 0) {
		*error = "the first line does not name the columns ip, action and expiration";
		r = -EINVAL;
	}
	while (!r && at < end) {
		first = line;
		at = read_row(at, end, row, &line);
		if (row->n == 1 && !row->field[0][0])
			continue;
		if ((int)row->n <= ip || (int)row->n <= action || (int)row->n <= expiration)
			r = banlist_skip(l, row->field[0], strlen(row->field[0]), first,
					 "too few columns");
		else
			r = take(l, row->field[ip], row->field[action], row->field[expiration],
				 simulated >= 0 && simulated < (int)row->n ? row->field[simulated]
									   : "",
				 first, now);
	}
	free(row);
	return r;
}

int banlist_crowdsec(struct banlist *l, const char *data, size_t len, int64_t now,
		     const char **error)
{
	size_t i = 0;

	while (i < len && strchr(" \t\r\n", data[i]) && data[i])
		i++;
	if (i == len)
		return 0;
	if (data[i] == '[' || data[i] == '{' || (len - i >= 4 && !memcmp(data + i, "null", 4)))
		return parse_json(l, data, len, now, error);
	return parse_csv(l, data, len, now, error);
}
