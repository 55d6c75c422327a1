// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Full and empty, exactly: capacity messages fit and not one more, each that is taken makes
 * room for one, an empty ring gives none; for every size, through every call. What is given
 * up or released in part. Nothing here has another side running, so every count is exact.
 */
#include "conformance.h"

#include <stdlib.h>

struct pair {
	struct ringq *ring;
	struct ringq_port producer, consumer;
	struct conf_ops ops;
	uint64_t capacity;
	unsigned char *msgs;	/* room for capacity + 5 */
};

static void pair_open(struct pair *p, size_t size, uint64_t capacity, bool typed, uint64_t first)
{
	p->ring = conf_create((struct ringq_opts){
		.elem_size = size, .capacity = capacity, .first = first,
	});
	p->ops = conf_ops(size, typed);
	EXPECT(p->ops.attach(p->ring, RINGQ_PRODUCER, &p->producer), 0);
	EXPECT(p->ops.attach(p->ring, RINGQ_CONSUMER, &p->consumer), 0);
	p->capacity = conf_capacity(p->ring);
	CHECK(p->capacity >= capacity, "capacity %llu was asked, %llu granted",
	      (unsigned long long)capacity, (unsigned long long)p->capacity);
	p->msgs = malloc((p->capacity + 5) * size);
	CHECK(p->msgs, "no memory");
}

static void pair_close(struct pair *p)
{
	free(p->msgs);
	ringq_detach(&p->producer);
	ringq_detach(&p->consumer);
	ringq_leave(p->ring);
}

static void fill_msgs(const struct pair *p, uint64_t seq, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		conf_fill(p->msgs + i * p->ops.size, p->ops.size, seq + i);
}

static void verify_msgs(const struct pair *p, uint64_t seq, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		conf_verify(p->msgs + i * p->ops.size, p->ops.size, seq + i);
}

static void expect_full(struct pair *p)
{
	EXPECT(p->ops.send(&p->producer, p->msgs, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(p->ops.send_many(&p->producer, p->msgs, 3, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(p->ops.reserve(&p->producer, 1, RINGQ_NOWAIT), -EAGAIN);
}

static void expect_empty(struct pair *p)
{
	EXPECT(p->ops.recv(&p->consumer, p->msgs, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(p->ops.recv_many(&p->consumer, p->msgs, 3, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(p->ops.peek(&p->consumer, 1, RINGQ_NOWAIT), -EAGAIN);
}

/* Receives what should be all that is there. */
static void drain_many(struct pair *p, uint64_t seq, uint64_t n)
{
	uint64_t got = 0;
	int64_t r;

	while (got < n) {
		r = p->ops.recv_many(&p->consumer, p->msgs, p->capacity + 5, RINGQ_NOWAIT);
		CHECK(r > 0 && (uint64_t)r <= n - got, "received %lld, %llu of %llu are left",
		      (long long)r, (unsigned long long)(n - got), (unsigned long long)n);
		verify_msgs(p, seq + got, r);
		got += r;
	}
	expect_empty(p);
}

static void edge(uint64_t size)
{
	static const uint64_t capacities[] = { 1, 20 };
	uint64_t seq, i, lap;
	unsigned int c;
	struct pair p;

	for (c = 0; c < 2 * COUNT(capacities); c++) {
		pair_open(&p, size, capacities[c / 2], c % 2 && conf_typed(size),
			  c < COUNT(capacities) ? (1ull << 32) - 3 : RINGQ_FIRST_MAX - 3);
		expect_empty(&p);
		seq = 0;

		/* One at a time, and from there a lap of one out, one in. */
		conf_send_range(&p.producer, 0, p.capacity);
		expect_full(&p);
		for (i = 0; i < p.capacity + 3; i++) {
			EXPECT(conf_recv_seq(&p.consumer, i), 1);
			EXPECT(conf_send_seq(&p.producer, p.capacity + i), 1);
			expect_full(&p);
		}
		seq = p.capacity + 3;
		drain_many(&p, seq, p.capacity);
		seq += p.capacity;

		/* Many at once: what does not fit is not sent. */
		fill_msgs(&p, seq, p.capacity + 5);
		EXPECT(p.ops.send_many(&p.producer, p.msgs, p.capacity + 5, RINGQ_NOWAIT),
		       p.capacity);
		expect_full(&p);
		drain_many(&p, seq, p.capacity);
		seq += p.capacity;

		/* In place, the whole ring, from every offset within a line. */
		for (lap = 0; lap < 9; lap++) {
			EXPECT(p.ops.reserve(&p.producer, p.capacity + 1, RINGQ_NOWAIT), -EINVAL);
			EXPECT(p.ops.reserve(&p.producer, p.capacity, RINGQ_NOWAIT), 0);
			for (i = 0; i < p.capacity; i++)
				conf_fill(p.ops.room(&p.producer, i), size, seq + i);
			expect_empty(&p);
			EXPECT(p.ops.commit(&p.producer, p.capacity), 0);
			expect_full(&p);
			EXPECT(p.ops.peek(&p.consumer, p.capacity + 5, RINGQ_NOWAIT), p.capacity);
			for (i = 0; i < p.capacity; i++)
				conf_verify(p.ops.at(&p.consumer, i), size, seq + i);
			/* What is looked at is not free yet. */
			expect_full(&p);
			EXPECT(p.ops.release(&p.consumer, p.capacity), 0);
			expect_empty(&p);
			seq += p.capacity;
			conf_send_range(&p.producer, seq, seq + 1);
			conf_recv_range(&p.consumer, seq, seq + 1);
			seq++;
		}
		pair_close(&p);
	}
}

static void reserve_in_part(uint64_t size)
{
	struct pair p;
	int i;

	pair_open(&p, size, 20, false, 0);
	EXPECT(ringq_reserve(&p.producer, 10, RINGQ_NOWAIT), 0);
	for (i = 0; i < 10; i++)
		conf_fill(ringq_at(&p.producer, i), size, i);
	EXPECT(ringq_commit(&p.producer, 11), -EINVAL);
	EXPECT(ringq_commit(&p.producer, 4), 0);
	/* The rest is given up: it neither arrives nor takes room. */
	EXPECT(ringq_commit(&p.producer, 1), -EINVAL);
	conf_recv_range(&p.consumer, 0, 4);
	expect_empty(&p);
	EXPECT(ringq_position(&p.producer) - ringq_position(&p.consumer), 0);
	conf_send_range(&p.producer, 4, 4 + p.capacity);
	expect_full(&p);
	conf_recv_range(&p.consumer, 4, 4 + p.capacity);

	EXPECT(ringq_reserve(&p.producer, p.capacity, RINGQ_NOWAIT), 0);
	ringq_abort(&p.producer);
	ringq_abort(&p.producer);
	expect_empty(&p);
	conf_send_range(&p.producer, 0, p.capacity);
	conf_recv_range(&p.consumer, 0, p.capacity);
	pair_close(&p);
}

static void release_in_part(uint64_t size)
{
	struct pair p;
	uint64_t n;

	pair_open(&p, size, 20, false, 0);
	n = p.capacity;
	conf_send_range(&p.producer, 0, n);
	EXPECT(ringq_peek(&p.consumer, 10, RINGQ_NOWAIT), 10);
	EXPECT(ringq_release(&p.consumer, 11), -EINVAL);
	EXPECT(ringq_release(&p.consumer, 3), 0);
	EXPECT(ringq_release(&p.consumer, 1), -EINVAL);
	/* Exactly what was released is free. */
	conf_send_range(&p.producer, n, n + 3);
	expect_full(&p);
	/* The others can be peeked and received again; to the same consumer they are not new. */
	EXPECT(ringq_peek(&p.consumer, 2, RINGQ_NOWAIT), 2);
	conf_verify(ringq_at(&p.consumer, 0), size, 3);
	conf_verify(ringq_at(&p.consumer, 1), size, 4);
	EXPECT(ringq_release(&p.consumer, 0), 0);
	conf_recv_range(&p.consumer, 3, n + 3);
	expect_empty(&p);
	EXPECT(ringq_flags(&p.consumer), 0);
	pair_close(&p);
}

/* While one side holds something in place the other goes on. */
static void hold_both(uint64_t size)
{
	struct pair p;

	pair_open(&p, size, 20, true, 0);
	conf_send_range(&p.producer, 0, 5);
	EXPECT(ringq_peek(&p.consumer, 5, RINGQ_NOWAIT), 5);
	EXPECT(ringq_reserve(&p.producer, 5, RINGQ_NOWAIT), 0);
	conf_fill(ringq_at(&p.producer, 0), size, 5);
	EXPECT(ringq_commit(&p.producer, 1), 0);
	conf_send_range(&p.producer, 6, p.capacity);
	expect_full(&p);
	conf_verify(ringq_at(&p.consumer, 4), size, 4);
	EXPECT(ringq_release(&p.consumer, 5), 0);
	conf_recv_range(&p.consumer, 5, p.capacity);
	pair_close(&p);
}

#define EDGE(n) { "edge-" #n, edge, n, 0 },

const struct conf_case conf_edges[] = {
	CONF_SIZES(EDGE)
	{ "reserve-in-part-8", reserve_in_part, 8, 0 },
	{ "reserve-in-part-100", reserve_in_part, 100, 0 },
	{ "release-in-part-8", release_in_part, 8, 0 },
	{ "release-in-part-100", release_in_part, 100, 0 },
	{ "hold-both-8", hold_both, 8, 0 },
	{ "hold-both-100", hold_both, 100, 0 },
	{ 0 }
};
