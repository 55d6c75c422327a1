// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * For `ringq bench parts`: ringq's own MPMC, compiled a second time without what is
 * stored, when ports claim, for the repair alone: TRY, OWN and IDLE, and the position near which
 * they are read. It works as long as nobody dies, and nobody comes or goes.
 *
 * These stores are told from others by how their address is written in the source.
 */
#include <ringq/atomic.h>

#define BARE(address)									\
	(!__builtin_strcmp(address, "claim") ||						\
	 !__builtin_strcmp(address, "&port->page->claim") ||				\
	 !__builtin_strcmp(address, "near"))
#define BARE_STORE(p, v, order)								\
	do {										\
		if (!BARE(#p))								\
			__atomic_store_n(p, v, order);					\
	} while (0)

#undef ringq_store_relaxed
#undef ringq_store_release
#define ringq_store_relaxed(p, v)	BARE_STORE(p, v, __ATOMIC_RELAXED)
#define ringq_store_release(p, v)	BARE_STORE(p, v, __ATOMIC_RELEASE)

/* The library has these as well. */
#define ringq_mpmc_room			bare_mpmc_room
#define ringq_mpmc_look			bare_mpmc_look
#define ringq_mpmc_give_back		bare_mpmc_give_back
#define ringq_mpmc_done			bare_mpmc_done
#define ringq_mpmc_producer		bare_mpmc_producer
#define ringq_mpmc_consumer		bare_mpmc_consumer

#include "bench_parts.h"

#include "../lib/mpmc.c"

PARTS_LOOPS(, parts_claims, parts_mpmc)
