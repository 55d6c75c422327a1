// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Random walks by one thread that has several ports of each side: what every call returns is
 * compared with what a model says it may. Ports come and go, with and without something in
 * hand; messages are sent and received in all ways; reservations and what is peeked are kept
 * while others go on. A walk has a number, and is the same whenever it is walked.
 *
 * The model is a row of entries for each queue: one queue, or one for each producer's place
 * where the order is one for each producer. It is exact, but for two things: room that was
 * given up behind another producer's back may be had at once or only when consumers have come
 * by (slack); and what a consumer left in hand may come to another out of order, flagged.
 */
#include "conformance.h"

#include <stdlib.h>
#include <string.h>

#define PORTS 3		/* of a side */
#define PLACES 4
#define STEPS 300
#define BATCH 6
#define ENTRIES 128	/* more than any capacity here */

enum state {
	RESERVED,	/* by a producer */
	FULL,
	TAKEN,		/* by the call that is being looked at */
	HELD,		/* peeked by a consumer, and perhaps given back to itself */
	LEFT,		/* by a consumer that went with this in hand */
	DONE,
};

struct entry {
	uint64_t seq;
	enum state state;
	uint32_t owner;		/* RESERVED, HELD: the attachment */
	uint64_t shown;		/* to which attachments, while they peeked: 1 << id */
};

/* From the oldest that takes room to the newest. */
struct queue {
	struct entry entries[ENTRIES];
	uint64_t n;
	uint64_t before;	/* how many there were before the first */
	uint64_t slack;		/* given up, and perhaps not to be had yet */
};

struct seat {
	struct ringq_port port;
	uint32_t id;		/* of this attachment; 0: it is empty */
	uint64_t held;
	uint64_t seqs[BATCH];	/* held */
	uint64_t cursor;	/* where each consumer gets all: counts like queue.before */
};

struct walk {
	uint64_t number, random, step;
	struct ringq *ring;
	uint64_t capacity;
	struct conf_ops ops;
	struct queue queues[PLACES];
	struct seat seats[2][PORTS];
	uint32_t ids;
	uint64_t seq;
	unsigned char *msgs;
};

#define MUST(w, cond, r)								\
	do {										\
		conf_at(__FILE__, __LINE__);						\
		if (!(cond))								\
			conf_fail(__FILE__, __LINE__,					\
				  "walk %llu, step %llu: not so: %s (it was %lld)",	\
				  (unsigned long long)(w)->number,			\
				  (unsigned long long)(w)->step, #cond, (long long)(r));	\
	} while (0)

static bool has(uint32_t promise)
{
	return conf.discipline->has & promise;
}

/* xorshift64 */
static uint64_t below(struct walk *w, uint64_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random % n;
}

static struct queue *queue_of(struct walk *w, const struct seat *s)
{
	return &w->queues[has(CONF_ORDER) ? 0 : s->port.index];
}

/* Is a full ring full? Where each consumer gets all, only if there is one. */
static bool is_bounded(const struct walk *w)
{
	uint32_t i;

	for (i = 0; i < PORTS; i++) {
		if (has(CONF_ONCE) || w->seats[RINGQ_CONSUMER][i].id)
			return true;
	}
	return false;
}

static void append(struct walk *w, struct queue *q, uint64_t n, enum state state, uint32_t owner)
{
	for (; n; n--) {
		MUST(w, q->n < ENTRIES, q->n);
		q->entries[q->n++] = (struct entry){ w->seq++, state, owner, 0 };
	}
}

/* Drops entries from i on. */
static void drop(struct queue *q, uint64_t i, uint64_t n)
{
	memmove(&q->entries[i], &q->entries[i + n], (q->n - i - n) * sizeof(q->entries[0]));
	q->n -= n;
}

/* How many of the oldest take no room any more. */
static uint64_t count_done(const struct walk *w, const struct queue *q)
{
	uint64_t n = 0;
	uint32_t i;

	if (has(CONF_ONCE)) {
		while (n < q->n && q->entries[n].state == DONE)
			n++;
		return n;
	}
	while (n < q->n && q->entries[n].state != RESERVED)
		n++;
	for (i = 0; i < PORTS; i++) {
		const struct seat *s = &w->seats[RINGQ_CONSUMER][i];

		if (s->id && s->cursor - q->before < n)
			n = s->cursor - q->before;
	}
	return n;
}

static void trim(struct walk *w)
{
	uint64_t n;
	uint32_t i;

	for (i = 0; i < PLACES; i++) {
		n = count_done(w, &w->queues[i]);
		drop(&w->queues[i], 0, n);
		w->queues[i].before += n;
	}
}

/* Producers. */

static void send(struct walk *w, struct seat *s)
{
	struct queue *q = queue_of(w, s);
	int64_t n = 1 + below(w, BATCH), i, r;

	for (i = 0; i < n; i++)
		conf_fill(w->msgs + i * w->ops.size, w->ops.size, w->seq + i);
	r = n == 1 ? w->ops.send(&s->port, w->msgs, RINGQ_NOWAIT) :
		     w->ops.send_many(&s->port, w->msgs, n, RINGQ_NOWAIT);
	if (r == -EAGAIN) {
		MUST(w, q->n + q->slack >= w->capacity, q->n);
		return;
	}
	MUST(w, r > 0 && r <= n, r);
	MUST(w, q->n + r <= w->capacity || !is_bounded(w), q->n + r);
	MUST(w, r == n || q->n + q->slack + r >= w->capacity, r);
	append(w, q, r, FULL, 0);
	/* Nobody is there who would want it. */
	trim(w);
}

static void reserve(struct walk *w, struct seat *s)
{
	struct queue *q = queue_of(w, s);
	uint64_t most = w->capacity < BATCH ? w->capacity : BATCH, n = 1 + below(w, most), i;
	int r = w->ops.reserve(&s->port, n, RINGQ_NOWAIT);

	if (r == -EAGAIN) {
		MUST(w, q->n + q->slack + n > w->capacity, q->n);
		return;
	}
	MUST(w, r == 0, r);
	MUST(w, q->n + n <= w->capacity, q->n);
	s->held = n;
	for (i = 0; i < n; i++) {
		s->seqs[i] = w->seq;
		conf_fill(w->ops.room(&s->port, i), w->ops.size, w->seq);
		append(w, q, 1, RESERVED, s->id);
	}
}

/* The first n of what is reserved are published, and the others never were. */
static void settle_room(struct walk *w, struct seat *s, uint64_t n)
{
	struct queue *q = queue_of(w, s);
	uint64_t i = 0, left = s->held - n;

	while (i < q->n) {
		struct entry *e = &q->entries[i];

		if (e->state != RESERVED || e->owner != s->id) {
			i++;
		} else if (n) {
			e->state = FULL;
			n--;
		} else {
			drop(q, i, 1);
		}
	}
	if (has(CONF_CLAIMS))
		q->slack += left;
	s->held = 0;
	trim(w);
}

static void commit(struct walk *w, struct seat *s)
{
	uint64_t n = below(w, s->held + 1);

	EXPECT(ringq_send(&s->port, w->msgs, RINGQ_FOREVER), -EBUSY);
	if (n || below(w, 2))
		EXPECT(w->ops.commit(&s->port, n), 0);
	else
		ringq_abort(&s->port);
	settle_room(w, s, n);
}

/* Consumers, each message to one of them. */

static struct entry *find(struct walk *w, uint64_t seq, struct queue **q)
{
	uint64_t i;

	for (*q = w->queues; *q < w->queues + PLACES; ++*q) {
		for (i = 0; i < (*q)->n; i++) {
			if ((*q)->entries[i].seq == seq && (*q)->entries[i].state != DONE)
				return &(*q)->entries[i];
		}
	}
	return NULL;
}

/* What lies before it is no reason that this consumer may not have it. */
static bool is_next(const struct queue *q, const struct entry *e, uint32_t id)
{
	const struct entry *f;

	if (e->state == LEFT)
		return true;
	if (e->state != FULL && (e->state != HELD || e->owner != id))
		return false;
	for (f = q->entries; f < e; f++) {
		/* What it was shown before comes first; so does all else in a FIFO. */
		if (f->state == HELD && (f->owner == id || !has(CONF_ORDER)))
			return false;
		if (e->state == FULL && (f->state == RESERVED || f->state == FULL))
			return false;
	}
	return true;
}

static void take_one(struct walk *w, struct seat *s, const void *msg)
{
	uint64_t me = UINT64_C(1) << s->id % 64;
	uint32_t flags = ringq_flags(&s->port);
	struct queue *q;
	struct entry *e = find(w, conf_seq_of(msg), &q);

	MUST(w, e, conf_seq_of(msg));
	conf_verify(msg, w->ops.size, e->seq);
	MUST(w, is_next(q, e, s->id), e->seq);
	/* If others have seen it it is flagged; if this one has, it may be. */
	MUST(w, !e->shown || e->shown & me || flags == RINGQ_REDELIVERED, flags);
	MUST(w, e->shown || !flags, flags);
	e->state = TAKEN;
}

static void settle_taken(struct walk *w, struct seat *s, bool hold)
{
	struct queue *q;
	uint64_t i;

	for (q = w->queues; q < w->queues + PLACES; q++) {
		for (i = 0; i < q->n; i++) {
			struct entry *e = &q->entries[i];

			if (e->state != TAKEN)
				continue;
			e->state = hold ? HELD : DONE;
			e->owner = s->id;
			e->shown |= UINT64_C(1) << s->id % 64;
		}
	}
	trim(w);
}

static void nothing_there(struct walk *w, struct seat *s)
{
	struct queue *q;
	uint64_t i;

	for (q = w->queues; q < w->queues + PLACES; q++) {
		for (i = 0; i < q->n; i++)
			MUST(w, !is_next(q, &q->entries[i], s->id), q->entries[i].seq);
		if (!q->n)
			q->slack = 0;
	}
}

/* Consumers, each of which gets all messages. */

static void take_gated(struct walk *w, struct seat *s, const void *msg, uint64_t i)
{
	const struct queue *q = &w->queues[0];
	uint64_t at = s->cursor + i - q->before;

	MUST(w, at < q->n && q->entries[at].state == FULL, at);
	conf_verify(msg, w->ops.size, q->entries[at].seq);
	MUST(w, !ringq_flags(&s->port), ringq_flags(&s->port));
}

static void nothing_gated(struct walk *w, const struct seat *s)
{
	const struct queue *q = &w->queues[0];
	uint64_t at = s->cursor - q->before;

	MUST(w, at == q->n || q->entries[at].state == RESERVED, at);
}

static void receive(struct walk *w, struct seat *s)
{
	int64_t n = 1 + below(w, BATCH), i, r;
	bool hold = below(w, 2);
	const void *msg;

	if (hold)
		r = w->ops.peek(&s->port, n, RINGQ_NOWAIT);
	else
		r = n == 1 ? w->ops.recv(&s->port, w->msgs, RINGQ_NOWAIT) :
			     w->ops.recv_many(&s->port, w->msgs, n, RINGQ_NOWAIT);
	if (r == -EAGAIN) {
		if (has(CONF_ONCE))
			nothing_there(w, s);
		else
			nothing_gated(w, s);
		return;
	}
	MUST(w, r > 0 && r <= n, r);
	for (i = 0; i < r; i++) {
		msg = hold ? w->ops.at(&s->port, i) : w->msgs + i * w->ops.size;
		s->seqs[i] = conf_seq_of(msg);
		if (has(CONF_ONCE))
			take_one(w, s, msg);
		else
			take_gated(w, s, msg, i);
	}
	if (hold)
		s->held = r;
	else
		s->cursor += r;
	settle_taken(w, s, hold);
}

/* What this attachment has in hand, but for the first n of it, which are done. */
static void settle_held(struct walk *w, struct seat *s, uint64_t n, enum state rest)
{
	struct queue *q;
	struct entry *e;
	uint64_t i;

	/* In the order in which they were shown, which may not be that of the queue. */
	for (i = 0; i < n; i++)
		find(w, s->seqs[i], &q)->state = DONE;
	for (q = w->queues; q < w->queues + PLACES; q++) {
		for (e = q->entries; e < q->entries + q->n; e++) {
			if (e->state == HELD && e->owner == s->id)
				e->state = rest;
		}
	}
	s->held = 0;
}

static void release(struct walk *w, struct seat *s)
{
	uint64_t n = below(w, s->held + 1), i;

	EXPECT(ringq_recv(&s->port, w->msgs, RINGQ_FOREVER), -EBUSY);
	/* Meanwhile nobody has touched it. */
	for (i = 0; i < s->held; i++)
		conf_verify(w->ops.at(&s->port, i), w->ops.size, s->seqs[i]);
	EXPECT(w->ops.release(&s->port, n), 0);
	if (has(CONF_ONCE))
		settle_held(w, s, n, has(CONF_CLAIMS) ? HELD : FULL);
	s->cursor += n;
	s->held = 0;
	trim(w);
}

/* Ports. */

static void attach(struct walk *w, struct seat *s, enum ringq_role role)
{
	const struct queue *q = &w->queues[0];

	EXPECT(w->ops.attach(w->ring, role, &s->port), 0);
	s->id = ++w->ids;
	s->held = 0;
	s->cursor = q->before + q->n;
	while (s->cursor > q->before && q->entries[s->cursor - q->before - 1].state == RESERVED)
		s->cursor--;
}

static void detach(struct walk *w, struct seat *s, enum ringq_role role)
{
	if (role == RINGQ_PRODUCER)
		settle_room(w, s, 0);
	else if (has(CONF_ONCE))
		settle_held(w, s, 0, has(CONF_CLAIMS) ? LEFT : FULL);
	ringq_detach(&s->port);
	s->id = 0;
	trim(w);
}

static void step(struct walk *w)
{
	static const uint32_t many[2] = { CONF_PRODUCERS, CONF_CONSUMERS };
	enum ringq_role role = below(w, 2);
	struct seat *s = &w->seats[role][has(many[role]) ? below(w, PORTS) : 0];

	if (!s->id)
		attach(w, s, role);
	else if (below(w, 25) == 0)
		detach(w, s, role);
	else if (role == RINGQ_PRODUCER)
		(s->held ? commit : below(w, 3) ? send : reserve)(w, s);
	else
		(s->held ? release : receive)(w, s);
}

static bool anything_left(const struct walk *w)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		n += w->queues[i].n;
	return n;
}

/* Everybody leaves; then two come, who find all that was sent, and all of the room. */
static void finish(struct walk *w)
{
	struct seat *out = &w->seats[RINGQ_PRODUCER][0], *in = &w->seats[RINGQ_CONSUMER][0];
	uint32_t role, i;

	for (role = 0; role < 2; role++) {
		for (i = 0; i < PORTS; i++) {
			if (w->seats[role][i].id)
				detach(w, &w->seats[role][i], role);
		}
	}
	attach(w, in, RINGQ_CONSUMER);
	attach(w, out, RINGQ_PRODUCER);
	for (i = 0; i < 1000 && (in->held || anything_left(w)); i++)
		(in->held ? release : receive)(w, in);
	MUST(w, !anything_left(w), i);
	EXPECT(w->ops.recv(&in->port, w->msgs, RINGQ_NOWAIT), -EAGAIN);
	conf_send_range(&out->port, 0, w->capacity);
	EXPECT(conf_send_seq(&out->port, 0), -EAGAIN);
	conf_recv_range(&in->port, 0, w->capacity);
	EXPECT(conf_recv_seq(&in->port, 0), -EAGAIN);
	ringq_detach(&out->port);
	ringq_detach(&in->port);
}

static void walk(uint64_t size)
{
	static const uint64_t capacities[] = { 1, 4, 20 };
	struct walk *w = aligned_alloc(RINGQ_LINE, sizeof(*w));
	uint64_t n = conf_times(300), number;

	CHECK(w, "no memory");
	for (number = 0; number < n; number++) {
		memset(w, 0, sizeof(*w));
		w->number = number;
		w->random = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
		w->ring = conf_create((struct ringq_opts){
			.elem_size = size, .capacity = capacities[number % COUNT(capacities)],
			.first = number % 2 ? (1ull << 50) - 50 : 0,
			.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
		});
		w->capacity = conf_capacity(w->ring);
		w->ops = conf_ops(size, number / 2 % 2);
		w->msgs = malloc(BATCH * size);
		for (w->step = 0; w->step < STEPS; w->step++)
			step(w);
		finish(w);
		free(w->msgs);
		ringq_leave(w->ring);
	}
	free(w);
}

const struct conf_case conf_walk[] = {
	{ "walk-8", walk, 8, 0 },
	{ "walk-28", walk, 28, 0 },
	{ "walk-100", walk, 100, 0 },
	{ 0 }
};
