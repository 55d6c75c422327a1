/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The accesses to shared memory, each with its ordering in its name. Everything is
 * lock-free on every machine that ringq runs on: 64-bit, with 64-bit atomics.
 */
#ifndef RINGQ_ATOMIC_H
#define RINGQ_ATOMIC_H

#include <stdint.h>

/*
 * These say which way a branch goes, and nothing else: a called function with attribute cold makes
 * gcc put whatever it thinks comes after the call out of line, at times the rest of a hot loop.
 */
#define ringq_likely(x)		__builtin_expect(!!(x), 1)
#define ringq_unlikely(x)	__builtin_expect(!!(x), 0)
#define ringq_inline		static inline __attribute__((always_inline))

#define ringq_load_relaxed(p)	__atomic_load_n(p, __ATOMIC_RELAXED)
#define ringq_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ringq_store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define ringq_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Orders what the compiler emits, not what the machine does. */
#define ringq_compiler_barrier() __asm__ volatile("" ::: "memory")

/* Of what comes before, loads; of what comes after, everything. */
ringq_inline void ringq_fence_acquire(void)
{
	ringq_compiler_barrier();
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Of what comes before, everything; of what comes after, stores. */
ringq_inline void ringq_fence_release(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	ringq_compiler_barrier();
}

/* Waits a moment inside a loop that looks at memory. */
ringq_inline void ringq_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#else
	ringq_compiler_barrier();
#endif
}

/*
 * Between two steps of the protocols of ringq/wait.h and ringq/claim.h. Builds for tests (make
 * DELAYS=1) have something happen there now and then, so that what is rare comes often: tests/soak.
 */
#ifdef RINGQ_DELAYS
void ringq_delay(void);
#else
ringq_inline void ringq_delay(void)
{
}
#endif

/*
 * Fetches a line in order to write it, so that the write does not first wait for
 * another core to give it up. (__builtin_prefetch() compiles to a prefetch for reading
 * unless the compiler is told of a newer CPU; CPUs without the instruction ignore it.)
 */
ringq_inline void ringq_prefetch_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1, 3);
#endif
}

#endif /* RINGQ_ATOMIC_H */
