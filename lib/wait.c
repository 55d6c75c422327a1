// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Sleeping and waking: the half of ringq/wait.h that is not on the fast path. The port's
 * strategy comes first, in every memory. Sleeping on the device is the module's (kmod/wait.c); here
 * is what takes its place on memfd and private memory.
 *
 * Every port has a futex word, wake, in its page, and the attention word that the other
 * side reads has 56 bits, each for a group of ports (that of page i is in group i % 56).
 *
 *   S1a  wake = ASLEEP (seq_cst)           K1  word & group: look at the ports of the group
 *   S1b  word |= group (seq_cst)           K2  CAS wake: ASLEEP -> KICKED; who wins...
 *   S2   heavy barrier                     K3  ...calls futex(FUTEX_WAKE), for all who wait there
 *   S3   ringq_ready() or an end? then S5  K4  settle the group
 *   S4   futex(FUTEX_WAIT, ASLEEP)
 *   S5   wake = AWAKE; settle the group
 *   S6   timed out, or a signal: look again, for what came in the last moment counts
 *
 * Settling leaves a group alone in which a port is ASLEEP (T1). Else it clears the group's bit
 * (T2) and looks again (T3): a port that arms meanwhile either is seen by this look (its S1a came
 * before), or sets the bit itself afterwards (its S1b comes later). One that is seen has been
 * without its bit for a moment, and a publisher, of whom there may be several, may have passed in
 * it: so it is given its bit back (T4) and kicked (T5), to look for itself. So a bit may be set
 * with nobody asleep, at the price of a vain look, but is never clear for long with somebody
 * asleep; only a settler that dies between the two leaves it so, and then the agents, which see the
 * death, wake everybody.
 *
 * A port that is polled is POLLED instead of ASLEEP, and the event bridge waits at its word
 * (bridge.c). A kick goes to all of these, beside the sleepers that it is meant for.
 *
 * The look of S3 includes the ring's epoch: a port that has attached meanwhile must be
 * watched by the agent before anybody relies on being told of its death.
 *
 * At most one system call wakes a sleeper: K2 has one winner. A port that is KICKED and
 * not yet running does not take a second kick. If the winner dies before K3, the death does.
 *
 * Memory without the module is writable by all members, who trust each other not to
 * scribble; wild values here cost lost or vain wake-ups, never an access out of bounds.
 */
#include "internal.h"

#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <ringq/backoff.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * How long PHASED spins before it sleeps: looks, each with a pause between. A hand-over between
 * sleepers costs tens of microseconds, so about as much spinning is not wasted, if it is not in
 * vain: twice as many when something came meanwhile, half as many when nothing did. On one CPU it
 * always is, because the other side cannot run meanwhile.
 */
#define RINGQ_SPINS_MIN	32
#define RINGQ_SPINS_MAX	1024
#define RINGQ_YIELDS	2

/* For ringq/ready.h. Offsets of the region, but that lanes may be mapped twice each. */
ringq_inline __u64 ringq_word_at(const void *memory, __u64 offset)
{
	const struct ringq_port *p = memory;
	const struct ringq_layout *l = &p->ring->layout;
	const unsigned char *at = p->base + offset;

	if (offset >= l->data && ringq_is_mirrored(&p->ring->geometry))
		at += (offset - l->data) / l->lane_data * l->lane_data;
	return ringq_load_acquire((const __u64 *)at);
}

#include <ringq/ready.h>

static uint32_t ringq_spins_max;
static int ringq_barrier_error[2] = { -ENOSYS, -ENOSYS };	/* shared, private */

static int ringq_membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0) < 0 ? -errno : 0;
}

/*
 * Registering takes tens of milliseconds once a process has several threads, and must have
 * happened before the first message: so it is done when the library is loaded. It survives
 * fork; exec loads the library again.
 */
__attribute__((constructor)) static void ringq_wait_init(void)
{
	cpu_set_t cpus;

	ringq_barrier_error[0] = ringq_membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
	ringq_barrier_error[1] = ringq_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	ringq_spins_max = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
			  CPU_COUNT(&cpus) == 1 ? 0 : RINGQ_SPINS_MAX;
}

int ringq_barrier_available(uint32_t memory)
{
	return ringq_barrier_error[memory == RINGQ_PRIVATE];
}

/* S2 */
void ringq_heavy_barrier(const struct ringq *ring)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!(ring->geometry.flags & RINGQ_FENCE))
		ringq_membarrier(ring->memory == RINGQ_PRIVATE ?
					 MEMBARRIER_CMD_PRIVATE_EXPEDITED :
					 MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

int64_t ringq_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static struct ringq_view ringq_view_of(const struct ringq_port *p)
{
	return ringq_view_at(&p->ring->geometry, &p->ring->layout, p, p->role, p->index);
}

/*
 * Are there need messages (consumer), is there room for need (producer)? Right for garbage
 * too: it then says yes, and who comes to fetch finds the corruption.
 */
bool ringq_ready(const struct ringq_port *p, uint64_t need)
{
	const struct ringq_view view = ringq_view_of(p);

	return ringq_is_ready(&view, need);
}

uint64_t ringq_slowest(const struct ringq_port *p, uint64_t pos)
{
	const struct ringq_view view = ringq_view_of(p);

	return ringq_view_slowest(&view, pos);
}

bool ringq_published(const struct ringq_port *p, uint32_t lane, uint64_t pos)
{
	const struct ringq_view view = ringq_view_of(p);

	return ringq_view_published(&view, lane, pos);
}

bool ringq_drained(const struct ringq_port *p)
{
	const struct ringq_view view = ringq_view_of(p);

	return ringq_view_drained(&view);
}

static bool ringq_done_waiting(const struct ringq_port *p, uint64_t need, uint64_t ends)
{
	struct ringq_view view = ringq_view_of(p);

	view.drain = !(ends & RINGQ_CLOSED);
	return ringq_load_acquire(p->attention) & ends || ringq_is_ready(&view, need);
}

bool ringq_spin(struct ringq_port *p, uint64_t need, uint64_t ends)
{
	uint32_t spins = p->spins < RINGQ_SPINS_MIN ? RINGQ_SPINS_MIN : p->spins, i;

	for (i = 0; i < spins && i < ringq_spins_max; i++) {
		if (ringq_done_waiting(p, need, ends)) {
			p->spins = spins < RINGQ_SPINS_MAX ? 2 * spins : RINGQ_SPINS_MAX;
			return true;
		}
		ringq_pause();
	}
	p->spins = spins / 2;
	for (i = 0; i < RINGQ_YIELDS; i++) {
		sched_yield();
		if (ringq_done_waiting(p, need, ends))
			return true;
	}
	return false;
}

void ringq_backoff_of(const struct ringq_port *p, struct ringq_backoff *b)
{
	static const enum ringq_backoff_strategy strategies[] = {
		[RINGQ_STRATEGY_PHASED] = RINGQ_BACKOFF_SLEEP,
		[RINGQ_STRATEGY_BLOCK] = RINGQ_BACKOFF_SLEEP,
		[RINGQ_STRATEGY_SPIN] = RINGQ_BACKOFF_SPIN,
		[RINGQ_STRATEGY_YIELD] = RINGQ_BACKOFF_YIELD,
		[RINGQ_STRATEGY_SLEEP] = RINGQ_BACKOFF_SLEEP,
	};

	ringq_backoff_init(b, strategies[p->strategy]);
}

/* SPIN, YIELD, SLEEP: never armed. */
static int ringq_wait_awake(struct ringq_port *p, uint64_t need, uint64_t ends, int64_t timeout)
{
	struct ringq_backoff b;
	int64_t deadline = 0;

	ringq_backoff_of(p, &b);
	while (!ringq_done_waiting(p, need, ends)) {
		timeout = ringq_time_left(&deadline, timeout);
		if (timeout == 1)
			return -ETIMEDOUT;
		/* Somebody may have come whose death is to be told. */
		p->ring->backend->idle(p);
		ringq_backoff_wait(&b);
	}
	return 0;
}

/* 0 when it is worth looking again, else -EAGAIN, -ETIMEDOUT, -EINTR. */
int ringq_wait(struct ringq_port *p, uint64_t need, uint64_t ends, int64_t timeout)
{
	const struct ringq_backend *backend = p->ring->backend;
	int r;

	if (!timeout) {
		backend->idle(p);
		return backend->arm(p, need, ends) ? 0 : -EAGAIN;
	}
	if (p->strategy >= RINGQ_STRATEGY_SPIN)
		return ringq_wait_awake(p, need, ends, timeout);
	if (p->strategy == RINGQ_STRATEGY_PHASED && ringq_spin(p, need, ends))
		return 0;
	backend->idle(p);							/* N1 */
	r = backend->sleep(p, need, ends, timeout);
	/* S6: what came in the last moment counts. */
	return r < 0 && ringq_done_waiting(p, need, ends) ? 0 : r;
}

int ringq_try_ended(struct ringq_port *p, uint64_t need)
{
	ringq_wait(p, need, RINGQ_ENDED, RINGQ_NOWAIT);
	return -EAGAIN;
}

RINGQ_PUBLIC void ringq_attend(struct ringq_port *p, uint64_t count)
{
	uint64_t word = ringq_attention(p);

	if (word & RINGQ_FENCED) {
		atomic_thread_fence(memory_order_seq_cst);			/* P3 */
		/* P4 */
		word = ringq_load_relaxed(ringq_word_of(p->ring, p->base, p->role));
	}
	/* What a broadcast publishes is for all of them. */
	if (p->role == RINGQ_PRODUCER && ringq_is_broadcast(p->ring->geometry.discipline))
		count = UINT64_MAX;
	if (!(word & RINGQ_ARMED))
		return;
	p->ring->backend->kick(p, ringq_other_role(p->role), count);
	/* P5, looked at afterwards: who took the kick has said before if it may be lost on him. */
	if (ringq_claims(p->ring->geometry.discipline) &&
	    ringq_load_acquire(&ringq_side_of(p->ring, p->base, ringq_other_role(p->role))->wide))
		p->ring->backend->kick(p, ringq_other_role(p->role), UINT64_MAX);
}

static long ringq_futex(const struct ringq *ring, __u32 *word, int op, uint32_t value,
			const struct timespec *timeout)
{
	if (ring->memory == RINGQ_PRIVATE)
		op |= FUTEX_PRIVATE_FLAG;
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static __u32 *ringq_wake_word(const struct ringq *ring, uint32_t index)
{
	return &ringq_page(ring, ring->base, index)->wake;
}

/* True: this kick has woken who is in that state. */
static bool ringq_kick_port(const struct ringq *ring, __u32 *wake, uint32_t state)
{
	if (!__atomic_compare_exchange_n(wake, &state, RINGQ_KICKED, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))				/* K2 */
		return false;
	ringq_delay();
	ringq_futex(ring, wake, FUTEX_WAKE, INT_MAX, NULL);				/* K3 */
	return true;
}

/*
 * Kicks all ports of a role in one group that are polled, and up to count that sleep; returns how
 * many of these.
 */
static uint64_t ringq_kick_group(const struct ringq *ring, uint32_t role, uint32_t group,
				 uint64_t count)
{
	uint64_t kicked = 0;
	uint32_t i;

	for (i = group; i < ringq_ports(&ring->geometry); i += RINGQ_GROUPS) {
		__u32 *wake = ringq_wake_word(ring, i);

		if (ringq_load_relaxed(&ringq_page(ring, ring->base, i)->role) != role)
			continue;
		if (!ringq_kick_port(ring, wake, RINGQ_POLLED) && kicked < count)
			kicked += ringq_kick_port(ring, wake, RINGQ_ASLEEP);
	}
	return kicked;
}

static bool ringq_is_armed(const struct ringq *ring, uint32_t index)
{
	uint32_t wake = __atomic_load_n(ringq_wake_word(ring, index), __ATOMIC_SEQ_CST);

	return wake == RINGQ_ASLEEP || wake == RINGQ_POLLED;
}

/* Is a port of this role in the group armed? */
static bool ringq_group_sleeps(const struct ringq *ring, uint32_t role, uint32_t group)
{
	uint32_t i;

	for (i = group; i < ringq_ports(&ring->geometry); i += RINGQ_GROUPS) {
		if (ringq_load_relaxed(&ringq_page(ring, ring->base, i)->role) == role &&
		    ringq_is_armed(ring, i))
			return true;
	}
	return false;
}

/* Clears a group's bit, in the word that tells of sleepers of this role, if nobody needs it. */
static void ringq_settle(const struct ringq *ring, uint32_t role, uint32_t group)
{
	__u64 *word = ringq_word_of(ring, ring->base, ringq_other_role(role));
	uint64_t bit = UINT64_C(1) << group;

	if (ringq_group_sleeps(ring, role, group))				/* T1 */
		return;
	ringq_delay();
	__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);			/* T2 */
	ringq_delay();
	if (!ringq_group_sleeps(ring, role, group))				/* T3 */
		return;
	ringq_delay();
	__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);				/* T4 */
	ringq_delay();
	ringq_kick_group(ring, role, group, UINT64_MAX);			/* T5 */
}

void ringq_futex_kick(struct ringq_port *p, uint32_t role, uint64_t count)
{
	const struct ringq *ring = p->ring;
	/* K1 */
	uint64_t groups = ringq_load_relaxed(ringq_word_of(ring, ring->base,
							   ringq_other_role(role))) & RINGQ_ARMED;

	while (groups) {
		uint32_t group = __builtin_ctzll(groups);

		groups &= groups - 1;
		count -= ringq_kick_group(ring, role, group, count);
		ringq_settle(ring, role, group);					/* K4 */
	}
}

/*
 * After a death, a close, an attach: everybody looks again. Also who is KICKED already: whoever
 * did that may have died before K3.
 */
void ringq_futex_wake_all(struct ringq *ring)
{
	uint32_t i, role, group;

	for (i = 0; i < ringq_ports(&ring->geometry); i++) {
		__u32 *wake = ringq_wake_word(ring, i);

		/* A1 */
		if (!ringq_kick_port(ring, wake, RINGQ_ASLEEP) &&
		    !ringq_kick_port(ring, wake, RINGQ_POLLED) &&
		    ringq_load_relaxed(wake) == RINGQ_KICKED)
			ringq_futex(ring, wake, FUTEX_WAKE, INT_MAX, NULL);	/* A2 */
	}
	for (role = RINGQ_PRODUCER; role <= RINGQ_CONSUMER; role++) {
		for (group = 0; group < RINGQ_GROUPS && group < ringq_ports(&ring->geometry);
		     group++)
			ringq_settle(ring, role, group);			/* A3 */
	}
}

static uint32_t ringq_group_of(const struct ringq_port *p)
{
	return ringq_page_of(&p->ring->geometry, p->role, p->index) % RINGQ_GROUPS;
}

bool ringq_futex_arm(struct ringq_port *p, uint64_t need, uint64_t ends, uint32_t how)
{
	const struct ringq *ring = p->ring;
	__u64 *word = ringq_word_of(ring, ring->base, ringq_other_role(p->role));

	__atomic_store_n(&p->page->wake, how, __ATOMIC_SEQ_CST);			/* S1a */
	ringq_delay();
	__atomic_fetch_or(word, UINT64_C(1) << ringq_group_of(p), __ATOMIC_SEQ_CST);	/* S1b */
	ringq_delay();
	ringq_heavy_barrier(ring);							/* S2 */
	ringq_delay();
	return !ringq_done_waiting(p, need, ends) && !ringq_places_changed(ring);	/* S3 */
}

void ringq_futex_disarm(struct ringq_port *p)
{
	ringq_delay();
	__atomic_store_n(&p->page->wake, RINGQ_AWAKE, __ATOMIC_SEQ_CST);		/* S5 */
	ringq_delay();
	ringq_settle(p->ring, p->role, ringq_group_of(p));
}

int ringq_futex_sleep(struct ringq_port *p, uint64_t need, uint64_t ends, int64_t timeout)
{
	struct timespec ts = { timeout / 1000000000, timeout % 1000000000 };
	int r = 0;

	ringq_bridge_disarm(p);
	if (ringq_futex_arm(p, need, ends, RINGQ_ASLEEP) &&
	    ringq_futex(p->ring, &p->page->wake, FUTEX_WAIT, RINGQ_ASLEEP,
			timeout < 0 ? NULL : &ts) < 0 && errno != EAGAIN)		/* S4 */
		r = -errno;
	ringq_futex_disarm(p);
	return r;
}
