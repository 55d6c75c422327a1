/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * One run of a benchmark: threads that send and threads that receive, pinned to two
 * CPUs, that work against each other for a given time and stop. Every run ends: threads
 * that have not finished some seconds after they were told to stop are told to give up,
 * and the run counts as failed.
 *
 * A body calls bench_stopped() every so often and bench_wait() each time that it can
 * do nothing; what it found out it adds to the run.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <ringq.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_THREADS	16	/* at most, in a run */

#define BENCH_YIELD	32	/* vain looks between two sched_yield(), if crowded */

enum bench_order {
	BENCH_GO,
	BENCH_STOP,	/* finish what you are doing */
	BENCH_GIVE_UP,	/* return at once */
};

struct bench_run {
	/* Written by the thread that waits for the others, read by all. */
	uint32_t order __attribute__((aligned(RINGQ_LINE_PAIR)));
	bool crowded;		/* more threads than CPUs: who waits lets others run */
	uint32_t threads;
	/* How many have not yet sent their last message. */
	uint32_t senders __attribute__((aligned(RINGQ_LINE_PAIR)));
	/* Results, added at the end. */
	uint64_t sent;
	uint64_t received;
	uint64_t lost;		/* messages that a receiver was told it had lost */
	uint64_t wrong;		/* messages that were not what was sent */
	double ns;		/* a round trip; or how long the last receiver took */

	uint32_t ready __attribute__((aligned(RINGQ_LINE_PAIR)));	/* threads that have begun */
};

/* Thread number me of its side, from 0. */
typedef void bench_body(struct bench_run *run, void *queue, unsigned int me);

static inline bool bench_stopped(const struct bench_run *run)
{
	return ringq_load_relaxed(&run->order) != BENCH_GO;
}

/* To be called where there is nothing to do; true: give up. */
static inline bool bench_wait(const struct bench_run *run)
{
	static __thread unsigned int idle;

	ringq_pause();
	if (run->crowded && ++idle % BENCH_YIELD == 0)
		sched_yield();
	return ringq_load_relaxed(&run->order) == BENCH_GIVE_UP;
}

/* To be asked before a receive that finds nothing: then there will be no more. */
static inline bool bench_all_sent(const struct bench_run *run)
{
	return !ringq_load_acquire(&run->senders);
}

/* Nanoseconds of CLOCK_MONOTONIC. */
double bench_now(void);

/* By a sender, at its end; by a receiver, at its end, which began at since. */
void bench_sent(struct bench_run *run, uint64_t count);
void bench_received(struct bench_run *run, double since, uint64_t count, uint64_t lost,
		    uint64_t wrong);

/* Who takes part: so many threads, each of which runs the body. */
struct bench_side {
	bench_body *body;
	unsigned int threads;
};

/**
 * bench_run - let two sides work against each other
 * @run: (out) what they found out.
 * @cpus: where; two threads get one each, more take turns.
 * @sides: senders and receivers, at most BENCH_THREADS in all.
 * @ns: how long.
 *
 * Returns 0; -ETIMEDOUT if they had to be told to give up; or another negative errno. Does
 * not return if they do not obey even then.
 */
int bench_run(struct bench_run *run, const int cpus[2], const struct bench_side sides[2],
	      void *queue, uint64_t ns);

/*
 * A round trip with nothing in between: two words, each on a line of its own and written
 * by one thread. It is the least that any queue can need, and tells how near to each
 * other the two CPUs are at the moment. How long a line takes depends on where in the
 * shared cache it has its home, and a ring has many lines: so each group of round trips
 * takes another two.
 */
#define BENCH_LINE_PAIRS 128

struct bench_lines {
	struct {
		uint64_t there __attribute__((aligned(RINGQ_LINE_PAIR)));
		uint64_t back __attribute__((aligned(RINGQ_LINE_PAIR)));
	} pair[BENCH_LINE_PAIRS];
};

bench_body bench_lines_ping, bench_lines_pong;

/* A round trip is timed in groups; the median of the groups is what counts. */
#define BENCH_GROUP	64	/* round trips in a group */
#define BENCH_GROUPS	8192	/* the last so many groups are remembered */

struct bench_groups {
	float ns[BENCH_GROUPS];
	uint64_t count;
	double since;
};

void bench_groups_start(struct bench_groups *g);
void bench_groups_add(struct bench_groups *g);
/* The median, per round trip; 0 if there is none. */
double bench_groups_end(struct bench_groups *g);

#endif /* BENCH_RUN_H */
