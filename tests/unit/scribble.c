// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The other side, or a stray pointer, scribbles over a ring that is in use: stamps, positions,
 * attention, the words of ports. Every call then returns something that it is documented to
 * return, in the end, and touches nothing outside the ring. The ring lies in memory from
 * malloc(), byte for byte as large as is needed, so that a sanitizer sees what leaves it.
 *
 * Of each family of disciplines on elements that lose nothing, one: SPSC reads in order, MPMC
 * claims.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BATCH 40

static const size_t sizes[] = { 1, 8, 29, 56, 57, 200 };

static uint32_t spsc = RINGQ_SPSC, mpmc = RINGQ_MPMC;

struct victim {
	void *buffer;
	struct ringq *ring;
	unsigned char *region;	/* where the ring's header is */
	struct ringq_header header;
	struct ringq_port out, in;
	struct ringq_port others[2];	/* MPMC, of the same sides, if there are some */
	size_t elem_size;
};

static void open_victim(struct victim *v, uint32_t discipline, size_t elem_size)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = elem_size,
		.capacity = 16, .flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
		.discipline = discipline, .producers = discipline == RINGQ_MPMC ? 2 : 1,
		.consumers = discipline == RINGQ_MPMC ? 2 : 1,
	};
	uint64_t magic = RINGQ_MAGIC;

	v->elem_size = elem_size;
	opts.buffer_size = ringq_buffer_size(&opts);
	v->buffer = opts.buffer = malloc(opts.buffer_size);
	assert_non_null(v->buffer);
	assert_int_equal(ringq_create(&opts, &v->ring), 0);
	v->region = memmem(opts.buffer, opts.buffer_size, &magic, sizeof(magic));
	assert_non_null(v->region);
	memcpy(&v->header, v->region, sizeof(v->header));
	assert_int_equal(ringq_attach(v->ring, RINGQ_PRODUCER, &v->out), 0);
	assert_int_equal(ringq_attach(v->ring, RINGQ_CONSUMER, &v->in), 0);
}

static void close_victim(struct victim *v)
{
	ringq_detach(&v->out);
	ringq_detach(&v->in);
	ringq_leave(v->ring);
	free(v->buffer);
}

static void check(const char *call, int64_t r, int64_t most)
{
	switch (r) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EINTR:
	case -EPIPE:
	case -EOWNERDEAD:
	case -EBUSY:
	case -EBADMSG:
	case -ESTALE:
		return;
	}
	if (r < 0 || r > most)
		fail_msg("%s: %lld", call, (long long)r);
}

/* Where what is read goes, so that it is read. */
static volatile unsigned char sink;

/* Every byte of what is in hand is written, or read: it must be there. */
static void touch(struct ringq_port *port, size_t elem_size, uint64_t n, bool write)
{
	unsigned char *p;
	uint64_t i, j, run;

	for (i = 0; i < n; i++) {
		p = ringq_at(port, i);
		for (j = 0; j < elem_size; j++) {
			if (write)
				p[j] = i;
			else
				sink = p[j];
		}
		p = ringq_run(port, i, &run);
		if (run < 1 || run > n - i)
			fail_msg("a run of %llu from %llu of %llu", (unsigned long long)run,
				 (unsigned long long)i, (unsigned long long)n);
		sink = p[run * elem_size - 1];
	}
}

static void use_sender(struct victim *v, int64_t timeout, unsigned int choice)
{
	static const unsigned char msgs[BATCH * 200];
	uint64_t n = 1 + choice / 4 % 16;
	int64_t r;

	switch (choice % 4) {
	case 0:
		check("send", ringq_send(&v->out, msgs, timeout), 1);
		break;
	case 1:
		check("send_many", ringq_send_many(&v->out, msgs, n, timeout), n);
		break;
	case 2:
		r = ringq_reserve(&v->out, n, timeout);
		check("reserve", r, 0);
		if (r == 0) {
			touch(&v->out, v->elem_size, n, true);
			check("commit", ringq_commit(&v->out, n - n / 2), 0);
		}
		break;
	case 3:
		check("drain", ringq_drain(&v->out, timeout), 0);
		break;
	}
}

static void use_receiver(struct victim *v, int64_t timeout, unsigned int choice)
{
	unsigned char msgs[BATCH * 200];
	uint64_t n = 1 + choice / 3 % BATCH;
	int64_t r;

	switch (choice % 3) {
	case 0:
		check("recv", ringq_recv(&v->in, msgs, timeout), 1);
		break;
	case 1:
		check("recv_many", ringq_recv_many(&v->in, msgs, n, timeout), n);
		break;
	case 2:
		r = ringq_peek(&v->in, n, timeout);
		check("peek", r, n);
		if (r > 0) {
			touch(&v->in, v->elem_size, r, false);
			check("release", ringq_release(&v->in, r - r / 2), 0);
		}
		break;
	}
}

static void use(struct victim *v, int64_t timeout)
{
	unsigned int i;

	for (i = 0; i < 24; i++) {
		use_sender(v, timeout, i * 7);
		use_receiver(v, timeout, i * 5);
	}
}

static void again(struct victim *v)
{
	int r;

	ringq_detach(&v->out);
	r = ringq_attach(v->ring, RINGQ_PRODUCER, &v->out);
	check("attach", r, 0);
	ringq_detach(&v->in);
	r = ringq_attach(v->ring, RINGQ_CONSUMER, &v->in);
	check("attach", r, 0);
}

/* Every word that is shared, but for the elements, which are the sender's business. */
static uint64_t next_word(const struct victim *v, uint64_t at)
{
	const struct ringq_layout *l = &v->header.layout;

	at += 8;
	if (at < l->bulk || at >= l->total)
		return at;
	if (v->header.geometry.shape == RINGQ_SHAPE_APART)
		return at < l->bulk + l->slots * 8 ? at : l->total;
	return (at & ~(l->slot_size - 1ull)) + l->slot_size - 8;
}

static void words(void **state)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, 5, 4 * 16 + 1, 4 * 17 + 1, 1ull << 31, 1ull << 32, 1ull << 56,
		1ull << 60, 1ull << 61, 1ull << 62, 1ull << 63, (1ull << 63) - 1, UINT64_MAX - 64,
		UINT64_MAX,
	};
	uint32_t discipline = *(uint32_t *)*state;
	uint64_t at, total;
	struct victim v;
	unsigned int s, i;

	for (s = 0; s < COUNT(sizes); s++) {
		open_victim(&v, discipline, sizes[s]);
		total = v.header.layout.total;
		at = v.header.layout.attention;
		close_victim(&v);
		for (; at + 8 <= total; at = next_word(&v, at)) {
			for (i = 0; i < COUNT(values); i++) {
				open_victim(&v, discipline, sizes[s]);
				use(&v, RINGQ_NOWAIT);
				memcpy(v.region + at, &values[i], 8);
				use(&v, RINGQ_NOWAIT);
				again(&v);
				memcpy(v.region + at, &values[i], 8);
				use(&v, RINGQ_NOWAIT);
				close_victim(&v);
			}
		}
	}
}

/* The header was read once; what it says afterwards moves nothing. */
static void header(void **state)
{
	uint32_t discipline = *(uint32_t *)*state;
	struct victim v;
	unsigned int s;

	for (s = 0; s < COUNT(sizes); s++) {
		open_victim(&v, discipline, sizes[s]);
		memset(v.region, 0xff, sizeof(struct ringq_header));
		use(&v, RINGQ_NOWAIT);
		again(&v);
		use(&v, RINGQ_NOWAIT);
		assert_true(ringq_position(&v.in) > 0);
		close_victim(&v);
	}
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* All words at once, from a generator, again and again. */
static void noise(void **state)
{
	uint64_t x = 88172645463325252ull, at, value, round, rounds;
	uint32_t discipline = *(uint32_t *)*state;
	struct victim v;

	/* Who attaches may find a port that seems to hang in a claim, and waits a second. */
	rounds = discipline == RINGQ_MPMC ? 400 : 2000;
	for (round = 0; round < rounds; round++) {
		open_victim(&v, discipline, sizes[round % COUNT(sizes)]);
		use(&v, RINGQ_NOWAIT);
		for (at = v.header.layout.attention; at + 8 <= v.header.layout.total;
		     at = next_word(&v, at)) {
			value = next_random(&x);
			/* Small ones come near what is true. */
			if (round % 2)
				value &= 127;
			if (next_random(&x) % 4 == 0)
				memcpy(v.region + at, &value, 8);
		}
		use(&v, RINGQ_NOWAIT);
		again(&v);
		use(&v, 1);
		close_victim(&v);
	}
}

static bool stop;

static void *scribble(void *arg)
{
	struct victim *v = arg;
	uint64_t x = 2463534242ull, from = v->header.layout.attention, words, at, value;

	words = (v->header.layout.total - from) / 8;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		at = from + next_random(&x) % words * 8;
		value = next_random(&x);
		value >>= value & 63;
		__atomic_store_n((uint64_t *)(v->region + at), value, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *send_all(void *arg)
{
	unsigned int i;

	for (i = 0; i < 20000; i++)
		use_sender(arg, i % 3 ? RINGQ_NOWAIT : 10000, i);
	return NULL;
}

/* While both sides run, and sleep: with a time-out, for nobody may be there to wake them. */
static void at_the_same_time(void **state)
{
	uint32_t discipline = *(uint32_t *)*state;
	pthread_t sender, scribbler;
	struct victim v;
	unsigned int s, i;

	for (s = 0; s < COUNT(sizes); s++) {
		open_victim(&v, discipline, sizes[s]);
		for (i = 0; i < 2 && discipline == RINGQ_MPMC && s % 2; i++)
			assert_int_equal(ringq_attach(v.ring, i, &v.others[i]), 0);
		stop = false;
		assert_int_equal(pthread_create(&scribbler, NULL, scribble, &v), 0);
		assert_int_equal(pthread_create(&sender, NULL, send_all, &v), 0);
		for (i = 0; i < 20000; i++)
			use_receiver(&v, i % 3 ? RINGQ_NOWAIT : 10000, i);
		pthread_join(sender, NULL);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(scribbler, NULL);
		for (i = 0; i < 2 && discipline == RINGQ_MPMC && s % 2; i++)
			ringq_detach(&v.others[i]);
		close_victim(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "words, SPSC", words, NULL, NULL, &spsc },
		{ "words, MPMC", words, NULL, NULL, &mpmc },
		{ "header, SPSC", header, NULL, NULL, &spsc },
		{ "header, MPMC", header, NULL, NULL, &mpmc },
		{ "noise, SPSC", noise, NULL, NULL, &spsc },
		{ "noise, MPMC", noise, NULL, NULL, &mpmc },
		{ "at the same time, SPSC", at_the_same_time, NULL, NULL, &spsc },
		{ "at the same time, MPMC", at_the_same_time, NULL, NULL, &mpmc },
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
