// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who sits where, and what he holds, for whoever has a handle. What is held is worked out from
 * ringq/holds.h, which the library uses too where there is no module; here it is about pages that
 * users write meanwhile, each word of which may be anything. Who sits there, and whether he lives,
 * is the kernel's own knowledge.
 *
 * No lock is held while shared memory is read, for that takes long. The place may be another port's
 * by then: its state is noted before and looked at afterwards, and it is all done again if it has
 * changed; but not for ever, for a user could go on changing it.
 */
#include <linux/ktime.h>
#include <linux/nospec.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/time_namespace.h>

#include "ringq.h"

#include <ringq/holds.h>

/* How often it is done again. */
#define RINGQ_LOOKS_MAX	16

/* A place, as the kernel knows it. */
struct ringq_seat {
	u32 state;
	u32 generation;
	u32 pid;
	u32 flags;
	u64 attached_ns;
	struct ringq_tally left;
};

static u32 ringq_seat_state(const struct ringq_place *place)
{
	if (place->port)
		return RINGQ_PORT_LIVE;
	return place->dead ? RINGQ_PORT_DYING : place->was;
}

static u32 ringq_seat_flags(const struct ringq_ring *ring, u32 role, u32 index)
{
	const struct ringq_port *port = ring->rows[role].places[index].port;
	u32 flags = 0;

	if (port && port->asleep)
		flags |= RINGQ_IS_ASLEEP;
	if (port && !list_empty(&port->armed[RINGQ_BY_POLL]))
		flags |= RINGQ_IS_POLLED;
	if (role == RINGQ_CONSUMER && ring->attention->kept[index / 64] & BIT_ULL(index % 64))
		flags |= RINGQ_IS_KEPT;
	return flags;
}

static void ringq_seat_get(struct ringq_ring *ring, u32 role, u32 index, struct ringq_seat *seat)
{
	const struct ringq_place *place = &ring->rows[role].places[index];

	spin_lock(&ring->lock);
	seat->state = ringq_seat_state(place);
	seat->generation = place->generation;
	seat->pid = pid_vnr(place->tgid);
	seat->flags = ringq_seat_flags(ring, role, index);
	seat->attached_ns = place->attached_ns;
	/* Before, it is repair's, which needs no lock for that. */
	if (seat->state == RINGQ_PORT_DEAD)
		seat->left = place->left;
	else
		seat->left = (struct ringq_tally){ };
	spin_unlock(&ring->lock);
}

/* As the caller's clock has it. */
u64 ringq_time_here(u64 ns)
{
	struct timespec64 ts = ns_to_timespec64(ns);

	timens_add_monotonic(&ts);
	return timespec64_to_ns(&ts);
}

static void ringq_stat_tell(struct ringq_ioc_port *arg, const struct ringq_seat *seat,
			    const struct ringq_holds *holds)
{
	bool any = seat->state == RINGQ_PORT_LIVE || seat->state == RINGQ_PORT_DYING;

	arg->flags = seat->flags;
	arg->state = seat->state;
	arg->generation = seat->generation;
	arg->pid = seat->pid;
	arg->claim = any ? holds->claim : RINGQ_IDLE;
	arg->lane = holds->lane;
	arg->reserved = 0;
	arg->attached_ns = seat->generation ? ringq_time_here(seat->attached_ns) : 0;
	arg->position = holds->position;
	arg->held = any ? holds->held : 0;
	arg->held_at = any ? holds->held_at : 0;
	arg->waiting = holds->waiting;
	arg->tombs = seat->left.tombs;
	arg->redelivered = seat->left.redelivered;
	arg->dropped = seat->left.dropped;
}

int ringq_stat(struct ringq_ring *ring, struct ringq_ioc_port *arg)
{
	struct ringq_seat seat, again;
	struct ringq_holds holds;
	struct ringq_view view;
	u32 role, port;
	int i;

	if (arg->flags || arg->role >= RINGQ_SIDES || arg->port >= ring->rows[arg->role].nr)
		return -EINVAL;
	role = array_index_nospec(arg->role, RINGQ_SIDES);
	port = array_index_nospec(arg->port, ring->rows[role].nr);
	view = ringq_view_at(&ring->geometry, &ring->layout, ring, role, port);
	ringq_seat_get(ring, role, port, &again);
	for (i = 0; i < RINGQ_LOOKS_MAX; i++) {
		seat = again;
		holds = ringq_holds_of(&view, seat.generation);
		ringq_seat_get(ring, role, port, &again);
		if (again.state == seat.state && again.generation == seat.generation)
			break;
	}
	ringq_stat_tell(arg, &again, &holds);
	return 0;
}
