// SPDX-License-Identifier: GPL-2.0-only
/*
 * poll(2) and epoll(7) of ports: what is reported, and that a kick reaches who polls.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "kselftest_harness.h"

#include "common.h"

#define IN	(POLLIN | POLLRDNORM)
#define OUT	(POLLOUT | POLLWRNORM)

FIXTURE(poll) {
	struct ring ring;
	struct port producer;
	struct port consumer;
	__u64 capacity;
};

FIXTURE_VARIANT(poll) {
	__u32 elem_size;
	__u64 slots;
};

FIXTURE_VARIANT_ADD(poll, line) {
	.elem_size = 8, .slots = 16,
};

FIXTURE_VARIANT_ADD(poll, apart) {
	.elem_size = 200, .slots = 64,
};

FIXTURE_SETUP(poll)
{
	struct ringq_geometry g = geometry_of(variant->elem_size, variant->slots);

	self->capacity = g.capacity;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->consumer, &self->ring, RINGQ_CONSUMER));
}

FIXTURE_TEARDOWN_PARENT(poll)
{
	EXPECT_NOTHING_LEFT();
}

TEST_F(poll, not_a_port)
{
	struct port file = { .fd = device() };

	EXPECT_EQ(POLLERR, port_poll(&file, -1));
	file.fd = self->ring.fd;
	EXPECT_EQ(POLLERR, port_poll(&file, -1));
}

TEST_F(poll, ready)
{
	EXPECT_EQ(OUT, port_poll(&self->producer, -1));
	EXPECT_EQ(0, port_poll(&self->consumer, 0));
	publish(&self->producer, 1);
	EXPECT_EQ(OUT, port_poll(&self->producer, -1));
	EXPECT_EQ(IN, port_poll(&self->consumer, -1));
	publish(&self->producer, self->capacity - 1);
	EXPECT_EQ(0, port_poll(&self->producer, 0));
	EXPECT_EQ(IN, port_poll(&self->consumer, -1));
	EXPECT_EQ(1, consume(&self->consumer, 1));
	EXPECT_EQ(OUT, port_poll(&self->producer, -1));
	EXPECT_EQ((int)self->capacity - 1, consume(&self->consumer, self->capacity));
	EXPECT_EQ(0, port_poll(&self->consumer, 0));
}

TEST_F(poll, peeked_is_not_ready)
{
	publish(&self->producer, 2);
	self->consumer.page->progress.hand = self->consumer.pos + 2;
	EXPECT_EQ(0, port_poll(&self->consumer, 0));
	publish(&self->producer, 1);
	EXPECT_EQ(IN, port_poll(&self->consumer, -1));
}

/* Who finds nothing is armed when poll says so: the next publication is followed by a kick. */
TEST_F(poll, arms_if_there_is_nothing)
{
	EXPECT_EQ(OUT, port_poll(&self->producer, 0));
	EXPECT_EQ(0, attention(&self->consumer) & RINGQ_ARMED);
	EXPECT_EQ(0, port_poll(&self->consumer, 0));
	EXPECT_NE(0, attention(&self->producer) & RINGQ_ARMED);
	/* It wakes no sleeper of WAIT, and it is spent. */
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	EXPECT_EQ(0, attention(&self->producer) & RINGQ_ARMED);
}

struct poller {
	pthread_t thread;
	struct port *port;
	int events;
};

static void *poll_in_a_thread(void *arg)
{
	struct poller *p = arg;

	p->events = port_poll(p->port, -1);
	return NULL;
}

static bool poller_start(struct poller *p, const struct port *other)
{
	pthread_create(&p->thread, NULL, poll_in_a_thread, p);
	return soon(attention(other) & RINGQ_ARMED);
}

TEST_F(poll, kick_wakes_consumer)
{
	struct poller p = { .port = &self->consumer };

	ASSERT_TRUE(poller_start(&p, &self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(IN, p.events);
}

TEST_F(poll, kick_wakes_producer)
{
	struct poller p = { .port = &self->producer };

	publish(&self->producer, self->capacity);
	ASSERT_TRUE(poller_start(&p, &self->consumer));
	EXPECT_EQ(1, consume(&self->consumer, 1));
	EXPECT_EQ(0, port_notify(&self->consumer, 1));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(OUT, p.events);
}

/* Nothing published: it looks, and sleeps again, armed again. */
TEST_F(poll, empty_kick)
{
	struct poller p = { .port = &self->consumer };
	int i;

	ASSERT_TRUE(poller_start(&p, &self->producer));
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, port_kick(&self->producer, 1));
		ASSERT_TRUE(soon(attention(&self->producer) & RINGQ_ARMED));
	}
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_notify(&self->producer, 1));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(IN, p.events);
}

TEST_F(poll, poller_and_sleeper_of_one_port)
{
	struct poller p = { .port = &self->consumer };
	int woken = 0;

	ASSERT_TRUE(poller_start(&p, &self->producer));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, MSEC, 0, NULL));
	/* The end of one's sleep leaves the other one armed. */
	EXPECT_NE(0, attention(&self->producer) & RINGQ_ARMED);
	publish(&self->producer, 1);
	woken = port_notify(&self->producer, 1);
	EXPECT_EQ(0, woken);
	pthread_join(p.thread, NULL);
	EXPECT_EQ(IN, p.events);
}

TEST_F(poll, closed)
{
	struct poller p = { .port = &self->consumer };

	ASSERT_TRUE(poller_start(&p, &self->producer));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(IN | POLLRDHUP, p.events);
	/* Nor would a send wait, were the ring full. */
	publish(&self->producer, self->capacity);
	EXPECT_EQ(OUT | POLLRDHUP, port_poll(&self->producer, -1));
}

TEST_F(poll, other_side_left)
{
	struct poller p = { .port = &self->consumer };

	ASSERT_TRUE(poller_start(&p, &self->producer));
	EXPECT_EQ(0, port_leave(&self->producer));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(IN | POLLHUP, p.events);
}

TEST_F(poll, other_side_died)
{
	struct poller p = { .port = &self->producer };

	publish(&self->producer, self->capacity);
	ASSERT_TRUE(poller_start(&p, &self->consumer));
	port_unmap(&self->consumer);
	pthread_join(p.thread, NULL);
	EXPECT_EQ(POLLHUP | POLLERR, p.events);
}

TEST_F(poll, port_ends_under_its_poller)
{
	struct poller p = { .port = &self->consumer };

	ASSERT_TRUE(poller_start(&p, &self->producer));
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_DETACH, NULL));
	pthread_join(p.thread, NULL);
	EXPECT_EQ(POLLERR, p.events);
}

/* Level-triggered: as often as it is asked, and armed again at every empty answer. */
TEST_F(poll, epoll_level)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP }, got;
	int epoll = epoll_create1(0), i;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->consumer.fd, &e));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, epoll_wait(epoll, &got, 1, 0));
		ASSERT_NE(0, attention(&self->producer) & RINGQ_ARMED)
			TH_LOG("round %d", i);
		publish(&self->producer, 2);
		ASSERT_EQ(0, port_notify(&self->producer, 2));
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		ASSERT_EQ(EPOLLIN, got.events);
		ASSERT_EQ(1, consume(&self->consumer, 1));
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		ASSERT_EQ(1, consume(&self->consumer, 1));
	}
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(1, epoll_wait(epoll, &got, 1, -1));
	EXPECT_NE(0, got.events & EPOLLRDHUP);
}

/* A file that is closed while epoll waits for it, with and without a mapping that keeps it. */
struct closer {
	pthread_t thread;
	const struct port *other;
	int fd;
};

static void *close_when_armed(void *arg)
{
	struct closer *c = arg;

	if (soon(attention(c->other) & RINGQ_ARMED))
		close(c->fd);
	return NULL;
}

TEST_F(poll, epoll_of_a_file_that_is_closed)
{
	struct epoll_event e = { .events = EPOLLIN }, got;
	int epoll = epoll_create1(0), unmapped;
	struct closer closer;

	for (unmapped = 0; unmapped < 2; unmapped++) {
		struct ring r;
		struct port p, q;

		ASSERT_EQ(0, ring_create(&r, &self->ring.geometry, ""));
		ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
		ASSERT_EQ(0, unmapped ? port_attach(&q, &r, RINGQ_CONSUMER) :
					port_join(&q, &r, RINGQ_CONSUMER));
		closer = (struct closer){ .other = &p, .fd = q.fd };
		ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, q.fd, &e));
		ASSERT_EQ(0, pthread_create(&closer.thread, NULL, close_when_armed, &closer));
		EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 200));
		pthread_join(closer.thread, NULL);
		EXPECT_EQ(unmapped ? RINGQ_GONE : 0, attention(&p) & RINGQ_ENDED);
		/* A mapping keeps the file, and so epoll its entry. */
		if (unmapped)
			continue;
		publish(&p, 1);
		EXPECT_EQ(0, port_notify(&p, 1));
		EXPECT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		EXPECT_EQ(1, consume(&q, 1));
		port_unmap(&q);
	}
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
}

/* The epoll file outlives the process that put the port into it. */
TEST_F(poll, epoll_in_a_child)
{
	struct epoll_event e = { .events = EPOLLIN }, got;
	int epoll = epoll_create1(0);
	struct peer child, grandchild;

	if (!peer_fork(&child)) {
		struct ring r;
		struct port p;

		ASSERT_EQ(0, ring_create(&r, &self->ring.geometry, ""));
		ASSERT_EQ(0, port_join(&p, &r, RINGQ_CONSUMER));
		ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, p.fd, &e));
		if (!peer_fork(&grandchild))
			pause();
		peer_say(&child, 1);
		pause();
	}
	ASSERT_EQ(1, peer_hear(&child));
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 20));
	peer_kill(&child);
	EXPECT_LE(0, epoll_wait(epoll, &got, 1, 20));
}

/* One thread watches all the ports that there are. */
TEST_F_TIMEOUT(poll, many_ports, 300)
{
	struct ring rings[64];
	struct port producers[64], consumers[64];
	int epoll = epoll_create1(0);
	struct epoll_event e, got;
	int i, n = ARRAY_SIZE(rings);

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, ring_create(&rings[i], &self->ring.geometry, ""));
		ASSERT_EQ(0, port_join(&producers[i], &rings[i], RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&consumers[i], &rings[i], RINGQ_CONSUMER));
		e = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
		ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, consumers[i].fd, &e));
	}
	for (i = 0; i < 1000; i++) {
		int at = rand() % n;

		publish(&producers[at], 1);
		ASSERT_EQ(0, port_notify(&producers[at], 1));
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, -1));
		ASSERT_EQ(at, (int)got.data.u32);
		ASSERT_EQ(1, consume(&consumers[at], 1));
	}
}

TEST_HARNESS_MAIN
