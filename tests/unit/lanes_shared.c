// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * LANES, step by step, with several consumers: who steals from whom, what one leaves to another,
 * what the dead leave, when the end has come, and wild words in shared memory.
 */
#include "lanes.h"

/* The question of a sleeper, as the library and the module ask it. */
static __u64 ringq_word_at(const void *memory, __u64 offset)
{
	return ringq_load_acquire((const __u64 *)((const unsigned char *)memory + offset));
}

#include <ringq/ready.h>

static int ready(const struct bench *b, unsigned int consumer)
{
	const struct ringq_header *h = (const struct ringq_header *)b->in[consumer].base;
	const struct ringq_view view = {
		.geometry = &h->geometry, .layout = &h->layout, .memory = h,
		.role = RINGQ_CONSUMER, .port = consumer,
	};

	return ringq_is_ready(&view, 1);
}

/* Own shard first, then where most waits, then anything; never what another is reading. */
static void stealing(void **state)
{
	unsigned int i, lane;
	struct bench b;

	(void)state;
	open_bench(&b, PORTS, 2, 100);
	for (lane = 0; lane < PORTS; lane++)
		put(&b, lane, lane == 3 ? 1 : 10);
	for (i = 0; i < 11; i++)
		assert_int_equal(get(&b, 1) % 2, 1);
	put(&b, 2, 1);
	for (i = 0; i < 11; i++)
		assert_int_equal(get(&b, 1), 2);
	assert_int_equal(get(&b, 1), 0);

	/* While another has the hottest one in hand. */
	put(&b, 2, 20);
	while (ringq_lane(&b.in[0]) != 2)
		get(&b, 0);
	assert_int_equal(ringq_lane_pending(&b.in[1], 2), 19);
	assert_int_equal(look(&b, 0, 1), 1);
	while (ringq_lane(&b.in[1]) != 1) {
		put(&b, 1, 1);
		get(&b, 1);
	}
	put(&b, 0, 1);
	put(&b, 3, 1);
	assert_int_equal(get(&b, 1), 3);
	assert_int_equal(get(&b, 1), 0);
	while (b.received[0] < b.sent[0])
		assert_int_equal(get(&b, 1), 0);
	get_none(&b, 1);
	drop(&b, 0, 1);
	assert_int_equal(get(&b, 1), 2);
	close_bench(&b);
}

/* The shards are those of the consumers that are there. */
static void shards(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, PORTS, 3, 40);
	ringq_detach(&b.in[1]);
	/* Of two, the second has 1 and 3. */
	put(&b, 2, 9);
	put(&b, 3, 1);
	assert_int_equal(get(&b, 2), 3);
	assert_int_equal(get(&b, 2), 2);
	close_bench(&b);
}

/* A lane whose shard belongs to a consumer that does not come is not forgotten. */
static void sweep(void **state)
{
	unsigned int n;
	struct bench b;

	(void)state;
	open_bench(&b, PORTS, 2, 4 * BUDGET);
	put(&b, 1, 1);
	put(&b, 3, 1);
	for (n = 0; b.received[1] + b.received[3] < 2; n++) {
		assert_true(n < 100 * BUDGET);
		put(&b, 0, b.out[0].capacity - (b.sent[0] - b.received[0]));
		put(&b, 2, b.out[2].capacity - (b.sent[2] - b.received[2]));
		get(&b, 0);
	}
	/* Not before its own, and not by chance. */
	assert_in_range(n, 4 * BUDGET, 100 * BUDGET);
	close_bench(&b);
}

/* Two consumers in one lane, by turns: each goes on where the other stopped. */
static void taking_turns(void **state)
{
	uint64_t seed = 3;
	unsigned int i, k, n;
	struct bench b;

	(void)state;
	open_bench(&b, 1, 3, 30);
	for (i = 0; i < 5000; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		n = b.out[0].capacity - (b.sent[0] - b.received[0]);
		put(&b, 0, (seed >> 33) % (n + 1));
		if (b.sent[0] == b.received[0])
			continue;
		k = (seed >> 40) % 3;
		switch (seed >> 50 & 1) {
		case 0:
			get(&b, k);
			assert_int_equal(ringq_flags(&b.in[k]), 0);
			break;
		case 1:
			n = look(&b, k, 1 + (seed >> 51) % 9);
			get_none(&b, (k + 1) % 3);
			drop(&b, k, n);
			break;
		}
		assert_int_equal(words(&b.in[0], 0)->owner, 0);
		assert_int_equal(words(&b.in[0], 0)->progress.done, b.in[k].pos);
	}
	assert_true(b.received[0] > 5000);
	close_bench(&b);
}

/* What one was shown and did not release, another gets flagged, and by itself. */
static void shown_to_another(void **state)
{
	uint64_t msgs[20];
	struct bench b;
	unsigned int i;

	(void)state;
	open_bench(&b, 1, 2, 40);
	put(&b, 0, 10);
	assert_int_equal(look(&b, 0, 5), 5);
	drop(&b, 0, 2);
	/* To itself it is nothing new. */
	get(&b, 0);
	assert_int_equal(ringq_flags(&b.in[0]), 0);
	assert_int_equal(ringq_recv_many(&b.in[1], msgs, 20, RINGQ_NOWAIT), 2);
	assert_int_equal(ringq_flags(&b.in[1]), RINGQ_REDELIVERED);
	for (i = 0; i < 2; i++)
		arrived(&b, 0, msgs[i]);
	assert_int_equal(ringq_recv_many(&b.in[1], msgs, 20, RINGQ_NOWAIT), 5);
	assert_int_equal(ringq_flags(&b.in[1]), 0);
	for (i = 0; i < 5; i++)
		arrived(&b, 0, msgs[i]);
	put(&b, 0, 1);
	get(&b, 0);
	assert_int_equal(ringq_flags(&b.in[0]), 0);
	close_bench(&b);
}

/* Nothing is released: the other knows, although nothing has moved since it was here. */
static void shown_and_put_back(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 1, 2, 40);
	put(&b, 0, 5);
	get(&b, 1);
	assert_int_equal(look(&b, 0, 2), 2);
	drop(&b, 0, 0);
	get(&b, 1);
	assert_int_equal(ringq_flags(&b.in[1]), RINGQ_REDELIVERED);
	get(&b, 1);
	assert_int_equal(ringq_flags(&b.in[1]), RINGQ_REDELIVERED);
	get(&b, 1);
	assert_int_equal(ringq_flags(&b.in[1]), 0);
	close_bench(&b);
}

/* A consumer leaves with something in hand. */
static void left_in_hand(void **state)
{
	struct bench b;
	unsigned int consumers, i, heir;

	(void)state;
	for (consumers = 1; consumers <= 2; consumers++) {
		open_bench(&b, 3, consumers, 40);
		put(&b, 1, 7);
		assert_int_equal(look(&b, 0, 4), 4);
		ringq_detach(&b.in[0]);
		assert_int_equal(words(&b.out[0], 1)->owner, 0);
		assert_int_equal(words(&b.out[0], 1)->progress.hand,
				 words(&b.out[0], 1)->progress.done);
		heir = consumers - 1;
		if (consumers == 1)
			assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[0]), 0);
		for (i = 0; i < 7; i++) {
			assert_int_equal(get(&b, heir), 1);
			assert_int_equal(ringq_flags(&b.in[heir]), i < 4 ? RINGQ_REDELIVERED : 0);
		}
		get_none(&b, heir);
		close_bench(&b);
	}
}

/* A lane that is owned by somebody who is not there is taken over; another's is not. */
static void dead_owner(void **state)
{
	static const uint64_t dead[] = { 3, 7ull << 32 | 3, 256, 257, UINT32_MAX, UINT64_MAX };
	struct ringq_lane *lane;
	struct bench b;
	unsigned int i;

	(void)state;
	open_bench(&b, 1, 3, 40);
	ringq_detach(&b.in[2]);
	lane = words(&b.in[0], 0);
	for (i = 0; i < COUNT(dead); i++) {
		put(&b, 0, 3);
		/* As if it had peeked one of them. */
		lane->owner = dead[i];
		lane->progress.taken = lane->progress.done + 1;
		lane->progress.hand = lane->progress.done + 1;
		get(&b, i & 1);
		assert_int_equal(ringq_flags(&b.in[i & 1]), RINGQ_REDELIVERED);
		assert_int_equal(lane->owner, 0);
		assert_true(lane->progress.hand <= lane->progress.done);
		get(&b, i & 1);
		assert_int_equal(ringq_flags(&b.in[i & 1]), 0);
		get(&b, 1 - (i & 1));
		get_none(&b, 0);
	}
	put(&b, 0, 1);
	lane->owner = (uint64_t)b.in[1].generation << 32 | 2;
	get_none(&b, 0);
	/* Who comes to the place of an owner frees what is there, or nobody ever would. */
	lane->owner = 1ull << 32 | 3;
	assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[2]), 0);
	assert_int_equal(b.in[2].index, 2);
	assert_int_equal(lane->owner, 0);
	get(&b, 0);
	close_bench(&b);
}

/* A sleeper is told of what nobody has in hand, or the dead, and not of what others have. */
static void readiness(void **state)
{
	struct ringq_lane *lane;
	struct bench b;

	(void)state;
	open_bench(&b, 2, 3, 40);
	ringq_detach(&b.in[2]);
	lane = words(&b.in[0], 0);
	assert_int_equal(ready(&b, 0), 0);
	put(&b, 0, 2);
	assert_int_equal(ready(&b, 0), 1);
	assert_int_equal(look(&b, 0, 2), 2);
	assert_int_equal(ready(&b, 0), 0);
	assert_int_equal(ready(&b, 1), 0);
	put(&b, 0, 1);
	assert_int_equal(ready(&b, 0), 1);
	assert_int_equal(ready(&b, 1), 0);
	put(&b, 1, 1);
	assert_int_equal(ready(&b, 1), 1);
	assert_int_equal(get(&b, 1), 1);
	assert_int_equal(ready(&b, 1), 0);
	drop(&b, 0, 1);
	assert_int_equal(ready(&b, 1), 1);
	get(&b, 1);
	get(&b, 1);
	assert_int_equal(ready(&b, 1), 0);

	put(&b, 0, 2);
	lane->owner = (uint64_t)b.in[1].generation << 32 | 2;
	assert_int_equal(ready(&b, 0), 0);
	/* Dead, with all of it in hand. */
	lane->owner = 1ull << 32 | 3;
	lane->progress.hand = lane->progress.done + 2;
	assert_int_equal(ready(&b, 0), 1);
	get(&b, 0);
	assert_true(lane->progress.hand <= lane->progress.done);
	assert_int_equal(ready(&b, 1), 1);
	get(&b, 0);
	/* Nonsense. */
	put(&b, 0, 1);
	lane->progress.hand = lane->progress.done + b.out[0].capacity + 1;
	assert_int_equal(ready(&b, 0), 1);
	get(&b, 0);
	lane->progress.hand = 1ull << 63;
	assert_int_equal(ready(&b, 0), 0);
	lane->owner = UINT64_MAX;
	assert_int_equal(ready(&b, 0), 0);
	lane->owner = 0;
	close_bench(&b);
}

/* The only consumer is gone, with all of it in hand, and its successor asks. */
static void readiness_of_a_successor(void **state)
{
	struct ringq_lane *lane;
	struct bench b;

	(void)state;
	open_bench(&b, 2, 1, 40);
	put(&b, 1, 2);
	assert_int_equal(look(&b, 0, 2), 2);
	assert_int_equal(ready(&b, 0), 0);
	ringq_detach(&b.in[0]);
	/* As a death leaves it. */
	lane = words(&b.out[0], 1);
	lane->progress.hand = lane->progress.done + 2;
	assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[0]), 0);
	assert_int_equal(ready(&b, 0), 1);
	get(&b, 0);
	assert_int_equal(ringq_flags(&b.in[0]), RINGQ_REDELIVERED);
	close_bench(&b);
}

/* The end comes when nobody has anything in hand. */
static void end_of_file(void **state)
{
	unsigned int closes, i;
	uint64_t msg;
	struct bench b;

	(void)state;
	for (closes = 0; closes < 2; closes++) {
		const struct ringq_opts opts = {
			.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_LANES,
			.elem_size = 8, .capacity = 40, .producers = 2, .consumers = 2,
		};

		memset(&b, 0, sizeof(b));
		b.producers = 2;
		b.consumers = 2;
		assert_int_equal(ringq_create(&opts, &b.ring), 0);
		for (i = 0; i < 2; i++) {
			assert_int_equal(ringq_attach(b.ring, RINGQ_PRODUCER, &b.out[i]), 0);
			assert_int_equal(ringq_attach(b.ring, RINGQ_CONSUMER, &b.in[i]), 0);
		}
		put(&b, 0, 3);
		ringq_detach(&b.out[1]);
		assert_int_equal(look(&b, 0, 2), 2);
		get_none(&b, 1);
		if (closes)
			assert_int_equal(ringq_close(&b.in[0]), 0);
		else
			ringq_detach(&b.out[0]);
		get_none(&b, 1);
		assert_int_equal(ringq_recv(&b.in[1], &msg, 3000000), -ETIMEDOUT);
		ringq_detach(&b.in[0]);
		for (i = 0; i < 3; i++) {
			get(&b, 1);
			assert_int_equal(ringq_flags(&b.in[1]), i < 2 ? RINGQ_REDELIVERED : 0);
		}
		assert_int_equal(ringq_recv(&b.in[1], &msg, RINGQ_FOREVER), 0);
		assert_int_equal(ringq_peek(&b.in[1], 1, RINGQ_NOWAIT), 0);
		close_bench(&b);
	}
}

static void documented(int64_t r, int64_t most)
{
	if (r > most || (r < 0 && r != -EAGAIN && r != -ETIMEDOUT && r != -EBUSY &&
			 r != -EBADMSG))
		fail_msg("%lld", (long long)r);
}

/* Wild words in lanes, ports' notes and stamps; the memory is exactly as large as is needed. */
static void scribbled(void **state)
{
	struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = RINGQ_LANES,
		.elem_size = 8, .capacity = 14, .producers = 2, .consumers = 2,
		.flags = RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT,
	};
	uint64_t seed = 5, msgs[40] = { 0 }, wild, done;
	struct ringq_port out, in;
	struct ringq *ring;
	unsigned int i, k;
	__u64 *word;
	int64_t r;

	(void)state;
	opts.buffer_size = ringq_buffer_size(&opts);
	opts.buffer = malloc(opts.buffer_size);
	assert_non_null(opts.buffer);
	for (i = 0; i < 3000; i++) {
		assert_int_equal(ringq_create(&opts, &ring), 0);
		assert_int_equal(ringq_attach(ring, RINGQ_PRODUCER, &out), 0);
		assert_int_equal(ringq_attach(ring, RINGQ_CONSUMER, &in), 0);
		documented(ringq_send_many(&out, msgs, 9, 0), 9);
		for (k = 0; k < 12; k++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			done = words(&in, 0)->progress.done;
			wild = seed & 1 ? seed : done + (seed >> 40) % 40 - 8;
			switch (seed >> 33 & 7) {
			case 0 ... 2:
				word = &words(&in, seed >> 36 & 1)->owner;
				word[(seed >> 37) % 4] = wild;
				break;
			case 3:
				in.lanes.notes[seed >> 36 & 1] = wild;
				break;
			case 4:
				*in.stamp = wild;
				break;
			}
			switch (seed >> 55 & 7) {
			case 0:
				documented(ringq_recv(&in, msgs, 0), 1);
				break;
			case 1:
				documented(ringq_recv_many(&in, msgs, 40, 0), 40);
				break;
			case 2:
				r = ringq_peek(&in, 40, 0);
				documented(r, 40);
				for (; r > 0; r--)
					msgs[0] += *(uint64_t *)ringq_at(&in, r - 1);
				break;
			case 3:
				ringq_release(&in, in.held / 2);
				break;
			case 4:
				documented(ringq_recv_from(&in, 0, msgs, 40), 40);
				break;
			case 5:
				documented(ringq_hottest(&in, NULL), 1);
				documented(ringq_lane_pending(&in, 0), 14);
				break;
			case 6:
				documented(ringq_send_many(&out, msgs, 9, 0), 9);
				break;
			case 7:
				documented(ringq_recv(&in, msgs, 10000), 1);
				break;
			}
		}
		ringq_detach(&in);
		r = ringq_attach(ring, RINGQ_CONSUMER, &in);
		documented(r, 0);
		ringq_detach(&in);
		ringq_detach(&out);
		ringq_leave(ring);
	}
	free(opts.buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stealing),
		cmocka_unit_test(shards),
		cmocka_unit_test(sweep),
		cmocka_unit_test(taking_turns),
		cmocka_unit_test(shown_to_another),
		cmocka_unit_test(shown_and_put_back),
		cmocka_unit_test(left_in_hand),
		cmocka_unit_test(dead_owner),
		cmocka_unit_test(readiness),
		cmocka_unit_test(readiness_of_a_successor),
		cmocka_unit_test(end_of_file),
		cmocka_unit_test(scribbled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
