/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What a dead consumer had in hand, where consumers read in order: SPSC, MPSC, LANES, and GATED
 * with RINGQ_CONSUMER_WAIT; also SPMC and MPMC with one place for consumers. One source, for the
 * module and for the library. Where several consumers claim, it is ringq/repair.h that knows.
 *
 * In hand is what the consumer had been shown in place and has not released: from done to taken,
 * which are exact (struct ringq_progress). Without RINGQ_DROP there is nothing to do: a successor
 * begins at done and calls what lies below taken redelivered. With it done is raised to taken, and
 * so all of it is free again, as if the dead one had released it. What a consumer was just copying
 * when it died was never shown to anybody: it comes to a successor in either case.
 *
 * When. The death is certified, so that nothing of it is still to come and all of it is visible;
 * and the port still counts as live, so that nobody takes its place, or a lane of its, before.
 *
 * In LANES a lane is the dead one's if its owner word says so; if there is one place for
 * consumers, all are. In GATED only a gate that stands counts: before, the reader has been shown
 * nothing, and its words may be half of what they are to be.
 *
 *   H1  load done, then taken
 *   H2  taken is above done, by the capacity at most, and the last position of these is
 *       published (which of records cannot be told): else leave all as it is
 *   H3  CAS of done, from H1's to taken       pairs with W1 of the producer: the reads of the
 *                                             dead came before its death
 *
 * What a kill of who does this leaves: done before H3, or after it. Another one finds the same as
 * he did, or nothing left to do. What was dropped may then be missing in the count, and nowhere
 * else.
 *
 * Nothing in memory is trusted: words are read once, no address follows from them without the
 * layout's bounds, and no loop is longer than there are lanes.
 *
 * Who includes this has included ringq/ready.h, and has defined:
 *
 *	int ringq_word_cas(const void *memory, __u64 offset, __u64 from, __u64 to)
 *		exchanges a word if it is from (a full barrier); non-zero if it was
 */
#ifndef RINGQ_HANDOVER_H
#define RINGQ_HANDOVER_H

#include <ringq/ready.h>

/* Do successors of a consumer take up its done and taken? */
static inline int ringq_hands_over(const struct ringq_geometry *g)
{
	switch (g->discipline) {
	case RINGQ_SPSC:
	case RINGQ_LANES:
		return 1;
	case RINGQ_GATED:
		return ringq_keeps_place(g, RINGQ_CONSUMER);
	default:
		return ringq_claims(g->discipline) && g->consumers == 1;
	}
}

/* One progress, at that offset: H1 to H3. */
static inline void ringq_hand_over_one(const struct ringq_view *v, __u32 lane, __u64 at,
				       struct ringq_tally *tally)
{
	__u64 done = RINGQ_VIEW_PROGRESS(v, at, done);				/* H1 */
	__u64 n = RINGQ_VIEW_PROGRESS(v, at, taken) - done;

	if (!n || n > v->geometry->capacity)					/* H2 */
		return;
	if (v->geometry->shape != RINGQ_SHAPE_RECORDS &&
	    !ringq_view_published(v, lane, done + n - 1))
		return;
	if (!(v->geometry->flags & RINGQ_DROP))
		tally->redelivered += n;
	else if (ringq_word_cas(v->memory, at + offsetof(struct ringq_progress, done), done,
				done + n))					/* H3 */
		tally->dropped += n;
}

static inline void ringq_hand_over_lanes(const struct ringq_view *v, __u32 generation,
					 struct ringq_tally *tally)
{
	__u64 owner = (__u64)generation << 32 | (v->port + 1), at;
	__u32 i;

	for (i = 0; i < v->geometry->producers; i++) {
		at = v->layout->lanes + i * sizeof(struct ringq_lane);
		if (v->geometry->consumers == 1 || ringq_word_at(v->memory, at) == owner)
			ringq_hand_over_one(v, i, at + offsetof(struct ringq_lane, progress),
					    tally);
	}
}

/**
 * ringq_hand_over - put in order what a dead consumer had in hand
 * @v: the ring, for which ringq_hands_over() holds, and whose port it was; geometry and layout are
 *	private.
 * @generation: of the dead port.
 * @tally: is made to say what came of it; what it says of drops may be from an earlier try.
 */
static inline void ringq_hand_over(const struct ringq_view *v, __u32 generation,
				   struct ringq_tally *tally)
{
	__u64 claim;

	tally->redelivered = 0;
	if (v->geometry->discipline == RINGQ_LANES) {
		ringq_hand_over_lanes(v, generation, tally);
		return;
	}
	if (v->geometry->discipline == RINGQ_GATED) {
		claim = RINGQ_VIEW_PAGE(v, RINGQ_CONSUMER, v->port, claim);
		if (ringq_claim_state(claim) != RINGQ_OWN)
			return;
	}
	ringq_hand_over_one(v, 0, ringq_view_progress(v, v->port), tally);
}

#endif /* RINGQ_HANDOVER_H */
