// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * For `ringq bench parts`: SPSC, compiled without the look whether somebody sleeps. It works as
 * long as nobody does.
 */
#include <ringq/wait.h>

#define ringq_attention(port)		((void)(port), UINT64_C(0))
#define ringq_notify(port, count)			\
	do {						\
		(void)(port);				\
		(void)(count);				\
		ringq_compiler_barrier();		\
	} while (0)

#include "bench_parts.h"

PARTS_LOOPS(, parts_attention, parts_spsc)
