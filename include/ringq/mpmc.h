/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * MPMC: several producers, several consumers, one FIFO, bounded, lossless; each message goes
 * to one consumer. MPSC and SPMC are the same with one port on a side.
 *
 * Idea. Each slot has a stamp that says for which position it may be written, or that it is
 * published (Vyukov's bounded queue). Ports of a side agree on positions by claims, which cost
 * one CAS for a batch, and none for a port that is alone on its side (ringq/claim.h). Nobody
 * waits for another port of his own side: a producer publishes its slots by their stamps, in
 * any order among the producers, and a consumer that is alone frees by its position, one plain
 * store, as in ringq/spsc.h.
 *
 * Layout: ringq/layout.h, SHAPE_SLOT and SHAPE_APART. Both are handled here by one source; the
 * element's size, constant in typed rings, chooses.
 *
 * States of the slot of position q, with c = capacity:
 *
 *   FREE(q)         may be written; so may anything of position q - c, if some consumer's done
 *                   is above q - c: "free by position"
 *   FULL(q)         published
 *   TOMB(q)         will never be published; a consumer claims and frees it like a message
 *   ORPHAN(q, ..)   published, and its consumer is gone; any other may take it, by CAS to...
 *   AGAIN(q, ..)    ...taken so, and delivered as redelivered
 *   FREE(q + c)     released by a consumer that claims by CAS
 *
 * Invariants:
 *   I1  a position is taken by one producer and by one consumer
 *   I2  all positions below the highest done of the consumers are released. Only a consumer
 *       that is alone moves its done, and what it held when it ceased to be
 *   I3  an element is written between its producer's claim and FULL, and read between a
 *       consumer's claim and its release
 *   I4  messages of one producer are published in the order in which it sent them, and
 *       claimed in this order by whoever claims them
 *
 * Ordering. R is what a consumer does, W what a producer does; claims: ringq/claim.h.
 *   W1  load done of the consumers (acquire)  pairs with R4: the reads of what is to be
 *   W2  load the stamp, FREE? (acquire)       pairs with R5   overwritten came before
 *       claim: before a TRY there is W1 or W2 for each slot, and CLOSED is looked at after it
 *   W3  store the element (plain)
 *   W4  store the stamp, FULL (release)       pairs with R1: the element comes before it
 *   W5  load attention (relaxed)              ringq/wait.h, P1 is W4
 *   R1  load the stamp, FULL? (acquire)       pairs with W4
 *       claim
 *   R3  load the element (plain)
 *   R4  alone: store done (release)           pairs with W1
 *   R5  else: store the stamp, FREE (release) pairs with W2
 *   R6  load attention (relaxed)              ringq/wait.h, P1 is R4 or R5
 *   R7  CAS of the stamp, ORPHAN to AGAIN (acquire)  pairs with the release that made it so
 *
 * Empty and full. A try that finds the position at the index not published (not free) says
 * -EAGAIN, and is right at one moment between call and return. With several ports on the other
 * side that does not mean that nothing is published: a later position may be, behind one that
 * was claimed by a producer that is still writing, and order is kept. Likewise for room behind
 * a slot that a consumer still holds. With one port on the other side it means what it says.
 *
 * What a kill leaves, and who repairs it (ringq/repair.h, before the place is given to others):
 *   producer, claimed, before W4   orphans; repair: TOMB. Of a batch, a prefix is published
 *   producer, after W4             a committed message; sleepers are woken by the death
 *   consumer, claimed, not yet R4, R5   orphans; repair: FULL or AGAIN to ORPHAN; another
 *                                  consumer, or a successor, gets it flagged. Of a batch
 *                                  released by R5 in part, the rest. A TOMB: FREE(q + c)
 *   consumer, after R4, R5         delivered and freed; producers that sleep are woken
 *   consumer of a side that has one place   is repaired by its successor, who starts at done
 *                                  and calls what lies below taken redelivered
 *   repairer                       every step is a CAS from the value that was judged: another
 *                                  one goes on
 *   consumer that detaches         between ORPHAN stamps: as if it had died there
 * Where the module keeps the memory, the repair is the module's.
 *
 * Sleepers. A port that has slept, has taken something and sees more left kicks one more of
 * its own side. For kicks are given out one for each message, and one may be spent too early:
 * q + 1 is published and its kick wakes C1, who finds q missing and sleeps again; then q is
 * published and wakes C1 again, who takes q; C2 would sleep beside q + 1. With the rule, take
 * the last kick that was given: who got it looks afterwards, at the index as it is then. If
 * what stands there is not published, all that is published lies behind a gap, and who closes
 * the gap kicks, unless nobody was armed; who armed later made a barrier, looked, and saw the
 * gap closed. If it is published, he takes it, or finds that somebody awake did; he takes what
 * he can get and kicks the next if more is left, or sleeps with nothing left at the index. Before
 * it looks for sleepers it makes a full fence, as each of them did before its last look. The
 * same holds for room. A port that waits for several at a time, or for all (drain), can be
 * woken and not be served, with the kick lost to one who could: it says so in side.wide, and
 * from then on every kick wakes all of that side.
 *
 * Progress and cost. Alone on its side, a port's try form is wait-free: a dozen plain loads
 * and stores, the data's line, and now and then the other side's done; and when it has used up
 * what it knew of, some pauses, so as not to be at the heels of the other side (lib/mpmc.c). By
 * CAS it is lock-free; a claim of any number costs one CAS, one store to a line of its own, one
 * more if it is held, and the index's line; who loses one pauses before the next (lib/internal.h).
 * A port that is stopped between its claim and W4 (R5) stops consumers there, and producers a
 * lap later; its death does not.
 */
#ifndef RINGQ_MPMC_H
#define RINGQ_MPMC_H

#include <ringq/claim.h>
#include <ringq/spsc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Claims, when it is not a matter of a few instructions; lib/mpmc.c. */
int64_t ringq_mpmc_room(struct ringq_port *port, uint64_t least, uint64_t most, int64_t timeout);
int64_t ringq_mpmc_look(struct ringq_port *port, uint64_t most, int64_t timeout);
/* Gives back what is held beyond the first n, which are published. */
void ringq_mpmc_give_back(struct ringq_port *port, uint64_t n);

#ifdef __cplusplus
}
#endif

/* At most so many are claimed at a time without a look at how things are. */
#define RINGQ_MPMC_BURST	64

ringq_inline int ringq_mpmc_is_slot(uint32_t size)
{
	return size <= RINGQ_LINE_ROOM;
}

/* Bytes from element to element. */
ringq_inline uint64_t ringq_mpmc_stride(uint32_t size)
{
	return ringq_mpmc_is_slot(size) ? ringq_slot_bytes(size) : ringq_round_up(size, RINGQ_LINE);
}

ringq_inline unsigned char *ringq_mpmc_elem(const struct ringq_port *p, uint32_t size,
					    uint64_t pos)
{
	return p->data + (pos & p->claims.mask) * ringq_mpmc_stride(size);
}

ringq_inline __u64 *ringq_mpmc_stamp(const struct ringq_port *p, uint32_t size, uint64_t pos)
{
	if (ringq_mpmc_is_slot(size))
		return (__u64 *)(ringq_mpmc_elem(p, size, pos) + ringq_mpmc_stride(size) -
				 sizeof(__u64));
	return p->stamps + (pos & p->claims.mask);
}

/*
 * Takes the line after that of position pos away from the consumers, who had it a lap ago,
 * while this one is being written.
 */
ringq_inline void ringq_mpmc_prefetch(const struct ringq_port *p, uint32_t size, uint64_t pos)
{
	const uint64_t stride = ringq_mpmc_stride(size);
	const unsigned char *next;
	uint32_t i;

	if (stride < RINGQ_LINE) {
		if (!(pos & (RINGQ_LINE / stride - 1)))
			ringq_prefetch_write(ringq_mpmc_elem(p, size, pos + RINGQ_LINE / stride));
		return;
	}
	next = ringq_mpmc_elem(p, size, pos + 1);
	for (i = 0; i < size && i < RINGQ_PREFETCH_MAX; i += RINGQ_LINE)
		ringq_prefetch_write(next + i);
}

/*
 * A consumer that lags fetches what it will read next, as in ringq/spsc.h: if what is 2n - 1
 * from here is published, what is n to 2n - 1 from here is fetched, while the n before are
 * read. If not, the next look is when it is reached.
 */
ringq_inline void ringq_mpmc_look_far(struct ringq_port *p, uint32_t size, uint64_t pos)
{
	const uint64_t stride = ringq_mpmc_stride(size);
	const uint64_t n = stride < RINGQ_PREFETCH_LAG ? RINGQ_PREFETCH_LAG / stride : 1;
	uint64_t far = pos + 2 * n - 1, i;

	if (ringq_likely((int64_t)(pos - p->far) < 0))
		return;
	p->far = far + 1;
	if (ringq_load_relaxed(ringq_mpmc_stamp(p, size, far)) != RINGQ_STAMP(far, RINGQ_FULL))
		return;
	p->far = pos + n;
	for (i = 0; i < n * stride && i < RINGQ_PREFETCH_MAX; i += RINGQ_LINE)
		__builtin_prefetch(ringq_mpmc_elem(p, size, pos + n + i / stride) + i % stride);
}

/*
 * B1 to B3, for a port that is biased and has seen that the n positions from pos, its own, on
 * are to be had. If it returns 0, nothing is taken, and something is to be looked at.
 */
ringq_inline int ringq_mpmc_claim(struct ringq_port *p, uint64_t pos, uint64_t n, int producer)
{
	const __u64 word = RINGQ_CLAIM(RINGQ_TRY, n, pos);
	__u64 *const claim = &p->page->claim;
	__u64 stop;

	ringq_store_release(claim, word);					/* B1 */
	ringq_compiler_barrier();
	ringq_delay();
	stop = ringq_load_relaxed(&p->claims.side->shared);			/* B2 */
	if (producer)
		stop |= ringq_attention(p);
	if (ringq_unlikely(stop)) {
		ringq_store_release(claim, RINGQ_CLAIM(RINGQ_OWN, 0, pos));
		return 0;
	}
	ringq_store_release(claim, word + RINGQ_CLAIM(RINGQ_OWN - RINGQ_TRY, 0, 0));	/* B3 */
	ringq_delay();
	return 1;
}

/* A burst of what a port may claim in one go: enough, and soon over. */
ringq_inline uint64_t ringq_mpmc_burst(uint64_t n)
{
	return n < RINGQ_MPMC_BURST ? n : RINGQ_MPMC_BURST;
}

/* How many are published in a row from a position on that is, at most so many. */
ringq_inline uint64_t ringq_mpmc_published(const struct ringq_port *p, uint32_t size,
					   uint64_t pos, uint64_t most)
{
	uint64_t n = 1;

	while (n < most && ringq_load_acquire(ringq_mpmc_stamp(p, size, pos + n)) ==
				   RINGQ_STAMP(pos + n, RINGQ_FULL))		/* R1 */
		n++;
	return n;
}

/*
 * Claimed room for at most so many messages from the port's position on: how many; 0 if it is
 * not a matter of a few instructions. The limit of a port that is not biased is its position.
 */
ringq_inline uint64_t ringq_mpmc_take_room(struct ringq_port *p, uint64_t most)
{
	uint64_t pos = p->pos, n = 1;

	if (ringq_unlikely(pos == p->limit))
		return 0;
	if (most > 1)
		n = most < p->limit - pos ? most : p->limit - pos;
	return ringq_likely(ringq_mpmc_claim(p, pos, n, 1)) ? n : 0;
}

/*
 * Claimed messages, at most so many, from the port's position on, none of which it was shown
 * before: how many; 0 if it is not a matter of a few instructions.
 */
ringq_inline uint64_t ringq_mpmc_take(struct ringq_port *p, uint32_t size, uint64_t most)
{
	uint64_t pos = p->pos, n;

	if (ringq_unlikely(pos == p->limit ||
			   ringq_load_acquire(ringq_mpmc_stamp(p, size, pos)) !=
				   RINGQ_STAMP(pos, RINGQ_FULL)))		/* R1 */
		return 0;
	ringq_mpmc_look_far(p, size, pos);
	n = ringq_mpmc_published(p, size, pos, most);
	return ringq_likely(ringq_mpmc_claim(p, pos, n, 0)) ? n : 0;
}

/* Publishes n messages, written at the port's position, and goes on by n. */
ringq_inline void ringq_mpmc_publish(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t pos = p->pos, end = pos + n;

	for (; pos != end; pos++)
		ringq_store_release(ringq_mpmc_stamp(p, size, pos),
				    RINGQ_STAMP(pos, RINGQ_FULL));		/* W4 */
	p->pos = end;
}

/* Frees n messages from the port's position on, and goes on by n. */
ringq_inline void ringq_mpmc_free(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t pos = p->pos, end = pos + n;

	p->pos = end;
	if (ringq_likely(p->claims.biased)) {
		ringq_store_release(p->done, end);				/* R4 */
		return;
	}
	for (; pos != end; pos++)
		ringq_store_release(ringq_mpmc_stamp(p, size, pos),
				    RINGQ_STAMP(pos + p->claims.mask + 1, RINGQ_FREE)); /* R5 */
}

ringq_inline int ringq_mpmc_send(struct ringq_port *p, const void *msg, uint32_t size,
				 int64_t timeout)
{
	uint64_t pos = p->pos;
	__u64 *stamp;

	if (ringq_unlikely(pos == p->limit) || ringq_unlikely(!ringq_mpmc_claim(p, pos, 1, 1))) {
		int r = ringq_mpmc_room(p, 1, 1, timeout);

		if (r < 0)
			return r;
		pos = p->pos;
	}
	stamp = ringq_mpmc_stamp(p, size, pos);
	ringq_mpmc_prefetch(p, size, pos);
	ringq_spsc_copy(ringq_mpmc_elem(p, size, pos), msg, size, 1);		/* W3 */
	p->pos = pos + 1;
	ringq_store_release(stamp, RINGQ_STAMP(pos, RINGQ_FULL));		/* W4 */
	ringq_notify(p, 1);							/* W5 */
	return 1;
}

ringq_inline int ringq_mpmc_recv(struct ringq_port *p, void *msg, uint32_t size,
				 int64_t timeout)
{
	if (ringq_unlikely(!ringq_mpmc_take(p, size, 1))) {
		int r = ringq_mpmc_look(p, 1, timeout);

		if (r <= 0)
			return r;
	}
	ringq_spsc_copy(msg, ringq_mpmc_elem(p, size, p->pos), size, 1);		/* R3 */
	ringq_mpmc_free(p, size, 1);
	ringq_notify(p, 1);							/* R6 */
	return 1;
}

ringq_inline int64_t ringq_mpmc_send_many(struct ringq_port *p, const void *msgs, uint32_t size,
					  uint64_t n, int64_t timeout)
{
	const unsigned char *from = (const unsigned char *)msgs;
	int64_t deadline = 0, m, i;
	uint64_t sent = 0;

	if (!n)
		return -EINVAL;
	while (sent < n) {
		m = ringq_mpmc_take_room(p, ringq_mpmc_burst(n - sent));
		if (ringq_unlikely(!m)) {
			m = ringq_mpmc_room(p, 1, ringq_mpmc_burst(n - sent),
					    timeout <= 0 ? timeout :
							   ringq_time_left(&deadline, timeout));
			if (m < 0) {
				if (!sent)
					return m;
				break;
			}
		}
		for (i = 0; i < m; i++) {
			ringq_mpmc_prefetch(p, size, p->pos);
			ringq_spsc_copy(ringq_mpmc_elem(p, size, p->pos),
					from + (sent + i) * size, size, 1);	/* W3 */
			ringq_mpmc_publish(p, size, 1);
		}
		sent += m;
	}
	ringq_notify(p, sent);							/* W5 */
	return sent;
}

ringq_inline int64_t ringq_mpmc_recv_many(struct ringq_port *p, void *msgs, uint32_t size,
					  uint64_t n, int64_t timeout)
{
	unsigned char *to = (unsigned char *)msgs;
	uint64_t got = 0;
	int64_t m, i;

	if (!n)
		return -EINVAL;
	m = ringq_mpmc_take(p, size, ringq_mpmc_burst(n));
	if (ringq_unlikely(!m)) {
		m = ringq_mpmc_look(p, ringq_mpmc_burst(n), timeout);
		if (m <= 0)
			return m;
	}
	do {
		for (i = 0; i < m; i++)
			ringq_spsc_copy(to + (got + i) * size,
					ringq_mpmc_elem(p, size, p->pos + i), size, 1); /* R3 */
		ringq_mpmc_free(p, size, m);
		got += m;
		/* What is redelivered and what is not never share a batch. */
		m = got == n ? 0 : ringq_mpmc_take(p, size, ringq_mpmc_burst(n - got));
	} while (m);
	ringq_notify(p, got);							/* R6 */
	return got;
}

/* The i-th element from the port's position. No two of them lie in a row. */
ringq_inline void *ringq_mpmc_at(const struct ringq_port *p, uint32_t size, uint64_t i,
				 uint64_t *run)
{
	if (run)
		*run = 1;
	return ringq_mpmc_elem(p, size, p->pos + i);
}

/* C4, for what is held, and the rest: of a port that is biased the word says so already. */
ringq_inline void ringq_mpmc_hold(struct ringq_port *p, uint64_t n)
{
	if (!p->claims.biased)
		ringq_store_release(&p->page->claim,
				    RINGQ_CLAIM(RINGQ_OWN, n + p->claims.rest, p->pos));
	ringq_delay();
	ringq_spsc_hold(p, n);
}

ringq_inline int ringq_mpmc_reserve(struct ringq_port *p, uint32_t size, uint64_t n,
				    int64_t timeout)
{
	int64_t r;

	if (ringq_unlikely(!n || n > RINGQ_CLAIM_MAX || p->limit - p->pos < n ||
			   !ringq_mpmc_take_room(p, n))) {
		r = ringq_mpmc_room(p, n, n, timeout);
		if (r < 0)
			return r;
	}
	ringq_mpmc_prefetch(p, size, p->pos);
	ringq_mpmc_hold(p, n);
	return 0;
}

ringq_inline int ringq_mpmc_commit(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t held = p->held;

	if (ringq_unlikely(n > held))
		return -EINVAL;
	if (!held)
		return 0;
	ringq_mpmc_publish(p, size, n);
	if (ringq_unlikely(n < held))
		ringq_mpmc_give_back(p, held - n);
	ringq_spsc_unhold(p);
	ringq_notify(p, held);							/* W5 */
	return 0;
}

ringq_inline int64_t ringq_mpmc_peek(struct ringq_port *p, uint32_t size, uint64_t n,
				     int64_t timeout)
{
	int64_t r;

	if (!n)
		return -EINVAL;
	if (n > RINGQ_CLAIM_MAX)
		n = RINGQ_CLAIM_MAX;
	r = ringq_mpmc_take(p, size, n);
	if (ringq_unlikely(!r)) {
		r = ringq_mpmc_look(p, n, timeout);
		if (r <= 0)
			return r;
	}
	ringq_store_relaxed(&p->progress->hand, p->pos + r);
	if (p->taken < p->pos + r) {
		p->taken = p->pos + r;
		ringq_store_relaxed(&p->progress->taken, p->taken);
		ringq_compiler_barrier();	/* a successor must know before anybody can look */
	}
	ringq_mpmc_hold(p, r);
	return r;
}

ringq_inline int ringq_mpmc_release(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t held = p->held;

	if (ringq_unlikely(n > held))
		return -EINVAL;
	if (!held)
		return 0;
	if (n)
		ringq_mpmc_free(p, size, n);
	ringq_spsc_unhold(p);
	if (ringq_unlikely(n < held)) {
		/* The rest is still this port's, and comes first when it comes again. */
		p->claims.rest += held - n;
		p->limit = p->pos;
		ringq_store_relaxed(&p->progress->hand, p->pos);
	}
	if (n)
		ringq_notify(p, n);						/* R6 */
	return 0;
}

/* By other names, for RINGQ_TYPED: the same algorithm, in rings with one port on a side. */
#define ringq_mpsc_send		ringq_mpmc_send
#define ringq_mpsc_send_many	ringq_mpmc_send_many
#define ringq_mpsc_reserve	ringq_mpmc_reserve
#define ringq_mpsc_commit	ringq_mpmc_commit
#define ringq_mpsc_recv		ringq_mpmc_recv
#define ringq_mpsc_recv_many	ringq_mpmc_recv_many
#define ringq_mpsc_peek		ringq_mpmc_peek
#define ringq_mpsc_release	ringq_mpmc_release
#define ringq_mpsc_at		ringq_mpmc_at
#define ringq_spmc_send		ringq_mpmc_send
#define ringq_spmc_send_many	ringq_mpmc_send_many
#define ringq_spmc_reserve	ringq_mpmc_reserve
#define ringq_spmc_commit	ringq_mpmc_commit
#define ringq_spmc_recv		ringq_mpmc_recv
#define ringq_spmc_recv_many	ringq_mpmc_recv_many
#define ringq_spmc_peek		ringq_mpmc_peek
#define ringq_spmc_release	ringq_mpmc_release
#define ringq_spmc_at		ringq_mpmc_at

#endif /* RINGQ_MPMC_H */
