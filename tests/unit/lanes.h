/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A ring of lanes and its ports, in one thread, and what was sent and received in each lane.
 */
#ifndef TESTS_UNIT_LANES_H
#define TESTS_UNIT_LANES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PORTS 4
#define SIZE_MAX_TESTED 200
#define BUDGET RINGQ_LANE_BUDGET

struct bench {
	struct ringq *ring;
	struct ringq_port out[PORTS], in[PORTS];
	uint64_t sent[PORTS], received[PORTS];
	unsigned int producers, consumers;
};

static inline void open_ring(struct bench *b, unsigned int producers, unsigned int consumers,
			     size_t elem_size, uint64_t capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_LANES,
		.elem_size = elem_size, .capacity = capacity, .producers = producers,
		.consumers = consumers, .first = (1ull << 32) - 100,
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
	};

	memset(b, 0, sizeof(*b));
	b->producers = producers;
	b->consumers = consumers;
	assert_int_equal(ringq_create(&opts, &b->ring), 0);
}

static inline void open_bench(struct bench *b, unsigned int producers, unsigned int consumers,
			      uint64_t capacity)
{
	unsigned int i;

	open_ring(b, producers, consumers, sizeof(uint64_t), capacity);
	for (i = 0; i < producers; i++)
		assert_int_equal(ringq_attach(b->ring, RINGQ_PRODUCER, &b->out[i]), 0);
	for (i = 0; i < consumers; i++)
		assert_int_equal(ringq_attach(b->ring, RINGQ_CONSUMER, &b->in[i]), 0);
}

static inline void close_bench(struct bench *b)
{
	unsigned int i;

	for (i = 0; i < b->producers; i++)
		ringq_detach(&b->out[i]);
	for (i = 0; i < b->consumers; i++)
		ringq_detach(&b->in[i]);
	ringq_leave(b->ring);
}

static inline struct ringq_lane *words(const struct ringq_port *p, unsigned int lane)
{
	const struct ringq_header *h = (const struct ringq_header *)p->base;

	return (struct ringq_lane *)(p->base + h->layout.lanes) + lane;
}

/* Message number n of a lane, in elements of 8 bytes. */
static inline uint64_t message(unsigned int lane, uint64_t n)
{
	return (uint64_t)lane << 56 | n;
}

static inline void put(struct bench *b, unsigned int lane, unsigned int n)
{
	uint64_t msg;

	while (n--) {
		msg = message(lane, b->sent[lane]++);
		assert_int_equal(ringq_send(&b->out[lane], &msg, RINGQ_NOWAIT), 1);
	}
}

/* The next of a lane arrived. */
static inline void arrived(struct bench *b, unsigned int lane, uint64_t msg)
{
	assert_int_equal(msg, message(lane, b->received[lane]));
	b->received[lane]++;
}

/* Receives one message, in its lane's order; returns the lane. */
static inline unsigned int get(struct bench *b, unsigned int consumer)
{
	uint64_t msg;
	int lane;

	assert_int_equal(ringq_recv(&b->in[consumer], &msg, RINGQ_NOWAIT), 1);
	lane = ringq_lane(&b->in[consumer]);
	assert_in_range(lane, 0, b->producers - 1);
	arrived(b, lane, msg);
	return lane;
}

static inline void get_none(struct bench *b, unsigned int consumer)
{
	uint64_t msg;

	assert_int_equal(ringq_recv(&b->in[consumer], &msg, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_recv_many(&b->in[consumer], &msg, 1, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_peek(&b->in[consumer], 1, RINGQ_NOWAIT), -EAGAIN);
}

/* Peeks all that it gets, up to n; returns how many, and checks them. */
static inline unsigned int look(struct bench *b, unsigned int consumer, unsigned int n)
{
	struct ringq_port *in = &b->in[consumer];
	int64_t r = ringq_peek(in, n, RINGQ_NOWAIT), i;
	unsigned int lane = ringq_lane(in);

	assert_in_range(r, 1, n);
	for (i = 0; i < r; i++)
		assert_int_equal(*(uint64_t *)ringq_at(in, i),
				 message(lane, b->received[lane] + i));
	return r;
}

static inline void drop(struct bench *b, unsigned int consumer, unsigned int n)
{
	struct ringq_port *in = &b->in[consumer];

	b->received[ringq_lane(in)] += n;
	assert_int_equal(ringq_release(in, n), 0);
}

#endif /* TESTS_UNIT_LANES_H */
