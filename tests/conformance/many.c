// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Streams of several producers and several consumers at once through one ring: all begin
 * together, each does it in its own way, and in the end what each received is added up.
 */
#include "conformance.h"

struct end {
	const struct conf_many *many;
	enum ringq_role role;
	uint32_t index;		/* among those of its role */
	struct conf_ledger *ledger;
	struct conf_gate *gate;
};

/* Each takes another of the ways, so that they meet in all pairs. */
static uint32_t variant_of(const struct end *e)
{
	return e->many->variant + 5 * (e->role == RINGQ_PRODUCER ?
				       e->index : e->many->producers + e->index);
}

struct conf_way conf_way_of(uint32_t variant)
{
	static const uint64_t batches[] = { 1, 7, 32, 1000 };
	static const enum conf_wait waits[] = { CONF_YIELD, CONF_BLOCK, CONF_TIMED };

	return (struct conf_way){
		.batch = batches[variant % 4], .in_place = variant / 4 % 2,
		.wait = waits[variant / 8 % 3],
	};
}

static void run_end(struct ringq *ring, void *arg)
{
	const struct end *e = arg;
	const struct conf_many *m = e->many;
	uint32_t variant = variant_of(e);
	struct conf_way way = m->way ? *m->way : conf_way_of(variant);
	struct conf_ops ops = conf_ops(m->size, (variant / CONF_WAYS + e->role) % 2);
	struct conf_reader reader = { e->ledger, e->index };
	struct ringq_port port;

	EXPECT(ops.attach(ring, e->role, &port), 0);
	conf_meet(e->gate, m->producers + m->consumers);
	if (e->role == RINGQ_PRODUCER) {
		conf_produce(&port, &ops, &way, conf_seq(e->index, 0),
			     conf_seq(e->index, m->n));
		conf_sent(e->ledger, e->index, m->n);
	} else {
		conf_consume_each(&port, &ops, &way, UINT64_MAX, conf_received, &reader);
	}
	ringq_detach(&port);
}

void conf_run_many(struct ringq *ring, const struct conf_many *m)
{
	uint32_t all = m->producers + m->consumers, i;
	struct conf_peer *peers[all];
	struct end ends[all];

	for (i = 0; i < all; i++) {
		ends[i] = (struct end){
			.many = m, .role = i < m->producers ? RINGQ_PRODUCER : RINGQ_CONSUMER,
			.index = i < m->producers ? i : i - m->producers,
			.ledger = i ? ends[0].ledger :
				      conf_ledger(m->producers, m->consumers, m->n),
			.gate = i ? ends[0].gate : conf_gate(),
		};
		peers[i] = m->processes ? conf_start(ring, run_end, &ends[i]) :
					  conf_start_thread(ring, run_end, &ends[i]);
	}
	for (i = 0; i < all; i++)
		conf_join(peers[i]);
	conf_ledger_judge(ends[0].ledger);
	conf_ledger_free(ends[0].ledger);
	conf_gate_free(ends[0].gate);
}
