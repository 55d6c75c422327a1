// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleeping and waking.
 *
 *     publisher (user space)                   sleeper (here)
 *   P1  store the stamp, or done (release)   S1  arm: the attention word that P2 reads
 *   P2  load the attention word              S2  barrier on the publisher's CPUs
 *       not zero: RINGQ_IOC_KICK             S3  load the stamp, or done (acquire)
 *                                            S4  nothing there: sleep while armed
 *
 * P1 and P2 have no fence between them, so the store of P1 may still be on its way when P2 finds
 * nobody armed. S2 makes up for it. Where the barrier comes before P1, or between P1 and P2, P2
 * comes after S1 and sees it. Where it comes after P2, it comes after P1 too, and S3 sees that. A
 * publisher that runs on no CPU at S2 has passed a full barrier as it was switched out, and
 * passes another one before it runs again.
 *
 * Armed is a state of the port, which only the kernel knows and only the kernel ends: at a kick,
 * which also wakes; at the end of RINGQ_IOC_WAIT; when the ring is closed or somebody goes. The
 * attention word follows from it. It is written under the ring's lock, and user space only reads
 * it. So there is no order of events in which the word is cleared and the sleeper is not woken,
 * not even if the publisher is killed between P2 and the kick: its death wakes.
 *
 * A side has one port, and a port one sleeper in RINGQ_IOC_WAIT. A kick can therefore not be spent
 * on the wrong sleeper, and one who gives up as the kick comes has nobody to pass it on to.
 */
#include <linux/hrtimer.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>

#include "ringq.h"

/* The attention word that the ports of a role read. Only the kernel can write the page. */
static u64 *ringq_attention_word(const struct ringq_ring *ring, u32 role)
{
	return role == RINGQ_PRODUCER ? &ring->attention->data : &ring->attention->space;
}

static void ringq_attention_update(struct ringq_ring *ring, u32 role)
{
	const struct ringq_place *other = &ring->places[ringq_other(role)];
	u64 word = other->ended;

	lockdep_assert_held(&ring->lock);
	if (other->port && other->port->armed)
		word |= 1;
	if (ring->closed)
		word |= RINGQ_CLOSED;
	if (ring->geometry.flags & RINGQ_FENCE)
		word |= RINGQ_FENCED;
	/* Pairs with ringq_look(), and with who reads in user space that the other side ended. */
	smp_store_release(ringq_attention_word(ring, role), word);
}

/* The words of a new ring. */
void ringq_attention_init(struct ringq_ring *ring)
{
	spin_lock(&ring->lock);
	ringq_attention_update(ring, RINGQ_PRODUCER);
	ringq_attention_update(ring, RINGQ_CONSUMER);
	spin_unlock(&ring->lock);
}

static void ringq_ipi(void *unused)
{
	smp_mb(); /* S2, between P1 and S3 or between S1 and P2, whichever is still to come */
}

/*
 * S2. Full barriers on the CPUs that run the process of a port of the other side, and on this one.
 *
 * smp_call_function_many() reads the mask after the barrier here, that is, after S1. A CPU that is
 * not in it either ran the process before: then leaving the mask ordered P1 before S3; or it comes
 * to run it later: then entering the mask orders S1 before P2. Both are locked instructions on
 * x86, which is the only architecture this is done on. Without @mm, the other side does not run or
 * makes its own fences (RINGQ_FENCE).
 */
static void ringq_barrier(struct mm_struct *mm)
{
	smp_mb(); /* between S1, and reading the mask or S3 */
	if (!mm)
		return;
	preempt_disable();
	smp_call_function_many(mm_cpumask(mm), ringq_ipi, NULL, true);
	preempt_enable();
}

/*
 * S1 and S2. Returns 0, or -ESTALE if the port is over. If the port is armed so already, then the
 * barrier was made and no kick has come since, and there is nothing to do.
 *
 * If the other side has no mapping, nobody is between P1 and P2 there. Who makes one later does it
 * under the ring's lock, and so after S1.
 */
static int ringq_arm(struct ringq_port *port, u32 how)
{
	struct ringq_ring *ring = port->ring;
	u32 role = ringq_other(port->role);
	struct mm_struct *mm = NULL;
	struct ringq_port *other;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER || port->armed & how) {
		spin_unlock(&ring->lock);
		return port->life == RINGQ_OVER ? -ESTALE : 0;
	}
	WRITE_ONCE(port->armed, port->armed | how);
	ringq_attention_update(ring, role);
	other = ring->places[role].port;
	if (other && other->life == RINGQ_LIVE && !(ring->geometry.flags & RINGQ_FENCE)) {
		mm = other->mm;
		mmgrab(mm);
	}
	spin_unlock(&ring->lock);

	ringq_barrier(mm);
	if (mm)
		mmdrop(mm);
	return 0;
}

/* Disarms a port and wakes all who sleep there, whatever for; they look for themselves. */
static void ringq_wake_side(struct ringq_ring *ring, u32 role)
{
	struct ringq_place *place = &ring->places[role];

	lockdep_assert_held(&ring->lock);
	if (place->port)
		WRITE_ONCE(place->port->armed, 0);
	ringq_attention_update(ring, ringq_other(role));
	wake_up_all(&place->sleepers);
}

/* To be called when the ring was closed or a port is over. */
void ringq_wake_all(struct ringq_ring *ring)
{
	ringq_wake_side(ring, RINGQ_PRODUCER);
	ringq_wake_side(ring, RINGQ_CONSUMER);
}

/*
 * Positions are the users' words and may be anything. Where they decide about an address, the
 * layout bounds it; else they only decide whether their owner, or its peer, sleeps.
 */
static const struct ringq_port_page *ringq_port_page(const struct ringq_ring *ring, u32 role)
{
	return ringq_region_address(ring, ring->layout.ports +
				    ringq_port_of_role(role) * ring->layout.port_stride);
}

static bool ringq_is_published(const struct ringq_port *port, u64 need)
{
	const struct ringq_port_page *own = ringq_port_page(port->ring, RINGQ_CONSUMER);
	const struct ringq_ring *ring = port->ring;
	u64 pos = max(READ_ONCE(own->done), READ_ONCE(own->hand)) + need - 1;
	const u64 *stamp = ringq_region_address(ring, ringq_look_at(&ring->geometry,
								    &ring->layout, pos));

	/* S3, pairs with P1 */
	return (s64)(smp_load_acquire(stamp) - RINGQ_STAMP(pos, RINGQ_FULL)) >= 0;
}

/* A consumer that claims to be ahead, or more than a lap behind, is for its peer to find out. */
static bool ringq_is_free(const struct ringq_port *port, u64 need)
{
	const struct ringq_ring *ring = port->ring;
	u64 capacity = ring->geometry.capacity;
	u64 pos = READ_ONCE(ringq_port_page(ring, RINGQ_PRODUCER)->done);
	u64 used;

	/* S3, pairs with P1 */
	used = pos - smp_load_acquire(&ringq_port_page(ring, RINGQ_CONSUMER)->done);
	return used > capacity || capacity - used >= need;
}

/* S3. What holds now. */
static u32 ringq_look(const struct ringq_port *port, u64 need)
{
	u32 events = 0;
	u64 word;

	/* Pairs with ringq_attention_update(): if the other side ended, its last word is seen. */
	word = smp_load_acquire(ringq_attention_word(port->ring, port->role));
	if (word & RINGQ_CLOSED)
		events |= RINGQ_EVENT_CLOSED;
	if (word & RINGQ_GONE)
		events |= RINGQ_EVENT_GONE;
	if (word & RINGQ_DEAD)
		events |= RINGQ_EVENT_DEAD;
	if (port->role == RINGQ_PRODUCER ? ringq_is_free(port, need) :
					   ringq_is_published(port, need))
		events |= RINGQ_EVENT_READY;
	return events;
}

static int ringq_sleep_begin(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;
	int err = 0;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER)
		err = -ESTALE;
	else if (port->asleep)
		err = -EBUSY;
	else
		port->asleep = true;
	spin_unlock(&ring->lock);
	return err;
}

static void ringq_sleep_end(struct ringq_port *port)
{
	struct ringq_ring *ring = port->ring;

	spin_lock(&ring->lock);
	port->asleep = false;
	if (port->armed & RINGQ_ARMED_WAIT) {
		WRITE_ONCE(port->armed, port->armed & ~RINGQ_ARMED_WAIT);
		ringq_attention_update(ring, ringq_other(port->role));
	}
	spin_unlock(&ring->lock);
}

/* S4. Returns 0 when disarmed, -ETIMEDOUT, or -ERESTARTSYS. */
static int ringq_sleep(struct ringq_port *port, ktime_t end)
{
	ktime_t left = end;
	int err;

	if (end != KTIME_MAX) {
		left = ktime_sub(end, ktime_get());
		if (left <= 0)
			return -ETIMEDOUT;
	}
	err = wait_event_interruptible_hrtimeout(ringq_place_of(port)->sleepers,
						 !(READ_ONCE(port->armed) & RINGQ_ARMED_WAIT),
						 left);
	return err == -ETIME ? -ETIMEDOUT : err;
}

/* Arms, looks and sleeps until one of the events is there; it outranks the clock and a signal. */
static int ringq_wait_for(struct ringq_port *port, u32 wanted, struct ringq_ioc_wait *arg)
{
	ktime_t end = KTIME_MAX;
	int err;

	if (arg->timeout_ns >= 0)
		end = ktime_add_safe(ktime_get(), ns_to_ktime(arg->timeout_ns));
	do {
		err = ringq_arm(port, RINGQ_ARMED_WAIT);
		if (err)
			return err;
		arg->events = ringq_look(port, arg->need);
		if (arg->events & wanted)
			return 0;
		err = ringq_sleep(port, end);
		arg->events = ringq_look(port, arg->need);
		if (arg->events & wanted)
			return 0;
	} while (!err);
	/* A call with a time-out is not restarted: it would wait for all of it again. */
	return err == -ERESTARTSYS && end != KTIME_MAX ? -EINTR : err;
}

int ringq_wait(struct ringq_port *port, struct ringq_ioc_wait *arg)
{
	u32 wanted = RINGQ_EVENT_READY | RINGQ_EVENT_GONE | RINGQ_EVENT_DEAD;
	int err;

	if (arg->flags & ~RINGQ_WAIT_DRAIN || arg->reserved)
		return -EINVAL;
	if (!arg->need || arg->need > port->ring->geometry.capacity)
		return -EINVAL;
	if (!(arg->flags & RINGQ_WAIT_DRAIN))
		wanted |= RINGQ_EVENT_CLOSED;

	err = ringq_sleep_begin(port);
	if (err)
		return err;
	arg->events = ringq_look(port, arg->need);
	if (!(arg->events & wanted))
		err = arg->timeout_ns ? ringq_wait_for(port, wanted, arg) : -ETIMEDOUT;
	ringq_sleep_end(port);
	return err;
}

int ringq_kick(struct ringq_port *port, struct ringq_ioc_kick *arg)
{
	__poll_t key = port->role == RINGQ_PRODUCER ? EPOLLIN | EPOLLRDNORM :
						      EPOLLOUT | EPOLLWRNORM;
	struct ringq_ring *ring = port->ring;
	struct ringq_place *place = &ring->places[ringq_other(port->role)];
	u32 left = RINGQ_ARMED_WAIT;

	if (arg->flags)
		return -EINVAL;
	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER) {
		spin_unlock(&ring->lock);
		return -ESTALE;
	}
	arg->woken = 0;
	if (place->port) {
		if (arg->count) {
			arg->woken = !!(place->port->armed & RINGQ_ARMED_WAIT);
			left = 0;
		}
		WRITE_ONCE(place->port->armed, place->port->armed & left);
		ringq_attention_update(ring, port->role);
		wake_up_poll(&place->sleepers, key);
	}
	spin_unlock(&ring->lock);
	return 0;
}

/*
 * What a call on the port would not have to wait for. On a closed ring nothing waits: a receive
 * tells end-of-file, a send that nothing is to be sent any more.
 */
static __poll_t ringq_poll_mask(const struct ringq_port *port)
{
	u32 events = ringq_look(port, 1);
	u32 ready = RINGQ_EVENT_READY | RINGQ_EVENT_CLOSED;
	__poll_t mask = 0;

	if (READ_ONCE(port->life) == RINGQ_OVER)
		return EPOLLERR;
	if (port->role == RINGQ_CONSUMER)
		ready |= RINGQ_EVENT_GONE | RINGQ_EVENT_DEAD;
	if (events & ready)
		mask |= port->role == RINGQ_CONSUMER ? EPOLLIN | EPOLLRDNORM :
						       EPOLLOUT | EPOLLWRNORM;
	if (events & RINGQ_EVENT_CLOSED)
		mask |= EPOLLRDHUP;
	if (events & (RINGQ_EVENT_GONE | RINGQ_EVENT_DEAD))
		mask |= EPOLLHUP;
	if (events & RINGQ_EVENT_DEAD)
		mask |= EPOLLERR;
	return mask;
}

/*
 * Arms also if the caller is on the queue already, as level-triggered epoll is when it asks again
 * after an event: this is how the next kick comes about. But looks before, for epoll asks for
 * every ready file at every wait.
 */
__poll_t ringq_poll(struct ringq_port *port, struct file *filp, struct poll_table_struct *table)
{
	__poll_t mask;

	poll_wait(filp, &ringq_place_of(port)->sleepers, table);
	mask = ringq_poll_mask(port);
	if (!mask && !ringq_arm(port, RINGQ_ARMED_POLL))
		mask = ringq_poll_mask(port);
	return mask;
}
