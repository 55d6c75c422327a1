// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A ring in a file that the caller hands in: on tmpfs, on hugetlbfs, or on a disk. It is memory
 * of a memfd in all but three things. Its members find it by the file's name. It outlives them.
 * And nothing seals it: who cuts it off kills them all by SIGBUS, so that nobody is led to such
 * a file but by his own hand (RINGQ_FILE), never by a ring's name or ringq_join_fd().
 *
 * Who makes the ring, and who comes too late for that, is settled under the lock that attaching
 * takes. The header's first word is written last: a file that has the ring's size and begins with
 * a zero is one whose maker died on the way, and is made again from nothing.
 */
#include "internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int ringq_file_enter(struct ringq *ring, int fd, bool any_owner)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	if (!any_owner && st.st_uid && st.st_uid != geteuid())
		return -EACCES;
	ring->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (ring->fd < 0)
		return -errno;
	ring->lock_fd = ringq_memfd_reopen(fd);
	return ring->lock_fd < 0 ? ring->lock_fd : 0;
}

/* The size of its pages where these are not the usual ones, or 0. */
static uint64_t ringq_file_page(const struct ringq *ring)
{
	struct statfs fs;

	return fstatfs(ring->lock_fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? fs.f_bsize : 0;
}

bool ringq_file_is_huge(const struct ringq *ring)
{
	return ringq_file_page(ring);
}

/* Bytes of the file, which is made of whole pages. */
static uint64_t ringq_file_size(const struct ringq *ring, uint64_t total)
{
	uint64_t page = ringq_file_page(ring);

	return page ? ringq_round_up(total, page) : total;
}

bool ringq_file_is_blank(const struct ringq *ring, const struct ringq_plan *plan)
{
	struct stat st;
	__u64 magic;

	if (fstat(ring->lock_fd, &st) < 0)
		return false;
	if (!st.st_size)
		return true;
	return plan && (uint64_t)st.st_size == ringq_file_size(ring, plan->layout.total) &&
	       pread(ring->lock_fd, &magic, sizeof(magic), 0) == sizeof(magic) && !magic;
}

/*
 * Maps the ring. All of it is there before: a hole in the file would have to be filled when it is
 * written to, and if there is no room then, that is a SIGBUS.
 */
static int ringq_file_map(struct ringq *ring)
{
	uint64_t size = ringq_file_size(ring, ring->layout.total), page = ringq_file_page(ring);
	uint32_t shift = ring->geometry.bulk_shift;

	if (page)
		shift = __builtin_ctzll(page);
	if (fallocate(ring->lock_fd, 0, 0, size) < 0)
		return -errno;
	return ringq_memfd_map(ring, ring->lock_fd, size, shift);
}

/* What it got, if it asked for more than the usual pages. */
static int ringq_file_pages(struct ringq *ring, bool huge_only)
{
	uint64_t page = ringq_file_page(ring);

	ring->page_shift = RINGQ_UNIT_PAGES;
	if (page) {
		ring->page_shift = __builtin_ctzll(page);
	} else if (ring->geometry.bulk_shift == RINGQ_BULK_HUGE) {
		ringq_memfd_collapse(ring);
		if (ringq_region_is_huge(ring->base, ring->mapped))
			ring->page_shift = RINGQ_BULK_HUGE;
	}
	return huge_only && ring->page_shift < RINGQ_BULK_HUGE ? -ENOMEM : 0;
}

int ringq_file_create(struct ringq *ring, const struct ringq_plan *plan)
{
	uint64_t size = ringq_file_size(ring, ring->layout.total);
	int r;

	/* From nothing, so that all of it is zero. */
	if (ftruncate(ring->lock_fd, 0) < 0 || ftruncate(ring->lock_fd, size) < 0)
		return -errno;
	r = ringq_file_map(ring);
	if (r == 0)
		r = ringq_file_pages(ring, plan->flags & RINGQ_HUGE_ONLY);
	if (r == 0)
		ringq_region_init(ring, plan, ring->base);
	else if (ftruncate(ring->lock_fd, 0) < 0)
		r = -errno;
	return r;
}

int ringq_file_join(struct ringq *ring)
{
	struct ringq_header h;
	struct stat st;
	int r;

	if (fstat(ring->lock_fd, &st) < 0)
		return -errno;
	if (pread(ring->lock_fd, &h, sizeof(h), 0) != sizeof(h))
		return -EBADMSG;
	r = ringq_region_adopt(ring, &h, st.st_size);
	if (r < 0)
		return r;
	if (ring->geometry.unit_shift != RINGQ_UNIT_PAGES)
		return -EBADMSG;
	return ringq_file_map(ring);
}
