// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Messages arrive: all, once, whole and in order; for every size that the layouts treat
 * differently, typed and untyped, one at a time and in batches, copied and in place, trying
 * and waiting, through the smallest ring and a larger one, from position 0 and across those
 * where fewer bits than 62 would show. Between two threads here, between processes in
 * sharing.c.
 */
#include "conformance.h"

static const struct conf_way ways[] = {
	{ 1, false, RINGQ_NOWAIT },
	{ 1, false, RINGQ_FOREVER },
	{ 2, false, RINGQ_FOREVER },
	{ 7, false, RINGQ_NOWAIT },
	{ 32, false, RINGQ_FOREVER },
	{ 1000, false, RINGQ_FOREVER },
	{ 1, true, RINGQ_FOREVER },
	{ 7, true, RINGQ_NOWAIT },
	{ 32, true, RINGQ_FOREVER },
	{ 1000, true, RINGQ_FOREVER },
};

/* Where stamps, positions or their differences would be cut off. */
static const uint64_t firsts[] = {
	0, 1, (1ull << 30) - 50, (1ull << 32) - 50, (1ull << 48) + 3, RINGQ_FIRST_MAX - 50,
};

struct stream {
	struct conf_ops ops;
	const struct conf_way *way;
	uint64_t n;
};

static void send_stream(struct ringq *ring, void *arg)
{
	const struct stream *s = arg;
	struct ringq_port port;

	EXPECT(s->ops.attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_produce(&port, &s->ops, s->way, 0, s->n);
	ringq_detach(&port);
}

static void stream_through(struct ringq *ring, const struct stream *s, uint64_t first)
{
	struct conf_peer *sender;
	struct ringq_port port;

	EXPECT(s->ops.attach(ring, RINGQ_CONSUMER, &port), 0);
	EXPECT(ringq_position(&port), first);
	sender = conf_start_thread(ring, send_stream, (void *)s);
	EXPECT(conf_consume(&port, &s->ops, s->way, 0, UINT64_MAX), s->n);
	EXPECT(ringq_position(&port), first + s->n);
	conf_join(sender);
	ringq_detach(&port);
}

/* Not more than so many bytes a stream. */
static uint64_t messages(size_t size, uint64_t n)
{
	uint64_t most = (8u << 20) / size;

	n = conf_times(n);
	return n < most ? n : most;
}

static void fifo(uint64_t size)
{
	struct conf_way way;
	struct stream s = { .way = &way };
	unsigned int i, variant = 0;
	int typed;

	for (i = 0; i < COUNT(ways); i++) {
		way = ways[i];
		if (way.batch * size > 4u << 20)
			way.batch = (4u << 20) / size;
		for (typed = 0; typed < 2; typed++, variant++) {
			uint64_t first = firsts[variant % COUNT(firsts)];
			struct ringq *ring = conf_create((struct ringq_opts){
				.elem_size = size, .first = first,
				.capacity = variant % 3 ? 100 : 1,
			});

			s.ops = conf_ops(size, typed);
			s.n = messages(size, 3000);
			stream_through(ring, &s, first);
			ringq_leave(ring);
		}
	}
}

/* Many laps of the smallest ring, and of one in huge pages if there are some. */
static void wrap(uint64_t size)
{
	static const struct conf_way way = { 1, false, RINGQ_FOREVER };
	struct stream s = { .ops = conf_ops(size, true), .way = &way };
	struct ringq *ring = conf_ring(size, 1, 0);

	s.n = conf_times(100000);
	stream_through(ring, &s, 0);
	ringq_leave(ring);

	ring = conf_create((struct ringq_opts){
		.elem_size = size, .capacity = 1000, .flags = RINGQ_HUGE,
	});
	s.n = conf_times(300000);
	stream_through(ring, &s, 0);
	ringq_leave(ring);
}

/* The two ends need not do it in the same way. */
static void mixed(uint64_t size)
{
	static const struct conf_way in = { 32, true, RINGQ_FOREVER };
	static const struct conf_way out = { 7, false, RINGQ_NOWAIT };
	struct stream s = { .ops = conf_ops(size, false), .way = &in, .n = conf_times(20000) };
	struct conf_ops typed = conf_ops(size, true);
	struct ringq *ring = conf_ring(size, 64, 0);
	struct conf_peer *sender;
	struct ringq_port port;

	EXPECT(typed.attach(ring, RINGQ_CONSUMER, &port), 0);
	sender = conf_start_thread(ring, send_stream, &s);
	EXPECT(conf_consume(&port, &typed, &out, 0, UINT64_MAX), s.n);
	conf_join(sender);
	ringq_detach(&port);
	ringq_leave(ring);
}

/* With a fence at every message, for machines that must not be interrupted. */
static void fenced(uint64_t size)
{
	static const struct conf_way way = { 1, false, RINGQ_FOREVER };
	struct stream s = { .ops = conf_ops(size, true), .way = &way, .n = conf_times(20000) };
	struct ringq *ring = conf_ring(size, 1, RINGQ_FENCE);
	struct ringq_info info = { .size = sizeof(info) };

	EXPECT(ringq_get_info(ring, &info), 0);
	CHECK(info.flags & RINGQ_FENCE, "RINGQ_FENCE was not granted");
	stream_through(ring, &s, 0);
	ringq_leave(ring);
}

/* Ordinary stores before a send are seen after the recv, also in memory that is elsewhere. */
struct ordering {
	uint64_t *plain;
	uint64_t n;
};

static void send_ordered(struct ringq *ring, void *arg)
{
	const struct ordering *o = arg;
	struct ringq_port port;
	uint64_t i;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	for (i = 0; i < o->n; i++) {
		o->plain[i] = i + 1;
		EXPECT(ringq_send(&port, &i, RINGQ_FOREVER), 1);
	}
	ringq_detach(&port);
}

static void happens_before(uint64_t arg)
{
	struct ordering o = { .n = conf_times(100000) };
	struct ringq *ring = conf_ring(sizeof(uint64_t), 700, 0);
	struct conf_peer *sender;
	struct ringq_port port;
	uint64_t i, got = 0;

	(void)arg;
	o.plain = conf_shared(o.n * sizeof(*o.plain));
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	sender = conf_start_thread(ring, send_ordered, &o);
	for (i = 0; i < o.n; i++) {
		EXPECT(ringq_recv(&port, &got, RINGQ_FOREVER), 1);
		EXPECT(got, i);
		EXPECT(o.plain[i], i + 1);
	}
	EXPECT(ringq_recv(&port, &got, RINGQ_FOREVER), 0);
	conf_join(sender);
	ringq_detach(&port);
	ringq_leave(ring);
}

#define FIFO(n) { "fifo-" #n, fifo, n },

const struct conf_case conf_flow[] = {
	CONF_SIZES(FIFO)
	{ "wrap-8", wrap, 8 },
	{ "wrap-28", wrap, 28 },
	{ "wrap-56", wrap, 56 },
	{ "wrap-100", wrap, 100 },
	{ "mixed-8", mixed, 8 },
	{ "mixed-57", mixed, 57 },
	{ "mixed-1264", mixed, 1264 },
	{ "fenced-8", fenced, 8 },
	{ "fenced-248", fenced, 248 },
	{ "happens-before", happens_before, 0 },
	{ 0 }
};
