// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The operations that are made of others, and what can be asked of a port: all or nothing,
 * skipping, handlers, walks, lengths and ends, absolute time-outs, back-off, reset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <ringq.h>
#include <ringq/backoff.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SIZE_MOST 200
#define MANY 400	/* messages of an array: more than any ring here holds */
#define SOON 1000000	/* ns: a time-out that is to run out */

/* One port a side; of some there may be more. */
static const struct kind {
	uint32_t memory;
	uint32_t discipline;
	uint32_t elem_size;
	uint32_t producers;
	uint32_t consumers;
} kinds[] = {
	{ RINGQ_PRIVATE, RINGQ_SPSC, 1, 1, 1 },
	{ RINGQ_PRIVATE, RINGQ_SPSC, 8, 1, 1 },
	{ RINGQ_MEMFD, RINGQ_SPSC, 24, 1, 1 },
	{ RINGQ_PRIVATE, RINGQ_SPSC, 56, 1, 1 },
	{ RINGQ_MEMFD, RINGQ_SPSC, 57, 1, 1 },
	{ RINGQ_PRIVATE, RINGQ_SPSC, SIZE_MOST, 1, 1 },
	{ RINGQ_PRIVATE, RINGQ_MPSC, 8, 3, 1 },
	{ RINGQ_MEMFD, RINGQ_MPSC, 57, 1, 1 },
	{ RINGQ_PRIVATE, RINGQ_SPMC, 24, 1, 3 },
	{ RINGQ_MEMFD, RINGQ_MPMC, 8, 3, 3 },
	{ RINGQ_PRIVATE, RINGQ_MPMC, SIZE_MOST, 3, 3 },
	{ RINGQ_PRIVATE, RINGQ_LANES, 8, 1, 1 },
	{ RINGQ_MEMFD, RINGQ_LANES, 57, 1, 3 },
	{ RINGQ_PRIVATE, RINGQ_GATED, 8, 1, 3 },
	{ RINGQ_MEMFD, RINGQ_GATED, 57, 1, 1 },
};

/* A consumer that comes begins with the next message, and one that goes is no end. */
static bool is_broadcast(const struct kind *kind)
{
	return kind->discipline == RINGQ_GATED;
}

/* A ring with a port of each side. Message number n is made of n; the next to come is wanted. */
struct pair {
	const struct kind *kind;
	struct ringq *ring;
	struct ringq_port out, in;
	uint64_t capacity;
	uint64_t sent, wanted;
};

static void start_with(struct pair *p, const struct kind *kind, uint32_t flags, uint64_t capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = kind->memory, .discipline = kind->discipline,
		.elem_size = kind->elem_size, .capacity = capacity, .first = 1000, .flags = flags,
		.producers = kind->producers, .consumers = kind->consumers,
	};

	memset(p, 0, sizeof(*p));
	p->kind = kind;
	assert_int_equal(ringq_create(&opts, &p->ring), 0);
	assert_int_equal(ringq_attach(p->ring, RINGQ_PRODUCER, &p->out), 0);
	assert_int_equal(ringq_attach(p->ring, RINGQ_CONSUMER, &p->in), 0);
	p->capacity = ringq_capacity(&p->out);
}

static void start(struct pair *p, const struct kind *kind, uint32_t flags)
{
	start_with(p, kind, flags, 100);
	assert_in_range(p->capacity, 100, MANY - 1);
}

static void end(struct pair *p)
{
	ringq_detach(&p->out);
	ringq_detach(&p->in);
	ringq_leave(p->ring);
}

static void number(void *msg, uint64_t n, size_t size)
{
	memset(msg, n * 37 + 11, size);
}

static unsigned char *numbered(const struct pair *p, uint64_t from, uint64_t n)
{
	static unsigned char msgs[MANY * SIZE_MOST];
	uint64_t i;

	for (i = 0; i < n; i++)
		number(msgs + i * p->kind->elem_size, from + i, p->kind->elem_size);
	return msgs;
}

static void send_some(struct pair *p, uint64_t n)
{
	if (n)
		assert_int_equal(ringq_send_many(&p->out, numbered(p, p->sent, n), n, 0), n);
	p->sent += n;
}

/* These are the next ones. */
static void check(struct pair *p, const void *msgs, uint64_t n)
{
	const unsigned char *m = msgs;
	uint64_t i;

	for (i = 0; i < n; i++, p->wanted++)
		assert_memory_equal(m + i * p->kind->elem_size, numbered(p, p->wanted, 1),
				    p->kind->elem_size);
}

static void recv_some(struct pair *p, uint64_t n)
{
	static unsigned char msgs[MANY * SIZE_MOST];
	uint64_t got;
	int64_t r;

	/* What was peeked before may come by itself. */
	for (got = 0; got < n; got += r) {
		r = ringq_recv_many(&p->in, msgs, n - got, 0);
		assert_in_range(r, 1, n - got);
		check(p, msgs, r);
	}
}

static void nothing_is_left(struct pair *p)
{
	unsigned char msg[SIZE_MOST];

	recv_some(p, p->sent - p->wanted);
	assert_int_equal(ringq_recv(&p->in, msg, 0), -EAGAIN);
}

static void send_all(void **state)
{
	struct pair p;
	unsigned int k;
	uint64_t n;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		for (n = 1; n <= p.capacity; n += 1 + n / 3) {
			/* Room for one too few: nothing is sent, whether it waits or not. */
			send_some(&p, p.capacity - n + 1);
			assert_int_equal(ringq_send_all(&p.out, numbered(&p, 7, n), n, 0),
					 -EAGAIN);
			assert_int_equal(ringq_send_all(&p.out, numbered(&p, 7, n), n, SOON),
					 -ETIMEDOUT);
			assert_int_equal(ringq_len(&p.in), p.capacity - n + 1);
			recv_some(&p, 1);
			assert_int_equal(ringq_send_all(&p.out, numbered(&p, p.sent, n), n, 0), n);
			p.sent += n;
			assert_int_equal(ringq_len(&p.in), p.capacity);
			nothing_is_left(&p);
		}
		assert_int_equal(ringq_send_all(&p.out, numbered(&p, 0, 1), 0, 0), -EINVAL);
		n = p.capacity + 1;
		assert_int_equal(ringq_send_all(&p.out, numbered(&p, 0, n), n, 0), -EINVAL);
		assert_int_equal(ringq_send_all(&p.in, numbered(&p, 0, 1), 1, 0), -EOPNOTSUPP);
		assert_int_equal(ringq_reserve(&p.out, 1, 0), 0);
		assert_int_equal(ringq_send_all(&p.out, numbered(&p, 0, 1), 1, 0), -EBUSY);
		ringq_abort(&p.out);
		ringq_close(&p.in);
		assert_int_equal(ringq_send_all(&p.out, numbered(&p, 0, 1), 1, 0), -EPIPE);
		end(&p);
	}
}

static void recv_all(void **state)
{
	static unsigned char msgs[MANY * SIZE_MOST];
	struct pair p;
	unsigned int k;
	uint64_t n;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		if (kinds[k].discipline == RINGQ_LANES) {
			send_some(&p, 5);
			assert_int_equal(ringq_recv_all(&p.in, msgs, 2, 0), -EOPNOTSUPP);
			nothing_is_left(&p);
			end(&p);
			continue;
		}
		for (n = 1; n <= p.capacity; n += 1 + n / 3) {
			send_some(&p, n - 1);
			assert_int_equal(ringq_recv_all(&p.in, msgs, n, 0), -EAGAIN);
			assert_int_equal(ringq_recv_all(&p.in, msgs, n, SOON), -ETIMEDOUT);
			assert_int_equal(ringq_len(&p.in), n - 1);
			assert_int_equal(ringq_len(&p.out), n - 1);
			send_some(&p, 1);
			assert_int_equal(ringq_recv_all(&p.in, msgs, n, 0), n);
			check(&p, msgs, n);
			assert_int_equal(ringq_len(&p.out), 0);
		}
		assert_int_equal(ringq_recv_all(&p.in, msgs, 0, 0), -EINVAL);
		assert_int_equal(ringq_recv_all(&p.in, msgs, p.capacity + 1, 0), -EINVAL);
		assert_int_equal(ringq_recv_all(&p.out, msgs, 1, 0), -EOPNOTSUPP);
		send_some(&p, 4);
		assert_int_equal(ringq_peek(&p.in, 1, 0), 1);
		assert_int_equal(ringq_recv_all(&p.in, msgs, 9, 0), -EBUSY);
		ringq_release(&p.in, 1);
		p.wanted++;

		/* The end comes before there are enough; those that there are can be had. */
		ringq_close(&p.out);
		assert_int_equal(ringq_recv_all(&p.in, msgs, 4, RINGQ_FOREVER), 0);
		assert_int_equal(ringq_recv_all(&p.in, msgs, 2, RINGQ_FOREVER), 2);
		check(&p, msgs, 2);
		assert_int_equal(ringq_recv_all(&p.in, msgs, 2, RINGQ_FOREVER), 0);
		recv_some(&p, 1);
		assert_int_equal(ringq_recv_all(&p.in, msgs, 1, RINGQ_FOREVER), 0);
		end(&p);
	}
}

/* Sends, or receives, one at a time, all that is to be sent. */
static void *one_by_one(void *arg)
{
	struct pair *p = arg;
	unsigned char msg[SIZE_MOST];
	uint64_t i;

	for (i = 0; i < p->sent; i++) {
		number(msg, i, p->kind->elem_size);
		if (p->out.role == RINGQ_PRODUCER && ringq_send(&p->out, msg, RINGQ_FOREVER) != 1)
			return p;
		if (p->out.role == RINGQ_CONSUMER && ringq_recv(&p->out, msg, RINGQ_FOREVER) != 1)
			return p;
	}
	return NULL;
}

/* Who waits for many is woken when there are enough, though they come one by one. */
static void all_of_many(void **state)
{
	static unsigned char msgs[MANY * SIZE_MOST];
	struct ringq_port mine;
	struct pair p;
	pthread_t other;
	void *failed;
	unsigned int k, way;
	uint64_t i, n;

	(void)state;
	for (k = 0; k < COUNT(kinds) * 2; k++) {
		way = k % 2;
		if (way && kinds[k / 2].discipline == RINGQ_LANES)
			continue;
		start(&p, &kinds[k / 2], 0);
		n = p.capacity - 1;
		p.sent = 20 * n;
		/* The other thread has the port called out, whichever it is. */
		mine = way ? p.in : p.out;
		p.out = way ? p.out : p.in;
		assert_int_equal(pthread_create(&other, NULL, one_by_one, &p), 0);
		for (i = 0; i < 20; i++) {
			if (way) {
				assert_int_equal(ringq_recv_all(&mine, msgs, n, RINGQ_FOREVER), n);
				check(&p, msgs, n);
			} else {
				assert_int_equal(ringq_send_all(&mine, numbered(&p, i * n, n), n,
								RINGQ_FOREVER), n);
			}
		}
		pthread_join(other, &failed);
		assert_null(failed);
		p.in = mine;
		end(&p);
	}
}

/* What a predecessor had in hand comes first, by itself, and never more than is asked for. */
static void recv_all_redelivered(void **state)
{
	static unsigned char msgs[MANY * SIZE_MOST];
	struct pair p;
	unsigned int k;
	int64_t n, all;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		if (is_broadcast(&kinds[k]) || kinds[k].discipline == RINGQ_LANES)
			continue;
		start(&p, &kinds[k], RINGQ_CONSUMER_WAIT | RINGQ_PRODUCER_WAIT);
		send_some(&p, 20);
		assert_int_equal(ringq_peek(&p.in, 5, 0), 5);
		ringq_detach(&p.in);
		assert_int_equal(ringq_attach(p.ring, RINGQ_CONSUMER, &p.in), 0);
		for (all = 0; all < 5; all += n) {
			n = ringq_recv_all(&p.in, msgs, all ? 9 : 2, 0);
			assert_in_range(n, 1, all ? 5 - all : 2);
			assert_int_equal(ringq_flags(&p.in), RINGQ_REDELIVERED);
			check(&p, msgs, n);
		}
		assert_int_equal(ringq_recv_all(&p.in, msgs, 15, 0), 15);
		assert_int_equal(ringq_flags(&p.in), 0);
		check(&p, msgs, 15);
		end(&p);
	}
}

static void skip_some(void **state)
{
	struct pair p;
	unsigned int k;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		assert_int_equal(ringq_skip(&p.in, 1, 0), -EAGAIN);
		assert_int_equal(ringq_skip(&p.in, 1, SOON), -ETIMEDOUT);
		assert_int_equal(ringq_discard(&p.in), 0);
		send_some(&p, p.capacity);
		assert_int_equal(ringq_skip(&p.in, 0, 0), -EINVAL);
		assert_int_equal(ringq_skip(&p.in, 9, 0), 9);
		p.wanted += 9;
		recv_some(&p, 1);
		send_some(&p, 10);
		assert_int_equal(ringq_skip(&p.in, p.capacity + 1, 0), p.capacity);
		p.wanted += p.capacity;
		send_some(&p, 70);
		assert_int_equal(ringq_skip(&p.in, RINGQ_ALL, 0), 70);
		send_some(&p, 71);
		assert_int_equal(ringq_discard(&p.in), 71);
		p.wanted += 141;
		send_some(&p, 2);
		nothing_is_left(&p);
		assert_int_equal(ringq_skip(&p.out, 1, 0), -EOPNOTSUPP);
		assert_int_equal(ringq_discard(&p.out), -EOPNOTSUPP);
		send_some(&p, 3);
		ringq_close(&p.out);
		assert_int_equal(ringq_skip(&p.in, 5, RINGQ_FOREVER), 3);
		assert_int_equal(ringq_skip(&p.in, 5, RINGQ_FOREVER), 0);
		assert_int_equal(ringq_discard(&p.in), 0);
		end(&p);
	}
}

/* What a handler is told to do, and has seen. */
struct seen {
	struct pair *p;
	uint64_t stop_after;	/* 0: never */
	uint64_t n;
	bool sends;		/* as many as it is shown */
};

static int see(void *arg, const void *msg, size_t size)
{
	struct seen *s = arg;

	assert_int_equal(size, s->p->kind->elem_size);
	check(s->p, msg, 1);
	if (s->sends && ringq_room(&s->p->out) > 0)
		send_some(s->p, 1);
	return ++s->n == s->stop_after;
}

static void consume(void **state)
{
	struct pair p;
	struct seen s;
	unsigned int k;
	uint64_t n;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		s = (struct seen){ .p = &p };
		assert_int_equal(ringq_consume(&p.in, 1, see, &s, 0), -EAGAIN);
		assert_int_equal(ringq_consume(&p.in, RINGQ_ALL, see, &s, SOON), -ETIMEDOUT);
		assert_int_equal(ringq_consume(&p.in, 0, see, &s, 0), -EINVAL);
		assert_int_equal(ringq_consume(&p.out, 1, see, &s, 0), -EOPNOTSUPP);

		/* Up to a number, of less, of as many, and of more. */
		for (n = 1; n <= p.capacity; n += 1 + n / 4) {
			send_some(&p, n);
			assert_int_equal(ringq_consume(&p.in, n, see, &s, 0), n);
			send_some(&p, n);
			assert_int_equal(ringq_consume(&p.in, n + 1, see, &s, RINGQ_FOREVER), n);
			send_some(&p, n);
			if (n > 1)
				assert_int_equal(ringq_consume(&p.in, n - 1, see, &s, 0), n - 1);
			assert_int_equal(ringq_len(&p.out), n > 1 ? 1 : n);
			nothing_is_left(&p);
		}

		/* A handler that has enough: also of the last before a release, and after one. */
		for (n = 1; n < p.capacity; n++) {
			send_some(&p, p.capacity);
			s = (struct seen){ .p = &p, .stop_after = n };
			assert_int_equal(ringq_consume(&p.in, RINGQ_ALL, see, &s, 0), n);
			assert_int_equal(ringq_len(&p.out), p.capacity - n);
			nothing_is_left(&p);
		}

		/* All: those that are there, and not what comes meanwhile, for ever. */
		send_some(&p, p.capacity - 10);
		s = (struct seen){ .p = &p, .sends = true };
		assert_int_equal(ringq_consume(&p.in, RINGQ_ALL, see, &s, 0), p.capacity - 10);
		assert_int_equal(ringq_consume(&p.in, 500, see, &s, 0), 500);
		assert_int_equal(ringq_consume(&p.in, 3, NULL, NULL, 0), 3);
		p.wanted += 3;
		nothing_is_left(&p);

		send_some(&p, 80);
		ringq_close(&p.out);
		s = (struct seen){ .p = &p };
		assert_int_equal(ringq_consume(&p.in, RINGQ_ALL, see, &s, RINGQ_FOREVER), 80);
		assert_int_equal(ringq_consume(&p.in, RINGQ_ALL, see, &s, RINGQ_FOREVER), 0);
		end(&p);
	}
}

static int see_redelivered(void *arg, const void *msg, size_t size)
{
	struct seen *s = arg;

	(void)msg;
	(void)size;
	assert_int_equal(ringq_flags(&s->p->in), s->n < 4 ? RINGQ_REDELIVERED : 0);
	s->n++;
	return 0;
}

static void consume_redelivered(void **state)
{
	struct pair p;
	struct seen s;
	unsigned int k;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		if (is_broadcast(&kinds[k]))
			continue;
		start(&p, &kinds[k], RINGQ_CONSUMER_WAIT);
		send_some(&p, 10);
		assert_int_equal(ringq_peek(&p.in, 4, 0), 4);
		ringq_detach(&p.in);
		assert_int_equal(ringq_attach(p.ring, RINGQ_CONSUMER, &p.in), 0);
		s = (struct seen){ .p = &p };
		assert_int_equal(ringq_consume(&p.in, RINGQ_ALL, see_redelivered, &s, 0), 10);
		assert_int_equal(s.n, 10);
		end(&p);
	}
}

static void iterate(void **state)
{
	struct ringq_iter it;
	struct pair p;
	unsigned int k;
	uint64_t n, i;
	size_t size;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		assert_int_equal(ringq_iter_begin(&p.in, 5, 0, &it), -EAGAIN);
		assert_null(ringq_iter_next(&it, NULL));
		assert_int_equal(ringq_iter_finish(&it), 0);
		assert_int_equal(ringq_iter_begin(&p.out, 5, 0, &it), -EOPNOTSUPP);
		assert_int_equal(ringq_iter_finish(&it), 0);
		for (n = 0; n <= p.capacity; n++) {
			send_some(&p, p.capacity);
			assert_int_equal(ringq_iter_begin(&p.in, p.capacity, 0, &it), p.capacity);
			assert_int_equal(ringq_skip(&p.in, 1, 0), -EBUSY);
			for (i = 0; i < n; i++) {
				check(&p, ringq_iter_next(&it, &size), 1);
				assert_int_equal(size, kinds[k].elem_size);
			}
			if (n == p.capacity)
				assert_null(ringq_iter_next(&it, NULL));
			assert_int_equal(ringq_iter_finish(&it), 0);
			assert_int_equal(ringq_len(&p.out), p.capacity - n);
			assert_null(ringq_iter_next(&it, NULL));
			assert_int_equal(ringq_iter_finish(&it), 0);
			nothing_is_left(&p);
		}
		send_some(&p, 10);
		assert_int_equal(ringq_iter_begin(&p.in, 3, 0, &it), 3);
		for (i = 0; i < 3; i++)
			check(&p, ringq_iter_next(&it, NULL), 1);
		assert_null(ringq_iter_next(&it, NULL));
		ringq_iter_finish(&it);
		nothing_is_left(&p);
		ringq_close(&p.out);
		assert_int_equal(ringq_iter_begin(&p.in, 3, RINGQ_FOREVER, &it), 0);
		assert_null(ringq_iter_next(&it, NULL));
		end(&p);
	}
}

static void check_len(const struct pair *p, uint64_t in, uint64_t out)
{
	assert_int_equal(ringq_len(&p->in), in);
	assert_int_equal(ringq_room(&p->in), p->capacity - in);
	assert_int_equal(ringq_is_empty(&p->in), in == 0);
	assert_int_equal(ringq_is_full(&p->in), in == p->capacity);
	assert_int_equal(ringq_len(&p->out), out);
	assert_int_equal(ringq_room(&p->out), p->capacity - out);
	assert_int_equal(ringq_is_empty(&p->out), out == 0);
	assert_int_equal(ringq_is_full(&p->out), out == p->capacity);
}

/* Every length, at many places of the ring. */
static void all_lengths(struct pair *p)
{
	uint64_t len, step;

	for (step = 0; step < 2 * p->capacity; step += 1 + step / 9) {
		for (len = 0; len < p->capacity; len++) {
			check_len(p, len, len);
			send_some(p, 1);
		}
		for (len = p->capacity; len; len--) {
			check_len(p, len, len);
			recv_some(p, 1);
		}
		send_some(p, 1);
		recv_some(p, 1);
	}
}

/* What is in hand counts until it is released. */
static void lengths(void **state)
{
	struct pair p;
	unsigned int k;

	(void)state;
	start_with(&p, &kinds[1], 0, 1);
	assert_int_equal(p.capacity, 7);
	all_lengths(&p);
	end(&p);
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		assert_int_equal(ringq_capacity(&p.in), p.capacity);
		all_lengths(&p);
		send_some(&p, 8);
		assert_int_equal(ringq_peek(&p.in, 5, 0), 5);
		check_len(&p, 8, 8);
		assert_int_equal(ringq_release(&p.in, 2), 0);
		check_len(&p, 6, 6);
		assert_int_equal(ringq_reserve(&p.out, 5, 0), 0);
		check_len(&p, 6, 6);
		assert_int_equal(ringq_commit(&p.out, 4), 0);
		check_len(&p, 10, 10);
		end(&p);
	}
}

static void ends(void **state)
{
	unsigned char msg[SIZE_MOST];
	struct pair p;
	unsigned int k;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		/* By a close: the sender can send no more, the receiver has what is left. */
		start(&p, &kinds[k], 0);
		send_some(&p, 2);
		assert_int_equal(ringq_is_closed(&p.in) | ringq_is_closed(&p.out), 0);
		assert_int_equal(ringq_is_ended(&p.in) | ringq_is_ended(&p.out), 0);
		assert_int_equal(ringq_is_drained(&p.in) | ringq_is_drained(&p.out), 0);
		assert_int_equal(ringq_close(&p.out), 0);
		assert_int_equal(ringq_is_closed(&p.in) & ringq_is_closed(&p.out), 1);
		assert_int_equal(ringq_is_ended(&p.out), 1);
		assert_int_equal(ringq_is_ended(&p.in), 0);
		recv_some(&p, 1);
		assert_int_equal(ringq_peek(&p.in, 1, 0), 1);
		assert_int_equal(ringq_is_ended(&p.in), 0);
		assert_int_equal(ringq_is_drained(&p.out), 0);
		ringq_release(&p.in, 1);
		assert_int_equal(ringq_is_ended(&p.in), 1);
		assert_int_equal(ringq_is_drained(&p.in), 1);
		assert_int_equal(ringq_is_drained(&p.out), 1);
		assert_int_equal(ringq_recv(&p.in, msg, 0), 0);
		end(&p);

		/* The sender has left: not closed, and yet the end. */
		start(&p, &kinds[k], 0);
		send_some(&p, 1);
		ringq_detach(&p.out);
		assert_int_equal(ringq_is_closed(&p.in), 0);
		assert_int_equal(ringq_is_ended(&p.in), 0);
		recv_some(&p, 1);
		assert_int_equal(ringq_is_ended(&p.in), 1);
		assert_int_equal(ringq_is_drained(&p.in), 1);
		end(&p);

		/* The receiver has. */
		start(&p, &kinds[k], 0);
		send_some(&p, 1);
		ringq_detach(&p.in);
		assert_int_equal(ringq_is_ended(&p.out), !is_broadcast(&kinds[k]));
		assert_int_equal(ringq_is_drained(&p.out), 0);
		end(&p);

		/* Empty is not the end while a successor may come. */
		start(&p, &kinds[k], RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT);
		ringq_detach(&p.out);
		assert_int_equal(ringq_is_ended(&p.in), 0);

		/* And to ask is not to look: what was not shown is not redelivered. */
		assert_int_equal(ringq_attach(p.ring, RINGQ_PRODUCER, &p.out), 0);
		send_some(&p, 1);
		ringq_close(&p.in);
		assert_int_equal(ringq_is_ended(&p.in), 0);
		if (!is_broadcast(&kinds[k])) {
			ringq_detach(&p.in);
			assert_int_equal(ringq_attach(p.ring, RINGQ_CONSUMER, &p.in), 0);
		}
		recv_some(&p, 1);
		assert_int_equal(ringq_flags(&p.in), 0);
		end(&p);
	}
}

static int never(void *arg, const void *msg, size_t size)
{
	(void)arg;
	(void)msg;
	(void)size;
	fail();
	return 0;
}

static void stale(void **state)
{
	unsigned char msgs[2 * SIZE_MOST] = { 0 };
	struct ringq_iter it;
	struct pair p;
	unsigned int i;

	(void)state;
	start(&p, &kinds[0], 0);
	ringq_detach(&p.out);
	ringq_detach(&p.in);
	for (i = 0; i < 2; i++) {
		struct ringq_port *port = i ? &p.in : &p.out;

		assert_int_equal(ringq_send_all(port, msgs, 2, RINGQ_FOREVER), -ESTALE);
		assert_int_equal(ringq_recv_all(port, msgs, 2, RINGQ_FOREVER), -ESTALE);
		assert_int_equal(ringq_skip(port, 1, RINGQ_FOREVER), -ESTALE);
		assert_int_equal(ringq_discard(port), -ESTALE);
		assert_int_equal(ringq_consume(port, 1, never, NULL, RINGQ_FOREVER), -ESTALE);
		assert_int_equal(ringq_iter_begin(port, 1, RINGQ_FOREVER, &it), -ESTALE);
		assert_null(ringq_iter_next(&it, NULL));
		assert_int_equal(ringq_len(port), -ESTALE);
		assert_int_equal(ringq_capacity(port), -ESTALE);
		assert_int_equal(ringq_room(port), -ESTALE);
		assert_int_equal(ringq_is_empty(port), -ESTALE);
		assert_int_equal(ringq_is_full(port), -ESTALE);
		assert_int_equal(ringq_is_closed(port), -ESTALE);
		assert_int_equal(ringq_is_ended(port), -ESTALE);
		assert_int_equal(ringq_is_drained(port), -ESTALE);
	}
	ringq_leave(p.ring);
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void until(void **state)
{
	const int64_t hour = 3600000000000ll;
	unsigned char msg[SIZE_MOST];
	int64_t before = now(), left = ringq_until(before + hour), after = now();
	struct pair p;

	(void)state;
	assert_true(left <= hour);
	assert_true(left >= hour - (after - before));
	assert_int_equal(ringq_until(before), 1);
	assert_int_equal(ringq_until(0), 1);
	assert_int_equal(ringq_until(INT64_MIN), 1);
	assert_int_equal(ringq_until(RINGQ_FOREVER), RINGQ_FOREVER);
	assert_true(ringq_until(INT64_MAX) > hour);
	start(&p, &kinds[1], 0);
	assert_int_equal(ringq_recv(&p.in, msg, ringq_until(before)), -ETIMEDOUT);
	assert_int_equal(ringq_recv(&p.in, msg, ringq_until(now() + SOON)), -ETIMEDOUT);
	send_some(&p, 1);
	assert_int_equal(ringq_recv(&p.in, msg, ringq_until(before)), 1);
	end(&p);
}

/* The library's way to wait, instead of the C library's: what it asks for is noted. */
static unsigned int yields, sleeps;
static long slept;

int sched_yield(void)
{
	yields++;
	return 0;
}

int nanosleep(const struct timespec *ts, struct timespec *left)
{
	(void)left;
	assert_int_equal(ts->tv_sec, 0);
	assert_true(ts->tv_nsec >= slept);
	slept = ts->tv_nsec;
	sleeps++;
	return 0;
}

/* Every strategy comes to its longest pause, stays there, and begins again when told to. */
static void backoff(void **state)
{
	static const uint32_t strategies[] = {
		RINGQ_BACKOFF_SPIN, RINGQ_BACKOFF_YIELD, RINGQ_BACKOFF_SLEEP, RINGQ_BACKOFF_PHASED,
	};
	struct ringq_backoff b;
	unsigned int i, n, again, growing = 0;

	(void)state;
	for (i = 0; i < COUNT(strategies); i++) {
		yields = 0;
		sleeps = 0;
		slept = 0;
		ringq_backoff_init(&b, strategies[i]);
		for (n = 0; n < 1000 && !ringq_backoff_wait(&b); n++)
			;
		assert_true(n < 1000);
		assert_int_equal(ringq_backoff_wait(&b), 1);
		switch (strategies[i]) {
		case RINGQ_BACKOFF_SPIN:
			assert_int_equal(yields + sleeps, 0);
			break;
		case RINGQ_BACKOFF_YIELD:
			assert_int_equal(yields, 2);
			assert_int_equal(sleeps, 0);
			break;
		case RINGQ_BACKOFF_SLEEP:
			assert_int_equal(yields, 0);
			assert_int_equal(sleeps, n + 2);
			growing = sleeps;
			break;
		default:
			assert_true(yields > 1 && yields + sleeps < n);
			assert_int_equal(sleeps, growing);
		}
		assert_true(slept < 2000000);
		slept = 0;
		ringq_backoff_reset(&b);
		for (again = 0; again < 1000 && !ringq_backoff_wait(&b); again++)
			;
		assert_int_equal(again, n);
		b.step = UINT32_MAX;
		assert_int_equal(ringq_backoff_wait(&b), 1);
		assert_int_equal(ringq_backoff_wait(&b), 1);
	}
}

/* A reservation with back-off: it gets its room from a receiver that nobody wakes. */
static void reserve_with_backoff(void **state)
{
	struct ringq_backoff b;
	struct ringq_port mine;
	struct pair p;
	pthread_t other;
	void *failed;
	unsigned int i, j;
	int r;

	(void)state;
	start(&p, &kinds[1], 0);
	p.sent = 200 * 60;
	mine = p.out;
	p.out = p.in;
	assert_int_equal(pthread_create(&other, NULL, one_by_one, &p), 0);
	for (i = 0; i < 200; i++) {
		ringq_backoff_init(&b, i % 4);
		slept = 0;
		while ((r = ringq_reserve(&mine, 60, RINGQ_NOWAIT)) == -EAGAIN)
			ringq_backoff_wait(&b);
		assert_int_equal(r, 0);
		for (j = 0; j < 60; j++)
			number(ringq_at(&mine, j), i * 60 + j, 8);
		assert_int_equal(ringq_commit(&mine, 60), 0);
	}
	pthread_join(other, &failed);
	assert_null(failed);
	p.out = mine;
	end(&p);
}

static void reset(void **state)
{
	struct ringq_port port;
	struct pair p;
	unsigned int k, round;

	(void)state;
	for (k = 0; k < COUNT(kinds); k++) {
		start(&p, &kinds[k], 0);
		for (round = 0; round < 3; round++) {
			send_some(&p, p.capacity);
			recv_some(&p, p.capacity / 2);
			send_some(&p, p.capacity / 3);
			assert_int_equal(ringq_peek(&p.in, 3, 0), 3);
			assert_int_equal(ringq_reset(p.ring), -EBUSY);
			if (round == 1)
				ringq_close(&p.out);
			ringq_detach(round % 2 ? &p.in : &p.out);
			assert_int_equal(ringq_reset(p.ring), -EBUSY);
			ringq_detach(round % 2 ? &p.out : &p.in);
			/* It has ended, for this ring does not wait for successors. */
			assert_int_equal(ringq_attach(p.ring, RINGQ_PRODUCER, &port), -EPIPE);
			if (!is_broadcast(&kinds[k]))
				assert_int_equal(ringq_attach(p.ring, RINGQ_CONSUMER, &port),
						 -EPIPE);
			assert_int_equal(ringq_reset(p.ring), 0);

			p.sent = 0;
			p.wanted = 0;
			assert_int_equal(ringq_attach(p.ring, RINGQ_CONSUMER, &p.in), 0);
			assert_int_equal(ringq_attach(p.ring, RINGQ_PRODUCER, &p.out), 0);
			assert_int_equal(ringq_position(&p.out), 1000);
			if (kinds[k].discipline != RINGQ_LANES)
				assert_int_equal(ringq_position(&p.in), 1000);
			assert_int_equal(ringq_is_closed(&p.in), 0);
			check_len(&p, 0, 0);
			nothing_is_left(&p);
		}
		end(&p);
	}
}

/* A port of another process counts as long as it lives, and not when it has died. */
static void reset_of_two(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 20,
	};
	struct ringq *ring, *mine;
	struct ringq_port port;
	uint64_t msg = 5;
	int pair[2], fd, status;
	pid_t pid;
	char byte;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	fd = ringq_fd(ring);
	assert_int_equal(pipe(pair), 0);
	quiet();
	pid = fork();
	if (pid == 0) {
		if (ringq_reset(ring) != -ESTALE || ringq_join_fd(fd, NULL, &mine) ||
		    ringq_attach(mine, RINGQ_PRODUCER, &port) ||
		    ringq_send(&port, &msg, RINGQ_NOWAIT) != 1)
			_exit(1);
		if (write(pair[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pair[0], &byte, 1), 1);
	assert_int_equal(ringq_reset(ring), -EBUSY);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(ringq_reset(ring), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &port), 0);
	assert_int_equal(ringq_recv(&port, &msg, RINGQ_NOWAIT), -EAGAIN);
	ringq_detach(&port);
	ringq_leave(ring);
	close(pair[0]);
	close(pair[1]);
}

RINGQ_TYPED(words, uint64_t, spsc);

static int add(void *arg, const uint64_t *word)
{
	*(uint64_t *)arg += *word;
	return *word == 40;
}

static void typed(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = 8, .capacity = 100,
	};
	struct words_producer out;
	struct words_consumer in;
	uint64_t msgs[100], i, sum = 0;
	struct ringq *ring;

	(void)state;
	for (i = 0; i < 100; i++)
		msgs[i] = i;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(words_attach_producer(ring, &out), 0);
	assert_int_equal(words_attach_consumer(ring, &in), 0);
	assert_int_equal(words_consume(&in, RINGQ_ALL, add, &sum, 0), -EAGAIN);
	assert_int_equal(words_consume(&in, 0, add, &sum, 0), -EINVAL);
	assert_int_equal(words_send_all(&out, msgs, 100, 0), 100);
	assert_int_equal(words_send_all(&out, msgs, 100, 0), -EAGAIN);
	assert_int_equal(words_skip(&in, 10, 0), 10);
	assert_int_equal(words_consume(&in, 10, add, &sum, 0), 10);
	assert_int_equal(sum, 145);
	assert_int_equal(words_consume(&in, RINGQ_ALL, add, &sum, 0), 21);
	assert_int_equal(sum, 775);
	assert_int_equal(words_recv_all(&in, msgs, 60, 0), -EAGAIN);
	assert_int_equal(words_recv_all(&in, msgs, 9, 0), 9);
	assert_int_equal(msgs[8], 49);
	assert_int_equal(words_consume(&in, RINGQ_ALL, add, &sum, 0), 50);
	ringq_close(&out.port);
	assert_int_equal(words_consume(&in, RINGQ_ALL, add, &sum, RINGQ_FOREVER), 0);
	ringq_detach(&in.port);
	ringq_detach(&out.port);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send_all),
		cmocka_unit_test(recv_all),
		cmocka_unit_test(all_of_many),
		cmocka_unit_test(recv_all_redelivered),
		cmocka_unit_test(skip_some),
		cmocka_unit_test(consume),
		cmocka_unit_test(consume_redelivered),
		cmocka_unit_test(iterate),
		cmocka_unit_test(lengths),
		cmocka_unit_test(ends),
		cmocka_unit_test(stale),
		cmocka_unit_test(until),
		cmocka_unit_test(backoff),
		cmocka_unit_test(reserve_with_backoff),
		cmocka_unit_test(reset),
		cmocka_unit_test(reset_of_two),
		cmocka_unit_test(typed),
	};

	/* A hang is a failure. */
	alarm(200);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
