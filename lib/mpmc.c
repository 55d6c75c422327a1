// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * MPSC, SPMC and MPMC: the paths that are not a matter of a few instructions. The algorithm
 * and its ordering table are in ringq/mpmc.h, the way positions are taken in ringq/claim.h.
 */
#include "twins.h"

#include <sched.h>
#include <string.h>

/* A producer that is alone looks this far ahead for room. */
#define RINGQ_AHEAD	16

/* How long a consumer waits at a time for a producer who is in the middle of a claim, in ns. */
#define RINGQ_PENDING	INT64_C(1000000)

static int mpmc_corrupt(struct ringq_port *p)
{
	p->error = -EBADMSG;
	p->limit = p->pos;
	return -EBADMSG;
}

/* The done of a consumer. W1 */
static uint64_t mpmc_done_of(const struct ringq_port *p, uint32_t consumer)
{
	return ringq_load_acquire(&ringq_port_page(p->ring, p->base, RINGQ_CONSUMER,
						   consumer)->progress.done);
}

uint64_t ringq_mpmc_done(const struct ringq_port *p)
{
	uint64_t done = mpmc_done_of(p, 0), one;
	uint32_t i;

	for (i = 1; i < p->ring->geometry.consumers; i++) {
		one = mpmc_done_of(p, i);
		if ((int64_t)(one - done) > 0)
			done = one;
	}
	return done;
}

/* Learns what that consumer has freed by position. */
static void mpmc_learn(struct ringq_port *p, uint32_t consumer)
{
	uint64_t free = mpmc_done_of(p, consumer) + p->capacity;

	if ((int64_t)(free - p->claims.free) <= 0)
		return;
	p->claims.free = free;
	p->claims.ahead = consumer;
}

/*
 * How many positions are free in a row, from one on; at most so many, but least if they are.
 * The consumer who was ahead may be the only one there is: the others are asked last.
 */
static uint64_t mpmc_free(struct ringq_port *p, uint64_t pos, uint64_t least, uint64_t most)
{
	uint64_t n = 0;
	int64_t below;
	uint32_t i;
	int asked;

	for (asked = 0;; asked++) {
		below = p->claims.free - pos;
		if (below > (int64_t)n)
			n = below;
		while (n < most && ringq_load_acquire(ringq_mpmc_word(p, pos + n)) ==
					   RINGQ_STAMP(pos + n, RINGQ_FREE))	/* W2 */
			n++;
		if (n >= least || asked == 2)
			return n < most ? n : most;
		if (!asked)
			mpmc_learn(p, p->claims.ahead);
		for (i = 0; asked && i < p->ring->geometry.consumers; i++)
			mpmc_learn(p, i);
	}
}

/*
 * A port that is alone on its side is faster than several on the other one. At their heels, each
 * of its looks would take away the line that they are about to write, and all would go at the pace
 * of that. So when there is nothing left of what it had found, it waits about as long as a line
 * takes from one CPU to another, and if there is something then, a little longer for more, where
 * they have not been yet. Returns whether there is something. Where it has waited once and is
 * still, it does not wait again.
 */
#define RINGQ_FOLLOW_PAUSES	4
#define RINGQ_FOLLOW_LOOKS	4
#define RINGQ_FOLLOW_FAR	15	/* slots, several lines */

static bool mpmc_is(struct ringq_port *p, uint64_t pos, uint32_t state)
{
	if (ringq_load_acquire(ringq_mpmc_word(p, pos)) == RINGQ_STAMP(pos, state))
		return true;
	if (state == RINGQ_FULL)
		return false;
	mpmc_learn(p, p->claims.ahead);
	return (int64_t)(p->claims.free - pos) > 0;
}

static bool mpmc_follow(struct ringq_port *p, uint32_t state)
{
	uint32_t look, i;

	if (p->claims.followed == p->pos || p->capacity <= RINGQ_FOLLOW_FAR)
		return false;
	p->claims.followed = p->pos;
	for (look = 0; look < RINGQ_FOLLOW_LOOKS; look++) {
		for (i = 0; i < RINGQ_FOLLOW_PAUSES; i++)
			ringq_pause();
		if (mpmc_is(p, look ? p->pos + RINGQ_FOLLOW_FAR : p->pos, state) == !!look)
			break;
	}
	return look;
}

/* What is not free must be what became of the lap before, and no consumer is ahead of it. */
static bool mpmc_is_full(const struct ringq_port *p, uint64_t pos)
{
	return (int64_t)(p->claims.free - p->capacity - pos) <= 0;
}

/* Room for least to most from the port's position on: how many; 0 to try again. */
static int64_t mpmc_room_biased(struct ringq_port *p, uint64_t least, uint64_t most)
{
	const uint64_t wanted = most > RINGQ_AHEAD ? most : RINGQ_AHEAD;
	uint64_t n = mpmc_free(p, p->pos, least, wanted);
	int r;

	if (n < RINGQ_AHEAD && mpmc_follow(p, RINGQ_FREE))
		n = mpmc_free(p, p->pos, least, wanted);
	ringq_store_relaxed(p->done, p->pos);
	p->limit = p->pos + n;
	if ((int64_t)(p->claims.free - p->limit) > 0)
		p->limit = p->claims.free;
	if (n < least) {
		p->limit = p->pos;
		if (ringq_load_relaxed(&p->claims.side->shared))			/* [look] */
			return 0;
		return mpmc_is_full(p, p->pos) ? -EAGAIN : mpmc_corrupt(p);
	}
	if (n > most)
		n = most;
	r = ringq_claim_own(p, n);
	if (r == 0)
		return n;
	p->limit = p->pos;
	return r == -EAGAIN ? 0 : r;
}

/*
 * What those who share a side mostly find: the position at the index is to be had, and there is
 * nothing else to be looked at. Claims it.
 */
static inline bool mpmc_grab(struct ringq_port *p, uint32_t state)
{
	uint64_t index = ringq_claim_next(p);

	if ((state == RINGQ_FULL || (int64_t)(p->claims.free - index) <= 0) &&
	    ringq_load_acquire(ringq_mpmc_word(p, index)) != RINGQ_STAMP(index, state))
		return false;
	return ringq_claim_index(p, 1, index) > 0;
}

static int64_t mpmc_room_shared(struct ringq_port *p, uint64_t least, uint64_t most)
{
	const struct ringq_side *side = p->claims.side;
	uint64_t index = ringq_claim_next(p), n;
	int r;

	n = mpmc_free(p, index, least, most);
	if (n >= least) {
		r = ringq_claim_index(p, n, index);
		return r > 0 ? (int64_t)n : r;
	}
	if (ringq_load_acquire(&side->index) != index)
		return 0;
	return ringq_load_relaxed(&side->shared) && mpmc_is_full(p, index) ? -EAGAIN :
									     mpmc_corrupt(p);
}

static int64_t mpmc_try_room(struct ringq_port *p, uint64_t least, uint64_t most)
{
	int64_t r;

	do {
		r = ringq_claim_ended(p);
		if (r < 0)
			return r;
		if (ringq_claim_is_biased(p))
			r = mpmc_room_biased(p, least, most);
		else
			r = mpmc_room_shared(p, least, most);
	} while (r == 0);
	return r;
}

/*
 * Before a wait. Its end is looked for here too: if somebody scribbles over the ring, there may
 * always be something to be had for who waits, and nothing for who comes to fetch it.
 */
static int mpmc_before_wait(struct ringq_port *p, int64_t *deadline, int64_t *timeout)
{
	bool again = *deadline;

	ringq_claim_tell(p);
	*timeout = ringq_time_left(deadline, *timeout);
	return again && *timeout == 1 ? -ETIMEDOUT : 0;
}

/* Before a sleep in which a kick may be lost to others: from now on all are kicked. */
static void mpmc_wait_wide(struct ringq_port *p)
{
	if (!p->claims.single && !ringq_load_relaxed(&p->claims.side->wide))
		__atomic_store_n(&p->claims.side->wide, 1, __ATOMIC_SEQ_CST);	/* S0 */
}

/* What has been sent so far has perhaps not been notified. */
RINGQ_PUBLIC int64_t ringq_mpmc_room(struct ringq_port *p, uint64_t least, uint64_t most,
				     int64_t timeout)
{
	int64_t deadline = 0, r;
	bool slept = false;

	r = ringq_as(p, RINGQ_PRODUCER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	if (!least || least > p->capacity || least > RINGQ_CLAIM_MAX)
		return -EINVAL;
	if (most == 1 && ringq_claim_is_shared(p) && mpmc_grab(p, RINGQ_FREE))
		return 1;
	for (;;) {
		r = mpmc_try_room(p, least, most);
		if (r != -EAGAIN)
			break;
		/* Whoever waits here must know of what was published before. */
		ringq_notify(p, p->capacity);
		if (timeout && least > 1)
			mpmc_wait_wide(p);
		r = mpmc_before_wait(p, &deadline, &timeout);
		if (r == 0)
			r = ringq_wait(p, least, RINGQ_ENDED, timeout);
		if (r < 0)
			return r;
		slept = true;
	}
	if (r > 0 && slept)
		ringq_claim_pass_on(p);
	return r;
}

/* A tombstone is taken and freed like a message, but not delivered. */
static void mpmc_skip(struct ringq_port *p)
{
	ringq_mpmc_free(p, p->elem_size, 1);
	ringq_notify(p, 1);
}

/* Messages from the port's position on: how many; 0 to try again. */
static int64_t mpmc_look_biased(struct ringq_port *p, uint64_t most)
{
	struct ringq_claims *c = &p->claims;
	uint64_t stamp = ringq_load_acquire(ringq_mpmc_word(p, p->pos));	/* R1 */
	uint64_t n = 1;
	bool shown = (int64_t)(c->shown - p->pos) > 0;

	p->limit = shown ? p->pos : UINT64_MAX;
	if (shown && most > c->shown - p->pos)
		most = c->shown - p->pos;
	if (stamp == RINGQ_STAMP(p->pos, RINGQ_FULL)) {
		n = ringq_mpmc_published(p, p->elem_size, p->pos, most);
	} else if (stamp != RINGQ_STAMP(p->pos, RINGQ_TOMB)) {
		if (ringq_load_relaxed(&c->side->shared))
			return 0;
		if (!ringq_stamp_is_before(stamp, p->pos, p->capacity))
			return mpmc_corrupt(p);
		return mpmc_follow(p, RINGQ_FULL) ? 0 : -EAGAIN;
	}
	if (ringq_claim_own(p, n) < 0)
		return 0;
	if (ringq_stamp_state(stamp) == RINGQ_TOMB) {
		mpmc_skip(p);
		return 0;
	}
	if (shown) {
		p->flags = RINGQ_REDELIVERED;
		p->limit = p->pos + n;
	}
	return n;
}

/* An orphan that this port has not passed by yet: 1; or 0. */
static int mpmc_adopt(struct ringq_port *p)
{
	struct ringq_claims *c = &p->claims;
	uint64_t stamp, pos;

	for (;;) {
		if (c->search == c->search_end) {
			c->searched = ringq_load_acquire(&c->side->orphans);
			if (ringq_likely(c->searched == c->seen))
				return 0;
			c->search_end = ringq_load_acquire(&c->side->index);
			c->search = c->search_end - p->capacity;
		}
		while (c->search != c->search_end) {
			pos = c->search++;
			stamp = ringq_load_acquire(ringq_mpmc_word(p, pos));
			if (ringq_stamp_state(stamp) == RINGQ_SPECIAL &&
			    ringq_special_kind(stamp) == RINGQ_ORPHAN &&
			    ringq_claim_orphan(p, stamp, ringq_special_pos(stamp, pos))) {
				p->flags = RINGQ_REDELIVERED;
				return 1;
			}
		}
		/* All have been taken, here or elsewhere: perhaps the last obstacle to bias. */
		c->seen = c->searched;
		ringq_store_relaxed(&p->page->seen, c->seen);
		c->lonely = 1;
	}
}

static int64_t mpmc_look_shared(struct ringq_port *p, uint64_t most)
{
	const struct ringq_side *side = p->claims.side;
	uint64_t index, stamp, n = 1;
	int r;

	if (mpmc_adopt(p))
		return 1;
	index = ringq_claim_next(p);
	stamp = ringq_load_acquire(ringq_mpmc_word(p, index));			/* R1 */
	if (stamp == RINGQ_STAMP(index, RINGQ_FULL)) {
		n = ringq_mpmc_published(p, p->elem_size, index, most);
		r = ringq_claim_index(p, n, index);
		return r > 0 ? (int64_t)n : r;
	}
	if (stamp == RINGQ_STAMP(index, RINGQ_TOMB)) {
		if (ringq_claim_index(p, 1, index))
			mpmc_skip(p);
		return 0;
	}
	if (ringq_load_acquire(&side->index) != index)
		return 0;
	return ringq_load_relaxed(&side->shared) &&
	       ringq_stamp_is_before(stamp, index, p->capacity) ? -EAGAIN : mpmc_corrupt(p);
}

static int64_t mpmc_try_look(struct ringq_port *p, uint64_t most)
{
	struct ringq_claims *c = &p->claims;
	int64_t r;

	/* What was released in part, with the flags that it had. */
	if (c->rest) {
		r = most < c->rest ? most : c->rest;
		c->rest -= r;
		p->limit = p->pos + r;
		return r;
	}
	p->flags = 0;
	do {
		if (ringq_claim_is_biased(p))
			r = mpmc_look_biased(p, most);
		else
			r = mpmc_look_shared(p, most);
	} while (r == 0);
	return r;
}

/*
 * The ring is closed and there is not enough from the port's position on: 0 if the need will
 * never be met, 1 if it may be, -EAGAIN if a producer is in the middle of a claim.
 */
static int mpmc_more_to_come(struct ringq_port *p, uint64_t need)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	uint64_t end = g->first, pos, index;
	uint32_t i;

	if (!p->claims.barrier)
		ringq_heavy_barrier(p->ring);					/* [end-barrier] */
	p->claims.barrier = 1;
	for (i = 0; i < g->producers; i++) {
		if (ringq_claim_is_pending(p, RINGQ_PRODUCER, i))		/* [end-wait] */
			return -EAGAIN;
		end = ringq_claim_end_of(p, RINGQ_PRODUCER, i, end);		/* [end-words] */
	}
	/* After the words. [end-index] */
	index = ringq_load_acquire(&ringq_side_of(p->ring, p->base, RINGQ_PRODUCER)->index);
	if ((int64_t)(index - end) > 0)
		end = index;
	pos = p->claims.biased ? p->pos : ringq_load_acquire(&p->claims.side->index);
	return (int64_t)(end - pos) >= (int64_t)need;
}

/*
 * So many positions are not published. Waits, on a closed ring too if they may be yet: 1;
 * end-of-file: 0.
 */
static int mpmc_await(struct ringq_port *p, uint64_t need, uint64_t word, int64_t timeout)
{
	uint64_t ends = RINGQ_ENDED;
	int r;

	if (word & (RINGQ_DEAD | RINGQ_GONE))
		return 0;
	if (word & RINGQ_CLOSED) {
		r = mpmc_more_to_come(p, need);
		if (r == 0)
			return 0;
		if (r < 0 && !timeout)
			return ringq_try_ended(p, need);
		ends &= ~RINGQ_CLOSED;
		if (r < 0) {
			/* If it takes nothing, it wakes nobody. */
			sched_yield();
			if (timeout < 0 || timeout > RINGQ_PENDING)
				timeout = RINGQ_PENDING;
			r = ringq_wait(p, need, ends, timeout);
			return r == -ETIMEDOUT && timeout == RINGQ_PENDING ? 1 : r < 0 ? r : 1;
		}
	}
	r = ringq_wait(p, need, ends, timeout);
	return r < 0 ? r : 1;
}

RINGQ_PUBLIC int64_t ringq_mpmc_look(struct ringq_port *p, uint64_t most, int64_t timeout)
{
	int64_t deadline = 0, r;
	bool slept = false;
	uint64_t word;

	r = ringq_as(p, RINGQ_CONSUMER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	if (most == 1 && ringq_claim_is_shared(p) && !p->claims.rest &&
	    ringq_load_relaxed(&p->claims.side->orphans) == p->claims.seen &&
	    mpmc_grab(p, RINGQ_FULL)) {
		p->flags = 0;
		return 1;
	}
	for (;;) {
		/* The end is looked at first: what was published before it is seen then. */
		word = ringq_load_acquire(p->attention);
		r = mpmc_try_look(p, most);
		if (r != -EAGAIN)
			break;
		r = mpmc_before_wait(p, &deadline, &timeout);
		if (r == 0)
			r = mpmc_await(p, 1, word, timeout);
		if (r <= 0)
			return r;
		slept = true;
	}
	if (r > 0 && slept)
		ringq_claim_pass_on(p);
	return r;
}

/*
 * How many positions from one on are to be claimed to have n messages: what lies between them
 * may be tombstones. If there are not so many yet, how many must be published at least.
 */
static uint64_t mpmc_row(const struct ringq_port *p, uint64_t pos, uint64_t n, bool *there)
{
	uint64_t i, found = 0, stamp;

	for (i = 0; found < n && i < p->capacity; i++) {
		stamp = ringq_load_acquire(ringq_mpmc_word(p, pos + i));	/* R1 */
		if (stamp == RINGQ_STAMP(pos + i, RINGQ_FULL))
			found++;
		else if (stamp != RINGQ_STAMP(pos + i, RINGQ_TOMB))
			break;
	}
	*there = found == n;
	return i + n - found;
}

/* A row with n messages, claimed: its length; 0 to try again. The need: as mpmc_row() says. */
static int64_t mpmc_claim_row(struct ringq_port *p, uint64_t n, uint64_t *need)
{
	const struct ringq_side *side = p->claims.side;
	bool biased = ringq_claim_is_biased(p), there;
	uint64_t pos;
	int r;

	if (!biased && mpmc_adopt(p))
		return 1;
	pos = biased ? p->pos : ringq_load_acquire(&side->index);
	if (ringq_load_acquire(ringq_mpmc_word(p, pos)) == RINGQ_STAMP(pos, RINGQ_TOMB)) {
		r = biased ? !ringq_claim_own(p, 1) : ringq_claim_index(p, 1, pos);
		if (r)
			mpmc_skip(p);
		return 0;
	}
	*need = mpmc_row(p, pos, n, &there);
	if (*need > p->capacity || *need > RINGQ_CLAIM_MAX)
		return -ENOBUFS;
	if (!there)
		return biased || ringq_load_acquire(&side->index) == pos ? -EAGAIN : 0;
	r = biased ? !ringq_claim_own(p, *need) : ringq_claim_index(p, *need, pos);
	return r ? (int64_t)*need : 0;
}

/* n messages in the port's hands, or fewer if they are redelivered: a row's length. */
static int64_t mpmc_take_all(struct ringq_port *p, uint64_t n, uint64_t *need)
{
	struct ringq_claims *c = &p->claims;
	int64_t r;

	*need = 1;
	if (c->rest) {
		if (c->rest < n && !p->flags)
			return -EBUSY;
		return mpmc_try_look(p, n);
	}
	/* What a predecessor was shown. */
	if ((int64_t)(c->shown - p->pos) > 0)
		return mpmc_try_look(p, n);
	p->flags = 0;
	do {
		r = mpmc_claim_row(p, n, need);
	} while (r == 0);
	return r;
}

/* Copies the messages of a row that is claimed, at most n, and frees it; how many. */
static uint64_t mpmc_copy_row(struct ringq_port *p, unsigned char *to, uint64_t n, uint64_t row)
{
	uint64_t got = 0, i, stamp;

	for (i = 0; i < row && got < n; i++) {
		stamp = ringq_load_relaxed(ringq_mpmc_word(p, p->pos + i));
		if (stamp == RINGQ_STAMP(p->pos + i, RINGQ_TOMB))
			continue;
		memcpy(to + got * p->elem_size, ringq_mpmc_elem(p, p->elem_size, p->pos + i),
		       p->elem_size);						/* R3 */
		got++;
	}
	ringq_mpmc_free(p, p->elem_size, row);
	p->limit = p->pos;
	ringq_notify(p, row);							/* R6 */
	return got;
}

static int64_t mpmc_recv_all(struct ringq_port *p, void *msgs, uint64_t n, int64_t timeout)
{
	int64_t deadline = 0, r;
	bool slept = false;
	uint64_t word, need;

	if (p->held)
		return -EBUSY;
	if (!n || n > p->capacity || n > RINGQ_CLAIM_MAX)
		return -EINVAL;
	for (;;) {
		/* The end is looked at first: what was published before it is seen then. */
		word = ringq_load_acquire(p->attention);
		r = mpmc_take_all(p, n, &need);
		if (r != -EAGAIN)
			break;
		if (timeout && need > 1)
			mpmc_wait_wide(p);
		r = mpmc_before_wait(p, &deadline, &timeout);
		if (r == 0)
			r = mpmc_await(p, need, word, timeout);
		if (r <= 0)
			return r;
		slept = true;
	}
	if (r < 0)
		return r;
	n = mpmc_copy_row(p, msgs, n, r);
	if (slept)
		ringq_claim_pass_on(p);
	return n;
}

/* Orphans that this port has not passed by, all there are below the index. */
static uint64_t mpmc_orphans(const struct ringq_port *p, uint64_t index)
{
	const struct ringq_claims *c = &p->claims;
	uint64_t n = 0, pos, stamp;

	if (c->search == c->search_end && ringq_load_acquire(&c->side->orphans) == c->seen)
		return 0;
	for (pos = index - p->capacity; pos != index; pos++) {
		stamp = ringq_load_acquire(ringq_mpmc_word(p, pos));
		n += ringq_stamp_state(stamp) == RINGQ_SPECIAL &&
		     ringq_special_kind(stamp) == RINGQ_ORPHAN;
	}
	return n;
}

/*
 * How many messages are published for a consumer, and in its hands. Behind a gap, which a
 * producer leaves who is still writing, there may be more.
 */
static uint64_t mpmc_len_consumer(const struct ringq_port *p)
{
	uint64_t index;

	if (p->claims.biased)
		return ringq_spsc_ahead(p, 0, p->pos);
	index = ringq_load_acquire(&p->claims.side->index);
	return p->held + p->claims.rest + mpmc_orphans(p, index) + ringq_spsc_ahead(p, 0, index);
}

/* What consumers have released; where several do that by stamps, what they have taken. */
static uint64_t mpmc_gone(const struct ringq_port *p)
{
	const struct ringq_side *side = ringq_side_of(p->ring, p->base, RINGQ_CONSUMER);
	uint64_t end;
	uint32_t i;

	if (!ringq_load_acquire(&side->shared)) {
		end = ringq_mpmc_done(p);
		/* What one that was alone and died had in hand is freed by stamps (RINGQ_DROP). */
		while (ringq_load_acquire(ringq_mpmc_word(p, end)) ==
		       RINGQ_STAMP(end + p->capacity, RINGQ_FREE))
			end++;
		return end;
	}
	end = ringq_load_acquire(&side->index);
	for (i = 0; i < p->ring->geometry.consumers; i++)
		end = ringq_claim_end_of(p, RINGQ_CONSUMER, i, end);
	return end;
}

/* How many messages were sent and are not gone; something, until all are released. */
static uint64_t mpmc_len_producer(const struct ringq_port *p)
{
	uint64_t sent = p->pos, gone;

	if (!p->claims.biased)
		sent = ringq_load_acquire(&p->claims.side->index) - p->held;
	gone = mpmc_gone(p);
	if ((int64_t)(sent - gone) <= 0)
		return !ringq_drained(p);
	return sent - gone < p->capacity ? sent - gone : p->capacity;
}

/* What is held beyond what was published: back to the ring, or tombstones. */
RINGQ_PUBLIC void ringq_mpmc_give_back(struct ringq_port *p, uint64_t n)
{
	if (ringq_claim_back(p, n))
		return;
	for (; n; n--, p->pos++)
		ringq_store_release(ringq_mpmc_word(p, p->pos), RINGQ_STAMP(p->pos, RINGQ_TOMB));
}

/* Everything that this producer has sent, and all before it, is released: 0. */
static int mpmc_drain(struct ringq_port *p, int64_t timeout)
{
	const uint64_t ends = RINGQ_ENDED & ~RINGQ_CLOSED;
	int64_t deadline = 0;
	uint64_t word;
	int r;

	r = ringq_as(p, RINGQ_PRODUCER);
	if (r < 0)
		return r;
	ringq_store_release(p->done, p->pos);
	for (;;) {
		/* The end is looked at first: what was released before it is seen then. */
		word = ringq_load_acquire(p->attention);
		if (ringq_drained(p))
			return 0;
		if (word & RINGQ_DEAD)
			return -EOWNERDEAD;
		if (word & RINGQ_GONE)
			return -EPIPE;
		mpmc_wait_wide(p);
		timeout = ringq_time_left(&deadline, timeout);
		r = ringq_wait(p, p->capacity, ends, timeout);
		if (r < 0)
			return r;
	}
}

/* Where the port's messages and stamps are. */
static void mpmc_enter(struct ringq_port *p)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	const struct ringq_layout *l = &p->ring->layout;

	p->data = p->base + l->data;
	p->data_end = p->data + l->slots * l->slot_size;
	p->stamps = (__u64 *)(p->base + ringq_stamp_at(g, l, 0, 0));
	p->claims.mask = l->slots - 1;
	p->claims.shift = __builtin_ctz(g->shape == RINGQ_SHAPE_SLOT ? l->slot_size :
								       sizeof(__u64));
	p->flags = 0;
}

static int mpmc_attach_producer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	(void)opts;
	mpmc_enter(p);
	p->done = &p->page->progress.done;
	p->claims.free = ringq_mpmc_done(p) + p->capacity;
	return ringq_claim_attach(p);
}

static void mpmc_detach_producer(struct ringq_port *p)
{
	ringq_mpmc_commit(p, p->elem_size, 0);
	ringq_claim_detach(p);
	ringq_store_release(p->done, p->pos);
}

static int mpmc_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	const struct ringq_layout *l = &p->ring->layout;
	uint64_t taken;
	int r;

	(void)opts;
	mpmc_enter(p);
	p->far = l->slots * l->slot_size < 4 * RINGQ_PREFETCH_LAG ? UINT64_MAX / 2 : 0;
	p->progress = &p->page->progress;
	p->done = &p->progress->done;
	p->claims.seen = ringq_load_acquire(&p->page->seen);
	r = ringq_claim_attach(p);
	if (r < 0)
		return r;
	ringq_store_relaxed(&p->progress->hand, p->pos);
	p->taken = ringq_load_acquire(&p->progress->taken);
	if (!p->claims.single)
		return 0;
	/* What its predecessor had in hand, as far as that makes sense. */
	taken = p->taken - p->pos <= p->capacity ? p->taken : p->pos;
	p->claims.shown = taken;
	p->taken = taken;
	return 0;
}

/* Of a side with other places: what is still this port's becomes anybody's. [leave-orphans] */
static void mpmc_disown(struct ringq_port *p)
{
	uint64_t n = p->held + p->claims.rest, pos;

	for (pos = p->pos; pos - p->pos < n; pos++)
		ringq_store_release(ringq_mpmc_word(p, pos),
				    ringq_special(RINGQ_ORPHAN, p->index, p->generation, pos));
	p->pos += n;
	if (!n)
		return;
	__atomic_fetch_add(&p->claims.side->orphans, 1, __ATOMIC_SEQ_CST);
	p->ring->backend->kick(p, p->role, UINT64_MAX);
}

static void mpmc_detach_consumer(struct ringq_port *p)
{
	if (!p->claims.single && !p->error)
		mpmc_disown(p);			/* [orphans-first] */
	ringq_claim_detach(p);
}

RINGQ_PRODUCER_TWINS(mpmc)
RINGQ_CONSUMER_TWINS(mpmc)
RINGQ_AT_TWIN(mpmc)

const struct ringq_ops ringq_mpmc_producer = {
	.attach = mpmc_attach_producer,
	.detach = mpmc_detach_producer,
	.drain = mpmc_drain,
	.len = mpmc_len_producer,
	RINGQ_PRODUCER_OPS(mpmc),
};

const struct ringq_ops ringq_mpmc_consumer = {
	.attach = mpmc_attach_consumer,
	.detach = mpmc_detach_consumer,
	.recv_all = mpmc_recv_all,
	.len = mpmc_len_consumer,
	RINGQ_CONSUMER_OPS(mpmc),
};
