// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What happens between two steps of a protocol, in builds for the soak: mostly nothing; now and
 * then as long as a line takes from one CPU to another, or a thread is off its CPU, or sleeps.
 */
#include "soak.h"

#include <sched.h>
#include <time.h>

static __thread uint64_t state;

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
