// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping a ring through a port: which range, by whom, with which permission; that a mapping stays
 * as it is; and which pages it is made of.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"

#include "common.h"

#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(map) {
	struct ringq_geometry geometry;
	struct ring ring;
	struct port ports[2];	/* attached, not mapped */
};

FIXTURE_VARIANT(map) {
	__u32 elem_size;
	__u64 slots;
	__u32 bulk_shift;
};

FIXTURE_VARIANT_ADD(map, line) {
	.elem_size = 8, .slots = 1024, .bulk_shift = RINGQ_UNIT_PAGES,
};

FIXTURE_VARIANT_ADD(map, apart) {
	.elem_size = 1264, .slots = 64, .bulk_shift = RINGQ_UNIT_PAGES,
};

FIXTURE_VARIANT_ADD(map, line_huge) {
	.elem_size = 8, .slots = 2 * HUGE / RINGQ_LINE, .bulk_shift = RINGQ_BULK_HUGE,
};

/* The stamps and the first data share a huge page. */
FIXTURE_VARIANT_ADD(map, apart_huge) {
	.elem_size = 4096, .slots = 1024, .bulk_shift = RINGQ_BULK_HUGE,
};

FIXTURE_SETUP(map)
{
	__u32 role;

	self->geometry = geometry_of(variant->elem_size, variant->slots);
	self->geometry.bulk_shift = variant->bulk_shift;
	self->geometry.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT;
	ASSERT_EQ(0, ring_create(&self->ring, &self->geometry, ""));
	for (role = 0; role < 2; role++)
		ASSERT_EQ(0, port_attach(&self->ports[role], &self->ring, role));
}

FIXTURE_TEARDOWN_PARENT(map)
{
	EXPECT_NOTHING_LEFT();
}

#define for_each_role(role) for ((role) = 0; (role) < 2; (role)++)

/* The sections in the order in which they lie, with who may write them; the last one is the end. */
struct section {
	const char *name;
	__u64 begin;
	unsigned int writers;	/* mask of roles */
};

#define SECTIONS 8

static void sections_of(const struct ringq_layout *l, struct section *s)
{
	const struct section all[SECTIONS] = {
		{ "header", 0, 0 },
		{ "attention", l->attention, 0 },
		{ "producers", l->sides[RINGQ_PRODUCER], RINGQ_ROLE_MASK(RINGQ_PRODUCER) },
		{ "consumers", l->sides[RINGQ_CONSUMER], RINGQ_ROLE_MASK(RINGQ_CONSUMER) },
		{ "producer's port", l->ports, RINGQ_ROLE_MASK(RINGQ_PRODUCER) },
		{ "consumer's port", l->ports + l->port_stride, RINGQ_ROLE_MASK(RINGQ_CONSUMER) },
		{ "gap", l->ports + 2 * l->port_stride, 0 },
		{ "bulk", l->bulk, RINGQ_ROLE_MASK(RINGQ_PRODUCER) },
	};

	memcpy(s, all, sizeof(all));
}

/* Maps and unmaps, while another mapping keeps the port alive: 0 or -errno. */
static int try_map(int fd, __u64 offset, __u64 size, int prot, int flags)
{
	void *at = mmap(NULL, size, prot, flags, fd, offset);

	if (at == MAP_FAILED)
		return -errno;
	munmap(at, size);
	return 0;
}

/* As the kernel sees it: the offset is in pages. */
static int try_map_pages(int fd, __u64 offset, __u64 size)
{
	long at = syscall(SYS_mmap, NULL, size, PROT_READ, MAP_SHARED, fd, offset);

	if (at == -1)
		return -errno;
	munmap((void *)at, size);
	return 0;
}

static void *keep(const struct port *p)
{
	return mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p->fd, 0);
}

/* Every section, every role: reading always, writing by its own only, executing never. */
TEST_F(map, sections_and_roles)
{
	struct section s[SECTIONS + 1];
	__u32 role;
	int i;

	sections_of(&self->ring.layout, s);
	s[SECTIONS] = (struct section){ "end", self->ring.layout.total, 0 };
	for_each_role(role) {
		int fd = self->ports[role].fd;

		ASSERT_NE(MAP_FAILED, keep(&self->ports[role]));
		for (i = 0; i < SECTIONS; i++) {
			__u64 begin = s[i].begin, size = s[i + 1].begin - begin;
			int writing = s[i].writers & RINGQ_ROLE_MASK(role) ? 0 : -EACCES;

			if (!size)
				continue;
			EXPECT_EQ(0, try_map(fd, begin, size, PROT_READ, MAP_SHARED))
				TH_LOG("%s by %u", s[i].name, role);
			EXPECT_EQ(writing, try_map(fd, begin, size, RW, MAP_SHARED))
				TH_LOG("%s by %u", s[i].name, role);
			EXPECT_EQ(writing, try_map(fd, begin, size, PROT_WRITE, MAP_SHARED))
				TH_LOG("%s by %u", s[i].name, role);
			EXPECT_EQ(writing, try_map(fd, begin, PAGE, RW, MAP_SHARED));
			EXPECT_EQ(writing, try_map(fd, begin + size - PAGE, PAGE, RW, MAP_SHARED));
			EXPECT_EQ(-EACCES, try_map(fd, begin, size, PROT_READ | PROT_EXEC,
						   MAP_SHARED));

			/* With a page of a neighbour it is nobody's. */
			if (i)
				EXPECT_EQ(-EACCES, try_map(fd, begin - PAGE, size + PAGE, RW,
							   MAP_SHARED));
			if (i + 1 < SECTIONS)
				EXPECT_EQ(-EACCES, try_map(fd, begin, size + PAGE, RW,
							   MAP_SHARED));
		}
		EXPECT_EQ(-EACCES, try_map(fd, 0, s[SECTIONS].begin, RW, MAP_SHARED));
		EXPECT_EQ(0, try_map(fd, 0, s[SECTIONS].begin, PROT_READ, MAP_SHARED));
	}
}

/* What is not writable stays so, and nothing becomes executable. */
TEST_F(map, no_upgrade)
{
	struct section s[SECTIONS + 1];
	__u32 role;
	int i;

	sections_of(&self->ring.layout, s);
	s[SECTIONS].begin = self->ring.layout.total;
	for_each_role(role) {
		for (i = 0; i < SECTIONS; i++) {
			__u64 size = s[i + 1].begin - s[i].begin;
			bool own = s[i].writers & RINGQ_ROLE_MASK(role);
			void *at;

			if (!size)
				continue;
			at = mmap(NULL, size, PROT_NONE, MAP_SHARED, self->ports[role].fd,
				  s[i].begin);
			ASSERT_NE(MAP_FAILED, at);
			EXPECT_EQ(0, mprotect(at, size, PROT_READ));
			EXPECT_EQ(own ? 0 : -1, mprotect(at, size, RW))
				TH_LOG("%s by %u", s[i].name, role);
			if (!own)
				EXPECT_EQ(EACCES, errno);
			EXPECT_EQ(-1, mprotect(at, size, PROT_READ | PROT_EXEC));
			EXPECT_EQ(EACCES, errno);
			EXPECT_EQ(0, mprotect(at, size, PROT_NONE));
		}
	}
}

/* A store to what may only be read is a fault: the permission is in the page table. */
TEST_F(map, store_to_a_read_only_page)
{
	struct section s[SECTIONS + 1];
	struct peer child;
	struct port p;
	int i;

	close(self->ports[RINGQ_CONSUMER].fd);
	sections_of(&self->ring.layout, s);
	for (i = 0; i < SECTIONS; i++) {
		if (!peer_fork(&child)) {
			if (port_join(&p, &self->ring, RINGQ_CONSUMER))
				_exit(1);
			*(volatile unsigned char *)(p.region + s[i].begin) = 1;
			_exit(0);
		}
		EXPECT_EQ(-SIGSEGV, peer_end(&child))
			TH_LOG("%s", s[i].name);
	}
}

TEST_F(map, private)
{
	__u64 total = self->ring.layout.total;
	struct ringq_ioc_attach a = { .size = sizeof(a), .fd = self->ring.fd };
	int fd = self->ports[RINGQ_PRODUCER].fd;

	EXPECT_EQ(-EINVAL, try_map(fd, 0, total, PROT_READ, MAP_PRIVATE));
	EXPECT_EQ(-EINVAL, try_map(fd, 0, total, RW, MAP_PRIVATE));
	EXPECT_EQ(-EINVAL, try_map(fd, self->ring.layout.ports, PAGE, RW, MAP_PRIVATE));

	/* A shared mapping of a file open for reading only looks private to a careless driver. */
	close(fd);
	fd = open(RINGQ_DEVICE_PATH, O_RDONLY);
	ASSERT_EQ(0, call(fd, RINGQ_IOC_ATTACH, &a));
	EXPECT_EQ(-EACCES, try_map(fd, self->ring.layout.ports, PAGE, RW, MAP_SHARED));
	EXPECT_EQ(-EINVAL, try_map(fd, 0, total, PROT_READ, MAP_PRIVATE));
	EXPECT_EQ(0, try_map(fd, 0, total, PROT_READ, MAP_SHARED));
}

TEST_F(map, outside)
{
	__u64 total = self->ring.layout.total;
	int fd = self->ports[RINGQ_CONSUMER].fd;

	EXPECT_EQ(-EINVAL, try_map_pages(fd, 0, total + PAGE));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, PAGE, total));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, total - PAGE, 2 * PAGE));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, total, PAGE));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, total + HUGE, PAGE));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, 1ull << 40, PAGE));
	/* From here on the kernel may say no before the module does. */
	EXPECT_NE(0, try_map_pages(fd, 1ull << 52, PAGE));
	EXPECT_NE(0, try_map_pages(fd, 1ull << 62, PAGE));
	EXPECT_NE(0, try_map_pages(fd, 1ull << 63, PAGE));
	EXPECT_NE(0, try_map_pages(fd, -PAGE, PAGE));
	EXPECT_NE(0, try_map_pages(fd, -PAGE, 2 * PAGE));
	EXPECT_NE(0, try_map_pages(fd, -total, 2 * total));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, 1, PAGE));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, 2048, PAGE));
	EXPECT_EQ(-EINVAL, try_map_pages(fd, 0, 0));
	EXPECT_EQ(0, try_map_pages(fd, total - PAGE, PAGE));
}

TEST_F(map, wrong_kind_of_file)
{
	EXPECT_EQ(-EBADFD, try_map(device(), 0, PAGE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-EBADFD, try_map(self->ring.fd, 0, PAGE, PROT_READ, MAP_SHARED));
}

TEST_F(map, over)
{
	struct port *left = &self->ports[RINGQ_PRODUCER], *dead = &self->ports[RINGQ_CONSUMER];
	void *at = keep(left);

	/* A mapping that is there when its port leaves goes in its own time. */
	ASSERT_EQ(0, call(left->fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(-ESTALE, try_map(left->fd, 0, PAGE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(RINGQ_MAGIC, ((struct ringq_header *)at)->magic);
	EXPECT_EQ(0, munmap(at, PAGE));
	EXPECT_EQ(-ESTALE, try_map(left->fd, 0, PAGE, PROT_READ, MAP_SHARED));

	EXPECT_EQ(0, try_map(dead->fd, 0, PAGE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-ESTALE, try_map(dead->fd, 0, PAGE, PROT_READ, MAP_SHARED));
}

TEST_F(map, not_inherited)
{
	struct port *p = &self->ports[RINGQ_PRODUCER];
	struct peer child;
	int lines[2];

	ASSERT_EQ(0, port_map(p));
	ASSERT_EQ(0, pipe(lines));
	ASSERT_EQ(1, write(lines[1], p->region, 1));
	/* The way out of that for ordinary mappings is none here. */
	EXPECT_EQ(-1, madvise((void *)p->region, p->layout.total, MADV_DOFORK));
	if (!peer_fork(&child)) {
		EXPECT_EQ(-1, write(lines[1], p->region, 1));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, write(lines[1], p->page, 1));
		EXPECT_EQ(-EPERM, try_map(p->fd, 0, PAGE, PROT_READ, MAP_SHARED));
		_exit(0);
	}
	EXPECT_EQ(0, peer_end(&child));
	EXPECT_EQ(-ETIMEDOUT, port_wait(&self->ports[RINGQ_CONSUMER], 1, 0, 0, NULL));
	EXPECT_EQ(RINGQ_MAGIC, header(p)->magic);
}

TEST_F(map, not_split)
{
	struct port *p = &self->ports[RINGQ_PRODUCER];
	__u64 total = self->ring.layout.total;
	unsigned char *at;

	at = mmap(NULL, total, PROT_READ, MAP_SHARED, p->fd, 0);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(-1, munmap(at, PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(at + PAGE, PAGE));
	EXPECT_EQ(-1, munmap(at + total - PAGE, PAGE));
	EXPECT_EQ(-1, mprotect(at, PAGE, PROT_NONE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, mprotect(at + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(-1, madvise(at, PAGE, MADV_DODUMP));
	EXPECT_EQ(-1, madvise(at + PAGE, PAGE, MADV_SEQUENTIAL));
	EXPECT_EQ(MAP_FAILED, mmap(at + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				   -1, 0));
	EXPECT_EQ(MAP_FAILED, mmap(at + PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, p->fd,
				   PAGE));
	EXPECT_EQ(MAP_FAILED, mremap(at, total, total - PAGE, 0));
	EXPECT_EQ(MAP_FAILED, mremap(at + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				     at + (1ull << 32)));

	/* All of it is still there, and the port alive. */
	EXPECT_EQ(RINGQ_MAGIC, ((struct ringq_header *)at)->magic);
	EXPECT_EQ(0, ((volatile unsigned char *)at)[total - 1]);
	EXPECT_EQ(0, call(p->fd, RINGQ_IOC_DETACH, NULL));
	EXPECT_EQ(0, munmap(at, total));
}

TEST_F(map, not_resized)
{
	struct port *p = &self->ports[RINGQ_PRODUCER];
	__u64 half = PAGE * 3;
	unsigned char *at;

	at = mmap(NULL, half, PROT_READ, MAP_SHARED, p->fd, 0);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(MAP_FAILED, mremap(at, half, half + PAGE, 0));
	EXPECT_EQ(MAP_FAILED, mremap(at, half, half + PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(at, half, half - PAGE, MREMAP_MAYMOVE));
	/* A second mapping of the same pages, which asks no driver. */
	EXPECT_EQ(MAP_FAILED, mremap(at, 0, half, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(at, half, half, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	EXPECT_EQ(RINGQ_MAGIC, ((struct ringq_header *)at)->magic);
	EXPECT_EQ(0, call(p->fd, RINGQ_IOC_DETACH, NULL));
}

/* Moved as it is, it is the same mapping, and its end the same death. */
TEST_F(map, moved)
{
	struct port *p = &self->ports[RINGQ_PRODUCER];
	const struct ringq_layout *l = &self->ring.layout;
	__u64 size = l->total - l->bulk, at;
	unsigned char *from, *to;

	from = mmap(NULL, size, RW, MAP_SHARED, p->fd, l->bulk);
	ASSERT_NE(MAP_FAILED, from);
	for (at = 0; at < size; at += PAGE)
		from[at] = at / PAGE + 1;

	/* To an address where no huge page could be. */
	to = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, to);
	to += (uintptr_t)to % HUGE ? 0 : PAGE;
	ASSERT_EQ(to, mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	for (at = 0; at < size; at += PAGE)
		ASSERT_EQ((unsigned char)(at / PAGE + 1), to[at]);
	EXPECT_EQ(0, port_wait(p, 1, 0, 0, NULL));
	EXPECT_EQ(0, munmap(to, size));
	EXPECT_EQ(-ESTALE, call(p->fd, RINGQ_IOC_CLOSE, NULL));
}

TEST_F(map, two_processes_see_each_other)
{
	struct port producer, consumer;
	struct peer child;
	__u64 n = self->geometry.capacity, lap;

	close(self->ports[RINGQ_PRODUCER].fd);
	close(self->ports[RINGQ_CONSUMER].fd);
	if (!peer_fork(&child)) {
		ASSERT_EQ(0, port_join(&producer, &self->ring, RINGQ_PRODUCER));
		for (lap = 0; lap < 3; lap++) {
			producer.side->index = lap + 1;
			publish(&producer, n);
			peer_say(&child, 1);
			peer_hear(&child);
			EXPECT_EQ(n * (lap + 1), page_of(&producer, RINGQ_CONSUMER)->progress.done);
		}
		EXPECT_EQ(0, port_leave(&producer));
		_exit(0);
	}
	ASSERT_EQ(0, port_join(&consumer, &self->ring, RINGQ_CONSUMER));
	for (lap = 0; lap < 3; lap++) {
		const struct ringq_side *side;

		ASSERT_EQ(1, peer_hear(&child));
		side = (const void *)(consumer.region + consumer.layout.sides[RINGQ_PRODUCER]);
		EXPECT_EQ(lap + 1, side->index);
		EXPECT_EQ(n * (lap + 1), page_of(&consumer, RINGQ_PRODUCER)->progress.done);
		EXPECT_EQ((int)n, consume(&consumer, n));
		peer_say(&child, 1);
	}
	EXPECT_EQ(0, peer_end(&child));
}

/* Nothing but page tables may point to the memory: no device, and no debugger, gets at it. */
TEST_F(map, not_pinned)
{
	struct port *p = &self->ports[RINGQ_PRODUCER];
	int memory, lines[2];
	char byte = 1;

	ASSERT_EQ(0, port_map(p));
	memory = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, memory);
	EXPECT_EQ(1, pread(memory, &byte, 1, (uintptr_t)&memory));
	EXPECT_EQ(-1, pread(memory, &byte, 1, (uintptr_t)p->page));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pwrite(memory, &byte, 1, (uintptr_t)p->region));
	EXPECT_EQ(EIO, errno);

	/* But calls that copy can read and write it. */
	ASSERT_EQ(0, pipe(lines));
	EXPECT_EQ(1, write(lines[1], p->bulk, 1));
	EXPECT_EQ(1, read(lines[0], p->bulk, 1));
}

TEST_HARNESS_MAIN
