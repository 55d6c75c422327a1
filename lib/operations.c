// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Operations that are made of others: all or nothing, skipping, showing to a handler, walking;
 * and what can be asked of a port. They know of a discipline only what its table says, so that
 * they mean the same in all of them.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a message that is copied to be shown, for which nothing is allocated. */
#define RINGQ_COPY	1024

RINGQ_PUBLIC int64_t ringq_send_all(struct ringq_port *p, const void *msgs, uint64_t n,
				    int64_t timeout)
{
	const unsigned char *from = (const unsigned char *)msgs;
	uint64_t i, run;
	int r;

	/* There, a reservation is of one message. */
	if (!p->error && p->ring->geometry.shape == RINGQ_SHAPE_RECORDS)
		return -EOPNOTSUPP;
	r = RINGQ_CALL(p, reserve, n, timeout);
	if (r < 0)
		return r;
	for (i = 0; i < n; i += run) {
		void *to = p->ops->at(p, i, &run);

		if (run > n - i)
			run = n - i;
		memcpy(to, from + i * p->elem_size, run * p->elem_size);
	}
	r = p->ops->commit(p, n);
	return r < 0 ? r : (int64_t)n;
}

RINGQ_PUBLIC int64_t ringq_recv_all(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout)
{
	return RINGQ_CALL(p, recv_all, msgs, n, timeout);
}

/* How far a ringq_consume() is, in messages. */
struct ringq_course {
	uint64_t done, max;
	bool enough;	/* said the handler */
};

static bool ringq_goes_on(const struct ringq_course *c)
{
	return c->done < c->max && !c->enough;
}

/*
 * How many are all is counted when the first is there: so many that are not done with, at least.
 * Those that are sent later are not of them, or it might never end.
 */
static void ringq_count_all(struct ringq_course *c, const struct ringq_port *p, int64_t least)
{
	int64_t len;

	if (c->max != RINGQ_ALL)
		return;
	len = ringq_len(p);
	c->max = c->done + (len > least ? len : least);
}

/* Shows the first n of the peeked messages; how many it was until the handler had enough. */
static uint64_t ringq_show(struct ringq_port *p, uint64_t n, ringq_handler *handler, void *arg,
			   bool *enough)
{
	struct ringq_iter it = { .port = p, .count = n };
	const void *msg;
	size_t size;

	while (!*enough && (msg = ringq_iter_next(&it, &size)))
		*enough = handler(arg, msg, size);
	return it.seen;
}

/* In place. */
static int64_t ringq_consume_there(struct ringq_port *p, struct ringq_course *c,
				   ringq_handler *handler, void *arg, int64_t timeout)
{
	const uint64_t most = handler ? RINGQ_SHOWN : p->capacity;
	uint64_t left;
	int64_t n, r;

	while (ringq_goes_on(c)) {
		left = c->max - c->done;
		n = p->ops->peek(p, left < most ? left : most, c->done ? RINGQ_NOWAIT : timeout);
		if (n <= 0)
			return n;
		ringq_count_all(c, p, n);
		if (handler)
			n = ringq_show(p, n, handler, arg, &c->enough);
		r = p->ops->release(p, n);
		/* Of records whose headers make no sense, none was shown. */
		if (r < 0 || !n)
			return r < 0 ? r : -EBADMSG;
		c->done += n;
	}
	return 0;
}

/* Where messages may be overwritten while they are looked at, a copy of each is. */
static int64_t ringq_consume_copies(struct ringq_port *p, struct ringq_course *c,
				    ringq_handler *handler, void *arg, int64_t timeout)
{
	unsigned char some[RINGQ_COPY], *copy = some;
	uint32_t size = p->elem_size;
	int64_t r = 1;

	if (p->elem_size > sizeof(some))
		copy = malloc(p->elem_size);
	if (!copy)
		return -ENOMEM;
	while (ringq_goes_on(c)) {
		if (c->done)
			timeout = RINGQ_NOWAIT;
		r = p->ops->recv_record ? p->ops->recv_record(p, copy, p->elem_size, &size, timeout) :
					  p->ops->recv(p, copy, timeout);
		if (r <= 0)
			break;
		c->done++;
		ringq_count_all(c, p, 0);
		c->enough = handler(arg, copy, size);
	}
	if (copy != some)
		free(copy);
	return r;
}

RINGQ_PUBLIC int64_t ringq_consume(struct ringq_port *p, uint64_t max, ringq_handler *handler,
				   void *arg, int64_t timeout)
{
	struct ringq_course course = { .max = max };
	uint32_t discipline;
	int64_t r;

	if (p->error)
		return p->error;
	if (p->role != RINGQ_CONSUMER)
		return -EOPNOTSUPP;
	if (!max)
		return -EINVAL;
	discipline = p->ring->geometry.discipline;
	if (handler && (discipline == RINGQ_LOSSY || discipline == RINGQ_LATEST))
		r = ringq_consume_copies(p, &course, handler, arg, timeout);
	else
		r = ringq_consume_there(p, &course, handler, arg, timeout);
	return course.done ? (int64_t)course.done : r;
}

RINGQ_PUBLIC int64_t ringq_skip(struct ringq_port *p, uint64_t n, int64_t timeout)
{
	return ringq_consume(p, n, NULL, NULL, timeout);
}

RINGQ_PUBLIC int64_t ringq_discard(struct ringq_port *p)
{
	int64_t n = ringq_consume(p, RINGQ_ALL, NULL, NULL, RINGQ_NOWAIT);

	return n == -EAGAIN ? 0 : n;
}

RINGQ_PUBLIC int64_t ringq_iter_begin(struct ringq_port *p, uint64_t max, int64_t timeout,
				      struct ringq_iter *it)
{
	int64_t n = RINGQ_CALL(p, peek, max, timeout);

	memset(it, 0, sizeof(*it));
	it->port = p;
	it->count = n > 0 ? n : 0;
	return n;
}

static const void *ringq_iter_record(struct ringq_iter *it, size_t *size)
{
	const void *msg;
	uint32_t bytes;

	msg = it->port->ops->record(it->port, &it->run, &bytes);
	if (!msg)
		return NULL;
	it->seen++;
	if (size)
		*size = bytes;
	return msg;
}

RINGQ_PUBLIC const void *ringq_iter_next(struct ringq_iter *it, size_t *size)
{
	const struct ringq_port *p = it->port;
	const unsigned char *msg;

	if (it->seen == it->count)
		return NULL;
	if (p->ops->record)
		return ringq_iter_record(it, size);
	if (!it->run)
		it->next = p->ops->at(p, it->seen, &it->run);
	msg = it->next;
	it->next += p->elem_size;
	it->run--;
	it->seen++;
	if (size)
		*size = p->elem_size;
	return msg;
}

RINGQ_PUBLIC int ringq_iter_finish(struct ringq_iter *it)
{
	uint64_t seen = it->seen;

	if (!it->count)
		return 0;
	it->seen = 0;
	it->count = 0;
	return RINGQ_CALL(it->port, release, seen);
}

/* Whoever asks reads the end first: what was sent before it counts. */
static uint64_t ringq_ends(const struct ringq_port *p)
{
	return ringq_load_acquire(p->attention) & RINGQ_ENDED;
}

RINGQ_PUBLIC int ringq_is_closed(const struct ringq_port *p)
{
	if (p->error)
		return p->error;
	return ringq_ends(p) & RINGQ_CLOSED ? 1 : 0;
}

/* Nothing is left for a consumer of a ring that has ended: what a receive would say. */
static int ringq_is_eof(struct ringq_port *p)
{
	int64_t n;

	if (!p->ops->peek)
		return 1;
	n = p->ops->peek(p, 1, RINGQ_NOWAIT);
	if (n > 0)
		p->ops->release(p, 0);
	return n == 0;
}

RINGQ_PUBLIC int ringq_is_ended(struct ringq_port *p)
{
	if (p->error)
		return p->error;
	if (!ringq_ends(p))
		return 0;
	if (p->role == RINGQ_PRODUCER)
		return 1;
	return ringq_len(p) > 0 ? 0 : ringq_is_eof(p);
}

RINGQ_PUBLIC int ringq_is_drained(struct ringq_port *p)
{
	int r = ringq_is_ended(p);

	return r <= 0 || p->role == RINGQ_CONSUMER ? r : ringq_is_empty(p);
}

RINGQ_PUBLIC int64_t ringq_len(const struct ringq_port *p)
{
	if (p->error)
		return p->error;
	return p->ops->len ? (int64_t)p->ops->len(p) : -EOPNOTSUPP;
}

RINGQ_PUBLIC int64_t ringq_capacity(const struct ringq_port *p)
{
	const struct ringq_geometry *g;

	if (p->error)
		return p->error;
	g = &p->ring->geometry;
	/* Who reads all lanes can have all of them full. */
	return p->role == RINGQ_CONSUMER ? g->capacity * ringq_lanes(g) : g->capacity;
}

RINGQ_PUBLIC int64_t ringq_room(const struct ringq_port *p)
{
	int64_t capacity, len;

	if (!p->error && p->ops->room)
		return p->ops->room(p);
	capacity = ringq_capacity(p);
	len = ringq_len(p);
	if (capacity < 0 || len < 0)
		return capacity < 0 ? capacity : len;
	return len < capacity ? capacity - len : 0;
}

RINGQ_PUBLIC int ringq_is_empty(const struct ringq_port *p)
{
	int64_t len = ringq_len(p);

	return len < 0 ? len : len == 0;
}

RINGQ_PUBLIC int ringq_is_full(const struct ringq_port *p)
{
	int64_t room = ringq_room(p);

	if (room < 0)
		return room;
	if (p->ring->geometry.shape == RINGQ_SHAPE_RECORDS)
		return room < (int64_t)ringq_record_room(&p->ring->geometry);
	return room == 0;
}

RINGQ_PUBLIC int64_t ringq_until(int64_t deadline)
{
	int64_t now = ringq_now();

	if (deadline == RINGQ_FOREVER)
		return RINGQ_FOREVER;
	return deadline > now ? deadline - now : 1;
}
