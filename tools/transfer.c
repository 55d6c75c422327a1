// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What `ringq send' and `ringq recv' share: options, the way to the ring, progress. */
#include "transfer.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long a place may still be held by who is just leaving or dying. */
#define TRANSFER_GRACE		(2 * TOOL_SECOND)
#define TRANSFER_PAUSE		10000000

#define TRANSFER_SHOW		(TOOL_SECOND / 4)

enum { OPT_MEMORY = 'm', OPT_CAPACITY = 'c', OPT_TIMEOUT = 't' };

static const struct argp_option options[] = {
	{ .name = "memory", .key = OPT_MEMORY, .arg = "MEMORY",
	  .doc = "auto (default), device or memfd, if this side makes the ring" },
	{ .name = "capacity", .key = OPT_CAPACITY, .arg = "FRAMES",
	  .doc = "frames of 64 KiB in the ring, if this side makes it; 16 by default" },
	{ .name = "timeout", .key = OPT_TIMEOUT, .arg = "SECONDS",
	  .doc = "give up when the other side has not come, or does nothing, for so long; "
		 "by default it is waited for without limit" },
	{ 0 }
};

static void parse_timeout(struct transfer *t, const char *arg, struct argp_state *state)
{
	char *end;
	double seconds = strtod(arg, &end);

	/* Written so that NAN fails too. */
	if (*end || end == arg || !(seconds > 0 && seconds <= 1e9))
		argp_error(state, "--timeout wants seconds, more than 0: '%s'", arg);
	t->timeout = (int64_t)(seconds * TOOL_SECOND) + 1;	/* 0 would be no wait */
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct transfer *t = state->input;
	char *end;

	switch (key) {
	case OPT_MEMORY:
		t->memory = tool_parse_memory(arg, state);
		return 0;
	case OPT_CAPACITY:
		errno = 0;
		t->capacity = strtoull(arg, &end, 10);
		if (*end || !strchr("123456789", *arg) || errno)
			argp_error(state, "--capacity wants a number of frames: '%s'", arg);
		return 0;
	case OPT_TIMEOUT:
		parse_timeout(t, arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			t->name = arg;
		else if (state->arg_num == 1)
			t->path = strcmp(arg, "-") ? arg : NULL;
		else
			argp_usage(state);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

void transfer_parse(struct transfer *t, int argc, char **argv, const char *doc)
{
	struct argp argp = { .options = options, .parser = parse, .args_doc = "NAME [FILE]",
			     .doc = doc };

	memset(t, 0, sizeof(*t));
	t->capacity = TRANSFER_CAPACITY;
	t->timeout = RINGQ_FOREVER;
	argp_parse(&argp, argc, argv, 0, NULL, t);
	t->watched = isatty(STDERR_FILENO);
}

struct ringq_opts transfer_opts(const struct transfer *t)
{
	return (struct ringq_opts) {
		.size = sizeof(struct ringq_opts),
		.name = t->name,
		.memory = t->memory,
		.discipline = RINGQ_SPSC,
		.elem_size = FRAME_SIZE,
		.capacity = t->capacity,
		.flags = RINGQ_CONSUMER_WAIT,
	};
}

/*
 * Joins or makes the ring and takes the place. A consumer who gets there when the sender
 * has gone and nothing is left has come to a transfer that is over: -EPIPE.
 */
static int transfer_try(struct transfer *t, enum ringq_role role)
{
	struct ringq_opts opts = transfer_opts(t);
	int64_t n;
	int r = ringq_open(&opts, &t->ring);

	if (r < 0)
		return r;
	r = ringq_attach(t->ring, role, &t->port);
	if (r < 0)
		goto leave;
	if (role == RINGQ_PRODUCER)
		return 0;
	n = ringq_peek(&t->port, 1, RINGQ_NOWAIT);
	if (n > 0)
		ringq_release(&t->port, 0);
	if (n > 0 || n == -EAGAIN)
		return 0;
	r = n < 0 ? n : -EPIPE;
	ringq_detach(&t->port);
leave:
	ringq_leave(t->ring);
	t->ring = NULL;
	return r;
}

/* Says why there is no place for us, and returns the status. */
static int transfer_explain(const struct transfer *t, enum ringq_role role, int r)
{
	const char *who = role == RINGQ_PRODUCER ? "sender" : "receiver";

	switch (r) {
	case -EINVAL:
		warnx("'%s' cannot be a name: 1 to 63 bytes, no '/', no control characters",
		      t->name);
		return TOOL_USAGE;
	case -EBUSY:
		warnx("another %s is attached to '%s' (wait for it, or use another name)", who,
		      t->name);
		break;
	case -EPIPE:
		warnx("the last transfer through '%s' is over, but somebody still holds the ring "
		      "(wait for it to leave, or use another name)", t->name);
		break;
	case -EPROTOTYPE:
		warnx("'%s' is a ring of another program, with other messages (use another name)",
		      t->name);
		break;
	case -EACCES:
		warnx("no permission: '%s' belongs to another user, or %s is not for you "
		      "(`ringq info' tells)", t->name, RINGQ_DEVICE_PATH);
		break;
	case -ENODEV:
		warnx("there is no %s: load the module (make modules; insmod), or use "
		      "--memory=memfd", RINGQ_DEVICE_PATH);
		break;
	case -EINTR:
		break;
	default:
		warnx("'%s': %s", t->name, ringq_strerror(r));
	}
	return TOOL_FAILED;
}

int transfer_open(struct transfer *t, enum ringq_role role)
{
	static const struct timespec pause = { .tv_nsec = TRANSFER_PAUSE };
	int64_t deadline = tool_now() + TRANSFER_GRACE;
	int r;

	while ((r = transfer_try(t, role)) == -EBUSY || r == -EPIPE) {
		if (tool_now() > deadline)
			break;
		nanosleep(&pause, NULL);
		if (tool_signal)
			return TOOL_FAILED;
	}
	if (r < 0)
		return transfer_explain(t, role, r);
	t->begin = tool_now();
	return 0;
}

void transfer_close(struct transfer *t)
{
	ringq_detach(&t->port);
	ringq_leave(t->ring);
}

void transfer_progress(struct transfer *t, uint64_t bytes, bool end)
{
	char done[TOOL_FIGURE], rate[TOOL_FIGURE], part[16] = "";
	int64_t now;

	if (!t->watched)
		return;
	now = tool_now();
	if (now - t->shown < TRANSFER_SHOW && !end)
		return;
	t->shown = now;
	if (t->total)
		snprintf(part, sizeof(part), ", %.0f %%", 100.0 * bytes / t->total);
	fprintf(stderr, "\r\033[K%s: %s%s, %s/s%s", program_invocation_short_name,
		tool_bytes(done, bytes), part,
		tool_bytes(rate, bytes * (double)TOOL_SECOND / (now - t->begin)),
		end ? "\n" : "");
}
