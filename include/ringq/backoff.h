/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Back-off: a pause between two tries that grows from one to the next, for a thread that must
 * not sleep in the kernel until it is woken, or that waits for several rings at once.
 *
 *     struct ringq_backoff b;
 *
 *     ringq_backoff_init(&b, RINGQ_BACKOFF_PHASED);
 *     while ((r = ringq_reserve(&port, n, RINGQ_NOWAIT)) == -EAGAIN)
 *             ringq_backoff_wait(&b);
 *
 * Strategies:
 *
 *   SPIN     1 to 64 pauses of the CPU: for a thread that has a CPU to itself
 *   YIELD    sched_yield(2): lets others run that are ready, and comes back at once if none is
 *   SLEEP    1 us, doubled up to 1 ms: uses next to no CPU, and is late by as much
 *   PHASED   SPIN until its pause is the longest, then YIELD a few times, then SLEEP
 *
 * Two more are time-outs of the calls themselves: RINGQ_FOREVER blocks, a number of nanoseconds
 * blocks so long. These spin a little and then sleep until they are woken, so they are neither
 * late nor busy: who can use them has no need of this.
 *
 * The object is one thread's. Nothing here can fail; a signal makes a pause shorter.
 */
#ifndef RINGQ_BACKOFF_H
#define RINGQ_BACKOFF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ringq_backoff_strategy {
	RINGQ_BACKOFF_SPIN = 0,
	RINGQ_BACKOFF_YIELD = 1,
	RINGQ_BACKOFF_SLEEP = 2,
	RINGQ_BACKOFF_PHASED = 3,
};

struct ringq_backoff {
	uint32_t strategy;	/* enum ringq_backoff_strategy */
	uint32_t step;		/* waits since the beginning, or the last reset */
};

/* An unknown strategy is PHASED. */
static inline void ringq_backoff_init(struct ringq_backoff *b,
				      enum ringq_backoff_strategy strategy)
{
	b->strategy = strategy;
	b->step = 0;
}

/* There was something: the next pause is the shortest again. */
static inline void ringq_backoff_reset(struct ringq_backoff *b)
{
	b->step = 0;
}

/**
 * ringq_backoff_wait - wait once, not shorter than the time before
 *
 * Returns 1 if the pause was the longest there is, so that who has something else to do had
 * better do it; else 0.
 */
int ringq_backoff_wait(struct ringq_backoff *b);

#ifdef __cplusplus
}
#endif

#endif /* RINGQ_BACKOFF_H */
