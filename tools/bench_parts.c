// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The cases of `ringq bench parts`: what a part of ringq's fast path costs, by itself without it
 * as the control, in the same ring.
 */
#include "bench_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

PARTS_LOOPS(parts_whole, parts_spsc_send, parts_spsc_recv)

#define PARTS_CASE(messages)								\
	{										\
		.name = "attention", .size = sizeof(uint64_t), .capacity = messages,	\
		.threads = { 1, 1 },							\
		.control = { parts_bare_produce, parts_bare_consume },			\
		.ringq = { parts_whole_produce, parts_whole_consume },			\
	}

static const struct bench_case parts_cases[] = {
	PARTS_CASE(1 << 10),
	PARTS_CASE(1 << 16),
};

static void parts_clear(void *queue)
{
	(void)queue;
}

static void parts_close(void *queue)
{
	struct parts *q = queue;

	if (q->attached[RINGQ_PRODUCER])
		ringq_detach(&q->out.port);
	if (q->attached[RINGQ_CONSUMER])
		ringq_detach(&q->in.port);
	ringq_leave(q->ring);
	free(q);
}

static int parts_attach(struct parts *q)
{
	int r = parts_spsc_attach_producer(q->ring, &q->out);

	q->attached[RINGQ_PRODUCER] = r == 0;
	if (r == 0)
		r = parts_spsc_attach_consumer(q->ring, &q->in);
	q->attached[RINGQ_CONSUMER] = r == 0;
	return r;
}

static int parts_open(const struct bench_case *c, uint32_t memory, struct ringq_info *info,
		      void **queue)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .elem_size = c->size,
		.capacity = c->capacity,
	};
	struct parts *q = aligned_alloc(RINGQ_LINE_PAIR, ringq_round_up(sizeof(*q),
									RINGQ_LINE_PAIR));
	int r;

	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	r = ringq_create(&opts, &q->ring);
	if (r == 0)
		r = parts_attach(q);
	if (r == 0) {
		info->size = sizeof(*info);
		r = ringq_get_info(q->ring, info);
	}
	if (r < 0)
		parts_close(q);
	else
		*queue = q;
	return r;
}

const struct bench_set bench_parts = {
	.name = "parts",
	.cases = parts_cases,
	.count = sizeof(parts_cases) / sizeof(parts_cases[0]),
	.open = parts_open,
	.clear = parts_clear,
	.close = parts_close,
};
