/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * GATED: one producer, and every reader gets every message; FIFO, bounded, lossless.
 *
 * Idea. To one reader the ring looks like SPSC, and all of ringq/spsc.h holds: stamps publish,
 * and the reader's done word frees. Only, there are several such words, and the producer goes
 * by the least of them: each reader is a gate. (So do the gating sequences of the LMAX
 * Disruptor.) A gate counts while its reader lives; what death does to it was chosen when the
 * ring was made: it is dropped, or (RINGQ_CONSUMER_WAIT) kept for a successor, who goes on
 * where the dead reader stopped. A producer that sees no gate runs free.
 *
 * Layout: ringq/layout.h. A reader's progress is in its own page; the bitmaps live and kept
 * in the attention page say whose progress counts; the word oldest in the producer's page says
 * what lies below all of them.
 *
 * Invariants, with t = the producer's position, d(r) = done of reader r, which has arrived:
 *   I1  d(r) <= t <= d(r) + capacity, for every r
 *   I2  as I2 and I3 of SPSC
 *   I3  what is at oldest or above is not overwritten, until oldest goes up
 *
 * The producer's slow path, when it has used up all the room it knew of:
 *   W1  look: the epoch, then the gates, then the epoch again until it is the same. A gate:
 *       its bit in live, in kept, in live again; if it was set in any, done (acquire).
 *       The least of them is m, or its own position if there is none.     pairs with R3, A1
 *   W1a oldest = m (release)                                              pairs with A3
 *   W1b compiler barrier (RINGQ_FENCE: full fence); look again as W1; if that found less,
 *       m is that, and again from W1a
 *   and then overwrites below m only: its limit is m + capacity.
 *
 * Why three looks at the bits. A death sets kept before it clears live; a successor's attach
 * sets live before it clears kept. Who looks at live and then at kept sees the first, who looks
 * at kept and then at live the second; both are done. An attach and a death in one look would
 * still be missed: the epoch tells.
 *
 * A reader arrives while the producer runs, with a limit in its registers that was computed
 * before there was this gate:
 *   A0  claim = IDLE, some done, and then its bit in live: by whoever gives places
 *   A1  done = what oldest says
 *   A2  heavy barrier on the producer's CPU (RINGQ_FENCE: full fence)
 *   A3  load oldest (acquire); walk over the stamps (acquire) to the first that is not
 *       published: the tail
 *   A4  done = where it begins (release): the tail, or with RINGQ_OLDEST the slowest other
 *       gate, but nothing below oldest; claim = OWN: the gate stands
 *   A5  wake the producer, which may have found A1 and gone to sleep
 *
 * Why nothing that the reader is to get is overwritten. Take any limit that the producer goes
 * by, and the second look (W1b) before it was used. If that look came after A2, it saw the
 * gate, with done from A1 or A4, which are not above where the reader begins. If it came before
 * A2, W1a did too, and so did the publication of all that was sent up to then: A3 sees both.
 * The limit is then at most the oldest that A3 loaded, + capacity; and the reader begins at
 * that oldest or above, for the tail is not below it either. (A3 may load an older, lower word
 * again if another reader arrives as well and the producer takes its limit back; so the reader
 * does not go below A1 either.) The gates that it looks at for RINGQ_OLDEST are those that stand,
 * which are never below oldest; if one of them lies, it is not believed beyond that.
 *
 * Between A0 and A4 the gate may be more than a lap behind the producer: it is taken as one
 * that is just a lap behind, so the producer waits, and overwrites nothing. The same becomes of
 * a done word that is garbage; one that is ahead of the producer does not gate.
 *
 * What a kill leaves, and who repairs it, beside what ringq/spsc.h says:
 *   producer, anywhere    a successor starts with no limit, and looks
 *   reader, before A4     a gate that stands wherever it was: dropped; or kept, and then a
 *                         successor finds that it never stood, and arrives anew
 *   reader, after A4      dropped, and the producer is woken; or kept: a successor goes on at
 *                         done, and what is below taken comes flagged
 *   reader, detaching     claim is cleared first; as before A4
 *
 * Progress and cost. A message costs what it costs in SPSC: wait-free on both sides, no
 * read-modify-write, no fence. The slow path of the producer reads one line a gate, twice;
 * with readers that keep up, once in a lap. A reader that does not go on holds up everybody, as
 * it must: a full ring goes on with the slowest reader's release, detach or death.
 */
#ifndef RINGQ_GATED_H
#define RINGQ_GATED_H

#include <ringq/spsc.h>

#define ringq_gated_send	ringq_spsc_send
#define ringq_gated_send_many	ringq_spsc_send_many
#define ringq_gated_reserve	ringq_spsc_reserve
#define ringq_gated_commit	ringq_spsc_commit
#define ringq_gated_recv	ringq_spsc_recv
#define ringq_gated_recv_many	ringq_spsc_recv_many
#define ringq_gated_peek	ringq_spsc_peek
#define ringq_gated_release	ringq_spsc_release
#define ringq_gated_at		ringq_spsc_at

#endif /* RINGQ_GATED_H */
