/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What there is to be measured: sets of cases, each with the queues that its cases work on.
 */
#ifndef BENCH_SET_H
#define BENCH_SET_H

#include "bench_run.h"

/* A case: what a row of the table measures. Bodies are given the set's queue. */
struct bench_case {
	const char *name;
	uint32_t discipline;	/* enum ringq_discipline; 0: SPSC */
	uint32_t size;		/* bytes of a message */
	uint64_t capacity;	/* asked for */
	unsigned int threads[2];	/* that send, and that receive */
	bool round_trips;	/* less is better: ns instead of a rate */
	bench_body *control[2], *ringq[2];
};

struct bench_set {
	const char *name;
	const struct bench_case *cases;
	unsigned int count;
	/*
	 * Makes what a case needs, ports attached: the ring in memory of enum ringq_memory, the
	 * control always in private memory. Returns 0 or a negative errno.
	 */
	int (*open)(const struct bench_case *c, uint32_t memory, struct ringq_info *info,
		    void **queue);
	/* Before each run: forgets what the last one left. */
	void (*clear)(void *queue);
	void (*close)(void *queue);
};

extern const struct bench_set bench_spsc, bench_many, bench_wake;

#endif /* BENCH_SET_H */
