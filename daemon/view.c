/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for what is shown; see view.h. */
#include "daemon/view.h"
#include "daemon/background.h"
#include "daemon/msg.h"
#include "io/loop.h"
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void view_init(struct view *v)
{
	*v = (struct view){0};
	settings_init(&v->settings);
	v->if_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	v->names = calloc(1, sizeof(*v->names));
}

#define PAST_LARGE (1u << 20) /* bytes of an image */

/* What was shown: freeing a large policy takes milliseconds, which nobody is to wait for. */
struct past {
	void *image;
	size_t size;
	void (*release)(void *image, size_t size);
	struct classifier *classifier;
	char *text;
};

static void past_end(const struct past *p)
{
	classify_detach(p->classifier);
	if (p->image && p->release)
		p->release(p->image, p->size);
	free(p->text);
}

static void *past_run(void *arg)
{
	struct background b;

	background_begin(&b, BACKGROUND_PATIENCE_MS);
	past_end(arg);
	free(arg);
	background_end(&b);
	return NULL;
}

/* The thread takes no signal: those of the process are read by the loop. */
static bool past_spawn(struct past *p)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, past_run, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r == 0;
}

static void view_clear(struct view *v)
{
	struct past now = {v->image, v->size, v->release, v->classifier, v->text};
	struct past *p = v->size >= PAST_LARGE ? malloc(sizeof(*p)) : NULL;

	v->classifier = NULL;
	v->image = NULL;
	v->text = NULL;
	if (p) {
		*p = now;
		if (past_spawn(p))
			return;
		free(p);
	}
	past_end(&now);
}

void view_deinit(struct view *v)
{
	view_clear(v);
	free(v->settings_text);
	v->settings_text = NULL;
	if (v->if_fd >= 0)
		close(v->if_fd);
	v->if_fd = -1;
	free(v->names);
	v->names = NULL;
}

int view_set(struct view *v, void *image, size_t size, void (*release)(void *, size_t),
	     uint32_t generation)
{
	struct classifier *c;
	int r = classify_attach(&c, image, size);

	if (r == 0)
		view_take(v, c, image, size, release, generation);
	return r;
}

void view_take(struct view *v, struct classifier *c, void *image, size_t size,
	       void (*release)(void *, size_t), uint32_t generation)
{
	view_clear(v);
	v->classifier = c;
	v->image = image;
	v->size = size;
	v->release = release;
	v->generation = generation;
	v->revision = 0;
	v->serial++;
}

void view_set_classifier(struct view *v, struct classifier *c, uint32_t revision)
{
	classify_detach(v->classifier);
	v->classifier = c;
	v->revision = revision;
}

void view_set_text(struct view *v, char *text)
{
	free(v->text);
	v->text = text;
}

char *view_settings_block(const char *text)
{
	static const char end[] = "\n}\n";
	const char *from = strncmp(text, "settings {", 10) == 0 ? text : NULL;
	const char *to = from ? strstr(from, end) : NULL;

	return to ? strndup(from, (size_t)(to - from) + sizeof(end) - 1) : NULL;
}

const char *view_authority(const struct view *v, uint64_t tag)
{
	struct classify_authority a;

	if (!v->classifier || (v->generation && MSG_TAG_GENERATION(tag) != v->generation))
		return NULL;
	return classify_authority(v->classifier, MSG_TAG_AUTHORITY(tag), &a) ? a.name : NULL;
}

int view_authority_find(const struct view *v, const char *name)
{
	struct classify_authority a;

	for (uint32_t i = 0; v->classifier && i < classify_authorities(v->classifier); i++)
		if (classify_authority(v->classifier, (uint16_t)i, &a) && !strcmp(a.name, name))
			return (int)i;
	return -1;
}

static bool ask_kernel(const struct view *v, uint32_t index, char buf[IF_NAMESIZE])
{
	struct ifreq req = {.ifr_ifindex = (int)index};

	if (!index || v->if_fd < 0 || ioctl(v->if_fd, SIOCGIFNAME, &req) < 0)
		return false;
	snprintf(buf, IF_NAMESIZE, "%s", req.ifr_name);
	return true;
}

bool view_interface_known(const struct view *v, uint32_t index, char buf[IF_NAMESIZE])
{
	uint64_t now = loop_clock().ns;
	unsigned at = index % VIEW_NAMES;

	if (!v->names)
		return ask_kernel(v, index, buf);
	if (v->names->of[at].index != index || v->names->of[at].until_ns < now) {
		v->names->of[at].index = 0;
		if (!ask_kernel(v, index, v->names->of[at].name))
			return false;
		v->names->of[at].index = index;
		v->names->of[at].until_ns = now + VIEW_NAME_NS;
	}
	memcpy(buf, v->names->of[at].name, IF_NAMESIZE);
	return true;
}

uint32_t view_interface_index(const struct view *v, const char *name)
{
	struct ifreq req = {.ifr_ifindex = 0};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	return v->if_fd >= 0 && ioctl(v->if_fd, SIOCGIFINDEX, &req) == 0 ? (uint32_t)req.ifr_ifindex
									 : 0;
}

const char *view_interface(const struct view *v, uint32_t index, char buf[IF_NAMESIZE])
{
	if (!index)
		buf[0] = '\0';
	else if (!view_interface_known(v, index, buf))
		snprintf(buf, IF_NAMESIZE, "%" PRIu32, index);
	return buf;
}
