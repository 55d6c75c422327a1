// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Interleavings at random: sim [--seed=N] [--rounds=N] [--seconds=N] [--trace] [ROW]
 *
 * Ports of a small MPMC, MPSC or SPMC ring in private memory come, send, receive, leave and die as
 * coroutines in one thread, and others bury the dead meanwhile; at each access to shared memory
 * another one may go on (schedule.c, actors.c). It is the library's own code, its repair included.
 * A round is a new ring and about ten ports. While they are there, and at the end,
 *
 *	nobody sees a message that was not sent, a part of one, or one twice that is not flagged;
 *	who sees messages of one sender sees them in order;
 *	nothing that is not flagged comes after an end-of-file;
 *	all that was committed comes, but for what a dead one had received and not yet entered,
 *	and where that is the policy what it had in hand;
 *	the ring holds as much as it did when it was new, and passes it on;
 *	ringq_port_stat() is right about who is between two calls.
 *
 * Nobody waits here: about sleep and wake-ups see tests/soak/main.c; about what a kill leaves at
 * each instruction, tests/step; about kills of real processes, tests/soak/kills.c.
 *
 * A line for each row, "ok - ..." or "FAIL - ...". A failure tells how to see that round again.
 */
#include "sim.h"
#include "../../lib/internal.h"

#include <argp.h>
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS		INT64_C(1000000000)
#define LAPS		3
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

static const struct row rows[] = {
	{ "mpmc", RINGQ_MPMC, 0, { 3, 3 } },
	{ "mpmc, drop", RINGQ_MPMC, RINGQ_DROP, { 3, 3 } },
	{ "mpmc, fenced", RINGQ_MPMC, RINGQ_FENCE, { 3, 3 } },
	{ "mpsc", RINGQ_MPSC, 0, { 3, 1 } },
	{ "mpsc, drop", RINGQ_MPSC, RINGQ_DROP, { 3, 1 } },
	{ "spmc", RINGQ_SPMC, 0, { 1, 3 } },
	{ "spmc, drop", RINGQ_SPMC, RINGQ_DROP, { 1, 3 } },
};

struct round sim;
bool sim_traces;

static struct {
	const char *row;	/* NULL: all of them */
	uint64_t seed, rounds;
	int64_t seconds;
} options;

static uint32_t passed;

void sim_trace(const struct actor *a, const char *format, ...)
{
	va_list args;

	if (!sim_traces)
		return;
	printf("# %llu: actor %u %s", (unsigned long long)sim.points, (uint32_t)(a - sim.actor),
	       a->doing);
	if (a->port.page)
		printf(", side %u, place %u, claims {%u, %u, %llu}", a->role, a->port.index,
		       ringq_claim_state(a->port.page->claim),
		       ringq_claim_count(a->port.page->claim),
		       (unsigned long long)a->port.page->claim & RINGQ_CLAIM_MASK);
	printf(": ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

void sim_fail(const char *format, ...)
{
	const struct actor *a = sim.running;
	va_list args;

	printf("FAIL - %s, round %llu: ", sim.row->name, (unsigned long long)sim.number);
	if (a)
		printf("actor %u %s: ", (uint32_t)(a - sim.actor), a->doing);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n# again: sim --seed=%llu --rounds=1 --trace '%s'\n%u passed, 1 failed\n",
	       (unsigned long long)sim.seed, sim.row->name, passed);
	exit(1);
}

/* A small one: its slots are used again and again, and numbers wrap where words tell them. */
static void open_ring(const struct row *row)
{
	static const uint64_t firsts[] = { 0, (UINT64_C(1) << RINGQ_CLAIM_BITS) - 20,
					   (UINT64_C(1) << RINGQ_SPECIAL_BITS) - 20 };
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = row->discipline,
		.flags = row->flags | RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
		.producers = row->seats[RINGQ_PRODUCER], .consumers = row->seats[RINGQ_CONSUMER],
		.elem_size = sim_random(2) ? 16 : 80, .capacity = UINT64_C(1) << sim_random(4),
		.first = firsts[sim_random(COUNT(firsts))],
	};
	int r = ringq_create(&opts, &sim.ring);

	if (r < 0)
		errx(2, "create: %s", ringq_strerror(r));
}

static struct actor *new_actor(uint32_t role)
{
	struct actor *a = &sim.actor[sim.actors++];

	a->role = role;
	a->doing = "rests";
	return a;
}

static void start_actors(void)
{
	uint32_t ports = 4 + sim_random(10), buriers = 1 + sim_random(2), i;
	struct actor *a;

	for (i = 0; i < ports; i++) {
		a = new_actor(sim_random(2));
		a->mortal = true;
		sim_start(a, port_body);
	}
	if (!sim_random(3))
		sim.actor[sim_random(ports)].closes = true;
	for (i = 0; i < buriers; i++)
		sim_start(new_actor(0), burier_body);
	sim.deaths_left = sim_random(9);
	sim.switches = 1 + sim_random(sim_random(2) ? 4 : 40);
	sim.stops = 400;
	sim.kills = 50 + sim_random(600);
	sim.risk_stops = 4 + sim_random(60);
	sim.risk_kills = 20 + sim_random(150);
}

static void check_rest(struct actor *a, bool closed)
{
	uint64_t message[16];
	uint32_t missing = 0, i;
	int r;

	a->ends = sim.ends;
	while ((r = ringq_recv(&a->port, message, RINGQ_NOWAIT)) == 1)
		sim.message[actor_sees(a, message)].released = true;
	if (r != (closed ? 0 : -EAGAIN))
		sim_fail("nothing more is to come: %s", ringq_strerror(r));
	for (i = 0; i < sim.messages; i++)
		missing += sim.message[i].state == COMMITTED && !sim.message[i].shown;
	if (missing > sim.doubt)
		sim_fail("%u messages are missing, and the dead can have had %u", missing,
			 sim.doubt);
}

static void check_capacity(struct actor *in, struct actor *out)
{
	uint64_t capacity = sim.ring->geometry.capacity, message[16] = { 0 }, lap, i;

	for (lap = 0; lap < LAPS; lap++) {
		for (i = 0; i < capacity; i++)
			if (ringq_send(&out->port, message, RINGQ_NOWAIT) != 1)
				sim_fail("there was room for %u, and is for %u",
					 (uint32_t)capacity, (uint32_t)i);
		if (ringq_send(&out->port, message, RINGQ_NOWAIT) != -EAGAIN)
			sim_fail("there is room for more than %u", (uint32_t)capacity);
		for (i = 0; i < capacity; i++)
			if (ringq_recv(&in->port, message, RINGQ_NOWAIT) != 1)
				sim_fail("of %u that were sent %u come", (uint32_t)capacity,
					 (uint32_t)i);
	}
}

static struct actor *new_port(uint32_t role)
{
	struct actor *a = new_actor(role);
	int r = ringq_attach(sim.ring, role, &a->port);

	if (r < 0)
		sim_fail("nobody is there, and a port is refused: %s", ringq_strerror(r));
	return a;
}

/* Nobody is there any more, and nobody interrupts. */
static void judge(void)
{
	bool closed = *ringq_word_of(sim.ring, sim.ring->base, RINGQ_PRODUCER) & RINGQ_CLOSED;
	struct actor *in = new_port(RINGQ_CONSUMER), *out;

	check_rest(in, closed);
	if (!closed) {
		out = new_port(RINGQ_PRODUCER);
		check_capacity(in, out);
		ringq_detach(&out->port);
	}
	ringq_detach(&in->port);
}

static void run_round(const struct row *row, uint64_t number)
{
	memset(&sim, 0, sizeof(sim));
	sim.row = row;
	sim.number = number;
	sim.seed = options.seed + number;
	sim_seed(sim.seed);
	open_ring(row);
	start_actors();
	while (burier_is_needed())
		sim_turn();
	judge();
	ringq_leave(sim.ring);
}

static void run_row(const struct row *row, int64_t ns)
{
	uint64_t number = 0, deaths = 0, messages = 0, redelivered = 0, doubt = 0;
	int64_t end = sim_clock() + ns;

	do {
		run_round(row, number++);
		deaths += sim.deaths;
		messages += sim.messages;
		redelivered += sim.redelivered;
		doubt += sim.doubt;
	} while (options.rounds ? number < options.rounds : sim_clock() < end);
	printf("ok - %s: %llu rounds, %llu deaths, %llu messages: %llu redelivered, "
	       "%llu in doubt\n", row->name, (unsigned long long)number,
	       (unsigned long long)deaths, (unsigned long long)messages,
	       (unsigned long long)redelivered, (unsigned long long)doubt);
	fflush(stdout);
	passed++;
}

static bool is_wanted(const struct row *row)
{
	return !options.row || !strcmp(options.row, row->name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	char *end = "";

	switch (key) {
	case 'r':
		options.seed = strtoull(arg, &end, 10);
		break;
	case 'n':
		options.rounds = strtoull(arg, &end, 10);
		break;
	case 's':
		options.seconds = strtoll(arg, &end, 10);
		break;
	case 't':
		sim_traces = true;
		break;
	case ARGP_KEY_ARG:
		options.row = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (*end || options.seconds <= 0)
		argp_error(state, "a number is wanted: '%s'", arg);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp_option known[] = {
		{ .name = "seed", .key = 'r', .arg = "N", .doc = "another each time" },
		{ .name = "rounds", .key = 'n', .arg = "N", .doc = "of each row" },
		{ .name = "seconds", .key = 's', .arg = "N", .doc = "of all rows: 20" },
		{ .name = "trace", .key = 't', .doc = "tell each step" },
		{ 0 }
	};
	static const struct argp argp = { .options = known, .parser = parse, .args_doc = "[ROW]" };
	uint32_t n = 0, i;

	options.seed = sim_clock();
	options.seconds = 20;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	for (i = 0; i < COUNT(rows); i++)
		n += is_wanted(&rows[i]);
	for (i = 0; i < COUNT(rows); i++)
		if (is_wanted(&rows[i]))
			run_row(&rows[i], options.seconds * NS / n);
	printf("# seed %llu\n%u passed, 0 failed\n", (unsigned long long)options.seed, passed);
	return !n;
}
