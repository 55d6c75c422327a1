// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What goes in and comes out of the structs that grow: sizes, tails from the future, every
 * field out of range, defaults, rounding; in private memory, for the checks are the same for
 * all. And the sentences for errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <ringq.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct ringq_opts good = {
	.size = sizeof(struct ringq_opts), .memory = RINGQ_PRIVATE, .elem_size = 8, .capacity = 50,
};

static int try_create(const struct ringq_opts *opts)
{
	struct ringq *ring = (struct ringq *)1;
	int r = ringq_create(opts, &ring);

	if (r == 0)
		ringq_leave(ring);
	return r;
}

#define FIELD(field, value, error) { offsetof(struct ringq_opts, field),		\
				     sizeof(((struct ringq_opts *)0)->field), value, error }

static const struct {
	size_t offset, size;
	uint64_t value;
	int error;
} wrong[] = {
	FIELD(size, 0, -EINVAL),
	FIELD(size, 8, -EINVAL),
	FIELD(size, sizeof(struct ringq_opts) - 1, -EINVAL),
	FIELD(memory, 4, -EINVAL),
	FIELD(memory, UINT32_MAX, -EINVAL),
	FIELD(discipline, 9, -EOPNOTSUPP),
	FIELD(discipline, UINT32_MAX, -EOPNOTSUPP),
	FIELD(elem_size, 0, -EINVAL),
	FIELD(elem_size, (1ull << 30) + 1, -EFBIG),
	FIELD(elem_size, 1ull << 32, -EFBIG),
	FIELD(elem_size, (1ull << 32) + 8, -EFBIG),
	FIELD(elem_size, UINT64_MAX, -EFBIG),
	FIELD(capacity, 1ull << 40, -EFBIG),
	FIELD(capacity, 1ull << 63, -EFBIG),
	FIELD(capacity, UINT64_MAX, -EFBIG),
	FIELD(flags, 1u << 4, -EINVAL),
	FIELD(flags, 1u << 15, -EINVAL),
	FIELD(flags, 1u << 31, -EINVAL),
	FIELD(flags, RINGQ_HUGE | RINGQ_SMALL, -EINVAL),
	FIELD(flags, RINGQ_HUGE | RINGQ_HUGE_ONLY, -EINVAL),
	FIELD(flags, RINGQ_HUGE_ONLY | RINGQ_SMALL, -EINVAL),
	FIELD(mode, 01000, -EINVAL),
	FIELD(mode, UINT32_MAX, -EINVAL),
	FIELD(first, RINGQ_FIRST_MAX, -EINVAL),
	FIELD(first, UINT64_MAX, -EINVAL),
	FIELD(producers, 2, -EINVAL),
	FIELD(producers, 257, -EINVAL),
	FIELD(consumers, 2, -EINVAL),
	FIELD(consumers, UINT32_MAX, -EINVAL),
	FIELD(buffer, 4096, -EINVAL),		/* no size, and never looked at */
	FIELD(buffer_size, 4096, -EINVAL),	/* and no buffer */
	FIELD(arg, 4096, -EINVAL),		/* of no function */
	FIELD(fd, 1, -EINVAL),			/* and no RINGQ_FILE */
	FIELD(reserved, 1, -EINVAL),
};

static void wrong_options(void **state)
{
	struct ringq_opts opts;
	struct ringq *ring;
	unsigned int i;
	uint32_t narrow;
	int64_t bytes;
	int r;

	(void)state;
	assert_int_equal(try_create(&good), 0);
	for (i = 0; i < COUNT(wrong); i++) {
		opts = good;
		narrow = wrong[i].value;
		memcpy((char *)&opts + wrong[i].offset,
		       wrong[i].size == 4 ? (void *)&narrow : (void *)&wrong[i].value,
		       wrong[i].size);
		r = try_create(&opts);
		if (r != wrong[i].error)
			fail_msg("offset %zu, value %llx: %d, not %d", wrong[i].offset,
				 (unsigned long long)wrong[i].value, r, wrong[i].error);
		bytes = ringq_buffer_size(&opts);
		/* Not of the buffer itself, whose size is what is asked. */
		if (bytes != wrong[i].error &&
		    wrong[i].offset < offsetof(struct ringq_opts, buffer))
			fail_msg("ringq_buffer_size: offset %zu, value %llx: %lld",
				 wrong[i].offset, (unsigned long long)wrong[i].value,
				 (long long)bytes);
	}
	assert_int_equal(ringq_create(NULL, &ring), -EINVAL);
	assert_int_equal(ringq_create(&good, NULL), -EINVAL);
	assert_int_equal(ringq_join(NULL, &ring), -EINVAL);
	assert_int_equal(ringq_open(NULL, &ring), -EINVAL);
	assert_int_equal(ringq_join_fd(0, NULL, NULL), -EINVAL);
	assert_int_equal(ringq_buffer_size(NULL), -EINVAL);

	/* A buffer is for private memory, and has no huge pages to promise. */
	opts = good;
	opts.buffer = &opts;
	opts.buffer_size = sizeof(opts);
	opts.memory = RINGQ_MEMFD;
	assert_int_equal(try_create(&opts), -EINVAL);
	opts.memory = RINGQ_AUTO;
	assert_int_equal(try_create(&opts), -EINVAL);
	opts.memory = RINGQ_PRIVATE;
	opts.flags = RINGQ_HUGE_ONLY;
	assert_int_equal(try_create(&opts), -EINVAL);
}

/* A newer program's options are understood if it asks for nothing new. */
static void future_options(void **state)
{
	struct {
		struct ringq_opts opts;
		unsigned char tail[40];
	} future = { .opts = good };
	unsigned int i;

	(void)state;
	future.opts.size = sizeof(future);
	assert_int_equal(try_create(&future.opts), 0);
	assert_true(ringq_buffer_size(&future.opts) > 0);
	for (i = 0; i < sizeof(future.tail); i++) {
		future.tail[i] = 1;
		assert_int_equal(try_create(&future.opts), -E2BIG);
		assert_int_equal(ringq_buffer_size(&future.opts), -E2BIG);
		future.tail[i] = 0;
	}
	/* One byte more than we know counts too. */
	future.tail[0] = 1;
	future.opts.size = sizeof(future.opts) + 1;
	assert_int_equal(try_create(&future.opts), -E2BIG);
	future.opts.size = sizeof(future.opts);
	assert_int_equal(try_create(&future.opts), 0);
}

static void rounding(void **state)
{
	static const struct {
		uint64_t elem_size, asked, granted;
	} tries[] = {
		{ 1, 1, 56 }, { 1, 56, 56 }, { 1, 57, 112 },
		{ 8, 1, 7 }, { 8, 7, 7 }, { 8, 8, 14 }, { 8, 100, 112 }, { 8, 113, 224 },
		{ 24, 1, 2 }, { 24, 3, 4 }, { 28, 2, 2 }, { 29, 1, 1 }, { 29, 3, 4 },
		{ 56, 1, 1 }, { 56, 1000, 1024 }, { 57, 1, 1 }, { 57, 5, 8 }, { 4096, 33, 64 },
		{ 16, RINGQ_CAPACITY_ULTRA_LOW_LATENCY, 1536 },
		{ 56, RINGQ_CAPACITY_ULTRA_LOW_LATENCY, 1024 },
		{ 56, RINGQ_CAPACITY_LOW_LATENCY, 4096 },
		{ 56, RINGQ_CAPACITY_DEFAULT, 65536 },
		{ 56, RINGQ_CAPACITY_HIGH_THROUGHPUT, 1 << 18 },
		/* By default 65536, rounded up like any other. */
		{ 8, 0, 7 << 14 }, { 56, 0, 65536 }, { 64, 0, 65536 },
	};
	struct ringq_info info;
	struct ringq_opts opts = good;
	struct ringq *ring;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(tries); i++) {
		opts.elem_size = tries[i].elem_size;
		opts.capacity = tries[i].asked;
		info = (struct ringq_info){ .size = sizeof(info) };
		assert_int_equal(ringq_create(&opts, &ring), 0);
		assert_int_equal(ringq_get_info(ring, &info), 0);
		assert_int_equal(info.capacity, tries[i].granted);
		assert_int_equal(info.elem_size, tries[i].elem_size);
		ringq_leave(ring);
	}
}

/* The default takes 64 MiB at most, but for 64 elements. */
static void default_capacity(void **state)
{
	static const uint64_t sizes[] = { 1024, 1264, 5000, 1 << 20, 1 << 24 };
	struct ringq_opts opts = good;
	uint64_t bytes, messages;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		opts.elem_size = sizes[i];
		opts.capacity = 0;
		bytes = ringq_buffer_size(&opts);
		messages = (64 << 20) / sizes[i];
		if (messages > 65536)
			messages = 65536;
		if (messages < 64)
			messages = 64;
		assert_true(bytes >= messages * sizes[i]);
		/* Rounding up to a power of two, and to lines, does not double it twice. */
		assert_true(bytes <= 2 * messages * (sizes[i] + 72) + 65536);
	}
}

static void info(void **state)
{
	struct {
		struct ringq_info info;
		unsigned char tail[16];
	} future;
	struct ringq_opts opts = good;
	struct ringq_info now = { .size = sizeof(now) };
	struct ringq *ring;
	size_t size;

	(void)state;
	opts.flags = RINGQ_PRODUCER_WAIT;
	assert_int_equal(ringq_create(&opts, &ring), 0);
	for (size = 0; size < sizeof(now); size++) {
		now.size = size;
		assert_int_equal(ringq_get_info(ring, &now), -EINVAL);
	}
	now.size = sizeof(now);
	assert_int_equal(ringq_get_info(ring, &now), 0);
	assert_int_equal(now.size, sizeof(now));
	assert_int_equal(now.memory, RINGQ_PRIVATE);
	assert_int_equal(now.discipline, RINGQ_SPSC);
	assert_int_equal(now.capacity, 56);
	assert_int_equal(now.flags & ~RINGQ_FENCE, RINGQ_PRODUCER_WAIT);
	assert_int_equal(now.created, 1);
	assert_int_equal(now.uid, geteuid());
	assert_int_equal(now.mode, 0600);
	assert_int_equal(now.page_shift, 12);
	assert_int_equal(now.name[0], 0);
	assert_int_equal(now.data, 8 * 64);
	assert_true(now.total >= now.header + now.data);

	/* What a newer program knows and we do not is left alone. */
	memset(&future, 0xaa, sizeof(future));
	future.info.size = sizeof(future);
	assert_int_equal(ringq_get_info(ring, &future.info), 0);
	assert_int_equal(future.info.capacity, 56);
	for (size = 0; size < sizeof(future.tail); size++)
		assert_int_equal(future.tail[size], 0xaa);
	ringq_leave(ring);
}

static void pages(void **state)
{
	static const uint32_t flags[] = { 0, RINGQ_SMALL, RINGQ_HUGE, RINGQ_HUGE_ONLY };
	static const uint32_t memories[] = { RINGQ_PRIVATE, RINGQ_MEMFD };
	struct ringq_info info = { .size = sizeof(info) };
	struct ringq_opts opts = good;
	struct ringq *ring;
	unsigned int i, m;
	int r;

	(void)state;
	opts.capacity = 300000;
	for (i = 0; i < COUNT(flags) * COUNT(memories); i++) {
		m = i % COUNT(memories);
		opts.flags = flags[i / COUNT(memories)];
		opts.memory = memories[m];
		r = ringq_create(&opts, &ring);
		if (opts.flags == RINGQ_HUGE_ONLY && r == -ENOMEM)
			continue;
		assert_int_equal(r, 0);
		assert_int_equal(ringq_get_info(ring, &info), 0);
		if (opts.flags == RINGQ_SMALL)
			assert_int_equal(info.page_shift, 12);
		else if (opts.flags == RINGQ_HUGE_ONLY)
			assert_true(info.page_shift >= 21);
		else
			assert_true(info.page_shift == 12 || info.page_shift >= 21);
		ringq_leave(ring);
	}
}

static void machine(void **state)
{
	struct ringq_machine m = { .size = sizeof(m) };

	(void)state;
	assert_int_equal(ringq_get_machine(&m), 0);
	assert_int_equal(m.layout_version, RINGQ_LAYOUT_VERSION);
	assert_true(m.device == 0 || m.device == -ENODEV || m.device == -EACCES ||
		    m.device == -EPROTO);
	assert_true(m.membarrier <= 0);
	m.size = 0;
	assert_int_equal(ringq_get_machine(&m), -EINVAL);
	m.size = sizeof(m) - 1;
	assert_int_equal(ringq_get_machine(&m), -EINVAL);
}

/* All that ringq.h names. */
static void sentences(void **state)
{
	static const int errors[] = {
		0, EAGAIN, ETIMEDOUT, EINTR, EPIPE, EOWNERDEAD, ESTALE, EBADMSG, EPROTO, EPROTOTYPE,
		EOPNOTSUPP, EOVERFLOW, EBUSY, EEXIST, ENOENT, EACCES, EPERM, ENODEV, EDQUOT, EFBIG,
		ENOBUFS, EINVAL, E2BIG, ENOMEM, ENOSPC, EMFILE, ENFILE, EBADF,
	};
	static const int strange[] = { 1 << 20, INT_MAX, INT_MIN, -12345 };
	unsigned int i, j;

	(void)state;
	for (i = 0; i < COUNT(errors); i++) {
		const char *text = ringq_strerror(-errors[i]);

		assert_non_null(text);
		assert_true(strlen(text) > 5);
		assert_ptr_equal(text, ringq_strerror(errors[i]));
		for (j = 0; j < i; j++)
			assert_string_not_equal(text, ringq_strerror(-errors[j]));
	}
	for (i = 0; i < COUNT(strange); i++)
		assert_non_null(ringq_strerror(strange[i]));
	assert_string_equal(ringq_memory_name(RINGQ_AUTO), "auto");
	assert_string_equal(ringq_memory_name(RINGQ_DEVICE), "device");
	assert_string_equal(ringq_memory_name(RINGQ_MEMFD), "memfd");
	assert_string_equal(ringq_memory_name(RINGQ_PRIVATE), "private");
	assert_string_equal(ringq_memory_name(4), "?");
	assert_string_equal(ringq_memory_name(UINT32_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_options),
		cmocka_unit_test(future_options),
		cmocka_unit_test(rounding),
		cmocka_unit_test(default_capacity),
		cmocka_unit_test(info),
		cmocka_unit_test(pages),
		cmocka_unit_test(machine),
		cmocka_unit_test(sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
