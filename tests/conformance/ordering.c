// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Memory ordering: ordinary stores before a send are seen after the receive of that message,
 * also in memory that is not the ring's; and rings with a fence at every message, for machines
 * that must not be interrupted.
 */
#include "conformance.h"

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
		EXPECT(conf_send(&port, &i, RINGQ_FOREVER), 1);
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
	sender = conf_start(ring, send_ordered, &o);
	for (i = 0; i < o.n; i++) {
		EXPECT(conf_recv(&port, &got, RINGQ_FOREVER), 1);
		EXPECT(got, i);
		EXPECT(o.plain[i], i + 1);
	}
	EXPECT(conf_recv(&port, &got, RINGQ_FOREVER), 0);
	conf_join(sender);
	ringq_detach(&port);
	ringq_leave(ring);
}

static void fenced(uint64_t size)
{
	static const struct conf_way way = { .batch = 1, .wait = CONF_BLOCK };
	struct conf_many m = { .size = size, .n = conf_times(10000), .way = &way };
	struct ringq *ring = conf_ring(size, 1, RINGQ_FENCE);
	struct ringq_info info = { .size = sizeof(info) };

	m.producers = conf_producers(2);
	m.consumers = conf_consumers(2);
	EXPECT(ringq_get_info(ring, &info), 0);
	CHECK(info.flags & RINGQ_FENCE, "RINGQ_FENCE was not granted");
	conf_run_many(ring, &m);
	ringq_leave(ring);
}

const struct conf_case conf_ordering[] = {
	{ "happens-before", happens_before, 0, 0 },
	{ "fenced-8", fenced, 8, 0 },
	{ "fenced-100", fenced, 100, 0 },
	{ 0 }
};
