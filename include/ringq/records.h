/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Records: messages of any size up to a maximum, in a row of bytes; lossless. For one
 * producer (SPSC, GATED; in LANES, of each lane). ringq/lossy_records.h is the other kind.
 *
 * Idea. A row of bytes with a length before each message is the oldest of rings; what differs
 * is how a message is published. By a tail index: that is one more line to move between the
 * cores. By the length itself, with everything else zero: then the consumer has to clear what
 * it has read, and twice as many lines move. Here the length publishes too, but only one word
 * must be zero, the one that the next length will be stored to, and the producer clears it
 * itself, before it publishes what lies in front of it. So an old payload is never taken for a
 * header, nothing else is ever cleared, and nobody looks for the end by scanning.
 *
 * Layout. A position counts bytes and is a multiple of 8.
 *
 *      p           p + 8                     p + 8 + size     rounded up to 8
 *     +-----------+-------------------------+----------------+-----------+
 *     |  header   |         payload         |       0        |   next    |
 *     +-----------+-------------------------+----------------+-----------+
 *      size + 1, or PAD, or 0: nothing is published here (yet)
 *
 * A record lies in a row. Where the data can be mapped twice, one after the other, it does
 * so wherever it begins. In memory that was handed in (unit_shift 7), the producer leaves the
 * rest of the row out if the record does not fit there: it writes the record, header and
 * all, at the beginning of the row, and then PAD where the record would have begun. That one
 * store publishes both. So a PAD is always followed by a record, and never seen by a user.
 *
 * Invariants, with t = the producer's position, h = the consumer's done word:
 *   I1  h <= t, and t + 8 <= h + capacity once something was sent: there is room for a record
 *       and the header that follows it, or it is not written
 *   I2  the header of t is 0; from h to t there is a chain of headers that are not
 *   I3  only the producer stores to the row, only the consumer stores done
 *
 * Ordering. R is what the consumer does, W what the producer does.
 *   W1  load the consumer's done (acquire)   pairs with R3: the reads of what is now to be
 *                                            overwritten came before
 *   W2  store the payload (plain), 0 to the next header, with a PAD the record's own header
 *   W3  store the header, or PAD (release)   pairs with R1: all of W2 comes before it
 *   W4  load attention (relaxed)             ringq/wait.h, P1 is W3
 *   R1  load the header (acquire)            pairs with W3
 *   R2  load the payload (plain), after a PAD the record's own header
 *   R3  store done (release)                 pairs with W1
 *   R4  load attention (relaxed)             ringq/wait.h, P1 is R3
 *
 * What a kill leaves, and who repairs it:
 *   producer before W3    bytes that nobody looks at: the header in front of them is 0. A
 *                         successor overwrites them
 *   producer after W3     a committed message; who sleeps is woken by the death
 *   producer, batch       a prefix of the batch is committed
 *   consumer before R3    recv: the message was not delivered, a successor gets it. peek:
 *                         it was shown, taken says so; a successor gets it, flagged
 *   consumer after R3     delivered and freed
 *   successor's position  producer: done of the dead one is at most a lap late, and from it
 *                         on the chain of I2 is whole: what would overwrite it is written
 *                         only after done was stored anew. Consumer: done is exact
 *   There is nothing to repair but the sleepers.
 *
 * Progress and cost. A message costs each side a bounded number of plain loads and stores and
 * a copy: wait-free, no read-modify-write, no fence, no system call while nobody sleeps.
 *
 * The other side is not trusted to be right. Lengths are read again each time they are
 * needed, and each time compared with the largest message and the end of the row, so that
 * garbage becomes -EBADMSG, or a message that nobody sent, and never an address elsewhere.
 */
#ifndef RINGQ_RECORDS_H
#define RINGQ_RECORDS_H

#include <ringq/atomic.h>
#include <ringq/layout.h>
#include <ringq/port.h>
#include <ringq/spsc.h>
#include <ringq/wait.h>
#include <string.h>
#include <sys/uio.h>

#define RINGQ_RECORD_ALIGN	8u	/* of a record: bytes of a header word */
#define RINGQ_RECORD_PAD	(1ull << 32)	/* header: the record begins with the row */

/* Bytes of a header, by kind; that of a lossy record has the record's number as well. */
#define RINGQ_RECORD_HEAD	8u
#define RINGQ_LOSSY_HEAD	16u

/* A record, as its header tells. */
struct ringq_found {
	unsigned char *data;	/* its payload... */
	uint32_t size;		/* ...and the bytes of that */
	uint64_t span;		/* from where it was looked for to the next header */
};

#ifdef __cplusplus
extern "C" {
#endif

/* The paths that are not fast; lib/records.c. */
int ringq_records_room(struct ringq_port *port, uint32_t size, int64_t timeout);
int ringq_records_look(struct ringq_port *port, struct ringq_found *found,
				  int64_t timeout);
int ringq_records_corrupt(struct ringq_port *port);

#ifdef __cplusplus
}
#endif

/* From a header to the next. */
ringq_inline uint64_t ringq_record_span(uint32_t head, uint32_t size)
{
	return head + ringq_round_up(size, RINGQ_RECORD_ALIGN);
}

/* What is left out at the producer's position, so that so many bytes lie in a row. */
ringq_inline uint64_t ringq_record_lead(const struct ringq_port *p, uint64_t span)
{
	return ringq_likely(span <= (uint64_t)(p->records.end - p->elem)) ? 0 :
									     p->data_end - p->elem;
}

/* What a record takes of the room: itself, what is left out, and the header after it. */
ringq_inline uint64_t ringq_record_need(const struct ringq_port *p, uint32_t head, uint32_t size)
{
	uint64_t span = ringq_record_span(head, size);

	return ringq_record_lead(p, span) + span + RINGQ_RECORD_ALIGN;
}

/* Where a record that leaves so much out begins. */
ringq_inline unsigned char *ringq_record_place(const struct ringq_port *p, uint64_t lead)
{
	return ringq_unlikely(lead) ? p->data : p->elem;
}

/* The address that far on in the row, which is a circle. */
ringq_inline unsigned char *ringq_record_on(const struct ringq_port *p, unsigned char *at,
					    uint64_t span)
{
	at += span;
	return at < p->data_end ? at : at - (p->data_end - p->data);
}

/* Publishes what has been written behind the place of a record, and steps behind it. */
ringq_inline void ringq_record_publish(struct ringq_port *p, uint32_t head, uint64_t lead,
				       uint32_t size)
{
	uint64_t span = ringq_record_span(head, size);
	unsigned char *place = ringq_record_place(p, lead), *next = ringq_record_on(p, place, span);

	ringq_store_relaxed((__u64 *)next, 0);					/* W2 */
	if (ringq_unlikely(lead)) {
		ringq_store_relaxed((__u64 *)place, (uint64_t)size + 1);	/* W2 */
		ringq_store_release((__u64 *)p->elem, RINGQ_RECORD_PAD);	/* W3 */
	} else {
		ringq_store_release((__u64 *)place, (uint64_t)size + 1);	/* W3 */
	}
	p->pos += lead + span;
	p->elem = next;
}

/* The record whose header, of no PAD, is word: 1; or 0: no record can have such a header here. */
ringq_inline int ringq_record_plain(const struct ringq_port *p, uint32_t head, unsigned char *at,
				    uint64_t word, struct ringq_found *f)
{
	if (ringq_unlikely(word - 1 > p->elem_size ||
			   word - 1 + head > (uint64_t)(p->records.end - at)))
		return 0;
	f->data = at + head;
	f->size = word - 1;
	f->span = ringq_record_span(head, f->size);
	return 1;
}

/* The record whose header, or PAD, at an address is word: 1; or 0. */
ringq_inline int ringq_record_parse(const struct ringq_port *p, uint32_t head, unsigned char *at,
				    uint64_t word, struct ringq_found *f)
{
	uint64_t lead;

	if (ringq_likely(word != RINGQ_RECORD_PAD))
		return ringq_record_plain(p, head, at, word, f);
	lead = p->data_end - at;
	word = ringq_load_relaxed((const __u64 *)p->data);			/* R2 */
	if (!ringq_record_plain(p, head, p->data, word, f))
		return 0;
	f->span += lead;
	return f->span <= p->capacity;
}

/*
 * A port that holds records, one reserved or some peeked, has its limit at its position, so that
 * every other operation leaves the fast path and finds that out there.
 */
ringq_inline void ringq_record_reserve(struct ringq_port *p, uint64_t lead, uint32_t size)
{
	ringq_spsc_hold(p, 1);
	p->records.lead = lead;
	p->records.reserved = size;
}

ringq_inline void ringq_record_hold(struct ringq_port *p, uint64_t n, uint64_t end)
{
	ringq_spsc_hold(p, n);
	p->records.held_end = end;
}

/* Steps to a position that many bytes on, at most a lap. */
ringq_inline void ringq_record_step(struct ringq_port *p, uint64_t span)
{
	p->pos += span;
	p->elem = ringq_record_on(p, p->elem, span);
}

/*
 * How many records, up to n, follow each other from the consumer's position on. The first is
 * known; they end below most, or what is published ends them.
 */
ringq_inline uint64_t ringq_record_gather(const struct ringq_port *p, uint32_t head, uint64_t n,
					  struct ringq_found f, uint64_t most, uint64_t *end)
{
	unsigned char *at = p->elem;
	uint64_t count = 1, span = f.span, word;

	while (count < n && span < most) {
		at = ringq_record_on(p, at, f.span);
		word = ringq_load_acquire((const __u64 *)at);			/* R1 */
		if (!word || !ringq_record_parse(p, head, at, word, &f) || f.span > most - span)
			break;
		span += f.span;
		count++;
	}
	*end = p->pos + span;
	return count;
}

/* From the position on, the bytes of the first n held records; or 0: they are not there. */
ringq_inline uint64_t ringq_record_spans(const struct ringq_port *p, uint32_t head, uint64_t n)
{
	uint64_t all = p->records.held_end - p->pos, span = 0;
	unsigned char *at = p->elem;
	struct ringq_found f;

	if (n == p->held)
		return all;
	while (n--) {
		if (!ringq_record_parse(p, head, at, ringq_load_relaxed((const __u64 *)at), &f) ||
		    f.span > all - span)
			return 0;
		span += f.span;
		at = ringq_record_on(p, at, f.span);
	}
	return span;
}

/* The held record that is so many bytes on, which then is that of the next one; or NULL. */
ringq_inline const void *ringq_record_next(const struct ringq_port *p, uint32_t head,
					   uint64_t *cursor, uint32_t *size)
{
	uint64_t all = p->held ? p->records.held_end - p->pos : 0;
	struct ringq_found f;
	unsigned char *at;

	if (*cursor >= all || *cursor % RINGQ_RECORD_ALIGN)
		return NULL;
	at = ringq_record_on(p, p->elem, *cursor);
	if (!ringq_record_parse(p, head, at, ringq_load_relaxed((const __u64 *)at), &f) ||
	    f.span > all - *cursor)
		return NULL;
	*cursor += f.span;
	*size = f.size;
	return f.data;
}

/*
 * Copies line by line, and not by what the C library does with much: stores that bypass the
 * cache come too late for the other side, and out of order, on which LOSSY rings rely.
 */
ringq_inline void ringq_record_copy(void *to, const void *from, uint32_t size)
{
	unsigned char *t = (unsigned char *)to;
	const unsigned char *f = (const unsigned char *)from;

	for (; size >= RINGQ_LINE; size -= RINGQ_LINE, t += RINGQ_LINE, f += RINGQ_LINE) {
		memcpy(t, f, RINGQ_LINE);
		ringq_compiler_barrier();
	}
	/* Nothing may come from nowhere. */
	if (size)
		memcpy(t, f, size);
}

/* More than any ring takes is as good as anything. */
ringq_inline uint32_t ringq_record_size_of(const struct iovec *record)
{
	return record->iov_len < UINT32_MAX ? record->iov_len : UINT32_MAX;
}

/* Nothing has to be looked at before a record is written. */
ringq_inline int ringq_record_fits(const struct ringq_port *p, uint32_t head, uint32_t size)
{
	return ringq_likely(ringq_record_need(p, head, size) <= p->limit - p->pos &&
			    size <= p->elem_size && !ringq_attention(p));
}

/* Room for a record, or an error; 1 or negative errno. */
ringq_inline int ringq_records_have_room(struct ringq_port *p, uint32_t size, int64_t timeout)
{
	return ringq_record_fits(p, RINGQ_RECORD_HEAD, size) ? 1 :
	       ringq_records_room(p, size, timeout);
}

/* Writes and publishes a record that there is room for. */
ringq_inline void ringq_records_put(struct ringq_port *p, const void *data, uint32_t size)
{
	uint64_t lead = ringq_record_lead(p, ringq_record_span(RINGQ_RECORD_HEAD, size));

	ringq_record_copy(ringq_record_place(p, lead) + RINGQ_RECORD_HEAD, data, size); /* W2 */
	ringq_record_publish(p, RINGQ_RECORD_HEAD, lead, size);			/* W3 */
}

ringq_inline int ringq_records_send(struct ringq_port *p, const void *data, uint32_t size,
				    int64_t timeout)
{
	int r = ringq_records_have_room(p, size, timeout);

	if (ringq_unlikely(r < 0))
		return r;
	ringq_records_put(p, data, size);
	ringq_notify(p, 1);							/* W4 */
	return 1;
}

ringq_inline int64_t ringq_records_send_many(struct ringq_port *p, const struct iovec *records,
					     uint64_t n, int64_t timeout)
{
	int64_t deadline = 0;
	uint64_t sent = 0;
	uint32_t size;
	int r;

	if (!n)
		return -EINVAL;
	for (; sent < n; sent++) {
		size = ringq_record_size_of(&records[sent]);
		if (ringq_unlikely(!ringq_record_fits(p, RINGQ_RECORD_HEAD, size))) {
			r = ringq_records_room(p, size, ringq_time_left(&deadline, timeout));
			if (r < 0) {
				if (!sent)
					return r;
				break;
			}
		}
		ringq_records_put(p, records[sent].iov_base, size);
	}
	ringq_notify(p, sent);							/* W4 */
	return sent;
}

ringq_inline int ringq_records_reserve(struct ringq_port *p, uint32_t size, void **place,
				       int64_t timeout)
{
	uint64_t lead;
	int r = ringq_records_have_room(p, size, timeout);

	if (ringq_unlikely(r < 0))
		return r;
	lead = ringq_record_lead(p, ringq_record_span(RINGQ_RECORD_HEAD, size));
	*place = ringq_record_place(p, lead) + RINGQ_RECORD_HEAD;
	ringq_record_reserve(p, lead, size);
	return 0;
}

ringq_inline int ringq_records_commit(struct ringq_port *p, uint32_t size)
{
	if (ringq_unlikely(!p->held || size > p->records.reserved))
		return -EINVAL;
	ringq_spsc_unhold(p);
	ringq_record_publish(p, RINGQ_RECORD_HEAD, p->records.lead, size);	/* W3 */
	ringq_notify(p, 1);							/* W4 */
	return 0;
}

/*
 * The next record, if there is one and nothing speaks against it: 1; or 0. All below limit is
 * known to be published: it was redelivered, or has been peeked; else limit is moved behind it.
 */
ringq_inline int ringq_records_more(struct ringq_port *p, struct ringq_found *f)
{
	uint64_t word = ringq_load_acquire((const __u64 *)p->elem);		/* R1 */

	if (ringq_unlikely(p->held || !ringq_record_parse(p, RINGQ_RECORD_HEAD, p->elem, word, f)))
		return 0;
	if (ringq_unlikely(p->pos < p->limit))
		return 1;
	p->limit = p->pos + f->span;
	p->flags = 0;
	return 1;
}

/* The record at the consumer's position: 1; end-of-file: 0; or negative errno. */
ringq_inline int ringq_records_find(struct ringq_port *p, struct ringq_found *f, int64_t timeout)
{
	return ringq_likely(ringq_records_more(p, f)) ? 1 : ringq_records_look(p, f, timeout);
}

ringq_inline int ringq_records_recv(struct ringq_port *p, void *data, uint32_t room,
				    uint32_t *size, int64_t timeout)
{
	struct ringq_found f;
	int r = ringq_records_find(p, &f, timeout);

	if (ringq_unlikely(r <= 0))
		return r;
	*size = f.size;
	if (ringq_unlikely(f.size > room))
		return -EMSGSIZE;
	ringq_record_copy(data, f.data, f.size);				/* R2 */
	ringq_record_step(p, f.span);
	ringq_store_release(p->done, p->pos);					/* R3 */
	ringq_notify(p, 1);							/* R4 */
	return 1;
}

ringq_inline int64_t ringq_records_recv_many(struct ringq_port *p, struct iovec *records,
					     uint64_t n, int64_t timeout)
{
	struct ringq_found f;
	uint64_t got = 0;
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_records_find(p, &f, timeout);
	if (ringq_unlikely(r <= 0))
		return r;
	if (ringq_unlikely(f.size > records->iov_len)) {
		records->iov_len = f.size;
		return -EMSGSIZE;
	}
	do {
		ringq_record_copy(records[got].iov_base, f.data, f.size);	/* R2 */
		records[got++].iov_len = f.size;
		ringq_record_step(p, f.span);
		/* What is redelivered and what is not never share a batch. */
		if (got == n || (p->flags && p->pos >= p->limit))
			break;
	} while (ringq_records_more(p, &f) && f.size <= records[got].iov_len);
	ringq_store_release(p->done, p->pos);					/* R3 */
	ringq_notify(p, got);							/* R4 */
	return got;
}

ringq_inline int64_t ringq_records_peek(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	struct ringq_found f;
	uint64_t most, end;
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_records_find(p, &f, timeout);
	if (ringq_unlikely(r <= 0))
		return r;
	/* What is redelivered stays by itself. */
	most = p->flags ? p->limit - p->pos : p->capacity;
	n = ringq_record_gather(p, RINGQ_RECORD_HEAD, n, f, most, &end);
	if (p->limit < end)
		p->limit = end;
	ringq_store_relaxed(&p->progress->hand, end);
	if (p->taken < end) {
		p->taken = end;
		ringq_store_relaxed(&p->progress->taken, end);
		ringq_compiler_barrier();	/* a successor must know before anybody can look */
	}
	ringq_record_hold(p, n, end);
	return n;
}

ringq_inline int ringq_records_release(struct ringq_port *p, uint64_t n)
{
	uint64_t span;

	if (ringq_unlikely(n > p->held))
		return -EINVAL;
	if (!p->held)
		return 0;
	span = n ? ringq_record_spans(p, RINGQ_RECORD_HEAD, n) : 0;
	if (ringq_unlikely(n && !span))
		return ringq_records_corrupt(p);
	if (n < p->held)
		ringq_store_relaxed(&p->progress->hand, p->pos + span);
	ringq_spsc_unhold(p);
	if (!n)
		return 0;
	ringq_record_step(p, span);
	ringq_store_release(p->done, p->pos);					/* R3 */
	ringq_notify(p, n);							/* R4 */
	return 0;
}

#endif /* RINGQ_RECORDS_H */
