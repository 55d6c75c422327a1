// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * MPSC, SPMC and MPMC with threads: several of both sides at once, who come and go, and close.
 * (What they seldom come to is done by hand in claims_by_hand.c.)
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
#include "claims.h"

#define BATCH 9
#define BIG 15		/* words of the larger element */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(together),
		cmocka_unit_test(come_and_go),
		cmocka_unit_test(visitors),
		cmocka_unit_test(closed_at_once),
	};

	setbuf(stdout, NULL);
	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
