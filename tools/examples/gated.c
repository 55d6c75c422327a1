// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Broadcast without loss: every reader gets every message, and the writer waits for the
 * slowest of those that are there.
 */
#include "example.h"

#include <pthread.h>

#define READERS		2
#define MESSAGES	5000

RINGQ_TYPED(news, uint64_t, gated);

struct reader {
	struct news_consumer consumer;
	uint64_t sum;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	uint64_t msg;

	while (NEED(news_recv(&r->consumer, &msg, RINGQ_FOREVER)))
		r->sum += msg;
	ringq_detach(&r->consumer.port);
	return NULL;
}

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_GATED,
		.elem_size = sizeof(uint64_t), .capacity = 64, .consumers = READERS,
	};
	static struct reader readers[READERS];
	struct news_producer writer;
	pthread_t threads[READERS];
	struct ringq *ring;
	int wrong = 0;

	NEED(ringq_create(&opts, &ring));
	NEED(news_attach_producer(ring, &writer));
	for (int i = 0; i < READERS; i++) {
		/* From here on the writer waits for it. */
		NEED(news_attach_consumer(ring, &readers[i].consumer));
		pthread_create(&threads[i], NULL, read_all, &readers[i]);
	}
	for (uint64_t msg = 1; msg <= MESSAGES; msg++)
		NEED(news_send(&writer, &msg, RINGQ_FOREVER));
	ringq_detach(&writer.port);
	for (int i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		printf("reader %d: sum %llu\n", i, (unsigned long long)readers[i].sum);
		wrong += readers[i].sum != MESSAGES * (MESSAGES + 1ull) / 2;
	}
	ringq_leave(ring);
	return wrong ? 1 : 0;
}
