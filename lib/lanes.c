// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LANES: which lane a consumer reads next. The idea, the ordering table and what a kill leaves
 * are in ringq/lanes.h. What is done inside a lane is that of the port's cursor: spsc.c's for
 * elements, records.c's for records (lanes_records.c).
 */
#include "twins.h"

#include <string.h>
#include <time.h>

#define RINGQ_SWEEP	8	/* every so many choices, all lanes are looked at in turn */

/* While the ring has ended and another consumer still has something in hand. */
#define RINGQ_NAP_MIN	INT64_C(1000)
#define RINGQ_NAP_MAX	INT64_C(1000000)

static uint32_t lanes_count(const struct ringq_port *p)
{
	return p->ring->geometry.producers;
}

static struct ringq_lane *lanes_words(const struct ringq_port *p, uint32_t number)
{
	return ringq_lane_of(p->ring, p->base, number);
}

static bool lanes_shared(const struct ringq_port *p)
{
	return p->lanes.owner;
}

static uint64_t lanes_pending(const struct ringq_port *p, uint32_t number)
{
	uint64_t done = ringq_load_acquire(&lanes_words(p, number)->progress.done);

	return p->lanes.cursor->pending(p, number, done);
}

/* Is the lane another's, who lives? Else owner is what may be replaced. */
static bool lanes_elsewhere(const struct ringq_port *p, const struct ringq_lane *lane,
			    __u64 *owner)
{
	uint32_t index;

	*owner = ringq_load_acquire(&lane->owner);				/* L1 */
	index = (uint32_t)*owner - 1;
	return index < p->ring->geometry.consumers && index != p->index &&
	       ringq_is_live(p->ring, p->base, RINGQ_CONSUMER, index);
}

RINGQ_PUBLIC void ringq_lanes_let_go(struct ringq_port *p)
{
	const __u64 *sleepers = ringq_word_of(p->ring, p->base, RINGQ_PRODUCER);
	struct ringq_lanes *l = &p->lanes;
	__u64 owner = l->owner;

	l->limit = p->limit;
	p->limit = p->pos;
	l->leave = 0;
	l->owned = false;
	__atomic_compare_exchange_n(&l->lane->owner, &owner, 0, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_RELAXED);					/* L3 */
	if (__atomic_load_n(sleepers, __ATOMIC_SEQ_CST) & RINGQ_ARMED &&		/* L4 */
	    ringq_published(p, l->number, p->pos))
		p->ring->backend->kick(p, p->role, 1);
}

/*
 * Another lane, the first, or one in which somebody else has been. If this port, the only one,
 * left something here that it had peeked itself, then that is not redelivered.
 */
static void lanes_move(struct ringq_port *p, uint32_t number, uint64_t pos)
{
	struct ringq_lanes *l = &p->lanes;

	if (l->lane && !lanes_shared(p) && p->pos < p->taken && !(p->flags && p->pos < p->limit))
		l->notes[l->number] |= RINGQ_NOTE_SHOWN;
	l->number = number;
	l->lane = lanes_words(p, number);
	p->progress = &l->lane->progress;
	p->done = &l->lane->progress.done;
	l->cursor->enter(p, number, pos);
	if (l->notes[number] & RINGQ_NOTE_SHOWN) {
		p->limit = p->pos;
		p->flags = 0;
	}
}

/* The lane is the port's from now on. */
static void lanes_enter(struct ringq_port *p, uint32_t number)
{
	struct ringq_lanes *l = &p->lanes;
	struct ringq_lane *lane = lanes_words(p, number);
	uint64_t pos = ringq_load_relaxed(&lane->progress.done);
	uint64_t taken = ringq_load_relaxed(&lane->progress.taken);
	uint64_t budget = l->cursor->budget;

	/* What others took meanwhile is not on this port's account. */
	if (l->lane == lane && p->pos < l->until)
		budget = l->until - p->pos;
	if (l->lane != lane || p->pos != pos || ((int64_t)(taken - pos) > 0 && taken != p->taken))
		lanes_move(p, number, pos);
	else if (lanes_shared(p))
		p->limit = l->limit;
	/* A dead one's hand is empty. */
	if (lanes_shared(p))
		ringq_store_relaxed(&p->progress->hand, pos);
	l->until = pos + budget;
	l->leave = l->until;
	l->notes[number] = 0;
}

/* Goes to a lane and stays there if something is: 1; 0; -EBUSY another has it; or -EBADMSG. */
static int lanes_try(struct ringq_port *p, uint32_t number)
{
	struct ringq_lane *lane = lanes_words(p, number);
	__u64 owner;
	int r = 1;

	if (lanes_shared(p) && lanes_elsewhere(p, lane, &owner))
		return -EBUSY;
	if (!ringq_published(p, number, ringq_load_acquire(&lane->progress.done)))
		return 0;
	if (lanes_shared(p)) {
		p->lanes.owned = __atomic_compare_exchange_n(&lane->owner, &owner, p->lanes.owner,
							     false, __ATOMIC_ACQ_REL,
							     __ATOMIC_RELAXED);		/* L2 */
		if (!p->lanes.owned)
			return -EBUSY;
	}
	lanes_enter(p, number);
	if (p->limit == p->pos)
		r = p->lanes.cursor->fetch(p);
	if (r <= 0)
		ringq_lanes_end(p);
	return r;
}

/* Is a lane to be passed over in this round? */
static bool lanes_skip(__u16 *note)
{
	if (!(*note & RINGQ_NOTE_LEFT))
		return false;
	--*note;
	return true;
}

static void lanes_back_off(__u16 *note)
{
	uint32_t rounds = (*note & RINGQ_NOTE_ROUNDS) >> RINGQ_NOTE_SHIFT;

	rounds = rounds ? 2 * rounds : 1;
	if (rounds > RINGQ_SKIP_MAX)
		rounds = RINGQ_SKIP_MAX;
	*note = (*note & RINGQ_NOTE_SHOWN) | rounds << RINGQ_NOTE_SHIFT | rounds;
}

/* How many consumers there are, and how many of them come before this one. */
static uint32_t lanes_shards(const struct ringq_port *p, uint32_t *before)
{
	const __u64 *live = ringq_attention_of(p->ring, p->base)->live[RINGQ_CONSUMER];
	const uint64_t below = (UINT64_C(1) << p->index % 64) - 1;
	uint32_t n = 0, i;
	uint64_t word;

	for (i = 0; i < RINGQ_SIDE_WORDS; i++) {
		word = ringq_load_relaxed(&live[i]);
		if (i == p->index / 64)
			*before = n + __builtin_popcountll(word & below);
		n += __builtin_popcountll(word);
	}
	return n;
}

/*
 * The lanes of its own shard, but those that are passed over. All ways to look for a lane
 * return 1, 0 or -EBADMSG.
 */
static int lanes_round(struct ringq_port *p)
{
	uint32_t lanes = lanes_count(p), i = p->lanes.round, shards = 1, own = 0, k;
	int r;

	if (lanes_shared(p))
		shards = lanes_shards(p, &own);
	for (k = 0; k < lanes; k++, i++) {
		if (i >= lanes)
			i = 0;
		if ((shards > 1 && i % shards != own) || lanes_skip(&p->lanes.notes[i]))
			continue;
		r = lanes_try(p, i);
		if (r == 0)
			lanes_back_off(&p->lanes.notes[i]);
		if (r == 0 || r == -EBUSY)
			continue;
		p->lanes.round = i + 1;
		return r;
	}
	return 0;
}

/* Every lane, from one on. */
static int lanes_any(struct ringq_port *p, uint32_t i)
{
	uint32_t lanes = lanes_count(p), k;
	int r;

	for (k = 0; k < lanes; k++, i++) {
		if (i >= lanes)
			i = 0;
		r = lanes_try(p, i);
		if (r && r != -EBUSY)
			return r;
	}
	return 0;
}

/*
 * The lane in which most waits, or -1. If elsewhere is not NULL, only lanes that nobody else
 * is reading count, and it says whether there are others.
 */
static int lanes_hottest(const struct ringq_port *p, uint64_t *most, bool *elsewhere)
{
	uint32_t lanes = lanes_count(p), i;
	uint64_t pending;
	__u64 owner;
	int hottest = -1;

	*most = 0;
	for (i = 0; i < lanes; i++) {
		if (elsewhere && lanes_elsewhere(p, lanes_words(p, i), &owner)) {
			*elsewhere = true;
			continue;
		}
		pending = lanes_pending(p, i);
		if (pending > *most) {
			*most = pending;
			hottest = i;
		}
	}
	return hottest;
}

static uint64_t lanes_random(struct ringq_port *p)
{
	p->lanes.random ^= p->lanes.random << 13;
	p->lanes.random ^= p->lanes.random >> 7;
	p->lanes.random ^= p->lanes.random << 17;
	return p->lanes.random;
}

/* The lanes of others. */
static int lanes_steal(struct ringq_port *p, bool *elsewhere)
{
	uint64_t most;
	int hottest = lanes_hottest(p, &most, elsewhere), r;

	/* All have been looked at. */
	if (hottest < 0)
		return 0;
	r = lanes_try(p, hottest);
	if (r && r != -EBUSY)
		return r;
	*elsewhere = true;
	return lanes_any(p, lanes_random(p) % lanes_count(p));
}

static int lanes_sweep(struct ringq_port *p)
{
	int r = lanes_any(p, p->lanes.sweep);

	if (r == 1)
		p->lanes.sweep = p->lanes.number + 1;
	return r;
}

/* A lane that has something: 1; none that nobody else is reading: 0; or -EBADMSG. */
static int lanes_choose(struct ringq_port *p, bool *elsewhere)
{
	struct ringq_lanes *l = &p->lanes;
	int r = 0;

	*elsewhere = false;
	if (lanes_shared(p)) {
		if (l->lane && p->pos < l->until)
			r = lanes_try(p, l->number);
		if (r && r != -EBUSY)
			return r;
		r = ++l->choices % RINGQ_SWEEP ? 0 : lanes_sweep(p);
	}
	if (!r)
		r = lanes_round(p);
	if (!r)
		r = lanes_shared(p) ? lanes_steal(p, elsewhere) : lanes_any(p, l->round);
	return r;
}

/*
 * The ring has ended, but another consumer is in a lane. It will not be long, as a rule, and
 * there is nothing to be kicked by.
 */
static int lanes_nap(int64_t *nap, int64_t timeout)
{
	struct timespec ts = { 0 };

	*nap = *nap < RINGQ_NAP_MAX / 2 ? 2 * *nap : RINGQ_NAP_MAX;
	ts.tv_nsec = timeout > 0 && timeout < *nap ? timeout : *nap;
	return nanosleep(&ts, NULL) < 0 ? -EINTR : 0;
}

/* A lane with a message, and limit behind it: 1; end-of-file: 0. */
RINGQ_PUBLIC int ringq_lanes_look(struct ringq_port *p, int64_t timeout)
{
	int64_t deadline = 0, nap = RINGQ_NAP_MIN;
	bool elsewhere;
	uint64_t word;
	int r;

	r = ringq_as(p, RINGQ_CONSUMER);
	if (r < 0)
		return r;
	if (p->held)
		return -EBUSY;
	for (;;) {
		/* The end is looked at first: what was published before it is seen then. */
		word = ringq_load_acquire(p->attention);
		r = lanes_choose(p, &elsewhere);
		if (r)
			return r;
		if (word & RINGQ_ENDED && !elsewhere)
			return 0;
		timeout = ringq_time_left(&deadline, timeout);
		/* It is over, however often others were faster. */
		if (timeout == 1)
			return -ETIMEDOUT;
		if (!(word & RINGQ_ENDED))
			r = ringq_wait(p, 1, RINGQ_ENDED, timeout);
		else
			r = timeout ? lanes_nap(&nap, timeout) : ringq_try_ended(p, 1);
		if (r < 0)
			return r;
	}
}

/*
 * A lane as a new consumer finds it. What its predecessor in this place owned is nobody's now:
 * 1 if there was such.
 */
static int lanes_inherit(struct ringq_port *p, uint32_t number)
{
	struct ringq_lane *lane = lanes_words(p, number);
	uint64_t done = ringq_load_acquire(&lane->progress.done);
	__u64 owner = ringq_load_acquire(&lane->owner);

	if (done - p->ring->geometry.first > RINGQ_FIRST_MAX)
		return -EBADMSG;
	if (!lanes_shared(p)) {
		ringq_store_relaxed(&lane->progress.hand, done);
		return 0;
	}
	return (uint32_t)owner == p->index + 1 &&
	       __atomic_compare_exchange_n(&lane->owner, &owner, 0, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

int ringq_lanes_attach(struct ringq_port *p, const struct ringq_cursor *cursor)
{
	struct ringq_lanes *l = &p->lanes;
	bool freed = false;
	uint32_t i;
	int r;

	l->cursor = cursor;
	l->notes = (__u16 *)(p->page + 1);
	l->random = UINT64_C(0x9e3779b97f4a7c15) * (p->index + 1);
	if (p->ring->geometry.consumers > 1)
		l->owner = (uint64_t)p->generation << 32 | (p->index + 1);
	for (i = 0; i < lanes_count(p); i++) {
		l->notes[i] = 0;
		r = lanes_inherit(p, i);
		if (r < 0)
			return r;
		freed |= r;
	}
	if (freed)
		p->ring->backend->kick(p, p->role, UINT64_MAX);
	return 0;
}

static int lanes_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	static const struct ringq_cursor cursor = {
		.enter = ringq_spsc_enter, .fetch = ringq_spsc_fetch,
		.pending = ringq_spsc_ahead, .budget = RINGQ_LANE_BUDGET,
	};

	(void)opts;
	return ringq_lanes_attach(p, &cursor);
}

/* What was peeked is nobody's now, and neither is its lane. */
void ringq_lanes_detach(struct ringq_port *p)
{
	if (p->held)
		ringq_store_relaxed(&p->progress->hand, ringq_load_relaxed(p->done));
	ringq_lanes_end(p);
}

uint64_t ringq_lanes_len(const struct ringq_port *p)
{
	uint64_t len = 0;
	uint32_t i;

	for (i = 0; i < lanes_count(p); i++)
		len += lanes_pending(p, i);
	return len;
}

static int lanes_port(const struct ringq_port *p)
{
	if (p->error)
		return p->error;
	return p->ring->geometry.discipline == RINGQ_LANES ? 0 : -EOPNOTSUPP;
}

static int lanes_consumer(const struct ringq_port *p)
{
	int r = lanes_port(p);

	return r < 0 ? r : ringq_as(p, RINGQ_CONSUMER);
}

RINGQ_PUBLIC int ringq_lane(const struct ringq_port *p)
{
	int r = lanes_port(p);

	if (r < 0)
		return r;
	if (p->role == RINGQ_PRODUCER)
		return p->index;
	return p->lanes.lane ? (int)p->lanes.number : -EAGAIN;
}

RINGQ_PUBLIC int64_t ringq_lane_pending(const struct ringq_port *p, uint32_t lane)
{
	int r = lanes_consumer(p);

	if (r < 0)
		return r;
	return lane < lanes_count(p) ? (int64_t)lanes_pending(p, lane) : -EINVAL;
}

RINGQ_PUBLIC int ringq_hottest(const struct ringq_port *p, uint64_t *pending)
{
	uint64_t most;
	int r = lanes_consumer(p);

	if (r < 0)
		return r;
	r = lanes_hottest(p, &most, NULL);
	if (pending)
		*pending = most;
	return r < 0 ? -EAGAIN : r;
}

RINGQ_PUBLIC int ringq_reset_skips(struct ringq_port *p)
{
	int r = lanes_consumer(p);
	uint32_t i;

	for (i = 0; r == 0 && i < lanes_count(p); i++)
		p->lanes.notes[i] &= RINGQ_NOTE_SHOWN;
	return r;
}

RINGQ_PUBLIC int64_t ringq_recv_from(struct ringq_port *p, uint32_t lane, void *msgs, uint64_t n)
{
	int64_t r = lanes_consumer(p);
	uint64_t word;

	if (r < 0)
		return r;
	if (!p->ops->recv_many)
		return -EOPNOTSUPP;
	if (p->held)
		return -EBUSY;
	if (!n || lane >= lanes_count(p))
		return -EINVAL;
	word = ringq_load_acquire(p->attention);
	r = lanes_try(p, lane);
	if (r == 1)
		return p->ops->recv_many(p, msgs, n, 0);
	if (r == 0 && word & RINGQ_ENDED)
		return 0;
	return r == -EBADMSG ? r : -EAGAIN;
}

RINGQ_CONSUMER_TWINS(lanes)
RINGQ_AT_TWIN(lanes)

const struct ringq_ops ringq_lanes_consumer = {
	.attach = lanes_attach_consumer,
	.detach = ringq_lanes_detach,
	.len = ringq_lanes_len,
	RINGQ_CONSUMER_OPS(lanes),
};
