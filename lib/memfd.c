// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Memory of a memfd: what a ring between processes lies in where there is no module.
 *
 * Pages. Huge ones first from hugetlb, where an administrator has reserved some, else
 * by asking the kernel to collapse ordinary shared memory (MADV_COLLAPSE, Linux 6.1), which
 * needs nobody's permission; what was got is read back from smaps. Every page is
 * allocated before the ring is used, so that no SIGBUS comes later when memory is short.
 *
 * Seals. A file that a member could shrink would kill the others by SIGBUS: it is sealed
 * against that, and a file that is not sealed is refused.
 *
 * Locks. The descriptor that is passed around is one open file in many processes, so its
 * locks say nothing about one of them. Each handle therefore opens the file again, through
 * /proc, and holds there: byte 0 while places are given, byte 1 + i while port i is its
 * own. The kernel frees them when the last copy of that descriptor is closed, at the latest
 * when the process is dead. A copy is made by fork; the child closes it (agent.c) or loses
 * it by exec.
 */
#include "internal.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define RINGQ_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int ringq_lock_byte(int fd, int cmd, short type, uint64_t byte)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1,
	};

	while (fcntl(fd, cmd, &lock) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return cmd == F_OFD_GETLK ? lock.l_type : 0;
}

int ringq_memfd_lock(struct ringq *ring, bool wait)
{
	return ringq_lock_byte(ring->lock_fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, F_WRLCK, 0);
}

void ringq_memfd_unlock(struct ringq *ring)
{
	ringq_lock_byte(ring->lock_fd, F_OFD_SETLK, F_UNLCK, 0);
}

int ringq_memfd_hold(struct ringq *ring, uint32_t index)
{
	int r = ringq_lock_byte(ring->lock_fd, F_OFD_SETLK, F_WRLCK, 1 + index);

	/* The page is not live, and yet locked: its owner is just leaving or starting. */
	return r == -EAGAIN || r == -EACCES ? -EBUSY : r;
}

void ringq_memfd_drop(struct ringq *ring, uint32_t index)
{
	ringq_lock_byte(ring->lock_fd, F_OFD_SETLK, F_UNLCK, 1 + index);
}

bool ringq_memfd_held(const struct ringq *ring, uint32_t index)
{
	return ringq_lock_byte(ring->lock_fd, F_OFD_GETLK, F_WRLCK, 1 + index) != F_UNLCK;
}

void ringq_memfd_path(char path[RINGQ_FD_PATH], int fd)
{
	snprintf(path, RINGQ_FD_PATH, "/proc/thread-self/fd/%d", fd);
}

int ringq_memfd_reopen(int fd)
{
	char path[RINGQ_FD_PATH];
	int again;

	ringq_memfd_path(path, fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	return again;
}

int ringq_memfd_map(struct ringq *ring, int fd, uint64_t size, uint32_t shift)
{
	const int prot = PROT_READ | PROT_WRITE;
	uint64_t span = size + ringq_region_span(ring) - ring->layout.total;
	bool mirrored = ringq_is_mirrored(&ring->geometry);
	unsigned char *at = ringq_region_address(span, shift);
	int r = 0;

	if (!at)
		return -ENOMEM;
	if (mmap(at, mirrored ? ring->layout.data : size, prot,
		 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
		r = -errno;
	else if (mirrored)
		r = ringq_region_mirror(ring, at, fd, prot, MAP_POPULATE);
	if (r < 0) {
		munmap(at, span);
		return r;
	}
	/* A child must not write to what it does not hold a place in; a dump is long enough. */
	madvise(at, span, MADV_DONTFORK);
	madvise(at, span, MADV_DONTDUMP);
	ring->base = at;
	ring->mapped = span;
	return 0;
}

static void ringq_memfd_unmap(struct ringq *ring)
{
	/* In a child it is not mapped, and something else may be there. */
	if (ring->base && !ringq_is_stale(ring))
		munmap(ring->base, ring->mapped);
	if (ring->lock_fd >= 0)
		close(ring->lock_fd);
	ring->base = NULL;
	ring->lock_fd = -1;
}

void ringq_memfd_collapse(struct ringq *ring)
{
	madvise(ring->base, ring->mapped, MADV_COLLAPSE);
}

static int ringq_memfd_alloc(struct ringq *ring, unsigned int flags, uint64_t size,
			     uint32_t shift)
{
	int fd = memfd_create("ringq", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags), r;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size) < 0 || fallocate(fd, 0, 0, size) < 0) {
		r = errno == ENOSPC ? -ENOMEM : -errno;
		goto close;
	}
	r = ringq_memfd_map(ring, fd, size, shift);
	if (r < 0)
		goto close;
	ring->fd = fd;
	return 0;
close:
	close(fd);
	return r;
}

/* From the largest pages that the ring fills to the smallest; sets page_shift. */
int ringq_memfd_pages(struct ringq *ring, bool huge_only)
{
	static const uint32_t shifts[] = { 30, 21 };
	uint64_t total = ring->layout.total;
	unsigned int i;
	int r;

	if (ring->geometry.bulk_shift == RINGQ_BULK_HUGE) {
		for (i = 0; i < 2; i++) {
			ring->page_shift = shifts[i];
			/* What is mapped twice must be whole pages, and begin at one. */
			if (ringq_is_mirrored(&ring->geometry) &&
			    (ring->layout.data | ring->layout.lane_data) &
				    ((UINT64_C(1) << shifts[i]) - 1))
				continue;
			if (total >> shifts[i] &&
			    ringq_memfd_alloc(ring, MFD_HUGETLB | shifts[i] << MFD_HUGE_SHIFT,
					      ringq_round_up(total, UINT64_C(1) << shifts[i]),
					      shifts[i]) == 0)
				return 0;
		}
		r = ringq_memfd_alloc(ring, 0, total, RINGQ_BULK_HUGE);
		if (r < 0)
			return r;
		ringq_memfd_collapse(ring);
		if (ringq_region_is_huge(ring->base, ring->mapped))
			return 0;
		ring->page_shift = RINGQ_UNIT_PAGES;
		return huge_only ? -ENOMEM : 0;
	}
	ring->page_shift = RINGQ_UNIT_PAGES;
	return ringq_memfd_alloc(ring, 0, total, RINGQ_UNIT_PAGES);
}

static void ringq_memfd_free(struct ringq *ring)
{
	if (ring->watched && !ringq_is_stale(ring))
		ringq_agent_remove(ring);
	ringq_memfd_unmap(ring);
	if (ring->fd >= 0)
		close(ring->fd);
}

static int ringq_memfd_create(struct ringq *ring, const struct ringq_plan *plan)
{
	int r = ringq_memfd_pages(ring, plan->flags & RINGQ_HUGE_ONLY);

	if (r < 0)
		return r;
	ring->lock_fd = ringq_memfd_reopen(ring->fd);
	if (ring->lock_fd < 0)
		return ring->lock_fd;
	ringq_region_init(ring, plan, ring->base);
	if (fcntl(ring->fd, F_ADD_SEALS, RINGQ_SEALS) < 0)
		return -errno;
	return 0;
}

int ringq_memfd_join(struct ringq *ring, int fd)
{
	struct ringq_header h;
	struct stat st;
	int seals, r;

	ring->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || pread(fd, &h, sizeof(h), 0) != sizeof(h))
		return -EBADMSG;
	r = ringq_region_adopt(ring, &h, st.st_size);
	if (r < 0)
		return r;
	if (ring->geometry.unit_shift != RINGQ_UNIT_PAGES)
		return -EBADMSG;
	if (!(seals & F_SEAL_SHRINK))
		return -EPERM;
	ring->lock_fd = ringq_memfd_reopen(fd);
	if (ring->lock_fd < 0)
		return ring->lock_fd;
	/* What was handed in may be for reading only; st_blksize is hugetlb's page size. */
	return ringq_memfd_map(ring, ring->lock_fd, st.st_size,
			       st.st_blksize > 1 << RINGQ_BULK_HUGE ? 30 :
			       ring->geometry.bulk_shift);
}

int ringq_memfd_watch(struct ringq *ring)
{
	int r = 0;

	pthread_mutex_lock(&ring->mutex);
	if (!ring->watched)
		r = ringq_agent_add(ring);
	ring->watched = r == 0;
	pthread_mutex_unlock(&ring->mutex);
	return r;
}

static int ringq_memfd_attach(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	int r = ringq_memfd_watch(p->ring);

	return r < 0 ? r : ringq_places_attach(p, opts);
}

const struct ringq_backend ringq_memfd_backend = {
	.create = ringq_memfd_create,
	.attach = ringq_memfd_attach,
	.detach = ringq_places_detach,
	.close = ringq_places_close,
	.reset = ringq_places_reset,
	.stat = ringq_places_stat,
	.bury = ringq_places_bury,
	.sleep = ringq_futex_sleep,
	.kick = ringq_futex_kick,
	.idle = ringq_places_idle,
	.arm = ringq_bridge_arm,
	.port_fd = ringq_bridge_fd,
	.add_eventfd = ringq_bridge_add,
	.remove_eventfd = ringq_bridge_remove,
	.next_death = ringq_places_next_death,
	.lock = ringq_places_lock_port,
	.unlock = ringq_places_unlock_port,
	.free = ringq_memfd_free,
};
