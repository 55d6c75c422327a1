/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the tests of LOSSY and LATEST share: rings, and messages that tell by their contents which
 * they are, so that a torn one is seen.
 */
#ifndef TESTS_BROADCAST_H
#define TESTS_BROADCAST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq.h>
#include <stdbool.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIRST ((1ull << 32) - 100)

/* A line of several, of one, and elements of several lines. */
static const size_t sizes[] = { 1, 3, 8, 24, 29, 56, 57, 200, 1264 };

static inline uint64_t capacity_of(const struct ringq *ring)
{
	struct ringq_info info = { .size = sizeof(info) };

	assert_int_equal(ringq_get_info(ring, &info), 0);
	return info.capacity;
}

static inline uint64_t per_slot(size_t elem_size)
{
	return elem_size <= 56 ? 56 / elem_size : 1;
}

static inline struct ringq *make(uint32_t discipline, size_t elem_size, uint64_t capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = RINGQ_PRIVATE, .discipline = discipline,
		.elem_size = elem_size, .capacity = capacity, .first = FIRST, .consumers = 5,
		.flags = RINGQ_PRODUCER_WAIT,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

static inline void attach(struct ringq *ring, enum ringq_role role, struct ringq_port *port)
{
	assert_int_equal(ringq_attach(ring, role, port), 0);
}

static inline void attach_with(struct ringq *ring, uint32_t flags, uint32_t stride, uint32_t phase,
			struct ringq_port *port)
{
	const struct ringq_attach_opts opts = {
		.size = sizeof(opts), .flags = flags, .stride = stride, .phase = phase,
	};

	assert_int_equal(ringq_attach_with(ring, RINGQ_CONSUMER, &opts, port), 0);
}

/* The i-th eight bytes of message seq; the first are its number. */
static inline uint64_t word_of(uint64_t seq, size_t i)
{
	return seq + i * 0x9e3779b97f4a7c15;
}

/* Quick, or a producer would spend its time here, and overrun nobody. */
static inline void fill(void *msg, size_t size, uint64_t seq)
{
	unsigned char *to = msg;
	uint64_t word;
	size_t i;

	for (i = 0; i < size / 8; i++) {
		word = word_of(seq, i);
		memcpy(to + i * 8, &word, 8);
	}
	word = word_of(seq, i);
	memcpy(to + i * 8, &word, size % 8);
}

static inline bool is_whole(const void *msg, size_t size, uint64_t seq)
{
	const unsigned char *from = msg;
	uint64_t word, wrong = 0;
	size_t i;

	for (i = 0; i < size / 8; i++) {
		memcpy(&word, from + i * 8, 8);
		wrong |= word ^ word_of(seq, i);
	}
	word = word_of(seq, i);
	return !wrong && memcmp(from + i * 8, &word, size % 8) == 0;
}

static inline void check_message(const void *msg, size_t size, uint64_t seq)
{
	if (!is_whole(msg, size, seq))
		fail_msg("message %llu of %zu bytes: another, or torn", (unsigned long long)seq,
			 size);
}

static inline void send_range(struct ringq_port *out, uint64_t from, uint64_t to)
{
	unsigned char msg[out->elem_size];

	for (; from < to; from++) {
		fill(msg, sizeof(msg), from);
		assert_int_equal(ringq_send(out, msg, RINGQ_NOWAIT), 1);
	}
}

static inline void recv_range(struct ringq_port *in, uint64_t from, uint64_t to, uint64_t stride)
{
	unsigned char msg[in->elem_size];

	for (; from < to; from += stride) {
		assert_int_equal(ringq_recv(in, msg, RINGQ_NOWAIT), 1);
		check_message(msg, sizeof(msg), from);
	}
	assert_int_equal(ringq_recv(in, msg, RINGQ_NOWAIT), -EAGAIN);
}

/* Where a reader that was overrun goes on after n messages: what ringq/broadcast.h says. */
static inline uint64_t goes_on_at(uint64_t n, uint64_t capacity, size_t elem_size)
{
	uint64_t each = per_slot(elem_size);
	uint64_t end = (FIRST + n + each - 1) / each * each - FIRST;
	uint64_t at = end - capacity + capacity / 4;

	return at < n ? at : n;
}

#endif /* TESTS_BROADCAST_H */
