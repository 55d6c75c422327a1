// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * MPSC, SPMC and MPMC, one step at a time: who comes between two steps of another; who sleeps and
 * who wakes him; what closing means while something is reserved; what claim words say, and for whom
 * who attaches, or looks for the end, has to wait.
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
#include <unistd.h>

#include "../../lib/internal.h"
#include "claims.h"

/*
 * Somebody attaches after a port that is alone has looked how things are, and before it takes what
 * it has found, or gives it back.
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

/* Two a side: all claim by CAS. */
static void attach_two(struct ringq *ring, struct ringq_port out[2], struct ringq_port in[2])
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		attach(ring, RINGQ_PRODUCER, &out[i]);
		attach(ring, RINGQ_CONSUMER, &in[i]);
	}
}

static void leave_two(struct ringq *ring, struct ringq_port out[2], struct ringq_port in[2])
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ringq_detach(&out[i]);
		ringq_detach(&in[i]);
	}
	ringq_leave(ring);
}

/* A message behind a gap: the kick for it is spent on one who can do nothing yet. */
static void gap_of_messages(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 4);
	struct ringq_port out[2], in[2];
	struct call calls[2];
	unsigned int i;

	(void)state;
	attach_two(ring, out, in);
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
	leave_two(ring, out, in);
}

/* The same for room. */
static void gap_of_room(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 2);
	struct ringq_port out[2], in[2];
	struct call calls[2];
	unsigned int i;

	(void)state;
	attach_two(ring, out, in);
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
	leave_two(ring, out, in);
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

static void attach_at(struct ringq *ring, enum ringq_role role, uint32_t place,
		      struct ringq_port *port)
{
	const struct ringq_attach_opts opts = {
		.size = sizeof(opts), .flags = RINGQ_AT_PLACE, .place = place,
	};

	assert_int_equal(ringq_attach_with(ring, role, &opts, port), 0);
}

/* Who is alone frees by its position, in whatever place: the highest counts, not the first. */
static void another_place(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 8);
	struct ringq_port out, in, visitor;
	unsigned int i, lap;
	uint64_t msg;

	(void)state;
	attach(ring, RINGQ_PRODUCER, &out);
	attach_at(ring, RINGQ_CONSUMER, THREADS - 1, &in);
	for (lap = 0; lap < 3; lap++) {
		assert_true(in.claims.biased);
		for (i = 0; i < 6; i++)
			assert_int_equal(call_send(&out), 1);
		assert_int_equal(ringq_len(&out), 6);
		for (i = 0; i < 6; i++)
			assert_int_equal(call_recv(&in), 1);
		assert_int_equal(ringq_len(&out), 0);
		/* What it has released so is no obstacle to being alone again. */
		attach_at(ring, RINGQ_CONSUMER, 0, &visitor);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
		assert_false(in.claims.biased);
		ringq_detach(&visitor);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
	}
	ringq_detach(&out);
	ringq_detach(&in);
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
	attach_two(ring, out, in);
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

	(void)state;
	attach_two(ring, out, in);
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
	leave_two(ring, out, in);
}

/* Who has released all that it held, by whatever calls, waits for all of the next ones. */
static void waits_for_all(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 8);
	struct ringq_port out[2], in[2];
	uint64_t msgs[3] = { 0 };

	(void)state;
	attach_two(ring, out, in);
	assert_int_equal(ringq_send_many(&out[0], msgs, 3, RINGQ_NOWAIT), 3);
	assert_int_equal(ringq_peek(&in[0], 3, RINGQ_NOWAIT), 3);
	assert_int_equal(ringq_release(&in[0], 1), 0);
	assert_int_equal(call_recv(&in[0]), 1);
	assert_int_equal(call_recv(&in[0]), 1);
	assert_int_equal(ringq_recv_all(&in[0], msgs, 2, 5000000), -ETIMEDOUT);
	leave_two(ring, out, in);
}

static struct ringq_port_stat stat_of(struct ringq *ring, const struct ringq_port *port)
{
	struct ringq_port_stat s = { .size = sizeof(s) };

	assert_int_equal(ringq_port_stat(ring, port->role, port->index, &s), 0);
	return s;
}

/* Two try the same, and one that has lost is stopped before it says so. */
static void tried_in_vain(void **state)
{
	struct ringq *ring = make(RINGQ_MPMC, RINGQ_PRIVATE, WAIT, 8, 8);
	struct ringq_port out[2], in[2];
	struct ringq_port_stat s;
	uint64_t msg = 0, pos;

	(void)state;
	attach_two(ring, out, in);
	pos = in[0].pos;
	assert_int_equal(call_send(&out[0]), 1);
	assert_int_equal(ringq_send(&out[0], &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_peek(&in[0], 2, RINGQ_NOWAIT), 2);
	set_claim(&in[1], RINGQ_CLAIM(RINGQ_TRY, 1, pos));
	s = stat_of(ring, &in[0]);
	assert_int_equal(s.claim, RINGQ_OWN);
	assert_int_equal(s.held, 2);
	assert_int_equal(s.waiting, 2);
	s = stat_of(ring, &in[1]);
	assert_int_equal(s.claim, RINGQ_TRY);
	assert_int_equal(s.held, 1);
	assert_int_equal(s.held_at, pos);
	assert_int_equal(s.waiting, 0);
	assert_int_equal(ringq_release(&in[0], 2), 0);
	s = stat_of(ring, &in[1]);
	assert_int_equal(s.claim, RINGQ_IDLE);
	assert_int_equal(s.held, 0);
	leave_two(ring, out, in);
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
	leave_two(ring, out, in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overtaken),
		cmocka_unit_test(passed_on_in_vain),
		cmocka_unit_test(all_but_tombstones),
		cmocka_unit_test(gap_of_messages),
		cmocka_unit_test(gap_of_room),
		cmocka_unit_test(wide_sleepers),
		cmocka_unit_test(hand_over),
		cmocka_unit_test(another_place),
		cmocka_unit_test(whereabouts),
		cmocka_unit_test(closing),
		cmocka_unit_test(ends),
		cmocka_unit_test(open_claims),
		cmocka_unit_test(decided),
		cmocka_unit_test(held_by_cas),
		cmocka_unit_test(waits_for_all),
		cmocka_unit_test(tried_in_vain),
		cmocka_unit_test(kept),
		cmocka_unit_test(misuse),
	};

	setbuf(stdout, NULL);
	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
