// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages of every size that the layouts treat differently arrive: all, once, whole and in
 * order; from one thread to another, through the smallest ring and a larger one. (flow.c has
 * all the ways of sending and receiving, for a few sizes.)
 */
#include "conformance.h"

static const struct conf_way ways[] = {
	{ .batch = 1, .wait = CONF_YIELD },
	{ .batch = 7, .wait = CONF_BLOCK },
	{ .batch = 32, .in_place = true, .wait = CONF_BLOCK },
};

struct stream {
	struct conf_ops ops;
	struct conf_way way;
	uint64_t n;
};

static void send_stream(struct ringq *ring, void *arg)
{
	const struct stream *s = arg;
	struct ringq_port port;

	EXPECT(s->ops.attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_produce(&port, &s->ops, &s->way, 0, s->n);
	ringq_detach(&port);
}

static void stream_through(struct ringq *ring, const struct stream *s)
{
	struct conf_peer *sender;
	struct ringq_port port;

	EXPECT(s->ops.attach(ring, RINGQ_CONSUMER, &port), 0);
	sender = conf_start_thread(ring, send_stream, (void *)s);
	EXPECT(conf_consume(&port, &s->ops, &s->way, 0, UINT64_MAX), s->n);
	conf_join(sender);
	ringq_detach(&port);
}

/* Not more than so many bytes. */
static uint64_t at_most(uint64_t n, size_t size, uint64_t bytes)
{
	return n < bytes / size ? n : bytes / size;
}

static void one_size(uint64_t size)
{
	struct stream s = { .n = at_most(conf_times(2000), size, 4u << 20) };
	struct ringq *ring;
	unsigned int i;

	for (i = 0; i < 2 * COUNT(ways); i++) {
		s.ops = conf_ops(size, i % 2 && conf_typed(size));
		s.way = ways[i / 2];
		s.way.batch = at_most(s.way.batch, size, 1u << 20);
		ring = conf_ring(size, i % 3 ? 100 : 1, 0);
		stream_through(ring, &s);
		ringq_leave(ring);
	}
}

#define SIZE(n) { "size-" #n, one_size, n, 0 },

const struct conf_case conf_sizes[] = {
	CONF_SIZES(SIZE)
	{ 0 }
};
