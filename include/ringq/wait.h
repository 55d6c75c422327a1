/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Who sleeps, and how the other side knows: the half of it that is on the fast path.
 *
 * The textbook handshake has a full fence between publishing and looking for sleepers,
 * and another between arming and looking for messages. Without the first one the
 * publisher's store may still wait in its store buffer while its load finds nobody
 * armed; the sleeper meanwhile finds nothing published, and sleeps for ever. A release
 * store followed by an acquire load has the same hole, on x86 too. But a fence at every
 * message costs many times what the message costs. So it is paid by the side that is
 * about to do nothing, for both: it makes the CPUs that run the other side pass a full
 * barrier (an asymmetric fence, as membarrier(2) describes it).
 *
 *     publisher                                sleeper
 *   P1  store the stamp, or done (release)   S1  arm: own wake word, then the attention
 *       compiler barrier                         word that the publisher reads
 *   P2  load the attention word (relaxed)    S2  heavy barrier on the publisher's CPUs
 *       non-zero: ringq_attend()             S3  load the stamp, or done (acquire)
 *                                            S4  nothing there: sleep while armed
 *
 * Either P1 comes before the barrier of S2 on the publisher's CPU, then S3 sees it; or P2
 * comes after it, then P2 sees S1. A publisher that is not running at S2 passed a full
 * barrier when it was switched out, and passes another when it is switched in.
 *
 * S1 to S4 are in lib/wait.c for memfd and private memory and in kmod/wait.c for the
 * device. The heavy barrier is membarrier(2), or the module's interrupt to the CPUs that
 * run the other side. A ring that is RINGQ_FENCE has RINGQ_FENCED in its attention words
 * from creation on, so that P2 always leads to ringq_attend(), which makes a full fence
 * and loads again: then S2 is a fence of the sleeper's own.
 *
 * Cost while nobody sleeps: one load of a line that is shared and not written, and a
 * branch that is not taken. Wait-free.
 */
#ifndef RINGQ_WAIT_H
#define RINGQ_WAIT_H

#include <ringq/atomic.h>
#include <ringq/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The attention word of this side is not zero: fence if asked to, then wake up to count. */
void ringq_attend(struct ringq_port *port, uint64_t count);

#ifdef __cplusplus
}
#endif

/* Non-zero: somebody sleeps, or the ring is closed, dead on the other side, or fenced. */
ringq_inline uint64_t ringq_attention(const struct ringq_port *p)
{
	return ringq_load_relaxed(p->attention);
}

/* To be called after count messages were published or freed. */
ringq_inline void ringq_notify(struct ringq_port *p, uint64_t count)
{
	ringq_compiler_barrier();
	ringq_delay();
	if (ringq_unlikely(ringq_attention(p)))		/* P2 */
		ringq_attend(p, count);
}

#endif /* RINGQ_WAIT_H */
