// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages arrive: all, once, whole and in the order that the discipline promises; from as
 * many producers to as many consumers as it allows; by ones and in batches, copied and in
 * place, typed and untyped, trying and waiting, and all of these mixed; through the smallest
 * ring and a larger one; between threads and between processes.
 */
#include "conformance.h"

#define PROCESSES 1
#define FLOW(size, producers, consumers, processes) \
	((uint64_t)(processes) << 48 | (producers) << 40 | (uint64_t)(consumers) << 32 | (size))

/* Where to begin, so that a difference or a sum of positions is cut off if it can be. */
static const uint64_t firsts[] = { 0, (1ull << 32) - 50, (1ull << 48) + 3, RINGQ_FIRST_MAX - 50 };

static void flow(uint64_t arg)
{
	struct conf_many m = {
		.size = (uint32_t)arg, .consumers = arg >> 32 & 255, .producers = arg >> 40 & 255,
		.processes = arg >> 48,
	};
	uint32_t runs = conf_times(2 * CONF_WAYS), i;
	struct ringq *ring;

	m.n = m.size < 1000 ? 500 : 200;
	for (i = 0; i < runs; i++) {
		/* If there are fewer runs than ways, other cases have the others. */
		m.variant = i * 2 * CONF_WAYS / runs + arg % 41;
		ring = conf_create((struct ringq_opts){
			.elem_size = m.size, .capacity = i % 3 ? 100 : 1,
			.first = firsts[i % COUNT(firsts)],
		});
		conf_run_many(ring, &m);
		ringq_leave(ring);
	}
}

#define SHAPE(name, size, producers, consumers, needs)					\
	{ "flow-" #size name, flow, FLOW(size, producers, consumers, 0), needs },	\
	{ "flow-" #size name "-processes", flow,					\
	  FLOW(size, producers, consumers, PROCESSES), needs },

#define SHAPES(size)									\
	SHAPE("-1x1", size, 1ull, 1, 0)							\
	SHAPE("-2x1", size, 2ull, 1, CONF_PRODUCERS)					\
	SHAPE("-1x2", size, 1ull, 2, CONF_CONSUMERS)					\
	SHAPE("-3x2", size, 3ull, 2, CONF_PRODUCERS | CONF_CONSUMERS)

const struct conf_case conf_flow[] = {
	SHAPES(8)
	SHAPES(28)
	SHAPES(56)
	SHAPES(100)
	SHAPES(1264)
	{ 0 }
};
