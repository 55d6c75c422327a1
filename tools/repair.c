// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq repair: looks for dead ports now, puts in order what they left, and says what is still held
 * and by whom. What cannot be repaired waits for a live process, which is named.
 */
#include "look.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between two looks: what is the same in both was not just passing. */
#define BETWEEN	(TOOL_SECOND / 5)

static void name_seat(const struct seat *seat)
{
	char text[64];

	printf("%s %u, %s:", look_role(seat->role), seat->index, seat_process(text, seat));
}

static void tell_part(const struct look *look, uint64_t n, const char *what)
{
	const char *unit = look->info.flags & RINGQ_RECORDS ? "byte" : "message";

	if (n)
		printf(" %" PRIu64 " %s%s %s;", n, unit, n == 1 ? "" : "s", what);
}

/* What became of what a dead port had. */
static void tell_fate(const struct look *look, const struct seat *before, const struct seat *now)
{
	const struct ringq_port_stat *s = &now->stat;

	if (s->state != RINGQ_PORT_DEAD || s->generation != before->stat.generation) {
		printf(" its place is another's by now\n");
		return;
	}
	tell_part(look, s->tombs, "that it had not finished: skipped");
	tell_part(look, s->redelivered, "that it had in hand: to come again");
	tell_part(look, s->dropped, "that it had in hand: dropped");
	printf(" in order\n");
}

/* Whom @before knew as dying, and who is not any more. */
static void tell_buried(const struct look *now, const struct seat *before)
{
	uint32_t i;

	for (i = 0; i < now->n; i++) {
		if (before[i].stat.state != RINGQ_PORT_DYING)
			continue;
		if (now->seats[i].stat.state == RINGQ_PORT_DYING &&
		    now->seats[i].stat.generation == before[i].stat.generation)
			continue;
		printf("buried: ");
		name_seat(&before[i]);
		tell_fate(now, &before[i], &now->seats[i]);
	}
}

/* Two may have tried the same. */
static const char *perhaps(const struct seat *seat)
{
	return seat->stat.claim == RINGQ_TRY ? "perhaps " : "";
}

/* Who is in the middle of a claim, in all looks, and keeps the dead of its side waiting. */
static void tell_culprits(const struct look *look, uint32_t role)
{
	uint32_t i;

	for (i = 0; i < look->n; i++) {
		const struct seat *seat = &look->seats[i];

		if (seat->role != role || seat->stat.state != RINGQ_PORT_LIVE ||
		    !seat_is_claiming(seat) || seat->since == look->at)
			continue;
		printf("  it waits for ");
		name_seat(seat);
		printf(" %sin the middle of a claim at %" PRIu64 "%s\n",
		       seat_is_stopped(seat) ? "stopped " : "", seat->stat.position,
		       seat_is_stopped(seat) ? " (kill -CONT, or kill it)" : "");
	}
}

/* Returns how many of the dead are not in order yet. */
static unsigned int tell_dying(const struct look *look)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < look->n; i++) {
		if (look->seats[i].stat.state != RINGQ_PORT_DYING)
			continue;
		printf("dead, and not in order yet: ");
		name_seat(&look->seats[i]);
		printf(" it had %s%" PRIu64 " in hand, from %" PRIu64 " on\n",
		       perhaps(&look->seats[i]), look->seats[i].stat.held,
		       look->seats[i].stat.held_at);
		tell_culprits(look, look->seats[i].role);
		n++;
	}
	return n;
}

/* What live ports held at both looks. */
static void tell_held(const struct look *look)
{
	uint32_t i;

	for (i = 0; i < look->n; i++) {
		const struct seat *seat = &look->seats[i];

		if (seat->stat.state != RINGQ_PORT_LIVE || seat->since == look->at)
			continue;
		if (!seat->stat.held && !(seat_is_claiming(seat) && seat_is_stopped(seat)))
			continue;
		printf("held: ");
		name_seat(seat);
		if (seat->stat.held)
			printf(" %s%" PRIu64 " from %" PRIu64 " on%s\n", perhaps(seat),
			       seat->stat.held, seat->stat.held_at,
			       seat_is_stopped(seat) ? ", and it is stopped" : "");
		else
			printf(" stopped in the middle of a claim at %" PRIu64 "\n",
			       seat->stat.position);
	}
}

/* Somebody is in the middle of attaching or leaving. Who, is not known; but who is stopped is. */
static void tell_locked(const struct look *look)
{
	uint32_t i;

	warnx("%s: somebody has been in the middle of attaching, leaving or repairing for a "
	      "second: it is stopped there", look->what);
	for (i = 0; i < look->n; i++) {
		if (look->seats[i].stat.state != RINGQ_PORT_LIVE || !seat_is_stopped(&look->seats[i]))
			continue;
		printf("stopped: ");
		name_seat(&look->seats[i]);
		printf(" it may be the one\n");
	}
}

static unsigned int count_live(const struct look *look)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < look->n; i++)
		n += look->seats[i].stat.state == RINGQ_PORT_LIVE;
	return n;
}

static int mend(struct look *look, struct seat *before)
{
	unsigned int left, live;
	int r;

	memcpy(before, look->seats, look->n * sizeof(*before));
	r = ringq_bury(look->ring);
	if (r == -ETIMEDOUT)
		tell_locked(look);
	else if (r < 0)
		warnx("%s: %s", look->what, ringq_strerror(r));
	if (r < 0)
		return TOOL_FAILED;
	r = look_later(look, BETWEEN);
	if (r < 0) {
		warnx("%s: %s", look->what, ringq_strerror(r));
		return TOOL_FAILED;
	}
	tell_buried(look, before);
	left = tell_dying(look);
	tell_held(look);
	live = count_live(look);
	printf("%s: %s; %u port%s live\n", look->what, left ? "not in order" : "in order", live,
	       live == 1 ? " is" : "s are");
	return left ? TOOL_FAILED : TOOL_OK;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	return target_parse(state->input, key, arg, state);
}

int cmd_repair(int argc, char **argv)
{
	static const struct argp_option options[] = { TARGET_FILE_OPTION, { 0 } };
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "Look now for ports whose processes have died, put in order what they left, "
		       "and tell what live ones hold."
		       "\v"
		       "Rings repair themselves; this is for one of which all members are stopped, "
		       "or that lies in a file to which nobody is attached, and to find out whom a "
		       "ring is waiting for. The status is 1 if a dead port is not in order yet: it "
		       "waits for a live one, which is named.",
	};
	struct target target = { 0 };
	struct seat *before;
	struct look look;
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &target);
	r = look_open(&look, &target);
	if (r)
		return r;
	before = calloc(look.n, sizeof(*before));
	if (!before)
		err(TOOL_FAILED, NULL);
	r = mend(&look, before);
	free(before);
	look_close(&look);
	return r;
}
