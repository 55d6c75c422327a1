// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The library's own threads: with all signals blocked, little memory, and on the CPUs that the
 * program began with: who starts one may have been given a CPU for himself alone.
 */
#include "internal.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>

#define RINGQ_STACK	(64 * 1024)	/* beyond the least that a thread needs */

static cpu_set_t ringq_thread_cpus;
static bool ringq_thread_cpus_known;

__attribute__((constructor)) static void ringq_thread_init(void)
{
	ringq_thread_cpus_known =
		sched_getaffinity(0, sizeof(ringq_thread_cpus), &ringq_thread_cpus) == 0;
}

int ringq_thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*body)(void *),
			void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, attr, body, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* With a small stack, which counts if all memory is locked, unless it cannot be so small. */
int ringq_thread_start(pthread_t *thread, void *(*body)(void *))
{
	pthread_attr_t attr;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN + RINGQ_STACK);
	if (ringq_thread_cpus_known)
		pthread_attr_setaffinity_np(&attr, sizeof(ringq_thread_cpus), &ringq_thread_cpus);
	r = ringq_thread_create(thread, &attr, body, NULL);
	if (r == -EINVAL)	/* thread-local variables are taken from the stack */
		r = ringq_thread_create(thread, NULL, body, NULL);
	pthread_attr_destroy(&attr);
	return r;
}
