// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq_port_stat() and ringq_bury(): processes that hold something, and are stopped, dead, or
 * gone; each instruction of a claim; sleepers; observers; and garbage.
 *
 * A process that is to be looked at does its part and stops itself, so that what is told of it must
 * be exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ringq.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "actors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMIT 120	/* seconds for all of them; two are usual */
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

#define assert_holds(s, n, at)					\
	do {							\
		assert_int_equal((s).held, n);			\
		assert_int_equal((s).held_at, at);		\
	} while (0)

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

/* A consumer of each kind that holds two of what it was shown three of. */
static bool records;

static void act_hold(struct ringq *mine)
{
	struct ringq_port out, in;

	must(attached(mine, OUT, &out) && attached(mine, IN, &in));
	send_five(&out, records);
	must(ringq_peek(&in, 3, RINGQ_NOWAIT) == 3 && ringq_release(&in, 1) == 0);
	/* One reader of several has let go of the lane, and takes it again. */
	if (ringq_lane(&out) >= 0)
		must(ringq_peek(&in, 2, RINGQ_NOWAIT) == 2);
}

static const struct kind {
	uint32_t discipline;
	uint32_t flags;
	uint32_t ports;
} kinds[] = {
	{ RINGQ_SPSC, 0, 1 },
	{ RINGQ_MPSC, 0, 2 },
	{ RINGQ_SPMC, 0, 2 },
	{ RINGQ_MPMC, 0, 2 },
	{ RINGQ_MPMC, RINGQ_FENCE, 2 },
	{ RINGQ_LANES, 0, 1 },
	{ RINGQ_LANES, 0, 2 },
	{ RINGQ_GATED, 0, 2 },
	{ RINGQ_SPSC, RINGQ_RECORDS, 1 },
	{ RINGQ_LANES, RINGQ_RECORDS, 2 },
	{ RINGQ_GATED, RINGQ_RECORDS, 2 },
};

static void check_consumer(const struct ringq_port_stat *s, uint32_t state, pid_t pid,
			   uint64_t unit)
{
	assert_int_equal(s->state, state);
	assert_int_equal(s->generation, 1);
	assert_int_equal(s->pid, pid);
	assert_holds(*s, 2 * unit, unit);
	assert_int_equal(s->position, unit);
	assert_int_equal(s->flags, 0);
}

static void test_consumer(const struct kind *k)
{
	uint64_t unit = k->flags & RINGQ_RECORDS ? 16 : 1, before = now();
	struct ringq_port_stat s;
	pid_t pid;

	make(k->discipline, k->flags, k->ports);
	records = k->flags & RINGQ_RECORDS;
	s = look(IN, 0);
	assert_int_equal(s.state, RINGQ_PORT_FREE);
	assert_int_equal(s.generation, 0);

	pid = start_and_stop(act_hold);
	s = look(IN, 0);
	check_consumer(&s, RINGQ_PORT_LIVE, pid, unit);
	assert_int_equal(s.waiting, 4 * unit);
	assert_true(s.attached_ns >= before && s.attached_ns <= now());
	if (k->discipline == RINGQ_LANES)
		assert_int_equal(s.lane, 0);
	s = look(OUT, 0);
	assert_int_equal(s.state, RINGQ_PORT_LIVE);
	assert_int_equal(s.position, 5 * unit);
	assert_holds(s, 0, 0);

	/* Nobody else has noticed that it is dead. */
	end(pid);
	s = look(IN, 0);
	check_consumer(&s, RINGQ_PORT_DYING, pid, unit);
	assert_int_equal(look(OUT, 0).state, RINGQ_PORT_DYING);
	assert_int_equal(ringq_bury(ring), 2);
	assert_int_equal(ringq_bury(ring), 0);
	s = look(IN, 0);
	assert_int_equal(s.state, RINGQ_PORT_DEAD);
	assert_holds(s, 0, 0);
	/* Other readers have it anyway. */
	assert_int_equal(s.redelivered, k->discipline == RINGQ_GATED ? 0 : 2 * unit);
	assert_int_equal(s.dropped, 0);
	assert_int_equal(look(OUT, 0).state, RINGQ_PORT_DEAD);
	ringq_leave(ring);
	ring = NULL;
}

static void test_consumers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(kinds); i++)
		test_consumer(&kinds[i]);
}

/* Producers that claim are told to hold what they have not published, others are not. */
static void act_reserve(struct ringq *mine)
{
	struct ringq_port out;

	must(attached(mine, OUT, &out));
	send_five(&out, false);
	must(ringq_reserve(&out, 3, RINGQ_NOWAIT) == 0);
}

static void act_commit(struct ringq *mine)
{
	struct ringq_port out;

	must(attached(mine, OUT, &out));
	must(ringq_reserve(&out, 3, RINGQ_NOWAIT) == 0 && ringq_commit(&out, 3) == 0);
}

static void test_producers(void **state)
{
	struct ringq_port_stat s;
	pid_t pid, other;

	(void)state;
	make(RINGQ_MPMC, WAIT, 2);
	pid = start_and_stop(act_reserve);
	s = look(OUT, 0);
	assert_holds(s, 3, 5);
	assert_int_equal(s.claim, RINGQ_OWN);
	/* By CAS, and published: a claim that is stale. */
	other = start_and_stop(act_commit);
	s = look(OUT, 1);
	assert_holds(s, 0, 0);
	assert_int_equal(s.claim, RINGQ_OWN);
	assert_int_equal(s.position, 11);
	assert_holds(look(OUT, 0), 3, 5);
	end(pid);
	end(other);
	assert_holds(look(OUT, 0), 3, 5);
	assert_int_equal(ringq_bury(ring), 2);
	assert_holds(look(OUT, 0), 0, 0);
	assert_int_equal(look(OUT, 0).tombs, 3);
	assert_int_equal(look(OUT, 1).tombs, 0);
	/* It is told of no successor. */
	pid = start_and_stop(act_commit);
	assert_int_equal(look(OUT, 0).generation, 2);
	assert_int_equal(look(OUT, 0).tombs, 0);
	end(pid);
	ringq_leave(ring);

	make(RINGQ_SPSC, 0, 1);
	pid = start_and_stop(act_reserve);
	s = look(OUT, 0);
	assert_holds(s, 0, 0);
	assert_int_equal(s.position, 5);
	assert_int_equal(s.claim, RINGQ_IDLE);
	end(pid);
}

/* A consumer that released by its position, and one that came later and does so by stamps. */
static void act_two(struct ringq *mine)
{
	struct ringq_port out, in[2];
	uint64_t msg;

	must(attached(mine, OUT, &out) && attached(mine, IN, &in[0]));
	send_five(&out, false);
	must(ringq_recv(&in[0], &msg, RINGQ_NOWAIT) == 1);
	must(attached(mine, IN, &in[1]));
	must(ringq_peek(&in[1], 2, RINGQ_NOWAIT) == 2);
	must(ringq_recv(&in[0], &msg, RINGQ_NOWAIT) == 1);
}

/* What one that left had in hand, another has. */
static void act_orphan(struct ringq *mine)
{
	struct ringq_port out, in[2];

	must(attached(mine, OUT, &out) && attached(mine, IN, &in[0]) &&
	     attached(mine, IN, &in[1]));
	send_five(&out, false);
	must(ringq_peek(&in[0], 3, RINGQ_NOWAIT) == 3);
	ringq_detach(&in[0]);
	must(ringq_peek(&in[1], 1, RINGQ_NOWAIT) == 1 && ringq_flags(&in[1]) == RINGQ_REDELIVERED);
}

static void test_several(void **state)
{
	struct ringq_port_stat s;
	pid_t pid;

	(void)state;
	make(RINGQ_MPMC, 0, 2);
	pid = start_and_stop(act_two);
	s = look(IN, 0);
	assert_holds(s, 0, 0);
	assert_int_equal(s.position, 4);
	assert_int_equal(s.waiting, 1);
	s = look(IN, 1);
	assert_holds(s, 2, 1);
	assert_int_equal(s.waiting, 3);
	end(pid);
	ringq_leave(ring);

	make(RINGQ_MPMC, 0, 2);
	pid = start_and_stop(act_orphan);
	s = look(IN, 0);
	assert_int_equal(s.state, RINGQ_PORT_LEFT);
	assert_holds(s, 0, 0);
	assert_holds(look(IN, 1), 1, 0);
	end(pid);
}

/* Readers of what is overwritten hold nothing, and are behind. */
static void act_glimpse(struct ringq *mine)
{
	struct ringq_port out, in, gone;

	must(attached(mine, OUT, &out) && attached(mine, IN, &in) && attached(mine, IN, &gone));
	ringq_detach(&gone);
	send_five(&out, false);
	must(ringq_peek(&in, 1, RINGQ_NOWAIT) == 1 && ringq_release(&in, 1) == 0);
	send_five(&out, false);
	must(ringq_peek(&in, 1, RINGQ_NOWAIT) == 1);
}

static void test_lossy(void **state)
{
	pid_t pid;

	(void)state;
	make(RINGQ_LOSSY, 0, 2);
	pid = start_and_stop(act_glimpse);
	assert_holds(look(IN, 0), 0, 0);
	assert_int_equal(look(IN, 0).position, 2);
	assert_int_equal(look(IN, 0).waiting, 8);
	assert_int_equal(look(OUT, 0).position, 10);
	assert_int_equal(look(OUT, 0).waiting, 8);
	end(pid);
	ringq_leave(ring);

	make(RINGQ_LATEST, 0, 2);
	pid = start_and_stop(act_glimpse);
	assert_holds(look(IN, 0), 0, 0);
	assert_int_equal(look(OUT, 0).position, 10);
	end(pid);
}

/* Lanes other than the first, of elements and of records, which are mapped twice each. */
static void act_second_lane(struct ringq *mine)
{
	struct ringq_port out[2], in;

	must(attached(mine, OUT, &out[0]) && attached(mine, OUT, &out[1]) &&
	     attached(mine, IN, &in));
	send_five(&out[1], records);
	must(ringq_peek(&in, 2, RINGQ_NOWAIT) == 2);
}

static void test_lanes(void **state)
{
	static const struct kind several[] = {
		{ RINGQ_LANES, 0, 2 }, { RINGQ_LANES, RINGQ_RECORDS, 2 },
	};
	struct ringq_port_stat s;
	uint64_t unit;
	pid_t pid;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(several); i++) {
		make(several[i].discipline, several[i].flags, several[i].ports);
		records = several[i].flags & RINGQ_RECORDS;
		unit = records ? 16 : 1;
		pid = start_and_stop(act_second_lane);
		s = look(OUT, 1);
		assert_int_equal(s.lane, 1);
		assert_int_equal(s.position, 5 * unit);
		assert_int_equal(look(OUT, 0).position, 0);
		s = look(IN, 0);
		assert_int_equal(s.lane, 1);
		assert_holds(s, 2 * unit, 0);
		assert_int_equal(s.waiting, 5 * unit);
		end(pid);
		ringq_leave(ring);
	}
	ring = NULL;
}

/* A producer waits for the slowest of its readers. */
static void act_two_readers(struct ringq *mine)
{
	struct ringq_port out, in[2];
	uint64_t msg;

	must(attached(mine, OUT, &out) && attached(mine, IN, &in[0]) &&
	     attached(mine, IN, &in[1]));
	send_five(&out, false);
	must(ringq_recv(&in[0], &msg, RINGQ_NOWAIT) == 1);
}

static void test_slowest(void **state)
{
	pid_t pid;

	(void)state;
	make(RINGQ_GATED, 0, 2);
	pid = start_and_stop(act_two_readers);
	assert_int_equal(look(OUT, 0).waiting, 5);
	assert_int_equal(look(IN, 0).waiting, 4);
	assert_int_equal(look(IN, 1).waiting, 5);
	end(pid);
}

/* What a predecessor was shown is its successor's, also before that one has looked. */
static void act_succeed(struct ringq *mine)
{
	struct ringq_port in;

	must(attached(mine, IN, &in));
}

static void test_heirs(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_SPSC, RINGQ_MPSC };
	pid_t pid;
	size_t i;

	(void)state;
	records = false;
	for (i = 0; i < COUNT(disciplines); i++) {
		make(disciplines[i], WAIT, 1);
		pid = start_and_stop(act_hold);
		end(pid);
		pid = start_and_stop(act_succeed);
		assert_int_equal(look(IN, 0).generation, 2);
		assert_holds(look(IN, 0), 2, 1);
		end(pid);
		ringq_leave(ring);
	}
	ring = NULL;
}

/* Of a dead reader's place that is kept. */
static void test_kept(void **state)
{
	pid_t pid;

	(void)state;
	make(RINGQ_GATED, WAIT, 2);
	records = false;
	pid = start_and_stop(act_hold);
	assert_int_equal(look(OUT, 0).waiting, 4);
	end(pid);
	assert_int_equal(ringq_bury(ring), 2);
	assert_int_equal(look(IN, 0).flags, RINGQ_IS_KEPT);
	assert_int_equal(look(IN, 1).flags, 0);
	assert_int_equal(look(OUT, 0).waiting, 4);
}

/* Each instruction of a send, from a stop on. */
static void test_steps(void **state)
{
	struct ringq_port_stat s;
	unsigned int i;
	pid_t pid;

	(void)state;
	make(RINGQ_MPMC, 0, 2);
	pid = start_and_stop(act_traced_send);
	assert_int_equal(look(OUT, 1).claim, RINGQ_IDLE);
	s = step_to(pid, 1, 0);
	assert_int_equal(s.position, 0);
	s = step_to(pid, 1, 1);
	assert_holds(s, 1, 0);
	assert_int_equal(s.position, 0);
	for (i = 0; s.held && i < STEPS; i++) {
		step(pid);
		s = look(OUT, 1);
		assert_int_equal(s.claim, s.held ? RINGQ_TRY : RINGQ_IDLE);
	}
	assert_holds(s, 0, 0);
	assert_int_equal(s.position, 1);
	assert_int_equal(s.waiting, 1);
	end(pid);
}

/* One that is stopped in the middle of a claim holds up the burial of one that took the same. */
static void test_blocked(void **state)
{
	struct ringq_port_stat s;
	pid_t tries;

	(void)state;
	tries = start_blocked();
	assert_int_equal(look(OUT, 3).position, 0);
	/* Its other port had nothing and can go, unless the agent beside the tracee was faster. */
	assert_in_range(ringq_bury(ring), 0, 1);
	assert_int_equal(look(OUT, 0).state, RINGQ_PORT_DEAD);
	s = look(OUT, 1);
	assert_int_equal(s.state, RINGQ_PORT_DYING);
	assert_holds(s, 1, 0);
	s = look(OUT, 3);
	assert_int_equal(s.state, RINGQ_PORT_LIVE);
	assert_int_equal(s.claim, RINGQ_TRY);
	end(tries);
	assert_int_equal(ringq_bury(ring), 3);
	assert_int_equal(look(OUT, 1).state, RINGQ_PORT_DEAD);
}

/* Who sleeps, and who polls. */
static void act_sleep(struct ringq *mine)
{
	struct ringq_port in;
	uint64_t msg;

	must(attached(mine, IN, &in));
	ringq_recv(&in, &msg, RINGQ_FOREVER);
	_exit(1);
}

static void act_poll(struct ringq *mine)
{
	struct ringq_port in;
	uint64_t msg;

	must(attached(mine, IN, &in) && ringq_port_fd(&in) >= 0);
	while (ringq_arm(&in))
		must(ringq_recv(&in, &msg, RINGQ_NOWAIT) == -EAGAIN);
}

static void test_sleepers(void **state)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	pid_t pid;

	(void)state;
	make(RINGQ_SPSC, 0, 1);
	pid = start(act_sleep);
	while (!(look(IN, 0).flags & RINGQ_IS_ASLEEP))
		nanosleep(&pause, NULL);
	assert_int_equal(look(IN, 0).flags, RINGQ_IS_ASLEEP);
	end(pid);
	ringq_leave(ring);

	make(RINGQ_SPSC, 0, 1);
	pid = start_and_stop(act_poll);
	assert_int_equal(look(IN, 0).flags, RINGQ_IS_POLLED);
	end(pid);
}

static void act_leave(struct ringq *mine)
{
	struct ringq_port in;

	must(attached(mine, IN, &in));
	ringq_detach(&in);
}

static void test_left(void **state)
{
	struct ringq_port_stat s;
	pid_t pid;

	(void)state;
	make(RINGQ_SPSC, WAIT, 1);
	pid = start_and_stop(act_leave);
	assert_int_equal(look(IN, 0).state, RINGQ_PORT_LEFT);
	end(pid);
	assert_int_equal(look(IN, 0).state, RINGQ_PORT_LEFT);
	assert_int_equal(ringq_bury(ring), 0);
	pid = start_and_stop(act_hold);
	s = look(IN, 0);
	assert_int_equal(s.state, RINGQ_PORT_LIVE);
	assert_int_equal(s.generation, 2);
	end(pid);
}

static void test_private(void **state)
{
	struct ringq_opts opts = { .size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = 8 };
	struct ringq_port out, in;
	uint64_t msg = 1;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, OUT, &out), 0);
	assert_int_equal(ringq_attach(ring, IN, &in), 0);
	assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_peek(&in, 1, RINGQ_NOWAIT), 1);
	assert_int_equal(look(IN, 0).state, RINGQ_PORT_LIVE);
	assert_int_equal(look(IN, 0).pid, getpid());
	assert_holds(look(IN, 0), 1, 0);
	assert_int_equal(ringq_bury(ring), 0);
	ringq_detach(&in);
	ringq_detach(&out);
	assert_int_equal(look(IN, 0).state, RINGQ_PORT_LEFT);
}

static void test_misuse(void **state)
{
	struct ringq_port_stat s = { .size = sizeof(s) };
	int status;
	pid_t pid;

	(void)state;
	make(RINGQ_MPMC, 0, 3);
	assert_int_equal(ringq_port_stat(ring, OUT, 3, &s), -EINVAL);
	assert_int_equal(ringq_port_stat(ring, IN, UINT32_MAX, &s), -EINVAL);
	assert_int_equal(ringq_port_stat(ring, (enum ringq_role)2, 0, &s), -EINVAL);
	s.size--;
	assert_int_equal(ringq_port_stat(ring, OUT, 0, &s), -EINVAL);
	s.size = sizeof(s) + 8;
	assert_int_equal(ringq_port_stat(ring, OUT, 2, &s), 0);
	assert_int_equal(s.size, sizeof(s) + 8);

	quiet();
	pid = fork();
	if (!pid) {
		must(ringq_port_stat(ring, OUT, 0, &s) == -ESTALE && ringq_bury(ring) == -ESTALE);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	pid = start_and_stop(act_lock);
	assert_int_equal(ringq_bury(ring), -ETIMEDOUT);
	end(pid);
	assert_int_equal(ringq_bury(ring), 0);
}

/* Who observes is no member: the ring's name ends with its members. */
static void test_observer(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8,
	};
	struct ringq_opts to_look = {
		.size = sizeof(to_look), .memory = RINGQ_MEMFD, .flags = RINGQ_OBSERVE,
	};
	struct ringq *observer, *late;
	struct ringq_port port;
	char name[40];

	(void)state;
	snprintf(name, sizeof(name), "observed-%d", getpid());
	opts.name = name;
	to_look.name = name;
	assert_int_equal(ringq_create(&to_look, &observer), -EINVAL);
	assert_int_equal(ringq_open(&to_look, &observer), -EINVAL);
	assert_int_equal(ringq_join(&to_look, &observer), -ENOENT);
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_attach(ring, OUT, &port), 0);
	assert_int_equal(ringq_join(&to_look, &observer), 0);
	assert_int_equal(ringq_attach(observer, IN, &mine_first), -EACCES);
	ringq_detach(&port);
	ringq_leave(ring);
	ring = observer;
	assert_int_equal(look(OUT, 0).state, RINGQ_PORT_LEFT);
	opts.flags = RINGQ_ANY_OWNER;
	assert_int_equal(ringq_join(&opts, &late), -ENOENT);
}

static unsigned char *map_all(uint64_t *size)
{
	struct ringq_info info = { .size = sizeof(info) };
	unsigned char *at;

	assert_int_equal(ringq_get_info(ring, &info), 0);
	*size = info.total;
	at = mmap(NULL, info.total, PROT_READ | PROT_WRITE, MAP_SHARED, ringq_fd(ring), 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* A process of another pid namespace has no number here. */
static void test_namespace(void **state)
{
	struct ringq_port_page *page;
	unsigned char *at;
	uint64_t size;
	pid_t pid;

	(void)state;
	make(RINGQ_SPSC, 0, 1);
	records = false;
	pid = start_and_stop(act_hold);
	at = map_all(&size);
	page = (void *)(at + ((const struct ringq_header *)at)->layout.ports);
	assert_int_equal(look(OUT, 0).pid, pid);
	page->pid_ns++;
	assert_int_equal(look(OUT, 0).pid, 0);
	page->pid_ns = 0;
	assert_int_equal(look(OUT, 0).pid, 0);
	munmap(at, size);
	end(pid);
}

/* Whatever stands in shared memory, it is answered, and in a while. */
static void scribble(unsigned char *at, uint64_t size, unsigned int round)
{
	static const unsigned char favourites[] = { 0, 1, 2, 3, 0x40, 0x80, 0xc0, 0xff };
	uint64_t i;

	for (i = sizeof(struct ringq_header); i < size; i++) {
		if (round % 2)
			at[i] = favourites[random() % sizeof(favourites)];
		else
			at[i] = random();
	}
}

/* All of them, for what others hold is not even looked at. */
static void make_live(unsigned char *at, uint32_t ports)
{
	const struct ringq_layout *l = &((const struct ringq_header *)at)->layout;
	struct ringq_port_page *page;
	uint32_t i;

	for (i = 0; i < ports; i++) {
		page = (void *)(at + l->ports + i * l->port_stride);
		page->state = RINGQ_PORT_LIVE;
	}
}

static void test_garbage(void **state)
{
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_port_stat s;
	unsigned char *at;
	unsigned int round;
	uint64_t size;
	uint32_t j;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(kinds); i++) {
		make(kinds[i].discipline, kinds[i].flags, kinds[i].ports);
		assert_int_equal(ringq_get_info(ring, &info), 0);
		at = map_all(&size);
		for (round = 0; round < 8; round++) {
			scribble(at, size, round);
			make_live(at, info.producers + info.consumers);
			for (j = 0; j < info.producers + info.consumers; j++) {
				s = look(j < info.producers ? OUT : IN,
					 j < info.producers ? j : j - info.producers);
				assert_true(s.held <= info.capacity * info.producers);
			}
		}
		munmap(at, size);
		ringq_leave(ring);
	}
	ring = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_consumers, teardown),
		cmocka_unit_test_teardown(test_producers, teardown),
		cmocka_unit_test_teardown(test_several, teardown),
		cmocka_unit_test_teardown(test_lossy, teardown),
		cmocka_unit_test_teardown(test_lanes, teardown),
		cmocka_unit_test_teardown(test_slowest, teardown),
		cmocka_unit_test_teardown(test_heirs, teardown),
		cmocka_unit_test_teardown(test_kept, teardown),
		cmocka_unit_test_teardown(test_steps, teardown),
		cmocka_unit_test_teardown(test_blocked, teardown),
		cmocka_unit_test_teardown(test_sleepers, teardown),
		cmocka_unit_test_teardown(test_left, teardown),
		cmocka_unit_test_teardown(test_private, teardown),
		cmocka_unit_test_teardown(test_misuse, teardown),
		cmocka_unit_test_teardown(test_observer, teardown),
		cmocka_unit_test_teardown(test_namespace, teardown),
		cmocka_unit_test_teardown(test_garbage, teardown),
	};

	alarm(LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
