// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LOSSY and LATEST: what is overwritten is never returned, and every message that a reader does
 * not get is counted. First one step at a time, where every number is known; then with a
 * producer that overruns everybody.
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
#include <time.h>
#include <unistd.h>
#include "../quiet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIRST ((1ull << 32) - 100)

/* A line of several, of one, and elements of several lines. */
static const size_t sizes[] = { 1, 3, 8, 24, 29, 56, 57, 200, 1264 };

static uint64_t capacity_of(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_get_info(ring, &info), 0);
	return info.capacity;
}

static uint64_t per_slot(size_t elem_size)
{
	return elem_size <= 56 ? 56 / elem_size : 1;
}

static struct ringq *make(uint32_t discipline, size_t elem_size, uint64_t capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = discipline,
		.elem_size = elem_size, .capacity = capacity, .first = FIRST, .consumers = 5,
		.flags = RINGQ_PRODUCER_WAIT,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static void attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port)
{
	assert_int_equal(ringq_attach(ring, role, port), 0);
}

static void attach_with(struct ringq *ring, uint32_t flags, uint32_t stride, uint32_t phase,
			struct ringq_port *port)
{
	const struct ringq_attach_opts opts = {
		.size = sizeof(opts), .flags = flags, .stride = stride, .phase = phase,
	};

	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &opts, port), 0);
}

/* The i-th eight bytes of message seq; the first are its number. */
static uint64_t word_of(uint64_t seq, size_t i)
{
	return seq + i * 0x9e3779b97f4a7c15;
}

/* Quick, or a producer would spend its time here, and overrun nobody. */
static void fill(void *msg, size_t size, uint64_t seq)
{
	unsigned char *to = msg;
	uint64_t word;
	size_t i;

	for (i = 0; i < size / 8; i++) {
		word = word_of(seq, i);
		memcpy(to + i * 8, &word, 8);
	}
	word = word_of(seq, i);
	memcpy(to + i * 8, &word, size % 8);
}

static bool is_whole(const void *msg, size_t size, uint64_t seq)
{
	const unsigned char *from = msg;
	uint64_t word, wrong = 0;
	size_t i;

	for (i = 0; i < size / 8; i++) {
		memcpy(&word, from + i * 8, 8);
		wrong |= word ^ word_of(seq, i);
	}
	word = word_of(seq, i);
	return !wrong && memcmp(from + i * 8, &word, size % 8) == 0;
}

static void check_message(const void *msg, size_t size, uint64_t seq)
{
	if (!is_whole(msg, size, seq))
		fail_msg("message %llu of %zu bytes: another, or torn", (unsigned long long)seq,
			 size);
}

static void send_range(struct ringq_port *out, uint64_t from, uint64_t to)
{
	unsigned char msg[out->elem_size];

	for (; from < to; from++) {
		fill(msg, sizeof(msg), from);
		assert_int_equal(ringq_send(out, msg, RINGQ_NOWAIT), 1);
	}
}

static void recv_range(struct ringq_port *in, uint64_t from, uint64_t to, uint64_t stride)
{
	unsigned char msg[in->elem_size];

	for (; from < to; from += stride) {
		assert_int_equal(ringq_recv(in, msg, RINGQ_NOWAIT), 1);
		check_message(msg, sizeof(msg), from);
	}
	assert_int_equal(ringq_recv(in, msg, RINGQ_NOWAIT), -EAGAIN);
}

/* Where a reader that was overrun goes on after n messages: what ringq/broadcast.h says. */
static uint64_t goes_on_at(uint64_t n, uint64_t capacity, size_t elem_size)
{
	uint64_t each = per_slot(elem_size);
	uint64_t end = (FIRST + n + each - 1) / each * each - FIRST;
	uint64_t at = end - capacity + capacity / 4;

	return at < n ? at : n;
}

static void everybody_gets_all(void **state)
{
	unsigned char msgs[40 * 1264];
	struct ringq_port out, in[3];
	unsigned int s, i;
	uint64_t seq, n;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 40);

		attach(ring, RINGQ_PRODUCER, &out);
		for (i = 0; i < 3; i++)
			attach(ring, RINGQ_CONSUMER, &in[i]);
		for (seq = 0; seq < 1000; seq += n) {
			n = 1 + seq % 29;
			if (seq % 2) {
				send_range(&out, seq, seq + n);
			} else {
				for (i = 0; i < n; i++)
					fill(msgs + i * sizes[s], sizes[s], seq + i);
				assert_int_equal(ringq_send_many(&out, msgs, n, 0), n);
			}
			recv_range(&in[0], seq, seq + n, 1);
			assert_int_equal(ringq_recv_many(&in[1], msgs, 40, 0), n);
			for (i = 0; i < n; i++)
				check_message(msgs + i * sizes[s], sizes[s], seq + i);
			assert_int_equal(ringq_recv_many(&in[1], msgs, 40, 0), -EAGAIN);
			assert_int_equal(ringq_peek(&in[2], 40, 0), n);
			for (i = 0; i < n; i++)
				check_message(ringq_at(&in[2], i), sizes[s], seq + i);
			assert_int_equal(ringq_release(&in[2], n), 0);
		}
		for (i = 0; i < 3; i++) {
			assert_int_equal(ringq_lost(&in[i]), 0);
			assert_int_equal(ringq_position(&in[i]), FIRST + seq);
			ringq_detach(&in[i]);
		}
		/* Nobody listens, and that is no matter. */
		send_range(&out, seq, seq + 100);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* Of every number of messages too many: it is told once, and nothing is lost that is not. */
static void overrun(void **state)
{
	unsigned char msg[1264];
	struct ringq_port out, in;
	uint64_t capacity, n, lost, seq, total;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 12);

		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		total = 0;
		seq = 0;
		for (n = capacity + 1; n < 3 * capacity; n++) {
			send_range(&out, seq, seq + n);
			assert_int_equal(ringq_lag(&in), n);
			assert_int_equal(ringq_recv(&in, msg, RINGQ_NOWAIT), -EOVERFLOW);
			lost = goes_on_at(seq + n, capacity, sizes[s]) - seq;
			assert_int_equal(ringq_lost_last(&in), lost);
			total += lost;
			assert_int_equal(ringq_lost(&in), total);
			assert_int_equal(ringq_lag(&in), n - lost);
			recv_range(&in, seq + lost, seq + n, 1);
			seq += n;
		}
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* Not overrun as long as the line that is being written is another. */
static void just_not_overrun(void **state)
{
	struct ringq_port out, in;
	uint64_t n, seq;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 12);
		uint64_t each = per_slot(sizes[s]);

		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		for (seq = 0; seq < 5 * capacity_of(ring); seq += n) {
			/* Up to the end of the slot before this one, a lap later. */
			n = capacity_of(ring) - (FIRST + seq) % each;
			send_range(&out, seq, seq + n);
			recv_range(&in, seq, seq + n, 1);
			send_range(&out, seq + n, seq + n + 1);
			recv_range(&in, seq + n, seq + n + 1, 1);
			n++;
		}
		assert_int_equal(ringq_lost(&in), 0);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void strides(void **state)
{
	static const uint32_t strides[] = { 1, 2, 3, 7, 100 };
	unsigned char msg[200];
	struct ringq_port out, in[3];
	uint64_t capacity, seq, got, lost;
	unsigned int s, k, i;
	int64_t r;

	(void)state;
	for (s = 0; s < COUNT(strides) * 2; s++) {
		size_t size = s % 2 ? 200 : 8;
		struct ringq *ring = make(RINGQ_LOSSY, size, 40);
		uint32_t stride = strides[s / 2];

		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		for (i = 0; i < 3 && i < stride; i++)
			attach_with(ring, 0, stride, i, &in[i]);
		/* Each message to the one that it is for, and to nobody else. */
		for (seq = 0; seq < 200; seq++) {
			send_range(&out, seq, seq + 1);
			for (i = 0; i < 3 && i < stride; i++)
				recv_range(&in[i], seq, seq + (seq % stride == i), stride);
		}
		/* Several at once, in both ways. */
		send_range(&out, 200, 230);
		for (i = 0; i < 3 && i < stride; i++) {
			seq = 200 + (i + 100 * stride - 200) % stride;
			k = seq < 230 ? (229 - seq) / stride + 1 : 0;
			assert_int_equal(ringq_lag(&in[i]), k);
			if (!k)
				continue;
			assert_int_equal(ringq_peek(&in[i], 50, 0), k);
			while (k--)
				check_message(ringq_at(&in[i], k), size, seq + k * stride);
			assert_int_equal(ringq_release(&in[i], 1), 0);
			recv_range(&in[i], seq + stride, 230, stride);
		}
		/* What is lost is counted by each for itself. */
		send_range(&out, 230, 230 + 3 * capacity + 5);
		for (i = 0; i < 3 && i < stride; i++) {
			lost = ringq_lost(&in[i]);
			assert_int_equal(lost, 0);
			got = 0;
			while ((r = ringq_recv(&in[i], msg, 0)) != -EAGAIN) {
				if (r == -EOVERFLOW) {
					lost = ringq_lost_last(&in[i]);
					assert_int_equal(ringq_lost(&in[i]), lost);
					assert_int_equal(got, 0);
					continue;
				}
				assert_int_equal(r, 1);
				got++;
				seq = ringq_position(&in[i]) - FIRST - stride;
				assert_int_equal(seq % stride, i);
				check_message(msg, size, seq);
			}
			/* Those of [230, end) that are its own. */
			lost = 0;
			for (seq = 230; seq < 230 + 3 * capacity + 5; seq++)
				lost += seq % stride == i;
			assert_int_equal(got + ringq_lost(&in[i]), lost);
			ringq_detach(&in[i]);
		}
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void late_join(void **state)
{
	struct ringq_port out, in;
	uint64_t capacity, n, from, each;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 12);

		each = per_slot(sizes[s]);
		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		for (n = 0; n < 3 * capacity; n++) {
			attach(ring, RINGQ_CONSUMER, &in);
			recv_range(&in, n, n, 1);
			ringq_detach(&in);

			/* All of the slots that are not being written. */
			from = (FIRST + n + each - 1) / each * each - FIRST;
			from = from > capacity ? from - capacity : 0;
			attach_with(ring, RINGQ_OLDEST, 0, 0, &in);
			assert_int_equal(ringq_position(&in), FIRST + from);
			assert_int_equal(ringq_lag(&in), n - from);
			recv_range(&in, from, n, 1);
			assert_int_equal(ringq_lost(&in), 0);
			ringq_detach(&in);

			attach_with(ring, RINGQ_OLDEST, 2, n % 2, &in);
			recv_range(&in, from + (from + n) % 2, n, 2);
			ringq_detach(&in);
			send_range(&out, n, n + 1);
		}
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void in_place(void **state)
{
	struct ringq_port out, in;
	uint64_t capacity, lost, n, run;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 12);
		unsigned char msg[1264];

		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		assert_int_equal(ringq_intact(&in), -EINVAL);
		assert_int_equal(ringq_intact(&out), -EOPNOTSUPP);
		send_range(&out, 0, 10);
		assert_int_equal(ringq_peek(&in, 0, 0), -EINVAL);
		assert_int_equal(ringq_peek(&in, 8, 0), 8);
		assert_int_equal(ringq_peek(&in, 8, 0), -EBUSY);
		assert_int_equal(ringq_recv(&in, msg, 0), -EBUSY);
		assert_int_equal(ringq_release(&in, 9), -EINVAL);
		assert_int_equal(ringq_intact(&in), 1);
		for (n = 0; n < 8; n += run) {
			unsigned char *at = ringq_run(&in, n, &run);

			assert_in_range(run, 1, 8 - n);
			check_message(at, sizes[s], n);
			check_message(at + (run - 1) * sizes[s], sizes[s], n + run - 1);
		}
		assert_int_equal(ringq_release(&in, 3), 0);
		assert_int_equal(ringq_peek(&in, 100, 0), 7);
		check_message(ringq_at(&in, 0), sizes[s], 3);
		/* Up to the slot that holds the first of them, it stays. */
		n = (FIRST + 3) / per_slot(sizes[s]) * per_slot(sizes[s]) + capacity - FIRST;
		send_range(&out, 10, n);
		assert_int_equal(ringq_intact(&in), 1);
		check_message(ringq_at(&in, 0), sizes[s], 3);
		send_range(&out, n, n + 1);
		assert_int_equal(ringq_intact(&in), -EOVERFLOW);
		assert_int_equal(ringq_release(&in, 2), -EOVERFLOW);
		lost = goes_on_at(n + 1, capacity, sizes[s]) - 3;
		assert_int_equal(ringq_lost(&in), lost);
		assert_int_equal(ringq_intact(&in), -EINVAL);
		recv_range(&in, 3 + lost, n + 1, 1);

		/* To give up looking is no delivery, and no loss. */
		send_range(&out, n + 1, n + 3);
		assert_int_equal(ringq_peek(&in, 5, 0), 2);
		assert_int_equal(ringq_release(&in, 0), 0);
		recv_range(&in, n + 1, n + 3, 1);
		assert_int_equal(ringq_lost(&in), lost);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void glances(void **state)
{
	struct ringq_glance first, second, clone, none;
	struct ringq_port out, in, other;
	uint64_t capacity, n;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 12);
		unsigned char msg[1264];

		capacity = capacity_of(ring);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		attach(ring, RINGQ_CONSUMER, &other);
		assert_int_equal(ringq_glance(&in, &first, 0), -EAGAIN);
		assert_int_equal(ringq_glance(&out, &first, 0), -EOPNOTSUPP);
		/* Not yet to where the first of them lies. */
		n = capacity - per_slot(sizes[s]);
		send_range(&out, 0, n);
		assert_int_equal(ringq_glance(&in, &first, 0), 1);
		assert_int_equal(ringq_glance(&in, &second, 0), 1);
		assert_int_equal(first.position, FIRST);
		clone = second;
		assert_int_equal(ringq_glance_read(&in, &second, msg), 1);
		check_message(msg, sizes[s], 1);
		assert_int_equal(ringq_glance_read(&other, &clone, msg), 1);
		check_message(msg, sizes[s], 1);
		assert_int_equal(ringq_glance_read(&in, &first, msg), 1);
		check_message(msg, sizes[s], 0);
		none.position = FIRST + n;
		assert_int_equal(ringq_glance_read(&in, &none, msg), -EINVAL);
		none.position = UINT64_MAX;
		assert_int_equal(ringq_glance_read(&in, &none, msg), -EINVAL);
		none.position = 0;
		assert_int_equal(ringq_glance_read(&in, &none, msg), -EINVAL);
		send_range(&out, n, 2 * capacity);
		assert_int_equal(ringq_glance_read(&in, &first, msg), -EOVERFLOW);
		assert_int_equal(ringq_glance_read(&other, &clone, msg), -EOVERFLOW);
		assert_int_equal(ringq_lost(&in), 0);
		assert_int_equal(ringq_glance(&in, &first, 0), -EOVERFLOW);
		assert_int_equal(ringq_glance(&in, &first, 0), 1);
		assert_int_equal(first.position - FIRST, 2 + ringq_lost(&in));
		ringq_detach(&in);
		assert_int_equal(ringq_glance_read(&in, &first, msg), -ESTALE);
		ringq_detach(&other);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* What is reserved is not seen, and neither is what was there. */
static void reserved(void **state)
{
	struct ringq_port out, in, slow;
	uint64_t capacity, most, seq, n;
	unsigned int s, i;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LOSSY, sizes[s], 24);
		unsigned char msg[1264];

		capacity = capacity_of(ring);
		most = capacity + 1 - per_slot(sizes[s]);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		attach(ring, RINGQ_CONSUMER, &slow);
		assert_int_equal(ringq_reserve(&out, 0, 0), -EINVAL);
		assert_int_equal(ringq_reserve(&out, most + 1, 0), -EINVAL);
		for (seq = 0, n = 1; n <= most; n++) {
			assert_int_equal(ringq_reserve(&out, n, 0), 0);
			assert_int_equal(ringq_reserve(&out, 1, 0), -EBUSY);
			assert_int_equal(ringq_send(&out, msg, 0), -EBUSY);
			for (i = 0; i < n; i++)
				fill(ringq_at(&out, i), sizes[s], seq + i);
			assert_int_equal(ringq_recv(&in, msg, 0), -EAGAIN);
			assert_int_equal(ringq_commit(&out, n + 1), -EINVAL);
			/* All of it, or a part: what is left out comes later. */
			i = n % 3 ? n : n / 2;
			assert_int_equal(ringq_commit(&out, i), 0);
			recv_range(&in, seq, seq + i, 1);
			seq += i;
		}
		assert_int_equal(ringq_lost(&in), 0);

		/* Given up, it has still cost who was late what was in its place. */
		while (ringq_recv(&slow, msg, 0) != -EAGAIN)
			;
		for (n = 1; n <= most; n++) {
			for (i = 0; i < capacity; i++, seq++) {
				send_range(&out, seq, seq + 1);
				recv_range(&in, seq, seq + 1, 1);
			}
			assert_int_equal(ringq_reserve(&out, n, 0), 0);
			for (i = 0; i < n; i++)
				memset(ringq_at(&out, i), 0x5a, sizes[s]);
			ringq_abort(&out);
			assert_int_equal(ringq_recv(&in, msg, 0), -EAGAIN);
			/* The slot that the ring's end is in may have been this lap's already. */
			if (ringq_recv(&slow, msg, 0) == -EOVERFLOW) {
				assert_true(ringq_lost_last(&slow) >= n || n > capacity / 2);
				i = seq - (ringq_position(&slow) - FIRST);
				assert_true(i <= capacity - n);
				recv_range(&slow, seq - i, seq, 1);
			} else {
				fail_msg("%llu of %zu bytes reserved over what was not read",
					 (unsigned long long)n, sizes[s]);
			}
		}
		ringq_detach(&in);
		ringq_detach(&slow);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/*
 * A reader that looks far ahead is not to take for published what is only reserved. If it did, it
 * would copy what is not written yet, and find it intact if it were published in that moment.
 */
static void reserved_ahead(void **state)
{
	const uint64_t capacity = 1000;
	struct ringq_port out, in;
	unsigned char msg[1264];
	struct ringq *ring;
	uint64_t sent, got;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		ring = make(RINGQ_LOSSY, sizes[i], capacity);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		/* From the beginning of a line, from its midst, and with nothing there. */
		for (sent = 0, got = 0; sent < 2 * capacity; sent += 15) {
			send_range(&out, sent, sent + 15);
			assert_int_equal(ringq_reserve(&out, capacity / 2, RINGQ_NOWAIT), 0);
			for (; got < sent + 15; got++) {
				assert_int_equal(ringq_recv(&in, msg, RINGQ_NOWAIT), 1);
				check_message(msg, sizes[i], got);
				assert_true((int64_t)(in.limit - in.pos) <=
					    (int64_t)(sent + 14 - got));
			}
			assert_int_equal(ringq_recv(&in, msg, RINGQ_NOWAIT), -EAGAIN);
			ringq_abort(&out);
		}
		ringq_detach(&out);
		ringq_detach(&in);
		ringq_leave(ring);
	}
}

static void not_here(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_LOSSY, RINGQ_LATEST };
	const struct ringq_attach_opts oldest = { .size = sizeof(oldest), .flags = RINGQ_OLDEST };
	const struct ringq_attach_opts stride = { .size = sizeof(stride), .stride = 2 };
	struct ringq_attach_opts wrong = { .size = sizeof(wrong), .stride = 2, .phase = 2 };
	struct ringq_port out, in;
	uint64_t msgs[8] = { 0 };
	struct ringq *ring;
	unsigned int d;

	(void)state;
	for (d = 0; d < 2; d++) {
		ring = make(disciplines[d], 8, 14);
		attach(ring, RINGQ_PRODUCER, &out);
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &in), -EBUSY);
		attach(ring, RINGQ_CONSUMER, &in);
		assert_int_equal(ringq_drain(&out, 0), -EOPNOTSUPP);
		assert_int_equal(ringq_recv(&out, msgs, 0), -EOPNOTSUPP);
		assert_int_equal(ringq_send(&in, msgs, 0), -EOPNOTSUPP);
		assert_int_equal(ringq_lag(&out), -EOPNOTSUPP);
		assert_int_equal(ringq_lost(&out), 0);
		ringq_detach(&in);
		assert_int_equal(ringq_lag(&in), -ESTALE);
		assert_int_equal(ringq_latest(&in, msgs), -ESTALE);
		assert_int_equal(ringq_recv(&in, msgs, 0), -ESTALE);
		assert_int_equal(ringq_lossy_recv(&in, msgs, 8, 0), -ESTALE);
		assert_int_equal(ringq_lossy_peek(&in, 8, 1, 0), -ESTALE);
		assert_int_equal(ringq_latest_recv(&in, msgs, 8, 0), -ESTALE);
		assert_int_equal(ringq_lossy_send(&in, msgs, 8, 0), -ESTALE);
		assert_int_equal(ringq_lossy_reserve(&in, 8, 1, 0), -ESTALE);
		assert_int_equal(ringq_lost(&in), 0);
		ringq_detach(&out);
		ringq_leave(ring);
	}

	ring = make(RINGQ_LOSSY, 8, 14);
	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &wrong, &in), -EINVAL);
	assert_int_equal(ringq_attach_with(ring, RINGQ_PRODUCER, &stride, &in), -EOPNOTSUPP);
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(ringq_latest(&in, msgs), -EOPNOTSUPP);
	ringq_detach(&in);
	ringq_leave(ring);

	ring = make(RINGQ_LATEST, 8, 14);
	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &oldest, &in), -EOPNOTSUPP);
	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &stride, &in), -EOPNOTSUPP);
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in);
	assert_int_equal(ringq_send_many(&out, msgs, 2, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_many(&in, msgs, 2, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_reserve(&out, 2, 0), -EINVAL);
	assert_int_equal(ringq_reserve(&out, 0, 0), -EINVAL);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);

	/* There is always another slot than the one that is being written. */
	ring = make(RINGQ_LATEST, 1, 1);
	assert_int_equal(capacity_of(ring), 112);
	ringq_leave(ring);
	ring = make(RINGQ_LOSSY, 100, 1);
	assert_int_equal(capacity_of(ring), 2);
	ringq_leave(ring);
}

/* A thread that is not woken is not waited for without end. */
static int join_soon(pthread_t thread, void **result)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 30;
	return pthread_timedjoin_np(thread, result, &ts);
}

static void *recv_one(void *arg)
{
	struct ringq_port *in = arg;
	uint64_t value = 0;

	if (ringq_recv(in, &value, RINGQ_FOREVER) != 1)
		value = 0;
	return (void *)(uintptr_t)value;
}

/* One message wakes all readers that sleep. */
static void all_are_woken(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_GATED, RINGQ_LOSSY, RINGQ_LATEST };
	struct ringq_port out, in[4];
	pthread_t threads[4];
	unsigned int d, i;
	uint64_t value;
	void *got;

	(void)state;
	for (d = 0; d < COUNT(disciplines); d++) {
		struct ringq *ring = make(disciplines[d], 8, 14);
		const struct ringq_attention *attention;

		attach(ring, RINGQ_PRODUCER, &out);
		attention = (const struct ringq_attention *)((const char *)out.attention -
					offsetof(struct ringq_attention, data));
		for (i = 0; i < 4; i++) {
			attach(ring, RINGQ_CONSUMER, &in[i]);
			assert_int_equal(pthread_create(&threads[i], NULL, recv_one, &in[i]), 0);
		}
		/* Each of them has a bit, and all are asleep or about to. */
		while (__builtin_popcountll(ringq_load_acquire(&attention->data) &
					    RINGQ_ARMED) < 4)
			usleep(100);
		usleep(1000);
		value = 77;
		assert_int_equal(ringq_send(&out, &value, 0), 1);
		for (i = 0; i < 4; i++) {
			assert_int_equal(join_soon(threads[i], &got), 0);
			assert_int_equal((uintptr_t)got, 77);
		}
		/* Only now, for to detach wakes too. */
		for (i = 0; i < 4; i++)
			ringq_detach(&in[i]);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void ends(void **state)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_LOSSY,
		.elem_size = 8, .capacity = 14,
	};
	struct ringq_port out, in, late;
	struct ringq *ring;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in);
	send_range(&out, 0, 3);
	/* Readers come and go. */
	ringq_detach(&in);
	send_range(&out, 3, 5);
	attach(ring, RINGQ_CONSUMER, &in);
	send_range(&out, 5, 7);
	ringq_detach(&out);
	assert_int_equal(ringq_recv(&in, &value, RINGQ_FOREVER), 1);
	assert_int_equal(value, 5);
	assert_int_equal(ringq_recv(&in, &value, RINGQ_FOREVER), 1);
	assert_int_equal(ringq_recv(&in, &value, RINGQ_FOREVER), 0);
	attach_with(ring, RINGQ_OLDEST, 0, 0, &late);
	assert_int_equal(ringq_recv(&late, &value, RINGQ_FOREVER), 1);
	assert_int_equal(value, 0);
	ringq_detach(&late);
	ringq_detach(&in);
	ringq_leave(ring);

	assert_int_equal(ringq_create(&opts, &ring), 0);
	attach(ring, RINGQ_PRODUCER, &out);
	attach(ring, RINGQ_CONSUMER, &in);
	send_range(&out, 0, 2);
	assert_int_equal(ringq_close(&in), 0);
	assert_int_equal(ringq_send(&out, &value, 0), -EPIPE);
	assert_int_equal(ringq_send_many(&out, &value, 1, 0), -EPIPE);
	assert_int_equal(ringq_reserve(&out, 1, 0), -EPIPE);
	assert_int_equal(ringq_recv(&in, &value, 0), 1);
	assert_int_equal(ringq_recv(&in, &value, 0), 1);
	assert_int_equal(ringq_recv(&in, &value, 0), 0);
	ringq_detach(&in);
	ringq_detach(&out);
	ringq_leave(ring);
}

/* In a child; does not return. It dies with n messages sent and one half written. */
static void die_writing(struct ringq *ring, uint64_t n)
{
	int fd = ringq_fd(ring);
	struct ringq_port out;
	uint64_t seq;

	if (ringq_join_fd(fd, NULL, &ring) < 0 || ringq_attach(ring, RINGQ_PRODUCER, &out) < 0)
		_exit(1);
	{
		unsigned char msg[out.elem_size];

		for (seq = 0; seq < n; seq++) {
			fill(msg, sizeof(msg), seq);
			if (ringq_send(&out, msg, 0) != 1)
				_exit(1);
		}
		if (ringq_reserve(&out, 1, 0) < 0)
			_exit(1);
		memset(ringq_at(&out, 0), 0xee, sizeof(msg));
	}
	raise(SIGKILL);
}

static void writer_dies(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_LOSSY, RINGQ_LATEST };
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_MEMFD, .consumers = 2,
		.flags = RINGQ_PRODUCER_WAIT,
	};
	struct ringq_port out, in;
	unsigned int s, d, i;
	uint64_t capacity, n;
	struct ringq *ring;
	int status;
	pid_t pid;

	(void)state;
	for (i = 0; i < COUNT(sizes) * 2 * 3; i++) {
		unsigned char msg[1264];

		s = i % COUNT(sizes);
		d = i / COUNT(sizes) % 2;
		opts.discipline = disciplines[d];
		opts.elem_size = sizes[s];
		opts.capacity = 12;
		assert_int_equal(ringq_create(&opts, &ring), 0);
		capacity = capacity_of(ring);
		attach(ring, RINGQ_CONSUMER, &in);
		/* In the midst of a slot, and at its beginning; in the first lap and later. */
		n = (uint64_t[]){ per_slot(sizes[s]), capacity + 3, 2 * capacity }
			[i / COUNT(sizes) / 2];
		quiet();
		pid = fork();
		if (pid == 0)
			die_writing(ring, n);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* What was there before stays there. */
		if (disciplines[d] == RINGQ_LATEST) {
			assert_int_equal(ringq_recv(&in, msg, 0), 1);
			check_message(msg, sizes[s], n - 1);
			assert_int_equal(ringq_latest(&in, msg), 1);
			check_message(msg, sizes[s], n - 1);
		} else if (n > capacity) {
			assert_int_equal(ringq_recv(&in, msg, 0), -EOVERFLOW);
			recv_range(&in, ringq_lost(&in), n, 1);
		} else {
			recv_range(&in, 0, n, 1);
		}
		assert_int_equal(ringq_recv(&in, msg, 0), -EAGAIN);
		/* The place may be taken only when the kernel has let go of it. */
		while (ringq_attach(ring, RINGQ_PRODUCER, &out) == -EBUSY)
			usleep(1000);
		assert_int_equal(ringq_position(&out), n);
		send_range(&out, n, n + 1);
		recv_range(&in, n, n + 1, 1);
		send_range(&out, n + 1, n + 2);
		recv_range(&in, n + 1, n + 2, 1);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/*
 * The writer was killed between its stamp and its done, which is late by one publication: the
 * successor goes on behind what the stamp says, and overwrites nothing that is published.
 */
static void writer_dies_late(void **state)
{
	static const uint32_t disciplines[] = { RINGQ_LOSSY, RINGQ_LATEST };
	struct ringq_port_page *page;
	struct ringq_port out, in;
	unsigned char msg[1264];
	uint64_t capacity, pos;
	struct ringq *ring;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * COUNT(sizes); i++) {
		ring = make(disciplines[i % 2], sizes[i / 2], 12);
		capacity = capacity_of(ring);
		attach(ring, RINGQ_CONSUMER, &in);
		attach(ring, RINGQ_PRODUCER, &out);
		send_range(&out, 0, capacity + 1);
		page = out.page;
		pos = ringq_position(&out);
		ringq_detach(&out);
		page->progress.done -= 1;
		attach(ring, RINGQ_PRODUCER, &out);
		assert_int_equal(ringq_position(&out), pos);
		assert_int_equal(ringq_latest(&in, msg), i % 2 ? 1 : -EOPNOTSUPP);
		if (i % 2)
			check_message(msg, sizes[i / 2], capacity);
		send_range(&out, capacity + 1, capacity + 2);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

static void latest_value(void **state)
{
	struct ringq_port out, in, late;
	struct ringq_glance glance;
	unsigned int s;
	uint64_t seq;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		struct ringq *ring = make(RINGQ_LATEST, sizes[s], 0);
		unsigned char msg[1264];

		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		assert_int_equal(ringq_recv(&in, msg, 0), -EAGAIN);
		assert_int_equal(ringq_latest(&in, msg), -EAGAIN);
		assert_int_equal(ringq_recv(&in, msg, 1000), -ETIMEDOUT);
		assert_int_equal(ringq_peek(&in, 1, 0), -EAGAIN);
		for (seq = 0; seq < 300; seq += 1 + seq % 30) {
			send_range(&out, out.pos - FIRST, seq + 1);
			/* Who comes late gets it at once. */
			attach(ring, RINGQ_CONSUMER, &late);
			assert_int_equal(ringq_lag(&late), 1);
			recv_range(&late, seq, seq + 1, 1);
			assert_int_equal(ringq_lag(&late), 0);
			ringq_detach(&late);
			if (seq % 2) {
				recv_range(&in, seq, seq + 1, 1);
				assert_int_equal(ringq_latest(&in, msg), 1);
				check_message(msg, sizes[s], seq);
			} else {
				assert_int_equal(ringq_latest(&in, msg), 1);
				check_message(msg, sizes[s], seq);
			}
			assert_int_equal(ringq_recv(&in, msg, 0), -EAGAIN);
		}

		/* In place. */
		send_range(&out, out.pos - FIRST, 400);
		assert_int_equal(ringq_peek(&in, 5, 0), 1);
		assert_int_equal(ringq_peek(&in, 1, 0), -EBUSY);
		assert_int_equal(ringq_recv(&in, msg, 0), -EBUSY);
		assert_int_equal(ringq_latest(&in, msg), -EBUSY);
		check_message(ringq_at(&in, 0), sizes[s], 399);
		assert_int_equal(ringq_release(&in, 2), -EINVAL);
		assert_int_equal(ringq_release(&in, 0), 0);
		assert_int_equal(ringq_peek(&in, 1, 0), 1);
		send_range(&out, 400, 401);
		assert_int_equal(ringq_intact(&in), 1);
		assert_int_equal(ringq_release(&in, 1), 0);
		assert_int_equal(ringq_peek(&in, 1, 0), 1);
		check_message(ringq_at(&in, 0), sizes[s], 400);
		send_range(&out, 401, 401 + capacity_of(ring));
		assert_int_equal(ringq_intact(&in), -EOVERFLOW);
		assert_int_equal(ringq_release(&in, 1), -EOVERFLOW);
		seq = 401 + capacity_of(ring);
		recv_range(&in, seq - 1, seq, 1);

		/* By hand, and given up. */
		assert_int_equal(ringq_reserve(&out, 1, 0), 0);
		memset(ringq_at(&out, 0), 0x33, sizes[s]);
		assert_int_equal(ringq_latest(&in, msg), 1);
		check_message(msg, sizes[s], seq - 1);
		ringq_abort(&out);
		assert_int_equal(ringq_latest(&in, msg), 1);
		check_message(msg, sizes[s], seq - 1);
		assert_int_equal(ringq_reserve(&out, 1, 0), 0);
		fill(ringq_at(&out, 0), sizes[s], seq);
		assert_int_equal(ringq_commit(&out, 1), 0);
		assert_int_equal(ringq_glance(&in, &glance, 0), 1);
		assert_int_equal(ringq_glance(&in, &glance, 0), -EAGAIN);
		assert_int_equal(ringq_glance_read(&in, &glance, msg), 1);
		check_message(msg, sizes[s], seq);

		/* It outlives its producer. */
		assert_int_equal(ringq_close(&out), 0);
		ringq_detach(&out);
		assert_int_equal(ringq_recv(&in, msg, RINGQ_FOREVER), 0);
		assert_int_equal(ringq_latest(&in, msg), 1);
		check_message(msg, sizes[s], seq);
		ringq_detach(&in);
		ringq_leave(ring);
	}
}

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

/* The typed calls are those without a type. */
struct e24 { unsigned char bytes[24]; };
struct e200 { unsigned char bytes[200]; };

RINGQ_TYPED(lossy24, struct e24, lossy);
RINGQ_TYPED(latest200, struct e200, latest);

static void typed(void **state)
{
	struct ringq *ring = make(RINGQ_LOSSY, 24, 8);
	struct ringq_glance glance;
	struct lossy24_producer out;
	struct lossy24_consumer in;
	struct latest200_producer store;
	struct latest200_consumer load;
	struct e24 msgs[8];
	struct e200 value;
	unsigned int i;

	(void)state;
	assert_int_equal(latest200_attach_consumer(ring, &load), -EPROTOTYPE);
	assert_int_equal(lossy24_attach_producer(ring, &out), 0);
	assert_int_equal(lossy24_attach_consumer(ring, &in), 0);
	for (i = 0; i < 8; i++)
		fill(&msgs[i], 24, i);
	assert_int_equal(lossy24_send(&out, &msgs[0], 0), 1);
	assert_int_equal(lossy24_send_many(&out, msgs + 1, 3, 0), 3);
	assert_int_equal(lossy24_reserve(&out, 2, 0), 0);
	*lossy24_room(&out, 0) = msgs[4];
	*lossy24_room(&out, 1) = msgs[5];
	assert_int_equal(lossy24_commit(&out, 2), 0);
	memset(msgs, 0, sizeof(msgs));
	assert_int_equal(lossy24_recv(&in, msgs, 0), 1);
	assert_int_equal(lossy24_recv_many(&in, msgs + 1, 2, 0), 2);
	assert_int_equal(lossy24_peek(&in, 1, 0), 1);
	msgs[3] = *lossy24_at(&in, 0);
	assert_int_equal(lossy24_release(&in, 1), 0);
	assert_int_equal(lossy24_glance(&in, &glance, 0), 1);
	assert_int_equal(lossy24_glance_read(&in, &glance, msgs + 4), 1);
	assert_int_equal(lossy24_recv(&in, msgs + 5, 0), 1);
	for (i = 0; i < 6; i++)
		check_message(&msgs[i], 24, i);
	ringq_detach(&in.port);
	ringq_detach(&out.port);
	ringq_leave(ring);

	ring = make(RINGQ_LATEST, 200, 0);
	assert_int_equal(latest200_attach_producer(ring, &store), 0);
	assert_int_equal(latest200_attach_consumer(ring, &load), 0);
	fill(&value, 200, 5);
	assert_int_equal(latest200_send(&store, &value, 0), 1);
	assert_int_equal(latest200_reserve(&store, 1, 0), 0);
	fill(latest200_room(&store, 0), 200, 6);
	assert_int_equal(latest200_commit(&store, 1), 0);
	memset(&value, 0, sizeof(value));
	assert_int_equal(latest200_peek(&load, 1, 0), 1);
	check_message(latest200_at(&load, 0), 200, 6);
	assert_int_equal(latest200_release(&load, 1), 0);
	assert_int_equal(latest200_latest(&load, &value), 1);
	check_message(&value, 200, 6);
	assert_int_equal(latest200_recv(&load, &value, 0), -EAGAIN);
	ringq_detach(&load.port);
	ringq_detach(&store.port);
	ringq_leave(ring);
}

/* Where no producer can have been. */
static void nonsense(void **state)
{
	const uint64_t wrong[] = {
		RINGQ_STAMP(FIRST + (1ull << 60) + 28, RINGQ_FULL),
		RINGQ_STAMP(FIRST + (1ull << 60) + 28, RINGQ_FREE),
	};
	struct ringq_port out, in;
	struct ringq *ring;
	uint64_t msg;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(wrong); i++) {
		ring = make(RINGQ_LOSSY, 8, 14);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		send_range(&out, 0, 5);
		*ringq_spsc_stamp(&in, 8) = wrong[i];
		assert_int_equal(ringq_recv(&in, &msg, 0), -EBADMSG);
		assert_int_equal(ringq_recv(&in, &msg, RINGQ_FOREVER), -EBADMSG);
		assert_int_equal(ringq_lossy_recv(&in, &msg, 8, RINGQ_FOREVER), -EBADMSG);
		assert_int_equal(ringq_lossy_peek(&in, 8, 1, RINGQ_FOREVER), -EBADMSG);
		assert_int_equal(ringq_lag(&in), -EBADMSG);
		ringq_detach(&in);
		out.page->progress.done = FIRST - 1;
		attach(ring, RINGQ_CONSUMER, &in);
		ringq_detach(&in);
		out.page->progress.done = FIRST + (1ull << 60) + 1;
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), -EBADMSG);
		ringq_detach(&out);
		ringq_leave(ring);

		ring = make(RINGQ_LATEST, 8, 14);
		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		send_range(&out, 0, 5);
		*ringq_spsc_stamp(&in, 8) = wrong[i];
		assert_int_equal(ringq_recv(&in, &msg, 0), -EBADMSG);
		assert_int_equal(ringq_latest_recv(&in, &msg, 8, RINGQ_FOREVER), -EBADMSG);
		assert_int_equal(ringq_latest(&in, &msg), -EBADMSG);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

/* Whatever stands in the stamps and in the producer's page, every call ends, with an answer. */
static void garbage(void **state)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, 5, FIRST, (FIRST + 20) << 2, (FIRST + 13) << 2 | 1, 1ull << 61,
		(FIRST + 4000) << 2 | 2, 1ull << 63, UINT64_MAX, FIRST + 9, FIRST << 2,
	};
	unsigned int d, i, j, k;

	(void)state;
	for (i = 0; i < 2 * 3 * COUNT(values) * 3 * 8; i++) {
		static const size_t some[] = { 8, 56, 200 };
		size_t size = some[i / 2 % 3];
		struct ringq *ring = make(i % 2 ? RINGQ_LATEST : RINGQ_LOSSY, size, 14);
		unsigned char msgs[16 * 200];
		struct ringq_port out, in, late;
		struct ringq_glance glance;

		attach(ring, RINGQ_PRODUCER, &out);
		attach(ring, RINGQ_CONSUMER, &in);
		send_range(&out, 0, 5 + i % 17);
		d = i / 6 % COUNT(values);
		k = i / 6 / COUNT(values);
		if (k % 3 == 0)
			out.page->progress.done = values[d];
		else if (k % 3 == 1)
			out.page->oldest = values[d];
		else
			out.page->progress.done += values[d] % 100;
		for (j = 0; j < 24; j++) {
			uint64_t *stamp = (uint64_t *)ringq_spsc_stamp_of(&out, size, j % 14);
			int64_t r;

			if (k / 3 % 2)
				*stamp = values[(d + j) % COUNT(values)];
			if (k / 3 / 2 % 2)
				*stamp += values[(d + 3 * j) % COUNT(values)] % 60;
			switch ((j + k) % 6) {
			case 0:
				r = ringq_recv(&in, msgs, 0);
				break;
			case 1:
				r = ringq_recv_many(&in, msgs, 16, 0);
				break;
			case 2:
				r = ringq_peek(&in, 16, 0);
				while (r > 0)
					memcpy(msgs, ringq_at(&in, --r), size);
				ringq_intact(&in);
				r = ringq_release(&in, in.held / 2);
				break;
			case 3:
				r = ringq_glance(&in, &glance, 0);
				if (r == 1)
					r = ringq_glance_read(&in, &glance, msgs);
				break;
			case 4:
				r = ringq_latest(&in, msgs);
				break;
			default:
				r = ringq_attach(ring, RINGQ_CONSUMER, &late);
				ringq_lag(&late);
				ringq_detach(&late);
			}
			assert_true(r >= 0 || r == -EAGAIN || r == -EOVERFLOW || r == -EBADMSG ||
				    r == -EINVAL || r == -EOPNOTSUPP);
			ringq_lag(&in);
		}
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_gets_all),
		cmocka_unit_test(overrun),
		cmocka_unit_test(just_not_overrun),
		cmocka_unit_test(strides),
		cmocka_unit_test(late_join),
		cmocka_unit_test(in_place),
		cmocka_unit_test(glances),
		cmocka_unit_test(reserved),
		cmocka_unit_test(reserved_ahead),
		cmocka_unit_test(not_here),
		cmocka_unit_test(all_are_woken),
		cmocka_unit_test(ends),
		cmocka_unit_test(writer_dies),
		cmocka_unit_test(writer_dies_late),
		cmocka_unit_test(latest_value),
		cmocka_unit_test(midst_of_writing),
		cmocka_unit_test(midst_of_reading),
		cmocka_unit_test(race),
		cmocka_unit_test(share),
		cmocka_unit_test(race_for_latest),
		cmocka_unit_test(typed),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(garbage),
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
