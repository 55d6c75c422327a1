/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the tests of MPSC, SPMC and MPMC with threads share. A hang is a failure: the alarm ends the
 * test.
 */
#ifndef TESTS_UNIT_CLAIMS_H
#define TESTS_UNIT_CLAIMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ringq.h>

#define LIMIT 120	/* seconds for all of them; a second or two is usual */
#define THREADS 4
#ifdef __SANITIZE_THREAD__
#define EACH 500	/* messages of a producer */
#else
#define EACH 6000
#endif
#define WAIT (RINGQ_PRODUCER_WAIT | RINGQ_CONSUMER_WAIT)

/* Its positions are soon beyond those that a claim word tells. */
static inline struct ringq *make(uint32_t discipline, uint32_t memory, uint32_t flags, size_t elem_size,
			  uint64_t capacity)
{
	const struct ringq_opts opts = {
		.size = sizeof(opts), .memory = memory, .discipline = discipline, .flags = flags,
		.elem_size = elem_size, .capacity = capacity, .first = (1ull << 50) - 10 * EACH,
		.producers = discipline == RINGQ_SPMC ? 1 : THREADS,
		.consumers = discipline == RINGQ_MPSC ? 1 : THREADS,
	};
	struct ringq *ring = NULL;

	assert_int_equal(ringq_create(&opts, &ring), 0);
	return ring;
}

#endif /* TESTS_UNIT_CLAIMS_H */
