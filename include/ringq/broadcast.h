/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * LOSSY and LATEST: one producer that never waits, and readers that see every message (LOSSY)
 * or the newest (LATEST) if they come in time, and are told if they did not. Elements of a
 * fixed size; ringq/records.h has messages of any size.
 *
 * Idea. A reader copies, and looks afterwards whether what it copied was overwritten meanwhile:
 * a seqlock (Linux; Boehm, "Can seqlocks get along with programming language memory models?",
 * MSPC 2012, has the fences), and the stamp that publishes a slot serves as its sequence
 * number. The stamp counts positions, not writes: so it also tells a reader that comes too
 * late from one that comes too early, and how far the producer is.
 *
 * Layout: ringq/layout.h, SHAPE_LINE and SHAPE_APART, at least two slots. A slot is a line of
 * elements, or one large element. Before the first element of a slot is written its stamp
 * becomes BUSY: FREE of the first position that the slot gets now. From then on its old
 * elements, of a lap ago, are lost, all of them; so the further elements of a line need no
 * BUSY. A reader writes nothing but its own page.
 *
 * Invariants, with t = the producer's position, s = the stamp of position q's slot, [a, b) the
 * positions of that slot in q's lap:
 *   I1  s < FREE(a)              q is not published; nor is any later one
 *       FREE(a) <= s < FULL(q)   the slot is being written for this lap, q is not published yet
 *       FULL(q) <= s < FULL(b)   q is published and intact
 *       FULL(b) <= s             q is lost, or is just being overwritten
 *   I2  the stamp of a slot never goes down, whoever the producer is
 *   I3  slots become BUSY in the order of positions: while q is intact, all from q to t are
 *
 * Ordering. W is the producer, R the reader.
 *   W1  if at the beginning of a slot: store BUSY (release)   pairs with R4
 *   W2  release fence                                         pairs with R3
 *   W3  store the element
 *   W4  store the stamp (release)                             pairs with R1
 *   W5  store done (release)                                  pairs with L1, O1
 *   W6  load attention (relaxed)                              ringq/wait.h, P1 is W4, W5
 *   R1  load the stamp (acquire)                              pairs with W4
 *   R2  load the element
 *   R3  acquire fence                                         pairs with W2
 *   R4  load the stamp: as at R1, or what R2 got is thrown away
 *
 * If R2 got a byte of a W3 of a later lap, then W2 and R3 make W1 of that lap visible to R4,
 * which so finds FULL(b) or more. By I3 one R4, of the first of several messages, answers for
 * all of them, which is how peek works.
 *
 * W3 and R2 may meet, and to the language that is a race. What makes it sound: nothing is done
 * with what R2 got before R4 but to keep it; the fences are also barriers to the compiler, so
 * it neither gets a part of it later nor once more; and the copies are moves of the machine
 * between them, never a string instruction or a store that bypasses the cache, whose order
 * would be another (ringq_spsc_copy). ThreadSanitizer, which only knows the language, gets
 * copies of relaxed atomic bytes. Who writes or looks in place has the race in his own code.
 *
 * A reader that was overrun is told so once, by -EOVERFLOW and the number of messages that it
 * lost (ringq_lost), and goes on further up:
 *   O1  the producer's position: its done (acquire), or the stamp that R4 found if that is more
 *   O2  the oldest message that is intact, which follows from it; and a quarter of the
 *       capacity more, so that it is not overrun again at once
 *
 * LATEST. The newest value lies below the producer's done:
 *   L1  t = done (acquire)                                    pairs with W5
 *   L2  R2, R3, R4 of the value at t - 1; if it was overwritten, again from L1
 *
 * Reserve makes all its slots BUSY at once, which loses what is in them, also if the
 * reservation is given up; before that it says so in the word oldest. It must not come round
 * to the slot it begins in, which may have messages of this lap: so at most the capacity, and
 * one more, less what fits in a slot. LATEST reserves one.
 *
 * What a kill leaves, and who repairs it:
 *   producer before W1    nothing; a successor overwrites the same place
 *   producer after W1     a slot that is BUSY: its old messages are lost to who had not read
 *                         them, its new ones are not published. A successor writes them, at
 *                         the same positions, and needs no other BUSY: it is the same
 *   producer after W4     LOSSY: a committed message. LATEST: not yet committed; the value
 *                         before is the newest until a successor finds this one
 *   successor's position  done is late by one publication; the stamps say the rest
 *   reader                nothing: only its page knew of it
 *   There is nothing to repair but the sleepers. LATEST: the value before the one in whose
 *   midst the producer died stays readable, for it lies in another slot, or in the same line,
 *   which needs no BUSY then.
 *
 * Progress and cost. The producer is wait-free: an SPSC send, and one store more for each slot
 * and each message, without ever looking at a reader. LOSSY readers are wait-free: a message
 * costs one look at its stamp more than in SPSC; one that is overrun is told so. LATEST readers
 * are lock-free: who must look again knows that the producer has published a whole ring less a
 * slot of newer values meanwhile. With larger values take more slots rather than fewer.
 */
#ifndef RINGQ_BROADCAST_H
#define RINGQ_BROADCAST_H

#include <ringq/spsc.h>

#if defined(__SANITIZE_THREAD__)
#define RINGQ_RACES_SHOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RINGQ_RACES_SHOW 1
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The paths that are not fast; lib/broadcast.c. */
int ringq_lossy_room(struct ringq_port *port, uint64_t need);
int ringq_lossy_look(struct ringq_port *port, int64_t timeout);
int ringq_lossy_overrun(struct ringq_port *port);
int ringq_latest_look(struct ringq_port *port, int64_t timeout);
int ringq_latest_again(struct ringq_port *port, uint64_t tail);

#ifdef __cplusplus
}
#endif

/* Copies n elements of one slot, which may be changing meanwhile, or be looked at. */
ringq_inline void ringq_lossy_copy(void *to, const void *from, uint32_t size, uint64_t n)
{
#ifdef RINGQ_RACES_SHOW
	unsigned char *t = (unsigned char *)to;
	const unsigned char *f = (const unsigned char *)from;
	uint64_t i;

	for (i = 0; i < n * size; i++)
		ringq_store_relaxed(t + i, ringq_load_relaxed(f + i));
#else
	ringq_spsc_copy(to, from, size, n);
#endif
}

/* Points the port at a position. */
ringq_inline void ringq_lossy_seek(struct ringq_port *p, uint32_t size, uint64_t pos)
{
	uint64_t per_slot = ringq_spsc_per_slot(size);
	uint64_t slot = pos / per_slot & p->lossy.slot_mask;

	p->elem = p->data + slot * ringq_spsc_slot_size(size) + pos % per_slot * size;
	p->stamp = p->stamps + slot;
}

/* R3, R4: is what was read at the port's place still that of this position? */
ringq_inline int ringq_lossy_is_intact(const struct ringq_port *p, uint32_t size, uint64_t pos)
{
	ringq_fence_acquire();							/* R3 */
	return ringq_load_relaxed(ringq_spsc_stamp(p, size)) -
	       RINGQ_STAMP(pos, RINGQ_FULL) < p->lossy.within;			/* R4 */
}

/* The producer. */

/* At the beginning of a slot, what was in it is given up. */
ringq_inline void ringq_lossy_begin(struct ringq_port *p, uint32_t size)
{
	if (ringq_spsc_is_line(size) && (uintptr_t)p->elem & (RINGQ_LINE - 1))
		return;
	ringq_store_release(ringq_spsc_stamp(p, size),
			    RINGQ_STAMP(p->pos, RINGQ_FREE));			/* W1 */
	ringq_fence_release();							/* W2 */
}

ringq_inline void ringq_lossy_publish(struct ringq_port *p, uint32_t size, uint64_t n)
{
	ringq_spsc_publish(p, size, n);						/* W4 */
	ringq_store_release(p->done, p->pos);					/* W5 */
}

ringq_inline int ringq_lossy_send(struct ringq_port *p, const void *msg, uint32_t size,
				  int64_t timeout)
{
	int r;

	(void)timeout;
	if (ringq_unlikely(p->pos == p->limit || ringq_attention(p))) {
		r = ringq_lossy_room(p, 1);
		if (r < 0)
			return r;
	}
	ringq_spsc_prefetch(p, size);
	ringq_lossy_begin(p, size);
	ringq_lossy_copy(p->elem, msg, size, 1);				/* W3 */
	ringq_lossy_publish(p, size, 1);
	ringq_notify(p, 1);							/* W6 */
	return 1;
}

ringq_inline int64_t ringq_lossy_send_many(struct ringq_port *p, const void *msgs, uint32_t size,
					   uint64_t n, int64_t timeout)
{
	const unsigned char *from = (const unsigned char *)msgs;
	uint64_t sent = 0, m;
	int r;

	(void)timeout;
	if (!n)
		return -EINVAL;
	while (sent < n) {
		if (ringq_unlikely(p->pos == p->limit || ringq_attention(p))) {
			r = ringq_lossy_room(p, 1);
			if (r < 0) {
				if (!sent)
					return r;
				break;
			}
		}
		m = ringq_spsc_run(p, size);
		if (m > n - sent)
			m = n - sent;
		ringq_spsc_prefetch(p, size);
		ringq_lossy_begin(p, size);
		ringq_lossy_copy(p->elem, from + sent * size, size, m);		/* W3 */
		ringq_lossy_publish(p, size, m);
		sent += m;
	}
	ringq_notify(p, sent);							/* W6 */
	return sent;
}

/* The most that can be reserved. */
ringq_inline uint64_t ringq_lossy_most(const struct ringq_port *p, uint32_t size)
{
	return p->capacity + 1 - ringq_spsc_per_slot(size);
}

ringq_inline int ringq_lossy_reserve(struct ringq_port *p, uint32_t size, uint64_t n,
				     int64_t timeout)
{
	uint64_t per_slot = ringq_spsc_per_slot(size), end, i;
	int r;

	(void)timeout;
	if (ringq_unlikely(!n || n > ringq_lossy_most(p, size) || p->pos == p->limit ||
			   ringq_attention(p))) {
		r = ringq_lossy_room(p, n);
		if (r < 0)
			return r;
	}
	end = p->pos + n + per_slot - 1;
	end -= end % per_slot;
	if (end > p->capacity)
		ringq_store_release(&p->page->oldest, end - p->capacity);
	/* The slot that has the port's place in its midst is this lap's already. */
	for (i = (per_slot - p->pos % per_slot) % per_slot; i < n; i += per_slot)
		ringq_store_release(ringq_spsc_stamp_of(p, size, i),
				    RINGQ_STAMP(p->pos + i, RINGQ_FREE));	/* W1 */
	ringq_fence_release();							/* W2 */
	ringq_spsc_prefetch(p, size);
	ringq_spsc_hold(p, n);
	return 0;
}

ringq_inline int ringq_lossy_commit(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t left = n, m;

	if (ringq_unlikely(n > p->held))
		return -EINVAL;
	if (!p->held)
		return 0;
	ringq_spsc_unhold(p);
	if (!n)
		return 0;
	while (left) {
		m = ringq_spsc_run(p, size);
		if (m > left)
			m = left;
		ringq_lossy_publish(p, size, m);
		left -= m;
	}
	ringq_notify(p, n);							/* W6 */
	return 0;
}

/* A reader of LOSSY. */

/* Takes n messages as read. */
ringq_inline void ringq_lossy_step(struct ringq_port *p, uint32_t size, uint64_t n)
{
	if (ringq_likely(p->lossy.stride == 1 && (n == 1 || n <= ringq_spsc_run(p, size)))) {
		ringq_spsc_step(p, size, n);
		return;
	}
	p->pos += n * p->lossy.stride;	/* perhaps beyond the limit */
	ringq_lossy_seek(p, size, p->pos);
}

/* Is there a message at the port's position, as far as its stamp says? */
ringq_inline int ringq_lossy_have(struct ringq_port *p, uint32_t size)
{
	uint64_t ahead;

	if (ringq_likely((int64_t)(p->limit - p->pos) > 0))
		return 1;
	ahead = ringq_load_acquire(ringq_spsc_stamp(p, size)) -
		RINGQ_STAMP(p->pos, RINGQ_FULL);				/* R1 */
	if (ringq_unlikely(ahead >= p->lossy.within || p->held))
		return 0;
	p->limit = p->pos + (ahead >> 2) + 1;
	ringq_spsc_look_far(p, size);
	return 1;
}

ringq_inline int ringq_lossy_recv(struct ringq_port *p, void *msg, uint32_t size,
				  int64_t timeout)
{
	int r;

	for (;;) {
		if (ringq_unlikely(!ringq_lossy_have(p, size))) {
			r = ringq_lossy_look(p, timeout);
			if (r <= 0)
				return r;
		}
		ringq_lossy_copy(msg, p->elem, size, 1);			/* R2 */
		if (ringq_likely(ringq_lossy_is_intact(p, size, p->pos)))
			break;
		p->limit = p->pos;
	}
	ringq_lossy_step(p, size, 1);
	ringq_store_relaxed(p->done, p->pos);
	return 1;
}

ringq_inline int64_t ringq_lossy_recv_many(struct ringq_port *p, void *msgs, uint32_t size,
					   uint64_t n, int64_t timeout)
{
	unsigned char *to = (unsigned char *)msgs;
	uint64_t got = 0, m;
	int r;

	if (!n)
		return -EINVAL;
	while (got < n) {
		if (ringq_unlikely(!ringq_lossy_have(p, size))) {
			/* What comes now is told by the next call. */
			if (got)
				break;
			r = ringq_lossy_look(p, timeout);
			if (r <= 0)
				return r;
		}
		m = p->lossy.stride == 1 ? ringq_spsc_run(p, size) : 1;
		if (m > p->limit - p->pos)
			m = p->limit - p->pos;
		if (m > n - got)
			m = n - got;
		ringq_lossy_copy(to + got * size, p->elem, size, m);		/* R2 */
		if (ringq_unlikely(!ringq_lossy_is_intact(p, size, p->pos))) {
			p->limit = p->pos;
			continue;
		}
		ringq_lossy_step(p, size, m);
		got += m;
	}
	ringq_store_relaxed(p->done, p->pos);
	return got;
}

/* The i-th message for this port from its position on. */
ringq_inline void *ringq_lossy_at(const struct ringq_port *p, uint32_t size, uint64_t i,
				  uint64_t *run)
{
	void *at;

	if (ringq_likely(p->lossy.stride == 1))
		return ringq_spsc_at(p, size, i, run);
	at = ringq_spsc_at(p, size, i * p->lossy.stride, NULL);
	if (run)
		*run = 1;
	return at;
}

ringq_inline int64_t ringq_lossy_peek(struct ringq_port *p, uint32_t size, uint64_t n,
				      int64_t timeout)
{
	const uint64_t stride = p->lossy.stride;
	uint64_t ahead, span;
	int r;

	if (!n)
		return -EINVAL;
	p->limit = p->pos;	/* what was there when it was seen last may be lost by now */
	if (ringq_unlikely(!ringq_lossy_have(p, size))) {
		r = ringq_lossy_look(p, timeout);
		if (r <= 0)
			return r;
	}
	/* Further slots, further stamps. */
	span = n < p->capacity / stride ? n * stride : p->capacity;
	while (p->limit - p->pos < span) {
		ahead = ringq_load_acquire(ringq_spsc_stamp_of(p, size, p->limit - p->pos)) -
			RINGQ_STAMP(p->limit, RINGQ_FULL);			/* R1 */
		if (ahead >= p->lossy.within)
			break;
		p->limit += (ahead >> 2) + 1;
	}
	if (p->limit - p->pos > p->capacity)
		p->limit = p->pos + p->capacity;
	span = (p->limit - p->pos + stride - 1) / stride;
	if (n > span)
		n = span;
	ringq_store_relaxed(&p->progress->hand, p->pos + n * stride);
	ringq_spsc_hold(p, n);
	return n;
}

ringq_inline int ringq_lossy_release(struct ringq_port *p, uint32_t size, uint64_t n)
{
	int r = 0;

	if (ringq_unlikely(n > p->held))
		return -EINVAL;
	if (!p->held)
		return 0;
	ringq_spsc_unhold(p);
	if (n && ringq_unlikely(!ringq_lossy_is_intact(p, size, p->pos)))
		r = ringq_lossy_overrun(p);
	else if (n)
		ringq_lossy_step(p, size, n);
	ringq_store_relaxed(p->done, p->pos);
	ringq_store_relaxed(&p->progress->hand, p->pos);
	return r;
}

/* LATEST. Its limit is 0 if there is something to be noticed, else as far as positions go. */

#define ringq_latest_send	ringq_lossy_send
#define ringq_latest_commit	ringq_lossy_commit

ringq_inline int ringq_latest_reserve(struct ringq_port *p, uint32_t size, uint64_t n,
				      int64_t timeout)
{
	return ringq_lossy_reserve(p, size, n > 1 ? UINT64_MAX : n, timeout);
}

/* Points the port at the newest value: 1, and the position after it. */
ringq_inline int ringq_latest_have(struct ringq_port *p, uint32_t size, uint64_t *tail,
				   int64_t timeout)
{
	int r;

	*tail = ringq_load_acquire(p->peer_done);				/* L1 */
	if (ringq_unlikely(*tail - p->pos - 1 >= p->limit)) {
		r = ringq_latest_look(p, timeout);
		if (r <= 0)
			return r;
		*tail = ringq_load_acquire(p->peer_done);			/* L1 */
	}
	ringq_lossy_seek(p, size, *tail - 1);
	return 1;
}

ringq_inline int ringq_latest_recv(struct ringq_port *p, void *msg, uint32_t size,
				   int64_t timeout)
{
	uint64_t tail;
	int r;

	for (;;) {
		r = ringq_latest_have(p, size, &tail, timeout);
		if (r <= 0)
			return r;
		ringq_lossy_copy(msg, p->elem, size, 1);			/* L2, R2 */
		if (ringq_likely(ringq_lossy_is_intact(p, size, tail - 1)))
			break;
		r = ringq_latest_again(p, tail);
		if (r < 0)
			return r;
	}
	p->pos = tail;
	ringq_store_relaxed(p->done, tail);
	return 1;
}

/* The one that is peeked. */
ringq_inline void *ringq_latest_at(const struct ringq_port *p, uint32_t size, uint64_t i,
				   uint64_t *run)
{
	(void)size;
	(void)i;
	if (run)
		*run = 1;
	return p->elem;
}

ringq_inline int64_t ringq_latest_peek(struct ringq_port *p, uint32_t size, uint64_t n,
				       int64_t timeout)
{
	uint64_t tail;
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_latest_have(p, size, &tail, timeout);
	if (r <= 0)
		return r;
	ringq_store_relaxed(&p->progress->hand, tail);
	p->held = 1;
	p->held_limit = tail;
	p->limit = 0;
	return 1;
}

ringq_inline int ringq_latest_release(struct ringq_port *p, uint32_t size, uint64_t n)
{
	int r = 0;

	if (ringq_unlikely(n > p->held))
		return -EINVAL;
	if (!p->held)
		return 0;
	p->held = 0;
	p->limit = RINGQ_FIRST_MAX;
	if (n && ringq_unlikely(!ringq_lossy_is_intact(p, size, p->held_limit - 1)))
		r = -EOVERFLOW;
	else if (n)
		p->pos = p->held_limit;
	ringq_store_relaxed(p->done, p->pos);
	ringq_store_relaxed(&p->progress->hand, p->pos);
	return r;
}

#endif /* RINGQ_BROADCAST_H */
