// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Repair where there is no module: ringq/repair.h and ringq/handover.h on memory that this process
 * has mapped.
 */
#include "internal.h"

#include <sched.h>

/* For ringq/ready.h. What is looked at here lies before the data, or in a ring of elements. */
static __u64 ringq_word_at(const void *memory, __u64 offset)
{
	const struct ringq *ring = memory;

	return ringq_load_acquire((const __u64 *)(ring->base + offset));
}

static int ringq_word_cas(const void *memory, __u64 offset, __u64 from, __u64 to)
{
	const struct ringq *ring = memory;

	return __atomic_compare_exchange_n((__u64 *)(ring->base + offset), &from, to, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* One that counts as live, and whose lock is free. */
static int ringq_port_is_dead(const void *memory, __u32 role, __u32 port)
{
	return !ringq_places_alive(memory, role, port);
}

#include <ringq/repair.h>

/* How often a live port is given the CPU to go on, before somebody has to come again. */
#define RINGQ_REPAIR_YIELDS	100

int ringq_repair(struct ringq *ring, uint32_t role, uint32_t index)
{
	const struct ringq_view view = ringq_view_at(&ring->geometry, &ring->layout, ring,
						     role, index);
	struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index);
	int r = 0, i;

	if (!ringq_claims(ring->geometry.discipline)) {
		if (role == RINGQ_CONSUMER && ringq_hands_over(&ring->geometry))
			ringq_hand_over(&view, page->generation, &page->left);
		return 0;
	}
	for (i = 0; i < RINGQ_REPAIR_YIELDS; i++) {
		r = ringq_repair_port(&view, page->generation, &page->left);
		if (r != -EAGAIN)
			break;
		sched_yield();
	}
	return r;
}
