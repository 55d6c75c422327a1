/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Records of a LOSSY ring: one producer that never waits, any number of consumers that each
 * get every record, or learn how many they have lost. Read ringq/records.h first: the row, the
 * header in front of a record, PAD, and how a record is published are the same.
 *
 * Idea. A slot of fixed size can say by its own stamp that it is being overwritten; a record
 * cannot, for there is no word that stays in its place from lap to lap. So one word says it for
 * all: oldest, a position, the beginning of a record. Below it nothing is to be relied on. The
 * producer moves it on before it overwrites; a consumer looks at it after it has copied, and if
 * it has passed him by, throws the copy away, goes on at oldest, and reports an overrun.
 * (Aeron's broadcast buffer has a tail intent in this place; bounds at records let a consumer
 * go on with the oldest message that is left, not with the newest.)
 *
 * The producer finds the new oldest by walking over its own old headers. It goes further than
 * it must, by an eighth of the row: so oldest changes seldom, the line that it lies in stays
 * in the caches of the consumers, who look at it at every record, and a consumer that was
 * overrun is not at once overrun again. Seven eighths of the row are history.
 *
 * Layout. The header is 16 bytes: the word of records.h, and the record's number, one more
 * than that of the record before it. A PAD is the word alone, and has no number. A consumer
 * tells by the numbers how many records it has lost. In the producer's page, @done is the
 * position behind the last record, and @taken the number that the next will have. The page has
 * oldest in another line, for done is stored at every record.
 *
 * Invariants, with t = the producer's position, o = oldest:
 *   I1  o <= t and t + 8 <= o + capacity, before as well as after a record is written
 *   I2  the header of t is 0; from o to t there is a chain of headers, numbered in a row
 *   I3  only the producer stores to the row, to oldest, and to done and taken of its page
 *
 * Ordering. R is what a consumer does, W what the producer does.
 *   W1  store oldest (release), fence (release)   pairs with R3: who has read any of W2 that is
 *                                            not of his lap sees this
 *   W2  store number, payload, 0 to the next header
 *   W3  store the header (release)           pairs with R1: all of W2 comes before it
 *   W4  store taken, then done (release)     pairs with R4
 *   W5  load attention (relaxed)             ringq/wait.h, P1 is W3
 *   R1  load the header (acquire)            pairs with W3
 *   R2  load the payload, the number (plain)
 *   R3  fence (acquire), load oldest: not beyond the record, or it was overwritten
 *   R4  load done (acquire), taken (acquire), to begin with the next record. If that is
 *       not published then taken is its number, and if it is the number is in its header
 *
 * Nothing that was read before R3 is relied on for more than to stay inside the row.
 *
 * What a kill leaves, and who repairs it:
 *   producer before W3    oldest moved on, some of what lies below it overwritten. The header
 *                         of t is 0 still; a successor uses the same room
 *   producer after W3     a published record. The successor walks to it from done, and takes
 *                         its number from it; if there is none, taken is exact
 *   consumer              nothing: its position is its own affair. A successor begins like
 *                         any other
 *
 * Progress and cost. Producer: a bounded number of loads and stores for each record written and
 * one load for each one given up: wait-free. Consumer: likewise, with one more load, of
 * a line that changes eight times a lap; that it gets anything takes a pace not far below
 * the producer's. No read-modify-write; the fences are compiler barriers on x86.
 */
#ifndef RINGQ_LOSSY_RECORDS_H
#define RINGQ_LOSSY_RECORDS_H

#include <ringq/broadcast.h>
#include <ringq/records.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The paths that are not fast; lib/lossy_records.c. */
int ringq_lossy_records_room(struct ringq_port *port, uint32_t size);
int ringq_lossy_records_look(struct ringq_port *port, struct ringq_found *found,
					int64_t timeout);
int ringq_lossy_records_overrun(struct ringq_port *port);

#ifdef __cplusplus
}
#endif

/* The number in the header of a record whose payload lies there. */
ringq_inline __u64 *ringq_lossy_record_number(unsigned char *data)
{
	return (__u64 *)(data - sizeof(__u64));
}

/* What a consumer has read from its position on was not overwritten meanwhile. */
ringq_inline int ringq_lossy_records_intact(const struct ringq_port *p)
{
	ringq_fence_acquire();							/* R3 */
	return ringq_likely(ringq_load_relaxed(p->lossy.oldest) <= p->pos);
}

/* Copies what may be changing meanwhile, or be looked at; ringq/broadcast.h says more of that. */
ringq_inline void ringq_lossy_record_copy(void *to, const void *from, uint32_t size)
{
#ifdef RINGQ_RACES_SHOW
	ringq_lossy_copy(to, from, 1, size);
#else
	ringq_record_copy(to, from, size);
#endif
}

ringq_inline int ringq_lossy_records_have_room(struct ringq_port *p, uint32_t size)
{
	return ringq_record_fits(p, RINGQ_LOSSY_HEAD, size) ? 1 : ringq_lossy_records_room(p, size);
}

/* Publishes what has been written behind the place of a record. */
ringq_inline void ringq_lossy_records_publish(struct ringq_port *p, uint64_t lead, uint32_t size)
{
	unsigned char *data = ringq_record_place(p, lead) + RINGQ_LOSSY_HEAD;

	ringq_store_relaxed(ringq_lossy_record_number(data), p->lossy.number++);	/* W2 */
	ringq_record_publish(p, RINGQ_LOSSY_HEAD, lead, size);			/* W3 */
	ringq_store_relaxed(&p->progress->taken, p->lossy.number);		/* W4 */
	ringq_store_release(p->done, p->pos);					/* W4 */
}

ringq_inline void ringq_lossy_records_put(struct ringq_port *p, const void *data, uint32_t size)
{
	uint64_t lead = ringq_record_lead(p, ringq_record_span(RINGQ_LOSSY_HEAD, size));

	ringq_lossy_record_copy(ringq_record_place(p, lead) + RINGQ_LOSSY_HEAD, data,
				size);						/* W2 */
	ringq_lossy_records_publish(p, lead, size);
}

ringq_inline int ringq_lossy_records_send(struct ringq_port *p, const void *data, uint32_t size)
{
	int r = ringq_lossy_records_have_room(p, size);

	if (ringq_unlikely(r < 0))
		return r;
	ringq_lossy_records_put(p, data, size);
	ringq_notify(p, 1);							/* W5 */
	return 1;
}

ringq_inline int64_t ringq_lossy_records_send_many(struct ringq_port *p,
						   const struct iovec *records, uint64_t n)
{
	uint64_t sent;
	uint32_t size;
	int r = -EINVAL;

	for (sent = 0; sent < n; sent++) {
		size = ringq_record_size_of(&records[sent]);
		r = ringq_lossy_records_have_room(p, size);
		if (ringq_unlikely(r < 0))
			break;
		ringq_lossy_records_put(p, records[sent].iov_base, size);
	}
	if (!sent)
		return r;
	ringq_notify(p, sent);							/* W5 */
	return sent;
}

ringq_inline int ringq_lossy_records_reserve(struct ringq_port *p, uint32_t size, void **place)
{
	uint64_t lead;
	int r = ringq_lossy_records_have_room(p, size);

	if (ringq_unlikely(r < 0))
		return r;
	lead = ringq_record_lead(p, ringq_record_span(RINGQ_LOSSY_HEAD, size));
	*place = ringq_record_place(p, lead) + RINGQ_LOSSY_HEAD;
	ringq_record_reserve(p, lead, size);
	return 0;
}

ringq_inline int ringq_lossy_records_commit(struct ringq_port *p, uint32_t size)
{
	if (ringq_unlikely(!p->held || size > p->records.reserved))
		return -EINVAL;
	ringq_spsc_unhold(p);
	ringq_lossy_records_publish(p, p->records.lead, size);
	ringq_notify(p, 1);							/* W5 */
	return 0;
}

/*
 * The record at the consumer's position, not to be relied on yet: 1; 0; or negative errno. Of
 * a consumer, the limit says only whether there is something else to be looked at before.
 */
ringq_inline int ringq_lossy_records_find(struct ringq_port *p, struct ringq_found *f,
					  int64_t timeout)
{
	uint64_t word = ringq_load_acquire((const __u64 *)p->elem);		/* R1 */

	if (ringq_likely(p->pos < p->limit &&
			 ringq_record_parse(p, RINGQ_LOSSY_HEAD, p->elem, word, f)))
		return 1;
	return ringq_lossy_records_look(p, f, timeout);
}

/*
 * Copies the record at the consumer's position, if there is so much room, and steps behind it.
 * Returns what find does, and -EMSGSIZE, or -EOVERFLOW with nothing done about it yet; size, if
 * there is a record, becomes its own.
 */
ringq_inline int ringq_lossy_records_take(struct ringq_port *p, void *data, uint64_t room,
					  uint32_t *size, int64_t timeout)
{
	struct ringq_found f;
	int r = ringq_lossy_records_find(p, &f, timeout);

	if (ringq_unlikely(r <= 0))
		return r;
	if (ringq_likely(f.size <= room))
		ringq_lossy_record_copy(data, f.data, f.size);			/* R2 */
	if (ringq_unlikely(!ringq_lossy_records_intact(p)))
		return -EOVERFLOW;
	*size = f.size;
	if (ringq_unlikely(f.size > room))
		return -EMSGSIZE;
	ringq_record_step(p, f.span);
	p->lossy.number++;
	return 1;
}

ringq_inline int ringq_lossy_records_recv(struct ringq_port *p, void *data, uint32_t room,
					  uint32_t *size, int64_t timeout)
{
	int r = ringq_lossy_records_take(p, data, room, size, timeout);

	if (ringq_likely(r > 0))
		ringq_store_relaxed(p->done, p->pos);
	return r == -EOVERFLOW ? ringq_lossy_records_overrun(p) : r;
}

ringq_inline int64_t ringq_lossy_records_recv_many(struct ringq_port *p, struct iovec *records,
						   uint64_t n, int64_t timeout)
{
	uint64_t got;
	uint32_t size = 0;
	int r = -EINVAL;

	for (got = 0; got < n; got++) {
		r = ringq_lossy_records_take(p, records[got].iov_base, records[got].iov_len, &size,
					     got ? 0 : timeout);
		if (r <= 0)
			break;
		records[got].iov_len = size;
	}
	/* What ended a batch is found again by the next one. */
	if (got) {
		ringq_store_relaxed(p->done, p->pos);
		return got;
	}
	if (r == -EMSGSIZE)
		records->iov_len = size;
	return r == -EOVERFLOW ? ringq_lossy_records_overrun(p) : r;
}

ringq_inline int64_t ringq_lossy_records_peek(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	struct ringq_found f;
	uint64_t end;
	int r;

	if (!n)
		return -EINVAL;
	r = ringq_lossy_records_find(p, &f, timeout);
	if (ringq_likely(r > 0)) {
		n = ringq_record_gather(p, RINGQ_LOSSY_HEAD, n, f, p->capacity, &end);
		r = ringq_lossy_records_intact(p) ? 1 : -EOVERFLOW;
	}
	if (ringq_unlikely(r <= 0))
		return r == -EOVERFLOW ? ringq_lossy_records_overrun(p) : r;
	ringq_store_relaxed(&p->progress->hand, end);
	ringq_record_hold(p, n, end);
	return n;
}

ringq_inline int ringq_lossy_records_release(struct ringq_port *p, uint64_t n)
{
	uint64_t span;

	if (ringq_unlikely(n > p->held))
		return -EINVAL;
	if (!p->held)
		return 0;
	span = n ? ringq_record_spans(p, RINGQ_LOSSY_HEAD, n) : 0;
	if (ringq_unlikely(n && !ringq_lossy_records_intact(p)))
		return ringq_lossy_records_overrun(p);
	if (ringq_unlikely(n && !span))
		return ringq_records_corrupt(p);
	ringq_spsc_unhold(p);
	ringq_record_step(p, span);
	p->lossy.number += n;
	ringq_store_relaxed(&p->progress->hand, p->pos);
	ringq_store_relaxed(p->done, p->pos);
	return 0;
}

#endif /* RINGQ_LOSSY_RECORDS_H */
