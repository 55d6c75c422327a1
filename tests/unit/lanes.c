// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LANES, step by step, with one consumer: order, batches, budget, what is passed over and what
 * "empty" means; producers that come and go. (Several consumers: lanes_shared.c. Threads and
 * processes: lanes_many.c.)
 */
#include "lanes.h"

/* Every size and shape: what goes in comes out, by lane in order, and nothing else. */
static void order(void **state)
{
	static const size_t sizes[] = { 1, 8, 24, 29, 56, 57, 200 };
	unsigned char msg[SIZE_MAX_TESTED];
	uint64_t seed = 1, capacity, n;
	unsigned int s, i, lane, full;
	struct bench b;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		open_ring(&b, PORTS, 1, sizes[s], 20);
		for (i = 0; i < PORTS; i++)
			assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &b.out[i]), 0);
		assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[0]), 0);
		capacity = b.out[0].capacity;
		for (i = 0, full = 0; i < 4000; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			lane = seed >> 33 & 3;
			n = b.sent[lane] - b.received[lane];
			memset(msg, b.sent[lane] * PORTS + lane, sizeof(msg));
			full += n == capacity;
			assert_int_equal(ringq_send(&b.out[lane], msg, RINGQ_NOWAIT),
					 n == capacity ? -EAGAIN : 1);
			b.sent[lane] += n < capacity;
			if (seed >> 40 & 1)
				continue;
			assert_int_equal(ringq_recv(&b.in[0], msg, RINGQ_NOWAIT), 1);
			lane = ringq_lane(&b.in[0]);
			for (n = 0; n < sizes[s]; n++)
				assert_int_equal(msg[n], (unsigned char)
						 (b.received[lane] * PORTS + lane));
			b.received[lane]++;
		}
		assert_true(full > 0);
		while (ringq_recv(&b.in[0], msg, RINGQ_NOWAIT) == 1)
			b.received[ringq_lane(&b.in[0])]++;
		for (lane = 0; lane < PORTS; lane++)
			assert_int_equal(b.sent[lane], b.received[lane]);
		close_bench(&b);
	}
}

/* One step of both: the same is done to them, and they say the same. */
static void same_step(struct ringq_port out[2], struct ringq_port in[2], uint64_t choice,
		      uint64_t *sent)
{
	const uint64_t n = choice % 40;
	uint64_t msgs[2][40], i, k;
	int64_t r[2] = { 0 };

	for (k = 0; k < 2; k++) {
		for (i = 0; i < 40; i++)
			msgs[k][i] = *sent + i;
		switch (choice >> 8 & 7) {
		case 0:
			r[k] = ringq_send_many(&out[k], msgs[k], n, RINGQ_NOWAIT);
			break;
		case 1:
			r[k] = ringq_reserve(&out[k], n, RINGQ_NOWAIT);
			for (i = 0; r[k] == 0 && i < n; i++)
				memcpy(ringq_at(&out[k], i), &msgs[k][i], sizeof(uint64_t));
			break;
		case 2:
			r[k] = ringq_commit(&out[k], n);
			break;
		case 3:
			r[k] = ringq_recv(&in[k], msgs[k], RINGQ_NOWAIT);
			break;
		case 4:
			r[k] = ringq_recv_many(&in[k], msgs[k], n, RINGQ_NOWAIT);
			break;
		case 5:
			r[k] = ringq_peek(&in[k], n, RINGQ_NOWAIT);
			for (i = 0; r[k] > 0 && i < (uint64_t)r[k]; i++)
				memcpy(&msgs[k][i], ringq_at(&in[k], i), sizeof(uint64_t));
			break;
		case 6:
			r[k] = ringq_release(&in[k], n);
			break;
		case 7:
			r[k] = ringq_drain(&out[k], RINGQ_NOWAIT);
			break;
		}
	}
	assert_int_equal(r[0], r[1]);
	assert_memory_equal(msgs[0], msgs[1], sizeof(msgs[0]));
	assert_int_equal(ringq_flags(&in[0]), ringq_flags(&in[1]));
	assert_int_equal(ringq_position(&out[0]), ringq_position(&out[1]));
	*sent += 40;
}

/* With one producer and one consumer, all operations are those of SPSC. */
static void like_spsc(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .elem_size = 8, .capacity = 100,
	};
	struct ringq_port out[2], in[2];
	uint64_t seed = 11, sent;
	struct ringq *rings[2];
	unsigned int i, consumers;

	(void)state;
	for (consumers = 1; consumers <= 2; consumers++) {
		opts.discipline = RINGQ_SPSC;
		opts.producers = 0;
		opts.consumers = 0;
		assert_int_equal(ringq_create(&opts, &rings[0]), 0);
		opts.discipline = RINGQ_LANES;
		opts.producers = 3;
		opts.consumers = consumers;
		assert_int_equal(ringq_create(&opts, &rings[1]), 0);
		for (i = 0; i < 2; i++) {
			assert_int_equal(ringq_attach(rings[i], RINGQ_PRODUCER, &out[i]), 0);
			assert_int_equal(ringq_attach(rings[i], RINGQ_CONSUMER, &in[i]), 0);
		}
		for (i = 0, sent = 0; i < 50000; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			same_step(out, in, seed >> 33, &sent);
		}
		assert_true(ringq_position(&out[1]) > 10000);
		for (i = 0; i < 2; i++) {
			ringq_detach(&out[i]);
			ringq_detach(&in[i]);
			ringq_leave(rings[i]);
		}
	}
}

struct pair { uint64_t lane, n; };
RINGQ_TYPED(pairs, struct pair, lanes);
RINGQ_TYPED(words, uint64_t, lanes);

static void typed(void **state)
{
	struct pairs_producer out[2];
	struct pairs_consumer in;
	struct words_producer wrong;
	struct pair msg, msgs[10];
	struct bench b;
	uint64_t i;

	(void)state;
	open_ring(&b, 2, 1, sizeof(struct pair), 100);
	assert_int_equal(words_attach_producer(b.ring, &wrong), -EPROTOTYPE);
	assert_int_equal(pairs_attach_producer(b.ring, &out[0]), 0);
	assert_int_equal(pairs_attach_producer(b.ring, &out[1]), 0);
	assert_int_equal(pairs_attach_consumer(b.ring, &in), 0);
	for (i = 0; i < 6; i++) {
		msg = (struct pair){ i & 1, i / 2 };
		assert_int_equal(pairs_send(&out[i & 1], &msg, RINGQ_NOWAIT), 1);
	}
	assert_int_equal(pairs_reserve(&out[1], 2, RINGQ_NOWAIT), 0);
	*pairs_room(&out[1], 0) = (struct pair){ 1, 3 };
	assert_int_equal(pairs_commit(&out[1], 1), 0);

	assert_int_equal(pairs_recv(&in, &msg, RINGQ_NOWAIT), 1);
	assert_int_equal(msg.lane, 0);
	assert_int_equal(pairs_recv_many(&in, msgs, 10, RINGQ_NOWAIT), 2);
	assert_int_equal(msgs[0].n, 1);
	assert_int_equal(msgs[1].n, 2);
	assert_int_equal(pairs_peek(&in, 10, RINGQ_NOWAIT), 4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pairs_at(&in, i)->lane, 1);
		assert_int_equal(pairs_at(&in, i)->n, i);
	}
	assert_int_equal(pairs_recv(&in, &msg, RINGQ_NOWAIT), -EBUSY);
	assert_int_equal(pairs_recv_many(&in, msgs, 1, RINGQ_NOWAIT), -EBUSY);
	assert_int_equal(pairs_peek(&in, 1, RINGQ_NOWAIT), -EBUSY);
	assert_int_equal(pairs_release(&in, 5), -EINVAL);
	assert_int_equal(pairs_release(&in, 4), 0);
	assert_int_equal(pairs_recv(&in, &msg, RINGQ_NOWAIT), -EAGAIN);
	ringq_detach(&out[0].port);
	ringq_detach(&out[1].port);
	ringq_detach(&in.port);
	ringq_leave(b.ring);
}

/* A batch never mixes lanes, however much is asked for. */
static void batches(void **state)
{
	uint64_t msgs[100];
	struct bench b;
	int64_t r, i;
	unsigned int consumers, k;

	(void)state;
	for (consumers = 1; consumers <= 2; consumers++) {
		open_bench(&b, 3, consumers, 40);
		for (k = 0; k < 3; k++)
			put(&b, k, 10 + k);
		for (k = 0; k < 3; k++) {
			r = ringq_recv_many(&b.in[0], msgs, 100, RINGQ_NOWAIT);
			assert_int_equal(r, 10 + ringq_lane(&b.in[0]));
			for (i = 0; i < r; i++)
				arrived(&b, ringq_lane(&b.in[0]), msgs[i]);
		}
		get_none(&b, 0);
		for (k = 0; k < 3; k++)
			put(&b, k, 10 + k);
		for (k = 0; k < 3; k++) {
			r = look(&b, 0, 100);
			assert_int_equal(r, 10 + ringq_lane(&b.in[0]));
			drop(&b, 0, r);
		}
		get_none(&b, 0);
		assert_int_equal(ringq_recv_many(&b.in[0], msgs, 0, RINGQ_NOWAIT), -EINVAL);
		assert_int_equal(ringq_peek(&b.in[0], 0, RINGQ_NOWAIT), -EINVAL);
		assert_int_equal(words(&b.in[0], 0)->owner, 0);
		close_bench(&b);
	}
}

/* Places are given up to the number that was stated; a successor goes on in the lane. */
static void registering(void **state)
{
	struct ringq_attach_opts at = {
		.size = sizeof(at), .flags = RINGQ_AT_PLACE, .place = 2,
	};
	struct ringq_port_page *page;
	struct ringq_port extra;
	struct bench b;

	(void)state;
	open_ring(&b, 3, 1, sizeof(uint64_t), 20);
	assert_int_equal(ringq_attach_with(b.ring, RINGQ_PRODUCER, &at, &b.out[2]), 0);
	assert_int_equal(ringq_lane(&b.out[2]), 2);
	put(&b, 2, 3);
	assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[0]), 0);
	assert_int_equal(get(&b, 0), 2);
	/* Others come, and take what is free. */
	assert_int_equal(ringq_attach_with(b.ring, RINGQ_PRODUCER, &at, &extra), -EBUSY);
	assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &b.out[0]), 0);
	assert_int_equal(ringq_lane(&b.out[0]), 0);
	assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &b.out[1]), 0);
	assert_int_equal(ringq_lane(&b.out[1]), 1);
	assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &extra), -EBUSY);
	at.place = 3;
	assert_int_equal(ringq_attach_with(b.ring, RINGQ_PRODUCER, &at, &extra), -EINVAL);
	put(&b, 0, 2);
	/* One goes; what is in its lane stays; another goes on behind it. */
	page = b.out[2].page;
	ringq_detach(&b.out[2]);
	assert_int_equal(ringq_lane(&b.out[2]), -ESTALE);
	assert_int_equal(ringq_lane_pending(&b.in[0], 2), 2);
	/* As late as one that dies may leave it. */
	page->progress.done -= 3;
	assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &b.out[2]), 0);
	assert_int_equal(ringq_lane(&b.out[2]), 2);
	put(&b, 2, 4);
	assert_int_equal(ringq_drain(&b.out[1], RINGQ_NOWAIT), 0);
	assert_int_equal(ringq_drain(&b.out[2], RINGQ_NOWAIT), -EAGAIN);
	while (b.received[0] + b.received[2] < 9)
		get(&b, 0);
	get_none(&b, 0);
	assert_int_equal(ringq_drain(&b.out[2], RINGQ_NOWAIT), 0);
	close_bench(&b);
}

static unsigned int note_left(const struct bench *b, unsigned int lane)
{
	return b->in[0].lanes.notes[lane] & RINGQ_NOTE_LEFT;
}

static unsigned int note_rounds(const struct bench *b, unsigned int lane)
{
	return (b->in[0].lanes.notes[lane] & RINGQ_NOTE_ROUNDS) >> RINGQ_NOTE_SHIFT;
}

/* To the last lane and back to the first, past those between, once. */
static void turn(struct bench *b)
{
	put(b, b->producers - 1, 1);
	assert_int_equal(get(b, 0), b->producers - 1);
	put(b, 0, 1);
	assert_int_equal(get(b, 0), 0);
}

static void back_off(void **state)
{
	unsigned int rounds, left, most = RINGQ_SKIP_MAX, n;
	struct bench b;

	(void)state;
	open_bench(&b, 3, 1, 40);
	put(&b, 0, 1);
	get(&b, 0);
	for (rounds = 1; rounds < 1000; rounds *= 2) {
		turn(&b);
		n = rounds < most ? rounds : most;
		assert_int_equal(note_rounds(&b, 1), n);
		assert_int_equal(note_left(&b, 1), n);
		for (left = n; left; left--) {
			assert_int_equal(note_left(&b, 1), left);
			turn(&b);
		}
		assert_int_equal(note_left(&b, 1), 0);
	}
	/* Found to have something, it is passed over no more; and begins anew with one round. */
	turn(&b);
	assert_int_equal(note_left(&b, 1), most);
	put(&b, 1, 1);
	for (n = 0; n < most; n++)
		turn(&b);
	put(&b, 2, 1);
	assert_int_equal(get(&b, 0), 1);
	assert_int_equal(note_rounds(&b, 1), 0);
	assert_int_equal(get(&b, 0), 2);
	put(&b, 0, 1);
	get(&b, 0);
	turn(&b);
	assert_int_equal(note_rounds(&b, 1), 1);
	assert_int_equal(note_left(&b, 1), 1);
	close_bench(&b);
}

static void back_off_reset(void **state)
{
	struct bench b;
	unsigned int n;

	(void)state;
	open_bench(&b, 3, 1, 40);
	for (n = 0; n < 150; n++)
		turn(&b);
	assert_int_equal(note_rounds(&b, 1), RINGQ_SKIP_MAX);
	assert_in_range(note_left(&b, 1), 2, RINGQ_SKIP_MAX);
	assert_int_equal(ringq_reset_skips(&b.in[0]), 0);
	assert_int_equal(note_left(&b, 1), 0);
	put(&b, 1, 1);
	put(&b, 2, 1);
	assert_int_equal(get(&b, 0), 1);
	close_bench(&b);
}

/* A lane that is passed over is looked at before "empty" is said, or the end. */
static void empty_is_exact(void **state)
{
	uint64_t msg;
	struct bench b;
	unsigned int n, way;

	(void)state;
	for (way = 0; way < 3; way++) {
		open_bench(&b, PORTS, 1, 40);
		for (n = 0; n < 150; n++)
			turn(&b);
		for (n = 1; n < PORTS - 1; n++)
			assert_in_range(note_left(&b, n), 5, RINGQ_SKIP_MAX);
		put(&b, 2, 1);
		switch (way) {
		case 0:
			assert_int_equal(get(&b, 0), 2);
			get_none(&b, 0);
			break;
		case 1:
			assert_int_equal(look(&b, 0, 10), 1);
			drop(&b, 0, 1);
			get_none(&b, 0);
			break;
		case 2:
			assert_int_equal(ringq_close(&b.out[0]), 0);
			assert_int_equal(get(&b, 0), 2);
			assert_int_equal(ringq_recv(&b.in[0], &msg, RINGQ_FOREVER), 0);
			assert_int_equal(ringq_send(&b.out[2], &msg, RINGQ_NOWAIT), -EPIPE);
			break;
		}
		assert_in_range(note_rounds(&b, 2), 0, 4);
		close_bench(&b);
	}
}

/* How many messages of the flooded lane 0 come before the one of lane 1. */
static unsigned int flood(struct bench *b, unsigned int way)
{
	unsigned int before = 0, n;
	uint64_t msgs[32];
	int64_t r, i;

	put(b, 1, 1);
	while (b->received[1] == 0) {
		assert_true(before < 100 * BUDGET);
		put(b, 0, b->out[0].capacity - (b->sent[0] - b->received[0]));
		switch (way) {
		case 0:
			before += get(b, 0) == 0;
			break;
		case 1:
			r = ringq_recv_many(&b->in[0], msgs, 32, RINGQ_NOWAIT);
			for (i = 0; i < r; i++)
				arrived(b, ringq_lane(&b->in[0]), msgs[i]);
			before += r;
			break;
		case 2:
			n = look(b, 0, 1000);
			drop(b, 0, n < 3 ? n : 3);
			before += 3;
			break;
		case 3:
			/* A large peek, and then by ones. */
			if (before == 0) {
				look(b, 0, 3 * BUDGET);
				drop(b, 0, 1);
			}
			get(b, 0);
			before++;
			break;
		}
	}
	return before;
}

static void budget(void **state)
{
	unsigned int way, before;
	struct bench b;

	(void)state;
	for (way = 0; way < 4; way++) {
		open_bench(&b, 2, 1, 4 * BUDGET);
		/* Lane 0 is where the consumer is. */
		put(&b, 0, 1);
		get(&b, 0);
		before = flood(&b, way);
		assert_in_range(before, BUDGET / 2, 2 * BUDGET);
		close_bench(&b);
	}
}

/* Two flooded lanes take turns, a budget each. */
static void budget_takes_turns(void **state)
{
	unsigned int i, lane, last = 9, n = 0, turns = 0;
	struct bench b;

	(void)state;
	open_bench(&b, 3, 1, 8 * BUDGET);
	for (lane = 0; lane < 3; lane++)
		put(&b, lane, 6 * BUDGET);
	for (i = 0; i < 15 * BUDGET; i++, n++) {
		lane = get(&b, 0);
		if (lane == last)
			continue;
		if (turns++) {
			assert_in_range(n, BUDGET, BUDGET + 200);
			assert_int_equal(lane, (last + 1) % 3);
		}
		last = lane;
		n = 0;
	}
	assert_in_range(turns, 10, 15);
	close_bench(&b);
}

static void pending(void **state)
{
	static const size_t sizes[] = { 1, 8, 29, 57, 200 };
	unsigned char msg[SIZE_MAX_TESTED] = { 0 };
	uint64_t seed = 7, most, n, best;
	unsigned int s, i, k, lane;
	struct bench b;
	int hottest;

	(void)state;
	for (s = 0; s < COUNT(sizes); s++) {
		open_ring(&b, 3, 2, sizes[s], 50);
		for (i = 0; i < 3; i++)
			assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &b.out[i]), 0);
		assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[0]), 0);
		b.consumers = 1;
		assert_int_equal(ringq_hottest(&b.in[0], &most), -EAGAIN);
		assert_int_equal(ringq_lane(&b.in[0]), -EAGAIN);
		for (i = 0; i < 3000; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			lane = (seed >> 33) % 3;
			n = seed >> 40 & 31;
			/* Sometimes all the way, to full and to empty. */
			if (i % 500 < 100) {
				if (ringq_send(&b.out[lane], msg, RINGQ_NOWAIT) == 1)
					b.sent[lane]++;
			} else if (n & 1) {
				while (n-- && ringq_send(&b.out[lane], msg, RINGQ_NOWAIT) == 1)
					b.sent[lane]++;
			} else {
				while (n-- && ringq_recv(&b.in[0], msg, RINGQ_NOWAIT) == 1)
					b.received[ringq_lane(&b.in[0])]++;
			}
			best = 0;
			for (k = 0; k < 3; k++) {
				n = b.sent[k] - b.received[k];
				assert_int_equal(ringq_lane_pending(&b.in[0], k), n);
				assert_int_equal(ringq_len(&b.out[k]), n);
				best = n > best ? n : best;
			}
			hottest = ringq_hottest(&b.in[0], &most);
			assert_int_equal(most, best);
			assert_int_equal(ringq_len(&b.in[0]), b.sent[0] + b.sent[1] + b.sent[2] -
					 b.received[0] - b.received[1] - b.received[2]);
			if (best)
				assert_int_equal(b.sent[hottest] - b.received[hottest], best);
			else
				assert_int_equal(hottest, -EAGAIN);
		}
		assert_int_equal(ringq_lane_pending(&b.in[0], 3), -EINVAL);
		close_bench(&b);
	}
}

static void from_a_lane(void **state)
{
	uint64_t msgs[20];
	unsigned int consumers;
	struct bench b;
	int64_t r, i;

	(void)state;
	for (consumers = 1; consumers <= 2; consumers++) {
		open_bench(&b, 3, consumers, 40);
		put(&b, 0, 5);
		put(&b, 1, 5);
		put(&b, 2, 5);
		assert_int_equal(get(&b, 0), 0);
		r = ringq_recv_from(&b.in[0], 2, msgs, 2);
		assert_int_equal(r, 2);
		assert_int_equal(ringq_lane(&b.in[0]), 2);
		for (i = 0; i < r; i++)
			arrived(&b, 2, msgs[i]);
		r = ringq_recv_from(&b.in[0], 0, msgs, 20);
		assert_int_equal(r, 4);
		for (i = 0; i < r; i++)
			arrived(&b, 0, msgs[i]);
		assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 20), -EAGAIN);
		assert_int_equal(ringq_recv_from(&b.in[0], 3, msgs, 20), -EINVAL);
		assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 0), -EINVAL);
		assert_int_equal(look(&b, 0, 2), 2);
		assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 1), -EBUSY);
		drop(&b, 0, 2);
		assert_int_equal(ringq_close(&b.in[0]), 0);
		assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 20), 0);
		while (b.received[1] + b.received[2] < 10)
			get(&b, 0);
		assert_int_equal(ringq_recv_from(&b.in[0], 1, msgs, 20), 0);
		close_bench(&b);
	}
}

/* The only consumer goes elsewhere and comes back to what it had been shown: not redelivered. */
static void shown_to_itself(void **state)
{
	uint64_t msgs[20];
	struct bench b;

	(void)state;
	open_bench(&b, 2, 1, 40);
	put(&b, 0, 5);
	put(&b, 1, 5);
	assert_int_equal(look(&b, 0, 5), 5);
	assert_int_equal(ringq_lane(&b.in[0]), 0);
	drop(&b, 0, 1);
	assert_int_equal(ringq_recv_from(&b.in[0], 1, msgs, 2), 2);
	assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 2), 2);
	assert_int_equal(ringq_flags(&b.in[0]), 0);
	assert_int_equal(ringq_recv_from(&b.in[0], 1, msgs, 1), 1);
	/* But its successor is told. */
	ringq_detach(&b.in[0]);
	assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[0]), 0);
	assert_int_equal(ringq_recv_from(&b.in[0], 1, msgs, 20), 2);
	assert_int_equal(ringq_flags(&b.in[0]), 0);
	assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 1), 1);
	assert_int_equal(ringq_flags(&b.in[0]), RINGQ_REDELIVERED);
	/* And still is, of the rest, when it has been elsewhere. */
	put(&b, 1, 1);
	assert_int_equal(ringq_recv_from(&b.in[0], 1, msgs, 20), 1);
	assert_int_equal(ringq_flags(&b.in[0]), 0);
	assert_int_equal(ringq_recv_from(&b.in[0], 0, msgs, 20), 1);
	assert_int_equal(ringq_flags(&b.in[0]), RINGQ_REDELIVERED);
	close_bench(&b);
}

static void misuse(void **state)
{
	const struct ringq_opts spsc = {
		.size = sizeof(spsc), .memory = RINGQ_PRIVATE, .elem_size = 8, .capacity = 7,
	};
	struct ringq_port out, in;
	struct ringq *ring;
	struct bench b;
	uint64_t msg = 0;

	(void)state;
	open_bench(&b, 2, 1, 40);
	assert_int_equal(ringq_recv(&b.out[0], &msg, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_send(&b.in[0], &msg, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_lanes_recv(&b.out[0], &msg, 8, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_lanes_send(&b.in[0], &msg, 8, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_reset_skips(&b.out[0]), -EOPNOTSUPP);
	assert_int_equal(ringq_lane_pending(&b.out[0], 0), -EOPNOTSUPP);
	assert_int_equal(ringq_hottest(&b.out[0], NULL), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_from(&b.out[0], 0, &msg, 1), -EOPNOTSUPP);
	close_bench(&b);
	assert_int_equal(ringq_recv(&b.in[0], &msg, 0), -ESTALE);
	assert_int_equal(ringq_lanes_recv(&b.in[0], &msg, 8, 0), -ESTALE);
	assert_int_equal(ringq_lanes_peek(&b.in[0], 8, 1, 0), -ESTALE);
	assert_int_equal(ringq_lanes_release(&b.in[0], 8, 0), 0);
	assert_int_equal(ringq_lane(&b.in[0]), -ESTALE);
	assert_int_equal(ringq_lane_pending(&b.in[0], 0), -ESTALE);
	assert_int_equal(ringq_hottest(&b.in[0], NULL), -ESTALE);
	assert_int_equal(ringq_reset_skips(&b.in[0]), -ESTALE);
	assert_int_equal(ringq_recv_from(&b.in[0], 0, &msg, 1), -ESTALE);

	assert_int_equal(ringq_create(&spsc, &ring), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
	assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
	assert_int_equal(ringq_lane(&in), -EOPNOTSUPP);
	assert_int_equal(ringq_lane_pending(&in, 0), -EOPNOTSUPP);
	assert_int_equal(ringq_hottest(&out, NULL), -EOPNOTSUPP);
	assert_int_equal(ringq_reset_skips(&in), -EOPNOTSUPP);
	assert_int_equal(ringq_recv_from(&in, 0, &msg, 1), -EOPNOTSUPP);
	ringq_detach(&out);
	ringq_detach(&in);
	ringq_leave(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(like_spsc),
		cmocka_unit_test(typed),
		cmocka_unit_test(batches),
		cmocka_unit_test(registering),
		cmocka_unit_test(back_off),
		cmocka_unit_test(back_off_reset),
		cmocka_unit_test(empty_is_exact),
		cmocka_unit_test(budget),
		cmocka_unit_test(budget_takes_turns),
		cmocka_unit_test(pending),
		cmocka_unit_test(from_a_lane),
		cmocka_unit_test(shown_to_itself),
		cmocka_unit_test(misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
