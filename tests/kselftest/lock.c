// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attach lock: one port has it, others wait or do not, signals end a wait, and it outlives
 * nobody. Also when it is taken together with a place.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(lock) {
	struct ring ring;
	struct port ports[3];
};

FIXTURE_SETUP(lock)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, 8, 16);
	int i;

	g.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	g.producers = 8;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	/* The lock is one for both roles. */
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, port_join(&self->ports[i], &self->ring, i / 2));
}

FIXTURE_TEARDOWN_PARENT(lock)
{
	EXPECT_NOTHING_LEFT();
}

static int lock(const struct port *p)
{
	return call(p->fd, RINGQ_IOC_LOCK, NULL);
}

static int trylock(const struct port *p)
{
	return call(p->fd, RINGQ_IOC_TRYLOCK, NULL);
}

static int unlock(const struct port *p)
{
	return call(p->fd, RINGQ_IOC_UNLOCK, NULL);
}

/* A thread that waits for the lock: at a port, or in an attach. */
struct waiter {
	pthread_t thread;
	pid_t tid;
	struct port *port;
	const struct ring *ring;
	__u32 role;
	int err;
};

static void *wait_in_a_thread(void *arg)
{
	struct waiter *w = arg;

	ringq_store_release(&w->tid, gettid());
	if (w->ring)
		w->err = port_attach_with(w->port, w->ring, w->role, RINGQ_ATTACH_LOCK, 0);
	else
		w->err = lock(w->port);
	return NULL;
}

/* Returns when it sleeps. */
static bool waiter_start(struct waiter *w)
{
	pthread_create(&w->thread, NULL, wait_in_a_thread, w);
	return soon(sleeps_in(ringq_load_acquire(&w->tid), SYS_ioctl));
}

static int waiter_end(struct waiter *w)
{
	pthread_join(w->thread, NULL);
	return w->err;
}

TEST_F(lock, one_has_it)
{
	struct port *a = &self->ports[0], *b = &self->ports[1], *c = &self->ports[2];

	EXPECT_EQ(-ENOLCK, unlock(a));
	EXPECT_EQ(0, lock(a));
	EXPECT_EQ(-EDEADLK, lock(a));
	EXPECT_EQ(-EDEADLK, trylock(a));
	EXPECT_EQ(-EAGAIN, trylock(b));
	EXPECT_EQ(-EAGAIN, trylock(c));
	EXPECT_EQ(-ENOLCK, unlock(b));
	EXPECT_EQ(-EAGAIN, trylock(b));
	EXPECT_EQ(0, unlock(a));
	EXPECT_EQ(-ENOLCK, unlock(a));
	EXPECT_EQ(0, trylock(c));
	EXPECT_EQ(-EAGAIN, trylock(a));
	EXPECT_EQ(0, unlock(c));
	EXPECT_EQ(0, lock(b));
}

TEST_F(lock, one_a_ring)
{
	struct ring other;
	struct port p;

	ASSERT_EQ(0, ring_create(&other, &self->ring.geometry, ""));
	ASSERT_EQ(0, port_join(&p, &other, RINGQ_PRODUCER));
	EXPECT_EQ(0, lock(&self->ports[0]));
	EXPECT_EQ(0, trylock(&p));
}

TEST_F(lock, waits_for_it)
{
	struct waiter w = { .port = &self->ports[2] };

	EXPECT_EQ(0, lock(&self->ports[0]));
	ASSERT_TRUE(waiter_start(&w));
	EXPECT_EQ(-EAGAIN, trylock(&self->ports[1]));
	EXPECT_EQ(0, unlock(&self->ports[0]));
	EXPECT_EQ(0, waiter_end(&w));
	EXPECT_EQ(-EAGAIN, trylock(&self->ports[0]));
	EXPECT_EQ(0, unlock(&self->ports[2]));
}

/* Every way in which who has it may go, while another waits. */
enum way { LEAVES, UNMAPS, IS_KILLED, EXECUTES, CLOSES, WAYS };

TEST_F(lock, freed_by_who_goes)
{
	struct peer child;
	struct port p;
	int way;

	for (way = 0; way < WAYS; way++) {
		struct waiter w = { .port = &self->ports[0] };

		if (!peer_fork(&child)) {
			ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_PRODUCER));
			if (way != CLOSES)
				ASSERT_EQ(0, port_map(&p));
			ASSERT_EQ(0, lock(&p));
			peer_say(&child, 1);
			peer_hear(&child);
			if (way == LEAVES)
				call(p.fd, RINGQ_IOC_DETACH, NULL);
			else if (way == UNMAPS)
				port_unmap(&p);
			else if (way == IS_KILLED)
				kill(getpid(), SIGKILL);
			else if (way == EXECUTES)
				execl("/bin/sleep", "sleep", "1000", NULL);
			else
				close(p.fd);
			pause();
		}
		ASSERT_EQ(1, peer_hear(&child));
		EXPECT_EQ(-EAGAIN, trylock(&self->ports[1]));
		ASSERT_TRUE(waiter_start(&w));
		peer_say(&child, 1);
		EXPECT_EQ(0, waiter_end(&w))
			TH_LOG("way %d", way);
		EXPECT_EQ(0, unlock(&self->ports[0]));
		peer_kill(&child);
	}
}

/* The end of another port is nothing to who has it. */
TEST_F(lock, kept_while_others_go)
{
	EXPECT_EQ(0, lock(&self->ports[0]));
	port_unmap(&self->ports[1]);
	EXPECT_EQ(0, port_leave(&self->ports[2]));
	EXPECT_EQ(-EDEADLK, trylock(&self->ports[0]));
	EXPECT_EQ(0, unlock(&self->ports[0]));
}

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

TEST_F(lock, signal_ends_a_wait)
{
	struct waiter w = { .port = &self->ports[1] };
	struct port p;
	int attaching;

	handle(0);
	for (attaching = 0; attaching < 2; attaching++) {
		if (attaching)
			w = (struct waiter){ .port = &p, .ring = &self->ring };
		EXPECT_EQ(0, lock(&self->ports[0]));
		ASSERT_TRUE(waiter_start(&w));
		pthread_kill(w.thread, SIGUSR1);
		EXPECT_EQ(-EINTR, waiter_end(&w));
		EXPECT_EQ(attaching + 1, handled);
		EXPECT_EQ(0, unlock(&self->ports[0]));
		EXPECT_EQ(0, trylock(&self->ports[2]));
		EXPECT_EQ(0, unlock(&self->ports[2]));
	}
	/* The attach has left nothing behind. */
	EXPECT_EQ(3, attention_of(&self->ports[0])->live[RINGQ_PRODUCER][0]);
}

TEST_F(lock, signal_restarts_a_wait)
{
	struct waiter w = { .port = &self->ports[1] };
	int i;

	handle(SA_RESTART);
	EXPECT_EQ(0, lock(&self->ports[0]));
	ASSERT_TRUE(waiter_start(&w));
	for (i = 1; i < 10; i++) {
		pthread_kill(w.thread, SIGUSR1);
		ASSERT_TRUE(soon(handled == i));
		ASSERT_TRUE(soon(sleeps_in(w.tid, SYS_ioctl)));
	}
	EXPECT_EQ(0, unlock(&self->ports[0]));
	EXPECT_EQ(0, waiter_end(&w));
	EXPECT_EQ(-EAGAIN, trylock(&self->ports[0]));
}

TEST_F(lock, killed_while_it_waits)
{
	struct peer child;
	struct port p;

	EXPECT_EQ(0, lock(&self->ports[0]));
	if (!peer_fork(&child)) {
		ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_PRODUCER));
		lock(&p);
		_exit(1);
	}
	ASSERT_TRUE(soon(sleeps_in(child.pid, SYS_ioctl)));
	EXPECT_EQ(-SIGKILL, peer_kill(&child));
	EXPECT_EQ(-EDEADLK, trylock(&self->ports[0]));
	EXPECT_EQ(0, unlock(&self->ports[0]));
	EXPECT_EQ(0, lock(&self->ports[1]));
}

TEST_F(lock, port_ends_under_its_waiter)
{
	struct waiter left = { .port = &self->ports[1] }, dead = { .port = &self->ports[2] };

	EXPECT_EQ(0, lock(&self->ports[0]));
	ASSERT_TRUE(waiter_start(&left));
	ASSERT_TRUE(waiter_start(&dead));
	EXPECT_EQ(0, call(self->ports[1].fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(-ESTALE, waiter_end(&left));
	port_unmap(&self->ports[2]);
	EXPECT_EQ(-ESTALE, waiter_end(&dead));
	EXPECT_EQ(-EDEADLK, lock(&self->ports[0]));
}

TEST_F(lock, with_a_place)
{
	struct port p, q;
	struct waiter w = { .port = &q, .ring = &self->ring };
	const struct ringq_attention *a = attention_of(&self->ports[0]);
	__u64 epoch;

	ASSERT_EQ(0, port_attach_with(&p, &self->ring, RINGQ_PRODUCER, RINGQ_ATTACH_LOCK, 0));
	EXPECT_EQ(2, p.index);
	EXPECT_EQ(-EDEADLK, trylock(&p));
	EXPECT_EQ(-EAGAIN, trylock(&self->ports[0]));

	/* The next one is not there before the lock is free. */
	epoch = a->epoch;
	ASSERT_TRUE(waiter_start(&w));
	EXPECT_EQ(7, a->live[RINGQ_PRODUCER][0]);
	EXPECT_EQ(epoch, a->epoch);
	EXPECT_EQ(0, unlock(&p));
	EXPECT_EQ(0, waiter_end(&w));
	EXPECT_EQ(3, q.index);
	EXPECT_EQ(15, a->live[RINGQ_PRODUCER][0]);
	EXPECT_EQ(-EAGAIN, trylock(&p));
	/* Who does not ask for the lock need not wait for it. */
	ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_PRODUCER));
	EXPECT_EQ(4, p.index);
}

/* A certain place, with the lock. */
TEST_F(lock, with_the_place_that_is_wanted)
{
	struct port p;

	ASSERT_EQ(0, port_attach_with(&p, &self->ring, RINGQ_PRODUCER,
				      RINGQ_ATTACH_LOCK | RINGQ_ATTACH_PLACE, 5));
	EXPECT_EQ(5, p.index);
	EXPECT_EQ(-EDEADLK, trylock(&p));
}

/* What an attach that fails does not take is there for others, also for who waits behind it. */
TEST_F(lock, with_no_place)
{
	struct port consumers[4], p;
	struct waiter full = { .port = &p, .ring = &self->ring, .role = RINGQ_CONSUMER };
	struct waiter next = { .port = &self->ports[0] };
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, port_attach(&consumers[i], &self->ring, RINGQ_CONSUMER));
	EXPECT_EQ(-EBUSY, port_attach_with(&p, &self->ring, RINGQ_CONSUMER, RINGQ_ATTACH_LOCK, 0));
	EXPECT_EQ(0, trylock(&self->ports[1]));
	ASSERT_TRUE(waiter_start(&full));
	ASSERT_TRUE(waiter_start(&next));
	EXPECT_EQ(0, unlock(&self->ports[1]));
	EXPECT_EQ(-EBUSY, waiter_end(&full));
	EXPECT_EQ(0, waiter_end(&next));
}

/* It keeps others out: a count that they share comes out right. */
#define WORKERS	4
#define TURNS	500

struct worker {
	pthread_t thread;
	struct port port;
	unsigned long *count;
	int err;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	int i;

	for (i = 0; i < TURNS && !w->err; i++) {
		unsigned long seen;

		while (i % 2 && (w->err = trylock(&w->port)) == -EAGAIN)
			snooze();
		if (!(i % 2))
			w->err = lock(&w->port);
		seen = ringq_load_relaxed(w->count);
		if (i % 16 == 0)
			snooze();
		ringq_store_relaxed(w->count, seen + 1);
		w->err = w->err ?: unlock(&w->port);
	}
	return NULL;
}

TEST_F_TIMEOUT(lock, keeps_others_out, 300)
{
	struct worker workers[WORKERS];
	unsigned long count = 0;
	int i;

	for (i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .count = &count };
		ASSERT_EQ(0, port_join(&workers[i].port, &self->ring, RINGQ_PRODUCER));
	}
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	for (i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		EXPECT_EQ(0, workers[i].err);
	}
	EXPECT_EQ(WORKERS * TURNS, count);
}

/* Killed at every stage of taking it, waiting for it, having it and letting go of it. */
TEST_F_TIMEOUT(lock, kills, 300)
{
	struct peer children[3];
	struct port p;
	int i, n;

	srandom(1);
	for (n = 0; n < 60; n++) {
		for (i = 0; i < 3; i++) {
			if (peer_fork(&children[i]))
				continue;
			if (port_attach_with(&p, &self->ring, RINGQ_PRODUCER,
					     n % 2 ? RINGQ_ATTACH_LOCK : 0, 0) || port_map(&p))
				_exit(1);
			unlock(&p);
			peer_say(&children[i], 1);
			for (;;) {
				if (lock(&p) || unlock(&p))
					_exit(1);
			}
		}
		for (i = 0; i < 3; i++)
			ASSERT_EQ(1, peer_hear(&children[i]));
		for (i = 0; i < 3; i++) {
			usleep(random() % 1000);
			EXPECT_EQ(-SIGKILL, peer_kill(&children[i]));
		}
		ASSERT_EQ(0, trylock(&self->ports[0]));
		ASSERT_EQ(0, unlock(&self->ports[0]));
	}
}

TEST_HARNESS_MAIN
