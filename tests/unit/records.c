// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Records, lossless: every size at every place of the row, redelivery, successors of the killed,
 * the ends. In pages, where the row is mapped twice, and in memory handed in, where its rest is
 * left out. (records_model.c has all operations in any order.)
 */
#include "records.h"

#include <errno.h>
#include <pthread.h>

#define BOTH_WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)
#define MS INT64_C(1000000)

/* The ports are both at this place of the row, and the ring is empty. */
static void go_to(struct row *row, struct ringq_port *out, struct ringq_port *in, uint64_t place)
{
	uint32_t size = 1;
	char none;

	while (ringq_position(out) % row->capacity != place) {
		assert_int_equal(ringq_send_record(out, NULL, 0, RINGQ_NOWAIT), 1);
		assert_int_equal(ringq_recv_record(in, &none, 0, &size, RINGQ_NOWAIT), 1);
		assert_int_equal(size, 0);
	}
}

/* Into an empty ring any record fits, whatever lay there before, and nothing comes after it. */
static void one_record(struct row *row, struct ringq_port *out, struct ringq_port *in,
		       uint32_t size)
{
	unsigned char data[2048];
	uint64_t cursor = 0;
	const void *there;
	uint32_t got = 0;

	fill(data, size, ringq_position(out));
	assert_int_equal(ringq_send_record(out, data, size, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_peek(in, 2, RINGQ_NOWAIT), 1);
	there = ringq_record(in, &cursor, &got);
	assert_non_null(there);
	assert_int_equal(got, size);
	assert_memory_equal(there, data, size);
	assert_null(ringq_record(in, &cursor, &got));
	assert_int_equal(ringq_release(in, 1), 0);
	assert_int_equal(ringq_recv_record(in, data, sizeof(data), &got, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_position(in), ringq_position(out));
	assert_true(ringq_position(in) % row->capacity <= row->capacity);
}

/* Small ones, large ones, and some between; the largest is the last. */
static uint32_t sample(uint32_t largest, uint32_t i, uint32_t samples)
{
	if (i < samples / 3 && i <= largest)
		return i;
	if (i >= samples - samples / 3 && samples - 1 - i <= largest)
		return largest - (samples - 1 - i);
	return (uint64_t)largest * i / samples;
}

static void every_place(void **state)
{
	static const struct ringq_opts rings[] = {
		{ .elem_size = 32, .capacity = 128 },
		{ .elem_size = 225, .capacity = 512 },
		{ .elem_size = 2016, .capacity = 4096 },
	};
	const uint32_t samples = 30;
	struct ringq_port out, in;
	struct row row;
	uint64_t place;
	unsigned int i, s;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		open_row(&row, &rings[i]);
		attach(&row, &out, &in);
		for (place = 0; place < row.capacity; place += 8) {
			for (s = 0; s < samples; s++) {
				go_to(&row, &out, &in, place);
				one_record(&row, &out, &in, sample(row.largest, s, samples));
			}
		}
		assert_int_equal(ringq_send_record(&out, NULL, row.largest + 1, 0), -EMSGSIZE);
		assert_int_equal(ringq_send_record(&out, NULL, UINT32_MAX, 0), -EMSGSIZE);
		ringq_detach(&out);
		ringq_detach(&in);
		close_row(&row);
	}
}

/* Full is exact: 8 bytes of room are for the header that follows. */
static void full(void **state)
{
	const struct ringq_opts opts = { .elem_size = 32, .capacity = 128 };
	struct ringq_port out, in;
	struct row row;
	uint32_t size;
	char data[32];
	int n;

	(void)state;
	open_row(&row, &opts);
	attach(&row, &out, &in);
	for (n = 0; ringq_send_record(&out, "x", 1, RINGQ_NOWAIT) == 1; n++)
		;
	assert_int_equal(n, 7);		/* of 16 bytes each, and 8 are not enough for another */
	assert_int_equal(ringq_send_record(&out, NULL, 0, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_send_record(&out, NULL, 0, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_drain(&out, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_recv_record(&in, data, 32, &size, RINGQ_NOWAIT), 1);
	/* 24 bytes of room, 8 of them at the end of the row. */
	assert_int_equal(ringq_send_record(&out, data, 1, RINGQ_NOWAIT), -EAGAIN);
	assert_int_equal(ringq_send_record(&out, NULL, 0, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_send_record(&out, NULL, 0, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_send_record(&out, NULL, 0, RINGQ_NOWAIT), -EAGAIN);
	for (n = 0; ringq_recv_record(&in, data, 32, &size, RINGQ_NOWAIT) == 1; n++)
		;
	assert_int_equal(n, 9);
	assert_int_equal(ringq_drain(&out, RINGQ_NOWAIT), 0);
	ringq_detach(&out);
	ringq_detach(&in);
	close_row(&row);
}

/* Whoever waits, or polls, is told so when a call would not wait, and not before. */
static void ready(void **state)
{
	const struct ringq_opts opts = { .elem_size = 90, .capacity = 256 };
	uint64_t random = 88172645463325252ull, i, need, sent = 0, full = 0;
	struct ringq_port out, in;
	struct row row;
	uint32_t size;
	char data[90];

	(void)state;
	open_row(&row, &opts);
	attach(&row, &out, &in);
	for (i = 0; i < 5000; i++) {
		size = next_random(&random) % 91;
		need = ringq_record_need(&out, RINGQ_RECORD_HEAD, size);
		if (ringq_send_record(&out, data, size, RINGQ_NOWAIT) == 1) {
			sent++;
		} else {
			/* It has said where it is. */
			full++;
			assert_false(is_ready(&out, need));
			assert_true(is_ready(&out, 256 - (ringq_position(&out) -
							  ringq_position(&in))));
			assert_int_equal(is_ready(&out, 1), !ringq_is_full(&out));
			while (!is_ready(&out, need)) {
				assert_true(is_ready(&in, 1));
				assert_int_equal(ringq_recv_record(&in, data, 90, &size, 0), 1);
				sent--;
			}
			assert_int_equal(ringq_send_record(&out, data, need % 8, RINGQ_NOWAIT), 1);
			sent++;
		}
		if (next_random(&random) % 3 == 0) {
			assert_int_equal(is_ready(&in, 1), 1);
			assert_int_equal(ringq_peek(&in, 1000, 0), sent);
			assert_int_equal(is_ready(&in, 1), 0);
			assert_int_equal(ringq_release(&in, sent > 1), 0);
			sent -= sent > 1;
			assert_int_equal(is_ready(&in, 1), 1);
		}
	}
	assert_true(full > 100);
	while (ringq_recv_record(&in, data, 90, &size, 0) == 1)
		;
	assert_int_equal(is_ready(&in, 1), 0);
	assert_int_equal(is_ready(&in, 200), 0);
	ringq_detach(&out);
	ringq_detach(&in);
	close_row(&row);
}

/* One reservation, one peek; what is given up was never there. */
static void held(void **state)
{
	static const struct ringq_opts rings[] = {
		{ .elem_size = 100, .capacity = 256 }, { .elem_size = 100, .capacity = 4096 },
	};
	struct ringq_port out, in;
	struct iovec one;
	uint32_t size, i;
	char data[100];
	struct row row;
	void *place;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		struct ringq_opts opts = rings[i];

		opts.elem_size = opts.capacity < 4096 ? 96 : 100;
		open_row(&row, &opts);
		attach(&row, &out, &in);
		one.iov_base = data;
		one.iov_len = 4;
		assert_int_equal(ringq_commit_record(&out, 0), -EINVAL);
		assert_int_equal(ringq_commit(&out, 1), -EINVAL);
		assert_int_equal(ringq_commit(&out, 0), 0);
		assert_int_equal(ringq_reserve_record(&out, 97, &place, 0), i ? 0 : -EMSGSIZE);
		ringq_abort(&out);
		assert_int_equal(ringq_reserve_record(&out, 40, &place, 0), 0);
		assert_int_equal(ringq_reserve_record(&out, 1, &place, 0), -EBUSY);
		assert_int_equal(ringq_send_record(&out, "no", 2, 0), -EBUSY);
		assert_int_equal(ringq_send_records(&out, &one, 1, 0), -EBUSY);
		assert_int_equal(ringq_commit_record(&out, 41), -EINVAL);
		assert_int_equal(ringq_commit(&out, 2), -EINVAL);
		assert_int_equal(ringq_peek(&in, 1, 0), -EAGAIN);
		fill(place, 40, 1);
		assert_int_equal(ringq_commit_record(&out, 3), 0);
		assert_int_equal(ringq_commit_record(&out, 3), -EINVAL);
		assert_int_equal(ringq_send_record(&out, "abcd", 4, 0), 1);

		assert_int_equal(ringq_release(&in, 1), -EINVAL);
		assert_int_equal(ringq_release(&in, 0), 0);
		assert_int_equal(ringq_peek(&in, 0, 0), -EINVAL);
		assert_int_equal(ringq_recv_records(&in, &one, 0, 0), -EINVAL);
		assert_int_equal(ringq_send_records(&out, &one, 0, 0), -EINVAL);
		assert_int_equal(ringq_peek(&in, 1, 0), 1);
		assert_int_equal(ringq_peek(&in, 1, 0), -EBUSY);
		assert_int_equal(ringq_recv_record(&in, data, 100, &size, 0), -EBUSY);
		assert_int_equal(ringq_recv_records(&in, &one, 1, 0), -EBUSY);
		assert_int_equal(ringq_release(&in, 2), -EINVAL);
		assert_int_equal(ringq_release(&in, 0), 0);
		assert_int_equal(ringq_recv_record(&in, data, 2, &size, 0), -EMSGSIZE);
		assert_int_equal(size, 3);
		assert_int_equal(ringq_recv_record(&in, data, 3, &size, 0), 1);
		check_content(data, 3, 1);
		one.iov_len = 3;
		assert_int_equal(ringq_recv_records(&in, &one, 1, 0), -EMSGSIZE);
		assert_int_equal(one.iov_len, 4);
		assert_int_equal(ringq_recv_records(&in, &one, 1, 0), 1);
		assert_memory_equal(data, "abcd", 4);
		assert_int_equal(ringq_peek(&in, 1, 0), -EAGAIN);
		ringq_detach(&out);
		ringq_detach(&in);
		close_row(&row);
	}
}

/* Elements are not records, consumers not producers, and who has left is nobody. */
static void no_such_thing(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = 8, .capacity = 100,
	};
	uint64_t cursor = 0, n = 0;
	struct ringq_port out, in;
	struct iovec one = { 0 };
	uint32_t size = 0, round;
	struct ringq *ring;
	void *place;
	char data[8];
	int want;

	(void)state;
	opts.flags = RINGQ_RECORDS;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_check(ring, RINGQ_SPSC, 8), -EPROTOTYPE);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	for (round = 0; round < 2; round++) {
		want = round ? -ESTALE : -EOPNOTSUPP;
		assert_int_equal(ringq_send(&out, data, 0), want);
		assert_int_equal(ringq_send_many(&out, data, 1, 0), want);
		assert_int_equal(ringq_reserve(&out, 1, 0), want);
		assert_int_equal(ringq_recv(&in, data, 0), want);
		assert_int_equal(ringq_recv_many(&in, data, 1, 0), want);
		assert_null(ringq_at(&in, 0));
		assert_null(ringq_run(&in, 0, &n));
		assert_int_equal(ringq_send_record(&in, data, 1, 0), want);
		assert_int_equal(ringq_send_records(&in, &one, 1, 0), want);
		assert_int_equal(ringq_reserve_record(&in, 1, &place, 0), want);
		assert_int_equal(ringq_commit_record(&in, 1), want);
		assert_int_equal(ringq_commit(&in, 1), want);
		assert_int_equal(ringq_drain(&in, 0), want);
		assert_int_equal(ringq_recv_record(&out, data, 8, &size, 0), want);
		assert_int_equal(ringq_recv_records(&out, &one, 1, 0), want);
		assert_int_equal(ringq_peek(&out, 1, 0), want);
		assert_int_equal(ringq_release(&out, 1), want);
		assert_null(ringq_record(&out, &cursor, &size));
		assert_int_equal(ringq_lost(&in), 0);
		ringq_detach(&out);
		ringq_detach(&in);
	}
	assert_int_equal(ringq_send_record(&out, data, 1, 0), -ESTALE);
	assert_int_equal(ringq_recv_record(&in, data, 1, &size, 0), -ESTALE);
	assert_int_equal(ringq_peek(&in, 1, 0), -ESTALE);
	ringq_leave(ring);

	opts.flags = 0;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	assert_int_equal(ringq_check(ring, RINGQ_SPSC, 8), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_send_record(&out, data, 1, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_send_records(&out, &one, 1, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_reserve_record(&out, 1, &place, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_commit_record(&out, 1), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_record(&in, data, 8, &size, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_records(&in, &one, 1, 0), -EOPNOTSUPP);
	assert_null(ringq_record(&in, &cursor, &size));
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);

	opts.flags = RINGQ_RECORDS;
	opts.discipline = RINGQ_MPMC;
	assert_int_equal(ringq_create(&opts, &ring), -EOPNOTSUPP);
	opts.discipline = RINGQ_LATEST;
	assert_int_equal(ringq_create(&opts, &ring), -EOPNOTSUPP);
}

/* Of n bytes, flagged or not, number first and the following, in one peek. */
static void expect_peek(struct ringq_port *in, uint64_t first, uint64_t n, uint32_t flags)
{
	uint64_t cursor = 0, i;
	const void *data;
	uint32_t size;

	assert_int_equal(ringq_peek(in, 100, RINGQ_NOWAIT), n);
	assert_int_equal(ringq_flags(in), flags);
	for (i = 0; (data = ringq_record(in, &cursor, &size)); i++) {
		assert_int_equal(size, 20 + first + i);
		check_content(data, size, first + i);
	}
	assert_int_equal(i, n);
}

/* Seven records, of 20 bytes and more. */
static void send_seven(struct ringq_port *out)
{
	unsigned char data[100];
	uint32_t i;

	for (i = 0; i < 7; i++) {
		fill(data, 20 + i, i);
		assert_int_equal(ringq_send_record(out, data, 20 + i, RINGQ_NOWAIT), 1);
	}
}

/* What was shown and not released comes again, flagged, and never with what was not shown. */
static void redelivered(struct ringq *ring)
{
	unsigned char data[7][100];
	struct iovec records[7];
	struct ringq_port in;
	uint32_t size, i;

	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	expect_peek(&in, 1, 3, RINGQ_REDELIVERED);
	assert_int_equal(ringq_release(&in, 1), 0);
	assert_int_equal(ringq_recv_record(&in, data, 1, &size, RINGQ_NOWAIT), -EMSGSIZE);
	assert_int_equal(ringq_flags(&in), RINGQ_REDELIVERED);
	for (i = 0; i < COUNT(records); i++) {
		records[i].iov_base = data[i];
		records[i].iov_len = sizeof(data[i]);
	}
	assert_int_equal(ringq_recv_records(&in, records, 7, RINGQ_NOWAIT), 2);
	assert_int_equal(ringq_flags(&in), RINGQ_REDELIVERED);
	check_content(data[0], 22, 2);
	check_content(data[1], 23, 3);
	expect_peek(&in, 4, 3, 0);
	assert_int_equal(ringq_release(&in, 0), 0);
	assert_int_equal(ringq_recv_record(&in, data, 100, &size, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_flags(&in), 0);
	ringq_detach(&in);

	/* The first of the next ones, too, was shown. */
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_recv_record(&in, data, 100, &size, RINGQ_NOWAIT), 1);
	assert_int_equal(ringq_flags(&in), RINGQ_REDELIVERED);
	expect_peek(&in, 6, 1, RINGQ_REDELIVERED);
	assert_int_equal(ringq_release(&in, 1), 0);
	assert_int_equal(ringq_recv_record(&in, data, 100, &size, RINGQ_NOWAIT), -EAGAIN);
	ringq_detach(&in);
}

/* The first consumer: releases one record, and has three more in hand when it goes. */
static int look_at_four(struct ringq *ring, struct ringq_port *in)
{
	return ringq_attach(ring, RINGQ_CONSUMER, in) == 0 && ringq_peek(in, 4, 0) == 4 &&
	       ringq_release(in, 1) == 0 && ringq_peek(in, 3, 0) == 3;
}

static void predecessor_left(void **state)
{
	static const struct ringq_opts rings[] = {
		{ .elem_size = 26, .capacity = 512, .flags = BOTH_WAIT, .first = 400 },
		{ .elem_size = 26, .capacity = 4096, .flags = BOTH_WAIT, .first = 4000 },
	};
	struct ringq_port out, in;
	struct row row;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(rings); i++) {
		open_row(&row, &rings[i]);
		assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
		send_seven(&out);
		assert_true(look_at_four(row.ring, &in));
		ringq_detach(&in);
		redelivered(row.ring);
		ringq_detach(&out);
		close_row(&row);
	}
}

static void predecessor_killed(void **state)
{
	const struct ringq_opts opts = {
		.memory = RINGQ_MEMFD, .elem_size = 100, .capacity = 4096, .flags = BOTH_WAIT,
	};
	struct ringq_port out, in;
	struct ringq *ring;
	struct row row;
	pid_t pid;

	(void)state;
	open_row(&row, &opts);
	assert_int_equal(ringq_attach(row.ring, RINGQ_PRODUCER, &out), 0);
	send_seven(&out);
	pid = child();
	if (pid == 0) {
		if (ringq_join_fd(ringq_fd(row.ring), NULL, &ring) < 0 || !look_at_four(ring, &in))
			_exit(1);
		raise(SIGKILL);
	}
	join_killed(pid);
	redelivered(row.ring);
	ringq_detach(&out);
	close_row(&row);
}

/* What a record at a position is, in the tests with kills: all follows from the position. */
static uint32_t size_at(uint64_t pos)
{
	uint64_t x = pos * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return x % 3 ? x % 61 : x % 2017;
}

/* One by copy, several, or one in place. */
static void send_some(struct ringq_port *out)
{
	unsigned char data[3][2048];
	struct iovec records[3];
	uint64_t pos = ringq_position(out), i;
	void *place;

	switch (pos / 8 % 3) {
	case 0:
		fill(data, size_at(pos), pos);
		if (ringq_send_record(out, data, size_at(pos), RINGQ_FOREVER) != 1)
			_exit(2);
		break;
	case 1:
		if (ringq_reserve_record(out, 2016, &place, RINGQ_FOREVER) < 0)
			_exit(3);
		fill(place, size_at(pos), pos);
		if (ringq_commit_record(out, size_at(pos)) < 0)
			_exit(4);
		break;
	default:
		for (i = 0; i < 3; i++) {
			records[i].iov_base = data[i];
			records[i].iov_len = size_at(pos);
			fill(data[i], size_at(pos), pos);
			pos += ringq_record_span(RINGQ_RECORD_HEAD, size_at(pos));
		}
		if (ringq_send_records(out, records, 3, RINGQ_FOREVER) != 3)
			_exit(5);
	}
}

/* Sends n times, or for ever if that is 0, says how far it came, and dies. */
static void send_until_killed(int fd, uint64_t *sent, uint64_t n)
{
	struct ringq_port out;
	struct ringq *ring;

	if (ringq_join_fd(fd, NULL, &ring) < 0 || ringq_attach(ring, RINGQ_PRODUCER, &out) < 0)
		_exit(1);
	do {
		__atomic_store_n(sent, ringq_position(&out), __ATOMIC_RELEASE);
		send_some(&out);
	} while (--n);
	__atomic_store_n(sent, ringq_position(&out), __ATOMIC_RELEASE);
	raise(SIGKILL);
}

/* Receives what is next: it is what was sent there. */
static int recv_next(struct ringq_port *in, int64_t timeout)
{
	uint64_t pos = ringq_position(in);
	unsigned char data[2048];
	uint32_t size = 0;
	int r;

	r = ringq_recv_record(in, data, sizeof(data), &size, timeout);
	if (r == 1) {
		assert_int_equal(size, size_at(pos));
		check_content(data, size, pos);
	}
	return r;
}

/*
 * The stream goes on over deaths of the producer without a gap, a repetition, or a torn record:
 * killed in its first laps, while it waits for room, and while there is some, of which it then
 * has used more than it has said.
 */
static void producers_killed(void **state)
{
	const struct ringq_opts opts = {
		.memory = RINGQ_MEMFD, .elem_size = 2016, .capacity = 65536, .flags = BOTH_WAIT,
		.first = (UINT64_C(1) << 32) - 65536,
	};
	uint64_t *sent = shared(sizeof(*sent)), random = 88172645463325252ull, end, n;
	struct ringq_port in;
	struct row row;
	int round, r;
	pid_t pid;

	(void)state;
	open_row(&row, &opts);
	assert_int_equal(ringq_attach(row.ring, RINGQ_CONSUMER, &in), 0);
	for (round = 0; round < 60; round++) {
		*sent = 0;
		n = round % 3 ? 1 + next_random(&random) % 10 : 0;
		pid = child();
		if (pid == 0)
			send_until_killed(ringq_fd(row.ring), sent, n);
		if (!n) {
			end = ringq_position(&in) + next_random(&random) % 131072;
			while (ringq_position(&in) < end)
				assert_int_equal(recv_next(&in, RINGQ_FOREVER), 1);
			if (round % 2)
				usleep(next_random(&random) % 2000);
			kill(pid, SIGKILL);
		}
		join_killed(pid);
		while ((r = recv_next(&in, RINGQ_NOWAIT)) == 1)
			;
		assert_int_equal(r, -EAGAIN);
		assert_true(ringq_position(&in) >= *sent);
		if (n)
			assert_int_equal(ringq_position(&in), *sent);
	}
	ringq_detach(&in);
	close_row(&row);
}

struct stream {
	struct row row;
	uint64_t n;
};

static void *send_stream(void *arg)
{
	struct stream *s = arg;
	unsigned char data[2048];
	struct ringq_port out;
	uint64_t i, x = 1;
	uint32_t size;

	if (ringq_attach(s->row.ring, RINGQ_PRODUCER, &out) < 0)
		return "attach";
	for (i = 0; i < s->n; i++) {
		size = next_random(&x) % (s->row.largest + 1);
		fill(data, size, i);
		if (ringq_send_record(&out, data, size, RINGQ_FOREVER) != 1)
			return "send";
		if (i % 1000 == 0 && ringq_drain(&out, RINGQ_FOREVER) < 0)
			return "drain";
	}
	ringq_detach(&out);
	return NULL;
}

/* Both sides wait for each other, by sleeping too, until the end. */
static void threads(void **state)
{
	static const struct ringq_opts rings[] = {
		{ .elem_size = 32, .capacity = 128 }, { .elem_size = 300, .capacity = 1024 },
		{ .elem_size = 300, .capacity = 4096 },
		{ .elem_size = 300, .capacity = 4096, .flags = RINGQ_FENCE },
	};
	unsigned char data[2048];
	struct ringq_port in;
	struct stream s;
	pthread_t thread;
	uint64_t i, x, k;
	uint32_t size;
	void *error;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		open_row(&s.row, &rings[k]);
		s.n = 5000;
		assert_int_equal(ringq_attach(s.row.ring, RINGQ_CONSUMER, &in), 0);
		assert_int_equal(ringq_recv_record(&in, data, 1, &size, MS), -ETIMEDOUT);
		assert_int_equal(pthread_create(&thread, NULL, send_stream, &s), 0);
		for (i = 0, x = 1; i < s.n; i++) {
			assert_int_equal(ringq_recv_record(&in, data, sizeof(data), &size,
							   RINGQ_FOREVER), 1);
			assert_int_equal(size, next_random(&x) % (s.row.largest + 1));
			check_content(data, size, i);
			if (i % 1000 == 0)
				usleep(2000);
		}
		assert_int_equal(ringq_recv_record(&in, data, 1, &size, RINGQ_FOREVER), 0);
		assert_int_equal(ringq_peek(&in, 1, RINGQ_FOREVER), 0);
		pthread_join(thread, &error);
		if (error)
			fail_msg("%s", (char *)error);
		ringq_detach(&in);
		close_row(&s.row);
	}
}

/* Closed: no more is sent, what was is received, then end-of-file. */
static void closed(void **state)
{
	const struct ringq_opts opts = { .elem_size = 50, .capacity = 4096 };
	struct iovec one = { .iov_base = "x", .iov_len = 1 };
	struct ringq_port out, in;
	unsigned char data[50];
	struct row row;
	uint32_t size;
	void *place;

	(void)state;
	open_row(&row, &opts);
	attach(&row, &out, &in);
	send_seven(&out);
	assert_int_equal(ringq_reserve_record(&out, 9, &place, 0), 0);
	assert_int_equal(ringq_close(&in), 0);
	ringq_abort(&out);
	assert_int_equal(ringq_send_record(&out, data, 1, RINGQ_FOREVER), -EPIPE);
	assert_int_equal(ringq_send_records(&out, &one, 1, RINGQ_FOREVER), -EPIPE);
	assert_int_equal(ringq_reserve_record(&out, 1, &place, RINGQ_FOREVER), -EPIPE);
	expect_peek(&in, 0, 7, 0);
	assert_int_equal(ringq_release(&in, 6), 0);
	assert_int_equal(ringq_drain(&out, MS), -ETIMEDOUT);
	assert_int_equal(ringq_recv_record(&in, data, 50, &size, RINGQ_FOREVER), 1);
	assert_int_equal(ringq_drain(&out, RINGQ_FOREVER), 0);
	assert_int_equal(ringq_recv_record(&in, data, 50, &size, RINGQ_FOREVER), 0);
	assert_int_equal(ringq_recv_records(&in, &one, 1, RINGQ_FOREVER), 0);
	ringq_detach(&in);
	assert_int_equal(ringq_send_record(&out, data, 1, RINGQ_NOWAIT), -EPIPE);
	ringq_detach(&out);
	close_row(&row);
}

/* What is asked for, and what is granted: 0 bytes of a buffer is memory of pages. */
static const struct {
	uint64_t elem_size, capacity, granted;
	uint32_t flags, discipline;
	int buffer;
} plans[] = {
	{ 1, 1, 4096, 0, 0, 0 },
	{ 1, 4097, 8192, 0, 0, 0 },
	{ 2016, 1, 4096, 0, 0, 0 },
	{ 2017, 1, 8192, 0, 0, 0 },
	{ 4064, 1, 8192, 0, 0, 0 },
	{ 1, 0, 1 << 20, 0, 0, 0 },
	{ 1 << 20, 0, 1 << 22, 0, 0, 0 },
	{ (1 << 20) - 32, 0, 1 << 21, 0, 0, 0 },
	{ 100, 1 << 21, 1 << 21, 0, 0, 0 },
	{ 100, 1, 1 << 21, RINGQ_HUGE, 0, 0 },
	{ 100, (1 << 21) + 1, 1 << 22, RINGQ_SMALL, 0, 0 },
	{ 100, 1, 4096, 0, RINGQ_LOSSY, 0 },
	{ 1, 1, 128, 0, 0, 1 },
	{ 32, 1, 128, 0, 0, 1 },
	{ 33, 1, 256, 0, 0, 1 },
	{ 1, 129, 256, 0, 0, 1 },
	{ 1, 0, 1 << 20, 0, 0, 1 },
	{ 96, 1, 256, RINGQ_HUGE, RINGQ_LOSSY, 1 },
};

/* The first and the last byte of the row, through both mappings, and a record across. */
static void use_plan(struct ringq *ring, uint64_t capacity, uint32_t elem_size)
{
	struct ringq_port out, in;
	const unsigned char *data;
	uint64_t cursor = 0, sent;
	unsigned char *place;
	uint32_t size;

	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	for (sent = 0; sent < 2 * capacity + elem_size; sent += elem_size) {
		assert_int_equal(ringq_reserve_record(&out, elem_size, (void **)&place, 0), 0);
		memset(place, sent >> 3, elem_size);
		assert_int_equal(ringq_commit_record(&out, elem_size), 0);
		assert_int_equal(ringq_peek(&in, 1, 0), 1);
		data = ringq_record(&in, &cursor, &size);
		assert_non_null(data);
		assert_int_equal(size, elem_size);
		assert_int_equal(data[0], (unsigned char)(sent >> 3));
		assert_memory_equal(data, data + 1, elem_size - 1);
		assert_int_equal(ringq_release(&in, 1), 0);
		cursor = 0;
	}
	ringq_detach(&out);
	ringq_detach(&in);
}

static void planned(void **state)
{
	static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq *ring, *other;
	struct ringq_opts opts;
	unsigned int i, m;
	int64_t size;

	(void)state;
	for (i = 0; i < 2 * COUNT(plans); i++) {
		m = i / COUNT(plans);
		opts = (struct ringq_opts){
			.size = sizeof(opts), .memory = memories[m],
			.flags = plans[i % COUNT(plans)].flags | RINGQ_RECORDS | BOTH_WAIT,
			.elem_size = plans[i % COUNT(plans)].elem_size,
			.capacity = plans[i % COUNT(plans)].capacity,
			.discipline = plans[i % COUNT(plans)].discipline,
		};
		if (plans[i % COUNT(plans)].buffer) {
			if (m)
				continue;
			size = ringq_buffer_size(&opts);
			assert_true(size > 0);
			opts.buffer = test_malloc(size);
			opts.buffer_size = size - RINGQ_LINE_PAIR;
			assert_int_equal(ringq_create(&opts, &ring), -ENOBUFS);
			opts.buffer_size = size;
		}
		assert_int_equal(ringq_create(&opts, &ring), 0);
		assert_int_equal(ringq_get_info(ring, &info), 0);
		assert_int_equal(info.capacity, plans[i % COUNT(plans)].granted);
		assert_int_equal(info.elem_size, opts.elem_size);
		assert_true(info.flags & RINGQ_RECORDS);
		assert_true(info.total >= info.capacity + info.header);
		use_plan(ring, info.capacity, info.elem_size);
		if (m) {
			assert_int_equal(ringq_join_fd(ringq_fd(ring), &opts, &other), 0);
			use_plan(other, info.capacity, info.elem_size);
			ringq_leave(other);
			opts.flags = 0;
			opts.discipline = 0;
			assert_int_equal(ringq_join_fd(ringq_fd(ring), &opts, &other), 0);
			ringq_leave(other);
			opts.discipline = RINGQ_MPSC;
		}
		ringq_leave(ring);
		if (plans[i % COUNT(plans)].buffer)
			test_free(opts.buffer);
	}
}

/* Of an ordinary ring nobody makes one of records, and the limits are what they are said to be. */
static void refused(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .elem_size = 8, .capacity = 100,
	};
	struct ringq *ring, *other;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	opts.flags = RINGQ_RECORDS;
	assert_int_equal(ringq_join_fd(ringq_fd(ring), &opts, &other), -EPROTOTYPE);
	ringq_leave(ring);
	opts.memory = RINGQ_PRIVATE;
	opts.first = 4;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts.first = RINGQ_FIRST_MAX;
	assert_int_equal(ringq_create(&opts, &ring), -EINVAL);
	opts.first = 0;
	opts.capacity = (UINT64_C(1) << 40) + 1;
	assert_int_equal(ringq_create(&opts, &ring), -EFBIG);
	opts.capacity = UINT64_MAX;
	assert_int_equal(ringq_create(&opts, &ring), -EFBIG);
	opts.capacity = 0;
	opts.elem_size = (1 << 30) + 1;
	assert_int_equal(ringq_create(&opts, &ring), -EFBIG);
	opts.elem_size = 1 << 30;
	assert_true(ringq_buffer_size(&opts) > INT64_C(1) << 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_place),
		cmocka_unit_test(full),
		cmocka_unit_test(ready),
		cmocka_unit_test(held),
		cmocka_unit_test(no_such_thing),
		cmocka_unit_test(predecessor_left),
		cmocka_unit_test(predecessor_killed),
		cmocka_unit_test(producers_killed),
		cmocka_unit_test(threads),
		cmocka_unit_test(closed),
		cmocka_unit_test(planned),
		cmocka_unit_test(refused),
	};

	/* A hang is a failure. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
