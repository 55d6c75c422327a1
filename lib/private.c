// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Memory of this process alone, for rings between its threads: asked for, or handed in by
 * the caller, in which case the handle lies at its beginning and nothing is allocated.
 */
#include "internal.h"

#include <string.h>
#include <sys/mman.h>

static int ringq_private_map(struct ringq *ring, bool huge_only)
{
	uint64_t total = ring->layout.total;

	ring->base = ringq_region_address(total, ring->geometry.bulk_shift);
	if (!ring->base)
		return -ENOMEM;
	ring->mapped = total;
	if (mprotect(ring->base, total, PROT_READ | PROT_WRITE) < 0)
		return -ENOMEM;
	if (ring->geometry.bulk_shift == RINGQ_BULK_HUGE)
		madvise(ring->base, total, MADV_HUGEPAGE);
	/* Now, with an error to return, and not at the first message. */
	if (madvise(ring->base, total, MADV_POPULATE_WRITE) < 0)
		return errno == EINVAL ? -EOPNOTSUPP : -ENOMEM;
	ring->page_shift = ringq_region_is_huge(ring->base, total) ? RINGQ_BULK_HUGE :
								     RINGQ_UNIT_PAGES;
	return huge_only && ring->page_shift != RINGQ_BULK_HUGE ? -ENOMEM : 0;
}

static int ringq_private_create(struct ringq *ring, const struct ringq_plan *plan)
{
	bool huge_only = plan->flags & RINGQ_HUGE_ONLY;
	int r = 0;

	if (plan->buffer) {
		ring->base = plan->buffer;
		memset(ring->base, 0, ring->layout.total);
		ring->page_shift = 0;
	} else if (ringq_is_mirrored(&ring->geometry)) {
		/* Only a file can be mapped twice; nobody else gets it. */
		r = ringq_memfd_pages(ring, huge_only);
		if (r == 0)
			close(ring->fd);
		ring->fd = -1;
	} else {
		r = ringq_private_map(ring, huge_only);
	}
	if (r == 0)
		ringq_region_init(ring, plan, ring->base);
	return r;
}

static void ringq_private_free(struct ringq *ring)
{
	if (ring->mapped)
		munmap(ring->base, ring->mapped);
}

const struct ringq_backend ringq_private_backend = {
	.create = ringq_private_create,
	.attach = ringq_places_attach,
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
	.free = ringq_private_free,
};
