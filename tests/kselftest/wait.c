// SPDX-License-Identifier: GPL-2.0-only
/*
 * RINGQ_IOC_WAIT, RINGQ_IOC_KICK and RINGQ_IOC_CLOSE, and the attention words between them.
 *
 * Both ports belong to the test process; where one of them sleeps, it does so in a thread, and the
 * other one acts once the attention word says that it is armed.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(wait) {
	struct ring ring;
	struct port producer;
	struct port consumer;
	__u64 idle;		/* the attention words while nobody is armed */
};

FIXTURE_VARIANT(wait) {
	__u32 elem_size;
	__u64 slots;
	__u64 first;
	__u32 flags;
};

FIXTURE_VARIANT_ADD(wait, line) {
	.elem_size = 8, .slots = 16,
};

FIXTURE_VARIANT_ADD(wait, apart) {
	.elem_size = 200, .slots = 64,
};

FIXTURE_VARIANT_ADD(wait, last_positions) {
	.elem_size = 24, .slots = 32, .first = RINGQ_FIRST_MAX - 1,
};

FIXTURE_VARIANT_ADD(wait, fenced) {
	.elem_size = 56, .slots = 64, .flags = RINGQ_FENCE,
};

FIXTURE_SETUP(wait)
{
	struct ringq_geometry g = geometry_of(variant->elem_size, variant->slots);

	g.first = variant->first;
	g.flags = variant->flags;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->consumer, &self->ring, RINGQ_CONSUMER));
	self->idle = self->ring.geometry.flags & RINGQ_FENCE ? RINGQ_FENCED : 0;
}

FIXTURE_TEARDOWN_PARENT(wait)
{
	EXPECT_NOTHING_LEFT();
}

/* A thread that sleeps at a port. */
struct sleeper {
	pthread_t thread;
	struct port *port;
	__u64 need;
	__s64 timeout;
	__u32 flags;
	int err;
	__u32 events;
};

static void *sleep_in_a_thread(void *arg)
{
	struct sleeper *s = arg;

	s->err = port_wait(s->port, s->need, s->timeout, s->flags, &s->events);
	return NULL;
}

/* Returns when the sleeper is armed, or 0 if it does not come to that. */
static bool sleeper_start(struct sleeper *s, const struct port *other)
{
	pthread_create(&s->thread, NULL, sleep_in_a_thread, s);
	return soon(attention(other) & RINGQ_ARMED);
}

static void sleeper_end(struct sleeper *s)
{
	pthread_join(s->thread, NULL);
}

TEST_F(wait, looks)
{
	__u64 capacity = self->ring.geometry.capacity;
	__u32 events;

	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, 0, 0, &events));
	EXPECT_EQ(0, port_wait(&self->producer, capacity, 0, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_READY, events);
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_wait(&self->consumer, 1, 0, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_READY, events);
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->producer, capacity, 0, 0, &events));
	EXPECT_EQ(0, port_wait(&self->producer, capacity - 1, 0, 0, &events));
	/* To look is not to arm. */
	EXPECT_EQ(self->idle, attention(&self->producer));
	EXPECT_EQ(self->idle, attention(&self->consumer));
}

/* Ready is exact, for every number, at every fill, over several laps. */
TEST_F(wait, need)
{
	__u64 capacity = self->ring.geometry.capacity, fill, need;
	int lap;

	for (lap = 0; lap < 3; lap++) {
		for (fill = 0; fill <= capacity; fill++) {
			for (need = 1; need <= capacity; need += 1 + need / 8) {
				ASSERT_EQ(need <= fill ? 0 : -ETIMEDOUT,
					  port_wait(&self->consumer, need, 0, 0, NULL))
					TH_LOG("%llu of %llu published", need, fill);
				ASSERT_EQ(need <= capacity - fill ? 0 : -ETIMEDOUT,
					  port_wait(&self->producer, need, 0, 0, NULL))
					TH_LOG("%llu of %llu free", need, capacity - fill);
			}
			if (fill < capacity)
				publish(&self->producer, 1);
		}
		ASSERT_EQ((int)capacity, consume(&self->consumer, capacity));
		/* Another offset in the lap, and in the line. */
		publish(&self->producer, 5);
		ASSERT_EQ(5, consume(&self->consumer, 5));
	}
}

TEST_F(wait, impossible_need)
{
	__u64 capacity = self->ring.geometry.capacity;
	struct port *ports[] = { &self->producer, &self->consumer };
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-EINVAL, port_wait(ports[i], 0, 0, 0, NULL));
		EXPECT_EQ(-EINVAL, port_wait(ports[i], capacity + 1, 0, 0, NULL));
		EXPECT_EQ(-EINVAL, port_wait(ports[i], 1ull << 63, 0, 0, NULL));
		EXPECT_EQ(-EINVAL, port_wait(ports[i], ~0ull, 0, 0, NULL));
	}
}

/* What was shown in place and not freed does not make a consumer ready. */
TEST_F(wait, peeked_is_not_ready)
{
	publish(&self->producer, 3);
	self->consumer.page->progress.hand = self->consumer.pos + 3;
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, 0, 0, NULL));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_wait(&self->consumer, 1, 0, 0, NULL));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 2, 0, 0, NULL));
	/* It is freed only when done says so. */
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->producer, self->ring.geometry.capacity - 3, 0, 0,
					NULL));
	/* What was shown and given back is there again, however far taken is. */
	self->consumer.page->progress.taken = self->consumer.pos + 3;
	self->consumer.page->progress.hand = self->consumer.pos;
	EXPECT_EQ(0, port_wait(&self->consumer, 4, 0, 0, NULL));
	/* What lies behind done is in nobody's hand any more. */
	EXPECT_EQ(4, consume(&self->consumer, 4));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, 0, 0, NULL));
	publish(&self->producer, 1);
	EXPECT_EQ(0, port_wait(&self->consumer, 1, 0, 0, NULL));
}

TEST_F(wait, times_out)
{
	__u32 events = ~0u;

	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, 1, 0, &events));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, 20 * MSEC, 0, &events));
	/* Nobody is armed any more. */
	EXPECT_EQ(self->idle, attention(&self->producer));
}

TEST_F(wait, kick_wakes)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	EXPECT_EQ(self->idle | 1, attention(&self->producer));
	EXPECT_EQ(self->idle, attention(&self->consumer));
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	/* Whom a kick has woken is not armed, whether he runs already or not. */
	EXPECT_EQ(self->idle, attention(&self->producer));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_READY, s.events);
	EXPECT_EQ(0, port_kick(&self->producer, 1));
}

TEST_F(wait, kick_wakes_a_producer)
{
	struct sleeper s = { .port = &self->producer, .need = 5, .timeout = FOREVER };

	publish(&self->producer, self->ring.geometry.capacity);
	ASSERT_TRUE(sleeper_start(&s, &self->consumer));
	EXPECT_EQ(self->idle, attention(&self->producer));
	EXPECT_EQ(5, consume(&self->consumer, 5));
	EXPECT_EQ(1, port_kick(&self->consumer, 5));
	EXPECT_EQ(self->idle, attention(&self->consumer));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_READY, s.events);
}

/* A kick that brings too little is no end of the sleep, and the next one finds it armed again. */
TEST_F(wait, kicks_that_bring_too_little)
{
	struct sleeper s = { .port = &self->consumer, .need = 10, .timeout = FOREVER };
	int i;

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	for (i = 0; i < 9; i++) {
		publish(&self->producer, 1);
		EXPECT_EQ(1, port_kick(&self->producer, 1));
		ASSERT_TRUE(soon(attention(&self->producer) & RINGQ_ARMED));
	}
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(10, consume(&self->consumer, 20));
}

TEST_F(wait, kick_of_nobody)
{
	EXPECT_EQ(0, port_kick(&self->producer, 1));
	EXPECT_EQ(0, port_kick(&self->producer, 0));
	EXPECT_EQ(0, port_kick(&self->producer, ~0u));
	EXPECT_EQ(0, port_kick(&self->consumer, 1));
	/* It is not remembered either. */
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->consumer, 1, MSEC, 0, NULL));
	EXPECT_EQ(0, port_leave(&self->consumer));
	EXPECT_EQ(0, port_kick(&self->producer, 1));
}

TEST_F(wait, second_sleeper)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	EXPECT_EQ(-EBUSY, port_wait(&self->consumer, 1, FOREVER, 0, NULL));
	EXPECT_EQ(-EBUSY, port_wait(&self->consumer, 1, MSEC, 0, NULL));
	/* The refusal has not disarmed the first one. */
	EXPECT_EQ(self->idle | 1, attention(&self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(0, port_wait(&self->consumer, 1, FOREVER, 0, NULL));
}

/* Both sides asleep is a misunderstanding between them, which the module takes as it is. */
TEST_F(wait, both_sides_asleep)
{
	struct sleeper c = { .port = &self->consumer, .need = 2, .timeout = FOREVER };
	struct sleeper p = { .port = &self->producer, .need = self->ring.geometry.capacity,
			     .timeout = 50 * MSEC };

	publish(&self->producer, 1);
	ASSERT_TRUE(sleeper_start(&c, &self->producer));
	pthread_create(&p.thread, NULL, sleep_in_a_thread, &p);
	sleeper_end(&p);
	EXPECT_EQ(-ETIMEDOUT, p.err);
	EXPECT_EQ(self->idle, attention(&self->consumer));
	EXPECT_EQ(self->idle | 1, attention(&self->producer));
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_notify(&self->producer, 1));
	sleeper_end(&c);
	EXPECT_EQ(0, c.err);
}

/* Signals. The handler counts, so that a call that was restarted can be told from one never hit. */
static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	handled = 0;
	sigaction(SIGUSR1, &action, NULL);
}

TEST_F(wait, signal_ends_it)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };

	handle(0);
	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	pthread_kill(s.thread, SIGUSR1);
	sleeper_end(&s);
	EXPECT_EQ(-EINTR, s.err);
	EXPECT_EQ(1, handled);
	EXPECT_EQ(self->idle, attention(&self->producer));
}

TEST_F(wait, signal_restarts_it)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };
	int i;

	handle(SA_RESTART);
	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	for (i = 1; i < 10; i++) {
		pthread_kill(s.thread, SIGUSR1);
		ASSERT_TRUE(soon(handled == i));
		ASSERT_TRUE(soon(attention(&self->producer) & RINGQ_ARMED));
	}
	publish(&self->producer, 1);
	EXPECT_LE(0, port_kick(&self->producer, 1));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_READY, s.events);
}

/* With a time-out it is never restarted: it would begin anew. */
TEST_F(wait, signal_ends_it_with_a_time_out)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = 1000000 * MSEC };

	handle(SA_RESTART);
	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	pthread_kill(s.thread, SIGUSR1);
	sleeper_end(&s);
	EXPECT_EQ(-EINTR, s.err);
	EXPECT_EQ(1, handled);
	EXPECT_EQ(self->idle, attention(&self->producer));
}

/* Times-out so large that they would overflow are as good as none. */
TEST_F(wait, longest_time_outs)
{
	__s64 timeouts[] = { 0x7fffffffffffffffll, 0x7ffffffffffffffell, 1ll << 62, -2,
			     -0x7fffffffffffffffll - 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(timeouts); i++) {
		struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = timeouts[i] };

		ASSERT_TRUE(sleeper_start(&s, &self->producer));
		publish(&self->producer, 1);
		EXPECT_EQ(1, port_kick(&self->producer, 1));
		sleeper_end(&s);
		EXPECT_EQ(0, s.err);
		EXPECT_EQ(1, consume(&self->consumer, 1));
	}
}

TEST_F(wait, port_ends_under_its_sleeper)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };
	struct sleeper t = { .port = &self->producer, .need = 1, .timeout = FOREVER };

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_DETACH, NULL));
	sleeper_end(&s);
	EXPECT_EQ(-ESTALE, s.err);

	/* The producer's would-be sleep is over before it begins. */
	publish(&self->producer, self->ring.geometry.capacity);
	EXPECT_EQ(0, port_wait(&self->producer, 1, FOREVER, 0, &t.events));
	EXPECT_EQ(RINGQ_EVENT_GONE, t.events);
	EXPECT_EQ(self->idle | RINGQ_GONE, attention(&self->producer));
}

TEST_F(wait, mapping_goes_under_its_sleeper)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	port_unmap(&self->consumer);
	sleeper_end(&s);
	EXPECT_EQ(-ESTALE, s.err);
	EXPECT_EQ(self->idle | RINGQ_DEAD, attention(&self->producer));
}

/* The descriptor's number may go while the call runs; the port does not, it is mapped. */
TEST_F(wait, file_is_closed_under_its_sleeper)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	close(self->consumer.fd);
	publish(&self->producer, 1);
	EXPECT_EQ(1, port_kick(&self->producer, 1));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(1, consume(&self->consumer, 1));
}

TEST_F(wait, close_wakes)
{
	struct sleeper s = { .port = &self->consumer, .need = 1, .timeout = FOREVER };

	ASSERT_TRUE(sleeper_start(&s, &self->producer));
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_CLOSED, s.events);
	EXPECT_EQ(self->idle | RINGQ_CLOSED, attention(&self->producer));
	EXPECT_EQ(self->idle | RINGQ_CLOSED, attention(&self->consumer));
}

/* Either side may say it, and say it again; what is there can still be taken. */
TEST_F(wait, close_by_the_consumer)
{
	struct sleeper s = { .port = &self->producer, .need = 1, .timeout = FOREVER };
	__u64 capacity = self->ring.geometry.capacity;
	struct port p;
	__u32 events;

	publish(&self->producer, capacity);
	ASSERT_TRUE(sleeper_start(&s, &self->consumer));
	EXPECT_EQ(0, call(self->consumer.fd, RINGQ_IOC_CLOSE, NULL));
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_CLOSED, s.events);
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(0, port_wait(&self->consumer, capacity, FOREVER, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_READY | RINGQ_EVENT_CLOSED, events);
	EXPECT_EQ((int)capacity, consume(&self->consumer, capacity));
	EXPECT_EQ(0, port_leave(&self->producer));
	EXPECT_EQ(-EPIPE, port_attach(&p, &self->ring, RINGQ_PRODUCER));
}

TEST_F(wait, drain)
{
	__u64 capacity = self->ring.geometry.capacity;
	struct sleeper s = { .port = &self->producer, .need = capacity, .timeout = FOREVER,
			     .flags = RINGQ_WAIT_DRAIN };
	__u64 left = 10;
	__u32 events;

	publish(&self->producer, left);
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	EXPECT_EQ(0, port_wait(&self->producer, capacity, FOREVER, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_CLOSED, events);
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->producer, capacity, MSEC, RINGQ_WAIT_DRAIN, NULL));

	ASSERT_TRUE(sleeper_start(&s, &self->consumer));
	for (; left; left--) {
		ASSERT_TRUE(soon(attention(&self->consumer) & RINGQ_ARMED));
		EXPECT_EQ(1, consume(&self->consumer, 1));
		EXPECT_EQ(1, port_notify(&self->consumer, 1));
	}
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_READY | RINGQ_EVENT_CLOSED, s.events);
}

TEST_F(wait, drain_ends_with_the_consumer)
{
	__u64 capacity = self->ring.geometry.capacity;
	struct sleeper s = { .port = &self->producer, .need = capacity, .timeout = FOREVER,
			     .flags = RINGQ_WAIT_DRAIN };

	publish(&self->producer, 10);
	EXPECT_EQ(0, call(self->producer.fd, RINGQ_IOC_CLOSE, NULL));
	ASSERT_TRUE(sleeper_start(&s, &self->consumer));
	port_unmap(&self->consumer);
	sleeper_end(&s);
	EXPECT_EQ(0, s.err);
	EXPECT_EQ(RINGQ_EVENT_DEAD | RINGQ_EVENT_CLOSED, s.events);
}

TEST_HARNESS_MAIN
