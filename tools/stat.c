// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* ringq stat: a ring and its ports: who they are, how far, and what they hold. */
#include "look.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OVER_DEFAULT	(TOOL_SECOND / 5)
#define OVER_MAX	86400	/* seconds */

struct stat_args {
	struct target target;
	int64_t over;
	bool json;
	bool watch;
};

/* "3.2 s", "14 min", "5 h", "12 d", or "?" if it cannot be. */
static const char *duration(char text[TOOL_FIGURE], int64_t ns)
{
	double s = (double)ns / TOOL_SECOND;

	if (ns < 0)
		return "?";
	if (s < 60)
		snprintf(text, TOOL_FIGURE, "%.1f s", s);
	else if (s < 3600)
		snprintf(text, TOOL_FIGURE, "%.0f min", s / 60);
	else if (s < 2 * 86400)
		snprintf(text, TOOL_FIGURE, "%.0f h", s / 3600);
	else
		snprintf(text, TOOL_FIGURE, "%.0f d", s / 86400);
	return text;
}

static const char *unit(const struct look *look)
{
	return look->info.flags & RINGQ_RECORDS ? "bytes" : "messages";
}

static void show_ring(const struct look *look)
{
	const struct ringq_info *i = &look->info;

	printf("%s: %s, %s, ", look->what, look_discipline(i->discipline),
	       ringq_memory_name(i->memory));
	if (i->flags & RINGQ_RECORDS)
		printf("%" PRIu64 " bytes of records of up to %" PRIu64, i->capacity, i->elem_size);
	else
		printf("%" PRIu64 " messages of %" PRIu64 " bytes", i->capacity, i->elem_size);
	printf("%s; %" PRIu64 " %s wait\n", i->discipline == RINGQ_LANES ? " a lane" : "",
	       look_waiting(look), unit(look));
}

static void show_seat(const struct look *look, const struct seat *seat)
{
	const struct ringq_port_stat *s = &seat->stat;
	char since[TOOL_FIGURE], held[TOOL_FIGURE], pid[16] = "?", place[24];

	if (s->pid)
		snprintf(pid, sizeof(pid), "%u", s->pid);
	snprintf(place, sizeof(place), "%s %u", look_role(seat->role), seat->index);
	printf("%-12s  %-8s  %8s  %-15s  %7s  %12" PRIu64 "  %8" PRIu64, place, seat_word(seat),
	       pid, seat->process.command, duration(since, look->at - (int64_t)s->attached_ns),
	       s->position, s->waiting);
	if (s->held)
		printf("  %8" PRIu64 "  %12" PRIu64 "  %7s", s->held, s->held_at,
		       seat->since < look->at ? duration(held, look->at - seat->since) : "-");
	printf("\n");
}

static void show_table(const struct look *look)
{
	uint32_t i, shown = 0;

	show_ring(look);
	for (i = 0; i < look->n; i++) {
		if (look->seats[i].stat.state == RINGQ_PORT_FREE)
			continue;
		if (!shown++)
			printf("%-12s  %-8s  %8s  %-15s  %7s  %12s  %8s  %8s  %12s  %7s\n", "PORT",
			       "STATE", "PID", "COMMAND", "SINCE", "POSITION", "WAITING", "HELD",
			       "FROM", "FOR");
		show_seat(look, &look->seats[i]);
	}
	if (!shown)
		printf("nobody has attached yet\n");
}

static void put_string(const char *name, const char *text)
{
	printf("\"%s\": ", name);
	tool_json_string(text);
	printf(", ");
}

static const char *truth(bool yes)
{
	return yes ? "true" : "false";
}

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		[RINGQ_PORT_FREE] = "free", [RINGQ_PORT_LIVE] = "live", [RINGQ_PORT_LEFT] = "left",
		[RINGQ_PORT_DEAD] = "dead", [RINGQ_PORT_DYING] = "dying",
	};

	return state <= RINGQ_PORT_DYING ? names[state] : "?";
}

static const char *claim_name(uint32_t claim)
{
	static const char *const names[] = {
		[RINGQ_IDLE] = "idle", [RINGQ_TRY] = "try", [RINGQ_OWN] = "own",
		[RINGQ_BACK] = "back",
	};

	return claim <= RINGQ_BACK ? names[claim] : "?";
}

static void put_seat(const struct look *look, const struct seat *seat)
{
	const char process[] = { seat->process.state, '\0' };
	const struct ringq_port_stat *s = &seat->stat;

	printf("{ ");
	put_string("role", look_role(seat->role));
	printf("\"index\": %u, ", seat->index);
	put_string("state", state_name(s->state));
	printf("\"generation\": %u, \"pid\": %u, ", s->generation, s->pid);
	put_string("command", seat->process.command);
	put_string("process", process);
	printf("\"asleep\": %s, \"polled\": %s, \"kept\": %s, ", truth(s->flags & RINGQ_IS_ASLEEP),
	       truth(s->flags & RINGQ_IS_POLLED), truth(s->flags & RINGQ_IS_KEPT));
	put_string("claim", claim_name(s->claim));
	if (s->lane != RINGQ_NO_LANE)
		printf("\"lane\": %u, ", s->lane);
	printf("\"attached_ns\": %" PRIu64 ", \"position\": %" PRIu64 ", \"waiting\": %" PRIu64
	       ", \"held\": %" PRIu64 ", \"held_at\": %" PRIu64 ", \"held_for_ns\": %" PRId64,
	       s->attached_ns, s->position, s->waiting, s->held, s->held_at,
	       s->held ? look->at - seat->since : 0);
	printf(", \"tombs\": %" PRIu64 ", \"redelivered\": %" PRIu64 ", \"dropped\": %" PRIu64 " }",
	       s->tombs, s->redelivered, s->dropped);
}

static void show_json(const struct look *look)
{
	const struct ringq_info *info = &look->info;
	bool first = true;
	uint32_t i;

	printf("{ ");
	put_string("ring", look->what);
	put_string("memory", ringq_memory_name(info->memory));
	put_string("discipline", look_discipline(info->discipline));
	printf("\"records\": %s, \"elem_size\": %" PRIu64 ", \"capacity\": %" PRIu64
	       ", \"waiting\": %" PRIu64 ", \"now_ns\": %" PRId64 ", \"ports\": [",
	       truth(info->flags & RINGQ_RECORDS), info->elem_size, info->capacity,
	       look_waiting(look), look->at);
	for (i = 0; i < look->n; i++) {
		if (look->seats[i].stat.state == RINGQ_PORT_FREE)
			continue;
		printf("%s\n  ", first ? "" : ",");
		put_seat(look, &look->seats[i]);
		first = false;
	}
	printf("%s] }\n", first ? "" : "\n");
}

static int64_t parse_over(const char *arg, struct argp_state *state)
{
	char *end;
	double s;

	errno = 0;
	s = strtod(arg, &end);
	if (end == arg || *end || errno || !isfinite(s) || s < 0 || s > OVER_MAX)
		argp_error(state, "--over wants a number of seconds, up to %d: '%s'", OVER_MAX, arg);
	return s * TOOL_SECOND;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stat_args *a = state->input;

	switch (key) {
	case 'j':
		a->json = true;
		return 0;
	case 'w':
		a->watch = true;
		return 0;
	case 'o':
		a->over = parse_over(arg, state);
		return 0;
	}
	return target_parse(&a->target, key, arg, state);
}

static int show(const struct stat_args *a, struct look *look)
{
	int r = a->over ? look_later(look, a->over) : 0;

	while (r == 0) {
		if (a->watch && !a->json && isatty(STDOUT_FILENO))
			printf("\033[H\033[J");
		if (a->json)
			show_json(look);
		else
			show_table(look);
		if (fflush(stdout) == EOF)
			r = -errno;
		if (!a->watch || tool_signal)
			break;
		if (r == 0)
			r = look_later(look, a->over ? a->over : OVER_DEFAULT);
		if (tool_signal)
			break;
	}
	return r;
}

int cmd_stat(int argc, char **argv)
{
	static const struct argp_option options[] = {
		TARGET_FILE_OPTION,
		{ .name = "over", .key = 'o', .arg = "SECONDS",
		  .doc = "look twice, with so much time between; 0.2 by default, 0: look once" },
		{ .name = "watch", .key = 'w', .doc = "go on looking, until a signal comes" },
		{ .name = "json", .key = 'j', .doc = "for programs" },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME",
		.doc = "Show a ring and who is, or was, attached to it: how far each port is, what "
		       "it holds, and for how long at least, as far as the looks tell."
		       "\v"
		       "STATE is live; asleep, polled: it waits to be woken; stopped: by a signal, "
		       "or a debugger; claiming: in the middle of a claim; left; dead; dying: dead, "
		       "and what it left is not in order yet (`ringq repair'); kept: dead, and a "
		       "successor is waited for.\n"
		       "\n"
		       "The ring is not attached to, and nothing in it is changed.",
	};
	struct stat_args a = { .over = OVER_DEFAULT };
	struct look look;
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	r = look_open(&look, &a.target);
	if (r)
		return r;
	if (a.watch)
		tool_catch_signals();
	r = show(&a, &look);
	if (r < 0)
		warnx("%s: %s", look.what, ringq_strerror(r));
	look_close(&look);
	return r < 0 ? TOOL_FAILED : TOOL_OK;
}
