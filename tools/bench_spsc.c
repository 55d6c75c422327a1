// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The cases of `ringq bench spsc`. A producer makes each message, a consumer copies it
 * out, reads all of it and checks it: who does not read what he gets measures nothing.
 * Both sides try, and pause when there is nothing to do; the control does the same.
 */
#include "bench_set.h"

#include "bench_control.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BENCH_BURST	32
#define BENCH_BLOCK	1024	/* messages between looks whether to stop */
#define BENCH_HUGE	(2ul << 20)

struct message_8 {
	uint64_t word[8 / sizeof(uint64_t)];
};

struct message_56 {
	uint64_t word[56 / sizeof(uint64_t)];
};

struct message_1264 {
	uint64_t word[1264 / sizeof(uint64_t)];
};

RINGQ_TYPED(ringq_8, struct message_8, spsc);
RINGQ_TYPED(ringq_56, struct message_56, spsc);
RINGQ_TYPED(ringq_1264, struct message_1264, spsc);

CONTROL_TYPED(control_8, struct message_8)
CONTROL_TYPED(control_56, struct message_56)
CONTROL_TYPED(control_1264, struct message_1264)

struct bench_queues {
	struct control control;
	void *control_map;
	size_t control_size;

	struct bench_lines lines;	/* the control of a round trip */

	/* The second ring is the way back of a round trip. */
	struct ringq *ring[2];
	union {
		struct ringq_8_producer p8;
		struct ringq_56_producer p56;
		struct ringq_1264_producer p1264;
	} producer[2] __attribute__((aligned(RINGQ_LINE_PAIR)));
	union {
		struct ringq_8_consumer c8;
		struct ringq_56_consumer c56;
		struct ringq_1264_consumer c1264;
	} consumer[2] __attribute__((aligned(RINGQ_LINE_PAIR)));
	bool attached[2][2];
};

/* A message of n words says its number once in each line, so that a stale line shows. */
ringq_inline void message_write(uint64_t *word, uint32_t n, uint64_t seq)
{
	for (uint32_t i = 0; i < n; i += 8)
		word[i] = seq + i;
}

/* Line by line, so that adding costs little beside fetching. */
ringq_inline uint64_t message_sum(const uint64_t *word, uint32_t n)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i + 8 <= n; i += 8)
		sum += ((word[i] + word[i + 1]) + (word[i + 2] + word[i + 3])) +
		       ((word[i + 4] + word[i + 5]) + (word[i + 6] + word[i + 7]));
	for (; i < n; i++)
		sum += word[i];
	return sum;
}

/* The sum of message seq, given that of message 0. */
ringq_inline uint64_t message_expected(uint32_t n, uint64_t sum_of_first, uint64_t seq)
{
	return sum_of_first + seq * ((n + 7) / 8);
}

ringq_inline void message_first(uint64_t *word, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		word[i] = i * UINT64_C(0x9e3779b97f4a7c15);
	message_write(word, n, 0);
}

#define BENCH_WORDS(type) ((uint32_t)(sizeof(type) / sizeof(uint64_t)))

/*
 * The four loops for one kind of queue and one type of message; to and from are where a
 * struct bench_queues *q has it.
 */
#define BENCH_LOOPS(name, type, to, from, send, recv, send_many, recv_many)		\
static void name##_produce(struct bench_run *run, void *queue, unsigned int me)	\
{											\
	struct bench_queues *q = queue;							\
	uint64_t seq = 0;								\
	type msg;									\
											\
	(void)me;									\
	message_first(msg.word, BENCH_WORDS(type));					\
	while (!bench_stopped(run)) {							\
		for (int i = 0; i < BENCH_BLOCK; i++) {					\
			message_write(msg.word, BENCH_WORDS(type), seq);		\
			while (send(to, &msg) < 0)					\
				if (bench_wait(run))					\
					return;						\
			seq++;								\
		}									\
	}										\
	bench_sent(run, seq);								\
}											\
static void name##_consume(struct bench_run *run, void *queue, unsigned int me)	\
{											\
	struct bench_queues *q = queue;							\
	uint64_t seq = 0, wrong = 0, first;						\
	double since = bench_now();							\
	bool all = false;								\
	type msg;									\
											\
	(void)me;									\
	message_first(msg.word, BENCH_WORDS(type));					\
	first = message_sum(msg.word, BENCH_WORDS(type));				\
	for (;;) {									\
		while (recv(from, &msg) <= 0) {						\
			if (all || bench_wait(run)) {					\
				bench_received(run, since, seq, 0, wrong);		\
				return;							\
			}								\
			all = bench_all_sent(run);					\
		}									\
		wrong += message_sum(msg.word, BENCH_WORDS(type)) !=			\
			 message_expected(BENCH_WORDS(type), first, seq);		\
		seq++;									\
	}										\
}											\
static void name##_produce_many(struct bench_run *run, void *queue, unsigned int me)	\
{											\
	struct bench_queues *q = queue;							\
	uint64_t seq = 0, i;								\
	int64_t n;									\
	type msg[BENCH_BURST];								\
											\
	(void)me;									\
	for (i = 0; i < BENCH_BURST; i++)						\
		message_first(msg[i].word, BENCH_WORDS(type));				\
	while (!bench_stopped(run)) {							\
		for (int k = 0; k < BENCH_BLOCK / BENCH_BURST; k++) {			\
			for (i = 0; i < BENCH_BURST; i++)				\
				message_write(msg[i].word, BENCH_WORDS(type), seq + i);	\
			for (i = 0; i < BENCH_BURST; i += n) {				\
				while ((n = send_many(to, msg + i, BENCH_BURST - i)) < 0) \
					if (bench_wait(run))				\
						return;					\
			}								\
			seq += BENCH_BURST;						\
		}									\
	}										\
	bench_sent(run, seq);								\
}											\
static void name##_consume_many(struct bench_run *run, void *queue, unsigned int me)	\
{											\
	struct bench_queues *q = queue;							\
	uint64_t seq = 0, wrong = 0, first;						\
	double since = bench_now();							\
	bool all = false;								\
	type msg[BENCH_BURST];								\
	int64_t n;									\
											\
	(void)me;									\
	message_first(msg[0].word, BENCH_WORDS(type));					\
	first = message_sum(msg[0].word, BENCH_WORDS(type));				\
	for (;;) {									\
		while ((n = recv_many(from, msg, BENCH_BURST)) <= 0) {			\
			if (all || bench_wait(run)) {					\
				bench_received(run, since, seq, 0, wrong);		\
				return;							\
			}								\
			all = bench_all_sent(run);					\
		}									\
		for (int64_t i = 0; i < n; i++)						\
			wrong += message_sum(msg[i].word, BENCH_WORDS(type)) !=		\
				 message_expected(BENCH_WORDS(type), first, seq + i);	\
		seq += n;								\
	}										\
}

#define BENCH_SIZE(size)								\
ringq_inline int ringq_##size##_try_send(struct ringq_##size##_producer *p,		\
					 const struct message_##size *msg)		\
{											\
	return ringq_##size##_send(p, msg, RINGQ_NOWAIT);				\
}											\
ringq_inline int ringq_##size##_try_recv(struct ringq_##size##_consumer *p,		\
					 struct message_##size *msg)			\
{											\
	return ringq_##size##_recv(p, msg, RINGQ_NOWAIT);				\
}											\
ringq_inline int64_t ringq_##size##_try_send_many(struct ringq_##size##_producer *p,	\
						  const struct message_##size *msgs,	\
						  uint64_t n)				\
{											\
	return ringq_##size##_send_many(p, msgs, n, RINGQ_NOWAIT);			\
}											\
ringq_inline int64_t ringq_##size##_try_recv_many(struct ringq_##size##_consumer *p,	\
						  struct message_##size *msgs,		\
						  uint64_t n)				\
{											\
	return ringq_##size##_recv_many(p, msgs, n, RINGQ_NOWAIT);			\
}											\
BENCH_LOOPS(bench_ringq_##size, struct message_##size, &q->producer[0].p##size,		\
	    &q->consumer[0].c##size, ringq_##size##_try_send, ringq_##size##_try_recv,	\
	    ringq_##size##_try_send_many, ringq_##size##_try_recv_many)			\
BENCH_LOOPS(bench_control_##size, struct message_##size, &q->control, &q->control,	\
	    control_##size##_send, control_##size##_recv,				\
	    control_##size##_send_many, control_##size##_recv_many)

BENCH_SIZE(8)
BENCH_SIZE(56)
BENCH_SIZE(1264)

static void bench_ringq_ping(struct bench_run *run, void *queue, unsigned int me)
{
	static struct bench_groups groups;
	struct bench_queues *q = queue;
	struct message_8 msg;
	uint64_t seq = 0;

	(void)me;
	bench_groups_start(&groups);
	do {
		for (int i = 0; i < BENCH_GROUP; i++) {
			msg.word[0] = seq;
			while (ringq_8_send(&q->producer[0].p8, &msg, RINGQ_NOWAIT) < 0)
				if (bench_wait(run))
					return;
			while (ringq_8_recv(&q->consumer[1].c8, &msg, RINGQ_NOWAIT) <= 0)
				if (bench_wait(run))
					return;
			run->wrong += msg.word[0] != ~seq;
			seq++;
		}
		bench_groups_add(&groups);
	} while (!bench_stopped(run));
	run->ns = bench_groups_end(&groups);
	bench_sent(run, seq);
}

static void bench_ringq_pong(struct bench_run *run, void *queue, unsigned int me)
{
	struct bench_queues *q = queue;
	struct message_8 msg;

	(void)me;
	for (;;) {
		while (ringq_8_recv(&q->consumer[0].c8, &msg, RINGQ_NOWAIT) <= 0)
			if (bench_wait(run) || bench_all_sent(run))
				return;
		msg.word[0] = ~msg.word[0];
		while (ringq_8_send(&q->producer[1].p8, &msg, RINGQ_NOWAIT) < 0)
			if (bench_wait(run))
				return;
	}
}

static void bench_control_ping(struct bench_run *run, void *queue, unsigned int me)
{
	struct bench_queues *q = queue;

	bench_lines_ping(run, &q->lines, me);
}

static void bench_control_pong(struct bench_run *run, void *queue, unsigned int me)
{
	struct bench_queues *q = queue;

	bench_lines_pong(run, &q->lines, me);
}

#define BENCH_SINGLY(bytes, messages)							\
	{										\
		.name = "singly", .size = bytes, .capacity = messages, .threads = { 1, 1 }, \
		.control = { bench_control_##bytes##_produce, bench_control_##bytes##_consume }, \
		.ringq = { bench_ringq_##bytes##_produce, bench_ringq_##bytes##_consume }, \
	}

#define BENCH_BURSTS(bytes, messages)							\
	{										\
		.name = "bursts", .size = bytes, .capacity = messages, .threads = { 1, 1 }, \
		.control = { bench_control_##bytes##_produce_many,			\
			     bench_control_##bytes##_consume_many },			\
		.ringq = { bench_ringq_##bytes##_produce_many,				\
			   bench_ringq_##bytes##_consume_many },			\
	}

static const struct bench_case bench_spsc_cases[] = {
	BENCH_SINGLY(8, 1 << 10),
	BENCH_SINGLY(8, 1 << 16),
	BENCH_SINGLY(56, 1 << 10),
	BENCH_SINGLY(56, 1 << 16),
	BENCH_SINGLY(1264, 1 << 10),
	BENCH_SINGLY(1264, 1 << 16),
	BENCH_BURSTS(8, 1 << 10),
	BENCH_BURSTS(8, 1 << 16),
	BENCH_BURSTS(56, 1 << 10),
	BENCH_BURSTS(56, 1 << 16),
	BENCH_BURSTS(1264, 1 << 10),
	BENCH_BURSTS(1264, 1 << 16),
	{
		.name = "trips", .size = 8, .capacity = 1 << 10, .threads = { 1, 1 },
		.round_trips = true,
		.control = { bench_control_ping, bench_control_pong },
		.ringq = { bench_ringq_ping, bench_ringq_pong },
	},
};

/* The next power of two that is not less than what the ring has, in the same pages. */
static int bench_open_control(struct bench_queues *q, const struct ringq_info *info)
{
	uint64_t capacity = 1, size;
	void *map;

	while (capacity < info->capacity)
		capacity <<= 1;
	size = ringq_round_up(capacity * info->elem_size, BENCH_HUGE);
	map = mmap(NULL, size + BENCH_HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	q->control_map = map;
	q->control_size = size + BENCH_HUGE;
	q->control.mask = capacity - 1;
	q->control.elems = (void *)ringq_round_up((uintptr_t)map, BENCH_HUGE);
	if (info->page_shift >= 21)
		madvise(q->control.elems, size, MADV_HUGEPAGE);
	memset(q->control.elems, 0, size);
	return 0;
}

static int bench_open_ring(struct bench_queues *q, int i, const struct ringq_opts *opts)
{
	int r = ringq_create(opts, &q->ring[i]);

	if (r < 0)
		return r;
	r = ringq_attach(q->ring[i], RINGQ_PRODUCER, &q->producer[i].p8.port);
	if (r < 0)
		return r;
	q->attached[i][RINGQ_PRODUCER] = true;
	r = ringq_attach(q->ring[i], RINGQ_CONSUMER, &q->consumer[i].c8.port);
	if (r < 0)
		return r;
	q->attached[i][RINGQ_CONSUMER] = true;
	return 0;
}

static void bench_spsc_close(void *queue)
{
	struct bench_queues *q = queue;

	for (int i = 0; i < 2; i++) {
		if (q->attached[i][RINGQ_PRODUCER])
			ringq_detach(&q->producer[i].p8.port);
		if (q->attached[i][RINGQ_CONSUMER])
			ringq_detach(&q->consumer[i].c8.port);
		if (q->ring[i])
			ringq_leave(q->ring[i]);
	}
	if (q->control_map)
		munmap(q->control_map, q->control_size);
	free(q);
}

static int bench_spsc_open(const struct bench_case *c, uint32_t memory, struct ringq_info *info,
			   void **queue)
{
	struct ringq_opts opts = {
		.size = sizeof(opts),
		.memory = memory,
		.discipline = RINGQ_SPSC,
		.elem_size = c->size,
		.capacity = c->capacity,
	};
	struct bench_queues *q = aligned_alloc(RINGQ_LINE_PAIR, ringq_round_up(sizeof(*q),
									    RINGQ_LINE_PAIR));
	int r;

	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	r = bench_open_ring(q, 0, &opts);
	if (r == 0 && c->round_trips)
		r = bench_open_ring(q, 1, &opts);
	if (r == 0) {
		info->size = sizeof(*info);
		r = ringq_get_info(q->ring[0], info);
	}
	if (r == 0)
		r = bench_open_control(q, info);
	if (r < 0)
		bench_spsc_close(q);
	else
		*queue = q;
	return r;
}

static void bench_spsc_clear(void *queue)
{
	struct bench_queues *q = queue;

	memset(&q->lines, 0, sizeof(q->lines));
}

const struct bench_set bench_spsc = {
	.name = "spsc",
	.cases = bench_spsc_cases,
	.count = sizeof(bench_spsc_cases) / sizeof(bench_spsc_cases[0]),
	.open = bench_spsc_open,
	.clear = bench_spsc_clear,
	.close = bench_spsc_close,
};
