// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq/layout.h: known geometries give known places, a geometry that is inexact in any
 * field is refused, the limits are exact, and ringq_look_at() stays inside the ring for any
 * position whatever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq/layout.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct ringq_geometry geometry(uint32_t elem_size, uint64_t capacity, uint32_t unit_shift,
				      uint32_t bulk_shift)
{
	return (struct ringq_geometry){
		.discipline = RINGQ_SPSC,
		.shape = elem_size <= 56 ? RINGQ_SHAPE_LINE : RINGQ_SHAPE_APART,
		.elem_size = elem_size, .producers = 1, .consumers = 1, .capacity = capacity,
		.unit_shift = unit_shift, .bulk_shift = bulk_shift,
	};
}

/* Worked out by hand; other programs and the module rely on them. */
static const struct {
	uint32_t elem_size;
	uint64_t capacity;
	uint32_t unit_shift, bulk_shift;
	struct ringq_layout want;
} known[] = {
	/* attention, producers, consumers, ports, stride, bulk, data, slots, total, k, slot */
	{ 8, 7, 7, 7, { 256, { 640, 896 }, 1152, 384, 1920, 1920, 1, 2048, 7, 64 } },
	{ 8, 7 * 64, 12, 12,
	  { 4096, { 8192, 12288 }, 16384, 4096, 24576, 24576, 64, 28672, 7, 64 } },
	{ 1, 56, 12, 12, { 4096, { 8192, 12288 }, 16384, 4096, 24576, 24576, 1, 28672, 56, 64 } },
	{ 29, 256, 12, 12,
	  { 4096, { 8192, 12288 }, 16384, 4096, 24576, 24576, 256, 40960, 1, 64 } },
	{ 8, 7 << 15, 12, 21,
	  { 4096, { 8192, 12288 }, 16384, 4096, 2 << 20, 2 << 20, 1 << 15, 4 << 20, 7, 64 } },
	{ 57, 1, 7, 7, { 256, { 640, 896 }, 1152, 384, 1920, 2048, 1, 2176, 1, 64 } },
	{ 1264, 16, 12, 12,
	  { 4096, { 8192, 12288 }, 16384, 4096, 24576, 28672, 16, 49152, 1, 1280 } },
	{ 64, 1024, 12, 21,
	  { 4096, { 8192, 12288 }, 16384, 4096, 2 << 20, (2 << 20) + 8192, 1024, 4 << 20, 1, 64 } },
};

static void known_layouts(void **state)
{
	struct ringq_geometry g;
	struct ringq_layout l;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(known); i++) {
		g = geometry(known[i].elem_size, known[i].capacity, known[i].unit_shift,
			     known[i].bulk_shift);
		memset(&l, 0, sizeof(l));
		assert_int_equal(ringq_layout_compute(&g, &l), 0);
		assert_memory_equal(&l, &known[i].want, sizeof(l));
	}
}

#define FIELD(field, value) { offsetof(struct ringq_geometry, field),			\
			      sizeof(((struct ringq_geometry *)0)->field), value }

/* Each alone makes an exact geometry of 8 bytes, 448 elements, in pages, inexact. */
static const struct {
	size_t offset, size;
	uint64_t value;
} inexact[] = {
	FIELD(discipline, 0), FIELD(discipline, 2), FIELD(discipline, UINT32_MAX),
	FIELD(shape, 0), FIELD(shape, RINGQ_SHAPE_APART), FIELD(shape, 3),
	FIELD(elem_size, 0), FIELD(elem_size, 57), FIELD(elem_size, 9),
	FIELD(elem_size, RINGQ_ELEM_MAX + 1), FIELD(elem_size, UINT32_MAX),
	FIELD(ports, 0), FIELD(ports, 1), FIELD(ports, 3), FIELD(ports, UINT32_MAX),
	FIELD(capacity, 0), FIELD(capacity, 1), FIELD(capacity, 447), FIELD(capacity, 449),
	FIELD(capacity, 7 * 63), FIELD(capacity, 7 * 3), FIELD(capacity, 512),
	FIELD(first, RINGQ_FIRST_MAX), FIELD(first, UINT64_MAX),
	FIELD(unit_shift, 0), FIELD(unit_shift, 7), FIELD(unit_shift, 11), FIELD(unit_shift, 13),
	FIELD(unit_shift, 64), FIELD(unit_shift, UINT32_MAX),
	FIELD(bulk_shift, 0), FIELD(bulk_shift, 7), FIELD(bulk_shift, 20),
	FIELD(bulk_shift, 30), FIELD(bulk_shift, 64), FIELD(bulk_shift, UINT32_MAX),
	FIELD(flags, 8), FIELD(flags, 1u << 16), FIELD(flags, 1u << 31), FIELD(flags, UINT32_MAX),
	FIELD(reserved, 1), FIELD(reserved, UINT32_MAX),
};

static void inexact_geometries(void **state)
{
	struct ringq_geometry g;
	struct ringq_layout l;
	uint32_t narrow;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(inexact); i++) {
		g = geometry(8, 448, 12, 12);
		assert_int_equal(ringq_layout_compute(&g, &l), 0);
		narrow = inexact[i].value;
		memcpy((char *)&g + inexact[i].offset,
		       inexact[i].size == 4 ? (void *)&narrow : (void *)&inexact[i].value,
		       inexact[i].size);
		if (ringq_layout_compute(&g, &l) != -EINVAL)
			fail_msg("offset %zu, value %llu: not refused", inexact[i].offset,
				 (unsigned long long)inexact[i].value);
	}
	/* Huge pages only where there are pages. */
	g = geometry(8, 448, 7, 21);
	assert_int_equal(ringq_layout_compute(&g, &l), -EINVAL);
	/* Large elements: powers of two, and their own shape. */
	g = geometry(57, 3, 12, 12);
	assert_int_equal(ringq_layout_compute(&g, &l), -EINVAL);
	g = geometry(57, 4, 12, 12);
	g.shape = RINGQ_SHAPE_LINE;
	assert_int_equal(ringq_layout_compute(&g, &l), -EINVAL);
}

static void limits(void **state)
{
	static const struct {
		uint32_t elem_size;
		uint64_t capacity;
		int result;
	} tries[] = {
		{ 8, 7ull << 33, 0 },
		{ 8, 7ull << 34, -EFBIG },
		{ 8, 7ull << 60, -EFBIG },
		{ 1, 56ull << 33, 0 },
		{ 1, 56ull << 34, -EFBIG },
		{ 56, 1ull << 33, 0 },
		{ 56, 1ull << 34, -EFBIG },
		{ 64, 1ull << 33, 0 },
		{ 64, 1ull << 34, -EFBIG },
		{ 64, 1ull << 40, -EFBIG },
		{ 64, 1ull << 63, -EFBIG },
		{ 1u << 30, 1ull << 9, 0 },
		{ 1u << 30, 1ull << 10, -EFBIG },
		{ 1u << 30, 1ull << 63, -EFBIG },
	};
	struct ringq_geometry g;
	struct ringq_layout l;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(tries); i++) {
		g = geometry(tries[i].elem_size, tries[i].capacity, 12, 12);
		g.first = RINGQ_FIRST_MAX - 1;
		if (ringq_layout_compute(&g, &l) != tries[i].result)
			fail_msg("%u bytes, %llu elements: not %d", tries[i].elem_size,
				 (unsigned long long)tries[i].capacity, tries[i].result);
		if (tries[i].result == 0)
			assert_true(l.total <= RINGQ_TOTAL_MAX);
	}
}

/* All sizes of a line and some beyond: sections in order, in units, apart, and large enough. */
static void sections(void **state)
{
	static const uint32_t shifts[][2] = { { 7, 7 }, { 12, 12 }, { 12, 21 } };
	struct ringq_geometry g;
	struct ringq_layout l;
	uint64_t unit, bulk_unit, stamps;
	uint32_t size;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(shifts); s++) {
		unit = 1ull << shifts[s][0];
		bulk_unit = 1ull << shifts[s][1];
		for (size = 1; size <= 300; size++) {
			g = geometry(size, size <= 56 ? 56 / size << 6 : 64, shifts[s][0],
				     shifts[s][1]);
			assert_int_equal(ringq_layout_compute(&g, &l), 0);
			assert_true(l.attention >= sizeof(struct ringq_header));
			assert_true(l.sides[0] >= l.attention + sizeof(struct ringq_attention));
			assert_true(l.sides[1] >= l.sides[0] + sizeof(struct ringq_side));
			assert_true(l.ports >= l.sides[1] + sizeof(struct ringq_side));
			assert_true(l.port_stride >= sizeof(struct ringq_port_page));
			assert_true(l.bulk >= l.ports + 2 * l.port_stride);
			stamps = size <= 56 ? 0 : l.slots * 8;
			assert_true(l.data >= l.bulk + stamps);
			assert_true(l.total >= l.data + l.slots * l.slot_size);
			assert_true(l.slot_size >= l.per_slot * size + (size <= 56 ? 8 : 0));
			assert_int_equal(l.slots * l.per_slot, g.capacity);
			assert_int_equal((l.attention | l.sides[0] | l.sides[1] | l.ports |
					  l.port_stride) & (unit - 1), 0);
			assert_int_equal((l.bulk | l.total) & (bulk_unit - 1), 0);
			assert_int_equal(l.data & (RINGQ_LINE - 1), 0);
		}
	}
}

static void look_at(void **state)
{
	uint64_t pos = 1, at;
	struct ringq_geometry g;
	struct ringq_layout l;
	unsigned int i, n;

	(void)state;
	for (i = 0; i < COUNT(known); i++) {
		g = geometry(known[i].elem_size, known[i].capacity, known[i].unit_shift,
			     known[i].bulk_shift);
		assert_int_equal(ringq_layout_compute(&g, &l), 0);
		for (n = 0; n < 100000; n++) {
			/* Small ones, the largest ones, and the bits of a generator. */
			at = ringq_look_at(&g, &l, n < 1000 ? n : n < 2000 ? n - 2000ull : pos);
			pos = pos * 6364136223846793005ull + 1442695040888963407ull;
			assert_int_equal(at & 7, 0);
			assert_true(at >= l.bulk && at <= l.total - 8);
			if (g.shape == RINGQ_SHAPE_APART)
				assert_true(at < l.data);
			else
				assert_int_equal((at - l.data) & 63, 56);
		}
		/* A lap later it is the same stamp; within a lap only a line shares one. */
		for (n = 0; n < g.capacity && n < 5000; n++) {
			at = ringq_look_at(&g, &l, n);
			assert_int_equal(at, ringq_look_at(&g, &l, n + g.capacity));
			assert_int_equal(at == ringq_look_at(&g, &l, n + 1),
					 (n + 1) % l.per_slot != 0 || g.capacity == l.per_slot);
		}
	}
}

/* The fresh stamp 0 lies below every position that is waited for in the first lap. */
static void zero_is_free(void **state)
{
	uint64_t last = RINGQ_FIRST_MAX - 1 + RINGQ_TOTAL_MAX;

	(void)state;
	assert_true((int64_t)(0 - RINGQ_STAMP(0, RINGQ_FULL)) < 0);
	assert_true((int64_t)(0 - RINGQ_STAMP(RINGQ_FIRST_MAX - 1, RINGQ_FULL)) < 0);
	assert_true((int64_t)(0 - RINGQ_STAMP(last, RINGQ_FULL)) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_layouts),
		cmocka_unit_test(inexact_geometries),
		cmocka_unit_test(limits),
		cmocka_unit_test(sections),
		cmocka_unit_test(look_at),
		cmocka_unit_test(zero_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
