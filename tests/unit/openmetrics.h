/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a text OpenMetrics 1.0.0, as far as we use it? Said as strictly as the specification does. */
#ifndef TESTS_OPENMETRICS_H
#define TESTS_OPENMETRICS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OM_FAMILIES 200
#define OM_SERIES   20000

struct openmetrics {
	char family[OM_FAMILIES][80]; /* all so far; the last one is current */
	char type[20];
	unsigned families, samples, series;
	char *seen[OM_SERIES]; /* name and labels, of the current family */
	bool eof;
	char why[300];
};

static inline bool om_bad(struct openmetrics *m, const char *what, const char *line)
{
	snprintf(m->why, sizeof(m->why), "%s: %.200s", what, line);
	return false;
}

static inline size_t om_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	return *s >= '0' && *s <= '9' ? 0 : n;
}

/* Bytes of {a="b",...}; 0: wrong. */
static inline size_t om_labels(const char *s)
{
	const char *p = s + 1;

	for (;;) {
		size_t n = om_name(p);

		if (!n || strncmp(p + n, "=\"", 2) != 0)
			return 0;
		for (p += n + 2; *p && *p != '"'; p++)
			if (*p == '\\' && !strchr("\\\"n", *++p))
				return 0;
		if (*p++ != '"')
			return 0;
		if (*p == '}')
			return (size_t)(p + 1 - s);
		if (*p++ != ',')
			return 0;
	}
}

static inline bool om_suffix(const struct openmetrics *m, const char *suffix)
{
	static const struct {
		const char *type, *suffix;
	} known[] = {
		{"counter", "_total"}, {"gauge", ""},         {"unknown", ""},     {"stateset", ""},
		{"info", "_info"},     {"summary", "_count"}, {"summary", "_sum"}, {"summary", ""},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(m->type, known[i].type) && !strcmp(suffix, known[i].suffix))
			return true;
	return false;
}

static inline bool om_new_series(struct openmetrics *m, const char *line, size_t len)
{
	for (unsigned i = 0; i < m->series; i++)
		if (!strncmp(m->seen[i], line, len) && !m->seen[i][len])
			return om_bad(m, "told twice", line);
	if (m->series < OM_SERIES)
		m->seen[m->series++] = strndup(line, len);
	return true;
}

static inline bool om_sample(struct openmetrics *m, const char *line)
{
	const char *family = m->families ? m->family[m->families - 1] : "";
	size_t name = om_name(line), len = strlen(family), labels = 0;
	char suffix[80];
	double v;
	char *end;

	if (!len || name < len || strncmp(line, family, len) != 0)
		return om_bad(m, "not of the current family", line);
	snprintf(suffix, sizeof(suffix), "%.*s", (int)(name - len), line + len);
	if (!om_suffix(m, suffix))
		return om_bad(m, "not the suffix of its type", line);
	if (line[name] == '{') {
		labels = om_labels(line + name);
		if (!labels)
			return om_bad(m, "wrong labels", line);
	}
	if (!strcmp(m->type, "stateset") && !strstr(line + name, family))
		return om_bad(m, "a state set without its label", line);
	if (!strcmp(m->type, "summary") && !*suffix && !strstr(line + name, "quantile=\""))
		return om_bad(m, "a quantile without its label", line);
	if (line[name + labels] != ' ')
		return om_bad(m, "no value", line);
	v = strtod(line + name + labels + 1, &end);
	if (*end || end == line + name + labels + 1)
		return om_bad(m, "not a number", line);
	if (v < 0 && strcmp(m->type, "gauge") != 0)
		return om_bad(m, "negative", line);
	m->samples++;
	return om_new_series(m, line, name + labels);
}

static inline bool om_type(struct openmetrics *m, const char *line)
{
	static const char types[] = " counter gauge unknown stateset info summary ";
	char name[80], type[20], word[24];

	if (sscanf(line, "# TYPE %79s %19s", name, type) != 2 || name[om_name(name)])
		return om_bad(m, "wrong type line", line);
	snprintf(word, sizeof(word), " %s ", type);
	if (!strstr(types, word))
		return om_bad(m, "no such type", line);
	for (unsigned i = 0; i < m->families; i++)
		if (!strcmp(m->family[i], name))
			return om_bad(m, "a family twice", line);
	if (m->families == OM_FAMILIES)
		return om_bad(m, "too many families", line);
	while (m->series)
		free(m->seen[--m->series]);
	strcpy(m->family[m->families++], name);
	strcpy(m->type, type);
	return true;
}

static inline bool om_help(struct openmetrics *m, const char *line)
{
	const char *family = m->families ? m->family[m->families - 1] : "-";
	size_t len = strlen(family);

	if (strncmp(line + 7, family, len) != 0 || line[7 + len] != ' ' || m->series)
		return om_bad(m, "help of another family", line);
	return true;
}

static inline bool om_line(struct openmetrics *m, const char *line)
{
	if (m->eof)
		return om_bad(m, "behind the end", line);
	if (!strcmp(line, "# EOF")) {
		m->eof = true;
		while (m->series)
			free(m->seen[--m->series]);
		return true;
	}
	if (!strncmp(line, "# TYPE ", 7))
		return om_type(m, line);
	if (!strncmp(line, "# HELP ", 7))
		return om_help(m, line);
	return om_sample(m, line);
}

#endif
