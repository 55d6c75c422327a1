// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Broadcasts that do not wait: the producer never does; every consumer gets all messages in
 * order, or is told exactly how many of them it has lost, whichever way it looks at them; what
 * a call says to be whole is whole. Elements and records.
 */
#include "conformance.h"

#include <stdlib.h>

/* What a consumer knows of the stream of which it takes every stride-th message. */
struct view {
	uint64_t next;		/* number of the next message */
	uint64_t stride;
	uint64_t lost;		/* told so far */
	uint64_t got;
};

/* -EOVERFLOW: so many are lost. */
static void note_loss(struct view *v, const struct ringq_port *port)
{
	uint64_t lost = ringq_lost(port) - v->lost;

	CHECK(lost, "it was overrun, and has lost nothing");
	EXPECT(ringq_lost_last(port), lost);
	v->lost += lost;
	v->next += lost * v->stride;
}

static void note_message(struct view *v, const struct ringq_port *port, const void *msg)
{
	CHECK(port->elem_size < 8 || conf_seq_of(msg) == v->next,
	      "%llu comes, and %llu should", (unsigned long long)conf_seq_of(msg),
	      (unsigned long long)v->next);
	conf_check(port, msg, v->next);
	EXPECT(ringq_flags(port), 0);
	v->next += v->stride;
	v->got++;
}

static int64_t look_copied(struct view *v, struct ringq_port *port, const struct conf_ops *ops,
			   uint64_t n, int64_t timeout, unsigned char *msgs)
{
	int64_t r = n == 1 ? ops->recv(port, msgs, timeout) :
			     ops->recv_many(port, msgs, n, timeout), i;

	for (i = 0; i < r; i++)
		note_message(v, port, msgs + i * ops->size);
	return r;
}

/* Copies what is peeked, as far as it makes sense. */
static void copy_peeked(const struct ringq_port *port, const struct conf_ops *ops, uint64_t n,
			unsigned char *msgs)
{
	uint64_t cursor = 0, i;
	const void *msg;
	uint32_t size;

	for (i = 0; i < n; i++) {
		size = ops->size;
		msg = conf.discipline->has & CONF_ELEMENTS ? ops->at(port, i) :
							     ringq_record(port, &cursor, &size);
		CHECK(!msg || size <= ops->size, "a record of %u bytes", size);
		if (msg)
			conf_copy_racing(msgs + i * ops->size, msg, size);
	}
}

static int64_t look_in_place(struct view *v, struct ringq_port *port, const struct conf_ops *ops,
			     uint64_t n, int64_t timeout, unsigned char *msgs)
{
	int64_t r = ops->peek(port, n, timeout), i;
	int released;

	if (r <= 0)
		return r;
	CHECK((uint64_t)r <= n, "peeked %lld of %llu", (long long)r, (unsigned long long)n);
	copy_peeked(port, ops, r, msgs);
	r -= conf_random(3) ? 0 : r / 2;
	released = ops->release(port, r);
	if (released < 0)
		return released;
	for (i = 0; i < r; i++)
		note_message(v, port, msgs + i * ops->size);
	return r;
}

static const uint64_t batches[] = { 1, 7, 32 };

/* To the end, in one way after the other. */
static void watch(struct view *v, struct ringq_port *port, const struct conf_ops *ops, bool sleeps)
{
	unsigned char *msgs = malloc(32 * ops->size);
	int64_t r = -EAGAIN, timeout;

	while (r != 0) {
		timeout = sleeps && conf_random(2) ? RINGQ_FOREVER : RINGQ_NOWAIT;
		r = (conf_random(2) ? look_in_place : look_copied)
			(v, port, ops, batches[conf_random(COUNT(batches))], timeout, msgs);
		if (r == -EOVERFLOW)
			note_loss(v, port);
		else
			CHECK(r >= 0 || (r == -EAGAIN && !timeout), "receiving: %s",
			      ringq_strerror(r));
		/* Now and then it is too slow. */
		if (conf_random(1000) == 0)
			conf_sleep(conf_random(MS / 2));
	}
	EXPECT(ringq_lost(port), v->lost);
	free(msgs);
}

#define MOST 3

struct broadcast {
	size_t size;
	uint64_t n;
	uint32_t readers, run;
	struct conf_gate *gate;
};

static void send_all(struct ringq *ring, void *arg)
{
	const struct broadcast *b = arg;
	struct conf_ops ops = conf_ops(b->size, b->run % 2);
	struct conf_way way = { .batch = 1, .wait = CONF_YIELD };
	struct ringq_port port;
	uint64_t sent, m;

	EXPECT(ops.attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_meet(b->gate, b->readers + 1);
	for (sent = 0; sent < b->n; sent += m) {
		way.batch = batches[conf_random(COUNT(batches))];
		way.in_place = conf_random(3) == 0;
		m = 1 + conf_random(500);
		m = m < b->n - sent ? m : b->n - sent;
		conf_produce(&port, &ops, &way, sent, sent + m);
		if (conf_random(4) == 0)
			conf_sleep(conf_random(MS / 10));
	}
	ringq_detach(&port);
}

static void watch_all(struct ringq *ring, void *arg)
{
	const struct broadcast *b = arg;
	struct conf_ops ops = conf_ops(b->size, b->run / 2 % 2);
	struct view v = { .stride = 1 };
	struct ringq_port port;

	EXPECT(ops.attach(ring, RINGQ_CONSUMER, &port), 0);
	conf_meet(b->gate, b->readers + 1);
	watch(&v, &port, &ops, b->run % 3);
	EXPECT(v.next, b->n);
	EXPECT(v.got + v.lost, b->n);
	ringq_detach(&port);
}

static void flow(struct broadcast *b, uint64_t capacity, uint64_t first, bool processes)
{
	struct ringq *ring = conf_create((struct ringq_opts){
		.elem_size = b->size, .capacity = capacity, .first = first,
	});
	struct conf_peer *peers[MOST + 1];
	uint32_t i;

	b->gate = conf_gate();
	for (i = 0; i <= b->readers; i++)
		peers[i] = (processes ? conf_start : conf_start_thread)
				(ring, i ? watch_all : send_all, b);
	for (i = 0; i <= b->readers; i++)
		conf_join(peers[i]);
	conf_gate_free(b->gate);
	ringq_leave(ring);
}

static void flows(uint64_t size)
{
	static const uint64_t capacities[] = { 100, 1, 1000 };
	static const uint64_t firsts[] = { 0, (1ull << 32) - 50, (1ull << 50) - 50 };
	struct broadcast b = { .size = size, .n = size < 1000 ? 4000 : 1000 };
	uint32_t runs = conf_times(24);

	for (b.run = 0; b.run < runs; b.run++) {
		b.readers = b.run % 2 ? 1 : MOST;
		flow(&b, capacities[b.run % 3], firsts[b.run / 3 % 3], b.run / 2 % 2);
	}
}

static void send_range(struct ringq_port *out, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		EXPECT(conf_send_seq(out, from), 1);
}

/* All that is there; what is lost is noted. */
static void look_at_all(struct view *v, struct ringq_port *in)
{
	unsigned char msg[in->elem_size];
	int r;

	while ((r = conf_recv(in, msg, RINGQ_NOWAIT)) != -EAGAIN) {
		if (r == -EOVERFLOW) {
			note_loss(v, in);
		} else {
			EXPECT(r, 1);
			note_message(v, in, msg);
		}
	}
}

/* How late a consumer may be: exactly, as far as that is promised. */
static void overrun(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 40, 0);
	uint64_t capacity = conf_capacity(ring), seq = 0, late, k;
	struct ringq_port out, in;
	struct view v = { .stride = 1 };
	int r;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	for (k = 0; k < 60; k++) {
		/* From a ring full less a line to much more than a ring full. */
		late = capacity - 7 + k;
		send_range(&out, seq, seq + late);
		seq += late;
		look_at_all(&v, &in);
		EXPECT(v.next, seq);
		EXPECT(v.got + v.lost, seq);
		if (k == 0)
			EXPECT(v.lost, 0);
		if (late > capacity)
			CHECK(v.lost, "%llu fit, and nothing of %llu was lost",
			      (unsigned long long)capacity, (unsigned long long)late);
	}
	/* It is said once, and then the messages come. */
	send_range(&out, seq, seq + 3 * capacity);
	EXPECT(ringq_peek(&in, 1, RINGQ_NOWAIT), -EOVERFLOW);
	note_loss(&v, &in);
	r = conf_recv_seq(&in, v.next);
	EXPECT(r, 1);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* What is looked at and overwritten meanwhile is not to be believed; nor is it waited for. */
static void overwritten(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 40, 0);
	uint64_t capacity = conf_capacity(ring);
	struct ringq_port out, in;
	struct view v = { .stride = 1 };

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	send_range(&out, 0, 10);
	EXPECT(ringq_peek(&in, 5, RINGQ_NOWAIT), 5);
	if (conf.discipline->has & CONF_ELEMENTS)
		EXPECT(ringq_intact(&in), 1);
	EXPECT(ringq_release(&in, 2), 0);
	v.next = 2;
	v.got = 2;
	EXPECT(ringq_peek(&in, 5, RINGQ_NOWAIT), 5);
	send_range(&out, 10, 10 + 2 * capacity);
	if (conf.discipline->has & CONF_ELEMENTS)
		EXPECT(ringq_intact(&in), -EOVERFLOW);
	EXPECT(ringq_release(&in, 3), -EOVERFLOW);
	note_loss(&v, &in);
	look_at_all(&v, &in);
	EXPECT(v.next, 10 + 2 * capacity);
	EXPECT(v.got + v.lost, v.next);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

static int attach_oldest(struct ringq *ring, struct ringq_port *in)
{
	const struct ringq_attach_opts opts = { .size = sizeof(opts), .flags = RINGQ_OLDEST };

	return ringq_attach_with(ring, RINGQ_CONSUMER, &opts, in);
}

/* Who comes late begins with what comes next, or with the oldest that is there. */
static void late(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 40, 0);
	uint64_t per_line = size < RINGQ_LINE_ROOM ? RINGQ_LINE_ROOM / size : 1;
	uint64_t capacity = conf_capacity(ring), seq = 0, n;
	struct view now, old;
	struct ringq_port out, from_now, from_old;
	unsigned char msg[size];

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	/* Nobody has come, a few messages, more than a ring full. */
	for (n = 0; n < 4 * capacity; n += capacity / 2) {
		send_range(&out, seq, seq + n);
		seq += n;
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &from_now), 0);
		EXPECT(attach_oldest(ring, &from_old), 0);
		EXPECT(conf_recv(&from_now, msg, RINGQ_NOWAIT), -EAGAIN);
		old = (struct view){ .next = seq, .stride = 1 };
		if (seq && conf_recv(&from_old, msg, RINGQ_NOWAIT) == 1) {
			old.next = conf_seq_of(msg);
			note_message(&old, &from_old, msg);
		}
		/* All of a ring full is there, but for a line. */
		CHECK(old.next <= 1 || old.next + capacity <= seq + per_line,
		      "of %llu messages the oldest is %llu", (unsigned long long)seq,
		      (unsigned long long)old.next - 1);
		look_at_all(&old, &from_old);
		EXPECT(old.next, seq);
		EXPECT(old.lost, 0);
		send_range(&out, seq, seq + 3);
		now = (struct view){ .next = seq, .stride = 1 };
		look_at_all(&now, &from_now);
		seq += 3;
		EXPECT(now.got, 3);
		ringq_detach(&from_now);
		ringq_detach(&from_old);
	}
	ringq_detach(&out);
	ringq_leave(ring);
}

/* Consumers that share the stream, each every third message. */
static void stride(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 60, 0);
	uint64_t capacity = conf_capacity(ring), seq = 0, k;
	struct ringq_port out, in[MOST];
	struct view v[MOST];
	uint32_t i;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	for (i = 0; i < MOST; i++) {
		const struct ringq_attach_opts opts = {
			.size = sizeof(opts), .stride = MOST, .phase = i,
		};

		EXPECT(ringq_attach_with(ring, RINGQ_CONSUMER, &opts, &in[i]), 0);
		v[i] = (struct view){ .next = i, .stride = MOST };
	}
	for (k = 1; k < 50; k++) {
		uint64_t n = k < 40 ? k : k % 4 * capacity, lost = 0, got = 0;

		send_range(&out, seq, seq + n);
		seq += n;
		for (i = 0; i < MOST; i++) {
			look_at_all(&v[i], &in[i]);
			lost += v[i].lost;
			got += v[i].got;
			CHECK(v[i].next >= seq && v[i].next < seq + MOST,
			      "consumer %u is at %llu of %llu", i,
			      (unsigned long long)v[i].next, (unsigned long long)seq);
		}
		EXPECT(lost + got, seq);
		if (k < 40)
			EXPECT(lost, 0);
	}
	ringq_detach(&out);
	for (i = 0; i < MOST; i++)
		ringq_detach(&in[i]);
	ringq_leave(ring);
}

#define SIZES(name, body, needs)		\
	{ name "-8", body, 8, needs },		\
	{ name "-28", body, 28, needs },	\
	{ name "-56", body, 56, needs },	\
	{ name "-100", body, 100, needs },	\
	{ name "-1264", body, 1264, needs },

const struct conf_case conf_lossy[] = {
	SIZES("overruns", flows, 0)
	SIZES("overrun-exact", overrun, CONF_ELEMENTS)
	SIZES("overwritten", overwritten, 0)
	SIZES("late", late, CONF_ELEMENTS)
	SIZES("stride", stride, CONF_ELEMENTS)
	{ 0 }
};
