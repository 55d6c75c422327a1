/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * One run of a benchmark: two threads, each pinned to a CPU of its own, that work
 * against each other for a given time and stop. Every run ends: threads that have
 * not finished some seconds after they were told to stop are told to give up, and
 * the run counts as failed.
 *
 * A body calls bench_stopped() every so often and bench_wait() each time that it can
 * do nothing; what it found out it leaves in the run.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <ringq.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_UNKNOWN	UINT64_MAX

enum bench_order {
	BENCH_GO,
	BENCH_STOP,	/* finish what you are doing */
	BENCH_GIVE_UP,	/* return at once */
};

struct bench_run {
	/* Written by the thread that waits for the two, read by both. */
	uint32_t order __attribute__((aligned(RINGQ_LINE_PAIR)));
	/* Written by the first body when it has finished: how many messages it sent. */
	uint64_t sent __attribute__((aligned(RINGQ_LINE_PAIR)));
	/* Results, written at the end. */
	uint64_t received __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t wrong;		/* messages that were not what was sent */
	double ns;		/* first body: a round trip. second: the whole run */

	uint32_t ready __attribute__((aligned(RINGQ_LINE_PAIR)));	/* threads that have begun */
};

typedef void bench_body(struct bench_run *run, void *queue);

static inline bool bench_stopped(const struct bench_run *run)
{
	return ringq_load_relaxed(&run->order) != BENCH_GO;
}

/* To be called where there is nothing to do; true: give up. */
static inline bool bench_wait(const struct bench_run *run)
{
	ringq_pause();
	return ringq_load_relaxed(&run->order) == BENCH_GIVE_UP;
}

/* For a receiver that has got so many messages; true: there will be no more. */
static inline bool bench_wait_for_more(const struct bench_run *run, uint64_t received)
{
	return bench_wait(run) || ringq_load_acquire(&run->sent) == received;
}

/* Nanoseconds of CLOCK_MONOTONIC. */
double bench_now(void);

/**
 * bench_run - let two bodies work against each other
 * @run: (out) what they found out.
 * @cpus: where; cpus[0] is the first body's.
 * @ns: how long.
 *
 * Returns 0; -ETIMEDOUT if they had to be told to give up; or another negative errno. Does
 * not return if they do not obey even then.
 */
int bench_run(struct bench_run *run, const int cpus[2], bench_body *first, bench_body *second,
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
