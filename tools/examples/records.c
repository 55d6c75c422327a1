// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages of any size: a record takes as much of the ring as it is long. Written and read in
 * place, in a row, wherever in the ring it lies.
 */
#include "example.h"

#include <string.h>

int main(void)
{
	static const char *const words[] = { "one", "ring", "for", "records", "of any length" };
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .flags = RINGQ_RECORDS,
		.elem_size = 256,	/* the largest */
		.capacity = 64 << 10,	/* bytes */
	};
	struct ringq_port producer, consumer;
	uint32_t size, rounds, wrong = 0;
	uint64_t cursor, i = 0, n = 0;
	struct ringq *ring;
	const char *word;
	void *place;

	NEED(ringq_create(&opts, &ring));
	NEED(ringq_attach(ring, RINGQ_PRODUCER, &producer));
	NEED(ringq_attach(ring, RINGQ_CONSUMER, &consumer));
	for (rounds = 0; rounds < 5000; rounds++) {
		/* Room for the largest; what it comes to is told when it is known. */
		NEED(ringq_reserve_record(&producer, 256, &place, RINGQ_NOWAIT));
		size = snprintf(place, 256, "%u %s", rounds, words[rounds % 5]) + 1;
		NEED(ringq_commit_record(&producer, size));
		if (rounds % 10 != 9)
			continue;
		cursor = 0;
		n = NEED(ringq_peek(&consumer, 10, RINGQ_NOWAIT));
		for (i = 0; i < n; i++) {
			word = ringq_record(&consumer, &cursor, &size);
			wrong += strlen(word) + 1 != size ||
				 (uint32_t)atoi(word) != rounds - 9 + i;
		}
		NEED(ringq_release(&consumer, n));
	}
	printf("%u records, %u wrong\n", rounds, wrong);
	ringq_detach(&producer);
	ringq_detach(&consumer);
	ringq_leave(ring);
	return wrong || n != 10 ? 1 : 0;
}
