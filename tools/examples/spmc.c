// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * One process hands out work to others. If one of them is killed with work in its hands, another
 * one gets that, and is told that it may have been begun before.
 */
#include "example.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS	2
#define CHUNKS	50

RINGQ_TYPED(chunks, uint32_t, spmc);

/* Adds up what it did, and tells by its exit status whether something came again. */
static int work(struct ringq *mine, uint64_t *sum)
{
	struct chunks_consumer worker;
	const uint32_t *chunk;
	int again = 0;

	NEED(chunks_attach_consumer(mine, &worker));
	while (NEED(chunks_peek(&worker, 1, RINGQ_FOREVER))) {
		chunk = chunks_at(&worker, 0);
		again += ringq_flags(&worker.port) == RINGQ_REDELIVERED;
		*sum += *chunk;
		NEED(chunks_release(&worker, 1));
	}
	ringq_detach(&worker.port);
	return again;
}

static int victim(int fd, int ready)
{
	struct chunks_consumer worker;
	struct ringq *ring;

	NEED(ringq_join_fd(fd, NULL, &ring));
	NEED(chunks_attach_consumer(ring, &worker));
	NEED(chunks_peek(&worker, 1, RINGQ_FOREVER));
	NEED(write(ready, "", 1));
	pause();
	return 1;
}

int main(void)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .discipline = RINGQ_SPMC, .capacity = 64,
		.elem_size = sizeof(uint32_t), .consumers = WORKERS, .flags = RINGQ_CONSUMER_WAIT,
	};
	struct chunks_producer producer;
	uint64_t sum = 0, all = 0;
	int ready[2], again;
	struct ringq *ring;
	uint32_t chunk;
	pid_t pid;

	NEED(ringq_create(&opts, &ring));
	NEED(pipe(ready));
	pid = fork();
	if (pid == 0)
		return victim(ringq_fd(ring), ready[1]);
	NEED(chunks_attach_producer(ring, &producer));
	for (chunk = 1; chunk <= CHUNKS; chunk++) {
		NEED(chunks_send(&producer, &chunk, RINGQ_FOREVER));
		all += chunk;
	}
	/* It has one of them in its hands. */
	NEED(read(ready[0], &(char){ 0 }, 1));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ringq_close(&producer.port);
	again = work(ring, &sum);
	printf("all %llu done, %d of them came again\n", (unsigned long long)sum, again);
	ringq_detach(&producer.port);
	ringq_leave(ring);
	return sum == all && again == 1 ? 0 : 1;
}
