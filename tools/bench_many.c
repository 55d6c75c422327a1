// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The cases of `ringq bench many`: rings with several ports a side, and broadcast, of 8-byte
 * messages one at a time. A message says who sent it and which of his it is; receivers check
 * that each sender's arrive in order, and the whole that none was lost or came twice.
 *
 * The controls, in the same run: a bounded queue of cells with sequence numbers that every
 * side claims by compare-and-swap (Vyukov's); the same cells with one thread a side and no
 * claims; and the textbook ring of two indices.
 */
#include "bench_set.h"

#include "bench_control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY_BLOCK	1024	/* messages between looks whether to stop */
#define MANY_CAPACITY	(1u << 10)
#define MANY_THREADS	4	/* a side, at most */
#define MANY_SHIFT	48	/* a message is the sender's number << 48, and its own */

RINGQ_TYPED(many_mpsc, uint64_t, mpsc);
RINGQ_TYPED(many_spmc, uint64_t, spmc);
RINGQ_TYPED(many_mpmc, uint64_t, mpmc);
RINGQ_TYPED(many_lanes, uint64_t, lanes);
RINGQ_TYPED(many_gated, uint64_t, gated);
RINGQ_TYPED(many_lossy, uint64_t, lossy);

CONTROL_TYPED(indices, uint64_t)

struct cell {
	uint64_t seq;
	uint64_t msg;
};

struct cells {
	uint64_t tail __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t limit;		/* without claims: room is known below it */
	uint64_t head __attribute__((aligned(RINGQ_LINE_PAIR)));
	struct cell cell[MANY_CAPACITY] __attribute__((aligned(RINGQ_LINE_PAIR)));
};

struct many {
	struct ringq *ring;
	struct ringq_port port[2][MANY_THREADS] __attribute__((aligned(RINGQ_LINE_PAIR)));
	bool attached[2][MANY_THREADS];
	struct cells cells;
	struct control control;
	uint64_t elems[MANY_CAPACITY] __attribute__((aligned(RINGQ_LINE_PAIR)));
};

ringq_inline int cas_send(struct cells *c, const uint64_t *msg)
{
	uint64_t pos = ringq_load_relaxed(&c->tail);

	for (;;) {
		struct cell *cell = &c->cell[pos & (MANY_CAPACITY - 1)];
		int64_t ahead = ringq_load_acquire(&cell->seq) - pos;

		if (ahead < 0)
			return -EAGAIN;
		if (ahead == 0 && __atomic_compare_exchange_n(&c->tail, &pos, pos + 1, true,
							      __ATOMIC_RELAXED,
							      __ATOMIC_RELAXED)) {
			cell->msg = *msg;
			ringq_store_release(&cell->seq, pos + 1);
			return 1;
		}
		if (ahead > 0)
			pos = ringq_load_relaxed(&c->tail);
	}
}

ringq_inline int cas_recv(struct cells *c, uint64_t *msg)
{
	uint64_t pos = ringq_load_relaxed(&c->head);

	for (;;) {
		struct cell *cell = &c->cell[pos & (MANY_CAPACITY - 1)];
		int64_t ahead = ringq_load_acquire(&cell->seq) - (pos + 1);

		if (ahead < 0)
			return -EAGAIN;
		if (ahead == 0 && __atomic_compare_exchange_n(&c->head, &pos, pos + 1, true,
							      __ATOMIC_RELAXED,
							      __ATOMIC_RELAXED)) {
			*msg = cell->msg;
			ringq_store_release(&cell->seq, pos + MANY_CAPACITY);
			return 1;
		}
		if (ahead > 0)
			pos = ringq_load_relaxed(&c->head);
	}
}

/* One thread a side: published by the cell, freed by position. */
ringq_inline int stamps_send(struct cells *c, const uint64_t *msg)
{
	struct cell *cell = &c->cell[c->tail & (MANY_CAPACITY - 1)];

	if (ringq_unlikely(c->tail == c->limit)) {
		c->limit = ringq_load_acquire(&c->head) + MANY_CAPACITY;
		if (c->tail == c->limit)
			return -EAGAIN;
	}
	cell->msg = *msg;
	ringq_store_release(&cell->seq, ++c->tail);
	return 1;
}

ringq_inline int stamps_recv(struct cells *c, uint64_t *msg)
{
	struct cell *cell = &c->cell[c->head & (MANY_CAPACITY - 1)];

	if (ringq_load_acquire(&cell->seq) != c->head + 1)
		return -EAGAIN;
	*msg = cell->msg;
	ringq_store_release(&c->head, c->head + 1);
	return 1;
}

/* The loops of a queue; to and from are where thread me of struct many *q has it. */
#define MANY_LOOPS(name, to, from, send, recv)						\
static void name##_produce(struct bench_run *run, void *queue, unsigned int me)		\
{											\
	uint64_t msg = (uint64_t)me << MANY_SHIFT, seq = 0;				\
	struct many *q = queue;								\
											\
	while (!bench_stopped(run)) {							\
		for (int i = 0; i < MANY_BLOCK; i++, msg++, seq++) {			\
			while (send(to, &msg) < 0)					\
				if (bench_wait(run))					\
					return;						\
		}									\
	}										\
	bench_sent(run, seq);								\
}											\
static void name##_consume(struct bench_run *run, void *queue, unsigned int me)		\
{											\
	uint64_t next[MANY_THREADS] = { 0 }, msg = 0, seq = 0, wrong = 0, who, number;	\
	struct many *q = queue;								\
	uint64_t lost = many_lost(q, me);						\
	double since = bench_now();							\
	bool all = false;								\
											\
	for (;; seq++) {								\
		while (recv(from, &msg) <= 0) {						\
			if (all || bench_wait(run)) {					\
				bench_received(run, since, seq, many_lost(q, me) - lost, \
					       wrong);				\
				return;							\
			}								\
			all = bench_all_sent(run);					\
		}									\
		who = msg >> MANY_SHIFT & (MANY_THREADS - 1);				\
		number = msg & ((UINT64_C(1) << MANY_SHIFT) - 1);			\
		wrong += number < next[who];						\
		next[who] = number + 1;							\
	}										\
}

/* What this receiver was told that it has lost, since it attached. */
static uint64_t many_lost(const struct many *q, unsigned int me)
{
	return q->attached[RINGQ_CONSUMER][me] ? ringq_lost(&q->port[RINGQ_CONSUMER][me]) : 0;
}

#define MANY_RING(d)									\
ringq_inline int d##_try_send(struct ringq_port *p, const uint64_t *msg)		\
{											\
	return many_##d##_send((struct many_##d##_producer *)p, msg, RINGQ_NOWAIT);	\
}											\
ringq_inline int d##_try_recv(struct ringq_port *p, uint64_t *msg)			\
{											\
	int r;										\
											\
	/* What is lost is counted by the port. */					\
	do										\
		r = many_##d##_recv((struct many_##d##_consumer *)p, msg, RINGQ_NOWAIT); \
	while (r == -EOVERFLOW);							\
	return r;									\
}											\
MANY_LOOPS(ring_##d, &q->port[RINGQ_PRODUCER][me], &q->port[RINGQ_CONSUMER][me],	\
	   d##_try_send, d##_try_recv)

MANY_RING(mpsc)
MANY_RING(spmc)
MANY_RING(mpmc)
MANY_RING(lanes)
MANY_RING(gated)
MANY_RING(lossy)
MANY_LOOPS(cas, &q->cells, &q->cells, cas_send, cas_recv)
MANY_LOOPS(stamps, &q->cells, &q->cells, stamps_send, stamps_recv)
MANY_LOOPS(indices, &q->control, &q->control, indices_send, indices_recv)

#define MANY_CASE(label, id, d, p, c, against)						\
	{										\
		.name = label, .discipline = id, .size = sizeof(uint64_t),		\
		.capacity = MANY_CAPACITY, .threads = { p, c },				\
		.control = { against##_produce, against##_consume },			\
		.ringq = { ring_##d##_produce, ring_##d##_consume },			\
	}

static const struct bench_case many_cases[] = {
	MANY_CASE("mpmc/stamps", RINGQ_MPMC, mpmc, 1, 1, stamps),
	MANY_CASE("mpmc/cas", RINGQ_MPMC, mpmc, 1, 1, cas),
	MANY_CASE("mpmc/cas", RINGQ_MPMC, mpmc, 2, 2, cas),
	MANY_CASE("mpmc/cas", RINGQ_MPMC, mpmc, 4, 4, cas),
	MANY_CASE("mpmc/cas", RINGQ_MPMC, mpmc, 3, 1, cas),
	MANY_CASE("mpsc/cas", RINGQ_MPSC, mpsc, 3, 1, cas),
	MANY_CASE("mpmc/cas", RINGQ_MPMC, mpmc, 1, 3, cas),
	MANY_CASE("spmc/cas", RINGQ_SPMC, spmc, 1, 3, cas),
	MANY_CASE("lanes/indices", RINGQ_LANES, lanes, 1, 1, indices),
	MANY_CASE("lanes/cas", RINGQ_LANES, lanes, 3, 1, cas),
	MANY_CASE("lanes/cas", RINGQ_LANES, lanes, 3, 3, cas),
	MANY_CASE("gated/indices", RINGQ_GATED, gated, 1, 1, indices),
	MANY_CASE("lossy/indices", RINGQ_LOSSY, lossy, 1, 1, indices),
};

static void many_clear(void *queue)
{
	struct many *q = queue;

	memset(&q->cells, 0, sizeof(q->cells));
	for (uint64_t i = 0; i < MANY_CAPACITY; i++)
		q->cells.cell[i].seq = i;
	memset(&q->control, 0, sizeof(q->control));
	q->control.mask = MANY_CAPACITY - 1;
	q->control.elems = q->elems;
}

static void many_close(void *queue)
{
	struct many *q = queue;

	for (int role = 0; role < 2; role++)
		for (int i = 0; i < MANY_THREADS; i++)
			if (q->attached[role][i])
				ringq_detach(&q->port[role][i]);
	if (q->ring)
		ringq_leave(q->ring);
	free(q);
}

static int many_open(const struct bench_case *c, uint32_t memory, struct ringq_info *info,
		     void **queue)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = c->discipline,
		.elem_size = c->size, .capacity = c->capacity,
		.consumers = c->discipline == RINGQ_LANES ? c->threads[1] : 0,
	};
	struct many *q = aligned_alloc(RINGQ_LINE_PAIR, ringq_round_up(sizeof(*q),
								       RINGQ_LINE_PAIR));
	int r;

	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	r = ringq_create(&opts, &q->ring);
	for (int role = 0; r == 0 && role < 2; role++) {
		for (unsigned int i = 0; r == 0 && i < c->threads[role]; i++) {
			r = ringq_attach(q->ring, role, &q->port[role][i]);
			q->attached[role][i] = r == 0;
		}
	}
	if (r == 0) {
		info->size = sizeof(*info);
		r = ringq_get_info(q->ring, info);
	}
	if (r < 0)
		many_close(q);
	else
		*queue = q;
	return r;
}

const struct bench_set bench_many = {
	.name = "many",
	.cases = many_cases,
	.count = sizeof(many_cases) / sizeof(many_cases[0]),
	.open = many_open,
	.clear = many_clear,
	.close = many_close,
};
