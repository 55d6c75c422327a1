// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Running threads against each other; see bench_run.h.
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
	unsigned int me;
	pthread_t thread;
};

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

void bench_sent(struct bench_run *run, uint64_t count)
{
	__atomic_fetch_add(&run->sent, count, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&run->senders, 1, __ATOMIC_RELEASE);
}

void bench_received(struct bench_run *run, double since, uint64_t count, uint64_t lost,
		    uint64_t wrong)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	double ns = bench_now() - since;

	pthread_mutex_lock(&mutex);
	run->received += count;
	run->lost += lost;
	run->wrong += wrong;
	if (ns > run->ns)
		run->ns = ns;
	pthread_mutex_unlock(&mutex);
}

static void *bench_thread(void *arg)
{
	const struct bench_thread *t = arg;

	__atomic_fetch_add(&t->run->ready, 1, __ATOMIC_ACQ_REL);
	while (ringq_load_acquire(&t->run->ready) < t->run->threads)
		if (bench_wait(t->run))
			return NULL;
	t->body(t->run, t->queue, t->me);
	return NULL;
}

static int bench_start(struct bench_thread *t, int cpu)
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
		r = pthread_create(&t->thread, &attr, bench_thread, t);
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

int bench_run(struct bench_run *run, const int cpus[2], const struct bench_side sides[2],
	      void *queue, uint64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	struct bench_thread t[BENCH_THREADS];
	unsigned int n = sides[0].threads + sides[1].threads, i;
	int r = 0, r2;

	memset(run, 0, sizeof(*run));
	run->threads = n;
	run->crowded = n > 2;
	run->senders = sides[0].threads;
	for (i = 0; i < n; i++) {
		bool sends = i < sides[0].threads;

		t[i] = (struct bench_thread){
			.run = run, .body = sides[!sends].body, .queue = queue,
			.me = sends ? i : i - sides[0].threads,
		};
		r = bench_start(&t[i], cpus[i % 2]);
		if (r)
			break;
	}
	if (r)
		ringq_store_relaxed(&run->order, BENCH_GIVE_UP);
	while (!r && nanosleep(&ts, &ts) < 0)
		;
	if (!r)
		ringq_store_relaxed(&run->order, BENCH_STOP);
	while (i--) {
		r2 = bench_finish(run, t[i].thread);
		r = r ? r : r2;
	}
	return r;
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

void bench_lines_ping(struct bench_run *run, void *queue, unsigned int me)
{
	static struct bench_groups groups;
	struct bench_lines *lines = queue;
	uint64_t seq = 0, k;

	(void)me;
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
	bench_sent(run, seq);
}

void bench_lines_pong(struct bench_run *run, void *queue, unsigned int me)
{
	struct bench_lines *lines = queue;
	uint64_t seq = 0, k;

	(void)me;
	for (;;) {
		k = seq / BENCH_GROUP % BENCH_LINE_PAIRS;
		while (ringq_load_acquire(&lines->pair[k].there) != seq + 1)
			if (bench_wait(run) || (bench_all_sent(run) && run->sent == seq))
				return;
		ringq_store_release(&lines->pair[k].back, ++seq);
	}
}
