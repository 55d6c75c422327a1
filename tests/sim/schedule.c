// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who goes on, and for how long: actors are coroutines in one thread, and what one of them does
 * between two points (sim.h) the others see as a whole, in the order in which it was done. So a
 * round is one interleaving, and in one build the same seed gives the same one. (What a CPU makes
 * of an order is not seen here: tests/litmus.)
 *
 * At a point who runs is at times switched away from, stopped for long, or killed: then it never
 * goes on. What a process loses when it dies, it loses here too: the lock for attaching.
 *
 * What would make the library wait for something that is not an actor is replaced at link time
 * (--wrap): who finds the lock taken, or gives up its CPU, lets others go on; time stands still.
 */
#include "sim.h"
#include "../../lib/internal.h"

#include <setjmp.h>
#include <stdlib.h>
#include <time.h>

#define STACK		(128 * 1024)
#define LONG		300		/* turns, for who is stopped */
#define MOST_POINTS	20000000	/* of a round; some ten thousand are usual */

static unsigned char stacks[ACTORS][STACK] __attribute__((aligned(16)));
static jmp_buf scheduler;
static struct actor *lock_owner;
static uint64_t state;

void sim_seed(uint64_t seed)
{
	/* splitmix64: neighbours have nothing in common. */
	seed += UINT64_C(0x9e3779b97f4a7c15);
	seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
	state = (seed ^ seed >> 31) | 1;
}

uint64_t sim_random(uint64_t below)
{
	/* xorshift64; its low bits are the weak ones. */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

static bool one_in(uint32_t n)
{
	return !sim_random(n);
}

static void enter_body(void)
{
	sim.running->body(sim.running);
	sim.running->over = true;
	sim_yield();
	abort();
}

void sim_start(struct actor *actor, void (*body)(struct actor *actor))
{
	actor->body = body;
	actor->begun = false;
	getcontext(&actor->context);
	actor->context.uc_stack.ss_sp = stacks[actor - sim.actor];
	actor->context.uc_stack.ss_size = STACK;
	makecontext(&actor->context, enter_body, 0);
}

/* Once a coroutine has its stack, jumps do: they take no system call, which swapcontext() does. */
void sim_yield(void)
{
	if (!_setjmp(sim.running->place_in_body))
		_longjmp(scheduler, 1);
}

static void resume(struct actor *actor)
{
	ucontext_t unused;

	sim.running = actor;
	sim_trace(actor, "goes on");
	if (!_setjmp(scheduler)) {
		if (actor->begun)
			_longjmp(actor->place_in_body, 1);
		actor->begun = true;
		swapcontext(&unused, &actor->context);
	}
	sim.running = NULL;
}

void sim_pause(uint32_t most)
{
	sim.running->stopped = 1 + sim_random(most);
	sim_yield();
}

void sim_turn(void)
{
	uint32_t first = sim_random(sim.actors), i;
	struct actor *actor;

	for (i = 0; i < sim.actors; i++) {
		actor = &sim.actor[(first + i) % sim.actors];
		if (actor->over)
			continue;
		if (actor->stopped) {
			actor->stopped--;
			continue;
		}
		resume(actor);
		if (actor->dies && lock_owner == actor)
			pthread_mutex_unlock(&sim.ring->mutex);
		if (actor->dies)
			actor_dies(actor);
		actor->dies = false;
		return;
	}
}

/* In a claim, from C2 of ringq/claim.h on, or a repair: what is rare elsewhere is common there. */
static bool is_at_risk(const struct actor *actor)
{
	const struct ringq_port *p = &actor->port;
	uint64_t word = p->page ? p->page->claim : 0;

	return actor->place || (ringq_claim_state(word) == RINGQ_TRY && !p->claims.biased &&
				(int64_t)(ringq_claim_pos(word, p->pos) - p->pos) >= 0);
}

void ringq_delay(void)
{
	struct actor *a = sim.running;
	bool risk;

	if (++sim.points > MOST_POINTS)
		sim_fail("no end is to be seen");
	if (!a || sim.quiet)
		return;
	risk = is_at_risk(a);
	if (a->mortal && sim.deaths_left && one_in(risk ? sim.risk_kills : sim.kills)) {
		sim.deaths_left--;
		a->dies = true;
	}
	if (a->dies || one_in(sim.switches))
		sim_yield();
	else if (one_in(risk ? sim.risk_stops : sim.stops))
		sim_pause(LONG);
}

static bool is_attach_lock(const pthread_mutex_t *mutex)
{
	return sim.ring && mutex == &sim.ring->mutex;
}

/* What the linker makes of calls of those names, and of __real_ names. */
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_sched_yield(void);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	int r = __real_pthread_mutex_trylock(mutex);

	if (!r && is_attach_lock(mutex))
		lock_owner = sim.running;
	return r;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	while (__wrap_pthread_mutex_trylock(mutex))
		__wrap_sched_yield();
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (is_attach_lock(mutex))
		lock_owner = NULL;
	return __real_pthread_mutex_unlock(mutex);
}

int __wrap_sched_yield(void)
{
	if (sim.running)
		sim_yield();
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	*ts = (struct timespec){ .tv_sec = 1 };
	return 0;
}

int64_t sim_clock(void)
{
	struct timespec ts;

	__real_clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}
