// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Records of a LOSSY ring: the paths that are not fast. The algorithm and its ordering table
 * are in ringq/lossy_records.h.
 */
#include "internal.h"

/* How often a consumer looks for a record that is not overwritten while it looks. */
#define RINGQ_LOSSY_TRIES	16

/* The number of a consumer's next record is not known. */
#define RINGQ_NO_NUMBER		UINT64_MAX

/*
 * Gives up old records until so many bytes can be written, and some more (see the essay), but
 * nothing that is not old. Whatever is written after this, a consumer can find out. W1
 */
static int lossy_give_up(struct ringq_port *p, uint64_t need)
{
	const uint64_t ahead = need + p->capacity / 8, mask = p->capacity - 1;
	uint64_t oldest = p->limit - p->capacity, word;
	struct ringq_found f;
	unsigned char *at;

	while (oldest != p->pos && p->pos + ahead - oldest > p->capacity) {
		at = p->data + (oldest & mask);
		word = ringq_load_relaxed((const __u64 *)at);
		if (!ringq_record_parse(p, RINGQ_LOSSY_HEAD, at, word, &f) ||
		    f.span > p->pos - oldest)
			return ringq_records_corrupt(p);
		oldest += f.span;
	}
	ringq_store_release(p->lossy.oldest, oldest);				/* W1 */
	ringq_fence_release();
	p->limit = oldest + p->capacity;
	return 1;
}

/* Room for a record of so many bytes: 1. */
RINGQ_PUBLIC int ringq_lossy_records_room(struct ringq_port *p, uint32_t size)
{
	int r = ringq_as(p, RINGQ_PRODUCER);
	uint64_t need;

	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	if (size > p->elem_size)
		return -EMSGSIZE;
	if (ringq_attention(p) & RINGQ_ENDED)
		return -EPIPE;
	need = ringq_record_need(p, RINGQ_LOSSY_HEAD, size);
	return need <= p->limit - p->pos ? 1 : lossy_give_up(p, need);
}

/* The position of the oldest record that is left. */
static uint64_t lossy_oldest(const struct ringq_port *p)
{
	uint64_t oldest = ringq_load_acquire(p->lossy.oldest), first = p->ring->geometry.first;

	/* Nothing was overwritten yet. */
	return oldest < first ? first : oldest;
}

/* The number of the record that begins at the port's position: 1; or 0: it is overwritten. R4 */
static int lossy_number(const struct ringq_port *p, uint64_t *number)
{
	uint64_t word;
	struct ringq_found f;

	*number = ringq_load_acquire(&p->lossy.sent->taken);
	word = ringq_load_acquire((const __u64 *)p->elem);
	if (word && ringq_record_parse(p, RINGQ_LOSSY_HEAD, p->elem, word, &f))
		*number = ringq_load_relaxed(ringq_lossy_record_number(f.data));
	return ringq_lossy_records_intact(p);
}

/* A consumer goes on there, with nothing in hand. */
static int lossy_place(struct ringq_port *p, uint64_t pos)
{
	int r = ringq_records_place(p, 0, pos);

	if (r < 0)
		return r;
	ringq_store_relaxed(&p->progress->hand, pos);
	ringq_store_relaxed(p->done, pos);
	return 0;
}

/* The number of the record at the position is this: those between are lost. */
static void lossy_count(struct ringq_port *p, uint64_t number)
{
	if (p->lossy.number != RINGQ_NO_NUMBER) {
		p->lossy.lost_last += number - p->lossy.number;
		p->lossy.lost += number - p->lossy.number;
	}
	p->lossy.number = number;
	p->limit = UINT64_MAX;
}

/*
 * A consumer goes on with the oldest record, and counts what it has lost. If it is so slow
 * that this is overwritten every time before it knows its number, it counts when it reads one.
 */
RINGQ_PUBLIC int ringq_lossy_records_overrun(struct ringq_port *p)
{
	uint64_t oldest, number;
	int i;

	p->held = 0;
	p->lossy.lost_last = 0;
	for (i = 0; i < RINGQ_LOSSY_TRIES; i++) {
		oldest = lossy_oldest(p);
		if (oldest < p->pos || oldest > ringq_load_acquire(&p->lossy.sent->done) ||
		    lossy_place(p, oldest) < 0)
			return ringq_records_corrupt(p);
		if (lossy_number(p, &number)) {
			lossy_count(p, number);
			break;
		}
	}
	return -EOVERFLOW;
}

/* A record at the port's position, not overwritten when this looked: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_lossy_records_look(struct ringq_port *p, struct ringq_found *f,
					  int64_t timeout)
{
	uint64_t ends, word, number;
	int64_t deadline = 0;
	int r, found;

	r = ringq_as(p, RINGQ_CONSUMER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	for (;;) {
		/* The end is looked at first: what was published before it is seen then. */
		ends = ringq_load_acquire(p->attention) & RINGQ_ENDED;
		word = ringq_load_acquire((const __u64 *)p->elem);		/* R1 */
		found = word && ringq_record_parse(p, RINGQ_LOSSY_HEAD, p->elem, word, f);
		number = found ? ringq_load_relaxed(ringq_lossy_record_number(f->data)) : 0;	/* R2 */
		if (!ringq_lossy_records_intact(p))					/* R3 */
			return -EOVERFLOW;
		if (found) {
			lossy_count(p, number);
			return 1;
		}
		if (word)
			return ringq_records_corrupt(p);
		if (ends)
			return 0;
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, 1, RINGQ_ENDED, timeout);
		if (r < 0)
			return r;
	}
}

static int lossy_attach_producer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	struct ringq_found last;
	uint64_t oldest;
	int r;

	(void)opts;
	p->progress = &p->page->progress;
	p->done = &p->progress->done;
	p->lossy.oldest = &p->page->oldest;
	r = ringq_records_succeed(p, 0, RINGQ_LOSSY_HEAD, &last);
	if (r < 0)
		return r;
	oldest = lossy_oldest(p);
	if (oldest > p->pos || p->pos - oldest > p->capacity || oldest % RINGQ_RECORD_ALIGN)
		return -EBADMSG;
	p->limit = oldest + p->capacity;
	p->lossy.number = last.data ? ringq_load_relaxed(ringq_lossy_record_number(last.data)) + 1 :
				      ringq_load_relaxed(&p->progress->taken);
	ringq_store_relaxed(&p->progress->taken, p->lossy.number);		/* W4 */
	ringq_store_release(p->done, p->pos);					/* W4 */
	return 0;
}

/* Begins with the oldest record, or the next; if that is lost at once, as after an overrun. */
static int lossy_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	struct ringq_port_page *page = ringq_port_page(p->ring, p->base, RINGQ_PRODUCER, 0);
	uint64_t pos, number;
	int i, r;

	p->progress = &p->page->progress;
	p->done = &p->progress->done;
	p->lossy.oldest = &page->oldest;
	p->lossy.sent = &page->progress;
	p->lossy.number = RINGQ_NO_NUMBER;
	for (i = 0; i < RINGQ_LOSSY_TRIES; i++) {
		pos = ringq_load_acquire(&page->progress.done);			/* R4 */
		if (opts->flags & RINGQ_OLDEST)
			pos = lossy_oldest(p);
		r = lossy_place(p, pos);
		if (r < 0)
			return r;
		if (lossy_number(p, &number)) {
			lossy_count(p, number);
			break;
		}
	}
	return 0;
}

static int lossy_send(struct ringq_port *p, const void *data, uint32_t size, int64_t timeout)
{
	(void)timeout;
	return ringq_lossy_records_send(p, data, size);
}

static int64_t lossy_send_many(struct ringq_port *p, const struct iovec *records, uint64_t n,
			       int64_t timeout)
{
	(void)timeout;
	return ringq_lossy_records_send_many(p, records, n);
}

static int lossy_reserve(struct ringq_port *p, uint32_t size, void **place, int64_t timeout)
{
	(void)timeout;
	return ringq_lossy_records_reserve(p, size, place);
}

static int lossy_commit_size(struct ringq_port *p, uint32_t size)
{
	return ringq_lossy_records_commit(p, size);
}

/* All of the one that is reserved, or nothing. */
static int lossy_commit(struct ringq_port *p, uint64_t n)
{
	if (n > p->held)
		return -EINVAL;
	if (n)
		return ringq_lossy_records_commit(p, p->records.reserved);
	if (p->held)
		ringq_spsc_unhold(p);
	return 0;
}

static int lossy_recv(struct ringq_port *p, void *data, uint32_t room, uint32_t *size,
		      int64_t timeout)
{
	return ringq_lossy_records_recv(p, data, room, size, timeout);
}

static int64_t lossy_recv_many(struct ringq_port *p, struct iovec *records, uint64_t n,
			       int64_t timeout)
{
	return ringq_lossy_records_recv_many(p, records, n, timeout);
}

static int64_t lossy_peek(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	return ringq_lossy_records_peek(p, n, timeout);
}

static int lossy_release(struct ringq_port *p, uint64_t n)
{
	return ringq_lossy_records_release(p, n);
}

static const void *lossy_next(const struct ringq_port *p, uint64_t *cursor, uint32_t *size)
{
	return ringq_record_next(p, RINGQ_LOSSY_HEAD, cursor, size);
}

/* What a consumer can still read. It may be overwritten while it is counted, and be less. */
static uint64_t lossy_len_consumer(const struct ringq_port *p)
{
	uint64_t end = ringq_load_acquire(&p->lossy.sent->done), from = lossy_oldest(p);

	if (from < p->pos)
		from = p->pos;
	return ringq_records_walk(p, RINGQ_LOSSY_HEAD, from, end).count;
}

static int lossy_intact(const struct ringq_port *p)
{
	if (!p->held)
		return -EINVAL;
	return ringq_lossy_records_intact(p) ? 1 : -EOVERFLOW;
}

/* By the numbers; who does not know his own can still read what there is. */
static uint64_t lossy_lag(const struct ringq_port *p)
{
	if (p->lossy.number == RINGQ_NO_NUMBER)
		return lossy_len_consumer(p);
	return ringq_load_acquire(&p->lossy.sent->taken) - p->lossy.number;
}

/* What is not overwritten yet. */
static uint64_t lossy_len_producer(const struct ringq_port *p)
{
	return ringq_records_walk(p, RINGQ_LOSSY_HEAD, lossy_oldest(p), p->pos).count;
}

/* There is always room. */
static uint64_t lossy_room(const struct ringq_port *p)
{
	return p->capacity;
}

const struct ringq_ops ringq_lossy_records_producer = {
	.attach = lossy_attach_producer,
	.detach = ringq_spsc_detach_producer,
	.send_record = lossy_send,
	.send_records = lossy_send_many,
	.reserve_record = lossy_reserve,
	.commit_record = lossy_commit_size,
	.commit = lossy_commit,
	.len = lossy_len_producer,
	.room = lossy_room,
};

const struct ringq_ops ringq_lossy_records_consumer = {
	.attach = lossy_attach_consumer,
	.detach = ringq_spsc_detach_consumer,
	.recv_record = lossy_recv,
	.recv_records = lossy_recv_many,
	.peek = lossy_peek,
	.release = lossy_release,
	.record = lossy_next,
	.intact = lossy_intact,
	.lag = lossy_lag,
	.len = lossy_len_consumer,
	.room = lossy_room,
};
