// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Both sides in poll(2), which is what every loop comes down to: try, and if there is nothing to
 * receive (no room to send), wait until the port's descriptor is readable (writable).
 */
#include "example.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#define NUMBERS 10000

RINGQ_TYPED(numbers, uint64_t, spsc);

/* Here a program would wait for its other descriptors too. */
static void wait_for(struct ringq_port *port, short events)
{
	struct pollfd p = { .fd = NEED(ringq_port_fd(port)), .events = events };

	poll(&p, 1, -1);
}

static int child(int fd)
{
	struct numbers_producer out;
	struct ringq *ring;
	int r;

	NEED(ringq_join_fd(fd, NULL, &ring));
	NEED(numbers_attach_producer(ring, &out));
	for (uint64_t i = 1; i <= NUMBERS; i++) {
		while ((r = numbers_send(&out, &i, RINGQ_NOWAIT)) == -EAGAIN)
			wait_for(&out.port, POLLOUT);
		NEED(r);
	}
	ringq_detach(&out.port);
	ringq_leave(ring);
	return 0;
}

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .elem_size = sizeof(uint64_t), .capacity = 64,
	};
	struct numbers_consumer in;
	uint64_t number, sum = 0;
	struct ringq *ring;
	int r;

	NEED(ringq_create(&opts, &ring));
	NEED(numbers_attach_consumer(ring, &in));
	if (fork() == 0)
		return child(ringq_fd(ring));
	/* The end is something to receive, so it makes the descriptor readable too. */
	while ((r = numbers_recv(&in, &number, RINGQ_NOWAIT)) != 0) {
		if (r == -EAGAIN) {
			wait_for(&in.port, POLLIN);
			continue;
		}
		NEED(r);
		sum += number;
	}
	ringq_detach(&in.port);
	ringq_leave(ring);
	wait(NULL);
	printf("sum of numbers: %llu\n", (unsigned long long)sum);
	return sum == NUMBERS * (NUMBERS + 1ull) / 2 ? 0 : 1;
}
