/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* How soon a death is known. */
#ifndef BENCH_DEATH_H
#define BENCH_DEATH_H

#include <stdbool.h>
#include <stdint.h>

struct bench_death {
	uint32_t memory;	/* enum ringq_memory, not RINGQ_PRIVATE */
	unsigned int kills;	/* of each row */
	bool json;
};

/* Measures and prints. Returns 0, or a negative errno, having said what happened. */
int bench_death(const struct bench_death *b);

#endif /* BENCH_DEATH_H */
