// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Running two threads against each other; see bench_run.h.
 */
#include "bench_run.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_GRACE_S	5	/* for finishing, and then for giving up */

struct bench_thread {
	struct bench_run *run;
	bench_body *body;
	void *queue;
};

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void *bench_thread(void *arg)
{
	const struct bench_thread *t = arg;

	__atomic_fetch_add(&t->run->ready, 1, __ATOMIC_ACQ_REL);
	while (ringq_load_acquire(&t->run->ready) < 2)
		if (bench_wait(t->run))
			return NULL;
	t->body(t->run, t->queue);
	return NULL;
}

static int bench_start(pthread_t *thread, struct bench_thread *t, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int r;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	r = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!r)
		r = pthread_create(thread, &attr, bench_thread, t);
	pthread_attr_destroy(&attr);
	return -r;
}

static int bench_join(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += BENCH_GRACE_S;
	return -pthread_timedjoin_np(thread, NULL, &until);
}

/* Joins within the grace, or after the order to give up, or ends the program. */
static int bench_finish(struct bench_run *run, pthread_t thread)
{
	int r = bench_join(thread);

	if (r != -ETIMEDOUT)
		return r;
	ringq_store_relaxed(&run->order, BENCH_GIVE_UP);
	if (!bench_join(thread))
		return -ETIMEDOUT;
	fprintf(stderr, "ringq bench: a thread hangs inside the queue; giving up\n");
	exit(EXIT_FAILURE);
}

int bench_run(struct bench_run *run, const int cpus[2], bench_body *first, bench_body *second,
	      void *queue, uint64_t ns)
{
	struct bench_thread t[2] = {
		{ .run = run, .body = first, .queue = queue },
		{ .run = run, .body = second, .queue = queue },
	};
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	pthread_t threads[2];
	int r, r2;

	memset(run, 0, sizeof(*run));
	run->sent = BENCH_UNKNOWN;
	r = bench_start(&threads[0], &t[0], cpus[0]);
	if (r)
		return r;
	r = bench_start(&threads[1], &t[1], cpus[1]);
	if (r) {
		ringq_store_relaxed(&run->order, BENCH_GIVE_UP);
		pthread_join(threads[0], NULL);
		return r;
	}
	while (nanosleep(&ts, &ts) < 0)
		;
	ringq_store_relaxed(&run->order, BENCH_STOP);
	r = bench_finish(run, threads[0]);
	r2 = bench_finish(run, threads[1]);
	return r ? r : r2;
}

void bench_groups_start(struct bench_groups *g)
{
	g->count = 0;
	g->since = bench_now();
}

void bench_groups_add(struct bench_groups *g)
{
	double now = bench_now();

	g->ns[g->count++ % BENCH_GROUPS] = (now - g->since) / BENCH_GROUP;
	g->since = now;
}

static int bench_compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

double bench_groups_end(struct bench_groups *g)
{
	uint64_t n = g->count < BENCH_GROUPS ? g->count : BENCH_GROUPS;

	if (!n)
		return 0;
	qsort(g->ns, n, sizeof(g->ns[0]), bench_compare);
	return g->ns[n / 2];
}

void bench_lines_ping(struct bench_run *run, void *queue)
{
	static struct bench_groups groups;
	struct bench_lines *lines = queue;
	uint64_t seq = 0, k;

	bench_groups_start(&groups);
	do {
		k = seq / BENCH_GROUP % BENCH_LINE_PAIRS;
		for (int i = 0; i < BENCH_GROUP; i++) {
			ringq_store_release(&lines->pair[k].there, ++seq);
			while (ringq_load_acquire(&lines->pair[k].back) != seq)
				if (bench_wait(run))
					return;
		}
		bench_groups_add(&groups);
	} while (!bench_stopped(run));
	run->ns = bench_groups_end(&groups);
	ringq_store_release(&run->sent, seq);
}

void bench_lines_pong(struct bench_run *run, void *queue)
{
	struct bench_lines *lines = queue;
	uint64_t seq = 0, k;

	for (;;) {
		k = seq / BENCH_GROUP % BENCH_LINE_PAIRS;
		while (ringq_load_acquire(&lines->pair[k].there) != seq + 1)
			if (bench_wait_for_more(run, seq))
				return;
		ringq_store_release(&lines->pair[k].back, ++seq);
	}
}
