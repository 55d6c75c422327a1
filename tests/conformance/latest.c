// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The newest value: whole, never older than what was seen before, the last one in the end, and
 * each value once to each consumer.
 */
#include "conformance.h"

#include <stdlib.h>

#define MOST 3

struct values {
	size_t size;
	uint64_t n;
	uint32_t readers, run;
	struct conf_gate *gate;
};

static void publish(struct ringq *ring, void *arg)
{
	const struct values *v = arg;
	struct conf_ops ops = conf_ops(v->size, v->run % 2);
	struct conf_way way = { .batch = 1, .wait = CONF_YIELD };
	struct ringq_port port;
	uint64_t seq;

	EXPECT(ops.attach(ring, RINGQ_PRODUCER, &port), 0);
	conf_meet(v->gate, v->readers + 1);
	for (seq = 0; seq < v->n; seq++) {
		way.in_place = conf_random(3) == 0;
		conf_produce(&port, &ops, &way, seq, seq + 1);
		if (conf_random(500) == 0)
			conf_sleep(conf_random(MS / 5));
	}
	ringq_detach(&port);
}

/* 1 and a value that counts, or what the call returned. */
static int64_t look(struct ringq_port *port, const struct conf_ops *ops, int64_t timeout,
		    unsigned char *value)
{
	int64_t r;

	if (conf_random(2))
		return ops->recv(port, value, timeout);
	r = ops->peek(port, 1, timeout);
	if (r <= 0)
		return r;
	EXPECT(r, 1);
	conf_copy_racing(value, ops->at(port, 0), ops->size);
	r = ops->release(port, 1);
	return r < 0 ? r : 1;
}

static void follow(struct ringq *ring, void *arg)
{
	const struct values *v = arg;
	struct conf_ops ops = conf_ops(v->size, v->run / 2 % 2);
	unsigned char *value = malloc(v->size);
	uint64_t least = 0, seq;
	struct ringq_port port;
	int64_t r = -EAGAIN, timeout;

	EXPECT(ops.attach(ring, RINGQ_CONSUMER, &port), 0);
	conf_meet(v->gate, v->readers + 1);
	while (r != 0) {
		timeout = v->run % 3 && conf_random(2) ? RINGQ_FOREVER : RINGQ_NOWAIT;
		r = look(&port, &ops, timeout, value);
		if (r == -EOVERFLOW || (r == -EAGAIN && !timeout) || r == 0)
			continue;
		EXPECT(r, 1);
		seq = conf_seq_of(value);
		CHECK(seq >= least && seq < v->n, "%llu comes after %llu",
		      (unsigned long long)seq, (unsigned long long)least - 1);
		conf_verify(value, v->size, seq);
		least = seq + 1;
	}
	/* Who is told the end has seen the last. */
	EXPECT(least, v->n);
	ringq_detach(&port);
	free(value);
}

static void flows(uint64_t size)
{
	struct values v = { .size = size, .n = size < 1000 ? 4000 : 1000 };
	struct conf_peer *peers[MOST + 1];
	uint32_t runs = conf_times(24), i;
	struct ringq *ring;

	for (v.run = 0; v.run < runs; v.run++) {
		v.readers = v.run % 2 ? 1 : MOST;
		v.gate = conf_gate();
		ring = conf_ring(size, v.run % 3 ? 8 : 1, 0);
		for (i = 0; i <= v.readers; i++)
			peers[i] = (v.run / 2 % 2 ? conf_start : conf_start_thread)
					(ring, i ? follow : publish, &v);
		for (i = 0; i <= v.readers; i++)
			conf_join(peers[i]);
		conf_gate_free(v.gate);
		ringq_leave(ring);
	}
}

static void newest(uint64_t size)
{
	struct ringq *ring = conf_ring(size, 8, 0);
	struct ringq_port out, in, late;
	uint64_t seq = 0, n;

	EXPECT(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	EXPECT(conf_recv_seq(&in, 0), -EAGAIN);
	for (n = 1; n < 50; n++) {
		conf_send_range(&out, seq, seq + n);
		seq += n;
		EXPECT(conf_recv_seq(&in, seq - 1), 1);
		EXPECT(conf_recv_seq(&in, seq - 1), -EAGAIN);
		/* What is given back comes again, unless something newer has come. */
		conf_send_range(&out, seq, seq + 1);
		seq++;
		EXPECT(ringq_peek(&in, 1, RINGQ_NOWAIT), 1);
		EXPECT(ringq_release(&in, 0), 0);
		EXPECT(conf_recv_seq(&in, seq - 1), 1);
		/* Who comes late sees what is there. */
		EXPECT(ringq_attach(ring, RINGQ_CONSUMER, &late), 0);
		EXPECT(conf_recv_seq(&late, seq - 1), 1);
		EXPECT(conf_recv_seq(&late, seq - 1), -EAGAIN);
		ringq_detach(&late);
		/* A value that was begun and given up never was. */
		EXPECT(conf_reserve(&out, 1, RINGQ_NOWAIT), 0);
		conf_fill(conf_room(&out, 0), size, ~seq);
		ringq_abort(&out);
		EXPECT(conf_recv_seq(&in, 0), -EAGAIN);
	}
	conf_send_range(&out, seq, seq + 2);
	ringq_detach(&out);
	EXPECT(conf_recv_seq(&in, seq + 1), 1);
	EXPECT(conf_recv_seq(&in, 0), 0);
	ringq_detach(&in);
	ringq_leave(ring);
}

#define SIZES(name, body)		\
	{ name "-8", body, 8, 0 },	\
	{ name "-28", body, 28, 0 },	\
	{ name "-56", body, 56, 0 },	\
	{ name "-100", body, 100, 0 },	\
	{ name "-1264", body, 1264, 0 },

const struct conf_case conf_latest[] = {
	SIZES("values", flows)
	SIZES("newest", newest)
	{ 0 }
};
