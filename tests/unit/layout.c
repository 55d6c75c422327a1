// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ringq/layout.h: known geometries give known places, a geometry that is inexact in any
 * field is refused, the limits are exact, and ringq_stamp_at() stays inside the lane for any
 * position whatever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq/layout.h>
#include <stdbool.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define LINES 7, 7	/* unit_shift, bulk_shift: memory that was handed in */
#define PAGES 12, 12
#define HUGE 12, 21

#define RING(d, s, size, n, p, c, shifts)						\
	{ RINGQ_##d, RINGQ_SHAPE_##s, size, 0, n, 0, p, c, shifts }

/* Worked out by hand; other programs and the module rely on them. */
static const struct {
	struct ringq_geometry geometry;
	struct ringq_layout want;
} known[] = {
	/*
	 * attention, producers, consumers, lanes, ports, stride, bulk, stamps, data, data of a
	 * lane, slots, total, elements of a slot, its bytes
	 */
	{ RING(SPSC, LINE, 8, 7, 1, 1, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 3200, 0, 3200, 128, 1, 3328, 7, 64 } },
	{ RING(SPSC, LINE, 8, 7 * 64, 1, 1, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 24576, 0, 24576, 4096, 64, 28672, 7, 64 } },
	{ RING(SPSC, LINE, 1, 56, 1, 1, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 24576, 0, 24576, 4096, 1, 28672, 56, 64 } },
	{ RING(SPSC, LINE, 29, 256, 1, 1, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 24576, 0, 24576, 16384, 256, 40960, 1,
	    64 } },
	{ RING(SPSC, LINE, 8, 7 << 15, 1, 1, HUGE),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 2 << 20, 0, 2 << 20, 2 << 20, 1 << 15,
	    4 << 20, 7, 64 } },
	{ RING(SPSC, APART, 57, 1, 1, 1, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 3200, 128, 3328, 128, 1, 3456, 1, 64 } },
	{ RING(SPSC, APART, 1264, 16, 1, 1, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 24576, 4096, 28672, 20480, 16, 49152, 1,
	    1280 } },
	{ RING(SPSC, APART, 64, 1024, 1, 1, HUGE),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 2 << 20, 8192, (2 << 20) + 8192, 65536,
	    1024, 4 << 20, 1, 64 } },
	{ RING(SPSC, RECORDS, 32, 128, 1, 1, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 3200, 0, 3200, 128, 16, 3328, 1, 8 } },
	{ RING(MPSC, SLOT, 24, 2, 256, 1, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 101120, 0, 101120, 128, 2, 101248, 1, 32 } },
	{ RING(SPMC, SLOT, 25, 1, 1, 2, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 28672, 0, 28672, 4096, 1, 32768, 1, 64 } },
	{ RING(MPMC, SLOT, 8, 64, 4, 3, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 45056, 0, 45056, 4096, 64, 49152, 1, 16 } },
	{ RING(MPMC, APART, 57, 4, 2, 2, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 3968, 128, 4096, 256, 4, 4352, 1, 64 } },
	{ RING(LANES, LINE, 8, 14, 3, 2, LINES),
	  { 384, { 1920, 2176 }, 2432, 2816, 512, 5376, 0, 5376, 128, 2, 5760, 7, 64 } },
	{ RING(LANES, APART, 100, 8, 40, 1, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 20480, 4096, 188416, 4096, 352256, 4096, 8, 516096, 1,
	    128 } },
	{ RING(LANES, RECORDS, 1000, 4096, 2, 2, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 32768, 0, 32768, 4096, 512, 40960, 1, 8 } },
	{ RING(GATED, LINE, 56, 4, 1, 16, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 8960, 0, 8960, 256, 4, 9216, 1, 64 } },
	{ RING(GATED, RECORDS, 2016, 4096, 1, 1, PAGES),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 24576, 0, 24576, 4096, 512, 28672, 1, 8 } },
	{ RING(LOSSY, LINE, 16, 3 << 4, 1, 3, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 3968, 0, 3968, 1024, 16, 4992, 3, 64 } },
	{ RING(LOSSY, RECORDS, (1 << 20) - 32, 2 << 20, 1, 1, HUGE),
	  { 4096, { 8192, 12288 }, 12544, 16384, 4096, 2 << 20, 0, 2 << 20, 2 << 20, 1 << 18,
	    4 << 20, 1, 8 } },
	{ RING(LATEST, APART, 64, 8, 1, 2, LINES),
	  { 384, { 1920, 2176 }, 2432, 2432, 384, 3584, 128, 3712, 512, 8, 4224, 1, 64 } },
};

static void known_layouts(void **state)
{
	struct ringq_layout l;
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(known); i++) {
		memset(&l, 0, sizeof(l));
		if (ringq_layout_compute(&known[i].geometry, &l) ||
		    memcmp(&l, &known[i].want, sizeof(l)))
			fail_msg("row %u: not as it should be", i);
	}
}

#define FIELD(field, value) { offsetof(struct ringq_geometry, field),			\
			      sizeof(((struct ringq_geometry *)0)->field), value }

/* A value of a field, which makes a geometry that was exact inexact. */
struct change {
	size_t offset, size;
	uint64_t value;
};

static void refuse(const struct ringq_geometry *exact, const struct change *c)
{
	struct ringq_geometry g = *exact;
	uint32_t narrow = c->value;
	struct ringq_layout l;

	assert_int_equal(ringq_layout_compute(&g, &l), 0);
	memcpy((char *)&g + c->offset, c->size == 4 ? (void *)&narrow : (void *)&c->value, c->size);
	if (ringq_layout_compute(&g, &l) != -EINVAL)
		fail_msg("discipline %u, shape %u, offset %zu, value %llu: not refused",
			 exact->discipline, exact->shape, c->offset, (unsigned long long)c->value);
}

static void inexact_everywhere(void **state)
{
	static const struct change changes[] = {
		FIELD(discipline, 0), FIELD(discipline, 9), FIELD(discipline, UINT32_MAX),
		FIELD(shape, 0), FIELD(shape, 5), FIELD(shape, UINT32_MAX),
		FIELD(elem_size, 0), FIELD(elem_size, RINGQ_ELEM_MAX + 1),
		FIELD(elem_size, UINT32_MAX),
		FIELD(flags, 16), FIELD(flags, 1u << 16), FIELD(flags, 1u << 31),
		FIELD(flags, UINT32_MAX),
		FIELD(capacity, 0), FIELD(capacity, 3 * 64), FIELD(capacity, 3 * 4096),
		FIELD(first, RINGQ_FIRST_MAX), FIELD(first, UINT64_MAX),
		FIELD(producers, 0), FIELD(producers, RINGQ_SIDE_MAX + 1),
		FIELD(producers, UINT32_MAX),
		FIELD(consumers, 0), FIELD(consumers, RINGQ_SIDE_MAX + 1),
		FIELD(consumers, UINT32_MAX),
		FIELD(unit_shift, 0), FIELD(unit_shift, 8), FIELD(unit_shift, 11),
		FIELD(unit_shift, 13), FIELD(unit_shift, 21), FIELD(unit_shift, 64),
		FIELD(unit_shift, UINT32_MAX),
		FIELD(bulk_shift, 0), FIELD(bulk_shift, 8), FIELD(bulk_shift, 20),
		FIELD(bulk_shift, 30), FIELD(bulk_shift, 64), FIELD(bulk_shift, UINT32_MAX),
	};
	unsigned int i, j;

	(void)state;
	for (i = 0; i < COUNT(known); i++) {
		for (j = 0; j < COUNT(changes); j++) {
			/* Three to a line are right there. */
			if (known[i].want.per_slot == 3 &&
			    changes[j].offset == offsetof(struct ringq_geometry, capacity) &&
			    changes[j].value)
				continue;
			refuse(&known[i].geometry, &changes[j]);
		}
	}
}

/* What is wrong for one discipline or shape, and may be right for another. */
static void inexact_somewhere(void **state)
{
	static const struct {
		struct ringq_geometry exact;
		struct change change;
	} wrong[] = {
		/* Sides of one port. */
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(producers, 2) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(consumers, 2) },
		{ RING(MPSC, SLOT, 8, 64, 2, 1, PAGES), FIELD(consumers, 2) },
		{ RING(SPMC, SLOT, 8, 64, 1, 2, PAGES), FIELD(producers, 2) },
		{ RING(GATED, LINE, 8, 448, 1, 2, PAGES), FIELD(producers, 2) },
		{ RING(LOSSY, LINE, 8, 448, 1, 2, PAGES), FIELD(producers, 2) },
		{ RING(LATEST, LINE, 8, 448, 1, 2, PAGES), FIELD(producers, 2) },
		/* Another shape than that of the size. */
		{ RING(SPSC, LINE, 56, 64, 1, 1, PAGES), FIELD(shape, RINGQ_SHAPE_APART) },
		{ RING(SPSC, LINE, 56, 64, 1, 1, PAGES), FIELD(shape, RINGQ_SHAPE_SLOT) },
		{ RING(SPSC, LINE, 56, 64, 1, 1, PAGES), FIELD(elem_size, 57) },
		{ RING(SPSC, APART, 57, 64, 1, 1, PAGES), FIELD(elem_size, 56) },
		{ RING(SPSC, APART, 57, 64, 1, 1, PAGES), FIELD(shape, RINGQ_SHAPE_LINE) },
		{ RING(MPMC, SLOT, 56, 64, 2, 2, PAGES), FIELD(shape, RINGQ_SHAPE_LINE) },
		{ RING(MPMC, SLOT, 56, 64, 2, 2, PAGES), FIELD(elem_size, 57) },
		{ RING(MPMC, APART, 57, 64, 2, 2, PAGES), FIELD(elem_size, 56) },
		{ RING(MPMC, APART, 57, 64, 2, 2, PAGES), FIELD(shape, RINGQ_SHAPE_SLOT) },
		{ RING(MPSC, SLOT, 56, 64, 2, 1, PAGES), FIELD(discipline, RINGQ_LANES) },
		{ RING(LANES, LINE, 56, 64, 2, 1, PAGES), FIELD(discipline, RINGQ_MPSC) },
		{ RING(LANES, LINE, 56, 64, 2, 1, PAGES), FIELD(shape, RINGQ_SHAPE_SLOT) },
		/* Records where there are none. */
		{ RING(MPSC, APART, 64, 4096, 2, 1, PAGES), FIELD(shape, RINGQ_SHAPE_RECORDS) },
		{ RING(SPMC, APART, 64, 4096, 1, 2, PAGES), FIELD(shape, RINGQ_SHAPE_RECORDS) },
		{ RING(MPMC, APART, 64, 4096, 2, 2, PAGES), FIELD(shape, RINGQ_SHAPE_RECORDS) },
		{ RING(LATEST, APART, 64, 4096, 1, 2, PAGES), FIELD(shape, RINGQ_SHAPE_RECORDS) },
		/* Lines that are not whole, numbers that are no power of two. */
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(capacity, 1) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(capacity, 447) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(capacity, 449) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(capacity, 7 * 63) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(capacity, 512) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(elem_size, 9) },
		{ RING(SPSC, APART, 57, 64, 1, 1, PAGES), FIELD(capacity, 63) },
		{ RING(MPMC, SLOT, 8, 64, 2, 2, PAGES), FIELD(capacity, 65) },
		{ RING(MPMC, SLOT, 8, 64, 2, 2, PAGES), FIELD(capacity, 7 * 8) },
		{ RING(LANES, LINE, 8, 448, 2, 2, PAGES), FIELD(capacity, 512) },
		/* Records: a row of whole bulk units, of two messages, at multiples of 8. */
		{ RING(SPSC, RECORDS, 1000, 4096, 1, 1, PAGES), FIELD(capacity, 2048) },
		{ RING(SPSC, RECORDS, 1000, 4096, 1, 1, PAGES), FIELD(capacity, 5000) },
		{ RING(SPSC, RECORDS, 2016, 4096, 1, 1, PAGES), FIELD(elem_size, 2017) },
		{ RING(SPSC, RECORDS, 2016, 4096, 1, 1, PAGES), FIELD(bulk_shift, 21) },
		{ RING(SPSC, RECORDS, 2016, 4096, 1, 1, PAGES), FIELD(first, 4) },
		{ RING(SPSC, RECORDS, 32, 128, 1, 1, LINES), FIELD(elem_size, 33) },
		{ RING(SPSC, RECORDS, 32, 128, 1, 1, LINES), FIELD(capacity, 64) },
		/* Huge pages only where there are pages. */
		{ RING(SPSC, LINE, 8, 448, 1, 1, LINES), FIELD(bulk_shift, 21) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, LINES), FIELD(bulk_shift, 12) },
		{ RING(SPSC, LINE, 8, 448, 1, 1, PAGES), FIELD(bulk_shift, 7) },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT(wrong); i++)
		refuse(&wrong[i].exact, &wrong[i].change);
}

static void limits(void **state)
{
	static const struct {
		struct ringq_geometry geometry;
		int result;
	} tries[] = {
		{ RING(SPSC, LINE, 8, 7ull << 33, 1, 1, PAGES), 0 },
		{ RING(SPSC, LINE, 8, 7ull << 34, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, LINE, 8, 7ull << 60, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, LINE, 1, 56ull << 33, 1, 1, PAGES), 0 },
		{ RING(SPSC, LINE, 1, 56ull << 34, 1, 1, PAGES), -EFBIG },
		{ RING(GATED, LINE, 56, 1ull << 33, 1, 1, PAGES), 0 },
		{ RING(GATED, LINE, 56, 1ull << 34, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, APART, 64, 1ull << 33, 1, 1, PAGES), 0 },
		{ RING(SPSC, APART, 64, 1ull << 34, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, APART, 64, 1ull << 40, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, APART, 64, 1ull << 63, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, APART, 1u << 30, 1ull << 9, 1, 1, PAGES), 0 },
		{ RING(SPSC, APART, 1u << 30, 1ull << 10, 1, 1, PAGES), -EFBIG },
		{ RING(SPSC, APART, 1u << 30, 1ull << 63, 1, 1, PAGES), -EFBIG },
		{ RING(MPMC, SLOT, 8, 1ull << 35, 256, 256, PAGES), 0 },
		{ RING(MPMC, SLOT, 8, 1ull << 36, 256, 256, PAGES), -EFBIG },
		{ RING(MPMC, SLOT, 24, 1ull << 34, 256, 256, PAGES), 0 },
		{ RING(MPMC, SLOT, 25, 1ull << 34, 256, 256, PAGES), -EFBIG },
		{ RING(LANES, LINE, 56, 1ull << 25, 256, 1, PAGES), 0 },
		{ RING(LANES, LINE, 56, 1ull << 26, 256, 1, PAGES), -EFBIG },
		{ RING(LANES, LINE, 56, 1ull << 33, 256, 1, PAGES), -EFBIG },
		{ RING(LANES, RECORDS, 1u << 30, 1ull << 32, 255, 1, PAGES), 0 },
		{ RING(LANES, RECORDS, 1u << 30, 1ull << 32, 256, 1, PAGES), -EFBIG },
		{ RING(SPSC, RECORDS, 1u << 30, 1ull << 39, 1, 1, HUGE), 0 },
		{ RING(SPSC, RECORDS, 1u << 30, 1ull << 40, 1, 1, HUGE), -EFBIG },
		{ RING(SPSC, RECORDS, 1u << 30, 1ull << 63, 1, 1, HUGE), -EFBIG },
	};
	struct ringq_geometry g;
	struct ringq_layout l;
	unsigned int i;
	int r;

	(void)state;
	for (i = 0; i < COUNT(tries); i++) {
		g = tries[i].geometry;
		g.first = RINGQ_FIRST_MAX - 8;
		r = ringq_layout_compute(&g, &l);
		if (r != tries[i].result)
			fail_msg("row %u: %d, not %d", i, r, tries[i].result);
		if (r == 0)
			assert_true(l.total <= RINGQ_TOTAL_MAX);
	}
}

/* The sections of one ring: in order, in units, apart, and large enough. */
static void check_sections(const struct ringq_geometry *g)
{
	const uint64_t unit = 1ull << g->unit_shift, bulk_unit = 1ull << g->bulk_shift;
	const uint64_t lanes = g->discipline == RINGQ_LANES ? g->producers : 1;
	const bool stamped = g->shape == RINGQ_SHAPE_LINE || g->shape == RINGQ_SHAPE_SLOT;
	struct ringq_layout l;

	assert_int_equal(ringq_layout_compute(g, &l), 0);
	assert_true(l.attention >= sizeof(struct ringq_header));
	assert_true(l.sides[0] >= l.attention + sizeof(struct ringq_attention) +
		    sizeof(struct ringq_deaths));
	assert_true(l.sides[1] >= l.sides[0] + sizeof(struct ringq_side));
	assert_true(l.lanes >= l.sides[1] + sizeof(struct ringq_side));
	assert_true(l.ports >= l.lanes + (g->discipline == RINGQ_LANES ?
					  lanes * sizeof(struct ringq_lane) : 0));
	assert_true(l.port_stride >= sizeof(struct ringq_port_page) +
				     (g->discipline == RINGQ_LANES ? 2 * lanes : 0));
	assert_true(l.bulk >= l.ports + (g->producers + g->consumers) * l.port_stride);
	assert_true(l.lane_stamps >= (g->shape == RINGQ_SHAPE_APART ? l.slots * 8 : 0));
	assert_true(l.data >= l.bulk + lanes * l.lane_stamps);
	assert_true(l.lane_data >= l.slots * l.slot_size);
	assert_true(l.total >= l.data + lanes * l.lane_data);
	if (g->shape == RINGQ_SHAPE_RECORDS) {
		assert_int_equal(l.slots * l.slot_size, g->capacity);
		assert_int_equal(l.lane_data, g->capacity);
	} else {
		assert_true(l.slot_size >= l.per_slot * g->elem_size + (stamped ? 8 : 0));
		assert_int_equal(l.slots * l.per_slot, g->capacity);
	}
	assert_int_equal((l.attention | l.sides[0] | l.sides[1] | l.ports | l.port_stride) &
			 (unit - 1), 0);
	assert_int_equal((l.lanes | l.lane_stamps | l.lane_data) & (RINGQ_LINE_PAIR - 1), 0);
	assert_int_equal((l.bulk | l.total) & (bulk_unit - 1), 0);
	assert_int_equal(l.data & (RINGQ_LINE - 1), 0);
}

/* All disciplines, all sizes of a line and some beyond. */
static void sections(void **state)
{
	static const uint32_t shifts[][2] = { { LINES }, { PAGES }, { HUGE } };
	struct ringq_geometry g;
	unsigned int s;

	(void)state;
	for (s = 0; s < COUNT(shifts); s++) {
		memset(&g, 0, sizeof(g));
		g.unit_shift = shifts[s][0];
		g.bulk_shift = shifts[s][1];
		for (g.discipline = RINGQ_SPSC; g.discipline <= RINGQ_LATEST; g.discipline++) {
			g.producers = ringq_has_many_producers(g.discipline) ? 33 : 1;
			g.consumers = ringq_has_many_consumers(g.discipline) ? 70 : 1;
			for (g.elem_size = 1; g.elem_size <= 300; g.elem_size++) {
				g.shape = g.elem_size > 56 ? RINGQ_SHAPE_APART :
					  ringq_claims(g.discipline) ? RINGQ_SHAPE_SLOT :
								       RINGQ_SHAPE_LINE;
				g.capacity = 64;
				if (g.shape == RINGQ_SHAPE_LINE)
					g.capacity *= 56 / g.elem_size;
				check_sections(&g);
			}
			if (ringq_claims(g.discipline) || g.discipline == RINGQ_LATEST)
				continue;
			g.shape = RINGQ_SHAPE_RECORDS;
			for (g.capacity = 1ull << g.bulk_shift; g.capacity <= 1 << 23;
			     g.capacity <<= 1) {
				g.elem_size = g.capacity / 2 - 32;
				check_sections(&g);
			}
		}
	}
}

/* What a shape says of where in the lane a stamp lies, whichever it is. */
static void check_stamp(const struct ringq_geometry *g, const struct ringq_layout *l, uint32_t lane,
			uint64_t at)
{
	uint64_t data = l->data + lane * l->lane_data, stamps = l->bulk + lane * l->lane_stamps;

	assert_int_equal(at & 7, 0);
	if (g->shape == RINGQ_SHAPE_APART) {
		assert_in_range(at, stamps, stamps + l->slots * 8 - 8);
		return;
	}
	assert_in_range(at, data, data + l->slots * l->slot_size - 8);
	if (g->shape != RINGQ_SHAPE_RECORDS)
		assert_int_equal((at - data) % l->slot_size, l->slot_size - 8);
}

static void stamp_at(void **state)
{
	const struct ringq_geometry *g;
	const struct ringq_layout *l;
	uint64_t pos = 1, at, step;
	unsigned int i, n;
	uint32_t lane;

	(void)state;
	for (i = 0; i < COUNT(known); i++) {
		g = &known[i].geometry;
		l = &known[i].want;
		for (n = 0; n < 100000; n++) {
			lane = n % ringq_lanes(g);
			/* Small ones, the largest ones, and the bits of a generator. */
			at = n < 1000 ? n : n < 2000 ? n - 2000ull : pos;
			check_stamp(g, l, lane, ringq_stamp_at(g, l, lane, at));
			pos = pos * 6364136223846793005ull + 1442695040888963407ull;
		}
		/* A lap later it is the same stamp; within a lap only a line shares one. */
		step = g->shape == RINGQ_SHAPE_RECORDS ? 8 : 1;
		for (pos = 0; pos < g->capacity && pos < 5000; pos += step) {
			at = ringq_stamp_at(g, l, 0, pos);
			assert_int_equal(at, ringq_stamp_at(g, l, 0, pos + g->capacity));
			assert_int_equal(at == ringq_stamp_at(g, l, 0, pos + step),
					 (pos + 1) % l->per_slot != 0 || l->slots == 1);
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
		cmocka_unit_test(inexact_everywhere),
		cmocka_unit_test(inexact_somewhere),
		cmocka_unit_test(limits),
		cmocka_unit_test(sections),
		cmocka_unit_test(stamp_at),
		cmocka_unit_test(zero_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
