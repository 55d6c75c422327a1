/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the processes and threads of a case tell the runner: where they are, what failed
 * first, and how many messages they have verified. (What they call is in conformance.h.)
 */
#ifndef CONFORMANCE_REPORT_H
#define CONFORMANCE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* Once, before the first case. Returns 0 or a negative errno. */
int report_init(void);
/* Before each case. */
void report_clear(void);
/* Where each thread of a case that hangs is, on standard output. */
void report_hang(void);
/* The line of a case that has ended, with this status of waitpid(). Returns if it passed. */
bool report_result(const char *name, bool hung, int status, int64_t ns);
uint64_t report_messages(void);

#endif /* CONFORMANCE_REPORT_H */
