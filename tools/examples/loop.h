/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the examples of loops have in common: a ring, a child that sends numbers, and what is made
 * of them. The ring is small, so that both sides wait for each other again and again.
 */
#ifndef LOOP_H
#define LOOP_H

#include "example.h"

#include <sys/wait.h>
#include <unistd.h>

#define NUMBERS		10000
#define SUM		(NUMBERS * (NUMBERS + 1ull) / 2)

RINGQ_TYPED(numbers, uint64_t, spsc);

struct feed {
	struct ringq *ring;
	struct numbers_consumer in;
	uint64_t sum;
};

static inline void feed_send(int fd)
{
	struct numbers_producer out;
	struct ringq *ring;

	NEED(ringq_join_fd(fd, NULL, &ring));
	NEED(numbers_attach_producer(ring, &out));
	for (uint64_t i = 1; i <= NUMBERS; i++)
		NEED(numbers_send(&out, &i, RINGQ_FOREVER));
	ringq_detach(&out.port);
	ringq_leave(ring);
}

/* The child is made before there is a loop, which would not survive in it. */
static inline void feed_open(struct feed *f)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .elem_size = sizeof(uint64_t), .capacity = 64,
	};

	NEED(ringq_create(&opts, &f->ring));
	NEED(numbers_attach_consumer(f->ring, &f->in));
	f->sum = 0;
	if (fork() == 0) {
		feed_send(ringq_fd(f->ring));
		exit(EXIT_SUCCESS);
	}
}

/*
 * Receives some numbers, and comes back: other sources of the loop want their turn too. Returns 1:
 * there may be more; -EAGAIN: that was all for now; 0: the sender has left, and nothing is left.
 */
static inline int feed_take(struct feed *f)
{
	uint64_t number;
	int r = 1;

	for (int i = 0; i < 50 && r > 0; i++) {
		r = numbers_recv(&f->in, &number, RINGQ_NOWAIT);
		if (r > 0)
			f->sum += number;
	}
	return r == -EAGAIN ? r : NEED(r);
}

/* The program's exit status. */
static inline int feed_close(struct feed *f)
{
	ringq_detach(&f->in.port);
	ringq_leave(f->ring);
	wait(NULL);
	printf("sum of numbers: %llu\n", (unsigned long long)f->sum);
	return f->sum == SUM ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif /* LOOP_H */
