// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Many times around: through the smallest ring, where every message is a lap; in huge pages,
 * if there are some; and across the positions where fewer bits than there must be would show,
 * in stamps, in claims, or in differences.
 */
#include "conformance.h"

static const struct conf_way way = { .batch = 3, .wait = CONF_BLOCK };

static void laps(uint64_t size)
{
	struct conf_many m = { .size = size, .n = conf_times(50000), .way = &way };
	struct ringq *ring = conf_ring(size, 1, 0);

	m.producers = conf_producers(3);
	m.consumers = conf_consumers(2);
	conf_run_many(ring, &m);
	ringq_leave(ring);
}

static void laps_huge(uint64_t size)
{
	struct conf_many m = { .size = size, .n = conf_times(100000), .way = &way };
	struct ringq *ring = conf_create((struct ringq_opts){
		.elem_size = size, .capacity = 1000, .flags = RINGQ_HUGE,
	});

	m.producers = conf_producers(2);
	m.consumers = conf_consumers(2);
	conf_run_many(ring, &m);
	ringq_leave(ring);
}

/* By one thread, which knows what must come. */
static void across(struct ringq *ring, uint64_t n)
{
	uint64_t capacity = conf_capacity(ring), i;
	struct ringq_port out, in;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	conf_send_range(&out, 0, capacity);
	for (i = 0; i < n; i++) {
		EXPECT(conf_send_seq(&out, i + capacity), -EAGAIN);
		conf_recv_range(&in, i, i + 1);
		conf_send_range(&out, i + capacity, i + capacity + 1);
	}
	conf_recv_range(&in, n, n + capacity);
	EXPECT(conf_recv_seq(&in, n), -EAGAIN);
	ringq_detach(&out);
	EXPECT(conf_recv_seq(&in, n), 0);
	ringq_detach(&in);
}

static void positions(uint64_t size)
{
	static const uint64_t firsts[] = {
		0, 1, (1ull << 32) - 50, (1ull << 40) - 50, (1ull << 50) - 50, (1ull << 59) + 3,
		RINGQ_FIRST_MAX - 50,
	};
	struct conf_many m = { .size = size, .n = 100, .way = &way };
	struct ringq *ring;
	unsigned int i;

	m.producers = conf_producers(2);
	m.consumers = conf_consumers(2);
	for (i = 0; i < 2 * COUNT(firsts); i++) {
		struct ringq_opts opts = {
			.elem_size = size, .capacity = i % 2 ? 20 : 1, .first = firsts[i / 2],
		};

		ring = conf_create(opts);
		if (conf.discipline->has & CONF_ELEMENTS)
			across(ring, 120);
		ringq_leave(ring);
		ring = conf_create(opts);
		conf_run_many(ring, &m);
		ringq_leave(ring);
	}
}

#define SIZES(name, body)		\
	{ name "-8", body, 8, 0 },		\
	{ name "-28", body, 28, 0 },	\
	{ name "-100", body, 100, 0 },

const struct conf_case conf_laps[] = {
	SIZES("laps", laps)
	SIZES("laps-huge", laps_huge)
	SIZES("positions", positions)
	{ 0 }
};
