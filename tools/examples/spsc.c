// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * One process sends, another receives, through a ring that they find by its name. Which of
 * them comes first does not matter; when nobody has it any more, the ring is gone.
 */
#include "example.h"

#include <sys/wait.h>
#include <unistd.h>

struct quote {
	uint64_t id;
	double price;
};

RINGQ_TYPED(quotes, struct quote, spsc);

static struct ringq *quotes_open(const char *name)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .name = name, .elem_size = sizeof(struct quote),
	};
	struct ringq *ring;

	NEED(ringq_open(&opts, &ring));
	return ring;
}

static void send_quotes(const char *name)
{
	struct ringq *ring = quotes_open(name);
	struct quotes_producer producer;

	NEED(quotes_attach_producer(ring, &producer));
	for (uint64_t i = 0; i < 1000; i++) {
		struct quote q = { .id = i, .price = i * 0.5 };

		NEED(quotes_send(&producer, &q, RINGQ_FOREVER));
	}
	/* If we are alone, what we sent would go with us. */
	NEED(ringq_drain(&producer.port, RINGQ_FOREVER));
	ringq_detach(&producer.port);
	ringq_leave(ring);
}

int main(void)
{
	struct quotes_consumer consumer;
	double sum = 0;
	struct ringq *ring;
	struct quote q;
	char name[32];
	pid_t pid;

	snprintf(name, sizeof(name), "quotes-%d", getpid());
	pid = fork();
	if (pid == 0) {
		snprintf(name, sizeof(name), "quotes-%d", getppid());
		send_quotes(name);
		return 0;
	}
	ring = quotes_open(name);
	NEED(quotes_attach_consumer(ring, &consumer));
	/* 0 is end-of-file: the producer has left, and nothing is left. */
	while (NEED(quotes_recv(&consumer, &q, RINGQ_FOREVER)))
		sum += q.price;
	ringq_detach(&consumer.port);
	ringq_leave(ring);
	waitpid(pid, NULL, 0);
	printf("sum of prices: %.1f\n", sum);
	return sum == 249750.0 ? 0 : 1;
}
