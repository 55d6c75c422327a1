// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several sleepers on one side: how many a kick wakes, which ones, and what becomes of a kick that
 * does not help whom it wakes.
 *
 * All ports belong to the test process, and each sleeper is a thread. The ring is one whose
 * consumers claim positions from a shared index; the test moves the index where a consumer would.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"

#include "common.h"

#define CROWD 3

/* A thread that sleeps at a port. */
struct sleeper {
	pthread_t thread;
	pid_t tid;
	struct port port;
	__u64 need;
	__s64 timeout;
	int err;
	__u32 events;
	bool over;
};

FIXTURE(crowd) {
	struct ring ring;
	struct port producer;
	struct sleeper s[CROWD];
};

FIXTURE_SETUP(crowd)
{
	struct ringq_geometry g = geometry_many(RINGQ_SPMC, 8, 16);
	int i;

	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	for (i = 0; i < CROWD; i++) {
		self->s[i] = (struct sleeper){ .need = 1, .timeout = FOREVER };
		ASSERT_EQ(0, port_join(&self->s[i].port, &self->ring, RINGQ_CONSUMER));
	}
	self->s[0].port.side->shared = 1;
}

FIXTURE_TEARDOWN_PARENT(crowd)
{
	EXPECT_NOTHING_LEFT();
}

static void *sleep_in_a_thread(void *arg)
{
	struct sleeper *s = arg;

	ringq_store_release(&s->tid, gettid());
	s->err = port_wait(&s->port, s->need, s->timeout, 0, &s->events);
	ringq_store_release(&s->over, true);
	return NULL;
}

static bool is_over(const struct sleeper *s)
{
	return ringq_load_acquire(&s->over);
}

static bool sleeps(const struct sleeper *s)
{
	return !is_over(s) && sleeps_in(ringq_load_acquire(&s->tid), SYS_ioctl);
}

/* Returns when it is asleep. */
static bool sleeper_start(struct sleeper *s)
{
	s->over = false;
	s->tid = 0;
	pthread_create(&s->thread, NULL, sleep_in_a_thread, s);
	return soon(sleeps(s));
}

/* One after the other, so that they arm in this order. */
#define START_ALL()							\
	do {								\
		int _i;							\
									\
		for (_i = 0; _i < CROWD; _i++)				\
			ASSERT_TRUE(sleeper_start(&self->s[_i]));	\
	} while (0)

/* It woke, found what it wanted, and takes so many. */
#define EXPECT_WOKEN(i, n)						\
	do {								\
		ASSERT_TRUE(soon(is_over(&self->s[i])))			\
			TH_LOG("sleeper %d", i);			\
		pthread_join(self->s[i].thread, NULL);			\
		EXPECT_EQ(0, self->s[i].err);				\
		EXPECT_EQ(RINGQ_EVENT_READY, self->s[i].events);	\
		self->s[i].port.side->index += (n);			\
	} while (0)

#define EXPECT_ASLEEP(i)						\
	EXPECT_TRUE(soon(sleeps(&self->s[i])))				\
		TH_LOG("sleeper %d", i)

TEST_F(crowd, as_many_as_are_kicked)
{
	START_ALL();
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(0, 1);
	EXPECT_ASLEEP(1);
	EXPECT_ASLEEP(2);
	/* The word tells of the others, until the last one is woken. */
	EXPECT_EQ(1, attention(&self->producer));
	publish(&self->producer, 2);
	EXPECT_EQ(2, port_kick(&self->producer, 2));
	EXPECT_EQ(0, attention(&self->producer));
	EXPECT_WOKEN(1, 0);
	EXPECT_WOKEN(2, 2);
	EXPECT_EQ(0, port_kick(&self->producer, 1));
}

TEST_F(crowd, no_more_than_there_are)
{
	START_ALL();
	publish(&self->producer, 5);
	EXPECT_EQ(CROWD, port_kick(&self->producer, ~0u));
	EXPECT_EQ(0, attention(&self->producer));
	EXPECT_WOKEN(0, 0);
	EXPECT_WOKEN(1, 0);
	EXPECT_WOKEN(2, 0);
}

TEST_F(crowd, none)
{
	START_ALL();
	publish(&self->producer, 5);
	EXPECT_EQ(0, port_kick(&self->producer, 0));
	EXPECT_EQ(1, attention(&self->producer));
	EXPECT_ASLEEP(0);
	EXPECT_ASLEEP(1);
	EXPECT_ASLEEP(2);
	EXPECT_EQ(CROWD, port_kick(&self->producer, CROWD));
}

/* In the order in which they fell asleep, whatever their places are. */
TEST_F(crowd, in_order)
{
	static const int order[] = { 2, 0, 1, 1, 2, 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		ASSERT_TRUE(sleeper_start(&self->s[order[i]]));
		if (i % CROWD != CROWD - 1)
			continue;
		publish(&self->producer, CROWD);
		EXPECT_EQ(1, port_kick(&self->producer, 1));
		EXPECT_WOKEN(order[i - 2], 1);
		EXPECT_EQ(1, port_kick(&self->producer, 1));
		EXPECT_WOKEN(order[i - 1], 1);
		EXPECT_EQ(1, port_kick(&self->producer, 1));
		EXPECT_WOKEN(order[i], 1);
	}
}

/* What is too little for the first is enough for the last. */
TEST_F(crowd, hands_on_what_is_too_little)
{
	self->s[0].need = 8;
	self->s[1].need = 4;
	START_ALL();
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(2, 1);
	EXPECT_ASLEEP(0);
	EXPECT_ASLEEP(1);
	EXPECT_EQ(1, attention(&self->producer));
	publish(&self->producer, 4);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(1, 4);
	publish(&self->producer, 8);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(0, 8);
	EXPECT_EQ(0, attention(&self->producer));
}

static unsigned long switches(pid_t tid)
{
	char path[64], line[128];
	unsigned long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		sscanf(line, "voluntary_ctxt_switches: %lu", &n);
	fclose(f);
	return n;
}

/* A kick that helps nobody goes once around, and all sleep on. */
TEST_F(crowd, hands_on_once)
{
	unsigned long before[CROWD], after;
	int i;

	for (i = 0; i < CROWD; i++)
		self->s[i].need = 2;
	START_ALL();
	publish(&self->producer, 1);
	for (i = 0; i < CROWD; i++)
		before[i] = switches(self->s[i].tid);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	for (i = 0; i < CROWD; i++) {
		EXPECT_TRUE(soon(switches(self->s[i].tid) > before[i]));
		EXPECT_ASLEEP(i);
	}
	for (i = 0; i < 20; i++)
		snooze();
	for (i = 0; i < CROWD; i++) {
		after = switches(self->s[i].tid);
		EXPECT_EQ(before[i] + 1, after)
			TH_LOG("sleeper %d", i);
	}
	EXPECT_EQ(1, attention(&self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(0, 2);
}

/* One that gives up as the kick comes does not take it along. */
struct fickle {
	pthread_t thread;
	struct port *port;
	bool stop;
};

static void *give_up_again_and_again(void *arg)
{
	struct fickle *f = arg;
	unsigned int seed = 1;

	while (!ringq_load_relaxed(&f->stop))
		port_wait(f->port, 16, 1 + rand_r(&seed) % 200000, 0, NULL);
	return NULL;
}

TEST_F_TIMEOUT(crowd, hands_on_what_comes_too_late, 300)
{
	struct fickle f[2] = { { .port = &self->s[0].port }, { .port = &self->s[1].port } };
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&f[i].thread, NULL, give_up_again_and_again, &f[i]));
	for (i = 0; i < 500; i++) {
		ASSERT_TRUE(sleeper_start(&self->s[2]));
		publish(&self->producer, 1);
		ASSERT_LE(1, port_kick(&self->producer, 1));
		EXPECT_WOKEN(2, 1);
		*stamp_of(&self->producer, i) = RINGQ_STAMP(i + 16, RINGQ_FREE);
	}
	for (i = 0; i < 2; i++)
		ringq_store_relaxed(&f[i].stop, true);
	for (i = 0; i < 2; i++)
		pthread_join(f[i].thread, NULL);
}

/* One who leaves something behind kicks the next of its own side, and nobody of the other. */
TEST_F(crowd, kicks_of_the_own_side)
{
	START_ALL();
	publish(&self->producer, CROWD);
	EXPECT_EQ(0, port_kick_own(&self->producer, 5));
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(0, 1);
	EXPECT_EQ(1, port_kick_own(&self->s[0].port, 1));
	EXPECT_WOKEN(1, 1);
	EXPECT_EQ(0, port_kick(&self->s[1].port, 1));
	EXPECT_ASLEEP(2);
	EXPECT_EQ(1, attention(&self->producer));
	EXPECT_EQ(1, port_kick_own(&self->s[1].port, 7));
	EXPECT_WOKEN(2, 1);
	EXPECT_EQ(0, attention(&self->producer));
}

/* The end of any port, and of the ring, wakes them all. */
TEST_F(crowd, ends_wake_all)
{
	int i;

	START_ALL();
	EXPECT_EQ(0, port_leave(&self->producer));
	for (i = 0; i < CROWD; i++) {
		ASSERT_TRUE(soon(is_over(&self->s[i])));
		EXPECT_EQ(0, self->s[i].err);
		EXPECT_EQ(RINGQ_EVENT_GONE, self->s[i].events);
	}
}

TEST_F(crowd, close_wakes_all)
{
	int i;

	START_ALL();
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	for (i = 0; i < CROWD; i++) {
		ASSERT_TRUE(soon(is_over(&self->s[i])));
		EXPECT_EQ(0, self->s[i].err);
		EXPECT_EQ(RINGQ_EVENT_CLOSED, self->s[i].events);
	}
}

/* One whose port ends under it is gone; the others sleep on, and get what comes. */
TEST_F(crowd, one_ends)
{
	START_ALL();
	EXPECT_EQ(0, call(self->s[0].port.fd, RINGQ_IOC_DETACH, NULL));
	ASSERT_TRUE(soon(is_over(&self->s[0])));
	EXPECT_EQ(-ESTALE, self->s[0].err);
	/* They were woken to see who is there, and may or may not sleep again when it comes. */
	publish(&self->producer, 2);
	EXPECT_LE(0, port_notify(&self->producer, 2));
	EXPECT_WOKEN(1, 0);
	EXPECT_WOKEN(2, 0);
}

/* Pollers are all woken, by every kick, and are no sleepers. */
static void *poll_in_a_thread(void *arg)
{
	struct sleeper *s = arg;

	ringq_store_release(&s->tid, gettid());
	s->events = port_poll(&s->port, -1);
	ringq_store_release(&s->over, true);
	return NULL;
}

TEST_F(crowd, pollers)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		struct sleeper *s = &self->s[i];

		ASSERT_EQ(0, pthread_create(&s->thread, NULL, poll_in_a_thread, s));
		ASSERT_TRUE(soon(sleeps_in(ringq_load_acquire(&s->tid), SYS_poll)));
	}
	EXPECT_EQ(1, attention(&self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_kick(&self->producer, 0));
	for (i = 0; i < CROWD; i++) {
		ASSERT_TRUE(soon(is_over(&self->s[i])));
		EXPECT_EQ(POLLIN | POLLRDNORM, self->s[i].events);
	}
	EXPECT_EQ(0, attention(&self->producer));
}

/* A kick for one is not spent on a poller, who may be busy with something else. */
TEST_F(crowd, pollers_and_sleepers)
{
	struct epoll_event e = { .events = EPOLLIN }, got;
	int epoll = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->s[0].port.fd, &e));
	ASSERT_EQ(0, epoll_wait(epoll, &got, 1, 0));
	ASSERT_TRUE(sleeper_start(&self->s[1]));
	ASSERT_TRUE(sleeper_start(&self->s[2]));
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_WOKEN(1, 1);
	EXPECT_ASLEEP(2);
	/* It looks, and sees that somebody was faster. */
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	EXPECT_ASLEEP(2);
}

/* Those that epoll calls exclusive are so among the pollers of one file; these are of several. */
static void *epoll_in_a_thread(void *arg)
{
	struct sleeper *s = arg;
	struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int epoll = epoll_create1(0);

	s->err = epoll_ctl(epoll, EPOLL_CTL_ADD, s->port.fd, &e);
	ringq_store_release(&s->tid, gettid());
	s->events = epoll_wait(epoll, &e, 1, -1);
	ringq_store_release(&s->over, true);
	return NULL;
}

TEST_F(crowd, exclusive_pollers)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		struct sleeper *s = &self->s[i];

		ASSERT_EQ(0, pthread_create(&s->thread, NULL, epoll_in_a_thread, s));
		ASSERT_TRUE(soon(sleeps_in(ringq_load_acquire(&s->tid), SYS_epoll_wait)));
	}
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	for (i = 0; i < CROWD; i++) {
		EXPECT_TRUE(soon(is_over(&self->s[i])))
			TH_LOG("poller %d", i);
		EXPECT_EQ(0, self->s[i].err);
		EXPECT_EQ(1, self->s[i].events);
	}
}

/* Producers of LANES: each waits for its own lane. */
TEST_F(crowd, lanes)
{
	struct ringq_geometry g = geometry_many(RINGQ_LANES, 8, 1);
	struct ringq_lane *lanes;
	struct port consumer;
	struct ring r;
	int i;

	ASSERT_EQ(0, ring_create(&r, &g, ""));
	ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
	lanes = (void *)((unsigned char *)consumer.side + r.layout.lanes -
			 r.layout.sides[RINGQ_CONSUMER]);
	for (i = 0; i < CROWD; i++) {
		struct port *p = &self->s[i].port;

		port_leave(p);
		ASSERT_EQ(0, port_join(p, &r, RINGQ_PRODUCER));
		EXPECT_EQ(0, port_wait(p, g.capacity, 0, 0, NULL));
		p->page->progress.done = g.capacity;
		EXPECT_EQ(-ETIMEDOUT, port_wait(p, 1, 0, 0, NULL));
	}
	START_ALL();
	for (i = CROWD - 1; i >= 0; i--) {
		EXPECT_EQ(1, attention(&consumer));
		lanes[i].progress.done++;
		EXPECT_EQ(1, port_kick(&consumer, 1));
		ASSERT_TRUE(soon(is_over(&self->s[i])))
			TH_LOG("lane %d", i);
		EXPECT_EQ(0, self->s[i].err);
		ASSERT_TRUE(i == 0 || soon(attention(&consumer) == 1));
	}
	EXPECT_EQ(0, attention(&consumer));
}

TEST_HARNESS_MAIN
