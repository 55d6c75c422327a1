// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * GATED: what it has that SPSC has not, the slowest of several readers, and a reader that
 * arrives while the producer runs. The algorithm and its ordering table are in ringq/gated.h.
 */
#include "twins.h"

#include <stdatomic.h>

uint64_t ringq_gated_peer_done(const struct ringq_port *p)
{
	uint64_t done = ringq_slowest(p, p->pos), again;		/* W1 */

	for (;;) {
		ringq_store_release(&p->page->oldest, done);				/* W1a */
		ringq_compiler_barrier();
		if (p->ring->geometry.flags & RINGQ_FENCE)
			atomic_thread_fence(memory_order_seq_cst);
		again = ringq_slowest(p, p->pos);			/* W1b */
		if ((int64_t)(again - done) >= 0)
			return done;
		done = again;
	}
}

static struct ringq_port_page *gated_writer(const struct ringq_port *p)
{
	return ringq_port_page(p->ring, p->base, RINGQ_PRODUCER, 0);
}

/*
 * The first position that is not published. The producer may run meanwhile, by its limit: that
 * is a lap from where its done word says it was, and another to where it is let go.
 */
static int gated_tail(const struct ringq_port *p, uint64_t *tail)
{
	const struct ringq_geometry *g = &p->ring->geometry;
	uint64_t from = ringq_load_acquire(&gated_writer(p)->progress.done), pos = from, at;
	int64_t ahead;

	if (from - g->first > RINGQ_FIRST_MAX)
		return -EBADMSG;
	while (pos - from <= 2 * g->capacity) {
		at = ringq_stamp_at(g, &p->ring->layout, 0, pos);
		ahead = ringq_load_acquire((const __u64 *)(p->base + at)) -
			RINGQ_STAMP(pos, RINGQ_FULL);
		if (ahead < 0) {
			*tail = pos;
			return 0;
		}
		pos += (ahead >> 2) + 1;
	}
	return -EBADMSG;
}

/* A5. It may have looked at the gate when that was not yet where it is now. */
static void gated_wake_writer(struct ringq_port *p)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (ringq_load_relaxed(ringq_word_of(p->ring, p->base, RINGQ_CONSUMER)) & RINGQ_ARMED)
		p->ring->backend->kick(p, RINGQ_PRODUCER, 1);
}

/* Goes on behind a gate that stood all the time. */
static int gated_succeed(struct ringq_port *p, uint64_t tail)
{
	if (tail - ringq_load_acquire(&p->progress->done) <= p->capacity)
		return 0;
	/* The next one shall not stumble over it. */
	ringq_store_release(&p->page->claim, RINGQ_CLAIM(RINGQ_IDLE, 0, 0));
	return -EBADMSG;
}

/*
 * What the slowest of the other readers has not released; the tail, if there is no other. One
 * that is just arriving does not count: its gate may be anywhere, also where no record begins.
 */
static uint64_t gated_oldest(const struct ringq_port *p, uint64_t tail)
{
	const struct ringq_attention *a = ringq_attention_of(p->ring, p->base);
	uint64_t most = 0, behind;
	uint32_t i;

	for (i = 0; i < p->ring->geometry.consumers; i++) {
		struct ringq_port_page *page = ringq_port_page(p->ring, p->base, RINGQ_CONSUMER, i);

		if (i == p->index ||
		    !(ringq_bit(a->live[RINGQ_CONSUMER], i) || ringq_bit(a->kept, i)) ||
		    ringq_claim_state(ringq_load_acquire(&page->claim)) != RINGQ_OWN)
			continue;
		behind = tail - ringq_load_acquire(&page->progress.done);
		if (behind > most && behind <= p->capacity)
			most = behind;
	}
	return tail - most;
}

int ringq_gated_arrive(struct ringq_port *p, const struct ringq_attach_opts *opts,
		       int (*tail)(const struct ringq_port *port, uint64_t *pos))
{
	const struct ringq_geometry *g = &p->ring->geometry;
	const __u64 *word = &gated_writer(p)->oldest;
	uint64_t oldest, again, end, pos;
	int r;

	p->progress = &p->page->progress;
	if (ringq_keeps_place(g, p->role) &&
	    ringq_claim_state(ringq_load_acquire(&p->page->claim)) == RINGQ_OWN) {
		r = tail(p, &end);
		return r < 0 ? r : gated_succeed(p, end);
	}

	oldest = ringq_load_acquire(word);
	if (oldest < g->first)
		oldest = g->first;	/* nothing was ever sent */
	ringq_progress_move(p->progress, oldest);					/* A1 */
	ringq_heavy_barrier(p->ring);						/* A2 */
	again = ringq_load_acquire(word);					/* A3 */
	if (oldest < again)
		oldest = again;
	r = tail(p, &end);							/* A3 */
	if (r < 0)
		return r;
	if (oldest > end)
		return -EBADMSG;
	pos = opts->flags & RINGQ_OLDEST ? gated_oldest(p, end) : end;
	if (pos < oldest)
		pos = oldest;
	ringq_progress_move(p->progress, pos);						/* A4 */
	ringq_store_release(&p->page->claim, RINGQ_CLAIM(RINGQ_OWN, 0, pos));
	gated_wake_writer(p);							/* A5 */
	return 0;
}

void ringq_gated_leave(struct ringq_port *p)
{
	ringq_store_release(&p->page->claim, RINGQ_CLAIM(RINGQ_IDLE, 0, 0));
}

static int gated_attach_consumer(struct ringq_port *p, const struct ringq_attach_opts *opts)
{
	int r = ringq_gated_arrive(p, opts, gated_tail);

	return r < 0 ? r : ringq_spsc_attach_consumer(p, opts);
}

/* How many messages the reader has not received. */
static uint64_t gated_lag(const struct ringq_port *p)
{
	return ringq_spsc_ahead(p, 0, p->pos);
}

/* How many messages the slowest reader has not released. */
static uint64_t gated_len(const struct ringq_port *p)
{
	return p->pos - ringq_slowest(p, p->pos);
}

RINGQ_PRODUCER_TWINS(gated)
RINGQ_CONSUMER_TWINS(gated)
RINGQ_AT_TWIN(gated)

const struct ringq_ops ringq_gated_producer = {
	.attach = ringq_spsc_attach_producer,
	.detach = ringq_spsc_detach_producer,
	.peer_done = ringq_gated_peer_done,
	.drain = ringq_spsc_drain,
	.len = gated_len,
	RINGQ_PRODUCER_OPS(gated),
};

const struct ringq_ops ringq_gated_consumer = {
	.attach = gated_attach_consumer,
	.detach = ringq_gated_leave,
	.recv_all = ringq_spsc_recv_all,
	.len = gated_lag,
	.lag = gated_lag,
	RINGQ_CONSUMER_OPS(gated),
};
