// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * MPSC, SPMC and MPMC against a model: random calls, on several ports of both sides, which
 * come and go, all in one thread. The model knows each position: who claimed it, what was
 * published, who holds it, whether it is free. Each call must return what the model says, with
 * the contents and the flags that it says. So this goes through every state that does not
 * need two threads: bias and CAS and the ways between them, parts given back, tombstones,
 * what a leaving consumer had in hand, rings that begin where some number of bits ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STEPS 40000
#define BATCH 40
#define PORTS 3
#define SIZE_MAX_ 200
#define NOBODY 255

struct e8 { unsigned char bytes[8]; };
struct e56 { unsigned char bytes[56]; };
struct e200 { unsigned char bytes[200]; };

static uint64_t seed;

static uint64_t dice(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* The calls on a port, by type or by name. */
struct calls {
	size_t size;
	int (*send)(struct ringq_port *port, const void *msg);
	int64_t (*send_many)(struct ringq_port *port, const void *msgs, uint64_t n);
	int (*reserve)(struct ringq_port *port, uint64_t n);
	void *(*room)(struct ringq_port *port, uint64_t i);
	int (*commit)(struct ringq_port *port, uint64_t n);
	int (*recv)(struct ringq_port *port, void *msg);
	int64_t (*recv_many)(struct ringq_port *port, void *msgs, uint64_t n);
	int64_t (*peek)(struct ringq_port *port, uint64_t n);
	const void *(*at)(struct ringq_port *port, uint64_t i);
	int (*release)(struct ringq_port *port, uint64_t n);
};

/* A typed port is a port with a type around it. */
#define TYPED_CALLS(name, type, discipline)						\
RINGQ_TYPED(name, type, discipline);							\
											\
static int send_##name(struct ringq_port *p, const void *msg)				\
{											\
	return name##_send((struct name##_producer *)p, msg, RINGQ_NOWAIT);		\
}											\
static int64_t send_many_##name(struct ringq_port *p, const void *msgs, uint64_t n)	\
{											\
	return name##_send_many((struct name##_producer *)p, msgs, n, RINGQ_NOWAIT);	\
}											\
static int reserve_##name(struct ringq_port *p, uint64_t n)				\
{											\
	return name##_reserve((struct name##_producer *)p, n, RINGQ_NOWAIT);		\
}											\
static void *room_##name(struct ringq_port *p, uint64_t i)				\
{											\
	return name##_room((struct name##_producer *)p, i);				\
}											\
static int commit_##name(struct ringq_port *p, uint64_t n)				\
{											\
	return name##_commit((struct name##_producer *)p, n);				\
}											\
static int recv_##name(struct ringq_port *p, void *msg)					\
{											\
	return name##_recv((struct name##_consumer *)p, msg, RINGQ_NOWAIT);		\
}											\
static int64_t recv_many_##name(struct ringq_port *p, void *msgs, uint64_t n)		\
{											\
	return name##_recv_many((struct name##_consumer *)p, msgs, n, RINGQ_NOWAIT);	\
}											\
static int64_t peek_##name(struct ringq_port *p, uint64_t n)				\
{											\
	return name##_peek((struct name##_consumer *)p, n, RINGQ_NOWAIT);		\
}											\
static const void *at_##name(struct ringq_port *p, uint64_t i)				\
{											\
	return name##_at((struct name##_consumer *)p, i);				\
}											\
static int release_##name(struct ringq_port *p, uint64_t n)				\
{											\
	return name##_release((struct name##_consumer *)p, n);				\
}											\
static const struct calls calls_##name = {						\
	sizeof(type), send_##name, send_many_##name, reserve_##name, room_##name,	\
	commit_##name, recv_##name, recv_many_##name, peek_##name, at_##name,		\
	release_##name									\
}

TYPED_CALLS(t8, struct e8, mpmc);
TYPED_CALLS(t56, struct e56, spmc);
TYPED_CALLS(t200, struct e200, mpsc);

static int send_any(struct ringq_port *p, const void *msg)
{
	return ringq_send(p, msg, RINGQ_NOWAIT);
}

static int64_t send_many_any(struct ringq_port *p, const void *msgs, uint64_t n)
{
	return ringq_send_many(p, msgs, n, RINGQ_NOWAIT);
}

static int reserve_any(struct ringq_port *p, uint64_t n)
{
	return ringq_reserve(p, n, RINGQ_NOWAIT);
}

static void *room_any(struct ringq_port *p, uint64_t i)
{
	uint64_t run;
	void *first = ringq_run(p, i, &run);

	assert_int_equal(run, 1);
	return first;
}

static int recv_any(struct ringq_port *p, void *msg)
{
	return ringq_recv(p, msg, RINGQ_NOWAIT);
}

static int64_t recv_many_any(struct ringq_port *p, void *msgs, uint64_t n)
{
	return ringq_recv_many(p, msgs, n, RINGQ_NOWAIT);
}

static int64_t peek_any(struct ringq_port *p, uint64_t n)
{
	return ringq_peek(p, n, RINGQ_NOWAIT);
}

static const void *at_any(struct ringq_port *p, uint64_t i)
{
	return ringq_at(p, i);
}

static const struct calls calls_any = {
	0, send_any, send_many_any, reserve_any, room_any, ringq_commit, recv_any,
	recv_many_any, peek_any, at_any, ringq_release
};

static const struct calls *const calls_typed[] = { &calls_t8, &calls_t56, &calls_t200 };

/* What the model knows of a position. */
struct place {
	uint64_t number;	/* of the message */
	bool full, tomb;
	bool freed;
	bool orphan;		/* published, and its consumer has left */
};

struct out {
	struct ringq_port port;
	bool here;
	uint64_t first, held;	/* reserved: positions, without ring.first */
};

struct in {
	struct ringq_port port;
	bool here;
	bool again;		/* what is in hand is redelivered */
	uint64_t first, held, rest;
};

static struct {
	struct ringq *ring;
	size_t size;
	uint64_t capacity, begin;
	unsigned int outs, ins;
	uint64_t head, tail;	/* the next to claim, without begin */
	uint64_t numbers;
	uint64_t shown;		/* one consumer's place: what a predecessor was shown */
	struct place *places;
	struct out out[PORTS];
	struct in in[PORTS];
} m;

static const struct calls *calls(void)
{
	unsigned int i;

	for (i = 0; i < COUNT(calls_typed); i++) {
		if (calls_typed[i]->size == m.size && dice(2))
			return calls_typed[i];
	}
	return &calls_any;
}

static void fill(void *to, uint64_t number)
{
	unsigned char *bytes = to;
	size_t i;

	for (i = 0; i < m.size; i++)
		bytes[i] = number * 37 + (number >> 8) + i * (i + 1);
}

static void check(const void *from, uint64_t number)
{
	unsigned char wanted[SIZE_MAX_];

	fill(wanted, number);
	assert_memory_equal(from, wanted, m.size);
}

static bool is_free(uint64_t pos)
{
	return pos < m.capacity || m.places[pos - m.capacity].freed;
}

static uint64_t room(uint64_t most)
{
	uint64_t n = 0;

	while (n < most && is_free(m.head + n))
		n++;
	return n;
}

static void publish(uint64_t pos, uint64_t number)
{
	m.places[pos].number = number;
	m.places[pos].full = true;
}

static void send_some(struct out *o, uint64_t n)
{
	unsigned char msgs[BATCH * SIZE_MAX_];
	uint64_t i, most = room(n);
	int64_t wanted = o->held ? -EBUSY : most ? (int64_t)most : -EAGAIN;

	for (i = 0; i < n; i++)
		fill(msgs + i * m.size, m.numbers + i);
	if (n == 1 && dice(2))
		assert_int_equal(calls()->send(&o->port, msgs), wanted);
	else
		assert_int_equal(calls()->send_many(&o->port, msgs, n), n ? wanted : -EINVAL);
	if (!n || wanted < 0)
		return;
	for (i = 0; i < most; i++)
		publish(m.head++, m.numbers++);
	assert_int_equal(ringq_position(&o->port), m.begin + m.head);
}

static void reserve_some(struct out *o, uint64_t n)
{
	int wanted = -EAGAIN;
	uint64_t i;

	if (o->held)
		wanted = -EBUSY;
	else if (!n || n > m.capacity)
		wanted = -EINVAL;
	else if (room(n) == n)
		wanted = 0;
	assert_int_equal(calls()->reserve(&o->port, n), wanted);
	if (wanted < 0)
		return;
	o->first = m.head;
	o->held = n;
	m.head += n;
	for (i = 0; i < n; i++)
		m.places[o->first + i] = (struct place){ .number = m.numbers++ };
	for (i = 0; i < n; i++)
		fill(calls()->room(&o->port, i), m.places[o->first + i].number);
}

/* A part is kept; the rest is tombstones, unless the port is alone, who takes it back. */
static void commit_model(struct out *o, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++)
		m.places[o->first + i].full = true;
	if (o->port.claims.biased && !o->port.claims.side->shared) {
		assert_true(m.head == o->first + o->held);
		m.head -= o->held - n;
	} else {
		for (; i < o->held; i++)
			m.places[o->first + i].tomb = true;
	}
	o->held = 0;
}

static void commit_some(struct out *o, uint64_t n)
{
	uint64_t held = o->held;

	if (held && n <= held)
		commit_model(o, n);
	if (!n && dice(2))
		ringq_abort(&o->port);
	else
		assert_int_equal(calls()->commit(&o->port, n), n > held ? -EINVAL : 0);
}

static void drain(struct out *o)
{
	uint64_t pos;
	int wanted = 0;

	for (pos = 0; pos < ringq_position(&o->port) - m.begin; pos++) {
		if (!m.places[pos].freed)
			wanted = -EAGAIN;
	}
	assert_int_equal(ringq_drain(&o->port, RINGQ_NOWAIT), wanted);
}

/* The orphan that has this number, or the first one. */
static struct place *orphan(uint64_t number, bool any)
{
	uint64_t pos = m.tail > 2 * m.capacity ? m.tail - 2 * m.capacity : 0;

	for (; pos < m.tail; pos++) {
		if (m.places[pos].orphan && (any || m.places[pos].number == number))
			return &m.places[pos];
	}
	return NULL;
}

/* How many of at most n a consumer gets just now, or -EAGAIN; in->again and in->first are set. */
static int64_t obtain(struct in *in, uint64_t n)
{
	uint64_t got = 0;

	if (in->rest) {
		got = n < in->rest ? n : in->rest;
		in->rest -= got;
		return got;
	}
	in->again = false;
	if (orphan(0, true)) {
		in->again = true;
		in->first = UINT64_MAX;		/* which one is not said */
		return 1;
	}
	while (m.tail < m.head && m.places[m.tail].tomb)
		m.places[m.tail++].freed = true;
	in->first = m.tail;
	in->again = m.tail < m.shown;
	if (in->again && n > m.shown - m.tail)
		n = m.shown - m.tail;
	while (got < n && m.tail < m.head && m.places[m.tail].full) {
		m.tail++;
		got++;
	}
	if (!got)
		in->again = false;
	return got ? (int64_t)got : -EAGAIN;
}

/* What came is what should: in order, or one of the orphans. */
static void check_got(struct in *in, const void *msg, uint64_t i)
{
	struct place *place;
	uint64_t pos;

	assert_int_equal(ringq_flags(&in->port), in->again ? RINGQ_REDELIVERED : 0);
	if (in->first != UINT64_MAX) {
		check(msg, m.places[in->first + i].number);
		return;
	}
	for (pos = 0; pos < m.tail; pos++) {
		unsigned char wanted[SIZE_MAX_];

		place = &m.places[pos];
		if (!place->orphan)
			continue;
		fill(wanted, place->number);
		if (!memcmp(wanted, msg, m.size))
			break;
	}
	assert_true(pos < m.tail);
	m.places[pos].orphan = false;
	in->first = pos;
}

static void receive(struct in *in, uint64_t n)
{
	unsigned char msgs[BATCH * SIZE_MAX_];
	int64_t wanted = -EINVAL, i;

	if (in->held)
		wanted = n ? -EBUSY : -EINVAL;
	else if (n)
		wanted = obtain(in, n);
	if (n == 1 && dice(2))
		assert_int_equal(calls()->recv(&in->port, msgs), wanted);
	else
		assert_int_equal(calls()->recv_many(&in->port, msgs, n), wanted);
	for (i = 0; i < wanted; i++) {
		check_got(in, msgs + i * m.size, i);
		m.places[in->first + i].freed = true;
	}
	if (wanted > 0)
		in->first += wanted;
}

static void peek_some(struct in *in, uint64_t n)
{
	int64_t wanted = -EINVAL, i;

	if (in->held)
		wanted = n ? -EBUSY : -EINVAL;
	else if (n)
		wanted = obtain(in, n);
	assert_int_equal(calls()->peek(&in->port, n), wanted);
	if (wanted < 0)
		return;
	in->held = wanted;
	for (i = 0; i < wanted; i++)
		check_got(in, calls()->at(&in->port, i), i);
	if (m.ins == 1 && m.shown < in->first + in->held)
		m.shown = in->first + in->held;
}

static void release_some(struct in *in, uint64_t n)
{
	uint64_t i;

	assert_int_equal(calls()->release(&in->port, n), n > in->held ? -EINVAL : 0);
	if (n > in->held)
		return;
	for (i = 0; i < n; i++)
		m.places[in->first++].freed = true;
	in->rest += in->held - n;
	in->held = 0;
}

static void come_out(struct out *o)
{
	memset(o, 0, sizeof(*o));
	assert_int_equal(ringq_attach(m.ring, RINGQ_PRODUCER, &o->port), 0);
	o->here = true;
}

static void go_out(struct out *o)
{
	if (o->held)
		commit_model(o, 0);
	ringq_detach(&o->port);
	o->here = false;
}

static void come_in(struct in *in)
{
	memset(in, 0, sizeof(*in));
	assert_int_equal(ringq_attach(m.ring, RINGQ_CONSUMER, &in->port), 0);
	in->here = true;
}

static void go_in(struct in *in)
{
	uint64_t n = in->held + in->rest;

	ringq_detach(&in->port);
	in->here = false;
	if (m.ins == 1) {
		/* Its successor begins with the first that it did not release. */
		m.tail -= n;
		return;
	}
	while (n--)
		m.places[in->first++].orphan = true;
}

static void step_out(struct out *o)
{
	if (!o->here) {
		come_out(o);
		return;
	}
	switch (dice(16)) {
	case 0:
		if (dice(4) == 0)
			go_out(o);
		break;
	case 1:
		drain(o);
		break;
	case 2:
	case 3:
	case 4:
		reserve_some(o, dice(m.capacity + 3) % (BATCH + 2));
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		commit_some(o, dice(o->held + (dice(8) ? 1 : 3)));
		break;
	default:
		send_some(o, dice(4) ? 1 : dice(BATCH + 1));
	}
}

static void step_in(struct in *in)
{
	if (!in->here) {
		come_in(in);
		return;
	}
	switch (dice(16)) {
	case 0:
		if (dice(4) == 0)
			go_in(in);
		break;
	case 1:
	case 2:
	case 3:
		peek_some(in, dice(BATCH + 1));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		release_some(in, dice(in->held + (dice(8) ? 1 : 3)));
		break;
	default:
		receive(in, dice(4) ? 1 : dice(BATCH + 1));
	}
}

/* For a while one side has one port, or the other, or both, and they do more of one thing. */
static void steps(unsigned int n)
{
	unsigned int i, outs = m.outs, ins = m.ins, bias = 50;

	for (i = 0; i < n && m.head < STEPS * 2; i++) {
		if (dice(200) == 0) {
			outs = 1 + dice(m.outs);
			ins = 1 + dice(m.ins);
			bias = 20 + dice(60);
		}
		if (dice(100) < bias) {
			struct out *o = &m.out[dice(m.outs)];

			if ((unsigned int)(o - m.out) >= outs && o->here)
				go_out(o);
			else if ((unsigned int)(o - m.out) < outs)
				step_out(o);
		} else {
			struct in *in = &m.in[dice(m.ins)];

			if ((unsigned int)(in - m.in) >= ins && in->here)
				go_in(in);
			else if ((unsigned int)(in - m.in) < ins)
				step_in(in);
		}
	}
}

static void run(uint32_t discipline, size_t size, uint64_t capacity, uint64_t begin)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = discipline,
		.elem_size = size, .capacity = capacity, .first = begin,
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
		.producers = discipline == RINGQ_SPMC ? 1 : PORTS,
		.consumers = discipline == RINGQ_MPSC ? 1 : PORTS,
	};
	unsigned int i;

	memset(&m, 0, sizeof(m));
	m.size = size;
	m.capacity = capacity;
	m.begin = begin;
	m.outs = opts.producers;
	m.ins = opts.consumers;
	m.places = calloc(STEPS * 2 + capacity + BATCH, sizeof(*m.places));
	assert_non_null(m.places);
	assert_int_equal(ringq_create(&opts, &m.ring), 0);
	steps(STEPS);
	for (i = 0; i < PORTS; i++) {
		if (m.out[i].here)
			go_out(&m.out[i]);
		if (m.in[i].here)
			go_in(&m.in[i]);
	}
	ringq_leave(m.ring);
	free(m.places);
}

static const uint64_t begins[] = {
	0, (1ull << 32) - 1000, (1ull << 40) - 1000, (1ull << 49) - 1000, (1ull << 50) - 1000,
	(1ull << 51) + (1ull << 50) - 7, RINGQ_FIRST_MAX - 1,
};

static void random_calls(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_MPMC, RINGQ_MPSC, RINGQ_SPMC };
	static const size_t sizes[] = { 8, 56, 200, 1, 24, 57 };
	static const uint64_t capacities[] = { 16, 1, 64, 4, 2 };
	unsigned int i;

	(void)state;
	seed = 20240229;
	for (i = 0; i < 60; i++)
		run(disciplines[i % COUNT(disciplines)], sizes[i / 3 % COUNT(sizes)],
		    capacities[i % COUNT(capacities)], begins[i % COUNT(begins)]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
