// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making rings: what is refused, what is granted, and what a new ring looks like from the inside.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kselftest_harness.h"

#include "common.h"

static int create(const struct ringq_geometry *g, const char *name, __u32 flags)
{
	struct ringq_ioc_create c = create_args(g, name);
	struct ring r;
	int err;

	c.flags = flags;
	err = ring_create_with(&r, &c);
	if (!err)
		close(r.fd);
	return err;
}

FIXTURE(create) {
	struct ringq_geometry line;
	struct ringq_geometry apart;
	struct ringq_geometry huge;
	char max_mib[32];
	char max_user_mib[32];
};

FIXTURE_SETUP(create)
{
	self->line = geometry_of(8, 16);
	self->apart = geometry_of(1264, 64);
	self->huge = geometry_of(8, 2 * HUGE / RINGQ_LINE);
	self->huge.bulk_shift = RINGQ_BULK_HUGE;
	ASSERT_EQ(0, parameter_get("max_mib", self->max_mib, sizeof(self->max_mib)));
	ASSERT_EQ(0, parameter_get("max_user_mib", self->max_user_mib,
				   sizeof(self->max_user_mib)));
}

FIXTURE_TEARDOWN_PARENT(create)
{
	EXPECT_EQ(0, parameter_set("max_mib", self->max_mib));
	EXPECT_EQ(0, parameter_set("max_user_mib", self->max_user_mib));
	EXPECT_NOTHING_LEFT();
}

#define EXPECT_REFUSED(err, which, field, ...)						\
	do {										\
		const __u64 values[] = { __VA_ARGS__ };					\
		size_t i;								\
											\
		for (i = 0; i < ARRAY_SIZE(values); i++) {				\
			struct ringq_geometry g = self->which;				\
											\
			g.field = values[i];						\
			EXPECT_EQ(err, create(&g, "", 0))				\
				TH_LOG(#which ", " #field " %#llx", values[i]);		\
		}									\
	} while (0)

TEST_F(create, exact_geometry)
{
	EXPECT_EQ(0, create(&self->line, "", 0));
	EXPECT_EQ(0, create(&self->apart, "", 0));
}

TEST_F(create, every_element_size)
{
	__u32 size;

	for (size = 1; size <= 130; size++) {
		struct ringq_geometry g = geometry_of(size, 1);

		EXPECT_EQ(0, create(&g, "", 0))
			TH_LOG("elements of %u bytes", size);
		g.shape = g.shape == RINGQ_SHAPE_LINE ? RINGQ_SHAPE_APART : RINGQ_SHAPE_LINE;
		EXPECT_EQ(-EINVAL, create(&g, "", 0))
			TH_LOG("elements of %u bytes, wrong shape", size);
	}
}

TEST_F(create, inexact_geometry)
{
	EXPECT_REFUSED(-EINVAL, line, discipline, 0, 2, 3, 4, 9, 1u << 31);
	EXPECT_REFUSED(-EINVAL, line, shape, 0, 2, 3, 4, 5, 1u << 31);
	EXPECT_REFUSED(-EINVAL, apart, shape, 0, 1, 3, 4, 5, 1u << 31);
	EXPECT_REFUSED(-EINVAL, line, elem_size, 0, 57, RINGQ_ELEM_MAX + 1, 1u << 31, ~0u);
	EXPECT_REFUSED(-EINVAL, apart, elem_size, 0, 56, RINGQ_ELEM_MAX + 1, 1u << 31, ~0u);
	EXPECT_REFUSED(-EINVAL, line, producers, 0, 2, RINGQ_SIDE_MAX + 1, ~0u);
	EXPECT_REFUSED(-EINVAL, line, consumers, 0, 2, RINGQ_SIDE_MAX + 1, ~0u);
	EXPECT_REFUSED(-EINVAL, line, capacity, 0, 1, 6, 8, 16 * 7 - 1, 16 * 7 + 1, 3 * 7, 128);
	EXPECT_REFUSED(-EINVAL, apart, capacity, 0, 3, 63, 65, 96);
	EXPECT_REFUSED(-EINVAL, line, first, RINGQ_FIRST_MAX, 1ull << 63, ~0ull);
	EXPECT_REFUSED(-EINVAL, line, unit_shift, 0, 6, 7, 11, 13, 21, 63, 64, ~0u);
	EXPECT_REFUSED(-EINVAL, line, bulk_shift, 0, 7, 11, 13, 20, 21, 22, 30, 64, ~0u);
	EXPECT_REFUSED(-EINVAL, line, flags, 1u << 4, 1u << 5, 1u << 31, ~0u);
}

/* Each discipline has a shape for elements of each size, and no other. */
TEST_F(create, shapes_of_disciplines)
{
	static const __u32 sizes[] = { 1, 8, 9, 24, 25, 56, 57, 64, 65, 1000 };
	__u32 discipline, shape;
	size_t i;

	for (discipline = RINGQ_SPSC; discipline <= RINGQ_LATEST; discipline++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct ringq_geometry g = geometry_many(discipline, sizes[i], 4);
			__u32 right = g.shape;

			for (shape = RINGQ_SHAPE_LINE; shape <= RINGQ_SHAPE_SLOT; shape++) {
				g.shape = shape;
				EXPECT_EQ(shape == right ? 0 : -EINVAL, create(&g, "", 0))
					TH_LOG("discipline %u, %u bytes, shape %u", discipline,
					       sizes[i], shape);
			}
		}
	}
}

/* One of a side where the discipline says so, else 1 to 256. */
TEST_F(create, ports_of_disciplines)
{
	static const __u32 numbers[] = { 0, 1, 2, 255, 256, 257, 1u << 31, ~0u };
	__u32 discipline, n, many;
	size_t i;

	for (discipline = RINGQ_SPSC; discipline <= RINGQ_LATEST; discipline++) {
		for (i = 0; i < ARRAY_SIZE(numbers); i++) {
			struct ringq_geometry g = geometry_many(discipline, 8, 4);

			n = numbers[i];
			many = discipline == RINGQ_MPSC || discipline == RINGQ_MPMC ||
			       discipline == RINGQ_LANES ? 256 : 1;
			g.producers = n;
			EXPECT_EQ(n && n <= many ? 0 : -EINVAL, create(&g, "", 0))
				TH_LOG("discipline %u, %u producers", discipline, n);
			g.producers = 1;
			many = discipline == RINGQ_SPSC || discipline == RINGQ_MPSC ? 1 : 256;
			g.consumers = n;
			EXPECT_EQ(n && n <= many ? 0 : -EINVAL, create(&g, "", 0))
				TH_LOG("discipline %u, %u consumers", discipline, n);
		}
	}
}

TEST_F(create, inexact_slots)
{
	struct ringq_geometry slot = geometry_many(RINGQ_MPMC, 8, 16);
	static const __u64 capacities[] = { 0, 3, 7, 15, 17, 112, ~0ull };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(capacities); i++) {
		slot.capacity = capacities[i];
		EXPECT_EQ(capacities[i] == ~0ull ? -EFBIG : -EINVAL, create(&slot, "", 0));
	}
	slot.capacity = 1;
	EXPECT_EQ(0, create(&slot, "", 0));
	slot.capacity = 1ull << 37;
	EXPECT_EQ(-EFBIG, create(&slot, "", 0));
}

TEST_F(create, records)
{
	__u32 discipline;

	for (discipline = RINGQ_SPSC; discipline <= RINGQ_LATEST; discipline++) {
		struct ringq_geometry good = geometry_records(discipline, 2 * PAGE), g = good;
		bool has = discipline == RINGQ_SPSC || discipline == RINGQ_LANES ||
			   discipline == RINGQ_GATED || discipline == RINGQ_LOSSY;

		EXPECT_EQ(has ? 0 : -EINVAL, create(&good, "", 0))
			TH_LOG("discipline %u", discipline);
		if (!has)
			continue;
		g.elem_size = 1;
		EXPECT_EQ(0, create(&g, "", 0));
		g.elem_size = PAGE - 32 + 1;
		EXPECT_EQ(-EINVAL, create(&g, "", 0));
		g = good;
		g.first = 8;
		EXPECT_EQ(0, create(&g, "", 0));
		g.first = 12;
		EXPECT_EQ(-EINVAL, create(&g, "", 0));
		g = good;
		g.elem_size = 1;
		g.capacity = PAGE / 2;
		EXPECT_EQ(-EINVAL, create(&g, "", 0));
		g.capacity = 3 * PAGE;
		EXPECT_EQ(-EINVAL, create(&g, "", 0));
		g.capacity = 1ull << 41;
		EXPECT_EQ(-EFBIG, create(&g, "", 0));
		/* A row is made of whole pages, also of large ones. */
		g.bulk_shift = RINGQ_BULK_HUGE;
		g.capacity = HUGE / 2;
		EXPECT_EQ(-EINVAL, create(&g, "", RINGQ_CREATE_HUGE));
		g.capacity = HUGE;
		EXPECT_EQ(0, create(&g, "", RINGQ_CREATE_HUGE));
	}
}

/* Each lane is as large as the ring of one, and all together as a ring may be. */
TEST_F(create, lanes_too_large)
{
	struct ringq_geometry g = geometry_many(RINGQ_LANES, 1000, 1ull << 26);

	g.producers = 256;
	EXPECT_EQ(-EFBIG, create(&g, "", 0));
	g = geometry_records(RINGQ_LANES, 1ull << 32);
	g.elem_size = 1;
	g.producers = 256;
	EXPECT_EQ(-EFBIG, create(&g, "", 0));
}

TEST_F(create, memory_of_other_units)
{
	struct ringq_geometry g = self->line;

	g.unit_shift = RINGQ_UNIT_LINES;
	g.bulk_shift = RINGQ_UNIT_LINES;
	EXPECT_EQ(-EINVAL, create(&g, "", 0));
}

/* Up to the last bit of every field that makes it large, without an overflow on the way. */
TEST_F(create, too_large)
{
	int shift;

	for (shift = 41; shift < 64; shift++) {
		struct ringq_geometry g = self->apart;

		g.capacity = 1ull << shift;
		EXPECT_EQ(-EFBIG, create(&g, "", 0))
			TH_LOG("capacity 1 << %d", shift);
		g.elem_size = RINGQ_ELEM_MAX;
		EXPECT_EQ(-EFBIG, create(&g, "", 0));
		g = self->line;
		g.elem_size = 56;
		g.capacity = 1ull << shift;
		EXPECT_EQ(-EFBIG, create(&g, "", 0));
	}
	EXPECT_REFUSED(-EFBIG, apart, capacity, 1ull << 40, 1ull << 31, 1ull << 30);
	EXPECT_REFUSED(-EFBIG, line, capacity, 7ull << 38, 7ull << 35, 7ull << 34);
}

/* Exact, and below what a ring may be, but more than a machine has. */
TEST_F_TIMEOUT(create, more_than_the_machine_has, 300)
{
	struct ringq_geometry g = geometry_of(RINGQ_ELEM_MAX, 512);

	EXPECT_EQ(-EDQUOT, create(&g, "", 0));
	g.bulk_shift = RINGQ_BULK_HUGE;
	EXPECT_EQ(-EDQUOT, create(&g, "", RINGQ_CREATE_HUGE));

	/* The limit lets it pass; the memory is not there, and nobody is killed for it. */
	ASSERT_EQ(0, parameter_set("max_mib", "1000000000"));
	g.bulk_shift = RINGQ_UNIT_PAGES;
	EXPECT_EQ(-ENOMEM, create(&g, "", 0));
	g.bulk_shift = RINGQ_BULK_HUGE;
	EXPECT_EQ(-ENOMEM, create(&g, "", RINGQ_CREATE_HUGE_ONLY));
	EXPECT_EQ(0, used_bytes());
	EXPECT_EQ(0, create(&self->apart, "", 0));
}

TEST_F(create, bad_names)
{
	static const char * const bad[] = { "/", "a/b", "/a", "a/", "\n", "a\tb", "\x1f", "\x7f" };
	struct ringq_ioc_create c;
	struct ring r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, create(&self->line, bad[i], 0))
			TH_LOG("name number %zu", i);

	/* Not terminated. */
	c = create_args(&self->line, "");
	memset(c.name, 'x', sizeof(c.name));
	EXPECT_EQ(-EINVAL, ring_create_with(&r, &c));

	/* Something after the terminator, also of an empty name. */
	for (i = 0; i < 2; i++) {
		c = create_args(&self->line, i ? "name" : "");
		c.name[sizeof(c.name) - 1] = 1;
		EXPECT_EQ(-EINVAL, ring_create_with(&r, &c));
		c.name[sizeof(c.name) - 1] = 0;
		c.name[5] = 'x';
		EXPECT_EQ(-EINVAL, ring_create_with(&r, &c));
	}
}

TEST_F(create, good_names)
{
	char longest[RINGQ_NAME_SIZE] = "";

	memset(longest, 'x', sizeof(longest) - 1);
	EXPECT_EQ(0, create(&self->line, "", 0));
	EXPECT_EQ(0, create(&self->line, "a", 0));
	EXPECT_EQ(0, create(&self->line, " . ~", 0));
	EXPECT_EQ(0, create(&self->line, "r\xc3\xa9seau", 0));
	EXPECT_EQ(0, create(&self->line, longest, 0));
}

TEST_F(create, bad_mode_and_node)
{
	static const __u32 modes[] = { 01000, 02000, 0100000, 1u << 31, ~0u };
	static const int nodes[] = { -2, -1000, 4096, 1 << 30, 0x7fffffff };
	struct ringq_ioc_create c;
	struct ring r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		c = create_args(&self->line, "name");
		c.mode = modes[i];
		EXPECT_EQ(-EINVAL, ring_create_with(&r, &c));
	}
	for (i = 0; i < ARRAY_SIZE(nodes); i++) {
		c = create_args(&self->line, "name");
		c.node = nodes[i];
		EXPECT_EQ(-EINVAL, ring_create_with(&r, &c));
	}
	c = create_args(&self->line, "name");
	c.node = 0;
	ASSERT_EQ(0, ring_create_with(&r, &c));
}

TEST_F(create, taken)
{
	struct ring r;

	ASSERT_EQ(0, ring_create(&r, &self->line, "taken"));
	EXPECT_EQ(-EEXIST, create(&self->line, "taken", 0));
	EXPECT_EQ(-EEXIST, create(&self->apart, "taken", 0));
	close(r.fd);
	EXPECT_EQ(0, create(&self->apart, "taken", 0));
}

/* The found ring is what it is, whatever the caller had in mind. */
TEST_F(create, or_open_finds)
{
	struct ringq_ioc_create c = create_args(&self->apart, "found");
	struct ring made, found;

	c.flags = RINGQ_CREATE_OR_OPEN;
	ASSERT_EQ(0, ring_create_with(&made, &c));
	EXPECT_EQ(1, made.created);

	c = create_args(&self->line, "found");
	c.flags = RINGQ_CREATE_OR_OPEN;
	ASSERT_EQ(0, ring_create_with(&found, &c));
	EXPECT_EQ(0, found.created);
	EXPECT_EQ(0, memcmp(made.id, found.id, sizeof(made.id)));
	EXPECT_EQ(0, memcmp(&made.geometry, &found.geometry, sizeof(made.geometry)));

	/* Both are handles of one ring, which lives until the second one goes. */
	close(made.fd);
	EXPECT_EQ(-EEXIST, create(&self->line, "found", 0));
	close(found.fd);
	EXPECT_EQ(0, create(&self->line, "found", 0));
}

TEST_F(create, or_open_needs_a_name_and_a_right_geometry)
{
	struct ringq_geometry wrong = self->line;
	struct ring r;

	EXPECT_EQ(-EINVAL, create(&self->line, "", RINGQ_CREATE_OR_OPEN));
	ASSERT_EQ(0, ring_create(&r, &self->line, "there"));
	wrong.capacity++;
	EXPECT_EQ(-EINVAL, create(&wrong, "there", RINGQ_CREATE_OR_OPEN));
}

TEST_F(create, huge_flags_and_geometry_agree)
{
	struct ringq_geometry g = self->huge;

	EXPECT_EQ(-EINVAL, create(&g, "", 0));
	g.bulk_shift = RINGQ_UNIT_PAGES;
	EXPECT_EQ(-EINVAL, create(&g, "", RINGQ_CREATE_HUGE));
	EXPECT_EQ(-EINVAL, create(&g, "", RINGQ_CREATE_HUGE_ONLY));
}

TEST_F(create, limit_of_all)
{
	struct ringq_geometry big = geometry_of(56, MIB / RINGQ_LINE);
	struct ringq_ioc_info info = { .size = sizeof(info) };
	struct ring r;

	ASSERT_EQ(0, parameter_set("max_mib", "1"));
	ASSERT_EQ(0, call(device(), RINGQ_IOC_INFO, &info));
	EXPECT_EQ(MIB, info.max_bytes);
	EXPECT_EQ(-EDQUOT, create(&big, "", 0));

	/* Two rings that fit one by one. */
	big = geometry_of(56, MIB / RINGQ_LINE / 2);
	ASSERT_EQ(0, ring_create(&r, &big, ""));
	EXPECT_EQ(-EDQUOT, create(&big, "second", 0));
	close(r.fd);
	EXPECT_EQ(0, create(&big, "second", 0));
}

/* The administrator is above it, users are not; each has a limit of his own, at the same time. */
TEST_F(create, limit_of_a_user)
{
	struct ringq_geometry half = geometry_of(56, MIB / RINGQ_LINE / 2);
	struct ring rings[3];
	struct peer child;
	uid_t uid;

	ASSERT_EQ(0, parameter_set("max_user_mib", "1"));
	ASSERT_EQ(0, ring_create(&rings[0], &half, ""));
	ASSERT_EQ(0, ring_create(&rings[1], &half, ""));
	ASSERT_EQ(0, ring_create(&rings[2], &half, ""));
	for (uid = 1000; uid < 1002; uid++) {
		if (!peer_fork(&child)) {
			struct ringq_ioc_info info = { .size = sizeof(info) };

			ASSERT_EQ(0, become(uid, uid));
			ASSERT_EQ(0, call(device(), RINGQ_IOC_INFO, &info));
			EXPECT_EQ(MIB, info.max_user_bytes);
			ASSERT_EQ(0, ring_create(&rings[0], &half, ""));
			EXPECT_EQ(-EDQUOT, create(&half, "", 0));
			close(rings[0].fd);
			EXPECT_EQ(0, create(&half, "", 0));
			peer_say(&child, 1);
			pause();
		}
		EXPECT_EQ(1, peer_hear(&child));
	}
}

TEST_F(create, memory_is_accounted)
{
	struct ring small, huge;
	__u64 before;

	EXPECT_EQ(0, used_bytes());
	ASSERT_EQ(0, ring_create(&small, &self->apart, ""));
	before = used_bytes();
	EXPECT_EQ(small.layout.total, before);

	/* There is a gap, which takes no memory, in front of what is in huge pages. */
	ASSERT_EQ(0, ring_create(&huge, &self->huge, ""));
	EXPECT_GE(used_bytes() - before, huge.layout.total - huge.layout.bulk);
	EXPECT_LE(used_bytes() - before, huge.layout.total);
	close(huge.fd);
	EXPECT_EQ(before, used_bytes());
	close(small.fd);
	EXPECT_EQ(0, used_bytes());
}

TEST_F(create, header_tells_what_the_ring_is)
{
	struct ringq_ioc_create c = create_args(&self->apart, "header");
	const struct ringq_header *h;
	struct timespec now;
	struct port p;
	struct ring r;

	c.geometry.first = RINGQ_FIRST_MAX - 1;
	c.geometry.flags = RINGQ_CONSUMER_WAIT;
	c.mode = 0640;
	ASSERT_EQ(0, ring_create_with(&r, &c));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_CONSUMER));
	h = header(&p);
	EXPECT_EQ(RINGQ_MAGIC, h->magic);
	EXPECT_EQ(RINGQ_LAYOUT_VERSION, h->version);
	EXPECT_EQ(sizeof(*h), h->size);
	EXPECT_EQ(0, memcmp(&h->geometry, &c.geometry, sizeof(h->geometry)));
	EXPECT_EQ(0, memcmp(&h->layout, &r.layout, sizeof(h->layout)));
	EXPECT_EQ(0, memcmp(h->id, c.id, sizeof(h->id)));
	clock_gettime(CLOCK_REALTIME, &now);
	EXPECT_GT(h->created_ns, 0);
	EXPECT_LE(h->created_ns, (__u64)(now.tv_sec * 1000 * MSEC + now.tv_nsec));
	EXPECT_EQ(geteuid(), h->uid);
	EXPECT_EQ(getpid(), (pid_t)h->pid);
	EXPECT_EQ(0640, h->mode);
	EXPECT_EQ(r.page_shift, h->page_shift);
	EXPECT_EQ(0, memcmp(h->name, c.name, sizeof(h->name)));
}

TEST_F(create, identities_differ)
{
	struct ring a, b;

	ASSERT_EQ(0, ring_create(&a, &self->line, ""));
	ASSERT_EQ(0, ring_create(&b, &self->line, ""));
	EXPECT_NE(0, memcmp(a.id, b.id, sizeof(a.id)));
}

/* A barrier that cannot be had is replaced by fences, and who asks for fences gets them. */
TEST_F(create, fence)
{
	struct ringq_ioc_info info = { .size = sizeof(info) };
	struct ringq_geometry fenced = self->line;
	struct port p;
	struct ring r;

	ASSERT_EQ(0, call(device(), RINGQ_IOC_INFO, &info));
	ASSERT_EQ(0, ring_create(&r, &self->line, ""));
	EXPECT_EQ(info.features & RINGQ_FEATURE_BARRIER ? 0 : RINGQ_FENCE, r.geometry.flags);
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	EXPECT_EQ(info.features & RINGQ_FEATURE_BARRIER ? 0 : RINGQ_FENCED, attention(&p));

	fenced.flags = RINGQ_FENCE;
	ASSERT_EQ(0, ring_create(&r, &fenced, ""));
	EXPECT_EQ(RINGQ_FENCE, r.geometry.flags);
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_PRODUCER));
	EXPECT_EQ(RINGQ_FENCED, attention(&p));
	ASSERT_EQ(0, port_join(&p, &r, RINGQ_CONSUMER));
	EXPECT_EQ(RINGQ_FENCED, attention(&p));
}

TEST_F_TIMEOUT(create, many_times, 300)
{
	struct port producer, consumer;
	struct ring r;
	int i;

	for (i = 0; i < 500; i++) {
		ASSERT_EQ(0, ring_create(&r, i & 1 ? &self->line : &self->huge, "again"));
		ASSERT_EQ(0, port_join(&producer, &r, RINGQ_PRODUCER));
		ASSERT_EQ(0, port_join(&consumer, &r, RINGQ_CONSUMER));
		publish(&producer, 3);
		ASSERT_EQ(3, consume(&consumer, 3));
		/* In every order of going. */
		if (i & 2)
			close(r.fd);
		port_leave(i & 4 ? &producer : &consumer);
		port_unmap(i & 4 ? &consumer : &producer);
		close(i & 4 ? consumer.fd : producer.fd);
		if (!(i & 2))
			close(r.fd);
		ASSERT_EQ(0, used_bytes());
	}
}

TEST_F_TIMEOUT(create, many_at_once, 300)
{
	struct ring rings[200];
	struct port ports[200];
	char name[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rings); i++) {
		snprintf(name, sizeof(name), "ring %zu", i);
		ASSERT_EQ(0, ring_create(&rings[i], &self->line, name));
		ASSERT_EQ(0, port_join(&ports[i], &rings[i], RINGQ_PRODUCER));
	}
	for (i = 0; i < ARRAY_SIZE(rings); i++) {
		struct ring found;

		snprintf(name, sizeof(name), "ring %zu", i);
		ASSERT_EQ(0, ring_open(&found, name, -1, 0));
		EXPECT_EQ(0, memcmp(found.id, rings[i].id, sizeof(found.id)));
		close(found.fd);
	}
}

TEST_HARNESS_MAIN
