/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Rings of 64-bit words, ready to use: handles, indices, pointers between threads. For each
 * discipline the types struct ringq_<discipline>_u64_producer and _consumer, and the functions
 * ringq_<discipline>_u64_send() and so on, which RINGQ_TYPED (ringq.h) explains.
 *
 *     struct ringq_opts opts = { .size = sizeof(opts), .elem_size = sizeof(uint64_t) };
 *     struct ringq_spsc_u64_producer out;
 *
 *     ringq_create(&opts, &ring);
 *     ringq_spsc_u64_attach_producer(ring, &out);
 *     ringq_spsc_u64_send(&out, &word, RINGQ_FOREVER);
 */
#ifndef RINGQ_U64_H
#define RINGQ_U64_H

#include <ringq.h>
#include <stdint.h>

RINGQ_TYPED(ringq_spsc_u64, uint64_t, spsc);
RINGQ_TYPED(ringq_mpsc_u64, uint64_t, mpsc);
RINGQ_TYPED(ringq_spmc_u64, uint64_t, spmc);
RINGQ_TYPED(ringq_mpmc_u64, uint64_t, mpmc);
RINGQ_TYPED(ringq_lanes_u64, uint64_t, lanes);
RINGQ_TYPED(ringq_gated_u64, uint64_t, gated);
RINGQ_TYPED(ringq_lossy_u64, uint64_t, lossy);
RINGQ_TYPED(ringq_latest_u64, uint64_t, latest);

#endif /* RINGQ_U64_H */
