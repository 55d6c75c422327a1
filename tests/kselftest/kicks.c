// SPDX-License-Identifier: GPL-2.0-only
/*
 * No wake-up is lost. Who has nothing to do sleeps at once, and who publishes kicks only if the
 * attention word asks for it. If one kick too few is made, somebody sleeps for ever, and the test's
 * time runs out.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

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

TEST_HARNESS_MAIN
