/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * LANES: many producers, one or many consumers, FIFO for each producer, bounded, lossless.
 *
 * Idea. Producers that share one queue take its tail away from each other at every message.
 * Here each has a queue of its own, its lane: the ring of ringq/spsc.h, and what a producer
 * does is what it does there, whatever the others do. A consumer is the consumer of spsc.h in
 * the lane that it has entered, and goes from lane to lane. Lane i is that of producer i: who
 * takes the place of one that left or died goes on behind what that one left, and who registers
 * while others run takes a free place. The memory of all lanes is there from the beginning.
 *
 * Layout: ringq/layout.h. A lane's words (struct ringq_lane) are its consumer's progress, which
 * is in the port page in other disciplines, and its owner: who reads it just now, if there
 * may be several consumers. What a consumer notes on each lane is in its own page, unseen by
 * others.
 *
 * Which lane. A consumer stays in a lane until it is empty, or a budget of messages is used
 * up, so that no lane starves behind a busy one. Then come, in this order:
 *
 *   round       the lanes of its own shard, from the one behind the last on. With m live
 *               consumers, lane i belongs to the shard of the (i % m)-th of them; with one, all
 *               do. A lane that is found empty is passed over in the next round, then in the
 *               next 2, 4, ... 64; one that has something at once in none.
 *   hottest     several consumers: of all lanes that nobody is reading, that in which most
 *               waits. Every SWEEP-th time a sweep over all lanes comes first instead, so that a
 *               lane does not starve whose shard belongs to a consumer that is busy elsewhere.
 *   any other   all lanes from a random one on, in case another consumer was faster.
 *
 * "Empty" is said only when all lanes were looked at, those that are passed over too.
 *
 * Several consumers. Messages of a producer arrive in order only if one consumer at a time
 * takes them out of the lane. So it owns the lane from its look to its done, for one recv,
 * recv_many, or peek to release, and then lets go. Nobody waits for a lane: there are others. Who
 * comes back to a lane in which nobody has been meanwhile goes on with what it knew.
 *
 * Invariants, beside those of spsc.h, which hold in each lane:
 *   I1  with one consumer no owner word is ever written
 *   I2  only the owner of a lane stores its progress
 *   I3  owner is 0 or {generation, number + 1} of a port; no word is ever of two ports
 *   I4  of a lane without owner, hand <= done
 *
 * Ordering, with several consumers. R1 to R4 are those of spsc.h, S1 to S3 of ringq/wait.h.
 *   L1  load owner (acquire)            pairs with L2 of its owner: see "dead" below
 *   L2  CAS owner from what L1 saw      pairs with L3 of the predecessor: all that it read it
 *       (acquire, release)              has read, and its progress is seen
 *       done, R1, R2, R3
 *   L3  CAS owner to 0 (seq_cst)        pairs with L2 of the next
 *   L4  load the word that says which   pairs with S1. A consumer that found this lane owned
 *       consumers sleep (seq_cst)       sleeps although there is something in it: either its look
 *       armed, and more is published:   (S3) comes after L3, then it saw the lane free; or L4
 *       wake one of them                comes after its S1. This needs no help of the heavy
 *                                       barrier, which is for the other side's CPUs.
 *   W1 of the producer sees the reads of all consumers before this one through L3 and L2.
 *
 * What a kill leaves, beside what it leaves in spsc.h, and who repairs it:
 *   before L2           nothing
 *   L2 to L3            a lane that is owned by the dead. done and taken are exact: what was only
 *                       copied comes again, what was peeked comes again flagged, to whoever
 *                       takes the lane over
 *   after L3, before L4 a free lane, with sleepers that were not kicked: the death wakes all
 *   the taker-over      the same again
 *
 * Dead owners. A lane whose owner's live bit is clear may be taken over by L2. The bit is
 * cleared after the death is certain, when no thread can store through the port any more and
 * all that it stored is visible, or after a detach, which let go of the lane before. Who sees
 * the bit clear (acquire) sees all that came before, so what stands in the lane is the last word.
 * If the bit is set, the owner lives, or another port has its place: that one, when it attaches,
 * frees what its predecessor owned, and wakes the sleepers. L1 comes before the look at the bit,
 * so that an owner which was there cannot be one that attached after the look. And generations
 * make words unique: an L2 that comes late fails.
 *
 * Progress and cost. Producers: as in spsc.h, wait-free. One consumer: wait-free, as in spsc.h
 * while it is in a lane; to enter one costs a division and a look at the lane's words. Several:
 * two locked instructions an operation, which batches share; a consumer that is stopped in an
 * operation, or holds what it peeked, stops one lane and nothing else. End-of-file is told to
 * nobody while another consumer still has something in hand, for if that one dies it comes back.
 */
#ifndef RINGQ_LANES_H
#define RINGQ_LANES_H

#include <ringq/spsc.h>

/* Messages that a consumer takes from a lane before it looks at others. */
#define RINGQ_LANE_BUDGET	512

/* A note on a lane. */
#define RINGQ_NOTE_LEFT		0x00ffu	/* rounds in which it will be passed over yet */
#define RINGQ_NOTE_ROUNDS	0x7f00u	/* for how many it was when it was found empty last */
#define RINGQ_NOTE_SHOWN	0x8000u	/* what is peeked and not released, was so by this port */
#define RINGQ_NOTE_SHIFT	8	/* of RINGQ_NOTE_ROUNDS */
#define RINGQ_SKIP_MAX		64u

#ifdef __cplusplus
extern "C" {
#endif

/* The paths that are not fast; lib/lanes.c. */
int ringq_lanes_look(struct ringq_port *port, int64_t timeout);
void ringq_lanes_let_go(struct ringq_port *port);

#ifdef __cplusplus
}
#endif

/* A producer in its lane is a producer. */
#define ringq_lanes_send	ringq_spsc_send
#define ringq_lanes_send_many	ringq_spsc_send_many
#define ringq_lanes_reserve	ringq_spsc_reserve
#define ringq_lanes_commit	ringq_spsc_commit
#define ringq_lanes_at		ringq_spsc_at

/* At least one message below limit, in a lane that is the port's: 1; end-of-file: 0; ... */
ringq_inline int ringq_lanes_have_message(struct ringq_port *p, uint32_t size, int64_t timeout)
{
	if (ringq_likely(p->pos != p->limit ||
			 (p->pos < p->lanes.leave && ringq_spsc_more(p, size))))
		return 1;
	return ringq_lanes_look(p, timeout);
}

/* The end of an operation. */
ringq_inline void ringq_lanes_end(struct ringq_port *p)
{
	if (ringq_unlikely(p->lanes.owned))
		ringq_lanes_let_go(p);
}

ringq_inline int ringq_lanes_recv(struct ringq_port *p, void *msg, uint32_t size, int64_t timeout)
{
	int r = ringq_lanes_have_message(p, size, timeout);

	if (ringq_unlikely(r <= 0))
		return r;
	r = ringq_spsc_take(p, msg, size);
	ringq_lanes_end(p);
	return r;
}

ringq_inline int64_t ringq_lanes_recv_many(struct ringq_port *p, void *msgs, uint32_t size,
					   uint64_t n, int64_t timeout)
{
	int64_t r;

	if (!n)
		return -EINVAL;
	r = ringq_lanes_have_message(p, size, timeout);
	if (ringq_unlikely(r <= 0))
		return r;
	r = ringq_spsc_take_many(p, msgs, size, n);
	ringq_lanes_end(p);
	return r;
}

ringq_inline int64_t ringq_lanes_peek(struct ringq_port *p, uint32_t size, uint64_t n,
				      int64_t timeout)
{
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_lanes_have_message(p, size, timeout);
	return ringq_likely(r > 0) ? ringq_spsc_show(p, size, n) : r;
}

ringq_inline int ringq_lanes_release(struct ringq_port *p, uint32_t size, uint64_t n)
{
	int r = ringq_spsc_release(p, size, n);

	if (ringq_unlikely(p->held))
		return r;
	/* What a large peek found must not outlast the budget. */
	if (!p->flags && p->limit > p->lanes.leave)
		p->limit = p->pos < p->lanes.leave ? p->lanes.leave : p->pos;
	ringq_lanes_end(p);
	return r;
}

#endif /* RINGQ_LANES_H */
