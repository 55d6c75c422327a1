// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attach lock: one a ring, held by a port. Ports of a side that come and go agree under it how
 * the others claim positions. The module knows nothing of that. It gives the lock to one port at a
 * time, takes it back from who leaves or dies, and never waits for it itself: whoever holds the
 * lock for ever keeps others from coming, and from leaving politely, but not from dying.
 *
 * Who waits does so in a queue, and the first is woken when the lock is free. It may find that
 * somebody was faster; then it waits on. One whose own port is over must not wait on: so all are
 * woken when a port ends.
 */
#include "ringq.h"

int ringq_trylock(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;
	int err = 0;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER)
		err = -ESTALE;
	else if (ring->holder == port)
		err = -EDEADLK;
	else if (ring->holder)
		err = -EAGAIN;
	else
		ring->holder = port;
	spin_unlock(&ring->lock);
	return err;
}

int ringq_lock(struct ringq_port *port)
{
	int interrupted, err;

	/* A signal that comes as the lock does finds the lock taken. */
	interrupted = wait_event_interruptible_exclusive(port->ring->lockers,
							 (err = ringq_trylock(port)) != -EAGAIN);
	return interrupted ? interrupted : err;
}

int ringq_unlock(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;
	int err = 0;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER) {
		err = -ESTALE;
	} else if (ring->holder != port) {
		err = -ENOLCK;
	} else {
		ring->holder = NULL;
		wake_up(&ring->lockers);
	}
	spin_unlock(&ring->lock);
	return err;
}

/* The port is over. */
void ringq_lock_end(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;

	lockdep_assert_held(&ring->lock);
	if (ring->holder == port)
		ring->holder = NULL;
	wake_up_all(&ring->lockers);
}
