// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What must be true when the dead are buried and everything that is there has been received:
 *
 *   every committed message comes, none partly, none twice but flagged, and then only what the
 *   dead one may have seen; what it has seen and not released comes, flagged; of each producer
 *   all come in order. (Of LATEST: the newest does, and none that is older than one before.)
 *
 * And then that the ring is as it was: it holds as many, and every operation goes once round.
 */
#include "step.h"

#include <errno.h>
#include <string.h>

static bool is_latest(const struct scene *s)
{
	return s->cell->column->discipline == RINGQ_LATEST;
}

static bool is_its(const struct scene *s, uint64_t number)
{
	return number >= s->victim.first;
}

#define N(x)	((unsigned long long)(x))

/* One more of the victim's: the next one. */
static void judge_its(const struct scene *s, const struct note *note, uint64_t *its)
{
	uint64_t n = note->number - s->victim.first;

	CHECK(!note->again, "message %llu of the dead producer comes flagged", N(n));
	CHECK(is_latest(s) ? n >= *its : n == *its,
	      "message %llu of the dead producer instead of %llu", N(n), N(*its));
	*its = n + 1;
}

static unsigned int times(const struct notes *notes, uint64_t number, bool *again)
{
	unsigned int n = 0, i;

	*again = false;
	for (i = 0; i < notes->n; i++) {
		if (notes->note[i].number != number)
			continue;
		n++;
		*again |= notes->note[i].again;
	}
	return n;
}

/* Not so if somebody made an orphan of it twice, and not what two lanes had at a time. */
static bool is_ordered(const struct scene *s, const struct note *note)
{
	if (s->crowded ||
	    (s->cell->column->discipline == RINGQ_LANES && note->number > s->at_heir))
		return false;
	return !note->again || s->cell->cast != ORPHANS;
}

/* Ours, in order, those that come again and the others each for themselves. */
static void judge_order(const struct scene *s, const struct notes *notes)
{
	uint64_t last[2] = { 0, 0 };
	const struct note *note;
	unsigned int i;

	for (i = 0; i < notes->n; i++) {
		note = &notes->note[i];
		if (is_its(s, note->number))
			continue;
		/* LATEST shows a new consumer also the last one before. */
		CHECK(note->number + is_latest(s) > s->begin && note->number <= s->number,
		      "message %llu was not sent", N(note->number));
		if (!is_ordered(s, note))
			continue;
		CHECK(note->number > last[note->again], "message %llu after %llu", N(note->number),
		      N(last[note->again]));
		last[note->again] = note->number;
	}
}

static uint64_t count_its(const struct scene *s, const struct notes *notes)
{
	uint64_t its = 0;
	unsigned int i;

	for (i = 0; i < notes->n; i++) {
		if (is_its(s, notes->note[i].number))
			judge_its(s, &notes->note[i], &its);
	}
	return its;
}

static void judge_producer(const struct scene *s)
{
	const struct report *r = s->victim.act.report;
	uint64_t its = count_its(s, &s->common), number;
	const struct notes *notes = &s->common;
	bool again;

	CHECK(its <= r->sends, "%llu messages of the dead, who sent %llu at most", N(its),
	      N(r->sends));
	if (is_latest(s)) {
		CHECK(s->closed || (notes->n && notes->note[notes->n - 1].number == s->number),
		      "the newest does not come");
		return;
	}
	CHECK(its >= r->sent, "%llu messages of the dead, who has sent %llu", N(its), N(r->sent));
	CHECK(!r->mark.over || its == r->sent, "%llu messages of the dead instead of %llu", N(its),
	      N(r->sent));
	for (number = s->begin + 1; number <= s->number; number++) {
		CHECK(times(notes, number, &again) == 1, "message %llu comes %u times", N(number),
		      times(notes, number, &again));
		CHECK(!again, "message %llu comes flagged", N(number));
	}
}

/* The victim has all of it. */
static bool in_its_hands(const struct scene *s, uint64_t number)
{
	const struct report *r = s->victim.act.report;
	uint32_t size = message_size(s->cell->column, number), i;
	const unsigned char *packed = (const unsigned char *)r->buffer;

	for (i = 0; i < STEP_BATCH; i++) {
		if (message_is_whole(r->buffer[i], size, number) ||
		    message_is_whole(packed + i * s->cell->column->size, size, number))
			return true;
	}
	return message_is_whole(r->early, size, number);
}

/*
 * Of the messages from one on, each has come once to the others, or the victim has it. Returns
 * how many it has.
 */
static uint64_t judge_missing(const struct scene *s, const struct notes *notes, uint64_t from)
{
	const struct report *r = s->victim.act.report;
	uint64_t missing = 0, again_n = 0, unseen = 0, number, spare;
	unsigned int n;
	bool again;

	for (number = from; number <= s->number; number++) {
		n = times(notes, number, &again);
		CHECK(n <= 1, "message %llu comes %u times", N(number), n);
		again_n += again;
		if (n)
			continue;
		missing++;
		CHECK(number <= s->at_heir, "message %llu, sent to the successor, is lost",
		      N(number));
		if (r->blind || in_its_hands(s, number))
			continue;
		CHECK(s->cell->cast == DROPPED, "message %llu is lost", N(number));
		unseen++;
	}
	CHECK(missing <= r->takes, "%llu are missing, of which the dead took %llu", N(missing),
	      N(r->takes));
	CHECK(missing >= r->got, "%llu are missing, and the dead has had %llu", N(missing),
	      N(r->got));
	spare = s->spare + (s->cell->cast == ORPHANS ? 2 : 0);
	CHECK(again_n <= r->takes + spare, "%llu are flagged, of which the dead saw %llu",
	      N(again_n), N(r->takes));
	if (s->cell->cast != DROPPED)
		return missing;
	/* What it gave back while it lived is not dropped: it left, or let go of a lane. */
	CHECK(!again_n || s->cell->op->leaves || (s->cell->column->discipline == RINGQ_LANES &&
						  s->cell->column->places[RINGQ_CONSUMER] > 1),
	      "dropped, and comes again");
	CHECK(unseen <= s->dropped, "%llu are lost, and %llu were dropped", N(unseen),
	      N(s->dropped));
	return missing;
}

/* What was shown to it and comes again says so. */
static void judge_shown(const struct scene *s, const struct notes *notes)
{
	const struct report *r = s->victim.act.report;
	uint64_t number, i;
	bool again;

	for (i = 0; i < r->shown && i < STEP_BATCH; i++) {
		number = message_number(r->buffer[i]);
		CHECK(!times(notes, number, &again) || again,
		      "message %llu was shown and comes again, unflagged", N(number));
	}
}

/* A reader that begins somewhere, and from there on gets everything. */
static uint64_t judge_reader(const struct scene *s, const struct notes *notes)
{
	uint64_t first = notes->n ? notes->note[0].number : s->number + 1;
	unsigned int i;

	for (i = 0; i < notes->n; i++) {
		CHECK(is_latest(s) || notes->note[i].number == first + i,
		      "message %llu instead of %llu", N(notes->note[i].number), N(first + i));
	}
	CHECK(s->closed || (notes->n && notes->note[notes->n - 1].number == s->number),
	      "the newest does not come");
	return first;
}

static bool is_kept(const struct scene *s)
{
	const struct column *c = s->cell->column;

	return c->discipline == RINGQ_GATED && c->flags & RINGQ_CONSUMER_WAIT &&
	       !s->cell->op->late && !s->cell->op->leaves;
}

static void judge_consumer(const struct scene *s)
{
	if (scene_shares(s)) {
		judge_missing(s, &s->common, s->begin + 1);
		judge_shown(s, &s->common);
		return;
	}
	if (s->in.ring && !is_latest(s) && s->cell->cast == BESIDE) {
		uint64_t first = judge_reader(s, &s->common);

		CHECK(first == s->begin + 1 || !s->number, "a live reader misses %llu",
		      N(first - s->begin - 1));
	}
	if (is_kept(s)) {
		judge_missing(s, &s->heirs, s->begin + 1);
		judge_shown(s, &s->heirs);
	}
	judge_reader(s, &s->heirs);
}

void judge(struct scene *s)
{
	judge_order(s, &s->common);
	judge_order(s, &s->heirs);
	if (s->cell->op->role == RINGQ_PRODUCER)
		judge_producer(s);
	else
		judge_consumer(s);
}

/* Round the ring. */

static int send_one(struct scene *s, struct ringq_port *to, uint64_t number)
{
	uint32_t size = s->cell->column->size;
	unsigned char msg[STEP_SIZE];

	message_fill(msg, size, number);
	return s->cell->column->flags & RINGQ_RECORDS ?
		       ringq_send_record(to, msg, size, RINGQ_NOWAIT) :
		       ringq_send(to, msg, RINGQ_NOWAIT);
}

static void recv_one(struct scene *s, struct ringq_port *from, uint64_t number)
{
	uint32_t size = s->cell->column->size;
	unsigned char msg[STEP_SIZE];
	int r = s->cell->column->flags & RINGQ_RECORDS ?
			ringq_recv_record(from, msg, sizeof(msg), &size, RINGQ_NOWAIT) :
			ringq_recv(from, msg, RINGQ_NOWAIT);

	CHECK(r == 1 && message_is_whole(msg, size, number) && !ringq_flags(from),
	      "round the ring: %d at %llu", r, N(number));
}

static uint64_t room(const struct scene *s)
{
	const struct column *c = s->cell->column;

	if (c->flags & RINGQ_RECORDS)
		return (s->capacity - 8) / (8 + (c->size + 7) / 8 * 8);
	return s->capacity;
}

/* Full, and empty again. */
static void lap_full(struct scene *s, struct ringq_port *to, struct ringq_port *from)
{
	uint64_t n = room(s), i;

	for (i = 0; i < n; i++)
		CHECK(send_one(s, to, i) == 1, "it holds %llu instead of %llu", N(i), N(n));
	CHECK(send_one(s, to, i) == -EAGAIN, "it holds more than %llu", N(n));
	for (i = 0; i < n; i++)
		recv_one(s, from, i);
	CHECK(send_one(s, to, 0) == 1, "round the ring");
	recv_one(s, from, 0);
}

static void lap_ones(struct scene *s, struct ringq_port *to, struct ringq_port *from)
{
	uint64_t i;

	for (i = 0; i <= s->capacity && i < 2 * room(s); i++) {
		CHECK(send_one(s, to, i) == 1, "round the ring, one by one");
		recv_one(s, from, i);
	}
}

/* In place, by twos where there are elements. */
static void lap_in_place(struct scene *s, struct ringq_port *to, struct ringq_port *from)
{
	uint32_t size = s->cell->column->size, n = is_latest(s) ? 1 : 2, j;
	bool records = s->cell->column->flags & RINGQ_RECORDS;
	uint64_t i, cursor;
	const void *msg;
	void *place;
	int r;

	if (records)
		n = 1;
	for (i = 0; i <= room(s); i += n) {
		r = records ? ringq_reserve_record(to, size, &place, RINGQ_NOWAIT) :
			      ringq_reserve(to, n, RINGQ_NOWAIT);
		CHECK(r == 0, "reserve: %s", ringq_strerror(r));
		for (j = 0; j < n; j++)
			message_fill(records ? place : ringq_at(to, j), size, i + j);
		r = records ? ringq_commit_record(to, size) : ringq_commit(to, n);
		CHECK(r == 0, "commit: %s", ringq_strerror(r));
		CHECK(ringq_peek(from, n, RINGQ_NOWAIT) == n, "peek");
		for (j = 0, cursor = 0; j < n; j++) {
			msg = records ? ringq_record(from, &cursor, &size) : ringq_at(from, j);
			CHECK(message_is_whole(msg, size, i + j), "round the ring, in place");
		}
		CHECK(ringq_release(from, n) == 0, "release");
	}
}

static void lap_batches(struct scene *s, struct ringq_port *to, struct ringq_port *from)
{
	uint32_t size = s->cell->column->size;
	unsigned char msgs[STEP_BATCH * STEP_SIZE];
	uint64_t i;
	uint32_t j;
	int64_t r;

	if (s->cell->column->flags & RINGQ_RECORDS || is_latest(s))
		return;
	for (i = 0; i <= room(s); i += STEP_BATCH) {
		for (j = 0; j < STEP_BATCH; j++)
			message_fill(msgs + j * size, size, i + j);
		r = ringq_send_many(to, msgs, STEP_BATCH, RINGQ_NOWAIT);
		CHECK(r == STEP_BATCH, "send_many: %lld", (long long)r);
		memset(msgs, 0, sizeof(msgs));
		r = ringq_recv_many(from, msgs, STEP_BATCH, RINGQ_NOWAIT);
		CHECK(r == STEP_BATCH, "recv_many: %lld", (long long)r);
		for (j = 0; j < STEP_BATCH; j++)
			CHECK(message_is_whole(msgs + j * size, size, i + j),
			      "round the ring, in batches");
	}
}

void lap(struct scene *s, struct ringq_port *to, struct ringq_port *from)
{
	const struct column *c = s->cell->column;

	if (c->discipline == RINGQ_LATEST) {
		/* The newest of what was there before is new to it. */
		take(s, from, &s->heirs, RINGQ_NOWAIT);
	}
	if (c->discipline != RINGQ_LOSSY && c->discipline != RINGQ_LATEST)
		lap_full(s, to, from);
	lap_ones(s, to, from);
	lap_in_place(s, to, from);
	lap_batches(s, to, from);
	if (c->discipline == RINGQ_MPSC || c->discipline == RINGQ_SPMC ||
	    c->discipline == RINGQ_MPMC)
		CHECK(to->claims.biased && from->claims.biased, "who is alone claims by CAS");
}
