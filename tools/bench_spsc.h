/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What is measured of SPSC: the loops of both sides, the same for the ring and for the
 * control, and the queues that they work on.
 */
#ifndef BENCH_SPSC_H
#define BENCH_SPSC_H

#include "bench_run.h"

/* A case: what a row of the table measures. Bodies are given a struct bench_queues. */
struct bench_case {
	uint32_t size;		/* bytes of a message */
	uint32_t burst;		/* messages in a call; 0: round trips */
	uint64_t capacity;	/* asked for */
	bench_body *control[2], *ringq[2];
};

extern const struct bench_case bench_cases[];
extern const unsigned int bench_cases_count;

struct bench_queues;

/**
 * bench_queues_open - make what a case needs, both ports attached
 * @memory: enum ringq_memory, of the ring; the control is always private.
 * @info: (out) of the ring.
 *
 * Returns 0 or a negative errno.
 */
int bench_queues_open(const struct bench_case *c, uint32_t memory, struct ringq_info *info,
		      struct bench_queues **queues);
/* Before each run: forgets what the last bare ping-pong left. */
void bench_queues_clear(struct bench_queues *q);
void bench_queues_close(struct bench_queues *q);

#endif /* BENCH_SPSC_H */
