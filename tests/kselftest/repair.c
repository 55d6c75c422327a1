// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module does about the claims of the dead, in rings whose ports claim positions: what it
 * makes of each position, when the place is free, whom it waits for, and whom it tells.
 *
 * A victim is a process that says in its page what it has taken, and is killed. The test process
 * has a port of each role, which lives.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "common.h"

#include <ringq/claim.h>

#define CAPACITY 8

/* Not in the fixture, which a test shares with its children. */
static struct peer victim;

FIXTURE(repair) {
	struct ring ring;
	struct port out, in;
};

FIXTURE_VARIANT(repair) {
	__u32 elem_size;
	__u64 first;
};

FIXTURE_VARIANT_ADD(repair, slots) {
	.elem_size = 8, .first = 0,
};

FIXTURE_VARIANT_ADD(repair, apart) {
	.elem_size = 200, .first = RINGQ_FIRST_MAX - 3,
};

FIXTURE_SETUP(repair)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, variant->elem_size, CAPACITY);

	g.first = variant->first;
	g.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->out, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
}

FIXTURE_TEARDOWN_PARENT(repair)
{
	EXPECT_NOTHING_LEFT();
}

/* Positions count from the ring's first one here. */
static __u64 at(const struct port *p, __u64 i)
{
	return p->geometry.first + i;
}

static void claim(struct port *p, __u32 state, __u64 n, __u64 i)
{
	ringq_store_release(&p->page->claim, RINGQ_CLAIM(state, n, at(p, i)));
}

static void put(struct port *p, __u64 i, __u64 stamp)
{
	ringq_store_release(stamp_of(p, at(p, i)), stamp);
}

static __u64 got(const struct port *p, __u64 i)
{
	return ringq_load_acquire(stamp_of(p, at(p, i)));
}

static __u64 stamp(const struct port *p, __u64 i, __u64 state)
{
	return RINGQ_STAMP(at(p, i), state);
}

static bool lives(const struct port *p, __u32 role, __u32 index)
{
	return ringq_load_acquire(&attention_of(p)->live[role][0]) >> index & 1;
}

/* The index of the side of a port of ours. */
static void index_set(struct port *p, __u64 i)
{
	ringq_store_release(&p->side->index, at(p, i));
}

/* A process with a port. Returns 1 when it is there; in the process itself, 0. */
static int victim_start(FIXTURE_DATA(repair) *self, struct port *p, __u32 role)
{
	if (peer_fork(&victim))
		return peer_hear(&victim);
	close(self->out.fd);
	close(self->in.fd);
	if (port_join(p, &self->ring, role))
		_exit(100);
	peer_say(&victim, 1);
	return 0;
}

/* What a victim says at last. */
static void ready_to_die(void)
{
	peer_say(&victim, 2);
	for (;;)
		pause();
}

static int victim_kill(void)
{
	return peer_hear(&victim) == 2 ? peer_kill(&victim) : -EPROTO;
}

/* Another takes a place, sees no claim of its predecessor, and leaves; or the error. */
static int succeed(FIXTURE_DATA(repair) *self, __u32 role, __u32 place, __u32 generation)
{
	struct port p;
	int err = port_attach_with(&p, &self->ring, role, RINGQ_ATTACH_PLACE, place);

	if (err)
		return err;
	err = port_map(&p);
	if (!err && (p.generation != generation || p.page->claim))
		err = -EPROTO;
	port_leave(&p);
	return err;
}

TEST_F(repair, producer_with_a_part_published)
{
	struct port p;

	index_set(&self->out, 3);
	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		claim(&p, RINGQ_OWN, 3, 0);
		put(&p, 0, stamp(&p, 0, RINGQ_FULL));
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 1, 2));
	EXPECT_EQ(stamp(&self->out, 0, RINGQ_FULL), got(&self->out, 0));
	EXPECT_EQ(stamp(&self->out, 1, RINGQ_TOMB), got(&self->out, 1));
	EXPECT_EQ(stamp(&self->out, 2, RINGQ_TOMB), got(&self->out, 2));
	EXPECT_EQ(stamp(&self->out, 3, RINGQ_FREE), got(&self->out, 3));
	EXPECT_EQ(0, self->in.side->orphans);
}

/* A lap later, where consumers free by their position, and by stamps. */
TEST_F(repair, producer_in_another_lap)
{
	struct port p;

	index_set(&self->out, CAPACITY + 2);
	put(&self->out, 0, stamp(&self->out, 0, RINGQ_FULL));
	put(&self->out, 1, stamp(&self->out, CAPACITY + 1, RINGQ_FREE));
	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		p.page->progress.done = at(&p, 1);
		claim(&p, RINGQ_OWN, 2, CAPACITY);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 1, 2));
	EXPECT_EQ(stamp(&self->out, CAPACITY, RINGQ_TOMB), got(&self->out, 0));
	EXPECT_EQ(stamp(&self->out, CAPACITY + 1, RINGQ_TOMB), got(&self->out, 1));
}

/* Alone it does not move the index, which must not stay behind. */
TEST_F(repair, producer_that_was_alone)
{
	struct port p;

	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		claim(&p, RINGQ_OWN, 4, 0);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 1, 2));
	EXPECT_EQ(at(&self->out, 4), self->out.side->index);
	EXPECT_EQ(stamp(&self->out, 3, RINGQ_TOMB), got(&self->out, 3));
}

/* It may have taken it, or not: who lives and says that he has is believed. */
TEST_F(repair, producer_that_was_beaten)
{
	struct port p;

	index_set(&self->out, 2);
	claim(&self->out, RINGQ_OWN, 2, 0);
	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		claim(&p, RINGQ_TRY, 3, 0);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 1, 2));
	EXPECT_EQ(at(&self->out, 2), self->out.side->index);
	EXPECT_EQ(stamp(&self->out, 0, RINGQ_FREE), got(&self->out, 0));
	EXPECT_EQ(stamp(&self->out, 2, RINGQ_FREE), got(&self->out, 2));
}

TEST_F(repair, consumer_that_frees_by_stamps)
{
	struct port p;
	__u64 orphan;

	publish(&self->out, 4);
	put(&self->out, 2, stamp(&self->out, 2, RINGQ_TOMB));
	index_set(&self->in, 3);
	if (!victim_start(self, &p, RINGQ_CONSUMER)) {
		claim(&p, RINGQ_OWN, 3, 0);
		put(&p, 0, stamp(&p, CAPACITY, RINGQ_FREE));
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_CONSUMER, 1, 2));
	orphan = ringq_special(RINGQ_ORPHAN, 1, 1, at(&self->in, 1));
	EXPECT_EQ(stamp(&self->in, CAPACITY, RINGQ_FREE), got(&self->in, 0));
	EXPECT_EQ(orphan, got(&self->in, 1));
	EXPECT_EQ(stamp(&self->in, CAPACITY + 2, RINGQ_FREE), got(&self->in, 2));
	EXPECT_EQ(stamp(&self->in, 3, RINGQ_FULL), got(&self->in, 3));
	EXPECT_EQ(1, self->in.side->orphans);
}

TEST_F(repair, consumer_that_frees_by_its_position)
{
	struct port p;

	publish(&self->out, 4);
	if (!victim_start(self, &p, RINGQ_CONSUMER)) {
		p.page->progress.done = at(&p, 2);
		claim(&p, RINGQ_OWN, 3, 0);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_CONSUMER, 1, 2));
	EXPECT_EQ(stamp(&self->in, 1, RINGQ_FULL), got(&self->in, 1));
	EXPECT_EQ(ringq_special(RINGQ_ORPHAN, 1, 1, at(&self->in, 2)), got(&self->in, 2));
	EXPECT_EQ(stamp(&self->in, 3, RINGQ_FULL), got(&self->in, 3));
	EXPECT_EQ(at(&self->in, 3), self->in.side->index);
	EXPECT_EQ(1, self->in.side->orphans);
}

/* What follows it was published and freed once more, before the rest of it was freed at all. */
TEST_F(repair, consumer_whose_first_slot_went_round)
{
	struct port p;

	publish(&self->out, 2);
	put(&self->out, 0, stamp(&self->out, 2 * CAPACITY, RINGQ_FREE));
	index_set(&self->in, CAPACITY + 1);
	if (!victim_start(self, &p, RINGQ_CONSUMER)) {
		claim(&p, RINGQ_OWN, 2, 0);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_CONSUMER, 1, 2));
	EXPECT_EQ(ringq_special(RINGQ_ORPHAN, 1, 1, at(&self->in, 1)), got(&self->in, 1));
	EXPECT_EQ(1, self->in.side->orphans);
}

/* Who has an orphan again is said by its stamp and nothing else. */
TEST_F(repair, consumer_of_orphans)
{
	__u64 its, ours, others;
	struct port p;

	its = ringq_special(RINGQ_AGAIN, 1, 1, at(&self->in, 0));
	ours = ringq_special(RINGQ_AGAIN, 0, 1, at(&self->in, 1));
	others = ringq_special(RINGQ_AGAIN, 1, 2, at(&self->in, 2));
	put(&self->in, 0, its);
	put(&self->in, 1, ours);
	put(&self->in, 2, others);
	index_set(&self->in, 4);
	claim(&self->in, RINGQ_TRY, 1, 0);
	if (!victim_start(self, &p, RINGQ_CONSUMER)) {
		claim(&p, RINGQ_OWN, 3, 0);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_EQ(0, succeed(self, RINGQ_CONSUMER, 1, 2));
	EXPECT_EQ(ringq_special(RINGQ_ORPHAN, 1, 1, at(&self->in, 0)), got(&self->in, 0));
	EXPECT_EQ(ours, got(&self->in, 1));
	EXPECT_EQ(others, got(&self->in, 2));
	EXPECT_EQ(1, self->in.side->orphans);
}

/* A victim that has taken position 0, while a port of ours is about to take it, or was. */
static int die_beside(FIXTURE_DATA(repair) *self, __u32 state)
{
	struct port p;

	index_set(&self->out, 1);
	claim(&self->out, state, 1, 0);
	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		call(p.fd, RINGQ_IOC_LOCK, NULL);
		claim(&p, RINGQ_OWN, 1, 0);
		ready_to_die();
	}
	return victim_kill();
}

/* Nothing has happened to the place; but the attach lock is not the dead one's any more. */
#define EXPECT_UNREPAIRED()								\
	do {										\
		EXPECT_EQ(-EBUSY, succeed(self, RINGQ_PRODUCER, 1, 2));			\
		EXPECT_TRUE(lives(&self->out, RINGQ_PRODUCER, 1));			\
		EXPECT_EQ(stamp(&self->out, 0, RINGQ_FREE), got(&self->out, 0));	\
		EXPECT_EQ(0, call(self->in.fd, RINGQ_IOC_TRYLOCK, NULL));		\
		EXPECT_EQ(0, call(self->in.fd, RINGQ_IOC_UNLOCK, NULL));		\
	} while (0)

#define EXPECT_REPAIRED(state)								\
	do {										\
		EXPECT_TRUE(soon(!lives(&self->out, RINGQ_PRODUCER, 1)));		\
		EXPECT_EQ(stamp(&self->out, 0, state), got(&self->out, 0));		\
		EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 1, 2));			\
	} while (0)

TEST_F(repair, waits_for_a_live_try)
{
	EXPECT_EQ(-SIGKILL, die_beside(self, RINGQ_TRY));
	EXPECT_UNREPAIRED();
	claim(&self->out, RINGQ_IDLE, 0, 0);
	EXPECT_REPAIRED(RINGQ_TOMB);
}

TEST_F(repair, waits_for_a_live_back)
{
	EXPECT_EQ(-SIGKILL, die_beside(self, RINGQ_BACK));
	EXPECT_UNREPAIRED();
	claim(&self->out, RINGQ_OWN, 1, 0);
	EXPECT_REPAIRED(RINGQ_FREE);
}

/* As long as it takes. */
TEST_F(repair, waits_for_long)
{
	EXPECT_EQ(-SIGKILL, die_beside(self, RINGQ_TRY));
	usleep(500000);
	EXPECT_UNREPAIRED();
	claim(&self->out, RINGQ_IDLE, 0, 0);
	EXPECT_REPAIRED(RINGQ_TOMB);
}

/* It leaves, without a mapping at last, and nobody but the other side is there any more. */
TEST_F(repair, the_live_one_leaves)
{
	EXPECT_EQ(-SIGKILL, die_beside(self, RINGQ_TRY));
	EXPECT_UNREPAIRED();
	EXPECT_EQ(0, port_leave(&self->out));
	EXPECT_TRUE(soon(!lives(&self->in, RINGQ_PRODUCER, 1)));
	EXPECT_EQ(stamp(&self->in, 0, RINGQ_TOMB), got(&self->in, 0));
}

/* It dies too, and so does everybody at once. */
TEST_F(repair, everybody_dies)
{
	EXPECT_EQ(-SIGKILL, die_beside(self, RINGQ_TRY));
	EXPECT_UNREPAIRED();
}

/* Two that may both have taken it do not wait for each other. */
TEST_F(repair, two_dead_ones_that_tried)
{
	struct port p, q;

	index_set(&self->out, 1);
	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		if (port_join(&q, &self->ring, RINGQ_PRODUCER))
			_exit(100);
		claim(&p, RINGQ_TRY, 1, 0);
		claim(&q, RINGQ_TRY, 1, 0);
		ready_to_die();
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_REPAIRED(RINGQ_TOMB);
	EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 2, 2));
}

/* It dies when we sleep: what wakes us for good is the repair. */
TEST_F(repair, consumer_sleeps)
{
	struct port p;
	__u32 events;

	index_set(&self->out, 3);
	if (!victim_start(self, &p, RINGQ_PRODUCER)) {
		claim(&p, RINGQ_OWN, 3, 0);
		if (!soon(attention(&p) & RINGQ_ARMED))
			_exit(100);
		kill(getpid(), SIGKILL);
	}
	EXPECT_EQ(0, port_wait(&self->in, 3, FOREVER, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_READY, events);
	EXPECT_EQ(-SIGKILL, peer_end(&victim));
}

TEST_F(repair, other_consumer_sleeps)
{
	struct port p;
	__u32 events;

	publish(&self->out, 2);
	index_set(&self->in, 2);
	ringq_store_release(&self->in.side->shared, 1);
	if (!victim_start(self, &p, RINGQ_CONSUMER)) {
		claim(&p, RINGQ_OWN, 2, 0);
		if (!soon(ringq_load_acquire(&attention_of(&p)->data) & RINGQ_ARMED))
			_exit(100);
		kill(getpid(), SIGKILL);
	}
	EXPECT_EQ(0, port_wait(&self->in, 1, FOREVER, 0, &events));
	EXPECT_EQ(RINGQ_EVENT_READY, events);
	EXPECT_EQ(-SIGKILL, peer_end(&victim));
}

/* Who leaves takes his claim with him. */
TEST_F(repair, claim_of_one_that_left)
{
	claim(&self->out, RINGQ_OWN, 3, 0);
	EXPECT_EQ(0, port_leave(&self->out));
	EXPECT_EQ(0, succeed(self, RINGQ_PRODUCER, 0, 2));
	EXPECT_EQ(stamp(&self->in, 0, RINGQ_FREE), got(&self->in, 0));
}

static void last_one_dies(struct __test_metadata *_metadata, FIXTURE_DATA(repair) *self,
			  __u32 discipline, __u32 role, __u64 becomes)
{
	struct ringq_geometry g = geometry_many(discipline, 8, CAPACITY);
	struct port p, survivor;
	__u32 events = 0;

	port_leave(&self->out);
	port_leave(&self->in);
	close(self->ring.fd);
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&survivor, &self->ring, !role));
	if (!peer_fork(&victim)) {
		close(survivor.fd);
		if (port_join(&p, &self->ring, role))
			_exit(100);
		claim(&p, RINGQ_OWN, 2, 0);
		ready_to_die();
	}
	if (role == RINGQ_CONSUMER) {
		publish(&survivor, CAPACITY);
		claim(&survivor, RINGQ_OWN, CAPACITY, 0);
	}
	EXPECT_EQ(-SIGKILL, victim_kill());
	EXPECT_TRUE(soon(port_wait(&survivor, CAPACITY, 0, RINGQ_WAIT_DRAIN, &events) == 0));
	EXPECT_EQ(RINGQ_EVENT_DEAD, events & RINGQ_EVENT_DEAD);
	EXPECT_EQ(becomes, ringq_load_acquire((const __u64 *)(survivor.region +
			   ringq_stamp_at(&g, &survivor.layout, 0, 1))));
	EXPECT_EQ(-EPIPE, port_attach(&p, &self->ring, role));
}

/* The end is told when all is in order, not before. */
TEST_F(repair, last_producer)
{
	last_one_dies(_metadata, self, RINGQ_MPSC, RINGQ_PRODUCER, RINGQ_STAMP(1, RINGQ_TOMB));
}

TEST_F(repair, last_consumer)
{
	last_one_dies(_metadata, self, RINGQ_SPMC, RINGQ_CONSUMER,
		      ringq_special(RINGQ_ORPHAN, 0, 1, 1));
}

/* Its successor takes up where it stopped: nothing is to be repaired. */
TEST_F(repair, only_consumer)
{
	last_one_dies(_metadata, self, RINGQ_MPSC, RINGQ_CONSUMER, RINGQ_STAMP(1, RINGQ_FULL));
}

/* Of each thread, without a lock that a child would find taken. */
static __thread unsigned int seed;

static __u64 any(void)
{
	return rand_r(&seed);
}

static __u64 random_word(void)
{
	return any() << 33 ^ any() << 11 ^ any();
}

/* Of a claim, or none. */
static __u64 random_claim(const struct port *p)
{
	if (any() % 4 == 0)
		return random_word();
	return RINGQ_CLAIM(any() % 4, any() % 4096, at(p, any() % 9000 - 4500));
}

static __u64 random_stamp(const struct port *p)
{
	__u64 pos = at(p, any() % 9000);

	if (any() % 8 == 0)
		return random_word();
	if (any() % 8 == 0)
		return ringq_special(any() % 2, any() % 3, any() % 3, pos);
	return RINGQ_STAMP(pos, any() % 4);
}

/* Words that change while the module looks at them. */
struct scribbler {
	struct port *out, *in;
	bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		struct port *p = any() % 2 ? s->out : s->in;

		ringq_store_relaxed(&p->page->claim, random_claim(p));
		ringq_store_relaxed(&p->page->progress.done, at(p, any() % 9000));
		ringq_store_relaxed(&p->side->index, at(p, any() % 9000));
		ringq_store_relaxed(&p->side->orphans, any());
		ringq_store_relaxed(stamp_of(p, any()), random_stamp(p));
	}
	return NULL;
}

static void die_in_garbage(struct port *p)
{
	__u64 i;

	seed = getpid();
	for (i = 0; i < p->geometry.capacity; i++)
		*stamp_of(p, i) = any() % 2 ? random_stamp(p) :
						 RINGQ_STAMP(at(p, i), p->role == RINGQ_CONSUMER);
	memset(p->side, 0, side_size(p));
	p->side->index = any() % 4 ? at(p, any() % 9000) : random_word();
	p->page->progress.done = any() % 4 ? at(p, any() % 9000) : random_word();
	p->page->progress.hand = any() % 4 ? at(p, any() % 9000) : random_word();
	p->page->claim = random_claim(p);
	kill(getpid(), SIGKILL);
}

/* Whatever the dead one left, and whatever the living store meanwhile, it comes to an end. */
TEST_F_TIMEOUT(repair, garbage, 600)
{
	struct ringq_geometry g = geometry_many(RINGQ_MPMC, variant->elem_size, 4096);
	struct scribbler s = { .out = &self->out, .in = &self->in };
	pthread_t thread;
	struct port p;
	int i;

	port_leave(&self->out);
	port_leave(&self->in);
	close(self->ring.fd);
	g.first = variant->first;
	g.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_join(&self->out, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&self->in, &self->ring, RINGQ_CONSUMER));
	for (i = 0; i < 40; i++) {
		s.stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
		if (!victim_start(self, &p, i % 2))
			die_in_garbage(&p);
		EXPECT_EQ(-SIGKILL, peer_end(&victim));
		/* A round of it has been made, perhaps in vain. */
		port_attach_with(&p, &self->ring, i % 2, RINGQ_ATTACH_PLACE, 1);
		close(p.fd);
		__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		claim(&self->out, RINGQ_IDLE, 0, 0);
		claim(&self->in, RINGQ_IDLE, 0, 0);
		EXPECT_TRUE(soon(!lives(&self->in, i % 2, 1)));
		EXPECT_TRUE(lives(&self->in, RINGQ_PRODUCER, 0));
		EXPECT_TRUE(lives(&self->in, RINGQ_CONSUMER, 0));
		EXPECT_EQ(RINGQ_MAGIC, header(&self->in)->magic);
	}
}

TEST_HARNESS_MAIN
