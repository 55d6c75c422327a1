// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the dead left in a ring whose ports claim positions (MPSC, SPMC, MPMC), put in order. How
 * is said in ringq/repair.h, which the library uses too where there is no module; here it is about
 * pages that users write meanwhile, each word of which may be anything.
 *
 * When. A port dies under mmap_lock, where nothing can wait. So its place is only marked as dead;
 * it stays taken, and is seen as live, and a work item does the rest. A ring has one item, which
 * goes through all places in a round, so no two repairs of a ring meet. The place has what it needs
 * to know of the dead one, its number, generation and process, and counts what is done; the port
 * itself may be freed by then.
 *
 * If a live port is in the middle of a claim, or of a message, there is another round after a
 * while, which is a millisecond and doubles up to a tenth of a second: a port that takes longer has
 * much to copy, was stopped, or means no good. There is no end to that but the port's; but when any
 * port leaves or dies, or the file of one goes, the next round follows at once, and among the dead
 * nobody waits for anybody. So a round that begins when nobody is left to store anything is the
 * last one, it was queued by who went last, and is never the timer's: the module waits for all
 * rounds that are queued, as it goes, and needs nothing else.
 *
 * An item that is to run holds a reference to the ring, which may be the last one when it is done.
 *
 * Who attaches lets a round pass first. So a place is free to everybody who knows of the death, but
 * for the case above.
 *
 * A round takes no lock but to change places. It looks at no more positions than a claim can have,
 * for each place that is dead, and for each of these at one word of each port.
 */
#include <linux/jiffies.h>

#include "ringq.h"

#define RINGQ_PATIENCE_MAX	(HZ / 10)

static struct workqueue_struct *ringq_repairs;

static int ringq_port_is_dead(const void *memory, u32 role, u32 port)
{
	const struct ringq_ring *ring = memory;

	/* Pairs with ringq_place_leave(). */
	return smp_load_acquire(&ring->rows[role].places[port].dead);
}

#include <ringq/repair.h>

/* One place; returns 0 or -EAGAIN. Dead it stays until this says that it is free. */
static int ringq_repair_place(struct ringq_ring *ring, u32 role, u32 index)
{
	const struct ringq_view view = ringq_view_at(&ring->geometry, &ring->layout, ring,
						     role, index);
	struct ringq_place *place = &ring->rows[role].places[index];
	int err = ringq_repair_port(&view, place->generation, &place->left);

	if (err)
		return err;
	spin_lock(&ring->lock);
	ringq_place_bury(ring, role, index);
	spin_unlock(&ring->lock);
	return 0;
}

/* Returns whether some place has to wait for another round. */
static bool ringq_repair_row(struct ringq_ring *ring, u32 role)
{
	bool again = false;
	u32 i;

	for (i = 0; i < ring->rows[role].nr; i++)
		if (ringq_port_is_dead(ring, role, i) && ringq_repair_place(ring, role, i))
			again = true;
	return again;
}

/* From now on a round is to come; who was queued already has a reference. */
static void ringq_repair_queue(struct ringq_ring *ring, unsigned long delay)
{
	lockdep_assert_held(&ring->lock);
	kref_get(&ring->kref);
	/* The caller has another one. */
	if (mod_delayed_work(ringq_repairs, &ring->repair, delay))
		ringq_ring_put(ring);
}

static void ringq_repair_round(struct work_struct *work)
{
	struct ringq_ring *ring = container_of(to_delayed_work(work), struct ringq_ring, repair);
	bool again = ringq_repair_row(ring, RINGQ_PRODUCER);

	again |= ringq_repair_row(ring, RINGQ_CONSUMER);
	spin_lock(&ring->lock);
	/* Also after a part of it: somebody may sleep beside that. */
	ringq_wake_all(ring);
	if (again && !delayed_work_pending(&ring->repair)) {
		ringq_repair_queue(ring, ring->patience);
		ring->patience = min(2 * ring->patience, (unsigned long)RINGQ_PATIENCE_MAX);
	}
	spin_unlock(&ring->lock);
	ringq_ring_put(ring);
}

/* Somebody has died; or somebody went, or can store nothing any more, while a place is dead. */
void ringq_repair_soon(struct ringq_ring *ring)
{
	lockdep_assert_held(&ring->lock);
	ring->patience = msecs_to_jiffies(1);
	ringq_repair_queue(ring, 0);
}

/* Makes the next round now, if there is one to come, and waits until it is over. */
void ringq_repair_flush(struct ringq_ring *ring)
{
	flush_delayed_work(&ring->repair);
}

void ringq_repair_prepare(struct ringq_ring *ring)
{
	INIT_DELAYED_WORK(&ring->repair, ringq_repair_round);
}

int ringq_repair_init(void)
{
	/* Of no CPU: one that repairs is not to be in anybody's way. */
	ringq_repairs = alloc_workqueue("ringq", WQ_UNBOUND, 0);
	return ringq_repairs ? 0 : -ENOMEM;
}

/* No file is left, so no port; see above. */
void ringq_repair_exit(void)
{
	destroy_workqueue(ringq_repairs);
}
