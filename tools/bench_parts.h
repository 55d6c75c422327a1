/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * `ringq bench parts`: what a part of the fast path costs. The loops here are for ringq's own
 * functions as whoever includes this has them: bench_parts.c as they are, bench_parts_attention.c
 * and bench_parts_claims.c without that part.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include <ringq.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define PARTS_SENDERS	2	/* at most */
#define PARTS_BLOCK	256	/* messages between two looks at what is to be done */
#define PARTS_YIELD	32	/* vain looks between two sched_yield() */
#define PARTS_SHIFT	48	/* a message is the sender's number << 48, and its own */

/* A thread: it sends or receives. */
struct parts_worker {
	struct ringq_port port __attribute__((aligned(RINGQ_LINE_PAIR)));
	bool crowded;			/* there are more threads than CPUs */
	uint64_t msg;			/* the next to send */
	uint64_t next[PARTS_SENDERS];	/* and to receive, of each sender */
	uint64_t wrong;
	uint64_t received[2];		/* with the part, and without */
	unsigned int idle;
	uint32_t stop;
};

/* A block, or less if it is to stop. */
typedef void parts_block(struct parts_worker *w);

parts_block parts_attention_send, parts_attention_recv, parts_claims_send, parts_claims_recv;

int bench_parts(uint32_t memory, bool quick, bool json, const int cpus[2]);

RINGQ_TYPED(parts_spsc, uint64_t, spsc);
RINGQ_TYPED(parts_mpmc, uint64_t, mpmc);

static inline bool parts_wait(struct parts_worker *w)
{
	ringq_pause();
	if (w->crowded && ++w->idle % PARTS_YIELD == 0)
		sched_yield();
	return ringq_load_relaxed(&w->stop);
}

/* The two of a name, for a typed ring. */
#define PARTS_LOOPS(linkage, name, ring)						\
linkage void name##_send(struct parts_worker *w)					\
{											\
	struct ring##_producer *p = (struct ring##_producer *)&w->port;			\
											\
	for (int i = 0; i < PARTS_BLOCK; i++, w->msg++)					\
		while (ring##_send(p, &w->msg, RINGQ_NOWAIT) < 0)			\
			if (parts_wait(w))						\
				return;							\
}											\
linkage void name##_recv(struct parts_worker *w)					\
{											\
	struct ring##_consumer *p = (struct ring##_consumer *)&w->port;			\
	uint64_t msg = 0, number;							\
	unsigned int who;								\
											\
	for (int i = 0; i < PARTS_BLOCK; i++) {						\
		while (ring##_recv(p, &msg, RINGQ_NOWAIT) <= 0)				\
			if (parts_wait(w))						\
				return;							\
		who = msg >> PARTS_SHIFT & (PARTS_SENDERS - 1);				\
		number = msg & ((UINT64_C(1) << PARTS_SHIFT) - 1);			\
		w->wrong += number < w->next[who];					\
		w->next[who] = number + 1;						\
	}										\
}

#endif /* BENCH_PARTS_H */
