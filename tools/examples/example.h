/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What the examples have in common: they end at the first error, and say what it was. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <ringq.h>
#include <stdio.h>
#include <stdlib.h>

/* The value of a call; does not return if it is an error. */
static inline int64_t need(int64_t r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, ringq_strerror(r));
		exit(EXIT_FAILURE);
	}
	return r;
}

#define NEED(call) need(call, #call)

#endif /* EXAMPLE_H */
