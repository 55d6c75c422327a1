// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LANES of records: the consumer of ringq/records.h, in the lane that lib/lanes.c has chosen. (A
 * producer in its lane is the producer of records.c.) As in ringq/lanes.h, an operation first
 * makes sure that there is a record in a lane that is the port's, then does what it does with
 * one lane, and then lets go of the lane if there are other consumers.
 */
#include "internal.h"

/* Bytes that a consumer takes from a lane before it looks at others. */
#define RINGQ_LANE_BYTES	32768

static void lane_enter(struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	if (ringq_records_place(p, lane, pos) < 0)
		ringq_records_corrupt(p);
	else
		ringq_records_inherit(p);
}

static int lane_fetch(struct ringq_port *p)
{
	struct ringq_found f;

	return ringq_records_fetch(p, &f);
}

static uint64_t lane_pending(const struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	return ringq_records_ahead(p, lane, pos).count;
}

static int lanes_records_attach(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	static const struct ringq_cursor cursor = {
		.enter = lane_enter, .fetch = lane_fetch,
		.pending = lane_pending, .budget = RINGQ_LANE_BYTES,
	};

	(void)opts;
	return ringq_lanes_attach(p, &cursor);
}

/* A record in a lane that is the port's: 1; end-of-file: 0; or negative errno. */
static int lanes_records_have(struct ringq_port *p, int64_t timeout)
{
	struct ringq_found f;

	if ((p->pos < p->limit || p->pos < p->lanes.leave) && ringq_records_more(p, &f))
		return 1;
	return ringq_lanes_look(p, timeout);
}

static int lanes_records_recv(struct ringq_port *p, void *data, uint32_t room, uint32_t *size,
			      int64_t timeout)
{
	int r = lanes_records_have(p, timeout);

	if (r <= 0)
		return r;
	r = ringq_records_recv(p, data, room, size, RINGQ_NOWAIT);
	ringq_lanes_end(p);
	return r;
}

static int64_t lanes_records_recv_many(struct ringq_port *p, struct iovec *records, uint64_t n,
				       int64_t timeout)
{
	int64_t r;

	if (!n)
		return -EINVAL;
	r = lanes_records_have(p, timeout);
	if (r <= 0)
		return r;
	r = ringq_records_recv_many(p, records, n, RINGQ_NOWAIT);
	ringq_lanes_end(p);
	return r;
}

static int64_t lanes_records_peek(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	int r;

	if (!n)
		return -EINVAL;
	r = lanes_records_have(p, timeout);
	return r <= 0 ? r : ringq_records_peek(p, n, RINGQ_NOWAIT);
}

static int lanes_records_release(struct ringq_port *p, uint64_t n)
{
	int r = ringq_records_release(p, n);

	if (p->held)
		return r;
	/* What a large peek found must not outlast the budget. */
	if (!p->flags && p->limit > p->lanes.leave)
		p->limit = p->pos < p->lanes.leave ? p->lanes.leave : p->pos;
	ringq_lanes_end(p);
	return r;
}

static const void *lanes_records_next(const struct ringq_port *p, uint64_t *cursor, uint32_t *size)
{
	return ringq_record_next(p, RINGQ_RECORD_HEAD, cursor, size);
}

static uint64_t lanes_records_room(const struct ringq_port *p)
{
	uint64_t room = 0, done;
	uint32_t i;

	for (i = 0; i < p->ring->geometry.producers; i++) {
		done = ringq_load_acquire(&ringq_lane_of(p->ring, p->base, i)->progress.done);
		room += p->capacity - (ringq_records_ahead(p, i, done).pos - done);
	}
	return room;
}

const struct ringq_ops ringq_lanes_records_consumer = {
	.attach = lanes_records_attach,
	.detach = ringq_lanes_detach,
	.recv_record = lanes_records_recv,
	.recv_records = lanes_records_recv_many,
	.peek = lanes_records_peek,
	.release = lanes_records_release,
	.record = lanes_records_next,
	.len = ringq_lanes_len,
	.room = lanes_records_room,
};
