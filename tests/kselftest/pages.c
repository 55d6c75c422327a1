// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a ring: what it is made of, and what is in it.
 */
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

/* All of it, also after a ring that left its memory full of something. */
TEST_F(pages, zeroed)
{
	struct ringq_geometry g = self->ring.geometry;
	struct port producer, consumer;
	struct ring r;
	int lap;

	close(self->producer.fd);
	close(self->ring.fd);
	g.first = 12345;
	for (lap = 0; lap < 2; lap++) {
		const struct ringq_layout *l = &r.layout;
		__u64 at, other = 0;
		__u32 role;

		ASSERT_EQ(0, ring_create(&r, &g, ""));
		ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
		for (role = 0; role < 2; role++) {
			const struct ringq_side *side = (const void *)(producer.region +
								       l->sides[role]);

			EXPECT_EQ(12345, side->index);
			EXPECT_EQ(12345, page_of(&producer, role)->progress.done);
			EXPECT_EQ(12345, page_of(&producer, role)->progress.taken);
			EXPECT_EQ(12345, page_of(&producer, role)->progress.hand);
		}
		for (at = sizeof(struct ringq_header); at < l->total; at += 8) {
			__u64 word = *(const __u64 *)(producer.region + at);
			__u64 in_page = (at - l->ports) % l->port_stride;

			/* Its positions; and the attention page counts who attaches. */
			if (at >= l->ports && at < l->ports + 2 * l->port_stride &&
			    in_page < sizeof(struct ringq_port_page))
				continue;
			if (at >= l->attention && at < l->sides[RINGQ_PRODUCER])
				continue;
			if (at == l->sides[RINGQ_PRODUCER] || at == l->sides[RINGQ_CONSUMER])
				continue;
			other += !!word;
		}
		EXPECT_EQ(0, other)
			TH_LOG("lap %d", lap);
		memset(producer.bulk, 0xa5, l->total - l->bulk);
		memset(producer.side, 0xa5, PAGE);
		memset(producer.page, 0xa5, PAGE);
		memset(consumer.side, 0xa5, PAGE);
		memset(consumer.page, 0xa5, PAGE);
		port_leave(&producer);
		port_leave(&consumer);
		close(r.fd);
		ASSERT_EQ(0, used_bytes());
	}
}

TEST_HARNESS_MAIN
