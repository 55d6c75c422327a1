// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * SPSC, the paths that are not fast: the port has used up what it knew of, or something is
 * to be noticed. The algorithm and its ordering table are in ringq/spsc.h.
 */
#include "internal.h"

static int ringq_corrupt(struct ringq_port *p)
{
	p->error = -EBADMSG;
	p->limit = p->pos;
	p->capacity = 0;	/* so that every operation comes to look at the error */
	return -EBADMSG;
}

/*
 * A producer at the consumer's heels finds room for a few messages at a time, and each time
 * takes the line of done away from the consumer, who stores to it at every message: both
 * crawl. So if there is only little room and more is coming, it waits a moment for more. The
 * ring is full: nobody waits for what would be sent meanwhile.
 */
#define RINGQ_LINGER	64	/* pauses, at most; enough for hundreds of small messages */

static uint64_t ringq_spsc_linger(const struct ringq_port *p, uint64_t done)
{
	uint64_t n = p->capacity / 32 < RINGQ_LINGER ? p->capacity / 32 : RINGQ_LINGER, i;

	for (i = 0; i < n; i++) {
		/* A consumer who does not move now is not waited for. */
		if (i == 4 && ringq_load_acquire(p->peer_done) == done)
			return done;
		ringq_pause();
	}
	return ringq_load_acquire(p->peer_done);				/* W1 */
}

/* Room for need elements: 1. What has been sent so far has not been notified. */
RINGQ_PUBLIC int ringq_spsc_room(struct ringq_port *p, uint64_t need, int64_t timeout)
{
	int64_t deadline = 0;
	uint64_t done, word;
	int r;

	r = ringq_as(p, RINGQ_PRODUCER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	if (!need || need > p->capacity)
		return -EINVAL;
	for (;;) {
		word = ringq_attention(p);
		if (word & RINGQ_DEAD)
			return -EOWNERDEAD;
		if (word & RINGQ_ENDED)
			return -EPIPE;
		if (p->limit - p->pos >= need)
			return 1;
		done = ringq_load_acquire(p->peer_done);			/* W1 */
		if (p->pos - done > p->capacity)
			return ringq_corrupt(p);
		if (p->pos - done != p->capacity && p->pos - done > p->capacity / 8 * 7) {
			done = ringq_spsc_linger(p, done);
			if (p->pos - done > p->capacity)
				return ringq_corrupt(p);
		}
		p->limit = done + p->capacity;
		/* For a successor, which must not find it more than a lap late. */
		ringq_store_release(p->done, p->pos);
		if (p->limit - p->pos >= need)
			return 1;

		/* Whoever waits here must know of what was published before. */
		ringq_notify(p, p->capacity);
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, need, RINGQ_ENDED, timeout);
		if (r < 0)
			return r;
	}
}

/* A message at the port's position: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_spsc_look(struct ringq_port *p, int64_t timeout)
{
	int64_t deadline = 0, ahead;
	uint64_t word;
	int r;

	r = ringq_as(p, RINGQ_CONSUMER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	for (;;) {
		/* The end is looked at first: what was published before it is seen then. */
		word = ringq_load_acquire(p->attention);
		ahead = ringq_load_acquire(ringq_spsc_stamp(p, p->elem_size)) -
			RINGQ_STAMP(p->pos, RINGQ_FULL);			/* R1 */
		if (ahead >= 0 && (uint64_t)ahead >= p->capacity << 2)
			return ringq_corrupt(p);
		if (ahead >= 0) {
			p->limit = p->pos + (ahead >> 2) + 1;
			p->flags = 0;
			return 1;
		}
		if (word & RINGQ_ENDED)
			return 0;
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, 1, RINGQ_ENDED, timeout);
		if (r < 0)
			return r;
	}
}

/* Everything that this producer has sent is released: 0. */
int ringq_spsc_drain(struct ringq_port *p, int64_t timeout)
{
	int64_t deadline = 0;
	uint64_t done, word;
	int r;

	r = ringq_as(p, RINGQ_PRODUCER);
	if (r < 0)
		return r;
	ringq_store_release(p->done, p->pos);
	for (;;) {
		/* The end is looked at first: what was released before it is seen then. */
		word = ringq_load_acquire(p->attention);
		done = ringq_load_acquire(p->peer_done);
		if (done == p->pos)
			return 0;
		if (p->pos - done > p->capacity)
			return ringq_corrupt(p);
		if (word & RINGQ_DEAD)
			return -EOWNERDEAD;
		if (word & RINGQ_GONE)
			return -EPIPE;
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, p->capacity, RINGQ_ENDED & ~RINGQ_CLOSED, timeout);
		if (r < 0)
			return r;
	}
}

/*
 * The time-out that is left of one that began with the first call; deadline is 0 before. At
 * least a nanosecond, so that a wait that began as one ends as one, with -ETIMEDOUT.
 */
RINGQ_PUBLIC int64_t ringq_time_left(int64_t *deadline, int64_t timeout)
{
	int64_t now, left;

	if (timeout <= 0)
		return timeout;
	now = ringq_now();
	if (!*deadline) {
		*deadline = now > INT64_MAX - timeout ? INT64_MAX : now + timeout;
		return timeout;
	}
	left = *deadline - now;
	return left > 0 ? left : 1;
}

/*
 * Where a producer goes on: the first position from its predecessor's done on that was not
 * published. At most a lap of stamps.
 */
static uint64_t ringq_spsc_published(const struct ringq *ring, const unsigned char *base,
				     uint64_t from, uint64_t most)
{
	uint64_t pos = from, stamp;
	int64_t ahead;

	while (pos - from < most) {
		stamp = ringq_load_acquire((const __u64 *)
			(base + ringq_look_at(&ring->geometry, &ring->layout, pos)));
		ahead = stamp - RINGQ_STAMP(pos, RINGQ_FULL);
		if (ahead < 0 || (uint64_t)ahead >= ring->geometry.capacity << 2)
			break;
		pos += (ahead >> 2) + 1;
	}
	return pos;
}

/* Fills the port but for what the backend has filled: base, index, memory, ring, role. */
int ringq_spsc_attach(struct ringq_port *p)
{
	const struct ringq *ring = p->ring;
	const struct ringq_geometry *g = &ring->geometry;
	const struct ringq_layout *l = &ring->layout;
	uint32_t other = ringq_port_of_role(ringq_other_role(p->role));
	uint64_t slot;

	p->page = ringq_page(ring, p->base, p->index);
	p->done = &p->page->done;
	p->peer_done = &ringq_page(ring, p->base, other)->done;
	p->capacity = g->capacity;
	p->elem_size = g->elem_size;
	p->data = p->base + l->data;
	p->data_end = p->data + l->slots * l->slot_size;
	p->stamps = (__u64 *)(p->base + l->bulk);
	p->far = l->slots * l->slot_size < 4 * RINGQ_PREFETCH_LAG ? UINT64_MAX : 0;

	p->pos = ringq_load_acquire(p->done);
	if (p->pos - g->first > RINGQ_FIRST_MAX)
		return -EBADMSG;
	if (p->role == RINGQ_PRODUCER) {
		p->pos = ringq_spsc_published(ring, p->base, p->pos, g->capacity);
		if (p->pos - ringq_load_acquire(p->peer_done) > g->capacity)
			return -EBADMSG;
		ringq_store_release(p->done, p->pos);
		p->limit = p->pos;
	} else {
		ringq_store_relaxed(&p->page->hand, p->pos);
		p->taken = ringq_load_acquire(&p->page->taken);
		p->limit = p->pos;
		/* A garbled word must not make up messages: only what is published counts. */
		if (p->taken > p->pos && p->taken - p->pos <= g->capacity) {
			uint64_t end = ringq_spsc_published(ring, p->base, p->pos,
							    p->taken - p->pos);

			p->limit = end < p->taken ? end : p->taken;
			p->flags = RINGQ_REDELIVERED;
		} else {
			p->taken = p->pos;
		}
	}

	slot = p->pos / l->per_slot & (l->slots - 1);
	p->elem = p->data + slot * l->slot_size + p->pos % l->per_slot * g->elem_size;
	p->stamp = p->stamps + slot;
	return 0;
}
