// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a ring: what it is made of, and what is in it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "kselftest_harness.h"

#include "common.h"

#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(pages) {
	struct ring ring;
	struct port producer;	/* attached, not mapped */
};

FIXTURE_VARIANT(pages) {
	__u32 elem_size;
	__u64 slots;
	__u32 bulk_shift;
};

FIXTURE_VARIANT_ADD(pages, line) {
	.elem_size = 8, .slots = 1024, .bulk_shift = RINGQ_UNIT_PAGES,
};

FIXTURE_VARIANT_ADD(pages, apart) {
	.elem_size = 1264, .slots = 64, .bulk_shift = RINGQ_UNIT_PAGES,
};

FIXTURE_VARIANT_ADD(pages, line_huge) {
	.elem_size = 8, .slots = 2 * HUGE / RINGQ_LINE, .bulk_shift = RINGQ_BULK_HUGE,
};

/* The stamps and the first data share a huge page. */
FIXTURE_VARIANT_ADD(pages, apart_huge) {
	.elem_size = 4096, .slots = 1024, .bulk_shift = RINGQ_BULK_HUGE,
};

FIXTURE_SETUP(pages)
{
	struct ringq_geometry g = geometry_of(variant->elem_size, variant->slots);

	g.bulk_shift = variant->bulk_shift;
	ASSERT_EQ(0, ring_create(&self->ring, &g, ""));
	ASSERT_EQ(0, port_attach(&self->producer, &self->ring, RINGQ_PRODUCER));
}

FIXTURE_TEARDOWN_PARENT(pages)
{
	EXPECT_NOTHING_LEFT();
}

TEST_F(pages, as_promised)
{
	static const __u32 flags[] = { RINGQ_CREATE_HUGE, RINGQ_CREATE_HUGE_ONLY,
				       RINGQ_CREATE_HUGE | RINGQ_CREATE_HUGE_ONLY };
	struct ringq_ioc_info info = { .size = sizeof(info) };
	struct ring r;
	size_t i;

	if (variant->bulk_shift != RINGQ_BULK_HUGE) {
		EXPECT_EQ(RINGQ_UNIT_PAGES, self->ring.page_shift);
		return;
	}
	ASSERT_EQ(0, call(device(), RINGQ_IOC_INFO, &info));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		struct ringq_ioc_create c = create_args(&self->ring.geometry, "");

		c.flags = flags[i];
		if (!info.huge_shift && flags[i] & RINGQ_CREATE_HUGE_ONLY) {
			EXPECT_EQ(-ENOMEM, ring_create_with(&r, &c));
			continue;
		}
		ASSERT_EQ(0, ring_create_with(&r, &c));
		EXPECT_EQ(info.huge_shift ? RINGQ_BULK_HUGE : RINGQ_UNIT_PAGES, r.page_shift);
		EXPECT_EQ(0, r.layout.bulk % HUGE);
		EXPECT_EQ(0, r.layout.total % HUGE);
		close(r.fd);
	}
}

/* An address range of the size, whose distance from a huge page's begin is chosen. */
static unsigned char *reserve(__u64 size, __u64 skew)
{
	unsigned char *at = mmap(NULL, size + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	return (unsigned char *)ringq_round_up((uintptr_t)at, HUGE) + skew;
}

/* Faults that it takes to read a byte in each page. */
static long faults_of(const volatile unsigned char *at, __u64 size)
{
	struct rusage before, after;
	__u64 i;

	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < size; i += PAGE)
		(void)at[i];
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
}

#define SLACK	8	/* faults of the program's own */

TEST_F(pages, page_sizes)
{
	const struct ringq_layout *l = &self->ring.layout;
	struct port *p = &self->producer;
	__u64 size = l->total - l->bulk, pages = size / PAGE, at;
	bool huge = self->ring.page_shift == RINGQ_BULK_HUGE;
	struct ringq_ioc_info info = { .size = sizeof(info) };
	unsigned char *whole, *small, *skewed, *part;
	long faults;

	ASSERT_EQ(0, call(p->fd, RINGQ_IOC_INFO, &info));
	if (variant->bulk_shift == RINGQ_BULK_HUGE)
		ASSERT_EQ(!!info.huge_shift, huge);

	/* mmap chooses an address that suits huge pages; there it takes one fault for each. */
	whole = mmap(NULL, size, RW, MAP_SHARED, p->fd, l->bulk);
	ASSERT_NE(MAP_FAILED, whole);
	if (huge)
		EXPECT_EQ(0, (uintptr_t)whole % HUGE);
	faults = faults_of(whole, size);
	EXPECT_GE(faults, (long)(huge ? size / HUGE : pages));
	EXPECT_LE(faults, (long)(huge ? size / HUGE : pages) + SLACK);

	/* Small ones for who asks for them... */
	small = reserve(size, 0);
	ASSERT_EQ(small, mmap(small, size, RW, MAP_SHARED | MAP_FIXED, p->fd, l->bulk));
	ASSERT_EQ(0, madvise(small, size, MADV_NOHUGEPAGE));
	EXPECT_GE(faults_of(small, size), (long)pages);

	/* ...where the address does not allow others... */
	skewed = reserve(size, PAGE);
	ASSERT_EQ(skewed, mmap(skewed, size, PROT_READ, MAP_SHARED | MAP_FIXED, p->fd, l->bulk));
	EXPECT_GE(faults_of(skewed, size), (long)pages);

	/* ...and for what does not fill one. */
	part = reserve(size, 0);
	ASSERT_EQ(part + PAGE, mmap(part + PAGE, size - PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
				    p->fd, l->bulk + PAGE));
	faults = faults_of(part + PAGE, size - PAGE);
	EXPECT_GE(faults, huge ? (long)(HUGE / PAGE - 1 + (size - HUGE) / HUGE) : (long)pages - 1);

	/* The same memory, whatever it is mapped by. */
	for (at = 0; at < size; at += PAGE) {
		*(__u64 *)((at & PAGE ? whole : small) + at) = at + 1;
		ASSERT_EQ(at + 1, *(__u64 *)(skewed + at));
		ASSERT_EQ(at + 1, *(__u64 *)((at & PAGE ? small : whole) + at));
		if (at)
			ASSERT_EQ(at + 1, *(__u64 *)(part + at));
	}
}

/* Where there is one small page, its neighbours are small ones as well. */
TEST_F(pages, small_pages_first)
{
	const struct ringq_layout *l = &self->ring.layout;
	struct port *p = &self->producer;
	__u64 size = l->total - l->bulk, at;
	unsigned char *map = reserve(size, 0);

	ASSERT_EQ(map, mmap(map, size, RW, MAP_SHARED | MAP_FIXED, p->fd, l->bulk));
	ASSERT_EQ(0, madvise(map, size, MADV_NOHUGEPAGE));
	map[0] = 1;
	ASSERT_EQ(0, madvise(map, size, MADV_HUGEPAGE));
	for (at = PAGE; at < size; at += PAGE)
		map[at] = 1;
	for (at = 0; at < size; at += PAGE)
		ASSERT_EQ(1, map[at]);
}

FIXTURE(rings) {
};

FIXTURE_SETUP(rings)
{
}

FIXTURE_TEARDOWN_PARENT(rings)
{
	EXPECT_NOTHING_LEFT();
}

/* A row of records, mapped twice: what wraps around is contiguous, in pages of every size. */
TEST_F(rings, mapped_twice)
{
	static const __u32 shifts[] = { RINGQ_UNIT_PAGES, RINGQ_BULK_HUGE };
	static const __u32 kinds[] = { RINGQ_SPSC, RINGQ_LANES };
	struct ringq_ioc_info info = { .size = sizeof(info) };
	size_t i;

	ASSERT_EQ(0, call(device(), RINGQ_IOC_INFO, &info));
	for (i = 0; i < ARRAY_SIZE(shifts) * ARRAY_SIZE(kinds); i++) {
		struct ringq_geometry g = geometry_records(kinds[i / 2], 2 * HUGE);
		bool huge = shifts[i % 2] == RINGQ_BULK_HUGE;
		__u64 lane, at, size = g.capacity;
		struct port producer, reader;
		const unsigned char *r;
		unsigned char *w;
		struct ring ring;
		long faults;

		g.bulk_shift = shifts[i % 2];
		ASSERT_EQ(0, ring_create(&ring, &g, ""));
		huge = huge && info.huge_shift;
		ASSERT_EQ(huge ? RINGQ_BULK_HUGE : RINGQ_UNIT_PAGES, ring.page_shift);
		ASSERT_EQ(size, ring.layout.lane_data);
		ASSERT_EQ(0, port_attach(&producer, &ring, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_attach(&reader, &ring, RINGQ_CONSUMER));
		w = reserve(2 * size * g.producers, 0);
		r = reserve(2 * size * g.producers, 0);
		/* The second half of a lane and the first of the next also follow in the file. */
		for (lane = 0; lane < 2 * g.producers; lane++) {
			__u64 from = ring.layout.data + lane / 2 * size;

			at = lane * size;
			ASSERT_EQ(w + at, mmap(w + at, size, RW, MAP_SHARED | MAP_FIXED,
					       producer.fd, from));
			ASSERT_EQ(r + at, mmap((void *)(r + at), size, PROT_READ,
					       MAP_SHARED | MAP_FIXED, reader.fd, from));
		}
		faults = faults_of(r, 2 * size);
		EXPECT_GE(faults, (long)(2 * size / (huge ? HUGE : PAGE)));
		EXPECT_LE(faults, (long)(2 * size / (huge ? HUGE : PAGE)) + SLACK);
		for (lane = 0; lane < g.producers; lane++) {
			unsigned char *row = w + 2 * lane * size;

			/* Across the end, and the whole lap. */
			memset(row + size - 100, lane + 1, 200);
			for (at = 0; at < 200; at++)
				ASSERT_EQ(lane + 1, r[2 * lane * size + size - 100 + at]);
			for (at = 0; at < 100; at++) {
				ASSERT_EQ(lane + 1, r[2 * lane * size + at]);
				ASSERT_EQ(lane + 1, r[2 * lane * size + 2 * size - 1 - at]);
			}
			for (at = 0; at < size; at += PAGE) {
				*(__u64 *)(row + size + at) = lane << 32 | (at + 1);
				ASSERT_EQ(lane << 32 | (at + 1), *(const __u64 *)(row + at));
			}
		}
		/* They are as many mappings as were made, and go one by one. */
		EXPECT_EQ(0, munmap(w, size));
		EXPECT_EQ(1, w[size]);
		EXPECT_EQ(0, munmap(w + size, size));
		if (g.producers > 1)
			EXPECT_EQ(1, w[2 * size]);
		for (lane = 2; lane < 2 * g.producers; lane++)
			EXPECT_EQ(0, munmap(w + lane * size, size));
		EXPECT_EQ(-ESTALE, call(producer.fd, RINGQ_IOC_CLOSE, NULL));
	}
}

/* What a new ring must be like, from the layout's words on what lies where; all but what tells. */
static __u64 *new_ring(const struct ring *r)
{
	const struct ringq_geometry *g = &r->geometry;
	const struct ringq_layout *l = &r->layout;
	__u64 *words = calloc(1, l->total), first = g->first, i;
	unsigned char *base = (unsigned char *)words;

	if (!words)
		return NULL;
	for (i = 0; i < g->producers + g->consumers; i++) {
		struct ringq_port_page *page = (void *)(base + l->ports + i * l->port_stride);

		page->progress = (struct ringq_progress){ first, first, first };
	}
	((struct ringq_side *)(base + l->sides[RINGQ_PRODUCER]))->index = first;
	((struct ringq_side *)(base + l->sides[RINGQ_CONSUMER]))->index = first;
	for (i = 0; g->discipline == RINGQ_LANES && i < g->producers; i++) {
		struct ringq_lane *lane = (struct ringq_lane *)(base + l->lanes) + i;

		lane->progress = (struct ringq_progress){ first, first, first };
	}
	for (i = first; ringq_claims(g->discipline) && i < first + g->capacity; i++) {
		__u64 slot = i % g->capacity;

		if (g->shape == RINGQ_SHAPE_APART)
			words[l->bulk / 8 + slot] = i << 2;
		else
			words[(l->data + (slot + 1) * l->slot_size) / 8 - 1] = i << 2;
	}
	return words;
}

/* Also after a ring that left its memory full of something. */
TEST_F_TIMEOUT(rings, new_ones, 300)
{
	struct ringq_geometry kinds[KINDS + 1];
	size_t i, n = every_kind(kinds);
	struct port producer, consumer;
	struct ring r;
	int lap;

	/* Several pages of lanes, and of pages. */
	kinds[n] = geometry_many(RINGQ_LANES, 8, 16);
	kinds[n++].producers = 256;
	for (i = 0; i < 2 * n; i++) {
		struct ringq_geometry *g = &kinds[i / 2];
		const struct ringq_layout *l = &r.layout;
		__u64 *expected, at, other = 0;

		lap = i % 2;
		g->first = 123456;
		ASSERT_EQ(0, ring_create(&r, g, ""));
		ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
		expected = new_ring(&r);
		ASSERT_NE(NULL, expected);
		for (at = 0; at < l->total; at += 8) {
			if (at < sizeof(struct ringq_header))
				continue;
			/* It counts who attaches. */
			if (at >= l->attention && at < l->sides[RINGQ_PRODUCER])
				continue;
			other += expected[at / 8] != *(const __u64 *)(producer.region + at);
		}
		EXPECT_EQ(0, other)
			TH_LOG("discipline %u, shape %u, lap %d", g->discipline, g->shape, lap);
		free(expected);
		memset(producer.bulk, 0xa5, l->total - l->bulk);
		memset(producer.side, 0xa5, side_size(&producer));
		memset(producer.page, 0xa5, l->port_stride);
		memset(consumer.side, 0xa5, side_size(&consumer));
		memset(consumer.page, 0xa5, l->port_stride);
		port_leave(&producer);
		port_leave(&consumer);
		close(r.fd);
		ASSERT_EQ(0, used_bytes());
	}
}

TEST_HARNESS_MAIN
