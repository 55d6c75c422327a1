/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Is there something to be had? The question that a sleeper asks after it has armed, asked
 * by the module on behalf of a port, and by the library where there is none. One source,
 * so that both mean the same.
 *
 * It is answered from shared memory alone: who sleeps or polls has said in its own page how
 * far it is. The answer is exact for a side of one port, and for several it is so as long as
 * nobody else comes first. It may be a false yes where a port of the other side lies: then
 * the caller comes to look, and finds out.
 *
 * Nothing that stands in shared memory decides about an address without the layout's bounds.
 *
 * Who includes this has defined, for memory of its kind:
 *
 *	__u64 ringq_word_at(const void *memory, __u64 offset)    loads a word (acquire)
 */
#ifndef RINGQ_READY_H
#define RINGQ_READY_H

#include <ringq/claim.h>
#include <ringq/layout.h>

/* A ring as this is told of it, and whose question it is: geometry and layout are private. */
struct ringq_view {
	const struct ringq_geometry *geometry;
	const struct ringq_layout *layout;
	const void *memory;
	__u32 role;		/* enum ringq_role */
	__u32 port;		/* its number among those of its role */
	__u32 drain;		/* producer: asks whether all that it sent is released */
};

static inline struct ringq_view ringq_view_at(const struct ringq_geometry *geometry,
					      const struct ringq_layout *layout,
					      const void *memory, __u32 role, __u32 port)
{
	return (struct ringq_view){
		.geometry = geometry, .layout = layout, .memory = memory,
		.role = role, .port = port,
	};
}

static inline __u64 ringq_view_page(const struct ringq_view *v, __u32 role, __u32 port)
{
	return v->layout->ports +
	       ringq_page_of(v->geometry, role, port) * v->layout->port_stride;
}

static inline __u64 ringq_view_progress(const struct ringq_view *v, __u32 port)
{
	return ringq_view_page(v, RINGQ_CONSUMER, port) +
	       offsetof(struct ringq_port_page, progress);
}

/* A word of a consumer's progress. */
#define RINGQ_VIEW_PROGRESS(v, at, field) \
	ringq_word_at((v)->memory, (at) + offsetof(struct ringq_progress, field))

#define RINGQ_VIEW_PAGE(v, role, port, field)						\
	ringq_word_at((v)->memory, ringq_view_page(v, role, port) +			\
				   offsetof(struct ringq_port_page, field))

#define RINGQ_VIEW_SIDE(v, role, field)							\
	ringq_word_at((v)->memory, (v)->layout->sides[role] +				\
				   offsetof(struct ringq_side, field))

/*
 * The stamp says that the position, or a later one in its place, is published. (It is so in
 * a SPECIAL one too, but of a position that somebody took before.)
 */
static inline int ringq_view_published(const struct ringq_view *v, __u32 lane, __u64 pos)
{
	__u64 stamp = ringq_word_at(v->memory,
				    ringq_stamp_at(v->geometry, v->layout, lane, pos));

	if (v->geometry->shape == RINGQ_SHAPE_RECORDS)
		return stamp != 0;
	/* What repair has in hand is of the lap before, whatever number stands there. */
	if (ringq_claims(v->geometry->discipline) && ringq_stamp_state(stamp) == RINGQ_SPECIAL)
		return 0;
	return (__s64)(stamp - RINGQ_STAMP(pos, RINGQ_FULL)) >= 0;
}

/* LOSSY records: the producer has overwritten what the consumer would read next. */
static inline int ringq_view_overrun(const struct ringq_view *v, __u64 pos)
{
	return v->geometry->shape == RINGQ_SHAPE_RECORDS &&
	       v->geometry->discipline == RINGQ_LOSSY &&
	       (__s64)(RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, 0, oldest) - pos) > 0;
}

/* The next position of a consumer that reads in order, from its progress words. */
static inline __u64 ringq_view_next(const struct ringq_view *v, __u64 at)
{
	__u64 done = RINGQ_VIEW_PROGRESS(v, at, done);
	__u64 hand = RINGQ_VIEW_PROGRESS(v, at, hand);

	return hand > done ? hand : done;
}

/* Near a port's claim; ringq/claim.h. */
static inline __u64 ringq_view_near(const struct ringq_view *v, __u32 port)
{
	if (v->role == RINGQ_CONSUMER)
		return ringq_view_next(v, ringq_view_progress(v, port));
	return RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, port, progress.done);
}

/* Is a port of that role and number attached, and alive as far as is known? */
static inline int ringq_view_lives(const struct ringq_view *v, __u32 role, __u32 port)
{
	const __u64 live = v->layout->attention + offsetof(struct ringq_attention, live) +
			   role * sizeof(__u64) * RINGQ_SIDE_WORDS;

	if (port >= (role == RINGQ_PRODUCER ? v->geometry->producers : v->geometry->consumers))
		return 0;
	return ringq_word_at(v->memory, live + port / 64 * sizeof(__u64)) >> port % 64 & 1;
}

/*
 * Of LANES: in one that nobody else is reading. What this port has in hand does not count,
 * what the dead had in theirs does.
 */
static inline int ringq_ready_lanes(const struct ringq_view *v)
{
	__u64 lane, at, pos, hand;
	__u32 i, owner;

	for (i = 0; i < v->geometry->producers; i++) {
		lane = v->layout->lanes + i * sizeof(struct ringq_lane);
		at = lane + offsetof(struct ringq_lane, progress);
		owner = ringq_word_at(v->memory, lane);
		pos = RINGQ_VIEW_PROGRESS(v, at, done);
		if (!owner || owner == v->port + 1) {
			/* Other consumers may lie: who comes to look goes by done. */
			hand = RINGQ_VIEW_PROGRESS(v, at, hand);
			if (hand - pos <= v->geometry->capacity)
				pos = hand;
		} else if (ringq_view_lives(v, RINGQ_CONSUMER, owner - 1)) {
			continue;
		}
		if (ringq_view_published(v, i, pos))
			return 1;
	}
	return 0;
}

/*
 * Of MPSC, SPMC and MPMC: the first position that nobody has taken. An attacher may be between
 * its store of shared and that of the index, or have died there: the port's own word then tells
 * more than the index, which is as old as the last port that was not alone.
 */
static inline __u64 ringq_view_untaken(const struct ringq_view *v)
{
	__u64 claim = RINGQ_VIEW_PAGE(v, v->role, v->port, claim);
	__u64 index = RINGQ_VIEW_SIDE(v, v->role, index), end;

	if (ringq_claim_state(claim) == RINGQ_IDLE)
		return index;
	end = ringq_claim_end(claim, ringq_view_near(v, v->port));
	return (__s64)(end - index) > 0 ? end : index;
}

/* Of MPSC, SPMC and MPMC. */
static inline int ringq_ready_claimed(const struct ringq_view *v, __u64 need)
{
	__u64 at = ringq_view_progress(v, v->port), pos, claim, i;

	if (RINGQ_VIEW_SIDE(v, RINGQ_CONSUMER, orphans) !=
	    RINGQ_VIEW_PAGE(v, RINGQ_CONSUMER, v->port, seen))
		return 1;
	pos = ringq_view_next(v, at);
	if (RINGQ_VIEW_SIDE(v, RINGQ_CONSUMER, shared)) {
		claim = RINGQ_VIEW_PAGE(v, RINGQ_CONSUMER, v->port, claim);
		/* What was peeked, and released in part only, is still this port's. */
		if (ringq_claim_state(claim) == RINGQ_OWN && ringq_claim_count(claim)) {
			__u64 hand = RINGQ_VIEW_PROGRESS(v, at, hand);

			if (hand - ringq_claim_pos(claim, hand) < ringq_claim_count(claim))
				return 1;
		}
		pos = ringq_view_untaken(v);
	}
	/* Downwards: what is missing is most often missing at the end. */
	for (i = need; i; i--) {
		if (!ringq_view_published(v, 0, pos + i - 1))
			return 0;
	}
	return 1;
}

static inline int ringq_consumer_is_ready(const struct ringq_view *v, __u64 need)
{
	__u64 at = ringq_view_progress(v, v->port), pos;

	switch (v->geometry->discipline) {
	case RINGQ_LANES:
		return ringq_ready_lanes(v);
	case RINGQ_MPSC:
	case RINGQ_SPMC:
	case RINGQ_MPMC:
		return ringq_ready_claimed(v, need);
	case RINGQ_LATEST:
		return RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, 0, progress.done) !=
		       ringq_view_next(v, at);
	default:
		pos = ringq_view_next(v, at);
		if (v->geometry->shape == RINGQ_SHAPE_RECORDS)
			need = 1;
		return ringq_view_published(v, 0, pos + need - 1) || ringq_view_overrun(v, pos);
	}
}

/* Word i of the bits that say which consumers gate, in the order that ringq/gated.h explains. */
static inline __u64 ringq_view_gates(const struct ringq_view *v, __u32 i)
{
	const __u64 at = v->layout->attention + i * sizeof(__u64);
	const __u64 live = at + offsetof(struct ringq_attention, live) +
			   RINGQ_CONSUMER * sizeof(__u64) * RINGQ_SIDE_WORDS;
	__u64 bits = ringq_word_at(v->memory, live);

	bits |= ringq_word_at(v->memory, at + offsetof(struct ringq_attention, kept));
	return bits | ringq_word_at(v->memory, live);
}

/* How often a look begins anew because ports come and go; a departure wakes who sleeps on. */
#define RINGQ_LOOKS	16

/*
 * GATED: where the slowest consumer is, at most a lap behind pos; pos, if there is none. (A place
 * whose reader came and died during the look was seen neither as live nor as kept; but then the
 * epoch is another.)
 */
static inline __u64 ringq_view_slowest(const struct ringq_view *v, __u64 pos)
{
	const __u64 at = v->layout->attention + offsetof(struct ringq_attention, epoch);
	__u64 behind, gates = 0, epoch, one;
	__u32 i, looks = 0;

	do {
		if (looks++ == RINGQ_LOOKS)
			return pos - v->geometry->capacity;
		epoch = ringq_word_at(v->memory, at);
		behind = 0;
		for (i = 0; i < v->geometry->consumers; i++) {
			if (i % 64 == 0)
				gates = ringq_view_gates(v, i / 64);
			if (!(gates >> i % 64 & 1))
				continue;
			one = pos - RINGQ_VIEW_PROGRESS(v, ringq_view_progress(v, i), done);
			if ((__s64)one > (__s64)behind)
				behind = one;
		}
	} while (ringq_word_at(v->memory, at) != epoch);
	return pos - (behind < v->geometry->capacity ? behind : v->geometry->capacity);
}

/* Where the consumer is; of several that share the messages, who knows most. */
static inline __u64 ringq_view_done(const struct ringq_view *v)
{
	__u64 done = v->geometry->first, one;
	__u32 i;

	for (i = 0; i < v->geometry->consumers; i++) {
		one = RINGQ_VIEW_PROGRESS(v, ringq_view_progress(v, i), done);
		if ((__s64)(one - done) > 0)
			done = one;
	}
	return done;
}

/* Of MPSC, SPMC and MPMC: free by somebody's position or by its stamp. */
static inline int ringq_room_claimed(const struct ringq_view *v, __u64 need)
{
	__u64 capacity = v->geometry->capacity, pos, done, i;

	if (RINGQ_VIEW_SIDE(v, RINGQ_PRODUCER, shared))
		pos = ringq_view_untaken(v);
	else
		pos = ringq_claim_end(RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, v->port, claim),
				      RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, v->port, progress.done));
	done = ringq_view_done(v);
	/* Downwards, as far as that position does not say enough. */
	for (i = need; i; i--) {
		__u64 at = ringq_stamp_at(v->geometry, v->layout, 0, pos + i - 1);

		if ((__s64)(pos + i - 1 - done) < (__s64)capacity)
			break;
		if (ringq_word_at(v->memory, at) != RINGQ_STAMP(pos + i - 1, RINGQ_FREE))
			return 0;
	}
	return 1;
}

/* Of these: the position was published (or given up) once, and is released. */
static inline int ringq_view_released(const struct ringq_view *v, __u64 pos)
{
	__u64 stamp = ringq_word_at(v->memory, ringq_stamp_at(v->geometry, v->layout, 0, pos));

	if (ringq_stamp_state(stamp) == RINGQ_SPECIAL)
		return ringq_special_pos(stamp, pos) != pos;
	return (__s64)(stamp - RINGQ_STAMP(pos + v->geometry->capacity, RINGQ_FREE)) >= 0;
}

/*
 * Of these: all below the position that the port has stored is released. From the last one
 * down, for that is most often the one that is not.
 */
static inline int ringq_view_drained(const struct ringq_view *v)
{
	__u64 sent = RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, v->port, progress.done);
	__u64 done = ringq_view_done(v), pos = sent;

	while (sent - pos < v->geometry->capacity && (__s64)(pos - done) > 0) {
		if (!ringq_view_released(v, --pos))
			return 0;
	}
	return 1;
}

static inline int ringq_producer_is_ready(const struct ringq_view *v, __u64 need)
{
	__u64 capacity = v->geometry->capacity, pos, used;

	if (v->geometry->shape == RINGQ_SHAPE_RECORDS && need == 1)
		need = ringq_record_room(v->geometry);
	pos = RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, v->port, progress.done);
	switch (v->geometry->discipline) {
	case RINGQ_LOSSY:
	case RINGQ_LATEST:
		return 1;
	case RINGQ_MPSC:
	case RINGQ_SPMC:
	case RINGQ_MPMC:
		return v->drain ? ringq_view_drained(v) : ringq_room_claimed(v, need);
	case RINGQ_LANES:
		used = pos - RINGQ_VIEW_PROGRESS(v, v->layout->lanes +
						 v->port * sizeof(struct ringq_lane) +
						 offsetof(struct ringq_lane, progress), done);
		break;
	case RINGQ_GATED:
		used = pos - ringq_view_slowest(v, pos);
		break;
	default:
		used = pos - ringq_view_done(v);
	}
	return used > capacity || capacity - used >= need;
}

/**
 * ringq_is_ready - would a call on the port not have to wait?
 * @v: the ring, and whose port it is.
 * @need: elements, 1 to capacity. RECORDS: a consumer wants one, whatever this says; a producer
 *	wants so many bytes of room, or if it is 1, as a poller says, that for the largest.
 */
static inline int ringq_is_ready(const struct ringq_view *v, __u64 need)
{
	return v->role == RINGQ_PRODUCER ? ringq_producer_is_ready(v, need) :
					   ringq_consumer_is_ready(v, need);
}

#endif /* RINGQ_READY_H */
