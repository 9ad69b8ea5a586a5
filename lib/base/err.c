/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one sentence that goes with an error number: see err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Through a copy, so that an argument may be the text that is being replaced. */
__attribute__((format(printf, 2, 0))) static void set_text(struct err *e, const char *fmt,
							   va_list ap)
{
	char text[ERR_TEXT_MAX];

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	for (char *p = text; (p = strpbrk(p, "\r\n"));)
		*p = ' ';
	memcpy(e->text, text, strlen(text) + 1);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	return code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	size_t len;
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof(e->text) - len, ": %s", strerror(-code));
	return code;
}
