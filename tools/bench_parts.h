/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The loops of `ringq bench parts`, for ringq's own functions as whoever includes this has them:
 * bench_parts.c whole, bench_parts_bare.c without the part that is measured.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include "bench_set.h"

#define PARTS_BLOCK	1024	/* messages between looks whether to stop */

RINGQ_TYPED(parts_spsc, uint64_t, spsc);

struct parts {
	struct ringq *ring;
	struct parts_spsc_producer out;
	struct parts_spsc_consumer in;
	bool attached[2];	/* by enum ringq_role */
};

bench_body parts_bare_produce, parts_bare_consume, parts_whole_produce, parts_whole_consume;

#define PARTS_LOOPS(name, send, recv)							\
void name##_produce(struct bench_run *run, void *queue, unsigned int me)		\
{											\
	struct parts *q = queue;							\
	uint64_t seq = 0;								\
											\
	(void)me;									\
	while (!bench_stopped(run)) {							\
		for (int i = 0; i < PARTS_BLOCK; i++) {					\
			while (send(&q->out, &seq, RINGQ_NOWAIT) < 0)	\
				if (bench_wait(run))					\
					return;						\
			seq++;								\
		}									\
	}										\
	bench_sent(run, seq);								\
}											\
void name##_consume(struct bench_run *run, void *queue, unsigned int me)		\
{											\
	struct parts *q = queue;							\
	uint64_t seq = 0, wrong = 0, msg;						\
	double since = bench_now();							\
	bool all = false;								\
											\
	(void)me;									\
	for (;;) {									\
		while (recv(&q->in, &msg, RINGQ_NOWAIT) <= 0) {		\
			if (all || bench_wait(run)) {					\
				bench_received(run, since, seq, 0, wrong);		\
				return;							\
			}								\
			all = bench_all_sent(run);					\
		}									\
		wrong += msg != seq++;							\
	}										\
}

#endif /* BENCH_PARTS_H */
