// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A stream from one process to another through a memfd, for tests/strace/suite to count system
 * calls: stream awake|sleepy. Each process says where its stream begins and ends by a write to
 * standard error. Awake: neither side ever sleeps. Sleepy: the receiver sleeps at once when there
 * is nothing, and the sender now and then gives it the time to.
 */
#include <ringq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define AWAKE	10000000
#define SLEEPY	20000
/*
 * Messages that belong to the set-up. More than the ring has room for, so that both are attached
 * when the producer has sent them: an attach has the agent poked.
 */
#define SETTLED	4096
#define PAUSE	100	/* messages between two */

RINGQ_TYPED(words, uint64_t, spsc);

static void say(const char *what)
{
	if (write(STDERR_FILENO, what, strlen(what)) < 0)
		exit(1);
}

static int produce(int fd, int sleepy, uint64_t n)
{
	struct words_producer producer;
	struct ringq *ring;
	uint64_t i;
	int r = 1;

	if (ringq_join_fd(fd, NULL, &ring) < 0 || words_attach_producer(ring, &producer) < 0)
		return 1;
	ringq_set_strategy(&producer.port, RINGQ_STRATEGY_SPIN);
	for (i = 0; i < n && r == 1; i++) {
		if (i == SETTLED)
			say("begin\n");
		r = words_send(&producer, &i, RINGQ_FOREVER);
		if (sleepy && i % PAUSE == PAUSE - 1)
			usleep(100);
	}
	say("end\n");
	/* Whose detach has the other's agent poked, too. */
	ringq_drain(&producer.port, RINGQ_FOREVER);
	ringq_detach(&producer.port);
	ringq_leave(ring);
	return r != 1;
}

int main(int argc, char **argv)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 1024,
		.flags = RINGQ_PRODUCER_WAIT,
	};
	int sleepy = argc == 2 && !strcmp(argv[1], "sleepy"), status;
	uint64_t n = sleepy ? SLEEPY : AWAKE, i, word = 0;
	struct words_consumer consumer;
	struct ringq *ring;
	int r = 1;

	if (ringq_create(&opts, &ring) < 0)
		return 1;
	if (!fork())
		return produce(ringq_fd(ring), sleepy, n);
	if (words_attach_consumer(ring, &consumer) < 0)
		return 1;
	ringq_set_strategy(&consumer.port,
			   sleepy ? RINGQ_STRATEGY_BLOCK : RINGQ_STRATEGY_SPIN);
	for (i = 0; i < n && r == 1; i++) {
		if (i == SETTLED)
			say("begin\n");
		r = words_recv(&consumer, &word, RINGQ_FOREVER);
		if (word != i)
			r = -1;
	}
	say("end\n");
	ringq_detach(&consumer.port);
	ringq_leave(ring);
	wait(&status);
	return r != 1 || status;
}
