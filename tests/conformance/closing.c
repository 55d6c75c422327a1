// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Closing and draining while several send and receive: what a send has said to be sent is
 * received, whoever closes and when; everybody is told the end; and what a drain says to be
 * received has been.
 */
#include "conformance.h"

#define MOST 3		/* ports of a side */
#define MESSAGES 3000	/* of a producer, at most */

struct race {
	uint32_t producers, consumers;
	uint32_t closer;	/* which of all, the producers first */
	uint64_t after;		/* so many messages of its own */
	struct conf_ledger *ledger;
	struct conf_gate *gate;
};

struct racer {
	const struct race *race;
	uint32_t index;
};

/* Each in its own way: one by one or by some, trying or waiting. */
static void send_until_closed(struct ringq_port *port, const struct racer *r)
{
	const struct race *race = r->race;
	uint64_t n = 0, msgs[3], i;
	int64_t sent = 0, m;

	while (n + COUNT(msgs) < MESSAGES && sent != -EPIPE) {
		if (r->index == race->closer && n >= race->after)
			EXPECT(ringq_close(port), 0);
		m = 1 + conf_random(COUNT(msgs));
		for (i = 0; i < COUNT(msgs); i++)
			conf_fill(&msgs[i], sizeof(msgs[i]), conf_seq(r->index, n + i));
		sent = conf_send_many(port, msgs, m,
				       conf_random(2) ? RINGQ_FOREVER : RINGQ_NOWAIT);
		CHECK(sent > 0 || sent == -EAGAIN || sent == -EPIPE, "sending: %s",
		      ringq_strerror(sent));
		n += sent > 0 ? sent : 0;
	}
	/* The closer may never get as far as it should. */
	EXPECT(ringq_close(port), 0);
	conf_sent(race->ledger, r->index, n);
}

static void recv_until_closed(struct ringq_port *port, const struct racer *r)
{
	const struct race *race = r->race;
	struct conf_reader reader = { race->ledger, r->index - race->producers };
	uint64_t n = 0, msgs[3];
	int64_t got = -EAGAIN, i;

	while (got != 0) {
		if (r->index == race->closer && n >= race->after)
			EXPECT(ringq_close(port), 0);
		got = conf_recv_many(port, msgs, 1 + conf_random(COUNT(msgs)),
				      conf_random(2) ? RINGQ_FOREVER : RINGQ_NOWAIT);
		CHECK(got >= 0 || got == -EAGAIN, "receiving: %s", ringq_strerror(got));
		for (i = 0; i < got; i++)
			conf_received(&reader, &msgs[i], sizeof(msgs[i]), ringq_flags(port));
		n += got > 0 ? got : 0;
	}
}

static void run_racer(struct ringq *ring, void *arg)
{
	const struct racer *r = arg;
	const struct race *race = r->race;
	bool producer = r->index < race->producers;
	struct ringq_port port;

	EXPECT(ringq_attach(ring, producer ? RINGQ_PRODUCER : RINGQ_CONSUMER, &port), 0);
	conf_meet(race->gate, race->producers + race->consumers);
	(producer ? send_until_closed : recv_until_closed)(&port, r);
	conf_meet(race->gate, race->producers + race->consumers);
	/* What came together with the close may have come after the end. */
	if (!producer)
		recv_until_closed(&port, r);
	ringq_detach(&port);
}

static void close_race(uint64_t capacity)
{
	struct race race = {
		.producers = conf_producers(MOST), .consumers = conf_consumers(MOST),
	};
	uint32_t all = race.producers + race.consumers, i;
	uint64_t rounds = conf_times(60), round;
	struct conf_peer *peers[all];
	struct racer racers[all];
	struct ringq *ring;

	for (round = 0; round < rounds; round++) {
		race.closer = round % all;
		race.after = conf_random(500);
		race.ledger = conf_ledger(race.producers, race.consumers, MESSAGES);
		race.gate = conf_gate();
		ring = conf_ring(sizeof(uint64_t), capacity, 0);
		for (i = 0; i < all; i++) {
			racers[i] = (struct racer){ &race, i };
			peers[i] = round / all % 2 ? conf_start(ring, run_racer, &racers[i]) :
						     conf_start_thread(ring, run_racer, &racers[i]);
		}
		for (i = 0; i < all; i++)
			conf_join(peers[i]);
		conf_ledger_judge(race.ledger);
		conf_ledger_free(race.ledger);
		conf_gate_free(race.gate);
		ringq_leave(ring);
	}
}

/* Senders that drain now and then: their own messages have been received, and noted, by then. */
struct drainer {
	struct conf_ledger *ledger;
	struct conf_gate *gate;
	uint32_t index, all, consumers;
	uint64_t n;
};

static void send_and_drain(struct ringq *ring, void *arg)
{
	const struct drainer *d = arg;
	struct ringq_port port;
	unsigned char msg[8];
	uint64_t i;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_meet(d->gate, d->all);
	for (i = 0; i < d->n; i++) {
		conf_fill(msg, sizeof(msg), conf_seq(d->index, i));
		EXPECT(conf_send(&port, msg, RINGQ_FOREVER), 1);
		if (conf_random(10))
			continue;
		EXPECT(ringq_drain(&port, RINGQ_FOREVER), 0);
		conf_ledger_expect(d->ledger, d->index, i + 1);
	}
	conf_sent(d->ledger, d->index, d->n);
	ringq_detach(&port);
}

/* In place, so that what is noted is not free yet. */
static void note_in_place(struct ringq *ring, void *arg)
{
	static const struct conf_way way = { .batch = 5, .in_place = true, .wait = CONF_BLOCK };
	const struct drainer *d = arg;
	struct conf_reader reader = { d->ledger, d->index };
	struct conf_ops ops = conf_ops(8, false);
	struct ringq_port port;

	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	conf_meet(d->gate, d->all);
	conf_consume_each(&port, &ops, &way, UINT64_MAX, conf_received, &reader);
	ringq_detach(&port);
}

static void drain(uint64_t capacity)
{
	uint32_t producers = conf_producers(MOST), consumers = conf_consumers(MOST), i;
	struct ringq *ring = conf_ring(8, capacity, 0);
	struct conf_peer *peers[producers + consumers];
	struct drainer drainers[producers + consumers], d = {
		.all = producers + consumers, .consumers = consumers, .n = conf_times(1000),
		.gate = conf_gate(),
	};

	d.ledger = conf_ledger(producers, consumers, d.n);
	for (i = 0; i < d.all; i++) {
		drainers[i] = d;
		drainers[i].index = i < producers ? i : i - producers;
		peers[i] = conf_start(ring, i < producers ? send_and_drain : note_in_place,
				      &drainers[i]);
	}
	for (i = 0; i < d.all; i++)
		conf_join(peers[i]);
	conf_ledger_judge(d.ledger);
	ringq_leave(ring);
}

const struct conf_case conf_closing[] = {
	{ "close-race-1", close_race, 1, 0 },
	{ "close-race-20", close_race, 20, 0 },
	{ "close-race-1000", close_race, 1000, 0 },
	{ "drain-race-1", drain, 1, 0 },
	{ "drain-race-20", drain, 20, 0 },
	{ 0 }
};
