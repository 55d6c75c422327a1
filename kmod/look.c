// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is there for a port: S3 of wait.c. The question is that of ringq/ready.h, which the library
 * asks too; here it is asked of pages that users write while it is asked. Each word is read once
 * and may be anything. The layout, which is the kernel's own, bounds every address and every
 * number of rounds; an answer only decides whether somebody sleeps.
 *
 * Never asked under a lock: a look at many messages takes long.
 */
#include <linux/nospec.h>
#include <linux/sched.h>

#include "ringq.h"

/* A word of a ring's memory, not of the gap; or NULL. */
u64 *ringq_word(const struct ringq_ring *ring, u64 offset)
{
	bool gap = offset >> PAGE_SHIFT >= ring->nr_control && offset < ring->layout.bulk;

	/* No geometry leads to another offset; this is here in case that is a mistake. */
	if (WARN_ON_ONCE(gap || offset >= ring->layout.total || offset % sizeof(u64)))
		return NULL;
	return ringq_region_address(ring, array_index_nospec(offset, ring->layout.total));
}

/* For ringq/ready.h. */
u64 ringq_word_at(const void *memory, u64 offset)
{
	const u64 *word = ringq_word(memory, offset);

	cond_resched();
	/* S3, pairs with P1 */
	return word ? smp_load_acquire(word) : 0;
}

#include <ringq/ready.h>

/* For ringq/repair.h and ringq/handover.h. */
int ringq_word_cas(const void *memory, u64 offset, u64 from, u64 to)
{
	u64 *word = ringq_word(memory, offset);

	return word && cmpxchg(word, from, to) == from;
}

/* What holds now, as RINGQ_EVENT_ bits. To drain is to wait for what the port itself has sent. */
u32 ringq_look(const struct ringq_port *port, u64 need, bool drain)
{
	const struct ringq_ring *ring = port->ring;
	struct ringq_view view = ringq_view_at(&ring->geometry, &ring->layout, ring,
					       port->role, port->index);
	u32 events = 0;
	u64 word;

	view.drain = drain;
	/* Pairs with ringq_attention_update(): if the other side ended, its last word is seen. */
	word = smp_load_acquire(ringq_attention_word(ring, port->role));
	if (word & RINGQ_CLOSED)
		events |= RINGQ_EVENT_CLOSED;
	if (word & RINGQ_GONE)
		events |= RINGQ_EVENT_GONE;
	if (word & RINGQ_DEAD)
		events |= RINGQ_EVENT_DEAD;
	if (ringq_is_ready(&view, need))
		events |= RINGQ_EVENT_READY;
	return events;
}
