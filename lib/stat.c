// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who sits where and holds what, for people and for programs that watch rings: of every memory,
 * for a handle that need not be attached. What a port holds is worked out by ringq/holds.h; who
 * lives is told by the port pages and their locks (places.c), or by the module.
 */
#include "internal.h"

#include <time.h>

/* For ringq/ready.h. Offsets of the region, but that lanes may be mapped twice each. */
static __u64 ringq_word_at(const void *memory, __u64 offset)
{
	const struct ringq *ring = memory;
	const struct ringq_layout *l = &ring->layout;
	const unsigned char *at = ring->base + offset;

	if (offset >= l->data && ringq_is_mirrored(&ring->geometry))
		at += (offset - l->data) / l->lane_data * l->lane_data;
	return ringq_load_acquire((const __u64 *)at);
}

#include <ringq/holds.h>

/* How often a look begins anew because the place changes hands meanwhile. */
#define RINGQ_STAT_LOOKS	16

/* How long a burial waits for the lock of the places, and how long it pauses between tries. */
#define RINGQ_BURY_TIME		INT64_C(1000000000)
#define RINGQ_BURY_PAUSE	INT64_C(100000)

/* A place, as its page and its lock tell. */
struct ringq_seat {
	uint32_t state;
	uint32_t generation;
};

static struct ringq_seat ringq_seat_of(const struct ringq *ring, uint32_t role, uint32_t index)
{
	const struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index);
	struct ringq_seat seat = { .state = ringq_load_acquire(&page->state) };

	seat.generation = ringq_load_relaxed(&page->generation);
	if (seat.state == RINGQ_PORT_LIVE && !ringq_places_alive(ring, role, index))
		seat.state = RINGQ_PORT_DYING;
	return seat;
}

/* Who attached, if that is a process of our own pid namespace. */
static uint32_t ringq_seat_pid(const struct ringq *ring, const struct ringq_port_page *page)
{
	uint64_t ns = ringq_load_relaxed(&page->pid_ns);

	if (ring->memory == RINGQ_MEMFD && (!ns || ns != ringq_pid_namespace()))
		return 0;
	return ringq_load_relaxed(&page->pid);
}

static uint32_t ringq_seat_flags(const struct ringq *ring, uint32_t role, uint32_t index)
{
	uint32_t wake = ringq_load_acquire(&ringq_port_page(ring, ring->base, role, index)->wake);
	uint32_t flags = 0;

	if (wake == RINGQ_ASLEEP)
		flags |= RINGQ_IS_ASLEEP;
	if (wake == RINGQ_POLLED)
		flags |= RINGQ_IS_POLLED;
	if (role == RINGQ_CONSUMER && ringq_bit(ringq_attention_of(ring, ring->base)->kept, index))
		flags |= RINGQ_IS_KEPT;
	return flags;
}

static void ringq_stat_once(const struct ringq *ring, uint32_t role, uint32_t index,
			    const struct ringq_seat *seat, struct ringq_port_stat *stat)
{
	const struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index);
	const struct ringq_view view = ringq_view_at(&ring->geometry, &ring->layout, ring,
						     role, index);
	struct ringq_holds holds = ringq_holds_of(&view, seat->generation);
	bool holds_any = seat->state == RINGQ_PORT_LIVE || seat->state == RINGQ_PORT_DYING;

	*stat = (struct ringq_port_stat){
		.size = stat->size,
		.state = seat->state,
		.generation = seat->generation,
		.pid = ringq_seat_pid(ring, page),
		.flags = ringq_seat_flags(ring, role, index),
		.claim = holds_any ? holds.claim : RINGQ_IDLE,
		.lane = holds.lane,
		.attached_ns = ringq_load_relaxed(&page->attached_ns),
		.position = holds.position,
		.held = holds_any ? holds.held : 0,
		.held_at = holds_any ? holds.held_at : 0,
		.waiting = holds.waiting,
	};
	if (seat->state != RINGQ_PORT_DEAD)
		return;
	stat->tombs = ringq_load_relaxed(&page->left.tombs);
	stat->redelivered = ringq_load_relaxed(&page->left.redelivered);
	stat->dropped = ringq_load_relaxed(&page->left.dropped);
}

int ringq_places_stat(struct ringq *ring, uint32_t role, uint32_t index,
		      struct ringq_port_stat *stat)
{
	struct ringq_seat seat = ringq_seat_of(ring, role, index), again;
	unsigned int i;

	for (i = 0; i < RINGQ_STAT_LOOKS; i++) {
		ringq_stat_once(ring, role, index, &seat, stat);
		again = ringq_seat_of(ring, role, index);
		if (again.state == seat.state && again.generation == seat.generation)
			break;
		seat = again;
	}
	return 0;
}

RINGQ_PUBLIC int ringq_port_stat(struct ringq *ring, enum ringq_role role, uint32_t index,
				 struct ringq_port_stat *stat)
{
	const struct ringq_geometry *g = &ring->geometry;

	if ((uint32_t)role > RINGQ_CONSUMER || stat->size < sizeof(*stat) ||
	    index >= (role == RINGQ_PRODUCER ? g->producers : g->consumers))
		return -EINVAL;
	if (ringq_is_stale(ring))
		return -ESTALE;
	return ring->backend->stat(ring, role, index, stat);
}

RINGQ_PUBLIC int ringq_bury(struct ringq *ring)
{
	const struct timespec pause = { .tv_nsec = RINGQ_BURY_PAUSE };
	int64_t end = ringq_now() + RINGQ_BURY_TIME;
	int n;

	if (ringq_is_stale(ring))
		return -ESTALE;
	if (!ring->backend->bury)
		return 0;
	while ((n = ring->backend->bury(ring)) == -EAGAIN) {
		if (ringq_now() > end)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return n;
}
