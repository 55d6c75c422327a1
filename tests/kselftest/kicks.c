// SPDX-License-Identifier: GPL-2.0-only
/*
 * No wake-up is lost. Who has nothing to do sleeps at once, and who publishes kicks only if the
 * attention word asks for it. If one kick too few is made, somebody sleeps for ever, and the test's
 * time runs out.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(kicks) {
	struct ringq_geometry geometry;
};

FIXTURE_VARIANT(kicks) {
	__u32 elem_size;
	__u64 slots;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(kicks, line) {
	.elem_size = 8, .slots = 16,
};

FIXTURE_VARIANT_ADD(kicks, apart) {
	.elem_size = 200, .slots = 64,
};

FIXTURE_VARIANT_ADD(kicks, fenced) {
	.elem_size = 8, .slots = 16, .flags = RINGQ_FENCE,
};

FIXTURE_SETUP(kicks)
{
	self->geometry = geometry_of(variant->elem_size, variant->slots);
	self->geometry.flags = variant->flags;
}

FIXTURE_TEARDOWN_PARENT(kicks)
{
	EXPECT_NOTHING_LEFT();
}

/* Waits of random length, to meet the other side at every stage of falling asleep. */
static void dawdle(unsigned int *seed)
{
	volatile unsigned int n = rand_r(seed) % 3 ? 0 : rand_r(seed) % 2000;

	while (n)
		n--;
}

#define ROUNDS 8000

/* Two processes hand one message to and fro. */
static int ping_pong(struct port *out, struct port *in, bool first)
{
	unsigned int seed = first;
	int i;

	if (first) {
		publish(out, 1);
		port_notify(out, 1);
	}
	for (i = 0; i < ROUNDS; i++) {
		dawdle(&seed);
		while (!published(in)) {
			int err = port_wait(in, 1, FOREVER, 0, NULL);

			if (err)
				return err;
		}
		if (consume(in, 1) != 1)
			return -EBADMSG;
		port_notify(in, 1);
		if (first && i == ROUNDS - 1)
			break;
		dawdle(&seed);
		publish(out, 1);
		port_notify(out, 1);
	}
	return 0;
}

TEST_F_TIMEOUT(kicks, ping_pong, 600)
{
	struct ring there, back;
	struct port in, out;
	struct peer child;

	ASSERT_EQ(0, ring_create(&there, &self->geometry, ""));
	ASSERT_EQ(0, ring_create(&back, &self->geometry, ""));
	if (!peer_fork(&child)) {
		ASSERT_EQ(0, port_join(&in, &there, RINGQ_CONSUMER));
		ASSERT_EQ(0, port_join(&out, &back, RINGQ_PRODUCER));
		EXPECT_EQ(0, ping_pong(&out, &in, false));
		_exit(0);
	}
	ASSERT_EQ(0, port_join(&in, &back, RINGQ_CONSUMER));
	ASSERT_EQ(0, port_join(&out, &there, RINGQ_PRODUCER));
	EXPECT_EQ(0, ping_pong(&out, &in, true));
	EXPECT_EQ(0, peer_end(&child));
}

#define MESSAGES 50000

/* One way through a small ring: both sides sleep, one when it is full, the other when empty. */
TEST_F_TIMEOUT(kicks, full_and_empty, 600)
{
	struct ringq_geometry g = self->geometry;
	struct port producer, consumer;
	unsigned int seed = 1;
	struct peer child;
	struct ring r;
	__u64 n, left = MESSAGES;

	g.capacity = g.shape == RINGQ_SHAPE_LINE ? ringq_per_line(g.elem_size) : 4;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	if (!peer_fork(&child)) {
		ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
		peer_say(&child, 1);
		while (left) {
			const struct ringq_port_page *other = page_of(&producer, RINGQ_CONSUMER);

			n = g.capacity - (producer.pos - ringq_load_acquire(&other->progress.done));
			if (!n) {
				ASSERT_EQ(0, port_wait(&producer, 1, FOREVER, 0, NULL));
				continue;
			}
			publish(&producer, 1);
			port_notify(&producer, 1);
			left--;
			dawdle(&seed);
		}
		EXPECT_EQ(0, port_leave(&producer));
		_exit(0);
	}
	ASSERT_EQ(1, peer_hear(&child));
	ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
	while (left) {
		int got = consume(&consumer, 1 + rand_r(&seed) % g.capacity);

		ASSERT_LE(0, got);
		left -= got;
		if (got)
			port_notify(&consumer, got);
		else if (left)
			ASSERT_EQ(0, port_wait(&consumer, 1, FOREVER, 0, NULL));
		dawdle(&seed);
	}
	EXPECT_EQ(0, peer_end(&child));
	EXPECT_EQ(0, consume(&consumer, 1));
}

/* A thread that only ever sleeps in epoll_wait, over many messages. */
struct loop {
	pthread_t thread;
	struct port *port;
	int epoll;
	int left;
	int err;
};

static void *epoll_in_a_thread(void *arg)
{
	struct loop *l = arg;
	struct epoll_event got;

	while (l->left > 0) {
		int n = epoll_wait(l->epoll, &got, 1, -1);

		if (n != 1 || !(got.events & EPOLLIN)) {
			l->err = -EIO;
			break;
		}
		n = consume(l->port, 1);
		if (n != 1) {
			l->err = n;
			break;
		}
		l->left--;
	}
	return NULL;
}

TEST_F_TIMEOUT(kicks, epoll, 600)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct port producer, consumer;
	struct loop l = { .port = &consumer, .epoll = epoll_create1(0), .left = ROUNDS };
	const struct ringq_port_page *other;
	unsigned int seed = 1;
	int left = l.left;
	struct ring r;

	ASSERT_EQ(0, ring_create(&r, &self->geometry, ""));
	ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
	other = page_of(&producer, RINGQ_CONSUMER);
	ASSERT_EQ(0, epoll_ctl(l.epoll, EPOLL_CTL_ADD, consumer.fd, &e));
	ASSERT_EQ(0, pthread_create(&l.thread, NULL, epoll_in_a_thread, &l));
	while (left && !ringq_load_relaxed(&l.err)) {
		if (producer.pos - ringq_load_acquire(&other->progress.done) > rand_r(&seed) % 4u)
			continue;
		publish(&producer, 1);
		ASSERT_LE(0, port_notify(&producer, 1));
		left--;
	}
	pthread_join(l.thread, NULL);
	EXPECT_EQ(0, l.err);
}

/*
 * Several processes of each role at a small ring, who claim positions from shared indices. This is
 * as much of such a discipline as there is between processes that do not die. Who takes something
 * and leaves something behind kicks one of its own side, after the full barrier that the claim is.
 */
#define SWARM_PRODUCERS	2
#define SWARM_CONSUMERS	3
#define SWARM_MESSAGES	6000	/* of each producer */

static bool stamp_is(const struct port *p, __u64 pos, __u64 state)
{
	return ringq_load_acquire(stamp_of(p, pos)) == RINGQ_STAMP(pos, state);
}

/* Claims the next position in a state, and tells it; else waits. */
static int swarm_claim(struct port *p, __u64 state, __u64 *pos)
{
	bool slept = false;

	for (;;) {
		*pos = ringq_load_acquire(&p->side->index);
		if (stamp_is(p, *pos, state)) {
			if (__atomic_compare_exchange_n(&p->side->index, pos, *pos + 1, false,
							__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
				break;
		} else if (*pos == ringq_load_acquire(&p->side->index)) {
			__u32 events = 0;
			int err = port_wait(p, 1, FOREVER, 0, &events);

			if (err)
				return err;
			if (events == RINGQ_EVENT_CLOSED)
				return -EPIPE;
			slept = true;
		}
	}
	if (slept && stamp_is(p, *pos + 1, state))
		port_kick_own(p, 1);
	return 0;
}

static int swarm_produce(struct port *p, unsigned int seed)
{
	__u64 pos;
	int i, err;

	for (i = 0; i < SWARM_MESSAGES; i++) {
		err = swarm_claim(p, RINGQ_FREE, &pos);
		if (err)
			return err;
		dawdle(&seed);
		ringq_store_release(stamp_of(p, pos), RINGQ_STAMP(pos, RINGQ_FULL));
		port_notify(p, 1);
		dawdle(&seed);
	}
	return 0;
}

static int swarm_consume(struct port *p, unsigned int seed, unsigned int *count)
{
	__u64 pos;
	int err;

	for (;; __atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST)) {
		err = swarm_claim(p, RINGQ_FULL, &pos);
		if (err)
			return err == -EPIPE ? 0 : err;
		dawdle(&seed);
		ringq_store_release(stamp_of(p, pos),
				    RINGQ_STAMP(pos + p->geometry.capacity, RINGQ_FREE));
		port_notify(p, 1);
		dawdle(&seed);
	}
}

TEST_F_TIMEOUT(kicks, swarm, 600)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, variant->elem_size, 4);
	unsigned int *count = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				   -1, 0);
	struct peer peers[SWARM_PRODUCERS + SWARM_CONSUMERS];
	int i, n = ARRAY_SIZE(peers);
	struct port p, first[2];
	struct ring r;

	ASSERT_NE(MAP_FAILED, count);
	g.flags = variant->flags;
	g.producers = SWARM_PRODUCERS + 1;
	g.consumers = SWARM_CONSUMERS + 1;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	/* No side ends before the test does. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, port_join(&first[i], &r, i));
		first[i].side->shared = 1;
	}
	/* Whose done says nothing, so that stamps alone tell what is free. */
	for (i = 0; i < (int)g.capacity; i++)
		*stamp_of(&first[0], i) = RINGQ_STAMP(i + g.capacity, RINGQ_FREE);
	first[0].side->index = g.capacity;
	first[1].side->index = g.capacity;
	for (i = 0; i < n; i++) {
		__u32 role = i < SWARM_PRODUCERS ? RINGQ_PRODUCER : RINGQ_CONSUMER;

		if (peer_fork(&peers[i]))
			continue;
		if (port_join(&p, &r, role))
			_exit(1);
		_exit(role == RINGQ_PRODUCER ? !!swarm_produce(&p, i) :
					       !!swarm_consume(&p, i, count));
	}
	for (i = 0; i < SWARM_PRODUCERS; i++)
		EXPECT_EQ(0, peer_end(&peers[i]));
	EXPECT_TRUE(soon(__atomic_load_n(count, __ATOMIC_SEQ_CST) ==
			 SWARM_PRODUCERS * SWARM_MESSAGES));
	EXPECT_EQ(0, call(first[0].fd, RINGQ_IOC_CLOSE, NULL));
	for (; i < n; i++)
		EXPECT_EQ(0, peer_end(&peers[i]));
}

/* Readers that all get everything, and a producer that waits for the slowest of them. */
#define READERS		3
#define BROADCASTS	3000

static int read_all(struct port *p, unsigned int seed)
{
	__u64 left = BROADCASTS;
	int n, err;

	while (left) {
		n = consume(p, 1 + rand_r(&seed) % 3);
		if (n < 0)
			return n;
		left -= n;
		if (n) {
			port_notify(p, 1);
			dawdle(&seed);
			continue;
		}
		err = port_wait(p, 1, FOREVER, 0, NULL);
		if (err)
			return err;
	}
	return 0;
}

TEST_F_TIMEOUT(kicks, broadcast, 600)
{
	struct ringq_geometry g = geometry_many(RINGQ_GATED, variant->elem_size, 4);
	struct peer peers[READERS];
	unsigned int seed = 1;
	struct port p, reader;
	struct ring r;
	int i, err;

	g.flags = variant->flags;
	g.consumers = READERS;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	for (i = 0; i < READERS; i++) {
		if (!peer_fork(&peers[i])) {
			if (port_join(&reader, &r, RINGQ_CONSUMER))
				_exit(1);
			peer_say(&peers[i], 1);
			_exit(!!read_all(&reader, i));
		}
		ASSERT_EQ(1, peer_hear(&peers[i]));
	}
	while (p.pos < BROADCASTS) {
		__u64 done = p.pos;

		for (i = 0; i < READERS; i++) {
			__u64 one = ringq_load_acquire(&page_at(&p, RINGQ_CONSUMER,
								i)->progress.done);

			if (one < done)
				done = one;
		}
		if (p.pos - done < g.capacity) {
			publish(&p, 1);
			ASSERT_LE(0, port_notify(&p, ~0u));
			dawdle(&seed);
			continue;
		}
		err = port_wait(&p, 1, FOREVER, 0, NULL);
		ASSERT_EQ(0, err);
	}
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, peer_end(&peers[i]));
}

TEST_HARNESS_MAIN
