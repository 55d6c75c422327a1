// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LANES of records: what each producer sends arrives whole, once, and in its order, with one
 * consumer and with several, that receive and that look in place; what one has in hand when it
 * goes comes again, flagged.
 */
#include "records.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#define PRODUCERS 3

static const struct ringq_opts rings[] = {
	{ .elem_size = 32, .capacity = 128 },
	{ .elem_size = 200, .capacity = 512, .first = (UINT64_C(1) << 32) - 256 },
	{ .elem_size = 2016, .capacity = 4096, .first = RINGQ_FIRST_MAX - 8 },
	{ .elem_size = 60, .capacity = 4096 },
};

static struct ringq_opts lanes(const struct ringq_opts *opts, uint32_t consumers)
{
	struct ringq_opts o = *opts;

	o.discipline = RINGQ_LANES;
	o.flags |= RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	o.producers = PRODUCERS;
	o.consumers = consumers;
	return o;
}

/* A record is known by its lane and its number there. */
static uint64_t name_of(uint64_t lane, uint64_t number)
{
	return lane << 32 | number;
}

static uint32_t size_of(uint64_t name, uint32_t largest)
{
	uint64_t x = name * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return x % 5 ? x / 5 % (largest < 40 ? largest + 1 : 40) : x / 5 % (largest + 1);
}

struct model {
	struct row row;
	struct ringq_port out[PRODUCERS], in[2];
	uint64_t sent[PRODUCERS], got[PRODUCERS];
	uint64_t random;
};

static bool send_next(struct model *m, uint32_t lane)
{
	uint64_t name = name_of(lane, m->sent[lane]);
	uint32_t size = size_of(name, m->row.largest);
	unsigned char data[2048];
	int r;

	fill(data, size, name);
	r = ringq_send_record(&m->out[lane], data, size, RINGQ_NOWAIT);
	if (r == -EAGAIN)
		return false;
	assert_int_equal(r, 1);
	m->sent[lane]++;
	return true;
}

static void check_record(struct model *m, uint32_t lane, uint64_t ahead, const void *data,
			 uint32_t size)
{
	uint64_t name = name_of(lane, m->got[lane] + ahead);

	assert_true(m->got[lane] + ahead < m->sent[lane]);
	assert_int_equal(size, size_of(name, m->row.largest));
	check_content(data, size, name);
}

static uint64_t left(const struct model *m)
{
	uint64_t n = 0, i;

	for (i = 0; i < PRODUCERS; i++)
		n += m->sent[i] - m->got[i];
	return n;
}

static void recv_some(struct model *m, struct ringq_port *in)
{
	unsigned char data[3][2048];
	struct iovec records[3];
	uint64_t cursor = 0, i;
	const void *there;
	uint32_t size = 0;
	int64_t r;
	int lane;

	assert_int_equal(ringq_len(in), left(m));
	switch (next_random(&m->random) % 4) {
	case 0:
		r = ringq_recv_record(in, data, sizeof(data), &size, RINGQ_NOWAIT);
		lane = ringq_lane(in);
		if (r == 1)
			check_record(m, lane, 0, data, size);
		break;
	case 1:
		r = ringq_recv_record(in, data, 20, &size, RINGQ_NOWAIT);
		lane = ringq_lane(in);
		if (r == 1)
			check_record(m, lane, 0, data, size);
		if (r == -EMSGSIZE) {
			assert_int_equal(size, size_of(name_of(lane, m->got[lane]), m->row.largest));
			return;
		}
		break;
	case 2:
		for (i = 0; i < COUNT(records); i++) {
			records[i].iov_base = data[i];
			records[i].iov_len = sizeof(data[i]);
		}
		r = ringq_recv_records(in, records, COUNT(records), RINGQ_NOWAIT);
		lane = ringq_lane(in);
		for (i = 0; (int64_t)i < r; i++)
			check_record(m, lane, i, data[i], records[i].iov_len);
		break;
	default:
		r = ringq_peek(in, 1 + next_random(&m->random) % 9, RINGQ_NOWAIT);
		lane = ringq_lane(in);
		for (i = 0; r > 0 && (there = ringq_record(in, &cursor, &size)); i++)
			check_record(m, lane, i, there, size);
		if (r > 0) {
			assert_int_equal(i, r);
			r = next_random(&m->random) % (r + 1);
			assert_int_equal(ringq_release(in, r), 0);
			m->got[lane] += r;
			return;
		}
	}
	if (!left(m)) {
		assert_int_equal(r, -EAGAIN);
	} else {
		assert_true(r > 0);
		m->got[lane] += r;
	}
}

static void open_model(struct model *m, const struct ringq_opts *opts, uint32_t consumers)
{
	struct ringq_opts o = lanes(opts, consumers);
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->random = 88172645463325252ull + o.capacity;
	open_row(&m->row, &o);
	for (i = 0; i < PRODUCERS; i++)
		assert_int_equal(ringq_attach(m->row.ring, RINGQ_PRODUCER, &m->out[i]), 0);
	for (i = 0; i < consumers; i++)
		assert_int_equal(ringq_attach(m->row.ring, RINGQ_CONSUMER, &m->in[i]), 0);
}

static void close_model(struct model *m, uint32_t consumers)
{
	unsigned int i;

	for (i = 0; i < PRODUCERS; i++)
		ringq_detach(&m->out[i]);
	for (i = 0; i < consumers; i++)
		ringq_detach(&m->in[i]);
	close_row(&m->row);
}

static void any_order(void **state)
{
	static struct model m;
	unsigned int k, consumers, n;
	uint32_t lane;

	(void)state;
	for (k = 0; k < 2 * COUNT(rings); k++) {
		consumers = 1 + k % 2;
		open_model(&m, &rings[k / 2], consumers);
		for (n = 0; n < 6000; n++) {
			/* Now one lane is busy, now another. */
			lane = (n / 500 + (next_random(&m.random) % 4 == 0)) % PRODUCERS;
			if (next_random(&m.random) % 2)
				send_next(&m, lane);
			else
				recv_some(&m, &m.in[next_random(&m.random) % consumers]);
			if (n % 211 == 0) {
				ringq_detach(&m.out[lane]);
				assert_int_equal(ringq_attach(m.row.ring, RINGQ_PRODUCER,
							      &m.out[lane]), 0);
			}
		}
		while (left(&m))
			recv_some(&m, &m.in[n++ % consumers]);
		for (lane = 0; lane < PRODUCERS; lane++)
			assert_int_equal(ringq_drain(&m.out[lane], RINGQ_NOWAIT), 0);
		close_model(&m, consumers);
	}
}

/* What it had looked at when it left comes again, flagged; what others then have does not. */
static void redelivered(void **state)
{
	static struct model m;
	unsigned char data[2048];
	uint32_t size, k, lane, i;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		open_model(&m, &rings[k], 2);
		for (lane = 0; lane < PRODUCERS; lane++)
			while (send_next(&m, lane))
				;
		assert_true(ringq_peek(&m.in[0], 1, RINGQ_NOWAIT) == 1);
		lane = ringq_lane(&m.in[0]);
		ringq_detach(&m.in[0]);
		for (i = 0; left(&m); i++) {
			assert_int_equal(ringq_recv_record(&m.in[1], data, sizeof(data), &size, 0),
					 1);
			assert_int_equal(ringq_flags(&m.in[1]),
					 (uint32_t)ringq_lane(&m.in[1]) == lane && !m.got[lane] ?
						 RINGQ_REDELIVERED : 0);
			check_record(&m, ringq_lane(&m.in[1]), 0, data, size);
			m.got[ringq_lane(&m.in[1])]++;
		}
		close_model(&m, 2);
	}
}

#define EACH 5000

struct thread {
	struct ringq_port port;
	pthread_t id;
	struct row *row;
	uint64_t seen[PRODUCERS];	/* the next number, at least */
	uint64_t got;
	const char *error;
};

static void *send_all(void *arg)
{
	struct thread *t = arg;
	unsigned char data[2048];
	uint64_t i, name;
	uint32_t size;

	for (i = 0; i < EACH; i++) {
		name = name_of(ringq_lane(&t->port), i);
		size = size_of(name, t->row->largest);
		if (size < 8)
			size = 8;
		fill(data, size, name);
		memcpy(data, &name, 8);
		if (ringq_send_record(&t->port, data, size, RINGQ_FOREVER) != 1) {
			t->error = "send";
			break;
		}
	}
	ringq_detach(&t->port);
	return NULL;
}

/* Numbers of a lane go up, here as well; that none is missing or double shows the sum. */
static bool take(struct thread *t, const unsigned char *data, uint32_t size, uint32_t largest)
{
	unsigned char want[2048];
	uint64_t name;

	memcpy(&name, data, 8);
	if (name >> 32 >= PRODUCERS || size < 8 ||
	    (size > 8 && size != size_of(name, largest)) ||
	    (uint32_t)name < t->seen[name >> 32])
		return false;
	t->seen[name >> 32] = (uint32_t)name + 1;
	t->got++;
	fill(want, size, name);
	return memcmp(data + 8, want + 8, size - 8) == 0;
}

/* One by copy, some in place; until the end. */
static const char *recv_until_end(struct thread *t)
{
	struct ringq_port *in = &t->port;
	unsigned char data[2048];
	const void *there;
	uint64_t cursor;
	uint32_t size;
	int64_t r, i;

	for (;;) {
		r = ringq_recv_record(in, data, sizeof(data), &size, RINGQ_FOREVER);
		if (r <= 0)
			return r ? "receive" : NULL;
		if (!take(t, data, size, t->row->largest))
			return "content";
		r = ringq_peek(in, 4, RINGQ_NOWAIT);
		for (i = 0, cursor = 0; i < r; i++) {
			there = ringq_record(in, &cursor, &size);
			if (!there || !take(t, there, size, t->row->largest))
				return "content in place";
		}
		if (r > 0 && ringq_release(in, r) < 0)
			return "release";
	}
}

static void *recv_all(void *arg)
{
	struct thread *t = arg;

	t->error = recv_until_end(t);
	ringq_detach(&t->port);
	return NULL;
}

static void open_thread(struct thread *t, struct row *row, enum ringq_role role)
{
	t->row = row;
	assert_int_equal(ringq_attach(row->ring, role, &t->port), 0);
}

static void threads(void **state)
{
	static struct thread out[PRODUCERS], in[2];
	struct ringq_opts opts;
	struct row row;
	unsigned int k, i;

	(void)state;
	for (k = 0; k < COUNT(rings); k++) {
		opts = lanes(&rings[k], 2);
		opts.flags &= ~RINGQ_PRODUCER_WAIT;
		open_row(&row, &opts);
		memset(out, 0, sizeof(out));
		memset(in, 0, sizeof(in));
		for (i = 0; i < PRODUCERS; i++)
			open_thread(&out[i], &row, RINGQ_PRODUCER);
		for (i = 0; i < 2; i++)
			open_thread(&in[i], &row, RINGQ_CONSUMER);
		for (i = 0; i < PRODUCERS; i++)
			assert_int_equal(pthread_create(&out[i].id, NULL, send_all, &out[i]), 0);
		for (i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&in[i].id, NULL, recv_all, &in[i]), 0);
		for (i = 0; i < PRODUCERS; i++)
			pthread_join(out[i].id, NULL);
		for (i = 0; i < 2; i++)
			pthread_join(in[i].id, NULL);
		for (i = 0; i < PRODUCERS; i++)
			if (out[i].error)
				fail_msg("ring %u, producer %u: %s", k, i, out[i].error);
		for (i = 0; i < 2; i++)
			if (in[i].error)
				fail_msg("ring %u, consumer %u: %s", k, i, in[i].error);
		assert_int_equal(in[0].got + in[1].got, PRODUCERS * EACH);
		close_row(&row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(redelivered),
		cmocka_unit_test(threads),
	};

	/* A hang is a failure. */
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
