// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * MPSC, SPMC and MPMC with threads: several of both sides at once, who come and go; who sleeps
 * and who wakes him; what closing means while something is reserved; ports that hang in a
 * claim. A hang is a failure: the alarm ends the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../lib/internal.h"

#define LIMIT 120	/* seconds for all of them; a second or two is usual */
#define THREADS 4
#define BATCH 9
#ifdef __SANITIZE_THREAD__
#define EACH 500	/* messages of a producer */
#else
#define EACH 6000
#endif
#define BIG 15		/* words of the larger element */

static struct ringq *make(uint32_t discipline, uint32_t memory, uint32_t flags, size_t elem_size,
			  uint64_t capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = discipline, .flags = flags,
		.elem_size = elem_size, .capacity = capacity, .first = (1ull << 50) - 10 * EACH,
		.producers = discipline == RINGQ_SPMC ? 1 : THREADS,
		.consumers = discipline == RINGQ_MPSC ? 1 : THREADS,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

/* In a thread cmocka cannot jump: what is wrong ends the program. */
#define MUST(cond)								\
	do {									\
		if (!(cond)) {							\
			printf("FAIL - %s:%d: %s\n", __FILE__, __LINE__, #cond);	\
			fflush(stdout);						\
			abort();						\
		}								\
	} while (0)

static struct {
	struct ringq *ring;
	unsigned int producers, consumers, words;
	unsigned int stay;	/* one in so many calls, a port leaves and comes back; 0: never */
	unsigned char seen[THREADS][EACH];
	uint64_t again, came;
} flow;

struct worker {
	pthread_t thread;
	unsigned int id;
	uint64_t seed;
	struct ringq_port port;
	uint64_t buffer[BATCH * BIG];
	uint64_t next[THREADS];	/* of each producer: the least that may come */
};

static uint64_t dice(struct worker *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed % below;
}

static void come(struct worker *w, enum ringq_role role)
{
	MUST(ringq_attach(flow.ring, role, &w->port) == 0);
	__atomic_fetch_add(&flow.came, 1, __ATOMIC_RELAXED);
}

static void fill(struct worker *w, uint64_t *words, uint64_t number)
{
	unsigned int i;

	for (i = 0; i < flow.words; i++)
		words[i] = (uint64_t)w->id << 32 | number;
}

static int64_t send_some(struct worker *w, uint64_t number, uint64_t n)
{
	uint64_t i, kept;

	switch (dice(w, 4)) {
	case 0:
		fill(w, w->buffer, number);
		return ringq_send(&w->port, w->buffer, RINGQ_FOREVER);
	case 1:
		MUST(ringq_reserve(&w->port, n, RINGQ_FOREVER) == 0);
		kept = dice(w, n + 1);
		for (i = 0; i < kept; i++)
			fill(w, ringq_at(&w->port, i), number + i);
		MUST(ringq_commit(&w->port, kept) == 0);
		return kept;
	default:
		for (i = 0; i < n; i++)
			fill(w, w->buffer + i * flow.words, number + i);
		return ringq_send_many(&w->port, w->buffer, n, RINGQ_FOREVER);
	}
}

static void *produce(void *arg)
{
	struct worker *w = arg;
	uint64_t number = 0, n;
	int64_t sent;

	come(w, RINGQ_PRODUCER);
	while (number < EACH) {
		n = 1 + dice(w, BATCH);
		sent = send_some(w, number, n < EACH - number ? n : EACH - number);
		MUST(sent >= 0);
		number += sent;
		if (flow.stay && dice(w, flow.stay) == 0) {
			if (dice(w, 2))
				ringq_reserve(&w->port, 1 + dice(w, BATCH), RINGQ_NOWAIT);
			ringq_detach(&w->port);
			come(w, RINGQ_PRODUCER);
		}
	}
	ringq_detach(&w->port);
	return NULL;
}

/* Fresh ones come in the order in which they were sent; each is processed once. */
static void process(struct worker *w, const uint64_t *words)
{
	uint64_t id = words[0] >> 32, number = words[0] & UINT32_MAX;
	unsigned int i;

	MUST(id < flow.producers && number < EACH);
	for (i = 1; i < flow.words; i++)
		MUST(words[i] == words[0]);
	MUST(!__atomic_exchange_n(&flow.seen[id][number], 1, __ATOMIC_RELAXED));
	if (ringq_flags(&w->port)) {
		__atomic_fetch_add(&flow.again, 1, __ATOMIC_RELAXED);
		return;
	}
	MUST(number >= w->next[id]);
	w->next[id] = number + 1;
}

static int64_t recv_some(struct worker *w, uint64_t n)
{
	int64_t got, i;

	switch (dice(w, 4)) {
	case 0:
		got = ringq_recv(&w->port, w->buffer, RINGQ_FOREVER);
		break;
	case 1:
		got = ringq_peek(&w->port, n, RINGQ_FOREVER);
		if (got <= 0)
			return got;
		n = dice(w, got + 1);
		for (i = 0; i < (int64_t)n; i++)
			process(w, ringq_at(&w->port, i));
		MUST(ringq_release(&w->port, n) == 0);
		return 1;
	default:
		got = ringq_recv_many(&w->port, w->buffer, n, RINGQ_FOREVER);
	}
	for (i = 0; i < got; i++)
		process(w, w->buffer + i * flow.words);
	return got;
}

static void *consume(void *arg)
{
	struct worker *w = arg;
	int64_t got;

	come(w, RINGQ_CONSUMER);
	for (;;) {
		got = recv_some(w, 1 + dice(w, BATCH));
		MUST(got >= 0);
		if (!got)
			break;
		if (flow.stay && dice(w, flow.stay) == 0) {
			/* What it has in hand goes to others, or back to itself. */
			if (dice(w, 2))
				ringq_peek(&w->port, 1 + dice(w, BATCH), RINGQ_NOWAIT);
			ringq_detach(&w->port);
			come(w, RINGQ_CONSUMER);
		}
	}
	ringq_detach(&w->port);
	return NULL;
}

static struct worker *start(void *(*run)(void *), unsigned int n)
{
	struct worker *w = NULL;
	unsigned int i;

	assert_int_equal(posix_memalign((void **)&w, 64, n * sizeof(*w)), 0);
	memset(w, 0, n * sizeof(*w));
	for (i = 0; i < n; i++) {
		w[i].id = i;
		w[i].seed = 88172645463325252ull + i + 100 * n;
		assert_int_equal(pthread_create(&w[i].thread, NULL, run, &w[i]), 0);
	}
	return w;
}

static void join(struct worker *w, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	free(w);
}

static void flow_through(uint32_t discipline, uint32_t memory, uint32_t flags,
			 unsigned int producers, unsigned int consumers, unsigned int stay)
{
	struct worker *in, *out;
	struct ringq_port port;
	unsigned int i, j;

	memset(&flow, 0, sizeof(flow));
	flow.words = producers % 2 ? 1 : BIG;
	flow.ring = make(discipline, memory, WAIT | flags, flow.words * 8, stay ? 16 : 64);
	flow.producers = producers;
	flow.consumers = consumers;
	flow.stay = stay;
	in = start(consume, consumers);
	out = start(produce, producers);
	join(out, producers);
	assert_int_equal(ringq_attach(flow.ring, RINGQ_PRODUCER, &port), 0);
	assert_int_equal(ringq_close(&port), 0);
	ringq_detach(&port);
	join(in, consumers);
	for (i = 0; i < producers; i++) {
		for (j = 0; j < EACH; j++)
			assert_true(flow.seen[i][j]);
	}
	ringq_leave(flow.ring);
}

static void together(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 16; i++)
		flow_through(RINGQ_MPMC, RINGQ_PRIVATE, 0, 1 + i / 4, 1 + i % 4, 0);
	for (i = 1; i <= 4; i++) {
		flow_through(RINGQ_MPSC, RINGQ_PRIVATE, 0, i, 1, 0);
		flow_through(RINGQ_SPMC, RINGQ_PRIVATE, 0, 1, i, 0);
	}
	flow_through(RINGQ_MPMC, RINGQ_MEMFD, 0, 3, 3, 0);
	flow_through(RINGQ_MPMC, RINGQ_PRIVATE, RINGQ_FENCE, 2, 2, 0);
	flow_through(RINGQ_MPSC, RINGQ_PRIVATE, RINGQ_FENCE, 2, 1, 0);
}

/* Ports leave all the time, and sides have now one port and now several. */
static void come_and_go(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 9; i++) {
		flow_through(RINGQ_MPMC, RINGQ_PRIVATE, 0, 1 + i / 3, 1 + i % 3, 8);
		assert_true(flow.came > 0);
	}
	assert_true(flow.again > 0);
	flow_through(RINGQ_MPSC, RINGQ_PRIVATE, 0, 3, 1, 8);
	flow_through(RINGQ_SPMC, RINGQ_PRIVATE, 0, 1, 3, 8);
	flow_through(RINGQ_MPMC, RINGQ_MEMFD, 0, 2, 2, 20);
	flow_through(RINGQ_MPMC, RINGQ_PRIVATE, RINGQ_FENCE, 2, 2, 8);
}

/*
 * One port is busy without a pause, and alone, but that another one comes, does one thing and
 * goes, again and again: each time at some moment of a claim. Large messages keep what a
 * processor has stored in its store buffer for long, while it goes on to load.
 */
#define VISITS (EACH / 2)

struct large {
	uint64_t number;
	unsigned char rest[2040];
};

static struct {
	struct ringq *ring;
	int stop;
	uint64_t moved;
} busy;

static void *busy_out(void *arg)
{
	struct worker *w = arg;
	struct large msg = { 0 };

	MUST(ringq_attach(busy.ring, RINGQ_PRODUCER, &w->port) == 0);
	while (!__atomic_load_n(&busy.stop, __ATOMIC_RELAXED))
		msg.number += ringq_send(&w->port, &msg, RINGQ_NOWAIT) == 1;
	__atomic_fetch_add(&busy.moved, msg.number, __ATOMIC_RELAXED);
	ringq_detach(&w->port);
	return NULL;
}

static void *busy_in(void *arg)
{
	struct worker *w = arg;
	uint64_t n, next = 0;
	struct large msg;

	MUST(ringq_attach(busy.ring, RINGQ_CONSUMER, &w->port) == 0);
	for (n = 0; !__atomic_load_n(&busy.stop, __ATOMIC_RELAXED);) {
		if (ringq_recv(&w->port, &msg, RINGQ_NOWAIT) != 1)
			continue;
		n++;
		if (msg.number == UINT64_MAX)
			continue;
		MUST(msg.number >= next);
		next = msg.number + 1;
	}
	__atomic_fetch_sub(&busy.moved, n, __ATOMIC_RELAXED);
	ringq_detach(&w->port);
	return NULL;
}

/* What is left in the ring is what was sent and not received, and no more. */
static void count_rest(uint64_t sent, uint64_t received)
{
	struct ringq_port in;
	struct large msg;
	uint64_t rest = 0;

	assert_int_equal(ringq_attach(busy.ring, RINGQ_CONSUMER, &in), 0);
	while (ringq_recv(&in, &msg, RINGQ_NOWAIT) == 1)
		rest++;
	assert_int_equal(busy.moved + sent - received, rest);
	ringq_detach(&in);
}

static void collide(enum ringq_role role)
{
	struct large msg = { .number = UINT64_MAX };
	struct worker *in, *out;
	struct ringq_port port;
	uint64_t done = 0;
	unsigned int i;

	memset(&busy, 0, sizeof(busy));
	busy.ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, sizeof(msg), 64);
	out = start(busy_out, 1);
	in = start(busy_in, 1);
	for (i = 0; i < VISITS; i++) {
		assert_int_equal(ringq_attach(busy.ring, role, &port), 0);
		done += role == RINGQ_PRODUCER ? ringq_send(&port, &msg, RINGQ_NOWAIT) == 1 :
						 ringq_recv(&port, &msg, RINGQ_NOWAIT) == 1;
		msg.number = UINT64_MAX;
		ringq_detach(&port);
	}
	__atomic_store_n(&busy.stop, 1, __ATOMIC_RELAXED);
	join(out, 1);
	join(in, 1);
	count_rest(role == RINGQ_PRODUCER ? done : 0, role == RINGQ_CONSUMER ? done : 0);
	ringq_leave(busy.ring);
}

static void visitors(void **state)
{
	(void)state;
	collide(RINGQ_PRODUCER);
	collide(RINGQ_CONSUMER);
}

/*
 * The same by hand, for threads seldom meet there: somebody attaches after a port that is alone
 * has looked how things are, and before it takes what it has found, or gives it back.
 */
static void overtaken(void **state)
{
	uint32_t role;

	(void)state;
	for (role = RINGQ_PRODUCER; role <= RINGQ_CONSUMER; role++) {
		struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 16);
		struct ringq_side *side = ringq_side_of(ring, ring->base, role);
		struct ringq_port port;
		uint64_t pos;

		assert_int_equal(ringq_attach(ring, role, &port), 0);
		assert_true(port.claims.biased);
		pos = port.pos;
		side->shared = 1;
		assert_int_equal(ringq_claim_own(&port, 3), -EAGAIN);
		assert_int_equal(port.page->claim, RINGQ_CLAIM(RINGQ_OWN, 0, pos));
		side->shared = 0;
		assert_int_equal(ringq_claim_own(&port, 3), 0);
		assert_int_equal(port.page->claim, RINGQ_CLAIM(RINGQ_OWN, 3, pos));
		side->shared = 1;
		assert_false(ringq_claim_back(&port, 3));
		assert_int_equal(port.page->claim, RINGQ_CLAIM(RINGQ_OWN, 3, pos));
		side->shared = 0;
		assert_true(ringq_claim_back(&port, 3));
		assert_int_equal(port.page->claim, RINGQ_CLAIM(RINGQ_OWN, 0, pos));
		ringq_detach(&port);
		ringq_leave(ring);
	}
}

/* After end-of-file was told, no message comes: each that was sent with success was received. */
static void *until_closed(void *arg)
{
	struct worker *w = arg;
	struct large msg = { 0 };
	int r;

	MUST(ringq_attach(busy.ring, RINGQ_PRODUCER, &w->port) == 0);
	__atomic_fetch_add(&busy.stop, 1, __ATOMIC_RELEASE);
	for (;;) {
		r = ringq_send(&w->port, &msg, RINGQ_NOWAIT);
		if (r == -EPIPE)
			break;
		msg.number += r == 1;
	}
	/* Nobody is to wait for what it does not do any more. */
	MUST(!ringq_claim_is_pending(&w->port, RINGQ_PRODUCER, w->port.index));
	__atomic_fetch_add(&busy.moved, msg.number, __ATOMIC_RELAXED);
	ringq_detach(&w->port);
	return NULL;
}

static void closed_at_once(void **state)
{
	struct ringq_port in;
	struct worker *out;
	struct large msg;
	uint64_t received;
	unsigned int i;
	int r, many;

	(void)state;
	for (i = 0; i < EACH / 12; i++) {
		memset(&busy, 0, sizeof(busy));
		busy.ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, sizeof(msg), 64);
		assert_int_equal(ringq_attach(busy.ring, RINGQ_CONSUMER, &in), 0);
		many = 1 + i % 2;
		out = start(until_closed, many);
		while (__atomic_load_n(&busy.stop, __ATOMIC_ACQUIRE) < many)
			;
		for (received = 0; received < i % 50; received += r == 1)
			r = ringq_recv(&in, &msg, RINGQ_NOWAIT);
		assert_int_equal(ringq_close(&in), 0);
		while ((r = ringq_recv(&in, &msg, RINGQ_FOREVER)) == 1)
			received++;
		assert_int_equal(r, 0);
		join(out, many);
		assert_int_equal(busy.moved, received);
		ringq_detach(&in);
		ringq_leave(busy.ring);
	}
}

/* What is not committed lies between what is: all of n messages are, and nothing else. */
static void all_but_tombstones(void **state)
{
	struct ringq_port out, other, in, second;
	uint64_t msgs[3], msg, i, k;
	struct ringq *ring;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 16);
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &other), 0);
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		/* It claims without CAS, and with it. */
		if (i)
			assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &second), 0);
		for (msg = 1; msg <= 3; msg++) {
			assert_int_equal(ringq_reserve(&out, 3, RINGQ_NOWAIT), 0);
			*(uint64_t *)ringq_at(&out, 0) = msg;
			for (k = 1; k < 3; k++)
				*(uint64_t *)ringq_at(&out, k) = UINT64_MAX;
			assert_int_equal(ringq_commit(&out, 1), 0);
		}
		assert_int_equal(ringq_recv_all(&in, msgs, 3, RINGQ_NOWAIT), 3);
		for (k = 0; k < 3; k++)
			assert_int_equal(msgs[k], k + 1);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
		if (i)
			ringq_detach(&second);
		ringq_detach(&in);
		ringq_detach(&other);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* One call in a thread of its own. */
struct call {
	pthread_t thread;
	struct ringq_port *port;
	int (*run)(struct ringq_port *port);
	int result;
	int over;
};

static void *run_call(void *arg)
{
	struct call *c = arg;

	c->result = c->run(c->port);
	__atomic_store_n(&c->over, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void begin(struct call *c, struct ringq_port *port, int (*run)(struct ringq_port *port))
{
	*c = (struct call){ .port = port, .run = run };
	assert_int_equal(pthread_create(&c->thread, NULL, run_call, c), 0);
	while (__atomic_load_n(&port->page->wake, __ATOMIC_ACQUIRE) != RINGQ_ASLEEP &&
	       !__atomic_load_n(&c->over, __ATOMIC_ACQUIRE))
		usleep(100);
}

static int end(struct call *c)
{
	pthread_join(c->thread, NULL);
	return c->result;
}

static bool is_over(const struct call *c)
{
	return __atomic_load_n(&c->over, __ATOMIC_ACQUIRE);
}

static int call_recv(struct ringq_port *port)
{
	uint64_t msg;

	return ringq_recv(port, &msg, RINGQ_FOREVER);
}

static int call_send(struct ringq_port *port)
{
	uint64_t msg = 5;

	return ringq_send(port, &msg, RINGQ_FOREVER);
}

static int call_reserve_2(struct ringq_port *port)
{
	return ringq_reserve(port, 2, RINGQ_FOREVER);
}

static int call_drain(struct ringq_port *port)
{
	return ringq_drain(port, RINGQ_FOREVER);
}

static void attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port)
{
	assert_int_equal(ringq_attach(ring, role, port), 0);
}

/* A message behind a gap: the kick for it is spent on one who can do nothing yet. */
static void gap_of_messages(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	struct ringq_port out[2], in[2];
	struct call calls[2];
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		attach(ring, RINGQ_PRODUCER, &out[i]);
		attach(ring, RINGQ_CONSUMER, &in[i]);
	}
	assert_int_equal(ringq_reserve(&out[0], 1, RINGQ_NOWAIT), 0);
	assert_int_equal(ringq_reserve(&out[1], 1, RINGQ_NOWAIT), 0);
	for (i = 0; i < 2; i++)
		begin(&calls[i], &in[i], call_recv);
	assert_int_equal(ringq_commit(&out[1], 1), 0);
	usleep(20000);
	assert_false(is_over(&calls[0]) || is_over(&calls[1]));
	assert_int_equal(ringq_commit(&out[0], 1), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(end(&calls[i]), 1);
	for (i = 0; i < 2; i++) {
		ringq_detach(&out[i]);
		ringq_detach(&in[i]);
	}
	ringq_leave(ring);
}

/* The same for room. */
static void gap_of_room(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 2);
	struct ringq_port out[2], in[2];
	struct call calls[2];
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		attach(ring, RINGQ_PRODUCER, &out[i]);
		attach(ring, RINGQ_CONSUMER, &in[i]);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(call_send(&out[i]), 1);
		assert_int_equal(ringq_peek(&in[i], 1, RINGQ_NOWAIT), 1);
	}
	for (i = 0; i < 2; i++)
		begin(&calls[i], &out[i], call_send);
	assert_int_equal(ringq_release(&in[1], 1), 0);
	usleep(20000);
	assert_false(is_over(&calls[0]) || is_over(&calls[1]));
	assert_int_equal(ringq_release(&in[0], 1), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(end(&calls[i]), 1);
	for (i = 0; i < 2; i++) {
		ringq_detach(&out[i]);
		ringq_detach(&in[i]);
	}
	ringq_leave(ring);
}

/* A kick that somebody gets who waits for more than there is, and another would do with it. */
static void wide_sleepers(void **state)
{
	static int (*const wide[])(struct ringq_port *port) = { call_reserve_2, call_drain };
	struct ringq_port out[2], in;
	struct call big, small;
	struct ringq *ring;
	uint64_t msg;
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 2; i++) {
		ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
		attach(ring, RINGQ_PRODUCER, &out[0]);
		attach(ring, RINGQ_PRODUCER, &out[1]);
		attach(ring, RINGQ_CONSUMER, &in);
		for (j = 0; j < 4; j++)
			assert_int_equal(call_send(&out[0]), 1);
		begin(&big, &out[0], wide[i]);
		begin(&small, &out[1], call_send);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(end(&small), 1);
		assert_false(is_over(&big));
		for (j = 0; j < 3; j++)
			assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(end(&big), 0);
		/* All that the first one had sent, but not what came behind it. */
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
		ringq_detach(&out[0]);
		ringq_detach(&out[1]);
		ringq_detach(&in);
		ringq_leave(ring);
	}
}

/* What the last one of a side leaves in hand is said to be there to those who sleep. */
static void hand_over(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	struct ringq_port out, in[2];
	struct call call;
	unsigned int i;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in[0]);
	assert_int_equal(call_send(&out), 1);
	assert_int_equal(ringq_peek(&in[0], 1, RINGQ_NOWAIT), 1);
	attach(ring, RINGQ_CONSUMER, &in[1]);
	begin(&call, &in[1], call_recv);
	assert_false(is_over(&call));
	ringq_detach(&in[0]);
	assert_int_equal(end(&call), 1);
	assert_int_equal(ringq_flags(&in[1]), RINGQ_REDELIVERED);
	/* And it is alone, and finds out when it has looked for more of that kind. */
	for (i = 0; i < 2; i++) {
		assert_int_equal(call_send(&out), 1);
		assert_int_equal(call_recv(&in[1]), 1);
		assert_int_equal(ringq_flags(&in[1]), 0);
	}
	assert_true(in[1].claims.biased);
	ringq_detach(&out);
	ringq_detach(&in[1]);
	ringq_leave(ring);
}

/* A closed ring: what is reserved may still come, and the end is told when it cannot. */
static void closing(void **state)
{
	struct ringq_port out, other, in;
	struct ringq *ring;
	struct call call;
	unsigned int i;
	uint64_t msg;

	(void)state;
	for (i = 0; i < 8; i++) {
		ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT | (i & 4 ? RINGQ_FENCE : 0), 8, 4);
		attach(ring, RINGQ_PRODUCER, &out);
		if (i & 1)
			attach(ring, RINGQ_PRODUCER, &other);
		attach(ring, RINGQ_CONSUMER, &in);
		assert_int_equal(call_send(&out), 1);
		assert_int_equal(ringq_reserve(&out, 2, RINGQ_NOWAIT), 0);
		assert_int_equal(ringq_close(&in), 0);
		assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), -EBUSY);
		if (i & 1)
			assert_int_equal(ringq_send(&other, &msg, RINGQ_NOWAIT), -EPIPE);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
		assert_int_equal(ringq_recv(&in, &msg, 1000000), -ETIMEDOUT);
		begin(&call, &in, call_recv);
		assert_false(is_over(&call));
		assert_int_equal(ringq_commit(&out, i & 2 ? 1 : 0), 0);
		assert_int_equal(end(&call), i & 2 ? 1 : 0);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), 0);
		assert_int_equal(ringq_send(&out, &msg, RINGQ_FOREVER), -EPIPE);
		ringq_detach(&out);
		if (i & 1)
			ringq_detach(&other);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), 0);
		ringq_detach(&in);
		ringq_leave(ring);
	}
}

/* The last of a side leaves; what is left is received, and then there is no more. */
static void ends(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, 0, 8, 4);
	struct ringq_port out[2], in;
	struct call call;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out[0]);
	attach(ring, RINGQ_PRODUCER, &out[1]);
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(call_send(&out[0]), 1);
	assert_int_equal(ringq_reserve(&out[1], 3, RINGQ_NOWAIT), 0);
	ringq_detach(&out[0]);
	assert_int_equal(call_recv(&in), 1);
	begin(&call, &in, call_recv);
	ringq_detach(&out[1]);
	assert_int_equal(end(&call), 0);
	ringq_detach(&in);
	ringq_leave(ring);
}

static void set_claim(struct ringq_port *port, uint64_t claim)
{
	__atomic_store_n(&port->page->claim, claim, __ATOMIC_RELEASE);
}

/* Somebody is stopped in the middle of a claim: who must know what came of it waits, not long. */
static void open_claims(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	struct ringq_port out[2], in;
	uint64_t claim, msg = 1;
	struct call call;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out[0]);
	attach(ring, RINGQ_CONSUMER, &in);
	claim = out[0].page->claim;
	set_claim(&out[0], RINGQ_CLAIM(RINGQ_TRY, 1, out[0].pos));
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out[1]), -ETIMEDOUT);
	assert_int_equal(ringq_close(&in), 0);
	assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_recv(&in, &msg, 5000000), -ETIMEDOUT);
	begin(&call, &in, call_recv);
	set_claim(&out[0], RINGQ_CLAIM(RINGQ_BACK, 1, out[0].pos));
	usleep(5000);
	assert_false(is_over(&call));
	set_claim(&out[0], claim);
	assert_int_equal(end(&call), 0);
	ringq_detach(&out[0]);
	ringq_detach(&in);
	ringq_leave(ring);

	/* An attach that gave up leaves a ring that works. */
	ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	attach(ring, RINGQ_PRODUCER, &out[0]);
	attach(ring, RINGQ_CONSUMER, &in);
	claim = out[0].page->claim;
	set_claim(&out[0], RINGQ_CLAIM(RINGQ_TRY, 1, out[0].pos));
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out[1]), -ETIMEDOUT);
	set_claim(&out[0], claim);
	assert_int_equal(call_send(&out[0]), 1);
	attach(ring, RINGQ_PRODUCER, &out[1]);
	assert_int_equal(call_send(&out[1]), 1);
	assert_int_equal(call_send(&out[0]), 1);
	assert_int_equal(call_recv(&in) + call_recv(&in) + call_recv(&in), 3);
	ringq_detach(&out[0]);
	assert_int_equal(call_send(&out[1]), 1);
	assert_true(out[1].claims.biased);
	ringq_detach(&out[1]);
	ringq_detach(&in);
	ringq_leave(ring);
}

/* What was sent, or received, at once is told by a TRY, which keeps nobody waiting afterwards. */
static void decided(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	struct ringq_port out[3], in[3];
	uint64_t msg;
	uint32_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		attach(ring, RINGQ_PRODUCER, &out[i]);
		attach(ring, RINGQ_CONSUMER, &in[i]);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(call_send(&out[i]), 1);
		assert_int_equal(call_send(&out[i]), 1);
		assert_int_equal(call_recv(&in[i]), 1);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(ringq_claim_state(out[i].page->claim), RINGQ_TRY);
		assert_int_equal(ringq_claim_state(in[i].page->claim), RINGQ_TRY);
	}
	attach(ring, RINGQ_PRODUCER, &out[2]);
	attach(ring, RINGQ_CONSUMER, &in[2]);
	assert_int_equal(ringq_close(&in[0]), 0);
	assert_int_equal(call_recv(&in[2]), 1);
	assert_int_equal(call_recv(&in[1]), 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(ringq_recv(&in[i], &msg, RINGQ_NOWAIT), 0);
	for (i = 0; i < 3; i++) {
		ringq_detach(&out[i]);
		ringq_detach(&in[i]);
	}
	ringq_leave(ring);
}

/* What is held is told by an OWN, that which is kept when a part is released included. */
static void held_by_cas(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 8);
	struct ringq_port out[2], in[2];
	uint64_t pos;
	uint32_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		attach(ring, RINGQ_PRODUCER, &out[i]);
		attach(ring, RINGQ_CONSUMER, &in[i]);
	}
	pos = out[0].pos;
	assert_int_equal(ringq_reserve(&out[0], 5, RINGQ_NOWAIT), 0);
	assert_int_equal(out[0].page->claim, RINGQ_CLAIM(RINGQ_OWN, 5, pos));
	assert_int_equal(ringq_commit(&out[0], 5), 0);
	assert_int_equal(ringq_peek(&in[1], 5, RINGQ_NOWAIT), 5);
	assert_int_equal(in[1].page->claim, RINGQ_CLAIM(RINGQ_OWN, 5, pos));
	assert_int_equal(ringq_release(&in[1], 2), 0);
	assert_int_equal(in[1].page->claim, RINGQ_CLAIM(RINGQ_OWN, 5, pos));
	assert_int_equal(ringq_peek(&in[1], 1, RINGQ_NOWAIT), 1);
	assert_int_equal(in[1].page->claim, RINGQ_CLAIM(RINGQ_OWN, 3, pos + 2));
	assert_int_equal(ringq_release(&in[1], 1), 0);
	assert_int_equal(call_recv(&in[1]), 1);
	assert_int_equal(in[1].page->claim, RINGQ_CLAIM(RINGQ_OWN, 3, pos + 2));
	assert_int_equal(call_recv(&in[1]), 1);
	for (i = 0; i < 2; i++) {
		ringq_detach(&out[i]);
		ringq_detach(&in[i]);
	}
	ringq_leave(ring);
}

/* Who is peeking sees what he peeked, whatever others do; what he keeps is his. */
static void kept(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	struct ringq_port out, in[2];
	uint64_t msg, i;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in[0]);
	attach(ring, RINGQ_CONSUMER, &in[1]);
	for (i = 0; i < 4; i++)
		assert_int_equal(ringq_send(&out, &i, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_peek(&in[0], 3, RINGQ_NOWAIT), 3);
	assert_int_equal(ringq_recv(&in[1], &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(msg, 3);
	assert_int_equal(ringq_release(&in[0], 1), 0);
	assert_int_equal(ringq_recv(&in[1], &msg, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_send(&out, &i, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_send(&out, &i, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_recv(&in[0], &msg, RINGQ_FOREVER), 1);
	assert_int_equal(msg, 1);
	assert_int_equal(ringq_recv(&in[0], &msg, RINGQ_FOREVER), 1);
	assert_int_equal(msg, 2);
	assert_int_equal(ringq_flags(&in[0]), 0);
	ringq_detach(&out);
	ringq_detach(&in[0]);
	ringq_detach(&in[1]);
	ringq_leave(ring);
}

static struct {
	const struct ringq_backend *real;
	struct ringq_side *side;
	uint64_t kicks[2];
	unsigned int n;
} passed;

/* The kick goes to one who needs more, and has said so just before he slept. */
static void kick_in_vain(struct ringq_port *p, uint32_t role, uint64_t count)
{
	assert_true(passed.n < 2);
	passed.kicks[passed.n++] = count;
	__atomic_store_n(&passed.side->wide, 1, __ATOMIC_SEQ_CST);
	passed.real->kick(p, role, count);
}

/*
 * By hand, for it takes a few instructions: a wake-up is passed on to a port that cannot use it.
 * So whether there are such ports is looked at after the kick, and then all are kicked.
 */
static void passed_on_in_vain(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 8);
	struct ringq_backend backend = *ring->backend;
	struct ringq_port out, in[2];
	uint64_t msg = 0;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in[0]);
	attach(ring, RINGQ_CONSUMER, &in[1]);
	/* Both by CAS. */
	assert_int_equal(ringq_recv(&in[0], &msg, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
	backend.kick = kick_in_vain;
	passed.real = ring->backend;
	passed.side = in[0].claims.side;
	ring->backend = &backend;
	/* Somebody is armed. */
	__atomic_fetch_or(ringq_word_of(ring, ring->base, RINGQ_PRODUCER), 2, __ATOMIC_SEQ_CST);
	ringq_claim_pass_on(&in[0]);
	ring->backend = passed.real;
	assert_int_equal(passed.n, 2);
	assert_int_equal(passed.kicks[0], 1);
	assert_true(passed.kicks[1] == UINT64_MAX);
	ringq_detach(&out);
	ringq_detach(&in[0]);
	ringq_detach(&in[1]);
	ringq_leave(ring);
}

/* Arguments and the wrong side. */
static void misuse(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 8192);
	struct ringq_port out, in;
	uint64_t msg = 0;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(ringq_reserve(&out, RINGQ_CLAIM_MAX + 1, RINGQ_NOWAIT), -EINVAL);
	assert_int_equal(ringq_reserve(&out, RINGQ_CLAIM_MAX, RINGQ_NOWAIT), 0);
	assert_int_equal(ringq_commit(&out, RINGQ_CLAIM_MAX), 0);
	assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_peek(&in, 8192, RINGQ_NOWAIT), RINGQ_CLAIM_MAX);
	assert_int_equal(ringq_release(&in, RINGQ_CLAIM_MAX), 0);
	assert_int_equal(ringq_send(&in, &msg, RINGQ_NOWAIT), -EOPNOTSUPP);
	assert_int_equal(ringq_recv(&out, &msg, RINGQ_NOWAIT), -EOPNOTSUPP);
	ringq_detach(&in);
	ringq_detach(&out);
	assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), -ESTALE);
	ringq_leave(ring);
}

/* Where repair, and whoever looks, takes a port's claim to be. */
static uint64_t claimed_at(const struct ringq_port *port)
{
	const struct ringq_port_page *page = port->page;

	return ringq_claim_pos(page->claim, port->role == RINGQ_PRODUCER ? page->progress.done :
									   page->progress.hand);
}

/*
 * A claim by CAS tells its whereabouts seldom, but it does: never so far away that its position
 * could be taken for another one, and never inside of the claim, which would say that it is peeked.
 */
static void whereabouts(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 64);
	struct ringq_port out[2], in[2];
	const struct ringq_port_page *page;
	uint64_t msg = 0, pos, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out[i]), 0);
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in[i]), 0);
	}
	page = in[0].page;
	pos = (1ull << 50) - 10 * EACH;
	for (i = 0; i < 20; i++, pos++) {
		/* As if it had done nothing while the others went through half of what a word tells. */
		if (i % 3 == 0) {
			out[0].page->progress.done = pos - (1ull << 49) - 1;
			in[0].page->progress.hand = pos - (1ull << 49) - 1;
		}
		assert_int_equal(ringq_send(&out[0], &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(claimed_at(&out[0]), pos);
		if (i % 2) {
			assert_int_equal(ringq_peek(&in[0], 1, RINGQ_NOWAIT), 1);
			assert_int_equal(ringq_release(&in[0], 1), 0);
		} else {
			assert_int_equal(ringq_recv(&in[0], &msg, RINGQ_NOWAIT), 1);
		}
		assert_int_equal(claimed_at(&in[0]), pos);
		assert_false(ringq_claim_covers(page->claim, page->progress.hand,
						page->progress.hand));
	}
	for (i = 0; i < 2; i++) {
		ringq_detach(&out[i]);
		ringq_detach(&in[i]);
	}
	ringq_leave(ring);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(together),
		cmocka_unit_test(come_and_go),
		cmocka_unit_test(visitors),
		cmocka_unit_test(overtaken),
		cmocka_unit_test(passed_on_in_vain),
		cmocka_unit_test(closed_at_once),
		cmocka_unit_test(all_but_tombstones),
		cmocka_unit_test(gap_of_messages),
		cmocka_unit_test(gap_of_room),
		cmocka_unit_test(wide_sleepers),
		cmocka_unit_test(hand_over),
		cmocka_unit_test(whereabouts),
		cmocka_unit_test(closing),
		cmocka_unit_test(ends),
		cmocka_unit_test(open_claims),
		cmocka_unit_test(decided),
		cmocka_unit_test(held_by_cas),
		cmocka_unit_test(kept),
		cmocka_unit_test(misuse),
	};

	setbuf(stdout, NULL);
	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
