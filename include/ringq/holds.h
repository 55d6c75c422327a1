/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Who holds what: how far a port is, and which positions are in its hands, as shared memory tells
 * it. One source, for the module, which is asked about rings of the device, and for the library,
 * which has the memory of the others.
 *
 * The question is that of repair (ringq/repair.h), asked about the living too. So the same words
 * answer it, and nothing is written for its sake: no message costs anything more.
 *
 *   reads in order     [done, taken): taken is stored before anything is shown in place. That of
 *                      MPSC claims as well; what its claim covers above done counts too
 *   LANES, a reader    the same of each lane; of several readers, of the one that it owns
 *   LOSSY, LATEST      readers hold nothing: it may be overwritten
 *   claims, producer   the claim covers it and the stamp is not yet that of the position
 *   claims, consumer   the claim covers it, the stamp is FULL or TOMB of the position, and it is
 *                      not below the highest done; or the stamp is AGAIN of this port
 *   other producers    what they have reserved is told nowhere: nobody waits for it
 *
 * A claim word goes stale: OWN and TRY stay there when all of it has been published or released, so
 * the stamps, or done, decide. What a TRY covers below the index is held by its port or by another
 * one that tries the same; who has lost says so in a moment. A TRY that is decided, and of which
 * nothing is left, counts as IDLE.
 *
 * Ordering. Each word is loaded once (acquire), one after the other, while the ports go on: an
 * answer about a port that is at work is made of moments, and may never have been true as a
 * whole. About one that is stopped, or sleeps, it is exact.
 *
 * Nothing in memory is trusted: no address follows from it, and no loop is longer than a claim's
 * largest count, the lanes times RINGQ_HOLDS_WALK, or the ports. Garbage gives odd numbers.
 *
 * Who includes this has included ringq/ready.h.
 */
#ifndef RINGQ_HOLDS_H
#define RINGQ_HOLDS_H

#include <ringq/claim.h>
#include <ringq/ready.h>

/* Records that are looked at, at most, to find out how far a producer has come. */
#define RINGQ_HOLDS_WALK	1024

/* What can be told; struct ringq_port_stat in ringq.h explains it. */
struct ringq_holds {
	__u64 position;
	__u64 held;
	__u64 held_at;
	__u64 waiting;
	__u32 claim;
	__u32 lane;
};

/* From a record's header to the next one; 0: nothing is published there, or it makes no sense. */
static inline __u64 ringq_holds_span(const struct ringq_view *v, __u32 lane, __u64 pos)
{
	const struct ringq_geometry *g = v->geometry;
	__u64 lead = 0, head;

	head = ringq_word_at(v->memory, ringq_stamp_at(g, v->layout, lane, pos));
	/* PAD: it begins with the row. */
	if (head > g->elem_size + 1ull && !ringq_is_mirrored(g)) {
		lead = g->capacity - (pos & (g->capacity - 1));
		head = ringq_word_at(v->memory, ringq_stamp_at(g, v->layout, lane, pos + lead));
	}
	if (!head || head > g->elem_size + 1ull)
		return 0;
	return lead + sizeof(__u64) + ringq_round_up(head - 1, sizeof(__u64));
}

static inline __u64 ringq_holds_walk(const struct ringq_view *v, __u32 lane, __u64 pos)
{
	__u64 at = pos, span;
	__u32 i;

	for (i = 0; i < RINGQ_HOLDS_WALK; i++) {
		span = ringq_holds_span(v, lane, at);
		if (!span || at + span - pos > v->geometry->capacity)
			break;
		at += span;
	}
	return at;
}

/*
 * How far the producer of a lane has published. It stores that now and then, never more than a
 * lap late; from there on the stamps tell: up to the last one that is published, all are.
 */
static inline __u64 ringq_holds_sent(const struct ringq_view *v, __u32 lane)
{
	__u64 done = RINGQ_VIEW_PAGE(v, RINGQ_PRODUCER, lane, progress.done);
	__u64 low = 0, high = v->geometry->capacity, middle;

	if (ringq_is_lossy(v->geometry->discipline))
		return done;
	if (v->geometry->shape == RINGQ_SHAPE_RECORDS)
		return ringq_holds_walk(v, lane, done);
	while (low < high) {
		middle = high - (high - low) / 2;
		if (ringq_view_published(v, lane, done + middle - 1))
			low = middle;
		else
			high = middle - 1;
	}
	return done + low;
}

/* What lies between two positions; 0 if they are the wrong way round, at most a ring full. */
static inline __u64 ringq_holds_between(const struct ringq_view *v, __u64 from, __u64 to)
{
	__u64 n = (__s64)(to - from) > 0 ? to - from : 0;

	return n < v->geometry->capacity ? n : v->geometry->capacity;
}

/* The progress words of a reader: what it was shown and has not released, beside more. */
static inline void ringq_holds_progress(const struct ringq_view *v, __u64 at,
					struct ringq_holds *holds)
{
	__u64 done = RINGQ_VIEW_PROGRESS(v, at, done);
	__u64 taken = RINGQ_VIEW_PROGRESS(v, at, taken);

	if (taken - done > v->geometry->capacity || taken == done)
		return;
	if (!holds->held)
		holds->held_at = done;
	holds->held += taken - done;
}

/* One lane, for its reader, or for who reads all of them. */
static inline void ringq_holds_lane(const struct ringq_view *v, __u32 lane, __u32 generation,
				    struct ringq_holds *holds)
{
	const __u64 words = v->layout->lanes + lane * sizeof(struct ringq_lane);
	const __u64 at = words + offsetof(struct ringq_lane, progress);
	__u64 owner, held = holds->held;

	holds->waiting += ringq_holds_between(v, RINGQ_VIEW_PROGRESS(v, at, done),
					      ringq_holds_sent(v, lane));
	if (v->geometry->consumers > 1) {
		owner = ringq_word_at(v->memory, words);
		if (owner != ((__u64)generation << 32 | (v->port + 1)))
			return;
	}
	ringq_holds_progress(v, at, holds);
	/* Of several in which one reader has left something, the first. */
	if (holds->lane == RINGQ_NO_LANE &&
	    (v->geometry->consumers > 1 || holds->held != held)) {
		holds->lane = lane;
		holds->position = RINGQ_VIEW_PROGRESS(v, at, done);
	}
}

static inline void ringq_holds_lanes(const struct ringq_view *v, __u32 generation,
				     struct ringq_holds *holds)
{
	__u64 words;
	__u32 i;

	if (v->role == RINGQ_CONSUMER) {
		for (i = 0; i < v->geometry->producers; i++)
			ringq_holds_lane(v, i, generation, holds);
		return;
	}
	words = v->layout->lanes + v->port * sizeof(struct ringq_lane) +
		offsetof(struct ringq_lane, progress);
	holds->lane = v->port;
	holds->position = ringq_holds_sent(v, v->port);
	holds->waiting = ringq_holds_between(v, RINGQ_VIEW_PROGRESS(v, words, done),
					     holds->position);
}

/* How far behind the slowest live reader of a LOSSY or LATEST ring is. */
static inline __u64 ringq_holds_lag(const struct ringq_view *v, __u64 sent)
{
	__u64 most = 0, lag;
	__u32 i;

	for (i = 0; i < v->geometry->consumers; i++) {
		if (!ringq_view_lives(v, RINGQ_CONSUMER, i))
			continue;
		lag = ringq_holds_between(v, ringq_view_next(v, ringq_view_progress(v, i)), sent);
		if (lag > most)
			most = lag;
	}
	return most;
}

/* GATED: before the gate stands the reader has been shown nothing, whatever its words say. */
static inline int ringq_holds_begun(const struct ringq_view *v)
{
	return v->geometry->discipline != RINGQ_GATED ||
	       ringq_claim_state(RINGQ_VIEW_PAGE(v, RINGQ_CONSUMER, v->port, claim)) == RINGQ_OWN;
}

/* SPSC, GATED, LOSSY, LATEST. */
static inline void ringq_holds_in_order(const struct ringq_view *v, struct ringq_holds *holds)
{
	const int lossy = ringq_is_lossy(v->geometry->discipline);
	const __u64 sent = ringq_holds_sent(v, 0), at = ringq_view_progress(v, v->port);

	if (v->role == RINGQ_CONSUMER) {
		holds->position = lossy ? ringq_view_next(v, at) : RINGQ_VIEW_PROGRESS(v, at, done);
		holds->waiting = ringq_holds_between(v, holds->position, sent);
		if (!lossy && ringq_holds_begun(v))
			ringq_holds_progress(v, at, holds);
		return;
	}
	holds->position = sent;
	if (lossy)
		holds->waiting = ringq_holds_lag(v, sent);
	else if (v->geometry->discipline == RINGQ_GATED)
		holds->waiting = ringq_holds_between(v, ringq_view_slowest(v, sent), sent);
	else
		holds->waiting = ringq_holds_between(v, ringq_view_done(v), sent);
}

/* Is a position that the port's claim covers in its hands? @done: the consumers' highest. */
static inline int ringq_holds_slot(const struct ringq_view *v, __u64 pos, __u64 done,
				   __u32 generation)
{
	__u64 stamp = ringq_word_at(v->memory, ringq_stamp_at(v->geometry, v->layout, 0, pos));

	if (v->role == RINGQ_PRODUCER)
		return ringq_stamp_is_before(stamp, pos, v->geometry->capacity) &&
		       ringq_stamp_state(stamp) != RINGQ_SPECIAL;
	if (stamp == ringq_special(RINGQ_AGAIN, v->port, generation, pos))
		return 1;
	return (stamp == RINGQ_STAMP(pos, RINGQ_FULL) || stamp == RINGQ_STAMP(pos, RINGQ_TOMB)) &&
	       (__s64)(done - pos) <= 0;
}

/* The end of what the ports of a role have taken: the index, or what one of them knows. */
static inline __u64 ringq_holds_end(const struct ringq_view *v, __u32 role)
{
	const __u32 n = role == RINGQ_PRODUCER ? v->geometry->producers : v->geometry->consumers;
	struct ringq_view one = *v;
	__u64 end = RINGQ_VIEW_SIDE(v, role, index), word, taken;
	__u32 i;

	one.role = role;
	for (i = 0; i < n; i++) {
		word = RINGQ_VIEW_PAGE(v, role, i, claim);
		if (ringq_claim_state(word) == RINGQ_IDLE)
			continue;
		taken = ringq_claim_end(word, ringq_view_near(&one, i));
		if ((__s64)(taken - end) > 0)
			end = taken;
	}
	return end;
}

/* What a claim word says, and what has become of it since. */
static inline void ringq_holds_claim(const struct ringq_view *v, __u32 generation,
				     struct ringq_holds *holds)
{
	const __u64 word = RINGQ_VIEW_PAGE(v, v->role, v->port, claim);
	const __u64 near = ringq_view_near(v, v->port), pos = ringq_claim_pos(word, near);
	const __u64 index = RINGQ_VIEW_SIDE(v, v->role, index);
	__u64 done, n = ringq_claim_count(word), i;

	holds->claim = ringq_claim_state(word);
	holds->position = holds->claim == RINGQ_IDLE ? near : ringq_claim_end(word, near);
	if (holds->claim == RINGQ_IDLE || n > v->geometry->capacity)
		return;
	if (holds->claim == RINGQ_TRY) {
		if (ringq_claim_is_open(word, near, index))
			return;
		holds->position += n;
	}
	done = ringq_view_done(v);
	for (i = 0; i < n; i++) {
		if (!ringq_holds_slot(v, pos + i, done, generation))
			continue;
		if (!holds->held++)
			holds->held_at = pos + i;
	}
	if (holds->held)
		holds->position = holds->held_at;
	else if (holds->claim == RINGQ_TRY)
		holds->claim = RINGQ_IDLE;
}

/* MPSC, SPMC, MPMC. */
static inline void ringq_holds_claims(const struct ringq_view *v, __u32 generation,
				      struct ringq_holds *holds)
{
	const int single = v->geometry->consumers == 1;
	const __u64 at = ringq_view_progress(v, v->role == RINGQ_CONSUMER ? v->port : 0);
	struct ringq_holds shown = { 0 };

	ringq_holds_claim(v, generation, holds);
	holds->waiting = ringq_holds_between(v, single ? RINGQ_VIEW_PROGRESS(v, at, done) :
						ringq_holds_end(v, RINGQ_CONSUMER),
					     ringq_holds_end(v, RINGQ_PRODUCER));
	if (v->role == RINGQ_PRODUCER)
		return;
	if (!single) {
		if (holds->claim != RINGQ_TRY)
			holds->waiting += holds->held;
		return;
	}
	/* What it, or the one before, was shown, and has released in part. */
	holds->position = RINGQ_VIEW_PROGRESS(v, at, done);
	ringq_holds_progress(v, at, &shown);
	if (shown.held > holds->held) {
		holds->held = shown.held;
		holds->held_at = shown.held_at;
	}
}

/**
 * ringq_holds_of - how far a port is, and what it holds
 * @v: the ring, and whose port it is, live or dead; geometry and layout are private.
 * @generation: of the port.
 */
static inline struct ringq_holds ringq_holds_of(const struct ringq_view *v, __u32 generation)
{
	struct ringq_holds holds = { .claim = RINGQ_IDLE, .lane = RINGQ_NO_LANE };

	if (ringq_claims(v->geometry->discipline))
		ringq_holds_claims(v, generation, &holds);
	else if (v->geometry->discipline == RINGQ_LANES)
		ringq_holds_lanes(v, generation, &holds);
	else
		ringq_holds_in_order(v, &holds);
	return holds;
}

#endif /* RINGQ_HOLDS_H */
