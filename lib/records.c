// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Records, lossless: the paths that are not fast. The algorithm and its ordering table are in
 * ringq/records.h. Room, draining and leaving are those of spsc.c: a position is a position,
 * whether it counts elements or bytes.
 */
#include "internal.h"

/* No header fits any more, so that every operation comes to look at the error. */
RINGQ_PUBLIC int ringq_records_corrupt(struct ringq_port *p)
{
	p->records.end = p->elem;
	return ringq_corrupt(p);
}

/* Room for a record of so many bytes: 1. What has been sent so far has not been notified. */
RINGQ_PUBLIC int ringq_records_room(struct ringq_port *p, uint32_t size, int64_t timeout)
{
	int r = ringq_as(p, RINGQ_PRODUCER);

	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	if (size > p->elem_size)
		return -EMSGSIZE;
	return ringq_spsc_room(p, ringq_record_need(p, RINGQ_RECORD_HEAD, size), timeout);
}

int ringq_records_fetch(struct ringq_port *p, struct ringq_found *f)
{
	uint64_t word = ringq_load_acquire((const __u64 *)p->elem);		/* R1 */

	if (!word && p->pos >= p->limit)
		return 0;
	return ringq_records_more(p, f) ? 1 : ringq_records_corrupt(p);
}

/* A record at the port's position: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_records_look(struct ringq_port *p, struct ringq_found *f, int64_t timeout)
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
		r = ringq_records_fetch(p, f);
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

struct ringq_walk ringq_records_walk(const struct ringq_port *p, uint32_t head, uint64_t from,
				     uint64_t until)
{
	struct ringq_walk walk = { .pos = from };
	struct ringq_found f;
	unsigned char *at;
	uint64_t word;

	while (walk.pos < until) {
		at = p->data + (walk.pos & (p->ring->geometry.capacity - 1));
		word = ringq_load_acquire((const __u64 *)at);
		if (!word)
			break;
		walk.astray = !ringq_record_parse(p, head, at, word, &f) ||
			      walk.pos + f.span - from > p->capacity;
		if (walk.astray)
			break;
		walk.pos += f.span;
		walk.last = f;
		walk.count++;
	}
	return walk;
}

/* One that somebody left may be anything. */
static bool records_is_position(const struct ringq_port *p, uint64_t pos)
{
	return pos - p->ring->geometry.first <= RINGQ_FIRST_MAX && !(pos % RINGQ_RECORD_ALIGN);
}

int ringq_records_place(struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	const struct ringq_geometry *g = &p->ring->geometry;

	if (!records_is_position(p, pos))
		return -EBADMSG;
	p->pos = pos;
	p->limit = pos;
	p->data = ringq_lane_data(p->ring, p->base, lane);
	p->data_end = p->data + g->capacity;
	p->records.end = p->data_end + (ringq_is_mirrored(g) ? g->capacity : 0);
	p->elem = p->data + (pos & (g->capacity - 1));
	return 0;
}

struct ringq_walk ringq_records_ahead(const struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	struct ringq_port there = *p;

	if (ringq_records_place(&there, lane, pos) < 0)
		return (struct ringq_walk){ .pos = pos, .astray = true };
	return ringq_records_walk(&there, RINGQ_RECORD_HEAD, pos, UINT64_MAX);
}

int ringq_records_succeed(struct ringq_port *p, uint32_t lane, uint32_t head,
			  struct ringq_found *last)
{
	uint64_t pos = ringq_load_acquire(p->done);
	int r = ringq_records_place(p, lane, pos);
	struct ringq_walk walk;

	if (r < 0)
		return r;
	walk = ringq_records_walk(p, head, pos, UINT64_MAX);
	*last = walk.last;
	ringq_records_place(p, lane, walk.pos);
	return walk.astray ? -EBADMSG : 0;
}

static int records_attach_producer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	uint32_t lane = g->discipline == RINGQ_LANES ? p->index : 0;
	struct ringq_found last;
	int r;

	(void)opts;
	p->done = &p->page->progress.done;
	if (g->discipline == RINGQ_SPSC)
		p->peer_done = &ringq_port_page(p->ring, p->base, RINGQ_CONSUMER, 0)->progress.done;
	else if (g->discipline == RINGQ_LANES)
		p->peer_done = &ringq_lane_of(p->ring, p->base, lane)->progress.done;
	r = ringq_records_succeed(p, lane, RINGQ_RECORD_HEAD, &last);
	if (r < 0)
		return r;
	if (p->pos - ringq_spsc_peer_done(p) > g->capacity)
		return -EBADMSG;
	ringq_store_release(p->done, p->pos);
	return 0;
}

/* Beyond what is published a garbled word means nothing. */
void ringq_records_inherit(struct ringq_port *p)
{
	p->flags = 0;
	p->taken = ringq_load_acquire(&p->progress->taken);
	if (p->taken <= p->pos || p->taken - p->pos > p->capacity) {
		p->taken = p->pos;
		return;
	}
	p->limit = ringq_records_walk(p, RINGQ_RECORD_HEAD, p->pos, p->taken).pos;
	p->flags = p->limit > p->pos ? RINGQ_REDELIVERED : 0;
}

static int records_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	int r;

	(void)opts;
	p->progress = &p->page->progress;
	p->done = &p->progress->done;
	r = ringq_records_place(p, 0, ringq_load_acquire(p->done));
	if (r < 0)
		return r;
	ringq_store_relaxed(&p->progress->hand, p->pos);
	ringq_records_inherit(p);
	return 0;
}

/*
 * GATED, for a reader that arrives, or succeeds another: how far records are published. From the
 * producer's done, or the reader's own, on nothing is overwritten while the reader's gate is
 * where it is: no record, and no header.
 */
static int records_tail(const struct ringq_port *p, uint64_t *tail)
{
	const struct ringq_port_page *writer = ringq_port_page(p->ring, p->base, RINGQ_PRODUCER, 0);
	uint64_t from = ringq_load_acquire(&writer->progress.done);
	uint64_t own = ringq_load_acquire(&p->progress->done);
	struct ringq_walk walk;

	if (own > from)
		from = own;
	if (!records_is_position(p, from))
		return -EBADMSG;
	walk = ringq_records_walk(p, RINGQ_RECORD_HEAD, from, UINT64_MAX);
	*tail = walk.pos;
	return walk.astray ? -EBADMSG : 0;
}

static int gated_records_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	int r = ringq_records_place(p, 0, p->ring->geometry.first);

	if (r == 0)
		r = ringq_gated_arrive(p, opts, records_tail);
	return r < 0 ? r : records_attach_consumer(p, opts);
}

/* How many records the consumer, or the slowest of them, has not released. */
static uint64_t records_len_producer(const struct ringq_port *p)
{
	return ringq_records_walk(p, RINGQ_RECORD_HEAD, ringq_spsc_peer_done(p), p->pos).count;
}

/* In bytes, headers included. */
static uint64_t records_room_producer(const struct ringq_port *p)
{
	uint64_t used = p->pos - ringq_spsc_peer_done(p);

	return used < p->capacity ? p->capacity - used : 0;
}

static uint64_t records_len_consumer(const struct ringq_port *p)
{
	return ringq_records_walk(p, RINGQ_RECORD_HEAD, p->pos, UINT64_MAX).count;
}

static uint64_t records_room_consumer(const struct ringq_port *p)
{
	uint64_t end = ringq_records_walk(p, RINGQ_RECORD_HEAD, p->pos, UINT64_MAX).pos;

	return p->capacity - (end - p->pos);
}

static int records_send(struct ringq_port *p, const void *data, uint32_t size, int64_t timeout)
{
	return ringq_records_send(p, data, size, timeout);
}

static int64_t records_send_many(struct ringq_port *p, const struct iovec *records, uint64_t n,
				 int64_t timeout)
{
	return ringq_records_send_many(p, records, n, timeout);
}

static int records_reserve(struct ringq_port *p, uint32_t size, void **place, int64_t timeout)
{
	return ringq_records_reserve(p, size, place, timeout);
}

static int records_commit_size(struct ringq_port *p, uint32_t size)
{
	return ringq_records_commit(p, size);
}

/* All of the one that is reserved, or nothing. */
static int records_commit(struct ringq_port *p, uint64_t n)
{
	if (n > p->held)
		return -EINVAL;
	if (n)
		return ringq_records_commit(p, p->records.reserved);
	if (p->held)
		ringq_spsc_unhold(p);
	return 0;
}

static int records_recv(struct ringq_port *p, void *data, uint32_t room, uint32_t *size,
			int64_t timeout)
{
	return ringq_records_recv(p, data, room, size, timeout);
}

static int64_t records_recv_many(struct ringq_port *p, struct iovec *records, uint64_t n,
				 int64_t timeout)
{
	return ringq_records_recv_many(p, records, n, timeout);
}

static int64_t records_peek(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	return ringq_records_peek(p, n, timeout);
}

static int records_release(struct ringq_port *p, uint64_t n)
{
	return ringq_records_release(p, n);
}

static const void *records_next(const struct ringq_port *p, uint64_t *cursor, uint32_t *size)
{
	return ringq_record_next(p, RINGQ_RECORD_HEAD, cursor, size);
}

const struct ringq_ops ringq_records_producer = {
	.attach = records_attach_producer,
	.detach = ringq_spsc_detach_producer,
	.send_record = records_send,
	.send_records = records_send_many,
	.reserve_record = records_reserve,
	.commit_record = records_commit_size,
	.commit = records_commit,
	.peer_done = ringq_gated_peer_done,
	.drain = ringq_spsc_drain,
	.len = records_len_producer,
	.room = records_room_producer,
};

const struct ringq_ops ringq_records_consumer = {
	.attach = records_attach_consumer,
	.detach = ringq_spsc_detach_consumer,
	.recv_record = records_recv,
	.recv_records = records_recv_many,
	.peek = records_peek,
	.release = records_release,
	.record = records_next,
	.len = records_len_consumer,
	.room = records_room_consumer,
};

const struct ringq_ops ringq_gated_records_consumer = {
	.attach = gated_records_attach_consumer,
	.detach = ringq_gated_leave,
	.recv_record = records_recv,
	.recv_records = records_recv_many,
	.peek = records_peek,
	.release = records_release,
	.record = records_next,
	.len = records_len_consumer,
	.lag = records_len_consumer,
	.room = records_room_consumer,
};
