// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many ports a side: which place one gets, what everybody can see of it in the attention page, when
 * a side has ended, and which places are kept for a successor.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(places) {
	struct ring ring;
};

FIXTURE_SETUP(places)
{
}

FIXTURE_TEARDOWN_PARENT(places)
{
	EXPECT_NOTHING_LEFT();
}

static bool bit(const __u64 *words, __u32 i)
{
	return ringq_load_acquire(&words[i / 64]) >> i % 64 & 1;
}

/* As another port sees it. */
static bool lives(const struct port *p, __u32 role, __u32 i)
{
	return bit(attention_of(p)->live[role], i);
}

static bool is_kept(const struct port *p, __u32 i)
{
	return bit(attention_of(p)->kept, i);
}

/* How many bits are set in the page, of all kinds. */
static int bits(const struct port *p)
{
	const __u64 *words = attention_of(p)->live[0];
	size_t i, n = 3 * RINGQ_SIDE_WORDS;
	int count = 0;

	for (i = 0; i < n; i++)
		count += __builtin_popcountll(words[i]);
	return count;
}

static int create(struct ring *r, __u32 discipline, __u32 producers, __u32 consumers, __u32 flags)
{
	struct ringq_geometry g = geometry_many(discipline, 8, 16);

	g.producers = producers;
	g.consumers = consumers;
	g.flags = flags;
	return ring_create(r, &g, "");
}

TEST_F(places, first_free)
{
	struct port ports[2][5], extra, again;
	__u32 role, i;

	ASSERT_EQ(0, create(&self->ring, RINGQ_MPMC, 5, 4, 0));
	for (role = 0; role < 2; role++) {
		for (i = 0; i < 5 - role; i++) {
			ASSERT_EQ(0, port_join(&ports[role][i], &self->ring, role));
			EXPECT_EQ(i, ports[role][i].index);
			EXPECT_EQ(1, ports[role][i].generation);
			EXPECT_TRUE(lives(&ports[0][0], role, i));
			EXPECT_EQ(1 + role * 5 + i, (__u32)bits(&ports[0][0]));
		}
		EXPECT_EQ(-EBUSY, port_attach(&extra, &self->ring, role));
	}
	for (role = 0; role < 2; role++) {
		for (i = 1; i < 4; i += 2) {
			ASSERT_EQ(0, port_leave(&ports[role][i]));
			EXPECT_FALSE(lives(&ports[0][0], role, i));
		}
		EXPECT_EQ(9 - 2, bits(&ports[0][0]));
		for (i = 1; i < 4; i += 2) {
			ASSERT_EQ(0, port_attach(&again, &self->ring, role));
			EXPECT_EQ(i, again.index);
			EXPECT_EQ(2, again.generation);
			EXPECT_TRUE(lives(&ports[0][0], role, i));
		}
		EXPECT_EQ(-EBUSY, port_attach(&extra, &self->ring, role));
		EXPECT_EQ(9, bits(&ports[0][0]));
	}
}

/* As many as there may be, each with a page of its own. */
TEST_F_TIMEOUT(places, all_that_there_may_be, 300)
{
	static struct port ports[2][RINGQ_SIDE_MAX];
	struct port extra;
	__u32 role, i;

	ASSERT_EQ(0, create(&self->ring, RINGQ_MPMC, RINGQ_SIDE_MAX, RINGQ_SIDE_MAX, 0));
	for (role = 0; role < 2; role++) {
		for (i = 0; i < RINGQ_SIDE_MAX; i++) {
			struct port *p = &ports[role][i];

			ASSERT_EQ(0, port_attach(p, &self->ring, role));
			ASSERT_EQ(i, p->index);
			ASSERT_EQ(0, port_map(p));
			p->page->claim = role << 16 | i | 1ull << 32;
		}
		ASSERT_EQ(-EBUSY, port_attach(&extra, &self->ring, role));
	}
	for (role = 0; role < 2; role++) {
		for (i = 0; i < RINGQ_SIDE_MAX; i++) {
			ASSERT_TRUE(lives(&ports[0][7], role, i));
			ASSERT_EQ(role << 16 | i | 1ull << 32, page_at(&ports[0][7], role, i)->claim);
		}
	}
}

TEST_F(places, wanted)
{
	static const __u32 none[] = { 3, 4, 63, 64, 255, 256, 1u << 31, ~0u };
	struct port p, first;
	__u32 role;
	size_t i;

	ASSERT_EQ(0, create(&self->ring, RINGQ_LANES, 3, 3, 0));
	for (role = 0; role < 2; role++) {
		for (i = 0; i < ARRAY_SIZE(none); i++)
			EXPECT_EQ(-EINVAL, port_attach_with(&p, &self->ring, role,
							    RINGQ_ATTACH_PLACE, none[i]));
		ASSERT_EQ(0, port_attach_with(&p, &self->ring, role, RINGQ_ATTACH_PLACE, 1));
		EXPECT_EQ(1, p.index);
		EXPECT_EQ(1, p.generation);
		EXPECT_EQ(-EBUSY, port_attach_with(&first, &self->ring, role, RINGQ_ATTACH_PLACE,
						   1));
		/* Without the flag the number is nothing but an answer. */
		ASSERT_EQ(0, port_attach_with(&first, &self->ring, role, 0, 1));
		EXPECT_EQ(0, first.index);
		ASSERT_EQ(0, port_attach_with(&first, &self->ring, role, 0, ~0u));
		EXPECT_EQ(2, first.index);
		close(p.fd);
		ASSERT_EQ(0, port_attach_with(&p, &self->ring, role, RINGQ_ATTACH_PLACE, 1));
		EXPECT_EQ(2, p.generation);
	}
}

/* However a port goes, its bit goes with it; and the epoch tells of each that comes or goes. */
TEST_F(places, bits_and_epoch)
{
	struct port watcher, p;
	struct peer child;
	__u64 epoch;
	int how;

	ASSERT_EQ(0, create(&self->ring, RINGQ_MPSC, 130, 1, RINGQ_PRODUCER_WAIT));
	ASSERT_EQ(0, port_join(&watcher, &self->ring, RINGQ_CONSUMER));
	epoch = attention_of(&watcher)->epoch;
	for (how = 0; how < 4; how++) {
		if (!peer_fork(&child)) {
			ASSERT_EQ(0, port_attach_with(&p, &self->ring, RINGQ_PRODUCER,
						      RINGQ_ATTACH_PLACE, 129));
			if (how < 3)
				ASSERT_EQ(0, port_map(&p));
			peer_say(&child, 1);
			peer_hear(&child);
			if (how == 0)
				port_leave(&p);
			else if (how == 1)
				port_unmap(&p);
			else if (how == 2)
				kill(getpid(), SIGKILL);
			else
				close(p.fd);
			peer_say(&child, 2);
			peer_hear(&child);
			_exit(0);
		}
		ASSERT_EQ(1, peer_hear(&child));
		EXPECT_TRUE(lives(&watcher, RINGQ_PRODUCER, 129));
		EXPECT_EQ(2, bits(&watcher));
		EXPECT_EQ(++epoch, attention_of(&watcher)->epoch);
		peer_say(&child, 1);
		EXPECT_EQ(how == 2 ? -EPIPE : 2, peer_hear(&child));
		EXPECT_TRUE(soon(!lives(&watcher, RINGQ_PRODUCER, 129)));
		EXPECT_EQ(1, bits(&watcher));
		EXPECT_EQ(++epoch, attention_of(&watcher)->epoch);
		peer_kill(&child);
	}
}

/* The last one decides, and only of a side that can end. */
static const struct {
	__u32 discipline;
	__u32 role;		/* of those who go */
	__u32 flags;
	bool ends;
} sides[] = {
	{ RINGQ_MPSC, RINGQ_PRODUCER, 0, true },
	{ RINGQ_MPSC, RINGQ_PRODUCER, RINGQ_CONSUMER_WAIT, true },
	{ RINGQ_MPSC, RINGQ_PRODUCER, RINGQ_PRODUCER_WAIT, false },
	{ RINGQ_SPMC, RINGQ_CONSUMER, 0, true },
	{ RINGQ_SPMC, RINGQ_CONSUMER, RINGQ_CONSUMER_WAIT, false },
	{ RINGQ_MPMC, RINGQ_PRODUCER, 0, true },
	{ RINGQ_MPMC, RINGQ_CONSUMER, 0, true },
	{ RINGQ_LANES, RINGQ_PRODUCER, 0, true },
	{ RINGQ_LANES, RINGQ_CONSUMER, 0, true },
	{ RINGQ_GATED, RINGQ_CONSUMER, 0, false },
	{ RINGQ_LOSSY, RINGQ_CONSUMER, 0, false },
	{ RINGQ_LATEST, RINGQ_CONSUMER, 0, false },
};

TEST_F(places, last_one_ends)
{
	struct port other, ports[3], late;
	int dead;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(sides); i++) {
		for (dead = 0; dead < 2; dead++) {
			struct ringq_geometry g = geometry_many(sides[i].discipline, 8, 16);
			__u64 end = dead ? RINGQ_DEAD : RINGQ_GONE;
			__u32 role = sides[i].role;

			g.flags = sides[i].flags;
			ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
			ASSERT_EQ(0, port_join(&other, &self->ring, !role));
			for (n = 0; n < 3; n++)
				ASSERT_EQ(0, port_join(&ports[n], &self->ring, role));
			for (n = 0; n < 3; n++) {
				EXPECT_EQ(0, attention(&other));
				/* The others go the other way. */
				if (n == 2 ? dead : !dead)
					port_unmap(&ports[n]);
				else
					port_leave(&ports[n]);
				if (n < 2) {
					ASSERT_EQ(0, port_attach(&late, &self->ring, role));
					close(late.fd);
				}
			}
			/* What the dead one left is put in order first. */
			EXPECT_TRUE(soon((attention(&other) & RINGQ_ENDED) ==
					 (sides[i].ends ? end : 0)))
				TH_LOG("case %zu", i);
			EXPECT_EQ(sides[i].ends ? -EPIPE : 0,
				  port_attach(&late, &self->ring, role))
				TH_LOG("case %zu", i);
			if (!sides[i].ends)
				close(late.fd);
		}
	}
}

TEST_F(places, producers_end_broadcasts)
{
	static const __u32 kinds[] = { RINGQ_GATED, RINGQ_LOSSY, RINGQ_LATEST };
	struct port producer, reader;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		ASSERT_EQ(0, create(&self->ring, kinds[i], 1, 3, 0));
		ASSERT_EQ(0, port_join(&producer, &self->ring, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&reader, &self->ring, RINGQ_CONSUMER));
		ASSERT_EQ(0, port_leave(&producer));
		EXPECT_EQ(RINGQ_GONE, attention(&reader));
		/* Who comes late still finds what is there. */
		EXPECT_EQ(0, port_attach(&reader, &self->ring, RINGQ_CONSUMER));
	}
}

/* A reader that dies leaves its gate behind, if the ring waits for consumers. */
TEST_F(places, kept)
{
	struct port producer, readers[4], p;
	int i;

	ASSERT_EQ(0, create(&self->ring, RINGQ_GATED, 1, 100, RINGQ_CONSUMER_WAIT));
	ASSERT_EQ(0, port_join(&producer, &self->ring, RINGQ_PRODUCER));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, port_attach_with(&readers[i], &self->ring, RINGQ_CONSUMER,
					      RINGQ_ATTACH_PLACE, i * 30));
		ASSERT_EQ(0, port_map(&readers[i]));
		readers[i].page->progress.done = 100 + i;
		readers[i].page->progress.taken = 200 + i;
		readers[i].page->progress.hand = 300 + i;
	}
	producer.page->progress.done = 1000;
	EXPECT_EQ(5, bits(&producer));

	/* One leaves, two die. */
	ASSERT_EQ(0, port_leave(&readers[1]));
	EXPECT_FALSE(is_kept(&producer, 30));
	port_unmap(&readers[2]);
	port_unmap(&readers[3]);
	for (i = 2; i < 4; i++) {
		EXPECT_TRUE(is_kept(&producer, i * 30));
		EXPECT_FALSE(lives(&producer, RINGQ_CONSUMER, i * 30));
	}
	EXPECT_EQ(2 + 2, bits(&producer));

	/* Their places come first, and are found as they were left. */
	for (i = 2; i < 4; i++) {
		ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_CONSUMER));
		EXPECT_EQ(i * 30, (int)p.index);
		EXPECT_EQ(2, p.generation);
		EXPECT_EQ(100 + i, (int)p.page->progress.done);
		EXPECT_EQ(200 + i, (int)p.page->progress.taken);
		EXPECT_EQ(300 + i, (int)p.page->progress.hand);
		EXPECT_FALSE(is_kept(&producer, i * 30));
		EXPECT_TRUE(lives(&producer, RINGQ_CONSUMER, i * 30));
	}
	/* Then those that are nobody's, at the producer's position. */
	ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_CONSUMER));
	EXPECT_EQ(1, p.index);
	EXPECT_EQ(1000, p.page->progress.done);
	EXPECT_EQ(1000, p.page->progress.taken);
	EXPECT_EQ(1000, p.page->progress.hand);
	/* Also where somebody was before. */
	ASSERT_EQ(0, port_attach_with(&p, &self->ring, RINGQ_CONSUMER, RINGQ_ATTACH_PLACE, 30));
	ASSERT_EQ(0, port_map(&p));
	EXPECT_EQ(1000, p.page->progress.done);
}

/* Who dies is a reader of that kind, or its place is not kept. */
TEST_F(places, not_kept)
{
	static const struct {
		__u32 discipline;
		__u32 role;
		__u32 flags;
	} kinds[] = {
		{ RINGQ_GATED, RINGQ_CONSUMER, 0 },
		{ RINGQ_GATED, RINGQ_CONSUMER, RINGQ_PRODUCER_WAIT },
		{ RINGQ_GATED, RINGQ_PRODUCER, RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT },
		{ RINGQ_LOSSY, RINGQ_CONSUMER, RINGQ_CONSUMER_WAIT },
		{ RINGQ_LATEST, RINGQ_CONSUMER, RINGQ_CONSUMER_WAIT },
		{ RINGQ_SPMC, RINGQ_CONSUMER, RINGQ_CONSUMER_WAIT },
		{ RINGQ_LANES, RINGQ_CONSUMER, RINGQ_CONSUMER_WAIT },
		{ RINGQ_SPSC, RINGQ_CONSUMER, RINGQ_CONSUMER_WAIT },
	};
	struct port other, p;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct ringq_geometry g = geometry_many(kinds[i].discipline, 8, 16);

		g.flags = kinds[i].flags;
		ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
		ASSERT_EQ(0, port_join(&other, &self->ring, !kinds[i].role));
		ASSERT_EQ(0, port_join(&p, &self->ring, kinds[i].role));
		port_unmap(&p);
		/* Where ports claim, what it left is put in order first. */
		EXPECT_TRUE(soon(bits(&other) == 1))
			TH_LOG("case %zu", i);
	}
}

/* A successor that has done nothing yet leaves the gate where it was. */
TEST_F(places, kept_on)
{
	struct port producer, p;
	struct peer child;
	int how;

	ASSERT_EQ(0, create(&self->ring, RINGQ_GATED, 1, 3, RINGQ_CONSUMER_WAIT));
	ASSERT_EQ(0, port_join(&producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_CONSUMER));
	p.page->progress.done = 100;
	producer.page->progress.done = 1000;
	port_unmap(&p);
	for (how = 0; how < 4; how++) {
		ASSERT_TRUE(is_kept(&producer, 0))
			TH_LOG("before %d", how);
		if (!peer_fork(&child)) {
			ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_CONSUMER));
			ASSERT_EQ(0, p.index);
			peer_say(&child, 1);
			peer_hear(&child);
			if (how == 0)
				close(p.fd);
			else if (how == 1)
				call(p.fd, RINGQ_IOC_DETACH, NULL);
			else if (how == 2)
				kill(getpid(), SIGKILL);
			else
				port_map(&p);
			_exit(0);
		}
		ASSERT_EQ(1, peer_hear(&child));
		EXPECT_FALSE(is_kept(&producer, 0));
		EXPECT_TRUE(lives(&producer, RINGQ_CONSUMER, 0));
		peer_say(&child, 1);
		peer_end(&child);
	}
	EXPECT_TRUE(is_kept(&producer, 0));
	EXPECT_EQ(100, page_of(&producer, RINGQ_CONSUMER)->progress.done);

	/* One that has mapped it and leaves takes the gate along. */
	ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_CONSUMER));
	EXPECT_EQ(100, p.page->progress.done);
	ASSERT_EQ(0, port_leave(&p));
	EXPECT_FALSE(is_kept(&producer, 0));

	/* And so does one that never came to a gate that was kept. */
	ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_CONSUMER));
	close(p.fd);
	EXPECT_EQ(1, bits(&producer));
}

/*
 * The order in which a producer sees it, who looks all the time while readers come and go.
 */
struct observer {
	pthread_t thread;
	const struct port *producer;
	bool stop;
	__u64 floor;
	unsigned int wrong;
};

/* A gate that stands is live or kept, also while one becomes the other. */
static void *look_for_a_gap(void *arg)
{
	struct observer *o = arg;
	const struct ringq_attention *a = attention_of(o->producer);

	while (!ringq_load_relaxed(&o->stop)) {
		__u64 epoch = ringq_load_acquire(&a->epoch), stands;

		stands = ringq_load_acquire(&a->live[RINGQ_CONSUMER][0]);
		stands |= ringq_load_acquire(&a->kept[0]);
		stands |= ringq_load_acquire(&a->live[RINGQ_CONSUMER][0]);
		if (!stands && ringq_load_acquire(&a->epoch) == epoch)
			o->wrong++;
	}
	return NULL;
}

TEST_F_TIMEOUT(places, kept_without_a_gap, 300)
{
	struct port producer, p;
	struct observer o = { .producer = &producer };
	int i;

	ASSERT_EQ(0, create(&self->ring, RINGQ_GATED, 1, 1, RINGQ_CONSUMER_WAIT));
	ASSERT_EQ(0, port_join(&producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_CONSUMER));
	ASSERT_EQ(0, pthread_create(&o.thread, NULL, look_for_a_gap, &o));
	for (i = 0; i < 2000; i++) {
		port_unmap(&p);
		close(p.fd);
		ASSERT_EQ(0, port_join(&p, &self->ring, RINGQ_CONSUMER));
	}
	ringq_store_relaxed(&o.stop, true);
	pthread_join(o.thread, NULL);
	EXPECT_EQ(0, o.wrong);
}

/* One that is live is not where an earlier reader of the place was. */
static void *look_for_an_old_gate(void *arg)
{
	struct observer *o = arg;
	const struct ringq_attention *a = attention_of(o->producer);
	const struct ringq_progress *gate = &page_of(o->producer, RINGQ_CONSUMER)->progress;

	while (!ringq_load_relaxed(&o->stop)) {
		__u64 floor = ringq_load_acquire(&o->floor);

		if (ringq_load_acquire(&a->live[RINGQ_CONSUMER][0]) &&
		    ringq_load_acquire(&gate->done) < floor)
			o->wrong++;
	}
	return NULL;
}

TEST_F_TIMEOUT(places, gate_stands_before_it_counts, 300)
{
	struct port producer, p;
	struct observer o = { .producer = &producer };
	int i;

	ASSERT_EQ(0, create(&self->ring, RINGQ_GATED, 1, 1, 0));
	ASSERT_EQ(0, port_join(&producer, &self->ring, RINGQ_PRODUCER));
	ASSERT_EQ(0, pthread_create(&o.thread, NULL, look_for_an_old_gate, &o));
	for (i = 0; i < 2000; i++) {
		producer.page->progress.done += 10;
		ringq_store_release(&o.floor, producer.page->progress.done);
		ASSERT_EQ(0, port_attach(&p, &self->ring, RINGQ_CONSUMER));
		close(p.fd);
	}
	ringq_store_relaxed(&o.stop, true);
	pthread_join(o.thread, NULL);
	EXPECT_EQ(0, o.wrong);
}

TEST_HARNESS_MAIN
