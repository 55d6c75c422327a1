/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What a dead port left in a ring whose ports claim (MPSC, SPMC, MPMC), put in order, and
 * counted. One source, for the module, which keeps the memory of the device, and for the
 * library, which has the rest. ringq/claim.h has the words, ringq/mpmc.h the states of a slot.
 *
 * When. The death is certified, so nothing of it is still to come and all of it is visible.
 * The port still counts as live, so that nobody takes its place or believes himself alone; so its
 * word is its own, whenever it is read. [check-again]
 *
 * Several may be dead at once, and still count as live, each until its own repair. Their words
 * do not count here: two that died in a TRY of the same position would wait for each other.
 *
 * What. The dead port's word says which positions may be its orphans, and how far the index
 * must be. For each of them, q:
 *
 *   producer   q < index; the stamp is not yet that of q; no live producer's word covers q:
 *              CAS of the stamp to TOMB(q)
 *   consumer   q < index; the stamp is FULL(q) or TOMB(q); no live consumer's word covers
 *              q; q is not below the highest done, which is loaded after the words: CAS of
 *              the stamp to ORPHAN(q, ..), or to FREE(q + capacity) if it was TOMB(q)
 *              or: the stamp is AGAIN(q, ..) of the dead port and its generation, which says
 *              all: CAS to ORPHAN(q, ..)
 *              Then side.orphans + 1, which tells consumers to look for it
 *              With RINGQ_DROP nobody is to have it again: FREE(q + capacity) instead of
 *              ORPHAN(q, ..)
 *
 * Why the stamp first, then the index and the words, then done, then a CAS from that stamp.
 * If a live port took q, its TRY came before its CAS of the index, which was loaded (acquire):
 * so its word shows TRY, OWN, or a later one; and the later word came after it published, or
 * released, q. Then the CAS fails, or, of a consumer who frees by position, done tells. If the
 * dead port took q, nobody else will: it stays as it is found, and the CAS is for another
 * repairer who was faster, and may have died before he told. If nobody took it, q < index is false.
 *
 * A side with one place for consumers needs none of this: the successor takes up the done and
 * taken of its predecessor, and no right to write stamps for it (ringq/handover.h).
 *
 * AGAIN needs no look at words: there a live port's word may still tell of its own claim of
 * that position, from before it made an orphan of it, and only the one that the stamp names can
 * have it. Another port's AGAIN is left alone, whatever the dead one's word says.
 *
 * Nothing in memory is trusted: no address follows from it, no loop is longer than a claim's
 * largest count times the ports; a CAS of a word of the side that fails means to come again.
 * A word that makes no sense is taken for IDLE, and whatever
 * stands in live ports' words can only have the repair come again, or a slot left alone.
 *
 * A kill of the repairer leaves some slots judged and others not: another does it all again. Each
 * is counted by who made it what it became; one that nobody has lived to count is left out.
 *
 * Who includes this has included ringq/ready.h, and has defined what ringq/handover.h asks for,
 * and:
 *
 *	int ringq_port_is_dead(const void *memory, __u32 role, __u32 port)
 *		non-zero if the death of a port that counts as live is certified (acquire)
 */
#ifndef RINGQ_REPAIR_H
#define RINGQ_REPAIR_H

#include <ringq/claim.h>
#include <ringq/handover.h>
#include <ringq/ready.h>

static inline __u32 ringq_view_places(const struct ringq_view *v)
{
	return v->role == RINGQ_PRODUCER ? v->geometry->producers : v->geometry->consumers;
}

/* Who has taken it? Nobody who lives: 0; somebody: 1; somebody has perhaps: -EAGAIN. */
static inline int ringq_repair_owner(const struct ringq_view *v, __u64 pos)
{
	__u64 word;
	__u32 i;

	for (i = 0; i < ringq_view_places(v); i++) {
		if (i == v->port || !ringq_view_lives(v, v->role, i))
			continue;
		word = RINGQ_VIEW_PAGE(v, v->role, i, claim);
		if (ringq_claim_covers(word, ringq_view_near(v, i), pos) &&
		    !ringq_port_is_dead(v->memory, v->role, i))
			/* [cover, ask] */
			return ringq_claim_state(word) == RINGQ_OWN ? 1 : -EAGAIN;
	}
	return 0;
}

/* The stamp that this one becomes if the position is an orphan; itself if it is none. */
static inline __u64 ringq_repair_judge(const struct ringq_view *v, __u64 stamp, __u64 pos,
				       __u32 generation)
{
	__u64 capacity = v->geometry->capacity;

	if (v->role == RINGQ_PRODUCER)
		return ringq_stamp_is_before(stamp, pos, capacity) &&
		       ringq_stamp_state(stamp) != RINGQ_SPECIAL ?
		       RINGQ_STAMP(pos, RINGQ_TOMB) : stamp;
	if (stamp == RINGQ_STAMP(pos, RINGQ_TOMB))
		return RINGQ_STAMP(pos + capacity, RINGQ_FREE);		/* [tombs] */
	if (stamp == RINGQ_STAMP(pos, RINGQ_FULL) ||
	    stamp == ringq_special(RINGQ_AGAIN, v->port, generation, pos))	/* [again] */
		return v->geometry->flags & RINGQ_DROP ?
		       RINGQ_STAMP(pos + capacity, RINGQ_FREE) :
		       ringq_special(RINGQ_ORPHAN, v->port, generation, pos);
	return stamp;
}

/*
 * Makes an orphan what it was judged to be: 1 if that is for consumers to take, else 0. -EAGAIN: it
 * is not any more what was judged; if another repairer did that, he has perhaps not told of it.
 */
static inline int ringq_repair_exchange(const struct ringq_view *v, __u64 at, __u64 stamp,
					__u64 to, struct ringq_tally *tally)
{
	if (!ringq_word_cas(v->memory, at, stamp, to))		/* [compare] */
		return -EAGAIN;
	if (v->role == RINGQ_PRODUCER)
		tally->tombs++;
	else if (ringq_stamp_state(to) == RINGQ_SPECIAL)
		tally->redelivered++;
	else if (ringq_stamp_state(stamp) != RINGQ_TOMB)
		tally->dropped++;
	return ringq_stamp_state(to) == RINGQ_SPECIAL;
}

/* One position: 1 if it is an orphan for consumers to take, 0 if not, -EAGAIN come again. */
static inline int ringq_repair_slot(const struct ringq_view *v, __u64 pos, __u32 generation,
				    struct ringq_tally *tally)
{
	__u64 at = ringq_stamp_at(v->geometry, v->layout, 0, pos);
	__u64 stamp = ringq_word_at(v->memory, at), to;
	int r;

	to = ringq_repair_judge(v, stamp, pos, generation);
	if (to == stamp)
		return stamp == ringq_special(RINGQ_ORPHAN, v->port, generation, pos);
	if (ringq_stamp_state(stamp) == RINGQ_SPECIAL)		/* [tag-alone] */
		return ringq_repair_exchange(v, at, stamp, to, tally);
	if ((__s64)(RINGQ_VIEW_SIDE(v, v->role, index) - pos) <= 0)
		return 0;
	r = ringq_repair_owner(v, pos);
	if (r)
		return r < 0 ? r : 0;
	/* [done, done-last] */
	if (v->role == RINGQ_CONSUMER && (__s64)(ringq_view_done(v) - pos) > 0)
		return 0;
	return ringq_repair_exchange(v, at, stamp, to, tally);
}

/* A word of the side grows: to that value, or by one. Each 0, or -EAGAIN: it grows already. */
static inline int ringq_repair_raise(const struct ringq_view *v, __u64 to)
{
	__u64 at = v->layout->sides[v->role] + offsetof(struct ringq_side, index);
	__u64 index = ringq_word_at(v->memory, at);

	if ((__s64)(to - index) <= 0 || ringq_word_cas(v->memory, at, index, to))
		return 0;
	return -EAGAIN;
}

static inline int ringq_repair_tell(const struct ringq_view *v)
{
	__u64 at = v->layout->sides[v->role] + offsetof(struct ringq_side, orphans);
	__u64 count = ringq_word_at(v->memory, at);

	return ringq_word_cas(v->memory, at, count, count + 1) ? 0 : -EAGAIN;
}

/*
 * A claim as it can be: the slot of its position is in the lap before, in that one, or in the
 * next one, and freed there: the first of a batch may have been released, published and
 * released once more before the last one is released at all.
 */
static inline int ringq_repair_makes_sense(const struct ringq_view *v, __u64 word, __u64 pos)
{
	__u64 capacity = v->geometry->capacity, stamp;

	stamp = ringq_word_at(v->memory, ringq_stamp_at(v->geometry, v->layout, 0, pos));
	if (ringq_claim_state(word) == RINGQ_IDLE || ringq_claim_count(word) > capacity)
		return 0;
	return ringq_stamp_state(stamp) == RINGQ_SPECIAL ||
	       (stamp >> 2) - (pos - capacity) <= 3 * capacity;
}

/**
 * ringq_repair_port - put in order what a dead port left
 * @v: the ring, and whose port it was; geometry and layout are private.
 * @generation: of the dead port.
 * @tally: what has been done so far, by all who tried; grows.
 *
 * Returns 0, when the port can be forgotten; or -EAGAIN: a live port has perhaps taken the same
 * position, or another repairer is at it, a matter of moments. Wake everybody
 * afterwards, in both cases.
 */
static inline int ringq_repair_port(const struct ringq_view *v, __u32 generation,
				    struct ringq_tally *tally)
{
	__u64 word = RINGQ_VIEW_PAGE(v, v->role, v->port, claim);
	__u64 pos = ringq_claim_pos(word, ringq_view_near(v, v->port)), i;
	int r, orphans = 0;

	if (v->role == RINGQ_CONSUMER && v->geometry->consumers == 1) {
		ringq_hand_over(v, generation, tally);
		return 0;
	}
	if (!ringq_repair_makes_sense(v, word, pos))
		return 0;
	r = ringq_repair_raise(v, ringq_claim_end(word, pos));	/* [repair-raise] */
	if (r < 0)
		return r;
	for (i = 0; i < ringq_claim_count(word); i++) {
		r = ringq_repair_slot(v, pos + i, generation, tally);
		if (r < 0)
			return r;
		orphans += r;
	}
	return orphans && v->role == RINGQ_CONSUMER ? ringq_repair_tell(v) : 0;
}

#endif /* RINGQ_REPAIR_H */
