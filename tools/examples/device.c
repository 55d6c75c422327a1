// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Through /dev/ringq if the module is loaded: a port is a descriptor that poll(2) and epoll
 * understand, and a reader cannot write what is not his. Without the module the same ring
 * lies in a memfd, and is waited for by the call itself.
 */
#include "example.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

RINGQ_TYPED(words, uint64_t, spsc);

static int child(int fd)
{
	struct words_producer producer;
	struct ringq *ring;
	uint64_t word = 42;

	NEED(ringq_join_fd(fd, NULL, &ring));
	NEED(words_attach_producer(ring, &producer));
	NEED(words_send(&producer, &word, RINGQ_FOREVER));
	ringq_detach(&producer.port);
	ringq_leave(ring);
	return 0;
}

int main(void)
{
	struct ringq_opts opts = { .size = sizeof(opts), .elem_size = sizeof(uint64_t) };
	struct ringq_info info = { .size = sizeof(info) };
	struct words_consumer consumer;
	struct ringq *ring;
	uint64_t word = 0;
	int fd;

	NEED(ringq_create(&opts, &ring));
	NEED(ringq_get_info(ring, &info));
	NEED(words_attach_consumer(ring, &consumer));
	if (fork() == 0)
		return child(ringq_fd(ring));
	fd = ringq_port_fd(&consumer.port);
	if (fd >= 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, -1);
	}
	NEED(words_recv(&consumer, &word, RINGQ_FOREVER));
	printf("got %llu through %s memory\n", (unsigned long long)word,
	       ringq_memory_name(info.memory));
	ringq_detach(&consumer.port);
	ringq_leave(ring);
	wait(NULL);
	return word == 42 ? 0 : 1;
}
