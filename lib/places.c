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
 * agent buries. In ringq_places_detach() and ringq_places_bury() the ends are told, and all
 * sleepers woken, before the page changes state: a page that is LEFT is buried by nobody. As
 * long as it is LIVE, whoever runs them again tells them again.
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

/* The words in which the places of this handle are noted, and those that everybody sees. */
static __u64 *ringq_attached(struct ringq *ring, uint32_t role, uint32_t index)
{
	return &ring->attached[role][index / 64];
}

static __u64 *ringq_live(const struct ringq *ring, uint32_t role, uint32_t index)
{
	return &ringq_attention_of(ring, ring->base)->live[role][index / 64];
}

bool ringq_places_alive(const struct ringq *ring, uint32_t role, uint32_t index)
{
	if (ringq_bit(ring->attached[role], index) || ring->memory == RINGQ_PRIVATE)
		return true;
	return ringq_memfd_held(ring, ringq_page_of(&ring->geometry, role, index));
}

static bool ringq_anybody(const struct ringq *ring, uint32_t role)
{
	unsigned int i;

	for (i = 0; i < RINGQ_SIDE_WORDS; i++) {
		if (ringq_load_acquire(&ringq_attention_of(ring, ring->base)->live[role][i]))
			return true;
	}
	return false;
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
 * The ring is closed for both sides. Who does it may die between the two: who buries him finds
 * the one and does the other.
 */
static void ringq_places_shut(struct ringq *ring)
{
	__atomic_fetch_or(ringq_word_of(ring, ring->base, RINGQ_PRODUCER), RINGQ_CLOSED,
			  __ATOMIC_SEQ_CST);
	__atomic_fetch_or(ringq_word_of(ring, ring->base, RINGQ_CONSUMER), RINGQ_CLOSED,
			  __ATOMIC_SEQ_CST);
}

static bool ringq_places_closed(const struct ringq *ring)
{
	return ringq_load_acquire(ringq_word_of(ring, ring->base, RINGQ_PRODUCER)) & RINGQ_CLOSED;
}

/*
 * Port index of a role is no more. If it was the last of its side, and the ring does not wait
 * for a successor, the other side is told that this is the end.
 */
static void ringq_places_end(struct ringq *ring, uint32_t role, uint32_t index, uint32_t state)
{
	struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index);
	uint64_t bit = UINT64_C(1) << index % 64;

	/* Before it stops to count, so that who gates on it misses nothing. */
	if (state == RINGQ_PORT_DEAD && ringq_keeps_place(&ring->geometry, role))
		__atomic_fetch_or(&ringq_attention_of(ring, ring->base)->kept[index / 64], bit,
				  __ATOMIC_SEQ_CST);
	__atomic_fetch_and(ringq_live(ring, role, index), ~bit, __ATOMIC_SEQ_CST);
	if (!ringq_anybody(ring, role) && ringq_side_can_end(&ring->geometry, role))
		__atomic_fetch_or(ringq_word_of(ring, ring->base, ringq_other_role(role)),
				  state == RINGQ_PORT_DEAD ? RINGQ_DEAD : RINGQ_GONE,
				  __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->wake, RINGQ_AWAKE, __ATOMIC_SEQ_CST);
	ringq_epoch_next(ring);
	ringq_futex_wake_all(ring);
	__atomic_store_n(&page->state, state, __ATOMIC_RELEASE);
}

bool ringq_places_bury_one(struct ringq *ring, uint32_t role, uint32_t index)
{
	if (ringq_load_acquire(&ringq_port_page(ring, ring->base, role, index)->state) !=
		    RINGQ_PORT_LIVE || ringq_places_alive(ring, role, index))
		return false;
	if (ringq_repair(ring, role, index) < 0) {
		/* Whom it should have woken is not to sleep until somebody comes again. */
		ringq_futex_wake_all(ring);
		return false;
	}
	if (ringq_places_closed(ring))
		ringq_places_shut(ring);
	ringq_death_log(ring, role, index);
	ringq_places_end(ring, role, index, RINGQ_PORT_DEAD);
	return true;
}

/* How many of a role. */
static uint32_t ringq_places_of(const struct ringq *ring, uint32_t role)
{
	return role == RINGQ_PRODUCER ? ring->geometry.producers : ring->geometry.consumers;
}

static int ringq_bury_side(struct ringq *ring, uint32_t role)
{
	uint32_t i;
	int n = 0;

	for (i = 0; i < ringq_places_of(ring, role); i++)
		n += ringq_places_bury_one(ring, role, i);
	return n;
}

int ringq_places_bury(struct ringq *ring)
{
	int n;

	/* The holder may be stopped: the agent has other rings, and comes again. */
	n = ringq_places_lock(ring, false);
	if (n < 0)
		return n == -EACCES ? -EAGAIN : n;
	n = ringq_bury_side(ring, RINGQ_PRODUCER) + ringq_bury_side(ring, RINGQ_CONSUMER);
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

	return stat("/proc/thread-self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

/*
 * Which place to take: the one that is wanted, or the first free one, kept ones before others.
 * Its number, or -EBUSY.
 */
static int ringq_places_choose(struct ringq *ring, uint32_t role,
			       const struct ringq_attach_opts *opts)
{
	const __u64 *kept = ringq_attention_of(ring, ring->base)->kept;
	uint32_t n = ringq_places_of(ring, role), i;
	int found = -EBUSY;

	if (opts->flags & RINGQ_AT_PLACE)
		return ringq_is_live(ring, ring->base, role, opts->place) ? -EBUSY :
									    (int)opts->place;
	for (i = 0; i < n; i++) {
		if (ringq_is_live(ring, ring->base, role, i))
			continue;
		if (role == RINGQ_CONSUMER && ringq_bit(kept, i))
			return i;
		if (found < 0)
			found = i;
	}
	return found;
}

/*
 * From now on it counts. A gate must stand where the producer is before it does, or the
 * producer would wait for what an earlier port of this place left behind; a kept one does.
 */
static void ringq_places_count(struct ringq *ring, uint32_t role, uint32_t index)
{
	struct ringq_port_page *page = ringq_port_page(ring, ring->base, role, index), *producer;
	__u64 *kept = &ringq_attention_of(ring, ring->base)->kept[index / 64];
	uint64_t bit = UINT64_C(1) << index % 64;

	if (ring->geometry.discipline == RINGQ_GATED && role == RINGQ_CONSUMER &&
	    !(ringq_load_acquire(kept) & bit)) {
		producer = ringq_port_page(ring, ring->base, RINGQ_PRODUCER, 0);
		ringq_store_relaxed(&page->claim, 0);	/* it does not stand yet */
		ringq_progress_move(&page->progress, ringq_load_acquire(&producer->progress.done));
	}
	__atomic_fetch_or(ringq_live(ring, role, index), bit, __ATOMIC_SEQ_CST);
	if (role == RINGQ_CONSUMER)
		__atomic_fetch_and(kept, ~bit, __ATOMIC_SEQ_CST);
}

/* The place is the port's. It may still turn out that the ring is corrupt. */
static void ringq_places_take(struct ringq_port *p, uint32_t index)
{
	struct ringq *ring = p->ring;
	struct ringq_port_page *page = ringq_port_page(ring, ring->base, p->role, index);

	p->base = ring->base;
	p->index = index;
	p->page = page;
	p->generation = page->generation + 1;
	ringq_store_relaxed(&page->generation, p->generation);
	ringq_store_relaxed(&page->role, p->role);
	ringq_store_relaxed(&page->pid, getpid());
	ringq_store_relaxed(&page->pid_ns,
			    ring->memory == RINGQ_MEMFD ? ringq_pid_namespace() : 0);
	ringq_store_relaxed(&page->attached_ns, ringq_now());
	ringq_store_relaxed(&page->wake, RINGQ_AWAKE);
	ringq_store_relaxed(&page->told, ringq_deaths_count(ring));
	memset(&page->left, 0, sizeof(page->left));
	/* Not its own: its predecessor's claim (a gate may be); done is. [old-word, keep-done] */
	if (ringq_claims(ring->geometry.discipline))
		ringq_store_relaxed(&page->claim, 0);
	ringq_store_release(&page->state, RINGQ_PORT_LIVE);
	ringq_places_count(ring, p->role, index);
}

/* Undoes it: nobody was here. */
static void ringq_places_give_back(struct ringq_port *p)
{
	__atomic_fetch_and(ringq_live(p->ring, p->role, p->index),
			   ~(UINT64_C(1) << p->index % 64), __ATOMIC_SEQ_CST);
	ringq_store_release(&p->page->state, RINGQ_PORT_LEFT);
}

static int ringq_places_attach_locked(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	struct ringq *ring = p->ring;
	uint32_t page;
	int r, index;

	ringq_bury_side(ring, p->role);
	index = ringq_places_choose(ring, p->role, opts);
	if (index < 0)
		return index;
	r = ringq_places_open(ring, p->role);
	if (r < 0)
		return r;
	page = ringq_page_of(&ring->geometry, p->role, index);
	if (ring->memory == RINGQ_MEMFD)
		r = ringq_memfd_hold(ring, page);
	if (r < 0)
		return r;
	ringq_places_take(p, index);
	r = p->ops->attach(p, opts);
	if (r < 0) {
		ringq_places_give_back(p);
		if (ring->memory == RINGQ_MEMFD)
			ringq_memfd_drop(ring, page);
		return r;
	}
	__atomic_fetch_or(ringq_attached(ring, p->role, index), UINT64_C(1) << index % 64,
			  __ATOMIC_RELAXED);
	ringq_epoch_next(ring);							/* N2 */
	/* Who sleeps must have the new port watched before it sleeps on. */
	ringq_futex_wake_all(ring);						/* N3 */
	return 0;
}

int ringq_places_attach(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	struct ringq *ring = p->ring;
	int r;

	if (!(ring->geometry.flags & RINGQ_FENCE) && ringq_barrier_available(ring->memory) < 0)
		return -EOPNOTSUPP;
	r = ringq_places_lock(ring, true);
	if (r < 0)
		return r;
	r = ringq_places_attach_locked(p, opts);
	ringq_places_unlock(ring);
	return r;
}

void ringq_places_detach(struct ringq_port *p)
{
	struct ringq *ring = p->ring;

	ringq_bridge_close(p);
	if (ringq_places_lock(ring, true) < 0)
		return;
	p->ops->detach(p);
	__atomic_fetch_and(ringq_attached(ring, p->role, p->index),
			   ~(UINT64_C(1) << p->index % 64), __ATOMIC_RELAXED);
	ringq_places_end(ring, p->role, p->index, RINGQ_PORT_LEFT);
	if (ring->memory == RINGQ_MEMFD)
		ringq_memfd_drop(ring, ringq_page_of(&ring->geometry, p->role, p->index));
	ringq_places_unlock(ring);
}

int ringq_places_lock_port(struct ringq_port *p, bool wait)
{
	return ringq_places_lock(p->ring, wait);
}

void ringq_places_unlock_port(struct ringq_port *p)
{
	ringq_places_unlock(p->ring);
}

int ringq_places_close(struct ringq_port *p)
{
	struct ringq *ring = p->ring;
	int r = ringq_places_lock(ring, true);

	if (r < 0)
		return r;
	ringq_places_shut(ring);
	ringq_futex_wake_all(ring);
	ringq_places_unlock(ring);
	return 0;
}

/*
 * An empty ring again, if nobody is attached. Until all of it is that, it has ended for both
 * sides: if we die in between nobody can attach to a half of it, and the next reset completes it.
 */
int ringq_places_reset(struct ringq *ring)
{
	int r = ringq_places_lock(ring, true);

	if (r < 0)
		return r;
	ringq_bury_side(ring, RINGQ_PRODUCER);
	ringq_bury_side(ring, RINGQ_CONSUMER);
	if (ringq_anybody(ring, RINGQ_PRODUCER) || ringq_anybody(ring, RINGQ_CONSUMER))
		r = -EBUSY;
	else
		ringq_region_restart(ring, ring->base);
	ringq_places_unlock(ring);
	return r;
}
