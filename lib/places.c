// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who sits where, without the module: attaching, leaving, dying and closing on memfd and
 * private memory. What the module knows by itself stands here in the port pages, and
 * changes only under the ring's lock: the mutex of the handle, and on memfd a lock of byte
 * 0 of the file as well, which excludes other processes and is freed if its holder dies.
 *
 * A page goes FREE -> LIVE -> LEFT or DEAD -> LIVE (generation + 1) ... On memfd the owner
 * of page i holds a lock of byte 1 + i as long as it lives: that is the certificate. A page
 * that says LIVE and is not locked belongs to the dead.
 *
 * What a kill leaves in ringq_places_attach(): before the page says LIVE, a page that is
 * free as before; after it, a LIVE page whose lock is gone, which the next attacher or any
 * agent buries. In ringq_places_detach() and ringq_places_bury() the ends are told before
 * the page changes state, so that whoever runs them again tells them again.
 */
#include "internal.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int ringq_places_lock(struct ringq *ring, bool wait)
{
	int r = 0;

	if (wait)
		pthread_mutex_lock(&ring->mutex);
	else if (pthread_mutex_trylock(&ring->mutex))
		return -EAGAIN;
	if (ring->memory == RINGQ_MEMFD)
		r = ringq_memfd_lock(ring, wait);
	if (r < 0)
		pthread_mutex_unlock(&ring->mutex);
	return r;
}

static void ringq_places_unlock(struct ringq *ring)
{
	if (ring->memory == RINGQ_MEMFD)
		ringq_memfd_unlock(ring);
	pthread_mutex_unlock(&ring->mutex);
}

static bool ringq_lives(const struct ringq *ring, uint32_t index)
{
	if (ring->attached & 1u << index || ring->memory == RINGQ_PRIVATE)
		return true;
	return ringq_memfd_held(ring, index);
}

static void ringq_epoch_next(struct ringq *ring)
{
	__atomic_fetch_add(&ringq_attention_of(ring, ring->base)->epoch, 1, __ATOMIC_SEQ_CST);
}

bool ringq_places_changed(const struct ringq *ring)
{
	return ringq_load_acquire(&ringq_attention_of(ring, ring->base)->epoch) !=
	       ringq_load_relaxed(&ring->seen_epoch);
}

void ringq_places_idle(struct ringq_port *p)
{
	struct ringq *ring = p->ring;
	uint64_t epoch = ringq_load_acquire(&ringq_attention_of(ring, ring->base)->epoch);

	if (epoch == ringq_load_relaxed(&ring->seen_epoch))
		return;
	ringq_store_relaxed(&ring->seen_epoch, epoch);
	if (ring->memory == RINGQ_MEMFD)
		ringq_agent_poke();
}

/*
 * The port of page index is no more. With one port a side it was the last of its side: if
 * the ring does not wait for a successor, the other side is told that this is the end.
 */
static void ringq_places_end(struct ringq *ring, uint32_t index, uint32_t state)
{
	struct ringq_port_page *page = ringq_page(ring, ring->base, index);
	bool producer = index == ringq_port_of_role(RINGQ_PRODUCER);
	uint32_t role = producer ? RINGQ_PRODUCER : RINGQ_CONSUMER;
	uint32_t wait = producer ? RINGQ_PRODUCER_WAIT : RINGQ_CONSUMER_WAIT;

	if (!(ring->geometry.flags & wait))
		__atomic_fetch_or(ringq_word_of(ring, ring->base, ringq_other_role(role)),
				  state == RINGQ_PORT_DEAD ? RINGQ_DEAD : RINGQ_GONE,
				  __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->wake, RINGQ_AWAKE, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->state, state, __ATOMIC_RELEASE);
	ringq_epoch_next(ring);
	ringq_futex_wake_all(ring);
}

static bool ringq_bury_one(struct ringq *ring, uint32_t index)
{
	if (ringq_load_acquire(&ringq_page(ring, ring->base, index)->state) != RINGQ_PORT_LIVE ||
	    ringq_lives(ring, index))
		return false;
	ringq_places_end(ring, index, RINGQ_PORT_DEAD);
	return true;
}

int ringq_places_bury(struct ringq *ring)
{
	uint32_t i;
	int n = 0;

	/* The holder may be stopped: the agent has other rings, and comes again. */
	if (ringq_places_lock(ring, false) < 0)
		return 0;
	for (i = 0; i < ring->geometry.ports; i++)
		n += ringq_bury_one(ring, i);
	ringq_places_unlock(ring);
	return n;
}

/* May this role be taken at all? */
static int ringq_places_open(const struct ringq *ring, uint32_t role)
{
	uint64_t mine = ringq_load_acquire(ringq_word_of(ring, ring->base, role));
	uint64_t others = ringq_load_acquire(ringq_word_of(ring, ring->base,
							    ringq_other_role(role)));

	if (others & (RINGQ_DEAD | RINGQ_GONE))
		return -EPIPE;
	if (role == RINGQ_PRODUCER && mine & RINGQ_CLOSED)
		return -EPIPE;
	return 0;
}

uint64_t ringq_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

int ringq_places_attach(struct ringq *ring, uint32_t role, struct ringq_port *p)
{
	uint32_t index = ringq_port_of_role(role);
	struct ringq_port_page *page;
	int r;

	if (!(ring->geometry.flags & RINGQ_FENCE) && ringq_barrier_available(ring->memory) < 0)
		return -EOPNOTSUPP;
	r = ringq_places_lock(ring, true);
	if (r < 0)
		return r;
	page = ringq_page(ring, ring->base, index);
	ringq_bury_one(ring, index);
	if (ringq_load_acquire(&page->state) == RINGQ_PORT_LIVE)
		r = -EBUSY;
	else
		r = ringq_places_open(ring, role);
	if (r == 0 && ring->memory == RINGQ_MEMFD)
		r = ringq_memfd_hold(ring, index);
	if (r < 0)
		goto out;

	p->base = ring->base;
	p->index = index;
	p->generation = page->generation + 1;
	r = ringq_spsc_attach(p);
	if (r < 0) {
		if (ring->memory == RINGQ_MEMFD)
			ringq_memfd_drop(ring, index);
		goto out;
	}
	ringq_store_relaxed(&page->generation, p->generation);
	ringq_store_relaxed(&page->role, role);
	ringq_store_relaxed(&page->pid, getpid());
	ringq_store_relaxed(&page->pid_ns,
			    ring->memory == RINGQ_MEMFD ? ringq_pid_namespace() : 0);
	ringq_store_relaxed(&page->wake, RINGQ_AWAKE);
	ringq_store_release(&page->state, RINGQ_PORT_LIVE);
	ring->attached |= 1u << index;
	ringq_epoch_next(ring);
	/* Who sleeps must have the new port watched before it sleeps on. */
	ringq_futex_wake_all(ring);
out:
	ringq_places_unlock(ring);
	return r;
}

void ringq_places_detach(struct ringq_port *p)
{
	struct ringq *ring = p->ring;

	if (ringq_places_lock(ring, true) < 0)
		return;
	if (p->role == RINGQ_PRODUCER && !p->error)
		ringq_store_release(p->done, p->pos);
	ring->attached &= ~(1u << p->index);
	ringq_places_end(ring, p->index, RINGQ_PORT_LEFT);
	if (ring->memory == RINGQ_MEMFD)
		ringq_memfd_drop(ring, p->index);
	ringq_places_unlock(ring);
}

int ringq_places_close(struct ringq_port *p)
{
	struct ringq *ring = p->ring;
	int r = ringq_places_lock(ring, true);

	if (r < 0)
		return r;
	__atomic_fetch_or(ringq_word_of(ring, ring->base, RINGQ_PRODUCER), RINGQ_CLOSED,
			  __ATOMIC_SEQ_CST);
	__atomic_fetch_or(ringq_word_of(ring, ring->base, RINGQ_CONSUMER), RINGQ_CLOSED,
			  __ATOMIC_SEQ_CST);
	ringq_futex_wake_all(ring);
	ringq_places_unlock(ring);
	return 0;
}
