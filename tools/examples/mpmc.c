// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A work queue between threads: any number of them put jobs in, any number take them out,
 * and each job is done once.
 */
#include "example.h"

#include <pthread.h>

#define WORKERS	3
#define JOBS	10000

RINGQ_TYPED(jobs, uint64_t, mpmc);

struct worker {
	struct jobs_consumer consumer;
	pthread_t thread;
	uint64_t sum;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t job;

	while (NEED(jobs_recv(&w->consumer, &job, RINGQ_FOREVER)))
		w->sum += job;
	ringq_detach(&w->consumer.port);
	return NULL;
}

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_MPMC,
		.elem_size = sizeof(uint64_t), .capacity = 256,
	};
	struct worker workers[WORKERS] = { 0 };
	struct jobs_producer producer;
	struct ringq *ring;
	uint64_t sum = 0;

	NEED(ringq_create(&opts, &ring));
	NEED(jobs_attach_producer(ring, &producer));
	for (int i = 0; i < WORKERS; i++) {
		/* Attached here: a thread that comes late could find that the end is over. */
		NEED(jobs_attach_consumer(ring, &workers[i].consumer));
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (uint64_t job = 1; job <= JOBS; job++)
		NEED(jobs_send(&producer, &job, RINGQ_FOREVER));
	/* The last producer leaves: workers get what is there, and then end-of-file. */
	ringq_detach(&producer.port);
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		sum += workers[i].sum;
	}
	ringq_leave(ring);
	printf("sum of jobs: %llu\n", (unsigned long long)sum);
	return sum == JOBS * (JOBS + 1ull) / 2 ? 0 : 1;
}
