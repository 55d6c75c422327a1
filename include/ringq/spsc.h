/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * SPSC: one producer, one consumer, FIFO, bounded, lossless.
 *
 * Idea. The textbook ring has two indices, and a message costs the moves of three lines
 * between the cores: the data, the producer's index, the consumer's index. Here a message
 * is published by a stamp that lies beside it (Vyukov's bounded queue has such sequence
 * words in its slots; FastForward, Giacomoni et al., PPoPP 2008, let the slot itself tell
 * whether it is full), so the consumer looks where it will read anyway, and one line
 * moves. A line of small elements has one stamp for all of them. The consumer frees by
 * its position: one word, that the producer reads only when it has used up all the room it
 * knew of, once in a lap if the consumer keeps up.
 *
 * Layout: ringq/layout.h, SHAPE_LINE and SHAPE_APART. Both are handled here by one
 * source; the element's size, constant in typed rings, chooses.
 *
 * Invariants, with t = the producer's position, h = the consumer's done word:
 *   I1  h <= t <= h + capacity
 *   I2  the stamp of position q is FULL(q) or, in a line, FULL of a later position of the
 *       same line and lap, if and only if q was published
 *   I3  only the producer stores stamps and elements, only the consumer stores done
 *
 * Ordering. R is what the consumer does, W what the producer does.
 *   W1  load the consumer's done (acquire)   pairs with R3: the reads of what is now to be
 *                                            overwritten came before
 *   W2  store the element (plain)
 *   W3  store the stamp (release)            pairs with R1: the element comes before it
 *   W4  load attention (relaxed)             ringq/wait.h, P1 is W3
 *   R1  load the stamp (acquire)             pairs with W3
 *   R2  load the element (plain)
 *   R3  store done (release)                 pairs with W1
 *   R4  load attention (relaxed)             ringq/wait.h, P1 is R3
 *
 * What a kill leaves, and who repairs it:
 *   producer before W3    an element that nobody sees; a successor overwrites it
 *   producer after W3     a committed message; if the consumer sleeps, it is woken by the
 *                         death as it would have been by W4
 *   producer, batch       a prefix of the batch is committed: stamps go upwards
 *   consumer before R3    recv: the message was not delivered, a successor gets it. peek:
 *                         it was shown, taken says so; a successor gets it, flagged
 *   consumer after R3     delivered and freed
 *   successor's position  producer: done of the dead one is at most a lap late, the stamps
 *                         say the rest (ringq_spsc_ahead); consumer: done is exact
 *   There is nothing to repair but the sleepers.
 *
 * Progress and cost. A message costs each side a bounded number of plain loads and stores:
 * wait-free, no read-modify-write, no fence, no system call while nobody sleeps. A full or
 * empty ring is said to be so, or waited for (lib/wait.c), which is blocking by nature.
 *
 * The other side is not trusted to be right: every word read from it is compared with what
 * it can be before it is used, so that garbage becomes -EBADMSG, and all addresses come
 * from the port's own pointers.
 */
#ifndef RINGQ_SPSC_H
#define RINGQ_SPSC_H

#include <ringq/atomic.h>
#include <ringq/layout.h>
#include <ringq/port.h>
#include <ringq/wait.h>
#include <string.h>

/* How much of the next element a producer fetches ahead, at most. */
#define RINGQ_PREFETCH_MAX	4096

/* How much a consumer that lags fetches ahead, in whole elements. */
#define RINGQ_PREFETCH_LAG	(16 * RINGQ_LINE)

#ifdef __cplusplus
extern "C" {
#endif

/* The paths that are not fast; lib/spsc.c. */
int ringq_spsc_room(struct ringq_port *port, uint64_t need, int64_t timeout);
int ringq_spsc_look(struct ringq_port *port, int64_t timeout);
int64_t ringq_time_left(int64_t *deadline, int64_t timeout);

#ifdef __cplusplus
}
#endif

ringq_inline int ringq_spsc_is_line(uint32_t size)
{
	return size <= RINGQ_LINE_ROOM;
}

/* The stamp of the element at the port's position. */
ringq_inline __u64 *ringq_spsc_stamp(const struct ringq_port *p, uint32_t size)
{
	if (ringq_spsc_is_line(size))
		return (__u64 *)(((uintptr_t)p->elem & ~(uintptr_t)(RINGQ_LINE - 1)) +
				    RINGQ_LINE_ROOM);
	return p->stamp;
}

/* Elements of a slot, which share its stamp, and its bytes. */
ringq_inline uint32_t ringq_spsc_per_slot(uint32_t size)
{
	return ringq_spsc_is_line(size) ? ringq_per_line(size) : 1;
}

ringq_inline uint32_t ringq_spsc_slot_size(uint32_t size)
{
	return ringq_spsc_is_line(size) ? RINGQ_LINE : ringq_round_up(size, RINGQ_LINE);
}

/* How many elements, from the port's position on, lie in a row under one stamp. */
ringq_inline uint64_t ringq_spsc_run(const struct ringq_port *p, uint32_t size)
{
	if (ringq_spsc_per_slot(size) > 1)
		return ringq_per_line(size) - ((uintptr_t)p->elem & (RINGQ_LINE - 1)) / size;
	return 1;
}

/* Goes n elements on, at most ringq_spsc_run() of them. */
ringq_inline void ringq_spsc_step(struct ringq_port *p, uint32_t size, uint64_t n)
{
	p->pos += n;
	if (ringq_spsc_is_line(size)) {
		uint32_t end = ringq_per_line(size) * size;

		unsigned char *elem = p->elem + n * size;

		if (((uintptr_t)elem & (RINGQ_LINE - 1)) == end) {
			elem += RINGQ_LINE - end;
			if (ringq_unlikely(elem == p->data_end))
				elem = p->data;
		}
		p->elem = elem;
	} else {
		p->elem += ringq_round_up(size, RINGQ_LINE);
		p->stamp++;
		if (ringq_unlikely(p->elem == p->data_end)) {
			p->elem = p->data;
			p->stamp = p->stamps;
		}
	}
}

/*
 * Takes the next slot away from the consumer, who had it a lap ago, while this one is being
 * written. That doubles the rate of elements that fill a line, and of large ones.
 */
ringq_inline void ringq_spsc_prefetch(const struct ringq_port *p, uint32_t size)
{
	const unsigned char *next;
	uint32_t i;

	if (ringq_spsc_is_line(size) && (uintptr_t)p->elem & (RINGQ_LINE - 1))
		return;
	next = p->elem + ringq_spsc_slot_size(size);
	if (next == p->data_end)
		next = p->data;
	for (i = 0; i < size && i < RINGQ_PREFETCH_MAX; i += RINGQ_LINE)
		ringq_prefetch_write(next + i);
}

/*
 * Copies n elements of one slot. Large ones go line by line, for memcpy() is a string
 * instruction to some compilers, and that makes no use of lines that were fetched ahead.
 */
ringq_inline void ringq_spsc_copy(void *to, const void *from, uint32_t size, uint64_t n)
{
	unsigned char *t = (unsigned char *)to;
	const unsigned char *f = (const unsigned char *)from;
	uint32_t i;

	if (ringq_spsc_per_slot(size) > 1 && size < sizeof(uint64_t)) {
		memcpy(t, f, n * size);
		return;
	}
	/* A few of them: moves of a size that is known are faster than a call. */
	if (ringq_spsc_per_slot(size) > 1) {
		for (i = 0; i < n; i++)
			memcpy(t + i * size, f + i * size, size);
		return;
	}
	for (i = 0; i + RINGQ_LINE <= size; i += RINGQ_LINE) {
		memcpy(t + i, f + i, RINGQ_LINE);
		ringq_compiler_barrier();
	}
	memcpy(t + i, f + i, size - i);
}

/* Publishes n elements that have been written at the port's position, at most a run. */
ringq_inline void ringq_spsc_publish(struct ringq_port *p, uint32_t size, uint64_t n)
{
	ringq_store_release(ringq_spsc_stamp(p, size),
			    RINGQ_STAMP(p->pos + n - 1, RINGQ_FULL));		/* W3 */
	ringq_spsc_step(p, size, n);
}

/* Room for at least one message, or an error; 1 or negative errno. */
ringq_inline int ringq_spsc_have_room(struct ringq_port *p, int64_t timeout)
{
	if (ringq_unlikely(p->pos == p->limit || ringq_attention(p)))
		return ringq_spsc_room(p, 1, timeout);
	return 1;
}

/*
 * A consumer that lags fetches what it will read next before it gets there: one miss at a
 * time would be the pace otherwise. But only what has been published: to look at a line
 * that is being written is to take it away from the writer. So one look goes far ahead: if
 * slot 2n - 1 from here is published, all before it are, and n to 2n - 1 are fetched while
 * the n before them are read. If it is not, the next look waits until we have got there.
 */
ringq_inline void ringq_spsc_look_far(struct ringq_port *p, uint32_t size)
{
	const uint64_t slot_size = ringq_spsc_slot_size(size), each = ringq_spsc_per_slot(size);
	const uint64_t n = slot_size < RINGQ_PREFETCH_LAG ? RINGQ_PREFETCH_LAG / slot_size : 1;
	const uint64_t span = p->data_end - p->data;
	unsigned char *slot, *far;
	const __u64 *stamp;
	uint64_t ahead, i;

	if (ringq_likely(p->pos < p->far))
		return;
	slot = p->elem - ((uintptr_t)p->elem & (RINGQ_LINE - 1));
	if (ringq_spsc_is_line(size)) {
		far = slot + (2 * n - 1) * RINGQ_LINE;
		stamp = (const __u64 *)((far < p->data_end ? far : far - span) + RINGQ_LINE_ROOM);
	} else {
		i = p->stamp - p->stamps + 2 * n - 1;
		stamp = p->stamps + (i < p->capacity ? i : i - p->capacity);
	}
	/*
	 * In this lap its stamp is higher than this, whatever part of it is published. One that is
	 * not FULL is only reserved (LOSSY: BUSY), and says nothing of those before it.
	 */
	ahead = ringq_load_acquire(stamp) -
		RINGQ_STAMP(p->pos + (2 * n - 2) * each, RINGQ_FULL);		/* R1 */
	if (ahead >= p->capacity << 2 || ahead & 3) {
		p->far = p->pos + 2 * n * each;
		return;
	}
	p->limit = p->pos + n * each;
	slot += n * slot_size;
	for (i = 0; i < n * slot_size && i < RINGQ_PREFETCH_MAX; i += RINGQ_LINE) {
		far = slot + i;
		__builtin_prefetch(far < p->data_end ? far : far - span);
	}
}

/* All below limit is read. Is more published? Then limit is moved up: 1; else 0. */
ringq_inline int ringq_spsc_more(struct ringq_port *p, uint32_t size)
{
	uint64_t ahead = ringq_load_acquire(ringq_spsc_stamp(p, size)) -
			 RINGQ_STAMP(p->pos, RINGQ_FULL);			/* R1 */

	/* A stamp of an earlier lap is a huge number here, as is garbage. */
	if (ringq_unlikely(ahead >= p->capacity << 2 || p->held))
		return 0;
	p->limit = p->pos + (ahead >> 2) + 1;
	p->flags = 0;
	ringq_spsc_look_far(p, size);
	return 1;
}

/* At least one message below limit: 1; end-of-file: 0; or negative errno. */
ringq_inline int ringq_spsc_have_message(struct ringq_port *p, uint32_t size, int64_t timeout)
{
	if (ringq_likely(p->pos != p->limit || ringq_spsc_more(p, size)))
		return 1;
	return ringq_spsc_look(p, timeout);
}

ringq_inline int ringq_spsc_send(struct ringq_port *p, const void *msg, uint32_t size,
				 int64_t timeout)
{
	int r = ringq_spsc_have_room(p, timeout);

	if (ringq_unlikely(r < 0))
		return r;
	ringq_spsc_prefetch(p, size);
	ringq_spsc_copy(p->elem, msg, size, 1);					/* W2 */
	ringq_spsc_publish(p, size, 1);
	ringq_notify(p, 1);							/* W4 */
	return 1;
}

/* The message at the port's position, which is there. */
ringq_inline int ringq_spsc_take(struct ringq_port *p, void *msg, uint32_t size)
{
	ringq_spsc_copy(msg, p->elem, size, 1);					/* R2 */
	ringq_spsc_step(p, size, 1);
	ringq_store_release(p->done, p->pos);					/* R3 */
	ringq_notify(p, 1);							/* R4 */
	return 1;
}

ringq_inline int ringq_spsc_recv(struct ringq_port *p, void *msg, uint32_t size,
				 int64_t timeout)
{
	int r = ringq_spsc_have_message(p, size, timeout);

	return ringq_likely(r > 0) ? ringq_spsc_take(p, msg, size) : r;
}

ringq_inline int64_t ringq_spsc_send_many(struct ringq_port *p, const void *msgs, uint32_t size,
					  uint64_t n, int64_t timeout)
{
	const unsigned char *from = (const unsigned char *)msgs;
	int64_t deadline = 0;
	uint64_t sent = 0, m;
	int r;

	if (!n)
		return -EINVAL;
	while (sent < n) {
		if (ringq_unlikely(p->pos == p->limit || ringq_attention(p))) {
			r = ringq_spsc_room(p, 1, ringq_time_left(&deadline, timeout));
			if (r < 0) {
				if (!sent)
					return r;
				break;
			}
		}
		m = ringq_spsc_run(p, size);
		if (m > p->limit - p->pos)
			m = p->limit - p->pos;
		if (m > n - sent)
			m = n - sent;
		ringq_spsc_prefetch(p, size);
		ringq_spsc_copy(p->elem, from + sent * size, size, m);		/* W2 */
		ringq_spsc_publish(p, size, m);
		sent += m;
	}
	ringq_notify(p, sent);							/* W4 */
	return sent;
}

/* Up to n messages from the port's position on; at least one is there. */
ringq_inline int64_t ringq_spsc_take_many(struct ringq_port *p, void *msgs, uint32_t size,
					  uint64_t n)
{
	unsigned char *to = (unsigned char *)msgs;
	uint64_t got = 0, m;

	while (got < n) {
		/* What is redelivered and what is not never share a batch. */
		if (p->pos == p->limit && (p->flags || !ringq_spsc_more(p, size)))
			break;
		m = ringq_spsc_run(p, size);
		if (m > p->limit - p->pos)
			m = p->limit - p->pos;
		if (m > n - got)
			m = n - got;
		ringq_spsc_copy(to + got * size, p->elem, size, m);		/* R2 */
		ringq_spsc_step(p, size, m);
		got += m;
	}
	ringq_store_release(p->done, p->pos);					/* R3 */
	ringq_notify(p, got);							/* R4 */
	return got;
}

ringq_inline int64_t ringq_spsc_recv_many(struct ringq_port *p, void *msgs, uint32_t size,
					  uint64_t n, int64_t timeout)
{
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_spsc_have_message(p, size, timeout);
	return ringq_likely(r > 0) ? ringq_spsc_take_many(p, msgs, size, n) : r;
}

/* The i-th element from the port's position, and how many lie in a row from it on. */
ringq_inline void *ringq_spsc_at(const struct ringq_port *p, uint32_t size, uint64_t i,
				 uint64_t *run)
{
	uint64_t per_slot = 1, slot_size = ringq_round_up(size, RINGQ_LINE), first = 0;
	unsigned char *slot = p->elem;

	if (ringq_spsc_is_line(size)) {
		per_slot = ringq_per_line(size);
		slot_size = RINGQ_LINE;
		first = ((uintptr_t)p->elem & (RINGQ_LINE - 1)) / size;
		slot -= first * size;
	}
	i += first;
	slot += i / per_slot * slot_size;
	if (slot >= p->data_end)
		slot -= p->data_end - p->data;
	if (run)
		*run = per_slot - i % per_slot;
	return slot + i % per_slot * size;
}

/* The stamp of that element. */
ringq_inline __u64 *ringq_spsc_stamp_of(const struct ringq_port *p, uint32_t size, uint64_t i)
{
	if (ringq_spsc_is_line(size))
		return (__u64 *)(((uintptr_t)ringq_spsc_at(p, size, i, NULL) &
				     ~(uintptr_t)(RINGQ_LINE - 1)) + RINGQ_LINE_ROOM);
	i += p->stamp - p->stamps;
	return p->stamps + (i < p->capacity ? i : i - p->capacity);
}

/*
 * A port that holds elements, reserved or peeked, has its limit at its position, so that
 * every other operation leaves the fast path and finds that out there.
 */
ringq_inline void ringq_spsc_hold(struct ringq_port *p, uint64_t n)
{
	p->held = n;
	p->held_limit = p->limit;
	p->limit = p->pos;
}

ringq_inline void ringq_spsc_unhold(struct ringq_port *p)
{
	p->held = 0;
	p->limit = p->held_limit;
}

ringq_inline int ringq_spsc_reserve(struct ringq_port *p, uint32_t size, uint64_t n,
				    int64_t timeout)
{
	int r;

	if (ringq_unlikely(!n || p->limit - p->pos < n || ringq_attention(p))) {
		r = ringq_spsc_room(p, n, timeout);
		if (r < 0)
			return r;
	}
	ringq_spsc_prefetch(p, size);
	ringq_spsc_hold(p, n);
	return 0;
}

ringq_inline int ringq_spsc_commit(struct ringq_port *p, uint32_t size, uint64_t n)
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
		ringq_spsc_publish(p, size, m);
		left -= m;
	}
	ringq_notify(p, n);							/* W4 */
	return 0;
}

/* Takes up to n messages in hand; at least one is there. Returns how many. */
ringq_inline int64_t ringq_spsc_show(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t ahead;

	/* Further lines, further stamps; but what is redelivered stays by itself. */
	while (p->limit - p->pos < n && p->limit - p->pos < p->capacity && !p->flags) {
		ahead = ringq_load_acquire(ringq_spsc_stamp_of(p, size, p->limit - p->pos)) -
			RINGQ_STAMP(p->limit, RINGQ_FULL);			/* R1 */
		if (ahead >= p->capacity << 2)
			break;
		p->limit += (ahead >> 2) + 1;
	}
	if (n > p->limit - p->pos)
		n = p->limit - p->pos;
	ringq_store_relaxed(&p->progress->hand, p->pos + n);
	if (p->taken < p->pos + n) {
		p->taken = p->pos + n;
		ringq_store_relaxed(&p->progress->taken, p->taken);
		ringq_compiler_barrier();	/* a successor must know before anybody can look */
	}
	ringq_spsc_hold(p, n);
	return n;
}

ringq_inline int64_t ringq_spsc_peek(struct ringq_port *p, uint32_t size, uint64_t n,
				     int64_t timeout)
{
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_spsc_have_message(p, size, timeout);
	return ringq_likely(r > 0) ? ringq_spsc_show(p, size, n) : r;
}

ringq_inline int ringq_spsc_release(struct ringq_port *p, uint32_t size, uint64_t n)
{
	uint64_t left = n, m;

	if (ringq_unlikely(n > p->held))
		return -EINVAL;
	if (!p->held)
		return 0;
	if (n < p->held)
		ringq_store_relaxed(&p->progress->hand, p->pos + n);
	ringq_spsc_unhold(p);
	if (!n)
		return 0;
	while (left) {
		m = ringq_spsc_run(p, size);
		if (m > left)
			m = left;
		ringq_spsc_step(p, size, m);
		left -= m;
	}
	ringq_store_release(p->done, p->pos);					/* R3 */
	ringq_notify(p, n);							/* R4 */
	return 0;
}

#endif /* RINGQ_SPSC_H */
