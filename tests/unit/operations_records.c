// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The operations that are made of others, on records: skipping, handlers, walks, lengths, ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ringq.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static void number(void *msg, uint64_t n, size_t size)
{
	memset(msg, n * 37 + 11, size);
}

/* Records of 1 to 50 bytes, each of as many bytes as its number says. */
struct row {
	struct ringq *ring;
	struct ringq_port out, in;
	uint64_t sent, wanted;
	uint64_t stop_after;
	bool sends;
};

static void start_row(struct row *w, uint32_t discipline)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = discipline,
		.elem_size = 2000, .capacity = 1 << 14, .flags = RINGQ_RECORDS,
	};

	memset(w, 0, sizeof(*w));
	assert_int_equal(ringq_create(&opts, &w->ring), 0);
	assert_int_equal(ringq_attach(w->ring, RINGQ_PRODUCER, &w->out), 0);
	assert_int_equal(ringq_attach(w->ring, RINGQ_CONSUMER, &w->in), 0);
}

static void end_row(struct row *w)
{
	ringq_detach(&w->out);
	ringq_detach(&w->in);
	ringq_leave(w->ring);
}

static void send_records(struct row *w, uint64_t n)
{
	unsigned char record[50];

	for (; n; n--, w->sent++) {
		number(record, w->sent, sizeof(record));
		assert_int_equal(ringq_send_record(&w->out, record, 1 + w->sent % 50, 0), 1);
	}
}

static void check_record(struct row *w, const void *record, size_t size)
{
	unsigned char want[50];

	number(want, w->wanted, sizeof(want));
	assert_non_null(record);
	assert_int_equal(size, 1 + w->wanted % 50);
	assert_memory_equal(record, want, size);
	w->wanted++;
}

static int see_record(void *arg, const void *record, size_t size)
{
	struct row *w = arg;

	check_record(w, record, size);
	if (w->sends)
		send_records(w, 1);
	return w->wanted == w->stop_after;
}

static void records(void **state)
{
	unsigned char msgs[2 * 2000] = { 0 };
	struct ringq_iter it;
	const void *record;
	struct row w;
	size_t size;
	int i;

	(void)state;
	start_row(&w, RINGQ_SPSC);
	assert_int_equal(ringq_send_all(&w.out, msgs, 2, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_all(&w.in, msgs, 2, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_discard(&w.in), 0);
	assert_int_equal(ringq_capacity(&w.in), 1 << 14);
	assert_int_equal(ringq_len(&w.in) | ringq_len(&w.out), 0);

	/* The room is of bytes: a header of 8, and the record, rounded up. */
	send_records(&w, 10);
	assert_int_equal(ringq_len(&w.in), 10);
	assert_int_equal(ringq_len(&w.out), 10);
	assert_int_equal(ringq_room(&w.out), (1 << 14) - 8 * 16 - 2 * 24);
	assert_int_equal(ringq_skip(&w.in, 3, 0), 3);
	w.wanted += 3;
	assert_int_equal(ringq_consume(&w.in, 2, see_record, &w, 0), 2);
	assert_int_equal(ringq_len(&w.in), 5);
	w.stop_after = 7;
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 2);
	w.stop_after = 0;
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 3);
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), -EAGAIN);

	/* It ends though as many are sent as are received. */
	for (i = 0; i < 100; i++) {
		send_records(&w, 70);
		w.sends = true;
		assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 70);
		w.sends = false;
		ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0);
		assert_int_equal(w.wanted, w.sent);
		assert_int_equal(ringq_is_empty(&w.out), 1);
	}

	send_records(&w, 20);
	assert_int_equal(ringq_iter_begin(&w.in, 10, 0, &it), 10);
	for (i = 0; i < 6; i++) {
		record = ringq_iter_next(&it, &size);
		check_record(&w, record, size);
	}
	assert_int_equal(ringq_iter_finish(&it), 0);
	assert_int_equal(ringq_iter_begin(&w.in, 4, 0, &it), 4);
	for (i = 0; i < 4; i++) {
		record = ringq_iter_next(&it, &size);
		check_record(&w, record, size);
	}
	assert_null(ringq_iter_next(&it, &size));
	assert_int_equal(ringq_iter_finish(&it), 0);
	assert_int_equal(ringq_discard(&w.in), 10);
	ringq_close(&w.out);
	assert_int_equal(ringq_is_ended(&w.in) & ringq_is_drained(&w.out), 1);
	ringq_detach(&w.out);
	ringq_detach(&w.in);

	assert_int_equal(ringq_reset(w.ring), 0);
	assert_int_equal(ringq_attach(w.ring, RINGQ_PRODUCER, &w.out), 0);
	assert_int_equal(ringq_attach(w.ring, RINGQ_CONSUMER, &w.in), 0);
	w.sent = 0;
	w.wanted = 0;
	assert_int_equal(ringq_discard(&w.in), 0);
	send_records(&w, 30);
	assert_int_equal(ringq_consume(&w.in, 100, see_record, &w, 0), 30);
	end_row(&w);
}

/* While it is shown one, all there is in the ring is overwritten. */
static int see_overwritten(void *arg, const void *record, size_t size)
{
	struct row *w = arg;

	send_records(w, 1000);
	check_record(w, record, size);
	return 0;
}

/* What may be overwritten is shown as a copy, is whole, and an overrun is told. */
static void lossy_records(void **state)
{
	struct row w;
	uint64_t lost;
	int64_t n;

	(void)state;
	start_row(&w, RINGQ_LOSSY);
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), -EAGAIN);
	send_records(&w, 20);
	assert_int_equal(ringq_len(&w.in), ringq_len(&w.out));
	assert_int_equal(ringq_consume(&w.in, 3, see_record, &w, 0), 3);
	assert_true(ringq_len(&w.in) < ringq_len(&w.out));
	w.stop_after = 5;
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 2);
	w.stop_after = 0;
	w.sends = true;
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 15);
	w.sends = false;
	assert_int_equal(ringq_skip(&w.in, RINGQ_ALL, 0), 15);
	w.wanted = w.sent;
	assert_int_equal(ringq_is_empty(&w.in), 1);

	send_records(&w, 12);
	assert_int_equal(ringq_consume(&w.in, 20, see_record, &w, RINGQ_FOREVER), 12);
	send_records(&w, 1);
	w.sends = true;
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 1);
	w.sends = false;
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), 1);
	send_records(&w, 2);
	assert_int_equal(ringq_consume(&w.in, 2, see_overwritten, &w, 0), 1);
	ringq_discard(&w.in);
	w.wanted = w.sent;
	assert_int_equal(ringq_is_empty(&w.in), 1);
	lost = ringq_lost(&w.in);
	assert_true(lost > 0);

	send_records(&w, 1000);
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0), -EOVERFLOW);
	lost = ringq_lost(&w.in) - lost;
	w.wanted += lost;
	n = ringq_consume(&w.in, RINGQ_ALL, see_record, &w, 0);
	assert_int_equal(n + lost, 1000);
	assert_int_equal(w.wanted, w.sent);
	ringq_close(&w.out);
	assert_int_equal(ringq_consume(&w.in, RINGQ_ALL, see_record, &w, RINGQ_FOREVER), 0);
	assert_int_equal(ringq_is_ended(&w.in), 1);
	end_row(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(lossy_records),
	};

	/* A hang is a failure. */
	alarm(200);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
