/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Claim words: what a port is about to take, said before it takes it, so that whoever comes
 * after its death knows what it left.
 */
#ifndef RINGQ_CLAIM_H
#define RINGQ_CLAIM_H

#include <ringq/layout.h>

/* States of a claim word. */
#define RINGQ_IDLE		0u
#define RINGQ_TRY		1u	/* may or may not have been taken */
#define RINGQ_OWN		2u	/* taken by this port */

#define RINGQ_CLAIM_BITS	50	/* of a position in a claim word */
#define RINGQ_CLAIM_MAX		4095u	/* positions claimed at a time */
#define RINGQ_CLAIM_MASK	((1ull << RINGQ_CLAIM_BITS) - 1)

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

static inline __u64 ringq_claim_end(__u64 claim, __u64 near)
{
	return ringq_claim_pos(claim, near) + ringq_claim_count(claim);
}

#endif /* RINGQ_CLAIM_H */
