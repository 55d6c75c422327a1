/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * `ringq bench claims`: what claim words cost in MPMC. The loops here are for ringq's own
 * functions as whoever includes this has them: bench_claims.c as they are,
 * bench_claims_bare.c without the words.
 */
#ifndef BENCH_CLAIMS_H
#define BENCH_CLAIMS_H

#include <ringq.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define CLAIMS_SIDE	2	/* threads that send, and that receive */
#define CLAIMS_BLOCK	256	/* messages between two looks at what is to be done */
#define CLAIMS_YIELD	32	/* vain looks between two sched_yield() */
#define CLAIMS_SHIFT	48	/* a message is the sender's number << 48, and its own */

/* A thread: it sends or receives. */
struct claims_worker {
	struct ringq_port port __attribute__((aligned(RINGQ_LINE_PAIR)));
	const uint32_t *stop;
	uint64_t msg;			/* the next to send */
	uint64_t next[CLAIMS_SIDE];	/* and to receive, of each sender */
	uint64_t wrong;
	uint64_t received[2];		/* with and without */
	unsigned int idle;
};

/* A block, or less if it is to stop. */
typedef void claims_block(struct claims_worker *w);

claims_block claims_bare_send, claims_bare_recv;

int bench_claims(uint32_t memory, bool quick, bool json, const int cpus[2]);

RINGQ_TYPED(claims_mpmc, uint64_t, mpmc);

static inline bool claims_wait(struct claims_worker *w)
{
	ringq_pause();
	if (++w->idle % CLAIMS_YIELD == 0)
		sched_yield();
	return ringq_load_relaxed(w->stop);
}

#define CLAIMS_LOOPS(linkage, name)							\
linkage void name##_send(struct claims_worker *w)					\
{											\
	struct claims_mpmc_producer *p = (struct claims_mpmc_producer *)&w->port;	\
											\
	for (int i = 0; i < CLAIMS_BLOCK; i++, w->msg++)				\
		while (claims_mpmc_send(p, &w->msg, RINGQ_NOWAIT) < 0)			\
			if (claims_wait(w))						\
				return;							\
}											\
linkage void name##_recv(struct claims_worker *w)					\
{											\
	struct claims_mpmc_consumer *p = (struct claims_mpmc_consumer *)&w->port;	\
	uint64_t msg = 0, number;							\
	unsigned int who;								\
											\
	for (int i = 0; i < CLAIMS_BLOCK; i++) {					\
		while (claims_mpmc_recv(p, &msg, RINGQ_NOWAIT) <= 0)			\
			if (claims_wait(w))						\
				return;							\
		who = msg >> CLAIMS_SHIFT & (CLAIMS_SIDE - 1);				\
		number = msg & ((UINT64_C(1) << CLAIMS_SHIFT) - 1);			\
		w->wrong += number < w->next[who];					\
		w->next[who] = number + 1;						\
	}										\
}

#endif /* BENCH_CLAIMS_H */
