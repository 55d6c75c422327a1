// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Several ports of a side, held by one thread, so that every count is exact: full is full for
 * all, and each message that is taken makes room for one; the end comes when the last has
 * left, and to everybody; places are taken, refused, given back and asked for by number. (With
 * one port a side: edges.c and ends.c. At random: walk.c.)
 */
#include "conformance.h"

#define MOST 3

struct several {
	struct ringq *ring;
	uint32_t producers, consumers;
	struct ringq_port out[MOST], in[MOST];
	uint64_t sent[MOST];
	uint64_t got[MOST][MOST];	/* by consumer and producer: the next number */
	uint64_t capacity;		/* of each producer, where each has its own */
	bool lanes;
};

static void open_several(struct several *s, size_t size, uint64_t capacity)
{
	uint32_t i;

	*s = (struct several){
		.ring = conf_ring(size, capacity, 0),
		.producers = conf_producers(MOST), .consumers = conf_consumers(MOST),
		.lanes = !(conf.discipline->has & CONF_ORDER),
	};
	s->capacity = conf_capacity(s->ring);
	for (i = 0; i < s->consumers; i++)
		EXPECT(ringq_attach(s->ring, RINGQ_CONSUMER, &s->in[i]), 0);
	for (i = 0; i < s->producers; i++)
		EXPECT(ringq_attach(s->ring, RINGQ_PRODUCER, &s->out[i]), 0);
}

static int send_by(struct several *s, uint32_t p)
{
	int r = conf_send_seq(&s->out[p], conf_seq(p, s->sent[p]));

	s->sent[p] += r == 1;
	return r;
}

/* Who it came from, or an error. */
static int recv_by(struct several *s, uint32_t c)
{
	unsigned char msg[s->in[c].elem_size];
	int r = conf_recv(&s->in[c], msg, RINGQ_NOWAIT);
	uint64_t seq, i;
	uint32_t p;

	if (r != 1)
		return r == 0 ? -EPIPE : r;
	seq = conf_seq_of(msg);
	p = conf_producer_of(seq);
	CHECK(p < s->producers, "nobody sent this");
	conf_check(&s->in[c], msg, seq);
	EXPECT(ringq_flags(&s->in[c]), 0);
	EXPECT(seq, conf_seq(p, s->got[c][p]));
	s->got[c][p]++;
	/* To one is to all. */
	for (i = 0; conf.discipline->has & CONF_ONCE && i < s->consumers; i++)
		s->got[i][p] = s->got[c][p];
	return p;
}

static void expect_full(struct several *s, uint32_t p)
{
	unsigned char msgs[2 * s->out[p].elem_size];

	EXPECT(send_by(s, p), -EAGAIN);
	EXPECT(conf_send_many(&s->out[p], msgs, 2, RINGQ_NOWAIT), -EAGAIN);
	EXPECT(conf_reserve(&s->out[p], 1, RINGQ_NOWAIT), -EAGAIN);
}

static void expect_all_full(struct several *s)
{
	uint32_t p;

	for (p = 0; p < s->producers; p++)
		expect_full(s, p);
}

static void expect_all(struct several *s, int error)
{
	uint32_t c;

	for (c = 0; c < s->consumers; c++)
		EXPECT(recv_by(s, c), error);
}

/* The producers in turn; where each has room of its own, that much each. */
static void fill(struct several *s)
{
	uint64_t room = s->lanes ? s->capacity * s->producers : s->capacity, i;

	for (i = 0; i < room; i++)
		EXPECT(send_by(s, i % s->producers), 1);
	expect_all_full(s);
}

/*
 * One message, by one of them, or by each if each gets all, of a ring that is full or is not.
 * Returns whose it was.
 */
static uint32_t take_one(struct several *s, uint32_t c, bool is_full)
{
	uint32_t i;
	int p = recv_by(s, c);

	CHECK(p >= 0, "consumer %u finds nothing", c);
	for (i = 0; !(conf.discipline->has & CONF_ONCE) && i < s->consumers; i++) {
		if (i == c)
			continue;
		/* The slowest counts. */
		if (is_full)
			expect_all_full(s);
		EXPECT(recv_by(s, i), p);
	}
	return p;
}

static void full(uint64_t size)
{
	static const uint64_t capacities[] = { 1, 20 };
	struct several s;
	uint32_t k, p, c;
	uint64_t i, room;

	for (k = 0; k < COUNT(capacities); k++) {
		open_several(&s, size, capacities[k]);
		expect_all(&s, -EAGAIN);
		fill(&s);
		room = s.lanes ? s.capacity * s.producers : s.capacity;
		for (i = 0; i < 3 * room; i++) {
			p = take_one(&s, i % s.consumers, true);
			/* One FIFO: they come as they went. */
			if (!s.lanes)
				EXPECT(p, i % room % s.producers);
			EXPECT(send_by(&s, p), 1);
			expect_all_full(&s);
		}
		for (i = 0; i < room; i++)
			take_one(&s, i % s.consumers, false);
		expect_all(&s, -EAGAIN);
		for (p = 0; p < s.producers; p++)
			ringq_detach(&s.out[p]);
		expect_all(&s, -EPIPE);
		for (c = 0; c < s.consumers; c++)
			ringq_detach(&s.in[c]);
		ringq_leave(s.ring);
	}
}

/* The producers leave one by one, what they sent is there, and only then is it the end. */
static void last_leaves(uint64_t size)
{
	uint32_t p, c, i;
	struct several s;

	open_several(&s, size, 20);
	for (p = 0; p < s.producers; p++)
		for (i = 0; i < 3; i++)
			EXPECT(send_by(&s, p), 1);
	for (p = 0; p < s.producers; p++) {
		for (i = 0; i < 2; i++)
			take_one(&s, i % s.consumers, false);
		if (p == s.producers - 1)
			break;
		ringq_detach(&s.out[p]);
	}
	for (i = 0; i < s.producers; i++)
		take_one(&s, i % s.consumers, false);
	expect_all(&s, -EAGAIN);
	EXPECT(send_by(&s, p), 1);
	ringq_detach(&s.out[p]);
	take_one(&s, s.consumers - 1, false);
	for (i = 0; i < 2; i++)
		expect_all(&s, -EPIPE);
	/* Who leaves then is no reason for others to go on. */
	for (c = 0; c < s.consumers; c++) {
		ringq_detach(&s.in[c]);
		if (c + 1 < s.consumers)
			EXPECT(recv_by(&s, c + 1), -EPIPE);
	}
	ringq_leave(s.ring);
}

/* The same for consumers. */
static void last_consumer_leaves(uint64_t size)
{
	struct several s;
	uint32_t p, c;

	open_several(&s, size, 20);
	for (c = 0; c < s.consumers; c++) {
		for (p = 0; p < s.producers; p++)
			EXPECT(send_by(&s, p), 1);
		ringq_detach(&s.in[c]);
	}
	for (p = 0; p < s.producers; p++)
		EXPECT(send_by(&s, p), -EPIPE);
	EXPECT(ringq_attach(s.ring, RINGQ_CONSUMER, &s.in[0]), -EPIPE);
	for (p = 0; p < s.producers; p++)
		ringq_detach(&s.out[p]);
	ringq_leave(s.ring);
}

static int attach_at(struct ringq *ring, enum ringq_role role, uint32_t place,
		     struct ringq_port *port)
{
	const struct ringq_attach_opts opts = {
		.size = sizeof(opts), .flags = RINGQ_AT_PLACE, .place = place,
	};

	return ringq_attach_with(ring, role, &opts, port);
}

static void places(uint64_t size)
{
	struct ringq *ring = conf_create((struct ringq_opts){
		.elem_size = size, .capacity = 20, .producers = conf_producers(MOST),
		.consumers = conf_consumers(MOST),
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
	});
	uint32_t most[2] = { conf_producers(MOST), conf_consumers(MOST) }, role, i;
	struct ringq_port ports[MOST], extra;
	struct ringq_info info = { .size = sizeof(info) };

	EXPECT(ringq_get_info(ring, &info), 0);
	EXPECT(info.producers, most[RINGQ_PRODUCER]);
	EXPECT(info.consumers, most[RINGQ_CONSUMER]);
	for (role = 0; role < 2; role++) {
		for (i = 0; i < most[role]; i++)
			EXPECT(ringq_attach(ring, role, &ports[i]), 0);
		EXPECT(ringq_attach(ring, role, &extra), -EBUSY);
		for (i = 0; i < most[role]; i++)
			EXPECT(attach_at(ring, role, i, &extra), -EBUSY);
		EXPECT(attach_at(ring, role, most[role], &extra), -EINVAL);
		EXPECT(attach_at(ring, role, UINT32_MAX, &extra), -EINVAL);
		/* The one that is free is the one that is had. */
		i = most[role] - 1;
		ringq_detach(&ports[i]);
		EXPECT(ringq_attach(ring, role, &ports[i]), 0);
		ringq_detach(&ports[0]);
		EXPECT(attach_at(ring, role, 0, &ports[0]), 0);
		EXPECT(ringq_attach(ring, role, &extra), -EBUSY);
		for (i = 0; i < most[role]; i++)
			ringq_detach(&ports[i]);
		EXPECT(attach_at(ring, role, most[role] - 1, &ports[0]), 0);
		ringq_detach(&ports[0]);
	}
	ringq_leave(ring);
}

/*
 * Each of as many as there can be sends and receives. (Of lanes of records, each port on the device
 * has two mappings for each lane, and a process has 65530 of them.)
 */
static void as_many_as_can_be(uint64_t size)
{
	const uint32_t most = conf.discipline->has & CONF_ELEMENTS ? RINGQ_SIDE_MAX : 100;
	struct ringq *ring = conf_create((struct ringq_opts){
		.elem_size = size, .capacity = 20, .producers = conf_producers(most),
		.consumers = conf_consumers(most),
	});
	static struct ringq_port out[RINGQ_SIDE_MAX], in[RINGQ_SIDE_MAX];
	uint32_t p, c, i, k;

	for (c = 0; c < conf_consumers(most); c++)
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in[c]), 0);
	for (p = 0; p < conf_producers(most); p++)
		EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out[p]), 0);
	for (i = 0; i < 2 * RINGQ_SIDE_MAX; i++) {
		EXPECT(conf_send_seq(&out[i % p], i), 1);
		for (k = 0; k < (conf.discipline->has & CONF_ONCE ? 1 : c); k++)
			EXPECT(conf_recv_seq(&in[(i + k) % c], i), 1);
	}
	for (i = 0; i < p; i++)
		ringq_detach(&out[i]);
	for (i = 0; i < c; i++)
		EXPECT(conf_recv_seq(&in[i], 0), 0);
	for (i = 0; i < c; i++)
		ringq_detach(&in[i]);
	ringq_leave(ring);
}

const struct conf_case conf_several[] = {
	{ "full-of-several-8", full, 8, CONF_ELEMENTS },
	{ "full-of-several-28", full, 28, CONF_ELEMENTS },
	{ "full-of-several-100", full, 100, CONF_ELEMENTS },
	{ "last-producer-leaves-8", last_leaves, 8, 0 },
	{ "last-producer-leaves-100", last_leaves, 100, 0 },
	{ "last-consumer-leaves", last_consumer_leaves, 8, CONF_KEEPS },
	{ "places", places, 8, 0 },
	{ "as-many-as-can-be-8", as_many_as_can_be, 8, 0 },
	{ "as-many-as-can-be-100", as_many_as_can_be, 100, 0 },
	{ 0 }
};
