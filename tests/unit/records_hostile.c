// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The other side, or a stray pointer, scribbles over a ring of records that is in use: headers,
 * positions, numbers, the words of ports. Every call then returns something that it is documented
 * to return, in the end, and touches nothing outside the ring. The ring lies in memory from
 * malloc(), byte for byte as large as is needed, so that a sanitizer sees what leaves it; or in
 * pages, where the row is mapped twice.
 */
#include "records.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

static const struct ringq_opts rings[] = {
	{ .elem_size = 32, .capacity = 128 },
	{ .elem_size = 60, .capacity = 256 },
	{ .elem_size = 32, .capacity = 128, .discipline = RINGQ_LOSSY },
	{ .elem_size = 60, .capacity = 256, .discipline = RINGQ_LOSSY },
	{ .elem_size = 32, .capacity = 128, .discipline = RINGQ_GATED },
	{ .elem_size = 32, .capacity = 128, .discipline = RINGQ_LANES },
};

static const struct ringq_opts in_pages[] = {
	{ .elem_size = 2016, .capacity = 4096 },
	{ .elem_size = 2016, .capacity = 4096, .discipline = RINGQ_LOSSY },
};

struct victim {
	struct row row;
	unsigned char *region;
	struct ringq_header header;
	struct ringq_port out, in;
};

static void open_victim(struct victim *v, const struct ringq_opts *opts)
{
	struct ringq_opts o = *opts;

	o.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	o.producers = o.discipline == RINGQ_LANES ? 2 : 1;
	o.consumers = o.discipline ? 2 : 1;
	open_row(&v->row, &o);
	attach(&v->row, &v->out, &v->in);
	v->region = v->out.base;
	memcpy(&v->header, v->region, sizeof(v->header));
}

static void close_victim(struct victim *v)
{
	ringq_detach(&v->out);
	ringq_detach(&v->in);
	close_row(&v->row);
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
	case -EOVERFLOW:
	case -EOPNOTSUPP:
	case -EMSGSIZE:
		return;
	}
	if (r < 0 || r > most)
		fail_msg("%s: %lld", call, (long long)r);
}

/* Where what is read goes, so that it is read. */
static volatile unsigned char sink;

static void use_sender(struct victim *v, int64_t timeout, unsigned int choice)
{
	static unsigned char data[2048];
	struct iovec records[3];
	uint32_t size = choice * 13 % (v->row.largest + 1), i;
	unsigned char *place;
	int64_t r;

	switch (choice % 4) {
	case 0:
		check("send", ringq_send_record(&v->out, data, size, timeout), 1);
		break;
	case 1:
		for (i = 0; i < COUNT(records); i++) {
			records[i].iov_base = data;
			records[i].iov_len = i == 1 ? v->row.largest : size;
		}
		check("send_records", ringq_send_records(&v->out, records, 3, timeout), 3);
		break;
	case 2:
		r = ringq_reserve_record(&v->out, size, (void **)&place, timeout);
		check("reserve", r, 0);
		if (r == 0) {
			memset(place, choice, size);
			check("commit", ringq_commit_record(&v->out, size - size / 3), 0);
		}
		break;
	case 3:
		check("drain", ringq_drain(&v->out, timeout), 0);
		break;
	}
}

static void use_receiver(struct victim *v, int64_t timeout, unsigned int choice)
{
	unsigned char data[3][2048];
	struct iovec records[3];
	const unsigned char *there;
	uint64_t cursor = 0;
	uint32_t size = 0, i, n;
	int64_t r;

	switch (choice % 3) {
	case 0:
		memset(data, 0, v->row.largest);
		r = ringq_recv_record(&v->in, data, v->row.largest, &size, timeout);
		check("recv", r, 1);
		assert_true(r != 1 || size <= v->row.largest);
		break;
	case 1:
		for (i = 0; i < COUNT(records); i++) {
			records[i].iov_base = data[i];
			records[i].iov_len = choice % 2 ? v->row.largest : 5;
		}
		check("recv_records", ringq_recv_records(&v->in, records, 3, timeout), 3);
		break;
	case 2:
		r = ringq_peek(&v->in, 1 + choice / 3 % 40, timeout);
		check("peek", r, 40);
		for (n = 0; (there = ringq_record(&v->in, &cursor, &size)); n++) {
			assert_true(size <= v->row.largest);
			for (i = 0; i < size; i++)
				sink = there[i];
		}
		/* No cursor leads out of the ring. */
		for (cursor = choice; cursor < 3 * v->row.capacity; cursor += 1 + cursor / 8)
			(void)ringq_record(&v->in, &(uint64_t){ cursor }, &size);
		(void)ringq_record(&v->in, &(uint64_t){ UINT64_MAX - 7 }, &size);
		if (r > 0) {
			assert_true(n <= r);
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
	(void)ringq_lost(&v->in);
}

static void again(struct victim *v)
{
	int r;

	ringq_detach(&v->out);
	r = ringq_attach(v->row.ring, RINGQ_PRODUCER, &v->out);
	check("attach", r, 0);
	ringq_detach(&v->in);
	r = ringq_attach(v->row.ring, RINGQ_CONSUMER, &v->in);
	check("attach", r, 0);
}

/* One word after the other becomes one value after the other, three times in a ring's life. */
static void words(void **state)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, 8, 9, 16, 33, 34, 61, 62, 100, 120, 128, 129, 248, 256, 264, 1000,
		1ull << 31, (1ull << 31) + 1, 1ull << 32, (1ull << 32) + 1, 1ull << 56, 1ull << 60,
		1ull << 61, 1ull << 62, 1ull << 63, (1ull << 63) - 8, UINT64_MAX - 127,
		UINT64_MAX - 7, UINT64_MAX,
	};
	struct victim v;
	uint64_t at, total;
	unsigned int k, i;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		open_victim(&v, &rings[k]);
		total = v.header.layout.total;
		at = v.header.layout.attention;
		close_victim(&v);
		for (; at + 8 <= total; at += 8) {
			for (i = 0; i < COUNT(values); i++) {
				open_victim(&v, &rings[k]);
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

/* Headers that no record can have where a consumer looks, at 8 in a row of 128, and at 0. */
static const struct {
	uint64_t at_8, at_0;
} impossible[] = {
	{ 34, 0 },			/* larger than the largest */
	{ UINT32_MAX, 0 }, { (1ull << 33) + 1, 0 }, { UINT64_MAX, 0 }, { 1ull << 63, 0 },
	{ RINGQ_RECORD_PAD + 1, 1 },
	{ RINGQ_RECORD_PAD, 0 },	/* with nothing at the beginning of the row, */
	{ RINGQ_RECORD_PAD, 34 },	/* with too much, */
	{ RINGQ_RECORD_PAD, RINGQ_RECORD_PAD },	/* with another, */
	{ RINGQ_RECORD_PAD, 9 },	/* or with a record that reaches to itself */
};

static void no_record(void **state)
{
	struct victim v;
	uint32_t size, way;
	uint64_t cursor;
	unsigned int i;
	int64_t r = 0;
	char data[32];

	(void)state;
	for (i = 0; i < 3 * COUNT(impossible); i++) {
		way = i % 3;
		open_victim(&v, &rings[0]);
		assert_int_equal(ringq_send_record(&v.out, NULL, 0, 0), 1);
		assert_int_equal(ringq_recv_record(&v.in, data, 0, &size, 0), 1);
		memcpy(v.region + v.header.layout.data, &impossible[i / 3].at_0, 8);
		memcpy(v.region + v.header.layout.data + 8, &impossible[i / 3].at_8, 8);
		if (way == 0)
			r = ringq_recv_record(&v.in, data, 32, &size, 0);
		if (way == 1)
			r = ringq_peek(&v.in, 3, 0);
		if (way == 2) {
			ringq_detach(&v.out);
			r = ringq_attach(v.row.ring, RINGQ_PRODUCER, &v.out);
		}
		assert_int_equal(r, -EBADMSG);
		for (cursor = 0; cursor < 512; cursor += 8)
			assert_null(ringq_record(&v.in, &(uint64_t){ cursor }, &size));
		if (way < 2)
			assert_int_equal(ringq_recv_record(&v.in, data, 32, &size, 0), -EBADMSG);
		close_victim(&v);
	}

	/* In hand, one that reaches beyond what is in hand. */
	open_victim(&v, &rings[0]);
	assert_int_equal(ringq_send_record(&v.out, "123", 3, 0), 1);
	assert_int_equal(ringq_peek(&v.in, 1, 0), 1);
	memcpy(v.region + v.header.layout.data, &(uint64_t){ 10 }, 8);
	cursor = 0;
	assert_null(ringq_record(&v.in, &cursor, &size));
	close_victim(&v);

	/* Headers all around: there cannot be more than a lap of them. */
	open_victim(&v, &rings[0]);
	for (cursor = 0; cursor < 120; cursor += 40)
		memcpy(v.region + v.header.layout.data + cursor, &(uint64_t){ 33 }, 8);
	memcpy(v.region + v.header.layout.data + 120, &(uint64_t){ RINGQ_RECORD_PAD }, 8);
	assert_int_equal(ringq_peek(&v.in, 100, 0), 3);
	assert_int_equal(ringq_len(&v.in), 3);
	close_victim(&v);

	/* What is overwritten was sent before. */
	for (i = 0; i < 2; i++) {
		open_victim(&v, &rings[2]);
		assert_int_equal(ringq_send_record(&v.out, "123", 3, 0), 1);
		v.out.page->oldest = i ? 20 : 64;
		assert_int_equal(ringq_recv_record(&v.in, data, 32, &size, 0), -EBADMSG);
		close_victim(&v);
	}

	/* At the end of the row there is no room for what is after a header. */
	open_victim(&v, &rings[0]);
	while (ringq_position(&v.in) < 120) {
		assert_int_equal(ringq_send_record(&v.out, NULL, 0, 0), 1);
		assert_int_equal(ringq_recv_record(&v.in, data, 0, &size, 0), 1);
	}
	memcpy(v.region + v.header.layout.data + 120, &(uint64_t){ 2 }, 8);
	assert_int_equal(ringq_recv_record(&v.in, data, 32, &size, 0), -EBADMSG);
	close_victim(&v);
}

/* What lies in a full ring, and what is in hand, becomes something else. */
static void in_hand(void **state)
{
	static const uint64_t headers[] = { 0, 1, 2, 33, 61, 62, RINGQ_RECORD_PAD, UINT64_MAX };
	unsigned char data[64];
	struct victim v;
	uint64_t cursor, i, at;
	unsigned int k, n;
	uint32_t size;
	int64_t r;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		for (n = 0; n < COUNT(headers) * rings[k].capacity / 8; n++) {
			open_victim(&v, &rings[k]);
			for (i = 0; i < 30; i++) {
				ringq_send_record(&v.out, "123", i % 4, RINGQ_NOWAIT);
				if (i % 3)
					ringq_recv_record(&v.in, data, 32, &size, RINGQ_NOWAIT);
			}
			r = ringq_peek(&v.in, 5, RINGQ_NOWAIT);
			at = v.header.layout.data + n / COUNT(headers) * 8;
			memcpy(v.region + at, &headers[n % COUNT(headers)], 8);
			for (cursor = 0; ringq_record(&v.in, &cursor, &size); )
				assert_true(size <= v.row.largest);
			if (r > 1)
				check("release", ringq_release(&v.in, r - 1), 0);
			use(&v, RINGQ_NOWAIT);
			again(&v);
			use(&v, RINGQ_NOWAIT);
			close_victim(&v);
		}
	}
}

/* All words at once, from a generator, again and again. */
static void noise(void **state)
{
	uint64_t x = 88172645463325252ull, at, value, round;
	const struct ringq_opts *opts;
	struct victim v;

	(void)state;
	for (round = 0; round < 3000; round++) {
		opts = round % 3 ? &rings[round % COUNT(rings)] : &in_pages[round % COUNT(in_pages)];
		open_victim(&v, opts);
		use(&v, RINGQ_NOWAIT);
		for (at = v.header.layout.attention; at + 8 <= v.header.layout.total; at += 8) {
			value = next_random(&x);
			/* Small ones come near what is true. */
			if (round % 2)
				value &= 127;
			if (round % 4 == 3)
				value &= ~7ull;
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

	for (i = 0; i < 10000; i++) {
		use_sender(arg, i % 3 ? RINGQ_NOWAIT : 10000, i);
		if (i % 100 == 0) {
			struct victim *v = arg;

			ringq_detach(&v->out);
			check("attach", ringq_attach(v->row.ring, RINGQ_PRODUCER, &v->out), 0);
		}
	}
	return NULL;
}

/* While both sides run, and sleep: with a time-out, for nobody may be there to wake them. */
static void at_the_same_time(void **state)
{
	pthread_t sender, scribbler;
	struct victim v;
	unsigned int k, i;

	(void)state;
	for (k = 0; k < COUNT(rings) + COUNT(in_pages); k++) {
		open_victim(&v, k < COUNT(rings) ? &rings[k] : &in_pages[k - COUNT(rings)]);
		stop = false;
		assert_int_equal(pthread_create(&scribbler, NULL, scribble, &v), 0);
		assert_int_equal(pthread_create(&sender, NULL, send_all, &v), 0);
		for (i = 0; i < 10000; i++) {
			use_receiver(&v, i % 3 ? RINGQ_NOWAIT : 10000, i);
			if (i % 100 == 0) {
				ringq_detach(&v.in);
				check("attach", ringq_attach(v.row.ring, RINGQ_CONSUMER, &v.in), 0);
			}
		}
		pthread_join(sender, NULL);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		pthread_join(scribbler, NULL);
		close_victim(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(no_record),
		cmocka_unit_test(in_hand),
		cmocka_unit_test(noise),
		cmocka_unit_test(at_the_same_time),
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
