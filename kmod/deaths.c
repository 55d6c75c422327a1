// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has died, and what became of what they had. A ring keeps its last RINGQ_DEATHS deaths, here
 * and not in its pages, and each port how many of them it has been told of, by read(2).
 *
 * A death is noted when what the dead one left has been put in order: where ports claim positions
 * that is repair's work (repair.c), and later; elsewhere it is done here, at once, under the ring's
 * lock. It is noted before anybody can see that the place is free, and everybody is woken after it.
 *
 * The dead are known by their struct pid, which keeps its numbers in all namespaces, and is held
 * until the ring forgets the death or is freed. Each reader gets the number that he knows, and the
 * time as his clock has it.
 *
 * Who reads copies without a lock, and says what he has read afterwards. So a buffer that is none
 * loses nothing; and if two threads of a process read at the same time, one of them reads again.
 */
#include <linux/kernel.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "ringq.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* For ringq/handover.h, under the ring's lock. It looks at few words. */
static u64 ringq_word_now(const void *memory, u64 offset)
{
	const u64 *word = ringq_word(memory, offset);

	/* Pairs with who releases in user space: the dead, and those who still run. */
	return word ? smp_load_acquire(word) : 0;
}

#define ringq_word_at ringq_word_now
#include <ringq/handover.h>

void ringq_deaths_init(struct ringq_ring *ring)
{
	init_waitqueue_head(&ring->mourners);
}

void ringq_deaths_free(struct ringq_ring *ring)
{
	int i;

	for (i = 0; i < RINGQ_DEATHS; i++)
		put_pid(ring->graves[i].tgid);
}

/* A port has died: nothing of what it left has been put in order yet. */
void ringq_death_begin(struct ringq_port *port)
{
	struct ringq_place *place = &ringq_row_of(port)->places[port->index];

	lockdep_assert_held(&port->ring->lock);
	place->left = (struct ringq_tally){ };
}

/* What it had in hand, where its ring's ports do not claim. */
void ringq_death_hand_over(struct ringq_port *port)
{
	struct ringq_place *place = &ringq_row_of(port)->places[port->index];
	const struct ringq_ring *ring = port->ring;
	const struct ringq_view view = ringq_view_at(&ring->geometry, &ring->layout, ring,
						     port->role, port->index);

	lockdep_assert_held(&ring->lock);
	if (port->role == RINGQ_CONSUMER && ringq_hands_over(&ring->geometry))
		ringq_hand_over(&view, place->generation, &place->left);
}

static struct ringq_grave *ringq_grave(struct ringq_ring *ring, u64 serial)
{
	return &ring->graves[serial % RINGQ_DEATHS];
}

/* All has been put in order. */
void ringq_death_note(struct ringq_ring *ring, u32 role, u32 index)
{
	struct ringq_place *place = &ring->rows[role].places[index];
	u64 serial = ring->nr_deaths + 1;
	struct ringq_grave *grave = ringq_grave(ring, serial);

	lockdep_assert_held(&ring->lock);
	put_pid(grave->tgid);
	grave->tgid = get_pid(place->tgid);
	grave->death = (struct ringq_death){
		.serial = serial,
		.time_ns = ktime_get_ns(),
		.role = role,
		.port = index,
		.generation = place->generation,
		.tombs = place->left.tombs,
		.redelivered = place->left.redelivered,
		.dropped = place->left.dropped,
	};
	WRITE_ONCE(ring->nr_deaths, serial);
	trace_ringq_death(ring, &grave->death, pid_nr(grave->tgid));
	wake_up_all(&ring->mourners);
}

/* Is there one that the port has not been told of? */
bool ringq_deaths_unread(const struct ringq_port *port)
{
	return READ_ONCE(port->told) != READ_ONCE(port->ring->nr_deaths);
}

/* The first of them that is still known, and how many the port had been told of. */
static int ringq_death_next(struct ringq_port *port, struct ringq_grave *next, u64 *told)
{
	struct ringq_ring *ring = port->ring;
	int err = 0;
	u64 serial;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER) {
		err = -ESTALE;
	} else if (!ringq_deaths_unread(port)) {
		err = -EAGAIN;
	} else {
		*told = port->told;
		serial = *told + 1;
		if (ring->nr_deaths - *told > RINGQ_DEATHS)
			serial = ring->nr_deaths - RINGQ_DEATHS + 1;
		*next = *ringq_grave(ring, serial);
		get_pid(next->tgid);
	}
	spin_unlock(&ring->lock);
	return err;
}

/* It has been read; false if somebody else has told the port meanwhile. */
static bool ringq_death_told(struct ringq_port *port, u64 told, u64 serial)
{
	struct ringq_ring *ring = port->ring;
	bool first;

	spin_lock(&ring->lock);
	first = port->told == told;
	if (first)
		WRITE_ONCE(port->told, serial);
	spin_unlock(&ring->lock);
	return first;
}

static int ringq_death_read(struct ringq_port *port, void __user *to)
{
	struct ringq_grave next;
	u64 told;
	int err;

	do {
		err = ringq_death_next(port, &next, &told);
		if (err)
			return err;
		next.death.pid = pid_vnr(next.tgid);
		next.death.time_ns = ringq_time_here(next.death.time_ns);
		put_pid(next.tgid);
		if (copy_to_user(to, &next.death, sizeof(next.death)))
			return -EFAULT;
	} while (!ringq_death_told(port, told, next.death.serial));
	return 0;
}

/* Until there is one to read, or the port is over. */
static int ringq_death_wait(struct ringq_port *port)
{
	return wait_event_interruptible(port->ring->mourners,
					ringq_deaths_unread(port) ||
					READ_ONCE(port->life) == RINGQ_OVER);
}

/* read(2); sleeps for the first, if it is to wait. */
ssize_t ringq_deaths_read(struct ringq_port *port, char __user *to, size_t size, bool wait)
{
	const size_t each = sizeof(struct ringq_death);
	size_t done = 0;
	int err = 0;

	if (size < each)
		return -EINVAL;
	while (!err && size - done >= each) {
		err = ringq_death_read(port, to + done);
		if (!err)
			done += each;
		else if (err == -EAGAIN && wait && !done)
			err = ringq_death_wait(port);
	}
	return done ? done : err;
}
