// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What happens between two steps of a protocol, in builds for the soak: mostly nothing; now and
 * then as long as a line takes from one CPU to another, or a thread is off its CPU, or sleeps.
 */
#include "soak.h"

#include <sched.h>
#include <time.h>

static __thread uint64_t state;

int64_t soak_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void soak_seed(uint64_t seed)
{
	/* splitmix64: neighbours have nothing in common. */
	seed += UINT64_C(0x9e3779b97f4a7c15);
	seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
	state = (seed ^ seed >> 31) | 1;
}

uint64_t soak_random(uint64_t below)
{
	if (!state)
		state = (uintptr_t)&state ^ soak_now();
	/* xorshift64 */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

#ifdef RINGQ_DELAYS
void ringq_delay(void)
{
	const struct timespec ts = { .tv_nsec = 50000 };
	uint64_t dice = soak_random(4096), i;

	if (dice >= 512)
		return;
	if (dice >= 32) {
		for (i = soak_random(64); i; i--)
			ringq_pause();
	} else if (dice >= 4) {
		sched_yield();
	} else {
		nanosleep(&ts, NULL);
	}
}
#endif
