// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Requests of several processes to one server, in the order in which they were made. With a lane
 * for each (lanes.c) it is faster, but only the order of each client is kept.
 */
#include "example.h"

#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS		3
#define REQUESTS	1000

struct request {
	uint32_t client;
	uint32_t number;
	uint64_t amount;
};

RINGQ_TYPED(requests, struct request, mpsc);

static int client(int fd, uint32_t me)
{
	struct requests_producer producer;
	struct ringq *ring;

	NEED(ringq_join_fd(fd, NULL, &ring));
	NEED(requests_attach_producer(ring, &producer));
	for (uint32_t i = 0; i < REQUESTS; i++) {
		struct request request = { .client = me, .number = i, .amount = 1 };

		NEED(requests_send(&producer, &request, RINGQ_FOREVER));
	}
	ringq_detach(&producer.port);
	ringq_leave(ring);
	return 0;
}

int main(void)
{
	/* PRODUCER_WAIT: it is not the end when the last client that is there has left. */
	struct ringq_opts opts = {
		.size = sizeof(opts), .discipline = RINGQ_MPSC, .capacity = 128,
		.elem_size = sizeof(struct request), .flags = RINGQ_PRODUCER_WAIT,
	};
	uint32_t next[CLIENTS] = { 0 }, got, wrong = 0;
	struct requests_consumer server;
	struct request request;
	struct ringq *ring;
	uint64_t sum = 0;

	NEED(ringq_create(&opts, &ring));
	for (uint32_t i = 0; i < CLIENTS; i++)
		if (fork() == 0)
			return client(ringq_fd(ring), i);
	NEED(requests_attach_consumer(ring, &server));
	for (got = 0; got < CLIENTS * REQUESTS; got++) {
		NEED(requests_recv(&server, &request, RINGQ_FOREVER));
		wrong += request.client >= CLIENTS || request.number != next[request.client]++;
		sum += request.amount;
	}
	printf("%u requests, %llu in all\n", got, (unsigned long long)sum);
	ringq_detach(&server.port);
	ringq_leave(ring);
	while (wait(NULL) > 0)
		;
	return wrong || sum != CLIENTS * REQUESTS ? 1 : 0;
}
