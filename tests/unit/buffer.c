// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A ring in memory that the caller hands in: exactly as much as ringq_buffer_size() says is
 * needed, at any address, nothing outside it is touched, nothing else is allocated, and it
 * is the caller's again afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <malloc.h>
#include <ringq.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CANARY 0xa5

static const size_t sizes[] = { 1, 8, 56, 57, 1000 };

static struct ringq_opts opts_of(size_t elem_size)
{
	return (struct ringq_opts){
		.size = sizeof(struct ringq_opts), .memory = RINGQ_PRIVATE,
		.elem_size = elem_size, .capacity = 20,
	};
}

static void stream(struct ringq *ring, size_t elem_size)
{
	unsigned char msg[1000];
	struct ringq_port out, in;
	unsigned int i, n = 0;

	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	for (i = 0; i < 200; i++) {
		memset(msg, i, elem_size);
		if (ringq_send(&out, msg, RINGQ_NOWAIT) == 1)
			continue;
		assert_int_equal(ringq_recv(&in, msg, RINGQ_NOWAIT), 1);
		assert_int_equal(msg[0], n & 0xff);
		assert_int_equal(msg[elem_size - 1], n & 0xff);
		n++;
		i--;
	}
	assert_true(n > 100);
	ringq_detach(&out);
	ringq_detach(&in);
}

static void any_address(void **state)
{
	struct ringq_opts opts;
	unsigned char *room;
	size_t need, at, i;
	struct ringq *ring;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		opts = opts_of(sizes[s]);
		need = ringq_buffer_size(&opts);
		room = test_malloc(need + 600);
		for (at = 0; at < 300; at += at < 140 ? 1 : 40) {
			memset(room, CANARY, need + 600);
			opts.buffer = room + at;
			opts.buffer_size = need;
			assert_int_equal(ringq_create(&opts, &ring), 0);
			stream(ring, sizes[s]);
			ringq_leave(ring);
			for (i = 0; i < at; i++)
				assert_int_equal(room[i], CANARY);
			for (i = at + need; i < need + 600; i++)
				assert_int_equal(room[i], CANARY);
		}
		test_free(room);
	}
}

static void too_small(void **state)
{
	struct ringq_opts opts = opts_of(8);
	size_t need = ringq_buffer_size(&opts), bytes;
	/* Aligned, so that nothing is lost before it: the worst case needs all of it. */
	unsigned char *room = test_malloc(need + 256);
	unsigned char *aligned = (unsigned char *)(((uintptr_t)room + 127) & ~(uintptr_t)127);
	struct ringq *ring;

	(void)state;
	opts.buffer = aligned + 1;
	opts.buffer_size = need - 1;
	assert_int_equal(ringq_create(&opts, &ring), -ENOBUFS);
	for (bytes = 1; bytes < need / 2; bytes += 7) {
		memset(room, CANARY, need + 256);
		opts.buffer_size = bytes;
		assert_int_equal(ringq_create(&opts, &ring), -ENOBUFS);
		assert_int_equal(room[0], CANARY);
		assert_int_equal(*aligned, CANARY);
		assert_int_equal(aligned[1], CANARY);
	}
	opts.buffer_size = need;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	ringq_leave(ring);
	test_free(room);
}

static void nothing_else(void **state)
{
	struct ringq_opts opts = opts_of(8);
	unsigned char *room = test_malloc(ringq_buffer_size(&opts));
	struct ringq *ring;
	size_t before;

	(void)state;
	opts.buffer = room;
	opts.buffer_size = ringq_buffer_size(&opts);
	before = mallinfo2().uordblks;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	stream(ring, 8);
	assert_int_equal(mallinfo2().uordblks, before);
	ringq_leave(ring);
	/* It is the caller's, and as good as new. */
	assert_int_equal(ringq_create(&opts, &ring), 0);
	stream(ring, 8);
	ringq_leave(ring);
	test_free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_address),
		cmocka_unit_test(too_small),
		cmocka_unit_test(nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
