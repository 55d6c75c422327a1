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
 * Armed is a state of a port, which only the kernel knows and only the kernel ends: at a kick,
 * which also wakes; at the end of RINGQ_IOC_WAIT; when the ring is closed or somebody goes. The
 * attention word follows from it: it is not zero while any port of the other side is armed. It is
 * written under the ring's lock, and user space only reads it. So there is no order of events in
 * which the word is cleared and a sleeper is not woken, not even if the publisher is killed between
 * P2 and the kick: its death wakes.
 *
 * A kick wakes as many sleepers of RINGQ_IOC_WAIT as it is told, in the order in which they armed,
 * and all pollers: one that is armed need not be asleep, and a kick that is spent on it alone may
 * leave idle who is. Eventfds (event.c) and commands of io_uring (uring.c) are pollers in this.
 *
 * What a kick brings may be of no use to the sleeper whom it wakes: he needs more, it lies in the
 * lane of another, somebody who was awake has it already, or his time is up. Then he hands the kick
 * on to the next of those who were armed when it came, and only then arms again, behind them. So a
 * kick is never lost on one whom it does not help, and it comes to an end.
 *
 * The other half of that is user space's: who was woken, took something, and leaves more behind
 * kicks one of its own side (RINGQ_KICK_OWN). S2 does not reach the CPUs of the own side, so there
 * P1 and P2 need a fence between them.
 *
 * While somebody is armed already, and S2 was made for him, who arms as well needs no barrier: P2
 * has seen a word that is not zero since, or P1 came before that barrier. The publisher comes to
 * kick then, and the ring's lock orders that and S1.
 */
#include <linux/hrtimer.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "ringq.h"

/* The attention word that the ports of a role read. Only the kernel can write the page. */
u64 *ringq_attention_word(const struct ringq_ring *ring, u32 role)
{
	return role == RINGQ_PRODUCER ? &ring->attention->data : &ring->attention->space;
}

static bool ringq_anybody_armed(const struct ringq_row *row)
{
	return !list_empty(&row->armed[RINGQ_BY_WAIT]) || !list_empty(&row->armed[RINGQ_BY_POLL]);
}

/* The word of a role, after its other side has changed. */
static void ringq_attention_update(struct ringq_ring *ring, u32 role)
{
	struct ringq_row *other = &ring->rows[ringq_other(role)];
	u64 word = other->ended;

	lockdep_assert_held(&ring->lock);
	if (ringq_anybody_armed(other)) {
		word |= 1;
	} else {
		other->lulls++;
		other->fenced = false;
	}
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

/* Wakes one who is armed by RINGQ_IOC_WAIT; of a kick that came when the row had so many arms. */
static void ringq_wake(struct ringq_port *port, u64 arms)
{
	port->kicked = arms;
	list_del_init(&port->armed[RINGQ_BY_WAIT]);
	wake_up(&port->sleeper);
}

/* Up to so many who are armed by RINGQ_IOC_WAIT; returns how many. */
static u32 ringq_wake_some(struct ringq_row *row, u32 count)
{
	struct ringq_port *port, *next;
	u32 woken = 0;

	list_for_each_entry_safe(port, next, &row->armed[RINGQ_BY_WAIT], armed[RINGQ_BY_WAIT]) {
		if (woken == count)
			break;
		ringq_wake(port, row->arms);
		woken++;
	}
	return woken;
}

/* A port that polls is disarmed, if it is armed; who listens to it is to look. */
static void ringq_wake_poller(struct ringq_port *port)
{
	list_del_init(&port->armed[RINGQ_BY_POLL]);
	ringq_tell(port);
}

/*
 * Whoever polls a port of the row, with what may be there; 0: anything. All of them, also those
 * that epoll calls exclusive, for they may be at different ports.
 */
static void ringq_wake_pollers(struct ringq_row *row, __poll_t key)
{
	struct ringq_port *port, *next;

	list_for_each_entry_safe(port, next, &row->armed[RINGQ_BY_POLL], armed[RINGQ_BY_POLL])
		ringq_wake_poller(port);
	__wake_up(&row->pollers, TASK_NORMAL, 0, poll_to_key(key));
}

/* All of a row, armed or not. */
static void ringq_wake_row(struct ringq_row *row)
{
	u32 i;

	ringq_wake_some(row, U32_MAX);
	for (i = 0; i < row->nr; i++)
		if (row->places[i].port)
			ringq_wake_poller(row->places[i].port);
	ringq_wake_pollers(row, 0);
}

/* To be called when the ring was closed, a port is over or repaired: all look for themselves. */
void ringq_wake_all(struct ringq_ring *ring)
{
	u32 role;

	lockdep_assert_held(&ring->lock);
	for (role = 0; role < RINGQ_SIDES; role++) {
		ringq_wake_row(&ring->rows[role]);
		ringq_attention_update(ring, ringq_other(role));
	}
}

/* The kick that woke the port was of no use to it. */
static void ringq_hand_on(struct ringq_port *port)
{
	struct ringq_row *row = ringq_row_of(port);
	struct ringq_port *next;

	lockdep_assert_held(&port->ring->lock);
	next = list_first_entry_or_null(&row->armed[RINGQ_BY_WAIT], struct ringq_port,
					armed[RINGQ_BY_WAIT]);
	if (next && next->arm <= port->kicked) {
		ringq_wake(next, port->kicked);
		ringq_attention_update(port->ring, ringq_other(port->role));
	}
	port->kicked = 0;
}

/* S2a: S2 was made; if there was no lull since the row had so many, the next ones need none. */
static void ringq_fenced(struct ringq_ring *ring, struct ringq_row *row, u64 lulls)
{
	spin_lock(&ring->lock);
	if (row->lulls == lulls)
		row->fenced = true;
	spin_unlock(&ring->lock);
}

/*
 * S1 and S2. Returns 0, or -ESTALE if the port is over. If the port is armed so already, then the
 * barrier was made and no kick has come since, and there is nothing to do.
 */
int ringq_arm(struct ringq_port *port, enum ringq_arm how)
{
	struct ringq_row *row = ringq_row_of(port);
	struct ringq_ring *ring = port->ring;
	u32 other = ringq_other(port->role);
	bool fenced;
	u64 lulls;

	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER || !list_empty(&port->armed[how])) {
		spin_unlock(&ring->lock);
		return port->life == RINGQ_OVER ? -ESTALE : 0;
	}
	if (how == RINGQ_BY_WAIT) {
		ringq_hand_on(port);						/* H1 */
		port->arm = ++row->arms;
	}
	list_add_tail(&port->armed[how], &row->armed[how]);			/* S1 */
	ringq_attention_update(ring, other);
	fenced = row->fenced;
	lulls = row->lulls;
	spin_unlock(&ring->lock);

	if (!fenced) {
		ringq_barrier(ring, other);					/* S2 */
		ringq_fenced(ring, row, lulls);					/* S2a */
	}
	return 0;
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

/* S5. In vain: nothing came of it. */
static void ringq_sleep_end(struct ringq_port *port, bool in_vain)
{
	struct ringq_ring *ring = port->ring;

	spin_lock(&ring->lock);
	port->asleep = false;
	if (!list_empty(&port->armed[RINGQ_BY_WAIT])) {
		list_del_init(&port->armed[RINGQ_BY_WAIT]);
		ringq_attention_update(ring, ringq_other(port->role));
	}
	if (in_vain)
		ringq_hand_on(port);						/* H1 */
	port->kicked = 0;
	spin_unlock(&ring->lock);
}

/* S4. Returns 0 when disarmed, -ETIMEDOUT, or -ERESTARTSYS. */
static int ringq_sleep(struct ringq_port *port, ktime_t end)
{
	struct list_head *armed = &port->armed[RINGQ_BY_WAIT];
	ktime_t left = end;
	int err;

	if (end != KTIME_MAX) {
		left = ktime_sub(end, ktime_get());
		if (left <= 0)
			return -ETIMEDOUT;
	}
	err = wait_event_interruptible_hrtimeout(port->sleeper, list_empty_careful(armed), left);
	return err == -ETIME ? -ETIMEDOUT : err;
}

/* Arms, looks and sleeps until one of the events is there; it outranks the clock and a signal. */
static int ringq_wait_for(struct ringq_port *port, u32 wanted, struct ringq_ioc_wait *arg)
{
	bool drain = arg->flags & RINGQ_WAIT_DRAIN;
	ktime_t end = KTIME_MAX;
	int err;

	if (arg->timeout_ns >= 0)
		end = ktime_add_safe(ktime_get(), ns_to_ktime(arg->timeout_ns));
	do {
		err = ringq_arm(port, RINGQ_BY_WAIT);
		if (err)
			return err;
		arg->events = ringq_look(port, arg->need, drain);		/* S3 */
		if (arg->events & wanted)
			return 0;
		err = ringq_sleep(port, end);
		arg->events = ringq_look(port, arg->need, drain);
		if (arg->events & wanted)
			return 0;
	} while (!err);
	/* A call with a time-out is not restarted: it would wait for all of it again. */
	return err == -ERESTARTSYS && end != KTIME_MAX ? -EINTR : err;
}

/* What a wait with these RINGQ_WAIT_ flags ends at. */
u32 ringq_wanted(u32 flags)
{
	u32 wanted = RINGQ_EVENT_READY | RINGQ_EVENT_GONE | RINGQ_EVENT_DEAD;

	return flags & RINGQ_WAIT_DRAIN ? wanted : wanted | RINGQ_EVENT_CLOSED;
}

/* Whether a port can wait for that. */
int ringq_wait_check(const struct ringq_port *port, u64 need, u32 flags)
{
	if (flags & ~RINGQ_WAIT_DRAIN)
		return -EINVAL;
	return need && need <= port->ring->geometry.capacity ? 0 : -EINVAL;
}

int ringq_wait(struct ringq_port *port, struct ringq_ioc_wait *arg)
{
	bool drain = arg->flags & RINGQ_WAIT_DRAIN;
	u32 wanted = ringq_wanted(arg->flags);
	int err;

	err = arg->reserved ? -EINVAL : ringq_wait_check(port, arg->need, arg->flags);
	if (err)
		return err;
	err = ringq_sleep_begin(port);
	if (err)
		return err;
	arg->events = ringq_look(port, arg->need, drain);
	if (!(arg->events & wanted))
		err = arg->timeout_ns ? ringq_wait_for(port, wanted, arg) : -ETIMEDOUT;
	ringq_sleep_end(port, err);
	return err;
}

int ringq_kick(struct ringq_port *port, struct ringq_ioc_kick *arg)
{
	u32 role = arg->flags & RINGQ_KICK_OWN ? port->role : ringq_other(port->role);
	__poll_t key = role == RINGQ_PRODUCER ? EPOLLOUT | EPOLLWRNORM : EPOLLIN | EPOLLRDNORM;
	struct ringq_ring *ring = port->ring;
	struct ringq_row *row = &ring->rows[role];
	int err = 0;

	if (arg->flags & ~RINGQ_KICK_OWN)
		return -EINVAL;
	spin_lock(&ring->lock);
	if (port->life == RINGQ_OVER) {
		err = -ESTALE;
	} else {
		arg->woken = ringq_wake_some(row, arg->count);			/* K1 */
		ringq_wake_pollers(row, key);					/* K2 */
		ringq_attention_update(ring, ringq_other(role));		/* K3 */
	}
	spin_unlock(&ring->lock);
	return err;
}

/*
 * What a call on the port would not have to wait for. On a closed ring nothing waits: a receive
 * tells end-of-file, a send that nothing is to be sent any more.
 */
static __poll_t ringq_poll_mask(const struct ringq_port *port)
{
	u32 events = ringq_look(port, 1, false);
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
 * What poll(2) says; if that is nothing, then the port is armed. But looks before, for epoll asks
 * for every ready file at every wait. A death that nobody has read is no reason not to arm: who
 * polls may never ask for it.
 */
__poll_t ringq_ready_or_arm(struct ringq_port *port)
{
	__poll_t mask = ringq_poll_mask(port);

	if (!mask && !ringq_arm(port, RINGQ_BY_POLL))
		mask = ringq_poll_mask(port);					/* S3 */
	if (READ_ONCE(port->life) != RINGQ_OVER && ringq_deaths_unread(port))
		mask |= EPOLLPRI;
	return mask;
}

/*
 * Arms also if the caller is on the queue already, as level-triggered epoll is when it asks again
 * after an event, and a user of edges when he has drained the ring: this is how the next kick
 * comes about.
 */
__poll_t ringq_poll(struct ringq_port *port, struct file *filp, struct poll_table_struct *table)
{
	poll_wait(filp, &ringq_row_of(port)->pollers, table);
	return ringq_ready_or_arm(port);
}
