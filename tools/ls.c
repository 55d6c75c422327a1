// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq ls: the rings that have names, in this network namespace. The module tells those of the
 * device. A ring in a memfd is found where joiners find it: each member listens at an address of
 * its own, @ringq/NAME/TAIL (lib/names.c), and /proc/net/unix has a list of them. That list tells
 * nothing but the name, so each is joined, to look.
 */
#include "look.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TAIL_DIGITS	16

/* What is told of a ring; error: why it is not. */
struct entry {
	char name[RINGQ_NAME_SIZE];
	uint32_t memory;
	int error;
	uint32_t discipline;
	uint64_t elem_size;
	uint64_t capacity;
	bool records;
	uint64_t total;
	uint32_t live[2];	/* ports, by role */
	uint32_t uid;
	uint32_t mode;
};

struct list {
	struct entry *entries;
	size_t n;
};

static struct entry *list_add(struct list *list)
{
	struct entry *entries = realloc(list->entries, (list->n + 1) * sizeof(*entries));

	if (!entries)
		err(TOOL_FAILED, NULL);
	list->entries = entries;
	memset(&entries[list->n], 0, sizeof(*entries));
	return &entries[list->n++];
}

/* The rings of the module, if there is one that we may talk to. */
static int list_device(struct list *list)
{
	int fd = open(RINGQ_DEVICE_PATH, O_RDWR | O_CLOEXEC), r;
	struct ringq_ioc_list l = { .size = sizeof(l) };
	struct entry *e;

	if (fd < 0)
		return errno == ENOENT || errno == ENXIO || errno == ENODEV ? 0 : -errno;
	while ((r = ioctl(fd, RINGQ_IOC_LIST, &l)) == 0) {
		e = list_add(list);
		memcpy(e->name, l.name, sizeof(e->name));
		e->memory = RINGQ_DEVICE;
		e->discipline = l.geometry.discipline;
		e->elem_size = l.geometry.elem_size;
		e->capacity = l.geometry.capacity;
		e->records = l.geometry.shape == RINGQ_SHAPE_RECORDS;
		e->total = l.total;
		e->live[RINGQ_PRODUCER] = l.producers;
		e->live[RINGQ_CONSUMER] = l.consumers;
		e->uid = l.uid;
		e->mode = l.mode;
	}
	r = errno == ENOENT ? 0 : -errno;
	close(fd);
	return r;
}

/* The name in a line of /proc/net/unix, of a member's address; or NULL. */
static char *name_in(char *line)
{
	char *at = strstr(line, " @ringq/"), *tail;

	if (!at)
		return NULL;
	at += strlen(" @ringq/");
	tail = strchr(at, '/');
	if (!tail || tail == at || tail - at >= RINGQ_NAME_SIZE ||
	    strspn(tail + 1, "0123456789abcdef") != TAIL_DIGITS || tail[1 + TAIL_DIGITS] != '\n')
		return NULL;
	*tail = '\0';
	return at;
}

static bool list_has(const struct list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->entries[i].memory == RINGQ_MEMFD && !strcmp(list->entries[i].name, name))
			return true;
	}
	return false;
}

/* What the ring's own members know. */
static int entry_fill(struct entry *e)
{
	struct ringq_port_stat stat = { .size = sizeof(stat) };
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq *ring;
	uint32_t i;
	int r = look_join(e->name, RINGQ_MEMFD, &ring);

	if (r < 0)
		return r;
	ringq_get_info(ring, &info);
	e->discipline = info.discipline;
	e->elem_size = info.elem_size;
	e->capacity = info.capacity;
	e->records = info.flags & RINGQ_RECORDS;
	e->total = info.total;
	e->uid = info.uid;
	e->mode = info.mode;
	for (i = 0; r == 0 && i < info.producers + info.consumers; i++) {
		bool consumer = i >= info.producers;

		r = ringq_port_stat(ring, consumer ? RINGQ_CONSUMER : RINGQ_PRODUCER,
				    consumer ? i - info.producers : i, &stat);
		e->live[consumer] += r == 0 && stat.state == RINGQ_PORT_LIVE;
	}
	ringq_leave(ring);
	return r;
}

static int list_memfd(struct list *list)
{
	FILE *file = fopen("/proc/thread-self/net/unix", "re");
	char *line = NULL, *name;
	size_t room = 0, from = list->n, i, to;

	if (!file)
		return -errno;
	while (getline(&line, &room, file) > 0) {
		name = name_in(line);
		if (!name || list_has(list, name))
			continue;
		list_add(list)->memory = RINGQ_MEMFD;
		strcpy(list->entries[list->n - 1].name, name);
	}
	free(line);
	fclose(file);
	for (i = to = from; i < list->n; i++) {
		list->entries[i].error = entry_fill(&list->entries[i]);
		/* It went away meanwhile; or somebody else's address only looks like one. */
		if (list->entries[i].error != -ENOENT && list->entries[i].error != -EINVAL)
			list->entries[to++] = list->entries[i];
	}
	list->n = to;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (int)x->memory - (int)y->memory;
}

static const char *owner(char text[TOOL_FIGURE], uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(text, TOOL_FIGURE, "%.20s", user->pw_name);
	else
		snprintf(text, TOOL_FIGURE, "%u", uid);
	return text;
}

static void show_table(const struct list *list)
{
	char figure[TOOL_FIGURE], ports[TOOL_FIGURE];

	if (!list->n)
		return;
	printf("%-24s  %-6s  %-10s  %10s  %10s  %7s  %s\n", "NAME", "MEMORY", "DISCIPLINE",
	       "CAPACITY", "SIZE", "PORTS", "OWNER");
	for (size_t i = 0; i < list->n; i++) {
		const struct entry *e = &list->entries[i];

		printf("%-24s  %-6s  ", e->name, ringq_memory_name(e->memory));
		if (e->error) {
			printf("(%s)\n", e->error == -ETIMEDOUT ? "its members do not answer" :
								  ringq_strerror(e->error));
			continue;
		}
		snprintf(ports, sizeof(ports), "%u+%u", e->live[0], e->live[1]);
		printf("%-10s  %10" PRIu64 "  %10" PRIu64 "%s  %7s  %s\n",
		       look_discipline(e->discipline), e->capacity, e->elem_size,
		       e->records ? "r" : " ", ports, owner(figure, e->uid));
	}
}

static void show_json(const struct list *list)
{
	printf("[");
	for (size_t i = 0; i < list->n; i++) {
		const struct entry *e = &list->entries[i];

		printf("%s\n  { \"name\": ", i ? "," : "");
		tool_json_string(e->name);
		printf(", \"memory\": \"%s\", ", ringq_memory_name(e->memory));
		if (e->error) {
			printf("\"error\": ");
			tool_json_string(ringq_strerror(e->error));
			printf(" }");
			continue;
		}
		printf("\"discipline\": \"%s\", \"records\": %s, \"elem_size\": %" PRIu64
		       ", \"capacity\": %" PRIu64 ", \"total_bytes\": %" PRIu64
		       ", \"producers\": %u, \"consumers\": %u, \"uid\": %u, \"mode\": \"%04o\" }",
		       look_discipline(e->discipline), e->records ? "true" : "false", e->elem_size,
		       e->capacity, e->total, e->live[RINGQ_PRODUCER], e->live[RINGQ_CONSUMER],
		       e->uid, e->mode);
	}
	printf("%s]\n", list->n ? "\n" : "");
}

int cmd_ls(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ .name = "json", .key = 'j', .doc = "for programs" },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options, .parser = tool_parse_json,
		.doc = "List the rings that have names, in this network namespace."
		       "\v"
		       "SIZE is that of a message in bytes; with an r, of the largest record. PORTS: "
		       "producers + consumers that live. A ring in a memfd that is not for you is "
		       "listed with the reason; its members tell nothing else.",
	};
	struct list list = { 0 };
	bool json = false;
	int device, memfd;

	argp_parse(&argp, argc, argv, 0, NULL, &json);
	device = list_device(&list);
	if (device < 0)
		warnx("%s: %s", RINGQ_DEVICE_PATH, ringq_strerror(device));
	memfd = list_memfd(&list);
	if (memfd < 0)
		warnx("/proc/net/unix: %s", ringq_strerror(memfd));
	if (list.n)
		qsort(list.entries, list.n, sizeof(*list.entries), compare);
	if (json)
		show_json(&list);
	else
		show_table(&list);
	free(list.entries);
	return device < 0 || memfd < 0 ? TOOL_FAILED : TOOL_OK;
}
