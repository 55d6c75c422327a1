// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LOSSY and LATEST, one step at a time, where every number is known: what is overwritten is never
 * returned, and every message that a reader does not get is counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "broadcast.h"

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
		cmocka_unit_test(latest_value),
		cmocka_unit_test(typed),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(garbage),
	};

	/* A hang is a failure. */
	alarm(250);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
