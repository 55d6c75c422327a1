// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Processes that log to one collector: each has a lane of its own in the ring, so that they
 * never wait for each other. The ring is given to children by its descriptor.
 */
#include "example.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN	3
#define LINES		100

struct line {
	uint32_t who;
	uint32_t number;
	char text[48];
};

RINGQ_TYPED(lines, struct line, lanes);

static int child(int fd, uint32_t who)
{
	struct lines_producer producer;
	struct ringq *ring;

	NEED(ringq_join_fd(fd, NULL, &ring));
	NEED(lines_attach_producer(ring, &producer));
	for (uint32_t i = 0; i < LINES; i++) {
		struct line *line;

		/* Written in place: no copy. */
		NEED(lines_reserve(&producer, 1, RINGQ_FOREVER));
		line = lines_room(&producer, 0);
		line->who = who;
		line->number = i;
		snprintf(line->text, sizeof(line->text), "line %u of child %u", i, who);
		NEED(lines_commit(&producer, 1));
	}
	ringq_detach(&producer.port);
	ringq_leave(ring);
	return 0;
}

int main(void)
{
	/* PRODUCER_WAIT: it is not the end when the last child that is there has left. */
	struct ringq_opts opts = {
		.size = sizeof(opts), .discipline = RINGQ_LANES, .elem_size = sizeof(struct line),
		.capacity = 64, .producers = CHILDREN, .consumers = 1, .flags = RINGQ_PRODUCER_WAIT,
	};
	uint32_t next[CHILDREN] = { 0 }, got, wrong = 0;
	struct lines_consumer consumer;
	struct ringq *ring;
	struct line line;

	NEED(ringq_create(&opts, &ring));
	for (uint32_t i = 0; i < CHILDREN; i++)
		if (fork() == 0)
			return child(ringq_fd(ring), i);
	NEED(lines_attach_consumer(ring, &consumer));
	for (got = 0; got < CHILDREN * LINES; got++) {
		NEED(lines_recv(&consumer, &line, RINGQ_FOREVER));
		/* Each child's lines come in its order. */
		wrong += line.who >= CHILDREN || line.number != next[line.who]++;
	}
	printf("%s, and %u others\n", line.text, got - 1);
	ringq_detach(&consumer.port);
	ringq_leave(ring);
	while (wait(NULL) > 0)
		;
	return wrong ? 1 : 0;
}
