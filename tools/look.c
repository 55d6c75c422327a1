// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* See look.h. */
#include "look.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

error_t target_parse(struct target *t, int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'f':
		t->file = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (t->name)
			argp_usage(state);
		t->name = arg;
		return 0;
	case ARGP_KEY_END:
		if (!t->name == !t->file)
			argp_error(state, "one ring is wanted: its NAME, or --file=FILE");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* Joins the ring behind a descriptor, if that is what it is, and if it has this name. */
static bool join_if_named(int fd, const char *name, struct ringq **ring)
{
	struct ringq_opts opts = { .size = sizeof(opts), .flags = RINGQ_OBSERVE };
	struct ringq_info info = { .size = sizeof(info) };

	if (ringq_join_fd(fd, &opts, ring) < 0)
		return false;
	if (ringq_get_info(*ring, &info) == 0 && !strcmp(info.name, name))
		return true;
	ringq_leave(*ring);
	return false;
}

/* The same of all descriptors of a process. */
static bool join_in_process(const char *pid, const char *name, struct ringq **ring)
{
	char path[300], link[64];
	struct dirent *entry;
	bool found = false;
	ssize_t n;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, "/memfd:ringq (deleted)"))
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		found = join_if_named(fd, name, ring);
		close(fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Names are those of a network namespace. */
static bool is_neighbour(const char *pid)
{
	char path[300], mine[64] = "", other[64] = "";

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	return readlink("/proc/self/ns/net", mine, sizeof(mine) - 1) > 0 &&
	       readlink(path, other, sizeof(other) - 1) > 0 && !strcmp(mine, other);
}

/* A ring whose members do not answer, from one of them all the same. */
static int join_by_force(const char *name, struct ringq **ring)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name) &&
		    is_neighbour(entry->d_name))
			found = join_in_process(entry->d_name, name, ring);
	}
	if (dir)
		closedir(dir);
	return found ? 0 : -ETIMEDOUT;
}

int look_join(const char *name, uint32_t memory, struct ringq **ring)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .name = name, .memory = memory,
		.flags = RINGQ_OBSERVE | RINGQ_ANY_OWNER,
	};
	int r = ringq_join(&opts, ring);

	return r == -ETIMEDOUT ? join_by_force(name, ring) : r;
}

/* A file is opened for writing, too, as a ring is joined; nothing is written. */
static int look_join_target(const struct target *t, struct ringq **ring)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .flags = RINGQ_OBSERVE | RINGQ_ANY_OWNER | RINGQ_FILE,
	};
	int r;

	if (!t->file)
		return look_join(t->name, RINGQ_AUTO, ring);
	opts.fd = open(t->file, O_RDWR | O_CLOEXEC);
	if (opts.fd < 0)
		return -errno;
	r = ringq_join(&opts, ring);
	close(opts.fd);
	return r;
}

static int look_explain(const struct target *t, int r)
{
	if (t->file) {
		warnx("%s: %s", t->file, r == -ENOENT ? "there is no ring in it, or no such file" :
							ringq_strerror(r));
		return TOOL_FAILED;
	}
	if (r == -EINVAL) {
		warnx("'%s' cannot be a name: 1 to 63 bytes, no '/', no control characters",
		      t->name);
		return TOOL_USAGE;
	}
	warnx("'%s': %s", t->name, r == -ETIMEDOUT ?
	      "its members do not answer, and we may not look into them" : ringq_strerror(r));
	return TOOL_FAILED;
}

int look_open(struct look *look, const struct target *t)
{
	uint32_t i;
	int r;

	memset(look, 0, sizeof(*look));
	look->what = t->file ? t->file : t->name;
	r = look_join_target(t, &look->ring);
	if (r < 0)
		return look_explain(t, r);
	look->info.size = sizeof(look->info);
	ringq_get_info(look->ring, &look->info);
	look->n = look->info.producers + look->info.consumers;
	look->seats = calloc(look->n, sizeof(*look->seats));
	r = look->seats ? 0 : -ENOMEM;
	for (i = 0; r == 0 && i < look->n; i++) {
		look->seats[i].role = i < look->info.producers ? RINGQ_PRODUCER : RINGQ_CONSUMER;
		look->seats[i].index = i < look->info.producers ? i : i - look->info.producers;
	}
	if (r == 0)
		r = look_again(look);
	if (r == 0)
		return TOOL_OK;
	warnx("%s: %s", look->what, ringq_strerror(r));
	look_close(look);
	return TOOL_FAILED;
}

void look_close(struct look *look)
{
	ringq_leave(look->ring);
	free(look->seats);
}

/* "PID (NAME) STATE ...", where the name may have any characters in it. */
static void process_read(struct process *process, uint32_t pid)
{
	char path[40], line[256], *open, *close;
	FILE *file;
	size_t n;

	strcpy(process->command, "?");
	process->state = '?';
	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = pid ? fopen(path, "re") : NULL;
	if (!file)
		return;
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = '\0';
	open = strchr(line, '(');
	close = strrchr(line, ')');
	if (!open || !close || close[1] != ' ')
		return;
	process->state = close[2];
	*close = '\0';
	snprintf(process->command, sizeof(process->command), "%.15s", open + 1);
	for (open = process->command; *open; open++) {
		if ((unsigned char)*open < ' ' || *open == 0x7f)
			*open = '?';
	}
}

int look_again(struct look *look)
{
	struct ringq_port_stat now = { .size = sizeof(now) };
	uint32_t i;
	int r;

	look->at = tool_now();
	for (i = 0; i < look->n; i++) {
		struct seat *seat = &look->seats[i];
		const struct ringq_port_stat *old = &seat->stat;

		r = ringq_port_stat(look->ring, seat->role, seat->index, &now);
		if (r < 0)
			return r;
		if (!seat->since || now.generation != old->generation || now.held != old->held ||
		    now.held_at != old->held_at || now.claim != old->claim)
			seat->since = look->at;
		seat->stat = now;
		/* Another may have the number of one that is over. */
		process_read(&seat->process, now.state == RINGQ_PORT_LIVE ? now.pid : 0);
	}
	return 0;
}

int look_later(struct look *look, int64_t ns)
{
	const struct timespec ts = { .tv_sec = ns / TOOL_SECOND, .tv_nsec = ns % TOOL_SECOND };

	nanosleep(&ts, NULL);
	return look_again(look);
}

static const struct seat *look_first(const struct look *look, uint32_t role)
{
	return &look->seats[role == RINGQ_PRODUCER ? 0 : look->info.producers];
}

uint64_t look_waiting(const struct look *look)
{
	uint64_t waiting = look_first(look, RINGQ_PRODUCER)->stat.waiting;
	uint32_t i;

	switch (look->info.discipline) {
	case RINGQ_LANES:
		/* Of all lanes. */
		return look_first(look, RINGQ_CONSUMER)->stat.waiting;
	case RINGQ_SPMC:
	case RINGQ_MPMC:
		/* That nobody has taken; and what is in hand, and is not perhaps another's. */
		for (i = look->info.producers; i < look->n; i++) {
			if (look->seats[i].stat.claim != RINGQ_TRY)
				waiting += look->seats[i].stat.held;
		}
	}
	return waiting;
}

const char *look_role(uint32_t role)
{
	return role == RINGQ_PRODUCER ? "producer" : "consumer";
}

const char *look_discipline(uint32_t discipline)
{
	static const char *const names[] = {
		[RINGQ_SPSC] = "spsc", [RINGQ_MPSC] = "mpsc", [RINGQ_SPMC] = "spmc",
		[RINGQ_MPMC] = "mpmc", [RINGQ_LANES] = "lanes", [RINGQ_GATED] = "gated",
		[RINGQ_LOSSY] = "lossy", [RINGQ_LATEST] = "latest",
	};

	return discipline >= RINGQ_SPSC && discipline <= RINGQ_LATEST ? names[discipline] : "?";
}

bool seat_is_claiming(const struct seat *seat)
{
	return seat->stat.claim == RINGQ_TRY || seat->stat.claim == RINGQ_BACK;
}

bool seat_is_stopped(const struct seat *seat)
{
	return seat->process.state == 'T' || seat->process.state == 't';
}

const char *seat_word(const struct seat *seat)
{
	switch (seat->stat.state) {
	case RINGQ_PORT_FREE:
		return "free";
	case RINGQ_PORT_LEFT:
		return "left";
	case RINGQ_PORT_DEAD:
		return seat->stat.flags & RINGQ_IS_KEPT ? "kept" : "dead";
	case RINGQ_PORT_DYING:
		return "dying";
	}
	if (seat_is_stopped(seat))
		return "stopped";
	if (seat->stat.flags & RINGQ_IS_ASLEEP)
		return "asleep";
	if (seat->stat.flags & RINGQ_IS_POLLED)
		return "polled";
	return seat_is_claiming(seat) ? "claiming" : "live";
}

const char *seat_process(char text[64], const struct seat *seat)
{
	if (!seat->stat.pid)
		return "a process of another pid namespace";
	if (seat->process.state == '?')
		snprintf(text, 64, "process %u", seat->stat.pid);
	else
		snprintf(text, 64, "process %u (%s)", seat->stat.pid, seat->process.command);
	return text;
}
