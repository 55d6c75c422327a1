// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Broadcast that never waits: a reader that is too slow is told how many messages it has
 * lost, and goes on with what is still there.
 */
#include "example.h"

#define MESSAGES	1000

RINGQ_TYPED(ticks, uint64_t, lossy);

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .discipline = RINGQ_LOSSY, .elem_size = sizeof(uint64_t),
		.capacity = 64,
	};
	struct ticks_producer writer;
	struct ticks_consumer reader;
	uint64_t tick, got = 0;
	struct ringq *ring;
	int r;

	NEED(ringq_create(&opts, &ring));
	NEED(ticks_attach_producer(ring, &writer));
	NEED(ticks_attach_consumer(ring, &reader));
	for (tick = 0; tick < MESSAGES; tick++)
		NEED(ticks_send(&writer, &tick, RINGQ_NOWAIT));
	ringq_detach(&writer.port);

	while ((r = ticks_recv(&reader, &tick, RINGQ_FOREVER)) != 0) {
		if (r == -EOVERFLOW)
			printf("lost %llu\n", (unsigned long long)ringq_lost(&reader.port));
		else
			got += NEED(r);
	}
	printf("got %llu, the last was %llu\n", (unsigned long long)got, (unsigned long long)tick);
	r = got + ringq_lost(&reader.port) == MESSAGES && tick == MESSAGES - 1 ? 0 : 1;
	ringq_detach(&reader.port);
	ringq_leave(ring);
	return r;
}
