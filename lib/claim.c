// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who claims how: attaching to a side, leaving it, both ways between bias and CAS, and the CAS
 * itself. The protocol and its reasons are in ringq/claim.h. All of this is the library's on
 * every memory; of the memory it needs the attach lock and the map of who lives.
 */
#include "internal.h"

#include <sched.h>
#include <stdatomic.h>

/* How long an attacher waits for a port that is in the middle of a claim. */
#define RINGQ_HANDSHAKE	INT64_C(1000000000)

static uint32_t ringq_places(const struct ringq_port *p)
{
	return p->role == RINGQ_PRODUCER ? p->ring->geometry.producers :
					   p->ring->geometry.consumers;
}

static const struct ringq_attention *ringq_who(const struct ringq_port *p)
{
	return ringq_attention_of(p->ring, p->base);
}

/* Does another port of the side live? */
static bool ringq_claim_has_peers(const struct ringq_port *p)
{
	const __u64 *live = ringq_who(p)->live[p->role];
	uint64_t word;
	uint32_t i;

	for (i = 0; i < RINGQ_SIDE_WORDS; i++) {
		word = ringq_load_acquire(&live[i]);
		if (i == p->index / 64)
			word &= ~(UINT64_C(1) << p->index % 64);
		if (word)
			return true;
	}
	return false;
}

/* Near the position of a port's claim. */
static uint64_t ringq_claim_near(const struct ringq_port_page *page, uint32_t role)
{
	uint64_t done = ringq_load_relaxed(&page->progress.done);
	uint64_t hand = ringq_load_relaxed(&page->progress.hand);

	return role == RINGQ_CONSUMER && (int64_t)(hand - done) > 0 ? hand : done;
}

uint64_t ringq_claim_end_of(const struct ringq_port *p, uint32_t role, uint32_t index,
			    uint64_t least)
{
	const struct ringq_port_page *page = ringq_port_page(p->ring, p->base, role, index);
	uint64_t word = ringq_load_acquire(&page->claim), end;

	if (ringq_claim_state(word) == RINGQ_IDLE)
		return least;
	end = ringq_claim_end(word, ringq_claim_near(page, role));
	return (int64_t)(end - least) > 0 ? end : least;
}

bool ringq_claim_is_pending(const struct ringq_port *p, uint32_t role, uint32_t index)
{
	const struct ringq_port_page *page = ringq_port_page(p->ring, p->base, role, index);
	const struct ringq_side *side = ringq_side_of(p->ring, p->base, role);
	uint64_t word = ringq_load_acquire(&page->claim);

	return ringq_claim_is_open(word, ringq_claim_near(page, role),
				   ringq_load_acquire(&side->index)) &&
	       ringq_is_live(p->ring, p->base, role, index);
}

/* An index never goes down. [never-down] */
static void ringq_claim_raise(struct ringq_port *p, uint64_t to)
{
	__u64 index = ringq_load_relaxed(&p->claims.side->index);

	while ((int64_t)(to - index) > 0 &&
	       !__atomic_compare_exchange_n(&p->claims.side->index, &index, to, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

static void ringq_claim_by_cas(struct ringq_port *p)
{
	p->claims.biased = 0;
	p->claims.lonely = 1;
	p->limit = p->pos;
}

/* The side's words must say so, or nobody else must be there to read them. */
static void ringq_claim_by_bias(struct ringq_port *p, uint64_t pos)
{
	p->claims.biased = 1;
	p->pos = pos;
	p->limit = pos;
	ringq_claim_set(p, RINGQ_OWN, 0, pos);
}

/* Is everything below the index, which nobody else moves now, released? [back-clean, sole-clean] */
static bool ringq_claim_is_clean(const struct ringq_port *p, uint64_t index)
{
	uint64_t done = ringq_mpmc_done(p), pos = index - p->capacity, stamp;

	if ((int64_t)(done - pos) > 0)
		pos = done;
	for (; (int64_t)(index - pos) > 0; pos++) {
		stamp = ringq_load_acquire(ringq_mpmc_word(p, pos));
		if (ringq_stamp_state(stamp) == RINGQ_SPECIAL ||
		    stamp == RINGQ_STAMP(pos, RINGQ_FULL) ||
		    stamp == RINGQ_STAMP(pos, RINGQ_TOMB))
			return false;
	}
	return true;
}

/* Nobody else is on the side, and nobody comes, for the lock is held: without CAS, if it can be. */
static bool ringq_claim_begin(struct ringq_port *p)
{
	struct ringq_side *side = p->claims.side;
	uint64_t index = ringq_load_acquire(&side->index);

	if (p->ring->geometry.flags & RINGQ_FENCE)
		return false;
	if (p->role == RINGQ_CONSUMER) {
		if (!ringq_claim_is_clean(p, index))
			return false;
		p->claims.seen = ringq_load_relaxed(&side->orphans);
		p->claims.search = p->claims.search_end;
		ringq_store_relaxed(&p->page->seen, p->claims.seen);
	}
	ringq_claim_by_bias(p, index);
	ringq_store_release(p->done, index);
	ringq_store_relaxed(&p->page->progress.hand, index);
	ringq_store_relaxed(&side->wide, 0);
	ringq_store_release(&side->shared, 0);
	return true;
}

/* A3. The word is looked at again after the look at who lives: it is the last one then. [wait] */
static int ringq_claim_wait_for(struct ringq_port *p, uint32_t peer)
{
	int64_t end = 0;

	while (ringq_claim_is_pending(p, p->role, peer)) {
		if (!end)
			end = ringq_now() + RINGQ_HANDSHAKE;
		else if (ringq_now() > end)
			return -ETIMEDOUT;
		/* It may be dead; who would bury it waits for the lock that is held here. */
		if (p->ring->memory == RINGQ_MEMFD)
			ringq_places_bury_one(p->ring, p->role, peer);
		sched_yield();
	}
	return 0;
}

/*
 * The index is made right, and who is there claims by it from now on. Who gives up leaves it at
 * that. [everyone, give-up]
 */
static int ringq_claim_meet(struct ringq_port *p, bool peers)
{
	struct ringq_side *side = p->claims.side;
	uint32_t i;
	int r = 0;

	if (peers) {
		__atomic_store_n(&side->shared, 1, __ATOMIC_SEQ_CST);			/* A1 */
		ringq_heavy_barrier(p->ring);					/* A2 [barrier] */
	}
	for (i = 0; i < ringq_places(p); i++) {
		if (i != p->index)
			r = ringq_claim_wait_for(p, i);					/* A3 */
		if (r < 0)
			return r;
		/* [attach-raise]; of the dead if nobody else is there [sole-raise] */
		ringq_claim_raise(p, ringq_claim_end_of(p, p->role, i,
							ringq_load_relaxed(&side->index)));
	}
	return 0;
}

int ringq_claim_attach(struct ringq_port *p)
{
	bool peers;
	int r;

	p->claims.side = ringq_side_of(p->ring, p->base, p->role);
	p->claims.epoch = ringq_load_acquire(&ringq_who(p)->epoch);
	p->claims.single = ringq_places(p) == 1;
	p->claims.near = p->role == RINGQ_PRODUCER ? p->done : &p->progress->hand;
	peers = ringq_claim_has_peers(p);
	r = ringq_claim_meet(p, peers);
	/* Its predecessor here has left, or was repaired: what it took is below the index. */
	ringq_claim_set(p, RINGQ_IDLE, 0, 0);
	if (r < 0)
		return r;
	if (p->claims.single) {
		ringq_claim_by_bias(p, ringq_load_acquire(p->role == RINGQ_PRODUCER ?
							  &p->claims.side->index : p->done));
		return 0;
	}
	if (!peers && ringq_claim_begin(p))
		return 0;
	ringq_store_release(&p->claims.side->shared, 1);
	p->pos = ringq_load_acquire(&p->claims.side->index);
	ringq_claim_by_cas(p);
	return 0;
}

void ringq_claim_detach(struct ringq_port *p)
{
	if (p->claims.biased)
		ringq_claim_raise(p, p->pos);					/* [leave-raise] */
	ringq_claim_set(p, RINGQ_IDLE, 0, 0);
}

/* Alone again? Then without CAS again. */
static void ringq_claim_look_around(struct ringq_port *p)
{
	const struct ringq_backend *backend = p->ring->backend;

	if (ringq_claim_has_peers(p)) {						/* [back-live] */
		p->claims.lonely = 0;
		return;
	}
	/* Somebody comes or goes just now: another time. [back-lock] */
	if (backend->lock(p, false) < 0)
		return;
	/* If there is something unreleased, the search for orphans ends in another look. */
	if (!ringq_claim_has_peers(p)) {					/* [back-again] */
		ringq_claim_begin(p);
		p->claims.lonely = 0;
	}
	backend->unlock(p);
}

bool ringq_claim_is_biased(struct ringq_port *p)
{
	uint64_t epoch;

	if (p->claims.biased) {
		if (!ringq_load_relaxed(&p->claims.side->shared))
			return true;
		ringq_claim_raise(p, p->pos);			/* [old-raise, raise-first] */
		ringq_claim_set(p, RINGQ_IDLE, 0, 0);
		ringq_claim_by_cas(p);
	}
	epoch = ringq_load_acquire(&ringq_who(p)->epoch);
	if (epoch != p->claims.epoch) {
		p->claims.epoch = epoch;
		p->claims.lonely = 1;
	}
	if (ringq_unlikely(p->claims.lonely))
		ringq_claim_look_around(p);
	return p->claims.biased;
}

int ringq_claim_ended(const struct ringq_port *p)
{
	uint64_t word = ringq_attention(p);

	if (ringq_likely(!word))
		return 0;
	/* As a heavy barrier on this CPU would have done between a TRY and this look. */
	if (word & RINGQ_FENCED) {
		atomic_thread_fence(memory_order_seq_cst);
		word = ringq_load_relaxed(ringq_word_of(p->ring, p->base, p->role));
	}
	if (word & RINGQ_DEAD)
		return -EOWNERDEAD;
	return word & RINGQ_ENDED ? -EPIPE : 0;
}

int ringq_claim_orphan(struct ringq_port *p, __u64 stamp, uint64_t pos)
{
	/* [tag, generation] */
	__u64 again = ringq_special(RINGQ_AGAIN, p->index, p->generation, pos);

	ringq_claim_try(p, 1, pos);
	if (__atomic_compare_exchange_n(ringq_mpmc_word(p, pos), &stamp, again, false,
					__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))		/* R7 */
		return ringq_claim_taken(p, 1, pos);
	ringq_claim_set(p, RINGQ_IDLE, 0, 0);
	return 0;
}

void ringq_claim_tell(struct ringq_port *p)
{
	if (p->claims.biased) {
		ringq_claim_set(p, RINGQ_OWN, 0, p->pos);
		ringq_store_release(p->done, p->pos);
		ringq_store_relaxed(&p->page->progress.hand, p->pos);
	} else {
		ringq_claim_set(p, RINGQ_IDLE, 0, 0);
		ringq_store_relaxed(p->claims.near, p->pos);
	}
	ringq_store_relaxed(&p->page->seen, p->claims.seen);
}

int ringq_claim_own(struct ringq_port *p, uint64_t n)
{
	int r = 0;

	ringq_claim_set(p, RINGQ_TRY, n, p->pos);				/* B1 [announce] */
	ringq_compiler_barrier();
	if (ringq_load_relaxed(&p->claims.side->shared))				/* B2 */
		r = -EAGAIN;
	else if (p->role == RINGQ_PRODUCER)
		r = ringq_claim_ended(p);
	ringq_claim_set(p, RINGQ_OWN, r ? 0 : n, p->pos);				/* B3 */
	return r;
}

bool ringq_claim_back(struct ringq_port *p, uint64_t n)
{
	bool back;

	if (!p->claims.biased)
		return false;
	ringq_claim_set(p, RINGQ_BACK, n, p->pos);	/* [back, back-covers, back-first] */
	ringq_compiler_barrier();
	/* [back-look] */
	back = !ringq_load_relaxed(&p->claims.side->shared) && !ringq_claim_ended(p);
	ringq_claim_set(p, RINGQ_OWN, back ? 0 : n, p->pos);
	return back;
}

void ringq_claim_pass_on(struct ringq_port *p)
{
	uint32_t other = ringq_other_role(p->role);

	if (p->claims.biased)
		return;
	ringq_delay();
	atomic_thread_fence(memory_order_seq_cst);				/* X1 */
	if (!(ringq_load_relaxed(ringq_word_of(p->ring, p->base, other)) & RINGQ_ARMED) ||
	    !ringq_ready(p, 1))							/* X2 */
		return;
	p->ring->backend->kick(p, p->role, 1);
	ringq_delay();
	/* X3, looked at afterwards: who took the kick has said before if it may be lost on him. */
	if (ringq_load_acquire(&p->claims.side->wide))
		p->ring->backend->kick(p, p->role, UINT64_MAX);
}
