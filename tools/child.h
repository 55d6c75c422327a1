/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Processes that a command starts, kills and waits for; they do not outlive it. */
#ifndef RINGQ_CHILD_H
#define RINGQ_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;	/* 0: there is none, or it has been waited for */
	int pidfd;
};

/* Forks: 0 in the parent, 1 in the child, or negative errno. */
int child_fork(struct child *c);

/* Runs this program with other arguments; its standard error goes to a file. */
int child_start(struct child *c, char *const argv[], const char *log);

/* Its exit status, 128 + the signal that ended it, -ETIMEDOUT, or -EINTR (tool_signal). */
int child_wait(struct child *c, int64_t timeout);

/* It has ended, or there is none. */
bool child_ended(const struct child *c);

/* kill -9; it can still be waited for. */
void child_kill(const struct child *c);

/* Kills and waits, if there is one. */
void child_end(struct child *c);

#endif /* RINGQ_CHILD_H */
