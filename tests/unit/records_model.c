// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Records, lossless: every operation, in any order, against a list of what must come; partial
 * commits and abort, and successors of who left.
 */
#include "records.h"

#include <errno.h>

#define BOTH_WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

/* Where rings begin: at 0, before positions of 32 bits end, and at the end of what is allowed. */
static const uint64_t firsts[] = { 0, (UINT64_C(1) << 32) - 256, RINGQ_FIRST_MAX - 8 };

/* What was sent and has not been released: by number, with sizes. */
#define QUEUE 4096
struct model {
	struct row row;
	struct ringq_port out, in;
	uint32_t sizes[QUEUE];
	uint64_t sent, got;
	uint64_t shown;		/* below it all has been peeked... */
	uint64_t flagged;	/* ...by a consumer before this one */
	uint64_t random;
	unsigned char data[4096];
};

static uint32_t any_size(struct model *m)
{
	uint64_t x = next_random(&m->random);

	/* Often small, often large, sometimes anything. */
	if (x % 8 == 0)
		return m->row.largest - x / 8 % (m->row.largest < 24 ? m->row.largest : 24);
	if (x % 2)
		return x / 8 % (m->row.largest < 24 ? m->row.largest : 24);
	return x / 8 % (m->row.largest + 1);
}

static void note(struct model *m, uint32_t size)
{
	m->sizes[m->sent++ % QUEUE] = size;
	assert_true(m->sent - m->got <= QUEUE);
}

static uint32_t size_of(const struct model *m, uint64_t number)
{
	return m->sizes[number % QUEUE];
}

static void check_next(struct model *m, const void *data, uint32_t size)
{
	assert_int_equal(ringq_flags(&m->in), m->got < m->flagged ? RINGQ_REDELIVERED : 0);
	assert_int_equal(size, size_of(m, m->got));
	check_content(data, size, m->got);
	m->got++;
}

/* How many may come in one batch: what was shown before stays by itself. */
static uint64_t together(const struct model *m)
{
	return (m->got < m->flagged ? m->flagged : m->sent) - m->got;
}

static void send_one(struct model *m)
{
	uint32_t size = any_size(m);
	int r;

	fill(m->data, size, m->sent);
	r = ringq_send_record(&m->out, size ? m->data : NULL, size, RINGQ_NOWAIT);
	if (r == 1)
		note(m, size);
	else
		assert_int_equal(r, -EAGAIN);
}

static void send_several(struct model *m)
{
	unsigned char data[5][2048];
	struct iovec records[5];
	uint64_t n = 1 + next_random(&m->random) % 5, i;
	int64_t r;

	for (i = 0; i < n; i++) {
		records[i].iov_base = data[i];
		records[i].iov_len = any_size(m);
		fill(data[i], records[i].iov_len, m->sent + i);
	}
	r = ringq_send_records(&m->out, records, n, RINGQ_NOWAIT);
	if (r < 0)
		assert_int_equal(r, -EAGAIN);
	assert_true(r <= (int64_t)n);
	for (i = 0; (int64_t)i < r; i++)
		note(m, records[i].iov_len);
}

/* Reserves, writes all of it, and commits all, a part, or nothing, in the ways there are. */
static void send_in_place(struct model *m)
{
	uint32_t size = any_size(m), part = size ? next_random(&m->random) % (size + 1) : 0;
	void *place = NULL;
	int r = ringq_reserve_record(&m->out, size, &place, RINGQ_NOWAIT);

	if (r < 0) {
		assert_int_equal(r, -EAGAIN);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal((uintptr_t)place % 8, 0);
	fill(place, size, m->sent);
	switch (next_random(&m->random) % 4) {
	case 0:
		ringq_abort(&m->out);
		break;
	case 1:
		assert_int_equal(ringq_commit(&m->out, 1), 0);
		note(m, size);
		break;
	case 2:
		assert_int_equal(ringq_commit(&m->out, 0), 0);
		break;
	default:
		assert_int_equal(ringq_commit_record(&m->out, part), 0);
		note(m, part);
	}
}

static void recv_one(struct model *m)
{
	uint32_t size = 12345, room = any_size(m);
	int r = ringq_recv_record(&m->in, m->data, room, &size, RINGQ_NOWAIT);

	if (m->got == m->sent) {
		assert_int_equal(r, -EAGAIN);
	} else if (room < size_of(m, m->got)) {
		assert_int_equal(r, -EMSGSIZE);
		assert_int_equal(size, size_of(m, m->got));
	} else {
		assert_int_equal(r, 1);
		check_next(m, m->data, size);
	}
}

static void recv_several(struct model *m)
{
	unsigned char data[5][2048];
	struct iovec records[5];
	uint64_t n = 1 + next_random(&m->random) % 5, i, there;
	uint32_t room[5];
	int64_t r;

	for (i = 0; i < n; i++) {
		room[i] = i % 2 ? any_size(m) : m->row.largest;
		records[i].iov_base = data[i];
		records[i].iov_len = room[i];
	}
	there = together(m);
	r = ringq_recv_records(&m->in, records, n, RINGQ_NOWAIT);
	if (!there) {
		assert_int_equal(r, -EAGAIN);
		return;
	}
	assert_true(r > 0);
	/* Why it ended: there were no more, or no room. */
	if (r < (int64_t)n && r < (int64_t)there)
		assert_true(room[r] < size_of(m, m->got + r));
	for (i = 0; (int64_t)i < r; i++)
		check_next(m, data[i], records[i].iov_len);
}

static void recv_in_place(struct model *m)
{
	uint64_t n = 1 + next_random(&m->random) % 9, cursor = 0, i, there = together(m);
	int64_t held = ringq_peek(&m->in, n, RINGQ_NOWAIT);
	const void *data;
	uint32_t size;

	if (!there) {
		assert_int_equal(held, -EAGAIN);
		assert_null(ringq_record(&m->in, &cursor, &size));
		return;
	}
	assert_int_equal(held, n < there ? n : there);
	assert_int_equal(ringq_flags(&m->in), m->got < m->flagged ? RINGQ_REDELIVERED : 0);
	if (m->shown < m->got + held)
		m->shown = m->got + held;
	for (i = 0; (data = ringq_record(&m->in, &cursor, &size)); i++) {
		assert_int_equal(size, size_of(m, m->got + i));
		check_content(data, size, m->got + i);
	}
	assert_int_equal(i, held);
	assert_int_equal(ringq_release(&m->in, held + 1), -EINVAL);
	i = next_random(&m->random) % (held + 1);
	assert_int_equal(ringq_release(&m->in, i), 0);
	m->got += i;
}

/* The same, walked over, and released as far as that. */
static void walk(struct model *m)
{
	uint64_t n = 1 + next_random(&m->random) % 9, there = together(m), seen = 0;
	struct ringq_iter iter;
	const void *data;
	size_t size;
	int64_t held;

	held = ringq_iter_begin(&m->in, n, RINGQ_NOWAIT, &iter);
	assert_int_equal(held, !there ? -EAGAIN : n < there ? (int64_t)n : (int64_t)there);
	if (held > 0 && m->shown < m->got + held)
		m->shown = m->got + held;
	n = next_random(&m->random) % 9;
	while (seen < n && (data = ringq_iter_next(&iter, &size))) {
		assert_int_equal(size, size_of(m, m->got + seen));
		check_content(data, size, m->got + seen++);
	}
	assert_int_equal(ringq_iter_finish(&iter), 0);
	m->got += seen;
}

/* A handler that has enough after a few. */
static int handle(void *arg, const void *data, size_t size)
{
	struct model *m = arg;

	check_next(m, data, size);
	return next_random(&m->random) % 5 == 0;
}

static void consume(struct model *m)
{
	uint64_t before = m->got, max = 1 + next_random(&m->random) % 9, there = m->sent - m->got;
	uint64_t at, after;
	int64_t n;

	if (max > there)
		max = there;
	n = ringq_consume(&m->in, max == there ? RINGQ_ALL : max, handle, m, RINGQ_NOWAIT);
	after = m->got;
	assert_int_equal(n, there ? (int64_t)(after - before) : -EAGAIN);
	/* It peeks as many as it may, and those that are left were shown too. */
	for (at = before; at < after; at = m->got) {
		m->got = at;
		m->got += together(m) < before + max - at ? together(m) : before + max - at;
		if (m->shown < m->got)
			m->shown = m->got;
	}
	m->got = after;
}

static void check_lengths(const struct model *m)
{
	const struct ringq_port *out = &m->out, *in = &m->in;
	uint64_t used = ringq_position(out) - ringq_position(in), n = m->sent - m->got;

	assert_int_equal(ringq_len(out), n);
	assert_int_equal(ringq_len(in), n);
	assert_int_equal(ringq_capacity(out), m->row.capacity);
	assert_int_equal(ringq_room(out), m->row.capacity - used);
	assert_int_equal(ringq_room(in), m->row.capacity - used);
	assert_int_equal(ringq_is_empty(in), !n);
	assert_int_equal(ringq_is_empty(out), !n);
}

static void step(struct model *m)
{
	check_lengths(m);
	switch (next_random(&m->random) % 9) {
	case 0:
		send_one(m);
		break;
	case 1:
		send_several(m);
		break;
	case 2:
		send_in_place(m);
		break;
	case 3:
		recv_one(m);
		break;
	case 4:
		recv_several(m);
		break;
	case 5:
		walk(m);
		break;
	case 6:
		consume(m);
		break;
	default:
		recv_in_place(m);
	}
}

static void empty(struct model *m)
{
	while (m->got < m->sent)
		recv_in_place(m);
	assert_int_equal(ringq_drain(&m->out, RINGQ_NOWAIT), 0);
	assert_int_equal(ringq_position(&m->in), ringq_position(&m->out));
}

/* Everything that both sides can do, in any order, with ports that come and go. */
static void any_order(void **state)
{
	static const struct ringq_opts rings[] = {
		{ .elem_size = 32, .capacity = 128 },
		{ .elem_size = 9, .capacity = 128 },
		{ .elem_size = 200, .capacity = 512 },
		{ .elem_size = 992, .capacity = 2048 },
		{ .elem_size = 2016, .capacity = 4096 },
		{ .elem_size = 100, .capacity = 4096 },
		{ .elem_size = 1, .capacity = 4096 },
	};
	static struct model the_model;
	struct model *m = &the_model;
	struct ringq_opts opts;
	unsigned int i;
	int n;

	(void)state;
	for (i = 0; i < COUNT(rings) * COUNT(firsts); i++) {
		opts = rings[i / COUNT(firsts)];
		opts.first = firsts[i % COUNT(firsts)];
		opts.flags = BOTH_WAIT;
		open_row(&m->row, &opts);
		assert_int_equal(m->row.capacity, opts.capacity);
		assert_int_equal(m->row.largest, opts.elem_size);
		attach(&m->row, &m->out, &m->in);
		m->sent = m->got = m->shown = m->flagged = 0;
		m->random = 88172645463325252ull + i;
		for (n = 0; n < 4000; n++) {
			step(m);
			if (n % 97 == 0) {
				ringq_detach(&m->out);
				assert_int_equal(ringq_attach(m->row.ring, RINGQ_PRODUCER, &m->out), 0);
			}
			if (n % 101 == 0) {
				ringq_detach(&m->in);
				assert_int_equal(ringq_attach(m->row.ring, RINGQ_CONSUMER, &m->in), 0);
				m->flagged = m->shown;
			}
		}
		empty(m);
		ringq_detach(&m->out);
		ringq_detach(&m->in);
		close_row(&m->row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
	};

	/* A hang is a failure. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
