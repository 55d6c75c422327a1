// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LOSSY and LATEST: attaching, the paths that are not fast, and messages that are copied later
 * or never. The algorithm and its ordering table are in ringq/broadcast.h.
 */
#include "twins.h"

static int lossy_corrupt(struct ringq_port *p)
{
	p->error = -EBADMSG;
	/* Every operation comes to look at the error. */
	p->capacity = 0;
	p->lossy.within = 0;
	p->limit = p->role == RINGQ_CONSUMER &&
		   p->ring->geometry.discipline == RINGQ_LATEST ? 0 : p->pos;
	return -EBADMSG;
}

static const struct ringq_port_page *lossy_writer(const struct ringq_port *p)
{
	return ringq_port_page(p->ring, p->base, RINGQ_PRODUCER, 0);
}

static uint64_t lossy_stamp(const struct ringq_port *p, uint64_t pos)
{
	return ringq_load_acquire((const __u64 *)(p->base +
		ringq_stamp_at(&p->ring->geometry, &p->ring->layout, 0, pos)));
}

/* The oldest message that is intact, and the position after the newest, no less than tail. */
static uint64_t lossy_oldest(const struct ringq_port *p, uint64_t *tail)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	const uint64_t per_slot = p->ring->layout.per_slot;
	uint64_t said, now, end, oldest;

	/* In this order: what was reserved follows what is done. */
	said = ringq_load_acquire(&lossy_writer(p)->oldest);
	now = ringq_load_acquire(&lossy_writer(p)->progress.done);		/* O1 */
	if ((int64_t)(now - *tail) > 0)
		*tail = now;
	/* The slot that is being written has nothing of the last lap. */
	end = *tail;
	if (end % per_slot ||
	    (int64_t)(lossy_stamp(p, end) - RINGQ_STAMP(end, RINGQ_FREE)) >= 0)
		end += per_slot - end % per_slot;
	oldest = end > g->first + g->capacity ? end - g->capacity : g->first;	/* O2 */
	return said > oldest && said <= *tail ? said : oldest;
}

static void lossy_setup(struct ringq_port *p)
{
	const struct ringq_layout *l = &p->ring->layout;

	p->lossy = (struct ringq_lossy){
		.within = (p->capacity - l->per_slot) << 2,
		.slot_mask = l->slots - 1,
		.stride = 1,
	};
}

static int lossy_attach_producer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	uint64_t pos;

	(void)opts;
	lossy_setup(p);
	p->done = &p->page->progress.done;
	pos = ringq_load_acquire(p->done);
	if (pos - g->first > RINGQ_FIRST_MAX)
		return -EBADMSG;
	pos += ringq_spsc_ahead(p, 0, pos);
	ringq_spsc_enter(p, 0, pos);
	ringq_store_release(p->done, pos);
	p->limit = UINT64_MAX;
	return 0;
}

/* A reader begins here. */
static void lossy_begin(struct ringq_port *p, uint64_t pos)
{
	ringq_progress_move(p->progress, pos);
	ringq_spsc_enter(p, 0, pos);
}

/* What a reader of either knows of the producer; 0 or -EBADMSG. */
static int lossy_attach_reader(struct ringq_port *p, uint64_t *oldest, uint64_t *tail)
{
	const uint64_t first = p->ring->geometry.first;

	lossy_setup(p);
	p->progress = &p->page->progress;
	p->done = &p->progress->done;
	p->peer_done = &lossy_writer(p)->progress.done;
	*tail = first;
	*oldest = lossy_oldest(p, tail);
	return *tail - first > RINGQ_FIRST_MAX ? -EBADMSG : 0;
}

static int lossy_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	const uint64_t first = p->ring->geometry.first, stride = opts->stride ? opts->stride : 1;
	uint64_t oldest, tail, pos;
	int r = lossy_attach_reader(p, &oldest, &tail);

	if (r < 0)
		return r;
	pos = opts->flags & RINGQ_OLDEST ? oldest : tail;
	pos += (opts->phase + stride - (pos - first) % stride) % stride;
	p->lossy.stride = stride;
	lossy_begin(p, pos);
	return 0;
}

static int latest_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	uint64_t oldest, tail;
	int r = lossy_attach_reader(p, &oldest, &tail);

	(void)opts;
	if (r < 0)
		return r;
	/* Of what was there before, the newest is still to be read. */
	lossy_begin(p, tail - (tail != p->ring->geometry.first));
	p->limit = RINGQ_FIRST_MAX;
	return 0;
}

static void lossy_detach_consumer(struct ringq_port *p)
{
	(void)p;
}

/* Something is to be noticed: 1, or why it cannot be sent. */
RINGQ_PUBLIC int ringq_lossy_room(struct ringq_port *p, uint64_t need)
{
	uint64_t word;
	int r;

	r = ringq_as(p, RINGQ_PRODUCER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	if (!need || need > ringq_lossy_most(p, p->elem_size))
		return -EINVAL;
	word = ringq_attention(p);
	if (word & RINGQ_DEAD)
		return -EOWNERDEAD;
	return word & RINGQ_ENDED ? -EPIPE : 1;
}

/* The message at the port's position is lost: goes on further up. */
RINGQ_PUBLIC int ringq_lossy_overrun(struct ringq_port *p)
{
	const uint64_t stride = p->lossy.stride, margin = p->capacity / 4;
	uint64_t tail, oldest, skip;

	tail = lossy_stamp(p, p->pos) >> 2;					/* O1 */
	oldest = lossy_oldest(p, &tail);					/* O2 */
	if (tail - p->pos > RINGQ_FIRST_MAX || oldest - p->pos - 1 >= tail - p->pos)
		return lossy_corrupt(p);
	oldest = tail - oldest < margin ? tail : oldest + margin;
	skip = (oldest - p->pos + stride - 1) / stride;
	p->lossy.lost += skip;
	p->lossy.lost_last = skip;
	p->pos += skip * stride;
	p->limit = p->pos;
	ringq_lossy_seek(p, p->elem_size, p->pos);
	ringq_store_relaxed(p->done, p->pos);
	return -EOVERFLOW;
}

/* A message at the port's position: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_lossy_look(struct ringq_port *p, int64_t timeout)
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
		if (ahead >= 0 && (uint64_t)ahead >= p->lossy.within)
			return ringq_lossy_overrun(p);
		if (ahead >= 0) {
			p->limit = p->pos + (ahead >> 2) + 1;
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

/* A value that this port has not returned: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_latest_look(struct ringq_port *p, int64_t timeout)
{
	int64_t deadline = 0;
	uint64_t word, tail;
	int r;

	r = ringq_as(p, RINGQ_CONSUMER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	for (;;) {
		/* The end is looked at first, as above. */
		word = ringq_load_acquire(p->attention);
		tail = ringq_load_acquire(p->peer_done);			/* L1 */
		if (tail - p->pos > RINGQ_FIRST_MAX)
			return lossy_corrupt(p);
		if (tail != p->pos)
			return 1;
		if (word & RINGQ_ENDED)
			return 0;
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, 1, RINGQ_ENDED, timeout);
		if (r < 0)
			return r;
	}
}

/* The value below tail was overwritten: then there is a newer one, or the ring is corrupt. */
RINGQ_PUBLIC int ringq_latest_again(struct ringq_port *p, uint64_t tail)
{
	ringq_fence_acquire();
	return ringq_load_acquire(p->peer_done) == tail ? lossy_corrupt(p) : 0;
}

/* The newest value, whether this port has returned it or not. */
static int latest_newest(struct ringq_port *p, void *msg)
{
	uint64_t tail = ringq_load_acquire(p->peer_done);			/* L1 */

	if (p->held)
		return -EBUSY;
	if (tail == p->ring->geometry.first)
		return -EAGAIN;
	if (tail == p->pos)
		p->pos--;
	return ringq_latest_recv(p, msg, p->elem_size, RINGQ_NOWAIT);
}

/* Messages for this reader from one of its positions on, below another position. */
static uint64_t lossy_count(const struct ringq_port *p, uint64_t from, uint64_t tail)
{
	return (int64_t)(tail - from) > 0 ? (tail - from - 1) / p->lossy.stride + 1 : 0;
}

static uint64_t lossy_lag(const struct ringq_port *p)
{
	return lossy_count(p, p->pos, ringq_load_acquire(p->peer_done));
}

static uint64_t lossy_len(const struct ringq_port *p)
{
	const uint64_t stride = p->lossy.stride;
	uint64_t tail = p->pos, oldest = lossy_oldest(p, &tail), from = p->pos;

	if ((int64_t)(oldest - from) > 0)
		from += (oldest - from + stride - 1) / stride * stride;
	return lossy_count(p, from, tail);
}

static uint64_t latest_len(const struct ringq_port *p)
{
	return ringq_load_acquire(p->peer_done) != p->pos;
}

/* How many messages the slowest reader has not seen, of those that are there. */
static uint64_t lossy_unread(const struct ringq_port *p)
{
	return p->pos - ringq_slowest(p, p->pos);
}

static int lossy_intact(const struct ringq_port *p)
{
	if (!p->held)
		return -EINVAL;
	return ringq_lossy_is_intact(p, p->elem_size, p->pos) ? 1 : -EOVERFLOW;
}

static int latest_intact(const struct ringq_port *p)
{
	if (!p->held)
		return -EINVAL;
	return ringq_lossy_is_intact(p, p->elem_size, p->held_limit - 1) ? 1 : -EOVERFLOW;
}

static int lossy_glance(struct ringq_port *p, struct ringq_glance *glance, int64_t timeout)
{
	p->limit = p->pos;	/* what was there when it was seen last may be lost by now */
	if (!ringq_lossy_have(p, p->elem_size)) {
		int r = ringq_lossy_look(p, timeout);

		if (r <= 0)
			return r;
	}
	glance->position = p->pos;
	ringq_lossy_step(p, p->elem_size, 1);
	ringq_store_relaxed(p->done, p->pos);
	return 1;
}

static int latest_glance(struct ringq_port *p, struct ringq_glance *glance, int64_t timeout)
{
	uint64_t tail;
	int r = ringq_latest_have(p, p->elem_size, &tail, timeout);

	if (r <= 0)
		return r;
	glance->position = tail - 1;
	p->pos = tail;
	ringq_store_relaxed(p->done, tail);
	return 1;
}

static int lossy_glance_read(const struct ringq_port *p, const struct ringq_glance *glance,
			     void *msg)
{
	const struct ringq_layout *l = &p->ring->layout;
	const uint64_t pos = glance->position, full = RINGQ_STAMP(pos, RINGQ_FULL);
	const unsigned char *elem = p->data + (pos / l->per_slot & (l->slots - 1)) * l->slot_size +
				    pos % l->per_slot * p->elem_size;
	int64_t ahead = lossy_stamp(p, pos) - full;				/* R1 */

	if (ahead < 0 || pos - p->ring->geometry.first > RINGQ_FIRST_MAX)
		return -EINVAL;
	if ((uint64_t)ahead >= p->lossy.within)
		return -EOVERFLOW;
	ringq_lossy_copy(msg, elem, p->elem_size, 1);				/* R2 */
	ringq_fence_acquire();							/* R3 */
	return lossy_stamp(p, pos) - full < p->lossy.within ? 1 : -EOVERFLOW;	/* R4 */
}

static bool lossy_counts(const struct ringq_port *p)
{
	return p->ring && p->role == RINGQ_CONSUMER &&
	       p->ring->geometry.discipline == RINGQ_LOSSY;
}

RINGQ_PUBLIC uint64_t ringq_lost(const struct ringq_port *p)
{
	return lossy_counts(p) ? p->lossy.lost : 0;
}

RINGQ_PUBLIC uint64_t ringq_lost_last(const struct ringq_port *p)
{
	return lossy_counts(p) ? p->lossy.lost_last : 0;
}

RINGQ_PRODUCER_TWINS(lossy)
RINGQ_CONSUMER_TWINS(lossy)
RINGQ_AT_TWIN(lossy)

static int latest_reserve(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	return ringq_latest_reserve(p, p->elem_size, n, timeout);
}

static int latest_recv(struct ringq_port *p, void *msg, int64_t timeout)
{
	return ringq_latest_recv(p, msg, p->elem_size, timeout);
}

static int64_t latest_peek(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	return ringq_latest_peek(p, p->elem_size, n, timeout);
}

static int latest_release(struct ringq_port *p, uint64_t n)
{
	return ringq_latest_release(p, p->elem_size, n);
}

RINGQ_AT_TWIN(latest)

const struct ringq_ops ringq_lossy_producer = {
	.attach = lossy_attach_producer,
	.detach = ringq_spsc_detach_producer,
	.len = lossy_unread,
	RINGQ_PRODUCER_OPS(lossy),
};

const struct ringq_ops ringq_lossy_consumer = {
	.attach = lossy_attach_consumer,
	.detach = lossy_detach_consumer,
	.intact = lossy_intact,
	.glance = lossy_glance,
	.glance_read = lossy_glance_read,
	.len = lossy_len,
	.lag = lossy_lag,
	RINGQ_CONSUMER_OPS(lossy),
};

const struct ringq_ops ringq_latest_producer = {
	.attach = lossy_attach_producer,
	.detach = ringq_spsc_detach_producer,
	.send = lossy_send,
	.reserve = latest_reserve,
	.commit = lossy_commit,
	.at = latest_at,
	.len = lossy_unread,
};

const struct ringq_ops ringq_latest_consumer = {
	.attach = latest_attach_consumer,
	.detach = lossy_detach_consumer,
	.recv = latest_recv,
	.peek = latest_peek,
	.release = latest_release,
	.at = latest_at,
	.latest = latest_newest,
	.intact = latest_intact,
	.glance = latest_glance,
	.glance_read = lossy_glance_read,
	.len = latest_len,
	.lag = lossy_lag,
};
