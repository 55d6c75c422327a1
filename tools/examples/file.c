// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A ring in a file of the program's own: what was sent and not received is there when the next
 * program opens it, also if all that used it are gone.
 */
#include "example.h"

#include <fcntl.h>
#include <unistd.h>

RINGQ_TYPED(words, uint64_t, spsc);

static struct ringq *words_open(int fd)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .flags = RINGQ_FILE | RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
		.fd = fd, .elem_size = sizeof(uint64_t), .capacity = 64,
	};
	struct ringq *ring;

	NEED(ringq_open(&opts, &ring));
	return ring;
}

int main(void)
{
	char path[] = "/tmp/ringq-example-XXXXXX";
	struct words_producer producer;
	struct words_consumer consumer;
	uint64_t word, sum = 0;
	struct ringq *ring;
	int fd = NEED(mkstemp(path));

	ring = words_open(fd);
	NEED(words_attach_producer(ring, &producer));
	for (word = 1; word <= 10; word++)
		NEED(words_send(&producer, &word, RINGQ_NOWAIT));
	ringq_detach(&producer.port);
	ringq_leave(ring);
	close(fd);

	/* Another day. */
	fd = NEED(open(path, O_RDWR | O_CLOEXEC));
	ring = words_open(fd);
	NEED(words_attach_consumer(ring, &consumer));
	while (words_recv(&consumer, &word, RINGQ_NOWAIT) == 1)
		sum += word;
	ringq_detach(&consumer.port);
	ringq_leave(ring);
	close(fd);
	unlink(path);
	printf("sum %llu\n", (unsigned long long)sum);
	return sum == 55 ? 0 : 1;
}
