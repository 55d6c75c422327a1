// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same thing from several sides at the same moment, again and again: making a ring, binding a
 * file, taking a place, using a port, dying.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#include "common.h"

FIXTURE(race) {
};

FIXTURE_SETUP(race)
{
}

FIXTURE_TEARDOWN_PARENT(race)
{
	EXPECT_NOTHING_LEFT();
}

/*
 * Processes that say "create or open" at the same moment, again and again: one of them makes the
 * ring, and all get the same one. The ring is in huge pages, so that to make it takes a while.
 */
#define RACERS	4
#define RACES	100

struct race {
	struct {
		int err;
		__u32 created;
		__u8 id[16];
	} runners[RACERS];
};

static void race_run(struct race *race, int lane)
{
	struct ringq_geometry g = geometry_of(8, 2 * HUGE / RINGQ_LINE);
	struct ringq_ioc_create c;
	struct ring r;

	g.bulk_shift = RINGQ_BULK_HUGE;
	c = create_args(&g, "race");
	c.flags = RINGQ_CREATE_OR_OPEN | RINGQ_CREATE_HUGE;
	race->runners[lane].err = ring_create_with(&r, &c);
	race->runners[lane].created = r.created;
	memcpy(race->runners[lane].id, r.id, sizeof(r.id));
}

TEST_F_TIMEOUT(race, race_to_create, 300)
{
	struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct peer runners[RACERS];
	int i, lane, lines[2];
	char byte = 0;

	ASSERT_NE(MAP_FAILED, race);
	for (i = 0; i < RACES; i++) {
		__u32 created = 0;

		/* The starting shot: the end of the last writer of a pipe. */
		ASSERT_EQ(0, pipe(lines));
		for (lane = 0; lane < RACERS; lane++) {
			if (peer_fork(&runners[lane]))
				continue;
			close(lines[1]);
			if (read(lines[0], &byte, 1) == 0)
				race_run(race, lane);
			peer_say(&runners[lane], 1);
			/* Nobody lets go before all have it. */
			peer_hear(&runners[lane]);
			_exit(0);
		}
		close(lines[1]);
		for (lane = 0; lane < RACERS; lane++)
			ASSERT_EQ(1, peer_hear(&runners[lane]));
		for (lane = 0; lane < RACERS; lane++) {
			ASSERT_EQ(0, race->runners[lane].err);
			created += race->runners[lane].created;
			EXPECT_EQ(0, memcmp(race->runners[lane].id, race->runners[0].id, 16));
		}
		ASSERT_EQ(1, created);
		for (lane = 0; lane < RACERS; lane++) {
			peer_say(&runners[lane], 1);
			ASSERT_EQ(0, peer_end(&runners[lane]));
		}
		close(lines[0]);
		memset(race, 0, sizeof(*race));
	}
}

/* Who waits for a ring that another is making can be interrupted, and who makes it killed. */
TEST_F_TIMEOUT(race, race_to_create_with_kills, 300)
{
	struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct peer runners[RACERS];
	struct ring r;
	int i, lane;

	ASSERT_NE(MAP_FAILED, race);
	srandom(1);
	for (i = 0; i < RACES; i++) {
		for (lane = 0; lane < RACERS; lane++) {
			if (peer_fork(&runners[lane]))
				continue;
			race_run(race, lane);
			_exit(0);
		}
		usleep(random() % 2000);
		for (lane = 0; lane < RACERS; lane++)
			peer_kill(&runners[lane]);
		ASSERT_EQ(-ENOENT, ring_open(&r, "race", -1, 0));
		ASSERT_EQ(0, used_bytes());
	}
}

/* Threads that all do something else to one unbound file, at the same moment: one of them wins. */
#define THREADS 4

struct binder {
	pthread_t thread;
	pthread_barrier_t *start;
	const struct ring *ring;
	int fd;
	int what;
	int err;
};

static void *bind_file(void *arg)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct binder *b = arg;
	struct ringq_ioc_create c = create_args(&g, "");
	struct ringq_ioc_open o = open_args("", b->ring->fd);
	struct ringq_ioc_attach a = { .size = sizeof(a), .fd = b->ring->fd };

	pthread_barrier_wait(b->start);
	switch (b->what) {
	case 0:
		b->err = call(b->fd, RINGQ_IOC_CREATE, &c);
		break;
	case 1:
		b->err = call(b->fd, RINGQ_IOC_OPEN, &o);
		break;
	default:
		b->err = call(b->fd, RINGQ_IOC_ATTACH, &a);
	}
	return NULL;
}

TEST_F_TIMEOUT(race, threads_that_bind_one_file, 300)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct binder b[THREADS];
	pthread_barrier_t start;
	struct ring r;
	int n, i;

	g.flags = RINGQ_PRODUCER_WAIT;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	pthread_barrier_init(&start, NULL, THREADS);
	for (n = 0; n < 300; n++) {
		int fd = device(), won = 0;

		for (i = 0; i < THREADS; i++) {
			b[i] = (struct binder){
				.start = &start, .ring = &r, .fd = fd, .what = (i + n) % 3,
			};
			ASSERT_EQ(0, pthread_create(&b[i].thread, NULL, bind_file, &b[i]));
		}
		for (i = 0; i < THREADS; i++) {
			pthread_join(b[i].thread, NULL);
			won += b[i].err == 0;
			ASSERT_TRUE(b[i].err == 0 || b[i].err == -EBADFD);
		}
		ASSERT_EQ(1, won);
		close(fd);
	}
}

/* One place, many who want it: one gets it. */
TEST_F_TIMEOUT(race, threads_that_attach_to_one_place, 300)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct binder b[THREADS];
	pthread_barrier_t start;
	struct ring r;
	int n, i;

	g.flags = RINGQ_PRODUCER_WAIT;
	ASSERT_EQ(0, ring_create(&r, &g, ""));
	pthread_barrier_init(&start, NULL, THREADS);
	for (n = 0; n < 300; n++) {
		int won = 0;

		for (i = 0; i < THREADS; i++) {
			b[i] = (struct binder){
				.start = &start, .ring = &r, .fd = device(), .what = 2,
			};
			ASSERT_EQ(0, pthread_create(&b[i].thread, NULL, bind_file, &b[i]));
		}
		for (i = 0; i < THREADS; i++) {
			pthread_join(b[i].thread, NULL);
			won += b[i].err == 0;
			ASSERT_TRUE(b[i].err == 0 || b[i].err == -EBUSY);
		}
		ASSERT_EQ(1, won);
		for (i = 0; i < THREADS; i++)
			close(b[i].fd);
	}
}

/* Threads that use, map, unmap, detach and close one port, all at once. */
struct abuser {
	pthread_t thread;
	pthread_barrier_t *start;
	struct port port;
	unsigned int seed;
};

static void *abuse(void *arg)
{
	struct abuser *a = arg;
	int i;

	pthread_barrier_wait(a->start);
	for (i = 0; i < 20; i++) {
		void *at;

		switch (rand_r(&a->seed) % 8) {
		case 0:
		case 1:
			port_wait(&a->port, 1, rand_r(&a->seed) % 2 ? 0 : MSEC / 2, 0, NULL);
			break;
		case 2:
			port_kick(&a->port, 1);
			break;
		case 3:
			port_poll(&a->port, 0);
			break;
		case 4:
		case 5:
			at = mmap(NULL, a->port.layout.total, PROT_READ, MAP_SHARED, a->port.fd, 0);
			if (at != MAP_FAILED)
				munmap(at, a->port.layout.total);
			break;
		case 6:
			call(a->port.fd, RINGQ_IOC_CLOSE, NULL);
			break;
		case 7:
			if (i > 15)
				call(a->port.fd, RINGQ_IOC_DETACH, NULL);
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(race, threads_that_abuse_one_port, 300)
{
	struct ringq_geometry g = geometry_of(8, 16);
	struct abuser a[THREADS];
	pthread_barrier_t start;
	int n, i;

	pthread_barrier_init(&start, NULL, THREADS);
	for (n = 0; n < 300; n++) {
		struct port p;
		struct ring r;

		ASSERT_EQ(0, ring_create(&r, &g, ""));
		ASSERT_EQ(0, port_attach(&p, &r, n % 2));
		for (i = 0; i < THREADS; i++) {
			a[i] = (struct abuser){
				.start = &start, .port = p, .seed = n * THREADS + i,
			};
			ASSERT_EQ(0, pthread_create(&a[i].thread, NULL, abuse, &a[i]));
		}
		for (i = 0; i < THREADS; i++)
			pthread_join(a[i].thread, NULL);
		close(p.fd);
		close(r.fd);
		ASSERT_EQ(0, used_bytes());
	}
}

/* Both sides at the same moment, many times: the ring goes with them. */
TEST_F_TIMEOUT(race, both_sides_die, 300)
{
	struct ringq_geometry g = geometry_of(8, 16);
	int i;

	for (i = 0; i < 100; i++) {
		struct peer peers[2];
		struct ring r;
		struct port p;
		__u32 role;

		ASSERT_EQ(0, ring_create(&r, &g, ""));
		for (role = 0; role < 2; role++) {
			if (peer_fork(&peers[role]))
				continue;
			EXPECT_EQ(0, port_join(&p, &r, role));
			peer_say(&peers[role], 1);
			port_wait(&p, g.capacity, FOREVER, 0, NULL);
			pause();
		}
		close(r.fd);
		EXPECT_EQ(1, peer_hear(&peers[0]));
		EXPECT_EQ(1, peer_hear(&peers[1]));
		kill(peers[i & 1].pid, SIGKILL);
		kill(peers[!(i & 1)].pid, SIGKILL);
		peer_end(&peers[0]);
		peer_end(&peers[1]);
		ASSERT_EQ(0, used_bytes());
	}
}

TEST_HARNESS_MAIN
