/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Claims: how the ports of one side agree who takes which position, and how others see what a
 * port was about when it died. For MPSC, SPMC and MPMC; ringq/mpmc.h has the ring itself.
 *
 * Idea. A side has an index, the next position that nobody has taken; a port takes n of them
 * by moving it on with one CAS. If it is killed before it has published (or freed) them, the
 * ring stops there, and from the index nobody can say who it was. So each port has a claim
 * word in its own page, and says there what it is about to take before it takes it, as a
 * thread says in list_op_pending which robust futex it is about to take:
 *
 *     {state:2, count:12, position:50}
 *
 *     IDLE           says nothing
 *     TRY(p, n)      may or may not have taken [p, p + n), and may be done with it since
 *     OWN(p, n)      has taken [p, p + n), and may be done with it since
 *     BACK(p, n)     has taken [p, p + n), and may be about to give it back
 *
 *     end(word)      OWN, BACK: p + n; TRY: p
 *     covers(word)   [p, p + n) in each state but IDLE
 *
 * An orphan is a position below the index that is not published (or, among consumers, not
 * released) and that no live port's word covers. Nothing that a dead port wrote decides about
 * it; its word only says where to look. A TRY that covers the position, or a BACK, of a live
 * port means to look again later, not to guess. (ringq/repair.h)
 *
 * A claim is open as long as its owner may still take something, or give it back, without another
 * look: in BACK, and in a TRY that the index is not beyond. Once it is, the TRY is decided: by CAS
 * it has taken [p, p + n) or lost it. (It never is beyond a biased port's position, see below. The
 * TRY of an orphan, far below the index, is about its stamp, and holds up nobody who attaches.)
 *
 * A position is told by its low 50 bits. Near it is the port's progress: a producer's done, a
 * consumer's done or hand, whichever is higher; a claim by CAS stores it first if it is not near
 * any more, and so does who is about to wait for more.
 *
 * Bias. A port that is alone on its side needs no index. Its word is its position: the next
 * one to take is end(word), and the word is never IDLE. It takes n positions by stores and a
 * load, with no locked instruction and no fence:
 *
 *   B1  word = TRY(pos, n)             (release)
 *       compiler barrier
 *   B2  load shared (relaxed)
 *       not zero: word = OWN(pos, 0), and see below
 *   B3  word = OWN(pos, n)             (release)
 *
 * The next port to attach pays for both, under the ring's attach lock:
 *
 *   A1  shared = 1
 *   A2  heavy barrier (ringq/wait.h) on the CPUs of the others
 *   A3  for each other port: load its word (acquire), again while it is open and the port
 *       lives; raise the index to end(word)
 *
 * Either A2 comes before B2 on the CPU of the biased port: then B2 sees A1. Or it comes after
 * B2, and so after B1: then A3 sees the TRY, or what came of it. So when the attacher goes on,
 * the index is right, and who was biased finds that out before it takes another position, or
 * when it finds the ring full or empty: it raises the index to its own position, makes its
 * word IDLE, in this order, and goes on by CAS. (A raise never lowers the index.) Every
 * attacher does all of this, whatever shared says: the last one may have died on the way.
 *
 * Back to bias. A port that claims by CAS and finds that somebody left (attention.epoch) looks
 * whether it is alone now. If it is, under the attach lock, which keeps others from attaching,
 * and if consumers have nothing unreleased below the index: word = OWN(index, 0); consumer:
 * done = index; shared = 0. An attacher that finds nobody else on its side does the same.
 *
 * A side that can have one port only is biased for good, and RINGQ_FENCE, where no one can
 * interrupt others, leaves sides of more than one place at CAS.
 *
 * Claim by CAS.
 *
 *   C1  load the index (acquire); are the positions free, or published?
 *   C2  word = TRY(index, n)           (release)
 *   C3  CAS of the index               (acquire and release)
 *   C4  word = IDLE                    (release) if the CAS failed
 *       word = OWN(index, n)           (release) if what was taken is held for as long as its
 *                                      owner likes: reserve and peek. What is sent or received
 *                                      at once stays at TRY until the next claim, or IDLE before
 *                                      a wait for more: its stamp tells when it is over, and a
 *                                      store for each message costs a tenth
 *
 * Who loads an index beyond a position (acquire) sees, of a live port that took it, TRY, OWN,
 * or a later word, and then what it published before: C2 is before C3. Of a dead port only the
 * program order counts: all that it stored is visible when its death is certified.
 *
 * Giving back, in part or whole. An index does not go back: who sees it has judged by it.
 * What a producer took by CAS and does not publish it makes a tombstone, which consumers skip.
 * A biased one takes its position back: word = BACK(p, n); compiler barrier; load shared (and
 * CLOSED, below); zero: word = OWN(p, 0); else word = OWN(p, n) and tombstones. BACK counts as
 * OWN if its owner dies, for an attacher may have read the OWN before it; TRY would not do.
 *
 * Close. A producer looks at CLOSED where it looks at shared (B2), or between C2 and C3. A
 * consumer that finds nothing and sees CLOSED makes one heavy barrier. Afterwards each producer
 * has seen CLOSED, or its word shows what it is about to take: at an open claim of a live
 * producer the consumer looks again; else the end is the highest end(word), or the index,
 * which is loaded after the words, for a word may be IDLE again. At the end is end-of-file;
 * before it, more is to come: a message, a tombstone, or what repair makes of it.
 *
 * What a kill leaves:
 *   biased, before B1          nothing
 *   biased, B1 to B3           nothing: end(TRY) is where it was
 *   biased, after B3           [p, p + n): ringq/mpmc.h; repair raises the index to the end
 *   by CAS, before C3          a TRY that took nothing: the index is not beyond it, or
 *                              somebody else's word or stamp explains why it is
 *   by CAS, after C3           [p, p + n) below the index, and no live word: orphans
 *   attacher, A1 to A3         shared = 1 and an index that may be behind; the lock is free.
 *                              Ports go on by CAS, each after it raised the index to its own
 *                              position; the next attacher does it all again
 *   back to bias               any part of it: the dead one's word tells its position, or the
 *                              index does, which is the same
 *
 * Waiting. A3 and end-of-file wait for a live port between B1 and B3, C2 and C3, or in a BACK: a
 * few instructions, unless it is stopped or descheduled just there. Repair of the very position
 * that such a port tries waits too, by CAS until that is published or released, if it is not
 * held: as long as a message, or a batch, takes to copy. A3 gives up after a second, with shared
 * left as it is. To claim is lock-free by CAS and wait-free by bias.
 *
 * Models. tests/model explores all of this, with deaths, and each rule is left out there, to see
 * that something breaks. Where a rule stands in the code, its name does, like this: [announce].
 */
#ifndef RINGQ_CLAIM_H
#define RINGQ_CLAIM_H

#include <ringq/layout.h>

/* States of a claim word. */
#define RINGQ_IDLE		0u
#define RINGQ_TRY		1u	/* may or may not have been taken by this port */
#define RINGQ_OWN		2u	/* taken by this port */
#define RINGQ_BACK		3u	/* taken by this port, and perhaps given back */

#define RINGQ_CLAIM_BITS	50	/* of a position in a claim word */
#define RINGQ_CLAIM_MAX		4095u	/* positions claimed at a time */
#define RINGQ_CLAIM_MASK	((1ull << RINGQ_CLAIM_BITS) - 1)
#define RINGQ_CLAIM_NEAR	(1ull << (RINGQ_CLAIM_BITS - 10))	/* near enough to know the rest */

#define RINGQ_CLAIM(state, n, pos)	\
	((__u64)(state) << 62 | (__u64)(n) << RINGQ_CLAIM_BITS | ((pos) & RINGQ_CLAIM_MASK))

static inline __u32 ringq_claim_state(__u64 claim)
{
	return claim >> 62;
}

static inline __u32 ringq_claim_count(__u64 claim)
{
	return claim >> RINGQ_CLAIM_BITS & RINGQ_CLAIM_MAX;
}

/* The position of a claim, which tells only its low bits, given one that is not far from it. */
static inline __u64 ringq_claim_pos(__u64 claim, __u64 near)
{
	__u64 ahead = (claim - near) & RINGQ_CLAIM_MASK;

	if (ahead >> (RINGQ_CLAIM_BITS - 1))
		ahead -= 1ull << RINGQ_CLAIM_BITS;
	return near + ahead;
}

/* Below it everything has been taken, as far as this word, which is not IDLE, knows. */
static inline __u64 ringq_claim_end(__u64 claim, __u64 near)
{
	return ringq_claim_pos(claim, near) +
	       (ringq_claim_state(claim) == RINGQ_TRY ? 0 : ringq_claim_count(claim));
}

/*
 * May its owner still take something, or give it back? The index is loaded after the word.
 * [wait-back, decided, end-decided]
 */
static inline int ringq_claim_is_open(__u64 claim, __u64 near, __u64 index)
{
	__u32 state = ringq_claim_state(claim);

	return state == RINGQ_BACK ||
	       (state == RINGQ_TRY && (__s64)(index - ringq_claim_pos(claim, near)) <= 0);
}

static inline int ringq_claim_covers(__u64 claim, __u64 near, __u64 pos)
{
	return ringq_claim_state(claim) != RINGQ_IDLE &&
	       pos - ringq_claim_pos(claim, near) < ringq_claim_count(claim);
}

/*
 * A SPECIAL stamp is a published message on its way from a consumer that died, or left, to
 * another one: {kind:1, port:9, generation:12, position:40, SPECIAL:2}. ORPHAN: to be taken by
 * whoever comes first; port and generation are the former owner's. AGAIN: taken by that port,
 * whatever words say. The generation keeps the repair of a later port in the same place from
 * taking it for what it is not.
 */
#define RINGQ_ORPHAN		0u
#define RINGQ_AGAIN		1u

#define RINGQ_SPECIAL_BITS	40	/* of a position in a special stamp */
#define RINGQ_SPECIAL_MASK	((1ull << RINGQ_SPECIAL_BITS) - 1)

static inline __u64 ringq_special(__u32 kind, __u32 port, __u32 generation, __u64 pos)
{
	return (__u64)kind << 63 | (__u64)(port & 0x1ff) << 54 |
	       (__u64)(generation & 0xfff) << 42 | (pos & RINGQ_SPECIAL_MASK) << 2 | RINGQ_SPECIAL;
}

static inline __u32 ringq_stamp_state(__u64 stamp)
{
	return stamp & 3;
}

static inline __u32 ringq_special_kind(__u64 stamp)
{
	return stamp >> 63;
}

/* The position of a special stamp, which is not far from another one. */
static inline __u64 ringq_special_pos(__u64 stamp, __u64 near)
{
	__u64 ahead = ((stamp >> 2) - near) & RINGQ_SPECIAL_MASK;

	if (ahead >> (RINGQ_SPECIAL_BITS - 1))
		ahead -= 1ull << RINGQ_SPECIAL_BITS;
	return near + ahead;
}

/*
 * May this stamp stand where position pos will be published next? Free for it, or what became
 * of the position a lap before.
 */
static inline int ringq_stamp_is_before(__u64 stamp, __u64 pos, __u64 capacity)
{
	return stamp == RINGQ_STAMP(pos, RINGQ_FREE) ||
	       stamp == RINGQ_STAMP(pos - capacity, RINGQ_FULL) ||
	       stamp == RINGQ_STAMP(pos - capacity, RINGQ_TOMB) ||
	       ringq_stamp_state(stamp) == RINGQ_SPECIAL;
}

#endif /* RINGQ_CLAIM_H */
