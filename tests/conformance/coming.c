// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Ports come and go on both sides while others run: each worker attaches, sends or receives
 * some messages in one way or another, and leaves, sometimes with a reservation or with
 * messages in hand that it was shown; and again. Every message is received, once; what was
 * left in hand comes again, flagged.
 */
#include "conformance.h"

#define WORKERS 3	/* of a side */
#define TURN 40		/* messages, at most */

struct work {
	enum ringq_role role;
	uint32_t index;
	size_t size;
	uint32_t turns;
	bool hands_full;		/* leave with messages in hand */
	struct conf_ledger *ledger;	/* each turn of a producer counts as a producer */
};

static void pause_a_while(void)
{
	if (conf_random(4) == 0)
		conf_sleep(conf_random(MS / 5));
}

static void produce_turns(struct ringq *ring, const struct work *w)
{
	struct ringq_port port;
	uint32_t turn, producer;
	struct conf_way way;
	struct conf_ops ops;
	uint64_t n;

	for (turn = 0; turn < w->turns; turn++) {
		producer = w->index * w->turns + turn;
		way = conf_way_of(conf_random(CONF_WAYS));
		ops = conf_ops(w->size, turn % 2);
		n = conf_random(TURN + 1);
		EXPECT(ops.attach(ring, RINGQ_PRODUCER, &port), 0);
		conf_produce(&port, &ops, &way, conf_seq(producer, 0), conf_seq(producer, n));
		conf_sent(w->ledger, producer, n);
		if (conf_random(4) == 0)
			conf_reserve(&port, 1 + conf_random(3), RINGQ_NOWAIT);
		ringq_detach(&port);
		pause_a_while();
	}
}

/* Until the end of it all. */
static void consume_turns(struct ringq *ring, const struct work *w)
{
	struct conf_reader reader = { w->ledger, w->index };
	struct ringq_port port;
	struct conf_way way;
	struct conf_ops ops;
	uint64_t n, got;

	do {
		way = conf_way_of(conf_random(CONF_WAYS));
		ops = conf_ops(w->size, conf_random(2));
		n = 1 + conf_random(2 * TURN);
		EXPECT(ops.attach(ring, RINGQ_CONSUMER, &port), 0);
		got = conf_consume_each(&port, &ops, &way, n, conf_received, &reader);
		if (w->hands_full && got == n && conf_random(2))
			ops.peek(&port, 1 + conf_random(9), RINGQ_NOWAIT);
		ringq_detach(&port);
		if (got == n)
			pause_a_while();
	} while (got == n);
}

static void work(struct ringq *ring, void *arg)
{
	const struct work *w = arg;

	if (w->role == RINGQ_PRODUCER)
		produce_turns(ring, w);
	else
		consume_turns(ring, w);
}

static void close_ring(struct ringq *ring)
{
	struct ringq_port port;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &port), 0);
	EXPECT(ringq_close(&port), 0);
	ringq_detach(&port);
}

static void come_and_go(size_t size, uint64_t capacity, bool processes, bool hands_full)
{
	uint32_t producers = conf_producers(WORKERS), all = producers + conf_consumers(WORKERS), i;
	uint32_t turns = conf_times(100);
	struct conf_ledger *ledger = conf_ledger(producers * turns, all - producers, TURN);
	struct ringq *ring = conf_ring(size, capacity, RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT);
	struct conf_peer *peers[all];
	struct work workers[all];

	for (i = 0; i < all; i++) {
		workers[i] = (struct work){
			.role = i < producers ? RINGQ_PRODUCER : RINGQ_CONSUMER,
			.index = i < producers ? i : i - producers, .size = size, .turns = turns,
			.hands_full = hands_full, .ledger = ledger,
		};
		peers[i] = processes ? conf_start(ring, work, &workers[i]) :
				       conf_start_thread(ring, work, &workers[i]);
	}
	for (i = 0; i < producers; i++)
		conf_join(peers[i]);
	close_ring(ring);
	for (; i < all; i++)
		conf_join(peers[i]);
	conf_ledger_judge(ledger);
	conf_ledger_free(ledger);
	ringq_leave(ring);
}

static void coming(uint64_t size)
{
	come_and_go(size, 1, false, false);
	come_and_go(size, 20, true, false);
}

static void hands_full(uint64_t size)
{
	come_and_go(size, 4, false, true);
	come_and_go(size, 50, true, true);
}

const struct conf_case conf_coming[] = {
	{ "coming-and-going-8", coming, 8, 0 },
	{ "coming-and-going-28", coming, 28, 0 },
	{ "coming-and-going-100", coming, 100, 0 },
	{ "coming-and-going-hands-full-8", hands_full, 8, 0 },
	{ "coming-and-going-hands-full-100", hands_full, 100, 0 },
	{ 0 }
};
