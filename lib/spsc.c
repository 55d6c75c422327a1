// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * SPSC, the paths that are not fast: the port has used up what it knew of, or something is
 * to be noticed. The algorithm and its ordering table are in ringq/spsc.h.
 */
#include "twins.h"

int ringq_corrupt(struct ringq_port *p)
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

/* W1 */
uint64_t ringq_spsc_peer_done(const struct ringq_port *p)
{
	return p->peer_done ? ringq_load_acquire(p->peer_done) : p->ops->peer_done(p);
}

static uint64_t ringq_spsc_linger(const struct ringq_port *p, uint64_t done)
{
	uint64_t n = p->capacity / 32 < RINGQ_LINGER ? p->capacity / 32 : RINGQ_LINGER, i;

	for (i = 0; i < n; i++) {
		/* A consumer who does not move now is not waited for. */
		if (i == 4 && ringq_spsc_peer_done(p) == done)
			return done;
		ringq_pause();
	}
	return ringq_spsc_peer_done(p);
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
		/* For a successor, which must not find it more than a lap late. */
		ringq_store_release(p->done, p->pos);
		done = ringq_spsc_peer_done(p);
		if (p->pos - done > p->capacity)
			return ringq_corrupt(p);
		if (p->pos - done != p->capacity && p->pos - done > p->capacity / 8 * 7) {
			done = ringq_spsc_linger(p, done);
			if (p->pos - done > p->capacity)
				return ringq_corrupt(p);
		}
		p->limit = done + p->capacity;
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

int ringq_spsc_fetch(struct ringq_port *p)
{
	int64_t ahead = ringq_load_acquire(ringq_spsc_stamp(p, p->elem_size)) -
			RINGQ_STAMP(p->pos, RINGQ_FULL);			/* R1 */

	if (ahead < 0)
		return 0;
	if ((uint64_t)ahead >= p->capacity << 2)
		return ringq_corrupt(p);
	p->limit = p->pos + (ahead >> 2) + 1;
	p->flags = 0;
	return 1;
}

/* A message at the port's position: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_spsc_look(struct ringq_port *p, int64_t timeout)
{
	int64_t deadline = 0;
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
		r = ringq_spsc_fetch(p);
		if (r)
			return r;
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
		done = ringq_spsc_peer_done(p);
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

/* Is this position published? As far as one writer who is not trusted can say. */
static bool ringq_spsc_is_published(const struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	const struct ringq *ring = p->ring;
	uint64_t ahead = ringq_load_acquire((const __u64 *)
		(p->base + ringq_stamp_at(&ring->geometry, &ring->layout, lane, pos))) -
		RINGQ_STAMP(pos, RINGQ_FULL);

	return ahead < ring->geometry.capacity << 2;
}

uint64_t ringq_spsc_ahead(const struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	const uint64_t capacity = p->ring->geometry.capacity;
	uint64_t least = 0, step = 1, beyond;

	/*
	 * What one writer has published is without a gap. Ever farther looks, then halving: never
	 * twice as far as there is something, for each look takes a line away from the writer.
	 */
	while (least + step <= capacity &&
	       ringq_spsc_is_published(p, lane, pos + least + step - 1)) {
		least += step;
		step *= 2;
	}
	beyond = least + step <= capacity ? least + step : capacity + 1;
	while (beyond - least > 1) {
		step = (beyond - least) / 2;
		if (ringq_spsc_is_published(p, lane, pos + least + step - 1))
			least += step;
		else
			beyond = least + step;
	}
	return least;
}

uint64_t ringq_spsc_len_producer(const struct ringq_port *p)
{
	uint64_t used = p->pos - ringq_spsc_peer_done(p), capacity = p->ring->geometry.capacity;

	return used < capacity ? used : capacity;
}

uint64_t ringq_spsc_len_consumer(const struct ringq_port *p)
{
	return ringq_spsc_ahead(p, 0, p->pos);
}

/* What nobody else can take stays until it is enough. What is redelivered comes by itself. */
int64_t ringq_spsc_recv_all(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout)
{
	int64_t deadline = 0, r;
	uint64_t word;

	if (p->held)
		return -EBUSY;
	if (!n || n > p->capacity)
		return -EINVAL;
	if (p->flags && p->pos != p->limit && p->limit - p->pos < n)
		n = p->limit - p->pos;
	for (;;) {
		/* The end is looked at first: what was published before it is seen then. */
		word = ringq_load_acquire(p->attention);
		if (ringq_spsc_is_published(p, 0, p->pos + n - 1))
			break;
		if (word & RINGQ_ENDED)
			return 0;
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, n, RINGQ_ENDED, timeout);
		if (r < 0)
			return r;
	}
	r = p->ops->recv_many(p, msgs, n, RINGQ_NOWAIT);
	return r == (int64_t)n || (r < 0 && r != -EAGAIN) ? r : -EBADMSG;
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

void ringq_spsc_enter(struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	const struct ringq_layout *l = &p->ring->layout;
	uint64_t slot = pos / l->per_slot & (l->slots - 1);

	p->pos = pos;
	p->limit = pos;
	p->data = ringq_lane_data(p->ring, p->base, lane);
	p->data_end = p->data + l->slots * l->slot_size;
	p->stamps = (__u64 *)(p->base + l->bulk + lane * l->lane_stamps);
	p->far = l->slots * l->slot_size < 4 * RINGQ_PREFETCH_LAG ? UINT64_MAX : 0;
	p->elem = p->data + slot * l->slot_size + pos % l->per_slot * p->elem_size;
	p->stamp = p->stamps + slot;
	p->flags = 0;
	/* A consumer finds what its predecessor had in hand. */
	if (p->role == RINGQ_PRODUCER)
		return;
	p->taken = ringq_load_acquire(&p->progress->taken);
	/* A garbled word must not make up messages: only what is published counts. */
	if (p->taken > pos && p->taken - pos <= p->capacity) {
		p->limit = pos + ringq_spsc_ahead(p, lane, pos);
		if (p->limit > p->taken)
			p->limit = p->taken;
		p->flags = p->limit > pos ? RINGQ_REDELIVERED : 0;
	} else {
		p->taken = pos;
	}
}

int ringq_spsc_attach_producer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	uint32_t lane = g->discipline == RINGQ_LANES ? p->index : 0;
	uint64_t pos;

	(void)opts;
	p->done = &p->page->progress.done;
	if (g->discipline == RINGQ_SPSC)
		p->peer_done = &ringq_port_page(p->ring, p->base, RINGQ_CONSUMER, 0)->progress.done;
	else if (g->discipline == RINGQ_LANES)
		p->peer_done = &ringq_lane_of(p->ring, p->base, lane)->progress.done;
	pos = ringq_load_acquire(p->done);
	if (pos - g->first > RINGQ_FIRST_MAX)
		return -EBADMSG;
	pos += ringq_spsc_ahead(p, lane, pos);
	ringq_spsc_enter(p, lane, pos);
	if (pos - ringq_spsc_peer_done(p) > g->capacity)
		return -EBADMSG;
	ringq_store_release(p->done, pos);
	return 0;
}

void ringq_spsc_detach_producer(struct ringq_port *p)
{
	if (!p->error)
		ringq_store_release(p->done, p->pos);
}

int ringq_spsc_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	uint64_t pos;

	(void)opts;
	p->progress = &p->page->progress;
	p->done = &p->progress->done;
	pos = ringq_load_acquire(p->done);
	if (pos - p->ring->geometry.first > RINGQ_FIRST_MAX)
		return -EBADMSG;
	ringq_store_relaxed(&p->progress->hand, pos);
	ringq_spsc_enter(p, 0, pos);
	return 0;
}

void ringq_spsc_detach_consumer(struct ringq_port *p)
{
	(void)p;
}

RINGQ_PRODUCER_TWINS(spsc)
RINGQ_CONSUMER_TWINS(spsc)
RINGQ_AT_TWIN(spsc)

const struct ringq_ops ringq_spsc_producer = {
	.attach = ringq_spsc_attach_producer,
	.detach = ringq_spsc_detach_producer,
	.drain = ringq_spsc_drain,
	.len = ringq_spsc_len_producer,
	RINGQ_PRODUCER_OPS(spsc),
};

const struct ringq_ops ringq_spsc_consumer = {
	.attach = ringq_spsc_attach_consumer,
	.detach = ringq_spsc_detach_consumer,
	.recv_all = ringq_spsc_recv_all,
	.len = ringq_spsc_len_consumer,
	RINGQ_CONSUMER_OPS(spsc),
};
