// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * However one waits: trying all the time, letting others run between the tries, for short
 * times, until woken, by the port's descriptor; all in the same way, each in its own, and each
 * in another at every call.
 */
#include "conformance.h"

static void in_one_way(enum conf_wait wait, enum ringq_strategy strategy)
{
	static const uint64_t batches[] = { 1, 16 };
	/* Those that never sleep take all of a processor until it is taken from them. */
	const bool spins = wait == CONF_SPIN || strategy == RINGQ_STRATEGY_SPIN;
	struct conf_many m = {
		.size = 8, .producers = conf_producers(2), .consumers = conf_consumers(2),
	};
	struct conf_way way = { .wait = wait, .strategy = strategy };
	struct ringq *ring;
	unsigned int i;

	m.way = &way;
	for (i = 0; i < 8; i++) {
		way.batch = batches[i % 2];
		way.in_place = i / 2 % 2;
		m.processes = i / 4;
		m.n = conf_times(spins ? 500 : 3000);
		ring = conf_ring(m.size, spins ? 100 : 10, 0);
		conf_run_many(ring, &m);
		ringq_leave(ring);
	}
}

static void the_caller_waits(uint64_t wait)
{
	in_one_way(wait, RINGQ_STRATEGY_PHASED);
}

static void the_port_waits(uint64_t strategy)
{
	in_one_way(CONF_BLOCK, strategy);
}

static void each_in_its_own(uint64_t size)
{
	struct conf_many m = {
		.size = size, .producers = conf_producers(3), .consumers = conf_consumers(3),
	};
	uint32_t runs = conf_times(CONF_WAYS);
	struct ringq *ring;

	for (m.variant = 0; m.variant < runs; m.variant++) {
		m.n = 1000;
		m.processes = m.variant % 2;
		ring = conf_ring(m.size, 10, 0);
		conf_run_many(ring, &m);
		ringq_leave(ring);
	}
}

const struct conf_case conf_strategies[] = {
	{ "wait-by-spinning", the_caller_waits, CONF_SPIN, 0 },
	{ "wait-by-yielding", the_caller_waits, CONF_YIELD, 0 },
	{ "wait-for-short-times", the_caller_waits, CONF_TIMED, 0 },
	{ "wait-until-woken", the_caller_waits, CONF_BLOCK, 0 },
	{ "wait-by-poll", the_caller_waits, CONF_POLL, 0 },
	{ "wait-for-edges", the_caller_waits, CONF_EDGE, 0 },
	{ "wait-in-all-ways", the_caller_waits, CONF_MIXED, 0 },
	{ "strategy-block", the_port_waits, RINGQ_STRATEGY_BLOCK, 0 },
	{ "strategy-spin", the_port_waits, RINGQ_STRATEGY_SPIN, 0 },
	{ "strategy-yield", the_port_waits, RINGQ_STRATEGY_YIELD, 0 },
	{ "strategy-sleep", the_port_waits, RINGQ_STRATEGY_SLEEP, 0 },
	{ "wait-each-in-its-own-way-8", each_in_its_own, 8, 0 },
	{ "wait-each-in-its-own-way-100", each_in_its_own, 100, 0 },
	{ 0 }
};
