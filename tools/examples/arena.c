// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A ring in memory of the program's own, here a static array: nothing is allocated, at no
 * time, and nothing has to be freed.
 */
#include "example.h"

static unsigned char arena[16 << 10];

RINGQ_TYPED(words, uint64_t, spsc);

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = sizeof(uint64_t),
		.capacity = 64, .buffer = arena, .buffer_size = sizeof(arena),
	};
	struct words_producer producer;
	struct words_consumer consumer;
	struct ringq *ring;
	uint64_t word = 42;

	printf("the ring needs %lld bytes\n", (long long)NEED(ringq_buffer_size(&opts)));
	NEED(ringq_create(&opts, &ring));
	NEED(words_attach_producer(ring, &producer));
	NEED(words_attach_consumer(ring, &consumer));
	NEED(words_send(&producer, &word, RINGQ_NOWAIT));
	word = 0;
	NEED(words_recv(&consumer, &word, RINGQ_NOWAIT));
	printf("got %llu\n", (unsigned long long)word);
	ringq_detach(&producer.port);
	ringq_detach(&consumer.port);
	ringq_leave(ring);
	return word == 42 ? 0 : 1;
}
