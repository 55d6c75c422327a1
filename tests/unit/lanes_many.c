// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LANES with everybody at once: threads and processes, one to four producers, one to three
 * consumers, rings that are always full or empty. Nothing is lost, nothing comes twice, and a
 * lane's messages come in order whoever takes them; producers come and go; consumers are
 * killed. Who waits for ever here was not woken: the alarm ends the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../quiet.h"

#define LANES 4
#define CONSUMERS 3
#define MESSAGES 20000
#define BATCH 24
#define SIZE 200

/*
 * What all know, in memory that they share. Each lane's words belong to who has the lane: its
 * producer, or the consumer that has peeked there; that they need no lock is what is tested.
 */
struct lane_state {
	uint64_t sent __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t next __attribute__((aligned(RINGQ_LINE_PAIR)));
	uint64_t seen[MESSAGES / 64 + 1];
};

struct shared {
	struct lane_state lanes[LANES];
	uint64_t wrong;		/* the line that found it */
	uint64_t again;		/* messages that came again, flagged */
	uint64_t in_hand;	/* a consumer has peeked, and waits to be killed */
	uint64_t enough;	/* producers may stop */
};

static struct shared *shared;

static void setup_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	assert_true(shared != MAP_FAILED);
}

static void drop_shared(void)
{
	munmap(shared, sizeof(*shared));
}

/* Threads and children do not assert: they say where they found something wrong. */
#define CHECK(cond)								\
	do {									\
		if (!(cond))							\
			__atomic_store_n(&shared->wrong, __LINE__, __ATOMIC_RELAXED); \
	} while (0)

static void nothing_wrong(void)
{
	if (shared->wrong)
		fail_msg("line %u", (unsigned int)shared->wrong);
}

static uint64_t dice(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

static struct ringq *make(uint32_t memory, size_t elem_size, unsigned int producers,
			  unsigned int consumers, uint32_t flags)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = RINGQ_LANES,
		.elem_size = elem_size, .capacity = 28, .producers = producers,
		.consumers = consumers, .flags = flags,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static void fill(unsigned char *msg, size_t size, unsigned int lane, uint64_t n)
{
	uint64_t word = (uint64_t)lane << 56 | n;

	memset(msg, n * 31 + lane, size);
	memcpy(msg, &word, sizeof(word));
}

/* Its number, if it is whole and of that lane. */
static uint64_t number_of(const unsigned char *msg, size_t size, unsigned int lane)
{
	uint64_t word;
	size_t i;

	memcpy(&word, msg, sizeof(word));
	CHECK(word >> 56 == lane);
	word &= (1ull << 56) - 1;
	for (i = sizeof(word); i < size; i++)
		CHECK(msg[i] == (unsigned char)(word * 31 + lane));
	return word;
}

/* Sends so many of the next messages of the port's lane, in ways that change. */
static void produce(struct ringq_port *out, uint64_t many, uint64_t seed)
{
	struct lane_state *lane = &shared->lanes[ringq_lane(out)];
	unsigned char msgs[BATCH * SIZE];
	size_t size = out->elem_size;
	uint64_t n, i, end = lane->sent + many;

	while (lane->sent < end) {
		n = 1 + dice(&seed) % BATCH;
		if (n > end - lane->sent)
			n = end - lane->sent;
		for (i = 0; i < n; i++)
			fill(msgs + i * size, size, ringq_lane(out), lane->sent + i);
		switch (dice(&seed) % 3) {
		case 0:
			n = 1;
			CHECK(ringq_send(out, msgs, RINGQ_FOREVER) == 1);
			break;
		case 1:
			CHECK(ringq_send_many(out, msgs, n, RINGQ_FOREVER) == (int64_t)n);
			break;
		case 2:
			CHECK(ringq_reserve(out, n, RINGQ_FOREVER) == 0);
			for (i = 0; i < n; i++)
				memcpy(ringq_at(out, i), msgs + i * size, size);
			n = n > 1 ? n - 1 : n;
			CHECK(ringq_commit(out, n) == 0);
			break;
		}
		lane->sent += n;
	}
}

/* A message was received: once, and after those of its lane that this consumer had before. */
static void note(uint64_t *last, unsigned int lane, uint64_t n)
{
	uint64_t bit = 1ull << n % 64;

	if (n >= MESSAGES) {
		CHECK(false);
		return;
	}
	CHECK(!(__atomic_fetch_or(&shared->lanes[lane].seen[n / 64], bit, __ATOMIC_RELAXED) & bit));
	CHECK(n >= last[lane]);
	last[lane] = n + 1;
}

/*
 * Looks at a batch in place. While it is in hand the lane is this consumer's: what comes is
 * exactly what comes next. What is flagged may have come before.
 */
static int64_t peek_in_order(struct ringq_port *in, uint64_t most)
{
	int64_t n = ringq_peek(in, most, RINGQ_FOREVER), i;
	struct lane_state *lane;
	unsigned int number;
	uint64_t got;

	if (n <= 0)
		return n;
	number = ringq_lane(in);
	lane = &shared->lanes[number];
	for (i = 0; i < n; i++) {
		got = number_of(ringq_at(in, i), in->elem_size, number);
		if (ringq_flags(in) && got < lane->next) {
			__atomic_fetch_add(&shared->again, 1, __ATOMIC_RELAXED);
			continue;
		}
		CHECK(got == lane->next);
		lane->next = got + 1;
	}
	return n;
}

/* Until end-of-file. Peeks only, or in ways that change. */
static void consume(struct ringq_port *in, bool peeks, uint64_t seed)
{
	unsigned char msgs[BATCH * SIZE];
	uint64_t last[LANES] = { 0 };
	size_t size = in->elem_size;
	int64_t n, i;

	do {
		n = 1 + dice(&seed) % BATCH;
		switch (peeks ? 2 : dice(&seed) % 2) {
		case 0:
			n = ringq_recv(in, msgs, RINGQ_FOREVER);
			break;
		case 1:
			n = ringq_recv_many(in, msgs, n, RINGQ_FOREVER);
			break;
		case 2:
			n = peek_in_order(in, n);
			CHECK(n <= 0 || ringq_release(in, n) == 0);
			break;
		}
		for (i = 0; !peeks && i < n; i++)
			note(last, ringq_lane(in),
			     number_of(msgs + i * size, size, ringq_lane(in)));
	} while (n > 0);
	CHECK(n == 0);
}

struct work {
	pthread_t thread;
	struct ringq_port port;
	struct ringq *ring;
	uint64_t seed;
	uint64_t many;
	bool peeks;
};

static void *producer_thread(void *arg)
{
	struct work *w = arg;

	produce(&w->port, w->many, w->seed);
	ringq_detach(&w->port);
	return NULL;
}

static void *consumer_thread(void *arg)
{
	struct work *w = arg;

	consume(&w->port, w->peeks, w->seed);
	ringq_detach(&w->port);
	return NULL;
}

static void run_threads(unsigned int producers, unsigned int consumers, size_t size, bool peeks,
			uint64_t many)
{
	struct ringq *ring = make(RINGQ_PRIVATE, size, LANES, consumers, 0);
	struct work out[LANES], in[CONSUMERS];
	unsigned int i, n;

	setup_shared();
	for (i = 0; i < producers; i++) {
		out[i].seed = i;
		out[i].many = many;
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out[i].port), 0);
	}
	for (i = 0; i < consumers; i++) {
		in[i].seed = i;
		in[i].peeks = peeks;
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in[i].port), 0);
	}
	for (i = 0; i < consumers; i++)
		pthread_create(&in[i].thread, NULL, consumer_thread, &in[i]);
	for (i = 0; i < producers; i++)
		pthread_create(&out[i].thread, NULL, producer_thread, &out[i]);
	for (i = 0; i < producers; i++)
		pthread_join(out[i].thread, NULL);
	for (i = 0; i < consumers; i++)
		pthread_join(in[i].thread, NULL);
	nothing_wrong();
	for (i = 0; i < producers; i++) {
		assert_int_equal(shared->lanes[i].sent, many);
		for (n = 0; n < many && !peeks; n++)
			assert_true(shared->lanes[i].seen[n / 64] >> n % 64 & 1);
		if (peeks)
			assert_int_equal(shared->lanes[i].next, many);
	}
	drop_shared();
	ringq_leave(ring);
}

static void threads(void **state)
{
	unsigned int producers, consumers;

	(void)state;
	alarm(120);
	for (producers = 1; producers <= LANES; producers++) {
		for (consumers = 1; consumers <= CONSUMERS; consumers++) {
			run_threads(producers, consumers, 8, false, MESSAGES);
			run_threads(producers, consumers, 8, true, MESSAGES);
		}
	}
	run_threads(3, 2, SIZE, false, MESSAGES / 4);
	run_threads(3, 2, SIZE, true, MESSAGES / 4);
	alarm(0);
}

static void *one_receiver(void *arg)
{
	struct work *w = arg;
	uint64_t msg = 0;

	CHECK(ringq_recv(&w->port, &msg, RINGQ_FOREVER) == 1);
	w->seed = msg;
	return NULL;
}

/* One sleeps, because another has the lane: that one leaves something behind, and wakes it. */
static void handed_on(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, 8, 1, 2, 0);
	struct ringq_port out, in;
	struct work other;
	uint64_t way, msg;

	(void)state;
	alarm(60);
	setup_shared();
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &other.port), 0);
	for (way = 0; way < 2; way++) {
		for (msg = 0; msg < 3; msg++)
			assert_int_equal(ringq_send(&out, &msg, RINGQ_NOWAIT), 1);
		assert_int_equal(ringq_peek(&in, 3, RINGQ_NOWAIT), 3);
		pthread_create(&other.thread, NULL, one_receiver, &other);
		while (__atomic_load_n(&other.port.page->wake, __ATOMIC_SEQ_CST) != RINGQ_ASLEEP)
			usleep(100);
		/* It is still to be left alone for a while. */
		usleep(1000);
		assert_int_equal(ringq_release(&in, 2 * way), 0);
		pthread_join(other.thread, NULL);
		assert_int_equal(other.seed, 2 * way);
		while (ringq_recv(&in, &msg, RINGQ_NOWAIT) == 1)
			;
	}
	nothing_wrong();
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_detach(&other.port);
	drop_shared();
	ringq_leave(ring);
	alarm(0);
}

#define SESSIONS 100
#define PER_SESSION 50

/* Registers, sends a little, leaves, and again, in whatever lane is free. */
static void *visitor_thread(void *arg)
{
	struct work *w = arg;
	unsigned int i;

	for (i = 0; i < SESSIONS; i++) {
		CHECK(ringq_attach(w->ring, RINGQ_PRODUCER, &w->port) == 0);
		produce(&w->port, dice(&w->seed) % PER_SESSION, w->seed);
		ringq_detach(&w->port);
	}
	return NULL;
}

static void coming_and_going(void **state)
{
	struct ringq *ring = make(RINGQ_PRIVATE, 8, LANES, 2, RINGQ_PRODUCER_WAIT);
	struct work out[LANES], in[2];
	unsigned int i;

	(void)state;
	alarm(120);
	setup_shared();
	for (i = 0; i < 2; i++) {
		in[i] = (struct work){ .seed = i, .peeks = true };
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in[i].port), 0);
		pthread_create(&in[i].thread, NULL, consumer_thread, &in[i]);
	}
	for (i = 0; i < LANES; i++) {
		out[i] = (struct work){ .seed = i, .ring = ring };
		pthread_create(&out[i].thread, NULL, visitor_thread, &out[i]);
	}
	for (i = 0; i < LANES; i++)
		pthread_join(out[i].thread, NULL);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out[0].port), 0);
	assert_int_equal(ringq_close(&out[0].port), 0);
	for (i = 0; i < 2; i++)
		pthread_join(in[i].thread, NULL);
	ringq_detach(&out[0].port);
	nothing_wrong();
	for (i = 0; i < LANES; i++)
		assert_int_equal(shared->lanes[i].next, shared->lanes[i].sent);
	assert_true(shared->lanes[0].sent > PER_SESSION);
	drop_shared();
	ringq_leave(ring);
	alarm(0);
}

/* A child with a port of its own. */
static pid_t child(int fd, enum ringq_role role, void (*run)(struct ringq_port *))
{
	struct ringq_port port;
	struct ringq *ring;
	pid_t pid;

	quiet();
	pid = fork();
	if (pid)
		return pid;
	alarm(100);
	if (ringq_join_fd(fd, NULL, &ring) == 0 && ringq_attach(ring, role, &port) == 0) {
		run(&port);
		ringq_detach(&port);
		ringq_leave(ring);
		_exit(0);
	}
	CHECK(false);
	_exit(1);
}

static void child_produces(struct ringq_port *out)
{
	produce(out, MESSAGES / 4, getpid());
}

static void child_produces_on(struct ringq_port *out)
{
	while (!__atomic_load_n(&shared->enough, __ATOMIC_RELAXED))
		produce(out, 100, getpid());
}

static void child_consumes(struct ringq_port *in)
{
	consume(in, true, getpid());
}

static void reap(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the child: status %x", status);
}

static void processes(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, 8, LANES, CONSUMERS + 1, RINGQ_PRODUCER_WAIT);
	pid_t producers[LANES], consumers[CONSUMERS];
	struct ringq_port idle;
	unsigned int i;

	(void)state;
	alarm(120);
	setup_shared();
	/* It has a shard like the others, and never comes. */
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &idle), 0);
	for (i = 0; i < CONSUMERS; i++)
		consumers[i] = child(ringq_fd(ring), RINGQ_CONSUMER, child_consumes);
	for (i = 0; i < LANES; i++)
		producers[i] = child(ringq_fd(ring), RINGQ_PRODUCER, child_produces);
	for (i = 0; i < LANES; i++)
		reap(producers[i]);
	assert_int_equal(ringq_close(&idle), 0);
	for (i = 0; i < CONSUMERS; i++)
		reap(consumers[i]);
	nothing_wrong();
	for (i = 0; i < LANES; i++) {
		assert_int_equal(shared->lanes[i].next, shared->lanes[i].sent);
		assert_int_equal(ringq_lane_pending(&idle, i), 0);
	}
	ringq_detach(&idle);
	drop_shared();
	ringq_leave(ring);
	alarm(0);
}

static void child_holds(struct ringq_port *in)
{
	CHECK(peek_in_order(in, 3) == 3);
	__atomic_store_n(&shared->in_hand, 1, __ATOMIC_RELEASE);
	pause();
}

/* A consumer is killed with something in hand: it comes again, flagged, to one that sleeps. */
static void killed_with_something_in_hand(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, 8, 2, 2, RINGQ_CONSUMER_WAIT);
	struct ringq_port out, in;
	uint64_t msgs[10];
	unsigned int round;
	pid_t pid;

	(void)state;
	alarm(60);
	setup_shared();
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	for (round = 0; round < 3; round++) {
		shared->in_hand = 0;
		shared->lanes[0].next = shared->lanes[0].sent;
		produce(&out, 5, round);
		pid = child(ringq_fd(ring), RINGQ_CONSUMER, child_holds);
		while (!__atomic_load_n(&shared->in_hand, __ATOMIC_ACQUIRE))
			usleep(100);
		assert_int_equal(ringq_recv(&in, msgs, RINGQ_NOWAIT), -EAGAIN);
		kill(pid, SIGKILL);
		assert_int_equal(ringq_recv_many(&in, msgs, 10, RINGQ_FOREVER), 3);
		assert_int_equal(ringq_flags(&in), RINGQ_REDELIVERED);
		assert_int_equal(msgs[0], 5 * round);
		assert_int_equal(ringq_recv_many(&in, msgs, 10, RINGQ_FOREVER), 2);
		assert_int_equal(ringq_flags(&in), 0);
		assert_int_equal(msgs[0], 5 * round + 3);
		waitpid(pid, NULL, 0);
	}
	nothing_wrong();
	ringq_detach(&out);
	ringq_detach(&in);
	drop_shared();
	ringq_leave(ring);
	alarm(0);
}

#define KILLS 40

/* Consumers are killed at any moment; others, that sleep or not, go on. */
static void killed_at_random(void **state)
{
	struct ringq *ring = make(RINGQ_MEMFD, 8, 2, CONSUMERS + 1,
				  RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT);
	pid_t producers[2], consumers[CONSUMERS];
	struct ringq_port idle;
	uint64_t seed = 1;
	unsigned int i, k;

	(void)state;
	alarm(120);
	setup_shared();
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &idle), 0);
	for (i = 0; i < CONSUMERS; i++)
		consumers[i] = child(ringq_fd(ring), RINGQ_CONSUMER, child_consumes);
	for (i = 0; i < 2; i++)
		producers[i] = child(ringq_fd(ring), RINGQ_PRODUCER, child_produces_on);
	for (k = 0; k < KILLS; k++) {
		usleep(dice(&seed) % 3000);
		i = dice(&seed) % CONSUMERS;
		kill(consumers[i], SIGKILL);
		waitpid(consumers[i], NULL, 0);
		consumers[i] = child(ringq_fd(ring), RINGQ_CONSUMER, child_consumes);
	}
	__atomic_store_n(&shared->enough, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		reap(producers[i]);
	assert_int_equal(ringq_close(&idle), 0);
	for (i = 0; i < CONSUMERS; i++)
		reap(consumers[i]);
	nothing_wrong();
	for (i = 0; i < 2; i++) {
		assert_in_range(shared->lanes[i].sent, KILLS, UINT32_MAX);
		assert_int_equal(shared->lanes[i].next, shared->lanes[i].sent);
	}
	ringq_detach(&idle);
	drop_shared();
	ringq_leave(ring);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
		cmocka_unit_test(handed_on),
		cmocka_unit_test(coming_and_going),
		cmocka_unit_test(processes),
		cmocka_unit_test(killed_with_something_in_hand),
		cmocka_unit_test(killed_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
