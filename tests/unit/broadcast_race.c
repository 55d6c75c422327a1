// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LOSSY and LATEST, at the same time: a reader comes in the midst of a write, a writer in the midst
 * of a read, and a producer overruns everybody. Nothing that is returned is torn or old.
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
#include <unistd.h>
#include "broadcast.h"

/*
 * Something happens in the midst of a copy: the buffer that is copied to or from, half lies in a
 * page that cannot be accessed; who touches it comes here, in the middle of the call.
 */
#define PAGE 65536ul

static struct {
	unsigned char *pages;	/* two of them */
	void (*happens)(void);
	struct ringq_port out, in;
	uint64_t sent, next;
	int64_t result;
} midst;

static void midst_handler(int sig)
{
	(void)sig;
	mprotect(midst.pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
	midst.happens();
}

static void midst_begin(void)
{
	const struct sigaction act = { .sa_handler = midst_handler };

	midst.pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(midst.pages != MAP_FAILED);
	assert_int_equal(sigaction(SIGSEGV, &act, NULL), 0);
}

static void midst_end(void)
{
	signal(SIGSEGV, SIG_DFL);
	munmap(midst.pages, 2 * PAGE);
}

/* So much of the buffer can be accessed; what follows it cannot, until that is tried. */
static unsigned char *midst_buffer(size_t before)
{
	return midst.pages + PAGE - before;
}

static void midst_arm(void (*happens)(void))
{
	midst.happens = happens;
	mprotect(midst.pages + PAGE, PAGE, PROT_NONE);
}

/* A reader comes to where the producer is just writing. */
static void midst_read(void)
{
	unsigned char msg[1264];

	midst.result = ringq_recv(&midst.in, msg, RINGQ_NOWAIT);
}

/* The producer comes round to where a reader is just reading. */
static void midst_overwrite(void)
{
	uint64_t n = ringq_lossy_most(&midst.out, midst.out.elem_size) +
		     per_slot(midst.out.elem_size);
	unsigned char msg[1264];

	for (; n; n--) {
		fill(msg, midst.out.elem_size, midst.sent++);
		if (ringq_send(&midst.out, msg, RINGQ_NOWAIT) != 1)
			abort();
	}
}

/* A ring whose next message begins a slot, and a reader whose next message was in that slot. */
static struct ringq *midst_ring(uint32_t discipline, size_t size)
{
	struct ringq *ring = make(discipline, size, 12);
	uint64_t capacity = capacity_of(ring), each = per_slot(size);

	attach(ring, RINGQ_PRODUCER, &midst.out);
	attach(ring, RINGQ_CONSUMER, &midst.in);
	midst.sent = 2 * capacity + each - (FIRST + 2 * capacity) % each;
	midst.next = midst.sent - capacity;
	send_range(&midst.out, 0, midst.next);
	if (discipline == RINGQ_LOSSY) {
		unsigned char msg[1264];

		while (ringq_recv(&midst.in, msg, 0) != -EAGAIN)
			;
	}
	send_range(&midst.out, midst.next, midst.sent);
	return ring;
}

static void midst_leave(struct ringq *ring)
{
	ringq_detach(&midst.in);
	ringq_detach(&midst.out);
	ringq_leave(ring);
}

static void midst_of_writing(void **state)
{
	unsigned char msg[1264];
	unsigned int s, many;

	(void)state;
	midst_begin();
	for (s = 0; s < COUNT(sizes) * 2; s++) {
		size_t size = sizes[s / 2];
		struct ringq *ring = midst_ring(RINGQ_LOSSY, size);
		unsigned char *at = midst_buffer(size / 2);

		many = s % 2;
		fill(at, size, midst.sent);
		midst_arm(midst_read);
		if (many)
			assert_int_equal(ringq_send_many(&midst.out, at, 1, 0), 1);
		else
			assert_int_equal(ringq_send(&midst.out, at, 0), 1);
		/* It was told that it was too late, though half of it was still there. */
		assert_int_equal(midst.result, -EOVERFLOW);
		recv_range(&midst.in, midst.next + ringq_lost_last(&midst.in), midst.sent + 1, 1);
		midst_leave(ring);

		/* LATEST has another one for him meanwhile. */
		ring = midst_ring(RINGQ_LATEST, size);
		fill(at, size, midst.sent);
		midst_arm(midst_read);
		assert_int_equal(ringq_send(&midst.out, at, 0), 1);
		assert_int_equal(midst.result, 1);
		assert_int_equal(ringq_recv(&midst.in, msg, 0), 1);
		check_message(msg, size, midst.sent);
		midst_leave(ring);
	}
	midst_end();
}

static void midst_of_reading(void **state)
{
	struct ringq_glance glance;
	uint64_t lost;
	unsigned int s;

	(void)state;
	midst_begin();
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = midst_ring(RINGQ_LOSSY, sizes[s]);
		unsigned char *at = midst_buffer(sizes[s] / 2);
		uint64_t each = per_slot(sizes[s]);

		midst_arm(midst_overwrite);
		assert_int_equal(ringq_recv(&midst.in, at, 0), -EOVERFLOW);
		lost = ringq_lost_last(&midst.in);
		recv_range(&midst.in, midst.next + lost, midst.sent, 1);
		midst_leave(ring);

		ring = midst_ring(RINGQ_LOSSY, sizes[s]);
		midst_arm(midst_overwrite);
		assert_int_equal(ringq_recv_many(&midst.in, at, 1, 0), -EOVERFLOW);
		lost = ringq_lost_last(&midst.in);
		recv_range(&midst.in, midst.next + lost, midst.sent, 1);
		midst_leave(ring);

		/* In the second slot: the first is delivered, the loss is told by the next call. */
		ring = midst_ring(RINGQ_LOSSY, sizes[s]);
		at = midst_buffer(each * sizes[s] + sizes[s] / 2);
		midst_arm(midst_overwrite);
		assert_int_equal(ringq_recv_many(&midst.in, at, each + 1, 0), each);
		check_message(at, sizes[s], midst.next);
		check_message(at + (each - 1) * sizes[s], sizes[s], midst.next + each - 1);
		assert_int_equal(ringq_recv_many(&midst.in, at, 1, 0), -EOVERFLOW);
		lost = ringq_lost_last(&midst.in);
		recv_range(&midst.in, midst.next + each + lost, midst.sent, 1);
		midst_leave(ring);

		ring = midst_ring(RINGQ_LOSSY, sizes[s]);
		at = midst_buffer(sizes[s] / 2);
		assert_int_equal(ringq_glance(&midst.in, &glance, 0), 1);
		midst_arm(midst_overwrite);
		assert_int_equal(ringq_glance_read(&midst.in, &glance, at), -EOVERFLOW);
		midst_leave(ring);

		/* LATEST takes the newest, and not what it began with. */
		ring = midst_ring(RINGQ_LATEST, sizes[s]);
		midst_arm(midst_overwrite);
		assert_int_equal(ringq_recv(&midst.in, at, 0), 1);
		check_message(at, sizes[s], midst.sent - 1);
		midst_arm(midst_overwrite);
		assert_int_equal(ringq_latest(&midst.in, at), 1);
		check_message(at, sizes[s], midst.sent - 1);
		midst_leave(ring);
	}
	midst_end();
}

/*
 * The race. A producer that never waits, in a ring that holds hardly anything, and readers of
 * each kind: no message is torn, no number is wrong, and received and lost are what was sent.
 */
struct race {
	struct ringq *ring;
	size_t size;
	uint64_t n;		/* messages to be sent */
	uint32_t batch;
	bool wrong;
	struct ringq_port out;
};

enum how { BY_RECV, BY_RECV_MANY, BY_PEEK, BY_GLANCE, HOWS };

struct racer {
	struct race *race;
	enum how how;
	struct ringq_port in;
	uint64_t got;
	pthread_t thread;
};

static void *race_send(void *arg)
{
	struct race *race = arg;
	unsigned char *msgs = malloc(race->batch * race->size);
	uint64_t seq = 0, n, i;

	while (seq < race->n) {
		n = race->n - seq < race->batch ? race->n - seq : race->batch;
		for (i = 0; i < n; i++)
			fill(msgs + i * race->size, race->size, seq + i);
		if (seq / race->batch % 3 == 2 && n <= ringq_lossy_most(&race->out, race->size)) {
			if (ringq_reserve(&race->out, n, 0) < 0)
				break;
			for (i = 0; i < n; i++)
				ringq_lossy_copy(ringq_at(&race->out, i), msgs + i * race->size,
						 race->size, 1);
			ringq_commit(&race->out, n);
		} else if (ringq_send_many(&race->out, msgs, n, 0) != (int64_t)n) {
			break;
		}
		seq += n;
	}
	race->wrong = seq != race->n;
	ringq_close(&race->out);
	free(msgs);
	return NULL;
}

/* Gets some messages, and says how many; their contents are in msgs. */
static int64_t race_recv(struct racer *r, unsigned char *msgs, uint64_t most)
{
	struct ringq_glance glance;
	int64_t n, i;

	switch (r->how) {
	case BY_RECV:
		return ringq_recv(&r->in, msgs, RINGQ_FOREVER);
	case BY_RECV_MANY:
		return ringq_recv_many(&r->in, msgs, most, RINGQ_FOREVER);
	case BY_PEEK:
		n = ringq_peek(&r->in, most, RINGQ_FOREVER);
		if (n <= 0)
			return n;
		for (i = 0; i < n; i++)
			ringq_lossy_copy(msgs + i * r->race->size, ringq_at(&r->in, i),
					 r->race->size, 1);
		i = ringq_release(&r->in, n);
		return i < 0 ? i : n;
	default:
		n = ringq_glance(&r->in, &glance, RINGQ_FOREVER);
		if (n <= 0)
			return n;
		/* It was taken, whether it can be read or not. */
		if (ringq_glance_read(&r->in, &glance, msgs) == -EOVERFLOW)
			fill(msgs, r->race->size, glance.position - FIRST);
		return n;
	}
}

static void *race_receive(void *arg)
{
	struct racer *r = arg;
	struct race *race = r->race;
	const uint64_t most = 5;
	unsigned char *msgs = malloc(most * race->size);
	int64_t n, i;

	while ((n = race_recv(r, msgs, most)) != 0) {
		if (n == -EOVERFLOW && ringq_lost_last(&r->in))
			continue;
		if (n < 0) {
			race->wrong = true;
			break;
		}
		for (i = 0; i < n; i++) {
			if (!is_whole(msgs + i * race->size, race->size,
				      r->got + i + ringq_lost(&r->in)))
				race->wrong = true;
		}
		r->got += n;
	}
	free(msgs);
	return NULL;
}

static void race_once(size_t size, uint64_t capacity, uint32_t batch, uint64_t n, enum how how)
{
	struct race race = {
		.ring = make(RINGQ_LOSSY, size, capacity), .size = size, .n = n, .batch = batch,
	};
	struct racer racers[2] = { { .race = &race, .how = how }, { .race = &race, .how = how } };
	pthread_t writer;
	unsigned int i;

	attach(race.ring, RINGQ_PRODUCER, &race.out);
	for (i = 0; i < 2; i++) {
		attach(race.ring, RINGQ_CONSUMER, &racers[i].in);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race_receive, &racers[i]),
				 0);
	}
	assert_int_equal(pthread_create(&writer, NULL, race_send, &race), 0);
	pthread_join(writer, NULL);
	for (i = 0; i < 2; i++) {
		pthread_join(racers[i].thread, NULL);
		if (race.wrong)
			fail_msg("%zu bytes, capacity %llu, way %d: torn, or miscounted", size,
				 (unsigned long long)capacity, how);
		assert_int_equal(racers[i].got + ringq_lost(&racers[i].in), n);
		ringq_detach(&racers[i].in);
	}
	ringq_detach(&race.out);
	ringq_leave(race.ring);
}

static void race(void **state)
{
	static const struct {
		size_t size;
		uint64_t capacity;
		uint32_t batch;
		uint64_t n;
	} races[] = {
		{ 8, 14, 1, 200000 }, { 8, 28, 11, 200000 }, { 24, 4, 1, 100000 },
		{ 56, 2, 1, 200000 }, { 56, 8, 5, 200000 }, { 1264, 2, 1, 30000 },
		{ 1264, 8, 5, 30000 }, { 70000, 2, 1, 800 }, { 70000, 4, 3, 800 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(races) * HOWS; i++)
		race_once(races[i / HOWS].size, races[i / HOWS].capacity, races[i / HOWS].batch,
			  races[i / HOWS].n, i % HOWS);
}

/* Readers that share what none of them could take alone lose nothing if nobody is overrun. */
static void *share_receive(void *arg)
{
	struct racer *r = arg;
	struct race *race = r->race;
	unsigned char msg[8];

	while (ringq_recv(&r->in, msg, RINGQ_FOREVER) == 1) {
		if (!is_whole(msg, sizeof(msg), r->in.index + 3 * r->got))
			race->wrong = true;
		r->got++;
	}
	return NULL;
}

static void share(void **state)
{
	struct race race = {
		.ring = make(RINGQ_LOSSY, 8, 1 << 17), .size = 8, .n = 100000, .batch = 7,
	};
	struct racer racers[3];
	pthread_t writer;
	uint64_t got = 0;
	unsigned int i;

	(void)state;
	attach(race.ring, RINGQ_PRODUCER, &race.out);
	for (i = 0; i < 3; i++) {
		racers[i] = (struct racer){ .race = &race };
		attach_with(race.ring, 0, 3, i, &racers[i].in);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, share_receive,
						&racers[i]), 0);
	}
	assert_int_equal(pthread_create(&writer, NULL, race_send, &race), 0);
	pthread_join(writer, NULL);
	for (i = 0; i < 3; i++) {
		pthread_join(racers[i].thread, NULL);
		assert_int_equal(ringq_lost(&racers[i].in), 0);
		got += racers[i].got;
		ringq_detach(&racers[i].in);
	}
	assert_false(race.wrong);
	assert_int_equal(got, race.n);
	ringq_detach(&race.out);
	ringq_leave(race.ring);
}

/* The number of a value stands in it, unless it is too small. */
static uint64_t number_of(const unsigned char *msg)
{
	uint64_t seq;

	memcpy(&seq, msg, sizeof(seq));
	return seq;
}

static void *race_latest(void *arg)
{
	struct racer *r = arg;
	struct race *race = r->race;
	unsigned char *msg = malloc(race->size);
	uint64_t next = 0, seq;
	int64_t n;

	for (;;) {
		if (r->got % 4 == 3) {
			n = ringq_peek(&r->in, 1, RINGQ_FOREVER);
			if (n == 1) {
				ringq_lossy_copy(msg, ringq_at(&r->in, 0), race->size, 1);
				if (ringq_release(&r->in, 1) == -EOVERFLOW)
					continue;
			}
		} else {
			n = ringq_recv(&r->in, msg, RINGQ_FOREVER);
		}
		if (n <= 0)
			break;
		seq = number_of(msg);
		/* Never the same, never an older one. */
		if (seq < next || !is_whole(msg, race->size, seq))
			race->wrong = true;
		next = seq + 1;
		n = ringq_latest(&r->in, msg);
		seq = number_of(msg);
		if (n != 1 || seq < next - 1 || !is_whole(msg, race->size, seq))
			race->wrong = true;
		next = seq + 1;
		r->got++;
	}
	/* The last one is not missed. */
	if (n < 0 || next != race->n)
		race->wrong = true;
	free(msg);
	return NULL;
}

static void *race_store(void *arg)
{
	struct race *race = arg;
	unsigned char *msg = malloc(race->size);
	uint64_t seq;

	for (seq = 0; seq < race->n; seq++) {
		fill(msg, race->size, seq);
		if (ringq_send(&race->out, msg, 0) != 1)
			race->wrong = true;
	}
	ringq_close(&race->out);
	free(msg);
	return NULL;
}

static void race_for_latest(void **state)
{
	static const struct {
		size_t size;
		uint64_t capacity, n;
	} races[] = {
		{ 8, 14, 500000 }, { 56, 2, 300000 }, { 1264, 2, 50000 }, { 1264, 8, 50000 },
		{ 70000, 2, 1500 }, { 70000, 4, 1500 },
	};
	unsigned int i, j;

	(void)state;
	for (i = 0; i < COUNT(races); i++) {
		struct race race = {
			.ring = make(RINGQ_LATEST, races[i].size, races[i].capacity),
			.size = races[i].size, .n = races[i].n,
		};
		struct racer racers[2] = { { .race = &race }, { .race = &race } };
		pthread_t writer;

		attach(race.ring, RINGQ_PRODUCER, &race.out);
		for (j = 0; j < 2; j++) {
			attach(race.ring, RINGQ_CONSUMER, &racers[j].in);
			assert_int_equal(pthread_create(&racers[j].thread, NULL, race_latest,
							&racers[j]), 0);
		}
		assert_int_equal(pthread_create(&writer, NULL, race_store, &race), 0);
		pthread_join(writer, NULL);
		for (j = 0; j < 2; j++) {
			pthread_join(racers[j].thread, NULL);
			ringq_detach(&racers[j].in);
		}
		if (race.wrong)
			fail_msg("%zu bytes: torn, out of order, or not the last one",
				 races[i].size);
		ringq_detach(&race.out);
		ringq_leave(race.ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(midst_of_writing),
		cmocka_unit_test(midst_of_reading),
		cmocka_unit_test(race),
		cmocka_unit_test(share),
		cmocka_unit_test(race_for_latest),
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
