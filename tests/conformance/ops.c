// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Every operation, twice: by the untyped calls and by a typed ring of each size of
 * CONF_SIZES; and streams of messages through either, in all the ways that there are.
 */
#include "conformance.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

static const void *untyped_at(const struct ringq_port *p, uint64_t i)
{
	return ringq_at(p, i);
}

static const struct conf_ops untyped = {
	.attach = ringq_attach,
	.send = ringq_send,
	.send_many = ringq_send_many,
	.reserve = ringq_reserve,
	.room = ringq_at,
	.commit = ringq_commit,
	.recv = ringq_recv,
	.recv_many = ringq_recv_many,
	.peek = ringq_peek,
	.at = untyped_at,
	.release = ringq_release,
};

/* A typed port is its port and nothing else. */
#define TYPED(n)									\
struct elem##n {									\
	unsigned char bytes[n];								\
};											\
RINGQ_TYPED(ring##n, struct elem##n, spsc);						\
static int attach##n(struct ringq *ring, enum ringq_role role, struct ringq_port *p)	\
{											\
	return role == RINGQ_PRODUCER ?							\
		       ring##n##_attach_producer(ring, (struct ring##n##_producer *)p) : \
		       ring##n##_attach_consumer(ring, (struct ring##n##_consumer *)p);	\
}											\
static int send##n(struct ringq_port *p, const void *msg, int64_t timeout)		\
{											\
	return ring##n##_send((struct ring##n##_producer *)p, msg, timeout);		\
}											\
static int64_t send_many##n(struct ringq_port *p, const void *msgs, uint64_t count,	\
			    int64_t timeout)						\
{											\
	return ring##n##_send_many((struct ring##n##_producer *)p, msgs, count, timeout); \
}											\
static int reserve##n(struct ringq_port *p, uint64_t count, int64_t timeout)		\
{											\
	return ring##n##_reserve((struct ring##n##_producer *)p, count, timeout);	\
}											\
static void *room##n(const struct ringq_port *p, uint64_t i)				\
{											\
	return ring##n##_room((const struct ring##n##_producer *)p, i);			\
}											\
static int commit##n(struct ringq_port *p, uint64_t count)				\
{											\
	return ring##n##_commit((struct ring##n##_producer *)p, count);			\
}											\
static int recv##n(struct ringq_port *p, void *msg, int64_t timeout)			\
{											\
	return ring##n##_recv((struct ring##n##_consumer *)p, msg, timeout);		\
}											\
static int64_t recv_many##n(struct ringq_port *p, void *msgs, uint64_t count,		\
			    int64_t timeout)						\
{											\
	return ring##n##_recv_many((struct ring##n##_consumer *)p, msgs, count, timeout); \
}											\
static int64_t peek##n(struct ringq_port *p, uint64_t count, int64_t timeout)		\
{											\
	return ring##n##_peek((struct ring##n##_consumer *)p, count, timeout);		\
}											\
static const void *at##n(const struct ringq_port *p, uint64_t i)			\
{											\
	return ring##n##_at((const struct ring##n##_consumer *)p, i);			\
}											\
static int release##n(struct ringq_port *p, uint64_t count)				\
{											\
	return ring##n##_release((struct ring##n##_consumer *)p, count);		\
}

CONF_SIZES(TYPED)

#define TYPED_OPS(n) {									\
	n, attach##n, send##n, send_many##n, reserve##n, room##n, commit##n, recv##n,	\
	recv_many##n, peek##n, at##n, release##n,					\
},

static const struct conf_ops typed_ops[] = { CONF_SIZES(TYPED_OPS) };

struct conf_ops conf_ops(size_t size, bool typed)
{
	struct conf_ops ops = untyped;
	unsigned int i;

	ops.size = size;
	for (i = 0; typed && i < COUNT(typed_ops); i++) {
		if (typed_ops[i].size == size)
			return typed_ops[i];
	}
	return ops;
}

/* The result of a try is not "full" or "empty" for ever: lets the other side run. */
static bool try_again(int64_t r, const struct conf_way *way)
{
	if (r != -EAGAIN || way->timeout != RINGQ_NOWAIT)
		return false;
	sched_yield();
	return true;
}

/* Of m that are in hand, how many are handed on: now and then not all. */
static uint64_t part_of(uint64_t m, uint64_t seq)
{
	return seq % 3 == 1 ? m - m / 2 : m;
}

static void fill_room(struct ringq_port *port, const struct conf_ops *ops, uint64_t seq,
		      uint64_t m)
{
	uint64_t i;

	for (i = 0; i < m; i++)
		conf_fill(ops->room(port, i), ops->size, seq + i);
}

static uint64_t produce_in_place(struct ringq_port *port, const struct conf_ops *ops,
				 const struct conf_way *way, uint64_t seq, uint64_t m)
{
	int r;

	/* All of it must be had at once, so not more than there can be. */
	if (m > port->capacity)
		m = port->capacity;
	r = ops->reserve(port, m, way->timeout);
	if (try_again(r, way))
		return 0;
	EXPECT(r, 0);
	/* Now and then write something else, give it up and get the same room again. */
	if (seq % 7 == 3) {
		void *room = ops->room(port, 0);

		fill_room(port, ops, ~seq, m);
		if (seq % 2)
			ringq_abort(port);
		else
			EXPECT(ops->commit(port, 0), 0);
		EXPECT(ops->reserve(port, m, RINGQ_NOWAIT), 0);
		CHECK(ops->room(port, 0) == room, "the room that was given up is elsewhere");
	}
	fill_room(port, ops, seq, m);
	m = part_of(m, seq);
	EXPECT(ops->commit(port, m), 0);
	return m;
}

static uint64_t produce_copied(struct ringq_port *port, const struct conf_ops *ops,
			       const struct conf_way *way, unsigned char *msgs, uint64_t seq,
			       uint64_t m)
{
	uint64_t i;
	int64_t r;

	for (i = 0; i < m; i++)
		conf_fill(msgs + i * ops->size, ops->size, seq + i);
	r = m == 1 ? ops->send(port, msgs, way->timeout) :
		     ops->send_many(port, msgs, m, way->timeout);
	if (try_again(r, way))
		return 0;
	if (way->timeout == RINGQ_FOREVER)
		EXPECT(r, m);
	CHECK(r > 0 && (uint64_t)r <= m, "sent %lld of %llu", (long long)r,
	      (unsigned long long)m);
	return r;
}

void conf_produce(struct ringq_port *port, const struct conf_ops *ops,
		  const struct conf_way *way, uint64_t from, uint64_t to)
{
	unsigned char *msgs = way->in_place ? NULL : malloc(way->batch * ops->size);
	uint64_t seq = from, m;

	while (seq < to) {
		m = way->batch < to - seq ? way->batch : to - seq;
		seq += way->in_place ? produce_in_place(port, ops, way, seq, m) :
				       produce_copied(port, ops, way, msgs, seq, m);
	}
	free(msgs);
}

/* at and run must tell of the same places. */
static void check_runs(const struct ringq_port *port, const struct conf_ops *ops, uint64_t held)
{
	uint64_t i, j, n;
	unsigned char *p;

	for (i = 0; i < held; i += n) {
		p = ringq_run(port, i, &n);
		CHECK(n > 0 && i + n <= held, "a run of %llu from %llu of %llu",
		      (unsigned long long)n, (unsigned long long)i, (unsigned long long)held);
		for (j = 0; j < n; j++)
			CHECK(ringq_at(port, i + j) == p + j * ops->size &&
			      ops->at(port, i + j) == p + j * ops->size,
			      "at and run differ at %llu", (unsigned long long)(i + j));
	}
}

static int64_t consume_in_place(struct ringq_port *port, const struct conf_ops *ops,
				const struct conf_way *way, uint64_t seq, uint64_t m)
{
	int64_t r = ops->peek(port, m, way->timeout), i;

	if (r <= 0)
		return r;
	CHECK((uint64_t)r <= m, "peeked %lld of %llu", (long long)r, (unsigned long long)m);
	check_runs(port, ops, r);
	for (i = 0; i < r; i++)
		conf_verify(ops->at(port, i), ops->size, seq + i);
	r = part_of(r, seq);
	EXPECT(ops->release(port, r), 0);
	return r;
}

static int64_t consume_copied(struct ringq_port *port, const struct conf_ops *ops,
			      const struct conf_way *way, unsigned char *msgs, uint64_t seq,
			      uint64_t m)
{
	int64_t r = m == 1 ? ops->recv(port, msgs, way->timeout) :
			     ops->recv_many(port, msgs, m, way->timeout), i;

	CHECK(r <= 0 || (uint64_t)r <= m, "received %lld of %llu", (long long)r,
	      (unsigned long long)m);
	for (i = 0; i < r; i++)
		conf_verify(msgs + i * ops->size, ops->size, seq + i);
	return r;
}

uint64_t conf_consume(struct ringq_port *port, const struct conf_ops *ops,
		      const struct conf_way *way, uint64_t from, uint64_t to)
{
	unsigned char *msgs = way->in_place ? NULL : malloc(way->batch * ops->size);
	uint64_t seq = from, m;
	int64_t r;

	while (seq < to) {
		m = way->batch < to - seq ? way->batch : to - seq;
		r = way->in_place ? consume_in_place(port, ops, way, seq, m) :
				    consume_copied(port, ops, way, msgs, seq, m);
		if (try_again(r, way))
			continue;
		if (r == 0)
			break;
		CHECK(r > 0, "receiving: %s", ringq_strerror(r));
		CHECK(!ringq_flags(port), "flags %u on a message that nobody has seen",
		      ringq_flags(port));
		seq += r;
	}
	free(msgs);
	return seq;
}
