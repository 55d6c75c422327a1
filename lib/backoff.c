// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Pauses that grow: ringq/backoff.h. */
#include "internal.h"

#include <ringq/backoff.h>
#include <sched.h>
#include <time.h>

#define RINGQ_SPIN_STEPS	6	/* doublings of the spin: 1 to 64 pauses */
#define RINGQ_YIELD_STEPS	10	/* of PHASED, between spinning and sleeping */
#define RINGQ_SLEEP_STEPS	10	/* doublings of the sleep: 1 to 1024 us */

static int ringq_backoff_spin(uint32_t step)
{
	uint32_t most = step < RINGQ_SPIN_STEPS ? step : RINGQ_SPIN_STEPS, i;

	for (i = 0; i < 1u << most; i++)
		ringq_pause();
	return step >= RINGQ_SPIN_STEPS;
}

static int ringq_backoff_sleep(uint32_t step)
{
	uint32_t most = step < RINGQ_SLEEP_STEPS ? step : RINGQ_SLEEP_STEPS;
	const struct timespec ts = { .tv_nsec = 1000l << most };

	nanosleep(&ts, NULL);
	return step >= RINGQ_SLEEP_STEPS;
}

static int ringq_backoff_phased(uint32_t step)
{
	if (step <= RINGQ_SPIN_STEPS) {
		ringq_backoff_spin(step);
		return 0;
	}
	step -= RINGQ_SPIN_STEPS + 1;
	if (step >= RINGQ_YIELD_STEPS)
		return ringq_backoff_sleep(step - RINGQ_YIELD_STEPS);
	sched_yield();
	return 0;
}

RINGQ_PUBLIC int ringq_backoff_wait(struct ringq_backoff *b)
{
	uint32_t step = b->step;

	/* It must not begin again. */
	if (step < UINT32_MAX)
		b->step++;
	switch (b->strategy) {
	case RINGQ_BACKOFF_SPIN:
		return ringq_backoff_spin(step);
	case RINGQ_BACKOFF_YIELD:
		sched_yield();
		return 1;
	case RINGQ_BACKOFF_SLEEP:
		return ringq_backoff_sleep(step);
	default:
		return ringq_backoff_phased(step);
	}
}
