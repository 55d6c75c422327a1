// SPDX-License-Identifier: GPL-2.0-only
/*
 * A full barrier on the CPUs that run the ports of one side, on behalf of a sleeper of the other
 * side (S2 of wait.c).
 *
 * A CPU that runs none of their processes when the masks are read either ran one before: then
 * leaving the mask ordered P1 before S3; or it comes to run one later: then entering the mask
 * orders S1 before P2. Both are locked instructions on x86, which is the only architecture that
 * this is done on.
 *
 * Ports come and go meanwhile. The masks are joined under the ring's lock, where no port that is
 * counted can go; the other CPUs are interrupted without it, when nothing of the ports is used any
 * more. Who has no mapping yet is between no P1 and P2, and makes one under the ring's lock, after
 * S1. The joint mask is the CPU's own, because nothing can be allocated by who falls asleep, and a
 * mask of all CPUs that a kernel can have is too much for a stack.
 */
#include <linux/cpumask.h>
#include <linux/mm_types.h>
#include <linux/percpu.h>
#include <linux/smp.h>

#include "ringq.h"

static struct cpumask __percpu *ringq_cpus;

int ringq_barrier_init(void)
{
	ringq_cpus = alloc_percpu(struct cpumask);
	return ringq_cpus ? 0 : -ENOMEM;
}

void ringq_barrier_exit(void)
{
	free_percpu(ringq_cpus);
}

static void ringq_ipi(void *unused)
{
	smp_mb(); /* S2, between P1 and S3 or between S1 and P2, whichever is still to come */
}

static void ringq_cpus_of(struct ringq_ring *ring, u32 role, struct cpumask *cpus)
{
	const struct ringq_row *row = &ring->rows[role];
	u32 i;

	cpumask_clear(cpus);
	spin_lock(&ring->lock);
	for (i = 0; i < row->nr; i++) {
		const struct ringq_port *port = row->places[i].port;

		if (port && port->life == RINGQ_LIVE)
			cpumask_or(cpus, cpus, mm_cpumask(port->mm));
	}
	spin_unlock(&ring->lock);
}

/* S2. In a ring that is RINGQ_FENCE the ports of the role make their own. */
void ringq_barrier(struct ringq_ring *ring, u32 role)
{
	struct cpumask *cpus;

	smp_mb(); /* between S1, and reading the masks or S3 */
	if (ring->geometry.flags & RINGQ_FENCE)
		return;
	cpus = get_cpu_ptr(ringq_cpus);
	ringq_cpus_of(ring, role, cpus);
	smp_call_function_many(cpus, ringq_ipi, NULL, true);
	put_cpu_ptr(ringq_cpus);
}
